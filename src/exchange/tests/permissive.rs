//! `access: permissive`: a bad token is nobody, and doesn't reach the API.

use super::*;
use crate::world::{START, World, claims, document, fetched, forged, hmac, request, with_secret};

fn world(issuer: Value, more: Value) -> World {
    let mut whole = json!({
        "rules": [{ "match": {}, "access": "permissive", "limits": ["one"] }],
        "rate_limits": [{ "name": "one", "key": ["address"], "limit": 20, "per_s": 3600 }],
        "bearer": { "sources": [{ "header": "authorization" }, { "header": "x-token" },
            { "cookie": "at" }, { "cookie": "bt" }, { "query": "jwt" }, { "query": "j2" }] }
    });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    World::new(&document(issuer, whole))
}

/// What goes on: names removed, headers set.
fn passed(effect: Effect) -> (Vec<String>, Vec<(String, String)>) {
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("refused") };
    let set = changes.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    (changes.edits().remove.clone(), set.collect())
}

fn send(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
) -> (Vec<String>, Vec<(String, String)>) {
    passed(world.send(0, START, request("GET", path, headers)))
}

#[test]
fn a_bad_token_passes_as_nobody_and_is_taken_out() {
    let world = world(with_secret(), json!({}));
    let good = hmac(SECRET, &claims("1"));
    let bearer = format!("Bearer {good}");
    let who = || vec![("x-user".to_owned(), "alice".to_owned())];
    assert_eq!(send(&world, "/x", &[("authorization", &bearer)]).1, who());
    assert_eq!(send(&world, "/x", &[]), (vec![], vec![]));
    assert_eq!(world.count(Metric::Anonymous), 1);
    let bad = forged(&good);
    let bad_bearer = format!("Bearer {bad}");
    let forged_user = ("x-user", "root");
    for (headers, removed) in [
        (vec![("authorization", bad_bearer.as_str())], vec!["authorization"]),
        (vec![("authorization", "Bearer a b"), forged_user], vec!["x-user", "authorization"]),
        (vec![("X-Token", bad.as_str())], vec!["X-Token"]),
        // Two, of which one is good: nobody knows whose request it is.
        (
            vec![("authorization", bearer.as_str()), ("x-token", &bad)],
            vec!["authorization", "x-token", "cookie"],
        ),
        (vec![("x_token", good.as_str())], vec!["authorization", "x_token", "cookie"]),
        // Another scheme's password is no token.
        (
            vec![("authorization", "Basic eA=="), ("x_token", good.as_str())],
            vec!["x_token", "cookie"],
        ),
    ] {
        let (mut gone, set) = send(&world, "/x", &headers);
        // What isn't there may be named too.
        gone.retain(|name| headers.iter().any(|(there, _)| there == name));
        let removed: Vec<&str> = removed
            .into_iter()
            .filter(|name| headers.iter().any(|(there, _)| there == name))
            .collect();
        assert_eq!(gone, removed, "{headers:?}");
        assert!(set.iter().all(|(name, _)| name == ":path"), "{headers:?} {set:?}");
    }
    assert_eq!(world.count(Metric::Permitted(Reason::BadSignature)), 2);
    assert_eq!(world.count(Metric::Permitted(Reason::TwoTokens)), 1);
    assert!(!world.counted().iter().any(|metric| matches!(metric, Metric::Rejected(_))));
}

#[test]
fn all_of_several_tokens_go_out_of_one_field() {
    let world = world(with_secret(), json!({}));
    let (_, set) = send(&world, "/x?a=1&jwt=t.u.v&j2=w&b=2", &[("cookie", "at=t; c=1; bt=u")]);
    assert_eq!(
        set,
        [("cookie".to_owned(), "c=1".to_owned()), (":path".to_owned(), "/x?a=1&b=2".to_owned())]
    );
}

#[test]
fn what_is_not_the_tokens_fault_stops_it_all_the_same() {
    let key = crate::world::Key::new(1);
    let bearer = format!("Bearer {}", key.token("k", &claims("1")));
    let world = world(fetched(), json!({}));
    let effect = world.send(0, START, request("GET", "/x", &[("authorization", &bearer)]));
    let Effect::Finish(Finish::Answer(answer)) = effect else { panic!("went on") };
    assert_eq!(answer.status, 503);
    // And who is over a limit is.
    let world = self::world(with_secret(), json!({}));
    for _ in 0..20 {
        send(&world, "/x", &[("authorization", "Bearer x.y.z")]);
    }
    let over = request("GET", "/x", &[("authorization", "Bearer x.y.z")]);
    let Effect::Finish(Finish::Answer(answer)) = world.send(1, START, over) else { panic!() };
    assert_eq!(answer.status, 429);
}

#[test]
fn in_shadow_nothing_is_taken_out() {
    let world = world(with_secret(), json!({ "mode": "shadow" }));
    let bad = format!("Bearer {}", forged(&hmac(SECRET, &claims("1"))));
    assert_eq!(send(&world, "/x", &[("authorization", &bad)]), (vec![], vec![]));
    assert_eq!(world.count(Metric::Permitted(Reason::BadSignature)), 1);
}
