//! The verdict on a request: a pure function of the request, the facts and the time. It changes
//! nothing; where a fact is missing, it names it, and is run again from the top when it is there.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod prove;
mod resource;

use std::rc::Rc;

pub use prove::challenged;
pub use resource::metadata_url;

use crate::charging::{self, Payer};
use crate::config::{Access, Config, CorsPreflight, Mode, Rule, UnknownIssuer, Unmatched};
use crate::facts::{Fact, Facts, Once, Stop, Verified};
use crate::jwt::check;
use crate::jwt::issuer::Issuer;
use crate::proof::Binding;
use crate::rate_limit::{Charging, KeyPart};
use crate::reply::{Asked, Metadata, Reason, Refusal};
use crate::request::bearer::{self, BearerSource, Candidate};
use crate::request::path::{self, Captures, Target};
use crate::request::{Request, is_word};
use crate::time::Time;
use crate::token_endpoint::TokenEndpoint;

/// What is to happen with a request.
pub enum Verdict<'a> {
    /// It goes on, once its limits are charged.
    Admit(Admission<'a>),
    /// It is refused.
    Refuse {
        /// The refusal, with everything that its answer says.
        refusal: Box<Refusal>,
        /// Whether the refusal is only counted.
        shadow: bool,
    },
    /// It asks for the metadata of a resource.
    Describe(&'a Metadata, Asked),
    /// It is a call to the token endpoint at this index, which needs its body.
    Token(usize),
    /// It is a call to the revocation path of a token endpoint.
    Revocation(usize),
}

/// A request that may go on.
pub struct Admission<'a> {
    /// The token that it carries, if it was read and is good.
    pub verified: Option<Rc<Verified>>,
    /// Which token is to be removed.
    pub removal: Removal,
    /// Why its token is bad, though it goes on without it (`access: permissive`).
    pub permitted: Option<Reason>,
    /// Whether headers of another plugin's making stay (`on_unknown_issuer: pass`).
    pub passed_on: bool,
    /// Indices of the limits that it is charged to.
    pub limits: &'a [usize],
    /// Whether a limit's refusal is only counted, and nothing of the request or its answer is
    /// changed.
    pub shadow: bool,
    /// What the rule's path template captured, for the keys of limits.
    pub captures: Option<Vec<(String, String)>>,
    /// What counts once, to be remembered when all else has passed.
    pub once: Option<Box<Once>>,
}

/// Which token goes out of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// None.
    Nothing,
    /// The one in the source at this position.
    Source(usize),
    /// Whatever stands in any source.
    All,
}

/// Why nothing is decided yet.
pub struct Missing {
    /// The fact that is missing.
    pub fact: Box<Fact>,
    /// Whether a refusal since it can't be had is only counted.
    pub shadow: bool,
}

/// What is decided of a request, or the fact that is missing.
///
/// # Errors
/// The missing fact.
#[inline(always)]
pub fn decide<'a>(request: &Request<'_>, facts: &Facts<'a>) -> Result<Verdict<'a>, Missing> {
    let config = &facts.runtime.config;
    let mut shadow = config.mode == Mode::Shadow;
    match weigh(request, facts, config, &mut shadow) {
        Ok(verdict) => Ok(verdict),
        Err(Stop::Refuse(refusal)) => Ok(Verdict::Refuse { refusal, shadow }),
        Err(Stop::Missing(fact)) => Err(Missing { fact, shadow }),
    }
}

#[inline(always)]
fn weigh<'a>(
    request: &Request<'_>,
    facts: &Facts<'a>,
    config: &'a Config,
    shadow: &mut bool,
) -> Result<Verdict<'a>, Stop> {
    let target = Target::parse(request.target, config.paths)?;
    let host = target.authority.unwrap_or(request.host);
    if !config.token_endpoints.is_empty()
        && let Some(verdict) = token_endpoint(config, request, host, &target.path)?
    {
        return Ok(verdict);
    }
    if !config.resources.is_empty()
        && let Some((metadata, asked)) = resource::asked_for(config, request, host, &target.path)
    {
        return Ok(Verdict::Describe(metadata, asked));
    }
    let route = route(request, facts);
    let (rule, captures) = match covering(config, request, &target, route.as_deref()) {
        Some((rule, captures)) => (Some(rule), wanted_captures(config, rule, &captures)),
        None if config.unmatched == Unmatched::Required => (None, None),
        None => return Err(Reason::NoRule.into()),
    };
    *shadow |= rule.is_some_and(|rule| rule.shadow);
    match weigh_token(request, facts, config, rule, captures, *shadow) {
        Err(Stop::Refuse(refusal)) if !config.dpop.is_empty() => {
            Err(Stop::Refuse(prove::challenged(refusal, request, facts, rule)))
        }
        weighed => weighed,
    }
}

/// The host's route of a request, where a rule asks for it.
#[inline(always)]
fn route(request: &Request<'_>, facts: &Facts<'_>) -> Option<String> {
    if facts.runtime.compiled.reads_routes { request.surroundings.route() } else { None }
}

/// The first rule that covers a request, or else what its preflight announces.
#[inline(always)]
fn covering<'a: 'r, 'r>(
    config: &'a Config,
    request: &Request<'r>,
    target: &'r Target<'_>,
    route: Option<&'r str>,
) -> Option<(&'a Rule, Captures<'r>)> {
    let asked = path::Request {
        method: request.method,
        host: target.authority.unwrap_or(request.host),
        route: route.map(str::as_bytes),
        path: &target.path,
    };
    let found = first_match(config, &asked);
    if found.is_none() && config.cors_preflight == CorsPreflight::Pass && is_announcement(request) {
        return covering_announced(config, request, &asked);
    }
    found
}

#[inline(always)]
fn first_match<'a: 'r, 'r>(
    config: &'a Config,
    asked: &path::Request<'r>,
) -> Option<(&'a Rule, Captures<'r>)> {
    config
        .rules
        .iter()
        .find_map(|rule| path::matches(&rule.matches, asked).map(|captures| (rule, captures)))
}

#[cold]
fn covering_announced<'a: 'r, 'r>(
    config: &'a Config,
    request: &Request<'r>,
    asked: &path::Request<'r>,
) -> Option<(&'a Rule, Captures<'r>)> {
    let method = announced_method(request)?;
    first_match(config, &path::Request { method, ..*asked })
}

/// POST to a token endpoint or to its revocation path needs no rule, and no more does the preflight
/// that announces it. Nothing else goes to a revocation path, whatever a rule says: RFC 7009 knows
/// no other call (but for the JSONP of section 2.3), and what a server made of one would not be
/// seen here.
#[inline(never)]
fn token_endpoint<'a>(
    config: &'a Config,
    request: &Request<'_>,
    host: &[u8],
    path: &[u8],
) -> Result<Option<Verdict<'a>>, Stop> {
    let method = request.method;
    let is_post = method.eq_ignore_ascii_case(b"POST");
    let is_preflight =
        !is_post && config.cors_preflight == CorsPreflight::Pass && announces_post(request);
    for (index, endpoint) in config.token_endpoints.iter().enumerate() {
        let (is_call, is_revocation) = (endpoint.takes(path), endpoint.revokes(path));
        let here = || {
            endpoint
                .host
                .as_ref()
                .is_none_or(|known| path::host_name(host).eq_ignore_ascii_case(known.as_bytes()))
        };
        if (!is_call && !is_revocation) || !here() {
            continue;
        }
        let is_left_to_rules = is_call || is_word(method, b"options") || is_word(method, b"head");
        return match (is_post, is_call) {
            (true, true) => Ok(Some(Verdict::Token(index))),
            (true, false) => Ok(Some(Verdict::Revocation(index))),
            (false, _) if is_preflight => Ok(Some(announced_call(config, endpoint, path))),
            (false, _) if is_left_to_rules => Ok(None),
            (false, _) => Err(Reason::NoRule.into()),
        };
    }
    Ok(None)
}

/// A preflight of a call to a token endpoint: it goes on to the server, which knows the origins
/// that it trusts, and is charged as the call is.
#[cold]
fn announced_call<'a>(config: &'a Config, endpoint: &'a TokenEndpoint, path: &[u8]) -> Verdict<'a> {
    Verdict::Admit(Admission {
        verified: None,
        removal: Removal::Nothing,
        permitted: None,
        passed_on: false,
        limits: &endpoint.limits,
        shadow: config.mode == Mode::Shadow,
        captures: Some(endpoint.captures(path)),
        once: None,
    })
}

#[inline(always)]
fn weigh_token<'a>(
    request: &Request<'_>,
    facts: &Facts<'a>,
    config: &'a Config,
    rule: Option<&'a Rule>,
    captures: Option<Vec<(String, String)>>,
    shadow: bool,
) -> Result<Verdict<'a>, Stop> {
    let limits = rule.map_or(&[][..], |rule| rule.limits.as_slice());
    let anonymous = Admission {
        verified: None,
        removal: Removal::Nothing,
        permitted: None,
        passed_on: false,
        limits,
        shadow,
        captures,
        once: None,
    };
    let access = rule.map_or(Access::Required, |rule| rule.access);
    if access == Access::Public
        || (is_announcement(request)
            && config.cors_preflight == CorsPreflight::Pass
            && announced_method(request).is_some())
    {
        return Ok(Verdict::Admit(anonymous));
    }
    let located = bearer::locate(
        request.authorization,
        request.headers.iter(),
        request.target,
        &config.bearer_sources,
    );
    let candidate = match located {
        Ok(Some(candidate)) => candidate,
        Ok(None) if matches!(access, Access::Optional | Access::Permissive) => {
            return Ok(Verdict::Admit(anonymous));
        }
        Ok(None) => return Err(Reason::NoToken.into()),
        Err(reason) => return without_token(access, anonymous, reason.into(), Removal::All),
    };
    let source = candidate.source();
    match weigh_candidate(request, facts, config, rule, candidate) {
        Ok(None) => Ok(Verdict::Admit(Admission { passed_on: true, ..anonymous })),
        Ok(Some((verified, mut once))) => {
            let removal = match verified.is_forwarded {
                true => Removal::Nothing,
                false => Removal::Source(source),
            };
            if let Some(once) = &mut once {
                once.is_permissive = access == Access::Permissive;
            }
            Ok(Verdict::Admit(Admission { verified: Some(verified), removal, once, ..anonymous }))
        }
        Err(stop) => without_token(access, anonymous, stop, Removal::Source(source)),
    }
}

/// A request whose token is bad goes on as anonymous without it, where the rule is permissive. What
/// isn't the token's fault stops it all the same.
#[cold]
fn without_token<'a>(
    access: Access,
    anonymous: Admission<'a>,
    stop: Stop,
    removal: Removal,
) -> Result<Verdict<'a>, Stop> {
    match &stop {
        Stop::Refuse(refusal)
            if access == Access::Permissive && matches!(refusal.reason.status(), 400 | 401) =>
        {
            let permitted = Some(refusal.reason);
            Ok(Verdict::Admit(Admission { removal, permitted, ..anonymous }))
        }
        Stop::Refuse(_) | Stop::Missing(_) => Err(stop),
    }
}

/// A good token, and what of its request counts once.
type Weighed = (Rc<Verified>, Option<Box<Once>>);

/// The token that stands at `candidate`, verified, as far as the rule lets it in; nothing if it is
/// another's to check.
#[inline(always)]
fn weigh_candidate(
    request: &Request<'_>,
    facts: &Facts<'_>,
    config: &Config,
    rule: Option<&Rule>,
    candidate: Candidate<'_>,
) -> Result<Option<Weighed>, Stop> {
    let source = candidate.source();
    let verified = match facts.verified_before(candidate.bytes())? {
        Some(verified) if is_anothers(rule, &verified) => verify(request, facts, rule, &candidate),
        Some(verified) => Ok(verified),
        None => verify(request, facts, rule, &candidate),
    };
    let verified = match verified {
        Err(Stop::Refuse(refusal))
            if refusal.reason == Reason::UnknownIssuer && may_pass_on(config, rule, request) =>
        {
            return Ok(None);
        }
        other => other?,
    };
    let once = match verified.has_terms
        || config.bearer_sources.get(source) == Some(&BearerSource::Dpop)
    {
        true => prove::terms(request, facts, &verified)?,
        false => None,
    };
    if let Some(rule) = rule {
        let issuer = config.issuers.get(verified.issuer).ok_or(Reason::UnknownIssuer)?;
        let scope_claim = issuer.scope_claim.as_ref();
        check::rule_allows(&rule.requires, verified.issuer, scope_claim, &verified.claims)
            .map_err(|reason| refused(rule, reason, issuer, &verified, facts.now))?;
        if let Some(step_up) = &rule.requires.step_up {
            step_up
                .met_by(&verified.claims, facts.now, issuer.leeway_s)
                .map_err(|reason| refused(rule, reason, issuer, &verified, facts.now))?;
        }
    }
    facts.not_revoked(&verified, candidate.bytes())?;
    facts.status_is_valid(&verified)?;
    // Of an opaque token its own endpoint has been asked.
    if rule.is_some_and(|rule| rule.introspect) && !verified.is_opaque {
        introspect(request, facts, config, &verified)?;
    }
    Ok(Some((verified, once)))
}

#[inline(never)]
fn verify(
    request: &Request<'_>,
    facts: &Facts<'_>,
    rule: Option<&Rule>,
    candidate: &Candidate<'_>,
) -> Result<Rc<Verified>, Stop> {
    if facts.runtime.compiled.charges_refused
        && let Some(rule) = rule
    {
        // Before the arithmetic: whoever sends bad signatures by the thousand is to be slowed by
        // this.
        let limits = charged_to_all(facts, rule);
        let payer = Payer { request, verified: None, claimed_client: None, captures: &[] };
        charging::within(facts, &limits, &payer).map_err(Stop::Refuse)?;
    }
    let admitted = rule.and_then(|rule| rule.requires.issuers.as_deref());
    candidate.is_well_formed()?;
    facts.verify(candidate.bytes(), admitted)
}

/// Whether an opaque token was last seen as that of an issuer which the rule doesn't admit. It
/// doesn't say whose it is, so another issuer may be asked here.
#[inline(always)]
fn is_anothers(rule: Option<&Rule>, verified: &Verified) -> bool {
    verified.is_opaque
        && rule
            .and_then(|rule| rule.requires.issuers.as_ref())
            .is_some_and(|admitted| !admitted.contains(&verified.issuer))
}

/// The limits of a rule that refused requests are charged to as well.
fn charged_to_all(facts: &Facts<'_>, rule: &Rule) -> Vec<usize> {
    let limits = &facts.runtime.config.rate_limits;
    let is_charged =
        |index: &usize| limits.get(*index).is_some_and(|limit| limit.charge == Charging::All);
    rule.limits.iter().copied().filter(is_charged).collect()
}

/// The limits that a request is charged to though it is refused: those of the rule that covers it.
#[cold]
pub fn limits_of_refused(request: &Request<'_>, facts: &Facts<'_>) -> Vec<usize> {
    rule_of(request, facts).map_or_else(Vec::new, |(_, rule)| charged_to_all(facts, rule))
}

/// The rule that covers a request, and its place; found anew, for what nobody pays on the hot path.
#[cold]
pub fn rule_of<'a>(request: &Request<'_>, facts: &Facts<'a>) -> Option<(usize, &'a Rule)> {
    let config = &facts.runtime.config;
    if config.rules.is_empty() {
        return None;
    }
    let target = Target::parse(request.target, config.paths).ok()?;
    let route = route(request, facts);
    let (found, _) = covering(config, request, &target, route.as_deref())?;
    config.rules.iter().enumerate().find(|(_, rule)| std::ptr::eq(*rule, found))
}

#[inline(never)]
fn introspect(
    request: &Request<'_>,
    facts: &Facts<'_>,
    config: &Config,
    verified: &Verified,
) -> Result<(), Stop> {
    let candidate = bearer::locate(
        request.authorization,
        request.headers.iter(),
        request.target,
        &config.bearer_sources,
    )?;
    let binding = facts.introspected(candidate.ok_or(Reason::NoToken)?.bytes())?;
    let ignores_cnf = config.issuers.get(verified.issuer).is_some_and(|issuer| issuer.ignores_cnf);
    // What the token itself is bound to has been proven by now.
    let proven = verified.binding.as_ref().map(Binding::when_met).unwrap_or_default();
    match binding {
        Some(binding) if !ignores_cnf && !binding.is_met_by(&proven) => Err(Reason::Bound.into()),
        _ => Ok(()),
    }
}

/// The method that a preflight of the Fetch standard announces, to be asked for of an OPTIONS
/// request; nothing if it is no preflight. A preflight never carries a token, and a rule by method
/// is about the request that follows it.
#[cold]
fn announced_method<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    request.headers.get("origin")?;
    request.headers.get("access-control-request-method")
}

/// Whether it is a preflight that announces a POST.
#[inline(never)]
fn announces_post(request: &Request<'_>) -> bool {
    is_announcement(request) && announced_method(request) == Some(b"POST")
}

/// Whether the method is a preflight's. Nearly every request is none, and pays for no walk over its
/// headers.
#[inline(always)]
fn is_announcement(request: &Request<'_>) -> bool {
    is_word(request.method, b"options")
}

/// Whether a token of an issuer that isn't configured may go on to whoever checks next. Never past
/// a rule that asks something of the token: nobody here could say whether it holds.
fn may_pass_on(config: &Config, rule: Option<&Rule>, request: &Request<'_>) -> bool {
    let UnknownIssuer::Pass { then } = &config.on_unknown_issuer else { return false };
    let asks = rule.is_some_and(|rule| !rule.requires.is_empty() || rule.introspect);
    if asks {
        return false;
    }
    if then.is_some() {
        return true;
    }
    let authenticated =
        request.headers.get("x-credential-identifier").is_some_and(|value| !value.is_empty());
    let anonymous =
        request.headers.get("x-anonymous-consumer").is_some_and(|value| !value.is_empty());
    config.kong.auth_plugin && authenticated && !anonymous
}

/// RFC 6750, section 3.1: which scopes would do is said with the refusal; RFC 9470, section 3: and
/// which login would. Where both are missing both are said, so that one more login is enough.
#[cold]
fn refused(rule: &Rule, reason: Reason, issuer: &Issuer, verified: &Verified, now: Time) -> Stop {
    let mut refusal = Refusal::from(reason);
    let claims = &verified.claims;
    if reason == Reason::Scope {
        refusal.scope = rule.requires.scopes_wanted(issuer.scope_claim.as_ref(), claims).into();
    }
    if let Some(step_up) = &rule.requires.step_up
        && matches!(reason, Reason::Scope | Reason::Authentication)
        && step_up.met_by(claims, now, issuer.leeway_s).is_err()
    {
        refusal.reason = Reason::Authentication;
        refusal.acr_values = step_up.acr_values.join(" ").into();
        refusal.max_age_s = step_up.max_age_s.and_then(|age_s| u32::try_from(age_s).ok());
    }
    Stop::Refuse(Box::new(refusal))
}

/// Captures are copied only where a limit's key names them.
#[inline(always)]
fn wanted_captures(
    config: &Config,
    rule: &Rule,
    captures: &Captures<'_>,
) -> Option<Vec<(String, String)>> {
    (!rule.limits.is_empty()).then(|| copied_captures(config, rule, captures))
}

#[inline(never)]
fn copied_captures(config: &Config, rule: &Rule, captures: &Captures<'_>) -> Vec<(String, String)> {
    let limits = rule.limits.iter().filter_map(|index| config.rate_limits.get(*index));
    let names = limits.flat_map(|limit| &limit.key).filter_map(|part| {
        let KeyPart::Capture(name) = part else { return None };
        Some(name)
    });
    names
        .filter_map(|name| {
            let mut value = String::from_utf8_lossy(captures.get(name)?).into_owned();
            if rule.matches.ignore_case {
                // Or each spelling would be counted apart.
                value.make_ascii_lowercase();
            }
            Some((name.clone(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests;
