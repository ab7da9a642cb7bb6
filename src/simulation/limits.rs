//! Limits: exactly as many as they say, and never more.

use std::sync::Mutex;

use super::host::{Dialect, Faults};
use super::schedule::{Rng, Worker, World, ms};
use super::{holds, is_caught};
use crate::digest::{Digest, HostKey};
use crate::rate_limit::{Amount, RateLimit, Window};
use crate::rate_limit::{Charge, Claim, Counters, Known, Policy, Verdict, What, charge};
use crate::reply::FailureMode;
use crate::shared::twin::Twin;
use crate::time::{NS_PER_MS, Time};

pub(super) fn limit(amount: Amount) -> RateLimit {
    RateLimit {
        name: "simulated".into(),
        key: Vec::new(),
        amount,
        tiers: Vec::new(),
        failure_mode: FailureMode::Deny,
        shadow: false,
        headers: false,
        charge: crate::rate_limit::Charging::Accepted,
        sync: None,
    }
}

pub(super) fn key(host: &HostKey, n: u64) -> Digest {
    host.digest("simulated counter", &[&n.to_le_bytes()])
}

/// One more request; whether it passed.
pub(super) fn ask(counters: &Counters, worker: &Worker<'_>, limits: &[Claim<'_>]) -> bool {
    let outcome = charge(counters, &worker.begin(), limits);
    worker.done();
    outcome.verdict == Verdict::Allowed
}

/// Without pressure on the table exactly the burst passes, whoever asks, whatever is torn.
fn exact(seed: u64, dialect: Dialect, faults: Faults, twin: Option<Twin>) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0xe);
    let workers = 2 + rng.below(3) as usize;
    let burst = 1 + rng.below(6);
    let one = match rng.below(2) {
        0 => limit(Amount::Rate { limit: 1, per_s: 3600, burst }),
        _ => limit(Amount::Quota { quota: burst, window: Window::Day }),
    };
    let counters = Counters::new(64);
    let world = World::new(dialect, seed, workers, twin).faults(faults).drift_ms(3);
    let counter = key(&world.key, seed);
    let passed = Mutex::new(0u64);
    let (one, counters, passed) = (&one, &counters, &passed);
    world.run(
        (0..workers)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..4 {
                        if ask(counters, worker, &[Claim::alone(one, counter)]) {
                            *passed.lock().unwrap() += 1;
                        }
                    }
                }
            })
            .collect(),
    );
    // A request that lost all its races was refused; what it left is there for others.
    let rest = world.alone(|worker| {
        (0..=burst).filter(|_| ask(counters, worker, &[Claim::alone(one, counter)])).count() as u64
    });
    let passed = *passed.lock().unwrap() + rest;
    // A worker that died may have charged a request that nobody saw pass.
    let least = if faults.crash > 0 { burst.saturating_sub(workers as u64) } else { burst };
    if (least..=burst).contains(&passed) {
        Ok(())
    } else {
        Err(format!("{passed} passed of {burst}"))
    }
}

#[test]
fn a_limit_is_exact_in_every_schedule() {
    holds(150, |seed, dialect| exact(seed, dialect, Faults::default(), None));
    is_caught(Twin::BlindWrites, 50, |seed, dialect, twin| {
        exact(seed, dialect, Faults::default(), twin)
    });
}

/// What other gateways have charged comes in while workers charge: no more passes than the whole
/// burst, and what came in is never lost.
fn raised(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0x11);
    let burst = 3 + rng.below(4);
    let others = 1 + rng.below(burst - 1);
    let counters = Counters::new(64);
    let world = World::new(dialect, seed, 3, twin);
    let counter = key(&world.key, seed);
    let (one, start) =
        (limit(Amount::Rate { limit: 1, per_s: 3600, burst }), world.alone(|worker| worker.now()));
    let passed = Mutex::new(0u64);
    let (one, counters, passed_ref) = (&one, &counters, &passed);
    world.run(
        (0..3u64)
            .map(|n| {
                move |worker: &Worker<'_>| {
                    for _ in 0..3 {
                        if n == 0 {
                            let known = Known::Until(start.plus_s(3600 * others));
                            let charge = Charge {
                                limit: one,
                                policy: Policy::of(one, 1).unwrap(),
                                digest: counter,
                            };
                            let _ = counters.raise(&worker.begin(), &charge, known);
                            worker.done();
                        } else if ask(counters, worker, &[Claim::alone(one, counter)]) {
                            *passed_ref.lock().unwrap() += 1;
                        }
                    }
                }
            })
            .collect(),
    );
    let rest = world.alone(|worker| {
        (0..=burst).filter(|_| ask(counters, worker, &[Claim::alone(one, counter)])).count() as u64
    });
    let passed = passed.into_inner().unwrap() + rest;
    if (burst - others..=burst).contains(&passed) {
        Ok(())
    } else {
        Err(format!("{passed} passed of {burst}, others had {others}"))
    }
}

#[test]
fn what_other_gateways_charged_takes_nothing_from_what_is_charged_here() {
    holds(150, |seed, dialect| raised(seed, dialect, None));
    is_caught(Twin::RaiseLowers, 100, raised);
    is_caught(Twin::BlindWrites, 100, raised);
}

#[test]
fn a_limit_is_exact_with_torn_reads() {
    let torn = Faults { torn: 100, ..Faults::default() };
    holds(100, |seed, dialect| exact(seed, dialect, torn, None));
    is_caught(Twin::OneLook, 200, |seed, dialect, twin| exact(seed, dialect, torn, twin));
}

#[test]
fn a_limit_is_kept_by_workers_that_die() {
    let crash = Faults { crash: 60, ..Faults::default() };
    holds(100, |seed, dialect| exact(seed, dialect, crash, None));
}

/// What passed: when, by the clock of the one who asked.
type Passed = Mutex<Vec<(usize, Time)>>;

/// More keys than cells, clocks that go on, several limits: never more than burst and rate.
fn never_more(
    seed: u64,
    dialect: Dialect,
    faults: Faults,
    twin: Option<Twin>,
) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0xf);
    let workers = 2 + rng.below(3) as usize;
    // Ten keys for one slot of eight cells, most of them busy and some idle again at any time.
    let keys = 9 + rng.below(2);
    let amount = Amount::Rate { limit: 1, per_s: 1 + rng.below(3), burst: 1 + rng.below(2) };
    let one = limit(amount);
    let counters = Counters::new(8);
    let world = World::new(dialect, seed, workers, twin).faults(faults).drift_ms(30);
    let digests: Vec<Digest> = (0..keys).map(|n| key(&world.key, n)).collect();
    let passed: Passed = Mutex::default();
    let (one, counters, passed_ref, digests) = (&one, &counters, &passed, &digests);
    world.run(
        (0..workers)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..14 {
                        let n = worker.below(keys) as usize;
                        let now = worker.now();
                        if ask(counters, worker, &[Claim::alone(one, digests[n])]) {
                            passed_ref.lock().unwrap().push((n, now));
                        }
                        if worker.below(3) == 0 {
                            worker.sleep(700);
                        }
                    }
                }
            })
            .collect(),
    );
    let Amount::Rate { per_s, burst, .. } = amount else { return Ok(()) };
    keeps_the_rate(passed, burst, ms(1000) * per_s)
}

/// In no span passed more of a key than the burst and what the span makes good.
fn keeps_the_rate(passed: Passed, burst: u64, emission_ns: u64) -> Result<(), String> {
    let mut passed = passed.into_inner().unwrap();
    passed.sort_unstable();
    for (from, (n, start)) in passed.iter().enumerate() {
        for (to, (_, end)) in
            passed.iter().enumerate().skip(from).take_while(|(_, (other, _))| other == n)
        {
            let most = burst + (end.ns() - start.ns()) / emission_ns;
            let count = (to - from + 1) as u64;
            if count > most {
                return Err(format!(
                    "{count} of key {n} passed within {} ms, at most {most}",
                    (end.ns() - start.ns()) / NS_PER_MS
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn under_pressure_no_limit_counts_too_little() {
    holds(250, |seed, dialect| never_more(seed, dialect, Faults::default(), None));
    is_caught(Twin::BusyGivesWay, 100, |seed, dialect, twin| {
        never_more(seed, dialect, Faults::default(), twin)
    });
    is_caught(Twin::SketchForgotten, 300, |seed, dialect, twin| {
        never_more(seed, dialect, Faults::default(), twin)
    });
}

#[test]
fn under_pressure_and_faults_no_limit_counts_too_little() {
    let faults = Faults { torn: 30, crash: 4, full: 100, ..Faults::default() };
    holds(150, |seed, dialect| never_more(seed, dialect, faults, None));
}

/// Two limits on each request, of which either may refuse.
fn all_or_none(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let mut wide = limit(Amount::Rate { limit: 10, per_s: 1, burst: 1 });
    wide.name = "wide".into();
    let narrow = limit(Amount::Rate { limit: 5, per_s: 1, burst: 1 });
    let workers = 3;
    let counters = Counters::new(64);
    let world = World::new(dialect, seed, workers, twin).drift_ms(60);
    let (shared, apart) = (key(&world.key, 1), [key(&world.key, 2), key(&world.key, 3)]);
    let passed: [Passed; 2] = Default::default();
    let (wide, narrow, counters, passed_ref) = (&wide, &narrow, &counters, &passed);
    world.run(
        (0..workers)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..12 {
                        let n = worker.below(2) as usize;
                        let now = worker.now();
                        if ask(
                            counters,
                            worker,
                            &[Claim::alone(wide, shared), Claim::alone(narrow, apart[n])],
                        ) {
                            passed_ref[0].lock().unwrap().push((0, now));
                            passed_ref[1].lock().unwrap().push((n, now));
                        }
                    }
                }
            })
            .collect(),
    );
    let [all, each] = passed;
    keeps_the_rate(all, 1, ms(100))?;
    keeps_the_rate(each, 1, ms(200))
}

#[test]
fn several_limits_are_charged_all_or_none() {
    holds(200, |seed, dialect| all_or_none(seed, dialect, None));
    is_caught(Twin::RefundBlindly, 400, all_or_none);
}

#[test]
fn a_refused_request_costs_the_other_limits_nothing() {
    let world = World::new(Dialect::Kong, 1, 1, None);
    let wide = limit(Amount::Quota { quota: 10, window: Window::Day });
    let narrow = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 3 });
    let counters = Counters::new(64);
    let (a, b, c) = (key(&world.key, 1), key(&world.key, 2), key(&world.key, 3));
    world.alone(|worker| {
        let both = (0..9)
            .filter(|_| ask(&counters, worker, &[Claim::alone(&wide, a), Claim::alone(&narrow, b)]))
            .count();
        assert_eq!(both, 3);
        let outcome =
            charge(&counters, &worker.begin(), &[Claim::alone(&wide, a), Claim::alone(&narrow, b)]);
        assert_eq!(outcome.verdict, Verdict::Refused { limit: 1, retry_after_s: 3600 });
        assert_eq!((outcome.limits[0].what, outcome.limits[0].remaining), (What::NotCharged, 7));
        assert_eq!((outcome.limits[1].what, outcome.limits[1].remaining), (What::Over, 0));
        let alone = (0..20).filter(|_| ask(&counters, worker, &[Claim::alone(&wide, a)])).count();
        assert_eq!(alone, 7);
        // A limit in shadow refuses nothing, and is counted.
        let shadow = RateLimit { shadow: true, ..narrow.clone() };
        let outcomes: Vec<_> = (0..4)
            .map(|_| charge(&counters, &worker.begin(), &[Claim::alone(&shadow, c)]))
            .collect();
        assert!(outcomes.iter().all(|outcome| outcome.verdict == Verdict::Allowed));
        assert_eq!(outcomes[2].limits[0].what, What::Charged);
        assert_eq!(outcomes[3].limits[0].what, What::Over);
    });
}

#[test]
fn a_hit_costs_two_host_calls_and_a_refusal_one() {
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let one = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 3 });
    let counters = Counters::new(64);
    let counter = key(&world.key, 1);
    let cost = || {
        let before = world.memory(|memory| memory.calls);
        world.alone(|worker| ask(&counters, worker, &[Claim::alone(&one, counter)]));
        world.memory(|memory| memory.calls) - before
    };
    assert_eq!([cost(), cost(), cost(), cost(), cost()], [3, 2, 2, 1, 1]);
}

#[test]
fn a_host_that_has_lost_its_memory_or_has_no_room_is_for_failure_mode_to_judge() {
    let one = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 3 });
    let open = RateLimit { failure_mode: FailureMode::Allow, ..one.clone() };
    let world = World::new(Dialect::Kong, 1, 1, None).with_memory(|memory| memory.zone(100, false));
    let counters = Counters::new(64);
    let counter = key(&world.key, 1);
    world.alone(|worker| {
        assert_eq!(
            charge(&counters, &worker.begin(), &[Claim::alone(&one, counter)]).verdict,
            Verdict::Refused { limit: 0, retry_after_s: 1 }
        );
        let outcome = charge(&counters, &worker.begin(), &[Claim::alone(&open, counter)]);
        assert_eq!(outcome.verdict, Verdict::Allowed);
        assert_eq!(outcome.limits[0].what, What::Uncounted(crate::shared::Unavailable::Full));
    });
}

/// The clock goes on by a day and back while workers ask; for a quota, which knows its window,
/// again and again. (A rate that is cut off so that nobody is locked out for a day can't know that
/// the clock has been there before.)
fn clock_jumps(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 3, twin);
    let burst = 1 + seed % 4;
    let one = match seed % 2 {
        0 => limit(Amount::Rate { limit: 1, per_s: 3600, burst }),
        _ => limit(Amount::Quota { quota: burst, window: Window::Day }),
    };
    let counters = Counters::new(8);
    let counter = key(&world.key, 1);
    let passed = Mutex::new(0);
    let (one, counters, passed_ref) = (&one, &counters, &passed);
    let jumps: &[u64] = if seed.is_multiple_of(2) { &[0, 1, 0, 0] } else { &[0, 1, 0, 1, 0, 1] };
    for &days in jumps {
        world.run(
            (0..3)
                .map(|_| {
                    move |worker: &Worker<'_>| {
                        for _ in 0..3 {
                            let mut at = worker.begin();
                            at.now = at.now.plus_s(days * 86_400);
                            let outcome = charge(counters, &at, &[Claim::alone(one, counter)]);
                            *passed_ref.lock().unwrap() +=
                                u64::from(outcome.verdict == Verdict::Allowed);
                        }
                    }
                })
                .collect(),
        );
    }
    // Once at the start, and once when the clock first went on: then it was another day.
    let passed = passed.into_inner().unwrap();
    if passed == 2 * burst { Ok(()) } else { Err(format!("{passed} passed, {} may", 2 * burst)) }
}

#[test]
fn no_window_is_opened_twice_by_a_clock_that_jumps() {
    holds(40, |seed, dialect| clock_jumps(seed, dialect, None));
    is_caught(Twin::BlindWrites, 40, clock_jumps);
}
