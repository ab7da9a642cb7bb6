//! The settings of a token endpoint.

use crate::request::path::PathMatch;

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
