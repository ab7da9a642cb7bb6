//! Sets that a stream's server hands over (RFC 8936): taken in, and then acknowledged.
//!
//! A set is acknowledged with the next call, once what it says is in force on all workers: in
//! shared memory, and told. It isn't sent again after that, so whoever loses the memory of it
//! refuses whatever was issued before ([`crate::revocation::stream`]).

use std::collections::VecDeque;

use crate::jwt;
use crate::jwt::issuer::{ExpPolicy, IssuerMatch, LifetimeFrom};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::feed::{Feed, FeedError, Kind, Signer};
use crate::revocation::floors::Name;
use crate::revocation::set::{self, Poll, SetError};
use crate::sort;

use super::feeds::Known;
use super::{Fact, Facts};

/// What is to be told to a stream's server, and what it has sent lately.
#[derive(Default)]
pub(super) struct Mailbox {
    /// Ids of sets that are in force.
    kept: Vec<String>,
    /// Those that couldn't be acted on.
    refused: Vec<(String, SetError)>,
    /// Names of sets that were taken in, the latest at the end.
    seen: VecDeque<u64>,
    /// Calls since the last one that was due by itself.
    rounds: u32,
    /// Why sets of the last answer were refused, for the operator.
    odd: Vec<SetError>,
}

impl Mailbox {
    /// The next call's body.
    pub fn request(&self) -> String {
        set::request(
            self.kept.iter().map(String::as_str),
            self.refused.iter().map(|(id, why)| (id.as_str(), *why)),
        )
    }
}

/// The body of a call that tells nothing.
pub(super) fn first_request() -> String {
    Mailbox::default().request()
}

/// What becomes of one set.
enum Taken {
    /// It was taken in before.
    Before,
    /// It sets these floors, or none.
    Now(Vec<(Name, u64)>),
    /// It can't be acted on.
    Refused(SetError),
    /// The issuer's keys are fetched first.
    NotYet,
}

impl Facts<'_> {
    /// Takes in what the server of a stream has sent. `about` is what was told it.
    pub(super) fn learn_sets(
        &self,
        index: usize,
        feed: &Feed,
        about: Option<&str>,
        body: &[u8],
    ) -> Result<(), FeedError> {
        let poll = Poll::parse(body)?;
        let mut after = Mailbox::default();
        let (mut floors, mut names) = (Vec::new(), Vec::new());
        for (id, set) in &poll.sets {
            let name = self.runtime.host_key.short(set.as_bytes());
            match self.take_set(index, feed, id, set, name) {
                Taken::Before => {
                    self.host.meter.count(Metric::SetRepeated);
                    after.kept.push(id.to_string());
                }
                Taken::Now(set_floors) => {
                    let is_kept = !set_floors.is_empty();
                    let metric = if is_kept { Metric::SetKept } else { Metric::SetIgnored };
                    self.host.meter.count(metric);
                    floors.extend(set_floors);
                    names.push(name);
                    after.kept.push(id.to_string());
                }
                Taken::Refused(why) => {
                    self.host.meter.count(Metric::SetRefused);
                    after.refused.push((id.to_string(), why));
                }
                Taken::NotYet => {}
            }
        }
        self.keep_floors(index, feed, floors)?;
        let is_told = |mailbox: &Mailbox| about == Some(mailbox.request().as_str());
        let has_fresh = !names.is_empty();
        let goes_on =
            has_fresh || (poll.has_more && !(after.kept.is_empty() && after.refused.is_empty()));
        let rounds = self.mailbox(index, |mailbox| {
            if !is_told(mailbox) {
                // Those of an answer that came in between, unless they came again.
                let is_new = |id: &String| !after.kept.contains(id);
                let room = set::SETS_MAX.saturating_sub(after.kept.len());
                let left = mailbox.kept.drain(..).filter(is_new).take(room).collect::<Vec<_>>();
                after.kept.extend(left);
            }
            after.odd = after.refused.iter().map(|(_, why)| *why).collect();
            sort::by(&mut after.odd, |one, other| one.to_string() < other.to_string());
            after.odd.dedup();
            after.seen = std::mem::take(&mut mailbox.seen);
            after.seen.extend(names);
            let too_many = after.seen.len().saturating_sub(SEEN_MAX);
            after.seen.drain(..too_many);
            after.rounds = mailbox.rounds.saturating_add(1);
            *mailbox = after;
            mailbox.rounds
        });
        if goes_on && rounds < ROUNDS_MAX {
            self.want(Fact::Feed(index, self.about(index, feed)));
        } else if poll.has_more {
            self.host.meter.count(Metric::SetsWaiting);
        }
        Ok(())
    }

    /// Keeps floors on all workers; the server may be told so once this has come back.
    fn keep_floors(
        &self,
        index: usize,
        feed: &Feed,
        floors: Vec<(Name, u64)>,
    ) -> Result<(), FeedError> {
        let Kind::Stream { signer, .. } = &feed.kind else { return Ok(()) };
        let before = self.stream_here(index, feed).ok_or(FeedError::NoRoom)?;
        let mut stream = before.with(floors);
        stream.was_read = true;
        if stream.tidy(self.now, self.lifetime_s_max(&signer.iss)) {
            self.host.meter.count(Metric::FloorRaised);
        }
        let digest = self.digest(&Fact::Feed(index, None));
        if stream == before && self.is_stored(index, &digest) {
            return Ok(());
        }
        self.store_feed(index, &digest, Known::Stream(stream))
    }

    fn take_set(&self, index: usize, feed: &Feed, id: &str, set: &str, name: u64) -> Taken {
        if self.mailbox(index, |mailbox| mailbox.seen.contains(&name)) {
            return Taken::Before;
        }
        let Kind::Stream { signer, audience } = &feed.kind else { return Taken::NotYet };
        match self.read_event(signer, audience.as_deref(), id, set) {
            Ok(floors) => Taken::Now(floors),
            Err(Some(why)) => Taken::Refused(why),
            Err(None) => Taken::NotYet,
        }
    }

    /// The floors that a set sets; else why none, and nothing while its issuer's keys are fetched.
    fn read_event(
        &self,
        signer: &Signer,
        audience: Option<&str>,
        id: &str,
        set: &str,
    ) -> Result<Vec<(Name, u64)>, Option<SetError>> {
        let issuer = self.issuer(signer.issuer).map_err(|_| None)?;
        let jwt = jwt::parse(set.as_bytes()).map_err(|_| Some(SetError::NotASet))?;
        let (typ, leeway_s) = (jwt.typ.as_deref(), issuer.leeway_s);
        set::is_of_stream(typ, &jwt.claims, &signer.iss, audience, self.now, leeway_s)?;
        if !issuer.algorithms.contains(jwt.algorithm) || jwt.claims.jti.as_deref() != Some(id) {
            return Err(Some(SetError::NotASet));
        }
        self.signed_by(signer, &jwt).map_err(|refused| {
            refused.map(|reason| {
                let is_unknown = reason == Reason::UnknownKey;
                if is_unknown { SetError::UnknownKey } else { SetError::BadSignature }
            })
        })?;
        Ok(set::floors(&self.runtime.names_key, &jwt.claims, &signer.iss, self.now)?)
    }

    /// For how long a token of `iss` that says when it was issued is good at most, whichever entry
    /// of this configuration admits it.
    fn lifetime_s_max(&self, iss: &str) -> Option<u64> {
        let mut longest_s = None;
        for issuer in &self.runtime.config.issuers {
            let covers = match &issuer.matcher {
                IssuerMatch::Exact(own) => own == iss,
                IssuerMatch::Template(_) | IssuerMatch::Any => true,
            };
            if covers {
                let by_iat = issuer.opaque.is_none()
                    && (issuer.lifetime_from == LifetimeFrom::Iat
                        || issuer.exp != ExpPolicy::Required);
                longest_s = longest_s.max(Some(issuer.lifetime_s_max.filter(|_| by_iat)?));
            }
        }
        longest_s
    }

    /// Why sets of a stream's last answer were refused.
    pub(super) fn odd_sets(&self, index: usize) -> Vec<String> {
        let words = |why: &SetError| format!("sets are refused: {why}");
        self.mailbox(index, |mailbox| mailbox.odd.iter().map(words).collect())
    }

    /// A poll that is due by itself may be followed by others at once.
    pub(super) fn start_rounds(&self, index: usize) {
        self.mailbox(index, |mailbox| mailbox.rounds = 0);
    }

    pub(super) fn mailbox<T: Default>(
        &self,
        index: usize,
        work: impl FnOnce(&mut Mailbox) -> T,
    ) -> T {
        let mut worker = self.runtime.worker.borrow_mut();
        let feed = worker.revocations.feeds.get_mut(index);
        feed.map(|feed| work(&mut feed.mailbox)).unwrap_or_default()
    }
}

/// Calls one after the other at most; the rest waits for the next one that is due.
const ROUNDS_MAX: u32 = 16;
/// Names of sets that are remembered, so that one that comes again costs no arithmetic.
const SEEN_MAX: usize = 1_024;

#[cfg(test)]
mod tests;
