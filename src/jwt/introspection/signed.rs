//! Signed answers (RFC 9701): a JWT by which the authorization server tells this gateway, and nobody
//! else, what a token means. Whose signature it is, is looked at by whoever has the keys.

use std::fmt;

use serde_json::{Map, Value};

use super::Told;
use crate::jwt::{self, Jwt, check};
use crate::time::Time;

/// What the filter says that it takes (RFC 9701, section 4).
pub const MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// Who may say it, to whom, and when.
pub struct Expected<'a> {
    /// The issuer.
    pub iss: &'a str,
    /// The filter's own client id.
    pub client_id: &'a str,
    /// The present moment.
    pub now: Time,
    /// Seconds by which `iat` may lie ahead.
    pub ahead_s: u64,
    /// Seconds by which it may lie back. Nothing in an answer names the token that was asked about,
    /// so an old one could be of another time.
    pub back_s: u64,
}

/// An answer whose signature is still to be verified.
pub struct Signed<'a> {
    /// The JWT.
    pub jwt: Jwt<'a>,
    /// Its `token_introspection`.
    members: Map<String, Value>,
}

impl Signed<'_> {
    /// What it says, and the bytes from which [`super::read`] reads the same; nothing if it says
    /// nothing.
    pub fn told(self) -> Option<(Told, Vec<u8>)> {
        let body = serde_json::to_vec(&self.members).ok()?;
        Some((super::told(self.members)?, body))
    }
}

/// Why something isn't such an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSigned {
    /// It is no JWT, or one with an algorithm that there isn't.
    NotAJwt,
    /// `typ` says something else.
    Type,
    /// Another issuer's.
    Issuer,
    /// For somebody else.
    Audience,
    /// Not of this time.
    Time,
    /// There is no `token_introspection` with a boolean `active`.
    Members,
    /// No key of the issuer, with one of its algorithms, verifies it.
    Signature,
}

impl fmt::Display for NotSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotSigned::NotAJwt => "no JWT (RFC 9701), though \"response\" says so",
            NotSigned::Type => "its \"typ\" isn't token-introspection+jwt",
            NotSigned::Issuer => "its \"iss\" isn't the issuer",
            NotSigned::Audience => "its \"aud\" isn't client_id",
            NotSigned::Time => "its \"iat\" is absent or isn't of this time",
            NotSigned::Members => "it has no \"token_introspection\" with a boolean \"active\"",
            NotSigned::Signature => "no key of the issuer verifies it",
        })
    }
}

/// Reads an answer (RFC 9701, section 5).
///
/// # Errors
/// What is wrong with it, but for the signature.
pub fn read<'a>(body: &'a [u8], expected: &Expected<'_>) -> Result<Signed<'a>, NotSigned> {
    let mut jwt = jwt::parse(body.trim_ascii()).map_err(|_| NotSigned::NotAJwt)?;
    // An access token of the issuer has another `typ` (RFC 8725, section 3.11).
    if !jwt.typ.as_deref().is_some_and(|typ| check::is_media_type(typ, MEDIA_TYPE)) {
        return Err(NotSigned::Type);
    }
    let claims = &jwt.claims;
    if claims.iss.as_deref() != Some(expected.iss) {
        return Err(NotSigned::Issuer);
    }
    if !claims.aud.iter().any(|aud| aud == expected.client_id) {
        return Err(NotSigned::Audience);
    }
    let now_s = expected.now.s();
    let is_of_now = claims.iat.is_some_and(|iat| {
        iat <= now_s.saturating_add(expected.ahead_s)
            && now_s <= iat.saturating_add(expected.back_s)
    });
    // `exp` and `nbf` needn't be there; who sets them means them.
    let is_in_time = claims.exp.is_none_or(|exp| now_s < exp)
        && claims.nbf.is_none_or(|nbf| nbf <= now_s.saturating_add(expected.ahead_s));
    if !is_of_now || !is_in_time {
        return Err(NotSigned::Time);
    }
    match jwt.claims.raw.remove("token_introspection") {
        Some(Value::Object(members)) if members.get("active").is_some_and(Value::is_boolean) => {
            Ok(Signed { jwt, members })
        }
        _ => Err(NotSigned::Members),
    }
}

#[cfg(test)]
mod tests;
