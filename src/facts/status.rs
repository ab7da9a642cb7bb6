//! Status lists (draft-ietf-oauth-status-list): from this worker's memory, else from the host's
//! shared memory, else missing.
//!
//! A list is fetched once for all workers, verified and inflated by whoever fetched it, and kept in
//! shared memory in pages of one size. A worker reads the pages in which its tokens have their
//! statuses, and keeps them within a bound. What a page says is asked of the version of the list
//! that counts now: so the number of that version is kept with a token that was seen to be valid,
//! and a hot request looks at that number alone.

mod stored;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::config::Config;
use crate::digest::Digest;
use crate::jwt::{Claims, Jwt};
use crate::metrics::Metric;
use crate::reply::{FailureMode, Reason};
use crate::revocation::status::list::{self, Expected, List, ListError, VALID};
use crate::revocation::status::{CLAIM, Reference, StatusLists, reference};
use crate::shared::Opened;
use crate::shared::document::PART_BYTES;
use crate::signature::{HostVerify, VerifyKey};
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::memory::BoundedMap;
use super::{Fact, Facts, KeySet, Stop, Verified};

use stored::{Meta, Places};
pub(super) use stored::{places, table};

/// What a verified token says of its status, and what was last seen of that.
pub struct Status {
    index: u64,
    list: Rc<Known>,
    /// The version of the list under which it was valid.
    valid_under: Cell<Option<u64>>,
}

/// A list that a token in this worker's memory names.
pub(super) struct Known {
    issuer: usize,
    uri: String,
    digest: Digest,
    /// What was last read of it.
    listed: RefCell<Option<Rc<Listed>>>,
    /// Whether someone has asked for it since the last fetch ahead of its end.
    is_used: Cell<bool>,
}

/// One version of a list.
struct Listed {
    opened: Opened,
    /// From when it was asked for until when it is believed.
    fresh: Span,
    refresh_at: Time,
    bits: u8,
}

impl Listed {
    fn version(&self) -> u64 {
        self.opened.head.version
    }
}

/// What a worker remembers of lists.
pub(super) struct Lists {
    known: HashMap<Digest, Rc<Known>>,
    known_max: usize,
    pages: BoundedMap<Rc<[u8]>>,
}

impl Lists {
    pub(super) fn new(config: &Config) -> Lists {
        let lists = config.status_lists.iter().flatten();
        Lists {
            known: HashMap::new(),
            known_max: lists.map(|lists| lists.lists_max).sum(),
            pages: BoundedMap::new(PAGES_MAX, config.memory.bytes_max / 8),
        }
    }
}

/// Pages in a worker's memory: 8 MiB, if `memory.bytes_max` allows for that.
const PAGES_MAX: usize = 4_096;
/// Seconds for which it stays known when a list was signed: an older one is no news.
const REMEMBERED_S: u64 = 600;
/// Lists of one issuer in use at most: their record has room for so many.
pub const LISTS_MAX: u64 = 100;

/// A status, or why there is none.
enum Found {
    Status(u8),
    /// The list ends before it.
    Beyond,
    /// The page isn't there any more.
    Gone,
}

impl Facts<'_> {
    /// Where the status of a token with these claims is, of an issuer with lists. Without them it is
    /// counted that nobody looks.
    pub(super) fn status_of(
        &self,
        issuer: usize,
        claims: &Claims,
    ) -> Result<Option<Box<Status>>, Reason> {
        let Some(lists) = self.runtime.config.status_lists_of(issuer) else {
            if claims.raw.contains_key(CLAIM) {
                self.host.meter.count(Metric::StatusListUnchecked);
            }
            return Ok(None);
        };
        let found = reference(&claims.raw, lists).map_err(|_| Reason::Status)?;
        let Some(Reference { index, uri }) = found else { return Ok(None) };
        let list = self.known_list(issuer, uri);
        Ok(Some(Box::new(Status { index, list, valid_under: Cell::new(None) })))
    }

    /// Whether the token is still good as its list has it.
    ///
    /// # Errors
    /// `Status` if it isn't, or if the list has no such place; a missing list, or
    /// `StatusUnavailable` while it can't be had.
    #[inline(always)]
    pub fn status_is_valid(&self, verified: &Verified) -> Result<(), Stop> {
        match &verified.status {
            Some(status) => self.look_at_list(status),
            None => Ok(()),
        }
    }

    #[inline(never)]
    fn look_at_list(&self, status: &Status) -> Result<(), Stop> {
        let list = &status.list;
        list.is_used.set(true);
        let mut listed = self.listed(list);
        if let Some(listed) = &listed
            && status.valid_under.get() == Some(listed.version())
        {
            return Ok(());
        }
        for _ in 0..LOOKS {
            let Some(of) = listed.take().or_else(|| self.reload_list(list)) else { break };
            match self.status_at(list, &of, status.index) {
                Found::Status(VALID) => {
                    status.valid_under.set(Some(of.version()));
                    return Ok(());
                }
                Found::Status(_) | Found::Beyond => return Err(Reason::Status.into()),
                Found::Gone => {}
            }
        }
        let state = self.shared().read_state(&list.digest);
        if state.failures == 0 || self.now >= state.retry_at {
            return Err(Fact::StatusList(list.issuer, list.uri.clone()).into());
        }
        if self.does_without_list(list.issuer) {
            self.host.meter.count(Metric::StatusListAllowed);
            return Ok(());
        }
        Err(self.unavailable(Reason::StatusUnavailable, state.retry_at))
    }

    /// Whether it is known here, without a call, that a token with these claims would be refused
    /// for its status. The second says whether it has one.
    pub(super) fn is_taken_back(&self, issuer: usize, claims: &Claims) -> (bool, bool) {
        if !claims.raw.contains_key(CLAIM) {
            return (false, false);
        }
        let Some(lists) = self.runtime.config.status_lists_of(issuer) else {
            return (false, false);
        };
        let Ok(Some(Reference { index, uri })) = reference(&claims.raw, lists) else {
            return (true, true);
        };
        let list = self.known_list(issuer, uri);
        list.is_used.set(true);
        let Some(listed) = self.listed(&list).or_else(|| self.reload_list(&list)) else {
            return (false, true);
        };
        match self.status_at(&list, &listed, index) {
            Found::Status(status) => (status != VALID, true),
            Found::Beyond => (true, true),
            Found::Gone => (false, true),
        }
    }

    /// Whether tokens pass whose list can't be had.
    pub(super) fn does_without_list(&self, issuer: usize) -> bool {
        let lists = self.runtime.config.status_lists_of(issuer);
        lists.is_some_and(|lists| lists.failure_mode == FailureMode::Allow)
    }

    /// What this worker has of a list. Where it has as many as may be in use, one more is known to
    /// its tokens alone.
    fn known_list(&self, issuer: usize, uri: String) -> Rc<Known> {
        let digest = self.digest(&Fact::StatusList(issuer, uri.clone()));
        let mut worker = self.runtime.worker.borrow_mut();
        let lists = &mut worker.status_lists;
        if let Some(known) = lists.known.get(&digest) {
            return known.clone();
        }
        let (listed, is_used) = (RefCell::new(None), Cell::new(false));
        let known = Rc::new(Known { issuer, uri, digest, listed, is_used });
        if lists.known.len() < lists.known_max {
            lists.known.insert(digest, known.clone());
        }
        known
    }

    /// The version in this worker's memory, while it is believed.
    fn listed(&self, list: &Known) -> Option<Rc<Listed>> {
        let listed = list.listed.borrow();
        listed.as_ref().filter(|listed| listed.fresh.holds(self.now)).cloned()
    }

    /// The version in shared memory, while it is believed.
    fn reload_list(&self, list: &Known) -> Option<Rc<Listed>> {
        let opened = self.shared().open_list(&list.digest)?;
        let Meta { asked_at, fresh_until, bits, .. } = Meta::from_bytes(&opened.head.meta)?;
        let lifetime_ns = fresh_until.ns().saturating_sub(asked_at.ns());
        let share_ns = self.refresh_share(list.issuer, opened.head.version, lifetime_ns);
        let listed = Rc::new(Listed {
            fresh: Span { from: asked_at, until: fresh_until },
            refresh_at: Time::from_ns(asked_at.ns().saturating_add(share_ns)),
            bits,
            opened,
        });
        *list.listed.borrow_mut() = Some(listed.clone());
        listed.fresh.holds(self.now).then_some(listed)
    }

    fn status_at(&self, list: &Known, listed: &Listed, index: u64) -> Found {
        let Some((at, shift)) = list::place(index, listed.bits) else { return Found::Beyond };
        if at >= listed.opened.head.length as usize {
            return Found::Beyond;
        }
        let page = self.page(list, listed, at / PART_BYTES);
        match page.as_ref().and_then(|page| page.get(at % PART_BYTES)) {
            Some(byte) => Found::Status(list::status(*byte, shift, listed.bits)),
            None => Found::Gone,
        }
    }

    fn page(&self, list: &Known, listed: &Listed, n: usize) -> Option<Rc<[u8]>> {
        let mut name = list.digest.0.to_vec();
        name.extend(listed.version().to_le_bytes());
        name.extend((n as u64).to_le_bytes());
        let hash = self.runtime.host_key.short(&name);
        let kept = self.runtime.worker.borrow_mut().status_lists.pages.get(hash, &name).cloned();
        if kept.is_some() {
            return kept;
        }
        let page: Rc<[u8]> = self.shared().read_page(&list.digest, &listed.opened, n)?.into();
        let pages = &mut self.runtime.worker.borrow_mut().status_lists.pages;
        pages.put(hash, &name, page.clone(), page.len());
        Some(page)
    }

    /// Takes a list's answer in.
    pub(super) fn learn_status_list(
        &self,
        issuer: usize,
        uri: &str,
        asked_at: Time,
        answer: &CallAnswer<'_>,
    ) -> bool {
        let Some(lists) = self.runtime.config.status_lists_of(issuer) else { return false };
        if answer.status != 200 {
            return false;
        }
        let kept = self
            .read_list(issuer, uri, lists, answer.body)
            .and_then(|list| self.keep_list(issuer, uri, lists, asked_at, &list));
        match kept {
            Ok(()) => true,
            Err(error) => {
                match error {
                    ListError::TooLong => self.host.meter.count(Metric::StatusListTooLong),
                    ListError::NoRoom => self.host.meter.count(Metric::StatusListFull),
                    // The issuer may sign with a new key.
                    ListError::Signature | ListError::NoKeys => self.want_keys(issuer),
                    ListError::NotAJwt
                    | ListError::Type
                    | ListError::Algorithm
                    | ListError::Subject
                    | ListError::Issuer
                    | ListError::Expired
                    | ListError::Issued
                    | ListError::Older
                    | ListError::Ttl
                    | ListError::Shape
                    | ListError::Encoding => {}
                }
                false
            }
        }
    }

    /// The list in an answer. What anyone could have written is held against the issuer's keys
    /// before it is read.
    pub(super) fn read_list(
        &self,
        issuer: usize,
        uri: &str,
        lists: &StatusLists,
        body: &[u8],
    ) -> Result<List, ListError> {
        let jwt = list::read(body, lists.answer_bytes_max())?;
        let of = self.issuer(issuer).map_err(|_| ListError::Issuer)?;
        if !of.algorithms.contains(jwt.algorithm) {
            return Err(ListError::Algorithm);
        }
        let set = self.keys(issuer).map_err(|_| ListError::NoKeys)?;
        if !self.is_signed_by(&set, &jwt) {
            return Err(ListError::Signature);
        }
        if let Some(iss) = jwt.claims.iss.as_deref()
            && !self.runtime.compiled.issuer_index.candidates(Some(iss)).contains(&issuer)
        {
            return Err(ListError::Issuer);
        }
        let expected = Expected {
            uri,
            bytes_max: lists.bytes_max,
            now_s: self.now.s(),
            leeway_s: of.leeway_s,
        };
        List::of(&jwt.claims, &expected)
    }

    /// A key that the list names goes before keys without a name, as for any token.
    fn is_signed_by(&self, set: &KeySet, jwt: &Jwt<'_>) -> bool {
        let kid = jwt.kid.as_deref();
        let is_named = |key: &&VerifyKey| kid.is_some() && key.kid() == kid;
        let any_named = set.keys.iter().any(|key| is_named(&key));
        let may_be = |key: &&VerifyKey| match any_named {
            true => is_named(key),
            false => kid.is_none() || key.kid().is_none(),
        };
        let host: &dyn HostVerify = self.host.verify;
        set.keys
            .iter()
            .filter(may_be)
            .filter(|key| key.algorithms().contains(jwt.algorithm))
            .any(|key| key.verify(jwt.algorithm, jwt.signed, &jwt.signature, host).is_ok())
    }

    fn keep_list(
        &self,
        issuer: usize,
        uri: &str,
        lists: &StatusLists,
        asked_at: Time,
        list: &List,
    ) -> Result<(), ListError> {
        let digest = self.digest(&Fact::StatusList(issuer, uri.to_owned()));
        let before = self.shared().open_list(&digest);
        let known = before.and_then(|before| Meta::from_bytes(&before.head.meta));
        if known.is_some_and(|known| list.issued_s < known.issued_s) {
            return Err(ListError::Older);
        }
        let ttl_s = list.ttl_s.unwrap_or(lists.ttl_s_max).min(lists.ttl_s_max);
        let end = list.end_s.map_or(Time::from_ns(u64::MAX), Time::from_s);
        let fresh_until = asked_at.plus_s(ttl_s).min(end);
        let meta = Meta { asked_at, fresh_until, issued_s: list.issued_s, bits: list.bits };
        let expires = fresh_until.plus_s(REMEMBERED_S);
        if !self.shared().write_list(&digest, &list.bytes, &meta.to_bytes(), expires) {
            return Err(ListError::NoRoom);
        }
        let known = self.runtime.worker.borrow().status_lists.known.get(&digest).cloned();
        if let Some(known) = known {
            self.reload_list(&known);
        }
        Ok(())
    }

    /// Has the issuer's keys fetched anew, as often as a token under an unknown key may.
    fn want_keys(&self, issuer: usize) {
        if let Some(set) = self.kept_keys(issuer)
            && let Stop::Missing(_) = self.no_key_verifies(issuer, &set, Reason::UnknownKey)
        {
            self.set_is_due(issuer);
        }
    }

    /// Lists that were used lately and are due ahead of their end. Takes over what other workers
    /// fetched, and forgets what has ended and nobody asks for.
    pub(super) fn status_lists_due(&self, due: &mut Vec<Fact>) {
        let known: Vec<Rc<Known>> =
            self.runtime.worker.borrow().status_lists.known.values().cloned().collect();
        for list in known {
            let version = list.listed.borrow().as_ref().map(|listed| listed.version());
            if version.is_some() && self.shared().list_version(&list.digest) != version {
                self.reload_list(&list);
            }
            let Some(listed) = self.listed(&list) else {
                if !list.is_used.replace(false) {
                    self.runtime.worker.borrow_mut().status_lists.known.remove(&list.digest);
                }
                continue;
            };
            if self.now < listed.refresh_at || !list.is_used.get() {
                continue;
            }
            let state = self.shared().read_state(&list.digest);
            if state.failures == 0 || self.now >= state.retry_at {
                list.is_used.set(false);
                due.push(Fact::StatusList(list.issuer, list.uri.clone()));
            }
        }
    }

    /// Takes one of the issuer's places for a list that is about to be fetched.
    ///
    /// # Errors
    /// When one may be free.
    pub(super) fn take_place(&self, issuer: usize, uri: &str) -> Result<(), Time> {
        let Some(lists) = self.runtime.config.status_lists_of(issuer) else { return Ok(()) };
        let fact = Fact::StatusList(issuer, uri.to_owned());
        let name = self.runtime.host_key.short(&self.digest(&fact).0);
        let end = self.now.plus_ms(self.lease_ms(&fact)).plus_s(lists.ttl_s_max);
        let places = self.runtime.host_key.digest(
            "status lists",
            &[&self.issuer(issuer).map(|issuer| issuer.digest).unwrap_or_default()],
        );
        let taken = self.shared().update_places(&places, |places| {
            let mut places = Places::from_bytes(places);
            let taken = places.take(name, self.now, end, lists.lists_max);
            (places.to_bytes(), taken)
        });
        // Where they can't be counted, the pace alone bounds them.
        let Some(Err(until)) = taken else { return Ok(()) };
        self.host.meter.count(Metric::StatusListFull);
        Err(until)
    }
}

/// How often a page is looked for that may have gone with its version.
const LOOKS: usize = 3;
