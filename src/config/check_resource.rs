//! Protected resources and what clients are told of them (RFC 9728).

use serde_json::{Map, Value};

use super::Resource;
use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use crate::reply::Metadata;
use crate::request::path::{self, PathMatch, PathPolicy};

/// Where metadata is (RFC 9728, section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// Members of the metadata that are told as they stand in the document.
const TOLD: [&str; 3] = ["resource", "resource_name", "resource_documentation"];
const TOLD_LISTS: [&str; 3] =
    ["authorization_servers", "scopes_supported", "bearer_methods_supported"];

impl Check {
    /// The place of the resource that the document or a rule describes, among all. `hosts`: those
    /// of the rule. One in shadow answers nobody, so its resource is only checked.
    #[inline(never)]
    pub(super) fn resource(
        &mut self,
        owner: &Node<'_>,
        is_in_shadow: bool,
        hosts: &[String],
        paths: PathPolicy,
    ) -> Option<usize> {
        let node = owner.object("resource")?;
        let mut found = self.read_resource(&node, paths)?;
        if is_in_shadow {
            return None;
        }
        found.hosts = hosts.to_vec();
        let is_there =
            |one: &Resource| one.host == found.host && one.well_known == found.well_known;
        let Some(index) = self.resources.iter().position(is_there) else {
            self.resources.push(found);
            return Some(self.resources.len() - 1);
        };
        let known = self.resources.get_mut(index)?;
        if known.metadata != found.metadata {
            self.report.error(
                &node.path,
                "the same metadata as elsewhere in this document for the same host and path",
                "other metadata (clients find both at one address)",
            );
        }
        // No hosts are all hosts.
        known.hosts = match known.hosts.is_empty() || found.hosts.is_empty() {
            true => Vec::new(),
            false => [known.hosts.clone(), found.hosts].concat(),
        };
        Some(index)
    }

    fn read_resource(&mut self, node: &Node<'_>, paths: PathPolicy) -> Option<Resource> {
        if node.has("resource_documentation") {
            self.url(node, "resource_documentation", false);
        }
        let allow_http = node.flag("allow_http");
        for (at, text) in node.texts("authorization_servers") {
            let why = match crate::callout::uri(text) {
                Ok(uri) if uri.https || allow_http => continue,
                Ok(_) => "set allow_http to true to accept it",
                Err(why) => why,
            };
            self.report.error(&at, "an https URL", format_args!("{} ({why})", shown_text(text)));
        }
        for (at, _) in
            node.texts("bearer_methods_supported").into_iter().filter(|(_, text)| *text == "body")
        {
            self.report.warn(&at, "a token in the body of a request isn't read here");
        }
        let text = node.text("resource")?;
        let uri = self.url(node, "resource", false)?;
        let at = node.at("resource");
        if uri.path.contains('?') {
            let expected = "an https URL without query and fragment";
            self.report.error(&at, expected, shown_text(text));
            return None;
        }
        // RFC 9728, section 3.1: the path follows, without a lone slash.
        let own_path = if uri.path == "/" { "" } else { uri.path.as_str() };
        let well_known = format!("{WELL_KNOWN}{own_path}");
        let PathMatch::Exact(decoded) = self.rule_path(&at, "path", &well_known, paths)? else {
            return None;
        };
        let under = match own_path {
            "" => None,
            path => Some(path::prefix(path, paths).ok()?),
        };
        let scheme = if uri.https { "https" } else { "http" };
        Some(Resource {
            host: match uri.host.contains(':') {
                true => format!("[{}]", uri.host.to_ascii_lowercase()),
                false => uri.host.to_ascii_lowercase(),
            },
            hosts: Vec::new(),
            well_known: decoded,
            under,
            metadata: Metadata {
                url: format!("{scheme}://{}{well_known}", uri.authority),
                body: Value::Object(members(node)).to_string(),
            },
        })
    }
}

fn members(node: &Node<'_>) -> Map<String, Value> {
    let texts = TOLD.into_iter().filter_map(|name| Some((name, Value::from(node.text(name)?))));
    let lists = TOLD_LISTS
        .into_iter()
        .filter(|name| node.has(name))
        .map(|name| (name, Value::from(node.owned_texts(name))));
    let mut members = Map::new();
    members.extend(texts.chain(lists).map(|(name, value)| (name.to_owned(), value)));
    members
}
