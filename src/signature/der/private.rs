//! Private keys out of DER, for what the filter itself signs: PKCS#8 (RFC 5958) and PKCS#1 (RFC
//! 8017, appendix A.1.2).

use spki::der::asn1::{AnyRef, BitStringRef, ContextSpecific, OctetStringRef, UintRef};
use spki::der::{Decode, Reader, Result, SliceReader, TagNumber};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier};

use super::{EC_PUBLIC_KEY, ED25519, P_256, RSA_ENCRYPTION};
use crate::signature::sign::PrivateKey;

/// A key from PKCS#8's `OneAsymmetricKey`; nothing if it is of a kind that doesn't sign here.
pub(in crate::signature) fn from_pkcs8(der: &[u8]) -> Option<PrivateKey> {
    let (algorithm, key) = one_asymmetric_key(der).ok()?;
    match algorithm.oid {
        // RFC 3279, section 2.3.1.
        RSA_ENCRYPTION if algorithm.parameters?.is_null() => from_pkcs1(key),
        EC_PUBLIC_KEY if algorithm.parameters_oid().is_ok_and(|curve| curve == P_256) => {
            let (scalar, point) = ec_private_key(key).ok()?;
            PrivateKey::es256(scalar, point)
        }
        // RFC 8410, sections 3 and 7.
        ED25519 if algorithm.parameters.is_none() => {
            PrivateKey::ed25519(<&OctetStringRef>::from_der(key).ok()?.as_bytes(), None)
        }
        _ => None,
    }
}

/// A key from PKCS#1's `RSAPrivateKey`. The primes aren't needed.
pub(in crate::signature) fn from_pkcs1(der: &[u8]) -> Option<PrivateKey> {
    let [modulus, public, private] = rsa_private_key(der).ok()?;
    PrivateKey::rs256(modulus, public, private)
}

/// The algorithm, and what it has as its key. Attributes and the public key that may follow are
/// passed over: who signs makes the public key anew.
fn one_asymmetric_key(der: &[u8]) -> Result<(AlgorithmIdentifierRef<'_>, &[u8])> {
    whole(der, |reader| {
        version(reader, 0..=1)?;
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        let key = <&OctetStringRef>::decode(reader)?.as_bytes();
        while !reader.is_finished() {
            let more = AnyRef::decode(reader)?;
            if !more.header().tag().is_context_specific() {
                return Err(more.header().tag().value_error().into());
            }
        }
        Ok((algorithm, key))
    })
}

/// The modulus and the two exponents. Of two primes: version 1 has more.
fn rsa_private_key(der: &[u8]) -> Result<[&[u8]; 3]> {
    whole(der, |reader| {
        version(reader, 0..=0)?;
        let mut number = || UintRef::decode(reader).map(|number| number.as_bytes());
        let numbers = [number()?, number()?, number()?];
        // Primes, their exponents, the coefficient.
        for _ in 0..5 {
            number()?;
        }
        Ok(numbers)
    })
}

/// The scalar, and the point if it is there (RFC 5915).
fn ec_private_key(der: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    whole(der, |reader| {
        version(reader, 1..=1)?;
        let scalar = <&OctetStringRef>::decode(reader)?.as_bytes();
        let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(reader, TagNumber(0))?;
        if curve.is_some_and(|curve| curve.value != P_256) {
            return Err(spki::der::Tag::ObjectIdentifier.value_error().into());
        }
        let point = ContextSpecific::<BitStringRef<'_>>::decode_explicit(reader, TagNumber(1))?;
        Ok((scalar, point.map(|point| point.value.raw_bytes())))
    })
}

/// What one `SEQUENCE` holds, without a byte before or after it.
fn whole<'a, T>(der: &'a [u8], read: impl FnOnce(&mut SliceReader<'a>) -> Result<T>) -> Result<T> {
    let mut reader = SliceReader::new(der)?;
    let found = reader.sequence(read)?;
    reader.finish()?;
    Ok(found)
}

fn version(reader: &mut SliceReader<'_>, allowed: std::ops::RangeInclusive<u8>) -> Result<()> {
    let found = u8::decode(reader)?;
    match allowed.contains(&found) {
        true => Ok(()),
        false => Err(spki::der::Tag::Integer.value_error().into()),
    }
}
