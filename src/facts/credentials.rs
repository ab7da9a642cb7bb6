//! Keys of single credentials: from the document, else from a server in the shape of Kong's Admin
//! API.

use std::sync::Arc;

use serde::Deserialize;

use crate::reply::Reason;
use crate::signature::source::{Credentials, KeySource, Lookup};
use crate::signature::{Algorithm, AlgorithmSet, VerifyKey};
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::vouched::Consumer;
use super::{Fact, Facts, Stop};

/// A credential and whom it belongs to.
pub struct CredentialKey {
    /// What verifies its tokens.
    pub key: Arc<VerifyKey>,
    /// Whom it belongs to.
    pub consumer: Consumer,
}

/// What this worker knows of a credential.
pub struct Known {
    span: Span,
    /// None: the server has no such credential.
    credential: Option<Arc<CredentialKey>>,
}

/// Kong's Admin API: `/jwts/{key}`.
#[derive(Deserialize)]
struct Answered {
    key: String,
    #[serde(default)]
    algorithm: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    rsa_public_key: Option<String>,
}

/// Kong's Admin API: `/jwts/{key}/consumer`.
#[derive(Deserialize)]
struct AnsweredConsumer {
    id: Option<String>,
    username: Option<String>,
    custom_id: Option<String>,
}

impl Facts<'_> {
    /// The credential under `id`.
    ///
    /// # Errors `UnknownKey` if there is none, `KeysUnavailable` while the server fails, `Missing`
    /// if it is to be asked.
    pub fn credential(&self, issuer: usize, id: &str) -> Result<Arc<CredentialKey>, Stop> {
        let KeySource::Credentials(credentials) = &self.issuer(issuer)?.keys else {
            return Err(Reason::UnknownKey.into());
        };
        if let Some(inline) = credentials.inline.iter().find(|credential| credential.key == id) {
            let consumer = Consumer { username: inline.consumer.clone(), ..Consumer::default() };
            return Ok(Arc::new(CredentialKey { key: inline.verify.clone(), consumer }));
        }
        let Some(lookup) = &credentials.lookup else { return Err(Reason::UnknownKey.into()) };
        // As a segment of a path either means another path, and no encoding changes that (RFC 3986,
        // section 6.2.2).
        if matches!(id, "." | "..") {
            return Err(Reason::UnknownKey.into());
        }
        let memory_key = memory_key(issuer, id);
        let hash = self.runtime.host_key.short(&memory_key);
        let worker = &self.runtime.worker;
        let holds = |known: &Known| known.span.holds(self.now);
        if let Some(known) = worker.borrow_mut().credentials.get_if(hash, &memory_key, holds) {
            return known.credential.clone().ok_or_else(|| Reason::UnknownKey.into());
        }
        if worker
            .borrow_mut()
            .absent
            .get_if(hash, &memory_key, |span| span.holds(self.now))
            .is_some()
        {
            return Err(Reason::UnknownKey.into());
        }
        let known = self.read_credential(issuer, id, credentials, lookup)?;
        let credential = known.credential.clone();
        match credential {
            Some(_) => worker.borrow_mut().credentials.put(hash, &memory_key, known, 1_024),
            // Made-up ids take no room from those that there are.
            None => worker.borrow_mut().absent.put(hash, &memory_key, known.span, 16),
        }
        credential.ok_or_else(|| Reason::UnknownKey.into())
    }

    /// From shared memory: the credential's answer, then its consumer's.
    fn read_credential(
        &self,
        issuer: usize,
        id: &str,
        credentials: &Credentials,
        lookup: &Lookup,
    ) -> Result<Known, Stop> {
        let fact = Fact::Credential(issuer, id.to_owned());
        let (body, until) = self.read_answer(&fact, lookup)?;
        let until = until.min(self.now.plus_s(lookup.ttl_s));
        let allowed = self.issuer(issuer)?.algorithms;
        let Some(key) = read_key(&body, id, allowed, credentials) else {
            let until = until.min(self.now.plus_s(lookup.negative_ttl_s));
            return Ok(Known { span: Span { from: self.now, until }, credential: None });
        };
        let mut consumer = Consumer::default();
        if lookup.consumer_uri.is_some() {
            let (body, _) = self.read_answer(&Fact::Consumer(issuer, id.to_owned()), lookup)?;
            if let Ok(answered) = serde_json::from_slice::<AnsweredConsumer>(&body) {
                consumer = Consumer {
                    id: answered.id,
                    username: answered.username,
                    custom_id: answered.custom_id,
                };
            }
        }
        Ok(Known {
            span: Span { from: self.now, until },
            credential: Some(Arc::new(CredentialKey { key: Arc::new(key), consumer })),
        })
    }

    fn read_answer(&self, fact: &Fact, lookup: &Lookup) -> Result<(Vec<u8>, Time), Stop> {
        let digest = self.digest(fact);
        if let Some(document) = self.shared().read_asked(&digest, ANSWER_BYTES_MAX) {
            return Ok((document.body, document.expires.min(self.now.plus_s(lookup.ttl_s))));
        }
        let state = self.shared().read_state(&digest);
        if state.failures > 0 && self.now < state.retry_at {
            return Err(self.unavailable(Reason::KeysUnavailable, state.retry_at));
        }
        Err(fact.clone().into())
    }

    /// Takes a credential's answer in. "Not found" is an answer, kept for the negative time.
    pub(super) fn learn_credential(
        &self,
        issuer: usize,
        id: &str,
        answer: &CallAnswer<'_>,
    ) -> bool {
        self.learn_lookup(&Fact::Credential(issuer, id.to_owned()), issuer, answer)
    }

    /// Takes a consumer's answer in.
    pub(super) fn learn_consumer(&self, issuer: usize, id: &str, answer: &CallAnswer<'_>) -> bool {
        self.learn_lookup(&Fact::Consumer(issuer, id.to_owned()), issuer, answer)
    }

    fn learn_lookup(&self, fact: &Fact, issuer: usize, answer: &CallAnswer<'_>) -> bool {
        let Ok(KeySource::Credentials(Credentials { lookup: Some(lookup), .. })) =
            self.issuer(issuer).map(|issuer| &issuer.keys)
        else {
            return false;
        };
        let (body, ttl_s) = match answer.status {
            200 if answer.body.len() <= ANSWER_BYTES_MAX && is_object(answer.body) => {
                (Some(answer.body), lookup.ttl_s)
            }
            404 => (None, lookup.negative_ttl_s),
            _ => return false,
        };
        self.shared().write_asked(&self.digest(fact), body, self.now.plus_s(ttl_s))
    }
}

fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|value| value.is_object())
}

/// The key in an answer, if it is the answer to what was asked: a lookup by another key returns
/// that key's credential, and Kong answers by its own ids too.
fn read_key(
    body: &[u8],
    id: &str,
    allowed: AlgorithmSet,
    credentials: &Credentials,
) -> Option<VerifyKey> {
    let answered: Answered = serde_json::from_slice(body).ok()?;
    let algorithm = Algorithm::parse(answered.algorithm.as_deref().unwrap_or("HS256"))?;
    if answered.key != id || !allowed.contains(algorithm) {
        return None;
    }
    let pinned = AlgorithmSet::from_slice(&[algorithm]);
    match algorithm.is_hmac() {
        true => {
            let written = answered.secret?;
            let secret = credentials.encoding.decode(written.as_bytes())?;
            VerifyKey::from_secret(&secret, pinned, credentials.allow_weak_secret).ok()
        }
        false => VerifyKey::from_pem(&answered.rsa_public_key?, pinned).ok(),
    }
}

/// A credential with an RSA key takes about 1 KiB.
const ANSWER_BYTES_MAX: usize = 16_384;

fn memory_key(issuer: usize, id: &str) -> Vec<u8> {
    let mut key = (issuer as u64).to_le_bytes().to_vec();
    key.extend_from_slice(id.as_bytes());
    key
}
