//! The thumbprint of a public key in a proof (RFC 7638), and the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::digest::sha256;
use crate::signature::{Algorithm, AlgorithmSet, VerifyKey};

/// Members that only a private or a symmetric key has (RFC 7518, section 6; RFC 9964, section 3).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// A public key as a proof's header has it: its required members alone, in the one spelling whose
/// hash is the thumbprint. Members that it may have beside these (`kid`, `use`, `alg` but for ML-DSA,
/// certificates) say nothing here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProofKey {
    canonical: String,
}

impl ProofKey {
    /// Reads a JWK strictly: one key has one thumbprint, so its values are canonical base64url, and
    /// numbers begin with no zero. Nothing if it is of another kind, or holds more than the public
    /// key.
    pub fn read(members: &Map<String, Value>) -> Option<ProofKey> {
        if PRIVATE.iter().any(|name| members.contains_key(*name)) {
            return None;
        }
        // RFC 7638, section 3.2, RFC 8037, section 2, and RFC 9964, section 6: the required members
        // in the order of their names.
        let canonical = match text(members, "kty")? {
            "EC" => {
                let curve = text(members, "crv")?;
                let bytes = coordinate_bytes(curve)?;
                let (x, y) = (of_bytes(members, "x", bytes)?, of_bytes(members, "y", bytes)?);
                format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            "OKP" if text(members, "crv")? == "Ed25519" => {
                let x = of_bytes(members, "x", 32)?;
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
            "RSA" => {
                let (e, n) = (number(members, "e")?, number(members, "n")?);
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            "AKP" => {
                let (algorithm, bytes) = ml_dsa(text(members, "alg")?)?;
                let public = of_bytes(members, "pub", bytes)?;
                format!(r#"{{"alg":"{algorithm}","kty":"AKP","pub":"{public}"}}"#)
            }
            _ => return None,
        };
        Some(ProofKey { canonical })
    }

    /// Its thumbprint with SHA-256.
    pub fn thumbprint(&self) -> [u8; 32] {
        sha256(self.canonical.as_bytes())
    }

    /// The key, for signatures of one algorithm; nothing if it isn't one of that, or no good key.
    pub fn verify_key(&self, algorithm: Algorithm) -> Option<VerifyKey> {
        VerifyKey::from_jwk(&self.canonical, AlgorithmSet::from_slice(&[algorithm])).ok()
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

/// A member in its one spelling. The engine refuses padding, other alphabets and stray bits.
fn decoded<'a>(members: &'a Map<String, Value>, name: &str) -> Option<(&'a str, Vec<u8>)> {
    let text = text(members, name)?;
    Some((text, URL_SAFE_NO_PAD.decode(text).ok()?))
}

fn of_bytes<'a>(members: &'a Map<String, Value>, name: &str, bytes: usize) -> Option<&'a str> {
    decoded(members, name).filter(|(_, value)| value.len() == bytes).map(|(text, _)| text)
}

/// RFC 7518, section 2: a `Base64urlUInt` has no zero byte in front.
fn number<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    decoded(members, name)
        .filter(|(_, value)| value.first().is_some_and(|first| *first != 0))
        .map(|(text, _)| text)
}

/// RFC 7518, section 6.2.1.2, and RFC 8812, section 3.1: coordinates have their curve's length.
fn coordinate_bytes(curve: &str) -> Option<usize> {
    match curve {
        "P-256" | "secp256k1" => Some(32),
        "P-384" => Some(48),
        "P-521" => Some(66),
        _ => None,
    }
}

/// FIPS 204, table 2.
fn ml_dsa(algorithm: &str) -> Option<(&str, usize)> {
    match algorithm {
        "ML-DSA-44" => Some((algorithm, 1312)),
        "ML-DSA-65" => Some((algorithm, 1952)),
        "ML-DSA-87" => Some((algorithm, 2592)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn thumbprint(jwk: &Value) -> Option<String> {
        ProofKey::read(jwk.as_object()?).map(|key| URL_SAFE_NO_PAD.encode(key.thumbprint()))
    }

    fn rsa() -> Value {
        json!({ "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" })
    }

    fn ed() -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    }

    fn ec() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" })
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        // RFC 7638, section 3.1; RFC 8037, appendix A.3; RFC 9449, section 6.1.
        let examples = [
            (rsa(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (ed(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (ec(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ];
        for (jwk, expected) in examples {
            assert_eq!(thumbprint(&jwk).as_deref(), Some(expected));
        }
    }

    /// RFC 9964, appendix A.1: the `kid` of each example is its thumbprint.
    #[test]
    fn ml_dsa_keys_have_theirs() {
        let vectors: Value =
            serde_json::from_str(include_str!("../signature/rfc9964.json")).unwrap();
        let mut keys = Vec::new();
        gather_keys(&vectors, &mut keys);
        assert!(!keys.is_empty());
        for mut jwk in keys {
            jwk.remove("priv");
            let kid = jwk["kid"].as_str().unwrap().to_owned();
            assert_eq!(thumbprint(&Value::Object(jwk)), Some(kid));
        }
    }

    fn gather_keys(value: &Value, keys: &mut Vec<Map<String, Value>>) {
        match value {
            Value::Object(members) if members.get("kty") == Some(&json!("AKP")) => {
                keys.push(members.clone())
            }
            Value::Object(members) => members.values().for_each(|v| gather_keys(v, keys)),
            Value::Array(list) => list.iter().for_each(|v| gather_keys(v, keys)),
            _ => {}
        }
    }

    #[test]
    fn only_a_public_key_in_its_one_spelling_is_read() {
        let with = |mut jwk: Value, name: &str, value: Value| {
            jwk[name] = value;
            jwk
        };
        assert!(thumbprint(&with(ec(), "kid", json!("k"))) == thumbprint(&ec()));
        for name in PRIVATE {
            for jwk in [ec(), ed(), rsa()] {
                assert_eq!(thumbprint(&with(jwk, name, json!("AQ"))), None, "{name}");
            }
        }
        let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
        for bad in [
            with(ec(), "x", json!(format!("{x}="))),
            // The last character's stray bits.
            with(ec(), "x", json!("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFt")),
            with(ec(), "x", json!(x.replace('-', "+"))),
            with(ec(), "x", json!(format!("AA{x}"))),
            with(ec(), "x", json!("")),
            with(ec(), "x", json!(1)),
            with(ec(), "crv", json!("P-384")),
            with(ec(), "crv", json!("P-192")),
            with(ec(), "kty", json!("ec")),
            with(ec(), "kty", json!("oct")),
            with(ed(), "crv", json!("Ed448")),
            with(ed(), "crv", json!("X25519")),
            with(rsa(), "e", json!("AAEAAQ")),
            with(rsa(), "e", json!("")),
            json!({ "kty": "AKP", "alg": "ML-DSA-45", "pub": "AA" }),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA" }),
            json!({ "kty": "oct", "k": "AAAA" }),
            json!([]),
            json!("EC"),
            json!({}),
        ] {
            assert_eq!(thumbprint(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_verifies_what_it_is_for_alone() {
        let key = ProofKey::read(ec().as_object().unwrap()).unwrap();
        assert!(key.verify_key(Algorithm::ES256).is_some());
        assert!(key.verify_key(Algorithm::ES384).is_none());
        assert!(key.verify_key(Algorithm::HS256).is_none());
        // A point that isn't on its curve.
        let mut off = ec();
        off["y"] = off["x"].clone();
        assert!(
            ProofKey::read(off.as_object().unwrap())
                .unwrap()
                .verify_key(Algorithm::ES256)
                .is_none()
        );
    }
}
