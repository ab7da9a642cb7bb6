//! Issuers: whose tokens are accepted and what verifies them.

use std::sync::Arc;

use super::check::{Check, repeated};
use super::error::shown_text;
use super::json::Json;
use super::read::Node;
use super::syntax;
use crate::callout::Uri;
use crate::jwt::ClaimPath;
use crate::jwt::issuer::Template;
use crate::jwt::issuer::{ExpPolicy, Forward, Issuer, IssuerMatch};
use crate::signature::jwk_set;
use crate::signature::source::{Credential, Credentials, JwksAt, JwksCache, KeySource, Lookup};
use crate::signature::{Algorithm, AlgorithmSet, KeyError, VerifyKey};

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

impl Check {
    /// All issuers.
    pub(super) fn issuers(&mut self, document: &Node<'_>) -> Vec<Issuer> {
        let nodes = document.objects("issuers");
        for (path, name) in
            repeated(nodes.iter().filter_map(|node| Some((node.at("name"), node.text("name")?))))
        {
            self.report.error(&path, "a name that no other issuer has", shown_text(name));
        }
        self.shared_iss(&nodes);
        nodes.iter().filter_map(|node| self.issuer(node)).collect()
    }

    /// Two issuers with one `iss` are told apart by their audiences alone.
    fn shared_iss(&mut self, nodes: &[Node<'_>]) {
        for (index, node) in nodes.iter().enumerate() {
            let Some(iss) = node.text("issuer") else { continue };
            for earlier in
                nodes.iter().take(index).filter(|earlier| earlier.text("issuer") == Some(iss))
            {
                let (ours, theirs) =
                    (node.owned_texts("audiences"), earlier.owned_texts("audiences"));
                let why = if ours.is_empty() || theirs.is_empty() {
                    "both need audiences that differ".to_owned()
                } else if let Some(both) = ours.iter().find(|audience| theirs.contains(audience)) {
                    format!("both name the audience {}", shown_text(both))
                } else {
                    continue;
                };
                let got = format!("that of {} ({why})", earlier.path);
                self.report.error(&node.at("issuer"), "an iss of its own", got);
            }
        }
    }

    fn issuer(&mut self, node: &Node<'_>) -> Option<Issuer> {
        let matcher = self.matcher(node);
        let algorithms: Vec<Algorithm> = node
            .texts("algorithms")
            .iter()
            .filter_map(|(_, name)| Algorithm::parse(name))
            .collect();
        let algorithms = AlgorithmSet::from_slice(&algorithms);
        let keys = self.key_source(node, matcher.as_ref(), algorithms);
        let lifetime_s_max = node.whole_given("lifetime_s_max");
        let exp = match node.text("exp") {
            Some("optional") => ExpPolicy::Optional,
            Some("ignored") => ExpPolicy::Ignored,
            _ => ExpPolicy::Required,
        };
        if exp != ExpPolicy::Required && !node.has("lifetime_s_max") {
            let expected = format!(
                "a number of seconds beside exp: {}",
                shown_text(node.text("exp").unwrap_or_default())
            );
            let got = "nothing (a token without exp is valid for ever unless this bounds it)";
            self.report.error(&node.at("lifetime_s_max"), expected, got);
        }
        if exp == ExpPolicy::Ignored {
            let message = "tokens are accepted after their own exp, until lifetime_s_max ends them; \"optional\" honours an exp that is there";
            self.report.warn(&node.at("exp"), message);
        }
        for (path, name) in repeated(node.texts("audiences").into_iter()) {
            self.report.error(&path, "each audience once", shown_text(name));
        }
        let claims_required = node.claim_paths("claims_required");
        let typ = node.owned("typ");
        if let Some(typ) = typ.as_deref().filter(|typ| !typ.bytes().all(|b| b.is_ascii_graphic())) {
            self.report.error(&node.at("typ"), "a media type such as \"at+jwt\"", shown_text(typ));
        }
        let forward = self.forward(node);
        let issuer = Issuer {
            name: node.owned("name").unwrap_or_default(),
            digest: node.digest("herdgate issuer v1"),
            matcher: matcher?,
            keys: keys?,
            algorithms,
            audiences: node.owned_texts("audiences"),
            leeway_s: node.whole("leeway_s"),
            lifetime_s_max,
            exp,
            typ,
            claims_required: claims_required.into_iter().map(|(_, path)| path).collect(),
            scope_claim: node.claim_path("scope_claim"),
            sunset_s: node
                .text("sunset")
                .and_then(syntax::day_number)
                .map(|day| (day + 1) * 86_400),
            ignores_cnf: node.text("cnf") == Some("ignore"),
            forward,
            consumer: node.owned("consumer"),
        };
        if issuer.ignores_cnf {
            let message = "whoever steals a token that is bound to a key can use it: nothing is asked to prove the key";
            self.report.warn(&node.at("cnf"), message);
        }
        if matches!(issuer.keys, KeySource::Jwks { .. }) && issuer.audiences.is_empty() {
            self.report.warn(
                &node.path,
                "without audiences a token that this issuer made for another API is accepted too",
            );
        }
        Some(issuer)
    }

    fn matcher(&mut self, node: &Node<'_>) -> Option<IssuerMatch> {
        let text = node.text("issuer")?;
        if text == "*" {
            return Some(IssuerMatch::Any);
        }
        if !text.contains(['{', '}']) {
            if text.contains('*') {
                let message = format!(
                    "{} is taken literally; only \"*\" alone means any issuer",
                    shown_text(text)
                );
                self.report.warn(&node.at("issuer"), message);
            }
            return Some(IssuerMatch::Exact(text.to_owned()));
        }
        match Template::parse(text) {
            Ok(template) => Some(IssuerMatch::Template(template)),
            Err(why) => {
                let path = node.at("issuer");
                self.report.error(
                    &path,
                    "a template such as \"mobilev2-{device_id}-{timestamp}\"",
                    format_args!("{} ({why})", shown_text(text)),
                );
                None
            }
        }
    }

    fn key_source(
        &mut self,
        node: &Node<'_>,
        matcher: Option<&IssuerMatch>,
        algorithms: AlgorithmSet,
    ) -> Option<KeySource> {
        const SOURCES: [&str; 4] = ["keys", "jwks_uri", "discovery", "credentials"];
        let given: Vec<&str> = SOURCES.into_iter().filter(|name| node.has(name)).collect();
        let expected = "one of keys, jwks_uri, discovery, credentials";
        let source = match given.as_slice() {
            [one] => *one,
            [] => {
                self.report.error(&node.path, expected, "none of them");
                return None;
            }
            several => {
                self.report.error(&node.path, expected, several.join(" and "));
                return None;
            }
        };
        let fetched = matches!(source, "jwks_uri" | "discovery");
        for name in ["jwks", "cluster", "timeout_ms", "retries", "headers", "allow_http"] {
            if !fetched && node.has(name) {
                self.report.error(
                    &node.at(name),
                    "no such field without jwks_uri or discovery",
                    format_args!("one beside {source}"),
                );
            }
        }
        if fetched && node.has("allow_weak_secret") {
            self.report.error(
                &node.at("allow_weak_secret"),
                "no such field without secrets",
                format_args!("one beside {source}"),
            );
        }
        let hmac = algorithms.iter().any(Algorithm::is_hmac);
        let public = algorithms.iter().any(|algorithm| !algorithm.is_hmac());
        let path = node.at("algorithms");
        if fetched && hmac {
            self.report.error(
                &path,
                "algorithms with public keys",
                format_args!("{algorithms} (a secret is never fetched from {source})"),
            );
        } else if source != "credentials" && hmac && public {
            let got = format!(
                "{algorithms} (who knows a public key could sign with it as a secret: make two issuers of it)"
            );
            self.report.error(&path, "either HMAC algorithms or others", got);
        }
        match source {
            // What is wrong with the algorithms was said; every key would be wrong for the same
            // reason.
            "keys" | "credentials" if algorithms.is_empty() => None,
            "keys" => self.inline_keys(node, algorithms),
            "credentials" => self.credentials(
                &node.object("credentials")?,
                node.flag("allow_weak_secret"),
                algorithms,
            ),
            _ => self.jwks(node, matcher),
        }
    }

    fn inline_keys(&mut self, issuer: &Node<'_>, algorithms: AlgorithmSet) -> Option<KeySource> {
        let weak = issuer.flag("allow_weak_secret");
        let mut all = Vec::new();
        for node in issuer.objects("keys") {
            match one_of(self, &node, &["pem", "jwk", "jwks", "x509", "secret"]) {
                Some("pem") => all.extend(self.pem_of(&node, algorithms)),
                Some("secret") => all.extend(self.hmac(&node, algorithms, weak)),
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
                    match jwk_set::parse(text.as_bytes(), algorithms, 1000, 1_048_576) {
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

    fn hmac(&mut self, node: &Node<'_>, algorithms: AlgorithmSet, weak: bool) -> Option<VerifyKey> {
        let secret = node.secret("secret")?;
        let key = self
            .key(&node.at("secret"), VerifyKey::from_secret(secret.expose(), algorithms, weak))?;
        if key.is_weak() {
            self.report.warn(
                &node.at("secret"),
                "shorter than the hash; whoever has one token can try out such secrets",
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

    fn jwks(&mut self, node: &Node<'_>, matcher: Option<&IssuerMatch>) -> Option<KeySource> {
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
        Some(KeySource::Jwks { at: at?, call, cache })
    }

    fn discovery(&mut self, node: &Node<'_>, matcher: Option<&IssuerMatch>) -> Option<Uri> {
        let path = node.at("discovery");
        let exact = match matcher? {
            IssuerMatch::Exact(issuer) => issuer,
            _ => {
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
                    _ => {
                        let hint =
                            "give the address of the metadata, or make the issuer an https URL";
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

    fn credentials(
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
        let mut inline = Vec::new();
        for credential in &nodes {
            let verify = match one_of(self, credential, &["secret", "pem"]) {
                Some("secret") => self.hmac(credential, algorithms, weak),
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
        Some(KeySource::Credentials(Credentials { inline, lookup, allow_weak_secret: weak }))
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

    fn forward(&mut self, issuer: &Node<'_>) -> Forward {
        let node = issuer.object_or_default("forward");
        let mut claims: Vec<(ClaimPath, String)> = Vec::new();
        let mut taken: Vec<String> = Vec::new();
        for (path, name, header) in node.members("claims") {
            if name.contains("://") && !name.starts_with('[') {
                let names = name.split('.').count();
                let message = format!(
                    "the claim is read as a path of {names} names; write it as a JSON list to keep its dots"
                );
                self.report.warn(&path, message);
            }
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
        let refused = FORWARD_REFUSED.contains(&name.as_str())
            || FORWARD_REFUSED_STARTS.iter().any(|start| name.starts_with(start));
        if refused {
            let got =
                format!("{} (it belongs to HTTP, the gateway or this filter)", shown_text(header));
            self.report.error(path, "a header of your own", got);
            return None;
        }
        if name.contains('_') {
            let got = format!(
                "{} (write - for _: many servers take x_user for x-user)",
                shown_text(header)
            );
            self.report.error(path, "a header's name without _", got);
            return None;
        }
        if taken.contains(&name) {
            self.report.error(
                path,
                "a header that nothing else of this issuer goes to",
                shown_text(header),
            );
            return None;
        }
        taken.push(name.clone());
        Some(name)
    }
}

/// The one field of `names` that an object has; otherwise that is reported.
fn one_of(check: &mut Check, node: &Node<'_>, names: &[&'static str]) -> Option<&'static str> {
    let given: Vec<&'static str> = names.iter().copied().filter(|name| node.has(name)).collect();
    match given.as_slice() {
        [one] => Some(one),
        [] => {
            check.report.error(
                &node.path,
                format_args!("one of {}", names.join(", ")),
                "none of them",
            );
            None
        }
        several => {
            check.report.error(
                &node.path,
                format_args!("one of {}", names.join(", ")),
                several.join(" and "),
            );
            None
        }
    }
}

impl Check {
    /// Where tokens come from.
    pub(super) fn bearer(
        &mut self,
        document: &Node<'_>,
        issuers: &[Issuer],
    ) -> Vec<crate::request::bearer::BearerSource> {
        use crate::request::bearer::BearerSource;
        let mut sources: Vec<BearerSource> = Vec::new();
        let Some(bearer) = document.object("bearer") else {
            return vec![BearerSource::Authorization];
        };
        for node in bearer.objects("sources") {
            let source = match one_of(self, &node, &["header", "cookie", "query"]) {
                Some("header") => node.text("header").map(|name| match name.to_ascii_lowercase() {
                    name if name == "authorization" => BearerSource::Authorization,
                    name => BearerSource::Header(name),
                }),
                Some("cookie") => node.owned("cookie").map(BearerSource::Cookie),
                Some(_) => {
                    self.report.warn(&node.path, "tokens in URLs end up in logs, histories and Referer headers (RFC 6750, section 5.3)");
                    node.owned("query").map(BearerSource::Query)
                }
                None => None,
            };
            let Some(source) = source else { continue };
            if sources.contains(&source) {
                self.report.error(&node.path, "each source once", "a second one");
            }
            if let BearerSource::Header(name) = &source {
                let set = issuers.iter().any(|issuer| {
                    let forward = &issuer.forward;
                    forward.claims.iter().any(|(_, header)| header == name)
                        || forward.payload_header.as_ref() == Some(name)
                });
                if set
                    || name == "host"
                    || name == "cookie"
                    || name.starts_with("x-consumer-")
                    || name.starts_with(':')
                {
                    let got =
                        format!("{} (set by the filter, or read otherwise)", shown_text(name));
                    self.report.error(&node.at("header"), "a header that holds nothing else", got);
                }
            }
            sources.push(source);
        }
        sources
    }
}
