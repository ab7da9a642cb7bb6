//! What a limit does to a cell, rate or quota alike.

use super::gcra::Gcra;
use super::quota::Quota;
use crate::config::Amount;
use crate::shared::cells::Cell;
use crate::time::Time;

/// A limit's numbers, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// A rate.
    Rate(Gcra),
    /// A quota per calendar window.
    Quota(Quota),
}

/// What a limit says to one more request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It passes once the cell is this.
    Allowed {
        /// The cell with this request.
        cell: Cell,
        /// How many more would pass at this moment.
        remaining: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
    },
    /// It doesn't.
    Refused {
        /// Until it would, in nanoseconds, at least 1.
        retry_after_ns: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
        /// What the cell is to become all the same, because the clock went back.
        rewritten: Option<Cell>,
    },
}

impl Policy {
    /// The numbers of a limit; nothing if they are out of bounds (see [`Gcra::new`]).
    pub fn new(amount: Amount) -> Option<Self> {
        match amount {
            Amount::Rate { limit, per_s, burst } => Gcra::new(limit, per_s, burst).map(Policy::Rate),
            Amount::Quota { quota, window } => Quota::new(quota, window).map(Policy::Quota),
        }
    }

    /// Whether one more request passes now.
    pub fn decide(&self, cell: Option<Cell>, now: Time) -> Decision {
        match self {
            Policy::Rate(gcra) => gcra.decide(cell, now),
            Policy::Quota(quota) => quota.decide(cell, now),
        }
    }

    /// The cell with one more request, whether that is within the limit or not.
    pub fn add(&self, cell: Option<Cell>, now: Time) -> Cell {
        match self {
            Policy::Rate(gcra) => gcra.add(cell, now),
            Policy::Quota(quota) => quota.add(cell, now),
        }
    }

    /// Whether what has been charged is within the limit.
    pub fn within(&self, cell: Cell, now: Time) -> bool {
        match self {
            Policy::Rate(gcra) => gcra.within(cell, now),
            Policy::Quota(quota) => quota.within(cell),
        }
    }

    /// The cell without a request that was charged at `now`, when it became `wrote`, if that can be told.
    pub fn refund(&self, cell: Cell, wrote: Cell, now: Time) -> Option<Cell> {
        match self {
            Policy::Rate(gcra) => gcra.refund(cell, wrote, now),
            Policy::Quota(quota) => quota.refund(cell, wrote),
        }
    }

    /// How much is charged at this moment, to compare cells of one limit.
    pub fn load(&self, cell: Option<Cell>, now: Time) -> u64 {
        match (self, cell) {
            (_, None) => 0,
            (_, Some(cell)) if cell.until <= now => 0,
            (Policy::Rate(_), Some(cell)) => cell.until.ns() - now.ns(),
            (Policy::Quota(_), Some(cell)) => cell.word,
        }
    }
}
