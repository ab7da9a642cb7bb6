use super::*;
use crate::jwt;
use crate::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey, known_answers};
use jwt_simple::prelude::{ES256KeyPair, Ed25519KeyPair, RS256KeyPair};
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::DecodePrivateKey as _;
use serde_json::Value;

const ASSERTION: Assertion<'_> = Assertion {
    client_id: "gateway",
    audience: "https://idp.example",
    id: "one",
    now_s: 1_800_000_000,
    until_s: 1_800_000_060,
};

fn verifies(key: &SigningKey, public_pem: &str, algorithm: Algorithm) {
    let token = key.sign(&ASSERTION).unwrap();
    let jwt = jwt::parse(token.as_bytes()).unwrap();
    assert_eq!((key.algorithm(), jwt.algorithm), (algorithm.name(), algorithm));
    let public = VerifyKey::from_pem(public_pem, AlgorithmSet::from_slice(&[algorithm])).unwrap();
    assert_eq!(public.verify(algorithm, jwt.signed, &jwt.signature, &NoHost), Ok(()));
    assert_eq!(jwt.claims.jti.as_deref(), Some("one"));
}

#[test]
fn each_kind_of_key_signs_what_verifies_here() {
    let es = ES256KeyPair::generate();
    let rs = RS256KeyPair::generate(2048).unwrap();
    let ed = Ed25519KeyPair::generate();
    let (es_public, rs_public) =
        (es.public_key().to_pem().unwrap(), rs.public_key().to_pem().unwrap());
    let ed_public = ed.public_key().to_pem();
    // It writes both halves, one block after the other.
    let ed_pem =
        ed.to_pem().split_inclusive("-----END PRIVATE KEY-----").next().unwrap().to_owned();
    for (pem, jwk, public, algorithm) in [
        (es.to_pem().unwrap(), es.to_jwk(), es_public, Algorithm::ES256),
        (rs.to_pem().unwrap(), rs.to_jwk(), rs_public, Algorithm::RS256),
        (ed_pem, ed.to_jwk(), ed_public, Algorithm::EdDSA),
    ] {
        for text in [&pem, &jwk, &format!("\n {jwk} \n"), &format!("\n{pem}\n")] {
            verifies(&SigningKey::parse(text).unwrap(), &public, algorithm);
        }
        // A public key signs nothing, nor does what is cut.
        assert!(SigningKey::parse(&public).is_err());
        assert!(SigningKey::parse(&pem[..pem.len() / 2]).is_err());
        assert!(SigningKey::parse(&jwk[..jwk.len() / 2]).is_err());
    }
    for text in ["", "{}", "secret", r#"{"kty":"oct","k":"c2VjcmV0"}"#, r#"{"kty":"EC"}"#] {
        assert!(SigningKey::parse(text).is_err(), "{text}");
    }
}

#[test]
fn it_shows_nothing_of_the_key() {
    let key = SigningKey::parse(&ES256KeyPair::generate().to_pem().unwrap()).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
}

// ---- what is signed -------------------------------------------------------------------------------

/// RFC 7515, appendix A.2, beside the public half that [`known_answers`] has.
const RFC_7515_D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";

fn rfc_7515_jwk() -> Value {
    let mut jwk: Value = serde_json::from_str(known_answers::RFC7515_RSA_KEY).unwrap();
    jwk["d"] = RFC_7515_D.into();
    jwk
}

fn rfc_8037_jwk() -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
}

/// RFC 6979, appendix A.2.5.
fn rfc_6979_jwk() -> Value {
    let b64 = |hex: &str| URL_SAFE_NO_PAD.encode(unhex(hex));
    json!({ "kty": "EC", "crv": "P-256",
            "d": b64("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"),
            "x": b64("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"),
            "y": b64("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299") })
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn signed_with(jwk: &Value, message: &str) -> String {
    let key = SigningKey::parse(&jwk.to_string()).unwrap();
    URL_SAFE_NO_PAD.encode(key.key.sign(message.as_bytes()).unwrap())
}

#[test]
fn known_answers_from_outside() {
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let expected = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    assert_eq!(signed_with(&rfc_7515_jwk(), message), expected);
    // RFC 8037, appendix A.4.
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let expected =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(signed_with(&rfc_8037_jwk(), message), expected);
    let expected = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";
    assert_eq!(signed_with(&rfc_6979_jwk(), "sample"), URL_SAFE_NO_PAD.encode(unhex(expected)));
}

#[test]
fn an_assertion_says_who_for_whom_and_until_when() {
    let part = |token: &str, at: usize| -> Value {
        let segment = token.split('.').nth(at).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
    };
    let mut jwk = rfc_8037_jwk();
    let token = SigningKey::parse(&jwk.to_string()).unwrap().sign(&ASSERTION).unwrap();
    assert_eq!(part(&token, 0), json!({ "alg": "EdDSA", "typ": "JWT" }));
    let claims = json!({ "iss": "gateway", "sub": "gateway", "aud": "https://idp.example",
                         "jti": "one", "iat": 1_800_000_000, "exp": 1_800_000_060 });
    assert_eq!(part(&token, 1), claims);
    jwk["kid"] = "key \"1\"".into();
    let token = SigningKey::parse(&jwk.to_string()).unwrap().sign(&ASSERTION).unwrap();
    assert_eq!(part(&token, 0), json!({ "alg": "EdDSA", "typ": "JWT", "kid": "key \"1\"" }));
}

// ---- JWKs -----------------------------------------------------------------------------------------

#[test]
fn a_jwk_says_that_it_is_for_signatures() {
    let with = |name: &str, value: Value| {
        let mut jwk = rfc_8037_jwk();
        jwk[name] = value;
        SigningKey::parse(&jwk.to_string()).is_ok()
    };
    for (name, value) in [
        ("alg", json!("EdDSA")),
        ("alg", json!("Ed25519")),
        ("alg", json!("")),
        ("alg", Value::Null),
        ("use", json!("sig")),
        ("key_ops", json!(["verify", "sign"])),
        ("kid", json!("")),
        ("more", json!(["anything"])),
    ] {
        assert!(with(name, value.clone()), "{name} {value}");
    }
    for (name, value) in [
        ("alg", json!("ES256")),
        ("alg", json!("HS256")),
        ("alg", json!(["EdDSA"])),
        ("use", json!("enc")),
        ("key_ops", json!(["verify"])),
        ("key_ops", json!([])),
        ("kty", json!("EC")),
        ("crv", json!("X25519")),
        ("crv", Value::Null),
        ("d", Value::Null),
        ("d", json!(7)),
        ("d", json!("")),
        ("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2")),
        ("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2AA")),
        // The private half of another key.
        ("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2E")),
        ("x", Value::Null),
    ] {
        assert!(!with(name, value.clone()), "{name} {value}");
    }
    let twice = rfc_8037_jwk().to_string().replacen('{', r#"{"kty":"OKP","#, 1);
    assert!(SigningKey::parse(&twice).is_err());
    assert!(SigningKey::parse(&format!("[{}]", rfc_8037_jwk())).is_err());
}

#[test]
fn both_halves_of_a_jwk_are_one_key() {
    let refused = |mut jwk: Value, name: &str, value: &str| {
        jwk[name] = value.into();
        SigningKey::parse(&jwk.to_string()).is_err()
    };
    let point = rfc_6979_jwk();
    let (x, y) = (point["x"].as_str().unwrap(), point["y"].as_str().unwrap());
    assert!(SigningKey::parse(&point.to_string()).is_ok());
    assert!(refused(point.clone(), "x", y) && refused(point.clone(), "y", x));
    assert!(refused(point.clone(), "crv", "P-384") && refused(point.clone(), "crv", "secp256k1"));
    for scalar in [[0; 32], [0xff; 32]] {
        assert!(refused(point.clone(), "d", &URL_SAFE_NO_PAD.encode(scalar)));
    }
    let rsa = rfc_7515_jwk();
    for (name, value) in [("e", "AQAD"), ("e", "AQ"), ("e", "AAEAAA"), ("n", RFC_7515_D)] {
        assert!(refused(rsa.clone(), name, value), "{name} {value}");
    }
    assert!(refused(rsa.clone(), "d", &RFC_7515_D.replace("Eq5xpGn", "Eq5xpGm")));
}

// ---- DER ------------------------------------------------------------------------------------------

/// RFC 8410, section 10.3: without and with attributes and a public key.
const RFC_8410: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----",
];

#[test]
fn rfc_8410_10_3_ed25519() {
    let public = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----";
    for pem in RFC_8410 {
        verifies(&SigningKey::parse(pem).unwrap(), public, Algorithm::EdDSA);
    }
}

#[test]
fn pem_of_rsa_in_both_forms_and_no_other_label() {
    let pair = RS256KeyPair::generate(2048).unwrap();
    let (pkcs8, public) = (pair.to_pem().unwrap(), pair.public_key().to_pem().unwrap());
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(&pkcs8).unwrap();
    let pkcs1 = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap();
    for pem in [pkcs8.as_str(), &pkcs1] {
        verifies(&SigningKey::parse(pem).unwrap(), &public, Algorithm::RS256);
    }
    for (from, to) in [
        ("RSA PRIVATE KEY", "PRIVATE KEY"),
        ("RSA PRIVATE KEY", "EC PRIVATE KEY"),
        ("RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
    ] {
        assert!(SigningKey::parse(&pkcs1.replace(from, to)).is_err(), "{to}");
    }
    assert!(SigningKey::parse(&pkcs8.replace("PRIVATE", "RSA PRIVATE")).is_err());
    assert!(SigningKey::parse(&format!("{pkcs8}\n{pkcs8}")).is_err());
    assert!(rsa::RsaPrivateKey::from_pkcs1_pem(&pkcs1).is_ok());
}

#[test]
fn der_has_one_form() {
    let es = ES256KeyPair::generate();
    let rs = RS256KeyPair::generate(2048).unwrap().to_der().unwrap();
    let wholes = [es.to_der().unwrap(), rs, pem::private_block(RFC_8410[1]).unwrap().1];
    let read = |der: &[u8]| {
        der::private::from_pkcs8(der).or_else(|| der::private::from_pkcs1(der)).is_some()
    };
    for whole in wholes {
        assert!(read(&whole));
        for cut in 0..whole.len() {
            assert!(!read(&whole[..cut]), "{cut}");
        }
        assert!(!read(&[whole.as_slice(), &[0]].concat()));
        // Lengths, tags, versions and algorithms stand in front; what is changed there is another
        // thing, or none.
        for at in 0..12 {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[at] ^= 1 << bit;
                assert!(!read(&other) || is_version(&whole, at), "{at} {bit}");
            }
        }
    }
}

/// Versions 0 and 1 differ in nothing that is read here.
fn is_version(der: &[u8], at: usize) -> bool {
    der[at - 2..at] == [2, 1]
}
