//! Where token endpoints are, what of a request shapes no answer there, and what else their servers
//! offer.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use super::{Access, Config, Rule};
use crate::request::path;
use crate::request::path::{PathMatch, PathPolicy, Segment};
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::connection;

impl Check {
    /// The text of an endpoint's path, and its template where it has one.
    pub(super) fn endpoint_path(
        &mut self,
        node: &Node<'_>,
        paths: PathPolicy,
    ) -> (String, Option<PathMatch>) {
        match (node.text("path"), node.text("path_template")) {
            (Some(_), Some(_)) => {
                self.report.error(&node.path, "one of path and path_template", "both");
                Default::default()
            }
            (None, None) => {
                // A value of another type is named already.
                if !node.has("path") && !node.has("path_template") {
                    self.report.error(&node.at("path"), "a path that begins with /", "nothing");
                }
                Default::default()
            }
            (Some(text), None) => match self.rule_path(&node.at("path"), "path", text, paths) {
                Some(PathMatch::Exact(path)) => (path, None),
                _ => Default::default(),
            },
            (None, Some(text)) => (
                text.to_owned(),
                self.rule_path(&node.at("path_template"), "path_template", text, paths),
            ),
        }
    }

    /// The text of its revocation path, and its template where it has one.
    pub(super) fn revocation_path(
        &mut self,
        node: &Node<'_>,
        beside: Option<&PathMatch>,
        paths: PathPolicy,
    ) -> (Option<String>, Option<PathMatch>) {
        let Some(text) = node.text("revocation_path") else { return (None, None) };
        let is_template = beside.is_some() && text.contains(['{', '}']);
        match self.rule_path(
            &node.at("revocation_path"),
            if is_template { "path_template" } else { "path" },
            text,
            paths,
        ) {
            Some(PathMatch::Exact(path)) => (Some(path), None),
            Some(template) => (Some(text.to_owned()), Some(template)),
            None => (None, None),
        }
    }

    /// Headers that shape no answer, in lower case: none that says who asks, or for what.
    pub(super) fn ignore_headers(&mut self, node: &Node<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for (path, name) in node.texts("ignore_headers") {
            let name = name.to_ascii_lowercase();
            if connection::always_matters(name.as_bytes()) {
                self.report.error(
                    &path,
                    "a header that says neither who asks nor for what",
                    shown_text(&name),
                );
            }
            names.push(name);
        }
        names
    }

    /// Servers have more than a token endpoint, and its neighbours need a rule: without one nobody
    /// can log in.
    pub(super) fn neighbours(&mut self, config: &Config) {
        for (index, endpoint) in config.token_endpoints.iter().enumerate() {
            let Some(folder) = endpoint.folder().filter(|folder| !folder.is_empty()) else {
                continue;
            };
            if config.rules.iter().any(|rule| is_about(rule, &folder, endpoint)) {
                continue;
            }
            let message = format!(
                "no rule covers the other paths under {folder}/: the server's authorize, jwks, introspect and userinfo are refused there; \
                 add {{ \"match\": {{ \"path_prefix\": \"{folder}\" }}, \"access\": \"public\" }} to rules, or a rule that says who may call them"
            );
            self.report.warn(&format!("token_endpoints[{index}]"), message);
        }
    }
}

/// Whether a rule was written with the neighbours of a token endpoint in mind: it names paths among
/// them, or it opens them with much else.
fn is_about(rule: &Rule, folder: &str, endpoint: &TokenEndpoint) -> bool {
    let near = PathMatch::Prefix(folder.to_owned());
    let opens = rule.access != Access::Required;
    let on_host = match &endpoint.host {
        Some(host) => rule.matches.hosts.is_empty() || rule.matches.hosts.contains(host),
        None => true,
    };
    on_host
        && match &rule.matches.path {
            None => opens,
            Some(path) => near.covers(path) || (opens && path.covers(&near)),
        }
}

fn is_at(path: &[u8], text: Option<&String>, template: Option<&PathMatch>) -> bool {
    match template {
        Some(template) => path::path_matches(template, path).is_some(),
        None => text.is_some_and(|text| path == text.as_bytes()),
    }
}

impl PathMatch {
    /// Whether it has a capture of this name.
    pub fn has_capture(&self, name: &str) -> bool {
        match self {
            PathMatch::Template(segments) => segments
                .iter()
                .any(|segment| matches!(segment, Segment::Capture(other) if other == name)),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => false,
        }
    }
}

impl TokenEndpoint {
    /// Each place that it has: the name of its field, its text, and which paths it covers.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, &str, PathMatch)> {
        let own = if self.path_template.is_some() { "path_template" } else { "path" };
        let both = [
            (own, Some(&self.path), &self.path_template),
            ("revocation_path", self.revocation_path.as_ref(), &self.revocation_template),
        ];
        both.into_iter().filter_map(|(name, text, template)| {
            let text = text.filter(|text| !text.is_empty())?;
            Some((
                name,
                text.as_str(),
                template.clone().unwrap_or_else(|| PathMatch::Exact(text.clone())),
            ))
        })
    }

    /// Whether a call to this path, decoded, is one for tokens.
    pub fn takes(&self, path: &[u8]) -> bool {
        is_at(path, Some(&self.path), self.path_template.as_ref())
    }

    /// Whether a call to this path, decoded, takes a token back.
    pub fn revokes(&self, path: &[u8]) -> bool {
        is_at(path, self.revocation_path.as_ref(), self.revocation_template.as_ref())
    }

    /// What the templates of its paths capture in this path, decoded.
    pub fn captures(&self, path: &[u8]) -> Vec<(String, String)> {
        for template in [&self.path_template, &self.revocation_template].into_iter().flatten() {
            let (Some(captures), PathMatch::Template(segments)) =
                (path::path_matches(template, path), template)
            else {
                continue;
            };
            let names = segments.iter().filter_map(|segment| match segment {
                Segment::Capture(name) => Some(name),
                Segment::Literal(_) => None,
            });
            return names
                .filter_map(|name| {
                    Some((name.clone(), String::from_utf8_lossy(captures.get(name)?).into_owned()))
                })
                .collect();
        }
        Vec::new()
    }

    /// The path above its own, as far as it is the same for all that it covers.
    fn folder(&self) -> Option<String> {
        match &self.path_template {
            None => self.path.rsplit_once('/').map(|(folder, _)| folder.to_owned()),
            Some(PathMatch::Template(segments)) => Some(
                segments
                    .iter()
                    .map_while(|segment| match segment {
                        Segment::Literal(text) => Some(format!("/{text}")),
                        Segment::Capture(_) => None,
                    })
                    .collect(),
            ),
            Some(PathMatch::Exact(_) | PathMatch::Prefix(_)) => None,
        }
    }
}
