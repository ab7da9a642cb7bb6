//! Key agreement: ECDH-ES (RFC 7518, section 4.6; RFC 8037, section 3.2 for X25519).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::MontgomeryPoint;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::header::Header;
use crate::time::NS_PER_MS;

/// A private key that agrees with others on its curve.
pub(super) enum PrivateKey {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
    X25519([u8; 32]),
}

/// What differs from one Weierstrass curve to the next is its crate alone.
macro_rules! agree {
    ($curve:ident, $secret:expr, $x:expr, $y:expr) => {{
        let (x, y) = ($x.try_into().ok()?, $y.try_into().ok()?);
        // Refuses what isn't on the curve: with a point of another one, each answer would tell a
        // little of the key.
        let public = $curve::AffinePoint::from_coordinates(&x, &y).into_option()?;
        let shared = $curve::ecdh::diffie_hellman($secret.to_nonzero_scalar(), public);
        Some(shared.raw_secret_bytes().to_vec())
    }};
}

/// The public half of a key, as an uncompressed point. By the multiplication that agrees: the crates'
/// own way has a table of the generator's multiples, which is 60 KB of code on P-384.
macro_rules! public_point {
    ($curve:ident, $secret:expr) => {{
        let point = $curve::ProjectivePoint::GENERATOR * *$secret.to_nonzero_scalar();
        point.to_affine().to_sec1_point(false).as_bytes().to_vec()
    }};
}

impl PrivateKey {
    /// The key of this `crv`, from `d`; an error says what is wrong.
    pub fn new(crv: &str, d: &[u8]) -> Result<PrivateKey, &'static str> {
        let out_of_range = "\"d\" is no private key of the curve";
        match crv {
            "P-256" => {
                p256::SecretKey::from_slice(d).map(PrivateKey::P256).map_err(|_| out_of_range)
            }
            "P-384" => {
                p384::SecretKey::from_slice(d).map(PrivateKey::P384).map_err(|_| out_of_range)
            }
            "P-521" => {
                p521::SecretKey::from_slice(d).map(PrivateKey::P521).map_err(|_| out_of_range)
            }
            "X25519" => d.try_into().map(PrivateKey::X25519).map_err(|_| out_of_range),
            _ => Err("its \"crv\" is none of P-256, P-384, P-521, X25519"),
        }
    }

    /// `kty` and `crv`.
    pub(super) fn names(&self) -> (&'static str, &'static str) {
        match self {
            PrivateKey::P256(_) => ("EC", "P-256"),
            PrivateKey::P384(_) => ("EC", "P-384"),
            PrivateKey::P521(_) => ("EC", "P-521"),
            PrivateKey::X25519(_) => ("OKP", "X25519"),
        }
    }

    /// Nanoseconds that one agreement takes in WebAssembly, about.
    pub(super) fn cost_ns(&self) -> u64 {
        match self {
            PrivateKey::X25519(_) => NS_PER_MS / 5,
            PrivateKey::P256(_) => NS_PER_MS * 7 / 10,
            PrivateKey::P384(_) => NS_PER_MS * 3,
            PrivateKey::P521(_) => NS_PER_MS * 6,
        }
    }

    /// Bytes of a coordinate.
    fn field_bytes(&self) -> usize {
        match self {
            PrivateKey::P256(_) | PrivateKey::X25519(_) => 32,
            PrivateKey::P384(_) => 48,
            PrivateKey::P521(_) => 66,
        }
    }

    /// Whether this is its public half: x alone on X25519, else an uncompressed point.
    pub fn has_public(&self, x: &[u8], y: Option<&[u8]>) -> bool {
        let point = [&[4], x, y.unwrap_or_default()].concat();
        match self {
            PrivateKey::P256(key) => public_point!(p256, key) == point,
            PrivateKey::P384(key) => public_point!(p384, key) == point,
            PrivateKey::P521(key) => public_point!(p521, key) == point,
            PrivateKey::X25519(key) => {
                MontgomeryPoint::mul_base_clamped(*key).to_bytes() == x && y.is_none()
            }
        }
    }

    /// What both sides know; nothing if the other's key isn't one of this curve.
    pub(super) fn agree(&self, epk: &Map<String, Value>) -> Option<Vec<u8>> {
        let member = |name: &str| epk.get(name)?.as_str();
        let (kty, crv) = self.names();
        if member("kty") != Some(kty) || member("crv") != Some(crv) {
            return None;
        }
        let coordinate = |name: &str| {
            // RFC 7518, section 6.2.1.2: in full length.
            let bytes = URL_SAFE_NO_PAD.decode(member(name)?).ok()?;
            (bytes.len() == self.field_bytes()).then_some(bytes)
        };
        let x = coordinate("x")?;
        if let PrivateKey::X25519(key) = self {
            let other = MontgomeryPoint(x.try_into().ok()?);
            let shared = other.mul_clamped(*key).to_bytes();
            // RFC 8037, section 3.2: a point of small order agrees on nothing.
            return (!bool::from(shared.ct_eq(&[0; 32]))).then(|| shared.to_vec());
        }
        let (x, y) = (x.as_slice(), coordinate("y")?);
        match self {
            PrivateKey::P256(key) => agree!(p256, key, x, y.as_slice()),
            PrivateKey::P384(key) => agree!(p384, key, x, y.as_slice()),
            PrivateKey::P521(key) => agree!(p521, key, x, y.as_slice()),
            PrivateKey::X25519(_) => None,
        }
    }

    /// A key of so many bytes for what `name` names: an encryption, or an algorithm that wraps.
    pub fn derive(&self, header: &Header, name: &str, bytes: usize) -> Option<Vec<u8>> {
        Some(concat_kdf(&self.agree(header.epk.as_ref()?)?, name, &header.parties, bytes))
    }
}

/// The Concat KDF (NIST SP 800-56A) as RFC 7518, section 4.6.2 has it.
pub(super) fn concat_kdf(
    secret: &[u8],
    name: &str,
    parties: &[Vec<u8>; 2],
    bytes: usize,
) -> Vec<u8> {
    let length = |of: &[u8]| (of.len() as u32).to_be_bytes();
    let [party_u, party_v] = parties;
    let mut key = Vec::new();
    let mut round = 0_u32;
    while key.len() < bytes {
        round += 1;
        let hash = Sha256::new()
            .chain_update(round.to_be_bytes())
            .chain_update(secret)
            .chain_update(length(name.as_bytes()))
            .chain_update(name)
            .chain_update(length(party_u))
            .chain_update(party_u)
            .chain_update(length(party_v))
            .chain_update(party_v)
            .chain_update((bytes as u32 * 8).to_be_bytes());
        key.extend(hash.finalize());
    }
    key.truncate(bytes);
    key
}
