//! Gateways, each with a memory of its own, that tell each other of revocations.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::host::Dialect;
use super::net::{Net, Way};
pub(crate) use super::redis::Redis;
use super::schedule::Rng;
use super::seeds;
use crate::digest::HostKey;
use crate::facts::Turn;
use crate::facts::call::{Call, CallAnswer};
use crate::gateways;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::shared::twin::{self, Twin};
use crate::time::Time;
use crate::world::*;

/// What becomes of a token that was revoked.
pub(crate) const REVOKED: Outcome = Outcome::Refused(Reason::Revoked);

/// The secret of the deployment that all are of.
pub(crate) const SECRET_OF_ALL: &str = "the secret that all gateways share";

/// A document of a gateway that meets others.
pub(crate) fn config(shared: Value) -> Value {
    let gateways = json!({ "uri": "https://webdis.example/", "cluster": "webdis" });
    let endpoint = json!([{ "path": "/token", "revocation_path": "/revoke", "jitter": 0 }]);
    let mut config =
        document(with_secret(), json!({ "gateways": gateways, "token_endpoints": endpoint }));
    config["shared"] = shared;
    config
}

/// A gateway of two workers under these secrets.
pub(crate) fn gateway_of(random: u8, shared: Value, failure_mode: &str) -> World {
    let mut config = config(shared);
    config["gateways"]["failure_mode"] = failure_mode.into();
    gateway_under(random, &config)
}

/// A gateway of two workers.
pub(crate) fn gateway_under(random: u8, config: &Value) -> World {
    let key = HostKey::new(&[random; 32], b"of the host");
    let worker = || runtime_under(config, key.clone());
    let world = World::of_workers(Dialect::Envoy, vec![worker(), worker()]);
    // Far from each other: neighbouring seeds give the same numbers a step apart.
    world.shared.reseed(u64::from(random) << 40);
    world
}

/// A gateway of the deployment that all are of.
pub(crate) fn gateway(random: u8) -> World {
    gateway_of(random, json!({ "secret": SECRET_OF_ALL }), "allow")
}

/// One tick of a worker. `ask` makes a call: nothing where it fails.
pub(crate) fn tick(
    world: &World,
    worker: usize,
    now: Time,
    ask: impl Fn(&Call) -> Option<(u16, String)>,
) {
    let headers = HeaderBlock::default();
    let asked = |call: &Call| ask(call).unwrap_or((503, String::new()));
    world.with(worker, now, |facts| {
        for (push, call) in gateways::pushes_due(facts) {
            let (status, body) = asked(&call);
            let answer = CallAnswer { status, headers: &headers, body: body.as_bytes() };
            gateways::learn_push(facts, &push, &answer);
        }
        for fact in facts.readings_due() {
            if facts.join(&fact) == Turn::Lead {
                let (status, body) = asked(&fact.call(&facts.runtime.config).unwrap());
                let answer = CallAnswer { status, headers: &headers, body: body.as_bytes() };
                facts.learn(&fact, &answer);
            }
        }
    });
}

/// Each tells, then each reads.
pub(crate) fn meet(gateways: &[&World], redis: &RefCell<Redis>, now: Time) {
    for now in [now, now.plus_ms(100)] {
        for gateway in gateways {
            for worker in [0, 1] {
                let ask = |call: &Call| Some((200, redis.borrow_mut().call(call, now)));
                tick(gateway, worker, now, ask);
            }
        }
    }
}

/// One of any number of good tokens.
pub(crate) fn token(n: usize) -> String {
    hmac(SECRET, &claims(&n.to_string()))
}

/// A call revokes a token at a worker.
pub(crate) fn revoke(world: &World, worker: usize, now: Time, token: &str) {
    assert!(world.with(worker, now, |facts| facts.revoke_token(token.as_bytes())));
}

/// What is wrong with a twin that must be caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    /// What a failed call should have told is forgotten.
    Forgetful,
    /// A Redis that has lost what it held isn't told again.
    NotAgain,
}

/// Gateways at random, and a Redis that loses calls and answers, doubles calls, and is emptied or
/// goes back now and then. In the end it is well, and all know all.
fn play(seed: u64, flaw: Flaw) -> Result<(), String> {
    let rng = RefCell::new(Rng::new(seed));
    let below = |n: u64| rng.borrow_mut().below(n);
    let redis = RefCell::new(Redis::default());
    let gateways: Vec<World> = (0..3).map(|n| gateway(1 + n)).collect();
    let mut before = Redis::default();
    let mut revoked = Vec::new();
    for step in 0..200u64 {
        let now = START.plus_ms(step * 50);
        match below(40) {
            0 => *redis.borrow_mut() = Redis::default(),
            1 => before = redis.borrow().clone(),
            2 => *redis.borrow_mut() = before.clone(),
            3..=8 => {
                let n = revoked.len();
                revoke(&gateways[below(3) as usize], below(2) as usize, now, &token(n));
                revoked.push(n);
            }
            _ => {}
        }
        let ask = |call: &Call| {
            let fate = below(10);
            if fate == 0 {
                return None;
            }
            if fate == 1 {
                redis.borrow_mut().call(call, now);
            }
            let answer = redis.borrow_mut().call(call, now);
            (fate != 2).then_some((200, answer))
        };
        for world in &gateways {
            let worker = below(2) as usize;
            tick(world, worker, now, ask);
            if flaw == Flaw::Forgetful {
                world.with(worker, now, |facts| {
                    facts.runtime.worker.borrow_mut().outbox = Default::default();
                });
            }
            if flaw == Flaw::NotAgain {
                world.with(worker, now, |facts| {
                    facts.runtime.worker.borrow_mut().outbox.again_from = None;
                });
            }
        }
    }
    for round in 0..20 {
        let all: Vec<&World> = gateways.iter().collect();
        if flaw == Flaw::None {
            meet(&all, &redis, START.plus_ms(12_000 + round * 300));
        } else {
            meet(&all[..1], &redis, START.plus_ms(12_000 + round * 300));
            meet(&all[1..], &redis, START.plus_ms(12_000 + round * 300));
        }
    }
    let late = gateway(9);
    meet(&[&late], &redis, START.plus_s(20));
    for world in gateways.iter().chain([&late]) {
        for n in &revoked {
            if world.ask(0, START.plus_s(21), &token(*n)) != REVOKED {
                return Err(format!("seed {seed}: token {n}"));
            }
        }
        if world.ask(0, START.plus_s(21), &token(999)) != Outcome::Admitted {
            return Err(format!("seed {seed}: a good token"));
        }
    }
    Ok(())
}

#[test]
fn whatever_redis_does_all_know_all_in_the_end() {
    for seed in seeds(30) {
        play(seed, Flaw::None).unwrap();
    }
}

#[test]
fn twins_are_caught() {
    for flaw in [Flaw::Forgetful, Flaw::NotAgain] {
        assert!((0..30).any(|seed| play(seed, flaw).is_err()), "{flaw:?}");
    }
}

/// Milliseconds that a call takes to Redis, and its answer back, at most.
const WAY_MS: u64 = 40;
const EVERY_MS: u64 = 200;
/// A gateway hears within `every_ms` and the time of two calls.
const BOUND_MS: u64 = EVERY_MS + 4 * WAY_MS;

/// Nothing is lost, and every fifth call comes twice.
const WAY: Way = Way { ms: WAY_MS, lost: 0, unanswered: 0, doubled: 200 };

/// All gateways refuse a token within the bound, whoever revokes it and when.
fn within_the_bound(seed: u64, broken: Option<Twin>, count: usize) -> Result<(), String> {
    twin::with(broken, || {
        let mut rng = Rng::new(seed);
        let phases: Vec<u64> = (0..2 * count).map(|_| rng.below(EVERY_MS / 2)).collect();
        let gateways = (0..count).map(|n| gateway(1 + n as u8)).collect();
        let mut net = Net::new(gateways, WAY, &mut rng);
        let mut revoked: Vec<(usize, Time)> = Vec::new();
        for ms in (0..3_000).step_by(5) {
            let now = START.plus_ms(ms);
            for (n, phase) in phases.iter().enumerate() {
                if (ms + phase) % (EVERY_MS / 2) < 5 {
                    net.tick(n / 2, n % 2, now);
                }
            }
            if (500..2_500).contains(&ms) && net.rng.below(20) == 0 {
                let (n, teller) = (revoked.len(), net.rng.below(count as u64) as usize);
                let worker = net.rng.below(2) as usize;
                revoke(&net.gateways[teller], worker, now, &token(n));
                revoked.push((n, now));
                net.tell(teller, worker, now);
            }
            net.deliver(now);
            for (n, at) in &revoked {
                // Steps are of 5 ms.
                if now.ms_since(*at) / 5 != (BOUND_MS + 10) / 5 {
                    continue;
                }
                for (which, world) in net.gateways.iter().enumerate() {
                    if world.ask(*n % 2, now, &token(*n)) != REVOKED {
                        return Err(format!("SEED={seed}: gateway {which}, token {n}"));
                    }
                }
            }
        }
        Ok(())
    })
}

#[test]
fn what_one_tells_is_known_at_all_within_the_bound() {
    for seed in seeds(6) {
        within_the_bound(seed, None, 2 + seed as usize % 4).unwrap();
    }
    let caught = (0..40).any(|seed| within_the_bound(seed, Some(Twin::ToldIsRead), 3).is_err());
    assert!(caught, "a revocation lost between reading and telling");
}

/// A gateway that starts says its first yes when it has read all, more than one answer holds too.
fn none_before_all(broken: Option<Twin>) -> Result<(), String> {
    let redis = RefCell::new(Redis::default());
    let first = gateway(1);
    // Two names each: what is read at once is a thousand.
    let count = 600;
    (0..count).for_each(|n| revoke(&first, 0, START, &token(n)));
    (1..8).for_each(|round| meet(&[&first], &redis, START.plus_s(round)));
    let now = START.plus_s(10);
    let late = gateway_of(9, json!({ "secret": SECRET_OF_ALL }), "deny");
    twin::with(broken, || {
        for round in 0..10 {
            let now = now.plus_ms(round * 100);
            let admits = late.with(0, now, |facts| facts.others_were_heard().is_ok());
            if admits {
                let wrong = (0..count).find(|n| late.ask(0, now, &token(*n)) != REVOKED);
                return wrong.map_or(Ok(()), |n| Err(format!("token {n} was good")));
            }
            let ask = |call: &Call| Some((200, redis.borrow_mut().call(call, now)));
            tick(&late, 0, now, ask);
        }
        Err("it never admits".into())
    })
}

#[test]
fn a_gateway_that_starts_knows_all_whatever_one_answer_holds() {
    none_before_all(None).unwrap();
    let wrong = none_before_all(Some(Twin::FirstIsAll)).unwrap_err();
    assert!(wrong.ends_with("was good"), "{wrong}");
}
