//! A token that one worker has verified, and what resembles it, on the other worker and on the same
//! one.

use serde_json::{Value, json};

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::shared::Store as _;
use crate::world::*;

/// Two workers, one of which has just accepted the token of `key`; both have fetched the keys.
fn accepted() -> (World, Key, String) {
    let (world, key) = (World::new(&document(fetched(), json!({}))), Key::new(1));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    let token = key.token("k", &claims("1"));
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    (world, key, token)
}

/// An issuer with one key in the document.
fn with_key() -> Value {
    json!({ "name": "idp", "issuer": ISSUER, "algorithms": ["ES256"], "keys": [{ "jwk": Key::new(1).jwk("k") }], "leeway_s": 0 })
}

#[test]
fn what_one_worker_verified_spares_the_other_the_arithmetic_alone() {
    let (world, key, token) = accepted();
    assert_eq!(world.count(Metric::Verified), 1);
    assert_eq!(world.ask(1, START, &token), Outcome::Admitted);
    assert_eq!(world.ask(1, START, &token), Outcome::Admitted);
    assert_eq!(
        (world.count(Metric::Verified), world.count(Metric::L2Hit), world.count(Metric::L1Hit)),
        (1, 1, 1)
    );
    assert_eq!(world.asked("keys"), 1);
    // Its claims are read and checked here, whatever the record says.
    for (claim, value, reason) in [
        ("aud", json!("b"), Reason::WrongAudience),
        ("nbf", json!(START.s() + 60), Reason::NotYetValid),
    ] {
        let mut other = claims("1");
        other[claim] = value;
        assert_eq!(world.ask(1, START, &key.token("k", &other)), Outcome::Refused(reason));
    }
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(599), &token), Outcome::Admitted);
        assert_eq!(world.ask(worker, START.plus_s(600), &token), Outcome::Refused(Reason::Expired));
    }
}

#[test]
fn no_twin_of_an_accepted_token_is_accepted_on_any_worker() {
    let (world, _, token) = accepted();
    let mut of_admin = claims("1");
    of_admin["sub"] = json!("admin");
    let other_key = Key::new(2).token("k", &claims("1"));
    // A stranger's signature of the very same bytes, one bit, other claims, no signature that is
    // one.
    let short = format!("{}.{}", token.rsplit_once('.').unwrap().0, "AAAA");
    for twin in [forged(&token), with_claims(&token, &of_admin), other_key, short] {
        for worker in [1, 0, 1] {
            let outcome = world.ask(worker, START, &twin);
            assert!(
                matches!(outcome, Outcome::Refused(Reason::BadSignature)),
                "worker {worker}: {outcome:?}"
            );
        }
        // And the twin has left nothing behind.
        assert_eq!(world.ask(1, START, &token), Outcome::Admitted);
    }
}

#[test]
fn a_key_that_changed_under_its_name_opens_for_no_token_of_the_old_one() {
    let (world, _, token) = accepted();
    let new = Key::new(2);
    world.serve("keys", 200, jwks(&[new.jwk("k")]));
    // The other worker fetches what is due, long before the token's end.
    let later = START.plus_s(500);
    world.tick(1, later);
    assert_eq!(world.asked("keys"), 2);
    for worker in [1, 0] {
        world.tick(worker, later);
        for _ in 0..2 {
            let outcome = world.ask(worker, later, &token);
            assert!(
                matches!(outcome, Outcome::Refused(Reason::BadSignature | Reason::UnknownKey)),
                "worker {worker}: {outcome:?}"
            );
        }
        assert_eq!(
            world.ask(worker, later, &new.token("k", &claims("2"))),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
}

#[test]
fn a_key_that_was_removed_opens_for_none_of_its_tokens() {
    let (world, _, token) = accepted();
    assert_eq!(world.ask(1, START, &token), Outcome::Admitted);
    let other = Key::new(2);
    world.serve("keys", 200, jwks(&[other.jwk("other")]));
    let later = START.plus_s(500);
    world.tick(1, later);
    for worker in [1, 0] {
        world.tick(worker, later);
        let outcome = world.ask(worker, later, &token);
        assert!(
            matches!(outcome, Outcome::Refused(Reason::UnknownKey)),
            "worker {worker}: {outcome:?}"
        );
    }
    // A new key beside the old one takes nothing away.
    let (world, key, token) = accepted();
    world.serve("keys", 200, jwks(&[other.jwk("other"), key.jwk("k")]));
    for worker in [1, 0] {
        world.tick(worker, later);
        assert_eq!(world.ask(worker, later, &token), Outcome::Admitted, "worker {worker}");
    }
    assert_eq!(world.count(Metric::Verified), 1);
}

#[test]
fn what_one_configuration_verified_is_verified_again_under_another() {
    let other = |change: fn(&mut Value)| {
        let mut issuer = with_key();
        change(&mut issuer);
        document(issuer, json!({}))
    };
    let token = Key::new(1).token("k", &claims("1"));
    let base = document(with_key(), json!({}));
    for (changed, outcome) in [
        (
            other(|issuer| issuer["keys"] = json!([{ "jwk": Key::new(2).jwk("k") }])),
            Outcome::Refused(Reason::BadSignature),
        ),
        (
            other(|issuer| issuer["audiences"] = json!(["b"])),
            Outcome::Refused(Reason::WrongAudience),
        ),
        (
            other(|issuer| issuer["issuer"] = json!("https://other.example")),
            Outcome::Refused(Reason::UnknownIssuer),
        ),
        (
            other(|issuer| issuer["claims_required"] = json!(["acr"])),
            Outcome::Refused(Reason::ClaimMissing),
        ),
    ] {
        let world = World::of(&[&base, &changed]);
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
        for _ in 0..2 {
            assert_eq!(world.ask(1, START, &token), outcome);
        }
    }
}

#[test]
fn a_rule_is_asked_again_on_every_hit() {
    let rules = json!([
        { "match": { "path_prefix": "/orders" } },
        { "match": { "path_prefix": "/admin" }, "scopes_all": ["admin"] },
        { "match": { "path_prefix": "/other" }, "issuers": ["other"] },
        { "match": { "path_prefix": "/claims" }, "claims": { "acr": ["gold"] } },
        { "match": { "path_prefix": "/aud" }, "audiences": ["b"] },
    ]);
    let mut document = document(with_key(), json!({ "rules": rules }));
    let mut other = with_key();
    (other["name"], other["issuer"]) = (json!("other"), json!("https://other.example"));
    document["issuers"].as_array_mut().unwrap().push(other);
    let world = World::new(&document);
    let token = Key::new(1).token("k", &claims("1"));
    for worker in [0, 1, 0, 1] {
        for (path, outcome) in [
            ("/orders", Outcome::Admitted),
            ("/admin", Outcome::Refused(Reason::Scope)),
            ("/other", Outcome::Refused(Reason::IssuerNotAllowed)),
            ("/claims", Outcome::Refused(Reason::Claim)),
            ("/aud", Outcome::Refused(Reason::WrongAudience)),
            ("/none", Outcome::Refused(Reason::NoRule)),
        ] {
            assert_eq!(
                world.ask_at(worker, START, path, &token),
                outcome,
                "{path} on worker {worker}"
            );
        }
    }
}

/// What takes less than a record of it leaves none, and asks for none.
#[test]
fn a_signature_that_is_verified_fast_leaves_nothing_in_shared_memory() {
    let world = World::new(&document(with_secret(), json!({})));
    let token = hmac(SECRET, &claims("1"));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
        assert_eq!(
            world.ask(worker, START, &forged(&token)),
            Outcome::Refused(Reason::BadSignature)
        );
    }
    assert_eq!((world.count(Metric::Verified), world.count(Metric::L2Hit)), (2, 0));
    assert!(world.shared.trace.borrow().iter().all(|call| !call.contains(" t")), "no record");
}

/// Once something was revoked on the host, every worker asks by what names each token may be.
#[test]
fn a_token_is_named_once_anything_was_revoked() {
    for world in World::both(&document(with_key(), json!({}))) {
        let key = Key::new(1);
        let (one, other) = (key.token("k", &claims("1")), key.token("k", &claims("2")));
        let looks = || world.shared.trace.borrow().iter().filter(|call| *call == "get v").count();
        assert_eq!(world.ask(0, START, &one), Outcome::Admitted);
        // A host that may have forgotten is asked all the same.
        assert_eq!(looks() == 0, world.shared.never_forgets());
        world.with(1, START, |facts| assert!(facts.revoke_token(other.as_bytes())));
        let later = START.plus_s(1);
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, later, &other), Outcome::Refused(Reason::Revoked));
            assert_eq!(world.ask(worker, later, &one), Outcome::Admitted);
        }
        // One that was named late is revoked by its bytes and by its id.
        world.with(1, later, |facts| assert!(facts.revoke_token(one.as_bytes())));
        for worker in [0, 1] {
            let outcome = world.ask(worker, later.plus_s(1), &one);
            assert_eq!(outcome, Outcome::Refused(Reason::Revoked), "worker {worker}");
            let twin = world.ask(worker, later.plus_s(1), &twin(&one));
            assert_eq!(twin, Outcome::Refused(Reason::Revoked), "worker {worker}");
        }
    }
}
