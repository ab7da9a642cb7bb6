//! Kong's guard against plugins that buffer answers, in a kong.yml.

use serde_json::{Map, Value};

use crate::find;

/// What each guard says, and each bolt.
const MARK: &str = "buffered_proxying";

/// Post-functions that replace the global guard on a part of the gateway, without a word of Kong's.
pub fn warnings(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // What can't be read at all is said elsewhere.
    if let Ok(value) = find::yaml(text) {
        walk(&value, "", &mut found);
    }
    found
}

fn walk(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| walk(item, &format!("{place}[{index}]"), found)),
        Value::Object(members) => {
            for (name, member) in members {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                if name == "plugins" {
                    found.extend(replacing(member, &place));
                }
                walk(member, &place, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn replacing(plugins: &Value, place: &str) -> Vec<String> {
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    let objects =
        plugins.iter().enumerate().filter_map(|(index, plugin)| Some((index, plugin.as_object()?)));
    let replaces = |plugin: &Map<String, Value>| {
        let says = |name: &str| plugin.get(name).is_some_and(|value| !value.is_null());
        let is_narrow = place != "plugins"
            || ["service", "route", "consumer", "consumer_group"].into_iter().any(says);
        plugin.get("name").and_then(Value::as_str) == Some("post-function")
            && plugin.get("enabled").and_then(Value::as_bool) != Some(false)
            && is_narrow
            && !plugin.get("config").is_some_and(|config| config.to_string().contains(MARK))
    };
    objects
        .filter(|(_, plugin)| replaces(plugin))
        .map(|(index, _)| {
            format!(
                "{place}[{index}]: this post-function replaces the global guard against plugins that buffer answers: begin it with \
                 the guard's three lines, or load herdgate-guard.conf (kong/README.md, \"The guard\")"
            )
        })
        .collect()
}
