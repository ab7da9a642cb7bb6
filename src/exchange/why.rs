//! Why a request got its answer, told to whoever asks later: access logs, the gateway's log, and
//! the client itself with `debug_headers`.
//!
//! It is found out anew, from the request, once a request is refused or where the configuration
//! wants it of all: so a hot request that nobody asks about pays nothing for it.

use crate::decide::rule_of;
use crate::exchange::changes::Changes;
use crate::facts::{Facts, Verified};
use crate::jwt::{self, Claims};
use crate::metrics::Metric;
use crate::reply::{Answer, Judged, Reason, Refusal, Why};
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
    let why = why(Judged::Refused, Some(refusal.reason), request, known, facts);
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
    let why = why(Judged::Shadowed, Some(refusal.reason), request, known, facts);
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
    Box::new(why(judged, reason, request, known, facts))
}

fn why(
    judged: Judged,
    reason: Option<Reason>,
    request: &Request<'_>,
    known: Known<'_>,
    facts: &Facts<'_>,
) -> Why {
    let config = &facts.runtime.config;
    let rule = rule_of(request, facts)
        .map(|(index, rule)| rule.name.clone().unwrap_or_else(|| index.to_string()));
    let (issuer, subject) = match known {
        Some(verified) => (Some(verified.issuer), subject(&verified.claims, facts)),
        // A public rule reads no token, so nothing is said of one.
        None if judged == Judged::Anonymous => (None, None),
        None => claimed(request, facts),
    };
    let issuer = issuer.and_then(|index| config.issuers.get(index));
    Why {
        judged,
        reason: reason.map(Reason::name),
        issuer: issuer.map(|issuer| issuer.name.clone()),
        rule,
        subject,
    }
}

/// The issuer and the subject that a token claims, if it can be read and its issuer is known here.
fn claimed(request: &Request<'_>, facts: &Facts<'_>) -> (Option<usize>, Option<String>) {
    let config = &facts.runtime.config;
    let located = bearer::locate(
        request.authorization,
        request.headers.iter(),
        request.target,
        &config.bearer_sources,
    );
    let Ok(Some(candidate)) = located else { return (None, None) };
    let Ok(token) = candidate.well_formed() else { return (None, None) };
    let Ok(jwt) = jwt::parse(&token.bytes) else { return (None, None) };
    let index = &facts.runtime.compiled.issuer_index;
    match index.choose(&config.issuers, jwt.claims.iss.as_deref(), &jwt.claims.aud) {
        Ok(issuer) => (Some(issuer), subject(&jwt.claims, facts)),
        Err(_) => (None, None),
    }
}

/// 64 bits under a key that nobody outside has, so that a subject can be followed through logs and
/// not be found out from them.
fn subject(claims: &Claims, facts: &Facts<'_>) -> Option<String> {
    let (iss, sub) = (claims.iss.as_deref(), claims.sub.as_deref());
    iss.or(sub)?;
    let fields = [iss.unwrap_or_default(), sub.unwrap_or_default()];
    let digest = facts.subject_key().digest("subject", &fields.map(str::as_bytes));
    Some(digest.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
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
