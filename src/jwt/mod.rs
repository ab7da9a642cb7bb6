//! JSON Web Tokens in the JWS compact serialization, read strictly (RFC 7515, 7519, RFC 8725).
//!
//! [`parse`] says what a token claims, not that it is true: the signature is verified by the
//! signature room, with a key of the issuer that was chosen by `iss`; [`check`] then holds the
//! claims against that issuer and the rule. Nothing in a token's own header is ever a key or the
//! address of one: `jwk`, `jku`, `x5c` and `x5u` are not read.

pub mod check;
mod claims;
pub mod demands;
mod form;
pub mod introspection;
pub mod issuer;
pub mod json;
pub mod step_up;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

pub use claims::{ClaimPath, Claims, NotADate, Rounding, date_s};
pub use form::{Form, form};

use crate::reply::Reason;
use crate::signature::Algorithm;

/// The most bytes of a token. There is no other bound on its segments: a header may hold a chain of
/// certificates, and a signature of ML-DSA-87 alone takes 6,170.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The most bytes of a `kid`.
pub const KID_BYTES_MAX: usize = 512;

/// A token, read but not yet believed.
pub struct Jwt<'a> {
    /// `alg`.
    pub algorithm: Algorithm,
    /// `kid`, at most [`KID_BYTES_MAX`] bytes; an empty one names no key.
    pub kid: Option<String>,
    /// `typ` as written.
    pub typ: Option<String>,
    /// What is signed: header and payload segment with the dot between (RFC 7515, section 5.2).
    pub signed: &'a [u8],
    /// All of it.
    pub whole: &'a [u8],
    /// The signature, decoded; never empty.
    pub signature: Vec<u8>,
    /// The payload segment as sent.
    pub payload_segment: &'a [u8],
    /// The claims.
    pub claims: Claims,
}

impl std::fmt::Debug for Jwt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwt(..)")
    }
}

/// Reads a token. There is one spelling of each segment (base64url without padding, no stray
/// bits), and one reading of header and claims ([`json::object`]).
///
/// # Errors
/// [`Reason::Critical`] if the header has `crit`, `b64` or `zip` at all: this filter understands
/// no extension. [`Reason::Algorithm`] for `none` and algorithms that it doesn't know.
/// [`Reason::Malformed`] for everything else, an empty signature included.
pub fn parse(token: &[u8]) -> Result<Jwt<'_>, Reason> {
    let (jwt, payload) = parse_document(token, TOKEN_BYTES_MAX)?;
    let claims = Claims::from_map(json::object(&payload).map_err(|_| Reason::Malformed)?)?;
    Ok(Jwt { claims, ..jwt })
}

/// Reads a JWS of at most `bytes_max` bytes that is no token: its payload is a document of its own,
/// and here without claims.
///
/// # Errors
/// As [`parse`], but for the payload.
pub fn parse_document(jws: &[u8], bytes_max: usize) -> Result<(Jwt<'_>, Vec<u8>), Reason> {
    if jws.len() > bytes_max {
        return Err(Reason::Malformed);
    }
    let (signed, signature) = split_last_dot(jws)?;
    let (header, payload_segment) = split_last_dot(signed)?;
    // A third dot would be in the header's segment, where base64url refuses it.
    let Header { algorithm, kid, typ } = Header::parse(&decode(header)?)?;
    let payload = decode(payload_segment)?;
    let signature = decode(signature)?;
    let claims = Claims::from_map(serde_json::Map::new())?;
    Ok((
        Jwt { algorithm, kid, typ, signed, whole: jws, signature, payload_segment, claims },
        payload,
    ))
}

/// What is signed of a token that [`parse`] has read.
pub fn signed(token: &[u8]) -> &[u8] {
    split_last_dot(token).map_or(token, |(signed, _)| signed)
}

struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, Reason> {
        let mut members = json::object(bytes).map_err(|_| Reason::Malformed)?;
        // RFC 7515, section 4.1.11: an extension that isn't understood makes the token invalid.
        // `b64` (RFC 7797) and `zip` change what is signed or read, so they count without `crit`.
        if ["crit", "b64", "zip"].iter().any(|name| members.contains_key(*name)) {
            return Err(Reason::Critical);
        }
        let algorithm = match members.get("alg") {
            Some(Value::String(name)) => Algorithm::parse(name).ok_or(Reason::Algorithm)?,
            _ => return Err(Reason::Malformed),
        };
        // Some write `null` where they have nothing to say.
        if members.get("typ").is_some_and(Value::is_null) {
            members.remove("typ");
        }
        let mut text = |name: &str| match members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Reason::Malformed),
        };
        let kid = text("kid")?.filter(|kid| !kid.is_empty());
        let typ = text("typ")?;
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return Err(Reason::Malformed);
        }
        Ok(Header { algorithm, kid, typ })
    }
}

fn split_last_dot(bytes: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let dot = last_dot(bytes).ok_or(Reason::Malformed)?;
    let (before, from) = bytes.split_at_checked(dot).ok_or(Reason::Malformed)?;
    Ok((before, from.get(1..).unwrap_or_default()))
}

/// Where the last dot is. A signature is long and has none, so eight bytes are looked at in one go.
fn last_dot(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 0xff;
    let in_each = |byte: u8| EACH * u64::from(byte);
    let (first, words) = bytes.as_rchunks::<8>();
    for (number, word) in words.iter().enumerate().rev() {
        // A byte is zero where a dot is; taking one from each borrows from a zero byte alone.
        let zeros = u64::from_le_bytes(*word) ^ in_each(b'.');
        if zeros.wrapping_sub(EACH) & !zeros & in_each(0x80) != 0 {
            let within = word.iter().rposition(|byte| *byte == b'.')?;
            return Some(first.len() + 8 * number + within);
        }
    }
    first.iter().rposition(|byte| *byte == b'.')
}

/// RFC 7515, section 2: base64url, all trailing `=` omitted. The engine refuses padding, other
/// alphabets, and last characters whose unused bits aren't zero; an empty segment is refused here.
fn decode(segment: &[u8]) -> Result<Vec<u8>, Reason> {
    if segment.is_empty() {
        return Err(Reason::Malformed);
    }
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Reason::Malformed)
}
