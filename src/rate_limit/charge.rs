//! Several limits on one request: all are charged, or none.

use super::counters::{Charge, Charged, Counters, Look, Receipt};
use super::policy::{Decision, Policy};
use crate::digest::Digest;
use crate::rate_limit::{Amount, RateLimit};
use crate::reply::FailureMode;
use crate::shared::{Moment, Unavailable};
use crate::time::NS_PER_S;

/// What came of charging a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Whether it passes.
    pub verdict: Verdict,
    /// One for each limit, in their order.
    pub limits: Vec<Status>,
}

/// One of the limits that a request is to be charged to.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The limit that is charged.
    pub limit: &'a RateLimit,
    /// Its numbers for this request.
    pub amount: Amount,
    /// Its counter for this request.
    pub digest: Digest,
    /// How many gateways share it.
    pub gateways: u32,
}

impl<'a> Claim<'a> {
    /// A limit that this gateway counts for itself.
    pub const fn alone(limit: &'a RateLimit, digest: Digest) -> Self {
        Claim { limit, amount: limit.amount, digest, gateways: 1 }
    }

    /// How it is charged; nothing if the limit's numbers are out of bounds.
    pub fn charge(&self) -> Option<Charge<'a>> {
        Some(Charge {
            limit: self.limit,
            policy: Policy::under(self.limit, self.amount, self.gateways)?,
            digest: self.digest,
        })
    }
}

/// Whether a request passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The request passes.
    Allowed,
    /// The request doesn't pass; nothing is charged.
    Refused {
        /// The index of the limit that refused it; of several, the one that lasts longest.
        limit: usize,
        /// Whole seconds, rounded up, at least 1: `Retry-After`.
        retry_after_s: u64,
    },
}

/// How one limit stands after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// What this limit said.
    pub what: What,
    /// How many more would pass now.
    pub remaining: u64,
    /// Seconds, rounded up, until it is as unused.
    pub reset_s: u64,
    /// Whether the sketch counted, which may count too much.
    pub sketch: bool,
}

/// What one limit said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The request is charged.
    Charged,
    /// It would have been, but another limit refused it, or it wasn't asked any more.
    NotCharged,
    /// Over the limit. With `shadow` the request passes all the same.
    Over,
    /// The count couldn't be kept; `failure_mode` decided, which with `shadow` never refuses.
    Uncounted(Unavailable),
    /// The limit's numbers are out of bounds; `failure_mode` decided. Refused at load, so never
    /// seen.
    OutOfBounds,
}

/// Charges a request to all of `limits`, or to none.
///
/// With one limit: one read, and one compare-and-set if it passes. With several all are read first,
/// so that a request that one refuses isn't charged to the others even for a moment. When one
/// refuses all the same, because others were charged in between, the charges before it are taken
/// back: for a moment others may then be refused that could have passed, but none passes that
/// should not.
pub fn charge(counters: &Counters, at: &Moment<'_>, limits: &[Claim<'_>]) -> Outcome {
    let mut statuses = vec![UNASKED; limits.len()];
    let mut looks = Vec::new();
    if limits.len() > 1 {
        looks = limits.iter().map(|one| look(counters, at, one)).collect();
        if let Some(refused) = refused_at_first_look(limits, &looks, &mut statuses) {
            return Outcome { verdict: refused, limits: statuses };
        }
    }
    let mut looks = looks.into_iter();
    let mut receipts: Vec<(Charge<'_>, Receipt, u64)> = Vec::new();
    for (index, (one, status)) in limits.iter().zip(statuses.iter_mut()).enumerate() {
        let refused = match charge_one(counters, at, one, looks.next().flatten()) {
            Err(what) => {
                status.what = what;
                (one.limit.failure_mode == FailureMode::Deny).then_some(1)
            }
            Ok((_, Charged::Refused { retry_after_ns, reset_ns })) => {
                *status = Status {
                    what: What::Over,
                    remaining: 0,
                    reset_s: seconds(reset_ns),
                    sketch: false,
                };
                Some(seconds(retry_after_ns))
            }
            Ok((charge, Charged::Allowed { receipt, remaining, reset_ns })) => {
                let sketch = matches!(receipt, Receipt::Sketch(_));
                *status =
                    Status { what: What::Charged, remaining, reset_s: seconds(reset_ns), sketch };
                // The last one's is never taken back.
                if index + 1 < limits.len() {
                    receipts.push((charge, receipt, reset_ns));
                }
                None
            }
        };
        if let Some(retry_after_s) = refused.filter(|_| !one.limit.shadow) {
            for (charge, receipt, _) in receipts.iter().rev() {
                counters.refund(at, charge, *receipt);
            }
            let charged = statuses.iter_mut().filter(|status| status.what == What::Charged);
            for (status, (charge, _, reset_ns)) in charged.zip(&receipts) {
                *status = Status {
                    what: What::NotCharged,
                    ..uncharged(*status, charge.policy, *reset_ns)
                };
            }
            return Outcome {
                verdict: Verdict::Refused { limit: index, retry_after_s },
                limits: statuses,
            };
        }
    }
    Outcome { verdict: Verdict::Allowed, limits: statuses }
}

/// Which of `limits` a request is over, and for how many seconds; it isn't charged. One read each.
pub fn over(
    counters: &Counters,
    at: &Moment<'_>,
    limits: &[Claim<'_>],
) -> Option<(Verdict, Vec<Status>)> {
    let mut statuses = vec![UNASKED; limits.len()];
    let looks: Vec<_> = limits.iter().map(|one| look(counters, at, one)).collect();
    let refused = refused_at_first_look(limits, &looks, &mut statuses)?;
    Some((refused, statuses))
}

/// How many more would pass now by one limit, or all that its counter can't tell. One read.
pub fn remaining(counters: &Counters, at: &Moment<'_>, limit: &Claim<'_>) -> u64 {
    match look(counters, at, limit).and_then(|look| look.decision) {
        Some(Decision::Allowed { remaining, .. }) => remaining.saturating_add(1),
        Some(Decision::Refused { .. }) => 0,
        None => u64::MAX,
    }
}

const UNASKED: Status = Status { what: What::NotCharged, remaining: 0, reset_s: 1, sketch: false };

fn look(counters: &Counters, at: &Moment<'_>, one: &Claim<'_>) -> Option<Look> {
    counters.look(at, &one.charge()?).ok()
}

fn refused_at_first_look(
    limits: &[Claim<'_>],
    looks: &[Option<Look>],
    statuses: &mut [Status],
) -> Option<Verdict> {
    let mut longest = None;
    for (index, ((one, look), status)) in limits.iter().zip(looks).zip(statuses).enumerate() {
        match look.as_ref().and_then(|look| look.decision) {
            None => {}
            Some(Decision::Allowed { remaining, reset_ns, .. }) => {
                let charged = Status { remaining, reset_s: seconds(reset_ns), ..*status };
                *status = one
                    .charge()
                    .map_or(charged, |charge| uncharged(charged, charge.policy, reset_ns));
            }
            Some(Decision::Refused { retry_after_ns, reset_ns, .. }) => {
                *status = Status {
                    what: What::Over,
                    remaining: 0,
                    reset_s: seconds(reset_ns),
                    sketch: false,
                };
                if !one.limit.shadow && longest.is_none_or(|(ns, _)| ns < retry_after_ns) {
                    longest = Some((retry_after_ns, index));
                }
            }
        }
    }
    longest.map(|(ns, limit)| Verdict::Refused { limit, retry_after_s: seconds(ns) })
}

/// How a limit stands without the request that it would have been charged: `reset_ns` is with it.
fn uncharged(charged: Status, policy: Policy, reset_ns: u64) -> Status {
    let reset_ns = policy.reset_ns_without_one(reset_ns);
    Status { remaining: charged.remaining.saturating_add(1), reset_s: seconds(reset_ns), ..charged }
}

fn charge_one<'a>(
    counters: &Counters,
    at: &Moment<'_>,
    one: &Claim<'a>,
    look: Option<Look>,
) -> Result<(Charge<'a>, Charged), What> {
    let charge = one.charge().ok_or(What::OutOfBounds)?;
    let charged = counters.charge(at, &charge, look).map_err(What::Uncounted)?;
    Ok((charge, charged))
}

/// Whole seconds, rounded up, at least 1.
fn seconds(ns: u64) -> u64 {
    ns.div_ceil(NS_PER_S).max(1)
}

#[cfg(test)]
mod tests;
