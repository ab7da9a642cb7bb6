//! Shared memory as the facts use it: the tables, and what is counted when they can't do their
//! work.

use crate::config::Config;
use crate::digest::Digest;
use crate::metrics::Metric;
use crate::revocation::Revoked;
use crate::shared::cells::Cell;
use crate::shared::document::META_BYTES;
use crate::shared::{
    Acquired, Documents, Epoch, Head, Leases, Moment, Opened, Owner, Places, Registers, Table,
    TableId, Unavailable,
};
use crate::time::{Span, Time};
use crate::token_endpoint::admission::{Admission, STATE_BYTES};

use super::Facts;
use super::clients::Standing;
use super::flight::State;
use super::status;
use super::told::Progress;
use super::verified::RECORD_BYTES;

/// The tables of one configuration. Configurations with equal sizes share them; others meet in the
/// same slots, where each record names its key.
pub struct Tables {
    /// Verified tokens, and [`super::handed_out`].
    pub(super) tokens: Table,
    pub(super) states: Table,
    pub(super) documents: Documents,
    /// What was asked about by ids and tokens that anyone can make up: it takes no room from the
    /// rest.
    pub(super) lookups: Documents,
    /// What is known of opaque tokens that are active, or were a while ago.
    pub(super) opaque: Documents,
    pub(super) absent: Table,
    pub(super) leases: Leases,
    pub(super) revoked: Revoked,
    pub(super) admissions: Registers,
    pub(super) clients: Table,
    pub(super) gateways: Registers,
    /// Status lists, and which of an issuer's are in use.
    pub(super) lists: Documents,
    pub(super) list_places: Registers,
}

impl Tables {
    /// Tables of the configured sizes.
    pub fn new(config: &Config) -> Self {
        let shared = &config.shared;
        Tables {
            tokens: Table::new(TableId::Tokens, shared.tokens_max, RECORD_BYTES),
            states: Table::new(TableId::Facts, STATES_MAX, State::BYTES),
            documents: Documents::new(shared.answers_max),
            lookups: Documents::in_table(TableId::Lookups, LOOKUPS_MAX),
            opaque: Documents::in_table(TableId::Opaque, OPAQUE_MAX),
            absent: Table::new(TableId::Absent, ABSENT_MAX, WRITTEN_BYTES),
            leases: Leases::new(LEASES_MAX),
            revoked: Revoked::new(REVOKED_MAX),
            admissions: Registers::new(TableId::Admissions, ADMISSIONS_MAX, STATE_BYTES),
            clients: Table::new(TableId::Clients, CLIENTS_MAX, Standing::BYTES),
            gateways: Registers::new(TableId::Gateways, GATEWAYS_MAX, Progress::BYTES),
            lists: status::table(config),
            list_places: status::places(),
        }
    }
}

/// Credentials and introspections, and those that there aren't: 4 MiB and 2 MiB of Kong's zone.
const LOOKUPS_MAX: u32 = 2_048;
const ABSENT_MAX: u32 = 8_192;
/// Opaque tokens in use at once: 16 MiB of Kong's zone when all slots are there.
const OPAQUE_MAX: u32 = 8_192;
/// Such a name's record holds when it was written.
const WRITTEN_BYTES: usize = 8;
/// States and leases are as many as calls under way and failing sources.
const STATES_MAX: u32 = 8_192;
const LEASES_MAX: u32 = 16_384;
/// Names of revoked tokens that haven't ended: 1 MiB of Kong's zone when all slots are there.
const REVOKED_MAX: u32 = 16_384;
/// Token endpoints of all configurations of a host; more of them only share their health.
const ADMISSIONS_MAX: u32 = 512;
/// Clients that were told to wait, or whose calls fail.
const CLIENTS_MAX: u32 = 4_096;
/// Places where gateways meet, of all configurations of a host. One that loses its progress to
/// another reads all again.
const GATEWAYS_MAX: u32 = 64;
/// How long a state is of use after its last change.
const STATE_TTL_S: u64 = 86_400;

/// A document as it was found.
pub struct Document {
    pub body: Vec<u8>,
    pub meta: [u8; META_BYTES],
    pub version: u64,
    pub written: Time,
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

    /// The same; without one, where it would lie.
    pub fn find_token(&self, digest: &Digest) -> Result<Vec<u8>, Places> {
        let at = self.moment();
        self.tables.tokens.find(&at, digest).map(|found| found.payload().to_vec())
    }

    /// Keeps the record of a verified token that had none there a moment ago.
    pub fn write_new_token(&self, digest: &Digest, record: &[u8], expires: Time, places: Places) {
        let at = self.moment();
        let _ = self.counted(self.tables.tokens.put_new(&at, digest, record, expires, places));
    }

    /// Keeps the record of a verified token; to forget one costs a verification, no more.
    pub fn write_token(&self, digest: &Digest, record: &[u8], expires: Time) {
        let at = self.moment();
        let _ = self.counted(self.tables.tokens.put(&at, digest, record, expires));
    }

    /// Forgets a record of that table; tells whether there was one, and nothing if it may be there
    /// still.
    pub fn remove_token(&self, digest: &Digest) -> Option<bool> {
        let at = self.moment();
        self.counted(self.tables.tokens.remove(&at, digest))
    }

    /// The version of a document, in one host call where it has one.
    pub fn document_version(&self, digest: &Digest) -> Option<u64> {
        let at = self.moment();
        self.tables.documents.head(&at, digest).map(|head| head.version)
    }

    /// The version of a document and its end.
    pub fn document_head(&self, digest: &Digest) -> Option<(u64, Time)> {
        let at = self.moment();
        self.tables.documents.head(&at, digest).map(|head| (head.version, head.expires))
    }

    /// A document of at most `bytes_max` bytes.
    pub fn read_document(&self, digest: &Digest, bytes_max: usize) -> Option<Document> {
        self.read_document_at(&self.moment(), digest, bytes_max)
    }

    /// The same under the secret before; its parts have names under that too.
    pub fn read_document_before(&self, digest: &Digest, bytes_max: usize) -> Option<Document> {
        let at = self.moment();
        let at = Moment { host: at.host.previous()?, ..at };
        self.read_document_at(&at, digest, bytes_max)
    }

    fn read_document_at(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        bytes_max: usize,
    ) -> Option<Document> {
        let document = self.tables.documents.read(at, digest)?;
        let (head, body) = (document.head, document.body);
        let Head { version, written, expires, meta, .. } = head;
        (body.len() <= bytes_max).then_some(Document { body, meta, version, written, expires })
    }

    /// The same where it is safe to have none: one that was written before the clock went back is
    /// removed, so that it isn't believed again once the clock has come there.
    pub fn read_believed(&self, digest: &Digest, bytes_max: usize) -> Option<Document> {
        let document = self.read_document(digest, bytes_max)?;
        if document.written.is_ahead_of(self.facts.now) {
            self.remove_document(digest);
            return None;
        }
        Some(document)
    }

    /// Writes a document and returns its version.
    pub fn write_document(
        &self,
        digest: &Digest,
        body: &[u8],
        meta: &[u8; META_BYTES],
        expires: Time,
    ) -> Option<u64> {
        let at = self.moment();
        self.counted(self.tables.documents.write(&at, digest, meta, body, expires))
    }

    /// Removes a document; tells whether it is gone for sure.
    pub fn remove_document(&self, digest: &Digest) -> bool {
        let at = self.moment();
        self.counted(self.tables.documents.remove(&at, digest)).is_some()
    }

    /// What was said of something that anyone can name, unless the clock has gone back since; an
    /// empty document if that there is no such thing.
    pub fn read_asked(&self, digest: &Digest, bytes_max: usize) -> Option<Document> {
        let at = self.moment();
        if let Some(document) = self.tables.lookups.read(&at, digest) {
            let (Head { version, written, expires, meta, .. }, body) =
                (document.head, document.body);
            if written.is_ahead_of(at.now) {
                let _ = self.counted(self.tables.lookups.remove(&at, digest));
                return None;
            }
            return (body.len() <= bytes_max).then_some(Document {
                body,
                meta,
                version,
                written,
                expires,
            });
        }
        let Span { from: written, until: expires } = self.read_absent(digest)?;
        Some(Document { body: Vec::new(), meta: [0; META_BYTES], version: 0, written, expires })
    }

    /// For how long it is known that there is no such thing, unless the clock has gone back since.
    pub fn read_absent(&self, digest: &Digest) -> Option<Span> {
        let at = self.moment();
        let absent = self.tables.absent.get(&at, digest)?;
        let from =
            absent.payload().first_chunk().map(|ns| Time::from_ns(u64::from_le_bytes(*ns)))?;
        if from.is_ahead_of(at.now) {
            let _ = self.counted(self.tables.absent.remove(&at, digest));
            return None;
        }
        Some(Span { from, until: absent.expires() })
    }

    /// Keeps that there is no such thing; tells whether it is kept.
    pub fn write_absent(&self, digest: &Digest, expires: Time) -> bool {
        let at = self.moment();
        let written = at.now.ns().to_le_bytes();
        self.counted(self.tables.absent.put(&at, digest, &written, expires)).is_some()
    }

    /// What was said of an opaque token, unless the clock has gone back since; and for how long that
    /// is fresh.
    pub fn read_opaque(&self, digest: &Digest) -> Option<(Span, Vec<u8>)> {
        let at = self.moment();
        let document = self.tables.opaque.read(&at, digest)?;
        if document.head.written.is_ahead_of(at.now) {
            self.remove_opaque(digest);
            return None;
        }
        let fresh = document.head.meta.first_chunk::<8>()?;
        let until = Time::from_ns(u64::from_le_bytes(*fresh));
        Some((Span { from: document.head.written, until }, document.body))
    }

    /// Whether something was said of an opaque token; the head alone is read.
    pub fn has_opaque(&self, digest: &Digest) -> bool {
        let at = self.moment();
        let head = self.tables.opaque.head(&at, digest);
        head.is_some_and(|head| !head.written.is_ahead_of(at.now))
    }

    /// Keeps what was said of an opaque token, fresh until `fresh_until`; tells whether it is kept.
    pub fn write_opaque(
        &self,
        digest: &Digest,
        body: &[u8],
        fresh_until: Time,
        expires: Time,
    ) -> bool {
        let at = self.moment();
        let mut meta = [0; META_BYTES];
        if let Some(place) = meta.first_chunk_mut::<8>() {
            *place = fresh_until.ns().to_le_bytes();
        }
        self.counted(self.tables.opaque.write(&at, digest, &meta, body, expires)).is_some()
    }

    /// Forgets it; tells whether it is gone for sure.
    pub fn remove_opaque(&self, digest: &Digest) -> bool {
        let at = self.moment();
        self.counted(self.tables.opaque.remove(&at, digest)).is_some()
    }

    /// Keeps that; no body: there is no such thing. Tells whether it is kept.
    pub fn write_asked(&self, digest: &Digest, body: Option<&[u8]>, expires: Time) -> bool {
        let at = self.moment();
        match body {
            Some(body) => self
                .counted(self.tables.lookups.write(&at, digest, &[0; META_BYTES], body, expires))
                .is_some(),
            None => {
                let _ = self.counted(self.tables.lookups.remove(&at, digest));
                self.write_absent(digest, expires)
            }
        }
    }

    /// The state of a fact; a lost one is that of a fact that never failed.
    pub fn read_state(&self, digest: &Digest) -> State {
        let at = self.moment();
        let found = self.tables.states.get(&at, digest);
        found.and_then(|found| State::from_bytes(found.payload())).unwrap_or_default().at(at.now)
    }

    /// Changes the state of a fact; tells whether the change was kept. Of two changes at once one
    /// may be lost: a state paces calls, and leases keep them single.
    pub fn update_state(&self, digest: &Digest, change: impl Fn(&mut State)) -> bool {
        self.update_state_for(digest, STATE_TTL_S, change)
    }

    /// The same for a state that is of use for so many seconds.
    pub fn update_state_for(
        &self,
        digest: &Digest,
        ttl_s: u64,
        change: impl Fn(&mut State),
    ) -> bool {
        let at = self.moment();
        let mut state = self.read_state(digest);
        change(&mut state);
        self.counted(self.tables.states.put(&at, digest, &state.to_bytes(), at.now.plus_s(ttl_s)))
            .is_some()
    }

    /// How a client of a token endpoint fares; one of whom nothing is known has never failed.
    pub(super) fn read_standing(&self, client: &Digest) -> Standing {
        let at = self.moment();
        let found = self.tables.clients.get(&at, client);
        found.and_then(|found| Standing::from_bytes(found.payload())).unwrap_or_default()
    }

    /// Keeps that until `expires`.
    pub(super) fn write_standing(&self, client: &Digest, standing: Standing, expires: Time) {
        let at = self.moment();
        let _ = self.counted(self.tables.clients.put(&at, client, &standing.to_bytes(), expires));
    }

    /// Takes the lease on a fact, if nobody has it. Where leases can't be kept, everyone leads:
    /// more calls are better than none.
    pub fn acquire_lease(&self, digest: &Digest, lease_ms: u64) -> Option<Owner> {
        let at = self.moment();
        let owner = Owner::new(at.store);
        match self.counted(self.tables.leases.acquire(&at, digest, owner, lease_ms)) {
            Some(Acquired::Taken { .. }) => None,
            Some(Acquired::Held { .. }) | None => Some(owner),
        }
    }

    /// Whether someone has the lease on a fact, which nobody takes for longer than `lease_ms`.
    pub fn lease_is_held(&self, digest: &Digest, lease_ms: u64) -> bool {
        let at = self.moment();
        self.tables.leases.is_held(&at, digest, lease_ms) == Ok(true)
    }

    /// Gives a lease back.
    pub fn release_lease(&self, digest: &Digest, owner: Owner) {
        let at = self.moment();
        let _ = self.counted(self.tables.leases.release(&at, digest, owner));
    }

    /// Changes how a token endpoint fares.
    pub fn update_admission<R>(
        &self,
        endpoint: &Digest,
        change: impl Fn(Admission) -> (Admission, R),
    ) -> Option<R> {
        let at = self.moment();
        self.counted(self.tables.admissions.update(&at, endpoint, |bytes| {
            let (after, result) = change(Admission::decode(bytes.unwrap_or_default()));
            (after.encode(), result)
        }))
    }

    /// A status list whose pages can be read, unless the clock has gone back since it was written.
    pub fn open_list(&self, digest: &Digest) -> Option<Opened> {
        let at = self.moment();
        self.tables.lists.open(&at, digest).filter(|of| !of.head.written.is_ahead_of(at.now))
    }

    /// The version of a status list, in one host call where it has one.
    pub fn list_version(&self, digest: &Digest) -> Option<u64> {
        let at = self.moment();
        self.tables.lists.head(&at, digest).map(|head| head.version)
    }

    /// One page of an opened list; nothing if it has gone with its version.
    pub fn read_page(&self, digest: &Digest, opened: &Opened, n: usize) -> Option<Vec<u8>> {
        self.tables.lists.part(&self.moment(), digest, opened, n)
    }

    /// Keeps a status list; tells whether it is kept.
    pub fn write_list(
        &self,
        digest: &Digest,
        body: &[u8],
        meta: &[u8; META_BYTES],
        expires: Time,
    ) -> bool {
        let at = self.moment();
        self.counted(self.tables.lists.write(&at, digest, meta, body, expires)).is_some()
    }

    /// Changes which lists of an issuer are in use.
    pub fn update_places<R>(
        &self,
        issuer: &Digest,
        change: impl Fn(&[u8]) -> (Vec<u8>, R),
    ) -> Option<R> {
        let at = self.moment();
        self.counted(
            self.tables.list_places.update(&at, issuer, |bytes| change(bytes.unwrap_or_default())),
        )
    }

    /// The number that changes with each revocation; nothing before the first.
    pub fn revocation_epoch(&self, name: &Digest) -> Option<u64> {
        Epoch::REVOCATION.read_named(&self.moment(), name)
    }

    /// Whether nobody on this host has ever revoked anything, as far as that can be known.
    pub fn never_revoked(&self) -> bool {
        let at = self.moment();
        at.store.never_forgets() && Epoch::REVOCATION.was_never_written(&at)
    }

    /// Tells all workers that something was revoked; tells whether it could.
    pub fn bump_revocations(&self) -> bool {
        let at = self.moment();
        self.counted(Epoch::REVOCATION.bump(&at)).is_some()
    }

    /// Remembers the name of a revoked token; tells whether it is remembered. `source` is who asked
    /// for it, where anyone could have made it up.
    pub fn revoke(&self, name: &Digest, until: Time, source: Option<u64>) -> bool {
        let (at, revoked) = (self.moment(), &self.tables.revoked);
        let result = match source {
            None => revoked.insert(&at, name, until),
            Some(source) => revoked.insert_unverified(&at, name, until, source),
        };
        self.counted(result).is_some()
    }

    /// How many slots the table of revoked names has.
    pub fn revoked_slots(&self) -> u32 {
        self.tables.revoked.slots()
    }

    /// The names of one of them that haven't ended.
    pub fn revoked_in(&self, slot: u32) -> Vec<(Digest, Cell)> {
        let at = self.moment();
        self.counted(self.tables.revoked.in_force(&at, slot)).unwrap_or_default()
    }

    /// How far this gateway has come in what others tell.
    pub(super) fn read_progress(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.tables.gateways.get(&self.moment(), digest)
    }

    /// Keeps that; tells whether it is kept.
    pub(super) fn write_progress(&self, digest: &Digest, progress: Vec<u8>) -> bool {
        let at = self.moment();
        let written = self.tables.gateways.update(&at, digest, |_| (progress.clone(), ()));
        self.counted(written).is_some()
    }

    /// Whether a name was revoked; nothing if that can't be known.
    pub fn is_revoked(&self, name: &Digest) -> Option<bool> {
        let at = self.moment();
        self.counted(self.tables.revoked.contains(&at, name))
    }

    /// What every access needs.
    pub fn moment(&self) -> Moment<'a> {
        self.facts.moment()
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
