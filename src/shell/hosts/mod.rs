//! What the hosts do in different ways: the only place that names one.
//!
//! [`Capabilities`] is the table. Each host has a file that fills it in, and a folder for what it
//! alone needs. Which host this is, is found out by behaviour.

mod envoy;
mod kong;
mod stateless;

pub use envoy::verify::Trusted;
pub use kong::admitted::Meeting;
pub use kong::latch::{self, Latch};
pub use kong::residue::{Ended, Residue};

use crate::config::HostKind;
use crate::facts::call::Call;
use crate::request::HeaderBlock;
use crate::shared::Version;
use crate::signature::Algorithm;

use super::abi::{self, Map};

/// A context that doesn't exist on any host.
const NOBODY: u32 = u32::MAX;

/// Which host this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Envoy.
    Envoy,
    /// Kong.
    Kong,
    /// One that keeps nothing for the filter, by the configuration's own word.
    Stateless,
}

/// What a host can do and how it is asked. Each host's table has every line.
pub struct Capabilities {
    /// Whose rules the checks of the configuration follow.
    pub kind: HostKind,
    /// Whether it keeps what it had when a configuration is refused. Where it doesn't, it would
    /// serve the route without the filter, so the filter stays and refuses every request.
    pub keeps_configuration: bool,
    /// Whether it may let a request go that isn't decided, so that it has to be held back.
    pub lets_requests_go: bool,
    /// Whether all its configurations share one instance, so that a request may meet it twice.
    pub meets_twice: bool,
    /// Whether root contexts tick on when their configuration is gone.
    pub keeps_roots: bool,
    /// Whether another exchange can be resumed from the root, so that one call serves all that
    /// wait.
    pub wakes_others: bool,
    /// Whether it has shared memory, timers and metrics at all. Where it hasn't, it is never asked for
    /// any of them: such a call may end the worker.
    pub keeps_state: bool,
    /// Whether shared memory is there for certain, also outside of a request.
    pub has_memory: bool,
    /// Whether what was written there stays, so that a slot without a value never had one.
    pub never_forgets: bool,
    /// The version under which a record is written that must not be there yet.
    pub absent: Version,
    /// Whether two workers never get the same random numbers.
    pub has_randomness: bool,
    /// The algorithms whose signatures it may be asked to verify.
    pub verifies: &'static [Algorithm],
    /// Whether what workers add to a gauge is summed up. Where it isn't, the last one's value is all
    /// that there is.
    pub adds_to_gauges: bool,
    /// Whether a request header can be removed. Where it can't, it is blanked.
    pub removes_headers: bool,
    /// Whether headers can be held until the body has come. Where they can't, they go on no further
    /// than the body does.
    pub holds_headers: bool,
    /// Whether it says of headers and of bodies that nothing follows.
    pub tells_ends: bool,
    /// So many pairs of a map are handed over, pseudo headers included; the rest is dropped
    /// silently.
    pub pairs_max: usize,
    /// Where the client's path and query are as it sent them; nothing if `:path` is that.
    pub target: Option<&'static [&'static str]>,
    /// Gives the request to the API another path and query.
    pub set_target: fn(&str),
    /// Where the route's name is.
    pub route: &'static [&'static str],
    /// Whether the route may be asked for at any time, and not in the headers callback alone.
    pub tells_route_late: bool,
    /// Whether the client showed a certificate on its connection.
    pub client_certificate: fn() -> bool,
    /// Where the SHA-256 of that certificate is, in hexadecimal digits; nothing if nowhere.
    pub certificate_digest: Option<&'static [&'static str]>,
    /// Whom a call goes to, as the host is told.
    pub upstream: fn(&Call) -> Option<&str>,
    /// Whether each call is the only one on its connection, and says so.
    pub closes_connections: bool,
    /// Whether a call may leave something that spoils the next one of its request: see [`Residue`].
    pub reuses_buffers: bool,
    /// Why it makes no call to this upstream, by its status.
    pub why_no_call: fn(u32, &str) -> String,
    /// Tells access logs and other filters one thing of the request; false if nobody would hear it.
    pub tell: fn(&str, &str) -> bool,
}

impl Dialect {
    /// What holds before the host was asked: nothing is admitted then.
    pub const UNASKED: Dialect = Dialect::Envoy;

    /// Asks the host to make a context that doesn't exist the one that calls act on: Envoy refuses,
    /// Kong says yes to anything. Shared memory would tell too, but where Kong has no zone it
    /// traps, and a trap in a configuration's callback has Kong serve the route without the filter.
    pub fn probe() -> Dialect {
        if abi::set_effective_context(NOBODY) { Dialect::Kong } else { Dialect::Envoy }
    }

    /// What this host can do.
    #[inline(always)]
    pub const fn caps(self) -> &'static Capabilities {
        match self {
            Dialect::Envoy => &envoy::CAPABILITIES,
            Dialect::Kong => &kong::CAPABILITIES,
            Dialect::Stateless => &stateless::CAPABILITIES,
        }
    }

    /// The client's path and query as it sent them, where `:path` isn't that.
    pub fn target(self) -> Option<Vec<u8>> {
        // Without it the path is unknown, and an empty one is refused.
        self.caps().target.map(|place| abi::property(place).unwrap_or_default())
    }

    /// Whether the paused request has no body, on a host that doesn't say so in its headers
    /// callback.
    pub fn has_no_body(self) -> bool {
        !self.caps().tells_ends
            && abi::header(Map::Request, "transfer-encoding").is_none()
            && abi::header(Map::Request, "content-length").is_none_or(|length| length == b"0")
    }

    /// Whether a body of `size` bytes is all of an answer with these headers, where the host
    /// doesn't tell.
    pub fn is_whole(self, headers: &HeaderBlock, size: usize) -> bool {
        let length = headers
            .get("content-length")
            .and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
        !self.caps().tells_ends && length == Some(size)
    }

    /// Whether the host may have dropped headers of this block: then nobody knows what is in the
    /// rest.
    pub fn may_lack(self, headers: &HeaderBlock) -> bool {
        headers.count() >= self.caps().pairs_max
    }

    /// The client's address.
    pub fn address(self) -> Option<String> {
        String::from_utf8(abi::property(&["source", "address"])?).ok()
    }

    /// The route's name.
    pub fn route(self) -> Option<String> {
        String::from_utf8(abi::property(self.caps().route)?).ok()
    }
}
