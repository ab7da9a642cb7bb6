//! What rules demand of a token.

use super::*;

fn asked() -> Requirements {
    Requirements::default()
}

fn own(own: Demands) -> Requirements {
    Requirements { own, ..asked() }
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
