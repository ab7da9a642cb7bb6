//! Revoked names in shared memory. One that hasn't ended is never forgotten.
//!
//! A name has a first slot of eight cells, and a second one for when that is full: the first slot's
//! *spill* then says until when names of it may lie in their second. When the second is full too,
//! its own spill says so, and every name whose two slots are both full counts as revoked: a few
//! good tokens are refused rather than one revoked token admitted.
//!
//! Writers go from the second slot to the first, readers from the first to the second, so whoever
//! sees a spill sees what was spilled.

use crate::digest::Digest;
use crate::shared::cells::{Bucket, CELLS_PER_SLOT, Cell};
use crate::shared::{CAS_TRIES, Cells, Moment, TableId, Unavailable};
use crate::time::Time;

/// Revoked names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked {
    cells: Cells,
}

/// Cells of a slot that names take which anyone could have made up.
const UNVERIFIED_MAX: usize = CELLS_PER_SLOT as usize / 2;
/// Those of them that names of one source take.
const OF_ONE_SOURCE_MAX: usize = UNVERIFIED_MAX / 2;
/// The source of all names that hardly matter, so that they leave more room for others.
pub const NOBODY: u64 = u64::MAX;
/// The word of a cell whose name was verified.
pub(super) const VERIFIED: u64 = 0;

impl Revoked {
    /// Room for `names_max` names, rounded up to whole slots.
    pub const fn new(names_max: u32) -> Self {
        Revoked { cells: Cells::new(TableId::Revoked, names_max) }
    }

    /// The table under it.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Remembers a name until `until`.
    ///
    /// # Errors It isn't remembered: `Full` if the host has no room for the slot, `Exhausted` after
    /// eight lost races, `Foreign` if the slot holds what isn't ours.
    pub fn insert(&self, at: &Moment<'_>, name: &Digest, until: Time) -> Result<(), Unavailable> {
        let (first, second) = (self.first(name), self.second(name));
        if self.put(at, first, name, until, VERIFIED)? {
            return Ok(());
        }
        if !self.put(at, second, name, until, VERIFIED)? {
            self.mark(at, second, until)?;
        }
        self.mark(at, first, until)
    }

    /// Remembers a name that anyone could have made up: as long as half of its slot is free, so
    /// that such names leave room for others, and a quarter is `source`'s, so that one client
    /// leaves room for the next.
    ///
    /// # Errors
    /// As [`Revoked::insert`]; `Full` also where its share of the slot is taken.
    pub fn insert_unverified(
        &self,
        at: &Moment<'_>,
        name: &Digest,
        until: Time,
        source: u64,
    ) -> Result<(), Unavailable> {
        match self.put(at, self.first(name), name, until, source.max(VERIFIED + 1))? {
            true => Ok(()),
            false => Err(Unavailable::Full),
        }
    }

    /// Whether a name is remembered. One host call, two where its first slot was full.
    ///
    /// # Errors
    /// Nothing is known: see [`Cells::read`].
    pub fn contains(&self, at: &Moment<'_>, name: &Digest) -> Result<bool, Unavailable> {
        let first = self.cells.read(at, self.first(name))?;
        if is_busy(&first, name, at.now) {
            return Ok(true);
        }
        if first.spill() <= at.now {
            return Ok(false);
        }
        let second = self.cells.read(at, self.second(name))?;
        Ok(is_busy(&second, name, at.now) || second.spill() > at.now)
    }

    /// How many slots it has.
    pub const fn slots(&self) -> u32 {
        self.cells.slots()
    }

    /// The names of a slot that haven't ended, their ends, and the words of their cells. One host
    /// call.
    ///
    /// # Errors
    /// As [`Cells::read`].
    pub fn in_force(
        &self,
        at: &Moment<'_>,
        index: u32,
    ) -> Result<Vec<(Digest, Cell)>, Unavailable> {
        Ok(self.cells.read(at, index)?.all_busy(at.now))
    }

    /// Puts a name into a slot, or its end off; false if there is no room. `source` is the word of
    /// its cell.
    fn put(
        &self,
        at: &Moment<'_>,
        index: u32,
        name: &Digest,
        until: Time,
        source: u64,
    ) -> Result<bool, Unavailable> {
        for _ in 0..CAS_TRIES {
            let mut bucket = self.cells.read(at, index)?;
            let (until, word) = match bucket.find(name) {
                Some(cell)
                    if cell.until >= until && (source != VERIFIED || cell.word == VERIFIED) =>
                {
                    return Ok(true);
                }
                // Once verified, it stays so.
                Some(cell) if cell.until > at.now => {
                    (until.max(cell.until), if cell.word == VERIFIED { VERIFIED } else { source })
                }
                _ if source != VERIFIED && !has_share(&bucket, source, at.now) => return Ok(false),
                _ => (until, source),
            };
            if !bucket.put(name, Cell { until, word }, at.now) {
                return Ok(false);
            }
            if self.cells.write(at, &mut bucket)?
                && self
                    .cells
                    .stands_after_creation(at, &bucket, name, |found| found.until >= until)?
            {
                return Ok(true);
            }
        }
        Err(Unavailable::Exhausted)
    }

    fn mark(&self, at: &Moment<'_>, index: u32, until: Time) -> Result<(), Unavailable> {
        for _ in 0..CAS_TRIES {
            let mut bucket = self.cells.read(at, index)?;
            if bucket.spill() >= until {
                return Ok(());
            }
            bucket.extend_spill(until);
            if self.cells.write(at, &mut bucket)? {
                return Ok(());
            }
        }
        Err(Unavailable::Exhausted)
    }

    fn first(&self, name: &Digest) -> u32 {
        self.cells.index(name)
    }

    fn second(&self, name: &Digest) -> u32 {
        let mut turned = *name;
        turned.0.rotate_left(8);
        self.cells.index(&turned)
    }
}

/// Whether a slot has room for one more name that a source could have made up.
fn has_share(bucket: &Bucket, source: u64, now: Time) -> bool {
    let (all, own) = (bucket.busy(now, |_| true), bucket.busy(now, |cell| cell.word == source));
    let own_max = if source == NOBODY { 1 } else { OF_ONE_SOURCE_MAX };
    all < UNVERIFIED_MAX && own < own_max
}

fn is_busy(bucket: &Bucket, name: &Digest, now: Time) -> bool {
    bucket.find(name).is_some_and(|cell| cell.until > now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::HostKey;
    use crate::shared::{Expect, Refused, Slot, Store, Version};
    use crate::simulation::host::{Dialect, Memory};
    use crate::simulation::schedule::{Rng, Worker, World};
    use proptest::prelude::*;
    use std::cell::RefCell;

    struct Host(RefCell<(Memory, Rng)>);

    impl Host {
        fn new(dialect: Dialect) -> Host {
            Host(RefCell::new((Memory::new(dialect), Rng::new(3))))
        }
    }

    impl Store for Host {
        fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
            let (memory, rng) = &mut *self.0.borrow_mut();
            memory.get(slot, rng)
        }
        fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
            let (memory, rng) = &mut *self.0.borrow_mut();
            memory.set(slot, value, expect, rng)
        }
        fn random(&self) -> u64 {
            self.0.borrow_mut().1.next()
        }
    }

    fn name(host: &HostKey, n: u32) -> Digest {
        host.digest("test", &[&n.to_le_bytes()])
    }

    #[test]
    fn a_full_table_refuses_others_and_forgets_none() {
        let (store, host) = (Host::new(Dialect::Kong), HostKey::new(&[1; 32], b""));
        let at = Moment { store: &store, host: &host, now: Time::from_s(100) };
        let table = Revoked::new(32);
        for n in 0..200 {
            table.insert(&at, &name(&host, n), Time::from_s(200)).unwrap();
        }
        assert!((0..200).all(|n| table.contains(&at, &name(&host, n)) == Ok(true)));
        assert_eq!(table.contains(&at, &name(&host, 1_000)), Ok(true), "all slots are full");
        let later = Moment { now: Time::from_s(200), ..at };
        assert!((0..200).all(|n| table.contains(&later, &name(&host, n)) == Ok(false)));
    }

    #[test]
    fn names_that_anyone_could_make_up_leave_half_of_each_slot() {
        let (store, host) = (Host::new(Dialect::Envoy), HostKey::new(&[1; 32], b""));
        let at = Moment { store: &store, host: &host, now: Time::from_s(100) };
        let table = Revoked::new(8);
        let end = Time::from_s(1_000_000);
        let taken: Vec<_> = (0..100)
            .map(|n| table.insert_unverified(&at, &name(&host, n), end, 1 + u64::from(n % 2)))
            .collect();
        assert_eq!(taken.iter().filter(|result| result.is_ok()).count(), 4);
        assert_eq!(
            table.insert_unverified(&at, &name(&host, 0), end, 1),
            Ok(()),
            "one that is there stays"
        );
        for n in 200..204 {
            table.insert(&at, &name(&host, n), end).unwrap();
        }
        assert_eq!(table.contains(&at, &name(&host, 5_000)), Ok(false), "nothing was spilled");
    }

    #[test]
    fn one_source_leaves_room_for_the_next() {
        let (store, host) = (Host::new(Dialect::Kong), HostKey::new(&[1; 32], b""));
        let at = Moment { store: &store, host: &host, now: Time::from_s(100) };
        let (table, end) = (Revoked::new(4_096), Time::from_s(1_000_000));
        let kept = (0..10_000)
            .filter(|n| table.insert_unverified(&at, &name(&host, *n), end, 7).is_ok())
            .count();
        assert!(kept <= 1_024, "a quarter of the table");
        // Others find theirs free, and so do names that were verified, though none was pushed out.
        assert!(
            (20_000..20_020).all(|n| table.insert_unverified(&at, &name(&host, n), end, 8).is_ok())
        );
        assert!((30_000..32_000).all(|n| table.insert(&at, &name(&host, n), end).is_ok()));
        assert!((20_000..20_020).all(|n| table.contains(&at, &name(&host, n)) == Ok(true)));
        assert!(
            (0..10_000).filter(|n| table.contains(&at, &name(&host, *n)) == Ok(true)).count()
                >= kept
        );
    }

    #[test]
    fn a_name_that_is_verified_later_leaves_its_share() {
        let (store, host) = (Host::new(Dialect::Envoy), HostKey::new(&[1; 32], b""));
        let at = Moment { store: &store, host: &host, now: Time::from_s(100) };
        let (table, end) = (Revoked::new(8), Time::from_s(1_000));
        for n in 0..2 {
            table.insert_unverified(&at, &name(&host, n), end, 7).unwrap();
        }
        assert_eq!(table.insert_unverified(&at, &name(&host, 2), end, 7), Err(Unavailable::Full));
        table.insert(&at, &name(&host, 0), end).unwrap();
        assert_eq!(table.insert_unverified(&at, &name(&host, 2), end, 7), Ok(()));
        // And it doesn't become unverified again.
        table.insert_unverified(&at, &name(&host, 0), Time::from_s(2_000), 7).unwrap();
        assert_eq!(table.insert_unverified(&at, &name(&host, 3), end, 8), Ok(()));
        assert!((0..4).all(|n| table.contains(&at, &name(&host, n)) == Ok(true)));
    }

    #[test]
    fn the_later_end_counts() {
        let (store, host) = (Host::new(Dialect::Envoy), HostKey::new(&[1; 32], b""));
        let at = |s| Moment { store: &store, host: &host, now: Time::from_s(s) };
        let table = Revoked::new(64);
        let one = name(&host, 1);
        for (now, until) in [(100, 200), (101, 150), (150, 160)] {
            table.insert(&at(now), &one, Time::from_s(until)).unwrap();
        }
        assert_eq!(table.contains(&at(199), &one), Ok(true));
        assert_eq!(table.contains(&at(200), &one), Ok(false));
        table.insert(&at(300), &one, Time::from_s(310)).unwrap();
        assert_eq!(table.contains(&at(309), &one), Ok(true));
    }

    /// Workers revoke at once; none is lost, in whatever order the host serves them.
    #[test]
    fn workers_at_once_lose_nothing() {
        for seed in 0..60 {
            for dialect in Dialect::ALL {
                let world = World::new(dialect, seed, 3, None);
                let table = Revoked::new(16);
                let end = Time::from_s(u64::MAX / 2_000_000_000);
                world.run(
                    (0..3u32)
                        .map(|id| {
                            move |worker: &Worker<'_>| {
                                for n in 0..8 {
                                    let at = worker.begin();
                                    let mine = name(at.host, id * 100 + n);
                                    // Eight lost races are reported, and then nothing is promised.
                                    if table.insert(&at, &mine, end).is_ok() {
                                        assert_eq!(
                                            table.contains(&at, &mine),
                                            Ok(true),
                                            "seed {seed}"
                                        );
                                    }
                                    worker.done();
                                }
                            }
                        })
                        .collect(),
                );
            }
        }
    }

    proptest! {
        #[test]
        fn never_forgets(steps in proptest::collection::vec((0u32..60, 1u64..50, 0u64..5, any::<bool>()), 1..200), cells in 1u32..40) {
            let (store, host) = (Host::new(Dialect::Kong), HostKey::new(&[1; 32], b""));
            let table = Revoked::new(cells);
            let mut now = 1_000;
            let mut until = std::collections::BTreeMap::<u32, u64>::new();
            for (n, life, pause, verified) in steps {
                now += pause;
                let at = Moment { store: &store, host: &host, now: Time::from_s(now) };
                let end = Time::from_s(now + life);
                let kept = if verified { table.insert(&at, &name(&host, n), end) } else { table.insert_unverified(&at, &name(&host, n), end, 1 + u64::from(n % 3)) };
                prop_assert!(kept.is_ok() || !verified);
                if kept.is_ok() {
                    let known = until.entry(n).or_default();
                    *known = (*known).max(now + life);
                }
                for (n, end) in &until {
                    if *end > now {
                        prop_assert_eq!(table.contains(&at, &name(&host, *n)), Ok(true));
                    }
                }
            }
        }
    }
}
