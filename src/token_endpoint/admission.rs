//! How many calls the authorization server takes at once, and how it is led back after an outage.
//!
//! A state machine of 56 bytes for one shared record: each step takes the state and gives the next
//! one, for a compare-and-set.
//!
//! - At most `calls_max` calls are under way. Each is counted in the slice of time in which it began;
//!   a slice is forgotten after a lease, so that a call whose worker died gives its place back.
//! - Failures without a success in between begin an outage: one call at a time, with growing pauses.
//!   Then each success admits one more, and no second admits more than twice what the last one did.
//! - Who is refused is booked into a line that moves at the pace of the server's answers, and told to
//!   come back when it is there. So a million clients come back one after the other.

use crate::config::TokenEndpoint;
use crate::time::Time;

/// Bytes of an encoded state.
pub const STATE_BYTES: usize = 56;

/// The longest `Retry-After` in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 60;

const VERSION: u8 = 1;
const SLICES: usize = 4;
/// Points that begin an outage: five failures of [`Outcome::Overloaded`], twenty of [`Outcome::Error`].
const OUTAGE_POINTS: u8 = 20;
const RAMP_STEP_MS: u64 = 1_000;
const PAUSE_MS: u64 = 100;
const PAUSE_MS_MAX: u64 = 1_000;
const RATE_WINDOW_MS: u64 = 1_000;

/// What the configuration allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Calls under way at most, at least 1.
    pub calls_max: u16,
    /// Milliseconds after which a call is taken to have ended, at least 1.
    pub lease_ms: u64,
}

impl Limits {
    /// Those of an endpoint.
    pub fn of(endpoint: &TokenEndpoint) -> Limits {
        Limits { calls_max: u16::try_from(endpoint.upstream_calls_max).unwrap_or(u16::MAX).max(1), lease_ms: endpoint.lease_ms.max(1) }
    }

    /// A call is forgotten one lease after its slice ended, at the earliest.
    fn slice_ms(&self) -> u64 {
        self.lease_ms.div_ceil(SLICES as u64 - 1)
    }
}

/// A call that may be made; to be given back with [`Admission::done`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    slice: u64,
}

/// Whether a call may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It may.
    Admit(Permit),
    /// It may not; 503 with this `Retry-After`.
    Refuse {
        /// Whole seconds, from 1 to [`RETRY_AFTER_S_MAX`], jittered by client.
        retry_after_s: u64,
    },
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server answered, be it with a refusal.
    Answered,
    /// No answer, or one that says "not now": reset, timeout, cut off, 429, 502, 503, 504.
    Overloaded,
    /// Another 5xx: perhaps an outage, perhaps one request that the server can't take. A client that
    /// finds such a request must not be able to close the endpoint for others, so it counts little.
    Error,
    /// The client went away, or the answer never mattered.
    Unknown,
}

impl Outcome {
    /// By the status, or nothing if there was no complete answer.
    pub fn of(status: Option<u16>) -> Outcome {
        match status {
            None | Some(429 | 502 | 503 | 504) => Outcome::Overloaded,
            Some(500..) => Outcome::Error,
            Some(_) => Outcome::Answered,
        }
    }
}

/// The state of one token endpoint. The default is a server in health.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// Calls under way, by the slice in which they began, newest first.
    under_way: [u16; SLICES],
    /// The newest slice: milliseconds since the epoch over the length of a slice.
    slice: u64,
    /// Failures since the last success, weighed.
    points: u8,
    /// How often an outage's first call failed.
    pauses: u8,
    /// Calls that the ramp allows; 0 when there is none.
    ramp: u16,
    /// What it allowed when the present second began.
    ramp_before: u16,
    ramp_since_ms: u64,
    /// No call before this moment.
    paused_until_ms: u64,
    /// Where the line of those who were refused ends.
    line_end_us: u64,
    /// Answers in the present window, and per second in the last one that had any.
    answers: u32,
    rate: u32,
    rate_since_ms: u64,
}

impl Admission {
    /// Whether one more call may be made. `client` is a keyed hash of the client or its address, and
    /// only moves the `Retry-After`. A refusal changes the state too; if its write is lost, let it be.
    pub fn admit(&self, now: Time, limits: &Limits, client: u64) -> (Admission, Decision) {
        let mut next = self.at(now, limits);
        let allowed = if next.ramp == 0 { limits.calls_max } else { next.ramp.min(limits.calls_max) };
        let under_way: u32 = next.under_way.iter().copied().map(u32::from).sum();
        if now.ms() >= next.paused_until_ms && under_way < u32::from(allowed) {
            if let Some(newest) = next.under_way.first_mut() {
                *newest = newest.saturating_add(1);
            }
            let permit = Permit { slice: next.slice };
            return (next, Decision::Admit(permit));
        }
        let retry_after_s = next.book(now, limits, client);
        (next, Decision::Refuse { retry_after_s })
    }

    /// A call has ended. To be told once for each permit; one that is never told ends by itself.
    pub fn done(&self, permit: Permit, outcome: Outcome, now: Time, limits: &Limits) -> Admission {
        let mut next = self.at(now, limits);
        let back = next.slice.checked_sub(permit.slice).and_then(|back| usize::try_from(back).ok());
        if let Some(count) = back.and_then(|back| next.under_way.get_mut(back)) {
            *count = count.saturating_sub(1);
        }
        match outcome {
            Outcome::Answered => next.succeeded(now, limits),
            Outcome::Overloaded => next.failed(4, now),
            Outcome::Error if next.ramp == 0 => next.failed(1, now),
            Outcome::Error | Outcome::Unknown => {}
        }
        next
    }

    /// Calls under way, for the gauge.
    pub fn under_way(&self, now: Time, limits: &Limits) -> u32 {
        self.at(now, limits).under_way.iter().copied().map(u32::from).sum()
    }

    /// Whether the server is being led back, for the gauge.
    pub fn is_ramping(&self) -> bool {
        self.ramp != 0
    }

    /// The state as it stands at `now`: old slices forgotten, a clock that jumped made good.
    fn at(&self, now: Time, limits: &Limits) -> Admission {
        let mut next = *self;
        let now_ms = now.ms();
        let slice = now_ms / limits.slice_ms();
        let forward = slice.saturating_sub(next.slice);
        // Ahead of us by more than another worker's clock can be: its calls can't be placed in time.
        if forward >= SLICES as u64 || next.slice.saturating_sub(slice) > 1 {
            next.under_way = [0; SLICES];
            next.slice = slice;
        } else if forward > 0 {
            next.under_way.rotate_right(forward as usize);
            next.under_way.iter_mut().take(forward as usize).for_each(|count| *count = 0);
            next.slice = slice;
        }
        next.paused_until_ms = next.paused_until_ms.min(now_ms.saturating_add(PAUSE_MS_MAX));
        let line_max_ms = now_ms.saturating_add(RETRY_AFTER_S_MAX * 1_000);
        next.line_end_us = next.line_end_us.min(line_max_ms.saturating_mul(1_000));
        next.ramp_since_ms = next.ramp_since_ms.min(now_ms);
        next.rate_since_ms = next.rate_since_ms.min(now_ms);
        let window_ms = now_ms - next.rate_since_ms;
        if window_ms >= RATE_WINDOW_MS {
            let rate = u64::from(next.answers) * 1_000 / window_ms;
            if next.answers > 0 {
                next.rate = u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
            }
            next.answers = 0;
            next.rate_since_ms = now_ms;
        }
        next
    }

    fn succeeded(&mut self, now: Time, limits: &Limits) {
        self.points = 0;
        self.pauses = 0;
        self.paused_until_ms = 0;
        self.answers = self.answers.saturating_add(1);
        if self.ramp == 0 {
            return;
        }
        if now.ms() - self.ramp_since_ms.min(now.ms()) >= RAMP_STEP_MS {
            self.ramp_since_ms = now.ms();
            self.ramp_before = self.ramp;
        }
        if self.ramp < self.ramp_before.saturating_mul(2) {
            self.ramp = self.ramp.saturating_add(1);
        }
        if self.ramp >= limits.calls_max {
            self.ramp = 0;
        }
    }

    fn failed(&mut self, points: u8, now: Time) {
        self.points = self.points.saturating_add(points).min(OUTAGE_POINTS);
        if self.ramp > 1 {
            self.ramp /= 2;
            self.ramp_before = self.ramp;
            self.ramp_since_ms = now.ms();
        } else if self.ramp == 1 || self.points >= OUTAGE_POINTS {
            self.ramp = 1;
            self.ramp_before = 1;
            self.ramp_since_ms = now.ms();
            // Calls that began before the pause fail within it; they say nothing new.
            if now.ms() >= self.paused_until_ms {
                let pause_ms = PAUSE_MS.saturating_mul(1 << self.pauses.min(4)).min(PAUSE_MS_MAX);
                self.paused_until_ms = now.ms().saturating_add(pause_ms);
                self.pauses = self.pauses.saturating_add(1).min(4);
            }
        }
    }

    /// A place at the end of the line, in seconds from now.
    fn book(&mut self, now: Time, limits: &Limits, client: u64) -> u64 {
        let rate = if self.rate == 0 { u32::from(limits.calls_max) } else { self.rate };
        let now_us = now.ms().saturating_mul(1_000);
        let step_us = 1_000_000 / u64::from(rate.max(1));
        self.line_end_us = self.line_end_us.max(now_us).saturating_add(step_us);
        let wait_ms = (self.line_end_us - now_us) / 1_000;
        let max_ms = RETRY_AFTER_S_MAX * 1_000;
        let drawn = mix(client ^ now.ms());
        let wait_ms = if wait_ms >= max_ms {
            // The line is longer than anyone is told to wait: all moments until then are alike.
            scale(drawn, max_ms)
        } else {
            wait_ms - scale(drawn, wait_ms / 4 + 1)
        };
        wait_ms.div_ceil(1_000).clamp(1, RETRY_AFTER_S_MAX)
    }
}

impl Admission {
    /// As bytes for shared memory. Key, expiry and checksum belong to the record around it.
    pub fn encode(&self) -> [u8; STATE_BYTES] {
        let mut bytes = [0u8; STATE_BYTES];
        let [a, b, c, d] = self.under_way;
        let fields: [(u64, usize); 15] = [
            (u64::from(VERSION), 1),
            (u64::from(a), 2),
            (u64::from(b), 2),
            (u64::from(c), 2),
            (u64::from(d), 2),
            (self.slice, 6),
            (u64::from(self.points), 1),
            (u64::from(self.pauses), 1),
            (u64::from(self.ramp), 2),
            (u64::from(self.ramp_before), 2),
            (self.ramp_since_ms, 6),
            (self.paused_until_ms, 6),
            (self.line_end_us, 8),
            (self.rate_since_ms, 6),
            (u64::from(self.answers) | u64::from(self.rate) << 32, 8),
        ];
        let mut to = bytes.iter_mut();
        for (number, len) in fields {
            to.by_ref().zip(number.to_le_bytes()).take(len).for_each(|(to, from)| *to = from);
        }
        bytes
    }

    /// From bytes of [`Admission::encode`]. Any others give the state of a server in health: the cap
    /// still holds for what begins from now on.
    pub fn decode(bytes: &[u8]) -> Admission {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Admission> {
        let mut rest = bytes;
        let mut next = |len: usize| -> Option<u64> {
            let (field, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        if bytes.len() != STATE_BYTES || next(1)? != u64::from(VERSION) {
            return None;
        }
        let mut under_way = [0u16; SLICES];
        for count in &mut under_way {
            *count = next(2)? as u16;
        }
        let mut state = Admission {
            under_way,
            slice: next(6)?,
            points: next(1)? as u8,
            pauses: next(1)? as u8,
            ramp: next(2)? as u16,
            ramp_before: next(2)? as u16,
            ramp_since_ms: next(6)?,
            paused_until_ms: next(6)?,
            line_end_us: next(8)?,
            rate_since_ms: next(6)?,
            ..Admission::default()
        };
        let numbers = next(8)?;
        state.answers = numbers as u32;
        state.rate = (numbers >> 32) as u32;
        Some(state)
    }
}

/// A number below `below`, by the high bits of `drawn`.
fn scale(drawn: u64, below: u64) -> u64 {
    ((u128::from(drawn) * u128::from(below)) >> 64) as u64
}

/// Spreads a hash that differs from another in few bits (SplitMix64's last step).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
