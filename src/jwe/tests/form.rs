//! Tokens that must not open.

use proptest::prelude::*;

use super::*;
use crate::jwe::agreement::concat_kdf;

#[test]
fn headers_that_ask_for_more_are_refused() {
    let secret = secret_jwk(32, 1, "k");
    let keys = [key(&secret, &["dir", "A256KW"], &["A256GCM"])];
    let token = |more| opened(&sealed("dir", "A256GCM", &secret, more, TEXT), &keys);
    for more in [
        json!({ "zip": "DEF" }),
        json!({ "zip": null }),
        json!({ "crit": ["exp"], "exp": 1 }),
        json!({ "crit": [] }),
        json!({ "b64": true }),
        json!({ "p2c": 1 }),
        json!({ "p2c": 1_000_000_000, "p2s": "AAAA" }),
        json!({ "kid": 1 }),
        json!({ "typ": 1 }),
        json!({ "cty": null }),
        json!({ "apu": "=" }),
        json!({ "epk": "x" }),
        json!({ "x": "y".repeat(HEADER_BYTES_MAX) }),
    ] {
        assert_eq!(token(more.clone()), Err(Fault::Form), "{more}");
    }
    // What says where a key is isn't read, as in a signed token.
    let mut jwk = secret_jwk(32, 2, "mine");
    for name in ["jku", "x5u"] {
        assert_eq!(
            token(json!({ name: "https://evil.example/keys" })),
            Ok(TEXT.to_vec()),
            "{name}"
        );
    }
    jwk["jwk"] = json!({});
    let theirs = sealed("dir", "A256GCM", &jwk, json!({ "jwk": jwk, "kid": "k" }), TEXT);
    assert_eq!(opened(&theirs, &keys), Err(Fault::NotOpened));
    let encode = |header: &str| with_key(Encryption::A256Gcm, &[1; 32], header, &[], TEXT);
    for header in [
        r#"{"alg":"dir","enc":"A256GCM","enc":"A256GCM"}"#,
        r#"{"alg":"dir","\u0061lg":"dir","enc":"A256GCM"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":1,"p2s":"AAAA"}"#,
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A256GCM"}"#,
        r#"{"alg":"RSA1_5","enc":"A256GCM"}"#,
        r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#,
        r#"{"alg":"A256GCMKW","enc":"A256GCM"}"#,
        r#"{"alg":"none","enc":"A256GCM"}"#,
        r#"{"alg":["dir"],"enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A192GCM"}"#,
        r#"{"alg":"dir","enc":"none"}"#,
        r#"{"alg":"dir"}"#,
        r#"["dir"]"#,
    ] {
        assert_eq!(opened(&encode(header), &keys), Err(Fault::Form), "{header}");
    }
    assert_eq!(opened(&encode(r#"{"alg":"dir","enc":"A256GCM"}"#), &keys), Ok(TEXT.to_vec()));
}

/// How many bytes are passed over: what is unoptimised takes its time.
fn steps(alg: &str) -> usize {
    match alg {
        "RSA-OAEP-256" => 37,
        _ if alg.starts_with("ECDH") => 11,
        _ => 1,
    }
}

#[test]
fn segments_have_one_form() {
    for (alg, enc, jwk) in [
        ("dir", "A256GCM", secret_jwk(32, 1, "k")),
        ("A256KW", "A256CBC-HS512", secret_jwk(32, 1, "k")),
        ("ECDH-ES", "A128CBC-HS256", private_jwk("P-256", "k")),
        ("ECDH-ES+A128KW", "A128GCM", private_jwk("X25519", "k")),
        ("RSA-OAEP-256", "A256GCM", private_jwk("RSA", "k")),
    ] {
        let keys = [key(&jwk, &[alg], &[enc])];
        let token = sealed(alg, enc, &jwk, json!({}), TEXT);
        let good: Vec<&str> = token.split('.').collect();
        let with = |at: usize, segment: &str| {
            let mut parts = good.clone();
            parts[at] = segment;
            opened(&parts.join("."), &keys)
        };
        assert_eq!(with(0, good[0]), Ok(TEXT.to_vec()));
        let cut = |at: usize, by: usize| {
            let bytes = unb64(good[at]);
            URL_SAFE_NO_PAD.encode(&bytes[..bytes.len().saturating_sub(by)])
        };
        // Tags and vectors cut, longer, or gone.
        for at in [2, 4] {
            let longer = URL_SAFE_NO_PAD.encode([unb64(good[at]), vec![0]].concat());
            for other in [cut(at, 1), cut(at, 4), cut(at, 12), String::new(), longer] {
                assert_eq!(with(at, &other), Err(Fault::Form), "{alg} {at}");
            }
        }
        // An empty key, a short one, and one where none belongs.
        for other in ["", &cut(1, 8), "AAAA", &"A".repeat(32), &"A".repeat(54), &"A".repeat(96)] {
            if other != good[1] {
                assert_eq!(with(1, other), Err(Fault::NotOpened), "{alg} {other}");
            }
        }
        for other in ["", &cut(3, 1), &cut(3, 16)] {
            assert_eq!(with(3, other), Err(Fault::NotOpened), "{alg}");
        }
        assert_eq!(opened(&format!("{token}."), &keys), Err(Fault::Form));
        assert_eq!(opened(&good[..4].join("."), &keys), Err(Fault::Form));
        for (at, segment) in good.iter().enumerate() {
            assert_eq!(with(at, &format!("{segment}=")), Err(Fault::Form));
        }
        // Each bit counts.
        for at in [1, 2, 3, 4] {
            let bytes = unb64(good[at]);
            for place in (0..bytes.len()).step_by(steps(alg)) {
                let mut other = bytes.clone();
                other[place] ^= 1 << (place % 8);
                assert!(with(at, &URL_SAFE_NO_PAD.encode(other)).is_err(), "{alg} {at} {place}");
            }
        }
    }
}

#[test]
fn points_that_are_none_agree_on_nothing() {
    for crv in ["P-256", "P-384", "P-521"] {
        let jwk = private_jwk(crv, "k");
        let keys = [key(&jwk, &["ECDH-ES"], &["A128GCM"])];
        let bytes = unb64(jwk["x"].as_str().unwrap()).len();
        let good = header_of(&sealed("ECDH-ES", "A128GCM", &jwk, json!({}), TEXT))["epk"].clone();
        let (zero, one) = (vec![0; bytes], [vec![0; bytes - 1], vec![1]].concat());
        let encode = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
        for (member, value) in [
            // Not on the curve, zero, not of full length, another curve's name, gone.
            ("y", encode(&one)),
            ("x", encode(&zero)),
            ("y", json!(null)),
            ("x", encode(&unb64(good["x"].as_str().unwrap())[1..])),
            ("x", encode(&[&[0], unb64(good["x"].as_str().unwrap()).as_slice()].concat())),
            ("x", encode(&vec![0xff; bytes])),
            ("crv", json!("P-192")),
            ("kty", json!("OKP")),
        ] {
            let mut epk = good.clone();
            epk[member] = value;
            let token = sealed("ECDH-ES", "A128GCM", &jwk, json!({ "epk": epk }), TEXT);
            assert_eq!(opened(&token, &keys), Err(Fault::NotOpened), "{crv} {member}");
        }
    }
    // RFC 7748, section 6.1: what all of small order agree on is zero, which anyone knows.
    let jwk = private_jwk("X25519", "k");
    let keys = [key(&jwk, &["ECDH-ES"], &["A128GCM"])];
    let known = concat_kdf(&[0; 32], "A128GCM", &Default::default(), 16);
    for x in [[0; 32], std::array::from_fn(|n| u8::from(n == 0))] {
        let header = json!({ "alg": "ECDH-ES", "enc": "A128GCM",
            "epk": { "kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode(x) } });
        let token = with_key(Encryption::A128Gcm, &known, &header.to_string(), &[], TEXT);
        assert_eq!(opened(&token, &keys), Err(Fault::NotOpened));
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_bad(token in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..400) {
        let jwk = private_jwk("P-256", "k");
        let keys = [key(&jwk, &["ECDH-ES+A128KW"], &["A128CBC-HS256"])];
        prop_assert!(open(&token, &keys).is_err());
        let good = sealed("ECDH-ES+A128KW", "A128CBC-HS256", &jwk, json!({}), TEXT);
        let cut = &good.as_bytes()[..cut.min(good.len() - 1)];
        prop_assert!(open(cut, &keys).is_err());
    }
}
