//! Kong 3.9.

pub mod admitted;
pub mod latch;
pub mod residue;

use super::Capabilities;
use crate::config::HostKind;
use crate::shell::abi;

/// The target of the request to the API; `:path` is for other filters alone.
const UPSTREAM_URI: &[&str] = &["ngx", "upstream_uri"];

/// What Kong can do.
pub static CAPABILITIES: Capabilities = Capabilities {
    kind: HostKind::Kong,
    keeps_configuration: false,
    lets_requests_go: true,
    meets_twice: true,
    keeps_roots: true,
    wakes_others: false,
    // Where there is no zone each use traps: at a start the route would then be served without the
    // filter, and on a tick the instance would end. A request is held back before the first use, so
    // that it is the one to find out.
    keeps_state: true,
    has_memory: false,
    // A full zone may evict anything.
    never_forgets: false,
    // A version of 0 creates, and is refused for what exists. A wrong one is refused.
    absent: 0,
    has_randomness: false,
    verifies: &[],
    // To remove one answers yes and does nothing.
    adds_to_gauges: false,
    removes_headers: false,
    holds_headers: false,
    tells_ends: false,
    pairs_max: 100,
    // `:path` is decoded already, and may be stripped.
    target: Some(&["request", "path"]),
    set_target: |target| set_query(target.as_bytes()),
    route: &["kong", "route_name"],
    // As anything in `kong.*`: see `admitted`.
    tells_route_late: false,
    client_certificate: || {
        let shown = abi::property(&["ngx", "ssl_client_verify"]).unwrap_or_default();
        !shown.is_empty() && shown != b"NONE"
    },
    certificate_digest: None,
    upstream: |call| Some(&call.address),
    closes_connections: true,
    reuses_buffers: true,
    why_no_call: |_, address| format!("Kong makes no call to {address}"),
    // A variable of nginx's that kong/ declares; where it isn't, the host says so and nothing
    // happens. `kong.ctx.shared` isn't for this: see `admitted`.
    tell: |name, value| abi::set_property(&["ngx", &format!("herdgate_{name}")], value.as_bytes()),
};

/// Gives the request to the API the query of `target`. The path there may be another than the
/// client's.
fn set_query(target: &[u8]) {
    let (_, query) = split_query(target);
    let uri = abi::property(UPSTREAM_URI).unwrap_or_default();
    let (path, _) = split_query(&uri);
    abi::set_property(UPSTREAM_URI, &[path, query].concat());
}

/// A target's path, and its query with the question mark.
fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    target.split_at_checked(at).unwrap_or((target, b""))
}
