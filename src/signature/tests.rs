//! The examples of the RFCs, and our verdicts against jwt-simple's.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::*;
use std::sync::LazyLock;

fn all() -> AlgorithmSet {
    AlgorithmSet::from_slice(&Algorithm::ALL)
}

/// Verifies a compact JWS as it is and then damaged in every way that keeps it a JWS.
fn good_then_damaged(key: &VerifyKey, algorithm: Algorithm, compact: &str) {
    let (signed, signature) = compact.rsplit_once('.').unwrap();
    let (signed, signature) = (signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature).unwrap());
    assert_eq!(key.verify(algorithm, signed, &signature, &NoHost), Ok(()), "{algorithm}");
    let refused = |signed: &[u8], signature: &[u8]| {
        assert_eq!(
            key.verify(algorithm, signed, signature, &NoHost),
            Err(BadSignature),
            "{algorithm}"
        );
    };
    // Long signatures take long to verify: forty places of each are enough.
    for index in
        (0..signature.len()).step_by(7.max(signature.len() / 40)).chain([signature.len() - 1])
    {
        for bit in [0, 7] {
            let mut damaged = signature.clone();
            damaged[index] ^= 1 << bit;
            refused(signed, &damaged);
        }
    }
    refused(&signed[1..], &signature);
    refused(b"", &signature);
    refused(&[signed, b"A"].concat(), &signature);
    refused(signed, &signature[1..]);
    refused(signed, &signature[..signature.len() - 1]);
    refused(signed, &[signature.as_slice(), &[0]].concat());
    refused(signed, &[&[0], signature.as_slice()].concat());
    refused(signed, &[]);
    refused(signed, &vec![0; signature.len()]);
    refused(signed, &vec![0xff; signature.len()]);
    for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
        assert_eq!(
            key.verify(other, signed, &signature, &NoHost),
            Err(BadSignature),
            "{algorithm} as {other}"
        );
    }
}

#[test]
fn rfc_7515_a1_hs256() {
    let key = r#"{"kty":"oct",
        "k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#;
    good_then_damaged(
        &VerifyKey::from_jwk(key, all()).unwrap(),
        Algorithm::HS256,
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
         .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
         .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
}

#[test]
fn rfc_7520_4_1_rs256_and_4_2_ps384() {
    let key = r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig",
        "n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
        "e":"AQAB"}"#;
    let key = VerifyKey::from_jwk(key, all()).unwrap();
    assert_eq!(key.kid(), Some("bilbo.baggins@hobbiton.example"));
    let payload = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    for (algorithm, header, signature) in [
        (
            Algorithm::RS256,
            "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
        ),
        (
            Algorithm::PS384,
            "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
            "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
        ),
    ] {
        good_then_damaged(&key, algorithm, &format!("{header}.{payload}.{signature}"));
    }
}

#[test]
fn rfc_8037_a4_ed25519() {
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    good_then_damaged(
        &VerifyKey::from_jwk(key, all()).unwrap(),
        Algorithm::EdDSA,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
}

/// RFC 8032, section 5.1.7: S is below the group's order L, so that S + L is no other spelling of
/// it.
#[test]
fn an_ed25519_signature_has_one_spelling() {
    const L: [u8; 32] = *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";
    let pair = Ed25519KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem(), all()).unwrap();
    let token = pair.sign(Claims::create(Duration::from_secs(60))).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let verify =
        |signature: &[u8]| key.verify(Algorithm::EdDSA, signed.as_bytes(), signature, &NoHost);
    assert_eq!(verify(&signature), Ok(()));
    // As often as it fits: S + 15 L has 256 bits still.
    for times in 1..=15 {
        let mut carry = 0;
        for (byte, more) in signature[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(more) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        if carry > 0 {
            break;
        }
        assert_eq!(verify(&signature), Err(BadSignature), "S + {times} L");
    }
}

/// FIPS 186-5, section 6.4.2, step 1: r and s are from 1 to n - 1. Of s and n - s JOSE prefers
/// neither.
#[test]
fn the_numbers_of_an_ecdsa_signature_are_below_the_order() {
    const N: &[u8] =
        b"\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
    let pair = ES256KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    let form =
        |r: &[u8], s: &[u8]| key.signature_for_host(Algorithm::ES256, &[r, s].concat()).is_some();
    let n_minus_1 = [&N[..31], &[0x50]].concat();
    let n_plus_1 = [&N[..31], &[0x52]].concat();
    assert!(form(&n_minus_1, &n_minus_1));
    for bad in [N, &n_plus_1, &[0xff; 32], &[0; 32]] {
        assert!(!form(bad, &n_minus_1) && !form(&n_minus_1, bad));
        let signature = [bad, &n_minus_1].concat();
        assert_eq!(key.verify(Algorithm::ES256, b"a.b", &signature, &NoHost), Err(BadSignature));
    }
}

#[test]
fn rfc_7515_a4_and_rfc_7520_4_3_es512() {
    let a4 = r#"{"kty":"EC","crv":"P-521",
        "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
    good_then_damaged(
        &VerifyKey::from_jwk(a4, all()).unwrap(),
        Algorithm::ES512,
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
    );
    // The x of RFC 7517's and RFC 7520's key begins with a zero byte.
    let bilbo = r#"{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521",
        "x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
        "y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#;
    let payload = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";
    let signature = "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2";
    let header = "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9";
    good_then_damaged(
        &VerifyKey::from_jwk(bilbo, all()).unwrap(),
        Algorithm::ES512,
        &format!("{header}.{payload}.{signature}"),
    );
}

/// RFC 7517, appendix A.1: the set that the others of our documents are measured by.
#[test]
fn rfc_7517_a1() {
    let set = r#"{"keys":[
        {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
        {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}"#;
    let set = crate::signature::jwk_set::parse(set.as_bytes(), all(), 10, 4096).unwrap();
    assert_eq!(set.keys.iter().map(VerifyKey::kid).collect::<Vec<_>>(), [Some("2011-04-29")]);
    assert_eq!(set.left_out.len(), 1, "the key for encryption");
}

#[test]
fn rfc_9964_a1_ml_dsa() {
    let algorithms = [Algorithm::MlDsa44, Algorithm::MlDsa65, Algorithm::MlDsa87];
    for ((jws, jwk), algorithm) in test_keys::rfc_9964()
        .into_iter()
        .map(|(_, jws)| jws)
        .zip(test_keys::ml_dsa_jwks())
        .zip(algorithms)
    {
        good_then_damaged(&VerifyKey::from_jwk(&jwk, all()).unwrap(), algorithm, &jws);
    }
}

#[test]
fn what_jwt_simple_signs() {
    let claims = || Claims::create(Duration::from_hours(1)).with_subject("a subject");
    let secret = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let hmac = VerifyKey::from_secret(secret, all(), false).unwrap();
    good_then_damaged(
        &hmac,
        Algorithm::HS256,
        &HS256Key::from_bytes(secret).authenticate(claims()).unwrap(),
    );
    good_then_damaged(
        &hmac,
        Algorithm::HS384,
        &HS384Key::from_bytes(secret).authenticate(claims()).unwrap(),
    );
    good_then_damaged(
        &hmac,
        Algorithm::HS512,
        &HS512Key::from_bytes(secret).authenticate(claims()).unwrap(),
    );

    let pair = ES256KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    good_then_damaged(&key, Algorithm::ES256, &pair.sign(claims()).unwrap());
    let pair = ES384KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    good_then_damaged(&key, Algorithm::ES384, &pair.sign(claims()).unwrap());
    let pair = ES256kKeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    good_then_damaged(&key, Algorithm::ES256K, &pair.sign(claims()).unwrap());
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    good_then_damaged(&key, Algorithm::ES256K, &pair.sign(claims()).unwrap());
    let pair = MLDSA44KeyPair::generate();
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    good_then_damaged(&key, Algorithm::MlDsa44, &pair.sign(claims()).unwrap());
    let pair = MLDSA65KeyPair::generate();
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    good_then_damaged(&key, Algorithm::MlDsa65, &pair.sign(claims()).unwrap());
    let pair = MLDSA87KeyPair::generate();
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    good_then_damaged(&key, Algorithm::MlDsa87, &pair.sign(claims()).unwrap());

    let pair = Ed25519KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem(), all()).unwrap();
    good_then_damaged(&key, Algorithm::EdDSA, &pair.sign(claims()).unwrap());

    let pair = RS256KeyPair::generate(2048).unwrap();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    let pem = pair.to_pem().unwrap();
    good_then_damaged(&key, Algorithm::RS256, &pair.sign(claims()).unwrap());
    let pair = RS384KeyPair::from_pem(&pem).unwrap();
    good_then_damaged(&key, Algorithm::RS384, &pair.sign(claims()).unwrap());
    let pair = RS512KeyPair::from_pem(&pem).unwrap();
    good_then_damaged(&key, Algorithm::RS512, &pair.sign(claims()).unwrap());
    let pair = PS256KeyPair::from_pem(&pem).unwrap();
    good_then_damaged(&key, Algorithm::PS256, &pair.sign(claims()).unwrap());
    let pair = PS384KeyPair::from_pem(&pem).unwrap();
    good_then_damaged(&key, Algorithm::PS384, &pair.sign(claims()).unwrap());
    let pair = PS512KeyPair::from_pem(&pem).unwrap();
    good_then_damaged(&key, Algorithm::PS512, &pair.sign(claims()).unwrap());
}

/// Our verdict on a token beside jwt-simple's, which reads the same bytes by itself.
fn agrees<K>(
    key: &VerifyKey,
    algorithm: Algorithm,
    oracle: impl Fn(&str) -> Result<JWTClaims<NoCustomClaims>, K>,
    token: &str,
) {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let ours = key.verify(algorithm, signed.as_bytes(), &signature, &NoHost).is_ok();
    assert_eq!(ours, oracle(token).is_ok(), "{algorithm}: {token}");
}

/// A public key of the oracle's, ours of the same, and a token that its private half has signed
/// once for all cases.
struct Signed<K>(K, VerifyKey, String);

static ES256K_SIGNED: LazyLock<Signed<ES256kPublicKey>> = LazyLock::new(|| {
    let pair = ES256kKeyPair::from_bytes(&[9; 32]).unwrap();
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    Signed(pair.public_key(), key, pair.sign(Claims::create(Duration::from_hours(1))).unwrap())
});
static ML_DSA_SIGNED: LazyLock<Signed<MLDSA44PublicKey>> = LazyLock::new(|| {
    let pair = MLDSA44KeyPair::from_bytes(&[9; 32]).unwrap();
    let key = VerifyKey::from_jwk(&pair.public_key().to_jwk(), all()).unwrap();
    Signed(pair.public_key(), key, pair.sign(Claims::create(Duration::from_hours(1))).unwrap())
});

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// A signature that is changed, cut or lengthened anywhere has the oracle's verdict; so has one
    /// that is left alone.
    #[test]
    fn our_verdict_is_jwt_simples(at in 0usize..5000, flip in 0u8..=255, cut in 0usize..3, longer in 0usize..3) {
        let damaged = |token: &str| {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            bytes.truncate(bytes.len() - cut);
            bytes.extend(vec![0; longer]);
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
        };
        let Signed(oracle, key, token) = &*ES256K_SIGNED;
        for token in [token, &damaged(token)] {
            agrees(key, Algorithm::ES256K, |token| oracle.verify_token(token, None), token);
        }
        let Signed(oracle, key, token) = &*ML_DSA_SIGNED;
        for token in [token, &damaged(token)] {
            agrees(key, Algorithm::MlDsa44, |token| oracle.verify_token(token, None), token);
        }
    }
}
