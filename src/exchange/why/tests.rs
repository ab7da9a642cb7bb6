//! What is told of requests, and that nothing of a client's is in it.

use serde_json::{Value, json};

use super::*;
use crate::exchange::{Effect, Finish};
use crate::simulation::lines::said;
use crate::time::Time;
use crate::world::*;

fn world(more: Value) -> World {
    let rules = json!([
        { "match": { "path_prefix": "/public" }, "access": "public" },
        { "match": { "path_prefix": "/orders" }, "name": "orders", "claims": { "plan": ["gold"] } },
        { "match": { "path_prefix": "/watched" }, "shadow": true },
        { "match": { "path_prefix": "/plain" } }
    ]);
    let mut document = document(with_secret(), json!({ "rules": rules }));
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    World::new(&document)
}

/// What is told of a GET at `now`, and the lines of the log.
fn told(world: &World, now: Time, path: &str, more: &[(&str, &str)]) -> (Option<Why>, Vec<String>) {
    let mut why = None;
    let lines = said(|| match world.send(0, now, request("GET", path, more)) {
        Effect::Finish(Finish::Answer(answer)) => why = answer.why.map(|why| *why),
        Effect::Finish(Finish::Admit(changes)) => why = changes.edits().why.as_deref().cloned(),
        _ => panic!("not decided"),
    });
    (why, lines)
}

fn parts(why: Option<Why>) -> Vec<(String, String)> {
    let parts = |why: &Why| -> Vec<_> {
        why.parts().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    why.as_ref().map(parts).unwrap_or_default()
}

fn names(world: &World, path: &str, token: Option<&str>) -> Vec<String> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = bearer.iter().map(|value| ("authorization", value.as_str())).collect();
    let (why, _) = told(world, START, path, &headers);
    parts(why)
        .into_iter()
        .filter(|(name, _)| name != "subject")
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn refusals_are_told_of_and_admissions_where_that_is_wanted() {
    let good = hmac(SECRET, &claims("1"));
    let bad = forged(&good);
    let quiet = world(json!({}));
    for (path, token, expected) in [
        ("/plain", None, "verdict=refused reason=no_token rule=3"),
        ("/plain", Some(bad.as_str()), "verdict=refused reason=bad_signature rule=3 issuer=idp"),
        ("/plain", Some("x"), "verdict=refused reason=malformed rule=3"),
        ("/orders", Some(&good), "verdict=refused reason=claim rule=orders issuer=idp"),
        ("/watched", None, "verdict=shadowed reason=no_token rule=2"),
        ("/nowhere", Some(&good), "verdict=refused reason=no_rule issuer=idp"),
        ("/plain", Some(&good), ""),
        ("/public", Some(&good), ""),
        ("/watched", Some(&good), ""),
    ] {
        assert_eq!(names(&quiet, path, token).join(" "), expected, "{path}");
    }
    let all = world(json!({ "access_log": "all" }));
    for (path, token, expected) in [
        ("/plain", Some(&good), "verdict=accepted rule=3 issuer=idp"),
        ("/watched", Some(&good), "verdict=accepted rule=2 issuer=idp"),
        ("/public", Some(&good), "verdict=anonymous rule=0"),
        ("/public", None, "verdict=anonymous rule=0"),
    ] {
        assert_eq!(names(&all, path, token.map(String::as_str)).join(" "), expected, "{path}");
    }
}

/// One value for one subject, another for another, and none from which it could be found out.
#[test]
fn subjects_are_hashes_under_the_shared_secret() {
    let subject = |world: &World, claims: &Value| {
        let bearer = format!("Bearer {}", hmac(SECRET, claims));
        let (why, _) = told(world, START, "/orders", &[("authorization", &bearer)]);
        why.unwrap().subject
    };
    let with = |name: &str, value: Value| {
        let mut claims = claims("1");
        claims[name] = value;
        claims
    };
    let (one, other) = (
        world(json!({})),
        world(json!({ "shared": { "secret": "another secret of 32 bytes or more" } })),
    );
    let alice = subject(&one, &claims("1")).unwrap();
    assert_eq!(alice.len(), 16);
    assert!(alice.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
    assert_eq!(subject(&one, &with("jti", json!("2"))).unwrap(), alice);
    assert_eq!(
        subject(&world(json!({ "realm": "x" })), &claims("3")).unwrap(),
        alice,
        "another document"
    );
    assert_ne!(subject(&one, &with("sub", json!("bob"))).unwrap(), alice);
    assert_ne!(subject(&other, &claims("1")).unwrap(), alice);
}

#[test]
fn a_line_names_the_request_if_its_id_is_one() {
    let world = world(json!({ "log": { "refusals": true, "per_s": 1000 } }));
    let token = hmac(SECRET, &claims("1"));
    let long = "x".repeat(65);
    for (id, shown) in [
        ("3f0c8a52-7e0b-4a51-9d7e-6a1b2c3d4e5f", "3f0c8a52-7e0b-4a51-9d7e-6a1b2c3d4e5f"),
        (token.as_str(), "-"),
        (&token[..30], "-"),
        (&long, "-"),
        ("a b", "-"),
        ("a\"b", "-"),
        ("", "-"),
    ] {
        let (_, lines) = told(&world, START, "/plain", &[("x-request-id", id)]);
        assert_eq!(lines, [format!("refused reason=no_token rule=3 request={shown}")]);
    }
    let (_, lines) = told(&world, START, "/plain", &[]);
    assert_eq!(lines, ["refused reason=no_token rule=3 request=-"]);
}

#[test]
fn lines_have_a_bound_and_say_what_was_left_out() {
    let world = world(json!({ "log": { "refusals": true, "per_s": 4 } }));
    let at = |ms: u64| told(&world, START.plus_ms(ms), "/plain", &[]).1;
    let lines: Vec<String> = (0..100).flat_map(|_| at(0)).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(world.count(Metric::LogLeftOut), 96);
    assert_eq!(at(250), ["refused reason=no_token rule=3 request=- (96 lines before it left out)"]);
    assert!(at(260).is_empty());
}

#[test]
fn without_the_option_nothing_is_written() {
    assert!(told(&world(json!({})), START, "/plain", &[]).1.is_empty());
}
