//! What rules and their alternatives ask of a token's claims.

use super::check::Check;
use super::json::Json;
use super::read::Node;
use super::syntax;
use crate::jwt::demands::Demands;

/// The demands that an alternative may make; a rule has the same and more.
const DEMANDS: [&str; 4] = ["audiences", "scopes_all", "scopes_any", "claims"];

impl Check {
    /// The demands of a rule or of one of its alternatives.
    pub(super) fn demands(&mut self, node: &Node<'_>) -> Demands {
        Demands {
            audiences: node.owned_texts("audiences"),
            scopes_all: node.owned_texts("scopes_all"),
            scopes_any: node.owned_texts("scopes_any"),
            claims: claims(node),
        }
    }

    /// The alternatives of a rule. One that asks nothing would always hold.
    pub(super) fn alternatives(&mut self, rule: &Node<'_>) -> Vec<Demands> {
        let mut all = Vec::new();
        for node in rule.objects("any") {
            let is_told = DEMANDS.iter().any(|name| node.has(name));
            let empty =
                matches!(node.get("claims"), Some(Json::Object(members)) if members.is_empty());
            if !is_told || (empty && self.demands(&node).is_empty()) {
                self.report.error(
                    &node.path,
                    format_args!("a demand: {}", DEMANDS.join(", ")),
                    "none (it would always hold)",
                );
            }
            all.push(self.demands(&node));
        }
        all
    }
}

/// Claims and the values of which they must have one.
pub(super) fn claims(node: &Node<'_>) -> Vec<(crate::jwt::ClaimPath, Vec<serde_json::Value>)> {
    let members = node.members("claims").into_iter();
    let claims = members.filter_map(|(_, name, values)| {
        let Json::List(values) = values else { return None };
        Some((syntax::claim_path(name)?, values.iter().map(Json::to_value).collect()))
    });
    claims.collect()
}
