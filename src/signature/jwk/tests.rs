//! What servers write beside the letter of RFC 7517 and mean all the same, and what stays refused.

use crate::signature::test_keys::*;
use crate::signature::{Algorithm, AlgorithmSet, KeyError, VerifyKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A key of each kind, as this build reads them.
const KEYS: [&str; 4] = [RSA_JWK, P256_JWK, P384_JWK, ED25519_JWK];
/// Members that only a private key has (RFC 7518, section 6; RFC 9964, section 3).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"];

fn read(jwk: &str) -> Result<VerifyKey, KeyError> {
    VerifyKey::from_jwk(jwk, AlgorithmSet::from_slice(&Algorithm::ALL))
}

fn members(jwk: &str) -> Map<String, Value> {
    serde_json::from_str(jwk).unwrap()
}

fn with(jwk: &str, name: &str, value: Value) -> String {
    let mut members = members(jwk);
    members.insert(name.to_owned(), value);
    Value::Object(members).to_string()
}

fn bytes(members: &Map<String, Value>, name: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(members[name].as_str().unwrap()).unwrap()
}

#[test]
fn members_that_are_null_are_absent() {
    for jwk in KEYS {
        let plain = read(jwk).unwrap();
        for name in ["alg", "use", "key_ops", "kid", "k", "x5c", "x5t", "ext"].iter().chain(&PRIVATE) {
            let key = read(&with(jwk, name, Value::Null)).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(key.fingerprint(), plain.fingerprint(), "{name}");
            assert_eq!((key.kid(), key.algorithms()), (None, plain.algorithms()), "{name}");
        }
        // What the kind of key needs is missing when it is null.
        for name in members(jwk).keys() {
            assert!(read(&with(jwk, name, Value::Null)).is_err(), "{name}");
        }
    }
}

#[test]
fn alg_use_and_kid_that_are_empty_are_absent() {
    for jwk in KEYS {
        let plain = read(jwk).unwrap();
        for name in ["alg", "use", "kid"] {
            let key = read(&with(jwk, name, json!(""))).unwrap();
            assert_eq!(key.fingerprint(), plain.fingerprint(), "{name}");
            assert_eq!(key.kid(), None);
        }
        assert_eq!(read(&with(jwk, "key_ops", json!([]))).unwrap_err(), KeyError::NotForVerification);
        assert_eq!(read(&with(jwk, "use", json!(" "))).unwrap_err(), KeyError::NotForSignatures);
    }
}

#[test]
fn private_members_with_a_value_stay_refused() {
    for jwk in KEYS {
        for name in PRIVATE.iter().chain(&["k"]) {
            for value in [json!("AQAB"), json!(""), json!(false), json!(0), json!([]), json!({})] {
                let refused = read(&with(jwk, name, value.clone())).unwrap_err();
                assert!(matches!(refused, KeyError::PrivateKey | KeyError::NotJwk(_)), "{name}: {value}");
            }
        }
    }
}

#[test]
fn padding_is_read() {
    let oct = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 40]) }).to_string();
    let hmac = AlgorithmSet::from_slice(&[Algorithm::HS256]);
    for (jwk, allowed) in KEYS.map(|jwk| (jwk, AlgorithmSet::asymmetric())).into_iter().chain([(oct.as_str(), hmac)]) {
        let plain = VerifyKey::from_jwk(jwk, allowed).unwrap();
        let mut padded = members(jwk);
        for name in ["n", "e", "x", "y", "k"] {
            if padded.contains_key(name) {
                let bytes = bytes(&padded, name);
                padded.insert(name.to_owned(), json!(URL_SAFE.encode(bytes)));
            }
        }
        let padded = Value::Object(padded).to_string();
        assert_eq!(VerifyKey::from_jwk(&padded, allowed).unwrap().fingerprint(), plain.fingerprint());
    }
    // More of it than base64 has, or in the middle, is no padding.
    for stray in ["AQAB=", "AQ==AB", "A===", "=AQAB"] {
        assert_eq!(read(&with(RSA_JWK, "e", json!(stray))).unwrap_err(), KeyError::NotBase64Url("e"), "{stray}");
    }
}

#[test]
fn numbers_of_an_rsa_key_may_begin_with_zeros() {
    let plain = read(RSA_JWK).unwrap();
    for name in ["n", "e"] {
        for zeros in [1, 2, 64] {
            let number = [vec![0; zeros], bytes(&members(RSA_JWK), name)].concat();
            let key = read(&with(RSA_JWK, name, json!(URL_SAFE.encode(number)))).unwrap();
            assert_eq!((key.fingerprint(), key.spki_der()), (plain.fingerprint(), plain.spki_der()), "{name}");
        }
    }
}

proptest! {
    /// Every point whose coordinates are written without their leading zeros, or with more, is the same key.
    #[test]
    fn coordinates_may_be_short_or_long(seed in 1u32.., zeros in 0usize..40, cut in any::<[bool; 2]>()) {
        let scalar = [seed.to_be_bytes().as_slice(), &[1; 28]].concat();
        let signer = p256::ecdsa::SigningKey::from_slice(&scalar).unwrap();
        let point = signer.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let jwk = |x: &[u8], y: &[u8]| {
            let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
            read(&json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }).to_string())
        };
        let spelt = |number: &[u8], cut: bool| match cut {
            true => number.iter().copied().skip_while(|byte| *byte == 0).collect(),
            false => [vec![0; zeros], number.to_vec()].concat(),
        };
        let plain = jwk(x, y).unwrap();
        let other = jwk(&spelt(x, cut[0]), &spelt(y, cut[1])).unwrap();
        prop_assert_eq!(plain.fingerprint(), other.fingerprint());
        // A number that is too great for the curve is refused, and none is cut at its other end.
        let too_great = jwk(&[&[1], x].concat(), y).unwrap_err();
        prop_assert_eq!(too_great, KeyError::MemberLength { member: "x", expected: 32, found: 33 });
        prop_assert!(jwk(x, &y[..31]).is_err());
    }
}

#[test]
fn coordinates_with_a_leading_zero_byte_are_read_without_it() {
    // Found by counting up: the first keys whose x, and whose y, begins with a zero byte.
    let mut found = [false; 2];
    for number in 1u32..5000 {
        let scalar = [[0; 28].as_slice(), &number.to_be_bytes()].concat();
        let point = p256::ecdsa::SigningKey::from_slice(&scalar).unwrap().verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        for (which, number) in [x, y].into_iter().enumerate().filter(|(_, number)| number[0] == 0) {
            let short: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            let name = ["x", "y"][which];
            let full = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
            let cut = with(&full.to_string(), name, json!(URL_SAFE_NO_PAD.encode(short)));
            assert_eq!(read(&cut).unwrap().fingerprint(), read(&full.to_string()).unwrap().fingerprint());
            found[which] = true;
        }
        if found == [true; 2] {
            return;
        }
    }
    panic!("no such key");
}

fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().filter(|line| !line.starts_with("---")).collect::<String>()).unwrap()
}

#[test]
fn a_key_that_is_in_its_certificate_alone_is_read_there() {
    for (jwk, certificate) in [(RSA_JWK, RSA_CERTIFICATE), (P256_JWK, P256_CERTIFICATE)] {
        let plain = read(jwk).unwrap();
        let full = members(jwk);
        let (kty, x5c) = (full["kty"].clone(), STANDARD.encode(der(certificate)));
        for document in [
            json!({ "kty": kty, "kid": "a", "x5c": [x5c] }),
            json!({ "kty": kty, "kid": "a", "use": "sig", "n": null, "x": null, "y": null, "e": null, "x5c": [x5c, "not read"] }),
            json!({ "kid": "a", "x5c": [x5c.trim_end_matches('=')] }),
            json!({ "kty": kty, "kid": "a", "crv": full.get("crv"), "x5c": [format!("{}\n{}", &x5c[..64], &x5c[64..])] }),
        ] {
            let key = read(&document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"));
            assert_eq!((key.fingerprint(), key.kid()), (plain.fingerprint(), Some("a")));
        }
        // Where the numbers are there, they are the key.
        let other = with(jwk, "x5c", json!([STANDARD.encode(der(if kty == "RSA" { P256_CERTIFICATE } else { RSA_CERTIFICATE }))]));
        assert_eq!(read(&other).unwrap().fingerprint(), plain.fingerprint());
        // A certificate of another kind of key than the JWK says is a mistake.
        for wrong in [json!({ "kty": "OKP", "x5c": [x5c] }), json!({ "kty": "EC", "crv": "P-384", "x5c": [x5c] })] {
            assert_eq!(read(&wrong.to_string()).unwrap_err(), KeyError::OtherCertificate, "{wrong}");
        }
        assert_eq!(read(&json!({ "kty": kty, "d": "AQAB", "x5c": [x5c] }).to_string()).unwrap_err(), KeyError::PrivateKey);
        for broken in [json!([]), json!([7]), json!("x"), json!({}), json!([""]), json!(["AQAB"]), json!([x5c.replace('M', "*")])] {
            assert!(read(&json!({ "kty": kty, "x5c": broken }).to_string()).is_err(), "{broken}");
        }
    }
    // Half a key isn't made whole by a certificate.
    let half = json!({ "kty": "RSA", "n": members(RSA_JWK)["n"], "x5c": [STANDARD.encode(der(RSA_CERTIFICATE))] });
    assert_eq!(read(&half.to_string()).unwrap_err(), KeyError::MissingMember("e"));
    // x5c in a form that isn't RFC 7517's spoils no key that doesn't need it.
    assert!(read(&with(RSA_JWK, "x5c", json!("a string"))).is_ok());
}
