//! Tokens that open, under every algorithm and for the keys that are meant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

pub(crate) use super::made::{private_jwk, sealed, secret_jwk, with_key};
use super::*;

mod form;
mod keys;
mod outside;
mod rfc;

const CURVES: [&str; 4] = ["P-256", "P-384", "P-521", "X25519"];
const TEXT: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.e30.AAAA";

fn key(jwk: &Value, algorithms: &[&str], encryptions: &[&str]) -> Key {
    let algorithms: Vec<_> =
        algorithms.iter().map(|name| KeyAlgorithm::parse(name).unwrap()).collect();
    let encryptions: Vec<_> =
        encryptions.iter().map(|name| Encryption::parse(name).unwrap()).collect();
    Key::from_jwk(&jwk.to_string(), &algorithms, &encryptions).unwrap_or_else(|why| panic!("{why}"))
}

fn opened(token: &str, keys: &[Key]) -> Result<Vec<u8>, Fault> {
    open(token.as_bytes(), keys).map(|opened| opened.plaintext)
}

pub(super) fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn header_of(token: &str) -> Map<String, Value> {
    serde_json::from_slice(&unb64(token.split('.').next().unwrap())).unwrap()
}

#[test]
fn every_algorithm_with_every_encryption() {
    for enc in Encryption::ALL {
        let (name, bytes) = (enc.name(), enc.key_bytes());
        for (alg, jwk) in [
            ("dir", secret_jwk(bytes, 1, "k")),
            ("A128KW", secret_jwk(16, 1, "k")),
            ("A256KW", secret_jwk(32, 1, "k")),
        ] {
            let token = sealed(alg, name, &jwk, json!({ "kid": "k" }), TEXT);
            let found = open(token.as_bytes(), &[key(&jwk, &[alg], &[name])]).unwrap();
            assert_eq!((found.plaintext.as_slice(), found.is_shared), (TEXT, true), "{alg} {name}");
        }
        for crv in CURVES {
            let jwk = private_jwk(crv, "k");
            for alg in ["ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW"] {
                let token = sealed(alg, name, &jwk, json!({ "kid": "k" }), TEXT);
                let found = open(token.as_bytes(), &[key(&jwk, &[alg], &[name])]).unwrap();
                assert_eq!((found.plaintext.as_slice(), found.is_shared), (TEXT, false), "{alg}");
            }
        }
        let jwk = private_jwk("RSA", "k");
        let token = sealed("RSA-OAEP-256", name, &jwk, json!({ "kid": "k" }), TEXT);
        let found = open(token.as_bytes(), &[key(&jwk, &["RSA-OAEP-256"], &[name])]).unwrap();
        assert_eq!((found.plaintext.as_slice(), found.is_shared), (TEXT, false), "RSA {name}");
    }
}

#[test]
fn the_oracle_s_tokens_open() {
    use jwt_simple::algorithms::{A128KWKey, A256KWKey};
    use jwt_simple::algorithms::{EcdhEsA128KWDecryptionKey, EcdhEsA256KWDecryptionKey};
    use jwt_simple::prelude::{Claims, Duration};
    let claims = || Claims::create(Duration::from_secs(9)).with_issuer("i");
    let private = private_jwk("P-256", "k");
    let d = unb64(private["d"].as_str().unwrap());
    let agreed_128 = EcdhEsA128KWDecryptionKey::from_bytes(&d).unwrap();
    let agreed_256 = EcdhEsA256KWDecryptionKey::from_bytes(&d).unwrap();
    for (alg, jwk, token) in [
        (
            "A128KW",
            secret_jwk(16, 9, "k"),
            A128KWKey::from_bytes(&[9; 16]).unwrap().encrypt(claims()),
        ),
        (
            "A256KW",
            secret_jwk(32, 9, "k"),
            A256KWKey::from_bytes(&[9; 32]).unwrap().encrypt(claims()),
        ),
        ("ECDH-ES+A128KW", private.clone(), agreed_128.encrypt(claims())),
        ("ECDH-ES+A256KW", private.clone(), agreed_256.encrypt(claims())),
    ] {
        let token = token.unwrap();
        let text = opened(&token, &[key(&jwk, &[alg], &[])]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap()["iss"], "i", "{alg}");
        // And it reads ours.
        let ours = sealed(alg, "A256GCM", &jwk, json!({}), &text);
        let theirs = match alg {
            "ECDH-ES+A128KW" => {
                agreed_128.decrypt_token::<jwt_simple::claims::NoCustomClaims>(&ours, None).is_ok()
            }
            "ECDH-ES+A256KW" => {
                agreed_256.decrypt_token::<jwt_simple::claims::NoCustomClaims>(&ours, None).is_ok()
            }
            _ => true,
        };
        assert!(theirs, "{alg}");
    }
}

#[test]
fn a_key_opens_nothing_but_what_it_is_pinned_to() {
    let secret = secret_jwk(32, 1, "k");
    let token = |alg, enc| sealed(alg, enc, &secret, json!({ "kid": "k" }), TEXT);
    let keys = [key(&secret, &["A256KW"], &["A256GCM"])];
    assert_eq!(opened(&token("A256KW", "A256GCM"), &keys), Ok(TEXT.to_vec()));
    for (alg, enc) in [("dir", "A256GCM"), ("A256KW", "A128GCM"), ("dir", "A128CBC-HS256")] {
        assert_eq!(opened(&token(alg, enc), &keys), Err(Fault::NoKey), "{alg} {enc}");
    }
    let private = private_jwk("P-256", "k");
    let agreed = |alg| sealed(alg, "A256GCM", &private, json!({}), TEXT);
    let keys = [key(&private, &["ECDH-ES"], &["A256GCM"])];
    assert_eq!(opened(&agreed("ECDH-ES+A256KW"), &keys), Err(Fault::NoKey));
    // The header is what was encrypted under: another algorithm in it is another token.
    let swapped = agreed("ECDH-ES+A128KW").replacen(
        agreed("ECDH-ES+A128KW").split('.').next().unwrap(),
        agreed("ECDH-ES").split('.').next().unwrap(),
        1,
    );
    assert_eq!(opened(&swapped, &keys), Err(Fault::NotOpened));
}

#[test]
fn the_key_is_the_one_that_the_token_names() {
    let jwks: Vec<Value> = (1..=10).map(|n| secret_jwk(32, n, &format!("k{n}"))).collect();
    let keys: Vec<Key> = jwks.iter().map(|jwk| key(jwk, &["dir"], &["A256GCM"])).collect();
    let token = |n: usize, header| sealed("dir", "A256GCM", &jwks[n], header, TEXT);
    for (n, kid) in [(0, "k1"), (9, "k10")] {
        let found = open(token(n, json!({ "kid": kid })).as_bytes(), &keys).unwrap();
        assert_eq!(found.key, n);
    }
    assert_eq!(opened(&token(0, json!({ "kid": "k2" })), &keys), Err(Fault::NotOpened));
    assert_eq!(opened(&token(0, json!({ "kid": "other" })), &keys), Err(Fault::NoKey));
    // Without a name so many are tried, and no more.
    let most = KeyAlgorithm::Dir.tries_max();
    assert_eq!(opened(&token(most - 1, json!({})), &keys), Ok(TEXT.to_vec()));
    assert_eq!(opened(&token(most, json!({})), &keys), Err(Fault::NotOpened));
    // A key without a name is meant by any name that no other has.
    let mut unnamed = secret_jwk(32, 20, "");
    unnamed.as_object_mut().unwrap().remove("kid");
    let keys = [key(&jwks[0], &["dir"], &["A256GCM"]), key(&unnamed, &["dir"], &["A256GCM"])];
    let token = sealed("dir", "A256GCM", &unnamed, json!({ "kid": "x" }), TEXT);
    assert_eq!(opened(&token, &keys), Ok(TEXT.to_vec()));
}
