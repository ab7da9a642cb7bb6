//! About what verifications take in WebAssembly.
//!
//! Those of elliptic curves are from `cargo bench --bench signature` as a plain WASI program in V8 (Node
//! 20) on a machine that did nothing else, rounded up (BENCHMARKS.md says how to repeat it); the others
//! are of a busy one, about twice what it takes then.

use super::{Algorithm, Family, VerifyKey};
use crate::time::NS_PER_MS;

const US: u64 = NS_PER_MS / 1_000;

impl VerifyKey {
    /// Nanoseconds that one verification takes, about: of a key's first ones that which takes longest,
    /// where it makes a table then.
    pub fn cost_ns(&self, algorithm: Algorithm) -> u64 {
        match algorithm.family() {
            Family::Hmac => 5 * US,
            // By the square of the modulus's length: 100 us for 2048 bits, 1.3 ms for 8192.
            Family::RsaPkcs1 | Family::RsaPss => {
                (self.spki_der().len() as u64).saturating_pow(2).saturating_mul(US) / 860
            }
            Family::Ed => 200 * US,
            Family::MlDsa => 700 * US,
            Family::Ec => match algorithm {
                // Without a table 113, with one 30; the fourth, which makes it, takes 262 to 300.
                Algorithm::ES256 => 300 * US,
                // Without a table 610, with one 155; the fourth takes 1,240.
                Algorithm::ES384 => 1_300 * US,
                Algorithm::ES256K => 400 * US,
                // P-521.
                _ => 3_800 * US,
            },
        }
    }

    /// The same in Envoy once a key has been used a few times, by its own function or, where that is
    /// slower, by the code here.
    pub fn cost_by_host_ns(&self, algorithm: Algorithm) -> u64 {
        match algorithm {
            Algorithm::ES256 => 35 * US,
            Algorithm::ES384 => 160 * US,
            Algorithm::ES512 => 1_000 * US,
            // 20 us for RSA of 2048 bits.
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => self.cost_ns(algorithm) / 5,
            other => self.cost_ns(other),
        }
    }
}
