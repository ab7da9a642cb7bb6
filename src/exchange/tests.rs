//! Exchanges as the shell runs them, over shared memory that two of them see.

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::facts::{Host, Runtime};
use crate::metrics::Meter;
use crate::shared::{Expect, Refused, Slot, Store, Version};
use crate::signature::NoHost;
use crate::simulation::host::{Dialect, Memory};
use crate::simulation::schedule::Rng;

const SECRET: &str = "a secret of thirty-two bytes or more";
const NOW: Time = Time::from_s(1_800_000_000);
const ENVOY: Abilities = Abilities { removes_headers: true, waits: true };
const KONG: Abilities = Abilities { removes_headers: false, waits: true };

struct World {
    shared: RefCell<Memory>,
    rng: RefCell<Rng>,
    counted: RefCell<Vec<Metric>>,
}

impl Default for World {
    fn default() -> Self {
        World {
            shared: RefCell::new(Memory::new(Dialect::Envoy)),
            rng: RefCell::new(Rng::new(1)),
            counted: RefCell::default(),
        }
    }
}

impl Store for World {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        self.shared.borrow_mut().get(slot, &mut self.rng.borrow_mut())
    }
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        self.shared.borrow_mut().set(slot, value, expect, &mut self.rng.borrow_mut())
    }
    fn random(&self) -> u64 {
        self.rng.borrow_mut().next()
    }
}

impl Meter for World {
    fn count(&self, metric: Metric) {
        self.counted.borrow_mut().push(metric);
    }
}

impl Surroundings for World {
    fn address(&self) -> Option<String> {
        Some("192.0.2.1".to_owned())
    }
    fn route(&self) -> Option<String> {
        None
    }
    fn client_certificate(&self) -> bool {
        false
    }
}

impl World {
    fn with<T>(&self, runtime: &Runtime, now: Time, work: impl FnOnce(&Facts<'_>) -> T) -> T {
        let host = Host { store: self, verify: &NoHost, meter: self };
        work(&Facts { runtime, host: &host, now })
    }
}

/// A preflight of a call to a token endpoint goes on as the call does, in either place; other
/// OPTIONS don't.
#[test]
fn preflights_of_token_calls_go_on() {
    let endpoints = json!({ "token_endpoints": [
        { "path": "/t", "revocation_path": "/r", "host": "idp.example" }, { "path_template": "/{realm}/t" } ],
        "rules": [{ "match": { "path": "/none" } }] });
    let origin = ("origin", "https://spa.example");
    let status = |document: &Value, path: &str, headers: &[(&str, &str)]| {
        let runtime = runtime(document);
        let fixed = [(":method", "OPTIONS"), (":path", path), (":authority", "idp.example")];
        let headers = HeaderBlock::from_pairs(
            fixed.iter().chain(headers).map(|(name, value)| (*name, value.as_bytes())),
        );
        let world = World::default();
        world.with(&runtime, NOW, |facts| {
            match Exchange::new(headers, None, ENVOY).step(Input::Begin, facts, &world) {
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

fn runtime(document: &Value) -> Runtime {
    let config = Config::load(document.to_string().as_bytes(), &|_| None, HostKind::Envoy)
        .unwrap_or_else(|errors| panic!("{errors}"));
    Runtime::new(Rc::new(config), HostKey::new(&[7; 32], b"test"))
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
    let segment = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        segment(json!({ "alg": algorithm, "kid": "k" }).to_string().as_bytes()),
        segment(claims.to_string().as_bytes())
    );
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", segment(&mac.finalize().into_bytes()))
}

fn request(more: &[(&str, &str)]) -> HeaderBlock {
    let line = [(":method", "GET"), (":path", "/orders"), (":authority", "api.example")];
    HeaderBlock::from_pairs(line.iter().chain(more).map(|(name, value)| (*name, value.as_bytes())))
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
    let (world, runtime) = (World::default(), runtime(&document(false, more)));
    let with_token = format!("b=2; at={}; c=3", token("HS256"));
    for (fields, left) in
        [(vec!["a=1", &with_token], "a=1; b=2; c=3"), (vec![&with_token, "a=1"], "b=2; c=3; a=1")]
    {
        let cookies: Vec<_> = fields.into_iter().map(|value| ("cookie", value)).collect();
        let mut exchange = Exchange::new(request(&cookies), None, ENVOY);
        let changes =
            admitted(world.with(&runtime, NOW, |facts| exchange.step(Input::Begin, facts, &world)));
        assert_eq!(changes.edits().set, [("cookie".to_owned(), left.to_owned())]);
    }
}

#[test]
fn who_leaves_while_it_fetches_lets_another_fetch() {
    let (world, runtime) = (World::default(), runtime(&document(true, json!({}))));
    let bearer = format!("Bearer {}", token("RS256"));
    let new = || Exchange::new(request(&[("authorization", &bearer)]), None, KONG);
    let (mut first, mut second) = (new(), new());
    assert!(matches!(
        world.with(&runtime, NOW, |facts| first.step(Input::Begin, facts, &world)),
        Effect::Fetch(..)
    ));
    assert!(matches!(
        world.with(&runtime, NOW, |facts| second.step(Input::Begin, facts, &world)),
        Effect::SleepUntil(..)
    ));
    world.with(&runtime, NOW, |facts| first.abandon(facts));
    assert!(matches!(
        world.with(&runtime, NOW, |facts| second.step(Input::Woken, facts, &world)),
        Effect::Fetch(..)
    ));
    // Once is enough: the lead is the other's now.
    world.with(&runtime, NOW, |facts| first.abandon(facts));
    let mut third = new();
    assert!(matches!(
        world.with(&runtime, NOW, |facts| third.step(Input::Begin, facts, &world)),
        Effect::SleepUntil(..)
    ));
}

#[test]
fn calls_whose_answers_never_come_are_forgotten() {
    let (world, runtime) = (World::default(), runtime(&document(false, json!({}))));
    // Ten a second, each for something else: whoever can send a token can make up its issuer.
    for n in 0..10_000u64 {
        let fact = Fact::Introspection(n.to_le_bytes().to_vec());
        world.with(&runtime, NOW.plus_ms(n * 100), |facts| facts.join(&fact));
    }
    assert!(runtime.worker.borrow().leading_len() <= 1_024);
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
    let (world, workers) = (World::default(), [runtime(&document), runtime(&document)]);
    let bearer = format!(
        "Bearer {}",
        signed("HS256", &json!({ "iss": "https://idp.example", "sub": "alice" }))
    );
    let status = |worker: usize, after_s: u64| {
        let mut exchange = Exchange::new(request(&[("authorization", &bearer)]), None, ENVOY);
        match world.with(&workers[worker], NOW.plus_s(after_s), |facts| {
            exchange.step(Input::Begin, facts, &world)
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
    let (world, runtime) = (World::default(), runtime(&document));
    for (id, is_asked) in [(".", false), ("..", false), ("...", true), ("a/..", true), (".a", true)]
    {
        let bearer =
            format!("Bearer {}", signed("HS256", &json!({ "iss": id, "exp": NOW.s() + 600 })));
        let mut exchange = Exchange::new(request(&[("authorization", &bearer)]), None, ENVOY);
        match world.with(&runtime, NOW, |facts| exchange.step(Input::Begin, facts, &world)) {
            Effect::Fetch(fact, _) => {
                let path = fact.call(&runtime.config).unwrap().headers.swap_remove(1).1;
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

mod permissive;
mod shadow;
mod strangers;
