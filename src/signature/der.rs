//! Public keys out of DER: SubjectPublicKeyInfo, PKCS#1 and X.509 certificates, and back into
//! SubjectPublicKeyInfo. What is read of private keys stands in [`private`].

use super::algorithm::Algorithm;
use super::ec::{Curve, EcKey};
use super::ed25519::EdKey;
use super::error::KeyError;
use super::key::PublicKey;
use super::mldsa::MlDsaKey;
use super::rsa::{RsaKey, without_leading_zeros};
use spki::der::asn1::{AnyRef, BitStringRef, ContextSpecific, UintRef};
use spki::der::{Decode, Reader, SliceReader, TagNumber};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

pub(super) mod private;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P_384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P_521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 9881, section 2.
const ML_DSA: [(ObjectIdentifier, Algorithm); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17"), Algorithm::MlDsa44),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18"), Algorithm::MlDsa65),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19"), Algorithm::MlDsa87),
];

/// The `AlgorithmIdentifier` of an RSA key with its `NULL` parameters (RFC 3279, section 2.3.1).
const RSA_ALGORITHM: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// A key from SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
pub(super) fn from_spki(der: &[u8]) -> Result<PublicKey, KeyError> {
    let malformed = KeyError::NotDer("a SubjectPublicKeyInfo");
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| malformed.clone())?;
    let content = info.subject_public_key.as_bytes().ok_or(malformed)?;
    match info.algorithm.oid {
        RSA_ENCRYPTION => from_pkcs1(content),
        // Its parameters may pin hash and salt; honouring them is more than any issuer asks for.
        RSASSA_PSS => Err(KeyError::UnsupportedKey("an RSA key restricted to PSS (id-RSASSA-PSS)")),
        EC_PUBLIC_KEY => {
            let curve = match info.algorithm.parameters_oid() {
                Ok(P_256) => Curve::P256,
                Ok(P_384) => Curve::P384,
                Ok(P_521) => Curve::P521,
                Ok(SECP256K1) => Curve::Secp256k1,
                _ => return Err(KeyError::UnsupportedKey("an EC key on another curve")),
            };
            EcKey::from_sec1(curve, content).map(PublicKey::Ec)
        }
        ED25519 => EdKey::new(content).map(PublicKey::Ed),
        other => {
            let algorithm =
                ML_DSA.iter().find(|(oid, _)| *oid == other).map(|(_, algorithm)| *algorithm);
            let key = algorithm
                .filter(|_| info.algorithm.parameters.is_none())
                .and_then(|algorithm| MlDsaKey::new(algorithm, content));
            let key = key.ok_or(KeyError::UnsupportedKey("a key of another kind"))?;
            key.map(PublicKey::MlDsa).map_err(|_| KeyError::NotDer("a SubjectPublicKeyInfo"))
        }
    }
}

/// A key from PKCS#1's `RSAPublicKey` (RFC 8017, appendix A.1.1). Negative numbers are refused.
pub(super) fn from_pkcs1(der: &[u8]) -> Result<PublicKey, KeyError> {
    fn numbers(der: &[u8]) -> spki::der::Result<(&[u8], &[u8])> {
        let mut reader = SliceReader::new(der)?;
        let numbers = reader.sequence(|reader: &mut SliceReader<'_>| {
            Ok::<_, spki::der::Error>((
                UintRef::decode(reader)?.as_bytes(),
                UintRef::decode(reader)?.as_bytes(),
            ))
        })?;
        reader.finish()?;
        Ok(numbers)
    }
    let (modulus, exponent) = numbers(der).map_err(|_| KeyError::NotDer("an RSAPublicKey"))?;
    RsaKey::new(modulus, exponent).map(|key| PublicKey::rsa(key, modulus, exponent))
}

/// The key of an X.509 certificate (RFC 5280, section 4.1). Neither its validity nor its issuer is
/// looked at: the configuration names the certificate, and that is what makes it trusted.
pub(super) fn from_certificate(der: &[u8]) -> Result<PublicKey, KeyError> {
    fn key(der: &[u8]) -> spki::der::Result<Vec<u8>> {
        let mut reader = SliceReader::new(der)?;
        let key = reader.sequence(|certificate: &mut SliceReader<'_>| {
            let key = certificate.sequence(|tbs: &mut SliceReader<'_>| {
                // version, serialNumber, signature, issuer, validity, subject
                ContextSpecific::<AnyRef<'_>>::decode_explicit(tbs, TagNumber(0))?;
                for _ in 0..5 {
                    AnyRef::decode(tbs)?;
                }
                let key = tbs.tlv_bytes()?;
                while !tbs.is_finished() {
                    AnyRef::decode(tbs)?;
                }
                Ok::<_, spki::der::Error>(key.to_vec())
            })?;
            AnyRef::decode(certificate)?;
            BitStringRef::decode(certificate)?;
            Ok::<_, spki::der::Error>(key)
        })?;
        reader.finish()?;
        Ok(key)
    }
    from_spki(&key(der).map_err(|_| KeyError::NotDer("an X.509 certificate"))?)
}

/// SubjectPublicKeyInfo of an RSA key given as big-endian numbers.
pub(super) fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = [unsigned(modulus), unsigned(exponent)].concat();
    let key = tlv(0x30, &numbers);
    tlv(0x30, &[RSA_ALGORITHM, &tlv(0x03, &[&[0], key.as_slice()].concat())].concat())
}

/// SubjectPublicKeyInfo of an ML-DSA key (RFC 9881, section 4); its algorithm has no parameters.
pub(super) fn ml_dsa_spki(algorithm: Algorithm, key: &[u8]) -> Vec<u8> {
    let oid =
        ML_DSA.iter().find(|(_, of)| *of == algorithm).map(|(oid, _)| tlv(0x06, oid.as_bytes()));
    let algorithm = tlv(0x30, &oid.unwrap_or_default());
    tlv(0x30, &[algorithm, tlv(0x03, &[&[0], key].concat())].concat())
}

/// The signature of ECDSA as hosts take it, `SEQUENCE { r, s }` (RFC 3279, section 2.2.3), of numbers
/// of up to 48 bytes: each length is then one byte, and all of it one piece of memory.
pub(super) fn ecdsa_signature((r, s): (&[u8], &[u8])) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + r.len() + s.len());
    out.extend([0x30, 0]);
    for number in [r, s] {
        let digits = without_leading_zeros(number);
        let sign: &[u8] = if has_sign(digits) { &[0] } else { &[] };
        out.extend([0x02, (sign.len() + digits.len()) as u8]);
        out.extend_from_slice(sign);
        out.extend_from_slice(digits);
    }
    let length = out.len() - 2;
    if let Some(place) = out.get_mut(1) {
        *place = length as u8;
    }
    out
}

/// Whether a zero goes before these digits, so that they aren't those of a negative number.
fn has_sign(digits: &[u8]) -> bool {
    digits.first().is_none_or(|first| *first >= 0x80)
}

/// `INTEGER` of a number that isn't negative.
fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let digits = without_leading_zeros(big_endian);
    let sign: &[u8] = if has_sign(digits) { &[0] } else { &[] };
    tlv(0x02, &[sign, digits].concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u32).to_be_bytes();
    let digits = without_leading_zeros(&len);
    let header = match digits {
        [] => vec![tag, 0],
        [len @ ..=0x7f] => vec![tag, *len],
        _ => [&[tag, 0x80 | digits.len() as u8], digits].concat(),
    };
    [header.as_slice(), content].concat()
}
