use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::jwt::claims::DATE_S_MAX;
use crate::jwt::issuer::tests::example;
use crate::jwt::issuer::{IssuerMatch, LifetimeFrom};

fn claims(value: Value) -> Claims {
    let Value::Object(members) = value else { panic!("an object") };
    Claims::from_map(members).expect("well-typed claims")
}

fn path(segments: &[&str]) -> ClaimPath {
    ClaimPath(segments.iter().map(|segment| (*segment).to_owned()).collect())
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Leeway 30 s.
fn idp() -> Issuer {
    example(IssuerMatch::Exact("i".to_owned()))
}

fn asked() -> Requirements {
    Requirements::default()
}

fn own(own: Demands) -> Requirements {
    Requirements { own, ..asked() }
}

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

fn policies() -> impl Strategy<Value = ExpPolicy> {
    prop_oneof![Just(ExpPolicy::Required), Just(ExpPolicy::Optional), Just(ExpPolicy::Ignored)]
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

#[test]
fn a_sunset_begins_at_its_second() {
    let issuer = Issuer { sunset_s: Some(1000), ..idp() };
    assert_eq!(sunset(&issuer, Time::from_ns(999_999_999_999)), Ok(()));
    assert_eq!(sunset(&issuer, Time::from_s(1000)), Err(Reason::Sunset));
    assert_eq!(sunset(&idp(), Time::from_ns(u64::MAX)), Ok(()));
}

#[test]
fn typ_compares_as_media_types_do() {
    let none = claims(json!({}));
    let at_jwt = Issuer { typ: Some("at+jwt".to_owned()), ..idp() };
    for good in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert_eq!(typ(&at_jwt, Some(good), &none), Ok(()), "{good}");
    }
    for bad in [
        "",
        "JWT",
        "at+jwt ",
        "at",
        "jwt",
        "dpop+jwt",
        "text/at+jwt",
        "application/application/at+jwt",
        "application/",
        "applicatioñ/at+jwt",
    ] {
        assert_eq!(typ(&at_jwt, Some(bad), &none), Err(Reason::WrongType), "{bad}");
    }
    assert_eq!(typ(&at_jwt, None, &none), Err(Reason::WrongType));
    let long = Issuer { typ: Some("application/at+jwt".to_owned()), ..idp() };
    assert_eq!(typ(&long, Some("at+JWT"), &none), Ok(()));
    // `application/` may be left out only where no other `/` remains.
    let other = Issuer { typ: Some("a/b".to_owned()), ..idp() };
    assert_eq!(
        (typ(&other, Some("A/b"), &none), typ(&other, Some("application/a/b"), &none)),
        (Ok(()), Err(Reason::WrongType))
    );
    assert_eq!(typ(&idp(), None, &none), Ok(()));
    assert_eq!(typ(&idp(), Some("anything"), &none), Ok(()));
}

#[test]
fn one_audience_of_ours_suffices() {
    let issuer = Issuer { audiences: strings(&["orders", "bills"]), ..idp() };
    for good in [json!("orders"), json!(["x", "bills"])] {
        assert_eq!(audience(&issuer, &claims(json!({"aud": good}))), Ok(()));
    }
    for bad in [
        json!({}),
        json!({"aud": []}),
        json!({"aud": "Orders"}),
        json!({"aud": "orders bills"}),
        json!({"aud": ["x", ""]}),
    ] {
        assert_eq!(audience(&issuer, &claims(bad)), Err(Reason::WrongAudience));
    }
    assert_eq!(audience(&idp(), &claims(json!({}))), Ok(()));
}

#[test]
fn required_claims_are_there_and_not_null() {
    let issuer = Issuer { claims_required: vec![path(&["sub"]), path(&["realm", "id"])], ..idp() };
    assert_eq!(
        claims_required(&issuer, &claims(json!({"sub": "", "realm": {"id": false}}))),
        Ok(())
    );
    for bad in [
        json!({}),
        json!({"sub": "a"}),
        json!({"sub": "a", "realm": {"id": null}}),
        json!({"sub": "a", "realm.id": 1}),
    ] {
        assert_eq!(claims_required(&issuer, &claims(bad)), Err(Reason::ClaimMissing));
    }
}

#[test]
fn scopes_come_from_one_claim() {
    let of = |value: Value, claim: Option<&ClaimPath>| {
        scopes(&claims(value), claim).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(json!({"scope": "a  b c "}), None), ["a", "b", "c"]);
    assert_eq!(of(json!({"scope": ["a", "b c", "", 1, null, ["d"]]}), None), ["a", "b c"]);
    assert_eq!(of(json!({"scp": ["a"]}), None), ["a"]);
    assert_eq!(of(json!({"scp": "a b"}), None), ["a", "b"]);
    // `scope` that is there hides `scp`, even if it holds nothing.
    assert_eq!(of(json!({"scope": "", "scp": "a"}), None), [""; 0]);
    assert_eq!(of(json!({"scope": null, "scp": "a"}), None), [""; 0]);
    assert_eq!(of(json!({"scope": "a\tb\nc"}), None), ["a\tb\nc"]);
    let roles = path(&["realm", "roles"]);
    assert_eq!(of(json!({"scope": "a", "realm": {"roles": ["r"]}}), Some(&roles)), ["r"]);
    assert_eq!(of(json!({"scope": "a"}), Some(&roles)), [""; 0]);
    for none in [json!({}), json!({"scope": 1}), json!({"scope": {"a": 1}}), json!({"scope": true})]
    {
        assert_eq!(of(none, None), [""; 0]);
    }
}

#[test]
fn rules_bind_issuers_and_audiences() {
    let token = claims(json!({"aud": ["a"]}));
    let bound = Requirements { issuers: Some(vec![1, 3]), ..asked() };
    assert_eq!(rule_allows(&bound, 3, None, &token), Ok(()));
    assert_eq!(rule_allows(&bound, 0, None, &token), Err(Reason::IssuerNotAllowed));
    assert_eq!(
        rule_allows(&Requirements { issuers: Some(vec![]), ..asked() }, 0, None, &token),
        Err(Reason::IssuerNotAllowed)
    );
    assert_eq!(rule_allows(&asked(), 7, None, &token), Ok(()));
    assert_eq!(
        rule_allows(
            &own(Demands { audiences: strings(&["b", "a"]), ..Demands::default() }),
            0,
            None,
            &token
        ),
        Ok(())
    );
    assert_eq!(
        rule_allows(
            &own(Demands { audiences: strings(&["b"]), ..Demands::default() }),
            0,
            None,
            &token
        ),
        Err(Reason::WrongAudience)
    );
}

#[test]
fn rules_demand_scopes() {
    let all = own(Demands { scopes_all: strings(&["r", "w"]), ..Demands::default() });
    let any = own(Demands { scopes_any: strings(&["r", "w"]), ..Demands::default() });
    let both = own(Demands {
        scopes_all: strings(&["r"]),
        scopes_any: strings(&["x", "w"]),
        ..Demands::default()
    });
    let allowed = |rule: &Requirements, scope: &str| {
        rule_allows(rule, 0, None, &claims(json!({"scope": scope})))
    };
    for (scope, in_all, in_any, in_both) in [
        ("r w", true, true, true),
        ("w x r", true, true, true),
        ("r", false, true, false),
        ("w", false, true, false),
        ("r x", false, true, true),
        ("rw", false, false, false),
        ("R W", false, false, false),
        ("", false, false, false),
    ] {
        for (rule, expected) in [(&all, in_all), (&any, in_any), (&both, in_both)] {
            assert_eq!(
                allowed(rule, scope),
                if expected { Ok(()) } else { Err(Reason::Scope) },
                "{scope}"
            );
        }
    }
    assert_eq!(rule_allows(&all, 0, None, &claims(json!({"scope": ["r w"]}))), Err(Reason::Scope));
    assert_eq!(
        rule_allows(&all, 0, Some(&path(&["p"])), &claims(json!({"p": ["w", "r"]}))),
        Ok(())
    );
}

#[test]
fn rules_demand_claim_values() {
    let gold = own(Demands {
        claims: vec![(path(&["acr"]), vec![json!("gold"), json!(2), json!(true)])],
        ..Demands::default()
    });
    for good in [json!("gold"), json!(2), json!(true), json!(["x", "gold"]), json!([2])] {
        assert_eq!(
            rule_allows(&gold, 0, None, &claims(json!({"acr": good.clone()}))),
            Ok(()),
            "{good}"
        );
    }
    for bad in [
        json!("Gold"),
        json!("gold "),
        json!("2"),
        json!(2.0),
        json!("true"),
        json!(null),
        json!([["gold"]]),
        json!([]),
        json!({"gold": 1}),
    ] {
        assert_eq!(
            rule_allows(&gold, 0, None, &claims(json!({"acr": bad.clone()}))),
            Err(Reason::Claim),
            "{bad}"
        );
    }
    assert_eq!(rule_allows(&gold, 0, None, &claims(json!({}))), Err(Reason::Claim));
    let two = own(Demands {
        claims: vec![(path(&["a"]), vec![json!(1)]), (path(&["b", "c"]), vec![json!(2)])],
        ..Demands::default()
    });
    assert_eq!(rule_allows(&two, 0, None, &claims(json!({"a": 1, "b": {"c": [3, 2]}}))), Ok(()));
    assert_eq!(rule_allows(&two, 0, None, &claims(json!({"a": 1}))), Err(Reason::Claim));
    // No value is acceptable: nothing is.
    assert_eq!(
        rule_allows(
            &own(Demands { claims: vec![(path(&["a"]), vec![])], ..Demands::default() }),
            0,
            None,
            &claims(json!({"a": 1}))
        ),
        Err(Reason::Claim)
    );
}

#[test]
fn an_issuer_demands_all_of_it() {
    let strict = Issuer {
        typ: Some("at+jwt".to_owned()),
        audiences: strings(&["a"]),
        claims_required: vec![path(&["sub"])],
        sunset_s: Some(2000),
        ..idp()
    };
    let run = |typ: Option<&str>, token: Value, now: u64| {
        issuer(&strict, typ, &claims(token), Time::from_s(now), Time::from_s(now))
    };
    let good = || json!({"exp": 3000, "aud": "a", "sub": "s"});
    assert_eq!(run(Some("at+jwt"), good(), 1000), Ok(()));
    assert_eq!(run(Some("at+jwt"), good(), 2000), Err(Reason::Sunset));
    assert_eq!(run(None, good(), 1000), Err(Reason::WrongType));
    assert_eq!(
        run(Some("at+jwt"), json!({"exp": 900, "aud": "a", "sub": "s"}), 1000),
        Err(Reason::Expired)
    );
    assert_eq!(
        run(Some("at+jwt"), json!({"exp": 3000, "aud": "b", "sub": "s"}), 1000),
        Err(Reason::WrongAudience)
    );
    assert_eq!(
        run(Some("at+jwt"), json!({"exp": 3000, "aud": "a"}), 1000),
        Err(Reason::ClaimMissing)
    );
}

/// RFC 8725, section 3.11: what says that it is something else than an access token isn't taken for
/// one.
#[test]
fn tokens_of_other_kinds_are_refused_where_no_typ_is_configured() {
    let none = claims(json!({}));
    for other in [
        "dpop+jwt",
        "logout+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "kb+jwt",
        "statuslist+jwt",
        "client-authentication+jwt",
        "oauth-authz-req+jwt",
        "vc+sd-jwt",
        "dc+sd-jwt",
        "entity-statement+jwt",
    ] {
        for spelling in [
            other.to_owned(),
            format!("application/{other}"),
            format!("Application/{}", other.to_uppercase()),
        ] {
            assert_eq!(typ(&idp(), Some(&spelling), &none), Err(Reason::WrongType), "{spelling}");
        }
        // Who names the type has said that these are its access tokens.
        assert_eq!(
            typ(&Issuer { typ: Some(other.to_owned()), ..idp() }, Some(other), &none),
            Ok(())
        );
    }
    for fine in [
        "JWT",
        "at+jwt",
        "application/at+jwt",
        "JOSE",
        "jwt+dpop",
        "dpop+jwt ",
        "",
        "text/dpop+jwt",
    ] {
        assert_eq!(typ(&idp(), Some(fine), &none), Ok(()), "{fine}");
    }
}

/// RFC 8417, section 2.2: a security event token has `events`, an object whose members are URIs.
/// Many have no `typ`.
#[test]
fn a_security_event_is_no_access_token() {
    let logout =
        claims(json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}));
    let jwt = Issuer { typ: Some("JWT".to_owned()), ..idp() };
    assert_eq!(typ(&idp(), None, &logout), Err(Reason::WrongType));
    assert_eq!(typ(&idp(), Some("JWT"), &logout), Err(Reason::WrongType));
    assert_eq!(
        typ(&jwt, Some("JWT"), &logout),
        Err(Reason::WrongType),
        "JWT says nothing of what it is"
    );
    let urn = claims(json!({"events": {"urn:ietf:params:scim:event:create": {}, "x": 1}}));
    assert_eq!(typ(&idp(), None, &urn), Err(Reason::WrongType));
    let named = Issuer { typ: Some("at+jwt".to_owned()), ..idp() };
    assert_eq!(typ(&named, Some("at+jwt"), &logout), Ok(()));
    // A claim of the issuer's own.
    for fine in
        [json!({}), json!(["created"]), json!("created"), json!({"created": true}), json!(null)]
    {
        assert_eq!(typ(&idp(), None, &claims(json!({"events": fine.clone()}))), Ok(()), "{fine}");
    }
}
