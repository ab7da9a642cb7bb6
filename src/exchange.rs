//! One HTTP exchange: what comes in becomes a verdict, a fetch or a wait. No host is named here.

use std::rc::Rc;

use crate::config::{BearerSource, ErrorStyle, Mode};
use crate::decide::{Admission, Verdict, decide};
use crate::digest::Digest;
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts, Payer, Turn, Verified};
use crate::metrics::Metric;
use crate::reply::{self, Answer, Place, Reason, Refusal};
use crate::request::{HeaderBlock, Request, Surroundings};
use crate::time::Time;
use crate::token_endpoint::revocation;
use crate::token_exchange::{self, Passed, ServerAnswer, Started, TokenCall};
use crate::{bearer, forward};

/// What happens to an exchange.
pub enum Input<'a> {
    /// Its request has come.
    Begin,
    /// Its body has come, whole; nothing if it is over the limit or can't be had.
    Body(Option<&'a [u8]>),
    /// The fetch that it asked for has brought this.
    Fetched(CallAnswer<'a>),
    /// It has slept, or someone has called.
    Woken,
}

/// What an exchange asks of its host.
pub enum Effect {
    /// Fetch a fact, and bring the answer or wake it when it is known, at this moment at the latest.
    Fetch(Fact, Time),
    /// Wake it when what has this name may be there, at this moment at the latest.
    SleepUntil(Time, Digest),
    /// Bring the request's body, of at most so many bytes.
    ReadBody(usize),
    /// It is decided.
    Finish(Finish),
}

/// How an exchange is decided.
pub enum Finish {
    /// The request goes on with these changes.
    Admit(Changes),
    /// The client is answered here.
    Answer(Answer),
}

/// What changes in the request that goes on.
#[derive(Default)]
pub struct Changes {
    /// Names to remove, as they stand in the request. A name may occur more than once in it.
    pub remove: Vec<String>,
    /// Headers to set, in place of any of that name.
    pub set: Vec<(String, String)>,
    /// The verified token whose identity headers are set too.
    pub identity: Option<Rc<Verified>>,
    /// Headers to set in the API's answer.
    pub response: Vec<(String, String)>,
    /// Whether the exchange wants to see the answer.
    pub watch: bool,
}

impl Changes {
    /// All headers to set, in place of any of that name.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let identity = self.identity.as_ref().map_or(&[][..], |verified| &verified.headers);
        self.set.iter().chain(identity).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// These changes of a token call beside those of every request.
    fn beside(self, usual: Changes) -> Changes {
        let Changes { remove, mut set, .. } = usual;
        set.extend(self.set);
        Changes { remove, set, ..self }
    }
}

/// What one host can do to a request, as far as the verdict depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Whether a header can be removed; where it can't, it is blanked, and a second one is refused.
    pub removes_headers: bool,
    /// Whether an exchange can wait for what another one fetches.
    pub waits: bool,
}

/// One exchange.
pub struct Exchange {
    headers: HeaderBlock,
    target: Option<Vec<u8>>,
    abilities: Abilities,
    deadline: Option<Time>,
    fetching: Option<Fact>,
    stage: Stage,
}

/// What kind of request it has turned out to be.
enum Stage {
    /// One for an API.
    Bearer,
    /// A call to a token endpoint whose body is awaited.
    TokenHead(usize),
    /// A call to a revocation path whose body is awaited.
    RevocationHead(usize),
    /// A call to a token endpoint.
    Token(Box<TokenCall>),
    /// A call to a revocation path, and what it names.
    Revocation(Option<String>),
}

impl Exchange {
    /// An exchange whose request has these headers. `target` is the client's path and query where
    /// `:path` isn't.
    pub fn new(headers: HeaderBlock, target: Option<Vec<u8>>, abilities: Abilities) -> Self {
        Exchange { headers, target, abilities, deadline: None, fetching: None, stage: Stage::Bearer }
    }

    /// From now on it fetches for itself what another one fetches too: the host failed to let it wait.
    pub fn cannot_wait(&mut self) {
        self.abilities.waits = false;
    }

    /// Goes on as far as it can without waiting.
    pub fn step(&mut self, input: Input<'_>, facts: &Facts<'_>, surroundings: &dyn Surroundings) -> Effect {
        let mut stage = std::mem::replace(&mut self.stage, Stage::Bearer);
        let mut deadline = self.deadline;
        let effect = self.step_in(&mut stage, &mut deadline, input, facts, surroundings);
        (self.stage, self.deadline) = (stage, deadline);
        if let Effect::Fetch(fact, _) = &effect {
            self.fetching = Some(fact.clone());
        }
        effect
    }

    fn step_in(
        &mut self,
        stage: &mut Stage,
        deadline: &mut Option<Time>,
        input: Input<'_>,
        facts: &Facts<'_>,
        surroundings: &dyn Surroundings,
    ) -> Effect {
        let fetching = self.fetching.take();
        let request = self.request(surroundings);
        match input {
            Input::Fetched(answer) => {
                if let Some(fact) = fetching {
                    facts.learn(&fact, &answer);
                }
            }
            Input::Body(body) => {
                if let Err(refusal) = take_body(stage, &request, body, facts) {
                    return Effect::Finish(match facts.runtime.config.mode {
                        Mode::Enforce => token_exchange::refuse(&request, &refusal, facts),
                        Mode::Shadow => {
                            facts.host.meter.count(Metric::Shadowed(refusal.reason));
                            self.pass_with(&request, Changes::default(), facts)
                        }
                    });
                }
            }
            Input::Begin | Input::Woken => {}
        }
        match stage {
            Stage::Bearer => self.weigh(stage, deadline, &request, facts),
            Stage::TokenHead(index) | Stage::RevocationHead(index) => {
                let endpoint = facts.runtime.config.token_endpoints.get(*index);
                Effect::ReadBody(endpoint.map_or(0, |endpoint| endpoint.body_bytes_max))
            }
            Stage::Token(call) => {
                // Before the call takes a place or a lease: of a request that is refused nobody would give them back.
                let usual = match self.pass_changed(&request, None, None, false, facts) {
                    Finish::Admit(usual) => usual,
                    refused => return Effect::Finish(refused),
                };
                match call.go(&request, deadline, self.abilities, facts) {
                    Effect::Finish(Finish::Admit(changes)) => Effect::Finish(Finish::Admit(changes.beside(usual))),
                    other => other,
                }
            }
            Stage::Revocation(_) => Effect::Finish(self.pass_with(&request, Changes { watch: true, ..Changes::default() }, facts)),
        }
    }

    /// A call that goes on, with what else the filter changes in every request.
    fn pass_with(&self, request: &Request<'_>, changes: Changes, facts: &Facts<'_>) -> Finish {
        match self.pass_changed(request, None, None, false, facts) {
            Finish::Admit(usual) => Finish::Admit(changes.beside(usual)),
            refused => refused,
        }
    }

    fn weigh(&self, stage: &mut Stage, kept_deadline: &mut Option<Time>, request: &Request<'_>, facts: &Facts<'_>) -> Effect {
        let missing = match decide(request, facts) {
            Ok(Verdict::Token(index)) => {
                *stage = Stage::TokenHead(index);
                let endpoint = facts.runtime.config.token_endpoints.get(index);
                return Effect::ReadBody(endpoint.map_or(0, |endpoint| endpoint.body_bytes_max));
            }
            Ok(Verdict::Revocation(index)) => {
                *stage = Stage::RevocationHead(index);
                let endpoint = facts.runtime.config.token_endpoints.get(index);
                return Effect::ReadBody(endpoint.map_or(0, |endpoint| endpoint.body_bytes_max));
            }
            Ok(verdict) => return Effect::Finish(self.finish(request, verdict, facts)),
            Err(missing) => missing,
        };
        let deadline = kept_deadline.unwrap_or_else(|| {
            facts.host.meter.count(Metric::Waited);
            facts.now.plus_ms(facts.wait_ms_max(&missing))
        });
        if facts.now >= deadline {
            facts.host.meter.count(Metric::WaitTimedOut);
            let mut refusal = Refusal::from(unavailable(&missing));
            refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(1)));
            return Effect::Finish(self.refuse(request, &refusal, facts));
        }
        *kept_deadline = Some(deadline);
        match facts.join(&missing) {
            // Who can't wait fetches for itself.
            Turn::Follow if self.abilities.waits => {
                let name = missing.digest(&facts.runtime.host_key, &facts.runtime.config);
                Effect::SleepUntil(deadline, name)
            }
            Turn::Follow => Effect::Fetch(missing, deadline),
            // Between the look and the lease another may have brought it.
            Turn::Lead => match decide(request, facts) {
                Ok(verdict @ (Verdict::Admit(_) | Verdict::Refuse { .. })) => {
                    facts.give_way(&missing);
                    Effect::Finish(self.finish(request, verdict, facts))
                }
                _ => Effect::Fetch(missing, deadline),
            },
        }
    }

    /// The head of the answer to a request that went on has come.
    pub fn answer_started(&mut self, status: u16, headers: &HeaderBlock, facts: &Facts<'_>) -> Started {
        match &mut self.stage {
            Stage::Token(call) => call.started(status, headers, facts),
            Stage::Revocation(target) => {
                // RFC 7009, section 2.2: 200 says that the token is good no more. A client that hears of
                // trouble instead tries again (section 2.2.1).
                match (status, target) {
                    (200, Some(token)) if !facts.revoke_token(token.as_bytes()) => Started::Kept(token_exchange::not_revoked(facts)),
                    _ => Started::Pass,
                }
            }
            _ => Started::Pass,
        }
    }

    /// The answer to a request that went on has come, whole or as far as it will.
    pub fn answered(&mut self, answer: &ServerAnswer<'_>, facts: &Facts<'_>) -> Passed {
        match &mut self.stage {
            Stage::Token(call) => call.answered(answer, facts),
            _ => Passed::Unchanged,
        }
    }

    /// Refuses it for a reason of the host's; in shadow mode it goes on, as after any other refusal.
    pub fn turn_away(&self, reason: Reason, facts: &Facts<'_>, surroundings: &dyn Surroundings) -> Finish {
        let request = self.request(surroundings);
        self.refuse(&request, &reason.into(), facts)
    }

    /// It goes while a call of its own is under way, whose answer nobody will bring: another may make it.
    pub fn abandon(&mut self, facts: &Facts<'_>) {
        if let Some(fact) = self.fetching.take() {
            facts.give_way(&fact);
        }
    }

    /// The exchange is over, for whatever reason. Gives the name that others wait for, if they may go on now.
    pub fn close(&mut self, facts: &Facts<'_>) -> Option<Digest> {
        match &mut self.stage {
            Stage::Token(call) => call.closed(facts),
            _ => None,
        }
    }

    /// It would have to wait, and its host can't let it.
    pub fn give_up(&self, facts: &Facts<'_>, surroundings: &dyn Surroundings) -> Finish {
        let request = self.request(surroundings);
        let is_token = matches!(self.stage, Stage::Token(_));
        let mut refusal = Refusal::from(if is_token { Reason::TokenServerUnavailable } else { Reason::KeysUnavailable });
        refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(RETRY_AFTER_S)));
        match is_token {
            // In shadow mode no token call waits.
            true => token_exchange::refuse(&request, &refusal, facts),
            false => self.refuse(&request, &refusal, facts),
        }
    }

    /// The name that others may wait for while this exchange calls the server.
    pub fn name(&self) -> Option<Digest> {
        match &self.stage {
            Stage::Token(call) => call.name(),
            _ => None,
        }
    }

    fn request<'a>(&'a self, surroundings: &'a dyn Surroundings) -> Request<'a> {
        let [method, path, host] = self.request_line();
        let target = self.target.as_deref().unwrap_or(path);
        Request { headers: &self.headers, method, target, host, surroundings }
    }

    /// Method, path and authority in one walk over the headers.
    fn request_line(&self) -> [&[u8]; 3] {
        let mut line: [&[u8]; 3] = [b""; 3];
        for (name, value) in self.headers.iter() {
            let [method, path, host] = &mut line;
            match name {
                b":method" => *method = value,
                b":path" => *path = value,
                b":authority" => *host = value,
                // Kong's `:authority` is nginx's own name for the server.
                _ if name.eq_ignore_ascii_case(b"host") => *host = value,
                _ => {}
            }
        }
        line
    }

    fn finish(&self, request: &Request<'_>, verdict: Verdict<'_>, facts: &Facts<'_>) -> Finish {
        match verdict {
            Verdict::Admit(admission) => self.admit(request, &admission, facts),
            Verdict::Refuse { refusal, shadow: true } => {
                facts.host.meter.count(Metric::Shadowed(refusal.reason));
                self.pass_changed(request, None, None, false, facts)
            }
            Verdict::Refuse { refusal, shadow: false } => self.refuse(request, &refusal, facts),
            // Not reached: these need a body first.
            Verdict::Token(_) | Verdict::Revocation(_) => self.refuse(request, &Reason::Misconfigured.into(), facts),
        }
    }

    fn admit(&self, request: &Request<'_>, admission: &Admission<'_>, facts: &Facts<'_>) -> Finish {
        let meter = facts.host.meter;
        let payer = Payer { request, verified: admission.verified.as_deref(), claimed_client: None, captures: &admission.captures };
        let response = match facts.charge(admission.limits, &payer) {
            Ok(headers) => headers,
            Err(refusal) if !admission.shadow => return self.refuse(request, &refusal, facts),
            Err(refusal) => {
                meter.count(Metric::Shadowed(refusal.reason));
                Vec::new()
            }
        };
        if admission.passed_on {
            meter.count(Metric::PassedOn);
            // Where a plugin of the host has authenticated the request, its headers are that plugin's work.
            let vouched = facts.runtime.config.kong.auth_plugin && !self.abilities.removes_headers;
            return self.pass_changed(request, None, None, vouched, facts);
        }
        meter.count(if admission.verified.is_some() { Metric::Accepted } else { Metric::Anonymous });
        let issuer = admission.verified.as_ref().and_then(|verified| facts.runtime.config.issuers.get(verified.issuer));
        if issuer.is_some_and(|issuer| issuer.sunset_s.is_some()) {
            meter.count(Metric::Legacy);
        }
        match self.pass_changed(request, Some(admission), admission.remove_token, false, facts) {
            Finish::Admit(changes) => Finish::Admit(Changes { response, ..changes }),
            refused => refused,
        }
    }

    /// Lets the request go on without what only the filter may say, and with what it says. `vouched`: a
    /// plugin of the host has set its identity headers, or removed the client's.
    fn pass_changed(
        &self,
        request: &Request<'_>,
        admission: Option<&Admission<'_>>,
        remove_token: Option<usize>,
        vouched: bool,
        facts: &Facts<'_>,
    ) -> Finish {
        let config = &facts.runtime.config;
        let mut changes = Changes::default();
        for (name, _) in self.headers.iter() {
            let reserved = forward::is_reserved(name, &facts.runtime.compiled.reserved_headers);
            if reserved && !(vouched && forward::is_set_by_kong(name)) {
                changes.remove.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        if let Some(source) = remove_token.and_then(|position| config.bearer_sources.get(position)) {
            self.remove_token(request, source, &mut changes);
        }
        changes.identity = admission.and_then(|admission| admission.verified.clone());
        if !self.abilities.removes_headers && self.has_twice(&changes) {
            let refusal = Reason::DuplicateHeader.into();
            return match config.mode {
                Mode::Enforce => self.refuse(request, &refusal, facts),
                Mode::Shadow => {
                    facts.host.meter.count(Metric::Shadowed(refusal.reason));
                    Finish::Admit(changes)
                }
            };
        }
        Finish::Admit(changes)
    }

    /// Whether the request has a header twice, in any case of its letters, that is to be changed: where
    /// none can be removed, the second one would stay as it is.
    fn has_twice(&self, changes: &Changes) -> bool {
        let mut changed = changes.remove.iter().map(String::as_str).chain(changes.headers().map(|(name, _)| name));
        changed.any(|name| self.headers.iter().filter(|(there, _)| there.eq_ignore_ascii_case(name.as_bytes())).count() > 1)
    }

    fn remove_token(&self, request: &Request<'_>, source: &BearerSource, changes: &mut Changes) {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        match source {
            BearerSource::Authorization => changes.remove.push("authorization".to_owned()),
            BearerSource::Header(name) => changes.remove.push(name.clone()),
            BearerSource::Cookie(name) => {
                // Several fields are one (RFC 9113, section 8.2.3), and one takes the place of all.
                let fields = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(b"cookie"));
                let cookies: Vec<&[u8]> = fields.map(|(_, value)| value).collect();
                match bearer::without_cookie(&cookies.join(&b"; "[..]), name) {
                    rest if rest.is_empty() => changes.remove.push("cookie".to_owned()),
                    rest => changes.set.push(("cookie".to_owned(), text(rest))),
                }
            }
            BearerSource::Query(name) => changes.set.push((":path".to_owned(), text(bearer::without_query(request.target, name)))),
        }
    }

    fn refuse(&self, request: &Request<'_>, refusal: &Refusal, facts: &Facts<'_>) -> Finish {
        let config = &facts.runtime.config;
        if config.mode == Mode::Shadow {
            facts.host.meter.count(Metric::Shadowed(refusal.reason));
            return self.pass_changed(request, None, None, false, facts);
        }
        facts.host.meter.count(Metric::Rejected(refusal.reason));
        Finish::Answer(answer(request.headers, refusal, config.errors, &config.realm))
    }
}

/// What who can't wait is told when nothing better is known, in seconds.
pub const RETRY_AFTER_S: u64 = 2;

/// Reads what the body says, once.
fn take_body(stage: &mut Stage, request: &Request<'_>, body: Option<&[u8]>, facts: &Facts<'_>) -> Result<(), Refusal> {
    match *stage {
        Stage::TokenHead(index) => {
            let body = body.ok_or(Reason::BodyTooLarge)?;
            *stage = Stage::Token(Box::new(TokenCall::begin(index, request, body, facts)?));
        }
        Stage::RevocationHead(index) => {
            let body = body.ok_or(Reason::BodyTooLarge)?;
            token_exchange::charge(index, request, None, facts)?;
            *stage = Stage::Revocation(revocation::token(request.headers.get("content-type"), body));
        }
        _ => {}
    }
    Ok(())
}

/// The answer to a refused request with these headers.
pub fn answer(headers: &HeaderBlock, refusal: &Refusal, style: ErrorStyle, realm: &str) -> Answer {
    let grpc = headers.get("content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
    reply::answer(refusal, style, realm, Place { token_endpoint: false, grpc })
}

/// What a request is told for whom a fact can't be had.
pub fn unavailable(fact: &Fact) -> Reason {
    match fact {
        Fact::Introspection(_) => Reason::IntrospectionUnavailable,
        Fact::Feed(..) => Reason::RevocationUnavailable,
        _ => Reason::KeysUnavailable,
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
