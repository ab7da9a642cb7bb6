//! Request headers that tell of the connection, the trace or the sending program. No answer is
//! taken to depend on them; on every other header it may (a tenant, a language,
//! `X-Forwarded-Host`), so those are part of its key.
//!
//! What isn't listed shapes the answer: a name that is missing here costs one more call, one too
//! many could give a client what belongs to another. docs/token-endpoints.md has the list for
//! readers.

/// Names by who sets them. Lower case.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "HTTP itself",
        &[
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
            "cdn-loop",
        ],
    ),
    (
        "Addresses",
        &[
            "x-forwarded-for",
            "x-real-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-original-forwarded-for",
            "true-client-ip",
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "cf-pseudo-ipv4",
            "fastly-client-ip",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-envoy-external-address",
        ],
    ),
    (
        "Ids of requests",
        &[
            "x-request-id",
            "request-id",
            "request-context",
            "x-correlation-id",
            "correlation-id",
            "x-correlationid",
            "x-request-start",
            "x-queue-start",
            "x-timer",
            "x-trace-id",
            "x-transaction-id",
            "x-unique-id",
            "x-session-trace-id",
            "x-kong-request-id",
            "x-varnish",
        ],
    ),
    (
        "Content delivery and load balancers",
        &[
            "cf-ray",
            "cf-request-id",
            "cf-ew-via",
            "x-amz-cf-id",
            "x-amzn-trace-id",
            "x-amzn-requestid",
            "x-azure-ref",
            "x-azure-requestchain",
            "x-azure-fdid",
            "x-arr-log-id",
            "x-appgw-trace-id",
            "x-vcap-request-id",
            "x-cloud-trace-context",
            "x-akamai-request-id",
            "akamai-origin-hop",
            "fastly-ff",
        ],
    ),
    (
        "Tracers",
        &[
            "traceparent",
            "tracestate",
            "baggage",
            "correlation-context",
            "b3",
            "x-client-trace-id",
            "x-ot-span-context",
            "uber-trace-id",
            "jaeger-debug-id",
            "jaeger-baggage",
            "grpc-trace-bin",
            "sentry-trace",
            "elastic-apm-traceparent",
            "x-honeycomb-trace",
            "sw8",
            "sw8-correlation",
            "sw8-x",
            "x-dynatrace",
            "singularityheader",
            "x-instana-t",
            "x-instana-s",
            "x-instana-l",
            "newrelic",
            "x-newrelic-id",
            "x-newrelic-transaction",
            "x-newrelic-synthetics",
        ],
    ),
    (
        "Libraries of clients",
        &[
            "x-ms-client-request-id",
            "client-request-id",
            "return-client-request-id",
            "x-ms-request-id",
            "x-client-sku",
            "x-client-ver",
            "x-client-os",
            "x-client-cpu",
            "x-client-current-telemetry",
            "x-client-last-telemetry",
        ],
    ),
    (
        "Envoy",
        &[
            "x-envoy-internal",
            "x-envoy-attempt-count",
            "x-envoy-expected-rq-timeout-ms",
            "x-envoy-upstream-rq-timeout-ms",
            "x-envoy-force-trace",
            "x-envoy-decorator-operation",
            "x-envoy-peer-metadata",
            "x-envoy-peer-metadata-id",
            "x-envoy-original-path",
        ],
    ),
];

/// Beginnings of such names.
const PREFIXES: &[&str] =
    &[":", "x-b3-", "x-datadog-", "sec-fetch-", "sec-ch-", "ot-tracer-", "uberctx-"];

/// Whether a header, by its name in lower case, shapes no answer. Pseudo-headers are the caller's,
/// who gives host and path apart.
pub(super) fn tells_of(name: &[u8]) -> bool {
    GROUPS.iter().any(|(_, names)| names.iter().any(|one| one.as_bytes() == name))
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// Whether a header, by its name in lower case, says who asks or for what, so that no configuration
/// may pass it over.
pub(crate) fn always_matters(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "authorization",
        "proxy-authorization",
        "cookie",
        "host",
        "forwarded",
        "x-forwarded-host",
        "content-type",
        "content-encoding",
        "accept",
        "origin",
        "dpop",
        "signature",
        "signature-input",
        "idempotency-key",
        "range",
        "expect",
        "upgrade",
    ];
    NAMES.iter().any(|one| one.as_bytes() == name)
        || name.starts_with(b"if-")
        || super::headers::is_certificate(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readers see the list that holds.
    #[test]
    fn the_list_in_the_documents_is_this_one() {
        let document = include_str!("../../docs/token-endpoints.md");
        for (group, names) in GROUPS {
            let row = document.lines().find(|line| line.starts_with(&format!("| {group} |")));
            let shown: Vec<&str> =
                row.unwrap_or_else(|| panic!("{group}")).split('`').skip(1).step_by(2).collect();
            assert_eq!(&shown, names, "{group}");
        }
        for prefix in PREFIXES.iter().filter(|prefix| **prefix != ":") {
            assert!(document.contains(&format!("`{prefix}*`")), "{prefix}");
        }
    }

    #[test]
    fn names_are_lower_case_and_none_comes_twice() {
        let mut all: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        all.sort_unstable();
        assert!(all.iter().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase())));
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }

    /// Nothing that says who asks is passed over by the list either, but for the host, which is in
    /// the key apart.
    #[test]
    fn what_always_matters_is_not_in_the_list() {
        let listed = GROUPS.iter().flat_map(|(_, names)| names.iter());
        let both: Vec<&&str> = listed.filter(|name| always_matters(name.as_bytes())).collect();
        assert_eq!(both, [&"host"]);
        for name in ["x-forwarded-client-cert", "if-match", "x-ssl-client-verify", "cookie"] {
            assert!(always_matters(name.as_bytes()) && !tells_of(name.as_bytes()), "{name}");
        }
    }
}
