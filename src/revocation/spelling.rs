//! One spelling of a token for all that can be written without its issuer's key.
//!
//! Of an ECDSA signature (r, s) anyone can make (r, n - s), which is as good (SEC 1, section
//! 4.1.4). Every other algorithm here has one signature for one message and key, or none that
//! others could change, and the strict reader takes one spelling of each segment
//! ([`crate::jwt::parse`]). So with the smaller s in place, a token that nobody can verify here is
//! named in a way that holds for every spelling of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The orders of the curves' groups, big endian (SEC 2, version 2.0).
const P256: &[u8] = b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\
\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const P384: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73";
const P521: &[u8] = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa\x51\x86\x87\x83\xbf\x2f\x96\x6b\x7f\xcc\x01\x48\xf7\x09\xa5\xd0\x3b\xb5\xc9\
\xb8\x89\x9c\x47\xae\xbb\x6f\xb7\x1e\x91\x38\x64\x09";
const SECP256K1: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\
\xba\xae\xdc\xe6\xaf\x48\xa0\x3b\xbf\xd2\x5e\x8c\xd0\x36\x41\x41";

/// The token in the one spelling; as it is where it has no other.
pub fn canonical(token: &[u8]) -> Cow<'_, [u8]> {
    other(token).map_or(Cow::Borrowed(token), Cow::Owned)
}

/// The other spelling, if that is the canonical one.
fn other(token: &[u8]) -> Option<Vec<u8>> {
    #[derive(serde::Deserialize)]
    struct Header<'a> {
        #[serde(borrow)]
        alg: Cow<'a, str>,
    }
    let mut segments = token.split(|byte| *byte == b'.');
    let (header, payload, signature) = (segments.next()?, segments.next()?, segments.next()?);
    if segments.next().is_some() {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let order = match serde_json::from_slice::<Header<'_>>(&header).ok()?.alg.as_ref() {
        "ES256" => P256,
        "ES384" => P384,
        "ES512" => P521,
        "ES256K" => SECP256K1,
        _ => return None,
    };
    let raw = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let (r, s) = raw.split_at_checked(order.len())?;
    let turned = difference(order, s)?;
    if turned.as_slice() >= s {
        return None;
    }
    let signed = token.get(..token.len().checked_sub(signature.len())?)?;
    debug_assert!(signed.ends_with(payload) || signed.ends_with(b"."));
    Some([signed, URL_SAFE_NO_PAD.encode([r, &turned].concat()).as_bytes()].concat())
}

/// `a - b` for numbers of one length with 0 < b < a.
fn difference(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    if a.len() != b.len() || b >= a || b.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut result = Vec::with_capacity(a.len());
    let mut borrow = false;
    for (x, y) in a.iter().rev().zip(b.iter().rev()) {
        let (less, one) = x.overflowing_sub(*y);
        let (less, two) = less.overflowing_sub(u8::from(borrow));
        borrow = one || two;
        result.push(less);
    }
    result.reverse();
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_simple::prelude::{
        Claims, Duration, ECDSAP256KeyPairLike, ECDSAP384KeyPairLike, ES256KeyPair, ES384KeyPair,
    };
    use proptest::prelude::*;

    /// The token with the other s.
    fn twin(token: &str, order: &[u8]) -> String {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (r, s) = raw.split_at(order.len());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode([r, &difference(order, s).unwrap()].concat()))
    }

    #[test]
    fn both_spellings_of_an_ecdsa_signature_are_one() {
        let (es256, es384) = (ES256KeyPair::generate(), ES384KeyPair::generate());
        for n in 0..20 {
            let claims = || Claims::create(Duration::from_secs(n));
            for (token, order) in
                [(es256.sign(claims()).unwrap(), P256), (es384.sign(claims()).unwrap(), P384)]
            {
                let other = twin(&token, order);
                assert_ne!(token, other);
                assert_eq!(canonical(token.as_bytes()), canonical(other.as_bytes()));
                let one = canonical(token.as_bytes());
                assert!(*one == *token.as_bytes() || *one == *other.as_bytes());
            }
        }
    }

    #[test]
    fn orders_are_those_of_their_curves() {
        for (order, bytes) in [(P256, 32), (P384, 48), (P521, 66), (SECP256K1, 32)] {
            assert_eq!(order.len(), bytes);
            assert_eq!(order.last().unwrap() % 2, 1, "a prime");
        }
    }

    fn es(alg: &str, signature: &[u8]) -> String {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}"}}"#));
        format!("{header}.e30.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn what_has_one_spelling_stays_as_it_is() {
        let order = [P256, P256].concat();
        for token in [
            "opaque".to_owned(),
            "a.b.c".to_owned(),
            "..".to_owned(),
            es("RS256", &[0xff; 64]),
            es("ES256", &[0xff; 64]),
            es("ES256", &[0xff; 63]),
            es("ES256", &[0; 64]),
            es("ES256", &order),
            es("ES384", &[0xff; 96]),
            format!("{}.x", es("ES256", &[0x90; 64])),
        ] {
            assert_eq!(canonical(token.as_bytes()), token.as_bytes(), "{token}");
        }
        let high = es("ES256", &[0x90; 64]);
        assert_ne!(canonical(high.as_bytes()), high.as_bytes());
    }

    proptest! {
        #[test]
        fn canonical_is_canonical(signature in proptest::collection::vec(any::<u8>(), 130..133), alg in 0usize..4, bytes in any::<Vec<u8>>()) {
            let (alg, order) = [("ES256", P256), ("ES384", P384), ("ES512", P521), ("ES256K", SECP256K1)][alg];
            let token = es(alg, &signature[..signature.len().min(order.len() * 2)]);
            let one = canonical(token.as_bytes()).into_owned();
            prop_assert_eq!(canonical(&one).into_owned(), one);
            prop_assert_eq!(&*canonical(&bytes), &bytes[..]);
        }
    }
}
