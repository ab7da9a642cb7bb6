//! Limits of several gateways that meet in Redis, in the background: no request waits for it.
//!
//! A request is charged to this gateway's counter alone, as ever. Each worker notes what it charged
//! ([`ledger`]), and tells Redis twice in `every_ms`, many counters in one call ([`wire`]). The
//! answer says what all gateways together have charged, and the counter here is raised to that.
//!
//! # Why the sum has a bound
//!
//! Each of G gateways lets only burst/G pass at one instant, but its counter goes on from whatever
//! it knows of all. Say the limit refills one request a second, and let `L` be the level in Redis
//! (how far the theoretical arrival time lies ahead). All that Redis was ever told is at most the
//! time passed and `L` now. A gateway that last heard of a level `M` has admitted since, and not
//! told, at most burst/G - M and one request a second for as long as it hasn't told: that is what
//! its counter lets pass. Sum up over all gateways: the one that heard last has `M` = `L`, and its
//! share makes up for the first `L`; what others heard may be older and lower, but never below
//! zero. So
//!
//! > admitted <= burst + rate x time + gateways x rate x lag,
//!
//! where the lag is the time from a charge to the answer for it: at most `every_ms` and a round
//! trip. (A gateway has several workers. What one of them has charged is told by its next call, at
//! most half of `every_ms` later, and until another has told as well it knows nothing of that
//! one's.)
//!
//! Nothing has to be asked about counters that nobody charges here. A gateway that has heard
//! nothing for long admits its share of the burst before it hears, and that share is in the sum
//! already.
//!
//! A calendar quota has no shares, as it doesn't refill: each gateway admits until it hears of the
//! total. What it can admit too much is what comes to it from one answer to the next.

pub mod ledger;
mod present;
mod targets;
pub mod wire;

#[cfg(test)]
mod tests;

pub use ledger::{Ledger, Owed, Sent};
pub use present::Present;
pub use targets::Targets;

use crate::callout::Secret;
use crate::digest::{HostKey, sha256};

/// The key under which counters are named where gateways meet. Unlike the host's own it follows
/// from `shared.secret` alone: the host's random bytes are of one gateway.
pub fn key(secret: &Secret, previous: Option<&Secret>) -> HostKey {
    let key = |secret: &Secret| {
        HostKey::new(&sha256(b"herdgate counters of several gateways v1"), secret.expose())
    };
    key(secret).after(previous.map(key))
}
