//! Issuers whose tokens are opaque: who is asked about them, and which token is whose.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use super::{Access, Config, HostKind, Unmatched};
use crate::jwt::introspection::{ClientAuth, Introspection, IntrospectionKind, OpaqueTokens};
use crate::jwt::issuer::IssuerMatch;
use crate::rate_limit::KeyPart;

/// Fields that are about JWTs and their keys.
const OF_JWTS: &[&str] = &[
    "algorithms",
    "keys",
    "jwks_uri",
    "discovery",
    "jwks",
    "credentials",
    "allow_weak_secret",
    "exp",
    "lifetime_from",
    "lifetime_s_max",
    "typ",
    "encrypted",
    "cluster",
    "timeout_ms",
    "retries",
    "headers",
    "allow_http",
];

impl Check {
    /// How an issuer's opaque tokens are known; `Some(None)` if they are JWTs.
    pub(super) fn opaque_tokens(
        &mut self,
        node: &Node<'_>,
        matcher: Option<&IssuerMatch>,
    ) -> Option<Option<OpaqueTokens>> {
        if node.text("tokens") != Some("opaque") {
            for name in ["token_prefix", "introspection"] {
                if node.has(name) {
                    let expected = "no such field without tokens: \"opaque\"";
                    self.report.error(&node.at(name), expected, "one");
                }
            }
            return Some(None);
        }
        for name in OF_JWTS.iter().filter(|name| node.has(name)) {
            let expected = "no such field beside tokens: \"opaque\"";
            self.report.error(&node.at(name), expected, "one (the endpoint says what they mean)");
        }
        let forward = node.object_or_default("forward");
        if forward.has("payload_header") {
            let got = "one (an opaque token has no payload)";
            self.report.error(&forward.at("payload_header"), "no such field", got);
        }
        if matcher.is_some_and(|matcher| !matches!(matcher, IssuerMatch::Exact(_))) {
            let got = "a template or \"*\" (the endpoint is one issuer's)";
            self.report.error(&node.at("issuer"), "an exact issuer beside tokens: \"opaque\"", got);
        }
        let Some(endpoint) = node.object("introspection") else {
            if !node.has("introspection") {
                let expected = "the endpoint that knows its tokens, beside tokens: \"opaque\"";
                self.report.error(&node.at("introspection"), expected, "nothing");
            }
            return None;
        };
        let introspection = self.token_introspection(&endpoint)?;
        Some(Some(OpaqueTokens {
            prefix: node.owned("token_prefix").unwrap_or_default(),
            introspection,
        }))
    }

    fn token_introspection(&mut self, node: &Node<'_>) -> Option<Introspection> {
        let call = self.callout(node);
        let uri = self.url(node, "uri", false);
        let client_auth = match node.text("client_auth") {
            Some("post") => ClientAuth::Post,
            Some("mtls") => ClientAuth::Mtls,
            _ => ClientAuth::Basic,
        };
        match client_auth {
            ClientAuth::Mtls => {
                if !node.has("client_id") {
                    let expected = "a client id beside client_auth: \"mtls\"";
                    self.report.error(&node.at("client_id"), expected, "nothing");
                }
                if node.has("client_secret") {
                    let expected = "no secret beside client_auth: \"mtls\"";
                    self.report.error(&node.at("client_secret"), expected, "one");
                }
                if self.host == HostKind::Kong {
                    let got = "\"mtls\" (Kong's calls carry no certificate)";
                    self.report.error(&node.at("client_auth"), "another way on Kong", got);
                }
            }
            ClientAuth::Basic | ClientAuth::Post => {
                let pairs = [("client_id", "client_secret"), ("client_secret", "client_id")];
                for (one, other) in pairs {
                    if node.has(one) && !node.has(other) {
                        let expected = format_args!("a value beside {one}").to_string();
                        self.report.error(&node.at(other), expected, "nothing");
                    }
                }
                // RFC 7662, section 2.1: the endpoint must require some form of authorization.
                if !node.has("client_id") && !node.has("headers") {
                    self.report.warn(&node.path, "neither client_id nor headers: an endpoint that answers to anyone helps to guess tokens");
                }
            }
        }
        // "json" is all that there is yet.
        let _ = node.text("response");
        Some(Introspection {
            // The issuer's digest names what is kept.
            digest: [0; 32],
            uri: uri?,
            call,
            kind: IntrospectionKind::Oauth,
            client_auth,
            client_id: node.owned("client_id"),
            client_secret: node.secret("client_secret").cloned(),
            ttl_s_max: node.whole("ttl_s_max"),
            negative_ttl_s: node.whole("negative_ttl_s"),
            stale_s_max: node.whole("stale_s_max"),
            calls_per_s_max: node.whole("calls_per_s_max"),
        })
    }

    /// What can be said of opaque tokens only by rules and issuers together. Indices are right only
    /// if nothing was left out.
    pub(super) fn opaque_together(&mut self, config: &Config) {
        for (index, issuer) in config.issuers.iter().enumerate() {
            let Some(opaque) = &issuer.opaque else { continue };
            let path = format!("issuers[{index}]");
            let earlier = config.issuers.iter().enumerate().take(index);
            for (other_index, other) in earlier {
                let Some(other_opaque) = &other.opaque else { continue };
                let (ours, theirs) = (&opaque.prefix, &other_opaque.prefix);
                if together_at(config, index, other_index)
                    && (ours.starts_with(theirs.as_str()) || theirs.starts_with(ours.as_str()))
                {
                    let got = if ours.is_empty() { "nothing".to_owned() } else { shown_text(ours) };
                    self.report.error(
                        &format!("{path}.token_prefix"),
                        format_args!("a prefix that tells its tokens from those of {}, which a rule admits too", other.name),
                        got,
                    );
                }
            }
            if opaque.prefix.is_empty() && !is_limited_by_address(config, index) {
                let why = "without token_prefix, and without a limit by address where it is admitted, any random string causes a call to the endpoint, up to calls_per_s_max";
                self.report.warn(&path, why);
            }
        }
    }
}

/// Whether some request may carry a token of either.
fn together_at(config: &Config, one: usize, other: usize) -> bool {
    let admits = |rule: &super::Rule| {
        rule.access != Access::Public
            && rule
                .requires
                .issuers
                .as_ref()
                .is_none_or(|list| list.contains(&one) && list.contains(&other))
    };
    config.unmatched == Unmatched::Required || config.rules.iter().any(admits)
}

/// Whether each rule that admits an issuer has a limit by the client's address.
fn is_limited_by_address(config: &Config, issuer: usize) -> bool {
    let by_address = |index: &usize| {
        config.rate_limits.get(*index).is_some_and(|limit| limit.key == [KeyPart::Address])
    };
    let mut admitting = config.rules.iter().filter(|rule| {
        rule.access != Access::Public
            && rule.requires.issuers.as_ref().is_none_or(|list| list.contains(&issuer))
    });
    config.unmatched == Unmatched::Refuse
        && admitting.all(|rule| rule.limits.iter().any(by_address))
}
