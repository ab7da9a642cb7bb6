//! What other gateways have told of revocations: read by one worker for all, as a feed is, and kept
//! in the table of revoked names. Up to where it was read lies in shared memory.
//!
//! A gateway that has never read it doesn't know which tokens are revoked. With `failure_mode`
//! `deny` tokens wait for the first reading; with `allow` they don't, which is counted.

use crate::config::Config;
use crate::digest::{Digest, HostKey};
use crate::metrics::Metric;
use crate::reply::{FailureMode, Reason};
use crate::revocation::told::{self, Batch, Cursor, Entry, Heard, READ_MAX, Read, Standing};
use crate::shared::twin::{Twin, broken};
use crate::time::Time;

use super::call::{Call, CallAnswer};
use super::handed_out::IN_FLIGHT_MS;
use super::{Fact, Facts, Stop};

/// A reading of what others have told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// Under which of the two secrets.
    pub secret: Secret,
    cursor: Cursor,
    known: u64,
    /// What becomes the era where Redis has none.
    fresh: [u8; 16],
    by_text: bool,
}

/// Under which secret others have told something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Secret {
    /// The one in force.
    Current,
    /// The previous one.
    Previous,
}

impl Secret {
    /// Both, in the order of their numbers.
    pub const ALL: [Secret; 2] = [Secret::Current, Secret::Previous];

    fn key(self, key: &HostKey) -> Option<&HostKey> {
        match self {
            Secret::Current => Some(key),
            Secret::Previous => key.previous(),
        }
    }
}

/// How far this gateway has come, in shared memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    cursor: Cursor,
    /// The newest number of the era that is known here: read, or heard of when something was told.
    known: u64,
    /// When it was last asked.
    asked_at: Time,
    /// When there was last nothing more to read; never before the first time.
    read_at: Time,
}

impl Progress {
    /// Bytes in shared memory.
    pub const BYTES: usize = 48;

    fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.cursor.last, self.known, self.asked_at.ns(), self.read_at.ns()];
        let numbers = numbers.map(u64::to_le_bytes);
        [&self.cursor.era[..], numbers.as_flattened()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Progress> {
        let (era, rest) = bytes.split_first_chunk::<16>()?;
        let ([last, known, asked_at, read_at], []) = rest.as_chunks::<8>() else { return None };
        let time = |bytes: &[u8; 8]| Time::from_ns(u64::from_le_bytes(*bytes));
        Some(Progress {
            cursor: Cursor { era: *era, last: u64::from_le_bytes(*last) },
            known: u64::from_le_bytes(*known),
            asked_at: time(asked_at),
            read_at: time(read_at),
        })
    }
}

impl Reading {
    /// The call that makes it.
    pub(super) fn call(&self, config: &Config) -> Option<Call> {
        let at = &config.gateways.as_ref()?.at;
        let key = config.shared.sync_key();
        let key = self.secret.key(&key)?;
        let read = Read { cursor: self.cursor, known: self.known, max: READ_MAX };
        let body = told::body(key, self.by_text, self.fresh, read, &Batch::default());
        Some(Call::post_command(&at.uri, &at.call, body))
    }

    /// What it is known as in this worker and in shared memory.
    pub(super) fn digest(&self, key: &HostKey, config: &Config) -> Digest {
        let at = config.gateways.as_ref().map(|gateways| &gateways.at);
        let uri = at.map(|at| at.uri.to_string()).unwrap_or_default();
        let cluster = at.and_then(|at| at.call.cluster.as_deref()).unwrap_or_default();
        key.digest("told by gateways", &[uri.as_bytes(), cluster.as_bytes(), self.secret.name()])
    }
}

impl Secret {
    const fn name(self) -> &'static [u8] {
        match self {
            Secret::Current => b"current",
            Secret::Previous => b"previous",
        }
    }
}

impl Facts<'_> {
    /// Whether gateways tell each other of revocations.
    pub fn tells_revocations(&self) -> bool {
        self.runtime.config.gateways.as_ref().is_some_and(|gateways| gateways.revocations)
    }

    /// Whether it was read lately which tokens other gateways have revoked: what another gateway
    /// has of a call may carry one of them.
    pub(super) fn has_heard_lately(&self) -> bool {
        let Some(gateways) = &self.runtime.config.gateways else { return false };
        let is_late = |secret: &Secret| {
            let Some(reading) = self.reading(*secret) else { return false };
            let read_at = self.progress(&reading).read_at;
            let late_ms = gateways.at.every_ms.saturating_mul(4).saturating_add(LATE_MS);
            !read_at.is_recent(self.now, late_ms)
        };
        broken(Twin::UnheardAsks) || !Secret::ALL.iter().any(is_late)
    }

    /// Whether it is known which tokens other gateways have revoked.
    ///
    /// # Errors `Missing` with `failure_mode: deny` before the first reading;
    /// `RevocationUnavailable` while it can't be made.
    pub(crate) fn others_were_heard(&self) -> Result<(), Stop> {
        let Some(gateways) = self.runtime.config.gateways.as_ref().filter(|of| of.revocations)
        else {
            return Ok(());
        };
        for secret in Secret::ALL {
            if self.was_heard(secret) {
                continue;
            }
            let Some(reading) = self.reading(secret) else { continue };
            match gateways.failure_mode {
                FailureMode::Allow => self.host.meter.count(Metric::GatewaysUnheard),
                FailureMode::Deny => {
                    let fact = Fact::Told(Box::new(reading));
                    let state = self.state(&fact);
                    if state.failures > 0 && self.now < state.retry_at {
                        let reason = Reason::RevocationUnavailable;
                        return Err(self.unavailable(reason, state.retry_at));
                    }
                    return Err(fact.into());
                }
            }
        }
        Ok(())
    }

    fn was_heard(&self, secret: Secret) -> bool {
        let index = secret as usize;
        let known = |worker: &super::Worker| worker.heard.get(index).copied().unwrap_or_default();
        if known(&self.runtime.worker.borrow()) {
            return true;
        }
        let progress = self.reading(secret).map(|reading| self.progress(&reading));
        let was_heard = progress.is_none_or(|progress| progress.read_at != Time::default());
        if let Some(place) = self.runtime.worker.borrow_mut().heard.get_mut(index) {
            *place = was_heard;
        }
        was_heard
    }

    /// The next reading; nothing under a secret that there isn't.
    fn reading(&self, secret: Secret) -> Option<Reading> {
        secret.key(&self.runtime.sync_key)?;
        let mut reading = Reading {
            secret,
            cursor: Cursor::default(),
            known: 0,
            fresh: [0; 16],
            by_text: self.runtime.worker.borrow().outbox.known.by_text(),
        };
        Progress { cursor: reading.cursor, known: reading.known, .. } = self.progress(&reading);
        reading.fresh = self.fresh_era();
        Some(reading)
    }

    /// What becomes the era where Redis has none: never zeros alone, which stand for none.
    pub(crate) fn fresh_era(&self) -> [u8; 16] {
        let random = [self.host.store.random().max(1), self.host.store.random()];
        let random = random.map(u64::to_le_bytes);
        random.as_flattened().first_chunk().copied().unwrap_or_default()
    }

    fn progress(&self, reading: &Reading) -> Progress {
        let digest = reading.digest(&self.runtime.host_key, &self.runtime.config);
        self.shared()
            .read_progress(&digest)
            .and_then(|bytes| Progress::from_bytes(&bytes))
            .unwrap_or_default()
    }

    /// The readings that are due: twice in `every_ms`, by one worker of all.
    pub fn readings_due(&self) -> Vec<Fact> {
        let Some(gateways) = self.runtime.config.gateways.as_ref().filter(|of| of.revocations)
        else {
            return Vec::new();
        };
        // A tick that comes a little early isn't left out: the next would be one period late.
        let period_ms = gateways.at.every_ms / 2 - gateways.at.every_ms / 8;
        let is_due = |reading: &Reading| {
            let progress = self.progress(reading);
            let state = self.state(&Fact::Told(Box::new(*reading)));
            let is_paused = state.failures > 0 && self.now < state.retry_at;
            let asked_at = progress.asked_at;
            !is_paused && (asked_at > self.now || self.now.ms_since(asked_at) >= period_ms)
        };
        Secret::ALL
            .into_iter()
            .filter_map(|secret| self.reading(secret).filter(is_due))
            .map(|reading| Fact::Told(Box::new(reading)))
            .collect()
    }

    /// Milliseconds until a failed reading is tried again.
    pub(super) fn reading_pause_ms(&self, failures: u64) -> u64 {
        let every_ms = self.runtime.config.gateways.as_ref().map_or(0, |of| of.at.every_ms);
        let pause_ms = (every_ms / 2) << failures.min(8);
        pause_ms.min(crate::redis::PAUSE_MS_MAX.max(every_ms / 2))
    }

    /// Takes in what came of a reading.
    pub(super) fn learn_told(
        &self,
        reading: &Reading,
        asked_at: Time,
        answer: &CallAnswer<'_>,
    ) -> bool {
        let Some(key) = reading.secret.key(&self.runtime.sync_key) else { return false };
        let (status, body) = (answer.status, answer.body);
        let (said, heard) = told::parse(key, status, body, reading.cursor, READ_MAX);
        self.runtime.worker.borrow_mut().outbox.known.learn(reading.by_text, &said, status);
        if said == crate::redis::Said::TextNeeded && !reading.by_text {
            // Not a failure: the next one says it all.
            return true;
        }
        let Some(heard) = heard else { return false };
        (0..heard.forged).for_each(|_| self.host.meter.count(Metric::GatewaysForged));
        self.hear_outages(key, &heard.notes);
        if !self.hear(&heard.entries) {
            return false;
        }
        if self.has_lost(reading, &heard) && reading.secret == Secret::Current {
            self.host.meter.count(Metric::GatewaysLost);
            self.runtime.worker.borrow_mut().outbox.again_from = Some(0);
        }
        let read_at = match heard.is_all() || broken(Twin::FirstIsAll) {
            true => self.now,
            false => self.progress(reading).read_at,
        };
        let before = self.progress(reading);
        let same_era = before.cursor.era == heard.newest.era;
        let progress = Progress {
            cursor: Cursor { era: heard.newest.era, last: heard.read_to },
            known: heard.newest.last.max(if same_era { before.known } else { 0 }),
            // What is left is read at once.
            asked_at: if heard.is_all() { asked_at } else { Time::default() },
            read_at,
        };
        let digest = reading.digest(&self.runtime.host_key, &self.runtime.config);
        self.shared().write_progress(&digest, progress.to_bytes())
    }

    /// Whether Redis doesn't hold any more what this gateway has read or told there: it was
    /// emptied, or has come back with what it held earlier.
    fn has_lost(&self, reading: &Reading, heard: &Heard) -> bool {
        let before = reading.cursor;
        // The first reading of this gateway's memory too: it may have revoked before it read.
        before.era != heard.newest.era || heard.newest.last < before.last
    }

    /// Refuses what others have revoked. False if something isn't remembered that must be, or isn't
    /// certain to be refused by all workers: it is then read again.
    fn hear(&self, entries: &[Entry]) -> bool {
        let mut in_force = entries.iter().filter(|entry| entry.until() > self.now).peekable();
        if in_force.peek().is_none() {
            return true;
        }
        // One for which there is no room is no reason to admit the others.
        let are_kept = in_force.fold(true, |all, entry| all & self.hear_one(entry));
        // Also where all of them were known: who has left them here may not have come to tell the
        // workers, and this reading is the last.
        self.shared().bump_revocations() && are_kept
    }

    /// Remembers one of them, and takes back what is kept with it. False if that isn't certain.
    fn hear_one(&self, entry: &Entry) -> bool {
        let was_known = self.shared().is_revoked(&entry.name) == Some(true);
        let is_kept = match entry.standing {
            Standing::Verified => self.shared().revoke(&entry.name, entry.until(), None),
            Standing::MadeUp(source) => {
                let until = match told::is_of_nobody(entry.standing) {
                    // Its own end is for gateways that hear of it late.
                    true => entry.until().min(self.now.plus_ms(IN_FLIGHT_MS)),
                    false => entry.until(),
                };
                // Such names have a share of the room, and no more.
                self.shared().revoke(&entry.name, until, Some(source));
                true
            }
        };
        if is_kept && !was_known {
            self.host.meter.count(Metric::GatewaysHeard);
        }
        self.withdraw_at_all(&entry.name) && is_kept
    }

    /// Notes up to where Redis had come when something was told.
    pub(crate) fn note_told(&self, newest: Cursor) {
        let Some(reading) = self.reading(Secret::Current) else { return };
        let before = self.progress(&reading);
        if before.cursor.era == newest.era && before.known < newest.last {
            let digest = reading.digest(&self.runtime.host_key, &self.runtime.config);
            // What others told before it has still to be read: the cursor stays.
            let cursor = if broken(Twin::ToldIsRead) { newest } else { before.cursor };
            let progress = Progress { cursor, known: newest.last, ..before };
            self.shared().write_progress(&digest, progress.to_bytes());
        }
    }

    /// Has other gateways told of a revoked name.
    pub(super) fn tell(&self, name: Digest, until: Time, standing: Standing) {
        if !self.tells_revocations() || until <= self.now {
            return;
        }
        let entry = Entry::new(name, until, standing);
        if !self.runtime.worker.borrow_mut().outbox.note(entry) {
            self.host.meter.count(Metric::GatewaysBehind);
        }
    }

    /// Whether there is something to tell now.
    pub fn has_revocations_to_tell(&self) -> bool {
        self.runtime.worker.borrow().outbox.has_news(self.now)
    }

    /// Goes on through the table of revoked names, where others are to be told of all again.
    pub(crate) fn tell_again(&self) {
        let Some(from) = self.runtime.worker.borrow().outbox.again_from else { return };
        let slots = self.shared().revoked_slots();
        let mut next = from;
        while next < slots && next - from < SLOTS_AT_ONCE {
            if self.runtime.worker.borrow().outbox.room() < 8 {
                break;
            }
            for (name, cell) in self.shared().revoked_in(next) {
                self.tell(name, cell.until, told::standing_of(cell.word));
            }
            next += 1;
        }
        let again_from = Some(next).filter(|next| *next < slots);
        self.runtime.worker.borrow_mut().outbox.again_from = again_from;
    }
}

/// How late a reading may be beside `every_ms`, in milliseconds: as long as the longest pause, and a
/// call.
const LATE_MS: u64 = 2_000;
/// Slots of the table that are looked through on one tick: 100 us.
const SLOTS_AT_ONCE: u32 = 128;
