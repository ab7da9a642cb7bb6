//! ECDSA on P-256, P-384 and P-521 (RFC 7518, section 3.4) and on secp256k1 (RFC 8812, section
//! 3.2): the first two by the arithmetic of [`super::curve`], the others by crates.

use super::curve::{self, P256, P384};
use super::der::ecdsa_signature;
use super::digest::digest;
use super::error::KeyError;
use super::rsa::without_leading_zeros;
use super::{Algorithm, BadSignature};
use p521::ecdsa::signature::hazmat::PrehashVerifier;

/// `SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING` of a point of 65 bytes (RFC
/// 5480).
const SPKI_P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// `SEQUENCE { SEQUENCE { id-ecPublicKey, secp384r1 }, BIT STRING` of a point of 97 bytes (RFC
/// 5480).
const SPKI_P384: &[u8] =
    b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
/// `SEQUENCE { SEQUENCE { id-ecPublicKey, secp521r1 }, BIT STRING` of a point of 133 bytes (RFC
/// 5480).
const SPKI_P521: &[u8] = b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";
/// `SEQUENCE { SEQUENCE { id-ecPublicKey, secp256k1 }, BIT STRING` of a point of 65 bytes (SEC 2,
/// appendix A.2).
const SPKI_SECP256K1: &[u8] =
    b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a\x03\x42\x00";

/// A curve that a supported algorithm uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

impl Curve {
    /// The curve of that name in a JWK.
    pub(super) fn parse(name: &str) -> Option<Curve> {
        [Curve::P256, Curve::P384, Curve::P521, Curve::Secp256k1]
            .into_iter()
            .find(|curve| curve.name() == name)
    }

    /// The name in a JWK (RFC 7518, section 6.2.1.1; RFC 8812, section 3.1).
    pub(super) fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
            Curve::Secp256k1 => "secp256k1",
        }
    }

    /// What the curve is called in messages about a key on it.
    pub(super) fn key_name(self) -> &'static str {
        match self {
            Curve::P256 => "EC key on curve P-256",
            Curve::P384 => "EC key on curve P-384",
            Curve::P521 => "EC key on curve P-521",
            Curve::Secp256k1 => "EC key on curve secp256k1",
        }
    }

    /// Bytes of a coordinate, and of each half of a signature.
    pub(super) fn coordinate_bytes(self) -> usize {
        match self {
            Curve::P256 | Curve::Secp256k1 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    /// The one algorithm that a key on the curve verifies.
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Curve::P256 => Algorithm::ES256,
            Curve::P384 => Algorithm::ES384,
            Curve::P521 => Algorithm::ES512,
            Curve::Secp256k1 => Algorithm::ES256K,
        }
    }
}

/// A point on its curve, other than infinity.
pub(super) enum EcKey {
    P256(curve::Key<P256>),
    P384(curve::Key<P384>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Secp256k1(Box<k256::ecdsa::VerifyingKey>),
}

impl EcKey {
    /// From the SEC1 encoding, uncompressed or compressed.
    pub(super) fn from_sec1(curve: Curve, point: &[u8]) -> Result<EcKey, KeyError> {
        match curve {
            Curve::P256 => curve::Key::from_sec1(point).map(EcKey::P256),
            Curve::P384 => curve::Key::from_sec1(point).map(EcKey::P384),
            Curve::P521 => p521::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(|key| EcKey::P521(Box::new(key)))
                .ok(),
            Curve::Secp256k1 => k256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(|key| EcKey::Secp256k1(Box::new(key)))
                .ok(),
        }
        .ok_or(KeyError::BadPoint(curve.key_name()))
    }

    /// From the coordinates of a JWK. Each should have the curve's full length (RFC 7518, section
    /// 6.2.1.2); servers that write them as numbers leave zeros in front out, or write one too
    /// many.
    pub(super) fn from_coordinates(curve: Curve, x: &[u8], y: &[u8]) -> Result<EcKey, KeyError> {
        let expected = curve.coordinate_bytes();
        let mut point = vec![4];
        for (member, coordinate) in [("x", x), ("y", y)] {
            let number = without_leading_zeros(coordinate);
            let found = number.len();
            let zeros = expected.checked_sub(found).ok_or(KeyError::MemberLength {
                member,
                expected,
                found,
            })?;
            point.resize(point.len() + zeros, 0);
            point.extend_from_slice(number);
        }
        EcKey::from_sec1(curve, &point)
    }

    pub(super) fn curve(&self) -> Curve {
        match self {
            EcKey::P256(_) => Curve::P256,
            EcKey::P384(_) => Curve::P384,
            EcKey::P521(_) => Curve::P521,
            EcKey::Secp256k1(_) => Curve::Secp256k1,
        }
    }

    /// The key as SubjectPublicKeyInfo with an uncompressed point.
    pub(super) fn spki_der(&self) -> Vec<u8> {
        match self {
            EcKey::P256(key) => [SPKI_P256, &key.to_sec1()].concat(),
            EcKey::P384(key) => [SPKI_P384, &key.to_sec1()].concat(),
            EcKey::P521(key) => [SPKI_P521, key.to_sec1_point(false).as_bytes()].concat(),
            EcKey::Secp256k1(key) => [SPKI_SECP256K1, key.to_sec1_point(false).as_bytes()].concat(),
        }
    }

    /// The signature as DER, which hosts want; `None` if it isn't r and s of the full length, each
    /// from 1 to n - 1.
    pub(super) fn signature_der(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let halves = signature.split_at_checked(self.curve().coordinate_bytes())?;
        match self {
            EcKey::P256(_) => curve::scalars::<P256>(signature).map(|_| ecdsa_signature(halves)),
            EcKey::P384(_) => curve::scalars::<P384>(signature).map(|_| ecdsa_signature(halves)),
            EcKey::P521(_) => Some(
                p521::ecdsa::Signature::from_slice(signature).ok()?.to_der().as_bytes().to_vec(),
            ),
            // BoringSSL, which hosts have, doesn't know the curve.
            EcKey::Secp256k1(_) => None,
        }
    }

    /// Verifies r and s of the full length. A high s is good: JOSE doesn't ask for the lower of the
    /// two, on secp256k1 either, where Bitcoin does.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if algorithm != self.curve().algorithm() {
            return Err(BadSignature);
        }
        let digest = digest(algorithm.hash().ok_or(BadSignature)?, signed);
        let is_good = match self {
            EcKey::P256(key) => key.verifies(&digest, signature),
            EcKey::P384(key) => key.verifies(&digest, signature),
            EcKey::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify_prehash(&digest, &signature))
                .is_ok(),
            EcKey::Secp256k1(key) => k256::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify_prehash(&digest, &signature.normalize_s()))
                .is_ok(),
        };
        if is_good { Ok(()) } else { Err(BadSignature) }
    }

    /// Whether the key has its table; this counts as a use of it.
    pub(super) fn has_table(&self) -> bool {
        match self {
            EcKey::P256(key) => key.has_table(),
            EcKey::P384(key) => key.has_table(),
            EcKey::P521(_) | EcKey::Secp256k1(_) => false,
        }
    }

    /// Whether the key would verify faster with a table, and the worker has no room for one.
    pub(super) fn is_crowded_out(&self) -> bool {
        match self {
            EcKey::P256(key) => key.is_crowded_out(),
            EcKey::P384(key) => key.is_crowded_out(),
            EcKey::P521(_) | EcKey::Secp256k1(_) => false,
        }
    }
}
