//! Issuers: whose tokens are accepted and what verifies them.

use std::sync::Arc;

use super::check::{Check, one_of, repeated};
use super::check_encryption::{encrypted, has_no_signatures};
use super::check_opaque::has_signed_answers;
use super::error::shown_text;
use super::read::Node;
use super::syntax;
use crate::jwt::issuer::Template;
use crate::jwt::issuer::{ExpPolicy, Issuer, IssuerMatch};
use crate::signature::source::KeySource;
use crate::signature::{Algorithm, AlgorithmSet};

impl Check {
    /// All issuers.
    #[inline(never)]
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

    /// Two issuers of JWTs with one `iss` are told apart by their audiences alone.
    fn shared_iss(&mut self, nodes: &[Node<'_>]) {
        let nodes: Vec<&Node<'_>> =
            nodes.iter().filter(|node| node.text("tokens") != Some("opaque")).collect();
        for (index, node) in nodes.iter().enumerate() {
            let Some(iss) = node.text("issuer") else { continue };
            for earlier in
                nodes.iter().take(index).filter(|earlier| earlier.text("issuer") == Some(iss))
            {
                let (ours, theirs) =
                    (node.owned_texts("audiences"), earlier.owned_texts("audiences"));
                let why = if ours.is_empty() || theirs.is_empty() {
                    "issuers with the same iss need audiences that differ".to_owned()
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
        let opaque = self.opaque_tokens(node, matcher.as_ref());
        let has_keys = matches!(opaque, Some(None)) || has_signed_answers(node);
        let has_keys = has_keys && !(matches!(opaque, Some(None)) && has_no_signatures(node));
        let keys = match has_keys {
            true => self.key_source(node, matcher.as_ref(), algorithms),
            // Nothing verifies them: their endpoint says what they mean.
            false => Some(KeySource::Inline(Arc::new(Vec::new()))),
        };
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
            opaque: opaque?,
            encrypted: encrypted(node),
            keys: keys?,
            algorithms,
            audiences: node.owned_texts("audiences"),
            leeway_s: node.whole("leeway_s"),
            lifetime_s_max,
            exp,
            lifetime_from: self.lifetime_from(node, exp),
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
            consumer_claim: self.consumer_claim(node),
            credential_claim: self.credential_claim(node),
        };
        if issuer.ignores_cnf {
            let message = "a thief can use a stolen token that is bound to a key: no request has to prove the key";
            self.report.warn(&node.at("cnf"), message);
        }
        if issuer.opaque.is_some() && issuer.audiences.is_empty() {
            self.report.warn(
                &node.path,
                "without audiences a token for another API is accepted too, and so may be a refresh token: endpoints call both active",
            );
        }
        if matches!(issuer.keys, KeySource::Jwks { .. })
            && issuer.opaque.is_none()
            && issuer.audiences.is_empty()
        {
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
        if !node.has("algorithms") {
            self.report.error(&node.at("algorithms"), "a list of 1 to 18", "nothing");
        }
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
            let is_of_origins = name == "allow_http" && node.has("dpop");
            if !fetched && node.has(name) && !is_of_origins {
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
                "{algorithms} (an attacker could sign with a public key as an HMAC secret: configure two issuers)"
            );
            self.report.error(&path, "either HMAC algorithms or others", got);
        }
        match source {
            // What is wrong with the algorithms was said; every key would be wrong for the same
            // reason.
            "keys" | "credentials" if algorithms.is_empty() => None,
            "keys" => self.inline_keys(node, matcher, algorithms),
            "credentials" => self.credentials(
                &node.object("credentials")?,
                node.flag("allow_weak_secret"),
                algorithms,
            ),
            _ => self.jwks(node, matcher),
        }
    }

    /// Where tokens come from.
    #[inline(never)]
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
                Some("header") => self.header_source(&node),
                Some("cookie") => node.owned("cookie").map(BearerSource::Cookie),
                Some(_) => {
                    self.report.warn(&node.path, "tokens in URLs end up in logs, histories and Referer headers (RFC 6750, section 5.3)");
                    node.owned("query").map(BearerSource::Query)
                }
                None => None,
            };
            if node.has("prefix") && !node.has("header") {
                self.report.error(&node.at("prefix"), "no prefix without header", "one");
            }
            let Some(source) = source else { continue };
            let is_same = |other: &BearerSource| {
                other == &source || (source.header().is_some() && other.header() == source.header())
            };
            if sources.iter().any(is_same) {
                self.report.error(&node.path, "each source once", "a second one");
            }
            if let Some(name) = source.header() {
                let set = issuers.iter().any(|issuer| {
                    let forward = &issuer.forward;
                    forward.claims.iter().any(|(_, header)| header == name)
                        || forward.payload_header.as_deref() == Some(name)
                });
                if set
                    || name == "host"
                    || name == "cookie"
                    || name.starts_with("x-consumer-")
                    || name.starts_with(':')
                {
                    let got = format!(
                        "{} (the filter sets it or reads something else in it)",
                        shown_text(name)
                    );
                    self.report.error(&node.at("header"), "a header that holds nothing else", got);
                }
            }
            sources.push(source);
        }
        sources
    }

    fn header_source(&mut self, node: &Node<'_>) -> Option<crate::request::bearer::BearerSource> {
        use crate::request::bearer::BearerSource;
        let header = node.text("header")?.to_ascii_lowercase();
        let prefix = node.owned("prefix");
        if header != "authorization" {
            return Some(match prefix {
                Some(prefix) => BearerSource::Prefixed { header, prefix },
                None => BearerSource::Header(header),
            });
        }
        // RFC 6750 alone says what stands there.
        if prefix.is_some_and(|prefix| !prefix.trim_end().eq_ignore_ascii_case("bearer")) {
            let got = "another one (Authorization is read as Bearer, RFC 6750, section 2.1)";
            self.report.error(&node.at("prefix"), "\"Bearer \" beside authorization", got);
        }
        Some(BearerSource::Authorization)
    }
}
