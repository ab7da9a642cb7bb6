//! A token endpoint's state under several workers: the cap holds, and so does each client's share
//! of it.

use std::sync::Mutex;

use super::host::Dialect;
use super::schedule::{Rng, Worker, World};
use super::{holds, is_caught};
use crate::digest::{Digest, HostKey};
use crate::shared::twin::Twin;
use crate::shared::{Registers, TableId};
use crate::token_endpoint::admission::{
    Admission, Decision, Limits, Outcome, Party, Permit, STATE_BYTES,
};

const REGISTERS: Registers = Registers::new(TableId::Admissions, 4, STATE_BYTES);

fn endpoint(world: &World) -> Digest {
    world.key.digest("simulated endpoint", &[])
}

/// The nth client, at an address of its own.
fn party(key: &HostKey, n: u64) -> Party {
    let hash = key.short(&n.to_le_bytes());
    Party::new(hash, hash >> 32)
}

/// Asks for a call of this party; nothing if every race was lost.
fn ask(worker: &Worker<'_>, endpoint: &Digest, limits: &Limits, party: Party) -> Option<Decision> {
    let at = worker.begin();
    let decision = REGISTERS.update(&at, endpoint, |bytes| {
        let (next, decision) =
            Admission::decode(bytes.unwrap_or_default()).admit(at.now, limits, party);
        (next.encode(), decision)
    });
    worker.done();
    decision.ok()
}

fn end(worker: &Worker<'_>, endpoint: &Digest, limits: &Limits, permit: Permit, outcome: Outcome) {
    let at = worker.begin();
    let _ = REGISTERS.update(&at, endpoint, |bytes| {
        (
            Admission::decode(bytes.unwrap_or_default())
                .done(permit, outcome, at.now, limits)
                .encode(),
            (),
        )
    });
    worker.done();
}

/// One client asks on all workers for calls that hang, others come and go.
fn shared_out(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let mut rng = Rng::new(seed ^ 0xad);
    let limits = Limits { calls_max: 4 + rng.below(6) as u16, lease_ms: 60_000 };
    let world = World::new(dialect, seed, 3, twin);
    let (endpoint, hog) = (endpoint(&world), party(&world.key, 0));
    let held = Mutex::new(0u16);
    let (endpoint, limits, held_ref) = (&endpoint, &limits, &held);
    let (others, key) = (Mutex::new(0u16), &world.key);
    let others_ref = &others;
    world.run(
        (0..3u64)
            .map(|n| {
                move |worker: &Worker<'_>| {
                    for round in 0..6 {
                        if let Some(Decision::Admit(_)) = ask(worker, endpoint, limits, hog) {
                            *held_ref.lock().unwrap() += 1;
                        }
                        // Each at an address of its own, and one call at a time.
                        let other = party(key, 1_000 * (n + 1) + round);
                        if let Some(Decision::Admit(permit)) = ask(worker, endpoint, limits, other)
                        {
                            *others_ref.lock().unwrap() += 1;
                            end(worker, endpoint, limits, permit, Outcome::Answered);
                        }
                    }
                }
            })
            .collect(),
    );
    let (held, others) = (held.into_inner().unwrap(), others.into_inner().unwrap());
    let room = world.alone(|worker| {
        (0..20)
            .filter(|n| {
                matches!(
                    ask(worker, endpoint, limits, party(key, 100 + n)),
                    Some(Decision::Admit(_))
                )
            })
            .count() as u16
    });
    let max = limits.calls_max;
    if held + room > max {
        return Err(format!("{held} and {room} of {max}"));
    }
    if held > max.div_ceil(2) || room + held < max.saturating_sub(3) {
        return Err(format!("one has {held} of {max}, {room} are free and {others} were served"));
    }
    Ok(())
}

#[test]
fn one_client_never_has_more_than_its_share() {
    holds(150, |seed, dialect| shared_out(seed, dialect, None));
    is_caught(Twin::SharesUnasked, 50, shared_out);
    is_caught(Twin::BlindWrites, 50, shared_out);
}

/// All workers hear of one client's failures, and of a few of others; nobody answers.
fn fails(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 3, twin).drift_ms(50);
    let limits = Limits { calls_max: 50, lease_ms: 10_000 };
    let (endpoint, noisy) = (endpoint(&world), Party::new(1, 1));
    let (endpoint, limits) = (&endpoint, &limits);
    world.run(
        (0..3u64)
            .map(|n| {
                move |worker: &Worker<'_>| {
                    for round in 0..5 {
                        let party = if n == 2 && round == 0 { Party::new(2, 2) } else { noisy };
                        if let Some(Decision::Admit(permit)) = ask(worker, endpoint, limits, party)
                        {
                            end(worker, endpoint, limits, permit, Outcome::Overloaded);
                        }
                    }
                }
            })
            .collect(),
    );
    let admitted = world.alone(|worker| {
        (0..9)
            .filter(|n| {
                matches!(
                    ask(worker, endpoint, limits, Party::new(90 + n, 1)),
                    Some(Decision::Admit(_))
                )
            })
            .count()
    });
    if admitted == 9 { Ok(()) } else { Err(format!("{admitted} of 9 after one client's failures")) }
}

#[test]
fn one_clients_failures_are_no_outage_in_any_schedule() {
    holds(100, |seed, dialect| fails(seed, dialect, None));
    is_caught(Twin::OneClientsOutage, 50, fails);
}
