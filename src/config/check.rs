//! From the document to `Config`, or to all of its mistakes.

use super::error::{ConfigErrors, Report, nearest, shown_text};
use super::fields::DOCUMENT;
use super::host::Next;
use super::json::Json;
use super::read::{Form, Node};
use super::shape::Kind;
use super::{
    Config, CorsPreflight, Gateways, HostKind, Kong, Log, Mode, Profile, Resource, Shared,
    UnknownIssuer, Unmatched,
};
use crate::callout::{Secret, Uri};
use crate::jwt::issuer::IssuerMatch;
use crate::reply::ErrorStyle;
use crate::request::bearer::BearerSource;
use crate::request::path::PathPolicy;

/// Bytes of a document at most.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of `shared.secret` at least.
const SHARED_SECRET_BYTES_MIN: usize = 16;

impl Config {
    /// Reads a document for a host. `env` gives the value of an environment variable.
    ///
    /// # Errors All mistakes of the document, each with its path. No message holds a secret or a
    /// part of a key.
    pub fn load(
        document: &[u8],
        env: &dyn Fn(&str) -> Option<String>,
        host: HostKind,
    ) -> Result<Config, ConfigErrors> {
        let mut form = Form { report: Report::default(), env, host, written_secrets: Vec::new() };
        let mut json = match parse(document) {
            Ok(json) => json,
            Err(got) => {
                form.report.error("configuration", "a JSON object", got);
                Json::Object(Vec::new())
            }
        };
        match json {
            Json::Object(_) => form.check(&mut json, &Kind::Object(&DOCUMENT), &mut String::new()),
            ref other => form.report.error("configuration", "a JSON object", other.kind()),
        }
        let Form { mut report, written_secrets, .. } = form;
        if let Some(first) = written_secrets.first() {
            let more = match written_secrets.len() {
                1 => String::new(),
                2 => " (and one other)".to_owned(),
                count => format!(" (and {} others)", count - 1),
            };
            report.warn(
                first,
                format_args!(
                    "written in the document itself{more}: Envoy's /config_dump and Kong's Admin API show it; use {{ \"env\": \"NAME\" }}"
                ),
            );
        }
        let node = Node::root(&json, &DOCUMENT);
        let profile = profile(&node);
        let mut check = Check::new(report, profile.unwrap_or(host), &node);
        if profile.is_some() {
            check.stateless(&node, host);
        }
        let config = check.document(&node);
        let warnings = check.report.into_result()?;
        Ok(Config { warnings, ..config })
    }
}

fn parse(document: &[u8]) -> Result<Json, String> {
    if document.iter().all(u8::is_ascii_whitespace) {
        return Err("nothing".to_owned());
    }
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("{} bytes (at most {DOCUMENT_BYTES_MAX} are read)", document.len()));
    }
    Json::parse(document).or_else(|got| match super::protobuf::to_json(document) {
        // Envoy hands a Struct over in its binary form.
        Some(json) => Json::parse(&json),
        None => Err(got),
    })
}

/// The second pass: meaning.
pub(super) struct Check {
    pub report: Report,
    pub host: HostKind,
    /// Names of the issuers at their places, valid or not.
    pub issuer_names: Vec<String>,
    /// Names of the limits at their places, valid or not.
    pub limit_names: Vec<String>,
    /// Limits that something names.
    pub limits_used: Vec<usize>,
    /// Whether the document has introspection, valid or not.
    pub introspection: bool,
    /// The first that meets others in Redis.
    pub synced: Option<String>,
    /// Whether the document has `gateways`, valid or not, and what they are.
    pub has_gateways: bool,
    pub gateways: Option<Gateways>,
    /// Whether a limit meets others there.
    pub meets_gateways: bool,
    /// Rules that go by route, and whether they promise that it is stable.
    pub routed: Vec<(String, bool)>,
    /// Resources that were described so far.
    pub resources: Vec<Resource>,
}

impl Check {
    fn new(report: Report, host: HostKind, document: &Node<'_>) -> Self {
        let names = |list: &str| {
            document
                .objects(list)
                .iter()
                .map(|node| node.owned("name").unwrap_or_default())
                .collect()
        };
        Check {
            report,
            host,
            issuer_names: names("issuers"),
            limit_names: names("rate_limits"),
            limits_used: Vec::new(),
            introspection: document.has("introspection"),
            synced: None,
            has_gateways: document.has("gateways"),
            gateways: None,
            meets_gateways: false,
            routed: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// The document's own fields. What it calls is kept apart (`inline(never)`): in one piece it
    /// took the host's compiler a tenth of its time, at each start.
    fn document(&mut self, node: &Node<'_>) -> Config {
        let issuers = self.issuers(node);
        let dpop = self.dpop(node);
        let mut bearer_sources: Vec<BearerSource> = self.bearer(node, &issuers);
        if !dpop.is_empty() {
            bearer_sources.push(BearerSource::Dpop);
        }
        let mtls = self.mtls(node, &issuers);
        let decryption = self.decryption(node);
        let status_lists = self.status_lists(node);
        let replay = self.replay(node);
        let kong = self.kong(node);
        let on_unknown_issuer = self.unknown_issuer(node, &kong);
        let paths = match node.text("paths") {
            Some("lenient") => PathPolicy::Lenient,
            _ => PathPolicy::Strict,
        };
        let is_in_shadow = node.text("mode") == Some("shadow");
        let resource = self.resource(node, is_in_shadow, &[], paths);
        let (rule_paths, rules): (Vec<String>, Vec<_>) =
            self.rules(node, paths).into_iter().unzip();
        self.gateways = self.gateways(node);
        let rate_limits = self.rate_limits(node);
        self.gateways_together(node);
        let all_limits = rate_limits.len() == self.limit_names.len();
        let unmatched = match node.text("unmatched") {
            Some("required") => Unmatched::Required,
            Some(_) => Unmatched::Refuse,
            None if rules.is_empty() => Unmatched::Required,
            None => Unmatched::Refuse,
        };
        let token_endpoints =
            self.token_endpoints(node, paths, if all_limits { &rate_limits } else { &[] });
        let introspection = self.introspection(node);
        let revocation_feeds = self.feeds(node, &issuers);
        let shared = self.shared(node);
        let memory = self.memory(node);
        let config = Config {
            digest: node.digest("herdgate configuration v1"),
            profile: match profile(node) {
                Some(_) => Profile::Stateless,
                None => Profile::Full,
            },
            mode: match node.text("mode") {
                Some("shadow") => Mode::Shadow,
                _ => Mode::Enforce,
            },
            realm: node.owned("realm").unwrap_or_default(),
            errors: match node.text("errors") {
                Some("kong") => ErrorStyle::Kong,
                Some("problem") => ErrorStyle::Problem,
                _ => ErrorStyle::Oauth,
            },
            debug_headers: node.flag("debug_headers"),
            log: log(node),
            cors_preflight: match node.text("cors_preflight") {
                Some("check") => CorsPreflight::Check,
                _ => CorsPreflight::Pass,
            },
            paths,
            bearer_sources,
            issuers,
            dpop,
            mtls,
            decryption,
            status_lists,
            replay,
            on_unknown_issuer,
            // In shadow nobody is answered.
            resources: match is_in_shadow {
                true => Vec::new(),
                false => std::mem::take(&mut self.resources),
            },
            resource,
            rules,
            unmatched,
            token_endpoints,
            rate_limits,
            gateways: self.gateways.take(),
            introspection,
            revocation_feeds,
            shared,
            memory,
            kong,
            warnings: Vec::new(),
        };
        self.together(node, &config, &rule_paths);
        config
    }

    /// What can be said only of the whole document. Indices are right only if nothing was left out.
    #[inline(never)]
    fn together(&mut self, node: &Node<'_>, config: &Config, rule_paths: &[String]) {
        self.rules_together(config, rule_paths);
        if self.report.failed() {
            return;
        }
        if config.profile == Profile::Stateless {
            self.costs(config);
        }
        self.neighbours(config);
        self.opaque_together(config);
        for (index, limit) in config.rate_limits.iter().enumerate() {
            if !self.limits_used.contains(&index) {
                self.report.warn(
                    &format!("rate_limits[{index}]"),
                    format_args!("nothing names the limit {}", limit.name),
                );
            }
        }
        if config.introspection.is_some() && !config.rules.iter().any(|rule| rule.introspect) {
            self.report.warn("introspection", "no rule has introspect: true, so it is never asked");
        }
        if config.issuers.is_empty()
            && config.introspection.is_none()
            && config.token_endpoints.is_empty()
        {
            self.report.warn("issuers", "none, so no token is ever accepted");
        }
        let any = config.issuers.iter().any(|issuer| issuer.matcher == IssuerMatch::Any);
        if any && node.has("on_unknown_issuer") {
            self.report
                .warn("on_unknown_issuer", "never happens: an issuer \"*\" covers every iss");
        }
    }

    #[inline(never)]
    fn unknown_issuer(&mut self, node: &Node<'_>, kong: &Kong) -> UnknownIssuer {
        let then = node.owned("then");
        if node.text("on_unknown_issuer") != Some("pass") {
            if node.has("then") {
                self.report.error("then", "no then without on_unknown_issuer: \"pass\"", "one");
            }
            return UnknownIssuer::Refuse;
        }
        match self.host.needs().next {
            Next::Filter if !node.has("then") => {
                let got = "nothing (without it such tokens would reach the API unchecked)";
                self.report.error(
                    "then",
                    "the name of the filter that checks next, beside on_unknown_issuer: \"pass\"",
                    got,
                );
            }
            Next::Plugin if !kong.auth_plugin => {
                let got = "nothing (without it such tokens would reach the API unchecked)";
                self.report.error(
                    "kong.auth_plugin",
                    "true beside on_unknown_issuer: \"pass\"",
                    got,
                );
            }
            Next::Either if !node.has("then") && !kong.auth_plugin => {
                let expected = "then (on Envoy) or kong.auth_plugin (on Kong) beside on_unknown_issuer: \"pass\"";
                self.report.error("on_unknown_issuer", expected, "neither");
            }
            Next::Filter | Next::Plugin | Next::Either => {}
        }
        UnknownIssuer::Pass { then }
    }

    #[inline(never)]
    fn kong(&mut self, node: &Node<'_>) -> Kong {
        let kong = node.object_or_default("kong");
        let wait_uri =
            kong.owned("wait_uri").map(|text| Uri::parse(&text).map_or(text, |uri| uri.target()));
        Kong { wait_uri, auth_plugin: kong.flag("auth_plugin") }
    }

    #[inline(never)]
    fn shared(&mut self, node: &Node<'_>) -> Shared {
        let shared = node.object_or_default("shared");
        let path = shared.at("secret");
        match shared.secret("secret") {
            Some(secret) if secret.expose().len() < SHARED_SECRET_BYTES_MIN => {
                let got = format!("{}", secret.expose().len());
                self.report.error(
                    &path,
                    format_args!("at least {SHARED_SECRET_BYTES_MIN} bytes"),
                    got,
                );
            }
            None if !shared.has("secret") => {
                let of_gateways = self.synced.as_deref().map(|why| {
                    format!("{why}: gateways that name the same secret find each other")
                });
                match self.host.needs().secret.map(str::to_owned).or(of_gateways) {
                    Some(why) => self.report.error(
                        &path,
                        format_args!("a secret of at least {SHARED_SECRET_BYTES_MIN} bytes"),
                        format_args!("nothing ({why})"),
                    ),
                    None => self.report.warn(
                        &path,
                        "absent; the keys of shared memory then depend on the host's random bytes alone",
                    ),
                }
            }
            _ => {}
        }
        let previous = shared.secret("secret_previous").cloned();
        self.secret_previous(&shared, previous.as_ref());
        Shared {
            secret: shared.secret("secret").cloned().unwrap_or_else(|| Secret::new(Vec::new())),
            secret_previous: previous,
            tokens_max: shared.whole_32("tokens_max"),
            counters_max: shared.whole_32("counters_max"),
            answers_max: shared.whole_32("answers_max"),
        }
    }

    fn secret_previous(&mut self, shared: &Node<'_>, previous: Option<&Secret>) {
        let Some(previous) = previous else { return };
        let path = shared.at("secret_previous");
        if previous.expose().len() < SHARED_SECRET_BYTES_MIN {
            let got = previous.expose().len();
            self.report.error(&path, format_args!("at least {SHARED_SECRET_BYTES_MIN} bytes"), got);
        }
        match shared.secret("secret") {
            Some(secret) if secret == previous => {
                self.report.warn(&path, "the same as shared.secret, so nothing is read with it");
            }
            None if !shared.has("secret") => {
                self.report.error(
                    &shared.at("secret"),
                    "a secret beside secret_previous",
                    "nothing",
                );
            }
            _ => {}
        }
    }

    /// Indices of the things that a list names; unknown names are reported.
    pub(super) fn indices(
        &mut self,
        node: &Node<'_>,
        field: &str,
        known: &[String],
        what: &str,
    ) -> Vec<usize> {
        let mut indices = Vec::new();
        for (path, name) in node.texts(field) {
            match self.index(&path, name, known, what) {
                Some(index) if indices.contains(&index) => {
                    self.report.error(&path, "each name once", shown_text(name))
                }
                Some(index) => indices.push(index),
                None => {}
            }
        }
        indices
    }

    /// The place of the issuer of this name.
    pub(super) fn issuer_named(&mut self, path: &str, name: &str) -> Option<usize> {
        let known = self.issuer_names.clone();
        self.index(path, name, &known, "an issuer")
    }

    fn index(&mut self, path: &str, name: &str, known: &[String], what: &str) -> Option<usize> {
        let found = known.iter().position(|other| other == name);
        if found.is_none() {
            let hint = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!(" (did you mean {}?)", shown_text(near)),
                None if known.is_empty() => " (the document has none)".to_owned(),
                None => String::new(),
            };
            self.report.error(
                path,
                format_args!("the name of {what} of this document"),
                format_args!("{}{hint}", shown_text(name)),
            );
        }
        found
    }
}

/// The kind of host that a document is for by its own word.
fn profile(node: &Node<'_>) -> Option<HostKind> {
    (node.text("profile") == Some("stateless")).then_some(HostKind::Stateless)
}

fn log(node: &Node<'_>) -> Log {
    let log = node.object_or_default("log");
    let per_s = log.whole("per_s");
    Log {
        all: node.text("access_log") == Some("all"),
        refusals_per_s: log.flag("refusals").then_some(per_s),
    }
}

/// Every text that equals an earlier one, with its place.
pub(super) fn repeated<'a>(
    texts: impl Iterator<Item = (String, &'a str)>,
) -> Vec<(String, &'a str)> {
    let mut seen = std::collections::BTreeSet::new();
    texts.filter(|(_, text)| !seen.insert(*text)).collect()
}

/// The one field of `names` that an object has; otherwise that is reported.
pub(super) fn one_of(
    check: &mut Check,
    node: &Node<'_>,
    names: &[&'static str],
) -> Option<&'static str> {
    let given: Vec<&'static str> = names.iter().copied().filter(|name| node.has(name)).collect();
    match given.as_slice() {
        [one] => Some(one),
        [] => {
            check.report.error(
                &node.path,
                format_args!("one of {}", names.join(", ")),
                "none of them",
            );
            None
        }
        several => {
            check.report.error(
                &node.path,
                format_args!("one of {}", names.join(", ")),
                several.join(" and "),
            );
            None
        }
    }
}
