//! Every field of the document: its type, bounds, default and meaning. The loader reads by these
//! tables and the JSON Schemas are made from them.

mod asked;
mod encryption;
mod forward;
mod keys;
mod limits;
mod memory;
mod proofs;
mod resource;
mod rules;
mod status;
mod token_endpoints;

use super::shape::{Field, Kind, Need, Shape, Syntax, field};
use super::syntax;
use asked::{INTROSPECTION, REVOCATION, TOKEN_INTROSPECTION};
use encryption::{DECRYPTION, POLICIES};
use forward::FORWARD;
use keys::{CREDENTIALS, JWKS, KEY};
use limits::{GATEWAYS, RATE_LIMIT};
use memory::{KONG, MEMORY, SHARED};
use proofs::{DPOP, MTLS, REPLAY};
use resource::RESOURCE;
use rules::RULE;
use status::STATUS_LIST;
use token_endpoints::TOKEN_ENDPOINT;

use Kind::{
    Bool, ClaimPath, Either, List, Map, Object, OneOf, Pem, PrivateKey, Scalar, Secret, Text, Url,
    Whole,
};
use Need::{Optional, Required};

/// Slots of a shared table at most: four 7-bit characters name them, 35 of them the table.
pub const SLOTS_MAX: u64 = 830_584;
/// The names of all algorithms: three with secrets, then those with public keys.
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

/// Those whose keys are public.
const PUBLIC_KEY_ALGORITHMS: &[&str] = ALGORITHMS.split_at(3).1;

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
        field(
            "profile",
            OneOf(&["full", "stateless"]),
            Need::Text("full"),
            "`stateless` is for hosts without shared memory, timers, metrics and calls (Google's Service Extensions): what needs them is refused.",
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
        field("gateways", Object(&GATEWAYS), Optional, "The Redis in which several gateways meet."),
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
        field(
            "decryption",
            Object(&DECRYPTION),
            Optional,
            "Keys that open encrypted tokens (RFC 7516).",
        ),
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
            "encrypted",
            OneOf(POLICIES),
            Need::Text("refuse"),
            "Whether its tokens may be encrypted (RFC 7516), with a signature inside. `authenticates`: what a secret shared with it opens needs none (`dir`, `A128KW`, `A256KW`).",
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
        field(
            "status_list",
            Object(&STATUS_LIST),
            Optional,
            "Where its tokens' `status` is looked up: Token Status Lists.",
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
