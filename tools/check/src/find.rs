//! Finds configurations in files: the document itself, an envoy.yaml, a kong.yml, or resources of
//! Kubernetes.

use std::collections::BTreeMap;

use herdgate::config::{DOCUMENT, HostKind};
use serde_json::{Map, Value};

use crate::kubernetes;

/// A configuration in a file.
pub struct Found {
    /// Where it stands; empty if it is the whole file.
    pub place: String,
    /// For which host the file is.
    pub host: HostKind,
    /// The document as the filter would get it.
    pub document: Vec<u8>,
    /// What the host hands on of the environment; none: all.
    pub environment: Option<Environment>,
}

/// `environment_variables` of Envoy's VM configuration.
#[derive(Default)]
pub struct Environment {
    /// Variables with their values.
    pub values: BTreeMap<String, String>,
    /// Names whose values are Envoy's own.
    pub names: Vec<String>,
}

/// All configurations of a file. `name` is its name.
///
/// # Errors
/// One sentence. It shows nothing of the file, which may hold secrets.
pub fn configurations(name: &str, text: &str) -> Result<Vec<Found>, String> {
    let json = name.ends_with(".json") || text.trim_start().starts_with('{');
    let whole = |document: Vec<u8>| {
        vec![Found { place: String::new(), host: HostKind::Unknown, document, environment: None }]
    };
    let value: Value = if json {
        match serde_json::from_str(text) {
            Ok(value) => value,
            // The loader says what is wrong with it.
            Err(_) => return Ok(whole(text.as_bytes().to_vec())),
        }
    } else {
        yaml(text).map_err(|error| match error.location() {
            Some(at) => format!(
                "{name} is not YAML that can be read: see line {}, column {}",
                at.line(),
                at.column()
            ),
            None => format!("{name} is not YAML that can be read"),
        })?
    };
    let mut candidates = Vec::new();
    walk(&value, "", &mut candidates);
    if candidates.iter().any(|candidate| candidate.named) {
        candidates.retain(|candidate| candidate.named);
    }
    if !candidates.is_empty() {
        return Ok(candidates.into_iter().map(|candidate| candidate.found).collect());
    }
    let of_a_host = [
        "static_resources",
        "dynamic_resources",
        "resources",
        "_format_version",
        "services",
        "routes",
        "filter_chains",
        "apiVersion",
    ];
    let members = match &value {
        // Of several documents in a file.
        Value::Array(documents) => documents.first().and_then(Value::as_object),
        _ => value.as_object(),
    };
    let is_host_file =
        members.is_some_and(|members| of_a_host.iter().any(|name| members.contains_key(*name)));
    let is_document =
        members.is_some_and(|members| members.keys().any(|name| DOCUMENT.field(name).is_some()));
    match (json, is_host_file, is_document) {
        (_, true, _) => Err(format!("{name} has no filter with a configuration of Herdgate")),
        // As it stands in the file: its repeated members, too.
        (true, ..) => Ok(whole(text.as_bytes().to_vec())),
        (false, _, true) => Ok(whole(bytes(&value))),
        _ => Err(format!(
            "{name} is neither a configuration nor an envoy.yaml, a kong.yml or a resource of Kubernetes that contains one"
        )),
    }
}

/// YAML, of which JSON is a part; several documents as a list.
///
/// # Errors
/// As the reader tells it, without a snippet of the text.
pub fn yaml(text: &str) -> Result<Value, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false };
    let mut all: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)?;
    Ok(match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, last) => Value::Array(all.into_iter().chain(last).collect()),
    })
}

struct Candidate {
    found: Found,
    /// Whether the file says that it is this filter.
    named: bool,
}

fn walk(value: &Value, place: &str, found: &mut Vec<Candidate>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{place}[{index}]"), found);
            }
        }
        Value::Object(members) => {
            found.extend(of_kubernetes(members, value, place));
            if members.contains_key("vm_config") && members.contains_key("configuration") {
                found.extend(of_envoy(members, place));
            } else if let Some(Value::Array(filters)) = members.get("filters") {
                for (index, filter) in filters.iter().enumerate() {
                    found.extend(of_kong(filter, &format!("{}[{index}]", join(place, "filters"))));
                }
            }
            for (name, member) in members {
                walk(member, &join(place, name), found);
            }
        }
        _ => {}
    }
}

/// A `PluginConfig` of Envoy.
fn of_envoy(plugin: &Map<String, Value>, place: &str) -> Option<Candidate> {
    let configuration = plugin.get("configuration")?;
    let document =
        match (configuration.get("value"), configuration.get("@type").and_then(Value::as_str)) {
            (Some(Value::String(text)), _) => text.as_bytes().to_vec(),
            (Some(value), _) => bytes(value),
            (None, Some(_)) => {
                // A Struct without `value`: its members stand beside `@type`.
                let mut members = configuration.as_object()?.clone();
                members.remove("@type");
                bytes(&Value::Object(members))
            }
            (None, None) => return None,
        };
    let variables = plugin.get("vm_config").and_then(|vm| vm.get("environment_variables"));
    let values =
        variables.and_then(|variables| variables.get("key_values")).and_then(Value::as_object);
    let names =
        variables.and_then(|variables| variables.get("host_env_keys")).and_then(Value::as_array);
    let environment = Environment {
        values: values
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        names: names
            .into_iter()
            .flatten()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect(),
    };
    let named =
        ["name", "root_id", "vm_config"].iter().filter_map(|name| plugin.get(*name)).any(names_us);
    let place = join(place, "configuration");
    Some(Candidate {
        found: Found { place, host: HostKind::Envoy, document, environment: Some(environment) },
        named,
    })
}

/// A resource that holds configurations. What names us is its name, or where the module is.
fn of_kubernetes(
    resource: &Map<String, Value>,
    value: &Value,
    place: &str,
) -> impl Iterator<Item = Candidate> {
    let named = names_us(value);
    kubernetes::plugins(resource).into_iter().map(move |plugin| {
        let (at, configuration) = plugin.configuration;
        let found = Found {
            place: join(place, &at),
            host: HostKind::Envoy,
            document: bytes(configuration),
            environment: Some(plugin.environment),
        };
        Candidate { found, named }
    })
}

/// An entry of a filter chain of Kong.
fn of_kong(filter: &Value, place: &str) -> Option<Candidate> {
    // Envoy's lists of filters have `typed_config`.
    let config = filter.get("config").filter(|_| filter.get("typed_config").is_none())?;
    let document = match config {
        Value::String(text) => text.as_bytes().to_vec(),
        value => bytes(value),
    };
    let named = filter.get("name").is_some_and(names_us);
    let found =
        Found { place: join(place, "config"), host: HostKind::Kong, document, environment: None };
    Some(Candidate { found, named })
}

/// Whether `herdgate` stands anywhere in it.
fn names_us(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("herdgate"),
        Value::Array(items) => items.iter().any(names_us),
        Value::Object(members) => members.values().any(names_us),
        _ => false,
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}
