//! Tiers of limits: numbers that go by a verified token's claims.

use super::check::Check;
use super::check_demands::claims;
use super::check_limits::fields_of;
use super::read::Node;
use crate::rate_limit::{Amount, Charging, Tier};

impl Check {
    /// The tiers of a limit with these numbers.
    pub(super) fn tiers(
        &mut self,
        limit: &Node<'_>,
        amount: Option<Amount>,
        charge: Charging,
    ) -> Vec<Tier> {
        if limit.has("tiers") && charge == Charging::All {
            let got = "some (a refused request has no verified token)";
            self.report.error(&limit.at("tiers"), "no tiers beside charge: \"all\"", got);
        }
        let nodes = limit.objects("tiers");
        nodes.iter().filter_map(|node| self.tier(node, amount)).collect()
    }

    fn tier(&mut self, node: &Node<'_>, own: Option<Amount>) -> Option<Tier> {
        let when = claims(&node.object_or_default("when"));
        if when.is_empty() && node.get("when").is_some() {
            let expected = "a claim and its values";
            self.report.error(&node.at("when"), expected, "none (it would always hold)");
        }
        let (needed, others) = fields_of(own?);
        // One counter has one unit.
        for name in others.iter().filter(|name| node.has(name)) {
            let expected = format!("{} as the limit has", needed.join(" with "));
            self.report.error(&node.at(name), expected, format_args!("{name}"));
        }
        for name in needed.iter().filter(|name| !node.has(name)) {
            self.report.error(&node.at(name), "a number, because the limit has one", "nothing");
        }
        let amount = self.amount_like(own?, node)?;
        Some(Tier { when, amount })
    }
}
