//! ML-DSA (FIPS 204, RFC 9964) with an empty context.

use super::algorithm::Algorithm;
use super::error::KeyError;
use super::{BadSignature, der};
use ml_dsa::{
    EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, VerifyingKey,
};

/// A public key. It holds the expanded matrix, tens of KiB of it, so that no verification computes
/// that again.
#[derive(Clone)]
pub(super) struct MlDsaKey(Parameters);

#[derive(Clone)]
enum Parameters {
    MlDsa44(VerifyingKey<MlDsa44>),
    MlDsa65(VerifyingKey<MlDsa65>),
    MlDsa87(VerifyingKey<MlDsa87>),
}

impl MlDsaKey {
    /// From the bytes of FIPS 204 (`pkEncode`); nothing if `algorithm` is another.
    pub(super) fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Result<MlDsaKey, KeyError>> {
        let (expected, key) = match algorithm {
            Algorithm::MlDsa44 => (1312, decoded(bytes).map(Parameters::MlDsa44)),
            Algorithm::MlDsa65 => (1952, decoded(bytes).map(Parameters::MlDsa65)),
            Algorithm::MlDsa87 => (2592, decoded(bytes).map(Parameters::MlDsa87)),
            _ => return None,
        };
        // Every string of the right length is a key.
        let wrong = KeyError::MemberLength { member: "pub", expected, found: bytes.len() };
        Some(key.map(MlDsaKey).ok_or(wrong))
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
            Parameters::MlDsa44(key) => key.encode().to_vec(),
            Parameters::MlDsa65(key) => key.encode().to_vec(),
            Parameters::MlDsa87(key) => key.encode().to_vec(),
        };
        der::ml_dsa_spki(self.algorithm(), &bytes)
    }

    /// Verifies a signature of the one length that its parameters have.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let good = match &self.0 {
            Parameters::MlDsa44(key) => verifies(key, signed, signature),
            Parameters::MlDsa65(key) => verifies(key, signed, signature),
            Parameters::MlDsa87(key) => verifies(key, signed, signature),
        };
        if good { Ok(()) } else { Err(BadSignature) }
    }
}

/// `pkDecode`; nothing if the length is another.
fn decoded<P: MlDsaParams>(bytes: &[u8]) -> Option<VerifyingKey<P>> {
    let encoded = EncodedVerifyingKey::<P>::try_from(bytes).ok()?;
    Some(VerifyingKey::decode(&encoded))
}

fn verifies<P: MlDsaParams>(key: &VerifyingKey<P>, signed: &[u8], signature: &[u8]) -> bool {
    Signature::<P>::try_from(signature)
        .is_ok_and(|signature| key.verify_with_context(signed, &[], &signature))
}
