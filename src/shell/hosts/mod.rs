//! The one place where Envoy and Kong differ, and how the difference is found out: by behaviour.

mod envoy;
mod kong;

pub use envoy::verify::{EnvoyVerify, Untrusted};
pub use kong::admitted::Meeting;
pub use kong::latch::{self, Latch};

use std::cell::{Cell, OnceCell};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::exchange::changes::Changes;
use crate::request::HeaderBlock;
use crate::shared::{CAS_TRIES, Expect, Refused, Slot, Store, TableId, Version};

use super::abi::{self, Map, SharedSet};

/// Which host this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Envoy 1.40: a version of 0 overwrites, a wrong version creates.
    Envoy,
    /// Kong 3.9: a version of 0 creates, a wrong version is refused.
    Kong,
}

/// The version that no value has: Envoy's host takes it as "create", and refuses it for what
/// exists.
const NEVER: Version = u32::MAX;

/// A context that doesn't exist on any host.
const NOBODY: u32 = u32::MAX;

/// Kong's host hands over this many pairs of a map, pseudo headers included, and drops the rest
/// silently.
const KONG_PAIRS_MAX: usize = 100;

const UPSTREAM_URI: &[&str] = &["ngx", "upstream_uri"];

impl Dialect {
    /// Asks the host to make a context that doesn't exist the one that calls act on: Envoy refuses,
    /// Kong says yes to anything. Shared memory would tell too, but where Kong has no zone it
    /// traps, and a trap in a configuration's callback has Kong serve the route without the filter.
    pub fn probe() -> Dialect {
        if abi::set_effective_context(NOBODY) { Dialect::Kong } else { Dialect::Envoy }
    }

    /// The client's path and query as it sent them. Kong's `:path` is decoded already, and may be
    /// stripped.
    pub fn target(self) -> Option<Vec<u8>> {
        match self {
            Dialect::Envoy => None,
            // Without it the path is unknown, and an empty one is refused.
            Dialect::Kong => Some(abi::property(&["request", "path"]).unwrap_or_default()),
        }
    }

    /// Whether a request header can be removed. Where it can't, it is blanked.
    pub fn removes_headers(self) -> bool {
        self == Dialect::Envoy
    }

    /// Whether another exchange can be resumed from the root, so that one call serves all that
    /// wait.
    pub fn wakes_others(self) -> bool {
        self == Dialect::Envoy
    }

    /// Whether headers can be held until the body has come. Where they can't, they go on no further
    /// than the body does.
    pub fn holds_headers(self) -> bool {
        self == Dialect::Envoy
    }

    /// Whether the paused request has no body, on a host that doesn't say so in its headers
    /// callback.
    pub fn has_no_body(self) -> bool {
        self == Dialect::Kong
            && abi::header(abi::Map::Request, "transfer-encoding").is_none()
            && abi::header(abi::Map::Request, "content-length").is_none_or(|length| length == b"0")
    }

    /// Whether a body of `size` bytes is all of an answer with these headers, where the host
    /// doesn't tell.
    pub fn is_whole(self, headers: &HeaderBlock, size: usize) -> bool {
        let length = headers
            .get("content-length")
            .and_then(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok());
        self == Dialect::Kong && length == Some(size)
    }

    /// Whether the client showed a certificate on its connection.
    pub fn client_certificate(self) -> bool {
        match self {
            // A boolean is one byte.
            Dialect::Envoy => abi::property(&["connection", "mtls"])
                .is_some_and(|value| value.first() == Some(&1)),
            Dialect::Kong => {
                let shown = abi::property(&["ngx", "ssl_client_verify"]).unwrap_or_default();
                !shown.is_empty() && shown != b"NONE"
            }
        }
    }

    /// The client's address.
    pub fn address(self) -> Option<String> {
        String::from_utf8(abi::property(&["source", "address"])?).ok()
    }

    /// The route's name. On Kong only to be asked for in the headers callback, as anything in
    /// `kong.*`: see [`kong::admitted`].
    pub fn route(self) -> Option<String> {
        let path: &[&str] = match self {
            Dialect::Envoy => &["xds", "route_name"],
            Dialect::Kong => &["kong", "route_name"],
        };
        String::from_utf8(abi::property(path)?).ok()
    }

    /// Whether the host may have dropped headers of this block: then nobody knows what is in the
    /// rest.
    pub fn may_lack(self, headers: &HeaderBlock) -> bool {
        self == Dialect::Kong && headers.count() >= KONG_PAIRS_MAX
    }

    /// Whether the host may let a request go that isn't decided, so that it has to be held back.
    pub fn lets_requests_go(self) -> bool {
        self == Dialect::Kong
    }

    /// Changes the request that goes on.
    #[inline(always)]
    pub fn apply(self, changes: &Changes) {
        if changes.has_edits() || changes.headers().next().is_some() {
            self.apply_each(changes);
        }
    }

    #[inline(never)]
    fn apply_each(self, changes: &Changes) {
        for name in &changes.edits().remove {
            // A header that is set below is replaced there.
            let replaced = changes.headers().any(|(set, _)| set.eq_ignore_ascii_case(name));
            match self {
                _ if replaced => {}
                Dialect::Envoy => drop(abi::remove_header(Map::Request, name)),
                // Removing answers yes and does nothing there.
                Dialect::Kong => drop(abi::replace_header(Map::Request, name, "")),
            }
        }
        for (name, value) in changes.headers() {
            match (self, name) {
                (Dialect::Kong, ":path") => self.set_query(value.as_bytes()),
                _ => drop(abi::replace_header(Map::Request, name, value)),
            }
        }
    }

    /// Gives the request to the API the query of `target`. Kong proxies to a variable of its own,
    /// whose path may be another than the client's; `:path` is for other filters alone.
    fn set_query(self, target: &[u8]) {
        let (_, query) = split_query(target);
        let uri = abi::property(UPSTREAM_URI).unwrap_or_default();
        let (path, _) = split_query(&uri);
        abi::set_property(UPSTREAM_URI, &[path, query].concat());
    }
}

/// A target's path, and its query with the question mark.
fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    target.split_at_checked(at).unwrap_or((target, b""))
}

/// Shared memory in the host's dialect.
pub struct HostStore {
    dialect: Dialect,
    /// What no other worker has: its number and when it got that.
    number: OnceCell<(u64, u64)>,
    draws: Cell<u64>,
}

/// Where workers get their numbers (Kong).
const NUMBERS: Slot = Slot::new(TableId::HostKey, 1);

impl HostStore {
    /// The memory of this host.
    pub fn new(dialect: Dialect) -> Self {
        HostStore { dialect, number: OnceCell::new(), draws: Cell::default() }
    }

    /// The next number; 0 if the memory doesn't give one.
    fn draw_number(&self) -> u64 {
        for _ in 0..CAS_TRIES {
            let (last, expect) = match self.get(NUMBERS) {
                None => (0, Expect::Absent),
                Some((bytes, version)) => match bytes.as_slice().try_into().map(u64::from_le_bytes)
                {
                    Ok(last) => (last, Expect::Version(version)),
                    Err(_) => return 0,
                },
            };
            let next = last.wrapping_add(1);
            if self.set(NUMBERS, &next.to_le_bytes(), expect).is_ok() {
                return next;
            }
        }
        0
    }
}

impl Store for HostStore {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        abi::shared_get(&slot.0)
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        let version = match (expect, self.dialect) {
            (Expect::Absent, Dialect::Envoy) => NEVER,
            (Expect::Absent, Dialect::Kong) => 0,
            // Neither host gives out 0; to send it would overwrite on Envoy.
            (Expect::Version(0), _) => return Err(Refused::Lost),
            (Expect::Version(version), _) => version,
        };
        match abi::shared_set(&slot.0, value, version) {
            SharedSet::Written => Ok(()),
            SharedSet::Mismatch => Err(Refused::Lost),
            SharedSet::Refused => Err(Refused::Full),
        }
    }

    fn random(&self) -> u64 {
        if self.dialect == Dialect::Envoy {
            return random();
        }
        // Kong's random numbers may be the same in two workers, and two owners of one name would
        // both hold one lease. So what no other worker has goes into each.
        let number = self.number.get_or_init(|| (self.draw_number(), abi::now().ns()));
        let draw = self.draws.get().wrapping_add(1);
        self.draws.set(draw);
        let mut hasher = DefaultHasher::new();
        (number, draw, random()).hash(&mut hasher);
        hasher.finish()
    }
}

/// 64 bits from the host's source of randomness, by way of the standard library's hash keys.
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
