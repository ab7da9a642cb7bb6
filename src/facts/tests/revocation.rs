//! A token that was revoked on one worker, under every rule on the other.

use serde_json::json;

use crate::exchange::ServerAnswer;
use crate::exchange::{Effect, Exchange, Finish, Input};
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::world::*;

#[test]
fn a_revoked_token_is_refused_whether_it_was_known_or_not() {
    let document = document(
        with_secret(),
        json!({ "token_endpoints": [{ "path": "/token", "revocation_path": "/revoke" }] }),
    );
    let world = World::new(&document);
    let (known, fresh, other) =
        (hmac(SECRET, &claims("1")), hmac(SECRET, &claims("2")), hmac(SECRET, &claims("3")));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &known), Outcome::Admitted);
    }
    for token in [&known, &fresh] {
        assert!(world.with(0, START, |facts| facts.revoke_token(token.as_bytes())));
        for worker in [1, 0, 1] {
            assert_eq!(
                world.ask(worker, START, token),
                Outcome::Refused(Reason::Revoked),
                "worker {worker}"
            );
        }
    }
    // A forged token names no other's, and nobody else's is refused.
    assert!(world.with(0, START, |facts| facts.revoke_token(forged(&other).as_bytes())));
    for worker in [1, 0] {
        assert_eq!(world.ask(worker, START, &other), Outcome::Admitted, "worker {worker}");
    }
}

#[test]
fn an_answer_with_a_revoked_token_is_handed_out_by_no_worker() {
    let document = document(
        with_secret(),
        json!({ "token_endpoints": [{ "path": "/token", "revocation_path": "/revoke", "jitter": 0 }] }),
    );
    let world = World::new(&document);
    let json = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
    let call = |worker: usize, fresh: &str| {
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", "Basic YTpi"),
        ];
        let mut exchange = Exchange::new(request("POST", "/token", &form), None, ENVOY);
        world.with(worker, START, |facts| {
            exchange.step(Input::Begin, facts, &world.shared);
            match exchange.step(Input::Body(Some(b"grant_type=client_credentials")), facts, &world.shared) {
                Effect::Finish(Finish::Answer(answer)) => String::from_utf8(answer.body).unwrap(),
                Effect::Finish(Finish::Admit(_)) => {
                    let body = json!({ "access_token": fresh, "token_type": "Bearer", "expires_in": 3600 }).to_string();
                    exchange.answer_started(200, &json, facts);
                    exchange.answered(&ServerAnswer { status: 200, headers: &json, body: body.as_bytes(), complete: true }, facts);
                    body
                }
                _ => panic!("not decided"),
            }
        })
    };
    for (worker, fresh) in [(0, "first"), (1, "none"), (0, "none")] {
        assert!(call(worker, fresh).contains("first"), "worker {worker}");
    }
    assert!(world.with(0, START, |facts| facts.revoke_token(b"first")));
    for (worker, fresh) in [(1, "second"), (0, "none")] {
        assert!(call(worker, fresh).contains("second"), "worker {worker}");
    }
}

#[test]
fn what_a_feed_lists_is_refused_whichever_worker_read_it() {
    let feeds = json!({ "feeds": [{ "uri": "https://idp.example/revoked", "cluster": "idp", "every_s": 10 }] });
    let world = World::new(&document(with_secret(), json!({ "revocation": feeds })));
    let (listed, other) = (hmac(SECRET, &claims("1")), hmac(SECRET, &claims("2")));
    world.serve("feed", 200, json!({ "sequence": 1, "revoked": [] }));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &listed), Outcome::Admitted);
    }
    world.serve("feed", 200, json!({ "sequence": 2, "revoked": [{ "iss": ISSUER, "jti": "1" }] }));
    world.tick(1, START.plus_s(11));
    assert_eq!(world.asked("feed"), 2);
    for worker in [0, 1, 0] {
        assert_eq!(
            world.ask(worker, START.plus_s(11), &listed),
            Outcome::Refused(Reason::Revoked),
            "worker {worker}"
        );
        assert_eq!(
            world.ask(worker, START.plus_s(11), &other),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
}
