//! Token calls of gateways that share answers, by what Redis says. The scripts themselves run in a
//! real Redis in tests/integration/test_answers.py.

use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::digest::HostKey;
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Runtime};
use crate::simulation::gateways::tick;
use crate::simulation::redis::Redis;
use crate::token_endpoint::elsewhere::{Left, Tell};
use crate::world::runtime_under;

const OLD: &str = "the secret that was in use until today";
const NEW: &str = "the secret that is in use from today on";
const POLL_MS: u64 = 20;

/// A gateway of one worker that has read what others have revoked.
fn gateway(random: u8, shared: serde_json::Value) -> World {
    let config = json!({
        "token_endpoints": [{ "path": "/token", "revocation_path": "/revoke", "jitter": 0 }],
        "gateways": { "uri": "https://webdis.example/", "cluster": "webdis", "answers": true },
        "debug_headers": true,
        "shared": shared,
    });
    let secret = shared["secret"].as_str().unwrap();
    let key = HostKey::new(&[random; 32], secret.as_bytes());
    let world = World::of_workers(Dialect::Envoy, vec![runtime_under(&config, key)]);
    let redis = RefCell::new(Redis::default());
    tick(&world, 0, START, |call| Some((200, redis.borrow_mut().call(call, START))));
    world
}

fn one_of_all(random: u8) -> World {
    gateway(random, json!({ "secret": NEW }))
}

impl World {
    /// A call of a client with this secret, up to its question.
    fn asks(&self, now: Time, secret: &str, abilities: Abilities) -> (Exchange, Fact) {
        match self.call(0, now, secret, abilities, &[], BODY) {
            (exchange, Effect::Fetch(fact @ Fact::Elsewhere(_), _)) => (exchange, fact),
            _ => panic!("no question"),
        }
    }

    /// Redis answers, and the call goes on.
    fn hears(&self, now: Time, exchange: &mut Exchange, fact: &Fact, replies: &[&str]) -> Effect {
        let body = json!({ "EVAL": replies }).to_string();
        self.hears_of(now, fact, 200, &body);
        self.woken(0, now, exchange)
    }

    fn hears_of(&self, now: Time, fact: &Fact, status: u16, body: &str) {
        let headers = HeaderBlock::default();
        let answer = CallAnswer { status, headers: &headers, body: body.as_bytes() };
        self.with(0, now, |facts| facts.learn(fact, &answer));
    }

    /// What it has to tell.
    fn tells(&self, now: Time) -> Vec<Tell> {
        let mut worker = self.workers[0].worker.borrow_mut();
        let outbox = &mut worker.elsewhere.outbox;
        let tells = outbox.take(now).unwrap_or_default();
        outbox.came(Vec::new(), true, now, 0);
        tells
    }

    fn seats(&self, fact: &Fact) -> Vec<bool> {
        let Runtime { host_key, config, .. } = &self.workers[0];
        let names = fact.names(host_key, config);
        self.with(0, START, |facts| names.iter().map(|name| facts.is_led_here(name)).collect())
    }
}

fn until(effect: &Effect) -> Time {
    match effect {
        Effect::SleepUntil(until, ..) => *until,
        _ => panic!("it doesn't wait"),
    }
}

fn question(effect: Effect) -> Fact {
    match effect {
        Effect::Fetch(fact, _) => fact,
        _ => panic!("no question"),
    }
}

/// What a gateway has left of a call that the server has answered.
fn left(world: &World, now: Time) -> (String, Option<Digest>) {
    let (mut exchange, fact) = world.asks(now, "secret", ENVOY);
    assert!(is_led(&world.hears(now, &mut exchange, &fact, &["l"])));
    world.answered(0, now, &mut exchange, 200, GOOD);
    let sealed = world.tells(now).into_iter().find_map(|tell| match tell {
        Tell::Ended(_, _, Left::Sealed(sealed)) => Some(sealed),
        _ => None,
    });
    let sealed = sealed.expect("an answer is told");
    (sealed.text.clone(), sealed.credential)
}

#[test]
fn what_is_asked_at_one_time_goes_in_one_call() {
    let world = one_of_all(1);
    let (mut first, mut all) = world.asks(START, "a", ENVOY);
    let (mut second, fact) = world.asks(START, "b", ENVOY);
    assert!(all.take_along(&fact));
    assert_eq!(world.seats(&all), [true, true]);
    assert!(is_led(&world.hears(START, &mut first, &all, &["l", "h"])));
    let again_at = until(&world.woken(0, START, &mut second));
    assert_eq!(again_at, START.plus_ms(POLL_MS));
    assert_eq!(world.seats(&all), [false, true], "the one that calls has no place any more");
    // As many as one call carries, and no more.
    let (_, mut full) = world.asks(START, "c", ENVOY);
    let one = full.clone();
    let taken = (0..100).filter(|_| full.take_along(&one)).count();
    assert_eq!(taken, 63);
}

#[test]
fn an_answer_of_another_gateway_serves_here() {
    let (text, _) = left(&one_of_all(1), START);
    let world = one_of_all(2);
    let (mut exchange, fact) = world.asks(START, "secret", ENVOY);
    let answer = answer(world.hears(START, &mut exchange, &fact, &[&format!("0{text}")]));
    assert_eq!((answer.status, answer.body.as_slice()), (200, GOOD.as_bytes()));
    assert_eq!(world.count(Metric::AnswersTaken), 1);
    // Of another client it is none: this gateway calls at once.
    let (mut exchange, fact) = world.asks(START, "another", ENVOY);
    assert!(is_led(&world.hears(START, &mut exchange, &fact, &[&format!("0{text}")])));
    assert_eq!(world.count(Metric::AnswersForged), 1);
}

#[test]
fn without_a_word_of_redis_each_goes_on_alone() {
    for (status, body) in [(503, ""), (200, r#"{"EVAL":["l","l"]}"#), (200, "{}"), (0, "")] {
        let world = one_of_all(1);
        for client in ["a", "b", "c"] {
            let (mut exchange, fact) = world.asks(START, client, ENVOY);
            world.hears_of(START, &fact, status, body);
            assert!(is_led(&world.woken(0, START, &mut exchange)));
        }
        // After three in a row nobody asks for a moment.
        let (_, effect) = world.call(0, START.plus_ms(99), "d", ENVOY, &[], BODY);
        assert!(is_led(&effect));
        world.asks(START.plus_ms(100), "e", ENVOY);
    }
}

/// Those who wait for others leave it no place: it isn't refused for a question that it can do
/// without.
#[test]
fn who_finds_no_place_to_wait_calls_at_once() {
    let world = one_of_all(1);
    let (mut exchange, fact) = world.asks(START, "a", ENVOY);
    exchange.cannot_wait();
    assert!(is_led(&world.woken(0, START, &mut exchange)));
    assert_eq!((world.seats(&fact), world.count(Metric::AnswersFailed)), (vec![false], 0));
}

/// The gateway that calls still does: nine others don't call beside it for one late answer.
#[test]
fn who_waits_for_a_gateway_goes_on_waiting_when_redis_falls_silent() {
    let world = one_of_all(1);
    let (mut exchange, fact) = world.asks(START, "a", ENVOY);
    let mut at = until(&world.hears(START, &mut exchange, &fact, &["h"]));
    let fact = question(world.woken(0, at, &mut exchange));
    world.hears_of(at, &fact, 504, "");
    let mut effect = world.woken(0, at, &mut exchange);
    // No longer than that gateway's lease was seen to be good.
    while let Effect::SleepUntil(until, ..) = effect {
        assert!(until > at && until < START.plus_ms(1_100));
        at = until;
        effect = match world.woken(0, at, &mut exchange) {
            Effect::Fetch(fact, _) => {
                world.hears_of(at, &fact, 504, "");
                world.woken(0, at, &mut exchange)
            }
            other => other,
        };
    }
    assert!(is_led(&effect) && at >= START.plus_s(1));
    // It speaks again: the answer is taken.
    let world = one_of_all(2);
    let (mut exchange, fact) = world.asks(START, "secret", ENVOY);
    let mut at = until(&world.hears(START, &mut exchange, &fact, &["h"]));
    let fact = question(world.woken(0, at, &mut exchange));
    world.hears_of(at, &fact, 504, "");
    let fact = loop {
        at = at.plus_ms(POLL_MS);
        match world.woken(0, at, &mut exchange) {
            Effect::Fetch(fact, _) => break fact,
            Effect::SleepUntil(..) => {}
            _ => panic!("it has gone on"),
        }
    };
    let (text, _) = left(&one_of_all(1), START);
    assert_eq!(answer(world.hears(at, &mut exchange, &fact, &[&format!("0{text}")])).status, 200);
}

#[test]
fn a_client_that_leaves_gives_its_place_and_its_leases_back() {
    let world = one_of_all(1);
    let (mut exchange, fact) = world.asks(START, "a", ENVOY);
    assert!(world.with(0, START, |facts| exchange.close(facts)).is_some());
    drop(exchange);
    assert_eq!(world.seats(&fact), [false]);
    assert!(matches!(world.tells(START)[..], [Tell::Ended(_, 1.., Left::AsItWas)]));
    world.hears_of(START, &fact, 200, r#"{"EVAL":["l"]}"#);
    world.asks(START, "a", ENVOY);
}

#[test]
fn many_that_wait_do_not_ask_more_often_together() {
    for (many, expected_ms) in [(1, POLL_MS), (100, 200)] {
        let world = one_of_all(1);
        let mut waiting: Vec<_> =
            (0..many).map(|n| world.asks(START, &n.to_string(), ENVOY)).collect();
        let (exchange, fact) = waiting.last_mut().unwrap();
        // Whenever they were told, they ask at one moment.
        let again_at = until(&world.hears(START.plus_ms(7), exchange, fact, &["h"]));
        assert_eq!(again_at, START.plus_ms(expected_ms));
    }
}

/// While `shared.secret` is replaced: see docs/gateways.md.
#[test]
fn an_answer_under_either_secret_is_taken_and_withdrawn_under_both() {
    let now = START;
    for (one, other) in [(OLD, NEW), (NEW, OLD)] {
        let teller = gateway(1, json!({ "secret": one, "secret_previous": other }));
        let hearer = gateway(2, json!({ "secret": other, "secret_previous": one }));
        let (text, credential) = left(&teller, now);
        let (mut exchange, fact) = hearer.asks(now, "secret", ENVOY);
        let taken = hearer.hears(now, &mut exchange, &fact, &[&format!("1{text}")]);
        assert_eq!(answer(taken).status, 200);
        hearer.tells(now);
        // The server refuses the secret at one: what the other has left for it goes too.
        let other = "grant_type=client_credentials&scope=b";
        let (mut exchange, effect) = hearer.call(0, now, "secret", ENVOY, &[], other);
        assert!(is_led(&hearer.hears(now, &mut exchange, &question(effect), &["l"])));
        hearer.answered(0, now, &mut exchange, 401, r#"{"error":"invalid_client"}"#);
        let withdrawn: Vec<_> = hearer
            .tells(now)
            .into_iter()
            .filter_map(|tell| match tell {
                Tell::WithdrawSecret(name) => Some(name),
                Tell::WithdrawToken(_) | Tell::Ended(..) => None,
            })
            .collect();
        assert!(withdrawn.contains(&credential.unwrap()) && withdrawn.len() == 2, "both names");
        // Its token is revoked at one.
        assert!(hearer.with(0, now, |facts| facts.revoke_token(b"first")));
        let tells = hearer.tells(now);
        let tokens = tells.iter().filter(|tell| matches!(tell, Tell::WithdrawToken(_))).count();
        assert_eq!(tokens, 2, "under both names");
        let mut told = hearer.workers[0].worker.borrow_mut();
        assert_eq!(told.outbox.take(now).unwrap().entries.len(), 2, "to gateways of both names");
    }
    // Who has the new one alone can't read it, and calls.
    let (text, _) = left(&gateway(4, json!({ "secret": OLD })), START);
    for number in [0, 1] {
        let after = one_of_all(5);
        let (mut exchange, fact) = after.asks(START, "secret", ENVOY);
        let effect = after.hears(START, &mut exchange, &fact, &[&format!("{number}{text}")]);
        assert!(is_led(&effect));
        assert_eq!(after.count(Metric::AnswersForged), 1);
    }
}

/// Calls that are shared with nobody show the secret too. Where its answer still lay in Redis, the
/// very gateway that has heard of the refusal would take it from there.
#[test]
fn a_secret_that_is_refused_in_any_call_is_withdrawn_at_all() {
    let (_, credential) = left(&one_of_all(1), START);
    let refresh = "grant_type=refresh_token&refresh_token=r";
    let password = "grant_type=password&username=u&password=p";
    let fresh = [("cache-control", "no-cache")];
    for (more, body) in [(&fresh[..], BODY), (&fresh[..0], refresh), (&fresh[..0], password)] {
        let world = one_of_all(2);
        let (mut exchange, effect) = world.call(0, START, "secret", ENVOY, more, body);
        assert!(is_led(&effect));
        world.answered(0, START, &mut exchange, 401, r#"{"error":"invalid_client"}"#);
        let withdrawn = Tell::WithdrawSecret(credential.unwrap());
        assert!(world.tells(START).contains(&withdrawn), "{body}");
    }
}

/// As here, where it is purged.
#[test]
fn what_the_server_refuses_now_is_purged_at_all() {
    let refused = r#"{"error":"unauthorized_client"}"#;
    let world = one_of_all(1);
    let (mut exchange, fact) = world.asks(START, "secret", ENVOY);
    assert!(is_led(&world.hears(START, &mut exchange, &fact, &["l"])));
    world.answered(0, START, &mut exchange, 400, refused);
    let tells = world.tells(START);
    let [Tell::Ended(name, 0, Left::Nothing), Tell::Ended(refusals, 1.., Left::Sealed(_))] =
        &tells[..]
    else {
        panic!("{tells:?}");
    };
    assert_eq!(name, refusals);
    // Nobody waits for a call that wants a fresh answer, and none of its own is left.
    let fresh = [("cache-control", "no-cache")];
    let (mut exchange, effect) = world.call(0, START, "secret", ENVOY, &fresh, BODY);
    assert!(is_led(&effect));
    world.answered(0, START, &mut exchange, 400, refused);
    assert_eq!(world.tells(START), [Tell::Ended(*name, 0, Left::Nothing)]);
}
