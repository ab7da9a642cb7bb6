//! Reason to status, challenge and body, in three dialects: the only such place.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod reason;
#[cfg(test)]
mod tests;

pub use reason::Reason;

use serde_json::json;

/// The dialect of refusals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorStyle {
    /// RFC 6749 and 6750 JSON.
    Oauth,
    /// What Kong's jwt, oauth2 and rate-limiting plugins answer.
    Kong,
    /// RFC 9457.
    Problem,
}

/// What happens when a count can't be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureMode {
    /// The request is refused.
    Deny,
    /// The request goes on.
    Allow,
}

/// A refusal with everything that its answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What it is refused for.
    pub reason: Reason,
    /// The scopes that would do, space-separated, for `insufficient_scope`. From the configuration.
    pub scope: String,
    /// Seconds until another try makes sense, for 429 and 503.
    pub retry_after_s: Option<u64>,
    /// Headers of limits (`RateLimit`, `RateLimit-Policy`, Kong's own).
    pub limit_headers: Vec<(String, String)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal { reason, scope: String::new(), retry_after_s: None, limit_headers: Vec::new() }
    }
}

/// Where the refused request was going, as far as the answer depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// A token endpoint: RFC 6749, section 5.2, and no challenge of the Bearer scheme.
    pub token_endpoint: bool,
    /// `application/grpc`: the body is the plain description.
    pub grpc: bool,
}

/// An answer of our own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers in lower case, except where a dialect's users know another spelling.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer to a refusal. `realm` is free of `"` and `\` (the configuration's check).
pub fn answer(refusal: &Refusal, style: ErrorStyle, realm: &str, place: Place) -> Answer {
    let reason = refusal.reason;
    let mut headers = vec![("cache-control".to_owned(), "no-store".to_owned())];
    if let Some(challenge) = challenge(refusal, style, realm, place) {
        headers.push(("www-authenticate".to_owned(), challenge));
    }
    if let Some(seconds) = refusal.retry_after_s {
        headers.push(("retry-after".to_owned(), seconds.max(1).to_string()));
    }
    headers.extend(refusal.limit_headers.iter().cloned());
    let status = status(reason, style);
    let (content_type, body) = match (place.grpc, style) {
        (true, _) => ("text/plain", reason.description().to_owned()),
        (false, ErrorStyle::Oauth) => ("application/json", oauth_body(refusal)),
        (false, ErrorStyle::Kong) => ("application/json; charset=utf-8", kong_body(reason)),
        (false, ErrorStyle::Problem) => ("application/problem+json", problem_body(refusal, status)),
    };
    headers.push(("content-type".to_owned(), content_type.to_owned()));
    Answer { status, headers, body: body.into_bytes() }
}

/// Kong's jwt plugin answers 401 where RFC 6750 has 400 or 403.
fn status(reason: Reason, style: ErrorStyle) -> u16 {
    match style {
        ErrorStyle::Kong if matches!(reason, Reason::TwoTokens | Reason::MalformedRequest) => 401,
        ErrorStyle::Kong | ErrorStyle::Oauth | ErrorStyle::Problem => reason.status(),
    }
}

/// RFC 6750, section 3; RFC 9110, section 11.6.1: a 401 carries a challenge.
fn challenge(refusal: &Refusal, style: ErrorStyle, realm: &str, place: Place) -> Option<String> {
    let reason = refusal.reason;
    let status = status(reason, style);
    let challenged = status == 401 || (matches!(status, 400 | 403) && reason.code().is_some());
    if place.token_endpoint || !challenged {
        return None;
    }
    let mut text = format!("Bearer realm=\"{realm}\"");
    if let Some(code) = reason.code() {
        text.push_str(&format!(
            ", error=\"{code}\", error_description=\"{}\"",
            reason.description()
        ));
    }
    if reason == Reason::Scope && !refusal.scope.is_empty() {
        text.push_str(&format!(", scope=\"{}\"", refusal.scope));
    }
    Some(text)
}

fn oauth_body(refusal: &Refusal) -> String {
    let description = refusal.reason.description();
    // RFC 6750, section 3.1: without credentials there is no error code, in the body neither.
    match refusal.reason.code() {
        Some(code) => json!({ "error": code, "error_description": description }),
        None => json!({ "message": description }),
    }
    .to_string()
}

fn problem_body(refusal: &Refusal, status: u16) -> String {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    json!({ "type": "about:blank", "title": title, "status": status, "detail": refusal.reason.description() }).to_string()
}

fn kong_body(reason: Reason) -> String {
    let (member, message) = reason.kong();
    json!({ member: message }).to_string()
}
