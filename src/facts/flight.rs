//! Leader and followers: whoever holds the lease fetches a fact, everyone else waits for it.

use crate::digest::Digest;
use crate::metrics::Metric;
use crate::shared::Owner;
use crate::shared::twin::{Twin, broken};
use crate::time::{NS_PER_MS, Time};

use super::Facts;
use super::call::CallAnswer;
use super::fact::Fact;

/// What a request that misses a fact does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It fetches, and then says what came.
    Lead,
    /// Someone else fetches: look again.
    Follow,
}

/// How fetching a fact went lately, shared by all workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// Failures in a row.
    pub failures: u64,
    /// When the next try is due after a failure.
    pub retry_at: Time,
    /// When something unknown last caused a fetch; of a feed: when it was last read.
    pub refetched_at: Time,
}

impl State {
    /// Bytes of a state in shared memory.
    pub const BYTES: usize = 24;

    /// The form in shared memory.
    pub fn to_bytes(self) -> [u8; State::BYTES] {
        let mut bytes = [0; State::BYTES];
        let fields = [self.failures, self.retry_at.ns(), self.refetched_at.ns()];
        for (chunk, field) in bytes.chunks_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads the form in shared memory.
    pub fn from_bytes(bytes: &[u8]) -> Option<State> {
        let mut fields = bytes.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes));
        let mut next = || fields.next()?.ok();
        Some(State { failures: next()?, retry_at: Time::from_ns(next()?), refetched_at: Time::from_ns(next()?) })
    }
}

/// A fetch that this worker leads.
pub struct Leading {
    owner: Owner,
    asked_at: Time,
    until: Time,
}

impl Facts<'_> {
    /// Whether this request fetches the fact or waits for another that does.
    pub fn join(&self, fact: &Fact) -> Turn {
        let digest = self.digest(fact);
        if self.runtime.worker.borrow().leading.get(&digest).is_some_and(|leading| self.now < leading.until) {
            return Turn::Follow;
        }
        let lease_ms = self.lease_ms(fact);
        let Some(owner) = self.shared().acquire_lease(&digest, lease_ms) else { return Turn::Follow };
        let leading = Leading { owner, asked_at: self.now, until: self.now.plus_ms(lease_ms) };
        let mut worker = self.runtime.worker.borrow_mut();
        if worker.leading.len() >= LEADING_MAX {
            // Calls that were never heard of again: on Kong they end with the exchange that made them.
            worker.leading.retain(|_, leading| self.now < leading.until);
        }
        worker.leading.insert(digest, leading);
        Turn::Lead
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
        let learnt = match fact {
            Fact::Metadata(issuer) => self.learn_metadata(*issuer, answer),
            Fact::Keys(issuer, _) => self.learn_keys(*issuer, asked_at, answer),
            Fact::Credential(issuer, id) => self.learn_credential(*issuer, id, answer),
            Fact::Consumer(issuer, id) => self.learn_consumer(*issuer, id, answer),
            Fact::Introspection(token) => self.learn_introspection(token, answer),
            Fact::Feed(index, _) => self.learn_feed(*index, asked_at, answer),
        };
        let (fetched, failed) = match fact {
            Fact::Metadata(_) | Fact::Keys(..) => (Metric::JwksFetched, Metric::JwksFetchFailed),
            Fact::Credential(..) | Fact::Consumer(..) => (Metric::LookupFetched, Metric::LookupFailed),
            Fact::Introspection(_) => (Metric::IntrospectionFetched, Metric::IntrospectionFailed),
            Fact::Feed(..) => (Metric::RevocationFeedRead, Metric::RevocationFeedFailed),
        };
        self.host.meter.count(if learnt { fetched } else { failed });
        if !learnt && let Fact::Keys(issuer, Some(_)) = fact {
            self.forget_discovered(*issuer);
        }
        self.note_outcome(&digest, learnt);
        if let Some(leading) = leading {
            self.shared().release_lease(&digest, leading.owner);
        }
    }

    /// After a failure followers don't stampede: the next try waits, longer each time, with jitter.
    fn note_outcome(&self, digest: &Digest, learnt: bool) {
        let before = self.shared().read_state(digest);
        if (learnt && before.failures == 0) || broken(Twin::NoPause) {
            return;
        }
        self.shared().update_state(digest, |state| {
            if learnt {
                (state.failures, state.retry_at) = (0, Time::default());
                return;
            }
            state.failures = state.failures.saturating_add(1).min(1_000);
            let doublings = u32::try_from(state.failures.saturating_sub(1).min(5)).unwrap_or(5);
            let pause_ms = (RETRY_MS << doublings).min(RETRY_MS_MAX);
            let jitter_ms = self.host.store.random() % (pause_ms / 4).max(1);
            state.retry_at = self.now.plus_ms(pause_ms - jitter_ms);
        });
    }

    /// Changes a fact's state; tells whether the change was kept.
    pub(super) fn update_state(&self, fact: &Fact, change: impl Fn(&mut State)) -> bool {
        self.shared().update_state(&self.digest(fact), change)
    }

    /// The lease outlives the longest call that it stands for.
    fn lease_ms(&self, fact: &Fact) -> u64 {
        let call = fact.call(&self.runtime.config);
        let (timeout_ms, retries) = call.map_or((2_000, 0), |call| (call.timeout_ms, call.retries));
        timeout_ms.saturating_mul(u64::from(retries).saturating_add(1)).saturating_add(1_000)
    }

    /// The longest that a request waits for a fact.
    pub fn wait_ms_max(&self, fact: &Fact) -> u64 {
        self.lease_ms(fact).saturating_mul(2).min(WAIT_MS_MAX)
    }

    /// Seconds until `at`, rounded up, with up to a quarter of jitter so that clients don't return together.
    pub fn retry_after_s(&self, at: Time) -> u64 {
        let ns = at.ns().saturating_sub(self.now.ns());
        let seconds = ns.div_ceil(1_000 * NS_PER_MS).max(1);
        seconds.saturating_add(self.host.store.random() % (seconds / 4).max(2))
    }
}

/// Calls that this worker leads before it looks for those that have ended unheard.
const LEADING_MAX: usize = 1_024;
/// The first pause after a failure in milliseconds; it doubles.
const RETRY_MS: u64 = 1_000;
/// The longest pause in milliseconds.
const RETRY_MS_MAX: u64 = 30_000;
/// The longest wait of a request in milliseconds.
const WAIT_MS_MAX: u64 = 10_000;
