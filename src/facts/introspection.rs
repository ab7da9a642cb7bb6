//! What an introspection endpoint says of a token (RFC 7662, or its status alone).

use serde_json::{Map, Value};

use crate::config::{Introspection, IntrospectionKind};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::shared::document::META_BYTES;
use crate::time::Time;

use super::call::CallAnswer;
use super::memory::BoundedMap;
use super::{Fact, Facts, Stop};

/// What this worker knows of a token.
pub struct Known {
    until: Time,
    active: bool,
}

/// An answer of more bytes isn't one.
const ANSWER_BYTES_MAX: usize = 65_536;

impl Facts<'_> {
    /// Asks whether the token is active still.
    ///
    /// # Errors
    /// `Inactive` if it isn't, `IntrospectionUnavailable` while the endpoint fails, `Missing` if it is to be asked.
    pub fn introspected(&self, token: &[u8]) -> Result<(), Stop> {
        let Some(introspection) = &self.runtime.config.introspection else {
            return Err(self.unavailable(Reason::IntrospectionUnavailable, self.now));
        };
        let hash = self.runtime.host_key.short(token);
        let known = |known: &mut BoundedMap<Known>| known.get(hash, token).filter(|known| self.now < known.until).map(|known| known.active);
        if let Some(active) = known(&mut self.runtime.worker.borrow_mut().introspections) {
            self.host.meter.count(Metric::IntrospectionHit);
            return verdict(active);
        }
        let fact = Fact::Introspection(token.to_vec());
        let digest = self.digest(&fact);
        if let Some(document) = self.shared().read_document(&digest, 1) {
            let active = document.body == [1];
            self.keep_introspection(token, active, document.expires.min(self.now.plus_s(longest_s(introspection))));
            self.host.meter.count(Metric::IntrospectionHit);
            return verdict(active);
        }
        let state = self.shared().read_state(&digest);
        if state.failures > 0 && self.now < state.retry_at {
            return Err(self.unavailable(Reason::IntrospectionUnavailable, state.retry_at));
        }
        Err(fact.into())
    }

    fn keep_introspection(&self, token: &[u8], active: bool, until: Time) {
        let hash = self.runtime.host_key.short(token);
        self.runtime.worker.borrow_mut().introspections.put(hash, token, Known { until, active }, 32);
    }

    /// Takes an introspection answer in.
    pub(super) fn learn_introspection(&self, token: &[u8], answer: &CallAnswer<'_>) -> bool {
        let Some(introspection) = &self.runtime.config.introspection else { return false };
        let Some((active, exp_s)) = read(introspection.kind, answer) else { return false };
        let until = match active {
            true => self.now.plus_s(introspection.ttl_s_max).min(exp_s.map_or(Time::from_ns(u64::MAX), Time::from_s)),
            false => self.now.plus_s(introspection.negative_ttl_s),
        };
        // A token that ended meanwhile is inactive, whatever the endpoint's clock says.
        let active = active && self.now < until;
        let until = if active { until } else { self.now.plus_s(introspection.negative_ttl_s.max(1)) };
        let digest = self.digest(&Fact::Introspection(token.to_vec()));
        self.keep_introspection(token, active, until);
        if !active {
            self.withdraw_inactive(token);
        }
        let _ = self.shared().write_document(&digest, &[u8::from(active)], &[0; META_BYTES], until);
        true
    }
}

fn verdict(active: bool) -> Result<(), Stop> {
    if active { Ok(()) } else { Err(Reason::Inactive.into()) }
}

fn longest_s(introspection: &Introspection) -> u64 {
    introspection.ttl_s_max.max(introspection.negative_ttl_s)
}

/// Whether the token is active, and until when at most; nothing if the answer is none.
fn read(kind: IntrospectionKind, answer: &CallAnswer<'_>) -> Option<(bool, Option<u64>)> {
    match (kind, answer.status) {
        (IntrospectionKind::Status, 200) => Some((true, None)),
        (IntrospectionKind::Status, 401 | 403 | 404) => Some((false, None)),
        (IntrospectionKind::Oauth, 200) if answer.body.len() <= ANSWER_BYTES_MAX => {
            // RFC 7662, section 2.2: `active` is required, and a boolean.
            let answered: Map<String, Value> = crate::jwt::json::object(answer.body).ok()?;
            let active = answered.get("active")?.as_bool()?;
            Some((active, answered.get("exp").and_then(Value::as_u64)))
        }
        _ => None,
    }
}
