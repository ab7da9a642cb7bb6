//! Issuers whose tokens have a status in a list.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use crate::reply::FailureMode;
use crate::revocation::status::{StatusLists, is_unambiguous};

impl Check {
    /// Where each issuer's status lists are, at its place; empty if none has any.
    #[inline(never)]
    pub(super) fn status_lists(&mut self, document: &Node<'_>) -> Vec<Option<StatusLists>> {
        let issuers = document.objects("issuers");
        let all: Vec<_> = issuers.iter().map(|node| self.status_lists_of(node)).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    fn status_lists_of(&mut self, issuer: &Node<'_>) -> Option<StatusLists> {
        let node = issuer.object("status_list")?;
        if issuer.text("tokens") == Some("opaque") {
            let expected = "no such field beside tokens: \"opaque\"";
            self.report.error(&node.path, expected, "one (the endpoint says what is active)");
        }
        if issuer.has("credentials") {
            let expected = "no such field beside credentials";
            self.report.error(&node.path, expected, "one (no key is the issuer's own)");
        }
        let call = self.callout(&node);
        let prefix = node.text("uri_prefix").unwrap_or_default();
        let uri = self.url(&node, "uri_prefix", false)?;
        if !prefix.ends_with('/') || !is_unambiguous(&uri.path) {
            self.report.error(
                &node.at("uri_prefix"),
                "a URL that ends in \"/\", without query, dot segments and encoded separators",
                shown_text(prefix),
            );
        }
        let failure_mode = match node.text("failure_mode") {
            Some("allow") => FailureMode::Allow,
            _ => FailureMode::Deny,
        };
        if failure_mode == FailureMode::Allow {
            let why = "while a list can't be had, tokens that were taken back are accepted";
            self.report.warn(&node.at("failure_mode"), why);
        }
        Some(StatusLists {
            uri_prefix: prefix.to_owned(),
            call,
            ttl_s_max: node.whole("ttl_s_max"),
            lists_max: node.size("lists_max"),
            bytes_max: node.size("bytes_max"),
            calls_per_s_max: node.whole("calls_per_s_max"),
            failure_mode,
        })
    }
}
