//! What counts once at all gateways together: two hosts, and a Redis that is made up here. The real
//! one runs the script in tests/integration/test_replay_gateways.py.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::dpop::{Client, send};
use crate::digest::HostKey;
use crate::exchange::{Effect, Exchange, Finish, Input};
use crate::facts::Fact;
use crate::facts::call::CallAnswer;
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::simulation::host::Dialect;
use crate::time::Time;
use crate::world::*;

const REDIS: &str = "ids of gateways";

fn shared_by_gateways(more: Value) -> Value {
    let mut issuer = with_secret();
    issuer["dpop"] = json!({ "origins": ["https://api.example"], "algorithms": ["ES256"] });
    let mut all = json!({
        "replay": { "issuers": ["idp"], "scope": "gateways" },
        "gateways": { "uri": "http://redis.example/", "allow_http": true, "cluster": "webdis", "revocations": false },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document(issuer, all)
}

fn token(jti: &str) -> String {
    let mut claims = claims("x");
    (claims["jti"], claims["iat"]) = (json!(jti), json!(START.s()));
    hmac(SECRET, &claims)
}

fn says(verdict: &str, which: usize) -> String {
    json!({ "EVALSHA": [verdict, which.to_string(), (START.ns() / 1_000).to_string()] }).to_string()
}

/// What a Redis does that has lost nothing.
#[derive(Default)]
struct Fake(RefCell<BTreeSet<String>>);

impl Fake {
    fn answer(&self, body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let segments: Vec<&str> = text.split('/').collect();
        let keys: usize = segments[2].parse().unwrap();
        for (which, id) in segments[3 + keys + 3..].chunks(4).enumerate() {
            if !self.0.borrow_mut().insert(id[0].to_owned()) {
                return says("seen", which);
            }
        }
        says("first", 0)
    }
}

/// What becomes of a request; the statuses of two gateways' workers under one Redis.
fn ask(world: &World, worker: usize, redis: &Fake, headers: HeaderBlock) -> u16 {
    let mut exchange = Exchange::new(headers, None, ENVOY);
    let mut effect =
        world.with(worker, START, |facts| exchange.step(Input::Begin, facts, &world.shared));
    while let Effect::Fetch(fact, _) = &effect {
        let call = fact.call(&world.workers[worker].config).unwrap();
        assert!(call.timeout_ms <= 50);
        let body = redis.answer(&call.body);
        // As on Envoy: the root brings it, and then the request is woken.
        effect = world.with(worker, START, |facts| {
            let headers = HeaderBlock::default();
            facts
                .learn(fact, &CallAnswer { status: 200, headers: &headers, body: body.as_bytes() });
            exchange.step(Input::Woken, facts, &world.shared)
        });
    }
    match effect {
        Effect::Finish(Finish::Admit(_)) => 200,
        Effect::Finish(Finish::Answer(answer)) => answer.status,
        _ => panic!("not decided"),
    }
}

fn bearer(token: &str) -> HeaderBlock {
    request("GET", "/orders", &[("authorization", &format!("Bearer {token}"))])
}

#[test]
fn gateways_call_an_id_the_same_and_admit_it_once() {
    let document = shared_by_gateways(json!({}));
    let host = |random: u8| {
        let worker = || runtime_under(&document, HostKey::new(&[random; 32], b"test"));
        World::of_workers(Dialect::Envoy, vec![worker(), worker()])
    };
    let (one, two, redis) = (host(1), host(2), Fake::default());
    let client = Client::new(1);
    for n in 0..20 {
        let mut claims = claims("x");
        (claims["jti"], claims["iat"]) = (json!(n.to_string()), json!(START.s()));
        claims["cnf"] = json!({ "jkt": client.jkt() });
        let bound = hmac(SECRET, &claims);
        let proof = |jti: &str| client.proof(&bound, jti, json!({ "iat": START.s() }));
        let headers = |proof: &str| {
            let value = format!("DPoP {bound}");
            request("GET", "/orders", &[("authorization", &value), ("dpop", proof)])
        };
        let used = proof(&format!("{n}"));
        let (first, second) = if n % 2 == 0 { (&one, &two) } else { (&two, &one) };
        assert_eq!(ask(first, n % 2, &redis, headers(&used)), 200);
        for (world, worker) in [(second, 0), (second, 1), (first, 0), (first, 1)] {
            assert_eq!(ask(world, worker, &redis, headers(&used)), 401);
            // A new proof doesn't make a new token of it.
            let another = proof(&format!("{n} again at {worker} {}", redis.0.borrow().len()));
            assert_eq!(ask(world, worker, &redis, headers(&another)), 401);
        }
    }
}

#[test]
fn each_word_of_redis_has_its_answer() {
    for (body, expected) in [
        (says("first", 0), None),
        (says("seen", 0), Some(Reason::Replayed)),
        (says("old", 0), Some(Reason::Replayed)),
        (says("full", 0), Some(Reason::ReplayUnavailable)),
        ("{}".to_owned(), Some(Reason::ReplayUnavailable)),
        (r#"{"EVAL":[false,"ERR"]}"#.to_owned(), Some(Reason::ReplayUnavailable)),
        (r#"{"EVAL":["first","0"]}"#.to_owned(), Some(Reason::ReplayUnavailable)),
    ] {
        let world = World::new(&shared_by_gateways(json!({})));
        world.serve(REDIS, 200, &body);
        let wanted = expected.map_or(Outcome::Admitted, Outcome::Refused);
        assert_eq!(world.ask(0, START, &token("1")), wanted, "{body}");
        // It was remembered here before: no second call.
        let again = world.ask(1, START, &token("1"));
        assert_eq!((again, world.asked(REDIS)), (Outcome::Refused(Reason::Replayed), 1));
        assert_eq!(world.count(Metric::ReplayFull), u32::from(body.contains("full")));
    }
}

#[test]
fn of_a_proof_it_is_said_which_will_do() {
    let world = World::new(&shared_by_gateways(json!({ "replay": { "scope": "gateways" } })));
    let client = Client::new(1);
    let token = client.token();
    let bound = format!("DPoP {token}");
    let ask = |now: Time, jti: &str, more: Value| {
        let proof = client.proof(&token, jti, more);
        let headers = [("authorization", bound.as_str()), ("dpop", proof.as_str())];
        send(&world, 0, now, ("GET", "/orders"), &headers)
    };
    let iat = json!({ "iat": START.s() });
    world.serve(REDIS, 200, says("seen", 0));
    let refused = ask(START, "1", iat.clone()).unwrap_err();
    assert_eq!(refused.0, Reason::Replayed);
    let born = START.plus_s(2);
    let old = json!({ "EVAL": ["old", "0", (born.ns() / 1_000).to_string()] });
    world.serve(REDIS, 200, old);
    let refused = ask(START.plus_s(3), "2", iat).unwrap_err();
    assert_eq!(refused.0, Reason::Nonce);
    let nonce = refused.1.headers.iter().find(|(name, _)| name == "dpop-nonce").unwrap().1.clone();
    // The nonce is as old as Redis's memory at most.
    let shown = crate::proof::nonce::read(&world.workers[0].sync_key, &nonce, START.plus_s(3));
    assert!(shown.unwrap() > born, "{shown:?}");
    world.serve(REDIS, 200, says("first", 0));
    assert!(ask(START.plus_s(3), "3", json!({ "iat": START.s(), "nonce": nonce })).is_ok());
}

#[test]
fn a_redis_that_fails_is_left_alone_and_nothing_is_spent_meanwhile() {
    let world = World::new(&shared_by_gateways(json!({})));
    let unavailable = Outcome::Refused(Reason::ReplayUnavailable);
    for n in 0..3 {
        assert_eq!(world.ask(0, START, &token(&n.to_string())), unavailable);
    }
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &token("unspent")), unavailable);
    }
    assert_eq!((world.asked(REDIS), world.count(Metric::ReplayAskFailed)), (3, 3));
    world.serve(REDIS, 200, says("first", 0));
    let later = START.plus_s(2);
    assert_eq!(world.ask(0, later, &token("unspent")), Outcome::Admitted);
    // What was asked for may have been heard.
    assert_eq!(world.ask(0, later, &token("0")), Outcome::Refused(Reason::Replayed));
    assert_eq!(world.ask(1, later, &token("another")), Outcome::Admitted);
}

#[test]
fn the_script_goes_along_where_redis_lacks_it() {
    let world = World::new(&shared_by_gateways(json!({})));
    world.serve(REDIS, 200, says("first", 0));
    assert_eq!(world.ask(0, START, &token("1")), Outcome::Admitted);
    let mut exchange = Exchange::new(bearer(&token("2")), None, ENVOY);
    let step = |exchange: &mut Exchange, input: Input<'_>| {
        world.with(0, START, |facts| exchange.step(input, facts, &world.shared))
    };
    let text = |effect: &Effect| {
        let Effect::Fetch(fact @ Fact::Once(_), _) = effect else { panic!("no question") };
        String::from_utf8(fact.call(&world.workers[0].config).unwrap().body).unwrap()
    };
    let first = step(&mut exchange, Input::Begin);
    assert!(text(&first).starts_with("EVALSHA/"));
    let headers = HeaderBlock::default();
    let answered = |body: &'static str| {
        Input::Fetched(CallAnswer { status: 200, headers: &headers, body: body.as_bytes() })
    };
    let second =
        step(&mut exchange, answered(r#"{"EVALSHA":[false,"NOSCRIPT No matching script."]}"#));
    assert!(text(&second).starts_with("EVAL/local"));
    let last = step(&mut exchange, answered(r#"{"EVAL":["first","0","1800000000000000"]}"#));
    assert!(matches!(last, Effect::Finish(Finish::Admit(_))));
}

#[test]
fn a_request_waits_no_longer_than_fifty_milliseconds_and_sleeps_on_if_it_is_woken_early() {
    let world = World::new(&shared_by_gateways(json!({})));
    let mut exchange = Exchange::new(bearer(&token("1")), None, ENVOY);
    let step = |exchange: &mut Exchange, now: Time, input: Input<'_>| {
        world.with(0, now, |facts| exchange.step(input, facts, &world.shared))
    };
    let Effect::Fetch(_, deadline) = step(&mut exchange, START, Input::Begin) else { panic!() };
    assert_eq!(deadline, START.plus_ms(50));
    let woken = step(&mut exchange, START.plus_ms(49), Input::Woken);
    assert!(matches!(woken, Effect::SleepUntil(at, ..) if at == deadline));
    let over = step(&mut exchange, deadline, Input::Woken);
    let Effect::Finish(Finish::Answer(answer)) = over else { panic!() };
    assert_eq!(answer.status, 503);
    assert!(answer.headers.iter().any(|(name, _)| name == "retry-after"));
}

/// A limit is charged once, however often the request is looked at.
#[test]
fn a_limit_is_charged_once() {
    let limits = json!({
        "rules": [{ "match": { "path_prefix": "/" }, "limits": ["two"] }],
        "rate_limits": [{ "name": "two", "key": ["issuer"], "limit": 2, "per_s": 3600 }],
    });
    let world = World::new(&shared_by_gateways(limits));
    world.serve(REDIS, 200, says("first", 0));
    assert_eq!(world.ask(0, START, &token("1")), Outcome::Admitted);
    assert_eq!(world.ask(1, START, &token("2")), Outcome::Admitted);
    assert_eq!(world.ask(0, START, &token("3")), Outcome::Refused(Reason::Limited));
    assert_eq!(world.asked(REDIS), 2, "what a limit refuses isn't asked for");
}

#[test]
fn a_permissive_rule_lets_a_second_use_pass_as_nobodys() {
    let rules = json!({ "rules": [{ "match": { "path_prefix": "/" }, "access": "permissive" }] });
    let world = World::new(&shared_by_gateways(rules));
    world.serve(REDIS, 200, says("seen", 0));
    assert_eq!(world.ask(0, START, &token("1")), Outcome::Admitted);
    assert_eq!(world.count(Metric::Permitted(Reason::Replayed)), 1);
    assert_eq!((world.count(Metric::Anonymous), world.count(Metric::Accepted)), (1, 0));
    world.serve(REDIS, 500, "");
    let unavailable = Outcome::Refused(Reason::ReplayUnavailable);
    assert_eq!(world.ask(0, START, &token("2")), unavailable);
}
