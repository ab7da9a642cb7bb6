//! What a token has earned once something vouches for it, whatever that is: one form for all kinds of
//! tokens, so that none of them lacks what the others have.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use serde_json::Value;

use crate::jwt::issuer::Issuer;
use crate::jwt::{Claims, check};
use crate::metrics::{Meter, Metric};
use crate::proof::Binding;
use crate::rate_limit::CounterNames;
use crate::request::forward;
use crate::revocation::Names;
use crate::time::{CLOCK_MIN, Time};

use super::{Facts, Stop, Verified};

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

impl Consumer {
    /// The one whom an issuer's tokens with these claims belong to.
    pub(super) fn of(issuer: &Issuer, claims: &Claims) -> Consumer {
        Consumer { username: consumer_name(issuer, claims), ..Consumer::default() }
    }
}

/// What vouches for a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A signature.
    Signature,
    /// The secret that opened it, and nothing else.
    Secret,
    /// Its issuer, which was asked.
    Answer,
}

/// A token for which something vouches.
pub(super) struct Vouched<'a> {
    pub claims: Claims,
    /// The id of the credential that verified it, if it was one.
    pub credential: Option<String>,
    pub consumer: Consumer,
    /// Base64url as it came; the strict parse admits no other byte. Empty if there is none.
    pub payload_segment: &'a [u8],
    pub window: check::Window,
    pub by: By,
    pub first_seen: Time,
    /// The key that verified it.
    pub fingerprint: [u8; 32],
    /// The key set in which that key was found.
    pub generation: u64,
    /// Under which names it may be revoked; nothing where its claims and its bytes as sent tell.
    pub names: Option<Names>,
}

impl Facts<'_> {
    /// Makes a verified token of it, and keeps it under `token`, which is what the client has sent.
    ///
    /// # Errors
    /// Those of its `status`.
    pub(super) fn take_in(
        &self,
        token: &[u8],
        (index, issuer): (usize, &Issuer),
        vouched: Vouched<'_>,
    ) -> Result<Rc<Verified>, Stop> {
        let headers = identity_headers(issuer, &vouched, self.host.meter);
        let Vouched { claims, credential, consumer, names, by, .. } = vouched;
        let binding = Binding::of(&claims.raw).filter(|_| !issuer.ignores_cnf);
        let status = match by {
            By::Signature | By::Secret => self.status_of(index, &claims)?,
            // Its endpoint says whether it is active.
            By::Answer => None,
        };
        let verified = Rc::new(Verified {
            issuer: index,
            claims,
            credential,
            consumer,
            headers,
            has_terms: binding.is_some() || self.has_terms(index),
            binding,
            status,
            window: vouched.window.not_before(CLOCK_MIN),
            is_opaque: by == By::Answer,
            is_by_secret: by == By::Secret,
            is_legacy: issuer.sunset_s.is_some(),
            is_forwarded: issuer.forward.token,
            first_seen: vouched.first_seen,
            fingerprint: vouched.fingerprint,
            generation: Cell::new(vouched.generation),
            names: names.map(Box::new).map_or_else(OnceCell::new, OnceCell::from),
            looked_up: Cell::new(0),
            counters: CounterNames::default(),
        });
        self.keep(token, &verified);
        Ok(verified)
    }

    /// Whether the use of all tokens of an issuer has terms beyond their own.
    pub(super) fn has_terms(&self, issuer: usize) -> bool {
        let config = &self.runtime.config;
        config.dpop_of(issuer).is_some_and(|dpop| dpop.required)
            || config.mtls_of(issuer).is_some_and(|mtls| mtls.required)
            || config.replay.issuers.contains(&issuer)
    }
}

/// What an issuer calls the consumer of a token with these claims.
fn consumer_name(issuer: &Issuer, claims: &Claims) -> Option<String> {
    let claimed = issuer.consumer_claim.as_ref().and_then(|path| claims.get(path));
    match claimed {
        Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => issuer.consumer.clone(),
    }
}

/// What the API is told. What takes too many bytes is left out: a header less says less, while a
/// part of one could say something else.
fn identity_headers(
    issuer: &Issuer,
    vouched: &Vouched<'_>,
    meter: &dyn Meter,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut push =
        |name: &str, value: &Value| match forward::value(value, issuer.forward.claim_bytes_max) {
            Ok(Some(value)) => headers.push((name.to_owned(), value)),
            Ok(None) => {}
            Err(forward::TooLong) => meter.count(Metric::ClaimTooLong),
        };
    for (name, value) in [
        ("x-consumer-id", vouched.consumer.id.as_deref()),
        ("x-consumer-username", vouched.consumer.username.as_deref()),
        ("x-consumer-custom-id", vouched.consumer.custom_id.as_deref()),
        ("x-credential-identifier", vouched.credential.as_deref()),
    ] {
        if let Some(value) = value {
            push(name, &Value::from(value));
        }
    }
    for (path, name) in &issuer.forward.claims {
        if let Some(claim) = vouched.claims.get(path) {
            push(name, claim);
        }
    }
    if let Some(name) = &issuer.forward.payload_header {
        headers.push((name.clone(), String::from_utf8_lossy(vouched.payload_segment).into_owned()));
    }
    headers
}
