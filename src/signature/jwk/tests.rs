//! What servers write beside the letter of RFC 7517 and mean all the same, and what stays refused.

use crate::signature::test_keys::*;
use crate::signature::{Algorithm, AlgorithmSet, KeyError, VerifyKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A key of each kind, as this build reads them.
fn keys() -> Vec<String> {
    let curves =
        [RSA_JWK, P256_JWK, P384_JWK, P521_JWK, SECP256K1_JWK, ED25519_JWK].map(str::to_owned);
    curves.into_iter().chain(ml_dsa_jwks()).collect()
}
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
    for jwk in &keys() {
        let plain = read(jwk).unwrap();
        let akp = jwk.contains("AKP");
        let names = ["alg", "use", "key_ops", "kid", "k", "x5c", "x5t", "ext"];
        for name in names.iter().chain(&PRIVATE).filter(|name| !(akp && **name == "alg")) {
            let key = read(&with(jwk, name, Value::Null))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
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
    for jwk in &keys() {
        let plain = read(jwk).unwrap();
        let akp = jwk.contains("AKP");
        for name in ["alg", "use", "kid"].into_iter().filter(|name| !(akp && *name == "alg")) {
            let key = read(&with(jwk, name, json!(""))).unwrap();
            assert_eq!(key.fingerprint(), plain.fingerprint(), "{name}");
            assert_eq!(key.kid(), None);
        }
        assert_eq!(
            read(&with(jwk, "key_ops", json!([]))).unwrap_err(),
            KeyError::NotForVerification
        );
        assert_eq!(read(&with(jwk, "use", json!(" "))).unwrap_err(), KeyError::NotForSignatures);
    }
}

#[test]
fn private_members_with_a_value_stay_refused() {
    for jwk in &keys() {
        for name in PRIVATE.iter().chain(&["k"]) {
            for value in [json!("AQAB"), json!(""), json!(false), json!(0), json!([]), json!({})] {
                let refused = read(&with(jwk, name, value.clone())).unwrap_err();
                assert!(
                    matches!(refused, KeyError::PrivateKey | KeyError::NotJwk(_)),
                    "{name}: {value}"
                );
            }
        }
    }
}

#[test]
fn padding_is_read() {
    let oct = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 40]) }).to_string();
    let hmac = AlgorithmSet::from_slice(&[Algorithm::HS256]);
    for (jwk, allowed) in
        keys().into_iter().map(|jwk| (jwk, AlgorithmSet::asymmetric())).chain([(oct, hmac)])
    {
        let plain = VerifyKey::from_jwk(&jwk, allowed).unwrap();
        let mut padded = members(&jwk);
        for name in ["n", "e", "x", "y", "k", "pub"] {
            if padded.contains_key(name) {
                let bytes = bytes(&padded, name);
                padded.insert(name.to_owned(), json!(URL_SAFE.encode(bytes)));
            }
        }
        let padded = Value::Object(padded).to_string();
        assert_eq!(
            VerifyKey::from_jwk(&padded, allowed).unwrap().fingerprint(),
            plain.fingerprint()
        );
    }
    // More of it than base64 has, or in the middle, is no padding.
    for stray in ["AQAB=", "AQ==AB", "A===", "=AQAB"] {
        assert_eq!(
            read(&with(RSA_JWK, "e", json!(stray))).unwrap_err(),
            KeyError::NotBase64Url("e"),
            "{stray}"
        );
    }
}

#[test]
fn numbers_of_an_rsa_key_may_begin_with_zeros() {
    let plain = read(RSA_JWK).unwrap();
    for name in ["n", "e"] {
        for zeros in [1, 2, 64] {
            let number = [vec![0; zeros], bytes(&members(RSA_JWK), name)].concat();
            let key = read(&with(RSA_JWK, name, json!(URL_SAFE.encode(number)))).unwrap();
            assert_eq!(
                (key.fingerprint(), key.spki_der()),
                (plain.fingerprint(), plain.spki_der()),
                "{name}"
            );
        }
    }
}

proptest! {
    /// Every point whose coordinates are written without their leading zeros, or with more, is the
    /// same key.
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
        let point = p256::ecdsa::SigningKey::from_slice(&scalar)
            .unwrap()
            .verifying_key()
            .to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        for (which, number) in [x, y].into_iter().enumerate().filter(|(_, number)| number[0] == 0) {
            let short: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
            let name = ["x", "y"][which];
            let full = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
            let cut = with(&full.to_string(), name, json!(URL_SAFE_NO_PAD.encode(short)));
            assert_eq!(
                read(&cut).unwrap().fingerprint(),
                read(&full.to_string()).unwrap().fingerprint()
            );
            found[which] = true;
        }
        if found == [true; 2] {
            return;
        }
    }
    panic!("no such key");
}

fn der(pem: &str) -> Vec<u8> {
    STANDARD
        .decode(pem.lines().filter(|line| !line.starts_with("---")).collect::<String>())
        .unwrap()
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
            let key =
                read(&document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"));
            assert_eq!((key.fingerprint(), key.kid()), (plain.fingerprint(), Some("a")));
        }
        // Where the numbers are there, they are the key.
        let other = with(
            jwk,
            "x5c",
            json!([STANDARD.encode(der(if kty == "RSA" {
                P256_CERTIFICATE
            } else {
                RSA_CERTIFICATE
            }))]),
        );
        assert_eq!(read(&other).unwrap().fingerprint(), plain.fingerprint());
        // A certificate of another kind of key than the JWK says is a mistake.
        for wrong in [
            json!({ "kty": "OKP", "x5c": [x5c] }),
            json!({ "kty": "EC", "crv": "P-384", "x5c": [x5c] }),
        ] {
            assert_eq!(
                read(&wrong.to_string()).unwrap_err(),
                KeyError::OtherCertificate,
                "{wrong}"
            );
        }
        assert_eq!(
            read(&json!({ "kty": kty, "d": "AQAB", "x5c": [x5c] }).to_string()).unwrap_err(),
            KeyError::PrivateKey
        );
        for broken in [
            json!([]),
            json!([7]),
            json!("x"),
            json!({}),
            json!([""]),
            json!(["AQAB"]),
            json!([x5c.replace('M', "*")]),
        ] {
            assert!(read(&json!({ "kty": kty, "x5c": broken }).to_string()).is_err(), "{broken}");
        }
    }
    // Half a key isn't made whole by a certificate.
    let half = json!({ "kty": "RSA", "n": members(RSA_JWK)["n"], "x5c": [STANDARD.encode(der(RSA_CERTIFICATE))] });
    assert_eq!(read(&half.to_string()).unwrap_err(), KeyError::MissingMember("e"));
    // x5c in a form that isn't RFC 7517's spoils no key that doesn't need it.
    assert!(read(&with(RSA_JWK, "x5c", json!("a string"))).is_ok());
}

/// RFC 9964, section 3: `alg` says which of the three an AKP key is, and there is no key without
/// it.
#[test]
fn akp_keys_are_what_their_alg_says() {
    let lengths = [1312, 1952, 2592];
    let algorithms = [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87];
    for (index, jwk) in ml_dsa_jwks().iter().enumerate() {
        let key = read(jwk).unwrap();
        assert_eq!(key.algorithms(), AlgorithmSet::from_slice(&[algorithms[index]]));
        for (alg, expected) in ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"].into_iter().zip(lengths) {
            let other = read(&with(jwk, "alg", json!(alg)));
            match expected == lengths[index] {
                true => assert!(other.is_ok()),
                false => assert_eq!(
                    other.unwrap_err(),
                    KeyError::MemberLength { member: "pub", expected, found: lengths[index] }
                ),
            }
        }
        for absent in [Value::Null, json!("")] {
            assert_eq!(
                read(&with(jwk, "alg", absent)).unwrap_err(),
                KeyError::MissingMember("alg")
            );
        }
        assert_eq!(
            read(&with(jwk, "alg", json!("SLH-DSA-SHA2-128s"))).unwrap_err(),
            KeyError::UnsupportedAlg
        );
        for (alg, algorithm) in
            [("ES256", Algorithm::ES256), ("RS256", Algorithm::RS256), ("EdDSA", Algorithm::EdDSA)]
        {
            assert_eq!(
                read(&with(jwk, "alg", json!(alg))).unwrap_err(),
                KeyError::OtherKty(algorithm)
            );
        }
        assert_eq!(
            read(&with(jwk, "pub", Value::Null)).unwrap_err(),
            KeyError::MissingMember("pub")
        );
        let full = bytes(&members(jwk), "pub");
        for wrong in [&full[1..], &[], &[full.as_slice(), &[0]].concat()] {
            assert!(matches!(
                read(&with(jwk, "pub", json!(URL_SAFE.encode(wrong)))),
                Err(KeyError::MemberLength { .. })
            ));
        }
        let es256 = AlgorithmSet::from_slice(&[Algorithm::ES256]);
        assert!(matches!(VerifyKey::from_jwk(jwk, es256), Err(KeyError::AlgNotAllowed { .. })));
    }
    for (private, _) in rfc_9964() {
        assert_eq!(read(&Value::Object(private).to_string()).unwrap_err(), KeyError::PrivateKey);
    }
    // SubjectPublicKeyInfo as OpenSSL writes it for the same keys (RFC 9881).
    let digests = [
        "7de1bacd9f9f9a3688803d8b12af4e3536fe21768190db594b0d96c99383c548",
        "74a967da48075517e7e93c468a90724f4e96ce11ff30c3288c4b708583d711e0",
        "aec8ffe33b0b73ede7acfd64d760272d3160f61f40cb80dbf023db6f06236cf3",
    ];
    for (jwk, digest) in ml_dsa_jwks().iter().zip(digests) {
        let key = read(jwk).unwrap();
        let hex: String =
            Sha256::digest(key.spki_der()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, digest);
        let pem = |der: &[u8]| {
            format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
                STANDARD.encode(der)
            )
        };
        let all = AlgorithmSet::from_slice(&Algorithm::ALL);
        assert_eq!(
            VerifyKey::from_pem(&pem(key.spki_der()), all).unwrap().fingerprint(),
            key.fingerprint()
        );
        assert!(VerifyKey::from_pem(&pem(&key.spki_der()[..1000]), all).is_err());
    }
}

#[test]
fn a_key_whose_kind_or_curve_does_not_fit_its_alg_is_refused() {
    let named = [
        (RSA_JWK, "RS256"),
        (P256_JWK, "ES256"),
        (P384_JWK, "ES384"),
        (P521_JWK, "ES512"),
        (SECP256K1_JWK, "ES256K"),
        (ED25519_JWK, "EdDSA"),
        (ED25519_JWK, "Ed25519"),
    ];
    for (jwk, alg) in named {
        for (_, other) in named.into_iter().chain([("", "ML-DSA-44"), ("", "HS256")]) {
            let key = read(&with(jwk, "alg", json!(other)));
            let same = Algorithm::parse(alg) == Algorithm::parse(other);
            assert_eq!(key.is_ok(), same, "{alg} as {other}");
        }
    }
    for (jwk, crv) in [
        (P256_JWK, "secp256k1"),
        (SECP256K1_JWK, "P-256"),
        (P521_JWK, "P-384"),
        (P384_JWK, "P-521"),
        (P521_JWK, "Ed25519"),
    ] {
        assert!(read(&with(jwk, "crv", json!(crv))).is_err(), "{crv}");
    }
}

/// RFC 9864 has named what RFC 8037 calls EdDSA; documents and configurations use either.
#[test]
fn ed25519_and_eddsa_are_one_algorithm() {
    let eddsa = AlgorithmSet::from_slice(&[Algorithm::parse("EdDSA").unwrap()]);
    let ed25519 = AlgorithmSet::from_slice(&[Algorithm::parse("Ed25519").unwrap()]);
    let plain = read(ED25519_JWK).unwrap();
    for allowed in [eddsa, ed25519] {
        for alg in [json!("EdDSA"), json!("Ed25519"), Value::Null] {
            let key = VerifyKey::from_jwk(&with(ED25519_JWK, "alg", alg), allowed).unwrap();
            assert_eq!((key.fingerprint(), key.algorithms()), (plain.fingerprint(), eddsa));
        }
        assert!(VerifyKey::from_jwk(&with(ED25519_JWK, "alg", json!("Ed448")), allowed).is_err());
    }
}
