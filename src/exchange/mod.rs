//! One HTTP exchange: what comes in becomes a verdict, a fetch or a wait. No host is named here.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod changes;
mod effect;
pub mod finish;
mod once;
pub mod revocation_call;
pub mod token_call;
pub mod why;

pub use effect::{Abilities, Effect, Finish, Input, Passed, ServerAnswer, Started};

use self::changes::Changes;
use self::once::Asking;
use self::token_call::TokenCall;
use crate::decide::{Missing, Verdict, decide};
use crate::digest::Digest;
use crate::exchange::revocation_call::RevocationCall;
use crate::facts::{Fact, Facts, Turn};
use crate::metrics::Metric;
use crate::rate_limit::Address;
use crate::reply::{Reason, Refusal};
use crate::request::forward;
use crate::request::{HeaderBlock, Outline, Request, Surroundings};
use crate::shared::twin::{Twin, broken};
use crate::time::Time;

/// One exchange.
pub struct Exchange {
    headers: HeaderBlock,
    target: Option<Vec<u8>>,
    abilities: Abilities,
    /// Nothing while it may be decided at once, as most are.
    late: Option<Box<Late>>,
}

/// An exchange that isn't decided at once.
#[derive(Default)]
struct Late {
    deadline: Option<Time>,
    fetching: Option<Fact>,
    /// Whether it only counts what it is refused for: it waits under a rule in shadow.
    shadow: bool,
    stage: Stage,
}

/// What kind of request it has turned out to be.
#[derive(Default)]
enum Stage {
    /// One for an API.
    #[default]
    Bearer,
    /// A call to a token endpoint whose body is awaited.
    TokenHead(usize),
    /// A call to a revocation path whose body is awaited.
    RevocationHead(usize),
    /// A call to a token endpoint.
    Token(Box<TokenCall>),
    /// A call to a revocation path.
    Revocation(Box<RevocationCall>),
    /// A request for an API that other gateways may have seen.
    Once(Box<Asking>),
}

impl Exchange {
    /// An exchange whose request has these headers. `target` is the client's path and query where
    /// `:path` isn't.
    pub fn new(headers: HeaderBlock, target: Option<Vec<u8>>, abilities: Abilities) -> Self {
        Exchange { headers, target, abilities, late: None }
    }

    /// The headers of its request, once it is over.
    pub fn into_headers(self) -> HeaderBlock {
        self.headers
    }

    /// Goes on with a copy of its request's headers that takes no more room than they need; gives
    /// the others.
    pub fn copy_headers(&mut self) -> HeaderBlock {
        let copy = self.headers.clone();
        std::mem::replace(&mut self.headers, copy)
    }

    /// From now on it fetches for itself what another one fetches too: the host failed to let it
    /// wait.
    pub fn cannot_wait(&mut self) {
        self.abilities.waits = false;
    }

    /// Goes on as far as it can without waiting.
    #[inline(always)]
    pub fn step(
        &mut self,
        input: Input<'_>,
        facts: &Facts<'_>,
        surroundings: &dyn Surroundings,
    ) -> Effect {
        if !matches!(input, Input::Begin) || self.late.is_some() {
            return self.go_on(None, input, facts, surroundings);
        }
        // The hot path, in one piece: a request that can be let through at once.
        let request = self.request(facts, surroundings);
        match decide(&request, facts) {
            Ok(Verdict::Admit(admission))
                if admission.once.is_none() || !facts.counts_once_for_all() =>
            {
                Effect::Finish(self.admit(&request, admission, facts))
            }
            Ok(Verdict::Refuse { refusal, shadow }) => {
                Effect::Finish(self.refuse_unless(shadow, &request, refusal, facts))
            }
            other => self.go_on(Some(other), input, facts, surroundings),
        }
    }

    /// The same for all other requests; `weighed` is what was decided already.
    #[inline(never)]
    fn go_on(
        &mut self,
        weighed: Option<Weighed<'_>>,
        input: Input<'_>,
        facts: &Facts<'_>,
        surroundings: &dyn Surroundings,
    ) -> Effect {
        let mut late = self.late.take().unwrap_or_default();
        let effect = self.step_in(&mut late, weighed, input, facts, surroundings);
        if let Effect::Fetch(fact, _) = &effect {
            late.fetching = Some(fact.clone());
        }
        self.late = Some(late);
        effect
    }

    fn step_in(
        &self,
        late: &mut Late,
        weighed: Option<Weighed<'_>>,
        input: Input<'_>,
        facts: &Facts<'_>,
        surroundings: &dyn Surroundings,
    ) -> Effect {
        let fetching = late.fetching.take();
        let request = self.request(facts, surroundings);
        match input {
            Input::Fetched(answer) => {
                if let Some(fact) = fetching {
                    facts.learn(&fact, &answer);
                }
            }
            Input::Body(body) => {
                if let Err(refusal) = take_body(&mut late.stage, &request, body, facts) {
                    return Effect::Finish(token_call::refuse(&request, &refusal, facts));
                }
            }
            Input::Begin | Input::Woken => {}
        }
        match &mut late.stage {
            Stage::Bearer => {
                let weighed = weighed.unwrap_or_else(|| decide_aside(&request, facts));
                self.act_on(weighed, late, &request, facts)
            }
            Stage::TokenHead(index) | Stage::RevocationHead(index) => read_body(*index, facts),
            Stage::Once(asking) => self.go_on_asking(asking, &request, facts),
            Stage::Token(call) => {
                // Before the call takes a place or a lease: of a request that is refused nobody
                // would give them back.
                let usual = self.pass_call(&request, facts);
                if matches!(usual, Finish::Answer(_)) {
                    return Effect::Finish(usual);
                }
                match call.go(&request, &mut late.deadline, self.abilities, facts) {
                    Effect::Finish(Finish::Admit(changes)) => Effect::Finish(usual.beside(changes)),
                    other @ (Effect::Fetch(..)
                    | Effect::SleepUntil(..)
                    | Effect::ReadBody(_)
                    | Effect::Finish(Finish::Answer(_))) => other,
                }
            }
            Stage::Revocation(call) => {
                match call.prepare(&request, &mut late.deadline, self.abilities, facts) {
                    Some(effect) => effect,
                    None => {
                        let usual = self.pass_call(&request, facts);
                        Effect::Finish(usual.beside(Changes::watching()))
                    }
                }
            }
        }
    }

    fn act_on(
        &self,
        weighed: Weighed<'_>,
        late: &mut Late,
        request: &Request<'_>,
        facts: &Facts<'_>,
    ) -> Effect {
        let missing = match weighed {
            Ok(Verdict::Token(index)) => {
                late.stage = Stage::TokenHead(index);
                return read_body(index, facts);
            }
            Ok(Verdict::Revocation(index)) => {
                late.stage = Stage::RevocationHead(index);
                return read_body(index, facts);
            }
            Ok(verdict) => return self.conclude(late, request, verdict, facts),
            Err(Missing { fact, shadow }) => {
                late.shadow = shadow;
                *fact
            }
        };
        let deadline = late.deadline.unwrap_or_else(|| {
            facts.host.meter.count(Metric::Waited);
            facts.now.plus_ms(facts.wait_ms_max(&missing))
        });
        if facts.now >= deadline {
            facts.host.meter.count(Metric::WaitTimedOut);
            if matches!(missing, Fact::StatusList(..)) {
                let until = facts.now.plus_s(1);
                return self.later(late, request, &missing, until, facts);
            }
            let mut refusal = Refusal::from(missing.refused_as());
            refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(1)));
            return Effect::Finish(self.refuse_unless(
                late.shadow,
                request,
                Box::new(refusal),
                facts,
            ));
        }
        late.deadline = Some(deadline);
        let address =
            || request.surroundings.address().and_then(|address| Address::parse(&address));
        match facts.join_for(&missing, address) {
            // Who can't wait fetches for itself.
            Turn::Follow if self.abilities.waits => {
                let name = missing.digest(&facts.runtime.host_key, &facts.runtime.config);
                Effect::SleepUntil(deadline, name, missing.queue())
            }
            Turn::Follow => match facts.ask_beside(&missing, address) {
                Ok(()) => Effect::Fetch(missing, deadline),
                Err(until) => self.later(late, request, &missing, until, facts),
            },
            Turn::Later(until) => self.later(late, request, &missing, until, facts),
            // Between the look and the lease another may have brought it.
            Turn::Lead if broken(Twin::NoSecondLook) => Effect::Fetch(missing, deadline),
            Turn::Lead => match decide_aside(request, facts) {
                Ok(
                    verdict @ (Verdict::Admit(_) | Verdict::Refuse { .. } | Verdict::Describe(..)),
                ) => {
                    facts.give_way(&missing);
                    self.conclude(late, request, verdict, facts)
                }
                Ok(Verdict::Token(_) | Verdict::Revocation(_)) | Err(_) => {
                    Effect::Fetch(missing, deadline)
                }
            },
        }
    }

    /// A fact can't be had before `until`: the request goes on if something older serves, or if it
    /// may do without.
    fn later(
        &self,
        late: &mut Late,
        request: &Request<'_>,
        missing: &Fact,
        until: Time,
        facts: &Facts<'_>,
    ) -> Effect {
        if facts.put_off(missing, until) {
            match decide_aside(request, facts) {
                Ok(
                    verdict @ (Verdict::Admit(_) | Verdict::Refuse { .. } | Verdict::Describe(..)),
                ) => return self.conclude(late, request, verdict, facts),
                Ok(Verdict::Token(_) | Verdict::Revocation(_)) | Err(_) => {}
            }
        }
        Effect::Finish(self.refuse_later(late.shadow, request, missing, until, facts))
    }

    /// The head of the answer to a request that went on has come.
    pub fn answer_started(
        &mut self,
        status: u16,
        headers: &HeaderBlock,
        facts: &Facts<'_>,
    ) -> Started {
        match self.stage_mut() {
            Stage::Token(call) => call.started(status, headers, facts),
            Stage::Revocation(call) => call.started(status, facts),
            Stage::Bearer | Stage::TokenHead(_) | Stage::RevocationHead(_) | Stage::Once(_) => {
                Started::Pass
            }
        }
    }

    /// The answer to a request that went on has come, whole or as far as it will.
    pub fn answered(&mut self, answer: &ServerAnswer<'_>, facts: &Facts<'_>) -> Passed {
        match self.stage_mut() {
            Stage::Token(call) => call.answered(answer, facts),
            Stage::Bearer
            | Stage::TokenHead(_)
            | Stage::RevocationHead(_)
            | Stage::Revocation(_)
            | Stage::Once(_) => Passed::Unchanged,
        }
    }

    /// Refuses it for a reason of the host's; in shadow mode it goes on, as after any other
    /// refusal. Which rule covers it nobody can say, so a rule in shadow is none here.
    pub fn turn_away(
        &self,
        reason: Reason,
        facts: &Facts<'_>,
        surroundings: &dyn Surroundings,
    ) -> Finish {
        let request = self.request(facts, surroundings);
        self.refuse_unless(false, &request, Box::new(reason.into()), facts)
    }

    /// It goes while a call of its own is under way, whose answer nobody will bring: another may
    /// make it.
    pub fn abandon(&mut self, facts: &Facts<'_>) {
        if let Some(fact) = self.late.as_mut().and_then(|late| late.fetching.take()) {
            facts.give_way(&fact);
        }
    }

    /// The exchange is over, for whatever reason. Gives the name that others wait for, if they may
    /// go on now.
    pub fn close(&mut self, facts: &Facts<'_>) -> Option<Digest> {
        match self.stage_mut() {
            Stage::Token(call) => call.closed(facts),
            Stage::Bearer
            | Stage::TokenHead(_)
            | Stage::RevocationHead(_)
            | Stage::Revocation(_)
            | Stage::Once(_) => None,
        }
    }

    /// It would have to wait, and its host can't let it.
    pub fn give_up(&self, facts: &Facts<'_>, surroundings: &dyn Surroundings) -> Finish {
        let request = self.request(facts, surroundings);
        let (reason, is_token) = match self.stage() {
            Stage::Token(_) => (Reason::TokenServerUnavailable, true),
            // The server wasn't asked yet, so the client tries again (RFC 7009, section 2.2.1).
            Stage::Revocation(_) => (Reason::KeysUnavailable, true),
            Stage::Bearer | Stage::TokenHead(_) | Stage::RevocationHead(_) => {
                (Reason::KeysUnavailable, false)
            }
            Stage::Once(_) => (Reason::ReplayUnavailable, false),
        };
        let mut refusal = Refusal::from(reason);
        refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(RETRY_AFTER_S)));
        match is_token {
            // In shadow mode no such call waits.
            true => token_call::refuse(&request, &refusal, facts),
            false => {
                let shadow = self.late.as_ref().is_some_and(|late| late.shadow);
                self.refuse_unless(shadow, &request, Box::new(refusal), facts)
            }
        }
    }

    /// Its body didn't come in time.
    pub fn body_never_came(&self, facts: &Facts<'_>, surroundings: &dyn Surroundings) -> Finish {
        let request = self.request(facts, surroundings);
        if let Stage::TokenHead(index) | Stage::RevocationHead(index) = self.stage() {
            facts.note_body(*index, false);
        }
        token_call::refuse(&request, &Reason::BodyTimeout.into(), facts)
    }

    /// The name that others may wait for while this exchange calls the server.
    pub fn name(&self) -> Option<Digest> {
        match self.stage() {
            Stage::Token(call) => call.name(),
            Stage::Bearer
            | Stage::TokenHead(_)
            | Stage::RevocationHead(_)
            | Stage::Revocation(_)
            | Stage::Once(_) => None,
        }
    }

    fn stage(&self) -> &Stage {
        self.late.as_ref().map_or(&Stage::Bearer, |late| &late.stage)
    }

    fn stage_mut(&mut self) -> &mut Stage {
        &mut self.late.get_or_insert_default().stage
    }

    #[inline(always)]
    fn request<'a>(&'a self, facts: &Facts<'_>, surroundings: &'a dyn Surroundings) -> Request<'a> {
        let reserved = &facts.runtime.compiled.reserved_headers;
        let Outline { method, path, host, authorization, has_reserved } =
            self.headers.outline(|name| forward::is_reserved(name, reserved));
        let target = self.target.as_deref().unwrap_or(path);
        Request {
            headers: &self.headers,
            method,
            target,
            host,
            authorization,
            has_reserved,
            surroundings,
        }
    }
}

/// What was decided of a request, or the fact that is missing.
type Weighed<'a> = Result<Verdict<'a>, Missing>;

/// [`decide`] for whoever isn't on the hot path, which has a copy of its own.
#[inline(never)]
fn decide_aside<'a>(request: &Request<'_>, facts: &Facts<'a>) -> Weighed<'a> {
    decide(request, facts)
}

/// What who can't wait is told when nothing better is known, in seconds.
pub const RETRY_AFTER_S: u64 = 2;

/// The body of a call to the endpoint at this index is awaited.
fn read_body(index: usize, facts: &Facts<'_>) -> Effect {
    let endpoint = facts.runtime.config.token_endpoints.get(index);
    Effect::ReadBody(endpoint.map_or(0, |endpoint| endpoint.body_bytes_max))
}

/// Reads what the body says, once.
fn take_body(
    stage: &mut Stage,
    request: &Request<'_>,
    body: Option<&[u8]>,
    facts: &Facts<'_>,
) -> Result<(), Refusal> {
    match *stage {
        Stage::TokenHead(index) => {
            let Some(body) = body else {
                token_call::charge(index, request, None, facts)?;
                return Err(Reason::BodyTooLarge.into());
            };
            facts.note_body(index, true);
            *stage = Stage::Token(Box::new(TokenCall::begin(index, request, body, facts)?));
        }
        Stage::RevocationHead(index) => {
            let body = body.ok_or(Reason::BodyTooLarge)?;
            token_call::charge(index, request, None, facts)?;
            *stage = Stage::Revocation(Box::new(RevocationCall::begin(request, body, facts)));
        }
        Stage::Bearer | Stage::Token(_) | Stage::Revocation(_) | Stage::Once(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
