//! What came back from a token endpoint: whether it may be kept (RFC 6749, section 5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::jwt::{NotADate, Rounding, date_s};
use crate::token_endpoint::TokenEndpoint;

use super::members::Object;
use super::spans::Span;
use super::{integrity, media, vary};

/// The longest lifetime that is believed: ten years.
pub const EXPIRES_IN_S_MAX: u64 = 315_360_000;

/// An answer, judged.
#[derive(Debug)]
pub enum Answer {
    /// It may be served again.
    Storable(Storable),
    /// A refusal that would come again: it may be served for `negative_ttl_s`.
    Negative,
    /// It goes to this client alone.
    NotStored(NotStored),
}

impl Answer {
    /// Whether what is stored under the request's key must go now: the server refuses these very
    /// credentials (a rotated secret), whether or not its refusal can be kept.
    pub fn purges(&self, status: u16) -> bool {
        status == 401 || matches!(self, Answer::Negative)
    }

    /// Whether the server refuses the client itself, so that all that is stored for its secret must
    /// go.
    pub fn refuses_client(&self, status: u16, body: &[u8]) -> bool {
        let error = || Object::read(body)?.string("error").ok()?;
        status == 401
            || (matches!(self, Answer::Negative) && error().as_deref() == Some("invalid_client"))
    }
}

/// What is needed to serve an answer again.
pub struct Storable {
    /// Seconds, as the server says.
    pub expires_in_s: u64,
    /// `exp` of the access token if it is a JWT, in seconds since the epoch, rounded down.
    pub jwt_exp_s: Option<u64>,
    /// The access token, to be named in [`super::revocation::token_handle`].
    pub(super) access_token: String,
}

impl std::fmt::Debug for Storable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storable").field("expires_in_s", &self.expires_in_s).finish_non_exhaustive()
    }
}

/// Why an answer isn't kept. Each has one metric name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum NotStored {
    /// It may have been cut off.
    Incomplete,
    /// Neither 200 nor a refusal that is kept.
    Status,
    /// Over `answer_bytes_max`.
    TooLarge,
    /// Not `application/json` in UTF-8, two types, or one too long.
    ContentType,
    /// Content-Encoding, a Vary by what isn't in the key, no-transform, or another header that
    /// belongs to one client.
    Header,
    /// Not one JSON object to the last byte, or a member twice.
    Json,
    /// `error` in a 200, or no error in a refusal, or one that may be gone next time.
    Error,
    /// No access token, or not a bearer token (RFC 6750).
    NotBearer,
    /// No lifetime and no `default_lifetime_s`, one that isn't from a second to ten years, or one
    /// too short to be served again.
    Lifetime,
    /// A refresh token or an id token, which belong to one client and one moment.
    Personal,
    /// A JWT whose `exp` can't be read, or one bound to a key or certificate (RFC 7800).
    Jwt,
}

impl NotStored {
    /// The last part of the metric's name.
    pub fn name(self) -> &'static str {
        match self {
            NotStored::Incomplete => "incomplete",
            NotStored::Status => "status",
            NotStored::TooLarge => "too_large",
            NotStored::ContentType => "content_type",
            NotStored::Header => "header",
            NotStored::Json => "json",
            NotStored::Error => "error",
            NotStored::NotBearer => "not_bearer",
            NotStored::Lifetime => "lifetime",
            NotStored::Personal => "personal",
            NotStored::Jwt => "jwt",
        }
    }
}

/// Judges an answer. `complete` is the host's rule for "all of it came". It doesn't look at the
/// request: only what [`Class::Reusable`](super::request::Class) asked for may be kept.
pub fn analyse<'a>(
    status: u16,
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    body: &[u8],
    complete: bool,
    endpoint: &TokenEndpoint,
) -> Answer {
    let judged = match (complete, status) {
        (false, _) => Err(NotStored::Incomplete),
        (true, 200) => check_outside(headers, body, endpoint)
            .and_then(|object| token(&object, endpoint))
            .map(Answer::Storable),
        (true, 400 | 401) => {
            check_outside(headers, body, endpoint).and_then(|object| refusal(&object, endpoint))
        }
        (true, _) => Err(NotStored::Status),
    };
    judged.unwrap_or_else(Answer::NotStored)
}

fn check_outside<'a, 'b>(
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    body: &'b [u8],
    endpoint: &TokenEndpoint,
) -> Result<Object<'b>, NotStored> {
    if body.len() > endpoint.answer_bytes_max {
        return Err(NotStored::TooLarge);
    }
    let mut content_type = None;
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let fits = match name.as_slice() {
            b"content-type" => {
                if content_type.replace(value).is_some() {
                    return Err(NotStored::ContentType);
                }
                true
            }
            b"content-encoding" => value.eq_ignore_ascii_case(b"identity"),
            b"vary" => vary::is_told_apart(value, endpoint),
            // Only body and type are kept; a cookie is for the one client that gets the answer
            // itself.
            b"set-cookie" | b"set-cookie2" => endpoint.keep_with_cookies,
            b"content-range" | b"dpop-nonce" | b"retry-after" | b"authentication-info" => false,
            _ => !integrity::forbids_keeping(&name, value),
        };
        if !fits {
            return Err(NotStored::Header);
        }
    }
    if !content_type.is_some_and(|value| media::is(value, "application/json")) {
        return Err(NotStored::ContentType);
    }
    Object::read(body).ok_or(NotStored::Json)
}

/// A successful answer (RFC 6749, section 5.1).
fn token(object: &Object<'_>, endpoint: &TokenEndpoint) -> Result<Storable, NotStored> {
    if object.present("error").is_some() {
        return Err(NotStored::Error);
    }
    if object.present("refresh_token").is_some() || object.present("id_token").is_some() {
        return Err(NotStored::Personal);
    }
    let access_token =
        object.string("access_token").ok().flatten().filter(|token| !token.is_empty());
    let token_type = object.string("token_type").ok().flatten();
    let (Some(access_token), Some(true)) =
        (access_token, token_type.map(|t| t.eq_ignore_ascii_case("bearer")))
    else {
        return Err(NotStored::NotBearer);
    };
    let said = object
        .present("expires_in")
        .map(|text| lifetime_s(text).ok_or(NotStored::Lifetime))
        .transpose()?;
    let jwt = Jwt::read(&access_token).map_err(|NotClear| NotStored::Jwt)?;
    if jwt.is_bound {
        return Err(NotStored::Jwt);
    }
    let expires_in_s = match (said, jwt.exp_s) {
        (Some(said), _) => said,
        // The token says itself when it ends, and that is never passed.
        (None, Some(_)) => EXPIRES_IN_S_MAX,
        (None, None) => endpoint.default_lifetime_s.ok_or(NotStored::Lifetime)?,
    };
    Ok(Storable { expires_in_s, jwt_exp_s: jwt.exp_s, access_token })
}

/// A refusal (RFC 6749, section 5.2) that the same request would meet again. Not among them:
/// `invalid_grant` (a grant may become good), whatever asks to come back, and every 5xx.
fn refusal(object: &Object<'_>, endpoint: &TokenEndpoint) -> Result<Answer, NotStored> {
    const LASTING: &[&str] = &[
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ];
    let error = object.string("error").ok().flatten().ok_or(NotStored::Error)?;
    let lasting = LASTING.contains(&error.as_str());
    if lasting && object.present("access_token").is_none() && endpoint.negative_ttl_s > 0 {
        Ok(Answer::Negative)
    } else {
        Err(NotStored::Error)
    }
}

/// The JSON text of `expires_in` in whole seconds, from 1 to [`EXPIRES_IN_S_MAX`].
pub(super) fn lifetime_s(text: &str) -> Option<u64> {
    Span::read(text)
        .map(|span| span.seconds)
        .filter(|seconds| (1..=EXPIRES_IN_S_MAX).contains(seconds))
}

/// What an access token says of itself, if it is a JWT. It isn't verified: it can only shorten.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Jwt {
    /// `exp` in seconds since the epoch, rounded down.
    pub exp_s: Option<u64>,
    /// Whether it has `cnf`: it is good for the holder of a key alone (RFC 7800, RFC 8705, RFC
    /// 9449).
    pub is_bound: bool,
}

/// It has the shape of a JWT, but its claims can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotClear;

impl Jwt {
    /// Reads a token; one that isn't a JWT says nothing.
    pub fn read(access_token: &str) -> Result<Jwt, NotClear> {
        let mut segments = access_token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Ok(Jwt::default());
        };
        let decode = |segment: &str| URL_SAFE_NO_PAD.decode(segment).ok();
        let Some(header) = decode(header) else { return Ok(Jwt::default()) };
        if Object::read(&header).is_none() {
            return Ok(Jwt::default());
        }
        let payload = decode(payload).ok_or(NotClear)?;
        let claims = Object::read(&payload).ok_or(NotClear)?;
        let exp_s = claims.get("exp").map(numeric_date_s).transpose()?;
        Ok(Jwt { exp_s, is_bound: claims.get("cnf").is_some() })
    }
}

/// The date that a token's own reader would read, rounded down.
fn numeric_date_s(text: &str) -> Result<u64, NotClear> {
    let value = serde_json::from_str(text).map_err(|_| NotClear)?;
    date_s(&value, Rounding::Down).map_err(|NotADate| NotClear)
}

#[cfg(test)]
mod tests;
