//! Calendar quotas: so many requests per hour, day or month in UTC.
//!
//! A cell of a quota is busy until its window ends, which also says which window it counts, and its
//! number is the count. A restart of the host that loses shared memory starts the window afresh.

use super::Decision;
use crate::rate_limit::Window;
use crate::shared::cells::Cell;
use crate::shared::twin::{Twin, broken};
use crate::time::{NS_PER_S, Time};

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 86_400;

/// A quota, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    quota: u64,
    window: Window,
}

impl Quota {
    /// `quota` requests in each window; nothing for 0.
    pub fn new(quota: u64, window: Window) -> Option<Self> {
        (quota > 0).then_some(Quota { quota, window })
    }

    /// Whether one more request passes now.
    pub fn decide(&self, cell: Option<Cell>, now: Time) -> Decision {
        let after = self.add(cell, now);
        let reset_ns = after.until.ns().saturating_sub(now.ns()).max(1);
        if self.within(after) {
            return Decision::Allowed { cell: after, remaining: self.quota - after.word, reset_ns };
        }
        let kept = Cell { word: after.word.saturating_sub(1), ..after };
        Decision::Refused {
            retry_after_ns: reset_ns,
            reset_ns,
            rewritten: Some(kept).filter(|kept| Some(*kept) != cell),
        }
    }

    /// The cell with one more request, whether that is within the quota or not.
    pub fn add(&self, cell: Option<Cell>, now: Time) -> Cell {
        let end = window_end(self.window, now);
        match cell {
            // A later window than now's was begun before the clock went back. It goes on, so that
            // nobody has it twice, but as the next one at most, so that nobody waits a year for it.
            Some(cell) if cell.until >= end => Cell {
                until: cell.until.min(window_end(self.window, end)),
                word: cell.word.saturating_add(1),
            },
            _ => Cell { until: end, word: 1 },
        }
    }

    /// Which calendar window it counts by.
    pub const fn window(&self) -> Window {
        self.window
    }

    /// Whether what has been charged is within the quota.
    pub fn within(&self, cell: Cell) -> bool {
        cell.word <= self.quota
    }

    /// The cell once it is known that all gateways together have counted `total` in the window that
    /// ends at `end`; nothing if the cell says as much, or the window isn't its own.
    pub fn raise(&self, cell: Option<Cell>, end: Time, total: u64, now: Time) -> Option<Cell> {
        let known = match cell {
            _ if end <= now => return None,
            Some(cell) if cell.until > end => return None,
            Some(cell) if cell.until == end => cell.word,
            _ => 0,
        };
        (total > known || (broken(Twin::RaiseLowers) && total != known))
            .then_some(Cell { until: end, word: total })
    }

    /// The cell without a request that was charged when it became `wrote`; nothing if that was in
    /// another window.
    pub fn refund(&self, cell: Cell, wrote: Cell) -> Option<Cell> {
        (cell.until == wrote.until).then(|| Cell { word: cell.word.saturating_sub(1), ..cell })
    }
}

/// The first moment after the window that `now` is in.
pub fn window_end(window: Window, now: Time) -> Time {
    let s = now.ns() / NS_PER_S;
    Time::from_s(match window {
        Window::Hour => (s / HOUR_S + 1).saturating_mul(HOUR_S),
        Window::Day => (s / DAY_S + 1).saturating_mul(DAY_S),
        Window::Month => month_end_day(s / DAY_S).saturating_mul(DAY_S),
    })
}

/// The first day of the month after the one that `day` is in; days since the epoch.
fn month_end_day(day: u64) -> u64 {
    // Years that begin in March, so that the leap day is the last; eras of 400 of them.
    let from_era = day + 719_468;
    let (era, of_era) = (from_era / 146_097, from_era % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let start_of_next = match month {
        // February's end is the year's.
        11 => {
            365 + u64::from(
                (year + 1).is_multiple_of(4)
                    && (!(year + 1).is_multiple_of(100) || (year + 1).is_multiple_of(400)),
            )
        }
        month => (153 * (month + 1) + 2) / 5,
    };
    era * 146_097 + 365 * year + year / 4 - year / 100 + start_of_next - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29 12:34:56 UTC.
    const LEAP: u64 = 1_709_210_096;

    fn decide_many(
        quota: &Quota,
        mut cell: Option<Cell>,
        now: Time,
        tries: usize,
    ) -> (u64, Option<Cell>) {
        let mut admitted = 0;
        for _ in 0..tries {
            match quota.decide(cell, now) {
                Decision::Allowed { cell: after, .. } => {
                    (admitted, cell) = (admitted + 1, Some(after))
                }
                Decision::Refused { rewritten, .. } => cell = rewritten.or(cell),
            }
        }
        (admitted, cell)
    }

    #[test]
    fn windows_end_where_the_calendar_says() {
        let end = |window, s| window_end(window, Time::from_s(s)).s();
        assert_eq!(end(Window::Hour, LEAP), 1_709_211_600);
        assert_eq!(end(Window::Day, LEAP), 1_709_251_200);
        assert_eq!(end(Window::Month, LEAP), 1_709_251_200);
        assert_eq!(end(Window::Month, 1_709_251_200), 1_711_929_600); // March 2024
        assert_eq!(end(Window::Month, 1_677_600_000), 1_677_628_800); // 2023-02-28
        assert_eq!(end(Window::Month, 1_703_980_800), 1_704_067_200); // 2023-12-31
        assert_eq!(end(Window::Month, 951_782_400), 951_868_800); // 2000-02-29
        assert_eq!(end(Window::Month, 0), 31 * DAY_S);
    }

    #[test]
    fn every_month_of_400_years_has_its_length() {
        let (mut start, mut year, mut month) = (0u64, 1970u64, 1usize);
        for _ in 0..4800 {
            let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            let days =
                [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1];
            for day in [start, start + days / 2, start + days - 1] {
                assert_eq!(month_end_day(day), start + days, "{year}-{month}");
            }
            start += days;
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
    }

    #[test]
    fn the_quota_passes_once_a_window() {
        let quota = Quota::new(5, Window::Day).unwrap();
        let now = Time::from_s(LEAP);
        let (admitted, cell) = decide_many(&quota, None, now, 9);
        assert_eq!(admitted, 5);
        let Decision::Refused { retry_after_ns, .. } = quota.decide(cell, now) else { panic!() };
        assert_eq!(now.ns() + retry_after_ns, 1_709_251_200 * NS_PER_S);
        assert_eq!(decide_many(&quota, cell, Time::from_s(1_709_251_199), 9).0, 0);
        assert_eq!(decide_many(&quota, cell, Time::from_s(1_709_251_200), 9).0, 5);
    }

    #[test]
    fn what_others_counted_is_added_to_its_own_window_alone() {
        let quota = Quota::new(5, Window::Day).unwrap();
        let (now, end) = (Time::from_s(LEAP), Time::from_s(1_709_251_200));
        let cell = Some(Cell { until: end, word: 3 });
        assert_eq!(quota.raise(cell, end, 4, now), Some(Cell { until: end, word: 4 }));
        assert_eq!(quota.raise(None, end, 4, now), Some(Cell { until: end, word: 4 }));
        assert_eq!(
            quota.raise(Some(Cell { until: now, word: 9 }), end, 4, now),
            Some(Cell { until: end, word: 4 })
        );
        assert_eq!(quota.raise(cell, end, 3, now), None);
        assert_eq!(
            quota.raise(Some(Cell { until: end.plus_s(DAY_S), word: 1 }), end, 4, now),
            None
        );
        assert_eq!(quota.raise(cell, end, 4, end), None);
        let full = quota.raise(cell, end, u64::MAX, now);
        assert!(matches!(quota.decide(full, now), Decision::Refused { .. }));
    }

    #[test]
    fn a_clock_that_went_forward_and_back_gives_no_window_twice() {
        let quota = Quota::new(5, Window::Day).unwrap();
        let now = Time::from_s(LEAP);
        let (_, cell) = decide_many(&quota, None, now, 9);
        let (ahead, cell) = decide_many(&quota, cell, now.plus_s(DAY_S), 9);
        let (back, cell) = decide_many(&quota, cell, now, 9);
        let (ahead_again, cell) = decide_many(&quota, cell, now.plus_s(DAY_S), 9);
        assert_eq!((ahead, back, ahead_again), (5, 0, 0));
        assert_eq!(decide_many(&quota, cell, now.plus_s(2 * DAY_S), 9).0, 5);
    }

    #[test]
    fn a_clock_that_was_a_year_ahead_locks_nobody_out_for_a_year() {
        let quota = Quota::new(5, Window::Hour).unwrap();
        let now = Time::from_s(LEAP);
        let (_, cell) = decide_many(&quota, None, now.plus_s(365 * DAY_S), 9);
        let (back, cell) = decide_many(&quota, cell, now, 1);
        assert_eq!(back, 0);
        assert_eq!(decide_many(&quota, cell, now.plus_s(2 * HOUR_S), 9).0, 5);
    }
}
