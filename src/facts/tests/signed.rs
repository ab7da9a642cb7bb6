//! Signed introspection answers (RFC 9701): nothing is believed that the issuer's keys don't vouch
//! for, at any look.

use serde_json::{Value, json};

use crate::facts::{Endpoint, Fact};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::time::Time;
use crate::world::*;

const TOKEN: &str = "at_2YotnFZFEjr1zCsicMWpAA";
const CLIENT: &str = "gateway";

fn issuer(keys: Value) -> Value {
    let mut issuer = json!({ "name": "opaque", "issuer": ISSUER, "tokens": "opaque", "token_prefix": "at_",
        "audiences": ["a"], "algorithms": ["ES256"],
        "introspection": { "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": CLIENT,
            "client_secret": "secret-of-the-gateway", "response": "jwt", "ttl_s_max": 60, "stale_s_max": 600 } });
    issuer.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    issuer
}

/// The key stands in the document.
fn inline() -> Value {
    document(issuer(json!({ "keys": [{ "jwk": Key::new(1).jwk("k1") }] })), json!({}))
}

fn fetched() -> Value {
    let at = json!({ "jwks_uri": "https://idp.example/jwks", "cluster": "idp" });
    document(issuer(at), json!({}))
}

fn said(now: Time) -> Value {
    json!({ "iss": ISSUER, "aud": CLIENT, "iat": now.s(), "token_introspection": {
        "active": true, "iss": ISSUER, "sub": "alice", "aud": "a", "exp": START.s() + 600, "iat": START.s() - 60 } })
}

fn header(kid: &str) -> Value {
    json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": kid })
}

fn signed(key: u16, header: &Value, payload: &Value) -> String {
    Key::new(key).signed(&header.to_string(), &payload.to_string())
}

/// What the issuer answers with this key at this moment.
fn good(key: u16, now: Time) -> String {
    signed(key, &header(&format!("k{key}")), &said(now))
}

#[test]
fn an_answer_that_the_issuer_has_signed_is_believed_by_all_workers() {
    for (document, asked_keys) in [(inline(), 0), (fetched(), 1)] {
        let world = World::new(&document);
        world.serve("keys", 200, jwks(&[Key::new(1).jwk("k1")]));
        world.serve("introspection", 200, good(1, START));
        for worker in [0, 1, 0, 1] {
            assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted, "worker {worker}");
        }
        assert_eq!((world.asked("introspection"), world.asked("keys")), (1, asked_keys));
        // The arithmetic is done once, by the worker that asked.
        assert_eq!((world.count(Metric::Verified), world.count(Metric::L1Hit)), (1, 3));
    }
}

#[test]
fn it_is_asked_for_such_an_answer() {
    let world = World::new(&inline());
    let fact = Fact::Introspection(Endpoint::Of(0), TOKEN.as_bytes().to_vec());
    let call = world.with(0, START, |facts| facts.call(&fact)).unwrap();
    let accepts: Vec<&str> =
        call.headers.iter().filter(|(name, _)| name == "accept").map(|(_, v)| v.as_str()).collect();
    assert_eq!(accepts, ["application/token-introspection+jwt"]);
}

#[test]
fn what_nobody_vouches_for_is_no_answer() {
    let payload = said(START);
    let members = &payload["token_introspection"];
    let with = |name: &str, value: Value| {
        let mut payload = payload.clone();
        payload[name] = value;
        payload
    };
    let inner = |name: &str, value: Value| {
        let mut members = members.clone();
        members[name] = value;
        with("token_introspection", members)
    };
    let good = good(1, START);
    let (start, _) = good.rsplit_once('.').unwrap();
    let none = json!({ "typ": "token-introspection+jwt", "alg": "none" });
    let lies = [
        ("plain JSON", members.to_string()),
        ("another's key", signed(2, &header("k1"), &payload)),
        ("a forged signature", forged(&good)),
        ("no signature", format!("{start}.")),
        ("alg none", signed(1, &none, &payload)),
        (
            "a secret",
            hmac_with(
                &json!({ "typ": "token-introspection+jwt", "alg": "HS256" }),
                SECRET,
                &payload,
            ),
        ),
        (
            "another typ",
            signed(1, &json!({ "typ": "at+jwt", "alg": "ES256", "kid": "k1" }), &payload),
        ),
        ("no typ", signed(1, &json!({ "alg": "ES256", "kid": "k1" }), &payload)),
        ("another issuer", signed(1, &header("k1"), &with("iss", json!("https://other.example")))),
        ("another client", signed(1, &header("k1"), &with("aud", json!("other")))),
        ("an old one", signed(1, &header("k1"), &with("iat", json!(START.s() - 100)))),
        (
            "another issuer within",
            signed(1, &header("k1"), &inner("iss", json!("https://other.example"))),
        ),
        ("active as text", signed(1, &header("k1"), &inner("active", json!("true")))),
        ("an end that is text", signed(1, &header("k1"), &inner("exp", json!("9999999999")))),
    ];
    for (what, body) in &lies {
        let world = World::new(&inline());
        world.serve("introspection", 200, body);
        for worker in [0, 1, 0, 1] {
            let outcome = world.ask(worker, START, TOKEN);
            let unavailable = Outcome::Refused(Reason::IntrospectionUnavailable);
            assert_eq!(outcome, unavailable, "{what} on worker {worker}");
        }
        assert_eq!(world.asked("introspection"), 1, "{what}");
    }
    // Nor does anything but 200 make one of it.
    for status in [201, 400, 401, 403, 500] {
        let world = World::new(&inline());
        world.serve("introspection", status, &good);
        let outcome = world.ask(0, START, TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable), "{status}");
    }
    let world = World::new(&inline());
    world.serve("introspection", 200, &good);
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted, "the control");
}

#[test]
fn nor_is_inactive_believed_without_a_signature() {
    let no = json!({ "iss": ISSUER, "aud": CLIENT, "iat": START.s(), "token_introspection": { "active": false } });
    for (key, reason) in [(1, Reason::Inactive), (2, Reason::IntrospectionUnavailable)] {
        let world = World::new(&inline());
        world.serve("introspection", 200, signed(key, &header("k1"), &no));
        for worker in [0, 1, 0] {
            assert_eq!(world.ask(worker, START, TOKEN), Outcome::Refused(reason), "key {key}");
        }
    }
}

#[test]
fn its_claims_are_held_against_the_issuer_as_ever() {
    for (name, value, reason) in [
        ("aud", json!("b"), Reason::WrongAudience),
        ("aud", Value::Null, Reason::IntrospectionUnavailable),
        ("token_use", json!("refresh_token"), Reason::WrongType),
        ("cnf", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" }), Reason::Bound),
        ("exp", json!(START.s()), Reason::Inactive),
    ] {
        let mut payload = said(START);
        payload["token_introspection"][name] = value;
        let world = World::new(&inline());
        world.serve("introspection", 200, signed(1, &header("k1"), &payload));
        for worker in [0, 1, 0] {
            assert_eq!(world.ask(worker, START, TOKEN), Outcome::Refused(reason), "{name}");
        }
    }
}

#[test]
fn a_key_that_is_gone_takes_what_it_has_said_along() {
    let world = World::new(&fetched());
    world.serve("keys", 200, jwks(&[Key::new(1).jwk("k1")]));
    world.serve("introspection", 200, good(1, START));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
    }
    // The next set is there before the answer has ended.
    let later = START.plus_s(59);
    world.serve("keys", 200, jwks(&[Key::new(2).jwk("k2")]));
    world.serve("introspection", 500, "");
    for worker in [0, 1] {
        world.with(worker, later, |facts| facts.end_set(0));
    }
    for worker in [0, 1, 0, 1] {
        let outcome = world.ask(worker, later, TOKEN);
        let unavailable = Outcome::Refused(Reason::IntrospectionUnavailable);
        assert_eq!(outcome, unavailable, "not even as an old answer, worker {worker}");
    }
    world.serve("introspection", 200, good(2, later.plus_s(1)));
    for worker in [1, 0] {
        assert_eq!(world.ask(worker, later.plus_s(1), TOKEN), Outcome::Admitted);
    }
}

#[test]
fn a_new_key_is_looked_for_once_and_no_first_use_fails_for_it() {
    let world = World::new(&fetched());
    world.serve("keys", 200, jwks(&[Key::new(1).jwk("k1")]));
    world.serve("introspection", 200, good(1, START));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
    }
    world.serve("keys", 200, jwks(&[Key::new(2).jwk("k2")]));
    world.serve("introspection", 200, good(2, START));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, "at_another"), Outcome::Admitted, "worker {worker}");
    }
    assert_eq!((world.asked("keys"), world.asked("introspection")), (2, 3));
    // Who signs with a key that is nowhere makes nobody fetch keys for each of its answers.
    world.serve("introspection", 200, good(3, START));
    for n in 0..20 {
        let outcome = world.ask(n % 2, START, &format!("at_{n}"));
        assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable));
    }
    assert_eq!(world.asked("keys"), 2);
}

#[test]
fn without_keys_nobody_is_asked() {
    let world = World::new(&fetched());
    world.serve("introspection", 200, good(1, START));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Refused(Reason::KeysUnavailable));
    }
    assert_eq!(world.asked("introspection"), 0);
}

#[test]
fn what_was_kept_as_json_is_none_of_it() {
    // The same entry, but for the form of the answer.
    let mut plain = inline();
    let issuer = plain["issuers"][0].as_object_mut().unwrap();
    issuer.remove("algorithms");
    issuer.remove("keys");
    issuer["introspection"].as_object_mut().unwrap().remove("response");
    let world = World::of(&[&plain, &inline()]);
    world.serve("introspection", 200, said(START)["token_introspection"].clone());
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted);
    let outcome = world.ask(1, START, TOKEN);
    assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable));
}
