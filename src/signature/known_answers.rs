//! Known answers: signatures whose verdict is certain, to try a host's signature function before it
//! is trusted.

use super::key::VerifyKey;
use super::{Algorithm, AlgorithmSet, HostVerify, NoHost};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

struct KnownAnswer {
    algorithm: Algorithm,
    jwk: &'static str,
    signed: &'static str,
    /// As in a token: base64url.
    signature: &'static str,
}

/// Whether the host's function knows good from bad for `algorithm`: it accepts a right signature,
/// and refuses it with one bit changed at its end or its middle, over another message, over none,
/// under another key, and cut short. `false` for algorithms that hosts aren't asked for.
pub fn host_passes(host: &dyn HostVerify, algorithm: Algorithm) -> bool {
    KNOWN_ANSWERS
        .iter()
        .find(|known| known.algorithm == algorithm)
        .is_some_and(|known| passes(host, known).unwrap_or(false))
}

/// Whether the host's function, which has passed, is faster than the code here by `clock`, which
/// counts nanoseconds. The least of a few runs each: whatever else the machine does only adds. Of a
/// key that has its table: until then the host is asked in any case.
pub fn host_is_faster(
    host: &dyn HostVerify,
    algorithm: Algorithm,
    clock: impl Fn() -> u64,
) -> bool {
    let known = KNOWN_ANSWERS.iter().find(|known| known.algorithm == algorithm);
    known.and_then(|known| is_faster(host, known, clock)).unwrap_or(false)
}

/// `None` as below.
fn is_faster(host: &dyn HostVerify, known: &KnownAnswer, clock: impl Fn() -> u64) -> Option<bool> {
    let KnownAnswer { algorithm, jwk, signed, signature } = *known;
    let key = read(jwk, algorithm)?;
    let (signed, signature) = (signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature).ok()?);
    let least = |verify: &dyn Fn()| {
        let run = |_| {
            let begun = clock();
            verify();
            clock().saturating_sub(begun)
        };
        (0..RUNS).map(run).min()
    };
    let here = least(&|| {
        let _ = key.verify(algorithm, signed, &signature, &NoHost);
    });
    let there = least(&|| {
        // With its preparation: the form that the host takes.
        let form = key.signature_for_host(algorithm, &signature);
        form.map(|form| host.verify(algorithm, key.spki_der(), signed, &form));
    });
    Some(there < here)
}

/// Runs of each: a key's table is there after four.
const RUNS: usize = 7;

/// `None` if the vector itself can't be read, which the tests rule out.
fn passes(host: &dyn HostVerify, known: &KnownAnswer) -> Option<bool> {
    let KnownAnswer { algorithm, jwk, signed, signature } = *known;
    let key = read(jwk, algorithm)?;
    let (signed, signature) = (signed.as_bytes(), URL_SAFE_NO_PAD.decode(signature).ok()?);
    let other_key = match algorithm {
        Algorithm::RS256 => read(RSA_KEY, algorithm)?,
        Algorithm::ES256 => read(OTHER_P256_KEY, algorithm)?,
        Algorithm::ES384 => read(OTHER_P384_KEY, algorithm)?,
        Algorithm::ES512 => read(OTHER_P521_KEY, algorithm)?,
        _ => read(RFC7515_RSA_KEY, algorithm)?,
    };
    let ask = |key: &VerifyKey, signed: &[u8], signature: &[u8]| {
        let form = key.signature_for_host(algorithm, signature)?;
        Some(host.verify(algorithm, key.spki_der(), signed, &form))
    };
    let flipped = |index: usize| -> Option<Vec<u8>> {
        let mut flipped = signature.clone();
        *flipped.get_mut(index)? ^= 1;
        Some(flipped)
    };
    let other_message = [signed, b"."].concat();
    let form = key.signature_for_host(algorithm, &signature)?;
    let cut = form.split_last()?.1;
    let good = ask(&key, signed, &signature)? == Some(true);
    let bad = [
        ask(&key, signed, &flipped(signature.len() - 1)?)?,
        ask(&key, signed, &flipped(signature.len() / 2)?)?,
        ask(&key, &other_message, &signature)?,
        ask(&key, b"", &signature)?,
        ask(&other_key, signed, &signature)?,
        host.verify(algorithm, key.spki_der(), signed, cut),
    ];
    Some(good && bad.iter().all(|verdict| *verdict == Some(false)))
}

fn read(jwk: &str, algorithm: Algorithm) -> Option<VerifyKey> {
    VerifyKey::from_jwk(jwk, AlgorithmSet::from_slice(&[algorithm])).ok()
}

/// RFC 7515, appendix A.2.
pub(super) const RFC7515_RSA_KEY: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
/// RFC 7515, appendix A.3.
const RFC7515_P256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
/// Made for these answers; nobody has its private half.
const RSA_KEY: &str = r#"{"kty":"RSA","n":"pVpt6m0Qs4JpRdCJb6Mt4-MbsSANuOsWw2GnqVwoi7o2COy1eqquGw5sZolbRLSAyLMrUfIeBjZYZEPFNoZrpx3ILC9QfXUP68eEuiSUbsxQK199-paIG255LzD1rzcrgmYkAhgEndFL78Q5m_QlwqRlK19RMS9Nq-D4KAKXiyTUPpALLyuwlxCCG0qj9uB1DcNeKvdkdpp2QG7hFb3b8EPoIYadg0D8yqvrdgheIhQgUD7B2nTwHZ4FcYDLiz7Q6sb-R78RgT3UhUP8mQvoFjZTw8kcprdT3Us7wUDHfjEndJZbKmYuuTcWVd7RsEtat46Yg0WxeLjGYgeEX3WFSw","e":"AQAB"}"#;
/// Made for these answers; nobody has its private half.
const P384_KEY: &str = r#"{"kty":"EC","crv":"P-384","x":"pom1yK7d_CMzk8Yg_i9ARnS_JQmSrAuTXgH8Mo-YMifApBfpFST-t2ef-KLf-zJw","y":"3F4Z442Iqf4GlKh3sdzovQ_NMVjZAM7YAu3V1bZlBCkcgxdUBOMof_aDhbN2hzAP"}"#;
/// A key that signed nothing.
const OTHER_P256_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"9ZIy3bjHcD52gS12srG1rUbAygjOWzLM2pDZy0Uk8GY","y":"4tJ4M7YFurrDEFDl7rEt2_PwMpbkmL_Z0iDhNtDJW14"}"#;
/// A key that signed nothing.
const OTHER_P384_KEY: &str = r#"{"kty":"EC","crv":"P-384","x":"p3rPVS9JKdRd_sh-K17A2XkFvaUbTmheWvInzmy58qk2jwhW_8i6FV08239yhA7s","y":"22I5KoSblvJx34BhC8WZWRrMHg533trtB12e0U0XnQihdhnPUUGx-D85XQhi39JQ"}"#;

/// RFC 7515, appendix A.4.
const RFC7515_P521_KEY: &str = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
/// RFC 7520, section 3.1; it signed nothing here.
const OTHER_P521_KEY: &str = r#"{"kty":"EC","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#;

const KNOWN_ANSWERS: &[KnownAnswer] = &[
    // RFC 7515, appendix A.2.
    KnownAnswer {
        algorithm: Algorithm::RS256,
        jwk: RFC7515_RSA_KEY,
        signed: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        signature: "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    },
    KnownAnswer {
        algorithm: Algorithm::RS384,
        jwk: RSA_KEY,
        signed: "herdgate",
        signature: "B710XWw2qpvrZ7PFbkO_HFKCHhKD6lms37ZIPVt9EDr931AF1phQmJ9VHzZ0UE4lLbLATmN2iRKdhp-99Yg_OnlSt8QMH92xFpCkR2RJorJY6SUkAYe7oyMmRXZf6Ia_9lkN3UD5QPkEPBePYiVZxuPaWCSirPKS4bkskSP3J9tGE_amRtV8hoa6JxlQiAqp4mweEl47DF24xWrbymnNT7khQ-N3zMtmEwPSM2w-s0ncuZb23b0HAy33a_ZkdBSJpDqGXwRyKls06RcKDmu-2u_805ivZld1f17KzhY2dECmKBKabh1GURCKVYfAWUpI9gEKEFoH9Ty0QZxKl4IUew",
    },
    KnownAnswer {
        algorithm: Algorithm::RS512,
        jwk: RSA_KEY,
        signed: "herdgate",
        signature: "Gz5q7jIOBYaHYS_xhUm92KuAxqJmzDNiOjHgxdJBw-15VfCvmhrS7byQKQDUBZF-m0AfxKWDCV7svmRAQRC3xqpyChaaCBQBlZ-19HI3QHj1ruByC6TIaN8Kj1MZJc3WBop-xE-jEF5XnBXS07APgobQ2N6siIBBE5OshyXV7YYEZX0y8vEHZn5JZ_9H85QLAYTJrZ9UpOpEL8p-e-Aht2J2A_nY_9McfB3qJfUmWh6nnhpXP6GQAKkOpeWeON3Zwo-BjPcmuEZXL-8mCeIOF8Z6CRESJ8KG2rRf5MsOCOCaxyoLgITLv7iIvqaJjAuVwAUdD_JuUk3wUplp69XqUQ",
    },
    // RFC 7515, appendix A.3.
    KnownAnswer {
        algorithm: Algorithm::ES256,
        jwk: RFC7515_P256_KEY,
        signed: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
        signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    },
    KnownAnswer {
        algorithm: Algorithm::ES384,
        jwk: P384_KEY,
        signed: "herdgate",
        signature: "ZAmiZE8n4hr8ntPSmcnWVYopsuuZ6C8J1w8Ql0d8iQerUVa26zZSGZ43LZlPT5ypaSAumxXIvEXOY__EZgpk_LtrfRvoHniv7jGeF-xG8WXlAKuhYlntchiiMENH77ra",
    },
    // RFC 7515, appendix A.4.
    KnownAnswer {
        algorithm: Algorithm::ES512,
        jwk: RFC7515_P521_KEY,
        signed: "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA",
        signature: "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::BadSignature;
    use std::cell::{Cell, RefCell};

    /// A host that verifies with the code of this crate, and one that misbehaves in a stated way.
    struct Host(fn(Option<bool>, &[u8]) -> Option<bool>);

    impl HostVerify for Host {
        fn verify(
            &self,
            algorithm: Algorithm,
            spki_der: &[u8],
            message: &[u8],
            signature: &[u8],
        ) -> Option<bool> {
            let pem = format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
                base64::engine::general_purpose::STANDARD.encode(spki_der)
            );
            let key = VerifyKey::from_pem(&pem, AlgorithmSet::from_slice(&[algorithm])).unwrap();
            let raw = match algorithm {
                Algorithm::ES256 => {
                    p256::ecdsa::Signature::from_der(signature).map(|s| s.to_bytes().to_vec()).ok()
                }
                Algorithm::ES384 => {
                    p384::ecdsa::Signature::from_der(signature).map(|s| s.to_bytes().to_vec()).ok()
                }
                Algorithm::ES512 => {
                    p521::ecdsa::Signature::from_der(signature).map(|s| s.to_bytes().to_vec()).ok()
                }
                _ => Some(signature.to_vec()),
            };
            let verdict =
                raw.is_some_and(|raw| key.verify(algorithm, message, &raw, &NoHost).is_ok());
            (self.0)(Some(verdict), message)
        }
    }

    #[test]
    fn the_faster_of_the_two_is_found() {
        // Two looks at a clock around each run, those of the code here first.
        let clock = |here: u64, there: u64| {
            let looks = Cell::new(0);
            move || match looks.replace(looks.get() + 1) {
                look if look % 2 == 0 => 1_000,
                look if look / 2 < RUNS => 1_000 + here,
                _ => 1_000 + there,
            }
        };
        for KnownAnswer { algorithm, .. } in KNOWN_ANSWERS {
            let faster = |here, there| host_is_faster(&NoHost, *algorithm, clock(here, there));
            assert!(faster(300, 299), "{algorithm}");
            assert!(!faster(300, 300) && !faster(300, 301), "{algorithm}");
        }
        // A clock that stands says nothing for the host, nor does an algorithm that nobody asks of
        // it.
        assert!(!host_is_faster(&NoHost, Algorithm::ES384, || 7));
        assert!(!host_is_faster(&NoHost, Algorithm::HS256, clock(2, 1)));
    }

    /// A host that is slower, and says yes to everything.
    struct Slow;

    impl HostVerify for Slow {
        fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
            Some(true)
        }
        fn is_slower(&self, _: Algorithm) -> bool {
            true
        }
    }

    /// The host verifies for keys that are used once, as those of proofs; the code here once it has
    /// made the key's table.
    #[test]
    fn a_slower_host_is_asked_until_a_key_has_its_table() {
        for KnownAnswer { algorithm, jwk, signed, signature } in KNOWN_ANSWERS {
            let (key, signature) =
                (read(jwk, *algorithm).unwrap(), URL_SAFE_NO_PAD.decode(signature).unwrap());
            let by_host = || key.verify(*algorithm, b"another", &signature, &Slow).is_ok();
            assert!((0..3).all(|_| by_host()), "{algorithm}");
            let has_table = matches!(algorithm, Algorithm::ES256 | Algorithm::ES384);
            // Another test takes all the room for a while.
            let waits = (0..100_000).take_while(|_| has_table && by_host());
            waits.for_each(|_| std::thread::yield_now());
            assert_eq!(by_host(), !has_table, "{algorithm}");
            assert_eq!(key.verify(*algorithm, signed.as_bytes(), &signature, &Slow), Ok(()));
        }
    }

    #[test]
    fn an_honest_host_passes_and_others_fail() {
        for known in KNOWN_ANSWERS {
            let algorithm = known.algorithm;
            assert!(host_passes(&Host(|verdict, _| verdict), algorithm), "{algorithm}");
            assert!(!host_passes(&Host(|_, _| Some(true)), algorithm), "accepts all");
            assert!(!host_passes(&Host(|_, _| Some(false)), algorithm), "refuses all");
            assert!(!host_passes(&Host(|_, _| None), algorithm), "can't say");
            assert!(
                !host_passes(&Host(|verdict, _| verdict.map(|verdict| !verdict)), algorithm),
                "inverted"
            );
            let only_good = |verdict: Option<bool>, _: &[u8]| verdict.filter(|verdict| *verdict);
            assert!(!host_passes(&Host(only_good), algorithm), "can't say no");
            let empty = |verdict, message: &[u8]| {
                if message.is_empty() { Some(true) } else { verdict }
            };
            assert!(!host_passes(&Host(empty), algorithm), "accepts the empty message");
            assert!(!host_passes(&NoHost, algorithm));
        }
        for algorithm in [
            Algorithm::HS256,
            Algorithm::PS256,
            Algorithm::ES256K,
            Algorithm::EdDSA,
            Algorithm::MlDsa65,
        ] {
            assert!(!host_passes(&Host(|_, _| Some(true)), algorithm));
        }
    }

    #[test]
    fn the_answers_are_right_without_a_host() {
        for KnownAnswer { algorithm, jwk, signed, signature } in KNOWN_ANSWERS {
            let key = read(jwk, *algorithm).unwrap();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert_eq!(key.verify(*algorithm, signed.as_bytes(), &signature, &NoHost), Ok(()));
            assert_eq!(key.verify(*algorithm, b"other", &signature, &NoHost), Err(BadSignature));
        }
    }

    #[test]
    fn the_hosts_answer_holds_and_only_well_formed_signatures_reach_it() {
        struct Recorder(Option<bool>, RefCell<usize>);
        impl HostVerify for Recorder {
            fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
                *self.1.borrow_mut() += 1;
                self.0
            }
        }
        for KnownAnswer { algorithm, jwk, signed, signature } in KNOWN_ANSWERS {
            let key = read(jwk, *algorithm).unwrap();
            let signed = signed.as_bytes();
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let says = |verdict| Recorder(verdict, RefCell::new(0));
            assert_eq!(
                key.verify(*algorithm, signed, &signature, &says(Some(false))),
                Err(BadSignature)
            );
            assert_eq!(key.verify(*algorithm, b"other", &signature, &says(Some(true))), Ok(()));
            assert_eq!(key.verify(*algorithm, signed, &signature, &says(None)), Ok(()));
            let host = says(Some(true));
            for malformed in [&signature[1..], &[], &[&[0], signature.as_slice()].concat()] {
                assert_eq!(key.verify(*algorithm, signed, malformed, &host), Err(BadSignature));
            }
            assert_eq!(key.verify(Algorithm::HS256, signed, &signature, &host), Err(BadSignature));
            assert_eq!(*host.1.borrow(), 0);
        }
    }
}
