//! Lists of revoked tokens, signed or not, as a feed's answer brings them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts};
use crate::jwt::issuer::ExpPolicy;
use crate::jwt::{self, Rounding, date_s};
use crate::revocation::feed::{Feed, FeedError, Kind, LIST_TYPE, Signer};
use crate::revocation::list::{BYTES_MAX, List};
use crate::shared::document::DOCUMENT_BYTES_MAX;
use crate::time::Time;

use super::{Known, STORED_S};

/// Bytes of a signed list at most: base64url takes four for three.
const SIGNED_BYTES_MAX: usize = BYTES_MAX / 3 * 4 + 16 * 1024;

impl Facts<'_> {
    /// Takes a list in. A document that is older than the one known is none.
    pub(super) fn learn_list(
        &self,
        index: usize,
        feed: &Feed,
        answer: &CallAnswer<'_>,
    ) -> Result<(), FeedError> {
        let digest = self.digest(&Fact::Feed(index, None));
        let stored = self.shared().read_document(&digest, DOCUMENT_BYTES_MAX);
        let stored =
            stored.and_then(|document| Some((List::from_bytes(&document.body)?, document.expires)));
        let lasts = |expires: Time| expires > self.now.plus_s(STORED_S / 2);
        if answer.status == 304 {
            return match stored {
                Some((list, _)) if list.ends_s.is_some_and(|end_s| self.now.s() >= end_s) => {
                    Err(FeedError::Expired)
                }
                Some((_, expires)) if lasts(expires) => Ok(()),
                Some((list, _)) => self.store_feed(index, &digest, Known::List(list)),
                None => Err(FeedError::NotAFeed),
            };
        }
        let (document, ends_s) = match &feed.kind {
            Kind::Signed(signer) => self.open_list(signer, answer.body)?,
            Kind::List | Kind::Stream { .. } => (Cow::Borrowed(answer.body), None),
        };
        let etag = answer.headers.get("etag");
        let key = &self.runtime.names_key;
        let mut list = List::parse(key, &document, etag, self.ended_before())?;
        list.ends_s = ends_s;

        let held = self.held(index, |held| held.known.list().map(|list| list.sequence)).flatten();
        let known = stored.as_ref().map(|(list, _)| list.sequence).max(held);
        if known.is_some_and(|known| list.sequence < known) {
            return Err(FeedError::Older);
        }
        match stored {
            Some((stored, expires)) if stored == list && lasts(expires) => Ok(()),
            _ => self.store_feed(index, &digest, Known::List(list)),
        }
    }

    /// The list in a JWS, and the second at which it ends (RFC 7515, section 5.2).
    fn open_list<'a>(
        &self,
        signer: &Signer,
        body: &'a [u8],
    ) -> Result<(Cow<'a, [u8]>, Option<u64>), FeedError> {
        #[derive(Deserialize)]
        struct Terms<'a> {
            #[serde(borrow, default)]
            iss: Option<Cow<'a, str>>,
            #[serde(default)]
            exp: Value,
        }
        if body.len() > SIGNED_BYTES_MAX {
            return Err(FeedError::TooLong);
        }
        let issuer = self.issuer(signer.issuer).map_err(|_| FeedError::NoKeys)?;
        let (jws, document) = jwt::parse_document(body.trim_ascii(), SIGNED_BYTES_MAX)
            .map_err(|_| FeedError::NotSigned)?;
        if !issuer.algorithms.contains(jws.algorithm) {
            return Err(FeedError::NotSigned);
        }
        let typ = jws.typ.as_deref().unwrap_or(LIST_TYPE).to_ascii_lowercase();
        if ![LIST_TYPE, "jwt"].contains(&typ.strip_prefix("application/").unwrap_or(&typ)) {
            return Err(FeedError::WrongType);
        }
        self.signed_by(signer, &jws).map_err(|refused| match refused {
            None => FeedError::NoKeys,
            Some(_) => FeedError::BadSignature,
        })?;
        let terms: Terms<'_> =
            serde_json::from_slice(&document).map_err(|_| FeedError::NotAFeed)?;
        if terms.iss.is_some_and(|iss| iss != signer.iss) {
            return Err(FeedError::WrongIssuer);
        }
        let exp = Some(&terms.exp).filter(|exp| !exp.is_null());
        let ends_s = exp.map(|exp| date_s(exp, Rounding::Down)).transpose();
        let ends_s = ends_s.map_err(|_| FeedError::NotAFeed)?;
        let ends_s = ends_s.map(|exp| exp.saturating_add(issuer.leeway_s));
        if ends_s.is_some_and(|end_s| self.now.s() >= end_s) {
            return Err(FeedError::Expired);
        }
        Ok((Cow::Owned(document), ends_s))
    }

    /// From when on a listed token's `exp` has ended it: never, where an issuer's tokens don't end
    /// with theirs.
    fn ended_before(&self) -> Time {
        match self.runtime.config.issuers.iter().all(|issuer| issuer.exp == ExpPolicy::Required) {
            true => self.now,
            false => Time::default(),
        }
    }
}
