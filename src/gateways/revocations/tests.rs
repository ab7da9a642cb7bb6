//! What gateways tell each other, one after the other: each with a memory of its own, and one Redis.
//! How they fare under chance is in the simulation.

use std::cell::{Cell, RefCell};

use serde_json::json;

use crate::exchange::{Effect, Exchange, Finish, Input, ServerAnswer};
use crate::facts::call::Call;
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::shared::TableId;
use crate::simulation::gateways::*;
use crate::time::Time;
use crate::world::*;

#[test]
fn what_one_gateway_has_revoked_is_refused_by_all_of_one_secret() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    let stranger = gateway_of(3, json!({ "secret": "another deployment's secret" }), "allow");
    for (n, worker) in [(0, 0), (1, 1)] {
        let now = START.plus_s(n as u64);
        for world in [&a, &b, &stranger] {
            assert_eq!(world.ask(worker, now, &token(n)), Outcome::Admitted);
        }
        revoke(&a, worker, now, &token(n));
        meet(&[&a, &b, &stranger], &redis, now);
        for worker in [0, 1] {
            assert_eq!(b.ask(worker, now.plus_ms(200), &token(n)), REVOKED);
            assert_eq!(b.ask(worker, now.plus_ms(200), &token(7)), Outcome::Admitted);
            assert_eq!(stranger.ask(worker, now.plus_ms(200), &token(n)), Outcome::Admitted);
        }
    }
    // By one worker for all, and each once.
    assert_eq!(b.count(Metric::GatewaysHeard), 4, "two names of two tokens");
    assert_eq!(a.count(Metric::GatewaysHeard), 0);
    // Until the token's own end.
    let ended = START.plus_s(600 + 301);
    meet(&[&b], &redis, ended);
    assert!(matches!(b.ask(0, ended, &token(0)), Outcome::Refused(Reason::Expired)));
}

#[test]
fn a_token_that_nobody_can_verify_is_heard_of_by_its_bytes() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    let good = token(0);
    revoke(&a, 0, START, &forged(&good));
    meet(&[&a, &b], &redis, START);
    assert_eq!(
        b.ask(0, START.plus_ms(200), &good),
        Outcome::Admitted,
        "a forged one names no other"
    );
}

#[test]
fn a_gateway_that_starts_knows_all_before_its_first_yes() {
    let redis = RefCell::default();
    let a = gateway(1);
    (0..30).for_each(|n| revoke(&a, n % 2, START, &token(n)));
    meet(&[&a], &redis, START);
    let now = START.plus_s(1);
    let late = gateway_of(9, json!({ "secret": SECRET_OF_ALL }), "deny");
    // Redis is away: nothing is admitted, and it is asked again after a pause.
    late.serve("gateways", 503, "");
    let away = Outcome::Refused(Reason::RevocationUnavailable);
    assert_eq!(late.ask(0, now, &token(50)), away);
    assert_eq!(late.ask(1, now, &token(50)), away);
    assert_eq!(late.asked("gateways"), 1);
    // It is back.
    late.serve("gateways", 200, redis.borrow().all());
    let now = now.plus_s(2);
    for n in 0..30 {
        assert_eq!(late.ask(n % 2, now, &token(n)), REVOKED);
    }
    assert_eq!(late.ask(0, now, &token(50)), Outcome::Admitted);
    assert_eq!(late.asked("gateways"), 2);
    // From then on no request waits, whatever becomes of Redis.
    late.serve("gateways", 503, "");
    assert_eq!(late.ask(1, now.plus_s(60), &token(51)), Outcome::Admitted);
}

#[test]
fn with_allow_no_request_waits_and_that_is_counted() {
    let redis = RefCell::default();
    let (a, late) = (gateway(1), gateway(2));
    revoke(&a, 0, START, &token(0));
    meet(&[&a], &redis, START);
    assert_eq!(late.ask(0, START, &token(0)), Outcome::Admitted);
    assert_eq!((late.count(Metric::GatewaysUnheard), late.asked("gateways")), (1, 0));
    meet(&[&late], &redis, START.plus_ms(50));
    for worker in [0, 1] {
        assert_eq!(late.ask(worker, START.plus_ms(200), &token(0)), REVOKED);
    }
    assert_eq!(late.count(Metric::GatewaysUnheard), 1);
}

#[test]
fn while_redis_is_away_each_is_alone_and_afterwards_all_is_told() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    meet(&[&a, &b], &redis, START);
    for n in 0..20 {
        let now = START.plus_ms(1_000 + n as u64 * 100);
        revoke(&a, n % 2, now, &token(n));
        assert_eq!(a.ask(1, now, &token(n)), REVOKED);
        assert_eq!(b.ask(1, now, &token(n)), Outcome::Admitted);
        for world in [&a, &b] {
            (0..2).for_each(|worker| tick(world, worker, now, |_| None));
        }
    }
    assert!(a.count(Metric::GatewaysTellFailed) > 0 && b.count(Metric::GatewaysFailed) > 0);
    // A second is the longest pause.
    meet(&[&a, &b], &redis, START.plus_ms(4_100));
    for n in 0..20 {
        assert_eq!(b.ask(n % 2, START.plus_ms(4_300), &token(n)), REVOKED, "{n}");
    }
}

#[test]
fn a_redis_that_was_emptied_is_told_all_that_is_in_force() {
    let redis = RefCell::new(Redis::default());
    let (a, b) = (gateway(1), gateway(2));
    (0..40).for_each(|n| revoke(&a, n % 2, START, &token(n)));
    meet(&[&a, &b], &redis, START);
    let full = redis.borrow().clone();
    for lost in [Redis::default(), {
        // What it held at some time before.
        let mut older = full.clone();
        older.told.values_mut().for_each(|kept| {
            kept.entries.truncate(10);
            kept.last = kept.entries.last().unwrap().0;
        });
        older
    }] {
        *redis.borrow_mut() = lost;
        // One of them is enough, also one that has only heard of it.
        for round in 1..30 {
            meet(&[&b], &redis, START.plus_s(round));
        }
        let late = gateway(7);
        for round in 30..33 {
            meet(&[&late], &redis, START.plus_s(round));
        }
        for n in 0..40 {
            assert_eq!(late.ask(n % 2, START.plus_s(33), &token(n)), REVOKED, "{n}");
        }
        assert_eq!(late.ask(0, START.plus_s(33), &token(90)), Outcome::Admitted);
    }
    assert!(b.count(Metric::GatewaysLost) >= 2);
}

#[test]
fn a_redis_that_lies_opens_nothing_and_refuses_nothing() {
    let redis = RefCell::new(Redis::default());
    let (a, b) = (gateway(1), gateway(2));
    revoke(&a, 0, START, &token(0));
    meet(&[&a, &b], &redis, START);
    let honest = redis.borrow().clone();
    let mut now = START.plus_s(1);
    let stranger = gateway_of(3, json!({ "secret": "another deployment's secret" }), "allow");
    let others = RefCell::new(Redis::default());
    revoke(&stranger, 0, START, &token(1));
    meet(&[&stranger], &others, START);
    let foreign = others.borrow().told.values().next().unwrap().entries.clone();
    let (state, _) = honest.told.first_key_value().unwrap();
    let lies: Vec<Vec<(u64, u64, String)>> = vec![
        foreign,
        vec![(5, u64::MAX / 2, "forged".into()), (6, 0, String::new())],
        honest.told[state]
            .entries
            .iter()
            .map(|(n, end, text)| (n + 9, *end, text[1..].into()))
            .collect(),
    ];
    for lie in lies {
        let mut kept = redis.borrow_mut();
        let one = kept.told.get_mut(state).unwrap();
        one.last = now.ns() / 1_000 + 100;
        let numbered = lie.into_iter().zip(one.last - 20..);
        one.entries = numbered.map(|((_, _, text), n)| (n, u64::MAX / 4, text)).collect();
        drop(kept);
        now = now.plus_s(1);
        meet(&[&b], &redis, now);
        assert_eq!(b.ask(0, now.plus_ms(200), &token(0)), REVOKED);
        for n in 1..5 {
            assert_eq!(b.ask(0, now.plus_ms(200), &token(n)), Outcome::Admitted);
        }
    }
    assert!(b.count(Metric::GatewaysForged) >= 5);
    // Answers that are none: it goes on by itself.
    for (status, body) in [
        (200, "{}"),
        (200, ""),
        (500, ""),
        (200, r#"{"EVAL":["x","1","0"]}"#),
        (403, ""),
        (200, r#"{"EVAL":[false,"ERR"]}"#),
    ] {
        now = now.plus_s(3);
        (0..2).for_each(|worker| tick(&b, worker, now, |_| Some((status, body.to_owned()))));
        assert_eq!(b.ask(0, now, &token(0)), REVOKED);
        assert_eq!(b.ask(0, now, &token(1)), Outcome::Admitted);
    }
}

/// A Redis that starts again knows no script. That costs no further pause: the bound leaves none.
#[test]
fn a_redis_that_starts_again_is_told_with_the_next_call() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    // Twice: the first call says the text, and the second its SHA-1.
    for n in 0..2 {
        revoke(&a, 0, START.plus_s(n), &token(n as usize));
        meet(&[&a, &b], &redis, START.plus_s(n));
    }
    let now = START.plus_s(10);
    revoke(&a, 0, now, &token(2));
    for round in 0..5 {
        tick(&a, 0, now.plus_s(2 * round), |_| None);
    }
    redis.replace(Redis::default());
    let now = now.plus_s(20);
    let knows_no_script = r#"{"EVALSHA":[false,"NOSCRIPT No matching script."]}"#;
    let has_text = Cell::new(false);
    let ask = |call: &Call| {
        has_text.set(has_text.get() || !call.body.starts_with(b"EVALSHA"));
        match has_text.get() {
            true => Some((200, redis.borrow_mut().call(call, now))),
            false => Some((200, knows_no_script.to_owned())),
        }
    };
    tick(&a, 0, now, ask);
    tick(&a, 0, now.plus_ms(1), ask);
    meet(&[&b], &redis, now.plus_ms(100));
    assert_eq!(b.ask(0, now.plus_ms(300), &token(2)), REVOKED);
}

/// Only ticks speak to Redis: what it answers, or that it doesn't, changes no host call that a
/// request makes.
#[test]
fn a_request_costs_the_same_whatever_redis_does() {
    let redis = RefCell::default();
    let world = gateway(1);
    meet(&[&world], &redis, START);
    let cost = |worker: usize, now: Time| {
        assert_eq!(world.ask(worker, now, &token(0)), Outcome::Admitted);
        let before = world.shared.calls();
        assert_eq!(world.ask(worker, now.plus_ms(1), &token(0)), Outcome::Admitted);
        world.shared.calls() - before
    };
    let well = [0, 1].map(|worker| cost(worker, START.plus_ms(200)));
    // Away, a timeout (hosts say 504), a password that is wrong, a lie, and never an answer.
    for (round, status) in [(1, 503), (2, 504), (3, 403), (4, 200), (5, 0)] {
        let now = START.plus_s(3 * round);
        (0..2).for_each(|worker| tick(&world, worker, now, |_| Some((status, "[]".into()))));
        let amiss = [0, 1].map(|worker| cost(worker, now.plus_ms(50)));
        assert_eq!(amiss, well, "status {status}");
    }
    assert!(world.count(Metric::GatewaysFailed) >= 5);
    assert_eq!(world.asked("gateways"), 0);
}

/// Whether a token call is answered with what is kept; where it isn't, an answer is kept now.
fn is_answered_here(world: &World, now: Time) -> bool {
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic YTpi")];
    let mut exchange = Exchange::new(request("POST", "/token", &form), None, ENVOY);
    let json = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
    let said = json!({ "access_token": "opaque", "token_type": "Bearer", "expires_in": 3600 });
    let said = said.to_string();
    world.with(0, now, |facts| {
        exchange.step(Input::Begin, facts, &world.shared);
        let body = b"grant_type=client_credentials";
        match exchange.step(Input::Body(Some(body)), facts, &world.shared) {
            Effect::Finish(Finish::Answer(_)) => true,
            _ => {
                let body = said.as_bytes();
                exchange.answer_started(200, &json, facts);
                let answer = ServerAnswer { status: 200, headers: &json, body, complete: true };
                exchange.answered(&answer, facts);
                exchange.close(facts);
                false
            }
        }
    })
}

#[test]
fn an_answer_that_is_kept_is_withdrawn_at_all_gateways() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    assert!(!is_answered_here(&b, START) && is_answered_here(&b, START));
    revoke(&a, 0, START, "opaque");
    // Redis is away for longer than an answer is under way.
    let now = START.plus_s(600);
    assert!(is_answered_here(&b, now));
    meet(&[&a, &b], &redis, now);
    assert!(!is_answered_here(&b, now.plus_ms(200)));
}

/// What was remembered while the rest failed is known when it is read again, and yet it isn't done.
#[test]
fn what_could_not_be_done_when_it_was_heard_is_done_when_it_is_read_again() {
    for table in [TableId::Epochs, TableId::Tokens] {
        let redis = RefCell::default();
        let (a, b) = (gateway(1), gateway(2));
        // The number that tells of revocations is there, and both workers have looked since.
        revoke(&b, 0, START, &token(9));
        let now = START.plus_s(1);
        assert!(!is_answered_here(&b, now) && is_answered_here(&b, now));
        (0..2).for_each(|worker| assert_eq!(b.ask(worker, now, &token(0)), Outcome::Admitted));
        for token in [token(0).as_str(), "opaque"] {
            revoke(&a, 0, now, token);
        }
        b.shared.is_full_for.set(Some(table));
        meet(&[&a, &b], &redis, now);
        assert!(b.count(Metric::GatewaysFailed) > 0, "{table:?}");
        b.shared.is_full_for.set(None);
        let now = now.plus_s(4);
        meet(&[&b], &redis, now);
        for worker in [0, 1] {
            assert_eq!(b.ask(worker, now.plus_ms(200), &token(0)), REVOKED, "{table:?}");
        }
        assert!(!is_answered_here(&b, now.plus_ms(200)), "{table:?}");
    }
}

/// A name for which there is no room doesn't keep those beside it from being refused.
#[test]
fn what_finds_no_room_keeps_nothing_else_from_being_heard() {
    let redis = RefCell::default();
    let (a, b) = (gateway(1), gateway(2));
    revoke(&b, 0, START, &token(9));
    let now = START.plus_s(1);
    (0..2).for_each(|worker| assert_eq!(b.ask(worker, now, &token(0)), Outcome::Admitted));
    assert!(!is_answered_here(&b, now));
    // Its answer can't be taken back.
    for token in [token(0).as_str(), "opaque"] {
        revoke(&a, 0, now, token);
    }
    b.shared.is_full_for.set(Some(TableId::Tokens));
    meet(&[&a, &b], &redis, now);
    for worker in [0, 1] {
        assert_eq!(b.ask(worker, now.plus_ms(200), &token(0)), REVOKED);
    }
}

#[test]
fn while_the_secret_is_replaced_all_hear_of_all() {
    let redis = RefCell::default();
    let (old, new) = (SECRET_OF_ALL, "the secret that takes its place");
    let gateways = [
        gateway_of(1, json!({ "secret": old, "secret_previous": new }), "deny"),
        gateway_of(2, json!({ "secret": new, "secret_previous": old }), "deny"),
    ];
    for (n, teller) in [(0, 0), (1, 1)] {
        let now = START.plus_s(n as u64);
        revoke(&gateways[teller], 0, now, &token(n));
        meet(&gateways.each_ref(), &redis, now);
        for world in &gateways {
            assert_eq!(world.ask(1, now.plus_ms(200), &token(n)), REVOKED);
            assert_eq!(world.ask(1, now.plus_ms(200), &token(9)), Outcome::Admitted);
        }
    }
    // What is told under the new one alone needs no more than that.
    let after = gateway_of(3, json!({ "secret": new }), "deny");
    meet(&[&after], &redis, START.plus_s(3));
    assert_eq!(after.ask(0, START.plus_s(4), &token(1)), REVOKED);
}
