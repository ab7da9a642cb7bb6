//! Powers with a secret exponent: what opens a token that was encrypted to an RSA key, and what signs
//! with one.
//!
//! Here everything is secret but the modulus and the lengths, so that each power takes the same
//! steps: products of [`Modulus`] have neither branches nor reductions that depend on the numbers,
//! the window of the exponent is fixed, its table is read whole, and the one subtraction at the end
//! is always made. Beside that the base is blinded (RUSTSEC-2023-0071 is what became of a crate
//! that did without either). There is no remainder theorem: it is four times as fast, and a fault
//! in it gives away the key. Memory isn't wiped: the configuration, in which the key stands, lies in
//! the host's memory and in ours.

use std::cell::RefCell;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::{Modulus, Scratch, big_endian, limbs};
use crate::signature::rsa::without_leading_zeros;

/// Bits of the moduli that are taken: below them is too weak (RFC 7518, sections 3.3 and 4.3), above
/// them a power costs too much.
const BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// Bytes of the largest public exponent that is taken.
const PUBLIC_BYTES_MAX: usize = 5;
/// Bits of the exponent that are taken at once.
const WINDOW: u32 = 4;

/// A private exponent beside its modulus, and what the next base is blinded with.
pub(crate) struct PrivateExponent {
    modulus: Modulus,
    public: u64,
    /// Big-endian, as long as the modulus.
    exponent: Vec<u8>,
    blinding: RefCell<Blinding>,
}

/// A number's inverse to the power of the public exponent, and the number: what is multiplied before
/// and after. Both in Montgomery's form. They are squared after each use, so that no two bases are
/// blinded alike, and nobody without the private exponent can foresee them.
struct Blinding {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl PrivateExponent {
    /// The key of these big-endian numbers (RFC 8017, section 3.2: n, e, d); an error says what is
    /// wrong.
    pub(crate) fn of_key(n: &[u8], e: &[u8], d: &[u8]) -> Result<PrivateExponent, &'static str> {
        let [n, e, d] = [n, e, d].map(without_leading_zeros);
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !BITS.contains(&bits) {
            return Err("its modulus hasn't 2048 to 4096 bits");
        }
        let public = e.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if e.len() > PUBLIC_BYTES_MAX || public < 3 || public & 1 == 0 {
            return Err("its \"e\" is even, below 3, or above 40 bits");
        }
        PrivateExponent::new(n, public, d).ok_or("\"n\", \"e\" and \"d\" aren't one key")
    }

    /// From big-endian numbers without leading zeros. Nothing if they are none of one key.
    fn new(modulus: &[u8], public: u64, exponent: &[u8]) -> Option<PrivateExponent> {
        let modulus = Modulus::new(modulus)?;
        let padded = padded(exponent, modulus.bytes())?;
        let one = one(modulus.len);
        let mut scratch = modulus.scratch();
        // Below the modulus, whatever it is: its first byte is zero.
        let mut number = vec![0];
        for counter in 0_u32.. {
            if number.len() >= modulus.bytes() {
                break;
            }
            let mac = Hmac::<Sha256>::new_from_slice(&padded).ok()?;
            let of = mac.chain_update(b"blinding").chain_update(counter.to_be_bytes());
            number.extend(of.finalize().into_bytes());
        }
        number.truncate(modulus.bytes());
        let number = limbs(&number, modulus.limb_bits, modulus.len);
        let mut after = vec![0; modulus.len];
        modulus.multiply(&number, &modulus.r_squared, &mut after, &mut scratch);
        // Euler: to the power of `public * exponent - 1` each number is one.
        let inverse = modulus.secret_power(&after, &inverting(public, &padded)?, &mut scratch);
        let before = modulus.secret_power(&inverse, &public.to_be_bytes(), &mut scratch);
        let mut product = vec![0; modulus.len];
        modulus.multiply(&inverse, &number, &mut product, &mut scratch);
        modulus.subtract_if_due(&mut product);
        if product != one {
            return None;
        }
        let blinding = RefCell::new(Blinding { before, after });
        Some(PrivateExponent { modulus, public, exponent: padded, blinding })
    }

    /// Bytes of the modulus, and of each power.
    pub(crate) fn bytes(&self) -> usize {
        self.modulus.bytes()
    }

    /// The power of an encoded message, which is its signature (RFC 8017, section 5.2.1). It goes
    /// out only if the public exponent takes it back: what a fault has made of it could tell the key
    /// to whoever sees it (Boneh, DeMillo and Lipton, "On the importance of checking cryptographic
    /// protocols for faults").
    pub(crate) fn signature(&self, encoded: &[u8]) -> Option<Vec<u8>> {
        let signature = self.power(encoded)?;
        let is_good = self.modulus.power(&signature, self.public)? == encoded;
        is_good.then_some(signature)
    }

    /// `base ^ exponent` modulo the modulus, in full length. Nothing unless the base is below the
    /// modulus and as long, which anyone can see.
    pub(crate) fn power(&self, base: &[u8]) -> Option<Vec<u8>> {
        let modulus = &self.modulus;
        if base.len() != modulus.bytes() || base >= modulus.big_endian.as_slice() {
            return None;
        }
        let mut scratch = modulus.scratch();
        let mut product = vec![0; modulus.len];
        let mut times = |one: &[u32], other: &[u32], scratch: &mut Scratch| {
            modulus.multiply(one, other, &mut product, scratch);
            product.clone()
        };
        let mut blinding = self.blinding.borrow_mut();
        let base = limbs(base, modulus.limb_bits, modulus.len);
        let base = times(&base, &modulus.r_squared, &mut scratch);
        let base = times(&base, &blinding.before, &mut scratch);
        let power = modulus.secret_power(&base, &self.exponent, &mut scratch);
        let power = times(&power, &blinding.after, &mut scratch);
        let mut power = times(&power, &one(modulus.len), &mut scratch);
        modulus.subtract_if_due(&mut power);
        let Blinding { before, after } = &mut *blinding;
        for number in [before, after] {
            *number = times(number, number, &mut scratch);
        }
        Some(big_endian(&power, modulus.limb_bits, modulus.bytes()))
    }
}

impl Modulus {
    /// The power of a number in Montgomery's form, in that form, below `2n`.
    fn secret_power(&self, base: &[u32], exponent: &[u8], scratch: &mut Scratch) -> Vec<u32> {
        let mut table = vec![vec![0; self.len]; 1 << WINDOW];
        self.multiply(&one(self.len), &self.r_squared, &mut table[0], scratch);
        for index in 1..table.len() {
            let (known, rest) = table.split_at_mut(index);
            self.multiply(&known[index - 1], base, &mut rest[0], scratch);
        }
        let mut accumulator = table[0].clone();
        let mut product = vec![0; self.len];
        let mut chosen = vec![0; self.len];
        for digit in exponent.iter().flat_map(|byte| [byte >> WINDOW, byte & 0xf]) {
            for _ in 0..WINDOW {
                self.square(&accumulator, &mut product, scratch);
                std::mem::swap(&mut accumulator, &mut product);
            }
            for (index, power) in table.iter().enumerate() {
                let is_it = (index as u8).ct_eq(&digit);
                for (chosen, limb) in chosen.iter_mut().zip(power) {
                    chosen.conditional_assign(limb, is_it);
                }
            }
            self.multiply(&accumulator, &chosen, &mut product, scratch);
            std::mem::swap(&mut accumulator, &mut product);
        }
        accumulator
    }

    /// Takes the modulus off a number below `2n`, if it isn't below `n`.
    fn subtract_if_due(&self, value: &mut [u32]) {
        let mask = (1 << self.limb_bits) - 1;
        let mut borrow = 0;
        let mut less = vec![0_u32; self.len];
        for ((less, limb), n) in less.iter_mut().zip(&*value).zip(&self.n) {
            let difference = limb.wrapping_sub(*n).wrapping_sub(borrow);
            *less = difference & mask;
            borrow = difference >> 31;
        }
        let is_due = !Choice::from(borrow as u8);
        for (limb, less) in value.iter_mut().zip(&less) {
            limb.conditional_assign(less, is_due);
        }
    }
}

/// The number one, in no form.
fn one(len: usize) -> Vec<u32> {
    let mut one = vec![0; len];
    one[0] = 1;
    one
}

/// A number with zeros in front.
fn padded(number: &[u8], bytes: usize) -> Option<Vec<u8>> {
    Some([vec![0; bytes.checked_sub(number.len())?].as_slice(), number].concat())
}

/// `public * exponent - 2`: the power that is a number's inverse.
fn inverting(public: u64, exponent: &[u8]) -> Option<Vec<u8>> {
    let mut product = Vec::with_capacity(exponent.len() + 8);
    let mut carry = 0_u128;
    for byte in exponent.iter().rev() {
        carry += u128::from(public) * u128::from(*byte);
        product.push(carry as u8);
        carry >>= 8;
    }
    product.extend(&(carry as u64).to_le_bytes());
    let mut borrow = 2_u8;
    for byte in &mut product {
        let (less, is_below) = byte.overflowing_sub(borrow);
        (*byte, borrow) = (less, u8::from(is_below));
    }
    product.reverse();
    (borrow == 0).then_some(product)
}

#[cfg(test)]
mod tests;
