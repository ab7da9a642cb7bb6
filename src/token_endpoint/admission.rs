//! How many calls the authorization server takes at once, of which client, and how it is led back
//! after an outage.
//!
//! A state machine for one shared record: each step takes the state and gives the next one, for a
//! compare-and-set.
//!
//! - At most `calls_max` calls are under way. Each is counted in the slice of time in which it
//!   began; a slice is forgotten after a lease, so that a call whose worker died gives its place
//!   back.
//! - A client has at most as many of them as there are places free beside it: one alone half of
//!   all, two a third each. So whoever hangs its calls leaves room for others. Where several
//!   addresses call, one has at most three times what is free, since ids are made up easily and
//!   addresses aren't.
//! - Failures of several clients without an answer in between begin an outage
//!   ([`super::evidence`]): one call at a time, with growing pauses. Then each success admits one
//!   more, and no second admits more than twice what the last one did. What one client is told
//!   (429) says nothing of the others. Gateways tell each other of outages ([`Outage`]).
//! - Who is refused is booked into a line that moves at the pace of the server's answers, and told
//!   to come back when it is there. So a million clients come back one after the other.

mod heard;
mod outage;
mod record;

pub use heard::Outage;
pub use record::STATE_BYTES;

use super::evidence::{Evidence, Reach};
use super::share::Shares;
use crate::shared::twin::{Twin, broken};
use crate::time::Time;
use crate::token_endpoint::TokenEndpoint;

/// The longest `Retry-After` in seconds.
pub const RETRY_AFTER_S_MAX: u64 = 60;

const SLICES: usize = 4;
/// How long an outage of one address, or of another gateway's, is remembered when nothing more is
/// heard of it.
const DOUBTED_MS: u64 = 60_000;
/// How long an address that has called counts as one that calls.
const SEVERAL_MS: u64 = 60_000;
/// An address has at most so many times what is free, where several call.
const ADDRESS_SHARES: u32 = 3;
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
        Limits {
            calls_max: u16::try_from(endpoint.upstream_calls_max).unwrap_or(u16::MAX).max(1),
            lease_ms: endpoint.lease_ms.max(1),
        }
    }

    /// A call is forgotten one lease after its slice ended, at the earliest.
    fn slice_ms(&self) -> u64 {
        self.lease_ms.div_ceil(SLICES as u64 - 1)
    }
}

/// Whose call it is, by keyed hashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    /// The client as it says, at its address. Nobody has checked its secret yet.
    pub client: u32,
    /// The address that it calls from.
    pub address: u32,
}

impl Party {
    /// From hashes of both, of which 0 is nobody's.
    pub fn new(client: u64, address: u64) -> Party {
        Party { client: (client as u32).max(1), address: (address as u32).max(1) }
    }
}

/// A call that may be made; to be given back with [`Admission::done`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    slice: u64,
    party: Party,
}

/// Whether a call may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The call may be made.
    Admit(Permit),
    /// It may not; 503 with this `Retry-After`.
    Refuse {
        /// Whole seconds, from 1 to [`RETRY_AFTER_S_MAX`], jittered by client.
        retry_after_s: u64,
        /// Whether there is room, but not for more of this client's or this address's.
        over_share: bool,
    },
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server answered, be it with a refusal.
    Answered,
    /// The server asked this client to wait: 429. That says nothing of others.
    Throttled,
    /// No answer, or one that says "not now": reset, timeout, cut off, 502, 503, 504.
    Overloaded,
    /// Another 5xx: perhaps an outage, perhaps one request that the server can't take.
    Error,
    /// The client went away, or the answer never mattered.
    Unknown,
}

impl Outcome {
    /// By the status, or nothing if there was no complete answer.
    pub fn of(status: Option<u16>) -> Outcome {
        match status {
            Some(429) => Outcome::Throttled,
            None | Some(502..=504) => Outcome::Overloaded,
            Some(500..) => Outcome::Error,
            Some(_) => Outcome::Answered,
        }
    }

    /// How much a failure weighs.
    pub fn points(self) -> u8 {
        match self {
            Outcome::Overloaded => 4,
            Outcome::Error => 1,
            Outcome::Answered | Outcome::Throttled | Outcome::Unknown => 0,
        }
    }
}

/// How a call ended, and what the server asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// What it says of the server.
    pub outcome: Outcome,
    /// `Retry-After` in milliseconds, where the answer has one.
    pub asked_ms: Option<u64>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Ended { outcome, asked_ms: None }
    }
}

/// The state of one token endpoint. The default is a server in health.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Admission {
    /// Calls under way, by the slice in which they began, newest first.
    under_way: [u16; SLICES],
    /// The newest slice: milliseconds since the epoch over the length of a slice.
    slice: u64,
    /// How often an outage's first call failed.
    pauses: u8,
    /// Calls that the ramp allows; 0 when there is none.
    ramp: u16,
    /// What it allowed when the present second began.
    ramp_before: u16,
    ramp_since_ms: u64,
    /// The one address that the outage is for; 0: all.
    reach: u32,
    /// No call before this moment, which was set when it was so many milliseconds away.
    paused_until_ms: u64,
    paused_ms: u32,
    /// Whose call was the last to fail in an outage.
    last_failed: u32,
    /// What the server asked that client for, in milliseconds.
    asked_ms: u32,
    /// Where the line of those who were refused ends.
    line_end_us: u64,
    /// Answers in the present window, and per second in the last one that had any.
    answers: u32,
    rate: u32,
    rate_since_ms: u64,
    /// The address that asked last, and when another than the one before it did.
    address: u32,
    several_at_ms: u64,
    /// When the last answer came.
    answered_at_ms: u64,
    /// When another gateway was first heard of an outage since a call from here has ended; 0: not.
    heard_at_ms: u64,
    evidence: Evidence,
    clients: Shares,
    addresses: Shares,
}

impl Admission {
    /// Whether one more call of this party may be made. A refusal changes the state too; if its
    /// write is lost, let it be.
    pub fn admit(&self, now: Time, limits: &Limits, party: Party) -> (Admission, Decision) {
        let mut next = self.at(now, limits);
        next.note_address(party.address, now);
        let room = next.room(&party, limits);
        let is_paused = next.reaches(&party) && now.ms() < next.pause_end_ms(&party);
        if !is_paused && room == Room::Free {
            if let Some(newest) = next.under_way.first_mut() {
                *newest = newest.saturating_add(1);
            }
            next.clients.add(party.client);
            next.addresses.add(party.address);
            return (next, Decision::Admit(Permit { slice: next.slice, party }));
        }
        let drawn = mix(u64::from(party.client) ^ now.ms());
        let over_share = !is_paused && room == Room::ForOthers;
        // Others needn't wait longer for what one client asks beyond its share.
        let retry_after_s =
            if over_share { 1 + scale(drawn, 3) } else { next.book(now, limits, drawn) };
        (next, Decision::Refuse { retry_after_s, over_share })
    }

    /// A call has ended. To be told once for each permit; one that is never told ends by itself.
    /// Gives the pause for all that begins with it, for other gateways.
    pub fn ended(
        &self,
        permit: Permit,
        ended: impl Into<Ended>,
        now: Time,
        limits: &Limits,
    ) -> (Admission, Option<Outage>) {
        let mut next = self.at(now, limits);
        if let Some(back) = next.slice.checked_sub(permit.slice) {
            let place = usize::try_from(back).ok().and_then(|back| next.under_way.get_mut(back));
            if let Some(count) = place {
                *count = count.saturating_sub(1);
            }
            let generations = generation(next.slice).saturating_sub(generation(permit.slice));
            next.clients.take_back(permit.party.client, generations);
            next.addresses.take_back(permit.party.address, generations);
        }
        let Ended { outcome, asked_ms } = ended.into();
        let outage = match outcome {
            Outcome::Answered => {
                next.succeeded(&permit.party, now, limits);
                None
            }
            Outcome::Overloaded | Outcome::Error => {
                next.failed(&permit.party, outcome, asked_ms, now)
            }
            Outcome::Throttled | Outcome::Unknown => None,
        };
        (next, outage)
    }

    /// The same where there is nobody to tell.
    pub fn done(
        &self,
        permit: Permit,
        ended: impl Into<Ended>,
        now: Time,
        limits: &Limits,
    ) -> Admission {
        self.ended(permit, ended, now, limits).0
    }

    /// Calls under way, for the gauge.
    pub fn under_way(&self, now: Time, limits: &Limits) -> u32 {
        self.at(now, limits).total()
    }

    /// Whether the server is being led back, for the gauge.
    pub fn is_ramping(&self) -> bool {
        self.ramp != 0
    }

    fn total(&self) -> u32 {
        self.under_way.iter().copied().map(u32::from).sum()
    }

    /// Whether there is room for one more call of this party.
    fn room(&self, party: &Party, limits: &Limits) -> Room {
        let total = self.total();
        let mut free = u32::from(limits.calls_max).saturating_sub(total);
        if self.reaches(party) {
            let here = if self.reach == 0 {
                total
            } else {
                self.addresses.count(party.address).min(total)
            };
            free = free.min(u32::from(self.ramp).saturating_sub(here));
        }
        let own = self.clients.count(party.client);
        let of_address =
            if self.several_at_ms == 0 { 0 } else { self.addresses.count(party.address) };
        let allowed = total.saturating_add(free);
        // What the sketch may count too much is no reason to refuse anyone.
        let few = if allowed < 4 { 0 } else { (allowed / 16).max(1) };
        let client_over = own >= free && own > few;
        if free == 0 {
            // One that has more than a few under way takes no place in the line from the others.
            // A single one may be the sketch's, or one that the client has just been given.
            return if own > few.max(1) { Room::ForOthers } else { Room::Full };
        }
        let address_over =
            of_address >= free.saturating_mul(ADDRESS_SHARES) && of_address > allowed / 4;
        if (client_over || address_over) && !broken(Twin::SharesUnasked) {
            Room::ForOthers
        } else {
            Room::Free
        }
    }

    fn note_address(&mut self, address: u32, now: Time) {
        if self.address != address {
            self.several_at_ms = if self.address == 0 { 0 } else { now.ms() };
            self.address = address;
        }
    }

    /// The state as it stands at `now`: old slices forgotten, a clock that jumped made good.
    fn at(&self, now: Time, limits: &Limits) -> Admission {
        let mut next = *self;
        let now_ms = now.ms();
        let slice = now_ms / limits.slice_ms();
        let forward = slice.saturating_sub(next.slice);
        // Ahead of us by more than another worker's clock can be: its calls can't be placed in
        // time.
        if forward >= SLICES as u64 || next.slice.saturating_sub(slice) > 1 {
            next.under_way = [0; SLICES];
            next.slice = slice;
        } else if forward > 0 {
            next.clients.age(generation(slice) - generation(next.slice));
            next.addresses.age(generation(slice) - generation(next.slice));
            next.under_way.rotate_right(forward as usize);
            next.under_way.iter_mut().take(forward as usize).for_each(|count| *count = 0);
            next.slice = slice;
        }
        if next.total() == 0 {
            (next.clients, next.addresses) = (Shares::default(), Shares::default());
        }
        next.paused_until_ms =
            next.paused_until_ms.min(now_ms.saturating_add(u64::from(next.paused_ms)));
        let line_max_ms = now_ms.saturating_add(RETRY_AFTER_S_MAX * 1_000);
        next.line_end_us = next.line_end_us.min(line_max_ms.saturating_mul(1_000));
        next.ramp_since_ms = next.ramp_since_ms.min(now_ms);
        let since_ms = next.ramp_since_ms.max(next.paused_until_ms);
        let is_not_sure = next.reach != 0 || next.heard_at_ms != 0;
        if is_not_sure && now_ms.saturating_sub(since_ms) > DOUBTED_MS {
            next.end_outage();
        }
        next.answered_at_ms = next.answered_at_ms.min(now_ms);
        next.heard_at_ms = next.heard_at_ms.min(now_ms);
        if next.several_at_ms > now_ms || now_ms - next.several_at_ms > SEVERAL_MS {
            next.several_at_ms = 0;
        }
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

    /// A place at the end of the line, in seconds from now.
    fn book(&mut self, now: Time, limits: &Limits, drawn: u64) -> u64 {
        let rate = if self.rate == 0 { u32::from(limits.calls_max) } else { self.rate };
        let now_us = now.ms().saturating_mul(1_000);
        let step_us = 1_000_000 / u64::from(rate.max(1));
        self.line_end_us = self.line_end_us.max(now_us).saturating_add(step_us);
        let wait_ms = (self.line_end_us - now_us) / 1_000;
        let max_ms = RETRY_AFTER_S_MAX * 1_000;
        let wait_ms = if wait_ms >= max_ms {
            // The line is longer than anyone is told to wait: all moments until then are alike.
            scale(drawn, max_ms)
        } else {
            wait_ms - scale(drawn, wait_ms / 4 + 1)
        };
        wait_ms.div_ceil(1_000).clamp(1, RETRY_AFTER_S_MAX)
    }
}

/// Whether there is room for one more call of a party.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    /// None that this party may take.
    ForOthers,
    Full,
}

/// A generation is as many slices as a call may live for, so that what is forgotten has ended.
fn generation(slice: u64) -> u64 {
    slice / SLICES as u64
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
mod tests;
