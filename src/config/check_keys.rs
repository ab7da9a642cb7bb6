//! What verifies tokens: keys in the document, JWK Sets, credentials.

use std::sync::Arc;

use super::check::{Check, one_of, repeated};
use super::check_claims::secret_encoding;
use super::error::shown_text;
use super::json::Json;
use super::read::Node;
use crate::callout::Uri;
use crate::jwt::issuer::IssuerMatch;
use crate::signature::jwk_set;
use crate::signature::source::{
    Credential, Credentials, JwksAt, JwksCache, KeySource, Lookup, SecretEncoding,
};
use crate::signature::{AlgorithmSet, KeyError, VerifyKey};

impl Check {
    /// Keys in the document.
    pub(super) fn inline_keys(
        &mut self,
        issuer: &Node<'_>,
        matcher: Option<&IssuerMatch>,
        algorithms: AlgorithmSet,
    ) -> Option<KeySource> {
        let admits = |of: &str| matcher.is_none_or(|matcher| matcher.admits_key_of(of));
        let weak = issuer.flag("allow_weak_secret");
        let mut all = Vec::new();
        for node in issuer.objects("keys") {
            match one_of(self, &node, &["pem", "jwk", "jwks", "x509", "secret"]) {
                Some("pem") => all.extend(self.pem_of(&node, algorithms)),
                Some("secret") => {
                    all.extend(self.hmac(&node, algorithms, weak, SecretEncoding::Utf8))
                }
                Some("x509") => {
                    if matches!(node.get("x509"), Some(Json::Object(members)) if members.is_empty())
                    {
                        self.report.error(&node.at("x509"), "certificates by kid", "none");
                    }
                    for (path, kid, pem) in node.members("x509") {
                        let Json::Secret(pem) = pem else { continue };
                        all.extend(
                            self.pem(&path, pem.expose(), algorithms)
                                .map(|key| key.with_kid(Some(kid.to_owned()))),
                        );
                    }
                }
                Some("jwk") => {
                    let Some(json) = node.get("jwk") else { continue };
                    let value = json.to_value();
                    if value.get("kty").is_some_and(|kty| kty == "oct") {
                        self.report.warn(&node.at("jwk"), "a secret written in the document itself; use secret with { \"env\": \"NAME\" }");
                    }
                    let text = value.to_string();
                    let key = match weak {
                        true => VerifyKey::from_jwk_allowing_weak(&text, algorithms),
                        false => VerifyKey::from_jwk(&text, algorithms),
                    };
                    all.extend(self.key(&node.at("jwk"), key));
                }
                Some(_) => {
                    let Some(json) = node.get("jwks") else { continue };
                    let text = json.to_value().to_string();
                    let path = node.at("jwks");
                    let set = jwk_set::parse(text.as_bytes(), algorithms, 1000, 1_048_576);
                    match set.map(|set| set.admitted(admits)) {
                        Ok(set) if set.keys.is_empty() => {
                            self.report.error(
                                &path,
                                format_args!("a JWK Set with a public key for {algorithms}"),
                                "one without",
                            );
                        }
                        Ok(set) => {
                            for left_out in &set.left_out {
                                let kid = left_out
                                    .kid
                                    .as_deref()
                                    .map_or("without kid".to_owned(), shown_text);
                                self.report.warn(
                                    &path,
                                    format_args!("the key {kid} is left out: {}", left_out.why),
                                );
                            }
                            all.extend(set.keys);
                        }
                        Err(error) => self.report.say(&path, error.to_string()),
                    }
                }
                None => {}
            }
        }
        for (index, key) in all.iter().enumerate() {
            let twin = all
                .iter()
                .take(index)
                .any(|other| other.kid().is_some() && other.kid() == key.kid());
            if twin {
                self.report.warn(&issuer.at("keys"), "two keys have the same kid");
            }
        }
        (!all.is_empty()).then(|| KeySource::Inline(Arc::new(all)))
    }

    fn pem_of(&mut self, node: &Node<'_>, algorithms: AlgorithmSet) -> Option<VerifyKey> {
        let pem = node.secret("pem")?;
        self.pem(&node.at("pem"), pem.expose(), algorithms)
    }

    fn pem(&mut self, path: &str, pem: &[u8], algorithms: AlgorithmSet) -> Option<VerifyKey> {
        let Ok(text) = std::str::from_utf8(pem) else {
            self.report.error(path, "PEM", "no text");
            return None;
        };
        self.key(path, VerifyKey::from_pem(text, algorithms))
    }

    fn hmac(
        &mut self,
        node: &Node<'_>,
        algorithms: AlgorithmSet,
        weak: bool,
        encoding: SecretEncoding,
    ) -> Option<VerifyKey> {
        let secret = node.secret("secret")?;
        let Some(secret) = encoding.decode(secret.expose()) else {
            let got = "something else (secret_encoding says so)";
            self.report.error(&node.at("secret"), "base64 or base64url", got);
            return None;
        };
        let key =
            self.key(&node.at("secret"), VerifyKey::from_secret(&secret, algorithms, weak))?;
        if key.is_weak() {
            self.report.warn(
                &node.at("secret"),
                "shorter than the hash: anyone who has one token can try out secrets of this length",
            );
        }
        Some(key)
    }

    fn key(&mut self, path: &str, key: Result<VerifyKey, KeyError>) -> Option<VerifyKey> {
        match key {
            Ok(key) => Some(key),
            Err(error) => {
                let words = match error {
                    // The label is a part of what stands in the place of a secret.
                    KeyError::PemLabel(_) => "expected a PEM block PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, got another one".to_owned(),
                    other => other.to_string(),
                };
                let words = if words.starts_with("expected ") {
                    words
                } else {
                    format!("expected a usable key, got this: {words}")
                };
                self.report.say(path, words);
                None
            }
        }
    }

    /// A JWK Set, at an address of its own or one that discovery tells.
    pub(super) fn jwks(
        &mut self,
        node: &Node<'_>,
        matcher: Option<&IssuerMatch>,
    ) -> Option<KeySource> {
        let call = self.callout(node);
        let at = if node.has("jwks_uri") {
            self.url(node, "jwks_uri", false).map(JwksAt::Uri)
        } else {
            self.discovery(node, matcher).map(JwksAt::Discovery)
        };
        let jwks = node.object_or_default("jwks");
        let cache = JwksCache {
            ttl_s: jwks.whole("ttl_s"),
            // Who says how soon a removed key stops isn't overruled by the server's Cache-Control.
            ttl_s_max: jwks
                .whole_given("ttl_s_max")
                .or(jwks.whole_given("ttl_s"))
                .unwrap_or(jwks.whole("ttl_s_max")),
            stale_s_max: jwks.whole("stale_s_max"),
            refetch_s: jwks.whole("refetch_s"),
            keys_max: jwks.size("keys_max"),
            bytes_max: jwks.size("bytes_max"),
        };
        if cache.ttl_s > cache.ttl_s_max {
            let got = format!("{} beside ttl_s {}", cache.ttl_s_max, cache.ttl_s);
            self.report.error(&jwks.at("ttl_s_max"), "at least ttl_s", got);
        }
        let set_cluster = jwks.owned("cluster");
        if set_cluster.is_some() && node.has("jwks_uri") {
            let got = "one (beside jwks_uri, the issuer's own cluster is the set's)";
            self.report.error(&jwks.at("cluster"), "no cluster without discovery", got);
        }
        Some(KeySource::Jwks { at: at?, call, set_cluster, cache })
    }

    fn discovery(&mut self, node: &Node<'_>, matcher: Option<&IssuerMatch>) -> Option<Uri> {
        let path = node.at("discovery");
        let exact = match matcher? {
            IssuerMatch::Exact(issuer) => issuer,
            IssuerMatch::Template(_) | IssuerMatch::Any => {
                let got = "a template or \"*\" (the metadata names one issuer, which must equal the configured one)";
                self.report.error(&node.at("issuer"), "an exact issuer beside discovery", got);
                return None;
            }
        };
        match node.get("discovery")? {
            Json::Bool(true) => {
                // OpenID Connect Discovery 1.0, section 4.1: a slash at the issuer's end is
                // dropped.
                let below = exact.strip_suffix('/').unwrap_or(exact);
                let text = format!("{below}/.well-known/openid-configuration");
                match crate::callout::uri(&text) {
                    Ok(uri) if !exact.contains('?') && (uri.https || node.flag("allow_http")) => {
                        Some(uri)
                    }
                    other => {
                        let hint = match other {
                            Ok(_) if !exact.contains('?') => "set allow_http to true to accept it",
                            _ => {
                                "give the address of the metadata, or make the issuer an https URL"
                            }
                        };
                        self.report.error(
                            &path,
                            "an issuer that is an https URL beside true",
                            format_args!("{} ({hint})", shown_text(exact)),
                        );
                        None
                    }
                }
            }
            Json::Bool(false) => {
                self.report.error(&path, "true or an absolute URL", "false (leave it out)");
                None
            }
            _ => self.url(node, "discovery", false),
        }
    }

    /// One key for each credential, in the document or looked up.
    pub(super) fn credentials(
        &mut self,
        node: &Node<'_>,
        weak: bool,
        algorithms: AlgorithmSet,
    ) -> Option<KeySource> {
        if !node.has("inline") && !node.has("lookup") {
            self.report.error(&node.path, "inline, lookup or both", "neither");
        }
        let nodes = node.objects("inline");
        for (path, key) in
            repeated(nodes.iter().filter_map(|node| Some((node.at("key"), node.text("key")?))))
        {
            self.report.error(&path, "a key that no other credential has", shown_text(key));
        }
        let encoding = secret_encoding(node);
        let mut inline = Vec::new();
        for credential in &nodes {
            let verify = match one_of(self, credential, &["secret", "pem"]) {
                Some("secret") => self.hmac(credential, algorithms, weak, encoding),
                Some(_) => self.pem_of(credential, algorithms),
                None => None,
            };
            let (Some(verify), Some(key)) = (verify, credential.owned("key")) else { continue };
            inline.push(Credential {
                key,
                verify: Arc::new(verify),
                consumer: credential.owned("consumer"),
            });
        }
        let lookup = node.object("lookup").and_then(|node| self.lookup(&node));
        let allow_weak_secret = weak;
        Some(KeySource::Credentials(Credentials { inline, lookup, allow_weak_secret, encoding }))
    }

    fn lookup(&mut self, node: &Node<'_>) -> Option<Lookup> {
        let call = self.callout(node);
        let uri = self.url(node, "uri", true);
        let consumer_uri = self.url(node, "consumer_uri", true);
        Some(Lookup {
            uri: uri?,
            consumer_uri,
            call,
            ttl_s: node.whole("ttl_s"),
            negative_ttl_s: node.whole("negative_ttl_s"),
            calls_per_s_max: node.whole("calls_per_s_max"),
        })
    }
}
