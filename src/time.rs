//! Time as an argument: nothing in the core reads a clock.

/// A moment: nanoseconds since the Unix epoch. Kong's clock has steps of a millisecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Time(u64);

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
    /// Milliseconds since `earlier`; 0 if that lies ahead.
    pub const fn ms_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0) / NS_PER_MS
    }
}
