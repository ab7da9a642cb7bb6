//! When a token begins and ends, and how long it may live.

use proptest::prelude::*;

use super::*;
use crate::jwt::claims::DATE_S_MAX;
use crate::jwt::issuer::LifetimeFrom;

fn at(value: Value, issuer: &Issuer, now: Time) -> Result<(), Reason> {
    times(&claims(value), issuer, now, now)
}

#[test]
fn a_token_is_dead_at_exp_plus_leeway() {
    let exp = json!({"exp": 1000});
    assert_eq!(at(exp.clone(), &idp(), Time::from_s(1029)), Ok(()));
    assert_eq!(at(exp.clone(), &idp(), Time::from_ns(1_029_999_999_999)), Ok(()));
    assert_eq!(at(exp.clone(), &idp(), Time::from_s(1030)), Err(Reason::Expired));
    assert_eq!(at(exp.clone(), &idp(), Time::from_s(1_000_000)), Err(Reason::Expired));
    let exact = Issuer { leeway_s: 0, ..idp() };
    assert_eq!(at(exp.clone(), &exact, Time::from_ns(999_999_999_999)), Ok(()));
    assert_eq!(at(exp, &exact, Time::from_s(1000)), Err(Reason::Expired));
    // A fraction rounds down.
    assert_eq!(at(json!({"exp": 1000.9}), &exact, Time::from_s(1000)), Err(Reason::Expired));
    assert_eq!(at(json!({"exp": 0}), &idp(), Time::from_s(1_000_000)), Err(Reason::Expired));
    assert_eq!(end_s(&claims(json!({"exp": 1000})), &idp(), Time::from_s(5)), Some(1030));
}

#[test]
fn nbf_and_iat_may_lie_ahead_by_the_leeway() {
    for name in ["nbf", "iat"] {
        let token = |begin: f64| json!({"exp": 5000, name: begin});
        assert_eq!(at(token(1030.0), &idp(), Time::from_s(1000)), Ok(()), "{name}");
        assert_eq!(
            at(token(1031.0), &idp(), Time::from_s(1000)),
            Err(Reason::NotYetValid),
            "{name}"
        );
        assert_eq!(
            at(token(1031.0), &idp(), Time::from_ns(1_000_999_999_999)),
            Err(Reason::NotYetValid),
            "{name}"
        );
        assert_eq!(at(token(1031.0), &idp(), Time::from_s(1001)), Ok(()), "{name}");
    }
    assert_eq!(
        at(json!({"exp": 5000, "nbf": 1030.1}), &idp(), Time::from_s(1000)),
        Err(Reason::NotYetValid)
    );
}

#[test]
fn exp_is_required_unless_said_otherwise() {
    let now = Time::from_s(1000);
    assert_eq!(at(json!({}), &idp(), now), Err(Reason::Expired));
    assert_eq!(
        at(json!({"iat": 999, "nbf": 999}), &Issuer { lifetime_s_max: Some(60), ..idp() }, now),
        Err(Reason::Expired)
    );
    // Optional without a bound is no bound at all, and the configuration doesn't let it through.
    let unbounded = Issuer { exp: ExpPolicy::Optional, ..idp() };
    assert_eq!(at(json!({"iat": 999}), &unbounded, now), Err(Reason::Expired));
    assert_eq!(at(json!({"exp": 1001}), &unbounded, now), Err(Reason::Expired));

    let bounded = Issuer { exp: ExpPolicy::Optional, lifetime_s_max: Some(60), ..idp() };
    // From `iat`, with the leeway between two clocks.
    let token = claims(json!({"iat": 1000}));
    assert_eq!(times(&token, &bounded, Time::from_s(1089), now), Ok(()));
    assert_eq!(times(&token, &bounded, Time::from_s(1090), now), Err(Reason::Expired));
    // First sight doesn't prolong what `iat` bounds.
    assert_eq!(
        times(&token, &bounded, Time::from_s(1090), Time::from_s(1090)),
        Err(Reason::Expired)
    );
    // From first sight, by one clock.
    let token = claims(json!({}));
    assert_eq!(times(&token, &bounded, Time::from_s(1059), now), Ok(()));
    assert_eq!(times(&token, &bounded, Time::from_s(1060), now), Err(Reason::Expired));
    // An `exp` that is there ends the token too, with the leeway; it prolongs nothing.
    assert_eq!(at(json!({"exp": 971, "iat": 960}), &bounded, now), Ok(()));
    assert_eq!(at(json!({"exp": 970, "iat": 960}), &bounded, now), Err(Reason::Expired));
    assert_eq!(at(json!({"exp": 970}), &bounded, now), Err(Reason::Expired));
    assert_eq!(at(json!({"exp": 9000, "iat": 990}), &bounded, now), Ok(()));
    assert_eq!(at(json!({"exp": 9000, "iat": 890}), &bounded, now), Err(Reason::Expired));
    assert_eq!(
        times(&claims(json!({"exp": 9000})), &bounded, Time::from_s(1060), now),
        Err(Reason::Expired)
    );
}

#[test]
fn an_ignored_exp_is_not_looked_at() {
    let now = Time::from_s(1000);
    let legacy = Issuer { exp: ExpPolicy::Ignored, lifetime_s_max: Some(60), ..idp() };
    assert_eq!(at(json!({"exp": 900, "iat": 990}), &legacy, now), Ok(()));
    assert_eq!(at(json!({"exp": 1}), &legacy, now), Ok(()));
    assert_eq!(at(json!({"exp": 9000, "iat": 890}), &legacy, now), Err(Reason::Expired));
    assert_eq!(
        at(json!({"exp": 1001}), &Issuer { lifetime_s_max: None, ..legacy }, now),
        Err(Reason::Expired)
    );
}

#[test]
fn lifetimes_are_bounded() {
    let hour = Issuer { lifetime_s_max: Some(3600), ..idp() };
    let now = Time::from_s(10_000);
    assert_eq!(at(json!({"iat": 10_000, "exp": 13_600}), &hour, now), Ok(()));
    assert_eq!(at(json!({"iat": 10_000, "exp": 13_601}), &hour, now), Err(Reason::LifetimeTooLong));
    assert_eq!(at(json!({"iat": 10_000.5, "exp": 13_600.5}), &hour, now), Ok(()));
    assert_eq!(at(json!({"iat": 1, "exp": 13_600}), &hour, now), Err(Reason::LifetimeTooLong));
    assert_eq!(
        at(json!({"iat": 10_000, "exp": DATE_S_MAX}), &hour, now),
        Err(Reason::LifetimeTooLong)
    );
    // Without `iat` what remains is bounded, with the leeway between two clocks.
    assert_eq!(at(json!({"exp": 13_630}), &hour, now), Ok(()));
    assert_eq!(at(json!({"exp": 13_631}), &hour, now), Err(Reason::LifetimeTooLong));
    // What was admitted once stays admitted, what was refused stays refused, for one first sight.
    let token = claims(json!({"exp": 13_631}));
    assert_eq!(times(&token, &hour, Time::from_s(13_000), now), Err(Reason::LifetimeTooLong));
    // An `exp` before `iat` is no negative lifetime but a token that never was.
    assert_eq!(at(json!({"iat": 10_020, "exp": 10_010}), &hour, now), Ok(()));
    assert_eq!(
        at(json!({"iat": 10_020, "exp": 10_010}), &Issuer { leeway_s: 0, ..hour }, now),
        Err(Reason::NotYetValid)
    );
}

#[test]
fn what_is_left_of_a_life_is_bounded() {
    let hour = Issuer {
        lifetime_s_max: Some(3600),
        lifetime_from: LifetimeFrom::Now,
        leeway_s: 0,
        ..idp()
    };
    let token = claims(json!({"iat": 1, "exp": 13_600}));
    let asked = |now_s| times(&token, &hour, Time::from_s(now_s), Time::from_s(1));
    assert_eq!(asked(9_999), Err(Reason::LifetimeTooLong));
    assert_eq!(asked(10_000), Ok(()));
    assert_eq!(asked(13_599), Ok(()));
    assert_eq!(asked(13_600), Err(Reason::Expired));
    let lenient = Issuer { leeway_s: 30, ..hour };
    assert_eq!(times(&token, &lenient, Time::from_s(9_970), Time::from_s(1)), Ok(()));
    assert_eq!(
        times(&token, &lenient, Time::from_s(9_969), Time::from_s(1)),
        Err(Reason::LifetimeTooLong)
    );
}

#[test]
fn no_number_overflows() {
    let greedy_issuer = || Issuer {
        leeway_s: u64::MAX,
        lifetime_s_max: Some(u64::MAX),
        sunset_s: Some(u64::MAX),
        exp: ExpPolicy::Ignored,
        ..idp()
    };
    let greedy = greedy_issuer();
    let end_of_time = Time::from_ns(u64::MAX);
    for token in [
        json!({"exp": DATE_S_MAX, "nbf": DATE_S_MAX, "iat": DATE_S_MAX}),
        json!({"iat": 0}),
        json!({}),
        json!({"exp": 0}),
    ] {
        for now in [Time::default(), end_of_time] {
            for first_seen in [Time::default(), end_of_time] {
                assert_eq!(issuer(&greedy, None, &claims(token.clone()), now, first_seen), Ok(()));
                let _ = issuer(
                    &Issuer { exp: ExpPolicy::Optional, ..greedy_issuer() },
                    None,
                    &claims(token.clone()),
                    now,
                    first_seen,
                );
            }
        }
    }
}

#[test]
fn a_sunset_begins_at_its_second() {
    let issuer = Issuer { sunset_s: Some(1000), ..idp() };
    assert_eq!(sunset(&issuer, Time::from_ns(999_999_999_999)), Ok(()));
    assert_eq!(sunset(&issuer, Time::from_s(1000)), Err(Reason::Sunset));
    assert_eq!(sunset(&idp(), Time::from_ns(u64::MAX)), Ok(()));
}

fn policies() -> impl Strategy<Value = ExpPolicy> {
    prop_oneof![Just(ExpPolicy::Required), Just(ExpPolicy::Optional), Just(ExpPolicy::Ignored)]
}

proptest! {
    // Few seconds and quarters of them, so that the boundaries are met often.
    #![proptest_config(ProptestConfig { cases: 8000, ..ProptestConfig::default() })]

    #[test]
    fn times_agree_with_plain_arithmetic(
        exp in proptest::option::of(0u64..16), nbf in proptest::option::of(0u64..16), iat in proptest::option::of(0u64..16),
        leeway_s in 0u64..4, lifetime_s_max in proptest::option::of(0u64..8), policy in policies(),
        now_ms in (0u64..80).prop_map(|quarters| quarters * 250), seen_ms in (0u64..80).prop_map(|quarters| quarters * 250),
    ) {
        let issuer = Issuer { leeway_s, lifetime_s_max, exp: policy, ..idp() };
        let token = Claims { exp, nbf, iat, ..claims(json!({})) };
        let found = times(&token, &issuer, Time::from_ms(now_ms), Time::from_ms(seen_ms));
        let required = policy == ExpPolicy::Required;
        // In milliseconds, without saturation or rounding, first sight alone in whole seconds.
        let ms = |s: u64| i128::from(s) * 1000;
        let (now, seen, leeway) = (i128::from(now_ms), ms(seen_ms / 1000), ms(leeway_s));
        let max = lifetime_s_max.map(ms);
        let exp = exp.filter(|_| policy != ExpPolicy::Ignored);
        let expected = match (exp.map(ms), iat.map(ms), max) {
            (Some(exp), _, _) if now - exp >= leeway => Err(Reason::Expired),
            (_, Some(iat), Some(max)) if !required && now - iat >= max + leeway => Err(Reason::Expired),
            (_, None, Some(max)) if !required && now - seen >= max => Err(Reason::Expired),
            (_, _, None) if !required => Err(Reason::Expired),
            (None, _, _) if required => Err(Reason::Expired),
            (_, Some(iat), _) if iat - now > leeway => Err(Reason::NotYetValid),
            _ if nbf.is_some_and(|nbf| ms(nbf) - now > leeway) => Err(Reason::NotYetValid),
            (Some(exp), Some(iat), Some(max)) if required && exp - iat > max => Err(Reason::LifetimeTooLong),
            (Some(exp), None, Some(max)) if required && exp - seen > max + leeway => Err(Reason::LifetimeTooLong),
            _ => Ok(()),
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_window_is_what_the_checks_admit(
        exp in proptest::option::of(0u64..16), nbf in proptest::option::of(0u64..16), iat in proptest::option::of(0u64..16),
        leeway_s in 0u64..4, lifetime_s_max in proptest::option::of(0u64..8), policy in policies(), sunset_s in proptest::option::of(0u64..20),
        now_s in 0u64..20, seen_s in 0u64..20, is_huge in 0u8..8, from_now in any::<bool>(),
    ) {
        let lifetime_from = if from_now { LifetimeFrom::Now } else { LifetimeFrom::Iat };
        let issuer = Issuer { lifetime_from, leeway_s, lifetime_s_max, exp: policy, sunset_s, ..idp() };
        // Now and then at the other end of all numbers.
        let far = |bit: u8, s: Option<u64>| if is_huge == bit { s.map(|s| u64::MAX - s) } else { s };
        let token = Claims { exp: far(1, exp), nbf: far(2, nbf), iat: far(3, iat), ..claims(json!({})) };
        let (now, first_seen) = (Time::from_s(now_s), Time::from_s(seen_s));
        let admitted = sunset(&issuer, now).is_ok() && times(&token, &issuer, now, first_seen).is_ok();
        prop_assert_eq!(Window::of(&token, &issuer, first_seen).holds(now), admitted);
    }

    #[test]
    fn once_expired_always_expired(exp in 0u64..16, leeway_s in 0u64..4, now_s in 0u64..20, later_s in 0u64..1_000_000) {
        let issuer = Issuer { leeway_s, ..idp() };
        let token = claims(json!({"exp": exp}));
        let at = |s: u64| times(&token, &issuer, Time::from_s(s), Time::from_s(0));
        if at(now_s) == Err(Reason::Expired) {
            prop_assert_eq!(at(now_s + later_s), Err(Reason::Expired));
        }
        prop_assert_eq!(at(now_s).is_ok(), now_s < exp + leeway_s);
    }
}
