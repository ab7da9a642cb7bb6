//! What exists once: leaders, ids, the host's random bytes, epochs.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::host::{Dialect, Faults};
use super::schedule::{Rng, Worker, World};
use super::{holds, is_caught};
use crate::digest::Digest;
use crate::shared::host_key::HostRandom;
use crate::shared::once::{Ids, Owner as IdOwner};
use crate::shared::twin::{Twin, broken};
use crate::shared::{Acquired, Epoch, Leases, Owner, TableId};
use crate::time::Time;

/// Workers ask for a lease, hold it, extend it, give it up, die: one leads at a time.
fn one_leader(
    seed: u64,
    dialect: Dialect,
    faults: Faults,
    twin: Option<Twin>,
) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0x1e);
    let workers = 2 + rng.below(4) as usize;
    let lease_ms = 100 + rng.below(1500);
    let leases = Leases::new(16);
    let world = World::new(dialect, seed, workers, twin).faults(faults).drift_ms(40);
    let work = world.key.digest("work", &[]);
    let held: Mutex<Vec<(Owner, Time)>> = Mutex::default();
    let wrong: Mutex<Option<String>> = Mutex::default();
    let led = Mutex::new(0);
    let (held_ref, wrong_ref, led_ref) = (&held, &wrong, &led);
    world.run(
        (0..workers)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..5 {
                        let at = worker.begin();
                        let owner = Owner::new(worker);
                        let acquired = leases.acquire(&at, &work, owner, lease_ms);
                        worker.done();
                        if let Ok(Acquired::Held { until }) = acquired {
                            let mut held = held_ref.lock().unwrap();
                            // By the clock, not by the moment of the one who asked, which may be
                            // older than the end of one who died.
                            let now = worker.now();
                            if held.iter().any(|(_, until)| *until > now) {
                                *wrong_ref.lock().unwrap() = Some("two leaders".into());
                            }
                            held.push((owner, until));
                            *led_ref.lock().unwrap() += 1;
                            drop(held);
                            worker.pause();
                            worker.sleep(300);
                            // It stops leading before it says so.
                            held_ref.lock().unwrap().retain(|(o, _)| *o != owner);
                            let _ = leases.release(&worker.begin(), &work, owner);
                            worker.done();
                        } else {
                            worker.sleep(200);
                        }
                    }
                }
            })
            .collect(),
    );
    if let Some(wrong) = wrong.into_inner().unwrap() {
        return Err(wrong);
    }
    // Whoever died, someone leads in the end.
    let in_the_end = world.alone(|worker| {
        worker.sleep(lease_ms + 1);
        leases.acquire(&worker.begin(), &work, Owner::new(worker), lease_ms)
    });
    match (in_the_end, *led.lock().unwrap()) {
        (Ok(Acquired::Held { .. }), 1..) => Ok(()),
        (other, led) => Err(format!("{other:?} after {led} leaders")),
    }
}

#[test]
fn one_leads_at_a_time() {
    holds(150, |seed, dialect| one_leader(seed, dialect, Faults::default(), None));
    is_caught(Twin::LeaseUnasked, 30, |seed, dialect, twin| {
        one_leader(seed, dialect, Faults::default(), twin)
    });
    is_caught(Twin::BlindWrites, 60, |seed, dialect, twin| {
        one_leader(seed, dialect, Faults::default(), twin)
    });
}

#[test]
fn a_leader_that_dies_is_followed_by_one() {
    let faults = Faults { crash: 20, torn: 30, ..Faults::default() };
    holds(150, |seed, dialect| match one_leader(seed, dialect, faults, None) {
        // All may die before any leads.
        Err(wrong) if wrong.contains("after 0 leaders") => Ok(()),
        other => other,
    });
}

#[test]
fn a_lease_is_its_owners_alone() {
    let world = World::new(Dialect::Kong, 1, 1, None);
    let leases = Leases::new(8);
    let work = world.key.digest("work", &[]);
    world.alone(|worker| {
        let (mine, yours) = (Owner::new(worker), Owner::new(worker));
        let mut at = worker.begin();
        let until = at.now.plus_ms(1000);
        assert_eq!(leases.acquire(&at, &work, mine, 1000), Ok(Acquired::Held { until }));
        assert_eq!(leases.acquire(&at, &work, mine, 500), Ok(Acquired::Held { until }));
        assert_eq!(leases.acquire(&at, &work, yours, 1000), Ok(Acquired::Taken { until }));
        assert_eq!(leases.release(&at, &work, yours), Ok(false));
        assert_eq!(leases.is_held(&at, &work, 1000), Ok(true));
        // The clock goes back by an hour: that lease can't have been made now.
        at.now = Time::from_ns(at.now.ns() - 3600 * crate::time::NS_PER_S);
        assert_eq!(leases.is_held(&at, &work, 1000), Ok(false));
        let earlier = at.now.plus_ms(1000);
        assert_eq!(leases.acquire(&at, &work, yours, 1000), Ok(Acquired::Held { until: earlier }));
        assert_eq!(leases.release(&at, &work, yours), Ok(true));
        assert_eq!(leases.is_held(&at, &work, 1000), Ok(false));
        // Too many at a time: all eight cells are held.
        for n in 0..9u8 {
            let other = at.host.digest("other", &[&[n]]);
            let expected = if n < 8 {
                Ok(Acquired::Held { until: earlier })
            } else {
                Err(crate::shared::Unavailable::Full)
            };
            assert_eq!(leases.acquire(&at, &other, mine, 1000), expected);
        }
    });
}

#[test]
fn a_creation_overwritten_at_the_wrap_of_envoys_counter_is_seen() {
    // Both see an empty slot, and the first one's write gets the version that stands for "create".
    let mut overwritten = 0;
    for seed in 0..200 {
        let world = World::new(Dialect::Envoy, seed, 2, None);
        world.memory(|memory| memory.set_next_version(u32::MAX));
        let leases = Leases::new(8);
        let work = world.key.digest("work", &[]);
        let held: Mutex<Vec<Owner>> = Mutex::default();
        let held_ref = &held;
        world.run(
            (0..2)
                .map(|_| {
                    move |worker: &Worker<'_>| {
                        let owner = Owner::new(worker);
                        if let Ok(Acquired::Held { .. }) =
                            leases.acquire(&worker.begin(), &work, owner, 1000)
                        {
                            held_ref.lock().unwrap().push(owner);
                        }
                    }
                })
                .collect(),
        );
        overwritten += usize::from(held.into_inner().unwrap().len() != 1);
    }
    // What is left is an overwrite after the look, which on a real host takes 2^32 writes to the
    // number and both workers between two of their calls.
    assert!(overwritten < 40, "{overwritten} of 200");
}

/// An owner where it doesn't matter.
const ANYONE: IdOwner = IdOwner::of(0);

/// Of all who bring an id one is the first.
fn first_only(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let ids = Ids::new(TableId::Replay, 64);
    let world = World::new(dialect, seed, 4, twin).faults(Faults { torn: 20, ..Faults::default() });
    let id = world.key.digest("id", &[]);
    let first = Mutex::new(0);
    let first_ref = &first;
    world.run(
        (0..4)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    let at = worker.begin();
                    if ids.insert(&at, ANYONE, &id, at.now.plus_s(60)) == Ok(true) {
                        *first_ref.lock().unwrap() += 1;
                    }
                    worker.done();
                }
            })
            .collect(),
    );
    let known = world.alone(|worker| ids.contains(&worker.begin(), &id));
    let first = first.into_inner().unwrap();
    if first == 1 && known == Ok(true) {
        Ok(())
    } else {
        Err(format!("{first} were first, then {known:?}"))
    }
}

#[test]
fn one_is_the_first_to_bring_an_id() {
    holds(200, |seed, dialect| first_only(seed, dialect, None));
    is_caught(Twin::BlindWrites, 50, first_only);
}

#[test]
fn an_id_that_has_not_ended_gives_way_to_nobody() {
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let ids = Ids::new(TableId::Replay, 8);
    world.alone(|worker| {
        let mut at = worker.begin();
        let id = |n: u8| at.host.digest("id", &[&[n]]);
        let owner = |n: u8| IdOwner::new(at.host, &[n]);
        let (until, all) = (at.now.plus_s(60), [0, 1, 2, 3, 4, 5, 6, 7, 8].map(id));
        let inserted: Vec<_> =
            all.iter().zip(0..).map(|(id, n)| ids.insert(&at, owner(n), id, until)).collect();
        assert!(inserted[..8].iter().all(|one| *one == Ok(true)));
        assert_eq!(inserted[8], Err(crate::shared::Unavailable::Full));
        assert_eq!(ids.insert(&at, owner(0), &all[0], until), Ok(false));
        assert_eq!(ids.insert(&at, owner(1), &all[0], until.plus_s(60)), Ok(false));
        at.now = until.plus_s(2);
        assert_eq!(ids.contains(&at, &all[0]), Ok(true));
        assert_eq!(ids.contains(&at, &all[1]), Ok(false));
        assert_eq!(ids.insert(&at, owner(8), &all[8], until.plus_s(60)), Ok(true));
    });
}

/// One owner floods the table while another brings an id now and then; returns how many of the
/// other's were kept, of 100.
fn beside_a_flood(dialect: Dialect, floods: u8, twin: Option<Twin>) -> usize {
    let world = World::new(dialect, 1, 1, twin);
    let ids = Ids::new(TableId::Replay, 4_096);
    world.alone(|worker| {
        let at = worker.begin();
        let until = at.now.plus_s(60);
        for n in 0..20_000u32 {
            for flood in 0..floods {
                let id = at.host.digest("flood", &[&n.to_le_bytes(), &[flood]]);
                let _ = ids.insert(&at, IdOwner::new(at.host, &[flood]), &id, until);
            }
        }
        let quiet = IdOwner::new(at.host, b"quiet");
        let mine = |n: u8| at.host.digest("quiet", &[&[n]]);
        let kept = (0..100).filter(|n| ids.insert(&at, quiet, &mine(*n), until) == Ok(true));
        kept.count()
    })
}

#[test]
fn no_owner_takes_the_room_of_all() {
    for dialect in Dialect::ALL {
        for floods in [1, 2, 3] {
            let kept = beside_a_flood(dialect, floods, None);
            assert!(kept > 85, "{kept} of 100 beside {floods} on {dialect:?}");
        }
        assert_eq!(beside_a_flood(dialect, 1, Some(Twin::OwnersUnasked)), 0);
    }
}

/// What is remembered is lost, and workers that knew it go on: nothing that was seen before passes
/// again. Each round brings an id that was made just then, and the ids of all rounds before.
fn seen_before_a_loss(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 3, twin).drift_ms(30);
    let ids = Ids::new(TableId::Replay, 64);
    let passed: Mutex<Vec<(u64, Digest)>> = Mutex::default();
    let again = Mutex::new(0);
    let (passed_ref, again_ref) = (&passed, &again);
    // When each worker began, and whether it has met the memory.
    let met: [AtomicBool; 3] = Default::default();
    let (began, met) = (world.alone(|worker| worker.now()), &met);
    let bring = |worker: &Worker<'_>, id: usize, made: Time, name: &Digest| {
        let at = worker.begin();
        let knows = met[id].load(Relaxed) && !broken(Twin::BeginsTooEarly);
        let since = Epoch::IDS.read_or_begin(&at, if knows { at.now } else { began });
        met[id].store(true, Relaxed);
        let first = since.is_ok_and(|since| made >= since)
            && ids.insert(&at, ANYONE, name, at.now.plus_s(600)) == Ok(true);
        worker.done();
        first
    };
    for round in 0..3u8 {
        world.run(
            (0..3)
                .map(|id| {
                    let bring = &bring;
                    move |worker: &Worker<'_>| {
                        let made = worker.now();
                        let mine = world_digest(worker, round, id);
                        let before = passed_ref.lock().unwrap().clone();
                        for (made, name) in before {
                            if bring(worker, id, Time::from_ns(made), &name) {
                                *again_ref.lock().unwrap() += 1;
                            }
                        }
                        if bring(worker, id, made, &mine) {
                            passed_ref.lock().unwrap().push((made.ns(), mine));
                        }
                    }
                })
                .collect(),
        );
        world.memory(|memory| memory.wipe());
        world.alone(|worker| worker.sleep(5));
    }
    let again = again.into_inner().unwrap();
    if again == 0 { Ok(()) } else { Err(format!("{again} passed twice")) }
}

fn world_digest(worker: &Worker<'_>, round: u8, id: usize) -> Digest {
    worker.begin().host.digest("once", &[&[round, id as u8]])
}

#[test]
fn what_was_seen_before_a_loss_is_refused_after_it() {
    holds(60, |seed, dialect| seen_before_a_loss(seed, dialect, None));
    is_caught(Twin::BeginsTooEarly, 20, seen_before_a_loss);
}

/// Workers start together, the host loses everything, they go on: all have the same bytes.
fn same_random(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 4, twin);
    let agreed: Mutex<Vec<HostRandom>> = Mutex::default();
    let agreed_ref = &agreed;
    world.run(
        (0..4u8)
            .map(|n| {
                move |worker: &Worker<'_>| {
                    let random = HostRandom::agree(worker, None, [n + 1; 32]).expect("it agrees");
                    worker.pause();
                    let again =
                        HostRandom::agree(worker, Some(random), [0; 32]).expect("it agrees");
                    agreed_ref.lock().unwrap().push(again);
                }
            })
            .collect(),
    );
    let agreed = agreed.into_inner().unwrap();
    if agreed.windows(2).any(|two| two[0] != two[1]) {
        return Err("workers have different bytes".into());
    }
    world.memory(|memory| memory.wipe());
    let after = world.alone(|worker| HostRandom::agree(worker, agreed.first().copied(), [0; 32]));
    if after.ok() == agreed.first().copied() {
        Ok(())
    } else {
        Err("lost bytes came back as others".into())
    }
}

#[test]
fn all_workers_have_the_same_random_bytes() {
    holds(150, |seed, dialect| same_random(seed, dialect, None));
    is_caught(Twin::BlindWrites, 100, same_random);
}

/// Every bump is seen: whoever reads after one reads another number than before it.
fn bumps_are_seen(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 3, twin);
    let wrong = Mutex::new(0);
    let wrong_ref = &wrong;
    world.run(
        (0..3)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..3 {
                        let at = worker.begin();
                        let before = Epoch::REVOCATION.read(&at);
                        let bumped = Epoch::REVOCATION.bump(&at);
                        let after = Epoch::REVOCATION.read(&at);
                        *wrong_ref.lock().unwrap() +=
                            usize::from(bumped.is_err() || after <= before || after < bumped.ok());
                        worker.done();
                    }
                }
            })
            .collect(),
    );
    let wrong = wrong.into_inner().unwrap();
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} bumps weren't seen")) }
}

#[test]
fn an_epoch_never_stands_still() {
    holds(150, |seed, dialect| bumps_are_seen(seed, dialect, None));
    is_caught(Twin::BlindWrites, 200, bumps_are_seen);
}
