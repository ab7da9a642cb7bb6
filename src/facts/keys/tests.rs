//! Key sets that change, move, are empty, or name no keys; and clocks that go back.

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::time::Time;
use crate::world::*;

const BY_URI: &str = r#""cluster": "idp", "jwks_uri": "https://idp.example/jwks", "jwks": {"ttl_s": 600, "refetch_s": 30, "stale_s_max": 3600}"#;
const BY_DISCOVERY: &str = r#""cluster": "idp", "discovery": true, "jwks": {"ttl_s": 600, "refetch_s": 30, "stale_s_max": 3600}"#;

fn metadata(path: &str) -> (u16, String) {
    (
        200,
        format!(r#"{{"issuer": "https://idp.example", "jwks_uri": "https://idp.example{path}"}}"#),
    )
}

fn hour_back(now: Time) -> Time {
    Time::from_s(now.s() - 3_600)
}

/// A set that would refuse everyone is a failed fetch, and the set before it serves on.
#[test]
fn a_set_without_a_usable_key_replaces_none() {
    let key = Key::new(1);
    let unusable = [
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"quantum"}]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#,
        r#"{"keys":[{"kty":"EC","crv":"P-256","use":"enc","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
    ];
    for empty in unusable {
        let world = World::new(&written(BY_URI, ""));
        assert_eq!(
            world.fetch(0, START, &key.fresh("a", 1), |_| served(&[key.jwk("a")])).0,
            Ok(())
        );
        let later = START.plus_s(601);
        let (result, asked) =
            world.fetch(0, later, &key.fresh("a", 2), |_| (200, empty.to_owned()));
        assert_eq!((result, asked.len()), (Ok(()), 1), "{empty}");
        assert!(world.check(1, later, &key.fresh("a", 3)).is_ok(), "on the other worker too");
        assert_eq!(
            (world.count(Metric::JwksFetched), world.count(Metric::JwksFetchFailed)),
            (1, 1)
        );
        // It serves for as long as any set while its endpoint fails, and then no longer.
        assert!(
            world.check(1, START.plus_s(4_199), &key.fresh("a", 4)).is_err(),
            "that token has ended"
        );
        assert_eq!(
            refused(world.check(1, START.plus_s(601), &forged(&key.fresh("a", 5)))),
            Some(Reason::BadSignature)
        );
    }
}

#[test]
fn a_first_set_without_a_usable_key_is_no_set() {
    let key = Key::new(1);
    let world = World::new(&written(BY_URI, ""));
    let (result, _) =
        world.fetch(0, START, &key.fresh("a", 1), |_| (200, r#"{"keys":[]}"#.to_owned()));
    assert_eq!(result, Err(Reason::KeysUnavailable));
}

/// Keys that can't be used are all that is known of the issuer: its tokens have no key, and nobody
/// is told to come back.
#[test]
fn a_first_set_of_unusable_keys_says_that_there_is_no_key() {
    let key = Key::new(1);
    let world = World::new(&written(BY_URI, ""));
    let mut for_encryption = key.jwk("a");
    for_encryption["use"] = "enc".into();
    let unusable = served(&[for_encryption]);
    let (result, _) = world.fetch(0, START, &key.fresh("a", 1), |_| unusable.clone());
    assert_eq!(result, Err(Reason::UnknownKey));
    assert_eq!(
        refused(world.check(1, START.plus_s(1), &key.fresh("a", 2))),
        Some(Reason::UnknownKey)
    );
    assert_eq!(world.count(Metric::JwksFetchFailed), 0);
}

/// A key that changed under its name, and one of a set without names.
#[test]
fn a_key_that_changed_is_fetched_on_a_bad_signature() {
    for kid in ["a", ""] {
        let (old, new) = (Key::new(1), Key::new(2));
        let world = World::new(&written(BY_URI, ""));
        assert_eq!(
            world.fetch(0, START, &old.fresh(kid, 1), |_| served(&[old.jwk(kid)])).0,
            Ok(())
        );
        assert!(world.check(1, START, &old.fresh(kid, 2)).is_ok());
        let rotated = |_: &str| served(&[new.jwk(kid)]);
        let (result, asked) = world.fetch(0, START.plus_s(1), &new.fresh(kid, 3), rotated);
        assert_eq!((result, asked.len()), (Ok(()), 1), "kid {kid:?}");
        assert!(
            world.check(1, START.plus_s(1), &new.fresh(kid, 4)).is_ok(),
            "the other worker takes it over"
        );
        assert_eq!(
            refused(world.check(1, START.plus_s(1), &old.fresh(kid, 5))),
            Some(Reason::BadSignature)
        );
        assert_eq!(
            refused(world.check(1, START.plus_s(1), &old.fresh(kid, 2))),
            Some(Reason::BadSignature),
            "known before"
        );
    }
}

/// A key of another algorithm under the same name.
#[test]
fn a_key_that_changed_its_algorithm_is_fetched() {
    let key = Key::new(1);
    let world = World::of(&[written(BY_URI, "").replace(r#"["ES256"]"#, r#"["ES256", "EdDSA"]"#)]);
    let ed = r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let (result, _) =
        world.fetch(0, START, &key.fresh("a", 1), |_| served(&[serde_json::from_str(ed).unwrap()]));
    assert_eq!(result, Err(Reason::Algorithm));
    let (result, _) =
        world.fetch(0, START.plus_s(31), &key.fresh("a", 1), |_| served(&[key.jwk("a")]));
    assert_eq!(result, Ok(()));
}

/// Forged tokens cause one fetch an interval, as unknown names do, and together with them.
#[test]
fn bad_signatures_do_not_storm_the_key_server() {
    let key = Key::new(1);
    let world = World::new(&written(BY_URI, ""));
    assert_eq!(world.fetch(0, START, &key.fresh("a", 0), |_| served(&[key.jwk("a")])).0, Ok(()));
    for id in 1..100 {
        let bad = if id % 2 == 0 { forged(&key.fresh("a", id)) } else { key.fresh("b", id) };
        let expected = if id % 2 == 0 { Reason::BadSignature } else { Reason::UnknownKey };
        let (result, _) =
            world.fetch(id as usize % 2, START.plus_s(1), &bad, |_| served(&[key.jwk("a")]));
        assert_eq!(result, Err(expected));
    }
    assert_eq!((world.count(Metric::JwksFetched), world.count(Metric::JwksUnknownKid)), (2, 1));
    // While the server fails they are refused at once.
    let later = START.plus_s(40);
    assert_eq!(
        world.fetch(0, later, &forged(&key.fresh("a", 200)), |_| (500, String::new())).0,
        Err(Reason::BadSignature)
    );
    assert_eq!(
        refused(world.check(1, later, &forged(&key.fresh("a", 201)))),
        Some(Reason::BadSignature)
    );
    assert_eq!(world.count(Metric::JwksFetchFailed), 1);
    assert!(world.check(1, later, &key.fresh("a", 202)).is_ok());
}

/// The place of the keys is asked for again when a key is unknown, and the keys after it.
#[test]
fn a_moved_jwks_uri_is_found_when_a_key_is_unknown() {
    let (old, new) = (Key::new(1), Key::new(2));
    let world = World::new(&written(BY_DISCOVERY, ""));
    let before =
        |path: &str| if path == "/jwks" { served(&[old.jwk("a")]) } else { metadata("/jwks") };
    assert_eq!(
        world.fetch(0, START, &old.fresh("a", 1), before).1,
        ["/.well-known/openid-configuration", "/jwks"]
    );
    assert!(world.check(1, START, &old.fresh("a", 2)).is_ok());
    // The old place serves the old set still.
    let after = |path: &str| match path {
        "/jwks" => served(&[old.jwk("a")]),
        "/new" => served(&[old.jwk("a"), new.jwk("b")]),
        _ => metadata("/new"),
    };
    let (result, asked) = world.fetch(1, START.plus_s(60), &new.fresh("b", 3), after);
    assert_eq!(
        (result, asked),
        (Ok(()), vec!["/.well-known/openid-configuration".to_owned(), "/new".to_owned()])
    );
    assert!(world.check(0, START.plus_s(60), &new.fresh("b", 4)).is_ok());
    // Paced: one more unknown key asks nobody.
    for worker in [0, 1] {
        let (result, asked) = world.fetch(worker, START.plus_s(70), &new.fresh("c", 5), after);
        assert_eq!((result, asked), (Err(Reason::UnknownKey), vec![]));
    }
}

#[test]
fn the_place_of_the_keys_is_asked_for_again_within_a_day() {
    let key = Key::new(1);
    let world = World::new(&written(BY_DISCOVERY, ""));
    let serve = |path: &str| {
        if path.starts_with("/jwks") { served(&[key.jwk("a")]) } else { metadata("/jwks") }
    };
    assert_eq!(world.fetch(0, START, &key.fresh("a", 1), serve).0, Ok(()));
    assert!(world.check(1, START, &key.fresh("a", 2)).is_ok());
    let moved = |path: &str| {
        if path == "/jwks-new" { served(&[key.jwk("a")]) } else { metadata("/jwks-new") }
    };
    let mut asked = Vec::new();
    for minute in 1..=24 * 60 {
        for worker in [0, 1] {
            let now = START.plus_s(minute * 60);
            let due = world.tick_with(worker, now, |path| {
                if path == "/jwks" { serve(path) } else { moved(path) }
            });
            asked.extend(due.into_iter().filter(|path| path != "/jwks").map(|path| (minute, path)));
        }
    }
    let metadata: Vec<u64> = asked
        .iter()
        .filter(|(_, path)| path.starts_with("/.well-known"))
        .map(|(minute, _)| *minute)
        .collect();
    assert_eq!(metadata.len(), 1, "{asked:?}");
    let (moved_at, _) =
        asked.iter().find(|(_, path)| path == "/jwks-new").expect("the new place is asked");
    assert!(*moved_at <= metadata[0] + 1, "{asked:?}");
}

/// Where the metadata can't be had, the keys are asked for where they were.
#[test]
fn an_old_place_is_better_than_none() {
    let key = Key::new(1);
    let world = World::new(&written(BY_DISCOVERY, ""));
    let serve =
        |path: &str| if path == "/jwks" { served(&[key.jwk("a")]) } else { metadata("/jwks") };
    let down =
        |path: &str| if path == "/jwks" { served(&[key.jwk("a")]) } else { (500, String::new()) };
    assert_eq!(world.fetch(0, START, &key.fresh("a", 1), serve).0, Ok(()));
    for hour in 1..50 {
        world.tick_with(0, START.plus_s(hour * 3_600), down);
        world.tick_with(0, START.plus_s(hour * 3_600), down);
    }
    let late = START.plus_s(50 * 3_600);
    let token = key.token_with("a", &format!(r#","iat":{},"exp":{}"#, late.s(), late.s() + 60));
    assert_eq!(world.fetch(0, late, &token, down).0, Ok(()));
}

fn unnamed(count: u16) -> Vec<serde_json::Value> {
    (1..=count).map(|number| Key::new(number).jwk("")).collect()
}

/// Of a hundred keys without a name any may be a token's.
#[test]
fn all_keys_without_a_name_are_tried() {
    let world = World::new(&written(BY_URI, ""));
    let set = unnamed(100);
    assert_eq!(world.fetch(0, START, &Key::new(100).fresh("", 1), |_| served(&set)).0, Ok(()));
    for number in [9, 50, 99] {
        // A name that the set doesn't know may be that of a key without one.
        for kid in ["", "a"] {
            assert!(
                world.check(1, START, &Key::new(number).fresh(kid, 2)).is_ok(),
                "{number} {kid:?}"
            );
        }
    }
}

/// Tokens that no key verifies cost little; who uses the keys that verified lately doesn't feel
/// them.
#[test]
fn a_flood_of_bad_signatures_is_bounded() {
    let world = World::new(&written(BY_URI, ""));
    let set = unnamed(60);
    let good = Key::new(60);
    assert_eq!(world.fetch(0, START, &good.fresh("", 0), |_| served(&set)).0, Ok(()));
    let now = START.plus_s(1);
    let mut tried_out = 0;
    for id in 1..60 {
        match world.fetch(0, now, &Key::new(1_000).fresh("", id), |_| served(&set)).0 {
            Err(Reason::BadSignature) => tried_out += 1,
            Err(Reason::KeysUnavailable) => {}
            other => panic!("{other:?}"),
        }
        assert!(
            world.check(0, now, &good.fresh("", 1_000 + id)).is_ok(),
            "the key that verified last is tried first"
        );
    }
    // 52 further tries of 300 us, for a fifth of the time: two seconds ahead of it at most.
    assert!((23..=28).contains(&tried_out), "{tried_out}");
    assert_eq!(world.count(Metric::JwksNotAllTried), 59 - tried_out);
    // Time pays for it, and a clock that goes back doesn't owe for ever.
    let bad = Key::new(1_000).fresh("", 70);
    for now in [now.plus_s(3), Time::from_s(START.s() - 600)] {
        assert_eq!(world.fetch(0, now, &bad, |_| served(&set)).0, Err(Reason::BadSignature));
    }
}

/// After the clock went back a set is of no age that is known: it is fetched, and serves meanwhile.
#[test]
fn a_clock_that_went_back_keeps_no_set_fresh() {
    let (old, new) = (Key::new(1), Key::new(2));
    let world = World::new(&written(BY_URI, ""));
    assert_eq!(world.fetch(0, START, &old.fresh("a", 1), |_| served(&[old.jwk("a")])).0, Ok(()));
    assert!(world.check(1, START, &old.fresh("a", 1)).is_ok());
    let back = hour_back(START);
    assert!(is_missing(world.check(1, back, &old.fresh("a", 1))), "of a token that it knows too");
    assert_eq!(world.tick_with(0, back, |_| served(&[new.jwk("b")])), ["/jwks"]);
    for worker in [0, 1] {
        assert_eq!(
            world.fetch(worker, back, &old.fresh("a", 1), |_| served(&[new.jwk("b")])).0,
            Err(Reason::UnknownKey)
        );
        assert!(world.check(worker, back, &new.fresh("b", 2)).is_ok());
    }
}

/// While the server fails it serves for the length of any old set from then on, and not for an hour
/// more.
#[test]
fn a_clock_that_went_back_prolongs_no_stale_set() {
    let key = Key::new(1);
    let mut world = World::new(&written(BY_URI, ""));
    assert_eq!(world.fetch(0, START, &key.fresh("a", 1), |_| served(&[key.jwk("a")])).0, Ok(()));
    let back = Time::from_s(START.s() - 30 * 86_400);
    let token = |now: Time| {
        key.token_with("a", &format!(r#","iat":{},"exp":{}"#, now.s() - 10, now.s() + 60))
    };
    let down = |_: &str| (500, String::new());
    assert_eq!(world.fetch(0, back, &token(back), down).0, Ok(()));
    // Also by a worker that came later and reads it from shared memory.
    world.add_worker(&written(BY_URI, ""));
    assert!(world.check(2, back, &token(back)).is_ok());
    let within = back.plus_s(600 + 3_599);
    let after = back.plus_s(600 + 3_600);
    for worker in [0, 2] {
        assert_eq!(world.fetch(worker, within, &token(within), down).0, Ok(()), "{worker}");
        assert_eq!(
            world.fetch(worker, after, &token(after), down).0,
            Err(Reason::KeysUnavailable),
            "{worker}"
        );
    }
}

#[test]
fn a_clock_that_went_back_keeps_no_place_of_keys() {
    let key = Key::new(1);
    let world = World::new(&written(BY_DISCOVERY, ""));
    let serve =
        |path: &str| if path == "/jwks" { served(&[key.jwk("a")]) } else { metadata("/jwks") };
    assert_eq!(world.fetch(0, START, &key.fresh("a", 1), serve).0, Ok(()));
    let (result, asked) = world.fetch(1, hour_back(START), &key.fresh("a", 1), serve);
    assert_eq!((result, asked.len()), (Ok(()), 2), "{asked:?}");
}
