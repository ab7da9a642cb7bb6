//! A cache in shared memory: a fixed number of slots, two choices per key.
//!
//! Forgetting is always right here: whoever misses does the work again. What must not be forgotten
//! (counters, leases, ids seen once) lives in [`super::cells`], where one slot holds all there is
//! to know of a key, and so two workers can't put the same key into two places.
//!
//! Here they can: one finds the first choice taken and is about to use the second, the occupant of
//! the first ends, and another uses that. So whoever puts a key into a slot that didn't hold it
//! looks at its other choice afterwards; if both hold the key, the first stays and the second is
//! blanked. `put` and `remove` look at both choices anyhow. [`Table::put_new`] doesn't look, for
//! records that are never removed and say the same wherever they lie.

#[cfg(test)]
mod tests;

use super::record::{Opened, Shape};
use super::slot::{SLOTS_MAX, TableId};
use super::{CAS_TRIES, Expect, Moment, Refused, Slot, Unavailable, Version};
use crate::digest::{Digest, HostKey};
use crate::shared::twin::{Twin, broken};
use crate::time::Time;

/// A table of sealed records in which the entry nearer its end gives way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    shape: Shape,
    slots: u32,
}

/// A record found in a table. The payload stays in the bytes that the host gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    bytes: Vec<u8>,
    length: usize,
    expires: Time,
}

impl Found {
    /// What was put.
    pub fn payload(&self) -> &[u8] {
        self.bytes
            .get(super::record::OVERHEAD..)
            .and_then(|rest| rest.get(..self.length))
            .unwrap_or_default()
    }

    /// From when on it is absent.
    pub fn expires(&self) -> Time {
        self.expires
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Found(..)")
    }
}

/// What the two slots of a key hold, none of it the key's own: each a value and its version.
#[derive(Default)]
pub struct Places(Held);

type Held = [Option<(Vec<u8>, Version)>; 2];

/// What a slot holds, seen from one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    /// A record of this key, ended or not.
    Mine,
    /// Nothing that anyone misses.
    Free,
    /// A record of another key until then.
    Other(Time),
    /// Something shorter than our records: foreign, and growing it could kill a Kong worker.
    Foreign,
}

impl Table {
    /// A table of `slots` records (1 to [`SLOTS_MAX`]) with payloads of at most `payload_max`
    /// bytes.
    pub const fn new(table: TableId, slots: u32, payload_max: usize) -> Self {
        let slots = if slots == 0 { 1 } else { slots };
        Table {
            shape: Shape::new(table, payload_max),
            slots: if slots < SLOTS_MAX { slots } else { SLOTS_MAX },
        }
    }

    /// The shape of its records.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How many slots it has.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Whether the slot at this place holds a record that hasn't ended.
    pub fn is_filled(&self, at: &Moment<'_>, index: u32) -> bool {
        let held = at.store.get(Slot::new(self.shape.table(), index));
        let record = held.as_ref().and_then(|(bytes, _)| self.shape.open_any(at.host, bytes));
        record.is_some_and(|record| record.expires > at.now)
    }

    /// The record of a key. One host call where it is in its first choice, else two.
    pub fn get(&self, at: &Moment<'_>, digest: &Digest) -> Option<Found> {
        let (first, second) = self.choices(digest);
        self.get_at(at, first, digest).or_else(|| self.get_at(at, second, digest))
    }

    /// The record of a key; else what its two places hold, for [`Table::put_new`]. As many host
    /// calls as [`Table::get`].
    ///
    /// # Errors
    /// The places.
    pub fn find(&self, at: &Moment<'_>, digest: &Digest) -> Result<Found, Places> {
        let (first, second) = self.choices(digest);
        let mut held: Held = [None, None];
        for (held, index) in held.iter_mut().zip([first, second]) {
            *held = at.store.get(Slot::new(self.shape.table(), index));
            let mine = held
                .take_if(|(bytes, _)| self.shape.open(at.host, bytes, digest, at.now).is_some());
            if let Some(found) = mine.and_then(|(bytes, _)| self.found(at, bytes, digest)) {
                return Ok(found);
            }
        }
        Err(Places(held))
    }

    /// Puts the record of a key that had none a moment ago: one write, where nobody has written
    /// meanwhile. Two workers that do this at once may each find a place for it, so it is for records
    /// of which the second one does no harm.
    ///
    /// # Errors
    /// As [`Table::put`].
    pub fn put_new(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        payload: &[u8],
        expires: Time,
        places: Places,
    ) -> Result<(), Unavailable> {
        let record =
            self.shape.seal(at.host, digest, expires, payload).ok_or(Unavailable::TooLong)?;
        let (first, second) = self.choices(digest);
        let [(a, expect_a), (b, expect_b)] = places.0.map(|held| match held {
            None => (Holds::Free, Expect::Absent),
            Some((bytes, version)) => {
                (self.classify(at.host, &bytes, digest, at.now), Expect::Version(version))
            }
        });
        let chosen = match self.choose([a, b], [false; 2]) {
            Some(false) => Some((first, expect_a)),
            Some(true) => Some((second, expect_b)),
            None => None,
        };
        let written = chosen.is_some_and(|(index, expect)| {
            at.store.set(Slot::new(self.shape.table(), index), &record, expect).is_ok()
        });
        if written { Ok(()) } else { self.put(at, digest, payload, expires) }
    }

    /// Puts a record in the place of whatever this key had.
    ///
    /// # Errors
    /// `TooLong` for a payload over the table's, `Full` if the host has no room, `Exhausted` after
    /// eight lost races. The table is then as if nothing had been put.
    pub fn put(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        payload: &[u8],
        expires: Time,
    ) -> Result<(), Unavailable> {
        let record =
            self.shape.seal(at.host, digest, expires, payload).ok_or(Unavailable::TooLong)?;
        let (first, second) = self.choices(digest);
        let mut no_room = [false; 2];
        for _ in 0..CAS_TRIES {
            let (a, expect_a) = self.look(at, first, digest);
            let (b, expect_b) = self.look(at, second, digest);
            let (into_second, before, expect) = match self.choose([a, b], no_room) {
                Some(false) => (false, a, expect_a),
                Some(true) => (true, b, expect_b),
                None => return Err(Unavailable::Full),
            };
            let slot = Slot::new(self.shape.table(), if into_second { second } else { first });
            match at.store.set(slot, &record, expect) {
                Ok(()) => {
                    // Written into the first while the second had it too, or into a slot that
                    // didn't hold it.
                    if before != Holds::Mine || (!into_second && b == Holds::Mine) {
                        self.drop_second_of_two(at, digest);
                    }
                    return Ok(());
                }
                Err(Refused::Lost) => {}
                Err(Refused::Full) => match &mut no_room {
                    [_, full] if into_second => *full = true,
                    [full, _] => *full = true,
                },
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Removes the record of a key from wherever it is; true if there was one.
    ///
    /// # Errors
    /// `Exhausted` after eight lost races, `Full` as the host says: the record may still be there.
    pub fn remove(&self, at: &Moment<'_>, digest: &Digest) -> Result<bool, Unavailable> {
        let (first, second) = self.choices(digest);
        let in_first = self.blank_if_mine(at, first, digest)?;
        let in_second = self.blank_if_mine(at, second, digest)?;
        Ok(in_first || in_second)
    }

    /// The two choices of a key; equal only in a table of one slot.
    pub(super) fn choices(&self, digest: &Digest) -> (u32, u32) {
        let first = (word(digest, 0) % u64::from(self.slots)) as u32;
        let others = u64::from(self.slots.saturating_sub(1)).max(1);
        let step = 1 + (word(digest, 1) % others) as u32;
        (first, (first + step) % self.slots)
    }

    /// The record of a key in one slot.
    pub(super) fn get_at(&self, at: &Moment<'_>, index: u32, digest: &Digest) -> Option<Found> {
        let (bytes, _) = at.store.get(Slot::new(self.shape.table(), index))?;
        self.found(at, bytes, digest)
    }

    fn found(&self, at: &Moment<'_>, bytes: Vec<u8>, digest: &Digest) -> Option<Found> {
        let Opened { expires, payload, .. } = self.shape.open(at.host, &bytes, digest, at.now)?;
        let length = payload.len();
        Some(Found { bytes, length, expires })
    }

    /// Until when someone needs what a slot holds, and what a write there must expect; nothing for
    /// a slot that must be left alone.
    pub(super) fn end_of(&self, at: &Moment<'_>, index: u32) -> Option<(Time, Expect)> {
        match self.look(at, index, &Digest([0; 32])) {
            (Holds::Other(until), expect) => Some((until, expect)),
            (Holds::Foreign, _) => None,
            (Holds::Free | Holds::Mine, expect) => Some((Time::default(), expect)),
        }
    }

    /// Blanks a slot if it holds this key.
    pub(super) fn blank_if_mine(
        &self,
        at: &Moment<'_>,
        index: u32,
        digest: &Digest,
    ) -> Result<bool, Unavailable> {
        for _ in 0..CAS_TRIES {
            let (Holds::Mine, expect) = self.look(at, index, digest) else {
                return Ok(false);
            };
            match at.store.set(
                Slot::new(self.shape.table(), index),
                &self.shape.blank(at.host),
                expect,
            ) {
                Ok(()) => return Ok(true),
                Err(Refused::Lost) => {}
                Err(Refused::Full) => return Err(Unavailable::Full),
            }
        }
        Err(Unavailable::Exhausted)
    }

    fn look(&self, at: &Moment<'_>, index: u32, digest: &Digest) -> (Holds, Expect) {
        let Some((bytes, version)) = at.store.get(Slot::new(self.shape.table(), index)) else {
            return (Holds::Free, Expect::Absent);
        };
        (self.classify(at.host, &bytes, digest, at.now), Expect::Version(version))
    }

    fn classify(&self, host: &HostKey, bytes: &[u8], digest: &Digest, now: Time) -> Holds {
        match self.shape.open_any(host, bytes) {
            Some(record) if record.digest == *digest => Holds::Mine,
            Some(record) if record.expires > now => Holds::Other(record.expires),
            Some(_) => Holds::Free,
            None if bytes.len() < self.shape.record_bytes() && !bytes.is_empty() => Holds::Foreign,
            None => Holds::Free,
        }
    }

    /// The slot to write, true for the second: the key's own, else a free one, else the one whose
    /// record is nearer its end. Nothing if both must be left alone.
    fn choose(&self, holds: [Holds; 2], no_room: [bool; 2]) -> Option<bool> {
        let cost = |holds: Holds, no_room: bool| match holds {
            // No room means that this slot can't be created; what exists can be written.
            Holds::Free if no_room => None,
            Holds::Foreign => None,
            Holds::Mine => Some((0, Time::default())),
            Holds::Free => Some((1, Time::default())),
            Holds::Other(until) => Some((2, until)),
        };
        let ([a, b], [full_a, full_b]) = (holds, no_room);
        match (cost(a, full_a), cost(b, full_b)) {
            (Some(first), Some(second)) => Some(second < first),
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (None, None) => None,
        }
    }

    /// Of two records of one key the one in the second choice goes. A lost race is left at that:
    /// whoever won it has written another key, or looks here itself.
    fn drop_second_of_two(&self, at: &Moment<'_>, digest: &Digest) {
        let (first, second) = self.choices(digest);
        if first == second || broken(Twin::DuplicatesStay) {
            return;
        }
        let (Holds::Mine, _) = self.look(at, first, digest) else { return };
        let (Holds::Mine, expect) = self.look(at, second, digest) else { return };
        let _ =
            at.store.set(Slot::new(self.shape.table(), second), &self.shape.blank(at.host), expect);
    }
}

/// The `n`th 8 bytes of a digest as a number.
pub(crate) fn word(digest: &Digest, n: usize) -> u64 {
    digest.0.chunks_exact(8).nth(n).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}
