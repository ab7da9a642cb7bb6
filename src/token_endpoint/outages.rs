//! An outage as gateways tell it to each other, through Redis: the endpoint's name, times, and who
//! tells it, with a MAC under a key that only the gateways have.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::admission::Outage;
use crate::digest::{Digest, HostKey};
use crate::redis;
use crate::time::Time;

/// An outage, and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// The endpoint's name, which all gateways make alike.
    pub endpoint: Digest,
    /// The gateway that tells it.
    pub gateway: u64,
    /// The outage.
    pub outage: Outage,
}

const MAC_BYTES: usize = 16;
const TOLD_BYTES: usize = 64;

impl Told {
    fn bytes(&self) -> [u8; TOLD_BYTES] {
        let Outage { since, told_at, pause_ms } = self.outage;
        let numbers = [since.ms(), told_at.ms(), pause_ms, self.gateway].map(u64::to_le_bytes);
        let mut bytes = [0; TOLD_BYTES];
        let all = self.endpoint.0.iter().chain(numbers.as_flattened());
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// As a text for Redis.
    pub fn seal(&self, key: &HostKey) -> String {
        let bytes = self.bytes();
        URL_SAFE_NO_PAD.encode([&bytes[..], &mac(key, &bytes)].concat())
    }

    /// What a text tells, if the MAC is right.
    pub fn open(key: &HostKey, text: &str) -> Option<Told> {
        let bytes: [u8; TOLD_BYTES + MAC_BYTES] =
            URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (said, sealed) = bytes.split_first_chunk::<TOLD_BYTES>()?;
        if !bool::from(mac(key, said).ct_eq(sealed)) {
            return None;
        }
        let (endpoint, rest) = said.split_first_chunk::<32>()?;
        let ([since, told_at, pause, gateway], []) = rest.as_chunks::<8>() else { return None };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let time = |bytes: &[u8; 8]| Time::from_ms(number(bytes));
        let (since, told_at, pause_ms) = (time(since), time(told_at), number(pause));
        let outage = Outage { since, told_at, pause_ms };
        Some(Told { endpoint: Digest(*endpoint), gateway: number(gateway), outage })
    }
}

fn mac(key: &HostKey, bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mac = key.digest("told outage v1", &[bytes]);
    mac.0.first_chunk().copied().unwrap_or_default()
}

/// What the note about an endpoint is known as in Redis.
pub fn note_name(endpoint: &Digest) -> String {
    redis::short(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_what_was_told_under_the_same_secret_alone() {
        let key = |secret: &[u8]| HostKey::new(&[7; 32], secret);
        let at = Time::from_s(1_800_000_000);
        let outage = Outage { since: at, told_at: at.plus_ms(20), pause_ms: 100 };
        let told = Told { endpoint: Digest([5; 32]), gateway: 77, outage };
        let text = told.seal(&key(b"secret"));
        assert_eq!(Told::open(&key(b"secret"), &text), Some(told));
        assert_eq!(Told::open(&key(b"another"), &text), None);
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            let opened = |bytes: &[u8]| Told::open(&key(b"secret"), &URL_SAFE_NO_PAD.encode(bytes));
            assert_eq!((opened(&other), opened(&bytes[..place])), (None, None), "{place}");
        }
        for odd in ["", "AAAA", "no outage"] {
            assert_eq!(Told::open(&key(b"secret"), odd), None);
        }
    }
}
