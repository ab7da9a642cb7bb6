//! The Lua that runs before filters, as far as filters can tell: buffering, the functions that
//! kong/ ships against it, and key-auth as an example of a plugin that names a consumer.

use crate::config::{Gateway, Owner, Plugin};
use crate::http::{self, Response};
use crate::options::Options;
use crate::proxy;
use crate::router::Match;
use crate::vm::Traffic;

/// What the Lua plugins of a request have decided.
#[derive(Default)]
pub struct Before {
    /// The client is answered; no filter runs.
    pub answer: Option<Response>,
    /// Kong asks the API itself, before any filter runs.
    pub buffered: bool,
}

/// Runs the plugins in Kong's order: authentication, what buffers, post-functions.
pub fn run(gateway: &Gateway, options: &Options, found: &Match, traffic: &mut Traffic) -> Before {
    let plugins = plugins_of(gateway, found);
    for plugin in plugins.iter().filter(|plugin| plugin.name == "key-auth") {
        if let Some(answer) = key_auth(plugin, gateway, traffic) {
            return Before { answer: Some(answer), buffered: false };
        }
    }
    let lua = |plugin: &Plugin| plugin.config.to_string();
    let buffered = plugins
        .iter()
        .any(|plugin| plugin.name.starts_with("ai-") || lua(plugin).contains("enable_buffering"));
    let refuses = options.refuse_buffered
        || plugins.iter().any(|plugin| lua(plugin).contains("buffered_proxying"));
    if buffered && refuses {
        let answer = proxy::kong_error(503, "buffered requests are refused");
        return Before { answer: Some(answer), buffered };
    }
    let bolt =
        options.bolt.clone().or_else(|| plugins.iter().find_map(|plugin| bolt_name(&lua(plugin))));
    if let Some(name) = bolt {
        let right =
            traffic.vars.insert("upstream_scheme".into(), b"herdgate".to_vec()).unwrap_or_default();
        traffic.shared.insert(name, right);
    }
    Before { answer: None, buffered }
}

/// The plugins of a request: of several with one name, those of the narrowest scope.
fn plugins_of<'a>(gateway: &'a Gateway, found: &Match) -> Vec<&'a Plugin> {
    let scope = |plugin: &Plugin| match &plugin.owner {
        Owner::Global => Some(0),
        Owner::Service(name) => (*name == found.service.name).then_some(1),
        Owner::Route(name) => (*name == found.route.name).then_some(2),
    };
    let concerned: Vec<(&Plugin, i32)> =
        gateway.plugins.iter().filter_map(|plugin| Some((plugin, scope(plugin)?))).collect();
    let narrowest = |name: &str| {
        concerned.iter().filter(|(plugin, _)| plugin.name == name).map(|(_, scope)| *scope).max()
    };
    concerned
        .iter()
        .filter(|(plugin, scope)| narrowest(&plugin.name) == Some(*scope))
        .map(|(plugin, _)| *plugin)
        .collect()
}

/// The name after `kong.ctx.shared.` in a function that sets the upstream's scheme to `herdgate`.
fn bolt_name(lua: &str) -> Option<String> {
    if !(lua.contains("upstream_scheme") && lua.contains("herdgate")) {
        return None;
    }
    let (_, rest) = lua.split_once("kong.ctx.shared.")?;
    let name: String =
        rest.chars().take_while(|char| char.is_ascii_alphanumeric() || *char == '_').collect();
    Some(name).filter(|name| !name.is_empty())
}

/// Kong's key-auth with its default names: header or query `apikey`, an optional anonymous
/// consumer.
fn key_auth(plugin: &Plugin, gateway: &Gateway, traffic: &mut Traffic) -> Option<Response> {
    let query = traffic.target.split_once('?').map(|(_, query)| query).unwrap_or("");
    let in_query = query.split('&').find_map(|pair| pair.strip_prefix("apikey="));
    let key = http::get(&traffic.headers, "apikey")
        .map(|key| String::from_utf8_lossy(key).into_owned())
        .or_else(|| in_query.map(String::from));
    let consumer = key.as_ref().and_then(|key| gateway.keys.iter().find(|(known, _)| known == key));
    let anonymous = plugin.config.get("anonymous").and_then(serde_json::Value::as_str);
    let names = [
        "x-consumer-id",
        "x-consumer-custom-id",
        "x-consumer-username",
        "x-credential-identifier",
        "x-anonymous-consumer",
    ];
    let claim = |traffic: &mut Traffic, pairs: &[(&str, &str)]| {
        names.iter().for_each(|name| http::remove(&mut traffic.headers, name));
        for (name, value) in pairs {
            http::set(&mut traffic.headers, name, *value);
        }
    };
    match (consumer, anonymous, key.is_some()) {
        (Some((key, name)), _, _) => {
            let pairs = [
                ("X-Consumer-ID", name),
                ("X-Consumer-Username", name),
                ("X-Credential-Identifier", key),
            ];
            claim(traffic, &pairs.map(|(name, value)| (name, value.as_str())));
            None
        }
        (None, Some(name), _) => {
            claim(traffic, &[("X-Consumer-Username", name), ("X-Anonymous-Consumer", "true")]);
            None
        }
        (None, None, true) => Some(proxy::kong_error(401, "Unauthorized")),
        (None, None, false) => Some(proxy::kong_error(401, "No API key found in request")),
    }
}
