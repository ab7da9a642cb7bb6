//! JWKs (RFC 7517, RFC 7518 section 6, RFC 8037 section 2, RFC 8812 section 3.1, RFC 9964 section
//! 3).

use super::algorithm::{Algorithm, AlgorithmSet};
use super::der;
use super::ec::{Curve, EcKey};
use super::ed25519::EdKey;
use super::error::KeyError;
use super::key::{PublicKey, VerifyKey, Weak};
use super::mldsa::MlDsaKey;
use super::rsa::RsaKey;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

mod private;

pub(super) use private::private_key;

/// The members that are read; one that is `null` is absent. Others may be there; a member that is
/// named twice is an error of serde's.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    /// Not of RFC 7517, so anything may stand there.
    issuer: Option<Value>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
    #[serde(rename = "pub")]
    public: Option<String>,
    /// In any form: it is looked at only where the key is nowhere else.
    x5c: Option<Value>,
    /// In any form: it makes the key a private one, and is read where one is wanted.
    d: Option<Value>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    dp: Option<IgnoredAny>,
    dq: Option<IgnoredAny>,
    qi: Option<IgnoredAny>,
    oth: Option<IgnoredAny>,
    #[serde(rename = "priv")]
    private: Option<IgnoredAny>,
}

/// Reads one JWK into a key that verifies those of `allowed` that its type, curve, `alg`, `use` and
/// `key_ops` admit.
pub(super) fn verify_key(
    jwk: &str,
    allowed: AlgorithmSet,
    weak: Weak,
) -> Result<VerifyKey, KeyError> {
    let malformed = KeyError::NotJwk("got no JSON object whose members have the types of RFC 7517");
    // serde would read a struct from an array too.
    if !jwk.trim_start().starts_with('{') {
        return Err(malformed);
    }
    let jwk: Jwk = serde_json::from_str(jwk).map_err(|_| malformed)?;
    let allowed = match written(&jwk.alg) {
        None => allowed,
        Some(name) => {
            let pinned = Algorithm::parse(name).ok_or(KeyError::UnsupportedAlg)?;
            if !allowed.contains(pinned) {
                return Err(KeyError::AlgNotAllowed { pinned, allowed });
            }
            AlgorithmSet::from_slice(&[pinned])
        }
    };
    if written(&jwk.usage).is_some_and(|usage| usage != "sig") {
        return Err(KeyError::NotForSignatures);
    }
    if jwk
        .key_ops
        .as_ref()
        .is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"))
    {
        return Err(KeyError::NotForVerification);
    }
    let key = match jwk.kty.as_deref() {
        Some("RSA" | "EC" | "OKP" | "AKP") | None if jwk.is_certificate_alone() => {
            VerifyKey::new_public(jwk.certificate()?, allowed)
        }
        Some("oct") => VerifyKey::new_secret(&decode("k", jwk.k.as_deref())?, allowed, weak),
        Some("RSA") => VerifyKey::new_public(jwk.rsa()?, allowed),
        Some("EC") => VerifyKey::new_public(jwk.ec()?, allowed),
        Some("OKP") => VerifyKey::new_public(jwk.okp()?, allowed),
        Some("AKP") => VerifyKey::new_public(jwk.akp()?, allowed),
        _ => Err(KeyError::UnsupportedKty),
    }?;
    let issuer = jwk.issuer.as_ref().and_then(Value::as_str);
    Ok(key.with_issuer(issuer).with_kid(jwk.kid.filter(|kid| !kid.is_empty())))
}

/// A text member, if there is something in it.
fn written(member: &Option<String>) -> Option<&str> {
    member.as_deref().filter(|text| !text.is_empty())
}

impl Jwk {
    fn rsa(&self) -> Result<PublicKey, KeyError> {
        self.refuse_private()?;
        let (n, e) = (decode("n", self.n.as_deref())?, decode("e", self.e.as_deref())?);
        Ok(PublicKey::rsa(RsaKey::new(&n, &e)?, &n, &e))
    }

    fn ec(&self) -> Result<PublicKey, KeyError> {
        let curve = self.crv.as_deref().and_then(Curve::parse).ok_or(KeyError::UnsupportedCurve)?;
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

    /// RFC 9964, section 3: such a key says what it is for by its `alg`, which must be there.
    fn akp(&self) -> Result<PublicKey, KeyError> {
        self.refuse_private()?;
        let algorithm = written(&self.alg).ok_or(KeyError::MissingMember("alg"))?;
        let algorithm = Algorithm::parse(algorithm).ok_or(KeyError::UnsupportedAlg)?;
        let key = MlDsaKey::new(algorithm, &decode("pub", self.public.as_deref())?);
        key.ok_or(KeyError::OtherKty(algorithm))?.map(PublicKey::MlDsa)
    }

    /// Whether the key is written nowhere but in its certificate.
    fn is_certificate_alone(&self) -> bool {
        self.x5c.is_some()
            && [&self.n, &self.e, &self.x, &self.y, &self.public]
                .iter()
                .all(|member| member.is_none())
    }

    /// The key of the first certificate (RFC 7517, section 4.7). The certificate is a form of the
    /// key here and nothing more: that the set holds it is what makes it trusted.
    fn certificate(&self) -> Result<PublicKey, KeyError> {
        self.refuse_private()?;
        let malformed = || KeyError::NotJwk("\"x5c\" holds no certificate in base64");
        let text =
            self.x5c.as_ref().and_then(|chain| chain.get(0)?.as_str()).ok_or_else(malformed)?;
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let key = der::from_certificate(&BASE64.decode(digits).map_err(|_| malformed())?)?;
        let (kty, crv) = key.jwk_names();
        let agrees = |written: Option<&str>, is: &str| written.is_none_or(|written| written == is);
        match agrees(self.kty.as_deref(), kty)
            && agrees(self.crv.as_deref(), crv.unwrap_or_default())
        {
            true => Ok(key),
            false => Err(KeyError::OtherCertificate),
        }
    }

    /// Whoever can read the key can sign with it, so its signatures prove nothing.
    fn refuse_private(&self) -> Result<(), KeyError> {
        let private = [&self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.private];
        if private.iter().any(|member| member.is_some()) || self.d.is_some() || self.k.is_some() {
            return Err(KeyError::PrivateKey);
        }
        Ok(())
    }
}

/// Base64url as JWKs have it (RFC 7515, section 2), and with the padding that some servers write
/// all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, PADDED_OR_NOT);
/// The base64 of certificates.
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PADDED_OR_NOT);
const PADDED_OR_NOT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Base64url without a byte that doesn't belong there, and without stray bits at its end.
fn decode(name: &'static str, member: Option<&str>) -> Result<Vec<u8>, KeyError> {
    BASE64URL
        .decode(member.ok_or(KeyError::MissingMember(name))?)
        .map_err(|_| KeyError::NotBase64Url(name))
}

#[cfg(test)]
mod tests;
