//! A stream between two workers and a server that hands sets over.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

use super::SEEN_MAX;
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Turn};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::revocation::stream::FLOORS_MAX;
use crate::simulation::host::{Dialect, Memory};
use crate::time::Time;
use crate::world::*;

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn document(more: Value) -> Value {
    let mut feed = json!({ "kind": "ssf", "issuer": "idp", "cluster": "idp", "every_s": 10,
        "uri": "https://idp.example/events", "audience": "gateway" });
    feed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "issuers": [{ "name": "idp", "issuer": ISSUER, "algorithms": ["HS256"], "keys": [{ "secret": SECRET }] }],
        "revocation": { "feeds": [feed] },
        "shared": { "secret": "shared-secret-of-thirty-two-bytes-or-more" },
    })
}

fn token_at(sub: &str, iat: Time) -> String {
    hmac(SECRET, &json!({ "iss": ISSUER, "sub": sub, "iat": iat.s(), "exp": START.s() + 86_400 }))
}

/// A set that ends the sessions of a subject.
fn set(jti: &str, sub: &str, at: Time) -> String {
    signed(jti, &json!({ "format": "iss_sub", "iss": ISSUER, "sub": sub }), at)
}

fn signed(jti: &str, subject: &Value, at: Time) -> String {
    let claims = json!({ "iss": ISSUER, "jti": jti, "iat": at.s(), "aud": "gateway",
        "sub_id": subject, "events": { REVOKED: { "event_timestamp": at.s() } } });
    hmac_with(&json!({ "alg": "HS256", "typ": "secevent+jwt" }), SECRET, &claims)
}

/// A server that keeps sets until they are acknowledged or refused, unless it is deaf.
#[derive(Default)]
struct Server {
    sets: RefCell<Vec<(String, String)>>,
    acknowledged: RefCell<Vec<String>>,
    refused: RefCell<Map<String, Value>>,
    calls: RefCell<u32>,
    is_deaf: bool,
}

impl Server {
    fn add(&self, jti: &str, set: String) {
        self.sets.borrow_mut().push((jti.to_owned(), set));
    }

    fn answer(&self, body: &[u8]) -> String {
        *self.calls.borrow_mut() += 1;
        let asked: Value = serde_json::from_slice(body).unwrap();
        let mut sets = self.sets.borrow_mut();
        for id in asked["ack"].as_array().into_iter().flatten() {
            let id = id.as_str().unwrap();
            self.acknowledged.borrow_mut().push(id.to_owned());
            sets.retain(|(other, _)| self.is_deaf || other != id);
        }
        for (id, why) in asked["setErrs"].as_object().into_iter().flatten() {
            self.refused.borrow_mut().insert(id.clone(), why["err"].clone());
            sets.retain(|(other, _)| self.is_deaf || other != id);
        }
        let most = asked["maxEvents"].as_u64().unwrap() as usize;
        let handed: Map<String, Value> =
            sets.iter().take(most).map(|(id, set)| (id.clone(), json!(set))).collect();
        json!({ "sets": handed, "moreAvailable": sets.len() > most }).to_string()
    }
}

/// One tick of a worker, and what follows from the answers at once.
fn tick(world: &World, worker: usize, now: Time, server: &Server) {
    let answers = |body: &[u8]| (200, server.answer(body));
    tick_with(world, worker, now, answers);
}

fn tick_with(world: &World, worker: usize, now: Time, answers: impl Fn(&[u8]) -> (u16, String)) {
    world.with(worker, now, |facts| {
        let mut due = facts.due();
        while !due.is_empty() {
            for fact in due.iter().filter(|fact| facts.join(fact) == Turn::Lead) {
                let call = fact.call(&facts.runtime.config).unwrap();
                let (status, body) = answers(&call.body);
                let headers = HeaderBlock::default();
                facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() });
            }
            due = facts.take_wanted();
        }
    });
}

#[test]
fn a_set_refuses_on_all_workers_before_it_is_acknowledged() {
    for world in World::both(&document(json!({}))) {
        let server = Server::default();
        tick(&world, 0, START, &server);
        let (alice, bob) = (token_at("alice", START), token_at("bob", START));
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START, &alice), Outcome::Admitted);
        }
        let now = START.plus_s(10);
        server.add("1", set("1", "alice", now));
        tick_with(&world, 0, now, |body| {
            let asked: Value = serde_json::from_slice(body).unwrap();
            if asked["ack"].is_array() {
                // Another worker refuses by the time the server hears.
                assert_eq!(world.ask(1, now, &alice), Outcome::Refused(Reason::Revoked));
            }
            (200, server.answer(body))
        });
        assert_eq!(*server.acknowledged.borrow(), ["1"]);
        assert_eq!(world.count(Metric::SetKept), 1);
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, now, &alice), Outcome::Refused(Reason::Revoked));
            assert_eq!(world.ask(worker, now, &bob), Outcome::Admitted);
            let again = token_at("alice", now.plus_s(1));
            assert_eq!(world.ask(worker, now.plus_s(1), &again), Outcome::Admitted);
        }
    }
}

#[test]
fn after_a_restart_what_was_acknowledged_is_refused_by_a_floor() {
    for world in World::both(&document(json!({}))) {
        let server = Server::default();
        tick(&world, 0, START, &server);
        server.add("1", set("1", "alice", START));
        let now = START.plus_s(10);
        tick(&world, 0, now, &server);
        assert!(server.sets.borrow().is_empty(), "acknowledged");
        // Shared memory and both workers are gone; the server has nothing more to say.
        let fresh = World::on(Dialect::Envoy, &[document(json!({})), document(json!({}))]);
        let later = START.plus_s(60);
        let fails = |_: &[u8]| (500, String::new());
        tick_with(&fresh, 0, later, fails);
        for worker in [1, 0] {
            for sub in ["alice", "bob"] {
                let old = token_at(sub, START);
                assert_eq!(fresh.ask(worker, later, &old), Outcome::Refused(Reason::Revoked));
                assert_eq!(fresh.ask(worker, later, &token_at(sub, later)), Outcome::Admitted);
            }
        }
        tick(&fresh, 0, later.plus_s(60), &server);
        let old = token_at("alice", START);
        assert_eq!(fresh.ask(1, later.plus_s(60), &old), Outcome::Refused(Reason::Revoked));
        drop(world);
    }
}

#[test]
fn a_new_configuration_and_a_lost_document_forget_nothing() {
    for mut world in World::both(&document(json!({}))) {
        let server = Server::default();
        tick(&world, 0, START, &server);
        server.add("1", set("1", "alice", START.plus_s(5)));
        let now = START.plus_s(10);
        tick(&world, 0, now, &server);
        let mut renamed = document(json!({}));
        renamed["realm"] = json!("another");
        world.add_worker(&renamed);
        let alice = token_at("alice", START.plus_s(4));
        assert_eq!(world.ask(2, now, &alice), Outcome::Refused(Reason::Revoked));
        assert_eq!(world.ask(2, now, &token_at("bob", START.plus_s(4))), Outcome::Admitted);
        // The host loses it all; who holds it stores it again.
        world.shared.memory.borrow_mut().wipe();
        tick(&world, 0, now.plus_s(20), &server);
        world.add_worker(&document(json!({})));
        assert_eq!(world.ask(3, now.plus_s(20), &alice), Outcome::Refused(Reason::Revoked));
        assert_eq!(
            world.ask(3, now.plus_s(20), &token_at("bob", START.plus_s(4))),
            Outcome::Admitted
        );
    }
}

/// Of two workers that lead at once, one writes over what the other has stored.
#[test]
fn what_one_worker_has_taken_is_not_lost_to_another() {
    for world in World::both(&document(json!({}))) {
        let server = Server::default();
        tick(&world, 0, START, &server);
        assert_eq!(world.ask(1, START, &token_at("alice", START)), Outcome::Admitted);
        let digest = world.with(1, START, |facts| facts.digest(&Fact::Feed(0, None)));
        let old = world.with(1, START, |facts| {
            facts.runtime.worker.borrow().revocations.feeds[0].known().cloned().unwrap()
        });
        server.add("1", set("1", "alice", START.plus_s(5)));
        let now = START.plus_s(10);
        tick(&world, 0, now, &server);
        world.with(1, now, |facts| facts.store_feed(0, &digest, old)).unwrap();
        // The first has it still, and stores it again on its next look.
        tick(&world, 0, now.plus_s(1), &server);
        for worker in [0, 1] {
            let alice = token_at("alice", START);
            assert_eq!(world.ask(worker, now.plus_s(1), &alice), Outcome::Refused(Reason::Revoked));
        }
    }
}

#[test]
fn sets_that_do_not_verify_are_told_and_take_nothing_back() {
    for world in World::both(&document(json!({}))) {
        let server = Server::default();
        tick(&world, 0, START, &server);
        let good = set("x", "alice", START);
        let header = json!({ "alg": "HS256", "typ": "secevent+jwt" });
        let claims = |change: Value| {
            let mut claims = json!({ "iss": ISSUER, "jti": "x", "iat": START.s(), "aud": "gateway",
                "sub": "alice", "events": { REVOKED: {} } });
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            claims
        };
        let with = |change: Value| hmac_with(&header, SECRET, &claims(change));
        let typed = |typ: &str| {
            hmac_with(&json!({ "alg": "HS256", "typ": typ }), SECRET, &claims(json!({})))
        };
        let sets = [
            (forged(&good), "authentication_failed"),
            (
                hmac_with(&header, "another secret of thirty-two bytes", &claims(json!({}))),
                "authentication_failed",
            ),
            ("eyJhbGciOiJub25lIn0.e30.".to_owned(), "invalid_request"),
            ("no set".to_owned(), "invalid_request"),
            (
                hmac_with(
                    &json!({ "alg": "HS512", "typ": "secevent+jwt" }),
                    SECRET,
                    &claims(json!({})),
                ),
                "invalid_request",
            ),
            (typed("JWT"), "invalid_request"),
            (typed("at+jwt"), "invalid_request"),
            (with(json!({ "jti": "another" })), "invalid_request"),
            (with(json!({ "iss": "https://other.example" })), "invalid_issuer"),
            (with(json!({ "aud": "another" })), "invalid_audience"),
            (with(json!({ "aud": [] })), "invalid_audience"),
            (with(json!({ "exp": START.s() - 60 })), "invalid_request"),
            (with(json!({ "events": {} })), "invalid_request"),
            (with(json!({ "sub_id": { "format": "email", "email": "a@b.c" } })), "invalid_request"),
        ];
        for (n, (text, code)) in sets.iter().enumerate() {
            let now = START.plus_s(20 * n as u64 + 20);
            server.add("x", text.clone());
            tick(&world, n % 2, now, &server);
            tick(&world, n % 2, now.plus_s(10), &server);
            let refused = std::mem::take(&mut *server.refused.borrow_mut());
            assert_eq!(refused.get("x"), Some(&json!(code)), "{text}");
            assert!(server.acknowledged.borrow().is_empty());
            let alice = token_at("alice", START);
            assert_eq!(world.ask(n % 2, now.plus_s(10), &alice), Outcome::Admitted, "{text}");
        }
        assert_eq!(world.count(Metric::SetRefused), sets.len() as u32);
        assert_eq!(world.count(Metric::RevocationFeedFailed), 0);
    }
}

/// It isn't sent again once it is acknowledged, so what it says would be lost.
#[test]
fn a_set_whose_keys_are_not_there_yet_is_not_acknowledged() {
    let mut document = document(json!({}));
    let mut issuer = fetched();
    issuer.as_object_mut().unwrap().remove("audiences");
    document["issuers"] = json!([issuer]);
    let (world, key) = (World::new(&document), Key::new(1));
    let claims = json!({ "iss": ISSUER, "jti": "1", "iat": START.s(), "aud": "gateway",
        "sub": "alice", "events": { REVOKED: {} } });
    let header = json!({ "alg": "ES256", "kid": "k", "typ": "secevent+jwt" });
    let set = key.signed(&header.to_string(), &claims.to_string());
    let sets = json!({ "sets": { "1": set } }).to_string();
    let headers = HeaderBlock::default();
    let answer = |body: &str, take: &dyn Fn(&CallAnswer<'_>)| {
        take(&CallAnswer { status: 200, headers: &headers, body: body.as_bytes() });
    };
    world.with(0, START, |facts| {
        let taken = || {
            answer(&sets, &|answer| assert!(facts.learn_feed(0, None, START, answer)));
            facts.mailbox(0, |mailbox| (mailbox.kept.clone(), mailbox.refused.len()))
        };
        assert_eq!(taken(), (vec![], 0));
        for keys in facts.take_wanted().iter().filter(|fact| facts.join(fact) == Turn::Lead) {
            let (_, body) = served(&[key.jwk("k")]);
            answer(&body, &|answer| {
                facts.learn(keys, answer);
            });
        }
        assert_eq!(taken(), (vec!["1".to_owned()], 0));
    });
    assert_eq!(world.count(Metric::SetKept), 1);
}

#[test]
fn other_events_are_acknowledged() {
    let world = World::new(&document(json!({})));
    let server = Server::default();
    let other = json!({ "iss": ISSUER, "jti": "v", "iat": START.s(), "aud": "gateway",
        "sub_id": { "format": "opaque", "id": "stream" },
        "events": { "https://schemas.openid.net/secevent/ssf/event-type/verification": { "state": "s" } } });
    server.add("v", hmac_with(&json!({ "alg": "HS256", "typ": "secevent+jwt" }), SECRET, &other));
    tick(&world, 0, START, &server);
    assert_eq!(*server.acknowledged.borrow(), ["v"]);
    assert_eq!(world.count(Metric::SetIgnored), 1);
}

#[test]
fn a_server_that_sends_one_set_for_ever_costs_little() {
    for world in World::both(&document(json!({}))) {
        let server = Server { is_deaf: true, ..Server::default() };
        server.add("1", set("1", "alice", START));
        for n in 0..20 {
            tick(&world, 0, START.plus_s(10 * n), &server);
        }
        // One call more for the acknowledgement of the first.
        assert_eq!(*server.calls.borrow(), 21);
        let verified = world.count(Metric::Verified);
        assert_eq!((world.count(Metric::SetKept), verified), (1, 1));
        assert_eq!(world.count(Metric::SetRepeated), 20);
        let bad = Server { is_deaf: true, ..Server::default() };
        bad.add("2", forged(&set("2", "alice", START)));
        for n in 30..40 {
            tick(&world, 0, START.plus_s(10 * n), &bad);
        }
        assert_eq!(*bad.calls.borrow(), 10);
    }
}

#[test]
fn many_sets_are_taken_in_turns_and_keep_their_room() {
    let world = World::new(&document(json!({})));
    let server = Server::default();
    tick(&world, 0, START, &server);
    for n in 0..1_200 {
        server.add(&n.to_string(), set(&n.to_string(), &format!("user-{n}"), START));
    }
    let before = *server.calls.borrow();
    tick(&world, 0, START.plus_s(10), &server);
    assert_eq!(*server.calls.borrow() - before, 16);
    assert_eq!((world.count(Metric::SetKept), world.count(Metric::SetsWaiting)), (512, 1));
    for n in 2..5 {
        tick(&world, 0, START.plus_s(10 * n), &server);
    }
    assert_eq!(world.count(Metric::SetKept), 1_200);
    assert_eq!(server.acknowledged.borrow().len(), 1_200);
    let now = START.plus_s(50);
    let seen = world.with(0, now, |facts| facts.mailbox(0, |mailbox| mailbox.seen.len()));
    assert_eq!(seen, SEEN_MAX, "the first are forgotten");
    for n in [0, 511, 512, 1_199] {
        let token = token_at(&format!("user-{n}"), START);
        assert_eq!(world.ask(1, now, &token), Outcome::Refused(Reason::Revoked), "{n}");
    }
    assert_eq!(world.ask(1, now, &token_at("user-1200", START)), Outcome::Admitted);
}

#[test]
fn where_there_is_no_more_room_all_older_tokens_are_refused() {
    let world = World::new(&document(json!({})));
    let server = Server::default();
    tick(&world, 0, START, &server);
    world.with(0, START, |facts| {
        let key = &facts.runtime.host_key;
        let feed = &facts.runtime.config.revocation_feeds[0];
        let many = (0..FLOORS_MAX as u64).map(|n| {
            let sub = format!("user-{n}");
            (crate::revocation::floors::of_subject(key, ISSUER, &sub), START.s() + 1 + n / 100)
        });
        facts.keep_floors(0, feed, many.collect()).unwrap();
    });
    let now = START.plus_s(1_000);
    assert_eq!(world.ask(1, now, &token_at("bob", START)), Outcome::Admitted);
    server.add("1", set("1", "alice", now));
    tick(&world, 0, now, &server);
    assert_eq!(world.count(Metric::FloorRaised), 1);
    for worker in [0, 1] {
        for sub in ["alice", "bob", "user-0"] {
            let old = token_at(sub, START);
            assert_eq!(world.ask(worker, now, &old), Outcome::Refused(Reason::Revoked), "{sub}");
        }
        assert_eq!(world.ask(worker, now, &token_at("bob", now)), Outcome::Admitted);
    }
}

#[test]
fn without_room_nothing_is_acknowledged() {
    let world = World::on(Dialect::Kong, &[document(json!({})), document(json!({}))]);
    let server = Server::default();
    tick(&world, 0, START, &server);
    *world.shared.memory.borrow_mut() = Memory::new(Dialect::Kong).zone(0, false);
    server.add("1", set("1", "alice", START));
    tick(&world, 0, START.plus_s(60), &server);
    assert!(server.acknowledged.borrow().is_empty());
    assert!(world.count(Metric::RevocationFeedFailed) > 0 && world.count(Metric::SharedFull) > 0);
}

#[test]
fn a_stream_that_was_never_read_is_waited_for_and_then_its_failure_mode_decides() {
    let fails = |_: &[u8]| (500, String::new());
    for mode in ["allow", "deny"] {
        let world = World::new(&document(json!({ "failure_mode": mode })));
        assert_eq!(world.ask(0, START, &token_at("bob", START)), expected_first(mode));
        tick_with(&world, 0, START.plus_s(60), fails);
        let now = START.plus_s(60);
        let new = token_at("bob", now);
        match mode {
            "allow" => assert_eq!(world.ask(1, now, &new), Outcome::Admitted),
            _ => {
                assert_eq!(world.ask(1, now, &new), Outcome::Refused(Reason::RevocationUnavailable))
            }
        }
        let server = Server::default();
        tick(&world, 1, now.plus_s(60), &server);
        assert_eq!(world.ask(0, now.plus_s(60), &new), Outcome::Admitted);
    }
}

/// The world's server answers 500 to what it doesn't know.
fn expected_first(mode: &str) -> Outcome {
    match mode {
        "allow" => Outcome::Admitted,
        _ => Outcome::Refused(Reason::RevocationUnavailable),
    }
}
