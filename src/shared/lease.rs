//! Leases: of all workers of a host one does the work, until it is done or its time is up.
//!
//! A lease is a cell: busy until it ends, its number the owner's random id. Versions can't say
//! whose it is (Kong's start again at 1 with a new slot, Envoy's wrap), the id can. A leader that
//! died is one whose lease ends; the next to ask takes over, and one only, since all ask the same
//! slot.

use super::cells::{CLOCK_SLACK_NS, Cell, Cells, Step};
use super::slot::TableId;
use super::twin::{Twin, broken};
use super::{Moment, Store, Unavailable};
use crate::digest::Digest;
use crate::time::Time;

/// Leases in shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leases {
    cells: Cells,
}

/// Who an owner is: random, never 0, drawn anew for each piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Owner(u64);

/// What came of asking for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acquired {
    /// It is held until then by the one who asked.
    Held {
        /// When the lease ends by itself.
        until: Time,
    },
    /// Another has it until then.
    Taken {
        /// The end, if that one doesn't extend it or give it up.
        until: Time,
    },
}

impl Owner {
    /// A new owner.
    pub fn new(store: &dyn Store) -> Self {
        Owner(store.random().max(1))
    }

    /// Its number, for where gateways meet.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Leases {
    /// Room for `leases_max` leases at a time, rounded up to whole slots.
    pub const fn new(leases_max: u32) -> Self {
        Leases { cells: Cells::new(TableId::Leases, leases_max) }
    }

    /// The table under it.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Asks for the lease of `digest` for `lease_ms` from now. The owner who has it already keeps
    /// it, until the later of both ends.
    ///
    /// # Errors Nobody's lease changed: `Full` if too many leases are held, `Exhausted` after eight
    /// lost races.
    pub fn acquire(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        owner: Owner,
        lease_ms: u64,
    ) -> Result<Acquired, Unavailable> {
        let until = at.now.plus_ms(lease_ms);
        self.cells.update(
            at,
            digest,
            |_, found| found.word == owner.0,
            |cell| match cell {
                Some(cell) if cell.word == owner.0 && cell.until >= until => {
                    Step::Keep(Acquired::Held { until: cell.until })
                }
                Some(cell)
                    if cell.word != owner.0
                        && holds(cell, until, at.now)
                        && !broken(Twin::LeaseUnasked) =>
                {
                    Step::Keep(Acquired::Taken { until: cell.until })
                }
                _ => Step::Put(Cell { until, word: owner.0 }, Acquired::Held { until }),
            },
        )
    }

    /// Gives the lease up; false if it wasn't this owner's any more.
    ///
    /// # Errors
    /// As [`Leases::acquire`]; the lease then ends by itself.
    pub fn release(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        owner: Owner,
    ) -> Result<bool, Unavailable> {
        self.cells.update(
            at,
            digest,
            |_, _| true,
            |cell| match cell {
                Some(cell) if cell.word == owner.0 => {
                    Step::Put(Cell { until: Time::default(), word: 0 }, true)
                }
                _ => Step::Keep(false),
            },
        )
    }

    /// Whether someone holds the lease, which nobody takes for longer than `lease_ms`. One host
    /// call.
    ///
    /// # Errors
    /// `Foreign` if the slot isn't ours.
    pub fn is_held(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        lease_ms: u64,
    ) -> Result<bool, Unavailable> {
        let cell = self.cells.get(at, digest)?;
        Ok(cell.is_some_and(|cell| holds(cell, at.now.plus_ms(lease_ms), at.now)))
    }
}

/// Whether a lease binds those who ask for one until `until`. One that ends later than theirs would
/// is from before the clock went back: its owner's time is up, or else work would stop for as long.
fn holds(cell: Cell, until: Time, now: Time) -> bool {
    cell.until > now && cell.until.ns() <= until.ns().saturating_add(CLOCK_SLACK_NS)
}
