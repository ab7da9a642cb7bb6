//! About what verifications take in WebAssembly.

use super::{Algorithm, Family, VerifyKey};
use crate::time::NS_PER_MS;

const US: u64 = NS_PER_MS / 1_000;

impl VerifyKey {
    /// Nanoseconds that one verification takes, about.
    pub fn cost_ns(&self, algorithm: Algorithm) -> u64 {
        match algorithm.family() {
            Family::Hmac => 5 * US,
            // By the square of the modulus's length: 100 us for 2048 bits, 1.6 ms for 8192.
            Family::RsaPkcs1 | Family::RsaPss => {
                (self.spki_der().len() as u64).saturating_pow(2).saturating_mul(US) / 860
            }
            Family::Ed => 200 * US,
            Family::MlDsa => 700 * US,
            Family::Ec if matches!(algorithm, Algorithm::ES256 | Algorithm::ES256K) => 800 * US,
            Family::Ec => 3_800 * US,
        }
    }

    /// The same where Envoy's own function is asked.
    pub fn cost_by_host_ns(&self, algorithm: Algorithm) -> u64 {
        match algorithm {
            Algorithm::ES256 => 55 * US,
            Algorithm::ES384 | Algorithm::ES512 => 520 * US,
            // 20 us for RSA of 2048 bits.
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => self.cost_ns(algorithm) / 5,
            other => self.cost_ns(other),
        }
    }
}
