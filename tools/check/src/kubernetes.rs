//! Configurations inside Kubernetes resources, and what stands around them there: Istio's
//! TrafficExtension and WasmPlugin, Envoy Gateway's EnvoyExtensionPolicy, Higress's WasmPlugin.

use herdgate::config::Config;
use serde_json::{Map, Value};

use crate::envoy;
use crate::find::Environment;

/// A plugin in a resource.
pub struct Plugin<'a> {
    /// Where its configuration stands in the resource, and that.
    pub configuration: (String, &'a Value),
    /// What is handed on of the environment.
    pub environment: Environment,
}

/// Whose resource it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    TrafficExtension,
    WasmPlugin,
    Higress,
    EnvoyExtensionPolicy,
}

fn kind(resource: &Map<String, Value>) -> Option<Kind> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str).unwrap_or_default();
    let of = |group: &str| text("apiVersion").starts_with(&format!("{group}/"));
    match text("kind") {
        "TrafficExtension" if of("extensions.istio.io") => Some(Kind::TrafficExtension),
        "WasmPlugin" if of("extensions.istio.io") => Some(Kind::WasmPlugin),
        "WasmPlugin" if of("extensions.higress.io") => Some(Kind::Higress),
        "EnvoyExtensionPolicy" if of("gateway.envoyproxy.io") => Some(Kind::EnvoyExtensionPolicy),
        _ => None,
    }
}

/// The plugins of a resource; nothing if it isn't one of these.
pub fn plugins(resource: &Map<String, Value>) -> Vec<Plugin<'_>> {
    let Some(spec) = resource.get("spec") else { return Vec::new() };
    let one = |plugin: &str, field: &str| {
        let dot = if plugin.is_empty() { "" } else { "." };
        let place = format!("spec.{plugin}{dot}{field}");
        let at = if plugin.is_empty() { Some(spec) } else { spec.get(plugin) };
        at.and_then(|at| Some((at.get(field)?, at)))
            .map(|(configuration, at)| Plugin {
                configuration: (place, configuration),
                environment: environment(at.pointer("/vmConfig/env")),
            })
            .into_iter()
            .collect()
    };
    match kind(resource) {
        None => Vec::new(),
        Some(Kind::TrafficExtension) => one("wasm", "pluginConfig"),
        Some(Kind::WasmPlugin) => one("", "pluginConfig"),
        // Its own defaultConfig is what it hands on, where there is no pluginConfig.
        Some(Kind::Higress) if spec.get("pluginConfig").is_some() => one("", "pluginConfig"),
        Some(Kind::Higress) => one("", "defaultConfig"),
        Some(Kind::EnvoyExtensionPolicy) => {
            let all = spec.get("wasm").and_then(Value::as_array).into_iter().flatten().enumerate();
            all.filter_map(|(index, wasm)| {
                Some(Plugin {
                    configuration: (format!("spec.wasm[{index}].config"), wasm.get("config")?),
                    environment: Environment {
                        names: texts(wasm.pointer("/env/hostKeys")),
                        ..Environment::default()
                    },
                })
            })
            .collect()
        }
    }
}

/// Istio's `vmConfig.env`: a value, or the name of a variable of the proxy's.
fn environment(env: Option<&Value>) -> Environment {
    let mut out = Environment::default();
    for one in env.and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(name) = text("name") else { continue };
        match text("valueFrom").as_deref() {
            Some("HOST") => out.names.push(name),
            _ => {
                out.values.insert(name, text("value").unwrap_or_default());
            }
        }
    }
    out
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// Warnings about what is around the configuration at `place`, if it is in such a resource.
/// `ancestors` are the objects on the way there, the outermost first.
pub fn warnings(ancestors: &[&Map<String, Value>], place: &str, config: &Config) -> Vec<String> {
    let mut out = Vec::new();
    let Some((resource, kind)) =
        ancestors.iter().find_map(|one| kind(one).map(|kind| (*one, kind)))
    else {
        return out;
    };
    let plugin = ancestors.last().filter(|_| place.ends_with("onfig"));
    let text = |name: &str| plugin.and_then(|plugin| plugin.get(name)?.as_str());
    match kind {
        Kind::TrafficExtension | Kind::WasmPlugin => match text("failStrategy") {
            Some("FAIL_OPEN") => out.push("failStrategy: FAIL_OPEN lets every request through unchecked when the module can't be loaded or crashes; use FAIL_RELOAD".to_owned()),
            Some("FAIL_RELOAD") => {}
            _ => out.push("failStrategy: without FAIL_RELOAD a crash means 503 on that worker until the proxy is started again".to_owned()),
        },
        Kind::Higress if text("failStrategy") == Some("FAIL_OPEN") => {
            out.push("failStrategy: FAIL_OPEN lets every request through unchecked when the module can't be loaded or crashes".to_owned());
        }
        Kind::EnvoyExtensionPolicy
            if plugin.and_then(|plugin| plugin.get("failOpen")) == Some(&Value::Bool(true)) =>
        {
            out.push("failOpen: true lets every request through unchecked when the module can't be loaded or crashes".to_owned());
        }
        Kind::Higress | Kind::EnvoyExtensionPolicy => {}
    }
    if kind == Kind::Higress && plugin.is_some_and(|plugin| plugin.contains_key("matchRules")) {
        out.push("matchRules: Higress writes them into the configuration as _rules_, which is refused there: use the rules of the configuration".to_owned());
    }
    if !config.token_endpoints.is_empty() {
        let name = resource.get("kind").and_then(Value::as_str).unwrap_or_default();
        out.push(format!("token_endpoints: {name} can't set allow_on_headers_stop_iteration, so no body ever reaches the filter: each call to a token endpoint ends with 408 after 10 seconds (docs/kubernetes.md)"));
    }
    if matches!(kind, Kind::TrafficExtension | Kind::WasmPlugin | Kind::Higress) {
        for (place, _, cluster) in envoy::calls(config) {
            if cluster.split('|').count() != 4 {
                out.push(format!("{place}.cluster: clusters there are named as in outbound|443||idp.example, got {cluster:?}"));
            }
        }
    }
    out
}
