//! Why a key was refused, in words for whoever wrote the configuration. No error holds material of
//! a key.

use super::algorithm::{Algorithm, AlgorithmSet, Hash};
use std::fmt;

/// What is wrong with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyError {
    /// There is no PEM block, its ends don't match, or its content isn't base64.
    NotPem(&'static str),
    /// A PEM block of another kind; the label is cut to 40 characters.
    PemLabel(String),
    /// The text holds a private key.
    PrivateKey,
    /// The DER inside a PEM block isn't the structure that its label names.
    NotDer(&'static str),
    /// A public key of a kind or on a curve that no supported algorithm uses.
    UnsupportedKey(&'static str),
    /// The JWK isn't a JSON object of the expected types, or names a member twice.
    NotJwk(&'static str),
    /// `kty` is absent or unknown.
    UnsupportedKty,
    /// `crv` is absent, unknown or doesn't belong to the `kty`.
    UnsupportedCurve,
    /// A member that the `kty` requires is absent.
    MissingMember(&'static str),
    /// A member isn't base64url (RFC 7515, section 2).
    NotBase64Url(&'static str),
    /// A member has the wrong length in bytes.
    MemberLength {
        /// The member's name.
        member: &'static str,
        /// What the curve asks for.
        expected: usize,
        /// What was there.
        found: usize,
    },
    /// The certificate in `x5c` is for another kind of key than `kty` and `crv` name.
    OtherCertificate,
    /// `alg` names no supported signature algorithm.
    UnsupportedAlg,
    /// `alg` names an algorithm that keys of another `kty` have.
    OtherKty(Algorithm),
    /// `alg` names an algorithm that the configuration doesn't allow.
    AlgNotAllowed {
        /// The JWK's.
        pinned: Algorithm,
        /// What is allowed.
        allowed: AlgorithmSet,
    },
    /// `use` is not `sig`.
    NotForSignatures,
    /// `key_ops` lacks `verify`.
    NotForVerification,
    /// `issuer` says that the key is another issuer's.
    OfAnotherIssuer,
    /// The modulus is below 2048 bits.
    RsaTooSmall {
        /// Bits of the modulus.
        bits: usize,
    },
    /// The modulus is above 8192 bits.
    RsaTooLarge {
        /// Bits of the modulus.
        bits: usize,
    },
    /// The modulus is even.
    RsaModulusEven,
    /// The exponent is even, 1, or above 33 bits.
    RsaExponent,
    /// The point isn't on its curve, is of small order, or isn't encoded in its one canonical way.
    BadPoint(&'static str),
    /// No allowed algorithm fits this kind of key.
    NothingToVerify {
        /// The kind of key, with its curve.
        key: &'static str,
        /// What it was asked to verify.
        allowed: AlgorithmSet,
    },
    /// A secret where no HMAC algorithm is allowed.
    SecretWithoutHmac {
        /// What is allowed.
        allowed: AlgorithmSet,
    },
    /// A secret without a byte.
    EmptySecret,
    /// A secret that is the text of a public key or certificate, which everyone knows.
    SecretIsPublicKey,
    /// A secret shorter than the hash (RFC 7518, section 3.2).
    WeakSecret {
        /// The secret's length in bytes.
        bytes: usize,
        /// The algorithm with the longest hash among the allowed.
        algorithm: Algorithm,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::NotPem(why) => {
                write!(f, "expected PEM (\"-----BEGIN PUBLIC KEY-----\", base64, \"-----END PUBLIC KEY-----\"): {why}")
            }
            KeyError::PemLabel(label) => write!(f, "expected a PEM block PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE, got {label:?}"),
            KeyError::PrivateKey => f.write_str("expected a public key, got a private key: give the public one, and replace this pair"),
            KeyError::NotDer(what) => write!(f, "expected DER of {what} inside the PEM block, got something else"),
            KeyError::UnsupportedKey(what) => {
                write!(f, "expected a key for RSA, EC (P-256, P-384, P-521, secp256k1), Ed25519 or ML-DSA, got {what}")
            }
            KeyError::NotJwk(why) => write!(f, "expected a JWK (RFC 7517): {why}"),
            KeyError::UnsupportedKty => f.write_str("expected \"kty\" to be RSA, EC, OKP, AKP or oct"),
            KeyError::UnsupportedCurve => {
                f.write_str("expected \"crv\" to be P-256, P-384, P-521 or secp256k1 (kty EC), or Ed25519 (kty OKP)")
            }
            KeyError::MissingMember(member) => write!(f, "expected a member {member:?}, got none"),
            KeyError::NotBase64Url(member) => write!(f, "expected base64url in {member:?}"),
            KeyError::MemberLength { member, expected, found } => {
                write!(f, "expected {expected} bytes in {member:?}, got {found}")
            }
            KeyError::OtherCertificate => f.write_str("the certificate in \"x5c\" is for another kind of key than \"kty\" and \"crv\""),
            KeyError::UnsupportedAlg => f.write_str("\"alg\" of the JWK names no supported signature algorithm"),
            KeyError::OtherKty(algorithm) => write!(f, "\"alg\" of the JWK is {algorithm}, which keys of another \"kty\" have"),
            KeyError::AlgNotAllowed { pinned, allowed } => {
                write!(f, "\"alg\" of the JWK is {pinned}, which is not among the allowed algorithms: {allowed}")
            }
            KeyError::NotForSignatures => f.write_str("\"use\" of the JWK is not \"sig\""),
            KeyError::NotForVerification => f.write_str("\"key_ops\" of the JWK lacks \"verify\""),
            KeyError::OfAnotherIssuer => f.write_str("\"issuer\" of the JWK names another issuer"),
            KeyError::RsaTooSmall { bits } => write!(f, "RSA key of {bits} bits: at least 2048 are required"),
            KeyError::RsaTooLarge { bits } => write!(f, "RSA key of {bits} bits: at most 8192 are supported"),
            KeyError::RsaModulusEven => f.write_str("RSA key with an even modulus"),
            KeyError::RsaExponent => f.write_str("RSA key whose public exponent is not an odd number from 3 to 2^33 - 1"),
            KeyError::BadPoint(key) => write!(f, "the coordinates are not a usable public key of {key}"),
            KeyError::NothingToVerify { key, allowed } => write!(f, "{key} cannot verify {allowed}"),
            KeyError::SecretWithoutHmac { allowed } => {
                write!(f, "an HMAC secret cannot verify {allowed}: name HS256, HS384 or HS512 to use it")
            }
            KeyError::EmptySecret => f.write_str("an HMAC secret of 0 bytes"),
            KeyError::SecretIsPublicKey => {
                f.write_str("the HMAC secret is a public key or certificate, which is no secret: give it as \"pem\"")
            }
            KeyError::WeakSecret { bytes, algorithm } => write!(
                f,
                "an HMAC secret of {bytes} bytes: {algorithm} needs at least {} (set allow_weak_secret to accept it)",
                algorithm.hash().map_or(0, Hash::bytes)
            ),
        }
    }
}

impl std::error::Error for KeyError {}
