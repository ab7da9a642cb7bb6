//! Ed25519 (RFC 8032, RFC 8037), strictly: one spelling of a key and of a signature, and no point
//! of small order.

use super::BadSignature;
use super::error::KeyError;
use ed25519_dalek::{Signature, VerifyingKey};

/// What the key is called in messages.
pub(super) const KEY_NAME: &str = "Ed25519 key";
/// `SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING` of 32 bytes (RFC 8410).
const SPKI: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// A public key.
#[derive(Clone)]
pub(super) struct EdKey(VerifyingKey);

impl EdKey {
    /// From the 32 bytes of RFC 8032, section 5.1.5.
    pub(super) fn new(bytes: &[u8]) -> Result<EdKey, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::MemberLength {
            member: "x",
            expected: 32,
            found: bytes.len(),
        })?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::BadPoint(KEY_NAME))?;
        // Decompression takes y modulo p; compressing again shows whether it was below p.
        if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::BadPoint(KEY_NAME));
        }
        Ok(EdKey(key))
    }

    /// The key as SubjectPublicKeyInfo.
    pub(super) fn spki_der(&self) -> Vec<u8> {
        [SPKI, self.0.as_bytes()].concat()
    }

    /// Verifies 64 bytes of signature; R of small order and S above the group's order are refused.
    pub(super) fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
        self.0.verify_strict(signed, &signature).map_err(|_| BadSignature)
    }
}
