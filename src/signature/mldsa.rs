//! ML-DSA (FIPS 204, RFC 9964) with an empty context, through jwt-simple.

use super::algorithm::Algorithm;
use super::error::KeyError;
use super::{BadSignature, der};
use jwt_simple::algorithms::{
    MLDSA44PublicKey, MLDSA65PublicKey, MLDSA87PublicKey, MLDSAPublicKeyLike,
};

/// A public key. It holds the expanded matrix, tens of KiB of it, so that no verification computes
/// that again.
#[derive(Clone)]
pub(super) struct MlDsaKey(Parameters);

#[derive(Clone)]
enum Parameters {
    MlDsa44(Box<MLDSA44PublicKey>),
    MlDsa65(Box<MLDSA65PublicKey>),
    MlDsa87(Box<MLDSA87PublicKey>),
}

impl MlDsaKey {
    /// From the bytes of FIPS 204 (`pkEncode`); nothing if `algorithm` is another.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Result<MlDsaKey, KeyError>> {
        let (expected, key) = match algorithm {
            Algorithm::MlDsa44 => (
                1312,
                MLDSA44PublicKey::from_bytes(bytes).map(|key| Parameters::MlDsa44(Box::new(key))),
            ),
            Algorithm::MlDsa65 => (
                1952,
                MLDSA65PublicKey::from_bytes(bytes).map(|key| Parameters::MlDsa65(Box::new(key))),
            ),
            Algorithm::MlDsa87 => (
                2592,
                MLDSA87PublicKey::from_bytes(bytes).map(|key| Parameters::MlDsa87(Box::new(key))),
            ),
            _ => return None,
        };
        // Every string of the right length is a key.
        let wrong = KeyError::MemberLength { member: "pub", expected, found: bytes.len() };
        Some(key.map(MlDsaKey).map_err(|_| wrong))
    }

    /// The one algorithm that it verifies.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.0 {
            Parameters::MlDsa44(_) => Algorithm::MlDsa44,
            Parameters::MlDsa65(_) => Algorithm::MlDsa65,
            Parameters::MlDsa87(_) => Algorithm::MlDsa87,
        }
    }

    /// What the key is called in messages.
    pub(super) fn key_name(&self) -> &'static str {
        match self.0 {
            Parameters::MlDsa44(_) => "ML-DSA-44 key",
            Parameters::MlDsa65(_) => "ML-DSA-65 key",
            Parameters::MlDsa87(_) => "ML-DSA-87 key",
        }
    }

    /// The key as SubjectPublicKeyInfo (RFC 9881).
    pub(super) fn spki_der(&self) -> Vec<u8> {
        let bytes = match &self.0 {
            Parameters::MlDsa44(key) => key.to_bytes(),
            Parameters::MlDsa65(key) => key.to_bytes(),
            Parameters::MlDsa87(key) => key.to_bytes(),
        };
        der::ml_dsa_spki(self.algorithm(), &bytes)
    }

    /// Verifies a signature of the one length that its parameters have.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let good = match &self.0 {
            Parameters::MlDsa44(key) => key.public_key().as_ref().verify(signed, signature).is_ok(),
            Parameters::MlDsa65(key) => key.public_key().as_ref().verify(signed, signature).is_ok(),
            Parameters::MlDsa87(key) => key.public_key().as_ref().verify(signed, signature).is_ok(),
        };
        if good { Ok(()) } else { Err(BadSignature) }
    }
}
