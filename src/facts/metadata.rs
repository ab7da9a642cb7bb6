//! Where an issuer's keys are, as its metadata document says (OpenID Connect Discovery, RFC 8414).

use crate::callout::Uri;
use crate::jwt::issuer::IssuerMatch;
use crate::reply::Reason;
use crate::shared::document::META_BYTES;
use crate::signature::source::{JwksAt, KeySource};
use crate::time::{Span, Time};

use super::call::CallAnswer;
use super::{Fact, Facts, Stop};

/// The place of a JWK Set.
#[derive(Clone)]
pub struct Discovered {
    uri: Uri,
    /// For how long it is believed without a question.
    believed: Span,
}

/// A metadata document is a few KiB.
const METADATA_BYTES_MAX: usize = 65_536;
/// How long the place of a JWK Set is believed without asking again: it moves with the server.
const METADATA_TTL_S: u64 = 86_400;
/// When it is asked for ahead of that end.
const METADATA_DUE_S: u64 = METADATA_TTL_S / 100 * 80;

impl Facts<'_> {
    /// The fact to fetch for the keys of an issuer with discovery: the set from where it was found
    /// after `since`, else the metadata.
    ///
    /// # Errors
    /// `KeysUnavailable` while the metadata can't be had and nothing was ever found.
    pub(super) fn discovered_fact(&self, issuer: usize, since: Time) -> Result<Fact, Stop> {
        let will_do =
            |found: &Discovered| found.believed.holds(self.now) && found.believed.from >= since;
        let held = self.runtime.worker.borrow().discovered.get(&issuer).cloned();
        if let Some(found) = held
            .clone()
            .filter(will_do)
            .or_else(|| self.discovered_by_others(issuer).filter(will_do))
        {
            return Ok(Fact::Keys(issuer, Some(found.uri)));
        }
        let state = self.state(&Fact::Metadata(issuer));
        match held {
            _ if state.failures == 0 || self.now >= state.retry_at => Ok(Fact::Metadata(issuer)),
            // Where the keys were is better than nowhere.
            Some(old) => Ok(Fact::Keys(issuer, Some(old.uri))),
            None => Err(self.unavailable(Reason::KeysUnavailable, state.retry_at)),
        }
    }

    /// Whether what was found is to be asked for again ahead of its end.
    pub(super) fn metadata_is_due(&self, issuer: usize) -> bool {
        let is_old = |found: &Discovered| {
            self.now >= found.believed.from.plus_s(METADATA_DUE_S)
                || !found.believed.holds(self.now)
        };
        let held = self.runtime.worker.borrow().discovered.get(&issuer).is_some_and(is_old);
        if !held || self.discovered_by_others(issuer).is_some_and(|found| !is_old(&found)) {
            return false;
        }
        let state = self.state(&Fact::Metadata(issuer));
        state.failures == 0 || self.now >= state.retry_at
    }

    /// Takes a metadata document's answer in (OpenID Connect Discovery, section 4.3; RFC 8414,
    /// section 3.3).
    pub(super) fn learn_metadata(&self, issuer: usize, answer: &CallAnswer<'_>) -> bool {
        let Some(uri) = self.metadata_uri(issuer, answer) else { return false };
        let believed = Span { from: self.now, until: self.now.plus_s(METADATA_TTL_S) };
        let digest = self.digest(&Fact::Metadata(issuer));
        let text = uri.to_string();
        let _ = self.shared().write_document(
            &digest,
            text.as_bytes(),
            &[0; META_BYTES],
            believed.until,
        );
        let before = self
            .runtime
            .worker
            .borrow_mut()
            .discovered
            .insert(issuer, Discovered { uri: uri.clone(), believed });
        if before.is_some_and(|before| before.uri != uri) {
            self.set_is_due(issuer);
        }
        true
    }

    fn metadata_uri(&self, issuer: usize, answer: &CallAnswer<'_>) -> Option<Uri> {
        #[derive(serde::Deserialize)]
        struct Metadata<'a> {
            #[serde(borrow)]
            issuer: std::borrow::Cow<'a, str>,
            #[serde(borrow)]
            jwks_uri: std::borrow::Cow<'a, str>,
        }
        let issuer = self.issuer(issuer).ok()?;
        let KeySource::Jwks { at: JwksAt::Discovery(from), .. } = &issuer.keys else { return None };
        if answer.status != 200 || answer.body.len() > METADATA_BYTES_MAX {
            return None;
        }
        let metadata: Metadata<'_> = serde_json::from_slice(answer.body).ok()?;
        let IssuerMatch::Exact(expected) = &issuer.matcher else { return None };
        let uri = Uri::parse(&metadata.jwks_uri)?;
        // An https metadata document may not send us to plain http.
        (metadata.issuer == expected.as_str() && (uri.https || !from.https)).then_some(uri)
    }

    /// What another worker found, held here from now on.
    fn discovered_by_others(&self, issuer: usize) -> Option<Discovered> {
        let document = self
            .shared()
            .read_believed(&self.digest(&Fact::Metadata(issuer)), METADATA_BYTES_MAX)?;
        let uri = Uri::parse(std::str::from_utf8(&document.body).ok()?)?;
        let found =
            Discovered { uri, believed: Span { from: document.written, until: document.expires } };
        self.runtime.worker.borrow_mut().discovered.insert(issuer, found.clone());
        Some(found)
    }

    /// No keys are where discovery said: it is asked again before they are.
    pub(super) fn doubt_discovered(&self, issuer: usize) {
        if let Some(found) = self.runtime.worker.borrow_mut().discovered.get_mut(&issuer) {
            found.believed.until = self.now;
        }
        let _ = self.shared().remove_document(&self.digest(&Fact::Metadata(issuer)));
    }
}
