//! Request headers of a token call: which forbid sharing an answer, and which shape it.

use super::media;
use super::request::Why;

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
    /// Whether there is another beside a wish for a fresh answer.
    pub forbids_more: bool,
    /// Whether the client wants its answer kept nowhere (RFC 9111, section 5.2.1.5).
    pub forbids_keeping: bool,
    /// Lower-case names and values of the headers that may shape the answer, sorted by name; several
    /// of one name keep their order.
    pub shaping: Vec<(Vec<u8>, &'a [u8])>,
}

/// Looks at each header once.
pub(super) fn survey<'a>(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Survey<'a> {
    let mut seen = Survey::default();
    let mut accept = Vec::new();
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
                    seen.shaping.push((name, value));
                }
            }
            b"content-encoding" => forbid(&mut seen, Why::ContentEncoding),
            // RFC 9111, sections 5.2.1 and 5.4: the client wants a fresh answer, or none that is kept.
            b"cache-control" => {
                seen.forbids_keeping |= !media::all_elements(value, |directive| !directive.eq_ignore_ascii_case("no-store"));
                if !media::all_elements(value, |directive| {
                    !["no-cache", "no-store", "max-age=0"].iter().any(|one| directive.eq_ignore_ascii_case(one))
                }) {
                    forbid(&mut seen, Why::Bypass);
                }
            }
            b"pragma" => {
                if !media::all_elements(value, |directive| !directive.eq_ignore_ascii_case("no-cache")) {
                    forbid(&mut seen, Why::Bypass);
                }
            }
            // A proof covers one request (RFC 9449, section 4; RFC 9421), an idempotency key one call.
            b"dpop" | b"signature" | b"signature-input" | b"idempotency-key" => forbid(&mut seen, Why::Proof),
            // The answer would need CORS headers of its own, which aren't stored.
            b"origin" => forbid(&mut seen, Why::Origin),
            b"range" | b"expect" | b"upgrade" => forbid(&mut seen, Why::Conditional),
            _ if name.starts_with(b"if-") => forbid(&mut seen, Why::Conditional),
            _ if is_certificate(&name) => forbid(&mut seen, Why::Certificate),
            _ if is_of_the_connection(&name) => {}
            _ => seen.shaping.push((name, value)),
        }
    }
    if !media::accepts_json(accept) {
        forbid(&mut seen, Why::Accept);
    }
    seen.shaping.sort_by(|one, other| one.0.cmp(&other.0));
    seen
}

fn forbid(seen: &mut Survey<'_>, why: Why) {
    seen.forbids_more |= why != Why::Bypass;
    seen.forbids.get_or_insert(why);
}

/// Headers in which a proxy tells of the client's certificate (RFC 9440 and its many forerunners),
/// in either spelling of the dash.
fn is_certificate(name: &[u8]) -> bool {
    let dashed: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
    ["client-cert", "clientcert", "ssl-client", "ssl-cert", "tls-client", "tls-cert", "mtls"]
        .iter()
        .any(|part| dashed.windows(part.len()).any(|window| window == part.as_bytes()))
}

/// Headers that tell of the connection, the trace or the sending program. No answer is taken to
/// depend on them; on every other header it may (a tenant, a language, `X-Forwarded-Host`), so those
/// are part of its key. Pseudo-headers are the caller's, who gives host and path apart.
fn is_of_the_connection(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "host",
        "user-agent",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "connection",
        "keep-alive",
        "proxy-connection",
        "accept-encoding",
        "cache-control",
        "pragma",
        "date",
        "via",
        "dnt",
        "priority",
        "referer",
        "from",
        "max-forwards",
        "baggage",
        "traceparent",
        "tracestate",
        "b3",
        "sentry-trace",
        "uber-trace-id",
        "elastic-apm-traceparent",
        "newrelic",
        "request-id",
        "correlation-id",
        "x-request-id",
        "x-correlation-id",
        "x-request-start",
        "x-trace-id",
        "x-transaction-id",
        "x-amzn-trace-id",
        "x-cloud-trace-context",
        "x-client-trace-id",
        "x-ms-client-request-id",
        "client-request-id",
        "return-client-request-id",
        "x-forwarded-for",
        "x-real-ip",
        "x-ot-span-context",
        "x-client-sku",
        "x-client-ver",
        "x-client-os",
        "x-client-cpu",
        "x-envoy-external-address",
        "x-envoy-internal",
        "x-envoy-attempt-count",
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-force-trace",
        "x-envoy-decorator-operation",
        "x-envoy-peer-metadata",
        "x-envoy-peer-metadata-id",
        "x-envoy-original-path",
    ];
    const PREFIXES: &[&str] = &[":", "x-b3-", "x-datadog-", "sec-fetch-", "sec-ch-", "ot-tracer-"];
    NAMES.iter().any(|one| one.as_bytes() == name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}
