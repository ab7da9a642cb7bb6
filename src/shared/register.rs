//! Registers: small states that several workers change together, each in one compare-and-set.
//!
//! A key has one slot, and the last key that was written there owns it. To lose a state to another
//! key must be harmless; what isn't lives in [`super::cells`].

use super::record::Shape;
use super::slot::TableId;
use super::table::word;
use super::{CAS_TRIES, Expect, Moment, Refused, Slot, Unavailable};
use crate::digest::Digest;
use crate::time::Time;

/// A table of such states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    table: TableId,
    shape: Shape,
    slots: u32,
}

impl Registers {
    /// A table of `slots` states of at most `bytes_max` bytes.
    pub const fn new(table: TableId, slots: u32, bytes_max: usize) -> Self {
        Registers {
            table,
            shape: Shape::new(table, bytes_max),
            slots: if slots == 0 { 1 } else { slots },
        }
    }

    /// How large its values are.
    pub const fn record_bytes(&self) -> usize {
        self.shape.record_bytes()
    }

    /// A state, or nothing. One host call.
    pub fn get(&self, at: &Moment<'_>, digest: &Digest) -> Option<Vec<u8>> {
        let (bytes, _) = at.store.get(self.slot(digest))?;
        let record = self.shape.open_any(at.host, &bytes)?;
        (record.digest == *digest).then(|| record.payload.to_vec())
    }

    /// Changes a state. `change` sees the bytes that are there, or none, and gives the new ones
    /// with its result; it may run several times. What stays as it was isn't written.
    ///
    /// # Errors `Exhausted` after eight lost races, `Full` if the host has no room, `TooLong` for
    /// too many bytes.
    pub fn update<R>(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        mut change: impl FnMut(Option<&[u8]>) -> (Vec<u8>, R),
    ) -> Result<R, Unavailable> {
        let slot = self.slot(digest);
        for _ in 0..CAS_TRIES {
            let found = at.store.get(slot);
            let expect =
                found.as_ref().map_or(Expect::Absent, |(_, version)| Expect::Version(*version));
            let record = found.as_ref().and_then(|(bytes, _)| self.shape.open_any(at.host, bytes));
            let mine = record.filter(|record| record.digest == *digest);
            let payload = mine.map(|record| record.payload);
            let (state, result) = change(payload);
            if payload == Some(state.as_slice()) {
                return Ok(result);
            }
            let sealed = self
                .shape
                .seal(at.host, digest, Time::from_ns(u64::MAX), &state)
                .ok_or(Unavailable::TooLong)?;
            match at.store.set(slot, &sealed, expect) {
                Ok(()) => return Ok(result),
                Err(Refused::Lost) => {}
                Err(Refused::Full) => return Err(Unavailable::Full),
            }
        }
        Err(Unavailable::Exhausted)
    }

    fn slot(&self, digest: &Digest) -> Slot {
        Slot::new(self.table, (word(digest, 0) % u64::from(self.slots)) as u32)
    }
}
