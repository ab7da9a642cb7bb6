//! Kept answers and time: a clock that goes back, a new configuration, and clients that want it
//! fresh.

use super::*;

/// A server that failed a moment ago isn't asked for a second. It is asked again after that,
/// wherever the clock stands.
#[test]
fn a_clock_that_went_back_keeps_no_failure() {
    for back_s in [1, 3_600, 86_400 * 365] {
        let world = two_workers(Dialect::Envoy, "");
        let (mut exchange, effect) = world.plain(0, START);
        assert!(is_led(&effect));
        world.answered(0, START, &mut exchange, 503, "{}");
        assert_eq!(answer(world.plain(1, START).1).status, 503);
        let back = Time::from_s(START.s() - back_s).plus_s(5);
        let (mut exchange, effect) = world.plain(1, back);
        assert!(is_led(&effect), "{back_s} s back");
        world.answered(1, back, &mut exchange, 200, GOOD);
        assert_eq!(source(&answer(world.plain(0, back).1)), Some("hit"));
    }
}

#[test]
fn a_clock_that_went_back_keeps_no_answer_and_no_refusal() {
    for (status, body) in
        [(200, GOOD), (401, r#"{"error":"invalid_client"}"#), (200, r#"{"access_token":"x"}"#)]
    {
        let world = two_workers(Dialect::Envoy, "");
        let (mut exchange, _) = world.plain(0, START);
        world.answered(0, START, &mut exchange, status, body);
        let (_, effect) = world.plain(1, Time::from_s(START.s() - 3_600));
        assert!(is_led(&effect), "{body}");
        // It has the lease: the mark that nothing can be shared is gone too.
        let (_, effect) = world.plain(0, Time::from_s(START.s() - 3_600));
        assert!(matches!(effect, Effect::SleepUntil(..)), "{body}");
    }
}

/// A leader that was never heard of again holds nobody up after the clock went back.
#[test]
fn a_clock_that_went_back_keeps_no_lost_leader() {
    let world = two_workers(Dialect::Envoy, r#", "coalesce_refresh": true"#);
    for body in [BODY, REFRESH] {
        let call = |now: Time| world.call(0, now, "secret", ENVOY, &[], body).1;
        assert!(is_led(&call(START)));
        assert!(matches!(call(START), Effect::SleepUntil(..)));
        assert!(is_led(&call(Time::from_s(START.s() - 3_600))), "{body}");
    }
}

fn with_config(world: &mut World, more: &str, endpoint: &str) -> usize {
    world.add_worker(&document(&format!(r#", "jitter": 0{endpoint}"#), more));
    world.workers.len() - 1
}

#[test]
fn a_configuration_that_differs_elsewhere_forgets_no_answer() {
    let mut world = two_workers(Dialect::Envoy, "");
    let (mut exchange, _) = world.plain(0, START);
    world.answered(0, START, &mut exchange, 200, GOOD);
    let rule = r#", "rules": [{"match": {"path": "/new"}, "access": "public"}]"#;
    let limit =
        r#", "rate_limits": [{"name": "calls", "key": ["address"], "limit": 5, "per_s": 1}]"#;
    for (more, endpoint) in [
        (rule, ""),
        (limit, r#", "limits": ["calls"]"#),
        ("", r#", "upstream_calls_max": 7, "wait_ms_max": 70"#),
    ] {
        let worker = with_config(&mut world, more, endpoint);
        assert_eq!(source(&answer(world.plain(worker, START).1)), Some("hit"), "{more}{endpoint}");
    }
    let worker = with_config(&mut world, "", r#", "reuse": {"max_s": 7}"#);
    assert!(is_led(&world.plain(worker, START).1), "the entry itself has changed");
}

/// How the server fares is no matter of the configuration.
#[test]
fn a_configuration_that_differs_ends_no_outage() {
    let mut world = two_workers(Dialect::Envoy, "");
    let client = |world: &World, worker: usize, now: Time, name: &str| {
        world.call(worker, now, name, ENVOY, &[], BODY)
    };
    for n in 0..40u64 {
        let (mut exchange, effect) = client(&world, 0, START.plus_ms(n), &format!("secret-{n}"));
        if is_led(&effect) {
            world.answered(0, START.plus_ms(n), &mut exchange, 503, "{}");
        }
    }
    let now = START.plus_ms(50);
    assert_eq!(answer(client(&world, 1, now, "another").1).status, 503, "there is an outage");
    let worker = with_config(
        &mut world,
        r#", "rules": [{"match": {"path": "/new"}, "access": "public"}]"#,
        r#", "negative_ttl_s": 6"#,
    );
    assert_eq!(answer(client(&world, worker, now, "another").1).status, 503);
}

/// RFC 9111, section 5.2.1: how old a kept answer may be, and for how long it must be good.
#[test]
fn a_client_that_wants_it_fresh_gets_it_so() {
    let world = two_workers(Dialect::Envoy, "");
    let (mut exchange, _) = world.plain(0, START);
    world.answered(0, START, &mut exchange, 200, GOOD);
    let now = START.plus_s(100);
    let asks =
        |value: &str| world.call(1, now, "secret", ENVOY, &[("cache-control", value)], BODY).1;
    for enough in [
        "max-age=100",
        "max-age=\"100\"",
        "min-fresh=3500",
        "max-age=200, min-fresh=60",
        "max-stale=0",
        "no-transform",
    ] {
        assert_eq!(source(&answer(asks(enough))), Some("hit"), "{enough}");
    }
    for (n, fresher) in ["max-age=99", "max-age=1", "min-fresh=3501", "max-age=200, min-fresh=3600"]
        .into_iter()
        .enumerate()
    {
        let world = two_workers(Dialect::Envoy, "");
        let (mut exchange, _) = world.plain(0, START);
        world.answered(0, START, &mut exchange, 200, GOOD);
        let (mut exchange, effect) =
            world.call(1, now, "secret", ENVOY, &[("cache-control", fresher)], BODY);
        assert!(is_led(&effect), "{fresher}");
        // Those who don't ask for more are served meanwhile, and those who do wait for that one
        // call.
        assert_eq!(source(&answer(world.plain(0, now).1)), Some("hit"));
        let (mut follower, effect) =
            world.call(0, now, "secret", ENVOY, &[("cache-control", fresher)], BODY);
        assert!(matches!(effect, Effect::SleepUntil(..)), "{fresher}");
        // The call takes a while: its answer is as fresh as can be all the same.
        let later = now.plus_s(3);
        world.answered(
            1,
            later,
            &mut exchange,
            200,
            &GOOD.replace("first", &format!("second-{n}")),
        );
        for told in [answer(world.woken(0, later, &mut follower)), answer(world.plain(0, later).1)]
        {
            assert!(
                String::from_utf8_lossy(&told.body).contains(&format!("second-{n}")),
                "{fresher}"
            );
        }
    }
    for none in ["no-cache", "max-age=0", "max-age=00", "max-age=\"0\"", "no-store", "max-age"] {
        let effect = asks(none);
        assert!(is_led(&effect), "{none}");
        let Effect::Finish(Finish::Admit(changes)) = effect else { panic!() };
        assert!(
            changes.edits().response.contains(&("herdgate-cache".to_owned(), "bypass".to_owned())),
            "{none}"
        );
    }
}
