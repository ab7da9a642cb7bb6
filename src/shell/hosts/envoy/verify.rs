//! Envoy's own signature function: 20 us for RSA of 2048 bits, where the filter takes twice that.

use std::cell::RefCell;

use crate::signature::known_answers::{host_is_faster, host_passes};
use crate::signature::{Algorithm, HostVerify};

use crate::shell::abi;

/// The host's `verify_signature`, for the algorithms that passed their known vectors at load.
#[derive(Default)]
pub struct Trusted {
    trusted: RefCell<Vec<Algorithm>>,
    /// Those of them for which it is slower than the code here.
    slower: RefCell<Vec<Algorithm>>,
}

impl Trusted {
    /// Uses the host's function for `algorithm` from now on, if it provably does right; false if it
    /// did wrong. To try it costs seven verifications, milliseconds with P-521.
    pub fn try_out(&self, algorithm: Algorithm) -> bool {
        if !host_passes(&Untrusted, algorithm) {
            return false;
        }
        if !self.takes(algorithm) {
            self.trusted.borrow_mut().push(algorithm);
            if is_doubtful(algorithm) && !host_is_faster(&Untrusted, algorithm, || abi::now().ns())
            {
                self.slower.borrow_mut().push(algorithm);
            }
        }
        true
    }
}

/// Whether only a measurement tells who is faster. RSA is the host's by a factor of two, P-521 of
/// many; on P-256 and P-384 it reads the key anew for each signature, and the filter has a table.
fn is_doubtful(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::ES256 | Algorithm::ES384)
}

impl HostVerify for Trusted {
    fn takes(&self, algorithm: Algorithm) -> bool {
        self.trusted.borrow().contains(&algorithm)
    }

    fn is_slower(&self, algorithm: Algorithm) -> bool {
        self.slower.borrow().contains(&algorithm)
    }

    fn verify(
        &self,
        algorithm: Algorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        if !self.takes(algorithm) {
            return None;
        }
        call(algorithm, spki_der, message, signature)
    }
}

/// The host's function without the question whether it is trusted: for the known vectors.
struct Untrusted;

impl HostVerify for Untrusted {
    fn verify(
        &self,
        algorithm: Algorithm,
        spki_der: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        call(algorithm, spki_der, message, signature)
    }
}

fn call(algorithm: Algorithm, spki_der: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::ES256 => "sha256",
        Algorithm::RS384 | Algorithm::ES384 => "sha384",
        Algorithm::RS512 | Algorithm::ES512 => "sha512",
        Algorithm::HS256
        | Algorithm::HS384
        | Algorithm::HS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512
        | Algorithm::ES256K
        | Algorithm::EdDSA
        | Algorithm::MlDsa44
        | Algorithm::MlDsa65
        | Algorithm::MlDsa87 => return None,
    };
    // VerifySignatureArguments: hash_function = 1, public_key = 2, signature = 3, text = 4.
    let mut arguments = Vec::with_capacity(spki_der.len() + message.len() + signature.len() + 32);
    for (number, field) in [(1u8, hash.as_bytes()), (2, spki_der), (3, signature), (4, message)] {
        arguments.push(number << 3 | 2);
        push_varint(&mut arguments, field.len() as u64);
        arguments.extend_from_slice(field);
    }
    let answer = abi::foreign("verify_signature", &arguments)?;
    // VerifySignatureResult: result = 1 (bool), error = 2. Anything but "result: true" is a no.
    Some(answer.first_chunk::<2>() == Some(&[0x08, 0x01]))
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
