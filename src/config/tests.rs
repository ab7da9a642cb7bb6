//! The loader as a whole: documents in, configurations or mistakes out.

use crate::jwt::ClaimPath;
use crate::jwt::issuer::IssuerMatch;
use crate::rate_limit::Amount;
use crate::request::path::{PathMatch, PathPolicy, RuleMatch};
use crate::signature::source::{JwksAt, KeySource};
use std::cell::RefCell;
use std::collections::BTreeSet;

use super::shape::{Kind, Shape};
use super::*;

mod mistakes;
mod secrets;

const EVERYTHING: &str = include_str!("../../examples/everything/herdgate.json");
const EXAMPLES: [&str; 7] = [
    EVERYTHING,
    include_str!("../../examples/jwt/herdgate.json"),
    include_str!("../../examples/token-endpoint/herdgate.json"),
    include_str!("../../examples/devices/herdgate.json"),
    include_str!("../../examples/dpop/herdgate.json"),
    include_str!("../../examples/kong-migration/herdgate.json"),
    include_str!("../../examples/many-gateways/herdgate.json"),
];
const HOSTS: [HostKind; 3] = [HostKind::Envoy, HostKind::Kong, HostKind::Unknown];

thread_local! {
    static READ: RefCell<BTreeSet<(usize, String)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that the loader asked for a field.
pub(super) fn note_read(shape: &'static Shape, name: &str) {
    READ.with(|read| {
        read.borrow_mut().insert((std::ptr::from_ref(shape) as usize, name.to_owned()))
    });
}

fn env(name: &str) -> Option<String> {
    if name == "DECRYPTION_JWK" {
        return Some(crate::jwe::tests::private_jwk("P-256", "gateway-1").to_string());
    }
    name.ends_with("_SECRET").then(|| format!("{name}-canary-0123456789abcdef0123456789"))
}

fn load(document: &str, host: HostKind) -> Result<Config, String> {
    Config::load(document.as_bytes(), &env, host).map_err(|errors| errors.to_string())
}

#[test]
fn examples_load_on_both_hosts() {
    for example in EXAMPLES {
        for host in HOSTS {
            load(example, host).unwrap_or_else(|errors| panic!("{host:?}: {errors}"));
        }
    }
}

#[test]
fn the_whole_document_means_what_it_says() {
    let config = load(EVERYTHING, HostKind::Envoy).unwrap();
    assert_eq!(config.realm, "api");
    let names: Vec<&str> = config.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    assert_eq!(names, ["idp", "mobile", "register", "legacy", "opaque"]);
    let [idp, _, _, legacy, _] = config.issuers.as_slice() else { panic!() };
    assert!(matches!(&idp.keys, KeySource::Jwks { at: JwksAt::Uri(uri), call, .. }
        if uri.path == "/jwks" && call.cluster.as_deref() == Some("idp") && call.timeout_ms == 2000));
    let roles = ClaimPath(vec!["realm".to_owned(), "roles".to_owned()]);
    assert!(idp.forward.claims.contains(&(roles, "x-roles".to_owned())));
    assert_eq!(legacy.matcher, IssuerMatch::Any);
    assert_eq!(legacy.sunset_s, Some(1_814_400_000));
    let KeySource::Credentials(credentials) = &legacy.keys else { panic!() };
    assert_eq!(credentials.inline[0].key, "device-1");
    assert_eq!(credentials.lookup.as_ref().unwrap().uri.path, "/jwts/{key}");
    assert_eq!(credentials.lookup.as_ref().unwrap().uri.port, 8001);
    assert_eq!(config.rules[2].requires.issuers, Some(vec![1, 3]));
    assert_eq!(config.rules[2].limits, [2]);
    assert_eq!(config.unmatched, Unmatched::Refuse);
    assert_eq!(config.rate_limits[0].amount, Amount::Rate { limit: 20, per_s: 1, burst: 20 });
    assert_eq!(config.rate_limits[3].amount, Amount::Rate { limit: 1000, per_s: 60, burst: 100 });
    assert_eq!(config.token_endpoints[0].limits, [0, 1]);
    assert_eq!(config.token_endpoints[0].waiters_max, 5000);
    assert_eq!((&config.replay.issuers[..], config.replay.ids_max), (&[2][..], 65_536));
    assert!(config.dpop_of(0).is_some_and(|dpop| dpop.nonce) && config.dpop_of(1).is_none());
    assert_eq!(config.memory.tokens_max, 16_384);
    assert_eq!(config.shared.answers_max, 4096);
}

fn with_dpop(dpop: &str, more: &str) -> Result<Config, String> {
    let issuer = format!(
        r#"{{ "issuers": [{{ "name": "a", "issuer": "https://a", "algorithms": ["HS256"],
            "keys": [{{ "secret": "a secret of thirty-two bytes or more" }}], "dpop": {dpop} {more} }}] }}"#
    );
    load(&issuer, HostKind::Unknown)
}

#[test]
fn origins_of_proofs_are_https_and_end_after_the_port() {
    let config =
        with_dpop(r#"{ "origins": ["https://api.example", "https://api.example:8443"] }"#, "");
    let config = config.unwrap();
    let dpop = config.dpop_of(0).unwrap();
    assert!(!dpop.required && !dpop.nonce && dpop.leeway_s == 60 && dpop.origins.len() == 2);
    assert_eq!(dpop.names, "ES256 Ed25519 EdDSA");
    assert!(config.bearer_sources.contains(&crate::request::bearer::BearerSource::Dpop));
    for (dpop, why) in [
        (r#"{}"#, "issuers[0].dpop.origins"),
        (r#"{ "origins": [] }"#, "issuers[0].dpop.origins"),
        (
            r#"{ "origins": ["http://api.example"] }"#,
            "issuers[0].dpop.origins[0]: expected an https origin",
        ),
        (r#"{ "origins": ["https://api.example/"] }"#, "it has a path"),
        (r#"{ "origins": ["https://a.example", "https://A.example:443"] }"#, "each origin once"),
        (r#"{ "origins": ["api.example"] }"#, "issuers[0].dpop.origins[0]: expected an origin"),
        (
            r#"{ "origins": ["https://a.example"], "algorithms": ["HS256"] }"#,
            "issuers[0].dpop.algorithms[0]",
        ),
        (r#"{ "origins": ["https://a.example"], "leeway_s": 0 }"#, "issuers[0].dpop.leeway_s"),
    ] {
        let said = with_dpop(dpop, "").err().unwrap();
        assert!(said.contains(why), "{dpop}: {said}");
    }
    let ignoring = with_dpop(r#"{ "origins": ["https://a.example"] }"#, r#", "cnf": "ignore""#);
    assert!(ignoring.err().unwrap().contains("issuers[0].cnf"));
    for (dpop, more) in [
        (r#"{ "origins": ["http://127.0.0.1:8080"], "allow_http": true }"#, ""),
        (r#"{ "origins": ["http://127.0.0.1:8080"] }"#, r#", "allow_http": true"#),
    ] {
        assert!(with_dpop(dpop, more).is_ok());
    }
    assert!(load(r#"{ "issuers": [] }"#, HostKind::Unknown).unwrap().dpop.is_empty());
}

/// Every shape below one, itself included.
fn shapes(shape: &'static Shape, all: &mut Vec<&'static Shape>) {
    fn of_kind(kind: &'static Kind, all: &mut Vec<&'static Shape>) {
        match kind {
            Kind::Object(shape) => shapes(shape, all),
            Kind::List(of, _, _) | Kind::Map(_, of, _) => of_kind(of, all),
            Kind::Either(one, other) => {
                of_kind(one, all);
                of_kind(other, all);
            }
            _ => {}
        }
    }
    if !all.iter().any(|other| std::ptr::eq(*other, shape)) {
        all.push(shape);
        shape.fields().for_each(|field| of_kind(&field.kind, all));
    }
}

#[test]
fn every_described_field_is_read() {
    // A field that the tables describe and the loader forgets would be accepted and ignored.
    let rich = r#"{ "rules": [{ "match": { "route": "r" }, "any": [{ "audiences": ["a"], "scopes_all": ["a"], "claims": { "a": ["b"] } }] }],
        "bearer": { "sources": [{ "header": "x-a", "prefix": "Bearer " }, { "cookie": "b" }, { "query": "c" }] },
        "issuers": [ { "name": "a", "issuer": "https://a", "algorithms": ["RS256"], "discovery": true, "cluster": "c",
            "jwks": {}, "forward": { "claims": [{ "claim": ["a.b"], "header": "x-b" }] } },
          { "name": "k", "issuer": "k", "algorithms": ["HS256"], "keys": [{ "jwk": { "kty": "oct" } }, { "jwks": { "keys": [] } }, { "x509": {} }] } ],
        "rate_limits": [ { "name": "l", "key": ["address"], "limit": 1, "per_s": 1, "tiers": [ { "when": { "claims": { "plan": ["gold"] } }, "limit": 2, "per_s": 1 } ], "sync": { "uri": "https://webdis", "cluster": "w" } } ] }"#;
    load(EVERYTHING, HostKind::Kong).unwrap();
    load(EVERYTHING, HostKind::Envoy).unwrap();
    assert!(load(rich, HostKind::Unknown).is_err());
    let read = READ.with(RefCell::take);
    let mut all = Vec::new();
    shapes(&DOCUMENT, &mut all);
    for shape in all {
        for field in shape.fields() {
            let unread = matches!(field.kind, Kind::Later) || field.name == "$schema";
            let was_read =
                read.contains(&(std::ptr::from_ref(shape) as usize, field.name.to_owned()));
            assert_eq!(was_read, !unread, "{}", field.name);
        }
    }
}

#[test]
fn defaults_fit_their_own_bounds() {
    let mut all = Vec::new();
    shapes(&DOCUMENT, &mut all);
    for field in all.into_iter().flat_map(Shape::fields) {
        let fits = match (&field.need, &field.kind) {
            (shape::Need::Whole(default), Kind::Whole(min, max)) => (min..=max).contains(&default),
            (shape::Need::Fraction(default), Kind::Fraction(min, max)) => {
                (min..=max).contains(&default)
            }
            (shape::Need::Text(default), Kind::OneOf(names)) => names.contains(default),
            (shape::Need::Text(default), Kind::Text(syntax)) => (syntax.fits)(default),
            (shape::Need::Texts(_), Kind::List(..)) | (shape::Need::Bool(_), Kind::Bool) => true,
            (shape::Need::Required | shape::Need::Optional, _) => true,
            _ => false,
        };
        assert!(fits, "{}", field.name);
    }
}

#[test]
fn digests_follow_what_documents_mean() {
    let digests = |document: &str| {
        let config = load(document, HostKind::Envoy).unwrap();
        (config.digest, config.issuers.iter().map(|issuer| issuer.digest).collect::<Vec<_>>())
    };
    let (digest, issuers) = digests(EVERYTHING);
    let value: serde_json::Value = serde_json::from_str(EVERYTHING).unwrap();
    assert_eq!(
        digests(&value.to_string()),
        (digest, issuers.clone()),
        "order and spaces don't count"
    );
    let (other, others) = digests(&EVERYTHING.replace("\"ttl_s\": 600", "\"ttl_s\": 601"));
    assert_ne!(other, digest);
    assert_eq!(others[..3], issuers[..3], "an issuer's digest is its own");
    assert_ne!(others[3], issuers[3]);
    let config = Config::load(
        EVERYTHING.as_bytes(),
        &|name| match name {
            "DECRYPTION_JWK" => env(name),
            _ => Some("another-secret-of-at-least-32-bytes!".to_owned()),
        },
        HostKind::Envoy,
    );
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    assert_ne!(config.digest, digest, "secrets count");
    assert_ne!(config.issuers[2].digest, issuers[2]);
}

/// What an answer of a server is kept under names the entry that shapes it, and nothing else of the
/// document.
#[test]
fn a_digest_covers_what_shapes_an_answer() {
    let digests = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut document: serde_json::Value = serde_json::from_str(EVERYTHING).unwrap();
        change(&mut document);
        let config = load(&document.to_string(), HostKind::Envoy).unwrap();
        (config.token_endpoints[0].digest, config.introspection.unwrap().digest)
    };
    let (endpoint, introspection) = digests(&|_| {});
    type Change = (&'static str, fn(&mut serde_json::Value));
    let elsewhere: [Change; 7] = [
        ("a rule", |all| {
            all["rules"]
                .as_array_mut()
                .unwrap()
                .push(serde_json::json!({"match": {"path": "/new"}, "access": "public"}))
        }),
        ("an issuer", |all| all["issuers"][3]["leeway_s"] = 7.into()),
        ("a limit's numbers", |all| all["rate_limits"][0]["limit"] = 77.into()),
        ("the limits of an endpoint", |all| {
            drop(all["token_endpoints"][0].as_object_mut().unwrap().remove("limits"))
        }),
        ("how many call", |all| all["token_endpoints"][0]["upstream_calls_max"] = 7.into()),
        ("how long they wait", |all| all["token_endpoints"][0]["wait_ms_max"] = 77.into()),
        ("how long a call takes", |all| all["introspection"]["timeout_ms"] = 77.into()),
    ];
    for (what, change) in elsewhere {
        assert_eq!(digests(&change), (endpoint, introspection), "{what}");
    }
    let shaping: [Change; 4] = [
        ("path", |all| all["token_endpoints"][0]["path"] = "/other".into()),
        ("reuse", |all| all["token_endpoints"][0]["reuse"]["fraction"] = 0.25.into()),
        ("jitter", |all| all["token_endpoints"][0]["jitter"] = 0.25.into()),
        ("grants", |all| all["token_endpoints"][0]["grant_types"] = serde_json::json!([])),
    ];
    for (what, change) in shaping {
        let (other, same) = digests(&change);
        assert!(other != endpoint && same == introspection, "{what}");
    }
    for (name, value) in [
        ("uri", "https://other.example/introspect"),
        ("client_secret", "another secret"),
        ("cluster", "other"),
    ] {
        let (same, other) = digests(&|all| all["introspection"][name] = value.into());
        assert!(same == endpoint && other != introspection, "{name}");
    }
}

#[test]
fn the_exact_message_of_an_http_url() {
    let document = r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256"], "jwks_uri": "https://a/", "cluster": "c" },
        { "name": "b", "issuer": "b", "algorithms": ["RS256"], "jwks_uri": "http://idp.example", "cluster": "c" } ] }"#;
    let expected = r#"issuers[1].jwks_uri: expected an https URL, got "http://idp.example" (set allow_http to true to accept it)"#;
    assert_eq!(load(document, HostKind::Envoy).err().as_deref(), Some(expected));
}

#[test]
fn certificates_by_kid_are_keys_under_their_kids() {
    use crate::signature::test_keys::{P256_CERTIFICATE, RSA_CERTIFICATE, RSA_JWK};
    let document = |x509: serde_json::Value| {
        serde_json::json!({ "issuers": [{ "name": "a", "issuer": "a", "algorithms": ["RS256", "ES256"], "keys": [{ "x509": x509 }] }],
            "shared": { "secret": { "env": "A_SECRET" } } })
        .to_string()
    };
    for host in HOSTS {
        let config = load(
            &document(serde_json::json!({ "one": RSA_CERTIFICATE, "two.b": P256_CERTIFICATE })),
            host,
        )
        .unwrap();
        let KeySource::Inline(keys) = &config.issuers[0].keys else { panic!() };
        assert_eq!(
            keys.iter().map(|key| key.kid()).collect::<Vec<_>>(),
            [Some("one"), Some("two.b")]
        );
        let same =
            crate::signature::VerifyKey::from_jwk(RSA_JWK, config.issuers[0].algorithms).unwrap();
        assert_eq!(keys[0].algorithms().to_string(), "RS256");
        assert_eq!(keys[0].fingerprint(), same.fingerprint());
    }
    let refused = load(
        &document(serde_json::json!({ "one": RSA_CERTIFICATE, "two": "MIIB", "three": 7 })),
        HostKind::Envoy,
    )
    .err()
    .unwrap();
    assert!(refused.contains("issuers[0].keys[0].x509.two: expected PEM"), "{refused}");
    assert!(refused.contains("issuers[0].keys[0].x509.three: expected"), "{refused}");
    assert!(!refused.contains("MIIB"), "{refused}");
    let none = load(&document(serde_json::json!({})), HostKind::Kong).err().unwrap();
    assert_eq!(none, "issuers[0].keys[0].x509: expected certificates by kid, got none");
}

#[test]
fn kong_writes_an_empty_list_as_an_object() {
    assert!(
        load(r#"{ "rules": {}, "shared": { "secret": { "env": "A_SECRET" } } }"#, HostKind::Kong)
            .is_ok()
    );
    assert!(load(r#"{ "rules": {} }"#, HostKind::Envoy).is_err());
}

#[test]
fn rules_are_narrower_or_wider() {
    let rule = |path: Option<PathMatch>, methods: &[&str]| RuleMatch {
        path,
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        ..RuleMatch::default()
    };
    let exact = |text: &str| crate::request::path::exact(text, PathPolicy::Strict).ok();
    let prefix = |text: &str| crate::request::path::prefix(text, PathPolicy::Strict).ok();
    let template = |text: &str| crate::request::path::template(text, PathPolicy::Strict).ok();
    let covers = |wide: &Option<PathMatch>, narrow: &Option<PathMatch>| {
        rule(wide.clone(), &[]).covers(&rule(narrow.clone(), &[]))
    };
    assert!(covers(&None, &exact("/a")));
    assert!(covers(&prefix("/"), &template("/{a}")));
    assert!(!covers(&prefix("/"), &None));
    assert!(covers(&prefix("/a"), &exact("/a/b")));
    assert!(covers(&prefix("/a"), &template("/a/{b}")));
    assert!(!covers(&prefix("/a"), &exact("/ab")));
    assert!(!covers(&prefix("/a/b"), &template("/a/{b}")));
    assert!(covers(&template("/{a}/b"), &exact("/x/b")));
    assert!(covers(&template("/{a}/{b}"), &template("/{x}/y")));
    assert!(!covers(&template("/{a}/y"), &template("/{x}/{y}")));
    assert!(!covers(&template("/{a}"), &prefix("/a")));
    assert!(!covers(&exact("/a"), &prefix("/a")));
    assert!(rule(None, &[]).covers(&rule(None, &["GET"])));
    assert!(rule(None, &["GET", "POST"]).covers(&rule(None, &["GET"])));
    assert!(!rule(None, &["GET"]).covers(&rule(None, &[])));
}

#[test]
fn certificates_are_the_hosts_word_or_a_balancers() {
    let with = |mtls: &str, more: &str, host| {
        let issuer = format!(
            r#"{{ "issuers": [{{ "name": "a", "issuer": "https://a", "algorithms": ["HS256"],
                "keys": [{{ "secret": "a secret of thirty-two bytes or more" }}], "mtls": {mtls} {more} }}],
                "shared": {{ "secret": "a secret of thirty-two bytes or more" }} }}"#
        );
        load(&issuer, host)
    };
    let config = with("{}", "", HostKind::Envoy).unwrap();
    let mtls = config.mtls_of(0).unwrap();
    assert!(!mtls.required && mtls.header.is_none() && config.mtls_of(1).is_none());
    let config = with(r#"{ "required": true, "header": "X-Cert" }"#, "", HostKind::Kong).unwrap();
    let mtls = config.mtls_of(0).unwrap();
    assert!(mtls.required && mtls.header.as_deref() == Some("x-cert"));
    // A document without a header would refuse every bound token there, and say nothing of it.
    let said = with("{}", "", HostKind::Kong).err().unwrap();
    assert!(said.contains("issuers[0].mtls.header: expected the header in which"), "{said}");
    let warned = with("{}", "", HostKind::Unknown).unwrap().warnings;
    assert!(warned.iter().any(|line| line.contains("issuers[0].mtls.header")), "{warned:?}");
    let said = with("{}", r#", "cnf": "ignore""#, HostKind::Envoy).err().unwrap();
    assert!(said.contains("issuers[0].cnf"), "{said}");
    let forward = r#", "forward": { "claims": { "sub": "x-cert" } }"#;
    for (header, more) in [("x_cert", forward), ("X-Cert", forward), ("Cookie", ""), ("a b", "")] {
        let said = with(&format!(r#"{{ "header": "{header}" }}"#), more, HostKind::Envoy);
        assert!(said.err().unwrap().contains("issuers[0].mtls.header"), "{header}");
    }
    assert!(load(r#"{ "issuers": [] }"#, HostKind::Unknown).unwrap().mtls.is_empty());
}
