//! Introspection and credentials: what their answers say, and how long they are kept, whichever way
//! the clock goes.

use crate::facts::{Endpoint, Fact, Stop, Turn};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::time::{AHEAD_MS_MAX, Time};
use crate::world::*;
use proptest::prelude::*;

const TOKEN: &[u8] = b"an opaque token";
const ASKED: &str = r#", "introspection": {"uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "g", "client_secret": "s",
    "ttl_s_max": 60, "negative_ttl_s": 5}"#;

fn idp() -> String {
    format!(r#""keys": [{{"jwk": {}}}]"#, Key::new(1).jwk(""))
}

fn introspected(world: &World, worker: usize, now: Time) -> Result<(), Stop> {
    world.with(worker, now, |facts| facts.introspected(TOKEN).map(drop))
}

fn says(world: &World, worker: usize, now: Time, status: u16, body: &str) {
    world.bring(worker, now, &Fact::Introspection(Endpoint::Document, TOKEN.to_vec()), |_| {
        (status, body.to_owned())
    });
}

/// What an answer comes to, at once and after so many seconds.
fn after(body: &str, s: u64) -> Option<Reason> {
    let world = World::new(&written(&idp(), ASKED));
    says(&world, 0, START, 200, body);
    let now = START.plus_s(s);
    let results = [introspected(&world, 0, now), introspected(&world, 1, now)];
    assert_eq!(results[0].is_ok(), results[1].is_ok(), "{body}");
    match &results[0] {
        Ok(()) => None,
        Err(Stop::Refuse(refusal)) => Some(refusal.reason),
        Err(Stop::Missing(_)) => panic!("{body}: to be asked anew"),
    }
}

/// The dates of an answer are those of a JWT (RFC 7662, section 2.2): numbers, with or without a
/// fraction.
#[test]
fn the_dates_of_an_introspection_answer_are_read_as_in_a_token() {
    let now = START.s();
    let active = |dates: String| format!(r#"{{"active": true{dates}}}"#);
    for exp in [
        format!("{}", now + 10),
        format!("{}.25", now + 10),
        format!("{}.0", now + 10),
        format!("{}e1", now / 10 + 1),
    ] {
        assert_eq!(after(&active(format!(r#", "exp": {exp}"#)), 0), None, "{exp}");
        let world = World::new(&written(&idp(), ASKED));
        says(&world, 0, START, 200, &active(format!(r#", "exp": {exp}"#)));
        assert_eq!(introspected(&world, 0, START.plus_s(9)), Ok(()), "{exp}");
        assert!(is_missing(introspected(&world, 0, START.plus_s(10))), "{exp}: it ends then");
        assert!(is_missing(introspected(&world, 1, START.plus_s(10))), "{exp}: it ends then");
    }
    for exp in [format!("{}", now), format!("{}.9", now), "0".to_owned(), "1e-400".to_owned()] {
        assert_eq!(
            after(&active(format!(r#", "exp": {exp}"#)), 0),
            Some(Reason::Inactive),
            "{exp}"
        );
    }
    for nbf in [now, now + 30] {
        assert_eq!(after(&active(format!(r#", "nbf": {nbf}"#)), 0), None, "{nbf}");
    }
    for nbf in [format!("{}", now + 31), format!("{}.1", now + 30)] {
        assert_eq!(
            after(&active(format!(r#", "nbf": {nbf}"#)), 0),
            Some(Reason::Inactive),
            "{nbf}"
        );
    }
}

/// What is no date may be the end of this token: the answer says nothing, and the failure is the
/// endpoint's.
#[test]
fn an_answer_whose_dates_are_none_is_no_answer() {
    for name in ["exp", "nbf", "iat"] {
        for date in [
            "\"1795790000\"",
            "null",
            "-1",
            "1e300",
            "1795790000000",
            "true",
            "[1]",
            "{}",
            "\"2027-01-01T00:00:00Z\"",
        ] {
            let body = format!(r#"{{"active": true, "{name}": {date}}}"#);
            assert_eq!(after(&body, 0), Some(Reason::IntrospectionUnavailable), "{body}");
            // Of a token that isn't active nothing else is asked.
            assert_eq!(
                after(&format!(r#"{{"active": false, "{name}": {date}}}"#), 0),
                Some(Reason::Inactive)
            );
        }
    }
}

#[test]
fn a_clock_that_went_back_keeps_no_introspection() {
    for (body, kept_s) in [(r#"{"active": true}"#, 60), (r#"{"active": false}"#, 5)] {
        let world = World::new(&written(&idp(), ASKED));
        says(&world, 0, START, 200, body);
        assert!(!is_missing(introspected(&world, 0, START.plus_s(kept_s - 1))));
        assert!(!is_missing(introspected(&world, 1, START.plus_s(kept_s - 1))));
        for back_s in [kept_s, 3_600, 86_400 * 365] {
            let back = Time::from_s(START.s() - back_s);
            assert!(is_missing(introspected(&world, 0, back)), "{body} in memory, {back_s} s back");
            assert!(
                is_missing(introspected(&world, 1, back)),
                "{body} in shared memory, {back_s} s back"
            );
        }
        // What is learnt then holds for as long as ever, and what was learnt before isn't heard of
        // again. (The pace of new questions is that of a limit, which takes a count from ahead for
        // a full one, once.)
        let back = Time::from_s(START.s() - 3_600);
        let _ = world.with(0, back, |facts| {
            facts.join(&Fact::Introspection(Endpoint::Document, TOKEN.to_vec()))
        });
        let back = back.plus_s(12);
        says(&world, 0, back, 200, r#"{"active": false}"#);
        assert_eq!(refused(introspected(&world, 1, back.plus_s(4))), Some(Reason::Inactive));
        assert!(is_missing(introspected(&world, 0, back.plus_s(5))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However often the clock is set, a "yes" isn't believed after its own length of running time.
    /// (Each worker looks once in 18 seconds: who doesn't look can't see that the clock went back.)
    #[test]
    fn active_is_believed_for_no_longer_than_its_length(steps in proptest::collection::vec((-40_000i64..40_000, 1u64..6_000), 1..12)) {
        let world = World::new(&written(&idp(), ASKED));
        let mut now = START;
        says(&world, 0, now, 200, r#"{"active": true}"#);
        for (set_s, run_s) in steps {
            now = Time::from_s(now.s().saturating_add_signed(set_s));
            // From now on the clock runs; both workers look.
            let believed_s = (0..run_s).step_by(9).filter(|s| introspected(&world, (s % 2) as usize, now.plus_s(*s)).is_ok()).last();
            prop_assert!(believed_s.is_none_or(|s| s <= 60 + AHEAD_MS_MAX / 1_000 + 18), "{:?} s", believed_s);
            now = now.plus_s(run_s);
        }
    }
}

const LOOKED_UP: &str = r#""credentials": {"lookup": {"uri": "https://kong.example/jwts/{key}", "cluster": "kong", "ttl_s": 600, "negative_ttl_s": 5}}"#;

#[test]
fn a_clock_that_went_back_keeps_no_credential_and_no_absence() {
    let document = written(LOOKED_UP, "").replace("ES256", "HS256");
    let found = r#"{"key": "device", "secret": "a-secret-of-thirty-two-bytes-or-more", "algorithm": "HS256"}"#;
    for (status, body, kept_s) in [(200, found, 600), (404, "{}", 5)] {
        let world = World::of(&[document.clone(), document.clone()]);
        let look = |worker: usize, now: Time| {
            world.with(worker, now, |facts| facts.credential(0, "device").map(|_| ()))
        };
        let fact = Fact::Credential(0, "device".to_owned());
        world.bring(0, START, &fact, |_| (status, body.to_owned()));
        for worker in [0, 1] {
            assert!(!is_missing(look(worker, START.plus_s(kept_s - 1))));
        }
        for worker in [0, 1] {
            for back_s in [kept_s, 3_600, 86_400] {
                assert!(
                    is_missing(look(worker, Time::from_s(START.s() - back_s))),
                    "{status}, {back_s} s back, worker {worker}"
                );
            }
        }
    }
}

/// A call that was never heard of again is over after its lease, and at once where the clock went
/// back.
#[test]
fn a_clock_that_went_back_keeps_nobody_waiting_for_a_lost_call() {
    let world = World::new(&written(&idp(), ASKED));
    let fact = Fact::Introspection(Endpoint::Document, TOKEN.to_vec());
    let join = |worker: usize, now: Time| world.with(worker, now, |facts| facts.join(&fact));
    assert_eq!(join(0, START), Turn::Lead);
    assert_eq!((join(0, START), join(1, START)), (Turn::Follow, Turn::Follow));
    // What the pace of new questions takes from ahead is over within two seconds.
    let back = Time::from_s(START.s() - 3_600);
    assert!(matches!(join(0, back), Turn::Lead | Turn::Later(_)));
    let back = back.plus_s(3);
    assert_eq!(join(0, back), Turn::Lead, "the worker that led it");
    assert_eq!(join(1, back), Turn::Follow, "one leads again");
    let further = Time::from_s(START.s() - 7_200);
    assert!(matches!(join(1, further), Turn::Lead | Turn::Later(_)));
    assert_eq!(join(1, further.plus_s(3)), Turn::Lead, "another one");
}

/// What is known under an entry outlives a document that differs elsewhere, and no change of the
/// entry.
#[test]
fn a_configuration_that_differs_elsewhere_forgets_no_introspection() {
    let mut world = World::new(&written(&idp(), ASKED));
    says(&world, 0, START, 200, r#"{"active": true}"#);
    let rule = r#", "rules": [{"match": {"path": "/new"}, "access": "public"}]"#;
    world.add_worker(&written(&idp(), &format!("{ASKED}{rule}")));
    assert_eq!(introspected(&world, 2, START.plus_s(1)), Ok(()));
    assert_eq!(world.count(Metric::IntrospectionHit), 1);
    for (from, to) in [
        ("/introspect", "/other"),
        (r#""s""#, r#""t""#),
        ("60", "59"),
        (r#""ttl_s_max""#, r#""kind": "status", "ttl_s_max""#),
    ] {
        world.add_worker(&written(&idp(), &ASKED.replace(from, to)));
        let worker = world.workers.len() - 1;
        assert!(is_missing(introspected(&world, worker, START.plus_s(1))), "{to}");
    }
}
