//! The private half of a JWK, for what the filter itself signs.

use serde_json::Value;

use super::{Jwk, decode, written};
use crate::signature::sign::PrivateKey;

/// The private key of a JWK that is for signatures, and its `kid`; nothing if it is anything else.
pub(in crate::signature) fn private_key(text: &str) -> Option<(PrivateKey, Option<String>)> {
    // serde would read a struct from an array too.
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let jwk: Jwk = serde_json::from_str(text).ok()?;
    let key = jwk.key()?;
    let is_named =
        |name| name == key.algorithm() || (name, key.algorithm()) == ("Ed25519", "EdDSA");
    let is_to_sign = written(&jwk.alg).is_none_or(is_named)
        && written(&jwk.usage).is_none_or(|usage| usage == "sig")
        && jwk.key_ops.is_none_or(|operations| operations.iter().any(|one| one == "sign"));
    is_to_sign.then(|| (key, jwk.kid.filter(|kid| !kid.is_empty())))
}

impl Jwk {
    /// RFC 7518, sections 6.2.2 and 6.3.2, of which the primes aren't needed; RFC 8037, section 2.
    fn key(&self) -> Option<PrivateKey> {
        let public = |member: &Option<String>| decode("", member.as_deref()).ok();
        let d = decode("d", self.d.as_ref().and_then(Value::as_str)).ok()?;
        match (self.kty.as_deref()?, self.crv.as_deref()) {
            ("RSA", _) => PrivateKey::rs256(&public(&self.n)?, &public(&self.e)?, &d),
            ("EC", Some("P-256")) => {
                let (x, y) = (public(&self.x)?, public(&self.y)?);
                PrivateKey::es256(&d, Some(&[&[4], x.as_slice(), &y].concat()))
            }
            ("OKP", Some("Ed25519")) => PrivateKey::ed25519(&d, Some(&public(&self.x)?)),
            _ => None,
        }
    }
}
