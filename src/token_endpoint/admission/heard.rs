//! Outages that other gateways have found: told when a pause begins there, and heard of here.
//!
//! - A gateway that has had an answer since believes its own eyes: what fails at one gateway may be
//!   the way from there.
//! - What is heard pauses calls for no longer than what was found here could, from when it was first
//!   heard until a call from here has ended: nobody is kept from finding out that the server is
//!   back.
//! - What was told too long ago, or by a clock that is ahead, is nothing. Where nothing comes of it
//!   the outage ends by itself.

use super::outage::{ASKED_MS_MAX, PAUSE_MS_MAX};
use super::{Admission, Limits};
use crate::shared::twin::{Twin, broken};
use crate::time::{Span, Time};

/// A pause of a server's that begins at one gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// Nobody there has had an answer since.
    pub since: Time,
    /// When the pause began.
    pub told_at: Time,
    /// How long it lasts, in milliseconds.
    pub pause_ms: u64,
}

/// For how long an outage is news, in milliseconds, though its pause be shorter: as long as one
/// reading may be late.
const NEWS_MS: u64 = 2_000;

impl Outage {
    /// Whether there is something in it still.
    fn is_news(&self, now: Time) -> bool {
        let until = self.told_at.plus_ms(self.pause_ms().max(NEWS_MS));
        Span { from: self.told_at, until }.holds(now)
    }

    /// The longest pause that one of its kind can make: the server has asked for it, or it hasn't.
    const fn pause_ms_max(&self) -> u64 {
        if self.pause_ms > PAUSE_MS_MAX { ASKED_MS_MAX } else { PAUSE_MS_MAX }
    }

    fn pause_ms(&self) -> u64 {
        self.pause_ms.min(ASKED_MS_MAX)
    }

    /// The end of the pause here, whose clock may be another.
    fn end_ms(&self, now: Time) -> u64 {
        self.told_at.min(now).plus_ms(self.pause_ms()).ms()
    }
}

impl Admission {
    /// Another gateway tells of an outage; nothing if that changes nothing here.
    pub fn hear(&self, outage: &Outage, now: Time, limits: &Limits) -> Option<Admission> {
        let mut next = self.at(now, limits);
        let is_answered = next.answered_at_ms > outage.since.ms() && !broken(Twin::OutageBelieved);
        if !outage.is_news(now) || is_answered {
            return None;
        }
        let is_first = next.heard_at_ms == 0;
        if is_first {
            next.heard_at_ms = now.ms();
            next.reach = 0;
            (next.ramp, next.ramp_before, next.ramp_since_ms) = (1, 1, now.ms());
        }
        let most_ms = next.heard_at_ms.saturating_add(outage.pause_ms_max());
        let end_ms = outage.end_ms(now).min(most_ms);
        let pauses = end_ms > next.paused_until_ms.max(now.ms());
        if pauses {
            next.paused_until_ms = end_ms;
            next.paused_ms = u32::try_from(end_ms.saturating_sub(now.ms())).unwrap_or(u32::MAX);
        }
        (is_first || pauses).then_some(next)
    }
}

#[cfg(test)]
mod tests;
