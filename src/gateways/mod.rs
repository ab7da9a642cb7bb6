//! What gateways tell each other, in the background: what was charged here, and what all have
//! charged; tokens that were revoked here. What others have revoked is read as a fact is
//! ([`crate::facts::told`]).
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

use crate::config::Config;
use crate::digest::{Digest, HostKey};
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::metrics::Metric;
use crate::rate_limit::Sync;
use crate::rate_limit::sync::{Ledger, Owed, Sent, ledger, wire};
use crate::rate_limit::{Charge, Claim, Known, Policy};
use crate::revocation::told::Batch;
use crate::shared::Unavailable;
use crate::time::Time;
use crate::token_endpoint::elsewhere::Tell;

mod answers;
mod present;
mod revocations;

/// A call under way: what it tells, and when it was made.
pub struct Push {
    what: What,
    asked_at: Time,
    timeout_ms: u64,
}

/// What a call tells.
enum What {
    /// Charges, to the target at this index.
    Charges(usize, Vec<Sent>),
    /// Revocations and notes, and whether the script's text goes along.
    Revocations(Batch, bool),
    /// What became of token calls, and whether the script's text goes along.
    Answers(Vec<Tell>, bool),
    /// That this gateway is there.
    Presence,
}

impl Push {
    /// The call that tells this.
    fn made(at: &Sync, what: What, body: Vec<u8>, now: Time) -> (Push, Call) {
        let call = Call::post_command(&at.uri, &at.call, body);
        (Push { what, asked_at: now, timeout_ms: at.call.timeout_ms }, call)
    }

    /// Whether its answer isn't waited for any more. Hosts answer for calls that they give up; one
    /// that doesn't must not keep a gateway silent.
    pub fn is_given_up(&self, now: Time) -> bool {
        // Kong's host counts the time to connect, to send and to read apart.
        let longest_ms = self.timeout_ms.saturating_mul(3).saturating_add(GIVEN_UP_MS);
        now >= self.asked_at.plus_ms(longest_ms) || now.plus_ms(GIVEN_UP_MS) < self.asked_at
    }
}

/// Milliseconds after the latest end of a call at which it is given up.
const GIVEN_UP_MS: u64 = 5_000;

/// Milliseconds between the ticks that a configuration's limits and revocations need; nothing
/// where it meets no other gateway.
pub fn tick_ms(config: &Config) -> Option<u64> {
    let limits = config.rate_limits.iter().filter_map(|limit| limit.sync.as_ref());
    let gateways = config.gateways.iter().filter(|gateways| gateways.revocations);
    let places = limits.chain(gateways.map(|gateways| &gateways.at));
    places.map(|place| place.every_ms / 2).min()
}

/// How many gateways share a limit, as far as this worker has heard.
pub(crate) fn sharing(facts: &Facts<'_>, limit: usize) -> u32 {
    let Some(target) = facts.runtime.compiled.targets.of(limit) else { return 1 };
    with_ledger(facts, target, |ledger| ledger.gateways()).unwrap_or(1)
}

/// Notes a charge that is to be told. `name` gives the counter's name under a key.
pub(crate) fn note_charge(
    facts: &Facts<'_>,
    index: usize,
    claim: &Claim<'_>,
    name: impl Fn(&HostKey) -> Digest,
) {
    let Some(target) = facts.runtime.compiled.targets.of(index) else { return };
    let Some(policy) = Policy::under(claim.limit, claim.amount, claim.gateways) else { return };
    let (much, window_end) = policy.adds(facts.now);
    let key = &facts.runtime.sync_key;
    let (name, previous) = match with_ledger(facts, target, |ledger| ledger.knows(&claim.digest)) {
        Some(true) => (wire::Name::default(), None),
        _ => (wire::Name::new(name(key)), key.previous().map(|key| wire::Name::new(name(key)))),
    };
    let charge = Owed { limit: index, name, previous, much, since: facts.now, window_end };
    let noted =
        with_ledger(facts, target, |ledger| ledger.note(claim.digest, charge)).unwrap_or(true);
    if !noted {
        facts.host.meter.count(Metric::SyncBehind);
    }
}

/// The set of live gateways.
fn all(key: &HostKey) -> wire::Name {
    wire::Name::new(key.digest("gateways", &[]))
}

/// The calls that are due. What becomes of each is to be said to [`learn_push`].
pub fn pushes_due(facts: &Facts<'_>) -> Vec<(Push, Call)> {
    let mut due: Vec<_> = revocations::due(facts).into_iter().chain(answers::due(facts)).collect();
    for (index, sync) in facts.runtime.compiled.targets.all.iter().enumerate() {
        let Some(batches) = take_batches(facts, index, sync) else { continue };
        let caller = wire::Caller {
            gateways: all(&facts.runtime.sync_key),
            previous: facts.runtime.sync_key.previous().map(all),
            gateway: wire::Name::new(facts.runtime.host_key.digest("gateway", &[])),
            late_ns: ledger::late_ns(sync.every_ms),
        };
        for batch in batches {
            let body = wire::body(&caller, &batch, facts.now);
            due.push(Push::made(sync, What::Charges(index, batch), body, facts.now));
        }
    }
    due
}

/// The call that says that this gateway is there, where it is due: once in five seconds. What becomes
/// of it is to be said to [`learn_push`].
pub fn presence_due(facts: &Facts<'_>) -> Option<(Push, Call)> {
    present::due(facts)
}

fn take_batches(facts: &Facts<'_>, index: usize, sync: &Sync) -> Option<Vec<Vec<Sent>>> {
    let taken = |ledger: &mut Ledger| {
        let batches = ledger.take(facts.now)?;
        Some((batches, ledger.is_behind()))
    };
    let (batches, behind) = with_ledger(facts, index, taken)??;
    if behind {
        facts.host.meter.count(Metric::SyncBehind);
    }
    let late_ns = ledger::late_ns(sync.every_ms);
    let send = |(counter, mut owed)| {
        let charge = charge_of(facts, &owed, counter)?;
        let Some(gcra) = charge.policy.rate() else {
            return Some(Sent { counter, owed, ahead_ns_max: 0 });
        };
        if facts.now.ns().saturating_sub(owed.since.ns()) > late_ns {
            let most_ns = match charge.limit.tiers.is_empty() {
                true => gcra.tolerance_ns(),
                // Another tier's burst may be longer.
                false => gcra.plausible_ns(),
            };
            ledger::cut(
                &mut owed,
                ahead_ns(facts, &charge.digest).unwrap_or(most_ns),
                late_ns,
                facts.now,
            );
        }
        Some(Sent { counter, owed, ahead_ns_max: gcra.plausible_ns() })
    };
    Some(batches.into_iter().map(|batch| batch.into_iter().filter_map(send).collect()).collect())
}

/// Takes in what came of a call.
pub fn learn_push(facts: &Facts<'_>, push: &Push, answer: &CallAnswer<'_>) {
    match &push.what {
        What::Charges(target, batch) => {
            learn_charges(facts, *target, batch, push.asked_at, answer);
        }
        What::Revocations(told, by_text) => revocations::learn(facts, told, *by_text, answer),
        What::Answers(told, by_text) => answers::learn(facts, told, *by_text, answer),
        What::Presence => present::learn(facts, push.asked_at, answer),
    }
}

fn learn_charges(
    facts: &Facts<'_>,
    target: usize,
    batch: &[Sent],
    asked_at: Time,
    answer: &CallAnswer<'_>,
) {
    let heard = (answer.status == 200).then(|| wire::parse(answer.body, batch)).flatten();
    let Some(heard) = heard else {
        facts.host.meter.count(Metric::SyncFailed);
        let kept = with_ledger(facts, target, |ledger| ledger.failed(batch, facts.now));
        if kept == Some(false) {
            facts.host.meter.count(Metric::SyncBehind);
        }
        return;
    };
    facts.host.meter.count(Metric::SyncDone);
    with_ledger(facts, target, |ledger| ledger.came(heard.gateways));
    for (sent, number) in batch.iter().zip(heard.counters) {
        let Some(charge) = charge_of(facts, &sent.owed, sent.counter) else { continue };
        let untold = with_ledger(facts, target, |ledger| ledger.owes(&sent.counter)).unwrap_or(0);
        let number = number.saturating_add(untold);
        if number == 0 {
            continue;
        }
        let known = match sent.owed.window_end {
            // Redis's moment was after the call was made: reckoned from there, it isn't too
            // much.
            None => Known::Until(Time::from_ns(asked_at.ns().saturating_add(number))),
            Some(window_end) => Known::Counted { window_end, total: number },
        };
        let raised = facts.runtime.compiled.counters.raise(&facts.moment(), &charge, known);
        match raised {
            Ok(_) => {}
            Err(Unavailable::Exhausted) => facts.host.meter.count(Metric::CasExhausted),
            Err(_) => facts.host.meter.count(Metric::SharedFull),
        }
    }
}

fn charge_of<'a>(facts: &'a Facts<'_>, owed: &Owed, digest: Digest) -> Option<Charge<'a>> {
    let limit = facts.runtime.config.rate_limits.get(owed.limit)?;
    Some(Charge { limit, policy: Policy::of(limit, sharing(facts, owed.limit))?, digest })
}

/// How far ahead the arrival time of a counter lies, if it has a cell.
fn ahead_ns(facts: &Facts<'_>, counter: &Digest) -> Option<u64> {
    let cell = facts.runtime.compiled.counters.cells().get(&facts.moment(), counter).ok()??;
    Some(cell.until.ns().saturating_sub(facts.now.ns()))
}

fn with_ledger<T>(
    facts: &Facts<'_>,
    target: usize,
    work: impl FnOnce(&mut Ledger) -> T,
) -> Option<T> {
    facts.runtime.worker.borrow_mut().ledgers.get_mut(target).map(work)
}

#[cfg(test)]
mod tests;
