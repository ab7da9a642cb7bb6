//! JWK Sets (RFC 7517, section 5): a document of an issuer into the keys that may verify its tokens.

use crate::signature::{AlgorithmSet, VerifyKey};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// The usable keys of a document, in its order.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    /// Keys that verify at least one of the allowed algorithms. Two may have the same `kid`, or none.
    pub keys: Vec<VerifyKey>,
    /// How many members of `keys` were left out: unknown types, other uses, weak or malformed keys, private keys.
    pub skipped: usize,
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
    /// It isn't an object with an array `keys`.
    NotASet,
    /// The array holds more than `keys_max` members, usable or not.
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
            JwkSetError::NotASet => f.write_str("expected a JWK Set, a JSON object with an array \"keys\""),
            JwkSetError::TooManyKeys { keys_max } => {
                write!(f, "expected a JWK Set of at most {keys_max} keys, got more")
            }
        }
    }
}

impl std::error::Error for JwkSetError {}

/// Reads a JWK Set. Keys that can't be used for `allowed` are left out and counted, as RFC 7517 asks; a set without
/// usable keys is not an error here. A set that holds a private key is published by mistake: that key is left out too.
///
/// # Errors
/// If the document as a whole isn't a JWK Set, is ambiguous or exceeds a limit; `bytes_max` counts bytes.
pub fn parse(document: &[u8], allowed: AlgorithmSet, keys_max: usize, bytes_max: usize) -> Result<JwkSet, JwkSetError> {
    if document.len() > bytes_max {
        return Err(JwkSetError::TooLong { bytes: document.len(), bytes_max });
    }
    let document = std::str::from_utf8(document).map_err(|_| JwkSetError::NotJson)?;
    serde_json::from_str::<Unambiguous>(document).map_err(|error| {
        // The visitor takes every kind of value: its own complaint is the only one about data.
        if error.is_data() { JwkSetError::DuplicateMember } else { JwkSetError::NotJson }
    })?;
    // serde would read a struct from an array too.
    if !document.trim_start().starts_with('{') {
        return Err(JwkSetError::NotASet);
    }
    let set: Members<'_> = serde_json::from_str(document).map_err(|_| JwkSetError::NotASet)?;
    if set.keys.len() > keys_max {
        return Err(JwkSetError::TooManyKeys { keys_max });
    }
    let keys: Vec<VerifyKey> = set.keys.iter().filter_map(|jwk| VerifyKey::from_jwk(jwk.get(), allowed).ok()).collect();
    Ok(JwkSet { skipped: set.keys.len() - keys.len(), keys })
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A JSON value in which no object names a member twice. Names count as decoded: `"k"` and `"\u006b"` are the same.
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
#[path = "jwks_tests.rs"]
mod tests;
