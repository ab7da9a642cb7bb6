//! Configurations in resources of Kubernetes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use herdgate::config::{Config, HostKind};
use herdgate_check::envoy;
use herdgate_check::find::{Found, configurations};

const CONFIG: &str = r#"{ "issuers": [ { "name": "idp", "issuer": "https://idp.example",
    "jwks_uri": "https://idp.example/jwks", "cluster": "CLUSTER", "algorithms": ["RS256"] } ] MORE }"#;

fn resource(api: &str, kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\n---\napiVersion: {api}/v1alpha1\nkind: {kind}\nmetadata: {{ name: herdgate }}\nspec: {spec}\n"
    )
}

fn config(cluster: &str, more: &str) -> String {
    CONFIG.replace("CLUSTER", cluster).replace("MORE", more)
}

/// The only configuration of a file, and what is said of what stands around it.
fn read(text: &str) -> (Found, Vec<String>) {
    let mut found = configurations("herdgate.yaml", text).unwrap();
    assert_eq!(found.len(), 1);
    let found = found.remove(0);
    let loaded = Config::load(&found.document, &|_| None, HostKind::Envoy).unwrap();
    let warnings = envoy::warnings(text, &found.place, &loaded);
    (found, warnings)
}

#[test]
fn each_kind_is_found_where_it_has_its_configuration() {
    let good = config("outbound|443||idp.example", "");
    let env = "vmConfig: { env: [{ name: A, valueFrom: HOST }, { name: B, value: b }] }";
    for (api, kind, spec, place) in [
        (
            "extensions.istio.io",
            "TrafficExtension",
            format!("{{ wasm: {{ pluginConfig: {good}, failStrategy: FAIL_RELOAD, {env} }} }}"),
            "[1].spec.wasm.pluginConfig",
        ),
        (
            "extensions.istio.io",
            "WasmPlugin",
            format!("{{ pluginConfig: {good}, failStrategy: FAIL_RELOAD, {env} }}"),
            "[1].spec.pluginConfig",
        ),
        (
            "extensions.higress.io",
            "WasmPlugin",
            format!("{{ defaultConfig: {good}, {env} }}"),
            "[1].spec.defaultConfig",
        ),
        (
            "gateway.envoyproxy.io",
            "EnvoyExtensionPolicy",
            format!("{{ wasm: [{{ config: {good}, env: {{ hostKeys: [A] }} }}] }}"),
            "[1].spec.wasm[0].config",
        ),
    ] {
        let (found, warnings) = read(&resource(api, kind, &spec));
        assert_eq!((found.place.as_str(), found.host), (place, HostKind::Envoy));
        let environment = found.environment.unwrap();
        assert_eq!(environment.names, ["A"]);
        assert_eq!(environment.values.get("B").is_some(), kind != "EnvoyExtensionPolicy");
        assert_eq!(warnings, Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn what_makes_it_less_than_it_is_is_said() {
    let endpoint = r#", "token_endpoints": [ { "path": "/token" } ]"#;
    let calm = config("outbound|443||idp.example", "");
    for (api, kind, spec, said) in [
        (
            "extensions.istio.io",
            "WasmPlugin",
            format!("{{ pluginConfig: {calm}, failStrategy: FAIL_OPEN }}"),
            "FAIL_OPEN lets every request through",
        ),
        (
            "extensions.istio.io",
            "WasmPlugin",
            format!("{{ pluginConfig: {calm} }}"),
            "without FAIL_RELOAD",
        ),
        (
            "extensions.istio.io",
            "TrafficExtension",
            format!("{{ wasm: {{ pluginConfig: {} }} }}", config("outbound|443||a", endpoint)),
            "408 after 10 seconds",
        ),
        (
            "extensions.istio.io",
            "WasmPlugin",
            format!("{{ pluginConfig: {}, failStrategy: FAIL_RELOAD }}", config("idp", "")),
            "issuers[0].cluster: clusters there are named",
        ),
        (
            "extensions.higress.io",
            "WasmPlugin",
            format!("{{ defaultConfig: {calm}, matchRules: [] }}"),
            "_rules_",
        ),
        (
            "gateway.envoyproxy.io",
            "EnvoyExtensionPolicy",
            format!("{{ wasm: [{{ config: {calm}, failOpen: true }}] }}"),
            "failOpen: true lets every request through",
        ),
    ] {
        let (_, warnings) = read(&resource(api, kind, &spec));
        assert!(warnings.iter().any(|warning| warning.contains(said)), "{said}: {warnings:?}");
    }
}

#[test]
fn other_resources_are_none() {
    let error = configurations("a.yaml", &resource("apps", "Deployment", "{}")).err().unwrap();
    assert!(error.contains("has no filter with a configuration"), "{error}");
}
