//! No document panics the loader, and no secret comes out of it.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Stands in every place of a secret.
const CANARY: &str = "canary-3b1f0c9a77e5d24486b0";

/// A document with a canary in each place where a secret may be.
fn document_of_canaries() -> Value {
    json!({
        "issuers": [
            { "name": "a", "issuer": "https://a", "algorithms": ["RS256"], "audiences": ["x"], "cluster": "c",
              "jwks_uri": format!("https://user:{CANARY}@a/jwks?key={CANARY}"), "headers": { "x-key": CANARY } },
            { "name": "b", "issuer": "b", "algorithms": ["HS256"], "keys": [
                { "secret": CANARY }, { "jwk": { "kty": "oct", "k": CANARY, "kid": CANARY } },
                { "jwks": { "keys": [{ "kty": "oct", "k": CANARY, CANARY: 1 }] } } ] },
            { "name": "c", "issuer": "c", "algorithms": ["RS256"], "keys": [
                { "pem": format!("-----BEGIN {CANARY}-----\n{CANARY}\n-----END {CANARY}-----") }, { "jwk": { "kty": CANARY, "alg": CANARY } } ] },
            { "name": "d", "issuer": "*", "algorithms": ["HS256"], "credentials": {
                "inline": [{ "key": "k", "secret": CANARY }, { "key": "l", "pem": CANARY }],
                "lookup": { "uri": format!("http://{CANARY}:x@127.0.0.1/{{key}}?apikey={CANARY}"), "cluster": "k", "headers": { "kong-admin-token": CANARY } } } },
            { "name": "e", "issuer": "e", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g",
                "client_auth": "private_key_jwt", "client_key": { "jwk": { "kty": "EC", "d": CANARY, CANARY: 1 } } } },
            { "name": "f", "issuer": "f", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g",
                "client_auth": "private_key_jwt", "client_key": format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----") } }
        ],
        "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g", "client_secret": CANARY },
        "revocation": { "feeds": [{ "uri": "https://a/f", "cluster": "c", "headers": { "authorization": CANARY } }] },
        "shared": { "secret": CANARY }
    })
}

/// All places in a document.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| places(item, &format!("{at}/{index}"), all)),
        // RFC 6901, section 3: a claim may have a URL's name.
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            places(item, &format!("{at}/{name}"), all)
        }),
        _ => {}
    }
}

/// What comes out of the loader for a document.
fn output(document: &Value, host: HostKind, env: &dyn Fn(&str) -> Option<String>) -> String {
    match Config::load(document.to_string().as_bytes(), env, host) {
        Ok(config) => {
            let mut out = format!(
                "{:?} {:?} {:?} {:?}",
                config.warnings,
                config.rules.len(),
                config.kong,
                config.shared.secret
            );
            for issuer in &config.issuers {
                out.push_str(&format!("{:?} {:?}", issuer.matcher, issuer.forward));
                match &issuer.keys {
                    KeySource::Inline(keys) => out.push_str(&format!("{keys:?}")),
                    KeySource::Jwks { call, .. } => out.push_str(&format!("{call:?}")),
                    KeySource::Credentials(credentials) => {
                        credentials
                            .inline
                            .iter()
                            .for_each(|one| out.push_str(&format!("{:?}", one.verify)));
                        credentials
                            .lookup
                            .iter()
                            .for_each(|lookup| out.push_str(&format!("{:?}", lookup.call)));
                    }
                }
            }
            out
        }
        Err(errors) => format!("{errors} {errors:?}"),
    }
}

/// What takes the place of a part of the document. A canary goes only where one was: a secret that
/// someone writes into, say, a realm is no longer one.
fn replacements(old: &Value) -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!(true),
        json!(17),
        json!(""),
        json!([]),
        json!({}),
        json!([old]),
        json!({ "secret": old }),
    ];
    all.extend([json!({ "env": "UNSET" }), json!({ "env": "SET" }), json!({ "env": [old] })]);
    if old.to_string().contains(CANARY) {
        all.extend([json!({ "env": old }), json!([CANARY])]);
        if !old.as_str().is_some_and(|text| text.contains("://")) {
            all.push(json!(CANARY));
        }
    }
    if old == CANARY {
        all.extend([json!({ CANARY: 1 }), json!({ "env": old, "else": old })]);
    }
    all
}

#[test]
fn no_secret_comes_out_of_a_damaged_document() {
    let document = document_of_canaries();
    let mut all = Vec::new();
    places(&document, "", &mut all);
    let env = |name: &str| (name == "SET").then(|| CANARY.to_owned());
    let mut outputs = 0;
    for host in HOSTS {
        for place in &all {
            for new in replacements(document.pointer(place).unwrap()) {
                let mut damaged = document.clone();
                *damaged.pointer_mut(place).unwrap() = new.clone();
                let said = output(&damaged, host, &env);
                assert!(!said.contains("canary-3b1f"), "{place} {new}: {said}");
                outputs += 1;
            }
        }
    }
    assert!(outputs > 1000, "{outputs}");
}

#[test]
fn no_secret_comes_out_of_a_document_that_loads() {
    for host in HOSTS {
        let config = Config::load(EVERYTHING.as_bytes(), &env, host)
            .unwrap_or_else(|errors| panic!("{errors}"));
        let document: Value = serde_json::from_str(EVERYTHING).unwrap();
        let said = output(&document, host, &env);
        assert!(!said.contains("canary") && !said.contains("an-example-secret"), "{said}");
        assert!(!config.warnings.is_empty());
    }
}

/// Any JSON value, likelier than not one that the loader knows members of.
fn any_json() -> impl Strategy<Value = Value> {
    let mut all = Vec::new();
    shapes(&DOCUMENT, &mut all);
    let names: Vec<&'static str> =
        all.into_iter().flat_map(Shape::fields).map(|field| field.name).collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "*",
            "a-{b}",
            "RS256",
            "HS256",
            "https://a/{key}",
            "/a/{b}",
            "address",
            "{",
            "[",
            "unix:",
            "x.y",
            "env"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let name = prop_oneof![4 => prop::sample::select(names.clone()).prop_map(str::to_owned), 1 => ".{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics_the_loader(value in any_json(), host in prop::sample::select(HOSTS.to_vec())) {
        let _ = output(&value, host, &|_| None);
    }

    #[test]
    fn no_bytes_panic_the_loader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::load(&bytes, &|_| None, HostKind::Unknown);
    }

    #[test]
    fn no_change_of_an_example_panics_the_loader(
        which in 0..EXAMPLES.len(), place in any::<prop::sample::Index>(), new in any_json(), host in prop::sample::select(HOSTS.to_vec()),
    ) {
        let mut document: Value = serde_json::from_str(EXAMPLES[which]).unwrap();
        let mut all = Vec::new();
        places(&document, "", &mut all);
        *document.pointer_mut(place.get::<String>(&all)).unwrap() = new;
        let _ = output(&document, host, &env);
    }
}
