//! Leader and followers: whoever holds the lease fetches a fact, everyone else waits for it.

use crate::digest::Digest;
use crate::rate_limit::Address;
use crate::retry_after;
use crate::shared::Owner;
use crate::shared::twin::{Twin, broken};
use crate::time::{NS_PER_MS, Span, Time};

use super::call::CallAnswer;
use super::fact::{Endpoint, Fact};
use super::{Facts, Queue};

/// What a request that misses a fact does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It fetches, and then says what came.
    Lead,
    /// Someone else fetches: look again.
    Follow,
    /// Nobody may ask before this moment.
    Later(Time),
}

/// How fetching a fact went lately, shared by all workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// Failures in a row.
    pub failures: u64,
    /// When the last of them was.
    pub failed_at: Time,
    /// When the next try is due after it.
    pub retry_at: Time,
    /// When something unknown last caused a fetch; of a feed: when it was last read.
    pub refetched_at: Time,
}

impl State {
    /// Bytes of a state in shared memory.
    pub const BYTES: usize = 32;

    /// The form in shared memory.
    pub fn to_bytes(self) -> [u8; State::BYTES] {
        let mut bytes = [0; State::BYTES];
        let fields =
            [self.failures, self.failed_at.ns(), self.retry_at.ns(), self.refetched_at.ns()];
        for (chunk, field) in bytes.chunks_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads the form in shared memory.
    pub fn from_bytes(bytes: &[u8]) -> Option<State> {
        let mut fields = bytes.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes));
        let mut next = || fields.next()?.ok();
        let failures = next()?;
        let mut time = || Some(Time::from_ns(next()?));
        Some(State { failures, failed_at: time()?, retry_at: time()?, refetched_at: time()? })
    }

    /// As it can be believed at `now`: a pause that was noted before the clock went back is none.
    pub fn at(mut self, now: Time) -> State {
        if self.failed_at.is_ahead_of(now) {
            (self.failed_at, self.retry_at) = (Time::default(), Time::default());
        }
        self
    }

    /// One more failure: the next try waits, longer each time and at least so many milliseconds,
    /// with jitter by what was `drawn`.
    pub fn fail(&mut self, now: Time, asked_ms: u64, drawn: u64) {
        self.failures = self.failures.saturating_add(1).min(1_000);
        let doublings = u32::try_from(self.failures.saturating_sub(1).min(5)).unwrap_or(5);
        let pause_ms = (RETRY_MS << doublings).min(RETRY_MS_MAX);
        let own_ms = pause_ms - drawn % (pause_ms / 4).max(1);
        self.failed_at = now;
        self.retry_at = now.plus_ms(own_ms.max(asked_ms));
    }

    /// One more failure: the next try is at `until`.
    pub fn pause_until(&mut self, now: Time, until: Time) {
        self.failures = self.failures.saturating_add(1).min(1_000);
        (self.failed_at, self.retry_at) = (now, until);
    }

    /// It works again.
    pub fn heal(&mut self) {
        (self.failures, self.failed_at, self.retry_at) = (0, Time::default(), Time::default());
    }
}

/// A fetch that this worker leads.
pub struct Leading {
    owner: Owner,
    asked_at: Time,
    until: Time,
}

impl Leading {
    fn is_under_way(&self, now: Time) -> bool {
        Span { from: self.asked_at, until: self.until }.holds(now)
    }
}

impl Facts<'_> {
    /// Whether this request fetches the fact or waits for another that does.
    pub fn join(&self, fact: &Fact) -> Turn {
        self.join_for(fact, || None)
    }

    /// The same for a request from `address`.
    pub fn join_for(&self, fact: &Fact, address: impl FnOnce() -> Option<Address>) -> Turn {
        let digest = self.digest(fact);
        if self.leads(&digest) {
            return Turn::Follow;
        }
        if let Some(until) = self.source_pause(fact) {
            return Turn::Later(until);
        }
        let lease_ms = self.lease_ms(fact);
        let Some(owner) = self.shared().acquire_lease(&digest, lease_ms) else {
            return Turn::Follow;
        };
        if let Err(until) = self.ask(fact, address) {
            self.shared().release_lease(&digest, owner);
            return Turn::Later(until);
        }
        let leading = Leading { owner, asked_at: self.now, until: self.now.plus_ms(lease_ms) };
        let mut worker = self.runtime.worker.borrow_mut();
        if worker.leading.len() >= LEADING_MAX {
            // Calls that were never heard of again: on Kong they end with the exchange that made
            // them.
            worker.leading.retain(|_, leading| leading.is_under_way(self.now));
        }
        worker.leading.insert(digest, leading);
        Turn::Lead
    }

    /// Whether a request that may not wait asks for itself beside whoever does.
    ///
    /// # Errors
    /// When it may.
    pub fn ask_beside(
        &self,
        fact: &Fact,
        address: impl FnOnce() -> Option<Address>,
    ) -> Result<(), Time> {
        self.source_pause(fact).map_or(Ok(()), Err)?;
        self.ask(fact, address)
    }

    /// Whether this worker fetches what has this name, so that it hears of it by itself.
    fn leads(&self, name: &Digest) -> bool {
        let worker = self.runtime.worker.borrow();
        worker.leading.get(name).is_some_and(|leading| leading.is_under_way(self.now))
    }

    /// Whether those in this worker who wait for `name` are called when it is there, because it is
    /// this worker that brings it.
    pub fn is_led_here(&self, name: &Digest) -> bool {
        self.leads(name)
            || self.runtime.worker.borrow().refreshes.contains_key(name)
            || self.is_seated_elsewhere(name)
    }

    /// Whether another worker still fetches what has this name. One host call.
    pub fn is_led_elsewhere(&self, name: &Digest) -> bool {
        self.shared().lease_is_held(name, LEASE_MS_MAX)
    }

    /// Gives up the lead: the fact has come meanwhile.
    pub fn give_way(&self, fact: &Fact) {
        let digest = self.digest(fact);
        let leading = self.runtime.worker.borrow_mut().leading.remove(&digest);
        if let Some(leading) = leading {
            self.shared().release_lease(&digest, leading.owner);
        }
    }

    /// Takes in what a fetch brought, or that it brought nothing, and lets the followers look.
    pub fn learn(&self, fact: &Fact, answer: &CallAnswer<'_>) {
        let digest = self.digest(fact);
        let leading = self.runtime.worker.borrow_mut().leading.remove(&digest);
        let asked_at = leading.as_ref().map_or(self.now, |leading| leading.asked_at);
        let learnt = fact.take_in(self, asked_at, answer);
        let (fetched, failed) = fact.counted();
        self.host.meter.count(if learnt { fetched } else { failed });
        if !learnt && let Fact::Keys(issuer, Some(_)) = fact {
            self.doubt_discovered(*issuer);
        }
        self.note_trouble(fact, &digest, learnt, answer);
        if matches!(fact, Fact::Elsewhere(_)) {
            return;
        }
        // Of what many ask the same server for, one question's fate says how all will fare.
        let meeting = matches!(fact, Fact::Once(_)).then(|| self.meeting_digest()).flatten();
        let noted = meeting.unwrap_or(digest);
        self.note_outcome(fact, &noted, learnt, answer);
        self.note_source(fact, answer);
        if let Some(leading) = leading {
            self.shared().release_lease(&digest, leading.owner);
        }
    }

    /// After a failure followers don't stampede.
    fn note_outcome(&self, fact: &Fact, digest: &Digest, learnt: bool, answer: &CallAnswer<'_>) {
        let before = self.shared().read_state(digest);
        if (learnt && before.failures == 0) || broken(Twin::NoPause) {
            return;
        }
        let asked_ms =
            retry_after::asked_ms(answer.headers, self.now).unwrap_or(0).min(ASKED_MS_MAX);
        // One opaque token's state says nothing of the next one's, so a longer pause would spare the
        // endpoint little.
        let pauses = !matches!(fact, Fact::Introspection(Endpoint::Of(_), _));
        let change = |state: &mut State| match (learnt, pauses) {
            (true, _) => state.heal(),
            // Who waits for what others tell waits no longer than it takes to come.
            (false, _) if matches!(fact, Fact::Told(_) | Fact::Once(_)) => {
                let pause_ms = self.reading_pause_ms(state.failures);
                state.pause_until(self.now, self.now.plus_ms(pause_ms));
            }
            (false, true) => state.fail(self.now, asked_ms, self.host.store.random()),
            (false, false) => {
                state.pause_until(self.now, self.now.plus_ms(RETRY_MS.max(asked_ms)));
            }
        };
        match fact.queue() {
            // What strangers can name gives way before what the configuration does.
            Queue::Asked => self.shared().update_state_for(digest, ASKED_TTL_S, change),
            Queue::Keys | Queue::Token => self.shared().update_state(digest, change),
        };
    }

    /// A fact can't be asked for before `until`. Tells whether something older serves meanwhile, so
    /// that the verdict is to be sought again.
    pub fn put_off(&self, fact: &Fact, until: Time) -> bool {
        let digest = self.digest(fact);
        let does_without = match fact {
            Fact::Introspection(Endpoint::Of(issuer), _) => self.has_stale(*issuer, &digest),
            Fact::StatusList(issuer, _) => self.does_without_list(*issuer),
            Fact::Introspection(Endpoint::Document, _)
            | Fact::Metadata(_)
            | Fact::Keys(..)
            | Fact::Credential(..)
            | Fact::Consumer(..)
            | Fact::Feed(..)
            | Fact::Told(_)
            | Fact::Once(_)
            | Fact::Elsewhere(_) => false,
        };
        does_without
            && self.shared().update_state_for(&digest, ASKED_TTL_S, |state| {
                state.pause_until(self.now, until);
            })
    }

    /// Changes a fact's state; tells whether the change was kept.
    pub(super) fn update_state(&self, fact: &Fact, change: impl Fn(&mut State)) -> bool {
        self.shared().update_state(&self.digest(fact), change)
    }

    /// The lease outlives the longest call that it stands for.
    pub(super) fn lease_ms(&self, fact: &Fact) -> u64 {
        let callout = fact.callout(&self.runtime.config);
        let (timeout_ms, retries) =
            callout.map_or((2_000, 0), |callout| (callout.timeout_ms, callout.retries));
        timeout_ms.saturating_mul(u64::from(retries).saturating_add(1)).saturating_add(1_000)
    }

    /// The longest that a request waits for a fact.
    pub fn wait_ms_max(&self, fact: &Fact) -> u64 {
        self.lease_ms(fact).saturating_mul(2).min(WAIT_MS_MAX)
    }

    /// Seconds until `at`, rounded up, with up to a quarter of jitter so that clients don't return
    /// together.
    pub fn retry_after_s(&self, at: Time) -> u64 {
        let ns = at.ns().saturating_sub(self.now.ns());
        let seconds = ns.div_ceil(1_000 * NS_PER_MS).max(1);
        seconds.saturating_add(self.host.store.random() % (seconds / 4).max(2))
    }
}

/// Calls that this worker leads before it looks for those that have ended unheard.
const LEADING_MAX: usize = 1_024;
/// No lease is taken for longer, in milliseconds: what ends later was written before the clock went
/// back.
const LEASE_MS_MAX: u64 = 600_000;
/// The first pause after a failure in milliseconds; it doubles.
pub(super) const RETRY_MS: u64 = 1_000;
/// The longest pause in milliseconds.
pub(super) const RETRY_MS_MAX: u64 = 30_000;
/// The longest pause that a server can ask for in milliseconds.
pub(super) const ASKED_MS_MAX: u64 = 60_000;
/// How long failures count of what strangers can name, in seconds.
const ASKED_TTL_S: u64 = 120;
/// The longest wait of a request in milliseconds.
const WAIT_MS_MAX: u64 = 10_000;
