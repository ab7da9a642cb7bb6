//! Answers of token endpoints: what is kept under a request's key, and who calls the server.

use crate::digest::Digest;
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::names::token_handle;
use crate::shared::Owner;
use crate::shared::document::META_BYTES;
use crate::time::{Span, Time};
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::admission::{Decision, Ended, Limits, Outcome, Permit};
use crate::token_endpoint::reuse::{Kind, Serve, Stored};

use super::Facts;
use super::clients::{Client, Pause};

/// What is known of a token request.
pub enum Known {
    /// This answer, and how it may be served now.
    Answer(Stored, Serve),
    /// The server failed just now, or asked for a pause: no call before its end.
    Failed(Pause),
    /// Answers to this request can't be shared.
    Unshared,
    /// No answer, no failure: somebody has to call the server.
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
/// How long an answer that couldn't be kept lets identical requests through one by one, in
/// milliseconds.
const UNSHARED_MS: u64 = 5_000;

/// Why no call may be made now.
pub struct Held {
    /// What the client is told.
    pub reason: Reason,
    /// And what is counted.
    pub metric: Metric,
    /// Seconds until another try makes sense.
    pub retry_after_s: u64,
}

/// What is kept of an answer.
pub(super) fn answer_bytes(stored: &Stored) -> Vec<u8> {
    let mut bytes = vec![ANSWER];
    bytes.extend(stored.encode());
    bytes
}

impl Facts<'_> {
    /// What is known of the request under `key`. One host call for a kept answer of up to about 1.8
    /// KiB.
    pub fn token_answer(
        &self,
        key: &Digest,
        credential: Option<&Digest>,
        endpoint: &TokenEndpoint,
    ) -> Known {
        let Some(document) =
            self.shared().read_believed(key, endpoint.answer_bytes_max.saturating_add(1_024))
        else {
            return Known::Nothing;
        };
        match document.body.split_first() {
            Some((&FAILED, kept)) => self.failure(kept).map_or(Known::Nothing, Known::Failed),
            Some((&UNSHARED, at)) if self.is_kept(at, UNSHARED_MS) => Known::Unshared,
            Some((&ANSWER, bytes)) => match Stored::decode(bytes) {
                Some(stored) => match stored.serve(self.now, endpoint) {
                    Serve::Stale => Known::Nothing,
                    _ if self.is_withdrawn(key, document.version, &stored, credential) => {
                        Known::Nothing
                    }
                    serve @ (Serve::Hit { .. } | Serve::RefreshAhead { .. } | Serve::Refusal) => {
                        Known::Answer(stored, serve)
                    }
                },
                None => Known::Nothing,
            },
            _ => Known::Nothing,
        }
    }

    /// Keeps an answer until its end, unless its token was revoked while it was under way.
    /// `credential` names the secret that it was given for. False if it isn't kept.
    pub fn keep_answer(
        &self,
        key: &Digest,
        credential: Option<&Digest>,
        stored: &Stored,
        endpoint: &TokenEndpoint,
    ) -> bool {
        if !self.note_kept(stored, credential) {
            self.purge(key);
            return false;
        }
        let _ = self.shared().write_document(
            key,
            &answer_bytes(stored),
            &[0; META_BYTES],
            stored.ends_at(endpoint),
        );
        true
    }

    /// Remembers for a moment that the server failed, or for as long as it asked for. An identical
    /// request is the same client's, at whichever address.
    pub fn keep_failure(&self, key: &Digest, ended: Ended) {
        let (kept, until) = self.failure_bytes(ended);
        let _ = self.shared().write_document(key, &kept, &[0; META_BYTES], until);
    }

    /// What is kept of a failure, and its end.
    pub(super) fn failure_bytes(&self, ended: Ended) -> (Vec<u8>, Time) {
        let for_ms = ended.asked_ms.unwrap_or(0).max(FAILED_MS);
        let mut kept = self.stamped(FAILED);
        kept.extend(for_ms.to_le_bytes());
        kept.push(u8::from(ended.outcome == Outcome::Throttled));
        (kept, self.now.plus_ms(for_ms))
    }

    /// Takes over what another gateway has kept for a call, as if it had come from the server: what
    /// is in force there is looked at here again. False if it is nothing that may be kept here.
    pub(super) fn keep_anothers(
        &self,
        key: &Digest,
        credential: Option<&Digest>,
        endpoint: &TokenEndpoint,
        bytes: &[u8],
    ) -> bool {
        match bytes.split_first() {
            Some((&ANSWER, rest)) => {
                let Some(mut stored) = Stored::decode(rest) else { return false };
                if let Kind::Token { life, .. } = stored.kind {
                    // The other gateway may name it under another secret.
                    let Some(token) = stored.access_token() else { return false };
                    let handle = token_handle(&self.runtime.names_key, token.as_bytes());
                    stored.kind = Kind::Token { life, handle };
                }
                let is_small = rest.len() <= endpoint.answer_bytes_max.saturating_add(512);
                if !is_small || stored.serve(self.now, endpoint) == Serve::Stale {
                    return false;
                }
                self.keep_answer(key, credential, &stored, endpoint)
            }
            Some((&FAILED, rest)) => match self.failure(rest) {
                Some(pause) => self
                    .shared()
                    .write_document(key, bytes, &[0; META_BYTES], pause.until)
                    .is_some(),
                None => false,
            },
            _ => false,
        }
    }

    fn failure(&self, kept: &[u8]) -> Option<Pause> {
        let (at, rest) = kept.split_first_chunk::<8>()?;
        let (for_ms, rest) = rest.split_first_chunk::<8>()?;
        let (for_ms, at_time) =
            (u64::from_le_bytes(*for_ms), Time::from_ns(u64::from_le_bytes(*at)));
        self.is_kept(at, for_ms)
            .then(|| Pause { until: at_time.plus_ms(for_ms), throttled: rest.first() == Some(&1) })
    }

    /// Remembers for a moment that answers to this request can't be shared.
    pub fn keep_unshared(&self, key: &Digest) {
        let _ = self.shared().write_document(
            key,
            &self.stamped(UNSHARED),
            &[0; META_BYTES],
            self.now.plus_ms(UNSHARED_MS),
        );
    }

    /// What is kept for a moment says which one: the clock may go back behind it.
    fn stamped(&self, what: u8) -> Vec<u8> {
        std::iter::once(what).chain(self.now.ns().to_le_bytes()).collect()
    }

    fn is_kept(&self, at: &[u8], for_ms: u64) -> bool {
        let at = at.try_into().map(u64::from_le_bytes).map(Time::from_ns);
        at.is_ok_and(|at| Span { from: at, until: at.plus_ms(for_ms) }.holds(self.now))
    }

    /// Forgets what is kept under `key`.
    pub fn purge(&self, key: &Digest) {
        let _ = self.shared().remove_document(key);
    }

    /// The lease on calling the server for this request, if nobody has it.
    pub fn lead_call(&self, key: &Digest, endpoint: &TokenEndpoint) -> Option<Owner> {
        // It may wait for another gateway first.
        let waits_ms = if self.shares_answers() { endpoint.wait_ms_max } else { 0 };
        self.shared().acquire_lease(key, endpoint.lease_ms.saturating_add(waits_ms))
    }

    /// The lease on renewing a kept answer, if nobody calls and the last try is a while ago.
    pub fn lead_renewal(&self, key: &Digest, endpoint: &TokenEndpoint) -> Option<Owner> {
        // Never given back, so that while the server fails few callers meet it. Apart from the
        // lease on the call itself, so that it keeps nobody from calling once the answer has ended.
        self.shared()
            .acquire_lease(&self.runtime.host_key.digest("renewal", &[&key.0]), RENEWAL_MS)?;
        self.lead_call(key, endpoint)
    }

    /// Gives the lease back.
    pub fn end_call(&self, key: &Digest, owner: Owner) {
        self.shared().release_lease(key, owner);
    }

    /// Whether one more call of this client may go to the server.
    ///
    /// # Errors
    /// Why not, and for how long.
    pub fn admit_call(
        &self,
        endpoint: &TokenEndpoint,
        client: &Client,
    ) -> Result<Option<Permit>, Held> {
        if let Some(pause) = self.client_pause(client) {
            return Err(Held {
                reason: pause.reason(),
                metric: Metric::TokenPaused,
                retry_after_s: self.retry_after_s(pause.until),
            });
        }
        let limits = Limits::of(endpoint);
        let decision = self.shared().update_admission(&self.endpoint_name(endpoint), |admission| {
            admission.admit(self.now, &limits, client.party)
        });
        match decision {
            Some(Decision::Admit(permit)) => Ok(Some(permit)),
            Some(Decision::Refuse { retry_after_s, over_share }) => {
                let metric = if over_share { Metric::TokenOverShare } else { Metric::TokenCapped };
                Err(Held { reason: Reason::TokenServerUnavailable, metric, retry_after_s })
            }
            // The cap protects the server; it isn't worth an outage when it can't be kept.
            None => Ok(None),
        }
    }

    /// A call of this client has ended.
    pub fn call_ended(
        &self,
        endpoint: &TokenEndpoint,
        client: &Client,
        permit: Option<Permit>,
        ended: Ended,
    ) {
        self.note_client(client, ended);
        let Some(permit) = permit else { return };
        let limits = Limits::of(endpoint);
        let outage = self.shared().update_admission(&self.endpoint_name(endpoint), |admission| {
            admission.ended(permit, ended, self.now, &limits)
        });
        if let Some(outage) = outage.flatten() {
            self.tell_outage(endpoint, outage);
        }
    }

    /// How a server fares, and how its clients do, outlives a change of the configuration: the name
    /// is the address alone.
    pub(super) fn endpoint_name(&self, endpoint: &TokenEndpoint) -> Digest {
        let host = endpoint.host.as_deref().unwrap_or_default();
        self.runtime.host_key.digest("admission", &[host.as_bytes(), endpoint.path.as_bytes()])
    }
}
