//! The command as people run it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::Command;

/// Exit code, standard output, standard error.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herdgate-check"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}/herdgate.json", env!("CARGO_MANIFEST_DIR"))
}

/// A file of its own for a test.
fn file(name: &str, text: &str) -> String {
    let path: PathBuf = [env!("CARGO_TARGET_TMPDIR"), name].iter().collect();
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const ENVOY: &str = r#"
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          http_filters:
          - name: other
            typed_config:
              config:
                name: other
                vm_config: { code: { local: { filename: /lib/other.wasm } } }
                configuration: { "@type": type.googleapis.com/google.protobuf.StringValue, value: "not ours" }
          - name: herdgate
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: herdgate
                vm_config:
                  environment_variables: { key_values: { A: "a-value-of-more-than-sixteen-bytes" }, host_env_keys: [B] }
                configuration:
                  "@type": type.googleapis.com/google.protobuf.CONFIGURATION
"#;

fn envoy(kind: &str, value: &str) -> String {
    let value: String = value.lines().map(|line| format!("                    {line}\n")).collect();
    format!(
        "{}                  value:{}\n{value}",
        ENVOY.replace("CONFIGURATION", kind),
        if kind == "StringValue" { " |" } else { "" }
    )
}

#[test]
fn a_good_document_is_0() {
    let (code, out, err) = run(&[&example("everything")], &[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("warning: HERDGATE_SECRET is not set here"), "{out}");
    assert!(!out.contains("an-example-secret"), "{out}");
}

#[test]
fn strict_wants_every_variable() {
    let (code, out, _) = run(&["--strict", &example("jwt")], &[]);
    assert_eq!(code, 1);
    assert!(out.contains("mistake: shared.secret: expected an environment variable that is set, got no value of HERDGATE_SECRET"), "{out}");
    let (code, out, _) =
        run(&["--strict", &example("jwt")], &[("HERDGATE_SECRET", "0123456789abcdef")]);
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("0123456789abcdef"));
}

#[test]
fn all_mistakes_are_1() {
    let (code, out, _) =
        run(&[&file("bad.json", r#"{ "mode": "x", "rules": [{}], "colour": "red" }"#)], &[]);
    assert_eq!(code, 1);
    assert_eq!(out.matches("mistake: ").count(), 3, "{out}");
    let (code, out, _) = run(&[&file("cut.json", r#"{ "mode": "#)], &[]);
    assert_eq!(code, 1, "{out}");
}

#[test]
fn what_is_not_understood_is_2() {
    for arguments in [
        vec![],
        vec!["--host", "nginx"],
        vec!["--what"],
        vec!["/nowhere/at/all.json"],
        vec!["a", "b"],
    ] {
        let (code, out, err) = run(&arguments, &[]);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    let (code, _, err) = run(&["--request", "GET", &example("jwt")], &[]);
    assert_eq!(code, 2, "{err}");
    let (code, _, err) = run(&[&file("broken.yaml", "a: [\n secret: canary\nb")], &[]);
    assert_eq!(code, 2);
    assert!(!err.contains("canary"), "{err}");
    let (code, _, err) = run(&[&file("none.yaml", "static_resources: {}\n")], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("no filter with a configuration"), "{err}");
}

#[test]
fn an_envoy_yaml_is_looked_through() {
    let json = r#"{ "shared": { "secret": { "env": "A" } } }"#;
    let (code, out, _) = run(&["--strict", &file("string.yaml", &envoy("StringValue", json))], &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("http_filters[1].typed_config.config.configuration (for Envoy)"), "{out}");
    let (code, out, _) = run(
        &[&file("struct.yaml", &envoy("Struct", "shared: { secret: { env: A } }\nmode: enforced"))],
        &[],
    );
    assert_eq!(code, 1);
    assert!(out.contains(r#"mistake: mode: expected one of "enforce", "shadow", got "enforced" (did you mean "enforce"?)"#), "{out}");
    // What Envoy doesn't hand on is not there, whatever this shell has.
    let other = json.replace("\"A\"", "\"C\"");
    let (code, out, _) = run(
        &["--strict", &file("other.yaml", &envoy("StringValue", &other))],
        &[("C", "a-value-of-more-than-16-bytes")],
    );
    assert_eq!(code, 1);
    assert!(out.contains("(vm_config, vmConfig or env) lack C"), "{out}");
    let twice = r#"{ "mode": "shadow", "mode": "enforce" }"#;
    let (code, out, _) = run(&[&file("twice.yaml", &envoy("StringValue", twice))], &[]);
    assert_eq!(code, 1);
    assert!(out.contains("mode: expected one field of this name, got several"), "{out}");
}

#[test]
fn a_kong_yml_is_looked_through() {
    let kong = "_format_version: \"3.0\"\nservices:\n- name: a\n  url: http://127.0.0.1:1\n  filter_chains:\n  - filters:\n    - name: herdgate\n      config: CONFIG\n";
    let object = kong.replace("CONFIG", "{ shared: { secret: { env: A } }, rules: [] }");
    let (code, out, _) = run(&[&file("kong-object.yml", &object)], &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("services[0].filter_chains[0].filters[0].config (for Kong)"), "{out}");
    let string = kong.replace("CONFIG", r#"'{ "rules": [] }'"#);
    let (code, out, _) = run(&[&file("kong-string.yml", &string)], &[]);
    assert_eq!(code, 1);
    assert!(
        out.contains("mistake: shared.secret: expected a secret of at least 16 bytes, got nothing"),
        "{out}"
    );
}

#[test]
fn a_request_is_explained() {
    let explained = |request: &str| run(&["--request", request, &example("everything")], &[]).1;
    let orders = explained("GET /%6frders/1");
    assert!(orders.contains(r#"The path is read as "/orders/1"."#), "{orders}");
    assert!(
        orders.contains("rules[3] (path_prefix /orders) is the first that matches."),
        "{orders}"
    );
    assert!(orders.contains("It needs a valid token of issuer idp or opaque."), "{orders}");
    let both = r#"401, WWW-Authenticate: Bearer realm="api", DPoP algs="ES256 Ed25519"."#;
    assert!(orders.contains(both), "{orders}");
    assert!(orders.contains("need a DPoP proof (ES256, Ed25519) of the last 60 s"), "{orders}");
    let by_header = "need the one that the header x-forwarded-client-cert names";
    assert!(orders.contains(by_header), "{orders}");
    assert!(orders.contains("Each of its tokens is admitted once in each gateway"), "{orders}");
    assert!(orders.contains("scopes: all of orders:read"), "{orders}");
    assert!(orders.contains("Limit per-user: 1000 in 60 s, 100 at one instant, for each iss and subject; over it 429."), "{orders}");
    let many = run(&["--request", "GET /orders/1", &example("many-gateways")], &[]).1;
    assert!(many.contains("over it 429. Gateways that meet at 127.0.0.1:7379 share it."), "{many}");
    assert!(explained("GET /orders2").contains("403: no rule matches."));
    assert!(explained("GET /health/live").contains("It is public: no token is read."));
    assert!(explained("GET /v1/../orders").contains("400: "));
    assert!(explained("POST /oauth2/token").contains("It is a token endpoint"));
    assert!(
        explained("GET https://api.example/v1/x")
            .contains("It needs a valid token of issuer mobile or legacy.")
    );
}

/// RFC 7515, appendix A.1: token and key. The token ended in 2011.
const ENDED: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Tokens under the same key that end in the year 2100: a good one (scope a, role user, aud api), and
/// odd ones.
const GOOD: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJzdWIiOiJjYW5hcnkiLCJleHAiOjQxMDI0NDQ4MDAsInNjb3BlIjoiYSIsInJvbGVzIjpbInVzZXIiXSwiYXVkIjoiYXBpIn0.cOT5p4zNH0wcWEbf1Gy7JbQfDw_oukiSiMWC2Mdtv4k";
const EXP_IS_TEXT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJzdWIiOiJjYW5hcnkiLCJleHAiOiI0MTAyNDQ0ODAwIn0.wbOKw1m_qo7quXeWpOQpba7wNa2Qi_CGVwQy5FFc8Uk";
const EXP_IN_MS: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJleHAiOjQxMDI0NDQ4MDAwMDB9.oc6A_rxh0hmNfHBYB6grPDUl2xdrj7HZg32a7RQPLh8";
const BEGINS_LATE: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJleHAiOjQxMDI0NDQ4MDAsIm5iZiI6NDEwMjQ0MTIwMH0.j3xA98lsfvho8qT9aQUVLf4W-qEI2hsUDS3CyuwyyZ0";
const UNSIGNED: &str =
    "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UifQ.u67HxzCZvaHrXC4Whd0k4N2_3F0cahW1UcucHAb4yW4";
const SUB_IS_A_NUMBER: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJleHAiOjQxMDI0NDQ4MDAsInN1YiI6N30.GVHZw_JeRjqnPrwgneYcfxUCBkkA-HsChAE0sFtJ4Co";
const JOE: &str = r#"{ "issuers": [ { "name": "j", "issuer": "joe", "algorithms": ["HS256"],
    "keys": [ { "jwk": { "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" } } ] } ],
    "rules": [ { "match": { "path_prefix": "/a" }, "scopes_all": ["a"] },
               { "match": { "path_prefix": "/b" }, "name": "both", "scopes_all": ["a", "b"], "claims": { "roles": ["admin"] }, "audiences": ["api"] },
               { "match": { "path_prefix": "/public" }, "access": "public" } ] }"#;

/// What is said of a token, for a request.
fn of_token(name: &str, request: &str, token: &str) -> String {
    let (code, out, _) = run(&["--request", request, &file(name, JOE)], &[("TOKEN", token)]);
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("canary") && !out.contains("AyM1"), "{out}");
    out.split_once("TOKEN:\n").unwrap().1.to_owned()
}

#[test]
fn a_token_is_judged_by_the_clock_and_the_rule() {
    let out = of_token("joe-a.json", "GET /a", GOOD);
    assert_eq!(
        out.lines().map(str::trim).collect::<Vec<_>>(),
        [
            "The token is a JWT by HS256, and names no kid.",
            "Its iss belongs to the issuer j.",
            "Its signature verifies with a key of the document.",
            "Accepted, as far as can be seen here.",
        ]
    );
    let out = of_token("joe-b.json", "GET /b/1", &format!("Bearer {GOOD}"));
    assert!(out.contains("Refused.\n"), "{out}");
    assert!(
        out.contains(
            "403 insufficient_scope (claim): both wants the claim roles to be \"admin\" (the token has another one)."
        ),
        "{out}"
    );
    assert!(out.contains("403 insufficient_scope (scope): both wants the scope b."), "{out}");
    assert!(!out.contains("the scope a.") && !out.contains("in aud"), "{out}");
    let out = of_token("joe-c.json", "GET /a", ENDED);
    assert!(out.contains("401 invalid_token (expired): it ended "), "{out}");
    assert!(out.contains(" days ago by this machine's clock"), "{out}");
    assert!(out.contains("Its signature verifies") && !out.contains("bad_signature"), "{out}");
    let out = of_token("joe-d.json", "GET /a", BEGINS_LATE);
    assert!(out.contains("401 invalid_token (not_yet_valid): its nbf lies "), "{out}");
    let out =
        of_token("joe-e.json", "GET /a", &format!("{}A", GOOD.get(..GOOD.len() - 1).unwrap()));
    assert!(
        out.contains("(bad_signature): no key of the document verifies")
            || out.contains("isn't base64url"),
        "{out}"
    );
    assert!(
        of_token("joe-f.json", "GET /public", ENDED)
            .contains("The rule is public: the token isn't read.")
    );
}

#[test]
fn what_makes_a_token_unreadable_is_named() {
    let (header, rest) = GOOD.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let twice = "eyJhbGciOiJIUzI1NiIsImFsZyI6IkhTMjU2In0";
    for (number, (token, words)) in [
        (EXP_IS_TEXT.to_owned(), "exp: expected a number, got a string."),
        (EXP_IN_MS.to_owned(), "exp: expected seconds since 1970, got a number that is negative or after the year 9999 (milliseconds?)."),
        (SUB_IS_A_NUMBER.to_owned(), "sub: expected a string, got a number."),
        (UNSIGNED.to_owned(), "its alg is none: an unsigned token is never accepted."),
        ("2YotnFZFEjr1zCsicMWpAA".to_owned(), "it is no JWT (one has three segments, this one 1). An opaque token needs an issuer whose tokens are opaque."),
        (format!("{header}.{payload}="), "this one 2)"),
        (format!("{header}.{payload}==.{signature}"), "its payload isn't base64url"),
        (format!("{header}.{payload}."), "its signature is empty."),
        (format!("{header}=.{payload}.{signature}"), "its header isn't base64url (it has = padding)."),
        (format!("{twice}.{payload}.{signature}"), "its header names a member twice, or is nested more deeply than 16."),
        (format!("bm8.{payload}.{signature}"), "its header isn't JSON."),
        (format!("W10.{payload}.{signature}"), "its header: expected a JSON object, got a list."),
        (format!("{header}.{payload}.{signature}.a.b"), "it has five segments, but not the form of an encrypted token (RFC 7516)."),
    ]
    .into_iter()
    .enumerate()
    {
        let out = of_token(&format!("unreadable-{number}.json"), "GET /a", &token);
        assert!(out.contains(words), "{words}: {out}");
        assert!(out.contains("Refused.\n    401 invalid_token ("), "{out}");
    }
}

#[test]
fn a_token_of_an_issuer_that_is_not_there_is_said_to_be_one() {
    let (_, out, _) = run(&[&example("jwt")], &[("TOKEN", GOOD)]);
    assert!(
        out.contains(
            "401 invalid_token (unknown_issuer): no issuer of the document covers its iss."
        ),
        "{out}"
    );
}

/// What the comments of envoy/envoy.yaml ask for, taken away one by one.
#[test]
fn settings_around_the_filter_are_warned_of() {
    let shipped =
        std::fs::read_to_string(format!("{}/../../envoy/envoy.yaml", env!("CARGO_MANIFEST_DIR")))
            .unwrap();
    let said = |name: &str, text: &str| {
        let (code, out, _) = run(&[&file(name, text)], &[("HERDGATE_SECRET", "0123456789abcdef")]);
        assert_eq!(code, 0, "{out}");
        out.lines()
            .filter_map(|line| Some(line.split_once("  warning: ")?.1.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(said("shipped.yaml", &shipped), Vec::<String>::new());
    for (number, (from, to, words)) in [
        (
            "failure_policy: FAIL_RELOAD",
            "failure_policy: FAIL_OPEN",
            "failure_policy: FAIL_OPEN lets every request through",
        ),
        ("failure_policy: FAIL_RELOAD", "fail_open: true", "fail_open: a crash"),
        ("failure_policy: FAIL_RELOAD", "other: x", "failure_policy: without FAIL_RELOAD"),
        (
            "allow_on_headers_stop_iteration: true",
            "allow_on_headers_stop_iteration: false",
            "allow_on_headers_stop_iteration: not true",
        ),
        ("use_remote_address: true", "use_remote_address: false", "use_remote_address: not true"),
        ("normalize_path: false", "normalize_path: true", "normalize_path: true mends paths"),
        ("merge_slashes: false", "merge_slashes: true", "merge_slashes: true mends paths"),
        (
            "\"realm\": \"api\"",
            "\"paths\": \"lenient\"",
            "normalize_path: not true; with \"paths\": \"lenient\"",
        ),
        (
            "\"cluster\": \"idp\"",
            "\"cluster\": \"idpp\"",
            "issuers[0].cluster: this file has no cluster \"idpp\"",
        ),
        (
            "\"cluster\": \"idp\"",
            "\"cluster\": \"api\"",
            "issuers[0]: an https URL, but the cluster \"api\" has no transport_socket",
        ),
        (
            "\"https://idp.example/jwks\"",
            "\"http://idp.example/jwks\", \"allow_http\": true",
            "issuers[0]: an http URL, but the cluster \"idp\" has a transport_socket",
        ),
        ("trusted_ca:", "other:", "issuers[0]: the cluster \"idp\" has no validation_context"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(shipped.contains(from), "{from}");
        let warnings = said(&format!("around-{number}.yaml"), &shipped.replacen(from, to, 1));
        assert!(warnings.iter().any(|warning| warning.starts_with(words)), "{words}: {warnings:?}");
    }
    // Clusters may come from elsewhere.
    let dynamic = shipped.replacen("\"cluster\": \"idp\"", "\"cluster\": \"idpp\"", 1)
        + "\ndynamic_resources: { cds_config: { ads: {} } }\n";
    assert_eq!(said("dynamic.yaml", &dynamic), Vec::<String>::new());
}

#[test]
fn hints_hint_right() {
    let said = |name: &str, text: &str| run(&[&file(name, text)], &[]).1;
    let issuer = |algorithm: &str| {
        format!(
            r#"{{ "issuers": [ {{ "name": "j", "issuer": "joe", "algorithms": ["{algorithm}"], "jwks_uri": "https://a/", "cluster": "a" }} ] }}"#
        )
    };
    for (name, text, words) in [
        ("hint-1.json", issuer("Ed448"), r#"got "Ed448" (no signature algorithm of this version)"#),
        ("hint-2.json", issuer("none"), r#"got "none" (an unsigned token is never accepted)"#),
        ("hint-3.json", issuer("es512"), r#"got "es512" (did you mean "ES512"?)"#),
        ("hint-4.json", r#"{ "rules": [ { "match": {}, "access": "none" } ] }"#.to_owned(), r#"got "none" (did you mean "public"? It reads no token)"#),
        ("hint-5.json", r#"{ "issuers": [ { "name": "j", "issuer": "joe", "algorithms": ["RS256"], "jwks_uri": "https://a/", "cluster": "a", "jwks": { "ttl": 5 } } ] }"#.to_owned(), r#"got "ttl" (did you mean "ttl_s"?)"#),
    ] {
        let out = said(name, &text);
        assert!(out.contains(words), "{words}: {out}");
    }
    assert!(!said("hint-6.json", &issuer("ES512")).contains("mistake"));
}

#[test]
fn a_post_function_that_replaces_the_guard_is_warned_of() {
    let shipped =
        std::fs::read_to_string(format!("{}/../../kong/kong.yml", env!("CARGO_MANIFEST_DIR")))
            .unwrap();
    let own = "{ name: post-function, config: { access: ['kong.ctx.shared.own = true'] } }";
    let guarded = "{ name: post-function, config: { access: ['if ngx.ctx.buffered_proxying then return kong.response.exit(503) end'] } }";
    let on_the_service = |plugin: &str| {
        shipped.replace(
            "    protocol: http\n",
            &format!("    protocol: http\n    plugins: [{plugin}]\n"),
        )
    };
    let beside_the_guard = |plugin: &str| format!("{shipped}  - {plugin}\n");
    let said = |text: String| {
        let (code, out, _) = run(&[&file("guard.yml", &text)], &[]);
        assert_eq!(code, 0, "{out}");
        out.lines()
            .filter_map(|line| Some(line.split_once("guard.yml: warning: ")?.1.to_owned()))
            .collect::<Vec<_>>()
    };
    let global = said(shipped.clone());
    assert_eq!(global, Vec::<String>::new());
    for (text, place) in [
        (on_the_service(own), "services[0].plugins[0]"),
        (beside_the_guard(&own.replacen("{ ", "{ route: api, ", 1)), "plugins[1]"),
    ] {
        let [warning] = said(text).try_into().unwrap();
        assert!(
            warning.starts_with(&format!("{place}: this post-function replaces the global guard")),
            "{warning}"
        );
    }
    assert_eq!(said(on_the_service(guarded)), Vec::<String>::new());
    assert_eq!(
        said(on_the_service(&own.replacen("{ ", "{ enabled: false, ", 1))),
        Vec::<String>::new()
    );
    assert_eq!(said(beside_the_guard(own)), Vec::<String>::new());
}
