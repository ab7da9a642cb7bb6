//! URLs and how they are called.

use super::check::Check;
use super::error::shown_text;
use super::host::Cluster;
use super::read::Node;
use super::syntax;
use crate::callout::{Callout, Uri};

/// Fields of an HTTP message that a callout's `headers` can't set: they are the host's.
const CALL_HEADERS_REFUSED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Check {
    /// A URL that may have to be https. `key`: `{key}` must stand in its path, once.
    pub(super) fn url(&mut self, node: &Node<'_>, name: &str, key: bool) -> Option<Uri> {
        let text = node.text(name)?;
        let path = node.at(name);
        // Braces are no characters of URLs; a place holder stands for ones that are.
        let plain = if key { text.replacen("{key}", "key", 1) } else { text.to_owned() };
        let uri = match crate::callout::uri(&plain) {
            Ok(uri) if !plain.contains(['{', '}']) => uri,
            Ok(_) => {
                let hint =
                    if key { "{key} stands in it more than once" } else { "it holds a brace" };
                self.report.error(
                    &path,
                    "an absolute URL",
                    format_args!("{} ({hint})", shown_text(text)),
                );
                return None;
            }
            Err(why) => {
                self.report.error(
                    &path,
                    "an absolute URL",
                    format_args!("{} ({why})", shown_text(text)),
                );
                return None;
            }
        };
        let allow_http = node.flag("allow_http");
        if !uri.https && !allow_http {
            let got = format!("{} (set allow_http to true to accept it)", shown_text(text));
            self.report.error(&path, "an https URL", got);
            return None;
        }
        if !uri.https && !is_loopback(&uri.host) {
            self.report.warn(&path, "without TLS its answers can be read and replaced on the way");
        }
        if !key {
            return Some(uri);
        }
        let split = text.split_once("{key}");
        let in_path = split
            .is_some_and(|(before, _)| before.splitn(4, '/').count() == 4 && !before.contains('?'));
        if !in_path {
            self.report.error(&path, "{key} in the path", shown_text(text));
            return None;
        }
        // With the place holder where it was.
        let start = text.find("://").map_or(0, |at| at + 3);
        let slash =
            text.get(start..).and_then(|rest| rest.find('/')).map_or(start, |at| start + at);
        Some(Uri { path: text.get(slash..).unwrap_or("/").to_owned(), ..uri })
    }

    /// How a URL of this object is called.
    pub(super) fn callout(&mut self, node: &Node<'_>) -> Callout {
        let cluster = node.owned("cluster");
        if cluster.is_none() && !node.has("cluster") {
            match self.host.needs().cluster {
                Cluster::Needed => {
                    let got = "nothing (Envoy sends a call to a cluster, not to the URL's host)";
                    self.report.error(&node.at("cluster"), "the name of an Envoy cluster", got);
                }
                Cluster::MayBeNeeded => self
                    .report
                    .warn(&node.at("cluster"), "absent; Envoy needs the name of a cluster here"),
                Cluster::Unused => {}
            }
        }
        let mut headers = Vec::new();
        for (path, name, value) in node.members("headers") {
            let name = name.to_ascii_lowercase();
            if CALL_HEADERS_REFUSED.contains(&name.as_str()) {
                self.report.error(&path, "a header that isn't the host's own", shown_text(&name));
            } else if headers.iter().any(|(other, _)| *other == name) {
                self.report.error(&path, "each header once, whatever its case", "a second one");
            }
            let super::json::Json::Secret(secret) = value else { continue };
            if !syntax::is_header_value(secret.expose()) {
                self.report.error(
                    &path,
                    "a header's value without line breaks, control characters and space around it",
                    "another one",
                );
            }
            headers.push((name, secret.clone()));
        }
        Callout {
            cluster,
            timeout_ms: node.whole("timeout_ms"),
            retries: node.whole_32("retries"),
            headers,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}
