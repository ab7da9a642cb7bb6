//! Verified tokens: in this worker's memory whole, in shared memory as "this key verified this
//! token" ([`super::verifying`]).
//!
//! Beside that, when a token was first seen, where its lifetime depends on it.
//!
//! Shared memory never says what a token claims. A worker that finds the record there still reads
//! and checks the token itself, and skips the arithmetic of the signature alone.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::jwt::issuer::Issuer;
use crate::jwt::{self, Claims, Form, Jwt, check};
use crate::metrics::Metric;
use crate::proof::Binding;
use crate::rate_limit::CounterNames;
use crate::reply::{Reason, Refusal};
use crate::revocation::Names;
use crate::time::{CLOCK_MIN, Time};

use super::status::Status;
use super::verifying::{Known, Verifying};
use super::vouched::{By, Consumer, Vouched};
use super::{Facts, Stop};

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
    /// Under which names it may be revoked, once they were asked for: see [`Facts::names`].
    pub(super) names: OnceCell<Box<Names>>,
    /// What was known of revocations when it was last looked up.
    pub(super) looked_up: Cell<u64>,
    /// The counters that it decides alone.
    pub counters: CounterNames,
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
            .saturating_add(std::mem::size_of::<Names>())
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
        let jwt = match jwt::parse(token) {
            Ok(jwt) => jwt,
            // To the reader of a JWS the five segments of a JWE are a bad one.
            Err(Reason::Malformed) if self.is_encrypted(token) => {
                return self.verify_encrypted(token);
            }
            Err(reason) => {
                let mut refusal = Refusal::from(reason);
                // Nobody's, so that it isn't read a second time for logs.
                refusal.claimed = Some(Box::default());
                return Err(Stop::Refuse(Box::new(refusal)));
            }
        };
        let index = self
            .issuer_of(&jwt.claims, None)
            .map_err(|reason| self.of_claimed(reason.into(), &jwt.claims))?;
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
        let (key, first_seen) =
            self.vouched_by_key(index, issuer, &jwt).map_err(|stop| match sealed {
                // What was sealed isn't told.
                true => stop,
                false => self.of_claimed(stop, &jwt.claims),
            })?;
        // Of a token as it came they are made when somebody asks for them.
        let names = sealed.then(|| {
            let inside = self.names_of(&jwt.claims, jwt.signed, jwt.whole);
            inside.sealed_in(&self.runtime.names_key, sent)
        });
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

    /// The key that verifies a token which its issuer's checks let in, and when that was first seen.
    fn vouched_by_key(
        &self,
        index: usize,
        issuer: &Issuer,
        jwt: &Jwt<'_>,
    ) -> Result<(Verifying, Time), Stop> {
        if !issuer.algorithms.contains(jwt.algorithm) {
            return Err(Reason::Algorithm.into());
        }
        let sight = self.first_sight(&jwt.claims, jwt.signed);
        self.clock_is_set()?;
        check::issuer(issuer, jwt.typ.as_deref(), &jwt.claims, self.now, sight.at)?;
        let record = self.record(issuer, jwt.whole);
        let key = self.verifying_key(index, issuer, jwt, Known::by(&record))?;
        self.remember_sight(&sight, &jwt.claims, issuer);
        if !key.seen {
            record.keep(&key.fingerprint, &jwt.claims, sight.at);
        }
        Ok((key, sight.at))
    }

    /// Under which names a token that came as `token` may be revoked.
    pub(super) fn names<'v>(&self, verified: &'v Verified, token: &[u8]) -> &'v Names {
        verified
            .names
            .get_or_init(|| Box::new(self.names_of(&verified.claims, jwt::signed(token), token)))
    }

    /// Keeps a verified token in this worker's memory.
    pub(super) fn keep(&self, token: &[u8], verified: &Rc<Verified>) {
        let limits = self.runtime.config.rate_limits.len();
        let bytes = verified.bytes().saturating_add(CounterNames::bytes(limits));
        self.forget_other_wrapping(token, verified);
        self.runtime.worker.borrow_mut().verified.put(
            self.short_hash(token),
            token,
            verified.clone(),
            bytes,
        );
    }

    /// The end of a token is its signature's, 96 bits of it here: nobody makes two that end alike
    /// without the key.
    #[inline(always)]
    pub(super) fn short_hash(&self, token: &[u8]) -> u64 {
        token.last_chunk::<16>().map_or(0, |tail| self.runtime.host_key.quick(tail))
    }
}
