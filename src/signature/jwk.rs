//! JWKs (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use super::algorithm::{Algorithm, AlgorithmSet};
use super::ec::{Curve, EcKey};
use super::ed25519::EdKey;
use super::error::KeyError;
use super::key::{PublicKey, VerifyKey, Weak};
use super::rsa::RsaKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use std::borrow::Cow;

/// The members that are read. Others may be there; a member that is named twice is an error of serde's.
#[derive(Deserialize)]
struct Jwk<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    kty: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present", rename = "use")]
    usage: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    key_ops: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    n: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    e: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    x: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    y: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    k: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present")]
    d: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    p: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    q: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    dp: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    dq: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    qi: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    oth: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present", rename = "priv")]
    private: Option<IgnoredAny>,
}

/// A member that is there; `null` is a value of the wrong type, not absence.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads one JWK into a key that verifies those of `allowed` that its type, curve, `alg`, `use` and `key_ops` admit.
pub(super) fn verify_key(jwk: &str, allowed: AlgorithmSet, weak: Weak) -> Result<VerifyKey, KeyError> {
    let malformed = KeyError::NotJwk("got no JSON object whose members have the types of RFC 7517");
    // serde would read a struct from an array too.
    if !jwk.trim_start().starts_with('{') {
        return Err(malformed);
    }
    let jwk: Jwk<'_> = serde_json::from_str(jwk).map_err(|_| malformed)?;
    let allowed = match jwk.alg.as_deref() {
        None => allowed,
        Some(name) => {
            let pinned = Algorithm::parse(name).ok_or(KeyError::UnsupportedAlg)?;
            if !allowed.contains(pinned) {
                return Err(KeyError::AlgNotAllowed { pinned, allowed });
            }
            AlgorithmSet::from_slice(&[pinned])
        }
    };
    if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return Err(KeyError::NotForSignatures);
    }
    if jwk.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
        return Err(KeyError::NotForVerification);
    }
    let key = match jwk.kty.as_deref() {
        Some("oct") => VerifyKey::new_secret(&decode("k", jwk.k.as_deref())?, allowed, weak),
        Some("RSA") => VerifyKey::new_public(jwk.rsa()?, allowed),
        Some("EC") => VerifyKey::new_public(jwk.ec()?, allowed),
        Some("OKP") => VerifyKey::new_public(jwk.okp()?, allowed),
        _ => Err(KeyError::UnsupportedKty),
    }?;
    Ok(key.with_kid(jwk.kid.map(Cow::into_owned)))
}

impl Jwk<'_> {
    fn rsa(&self) -> Result<PublicKey, KeyError> {
        self.refuse_private()?;
        let (n, e) = (decode("n", self.n.as_deref())?, decode("e", self.e.as_deref())?);
        Ok(PublicKey::rsa(RsaKey::new(&n, &e)?, &n, &e))
    }

    fn ec(&self) -> Result<PublicKey, KeyError> {
        let curve = match self.crv.as_deref() {
            Some("P-256") => Curve::P256,
            Some("P-384") => Curve::P384,
            _ => return Err(KeyError::UnsupportedCurve),
        };
        self.refuse_private()?;
        let (x, y) = (decode("x", self.x.as_deref())?, decode("y", self.y.as_deref())?);
        EcKey::from_coordinates(curve, &x, &y).map(PublicKey::Ec)
    }

    fn okp(&self) -> Result<PublicKey, KeyError> {
        if self.crv.as_deref() != Some("Ed25519") {
            return Err(KeyError::UnsupportedCurve);
        }
        self.refuse_private()?;
        EdKey::new(&decode("x", self.x.as_deref())?).map(PublicKey::Ed)
    }

    /// Whoever can read the key can sign with it, so its signatures prove nothing.
    fn refuse_private(&self) -> Result<(), KeyError> {
        let private = [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.private];
        if private.iter().any(|member| member.is_some()) || self.k.is_some() {
            return Err(KeyError::PrivateKey);
        }
        Ok(())
    }
}

/// Unpadded base64url without a byte that doesn't belong there, and without stray bits at its end.
fn decode(name: &'static str, member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD.decode(member.ok_or(KeyError::MissingMember(name))?).map_err(|_| KeyError::NotBase64Url(name))
}
