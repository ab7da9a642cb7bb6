//! Shadow mode changes nothing: whatever is decided, the request and its answer go on as they came.

use serde_json::{Value, json};

use crate::exchange::changes::Edits;
use crate::exchange::*;
use crate::facts::call::CallAnswer;
use crate::world::{
    ENVOY, KONG, Key, SECRET, START, World, claims, document, fetched, forged, hmac, request,
    with_secret,
};

/// Everything that a filter which enforces would take out of a request or replace in it.
const FORGED: [(&str, &str); 3] =
    [("x-user", "root"), ("x_consumer_id", "1"), ("accept-encoding", "gzip")];

/// The document in shadow: all of it, or the one rule that it has.
fn in_shadow(issuer: Value, whole: bool, more: Value) -> Value {
    let mut document = document(issuer, more);
    let members = document.as_object_mut().unwrap();
    match whole {
        true => drop(members.insert("mode".into(), json!("shadow"))),
        false => drop(members.insert(
            "rules".into(),
            json!([{ "match": { "path_prefix": "/orders" }, "limits": ["one"], "shadow": true }]),
        )),
    }
    document
}

/// A limit that a second request exceeds, and that tells of itself.
fn one() -> Value {
    json!({ "rate_limits": [{ "name": "one", "key": ["address"], "limit": 1, "per_s": 3600, "headers": true }] })
}

fn is_untouched(effect: &Effect) -> bool {
    let Effect::Finish(Finish::Admit(changes)) = effect else { return false };
    // What access logs are told is no change.
    let Edits { remove, set, response, watch, why: _ } = changes.edits();
    changes.headers().next().is_none()
        && remove.is_empty()
        && set.is_empty()
        && response.is_empty()
        && !watch
}

#[test]
fn no_request_is_changed_whatever_its_token_and_its_limits() {
    let good = hmac(SECRET, &claims("1"));
    let cases = [
        (format!("Bearer {good}"), None),
        (format!("Bearer {}", forged(&good)), Some(Reason::BadSignature)),
        (String::new(), Some(Reason::NoToken)),
        (format!("Bearer {good}, Bearer {good}"), Some(Reason::TwoTokens)),
        (
            format!("Bearer {}", hmac(SECRET, &json!({ "iss": "https://other.example" }))),
            Some(Reason::UnknownIssuer),
        ),
    ];
    for (whole, abilities) in [(true, ENVOY), (true, KONG), (false, ENVOY), (false, KONG)] {
        let world = World::new(&in_shadow(with_secret(), whole, one()));
        for (authorization, reason) in &cases {
            let before = world.count(Metric::Accepted);
            for worker in [0, 1, 0] {
                let token = [("authorization", authorization.as_str())];
                let headers = request(
                    "GET",
                    "/orders",
                    &[&FORGED[..], &token[..authorization.len().min(1)]].concat(),
                );
                let mut exchange = Exchange::new(headers, None, abilities);
                let effect = world
                    .with(worker, START, |facts| exchange.step(Input::Begin, facts, &world.shared));
                assert!(
                    is_untouched(&effect),
                    "{authorization} on worker {worker}, {abilities:?}, whole: {whole}"
                );
            }
            match reason {
                None => assert_eq!(world.count(Metric::Accepted), before + 3),
                Some(reason) => assert_eq!(world.count(Metric::Shadowed(*reason)), 3, "{reason:?}"),
            }
        }
        if !whole {
            assert_eq!(world.count(Metric::Shadowed(Reason::Limited)), 2);
        }
        assert!(!world.counted().iter().any(|metric| matches!(metric, Metric::Rejected(_))));
    }
}

#[test]
fn what_would_be_refused_since_it_comes_twice_is_counted_where_no_header_can_be_removed() {
    let world = World::new(&in_shadow(with_secret(), true, json!({})));
    let bearer = format!("Bearer {}", hmac(SECRET, &claims("1")));
    let headers = request(
        "GET",
        "/orders",
        &[("authorization", &bearer), ("x-user", "root"), ("X-User", "root")],
    );
    let mut exchange = Exchange::new(headers, None, KONG);
    assert!(is_untouched(&world.with(0, START, |facts| exchange.step(
        Input::Begin,
        facts,
        &world.shared
    ))));
    assert_eq!(world.count(Metric::Shadowed(Reason::DuplicateHeader)), 1);
}

#[test]
fn a_request_whose_keys_never_come_goes_on_as_it_came() {
    for whole in [true, false] {
        let world = World::new(&in_shadow(fetched(), whole, one()));
        let bearer = format!("Bearer {}", Key::new(1).token("k", &claims("1")));
        let new = || {
            Exchange::new(
                request("GET", "/orders", &[&FORGED[..], &[("authorization", &bearer)]].concat()),
                None,
                ENVOY,
            )
        };
        // At its deadline, when the host has no room for those who wait, and while the server
        // fails.
        let mut late = new();
        assert!(matches!(
            world.with(0, START, |facts| late.step(Input::Begin, facts, &world.shared)),
            Effect::Fetch(..)
        ));
        assert!(is_untouched(&world.with(0, START.plus_s(60), |facts| late.step(
            Input::Woken,
            facts,
            &world.shared
        ))));
        let mut crowded = new();
        let now = START.plus_s(61);
        assert!(matches!(
            world.with(0, now, |facts| crowded.step(Input::Begin, facts, &world.shared)),
            Effect::Fetch(..)
        ));
        assert!(is_untouched(&Effect::Finish(
            world.with(0, now, |facts| crowded.give_up(facts, &world.shared))
        )));
        let none = HeaderBlock::default();
        let failed = CallAnswer::failed(&none);
        assert!(is_untouched(&world.with(0, now, |facts| crowded.step(
            Input::Fetched(failed),
            facts,
            &world.shared
        ))));
        assert_eq!(world.count(Metric::Shadowed(Reason::KeysUnavailable)), 3, "whole: {whole}");
        assert_eq!(world.count(Metric::Rejected(Reason::KeysUnavailable)), 0);
    }
}

#[test]
fn what_the_shell_refuses_goes_on_in_shadow_mode() {
    for (mode, is_refused) in [("enforce", true), ("shadow", false)] {
        let world = World::new(&document(with_secret(), json!({ "mode": mode })));
        let exchange = Exchange::new(request("GET", "/orders", &FORGED), None, KONG);
        let finish = world.with(0, START, |facts| {
            exchange.turn_away(Reason::TooManyHeaders, facts, &world.shared)
        });
        match finish {
            Finish::Answer(answer) => assert!(is_refused && answer.status == 431),
            finish => assert!(!is_refused && is_untouched(&Effect::Finish(finish))),
        }
        let counted = if is_refused {
            Metric::Rejected(Reason::TooManyHeaders)
        } else {
            Metric::Shadowed(Reason::TooManyHeaders)
        };
        assert_eq!(world.counted(), [counted]);
    }
}

/// A token endpoint that would keep, coalesce, shorten and cap.
fn endpoint(mode: &str) -> Value {
    let mut document = document(with_secret(), one());
    let endpoint = json!({ "path": "/token", "revocation_path": "/revoke", "jitter": 0.5, "upstream_calls_max": 1, "body_bytes_max": 256,
        "coalesce_refresh": true, "limits": ["one"] });
    document.as_object_mut().unwrap().extend([
        ("mode".to_owned(), json!(mode)),
        ("debug_headers".to_owned(), json!(true)),
        ("token_endpoints".to_owned(), json!([endpoint])),
    ]);
    document
}

fn call(world: &World, worker: usize, path: &str, body: Option<&[u8]>) -> (Exchange, Effect) {
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("authorization", "Basic YTpi")];
    let mut exchange =
        Exchange::new(request("POST", path, &[&FORGED[..], &form].concat()), None, ENVOY);
    let effect = world.with(worker, START, |facts| {
        assert!(matches!(exchange.step(Input::Begin, facts, &world.shared), Effect::ReadBody(_)));
        exchange.step(Input::Body(body), facts, &world.shared)
    });
    (exchange, effect)
}

fn changes_nothing(effect: &Effect) -> bool {
    let Effect::Finish(Finish::Admit(changes)) = effect else { return false };
    let edits = changes.edits();
    changes.headers().next().is_none() && edits.remove.is_empty() && edits.response.is_empty()
}

#[test]
fn each_token_call_goes_to_the_server_and_each_answer_comes_back_as_it_is() {
    let world = World::new(&endpoint("shadow"));
    let body = b"grant_type=client_credentials&scope=a";
    let json = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
    // One after the other, so that the second could be served, and two at once, over the cap and
    // the limit.
    for round in 0..2 {
        let mut calls: Vec<_> =
            (0..2).map(|worker| call(&world, worker, "/token", Some(body))).collect();
        for (worker, (exchange, effect)) in calls.iter_mut().enumerate() {
            assert!(changes_nothing(effect), "round {round}, worker {worker}");
            let started =
                world.with(worker, START, |facts| exchange.answer_started(200, &json, facts));
            assert_eq!(started, Started::Pass, "its body isn't looked at");
            assert_eq!(world.with(worker, START, |facts| exchange.close(facts)), None);
        }
    }
    assert_eq!(world.count(Metric::TokenUpstream), 4);
    let refused = world.count(Metric::TokenCapped) + world.count(Metric::TokenOverShare);
    assert_eq!(refused, 2, "what would be refused is counted");
    assert_eq!(world.count(Metric::Shadowed(Reason::Limited)), 3);
    let refresh = b"grant_type=refresh_token&refresh_token=r";
    assert!((0..2).all(|worker| changes_nothing(&call(&world, worker, "/token", Some(refresh)).1)));
    for path in ["/token", "/revoke"] {
        assert!(
            changes_nothing(&call(&world, 0, path, None).1),
            "{path} with a body that is too large"
        );
    }
    assert!(!world.counted().iter().any(|metric| matches!(metric, Metric::Rejected(_))));
}

#[test]
fn a_revocation_that_cant_be_kept_is_answered_by_the_server_alone() {
    for (mode, passes) in [("enforce", false), ("shadow", true)] {
        let world = World::new(&endpoint(mode));
        let (mut exchange, effect) = call(&world, 0, "/revoke", Some(b"token=an-opaque-one"));
        assert_eq!(changes_nothing(&effect), passes, "{mode}");
        world.shared.is_full.set(true);
        let started = world
            .with(0, START, |facts| exchange.answer_started(200, &HeaderBlock::default(), facts));
        assert_eq!(started == Started::Pass, passes, "{mode}");
    }
}

#[test]
fn a_limit_in_shadow_is_heard_of_in_no_answer() {
    let mut more = one();
    more["rate_limits"][0]["shadow"] = json!(true);
    more["rules"] = json!([{ "match": { "path_prefix": "/orders" }, "limits": ["one"] }]);
    let world = World::new(&document(with_secret(), more));
    let bearer = format!("Bearer {}", hmac(SECRET, &claims("1")));
    for number in 0..3 {
        let Effect::Finish(Finish::Admit(changes)) =
            world.send(0, START, request("GET", "/orders", &[("authorization", &bearer)]))
        else {
            panic!("request {number} is refused")
        };
        assert!(changes.edits().response.is_empty(), "request {number}");
    }
    assert_eq!(world.count(Metric::LimitDenied(0)), 2);
}
