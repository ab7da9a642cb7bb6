//! Feeds: what a server tells of revoked tokens, read by one worker of the host and held by all.
//!
//! A worker holds what it has heard in its own memory, and takes over what another has stored.
//! Lists go by their number, of two the later one counts. Streams are joined: what any worker has
//! taken from one is known to all that have met it since.

mod lists;

use crate::digest::Digest;
use crate::jwt::Jwt;
use crate::reply::{FailureMode, Reason};
use crate::revocation::feed::{Feed, FeedError, Kind, Signer};
use crate::revocation::floors::{Told, of_issuer};
use crate::revocation::list::List;
use crate::revocation::stream::Stream;
use crate::shared::Epoch;
use crate::shared::document::{DOCUMENT_BYTES_MAX, META_BYTES};
use crate::time::Time;

use super::call::{Call, CallAnswer};
use super::streams::{self, Mailbox};
use super::{Fact, Facts, Stop};

/// A feed in this worker.
#[derive(Default)]
pub(super) struct FeedHere {
    held: Option<Held>,
    /// Why its last answer wasn't taken, if one came.
    refused: Option<FeedError>,
    /// What is to be told to its server.
    pub mailbox: Mailbox,
}

impl FeedHere {
    /// What is known of it.
    pub fn known(&self) -> Option<&Known> {
        self.held.as_ref().map(|held| &held.known)
    }
}

/// What this worker holds. It outlives the stored document: the host may lose that.
struct Held {
    known: Known,
    /// The stored document's version; 0 if it couldn't be stored.
    version: u64,
    /// The version of a stored document that was older than this.
    passed_over: u64,
}

/// What a feed has told.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Known {
    List(List),
    Stream(Stream),
}

impl Known {
    /// Whether the token of this name is listed.
    pub fn lists(&self, id: &Digest) -> bool {
        match self {
            Known::List(list) => list.has(id),
            Known::Stream(_) => false,
        }
    }

    /// Whether more than the token's name has to be looked at.
    pub fn has_floors(&self) -> bool {
        match self {
            Known::List(list) => list.has_floors(),
            Known::Stream(_) => true,
        }
    }

    /// Whether a token that says this is refused.
    pub fn covers(&self, told: &Told, id: Option<&Digest>) -> bool {
        match self {
            Known::List(list) => list.covers(told),
            Known::Stream(stream) => stream.refuses(told, id),
        }
    }

    /// Whether the feed was ever read.
    fn was_read(&self) -> bool {
        match self {
            Known::List(_) => true,
            Known::Stream(stream) => stream.was_read,
        }
    }

    fn list(&self) -> Option<&List> {
        match self {
            Known::List(list) => Some(list),
            Known::Stream(_) => None,
        }
    }

    pub fn stream(&self) -> Option<&Stream> {
        match self {
            Known::Stream(stream) => Some(stream),
            Known::List(_) => None,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Known::List(list) => list.to_bytes(),
            Known::Stream(stream) => stream.to_bytes(),
        }
    }

    fn from_bytes(kind: &Kind, bytes: &[u8]) -> Option<Known> {
        match kind {
            Kind::List | Kind::Signed(_) => List::from_bytes(bytes).map(Known::List),
            Kind::Stream { .. } => Stream::from_bytes(bytes).map(Known::Stream),
        }
    }
}

/// The call that reads a feed. `about` is the entity tag of what is known of a list; to a stream's
/// server it is all that is said.
pub(super) fn call(feed: &Feed, about: Option<&str>) -> Call {
    let tag = || about.map(|etag| ("if-none-match".to_owned(), etag.to_owned()));
    match &feed.kind {
        Kind::List => Call::get(&feed.uri, &feed.call).and(tag()),
        Kind::Signed(_) => {
            let accept = ("accept".to_owned(), "application/jwt, */*;q=0.5".to_owned());
            Call::get_with(&feed.uri, &feed.call, vec![accept]).and(tag())
        }
        Kind::Stream { .. } => {
            let body = about.map_or_else(streams::first_request, str::to_owned);
            Call::post_json(&feed.uri, &feed.call, body.into_bytes())
        }
    }
}

impl Facts<'_> {
    /// Takes over feeds that another worker read.
    pub(super) fn reload_feeds(&self) {
        for (index, feed) in self.runtime.config.revocation_feeds.iter().enumerate() {
            self.reload_feed(index, feed);
        }
    }

    fn reload_feed(&self, index: usize, feed: &Feed) {
        let digest = self.digest(&Fact::Feed(index, None));
        let Some(version) = self.shared().document_version(&digest) else {
            return self.hold_previous(index, feed);
        };
        if self.held(index, |held| held.version == version || held.passed_over == version)
            == Some(true)
        {
            return;
        }
        let document = self.shared().read_document(&digest, DOCUMENT_BYTES_MAX);
        let known = document.as_ref().and_then(|document| {
            Some((document.version, Known::from_bytes(&feed.kind, &document.body)?))
        });
        match known {
            Some((version, Known::List(list))) => self.take_over(index, &digest, list, version),
            Some((version, Known::Stream(stored))) => {
                self.join_stream(index, &digest, stored, version);
            }
            None => {}
        }
    }

    /// Until it is read for the first time under this secret, a feed lists what it listed under the
    /// one before. A stream begins anew: it refuses more than the one before did.
    fn hold_previous(&self, index: usize, feed: &Feed) {
        let Some(key) = self.runtime.host_key.previous() else { return };
        if self.held(index, |_| ()).is_some() {
            return;
        }
        let digest = Fact::Feed(index, None).digest(key, &self.runtime.config);
        let document = self.shared().read_document_before(&digest, DOCUMENT_BYTES_MAX);
        let known = document.and_then(|document| Known::from_bytes(&feed.kind, &document.body));
        if let Some(known @ Known::List(_)) = known {
            self.hold(index, Held { known, version: 0, passed_over: 0 });
        }
    }

    /// Holds a stored list, unless it is older than the one held: a worker that read the feed
    /// earlier may have stored its list later. Then the newer one is stored again, for those who
    /// don't hold it.
    fn take_over(&self, index: usize, digest: &Digest, list: List, version: u64) {
        let newer = self.held(index, |held| {
            held.known.list().filter(|held| held.sequence > list.sequence).cloned()
        });
        let Some(newer) = newer.flatten() else {
            return self.hold(index, Held { known: Known::List(list), version, passed_over: 0 });
        };
        {
            let mut worker = self.runtime.worker.borrow_mut();
            let feed = worker.revocations.feeds.get_mut(index);
            if let Some(held) = feed.and_then(|feed| feed.held.as_mut()) {
                held.passed_over = version;
            }
        }
        if self.shared().document_version(digest) == Some(version) {
            let _ = self.store_feed(index, digest, Known::List(newer));
        }
    }

    /// Holds what is stored of a stream and what was held before. Where that was more, another
    /// worker has written over it, and it is stored again.
    fn join_stream(&self, index: usize, digest: &Digest, stored: Stream, version: u64) {
        let joined = self.held(index, |held| held.known.stream().map(|held| stored.joined(held)));
        let joined = joined.flatten().unwrap_or_else(|| stored.clone());
        let had_more = joined != stored;
        let known = Known::Stream(joined);
        self.hold(index, Held { known: known.clone(), version, passed_over: 0 });
        if had_more {
            let _ = self.store_feed(index, digest, known);
        }
    }

    /// A feed that was never read is waited for. What happens when it can't be had is configured.
    pub(super) fn feeds_were_read(&self) -> Result<(), Stop> {
        let feeds = &self.runtime.config.revocation_feeds;
        let unread = |index: &usize| self.held(*index, |held| held.known.was_read()) != Some(true);
        if !(0..feeds.len()).any(|index| unread(&index)) {
            return Ok(());
        }
        self.reload_feeds();
        for (index, feed) in feeds.iter().enumerate().filter(|(index, _)| unread(index)) {
            self.begin_stream(index, feed);
            let fact = Fact::Feed(index, None);
            let state = self.state(&fact);
            // Keys go first: without them no answer can be believed.
            let fails = match feed.kind.signer().map(|signer| self.keys(signer.issuer)) {
                Some(Err(Stop::Missing(keys))) => return Err(Stop::Missing(keys)),
                Some(Err(Stop::Refuse(_))) => true,
                Some(Ok(_)) | None => false,
            };
            match feed.failure_mode {
                _ if !fails && state.failures == 0 => return Err(fact.into()),
                FailureMode::Allow => {}
                FailureMode::Deny if fails || self.now < state.retry_at => {
                    return Err(self.unavailable(Reason::RevocationUnavailable, state.retry_at));
                }
                FailureMode::Deny => return Err(fact.into()),
            }
        }
        Ok(())
    }

    /// A stream that nobody here has met begins now, whether its server answers or not: what was
    /// acknowledged before is known to nobody.
    fn begin_stream(&self, index: usize, feed: &Feed) {
        let Kind::Stream { signer, .. } = &feed.kind else { return };
        if self.held(index, |_| ()).is_none() {
            let issuer = of_issuer(&self.runtime.names_key, &signer.iss);
            let digest = self.digest(&Fact::Feed(index, None));
            let stream = Known::Stream(Stream::begin(issuer, self.now));
            let _ = self.store_feed(index, &digest, stream);
        }
    }

    /// The feeds whose next poll is due, and what an answer has asked for.
    pub(super) fn feeds_due(&self, due: &mut Vec<Fact>) {
        if !self.runtime.compiled.hears_of_revocations {
            return;
        }
        // The number is there before the first revocation, so that a full zone is known before it
        // too.
        if self.shared().revocation_epoch(&Epoch::REVOCATION.name(&self.runtime.host_key)).is_none()
        {
            self.shared().bump_revocations();
        }
        self.reload_feeds();
        due.extend(self.take_wanted());
        for (index, feed) in self.runtime.config.revocation_feeds.iter().enumerate() {
            self.begin_stream(index, feed);
            match feed.kind.signer().map(|signer| self.keys(signer.issuer)) {
                Some(Err(Stop::Missing(fact))) => {
                    due.push(*fact);
                    continue;
                }
                Some(Err(Stop::Refuse(_))) => continue,
                Some(Ok(_)) | None => {}
            }
            if self.now >= self.due_at(index, feed) {
                self.start_rounds(index);
                due.push(Fact::Feed(index, self.about(index, feed)));
            }
        }
    }

    fn due_at(&self, index: usize, feed: &Feed) -> Time {
        let fact = Fact::Feed(index, None);
        let is_stored = self.shared().document_version(&self.digest(&fact)).is_some();
        let was_read = self.held(index, |held| held.known.was_read()) == Some(true);
        let state = self.state(&fact);
        match (is_stored && was_read, state.failures) {
            (_, 1..) => state.retry_at,
            (false, 0) => self.now,
            // A moment that lies ahead was written by a clock that ran ahead.
            (true, 0) if state.refetched_at > self.now => self.now,
            // Looks are up to a second apart: half of them come early, and none by more than half.
            (true, 0) => state
                .refetched_at
                .plus_ms(feed.every_s.saturating_mul(1_000).saturating_sub(EARLY_MS)),
        }
    }

    /// What the next call says of what is known. Only a worker that holds what is stored may ask
    /// whether that has changed, or say that sets are kept.
    pub(super) fn about(&self, index: usize, feed: &Feed) -> Option<String> {
        self.reload_feed(index, feed);
        let version = self.shared().document_version(&self.digest(&Fact::Feed(index, None)));
        let is_stored = self.held(index, |held| Some(held.version) == version) == Some(true);
        match &feed.kind {
            Kind::List | Kind::Signed(_) => {
                self.held(index, |held| held.known.list().cloned())
                    .flatten()
                    .filter(|list| {
                        is_stored && list.ends_s.is_none_or(|end_s| self.now.s() < end_s)
                    })?
                    .etag
            }
            Kind::Stream { .. } => {
                is_stored.then(|| self.mailbox(index, |mailbox| mailbox.request()))
            }
        }
    }

    /// Takes a feed's answer in. `about` is what its call said.
    pub(super) fn learn_feed(
        &self,
        index: usize,
        about: Option<&str>,
        asked_at: Time,
        answer: &CallAnswer<'_>,
    ) -> bool {
        let Some(feed) = self.runtime.config.revocation_feeds.get(index) else { return false };
        self.begin_stream(index, feed);
        let learnt = match (&feed.kind, answer.status) {
            (Kind::List | Kind::Signed(_), 200 | 304) => self.learn_list(index, feed, answer),
            (Kind::Stream { .. }, 200) => self.learn_sets(index, feed, about, answer.body),
            _ => Err(FeedError::NotAFeed),
        };
        let mut worker = self.runtime.worker.borrow_mut();
        if let Some(here) = worker.revocations.feeds.get_mut(index) {
            here.refused = learnt.err();
        }
        drop(worker);
        if learnt.is_ok() {
            self.update_state(&Fact::Feed(index, None), |state| state.refetched_at = asked_at);
        }
        learnt.is_ok()
    }

    /// Why the last answer of a feed wasn't taken.
    pub(super) fn feed_refused(&self, index: usize) -> Option<FeedError> {
        self.runtime.worker.borrow().revocations.feeds.get(index)?.refused
    }

    /// Whether a feed's answers are a JWS.
    pub(super) fn feed_is_signed(&self, index: usize) -> bool {
        let feed = self.runtime.config.revocation_feeds.get(index);
        feed.is_some_and(|feed| matches!(feed.kind, Kind::Signed(_)))
    }

    /// Whether a key of the issuer signed this; else why not, and nothing while that can't be said:
    /// its keys are then fetched.
    pub(super) fn signed_by(&self, signer: &Signer, jws: &Jwt<'_>) -> Result<(), Option<Reason>> {
        let issuer = self.issuer(signer.issuer).map_err(|_| None)?;
        match self.verifying_key(signer.issuer, issuer, jws, super::verifying::Known::NOTHING) {
            Ok(_) => Ok(()),
            Err(Stop::Missing(fact)) => {
                self.want(*fact);
                Err(None)
            }
            Err(Stop::Refuse(refusal)) if refusal.reason == Reason::KeysUnavailable => Err(None),
            Err(Stop::Refuse(refusal)) => Err(Some(refusal.reason)),
        }
    }

    /// Keeps a feed here and for all workers, and tells them.
    pub(super) fn store_feed(
        &self,
        index: usize,
        digest: &Digest,
        known: Known,
    ) -> Result<(), FeedError> {
        let written = self.shared().write_document(
            digest,
            &known.to_bytes(),
            &[0; META_BYTES],
            self.now.plus_s(STORED_S),
        );
        self.hold(index, Held { known, version: written.unwrap_or_default(), passed_over: 0 });
        // This worker looks again too.
        let told = self.shared().bump_revocations();
        if written.is_some() && told { Ok(()) } else { Err(FeedError::NoRoom) }
    }

    /// Whether what is stored of a feed lasts, so that it needn't be written anew.
    pub(super) fn is_stored(&self, index: usize, digest: &Digest) -> bool {
        let head = self.shared().document_head(digest);
        head.is_some_and(|(version, expires)| {
            self.held(index, |held| held.version == version) == Some(true)
                && expires > self.now.plus_s(STORED_S / 2)
        })
    }

    /// Has something fetched soon.
    pub(super) fn want(&self, fact: Fact) {
        let mut worker = self.runtime.worker.borrow_mut();
        if worker.revocations.wanted.len() < WANTED_MAX {
            worker.revocations.wanted.push(fact);
        }
    }

    /// What an answer has asked for: the next one of its kind, or keys that it needs.
    pub fn take_wanted(&self) -> Vec<Fact> {
        std::mem::take(&mut self.runtime.worker.borrow_mut().revocations.wanted)
    }

    /// What is known of a stream, once what others have stored is taken over.
    pub(super) fn stream_here(&self, index: usize, feed: &Feed) -> Option<Stream> {
        self.reload_feed(index, feed);
        self.held(index, |held| held.known.stream().cloned()).flatten()
    }

    fn held<T>(&self, index: usize, look: impl FnOnce(&Held) -> T) -> Option<T> {
        self.runtime.worker.borrow().revocations.feeds.get(index)?.held.as_ref().map(look)
    }

    fn hold(&self, index: usize, held: Held) {
        let mut worker = self.runtime.worker.borrow_mut();
        let known = &mut worker.revocations;
        if let Some(place) = known.feeds.get_mut(index) {
            place.held = Some(held);
            known.generation = known.generation.saturating_add(1);
        }
    }
}

/// Facts that answers ask for at once.
const WANTED_MAX: usize = 32;
/// By how much a poll may come early, in milliseconds.
const EARLY_MS: u64 = 500;
/// Seconds for which a feed's document is kept after it was last seen to be the newest: longer than
/// any outage, but not for ever, since nobody removes the document of a feed that is no longer
/// configured.
const STORED_S: u64 = 30 * 86_400;

#[cfg(test)]
mod tests;
