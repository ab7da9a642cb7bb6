//! The checked configuration. Everything here is already valid; indices point into `Config`'s
//! lists.

use crate::callout::Secret;
use crate::digest::HostKey;
use crate::jwe::Key;
use crate::jwt::check::Requirements;
use crate::jwt::introspection::Introspection;
use crate::jwt::issuer::Issuer;
use crate::proof::dpop::Dpop;
use crate::proof::mtls::Mtls;
use crate::rate_limit::{KeyPart, RateLimit, Sync, sync};
use crate::reply::{ErrorStyle, FailureMode, Metadata};
use crate::request::bearer::BearerSource;
use crate::request::path::{PathMatch, PathPolicy, RuleMatch};
use crate::revocation::feed::Feed;
use crate::revocation::status::StatusLists;
use crate::token_endpoint::TokenEndpoint;

/// A whole configuration, compiled.
pub struct Config {
    /// SHA-256 of the canonical document.
    pub digest: [u8; 32],
    /// What it may ask of its host.
    pub profile: Profile,
    /// Whether refusals are answered or only counted.
    pub mode: Mode,
    /// The `realm` of challenges; printable ASCII without `"` and `\`.
    pub realm: String,
    /// The dialect of refusals.
    pub errors: ErrorStyle,
    /// Whether `herdgate-cache` and the like are set.
    pub debug_headers: bool,
    /// What logs are told.
    pub log: Log,
    /// What happens to CORS preflight requests.
    pub cors_preflight: CorsPreflight,
    /// What happens to paths that other parties could read differently.
    pub paths: PathPolicy,
    /// Where bearer tokens come from, in order.
    pub bearer_sources: Vec<BearerSource>,
    /// All issuers, in document order.
    pub issuers: Vec<Issuer>,
    /// What each issuer asks of DPoP proofs, at the same place; empty if none takes any.
    pub dpop: Vec<Option<Dpop>>,
    /// What each issuer asks of clients' certificates, likewise.
    pub mtls: Vec<Option<Mtls>>,
    /// What opens encrypted tokens.
    pub decryption: Decryption,
    /// Where each issuer's status lists are, likewise.
    pub status_lists: Vec<Option<StatusLists>>,
    /// What counts once.
    pub replay: Replay,
    /// What happens to a token of an issuer that isn't configured.
    pub on_unknown_issuer: UnknownIssuer,
    /// Resources that are described; empty in shadow mode.
    pub resources: Vec<Resource>,
    /// The one that requests are for whose rule names none.
    pub resource: Option<usize>,
    /// Rules in order; the first match wins.
    pub rules: Vec<Rule>,
    /// What happens when no rule matches.
    pub unmatched: Unmatched,
    /// Token endpoints.
    pub token_endpoints: Vec<TokenEndpoint>,
    /// All limits; rules and token endpoints point at them by index.
    pub rate_limits: Vec<RateLimit>,
    /// Where gateways meet.
    pub gateways: Option<Gateways>,
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

    /// What an issuer asks of DPoP proofs, if it takes any.
    pub fn dpop_of(&self, issuer: usize) -> Option<&Dpop> {
        self.dpop.get(issuer)?.as_ref()
    }

    /// What an issuer asks of clients' certificates, if its tokens may be bound to them.
    pub fn mtls_of(&self, issuer: usize) -> Option<&Mtls> {
        self.mtls.get(issuer)?.as_ref()
    }

    /// Where an issuer's status lists are, if it has any.
    pub fn status_lists_of(&self, issuer: usize) -> Option<&StatusLists> {
        self.status_lists.get(issuer)?.as_ref()
    }

    /// Whether anything counts once under this configuration.
    pub fn has_once(&self) -> bool {
        !self.dpop.is_empty() || !self.replay.issuers.is_empty()
    }

    /// Whether the route matters to anything: a rule, or what a limit counts apart.
    pub fn asks_for_routes(&self) -> bool {
        self.matches_routes()
            || self.rate_limits.iter().any(|limit| limit.key.contains(&KeyPart::Route))
    }
}

/// What opens encrypted tokens.
#[derive(Debug, Default)]
pub struct Decryption {
    /// The keys.
    pub keys: Vec<Key>,
    /// Indices of the issuers whose tokens each of them opens, at the same place.
    pub issuers: Vec<Vec<usize>>,
}

/// What counts once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replay {
    /// Indices of the issuers each of whose tokens is admitted once.
    pub issuers: Vec<usize>,
    /// Ids of tokens and proofs that are remembered at once.
    pub ids_max: u32,
    /// Where they count once.
    pub scope: Scope,
}

/// Where something counts once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In one gateway.
    Gateway,
    /// At all gateways that meet in one Redis.
    Gateways,
}

/// What a configuration may ask of its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// All that Envoy and Kong have.
    Full,
    /// No shared memory, no timers, no metrics, no calls, and little memory.
    Stateless,
}

/// Whether a verdict is enforced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Refusals are answered.
    Enforce,
    /// Refusals are counted and logged; nothing in any request or answer is changed.
    Shadow,
}

/// What logs are told of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Log {
    /// Whether access logs are told of admitted requests too.
    pub all: bool,
    /// Lines of the gateway's log about refusals, a second; none: it isn't told of them.
    pub refusals_per_s: Option<u64>,
}

/// What happens to CORS preflight requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CorsPreflight {
    /// OPTIONS with Origin and Access-Control-Request-Method needs no token; limits hold.
    Pass,
    /// Like any other request.
    Check,
}

/// What happens to a token whose issuer isn't configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UnknownIssuer {
    /// 401.
    Refuse,
    /// It goes on; on Envoy the named filter checks next, on Kong a plugin has authenticated it
    /// already.
    Pass {
        /// The name of the Envoy filter that checks next.
        then: Option<String>,
    },
}

/// What a rule asks of the requests that it covers.
pub struct Rule {
    /// What logs call it.
    pub name: Option<String>,
    /// Which requests it covers.
    pub matches: RuleMatch,
    /// Whether a token is needed.
    pub access: Access,
    /// What it asks of a token.
    pub requires: Requirements,
    /// The resource that its requests are for, at this index.
    pub resource: Option<usize>,
    /// Whether introspection is asked too.
    pub introspect: bool,
    /// Indices of limits.
    pub limits: Vec<usize>,
    /// Whether this rule's refusals are only counted, and its requests go on as they came.
    pub shadow: bool,
}

/// A protected resource (RFC 9728).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    /// The host in its identifier, in lower case.
    pub host: String,
    /// Further hosts under which its metadata is asked for; empty: any, unless another resource has
    /// the same path.
    pub hosts: Vec<String>,
    /// The path of its metadata, decoded.
    pub well_known: String,
    /// Which paths belong to it; none: all.
    pub under: Option<PathMatch>,
    /// What clients are told.
    pub metadata: Metadata,
}

/// Whether a token is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A request without a good token is refused.
    Required,
    /// A request without a token is anonymous; one with a bad token is refused.
    Optional,
    /// A request without a token is anonymous, and so is one with a bad token, which is taken out.
    Permissive,
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

/// What several gateways have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gateways {
    /// The Redis where they meet, and how often.
    pub at: Sync,
    /// Whether they tell each other of revocations.
    pub revocations: bool,
    /// Whether they share answers of token endpoints.
    pub answers: bool,
    /// What happens to tokens until it was first read which are revoked.
    pub failure_mode: FailureMode,
}

/// How large the tables in shared memory are, and what keys them.
pub struct Shared {
    /// Part of the host-wide key.
    pub secret: Secret,
    /// The secret before or after it, with which things are read and never written.
    pub secret_previous: Option<Secret>,
    /// Slots for verified tokens.
    pub tokens_max: u32,
    /// Slots for counters.
    pub counters_max: u32,
    /// Slots of token answers and documents.
    pub answers_max: u32,
}

impl Shared {
    /// The key under which things are named and sealed where gateways meet.
    pub fn sync_key(&self) -> HostKey {
        sync::key(&self.secret, self.secret_previous.as_ref())
    }
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
