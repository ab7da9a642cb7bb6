//! Exchanges as the shell runs them, over shared memory that two of them see.

use serde_json::{Value, json};

use super::*;
use crate::facts::Endpoint;
use crate::world::{self, ENVOY, KONG, SECRET, World, hmac_with};

const NOW: Time = world::START;

/// A preflight of a call to a token endpoint goes on as the call does, in either place; other
/// OPTIONS don't.
#[test]
fn preflights_of_token_calls_go_on() {
    let endpoints = json!({ "token_endpoints": [
        { "path": "/t", "revocation_path": "/r", "host": "idp.example" }, { "path_template": "/{realm}/t" } ],
        "rules": [{ "match": { "path": "/none" } }] });
    let origin = ("origin", "https://spa.example");
    let status = |document: &Value, path: &str, headers: &[(&str, &str)]| {
        let fixed = [(":method", "OPTIONS"), (":path", path), (":authority", "idp.example")];
        let headers = HeaderBlock::from_pairs(
            fixed.iter().chain(headers).map(|(name, value)| (*name, value.as_bytes())),
        );
        let world = World::new(document);
        world.with(0, NOW, |facts| {
            match Exchange::new(headers, None, ENVOY).step(Input::Begin, facts, &world.shared) {
                Effect::Finish(Finish::Admit(changes)) if !changes.edits().watch => None,
                Effect::Finish(Finish::Answer(answer)) => Some(answer.status),
                _ => panic!("{path}"),
            }
        })
    };
    let post = ("access-control-request-method", "POST");
    let enforced = document(false, endpoints.clone());
    for path in ["/t", "/r", "/one/t"] {
        assert_eq!(status(&enforced, path, &[origin, post]), None, "{path}");
        for headers in
            [&[][..], &[origin], &[post], &[origin, ("access-control-request-method", "GET")]]
        {
            assert_eq!(status(&enforced, path, headers), Some(403), "{path} {headers:?}");
        }
        let mut checked = endpoints.clone();
        checked["cors_preflight"] = json!("check");
        assert_eq!(status(&document(false, checked), path, &[origin, post]), Some(403), "{path}");
    }
    for path in ["/t/x", "/other", "/one/r"] {
        assert_eq!(status(&enforced, path, &[origin, post]), Some(403), "{path}");
    }
}

/// One issuer with a secret, or with keys to fetch, that forwards the subject and not the token.
fn document(fetched: bool, more: Value) -> Value {
    let forward = json!({ "claims": { "sub": "x-user" }, "token": false });
    let issuer = match fetched {
        true => {
            json!({ "name": "idp", "issuer": "https://idp.example", "algorithms": ["RS256"], "audiences": ["a"],
            "jwks_uri": "https://idp.example/jwks", "cluster": "idp", "forward": forward })
        }
        false => {
            json!({ "name": "idp", "issuer": "https://idp.example", "algorithms": ["HS256"], "keys": [{ "secret": SECRET }],
            "forward": forward })
        }
    };
    let mut document = json!({ "issuers": [issuer], "shared": { "secret": "a shared secret of 32 bytes or more" } });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

fn token(algorithm: &str) -> String {
    signed(
        algorithm,
        &json!({ "iss": "https://idp.example", "aud": "a", "sub": "alice", "exp": NOW.s() + 600 }),
    )
}

fn signed(algorithm: &str, claims: &Value) -> String {
    hmac_with(&json!({ "alg": algorithm, "kid": "k" }), SECRET, claims)
}

fn request(more: &[(&str, &str)]) -> HeaderBlock {
    world::request("GET", "/orders", more)
}

fn admitted(effect: Effect) -> Changes {
    match effect {
        Effect::Finish(Finish::Admit(changes)) => changes,
        Effect::Finish(Finish::Answer(answer)) => panic!("answered with {}", answer.status),
        _ => panic!("not decided"),
    }
}

#[test]
fn no_cookie_is_lost_with_the_token_in_another_field() {
    let more = json!({ "bearer": { "sources": [{ "cookie": "at" }] } });
    let world = World::new(&document(false, more));
    let with_token = format!("b=2; at={}; c=3", token("HS256"));
    for (fields, left) in
        [(vec!["a=1", &with_token], "a=1; b=2; c=3"), (vec![&with_token, "a=1"], "b=2; c=3; a=1")]
    {
        let cookies: Vec<_> = fields.into_iter().map(|value| ("cookie", value)).collect();
        let mut exchange = Exchange::new(request(&cookies), None, ENVOY);
        let changes =
            admitted(world.with(0, NOW, |facts| exchange.step(Input::Begin, facts, &world.shared)));
        assert_eq!(changes.edits().set, [("cookie".to_owned(), left.to_owned())]);
    }
}

#[test]
fn who_leaves_while_it_fetches_lets_another_fetch() {
    let world = World::new(&document(true, json!({})));
    let bearer = format!("Bearer {}", token("RS256"));
    let new = || Exchange::new(request(&[("authorization", &bearer)]), None, KONG);
    let (mut first, mut second) = (new(), new());
    assert!(matches!(
        world.with(0, NOW, |facts| first.step(Input::Begin, facts, &world.shared)),
        Effect::Fetch(..)
    ));
    assert!(matches!(
        world.with(0, NOW, |facts| second.step(Input::Begin, facts, &world.shared)),
        Effect::SleepUntil(..)
    ));
    world.with(0, NOW, |facts| first.abandon(facts));
    assert!(matches!(
        world.with(0, NOW, |facts| second.step(Input::Woken, facts, &world.shared)),
        Effect::Fetch(..)
    ));
    // Once is enough: the lead is the other's now.
    world.with(0, NOW, |facts| first.abandon(facts));
    let mut third = new();
    assert!(matches!(
        world.with(0, NOW, |facts| third.step(Input::Begin, facts, &world.shared)),
        Effect::SleepUntil(..)
    ));
}

#[test]
fn calls_whose_answers_never_come_are_forgotten() {
    let world = World::new(&document(false, json!({})));
    // Ten a second, each for something else: whoever can send a token can make up its issuer.
    for n in 0..10_000u64 {
        let fact = Fact::Introspection(Endpoint::Document, n.to_le_bytes().to_vec());
        world.with(0, NOW.plus_ms(n * 100), |facts| facts.join(&fact));
    }
    assert!(world.workers[0].worker.borrow().leading_len() <= 1_024);
}

#[test]
fn a_token_that_was_first_seen_long_ago_stays_ended_on_all_workers() {
    let mut document = document(false, json!({}));
    let issuer = document["issuers"][0].as_object_mut().unwrap();
    issuer.extend([
        ("exp".to_owned(), json!("optional")),
        ("lifetime_s_max".to_owned(), json!(60)),
        ("leeway_s".to_owned(), json!(0)),
    ]);
    let world = World::new(&document);
    let bearer = format!(
        "Bearer {}",
        signed("HS256", &json!({ "iss": "https://idp.example", "sub": "alice" }))
    );
    let status = |worker: usize, after_s: u64| {
        let mut exchange = Exchange::new(request(&[("authorization", &bearer)]), None, ENVOY);
        match world.with(worker, NOW.plus_s(after_s), |facts| {
            exchange.step(Input::Begin, facts, &world.shared)
        }) {
            Effect::Finish(Finish::Admit(_)) => 200,
            Effect::Finish(Finish::Answer(answer)) => answer.status,
            _ => panic!("not decided"),
        }
    };
    assert_eq!(status(0, 0), 200);
    for after_s in [60, 600, 29 * 86_400] {
        for worker in [1, 0] {
            assert_eq!(status(worker, after_s), 401, "worker {worker} after {after_s} s");
        }
    }
}

#[test]
fn no_credential_id_climbs_to_another_path() {
    let document = json!({
        "issuers": [{ "name": "legacy", "issuer": "*", "algorithms": ["HS256"],
            "credentials": { "lookup": { "uri": "http://127.0.0.1:8001/jwts/{key}", "allow_http": true, "cluster": "admin" } } }],
        "shared": { "secret": "a shared secret of 32 bytes or more" },
    });
    let world = World::new(&document);
    for (id, is_asked) in [(".", false), ("..", false), ("...", true), ("a/..", true), (".a", true)]
    {
        let bearer =
            format!("Bearer {}", signed("HS256", &json!({ "iss": id, "exp": NOW.s() + 600 })));
        let mut exchange = Exchange::new(request(&[("authorization", &bearer)]), None, ENVOY);
        match world.with(0, NOW, |facts| exchange.step(Input::Begin, facts, &world.shared)) {
            Effect::Fetch(fact, _) => {
                let path = fact.call(&world.workers[0].config).unwrap().headers.swap_remove(1).1;
                assert!(
                    is_asked && path.strip_prefix("/jwts/").is_some_and(|id| !id.contains('/')),
                    "{id}: {path}"
                );
            }
            Effect::Finish(Finish::Answer(answer)) => {
                assert!(!is_asked && answer.status == 401, "{id}")
            }
            _ => panic!("{id}"),
        }
    }
}

mod charged;
mod permissive;
mod shadow;
mod strangers;
