//! An outage: when it begins, how it is led back, and when it ends.

use super::{Admission, Evidence, Limits, Outage, Outcome, Party, Reach};
use crate::shared::twin::{Twin, broken};
use crate::time::Time;

const RAMP_STEP_MS: u64 = 1_000;
const PAUSE_MS: u64 = 100;
pub(super) const PAUSE_MS_MAX: u64 = 1_000;
/// The longest pause that the server can ask for, of all that it asks.
pub(super) const ASKED_MS_MAX: u64 = 60_000;
/// For how long a client whose call was the last to fail leaves the next try to others.
const STAND_BACK_MS: u64 = 1_000;

impl Admission {
    /// Whether there is an outage for this party.
    pub(super) fn reaches(&self, party: &Party) -> bool {
        self.ramp != 0 && (self.reach == 0 || self.reach == party.address)
    }

    /// When the pause of an outage ends for this party: for the one that failed last after the
    /// others.
    pub(super) fn pause_end_ms(&self, party: &Party) -> u64 {
        let stand_back_ms = if self.last_failed == party.client { STAND_BACK_MS } else { 0 };
        self.paused_until_ms.saturating_add(stand_back_ms)
    }

    pub(super) fn succeeded(&mut self, party: &Party, now: Time, limits: &Limits) {
        self.evidence = Evidence::default();
        self.answers = self.answers.saturating_add(1);
        (self.answered_at_ms, self.heard_at_ms) = (now.ms(), 0);
        if !self.reaches(party) {
            return;
        }
        self.pauses = 0;
        (self.paused_until_ms, self.paused_ms) = (0, 0);
        (self.last_failed, self.asked_ms) = (0, 0);
        if now.ms() - self.ramp_since_ms.min(now.ms()) >= RAMP_STEP_MS {
            self.ramp_since_ms = now.ms();
            self.ramp_before = self.ramp;
        }
        if self.ramp < self.ramp_before.saturating_mul(2) {
            self.ramp = self.ramp.saturating_add(1);
        }
        if self.ramp >= limits.calls_max {
            self.end_outage();
        }
    }

    pub(super) fn end_outage(&mut self) {
        (self.ramp, self.ramp_before, self.reach, self.pauses) = (0, 0, 0, 0);
        (self.paused_until_ms, self.paused_ms) = (0, 0);
        (self.last_failed, self.asked_ms) = (0, 0);
        self.heard_at_ms = 0;
    }

    /// A call has failed. Gives the pause that begins with it, where it is for all.
    pub(super) fn failed(
        &mut self,
        party: &Party,
        outcome: Outcome,
        asked_ms: Option<u64>,
        now: Time,
    ) -> Option<Outage> {
        self.heard_at_ms = 0;
        let reached = self.reaches(party);
        if reached && outcome == Outcome::Error {
            return None;
        }
        let failing = if broken(Twin::OneClientsOutage) {
            Party { client: now.ns() as u32, ..*party }
        } else {
            *party
        };
        let reach = if self.ramp != 0 && self.reach == 0 {
            Reach::All
        } else {
            self.evidence.add(&failing, outcome.points(), now.ms())
        };
        match (reached, reach) {
            (true, reach) => {
                if reach == Reach::All {
                    self.reach = 0;
                }
                self.failed_again(party, asked_ms, now)
            }
            (false, Reach::Nobody) => None,
            (false, reach) => {
                let address = if let Reach::Address(address) = reach { address } else { 0 };
                // Two addresses, each with an outage of its own.
                self.reach = if self.ramp == 0 { address } else { 0 };
                (self.ramp, self.ramp_before, self.ramp_since_ms) = (1, 1, now.ms());
                self.pause(party, asked_ms, now)
            }
        }
    }

    /// A failure in an outage.
    fn failed_again(&mut self, party: &Party, asked_ms: Option<u64>, now: Time) -> Option<Outage> {
        if self.ramp > 1 {
            // One client's failures after each other are one.
            if self.last_failed != party.client {
                self.ramp /= 2;
                self.ramp_before = self.ramp;
                self.ramp_since_ms = now.ms();
            }
            self.last_failed = party.client;
            None
        } else if now.ms() >= self.paused_until_ms {
            // Calls that began before the pause fail within it; they say nothing new.
            self.ramp_since_ms = now.ms();
            self.pause(party, asked_ms, now)
        } else {
            None
        }
    }

    /// No call for a while: what the server asked two clients for, else longer each time.
    fn pause(&mut self, party: &Party, asked_ms: Option<u64>, now: Time) -> Option<Outage> {
        let paused_before_ms = self.paused_until_ms.saturating_sub(u64::from(self.paused_ms));
        let since_ms = [paused_before_ms, self.answered_at_ms, self.evidence.since_ms()];
        let asked_ms = asked_ms.map_or(0, |ms| ms.min(ASKED_MS_MAX) as u32);
        let both_ms =
            if self.last_failed == party.client { 0 } else { asked_ms.min(self.asked_ms) };
        let pause_ms = PAUSE_MS
            .saturating_mul(1 << self.pauses.min(4))
            .min(PAUSE_MS_MAX)
            .max(u64::from(both_ms));
        self.paused_ms = u32::try_from(pause_ms).unwrap_or(u32::MAX);
        self.paused_until_ms = now.ms().saturating_add(pause_ms);
        self.pauses = self.pauses.saturating_add(1).min(4);
        (self.last_failed, self.asked_ms) = (party.client, asked_ms);
        let since = Time::from_ms(since_ms.into_iter().max().unwrap_or_default());
        (self.reach == 0).then_some(Outage { since, told_at: now, pause_ms })
    }
}
