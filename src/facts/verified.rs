//! Verified tokens: in this worker's memory whole, in shared memory as "this key verified this
//! token".
//!
//! Beside that, when a token was first seen, where its lifetime depends on it.
//!
//! Shared memory never says what a token claims. A worker that finds the record there still reads
//! and checks the token itself, and skips the arithmetic of the signature alone.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::digest::Digest;
use crate::jwt::issuer::Issuer;
use crate::jwt::{self, Claims, Form, Jwt, check};
use crate::metrics::Metric;
use crate::proof::Binding;
use crate::reply::Reason;
use crate::revocation::Names;
use crate::revocation::names::token_handle;
use crate::signature::source::KeySource;
use crate::signature::{Algorithm, HostVerify, VerifyKey};
use crate::time::{CLOCK_MIN, Time};

use super::status::Status;
use super::vouched::{By, Consumer, Vouched};
use super::{Facts, KeySet, Stop};

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
    /// The keys that its caller has to prove on every request.
    pub binding: Option<Binding>,
    /// Whether its use has terms beyond its own: it is or has to be bound, or it counts once.
    pub has_terms: bool,
    /// Where its issuer says whether it is still good.
    pub status: Option<Box<Status>>,
    /// When it is in its time.
    pub(super) window: check::Window,
    /// Whether its issuer said what it means when it was asked: then only that can be asked again.
    pub is_opaque: bool,
    /// Whether nothing speaks for it but the secret that opened it: no key of a set can go.
    pub(super) is_by_secret: bool,
    /// Whether its issuer has a sunset.
    pub is_legacy: bool,
    /// Whether it goes on to the API.
    pub is_forwarded: bool,
    /// When it was first seen: the start of a lifetime that the token doesn't tell.
    pub(super) first_seen: Time,
    /// The key that verified it.
    pub(super) fingerprint: [u8; 32],
    /// The key set in which that key was last found.
    pub(super) generation: Cell<u64>,
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
    /// When it was first seen, where its lifetime depends on that.
    pub(super) fn first_seen(&self) -> Time {
        self.first_seen
    }

    /// About what it takes in memory, in bytes.
    fn bytes(&self) -> usize {
        let claims = &self.claims;
        let texts = [&claims.iss, &claims.sub, &claims.jti, &claims.client_id, &self.credential]
            .into_iter()
            .flatten()
            .chain(&claims.aud);
        let headers = self.headers.iter().flat_map(|(name, value)| [name, value]);
        let text_bytes: usize =
            texts.chain(headers).map(|text| text.len().saturating_add(VALUE_BYTES)).sum();
        std::mem::size_of::<Verified>()
            .saturating_add(text_bytes)
            .saturating_add(self.status.as_ref().map_or(0, |_| std::mem::size_of::<Status>()))
            .saturating_add(members_bytes(&claims.raw))
    }
}

/// What a value or string takes beside its text, and a member of an object beside its name and
/// value.
const VALUE_BYTES: usize = 24;
const MEMBER_BYTES: usize = 40;

/// The parser bounds the depth.
fn members_bytes(members: &Map<String, Value>) -> usize {
    members
        .iter()
        .map(|(name, value)| {
            MEMBER_BYTES.saturating_add(name.len()).saturating_add(value_bytes(value))
        })
        .sum()
}

fn value_bytes(value: &Value) -> usize {
    VALUE_BYTES.saturating_add(match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(value_bytes).sum(),
        Value::Object(members) => members_bytes(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    })
}

/// Bytes of a record in shared memory: the fingerprint of the key that verified a token, or when
/// one was first seen.
pub const RECORD_BYTES: usize = 32;

impl Facts<'_> {
    /// The token, if this worker has verified it before; every check that time can change is made
    /// again.
    ///
    /// # Errors
    /// Why it isn't good any more, or a fact that is missing.
    #[inline(always)]
    pub fn verified_before(&self, token: &[u8]) -> Result<Option<Rc<Verified>>, Stop> {
        let hash = self.short_hash(token);
        let found = self
            .runtime
            .worker
            .borrow_mut()
            .verified
            .get(hash, token)
            .map(|verified| verified.clone());
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
        if !verified.window.holds(self.now) && !self.recheck_times(verified)? {
            return Ok(false);
        }
        if verified.credential.is_none()
            && self.generation_in_use(verified.issuer) == Some(verified.generation.get())
        {
            return Ok(true);
        }
        self.recheck_key(verified)
    }

    /// Why it isn't in its time; false if that is to be asked anew.
    #[cold]
    fn recheck_times(&self, verified: &Verified) -> Result<bool, Stop> {
        self.clock_is_set()?;
        if verified.is_opaque {
            return Ok(false);
        }
        let issuer = self.issuer(verified.issuer)?;
        check::sunset(issuer, self.now)?;
        check::times(&verified.claims, issuer, self.now, verified.first_seen)?;
        Ok(true)
    }

    /// A clock that was never set says of every token that it hasn't ended. That is the gateway's
    /// trouble, not the token's.
    pub(super) fn clock_is_set(&self) -> Result<(), Stop> {
        if self.now < CLOCK_MIN {
            Err(self.unavailable(Reason::ClockUnset, self.now))
        } else {
            Ok(())
        }
    }

    /// Whether the key that verified it is still its issuer's.
    #[inline(never)]
    fn recheck_key(&self, verified: &Verified) -> Result<bool, Stop> {
        if verified.is_by_secret {
            // Its secret is in the document, and another document begins with an empty memory.
            return Ok(true);
        }
        if let Some(id) = &verified.credential {
            let credential = self.credential(verified.issuer, id)?;
            return Ok(*credential.key.fingerprint() == verified.fingerprint
                && credential.consumer == verified.consumer);
        }
        let set = self.keys(verified.issuer)?;
        let still_there = set.keys.iter().any(|key| *key.fingerprint() == verified.fingerprint);
        verified.generation.set(set.generation);
        Ok(still_there)
    }

    /// Finds out what a token means: a JWT is verified, of an opaque one its issuer is asked. Which
    /// of the two it is its form says, before anything else. `admitted` are the issuers that the
    /// rule admits.
    ///
    /// # Errors
    /// Why it isn't good, or a fact that is missing.
    pub fn verify(&self, token: &[u8], admitted: Option<&[usize]>) -> Result<Rc<Verified>, Stop> {
        if self.runtime.compiled.knows_opaque && jwt::form(token) == Form::Opaque {
            return self.verify_opaque(token, admitted);
        }
        if self.is_encrypted(token) {
            return self.verify_encrypted(token);
        }
        let jwt = jwt::parse(token)?;
        let index = self.issuer_of(&jwt.claims, None)?;
        self.verify_signed(token, index, jwt, false)
    }

    /// Verifies a JWT of the issuer at `index`, which was read strictly: checks its claims, finds
    /// the key, and does the arithmetic unless some worker of this host has done it for this token
    /// and a key that is still in use. `sent` is what the client has sent: another token around it
    /// where it is `sealed`.
    ///
    /// # Errors
    /// Why it isn't good, or a fact that is missing.
    pub(super) fn verify_signed(
        &self,
        sent: &[u8],
        index: usize,
        jwt: Jwt<'_>,
        sealed: bool,
    ) -> Result<Rc<Verified>, Stop> {
        let issuer = self.issuer(index)?;
        if !issuer.algorithms.contains(jwt.algorithm) {
            return Err(Reason::Algorithm.into());
        }
        let names = match sealed {
            true => self
                .names_of(&jwt.claims, jwt.signed, jwt.whole)
                .sealed_in(&self.runtime.names_key, sent),
            false => self.names_of(&jwt.claims, jwt.signed, sent),
        };
        let digest = self.verified_digest(issuer, &names.bytes);
        let seen = self.seen_before(&digest);
        let sight = self.first_sight(&jwt.claims, jwt.signed);
        self.clock_is_set()?;
        check::issuer(issuer, jwt.typ.as_deref(), &jwt.claims, self.now, sight.at)?;
        let key = self.verifying_key(index, issuer, &jwt, seen)?;
        self.remember_sight(&sight, &jwt.claims, issuer);
        if !key.seen {
            self.remember(&digest, &key.fingerprint, sight.at, &jwt.claims, issuer);
        }
        let first_seen = sight.at;
        if key.weak {
            self.host.meter.count(Metric::WeakSecret);
        }
        let window = check::Window::of(&jwt.claims, issuer, first_seen);
        let vouched = Vouched {
            claims: jwt.claims,
            credential: key.credential,
            consumer: key.consumer,
            payload_segment: jwt.payload_segment,
            window,
            by: By::Signature,
            first_seen,
            fingerprint: key.fingerprint,
            generation: key.generation,
            names,
        };
        self.take_in(sent, (index, issuer), vouched)
    }

    /// Keeps a verified token in this worker's memory.
    pub(super) fn keep(&self, token: &[u8], verified: &Rc<Verified>) {
        let bytes = verified.bytes();
        self.forget_other_wrapping(token, verified);
        self.runtime.worker.borrow_mut().verified.put(
            self.short_hash(token),
            token,
            verified.clone(),
            bytes,
        );
    }

    pub(super) fn verifying_key(
        &self,
        index: usize,
        issuer: &Issuer,
        jwt: &Jwt<'_>,
        seen: Option<[u8; 32]>,
    ) -> Result<Verifying, Stop> {
        if let KeySource::Credentials(_) = &issuer.keys {
            let id = credential_id(issuer, jwt).ok_or(Reason::UnknownKey)?;
            let credential = self.credential(index, id)?;
            let mut verifying = self.try_keys(index, &[&*credential.key], jwt, seen)??;
            verifying.credential = Some(id.to_owned());
            verifying.consumer = credential.consumer.clone();
            return Ok(verifying);
        }
        let set = self.keys(index)?;
        let refused = match self.try_set(index, &set, jwt, seen)? {
            Ok(verifying) => return Ok(verifying.of_issuer(issuer, &set, jwt)),
            Err(reason) => reason,
        };
        // Another worker may have fetched a newer set than the one kept here, or be about to.
        match self.newer_keys(index, &set)? {
            Some(newer) => {
                Ok(self.try_set(index, &newer, jwt, seen)??.of_issuer(issuer, &newer, jwt))
            }
            None => Err(self.no_key_verifies(index, &set, refused)),
        }
    }

    /// A key that the token names goes before keys without a name; a token without `kid` may be any
    /// key's.
    pub(super) fn try_set(
        &self,
        index: usize,
        set: &KeySet,
        jwt: &Jwt<'_>,
        seen: Option<[u8; 32]>,
    ) -> Result<Tried, Stop> {
        let named = |key: &&VerifyKey| jwt.kid.is_some() && key.kid() == jwt.kid.as_deref();
        let unnamed = |key: &&VerifyKey| jwt.kid.is_none() || key.kid().is_none();
        let mut keys: Vec<&VerifyKey> = set.keys.iter().filter(named).collect();
        if keys.is_empty() {
            keys.extend(set.keys.iter().filter(unnamed));
        }
        self.try_keys(index, &keys, jwt, seen)
    }

    /// Tries keys of an issuer until one verifies the token, within what [`super::tries`] allows.
    pub(super) fn try_keys(
        &self,
        index: usize,
        keys: &[&VerifyKey],
        jwt: &Jwt<'_>,
        seen: Option<[u8; 32]>,
    ) -> Result<Tried, Stop> {
        let mut fitting: Vec<&VerifyKey> =
            keys.iter().copied().filter(|key| key.algorithms().contains(jwt.algorithm)).collect();
        if let Some(key) = fitting.iter().find(|key| seen == Some(*key.fingerprint())) {
            self.host.meter.count(Metric::L2Hit);
            return Ok(Ok(Verifying::by(key, true)));
        }
        self.likeliest_first(index, &mut fitting);
        for (tried, key) in fitting.iter().enumerate() {
            self.may_try(index, tried, jwt.algorithm, key)?;
            let by_host = ByHost { verify: self.host.verify, answered: Cell::new(false) };
            if key.verify(jwt.algorithm, jwt.signed, &jwt.signature, &by_host).is_ok() {
                self.host.meter.count(Metric::Verified);
                if by_host.answered.get() {
                    self.host.meter.count(Metric::VerifiedByHost);
                } else if key.is_crowded_out() {
                    self.host.meter.count(Metric::VerifiedWithoutTable);
                }
                if fitting.len() > 1 {
                    self.has_verified(index, key);
                }
                return Ok(Ok(Verifying::by(key, false)));
            }
        }
        Ok(Err(match (keys.is_empty(), fitting.is_empty()) {
            (true, _) => Reason::UnknownKey,
            (false, true) => Reason::Algorithm,
            (false, false) => Reason::BadSignature,
        }))
    }

    fn verified_digest(&self, issuer: &Issuer, bytes: &Digest) -> Digest {
        self.runtime.host_key.digest("verified", &[&issuer.digest, &bytes.0])
    }

    /// The fingerprint of the key that verified a token of this issuer, as some worker found.
    pub(super) fn seen_as(&self, issuer: &Issuer, token: &[u8]) -> Option<[u8; 32]> {
        self.seen_before(
            &self.verified_digest(issuer, &token_handle(&self.runtime.names_key, token)),
        )
    }

    /// The fingerprint of the key that verified the token of these very bytes.
    fn seen_before(&self, digest: &Digest) -> Option<[u8; 32]> {
        self.shared().read_token(digest)?.try_into().ok()
    }

    fn remember(
        &self,
        digest: &Digest,
        fingerprint: &[u8; 32],
        first_seen: Time,
        claims: &Claims,
        issuer: &Issuer,
    ) {
        let Some(end_s) = check::end_s(claims, issuer, first_seen) else { return };
        self.shared().write_token(digest, fingerprint, Time::from_s(end_s));
    }

    /// The end of a token is its signature's, 96 bits of it here: nobody makes two that end alike
    /// without the key.
    #[inline(always)]
    pub(super) fn short_hash(&self, token: &[u8]) -> u64 {
        token.last_chunk::<16>().map_or(0, |tail| self.runtime.host_key.quick(tail))
    }
}

/// The host's signature function, and whether it was what answered.
struct ByHost<'a> {
    verify: &'a dyn HostVerify,
    answered: Cell<bool>,
}

impl HostVerify for ByHost<'_> {
    fn verify(
        &self,
        algorithm: Algorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let answer = self.verify.verify(algorithm, spki_der, message, signature);
        self.answered.set(answer.is_some());
        answer
    }
}

/// What came of trying keys: the one that verified the token, or why none did.
type Tried = Result<Verifying, Reason>;

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
        Verifying {
            fingerprint,
            seen,
            weak,
            generation: 0,
            credential: None,
            consumer: Consumer::default(),
        }
    }

    fn of_issuer(self, issuer: &Issuer, set: &KeySet, jwt: &Jwt<'_>) -> Verifying {
        let consumer = Consumer::of(issuer, &jwt.claims);
        Verifying { generation: set.generation, consumer, ..self }
    }
}

/// As Kong's jwt plugin has it: `iss`, here else `kid`; or the claim that the issuer names, and as
/// there the header's `kid` where a claim of that name isn't in the token.
pub(super) fn credential_id<'a>(issuer: &Issuer, jwt: &'a Jwt<'_>) -> Option<&'a str> {
    let id = match &issuer.credential_claim {
        None => jwt.claims.iss.as_deref().or(jwt.kid.as_deref())?,
        Some(path) => match jwt.claims.get(path) {
            Some(claim) => claim.as_str()?,
            None if path.0 == ["kid"] => jwt.kid.as_deref()?,
            None => return None,
        },
    };
    (1..=CREDENTIAL_ID_BYTES_MAX).contains(&id.len()).then_some(id)
}

/// A longer one would only be a burden to the server that is asked for it.
const CREDENTIAL_ID_BYTES_MAX: usize = 256;
