//! Reason to status, challenge and body, in three dialects: the only such place.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod metadata;
mod reason;
#[cfg(test)]
mod tests;
mod why;

pub use metadata::{Asked, Metadata};
pub use reason::Reason;
pub use why::{Judged, Why};

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
    /// The scopes that would do, space-separated, for `insufficient_scope`, and beside
    /// `insufficient_user_authentication` where some are missing too. From the configuration.
    pub scope: Box<str>,
    /// The `acr` values that would do, space-separated (RFC 9470, section 3). From the
    /// configuration.
    pub acr_values: Box<str>,
    /// Seconds since the last login at most.
    pub max_age_s: Option<u32>,
    /// Where the metadata of the resource is (RFC 9728, section 5.1). From the configuration.
    pub resource_metadata: Option<Box<str>>,
    /// Seconds until another try makes sense, for 429 and 503.
    pub retry_after_s: Option<u64>,
    /// Headers of limits (`RateLimit`, `RateLimit-Policy`, Kong's own).
    pub limit_headers: Vec<(String, String)>,
    /// What is said of the DPoP scheme, where it would do or was used.
    pub dpop: Option<Box<DpopChallenge>>,
    /// Whose token it was, where that was read on the way: for logs.
    pub claimed: Option<Box<Claimed>>,
}

/// Whose a token is, as it claims and whether or not that is true.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claimed {
    /// The issuer that answers for it, by its place.
    pub issuer: Option<usize>,
    /// A keyed hash of issuer and subject.
    pub subject: Option<String>,
}

/// What a challenge says of the DPoP scheme (RFC 9449, section 7.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DpopChallenge {
    /// Names of the algorithms of proofs, separated by spaces. From the configuration.
    pub algorithms: String,
    /// Whether the Bearer scheme would do as well.
    pub bearer: bool,
    /// Whether it is the proof that is refused, and not the token.
    pub is_of_proof: bool,
    /// The nonce for the next proof.
    pub nonce: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal {
            reason,
            scope: Box::default(),
            acr_values: Box::default(),
            max_age_s: None,
            resource_metadata: None,
            retry_after_s: None,
            limit_headers: Vec::new(),
            dpop: None,
            claimed: None,
        }
    }
}

impl Refusal {
    /// The error code of the answer, where there is one.
    fn code(&self) -> Option<&'static str> {
        match &self.dpop {
            Some(dpop) if dpop.is_of_proof => Reason::Proof.code(),
            _ => self.reason.code(),
        }
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
    /// What it is called in the host's access log, after `herdgate_`: a reason's name, or what a
    /// token call was served from.
    pub details: &'static str,
    /// What logs are told of the request, where it was refused.
    pub why: Option<Box<Why>>,
}

/// The answer to a refusal. `realm` is free of `"` and `\` (the configuration's check).
pub fn answer(refusal: &Refusal, style: ErrorStyle, realm: &str, place: Place) -> Answer {
    let reason = refusal.reason;
    let mut headers = vec![("cache-control".to_owned(), "no-store".to_owned())];
    // A script sees no other header of an answer from elsewhere (Fetch standard, section 3.3).
    let mut exposed = "";
    if let Some(challenge) = challenge(refusal, style, realm, place) {
        headers.push(("www-authenticate".to_owned(), challenge));
        if refusal.resource_metadata.is_some() {
            exposed = "WWW-Authenticate";
        }
    }
    if let Some(seconds) = refusal.retry_after_s {
        headers.push(("retry-after".to_owned(), seconds.max(1).to_string()));
    }
    headers.extend(refusal.limit_headers.iter().cloned());
    if let Some(nonce) = refusal.dpop.as_ref().and_then(|dpop| dpop.nonce.clone()) {
        headers.push(("dpop-nonce".to_owned(), nonce));
        exposed = "DPoP-Nonce, WWW-Authenticate";
    }
    if !exposed.is_empty() {
        headers.push(("access-control-expose-headers".to_owned(), exposed.to_owned()));
    }
    let status = status(reason, style);
    let (content_type, body) = match (place.grpc, style) {
        (true, _) => ("text/plain", reason.description().to_owned()),
        (false, ErrorStyle::Oauth) => ("application/json", oauth_body(refusal)),
        (false, ErrorStyle::Kong) => ("application/json; charset=utf-8", kong_body(reason)),
        (false, ErrorStyle::Problem) => ("application/problem+json", problem_body(refusal, status)),
    };
    headers.push(("content-type".to_owned(), content_type.to_owned()));
    Answer { status, headers, body: body.into_bytes(), details: reason.name(), why: None }
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
    let challenged = status == 401 || (matches!(status, 400 | 403) && refusal.code().is_some());
    if place.token_endpoint || !challenged {
        return None;
    }
    let mut text = match &refusal.dpop {
        None => format!("Bearer realm=\"{realm}\""),
        Some(dpop) => format!("DPoP algs=\"{}\"", dpop.algorithms),
    };
    let mut say = |name: &str, value: &str| {
        [", ", name, "=\"", value, "\""].iter().for_each(|part| text.push_str(part));
    };
    if let Some(code) = refusal.code() {
        say("error", code);
        say("error_description", reason.description());
    }
    if matches!(reason, Reason::Scope | Reason::Authentication) && !refusal.scope.is_empty() {
        say("scope", &refusal.scope);
    }
    if !refusal.acr_values.is_empty() {
        say("acr_values", &refusal.acr_values);
    }
    if let Some(max_age_s) = refusal.max_age_s {
        say("max_age", &max_age_s.to_string());
    }
    let metadata = refusal.resource_metadata.as_ref();
    let metadata = metadata.map_or_else(String::new, |at| format!(", resource_metadata=\"{at}\""));
    text.push_str(&metadata);
    // One field with both, since not every host sets one twice.
    if refusal.dpop.as_ref().is_some_and(|dpop| dpop.bearer) {
        text = format!("Bearer realm=\"{realm}\"{metadata}, {text}");
    }
    Some(text)
}

fn oauth_body(refusal: &Refusal) -> String {
    let description = refusal.reason.description();
    // RFC 6750, section 3.1: without credentials there is no error code, in the body neither.
    match refusal.code() {
        Some(code) => object(&[("error", code), ("error_description", description)]),
        None => object(&[("message", description)]),
    }
}

fn problem_body(refusal: &Refusal, status: u16) -> String {
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        _ => "Service Unavailable",
    };
    // In the order of the alphabet, which serde_json gives them anyway unless some other crate of the
    // build asks it to keep theirs.
    json!({ "detail": refusal.reason.description(), "status": status, "title": title, "type": "about:blank" }).to_string()
}

fn kong_body(reason: Reason) -> String {
    let (member, message) = reason.kong();
    object(&[(member, message)])
}

/// A JSON object of texts of ours, none of which has a character that is escaped (a test holds
/// that): a tree and a writer for it would cost a refusal more than all the rest of its answer.
fn object(members: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(160);
    for (index, (name, value)) in members.iter().enumerate() {
        let before = if index == 0 { "{\"" } else { ",\"" };
        [before, name, "\":\"", value, "\""].iter().for_each(|part| text.push_str(part));
    }
    text.push('}');
    text
}
