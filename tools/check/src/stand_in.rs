//! A key in place of one that isn't set here: one that opens nothing, of the kind that the document
//! asks for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The JWK to load where a decryption key of `document` is in the environment's `variable`.
pub fn jwk(document: &[u8], variable: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(document).ok()?;
    let keys = document.get("decryption")?.get("keys")?.as_array()?;
    let key = keys.iter().find(|key| key["jwk"]["env"] == variable)?;
    let first = |name: &str| key.get(name)?.get(0)?.as_str();
    let secret =
        |bytes: usize| json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(vec![0; bytes]) });
    let jwk = match (first("algorithms"), first("encryptions")) {
        (Some("A128KW"), _) => secret(16),
        (Some("A256KW"), _) => secret(32),
        (Some("dir"), Some("A128GCM")) => secret(16),
        (Some("dir"), Some("A256CBC-HS512")) => secret(64),
        (Some("dir"), _) => secret(32),
        // The key of RFC 7520, section 5.5.1.
        (None, _) => of_rfc(json!("ECDH-ES+A256KW")),
        (Some(_), _) => of_rfc(Value::Null),
    };
    Some(jwk.to_string())
}

fn of_rfc(alg: Value) -> Value {
    json!({ "kty": "EC", "crv": "P-256", "alg": alg, "x": "Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0",
        "y": "HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw", "d": "r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8" })
}
