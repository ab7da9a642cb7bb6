//! What counts once: DPoP proofs (RFC 9449, section 11.1), and tokens of issuers that `replay`
//! names.
//!
//! An id is kept until what it names is refused for its age. The memory of ids has a beginning, and
//! what may have been seen before it is refused: after a restart nobody knows what was.

use crate::digest::{Digest, HostKey};
use crate::jwt::check;
use crate::metrics::Metric;
use crate::proof::dpop::{Dpop, Proof};
use crate::proof::nonce;
use crate::reply::Reason;
use crate::shared::once::Owner;
use crate::shared::twin::{Twin, broken};
use crate::shared::{Epoch, Unavailable};
use crate::time::Time;

use super::{Facts, Verified};

mod gateways;

pub use gateways::{Claim, Outcome, WAIT_MS_MAX};

/// For how long an id stays after what it names has ended, in seconds: a worker that was held up
/// between its look at the clock and the record must find it still.
const KEPT_S: u64 = 5;

/// What of a request counts once.
#[derive(Default)]
pub struct Once {
    /// Its proof.
    pub proof: Option<Single>,
    /// Its token.
    pub token: Option<Single>,
    /// Whether it goes on as anonymous, without its token, where this isn't the first use.
    pub is_permissive: bool,
}

/// One id that counts once.
pub struct Single {
    named: Named,
    /// The same under the key before this one.
    previous: Option<Named>,
    until: Time,
    /// The earliest moment at which it can have been seen.
    since: Time,
    /// Whether its issuer asks for nonces.
    has_nonce: bool,
}

/// What an id is called under a key, and whose it is.
#[derive(Clone, Copy)]
struct Named {
    name: Digest,
    owner: Owner,
}

impl Named {
    /// An id of this owner's.
    fn new(key: &HostKey, domain: &str, owner: &[u8], id: &str) -> Named {
        let name = key.digest(domain, &[owner, id.as_bytes()]);
        Named { name, owner: Owner::new(key, owner) }
    }
}

/// Why something isn't its first use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spent {
    /// The proof was seen.
    Proof,
    /// The proof may have been seen before the memory began, and one with a new nonce will do.
    Nonce,
    /// The token was seen, or may have been.
    Token,
    /// Nothing is known, or it can't be remembered.
    Unknown,
}

impl Facts<'_> {
    /// A good proof, which counts once. Its owner is the key that signed it.
    pub fn single_proof(&self, proof: &Proof, jkt: &[u8; 32], dpop: &Dpop) -> Single {
        let key = self.ids_key();
        let made = Time::from_s(proof.iat);
        let named = |key: &HostKey| Named::new(key, "dpop proof", jkt, &proof.jti);
        Single {
            named: named(key),
            previous: key.previous().map(named),
            until: made.plus_s(dpop.leeway_s.saturating_add(KEPT_S)),
            // A nonce of ours is a better witness than the client's clock.
            since: proof.nonce.unwrap_or(made),
            has_nonce: dpop.nonce,
        }
    }

    /// A token that counts once. Its owner is its issuer.
    ///
    /// # Errors
    /// [`Reason::Claim`] without a `jti`, or if nothing says when it was made.
    pub fn single_token(&self, verified: &Verified) -> Result<Single, Reason> {
        let claims = &verified.claims;
        let issuer =
            self.runtime.config.issuers.get(verified.issuer).ok_or(Reason::UnknownIssuer)?;
        let id = claims.jti.as_deref().filter(|jti| !jti.is_empty()).ok_or(Reason::ClaimMissing)?;
        let iss = claims.iss.as_deref().unwrap_or_default().as_bytes();
        let end_s =
            check::end_s(claims, issuer, verified.first_seen()).ok_or(Reason::ClaimMissing)?;
        // Without `iat` it was no token before its lifetime could begin.
        let earliest_s = issuer.lifetime_s_max.zip(claims.exp).map(|(lifetime_s, exp)| {
            exp.saturating_sub(lifetime_s).saturating_sub(issuer.leeway_s)
        });
        let made_s = claims.iat.or(claims.nbf).or(earliest_s).ok_or(Reason::ClaimMissing)?;
        let key = self.ids_key();
        let named = |key: &HostKey| Named::new(key, "token once", iss, id);
        Ok(Single {
            named: named(key),
            previous: key.previous().map(named),
            until: Time::from_s(end_s).plus_s(KEPT_S),
            since: Time::from_s(made_s),
            has_nonce: false,
        })
    }

    /// Remembers what counts once, last of all; exactly one of all who bring it hears that it is the
    /// first. The proof goes first: a proof that was seen doesn't spend the token.
    ///
    /// # Errors
    /// Why it is no first use.
    pub fn spend(&self, once: &Once) -> Result<(), Spent> {
        if let Some(proof) = &once.proof {
            // Also where none is asked for otherwise: a client that is given a nonce is let in at
            // once.
            self.spend_one(proof, Spent::Proof, Spent::Nonce)?;
        }
        match &once.token {
            Some(token) => self.spend_one(token, Spent::Token, Spent::Token),
            None => Ok(()),
        }
    }

    fn spend_one(&self, single: &Single, seen: Spent, too_old: Spent) -> Result<(), Spent> {
        // Of all gateways' memory it is Redis that knows since when it is there.
        if !self.counts_once_for_all() && single.since < self.ids_since().ok_or(Spent::Unknown)? {
            return Err(too_old);
        }
        self.remember_once(single, seen)
    }

    fn remember_once(&self, single: &Single, seen: Spent) -> Result<(), Spent> {
        let ids = &self.runtime.compiled.ids;
        let Named { name, owner } = &single.named;
        let is_first = ids.insert(&self.moment(), *owner, name, single.until);
        // After the record: of two workers, each under the other's secret before, one at least finds
        // what the other has written.
        let is_still =
            |before: &Named| Ok(is_first? && !ids.contains(&self.moment(), &before.name)?);
        match single.previous.as_ref().map_or(is_first, is_still) {
            Ok(true) => Ok(()),
            Ok(false) => Err(seen),
            Err(why) => {
                self.host.meter.count(match why {
                    Unavailable::Full => Metric::ReplayFull,
                    Unavailable::Exhausted => Metric::CasExhausted,
                    Unavailable::TooLong | Unavailable::Foreign => Metric::SharedFull,
                });
                Err(Spent::Unknown)
            }
        }
    }

    /// Since when ids are remembered here; nothing if that can't be known. It begins with the first
    /// worker that looks, as that one began: the memory is no younger. Where it was there and is
    /// gone, ids may be gone with it, and it begins now.
    pub fn ids_since(&self) -> Option<Time> {
        if self.counts_once_for_all() {
            // Before the first answer nobody knows, and what is made from now on will do.
            return Some(self.known_since().unwrap_or(self.now));
        }
        let runtime = self.runtime;
        let at = self.moment();
        let was_there = runtime.has_seen_ids.get() && !broken(Twin::BeginsTooEarly);
        let first = runtime.began.filter(|began| !was_there && *began <= at.now).unwrap_or(at.now);
        match Epoch::IDS.read_or_begin(&at, first) {
            Ok(since) => {
                runtime.has_seen_ids.set(true);
                Some(since)
            }
            Err(why) => {
                let exhausted = why == Unavailable::Exhausted;
                self.host.meter.count(match exhausted {
                    true => Metric::CasExhausted,
                    false => Metric::SharedFull,
                });
                None
            }
        }
    }

    /// What nonces are made with: what gateways share, where they share a secret.
    pub fn nonce_key(&self) -> &HostKey {
        match self.runtime.config.shared.secret.expose().is_empty() {
            true => &self.runtime.host_key,
            false => &self.runtime.sync_key,
        }
    }

    /// The nonce for the next proof; nothing while it isn't known since when ids are remembered.
    pub fn next_nonce(&self) -> Option<String> {
        Some(nonce::issue(self.nonce_key(), self.now, self.ids_since()?))
    }

    /// A nonce for a client whose proof, a good one, had another than is given out now.
    pub fn newer_nonce(&self, once: &Once) -> Option<String> {
        let proof = once.proof.as_ref().filter(|proof| proof.has_nonce)?;
        let next = self.next_nonce()?;
        (nonce::read(self.nonce_key(), &next, self.now) != Some(proof.since)).then_some(next)
    }
}
