//! Which key of an issuer verifies a token, and what shared memory remembers of that.
//!
//! A record there spares other workers the arithmetic. It costs a hash of the whole token, two reads
//! and a write, so it is kept of signatures alone whose arithmetic takes several times as long, and
//! looked for once a key is found that would have to do it: what is refused for anything else never
//! asks for one.

use std::cell::{Cell, OnceCell};

use crate::digest::Digest;
use crate::jwt::issuer::Issuer;
use crate::jwt::{Claims, Jwt, check};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::shared::Places;
use crate::signature::source::KeySource;
use crate::signature::{Algorithm, HostVerify, VerifyKey};
use crate::time::{NS_PER_MS, Time};

use super::vouched::Consumer;
use super::{Facts, KeySet, Stop};

/// What a verification has to take for a record of it to be worth its price, in nanoseconds: six
/// times that price, as it was measured in Envoy. Neither an HMAC nor, in Envoy, RSA of 2048 bits or
/// ES256 takes so long.
const DEAR_NS: u64 = NS_PER_MS / 25;
/// A longer id would only be a burden to the server that is asked for it.
const CREDENTIAL_ID_BYTES_MAX: usize = 256;

/// The place in shared memory of "this key verified this token", looked up when that is first asked.
pub(super) struct Record<'a> {
    facts: &'a Facts<'a>,
    issuer: &'a Issuer,
    token: &'a [u8],
    looked: OnceCell<Looked>,
}

/// What was found there under this name: the key's fingerprint, or where it would lie.
struct Looked {
    name: Digest,
    found: Result<[u8; 32], Places>,
}

impl Record<'_> {
    fn look(&self) -> &Looked {
        self.looked.get_or_init(|| {
            let fields = [&self.issuer.digest[..], self.token];
            let name = self.facts.runtime.host_key.digest("verified", &fields);
            let found = self.facts.shared().find_token(&name);
            let found = found.and_then(|record| record.try_into().map_err(|_| Places::default()));
            Looked { name, found }
        })
    }

    fn is_by(&self, key: &VerifyKey) -> bool {
        self.look().found.as_ref().is_ok_and(|fingerprint| fingerprint == key.fingerprint())
    }

    /// Keeps that this key has verified the token, where that was looked for.
    pub(super) fn keep(self, fingerprint: &[u8; 32], claims: &Claims, first_seen: Time) {
        let Some(Looked { name, found }) = self.looked.into_inner() else { return };
        let Some(end_s) = check::end_s(claims, self.issuer, first_seen) else { return };
        let (shared, end) = (self.facts.shared(), Time::from_s(end_s));
        match found {
            // It named a key that has gone since.
            Ok(_) => shared.write_token(&name, fingerprint, end),
            Err(places) => shared.write_new_token(&name, fingerprint, end, places),
        }
    }
}

/// What is known of a token's signature before it is verified.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// The fingerprint of the key that has verified it.
    key: Option<[u8; 32]>,
    /// Where shared memory would tell.
    record: Option<&'a Record<'a>>,
}

impl<'a> Known<'a> {
    /// Nothing, and nobody is asked.
    pub(super) const NOTHING: Known<'static> = Known { key: None, record: None };

    /// What a record says.
    pub(super) fn by(record: &'a Record<'a>) -> Self {
        Known { key: None, record: Some(record) }
    }

    /// The same, with the key that is known without it.
    pub(super) fn or_key(self, key: Option<[u8; 32]>) -> Self {
        Known { key, ..self }
    }
}

impl Facts<'_> {
    /// The record of a token of this issuer, by its very bytes.
    pub(super) fn record<'s>(&'s self, issuer: &'s Issuer, token: &'s [u8]) -> Record<'s> {
        Record { facts: self, issuer, token, looked: OnceCell::new() }
    }

    pub(super) fn verifying_key(
        &self,
        index: usize,
        issuer: &Issuer,
        jwt: &Jwt<'_>,
        known: Known<'_>,
    ) -> Result<Verifying, Stop> {
        if let KeySource::Credentials(_) = &issuer.keys {
            let id = credential_id(issuer, jwt).ok_or(Reason::UnknownKey)?;
            let credential = self.credential(index, id)?;
            let mut verifying = self.try_keys(index, &[&*credential.key], jwt, known)??;
            verifying.credential = Some(id.to_owned());
            verifying.consumer = credential.consumer.clone();
            return Ok(verifying);
        }
        let set = self.keys(index)?;
        let refused = match self.try_set(index, &set, jwt, known)? {
            Ok(verifying) => return Ok(verifying.of_issuer(issuer, &set, jwt)),
            Err(reason) => reason,
        };
        // Another worker may have fetched a newer set than the one kept here, or be about to.
        match self.newer_keys(index, &set)? {
            Some(newer) => {
                Ok(self.try_set(index, &newer, jwt, known)??.of_issuer(issuer, &newer, jwt))
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
        known: Known<'_>,
    ) -> Result<Tried, Stop> {
        let named = |key: &&VerifyKey| jwt.kid.is_some() && key.kid() == jwt.kid.as_deref();
        let unnamed = |key: &&VerifyKey| jwt.kid.is_none() || key.kid().is_none();
        let mut keys: Vec<&VerifyKey> = set.keys.iter().filter(named).collect();
        if keys.is_empty() {
            keys.extend(set.keys.iter().filter(unnamed));
        }
        self.try_keys(index, &keys, jwt, known)
    }

    /// Tries keys of an issuer until one verifies the token, within what [`super::tries`] allows.
    pub(super) fn try_keys(
        &self,
        index: usize,
        keys: &[&VerifyKey],
        jwt: &Jwt<'_>,
        known: Known<'_>,
    ) -> Result<Tried, Stop> {
        let mut fitting: Vec<&VerifyKey> =
            keys.iter().copied().filter(|key| key.algorithms().contains(jwt.algorithm)).collect();
        if let Some(key) = fitting.iter().find(|key| self.is_known(key, jwt.algorithm, known)) {
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

    /// Whether this key is known to have verified the token.
    fn is_known(&self, key: &VerifyKey, algorithm: Algorithm, known: Known<'_>) -> bool {
        known.key == Some(*key.fingerprint())
            || known.record.is_some_and(|record| self.is_dear(key, algorithm) && record.is_by(key))
    }

    /// Whether a verification by this key costs several times what a record of it does.
    fn is_dear(&self, key: &VerifyKey, algorithm: Algorithm) -> bool {
        let cost_ns = match self.host.verify.takes(algorithm) {
            true => key.cost_by_host_ns(algorithm),
            false => key.cost_ns(algorithm),
        };
        cost_ns >= DEAR_NS
    }
}

/// The host's signature function, and whether it was what answered.
struct ByHost<'a> {
    verify: &'a dyn HostVerify,
    answered: Cell<bool>,
}

impl HostVerify for ByHost<'_> {
    fn takes(&self, algorithm: Algorithm) -> bool {
        self.verify.takes(algorithm)
    }

    fn is_slower(&self, algorithm: Algorithm) -> bool {
        self.verify.is_slower(algorithm)
    }

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
pub(super) type Tried = Result<Verifying, Reason>;

/// The key that verified a token, and what it says of the caller.
pub(super) struct Verifying {
    pub fingerprint: [u8; 32],
    /// Whether another worker, or this one before, has done the arithmetic.
    pub seen: bool,
    pub weak: bool,
    pub generation: u64,
    pub credential: Option<String>,
    pub consumer: Consumer,
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
