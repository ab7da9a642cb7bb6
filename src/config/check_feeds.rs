//! Revocation feeds, and whose keys sign what they serve.

use super::check::Check;
use super::error::shown_text;
use super::read::Node;
use crate::jwt::issuer::{Issuer, IssuerMatch};
use crate::reply::FailureMode;
use crate::revocation::feed::{Feed, Kind, Signer};
use crate::signature::source::KeySource;

impl Check {
    /// Revocation feeds. `issuers` are those of the document, if all of them could be read.
    #[inline(never)]
    pub(super) fn feeds(&mut self, document: &Node<'_>, issuers: &[Issuer]) -> Vec<Feed> {
        let Some(revocation) = document.object("revocation") else { return Vec::new() };
        let mut feeds = Vec::new();
        for node in revocation.objects("feeds") {
            let call = self.callout(&node);
            let uri = self.url(&node, "uri", false);
            let failure_mode = match node.text("failure_mode") {
                Some("deny") => FailureMode::Deny,
                _ => FailureMode::Allow,
            };
            let kind = self.feed_kind(&node, issuers);
            feeds.extend(uri.zip(kind).map(|(uri, kind)| Feed {
                uri,
                call,
                every_s: node.whole("every_s"),
                failure_mode,
                kind,
            }));
        }
        feeds
    }

    fn feed_kind(&mut self, node: &Node<'_>, issuers: &[Issuer]) -> Option<Kind> {
        let kind = node.text("kind").unwrap_or("list");
        if kind != "ssf" && node.has("audience") {
            let path = node.at("audience");
            self.report.error(&path, "kind: \"ssf\" beside it", shown_text(kind));
        }
        match kind {
            "signed" => self.signer(node, issuers, kind).map(Kind::Signed),
            "ssf" => {
                let audience = node.owned("audience");
                if audience.is_none() {
                    let message = "absent: sets that are meant for another receiver count too";
                    self.report.warn(&node.at("audience"), message);
                }
                let signer = self.signer(node, issuers, kind)?;
                Some(Kind::Stream { signer, audience })
            }
            _ => {
                if node.has("issuer") {
                    let expected = "kind: \"signed\" or kind: \"ssf\" beside it";
                    self.report.error(&node.at("issuer"), expected, "a list that nobody signs");
                }
                Some(Kind::List)
            }
        }
    }

    fn signer(&mut self, node: &Node<'_>, issuers: &[Issuer], kind: &str) -> Option<Signer> {
        let path = node.at("issuer");
        if !node.has("issuer") {
            let expected = format!("the name of an issuer beside kind: {}", shown_text(kind));
            self.report.error(&path, expected, "nothing");
            return None;
        }
        let name = node.text("issuer")?;
        let index = self.issuer_named(&path, name)?;
        // Where some issuer is wrong, that is said already.
        let issuer = issuers.iter().find(|issuer| issuer.name == name)?;
        let IssuerMatch::Exact(iss) = &issuer.matcher else {
            let got = format!("{} (it covers more than one iss)", shown_text(name));
            self.report.error(&path, "an issuer with one iss of its own", got);
            return None;
        };
        let has_keys = match &issuer.keys {
            KeySource::Inline(keys) => !keys.is_empty(),
            KeySource::Jwks { .. } => true,
            KeySource::Credentials(_) => false,
        };
        if !has_keys {
            let got = format!("{} (it has none)", shown_text(name));
            self.report.error(&path, "an issuer with keys of its own", got);
            return None;
        }
        Some(Signer { issuer: index, iss: iss.clone() })
    }
}
