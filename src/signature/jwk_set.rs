//! JWK Sets (RFC 7517, section 5): a document of an issuer into the keys that may verify its
//! tokens.

use crate::signature::{AlgorithmSet, KeyError, VerifyKey};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The usable keys of a document, in its order.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    /// Keys that verify at least one of the allowed algorithms. Two may have the same `kid`, or
    /// none.
    pub keys: Vec<VerifyKey>,
    /// What was left out: unknown types, other uses, weak or malformed keys, private keys.
    pub left_out: Vec<LeftOut>,
}

impl JwkSet {
    /// The set without those keys that say whose they are and for whom `admits` says no.
    #[must_use]
    pub fn admitted(self, admits: impl Fn(&str) -> bool) -> JwkSet {
        let JwkSet { keys, mut left_out } = self;
        let (keys, others): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.issuer().is_none_or(&admits));
        left_out.extend(others.iter().map(|key| LeftOut {
            kid: key.kid().map(str::to_owned),
            why: KeyError::OfAnotherIssuer,
        }));
        JwkSet { keys, left_out }
    }
}

/// A member of a set that isn't used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Its `kid`, if that can be read. It is the server's text, of any length.
    pub kid: Option<String>,
    /// What makes it no key of ours.
    pub why: KeyError,
}

/// Why a document isn't a JWK Set that can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JwkSetError {
    /// It is longer than `bytes_max`.
    TooLong {
        /// Length in bytes.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// It isn't one JSON value in UTF-8, or is nested too deeply.
    NotJson,
    /// A member is named twice in one object.
    DuplicateMember,
    /// It is neither an object with an array `keys` nor one from `kid` to certificate.
    NotASet,
    /// It holds more than `keys_max` members, usable or not.
    TooManyKeys {
        /// What is allowed.
        keys_max: usize,
    },
}

impl fmt::Display for JwkSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JwkSetError::TooLong { bytes, bytes_max } => {
                write!(f, "expected a JWK Set of at most {bytes_max} bytes, got {bytes}")
            }
            JwkSetError::NotJson => f.write_str("expected a JWK Set, got no JSON"),
            JwkSetError::DuplicateMember => f.write_str("the JWK Set names a member twice in one object"),
            JwkSetError::NotASet => f.write_str("expected a JWK Set, a JSON object with an array \"keys\", or one from kid to certificate"),
            JwkSetError::TooManyKeys { keys_max } => {
                write!(f, "expected a JWK Set of at most {keys_max} keys, got more")
            }
        }
    }
}

impl std::error::Error for JwkSetError {}

/// Reads a JWK Set, or in its place an object from `kid` to certificate in PEM, as Google and
/// Firebase serve it. Keys that can't be used for `allowed` are left out, as RFC 7517 asks; a set
/// without usable keys is not an error here. A set that holds a private key is published by
/// mistake: that key is left out too.
///
/// # Errors If the document as a whole isn't a set, is ambiguous or exceeds a limit; `bytes_max`
/// counts bytes.
pub fn parse(
    document: &[u8],
    allowed: AlgorithmSet,
    keys_max: usize,
    bytes_max: usize,
) -> Result<JwkSet, JwkSetError> {
    if document.len() > bytes_max {
        return Err(JwkSetError::TooLong { bytes: document.len(), bytes_max });
    }
    let document = std::str::from_utf8(document).map_err(|_| JwkSetError::NotJson)?;
    serde_json::from_str::<Unambiguous>(document).map_err(|error| {
        // The visitor takes every kind of value: its own complaint is the only one about data.
        if error.is_data() { JwkSetError::DuplicateMember } else { JwkSetError::NotJson }
    })?;
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(document).map_err(|_| JwkSetError::NotASet)?;
    let read: Vec<Result<VerifyKey, LeftOut>> = match members.get("keys") {
        Some(keys) => {
            let keys: Vec<&RawValue> =
                serde_json::from_str(keys.get()).map_err(|_| JwkSetError::NotASet)?;
            bounded(keys.len(), keys_max)?;
            keys.into_iter().map(|jwk| from_jwk(jwk.get(), allowed)).collect()
        }
        None => {
            // An object of another kind, such as an error's, is no set without usable keys.
            if !members
                .values()
                .any(|member| text(member).is_some_and(|text| text.contains("-----BEGIN ")))
            {
                return Err(JwkSetError::NotASet);
            }
            bounded(members.len(), keys_max)?;
            members
                .into_iter()
                .map(|(kid, member)| from_certificate(kid, member, allowed))
                .collect()
        }
    };
    let mut set = JwkSet::default();
    for key in read {
        match key {
            Ok(key) => set.keys.push(key),
            Err(left_out) => set.left_out.push(left_out),
        }
    }
    Ok(set)
}

fn bounded(keys: usize, keys_max: usize) -> Result<(), JwkSetError> {
    if keys > keys_max { Err(JwkSetError::TooManyKeys { keys_max }) } else { Ok(()) }
}

fn from_jwk(jwk: &str, allowed: AlgorithmSet) -> Result<VerifyKey, LeftOut> {
    #[derive(Deserialize)]
    struct Named {
        kid: Option<String>,
    }
    let kid = || serde_json::from_str::<Named>(jwk).ok()?.kid;
    VerifyKey::from_jwk(jwk, allowed).map_err(|why| LeftOut { kid: kid(), why })
}

fn from_certificate(
    kid: String,
    member: &RawValue,
    allowed: AlgorithmSet,
) -> Result<VerifyKey, LeftOut> {
    let key = text(member)
        .ok_or(KeyError::NotPem("got no text"))
        .and_then(|pem| VerifyKey::from_pem(&pem, allowed));
    let kid = Some(kid).filter(|kid| !kid.is_empty());
    match key {
        Ok(key) => Ok(key.with_kid(kid)),
        Err(why) => Err(LeftOut { kid, why }),
    }
}

fn text(member: &RawValue) -> Option<String> {
    serde_json::from_str(member.get()).ok()
}

/// A JSON value in which no object names a member twice. Names count as decoded: `"k"` and
/// `"\u006b"` are the same.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unambiguous)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value that names no member twice")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member is named twice"));
            }
            map.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Unambiguous, A::Error> {
        while sequence.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests;
