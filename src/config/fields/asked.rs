//! Fields of what is asked of others about tokens: introspection and feeds.

use super::*;

// What both kinds of introspection say.
const ENDPOINT: Field = field("uri", Url, Required, "The endpoint.");
const CLIENT_ID: Field =
    field("client_id", Text(&syntax::TEXT), Optional, "The filter's own client id there.");
const CLIENT_SECRET: Field =
    field("client_secret", Secret, Optional, "The filter's own secret there.");
const NEGATIVE_TTL_S: Field = field(
    "negative_ttl_s",
    Whole(0, 300),
    Need::Whole(5),
    "Seconds for which \"inactive\" is kept.",
);

pub(super) static INTROSPECTION: Shape = Shape {
    own: &[
        ENDPOINT,
        field(
            "kind",
            OneOf(&["oauth", "status"]),
            Need::Text("oauth"),
            "RFC 7662, or GET with 200 for valid and 403 for revoked.",
        ),
        CLIENT_ID,
        CLIENT_SECRET,
        field(
            "ttl_s_max",
            Whole(0, 3600),
            Need::Whole(60),
            "Seconds for which \"active\" is kept at most.",
        ),
        NEGATIVE_TTL_S,
        field(
            "calls_per_s_max",
            Whole(1, 100_000),
            Need::Whole(400),
            "New tokens asked about a second at most; beyond them 503.",
        ),
    ],
    shared: CALL,
};

/// The introspection endpoint of one issuer.
pub(super) static TOKEN_INTROSPECTION: Shape = Shape {
    own: &[
        ENDPOINT,
        CLIENT_ID,
        CLIENT_SECRET,
        field(
            "client_auth",
            OneOf(&["basic", "post", "mtls", "private_key_jwt"]),
            Need::Text("basic"),
            "How the filter says who it is: id and secret in a header or in the body, the certificate of the cluster (Envoy), or a JWT that it signs (RFC 7523).",
        ),
        field(
            "client_key",
            PrivateKey,
            Optional,
            "The filter's own private key there, with `private_key_jwt`: PEM (PKCS #8) or a JWK, for ES256, RS256 or EdDSA.",
        ),
        field(
            "response",
            OneOf(&["json", "jwt"]),
            Need::Text("json"),
            "How the endpoint answers: with a JSON object, or with a JWT that the issuer's keys verify (RFC 9701).",
        ),
        field(
            "ttl_s_max",
            Whole(1, 3600),
            Need::Whole(60),
            "Seconds for which an answer is kept at most; a token that was taken back behind the gateway's back stops within them.",
        ),
        NEGATIVE_TTL_S,
        field(
            "stale_s_max",
            Whole(0, DAY_S),
            Need::Whole(0),
            "Seconds for which an old answer serves while the endpoint fails.",
        ),
        field(
            "calls_per_s_max",
            Whole(1, 100_000),
            Need::Whole(400),
            "Tokens asked about a second at most; beyond them 503.",
        ),
    ],
    shared: CALL,
};

pub(super) static REVOCATION: Shape = Shape {
    own: &[field("feeds", List(&Object(&FEED), 0, 16), Required, "Feeds of revoked tokens.")],
    shared: &[],
};

pub(super) static FEED: Shape = Shape {
    own: &[
        field("uri", Url, Required, "Its address."),
        field(
            "kind",
            OneOf(&["list", "signed", "ssf"]),
            Need::Text("list"),
            "What it serves: a list, the list as a JWS, or Security Event Tokens to be polled (RFC 8936).",
        ),
        field(
            "issuer",
            Text(&syntax::NAME),
            Optional,
            "With `signed` and `ssf`: the name of the issuer whose keys sign it.",
        ),
        field(
            "audience",
            Text(&syntax::TEXT),
            Optional,
            "With `ssf`: what must be in the `aud` of each set.",
        ),
        field("every_s", Whole(1, DAY_S), Need::Whole(10), "Seconds between polls."),
        field(
            "failure_mode",
            OneOf(&["allow", "deny"]),
            Need::Text("allow"),
            "What happens while the feed was never read.",
        ),
    ],
    shared: CALL,
};
