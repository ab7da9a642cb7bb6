//! Mistakes and the messages that they give, as reviewed snapshots.

use super::*;

const RSA: &str = r#""algorithms": ["RS256"], "cluster": "c", "jwks_uri": "https://idp.example/jwks", "audiences": ["x"]"#;

/// Compares with the snapshot named after the test.
macro_rules! snapshot {
    ($said:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($said) })
    };
}

/// Each document and what the loader says to it.
fn said(host: HostKind, documents: &[&str]) -> String {
    let mut out = String::new();
    for document in documents {
        let document = document.replace("$RSA", RSA);
        out.push_str(&format!("{document}\n"));
        match Config::load(document.as_bytes(), &env, host) {
            Ok(config) => config
                .warnings
                .iter()
                .for_each(|warning| out.push_str(&format!("  loads, but {warning}\n"))),
            Err(errors) => errors.iter().for_each(|error| out.push_str(&format!("  {error}\n"))),
        }
    }
    out
}

#[test]
fn of_form() {
    snapshot!(said(
        HostKind::Envoy,
        &[
            "",
            "{",
            "[]",
            r#"{ "mode": "enforce" "#,
            r#"{ "mode": "Enforce", "errors": "plain", "debug_headers": "true", "realm": "a\"b", "issuer": [], "colour": 1 }"#,
            r#"{ "mode": "enforce", "mode": "shadow", "memory": { "tokens_max": 1, "tokens_max": 2 } }"#,
            r#"{ "rules": { "match": {} }, "issuers": "idp", "rate_limits": null, "shared": 5 }"#,
            r#"{ "shared": { "tokens_max": 830585, "counters_max": -1, "answers_max": 16.5 }, "memory": { "tokens_max": "7" } }"#,
            r#"{ "shared": { "tokens_max": 1e3, "counters_max": 64.0 } }"#,
            r#"{ "shared": { "secret": { "env": "NOT_SET" } }, "kong": { "wait_uri": "wait.sock", "auth_plugin": 1 } }"#,
            r#"{ "shared": { "secret": { "env": "A B" } } }"#,
            r#"{ "shared": { "secret": { "file": "/etc/x" } } }"#,
            r#"{ "shared": { "secret": "short" } }"#,
            r#"{ "shared": { "secret": "" } }"#,
            r#"{ "replay": { "issuers": ["nobody"], "scope": "gateways" }, "decryption": { "keys": [] }, "dpop": true }"#,
            r#"{ "errors": "line\nbreak and a very long text that goes on and on until nobody wants to read it any more" }"#,
        ]
    ));
}

#[test]
fn of_issuers() {
    snapshot!(said(
        HostKind::Envoy,
        &[
            r#"{ "issuers": [ {} ] }"#,
            r#"{ "issuers": [ { "name": "a b", "issuer": "a", $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "jwks_uri": "https://a/", "cluster": "c" } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["none", "RS265", "rs256"] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256", "HS256"], "keys": [ { "secret": { "env": "A_SECRET" } } ] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["HS256"], "jwks_uri": "https://a/", "cluster": "c" } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "keys": [ { "pem": "x", "secret": "y" }, {} ], $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256"], "keys": [ { "pem": "-----BEGIN CANARY-----\nAAAA\n-----END CANARY-----" }, { "jwk": { "kty": "RSA", "n": "AQAB", "e": "AQAB" } }, { "jwks": { "keys": [] } }, { "jwk": {}, "jwks": {} } ] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["HS256"], "keys": [ { "secret": "too-short" } ] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["HS256"], "allow_weak_secret": true, "keys": [ { "secret": "too-short" } ] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256"], "keys": [ { "secret": { "env": "A_SECRET" } } ], "cluster": "c", "jwks": {} } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "https://a", "algorithms": ["RS256"], "jwks_uri": "https://user:pass@a/?k=v", "cluster": "c" }, { "name": "b", "issuer": "b", "algorithms": ["RS256"], "jwks_uri": "a.example/jwks" } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256"], "discovery": true, "cluster": "c" }, { "name": "b", "issuer": "b-{x}", "algorithms": ["RS256"], "discovery": "https://b/", "cluster": "c" }, { "name": "c", "issuer": "c", "algorithms": ["RS256"], "discovery": 1, "cluster": "c" } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "http://a", "algorithms": ["RS256"], "discovery": true, "cluster": "c" } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "{x}-a", $RSA }, { "name": "b", "issuer": "b-{x", $RSA }, { "name": "c", "issuer": "https://*.example", $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", $RSA }, { "name": "a", "issuer": "i", $RSA }, { "name": "b", "issuer": "i", "algorithms": ["RS256"], "jwks_uri": "https://b/", "cluster": "c" }, { "name": "c", "issuer": "i", "algorithms": ["RS256"], "jwks_uri": "https://b/", "cluster": "c", "audiences": ["y", "y"] } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "exp": "optional", "leeway_s": 301, "sunset": "2027-02-29", "typ": "at jwt", "lifetime_s_max": 0, "scope_claim": "", "claims_required": ["a", "b..c", ["d.e"], "https://x.example/d.e", "https://x.example/d"], $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "exp": "optional", $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "cnf": "ignore", $RSA }, { "name": "b", "issuer": "j", "cnf": "off", $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "cnf": "ignore", $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "jwks": { "ttl_s": 600, "ttl_s_max": 60, "keys_max": 0 }, "headers": { "Host": "x", "x-a": "b\r\nc", "X-A": "d", "b c": "e" }, $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "forward": { "claims": { "sub": "Authorization", "a": "x-consumer-id", "b": "x_user", "c": "x-c", "d": "X-C", "e..f": "x-e", "https://x.example/roles": "x-roles", "f": "X-Forwarded-For", "g": "x-forwarded-groups", "[\"https://x.example/roles\"]": "x-roles-2" }, "payload_header": "x-c" }, $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "*", "algorithms": ["HS256", "RS256"], "credentials": { "inline": [ { "key": "a", "secret": "too-short" }, { "key": "a", "secret": { "env": "A_SECRET" }, "consumer": "x" }, { "key": "b" } ], "lookup": { "uri": "http://127.0.0.1:8001/jwts/{key}", "consumer_uri": "https://{key}/x", "cluster": "k" } } } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "*", "algorithms": ["HS256"], "credentials": { } }, { "name": "b", "issuer": "b", "algorithms": ["HS256"], "credentials": { "lookup": { "uri": "https://a/jwts", "consumer_uri": "https://a/{key}/{key}", "cluster": "k" } } } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "a", "algorithms": ["RS256"], "jwks_uri": "https://a/" } ] }"#,
        ]
    ));
}

#[test]
fn of_opaque_tokens() {
    const SHARED: &str = r#""shared": { "secret": { "env": "A_SECRET" } }"#;
    const ENDPOINT: &str = r#""tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g", "client_secret": { "env": "A_SECRET" } }"#;
    let documents: Vec<String> = [
        r#"[ { "name": "a", "issuer": "i", "tokens": "opaque" } ]"#,
        r#"[ { "name": "a", "issuer": "i" } ]"#,
        r#"[ { "name": "a", "issuer": "i", "tokens": "other", $RSA } ]"#,
        r#"[ { "name": "a", "issuer": "i", "token_prefix": "at_", "introspection": { "uri": "https://a/i", "cluster": "c" }, $RSA } ]"#,
        r#"[ { "name": "a", "issuer": "x-{y}", $OPAQUE }, { "name": "b", "issuer": "*", $OPAQUE } ]"#,
        r#"[ { "name": "a", "issuer": "i", $OPAQUE, $RSA, "typ": "at+jwt", "exp": "optional", "lifetime_s_max": 60, "forward": { "payload_header": "x-p" } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "tokens": "opaque", "token_prefix": "a b", "introspection": { "uri": "http://a/i", "client_auth": "mtls", "client_secret": "s", "ttl_s_max": 0 } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_auth": "post", "client_id": "g" } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], "token_prefix": "at_", "tokens": "opaque", "credentials": {}, "introspection": { "uri": "https://a/i", "cluster": "c", "response": "jwt", "headers": { "authorization": "x" } } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], "token_prefix": "at_", "tokens": "opaque", "algorithms": ["HS256"], "cluster": "c", "jwks_uri": "https://a/jwks", "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g", "client_secret": { "env": "A_SECRET" }, "response": "jwt" } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], "token_prefix": "at_", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_auth": "private_key_jwt", "client_secret": { "env": "A_SECRET" } } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], "token_prefix": "at_", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_auth": "private_key_jwt", "client_id": "g", "client_key": { "pem": { "env": "A_SECRET" } } } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], "token_prefix": "at_", "tokens": "opaque", "introspection": { "uri": "https://a/i", "cluster": "c", "client_id": "g", "client_secret": { "env": "A_SECRET" }, "client_key": { "jwk": { "kty": "EC", "d": "canary" } } } } ]"#,
        r#"[ { "name": "a", "issuer": "i", "token_prefix": "at_", "audiences": ["x"], $OPAQUE }, { "name": "b", "issuer": "i", "token_prefix": "bt_", "audiences": ["x"], $OPAQUE }, { "name": "c", "issuer": "i", $RSA } ]"#,
        r#"[ { "name": "a", "issuer": "i", "audiences": ["x"], $OPAQUE }, { "name": "b", "issuer": "j", "audiences": ["x"], $OPAQUE } ]"#,
        r#"[ { "name": "a", "issuer": "i", "token_prefix": "at_", $OPAQUE }, { "name": "b", "issuer": "j", "token_prefix": "at_x", "audiences": ["x"], $OPAQUE } ]"#,
    ]
    .iter()
    .map(|issuers| format!(r#"{{ "issuers": {issuers}, {SHARED} }}"#).replace("$OPAQUE", ENDPOINT))
    .chain([
        // One rule for each: no request may carry a token of either.
        format!(r#"{{ "issuers": [ {{ "name": "a", "issuer": "i", "audiences": ["x"], {ENDPOINT} }}, {{ "name": "b", "issuer": "j", "audiences": ["x"], {ENDPOINT} }} ], {SHARED},
            "rules": [ {{ "match": {{ "path": "/a" }}, "issuers": ["a"], "limits": ["l"] }}, {{ "match": {{ "path": "/b" }}, "issuers": ["b"] }}, {{ "match": {{}}, "access": "public" }} ],
            "rate_limits": [ {{ "name": "l", "key": ["address"], "limit": 1, "per_s": 1 }} ] }}"#),
    ])
    .collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    snapshot!(said(HostKind::Envoy, &documents));
}

#[test]
fn of_rules_and_limits() {
    const ISSUER: &str = r#""issuers": [ { "name": "idp", "issuer": "i-{id}", $RSA } ], "shared": { "secret": { "env": "A_SECRET" } }"#;
    let documents: Vec<String> = [
        r#"{ $I, "rules": [ {}, { "match": { "path": "orders", "path_prefix": "/a" } }, { "match": { "path": "/a/{id}" } }, { "match": { "path_template": "/a/b" } }, { "match": { "path_template": "/a/{b}/{b}" } } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path": "/a//b" } }, { "match": { "path": "/a%2fb" } }, { "match": { "path_prefix": "/a/*" } }, { "match": { "methods": ["get"], "hosts": ["api.example:8080", "*.example"] } } ] }"#,
        r#"{ $I, "rules": [ { "match": {}, "issuers": ["ipd", "other", "idp", "idp"], "limits": ["nope"] } ] }"#,
        r#"{ $I, "rules": [ { "match": {}, "access": "permissive", "issuers": ["idp"], "claims": { "a": ["b"] }, "any": [ { "scopes_all": ["a"] } ], "scopes_any": ["a"], "introspect": true }, { "match": {}, "access": "permissive", "audiences": ["a"], "limits": [] } ] }"#,
        r#"{ $I, "rules": [ { "match": {}, "access": "public", "issuers": ["idp"], "scopes_all": ["a"] }, { "match": {}, "introspect": true } ] }"#,
        r#"{ $I, "rules": [ { "match": {}, "scopes_all": ["a b"], "scopes_any": [], "claims": { "acr": "gold", "amr": [["x"]], "ok": [1, true, "x"] } } ] }"#,
        r#"{ $I, "rules": [ { "match": {}, "claims": { "https://x.example/a.b": ["c"], "https://x.example/ok": ["c"] }, "any": [ {}, { "claims": {} }, { "issuers": ["idp"] }, { "scopes_any": [] }, { "scopes_any": ["a"] } ] }, { "match": {}, "access": "public", "any": [ { "audiences": ["a"] } ] }, { "match": {}, "any": [] } ], "rate_limits": [ { "name": "a", "key": ["claim:urn:a.b:c", "claim:https://x.example/ok"], "limit": 1, "per_s": 1 } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path": "/orders/open", "methods": ["GET"] }, "access": "public" }, { "match": { "path_prefix": "/orders" } }, { "match": { "path_prefix": "/admin" } }, { "match": { "path_prefix": "/closed", "ignore_case": true } }, { "match": { "path_prefix": "/" }, "access": "public" } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path_prefix": "/Orders", "ignore_case": true } }, { "match": { "path": "/orders/a" } }, { "match": { "path_prefix": "/b" } }, { "match": { "path_prefix": "/b", "ignore_case": true } } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path_prefix": "/a" } }, { "match": { "path": "/a/b", "methods": ["GET"] } }, { "match": {} }, { "match": { "path": "/c" } } ] }"#,
        r#"{ "issuers": [ { "name": "idp", "issuer": "i", "forward": { "claims": { "sub": "x-user" } }, $RSA } ], "shared": { "secret": { "env": "A_SECRET" } }, "rules": [ { "match": { "route": "r" } }, { "match": { "route": "s", "route_stable": true } }, { "match": { "route": "t" }, "route_stable": true } ] }"#,
        r#"{ "rules": [ { "match": {} } ], "shared": { "secret": { "env": "A_SECRET" } } }"#,
        r#"{ $I, "rules": [ { "match": {}, "access": "public", "acr_values": ["a"], "max_age_s": 1 }, { "match": {}, "access": "permissive", "acr_values": ["a"], "max_age_s": 1 }, { "match": {}, "access": "optional", "acr_values": ["a"], "max_age_s": 1 }, { "match": {}, "acr_values": ["a b", "a\"", ""], "max_age_s": 0 }, { "match": {}, "acr_values": [] } ] }"#,
        r#"{ $I, "resource": { "resource": "http://api.example" }, "rules": [ { "match": {}, "resource": { "resource": "https://api.example/a?b", "authorization_servers": ["http://as.example", "as.example", "https://as.example"], "scopes_supported": ["a b"], "bearer_methods_supported": ["cookie"], "resource_documentation": "docs" } }, { "match": {}, "resource": { "resource": "https://api.example/a//b", "authorization_servers": ["https://as.example"] } }, { "match": {}, "resource": { "resource": "https://api.example/a#b", "authorization_servers": [] } } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path": "/a" }, "resource": { "resource": "https://api.example/a", "authorization_servers": ["https://as.example"] } }, { "match": { "path": "/b" }, "resource": { "resource": "https://API.example/a", "authorization_servers": ["https://as.example"] } }, { "match": { "path": "/c" }, "resource": { "resource": "https://api.example/a", "authorization_servers": ["https://as.example"] } } ] }"#,
        r#"{ $I, "resource": { "resource": "http://api.example", "authorization_servers": ["http://as.example"], "allow_http": true, "bearer_methods_supported": ["header", "body"] } }"#,
        r#"{ "rate_limits": [ { "name": "a", "key": ["address"], "limit": 0, "per_s": 1 }, { "name": "b", "key": [], "limit": 1, "per_s": 1, "burst": 0 }, { "name": "b", "key": ["adress", "claim:", "capture:a-b", "header:x y"], "limit": 1 } ] }"#,
        r#"{ "rate_limits": [ { "name": "a", "key": ["address", "address"] }, { "name": "b", "key": ["address"], "limit": 1, "per_s": 1, "quota": 1 }, { "name": "c", "key": ["address"], "quota": 1 }, { "name": "d", "key": ["address"], "quota": 1, "window": "week" }, { "name": "e", "key": ["address"], "quota": 1, "window": "day", "burst": 1 } ] }"#,
        r#"{ "rate_limits": [ { "name": "a", "key": ["address"], "limit": 1000001, "per_s": 1 }, { "name": "b", "key": ["address"], "limit": 1, "per_s": 86400, "burst": 1000000 } ] }"#,
        r#"{ $I, "rules": [ { "match": { "path_template": "/x/{order}" }, "access": "public", "limits": ["a", "b", "c", "d"] } ], "rate_limits": [ { "name": "a", "key": ["issuer"], "limit": 1, "per_s": 1 }, { "name": "b", "key": ["capture:order"], "limit": 1, "per_s": 1 }, { "name": "c", "key": ["capture:id", "header:X-A"], "limit": 1, "per_s": 1 }, { "name": "d", "key": ["header:x-a"], "limit": 1, "per_s": 1 }, { "name": "unused", "key": ["address"], "quota": 5, "window": "month" } ] }"#,
    ]
    .iter()
    .map(|document| document.replace("$I", ISSUER))
    .collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    snapshot!(said(HostKind::Envoy, &documents));
}

#[test]
fn of_limits_of_several_gateways() {
    const LIMIT: &str = r#""name": "a", "key": ["address"], "limit": 1, "per_s": 1"#;
    const SECRET: &str = r#""shared": { "secret": { "env": "A_SECRET" } }"#;
    let documents: Vec<String> = [
        r#"{ $S, "rate_limits": [ { $L, "sync": {} }, { $L, "sync": true } ] }"#,
        r#"{ $S, "rate_limits": [ { $L, "sync": { "uri": "http://webdis:7379/", "every_ms": 49, "retries": 1 } } ] }"#,
        r#"{ $S, "rate_limits": [ { $L, "sync": { "uri": "https://user:canary@webdis/", "cluster": "w", "every_s": 1, "timeout_ms": 0 } } ] }"#,
        r#"{ "rate_limits": [ { $L, "sync": { "uri": "https://webdis/", "cluster": "w" } } ] }"#,
        r#"{ $S, "rate_limits": [ { $L, "sync": true } ], "gateways": { "uri": "https://webdis/", "cluster": "w", "revocations": false, "answers": true, "failure_mode": "deny" } }"#,
        r#"{ "gateways": { "uri": "http://webdis/", "every_ms": 20, "retries": 2, "answers": 1 } }"#,
        r#"{ $S, "gateways": { "uri": "https://webdis/", "cluster": "w", "revocations": false } }"#,
        r#"{ "shared": { "secret_previous": "short" } }"#,
        r#"{ "shared": { "secret": { "env": "A_SECRET" }, "secret_previous": { "env": "A_SECRET" } } }"#,
        r#"{ $S, "rate_limits": [ { $L, "sync": { "uri": "https://webdis/", "cluster": "w", "every_ms": 60000, "headers": { "authorization": "canary" } } } ] }"#,
        r#"{ $S, "gateways": { "uri": "https://webdis/?canary", "cluster": "w" } }"#,
    ]
    .iter()
    .map(|document| document.replace("$L", LIMIT).replace("$S", SECRET))
    .collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    snapshot!(said(HostKind::Envoy, &documents));
}

#[test]
fn of_token_endpoints_and_calls() {
    snapshot!(said(
        HostKind::Envoy,
        &[
            r#"{ "token_endpoints": [ { "path": "/t" }, { "path": "/t", "host": "a" }, { "path": "/u", "host": "a", "revocation_path": "/u" }, { "path": "/u", "host": "b" } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/t", "grant_types": ["refresh_token"], "jitter": 0.6, "reuse": { "fraction": 1.5, "min_remaining_s": 0 }, "lease_ms": 5000, "wait_ms_max": 5000, "limits": ["x"] } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/t", "limits": ["client", "both"], "reuse": { "fraction": 0 } } ], "rate_limits": [ { "name": "client", "key": ["client_id"], "limit": 1, "per_s": 1 }, { "name": "both", "key": ["client_id", "address"], "limit": 1, "per_s": 1 } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/t", "limits": ["subject"] } ], "rate_limits": [ { "name": "subject", "key": ["subject", "capture:x"], "limit": 1, "per_s": 1 } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/t", "path_template": "/{r}/t" }, {}, { "path_template": "/t" }, { "path_template": "/{r}/u", "revocation_path": "/a/u" }, { "path": "/b/u" }, { "path": "/b", "revocation_path": "/{r}/v" } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/t", "ignore_headers": ["X-Acme-Trace", "Authorization", "cookie", "X-Forwarded-Client-Cert", "if-match", "a b"], "keep_with_cookies": "no", "default_lifetime_s": 0 } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/a/t" }, { "path": "/b/t" }, { "path_template": "/c/{r}/t", "limits": ["realm"] }, { "path": "/d/t" } ], "rules": [ { "match": { "path": "/b/keys" }, "access": "public" } ], "rate_limits": [ { "name": "realm", "key": ["capture:r"], "limit": 1, "per_s": 1 } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/a/t", "host": "idp" } ], "rules": [ { "match": { "hosts": ["idp"] }, "access": "public" } ] }"#,
            r#"{ "token_endpoints": [ { "path": "/a/t" } ], "rules": [ { "match": {}, "access": "required" } ] }"#,
            r#"{ "introspection": { "uri": "http://idp.example/introspect", "client_id": "a", "timeout_ms": 0, "retries": 6 } }"#,
            r#"{ "introspection": { "uri": "http://idp.example/introspect", "allow_http": true, "cluster": "c" } }"#,
            r#"{ "revocation": { "feeds": [ { "uri": "ftp://a/", "cluster": "c", "every_s": 0 }, { "cluster": "c" } ] } }"#,
            r#"{ "revocation": { "feeds": [ { "uri": "https://a/", "cluster": "c", "kind": "signed" }, { "uri": "https://a/", "cluster": "c", "kind": "ssf", "issuer": "nobody" } ] } }"#,
            r#"{ "revocation": { "feeds": [ { "uri": "https://a/", "cluster": "c", "issuer": "nobody", "audience": "b" }, { "uri": "https://a/", "cluster": "c", "kind": "sse" } ] } }"#,
            r#"{ "issuers": [ { "name": "any", "issuer": "*", "algorithms": ["HS256"], "credentials": { "inline": [ { "key": "k", "secret": "a secret of thirty-two bytes or more" } ] } } ], "revocation": { "feeds": [ { "uri": "https://a/", "cluster": "c", "kind": "ssf", "issuer": "any" } ] } }"#,
            r#"{ "bearer": { "sources": [ { "header": "Authorization" }, { "header": "x-token", "cookie": "c" }, {}, { "query": "jwt" }, { "header": "authorization" }, { "header": "host" } ] } }"#,
            r#"{ "bearer": { "sources": [] } }"#,
            r#"{ "bearer": { "sources": [ { "header": "x-auth", "prefix": "Bearer " }, { "header": "X-Auth" }, { "header": "authorization", "prefix": "Token " }, { "cookie": "c", "prefix": "a" }, { "header": "x-b", "prefix": " b" } ] } }"#,
        ]
    ));
}

#[test]
fn of_hosts() {
    let documents = [
        r#"{}"#,
        r#"{ "on_unknown_issuer": "pass" }"#,
        r#"{ "on_unknown_issuer": "pass", "then": "jwt_authn", "kong": { "auth_plugin": true } }"#,
        r#"{ "then": "jwt_authn" }"#,
        r#"{ "issuers": [ { "name": "a", "issuer": "a", "audiences": ["x"], "algorithms": ["RS256"], "jwks_uri": "https://a/" } ] }"#,
        r#"{ "token_endpoints": [ { "path": "/t" } ] }"#,
    ];
    let all: Vec<String> =
        HOSTS.iter().map(|host| format!("== {host:?}\n{}", said(*host, &documents))).collect();
    snapshot!(all.concat());
}

#[test]
fn of_tiers() {
    const LIMIT: &str = r#""name": "a", "key": ["subject"], "limit": 1, "per_s": 1"#;
    const QUOTA: &str = r#""name": "a", "key": ["subject"], "quota": 5, "window": "day""#;
    const GOLD: &str = r#""when": { "claims": { "plan": ["gold"] } }"#;
    let documents: Vec<String> = [
        r#"{ "rate_limits": [ { $L, "tiers": [ {}, { "when": {}, "limit": 2, "per_s": 1 }, { "when": { "claims": {} }, "limit": 2, "per_s": 1 }, { $G, "limit": 2 }, { $G, "quota": 3 } ] } ] }"#,
        r#"{ "rate_limits": [ { $L, "tiers": [] }, { $Q, "tiers": [ { $G, "quota": 9, "window": "hour" }, { $G, "limit": 1, "per_s": 1 }, { $G } ] } ] }"#,
        r#"{ "rate_limits": [ { "name": "a", "key": ["address"], "charge": "all", "limit": 1, "per_s": 1, "tiers": [ { $G, "limit": 2000000, "per_s": 1, "burst": 9 } ] } ] }"#,
        r#"{ "rate_limits": [ { $L, "tiers": [ { $G, "limit": 2, "per_s": 1, "burst": 9 } ] } ], "rules": [ { "match": {}, "access": "public", "limits": ["a"] } ] }"#,
    ]
    .iter()
    .map(|document| document.replace("$L", LIMIT).replace("$Q", QUOTA).replace("$G", GOLD))
    .collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    snapshot!(said(HostKind::Envoy, &documents));
}

/// A set that was copied from a server with many tenants.
#[test]
fn of_keys_that_are_another_issuers() {
    const KEY: &str =
        r#""kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
    let document = |issuer: &str, keys: &str| {
        let keys = keys.replace("$K", KEY);
        format!(
            r#"{{ "issuers": [ {{ "name": "a", "issuer": "{issuer}", "algorithms": ["EdDSA"], "keys": [ {{ "jwks": {{ "keys": [ {keys} ] }} }} ] }} ] }}"#
        )
    };
    let one = r#"{ $K, "issuer": "https://a/1" }"#;
    let all = r#"{ $K, "issuer": "https://a/{tenantid}" }"#;
    for (issuer, keys, expected) in [
        ("https://a/{t}", one.to_owned(), "keys[0].jwks: expected a JWK Set with a public key"),
        ("https://a/{t}", format!("{one}, {all}"), "\"issuer\" of the JWK names another issuer"),
        ("https://a/2", format!("{one}, {all}"), "\"issuer\" of the JWK names another issuer"),
    ] {
        let told = said(HostKind::Envoy, &[&document(issuer, &keys)]);
        assert!(told.contains(expected), "{issuer} {keys}: {told}");
    }
    let told = said(HostKind::Envoy, &[&document("https://a/1", &format!("{one}, {all}"))]);
    assert!(!told.contains("another issuer"), "{told}");
}

#[test]
fn of_whose_a_token_is() {
    snapshot!(said(
        HostKind::Envoy,
        &[
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "jwks": { "cluster": "keys" }, $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "i", "lifetime_from": "now", "consumer_claim": "", $RSA }, { "name": "b", "issuer": "j", "lifetime_from": "now", "exp": "optional", "lifetime_s_max": 9, $RSA } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "*", "algorithms": ["HS256"], "consumer_claim": "c", "credentials": { "claim": "", "secret_encoding": "hex", "inline": [ { "key": "k", "secret": "canary of more than thirty-two bytes" } ] } } ] }"#,
            r#"{ "issuers": [ { "name": "a", "issuer": "*", "algorithms": ["HS256"], "credentials": { "claim": "client_id", "secret_encoding": "base64", "inline": [ { "key": "k", "secret": "canary of more than thirty-two bytes" }, { "key": "l", "secret": "c2hvcnQ=" } ] } } ] }"#,
        ]
    ));
}
