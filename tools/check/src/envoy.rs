//! What stands around the filter in an envoy.yaml and would make it less than it is: settings that
//! envoy/envoy.yaml has for a reason, clusters that aren't there, TLS that a URL promises.

use herdgate::config::Config;
use herdgate::testing::callout::{Callout, Uri};
use herdgate::testing::rate_limit::Sync;
use herdgate::testing::request::path::PathPolicy;
use herdgate::testing::signature::source::{JwksAt, KeySource};
use serde_json::{Map, Value};

use crate::{find, kubernetes};

/// Warnings about what is around the configuration at `place` of this file.
pub fn warnings(text: &str, place: &str, config: &Config) -> Vec<String> {
    // What can't be read at all is said elsewhere.
    let Ok(value) = find::yaml(text) else { return Vec::new() };
    let ancestors = ancestors(&value, place);
    let with = |name: &str| ancestors.iter().rev().find(|one| one.contains_key(name)).copied();
    let mut out = kubernetes::warnings(&ancestors, place, config);
    if let Some(plugin) = with("vm_config") {
        of_plugin(plugin, config, &mut out);
    }
    if let Some(manager) = with("http_filters") {
        of_manager(manager, config, &mut out);
    }
    of_clusters(&value, config, &mut out);
    out
}

/// The objects on the way to a place such as `a.b[0].c`, the outermost first.
fn ancestors<'a>(value: &'a Value, place: &str) -> Vec<&'a Map<String, Value>> {
    let mut out = Vec::new();
    let mut at = value;
    // A place of one of several documents begins with its index.
    for step in place.split(['.', '[']).filter(|step| !step.is_empty()) {
        out.extend(at.as_object());
        let next = match step.strip_suffix(']') {
            Some(index) => index.parse::<usize>().ok().and_then(|index| at.get(index)),
            None => at.get(step),
        };
        let Some(next) = next else { break };
        at = next;
    }
    out
}

fn of_plugin(plugin: &Map<String, Value>, config: &Config, out: &mut Vec<String>) {
    let is_true = |name: &str| plugin.get(name).and_then(Value::as_bool) == Some(true);
    match plugin.get("failure_policy").and_then(Value::as_str) {
        _ if is_true("fail_open") => {
            out.push("fail_open: a crash of the filter would let every request through unchecked; use failure_policy: FAIL_RELOAD".to_owned());
        }
        Some("FAIL_OPEN") => {
            out.push("failure_policy: FAIL_OPEN lets every request through unchecked once the filter crashes; use FAIL_RELOAD".to_owned());
        }
        Some("FAIL_RELOAD") => {}
        _ => out.push("failure_policy: without FAIL_RELOAD a crash means 503 on that worker until Envoy is started again".to_owned()),
    }
    if !is_true("allow_on_headers_stop_iteration") {
        out.push(match config.token_endpoints.is_empty() {
            true => "allow_on_headers_stop_iteration: not true; token endpoints would not work here".to_owned(),
            false => "allow_on_headers_stop_iteration: not true, so no body ever reaches the filter: each call to a token endpoint ends with 408".to_owned(),
        });
    }
}

fn of_manager(manager: &Map<String, Value>, config: &Config, out: &mut Vec<String>) {
    let flag = |name: &str| manager.get(name).and_then(Value::as_bool).unwrap_or(false);
    if !flag("use_remote_address") {
        out.push("use_remote_address: not true, so the client's address is what it claims in X-Forwarded-For: limits by address can be evaded".to_owned());
    }
    for name in ["normalize_path", "merge_slashes"] {
        match (config.paths, flag(name)) {
            (PathPolicy::Strict, true) => out.push(format!(
                "{name}: true mends paths before the filter sees them, so it can't refuse those that others read differently; leave it off with \"paths\": \"strict\""
            )),
            (PathPolicy::Lenient, false) => out.push(format!(
                "{name}: not true; with \"paths\": \"lenient\" it is Envoy that has to make paths harmless"
            )),
            (PathPolicy::Strict, false) | (PathPolicy::Lenient, true) => {}
        }
    }
}

/// Each call of the filter's own: its place in the configuration, whether its URL is https, its
/// cluster.
pub(crate) fn calls(config: &Config) -> Vec<(String, bool, String)> {
    let mut out = Vec::new();
    let mut add = |place: String, uri: &Uri, call: &'_ Callout| {
        out.push((place, uri.https, call.cluster.clone().unwrap_or_default()));
    };
    for (index, issuer) in config.issuers.iter().enumerate() {
        match &issuer.keys {
            KeySource::Jwks { at: JwksAt::Uri(uri) | JwksAt::Discovery(uri), call, .. } => {
                add(format!("issuers[{index}]"), uri, call);
            }
            KeySource::Credentials(credentials) => {
                if let Some(lookup) = &credentials.lookup {
                    let place = format!("issuers[{index}].credentials.lookup");
                    add(place, &lookup.uri, &lookup.call);
                }
            }
            KeySource::Inline(_) => {}
        }
    }
    if let Some(introspection) = &config.introspection {
        add("introspection".to_owned(), &introspection.uri, &introspection.call);
    }
    for (index, feed) in config.revocation_feeds.iter().enumerate() {
        add(format!("revocation.feeds[{index}]"), &feed.uri, &feed.call);
    }
    if let Some(gateways) = &config.gateways {
        add("gateways".to_owned(), &gateways.at.uri, &gateways.at.call);
    }
    let own = |sync: &&Sync| config.gateways.as_ref().is_none_or(|gateways| gateways.at != **sync);
    for (index, limit) in config.rate_limits.iter().enumerate() {
        if let Some(sync) = limit.sync.as_ref().filter(own) {
            add(format!("rate_limits[{index}].sync"), &sync.uri, &sync.call);
        }
    }
    out
}

fn of_clusters(file: &Value, config: &Config, out: &mut Vec<String>) {
    // Others may come from elsewhere.
    if file.pointer("/dynamic_resources/cds_config").is_some() {
        return;
    }
    let clusters = file.pointer("/static_resources/clusters").and_then(Value::as_array);
    let Some(clusters) = clusters else { return };
    let named = |name: &str| {
        clusters.iter().find(|cluster| cluster.get("name").and_then(Value::as_str) == Some(name))
    };
    for (place, https, name) in calls(config) {
        let Some(cluster) = named(&name) else {
            out.push(format!("{place}.cluster: this file has no cluster {name:?}"));
            continue;
        };
        let socket = cluster.get("transport_socket");
        match (https, socket) {
            (true, None) => out.push(format!(
                "{place}: an https URL, but the cluster {name:?} has no transport_socket: the call goes out in plain text"
            )),
            (false, Some(_)) => out.push(format!(
                "{place}: an http URL, but the cluster {name:?} has a transport_socket: is it https?"
            )),
            (true, Some(socket)) if !socket.to_string().contains("trusted_ca")
                && !socket.to_string().contains("validation_context_sds_secret_config") =>
            {
                out.push(format!(
                    "{place}: the cluster {name:?} has no validation_context, so any certificate is accepted"
                ));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}
