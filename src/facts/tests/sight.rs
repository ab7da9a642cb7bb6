//! When a token was first seen, and which of its spellings was verified.

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::time::Time;
use crate::world::*;

fn by_first_sight(more: &str) -> String {
    let jwk = Key::new(1).jwk("");
    written(
        &format!(r#""exp": "optional", "lifetime_s_max": 100, "keys": [{{"jwk": {jwk}}}]{more}"#),
        "",
    )
}

/// r and n - s verify where r and s do: a lifetime that begins with first sight doesn't begin anew
/// with it.
#[test]
fn the_twin_of_a_token_has_no_life_of_its_own() {
    let token = Key::new(1).token_with("", r#","sub":"a""#);
    let world = World::of(&[by_first_sight(""), by_first_sight("")]);
    assert!(world.check(0, START, &token).is_ok());
    assert!(world.check(1, START.plus_s(50), &twin(&token)).is_ok(), "in its time it is as good");
    assert!(world.check(0, START.plus_s(99), &twin(&token)).is_ok());
    for worker in [0, 1] {
        for spelling in [&token, &twin(&token)] {
            assert_eq!(
                refused(world.check(worker, START.plus_s(100), spelling)),
                Some(Reason::Expired)
            );
            assert_eq!(
                refused(world.check(worker, START.plus_s(86_400), spelling)),
                Some(Reason::Expired)
            );
        }
    }
}

/// A worker that didn't see it, and a configuration whose issuer differs in something else.
#[test]
fn first_sight_outlives_workers_and_configurations() {
    let token = Key::new(1).token_with("", r#","sub":"a""#);
    let mut world = World::of(&[by_first_sight("")]);
    assert!(world.check(0, START, &token).is_ok());
    world.add_worker(&by_first_sight(""));
    world.add_worker(&by_first_sight(r#", "consumer": "x""#));
    world.add_worker(&by_first_sight(r#", "scope_claim": "roles""#));
    for worker in 1..4 {
        assert!(world.check(worker, START.plus_s(99), &token).is_ok(), "{worker}");
        assert_eq!(
            refused(world.check(worker, START.plus_s(100), &token)),
            Some(Reason::Expired),
            "{worker}"
        );
    }
}

/// The record of a verified token is one of its very bytes: a forged twin finds nothing.
#[test]
fn a_forged_twin_of_a_verified_token_is_refused_on_all_workers() {
    for claims in [r#","sub":"a""#.to_owned(), format!(r#","iat":{}"#, START.s() - 1)] {
        let token = Key::new(1).token_with("", &claims);
        let world = World::of(&[by_first_sight(""), by_first_sight("")]);
        assert!(world.check(0, START, &token).is_ok());
        for worker in [0, 1] {
            for bad in [forged(&token), forged(&twin(&token)), Key::new(2).token_with("", &claims)]
            {
                assert_eq!(refused(world.check(worker, START, &bad)), Some(Reason::BadSignature));
            }
        }
        assert_eq!(world.count(Metric::L2Hit), 0);
        assert!(world.check(1, START, &token).is_ok());
        assert_eq!((world.count(Metric::L2Hit), world.count(Metric::Verified)), (1, 1));
    }
}

/// What nobody verified leaves no trace: a forged token doesn't begin the lifetime of a good one.
#[test]
fn a_forged_token_is_not_seen() {
    let token = Key::new(1).token_with("", r#","sub":"a""#);
    let world = World::of(&[by_first_sight("")]);
    assert_eq!(refused(world.check(0, START, &forged(&token))), Some(Reason::BadSignature));
    assert!(world.check(0, START.plus_s(1_000), &token).is_ok());
}

/// A first sight that lies ahead is of before the clock went back. The token lives from now on, for
/// its own length.
#[test]
fn a_clock_that_went_back_prolongs_no_life() {
    let token = Key::new(1).token_with("", r#","sub":"a""#);
    let mut world = World::of(&[by_first_sight("")]);
    assert!(world.check(0, START.plus_s(31_536_000), &token).is_ok());
    // Of a worker that has it in its memory, and of one that hasn't.
    world.add_worker(&by_first_sight(""));
    for worker in [1, 0] {
        assert!(world.check(worker, START, &token).is_ok());
    }
    world.add_worker(&by_first_sight(""));
    assert_eq!(refused(world.check(2, START.plus_s(100), &token)), Some(Reason::Expired));
    assert_eq!(refused(world.check(1, START.plus_s(100), &token)), Some(Reason::Expired));
}

/// A machine without a clock of its own starts at 1970: by such a clock no token has ended.
#[test]
fn nothing_is_admitted_by_a_clock_that_was_never_set() {
    let jwk = Key::new(1).jwk("");
    let document = written(&format!(r#""keys": [{{"jwk": {jwk}}}]"#), "");
    let token = Key::new(1).token_with("", &format!(r#","exp":{}"#, START.s() + 60));
    let world = World::of(&[document.clone(), document]);
    for now in [Time::default(), Time::from_s(1), Time::from_s(1_735_689_599)] {
        assert_eq!(refused(world.check(0, now, &token)), Some(Reason::ClockUnset));
    }
    assert!(world.check(0, START, &token).is_ok());
    // Known to one worker, to the other by the shared record.
    for worker in [0, 1] {
        assert_eq!(refused(world.check(worker, Time::from_s(5), &token)), Some(Reason::ClockUnset));
        assert!(world.check(worker, START.plus_s(1), &token).is_ok());
        assert_eq!(refused(world.check(worker, START.plus_s(60), &token)), Some(Reason::Expired));
    }
}
