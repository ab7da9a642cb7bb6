//! The schemas: up to date, and never narrower than the loader.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use herdgate::config::{Config, HostKind};
use herdgate_check::{schema, stand_in};
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn examples() -> Vec<(String, Value)> {
    let mut examples = Vec::new();
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path().join("herdgate.json");
        if path.exists() {
            let text = std::fs::read_to_string(&path).unwrap();
            examples.push((path.display().to_string(), serde_json::from_str(&text).unwrap()));
        }
    }
    assert!(examples.len() >= 6);
    examples
}

fn schemas() -> [(&'static str, Validator); 2] {
    let compile =
        |draft, schema: &Value| jsonschema::options().with_draft(draft).build(schema).unwrap();
    [
        ("document", compile(Draft::Draft7, &schema::document())),
        ("kong", compile(Draft::Draft4, &schema::kong()["config_schema"])),
    ]
}

fn loads(document: &Value) -> bool {
    let text = document.to_string();
    let env = |name: &str| {
        let secret = || "a-secret-of-more-than-thirty-two-bytes".to_owned();
        Some(stand_in::jwk(text.as_bytes(), name).unwrap_or_else(secret))
    };
    Config::load(text.as_bytes(), &env, HostKind::Unknown).is_ok()
}

#[test]
fn committed_schemas_are_the_generated_ones() {
    for (name, schema) in
        [("herdgate.schema.json", schema::document()), ("kong/herdgate.meta.json", schema::kong())]
    {
        let committed = std::fs::read_to_string(root().join(name)).unwrap();
        assert!(committed == schema::text(&schema), "{name} is out of date: run `make schema`");
    }
}

#[test]
fn schemas_are_valid_in_their_drafts() {
    let draft7 = schema::document();
    let draft4 = schema::kong()["config_schema"].clone();
    assert!(jsonschema::draft7::meta::validate(&draft7).is_ok());
    assert!(jsonschema::draft4::meta::validate(&draft4).is_ok());
}

#[test]
fn examples_fit_both_schemas() {
    for (name, document) in examples() {
        assert!(loads(&document), "{name}");
        for (schema, validator) in schemas() {
            let errors: Vec<String> = validator
                .iter_errors(&document)
                .map(|error| format!("{} {error}", error.instance_path))
                .collect();
            assert!(errors.is_empty(), "{name} and {schema}: {errors:?}");
        }
    }
    let kong = &schemas()[1].1;
    assert!(kong.is_valid(&json!("{}")), "Kong takes a string as well");
    assert!(!schemas()[0].1.is_valid(&json!("{}")));
}

#[test]
fn schemas_refuse_what_has_a_wrong_form() {
    let wrong = [
        json!({ "colour": 1 }),
        json!({ "mode": "Enforce" }),
        json!({ "dpop": true }),
        json!({ "issuers": [{}] }),
        json!({ "shared": { "tokens_max": 830_585 } }),
        json!({ "shared": { "secret": 7 } }),
        json!({ "rules": [{ "match": { "methods": [] } }] }),
        json!({ "token_endpoints": [{ "path": "/t", "jitter": 0.6 }] }),
    ];
    for document in wrong {
        for (schema, validator) in schemas() {
            assert!(!validator.is_valid(&document), "{schema}: {document}");
        }
        assert!(!loads(&document), "{document}");
    }
}

/// All places in a document.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| places(item, &format!("{at}/{index}"), all)),
        Value::Object(members) => members.iter().for_each(|(name, item)| {
            // RFC 6901, section 3: a claim's name may be a URL.
            let name = name.replace('~', "~0").replace('/', "~1");
            places(item, &format!("{at}/{name}"), all);
        }),
        _ => {}
    }
}

#[test]
fn whatever_loads_fits_the_schemas() {
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(17),
        json!(0.25),
        json!(100_000),
        json!(""),
        json!("a"),
        json!("*"),
        json!("/a"),
        json!("é"),
        json!("a.b"),
        json!(["a"]),
        json!(["GET"]),
        json!([["a.b"]]),
        json!([]),
        json!({}),
        json!({ "env": "A" }),
        json!("https://a/{key}"),
        json!("a-{b}"),
        json!("1970-01-01"),
        json!([{ "claim": ["a"], "header": "b" }]),
    ];
    let schemas = schemas();
    let (mut loaded, mut refused_by_schema) = (0, 0);
    for (name, document) in examples() {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        for place in all {
            for other in &others {
                let mut changed = document.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                let fits = schemas.iter().all(|(_, validator)| validator.is_valid(&changed));
                if loads(&changed) {
                    loaded += 1;
                    assert!(fits, "{name}{place} = {other}");
                } else if !fits {
                    refused_by_schema += 1;
                }
            }
        }
    }
    assert!(loaded > 100 && refused_by_schema > 1000, "{loaded} {refused_by_schema}");
}
