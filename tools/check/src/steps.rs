//! The way of a decision, step by step in the order of the filter's own. Where it ended is the
//! filter's verdict; what is said beside it are the words of [`crate::explain`] and
//! [`crate::token`].

use herdgate::config::{Access, Config};
use herdgate::testing::jwt::issuer::Index;
use herdgate::testing::jwt::{self, Form};
use herdgate::testing::reply::Reason;
use herdgate::testing::request::bearer;
use herdgate::testing::request::path::Target;
use herdgate::testing::time::Time;
use serde_json::{Value, json};

use crate::explain::{self, Asked};
use crate::report;
use crate::run::{End, Header, Outcome, Sent};
use crate::token::Judged;

/// The steps of a request for an API.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Whether the path has one reading.
    Path,
    /// Which rule covers it.
    Rule,
    /// Where the token is, and whether it can be read.
    Token,
    /// Who answers for it.
    Issuer,
    /// Its times, audience and the like.
    Claims,
    /// Whether a key of the issuer vouches for it.
    Key,
    /// What the rule asks of it.
    Rights,
    /// What it is charged to.
    Limits,
}

/// How far a step came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Passed,
    Refused,
    /// Not reached, or nothing to do.
    Skipped,
    /// It would be refused too, once what comes before is mended.
    Also,
    /// What another server would say isn't given.
    Open,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Passed => "passed",
            State::Refused => "refused",
            State::Skipped => "skipped",
            State::Also => "also",
            State::Open => "open",
        }
    }
}

impl Step {
    const ALL: [Step; 8] = [
        Step::Path,
        Step::Rule,
        Step::Token,
        Step::Issuer,
        Step::Claims,
        Step::Key,
        Step::Rights,
        Step::Limits,
    ];

    fn name(self) -> &'static str {
        match self {
            Step::Path => "path",
            Step::Rule => "rule",
            Step::Token => "token",
            Step::Issuer => "issuer",
            Step::Claims => "claims",
            Step::Key => "key",
            Step::Rights => "rights",
            Step::Limits => "limits",
        }
    }

    /// The step at which a request is refused for a reason.
    pub fn of(reason: Reason) -> Step {
        match reason {
            Reason::BadPath | Reason::DuplicateHeader | Reason::TooManyHeaders => Step::Path,
            Reason::NoRule | Reason::Misconfigured => Step::Rule,
            Reason::NoToken
            | Reason::TwoTokens
            | Reason::MalformedRequest
            | Reason::Malformed
            | Reason::Critical => Step::Token,
            Reason::UnknownIssuer | Reason::Algorithm => Step::Issuer,
            Reason::WrongType
            | Reason::Expired
            | Reason::NotYetValid
            | Reason::LifetimeTooLong
            | Reason::WrongAudience
            | Reason::ClaimMissing
            | Reason::Sunset
            | Reason::ClockUnset => Step::Claims,
            Reason::UnknownKey
            | Reason::BadSignature
            | Reason::Decryption
            | Reason::KeysUnavailable => Step::Key,
            Reason::IssuerNotAllowed
            | Reason::Claim
            | Reason::Scope
            | Reason::Authentication
            | Reason::Bound
            | Reason::Proof
            | Reason::Nonce
            | Reason::Revoked
            | Reason::Status
            | Reason::StatusUnavailable
            | Reason::Inactive
            | Reason::IntrospectionUnavailable
            | Reason::RevocationUnavailable => Step::Rights,
            Reason::Limited
            | Reason::Replayed
            | Reason::ReplayUnavailable
            | Reason::TokenServerUnavailable
            | Reason::Throttled
            | Reason::BodyTooLarge
            | Reason::BodyTimeout => Step::Limits,
        }
    }
}

/// What the steps are drawn from.
pub struct Way<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request in the words of the command line.
    pub asked: &'a Asked,
    /// Path and query as they were sent.
    pub target: &'a str,
    /// The request.
    pub sent: &'a Sent,
    /// What the filter did.
    pub outcome: &'a Outcome,
    /// The clock.
    pub now: Time,
}

/// The reason of that name.
pub fn reason(name: Option<&str>) -> Option<Reason> {
    Reason::ALL.into_iter().find(|reason| Some(reason.name()) == name)
}

impl Way<'_> {
    /// Each step: its name, how far it came, what is said of it.
    pub fn steps(&self) -> Vec<Value> {
        let ended = reason(self.outcome.why.get("reason").map(String::as_str));
        let token = self.token();
        let judged = token
            .as_ref()
            .ok()
            .and_then(Option::as_deref)
            .filter(|_| !self.is_public())
            .map(|token| report::judge(self.config, Some(self.asked), token, self.now));
        let is_open = self.outcome.fetched.iter().any(|call| call.status.is_none());
        Step::ALL
            .into_iter()
            .map(|step| {
                let mut lines = self.said(step, &token, judged.as_ref());
                let state = self.state(step, ended, judged.as_ref(), is_open, lines.is_empty());
                lines.extend(self.why(step, ended, judged.as_ref()));
                json!({ "step": step.name(), "state": state.name(), "lines": lines })
            })
            .collect()
    }

    /// Whether its rule reads no token.
    fn is_public(&self) -> bool {
        explain::covering(self.config, self.asked)
            .is_some_and(|(_, rule)| rule.access == Access::Public)
    }

    /// The token in the request, if there is one that can be taken out of it.
    fn token(&self) -> Result<Option<String>, Reason> {
        let headers = self.sent.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let found = bearer::find(headers, self.target.as_bytes(), &self.config.bearer_sources)?;
        Ok(found.map(|found| String::from_utf8_lossy(&found.bytes).into_owned()))
    }

    fn state(
        &self,
        step: Step,
        ended: Option<Reason>,
        judged: Option<&Judged>,
        is_open: bool,
        is_silent: bool,
    ) -> State {
        let also = || {
            let reasons = judged.map(|judged| judged.reasons.as_slice()).unwrap_or_default();
            reasons.iter().any(|(reason, _)| Step::of(*reason) == step)
        };
        let at = ended.map(Step::of);
        match at {
            Some(at) if at == step && is_open && ended.is_some_and(|why| why.status() == 503) => {
                State::Open
            }
            Some(at) if at == step => State::Refused,
            Some(at) if step > at && also() => State::Also,
            Some(at) if step > at => State::Skipped,
            Some(_) | None if is_silent => State::Skipped,
            Some(_) | None => State::Passed,
        }
    }

    /// Why it is refused at this step, or would be.
    fn why(&self, step: Step, ended: Option<Reason>, judged: Option<&Judged>) -> Vec<String> {
        let reasons = judged.map(|judged| judged.reasons.as_slice()).unwrap_or_default();
        let here = reasons.iter().filter(|(reason, _)| Step::of(*reason) == step);
        let mut lines: Vec<String> =
            here.clone().map(|(reason, why)| format!("{}: {why}.", reason.name())).collect();
        let said = |reason: Reason| here.clone().any(|(known, _)| *known == reason);
        if let Some(reason) = ended.filter(|reason| Step::of(*reason) == step && !said(*reason)) {
            lines.insert(0, format!("{}: {}.", reason.name(), reason.description()));
        }
        lines
    }

    fn said(
        &self,
        step: Step,
        token: &Result<Option<String>, Reason>,
        judged: Option<&Judged>,
    ) -> Vec<String> {
        let is_public = self.is_public();
        match step {
            Step::Path => self.path(),
            Step::Rule => self.rule(),
            Step::Token if is_public => vec!["The rule is public: no token is read.".to_owned()],
            Step::Token => match token {
                Ok(None) => vec!["The request has no token.".to_owned()],
                Ok(Some(token)) => vec![form(token)],
                Err(_) => Vec::new(),
            },
            Step::Issuer | Step::Claims | Step::Key | Step::Rights if is_public => Vec::new(),
            Step::Issuer => self.issuer(token).into_iter().collect(),
            Step::Claims => self.claims(token, judged),
            Step::Key => self.key(token),
            Step::Rights => match (token, self.outcome.why.get("verdict").map(String::as_str)) {
                (Ok(Some(_)), Some("accepted")) => {
                    vec!["What the rule asks of the token is met.".to_owned()]
                }
                _ => Vec::new(),
            },
            Step::Limits => self.limits(),
        }
    }

    fn path(&self) -> Vec<String> {
        match Target::parse(self.target.as_bytes(), self.config.paths) {
            Ok(target) => {
                let path = String::from_utf8_lossy(&target.path);
                vec![match path == self.target {
                    true => format!("{path} has one reading."),
                    false => format!("The path is read as {path}."),
                }]
            }
            Err(_) => Vec::new(),
        }
    }

    fn rule(&self) -> Vec<String> {
        let mut lines = explain::request(self.config, self.asked);
        lines.retain(|line| !line.starts_with("The path is read") && !line.starts_with("400: "));
        lines
    }

    fn issuer(&self, token: &Result<Option<String>, Reason>) -> Option<String> {
        let token = token.as_ref().ok()?.as_deref()?;
        if let (Form::Opaque, Some(name)) =
            (jwt::form(token.as_bytes()), self.outcome.why.get("issuer"))
        {
            return Some(format!("It is one of the issuer {name}, who is asked what it means."));
        }
        let jwt = jwt::parse(token.as_bytes()).ok()?;
        let issuers = &self.config.issuers;
        let position =
            Index::new(issuers).choose(issuers, jwt.claims.iss.as_deref(), &jwt.claims.aud).ok()?;
        let issuer = issuers.get(position)?;
        Some(format!("Its iss belongs to the issuer {}.", issuer.name))
    }

    fn claims(
        &self,
        token: &Result<Option<String>, Reason>,
        judged: Option<&Judged>,
    ) -> Vec<String> {
        let Ok(Some(token)) = token else { return Vec::new() };
        if jwt::form(token.as_bytes()) == Form::Opaque {
            return Vec::new();
        }
        let refused = judged.is_some_and(|judged| {
            judged.reasons.iter().any(|(reason, _)| Step::of(*reason) <= Step::Claims)
        });
        match refused {
            true => Vec::new(),
            false => vec!["Its times, its type and its audience are as its issuer's.".to_owned()],
        }
    }

    fn key(&self, token: &Result<Option<String>, Reason>) -> Vec<String> {
        let Ok(Some(_)) = token else { return Vec::new() };
        let calls = self.outcome.fetched.iter().map(|call| match call.status {
            Some(status) => format!("Asks {} {}: {status}.", call.method, call.url),
            None => format!(
                "Asks {} {}: what that server answers is not given here.",
                call.method, call.url
            ),
        });
        let mut lines: Vec<String> = calls.collect();
        let counted = |name: &str| self.outcome.counted.iter().any(|known| known == name);
        if counted("herdgate.bearer.verified") {
            lines.push("A key of the issuer verifies its signature.".to_owned());
        } else if counted("herdgate.bearer.l1_hit") {
            lines
                .push("It was verified before, so its signature isn't looked at again.".to_owned());
        }
        lines
    }

    fn limits(&self) -> Vec<String> {
        let charged = self.outcome.counted.iter().filter_map(|name| {
            let (limit, event) = name.strip_prefix("herdgate.limit.")?.rsplit_once('.')?;
            Some(match event {
                "allowed" => format!("Limit {limit}: counted, and within it."),
                "denied" => format!("Limit {limit}: over it."),
                other => format!("Limit {limit}: {other}."),
            })
        });
        let mut lines: Vec<String> = charged.collect();
        let left = |headers: &[Header]| {
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("ratelimit"))
                .map(|(_, value)| format!("RateLimit: {value}"))
        };
        lines.extend(match &self.outcome.end {
            End::Goes { response, .. } => left(response),
            End::Answered { headers, .. } => left(headers),
        });
        lines
    }
}

/// What can be seen of a token from outside.
fn form(token: &str) -> String {
    match jwt::form(token.as_bytes()) {
        Form::Opaque => "It is opaque: what it means only its issuer knows.".to_owned(),
        _ => match jwt::parse(token.as_bytes()) {
            Ok(jwt) => format!(
                "It is a JWT by {}, and {}.",
                jwt.algorithm,
                if jwt.kid.is_some() { "names its key" } else { "names no key" }
            ),
            Err(_) => "It is written as a JWT.".to_owned(),
        },
    }
}
