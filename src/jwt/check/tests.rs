use serde_json::json;

use super::*;
use crate::jwt::issuer::IssuerMatch;
use crate::jwt::issuer::tests::example;

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

mod rules;
mod times;
