//! SHA-2 chosen at run time.

use super::algorithm::Hash;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The digest of `bytes`.
pub(super) fn digest(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    digest_of(hash, &[bytes])
}

/// The digest of all parts, one after the other.
pub(super) fn digest_of(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
        parts.iter().fold(D::new(), |digest, part| digest.chain_update(part)).finalize().to_vec()
    }
    match hash {
        Hash::Sha256 => of::<Sha256>(parts),
        Hash::Sha384 => of::<Sha384>(parts),
        Hash::Sha512 => of::<Sha512>(parts),
    }
}
