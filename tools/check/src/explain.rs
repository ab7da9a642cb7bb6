//! What a configuration does with a request, in words. It asks the filter's own rooms: path, issuer
//! and jwt.

mod summary;

use herdgate::config::{Access, Config, CorsPreflight, Rule, Unmatched};
use herdgate::testing::jwt::demands::Demands;
use herdgate::testing::proof::dpop::Dpop;
use herdgate::testing::rate_limit::KeyPart;
use herdgate::testing::reply::ErrorStyle;
use herdgate::testing::request::path::{PathMatch, RuleMatch, Segment};
use herdgate::testing::request::path::{Request, Target, matches};
use herdgate::testing::token_endpoint::TokenEndpoint;

pub use summary::summary;

/// A request as it stands on the command line.
pub struct Asked {
    method: String,
    host: String,
    target: String,
}

impl Asked {
    /// Reads `GET /orders` or `GET https://api.example/orders`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Asked, String> {
        let mut words = text.split_whitespace();
        let (Some(method), Some(target), None) = (words.next(), words.next(), words.next()) else {
            return Err("a request is a method and a path, as in REQUEST='GET /orders'".to_owned());
        };
        let rest = target.strip_prefix("https://").or_else(|| target.strip_prefix("http://"));
        let (host, target) = match rest {
            Some(rest) => {
                let at = rest.find('/').unwrap_or(rest.len());
                let (host, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
                (host.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() })
            }
            None => (String::new(), target.to_owned()),
        };
        Ok(Asked { method: method.to_ascii_uppercase(), host, target })
    }
}

/// What happens to a request.
pub fn request(config: &Config, asked: &Asked) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(target) = Target::parse(asked.target.as_bytes(), config.paths) else {
        return vec![
            "400: others could read this path differently (a dot segment, an empty segment, an encoded / or the like).".to_owned(),
        ];
    };
    let path = String::from_utf8_lossy(&target.path).into_owned();
    if path != asked.target {
        lines.push(format!("The path is read as {path:?}."));
    }
    let host = |wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|host| asked.host.eq_ignore_ascii_case(host))
    };
    if let Some(endpoint) = config
        .token_endpoints
        .iter()
        .find(|endpoint| endpoint.takes(path.as_bytes()) && host(&endpoint.host))
    {
        if asked.method == "POST" {
            token_endpoint(config, endpoint, &mut lines);
            return lines;
        }
        let is_described = config.resources.iter().any(|one| one.well_known == path);
        if is_described && matches!(asked.method.as_str(), "GET" | "HEAD") {
            lines.push("It asks for the metadata of a resource, and anyone is told it here; under another host the rules may hold.".to_owned());
            return lines;
        }
        if asked.method == "OPTIONS" && config.cors_preflight == CorsPreflight::Pass {
            lines.push(
                "With Origin and Access-Control-Request-Method: POST it goes to the token endpoint's server, as the POST does.".to_owned(),
            );
            limits(config, &endpoint.limits, &mut lines);
        }
        lines.push("The path is that of a token endpoint, which takes POST; for other methods the rules hold.".to_owned());
    }
    if asked.method == "OPTIONS" && config.cors_preflight == CorsPreflight::Pass {
        lines.push("With Origin and Access-Control-Request-Method it needs no token (cors_preflight: pass).".to_owned());
    }
    let mut depends = Vec::new();
    let found = config.rules.iter().enumerate().find(|(index, rule)| {
        let route = rule.matches.route.as_ref().map(String::as_bytes);
        let seen = Request {
            method: asked.method.as_bytes(),
            host: asked.host.as_bytes(),
            route,
            path: path.as_bytes(),
        };
        let fits = matches(&rule.matches, &seen).is_some();
        if fits && route.is_some() {
            depends.push(format!(
                "rules[{index}] would hold if the gateway's route is {:?}; it is not known here.",
                rule.matches.route.as_deref().unwrap_or("")
            ));
        }
        fits && route.is_none()
    });
    lines.append(&mut depends);
    match found {
        Some((index, rule)) => {
            lines.push(format!(
                "rules[{index}] ({}) is the first that matches.",
                match_in_words(&rule.matches)
            ));
            self::rule(config, rule, &mut lines);
        }
        None => match config.unmatched {
            Unmatched::Refuse => lines.push("403: no rule matches.".to_owned()),
            Unmatched::Required => {
                lines.push("No rule matches; a valid token of any issuer is needed.".to_owned());
                lines.push(without_token(config, None));
            }
        },
    }
    lines
}

/// The first rule that covers a request, as far as that can be known without its route.
pub fn covering<'a>(config: &'a Config, asked: &Asked) -> Option<(usize, &'a Rule)> {
    let target = Target::parse(asked.target.as_bytes(), config.paths).ok()?;
    let request = Request {
        method: asked.method.as_bytes(),
        host: asked.host.as_bytes(),
        route: None,
        path: &target.path,
    };
    let mut rules = config.rules.iter().enumerate();
    rules.find(|(_, rule)| matches(&rule.matches, &request).is_some())
}

fn rule(config: &Config, rule: &Rule, lines: &mut Vec<String>) {
    let names = |indices: &[usize]| {
        let names: Vec<&str> = indices
            .iter()
            .filter_map(|index| config.issuers.get(*index))
            .map(|issuer| issuer.name.as_str())
            .collect();
        names.join(" or ")
    };
    let issuers = match &rule.requires.issuers {
        Some(indices) => format!("of issuer {}", names(indices)),
        None => "of any issuer".to_owned(),
    };
    match rule.access {
        Access::Public => lines.push(
            "It is public: no token is read. Headers that the filter sets elsewhere are removed."
                .to_owned(),
        ),
        Access::Optional => {
            lines.push(format!(
                "Without a token it passes as anonymous; a token must be valid and {issuers}."
            ));
        }
        Access::Permissive => lines.push(
            "A good token is verified. Without one it passes as anonymous, and so it does with a bad one, which is taken out."
                .to_owned(),
        ),
        Access::Required => {
            lines.push(format!("It needs a valid token {issuers}."));
            lines.push(without_token(config, rule.requires.issuers.as_deref()));
        }
    }
    demands(&rule.requires.own, "Needed", lines);
    if !rule.requires.any.is_empty() {
        lines.push("Beside that, one of these alternatives must hold:".to_owned());
        for one in &rule.requires.any {
            demands(one, "  alternatively needed", lines);
        }
    }
    if let Some(step_up) = &rule.requires.step_up {
        let strong = match step_up.acr_values.as_slice() {
            [] => String::new(),
            values => format!(" with acr {}", values.join(" or ")),
        };
        let recent =
            step_up.max_age_s.map_or_else(String::new, |age| format!(" in the last {age} s"));
        lines.push(format!(
            "Needed login: one{strong}{recent} (401 insufficient_user_authentication otherwise)."
        ));
    }
    if let Some(resource) = rule.resource.and_then(|index| config.resources.get(index)) {
        let url = &resource.metadata.url;
        lines.push(format!("Challenges add resource_metadata={url:?}."));
    }
    if rule.introspect {
        lines.push("The introspection endpoint is asked about the token, too.".to_owned());
    }
    limits(config, &rule.limits, lines);
    if rule.shadow {
        lines.push("The rule is in shadow: its refusals are only counted, and the request goes on as it came.".to_owned());
    }
}

fn demands(demands: &Demands, needed: &str, lines: &mut Vec<String>) {
    for (what, values) in [
        ("audience: one of", &demands.audiences),
        ("scopes: all of", &demands.scopes_all),
        ("scopes: one of", &demands.scopes_any),
    ] {
        if !values.is_empty() {
            let lacking =
                if what.starts_with("scopes") { " (403 insufficient_scope otherwise)" } else { "" };
            lines.push(format!("{needed} {what} {}{lacking}.", values.join(", ")));
        }
    }
    for (claim, values) in &demands.claims {
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let path = claim.0.join(".");
        lines.push(format!("{needed} claim {path}: one of {} (403 otherwise).", values.join(", ")));
    }
}

fn token_endpoint(config: &Config, endpoint: &TokenEndpoint, lines: &mut Vec<String>) {
    lines.push("It is a token endpoint; no rule and no bearer token is needed.".to_owned());
    let reuse = endpoint.reuse;
    lines.push(format!(
        "An answer to {} is reused for {:.0} % of its lifetime, at most {} s, and not in its last {} s.",
        or_none(&endpoint.grant_types),
        reuse.fraction * 100.0,
        reuse.max_s,
        reuse.min_remaining_s
    ));
    if endpoint.path_template.is_some() {
        lines.push("Each path that the template covers has answers of its own; the cap on calls is one for all.".to_owned());
    }
    if let Some(seconds) = endpoint.default_lifetime_s {
        lines.push(format!(
            "A token lives {seconds} s where neither the answer nor the token says how long."
        ));
    }
    if !endpoint.keep_with_cookies {
        lines.push("An answer that sets a cookie is not reused.".to_owned());
    }
    if !endpoint.ignore_headers.is_empty() {
        lines.push(format!(
            "Requests that differ in {} alone share an answer.",
            endpoint.ignore_headers.join(", ")
        ));
    }
    lines.push(format!(
        "Its lifetime is shortened by up to {:.0} %, differently for each client.",
        endpoint.jitter * 100.0
    ));
    lines.push(format!(
        "Identical calls that come together wait up to {} ms for one call upstream; at most {} such calls are under way.",
        endpoint.wait_ms_max, endpoint.upstream_calls_max
    ));
    limits(config, &endpoint.limits, lines);
}

fn limits(config: &Config, indices: &[usize], lines: &mut Vec<String>) {
    for limit in indices.iter().filter_map(|index| config.rate_limits.get(*index)) {
        let parts: Vec<String> = limit.key.iter().map(key_part).collect();
        let shadow = if limit.shadow { ", only counted" } else { "; over it 429" };
        let together = match &limit.sync {
            Some(sync) => format!(" Gateways that meet at {} share it.", sync.uri.authority),
            None => String::new(),
        };
        lines.push(format!(
            "Limit {}: {}, for each {}{shadow}.{together}",
            limit.name,
            limit.amount,
            parts.join(" and ")
        ));
        for tier in &limit.tiers {
            let when: Vec<String> = tier.when.iter().map(|(path, _)| path.0.join(".")).collect();
            lines.push(format!(
                "  By its claim {} a token may have {} of the same counter.",
                when.join(" and "),
                tier.amount
            ));
        }
    }
}

fn key_part(part: &KeyPart) -> String {
    match part {
        KeyPart::Issuer => "iss".to_owned(),
        KeyPart::Subject => "subject".to_owned(),
        KeyPart::ClientId => "client_id".to_owned(),
        KeyPart::Consumer => "consumer".to_owned(),
        KeyPart::Address => "client address".to_owned(),
        KeyPart::Route => "route".to_owned(),
        KeyPart::Header(name) => format!("value of the header {name}"),
        KeyPart::Claim(path) => format!("value of the claim {}", path.0.join(".")),
        KeyPart::Capture(name) => format!("{{{name}}}"),
    }
}

fn without_token(config: &Config, admitted: Option<&[usize]>) -> String {
    let all: Vec<usize> = (0..config.issuers.len()).collect();
    let takes: Vec<Option<&Dpop>> =
        (admitted.unwrap_or(&all).iter()).map(|index| config.dpop_of(*index)).collect();
    let bearer = takes.iter().any(|dpop| dpop.is_none_or(|dpop| !dpop.required));
    let mut schemes = Vec::new();
    if bearer || takes.is_empty() {
        schemes.push(format!("Bearer realm={:?}", config.realm));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in takes.iter().flatten().flat_map(|dpop| dpop.names.split(' ')) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        schemes.push(format!("DPoP algs={:?}", names.join(" ")));
    }
    match config.errors {
        ErrorStyle::Kong => "Without a token: 401, as Kong's jwt plugin answers.".to_owned(),
        ErrorStyle::Oauth | ErrorStyle::Problem => {
            format!("Without a token: 401, WWW-Authenticate: {}.", schemes.join(", "))
        }
    }
}

fn match_in_words(rule: &RuleMatch) -> String {
    let mut words = Vec::new();
    match &rule.path {
        Some(PathMatch::Exact(path)) => words.push(format!("path {path}")),
        Some(PathMatch::Prefix(path)) => words.push(format!("path_prefix {path}")),
        Some(PathMatch::Template(segments)) => {
            let path: String = segments
                .iter()
                .map(|segment| match segment {
                    Segment::Literal(text) => format!("/{text}"),
                    Segment::Capture(name) => format!("/{{{name}}}"),
                })
                .collect();
            words.push(format!("path_template {path}"));
        }
        None => {}
    }
    if !rule.methods.is_empty() {
        words.push(format!("methods {}", rule.methods.join(" ")));
    }
    if !rule.hosts.is_empty() {
        words.push(format!("hosts {}", rule.hosts.join(" ")));
    }
    if words.is_empty() { "everything".to_owned() } else { words.join(", ") }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "no grant".to_owned() } else { names.join(", ") }
}
