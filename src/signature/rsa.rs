//! RSA signatures (RFC 8017): RSASSA-PKCS1-v1_5 by comparing whole encoded messages, and
//! RSASSA-PSS.

use super::algorithm::{Family, Hash};
use super::digest::{digest, digest_of};
use super::error::KeyError;
use super::montgomery::Modulus;
use super::{Algorithm, BadSignature};

/// Bits of the smallest modulus accepted (RFC 7518, section 3.3).
const BITS_MIN: usize = 2048;
/// Bits of the largest exponent accepted: what BoringSSL takes, so that the host judges the same
/// keys.
const EXPONENT_BITS_MAX: u32 = 33;

/// A public key, prepared for verification.
#[derive(Clone)]
pub(super) struct RsaKey {
    modulus: Modulus,
    exponent: u64,
}

impl RsaKey {
    /// From big-endian numbers; leading zeros don't count.
    pub(super) fn new(modulus: &[u8], exponent: &[u8]) -> Result<RsaKey, KeyError> {
        let modulus = without_leading_zeros(modulus);
        let bits =
            modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
        if bits < BITS_MIN {
            return Err(KeyError::RsaTooSmall { bits });
        }
        if bits > Modulus::BITS_MAX {
            return Err(KeyError::RsaTooLarge { bits });
        }
        let exponent = number(without_leading_zeros(exponent)).ok_or(KeyError::RsaExponent)?;
        if exponent < 3 || exponent & 1 == 0 || exponent >> EXPONENT_BITS_MAX != 0 {
            return Err(KeyError::RsaExponent);
        }
        let modulus = Modulus::new(modulus).ok_or(KeyError::RsaModulusEven)?;
        Ok(RsaKey { modulus, exponent })
    }

    /// Bytes of the modulus, which every signature has.
    pub(super) fn signature_bytes(&self) -> usize {
        self.modulus.bytes()
    }

    /// Verifies a signature of either padding.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let encoded = self.modulus.power(signature, self.exponent).ok_or(BadSignature)?;
        let hash = algorithm.hash().ok_or(BadSignature)?;
        let digest = digest(hash, signed);
        let good = match algorithm.family() {
            Family::RsaPkcs1 => encoded == pkcs1_encoding(hash, &digest, encoded.len()),
            Family::RsaPss => pss_matches(&encoded, self.modulus.bits() - 1, hash, &digest),
            Family::Hmac | Family::Ec | Family::Ed | Family::MlDsa => false,
        };
        if good { Ok(()) } else { Err(BadSignature) }
    }
}

/// The one encoded message that a signature of this digest has (RFC 8017, section 9.2), with the
/// `NULL` parameters that it requires of SHA-2. Comparing the whole leaves no padding to be parsed.
pub(super) fn pkcs1_encoding(hash: Hash, digest: &[u8], len: usize) -> Vec<u8> {
    let digest_info: &[u8] = match hash {
        Hash::Sha256 => {
            b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
        }
        Hash::Sha384 => {
            b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
        }
        Hash::Sha512 => {
            b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
        }
    };
    // A modulus of 2048 bits leaves room for 170 bytes of padding at the least.
    let padding = len.saturating_sub(3 + digest_info.len() + digest.len());
    [b"\x00\x01", vec![0xff; padding].as_slice(), b"\x00", digest_info, digest].concat()
}

/// EMSA-PSS-VERIFY (RFC 8017, section 9.1.2) with a salt as long as the hash (RFC 7518, section
/// 3.5).
fn pss_matches(encoded: &[u8], encoded_bits: usize, hash: Hash, digest: &[u8]) -> bool {
    pss_salt_and_hash(encoded, encoded_bits, hash)
        .is_some_and(|(salt, expected)| digest_of(hash, &[&[0; 8], digest, &salt]) == expected)
}

/// The salt and the hash inside an encoded message, if every other bit of it is as it must be.
fn pss_salt_and_hash(encoded: &[u8], encoded_bits: usize, hash: Hash) -> Option<(Vec<u8>, &[u8])> {
    // With a modulus of 8k + 1 bits the encoded message is a byte shorter than the modulus.
    let (above, encoded) =
        encoded.split_at_checked(encoded.len().checked_sub(encoded_bits.div_ceil(8))?)?;
    if above.iter().any(|byte| *byte != 0) {
        return None;
    }
    let (rest, trailer) = encoded.split_at_checked(encoded.len().checked_sub(1)?)?;
    let (masked, expected) = rest.split_at_checked(rest.len().checked_sub(hash.bytes())?)?;
    if trailer != [0xbc] {
        return None;
    }
    let first_mask = 0xffu8 >> (8 * encoded.len() - encoded_bits);
    if masked.first()? & !first_mask != 0 {
        return None;
    }
    let mut block: Vec<u8> =
        masked.iter().zip(mgf1(hash, expected, masked.len())).map(|(a, b)| a ^ b).collect();
    *block.first_mut()? &= first_mask;
    let (padding, salt) = block.split_at_checked(block.len().checked_sub(hash.bytes())?)?;
    let (one, zeros) = padding.split_last()?;
    (*one == 1 && zeros.iter().all(|byte| *byte == 0)).then(|| (salt.to_vec(), expected))
}

/// The first `len` bytes of MGF1 (RFC 8017, appendix B.2.1).
fn mgf1(hash: Hash, seed: &[u8], len: usize) -> Vec<u8> {
    let mut mask = Vec::with_capacity(len + hash.bytes());
    let mut counter = 0u32;
    while mask.len() < len {
        mask.extend(digest_of(hash, &[seed, &counter.to_be_bytes()]));
        counter += 1;
    }
    mask.truncate(len);
    mask
}

/// The same number without zeros in front.
pub(super) fn without_leading_zeros(big_endian: &[u8]) -> &[u8] {
    let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
    big_endian.get(zeros..).unwrap_or_default()
}

fn number(big_endian: &[u8]) -> Option<u64> {
    if big_endian.len() > 8 {
        return None;
    }
    Some(big_endian.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests;
