//! What an introspection endpoint says: for how long it is believed, and of which token under which
//! configuration.

use serde_json::{Value, json};

use crate::reply::Reason;
use crate::world::*;

fn asking(more: Value) -> Value {
    let mut introspection = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway",
        "client_secret": "secret-of-the-gateway", "ttl_s_max": 60, "negative_ttl_s": 5 });
    introspection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let rules = json!([{ "match": { "path_prefix": "/orders" }, "introspect": true }]);
    document(with_secret(), json!({ "introspection": introspection, "rules": rules }))
}

#[test]
fn active_is_active_until_the_answers_own_end_and_no_longer() {
    let world = World::new(&asking(json!({})));
    let token = hmac(SECRET, &claims("1"));
    world.serve("introspection", 200, json!({ "active": true, "exp": START.s() + 20 }));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
        assert_eq!(world.ask(worker, START.plus_s(19), &token), Outcome::Admitted);
    }
    assert_eq!(world.asked("introspection"), 1);
    // The endpoint says the same of it for ever.
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START.plus_s(20), &token),
            Outcome::Refused(Reason::Inactive),
            "worker {worker}"
        );
    }
    assert_eq!(world.asked("introspection"), 2);
}

#[test]
fn an_answer_whose_end_has_passed_is_none_of_an_active_token() {
    for exp in [START.s(), START.s() - 1, 1] {
        let world = World::new(&asking(json!({})));
        world.serve("introspection", 200, json!({ "active": true, "exp": exp }));
        for worker in [0, 1, 0] {
            assert_eq!(
                world.ask(worker, START, &hmac(SECRET, &claims("1"))),
                Outcome::Refused(Reason::Inactive),
                "{exp}"
            );
        }
    }
}

#[test]
fn both_answers_are_asked_for_again_in_their_time() {
    let world = World::new(&asking(json!({})));
    let token = hmac(SECRET, &claims("1"));
    world.serve("introspection", 200, json!({ "active": true }));
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    world.serve("introspection", 200, json!({ "active": false }));
    assert_eq!(world.ask(1, START.plus_s(59), &token), Outcome::Admitted);
    for worker in [1, 0] {
        assert_eq!(
            world.ask(worker, START.plus_s(60), &token),
            Outcome::Refused(Reason::Inactive),
            "worker {worker}"
        );
    }
    world.serve("introspection", 200, json!({ "active": true }));
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START.plus_s(64), &token),
            Outcome::Refused(Reason::Inactive),
            "worker {worker}"
        );
        assert_eq!(
            world.ask(worker, START.plus_s(65), &token),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
}

#[test]
fn one_tokens_answer_is_no_others() {
    let world = World::new(&asking(json!({})));
    world.serve("introspection", 200, json!({ "active": true }));
    assert_eq!(world.ask(0, START, &hmac(SECRET, &claims("1"))), Outcome::Admitted);
    world.serve("introspection", 200, json!({ "active": false }));
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START, &hmac(SECRET, &claims("2"))),
            Outcome::Refused(Reason::Inactive),
            "worker {worker}"
        );
    }
}

#[test]
fn what_one_endpoint_said_another_is_asked_again() {
    let base = asking(json!({}));
    for more in [
        json!({ "uri": "https://idp.example/other" }),
        json!({ "cluster": "other" }),
        json!({ "client_id": "other" }),
    ] {
        let other = asking(more.clone());
        let world = World::of(&[&base, &other]);
        let token = hmac(SECRET, &claims("1"));
        world.serve("introspection", 200, json!({ "active": true }));
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
        world.serve("introspection", 200, json!({ "active": false }));
        assert_eq!(world.ask(1, START, &token), Outcome::Refused(Reason::Inactive), "{more}");
    }
}

#[test]
fn an_endpoint_that_fails_says_nothing_of_a_token() {
    for (status, body) in [
        (500, "{}"),
        (200, "{}"),
        (200, "[]"),
        (200, r#"{"active":"true"}"#),
        (200, r#"{"active":1}"#),
        (401, r#"{"active":true}"#),
    ] {
        let world = World::new(&asking(json!({})));
        world.serve("introspection", status, body);
        for worker in [0, 1] {
            let outcome = world.ask(worker, START, &hmac(SECRET, &claims("1")));
            assert_eq!(
                outcome,
                Outcome::Refused(Reason::IntrospectionUnavailable),
                "{status} {body} on worker {worker}"
            );
        }
        assert_eq!(world.asked("introspection"), 1, "{status} {body}");
    }
}
