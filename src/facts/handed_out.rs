//! Kept token answers: whether they may still be handed out.
//!
//! A token that this gateway would refuse is not handed out by it. Two records say that an answer
//! is in force: one under the name of its token, one under the name of the secret that it was given
//! for. An answer without both isn't served. So a revocation *removes* a record, and needs no room:
//! made-up tokens, which nothing was kept for, take none. That a record gives way to others costs a
//! call to the server, no more.
//!
//! An answer that is under way while its token is revoked must not bring it back. So a revoked name
//! is remembered for longer than any answer is under way, and whoever keeps an answer writes its
//! records, then looks for that name, and removes them again if it is there; whoever revokes leaves
//! the name, then removes the records. In whatever order two workers do this, the records are gone.
//!
//! The rest is what a request with the token would be asked, as far as it is known: time, key,
//! feeds, revocation. What was found holds until the number that changes with each revocation does,
//! or the issuer's keys, so that a hit costs one look at that number.

use crate::digest::Digest;
use crate::jwt::{Jwt, check};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::names::token_handle;
use crate::shared::twin::{Twin, broken};
use crate::signature::source::KeySource;
use crate::time::{AHEAD_MS_MAX, Time};
use crate::token_endpoint::elsewhere::Tell;
use crate::token_endpoint::reuse::{Kind, Life, Stored};

use super::encrypted::Content;
use super::verifying::{Known, credential_id};
use super::{Facts, KeySet, Stop};

/// The longest that an answer is under way and kept, in milliseconds.
pub const IN_FLIGHT_MS: u64 = 300_000;
/// What names the records of tokens that were handed out.
const HANDED_OUT: &str = "handed out";
/// About what this worker keeps of an answer, in bytes.
const FOUND_BYTES: usize = 96;

/// What this worker has found out about a kept answer that it may hand out.
#[derive(Clone, Copy)]
pub struct Found {
    /// Which document it is.
    version: u64,
    /// What was known of revocations.
    news: u64,
    judged: Judged,
}

/// A token as the keys known here have it.
#[derive(Clone, Copy)]
struct Judged {
    /// The issuer and its set under which it was judged; nothing where no set counts.
    under: Option<(usize, u64)>,
    /// The key that verified it, if one did.
    fingerprint: Option<[u8; 32]>,
    /// Whether it is to be judged again at each look.
    anew: bool,
    /// When it ends.
    until: Time,
}

impl Judged {
    /// It isn't a token of an issuer that is known here.
    const NOT_OURS: Judged =
        Judged { under: None, fingerprint: None, anew: false, until: Time::from_ns(u64::MAX) };
}

/// The answers for one secret that are in force.
struct Force {
    /// Those that were asked for from then on.
    since: Time,
    /// The last of their ends.
    end: Time,
}

/// An answer isn't handed out any more.
struct Withdrawn;

impl Facts<'_> {
    /// Whether a kept answer may not be handed out any more. `version` is its document's;
    /// `credential` names the secret that it was given for.
    pub fn is_withdrawn(
        &self,
        key: &Digest,
        version: u64,
        stored: &Stored,
        credential: Option<&Digest>,
    ) -> bool {
        let Kind::Token { life, handle } = stored.kind else { return false };
        let news = self.look_for_news();
        let hash = self.runtime.host_key.short(&key.0);
        let before = self
            .runtime
            .worker
            .borrow_mut()
            .handed_out
            .get(hash, &key.0)
            .filter(|found| found.version == version)
            .copied();
        if before.is_some_and(|found| found.news == news && self.still_holds(&found.judged)) {
            return false;
        }
        match self.judge(stored, &life, &handle, credential, before.map(|found| found.judged)) {
            Ok(judged) => {
                let found = Found { version, news, judged };
                self.runtime.worker.borrow_mut().handed_out.put(hash, &key.0, found, FOUND_BYTES);
                false
            }
            Err(Withdrawn) => {
                self.host.meter.count(Metric::TokenWithdrawn);
                true
            }
        }
    }

    fn still_holds(&self, judged: &Judged) -> bool {
        let same_keys = judged
            .under
            .is_none_or(|(issuer, generation)| self.generation_in_use(issuer) == Some(generation));
        !judged.anew && same_keys && self.now < judged.until
    }

    fn judge(
        &self,
        stored: &Stored,
        life: &Life,
        handle: &Digest,
        credential: Option<&Digest>,
        before: Option<Judged>,
    ) -> Result<Judged, Withdrawn> {
        let for_secret =
            |name| self.in_force(name).is_some_and(|force| force.since <= life.asked_at);
        let is_in_force = self.was_handed_out(handle) && credential.is_none_or(for_secret);
        if !is_in_force {
            return Err(Withdrawn);
        }
        match stored.access_token() {
            Some(token) => self.judge_token(
                token.as_bytes(),
                life.asked_at,
                before.and_then(|judged| judged.fingerprint),
            ),
            None => Ok(Judged::NOT_OURS),
        }
    }

    /// What a request with this token would be told, as far as that is known without a call. What
    /// another answer of the server would not mend, an audience that isn't ours for one, is no
    /// reason to ask for one.
    fn judge_token(
        &self,
        token: &[u8],
        asked_at: Time,
        before: Option<[u8; 32]>,
    ) -> Result<Judged, Withdrawn> {
        let Ok(unsealed) = self.unsealed(token) else { return Ok(Judged::NOT_OURS) };
        let Ok(content) = unsealed.content() else { return Ok(Judged::NOT_OURS) };
        let sealed = unsealed.inside();
        let config = &self.runtime.config;
        let chosen = self.runtime.compiled.issuer_index.choose(
            &config.issuers,
            content.claims().iss.as_deref(),
            &content.claims().aud,
        );
        let Some((index, issuer)) =
            chosen.ok().and_then(|index| Some((index, config.issuers.get(index)?)))
        else {
            return Ok(Judged::NOT_OURS);
        };
        let claims = content.claims();
        let (jwt, signed) = match &content {
            Content::Signed(jwt) if issuer.algorithms.contains(jwt.algorithm) => {
                (Some(jwt), jwt.signed)
            }
            Content::Signed(_) => return Ok(Judged::NOT_OURS),
            Content::Bare(_) => (None, sealed.unwrap_or_default()),
        };
        let inside = sealed.unwrap_or(token);
        let first_seen = self.seen_first(signed).unwrap_or(asked_at).min(self.now);
        let times = check::sunset(issuer, self.now)
            .and_then(|()| check::times(claims, issuer, self.now, first_seen));
        if matches!(times, Err(Reason::Expired | Reason::Sunset)) {
            return Err(Withdrawn);
        }
        // What can't be known counts as revoked: the server gives another.
        let names = self.names_of(claims, signed, inside);
        let names = match sealed {
            Some(_) => names.sealed_in(&self.runtime.names_key, token),
            None => names,
        };
        if self.is_revoked(&names, claims) != Ok(false) {
            return Err(Withdrawn);
        }
        // What the list will say of it at the next look isn't known.
        let (is_taken_back, has_status) = self.is_taken_back(index, claims);
        if is_taken_back {
            return Err(Withdrawn);
        }
        let until = check::end_s(claims, issuer, first_seen).map_or(Time::default(), Time::from_s);
        // No key of a set speaks for it.
        let Some(jwt) = jwt else {
            return Ok(Judged { until, anew: has_status, ..Judged::NOT_OURS });
        };
        let record = self.record(issuer, inside);
        let known = Known::by(&record).or_key(before);
        let judged = match &issuer.keys {
            KeySource::Credentials(_) => self.judge_by_credential(index, jwt, known)?,
            KeySource::Inline(keys) => {
                self.judge_by_set(index, &self.inline_keys(index, keys), jwt, asked_at, known)?
            }
            KeySource::Jwks { cache, .. } => {
                match self.reload_keys(index, cache).or_else(|| self.kept_keys(index)) {
                    Some(set) => self.judge_by_set(index, &set, jwt, asked_at, known)?,
                    None => Judged { anew: true, ..Judged::NOT_OURS },
                }
            }
        };
        Ok(Judged { until, anew: judged.anew || has_status, ..judged })
    }

    /// A key that isn't in a set which is newer than the token is gone; in an older one it may not
    /// be yet.
    fn judge_by_set(
        &self,
        issuer: usize,
        set: &KeySet,
        jwt: &Jwt<'_>,
        asked_at: Time,
        known: Known<'_>,
    ) -> Result<Judged, Withdrawn> {
        let under = Some((issuer, set.generation));
        match self.try_set(issuer, set, jwt, known) {
            Ok(Ok(verifying)) => {
                Ok(Judged { under, fingerprint: Some(verifying.fingerprint), ..Judged::NOT_OURS })
            }
            Ok(Err(_)) if set.fetched_at < asked_at => Ok(Judged { under, ..Judged::NOT_OURS }),
            Ok(Err(_)) => Err(Withdrawn),
            // There was no time to try all keys.
            Err(_) => Ok(Judged { anew: true, ..Judged::NOT_OURS }),
        }
    }

    fn judge_by_credential(
        &self,
        issuer: usize,
        jwt: &Jwt<'_>,
        known: Known<'_>,
    ) -> Result<Judged, Withdrawn> {
        let unknown = Judged { anew: true, ..Judged::NOT_OURS };
        let of_issuer = self.runtime.config.issuers.get(issuer);
        let Some(id) = of_issuer.and_then(|of| credential_id(of, jwt)) else {
            return Ok(unknown);
        };
        match self.credential(issuer, id) {
            Ok(credential) => match self.try_keys(issuer, &[&*credential.key], jwt, known) {
                Ok(Ok(verifying)) => {
                    Ok(Judged { fingerprint: Some(verifying.fingerprint), ..unknown })
                }
                Ok(Err(_)) => Err(Withdrawn),
                Err(_) => Ok(unknown),
            },
            Err(Stop::Refuse(refusal)) if refusal.reason == Reason::UnknownKey => Err(Withdrawn),
            Err(_) => Ok(unknown),
        }
    }

    /// Notes that an answer is about to be kept; false if it would not be handed out.
    pub fn note_kept(&self, stored: &Stored, credential: Option<&Digest>) -> bool {
        let Kind::Token { life, handle } = stored.kind else { return true };
        if self.now.ms_since(life.asked_at) >= IN_FLIGHT_MS {
            return false;
        }
        let end = life.asked_at.plus_s(life.expires_in_s);
        self.shared().write_token(&self.token_record(&handle), &[1], end);
        if let Some(name) = credential {
            let before =
                self.in_force(name).filter(|force| force.since.ms_since(self.now) <= AHEAD_MS_MAX);
            let Force { since, end } =
                before.map_or(Force { since: life.asked_at, end }, |force| Force {
                    end: force.end.max(end),
                    ..force
                });
            let record = [since.ns().to_le_bytes(), end.ns().to_le_bytes()];
            self.shared().write_token(&self.credential_record(name), record.as_flattened(), end);
        }
        // After the records: see above.
        let previous = self.runtime.names_key.previous();
        let previous = previous.zip(stored.access_token());
        let is_revoked = self.shared().is_revoked(&handle) != Some(false)
            || previous.is_some_and(|(key, token)| {
                self.shared().is_revoked(&token_handle(key, token.as_bytes())) != Some(false)
            });
        if !broken(Twin::KeptUnasked) && is_revoked {
            self.withdraw(&handle);
            return false;
        }
        true
    }

    /// Whether an answer with the token of this name is in force.
    pub fn was_handed_out(&self, handle: &Digest) -> bool {
        self.shared().read_token(&self.token_record(handle)).is_some()
    }

    /// Takes back all answers with the token of this name; tells whether that is certain.
    pub(super) fn withdraw(&self, handle: &Digest) -> bool {
        self.shared().remove_token(&self.token_record(handle)).is_some()
    }

    /// The same, where others may have taken them from here: in Redis too, since what this gateway
    /// has left there may have come after the record was removed by whoever revoked.
    pub(super) fn withdraw_at_all(&self, handle: &Digest) -> bool {
        let was_there = self.shared().remove_token(&self.token_record(handle));
        if was_there == Some(true) {
            self.tell_elsewhere(Tell::WithdrawToken(*handle));
        }
        was_there.is_some()
    }

    /// The same for those that were kept under the secret before.
    pub(super) fn withdraw_previous(&self, handle: &Digest) -> bool {
        let Some(key) = self.runtime.host_key.previous() else { return true };
        self.shared().remove_token(&key.digest(HANDED_OUT, &[&handle.0])).is_some()
    }

    /// The same for a token that was found inactive.
    pub(super) fn withdraw_inactive(&self, token: &[u8]) {
        let key = &self.runtime.names_key;
        let handle = token_handle(key, token);
        if self.was_handed_out(&handle) {
            self.withdraw_at_all(&handle);
            // A gateway under the secret before has left it under another name.
            if let Some(previous) = key.previous() {
                self.tell_elsewhere(Tell::WithdrawToken(token_handle(previous, token)));
            }
            self.shared().bump_revocations();
        }
    }

    /// The server refuses this secret: no answer that was given for it before is handed out any
    /// more.
    pub fn withdraw_credential(&self, name: &Digest) {
        // Of a wrong one nothing was kept, and whoever tries many disturbs nobody.
        if self.shared().remove_token(&self.credential_record(name)) == Some(true) {
            self.shared().bump_revocations();
        }
    }

    /// Which answers for a secret are in force.
    fn in_force(&self, name: &Digest) -> Option<Force> {
        let record = self.shared().read_token(&self.credential_record(name))?;
        let (since, end) = record.split_first_chunk::<8>()?;
        let time = |bytes| Time::from_ns(u64::from_le_bytes(bytes));
        Some(Force { since: time(*since), end: time(end.try_into().ok()?) })
    }

    fn token_record(&self, handle: &Digest) -> Digest {
        self.runtime.host_key.digest(HANDED_OUT, &[&handle.0])
    }

    fn credential_record(&self, name: &Digest) -> Digest {
        self.runtime.host_key.digest("handed out for", &[&name.0])
    }
}

#[cfg(test)]
mod tests;
