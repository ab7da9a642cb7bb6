//! Why a request got its answer, told to whoever asks later: access logs, the gateway's log, and
//! the client itself with `debug_headers`.
//!
//! It is found out anew, from the request, once a request is refused or where the configuration
//! wants it of all: so a hot request that nobody asks about pays nothing for it.

use crate::decide::rule_of;
use crate::exchange::changes::Changes;
use crate::facts::{Facts, Verified};
use crate::jwt;
use crate::metrics::Metric;
use crate::reply::{Answer, Claimed, Judged, Reason, Refusal, Why};
use crate::request::{HeaderBlock, Request, bearer};

/// Who came, as far as that was found out before.
pub type Known<'a> = Option<&'a Verified>;

/// The answer to a refused request, with all that is told of it.
#[inline(never)]
pub fn refused(
    mut answer: Answer,
    request: &Request<'_>,
    refusal: &Refusal,
    known: Known<'_>,
    facts: &Facts<'_>,
) -> Answer {
    let whose = whose(request, refusal, known, facts);
    let why = why(Judged::Refused, Some(refusal.reason), request, whose, facts);
    if facts.runtime.config.debug_headers {
        answer.headers.push(("herdgate-reason".to_owned(), refusal.reason.name().to_owned()));
        let rule = why.rule.as_ref().map(|rule| ("herdgate-rule".to_owned(), rule.clone()));
        answer.headers.extend(rule);
    }
    log(&why, request.headers, facts);
    answer.why = Some(Box::new(why));
    answer
}

/// The changes of a request that would be refused but for a shadow: none but what is told of it.
#[inline(never)]
pub fn shadowed(
    request: &Request<'_>,
    refusal: &Refusal,
    known: Known<'_>,
    facts: &Facts<'_>,
) -> Changes {
    facts.host.meter.count(Metric::Shadowed(refusal.reason));
    let whose = whose(request, refusal, known, facts);
    let why = why(Judged::Shadowed, Some(refusal.reason), request, whose, facts);
    log(&why, request.headers, facts);
    let mut changes = Changes::default();
    changes.edit().why = Some(Box::new(why));
    changes
}

/// What is told of an admitted request, where the configuration wants that.
#[inline(never)]
pub fn admitted(
    judged: Judged,
    reason: Option<Reason>,
    request: &Request<'_>,
    known: Known<'_>,
    facts: &Facts<'_>,
) -> Box<Why> {
    // A public rule reads no token, so nothing is said of one.
    let whose = known.map_or_else(Claimed::default, |verified| of_verified(verified, facts));
    Box::new(why(judged, reason, request, whose, facts))
}

fn why(
    judged: Judged,
    reason: Option<Reason>,
    request: &Request<'_>,
    whose: Claimed,
    facts: &Facts<'_>,
) -> Why {
    let config = &facts.runtime.config;
    let rule = rule_of(request, facts)
        .map(|(index, rule)| rule.name.clone().unwrap_or_else(|| index.to_string()));
    let Claimed { issuer, subject } = whose;
    let issuer = issuer.and_then(|index| config.issuers.get(index));
    Why {
        judged,
        reason: reason.map(Reason::name),
        issuer: issuer.map(|issuer| issuer.name.clone()),
        rule,
        subject,
    }
}

/// Whose token it is: as its verification found, else as a refusal that has read it says, else as it
/// is read now.
fn whose(request: &Request<'_>, refusal: &Refusal, known: Known<'_>, facts: &Facts<'_>) -> Claimed {
    match (known, &refusal.claimed) {
        (Some(verified), _) => of_verified(verified, facts),
        (None, Some(claimed)) => Claimed::clone(claimed),
        (None, None) => claimed(request, facts),
    }
}

fn of_verified(verified: &Verified, facts: &Facts<'_>) -> Claimed {
    Claimed { issuer: Some(verified.issuer), subject: facts.subject(&verified.claims) }
}

/// The issuer and the subject that a token claims, if it can be read and its issuer is known here.
fn claimed(request: &Request<'_>, facts: &Facts<'_>) -> Claimed {
    let sources = &facts.runtime.config.bearer_sources;
    let located =
        bearer::locate(request.authorization, request.headers.iter(), request.target, sources);
    let Ok(Some(candidate)) = located else { return Claimed::default() };
    let Ok(token) = candidate.well_formed() else { return Claimed::default() };
    jwt::parse(&token.bytes).map_or_else(|_| Claimed::default(), |jwt| facts.claimed(&jwt.claims))
}

/// One line of the gateway's log, where the configuration wants it and there is room.
fn log(why: &Why, headers: &HeaderBlock, facts: &Facts<'_>) {
    let Some(left_out) = facts.may_log_refusal() else { return };
    let mut line = String::new();
    for (name, value) in why.parts() {
        let word = if name == "verdict" { value.to_owned() } else { format!("{name}={value}") };
        line.push_str(&word);
        line.push(' ');
    }
    line.push_str(&format!("request={}", request_id(headers)));
    if left_out > 0 {
        line.push_str(&format!(" ({left_out} lines before it left out)"));
    }
    log::warn!("{line}");
}

/// What the gateway calls the request. It may be the client's text: what doesn't look like an id,
/// or may be a token, isn't repeated.
fn request_id(headers: &HeaderBlock) -> &str {
    let id = headers.get("x-request-id").and_then(|id| std::str::from_utf8(id).ok());
    let is_id = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
            && !id.starts_with("eyJ")
    };
    id.filter(is_id).unwrap_or("-")
}

/// A UUID has 36.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// Whether admitted requests are told of.
#[inline(always)]
pub fn tells_of_all(facts: &Facts<'_>) -> bool {
    facts.runtime.config.log.all
}

#[cfg(test)]
mod tests;
