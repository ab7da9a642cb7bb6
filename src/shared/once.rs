//! Ids that must be remembered until their end: those of tokens used once, those of revoked tokens.

use super::cells::{Cell, Cells, Step};
use super::slot::TableId;
use super::{Moment, Unavailable};
use crate::digest::Digest;
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
    /// # Errors
    /// The id is not remembered: `Full` if nothing gives way, `Exhausted` after eight lost races.
    pub fn insert(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        until: Time,
    ) -> Result<bool, Unavailable> {
        // The number is random, so that after a creation the writer knows its own.
        let mine = at.store.random().max(1);
        self.cells.update(
            at,
            digest,
            |_, found| found.word == mine,
            |cell| match cell {
                Some(cell) if cell.word == mine && cell.until >= until => Step::Keep(true),
                Some(cell) if cell.until >= until.max(at.now) => Step::Keep(false),
                Some(cell) if cell.until > at.now => {
                    Step::Put(Cell { until, word: cell.word }, false)
                }
                _ => Step::Put(Cell { until, word: mine }, true),
            },
        )
    }

    /// Whether an id is remembered. One host call.
    ///
    /// # Errors
    /// `Foreign` if the slot isn't ours: then nothing is known.
    pub fn contains(&self, at: &Moment<'_>, digest: &Digest) -> Result<bool, Unavailable> {
        Ok(self.cells.get(at, digest)?.is_some_and(|cell| cell.until > at.now))
    }
}
