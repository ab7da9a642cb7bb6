//! Facts: from this worker's memory, then from the host's shared memory, else missing. The one
//! read-through.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod asked;
pub mod call;
mod cause;
pub mod clients;
mod credentials;
pub mod elsewhere;
mod encrypted;
mod fact;
mod feeds;
mod flight;
pub mod handed_out;
mod introspection;
mod keys;
mod levels;
mod logged;
pub mod memory;
mod metadata;
mod once;
mod opaque;
mod outages;
mod question;
mod queue;
pub mod refreshes;
mod revoked;
mod shelf;
mod sight;
mod signed;
pub mod sizes;
mod status;
mod streams;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod told;
mod tries;
mod trouble;
mod verified;
mod verifying;
mod vouched;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub use fact::{Endpoint, Fact};
pub use flight::Turn;
pub use keys::KeySet;
pub use once::{Claim, Once, Outcome, Spent, WAIT_MS_MAX};
pub use queue::Queue;
pub use revoked::Revocation;
pub use verified::Verified;

use crate::config::Config;
use crate::digest::{Digest, HostKey};
use crate::jwt::issuer;
use crate::jwt::issuer::Issuer;
use crate::metrics::Meter;
use crate::rate_limit::Charging;
use crate::rate_limit::Counters;
use crate::rate_limit::sync::{Ledger, Present, Targets};
use crate::redis;
use crate::reply::{Reason, Refusal};
use crate::revocation::names;
use crate::revocation::told::Outbox;
use crate::shared::once::Ids;
use crate::shared::{Moment, Store, TableId};
use crate::signature::HostVerify;
use crate::time::{Span, Time};

use memory::BoundedMap;
use shelf::Shelf;

/// What the host lends for the time of one callback.
pub struct Host<'a> {
    /// Shared memory.
    pub store: &'a dyn Store,
    /// The host's own signature function.
    pub verify: &'a dyn HostVerify,
    /// Where events are counted.
    pub meter: &'a dyn Meter,
}

/// One configuration in one worker.
pub struct Runtime {
    /// The configuration.
    pub config: Rc<Config>,
    /// What follows from it.
    pub compiled: Compiled,
    /// The host-wide key.
    pub host_key: HostKey,
    /// What names counters where gateways meet.
    pub(crate) sync_key: HostKey,
    /// What names revoked tokens: the same at all gateways that share a secret.
    pub(crate) names_key: HostKey,
    /// What names subjects in logs, where that isn't the host-wide key.
    subject_key: Option<HostKey>,
    /// Lines about refusals that this worker left out of the log since the last one.
    lines_left_out: Cell<u64>,
    /// Whether another configuration may verify tokens that this one doesn't know, as far as the
    /// worker knows.
    pub verifies_elsewhere: Cell<bool>,
    /// When the worker began under this configuration, if it is known that nothing was remembered
    /// here before.
    began: Option<Time>,
    /// Whether it has met the memory of ids that count once.
    has_seen_ids: Cell<bool>,
    /// This worker's memory.
    pub worker: RefCell<Worker>,
}

impl Runtime {
    /// A worker that knows nothing yet.
    pub fn new(config: Rc<Config>, host_key: HostKey) -> Self {
        let compiled = Compiled::new(&config);
        let (secret, previous) = (&config.shared.secret, config.shared.secret_previous.as_ref());
        let sync_key = config.shared.sync_key();
        let names_key = names::key(secret, previous).unwrap_or_else(|| host_key.clone());
        let subject_key = logged::key(&config);
        let memory = config.memory;
        let worker = Worker {
            verified: BoundedMap::new(memory.tokens_max, memory.bytes_max),
            wrappings: BoundedMap::new(memory.tokens_max, memory.bytes_max / 4),
            key_sets: vec![None; config.issuers.len()],
            tries: config.issuers.iter().map(|_| tries::Tries::default()).collect(),
            discovered: HashMap::new(),
            leading: HashMap::new(),
            credentials: BoundedMap::new(memory.tokens_max, memory.bytes_max / 4),
            absent: BoundedMap::new(memory.tokens_max, memory.bytes_max / 16),
            introspections: BoundedMap::new(memory.tokens_max, memory.bytes_max / 4),
            handed_out: BoundedMap::new(memory.tokens_max, memory.bytes_max / 4),
            refreshes: HashMap::new(),
            revocations: revoked::Revocations::new(config.revocation_feeds.len()),
            status_lists: status::Lists::new(&config),
            troubles: trouble::Troubles::default(),
            levels: levels::Levels::default(),
            outbox: Outbox::default(),
            claims: redis::Known::default(),
            elsewhere: elsewhere::Elsewhere::default(),
            heard: [false; 2],
            ledgers: compiled
                .targets
                .all
                .iter()
                .map(|target| Ledger::new(target.every_ms))
                .collect(),
            present: Present::default(),
            generation: 0,
        };
        Runtime {
            compiled,
            config,
            host_key,
            sync_key,
            names_key,
            subject_key,
            lines_left_out: Cell::default(),
            verifies_elsewhere: Cell::new(true),
            began: None,
            has_seen_ids: Cell::new(false),
            worker: RefCell::new(worker),
        }
    }

    /// The same for a worker that began at this moment. Only one that has met no shared memory yet
    /// may say so: see [`Facts::ids_since`].
    #[must_use]
    pub fn begun(self, began: Option<Time>) -> Self {
        Runtime { began, ..self }
    }
}

/// What follows from a configuration, worked out once.
pub struct Compiled {
    /// Finds the issuer of a token.
    pub issuer_index: issuer::Index,
    /// Headers beside Kong's own that only the filter may set.
    pub reserved_headers: Vec<String>,
    /// Whether a rule asks for the route's name.
    pub reads_routes: bool,
    /// Counters of all limits.
    pub(crate) counters: Counters,
    /// Where limits meet those of other gateways.
    pub(crate) targets: Targets,
    /// Whether this configuration hears of revocations itself, so that each request looks for news.
    pub hears_of_revocations: bool,
    /// Whether some issuer's tokens are opaque.
    pub knows_opaque: bool,
    /// Whether some limit is charged for refused requests too.
    pub charges_refused: bool,
    /// Ids that count once.
    ids: Ids,
    /// Tables in shared memory.
    tables: shelf::Tables,
}

impl Compiled {
    fn new(config: &Config) -> Self {
        let forwards = config.issuers.iter().map(|issuer| &issuer.forward);
        let reserved = forwards.flat_map(|forward| {
            forward.claims.iter().map(|(_, name)| name).chain(&forward.payload_header)
        });
        Compiled {
            issuer_index: issuer::Index::new(&config.issuers),
            reserved_headers: reserved.cloned().collect(),
            reads_routes: config.matches_routes(),
            counters: Counters::new(config.shared.counters_max),
            targets: Targets::new(&config.rate_limits),
            hears_of_revocations: !config.revocation_feeds.is_empty()
                || config.gateways.as_ref().is_some_and(|gateways| gateways.revocations)
                || config.token_endpoints.iter().any(|endpoint| endpoint.revocation_path.is_some()),
            knows_opaque: config.issuers.iter().any(|issuer| issuer.opaque.is_some()),
            charges_refused: config.rate_limits.iter().any(|limit| limit.charge == Charging::All),
            ids: Ids::new(TableId::Replay, config.replay.ids_max),
            tables: shelf::Tables::new(config),
        }
    }
}

/// This worker's memory. All of it is bounded: by entries, by bytes, or by the configuration.
pub struct Worker {
    pub(crate) verified: BoundedMap<Rc<Verified>>,
    /// In what each token was encrypted that is kept there, by the name of what was inside.
    wrappings: BoundedMap<Box<[u8]>>,
    /// What this worker has read of status lists.
    status_lists: status::Lists,
    /// The JWK Sets that this worker has read, by issuer.
    key_sets: Vec<Option<Arc<KeySet>>>,
    /// What trying keys for tokens that name none has cost, by issuer.
    tries: Vec<tries::Tries>,
    discovered: HashMap<usize, metadata::Discovered>,
    leading: HashMap<Digest, flight::Leading>,
    credentials: BoundedMap<credentials::Known>,
    /// Credentials that there aren't, and for how long that is believed.
    absent: BoundedMap<Span>,
    introspections: BoundedMap<introspection::Known>,
    handed_out: BoundedMap<handed_out::Found>,
    pub(crate) refreshes: HashMap<Digest, refreshes::Refresh>,
    revocations: revoked::Revocations,
    troubles: trouble::Troubles,
    levels: levels::Levels,
    /// What other gateways are to be told of revocations.
    pub(crate) outbox: Outbox,
    /// How Redis is asked for what counts once at all gateways.
    claims: redis::Known,
    /// What other gateways say of token calls, and are to be told of them.
    pub(crate) elsewhere: elsewhere::Elsewhere,
    /// Whether theirs were read, under each secret, as far as this worker knows.
    heard: [bool; 2],
    /// What is to be told, for each of `Compiled::targets`.
    pub(crate) ledgers: Vec<Ledger>,
    /// How many gateways there are.
    pub(crate) present: Present,
    generation: u64,
}

impl Worker {
    /// How many fetches it leads, those included that came to nothing.
    #[cfg(test)]
    pub(crate) fn leading_len(&self) -> usize {
        self.leading.len()
    }
}

/// Why a verdict isn't an admission. Small, since the hot path carries the room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The request is refused.
    Refuse(Box<Refusal>),
    /// A fact is missing.
    Missing(Box<Fact>),
}

impl From<Reason> for Stop {
    #[cold]
    fn from(reason: Reason) -> Self {
        Stop::Refuse(Box::new(reason.into()))
    }
}

impl From<Fact> for Stop {
    fn from(fact: Fact) -> Self {
        Stop::Missing(Box::new(fact))
    }
}

/// Everything that is known at one moment.
pub struct Facts<'a> {
    /// The configuration and this worker's memory.
    pub runtime: &'a Runtime,
    /// What the host is asked: its shared memory, its counters, its verifier.
    pub host: &'a Host<'a>,
    /// When this callback began: one moment for everything in it.
    pub now: Time,
}

impl Facts<'_> {
    #[inline(always)]
    pub(crate) fn issuer(&self, index: usize) -> Result<&Issuer, Stop> {
        self.runtime.config.issuers.get(index).ok_or_else(|| Reason::UnknownIssuer.into())
    }

    fn digest(&self, fact: &Fact) -> Digest {
        fact.digest(&self.runtime.host_key, &self.runtime.config)
    }

    fn shared(&self) -> Shelf<'_> {
        Shelf::new(self)
    }

    /// What every access to shared memory needs.
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment { store: self.host.store, host: &self.runtime.host_key, now: self.now }
    }

    /// A refusal since something can't be had until about `until`.
    fn unavailable(&self, reason: Reason, until: Time) -> Stop {
        let mut refusal = Refusal::from(reason);
        refusal.retry_after_s = Some(self.retry_after_s(until));
        Stop::Refuse(Box::new(refusal))
    }
}
