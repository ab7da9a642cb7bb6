//! The authorization server's answer to a token call: kept, shortened, shared, or replaced by one
//! that is kept.

use super::{TokenCall, Upstream};
use crate::config::Mode;
use crate::digest::Digest;
use crate::exchange::{Passed, ServerAnswer, Started};
use crate::facts::Facts;
use crate::metrics::Metric;
use crate::reply::Answer;
use crate::request::HeaderBlock;
use crate::retry_after;
use crate::shared::Owner;
use crate::time::Time;
use crate::token_endpoint::admission::{Ended, Outcome};
use crate::token_endpoint::answer::{self, NotStored, analyse};
use crate::token_endpoint::elsewhere::Tell;
use crate::token_endpoint::jitter::{self, Draw, Fit, Shortened};
use crate::token_endpoint::reuse::{Granted, Refused, Serve, Stored};
use crate::token_endpoint::{TokenEndpoint, challenge, integrity};

impl TokenCall {
    /// The head of the server's answer has come.
    pub fn started(&mut self, status: u16, headers: &HeaderBlock, facts: &Facts<'_>) -> Started {
        if facts.runtime.config.mode == Mode::Shadow {
            self.end_shadowed(status, headers, facts);
            return Started::Pass;
        }
        let Some(call) = &mut self.call else { return Started::Pass };
        call.has_begun = true;
        if call.kept.is_none() {
            return Started::Watch { may_change_length: false };
        }
        let is_json =
            headers.get("content-type").is_some_and(|value| value.starts_with(b"application/json"));
        if !has_failed(status) && (status != 200 || is_json) {
            return Started::Watch { may_change_length: true };
        }
        let none = ServerAnswer { status, headers, body: &[], complete: false };
        match self.answered(&none, facts) {
            Passed::Kept(answer) => Started::Kept(answer),
            Passed::Unchanged | Passed::Body(_) => Started::Pass,
        }
    }

    /// In shadow mode the server's answer goes on as it comes: only how the server fares is noted.
    fn end_shadowed(&mut self, status: u16, headers: &HeaderBlock, facts: &Facts<'_>) {
        let Some(call) = self.call.take() else { return };
        let answer = ServerAnswer { status, headers, body: &[], complete: true };
        if let Some(endpoint) = facts.runtime.config.token_endpoints.get(self.endpoint) {
            let ended = ended(&answer, facts.now);
            facts.note_token_server(self.endpoint, status, ended.outcome);
            facts.call_ended(endpoint, &self.client, call.permit, ended);
        }
    }

    /// The server has answered: what may be kept is kept, and the lifetime shortened.
    pub fn answered(&mut self, answer: &ServerAnswer<'_>, facts: &Facts<'_>) -> Passed {
        let Some(call) = self.call.take() else { return Passed::Unchanged };
        let Some(endpoint) = facts.runtime.config.token_endpoints.get(self.endpoint) else {
            return Passed::Unchanged;
        };
        let ended = ended(answer, facts.now);
        facts.note_token_server(self.endpoint, answer.status, ended.outcome);
        facts.call_ended(endpoint, &self.client, call.permit, ended);
        let draw = match jitter::applies(endpoint, self.request.grant_type()) {
            true => Draw::of(&facts.runtime.host_key, &self.subject, call.asked_at),
            false => Draw::NONE,
        };
        let is_good = self.keep(&call, answer, draw, endpoint, facts);
        if let (Some(key), Some(owner)) = (&self.key, call.lease) {
            facts.end_call(key, owner);
        }
        // The one caller that renews sees no more of the server's trouble than the others.
        if let Some(kept) = call.kept.as_ref().filter(|_| !is_good) {
            let refused = answer.complete && matches!(answer.status, 400 | 401);
            // Its token may have been revoked, or have ended, while the server was asked.
            let is_withdrawn = self.key.is_none_or(|key| {
                facts.is_withdrawn(&key, NO_VERSION, kept, self.credential.as_ref())
            });
            if !refused && !is_withdrawn && kept.serve(facts.now, endpoint) != Serve::Stale {
                return Passed::Kept(self.kept_answer(kept, endpoint, facts));
            }
        }
        let passed = self.shorten(answer, draw, endpoint, facts);
        let sent = if let Passed::Body(body) = &passed { body } else { answer.body };
        self.refresh_ended(shared_answer(answer, sent, endpoint, facts), facts);
        passed
    }

    fn shorten(
        &self,
        answer: &ServerAnswer<'_>,
        draw: Draw,
        endpoint: &TokenEndpoint,
        facts: &Facts<'_>,
    ) -> Passed {
        let may_rewrite =
            answer.complete && answer.status == 200 && draw != Draw::NONE && endpoint.jitter > 0.0;
        if !may_rewrite {
            return Passed::Unchanged;
        }
        if integrity::is_sealed(answer.headers.iter()) {
            facts.host.meter.count(Metric::TokenNotRewritten);
            return Passed::Unchanged;
        }
        match jitter::shorten(answer.body, draw, endpoint.jitter, facts.now, Fit::SameLength) {
            Shortened::Rewritten { body, .. } => Passed::Body(body),
            Shortened::Same => Passed::Unchanged,
            Shortened::Odd => {
                facts.host.meter.count(Metric::TokenNotRewritten);
                Passed::Unchanged
            }
        }
    }

    /// Keeps what may be kept; tells whether the answer was a good one.
    fn keep(
        &self,
        call: &Upstream,
        answer: &ServerAnswer<'_>,
        draw: Draw,
        endpoint: &TokenEndpoint,
        facts: &Facts<'_>,
    ) -> bool {
        if self.key.is_none() && self.replaces.is_none() && self.credential.is_none() {
            return true;
        }
        let content_type = answer.headers.get("content-type").unwrap_or_default();
        let judged =
            analyse(answer.status, answer.headers.iter(), answer.body, answer.complete, endpoint);
        if let Some(credential) =
            self.credential.as_ref().filter(|_| judged.refuses_client(answer.status, answer.body))
        {
            facts.withdraw_credential(credential);
            let of_call = self.names.iter().filter_map(|names| names.credential);
            for name in of_call.chain(self.credentials.iter().copied()) {
                facts.tell_elsewhere(Tell::WithdrawSecret(name));
            }
        }
        let is_led = call.lease.is_some();
        let Some(key) = self.key.as_ref().filter(|_| is_led).or(self.replaces.as_ref()) else {
            return true;
        };
        let is_purged = judged.purges(answer.status);
        if is_purged {
            facts.purge(key);
            // Or it would be taken from there again. A refusal alone doesn't take its place.
            self.tell_ended(None, true, facts);
        }
        let stored = match &judged {
            answer::Answer::Storable(storable) => Stored::token(
                &facts.runtime.names_key,
                storable,
                &Granted { content_type, body: answer.body, asked_at: call.asked_at, draw },
                endpoint,
            ),
            answer::Answer::Negative if is_led => {
                let challenge = challenge::kept(answer.headers.iter());
                Stored::refusal(
                    Refused { status: answer.status, content_type, challenge, body: answer.body },
                    facts.now,
                )
            }
            // Of a call that isn't led.
            answer::Answer::Negative => Err(NotStored::Status),
            answer::Answer::NotStored(why) => Err(*why),
        };
        let why = match stored {
            Ok(stored) => {
                let is_kept = facts.keep_answer(key, self.credential.as_ref(), &stored, endpoint);
                match (self.names.first(), call.lease) {
                    (Some(names), Some(owner)) if is_kept => {
                        facts.tell_answer(names, owner, &stored, endpoint);
                    }
                    (_, Some(owner)) => self.tell_ended(Some(owner), true, facts),
                    _ => {}
                }
                return true;
            }
            Err(_) if !is_led => return true,
            Err(why) => why,
        };
        facts.host.meter.count(Metric::TokenNotStored);
        facts.host.meter.count(Metric::TokenNotStoredFor(why));
        match (
            !answer.complete || has_failed(answer.status),
            call.is_beside_an_answer(key, self.credential.as_ref(), endpoint, facts),
        ) {
            (_, true) => self.tell_ended(call.lease, false, facts),
            (true, false) => self.keep_failure(key, call.lease, ended(answer, facts.now), facts),
            (false, false) => {
                facts.keep_unshared(key);
                self.tell_ended(call.lease, false, facts);
            }
        }
        false
    }

    /// Notes a failure, here and for other gateways.
    fn keep_failure(&self, key: &Digest, lease: Option<Owner>, ended: Ended, facts: &Facts<'_>) {
        facts.keep_failure(key, ended);
        let endpoint = facts.runtime.config.token_endpoints.get(self.endpoint);
        if let (Some(names), Some(owner), Some(endpoint)) = (self.names.first(), lease, endpoint) {
            facts.tell_failure(names, owner, ended, endpoint);
        }
    }

    /// The client has left, or the server has, before an answer was complete: another may lead.
    /// Gives the name that followers wait for.
    pub fn closed(&mut self, facts: &Facts<'_>) -> Option<Digest> {
        let Some(call) = self.call.take() else { return self.give_back(facts) };
        // Once an answer has begun it is most likely the server that broke off: Envoy doesn't say.
        let outcome = if call.has_begun { Outcome::Error } else { Outcome::Unknown };
        if let Some(endpoint) = facts.runtime.config.token_endpoints.get(self.endpoint) {
            facts.note_token_server(self.endpoint, 0, outcome);
            facts.call_ended(endpoint, &self.client, call.permit, outcome.into());
        }
        if let Some(name) = self.refresh {
            facts.refresh_ended(&name, None);
            return Some(name);
        }
        let (key, owner) = (self.key?, call.lease?);
        let endpoint = facts.runtime.config.token_endpoints.get(self.endpoint)?;
        if call.has_begun
            && !call.is_beside_an_answer(&key, self.credential.as_ref(), endpoint, facts)
        {
            self.keep_failure(&key, Some(owner), outcome.into(), facts);
        } else {
            self.tell_ended(Some(owner), false, facts);
        }
        facts.end_call(&key, owner);
        Some(key)
    }
}

/// How a call ended with this answer.
fn ended(answer: &ServerAnswer<'_>, now: Time) -> Ended {
    let status = (answer.complete || answer.status == 429).then_some(answer.status);
    let outcome = Outcome::of(status);
    let asks = matches!(outcome, Outcome::Throttled | Outcome::Overloaded | Outcome::Error);
    Ended {
        outcome,
        asked_ms: if asks { retry_after::asked_ms(answer.headers, now) } else { None },
    }
}

/// What those get who waited for a refresh: the server's word, whatever it is, but no failure of
/// the way there, nothing without a body (one that is too large to be read comes so), and no header
/// beside but a challenge.
fn shared_answer(
    answer: &ServerAnswer<'_>,
    sent: &[u8],
    endpoint: &TokenEndpoint,
    facts: &Facts<'_>,
) -> Option<Answer> {
    let content_type = answer.headers.get("content-type").unwrap_or(b"application/json");
    let has_cookie = answer.headers.get("set-cookie").is_some();
    let is_plain = answer.headers.get("content-encoding").is_none()
        && (endpoint.keep_with_cookies || !has_cookie);
    let is_shared =
        answer.complete && is_plain && !answer.body.is_empty() && !has_failed(answer.status);
    if !is_shared {
        return None;
    }
    let mut headers = vec![
        ("content-type".to_owned(), String::from_utf8_lossy(content_type).into_owned()),
        ("cache-control".to_owned(), "no-store".to_owned()),
        ("pragma".to_owned(), "no-cache".to_owned()),
    ];
    if answer.status == 401 {
        headers.push(challenge_header(challenge::kept(answer.headers.iter()).as_deref(), facts));
    }
    let (body, details) = (sent.to_vec(), "token_shared");
    Some(Answer { status: answer.status, headers, body, details, why: None })
}

/// A 401 has a challenge (RFC 9110, section 15.5.2): the server's own, else the one that RFC 6749,
/// section 5.2, asks for.
pub(super) fn challenge_header(servers: Option<&[u8]>, facts: &Facts<'_>) -> (String, String) {
    let own = || format!("Basic realm=\"{}\"", facts.runtime.config.realm);
    (
        "www-authenticate".to_owned(),
        servers.map_or_else(own, |servers| String::from_utf8_lossy(servers).into_owned()),
    )
}

/// Of an answer that isn't looked at where it is kept.
const NO_VERSION: u64 = 0;

/// No answer of the server's own making, or one that says "not now".
fn has_failed(status: u16) -> bool {
    status >= 500 || status == 429 || status == 0
}
