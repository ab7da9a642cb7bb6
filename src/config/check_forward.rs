//! What goes to the API: claims, and the headers that they may become.

use super::check::Check;
use super::error::shown_text;
use super::json::Json;
use super::read::Node;
use super::syntax;
use crate::jwt::ClaimPath;
use crate::jwt::issuer::Forward;

/// Names that headers for the API may not have: framing, routing, credentials, and what the filter
/// sets itself.
const FORWARD_REFUSED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-anonymous-consumer",
    "x-credential-identifier",
    "x-real-ip",
    "x-request-id",
];
const FORWARD_REFUSED_STARTS: &[&str] =
    &["x-consumer-", "x-forwarded-", "x-envoy-", "x-kong-", "proxy-", "sec-", "herdgate-", ":"];
/// What of `X-Forwarded-...` says who a user is: no gateway makes these, and APIs behind a login
/// proxy read them.
const FORWARD_USER: &[&str] = &[
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-name",
    "x-forwarded-preferred-username",
    "x-forwarded-roles",
    "x-forwarded-tenant",
    "x-forwarded-user",
];

impl Check {
    /// What goes to the API.
    pub(super) fn forward(&mut self, issuer: &Node<'_>) -> Forward {
        let node = issuer.object_or_default("forward");
        let mut claims: Vec<(ClaimPath, String)> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for (path, name, header) in node.members("claims") {
            let (Some(claim), Json::Text(header)) = (syntax::claim_path(name), header) else {
                continue;
            };
            claims.extend(
                self.forward_header(&path, header, &mut taken).map(|header| (claim, header)),
            );
        }
        for entry in node.objects("claims") {
            let (Some(claim), Some(header)) = (entry.claim_path("claim"), entry.text("header"))
            else {
                continue;
            };
            claims.extend(
                self.forward_header(&entry.at("header"), header, &mut taken)
                    .map(|header| (claim, header)),
            );
        }
        let payload_header = node.text("payload_header");
        let payload_header = payload_header
            .and_then(|header| self.forward_header(&node.at("payload_header"), header, &mut taken));
        Forward {
            claims,
            token: node.flag("token"),
            payload_header,
            claim_bytes_max: node.size("claim_bytes_max"),
        }
    }

    fn forward_header(
        &mut self,
        path: &str,
        header: &str,
        taken: &mut Vec<String>,
    ) -> Option<String> {
        let name = header.to_ascii_lowercase();
        let refused = !FORWARD_USER.contains(&name.as_str())
            && (FORWARD_REFUSED.contains(&name.as_str())
                || FORWARD_REFUSED_STARTS.iter().any(|start| name.starts_with(start)));
        if refused {
            let got =
                format!("{} (it belongs to HTTP, the gateway or this filter)", shown_text(header));
            self.report.error(path, "a header of your own", got);
            return None;
        }
        if name.contains('_') {
            let got = format!(
                "{} (write - for _: many servers read x_user as x-user)",
                shown_text(header)
            );
            self.report.error(path, "a header's name without _", got);
            return None;
        }
        if taken.contains(&name) {
            self.report.error(
                path,
                "a header that this issuer doesn't fill with another value",
                shown_text(header),
            );
            return None;
        }
        taken.push(name.clone());
        Some(name)
    }
}
