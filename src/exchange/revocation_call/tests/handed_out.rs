//! What the token endpoint hands out after a revocation, a feed or a refused secret.

use super::*;

#[test]
fn a_listed_revoked_or_ended_token_is_not_handed_out() {
    let key = Key::new(5, "k");
    let feeds = document(
        json!({ "revocation": { "feeds": [{ "uri": "https://idp.example/revoked.json", "cluster": "idp", "every_s": 1 }] } }),
    );
    for world in worlds(&feeds) {
        world.serve("keys", 200, key.set());
        let list = |sequence: u32, jti: &str| json!({ "sequence": sequence, "revoked": [{ "iss": OWN, "jti": jti }] });
        world.serve("feed", 200, list(1, "x"));
        let token = key.token(&own("a", 1));
        assert_eq!(world.bearer(0, START, &token), 200);
        assert_eq!(world.granted(0, START, "secret", "a", &[], Some(&token)), Ok(token.clone()));
        assert_eq!(world.handed_out(START, "fresh"), [&token, &token].map(String::clone));
        // Another spelling of it is revoked.
        let other = key.token(&own("b", 1));
        world.granted(0, START, "secret", "b", &[], Some(&other)).unwrap();
        assert_eq!(world.revoke(1, START, &format!("token={}", twin(&other))), 200);
        assert_eq!(
            world.granted(0, START, "secret", "b", &[], Some("fresh")),
            Ok("fresh".to_owned())
        );
        // The feed lists it.
        let now = START.plus_s(5);
        let headers = HeaderBlock::default();
        let body = list(2, "a").to_string();
        world.with(1, now, |facts| {
            facts.join(&Fact::Feed(0, None));
            facts.learn(
                &Fact::Feed(0, None),
                &CallAnswer { status: 200, headers: &headers, body: body.as_bytes() },
            );
        });
        assert_eq!(world.handed_out(now, "fresh"), ["fresh", "fresh"]);
    }
}

#[test]
fn a_token_whose_key_is_gone_is_not_handed_out() {
    let (old, new) = (Key::new(5, "old"), Key::new(6, "new"));
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, old.set());
        let token = old.token(&own("a", 1));
        assert_eq!(world.bearer(0, START, &token), 200);
        assert_eq!(
            world.granted(0, START.plus_s(1), "secret", "a", &[], Some(&token)),
            Ok(token.clone())
        );
        let learn = |now: Time, set: &str| {
            let headers = HeaderBlock::default();
            world.with(0, now, |facts| {
                facts.join(&Fact::Keys(0, None));
                facts.learn(
                    &Fact::Keys(0, None),
                    &CallAnswer { status: 200, headers: &headers, body: set.as_bytes() },
                );
            });
        };
        // A token that is newer than the set may be of a key that isn't in it yet.
        let early = new.token(&own("b", 1));
        assert_eq!(
            world.granted(0, START.plus_s(2), "secret", "b", &[], Some(&early)),
            Ok(early.clone())
        );
        assert_eq!(
            world.granted(1, START.plus_s(2), "secret", "b", &[], Some("fresh")),
            Ok(early.clone())
        );
        learn(START.plus_s(10), &new.set());
        let now = START.plus_s(10);
        for worker in [1, 0] {
            assert_eq!(
                world.granted(worker, now, "secret", "b", &[], Some("fresh")),
                Ok(early.clone())
            );
        }
        let fresh = new.token(&own("c", 1));
        assert_eq!(world.handed_out(now, &fresh), [&fresh, &fresh].map(String::clone));
        assert!(world.count(Metric::TokenWithdrawn) > 0);
    }
}

#[test]
fn a_token_of_another_kind_is_handed_out_as_before() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        world.bearer(0, START, &key.token(&own("warm", 1)));
        let mut elsewhere = own("a", 1);
        elsewhere["aud"] = json!("b");
        let mut foreign = own("f", 1);
        foreign["iss"] = json!("https://foreign.example");
        for (n, token) in
            [key.token(&elsewhere), key.token(&foreign), "opaque".to_owned(), "a.b.c".to_owned()]
                .into_iter()
                .enumerate()
        {
            let scope = format!("s{n}");
            assert_eq!(
                world.granted(0, START, "secret", &scope, &[], Some(&token)),
                Ok(token.clone())
            );
            for worker in [0, 1] {
                assert_eq!(
                    world.granted(worker, START.plus_s(9), "secret", &scope, &[], Some("fresh")),
                    Ok(token.clone())
                );
            }
        }
    }
}

#[test]
fn a_token_that_introspection_finds_inactive_is_not_handed_out_later_either() {
    let key = Key::new(5, "k");
    let introspects = document(json!({
        "rules": [{ "match": { "path_prefix": "/" }, "introspect": true }],
        "introspection": { "uri": "https://idp.example/introspect", "cluster": "idp", "ttl_s_max": 1, "negative_ttl_s": 1 },
    }));
    for world in worlds(&introspects) {
        world.serve("keys", 200, key.set());
        world.serve("introspection", 200, r#"{"active":true}"#);
        let token = key.token(&own("a", 1));
        assert_eq!(world.bearer(0, START, &token), 200);
        world.granted(0, START, "secret", "a", &[], Some(&token)).unwrap();
        assert_eq!(world.handed_out(START, "fresh"), [&token, &token].map(String::clone));
        world.serve("introspection", 200, r#"{"active":false}"#);
        assert_eq!(world.bearer(1, START.plus_s(2), &token), 401);
        assert_eq!(world.handed_out(START.plus_s(600), "fresh"), ["fresh", "fresh"]);
    }
}

#[test]
fn an_answer_that_was_asked_for_afresh_replaces_the_kept_one() {
    for world in worlds(&document(json!({}))) {
        assert_eq!(
            world.granted(0, START, "secret", "a", &[], Some("first")),
            Ok("first".to_owned())
        );
        assert_eq!(world.handed_out(START, "-"), ["first", "first"]);
        for (n, (name, value)) in
            [("cache-control", "no-cache"), ("pragma", "no-cache"), ("cache-control", "max-age=0")]
                .into_iter()
                .enumerate()
        {
            let fresh = format!("fresh-{n}");
            assert_eq!(
                world.granted(1, START, "secret", "a", &[(name, value)], Some(&fresh)),
                Ok(fresh.clone())
            );
            assert_eq!(world.handed_out(START, "-"), [&fresh, &fresh].map(String::clone));
        }
        // What is to be kept nowhere isn't, nor what other headers forbid to keep.
        for more in [
            &[("cache-control", "no-cache, no-store")][..],
            &[("cache-control", "no-cache"), ("dpop", "x")],
        ] {
            assert_eq!(
                world.granted(1, START, "secret", "a", more, Some("other")),
                Ok("other".to_owned())
            );
            assert_eq!(world.handed_out(START, "-"), ["fresh-2", "fresh-2"]);
        }
        // A refusal of the secret takes it away.
        assert_eq!(
            world.granted(1, START, "secret", "a", &[("cache-control", "no-cache")], None),
            Err(401)
        );
        assert_eq!(world.handed_out(START, "after"), ["after", "after"]);
    }
}

#[test]
fn a_refused_secret_takes_all_its_answers_along_and_no_others() {
    for world in worlds(&document(json!({}))) {
        for scope in ["a", "b", "c"] {
            world.granted(0, START, "secret", scope, &[], Some("old")).unwrap();
        }
        let now = START.plus_s(10);
        assert_eq!(world.granted(0, now, "wrong", "a", &[], None), Err(401));
        assert_eq!(
            world.granted(1, now, "secret", "b", &[], Some("new")),
            Ok("old".to_owned()),
            "a wrong secret takes nothing"
        );
        assert_eq!(world.granted(1, now, "secret", "d", &[], None), Err(401));
        for (worker, scope) in [(0, "a"), (1, "b")] {
            assert_eq!(
                world.granted(worker, now, "secret", scope, &[], Some("new")),
                Ok("new".to_owned())
            );
        }
        // That the secret is good again brings nothing back.
        assert_eq!(
            world.granted(1, now.plus_s(1), "secret", "c", &[], Some("newer")),
            Ok("newer".to_owned())
        );
        assert_eq!(
            world.granted(0, now.plus_s(1), "secret", "a", &[], Some("-")),
            Ok("new".to_owned())
        );
    }
}

#[test]
fn a_hit_costs_two_host_calls() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        for token in [key.token(&own("a", 1)), "opaque".to_owned()] {
            world.bearer(0, START, &token);
            world.granted(0, START, "secret", &token, &[], Some(&token)).unwrap();
            world.granted(0, START, "secret", &token, &[], None).unwrap();
            let before = world.shared.calls();
            assert_eq!(world.granted(0, START, "secret", &token, &[], None), Ok(token.clone()));
            assert_eq!(
                world.shared.calls() - before,
                2,
                "the answer, and whether anything was revoked"
            );
        }
    }
}

/// A clock that went back makes no answer that was withdrawn good again, and none that is kept then
/// bad.
#[test]
fn a_clock_that_goes_back_keeps_no_answer_from_being_served() {
    for world in worlds(&document(json!({}))) {
        world.granted(0, START.plus_s(3_600), "secret", "a", &[], Some("ahead")).unwrap();
        world.granted(0, START, "secret", "b", &[], Some("now")).unwrap();
        assert_eq!(
            world.granted(1, START.plus_s(1), "secret", "b", &[], Some("-")),
            Ok("now".to_owned())
        );
    }
}
