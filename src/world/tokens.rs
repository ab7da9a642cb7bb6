//! Keys that anyone could have made up, and tokens under them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use super::{ISSUER, START};

/// A key on P-256.
pub(crate) struct Key(SigningKey);

impl Key {
    /// The key of this number.
    pub(crate) fn new(number: u16) -> Key {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Key(SigningKey::from_slice(&bytes).unwrap())
    }

    /// Its public half, with a `kid` if that isn't empty.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = (segment(point.x().unwrap()), segment(point.y().unwrap()));
        let mut jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
        if !kid.is_empty() {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A token with these claims.
    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let mut header = json!({ "alg": "ES256" });
        if !kid.is_empty() {
            header["kid"] = json!(kid);
        }
        self.signed(&header.to_string(), &claims.to_string())
    }

    /// A token of [`ISSUER`] with these members, which begin with a comma.
    pub(crate) fn token_with(&self, kid: &str, members: &str) -> String {
        let kid = if kid.is_empty() { String::new() } else { format!(r#","kid":"{kid}""#) };
        self.signed(
            &format!(r#"{{"alg":"ES256"{kid}}}"#),
            &format!(r#"{{"iss":"{ISSUER}"{members}}}"#),
        )
    }

    /// A token that ends an hour from [`START`].
    pub(crate) fn fresh(&self, kid: &str, id: u32) -> String {
        let (from, until) = (START.s() - 7_200, START.s() + 3_600);
        self.token_with(kid, &format!(r#","jti":"{id}","iat":{from},"exp":{until}"#))
    }

    /// A JWT of this header and this payload, as they stand.
    pub(crate) fn signed(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", segment(header), segment(payload));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", segment(signature.to_bytes()))
    }
}

/// A JWK Set.
pub(crate) fn jwks(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// The same as a server answers with it.
pub(crate) fn served(keys: &[Value]) -> (u16, String) {
    (200, jwks(keys).to_string())
}

/// A token under a secret.
pub(crate) fn hmac(secret: &str, claims: &Value) -> String {
    hmac_with(&json!({ "alg": "HS256" }), secret, claims)
}

/// The same with another header.
pub(crate) fn hmac_with(header: &Value, secret: &str, claims: &Value) -> String {
    let signed = format!("{}.{}", segment(header.to_string()), segment(claims.to_string()));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", segment(mac.finalize().into_bytes()))
}

/// The same token with a signature that nobody made, as canonical.
pub(crate) fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    format!("{signed}.{}", segment(&bytes))
}

/// The same token with the other spelling of its signature: n - s in place of s.
pub(crate) fn twin(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = Signature::from_scalars(r, -s).unwrap();
    format!("{signed}.{}", segment(other.to_bytes()))
}

/// Other claims under the signature of `token`.
pub(crate) fn with_claims(token: &str, claims: &Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], segment(claims.to_string().as_bytes()), parts[2])
}

fn segment(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
