//! Ids that must be remembered until their end: those of tokens used once, those of revoked tokens.

use super::cells::{Bucket, CELLS_PER_SLOT, Cell, Cells};
use super::slot::TableId;
use super::twin::{Twin, broken};
use super::{CAS_TRIES, Moment, Unavailable};
use crate::digest::{Digest, HostKey};
use crate::time::Time;

/// A set of ids in shared memory. An id that hasn't ended never gives way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    cells: Cells,
}

impl Ids {
    /// Room for `ids_max` ids, rounded up to whole slots; one slot full is `Full` already.
    pub const fn new(table: TableId, ids_max: u32) -> Self {
        Ids { cells: Cells::new(table, ids_max) }
    }

    /// The table under it.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Remembers an id until `until`. True for the one caller who is the first; an id that is there
    /// already stays until the later of both ends.
    ///
    /// `owner` is whose id it is. An owner gets a cell of a slot while it has fewer there than are
    /// free: alone it fills half of each slot, the next one half of the rest, and so on. So no owner
    /// takes the room of all others, and no count has to be kept for it.
    ///
    /// # Errors
    /// The id is not remembered: `Full` if its owner's share is taken or nothing gives way,
    /// `Exhausted` after eight lost races.
    pub fn insert(
        &self,
        at: &Moment<'_>,
        owner: Owner,
        digest: &Digest,
        until: Time,
    ) -> Result<bool, Unavailable> {
        // The number is random, so that after a creation the writer knows its own.
        let mine = owner.word(at.store.random());
        for _ in 0..CAS_TRIES {
            let mut bucket = self.cells.read(at, self.cells.index(digest))?;
            let (cell, is_first) = match bucket.find(digest) {
                Some(cell) if cell.word == mine && cell.until >= until => return Ok(true),
                Some(cell) if cell.until >= until.max(at.now) => return Ok(false),
                Some(cell) if cell.until > at.now => (Cell { until, word: cell.word }, false),
                _ if !owner.has_share(&bucket, at.now) => return Err(Unavailable::Full),
                _ => (Cell { until, word: mine }, true),
            };
            if !bucket.put(digest, cell, at.now) {
                return Err(Unavailable::Full);
            }
            if self.cells.write(at, &mut bucket)?
                && self
                    .cells
                    .stands_after_creation(at, &bucket, digest, |found| found.word == cell.word)?
            {
                return Ok(is_first);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Whether an id is remembered. One host call. Between such a look and a record another could be
    /// the first, so nobody asks so about the id that it wants to use.
    ///
    /// # Errors
    /// `Foreign` if the slot isn't ours: then nothing is known.
    pub fn contains(&self, at: &Moment<'_>, digest: &Digest) -> Result<bool, Unavailable> {
        Ok(self.cells.get(at, digest)?.is_some_and(|cell| cell.until > at.now))
    }
}

/// Whose an id is. Two owners in 65,536 share a number, and then a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner(u16);

impl Owner {
    /// The owner of this name.
    pub fn new(host: &HostKey, name: &[u8]) -> Owner {
        let [a, b, ..] = host.short(name).to_le_bytes();
        Owner(u16::from_le_bytes([a, b]))
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The owner of this number.
    #[cfg(test)]
    pub(crate) const fn of(number: u16) -> Owner {
        Owner(number)
    }

    /// The word of a cell of this owner's: its number, and 48 bits of a random one.
    const fn word(self, random: u64) -> u64 {
        (self.0 as u64) << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1)
    }

    fn has_share(self, bucket: &Bucket, now: Time) -> bool {
        let own = bucket.busy(now, |cell| cell.word >> RANDOM_BITS == u64::from(self.0));
        let free = (CELLS_PER_SLOT as usize).saturating_sub(bucket.busy(now, |_| true));
        own < free || broken(Twin::OwnersUnasked)
    }
}

const RANDOM_BITS: u32 = 48;
