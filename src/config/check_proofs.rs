//! What a request proves beside its token, and what counts once.

use super::Replay;
use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use crate::proof::Origin;
use crate::proof::dpop::Dpop;
use crate::signature::{Algorithm, AlgorithmSet};

impl Check {
    /// What each issuer asks of proofs, at its place; empty if none takes any.
    pub(super) fn dpop(&mut self, document: &Node<'_>) -> Vec<Option<Dpop>> {
        let issuers = document.objects("issuers");
        let all: Vec<Option<Dpop>> = issuers.iter().map(|node| self.dpop_of(node)).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    fn dpop_of(&mut self, issuer: &Node<'_>) -> Option<Dpop> {
        let node = issuer.object("dpop")?;
        if issuer.text("cnf") == Some("ignore") {
            self.report.error(
                &issuer.at("cnf"),
                "\"check\" beside dpop",
                "\"ignore\" (no proof would ever be asked for)",
            );
        }
        let names: Vec<&str> = node.texts("algorithms").into_iter().map(|(_, name)| name).collect();
        let algorithms: Vec<Algorithm> =
            names.iter().filter_map(|name| Algorithm::parse(name)).collect();
        let allow_http = node.flag("allow_http") || issuer.flag("allow_http");
        Some(Dpop {
            required: node.flag("required"),
            algorithms: AlgorithmSet::from_slice(&algorithms),
            names: names.join(" "),
            leeway_s: node.whole("leeway_s"),
            nonce: node.flag("nonce"),
            origins: self.origins(&node, allow_http),
        })
    }

    fn origins(&mut self, node: &Node<'_>, allow_http: bool) -> Vec<Origin> {
        let mut origins = Vec::new();
        for (path, text) in node.texts("origins") {
            match Origin::parse(text) {
                Err(why) => {
                    let expected = "an origin such as \"https://api.example\"";
                    self.report.error(
                        &path,
                        expected,
                        format_args!("{} ({why})", shown_text(text)),
                    );
                }
                Ok(origin) if !origin.https && !allow_http => {
                    let got = format!("{} (set allow_http to true to accept it)", shown_text(text));
                    self.report.error(&path, "an https origin", got);
                }
                Ok(origin) if origins.contains(&origin) => {
                    self.report.error(&path, "each origin once", shown_text(text));
                }
                Ok(origin) => origins.push(origin),
            }
        }
        origins
    }

    /// What counts once.
    pub(super) fn replay(&mut self, document: &Node<'_>) -> Replay {
        let node = document.object_or_default("replay");
        if node.text("scope") == Some("gateways") {
            let got =
                "\"gateways\" (not supported by this version: each gateway remembers for itself)";
            self.report.error(&node.at("scope"), "\"gateway\"", got);
        }
        let names = self.issuer_names.clone();
        Replay {
            issuers: self.indices(&node, "issuers", &names, "an issuer"),
            ids_max: node.whole_32("ids_max"),
        }
    }
}
