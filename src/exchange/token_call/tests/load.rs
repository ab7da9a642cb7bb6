//! Clients that the server tells to wait, or whose calls fail or hang: the others are served.

use super::*;

fn retry_after(answer: &Answer) -> u64 {
    answer
        .headers
        .iter()
        .find(|(name, _)| name == "retry-after")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

/// The server throttles one client: it alone is told so, whatever it asks for, and nobody else.
#[test]
fn a_429_belongs_to_the_client_that_got_it() {
    for dialect in Dialect::ALL {
        let world = two_workers(dialect, "");
        let (mut first, effect) = world.call(0, START, "noisy", ENVOY, &[], &format!("{BODY}&n=0"));
        assert!(is_led(&effect));
        let (mut follower, effect) =
            world.call(1, START, "noisy", ENVOY, &[], &format!("{BODY}&n=0"));
        assert!(matches!(effect, Effect::SleepUntil(..)));
        world.answered_with(0, START, &mut first, 429, &[("retry-after", "30")], "{}");
        let told = answer(world.woken(1, START, &mut follower));
        assert_eq!((told.status, (30..=37).contains(&retry_after(&told))), (429, true), "{told:?}");
        for n in 0..29 {
            let now = START.plus_s(n);
            let (_, effect) =
                world.call(n as usize % 2, now, "noisy", ENVOY, &[], &format!("{BODY}&n={n}"));
            let told = answer(effect);
            let left = 30 - n;
            assert_eq!(
                (told.status, (left..=left + left / 4 + 1).contains(&retry_after(&told))),
                (429, true),
                "{n}: {told:?}"
            );
            let (mut other, effect) =
                world.call(n as usize % 2, now, &format!("other{n}"), ENVOY, &[], BODY);
            assert!(is_led(&effect), "{n}");
            world.answered(n as usize % 2, now, &mut other, 200, GOOD);
        }
        assert_eq!(world.count(Metric::TokenPaused), 28);
        // The time is over: it is asked again. An hour back on the clock makes it no longer.
        let back = Time::from_s(START.s() - 3_600);
        for now in [back, START.plus_s(31)] {
            let (mut again, effect) =
                world.call(1, now, "noisy", ENVOY, &[], &format!("{BODY}&n=31"));
            assert!(is_led(&effect));
            world.with(1, now, |facts| again.close(facts));
        }
    }
}

/// A 503 with `Retry-After` likewise; and calls that end in nothing, one after the other.
#[test]
fn failures_of_one_client_pause_that_client_alone() {
    let world = two_workers(Dialect::Envoy, "");
    let (mut asked, effect) = world.call(0, START, "asked", ENVOY, &[], BODY);
    assert!(is_led(&effect));
    world.answered_with(0, START, &mut asked, 503, &[("retry-after", "20")], "{}");
    // For the same request as for another of its own.
    for body in [BODY, &format!("{BODY}&n=1")] {
        let told = answer(world.call(1, START.plus_s(5), "asked", ENVOY, &[], body).1);
        assert_eq!((told.status, (15..=19).contains(&retry_after(&told))), (503, true), "{told:?}");
    }
    let mut calls = 0;
    for n in 0..200u64 {
        let now = START.plus_ms(n * 50);
        let (mut failing, effect) =
            world.call(0, now, "failing", ENVOY, &[], &format!("{BODY}&n={n}"));
        if is_led(&effect) {
            calls += 1;
            world.answered(0, now, &mut failing, [502, 503, 504][n as usize % 3], "{}");
        }
        let (mut other, effect) = world.call(
            1,
            now,
            &format!("other{}", n % 19),
            ENVOY,
            &[("cache-control", "no-cache")],
            BODY,
        );
        assert!(is_led(&effect), "{n}");
        world.answered(1, now, &mut other, 200, GOOD);
    }
    assert!((5..=9).contains(&calls), "{calls} calls in ten seconds");
}

/// Sixty calls of one client hang; the others are served.
#[test]
fn calls_that_hang_leave_others_room() {
    let world = two_workers(Dialect::Kong, "");
    let hanging: Vec<_> = (0..60)
        .map(|n| world.call(0, START, "hog", ENVOY, &[], &format!("{BODY}&n={n}")))
        .collect();
    assert_eq!(hanging.iter().filter(|(_, effect)| is_led(effect)).count(), 25);
    assert_eq!(world.count(Metric::TokenOverShare), 35);
    for n in 0..188u64 {
        let now = START.plus_ms(n * 40);
        let (mut other, effect) = world.call(
            1,
            now,
            &format!("other{}", n % 19),
            ENVOY,
            &[("cache-control", "no-cache")],
            BODY,
        );
        assert!(is_led(&effect), "{n}");
        world.answered(1, now, &mut other, 200, GOOD);
    }
}
