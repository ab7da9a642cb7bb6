//! How exchanges wait on Kong: each makes calls to a server block that answers after a while. A worker
//! makes a bounded number of them a second, however many wait: the more wait, the longer each call.

use std::cell::Cell;

use crate::time::Time;

/// Exchanges that wait in one worker at most, under all its configurations together.
const SEATS_MAX: u64 = 500;
/// Calls a second in one worker at most.
const CALLS_PER_S_MAX: u64 = 500;
/// The shortest and the longest wait in milliseconds; the server block's own bound is a second.
const WAIT_MS_MIN: u64 = 20;
const WAIT_MS_MAX: u64 = 1_000;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// A place among those that wait; free again when it is dropped.
pub struct Seat(());

impl Seat {
    /// A place, or nothing if all are taken, or `waiters_max` of them.
    pub fn take(waiters_max: usize) -> Option<Seat> {
        let taken = TAKEN.get();
        (taken < SEATS_MAX.min(waiters_max as u64)).then(|| {
            TAKEN.set(taken + 1);
            Seat(())
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get().saturating_sub(1));
    }
}

/// How long the next call is to take, for one that has its seat already; not past `deadline`.
pub fn interval_ms(now: Time, deadline: Time) -> u64 {
    let fair = TAKEN.get().saturating_mul(1_000).div_ceil(CALLS_PER_S_MAX);
    let left = deadline.ms_since(now).saturating_add(1);
    fair.clamp(WAIT_MS_MIN, WAIT_MS_MAX).min(left.max(WAIT_MS_MIN))
}
