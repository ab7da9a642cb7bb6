//! How exchanges wait on Kong: each makes calls to a server block that answers after a while. A
//! worker makes a bounded number of them a second, however many wait: the more wait, the longer
//! each call.

use std::cell::Cell;

use crate::facts::Queue;
use crate::time::Time;

/// Exchanges that wait in one worker at most, under all its configurations together: for token
/// calls, and for what strangers and others wait for.
const SEATS_MAX: u64 = 500;
const SEATS_MAX_OTHERS: u64 = 50;
/// Calls a second in one worker, while no more wait than have seats for token calls.
const CALLS_PER_S_MAX: u64 = 500;
/// The shortest and the longest wait in milliseconds; the server block's own bound is a second.
const WAIT_MS_MIN: u64 = 20;
const WAIT_MS_MAX: u64 = 1_000;
/// How long the wait takes that clears away what calls have left, in milliseconds: it isn't for time.
pub const CLEARING_MS: u64 = 1;

thread_local! {
    static TAKEN: [Cell<u64>; Queue::ALL.len()] = const { [Cell::new(0), Cell::new(0), Cell::new(0)] };
}

/// A place among those that wait; free again when it is dropped.
pub struct Seat(Queue);

impl Seat {
    /// A place in this queue, or nothing if all are taken, or `waiters_max` of them.
    pub fn take(queue: Queue, waiters_max: usize) -> Option<Seat> {
        let seats = match queue {
            Queue::Token => SEATS_MAX.min(waiters_max as u64),
            Queue::Keys | Queue::Asked => SEATS_MAX_OTHERS,
        };
        // Not `then_some`: a seat that was made and not given out would free another one when it is
        // dropped.
        change(queue, |taken| if taken < seats { taken + 1 } else { taken }).then(|| Seat(queue))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        change(self.0, |taken| taken.saturating_sub(1));
    }
}

/// Whether it changed how many places of a queue are taken.
fn change(queue: Queue, change: impl FnOnce(u64) -> u64) -> bool {
    TAKEN.with(|taken| {
        let Some(count) = taken.get(queue.place()) else { return false };
        let before = count.get();
        count.set(change(before));
        count.get() != before
    })
}

/// How long the next call is to take, for one that has its seat already; not past `deadline`.
pub fn interval_ms(now: Time, deadline: Time) -> u64 {
    let taken: u64 = TAKEN.with(|taken| taken.iter().map(Cell::get).sum());
    let fair = taken.saturating_mul(1_000).div_ceil(CALLS_PER_S_MAX);
    let left = deadline.ms_since(now).saturating_add(1);
    fair.clamp(WAIT_MS_MIN, WAIT_MS_MAX).min(left.max(WAIT_MS_MIN))
}
