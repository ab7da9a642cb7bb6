//! Every schedule there is, where there are few enough.

use std::sync::Mutex;

use super::host::Dialect;
use super::limits::{ask, key, limit};
use super::schedule::{Worker, World};
use crate::digest::Digest;
use crate::rate_limit::{Amount, RateLimit};
use crate::rate_limit::{Claim, Counters};
use crate::shared::TableId;
use crate::shared::once::Ids;
use crate::shared::once::Owner;
use crate::shared::twin::Twin;

/// Runs `round` with every schedule, or the first `most` of them in order; returns how many there
/// were, or what was wrong with one.
fn every_schedule(
    most: usize,
    round: impl Fn(Vec<usize>) -> (Vec<(usize, usize)>, Result<(), String>),
) -> Result<usize, String> {
    let (mut told, mut count) = (Vec::new(), 0);
    loop {
        let (mut taken, result) = round(told);
        result.map_err(|wrong| format!("{wrong} in {taken:?}"))?;
        count += 1;
        // The next one in order: the last choice that has another after it.
        while taken.pop_if(|(at, of)| *at + 1 >= *of).is_some() {}
        match taken.last_mut() {
            Some((at, _)) if count < most => *at += 1,
            _ => return Ok(count),
        }
        told = taken.into_iter().map(|(at, _)| at).collect();
    }
}

/// Each worker asks once; how many passed must be as many as may.
fn once_each(
    dialect: Dialect,
    told: Vec<usize>,
    twin: Option<Twin>,
    workers: usize,
    one: &RateLimit,
    may: usize,
) -> (Vec<(usize, usize)>, Result<(), String>) {
    let world = World::new(dialect, 1, workers, twin);
    let counters = Counters::new(64);
    if workers > 2 {
        // The slot is there already: creations are for two.
        world.alone(|worker| counters.cells().warm(&worker.begin(), 0..64));
    }
    let world = world.script(told);
    let counter = key(&world.key, 1);
    let passed = Mutex::new(0);
    let (counters, passed_ref) = (&counters, &passed);
    world.run(
        (0..workers)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    if ask(counters, worker, &[Claim::alone(one, counter)]) {
                        *passed_ref.lock().unwrap() += 1;
                    }
                }
            })
            .collect(),
    );
    let passed = passed.into_inner().unwrap();
    let result = if passed == may { Ok(()) } else { Err(format!("{passed} passed, {may} may")) };
    (world.taken(), result)
}

#[test]
fn two_and_three_workers_on_one_counter() {
    let one = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 1 });
    let two = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 2 });
    for dialect in Dialect::ALL {
        // Three are many schedules; the dialects differ in creations alone, and the slot is there.
        let three = [(3, &two, 2)].into_iter().filter(|_| dialect == Dialect::Kong);
        for (workers, limit, may) in [(2, &one, 1), (2, &two, 2)].into_iter().chain(three) {
            let count = every_schedule(usize::MAX, |told| {
                once_each(dialect, told, None, workers, limit, may)
            })
            .unwrap();
            println!("{dialect:?}, {workers} workers: {count} schedules");
            assert!(count >= 6, "{count}");
        }
        let caught = every_schedule(usize::MAX, |told| {
            once_each(dialect, told, Some(Twin::BlindWrites), 2, &one, 1)
        });
        assert!(caught.is_err());
    }
}

/// Eight keys fill the slot of a ninth, which is counted in the sketch by one worker while another,
/// whose clock is `later_ms` on, may find an idle cell for it. One request may pass.
fn ninth_key(
    dialect: Dialect,
    told: Vec<usize>,
    twin: Option<Twin>,
    later_ms: u64,
) -> (Vec<(usize, usize)>, Result<(), String>) {
    let quick = limit(Amount::Rate { limit: 10, per_s: 1, burst: 1 });
    let one = limit(Amount::Rate { limit: 1, per_s: 3600, burst: 1 });
    let world = World::new(dialect, 1, 2, twin);
    let counters = Counters::new(8);
    let digests: Vec<Digest> = (0..9).map(|n| key(&world.key, n)).collect();
    world.alone(|worker| {
        for (n, digest) in digests.iter().take(8).enumerate() {
            let limit = if n == 0 { &quick } else { &one };
            assert!(ask(&counters, worker, &[Claim::alone(limit, *digest)]));
        }
        // The quick one's cell is idle from 1.1 s on.
        worker.sleep(600);
        worker.sleep(450);
    });
    let world = world.script(told);
    let passed = Mutex::new(0);
    let (one, counters, passed_ref, ninth) = (&one, &counters, &passed, digests[8]);
    let work = |later_ms: u64| {
        move |worker: &Worker<'_>| {
            let mut at = worker.begin();
            at.now = at.now.plus_ms(later_ms);
            let outcome = crate::rate_limit::charge(counters, &at, &[Claim::alone(one, ninth)]);
            if outcome.verdict == crate::rate_limit::Verdict::Allowed {
                *passed_ref.lock().unwrap() += 1;
            }
        }
    };
    world.run(vec![work(0), work(later_ms)]);
    let rest = world.alone(|worker| {
        worker.sleep(500);
        usize::from(ask(counters, worker, &[Claim::alone(one, ninth)]))
    });
    let passed = passed.into_inner().unwrap() + rest;
    // Both may be refused while both are charged; then one who asks again passes.
    let result = if passed == 1 { Ok(()) } else { Err(format!("{passed} passed of 1")) };
    (world.taken(), result)
}

#[test]
fn a_key_moves_from_the_sketch_to_a_cell_in_every_schedule() {
    for dialect in Dialect::ALL {
        let count = every_schedule(usize::MAX, |told| ninth_key(dialect, told, None, 100)).unwrap();
        assert!(count > 200, "{count}");
        for twin in [Twin::SketchUntouched, Twin::SketchForgotten] {
            assert!(
                every_schedule(usize::MAX, |told| ninth_key(dialect, told, Some(twin), 100))
                    .is_err(),
                "{twin:?}"
            );
        }
    }
}

#[test]
fn two_workers_on_the_sketch_in_thousands_of_schedules() {
    // All of them are too many; `limits` draws from all at random.
    let count = every_schedule(4_000, |told| ninth_key(Dialect::Kong, told, None, 0)).unwrap();
    assert_eq!(count, 4_000);
    assert!(
        every_schedule(4_000, |told| ninth_key(Dialect::Kong, told, Some(Twin::SketchEarly), 0))
            .is_err()
    );
}

/// Two workers bring one id at once, into a table whose slot isn't there yet or is: one is the
/// first.
fn one_id(
    dialect: Dialect,
    told: Vec<usize>,
    twin: Option<Twin>,
    workers: usize,
) -> (Vec<(usize, usize)>, Result<(), String>) {
    let ids = Ids::new(TableId::Replay, 8);
    let world = World::new(dialect, 1, workers, twin);
    if workers > 2 {
        world.alone(|worker| ids.cells().warm(&worker.begin(), 0..1));
    }
    let world = world.script(told);
    let id = key(&world.key, 1);
    let first = Mutex::new(0);
    let first_ref = &first;
    let work = |_| {
        move |worker: &Worker<'_>| {
            let at = worker.begin();
            if ids.insert(&at, Owner::new(at.host, b"o"), &id, at.now.plus_s(60)) == Ok(true) {
                *first_ref.lock().unwrap() += 1;
            }
        }
    };
    world.run((0..workers).map(work).collect());
    let first = first.into_inner().unwrap();
    let result = if first == 1 { Ok(()) } else { Err(format!("{first} were first")) };
    (world.taken(), result)
}

#[test]
fn an_id_passes_once_in_every_schedule() {
    for dialect in Dialect::ALL {
        for workers in [2, 3] {
            let count =
                every_schedule(usize::MAX, |told| one_id(dialect, told, None, workers)).unwrap();
            assert!(count >= 6, "{count}");
        }
        let blind = Some(Twin::BlindWrites);
        assert!(every_schedule(usize::MAX, |told| one_id(dialect, told, blind, 2)).is_err());
    }
}
