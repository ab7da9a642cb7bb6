//! Time as an argument: nothing in the core reads a clock.

/// A moment: nanoseconds since the Unix epoch. Kong's clock has steps of a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(u64);

/// By how much the clocks of two workers may seem to differ, in milliseconds. What says that it
/// comes from further ahead was written before the clock went back.
pub const AHEAD_MS_MAX: u64 = 1_000;
/// The first moment that a clock can show which is set: 2025-01-01T00:00:00Z, before any of this
/// was written. Machines without a clock of their own start at 1970.
pub const CLOCK_MIN: Time = Time::from_s(1_735_689_600);

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;

impl Time {
    /// From nanoseconds since the epoch.
    pub const fn from_ns(ns: u64) -> Self {
        Time(ns)
    }
    /// From milliseconds since the epoch; stops at the end of the range.
    pub const fn from_ms(ms: u64) -> Self {
        Time(ms.saturating_mul(NS_PER_MS))
    }
    /// From whole seconds since the epoch; stops at the end of the range.
    pub const fn from_s(s: u64) -> Self {
        Time(s.saturating_mul(NS_PER_S))
    }
    /// Nanoseconds since the epoch.
    pub const fn ns(self) -> u64 {
        self.0
    }
    /// Whole milliseconds since the epoch, rounded down.
    pub const fn ms(self) -> u64 {
        self.0 / NS_PER_MS
    }
    /// Whole seconds since the epoch, rounded down: a `NumericDate` (RFC 7519, section 2).
    pub const fn s(self) -> u64 {
        self.0 / NS_PER_S
    }
    /// This moment and so many milliseconds more.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Time(self.0.saturating_add(ms.saturating_mul(NS_PER_MS)))
    }
    /// This moment and so many seconds more.
    pub const fn plus_s(self, s: u64) -> Self {
        Time(self.0.saturating_add(s.saturating_mul(NS_PER_S)))
    }
    /// Whether this is later than another worker's clock can be, seen from `now`.
    #[inline(always)]
    pub const fn is_ahead_of(self, now: Time) -> bool {
        self.0 > now.plus_ms(AHEAD_MS_MAX).0
    }
    /// Whether this is at most so many milliseconds before `now`, and not ahead of it.
    pub const fn is_recent(self, now: Time, ms: u64) -> bool {
        !self.is_ahead_of(now) && now.ms_since(self) <= ms
    }
    /// Milliseconds since `earlier`; 0 if that lies ahead.
    pub const fn ms_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / NS_PER_MS
    }
}

/// For how long something that was learnt holds: from the moment when it was. A span that begins
/// ahead of now is over, so that nothing holds for longer than its own length, whichever way the
/// clock goes. Who finds one so forgets it: the clock will come there again. It can't be cut to
/// that length instead: each look would cut it anew, and it would never end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// When it was learnt.
    pub from: Time,
    /// From when on it is over.
    pub until: Time,
}

impl Span {
    /// What no clock ends.
    pub const ALWAYS: Span = Span { from: Time::from_ns(0), until: Time::from_ns(u64::MAX) };

    /// Whether it holds.
    #[inline(always)]
    pub const fn holds(&self, now: Time) -> bool {
        now.0 < self.until.0 && !self.from.is_ahead_of(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the clock is set, what holds is over once it has run for the span's length and
        /// the slack.
        #[test]
        fn no_span_outlives_its_length(from in 0u64..1 << 60, length in 0u64..1 << 50, set in 0u64..1 << 61) {
            let span = Span { from: Time::from_ns(from), until: Time::from_ns(from + length) };
            let slack = AHEAD_MS_MAX * NS_PER_MS;
            let now = Time::from_ns(set);
            if span.holds(now) {
                prop_assert!(!span.holds(Time::from_ns(set + length + slack)));
            }
            prop_assert_eq!(span.holds(now), set + slack >= from && set < from + length);
        }
    }
}
