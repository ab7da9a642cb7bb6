//! The checked configuration. Everything here is already valid; indices point into `Config`'s lists.

use std::sync::Arc;

use super::limit::{KeyPart, RateLimit};
use crate::signature::{AlgorithmSet, VerifyKey};

/// A whole configuration, compiled.
pub struct Config {
    /// SHA-256 of the canonical document.
    pub digest: [u8; 32],
    /// Whether refusals are answered or only counted.
    pub mode: Mode,
    /// The `realm` of challenges; printable ASCII without `"` and `\`.
    pub realm: String,
    /// The dialect of refusals.
    pub errors: ErrorStyle,
    /// Whether `herdgate-cache` and the like are set.
    pub debug_headers: bool,
    /// What happens to CORS preflight requests.
    pub cors_preflight: CorsPreflight,
    /// What happens to paths that other parties could read differently.
    pub paths: PathPolicy,
    /// Where bearer tokens come from, in order.
    pub bearer_sources: Vec<BearerSource>,
    /// All issuers, in document order.
    pub issuers: Vec<Issuer>,
    /// What happens to a token of an issuer that isn't configured.
    pub on_unknown_issuer: UnknownIssuer,
    /// Rules in order; the first match wins.
    pub rules: Vec<Rule>,
    /// What happens when no rule matches.
    pub unmatched: Unmatched,
    /// Token endpoints.
    pub token_endpoints: Vec<TokenEndpoint>,
    /// All limits; rules and token endpoints point at them by index.
    pub rate_limits: Vec<RateLimit>,
    /// Introspection, where configured.
    pub introspection: Option<Introspection>,
    /// Revocation feeds.
    pub revocation_feeds: Vec<Feed>,
    /// Shared memory.
    pub shared: Shared,
    /// Per-worker memory.
    pub memory: Memory,
    /// What only Kong has.
    pub kong: Kong,
    /// Set-up that works but deserves a second look; said by the linter and once in the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether a rule goes by the request's route.
    pub fn matches_routes(&self) -> bool {
        self.rules.iter().any(|rule| rule.matches.route.is_some())
    }

    /// Whether the route matters to anything: a rule, or what a limit counts apart.
    pub fn asks_for_routes(&self) -> bool {
        self.matches_routes() || self.rate_limits.iter().any(|limit| limit.key.contains(&KeyPart::Route))
    }
}

/// Whether a verdict is enforced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Refusals are answered.
    Enforce,
    /// Refusals are counted and logged; nothing in any request or answer is changed.
    Shadow,
}

/// The dialect of refusals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorStyle {
    /// RFC 6749 and 6750 JSON.
    Oauth,
    /// What Kong's jwt, oauth2 and rate-limiting plugins answer.
    Kong,
    /// RFC 9457.
    Problem,
}

/// What happens to CORS preflight requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CorsPreflight {
    /// OPTIONS with Origin and Access-Control-Request-Method needs no token; limits hold.
    Pass,
    /// Like any other request.
    Check,
}

/// What happens to ambiguous paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathPolicy {
    /// They are 400.
    Strict,
    /// They are matched as they are.
    Lenient,
}

/// One place where a bearer token may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BearerSource {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    Authorization,
    /// A header whose whole value is the token; lower case.
    Header(String),
    /// A cookie.
    Cookie(String),
    /// A query parameter (RFC 6750, section 2.3).
    Query(String),
}

/// What happens to a token whose issuer isn't configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnknownIssuer {
    /// 401.
    Refuse,
    /// It goes on; on Envoy the named filter checks next, on Kong a plugin has authenticated it already.
    Pass {
        /// The name of the Envoy filter that checks next.
        then: Option<String>,
    },
}

/// One issuer.
pub struct Issuer {
    /// The name that rules use.
    pub name: String,
    /// SHA-256 of this issuer's entry: part of each verified token's key.
    pub digest: [u8; 32],
    /// Which `iss` it covers.
    pub matcher: IssuerMatch,
    /// Where its keys come from.
    pub keys: KeySource,
    /// What its keys may verify.
    pub algorithms: AlgorithmSet,
    /// One of these must be in `aud`; empty: `aud` isn't checked.
    pub audiences: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway_s: u64,
    /// The longest lifetime of a token, `exp - iat`.
    pub lifetime_s_max: Option<u64>,
    /// Whether `exp` must be there.
    pub exp: ExpPolicy,
    /// The `typ` that the header must carry (RFC 9068: `at+jwt`); compared without `application/`, in any case.
    pub typ: Option<String>,
    /// Claims that must be there.
    pub claims_required: Vec<ClaimPath>,
    /// The claim that holds the scopes; none: `scope`, else `scp`.
    pub scope_claim: Option<ClaimPath>,
    /// Seconds since the epoch from which this issuer is refused: 00:00 UTC of the day after `sunset`.
    pub sunset_s: Option<u64>,
    /// What goes to the API.
    pub forward: Forward,
    /// The consumer of every token of this issuer, as Kong would name it.
    pub consumer: Option<String>,
}

/// Which `iss` an issuer covers. Tried in the order exact, template, `Any`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IssuerMatch {
    /// This string.
    Exact(String),
    /// `mobilev2-{device_id}-{timestamp}`.
    Template(crate::issuer::Template),
    /// `*`.
    Any,
}

/// Whether `exp` must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpPolicy {
    /// It must.
    Required,
    /// It may be absent. `lifetime_s_max` counts from `iat`, or from first sight; an `exp` that is there holds too.
    Optional,
    /// As `Optional`, and an `exp` that is there isn't looked at.
    Ignored,
}

/// Where an issuer's keys come from.
pub enum KeySource {
    /// From the document.
    Inline(Arc<Vec<VerifyKey>>),
    /// From a JWK Set.
    Jwks {
        /// The JWK Set's address, or none until discovery has told it.
        at: JwksAt,
        /// How it is fetched.
        call: Callout,
        /// How it is kept.
        cache: JwksCache,
    },
    /// One key per credential.
    Credentials(Credentials),
}

/// How the address of a JWK Set is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwksAt {
    /// It is in the document.
    Uri(Uri),
    /// It is in a metadata document (OpenID Connect Discovery, RFC 8414) whose `issuer` must equal the configured one.
    Discovery(Uri),
}

/// An absolute URL, split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    /// Whether the scheme is https.
    pub https: bool,
    /// Host and port as written, for `:authority`.
    pub authority: String,
    /// Host without brackets.
    pub host: String,
    /// Port, the scheme's own if none is written.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

impl Uri {
    /// Takes a URL apart; none if it isn't an absolute http or https one without credentials.
    pub fn parse(text: &str) -> Option<Uri> {
        super::syntax::uri(text).ok()
    }

    /// Host and port, as Kong's host is told whom to call. It traps on anything else.
    pub fn target(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.path)
    }
}

/// How a call to another server is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callout {
    /// Envoy's cluster; required there.
    pub cluster: Option<String>,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// How often a failed call is tried again.
    pub retries: u32,
    /// Further headers, names in lower case.
    pub headers: Vec<(String, Secret)>,
}

/// How a JWK Set is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JwksCache {
    /// Seconds for which a set is fresh when the answer doesn't say.
    pub ttl_s: u64,
    /// The most that Cache-Control may ask for.
    pub ttl_s_max: u64,
    /// Seconds for which an old set serves while the endpoint fails.
    pub stale_s_max: u64,
    /// Seconds between refetches that an unknown `kid` may cause.
    pub refetch_s: u64,
    /// The most keys.
    pub keys_max: usize,
    /// The most bytes.
    pub bytes_max: usize,
}

/// Keys of single credentials.
pub struct Credentials {
    /// From the document, by key id.
    pub inline: Vec<Credential>,
    /// From a server.
    pub lookup: Option<Lookup>,
    /// Whether short HMAC secrets are admitted.
    pub allow_weak_secret: bool,
}

/// One credential of the document.
pub struct Credential {
    /// Its id: the token's `iss` (or `kid`), as in Kong's jwt plugin.
    pub key: String,
    /// What verifies it.
    pub verify: Arc<VerifyKey>,
    /// The consumer that it belongs to.
    pub consumer: Option<String>,
}

/// Credentials at a server in the shape of Kong's Admin API.
pub struct Lookup {
    /// The address with `{key}` in its path.
    pub uri: Uri,
    /// The consumer's address with `{key}` in its path.
    pub consumer_uri: Option<Uri>,
    /// How it is called.
    pub call: Callout,
    /// Seconds for which a credential is kept.
    pub ttl_s: u64,
    /// Seconds for which its absence is kept.
    pub negative_ttl_s: u64,
    /// New ids asked for a second at most.
    pub calls_per_s_max: u64,
}

/// What goes to the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Claims and the headers (lower case) that they become.
    pub claims: Vec<(ClaimPath, String)>,
    /// Whether the token stays in the request.
    pub token: bool,
    /// A header for the payload segment.
    pub payload_header: Option<String>,
    /// The most bytes of one forwarded claim after encoding.
    pub claim_bytes_max: usize,
}

/// The way to a claim: one segment an object level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimPath(pub Vec<String>);

/// One rule.
pub struct Rule {
    /// Which requests it covers.
    pub matches: RuleMatch,
    /// Whether a token is needed.
    pub access: Access,
    /// Indices of the issuers that it admits; none: all.
    pub issuers: Option<Vec<usize>>,
    /// One of these must be in `aud`; empty: no further demand.
    pub audiences: Vec<String>,
    /// All of these scopes.
    pub scopes_all: Vec<String>,
    /// One of these scopes, unless empty.
    pub scopes_any: Vec<String>,
    /// Claims and the values of which they must have one.
    pub claims: Vec<(ClaimPath, Vec<serde_json::Value>)>,
    /// Whether introspection is asked too.
    pub introspect: bool,
    /// Indices of limits.
    pub limits: Vec<usize>,
    /// Whether this rule's refusals are only counted, and its requests go on as they came.
    pub shadow: bool,
}

/// Which requests a rule covers. Everything given must hold.
#[derive(Default)]
pub struct RuleMatch {
    /// The path.
    pub path: Option<PathMatch>,
    /// Methods in upper case; empty: all.
    pub methods: Vec<String>,
    /// Hosts in lower case without port; empty: all.
    pub hosts: Vec<String>,
    /// The host's name of the route.
    pub route: Option<String>,
}

/// How a path matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// Exactly.
    Exact(String),
    /// By whole segments.
    Prefix(String),
    /// Segment by segment; a capture takes one segment.
    Template(Vec<Segment>),
}

/// A segment of a path template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// These characters.
    Literal(String),
    /// Any one segment, under this name.
    Capture(String),
}

/// Whether a token is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Yes.
    Required,
    /// None is anonymous; a bad one is refused.
    Optional,
    /// Tokens aren't read.
    Public,
}

/// What happens when no rule matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmatched {
    /// 403.
    Refuse,
    /// Any issuer's valid token.
    Required,
}

/// One token endpoint.
pub struct TokenEndpoint {
    /// SHA-256 of what of this entry shapes an answer: part of each token answer's key.
    pub digest: [u8; 32],
    /// Its path as the document has it: exact, or the text of `path_template`.
    pub path: String,
    /// The template of its path, where it has one: one server with many realms.
    pub path_template: Option<PathMatch>,
    /// Its host in lower case without port; none: any.
    pub host: Option<String>,
    /// Grants whose answers are reused.
    pub grant_types: Vec<String>,
    /// How long an answer is reused.
    pub reuse: Reuse,
    /// The share of the lifetime by which it may be shortened, 0 to 0.5.
    pub jitter: f64,
    /// Grants whose `expires_in` is shortened; none: all.
    pub jitter_grants: Option<Vec<String>>,
    /// Seconds for which a refusal of the server is remembered.
    pub negative_ttl_s: u64,
    /// Milliseconds that a follower waits at most.
    pub wait_ms_max: u64,
    /// Milliseconds for which a leader's lease holds; longer than the longest call.
    pub lease_ms: u64,
    /// Token calls under way at the server at most.
    pub upstream_calls_max: u32,
    /// Followers at most.
    pub waiters_max: u32,
    /// Bytes of a request body at most; over it 413.
    pub body_bytes_max: usize,
    /// Bytes of an answer that is stored at most.
    pub answer_bytes_max: usize,
    /// Where tokens are revoked (RFC 7009).
    pub revocation_path: Option<String>,
    /// The template of that path, beside one of the endpoint's own.
    pub revocation_template: Option<PathMatch>,
    /// Clients whose answers are never reused.
    pub except_clients: Vec<String>,
    /// Whether an answer with a cookie is kept, without the cookie.
    pub keep_with_cookies: bool,
    /// Request headers, in lower case, that shape no answer here.
    pub ignore_headers: Vec<String>,
    /// Seconds that a token lives of which neither the server nor the token says so.
    pub default_lifetime_s: Option<u64>,
    /// Whether one caller renews while the others are served.
    pub refresh_ahead: bool,
    /// Whether identical concurrent refresh_token calls are coalesced within a worker.
    pub coalesce_refresh: bool,
    /// Indices of limits.
    pub limits: Vec<usize>,
}

/// How long an answer is reused: whichever ends earlier.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reuse {
    /// The share of the lifetime, 0 to 1.
    pub fraction: f64,
    /// Seconds that must remain.
    pub min_remaining_s: u64,
    /// Seconds at most.
    pub max_s: u64,
}

/// What happens when a count can't be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureMode {
    /// The request is refused.
    Deny,
    /// The request goes on.
    Allow,
}

/// Introspection.
pub struct Introspection {
    /// SHA-256 of what of this entry shapes an answer: part of each kept answer's key.
    pub digest: [u8; 32],
    /// The endpoint.
    pub uri: Uri,
    /// How it is called.
    pub call: Callout,
    /// How it answers.
    pub kind: IntrospectionKind,
    /// Our own client id there.
    pub client_id: Option<String>,
    /// Our own secret there.
    pub client_secret: Option<Secret>,
    /// Seconds for which "active" is kept at most.
    pub ttl_s_max: u64,
    /// Seconds for which "inactive" is kept.
    pub negative_ttl_s: u64,
    /// New tokens asked about a second at most.
    pub calls_per_s_max: u64,
}

/// How an introspection endpoint answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntrospectionKind {
    /// RFC 7662.
    Oauth,
    /// GET: 200 valid, 403 revoked.
    Status,
}

/// A revocation feed.
pub struct Feed {
    /// Its address.
    pub uri: Uri,
    /// How it is called.
    pub call: Callout,
    /// Seconds between polls.
    pub every_s: u64,
    /// What happens to tokens while the feed was never read.
    pub failure_mode: FailureMode,
}

/// Shared memory.
pub struct Shared {
    /// Part of the host-wide key.
    pub secret: Secret,
    /// Slots for verified tokens.
    pub tokens_max: u32,
    /// Slots for counters.
    pub counters_max: u32,
    /// Slots of token answers and documents.
    pub answers_max: u32,
}

/// Per-worker memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Verified tokens per worker.
    pub tokens_max: usize,
    /// Bytes of them per worker.
    pub bytes_max: usize,
}

/// What only Kong has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kong {
    /// Where followers wait, as the host is told: `unix:PATH` or `host:port`.
    pub wait_uri: Option<String>,
    /// The promise that a Kong plugin has authenticated every request.
    pub auth_plugin: bool,
}

/// Bytes that never appear in any output.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }
    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}
