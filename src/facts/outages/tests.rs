//! Gateways that tell each other of outages, through Redis.

use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::shared::twin::{self, Twin};
use crate::simulation::gateways::{Redis, SECRET_OF_ALL, config, gateway_under, meet, tick};
use crate::time::Time;
use crate::token_endpoint::admission::{Ended, Outcome};
use crate::world::{START, World};

fn sharing(random: u8, secret: &str, mode: &str) -> World {
    let mut document = config(json!({ "secret": secret }));
    document["gateways"]["answers"] = true.into();
    document["mode"] = mode.into();
    gateway_under(random, &document)
}

/// A call of a client that nobody has seen, which ends so; whether it was admitted.
fn call(world: &World, n: u64, now: Time, ended: impl Into<Ended>) -> bool {
    world.with(n as usize % 2, now, |facts| {
        let endpoint = &facts.runtime.config.token_endpoints[0];
        let client = facts.stranger(n);
        let permit = facts.admit_call(endpoint, &client);
        permit.is_ok_and(|permit| {
            facts.call_ended(endpoint, &client, permit, ended.into());
            true
        })
    })
}

/// The server fails five clients of this gateway.
fn outage(world: &World, now: Time) {
    assert!((0..5).all(|n| call(world, n, now, Outcome::Overloaded)));
}

#[test]
fn an_outage_that_one_gateway_finds_others_hold_off_for() {
    let redis = RefCell::new(Redis::default());
    let all = [1, 2].map(|n| sharing(n, SECRET_OF_ALL, "enforce"));
    let stranger = sharing(3, "another deployment's secret", "enforce");
    let [first, other] = &all;
    meet(&[first, other, &stranger], &redis, START);
    assert!(call(other, 100, START, Outcome::Answered));
    let now = START.plus_s(1);
    outage(first, now);
    assert!(first.count(Metric::OutageTold) == 1 && !call(first, 101, now, Outcome::Unknown));
    meet(&[first, other, &stranger], &redis, now);
    assert_eq!(other.count(Metric::OutageHeard), 1);
    assert_eq!(first.count(Metric::OutageHeard), 0, "its own");
    let now = now.plus_ms(100);
    // The pause is over where it was told; from then on one call at a time, by all workers.
    let under_way = other.with(0, now, |facts| {
        facts.admit_call(&facts.runtime.config.token_endpoints[0], &facts.stranger(102))
    });
    assert!(under_way.is_ok() && !call(other, 103, now, Outcome::Answered));
    assert!((0..20).all(|n| call(&stranger, 200 + n, now, Outcome::Answered)));
    // What lies there is nothing that was read: only who knows the secret writes it.
    let told: Vec<String> =
        redis.borrow().told.values().flat_map(|told| told.notes.values().cloned()).collect();
    assert_eq!(told.len(), 1);
    let forged = told[0].replacen(|c: char| c != 'A', "A", 1);
    let third = sharing(4, SECRET_OF_ALL, "enforce");
    for told in redis.borrow_mut().told.values_mut() {
        told.notes = [("a".to_owned(), forged.clone())].into();
    }
    meet(&[&third], &redis, now);
    assert_eq!(third.count(Metric::OutageHeard), 0);
    assert!(third.count(Metric::GatewaysForged) > 0);
    assert!((0..20).all(|n| call(&third, 300 + n, now, Outcome::Answered)));
}

/// Whether a gateway that has just been answered is kept from the server by another's word.
fn is_silenced(broken: Option<Twin>) -> bool {
    let redis = RefCell::new(Redis::default());
    let [first, other] = [1, 2].map(|n| sharing(n, SECRET_OF_ALL, "enforce"));
    meet(&[&first, &other], &redis, START);
    outage(&first, START.plus_s(1));
    let now = START.plus_ms(1_050);
    assert!(call(&other, 100, now, Outcome::Answered));
    twin::with(broken, || meet(&[&first, &other], &redis, now));
    !call(&other, 200, now.plus_ms(10), Outcome::Answered)
}

#[test]
fn a_gateway_that_is_answered_is_not_silenced() {
    assert!(!is_silenced(None));
    assert!(is_silenced(Some(Twin::OutageBelieved)));
}

#[test]
fn in_shadow_mode_and_without_answers_nothing_is_told_or_heard() {
    let redis = RefCell::new(Redis::default());
    let enforcing = sharing(1, SECRET_OF_ALL, "enforce");
    let shadow = sharing(2, SECRET_OF_ALL, "shadow");
    let alone = gateway_under(3, &config(json!({ "secret": SECRET_OF_ALL })));
    for (n, world) in [&shadow, &alone].into_iter().enumerate() {
        outage(world, START.plus_s(n as u64));
        meet(&[world, &enforcing], &redis, START.plus_s(n as u64));
        assert_eq!(enforcing.count(Metric::OutageHeard), 0);
    }
    outage(&enforcing, START.plus_s(10));
    meet(&[&enforcing, &shadow, &alone], &redis, START.plus_s(10));
    assert_eq!(enforcing.count(Metric::OutageTold), 1);
    assert_eq!([&shadow, &alone].map(|world| world.count(Metric::OutageHeard)), [0, 0]);
}

/// What couldn't be told in its time isn't told later.
#[test]
fn an_outage_that_redis_did_not_take_is_no_news_later() {
    let redis = RefCell::new(Redis::default());
    let [first, other] = [1, 2].map(|n| sharing(n, SECRET_OF_ALL, "enforce"));
    meet(&[&first, &other], &redis, START);
    outage(&first, START.plus_s(1));
    for worker in [0, 1] {
        tick(&first, worker, START.plus_s(1), |_| None);
    }
    meet(&[&first, &other], &redis, START.plus_s(3));
    assert_eq!(other.count(Metric::OutageHeard), 0);
    assert!(redis.borrow().told.values().all(|told| told.notes.is_empty()));
}

/// A note lies there for two minutes, and is read several times a second.
#[test]
fn what_is_no_news_writes_nothing() {
    let redis = RefCell::new(Redis::default());
    let [first, other] = [1, 2].map(|n| sharing(n, SECRET_OF_ALL, "enforce"));
    let writes = |now: Time| {
        other.shared.trace.borrow_mut().clear();
        meet(&[&other], &redis, now);
        let trace = other.shared.trace.take();
        let of = |what: &str| trace.iter().filter(|one| one.starts_with(what)).count();
        assert!(of("get a") > 0, "it was read");
        of("set a")
    };
    meet(&[&first, &other], &redis, START);
    outage(&first, START.plus_s(1));
    meet(&[&first], &redis, START.plus_s(1));
    assert!(writes(START.plus_s(1)) > 0, "news");
    assert_eq!(writes(START.plus_s(30)), 0);
}
