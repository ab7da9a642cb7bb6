//! Opaque tokens: what their issuer says of them, for how long, and to whom it is asked about.

use serde_json::{Value, json};

use crate::exchange::{Effect, Finish};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::world::*;

const TOKEN: &str = "at_2YotnFZFEjr1zCsicMWpAA";
const OTHER: &str = "at_tGzv3JOkF0XG5Qx2TlKWIA";

fn issuer(more: Value, endpoint: Value) -> Value {
    let mut introspection = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway",
        "client_secret": "secret-of-the-gateway", "ttl_s_max": 60, "negative_ttl_s": 5 });
    introspection.as_object_mut().unwrap().extend(endpoint.as_object().unwrap().clone());
    let mut issuer = json!({ "name": "opaque", "issuer": ISSUER, "tokens": "opaque", "token_prefix": "at_", "audiences": ["a"],
        "introspection": introspection, "forward": { "claims": { "sub": "x-user" }, "token": false } });
    issuer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    issuer
}

fn with(more: Value, endpoint: Value) -> Value {
    document(issuer(more, endpoint), json!({}))
}

fn plain() -> Value {
    with(json!({}), json!({}))
}

/// An answer with these members beside the usual ones; `null` takes one out.
fn answer(more: Value) -> Value {
    let mut answer = json!({ "active": true, "iss": ISSUER, "sub": "alice", "client_id": "app", "aud": "a",
        "scope": "orders:read", "exp": START.s() + 600, "iat": START.s() - 60, "jti": "1" });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(answer.as_object_mut().unwrap().remove(name)),
            value => answer[name] = value.clone(),
        }
    }
    answer
}

fn active(document: &Value) -> World {
    let world = World::new(document);
    world.serve("introspection", 200, answer(json!({})));
    world
}

#[test]
fn an_active_token_is_asked_about_once_for_all_workers() {
    let world = active(&plain());
    for worker in [0, 1, 0, 1] {
        let bearer = format!("Bearer {TOKEN}");
        let effect = world.send(worker, START, request("GET", "/o", &[("authorization", &bearer)]));
        let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("worker {worker}") };
        assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "alice")]);
        assert_eq!(changes.edits().remove, ["authorization"], "forward.token is false");
    }
    assert_eq!(world.asked("introspection"), 1);
    // The one that asked finds what it has learnt there too.
    assert_eq!(world.count(Metric::L1Hit), 3);
    world.serve("introspection", 200, json!({ "active": false }));
    assert_eq!(world.ask(0, START, OTHER), Outcome::Refused(Reason::Inactive), "another token");
}

#[test]
fn its_consumer_is_the_one_that_the_issuer_names() {
    for (more, consumer) in [
        (json!({ "consumer": "all" }), "all"),
        (json!({ "consumer": "all", "consumer_claim": "client_id" }), "app"),
        (json!({ "consumer": "all", "consumer_claim": "none" }), "all"),
    ] {
        let world = active(&with(more.clone(), json!({})));
        let bearer = format!("Bearer {TOKEN}");
        let effect = world.send(0, START, request("GET", "/o", &[("authorization", &bearer)]));
        let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("{more}") };
        let set = changes.headers().find(|(name, _)| *name == "x-consumer-username");
        assert_eq!(set, Some(("x-consumer-username", consumer)), "{more}");
    }
}

#[test]
fn taken_back_behind_the_gateways_back_it_stops_within_the_time() {
    let world = active(&plain());
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted);
    world.serve("introspection", 200, json!({ "active": false }));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(59), TOKEN), Outcome::Admitted);
    }
    for worker in [1, 0] {
        let outcome = world.ask(worker, START.plus_s(60), TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::Inactive), "worker {worker}");
    }
    assert_eq!(world.asked("introspection"), 2);
}

#[test]
fn its_own_end_ends_it_without_a_call() {
    let world = World::new(&plain());
    world.serve("introspection", 200, answer(json!({ "exp": START.s() + 20 })));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_ms(19_999), TOKEN), Outcome::Admitted);
        // The endpoint says the same of it for ever.
        let outcome = world.ask(worker, START.plus_s(20), TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::Expired), "worker {worker}");
    }
    assert_eq!(world.asked("introspection"), 1);
}

#[test]
fn without_an_end_of_its_own_it_is_good_for_as_long_as_the_endpoint_says() {
    let world = World::new(&plain());
    world.serve("introspection", 200, answer(json!({ "exp": null, "iat": null, "jti": null })));
    for n in 0..5 {
        assert_eq!(world.ask(n as usize % 2, START.plus_s(60 * n), TOKEN), Outcome::Admitted);
    }
    assert_eq!(world.asked("introspection"), 5);
}

#[test]
fn inactive_is_asked_again_in_its_time() {
    let world = World::new(&plain());
    world.serve("introspection", 200, json!({ "active": false }));
    for worker in [0, 1, 0] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Refused(Reason::Inactive));
    }
    assert_eq!(world.asked("introspection"), 1);
    world.serve("introspection", 200, answer(json!({})));
    for worker in [0, 1] {
        let at = |after_s| world.ask(worker, START.plus_s(after_s), TOKEN);
        assert_eq!(at(4), Outcome::Refused(Reason::Inactive), "worker {worker}");
    }
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(5), TOKEN), Outcome::Admitted);
    }
}

#[test]
fn rules_ask_of_it_what_they_ask_of_any_token() {
    let rules = json!([
        { "match": { "path_prefix": "/orders" }, "issuers": ["opaque"], "scopes_all": ["orders:read"] },
        { "match": { "path_prefix": "/admin" }, "scopes_all": ["admin"] },
        { "match": { "path_prefix": "/claims" }, "claims": { "acr": ["gold"] } },
        { "match": { "path_prefix": "/aud" }, "audiences": ["b"] },
        { "match": { "path_prefix": "/jwt" }, "issuers": ["idp"] },
    ]);
    let mut document = document(issuer(json!({}), json!({})), json!({ "rules": rules }));
    document["issuers"].as_array_mut().unwrap().push(with_secret());
    let world = active(&document);
    // Nobody is asked where no such issuer is admitted.
    assert_eq!(world.ask_at(0, START, "/jwt", TOKEN), Outcome::Refused(Reason::Malformed));
    assert_eq!(world.asked("introspection"), 0);
    for worker in [0, 1, 0, 1] {
        for (path, outcome) in [
            ("/orders", Outcome::Admitted),
            ("/jwt", Outcome::Refused(Reason::IssuerNotAllowed)),
            ("/admin", Outcome::Refused(Reason::Scope)),
            ("/claims", Outcome::Refused(Reason::Claim)),
            ("/aud", Outcome::Refused(Reason::WrongAudience)),
        ] {
            assert_eq!(world.ask_at(worker, START, path, TOKEN), outcome, "{path} on {worker}");
        }
    }
    assert_eq!(world.asked("introspection"), 1);
    assert_eq!(world.ask_at(0, START, "/jwt", &hmac(SECRET, &claims("1"))), Outcome::Admitted);
}

#[test]
fn what_the_answer_says_is_held_against_the_issuer() {
    let far = START.s() + 600;
    for (more, reason) in [
        (json!({ "aud": null }), Reason::WrongAudience),
        (json!({ "aud": "b" }), Reason::WrongAudience),
        (json!({ "aud": [] }), Reason::WrongAudience),
        (json!({ "nbf": far }), Reason::NotYetValid),
        (json!({ "iat": far }), Reason::NotYetValid),
        (json!({ "exp": START.s() }), Reason::Inactive),
        (json!({ "exp": 1 }), Reason::Inactive),
        (json!({ "cnf": { "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } }), Reason::Bound),
        (json!({ "cnf": {} }), Reason::Bound),
        (json!({ "token_use": "refresh_token" }), Reason::WrongType),
        (json!({ "acr": null }), Reason::ClaimMissing),
        // No such answer can be of a token of this issuer: the endpoint's failure.
        (json!({ "iss": "https://other.example" }), Reason::IntrospectionUnavailable),
        (json!({ "iss": format!("{ISSUER}/") }), Reason::IntrospectionUnavailable),
        (json!({ "iss": 1 }), Reason::IntrospectionUnavailable),
        (json!({ "exp": "1800000600" }), Reason::IntrospectionUnavailable),
        (json!({ "exp": far * 1000 }), Reason::IntrospectionUnavailable),
        (json!({ "aud": 1 }), Reason::IntrospectionUnavailable),
        (json!({ "sub": 1 }), Reason::IntrospectionUnavailable),
        (json!({ "active": "true" }), Reason::IntrospectionUnavailable),
        (json!({ "active": 1 }), Reason::IntrospectionUnavailable),
        (json!({ "active": null }), Reason::IntrospectionUnavailable),
        (json!({ "pad": "x".repeat(20_000) }), Reason::IntrospectionUnavailable),
    ] {
        let claim = if reason == Reason::ClaimMissing { "acr" } else { "sub" };
        let required = json!({ "claims_required": [claim] });
        let world = World::new(&with(required, json!({})));
        world.serve("introspection", 200, answer(more.clone()));
        for worker in [0, 1, 0, 1] {
            let outcome = world.ask(worker, START, TOKEN);
            assert_eq!(outcome, Outcome::Refused(reason), "{more} on worker {worker}");
        }
        assert_eq!(world.asked("introspection"), 1, "{more}");
    }
}

#[test]
fn what_is_written_as_a_jwt_is_no_opaque_token() {
    let mut document = plain();
    document["issuers"][0].as_object_mut().unwrap().remove("token_prefix");
    let world = active(&document);
    let good = hmac(SECRET, &claims("1"));
    let (head, rest) = good.split_once('.').unwrap();
    for token in [
        good.clone(),
        format!("{good}="),
        format!("{good}.AAAA"),
        format!("{good}.AAAA.AAAA"),
        format!("{head}=.{rest}"),
        format!(".{good}"),
        head.to_owned(),
        format!("{head}.{}", rest.split_once('.').unwrap().0),
    ] {
        for worker in [0, 1] {
            let outcome = world.ask(worker, START, &token);
            let unknown = Outcome::Refused(Reason::UnknownIssuer);
            let malformed = Outcome::Refused(Reason::Malformed);
            let unreadable = Outcome::Refused(Reason::MalformedRequest);
            let expected = if token == good { [unknown; 2] } else { [malformed, unreadable] };
            assert!(expected.contains(&outcome), "{token}: {outcome:?}");
        }
    }
    assert_eq!(world.asked("introspection"), 0);
    assert_eq!(world.ask(0, START, "2YotnFZFEjr1zCsicMWpAA"), Outcome::Admitted);
}

#[test]
fn a_token_without_the_prefix_is_nobodys() {
    let world = active(&plain());
    for token in
        ["2YotnFZFEjr1zCsicMWpAA", "AT_2YotnFZFEjr1zCsicMWpAA", "at-2YotnFZFEjr1zCsicMWpAA", "at"]
    {
        assert_eq!(world.ask(0, START, token), Outcome::Refused(Reason::Malformed), "{token}");
    }
    assert_eq!(world.asked("introspection"), 0);
    // Without such an issuer every opaque token is so.
    let world = active(&document(with_secret(), json!({})));
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Refused(Reason::Malformed));
}

#[test]
fn where_no_prefix_tells_issuers_apart_the_rule_says_who_is_asked() {
    let mut other =
        issuer(json!({ "name": "other", "issuer": "https://other.example" }), json!({}));
    let mut one = issuer(json!({}), json!({}));
    for issuer in [&mut one, &mut other] {
        issuer.as_object_mut().unwrap().remove("token_prefix");
    }
    let rules = json!([
        { "match": { "path_prefix": "/one" }, "issuers": ["opaque"] },
        { "match": { "path_prefix": "/other" }, "issuers": ["other"] },
    ]);
    let mut document = document(one, json!({ "rules": rules }));
    document["issuers"].as_array_mut().unwrap().push(other);
    let world = World::new(&document);
    // The other issuer would call any token its own.
    world.serve("introspection", 200, answer(json!({ "iss": null })));
    assert_eq!(world.ask_at(0, START, "/other", TOKEN), Outcome::Admitted);
    world.serve("introspection", 200, json!({ "active": false }));
    for worker in [0, 1, 0] {
        let outcome = world.ask_at(worker, START, "/one", TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::Inactive), "worker {worker}");
        assert_eq!(world.ask_at(worker, START, "/other", TOKEN), Outcome::Admitted);
    }
    assert_eq!(world.asked("introspection"), 2);
}

#[test]
fn while_the_endpoint_fails_nothing_is_known_of_a_new_token() {
    for (status, body) in
        [(0, ""), (500, "{}"), (200, "<html>"), (401, r#"{"active":true}"#), (302, "")]
    {
        let world = World::new(&plain());
        world.serve("introspection", status, body);
        for worker in [0, 1, 0, 1] {
            let outcome = world.ask(worker, START.plus_ms(999), TOKEN);
            assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable), "{status}");
        }
        assert_eq!(world.asked("introspection"), 1, "{status}");
        // A second later it is asked again, however often it has failed.
        for second in 2..40 {
            world.ask(0, START.plus_s(second), TOKEN);
        }
        assert_eq!(world.asked("introspection"), 39, "{status}");
        world.serve("introspection", 200, answer(json!({})));
        assert_eq!(world.ask(1, START.plus_s(40), TOKEN), Outcome::Admitted);
    }
}

#[test]
fn an_old_answer_serves_for_as_long_as_is_said_and_no_longer() {
    for (stale_s, exp_after_s, ends_after_s, reason) in [
        (0, 600, 60, Reason::IntrospectionUnavailable),
        (30, 600, 90, Reason::IntrospectionUnavailable),
        (30, 70, 70, Reason::Expired),
    ] {
        let world = World::new(&with(json!({}), json!({ "stale_s_max": stale_s })));
        world.serve("introspection", 200, answer(json!({ "exp": START.s() + exp_after_s })));
        assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted);
        world.serve("introspection", 503, "");
        for after_s in 0..100 {
            for worker in [0, 1] {
                let outcome = world.ask(worker, START.plus_s(after_s), TOKEN);
                let good = after_s < ends_after_s;
                let expected = if good { Outcome::Admitted } else { Outcome::Refused(reason) };
                assert_eq!(outcome, expected, "{stale_s}: worker {worker} after {after_s} s");
            }
        }
        assert_eq!(world.count(Metric::IntrospectionStale) > 0, stale_s > 0);
        // Asked about once in a second, not at each look.
        assert!(world.asked("introspection") <= 1 + 41, "{}", world.asked("introspection"));
    }
}

#[test]
fn an_old_answer_serves_too_while_the_endpoint_wants_to_be_left_alone() {
    let world = World::new(&with(json!({}), json!({ "stale_s_max": 300 })));
    world.serve("introspection", 200, answer(json!({})));
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted);
    world.serve("introspection", 429, "");
    // Another token hears it, and so nobody may ask.
    let outcome = world.ask(0, START.plus_s(70), OTHER);
    assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable));
    let asked = world.asked("introspection");
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(70), TOKEN), Outcome::Admitted);
    }
    assert_eq!(world.asked("introspection"), asked);
    let outcome = world.ask(1, START.plus_s(70), OTHER);
    assert_eq!(outcome, Outcome::Refused(Reason::IntrospectionUnavailable));
}

#[test]
fn revoked_by_a_call_it_is_refused_by_every_worker_at_its_next_request() {
    for jti in [json!("1"), Value::Null] {
        let mut document = plain();
        document["token_endpoints"] = json!([{ "path": "/token", "revocation_path": "/revoke" }]);
        let world = World::new(&document);
        world.serve("introspection", 200, answer(json!({ "jti": jti })));
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
        }
        assert!(world.with(0, START, |facts| facts.revoke_token(TOKEN.as_bytes())));
        // Whatever the endpoint goes on saying.
        for after_s in [0, 59, 60, 299, 301, 599] {
            for worker in [1, 0] {
                let outcome = world.ask(worker, START.plus_s(after_s), TOKEN);
                assert_eq!(outcome, Outcome::Refused(Reason::Revoked), "{worker} after {after_s}");
            }
        }
        let outcome = world.ask(0, START.plus_s(599), OTHER);
        let another =
            if jti.is_null() { Outcome::Admitted } else { Outcome::Refused(Reason::Revoked) };
        assert_eq!(outcome, another, "of one id");
    }
}

/// The answer that is under way was given before the server took the token back.
#[test]
fn an_answer_under_way_does_not_bring_a_revoked_token_back() {
    let mut document = with(json!({}), json!({ "ttl_s_max": 3_600 }));
    document["token_endpoints"] = json!([{ "path": "/token", "revocation_path": "/revoke" }]);
    let world = active(&document);
    assert!(world.with(0, START, |facts| facts.revoke_token(TOKEN.as_bytes())));
    // The answer would be kept for longer than what is revoked without being known anywhere.
    for after_s in [0, 3, 400, 599] {
        for worker in [0, 1] {
            let outcome = world.ask(worker, START.plus_s(after_s), TOKEN);
            assert_eq!(outcome, Outcome::Refused(Reason::Revoked));
        }
    }
}

#[test]
fn a_feed_lists_it_by_its_id() {
    let mut document = plain();
    document["revocation"] = json!({ "feeds": [{ "uri": "https://idp.example/feed", "cluster": "idp", "every_s": 10 }] });
    let world = active(&document);
    world.serve("feed", 200, json!({ "sequence": 1, "revoked": [] }));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
    }
    world.serve("feed", 200, json!({ "sequence": 2, "revoked": [{ "iss": ISSUER, "jti": "1" }] }));
    world.tick(1, START.plus_s(11));
    for worker in [0, 1] {
        let outcome = world.ask(worker, START.plus_s(11), TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::Revoked), "worker {worker}");
    }
}

#[test]
fn its_own_endpoint_alone_is_asked_about_it() {
    let rules = json!([{ "match": {}, "introspect": true }]);
    let mut document = plain();
    document["rules"] = rules;
    document["introspection"] =
        json!({ "uri": "https://other.example/introspect", "cluster": "other" });
    let world = active(&document);
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
    }
    assert_eq!(world.asked("introspection"), 1);
}

#[test]
fn a_clock_that_goes_back_makes_no_answer_last_longer() {
    let world = active(&plain());
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, TOKEN), Outcome::Admitted);
    }
    world.serve("introspection", 200, json!({ "active": false }));
    let back = crate::time::Time::from_s(START.s() - 3_600);
    for worker in [0, 1] {
        // The pace of new questions finds back too, in a moment.
        assert_ne!(world.ask(worker, back, TOKEN), Outcome::Admitted, "worker {worker}");
        let outcome = world.ask(worker, back.plus_s(5), TOKEN);
        assert_eq!(outcome, Outcome::Refused(Reason::Inactive), "worker {worker}");
    }
}

#[test]
fn what_one_entry_was_told_another_asks_for_itself() {
    let changed = with(json!({ "issuer": "https://other.example" }), json!({}));
    let world = World::of(&[&plain(), &changed]);
    world.serve("introspection", 200, answer(json!({ "iss": null })));
    assert_eq!(world.ask(0, START, TOKEN), Outcome::Admitted);
    world.serve("introspection", 200, json!({ "active": false }));
    assert_eq!(world.ask(1, START, TOKEN), Outcome::Refused(Reason::Inactive));
}
