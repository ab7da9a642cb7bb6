//! The generic cell rate algorithm over one moment: the theoretical arrival time (TAT).
//!
//! Each admitted request puts the TAT off by the emission interval, and none is admitted that would
//! put it further ahead than `burst` intervals. What is missing to that *is* `Retry-After`.
//!
//! Where several gateways share the limit, each admits only its share of the burst at one instant,
//! but the TAT may lie ahead by more: that is what the others have admitted. See [`crate::rate_limit::sync`].

use super::Decision;
use crate::shared::cells::{CLOCK_SLACK_NS, Cell};
use crate::shared::twin::{Twin, broken};
use crate::time::{NS_PER_MS, NS_PER_S, Time};

/// A rate, checked: whole nanoseconds, no overflow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gcra {
    emission_ns: u64,
    /// The shortest and the longest interval by which others put off the same TAT.
    others_ns: (u64, u64),
    /// How far ahead the TAT may be put by a request.
    tolerance_ns: u64,
    /// How far ahead it can honestly lie.
    plausible_ns: u64,
}

/// No rate lets more than this many nanoseconds of requests pass at once: 146 years, so that no sum
/// with a present moment overflows.
const TOLERANCE_NS_MAX: u64 = 1 << 62;

impl Gcra {
    /// `limit` requests per `per_s` seconds, `burst` of them at one instant after idle. The
    /// interval between two is rounded up to a whole nanosecond, so never more than the limit
    /// passes. Nothing if one of them is 0, or `burst` requests at that rate take more than 146
    /// years.
    pub fn new(limit: u64, per_s: u64, burst: u64) -> Option<Self> {
        if limit == 0 || per_s == 0 || burst == 0 {
            return None;
        }
        let emission_ns = match per_s.checked_mul(NS_PER_S) {
            Some(period_ns) => period_ns.div_ceil(limit),
            None => {
                let period_ns = u128::from(per_s) * u128::from(NS_PER_S);
                u64::try_from(period_ns.div_ceil(u128::from(limit))).ok()?
            }
        };
        let tolerance_ns = emission_ns.checked_mul(burst).filter(|ns| *ns <= TOLERANCE_NS_MAX)?;
        let plausible_ns = tolerance_ns.saturating_add(CLOCK_SLACK_NS);
        let others_ns = (emission_ns, emission_ns);
        Some(Gcra { emission_ns, others_ns, tolerance_ns, plausible_ns })
    }

    /// The rate where requests of another rate put off the same TAT.
    pub fn beside(self, other: Gcra) -> Self {
        let (shortest, longest) = self.others_ns;
        Gcra {
            others_ns: (shortest.min(other.emission_ns), longest.max(other.emission_ns)),
            plausible_ns: self.plausible_ns.max(other.plausible_ns),
            ..self
        }
    }

    /// The rate where so many gateways share it: each admits its part of the burst at one instant,
    /// and at least one request. All of them together can be ahead of the limit by `overshoot_ns`
    /// more.
    pub fn shared(self, gateways: u32, overshoot_ns: u64) -> Self {
        let tolerance_ns = (self.tolerance_ns / u64::from(gateways.max(1))).max(self.emission_ns);
        Gcra { tolerance_ns, plausible_ns: self.plausible_ns.saturating_add(overshoot_ns), ..self }
    }

    /// How far ahead of now a TAT can honestly lie, in nanoseconds.
    pub const fn plausible_ns(&self) -> u64 {
        self.plausible_ns
    }

    /// Nanoseconds from one request to the next at the limit's pace.
    pub const fn emission_ns(&self) -> u64 {
        self.emission_ns
    }

    /// How far ahead of now a request may put the TAT, in nanoseconds.
    pub const fn tolerance_ns(&self) -> u64 {
        self.tolerance_ns
    }

    /// Whether one more request passes now.
    pub fn decide(&self, cell: Option<Cell>, now: Time) -> Decision {
        let after = self.add(cell, now);
        let ahead_ns = after.until.ns() - now.ns();
        if self.within(after, now) {
            return Decision::Allowed {
                cell: after,
                remaining: (self.tolerance_ns - ahead_ns) / self.emission_ns,
                reset_ns: ahead_ns,
            };
        }
        let kept = cell.map(|cell| Cell { until: self.plausible(cell.until, now), ..cell });
        Decision::Refused {
            retry_after_ns: ahead_ns.saturating_sub(self.tolerance_ns).max(1),
            reset_ns: ahead_ns.saturating_sub(self.emission_ns),
            rewritten: kept.filter(|kept| Some(*kept) != cell),
        }
    }

    /// The cell with one more request, whether that is within the limit or not. Its number counts
    /// the charges and the refunds.
    pub fn add(&self, cell: Option<Cell>, now: Time) -> Cell {
        let tat = cell.map_or(now, |cell| self.plausible(cell.until, now)).max(now);
        let until = Time::from_ns(tat.ns().saturating_add(self.emission_ns));
        let before = cell.map_or(0, |cell| cell.word);
        Cell { until, word: word(charges(before).wrapping_add(1), refunds(before)) }
    }

    /// Whether what has been charged is within the limit.
    pub fn within(&self, cell: Cell, now: Time) -> bool {
        cell.until.ns() != u64::MAX && cell.until.ns().saturating_sub(now.ns()) <= self.tolerance_ns
    }

    /// The cell once it is known that all gateways together have put the TAT off to `tat`; nothing
    /// if that says little more than the cell does. Never takes anything away: what was charged
    /// here since is in the cell alone. (A request that is taken back after this leaves no less
    /// than this gateway's own charges, and what it then lacks of the others' comes back with the
    /// next answer.)
    pub fn raise(&self, cell: Option<Cell>, tat: Time, now: Time) -> Option<Cell> {
        let known = cell.map_or(now, |cell| self.plausible(cell.until, now));
        let until = self.plausible(tat, now);
        let is_more = until.ns() > known.ns().saturating_add(RAISE_NS_MIN)
            || (broken(Twin::RaiseLowers) && until != known);
        is_more.then(|| Cell { until, word: cell.map_or(0, |cell| cell.word) })
    }

    /// The cell without a request that was charged at `now`, when it became `wrote`; nothing if
    /// that can't be taken back. What it leaves is never less than if the request had not been.
    ///
    /// Without it, those charged since had found the bucket as it was before, or idle: then their
    /// requests count from their own moments, of which all that is known is that they are within
    /// the slack of this one. A TAT that is behind its charges was cut off, because the clock went
    /// back. Where intervals differ, what is not known counts as what is worse.
    pub fn refund(&self, cell: Cell, wrote: Cell, now: Time) -> Option<Cell> {
        let charged = u128::from(charges(cell.word).wrapping_sub(charges(wrote.word)));
        let refunded = u128::from(refunds(cell.word).wrapping_sub(refunds(wrote.word)));
        let (emission, tat) = (u128::from(self.emission_ns), u128::from(cell.until.ns()));
        let (shortest, longest) = (u128::from(self.others_ns.0), u128::from(self.others_ns.1));
        let cut_off = tat + refunded * shortest < u128::from(wrote.until.ns()) + charged * longest;
        let mut least = tat.saturating_sub(emission);
        if charged > 0 && !broken(Twin::RefundBlindly) {
            let from_idle = u128::from(now.ns()) + u128::from(CLOCK_SLACK_NS) + charged * longest;
            least = least.max(from_idle.min(tat));
        }
        let until = Time::from_ns(u64::try_from(least).ok()?);
        (!cut_off).then(|| Cell {
            until,
            word: word(charges(cell.word), refunds(cell.word).wrapping_add(1)),
        })
    }

    /// A TAT as this rate can have made it: after the clock went back it may lie any way ahead, and
    /// then the bucket counts as full, no more. The slack is for workers whose clock is a little
    /// ahead of this one's: what they charged stays charged.
    fn plausible(&self, tat: Time, now: Time) -> Time {
        tat.min(Time::from_ns(now.ns().saturating_add(self.plausible_ns)))
    }
}

/// What others have charged is taken in from this much on: less isn't worth a write, and the ticks
/// of a clock and of a network make as much.
pub const RAISE_NS_MIN: u64 = NS_PER_MS;

const fn word(charges: u32, refunds: u32) -> u64 {
    (refunds as u64) << 32 | charges as u64
}

const fn charges(word: u64) -> u32 {
    word as u32
}

const fn refunds(word: u64) -> u32 {
    (word >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Time {
        Time::from_s(1_800_000_000)
    }

    fn at(ns: u64) -> Time {
        Time::from_ns(now().ns() + ns)
    }

    /// How many of `tries` pass at one moment, and the cell after them.
    fn admit(gcra: &Gcra, mut cell: Option<Cell>, now: Time, tries: u64) -> (u64, Option<Cell>) {
        let mut admitted = 0;
        for _ in 0..tries {
            match gcra.decide(cell, now) {
                Decision::Allowed { cell: after, .. } => {
                    admitted += 1;
                    cell = Some(after);
                }
                Decision::Refused { rewritten, .. } => cell = rewritten.or(cell),
            }
        }
        (admitted, cell)
    }

    #[test]
    fn one_per_hour_with_burst_1000_admits_exactly_1000() {
        let gcra = Gcra::new(1, 3600, 1000).unwrap();
        let (admitted, cell) = admit(&gcra, None, now(), 2000);
        assert_eq!(admitted, 1000);
        assert_eq!(admit(&gcra, cell, at(3600 * NS_PER_S - 1), 5).0, 0);
        assert_eq!(admit(&gcra, cell, at(3600 * NS_PER_S), 5).0, 1);
    }

    #[test]
    fn the_21st_of_a_second_is_told_when_to_come_back() {
        let gcra = Gcra::new(20, 1, 20).unwrap();
        let (admitted, cell) = admit(&gcra, None, now(), 20);
        assert_eq!(admitted, 20);
        let Decision::Refused { retry_after_ns, rewritten: None, .. } = gcra.decide(cell, now())
        else {
            panic!()
        };
        assert_eq!(retry_after_ns, NS_PER_S / 20);
        assert!(matches!(
            gcra.decide(cell, at(retry_after_ns)),
            Decision::Allowed { remaining: 0, .. }
        ));
        assert!(matches!(
            gcra.decide(cell, at(retry_after_ns - 1)),
            Decision::Refused { retry_after_ns: 1, .. }
        ));
    }

    #[test]
    fn a_clock_that_went_back_locks_out_for_no_longer_than_the_burst() {
        let gcra = Gcra::new(10, 3600, 10).unwrap();
        let (_, used) = admit(&gcra, None, at(86_400 * NS_PER_S), 10);
        // Back by a day: full, and told to come back after one interval and the slack.
        let Decision::Refused { retry_after_ns, rewritten, .. } = gcra.decide(used, now()) else {
            panic!()
        };
        assert_eq!(retry_after_ns, 361 * NS_PER_S);
        let kept = rewritten.unwrap();
        assert_eq!(kept.until, at(3601 * NS_PER_S));
        assert_eq!(admit(&gcra, Some(kept), at(361 * NS_PER_S), 5).0, 1);
    }

    #[test]
    fn a_window_is_not_reopened_twice() {
        let gcra = Gcra::new(10, 3600, 10).unwrap();
        let (first, cell) = admit(&gcra, None, now(), 20);
        let (ahead, cell) = admit(&gcra, cell, at(86_400 * NS_PER_S), 20);
        let (back, cell) = admit(&gcra, cell, at(1), 20);
        let (ahead_again, cell) = admit(&gcra, cell, at(2), 20);
        assert_eq!((first, ahead, back, ahead_again), (10, 10, 0, 0));
        assert_eq!(admit(&gcra, cell, at(3601 * NS_PER_S + 1), 20).0, 10);
    }

    #[test]
    fn numbers_out_of_bounds_are_no_rate() {
        assert!(
            Gcra::new(0, 1, 1).is_none()
                && Gcra::new(1, 0, 1).is_none()
                && Gcra::new(1, 1, 0).is_none()
        );
        assert!(Gcra::new(1, u64::MAX, u64::MAX).is_none());
        assert_eq!(Gcra::new(u64::MAX, 1, 1).unwrap().emission_ns(), 1);
        assert_eq!(Gcra::new(3, 1, 3).unwrap().emission_ns(), 333_333_334);
    }

    #[test]
    fn a_refund_after_idle_takes_nothing_from_others() {
        let gcra = Gcra::new(1, 10, 9).unwrap();
        let mine = gcra.add(None, now());
        assert_eq!(gcra.refund(mine, mine, now()).unwrap().until, now());
        // Another half a second later: without mine it would have counted from there.
        let others = gcra.add(Some(mine), at(NS_PER_S / 2));
        let left = gcra.refund(others, mine, now()).unwrap();
        assert_eq!(left.until, at(11 * NS_PER_S));
        // And that one taken back too.
        assert_eq!(gcra.refund(left, others, at(NS_PER_S / 2)).unwrap().until, at(NS_PER_S));
        // Cut off in between: what is there is not known to hold mine.
        assert_eq!(gcra.refund(Cell { until: at(15 * NS_PER_S), ..others }, mine, now()), None);
    }

    #[test]
    fn what_another_rate_has_charged_is_not_cut_off() {
        let small = Gcra::new(1, 1, 2).unwrap();
        let large = Gcra::new(2, 1, 40).unwrap();
        let (passed, cell) = admit(&large.beside(small), None, now(), 100);
        assert_eq!((passed, cell.unwrap().until), (40, at(20 * NS_PER_S)));
        let Decision::Refused { retry_after_ns, rewritten, .. } =
            small.beside(large).decide(cell, now())
        else {
            panic!()
        };
        assert_eq!((retry_after_ns, rewritten), (19 * NS_PER_S, None));
        // By its own numbers it takes the others' charges for a clock that went back.
        assert!(matches!(small.decide(cell, now()), Decision::Refused { rewritten: Some(_), .. }));
    }

    proptest! {
        #[test]
        fn a_refund_among_rates_leaves_no_less_than_if_it_had_not_been(before in 0u64..3, mine_is in 0usize..2, steps in proptest::collection::vec((0u64..300_000_000, 0usize..2, any::<bool>()), 0..4)) {
            let alone = [Gcra::new(1, 7, 50).unwrap(), Gcra::new(5, 1, 50).unwrap()];
            let rates = [alone[0].beside(alone[1]), alone[1].beside(alone[0])];
            let start = (0..before).fold(None, |cell, _| Some(rates[0].add(cell, now())));
            let mine = rates[mine_is].add(start, now());
            let (mut with, mut without, mut passed_ns) = (mine, start, 0);
            for (step, rate, back) in steps {
                passed_ns += step;
                let theirs = rates[rate].add(Some(with), at(passed_ns));
                with = theirs;
                match rates[rate].refund(with, theirs, at(passed_ns)).filter(|_| back) {
                    Some(taken_back) => with = taken_back,
                    None => without = Some(rates[rate].add(without, at(passed_ns))),
                }
            }
            if let Some(left) = rates[mine_is].refund(with, mine, now()) {
                prop_assert!(left.until >= without.map_or(Time::default(), |cell| cell.until));
            }
        }

        #[test]
        fn exactly_the_burst_passes_at_once(limit in 1u64..5000, per_s in 1u64..100_000, burst in 1u64..300) {
            let gcra = Gcra::new(limit, per_s, burst).unwrap();
            prop_assert_eq!(admit(&gcra, None, now(), burst + 50).0, burst);
        }

        #[test]
        fn never_more_than_burst_and_rate(limit in 1u64..50, per_s in 1u64..50, burst in 1u64..50, steps in proptest::collection::vec(0u64..3_000_000_000, 1..200)) {
            let gcra = Gcra::new(limit, per_s, burst).unwrap();
            let (mut cell, mut passed_ns, mut admitted) = (None, 0u64, 0u64);
            for step in steps {
                passed_ns += step;
                let (n, after) = admit(&gcra, cell, at(passed_ns), 3);
                (admitted, cell) = (admitted + n, after);
                prop_assert!(u128::from(admitted) <= u128::from(burst) + u128::from(passed_ns) * u128::from(limit) / (u128::from(per_s) * u128::from(NS_PER_S)));
            }
        }

        #[test]
        fn a_refund_leaves_no_less_than_if_it_had_not_been(per_s in 1u64..20, before in 0u64..3, steps in proptest::collection::vec((0u64..300_000_000, any::<bool>()), 0..4)) {
            let gcra = Gcra::new(1, per_s, 50).unwrap();
            let start = (0..before).fold(None, |cell, _| Some(gcra.add(cell, now())));
            let mine = gcra.add(start, now());
            let (mut with, mut without, mut passed_ns) = (mine, start, 0);
            for (step, back) in steps {
                passed_ns += step;
                let theirs = gcra.add(Some(with), at(passed_ns));
                with = theirs;
                if back {
                    with = gcra.refund(with, theirs, at(passed_ns)).unwrap();
                } else {
                    without = Some(gcra.add(without, at(passed_ns)));
                }
            }
            let left = gcra.refund(with, mine, now()).unwrap();
            prop_assert!(left.until >= without.map_or(Time::default(), |cell| cell.until));
        }

        #[test]
        fn any_numbers_do(limit in any::<u64>(), per_s in any::<u64>(), burst in any::<u64>(), until in any::<u64>(), word in any::<u64>(), now in any::<u64>()) {
            if let Some(gcra) = Gcra::new(limit, per_s, burst) {
                let cell = Cell { until: Time::from_ns(until), word };
                if let Decision::Refused { retry_after_ns, .. } = gcra.decide(Some(cell), Time::from_ns(now)) {
                    prop_assert!(retry_after_ns <= gcra.plausible_ns + gcra.emission_ns);
                }
                let _ = gcra.refund(cell, Cell { until: Time::from_ns(now), word: limit }, Time::from_ns(per_s));
            }
        }

        #[test]
        fn a_raise_only_raises(limit in 1u64..1000, burst in 1u64..100, gateways in 1u32..9, until in any::<u64>(), word in any::<u64>(), tat in any::<u64>(), now in any::<u64>()) {
            let gcra = Gcra::new(limit, 1, burst).unwrap().shared(gateways, NS_PER_S);
            let (cell, now) = (Cell { until: Time::from_ns(until), word }, Time::from_ns(now));
            if let Some(raised) = gcra.raise(Some(cell), Time::from_ns(tat), now) {
                prop_assert!(raised.until > gcra.plausible(cell.until, now) && raised.until <= gcra.plausible(Time::from_ns(u64::MAX), now));
                prop_assert_eq!(raised.word, word);
                prop_assert_eq!(gcra.raise(Some(raised), Time::from_ns(tat), now), None);
            }
        }

        #[test]
        fn shares_of_the_burst_add_up(limit in 1u64..1000, burst in 1u64..300, gateways in 1u32..9) {
            let whole = Gcra::new(limit, 1, burst).unwrap();
            let part = admit(&whole.shared(gateways, 0), None, now(), burst + 50).0;
            prop_assert!(part >= 1 && part * u64::from(gateways) <= burst.max(u64::from(gateways)) && (part + 1) * u64::from(gateways) > burst);
        }

        #[test]
        fn who_obeys_is_not_refused_again(limit in 1u64..100, per_s in 1u64..100, burst in 1u64..20, at_ns in 0u64..10_000_000_000) {
            let gcra = Gcra::new(limit, per_s, burst).unwrap();
            let (_, cell) = admit(&gcra, None, now(), burst);
            if let Decision::Refused { retry_after_ns, .. } = gcra.decide(cell, at(at_ns)) {
                let obeyed = matches!(gcra.decide(cell, at(at_ns + retry_after_ns)), Decision::Allowed { .. });
                let early = matches!(gcra.decide(cell, at(at_ns + retry_after_ns - 1)), Decision::Refused { .. });
                prop_assert!(obeyed && early);
            }
        }
    }
}
