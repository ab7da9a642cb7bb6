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
    assert!(out.contains("environment_variables doesn't name C"), "{out}");
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
    assert!(orders.contains("It needs a valid token of issuer idp."), "{orders}");
    let both = r#"401, WWW-Authenticate: Bearer realm="api", DPoP algs="ES256 Ed25519"."#;
    assert!(orders.contains(both), "{orders}");
    assert!(orders.contains("need a DPoP proof (ES256, Ed25519) of the last 60 s"), "{orders}");
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

#[test]
fn a_token_is_explained_without_its_claims() {
    // RFC 7515, appendix A.1: token and key.
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let document = r#"{ "issuers": [ { "name": "j", "issuer": "joe", "algorithms": ["HS256"],
        "keys": [ { "jwk": { "kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow" } } ] } ] }"#;
    let (code, out, _) = run(&[&file("joe.json", document)], &[("TOKEN", token)]);
    assert_eq!(code, 0);
    assert!(out.contains("The token's header says alg HS256, without a kid."), "{out}");
    assert!(out.contains("Its iss belongs to the issuer j."), "{out}");
    assert!(out.contains("Its signature verifies with a key of the document."), "{out}");
    assert!(!out.contains("is_root") && !out.contains("AyM1") && !out.contains("dBjf"), "{out}");
    let (_, out, _) = run(
        &[&file("joe2.json", document)],
        &[("TOKEN", &format!("Bearer {}A", token.trim_end_matches('k')))],
    );
    assert!(out.contains("401 invalid_token"), "{out}");
    let (_, out, _) = run(&[&example("jwt")], &[("TOKEN", token)]);
    assert!(out.contains("401 invalid_token: no issuer answers for it (UnknownIssuer)."), "{out}");
    let (_, out, _) = run(&[&example("jwt")], &[("TOKEN", "abc")]);
    assert!(out.contains("401 invalid_token: the token is not read (Malformed)."), "{out}");
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
