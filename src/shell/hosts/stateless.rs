//! A host that keeps nothing for the filter: Google's Service Extensions, and CDNs like it.
//!
//! It hands over headers, takes changes to them and answers, knows the time and has a log. What
//! else is here would be an import that it has no function for, or one that always fails.

use super::Capabilities;
use crate::config::HostKind;
use crate::shell::abi::{self, Map};

/// What such a host can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    kind: HostKind::Stateless,
    keeps_configuration: true,
    lets_requests_go: false,
    meets_twice: false,
    keeps_roots: false,
    wakes_others: false,
    keeps_state: false,
    adds_to_gauges: false,
    // The worker's own takes its place.
    has_memory: true,
    // Nothing of other workers' is ever there.
    never_forgets: true,
    absent: u32::MAX,
    has_randomness: true,
    verifies: &[],
    removes_headers: true,
    holds_headers: true,
    tells_ends: true,
    pairs_max: usize::MAX,
    target: None,
    set_target: |target| {
        abi::replace_header(Map::Request, ":path", target);
    },
    route: &[],
    tells_route_late: true,
    client_certificate: || false,
    certificate_digest: None,
    upstream: |_| None,
    closes_connections: false,
    reuses_buffers: false,
    why_no_call: |_, _| "this host makes no calls".to_owned(),
    tell: |_, _| false,
};
