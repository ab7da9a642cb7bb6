//! The signature algorithms that can be named in a configuration: of RFC 7518, 8037, 8812, 9864 and
//! 9964.

use std::fmt;

/// A JWS algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1; RFC 8812, section 3.2; RFC 9964).
/// `none` is not one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256, and MGF1 and a salt of the same size.
    PS256,
    /// RSASSA-PSS with SHA-384, and MGF1 and a salt of the same size.
    PS384,
    /// RSASSA-PSS with SHA-512, and MGF1 and a salt of the same size.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
    /// ECDSA on secp256k1 with SHA-256.
    ES256K,
    /// Ed25519, by the name of RFC 8037 and by that of RFC 9864; Ed448 is not supported.
    EdDSA,
    /// ML-DSA-44 (FIPS 204).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
    /// ML-DSA-87 (FIPS 204).
    MlDsa87,
}

/// What kind of key an algorithm needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// A secret that both sides know: `HS*`.
    Hmac,
    /// RSA with the padding of PKCS#1 v1.5: `RS*`.
    RsaPkcs1,
    /// RSA with the padding of PSS: `PS*`.
    RsaPss,
    /// ECDSA: `ES*`.
    Ec,
    /// Edwards curves: `EdDSA`.
    Ed,
    /// Module lattices: `ML-DSA-*`.
    MlDsa,
}

/// The SHA-2 function of an algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// Length of the digest in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// The function's name as in FIPS 180-4.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "SHA-256",
            Hash::Sha384 => "SHA-384",
            Hash::Sha512 => "SHA-512",
        }
    }
}

impl Algorithm {
    /// All of them, in the order of their declaration.
    pub const ALL: [Algorithm; 17] = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::ES512,
        Algorithm::ES256K,
        Algorithm::EdDSA,
        Algorithm::MlDsa44,
        Algorithm::MlDsa65,
        Algorithm::MlDsa87,
    ];

    /// The algorithm of that name. Names compare byte by byte (RFC 7515, section 4.1.1): `none` in
    /// any case, `rs256` and everything unknown are `None`.
    ///
    /// `Ed25519` (RFC 9864) and `EdDSA` (RFC 8037) are two names of one algorithm: with Ed448 left
    /// out, both say that Ed25519 verifies with a key on that curve. So each may stand in a
    /// configuration, a JWK and a token's header beside the other.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Algorithm::EdDSA),
            _ => Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name),
        }
    }

    /// The name in a JOSE header; of two, the older one.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::HS256 => "HS256",
            Algorithm::HS384 => "HS384",
            Algorithm::HS512 => "HS512",
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::ES512 => "ES512",
            Algorithm::ES256K => "ES256K",
            Algorithm::EdDSA => "EdDSA",
            Algorithm::MlDsa44 => "ML-DSA-44",
            Algorithm::MlDsa65 => "ML-DSA-65",
            Algorithm::MlDsa87 => "ML-DSA-87",
        }
    }

    /// The kind of key that it needs.
    pub fn family(self) -> Family {
        match self {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Family::Hmac,
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Family::RsaPkcs1,
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Family::RsaPss,
            Algorithm::ES256 | Algorithm::ES384 | Algorithm::ES512 | Algorithm::ES256K => {
                Family::Ec
            }
            Algorithm::EdDSA => Family::Ed,
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => Family::MlDsa,
        }
    }

    /// Whether it is verified with a shared secret.
    pub fn is_hmac(self) -> bool {
        self.family() == Family::Hmac
    }

    /// The SHA-2 function over what is signed; for `EdDSA` the one inside Ed25519 (RFC 8032,
    /// section 5.1). ML-DSA has none.
    pub fn hash(self) -> Option<Hash> {
        match self {
            Algorithm::HS256
            | Algorithm::RS256
            | Algorithm::PS256
            | Algorithm::ES256
            | Algorithm::ES256K => Some(Hash::Sha256),
            Algorithm::HS384 | Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => {
                Some(Hash::Sha384)
            }
            Algorithm::HS512
            | Algorithm::RS512
            | Algorithm::PS512
            | Algorithm::ES512
            | Algorithm::EdDSA => Some(Hash::Sha512),
            Algorithm::MlDsa44 | Algorithm::MlDsa65 | Algorithm::MlDsa87 => None,
        }
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of algorithms. The default is empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AlgorithmSet(u32);

impl AlgorithmSet {
    /// The empty set.
    pub const EMPTY: AlgorithmSet = AlgorithmSet(0);

    /// The set of these; an algorithm may be named twice.
    pub fn from_slice(algorithms: &[Algorithm]) -> Self {
        algorithms.iter().copied().collect()
    }

    /// Every algorithm of that family.
    pub fn of_family(family: Family) -> Self {
        Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() == family).collect()
    }

    /// Every algorithm that a public key verifies.
    pub fn asymmetric() -> Self {
        Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_hmac()).collect()
    }

    /// Whether the set holds it.
    pub fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersect(self, other: AlgorithmSet) -> AlgorithmSet {
        AlgorithmSet(self.0 & other.0)
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its algorithms in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    /// The set as a number that is the same in every build of one format; part of fingerprints.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        AlgorithmSet(algorithms.into_iter().fold(0, |bits, algorithm| bits | algorithm.bit()))
    }
}

impl fmt::Display for AlgorithmSet {
    /// The names, separated by a comma and a space; `none of them` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none of them");
        }
        for (index, algorithm) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(algorithm.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::parse(&format!("{algorithm} ")), None);
            assert_eq!(Algorithm::parse(&algorithm.name().to_lowercase()), None);
        }
        for name in [
            "", "none", "None", "NONE", "nOnE", "ES521", "ES256k", "EDDSA", "ed25519", "Ed448",
            "ESP256", "ML-DSA-4", "HS256\0", "RS1",
        ] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
        assert_eq!(
            (Algorithm::parse("Ed25519"), Algorithm::parse("Ed25519 ")),
            (Some(Algorithm::EdDSA), None)
        );
    }

    #[test]
    fn sets_are_sets() {
        let set = AlgorithmSet::from_slice(&[Algorithm::EdDSA, Algorithm::HS256, Algorithm::EdDSA]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Algorithm::HS256, Algorithm::EdDSA]);
        assert_eq!(set.to_string(), "HS256, EdDSA");
        assert!(set.contains(Algorithm::HS256) && !set.contains(Algorithm::HS384));
        assert_eq!(
            set.intersect(AlgorithmSet::asymmetric()),
            AlgorithmSet::from_slice(&[Algorithm::EdDSA])
        );
        assert!(AlgorithmSet::EMPTY.is_empty() && AlgorithmSet::default().is_empty());
        assert_eq!(AlgorithmSet::from_slice(&Algorithm::ALL).iter().count(), 17);
        let union: AlgorithmSet =
            [Family::Hmac, Family::RsaPkcs1, Family::RsaPss, Family::Ec, Family::Ed, Family::MlDsa]
                .into_iter()
                .flat_map(|family| AlgorithmSet::of_family(family).iter().collect::<Vec<_>>())
                .collect();
        assert_eq!(union, AlgorithmSet::from_slice(&Algorithm::ALL));
    }
}
