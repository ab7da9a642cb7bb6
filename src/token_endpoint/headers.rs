//! Request headers of a token call: which forbid sharing an answer, and which shape it.

use crate::sort;
use crate::token_endpoint::TokenEndpoint;

use super::freshness::{self, Demand};
use super::request::Why;
use super::{connection, forwarded, media};

/// What the headers say.
#[derive(Default)]
pub(super) struct Survey<'a> {
    /// The `Content-Type`, if there is one.
    pub content_type: Option<&'a [u8]>,
    /// The `Authorization`, if there is one.
    pub authorization: Option<&'a [u8]>,
    /// `Authorization` came more than once.
    pub authorization_twice: bool,
    /// The first header that forbids sharing.
    pub forbids: Option<Why>,
    /// How fresh a kept answer must be.
    pub demand: Demand,
    /// Lower-case names and values of the headers that may shape the answer, sorted by name;
    /// several of one name keep their order.
    pub shaping: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Looks at each header once.
pub(super) fn survey<'a>(
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    endpoint: &TokenEndpoint,
) -> Survey<'a> {
    let mut seen = Survey::default();
    let (mut accept, mut forwarded) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        match name.as_slice() {
            b"content-type" if seen.content_type.is_some() => forbid(&mut seen, Why::ContentType),
            b"content-type" => seen.content_type = Some(value),
            b"authorization" if seen.authorization.is_some() => seen.authorization_twice = true,
            b"authorization" => seen.authorization = Some(value),
            b"accept" => {
                accept.push(value);
                if !media::asks_for_plain_json(value) {
                    seen.shaping.push((name, value.to_vec()));
                }
            }
            b"forwarded" => forwarded.push(value),
            b"content-encoding" => forbid(&mut seen, Why::ContentEncoding),
            b"cache-control" => {
                if let Err(why) = seen.demand.read(value) {
                    forbid(&mut seen, why);
                }
            }
            b"pragma" if freshness::is_no_cache(value) => forbid(&mut seen, Why::Bypass),
            // A proof covers one request (RFC 9449, section 4; RFC 9421), an idempotency key one
            // call.
            b"dpop" | b"signature" | b"signature-input" | b"idempotency-key" => {
                forbid(&mut seen, Why::Proof)
            }
            // The answer would need CORS headers of its own, which aren't stored.
            b"origin" => forbid(&mut seen, Why::Origin),
            b"range" | b"expect" | b"upgrade" => forbid(&mut seen, Why::Conditional),
            _ if name.starts_with(b"if-") => forbid(&mut seen, Why::Conditional),
            _ if is_certificate(&name) => forbid(&mut seen, Why::Certificate),
            _ if is_passed_over(&name, endpoint) => {}
            _ => seen.shaping.push((name, value.to_vec())),
        }
    }
    if let Some(parts) = forwarded::shaping(&forwarded).filter(|_| !forwarded.is_empty()) {
        seen.shaping.push((b"forwarded".to_vec(), parts));
    }
    if !media::accepts_json(accept) {
        forbid(&mut seen, Why::Accept);
    }
    sort::owned_by(&mut seen.shaping, |one, other| one.0 < other.0);
    seen
}

/// The first reason counts, but the wish for a fresh answer only where nothing else stands in the
/// way.
fn forbid(seen: &mut Survey<'_>, why: Why) {
    match seen.forbids {
        None | Some(Why::Bypass) => seen.forbids = Some(why),
        Some(_) => {}
    }
}

/// Headers in which a proxy tells of the client's certificate (RFC 9440 and its many forerunners),
/// in either spelling of the dash.
pub(super) fn is_certificate(name: &[u8]) -> bool {
    let dashed: Vec<u8> =
        name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    ["client-cert", "clientcert", "ssl-client", "ssl-cert", "tls-client", "tls-cert", "mtls"]
        .iter()
        .any(|part| dashed.windows(part.len()).any(|window| window == part.as_bytes()))
}

/// Whether the key tells requests apart by this header, its name in lower case, or all requests
/// that share a key are alike in it.
pub(super) fn is_told_apart(name: &[u8], endpoint: &TokenEndpoint) -> bool {
    let is_name = !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(byte));
    match name {
        // Goes up as `identity` or not at all.
        b"accept-encoding" => true,
        // In the key apart.
        b"host" => true,
        // In the key in parts.
        b"forwarded" => false,
        _ => is_name && !is_passed_over(name, endpoint),
    }
}

/// Headers on which no answer is taken to depend.
fn is_passed_over(name: &[u8], endpoint: &TokenEndpoint) -> bool {
    connection::tells_of(name) || endpoint.ignore_headers.iter().any(|one| one.as_bytes() == name)
}
