//! Token endpoints, introspection and revocation.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use crate::jwt::introspection::{ClientAuth, Introspection, IntrospectionKind, Response};
use crate::rate_limit::{KeyPart, RateLimit};
use crate::request::path::{PathMatch, PathPolicy};
use crate::token_endpoint::{Reuse, TokenEndpoint};

/// Fields that say when, how often and for whom the server is called, and nothing of its answer: to
/// change them forgets none. Any other field counts.
const ENDPOINT_PACE: &[&str] = &[
    "wait_ms_max",
    "lease_ms",
    "upstream_calls_max",
    "waiters_max",
    "body_bytes_max",
    "refresh_ahead",
    "coalesce_refresh",
    "limits",
];
/// The same of calls of our own.
const CALL_PACE: &[&str] = &["timeout_ms", "retries"];

impl Check {
    /// All token endpoints.
    #[inline(never)]
    pub(super) fn token_endpoints(
        &mut self,
        document: &Node<'_>,
        paths: PathPolicy,
        limits: &[RateLimit],
    ) -> Vec<TokenEndpoint> {
        let mut endpoints: Vec<TokenEndpoint> = Vec::new();
        let mut taken: Vec<(PathMatch, Option<String>)> = Vec::new();
        for node in document.objects("token_endpoints") {
            let endpoint = self.token_endpoint(&node, paths, limits);
            for (name, text, found) in endpoint.places() {
                let same = |(other, host): &(PathMatch, Option<String>)| {
                    other.covers(&found)
                        && (host.is_none() || endpoint.host.is_none() || *host == endpoint.host)
                };
                if taken.iter().any(same) {
                    self.report.error(
                        &node.at(name),
                        "a path that no other token or revocation endpoint has",
                        shown_text(text),
                    );
                }
                taken.push((found, endpoint.host.clone()));
            }
            endpoints.push(endpoint);
        }
        if !endpoints.is_empty() && self.host.needs().waits_at_uri {
            let kong = document.object_or_default("kong");
            if !kong.has("wait_uri") {
                self.report.warn(&kong.at("wait_uri"), "absent; without it identical token calls that come together all go to the server");
            }
        }
        endpoints
    }

    fn token_endpoint(
        &mut self,
        node: &Node<'_>,
        paths: PathPolicy,
        limits: &[RateLimit],
    ) -> TokenEndpoint {
        let (path, path_template) = self.endpoint_path(node, paths);
        let (revocation_path, revocation_template) =
            self.revocation_path(node, path_template.as_ref(), paths);
        let ignore_headers = self.ignore_headers(node);
        let reuse = node.object_or_default("reuse");
        let (wait_ms_max, lease_ms) = (node.whole("wait_ms_max"), node.whole("lease_ms"));
        if lease_ms <= wait_ms_max {
            let got = format!(
                "{lease_ms} (a lease that ends while others wait lets a second call through)"
            );
            self.report.error(
                &node.at("lease_ms"),
                format_args!("more than wait_ms_max ({wait_ms_max})"),
                got,
            );
        }
        if reuse.fraction("fraction") == 0.0 {
            self.report.warn(&reuse.at("fraction"), "0 means that no answer is ever reused");
        }
        let indices = self.limits_of(node);
        let by_address =
            |index: &usize| limits.get(*index).is_some_and(|limit| limit.key == [KeyPart::Address]);
        if !indices.iter().any(by_address) {
            let message = "no limit by address alone: one client can try many client ids, and each has a limit of its own";
            self.report.warn(&node.at("limits"), message);
        }
        for limit in indices.iter().filter_map(|index| limits.get(*index)) {
            let of_token = |part: &KeyPart| {
                let in_path = |name: &String| {
                    path_template.as_ref().is_some_and(|template| template.has_capture(name))
                };
                match part {
                    KeyPart::Issuer | KeyPart::Subject | KeyPart::Consumer | KeyPart::Claim(_) => {
                        true
                    }
                    KeyPart::Capture(name) => !in_path(name),
                    KeyPart::ClientId | KeyPart::Address | KeyPart::Header(_) | KeyPart::Route => {
                        false
                    }
                }
            };
            if limit.key.iter().all(of_token) {
                let message = format!(
                    "the limit {} counts all clients together here: a token request has no verified token",
                    limit.name
                );
                self.report.warn(&node.at("limits"), message);
            }
            if limit.key == [KeyPart::ClientId] {
                let message = format!(
                    "the limit {} has client_id alone as its key: anyone who knows the id can lock that client out; add address",
                    limit.name
                );
                self.report.warn(&node.at("limits"), message);
            }
        }
        let waiters = node.whole_given("waiters_max").unwrap_or(self.host.needs().waiters_max);
        TokenEndpoint {
            digest: node.digest_without("herdgate token endpoint v1", ENDPOINT_PACE),
            path,
            path_template,
            host: node.text("host").map(str::to_ascii_lowercase),
            grant_types: node.owned_texts("grant_types"),
            reuse: Reuse {
                fraction: reuse.fraction("fraction"),
                min_remaining_s: reuse.whole("min_remaining_s"),
                max_s: reuse.whole("max_s"),
            },
            jitter: node.fraction("jitter"),
            jitter_grants: node.has("jitter_grants").then(|| node.owned_texts("jitter_grants")),
            negative_ttl_s: node.whole("negative_ttl_s"),
            wait_ms_max,
            lease_ms,
            upstream_calls_max: node.whole_32("upstream_calls_max"),
            waiters_max: u32::try_from(waiters).unwrap_or(u32::MAX),
            body_bytes_max: node.size("body_bytes_max"),
            answer_bytes_max: node.size("answer_bytes_max"),
            revocation_path,
            revocation_template,
            except_clients: node.owned_texts("except_clients"),
            keep_with_cookies: node.flag("keep_with_cookies"),
            ignore_headers,
            default_lifetime_s: node.whole_given("default_lifetime_s"),
            refresh_ahead: node.flag("refresh_ahead"),
            coalesce_refresh: node.flag("coalesce_refresh"),
            limits: indices,
        }
    }

    /// The introspection endpoint.
    #[inline(never)]
    pub(super) fn introspection(&mut self, document: &Node<'_>) -> Option<Introspection> {
        let node = document.object("introspection")?;
        let call = self.callout(&node);
        let uri = self.url(&node, "uri", false);
        let kind = match node.text("kind") {
            Some("status") => IntrospectionKind::Status,
            _ => IntrospectionKind::Oauth,
        };
        for (one, other) in [("client_id", "client_secret"), ("client_secret", "client_id")] {
            if node.has(one) && !node.has(other) {
                self.report.error(&node.at(other), format_args!("a value beside {one}"), "nothing");
            }
        }
        // RFC 7662, section 2.1: the endpoint must require some form of authorization.
        if kind == IntrospectionKind::Oauth && !node.has("client_id") && !node.has("headers") {
            self.report.warn(&node.path, "neither client_id nor headers: an endpoint that answers anyone lets attackers try out tokens");
        }
        Some(Introspection {
            digest: node.digest_without("herdgate introspection v1", CALL_PACE),
            uri: uri?,
            call,
            kind,
            response: Response::Json,
            client_auth: ClientAuth::Basic,
            client_key: None,
            client_id: node.owned("client_id"),
            client_secret: node.secret("client_secret").cloned(),
            ttl_s_max: node.whole("ttl_s_max"),
            negative_ttl_s: node.whole("negative_ttl_s"),
            stale_s_max: 0,
            calls_per_s_max: node.whole("calls_per_s_max"),
        })
    }
}
