//! Fields of a token endpoint.

use super::{DAY_S, NAME, TEXT};
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{Bool, Fraction, List, Object, Text, Whole};
use Need::Optional;

pub(super) static TOKEN_ENDPOINT: Shape = Shape {
    own: &[
        field(
            "path",
            Text(&syntax::PATH),
            Optional,
            "Its path, exactly; POST to it needs no rule. This, or `path_template`.",
        ),
        field(
            "path_template",
            Text(&syntax::PATH),
            Optional,
            "The paths of one server with many realms, as in `/realms/{realm}/token`; each path has answers of its own.",
        ),
        field("host", Text(&syntax::HOST), Optional, "Its host. Default: any."),
        field(
            "grant_types",
            List(&Kind::OneOf(&["client_credentials"]), 0, 1),
            Need::Texts(&["client_credentials"]),
            "Grants whose answers are reused. All others are used once and pass through.",
        ),
        field(
            "reuse",
            Object(&REUSE),
            Optional,
            "How long an answer is reused: whichever ends earlier.",
        ),
        field(
            "jitter",
            Fraction(0.0, 0.5),
            Need::Fraction(0.1),
            "The share of the lifetime by which it may be shortened.",
        ),
        field(
            "jitter_grants",
            List(&TEXT, 0, 16),
            Optional,
            "Grants whose `expires_in` is shortened. Default: all.",
        ),
        field(
            "negative_ttl_s",
            Whole(0, 300),
            Need::Whole(5),
            "Seconds for which a refusal of the server is remembered.",
        ),
        field(
            "wait_ms_max",
            Whole(0, 60_000),
            Need::Whole(5000),
            "Milliseconds that a follower waits at most.",
        ),
        field(
            "lease_ms",
            Whole(100, 300_000),
            Need::Whole(10_000),
            "Milliseconds for which a leader's lease holds; longer than the longest call.",
        ),
        field(
            "upstream_calls_max",
            Whole(1, 10_000),
            Need::Whole(50),
            "Token calls under way at the server at most.",
        ),
        field(
            "waiters_max",
            Whole(0, 5000),
            Optional,
            "Followers at most. Default: 5000, on Kong 500.",
        ),
        field(
            "body_bytes_max",
            Whole(256, 65_536),
            Need::Whole(8192),
            "Bytes of a request's body at most; over it 413.",
        ),
        field(
            "answer_bytes_max",
            Whole(256, 65_536),
            Need::Whole(8192),
            "Bytes of an answer that is stored at most.",
        ),
        field(
            "revocation_path",
            Text(&syntax::PATH),
            Optional,
            "Where tokens are revoked (RFC 7009); beside `path_template` it may be a template too.",
        ),
        field(
            "except_clients",
            List(&TEXT, 0, 1024),
            Optional,
            "Clients whose answers are never reused.",
        ),
        field(
            "keep_with_cookies",
            Bool,
            Need::Bool(true),
            "Whether an answer that sets a cookie is kept, without the cookie.",
        ),
        field(
            "ignore_headers",
            List(&Kind::Text(&syntax::HEADER), 0, 64),
            Optional,
            "Further request headers that shape no answer, such as a tracer's; see docs/token-endpoints.md.",
        ),
        field(
            "default_lifetime_s",
            Whole(1, 30 * DAY_S),
            Optional,
            "Seconds that a token lives where neither the answer's `expires_in` nor the token's own `exp` says so.",
        ),
        field(
            "refresh_ahead",
            Bool,
            Need::Bool(false),
            "Whether one caller renews while the others are served.",
        ),
        field(
            "coalesce_refresh",
            Bool,
            Need::Bool(false),
            "Whether identical concurrent refreshes become one call, within a worker.",
        ),
        field("limits", List(&NAME, 1, 16), Optional, "Limits that hold."),
    ],
    shared: &[],
};

static REUSE: Shape = Shape {
    own: &[
        field("fraction", Fraction(0.0, 1.0), Need::Fraction(0.5), "The share of the lifetime."),
        field("min_remaining_s", Whole(1, DAY_S), Need::Whole(30), "Seconds that must remain."),
        field("max_s", Whole(1, 30 * DAY_S), Need::Whole(3300), "Seconds at most."),
    ],
    shared: &[],
};
