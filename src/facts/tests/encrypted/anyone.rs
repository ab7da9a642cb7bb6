//! What anyone can make with a gateway's public keys is not a yes in any configuration that loads.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use serde_json::{Value, json};

use crate::config::{Config, HostKind};
use crate::jwe::tests::{private_jwk, sealed, secret_jwk};
use crate::world::*;

const NAMES: [&str; 3] = ["a", "b", "c"];
const ALGORITHMS: [&str; 7] =
    ["dir", "A128KW", "A256KW", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW", "RSA-OAEP-256"];

/// An issuer of one of two names, with keys of its own or without.
fn issuer(name: &'static str) -> impl Strategy<Value = Value> {
    let policies = ["refuse", "allow", "require", "authenticates", "authenticates"];
    (0u8..2, select(policies.to_vec()), any::<bool>(), any::<bool>()).prop_map(
        move |(iss, encrypted, is_signed, is_any)| {
            let iss = if is_any && name == "c" { "*".to_owned() } else { iss_of(iss) };
            let mut issuer = json!({ "name": name, "issuer": iss, "encrypted": encrypted,
                "audiences": [name], "leeway_s": 0 });
            if is_signed {
                issuer["algorithms"] = json!(["ES256"]);
                issuer["keys"] = json!([{ "jwk": Key::new(1).jwk("k") }]);
            }
            issuer
        },
    )
}

fn iss_of(number: u8) -> String {
    format!("https://idp-{number}.example")
}

/// A key, as a document may have it: more than one algorithm, none, with or without a name.
fn key() -> impl Strategy<Value = Value> {
    let jwks = || {
        select(vec![
            private_jwk("P-256", "k"),
            private_jwk("X25519", "k"),
            secret_jwk(16, 5, "s"),
            secret_jwk(32, 5, "s"),
            secret_jwk(32, 6, "s"),
        ])
    };
    let names = subsequence(NAMES.to_vec(), 1..=2);
    let algorithms = subsequence(ALGORITHMS.to_vec(), 1..=6);
    (jwks(), names, algorithms, any::<bool>(), any::<bool>()).prop_map(
        |(mut jwk, names, algorithms, is_named, allows_rsa)| {
            if !is_named {
                jwk.as_object_mut().unwrap().remove("kid");
            }
            let fits = |name: &&&str| match jwk["kty"].as_str().unwrap() {
                "oct" => ALGORITHMS[..3].contains(*name),
                "RSA" => **name == "RSA-OAEP-256",
                _ => ALGORITHMS[3..6].contains(*name),
            };
            // What doesn't fit is refused at load.
            let fitting: Vec<_> = algorithms.iter().filter(fits).collect();
            let algorithms = match fitting.is_empty() {
                true => json!(algorithms),
                false => json!(fitting),
            };
            json!({ "jwk": jwk, "issuers": names, "algorithms": algorithms,
                "allow_rsa_oaep": allows_rsa })
        },
    )
}

fn documents() -> impl Strategy<Value = Value> {
    let issuers = (issuer("a"), issuer("b"), issuer("c"));
    let parts = (issuers, prop::collection::vec(key(), 1..4), any::<bool>());
    parts.prop_map(|((a, b, c), keys, is_mended)| {
        let mut issuers = vec![a, b, c];
        // Of what chance brings little loads: most documents are spared the plain mistakes.
        for issuer in issuers.iter_mut().filter(|_| is_mended) {
            let names = |key: &&Value| key["issuers"].as_array().unwrap().contains(&issuer["name"]);
            if !keys.iter().any(|key| names(&key)) {
                issuer["encrypted"] = json!("refuse");
            }
            if issuer["encrypted"] != "authenticates" {
                issuer["algorithms"] = json!(["ES256"]);
                issuer["keys"] = json!([{ "jwk": Key::new(1).jwk("k") }]);
            }
        }
        json!({ "issuers": issuers, "decryption": { "keys": keys },
            "shared": { "secret": "a shared secret of 32 bytes or more" } })
    })
}

/// What a stranger can put inside: claims in the name of each issuer, for each audience, alone or
/// under what looks like a signature.
fn made_up() -> Vec<Vec<u8>> {
    let stranger = Key::new(2);
    let mut all = Vec::new();
    for (iss, aud) in [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (0, "c"), (2, "c")] {
        let claims = json!({ "iss": iss_of(iss), "aud": aud, "sub": "admin",
            "iat": START.s(), "exp": START.s() + 600 });
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        all.push(claims.to_string());
        all.push(format!("{none}.{payload}."));
        all.push(stranger.token("k", &claims));
        // Under the public key that verifies, as if it were a secret.
        all.push(hmac(&Key::new(1).jwk("k").to_string(), &claims));
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// The public half of a key, as far as anyone has it.
fn is_public(key: &Value) -> bool {
    key["jwk"]["kty"] != "oct"
}

/// Every encryption that a stranger can make for this key.
fn encrypted(key: &Value, inside: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    let jwk = &key["jwk"];
    for algorithm in key["algorithms"].as_array().unwrap() {
        for more in [json!({}), json!({ "cty": "JWT" })] {
            let mut more = more;
            if let Some(kid) = jwk.get("kid") {
                more["kid"] = kid.clone();
            }
            let is_short = algorithm == "dir" && jwk["k"].as_str().unwrap().len() < 40;
            let enc = if is_short { "A128GCM" } else { "A256GCM" };
            all.push(sealed(algorithm.as_str().unwrap(), enc, jwk, more, inside));
        }
    }
    all
}

fn load(document: &Value) -> Option<Config> {
    Config::load(document.to_string().as_bytes(), &|_| None, HostKind::Envoy).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_local_rejects: 1_000_000, ..ProptestConfig::default() })]
    #[test]
    fn nobody_is_believed_for_a_public_key(
        document in documents().prop_filter("loads", |document| {
            document["decryption"]["keys"].as_array().unwrap().iter().any(is_public)
                && load(document).is_some()
        })
    ) {
        let world = World::new(&document);
        for key in document["decryption"]["keys"].as_array().unwrap() {
            if is_public(key) {
                // Of each algorithm and header one thing that is inside, in turn.
                let all = made_up();
                for (n, inside) in all.iter().enumerate() {
                    let tokens = encrypted(key, inside);
                    let token = &tokens[n % tokens.len()];
                    prop_assert!(
                        matches!(world.ask(n % 2, START, token), Outcome::Refused(_)),
                        "{document} {}", String::from_utf8_lossy(inside)
                    );
                }
            }
        }
    }

    /// A secret writes tokens of those issuers alone that say so, under the names that it has.
    #[test]
    fn a_secret_speaks_for_its_own_issuer(
        document in documents().prop_filter("loads", |document| {
            document["decryption"]["keys"].as_array().unwrap().iter().any(|key| !is_public(key))
                && load(document).is_some()
        })
    ) {
        let world = World::new(&document);
        let issuers = document["issuers"].as_array().unwrap();
        for key in document["decryption"]["keys"].as_array().unwrap() {
            if is_public(key) {
                continue;
            }
            for (n, inside) in made_up().iter().enumerate() {
                let tokens = encrypted(key, inside);
                let Some(token) = tokens.get(n % tokens.len().max(1)) else { continue };
                let outcome = world.ask(n % 2, START, token);
                let Ok(claims) = serde_json::from_slice::<Value>(inside) else {
                    prop_assert!(matches!(outcome, Outcome::Refused(_)));
                    continue;
                };
                // Whoever has this secret has it under each of its entries.
                let names: Vec<&Value> = document["decryption"]["keys"].as_array().unwrap().iter()
                    .filter(|other| other["jwk"]["k"] == key["jwk"]["k"])
                    .flat_map(|other| other["issuers"].as_array().unwrap())
                    .collect();
                let believes = |issuer: &&Value| issuer["encrypted"] == "authenticates"
                    && names.contains(&&issuer["name"])
                    && (issuer["issuer"] == claims["iss"] || issuer["issuer"] == "*")
                    && issuer["audiences"][0] == claims["aud"];
                if outcome == Outcome::Admitted {
                    prop_assert!(issuers.iter().any(|one| believes(&one)), "{document} {claims}");
                }
            }
        }
    }
}

/// The same of an RSA key, which takes its time to load.
#[test]
fn nobody_is_believed_for_an_rsa_key() {
    let key = json!({ "jwk": private_jwk("RSA", "k"), "issuers": ["a"],
        "algorithms": ["RSA-OAEP-256"], "allow_rsa_oaep": true });
    for policy in ["allow", "require", "authenticates"] {
        let issuer = json!({ "name": "a", "issuer": iss_of(0), "encrypted": policy,
            "algorithms": ["ES256"], "keys": [{ "jwk": Key::new(1).jwk("k") }] });
        let document = json!({ "issuers": [issuer], "decryption": { "keys": [key] },
            "shared": { "secret": "a shared secret of 32 bytes or more" } });
        assert_eq!(load(&document).is_some(), policy != "authenticates");
        if policy == "authenticates" {
            continue;
        }
        let world = World::of(&[&document]);
        for inside in made_up().iter().take(4) {
            let token = &encrypted(&key, inside)[0];
            assert!(matches!(world.ask(0, START, token), Outcome::Refused(_)));
        }
    }
}

/// The property isn't empty: documents of each kind load, and some secret is believed.
#[test]
fn such_documents_load() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut public, mut believing) = (0, 0);
    for _ in 0..200 {
        let document = documents().new_tree(&mut runner).unwrap().current();
        if load(&document).is_none() {
            continue;
        }
        let text = document.to_string();
        public +=
            u32::from(document["decryption"]["keys"].as_array().unwrap().iter().any(is_public));
        believing += u32::from(text.contains("authenticates"));
    }
    assert!(public >= 5 && believing >= 2, "{public} {believing}");
}
