//! What a request proves beside its token, and what counts once.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use super::{Replay, Scope};
use crate::jwt::issuer::Issuer;
use crate::proof::Origin;
use crate::proof::dpop::Dpop;
use crate::proof::mtls::Mtls;
use crate::request::forward;
use crate::signature::{Algorithm, AlgorithmSet};

/// What never holds a balancer's word.
const NOT_VOUCHED: &[&str] = &["authorization", "cookie", "dpop", "host"];

impl Check {
    /// What each issuer asks of proofs, at its place; empty if none takes any.
    #[inline(never)]
    pub(super) fn dpop(&mut self, document: &Node<'_>) -> Vec<Option<Dpop>> {
        let issuers = document.objects("issuers");
        let all: Vec<Option<Dpop>> = issuers.iter().map(|node| self.dpop_of(node)).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    /// What each issuer asks of clients' certificates, at its place; empty if none takes any.
    #[inline(never)]
    pub(super) fn mtls(&mut self, document: &Node<'_>, issuers: &[Issuer]) -> Vec<Option<Mtls>> {
        let nodes = document.objects("issuers");
        let all: Vec<Option<Mtls>> = nodes.iter().map(|node| self.mtls_of(node, issuers)).collect();
        if all.iter().any(Option::is_some) { all } else { Vec::new() }
    }

    fn mtls_of(&mut self, issuer: &Node<'_>, issuers: &[Issuer]) -> Option<Mtls> {
        let node = issuer.object("mtls")?;
        if issuer.text("cnf") == Some("ignore") {
            self.report.error(
                &issuer.at("cnf"),
                "\"check\" beside mtls",
                "\"ignore\" (no certificate would ever be asked for)",
            );
        }
        let path = node.at("header");
        let header = node.text("header").map(str::to_ascii_lowercase);
        let set_here = issuers.iter().map(|issuer| &issuer.forward).flat_map(|forward| {
            forward.claims.iter().map(|(_, name)| name).chain(&forward.payload_header)
        });
        match (&header, self.host.needs().sees_certificates) {
            (None, Some(false)) => self.report.error(
                &path,
                "the header in which a balancer vouches for the client's certificate",
                "nothing (this host doesn't tell the filter which certificate it has seen)",
            ),
            (None, None) => {
                self.report.warn(&path, "absent; on Kong a header is needed here");
            }
            (Some(header), _) if NOT_VOUCHED.contains(&header.as_str()) => {
                let got = format!("{} (it belongs to HTTP or the token)", shown_text(header));
                self.report.error(&path, "a header of your balancer's", got);
            }
            (Some(header), _)
                if forward::is_reserved(header.as_bytes(), &set_here.collect::<Vec<_>>()) =>
            {
                let got = format!("{} (the filter sets it itself)", shown_text(header));
                self.report.error(&path, "a header of your balancer's", got);
            }
            _ => {}
        }
        Some(Mtls { required: node.flag("required"), header })
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
    #[inline(never)]
    pub(super) fn replay(&mut self, document: &Node<'_>) -> Replay {
        let node = document.object_or_default("replay");
        let scope = match node.text("scope") {
            Some("gateways") => Scope::Gateways,
            _ => Scope::Gateway,
        };
        self.meets_gateways |= scope == Scope::Gateways;
        if scope == Scope::Gateways && !self.has_gateways {
            let got = "\"gateways\" (no object gateways says where they meet)";
            self.report.error(&node.at("scope"), "\"gateway\"", got);
        }
        let names = self.issuer_names.clone();
        Replay {
            issuers: self.indices(&node, "issuers", &names, "an issuer"),
            ids_max: node.whole_32("ids_max"),
            scope,
        }
    }
}
