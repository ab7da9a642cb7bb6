//! The keys of issuers: from this worker's memory, else from the host's shared memory, else missing.

use std::sync::Arc;

use crate::config::{JwksAt, JwksCache, KeySource, Uri};
use crate::jwks;
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::shared::document::META_BYTES;
use crate::signature::VerifyKey;
use crate::time::Time;

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
    /// Until when it is used without a question.
    pub fresh_until: Time,
    /// Until when it serves while the endpoint fails.
    pub stale_until: Time,
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
        let mut fields = bytes.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes).map(Time::from_ns));
        let mut next = || fields.next()?.ok();
        Some(Times { fetched_at: next()?, fresh_until: next()?, stale_until: next()? })
    }
}

impl Facts<'_> {
    /// The keys of an issuer, except those of single credentials.
    ///
    /// # Errors
    /// `Missing` if they are to be fetched, `KeysUnavailable` while their endpoint fails and none are kept.
    pub fn keys(&self, issuer: usize) -> Result<Arc<KeySet>, Stop> {
        match &self.issuer(issuer)?.keys {
            KeySource::Inline(keys) => Ok(self.inline_keys(issuer, keys)),
            KeySource::Jwks { at, cache, .. } => self.fetched_keys(issuer, at, cache),
            KeySource::Credentials(_) => Err(Reason::UnknownKey.into()),
        }
    }

    /// The generation of an issuer's keys, where this worker has them and they need no further look.
    #[inline(always)]
    pub(super) fn generation_in_use(&self, issuer: usize) -> Option<u64> {
        let worker = self.runtime.worker.borrow();
        let set = worker.key_sets.get(issuer)?.as_ref()?;
        (self.now < set.fresh_until).then_some(set.generation)
    }

    fn inline_keys(&self, issuer: usize, keys: &Arc<Vec<VerifyKey>>) -> Arc<KeySet> {
        self.kept_keys(issuer).unwrap_or_else(|| {
            let end = Time::from_ns(u64::MAX);
            let keys = keys.clone();
            let set = Arc::new(KeySet { keys, generation: 0, fresh_until: end, stale_until: end, version: 0, refresh_at: end });
            self.hold_set(issuer, &set);
            set
        })
    }

    fn fetched_keys(&self, issuer: usize, at: &JwksAt, cache: &JwksCache) -> Result<Arc<KeySet>, Stop> {
        let kept = self.kept_keys(issuer);
        if let Some(set) = kept.as_ref().filter(|set| self.now < set.fresh_until) {
            return Ok(set.clone());
        }
        if let Some(set) = self.reload_keys(issuer, cache).filter(|set| self.now < set.fresh_until) {
            return Ok(set);
        }
        let state = self.state(&Fact::Keys(issuer, None));
        if state.failures > 0 {
            if let Some(set) = self.kept_keys(issuer).filter(|set| self.now < set.stale_until) {
                self.host.meter.count(Metric::JwksStale);
                return Ok(set);
            }
            if self.now < state.retry_at {
                return Err(self.unavailable(Reason::KeysUnavailable, state.retry_at));
            }
        }
        Err(self.keys_fact(issuer, at)?.into())
    }

    /// The fact to fetch for an issuer's keys: its metadata first where discovery is configured.
    fn keys_fact(&self, issuer: usize, at: &JwksAt) -> Result<Fact, Stop> {
        match at {
            JwksAt::Uri(_) => Ok(Fact::Keys(issuer, None)),
            JwksAt::Discovery(_) => match self.discovered(issuer) {
                Some(uri) => Ok(Fact::Keys(issuer, Some(uri))),
                None => {
                    let state = self.state(&Fact::Metadata(issuer));
                    match state.failures > 0 && self.now < state.retry_at {
                        true => Err(self.unavailable(Reason::KeysUnavailable, state.retry_at)),
                        false => Ok(Fact::Metadata(issuer)),
                    }
                }
            },
        }
    }

    fn hold_set(&self, issuer: usize, set: &Arc<KeySet>) {
        if let Some(place) = self.runtime.worker.borrow_mut().key_sets.get_mut(issuer) {
            *place = Some(set.clone());
        }
    }

    fn kept_keys(&self, issuer: usize) -> Option<Arc<KeySet>> {
        self.runtime.worker.borrow().key_sets.get(issuer)?.clone()
    }

    /// Takes what another worker fetched, if it is another set than ours.
    fn reload_keys(&self, issuer: usize, cache: &JwksCache) -> Option<Arc<KeySet>> {
        let digest = self.digest(&Fact::Keys(issuer, None));
        let version = self.shared().document_version(&digest)?;
        if self.kept_keys(issuer).is_some_and(|set| set.version == version) {
            return None;
        }
        let document = self.shared().read_document(&digest, cache.bytes_max)?;
        let times = Times::from_bytes(&document.meta)?;
        self.keep_keys(issuer, cache, &document.body, &times, document.version)
    }

    fn keep_keys(&self, issuer: usize, cache: &JwksCache, body: &[u8], times: &Times, version: u64) -> Option<Arc<KeySet>> {
        // A set stored by a clock that ran ahead is no fresher than one fetched now.
        let latest = |time: Time, from_now_s: u64| time.min(self.now.plus_s(from_now_s));
        let fresh_until = latest(times.fresh_until, cache.ttl_s_max);
        let stale_until = latest(times.stale_until, cache.ttl_s_max.saturating_add(cache.stale_s_max));
        let allowed = self.runtime.config.issuers.get(issuer)?.algorithms;
        let set = jwks::parse(body, allowed, cache.keys_max, cache.bytes_max).ok()?;
        let mut worker = self.runtime.worker.borrow_mut();
        worker.generation = worker.generation.saturating_add(1);
        let lifetime_ns = fresh_until.ns().saturating_sub(times.fetched_at.ns());
        let set = Arc::new(KeySet {
            keys: Arc::new(set.keys),
            generation: worker.generation,
            fresh_until,
            stale_until,
            version,
            refresh_at: Time::from_ns(times.fetched_at.ns().saturating_add(self.refresh_share(issuer, version, lifetime_ns))),
        });
        drop(worker);
        self.hold_set(issuer, &set);
        Some(set)
    }

    /// Between 70 and 85 hundredths of the lifetime: ahead of its end, and not all gateways at once.
    fn refresh_share(&self, issuer: usize, version: u64, lifetime_ns: u64) -> u64 {
        let mut seed = version.to_le_bytes().to_vec();
        seed.extend((issuer as u64).to_le_bytes());
        let hundredths = 70 + self.runtime.host_key.short(&seed) % 16;
        lifetime_ns / 100 * hundredths
    }

    /// A set that another worker has fetched since `set`.
    ///
    /// # Errors
    /// `Missing` while one is being fetched: the key that isn't known here may come with it.
    pub(super) fn newer_keys(&self, issuer: usize, set: &KeySet) -> Result<Option<Arc<KeySet>>, Stop> {
        let KeySource::Jwks { at, cache, .. } = &self.issuer(issuer)?.keys else { return Ok(None) };
        if let Some(newer) = self.reload_keys(issuer, cache).filter(|newer| newer.generation != set.generation) {
            return Ok(Some(newer));
        }
        match self.shared().lease_is_held(&self.digest(&Fact::Keys(issuer, None))) {
            true => Err(self.keys_fact(issuer, at)?.into()),
            false => Ok(None),
        }
    }

    /// What becomes of a token whose key isn't in the set: it may cause a fetch, is refused, or while the
    /// endpoint fails told to come back, since its key may be a new one.
    pub(super) fn unknown_key(&self, issuer: usize) -> Stop {
        if let Some(fact) = self.may_refetch(issuer) {
            return fact.into();
        }
        let is_fetched = matches!(self.issuer(issuer).map(|issuer| &issuer.keys), Ok(KeySource::Jwks { .. }));
        let state = if is_fetched { self.state(&Fact::Keys(issuer, None)) } else { State::default() };
        match state.failures > 0 {
            true => self.unavailable(Reason::KeysUnavailable, state.retry_at),
            false => Reason::UnknownKey.into(),
        }
    }

    /// Whether an unknown `kid` may cause a fetch now, and if so notes that it did: once per interval and issuer.
    fn may_refetch(&self, issuer: usize) -> Option<Fact> {
        let KeySource::Jwks { at, cache, .. } = &self.issuer(issuer).ok()?.keys else { return None };
        let fact = Fact::Keys(issuer, None);
        let state = self.state(&fact);
        let due = state.refetched_at.plus_s(cache.refetch_s);
        // A moment that lies ahead was written by a clock that ran ahead.
        let allowed = state.refetched_at == Time::default() || self.now >= due || self.now < state.refetched_at;
        if !allowed || (state.failures > 0 && self.now < state.retry_at) {
            return None;
        }
        let noted = self.update_state(&fact, |state| state.refetched_at = self.now);
        if !noted {
            return None;
        }
        self.host.meter.count(Metric::JwksUnknownKid);
        self.keys_fact(issuer, at).ok()
    }

    /// The facts that are due ahead of their end, for the tick. Takes over sets that other workers fetched.
    pub fn due(&self) -> Vec<Fact> {
        let mut due = Vec::new();
        for (index, issuer) in self.runtime.config.issuers.iter().enumerate() {
            let KeySource::Jwks { at, cache, .. } = &issuer.keys else { continue };
            self.reload_keys(index, cache);
            let state = self.state(&Fact::Keys(index, None));
            let at_time = match (self.kept_keys(index), state.failures) {
                (_, 1..) => state.retry_at,
                (Some(set), 0) => set.refresh_at,
                (None, 0) => self.now,
            };
            if self.now >= at_time
                && let Ok(fact) = self.keys_fact(index, at)
            {
                due.push(fact);
            }
        }
        self.feeds_due(&mut due);
        due
    }

    /// Takes a JWK Set's answer in.
    pub(super) fn learn_keys(&self, issuer: usize, asked_at: Time, answer: &CallAnswer<'_>) -> bool {
        let Ok(KeySource::Jwks { cache, .. }) = self.issuer(issuer).map(|issuer| &issuer.keys) else { return false };
        let allowed = self.runtime.config.issuers.get(issuer).map(|issuer| issuer.algorithms).unwrap_or_default();
        if answer.status != 200 {
            return false;
        }
        let Ok(set) = jwks::parse(answer.body, allowed, cache.keys_max, cache.bytes_max) else { return false };
        set.left_out.iter().for_each(|_| self.host.meter.count(Metric::JwksKeysSkipped));
        let floor = cache.ttl_s.min(cache.refetch_s);
        let ttl_s = answer.max_age_s().map_or(cache.ttl_s, |age| age.clamp(floor, cache.ttl_s_max.max(floor)));
        let fresh_until = asked_at.plus_s(ttl_s);
        let times = Times { fetched_at: asked_at, fresh_until, stale_until: fresh_until.plus_s(cache.stale_s_max) };
        let digest = self.digest(&Fact::Keys(issuer, None));
        let version = self.shared().write_document(&digest, answer.body, &times.to_bytes(), times.stale_until);
        // Without room in shared memory the set still serves this worker.
        self.keep_keys(issuer, cache, answer.body, &times, version.unwrap_or_default()).is_some()
    }

    /// Takes a metadata document's answer in (OpenID Connect Discovery, section 4.3; RFC 8414, section 3.3).
    pub(super) fn learn_metadata(&self, issuer: usize, answer: &CallAnswer<'_>) -> bool {
        let Some(uri) = self.metadata_uri(issuer, answer) else { return false };
        self.runtime.worker.borrow_mut().discovered.insert(issuer, uri.clone());
        let digest = self.digest(&Fact::Metadata(issuer));
        let text = uri.to_string();
        let _ = self.shared().write_document(&digest, text.as_bytes(), &[0; META_BYTES], self.now.plus_s(METADATA_TTL_S));
        true
    }

    fn metadata_uri(&self, issuer: usize, answer: &CallAnswer<'_>) -> Option<Uri> {
        #[derive(serde::Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow)]
            issuer: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            jwks_uri: std::borrow::Cow<'a, str>,
        }
        let issuer = self.issuer(issuer).ok()?;
        let KeySource::Jwks { at: JwksAt::Discovery(from), .. } = &issuer.keys else { return None };
        if answer.status != 200 || answer.body.len() > METADATA_BYTES_MAX {
            return None;
        }
        let metadata: Metadata<'_> = serde_json::from_slice(answer.body).ok()?;
        let expected = match &issuer.matcher {
            crate::config::IssuerMatch::Exact(expected) => expected,
            _ => return None,
        };
        let uri = Uri::parse(&metadata.jwks_uri)?;
        // An https metadata document may not send us to plain http.
        (metadata.issuer == expected.as_str() && (uri.https || !from.https)).then_some(uri)
    }

    fn discovered(&self, issuer: usize) -> Option<Uri> {
        if let Some(uri) = self.runtime.worker.borrow().discovered.get(&issuer) {
            return Some(uri.clone());
        }
        let document = self.shared().read_document(&self.digest(&Fact::Metadata(issuer)), METADATA_BYTES_MAX)?;
        let uri = Uri::parse(std::str::from_utf8(&document.body).ok()?)?;
        self.runtime.worker.borrow_mut().discovered.insert(issuer, uri.clone());
        Some(uri)
    }

    /// Forgets where discovery said the keys are, so that it is asked again.
    pub(super) fn forget_discovered(&self, issuer: usize) {
        self.runtime.worker.borrow_mut().discovered.remove(&issuer);
        let _ = self.shared().remove_document(&self.digest(&Fact::Metadata(issuer)));
    }

    /// The state of fetching `fact`, as all workers share it.
    pub(super) fn state(&self, fact: &Fact) -> State {
        self.shared().read_state(&self.digest(fact))
    }
}

/// A metadata document is a few KiB.
const METADATA_BYTES_MAX: usize = 65_536;
/// How long the place of a JWK Set is believed without asking again.
const METADATA_TTL_S: u64 = 86_400;
