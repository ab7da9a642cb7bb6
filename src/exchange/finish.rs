//! How an exchange is decided: what goes on, with which changes, and what is answered here.

use std::borrow::Cow;

use super::changes::Changes;
use super::{Exchange, Finish, why};
use crate::charging::{self, LimitHeaders, Payer};
use crate::config::Mode;
use crate::decide::{Admission, Removal, Verdict, limits_of_refused, metadata_url};
use crate::facts::{Fact, Facts, Verified};
use crate::metrics::Metric;
use crate::reply::{self, Answer, ErrorStyle, Judged, Place, Reason, Refusal};
use crate::request::{HeaderBlock, Request};
use crate::time::Time;

impl Exchange {
    pub(super) fn finish(
        &self,
        request: &Request<'_>,
        verdict: Verdict<'_>,
        facts: &Facts<'_>,
    ) -> Finish {
        match verdict {
            Verdict::Admit(admission) => self.admit(request, admission, facts),
            Verdict::Refuse { refusal, shadow } => {
                self.refuse_unless(shadow, request, refusal, facts)
            }
            Verdict::Describe(metadata, asked) => {
                facts.host.meter.count(Metric::ResourceDescribed);
                Finish::Answer(metadata.answer(asked))
            }
            // Not reached: these need a body first.
            Verdict::Token(_) | Verdict::Revocation(_) => {
                self.refuse(request, &Reason::Misconfigured.into(), facts)
            }
        }
    }

    #[inline(always)]
    pub(super) fn admit(
        &self,
        request: &Request<'_>,
        admission: Admission<'_>,
        facts: &Facts<'_>,
    ) -> Finish {
        let response = match charge(request, &admission, facts) {
            Ok(headers) => headers,
            Err(refusal) => return self.over_limit(request, &refusal, admission, facts),
        };
        if admission.once.is_some() {
            return self.admit_once(request, admission, response, facts);
        }
        self.admit_charged(request, admission, response, facts)
    }

    /// Lets a request go on that nothing refuses any more.
    #[inline(always)]
    pub(super) fn admit_charged(
        &self,
        request: &Request<'_>,
        admission: Admission<'_>,
        response: Option<LimitHeaders>,
        facts: &Facts<'_>,
    ) -> Finish {
        let meter = facts.host.meter;
        if let Some(reason) = admission.permitted {
            meter.count(Metric::Permitted(reason));
        }
        if admission.shadow {
            return self.pass_shadowed(request, admission, None, facts);
        }
        if admission.passed_on {
            meter.count(Metric::PassedOn);
            // Where a plugin of the host has authenticated the request, its headers are that
            // plugin's work.
            let vouched = facts.runtime.config.kong.auth_plugin && !self.abilities.removes_headers;
            let mut changes = Changes::default();
            self.tell(&mut changes, Some(Reason::UnknownIssuer), request, facts);
            return self.pass(request, changes, Removal::Nothing, vouched, facts);
        }
        meter.count(if admission.verified.is_some() {
            Metric::Accepted
        } else {
            Metric::Anonymous
        });
        if admission.verified.as_ref().is_some_and(|verified| verified.is_legacy) {
            meter.count(Metric::Legacy);
        }
        let mut changes = Changes::of_identity(admission.verified);
        if let Some(response) = response {
            changes.edit().response = response;
        }
        self.tell(&mut changes, admission.permitted, request, facts);
        self.pass(request, changes, admission.removal, false, facts)
    }

    /// A limit refuses a request that is good otherwise.
    #[inline(never)]
    pub(super) fn over_limit(
        &self,
        request: &Request<'_>,
        refusal: &Refusal,
        admission: Admission<'_>,
        facts: &Facts<'_>,
    ) -> Finish {
        let known = admission.verified.clone();
        if !admission.shadow {
            return self.refuse_known(request, refusal, known.as_deref(), facts);
        }
        let told = why::shadowed(request, refusal, known.as_deref(), facts);
        self.pass_shadowed(request, admission, Some(told), facts)
    }

    /// Has logs told of an admitted request, where the configuration wants that.
    #[inline(always)]
    fn tell(
        &self,
        changes: &mut Changes,
        reason: Option<Reason>,
        request: &Request<'_>,
        facts: &Facts<'_>,
    ) {
        if why::tells_of_all(facts) {
            let known = changes.identity.clone();
            let judged = if known.is_some() { Judged::Accepted } else { Judged::Anonymous };
            let told = why::admitted(judged, reason, request, known.as_deref(), facts);
            changes.edit().why = Some(told);
        }
    }

    /// Counts what would be done with a good request, and lets it go on as it came; with what logs
    /// are told of it, if it was over a limit.
    #[inline(never)]
    fn pass_shadowed(
        &self,
        request: &Request<'_>,
        admission: Admission<'_>,
        told: Option<Changes>,
        facts: &Facts<'_>,
    ) -> Finish {
        let meter = facts.host.meter;
        let verified = admission.verified;
        meter.count(match (admission.passed_on, &verified) {
            (true, _) => Metric::PassedOn,
            (false, Some(_)) => Metric::Accepted,
            (false, None) => Metric::Anonymous,
        });
        if verified.as_ref().is_some_and(|verified| verified.is_legacy) {
            meter.count(Metric::Legacy);
        }
        let mut told = told.unwrap_or_else(|| {
            let mut changes = Changes::of_identity(verified.clone());
            let passed_on = admission.passed_on.then_some(Reason::UnknownIssuer);
            let reason = admission.permitted.or(passed_on);
            self.tell(&mut changes, reason, request, facts);
            changes.identity = None;
            changes
        });
        if !self.abilities.removes_headers {
            let vouched = admission.passed_on && facts.runtime.config.kong.auth_plugin;
            let changes = self.changed(
                request,
                Changes::of_identity(verified.clone()),
                admission.removal,
                vouched,
                facts,
            );
            if changes.meet_one_twice(&self.headers) {
                let refusal = Reason::DuplicateHeader.into();
                told = why::shadowed(request, &refusal, verified.as_deref(), facts);
            }
        }
        Finish::Admit(told)
    }

    /// Lets a call to an authorization server go on without what only the filter may say; in shadow
    /// mode as it came.
    #[inline(never)]
    pub(super) fn pass_call(&self, request: &Request<'_>, facts: &Facts<'_>) -> Finish {
        match facts.runtime.config.mode {
            Mode::Enforce => self.pass(request, Changes::default(), Removal::Nothing, false, facts),
            Mode::Shadow => Finish::Admit(Changes::default()),
        }
    }

    /// Lets the request go on with these changes and without what only the filter may say; refuses
    /// it if it has a header twice that can't be changed then. `vouched`: a plugin of the host has
    /// set its identity headers, or removed the client's.
    #[inline(always)]
    fn pass(
        &self,
        request: &Request<'_>,
        changes: Changes,
        removal: Removal,
        vouched: bool,
        facts: &Facts<'_>,
    ) -> Finish {
        let changes = self.changed(request, changes, removal, vouched, facts);
        if !self.abilities.removes_headers && changes.meet_one_twice(&self.headers) {
            return self.refuse(request, &Reason::DuplicateHeader.into(), facts);
        }
        Finish::Admit(changes)
    }

    /// These changes and those of every request with what only the filter may say.
    #[inline(always)]
    pub(super) fn changed(
        &self,
        request: &Request<'_>,
        mut changes: Changes,
        removal: Removal,
        vouched: bool,
        facts: &Facts<'_>,
    ) -> Changes {
        if request.has_reserved {
            changes.remove_reserved(request, vouched, facts);
        }
        match removal {
            Removal::Nothing => {}
            Removal::Source(position) => changes.remove_token(request, position, facts),
            Removal::All => changes.remove_all_tokens(request, facts),
        }
        changes
    }

    /// Refuses the request, and charges it to the limits that ask for that; where the refusal is in
    /// shadow, it is counted and the request goes on as it came.
    #[inline(never)]
    pub(super) fn refuse_unless(
        &self,
        shadow: bool,
        request: &Request<'_>,
        refusal: Box<Refusal>,
        facts: &Facts<'_>,
    ) -> Finish {
        let refusal = charge_refused(request, refusal, facts);
        match shadow {
            true => Finish::Admit(why::shadowed(request, &refusal, None, facts)),
            false => self.refuse(request, &refusal, facts),
        }
    }

    /// Refuses it until the moment from which on a fact may be asked for.
    pub(super) fn refuse_later(
        &self,
        shadow: bool,
        request: &Request<'_>,
        missing: &Fact,
        until: Time,
        facts: &Facts<'_>,
    ) -> Finish {
        let mut refusal = Refusal::from(missing.refused_as());
        refusal.retry_after_s = Some(facts.retry_after_s(until));
        self.refuse_unless(shadow, request, Box::new(refusal), facts)
    }

    #[inline(never)]
    pub(super) fn refuse(
        &self,
        request: &Request<'_>,
        refusal: &Refusal,
        facts: &Facts<'_>,
    ) -> Finish {
        self.refuse_known(request, refusal, None, facts)
    }

    fn refuse_known(
        &self,
        request: &Request<'_>,
        refusal: &Refusal,
        known: Option<&Verified>,
        facts: &Facts<'_>,
    ) -> Finish {
        let config = &facts.runtime.config;
        if config.mode == Mode::Shadow {
            return Finish::Admit(why::shadowed(request, refusal, known, facts));
        }
        facts.host.meter.count(Metric::Rejected(refusal.reason));
        let mut said = Cow::Borrowed(refusal);
        if let Some(url) = metadata_url(request, facts) {
            said.to_mut().resource_metadata = Some(url.into());
        }
        let answer = answer(request.headers, &said, config.errors, &config.realm);
        Finish::Answer(why::refused(answer, request, refusal, known, facts))
    }
}

/// Charges a good request to its limits.
#[inline(always)]
pub(super) fn charge(
    request: &Request<'_>,
    admission: &Admission<'_>,
    facts: &Facts<'_>,
) -> Result<Option<LimitHeaders>, Box<Refusal>> {
    let payer = Payer {
        request,
        verified: admission.verified.as_deref(),
        claimed_client: None,
        captures: admission.captures.as_deref().unwrap_or_default(),
    };
    charging::charge(facts, admission.limits, &payer)
}

/// Charges a refused request to the limits that ask for that (`charge: all`). Over one of them,
/// that is why it is refused.
#[inline(never)]
fn charge_refused(
    request: &Request<'_>,
    mut refusal: Box<Refusal>,
    facts: &Facts<'_>,
) -> Box<Refusal> {
    // One that a limit refused has been weighed by all of them already.
    if !facts.runtime.compiled.charges_refused || refusal.reason == Reason::Limited {
        return refusal;
    }
    let limits = limits_of_refused(request, facts);
    let payer = Payer { request, verified: None, claimed_client: None, captures: &[] };
    match charging::charge(facts, &limits, &payer) {
        Ok(headers) => {
            refusal.limit_headers.extend(headers.into_iter().flatten());
            refusal
        }
        Err(limited) => limited,
    }
}

/// The answer to a refused request with these headers.
pub fn answer(headers: &HeaderBlock, refusal: &Refusal, style: ErrorStyle, realm: &str) -> Answer {
    let grpc =
        headers.get("content-type").is_some_and(|value| value.starts_with(b"application/grpc"));
    reply::answer(refusal, style, realm, Place { token_endpoint: false, grpc })
}
