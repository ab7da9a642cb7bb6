//! Answers of token endpoints: what is kept under a request's key, and who calls the server.

use crate::config::TokenEndpoint;
use crate::digest::Digest;
use crate::shared::Owner;
use crate::shared::document::META_BYTES;
use crate::time::Time;
use crate::token_endpoint::admission::{Decision, Limits, Outcome, Permit};
use crate::token_endpoint::reuse::{Serve, Stored};

use super::Facts;

/// What is known of a token request.
pub enum Known {
    /// This answer, and how it may be served now.
    Answer(Stored, Serve),
    /// The server failed just now: no call before this moment.
    Failed(Time),
    /// Answers to this request can't be shared.
    Unshared,
    /// Nothing.
    Nothing,
}

/// The first byte of a kept document.
const ANSWER: u8 = 0;
const FAILED: u8 = 1;
const UNSHARED: u8 = 2;

/// How long a failed call keeps others from calling at once, in milliseconds.
const FAILED_MS: u64 = 1_000;
/// The time between two tries to renew an answer ahead of its end, in milliseconds.
const RENEWAL_MS: u64 = 1_000;
/// How long an answer that couldn't be kept lets identical requests through one by one, in milliseconds.
const UNSHARED_MS: u64 = 5_000;
impl Facts<'_> {
    /// What is known of the request under `key`. One host call for a kept answer of up to about 1.8 KiB.
    pub fn token_answer(&self, key: &Digest, credential: Option<&Digest>, endpoint: &TokenEndpoint) -> Known {
        let Some(document) = self.shared().read_document(key, endpoint.answer_bytes_max.saturating_add(1_024)) else {
            return Known::Nothing;
        };
        match document.body.split_first() {
            Some((&FAILED, _)) => Known::Failed(document.expires.min(self.now.plus_ms(FAILED_MS))),
            Some((&UNSHARED, _)) => Known::Unshared,
            Some((&ANSWER, bytes)) => match Stored::decode(bytes) {
                Some(stored) => match stored.serve(self.now, endpoint) {
                    Serve::Stale => Known::Nothing,
                    _ if self.is_withdrawn(key, document.version, &stored, credential) => Known::Nothing,
                    serve => Known::Answer(stored, serve),
                },
                None => Known::Nothing,
            },
            _ => Known::Nothing,
        }
    }

    /// Keeps an answer until its end, unless its token was revoked while it was under way. `credential` names the
    /// secret that it was given for.
    pub fn keep_answer(&self, key: &Digest, credential: Option<&Digest>, stored: &Stored, endpoint: &TokenEndpoint) {
        if !self.note_kept(stored, credential) {
            return self.purge(key);
        }
        let mut bytes = vec![ANSWER];
        bytes.extend(stored.encode());
        let _ = self.shared().write_document(key, &bytes, &[0; META_BYTES], stored.ends_at(endpoint));
    }

    /// Remembers for a moment that the server failed.
    pub fn keep_failure(&self, key: &Digest) {
        let _ = self.shared().write_document(key, &[FAILED], &[0; META_BYTES], self.now.plus_ms(FAILED_MS));
    }

    /// Remembers for a moment that answers to this request can't be shared.
    pub fn keep_unshared(&self, key: &Digest) {
        let _ = self.shared().write_document(key, &[UNSHARED], &[0; META_BYTES], self.now.plus_ms(UNSHARED_MS));
    }

    /// Forgets what is kept under `key`.
    pub fn purge(&self, key: &Digest) {
        let _ = self.shared().remove_document(key);
    }

    /// The lease on calling the server for this request, if nobody has it.
    pub fn lead_call(&self, key: &Digest, endpoint: &TokenEndpoint) -> Option<Owner> {
        self.shared().acquire_lease(key, endpoint.lease_ms)
    }

    /// The lease on renewing a kept answer, if nobody calls and the last try is a while ago.
    pub fn lead_renewal(&self, key: &Digest, endpoint: &TokenEndpoint) -> Option<Owner> {
        // Never given back, so that while the server fails few callers meet it. Apart from the lease on
        // the call itself, so that it keeps nobody from calling once the answer has ended.
        self.shared().acquire_lease(&self.runtime.host_key.digest("renewal", &[&key.0]), RENEWAL_MS)?;
        self.lead_call(key, endpoint)
    }

    /// Gives the lease back.
    pub fn end_call(&self, key: &Digest, owner: Owner) {
        self.shared().release_lease(key, owner);
    }

    /// Whether one more call may go to the server.
    ///
    /// # Errors
    /// Seconds until another try makes sense.
    pub fn admit_call(&self, endpoint: &TokenEndpoint, client: u64) -> Result<Option<Permit>, u64> {
        let limits = Limits::of(endpoint);
        let decision =
            self.shared().update_admission(&self.endpoint_name(endpoint), |admission| admission.admit(self.now, &limits, client));
        match decision {
            Some(Decision::Admit(permit)) => Ok(Some(permit)),
            Some(Decision::Refuse { retry_after_s }) => Err(retry_after_s),
            // The cap protects the server; it isn't worth an outage when it can't be kept.
            None => Ok(None),
        }
    }

    /// A call has ended.
    pub fn call_ended(&self, endpoint: &TokenEndpoint, permit: Permit, outcome: Outcome) {
        let limits = Limits::of(endpoint);
        let _ = self
            .shared()
            .update_admission(&self.endpoint_name(endpoint), |admission| (admission.done(permit, outcome, self.now, &limits), ()));
    }

    fn endpoint_name(&self, endpoint: &TokenEndpoint) -> Digest {
        let host = endpoint.host.as_deref().unwrap_or_default();
        self.runtime.host_key.digest("admission", &[&self.runtime.config.digest, host.as_bytes(), endpoint.path.as_bytes()])
    }
}
