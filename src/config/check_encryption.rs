//! Encrypted tokens: which keys open them, and for whom.

use super::check::Check;
use super::error::shown_text;
use super::json::Json;
use super::read::Node;
use crate::config::Decryption;
use crate::jwe::{Encryption, Key, KeyAlgorithm};
use crate::jwt::issuer::Encrypted;

/// Fields without any of which an issuer has nothing that verifies signatures.
const OF_SIGNATURES: &[&str] = &[
    "algorithms",
    "keys",
    "jwks_uri",
    "discovery",
    "jwks",
    "credentials",
    "cluster",
    "timeout_ms",
    "retries",
    "headers",
    "allow_weak_secret",
];

/// Where keys of the same secret, or one key for several issuers, open a door.
const ALONE: &str = "a secret that is this issuer's alone, beside encrypted: \"authenticates\"";

/// What an issuer says of encryption.
pub(super) fn encrypted(issuer: &Node<'_>) -> Encrypted {
    match issuer.text("encrypted") {
        Some("allow") => Encrypted::Allow,
        Some("require") => Encrypted::Require,
        Some("authenticates") => Encrypted::Authenticates,
        _ => Encrypted::Refuse,
    }
}

/// Whether an issuer's tokens are believed for the shared key alone, so that there is nothing to
/// verify signatures with.
pub(super) fn has_no_signatures(issuer: &Node<'_>) -> bool {
    encrypted(issuer) == Encrypted::Authenticates
        && !OF_SIGNATURES.iter().any(|name| issuer.has(name))
}

impl Check {
    /// The keys that open encrypted tokens, and whether each issuer that speaks of encryption has
    /// one.
    #[inline(never)]
    pub(super) fn decryption(&mut self, document: &Node<'_>) -> Decryption {
        let issuers = document.objects("issuers");
        let mut decryption = Decryption::default();
        let section = document.object_or_default("decryption");
        // By the document's position, whatever was left out for its mistakes.
        let mut named: Vec<usize> = Vec::new();
        for node in section.objects("keys") {
            let names = self.issuer_names.clone();
            let of = self.indices(&node, "issuers", &names, "an issuer");
            named.extend(&of);
            let Some(key) = self.decryption_key(&node) else { continue };
            let of_this: Vec<&Node<'_>> =
                of.iter().filter_map(|index| issuers.get(*index)).collect();
            self.key_for(&node, &key, &of_this);
            self.shared_with_another(&node, &key, &of, &decryption, &issuers);
            decryption.keys.push(key);
            decryption.issuers.push(of);
        }
        for (index, issuer) in issuers.iter().enumerate() {
            if encrypted(issuer) != Encrypted::Refuse
                && issuer.text("tokens") != Some("opaque")
                && !named.contains(&index)
            {
                let expected = format!(
                    "a key in decryption.keys that names the issuer {}",
                    issuer.text("name").unwrap_or_default()
                );
                self.report.error(&issuer.at("encrypted"), expected, "none");
            }
        }
        self.many_keys(&section, &decryption);
        decryption
    }

    fn decryption_key(&mut self, node: &Node<'_>) -> Option<Key> {
        let algorithms: Vec<KeyAlgorithm> = node
            .texts("algorithms")
            .iter()
            .filter_map(|(_, name)| KeyAlgorithm::parse(name))
            .collect();
        let encryptions: Vec<Encryption> = node
            .texts("encryptions")
            .iter()
            .filter_map(|(_, name)| Encryption::parse(name))
            .collect();
        let allows = node.flag("allow_rsa_oaep");
        let Some(Json::Secret(jwk)) = node.get("jwk") else { return None };
        let text = String::from_utf8_lossy(jwk.expose());
        match Key::from_jwk(&text, &algorithms, &encryptions) {
            Ok(key) if key.algorithms().is_empty() => {
                if !node.has("algorithms") {
                    let got = "nothing (the JWK has no \"alg\" either)";
                    self.report.error(&node.at("algorithms"), "a list of 1 to 7", got);
                }
                None
            }
            Ok(key) if key.algorithms().contains(&KeyAlgorithm::RsaOaep256) => {
                if !allows {
                    let got = "\"RSA-OAEP-256\" (set allow_rsa_oaep to true to accept it)";
                    self.report.error(&node.at("algorithms"), "algorithms without RSA", got);
                }
                allows.then_some(key)
            }
            Ok(key) => Some(key),
            Err(why) => {
                self.report.say(&node.at("jwk"), why);
                None
            }
        }
    }

    /// Whether a key does for each issuer that it names.
    fn key_for(&mut self, node: &Node<'_>, key: &Key, issuers: &[&Node<'_>]) {
        let path = node.at("issuers");
        for issuer in issuers {
            let name = shown_text(issuer.text("name").unwrap_or_default());
            if issuer.text("tokens") == Some("opaque") {
                let got = format!("{name}, whose tokens are opaque");
                self.report.error(&path, "issuers whose tokens are JWTs", got);
                continue;
            }
            match encrypted(issuer) {
                Encrypted::Refuse => self.report.warn(
                    &path,
                    format_args!("{name} takes no encrypted tokens: its encrypted is \"refuse\""),
                ),
                Encrypted::Authenticates if !key.is_shared() => {
                    let expected = "dir, A128KW or A256KW beside an issuer whose encrypted is \"authenticates\"";
                    let got = "a key to which anyone can encrypt";
                    self.report.error(&node.at("algorithms"), expected, got);
                }
                Encrypted::Authenticates if issuers.iter().any(|one| is_another(one, issuer)) => {
                    let got = "several (each of them could write tokens in the name of the others)";
                    self.report.error(&path, ALONE, got);
                }
                Encrypted::Authenticates | Encrypted::Allow | Encrypted::Require => {}
            }
        }
    }

    /// The same secret written down twice is one secret for all that either names.
    fn shared_with_another(
        &mut self,
        node: &Node<'_>,
        key: &Key,
        of: &[usize],
        earlier: &Decryption,
        issuers: &[Node<'_>],
    ) {
        let believed = |issuer: &&Node<'_>| encrypted(issuer) == Encrypted::Authenticates;
        for (other, of_other) in earlier.keys.iter().zip(&earlier.issuers) {
            let all: Vec<&Node<'_>> =
                of.iter().chain(of_other).filter_map(|index| issuers.get(*index)).collect();
            let one_iss = !all.iter().any(|one| all.iter().any(|two| is_another(one, two)));
            if key.is_same_secret(other) && !one_iss && all.iter().any(believed) {
                let got = "that of another key, which names another issuer";
                self.report.error(&node.at("jwk"), ALONE, got);
            }
            if key.kid().is_some() && key.kid() == other.kid() {
                self.report.warn(&node.at("jwk"), "two keys have the same kid");
            }
        }
    }

    fn many_keys(&mut self, section: &Node<'_>, decryption: &Decryption) {
        let fitting = |algorithm: KeyAlgorithm, encryption: Encryption| {
            decryption.keys.iter().filter(|key| key.is_for(algorithm, encryption)).count()
        };
        let is_full = |algorithm: &KeyAlgorithm| {
            let most = algorithm.tries_max();
            Encryption::ALL.into_iter().any(|one| fitting(*algorithm, one) > most)
        };
        if let Some(algorithm) = KeyAlgorithm::ALL.into_iter().find(is_full) {
            let (most, name) = (algorithm.tries_max(), algorithm.name());
            let message = format!(
                "more than {most} of {name}: a token that names none of them by kid is tried with the first {most} alone"
            );
            self.report.warn(&section.at("keys"), message);
        }
    }
}

/// Whether two entries speak for different parties.
fn is_another(one: &Node<'_>, other: &Node<'_>) -> bool {
    one.text("issuer") != other.text("issuer")
}
