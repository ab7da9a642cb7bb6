//! Signatures: keys that verify them, and nothing of the tokens around them.
//!
//! A [`VerifyKey`] is made once, from configuration or a JWK Set, and knows which algorithms it may
//! verify: what a token names can only choose among these. RSA and ECDSA on P-256 and P-384 are
//! computed here, several times faster in WebAssembly than by general crates; everything else by
//! crates that need no randomness. A host that has a signature function of its own offers it through
//! [`HostVerify`], and [`known_answers::host_passes`] shows whether it can be trusted.

mod algorithm;
mod cost;
mod curve;
mod der;
mod digest;
mod ec;
mod ed25519;
mod error;
mod hmac;
mod jwk;
pub mod jwk_set;
mod key;
pub mod known_answers;
mod mldsa;
pub(crate) mod montgomery;
mod pem;
#[cfg(test)]
pub(crate) mod repeatable;
mod rsa;
mod sign;
pub mod source;
#[cfg(test)]
pub(crate) mod test_keys;

pub use algorithm::{Algorithm, AlgorithmSet, Family};
pub use error::KeyError;
pub use key::VerifyKey;
pub use pem::certificate as certificate_in_pem;
pub use sign::{Assertion, SigningKey};

use std::fmt;

/// The signature doesn't verify. There is one reason for all callers: which of its parts was wrong
/// helps only forgers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the signature does not verify")
    }
}

impl std::error::Error for BadSignature {}

/// A host's own signature function, such as Envoy's `verify_signature`. Asked for `RS*` and `ES*`
/// alone.
pub trait HostVerify {
    /// Whether `signature` over `message` is good: of a key given as SubjectPublicKeyInfo in DER,
    /// the signature as raw bytes for RSA and as DER for ECDSA. `None` if the host can't say, which
    /// leaves it to the code here; a host whose function doesn't exist, fails, or didn't pass
    /// [`known_answers::host_passes`] for `algorithm` says `None`.
    fn verify(
        &self,
        algorithm: Algorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool>;

    /// Whether it can say for `algorithm`.
    fn takes(&self, _: Algorithm) -> bool {
        false
    }

    /// Whether the code here is faster for `algorithm`, where a key has its table.
    fn is_slower(&self, _: Algorithm) -> bool {
        false
    }
}

/// A host without a signature function.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl HostVerify for NoHost {
    fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests;
