//! What of a request counts once is remembered here, last of all.

use super::changes::Changes;
use super::{Exchange, Finish};
use crate::charging::LimitHeaders;
use crate::decide::{Admission, Removal, challenged};
use crate::facts::{Facts, Spent};
use crate::metrics::Metric;
use crate::reply::{Reason, Refusal};
use crate::request::Request;

impl Exchange {
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
        if !admission.shadow && !self.abilities.removes_headers {
            let changes = Changes::of_identity(admission.verified.clone());
            let changes = self.changed(request, changes, admission.removal, false, facts);
            if changes.meet_one_twice(&self.headers) {
                return self.refuse(request, &Reason::DuplicateHeader.into(), facts);
            }
        }
        let (mut response, mut admission) = (response, admission);
        if let Some(once) = admission.once.as_deref() {
            match facts.spend(once) {
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
