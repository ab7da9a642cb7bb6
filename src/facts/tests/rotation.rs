//! `shared.secret` is replaced: what protects is read under both secrets, and nothing is written
//! with the previous one.

use serde_json::{Value, json};

use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::exchange::{Effect, Finish};
use crate::facts::Runtime;
use crate::reply::Reason;
use crate::simulation::host::Dialect;
use crate::world::*;

const OLD: &str = "the secret that was in use until today";
const NEW: &str = "the secret that is in use from today on";

/// A worker as the shell makes one: its key is of the host's random bytes and these secrets.
fn worker(document: &Value, secret: &str, previous: Option<&str>) -> Runtime {
    let mut document = document.clone();
    document["shared"] = json!({ "secret": secret });
    if let Some(previous) = previous {
        document["shared"]["secret_previous"] = json!(previous);
    }
    let config = Config::load(document.to_string().as_bytes(), &|_| None, HostKind::Envoy)
        .unwrap_or_else(|errors| panic!("{errors}"));
    let key = |secret: &str| HostKey::new(&[7; 32], secret.as_bytes());
    let key = key(secret).after(previous.map(key));
    Runtime::new(config.into(), key)
}

/// Workers over one memory: before, on both sides of the change, and after.
const BEFORE: usize = 0;
const STILL_OLD: usize = 1;
const NOW_NEW: usize = 2;
const AFTER: usize = 3;

fn hosts(document: &Value) -> impl Iterator<Item = World> {
    Dialect::ALL.into_iter().map(|dialect| {
        let workers = vec![
            worker(document, OLD, None),
            worker(document, OLD, Some(NEW)),
            worker(document, NEW, Some(OLD)),
            worker(document, NEW, None),
        ];
        World::of_workers(dialect, workers)
    })
}

fn revoking() -> Value {
    let endpoint = json!([{ "path": "/token", "revocation_path": "/revoke" }]);
    document(with_secret(), json!({ "token_endpoints": endpoint }))
}

fn revoke(world: &World, worker: usize, token: &str) {
    assert!(world.with(worker, START, |facts| facts.revoke_token(token.as_bytes())));
}

const REVOKED: Outcome = Outcome::Refused(Reason::Revoked);

#[test]
fn what_was_revoked_under_either_secret_is_refused_under_both() {
    for world in hosts(&revoking()) {
        let tokens: Vec<String> = (0..40).map(|n| hmac(SECRET, &claims(&n.to_string()))).collect();
        let other = hmac(SECRET, &claims("another"));
        for (n, token) in tokens.iter().enumerate() {
            for worker in [STILL_OLD, NOW_NEW] {
                assert_eq!(world.ask(worker, START, token), Outcome::Admitted);
            }
            // First under the old one alone, then into the same slots by turns.
            revoke(&world, if n < 10 { BEFORE } else { [STILL_OLD, NOW_NEW][n % 2] }, token);
            for worker in [STILL_OLD, NOW_NEW] {
                for token in &tokens[..=n] {
                    assert_eq!(world.ask(worker, START, token), REVOKED, "worker {worker}");
                }
                assert_eq!(world.ask(worker, START, &other), Outcome::Admitted);
            }
        }
    }
}

#[test]
fn nothing_is_written_with_the_previous_secret() {
    for world in hosts(&revoking()) {
        let (old, new) = (hmac(SECRET, &claims("1")), hmac(SECRET, &claims("2")));
        revoke(&world, BEFORE, &old);
        revoke(&world, NOW_NEW, &new);
        assert_eq!(world.ask(NOW_NEW, START, &old), REVOKED);
        // Who knows the new one alone has what was written with that.
        assert_eq!(world.ask(AFTER, START, &new), REVOKED);
        assert_eq!(world.ask(AFTER, START, &old), Outcome::Admitted);
    }
}

#[test]
fn an_answer_that_was_kept_under_the_other_secret_is_withdrawn_too() {
    for world in hosts(&revoking()) {
        for (keeper, revoker) in [(STILL_OLD, NOW_NEW), (NOW_NEW, STILL_OLD)] {
            let opaque = format!("an-opaque-token-of-{keeper}");
            let get = || call_for_token(&world, keeper, &opaque);
            assert!(!get() && get(), "kept");
            revoke(&world, revoker, &opaque);
            assert!(!get(), "withdrawn");
            // One that was under way comes too late.
            assert!(!get(), "not kept");
        }
    }
}

/// Whether a token call is answered from what is kept; if not, the server answers with this token.
fn call_for_token(world: &World, worker: usize, token: &str) -> bool {
    use crate::exchange::{Exchange, Input, ServerAnswer};
    use crate::request::HeaderBlock;
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic YTpi")];
    let mut exchange = Exchange::new(request("POST", "/token", &form), None, ENVOY);
    world.with(worker, START, |facts| {
        exchange.step(Input::Begin, facts, &world.shared);
        let body = b"grant_type=client_credentials";
        match exchange.step(Input::Body(Some(body)), facts, &world.shared) {
            Effect::Finish(Finish::Answer(_)) => true,
            Effect::Finish(Finish::Admit(_)) => {
                let headers = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
                let body =
                    json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 })
                        .to_string();
                exchange.answer_started(200, &headers, facts);
                let answer = ServerAnswer {
                    status: 200,
                    headers: &headers,
                    body: body.as_bytes(),
                    complete: true,
                };
                exchange.answered(&answer, facts);
                exchange.close(facts);
                false
            }
            _ => panic!("not decided"),
        }
    })
}

#[test]
fn what_was_used_once_under_either_secret_is_not_used_again() {
    let document = document(with_secret(), json!({ "replay": { "issuers": ["idp"] } }));
    for world in hosts(&document) {
        assert_eq!(world.ask(BEFORE, START, &hmac(SECRET, &claims("first"))), Outcome::Admitted);
        for n in 0..20 {
            let token = hmac(SECRET, &claims(&n.to_string()));
            let first = if n == 0 { BEFORE } else { [STILL_OLD, NOW_NEW][n % 2] };
            // Ten seconds after the token was made: the memory goes on, it doesn't begin.
            let now = START.plus_s(10);
            assert_eq!(world.ask(first, now, &token), Outcome::Admitted);
            for worker in [STILL_OLD, NOW_NEW] {
                let outcome = world.ask(worker, now, &token);
                assert_eq!(outcome, Outcome::Refused(Reason::Replayed), "worker {worker}");
            }
        }
    }
}

#[test]
fn what_was_charged_under_either_secret_counts_under_both() {
    for amount in [json!({ "limit": 12, "per_s": 3600 }), json!({ "quota": 12, "window": "month" })]
    {
        let mut limit = json!({ "name": "all", "key": ["subject"] });
        limit.as_object_mut().unwrap().extend(amount.as_object().unwrap().clone());
        let rules = json!([{ "match": { "path_prefix": "/" }, "limits": ["all"] }]);
        let document = document(with_secret(), json!({ "rate_limits": [limit], "rules": rules }));
        for world in hosts(&document) {
            let token = hmac(SECRET, &claims("1"));
            let asked = [BEFORE, BEFORE, BEFORE, STILL_OLD, STILL_OLD, NOW_NEW, NOW_NEW];
            let asked = asked.into_iter().chain([STILL_OLD, NOW_NEW, STILL_OLD, NOW_NEW, NOW_NEW]);
            for worker in asked {
                assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
            }
            for worker in [STILL_OLD, NOW_NEW] {
                let outcome = world.ask(worker, START, &token);
                assert_eq!(outcome, Outcome::Refused(Reason::Limited), "worker {worker}");
            }
        }
    }
}

#[test]
fn a_lifetime_that_counts_from_first_sight_does_not_begin_anew() {
    let mut document = document(with_secret(), json!({}));
    document["issuers"][0]["exp"] = json!("optional");
    document["issuers"][0]["lifetime_s_max"] = json!(100);
    let token = hmac(SECRET, &json!({ "iss": ISSUER, "sub": "alice", "jti": "1" }));
    for world in hosts(&document) {
        assert_eq!(world.ask(BEFORE, START, &token), Outcome::Admitted);
        assert_eq!(world.ask(NOW_NEW, START.plus_s(90), &token), Outcome::Admitted);
        // What was read under the old one is written under the new one.
        for worker in [NOW_NEW, STILL_OLD, AFTER] {
            let outcome = world.ask(worker, START.plus_s(101), &token);
            assert_eq!(outcome, Outcome::Refused(Reason::Expired), "worker {worker}");
        }
    }
}

#[test]
fn a_feed_lists_what_it_listed_until_it_is_read_again() {
    let feeds = json!({ "feeds": [{ "uri": "https://idp.example/revoked", "cluster": "idp", "every_s": 10 }] });
    let document = document(with_secret(), json!({ "revocation": feeds }));
    for world in hosts(&document) {
        let (bad, good) = (hmac(SECRET, &claims("1")), hmac(SECRET, &claims("2")));
        let listed =
            json!({ "sequence": 5, "revoked": [{ "iss": ISSUER, "jti": "1" }] }).to_string();
        world.serve("feed", 200, listed);
        world.tick(BEFORE, START);
        // The server fails from now on.
        world.serve("feed", 500, "");
        assert_eq!(world.ask(NOW_NEW, START, &bad), REVOKED);
        assert_eq!(world.ask(NOW_NEW, START, &good), Outcome::Admitted);
        // An older document is none.
        world.serve("feed", 200, json!({ "sequence": 4, "revoked": [] }).to_string());
        world.tick(NOW_NEW, START.plus_s(100));
        assert_eq!(world.ask(NOW_NEW, START.plus_s(100), &bad), REVOKED);
        world.serve("feed", 200, json!({ "sequence": 6, "revoked": [] }).to_string());
        world.tick(NOW_NEW, START.plus_s(300));
        assert_eq!(world.ask(NOW_NEW, START.plus_s(300), &bad), Outcome::Admitted);
    }
}
