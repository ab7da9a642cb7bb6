//! A token that was revoked on one worker, under every rule on the other.

use serde_json::json;

use super::fixture::*;
use crate::reply::Reason;

#[test]
fn a_revoked_token_is_refused_whether_it_was_known_or_not() {
    let document = document(with_secret(), json!({ "token_endpoints": [{ "path": "/token", "revocation_path": "/revoke" }] }));
    let world = World::new(&document);
    let (known, fresh, other) = (hmac(SECRET, &claims("1")), hmac(SECRET, &claims("2")), hmac(SECRET, &claims("3")));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &known), Outcome::Admitted);
    }
    for token in [&known, &fresh] {
        assert!(world.with(0, START, |facts| facts.revoke_token(token.as_bytes())));
        for worker in [1, 0, 1] {
            assert_eq!(world.ask(worker, START, token), Outcome::Refused(Reason::Revoked), "worker {worker}");
        }
    }
    // A forged token names no other's, and nobody else's is refused.
    assert!(world.with(0, START, |facts| facts.revoke_token(forged(&other).as_bytes())));
    for worker in [1, 0] {
        assert_eq!(world.ask(worker, START, &other), Outcome::Admitted, "worker {worker}");
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
        assert_eq!(world.ask(worker, START.plus_s(11), &listed), Outcome::Refused(Reason::Revoked), "worker {worker}");
        assert_eq!(world.ask(worker, START.plus_s(11), &other), Outcome::Admitted, "worker {worker}");
    }
}
