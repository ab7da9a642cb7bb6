//! Signing, for the one thing that the filter signs: who it is at a server that asks (RFC 7523).
//!
//! No signature needs randomness, which not every host has: ES256 takes its secret number from key
//! and message (RFC 6979), Ed25519 is made so. What the same message twice could tell whoever causes
//! faults isn't told, since every assertion has an id of its own.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use serde_json::json;

use super::algorithm::Hash;
use super::digest::digest;
use super::montgomery::private::PrivateExponent;
use super::rsa::pkcs1_encoding;
use super::{der, jwk, pem};

/// A private key; it appears in no output.
pub struct SigningKey {
    key: PrivateKey,
    kid: Option<String>,
}

/// A private key of one of the kinds that sign here.
pub(super) enum PrivateKey {
    Es256(Box<p256::ecdsa::SigningKey>),
    Rs256(Box<PrivateExponent>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

/// What is signed: the claims of a client assertion (RFC 7523, section 3).
pub struct Assertion<'a> {
    /// `iss` and `sub`.
    pub client_id: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// `jti`.
    pub id: &'a str,
    /// `iat`.
    pub now_s: u64,
    /// `exp`.
    pub until_s: u64,
}

/// A text holds no key that signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSigningKey;

impl SigningKey {
    /// From a JWK, or else from PEM.
    ///
    /// # Errors
    /// [`NoSigningKey`] if it is neither, a public key, or one of another kind.
    pub fn parse(text: &str) -> Result<SigningKey, NoSigningKey> {
        let found = match text.trim_start().starts_with('{') {
            true => jwk::private_key(text),
            false => in_pem(text).map(|key| (key, None)),
        };
        found.map(|(key, kid)| SigningKey { key, kid }).ok_or(NoSigningKey)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.key.algorithm()
    }

    /// The assertion as a JWT, with the key's `kid`, if it has one; nothing if it can't be signed.
    pub fn sign(&self, assertion: &Assertion<'_>) -> Option<String> {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let (Some(kid), Some(members)) = (&self.kid, header.as_object_mut()) {
            members.insert("kid".to_owned(), kid.as_str().into());
        }
        let claims = json!({
            "iss": assertion.client_id,
            "sub": assertion.client_id,
            "aud": assertion.audience,
            "jti": assertion.id,
            "iat": assertion.now_s,
            "exp": assertion.until_s,
        });
        let signed =
            [header, claims].map(|json| URL_SAFE_NO_PAD.encode(json.to_string())).join(".");
        let signature = self.key.sign(signed.as_bytes())?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The key of the one PEM block of a text.
fn in_pem(text: &str) -> Option<PrivateKey> {
    match pem::private_block(text).ok()? {
        ("PRIVATE KEY", der) => der::private::from_pkcs8(&der),
        ("RSA PRIVATE KEY", der) => der::private::from_pkcs1(&der),
        _ => None,
    }
}

impl PrivateKey {
    /// A scalar of P-256, and the point that must be its public half: uncompressed (SEC 1, section
    /// 2.3.3).
    pub(super) fn es256(scalar: &[u8], point: Option<&[u8]>) -> Option<PrivateKey> {
        let scalar: [u8; 32] = scalar.try_into().ok()?;
        let key = p256::ecdsa::SigningKey::from_bytes(&scalar.into()).ok()?;
        let is_of = |point: &[u8]| key.verifying_key().to_sec1_point(false).as_bytes() == point;
        point.is_none_or(is_of).then(|| PrivateKey::Es256(Box::new(key)))
    }

    /// Modulus and exponents of an RSA key of 2048 to 4096 bits.
    pub(super) fn rs256(n: &[u8], e: &[u8], d: &[u8]) -> Option<PrivateKey> {
        let key = PrivateExponent::of_key(n, e, d).ok()?;
        Some(PrivateKey::Rs256(Box::new(key)))
    }

    /// A seed (RFC 8032, section 5.1.5), and what must be its public half.
    pub(super) fn ed25519(seed: &[u8], public: Option<&[u8]>) -> Option<PrivateKey> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed.try_into().ok()?);
        let is_of = |public: &[u8]| key.verifying_key().as_bytes() == public;
        public.is_none_or(is_of).then(|| PrivateKey::Ed25519(Box::new(key)))
    }

    /// Its algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        match self {
            PrivateKey::Es256(_) => "ES256",
            PrivateKey::Rs256(_) => "RS256",
            PrivateKey::Ed25519(_) => "EdDSA",
        }
    }

    /// A signature as a JWT has it (RFC 7518, sections 3.3 and 3.4; RFC 8037, section 3.1).
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            PrivateKey::Es256(key) => {
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(&digest(Hash::Sha256, message)).ok()?;
                Some(signature.to_bytes().to_vec())
            }
            PrivateKey::Rs256(key) => {
                let digest = digest(Hash::Sha256, message);
                key.signature(&pkcs1_encoding(Hash::Sha256, &digest, key.bytes()))
            }
            PrivateKey::Ed25519(key) => Some(key.sign(message).to_bytes().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests;
