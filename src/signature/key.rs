//! A key that verifies signatures, with everything that pins it.

use super::algorithm::{Algorithm, AlgorithmSet, Family, Hash};
use super::der::rsa_spki;
use super::ec::EcKey;
use super::ed25519::{self, EdKey};
use super::error::KeyError;
use super::hmac::{HmacKey, hmac_sha256};
use super::mldsa::MlDsaKey;
use super::rsa::RsaKey;
use super::{BadSignature, HostVerify, jwk, pem};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Whether a secret shorter than its hash is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weak {
    Refused,
    Accepted,
}

/// A public key of a supported kind.
pub(super) enum PublicKey {
    /// The key, and its SubjectPublicKeyInfo.
    Rsa(RsaKey, Vec<u8>),
    Ec(EcKey),
    Ed(EdKey),
    MlDsa(MlDsaKey),
}

impl PublicKey {
    /// An RSA key with the numbers that it was made from.
    pub(super) fn rsa(key: RsaKey, modulus: &[u8], exponent: &[u8]) -> PublicKey {
        PublicKey::Rsa(key, rsa_spki(modulus, exponent))
    }

    fn name(&self) -> &'static str {
        match self {
            PublicKey::Rsa(..) => "RSA key",
            PublicKey::Ec(key) => key.curve().key_name(),
            PublicKey::Ed(_) => ed25519::KEY_NAME,
            PublicKey::MlDsa(key) => key.key_name(),
        }
    }

    /// `kty` and `crv` of a JWK of the key.
    pub(super) fn jwk_names(&self) -> (&'static str, Option<&'static str>) {
        match self {
            PublicKey::Rsa(..) => ("RSA", None),
            PublicKey::Ec(key) => ("EC", Some(key.curve().name())),
            PublicKey::Ed(_) => ("OKP", Some("Ed25519")),
            PublicKey::MlDsa(_) => ("AKP", None),
        }
    }

    /// What such a key can verify.
    fn algorithms(&self) -> AlgorithmSet {
        match self {
            PublicKey::Rsa(..) => AlgorithmSet::of_family(Family::RsaPkcs1)
                .iter()
                .chain(AlgorithmSet::of_family(Family::RsaPss).iter())
                .collect(),
            PublicKey::Ec(key) => AlgorithmSet::from_slice(&[key.curve().algorithm()]),
            PublicKey::Ed(_) => AlgorithmSet::from_slice(&[Algorithm::EdDSA]),
            PublicKey::MlDsa(key) => AlgorithmSet::from_slice(&[key.algorithm()]),
        }
    }
}

enum Material {
    Hmac(HmacKey),
    Rsa(RsaKey),
    Ec(EcKey),
    Ed(EdKey),
    MlDsa(MlDsaKey),
}

/// A key that verifies signatures of the algorithms that it is pinned to: those that the
/// configuration allows, that fit its type and curve, and that its own `alg`, `use` and `key_ops`
/// admit. There is at least one. A clone is cheap.
#[derive(Clone)]
pub struct VerifyKey {
    kid: Option<String>,
    issuer: Option<Arc<str>>,
    algorithms: AlgorithmSet,
    fingerprint: [u8; 32],
    weak: bool,
    /// SubjectPublicKeyInfo; empty for a secret.
    spki_der: Arc<[u8]>,
    material: Arc<Material>,
}

impl VerifyKey {
    /// The key of a PEM text: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`. A public key never
    /// verifies an HMAC, even if `allowed` names one, and it is an error if nothing else is
    /// allowed.
    pub fn from_pem(pem: &str, allowed: AlgorithmSet) -> Result<VerifyKey, KeyError> {
        VerifyKey::new_public(pem::public_key(pem)?, allowed)
    }

    /// The key of a JWK: RSA, EC on P-256, P-384, P-521 or secp256k1, OKP Ed25519, AKP ML-DSA, and
    /// `oct` if `allowed` names an HMAC algorithm. A JWK that also holds a private key is refused,
    /// and so is a secret shorter than its hash.
    pub fn from_jwk(jwk: &str, allowed: AlgorithmSet) -> Result<VerifyKey, KeyError> {
        jwk::verify_key(jwk, allowed, Weak::Refused)
    }

    /// As [`VerifyKey::from_jwk`], and a secret shorter than its hash is accepted.
    pub fn from_jwk_allowing_weak(jwk: &str, allowed: AlgorithmSet) -> Result<VerifyKey, KeyError> {
        jwk::verify_key(jwk, allowed, Weak::Accepted)
    }

    /// A shared secret for the HMAC algorithms in `allowed`, of which there must be one. With
    /// `allow_weak` the secret may be shorter than the hash, not empty.
    pub fn from_secret(
        secret: &[u8],
        allowed: AlgorithmSet,
        allow_weak: bool,
    ) -> Result<VerifyKey, KeyError> {
        VerifyKey::new_secret(
            secret,
            allowed,
            if allow_weak { Weak::Accepted } else { Weak::Refused },
        )
    }

    pub(super) fn new_public(key: PublicKey, allowed: AlgorithmSet) -> Result<VerifyKey, KeyError> {
        let algorithms = key.algorithms().intersect(allowed);
        if algorithms.is_empty() {
            return Err(KeyError::NothingToVerify { key: key.name(), allowed });
        }
        let (spki_der, material) = match key {
            PublicKey::Rsa(key, spki_der) => (spki_der, Material::Rsa(key)),
            PublicKey::Ec(key) => (key.spki_der(), Material::Ec(key)),
            PublicKey::Ed(key) => (key.spki_der(), Material::Ed(key)),
            PublicKey::MlDsa(key) => (key.spki_der(), Material::MlDsa(key)),
        };
        // The two labels differ in length and text, so no public key has the fingerprint of a
        // secret.
        let fingerprint = Sha256::new()
            .chain_update(b"herdgate public key\0")
            .chain_update(algorithms.bits().to_be_bytes())
            .chain_update(&spki_der)
            .finalize()
            .into();
        let material = Arc::new(material);
        Ok(VerifyKey {
            kid: None,
            issuer: None,
            algorithms,
            fingerprint,
            weak: false,
            spki_der: spki_der.into(),
            material,
        })
    }

    pub(super) fn new_secret(
        secret: &[u8],
        allowed: AlgorithmSet,
        weak: Weak,
    ) -> Result<VerifyKey, KeyError> {
        let algorithms = AlgorithmSet::of_family(Family::Hmac).intersect(allowed);
        let bytes_of = |algorithm: Algorithm| algorithm.hash().map_or(0, Hash::bytes);
        let strongest = algorithms.iter().max_by_key(|algorithm| bytes_of(*algorithm));
        let algorithm = strongest.ok_or(KeyError::SecretWithoutHmac { allowed })?;
        if secret.is_empty() {
            return Err(KeyError::EmptySecret);
        }
        if pem::looks_like_pem(secret) {
            return Err(KeyError::SecretIsPublicKey);
        }
        let is_weak = secret.len() < bytes_of(algorithm);
        if is_weak && weak == Weak::Refused {
            return Err(KeyError::WeakSecret { bytes: secret.len(), algorithm });
        }
        // HMAC fills a secret up with zeros: its length tells two such secrets apart.
        let fingerprint = hmac_sha256(
            secret,
            &[
                b"herdgate secret\0",
                &algorithms.bits().to_be_bytes(),
                &(secret.len() as u64).to_be_bytes(),
            ],
        )
        .ok_or(KeyError::EmptySecret)?;
        let material = Arc::new(Material::Hmac(HmacKey::new(secret, algorithms)));
        Ok(VerifyKey {
            kid: None,
            issuer: None,
            algorithms,
            fingerprint,
            weak: is_weak,
            spki_der: Arc::new([]),
            material,
        })
    }

    /// The same key under another `kid`, or without one.
    #[must_use]
    pub fn with_kid(self, kid: Option<String>) -> VerifyKey {
        VerifyKey { kid, ..self }
    }

    /// The JWK's `kid`; a key from PEM or a secret has none unless it was given one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The same key as that of an issuer which its JWK names.
    #[must_use]
    pub(super) fn with_issuer(self, issuer: Option<&str>) -> VerifyKey {
        VerifyKey { issuer: issuer.map(Arc::from), ..self }
    }

    /// Whose key it is, where its JWK says so (`issuer`, a member of Microsoft's).
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What the key may verify; never empty.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.algorithms
    }

    /// Equal for keys of equal kind, material and algorithms, whatever text they were read from;
    /// `kid` doesn't count. Of a secret it is an HMAC under that secret: a short secret can be
    /// guessed from it, so it stays inside.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether it is a secret shorter than the longest hash among its algorithms (RFC 7518, section
    /// 3.2).
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Verifies `signature`, as decoded from the token, over the bytes `signed`. The host's
    /// function is asked first for `RS*` and `ES*`, but where it is slower and the key has its table;
    /// its answer holds.
    ///
    /// # Errors [`BadSignature`] if the signature isn't one of this key over these bytes, or if
    /// `algorithm` isn't in [`VerifyKey::algorithms`].
    pub fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
        host: &dyn HostVerify,
    ) -> Result<(), BadSignature> {
        if !self.algorithms.contains(algorithm) {
            return Err(BadSignature);
        }
        let is_ours = host.is_slower(algorithm) && self.has_table();
        // A malformed signature has no form for the host; the code below refuses it.
        if !is_ours
            && let Some(form) = self.signature_for_host(algorithm, signature)
            && let Some(good) = host.verify(algorithm, &self.spki_der, signed, &form)
        {
            return if good { Ok(()) } else { Err(BadSignature) };
        }
        match &*self.material {
            Material::Hmac(key) => key.verify(algorithm, signed, signature),
            Material::Rsa(key) => key.verify(algorithm, signed, signature),
            Material::Ec(key) => key.verify(algorithm, signed, signature),
            Material::Ed(key) => key.verify(signed, signature),
            Material::MlDsa(key) => key.verify(signed, signature),
        }
    }

    /// Whether it has its table for this verification, which may be the one that makes it.
    fn has_table(&self) -> bool {
        match &*self.material {
            Material::Ec(key) => key.has_table(),
            Material::Hmac(_) | Material::Rsa(_) | Material::Ed(_) | Material::MlDsa(_) => false,
        }
    }

    /// Whether it would verify faster with a table that there is no room for
    /// ([`super::curve::TABLE_BYTES_MAX`]).
    pub fn is_crowded_out(&self) -> bool {
        match &*self.material {
            Material::Ec(key) => key.is_crowded_out(),
            Material::Hmac(_) | Material::Rsa(_) | Material::Ed(_) | Material::MlDsa(_) => false,
        }
    }

    /// The signature in the form that a host takes, if hosts are asked for `algorithm` and the
    /// signature has the length and range that it must have.
    pub(super) fn signature_for_host<'a>(
        &self,
        algorithm: Algorithm,
        signature: &'a [u8],
    ) -> Option<Cow<'a, [u8]>> {
        match (&*self.material, algorithm.family()) {
            (Material::Rsa(key), Family::RsaPkcs1) => {
                (signature.len() == key.signature_bytes()).then_some(Cow::Borrowed(signature))
            }
            (Material::Ec(key), Family::Ec) => key.signature_der(signature).map(Cow::Owned),
            _ => None,
        }
    }

    /// The key as SubjectPublicKeyInfo in DER, in its one canonical form; empty for a secret.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKey").field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
