//! `"profile": "stateless"`: what can't work where a host keeps nothing for the filter is refused,
//! with the reason.
//!
//! Such a host has no shared memory, no timers, no metrics and makes no calls for the filter. It
//! allows 16 MiB and a millisecond of its processor for each callback (Google's Service Extensions:
//! "Plugins overview", section "Limitations").

use super::check::Check;
use super::read::Node;
use super::types::{Config, Memory};
use super::{HostKind, Profile};
use crate::jwe::{Key, KeyAlgorithm};
use crate::jwt::issuer::{Encrypted, Issuer};
use crate::signature::source::KeySource;
use crate::signature::{Algorithm, VerifyKey};
use crate::sort;
use crate::time::NS_PER_MS;

/// Fields of the document that work there. A field that isn't named is refused: a new one has to be
/// thought about.
const DOCUMENT: &[&str] = &[
    "$schema",
    "profile",
    "mode",
    "realm",
    "errors",
    "debug_headers",
    "log",
    "cors_preflight",
    "paths",
    "bearer",
    "issuers",
    "on_unknown_issuer",
    "rules",
    "unmatched",
    "shared",
    "memory",
    "resource",
    "decryption",
];

/// Fields of an issuer that work there.
const ISSUER: &[&str] = &[
    "name",
    "issuer",
    "tokens",
    "algorithms",
    "keys",
    "credentials",
    "allow_weak_secret",
    "audiences",
    "exp",
    "leeway_s",
    "lifetime_s_max",
    "lifetime_from",
    "typ",
    "cnf",
    "mtls",
    "claims_required",
    "scope_claim",
    "sunset",
    "consumer",
    "consumer_claim",
    "forward",
    "encrypted",
];

/// Why others don't.
const WHY: &[(&str, &str)] = &[
    ("access_log", "the host takes no properties of a request"),
    ("token_endpoints", "answers are kept in shared memory"),
    ("rate_limits", "limits are counted in shared memory"),
    ("introspection", "the host makes no calls"),
    ("revocation", "the host makes no calls"),
    ("gateways", "the host makes no calls"),
    ("status_list", "the host makes no calls"),
    ("replay", "ids that count once are remembered in shared memory"),
    ("dpop", "proofs count once, and that is remembered in shared memory"),
    ("jwks_uri", "the host makes no calls; give the keys in `keys`"),
    ("discovery", "the host makes no calls; give the keys in `keys`"),
    ("lookup", "the host makes no calls; give the credentials in `inline`"),
    ("route", "the host doesn't tell the route"),
];

/// Why those don't that nobody has thought about.
const UNKNOWN: &str = "it isn't known to work without shared memory, timers, metrics and calls";

/// Bytes of verified tokens in a worker, where the document doesn't say, and at most: the module
/// itself and what a thousand requests at once take besides stay below 16 MiB.
const BYTES: usize = 4 * 1024 * 1024;
const BYTES_MAX: usize = 6 * 1024 * 1024;
/// What opening and verifying one token may take, in nanoseconds.
const COST_NS_MAX: u64 = NS_PER_MS;

impl Check {
    /// Refuses what the host that the document is for can't do. `host` is the one that is there.
    pub(super) fn stateless(&mut self, document: &Node<'_>, host: HostKind) {
        if host == HostKind::Kong {
            let got =
                "\"stateless\" (Kong has shared memory, and needs what the filter does with it)";
            self.report.error(&document.at("profile"), "\"full\" on Kong", got);
        }
        self.refuse(document, DOCUMENT);
        if document.text("on_unknown_issuer") == Some("pass") {
            let got = "\"pass\" (no filter is known to check such tokens there)";
            self.report.error(&document.at("on_unknown_issuer"), "\"refuse\"", got);
        }
        for issuer in document.objects("issuers") {
            self.refuse(&issuer, ISSUER);
            if let Some(credentials) = issuer.object("credentials") {
                self.refuse(&credentials, &["inline", "claim", "secret_encoding"]);
            }
            let requires_iat = issuer.claim_paths("claims_required");
            let requires_iat = requires_iat.iter().any(|(_, path)| path.0 == ["iat"]);
            if let Some(exp @ ("optional" | "ignored")) = issuer.text("exp")
                && !requires_iat
            {
                let got =
                    format!("{exp:?} (when a token was first seen is remembered in shared memory)");
                let expected = "\"required\", or \"iat\" among claims_required";
                self.report.error(&issuer.at("exp"), expected, got);
            }
        }
        for rule in document.objects("rules") {
            if let Some(matches) = rule.object("match").filter(|matches| matches.has("route")) {
                self.refuse_field(&matches, "route");
            }
        }
    }

    fn refuse(&mut self, node: &Node<'_>, works: &[&str]) {
        for name in node.given().into_iter().filter(|name| !works.contains(name)) {
            self.refuse_field(node, name);
        }
    }

    fn refuse_field(&mut self, node: &Node<'_>, name: &str) {
        let why = WHY.iter().find(|(known, _)| *known == name).map_or(UNKNOWN, |(_, why)| why);
        let expected = "nothing in the profile \"stateless\"";
        self.report.error(&node.at(name), expected, format_args!("{name} ({why})"));
    }

    /// A worker's memory.
    #[inline(never)]
    pub(super) fn memory(&mut self, document: &Node<'_>) -> Memory {
        let node = document.object_or_default("memory");
        let bytes_max = match (self.host, node.has("bytes_max")) {
            (HostKind::Stateless, false) => BYTES,
            _ => node.size("bytes_max"),
        };
        if self.host == HostKind::Stateless && bytes_max > BYTES_MAX {
            let expected = format!("at most {BYTES_MAX} in the profile \"stateless\"");
            let got = format!("{bytes_max} (the host allows 16 MiB in all)");
            self.report.error(&node.at("bytes_max"), expected, got);
        }
        Memory { tokens_max: node.size("tokens_max"), bytes_max }
    }

    /// Refuses issuers whose keys can't open and verify a token within a callback's time. Each
    /// index is the document's.
    pub(super) fn costs(&mut self, config: &Config) {
        debug_assert_eq!(config.profile, Profile::Stateless, "costs are bounded there alone");
        let opening_ns = opening_ns(&config.decryption.keys);
        for (index, issuer) in config.issuers.iter().enumerate() {
            let (field, cost_ns) = match &issuer.keys {
                KeySource::Inline(keys) => ("keys", cost_ns(issuer, keys.iter())),
                KeySource::Credentials(credentials) => {
                    let each = credentials.inline.iter();
                    let costs = each.map(|one| cost_ns(issuer, std::iter::once(&*one.verify)));
                    ("credentials", costs.max().unwrap_or_default())
                }
                KeySource::Jwks { .. } => continue,
            };
            if cost_ns > COST_NS_MAX {
                self.too_slow(&format!("issuers[{index}].{field}"), cost_ns);
            } else if issuer.encrypted != Encrypted::Refuse && cost_ns + opening_ns > COST_NS_MAX {
                self.too_slow(&format!("issuers[{index}].encrypted"), cost_ns + opening_ns);
            }
        }
    }

    fn too_slow(&mut self, place: &str, cost_ns: u64) {
        let expected =
            "keys that take at most 1 ms for a token (one without kid is tried with each)";
        let got = format!("about {} ms", cost_ns.div_ceil(NS_PER_MS / 10) as f64 / 10.0);
        self.report.error(place, expected, got);
    }
}

/// What these keys take at most to open one token, whoever it says it is from: one that names no
/// key is tried with each that its algorithm fits.
fn opening_ns(keys: &[Key]) -> u64 {
    let all = |algorithm: &KeyAlgorithm| {
        let fitting = keys.iter().filter(|key| key.algorithms().contains(algorithm));
        let mut costs: Vec<u64> = fitting.map(Key::cost_ns).collect();
        sort::by(&mut costs, |one, other| one > other);
        costs.iter().take(algorithm.tries_max()).sum::<u64>()
    };
    KeyAlgorithm::ALL.iter().map(all).max().unwrap_or_default()
}

/// What these keys take at most for one token: one that names no key is tried with each that its
/// algorithm fits.
fn cost_ns<'a>(issuer: &Issuer, keys: impl Iterator<Item = &'a VerifyKey> + Clone) -> u64 {
    let all = |algorithm: Algorithm| {
        let fitting = keys.clone().filter(move |key| key.algorithms().contains(algorithm));
        fitting.map(|key| key.cost_ns(algorithm)).sum::<u64>()
    };
    issuer.algorithms.iter().map(all).max().unwrap_or_default()
}

#[cfg(test)]
mod tests;
