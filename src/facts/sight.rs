//! When a token was first seen, where its lifetime depends on it: in shared memory, so that all
//! workers count from one moment.

use super::Facts;
use crate::digest::{Digest, HostKey};
use crate::jwt::issuer::{ExpPolicy, Issuer};
use crate::jwt::{Claims, check};
use crate::time::Time;

/// For how long after its end a token is remembered that tells neither its end nor its beginning.
const ENDED_KEPT_S: u64 = 30 * 86_400;

/// When a token was first seen.
pub(super) struct Sight {
    /// Under which name that is kept; nothing where it doesn't matter.
    name: Option<Digest>,
    /// When it was; now, if it wasn't seen before.
    pub(super) at: Time,
    is_new: bool,
}

impl Facts<'_> {
    /// When a token was first seen, by its header and payload: of an ECDSA signature there are two
    /// spellings, and of signatures with randomness any number. The issuer's entry is no part of
    /// it, or a change there would begin the lifetimes of all its tokens anew. Only a token without
    /// `iat` needs it.
    pub(super) fn first_sight(&self, claims: &Claims, signed: &[u8]) -> Sight {
        if claims.iat.is_some() {
            return Sight { name: None, at: self.now, is_new: false };
        }
        let name = sight_name(&self.runtime.host_key, signed);
        let known = self.sight_under(&name);
        let at = known.into_iter().chain(self.sight_before(signed)).min();
        Sight { name: Some(name), at: at.unwrap_or(self.now), is_new: known.is_none() }
    }

    /// When a token was first seen, where that is known.
    pub(super) fn seen_first(&self, signed: &[u8]) -> Option<Time> {
        let known = self.sight_under(&sight_name(&self.runtime.host_key, signed));
        known.into_iter().chain(self.sight_before(signed)).min()
    }

    /// The same under the secret before.
    fn sight_before(&self, signed: &[u8]) -> Option<Time> {
        self.sight_under(&sight_name(self.runtime.host_key.previous()?, signed))
    }

    fn sight_under(&self, name: &Digest) -> Option<Time> {
        let at =
            Time::from_ns(u64::from_le_bytes(self.shared().read_token(name)?.try_into().ok()?));
        // One that lies ahead was written before the clock went back: from here on it counts as of
        // now.
        (at <= self.now).then_some(at)
    }

    /// Remembers it, once the token has verified.
    pub(super) fn remember_sight(&self, sight: &Sight, claims: &Claims, issuer: &Issuer) {
        let Some(name) = sight.name.filter(|_| sight.is_new) else { return };
        let Some(end_s) = check::end_s(claims, issuer, sight.at) else { return };
        // Where first sight is all that ends a token, to forget it would begin its lifetime anew.
        let kept_s = if issuer.exp == ExpPolicy::Required {
            end_s
        } else {
            end_s.saturating_add(ENDED_KEPT_S)
        };
        self.shared().write_token(&name, &sight.at.ns().to_le_bytes(), Time::from_s(kept_s));
    }
}

fn sight_name(key: &HostKey, signed: &[u8]) -> Digest {
    key.digest("first sight", &[signed])
}
