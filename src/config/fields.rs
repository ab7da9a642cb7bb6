//! Every field of the document: its type, bounds, default and meaning. The loader reads by these
//! tables and the JSON Schemas are made from them.

mod forward;
mod keys;
mod memory;
mod proofs;
mod resource;
mod token_endpoints;

use super::shape::{Field, Kind, Need, Shape, Syntax, field};
use super::syntax;
use forward::FORWARD;
use keys::{CREDENTIALS, JWKS, KEY};
use memory::{KONG, MEMORY, SHARED};
use proofs::{DPOP, MTLS, REPLAY};
use resource::RESOURCE;
use token_endpoints::TOKEN_ENDPOINT;

use Kind::{
    Bool, ClaimPath, Either, Later, List, Map, Object, OneOf, Pem, Scalar, Secret, Text, Url, Whole,
};
use Need::{Optional, Required};

/// Slots of a shared table at most: four 7-bit characters name them, 35 of them the table.
pub const SLOTS_MAX: u64 = 830_584;
/// The names of all algorithms.
pub const ALGORITHMS: &[&str] = &[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "Ed25519",
    "ML-DSA-44",
    "ML-DSA-65",
    "ML-DSA-87",
];

const DAY_S: u64 = 86_400;
const YEAR_S: u64 = 366 * DAY_S;

const fn texts(syntax: &'static Syntax) -> Kind {
    Text(syntax)
}

static NAME: Kind = texts(&syntax::NAME);
static TEXT: Kind = texts(&syntax::TEXT);
static HEADER: Kind = texts(&syntax::HEADER);
static SCOPE: Kind = texts(&syntax::SCOPE);
static ACR: Kind = texts(&syntax::ACR);
static METHOD: Kind = texts(&syntax::METHOD);
static HOST: Kind = texts(&syntax::HOST);
static KEY_PART: Kind = texts(&syntax::KEY_PART);
static ALGORITHM: Kind = OneOf(ALGORITHMS);
static SECRET: Kind = Secret;
static PEM: Kind = Pem;
static URL: Kind = Url;
static TRUE: Kind = Bool;
static CLAIM_PATH: Kind = ClaimPath;
static SCALARS: Kind = List(&Scalar, 1, 64);

/// The whole document.
pub static DOCUMENT: Shape = Shape {
    own: &[
        field(
            "$schema",
            Text(&syntax::TEXT),
            Optional,
            "The schema's address, for editors. Not read.",
        ),
        field(
            "mode",
            OneOf(&["enforce", "shadow"]),
            Need::Text("enforce"),
            "`shadow` decides, counts and logs, and changes nothing in any request or answer.",
        ),
        field("realm", Text(&syntax::REALM), Need::Text("api"), "The realm in `WWW-Authenticate`."),
        field(
            "errors",
            OneOf(&["oauth", "kong", "problem"]),
            Need::Text("oauth"),
            "The dialect of refusals: RFC 6749 and 6750, Kong's plugins, or RFC 9457.",
        ),
        field(
            "debug_headers",
            Bool,
            Need::Bool(false),
            "Whether answers tell where they come from (`herdgate-cache`), and refusals why (`herdgate-reason`, `herdgate-rule`).",
        ),
        field(
            "access_log",
            OneOf(&["refusals", "all"]),
            Need::Text("refusals"),
            "Of which requests access logs are told verdict, reason, issuer, rule and subject: those refused or shadowed, or all.",
        ),
        field("log", Object(&LOG), Optional, "What the gateway's log is told of requests."),
        field(
            "cors_preflight",
            OneOf(&["pass", "check"]),
            Need::Text("pass"),
            "Whether CORS preflight requests pass without a token, under the rule of the request that they announce; limits hold for them.",
        ),
        field(
            "paths",
            OneOf(&["strict", "lenient"]),
            Need::Text("strict"),
            "Whether paths that others could read differently are 400.",
        ),
        field("bearer", Object(&BEARER), Optional, "Where tokens come from."),
        field(
            "issuers",
            List(&Object(&ISSUER), 0, 256),
            Optional,
            "Whose tokens are accepted, and how they are verified.",
        ),
        field(
            "on_unknown_issuer",
            OneOf(&["refuse", "pass"]),
            Need::Text("refuse"),
            "What happens to a token of an issuer that isn't listed.",
        ),
        field(
            "then",
            Text(&syntax::TEXT),
            Optional,
            "With `on_unknown_issuer: pass` on Envoy: the name of the filter that checks next.",
        ),
        field(
            "rules",
            List(&Object(&RULE), 0, 1024),
            Optional,
            "What a request needs; the first match wins.",
        ),
        field(
            "unmatched",
            OneOf(&["refuse", "required"]),
            Optional,
            "A request that no rule matches: 403, or any issuer's valid token. Default: `required` without rules, else `refuse`.",
        ),
        field(
            "token_endpoints",
            List(&Object(&TOKEN_ENDPOINT), 0, 64),
            Optional,
            "Token endpoints whose answers are reused.",
        ),
        field(
            "rate_limits",
            List(&Object(&RATE_LIMIT), 0, 256),
            Optional,
            "Limits that rules and token endpoints name.",
        ),
        field(
            "introspection",
            Object(&INTROSPECTION),
            Optional,
            "The introspection endpoint (RFC 7662).",
        ),
        field("revocation", Object(&REVOCATION), Optional, "Where revocations are heard of."),
        field("shared", Object(&SHARED), Optional, "Memory that all workers share."),
        field("memory", Object(&MEMORY), Optional, "Memory of each worker."),
        field("kong", Object(&KONG), Optional, "What only Kong has."),
        field(
            "replay",
            Object(&REPLAY),
            Optional,
            "Tokens that count once, and the room for what counts once.",
        ),
        field(
            "resource",
            Object(&RESOURCE),
            Optional,
            "What clients are told of this resource (RFC 9728), where a rule says nothing else.",
        ),
        field("decryption", Later, Optional, "Not in this version."),
    ],
    shared: &[],
};

static LOG: Shape = Shape {
    own: &[
        field(
            "refusals",
            Bool,
            Need::Bool(false),
            "Whether each refusal is a line of the log: request id, reason, rule, issuer, hashed subject.",
        ),
        field(
            "per_s",
            Whole(1, 1000),
            Need::Whole(10),
            "Such lines a second at most, of all workers together.",
        ),
    ],
    shared: &[],
};

/// Fields of every object that has a URL.
static CALL: &[Field] = &[
    field(
        "cluster",
        Text(&syntax::TEXT),
        Optional,
        "Envoy's cluster; required there. It decides about TLS.",
    ),
    field(
        "timeout_ms",
        Whole(1, 60_000),
        Need::Whole(2000),
        "Milliseconds until a call is given up.",
    ),
    field("retries", Whole(0, 5), Need::Whole(0), "How often a failed call is tried again."),
    field(
        "headers",
        Map(&syntax::HEADER, &SECRET, 16),
        Optional,
        "Further headers of the call; their values are secrets.",
    ),
    field("allow_http", Bool, Need::Bool(false), "Whether a URL without TLS is accepted."),
];

static BEARER: Shape = Shape {
    own: &[field(
        "sources",
        List(&Object(&SOURCE), 1, 8),
        Required,
        "Places of a token, in order. Two tokens in one request are refused.",
    )],
    shared: &[],
};

static SOURCE: Shape = Shape {
    own: &[
        field(
            "header",
            Text(&syntax::HEADER),
            Optional,
            "A header whose whole value is the token; `authorization` is read as `Bearer`.",
        ),
        field(
            "prefix",
            Text(&syntax::PREFIX),
            Optional,
            "With `header`: what stands before the token there, such as `Bearer `, in any case.",
        ),
        field("cookie", Text(&syntax::COOKIE), Optional, "A cookie."),
        field(
            "query",
            Text(&syntax::QUERY),
            Optional,
            "A query parameter (RFC 6750, section 2.3).",
        ),
    ],
    shared: &[],
};

static ISSUER: Shape = Shape {
    own: &[
        field("name", Text(&syntax::NAME), Required, "The name that rules use."),
        field(
            "issuer",
            Text(&syntax::TEXT),
            Required,
            "The `iss` that it covers: exact, a template (`mobilev2-{device_id}-{timestamp}`), or `*`.",
        ),
        field(
            "tokens",
            OneOf(&["jwt", "opaque"]),
            Need::Text("jwt"),
            "Whether its tokens are JWTs, or opaque: then `introspection` says what they mean.",
        ),
        field(
            "token_prefix",
            Text(&syntax::TOKEN_PREFIX),
            Optional,
            "What each of its opaque tokens begins with; others are not asked about.",
        ),
        field(
            "introspection",
            Object(&TOKEN_INTROSPECTION),
            Optional,
            "Its introspection endpoint (RFC 7662). Required where its tokens are opaque.",
        ),
        field(
            "algorithms",
            List(&ALGORITHM, 1, 18),
            Optional,
            "What its keys may verify. Required where its tokens are JWTs.",
        ),
        field("keys", List(&Object(&KEY), 1, 64), Optional, "Keys in the document."),
        field("jwks_uri", Url, Optional, "The address of its JWK Set."),
        field(
            "discovery",
            Either(&TRUE, &URL),
            Optional,
            "The address of its metadata (OpenID Connect Discovery, RFC 8414); `true`: below the issuer.",
        ),
        field("jwks", Object(&JWKS), Optional, "How a fetched JWK Set is kept."),
        field("credentials", Object(&CREDENTIALS), Optional, "One key for each credential."),
        field(
            "allow_weak_secret",
            Bool,
            Need::Bool(false),
            "Whether HMAC secrets shorter than the hash are admitted.",
        ),
        field("audiences", List(&TEXT, 1, 64), Optional, "One of these must be in `aud`."),
        field(
            "exp",
            OneOf(&["required", "optional", "ignored"]),
            Need::Text("required"),
            "Whether `exp` must be there. `optional` and `ignored` need `lifetime_s_max`; `ignored` accepts tokens after their own `exp`.",
        ),
        field("leeway_s", Whole(0, 300), Need::Whole(30), "Seconds by which clocks may differ."),
        field(
            "lifetime_s_max",
            Whole(1, 10 * YEAR_S),
            Optional,
            "Seconds from `iat` to `exp` at most.",
        ),
        field(
            "lifetime_from",
            OneOf(&["iat", "now"]),
            Need::Text("iat"),
            "From when `lifetime_s_max` counts: a token's whole life, or what is left of it (Kong's and Envoy's meaning).",
        ),
        field(
            "typ",
            Text(&syntax::TEXT),
            Optional,
            "The `typ` that the header must carry, such as `at+jwt` (RFC 9068).",
        ),
        field(
            "cnf",
            OneOf(&["check", "ignore"]),
            Need::Text("check"),
            "Whether a token that is bound to a key (`cnf`, RFC 7800) is refused unless the key is proven. `ignore` admits it from whoever has it.",
        ),
        field(
            "dpop",
            Object(&DPOP),
            Optional,
            "Tokens that are bound to a key that signs a proof with each request (RFC 9449).",
        ),
        field(
            "mtls",
            Object(&MTLS),
            Optional,
            "Tokens that are bound to the certificate of the client's connection (RFC 8705).",
        ),
        field("claims_required", List(&CLAIM_PATH, 1, 64), Optional, "Claims that must be there."),
        field(
            "scope_claim",
            ClaimPath,
            Optional,
            "The claim with the scopes. Default: `scope`, else `scp`.",
        ),
        field(
            "sunset",
            Text(&syntax::DATE),
            Optional,
            "The last day (UTC) on which its tokens are accepted.",
        ),
        field(
            "consumer",
            Text(&syntax::TEXT),
            Optional,
            "The consumer of all its tokens, as Kong would name it.",
        ),
        field(
            "consumer_claim",
            ClaimPath,
            Optional,
            "The claim that names a token's consumer; `consumer` where it is absent.",
        ),
        field("forward", Object(&FORWARD), Optional, "What goes to the API."),
    ],
    shared: CALL,
};

static RULE: Shape = Shape {
    own: &[
        field("match", Object(&MATCH), Required, "Which requests it covers; `{}`: all."),
        field(
            "name",
            Text(&syntax::NAME),
            Optional,
            "What logs call it. Default: its place, from 0.",
        ),
        field(
            "access",
            OneOf(&["required", "optional", "permissive", "public"]),
            Need::Text("required"),
            "Whether a token is needed. `optional`: none passes as anonymous, a bad one is refused; `permissive`: a bad one is taken out and its request passes as anonymous; `public`: tokens aren't read.",
        ),
        field("issuers", List(&NAME, 1, 256), Optional, "Issuers that it admits. Default: all."),
        field("audiences", List(&TEXT, 1, 64), Optional, "One of these must be in `aud`."),
        field("scopes_all", List(&SCOPE, 1, 64), Optional, "Scopes that the token must all have."),
        field(
            "scopes_any",
            List(&SCOPE, 1, 64),
            Optional,
            "Scopes of which the token must have one.",
        ),
        field(
            "claims",
            Map(&syntax::CLAIM, &SCALARS, 64),
            Optional,
            "Claims and the values of which they must have one.",
        ),
        field(
            "any",
            List(&Object(&ALTERNATIVE), 1, 16),
            Optional,
            "Alternatives: beside all else one of these must hold.",
        ),
        field(
            "acr_values",
            List(&ACR, 1, 16),
            Optional,
            "How the user must have logged in: the token's `acr` must be one of these (RFC 9470).",
        ),
        field(
            "max_age_s",
            Whole(1, YEAR_S),
            Optional,
            "Seconds since the user last logged in, the token's `auth_time`, at most (RFC 9470).",
        ),
        field(
            "resource",
            Object(&RESOURCE),
            Optional,
            "What clients are told of the resource of these requests (RFC 9728).",
        ),
        field(
            "introspect",
            Bool,
            Need::Bool(false),
            "Whether the introspection endpoint is asked too.",
        ),
        field("limits", List(&NAME, 1, 16), Optional, "Limits that hold."),
        field(
            "shadow",
            Bool,
            Need::Bool(false),
            "Whether its refusals are only counted and its requests go on as they came.",
        ),
        field(
            "route_stable",
            Bool,
            Need::Bool(false),
            "The promise that headers set here don't change the route.",
        ),
    ],
    shared: &[],
};

static ALTERNATIVE: Shape = Shape {
    own: &[
        field("audiences", List(&TEXT, 1, 64), Optional, "One of these must be in `aud`."),
        field("scopes_all", List(&SCOPE, 1, 64), Optional, "Scopes that the token must all have."),
        field(
            "scopes_any",
            List(&SCOPE, 1, 64),
            Optional,
            "Scopes of which the token must have one.",
        ),
        field(
            "claims",
            Map(&syntax::CLAIM, &SCALARS, 64),
            Optional,
            "Claims and the values of which they must have one.",
        ),
    ],
    shared: &[],
};

static MATCH: Shape = Shape {
    own: &[
        field("path", Text(&syntax::PATH), Optional, "Exactly this path."),
        field("path_prefix", Text(&syntax::PATH), Optional, "This path and those below it."),
        field(
            "path_template",
            Text(&syntax::PATH),
            Optional,
            "Segment by segment; `{name}` takes one.",
        ),
        field("methods", List(&METHOD, 1, 32), Optional, "One of these methods."),
        field("hosts", List(&HOST, 1, 256), Optional, "One of these hosts, without port."),
        field("route", Text(&syntax::TEXT), Optional, "The gateway's name of the route."),
        field(
            "ignore_case",
            Bool,
            Need::Bool(false),
            "Whether letters of the path count in any case, for an API that takes them so.",
        ),
        field(
            "route_stable",
            Bool,
            Need::Bool(false),
            "The promise that headers set here don't change the route.",
        ),
    ],
    shared: &[],
};

static RATE_LIMIT: Shape = Shape {
    own: &[
        field("name", Text(&syntax::NAME), Required, "The name that rules use and metrics carry."),
        field("key", List(&KEY_PART, 1, 8), Required, "What is counted apart."),
        field("limit", Whole(1, 1_000_000_000), Optional, "Requests per `per_s`."),
        field("per_s", Whole(1, YEAR_S), Optional, "Seconds."),
        field(
            "burst",
            Whole(1, 1_000_000_000),
            Optional,
            "Requests at one instant after idle. Default: `limit`.",
        ),
        field("quota", Whole(1, 1_000_000_000_000), Optional, "Requests per `window`."),
        field("window", OneOf(&["hour", "day", "month"]), Optional, "A calendar window in UTC."),
        field(
            "tiers",
            List(&Object(&TIER), 1, 16),
            Optional,
            "Other numbers for some verified tokens, over the same counter; the first that holds counts.",
        ),
        field(
            "failure_mode",
            OneOf(&["deny", "allow"]),
            Need::Text("deny"),
            "What happens when the count can't be kept.",
        ),
        field(
            "shadow",
            Bool,
            Need::Bool(false),
            "Whether its refusals are only counted; no answer tells of it.",
        ),
        field(
            "headers",
            Bool,
            Need::Bool(false),
            "Whether allowed answers carry RateLimit headers too.",
        ),
        field(
            "charge",
            OneOf(&["accepted", "all"]),
            Need::Text("accepted"),
            "Whether refused requests are charged too; a key of `address`, `route` and `header:NAME` alone.",
        ),
        field(
            "sync",
            Object(&SYNC),
            Optional,
            "Where it meets the same limit of other gateways. Default: each gateway counts for itself.",
        ),
    ],
    shared: &[],
};

static TIER: Shape = Shape {
    own: &[
        field("when", Object(&WHEN), Required, "What the verified token must have."),
        field("limit", Whole(1, 1_000_000_000), Optional, "Requests per `per_s`."),
        field("per_s", Whole(1, YEAR_S), Optional, "Seconds."),
        field(
            "burst",
            Whole(1, 1_000_000_000),
            Optional,
            "Requests at one instant after idle. Default: `limit`.",
        ),
        field(
            "quota",
            Whole(1, 1_000_000_000_000),
            Optional,
            "Requests per `window`, which is that of the limit.",
        ),
    ],
    shared: &[],
};

static WHEN: Shape = Shape {
    own: &[field(
        "claims",
        Map(&syntax::CLAIM, &SCALARS, 64),
        Required,
        "Claims and the values of which they must have one.",
    )],
    shared: &[],
};

static SYNC: Shape = Shape {
    own: &[
        field("uri", Url, Required, "The address of Webdis, which speaks HTTP for Redis."),
        field(
            "every_ms",
            Whole(50, 60_000),
            Need::Whole(200),
            "Milliseconds by which the gateways' counts may differ.",
        ),
    ],
    shared: CALL,
};

static INTROSPECTION: Shape = Shape {
    own: &[
        field("uri", Url, Required, "The endpoint."),
        field(
            "kind",
            OneOf(&["oauth", "status"]),
            Need::Text("oauth"),
            "RFC 7662, or GET with 200 for valid and 403 for revoked.",
        ),
        field("client_id", Text(&syntax::TEXT), Optional, "The filter's own client id there."),
        field("client_secret", Secret, Optional, "The filter's own secret there."),
        field(
            "ttl_s_max",
            Whole(0, 3600),
            Need::Whole(60),
            "Seconds for which \"active\" is kept at most.",
        ),
        field(
            "negative_ttl_s",
            Whole(0, 300),
            Need::Whole(5),
            "Seconds for which \"inactive\" is kept.",
        ),
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
static TOKEN_INTROSPECTION: Shape = Shape {
    own: &[
        field("uri", Url, Required, "The endpoint."),
        field("client_id", Text(&syntax::TEXT), Optional, "The filter's own client id there."),
        field("client_secret", Secret, Optional, "The filter's own secret there."),
        field(
            "client_auth",
            OneOf(&["basic", "post", "mtls"]),
            Need::Text("basic"),
            "How the filter says who it is: id and secret in a header or in the body, or the certificate of the cluster (Envoy).",
        ),
        field("response", OneOf(&["json"]), Need::Text("json"), "How the endpoint answers."),
        field(
            "ttl_s_max",
            Whole(1, 3600),
            Need::Whole(60),
            "Seconds for which an answer is kept at most; a token that was taken back behind the gateway's back stops within them.",
        ),
        field(
            "negative_ttl_s",
            Whole(0, 300),
            Need::Whole(5),
            "Seconds for which \"inactive\" is kept.",
        ),
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

static REVOCATION: Shape = Shape {
    own: &[field("feeds", List(&Object(&FEED), 0, 16), Required, "Feeds of revoked tokens.")],
    shared: &[],
};

static FEED: Shape = Shape {
    own: &[
        field("uri", Url, Required, "Its address."),
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
