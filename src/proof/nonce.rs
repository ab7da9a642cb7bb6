//! Nonces for proofs that need no memory (RFC 9449, section 9): a moment, and a MAC that only who
//! knows the key can make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest::HostKey;
use crate::time::{AHEAD_MS_MAX, NS_PER_S, Time};

/// Seconds for which one nonce is given out. It is accepted for as long again, so that a client
/// that got it at its end can use it.
pub const WINDOW_S: u64 = 60;
/// Bytes of a nonce in a proof at most; ours are shorter.
pub const BYTES_MAX: usize = 64;

const MAC_BYTES: usize = 16;

/// The nonce that is given out now. `born` is when this gateway's memory of proofs began: a nonce is
/// never older, so a proof that holds it was made after that moment.
pub fn issue(key: &HostKey, now: Time, born: Time) -> String {
    let window = Time::from_s(now.s() / WINDOW_S * WINDOW_S);
    encode(key, window.max(born))
}

/// When a nonce was made, if it is one of ours and not too old.
pub fn read(key: &HostKey, text: &str, now: Time) -> Option<Time> {
    let bytes: [u8; 8 + MAC_BYTES] = URL_SAFE_NO_PAD
        .decode(text.get(..).filter(|text| text.len() <= BYTES_MAX)?)
        .ok()?
        .try_into()
        .ok()?;
    let made = Time::from_ns(u64::from_be_bytes(*bytes.first_chunk()?));
    let is_young =
        now.ns() < made.ns().saturating_add(2 * WINDOW_S * NS_PER_S + AHEAD_MS_MAX * 1_000_000);
    // What a comparison that ends early tells is nothing: a client may know all nonces.
    (is_young && !made.is_ahead_of(now) && encode(key, made) == text).then_some(made)
}

fn encode(key: &HostKey, made: Time) -> String {
    let made = made.ns().to_be_bytes();
    let mac = key.digest("dpop nonce v1", &[&made]).0;
    let mac = mac.first_chunk::<MAC_BYTES>().copied().unwrap_or_default();
    URL_SAFE_NO_PAD.encode([&made[..], &mac].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_s(1_800_000_030);

    fn key() -> HostKey {
        HostKey::new(&[1; 32], b"secret")
    }

    #[test]
    fn one_nonce_a_window_is_accepted_in_two() {
        let nonce = issue(&key(), NOW, Time::default());
        assert_eq!(nonce, issue(&key(), NOW.plus_s(29), Time::default()));
        assert_ne!(nonce, issue(&key(), NOW.plus_s(30), Time::default()));
        let made = Some(Time::from_s(1_800_000_000));
        assert_eq!(read(&key(), &nonce, NOW), made);
        assert_eq!(read(&key(), &nonce, NOW.plus_s(89)), made);
        assert_eq!(read(&key(), &nonce, NOW.plus_s(92)), None);
        assert_eq!(read(&key(), &nonce, Time::from_s(1_799_999_990)), None, "the clock went back");
    }

    #[test]
    fn none_is_older_than_the_memory() {
        let born = NOW.plus_ms(5);
        let nonce = issue(&key(), NOW.plus_s(1), born);
        assert_eq!(read(&key(), &nonce, NOW.plus_s(1)), Some(born));
    }

    #[test]
    fn others_are_none() {
        let nonce = issue(&key(), NOW, Time::default());
        for other in [
            issue(&HostKey::new(&[1; 32], b"another"), NOW, Time::default()),
            nonce.to_uppercase(),
            format!("{nonce}="),
            nonce.get(1..).unwrap().to_owned(),
            format!("A{nonce}"),
            String::new(),
            "A".repeat(10_000),
            "\u{e9}".to_owned(),
        ] {
            assert_eq!(read(&key(), &other, NOW), None, "{other:.40}");
        }
    }
}
