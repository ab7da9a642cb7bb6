//! Keys that are not what they are said to be.

use super::*;

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
    let rsa = private_jwk("RSA", "k");
    let other_n = json!(rsa["n"].as_str().unwrap().replacen('o', "p", 1));
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
        (json!({ "kty": "oth" }), "dir", "A256GCM", "expected \"kty\""),
        (json!({ "kty": "RSA" }), "RSA-OAEP-256", "A256GCM", "got a public one"),
        (rsa.clone(), "dir", "A256GCM", "expected a key for dir, got an RSA key"),
        (rsa.clone(), "ECDH-ES", "A256GCM", "expected a key for ECDH-ES, got an RSA key"),
        (p256.clone(), "RSA-OAEP-256", "A128GCM", "got one for ECDH-ES"),
        (secret.clone(), "RSA-OAEP-256", "A128GCM", "got a shared secret"),
        (public(rsa.clone()), "RSA-OAEP-256", "A256GCM", "got a public one"),
        (with(rsa.clone(), "e", json!("")), "RSA-OAEP-256", "A256GCM", "\"e\" is even"),
        (with(rsa.clone(), "e", json!("Ag")), "RSA-OAEP-256", "A256GCM", "\"e\" is even"),
        (with(rsa.clone(), "n", json!("AQ")), "RSA-OAEP-256", "A256GCM", "2048 to 4096 bits"),
        (with(rsa.clone(), "e", json!("BQ")), "RSA-OAEP-256", "A256GCM", "aren't one key"),
        (with(rsa.clone(), "d", json!("AQ")), "RSA-OAEP-256", "A256GCM", "aren't one key"),
        (with(rsa.clone(), "n", other_n), "RSA-OAEP-256", "A256GCM", "aren't one key"),
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
