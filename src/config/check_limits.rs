//! Limits.

use super::check::{Check, repeated};
use super::error::shown_text;
use super::read::Node;
use super::{Gateways, syntax};
use crate::rate_limit::{Amount, Charging, KeyPart, RateLimit, Sync, Window};
use crate::reply::FailureMode;

/// Requests a second at most: one each microsecond.
const PER_S_MAX: u64 = 1_000_000;
/// Seconds after which a full burst is there again, at most.
const REFILL_S_MAX: u64 = 10 * 366 * 86_400;

/// Reads one part of a key.
pub(super) fn key_part(text: &str) -> Option<KeyPart> {
    let token = |text: &str| {
        (syntax::HEADER.fits)(text) && !text.is_empty() && text.len() <= syntax::HEADER.max
    };
    Some(match text.split_once(':') {
        None => match text {
            "issuer" => KeyPart::Issuer,
            "subject" => KeyPart::Subject,
            "client_id" => KeyPart::ClientId,
            "consumer" => KeyPart::Consumer,
            "address" => KeyPart::Address,
            "route" => KeyPart::Route,
            _ => return None,
        },
        Some(("header", name)) if token(name) => KeyPart::Header(name.to_ascii_lowercase()),
        Some(("claim", path)) => KeyPart::Claim(syntax::claim_path(path)?),
        Some(("capture", name)) if crate::jwt::issuer::is_name(name) => {
            KeyPart::Capture(name.to_owned())
        }
        Some(_) => return None,
    })
}

impl Check {
    /// All limits.
    #[inline(never)]
    pub(super) fn rate_limits(&mut self, document: &Node<'_>) -> Vec<RateLimit> {
        let nodes = document.objects("rate_limits");
        for (path, name) in
            repeated(nodes.iter().filter_map(|node| Some((node.at("name"), node.text("name")?))))
        {
            self.report.error(&path, "a name that no other limit has", shown_text(name));
        }
        nodes.iter().filter_map(|node| self.rate_limit(node)).collect()
    }

    fn rate_limit(&mut self, node: &Node<'_>) -> Option<RateLimit> {
        let mut key = Vec::new();
        for (path, text) in node.texts("key") {
            let Some(part) = key_part(text) else { continue };
            if key.contains(&part) {
                self.report.error(&path, "each part once", shown_text(text));
            }
            key.push(part);
        }
        if !key.is_empty() && key.iter().all(|part| matches!(part, KeyPart::Header(_))) {
            self.report.warn(
                &node.at("key"),
                "clients choose their headers, so they choose their own limit",
            );
        }
        let charge = self.charge(node, &key);
        let amount = self.amount(node);
        let tiers = self.tiers(node, amount, charge);
        let sync = self.sync_of(node);
        Some(RateLimit {
            name: node.owned("name")?,
            key,
            amount: amount?,
            tiers,
            failure_mode: match node.text("failure_mode") {
                Some("allow") => FailureMode::Allow,
                _ => FailureMode::Deny,
            },
            shadow: node.flag("shadow"),
            headers: node.flag("headers"),
            charge,
            sync: sync?,
        })
    }

    /// Of a refused request nothing is verified, so it can only be charged by what anyone can see.
    fn charge(&mut self, node: &Node<'_>, key: &[KeyPart]) -> Charging {
        if node.text("charge") != Some("all") {
            return Charging::Accepted;
        }
        let is_seen =
            |part: &KeyPart| matches!(part, KeyPart::Address | KeyPart::Route | KeyPart::Header(_));
        if !key.iter().all(is_seen) {
            let got =
                "\"all\" (of a refused request only address, route and header:NAME are known)";
            self.report.error(
                &node.at("charge"),
                "\"accepted\" beside a key with parts of the token",
                got,
            );
        }
        Charging::All
    }

    /// Where a limit meets its like; nothing if that is wrong.
    fn sync_of(&mut self, limit: &Node<'_>) -> Option<Option<Sync>> {
        if let Some(node) = limit.object("sync") {
            return self.sync(&node).map(Some);
        }
        if !limit.flag("sync") {
            return Some(None);
        }
        self.meets_gateways = true;
        if !self.has_gateways {
            self.report.error(
                &limit.at("sync"),
                "an object with a uri, or gateways in the document",
                "true without gateways",
            );
        }
        self.gateways.as_ref().map(|gateways| Some(gateways.at.clone()))
    }

    /// The Redis where gateways meet.
    #[inline(never)]
    pub(super) fn gateways(&mut self, document: &Node<'_>) -> Option<Gateways> {
        let node = document.object("gateways")?;
        let at = self.sync(&node)?;
        Some(Gateways {
            at,
            revocations: node.flag("revocations"),
            answers: node.flag("answers"),
            failure_mode: match node.text("failure_mode") {
                Some("deny") => FailureMode::Deny,
                _ => FailureMode::Allow,
            },
        })
    }

    /// What contradicts the rest of the document.
    #[inline(never)]
    pub(super) fn gateways_together(&mut self, document: &Node<'_>) {
        let Some(node) = document.object("gateways") else { return };
        if !node.flag("revocations") {
            if !self.meets_gateways {
                let got = "nothing of this document meets there (no limit has \"sync\": true)";
                self.report.warn("gateways", got);
            }
            if node.has("failure_mode") {
                self.report.error(
                    &node.at("failure_mode"),
                    "none without revocations",
                    "one (nothing of others is waited for)",
                );
            }
            if node.flag("answers") {
                self.report.error(
                    &node.at("answers"),
                    "false without revocations",
                    "true (an answer whose token another has revoked could be handed out)",
                );
            }
        }
    }

    fn sync(&mut self, node: &Node<'_>) -> Option<Sync> {
        if self.synced.is_none() {
            self.synced = Some(node.path.clone());
        }
        if node.whole("retries") > 0 {
            self.report.error(
                &node.at("retries"),
                "0",
                "more (the next call carries what a failed one should have told)",
            );
        }
        let call = self.callout(node);
        let uri = self.url(node, "uri", false)?;
        if uri.path.contains('?') {
            // A host that sends commands in the path has them behind this one.
            self.report.error(
                &node.at("uri"),
                "a URL without query",
                shown_text(node.text("uri")?),
            );
        }
        Some(Sync { uri, call, every_ms: node.whole("every_ms") })
    }

    fn amount(&mut self, node: &Node<'_>) -> Option<Amount> {
        let rate: Vec<&str> =
            ["limit", "per_s", "burst"].into_iter().filter(|name| node.has(name)).collect();
        let quota: Vec<&str> =
            ["quota", "window"].into_iter().filter(|name| node.has(name)).collect();
        let expected = "limit with per_s, or quota with window";
        if rate.is_empty() == quota.is_empty() {
            let got = if rate.is_empty() {
                "neither".to_owned()
            } else {
                format!("{} beside {}", rate.join(", "), quota.join(", "))
            };
            self.report.error(&node.path, expected, got);
            return None;
        }
        let needed: &[&str] =
            if quota.is_empty() { &["limit", "per_s"] } else { &["quota", "window"] };
        for name in needed.iter().filter(|name| !node.has(name)) {
            let beside = needed.iter().find(|other| other != &name).unwrap_or(name);
            self.report.error(&node.at(name), format_args!("a value beside {beside}"), "nothing");
        }
        if !quota.is_empty() {
            let window = match node.text("window")? {
                "hour" => Window::Hour,
                "day" => Window::Day,
                _ => Window::Month,
            };
            return Some(Amount::Quota { quota: node.whole_given("quota")?, window });
        }
        self.rate(node)
    }

    /// The amount of a tier, of the same kind as its limit's own.
    pub(super) fn amount_like(&mut self, own: Amount, node: &Node<'_>) -> Option<Amount> {
        match own {
            Amount::Rate { .. } => self.rate(node),
            Amount::Quota { window, .. } => {
                Some(Amount::Quota { quota: node.whole_given("quota")?, window })
            }
        }
    }

    fn rate(&mut self, node: &Node<'_>) -> Option<Amount> {
        let (limit, per_s) = (node.whole_given("limit")?, node.whole_given("per_s")?);
        let burst = node.whole_given("burst").unwrap_or(limit);
        if limit > per_s.saturating_mul(PER_S_MAX) {
            self.report.error(
                &node.at("limit"),
                format_args!("at most {PER_S_MAX} a second"),
                format_args!("{limit} in {per_s} s"),
            );
        }
        if burst.saturating_mul(per_s) > limit.saturating_mul(REFILL_S_MAX) {
            let got = format!("{burst} at {limit} in {per_s} s");
            self.report.error(&node.at("burst"), "a burst that refills within ten years", got);
        }
        Some(Amount::Rate { limit, per_s, burst })
    }

    /// Indices of the limits that an object names.
    pub(super) fn limits_of(&mut self, node: &Node<'_>) -> Vec<usize> {
        let names = self.limit_names.clone();
        let mut indices = self.indices(node, "limits", &names, "a limit");
        indices.dedup();
        self.limits_used.extend(&indices);
        indices
    }
}

/// The fields that a tier needs beside a limit of this kind, and those that only others take.
pub(super) fn fields_of(own: Amount) -> (&'static [&'static str], &'static [&'static str]) {
    match own {
        Amount::Rate { .. } => (&["limit", "per_s"], &["quota"]),
        Amount::Quota { .. } => (&["quota"], &["limit", "per_s", "burst"]),
    }
}
