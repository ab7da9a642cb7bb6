//! Opaque tokens: what their issuer's introspection endpoint says of them.
//!
//! An answer is kept whole in shared memory, under a keyed digest of the token and of the issuer's
//! entry, and what follows from it in this worker's memory, as of any verified token. "Inactive" has
//! a table of its own, so that made-up tokens take no room from good ones. When an answer is fresh no
//! longer it stays for a while: it serves while the endpoint fails, if the configuration says so,
//! and its token is asked about before those of which nothing was ever known.

use std::borrow::Cow;
use std::rc::Rc;

use crate::digest::Digest;
use crate::jwt::introspection::{self, OpaqueTokens, Response, Told};
use crate::jwt::issuer::{Issuer, IssuerMatch};
use crate::jwt::{Claims, check};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::Names;
use crate::signature::source::KeySource;
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::keys::KeySet;
use super::signed::{self, Read};
use super::vouched::{By, Consumer, Vouched};
use super::{Endpoint, Fact, Facts, Stop, Verified};

/// An answer of more bytes isn't kept, and so isn't one.
const ANSWER_BYTES_MAX: usize = 16_384;
/// Seconds for which it stays known that a token was active.
const REMEMBERED_S: u64 = 600;

/// An answer as it was kept.
struct Kept {
    /// From when it was said until when it is fresh.
    fresh: Span,
    claims: Claims,
    /// The key that said it; none where answers aren't signed.
    key: Option<[u8; 32]>,
}

impl Kept {
    fn is_of(&self, set: &KeySet) -> bool {
        set.keys.iter().any(|key| Some(*key.fingerprint()) == self.key)
    }
}

/// What was said of a token, and what vouches for it.
struct Answer {
    claims: Claims,
    fresh: Span,
    key: [u8; 32],
    generation: u64,
}

impl Facts<'_> {
    /// The opaque token, as its issuer knows it. `admitted` are the issuers that the rule admits.
    ///
    /// # Errors
    /// Why it isn't good: `Malformed` if no issuer that the rule admits has such tokens,
    /// `IssuerNotAllowed` if it is known as another's; or `Missing` if the endpoint is to be asked.
    pub(super) fn verify_opaque(
        &self,
        token: &[u8],
        admitted: Option<&[usize]>,
    ) -> Result<Rc<Verified>, Stop> {
        self.clock_is_set()?;
        let (index, issuer, opaque) = self.opaque_issuer(token, admitted)?;
        check::sunset(issuer, self.now)?;
        let set = self.vouching_keys(index, issuer)?;
        let fact = Fact::Introspection(Endpoint::Of(index), token.to_vec());
        let digest = self.digest(&fact);
        let kept = match self.kept_answer(issuer, opaque, &digest) {
            Some(kept) => self.vouched_for(index, kept, set.as_deref())?,
            None => None,
        };
        if let Some(kept) = &kept {
            check::answered_times(&kept.claims, issuer, self.now)?;
        }
        let kept = match kept {
            Some(kept) if kept.fresh.holds(self.now) => {
                self.host.meter.count(Metric::IntrospectionHit);
                return self.verified_opaque(
                    index,
                    issuer,
                    token,
                    self.of_kept(index, issuer, kept),
                );
            }
            other => other,
        };
        if self.is_inactive(&digest) {
            self.host.meter.count(Metric::IntrospectionHit);
            return Err(Reason::Inactive.into());
        }
        let state = self.shared().read_state(&digest);
        if state.failures == 0 || self.now >= state.retry_at {
            return Err(fact.into());
        }
        let stale_until = |kept: &Kept| kept.fresh.until.plus_s(opaque.introspection.stale_s_max);
        match kept {
            Some(kept) if self.now < stale_until(&kept) => {
                self.host.meter.count(Metric::IntrospectionStale);
                let until = state.retry_at.plus_s(1).min(stale_until(&kept));
                let kept = Kept { fresh: Span { until, ..kept.fresh }, ..kept };
                self.verified_opaque(index, issuer, token, self.of_kept(index, issuer, kept))
            }
            _ => Err(self.unavailable(Reason::IntrospectionUnavailable, state.retry_at)),
        }
    }

    /// Whose token it would be. Where a rule admits several of those issuers the configuration has
    /// made sure that no token begins as those of two do.
    fn opaque_issuer(
        &self,
        token: &[u8],
        admitted: Option<&[usize]>,
    ) -> Result<(usize, &Issuer, &OpaqueTokens), Reason> {
        let mut reason = Reason::Malformed;
        for (index, issuer) in self.runtime.config.issuers.iter().enumerate() {
            let Some(opaque) = &issuer.opaque else { continue };
            if !token.starts_with(opaque.prefix.as_bytes()) {
                continue;
            }
            if admitted.is_none_or(|admitted| admitted.contains(&index)) {
                return Ok((index, issuer, opaque));
            }
            // Nobody is asked for a rule that doesn't admit the issuer: of a token that nobody here
            // knows it isn't said that it would do elsewhere.
            let fact = Fact::Introspection(Endpoint::Of(index), token.to_vec());
            if self.was_active(&self.digest(&fact)) {
                reason = Reason::IssuerNotAllowed;
            }
        }
        Err(reason)
    }

    fn kept_answer(&self, issuer: &Issuer, opaque: &OpaqueTokens, digest: &Digest) -> Option<Kept> {
        let (fresh, body) = self.shared().read_opaque(digest)?;
        let (key, body) = match opaque.introspection.response {
            Response::Json => (None, body.as_slice()),
            Response::Jwt => {
                let (key, said) = signed::read_kept(&body)?;
                (Some(key), said)
            }
        };
        let Told::Active(members) = introspection::read(OAUTH, 200, body)? else { return None };
        Some(Kept { fresh, claims: introspection::claims(members, iss(issuer)?)?, key })
    }

    /// The answer, if the key that said it is still its issuer's: in this set, or in one that another
    /// worker has fetched since. Without a set answers aren't signed.
    ///
    /// # Errors
    /// `Missing` while such a set is being fetched.
    fn vouched_for(
        &self,
        index: usize,
        kept: Kept,
        set: Option<&KeySet>,
    ) -> Result<Option<Kept>, Stop> {
        let Some(set) = set.filter(|set| !kept.is_of(set)) else { return Ok(Some(kept)) };
        let newer = self.newer_keys(index, set)?;
        Ok(newer.filter(|newer| kept.is_of(newer)).map(|_| kept))
    }

    fn of_kept(&self, index: usize, issuer: &Issuer, kept: Kept) -> Answer {
        let Kept { fresh, claims, key } = kept;
        let generation = self.vouching_generation(index, issuer);
        Answer { claims, fresh, key: key.unwrap_or_default(), generation }
    }

    fn is_inactive(&self, digest: &Digest) -> bool {
        let hash = self.runtime.host_key.short(&digest.0);
        let worker = &self.runtime.worker;
        let holds = |span: &Span| span.holds(self.now);
        if worker.borrow_mut().absent.get_if(hash, &digest.0, holds).is_some() {
            return true;
        }
        let Some(span) = self.shared().read_absent(digest) else { return false };
        self.keep_inactive(digest, span);
        true
    }

    /// Keeps in this worker's memory that a token isn't active.
    fn keep_inactive(&self, digest: &Digest, span: Span) {
        let hash = self.runtime.host_key.short(&digest.0);
        self.runtime.worker.borrow_mut().absent.put(hash, &digest.0, span, 16);
    }

    /// What an answer that is in force makes of a token.
    fn verified_opaque(
        &self,
        index: usize,
        issuer: &Issuer,
        token: &[u8],
        answer: Answer,
    ) -> Result<Rc<Verified>, Stop> {
        let Answer { claims, fresh, key: fingerprint, generation } = answer;
        introspection::is_access_token(&claims.raw)?;
        check::answered_times(&claims, issuer, self.now)?;
        check::audience(issuer, &claims)?;
        check::claims_required(issuer, &claims)?;
        let key = &self.runtime.names_key;
        let names =
            Names::of_opaque(key, iss(issuer).unwrap_or_default(), claims.jti.as_deref(), token);
        let window = check::Window::of_answer(&claims, issuer, fresh.from, fresh.until);
        let vouched = Vouched {
            consumer: Consumer::of(issuer, &claims),
            claims,
            credential: None,
            payload_segment: &[],
            window,
            by: By::Answer,
            first_seen: fresh.from,
            fingerprint,
            generation,
            names: Some(names),
        };
        self.take_in(token, (index, issuer), vouched)
    }

    /// The key set of an issuer that is kept here. One in the document never changes: where answers
    /// aren't signed, or a secret vouches for tokens, it is as good as any.
    pub(super) fn vouching_generation(&self, index: usize, issuer: &Issuer) -> u64 {
        match &issuer.keys {
            KeySource::Inline(keys) => self.inline_keys(index, keys).generation,
            KeySource::Jwks { .. } => self.kept_keys(index).map_or(0, |set| set.generation),
            KeySource::Credentials(_) => 0,
        }
    }

    /// Takes an answer about an opaque token in; false if it is none.
    pub(super) fn learn_opaque(&self, index: usize, token: &[u8], answer: &CallAnswer<'_>) -> bool {
        let Ok(issuer) = self.issuer(index) else { return false };
        let (Some(opaque), Some(iss)) = (&issuer.opaque, iss(issuer)) else { return false };
        let digest = self.digest(&Fact::Introspection(Endpoint::Of(index), token.to_vec()));
        let endpoint = &opaque.introspection;
        let (told, body, key) = match endpoint.response {
            Response::Json => {
                let told = introspection::read(endpoint.kind, answer.status, answer.body);
                let Some(told) = told else { return false };
                (told, Cow::Borrowed(answer.body), None)
            }
            Response::Jwt if answer.status != 200 => return false,
            Response::Jwt => match self.read_signed(index, answer) {
                Ok(Read::Said(told, said, key)) => {
                    (told, Cow::Owned(signed::kept_form(&key, &said)), Some(key))
                }
                // Nothing is known of the token, and nothing has failed.
                Ok(Read::KeysFirst) => return true,
                Err(_) => return false,
            },
        };
        let claims = match told {
            Told::Inactive => {
                self.learn_inactive(&digest, token, endpoint.negative_ttl_s);
                return true;
            }
            Told::Active(members) => match introspection::claims(members, iss) {
                Some(claims) if body.len() <= ANSWER_BYTES_MAX => claims,
                _ => return false,
            },
        };
        // Whole seconds, as this worker's memory counts them.
        let kept_until = Time::from_s(self.now.plus_s(endpoint.ttl_s_max).s());
        let fresh_until = claims.exp.map_or(kept_until, |exp| kept_until.min(Time::from_s(exp)));
        if fresh_until <= self.now {
            // It ended meanwhile, whatever the endpoint's clock says.
            self.learn_inactive(&digest, token, endpoint.negative_ttl_s);
            return true;
        }
        let expires = fresh_until.plus_s(endpoint.stale_s_max.max(REMEMBERED_S));
        let is_kept = self.shared().write_opaque(&digest, &body, fresh_until, expires);
        let fresh = Span { from: self.now, until: fresh_until };
        let answer = self.of_kept(index, issuer, Kept { fresh, claims, key });
        let verified = self.verified_opaque(index, issuer, token, answer);
        if !is_kept && verified.is_err() {
            // Without room in shared memory it would be asked about at each look.
            let until = self.now.plus_s(endpoint.negative_ttl_s.max(1));
            self.keep_inactive(&digest, Span { from: self.now, until });
        }
        true
    }

    fn learn_inactive(&self, digest: &Digest, token: &[u8], negative_ttl_s: u64) {
        // Who waits for this answer has to find it.
        let until = self.now.plus_s(negative_ttl_s.max(1));
        self.shared().remove_opaque(digest);
        self.shared().write_absent(digest, until);
        self.keep_inactive(digest, Span { from: self.now, until });
        self.withdraw_inactive(token);
    }

    /// Whether this token was known to be active a while ago.
    pub(super) fn was_active(&self, digest: &Digest) -> bool {
        self.shared().has_opaque(digest)
    }

    /// Whether an old answer about a token serves while its endpoint can't be asked.
    pub(super) fn has_stale(&self, index: usize, digest: &Digest) -> bool {
        let endpoint = Endpoint::Of(index).of(&self.runtime.config);
        let stale_s_max = endpoint.map_or(0, |endpoint| endpoint.stale_s_max);
        stale_s_max > 0
            && self
                .shared()
                .read_opaque(digest)
                .is_some_and(|(fresh, _)| self.now < fresh.until.plus_s(stale_s_max))
    }

    /// For how long a token has to be remembered that is revoked now, so that no answer about it
    /// that is kept or under way serves any more; and under which name, if it is known to be some
    /// issuer's. Nothing if no issuer has such tokens.
    pub(super) fn opaque_revocation(&self, token: &[u8]) -> Option<(Option<Digest>, Time)> {
        let mut said = None;
        let mut until = None;
        for (index, issuer) in self.runtime.config.issuers.iter().enumerate() {
            let Some(opaque) = &issuer.opaque else { continue };
            if !token.starts_with(opaque.prefix.as_bytes()) {
                continue;
            }
            let fact = Fact::Introspection(Endpoint::Of(index), token.to_vec());
            let endpoint = &opaque.introspection;
            let served_s = endpoint.ttl_s_max.saturating_add(endpoint.stale_s_max);
            let mut end = self.now.plus_ms(self.lease_ms(&fact)).plus_s(served_s);
            if let Some(kept) = self.kept_answer(issuer, opaque, &self.digest(&fact)) {
                let (key, jti) = (&self.runtime.names_key, kept.claims.jti.as_deref());
                said = Some(Names::of_opaque(key, iss(issuer)?, jti, token).said);
                end = end.max(kept.claims.exp.map_or(end, Time::from_s));
            }
            until = until.max(Some(end));
        }
        Some((said, until?))
    }
}

const OAUTH: introspection::IntrospectionKind = introspection::IntrospectionKind::Oauth;

/// The issuer of opaque tokens is one, by its whole name.
fn iss(issuer: &Issuer) -> Option<&str> {
    match &issuer.matcher {
        IssuerMatch::Exact(iss) => Some(iss),
        IssuerMatch::Template(_) | IssuerMatch::Any => None,
    }
}
