//! A content's key that was encrypted to an RSA key: RSA-OAEP-256 (RFC 7518, section 4.3; RFC 8017,
//! section 7.1).
//!
//! Padding that differs from what it must be is no answer of its own: whoever learns, from an answer
//! or from its time, which ciphertexts are padded rightly can decrypt others (Manger's attack). So
//! the power takes the same steps for all numbers, and the padding is looked at in places that are
//! known beforehand: the content's key has the length of its encryption.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use super::key::ContentKey;
use crate::signature::montgomery::private::PrivateExponent;

/// Bytes of a SHA-256 hash.
const HASH_BYTES: usize = 32;

/// A private key.
pub(super) struct PrivateKey(PrivateExponent);

impl PrivateKey {
    /// From the numbers of a JWK (RFC 7518, section 6.3), big-endian; an error says what is wrong.
    pub fn new(n: &[u8], e: &[u8], d: &[u8]) -> Result<PrivateKey, &'static str> {
        PrivateExponent::of_key(n, e, d).map(PrivateKey)
    }

    /// The content's key of so many bytes; nothing if what was sent can't be a ciphertext, which
    /// anyone can see.
    pub fn content_key(&self, encrypted: &[u8], bytes: usize) -> Option<ContentKey> {
        unpadded(&self.0.power(encrypted)?, bytes)
    }
}

/// EME-OAEP decoding (RFC 8017, section 7.1.2, step 3) of a message whose length is known, with an
/// empty label. The same steps whatever is found.
fn unpadded(encoded: &[u8], bytes: usize) -> Option<ContentKey> {
    let (first, rest) = encoded.split_first()?;
    let (masked_seed, masked_block) = rest.split_at_checked(HASH_BYTES)?;
    let seed = xor(masked_seed, &mgf1(masked_block, HASH_BYTES));
    let block = xor(masked_block, &mgf1(&seed, masked_block.len()));
    let (label_hash, rest) = block.split_at_checked(HASH_BYTES)?;
    let (padding, key) = rest.split_at_checked(rest.len().checked_sub(bytes)?)?;
    let (one, zeros) = padding.split_last()?;
    let empty: [u8; HASH_BYTES] = Sha256::digest([]).into();
    let mut is_good: Choice = first.ct_eq(&0) & label_hash.ct_eq(&empty) & one.ct_eq(&1);
    for byte in zeros {
        is_good &= byte.ct_eq(&0);
    }
    Some(ContentKey { bytes: key.to_vec(), is_good: is_good.into() })
}

/// MGF1 with SHA-256 (RFC 8017, appendix B.2.1).
fn mgf1(seed: &[u8], bytes: usize) -> Vec<u8> {
    let blocks = (0..bytes.div_ceil(HASH_BYTES) as u32).flat_map(|counter| {
        Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize()
    });
    blocks.take(bytes).collect()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

#[cfg(test)]
mod tests;
