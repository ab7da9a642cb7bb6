//! Tiers: tokens of several plans share one counter, and none of them has more than its own.

use std::sync::Mutex;

use super::host::Dialect;
use super::limits::{ask, limit};
use super::schedule::{Rng, Worker, World};
use super::{holds, is_caught};
use crate::jwt::{ClaimPath, Claims};
use crate::rate_limit::{Amount, Counters, KeyPartValue, RateLimit, Tier, Window};
use crate::shared::twin::Twin;
use crate::time::{NS_PER_S, Time};

fn token(plan: &str) -> Claims {
    let claims = serde_json::json!({ "plan": plan });
    Claims::from_map(claims.as_object().unwrap().clone()).unwrap()
}

fn plans(own: Amount, gold: Amount) -> RateLimit {
    let when = vec![(ClaimPath(vec!["plan".to_owned()]), vec!["gold".into()])];
    RateLimit { tiers: vec![Tier { when, amount: gold }], ..limit(own) }
}

/// A request that passed.
struct Pass {
    /// When it was made, by the clock of the one who asked.
    at: Time,
    /// With which token.
    plan: usize,
    /// How many had passed before it was made.
    after: usize,
}

type Passed = Mutex<Vec<Pass>>;

/// Workers with tokens of both plans ask for one key.
fn run(seed: u64, dialect: Dialect, twin: Option<Twin>, one: &RateLimit, tries: usize) -> Passed {
    let world = World::new(dialect, seed, 3, twin).drift_ms(3);
    let counters = Counters::new(64);
    let tokens = [token("free"), token("gold")];
    let passed: Passed = Mutex::default();
    let (passed_ref, counters, tokens, key) = (&passed, &counters, &tokens, &world.key);
    let workers = (0..3).map(|_| {
        move |worker: &Worker<'_>| {
            for _ in 0..tries {
                let plan = worker.below(2) as usize;
                let (at, after) = (worker.now(), passed_ref.lock().unwrap().len());
                let verified = Some(&tokens[plan]);
                let name = one.counter(verified, key, &[KeyPartValue::Absent]);
                let claim = one.claim(verified, name, 1);
                if ask(counters, worker, &[claim]) {
                    passed_ref.lock().unwrap().push(Pass { at, plan, after });
                }
                if worker.below(3) == 0 {
                    worker.sleep(700);
                }
            }
        }
    });
    world.run(workers.collect());
    passed
}

/// Whenever a token of a plan passed, what all had been charged over any time before was within
/// that plan's burst, and what the time had made good.
fn rates(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0x71);
    let (free, gold) = (1 + rng.below(3), 2 + rng.below(10));
    let one = plans(
        Amount::Rate { limit: 1, per_s: 1, burst: free },
        Amount::Rate { limit: 2, per_s: 1, burst: 2 * gold },
    );
    let interval_ns = [NS_PER_S, NS_PER_S / 2];
    let burst_ns = [free * NS_PER_S, gold * NS_PER_S];
    // Workers' clocks differ by as much, and so do what they note and what they charge.
    const SLACK_NS: u64 = 10_000_000;
    let passed = run(seed, dialect, twin, &one, 12).into_inner().unwrap();
    for Pass { at, plan, after } in &passed {
        let (mut charged_ns, mut since) = (interval_ns[*plan], *at);
        for earlier in passed[..*after].iter().rev() {
            charged_ns += interval_ns[earlier.plan];
            since = since.min(earlier.at);
            let most_ns = burst_ns[*plan] + (at.ns() - since.ns()) + SLACK_NS;
            if charged_ns > most_ns {
                return Err(format!("{charged_ns} ns at plan {plan}, at most {most_ns}"));
            }
        }
    }
    Ok(())
}

#[test]
fn what_one_plan_was_charged_counts_under_every_other() {
    holds(120, |seed, dialect| rates(seed, dialect, None));
    is_caught(Twin::CounterPerTier, 60, rates);
    is_caught(Twin::TiersApart, 200, rates);
    is_caught(Twin::BlindWrites, 60, rates);
}

/// A quota of several plans is one count.
fn quotas(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let window = Window::Month;
    let one = plans(Amount::Quota { quota: 4, window }, Amount::Quota { quota: 9, window });
    let passed = run(seed, dialect, twin, &one, 8).into_inner().unwrap();
    let free = passed.iter().filter(|pass| pass.plan == 0).count();
    if passed.len() <= 9 && free <= 4 && passed.len() >= 4 {
        Ok(())
    } else {
        Err(format!("{} passed, {free} of them free", passed.len()))
    }
}

#[test]
fn a_quota_of_several_plans_is_one_count() {
    holds(60, |seed, dialect| quotas(seed, dialect, None));
    is_caught(Twin::CounterPerTier, 60, quotas);
}
