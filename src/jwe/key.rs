//! A key that opens tokens, with everything that pins it.

use std::fmt;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::agreement::PrivateKey;
use super::header::Header;
use super::{Encryption, KeyAlgorithm, rsa_oaep, wrap};
use crate::time::NS_PER_MS;

const US: u64 = NS_PER_MS / 1_000;

/// A key that opens tokens of the algorithms that it is pinned to, of which there is at least one.
pub struct Key {
    kid: Option<String>,
    algorithms: Vec<KeyAlgorithm>,
    encryptions: Vec<Encryption>,
    material: Material,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

enum Material {
    Shared(Vec<u8>),
    Agreed(PrivateKey),
    Rsa(Box<rsa_oaep::PrivateKey>),
}

/// The key of a content, and whether it came the right way. One that didn't is used all the same,
/// and fails with the tag (RFC 7516, section 11.5).
pub(super) struct ContentKey {
    pub bytes: Vec<u8>,
    pub is_good: bool,
}

/// The members that are read; one that is `null` is absent. A member that is named twice is an
/// error of serde's.
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Key {
    /// The key of a private or secret JWK, for these algorithms: without any for the one that its
    /// `alg` names, and for all encryptions that it can have.
    ///
    /// # Errors
    /// What was expected and what was found, without a byte of the key.
    pub fn from_jwk(
        text: &str,
        algorithms: &[KeyAlgorithm],
        encryptions: &[Encryption],
    ) -> Result<Key, String> {
        let malformed = || {
            "expected a JWK (RFC 7517): got no JSON object whose members have its types".to_owned()
        };
        // serde would read a struct from an array too.
        if !text.trim_start().starts_with('{') {
            return Err(malformed());
        }
        let jwk: Jwk = serde_json::from_str(text).map_err(|_| malformed())?;
        // Some name the encryption there where the secret is its key (RFC 7520, section 5.6.1).
        let of_content = jwk.alg.as_deref().and_then(Encryption::parse);
        let encryptions = match &of_content {
            Some(one) if encryptions.is_empty() => std::slice::from_ref(one),
            _ => encryptions,
        };
        let algorithms = jwk.algorithms(algorithms)?;
        if of_content.is_some_and(|one| encryptions != [one]) {
            return Err(
                "expected a JWK for these encryptions, got one whose \"alg\" names another"
                    .to_owned(),
            );
        }
        jwk.is_to_decrypt()?;
        let material = jwk.material()?;
        let encryptions = match encryptions {
            [] => material.all_encryptions(&algorithms),
            given => given.to_vec(),
        };
        for algorithm in &algorithms {
            material.fits(*algorithm, &encryptions)?;
        }
        let kid = jwk.kid.filter(|kid| !kid.is_empty());
        Ok(Key { kid, algorithms, encryptions, material })
    }

    /// The JWK's `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Which algorithms it is for.
    pub fn algorithms(&self) -> &[KeyAlgorithm] {
        &self.algorithms
    }

    /// Whether it opens tokens of these algorithms.
    pub fn is_for(&self, algorithm: KeyAlgorithm, encryption: Encryption) -> bool {
        self.algorithms.contains(&algorithm) && self.encryptions.contains(&encryption)
    }

    /// Whether it is a secret that the sender has too.
    pub fn is_shared(&self) -> bool {
        match self.material {
            Material::Shared(_) => true,
            Material::Agreed(_) | Material::Rsa(_) => false,
        }
    }

    /// Whether both are one secret.
    pub fn is_same_secret(&self, other: &Key) -> bool {
        match (&self.material, &other.material) {
            (Material::Shared(one), Material::Shared(another)) => one.ct_eq(another).into(),
            (Material::Shared(_) | Material::Agreed(_) | Material::Rsa(_), _) => false,
        }
    }

    /// Nanoseconds that it takes to open one short token in WebAssembly, about.
    pub fn cost_ns(&self) -> u64 {
        match &self.material {
            Material::Shared(_) => 60 * US,
            Material::Agreed(key) => key.cost_ns(),
            // Of 2048 bits; longer ones take more.
            Material::Rsa(_) => 6 * NS_PER_MS,
        }
    }

    /// The key of a content that was encrypted under `header`; nothing if what the token holds for
    /// it hasn't the form that it must have, which anyone can see.
    pub(super) fn content_key(&self, header: &Header, encrypted_key: &[u8]) -> Option<ContentKey> {
        let (algorithm, encryption) = (header.algorithm, header.encryption);
        let bytes = encryption.key_bytes();
        // RFC 7518, sections 4.5 and 4.6: where the key itself is known, nothing stands there.
        let alone = |key: Vec<u8>| {
            encrypted_key.is_empty().then_some(ContentKey { bytes: key, is_good: true })
        };
        let wrapping = match (&self.material, algorithm.wrapping_bytes()) {
            (Material::Rsa(key), _) => return key.content_key(encrypted_key, bytes),
            (Material::Shared(secret), None) => return alone(secret.clone()),
            (Material::Agreed(key), None) => {
                return alone(key.derive(header, encryption.name(), bytes)?);
            }
            // A wrapped key has eight bytes more (RFC 3394, section 2.2.1).
            (_, Some(_)) if encrypted_key.len() != bytes + 8 => return None,
            (Material::Shared(secret), Some(_)) => secret.clone(),
            (Material::Agreed(key), Some(bytes)) => key.derive(header, algorithm.name(), bytes)?,
        };
        wrap::unwrap(&wrapping, encrypted_key)
    }
}

impl Jwk {
    fn algorithms(&self, wanted: &[KeyAlgorithm]) -> Result<Vec<KeyAlgorithm>, String> {
        let names = |list: &[KeyAlgorithm]| {
            list.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
        };
        let Some(name) = self.alg.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(wanted.to_vec());
        };
        let all = names(&KeyAlgorithm::ALL);
        let of_content = Encryption::parse(name).map(|_| KeyAlgorithm::Dir);
        let pinned = KeyAlgorithm::parse(name)
            .or(of_content)
            .ok_or_else(|| format!("expected \"alg\" of the JWK to be one of {all}"))?;
        if !wanted.is_empty() && wanted != [pinned] {
            let (name, wanted) = (pinned.name(), names(wanted));
            return Err(format!(
                "expected a JWK for {wanted}, got one whose \"alg\" is {name} alone"
            ));
        }
        Ok(vec![pinned])
    }

    /// RFC 7517, sections 4.2 and 4.3.
    fn is_to_decrypt(&self) -> Result<(), String> {
        let usage = self.usage.as_deref().filter(|usage| !usage.is_empty());
        if usage.is_some_and(|usage| usage != "enc") {
            return Err(
                "expected a key for encryption, got one whose \"use\" is another".to_owned()
            );
        }
        const OPENS: [&str; 4] = ["decrypt", "unwrapKey", "deriveKey", "deriveBits"];
        let opens = |operations: &Vec<String>| {
            operations.iter().any(|operation| OPENS.contains(&operation.as_str()))
        };
        if !self.key_ops.as_ref().is_none_or(opens) {
            let expected =
                "expected a key that decrypts, got one whose \"key_ops\" name no such use";
            return Err(expected.to_owned());
        }
        Ok(())
    }

    fn material(&self) -> Result<Material, String> {
        let kty = self.kty.as_deref();
        match kty {
            Some("oct") => Ok(Material::Shared(decode("k", self.k.as_deref())?)),
            Some("EC" | "OKP") => {
                let crv = self.crv.as_deref().unwrap_or_default();
                if (crv == "X25519") != (kty == Some("OKP")) {
                    return Err("expected \"crv\" to be P-256, P-384 or P-521 (kty EC), or X25519 (kty OKP)".to_owned());
                }
                if self.d.is_none() {
                    return Err("expected a private key, got a public one (no \"d\")".to_owned());
                }
                let key = PrivateKey::new(crv, &decode("d", self.d.as_deref())?)
                    .map_err(|why| format!("expected a usable key, got this: {why}"))?;
                let x = decode("x", self.x.as_deref())?;
                let y = match &self.y {
                    Some(y) => Some(decode("y", Some(y))?),
                    None => None,
                };
                match key.has_public(&x, y.as_deref()) {
                    true => Ok(Material::Agreed(key)),
                    false => Err("expected one key, got the public part of one and the private part of another".to_owned()),
                }
            }
            Some("RSA") => self.rsa().map(|key| Material::Rsa(Box::new(key))),
            _ => Err("expected \"kty\" to be oct, EC, OKP or RSA".to_owned()),
        }
    }

    /// RFC 7518, section 6.3.2. The primes aren't needed.
    fn rsa(&self) -> Result<rsa_oaep::PrivateKey, String> {
        if self.d.is_none() {
            return Err("expected a private key, got a public one (no \"d\")".to_owned());
        }
        let member = |name: &str, value: &Option<String>| decode(name, value.as_deref());
        let (n, e, d) = (member("n", &self.n)?, member("e", &self.e)?, member("d", &self.d)?);
        rsa_oaep::PrivateKey::new(&n, &e, &d)
            .map_err(|why| format!("expected a usable key, got this: {why}"))
    }
}

impl Material {
    /// All encryptions that a key of these algorithms can have; all there are, if that is none.
    fn all_encryptions(&self, algorithms: &[KeyAlgorithm]) -> Vec<Encryption> {
        let all = Encryption::ALL.to_vec();
        match self {
            Material::Shared(secret) if algorithms.contains(&KeyAlgorithm::Dir) => {
                let fits = |encryption: &Encryption| encryption.key_bytes() == secret.len();
                let fitting: Vec<_> = all.iter().copied().filter(fits).collect();
                if fitting.is_empty() { all } else { fitting }
            }
            Material::Shared(_) | Material::Agreed(_) | Material::Rsa(_) => all,
        }
    }

    /// Whether it can be the key of an algorithm, with each of these encryptions.
    fn fits(&self, algorithm: KeyAlgorithm, encryptions: &[Encryption]) -> Result<(), String> {
        let name = algorithm.name();
        match self {
            Material::Agreed(_)
                if algorithm.is_shared() || algorithm == KeyAlgorithm::RsaOaep256 =>
            {
                Err(format!("expected a key for {name}, got one for ECDH-ES"))
            }
            Material::Agreed(_) => Ok(()),
            Material::Rsa(_) if algorithm != KeyAlgorithm::RsaOaep256 => {
                Err(format!("expected a key for {name}, got an RSA key"))
            }
            Material::Rsa(_) => Ok(()),
            Material::Shared(_) if !algorithm.is_shared() => {
                Err(format!("expected a key for {name}, got a shared secret (kty oct)"))
            }
            Material::Shared(secret) => match algorithm.wrapping_bytes() {
                Some(bytes) if secret.len() != bytes => {
                    let found = secret.len();
                    Err(format!("expected {bytes} bytes in \"k\" for {name}, got {found}"))
                }
                Some(_) => Ok(()),
                None => fits_directly(secret.len(), encryptions),
            },
        }
    }
}

/// With `dir` the secret has the length of the encryption's key (RFC 7518, section 4.5).
fn fits_directly(found: usize, encryptions: &[Encryption]) -> Result<(), String> {
    let other = encryptions.iter().find(|encryption| encryption.key_bytes() != found);
    match other {
        None => Ok(()),
        Some(encryption) => {
            let (bytes, name) = (encryption.key_bytes(), encryption.name());
            Err(format!("expected {bytes} bytes in \"k\" for dir with {name}, got {found}"))
        }
    }
}

/// Base64url as JWKs have it (RFC 7515, section 2), and with the padding that some write all the
/// same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn decode(name: &str, member: Option<&str>) -> Result<Vec<u8>, String> {
    let text = member.ok_or_else(|| format!("expected a member {name:?}, got none"))?;
    BASE64URL.decode(text).map_err(|_| format!("expected base64url in {name:?}"))
}
