//! Tokens that count once, and a memory that is lost or full.

use serde_json::{Value, json};

use super::dpop::{Client, send, with_dpop};
use crate::exchange::{Effect, Finish};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::time::Time;
use crate::world::*;

fn once(more: Value) -> Value {
    let mut replay = json!({ "issuers": ["idp"] });
    replay.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document(with_secret(), json!({ "replay": replay }))
}

fn token(jti: Value, iat: Value) -> String {
    let mut claims = claims("x");
    claims["jti"] = jti;
    claims["iat"] = iat;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    hmac(SECRET, &claims)
}

#[test]
fn a_token_is_admitted_once_on_all_workers() {
    let world = World::new(&once(json!({})));
    for n in 0..20 {
        let token = token(json!(n.to_string()), json!(START.s()));
        let first = n % 2;
        assert_eq!(world.ask(first, START, &token), Outcome::Admitted);
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START, &token), Outcome::Refused(Reason::Replayed));
        }
    }
    // Another token with the same id is the same, one of another issuer's isn't looked at.
    let mut again = claims("0");
    again["sub"] = json!("bob");
    assert_eq!(world.ask(0, START, &hmac(SECRET, &again)), Outcome::Refused(Reason::Replayed));
}

#[test]
fn a_token_without_id_or_date_is_refused() {
    let world = World::new(&once(json!({})));
    for token in [
        token(Value::Null, json!(START.s())),
        token(json!(""), json!(START.s())),
        token(json!("1"), Value::Null),
    ] {
        for _ in 0..2 {
            assert_eq!(world.ask(0, START, &token), Outcome::Refused(Reason::ClaimMissing));
        }
    }
}

/// It is remembered for as long as it would be admitted, the leeway included.
#[test]
fn an_id_is_kept_until_its_tokens_end() {
    let mut config = once(json!({}));
    config["issuers"][0]["leeway_s"] = json!(30);
    let world = World::new(&config);
    let token = token(json!("1"), json!(START.s()));
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    for s in [1, 599, 600, 629] {
        let outcome = world.ask(1, START.plus_s(s), &token);
        assert_eq!(outcome, Outcome::Refused(Reason::Replayed), "after {s} s");
    }
    assert_eq!(world.ask(1, START.plus_s(630), &token), Outcome::Refused(Reason::Expired));
}

#[test]
fn what_was_made_before_the_memory_began_is_refused() {
    let world = World::new(&once(json!({})));
    let old = |s: u64| token(json!(format!("at {s}")), json!(START.s() + s));
    // The memory begins with the first that is looked for.
    assert_eq!(world.ask(0, START.plus_s(10), &old(9)), Outcome::Refused(Reason::Replayed));
    assert_eq!(world.ask(1, START.plus_s(11), &old(9)), Outcome::Refused(Reason::Replayed));
    assert_eq!(world.ask(1, START.plus_s(11), &old(10)), Outcome::Admitted);
    assert_eq!(world.ask(1, START.plus_s(11), &old(11)), Outcome::Admitted);
    // It is lost: what it held isn't admitted again, nor is anything that it may have held.
    world.lose_memory();
    for s in [9, 10, 11] {
        assert_eq!(world.ask(0, START.plus_s(20), &old(s)), Outcome::Refused(Reason::Replayed));
    }
    assert_eq!(world.ask(0, START.plus_s(20), &old(20)), Outcome::Admitted);
}

#[test]
fn a_proof_of_before_the_memory_began_asks_for_a_new_one() {
    for nonce in [false, true] {
        let world = World::new(&with_dpop(json!({ "nonce": nonce })));
        let client = Client::new(1);
        let token = client.token();
        let bound = format!("DPoP {token}");
        let ask = |now: Time, jti: &str, iat: u64, nonce: Option<&str>| {
            let proof = client.proof(&token, jti, json!({ "iat": iat, "nonce": nonce }));
            let headers = [("authorization", bound.as_str()), ("dpop", proof.as_str())];
            send(&world, 0, now, ("GET", "/orders"), &headers)
        };
        let new_nonce = |now: Time| {
            let (_, answer) = ask(now, "none", now.s(), None).err()?;
            answer.headers.into_iter().find(|(name, _)| name == "dpop-nonce").map(|(_, text)| text)
        };
        let first = if nonce { new_nonce(START) } else { None };
        let made = START.s() + 1;
        assert!(ask(START.plus_s(1), "1", made, first.as_deref()).is_ok());
        world.lose_memory();
        let now = START.plus_s(5);
        let refused = ask(now, "1", made, first.as_deref()).unwrap_err();
        assert_eq!(refused.0, Reason::Nonce);
        let given = refused.1.headers.iter().find(|(name, _)| name == "dpop-nonce");
        // The client makes another, as it is told, and is let in at once, whatever its clock says.
        let second = given.map(|(_, text)| text.as_str());
        assert!(second.is_some() && ask(now, "2", now.s() - 30, second).is_ok());
        assert_eq!(ask(now, "3", now.s(), None).is_ok(), !nonce);
        // A clock ahead of ours doesn't make an old nonce young.
        if nonce {
            let refused = ask(now, "3", now.s() + 30, first.as_deref()).unwrap_err();
            assert_eq!(refused.0, Reason::Nonce);
        }
    }
}

#[test]
fn a_full_memory_refuses_and_says_so() {
    let world = World::new(&once(json!({ "ids_max": 16 })));
    let outcomes: Vec<Outcome> = (0..40)
        .map(|n| world.ask(0, START, &token(json!(n.to_string()), json!(START.s()))))
        .collect();
    let admitted = outcomes.iter().filter(|one| **one == Outcome::Admitted).count();
    assert!((4..=8).contains(&admitted), "one issuer has half of each slot: {admitted}");
    assert!(
        outcomes.iter().all(|one| matches!(
            one,
            Outcome::Admitted | Outcome::Refused(Reason::ReplayUnavailable)
        ))
    );
    assert_eq!(world.count(Metric::ReplayFull) as usize, 40 - admitted);
    // And nothing that was admitted is again.
    for n in 0..40 {
        let outcome = world.ask(1, START, &token(json!(n.to_string()), json!(START.s())));
        assert_ne!(outcome, Outcome::Admitted);
    }
    world.shared.is_full.set(true);
    let late = token(json!("late"), json!(START.s()));
    assert_eq!(world.ask(1, START, &late), Outcome::Refused(Reason::ReplayUnavailable));
}

#[test]
fn a_permissive_rule_takes_a_second_use_for_nobody() {
    let mut config = once(json!({}));
    config["rules"] = json!([{ "match": {}, "access": "permissive" }]);
    let world = World::new(&config);
    let bearer = format!("Bearer {}", token(json!("1"), json!(START.s())));
    for first in [true, false, false] {
        let line = request("GET", "/orders", &[("authorization", &bearer)]);
        let Effect::Finish(Finish::Admit(changes)) = world.send(0, START, line) else { panic!() };
        assert_eq!(changes.headers().any(|(name, _)| name == "x-user"), first);
        assert!(changes.edits().remove.contains(&"authorization".to_owned()));
    }
    assert_eq!(world.count(Metric::Permitted(Reason::Replayed)), 2);
}

#[test]
fn in_shadow_it_is_counted_and_nothing_is_refused() {
    let mut config = once(json!({}));
    config["mode"] = json!("shadow");
    let world = World::new(&config);
    let token = token(json!("1"), json!(START.s()));
    for _ in 0..3 {
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    }
    assert_eq!(world.count(Metric::Shadowed(Reason::Replayed)), 2);
}
