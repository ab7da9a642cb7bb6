//! Keyed digests: whatever becomes a key in memory shared with others goes through here.

use hmac::{Hmac, Mac};
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
        let mut sip_key = [0u8; 16];
        sip_key.iter_mut().zip(sip_bytes).for_each(|(to, from)| *to = from);
        HostKey { mac, sip: siphasher::sip::SipHasher24::new_with_key(&sip_key) }
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
    fn fields_do_not_run_together() {
        let key = HostKey::new(&[7; 32], b"s");
        assert_ne!(key.digest("d", &[b"ab", b"c"]), key.digest("d", &[b"a", b"bc"]));
        assert_ne!(key.digest("d", &[b"a"]), key.digest("e", &[b"a"]));
        assert_ne!(key.digest("d", &[b"a"]), HostKey::new(&[7; 32], b"t").digest("d", &[b"a"]));
    }
}
