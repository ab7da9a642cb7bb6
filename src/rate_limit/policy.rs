//! What a limit does to a cell, rate or quota alike.

use super::gcra::Gcra;
use super::quota::Quota;
use crate::rate_limit::{Amount, RateLimit, Sync};
use crate::shared::cells::Cell;
use crate::time::{NS_PER_MS, Time};

/// A limit's numbers, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// A rate.
    Rate(Gcra),
    /// A quota per calendar window.
    Quota(Quota),
}

/// What all gateways together have charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// A rate: the theoretical arrival time.
    Until(Time),
    /// A quota.
    Counted {
        /// The first moment after the window.
        window_end: Time,
        /// Requests in it.
        total: u64,
    },
}

/// By how much gateways can be ahead of a limit together: what each admits until it hears of the
/// others, and as much again for those that couldn't tell. A sane bound, not the one that holds.
fn overshoot_ns(sync: &Sync, gateways: u32) -> u64 {
    let each_ms = sync.every_ms.saturating_mul(2).saturating_add(sync.call.timeout_ms);
    each_ms.saturating_mul(u64::from(gateways)).saturating_mul(NS_PER_MS)
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
            Amount::Rate { limit, per_s, burst } => {
                Gcra::new(limit, per_s, burst).map(Policy::Rate)
            }
            Amount::Quota { quota, window } => Quota::new(quota, window).map(Policy::Quota),
        }
    }

    /// The numbers of a limit that so many gateways share; nothing if they are out of bounds.
    pub fn of(limit: &RateLimit, gateways: u32) -> Option<Self> {
        let policy = Policy::new(limit.amount)?;
        Some(match (policy, &limit.sync) {
            (Policy::Rate(gcra), Some(sync)) => {
                Policy::Rate(gcra.shared(gateways, overshoot_ns(sync, gateways)))
            }
            (alone, _) => alone,
        })
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

    /// The cell once it is known what all gateways have charged; nothing if it says as much.
    pub fn raise(&self, cell: Option<Cell>, known: Known, now: Time) -> Option<Cell> {
        match (self, known) {
            (Policy::Rate(gcra), Known::Until(tat)) => gcra.raise(cell, tat, now),
            (Policy::Quota(quota), Known::Counted { window_end, total }) => {
                quota.raise(cell, window_end, total, now)
            }
            _ => None,
        }
    }

    /// The cell without a request that was charged at `now`, when it became `wrote`, if that can be
    /// told.
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
