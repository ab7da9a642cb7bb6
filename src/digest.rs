//! Keyed digests: whatever becomes a key in memory shared with others goes through here.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::{Digest as _, Sha256};

/// 256 bits that name one thing, under the host-wide key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// The host-wide key. It doesn't depend on the configuration document: a new document must not
/// forget limits and replay ids.
#[derive(Clone)]
pub struct HostKey {
    mac: Hmac<Sha256>,
    sip: siphasher::sip::SipHasher24,
    quick: [u64; 2],
    previous: Option<Arc<HostKey>>,
}

impl HostKey {
    /// Derives the key from the host's stored random bytes and `shared.secret`.
    pub fn new(random: &[u8; 32], secret: &[u8]) -> Self {
        let mut outer = keyed(random);
        outer.update(b"herdgate host key v1");
        outer.update(secret);
        let key: [u8; 32] = outer.finalize().into_bytes().into();
        let mac = keyed(&key);
        let mut sip_mac = mac.clone();
        sip_mac.update(b"short hash");
        let sip_bytes: [u8; 32] = sip_mac.finalize().into_bytes().into();
        let mut words = [0u64; 4];
        words
            .iter_mut()
            .zip(sip_bytes.as_chunks().0)
            .for_each(|(to, from)| *to = u64::from_le_bytes(*from));
        let [sip_0, sip_1, quick_0, quick_1] = words;
        HostKey {
            mac,
            sip: siphasher::sip::SipHasher24::new_with_keys(sip_0, sip_1),
            quick: [quick_0, quick_1],
            previous: None,
        }
    }

    /// The same key, and the one before it, with which things are read and never written.
    #[must_use]
    pub fn after(self, previous: Option<HostKey>) -> Self {
        HostKey { previous: previous.map(Arc::new), ..self }
    }

    /// The key before this one, while its secret is being replaced.
    #[inline(always)]
    pub fn previous(&self) -> Option<&HostKey> {
        self.previous.as_deref()
    }

    /// Whether `digest` is what `named` gives under this key, or under the one before it.
    pub fn gives(&self, digest: &Digest, named: impl Fn(&HostKey) -> Digest) -> bool {
        *digest == named(self) || self.previous().is_some_and(|key| *digest == named(key))
    }

    /// The digest of `fields` in the domain `domain`. Each field is prefixed with its length, so
    /// that no two lists of fields run together.
    pub fn digest(&self, domain: &str, fields: &[&[u8]]) -> Digest {
        let mut mac = self.mac.clone();
        update_field(&mut mac, domain.as_bytes());
        for field in fields {
            update_field(&mut mac, field);
        }
        Digest(mac.finalize().into_bytes().into())
    }

    /// A quicker one, for a table of this worker's memory whose keys nobody can choose: its buckets
    /// spread, but who sees many of them could find the key.
    #[inline(always)]
    pub fn quick(&self, bytes: &[u8; 16]) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (first, last) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>());
        let word = |half: Option<&[u8; 8]>| half.map_or(0, |half| u64::from_le_bytes(*half));
        let [key_0, key_1] = self.quick;
        let mixed = (word(first) ^ key_0).wrapping_mul(ODD);
        let mixed = (mixed ^ (mixed >> 32) ^ word(last) ^ key_1).wrapping_mul(ODD);
        mixed ^ (mixed >> 32)
    }

    /// A short keyed hash: for buckets and checksums, never as the only identity of anything.
    pub fn short(&self, bytes: &[u8]) -> u64 {
        self.sip.hash(bytes)
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostKey(..)")
    }
}

/// SHA-256 without a key, for what is public already (a configuration, a public key).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // HMAC takes a key of any length, so this cannot fail; an empty key stands for "never".
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
}

fn update_field(mac: &mut Hmac<Sha256>, field: &[u8]) {
    mac.update(&(field.len() as u64).to_le_bytes());
    mac.update(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_hashes_of_neighbours_differ() {
        let key = HostKey::new(&[7; 32], b"s");
        let hashes: std::collections::HashSet<u64> =
            (0..100_000u128).map(|n| key.quick(&n.to_le_bytes())).collect();
        let ends: std::collections::HashSet<u64> =
            (0..100_000u128).map(|n| key.quick(&(n << 100).to_le_bytes()) & 0xffff_ffff).collect();
        assert_eq!(hashes.len(), 100_000);
        assert!(ends.len() > 99_990, "{}", ends.len());
        assert_ne!(key.quick(&[1; 16]), HostKey::new(&[7; 32], b"t").quick(&[1; 16]));
    }

    #[test]
    fn fields_do_not_run_together() {
        let key = HostKey::new(&[7; 32], b"s");
        assert_ne!(key.digest("d", &[b"ab", b"c"]), key.digest("d", &[b"a", b"bc"]));
        assert_ne!(key.digest("d", &[b"a"]), key.digest("e", &[b"a"]));
        assert_ne!(key.digest("d", &[b"a"]), HostKey::new(&[7; 32], b"t").digest("d", &[b"a"]));
    }
}
