//! Rules: which requests need what.

use super::check::{Check, repeated};
use super::error::shown_text;
use super::read::Node;
use super::{Access, Config, Mode, Rule};
use crate::jwt::check::Requirements;
use crate::jwt::issuer::IssuerMatch;
use crate::jwt::step_up::StepUp;
use crate::rate_limit::KeyPart;
use crate::request::path;
use crate::request::path::{PathMatch, PathPolicy, RuleMatch, Segment};

impl Check {
    /// All rules.
    #[inline(never)]
    pub(super) fn rules(&mut self, document: &Node<'_>, paths: PathPolicy) -> Vec<(String, Rule)> {
        let nodes = document.objects("rules");
        let names = nodes.iter().filter_map(|node| Some((node.at("name"), node.text("name")?)));
        for (path, name) in repeated(names.clone()) {
            self.report.error(&path, "each name once", shown_text(name));
        }
        for (path, name) in names.filter(|(_, name)| name.bytes().all(|b| b.is_ascii_digit())) {
            let expected = "a name that can't be taken for a rule's place (a letter in it)";
            self.report.error(&path, expected, shown_text(name));
        }
        nodes.iter().map(|node| (node.path.clone(), self.rule(node, paths))).collect()
    }

    fn rule(&mut self, node: &Node<'_>, paths: PathPolicy) -> Rule {
        let access = match node.text("access") {
            Some("optional") => Access::Optional,
            Some("permissive") => Access::Permissive,
            Some("public") => Access::Public,
            _ => Access::Required,
        };
        if access == Access::Public {
            for name in
                ["issuers", "audiences", "scopes_all", "scopes_any", "claims", "any", "introspect"]
                    .into_iter()
                    .chain(STEP_UP)
            {
                if node.has(name) {
                    self.report.error(
                        &node.at(name),
                        "no demand beside access: \"public\"",
                        "one (no token is read there)",
                    );
                }
            }
        }
        if access == Access::Permissive {
            for name in ["issuers", "scopes_all", "scopes_any", "claims", "any", "introspect"]
                .into_iter()
                .chain(STEP_UP)
            {
                if node.has(name) {
                    self.report.error(
                        &node.at(name),
                        "no demand beside access: \"permissive\"",
                        "one (a token that doesn't meet it would pass as anonymous)",
                    );
                }
            }
        }
        if access == Access::Optional {
            for name in STEP_UP.into_iter().filter(|name| node.has(name)) {
                self.report.error(
                    &node.at(name),
                    format_args!("no {name} beside access: \"optional\""),
                    "one (who leaves the token out would pass without any login)",
                );
            }
        }
        let introspect = node.flag("introspect");
        if introspect && !self.introspection {
            self.report.error(&node.at("introspect"), "introspection in the document", "none");
        }
        let names = self.issuer_names.clone();
        let issuers =
            node.has("issuers").then(|| self.indices(node, "issuers", &names, "an issuer"));
        if issuers.is_none() && names.is_empty() && access == Access::Required && !introspect {
            self.report.warn(
                &node.path,
                "nothing passes: it needs a token, and the document has no issuers",
            );
        }
        let matches = self.rule_match(node, paths);
        Rule {
            name: node.owned("name"),
            resource: self.resource(node, node.flag("shadow"), &matches.hosts, paths),
            matches,
            access,
            requires: Requirements {
                issuers,
                own: self.demands(node),
                any: self.alternatives(node),
                step_up: step_up(node),
            },
            introspect,
            limits: self.limits_of(node),
            shadow: node.flag("shadow"),
        }
    }

    fn rule_match(&mut self, rule: &Node<'_>, paths: PathPolicy) -> RuleMatch {
        let node = rule.object_or_default("match");
        let given: Vec<&str> = ["path", "path_prefix", "path_template"]
            .into_iter()
            .filter(|name| node.has(name))
            .collect();
        if given.len() > 1 {
            self.report.error(
                &node.path,
                "at most one of path, path_prefix, path_template",
                given.join(" and "),
            );
        }
        let path = given.first().and_then(|name| {
            let text = node.text(name)?;
            self.rule_path(&node.at(name), name, text, paths)
        });
        if node.has("route") {
            self.routed
                .push((node.at("route"), rule.flag("route_stable") || node.flag("route_stable")));
        }
        let hosts =
            node.texts("hosts").into_iter().map(|(_, host)| host.to_ascii_lowercase()).collect();
        RuleMatch {
            path,
            methods: node.owned_texts("methods"),
            hosts,
            route: node.owned("route"),
            ignore_case: node.flag("ignore_case"),
        }
    }

    /// The path of a rule or of a token endpoint; `kind` is the field's name.
    pub(super) fn rule_path(
        &mut self,
        at: &str,
        kind: &str,
        text: &str,
        paths: PathPolicy,
    ) -> Option<PathMatch> {
        if text.contains('*') {
            self.report.warn(at, "* is taken literally: path_prefix and path_template are all the patterns there are");
        }
        let parsed = match kind {
            "path_prefix" => path::prefix(text, paths),
            "path_template" => path::template(text, paths),
            _ if text.contains(['{', '}']) => {
                Err("expected a path without braces: a {capture} is known to path_template alone"
                    .to_owned())
            }
            _ => path::exact(text, paths),
        };
        match parsed {
            Ok(path) => Some(path),
            Err(why) if why.contains(", got ") => {
                self.report.say(at, why);
                None
            }
            Err(why) => {
                self.report.say(at, format!("{why}, got {}", shown_text(text)));
                None
            }
        }
    }

    /// What can be said only of all rules together.
    pub(super) fn rules_together(&mut self, config: &Config, paths: &[String]) {
        let headers_set = config.issuers.iter().any(|issuer| {
            !issuer.forward.claims.is_empty() || issuer.forward.payload_header.is_some()
        });
        for (path, stable) in std::mem::take(&mut self.routed) {
            if headers_set && !stable {
                let got = "one without route_stable (Envoy may choose the route again after the filter sets a header: set \"route_stable\": true if yours doesn't depend on these headers)";
                self.report.error(&path, "no route beside forward.claims", got);
            }
        }
        self.variants(config, paths);
        for (index, (rule, path)) in config.rules.iter().zip(paths).enumerate() {
            if rule.shadow && config.mode == Mode::Enforce {
                let why = "its requests go on as they came, with whatever identity headers a client sends: the API must not believe them there";
                self.report.warn(&format!("{path}.shadow"), why);
            }
            let earlier = config.rules.iter().zip(paths).take(index);
            if let Some((_, by)) =
                earlier.into_iter().find(|(earlier, _)| earlier.matches.covers(&rule.matches))
            {
                self.report
                    .warn(path, format_args!("never reached: {by} covers all of its requests"));
            }
            for limit in rule.limits.iter().filter_map(|index| config.rate_limits.get(*index)) {
                if !limit.tiers.is_empty() && rule.access == Access::Public {
                    let why = "no tier of it ever holds here: a public rule reads no token";
                    self.report.warn(path, format_args!("the limit {}: {why}", limit.name));
                }
                for part in &limit.key {
                    if let Some(why) = always_absent(part, rule, config) {
                        self.report.warn(
                            path,
                            format_args!(
                                "the limit {} counts all together here: {why}",
                                limit.name
                            ),
                        );
                    }
                }
            }
        }
    }
}

/// What a rule asks of the login behind a token.
const STEP_UP: [&str; 2] = ["acr_values", "max_age_s"];

fn step_up(node: &Node<'_>) -> Option<Box<StepUp>> {
    let acr_values = node.owned_texts("acr_values");
    let max_age_s = node.whole_given("max_age_s");
    (!acr_values.is_empty() || max_age_s.is_some())
        .then(|| Box::new(StepUp { acr_values, max_age_s }))
}

/// Why a part of a limit's key is absent on every request of a rule.
fn always_absent(part: &KeyPart, rule: &Rule, config: &Config) -> Option<String> {
    let of_token =
        matches!(part, KeyPart::Issuer | KeyPart::Subject | KeyPart::ClientId | KeyPart::Claim(_));
    if of_token && rule.access == Access::Public {
        return Some("a public rule reads no token".to_owned());
    }
    let KeyPart::Capture(name) = part else { return None };
    let in_path = match &rule.matches.path {
        Some(PathMatch::Template(segments)) => segments
            .iter()
            .any(|segment| matches!(segment, Segment::Capture(other) if other == name)),
        _ => false,
    };
    let admitted =
        config.issuers.iter().enumerate().filter(|(index, _)| match &rule.requires.issuers {
            Some(indices) => indices.contains(index),
            None => true,
        });
    let in_issuer = rule.access != Access::Public
        && admitted.into_iter().any(|(_, issuer)| match &issuer.matcher {
            IssuerMatch::Template(template) => {
                template.captures().iter().any(|other| other == name)
            }
            IssuerMatch::Exact(_) | IssuerMatch::Any => false,
        });
    (!in_path && !in_issuer).then(|| format!("no template has the capture {name}"))
}

impl RuleMatch {
    /// Whether every request that `other` covers is covered by this one too. A request itself can
    /// be written as the narrowest match: its exact path, one method, one host.
    pub fn covers(&self, other: &RuleMatch) -> bool {
        let among = |ours: &[String], theirs: &[String]| {
            ours.is_empty() || (!theirs.is_empty() && theirs.iter().all(|one| ours.contains(one)))
        };
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(ours), Some(theirs)) if self.ignore_case => {
                ours.in_lower_case().covers(&theirs.in_lower_case())
            }
            // What the other covers in any case, this one covers in one.
            (Some(_), Some(_)) if other.ignore_case => false,
            (Some(ours), Some(theirs)) => ours.covers(theirs),
            // Not even the prefix `/`: `OPTIONS *` has no path.
            (Some(_), None) => false,
        };
        let route = self.route.is_none() || self.route == other.route;
        path && route && among(&self.methods, &other.methods) && among(&self.hosts, &other.hosts)
    }
}

impl PathMatch {
    /// Whether every path that `other` covers is covered by this one too.
    pub fn covers(&self, other: &PathMatch) -> bool {
        match (self, other) {
            (PathMatch::Exact(ours), PathMatch::Exact(theirs)) => ours == theirs,
            (PathMatch::Prefix(prefix), PathMatch::Exact(path) | PathMatch::Prefix(path)) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                let rest = path.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            (PathMatch::Prefix(prefix), PathMatch::Template(segments)) => {
                let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
                let mut wanted = prefix.split('/').skip(1);
                let mut segments = segments.iter();
                wanted.all(|wanted| matches!(segments.next(), Some(Segment::Literal(literal)) if literal == wanted))
            }
            (PathMatch::Template(segments), PathMatch::Exact(path)) => {
                let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
                let fit = segments.iter().all(|segment| match (segment, parts.next()) {
                    (Segment::Literal(literal), Some(part)) => literal == part,
                    (Segment::Capture(_), Some(part)) => !part.is_empty(),
                    (_, None) => false,
                });
                fit && parts.next().is_none()
            }
            (PathMatch::Template(ours), PathMatch::Template(theirs)) => {
                let wide = |pair: (&Segment, &Segment)| {
                    matches!(pair.0, Segment::Capture(_)) || pair.0 == pair.1
                };
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(wide)
            }
            (PathMatch::Exact(_), _) | (PathMatch::Template(_), PathMatch::Prefix(_)) => false,
        }
    }
}
