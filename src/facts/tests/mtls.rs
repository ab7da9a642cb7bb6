//! A token that is bound to a certificate (RFC 8705), under the right one and under others.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::dpop::{Client, send};
use crate::digest::sha256;
use crate::reply::Reason;
use crate::world::*;

const DER: &[u8] = b"\x30\x03\x02\x01\x07";

fn bound(to: &Value) -> String {
    let mut claims = claims("token");
    claims["cnf"] = to.clone();
    format!("Bearer {}", hmac(SECRET, &claims))
}

fn to_certificate() -> Value {
    json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(sha256(DER)) })
}

fn with_mtls(mtls: &Value) -> World {
    let mut issuer = with_secret();
    issuer["mtls"] = mtls.clone();
    World::new(&document(issuer, json!({})))
}

fn get(world: &World, headers: &[(&str, &str)]) -> Result<(), Reason> {
    send(world, 0, START, ("GET", "/orders"), headers).map(drop).map_err(|(reason, _)| reason)
}

/// Under this certificate, twice: the second time from memory.
fn under(world: &World, certificate: Option<[u8; 32]>, token: &str) -> Result<(), Reason> {
    world.shared.certificate.set(certificate);
    let first = get(world, &[("authorization", token)]);
    assert_eq!(get(world, &[("authorization", token)]), first);
    first
}

#[test]
fn a_token_is_good_under_its_own_certificate_alone() {
    let world = with_mtls(&json!({}));
    let token = bound(&to_certificate());
    for round in 0..2 {
        assert_eq!(under(&world, Some(sha256(DER)), &token), Ok(()), "{round}");
        assert_eq!(under(&world, Some([1; 32]), &token), Err(Reason::Bound), "{round}");
        assert_eq!(under(&world, None, &token), Err(Reason::Bound), "{round}");
    }
    let pem =
        format!("-----BEGIN CERTIFICATE----- {} -----END CERTIFICATE-----", STANDARD.encode(DER));
    let hash: String = sha256(DER).iter().map(|byte| format!("{byte:02x}")).collect();
    for (name, value) in [("x-forwarded-client-cert", format!("Hash={hash}")), ("x-cert", pem)] {
        let forged = [("authorization", token.as_str()), (name, value.as_str())];
        assert_eq!(get(&world, &forged), Err(Reason::Bound), "a header that nobody vouches for");
    }
    for other in [json!({ "x5t#S256": "" }), json!({ "x5t": "a" }), json!({})] {
        assert_eq!(under(&world, Some(sha256(DER)), &bound(&other)), Err(Reason::Bound), "{other}");
    }
    let mut unknown = to_certificate();
    unknown["kid"] = json!("k");
    assert_eq!(under(&world, Some(sha256(DER)), &bound(&unknown)), Err(Reason::Bound));
    let refused = send(&world, 0, START, ("GET", "/orders"), &[("authorization", &token)]);
    world.shared.certificate.set(None);
    assert!(refused.is_ok());
    let (_, answer) =
        send(&world, 0, START, ("GET", "/orders"), &[("authorization", &token)]).unwrap_err();
    let said = answer.headers.iter().find(|(name, _)| name == "www-authenticate").unwrap();
    assert!(said.1.starts_with(r#"Bearer realm="api", error="invalid_token""#), "{said:?}");
}

#[test]
fn only_bound_tokens_ask_for_the_certificate() {
    let world = with_mtls(&json!({}));
    let plain = format!("Bearer {}", hmac(SECRET, &claims("token")));
    assert_eq!(under(&world, Some(sha256(DER)), &plain), Ok(()));
    assert_eq!(world.shared.certificate_asked.get(), 0);
    assert_eq!(under(&world, Some(sha256(DER)), &bound(&to_certificate())), Ok(()));
    assert_eq!(world.shared.certificate_asked.get(), 2, "each time");
    let none = World::new(&document(with_secret(), json!({})));
    let token = bound(&to_certificate());
    assert_eq!(under(&none, Some(sha256(DER)), &token), Err(Reason::Bound), "not configured");
}

#[test]
fn required_refuses_what_is_bound_to_no_certificate() {
    let world = with_mtls(&json!({ "required": true }));
    let client = Client::new(1);
    let by_key = bound(&json!({ "jkt": client.jkt() }));
    let plain = format!("Bearer {}", hmac(SECRET, &claims("token")));
    for token in [&plain, &by_key] {
        assert_eq!(under(&world, Some(sha256(DER)), token), Err(Reason::Bound));
    }
    assert_eq!(under(&world, Some(sha256(DER)), &bound(&to_certificate())), Ok(()));
}

#[test]
fn a_balancers_word_is_one_header() {
    let token = bound(&to_certificate());
    let pem = format!(
        "-----BEGIN CERTIFICATE-----%0A{}%0A-----END CERTIFICATE-----%0A",
        STANDARD.encode(DER)
    );
    let world = with_mtls(&json!({ "header": "X-Client-Cert" }));
    let with = |name: &str, values: &[&str]| {
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(values.iter().map(|value| (name, *value)));
        get(&world, &headers)
    };
    assert_eq!(with("x-client-cert", &[&pem]), Ok(()));
    assert_eq!(with("X-CLIENT-CERT", &[&pem]), Ok(()));
    for (name, values) in [
        ("x-client-cert", &[][..]),
        ("x-client-cert", &[""]),
        ("x-client-cert", &[&pem, &pem]),
        ("x-client-cert", &[&pem, ""]),
        ("x_client_cert", &[&pem]),
        ("x-forwarded-client-cert", &[&pem]),
    ] {
        assert_eq!(with(name, values), Err(Reason::Bound), "{name} {values:?}");
    }
    // The connection is the balancer's own.
    assert_eq!(under(&world, Some(sha256(DER)), &token), Err(Reason::Bound));
    assert_eq!(world.shared.certificate_asked.get(), 0);
}

#[test]
fn a_token_that_is_bound_to_both_needs_both() {
    let mut issuer = with_secret();
    issuer["dpop"] = json!({ "origins": ["https://api.example"], "algorithms": ["ES256"] });
    issuer["mtls"] = json!({});
    let world = World::new(&document(issuer, json!({})));
    let client = Client::new(1);
    let mut both = to_certificate();
    both["jkt"] = json!(client.jkt());
    let bearer = bound(&both);
    let (_, token) = bearer.split_once(' ').unwrap();
    let dpop = format!("DPoP {token}");
    let ask = |certificate, scheme: &str, jti: &str| {
        world.shared.certificate.set(certificate);
        let proof = client.proof(token, jti, json!({}));
        get(&world, &[("authorization", scheme), ("dpop", &proof)])
    };
    let own = Some(sha256(DER));
    assert_eq!(ask(own, &bearer, "1"), Err(Reason::Bound));
    assert_eq!(ask(None, &dpop, "2"), Err(Reason::Bound));
    assert_eq!(ask(Some([1; 32]), &dpop, "3"), Err(Reason::Bound));
    assert_eq!(ask(own, &dpop, "4"), Ok(()));
    world.shared.certificate.set(own);
    assert_eq!(get(&world, &[("authorization", &dpop)]), Err(Reason::Proof));
    let by_certificate = bound(&to_certificate());
    assert_eq!(under(&world, own, &by_certificate), Ok(()));
    let as_dpop = by_certificate.replace("Bearer", "DPoP");
    assert_eq!(under(&world, own, &as_dpop), Err(Reason::Bound));
}
