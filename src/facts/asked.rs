//! Facts that strangers can name: each token that comes may hold a new id to look up. So new
//! questions have a pace, and what the server says to one of them (429, `Retry-After`) it says to
//! this gateway.

use crate::digest::Digest;
use crate::metrics::Metric;
use crate::rate_limit::{self, Address, Claim, Verdict};
use crate::rate_limit::{Amount, RateLimit};
use crate::reply::FailureMode;
use crate::retry_after;
use crate::time::Time;

use super::call::CallAnswer;
use super::flight::ASKED_MS_MAX;
use super::{Endpoint, Fact, Facts};

/// Where a fact that strangers can name is asked for.
pub(super) struct Source {
    pub name: Digest,
    pub calls_per_s_max: u64,
    pub capped: Metric,
    pub paused: Metric,
}

impl Facts<'_> {
    /// Notes one more question, asked for this address; or says when it may be asked.
    ///
    /// All together have the configured pace and as much at one instant as comes in two seconds.
    /// Half of that is for whoever comes; of the other half one address has a quarter of the pace.
    /// A quarter of the pace is left to opaque tokens that were known to be good a while ago:
    /// whoever makes up tokens, from however many addresses, doesn't take their turns.
    ///
    /// # Errors
    /// The moment from which on it makes sense to try again.
    pub(super) fn ask(
        &self,
        fact: &Fact,
        address: impl FnOnce() -> Option<Address>,
    ) -> Result<(), Time> {
        let Some(source) = fact.source(self.runtime) else { return Ok(()) };
        if let Fact::StatusList(issuer, uri) = fact {
            self.take_place(*issuer, uri)?;
        }
        let (shared, key) = (self.shared(), &self.runtime.host_key);
        let counters = &self.runtime.compiled.counters;
        let total = pace(source.calls_per_s_max, source.calls_per_s_max.saturating_mul(2));
        let of_all = Claim::alone(&total, source.name);
        let mut claims = vec![of_all];
        let quarter = (source.calls_per_s_max / 4).max(1);
        let share = pace(quarter, quarter.saturating_mul(2));
        let most = (source.calls_per_s_max.saturating_mul(3) / 4).max(1);
        let newcomers = pace(most, most.saturating_mul(2));
        let renews = self.renews(fact);
        if !renews && matches!(fact, Fact::Introspection(Endpoint::Of(_), _)) {
            let name = key.digest("calls of newcomers", &[&source.name.0]);
            claims.push(Claim::alone(&newcomers, name));
        }
        let left = rate_limit::remaining(counters, &shared.moment(), &of_all);
        if left <= source.calls_per_s_max && !renews {
            let address = address();
            let octets: &[u8] = match &address {
                Some(Address::V4(octets)) => octets,
                Some(Address::V6(octets)) => octets,
                None => &[],
            };
            claims.push(Claim::alone(
                &share,
                key.digest("calls of an address", &[&source.name.0, octets]),
            ));
        }
        match rate_limit::charge(counters, &shared.moment(), &claims).verdict {
            Verdict::Allowed => Ok(()),
            Verdict::Refused { retry_after_s, .. } => {
                self.host.meter.count(source.capped);
                Err(self.now.plus_s(retry_after_s))
            }
        }
    }

    /// Whether a token is asked about again that was known to be good a while ago.
    fn renews(&self, fact: &Fact) -> bool {
        matches!(fact, Fact::Introspection(Endpoint::Of(_), _))
            && self.was_active(&self.digest(fact))
    }

    /// Until when a fact's source is to be left alone, if it asked for that.
    pub(super) fn source_pause(&self, fact: &Fact) -> Option<Time> {
        let source = fact.source(self.runtime)?;
        let state = self.shared().read_state(&source.name);
        let pauses = state.failures > 0 && self.now < state.retry_at;
        pauses.then(|| {
            self.host.meter.count(source.paused);
            state.retry_at
        })
    }

    /// Takes in what an answer says about further questions.
    pub(super) fn note_source(&self, fact: &Fact, answer: &CallAnswer<'_>) {
        let Some(source) = fact.source(self.runtime) else { return };
        let asked_ms = retry_after::asked_ms(answer.headers, self.now);
        let is_told = answer.status == 429 || (answer.status == 503 && asked_ms.is_some());
        let before = self.shared().read_state(&source.name);
        if !is_told
            && (before.failures == 0
                || self.now < before.retry_at
                || answer.status == 0
                || answer.status >= 500)
        {
            return;
        }
        self.shared().update_state(&source.name, |state| {
            if is_told {
                state.fail(
                    self.now,
                    asked_ms.unwrap_or(0).min(ASKED_MS_MAX),
                    self.host.store.random(),
                );
            } else {
                state.heal();
            }
        });
    }
}

/// So many a second, and so many at one instant.
pub(super) fn pace(per_s: u64, burst: u64) -> RateLimit {
    RateLimit {
        name: "calls".to_owned(),
        key: Vec::new(),
        amount: Amount::Rate { limit: per_s, per_s: 1, burst },
        tiers: Vec::new(),
        // A count that can't be kept is no reason to leave a token unverified.
        failure_mode: FailureMode::Allow,
        shadow: false,
        headers: false,
        charge: crate::rate_limit::Charging::Accepted,
        sync: None,
    }
}
