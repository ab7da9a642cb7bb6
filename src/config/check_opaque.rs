//! Issuers whose tokens are opaque: who is asked about them, and which token is whose.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use super::{Access, Config, HostKind, Unmatched};
use crate::jwt::introspection::{
    ClientAuth, Introspection, IntrospectionKind, OpaqueTokens, Response,
};
use crate::jwt::issuer::IssuerMatch;
use crate::rate_limit::KeyPart;
use crate::signature::SigningKey;

/// Fields that are about JWTs.
const OF_JWTS: &[&str] =
    &["credentials", "encrypted", "exp", "lifetime_from", "lifetime_s_max", "typ"];

/// Fields that are about keys.
const OF_KEYS: &[&str] = &[
    "algorithms",
    "keys",
    "jwks_uri",
    "discovery",
    "jwks",
    "allow_weak_secret",
    "cluster",
    "timeout_ms",
    "retries",
    "headers",
    "allow_http",
];

/// Signatures with RS256 a second that are a good third of a worker's time.
const RS256_CALLS_PER_S: u64 = 60;

/// Whether an issuer's tokens are opaque, and what is said of them signed: then it has keys.
pub(super) fn has_signed_answers(issuer: &Node<'_>) -> bool {
    issuer.text("tokens") == Some("opaque")
        && issuer.object("introspection").is_some_and(|of| of.text("response") == Some("jwt"))
}

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
        let of_keys = if has_signed_answers(node) { &[] } else { OF_KEYS };
        for name in OF_JWTS.iter().chain(of_keys).filter(|name| node.has(name)) {
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
            Some("private_key_jwt") => ClientAuth::PrivateKeyJwt,
            _ => ClientAuth::Basic,
        };
        let client_key = self.client_key(node, client_auth);
        match client_auth {
            ClientAuth::Mtls | ClientAuth::PrivateKeyJwt => {
                let beside = shown_text(node.text("client_auth").unwrap_or_default());
                if !node.has("client_id") {
                    let expected = format!("a client id beside client_auth: {beside}");
                    self.report.error(&node.at("client_id"), expected, "nothing");
                }
                if node.has("client_secret") {
                    let expected = format!("no secret beside client_auth: {beside}");
                    self.report.error(&node.at("client_secret"), expected, "one");
                }
                if client_auth == ClientAuth::Mtls && self.host == HostKind::Kong {
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
        let response = match node.text("response") {
            Some("jwt") => Response::Jwt,
            _ => Response::Json,
        };
        if response == Response::Jwt && !node.has("client_id") {
            let expected = "a client id beside response: \"jwt\", which an answer has to name";
            self.report.error(&node.at("client_id"), expected, "nothing");
        }
        Some(Introspection {
            // The issuer's digest names what is kept.
            digest: [0; 32],
            uri: uri?,
            call,
            kind: IntrospectionKind::Oauth,
            response,
            client_auth,
            client_id: node.owned("client_id"),
            client_secret: node.secret("client_secret").cloned(),
            client_key,
            ttl_s_max: node.whole("ttl_s_max"),
            negative_ttl_s: node.whole("negative_ttl_s"),
            stale_s_max: node.whole("stale_s_max"),
            calls_per_s_max: node.whole("calls_per_s_max"),
        })
    }

    /// The filter's own private key at an endpoint.
    fn client_key(&mut self, node: &Node<'_>, client_auth: ClientAuth) -> Option<SigningKey> {
        let path = node.at("client_key");
        if client_auth != ClientAuth::PrivateKeyJwt {
            if node.has("client_key") {
                let expected = "no key without client_auth: \"private_key_jwt\"";
                self.report.error(&path, expected, "one");
            }
            return None;
        }
        if !node.has("client_key") {
            let expected = "a private key beside client_auth: \"private_key_jwt\"";
            self.report.error(&path, expected, "nothing");
        }
        let text = node.secret("client_key")?.expose();
        let key = std::str::from_utf8(text).ok().and_then(|text| SigningKey::parse(text).ok());
        if key.is_none() {
            let expected = "a private key for ES256, RS256 (of 2048 to 4096 bits) or EdDSA, as PEM (PKCS #8) or JWK";
            self.report.error(&path, expected, "something else");
        }
        if key.as_ref().is_some_and(|key| key.algorithm() == "RS256")
            && node.whole("calls_per_s_max") > RS256_CALLS_PER_S
        {
            let message = "signing with RS256 takes about 6 ms a call (2048 bits), and so up to the whole of a worker at this calls_per_s_max; ES256 and EdDSA take less than one";
            self.report.warn(&path, message);
        }
        key
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
