//! HMAC with SHA-2 (RFC 2104, RFC 7518 section 3.2).

use super::BadSignature;
use super::algorithm::{Algorithm, AlgorithmSet, Hash};
use hmac::{Hmac, KeyInit as _, Mac};
use sha2::{Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// A secret as the states that it leaves behind in the hashes it is used with, so that no
/// verification hashes it again.
pub(super) struct HmacKey(Vec<State>);

enum State {
    Sha256(Hmac<Sha256>),
    Sha384(Hmac<Sha384>),
    Sha512(Hmac<Sha512>),
}

impl HmacKey {
    /// Takes a secret of any length for the HMAC algorithms among these.
    pub(super) fn new(secret: &[u8], algorithms: AlgorithmSet) -> HmacKey {
        // HMAC takes a key of every length, so no algorithm is lost here.
        HmacKey(
            algorithms
                .iter()
                .filter(|algorithm| algorithm.is_hmac())
                .filter_map(|algorithm| match algorithm.hash()? {
                    Hash::Sha256 => Hmac::new_from_slice(secret).ok().map(State::Sha256),
                    Hash::Sha384 => Hmac::new_from_slice(secret).ok().map(State::Sha384),
                    Hash::Sha512 => Hmac::new_from_slice(secret).ok().map(State::Sha512),
                })
                .collect(),
        )
    }

    /// Compares in constant time over the whole length; a shortened code is refused.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let good = self.0.iter().any(|state| match (state, algorithm) {
            (State::Sha256(keyed), Algorithm::HS256) => matches(keyed, signed, signature),
            (State::Sha384(keyed), Algorithm::HS384) => matches(keyed, signed, signature),
            (State::Sha512(keyed), Algorithm::HS512) => matches(keyed, signed, signature),
            _ => false,
        });
        if good { Ok(()) } else { Err(BadSignature) }
    }
}

/// HMAC-SHA-256 of all parts, one after the other.
pub(super) fn hmac_sha256(secret: &[u8], parts: &[&[u8]]) -> Option<[u8; 32]> {
    let keyed: Hmac<Sha256> = Hmac::new_from_slice(secret).ok()?;
    Some(
        parts
            .iter()
            .fold(keyed, |keyed, part| keyed.chain_update(part))
            .finalize()
            .into_bytes()
            .into(),
    )
}

fn matches<M: Mac + Clone>(keyed: &M, signed: &[u8], signature: &[u8]) -> bool {
    keyed.clone().chain_update(signed).finalize().into_bytes().as_slice().ct_eq(signature).into()
}
