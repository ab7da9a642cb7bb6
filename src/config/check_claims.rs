//! Which claims say whose a token is, and how its life is counted.

use super::check::Check;
use super::read::Node;
use crate::jwt::ClaimPath;
use crate::jwt::issuer::{ExpPolicy, LifetimeFrom};
use crate::signature::source::SecretEncoding;

impl Check {
    /// From when `lifetime_s_max` counts.
    pub(super) fn lifetime_from(&mut self, issuer: &Node<'_>, exp: ExpPolicy) -> LifetimeFrom {
        if issuer.text("lifetime_from") != Some("now") {
            return LifetimeFrom::Iat;
        }
        let path = issuer.at("lifetime_from");
        if !issuer.has("lifetime_s_max") {
            self.report.error(&path, "lifetime_s_max beside it", "nothing that it could bound");
        }
        if exp != ExpPolicy::Required {
            let got = "\"now\" (nothing else would end a token)";
            self.report.error(&path, "\"iat\" where exp isn't required", got);
        }
        LifetimeFrom::Now
    }

    /// The claim that names a token's consumer.
    pub(super) fn consumer_claim(&mut self, issuer: &Node<'_>) -> Option<ClaimPath> {
        if issuer.has("consumer_claim") && issuer.has("credentials") {
            let got = "one (a credential has its consumer)";
            self.report.error(&issuer.at("consumer_claim"), "none beside credentials", got);
        }
        issuer.claim_path("consumer_claim")
    }

    /// The claim that names a token's credential.
    pub(super) fn credential_claim(&self, issuer: &Node<'_>) -> Option<ClaimPath> {
        issuer.object("credentials")?.claim_path("claim")
    }
}

/// How the secrets of credentials are written.
pub(super) fn secret_encoding(credentials: &Node<'_>) -> SecretEncoding {
    match credentials.text("secret_encoding") {
        Some("base64") => SecretEncoding::Base64,
        _ => SecretEncoding::Utf8,
    }
}
