use serde_json::{Value, json};

use super::*;
use crate::jwt::introspection::claims;
use crate::world::Key;

const NOW_S: u64 = 1_514_797_892;

fn expected() -> Expected<'static> {
    Expected {
        iss: "https://as.example.com/",
        client_id: "https://rs.example.com/resource",
        now: Time::from_s(NOW_S),
        ahead_s: 30,
        back_s: 35,
    }
}

/// The example of RFC 9701, section 5: its values, under a key of ours, since the RFC gives none.
fn example() -> (Value, Value) {
    let header = json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": "wG6D" });
    let payload = json!({
        "iss": "https://as.example.com/",
        "aud": "https://rs.example.com/resource",
        "iat": 1_514_797_892,
        "token_introspection": {
            "active": true,
            "iss": "https://as.example.com/",
            "aud": "https://rs.example.com/resource",
            "iat": 1_514_797_822,
            "exp": 1_514_797_942,
            "client_id": "paiB2goo0a",
            "scope": "read write dolphin",
            "sub": "Z5O3upPC88QrAjx00dis",
            "birthdate": "1982-02-01",
            "given_name": "John",
            "family_name": "Doe",
            "jti": "t1FoCCaZd4Xv4ORJUWVUeTZfsKhW30CQCrWDDjwXy6w"
        }
    });
    (header, payload)
}

fn signed(header: &Value, payload: &Value) -> String {
    Key::new(1).signed(&header.to_string(), &payload.to_string())
}

fn fault(header: &Value, payload: &Value) -> Option<NotSigned> {
    read(signed(header, payload).as_bytes(), &expected()).err()
}

#[test]
fn the_example_of_the_rfc() {
    let (header, payload) = example();
    let token = signed(&header, &payload);
    let answer = read(token.as_bytes(), &expected()).unwrap();
    assert_eq!(answer.jwt.kid.as_deref(), Some("wG6D"));
    let (told, body) = answer.told().unwrap();
    let Told::Active(members) = told else { panic!() };
    assert_eq!(Value::Object(members.clone()), payload["token_introspection"]);
    assert!(
        super::super::read(super::super::IntrospectionKind::Oauth, 200, &body)
            == Some(Told::Active(members.clone()))
    );
    let claims = claims(members, "https://as.example.com/").unwrap();
    assert_eq!(claims.sub.as_deref(), Some("Z5O3upPC88QrAjx00dis"));
    assert_eq!(claims.client_id.as_deref(), Some("paiB2goo0a"));
    assert_eq!((claims.iat, claims.exp), (Some(1_514_797_822), Some(1_514_797_942)));
    assert_eq!(claims.aud, ["https://rs.example.com/resource"]);
}

#[test]
fn inactive_says_no_more() {
    let (header, mut payload) = example();
    payload["token_introspection"] = json!({ "active": false, "sub": "x" });
    let token = signed(&header, &payload);
    let (told, _) = read(token.as_bytes(), &expected()).unwrap().told().unwrap();
    assert!(told == Told::Inactive);
}

#[test]
fn what_differs_in_one_thing_is_none() {
    use NotSigned::*;
    let (header, payload) = example();
    let with = |value: &Value, name: &str, new: Value| {
        let mut value = value.clone();
        match new {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            new => value[name] = new,
        }
        value
    };
    for (typ, reason) in [
        (json!(null), Some(Type)),
        (json!("JWT"), Some(Type)),
        (json!("at+jwt"), Some(Type)),
        (json!("token-introspection"), Some(Type)),
        (json!(1), Some(NotAJwt)),
        (json!("application/token-introspection+jwt"), None),
        (json!("Token-Introspection+JWT"), None),
    ] {
        assert_eq!(fault(&with(&header, "typ", typ.clone()), &payload), reason, "{typ}");
    }
    for alg in ["none", "None", "RSA-OAEP", ""] {
        assert_eq!(fault(&with(&header, "alg", json!(alg)), &payload), Some(NotAJwt), "{alg}");
    }
    for (name, value, reason) in [
        ("iss", json!(null), Some(Issuer)),
        ("iss", json!("https://as.example.com"), Some(Issuer)),
        ("aud", json!(null), Some(Audience)),
        ("aud", json!("https://rs.example.com/"), Some(Audience)),
        ("aud", json!([]), Some(Audience)),
        ("aud", json!("paiB2goo0a"), Some(Audience)),
        ("aud", json!(["x", "https://rs.example.com/resource"]), None),
        ("iat", json!(null), Some(Time)),
        ("iat", json!(NOW_S + 30), None),
        ("iat", json!(NOW_S + 31), Some(Time)),
        ("iat", json!(NOW_S - 35), None),
        ("iat", json!(NOW_S - 36), Some(Time)),
        ("iat", json!("1514797892"), Some(NotAJwt)),
        ("exp", json!(NOW_S), Some(Time)),
        ("exp", json!(NOW_S + 1), None),
        ("nbf", json!(NOW_S + 31), Some(Time)),
        ("sub", json!("Z5O3upPC88QrAjx00dis"), None),
        ("token_introspection", json!(null), Some(Members)),
        ("token_introspection", json!("{\"active\":true}"), Some(Members)),
        ("token_introspection", json!([{ "active": true }]), Some(Members)),
        ("token_introspection", json!({}), Some(Members)),
        ("token_introspection", json!({ "active": "true" }), Some(Members)),
        ("token_introspection", json!({ "active": 1 }), Some(Members)),
        ("crit", json!(["exp"]), None),
    ] {
        let found = fault(&header, &with(&payload, name, value.clone()));
        assert_eq!(found, reason, "{name} {value}");
    }
    // Of the claims of an access token none stands in for those of `token_introspection`.
    let flat = json!({ "iss": "https://as.example.com/", "aud": "https://rs.example.com/resource",
        "iat": NOW_S, "active": true, "sub": "Z5O3upPC88QrAjx00dis" });
    assert_eq!(fault(&header, &flat), Some(Members));
}

#[test]
fn what_is_no_jwt_is_none() {
    let (header, payload) = example();
    let token = signed(&header, &payload);
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    for body in [
        "",
        "{}",
        r#"{"active":true}"#,
        "<html>",
        unsigned,
        &format!("{unsigned}."),
        &format!("\"{token}\""),
        &format!("{token}.x"),
    ] {
        assert_eq!(read(body.as_bytes(), &expected()).err(), Some(NotSigned::NotAJwt), "{body}");
    }
    assert!(read(format!("{token}\n").as_bytes(), &expected()).is_ok());
    let twice = format!(r#"{{"iss":"x",{}"#, &payload.to_string()[1..]);
    let twice = Key::new(1).signed(&header.to_string(), &twice);
    assert_eq!(read(twice.as_bytes(), &expected()).err(), Some(NotSigned::NotAJwt));
}
