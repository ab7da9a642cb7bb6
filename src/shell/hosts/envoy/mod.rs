//! Envoy 1.40.

pub mod verify;

use super::Capabilities;
use crate::config::HostKind;
use crate::shell::abi::{self, Map};
use crate::signature::Algorithm;

/// What Envoy can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    kind: HostKind::Envoy,
    keeps_configuration: true,
    lets_requests_go: false,
    meets_twice: false,
    keeps_roots: false,
    wakes_others: true,
    keeps_state: true,
    has_memory: true,
    never_forgets: true,
    // A version of 0 overwrites. A wrong one creates, and is refused for what exists; no value has
    // this one.
    absent: u32::MAX,
    has_randomness: true,
    verifies: &[
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
    ],
    adds_to_gauges: true,
    removes_headers: true,
    holds_headers: true,
    tells_ends: true,
    pairs_max: usize::MAX,
    target: None,
    set_target: |target| {
        abi::replace_header(Map::Request, ":path", target);
    },
    route: &["xds", "route_name"],
    tells_route_late: true,
    // A boolean is one byte.
    client_certificate: || {
        abi::property(&["connection", "mtls"]).is_some_and(|value| value.first() == Some(&1))
    },
    certificate_digest: Some(&["connection", "sha256_peer_certificate_digest"]),
    upstream: |call| call.cluster.as_deref(),
    closes_connections: false,
    reuses_buffers: false,
    why_no_call: |status, cluster| match status {
        abi::BAD_ARGUMENT => format!("Envoy has no cluster {cluster:?}"),
        _ => format!("the cluster {cluster:?} has no healthy host, or takes no more calls"),
    },
    // Becomes the filter state `wasm.herdgate.<name>`.
    tell: |name, value| abi::set_property(&[&["herdgate.", name].concat()], value.as_bytes()),
};
