//! Signed introspection answers (RFC 9701): whether a key of the issuer vouches for one, and goes on
//! to do so while the answer is kept.

use std::sync::Arc;

use crate::jwt::introspection::signed::{self, Expected, NotSigned, Signed};
use crate::jwt::introspection::{Response, Told};
use crate::jwt::issuer::{Issuer, IssuerMatch};

use super::call::CallAnswer;
use super::keys::KeySet;
use super::verifying::Known;
use super::{Endpoint, Fact, Facts, Stop};

/// What came of reading a signed answer.
pub(super) enum Read {
    /// What it says, in the form in which it is kept, and the key that says so.
    Said(Told, Vec<u8>, [u8; 32]),
    /// The key may be a new one: the issuer's keys are to be had first, and it is asked again.
    KeysFirst,
}

impl Facts<'_> {
    /// The keys that vouch for what is said of an issuer's opaque tokens; nothing where answers
    /// aren't signed.
    ///
    /// # Errors
    /// Those of [`Facts::keys`]: nobody asks what can't be believed.
    pub(super) fn vouching_keys(
        &self,
        index: usize,
        issuer: &Issuer,
    ) -> Result<Option<Arc<KeySet>>, Stop> {
        let is_signed = issuer
            .opaque
            .as_ref()
            .is_some_and(|opaque| opaque.introspection.response == Response::Jwt);
        if is_signed { self.keys(index).map(Some) } else { Ok(None) }
    }

    /// Reads a signed answer.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn read_signed(
        &self,
        index: usize,
        answer: &CallAnswer<'_>,
    ) -> Result<Read, NotSigned> {
        let signed = self.signed_answer(index, answer)?;
        let key = match self.vouching_key(index, &signed) {
            Ok(key) => key,
            Err(Stop::Missing(_)) => return Ok(Read::KeysFirst),
            Err(Stop::Refuse(_)) => return Err(NotSigned::Signature),
        };
        let (told, body) = signed.told().ok_or(NotSigned::Members)?;
        Ok(Read::Said(told, body, key))
    }

    /// The answer, if it is in order but for its signature, which is looked at nowhere here.
    pub(super) fn signed_answer<'a>(
        &self,
        index: usize,
        answer: &CallAnswer<'a>,
    ) -> Result<Signed<'a>, NotSigned> {
        let issuer = self.issuer(index).map_err(|_| NotSigned::Issuer)?;
        let IssuerMatch::Exact(iss) = &issuer.matcher else { return Err(NotSigned::Issuer) };
        let endpoint = Endpoint::Of(index).of(&self.runtime.config);
        let client_id = endpoint.and_then(|endpoint| endpoint.client_id.as_deref());
        let lease_s = self.lease_ms(&Fact::Introspection(Endpoint::Of(index), Vec::new())) / 1_000;
        let expected = Expected {
            iss,
            client_id: client_id.ok_or(NotSigned::Audience)?,
            now: self.now,
            ahead_s: issuer.leeway_s,
            // It was made while it was asked for.
            back_s: issuer.leeway_s.saturating_add(lease_s),
        };
        let signed = signed::read(answer.body, &expected)?;
        if !issuer.algorithms.contains(signed.jwt.algorithm) {
            return Err(NotSigned::Signature);
        }
        Ok(signed)
    }

    /// The key of the issuer that verifies the answer.
    fn vouching_key(&self, index: usize, signed: &Signed<'_>) -> Result<[u8; 32], Stop> {
        let set = self.keys(index)?;
        let refused = match self.try_set(index, &set, &signed.jwt, Known::NOTHING)? {
            Ok(key) => return Ok(key.fingerprint),
            Err(reason) => reason,
        };
        let newer = match self.newer_keys(index, &set) {
            Ok(Some(newer)) => newer,
            Ok(None) => {
                let stop = self.no_key_verifies(index, &set, refused);
                if matches!(stop, Stop::Missing(_)) {
                    self.end_set(index);
                }
                return Err(stop);
            }
            Err(stop) => {
                self.end_set(index);
                return Err(stop);
            }
        };
        let key = self.try_set(index, &newer, &signed.jwt, Known::NOTHING)??;
        Ok(key.fingerprint)
    }
}

/// Bytes in front of a kept answer that name the key.
const KEY_BYTES: usize = 32;

/// A signed answer as it is kept: the key, then what it says.
pub(super) fn kept_form(key: &[u8; KEY_BYTES], said: &[u8]) -> Vec<u8> {
    [key.as_slice(), said].concat()
}

/// Takes that apart.
pub(super) fn read_kept(bytes: &[u8]) -> Option<([u8; KEY_BYTES], &[u8])> {
    let (key, said) = bytes.split_first_chunk::<KEY_BYTES>()?;
    Some((*key, said))
}
