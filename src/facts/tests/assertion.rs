//! `client_auth: "private_key_jwt"` (RFC 7523): who the filter says it is, signed anew for each call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::facts::call::Call;
use crate::facts::{Endpoint, Fact};
use crate::jwt;
use crate::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};
use crate::world::*;

/// The key of RFC 7517, appendix A.2.
const PRIVATE: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE","kid":"our-key"}"#;
const PUBLIC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

fn under(key: Value) -> Value {
    let introspection = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway/1",
        "client_auth": "private_key_jwt", "client_key": key });
    let issuer = json!({ "name": "opaque", "issuer": ISSUER, "tokens": "opaque", "audiences": ["a"], "introspection": introspection });
    document(issuer, json!({}))
}

fn call(world: &World, worker: usize, token: &str) -> Call {
    let fact = Fact::Introspection(Endpoint::Of(0), token.as_bytes().to_vec());
    world.with(worker, START, |facts| facts.call(&fact)).unwrap()
}

fn form(call: &Call) -> Vec<(String, String)> {
    let body = std::str::from_utf8(&call.body).unwrap();
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    body.split('&').map(field).collect()
}

#[test]
fn each_call_says_anew_who_asks() {
    let world =
        World::new(&under(json!({ "jwk": serde_json::from_str::<Value>(PRIVATE).unwrap() })));
    let allowed = AlgorithmSet::from_slice(&[Algorithm::ES256]);
    let key = VerifyKey::from_jwk(PUBLIC, allowed).unwrap();
    let mut ids = BTreeSet::new();
    for n in 0..20 {
        let call = call(&world, n % 2, "opaque-token");
        let form = form(&call);
        let names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["token", "token_type_hint", "client_id", "client_assertion_type", "client_assertion"]
        );
        assert_eq!(form[2].1, "gateway%2F1");
        assert_eq!(form[3].1, "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer");
        let length = call.headers.iter().find(|(name, _)| name == "content-length").unwrap();
        assert_eq!(length.1, call.body.len().to_string());
        assert!(call.headers.iter().all(|(name, _)| name != "authorization"));
        let jwt = jwt::parse(form[4].1.as_bytes()).unwrap();
        assert_eq!(key.verify(jwt.algorithm, jwt.signed, &jwt.signature, &NoHost), Ok(()));
        assert_eq!((jwt.algorithm, jwt.kid.as_deref()), (Algorithm::ES256, Some("our-key")));
        let claims = jwt.claims;
        assert_eq!(
            (claims.iss.as_deref(), claims.sub.as_deref()),
            (Some("gateway/1"), Some("gateway/1"))
        );
        assert_eq!(claims.aud, [ISSUER]);
        assert_eq!((claims.iat, claims.exp), (Some(START.s()), Some(START.s() + 60)));
        let id = claims.jti.unwrap();
        assert!(id.len() >= 22, "128 bits: {id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 20, "one id for each call");
}

#[test]
fn the_key_is_written_in_any_of_these_ways() {
    let jwk: Value = serde_json::from_str(PRIVATE).unwrap();
    for key in [jwk.clone(), json!(PRIVATE), json!({ "jwk": jwk }), json!({ "jwk": PRIVATE })] {
        let call = call(&World::new(&under(key)), 0, "x");
        assert!(String::from_utf8(call.body).unwrap().contains("&client_assertion=ey"));
    }
}
