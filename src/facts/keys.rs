//! The keys of issuers: from this worker's memory, else from the host's shared memory, else
//! missing.

use std::sync::Arc;

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::shared::document::META_BYTES;
use crate::signature::VerifyKey;
use crate::signature::jwk_set;
use crate::signature::source::{JwksAt, JwksCache, KeySource};
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::fact::Fact;
use super::flight::State;
use super::{Facts, Stop};

/// An issuer's keys at one moment.
pub struct KeySet {
    /// The keys.
    pub keys: Arc<Vec<VerifyKey>>,
    /// Which set of this worker it is: a token verified under another one is looked at again.
    pub generation: u64,
    /// For how long it is used without a question, from when it was asked for.
    pub fresh: Span,
    /// Until when it serves while the endpoint fails.
    pub stale_until: Time,
    /// When it was asked for: a key that isn't in it was gone, or not there yet, by then.
    pub(super) fetched_at: Time,
    /// The stored document's version, to notice another worker's fetch.
    version: u64,
    /// When the next set is due, ahead of this one's end.
    refresh_at: Time,
}

/// The times of a stored document, kept in its head.
struct Times {
    fetched_at: Time,
    fresh_until: Time,
    stale_until: Time,
}

impl Times {
    fn to_bytes(&self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        let fields = [self.fetched_at, self.fresh_until, self.stale_until];
        for (chunk, time) in bytes.chunks_mut(8).zip(fields) {
            chunk.copy_from_slice(&time.ns().to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Times> {
        let mut fields = bytes
            .chunks(8)
            .map(|chunk| chunk.try_into().map(u64::from_le_bytes).map(Time::from_ns));
        let mut next = || fields.next()?.ok();
        Some(Times { fetched_at: next()?, fresh_until: next()?, stale_until: next()? })
    }
}

impl Facts<'_> {
    /// The keys of an issuer, except those of single credentials.
    ///
    /// # Errors `Missing` if they are to be fetched, `KeysUnavailable` while their endpoint fails
    /// and none are kept.
    pub fn keys(&self, issuer: usize) -> Result<Arc<KeySet>, Stop> {
        match &self.issuer(issuer)?.keys {
            KeySource::Inline(keys) => Ok(self.inline_keys(issuer, keys)),
            KeySource::Jwks { at, cache, .. } => self.fetched_keys(issuer, at, cache),
            KeySource::Credentials(_) => Err(Reason::UnknownKey.into()),
        }
    }

    /// The generation of an issuer's keys, where this worker has them and they need no further
    /// look.
    #[inline(always)]
    pub(super) fn generation_in_use(&self, issuer: usize) -> Option<u64> {
        let worker = self.runtime.worker.borrow();
        let set = worker.key_sets.get(issuer)?.as_ref()?;
        set.fresh.holds(self.now).then_some(set.generation)
    }

    pub(super) fn inline_keys(&self, issuer: usize, keys: &Arc<Vec<VerifyKey>>) -> Arc<KeySet> {
        self.kept_keys(issuer).unwrap_or_else(|| {
            let end = Time::from_ns(u64::MAX);
            let keys = keys.clone();
            let fresh = Span::ALWAYS;
            let set = KeySet {
                keys,
                generation: 0,
                fresh,
                stale_until: end,
                fetched_at: end,
                version: 0,
                refresh_at: end,
            };
            let set = Arc::new(set);
            self.hold_set(issuer, &set);
            set
        })
    }

    fn fetched_keys(
        &self,
        issuer: usize,
        at: &JwksAt,
        cache: &JwksCache,
    ) -> Result<Arc<KeySet>, Stop> {
        if let Some(set) = self.kept_keys(issuer).filter(|set| set.fresh.holds(self.now)) {
            return Ok(set);
        }
        if let Some(set) = self.reload_keys(issuer, cache).filter(|set| set.fresh.holds(self.now)) {
            return Ok(set);
        }
        let state = self.state(&Fact::Keys(issuer, None));
        if state.failures > 0 {
            if let Some(set) = self.anchored_keys(issuer).filter(|set| self.now < set.stale_until) {
                self.host.meter.count(Metric::JwksStale);
                return Ok(set);
            }
            if self.now < state.retry_at {
                return Err(self.unavailable(Reason::KeysUnavailable, state.retry_at));
            }
        }
        Err(self.keys_fact(issuer, at, Time::default())?.into())
    }

    /// The fact to fetch for an issuer's keys: its metadata first where discovery is configured,
    /// and what it found is older than a day or than `since`.
    fn keys_fact(&self, issuer: usize, at: &JwksAt, since: Time) -> Result<Fact, Stop> {
        match at {
            JwksAt::Uri(_) => Ok(Fact::Keys(issuer, None)),
            JwksAt::Discovery(_) => self.discovered_fact(issuer, since),
        }
    }

    fn hold_set(&self, issuer: usize, set: &Arc<KeySet>) {
        if let Some(place) = self.runtime.worker.borrow_mut().key_sets.get_mut(issuer) {
            *place = Some(set.clone());
        }
    }

    pub(super) fn kept_keys(&self, issuer: usize) -> Option<Arc<KeySet>> {
        self.runtime.worker.borrow().key_sets.get(issuer)?.clone()
    }

    /// The kept set. One that comes from ahead, since the clock went back, counts as of now from
    /// here on: it isn't fresh, is due, and serves for no longer while the endpoint fails than any
    /// other would.
    fn anchored_keys(&self, issuer: usize) -> Option<Arc<KeySet>> {
        let set = self.kept_keys(issuer)?;
        if !set.fresh.from.is_ahead_of(self.now) {
            return Some(set);
        }
        let stale_ns = set.stale_until.ns().saturating_sub(set.fresh.from.ns());
        let set = Arc::new(KeySet {
            keys: set.keys.clone(),
            fresh: Span { from: self.now, until: self.now },
            stale_until: Time::from_ns(self.now.ns().saturating_add(stale_ns)),
            refresh_at: self.now,
            ..*set
        });
        self.hold_set(issuer, &set);
        Some(set)
    }

    /// Has the next tick fetch the set anew: it may be elsewhere now.
    pub(super) fn set_is_due(&self, issuer: usize) {
        if let Some(set) = self.kept_keys(issuer) {
            self.hold_set(
                issuer,
                &Arc::new(KeySet { keys: set.keys.clone(), refresh_at: self.now, ..*set }),
            );
        }
    }

    /// The kept set is fresh no longer: whoever needs the issuer's keys waits for the next one.
    pub(super) fn end_set(&self, issuer: usize) {
        if let Some(set) = self.kept_keys(issuer) {
            let fresh = Span { until: self.now, ..set.fresh };
            self.hold_set(issuer, &Arc::new(KeySet { keys: set.keys.clone(), fresh, ..*set }));
        }
    }

    /// Takes what another worker fetched, if it is another set than ours.
    pub(super) fn reload_keys(&self, issuer: usize, cache: &JwksCache) -> Option<Arc<KeySet>> {
        let digest = self.digest(&Fact::Keys(issuer, None));
        let version = self.shared().document_version(&digest)?;
        if self.kept_keys(issuer).is_some_and(|set| set.version == version) {
            return None;
        }
        let document = self.shared().read_document(&digest, cache.bytes_max)?;
        let times = Times::from_bytes(&document.meta)?;
        self.keep_keys(issuer, cache, &document.body, &times, document.version)
    }

    fn keep_keys(
        &self,
        issuer: usize,
        cache: &JwksCache,
        body: &[u8],
        times: &Times,
        version: u64,
    ) -> Option<Arc<KeySet>> {
        let Times { fetched_at, fresh_until, stale_until } = *times;
        let set = self.read_set(issuer, cache, body)?;
        let mut worker = self.runtime.worker.borrow_mut();
        worker.generation = worker.generation.saturating_add(1);
        let lifetime_ns = fresh_until.ns().saturating_sub(fetched_at.ns());
        let set = Arc::new(KeySet {
            keys: Arc::new(set.keys),
            generation: worker.generation,
            fresh: Span { from: fetched_at, until: fresh_until },
            stale_until,
            fetched_at: times.fetched_at.min(self.now),
            version,
            refresh_at: Time::from_ns(fetched_at.ns().saturating_add(self.refresh_share(
                issuer,
                version,
                lifetime_ns,
            ))),
        });
        drop(worker);
        self.hold_set(issuer, &set);
        self.anchored_keys(issuer)
    }

    /// The keys of a document that may verify tokens of the issuer.
    fn read_set(&self, issuer: usize, cache: &JwksCache, body: &[u8]) -> Option<jwk_set::JwkSet> {
        let issuer = self.runtime.config.issuers.get(issuer)?;
        let set = jwk_set::parse(body, issuer.algorithms, cache.keys_max, cache.bytes_max).ok()?;
        Some(set.admitted(|of| issuer.matcher.admits_key_of(of)))
    }

    /// Between 70 and 85 hundredths of the lifetime: ahead of its end, and not all gateways at
    /// once.
    pub(super) fn refresh_share(&self, issuer: usize, version: u64, lifetime_ns: u64) -> u64 {
        let mut seed = version.to_le_bytes().to_vec();
        seed.extend((issuer as u64).to_le_bytes());
        let hundredths = 70 + self.runtime.host_key.short(&seed) % 16;
        lifetime_ns / 100 * hundredths
    }

    /// A set that another worker has fetched since `set`.
    ///
    /// # Errors
    /// `Missing` while one is being fetched: the key that isn't known here may come with it.
    pub(super) fn newer_keys(
        &self,
        issuer: usize,
        set: &KeySet,
    ) -> Result<Option<Arc<KeySet>>, Stop> {
        let KeySource::Jwks { at, cache, .. } = &self.issuer(issuer)?.keys else { return Ok(None) };
        if let Some(newer) =
            self.reload_keys(issuer, cache).filter(|newer| newer.generation != set.generation)
        {
            return Ok(Some(newer));
        }
        let fact = Fact::Keys(issuer, None);
        match self.shared().lease_is_held(&self.digest(&fact), self.lease_ms(&fact)) {
            true => Err(self.keys_fact(issuer, at, Time::default())?.into()),
            false => Ok(None),
        }
    }

    /// What becomes of a token that no key of the set verifies, for this reason. Its key may be a
    /// new one, under a name of its own, another's, or none: so it may cause a fetch, and else is
    /// refused. One that names an unknown key is told to come back while the endpoint fails.
    pub(super) fn no_key_verifies(&self, issuer: usize, set: &KeySet, reason: Reason) -> Stop {
        if let Some(fact) = self.may_refetch(issuer, set) {
            return fact.into();
        }
        let is_fetched =
            matches!(self.issuer(issuer).map(|issuer| &issuer.keys), Ok(KeySource::Jwks { .. }));
        let may_be_new = reason == Reason::UnknownKey && is_fetched;
        let state =
            if may_be_new { self.state(&Fact::Keys(issuer, None)) } else { State::default() };
        match state.failures > 0 {
            true => self.unavailable(Reason::KeysUnavailable, state.retry_at),
            false => reason.into(),
        }
    }

    /// Whether a token that no key verifies may cause a fetch now, and if so notes that it did:
    /// once per interval and issuer.
    fn may_refetch(&self, issuer: usize, set: &KeySet) -> Option<Fact> {
        let KeySource::Jwks { at, cache, .. } = &self.issuer(issuer).ok()?.keys else {
            return None;
        };
        let fact = Fact::Keys(issuer, None);
        let state = self.state(&fact);
        if state.failures > 0 && self.now < state.retry_at {
            return None;
        }
        // Where discovery is asked first, the set is still to come.
        let asked = Span {
            from: state.refetched_at,
            until: state.refetched_at.plus_ms(self.wait_ms_max(&fact)),
        };
        if matches!(at, JwksAt::Discovery(_))
            && asked.holds(self.now)
            && set.fresh.from < asked.from
        {
            return self.keys_fact(issuer, at, asked.from).ok();
        }
        let due = state.refetched_at.plus_s(cache.refetch_s);
        // A moment that lies ahead was written by a clock that ran ahead.
        let allowed = state.refetched_at == Time::default()
            || self.now >= due
            || self.now < state.refetched_at;
        if !allowed || !self.update_state(&fact, |state| state.refetched_at = self.now) {
            return None;
        }
        self.host.meter.count(Metric::JwksUnknownKid);
        self.keys_fact(issuer, at, self.now).ok()
    }

    /// The facts that are due ahead of their end, for the tick. Takes over sets that other workers
    /// fetched.
    pub fn due(&self) -> Vec<Fact> {
        let mut due = Vec::new();
        for (index, issuer) in self.runtime.config.issuers.iter().enumerate() {
            let KeySource::Jwks { at, cache, .. } = &issuer.keys else { continue };
            self.reload_keys(index, cache);
            let state = self.state(&Fact::Keys(index, None));
            let at_time = match (self.anchored_keys(index), state.failures) {
                (_, 1..) => state.retry_at,
                (Some(set), 0) => set.refresh_at,
                (None, 0) => self.now,
            };
            if self.now >= at_time
                && let Ok(fact) = self.keys_fact(index, at, Time::default())
            {
                due.push(fact);
            } else if matches!(at, JwksAt::Discovery(_)) && self.metadata_is_due(index) {
                due.push(Fact::Metadata(index));
            }
        }
        self.feeds_due(&mut due);
        self.status_lists_due(&mut due);
        due
    }

    /// Takes a JWK Set's answer in.
    pub(super) fn learn_keys(
        &self,
        issuer: usize,
        asked_at: Time,
        answer: &CallAnswer<'_>,
    ) -> bool {
        let Ok(KeySource::Jwks { cache, .. }) = self.issuer(issuer).map(|issuer| &issuer.keys)
        else {
            return false;
        };
        if answer.status != 200 {
            return false;
        }
        let Some(set) = self.read_set(issuer, cache, answer.body) else { return false };
        set.left_out.iter().for_each(|_| self.host.meter.count(Metric::JwksKeysSkipped));
        // A set without a key that can be used is a server's mistake: it would refuse everyone, and
        // the set before it serves on. Whoever wants an issuer's tokens refused takes it out of the
        // configuration. Where there was none before, keys that can't be used are all that is known
        // of this issuer: its tokens have no key.
        if set.keys.is_empty() && (set.left_out.is_empty() || self.has_usable_keys(issuer, cache)) {
            return false;
        }
        let floor = cache.ttl_s.min(cache.refetch_s);
        let ttl_s = answer
            .max_age_s()
            .map_or(cache.ttl_s, |age| age.clamp(floor, cache.ttl_s_max.max(floor)));
        let fresh_until = asked_at.plus_s(ttl_s);
        let times = Times {
            fetched_at: asked_at,
            fresh_until,
            stale_until: fresh_until.plus_s(cache.stale_s_max),
        };
        let digest = self.digest(&Fact::Keys(issuer, None));
        let version = self.shared().write_document(
            &digest,
            answer.body,
            &times.to_bytes(),
            times.stale_until,
        );
        // Without room in shared memory the set still serves this worker.
        self.keep_keys(issuer, cache, answer.body, &times, version.unwrap_or_default()).is_some()
    }

    /// Whether a set is known that serves still and has a key that can be used.
    fn has_usable_keys(&self, issuer: usize, cache: &JwksCache) -> bool {
        let known = self.reload_keys(issuer, cache).or_else(|| self.kept_keys(issuer));
        known.is_some_and(|set| !set.keys.is_empty() && self.now < set.stale_until)
    }

    /// The state of fetching `fact`, as all workers share it.
    pub(super) fn state(&self, fact: &Fact) -> State {
        self.shared().read_state(&self.digest(fact))
    }
}

#[cfg(test)]
mod tests;
