//! Shared memory as the facts use it: the tables, and what is counted when they can't do their work.

use crate::config;
use crate::digest::Digest;
use crate::metrics::Metric;
use crate::revocation::Revoked;
use crate::shared::document::META_BYTES;
use crate::shared::{Acquired, Documents, Epoch, Leases, Moment, Owner, Registers, Table, TableId, Unavailable};
use crate::time::Time;
use crate::token_endpoint::admission::{Admission, STATE_BYTES};

use super::Facts;
use super::flight::State;
use super::verified::RECORD_BYTES;

/// The tables of one configuration. Configurations with equal sizes share them; others meet in the
/// same slots, where each record names its key.
pub struct Tables {
    /// Verified tokens, and [`super::handed_out`].
    pub(super) tokens: Table,
    pub(super) states: Table,
    pub(super) documents: Documents,
    pub(super) leases: Leases,
    pub(super) revoked: Revoked,
    pub(super) admissions: Registers,
}

impl Tables {
    /// Tables of the configured sizes.
    pub fn new(shared: &config::Shared) -> Self {
        Tables {
            tokens: Table::new(TableId::Tokens, shared.tokens_max, RECORD_BYTES),
            states: Table::new(TableId::Facts, STATES_MAX, State::BYTES),
            documents: Documents::new(shared.answers_max),
            leases: Leases::new(LEASES_MAX),
            revoked: Revoked::new(REVOKED_MAX),
            admissions: Registers::new(TableId::Admissions, ADMISSIONS_MAX, STATE_BYTES),
        }
    }
}

/// States and leases are as many as calls under way and failing sources.
const STATES_MAX: u32 = 8_192;
const LEASES_MAX: u32 = 16_384;
/// Names of revoked tokens that haven't ended: 1 MiB of Kong's zone when all slots are there.
const REVOKED_MAX: u32 = 16_384;
/// Token endpoints of all configurations of a host; more of them only share their health.
const ADMISSIONS_MAX: u32 = 512;
/// How long a state is of use after its last change.
const STATE_TTL_S: u64 = 86_400;

/// A document as it was found.
pub struct Document {
    pub body: Vec<u8>,
    pub meta: [u8; META_BYTES],
    pub version: u64,
    pub expires: Time,
}

/// Shared memory at one moment.
pub struct Shelf<'a> {
    facts: &'a Facts<'a>,
    tables: &'a Tables,
}

impl<'a> Shelf<'a> {
    pub fn new(facts: &'a Facts<'a>) -> Self {
        Shelf { facts, tables: &facts.runtime.compiled.tables }
    }

    /// The record of a verified token.
    pub fn read_token(&self, digest: &Digest) -> Option<Vec<u8>> {
        let at = self.moment();
        self.tables.tokens.get(&at, digest).map(|found| found.payload().to_vec())
    }

    /// Keeps the record of a verified token; to forget one costs a verification, no more.
    pub fn write_token(&self, digest: &Digest, record: &[u8], expires: Time) {
        let at = self.moment();
        let _ = self.counted(self.tables.tokens.put(&at, digest, record, expires));
    }

    /// Forgets a record of that table; tells whether there was one, and nothing if it may be there still.
    pub fn remove_token(&self, digest: &Digest) -> Option<bool> {
        let at = self.moment();
        self.counted(self.tables.tokens.remove(&at, digest))
    }

    /// The version of a document, in one host call where it has one.
    pub fn document_version(&self, digest: &Digest) -> Option<u64> {
        let at = self.moment();
        self.tables.documents.head(&at, digest).map(|head| head.version)
    }

    /// A document of at most `bytes_max` bytes.
    pub fn read_document(&self, digest: &Digest, bytes_max: usize) -> Option<Document> {
        let at = self.moment();
        let document = self.tables.documents.read(&at, digest)?;
        let (head, body) = (document.head, document.body);
        (body.len() <= bytes_max).then_some(Document { body, meta: head.meta, version: head.version, expires: head.expires })
    }

    /// Writes a document and returns its version.
    pub fn write_document(&self, digest: &Digest, body: &[u8], meta: &[u8; META_BYTES], expires: Time) -> Option<u64> {
        let at = self.moment();
        self.counted(self.tables.documents.write(&at, digest, meta, body, expires))
    }

    /// Removes a document; tells whether it is gone for sure.
    pub fn remove_document(&self, digest: &Digest) -> bool {
        let at = self.moment();
        self.counted(self.tables.documents.remove(&at, digest)).is_some()
    }

    /// The state of a fact; a lost one is that of a fact that never failed.
    pub fn read_state(&self, digest: &Digest) -> State {
        let at = self.moment();
        let found = self.tables.states.get(&at, digest);
        found.and_then(|found| State::from_bytes(found.payload())).unwrap_or_default()
    }

    /// Changes the state of a fact; tells whether the change was kept. Of two changes at once one may
    /// be lost: a state paces calls, and leases keep them single.
    pub fn update_state(&self, digest: &Digest, change: impl Fn(&mut State)) -> bool {
        let at = self.moment();
        let mut state = self.read_state(digest);
        change(&mut state);
        self.counted(self.tables.states.put(&at, digest, &state.to_bytes(), at.now.plus_s(STATE_TTL_S))).is_some()
    }

    /// Takes the lease on a fact, if nobody has it. Where leases can't be kept, everyone leads: more
    /// calls are better than none.
    pub fn acquire_lease(&self, digest: &Digest, lease_ms: u64) -> Option<Owner> {
        let at = self.moment();
        let owner = Owner::new(at.store);
        match self.counted(self.tables.leases.acquire(&at, digest, owner, lease_ms)) {
            Some(Acquired::Taken { .. }) => None,
            Some(Acquired::Held { .. }) | None => Some(owner),
        }
    }

    /// Whether someone has the lease on a fact.
    pub fn lease_is_held(&self, digest: &Digest) -> bool {
        let at = self.moment();
        matches!(self.tables.leases.held_until(&at, digest), Ok(Some(_)))
    }

    /// Gives a lease back.
    pub fn release_lease(&self, digest: &Digest, owner: Owner) {
        let at = self.moment();
        let _ = self.counted(self.tables.leases.release(&at, digest, owner));
    }

    /// Changes how a token endpoint fares.
    pub fn update_admission<R>(&self, endpoint: &Digest, change: impl Fn(Admission) -> (Admission, R)) -> Option<R> {
        let at = self.moment();
        self.counted(self.tables.admissions.update(&at, endpoint, |bytes| {
            let (after, result) = change(Admission::decode(bytes.unwrap_or_default()));
            (after.encode().to_vec(), result)
        }))
    }

    /// The number that changes with each revocation; nothing before the first.
    pub fn revocation_epoch(&self, name: &Digest) -> Option<u64> {
        Epoch::REVOCATION.read_named(&self.moment(), name)
    }

    /// Tells all workers that something was revoked; tells whether it could.
    pub fn bump_revocations(&self) -> bool {
        let at = self.moment();
        self.counted(Epoch::REVOCATION.bump(&at)).is_some()
    }

    /// Remembers the name of a revoked token; tells whether it is remembered. `source` is who asked for it, where
    /// anyone could have made it up.
    pub fn revoke(&self, name: &Digest, until: Time, source: Option<u64>) -> bool {
        let (at, revoked) = (self.moment(), &self.tables.revoked);
        let result = match source {
            None => revoked.insert(&at, name, until),
            Some(source) => revoked.insert_unverified(&at, name, until, source),
        };
        self.counted(result).is_some()
    }

    /// Whether a name was revoked; nothing if that can't be known.
    pub fn is_revoked(&self, name: &Digest) -> Option<bool> {
        let at = self.moment();
        self.counted(self.tables.revoked.contains(&at, name))
    }

    /// What every access needs.
    pub fn moment(&self) -> Moment<'a> {
        Moment { store: self.facts.host.store, host: &self.facts.runtime.host_key, now: self.facts.now }
    }

    fn counted<T>(&self, result: Result<T, Unavailable>) -> Option<T> {
        let metric = match result {
            Ok(value) => return Some(value),
            Err(Unavailable::Exhausted) => Metric::CasExhausted,
            Err(_) => Metric::SharedFull,
        };
        self.facts.host.meter.count(metric);
        None
    }
}
