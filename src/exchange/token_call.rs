//! One call to a token endpoint: served from the cache, led to the server, or waiting for another's
//! answer.

mod answered;
mod elsewhere;

use self::answered::challenge_header;
use crate::charging::{self, Payer};
use crate::config::Mode;
use crate::digest::Digest;
use crate::exchange::changes::Changes;
use crate::exchange::{Abilities, Effect, Finish, why};
use crate::facts::clients::{Client, Pause};
use crate::facts::refreshes::RefreshTurn;
use crate::facts::tokens::{Held, Known};
use crate::facts::{Facts, Queue};
use crate::metrics::Metric;
use crate::reply::{self, Answer, Place, Reason, Refusal};
use crate::request::Request;
use crate::request::path::Target;
use crate::shared::Owner;
use crate::shared::twin::{Twin, broken};
use crate::time::Time;
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::admission::Permit;
use crate::token_endpoint::elsewhere::Names;
use crate::token_endpoint::request::{Class, Head, TokenRequest};
use crate::token_endpoint::reuse::{Serve, Stored};

/// A call to a token endpoint, from its body on.
pub struct TokenCall {
    /// The endpoint's place in the configuration.
    endpoint: usize,
    request: TokenRequest,
    key: Option<Digest>,
    /// What other gateways know it as; none where nothing is shared with them.
    names: Vec<Names>,
    /// What they know its secret as, where they know nothing of the call.
    credentials: Vec<Digest>,
    /// While it asks them, or waits for one.
    waiting: Option<elsewhere::Waiting>,
    /// The key of the answer that a good one to this call replaces, where it asks for a fresh one.
    replaces: Option<Digest>,
    /// The name of the client's secret, where it shows one.
    credential: Option<Digest>,
    /// The name of a refresh call that identical ones of this worker may share.
    refresh: Option<Digest>,
    subject: Digest,
    client: Client,
    /// When its body had come.
    came_at: Time,
    has_waited: bool,
    /// What limits that ask for it say in an answer.
    limit_headers: Vec<(String, String)>,
    /// The call to the server, while it is under way.
    call: Option<Upstream>,
}

/// A call to the server.
struct Upstream {
    asked_at: Time,
    permit: Option<Permit>,
    /// The lease, if others may wait for this call.
    lease: Option<Owner>,
    /// The kept answer that this call renews, and that goes on being served meanwhile.
    kept: Option<Stored>,
    /// Whether the head of the server's answer has come.
    has_begun: bool,
}

impl Upstream {
    /// Whether an answer goes on being served though this call failed: the one that it was to
    /// renew, or one that another brought after the lease had ended.
    fn is_beside_an_answer(
        &self,
        key: &Digest,
        credential: Option<&Digest>,
        endpoint: &TokenEndpoint,
        facts: &Facts<'_>,
    ) -> bool {
        self.kept.is_some()
            || matches!(facts.token_answer(key, credential, endpoint), Known::Answer(..))
    }
}

/// How an answer came about, for `herdgate-cache`.
#[derive(Clone, Copy)]
enum Source {
    Hit,
    Miss,
    Shared,
    Bypass,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::Hit => "hit",
            Source::Miss => "miss",
            Source::Shared => "shared",
            Source::Bypass => "bypass",
        }
    }
}

impl TokenCall {
    /// Reads a call whose body has come, and charges it to the endpoint's limits.
    ///
    /// # Errors
    /// The refusal, where a limit is exceeded.
    pub fn begin(
        endpoint: usize,
        request: &Request<'_>,
        body: &[u8],
        facts: &Facts<'_>,
    ) -> Result<TokenCall, Refusal> {
        let config = &facts.runtime.config;
        let Some(configured) = config.token_endpoints.get(endpoint) else {
            return Err(Reason::Misconfigured.into());
        };
        let has_query = request.target.contains(&b'?');
        let head = Head {
            method: request.method,
            has_query,
            client_certificate: request.surroundings.client_certificate(),
        };
        let read =
            crate::token_endpoint::request::parse(head, request.headers.iter(), body, configured);
        let limit_headers = charge(endpoint, request, read.client_id(), facts)?;
        let host_key = &facts.runtime.host_key;
        let path = request.target.split(|byte| *byte == b'?').next().unwrap_or_default();
        let name = read.cache_key(host_key, &configured.digest, request.host, path);
        let (key, refresh) = match read.class() {
            Class::Reusable => (name, None),
            Class::CoalesceRefresh => (None, name),
            Class::PassThrough(why) => {
                facts.host.meter.count(Metric::TokenBypassFor(why));
                (None, None)
            }
        };
        if key.is_none() {
            facts.host.meter.count(Metric::TokenBypass);
        }
        let replaces = read
            .replaced_key(host_key, &configured.digest, request.host, path)
            .filter(|_| config.mode == Mode::Enforce);
        let credential = read.credential(host_key, request.host, path);
        let names = elsewhere::names(&read, configured, (request.host, path), facts);
        let credentials = match names.is_empty() {
            true => elsewhere::credentials(&read, (request.host, path), facts),
            false => Vec::new(),
        };
        let subject = read.jitter_subject(host_key, body);
        let client = facts.token_client(configured, request, &read);
        let came_at = facts.now;
        let (has_waited, call) = (false, None);
        Ok(TokenCall {
            endpoint,
            request: read,
            key,
            names,
            credentials,
            waiting: None,
            replaces,
            credential,
            refresh,
            subject,
            client,
            came_at,
            has_waited,
            limit_headers,
            call,
        })
    }

    /// Serves the call, sends it to the server, or waits until `deadline` for another's answer.
    pub fn go(
        &mut self,
        request: &Request<'_>,
        deadline: &mut Option<Time>,
        abilities: Abilities,
        facts: &Facts<'_>,
    ) -> Effect {
        let config = &facts.runtime.config;
        let Some(endpoint) = config.token_endpoints.get(self.endpoint) else {
            return Effect::Finish(refuse(request, &Reason::Misconfigured.into(), facts));
        };
        if let Some(refresh) =
            self.refresh.filter(|_| config.mode == Mode::Enforce && abilities.waits)
        {
            return self.go_refresh(request, endpoint, refresh, deadline, facts);
        }
        let Some(key) = self.key.filter(|_| config.mode == Mode::Enforce) else {
            return self.forward(request, endpoint, None, facts);
        };
        if let Some(effect) = self.go_on_waiting(request, endpoint, &key, abilities, facts) {
            return effect;
        }
        match self.known(&key, endpoint, facts) {
            Known::Answer(stored, Serve::RefreshAhead { .. }) => {
                match facts.lead_renewal(&key, endpoint) {
                    Some(owner) => self.renew(request, endpoint, owner, stored, facts),
                    None => self.serve(&stored, endpoint, facts),
                }
            }
            Known::Answer(stored, _) => self.serve(&stored, endpoint, facts),
            Known::Failed(pause) => Effect::Finish(paused(request, pause, facts)),
            Known::Unshared => self.forward(request, endpoint, None, facts),
            Known::Nothing => match facts.lead_call(&key, endpoint) {
                Some(owner) if broken(Twin::NoSecondLook) => {
                    self.forward(request, endpoint, Some(owner), facts)
                }
                // Between the look and the lease another may have brought it, or failed to.
                Some(owner) => match self.known(&key, endpoint, facts) {
                    Known::Answer(stored, _) => {
                        facts.end_call(&key, owner);
                        self.serve(&stored, endpoint, facts)
                    }
                    Known::Failed(pause) => {
                        facts.end_call(&key, owner);
                        Effect::Finish(paused(request, pause, facts))
                    }
                    Known::Unshared | Known::Nothing => {
                        self.ask_others(request, endpoint, &key, owner, facts)
                    }
                },
                None if !abilities.waits => self.forward(request, endpoint, None, facts),
                None => self.wait(request, endpoint, key, deadline, facts),
            },
        }
    }

    /// What is known of the request, an answer only if it is as fresh as the client asks.
    fn known(&self, key: &Digest, endpoint: &TokenEndpoint, facts: &Facts<'_>) -> Known {
        match facts.token_answer(key, self.credential.as_ref(), endpoint) {
            Known::Answer(stored, _)
                if !stored.meets(&self.request.demand(), self.came_at, facts.now, endpoint) =>
            {
                Known::Nothing
            }
            known @ (Known::Answer(..) | Known::Failed(_) | Known::Unshared | Known::Nothing) => {
                known
            }
        }
    }

    /// A refresh is never served from a cache; an identical one that is under way is shared.
    fn go_refresh(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        name: Digest,
        deadline: &mut Option<Time>,
        facts: &Facts<'_>,
    ) -> Effect {
        match facts.join_refresh(&name, self.has_waited, endpoint.lease_ms) {
            RefreshTurn::Lead(shared) => {
                self.refresh = Some(name).filter(|_| shared);
                let effect = self.forward(request, endpoint, None, facts);
                if self.call.is_none() {
                    self.refresh_ended(None, facts);
                }
                effect
            }
            RefreshTurn::Follow => self.wait(request, endpoint, name, deadline, facts),
            RefreshTurn::Take(answer) => {
                facts.host.meter.count(Metric::TokenShared);
                let mut headers = answer.headers;
                if facts.runtime.config.debug_headers {
                    headers.push(("herdgate-cache".to_owned(), Source::Shared.name().to_owned()));
                }
                headers.extend(self.limit_headers.iter().cloned());
                Effect::Finish(Finish::Answer(Answer { headers, ..answer }))
            }
        }
    }

    fn refresh_ended(&self, answer: Option<Answer>, facts: &Facts<'_>) {
        if let Some(name) = &self.refresh {
            facts.refresh_ended(name, answer);
        }
    }

    fn wait(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        name: Digest,
        deadline: &mut Option<Time>,
        facts: &Facts<'_>,
    ) -> Effect {
        let until = *deadline.get_or_insert_with(|| {
            facts.host.meter.count(Metric::Waited);
            facts.now.plus_ms(endpoint.wait_ms_max)
        });
        if facts.now >= until {
            facts.host.meter.count(Metric::WaitTimedOut);
            return Effect::Finish(unavailable(request, facts.now.plus_s(1), facts));
        }
        self.has_waited = true;
        Effect::SleepUntil(until, name, Queue::Token)
    }

    /// Renews a kept answer; where the server can't be asked now, the kept one is good still.
    fn renew(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        owner: Owner,
        kept: Stored,
        facts: &Facts<'_>,
    ) -> Effect {
        match facts.admit_call(endpoint, &self.client) {
            Ok(permit) => self.forward_admitted(request, permit, Some(owner), Some(kept), facts),
            Err(_) => {
                if let Some(key) = &self.key {
                    facts.end_call(key, owner);
                }
                self.serve(&kept, endpoint, facts)
            }
        }
    }

    fn forward(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        lease: Option<Owner>,
        facts: &Facts<'_>,
    ) -> Effect {
        match facts.admit_call(endpoint, &self.client) {
            Ok(permit) => self.forward_admitted(request, permit, lease, None, facts),
            Err(Held { reason, metric, retry_after_s }) => {
                if let (Some(key), Some(owner)) = (&self.key, lease) {
                    facts.end_call(key, owner);
                    self.tell_ended(Some(owner), false, facts);
                }
                facts.host.meter.count(metric);
                if facts.runtime.config.mode == Mode::Shadow {
                    return self.forward_admitted(request, None, None, None, facts);
                }
                let mut refusal = Refusal::from(reason);
                refusal.retry_after_s = Some(retry_after_s);
                Effect::Finish(refuse(request, &refusal, facts))
            }
        }
    }

    fn forward_admitted(
        &mut self,
        request: &Request<'_>,
        permit: Option<Permit>,
        lease: Option<Owner>,
        kept: Option<Stored>,
        facts: &Facts<'_>,
    ) -> Effect {
        facts.host.meter.count(Metric::TokenUpstream);
        self.call = Some(Upstream { asked_at: facts.now, permit, lease, kept, has_begun: false });
        let mut changes = Changes::watching();
        if facts.runtime.config.mode == Mode::Shadow {
            return Effect::Finish(Finish::Admit(changes));
        }
        let edits = changes.edit();
        edits.response = self.limit_headers.clone();
        // An encoded answer couldn't be read here.
        if request.headers.get("accept-encoding").is_some() {
            edits.set.push(("accept-encoding".to_owned(), "identity".to_owned()));
        }
        if facts.runtime.config.debug_headers {
            let source = if self.key.is_some() { Source::Miss } else { Source::Bypass };
            edits.response.push(("herdgate-cache".to_owned(), source.name().to_owned()));
        }
        Effect::Finish(Finish::Admit(changes))
    }

    fn serve(&self, stored: &Stored, endpoint: &TokenEndpoint, facts: &Facts<'_>) -> Effect {
        Effect::Finish(Finish::Answer(self.kept_answer(stored, endpoint, facts)))
    }

    fn kept_answer(&self, stored: &Stored, endpoint: &TokenEndpoint, facts: &Facts<'_>) -> Answer {
        let meter = facts.host.meter;
        let body = match stored.serve(facts.now, endpoint) {
            Serve::Hit { expires_in_s } | Serve::RefreshAhead { expires_in_s } => {
                stored.body_with(expires_in_s, facts.now)
            }
            Serve::Refusal => Some(stored.body.clone()),
            Serve::Stale => None,
        };
        let (metric, details) = match (stored.status, self.has_waited) {
            (200, false) => (Metric::TokenHit, "token_hit"),
            (200, true) => (Metric::TokenShared, "token_shared"),
            _ => (Metric::TokenNegative, "token_negative"),
        };
        meter.count(metric);
        // RFC 6749, section 5.1: no-store and no-cache.
        let mut headers = vec![
            ("content-type".to_owned(), String::from_utf8_lossy(&stored.content_type).into_owned()),
            ("cache-control".to_owned(), "no-store".to_owned()),
            ("pragma".to_owned(), "no-cache".to_owned()),
        ];
        if stored.status == 401 {
            headers.push(challenge_header(stored.challenge.as_deref(), facts));
        }
        if facts.runtime.config.debug_headers {
            let source = if self.has_waited { Source::Shared } else { Source::Hit };
            headers.push(("herdgate-cache".to_owned(), source.name().to_owned()));
        }
        headers.extend(self.limit_headers.iter().cloned());
        let body = body.unwrap_or_default();
        Answer { status: stored.status, headers, body, details, why: None }
    }

    /// The name that followers of this call wait for.
    pub fn name(&self) -> Option<Digest> {
        self.key.or(self.refresh)
    }
}

fn unavailable(request: &Request<'_>, until: Time, facts: &Facts<'_>) -> Finish {
    paused(request, Pause { until, throttled: false }, facts)
}

fn paused(request: &Request<'_>, pause: Pause, facts: &Facts<'_>) -> Finish {
    let mut refusal = Refusal::from(pause.reason());
    refusal.retry_after_s = Some(facts.retry_after_s(pause.until));
    refuse(request, &refusal, facts)
}

/// Charges a call to the limits of the endpoint at this index; gives the headers for its answer,
/// where limits ask for them.
///
/// # Errors
/// The refusal, where a limit is exceeded.
pub fn charge(
    endpoint: usize,
    request: &Request<'_>,
    claimed_client: Option<&str>,
    facts: &Facts<'_>,
) -> Result<Vec<(String, String)>, Refusal> {
    let config = &facts.runtime.config;
    let Some(endpoint) = config.token_endpoints.get(endpoint) else {
        return Err(Reason::Misconfigured.into());
    };
    let captures = captures(endpoint, request, facts);
    let payer = Payer { request, verified: None, claimed_client, captures: &captures };
    match (charging::charge(facts, &endpoint.limits, &payer), config.mode) {
        (Err(refusal), Mode::Shadow) => {
            facts.host.meter.count(Metric::Shadowed(refusal.reason));
            Ok(Vec::new())
        }
        (charged, _) => charged.map(Option::unwrap_or_default).map_err(|refusal| *refusal),
    }
}

/// What the template of an endpoint's path captures, where limits could ask for it.
fn captures(
    endpoint: &TokenEndpoint,
    request: &Request<'_>,
    facts: &Facts<'_>,
) -> Vec<(String, String)> {
    if endpoint.path_template.is_none() || endpoint.limits.is_empty() {
        return Vec::new();
    }
    // It was read before, or the call would be none to this endpoint.
    let Ok(target) = Target::parse(request.target, facts.runtime.config.paths) else {
        return Vec::new();
    };
    endpoint.captures(&target.path)
}

/// The answer to a refused call to a token endpoint; in shadow mode the call goes on.
pub fn refuse(request: &Request<'_>, refusal: &Refusal, facts: &Facts<'_>) -> Finish {
    let config = &facts.runtime.config;
    if config.mode == Mode::Shadow {
        return Finish::Admit(why::shadowed(request, refusal, None, facts));
    }
    facts.host.meter.count(Metric::Rejected(refusal.reason));
    let grpc = request
        .headers
        .get("content-type")
        .is_some_and(|value| value.starts_with(b"application/grpc"));
    let place = Place { token_endpoint: true, grpc };
    let answer = reply::answer(refusal, config.errors, &config.realm, place);
    Finish::Answer(why::refused(answer, request, refusal, None, facts))
}

#[cfg(test)]
mod tests;
