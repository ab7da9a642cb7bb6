//! What a limit does to a cell, rate or quota alike.

mod gcra;
mod quota;

pub use gcra::Gcra;
#[cfg(test)]
pub use gcra::RAISE_NS_MIN;

use crate::rate_limit::{Amount, RateLimit, Sync, Window};
use crate::shared::cells::Cell;
use crate::time::{NS_PER_MS, Time};

use quota::Quota;

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

    /// A limit's own numbers where so many gateways share it; nothing if they are out of bounds.
    pub fn of(limit: &RateLimit, gateways: u32) -> Option<Self> {
        Policy::under(limit, limit.amount, gateways)
    }

    /// These numbers of a limit: its own, or a tier's.
    pub fn under(limit: &RateLimit, amount: Amount, gateways: u32) -> Option<Self> {
        let gcra = match Policy::new(amount)? {
            Policy::Rate(gcra) => limit.among_tiers(gcra),
            quota => return Some(quota),
        };
        Some(Policy::Rate(match &limit.sync {
            Some(sync) => gcra.shared(gateways, overshoot_ns(sync, gateways)),
            None => gcra,
        }))
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
            (Policy::Rate(_), Known::Counted { .. }) | (Policy::Quota(_), Known::Until(_)) => None,
        }
    }

    /// What a cell says, as it is told of others' cells.
    pub fn known(&self, cell: Cell) -> Known {
        match self {
            Policy::Rate(_) => Known::Until(cell.until),
            Policy::Quota(_) => Known::Counted { window_end: cell.until, total: cell.word },
        }
    }

    /// What one more charge adds to what gateways tell each other, and when its window ends if it
    /// counts in one.
    pub fn adds(&self, now: Time) -> (u64, Option<Time>) {
        match self {
            Policy::Rate(gcra) => (gcra.emission_ns(), None),
            Policy::Quota(quota) => (1, Some(quota::window_end(quota.window(), now))),
        }
    }

    /// The rate, if it is one.
    pub fn rate(&self) -> Option<&Gcra> {
        match self {
            Policy::Rate(gcra) => Some(gcra),
            Policy::Quota(_) => None,
        }
    }

    /// Nanoseconds until the limit is as unused without one of its charges; `reset_ns` is with it.
    pub fn reset_ns_without_one(&self, reset_ns: u64) -> u64 {
        match self {
            Policy::Rate(gcra) => reset_ns.saturating_sub(gcra.emission_ns()),
            // A window ends when it ends.
            Policy::Quota(_) => reset_ns,
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

/// What clients are told of an amount.
pub struct Told {
    /// How many requests pass.
    pub quota: u64,
    /// In how many seconds, where that is one number.
    pub window_s: Option<u64>,
    /// The name of that time, where it has one.
    pub period: Option<&'static str>,
}

impl Amount {
    /// What clients are told of it.
    pub fn told(self) -> Told {
        match self {
            Amount::Rate { limit, per_s, .. } => {
                let period = match per_s {
                    1 => Some("second"),
                    60 => Some("minute"),
                    3_600 => Some("hour"),
                    86_400 => Some("day"),
                    _ => None,
                };
                Told { quota: limit, window_s: Some(per_s), period }
            }
            Amount::Quota { quota, window } => {
                let (window_s, period) = match window {
                    Window::Hour => (Some(3_600), "hour"),
                    Window::Day => (Some(86_400), "day"),
                    Window::Month => (None, "month"),
                };
                Told { quota, window_s, period: Some(period) }
            }
        }
    }

    /// What is part of its counters' names: its kind, and numbers.
    pub(super) fn name(self) -> (u8, [u64; 3]) {
        match self {
            Amount::Rate { limit, per_s, burst } => (0, [limit, per_s, burst]),
            Amount::Quota { quota, window: Window::Hour } => (1, [quota, 0, 0]),
            Amount::Quota { quota, window: Window::Day } => (2, [quota, 0, 0]),
            Amount::Quota { quota, window: Window::Month } => (3, [quota, 0, 0]),
        }
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Amount::Rate { limit, per_s, burst } => {
                write!(f, "{limit} in {per_s} s, {burst} at one instant")
            }
            Amount::Quota { quota, window } => {
                let window = match window {
                    Window::Hour => "hour",
                    Window::Day => "day",
                    Window::Month => "month",
                };
                write!(f, "{quota} in a calendar {window} (UTC)")
            }
        }
    }
}
