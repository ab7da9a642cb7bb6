//! Numbers modulo the order of a curve's group: what ECDSA computes of a signature before it comes
//! to points. Three multiplications and one inversion a signature, so it is short before it is fast.
#![allow(
    clippy::indexing_slicing,
    reason = "arrays of fixed length, and lengths that are constants of a curve: no index comes from a \
              message"
)]

use super::inverse;
use super::words::{self, LEN, Words};

/// The order of a group, a prime, with what Montgomery's multiplication needs. `R` is `2^(32 * len)`.
pub struct Order {
    /// Words of the order; its highest bit is set.
    pub len: usize,
    /// The order.
    pub n: Words,
    /// `-1/n` modulo `2^32`.
    pub n_inverse: u32,
    /// `R^2` modulo `n`.
    pub r_squared: Words,
}

impl Order {
    /// A number of the order's length from 1 to `n - 1`, as `r` and `s` of a signature must be (FIPS
    /// 186-5, section 6.4.2).
    pub fn scalar(&self, big_endian: &[u8]) -> Option<Words> {
        let number = words::from_bytes(big_endian)?;
        let is_good = big_endian.len() == 4 * self.len
            && !words::is_zero(&number)
            && words::is_below(&number, &self.n);
        is_good.then_some(number)
    }

    /// `a / s` and `b / s` modulo `n`, each below it. `a` and `b` may be any of the order's length,
    /// `s` is from 1 to `n - 1`. Nothing if there were no inverse, which a prime order rules out.
    pub fn quotients(&self, a: &Words, b: &Words, s: &Words) -> Option<[Words; 2]> {
        let inverse = inverse::inverse(s, &self.n, self.n_inverse, 32 * self.len)?;
        let inverse = self.multiply(&inverse, &self.r_squared);
        Some([self.multiply(a, &inverse), self.multiply(b, &inverse)])
    }

    /// `a * b / R mod n` for `b` below `n` and any `a` of the order's length: `(a * b + q * n) / R`
    /// is below `2n` then.
    fn multiply(&self, a: &Words, b: &Words) -> Words {
        let mut sum = [0u32; LEN + 1];
        for digit in &a[..self.len] {
            // sum = (sum + digit * b + q * n) / 2^32, below 2n at each step; one bit above the words.
            let low = u64::from(sum[0]) + u64::from(*digit) * u64::from(b[0]);
            let q = (low as u32).wrapping_mul(self.n_inverse);
            let mut carries =
                (low >> 32, (u64::from(low as u32) + u64::from(q) * u64::from(self.n[0])) >> 32);
            for place in 1..self.len {
                let with_b =
                    u64::from(sum[place]) + u64::from(*digit) * u64::from(b[place]) + carries.0;
                let with_n =
                    u64::from(with_b as u32) + u64::from(q) * u64::from(self.n[place]) + carries.1;
                sum[place - 1] = with_n as u32;
                carries = (with_b >> 32, with_n >> 32);
            }
            let top = u64::from(sum[self.len]) + carries.0 + carries.1;
            sum[self.len - 1] = top as u32;
            sum[self.len] = (top >> 32) as u32;
        }
        let mut product = [0; LEN];
        product[..self.len].copy_from_slice(&sum[..self.len]);
        if sum[self.len] == 1 || !words::is_below(&product, &self.n) {
            // What is above the words goes with what `n` is short of 2^(32 * len).
            let mut borrow = 0i64;
            for (word, n) in product[..self.len].iter_mut().zip(&self.n) {
                let difference = i64::from(*word) - i64::from(*n) + borrow;
                borrow = difference >> 32;
                *word = difference as u32;
            }
        }
        product
    }

    /// The number in digits of 1 and -1, one for each bit of the order's length: `k` or `k - n` is
    /// odd, and of an odd `m = sum of d_i * 2^i` the bits of `(m - 1) / 2 + 2^(bits - 1)` say which
    /// `d_i` are 1 (Hamburg, "Fast and compact elliptic-curve cryptography", section 3.3).
    pub fn signs(&self, k: &Words) -> Words {
        let is_odd = k[0] & 1 == 1;
        let odd = if is_odd { *k } else { words::minus(&self.n, k) };
        let mut signs = words::shifted_right(&odd, 1);
        signs[self.len - 1] |= 1 << 31;
        if !is_odd {
            // The digits of n - k, each with the other sign.
            signs[..self.len].iter_mut().for_each(|word| *word = !*word);
        }
        signs
    }
}
