//! Verified tokens: in this worker's memory whole, in shared memory as "this key verified this token".
//!
//! Shared memory never says what a token claims. A worker that finds the record there still reads and
//! checks the token itself, and skips the arithmetic of the signature alone.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::config::{ExpPolicy, Issuer, KeySource};
use crate::digest::Digest;
use crate::forward;
use crate::jwt::{self, Claims, Jwt, check};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::Names;
use crate::revocation::names::token_handle;
use crate::signature::{Algorithm, HostVerify, VerifyKey};
use crate::time::Time;

use super::{Facts, KeySet, Stop};

/// Whom a credential belongs to, as Kong names it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Consumer {
    /// `X-Consumer-ID`.
    pub id: Option<String>,
    /// `X-Consumer-Username`.
    pub username: Option<String>,
    /// `X-Consumer-Custom-ID`.
    pub custom_id: Option<String>,
}

/// A token whose signature verified, with everything that each request checks again.
pub struct Verified {
    /// The issuer that answers for it.
    pub issuer: usize,
    /// Its claims.
    pub claims: Claims,
    /// The id of the credential that verified it, if it was one.
    pub credential: Option<String>,
    /// Whom it belongs to.
    pub consumer: Consumer,
    /// Headers that it sets for the API.
    pub headers: Vec<(String, String)>,
    /// When it is in its time.
    window: check::Window,
    /// Whether its issuer has a sunset.
    pub is_legacy: bool,
    /// Whether it goes on to the API.
    pub is_forwarded: bool,
    /// When it was first seen: the start of a lifetime that the token doesn't tell.
    first_seen: Time,
    /// The key that verified it.
    fingerprint: [u8; 32],
    /// The key set in which that key was last found.
    generation: Cell<u64>,
    /// Under which names it may be revoked.
    pub(super) names: Names,
    /// What was known of revocations when it was last looked up.
    pub(super) looked_up: Cell<u64>,
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verified(..)")
    }
}

impl Verified {
    /// About what it takes in memory, in bytes.
    fn bytes(&self) -> usize {
        let claims = &self.claims;
        let texts = [&claims.iss, &claims.sub, &claims.jti, &claims.client_id, &self.credential].into_iter().flatten().chain(&claims.aud);
        let headers = self.headers.iter().flat_map(|(name, value)| [name, value]);
        let text_bytes: usize = texts.chain(headers).map(|text| text.len().saturating_add(VALUE_BYTES)).sum();
        std::mem::size_of::<Verified>().saturating_add(text_bytes).saturating_add(members_bytes(&claims.raw))
    }
}

/// What a value or string takes beside its text, and a member of an object beside its name and value.
const VALUE_BYTES: usize = 24;
const MEMBER_BYTES: usize = 40;

/// The parser bounds the depth.
fn members_bytes(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| MEMBER_BYTES.saturating_add(name.len()).saturating_add(value_bytes(value))).sum()
}

fn value_bytes(value: &Value) -> usize {
    VALUE_BYTES.saturating_add(match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(value_bytes).sum(),
        Value::Object(members) => members_bytes(members),
        _ => 0,
    })
}

/// Bytes of a record in shared memory: the key's fingerprint and the time of first sight.
pub const RECORD_BYTES: usize = 40;

/// For how long after its end a token is remembered that tells neither its end nor its beginning.
const ENDED_KEPT_S: u64 = 30 * 86_400;

/// Keys without a name that are tried for one token.
const KEYS_TRIED_MAX: usize = 8;

impl Facts<'_> {
    /// The token, if this worker has verified it before; every check that time can change is made again.
    ///
    /// # Errors
    /// Why it isn't good any more, or a fact that is missing.
    #[inline(always)]
    pub fn verified_before(&self, token: &[u8]) -> Result<Option<Rc<Verified>>, Stop> {
        let hash = self.short_hash(token);
        let found = self.runtime.worker.borrow_mut().verified.get(hash, token).map(|verified| verified.clone());
        let Some(verified) = found else { return Ok(None) };
        match self.recheck(&verified) {
            Ok(true) => {
                self.host.meter.count(Metric::L1Hit);
                Ok(Some(verified))
            }
            Ok(false) => {
                self.runtime.worker.borrow_mut().verified.remove(hash, token);
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }

    /// Whether the token may be used still without its signature; false: it is to be verified anew.
    #[inline(always)]
    fn recheck(&self, verified: &Verified) -> Result<bool, Stop> {
        if !verified.window.holds(self.now) {
            self.recheck_times(verified)?;
        }
        if verified.credential.is_none() && self.generation_in_use(verified.issuer) == Some(verified.generation.get()) {
            return Ok(true);
        }
        self.recheck_key(verified)
    }

    /// Why it isn't in its time.
    #[cold]
    fn recheck_times(&self, verified: &Verified) -> Result<(), Stop> {
        let issuer = self.issuer(verified.issuer)?;
        check::sunset(issuer, self.now)?;
        check::times(&verified.claims, issuer, self.now, verified.first_seen)?;
        Ok(())
    }

    /// Whether the key that verified it is still its issuer's.
    #[inline(never)]
    fn recheck_key(&self, verified: &Verified) -> Result<bool, Stop> {
        if let Some(id) = &verified.credential {
            let credential = self.credential(verified.issuer, id)?;
            return Ok(*credential.key.fingerprint() == verified.fingerprint && credential.consumer == verified.consumer);
        }
        let set = self.keys(verified.issuer)?;
        let still_there = set.keys.iter().any(|key| *key.fingerprint() == verified.fingerprint);
        verified.generation.set(set.generation);
        Ok(still_there)
    }

    /// Verifies a token: reads it strictly, checks its claims, finds the key, and does the arithmetic
    /// unless some worker of this host has done it for this token and a key that is still in use.
    ///
    /// # Errors
    /// Why it isn't good, or a fact that is missing.
    pub fn verify(&self, token: &[u8]) -> Result<Rc<Verified>, Stop> {
        let jwt = jwt::parse(token)?;
        let config = &self.runtime.config;
        let index = self.runtime.compiled.issuer_index.choose(&config.issuers, jwt.claims.iss.as_deref(), &jwt.claims.aud)?;
        let issuer = self.issuer(index)?;
        if !issuer.algorithms.contains(jwt.algorithm) {
            return Err(Reason::Algorithm.into());
        }
        let names = Names::of(&self.runtime.host_key, &jwt, token);
        let digest = self.verified_digest(issuer, &names.bytes);
        let seen = self.seen_before(&digest);
        let first_seen = seen.as_ref().map_or(self.now, |seen| seen.first_seen.min(self.now));
        check::issuer(issuer, jwt.typ.as_deref(), &jwt.claims, self.now, first_seen)?;
        let key = self.verifying_key(index, issuer, &jwt, seen.map(|seen| seen.fingerprint))?;
        if !key.seen {
            self.remember(&digest, &key.fingerprint, first_seen, &jwt.claims, issuer);
        }
        if key.weak {
            self.host.meter.count(Metric::WeakSecret);
        }
        let headers = identity_headers(issuer, &jwt, &key)?;
        let window = check::Window::of(&jwt.claims, issuer, first_seen);
        let verified = Rc::new(Verified {
            issuer: index,
            claims: jwt.claims,
            credential: key.credential,
            consumer: key.consumer,
            headers,
            window,
            is_legacy: issuer.sunset_s.is_some(),
            is_forwarded: issuer.forward.token,
            first_seen,
            fingerprint: key.fingerprint,
            generation: Cell::new(key.generation),
            names,
            looked_up: Cell::new(0),
        });
        let bytes = verified.bytes();
        self.runtime.worker.borrow_mut().verified.put(self.short_hash(token), token, verified.clone(), bytes);
        Ok(verified)
    }

    pub(super) fn verifying_key(&self, index: usize, issuer: &Issuer, jwt: &Jwt<'_>, seen: Option<[u8; 32]>) -> Result<Verifying, Stop> {
        if let KeySource::Credentials(_) = &issuer.keys {
            let id = credential_id(jwt).ok_or(Reason::UnknownKey)?;
            let credential = self.credential(index, id)?;
            let mut verifying = self.try_keys(std::iter::once(&*credential.key), jwt, seen)?;
            verifying.credential = Some(id.to_owned());
            verifying.consumer = credential.consumer.clone();
            return Ok(verifying);
        }
        let set = self.keys(index)?;
        match self.try_set(&set, jwt, seen) {
            // Another worker may have fetched a newer set than the one kept here, or be about to.
            Err(Reason::UnknownKey) => match self.newer_keys(index, &set)? {
                Some(newer) => self.try_set(&newer, jwt, seen).map(|verifying| verifying.of_issuer(issuer, &newer)).map_err(Stop::from),
                None => Err(self.unknown_key(index)),
            },
            Err(reason) => Err(reason.into()),
            Ok(verifying) => Ok(verifying.of_issuer(issuer, &set)),
        }
    }

    /// A key that the token names goes before keys without a name; a token without `kid` may be any key's.
    pub(super) fn try_set(&self, set: &KeySet, jwt: &Jwt<'_>, seen: Option<[u8; 32]>) -> Result<Verifying, Reason> {
        let named = |key: &&VerifyKey| jwt.kid.is_some() && key.kid() == jwt.kid.as_deref();
        let unnamed = |key: &&VerifyKey| jwt.kid.is_none() || key.kid().is_none();
        match set.keys.iter().any(|key| named(&key)) {
            true => self.try_keys(set.keys.iter().filter(named), jwt, seen),
            false => self.try_keys(set.keys.iter().filter(unnamed), jwt, seen),
        }
    }

    pub(super) fn try_keys<'k>(
        &self,
        keys: impl Iterator<Item = &'k VerifyKey>,
        jwt: &Jwt<'_>,
        seen: Option<[u8; 32]>,
    ) -> Result<Verifying, Reason> {
        let mut refused = Reason::UnknownKey;
        let mut tried = 0;
        for key in keys {
            if !key.algorithms().contains(jwt.algorithm) {
                refused = if tried == 0 { Reason::Algorithm } else { refused };
                continue;
            }
            let known = seen.is_some_and(|fingerprint| fingerprint == *key.fingerprint());
            let by_host = ByHost { verify: self.host.verify, answered: Cell::new(false) };
            if known || key.verify(jwt.algorithm, jwt.signed, &jwt.signature, &by_host).is_ok() {
                self.host.meter.count(if known { Metric::L2Hit } else { Metric::Verified });
                if by_host.answered.get() {
                    self.host.meter.count(Metric::VerifiedByHost);
                }
                return Ok(Verifying::by(key, known));
            }
            refused = Reason::BadSignature;
            tried += 1;
            if tried >= KEYS_TRIED_MAX {
                break;
            }
        }
        Err(refused)
    }

    fn verified_digest(&self, issuer: &Issuer, bytes: &Digest) -> Digest {
        self.runtime.host_key.digest("verified", &[&issuer.digest, &bytes.0])
    }

    /// What some worker found out about a token that it verified under this issuer.
    pub(super) fn seen_as(&self, issuer: &Issuer, token: &[u8]) -> Option<Seen> {
        self.seen_before(&self.verified_digest(issuer, &token_handle(&self.runtime.host_key, token)))
    }

    fn seen_before(&self, digest: &Digest) -> Option<Seen> {
        let record = self.shared().read_token(digest)?;
        let (fingerprint, first_seen) = record.split_first_chunk::<32>()?;
        Some(Seen { fingerprint: *fingerprint, first_seen: Time::from_ns(u64::from_le_bytes(first_seen.try_into().ok()?)) })
    }

    fn remember(&self, digest: &Digest, fingerprint: &[u8; 32], first_seen: Time, claims: &Claims, issuer: &Issuer) {
        let Some(end_s) = check::end_s(claims, issuer, first_seen) else { return };
        // Where first sight is all that ends a token, to forget it would begin its lifetime anew.
        let by_first_sight = issuer.exp == ExpPolicy::Optional && claims.iat.is_none();
        let kept_s = if by_first_sight { end_s.saturating_add(ENDED_KEPT_S) } else { end_s };
        let mut record = [0u8; RECORD_BYTES];
        let fields = fingerprint.iter().copied().chain(first_seen.ns().to_le_bytes());
        record.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        self.shared().write_token(digest, &record, Time::from_s(kept_s));
    }

    /// The end of a token is its signature's, 96 bits of it here: nobody makes two that end alike without the key.
    #[inline(always)]
    fn short_hash(&self, token: &[u8]) -> u64 {
        token.last_chunk::<16>().map_or(0, |tail| self.runtime.host_key.quick(tail))
    }
}

/// The host's signature function, and whether it was what answered.
struct ByHost<'a> {
    verify: &'a dyn HostVerify,
    answered: Cell<bool>,
}

impl HostVerify for ByHost<'_> {
    fn verify(&self, algorithm: Algorithm, spki_der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
        let answer = self.verify.verify(algorithm, spki_der, message, signature);
        self.answered.set(answer.is_some());
        answer
    }
}

pub(super) struct Seen {
    pub fingerprint: [u8; 32],
    pub first_seen: Time,
}

/// The key that verified a token, and what it says of the caller.
pub(super) struct Verifying {
    pub fingerprint: [u8; 32],
    seen: bool,
    weak: bool,
    generation: u64,
    credential: Option<String>,
    consumer: Consumer,
}

impl Verifying {
    fn by(key: &VerifyKey, seen: bool) -> Verifying {
        let (fingerprint, weak) = (*key.fingerprint(), key.is_weak());
        Verifying { fingerprint, seen, weak, generation: 0, credential: None, consumer: Consumer::default() }
    }

    fn of_issuer(self, issuer: &Issuer, set: &KeySet) -> Verifying {
        let consumer = Consumer { username: issuer.consumer.clone(), ..self.consumer };
        Verifying { generation: set.generation, consumer, ..self }
    }
}

/// As Kong's jwt plugin has it: `iss`, here else `kid`.
pub(super) fn credential_id<'a>(jwt: &'a Jwt<'_>) -> Option<&'a str> {
    let id = jwt.claims.iss.as_deref().or(jwt.kid.as_deref())?;
    (1..=CREDENTIAL_ID_BYTES_MAX).contains(&id.len()).then_some(id)
}

/// A longer one would only be a burden to the server that is asked for it.
const CREDENTIAL_ID_BYTES_MAX: usize = 256;

fn identity_headers(issuer: &Issuer, jwt: &Jwt<'_>, key: &Verifying) -> Result<Vec<(String, String)>, Reason> {
    let max = issuer.forward.claim_bytes_max;
    let mut headers = Vec::new();
    let mut push = |name: &str, value: Option<&str>| -> Result<(), Reason> {
        if let Some(value) = value
            && let Some(value) = forward::value(&serde_json::Value::from(value), max)?
        {
            headers.push((name.to_owned(), value));
        }
        Ok(())
    };
    push("x-consumer-id", key.consumer.id.as_deref())?;
    push("x-consumer-username", key.consumer.username.as_deref())?;
    push("x-consumer-custom-id", key.consumer.custom_id.as_deref())?;
    push("x-credential-identifier", key.credential.as_deref())?;
    for (path, name) in &issuer.forward.claims {
        if let Some(claim) = jwt.claims.get(path)
            && let Some(value) = forward::value(claim, max)?
        {
            headers.push((name.clone(), value));
        }
    }
    if let Some(name) = &issuer.forward.payload_header {
        // Base64url as it came; the strict parse admits no other byte.
        headers.push((name.clone(), String::from_utf8_lossy(jwt.payload_segment).into_owned()));
    }
    Ok(headers)
}
