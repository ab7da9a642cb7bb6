//! Kong's declarative configuration (`kong.yml`, or the same as JSON), as far as this host serves
//! it.

use serde_json::Value;

/// Services, routes, filter chains and plugins.
#[derive(Clone, Debug, Default)]
pub struct Gateway {
    /// All services.
    pub services: Vec<Service>,
    /// All routes.
    pub routes: Vec<Route>,
    /// All filter chains.
    pub chains: Vec<Chain>,
    /// All plugins.
    pub plugins: Vec<Plugin>,
    /// Consumers' keys (`keyauth_credentials`): key, user name.
    pub keys: Vec<(String, String)>,
}

/// One API behind the gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Of the configuration, or `service-N`.
    pub name: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that goes before the rest of the request's.
    pub path: String,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// Of the configuration, or `route-N`.
    pub name: String,
    /// Its service's name.
    pub service: String,
    /// Prefixes; none means every path.
    pub paths: Vec<String>,
    /// None means every method.
    pub methods: Vec<String>,
    /// None means every host; lower case.
    pub hosts: Vec<String>,
    /// The matched prefix doesn't reach the API.
    pub strip_path: bool,
    /// The API sees the client's `host`.
    pub preserve_host: bool,
}

/// What a chain or plugin belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Owner {
    /// Everything (plugins only).
    #[default]
    Global,
    /// A service's name.
    Service(String),
    /// A route's name.
    Route(String),
}

/// The filters of a service or of a route.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Whose requests it sees.
    pub owner: Owner,
    /// In order.
    pub entries: Vec<ChainEntry>,
}

/// One filter with its configuration.
#[derive(Clone, Debug)]
pub struct ChainEntry {
    /// As in `Options::modules`.
    pub filter: String,
    /// What the filter reads as its plugin configuration.
    pub config: String,
}

/// A Lua plugin, as far as it matters to filters.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// As Kong names it.
    pub name: String,
    /// Whose requests it sees.
    pub owner: Owner,
    /// As given.
    pub config: Value,
}

impl Gateway {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// A sentence that says what is wrong and where.
    pub fn parse(text: &str) -> Result<Gateway, String> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) => {
                serde_saphyr::from_str(text).map_err(|error| format!("configuration: {error}"))?
            }
        };
        let mut gateway = Gateway::default();
        for service in list(&value, "services") {
            gateway.add_service(service)?;
        }
        for route in list(&value, "routes") {
            let service = owner_name(route, "service").ok_or("routes[]: expected a service")?;
            gateway.add_route(route, &service)?;
        }
        for chain in list(&value, "filter_chains") {
            let owner = owner(chain);
            gateway.add_chain(chain, owner)?;
        }
        for plugin in list(&value, "plugins") {
            let owner = owner(plugin);
            gateway.add_plugin(plugin, owner)?;
        }
        for consumer in list(&value, "consumers") {
            let name = text_of(consumer, "username").unwrap_or_default();
            for key in list(consumer, "keyauth_credentials") {
                gateway.keys.push((text_of(key, "key").unwrap_or_default(), name.clone()));
            }
        }
        gateway.check()?;
        Ok(gateway)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    fn add_service(&mut self, value: &Value) -> Result<(), String> {
        let name =
            text_of(value, "name").unwrap_or_else(|| format!("service-{}", self.services.len()));
        let mut service =
            Service { name: name.clone(), scheme: "http".into(), port: 80, ..Service::default() };
        if let Some(url) = text_of(value, "url") {
            let wrong =
                || format!("services[{name}].url: expected http://HOST[:PORT][/PATH], got {url:?}");
            let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let (host, port) = match authority
                .rsplit_once(':')
                .filter(|(host, _)| !host.contains(':') || host.ends_with(']'))
            {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                None => (authority, if scheme == "https" { 443 } else { 80 }),
            };
            service.scheme = scheme.into();
            service.host = host.into();
            service.port = port;
            service.path = path.into();
        }
        for (field, place) in [
            ("protocol", &mut service.scheme),
            ("host", &mut service.host),
            ("path", &mut service.path),
        ] {
            if let Some(text) = text_of(value, field) {
                *place = text;
            }
        }
        if let Some(port) = value.get("port").and_then(Value::as_u64) {
            service.port =
                u16::try_from(port).map_err(|_| format!("services[{name}].port: {port}"))?;
        }
        self.services.push(service);
        for route in list(value, "routes") {
            self.add_route(route, &name)?;
        }
        for chain in list(value, "filter_chains") {
            self.add_chain(chain, Owner::Service(name.clone()))?;
        }
        for plugin in list(value, "plugins") {
            self.add_plugin(plugin, Owner::Service(name.clone()))?;
        }
        Ok(())
    }

    fn add_route(&mut self, value: &Value, service: &str) -> Result<(), String> {
        let name = text_of(value, "name").unwrap_or_else(|| format!("route-{}", self.routes.len()));
        let paths = texts(value, "paths");
        if let Some(path) = paths.iter().find(|path| path.starts_with('~')) {
            return Err(format!(
                "routes[{name}].paths: this host has no regular expressions, got {path:?}"
            ));
        }
        self.routes.push(Route {
            name: name.clone(),
            service: service.into(),
            paths,
            methods: texts(value, "methods"),
            hosts: texts(value, "hosts").into_iter().map(|host| host.to_lowercase()).collect(),
            strip_path: value.get("strip_path").and_then(Value::as_bool).unwrap_or(true),
            preserve_host: value.get("preserve_host").and_then(Value::as_bool).unwrap_or(false),
        });
        for chain in list(value, "filter_chains") {
            self.add_chain(chain, Owner::Route(name.clone()))?;
        }
        for plugin in list(value, "plugins") {
            self.add_plugin(plugin, Owner::Route(name.clone()))?;
        }
        Ok(())
    }

    fn add_chain(&mut self, value: &Value, owner: Owner) -> Result<(), String> {
        if owner == Owner::Global {
            return Err("filter_chains[]: expected a service or a route".into());
        }
        if enabled(value) {
            let entries = list(value, "filters")
                .filter(|filter| enabled(filter))
                .map(entry)
                .collect::<Result<_, _>>()?;
            self.chains.push(Chain { owner, entries });
        }
        Ok(())
    }

    fn add_plugin(&mut self, value: &Value, owner: Owner) -> Result<(), String> {
        let name = text_of(value, "name").ok_or("plugins[]: expected a name")?;
        if enabled(value) {
            let config = value.get("config").cloned().unwrap_or(Value::Null);
            self.plugins.push(Plugin { name, owner, config });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        for route in &self.routes {
            if self.service(&route.service).is_none() {
                return Err(format!(
                    "routes[{}].service: no service {:?}",
                    route.name, route.service
                ));
            }
        }
        for chain in &self.chains {
            let known = match &chain.owner {
                Owner::Service(name) => self.service(name).is_some(),
                Owner::Route(name) => self.routes.iter().any(|route| route.name == *name),
                Owner::Global => false,
            };
            if !known {
                return Err(format!(
                    "filter_chains[]: nothing is named as its owner {:?}",
                    chain.owner
                ));
            }
        }
        Ok(())
    }
}

fn entry(value: &Value) -> Result<ChainEntry, String> {
    let filter = text_of(value, "name").ok_or("filters[]: expected a name")?;
    let config = match value.get("config") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    Ok(ChainEntry { filter, config })
}

fn owner(value: &Value) -> Owner {
    match (owner_name(value, "route"), owner_name(value, "service")) {
        (Some(route), _) => Owner::Route(route),
        (None, Some(service)) => Owner::Service(service),
        (None, None) => Owner::Global,
    }
}

/// `service: name` or `service: { name: name }`.
fn owner_name(value: &Value, field: &str) -> Option<String> {
    let found = value.get(field)?;
    text_of(value, field).or_else(|| text_of(found, "name"))
}

fn enabled(value: &Value) -> bool {
    value.get("enabled").and_then(Value::as_bool).unwrap_or(true)
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text_of(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).map(String::from)
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    list(value, field).filter_map(Value::as_str).map(String::from).collect()
}
