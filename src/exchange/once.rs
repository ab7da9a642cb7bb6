//! What of a request counts once is remembered here, last of all.

use std::rc::Rc;

use super::changes::Changes;
use super::finish::charge;
use super::{Effect, Exchange, Finish, Late, Stage};
use crate::charging::LimitHeaders;
use crate::decide::{Admission, Removal, Verdict, challenged};
use crate::facts::{Claim, Fact, Facts, Outcome, Spent, WAIT_MS_MAX};
use crate::metrics::Metric;
use crate::reply::{Reason, Refusal};
use crate::request::Request;
use crate::time::Time;

/// A request that has its own gateway's leave, and waits for that of all.
pub(super) struct Asking {
    /// What is to become of it; its limits are charged.
    admission: Option<Admission<'static>>,
    response: Option<LimitHeaders>,
    claim: Rc<Claim>,
    deadline: Time,
}

impl Exchange {
    /// What becomes of a request that is decided but for other gateways' word.
    pub(super) fn conclude(
        &self,
        late: &mut Late,
        request: &Request<'_>,
        verdict: Verdict<'_>,
        facts: &Facts<'_>,
    ) -> Effect {
        match verdict {
            // In shadow nobody waits.
            Verdict::Admit(mut admission)
                if facts.counts_once_for_all() && !admission.shadow && admission.once.is_some() =>
            {
                let response = match charge(request, &admission, facts) {
                    Ok(response) => response,
                    Err(refusal) => {
                        return Effect::Finish(
                            self.over_limit(request, &refusal, admission, facts),
                        );
                    }
                };
                admission.captures = None;
                let admission = Admission { limits: &[], ..admission };
                self.ask(late, request, admission, response, facts)
            }
            Verdict::Admit(_)
            | Verdict::Refuse { .. }
            | Verdict::Describe(..)
            | Verdict::Token(_)
            | Verdict::Revocation(_) => Effect::Finish(self.finish(request, verdict, facts)),
        }
    }

    /// Remembers here what counts once, and asks whether another gateway has seen it.
    fn ask(
        &self,
        late: &mut Late,
        request: &Request<'_>,
        admission: Admission<'static>,
        response: Option<LimitHeaders>,
        facts: &Facts<'_>,
    ) -> Effect {
        if self.meets_one_twice(request, &admission, facts) {
            return Effect::Finish(self.refuse(request, &Reason::DuplicateHeader.into(), facts));
        }
        let Some(claimed) = admission.once.as_deref().map(|once| facts.claim(once)) else {
            return Effect::Finish(self.admit_charged(request, admission, response, facts));
        };
        match claimed {
            Ok(claim) => {
                facts.host.meter.count(Metric::Waited);
                let deadline = facts.now.plus_ms(WAIT_MS_MAX);
                let fact = Fact::Once(claim.clone());
                late.stage = Stage::Once(Box::new(Asking {
                    admission: Some(admission),
                    response,
                    claim,
                    deadline,
                }));
                Effect::Fetch(fact, deadline)
            }
            Err(spent) => {
                Effect::Finish(self.admit_spent(request, admission, response, Err(spent), facts))
            }
        }
    }

    /// Goes on with what has become of the question.
    pub(super) fn go_on_asking(
        &self,
        asking: &mut Asking,
        request: &Request<'_>,
        facts: &Facts<'_>,
    ) -> Effect {
        let is_over = facts.now >= asking.deadline;
        let spent = match asking.claim.outcome() {
            Some(Outcome::First) => Ok(()),
            Some(Outcome::Spent(spent)) => Err(spent),
            Some(Outcome::Again)
                if !is_over
                    && let Some(once) = asking
                        .admission
                        .as_ref()
                        .and_then(|admission| admission.once.as_deref()) =>
            {
                asking.claim = facts.claim_again(once);
                return Effect::Fetch(Fact::Once(asking.claim.clone()), asking.deadline);
            }
            None if !is_over => {
                let fact = Fact::Once(asking.claim.clone());
                let name = fact.digest(&facts.runtime.host_key, &facts.runtime.config);
                return Effect::SleepUntil(asking.deadline, name, fact.queue());
            }
            Some(Outcome::Again) | None => {
                facts.host.meter.count(Metric::WaitTimedOut);
                Err(Spent::Unknown)
            }
        };
        let Some(admission) = asking.admission.take() else {
            return Effect::Finish(self.refuse(request, &Reason::ReplayUnavailable.into(), facts));
        };
        Effect::Finish(self.admit_spent(request, admission, asking.response.take(), spent, facts))
    }

    /// Remembers what of a request counts once, when all else has passed: what was refused for
    /// another reason may come again.
    #[inline(never)]
    pub(super) fn admit_once(
        &self,
        request: &Request<'_>,
        admission: Admission<'_>,
        response: Option<LimitHeaders>,
        facts: &Facts<'_>,
    ) -> Finish {
        if !admission.shadow && self.meets_one_twice(request, &admission, facts) {
            return self.refuse(request, &Reason::DuplicateHeader.into(), facts);
        }
        let spent = admission.once.as_deref().map_or(Ok(()), |once| facts.spend(once));
        self.admit_spent(request, admission, response, spent, facts)
    }

    /// Whether it has a header twice that can't be changed then.
    fn meets_one_twice(
        &self,
        request: &Request<'_>,
        admission: &Admission<'_>,
        facts: &Facts<'_>,
    ) -> bool {
        if self.abilities.removes_headers {
            return false;
        }
        let changes = Changes::of_identity(admission.verified.clone());
        let changes = self.changed(request, changes, admission.removal, false, facts);
        changes.meet_one_twice(&self.headers)
    }

    /// What becomes of it once it is known whether it is the first.
    fn admit_spent(
        &self,
        request: &Request<'_>,
        mut admission: Admission<'_>,
        mut response: Option<LimitHeaders>,
        spent: Result<(), Spent>,
        facts: &Facts<'_>,
    ) -> Finish {
        let Some(once) = admission.once.as_deref() else {
            return self.admit_charged(request, admission, response, facts);
        };
        match spent {
            Ok(()) => {}
            Err(spent) if once.is_permissive && spent != Spent::Unknown => {
                admission.verified = None;
                admission.removal = Removal::All;
                admission.permitted = Some(reason_of(spent));
                return self.admit_charged(request, admission, response, facts);
            }
            Err(spent) if !admission.shadow => {
                let refusal = spent_refusal(spent, request, facts);
                return self.refuse(request, &refusal, facts);
            }
            Err(spent) => facts.host.meter.count(Metric::Shadowed(reason_of(spent))),
        }
        if let Some(nonce) = facts.newer_nonce(once) {
            response.get_or_insert_default().push(("dpop-nonce".to_owned(), nonce));
        }
        self.admit_charged(request, admission, response, facts)
    }
}

fn reason_of(spent: Spent) -> Reason {
    match spent {
        Spent::Proof | Spent::Token => Reason::Replayed,
        Spent::Nonce => Reason::Nonce,
        Spent::Unknown => Reason::ReplayUnavailable,
    }
}

/// What a request is told that isn't the first with its proof or token.
#[inline(never)]
fn spent_refusal(spent: Spent, request: &Request<'_>, facts: &Facts<'_>) -> Box<Refusal> {
    let mut refusal = Box::new(Refusal::from(reason_of(spent)));
    if spent == Spent::Unknown {
        refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(1)));
        return refusal;
    }
    let mut refusal = challenged(refusal, request, facts, None);
    if let Some(dpop) = &mut refusal.dpop {
        dpop.is_of_proof = spent == Spent::Proof;
    }
    refusal
}
