//! What an introspection endpoint says of a token (RFC 7662, or its status alone).

use crate::jwt::introspection::{self, Introspection, IntrospectionKind, Told};
use crate::jwt::{self, Rounding};
use crate::metrics::Metric;
use crate::proof::Binding;
use crate::reply::Reason;
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::memory::BoundedMap;
use super::{Endpoint, Fact, Facts, Stop};

/// What this worker knows of a token.
pub struct Known {
    span: Span,
    active: bool,
    binding: Option<Binding>,
}

impl Facts<'_> {
    /// Asks whether the token is active still, and to which keys it is bound if it is (RFC 8705,
    /// section 3.2; RFC 9449, section 6.2).
    ///
    /// # Errors `Inactive` if it isn't, `IntrospectionUnavailable` while the endpoint fails,
    /// `Missing` if it is to be asked.
    pub fn introspected(&self, token: &[u8]) -> Result<Option<Binding>, Stop> {
        let Some(introspection) = &self.runtime.config.introspection else {
            return Err(self.unavailable(Reason::IntrospectionUnavailable, self.now));
        };
        let hash = self.runtime.host_key.short(token);
        let holds = |known: &Known| known.span.holds(self.now);
        let known = |known: &mut BoundedMap<Known>| {
            known.get_if(hash, token, holds).map(|known| (known.active, known.binding))
        };
        if let Some((active, binding)) = known(&mut self.runtime.worker.borrow_mut().introspections)
        {
            self.host.meter.count(Metric::IntrospectionHit);
            return verdict(active, binding);
        }
        let fact = Fact::Introspection(Endpoint::Document, token.to_vec());
        let digest = self.digest(&fact);
        if let Some(document) = self.shared().read_asked(&digest, Binding::BYTES)
            && let Some((active, binding)) = read_kept(&document.body)
        {
            self.keep_introspection(
                token,
                active,
                binding,
                document.expires.min(self.now.plus_s(longest_s(introspection))),
            );
            self.host.meter.count(Metric::IntrospectionHit);
            return verdict(active, binding);
        }
        let state = self.shared().read_state(&digest);
        if state.failures > 0 && self.now < state.retry_at {
            return Err(self.unavailable(Reason::IntrospectionUnavailable, state.retry_at));
        }
        Err(fact.into())
    }

    fn keep_introspection(
        &self,
        token: &[u8],
        active: bool,
        binding: Option<Binding>,
        until: Time,
    ) {
        let hash = self.runtime.host_key.short(token);
        self.runtime.worker.borrow_mut().introspections.put(
            hash,
            token,
            Known { span: Span { from: self.now, until }, active, binding },
            std::mem::size_of::<Known>(),
        );
    }

    /// Takes an introspection answer in.
    pub(super) fn learn_introspection(&self, token: &[u8], answer: &CallAnswer<'_>) -> bool {
        let Some(introspection) = &self.runtime.config.introspection else { return false };
        let Some(Said { active, exp_s, nbf_s, binding }) = read(introspection.kind, answer) else {
            return false;
        };
        let until = match active {
            true => self
                .now
                .plus_s(introspection.ttl_s_max)
                .min(exp_s.map_or(Time::from_ns(u64::MAX), Time::from_s)),
            false => self.now.plus_s(introspection.negative_ttl_s),
        };
        // A token that ended meanwhile, or hasn't begun, is inactive, whatever the endpoint's clock
        // says.
        let has_begun = nbf_s.is_none_or(|nbf_s| Time::from_s(nbf_s) <= self.now.plus_s(LEEWAY_S));
        let active = active && self.now < until && has_begun;
        let until =
            if active { until } else { self.now.plus_s(introspection.negative_ttl_s.max(1)) };
        let digest = self.digest(&Fact::Introspection(Endpoint::Document, token.to_vec()));
        self.keep_introspection(token, active, binding, until);
        if !active {
            self.withdraw_inactive(token);
        }
        let kept = Binding::to_bytes(binding.as_ref());
        let _ = self.shared().write_asked(&digest, active.then_some(&kept[..]), until);
        true
    }
}

/// What shared memory has kept of an answer; nothing if it is of another form.
fn read_kept(body: &[u8]) -> Option<(bool, Option<Binding>)> {
    if body.is_empty() { Some((false, None)) } else { Some((true, Binding::from_bytes(body)?)) }
}

fn verdict(active: bool, binding: Option<Binding>) -> Result<Option<Binding>, Stop> {
    if active { Ok(binding) } else { Err(Reason::Inactive.into()) }
}

fn longest_s(introspection: &Introspection) -> u64 {
    introspection.ttl_s_max.max(introspection.negative_ttl_s)
}

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Said {
    active: bool,
    exp_s: Option<u64>,
    nbf_s: Option<u64>,
    binding: Option<Binding>,
}

/// Reads an answer; nothing if it is none. A date that is none (RFC 7662, section 2.2: a number, as
/// in a JWT) may be the end of this very token. So such an answer says nothing: it counts as a
/// failure of the endpoint, which the operator sees, and the client is told 503 and not that its
/// token is bad.
fn read(kind: IntrospectionKind, answer: &CallAnswer<'_>) -> Option<Said> {
    let members = match introspection::read(kind, answer.status, answer.body)? {
        Told::Active(members) => members,
        Told::Inactive => {
            return Some(Said { active: false, exp_s: None, nbf_s: None, binding: None });
        }
    };
    let date = |name: &str, rounding| {
        members.get(name).map(|value| jwt::date_s(value, rounding)).transpose()
    };
    date("iat", Rounding::Down).ok()?;
    let (exp_s, nbf_s) = (date("exp", Rounding::Down).ok()?, date("nbf", Rounding::Up).ok()?);
    Some(Said { active: true, exp_s, nbf_s, binding: Binding::of(&members) })
}

/// By how many seconds the endpoint's clock may be ahead of this one: an issuer's `leeway_s` where
/// it isn't given.
const LEEWAY_S: u64 = 30;
