//! Why what a server answered wasn't taken, in words for the operator. It is looked at once more
//! for that: nothing here decides.
//!
//! What a server says itself may hold anything. So of its bodies nothing is repeated, but for the
//! host's own words in place of an answer, and names in documents that are public: of keys, and of
//! the issuer.

use serde_json::Value;

use crate::jwt::introspection::signed::NotSigned;
use crate::jwt::introspection::{self, Response, Told};
use crate::jwt::issuer::IssuerMatch;
use crate::retry_after::http_date;
use crate::revocation::status::ListError;
use crate::signature::KeyError;
use crate::signature::jwk_set::{self, JwkSet, LeftOut};
use crate::signature::source::{JwksAt, KeySource};

use super::call::CallAnswer;
use super::{Endpoint, Fact, Facts};

/// Why an answer wasn't taken.
pub(super) fn of_failure(facts: &Facts<'_>, fact: &Fact, answer: &CallAnswer<'_>) -> String {
    if let Some(words) = of_the_host(answer) {
        return words;
    }
    match answer.status {
        300..=399 => match location(answer) {
            Some(target) => {
                format!("status {}, to {target}: redirects aren't followed", answer.status)
            }
            None => format!("status {}", answer.status),
        },
        200 => of_document(facts, fact, answer),
        status => format!("status {status}"),
    }
}

/// What is odd about an answer that was taken: keys that aren't used, a clock that stands elsewhere
/// than this one.
pub(super) fn oddities(facts: &Facts<'_>, fact: &Fact, answer: &CallAnswer<'_>) -> Vec<String> {
    if let Fact::Feed(index, _) = fact {
        return facts.odd_sets(*index);
    }
    let Fact::Keys(issuer, _) = fact else { return Vec::new() };
    let Some(Ok(set)) = key_set(facts, *issuer, answer) else { return Vec::new() };
    let keys = (!set.left_out.is_empty()).then(|| {
        let none_left = if set.keys.is_empty() { "; no other is there" } else { "" };
        format!("{}{none_left}", left_out(&set.left_out))
    });
    keys.into_iter().chain(other_clock(facts, answer)).collect()
}

/// How far the server's clock is from this one, if that is more than any token may be off by. Its
/// tokens are then refused as expired, or as not yet valid.
fn other_clock(facts: &Facts<'_>, answer: &CallAnswer<'_>) -> Option<String> {
    let text = |name: &str| Some(std::str::from_utf8(answer.headers.get(name)?).ok()?.trim());
    // Of an answer from a cache the date is when the server gave it (RFC 9111, section 5.1).
    let age_s = text("age").and_then(|age| age.parse::<u64>().ok()).unwrap_or(0);
    let theirs = http_date(text("date")?)?.saturating_add(age_s);
    let ours = facts.now.s();
    let (apart, ahead) = (theirs.abs_diff(ours), if theirs > ours { "ahead of" } else { "behind" });
    let minutes = (apart + 30) / 60;
    (apart >= CLOCKS_APART_S)
        .then(|| format!("the server's clock is {minutes} minutes {ahead} the gateway's"))
}

/// The host's words where no answer came.
fn of_the_host(answer: &CallAnswer<'_>) -> Option<String> {
    let text = std::str::from_utf8(answer.body).unwrap_or_default();
    // Kong's host, and the filter's own where no call was made.
    if answer.status == 0 {
        return Some(match text.is_empty() {
            true => "no answer".to_owned(),
            false => format!("no answer: {}", plain(text)),
        });
    }
    // Envoy answers in the server's place.
    let connecting = "upstream connect error or disconnect/reset before headers. ";
    match (answer.status, text) {
        (504, "upstream request timeout") => Some("no answer in time (timeout)".to_owned()),
        (503, "no healthy upstream") => {
            Some("no answer: no healthy host in the cluster".to_owned())
        }
        (503, text) if text.starts_with(connecting) => {
            let words = text.trim_start_matches(connecting);
            // Envoy keeps to itself which of the two it was.
            let hint = match words.ends_with("remote connection failure") {
                true => " (nobody listens there, or TLS failed)",
                false => "",
            };
            Some(format!("no answer: {}{hint}", plain(words)))
        }
        _ => None,
    }
}

fn of_document(facts: &Facts<'_>, fact: &Fact, answer: &CallAnswer<'_>) -> String {
    if let Fact::StatusList(issuer, uri) = fact {
        return of_status_list(facts, *issuer, uri, answer);
    }
    if let Fact::Introspection(of @ Endpoint::Of(index), _) = fact
        && of.of(&facts.runtime.config).is_some_and(|of| of.response == Response::Jwt)
    {
        return of_signed_answer(facts, *index, answer);
    }
    let is_jws = matches!(fact, Fact::Feed(index, _) if facts.feed_is_signed(*index));
    if let Some(other) = not_json(answer).filter(|_| !is_jws) {
        return other;
    }
    match fact {
        Fact::Metadata(issuer) => of_metadata(facts, *issuer, answer),
        Fact::Keys(issuer, _) => match key_set(facts, *issuer, answer) {
            Some(Err(error)) => error.to_string(),
            Some(Ok(JwkSet { keys, left_out: list })) if keys.is_empty() && !list.is_empty() => {
                format!("no key can be used: {}", left_out(&list))
            }
            Some(Ok(JwkSet { keys, .. })) if keys.is_empty() => "a set without keys".to_owned(),
            _ => "it can't be kept".to_owned(),
        },
        Fact::Credential(..) | Fact::Consumer(..) => "expected a JSON object".to_owned(),
        Fact::Introspection(..) => {
            "expected a JSON object with a boolean \"active\", and dates that are numbers"
                .to_owned()
        }
        Fact::Once(_) => "not what the script returns".to_owned(),
        Fact::Elsewhere(_) => "not what the script returns".to_owned(),
        Fact::Told(_) => "not what the script returns, or there is no room for it".to_owned(),
        Fact::Feed(index, _) => facts
            .feed_refused(*index)
            .map_or_else(|| "it can't be kept".to_owned(), |why| why.to_string()),
        Fact::StatusList(..) => String::new(),
    }
}

/// But for the signature it is looked at once more, so that is what is left.
fn of_signed_answer(facts: &Facts<'_>, issuer: usize, answer: &CallAnswer<'_>) -> String {
    let signed = match facts.signed_answer(issuer, answer) {
        Ok(signed) => signed,
        Err(why) => return why.to_string(),
    };
    let iss = match facts.runtime.config.issuers.get(issuer).map(|issuer| &issuer.matcher) {
        Some(IssuerMatch::Exact(iss)) => iss.as_str(),
        Some(IssuerMatch::Template(_) | IssuerMatch::Any) | None => "",
    };
    let is_others = match signed.told() {
        Some((Told::Active(members), _)) => introspection::claims(members, iss).is_none(),
        Some((Told::Inactive, _)) | None => false,
    };
    match is_others {
        true => "its \"token_introspection\" isn't that of a token of this issuer".to_owned(),
        false => NotSigned::Signature.to_string(),
    }
}

fn of_status_list(facts: &Facts<'_>, issuer: usize, uri: &str, answer: &CallAnswer<'_>) -> String {
    let Some(lists) = facts.runtime.config.status_lists_of(issuer) else { return String::new() };
    let kind = answer.headers.get("content-type").and_then(|kind| std::str::from_utf8(kind).ok());
    match facts.read_list(issuer, uri, lists, answer.body) {
        Err(error @ ListError::NotAJwt) => match kind {
            Some(kind) => format!("content-type {}: {error}", plain(kind)),
            None => error.to_string(),
        },
        Err(error) => error.to_string(),
        Ok(_) => format!("{}, or {}", ListError::Older, ListError::NoRoom),
    }
}

fn of_metadata(facts: &Facts<'_>, issuer: usize, answer: &CallAnswer<'_>) -> String {
    let Some(issuer) = facts.runtime.config.issuers.get(issuer) else { return String::new() };
    let Ok(Value::Object(members)) = serde_json::from_slice(answer.body) else {
        return "expected a JSON object".to_owned();
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let Some(found) = text("issuer") else { return "it has no \"issuer\"".to_owned() };
    if let IssuerMatch::Exact(expected) = &issuer.matcher
        && found != expected.as_str()
    {
        return format!(
            "its \"issuer\" is {}, expected {}",
            quoted(&without_confidential_parts(found)),
            quoted(expected.as_str())
        );
    }
    match (text("jwks_uri"), &issuer.keys) {
        (None, _) => "it has no \"jwks_uri\"".to_owned(),
        (Some(uri), KeySource::Jwks { at: JwksAt::Discovery(from), .. })
            if from.https && uri.starts_with("http://") =>
        {
            "its \"jwks_uri\" isn't an https URL".to_owned()
        }
        (Some(_), _) => "its \"jwks_uri\" isn't a URL that can be asked".to_owned(),
    }
}

fn key_set(
    facts: &Facts<'_>,
    issuer: usize,
    answer: &CallAnswer<'_>,
) -> Option<Result<JwkSet, jwk_set::JwkSetError>> {
    let issuer = facts.runtime.config.issuers.get(issuer)?;
    let KeySource::Jwks { cache, .. } = &issuer.keys else { return None };
    Some(jwk_set::parse(answer.body, issuer.algorithms, cache.keys_max, cache.bytes_max))
}

/// `3 keys left out: "a": n is not base64url; "b": ...`.
fn left_out(list: &[LeftOut]) -> String {
    let one = |key: &LeftOut| {
        let kid = key.kid.as_deref().map_or_else(|| "one without kid".to_owned(), quoted);
        if let KeyError::NotBase64Url(member) = &key.why {
            return format!("{kid}: {member} is not base64url");
        }
        format!("{kid}: {}", key.why)
    };
    let named: Vec<String> = list.iter().take(KEYS_NAMED_MAX).map(one).collect();
    let more = match list.len().saturating_sub(KEYS_NAMED_MAX) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let keys = if list.len() == 1 { "key" } else { "keys" };
    format!("{} {keys} left out: {}{more}", list.len(), named.join("; "))
}

/// Says what came in the place of JSON.
fn not_json(answer: &CallAnswer<'_>) -> Option<String> {
    if answer.body.is_empty() {
        return Some("an empty body, expected JSON".to_owned());
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(answer.body).is_ok() {
        return None;
    }
    let kind = answer.headers.get("content-type").and_then(|kind| std::str::from_utf8(kind).ok());
    let kind = kind.map(|kind| plain(kind.split(';').next().unwrap_or_default().trim()));
    Some(match kind {
        Some(kind) => format!("content-type {kind}, and no JSON in it"),
        None => "no JSON, and no content-type".to_owned(),
    })
}

/// Where a redirect leads, without what may be a secret in it.
fn location(answer: &CallAnswer<'_>) -> Option<String> {
    let target = std::str::from_utf8(answer.headers.get("location")?).ok()?;
    Some(plain(&without_confidential_parts(target)))
}

/// A URL without user, password, query and fragment.
fn without_confidential_parts(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (url, rest) = url.split_at_checked(end).unwrap_or((url, ""));
    let dots = if rest.is_empty() { "" } else { "?…" };
    match url.split_once("//") {
        // Whoever writes an @ behind the query's mark hides a password that holds one.
        Some((scheme, _)) if rest.contains('@') => format!("{scheme}//…"),
        Some((scheme, after)) => match after.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}//…@{host}{dots}"),
            None => format!("{url}{dots}"),
        },
        None => format!("{url}{dots}"),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", plain(text))
}

/// Text of a server's as it can stand in a log: short, in one line, without control characters.
fn plain(text: &str) -> String {
    let mut out: String =
        text.chars().take(TEXT_MAX).flat_map(|character| character.escape_debug()).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        out.push('…');
    }
    // Quotes end no line.
    out.replace("\\'", "'").replace("\\\"", "\"")
}

/// From so many seconds on clocks differ by more than calls take and `leeway_s` usually makes up
/// for.
const CLOCKS_APART_S: u64 = 90;
/// Keys that a line names.
const KEYS_NAMED_MAX: usize = 5;
/// Characters of a server's text that a line repeats.
const TEXT_MAX: usize = 160;
