//! What is refused for a host that keeps nothing, and that the rest loads.

use crate::config::{Config, DOCUMENT, HostKind, Profile};

const KEY: &str = r#"{ "jwk": { "kty": "OKP", "crv": "Ed25519",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" } }"#;
const EC: &str = r#"{ "jwk": { "kty": "EC", "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" } }"#;

fn load(document: &str, host: HostKind) -> Result<Config, String> {
    let env = |name: &str| Some(format!("{name}-0123456789abcdef0123456789abcdef"));
    Config::load(document.as_bytes(), &env, host).map_err(|errors| errors.to_string())
}

fn issuer(more: &str) -> String {
    format!(r#"{{ "name": "a", "issuer": "https://a", "algorithms": ["EdDSA", "ES256"] {more} }}"#)
}

fn document(issuer: &str, more: &str) -> String {
    format!(r#"{{ "profile": "stateless", "issuers": [{issuer}] {more} }}"#)
}

#[test]
fn what_needs_nothing_of_the_host_loads() {
    let keys =
        issuer(&format!(r#", "keys": [{KEY}], "forward": {{ "claims": {{ "sub": "x-user" }} }}"#));
    let more = r#", "rules": [{ "match": { "path_prefix": "/a" }, "scopes_all": ["b"] }],
        "log": { "refusals": true }, "resource": { "resource": "https://api.example", "authorization_servers": ["https://a"] }"#;
    for host in [HostKind::Envoy, HostKind::Unknown] {
        let config = load(&document(&keys, more), host).unwrap();
        assert_eq!(config.profile, Profile::Stateless);
        assert_eq!(config.memory.bytes_max, 4 * 1024 * 1024);
    }
    assert!(load(&document(&keys, more), HostKind::Kong).err().unwrap().contains("on Kong"));
}

#[test]
fn what_needs_more_is_refused_with_its_place_and_the_reason() {
    let keys = format!(r#", "keys": [{KEY}]"#);
    let good = issuer(&keys);
    for (document, place, why) in [
        (
            document(&issuer(r#", "jwks_uri": "https://a/jwks""#), ""),
            "issuers[0].jwks_uri",
            "makes no calls",
        ),
        (document(&issuer(r#", "discovery": true"#), ""), "issuers[0].discovery", "makes no calls"),
        (
            document(
                r#"{ "name": "a", "issuer": "*", "algorithms": ["HS256"], "credentials": {
                    "lookup": { "uri": "https://a/{key}" } } }"#,
                "",
            ),
            "issuers[0].credentials.lookup",
            "makes no calls",
        ),
        (
            document(&issuer(&format!(r#"{keys}, "dpop": {{ "origins": ["https://a"] }}"#)), ""),
            "issuers[0].dpop",
            "shared memory",
        ),
        (
            document(&issuer(&format!(r#"{keys}, "exp": "optional", "lifetime_s_max": 60"#)), ""),
            "issuers[0].exp",
            "first seen",
        ),
        (
            document(&issuer(&format!(r#"{keys}, "mtls": {{}}"#)), ""),
            "issuers[0].mtls.header",
            "which certificate",
        ),
        (
            document(&good, r#", "token_endpoints": [{ "path": "/token" }]"#),
            "token_endpoints",
            "shared memory",
        ),
        (
            document(
                &good,
                r#", "rate_limits": [{ "name": "l", "key": ["address"], "limit": 1, "per_s": 1 }]"#,
            ),
            "rate_limits",
            "shared memory",
        ),
        (
            document(
                &good,
                r#", "introspection": { "uri": "https://a/i", "client_id": "c", "client_secret": "s" }"#,
            ),
            "introspection",
            "makes no calls",
        ),
        (
            document(&good, r#", "revocation": { "feeds": [{ "uri": "https://a/r" }] }"#),
            "revocation",
            "makes no calls",
        ),
        (document(&good, r#", "replay": { "issuers": ["a"] }"#), "replay", "shared memory"),
        (
            document(&good, r#", "gateways": { "uri": "https://a/redis" }"#),
            "gateways",
            "makes no calls",
        ),
        (
            document(
                &issuer(&format!(r#"{keys}, "status_list": {{ "uri_prefix": "https://a/s/" }}"#)),
                "",
            ),
            "issuers[0].status_list",
            "makes no calls",
        ),
        (document(&good, r#", "access_log": "all""#), "access_log", "no properties"),
        (
            document(&good, r#", "on_unknown_issuer": "pass", "then": "next""#),
            "on_unknown_issuer",
            "no filter",
        ),
        (
            document(&good, r#", "rules": [{ "match": { "route": "r" } }]"#),
            "rules[0].match.route",
            "the route",
        ),
        (document(&good, r#", "memory": { "bytes_max": 8388608 }"#), "memory.bytes_max", "16 MiB"),
        (document(&good, r#", "kong": { "auth_plugin": true }"#), "kong", "isn't known to work"),
        (
            document(&issuer(&format!(r#", "keys": [{KEY}, {EC}, {EC}, {EC}, {EC}]"#)), ""),
            "issuers[0].keys",
            "about",
        ),
    ] {
        let said = load(&document, HostKind::Envoy).err().unwrap_or_default();
        let line = said.lines().find(|line| line.starts_with(&format!("{place}: ")));
        assert!(line.is_some_and(|line| line.contains(why)), "{place}: {said}");
    }
}

/// Of all that is missing at once, nothing is left out.
#[test]
fn all_is_told_at_once() {
    let everything = include_str!("../../../examples/everything/herdgate.json");
    let said = load(&everything.replacen('{', r#"{ "profile": "stateless","#, 1), HostKind::Envoy);
    let said = said.err().unwrap();
    for place in
        ["token_endpoints", "rate_limits", "introspection", "revocation", "issuers[0].jwks_uri"]
    {
        assert!(said.contains(&format!("{place}: ")), "{place}: {said}");
    }
}

/// A field that nobody has thought about is refused, and those that are named exist.
#[test]
fn lists_name_fields_that_exist() {
    for name in super::DOCUMENT {
        assert!(DOCUMENT.field(name).is_some(), "{name}");
    }
}

/// First sight matters to tokens without `iat` alone.
#[test]
fn tokens_without_an_end_need_a_beginning() {
    let keys = format!(
        r#", "keys": [{KEY}], "exp": "optional", "lifetime_s_max": 60, "claims_required": ["iat"]"#
    );
    assert!(load(&document(&issuer(&keys), ""), HostKind::Envoy).is_ok());
}

/// Opening a token and verifying what is inside happens in one callback.
#[test]
fn keys_that_open_tokens_count_with_those_that_verify_them() {
    const SHARED: &str = r#"{ "kty": "oct", "k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" }"#;
    const X25519: &str = r#"{ "kty": "OKP", "crv": "X25519",
        "d": "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os",
        "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08" }"#;
    // RFC 7517, appendix A.2.
    const P256: &str = r#"{ "kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE" }"#;
    let said = |verifying: &str, opening: &[&str], alg: &str| {
        let of_one = |jwk: &&str| {
            format!(r#"{{ "jwk": {jwk}, "issuers": ["a"], "algorithms": ["{alg}"] }}"#)
        };
        let keys = opening.iter().map(of_one).collect::<Vec<_>>().join(",");
        let issuer = issuer(&format!(r#", "keys": [{verifying}], "encrypted": "allow""#));
        let more = format!(r#", "decryption": {{ "keys": [{keys}] }}"#);
        load(&document(&issuer, &more), HostKind::Envoy).err().unwrap_or_default()
    };
    for (verifying, opening, alg) in [
        (EC, SHARED, "A256KW"),
        (KEY, SHARED, "dir"),
        (EC, X25519, "ECDH-ES"),
        (KEY, P256, "ECDH-ES"),
        (EC, P256, "ECDH-ES"),
    ] {
        assert_eq!(said(verifying, &[opening], alg), "", "{alg}");
    }
    for (verifying, opening, about) in
        [(EC, &[P256, P256][..], "about 1.7 ms"), (KEY, &[P256, P256], "about 1.6 ms")]
    {
        let said = said(verifying, opening, "ECDH-ES");
        assert!(said.contains("issuers[0].encrypted: ") && said.contains(about), "{said}");
    }
}
