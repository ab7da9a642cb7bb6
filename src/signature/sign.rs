//! Signing, for the one thing that the filter signs: who it is at a server that asks (RFC 7523). Keys
//! are read and used through jwt-simple.

use std::fmt;

use jwt_simple::prelude::{
    Audiences, Duration, ECDSAP256KeyPairLike as _, ES256KeyPair, Ed25519KeyPair,
    EdDSAKeyPairLike as _, JWTClaims, NoCustomClaims, RS256KeyPair, RSAKeyPairLike as _,
};
use serde_json::Value;

/// A private key; it appears in no output.
pub struct SigningKey(Kind);

enum Kind {
    Es256(Box<ES256KeyPair>),
    Rs256(Box<RS256KeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
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
        let text = text.trim();
        match text.starts_with('{') {
            true => SigningKey::from_jwk(text),
            false => SigningKey::from_pem(text),
        }
    }

    fn from_jwk(text: &str) -> Result<SigningKey, NoSigningKey> {
        let jwk: Value = serde_json::from_str(text).map_err(|_| NoSigningKey)?;
        let kind = match jwk.get("kty").and_then(Value::as_str) {
            Some("EC") => Kind::Es256(boxed(ES256KeyPair::from_jwk(text))?),
            Some("RSA") => Kind::Rs256(boxed(RS256KeyPair::from_jwk(text))?),
            Some("OKP") => Kind::Ed25519(boxed(Ed25519KeyPair::from_jwk(text))?),
            _ => return Err(NoSigningKey),
        };
        Ok(SigningKey(kind))
    }

    fn from_pem(text: &str) -> Result<SigningKey, NoSigningKey> {
        let kind = boxed(ES256KeyPair::from_pem(text)).map(Kind::Es256);
        let kind = kind.or_else(|_| boxed(Ed25519KeyPair::from_pem(text)).map(Kind::Ed25519));
        let kind = kind.or_else(|_| boxed(RS256KeyPair::from_pem(text)).map(Kind::Rs256));
        kind.map(SigningKey)
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> &'static str {
        match &self.0 {
            Kind::Es256(_) => "ES256",
            Kind::Rs256(_) => "RS256",
            Kind::Ed25519(_) => "EdDSA",
        }
    }

    /// The assertion as a JWT, with the key's `kid`, if it has one; nothing if it can't be signed.
    pub fn sign(&self, assertion: &Assertion<'_>) -> Option<String> {
        let claims = JWTClaims {
            issued_at: Some(Duration::from_secs(assertion.now_s)),
            expires_at: Some(Duration::from_secs(assertion.until_s)),
            invalid_before: None,
            issuer: Some(assertion.client_id.to_owned()),
            subject: Some(assertion.client_id.to_owned()),
            audiences: Some(Audiences::AsString(assertion.audience.to_owned())),
            jwt_id: Some(assertion.id.to_owned()),
            nonce: None,
            custom: NoCustomClaims {},
        };
        let signed = match &self.0 {
            Kind::Es256(key) => key.sign(claims),
            Kind::Rs256(key) => key.sign(claims),
            Kind::Ed25519(key) => key.sign(claims),
        };
        signed.ok()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

fn boxed<T, E>(key: Result<T, E>) -> Result<Box<T>, NoSigningKey> {
    key.map(Box::new).map_err(|_| NoSigningKey)
}

#[cfg(test)]
mod tests;
