//! Cells: what must not be forgotten, nor exist twice. Counters, leases, ids seen once.
//!
//! A slot holds eight cells, and a key has one slot. A cell is the full digest of its key, a moment
//! until which it is *busy*, and one number. Everything known of a key changes in one
//! compare-and-set of its slot, so there is no schedule in which two workers keep it in two places:
//! that is why these tables don't have two choices per key as [`super::table`] has. Eight cells to
//! a slot use the memory better too: 64 bytes a counter in Kong's zone instead of 256, and at a
//! quarter of the cells busy one key in 3,000 finds no cell.
//!
//! A busy cell never gives way. When all eight are busy, the caller hears [`Unavailable::Full`].
//!
//! Layout of a slot, little endian: checksum 8, format 1, table 1, zeros 2, index 4, spill 8, eight
//! times (digest 32, until 8, word 8).

use super::record::{is_stamped, stamp};
use super::slot::{SLOTS_MAX, TableId};
use super::table::word;
use super::twin::{Twin, broken};
use super::{CAS_TRIES, Expect, Moment, Refused, Slot, Unavailable};
use crate::digest::{Digest, HostKey};
use crate::time::{AHEAD_MS_MAX, NS_PER_MS, Time};

/// Cells in a slot.
pub const CELLS_PER_SLOT: u32 = 8;
/// Bytes of a slot's value; with Kong's 96 bytes and a name of 6 it fills one slab of 512.
pub const SLOT_BYTES: usize = HEAD + CELLS_PER_SLOT as usize * CELL;
/// By how much the clocks of two workers may differ, or one worker's `now` be old, without any
/// effect on exactness: a cell stays this much longer than it is busy.
pub const CLOCK_SLACK_NS: u64 = AHEAD_MS_MAX * NS_PER_MS;

const HEAD: usize = 24;
const CELL: usize = 48;
const FORMAT: u8 = 1;

/// What is known of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Until when the cell doesn't give way.
    pub until: Time,
    /// A number whose meaning is the caller's.
    pub word: u64,
}

/// What to do after looking at a key's cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<R> {
    /// Leave it as it is.
    Keep(R),
    /// Write this cell.
    Put(Cell, R),
}

/// A table of cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cells {
    table: TableId,
    slots: u32,
}

/// A slot that was read: its cells, and what a write must expect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    index: u32,
    bytes: Vec<u8>,
    expect: Expect,
}

impl Cells {
    /// A table with room for `cells_max` cells, rounded up to whole slots.
    pub const fn new(table: TableId, cells_max: u32) -> Self {
        let slots = cells_max.div_ceil(CELLS_PER_SLOT);
        let slots = if slots == 0 { 1 } else { slots };
        Cells { table, slots: if slots < SLOTS_MAX { slots } else { SLOTS_MAX } }
    }

    /// How many slots it has.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// The slot of a key.
    pub fn index(&self, digest: &Digest) -> u32 {
        (word(digest, 0) % u64::from(self.slots)) as u32
    }

    /// The cell of a key, busy or not. One host call.
    ///
    /// # Errors
    /// `Foreign` if the slot holds what isn't ours.
    pub fn get(&self, at: &Moment<'_>, digest: &Digest) -> Result<Option<Cell>, Unavailable> {
        Ok(self.read(at, self.index(digest))?.find(digest))
    }

    /// Reads a key's cell, asks `step`, and writes what it says, again from the top while others
    /// write in between. Two host calls without a race.
    ///
    /// `stands` looks at what is there after this worker was the first to write the slot, and says
    /// whether what it wrote (first argument) is still in force (second): Envoy's version counter
    /// wraps, so that a creation can, once in 2^32 writes, be overwritten by another's.
    ///
    /// # Errors `Full` if all cells of the slot are busy or the host has no room, `Exhausted` after
    /// eight lost races, `Foreign` if the slot holds what isn't ours.
    pub fn update<R>(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        stands: impl Fn(Cell, Cell) -> bool,
        mut step: impl FnMut(Option<Cell>) -> Step<R>,
    ) -> Result<R, Unavailable> {
        for _ in 0..CAS_TRIES {
            let mut bucket = self.read(at, self.index(digest))?;
            let (cell, result) = match step(bucket.find(digest)) {
                Step::Keep(result) => return Ok(result),
                Step::Put(cell, result) => (cell, result),
            };
            if !bucket.put(digest, cell, at.now) {
                return Err(Unavailable::Full);
            }
            if self.write(at, &mut bucket)?
                && self.stands_after_creation(at, &bucket, digest, |found| stands(cell, found))?
            {
                return Ok(result);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Reads a slot. What isn't a whole slot of this table counts as empty, but only when a second
    /// look finds the same: a torn read must not cost the slot's cells.
    ///
    /// # Errors
    /// `Foreign` if the slot holds something shorter than our slots.
    pub fn read(&self, at: &Moment<'_>, index: u32) -> Result<Bucket, Unavailable> {
        let slot = Slot::new(self.table, index);
        let mut broken_before = None;
        for _ in 0..CAS_TRIES {
            let Some((bytes, version)) = at.store.get(slot) else {
                return Ok(self.empty(index, Expect::Absent));
            };
            if self.is_whole(at.host, &bytes, index) {
                return Ok(Bucket { index, bytes, expect: Expect::Version(version) });
            }
            let again = broken_before.as_ref().is_some_and(|(b, v)| *v == version && *b == bytes);
            if again || broken(Twin::OneLook) {
                // Growing a value in a full zone kills a Kong worker; empty is what a deletion
                // leaves.
                let foreign = bytes.len() < SLOT_BYTES && !bytes.is_empty();
                return if foreign {
                    Err(Unavailable::Foreign)
                } else {
                    Ok(self.empty(index, Expect::Version(version)))
                };
            }
            broken_before = Some((bytes, version));
        }
        Err(Unavailable::Exhausted)
    }

    /// Writes a slot back; false if another wrote first.
    ///
    /// # Errors
    /// `Full` if the host has no room.
    pub fn write(&self, at: &Moment<'_>, bucket: &mut Bucket) -> Result<bool, Unavailable> {
        stamp(at.host, &mut bucket.bytes);
        match at.store.set(Slot::new(self.table, bucket.index), &bucket.bytes, bucket.expect) {
            Ok(()) => Ok(true),
            Err(Refused::Lost) => Ok(false),
            Err(Refused::Full) => Err(Unavailable::Full),
        }
    }

    /// After a write that created the slot: whether the cell is there and `stands`. True at once
    /// after any other write.
    ///
    /// # Errors
    /// As [`Cells::read`].
    pub fn stands_after_creation(
        &self,
        at: &Moment<'_>,
        written: &Bucket,
        digest: &Digest,
        stands: impl Fn(Cell) -> bool,
    ) -> Result<bool, Unavailable> {
        if written.expect != Expect::Absent {
            return Ok(true);
        }
        Ok(self.read(at, written.index)?.find(digest).is_some_and(stands))
    }

    /// Creates the slots of `indices` that aren't there yet, empty, so that a zone that is too
    /// small is known at start and not under load. Returns how many the host had no room for.
    #[cfg(test)]
    pub fn warm(&self, at: &Moment<'_>, indices: std::ops::Range<u32>) -> u32 {
        let mut refused = 0;
        for index in indices.start..indices.end.min(self.slots) {
            if at.store.get(Slot::new(self.table, index)).is_none()
                && self.write(at, &mut self.empty(index, Expect::Absent)).is_err()
            {
                refused += 1;
            }
        }
        refused
    }

    fn empty(&self, index: u32, expect: Expect) -> Bucket {
        let mut bytes = vec![0; SLOT_BYTES];
        bytes.iter_mut().skip(8).zip(self.head(index)).for_each(|(to, from)| *to = from);
        Bucket { index, bytes, expect }
    }

    fn is_whole(&self, host: &HostKey, bytes: &[u8], index: u32) -> bool {
        bytes.len() == SLOT_BYTES
            && bytes.get(8..16) == Some(&self.head(index))
            && is_stamped(host, bytes)
    }

    /// The slot names itself, as each cell names its key.
    fn head(&self, index: u32) -> [u8; 8] {
        let [a, b, c, d] = index.to_le_bytes();
        [FORMAT, self.table.letter(), 0, 0, a, b, c, d]
    }
}

impl Bucket {
    /// The cell of a key, busy or not.
    pub fn find(&self, digest: &Digest) -> Option<Cell> {
        self.cells().find(|(name, _)| *name == digest.0).map(|(_, cell)| cell)
    }

    /// Whether a key without a cell would get one.
    pub fn has_room(&self, now: Time) -> bool {
        self.cells().any(|(_, cell)| is_idle(cell, now))
    }

    /// How many of these cells are busy.
    pub fn busy(&self, now: Time, which: impl Fn(&Cell) -> bool) -> usize {
        self.cells().filter(|(_, cell)| !is_idle(*cell, now) && which(cell)).count()
    }

    /// All cells that are busy.
    pub fn all_busy(&self, now: Time) -> Vec<(Digest, Cell)> {
        let named = self.cells().map(|(name, cell)| (Digest(name), cell));
        named.filter(|(_, cell)| cell.until > now).collect()
    }

    /// Puts a key's cell where it is, or in place of the cell that has been idle for longest; false
    /// if all are busy.
    #[must_use]
    pub fn put(&mut self, digest: &Digest, cell: Cell, now: Time) -> bool {
        let own = self.cells().position(|(name, _)| name == digest.0);
        let idle = || {
            self.cells()
                .enumerate()
                .filter(|(_, (_, cell))| is_idle(*cell, now) || broken(Twin::BusyGivesWay))
                .min_by_key(|(_, (_, cell))| cell.until)
                .map(|(at, _)| at)
        };
        let Some(place) = own.or_else(idle).and_then(|at| self.cells_mut().nth(at)) else {
            return false;
        };
        let Some((name, rest)) = place.split_first_chunk_mut::<32>() else { return false };
        let Some((until, rest)) = rest.split_first_chunk_mut::<8>() else { return false };
        let Some(word) = rest.first_chunk_mut::<8>() else { return false };
        *name = digest.0;
        *until = cell.until.ns().to_le_bytes();
        *word = cell.word.to_le_bytes();
        true
    }

    /// Until when keys of this slot may have something elsewhere: see `rate_limit::counters`.
    pub fn spill(&self) -> Time {
        self.bytes.get(16..HEAD).map_or(Time::default(), time_of)
    }

    /// Puts that moment off.
    pub fn extend_spill(&mut self, until: Time) {
        let until = until.max(self.spill());
        self.bytes
            .iter_mut()
            .skip(16)
            .zip(until.ns().to_le_bytes())
            .for_each(|(to, from)| *to = from);
    }

    /// Which slot of its table it is.
    pub const fn index(&self) -> u32 {
        self.index
    }

    fn cells(&self) -> impl Iterator<Item = ([u8; 32], Cell)> + '_ {
        self.bytes.get(HEAD..).unwrap_or_default().chunks_exact(CELL).filter_map(|bytes| {
            let (name, rest) = bytes.split_first_chunk::<32>()?;
            let (until, word) = rest.split_at_checked(8)?;
            Some((*name, Cell { until: time_of(until), word: time_of(word).ns() }))
        })
    }

    fn cells_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.get_mut(HEAD..).unwrap_or_default().chunks_exact_mut(CELL)
    }
}

/// A cell that another key may have. `until` 0 is one that nobody has had.
fn is_idle(cell: Cell, now: Time) -> bool {
    cell.until == Time::default() || cell.until.ns().saturating_add(CLOCK_SLACK_NS) <= now.ns()
}

fn time_of(bytes: &[u8]) -> Time {
    Time::from_ns(bytes.try_into().map_or(0, u64::from_le_bytes))
}
