//! Tiers: other numbers for some tokens, over one and the same counter.
//!
//! A key has one counter, whichever tier a request is of: each charge puts the theoretical arrival
//! time off by its own tier's interval, and a tier admits what leaves it within its own burst. So
//! what was charged under one tier counts under every other, and two tokens of one key don't add
//! up. The counter's name has the limit's own numbers in it, never a tier's.
//!
//! What a counter can honestly say is what the most generous tier can have made of it: by the
//! numbers of a stricter one its charges would look like a clock that went back, and be cut off.

use serde_json::Value;

use super::charge::Claim;
use super::key::{KeyPartValue, counter_digest};
use super::limit::{Amount, RateLimit};
use super::policy::{Gcra, Policy};
use crate::digest::{Digest, HostKey};
use crate::jwt::demands::has_all;
use crate::jwt::{ClaimPath, Claims};
use crate::shared::twin::{Twin, broken};

/// Other numbers, for tokens with these claims.
#[derive(Clone, PartialEq, Debug)]
pub struct Tier {
    /// Claims and the values of which they must have one.
    pub when: Vec<(ClaimPath, Vec<Value>)>,
    /// How much then; of the same kind as the limit's own, and for a quota of the same window.
    pub amount: Amount,
}

impl RateLimit {
    /// The numbers for a request: those of the first tier that its verified token has the claims
    /// of, else the limit's own.
    #[inline]
    pub fn amount_for(&self, verified: Option<&Claims>) -> Amount {
        if self.tiers.is_empty() { self.amount } else { self.amount_of_tier(verified) }
    }

    #[inline(never)]
    fn amount_of_tier(&self, verified: Option<&Claims>) -> Amount {
        let Some(claims) = verified else { return self.amount };
        let tier = self.tiers.iter().find(|tier| has_all(claims, &tier.when));
        tier.map_or(self.amount, |tier| tier.amount)
    }

    /// What a request with this verified token is to be charged, on the counter of this name.
    #[inline]
    pub fn claim(&self, verified: Option<&Claims>, digest: Digest, gateways: u32) -> Claim<'_> {
        Claim { limit: self, amount: self.amount_for(verified), digest, gateways }
    }

    /// The name of the counter for a request with this verified token and these values of the key;
    /// one for all tiers.
    pub fn counter(
        &self,
        verified: Option<&Claims>,
        host: &HostKey,
        parts: &[KeyPartValue<'_>],
    ) -> Digest {
        if broken(Twin::CounterPerTier) {
            let amount = self.amount_for(verified);
            return counter_digest(host, &RateLimit { amount, ..self.clone() }, parts);
        }
        counter_digest(host, self, parts)
    }

    /// A rate of this limit, among the rates of all its tiers.
    pub(super) fn among_tiers(&self, rate: Gcra) -> Gcra {
        if self.tiers.is_empty() || broken(Twin::TiersApart) {
            return rate;
        }
        let all = self.tiers.iter().map(|tier| tier.amount).chain([self.amount]);
        all.filter_map(Policy::new)
            .filter_map(|policy| policy.rate().copied())
            .fold(rate, Gcra::beside)
    }
}
