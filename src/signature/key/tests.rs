//! Which keys load from which texts, what they may verify, and how a refusal reads.

use super::*;
use crate::signature::test_keys::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn set(algorithms: &[Algorithm]) -> AlgorithmSet {
    AlgorithmSet::from_slice(algorithms)
}

fn all() -> AlgorithmSet {
    set(&Algorithm::ALL)
}

fn pem(text: &str) -> Result<VerifyKey, KeyError> {
    VerifyKey::from_pem(text, all())
}

fn jwk(text: &str) -> Result<VerifyKey, KeyError> {
    VerifyKey::from_jwk(text, all())
}

fn wrapped(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

#[test]
fn one_key_has_one_fingerprint_in_every_text() {
    for (texts, json) in [
        (&[RSA_SPKI, RSA_PKCS1, RSA_CERTIFICATE][..], RSA_JWK),
        (&[P256_SPKI, P256_CERTIFICATE], P256_JWK),
        (&[P384_SPKI], P384_JWK),
        (&[P521_SPKI], P521_JWK),
        (&[SECP256K1_SPKI], SECP256K1_JWK),
        (&[ED25519_SPKI], ED25519_JWK),
    ] {
        let key = jwk(json).unwrap();
        for text in texts {
            let other = pem(text).unwrap();
            assert_eq!(other.fingerprint(), key.fingerprint());
            assert_eq!(other.algorithms(), key.algorithms());
            assert_eq!(other.spki_der(), key.spki_der());
        }
        // What is handed to the host reads as the same key, and is what the PEM block held.
        assert_eq!(
            pem(&wrapped("PUBLIC KEY", key.spki_der())).unwrap().fingerprint(),
            key.fingerprint()
        );
        let lines: String = texts[0].lines().filter(|line| !line.starts_with("---")).collect();
        assert_eq!(STANDARD.encode(key.spki_der()), lines);
        let named = json.replacen('{', r#"{"kid":"a","alg2":1,"#, 1);
        assert_eq!(jwk(&named).unwrap().fingerprint(), key.fingerprint());
        assert_eq!(jwk(&named).unwrap().kid(), Some("a"));
    }
    let one = VerifyKey::from_pem(RSA_SPKI, set(&[Algorithm::RS256])).unwrap();
    let other = VerifyKey::from_pem(RSA_SPKI, set(&[Algorithm::PS256])).unwrap();
    assert_ne!(one.fingerprint(), other.fingerprint());
}

#[test]
fn keys_are_pinned_to_their_type_and_curve() {
    let rsa = [AlgorithmSet::of_family(Family::RsaPkcs1), AlgorithmSet::of_family(Family::RsaPss)];
    let rsa: AlgorithmSet = rsa.into_iter().flat_map(AlgorithmSet::iter).collect();
    assert_eq!(pem(RSA_SPKI).unwrap().algorithms(), rsa);
    assert_eq!(pem(P256_SPKI).unwrap().algorithms(), set(&[Algorithm::ES256]));
    assert_eq!(pem(P384_SPKI).unwrap().algorithms(), set(&[Algorithm::ES384]));
    assert_eq!(pem(P521_SPKI).unwrap().algorithms(), set(&[Algorithm::ES512]));
    assert_eq!(pem(SECP256K1_SPKI).unwrap().algorithms(), set(&[Algorithm::ES256K]));
    assert_eq!(pem(ED25519_SPKI).unwrap().algorithms(), set(&[Algorithm::EdDSA]));
    let why = |text, allowed: &[Algorithm]| {
        VerifyKey::from_pem(text, set(allowed)).unwrap_err().to_string()
    };
    assert_eq!(why(P256_SPKI, &[Algorithm::RS256]), "EC key on curve P-256 cannot verify RS256");
    assert_eq!(why(P384_SPKI, &[Algorithm::ES256]), "EC key on curve P-384 cannot verify ES256");
    assert_eq!(why(RSA_SPKI, &[Algorithm::HS256]), "RSA key cannot verify HS256");
    assert_eq!(why(ED25519_SPKI, &[]), "Ed25519 key cannot verify none of them");
    // The classic confusion: the text of a public key as the secret of an HMAC.
    for text in [RSA_SPKI, P256_CERTIFICATE, " \n-----BEGIN PUBLIC KEY-----"] {
        let refused = VerifyKey::from_secret(text.as_bytes(), set(&[Algorithm::HS256]), true);
        assert_eq!(refused.unwrap_err(), KeyError::SecretIsPublicKey);
    }
}

#[test]
fn pem_is_read_leniently_in_space_and_strictly_in_content() {
    let key = *pem(RSA_SPKI).unwrap().fingerprint();
    for text in [
        RSA_SPKI.replace('\n', "\r\n"),
        RSA_SPKI.replace('\n', "\n    "),
        format!("subject=test\n\n{RSA_SPKI}\n\n"),
        RSA_SPKI.replace("-----\n", "-----").replace('\n', " "),
    ] {
        assert_eq!(pem(&text).unwrap().fingerprint(), &key);
    }
    let why = |text: &str| pem(text).unwrap_err();
    for text in
        ["", "MIIB", "-----BEGIN PUBLIC KEY", "-----BEGIN PUBLIC KEY-----\nMIIB", "-----BEGIN "]
    {
        assert!(matches!(why(text), KeyError::NotPem(_)), "{text}");
    }
    assert!(matches!(why(&RSA_SPKI.replace("END PUBLIC", "END RSA PUBLIC")), KeyError::NotPem(_)));
    assert!(matches!(why(&RSA_SPKI.replace("MII", "MI*")), KeyError::NotPem(_)));
    assert!(matches!(why(&format!("{RSA_SPKI}{P256_SPKI}")), KeyError::NotPem(_)));
    assert_eq!(why(&RSA_SPKI.replace("PUBLIC KEY", "PRIVATE KEY")), KeyError::PrivateKey);
    assert_eq!(why(&RSA_SPKI.replace("PUBLIC KEY", "RSA PRIVATE KEY")), KeyError::PrivateKey);
    assert_eq!(
        why(&RSA_SPKI.replace("PUBLIC", "PGP PUBLIC")),
        KeyError::PemLabel("PGP PUBLIC KEY".into())
    );
    assert_eq!(
        why(&RSA_PKCS1.replace("RSA PUBLIC", "PUBLIC")),
        KeyError::NotDer("a SubjectPublicKeyInfo")
    );
    assert_eq!(why(&RSA_SPKI.replace("PUBLIC", "RSA PUBLIC")), KeyError::NotDer("an RSAPublicKey"));
    let as_certificate = RSA_SPKI.replace("PUBLIC KEY", "CERTIFICATE");
    assert_eq!(why(&as_certificate), KeyError::NotDer("an X.509 certificate"));
    assert_eq!(why(RSA_1024).to_string(), "RSA key of 1024 bits: at least 2048 are required");
    for text in [BRAINPOOL_P256, ED448] {
        assert!(matches!(why(text), KeyError::UnsupportedKey(_)));
    }
}

#[test]
fn der_cut_or_lengthened_anywhere_is_refused() {
    for (label, text) in
        [("PUBLIC KEY", RSA_SPKI), ("RSA PUBLIC KEY", RSA_PKCS1), ("CERTIFICATE", P256_CERTIFICATE)]
    {
        let lines: String = text.lines().filter(|line| !line.starts_with("---")).collect();
        let der = STANDARD.decode(lines).unwrap();
        assert!(pem(&wrapped(label, &der)).is_ok());
        for cut in 0..der.len() {
            assert!(pem(&wrapped(label, &der[..cut])).is_err(), "{label} {cut}");
        }
        assert!(pem(&wrapped(label, &[der.as_slice(), &[0]].concat())).is_err());
    }
}

#[test]
fn secrets_need_a_named_algorithm_and_enough_bytes() {
    let secret = |bytes: usize, allowed: &[Algorithm], weak| {
        VerifyKey::from_secret(&vec![7; bytes], set(allowed), weak)
    };
    let hs256 = &[Algorithm::HS256][..];
    assert_eq!(
        secret(12, hs256, false).unwrap_err().to_string(),
        "an HMAC secret of 12 bytes: HS256 needs at least 32 (set allow_weak_secret to accept it)"
    );
    assert!(!secret(32, hs256, false).unwrap().is_weak());
    assert!(!secret(32, hs256, true).unwrap().is_weak());
    assert!(secret(31, hs256, true).unwrap().is_weak());
    assert!(secret(1, hs256, true).is_ok());
    assert_eq!(secret(0, hs256, true).unwrap_err(), KeyError::EmptySecret);
    assert_eq!(
        secret(63, &[Algorithm::HS256, Algorithm::HS512], false).unwrap_err(),
        KeyError::WeakSecret { bytes: 63, algorithm: Algorithm::HS512 }
    );
    let both = secret(64, &[Algorithm::HS256, Algorithm::RS256], false).unwrap();
    assert_eq!(both.algorithms(), set(hs256));
    assert!(both.spki_der().is_empty());
    for allowed in [&[][..], &[Algorithm::RS256, Algorithm::EdDSA]] {
        assert!(matches!(secret(64, allowed, true), Err(KeyError::SecretWithoutHmac { .. })));
    }
    let of = |bytes: &[u8]| *VerifyKey::from_secret(bytes, set(hs256), true).unwrap().fingerprint();
    assert_eq!(of(b"a"), of(b"a"));
    assert_ne!(of(b"a"), of(b"b"));
    assert_ne!(of(b"a"), of(b"a\0"));
}

#[test]
fn jwk_members_pin_the_key() {
    let with = |json: &str, members: &str| json.replacen('{', &format!("{{{members},"), 1);
    let pinned = jwk(&with(RSA_JWK, r#""alg":"PS384","use":"sig","key_ops":["verify"]"#)).unwrap();
    assert_eq!(pinned.algorithms(), set(&[Algorithm::PS384]));
    let why = |json: &str, members: &str| jwk(&with(json, members)).unwrap_err();
    for alg in ["none", "RSA-OAEP", "rs256", " ", "ES521"] {
        assert_eq!(why(RSA_JWK, &format!(r#""alg":"{alg}""#)), KeyError::UnsupportedAlg, "{alg}");
    }
    assert!(matches!(why(RSA_JWK, r#""alg":"HS256""#), KeyError::NothingToVerify { .. }));
    assert!(matches!(why(P256_JWK, r#""alg":"ES384""#), KeyError::NothingToVerify { .. }));
    assert_eq!(
        VerifyKey::from_jwk(&with(RSA_JWK, r#""alg":"RS512""#), set(&[Algorithm::RS256]))
            .unwrap_err()
            .to_string(),
        "\"alg\" of the JWK is RS512, which is not among the allowed algorithms: RS256"
    );
    assert_eq!(why(RSA_JWK, r#""use":"enc""#), KeyError::NotForSignatures);
    assert_eq!(why(RSA_JWK, r#""use":"SIG""#), KeyError::NotForSignatures);
    assert_eq!(why(RSA_JWK, r#""key_ops":[]"#), KeyError::NotForVerification);
    assert_eq!(why(RSA_JWK, r#""key_ops":["sign","encrypt"]"#), KeyError::NotForVerification);
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"] {
        for json in [RSA_JWK, P256_JWK, ED25519_JWK] {
            assert_eq!(
                why(json, &format!(r#""{member}":"AQAB""#)),
                KeyError::PrivateKey,
                "{member}"
            );
        }
    }
    for members in
        [r#""alg":7"#, r#""use":["sig"]"#, r#""key_ops":"verify""#, r#""kid":7"#, r#""kty":"RSA""#]
    {
        assert!(matches!(why(RSA_JWK, members), KeyError::NotJwk(_)), "{members}");
    }
    assert!(matches!(why(RSA_JWK, r#""n":"AQAB""#), KeyError::NotJwk(_)), "named twice");
    for text in ["", "[]", "7", "null", r#"["RSA"]"#, "{", "{}x"] {
        assert!(matches!(jwk(text), Err(KeyError::NotJwk(_))), "{text}");
    }
    for text in ["{}", r#"{"kty":"rsa"}"#, r#"{"kty":"akp"}"#] {
        assert_eq!(jwk(text).unwrap_err(), KeyError::UnsupportedKty);
    }
    assert_eq!(jwk(r#"{"kty":"RSA","e":"AQAB"}"#).unwrap_err(), KeyError::MissingMember("n"));
    assert_eq!(jwk(&P256_JWK.replace("P-256", "P-192")).unwrap_err(), KeyError::UnsupportedCurve);
    assert_eq!(
        jwk(&ED25519_JWK.replace("Ed25519", "X25519")).unwrap_err(),
        KeyError::UnsupportedCurve
    );
    let length = KeyError::MemberLength { member: "x", expected: 32, found: 48 };
    assert_eq!(jwk(&P384_JWK.replace("P-384", "P-256")).unwrap_err(), length);
    assert!(matches!(jwk(&P256_JWK.replace("P-256", "P-384")), Err(KeyError::BadPoint(_))));
    let (start, end) = RSA_JWK.split_at(RSA_JWK.len() - 2);
    for stray in ["=", "A", "!", "\\n", " "] {
        assert_eq!(
            jwk(&format!("{start}{stray}{end}")).unwrap_err(),
            KeyError::NotBase64Url("e"),
            "{stray:?}"
        );
    }
}

#[test]
fn oct_is_a_secret_only_where_hmac_is_named() {
    let json = format!(r#"{{"kty":"oct","kid":"s","k":"{}"}}"#, URL_SAFE_NO_PAD.encode([9; 40]));
    assert!(matches!(
        VerifyKey::from_jwk(&json, AlgorithmSet::asymmetric()),
        Err(KeyError::SecretWithoutHmac { .. })
    ));
    let key = VerifyKey::from_jwk(&json, set(&[Algorithm::HS256])).unwrap();
    let same = VerifyKey::from_secret(&[9; 40], set(&[Algorithm::HS256]), false).unwrap();
    assert_eq!(key.fingerprint(), same.fingerprint());
    assert_eq!(key.kid(), Some("s"));
    let hs512 = set(&[Algorithm::HS512]);
    assert!(matches!(
        VerifyKey::from_jwk(&json, hs512),
        Err(KeyError::WeakSecret { bytes: 40, .. })
    ));
    assert!(VerifyKey::from_jwk_allowing_weak(&json, hs512).unwrap().is_weak());
}

#[test]
fn points_off_their_curve_of_small_order_or_in_other_spellings_are_refused() {
    let ec = |x: [u8; 32], y: [u8; 32]| {
        let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        jwk(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#)).unwrap_err()
    };
    for (x, y) in [([0; 32], [0; 32]), ([1; 32], [1; 32]), ([0xff; 32], [0xff; 32])] {
        assert!(matches!(ec(x, y), KeyError::BadPoint(_)));
    }
    let ed = |bytes: [u8; 32]| {
        jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(bytes)))
    };
    let low = |first: u8, last: u8| {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let high = |first: u8, last: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    // Orders 1, 4 and 2 in canonical and other spellings, with either sign.
    for bytes in
        [low(1, 0), low(1, 0x80), low(0, 0), low(0, 0x80), high(0xec, 0x7f), high(0xec, 0xff)]
    {
        assert!(matches!(ed(bytes), Err(KeyError::BadPoint(_))), "{bytes:?}");
    }
    // y from p to 2^255 - 1 is y - p in another spelling, of small order or not.
    for first in 0xed..=0xff {
        for last in [0x7f, 0xff] {
            assert!(
                matches!(ed(high(first, last)), Err(KeyError::BadPoint(_))),
                "{first:x} {last:x}"
            );
        }
    }
    let canonical = (3..=18).filter(|first| ed(low(*first, 0)).is_ok()).count();
    assert!(
        canonical > 0,
        "some y just above 2 is a good key, so its other spelling was refused for the spelling"
    );
}

#[test]
fn on_secp256k1_a_high_s_is_good_too() {
    // RFC 8812 asks for no lower half; Bitcoin does, and so does the crate.
    use k256::ecdsa::signature::hazmat::PrehashSigner;
    let signer = k256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
    let point = signer.verifying_key().to_sec1_point(false);
    let key = VerifyKey::new_public(
        PublicKey::Ec(
            EcKey::from_sec1(super::super::ec::Curve::Secp256k1, point.as_bytes()).unwrap(),
        ),
        all(),
    );
    let key = key.unwrap();
    let signature: k256::ecdsa::Signature =
        signer.sign_prehash(&Sha256::digest(b"message")).unwrap();
    let (r, s) = signature.split_scalars();
    let high = k256::ecdsa::Signature::from_scalars(r, -s).unwrap();
    for bytes in [signature.to_bytes(), high.to_bytes()] {
        assert_eq!(
            key.verify(Algorithm::ES256K, b"message", &bytes, &crate::signature::NoHost),
            Ok(())
        );
        assert_eq!(
            key.verify(Algorithm::ES256K, b"other", &bytes, &crate::signature::NoHost),
            Err(BadSignature)
        );
        assert_eq!(
            key.verify(Algorithm::ES256, b"message", &bytes, &crate::signature::NoHost),
            Err(BadSignature)
        );
    }
}

#[test]
fn a_high_s_is_good_and_zero_is_not() {
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    let signer = p256::ecdsa::SigningKey::from_slice(&[5; 32]).unwrap();
    let point = signer.verifying_key().to_sec1_point(false);
    let key = EcKey::from_sec1(super::super::ec::Curve::P256, point.as_bytes()).unwrap();
    let spki = key.spki_der();
    let key = pem(&wrapped("PUBLIC KEY", &spki)).unwrap();
    let digest = Sha256::digest(b"message");
    let signature: p256::ecdsa::Signature = signer.sign_prehash(&digest).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
    let verify =
        |bytes: &[u8]| key.verify(Algorithm::ES256, b"message", bytes, &crate::signature::NoHost);
    assert_ne!(signature.to_bytes(), other.to_bytes());
    assert_eq!(verify(&signature.to_bytes()), Ok(()));
    assert_eq!(verify(&other.to_bytes()), Ok(()));
    assert_eq!(verify(signature.to_der().as_bytes()), Err(BadSignature), "DER is no JWS signature");
    let bytes = signature.to_bytes();
    assert_eq!(verify(&[&[0; 32], &bytes[32..]].concat()), Err(BadSignature));
    assert_eq!(verify(&[&bytes[..32], &[0; 32]].concat()), Err(BadSignature));
}

#[test]
fn nothing_of_a_key_is_printed() {
    let secret = b"correct horse battery staple, again and again";
    let key = VerifyKey::from_secret(secret, set(&[Algorithm::HS256]), false).unwrap();
    let key = key.with_kid(Some("the kid".into()));
    assert_eq!(format!("{key:?}"), "VerifyKey { algorithms: {HS256}, .. }");
}
