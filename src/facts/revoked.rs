//! Revoked tokens: what feeds tell ([`super::feeds`]), in this worker's memory whole, and what calls
//! revoked, in shared memory.
//!
//! A number in shared memory changes with every revocation ([`Epoch::REVOCATION`]). A token that
//! was looked up while the number stood as it does now needs no second look, so a request costs one
//! host call. Writers revoke first and change the number then; readers read the number first and
//! look then.
//!
//! [`Epoch::REVOCATION`]: crate::shared::Epoch::REVOCATION

use crate::digest::Digest;
use crate::jwt::issuer::{Encrypted, ExpPolicy, Issuer};
use crate::jwt::{self, Claims, Form, Jwt, check};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::floors::Told;
use crate::revocation::names::token_handle;
use crate::revocation::table::NOBODY;
use crate::revocation::{LEEWAY_S_MAX, Names, told};
use crate::shared::Epoch;
use crate::shared::twin::{Twin, broken};
use crate::time::Time;
use crate::token_endpoint::elsewhere::Tell;

use super::encrypted::{Content, Unsealed};
use super::feeds::FeedHere;
use super::handed_out::IN_FLIGHT_MS;
use super::verifying::Known;
use super::{Fact, Facts, Stop, Verified};

/// What this worker knows of revocations.
pub(super) struct Revocations {
    /// What the shared number stood at when it was last read.
    epoch: Option<u64>,
    epoch_name: Option<Digest>,
    read_at: Time,
    /// Which state of knowledge this is; 0 before the first look.
    pub generation: u64,
    /// The feeds, in the order of the document.
    pub feeds: Vec<FeedHere>,
    /// What is to be fetched next since an answer has asked for it.
    pub wanted: Vec<Fact>,
}

impl Revocations {
    pub fn new(feeds: usize) -> Self {
        Revocations {
            epoch: None,
            epoch_name: None,
            read_at: Time::default(),
            generation: 0,
            feeds: (0..feeds).map(|_| FeedHere::default()).collect(),
            wanted: Vec::new(),
        }
    }
}

/// What a revocation call takes along once the authorization server has agreed to it.
pub struct Revocation {
    /// The name of its very bytes.
    handle: Digest,
    /// The same under the key before this one.
    previous: Option<Digest>,
    /// The name of what was encrypted in it; else `handle` once more.
    inside: Digest,
    standing: Standing,
}

/// What is known of a token that is to be revoked.
enum Standing {
    /// It verified here: what it says is its issuer's own, and another of that name is revoked with
    /// it.
    Verified { said: Digest, until: Time, is_opaque: bool },
    /// A JWT that didn't verify here and may do so at some time, or under another configuration of
    /// this host.
    Unverified { until: Time },
    /// Nobody on this host admits it; it may be in a kept answer.
    Opaque,
}

impl Facts<'_> {
    /// Whether the token was revoked, as far as this host has heard. One host call, and on each
    /// change of what is known two more.
    ///
    /// `token` is what the client has sent.
    ///
    /// # Errors `Revoked`; `RevocationUnavailable` if that can't be known; `Missing` while a feed
    /// is to be read for the first time.
    #[inline(always)]
    pub fn not_revoked(&self, verified: &Verified, token: &[u8]) -> Result<(), Stop> {
        if self.heard_lately() == Some(verified.looked_up.get()) {
            Ok(())
        } else {
            self.look_up(verified, token)
        }
    }

    /// The state of knowledge, where it needs no look now: this configuration doesn't hear of
    /// revocations itself, and the last look is not long ago.
    #[inline(always)]
    fn heard_lately(&self) -> Option<u64> {
        let worker = self.runtime.worker.borrow();
        let known = &worker.revocations;
        let is_fresh = known.read_at <= self.now && self.now < known.read_at.plus_ms(NEWS_MS);
        (!self.runtime.compiled.hears_of_revocations && is_fresh && known.generation > 0)
            .then_some(known.generation)
    }

    #[inline(never)]
    fn look_up(&self, verified: &Verified, token: &[u8]) -> Result<(), Stop> {
        self.look_for_news();
        self.feeds_were_read()?;
        self.others_were_heard()?;
        // What was taken over on the way counts too.
        let (generation, has_none) = {
            let known = &self.runtime.worker.borrow().revocations;
            (known.generation, known.epoch.is_none() && known.feeds.is_empty())
        };
        if verified.looked_up.get() == generation {
            return Ok(());
        }
        // Where nothing was ever revoked the token needs no name: one look that finds nothing in place
        // of hashes of all of it and two looks.
        let is_first = has_none && self.shared().never_revoked();
        if !is_first && self.is_revoked(self.names(verified, token), &verified.claims)? {
            return Err(Reason::Revoked.into());
        }
        let generation =
            if broken(Twin::NamesBeforeNumber) { self.look_for_news() } else { generation };
        verified.looked_up.set(generation);
        Ok(())
    }

    /// What revoking `token` will take: asked before the authorization server is, so that the keys
    /// which verify the token can be fetched.
    ///
    /// RFC 7009, section 2.2: the server answers 200 for tokens that it doesn't know too. So a
    /// token is revoked by what it says only if it verifies here; anything else by its very bytes,
    /// or a forged token with someone's `iss` and `jti` would revoke that one's. Time, audience and
    /// whatever else a rule may ask are not looked at: a token that isn't admitted now may be
    /// later, or elsewhere.
    ///
    /// # Errors The fact without which the token can't be verified; [`Facts::revocation_as_known`]
    /// does without.
    pub fn revocation_of(&self, token: &[u8]) -> Result<Revocation, Fact> {
        let unsealed = self.unsealed(token).ok();
        let Some(Ok(content)) = unsealed.as_ref().map(Unsealed::content) else {
            return Ok(self.revocation(token, None, self.standing_opaque(token)));
        };
        let inside = unsealed.as_ref().and_then(Unsealed::inside);
        let jwt = match &content {
            Content::Signed(jwt) => jwt,
            Content::Bare(claims) => {
                return Ok(self.revocation(token, inside, self.standing_bare(claims, inside)));
            }
        };
        let token_inside = inside.unwrap_or(token);
        let mut missing = None;
        for (index, issuer) in self.candidates(jwt) {
            let record = self.record(issuer, token_inside);
            match self.verifying_key(index, issuer, jwt, Known::by(&record)) {
                Ok(_) => {
                    let first_seen = self.seen_first(jwt.signed).unwrap_or(self.now);
                    let said = self.names_of(&jwt.claims, jwt.signed, token_inside).said;
                    let until = self.no_longer_than(&jwt.claims, issuer, first_seen);
                    let standing = Standing::Verified { said, until, is_opaque: false };
                    return Ok(self.revocation(token, inside, standing));
                }
                Err(Stop::Missing(fact)) => missing = missing.or(Some(*fact)),
                Err(Stop::Refuse(_)) => {}
            }
        }
        match missing {
            Some(fact) => Err(fact),
            None => Ok(self.revocation_as_known(token)),
        }
    }

    /// The same for a token whose keys can't be had in time. It is remembered by its bytes until
    /// the end that it claims, in all spellings that can be made of it without its issuer's key:
    /// that holds however it turns out.
    pub fn revocation_as_known(&self, token: &[u8]) -> Revocation {
        let unsealed = self.unsealed(token).ok();
        let inside = unsealed.as_ref().and_then(Unsealed::inside);
        let standing = match unsealed.as_ref().map(Unsealed::content) {
            Some(Ok(Content::Signed(jwt))) => self.standing_unverified(&jwt),
            Some(Ok(Content::Bare(claims))) => self.standing_bare(&claims, inside),
            Some(Err(_)) | None => self.standing_opaque(token),
        };
        self.revocation(token, inside, standing)
    }

    /// That of claims without a signature: the secret that opened them says that they are their
    /// issuer's own, if it says so of any.
    fn standing_bare(&self, claims: &Claims, inside: Option<&[u8]>) -> Standing {
        let issuers = &self.runtime.config.issuers;
        let positions = self.runtime.compiled.issuer_index.candidates(claims.iss.as_deref());
        let of = positions.iter().filter_map(|position| issuers.get(*position));
        let mut believed = of.filter(|issuer| issuer.encrypted == Encrypted::Authenticates);
        let (Some(issuer), Some(inside)) = (believed.next(), inside) else {
            return Standing::Opaque;
        };
        let said = self.names_of(claims, inside, inside).said;
        let first_seen = self.seen_first(inside).unwrap_or(self.now);
        let until = self.no_longer_than(claims, issuer, first_seen);
        Standing::Verified { said, until, is_opaque: false }
    }

    /// That of a token that is no JWT. Where some issuer's tokens are such, answers about it may be
    /// kept or under way; what it says is known only of one that was found active here.
    fn standing_opaque(&self, token: &[u8]) -> Standing {
        if self.is_encrypted(token) && self.runtime.verifies_elsewhere.get() {
            // Another configuration of this host may have the key.
            return Standing::Unverified { until: self.now.plus_s(UNVERIFIED_S_MAX) };
        }
        if !self.runtime.compiled.knows_opaque || jwt::form(token) != Form::Opaque {
            return Standing::Opaque;
        }
        match self.opaque_revocation(token) {
            Some((Some(said), until)) => Standing::Verified { said, until, is_opaque: true },
            Some((None, until)) => Standing::Unverified { until },
            None => Standing::Opaque,
        }
    }

    fn standing_unverified(&self, jwt: &Jwt<'_>) -> Standing {
        let latest = self.now.plus_s(UNVERIFIED_S_MAX);
        let mut by_exp = true;
        let mut is_ours = false;
        for (_, issuer) in self.candidates(jwt) {
            is_ours = true;
            by_exp &= issuer.exp == ExpPolicy::Required;
        }
        if !is_ours && !self.runtime.verifies_elsewhere.get() {
            return Standing::Opaque;
        }
        let claimed =
            jwt.claims.exp.filter(|_| by_exp).map(|exp| Time::from_s(exp).plus_s(LEEWAY_S_MAX));
        Standing::Unverified { until: claimed.map_or(latest, |end| end.min(latest)) }
    }

    fn revocation(&self, token: &[u8], inside: Option<&[u8]>, standing: Standing) -> Revocation {
        let key = &self.runtime.names_key;
        let previous = key.previous().map(|key| token_handle(key, token));
        let handle = token_handle(key, token);
        let inside = inside.map_or(handle, |inside| token_handle(key, inside));
        Revocation { handle, previous, inside, standing }
    }

    /// The issuers that could answer for a token, whatever its audience.
    fn candidates<'a>(&'a self, jwt: &Jwt<'_>) -> impl Iterator<Item = (usize, &'a Issuer)> {
        let issuers = &self.runtime.config.issuers;
        let algorithm = jwt.algorithm;
        let positions = self.runtime.compiled.issuer_index.candidates(jwt.claims.iss.as_deref());
        let found =
            positions.iter().filter_map(|position| Some((*position, issuers.get(*position)?)));
        found.filter(move |(_, issuer)| issuer.algorithms.contains(algorithm))
    }

    /// A moment after which no configuration of this host admits a token of these claims.
    fn no_longer_than(&self, claims: &Claims, issuer: &Issuer, first_seen: Time) -> Time {
        let by_exp = claims.exp.filter(|_| issuer.exp == ExpPolicy::Required);
        if claims.iat.is_none() && by_exp.is_none() {
            // Its end is counted from first sight, and first sights are forgotten.
            return self.now.plus_s(FIRST_SIGHT_S_MAX);
        }
        let by_policy = check::end_s(claims, issuer, first_seen);
        let end_s = claims.exp.max(by_policy).unwrap_or(self.now.s());
        // Another configuration on this host may admit the token with a larger leeway.
        Time::from_s(end_s.max(self.now.s())).plus_s(LEEWAY_S_MAX)
    }

    /// Revokes on all workers. False if it isn't certain that all will refuse the token: the client
    /// is then to hear 503, which makes it try again (RFC 7009, section 2.2.1). `source` is whose
    /// share of the room a token takes that anyone could have made up.
    pub fn revoke(&self, revocation: &Revocation, source: u64) -> bool {
        let (shared, handle) = (self.shared(), &revocation.handle);
        let told_already = broken(Twin::NumberBeforeNames) && shared.bump_revocations();
        // Nobody but this host's own clients can name what was handed out here.
        let is_known = self.was_handed_out(handle);
        let source = (!is_known).then_some(source);
        let withdrawn_first = broken(Twin::WithdrawnFirst) && self.withdraw(handle);
        let in_flight = self.now.plus_ms(IN_FLIGHT_MS);
        let kept = match revocation.standing {
            Standing::Verified { said, until, .. } => {
                shared.revoke(&said, until, None) & shared.revoke(handle, in_flight, None)
            }
            // Whatever it is wrapped in.
            Standing::Unverified { until } => {
                let inside = &revocation.inside;
                shared.revoke(inside, until, source)
                    & (inside == handle || shared.revoke(handle, in_flight, source))
            }
            // Only answers that are under way now could still be kept with it: whoever floods this
            // place loses nothing else.
            Standing::Opaque => {
                shared.revoke(handle, in_flight, source.and(Some(NOBODY))) || !is_known
            }
        };
        // After it is remembered: see `keep_answer`.
        let withdrawn = withdrawn_first || self.withdraw(handle);
        for name in [Some(*handle), revocation.previous].into_iter().flatten() {
            self.tell_elsewhere(Tell::WithdrawToken(name));
        }
        // Workers under the secret before may have kept it.
        let withdrawn =
            revocation.previous.is_none_or(|name| self.withdraw_previous(&name)) & withdrawn;
        let told = told_already || shared.bump_revocations();
        self.host.meter.count(Metric::RevocationSeen);
        self.tell_of(revocation, source);
        kept && withdrawn && told
    }

    /// Tells other gateways of it. Of an answer that is kept there they know as much as we do of one
    /// that is kept here: so its name goes to them for as long as such an answer may be served.
    fn tell_of(&self, revocation: &Revocation, source: Option<u64>) {
        // Gateways that keep answers under the secret before know it by another name.
        let handles = || [Some(revocation.handle), revocation.previous].into_iter().flatten();
        let standing = source.map_or(told::Standing::Verified, told::Standing::MadeUp);
        match revocation.standing {
            Standing::Verified { said, until, is_opaque } => {
                self.tell(said, until, told::Standing::Verified);
                // A JWT in a kept answer is looked up by what it says.
                let in_flight = self.now.plus_ms(IN_FLIGHT_MS);
                let until = if is_opaque { until.max(in_flight) } else { in_flight };
                handles().for_each(|name| self.tell(name, until, told::Standing::Verified));
            }
            Standing::Unverified { until } => {
                let inside = revocation.inside;
                self.tell(inside, until, standing);
                for name in handles().filter(|name| inside != *name) {
                    self.tell(name, self.now.plus_s(ANSWERS_S), standing);
                }
            }
            Standing::Opaque => {
                let until = self.now.plus_s(ANSWERS_S);
                handles().for_each(|name| self.tell(name, until, told::Standing::MadeUp(NOBODY)));
            }
        }
    }

    /// Revokes a token for which nobody waited to have its keys; see [`Facts::revocation_of`].
    pub fn revoke_token(&self, token: &[u8]) -> bool {
        let revocation =
            self.revocation_of(token).unwrap_or_else(|_| self.revocation_as_known(token));
        self.revoke(&revocation, 0)
    }

    pub(super) fn is_revoked(&self, names: &Names, claims: &Claims) -> Result<bool, Stop> {
        if self.is_listed(names, claims) {
            return Ok(true);
        }
        for name in names.all() {
            match self.shared().is_revoked(name) {
                Some(false) => {}
                Some(true) => return Ok(true),
                None => return Err(self.unavailable(Reason::RevocationUnavailable, self.now)),
            }
        }
        Ok(false)
    }

    /// Whether a feed tells of the token. What it says of its subject is named only where some feed
    /// asks for that.
    fn is_listed(&self, names: &Names, claims: &Claims) -> bool {
        let worker = self.runtime.worker.borrow();
        let known = || worker.revocations.feeds.iter().filter_map(FeedHere::known);
        if names.ids().any(|id| known().any(|known| known.lists(id))) {
            return true;
        }
        if !known().any(|known| known.has_floors()) {
            return false;
        }
        let id = names.has_id.then_some(&names.said);
        // A list that was kept under the secret before has its names.
        let key = &self.runtime.names_key;
        let told =
            [Some(key), key.previous()].into_iter().flatten().map(|key| Told::of(key, claims));
        told.into_iter().any(|told| known().any(|known| known.covers(&told, id)))
    }

    /// Reads the shared number, and what changed if it changed. Returns the state of knowledge.
    pub(super) fn look_for_news(&self) -> u64 {
        if let Some(generation) = self.heard_lately() {
            return generation;
        }
        let hears = self.runtime.compiled.hears_of_revocations;
        let name = {
            let mut worker = self.runtime.worker.borrow_mut();
            *worker
                .revocations
                .epoch_name
                .get_or_insert_with(|| Epoch::REVOCATION.name(&self.runtime.host_key))
        };
        let epoch = self.shared().revocation_epoch(&name);
        let changed = {
            let mut worker = self.runtime.worker.borrow_mut();
            let known = &mut worker.revocations;
            known.read_at = self.now;
            // Without a number nothing tells of changes, so every look counts as one.
            let changed =
                known.generation == 0 || epoch != known.epoch || (hears && epoch.is_none());
            if changed {
                known.epoch = epoch;
                known.generation = known.generation.saturating_add(1);
            }
            changed
        };
        if changed {
            self.reload_feeds();
        }
        self.runtime.worker.borrow().revocations.generation
    }
}

/// Seconds for which a JWT that isn't verified here is remembered at most: anyone can claim any
/// end.
const UNVERIFIED_S_MAX: u64 = 400 * 86_400;
/// Seconds for which a token is remembered whose end is counted from first sight.
const FIRST_SIGHT_S_MAX: u64 = 10 * 365 * 86_400;
/// Seconds for which gateways are told of a token that may be in an answer that they keep.
const ANSWERS_S: u64 = 3_600;
/// How old the news of a worker are at most that doesn't hear of revocations itself, in
/// milliseconds.
const NEWS_MS: u64 = 100;
#[cfg(test)]
mod tests;
