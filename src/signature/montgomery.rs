//! Powers modulo an odd number with a small public exponent: what RSA verification costs.
//!
//! Numbers are little-endian limbs of `B` bits in a `u32`, `B` being 28 up to 3,582 bits and 27
//! above, so that a whole column of products fits one `u64` and no carry is taken while it is
//! summed. Columns are summed four at a time, which loads each limb once for four products. `R =
//! 2^(B * limbs)` is larger than four times the modulus: products of numbers below `2n` come out
//! below `2n` (Walter, "Montgomery exponentiation needs no final subtractions"), and only the last
//! result is reduced. Nothing here is secret, so nothing but the products runs in constant time:
//! what is for a private key is in [`private`].
#![allow(
    clippy::indexing_slicing,
    reason = "every array has a length that `Modulus::new` fixes from the modulus, never from a message; \
              the loops run over these lengths, and checked access costs a third of the speed"
)]

pub(crate) mod private;

/// Zero limbs on both sides of a reversed operand, so that a group of four columns needs no special
/// cases at its ends.
const PAD: usize = 4;

/// An odd modulus with what is computed once per key.
#[derive(Clone)]
pub(super) struct Modulus {
    limb_bits: u32,
    /// Bits of the modulus.
    bits: usize,
    /// Length in limbs, a multiple of four.
    len: usize,
    n: Vec<u32>,
    /// `n` as it was given. A number of as many bytes may have more bits than the limbs take.
    big_endian: Vec<u8>,
    /// `n` reversed, `PAD` zeros around it.
    n_reversed: Vec<u32>,
    /// `-1/n` modulo `2^B`.
    n_inverse: u32,
    /// `R^2` modulo `n`.
    r_squared: Vec<u32>,
}

/// Room for one product.
struct Scratch {
    columns: Vec<u64>,
    reversed: Vec<u32>,
    quotient: Vec<u32>,
}

impl Modulus {
    /// The largest modulus in bits that keeps a column of 27-bit limbs within 64 bits, with room to
    /// spare.
    pub(super) const BITS_MAX: usize = 8192;

    /// Prepares a modulus given as big-endian bytes without a leading zero. `None` if it is even,
    /// below 2^64 or above [`Modulus::BITS_MAX`] bits.
    pub(super) fn new(big_endian: &[u8]) -> Option<Modulus> {
        let first = *big_endian.first()?;
        let bits = (big_endian.len() * 8).checked_sub(first.leading_zeros() as usize)?;
        if first == 0 || !(65..=Self::BITS_MAX).contains(&bits) || big_endian.last()? & 1 == 0 {
            return None;
        }
        // A column sums 2 * len products below 2^(2B), and a carry: 2 * 128 * 2^56 is the most that
        // 64 bits hold.
        let (limb_bits, len) = match limbs_for(bits, 28) {
            len if len <= 128 => (28, len),
            _ => (27, limbs_for(bits, 27)),
        };
        let n = limbs(big_endian, limb_bits, len);
        let mut n_reversed = vec![0; len + 2 * PAD];
        reverse_into(&n, &mut n_reversed);
        let n_inverse = negative_inverse(n[0], limb_bits);
        let big_endian = big_endian.to_vec();
        let mut modulus = Modulus {
            limb_bits,
            bits,
            len,
            n_inverse,
            n,
            big_endian,
            n_reversed,
            r_squared: Vec::new(),
        };
        modulus.r_squared = modulus.compute_r_squared();
        Some(modulus)
    }

    /// Bits of the modulus.
    pub(super) fn bits(&self) -> usize {
        self.bits
    }

    /// Bytes of the modulus: `k` of RFC 8017.
    pub(super) fn bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// `base^exponent mod n` as exactly [`Modulus::bytes`] big-endian bytes. `None` unless `base`
    /// has exactly that length and is below the modulus (RFC 8017, sections 5.2.2 and 8.2.2), or if
    /// the exponent is even.
    pub(super) fn power(&self, base: &[u8], exponent: u64) -> Option<Vec<u8>> {
        // Compared as bytes of equal length: limbs would cut off what is above them.
        if base.len() != self.bytes() || base >= self.big_endian.as_slice() || exponent & 1 == 0 {
            return None;
        }
        let base = limbs(base, self.limb_bits, self.len);
        let mut scratch = self.scratch();
        let mut power = if exponent == 1 {
            base
        } else {
            let mut base_r = vec![0; self.len];
            self.multiply(&base, &self.r_squared, &mut base_r, &mut scratch);
            let mut accumulator = base_r.clone();
            let mut product = vec![0; self.len];
            let steps = exponent.ilog2();
            for step in (1..steps).rev() {
                self.square(&accumulator, &mut product, &mut scratch);
                std::mem::swap(&mut accumulator, &mut product);
                if exponent >> step & 1 == 1 {
                    self.multiply(&accumulator, &base_r, &mut product, &mut scratch);
                    std::mem::swap(&mut accumulator, &mut product);
                }
            }
            self.square(&accumulator, &mut product, &mut scratch);
            // The exponent is odd. Multiplying by the base itself, not by base * R, takes R out in
            // the same step.
            self.multiply(&product, &base, &mut accumulator, &mut scratch);
            accumulator
        };
        if !is_below(&power, &self.n) {
            subtract(&mut power, &self.n, self.limb_bits);
        }
        Some(big_endian(&power, self.limb_bits, self.bytes()))
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            columns: vec![0; 2 * self.len],
            reversed: vec![0; self.len + 2 * PAD],
            quotient: vec![0; self.len],
        }
    }

    /// `a * b / R`, below `2n` if both are.
    fn multiply(&self, a: &[u32], b: &[u32], out: &mut [u32], scratch: &mut Scratch) {
        reverse_into(b, &mut scratch.reversed);
        let (len, a) = (self.len, &a[..self.len]);
        for (group, columns) in scratch.columns.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let column = 4 * group;
            let from = column.saturating_sub(len - 1);
            let to = (column + 4).min(len);
            *columns = four_columns(&a[from..to], &scratch.reversed[len + from - column..]);
        }
        self.reduce(out, scratch);
    }

    /// `a * a / R`, below `2n` if `a` is. Each product of two different limbs is taken once.
    fn square(&self, a: &[u32], out: &mut [u32], scratch: &mut Scratch) {
        reverse_into(a, &mut scratch.reversed);
        let (len, a) = (self.len, &a[..self.len]);
        let limb = |index: usize| u64::from(a.get(index).copied().unwrap_or(0));
        for (group, columns) in scratch.columns.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let column = 4 * group;
            let from = column.saturating_sub(len - 1);
            // Limbs below `half` pair with one above the middle in all four columns.
            let half = 2 * group;
            let [s0, s1, s2, s3] =
                four_columns(&a[from..half.max(from)], &scratch.reversed[len + from - column..]);
            let (m0, m1, m2, m3) = (limb(half), limb(half + 1), limb(half + 2), limb(half + 3));
            *columns = [
                2 * s0 + m0 * m0,
                2 * (s1 + m0 * m1),
                2 * (s2 + m0 * m2) + m1 * m1,
                2 * (s3 + m0 * m3 + m1 * m2),
            ];
        }
        self.reduce(out, scratch);
    }

    /// Montgomery's reduction of the columns: adds the multiple of `n` that clears the lower half,
    /// and returns the upper.
    fn reduce(&self, out: &mut [u32], scratch: &mut Scratch) {
        let len = self.len;
        let mask = (1u64 << self.limb_bits) - 1;
        let quotient_digit = |sum: u64| (sum as u32).wrapping_mul(self.n_inverse) & (mask as u32);
        let (low, high) = scratch.columns.split_at_mut(len);
        let quotient = &mut scratch.quotient[..len];
        let (n0, n1, n2, n3) = (
            u64::from(self.n[0]),
            u64::from(self.n[1]),
            u64::from(self.n[2]),
            u64::from(self.n[3]),
        );
        let mut carry = 0u64;
        for (group, columns) in low.as_chunks::<4>().0.iter().enumerate() {
            let column = 4 * group;
            let (known, digits) = quotient.split_at_mut(column);
            let sums = four_columns(known, &self.n_reversed[len - column..]);
            let s0 = columns[0] + sums[0] + carry;
            let q0 = quotient_digit(s0);
            let (d0, s0) = (u64::from(q0), s0 + u64::from(q0) * n0);
            let s1 = columns[1] + sums[1] + (s0 >> self.limb_bits) + d0 * n1;
            let q1 = quotient_digit(s1);
            let (d1, s1) = (u64::from(q1), s1 + u64::from(q1) * n0);
            let s2 = columns[2] + sums[2] + (s1 >> self.limb_bits) + d0 * n2 + d1 * n1;
            let q2 = quotient_digit(s2);
            let (d2, s2) = (u64::from(q2), s2 + u64::from(q2) * n0);
            let s3 = columns[3] + sums[3] + (s2 >> self.limb_bits) + d0 * n3 + d1 * n2 + d2 * n1;
            let q3 = quotient_digit(s3);
            carry = (s3 + u64::from(q3) * n0) >> self.limb_bits;
            digits[..4].copy_from_slice(&[q0, q1, q2, q3]);
        }
        for (group, (columns, out)) in
            high.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<4>().0.iter_mut()).enumerate()
        {
            // Column len + 4 * group: the first limb that still has a partner is 4 * group + 1.
            let from = 4 * group + 1;
            let sums = four_columns(&quotient[from..], &self.n_reversed[1..]);
            for ((out, column), sum) in out.iter_mut().zip(columns).zip(sums) {
                let total = column + sum + carry;
                *out = (total & mask) as u32;
                carry = total >> self.limb_bits;
            }
        }
    }

    /// `R^2 mod n`: from `R * 2^s` by doubling, then by squaring, each of which doubles the power
    /// of two.
    fn compute_r_squared(&self) -> Vec<u32> {
        let r_bits = self.limb_bits as usize * self.len;
        let squarings = r_bits.trailing_zeros();
        let doublings = r_bits >> squarings;
        let mut value = vec![0u32; self.len];
        let top = self.bits - 1;
        value[top / self.limb_bits as usize] = 1 << (top % self.limb_bits as usize);
        for _ in top..r_bits + doublings {
            double(&mut value, self.limb_bits);
            if !is_below(&value, &self.n) {
                subtract(&mut value, &self.n, self.limb_bits);
            }
        }
        let mut scratch = self.scratch();
        let mut product = vec![0u32; self.len];
        for _ in 0..squarings {
            self.square(&value, &mut product, &mut scratch);
            std::mem::swap(&mut value, &mut product);
        }
        value
    }
}

/// Limbs for a modulus of `bits` bits: `R > 4n`, and groups of four.
fn limbs_for(bits: usize, limb_bits: usize) -> usize {
    (bits + 2).div_ceil(limb_bits).next_multiple_of(4)
}

/// Four neighbouring columns of `left * right`, the lowest first. `right` is reversed: the window
/// at place `i` holds, from its last limb to its first, the partners of `left[i]`.
#[inline(always)]
fn four_columns(left: &[u32], right: &[u32]) -> [u64; 4] {
    let (mut s0, mut s1, mut s2, mut s3) = (0u64, 0u64, 0u64, 0u64);
    for (limb, window) in left.iter().zip(right.array_windows::<4>()) {
        let limb = u64::from(*limb);
        s0 += limb * u64::from(window[3]);
        s1 += limb * u64::from(window[2]);
        s2 += limb * u64::from(window[1]);
        s3 += limb * u64::from(window[0]);
    }
    [s0, s1, s2, s3]
}

/// `-1/n0` modulo `2^limb_bits` for an odd `n0`, by Newton's iteration: each step doubles the right
/// bits, from three.
fn negative_inverse(n0: u32, limb_bits: u32) -> u32 {
    let mut inverse = n0;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(n0.wrapping_mul(inverse)));
    }
    inverse.wrapping_neg() & ((1 << limb_bits) - 1)
}

fn reverse_into(limbs: &[u32], out: &mut [u32]) {
    for (out, limb) in out[PAD..].iter_mut().zip(limbs.iter().rev()) {
        *out = *limb;
    }
}

/// The limbs of a number that they have room for.
fn limbs(big_endian: &[u8], limb_bits: u32, len: usize) -> Vec<u32> {
    let mut out = Vec::with_capacity(len);
    let (mut pending, mut pending_bits) = (0u64, 0);
    for byte in big_endian.iter().rev() {
        pending |= u64::from(*byte) << pending_bits;
        pending_bits += 8;
        if pending_bits >= limb_bits {
            out.push((pending & ((1 << limb_bits) - 1)) as u32);
            pending >>= limb_bits;
            pending_bits -= limb_bits;
        }
    }
    out.push(pending as u32);
    out.resize(len, 0);
    out
}

fn big_endian(limbs: &[u32], limb_bits: u32, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 4);
    let (mut pending, mut pending_bits) = (0u64, 0);
    for limb in limbs {
        pending |= u64::from(*limb) << pending_bits;
        pending_bits += limb_bits;
        while pending_bits >= 8 {
            out.push(pending as u8);
            pending >>= 8;
            pending_bits -= 8;
        }
    }
    out.push(pending as u8);
    out.resize(bytes, 0);
    out.reverse();
    out
}

fn is_below(a: &[u32], b: &[u32]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn double(value: &mut [u32], limb_bits: u32) {
    let mut carry = 0;
    for limb in value {
        let doubled = *limb << 1 | carry;
        *limb = doubled & ((1 << limb_bits) - 1);
        carry = doubled >> limb_bits;
    }
}

/// `value - n` for a value that isn't below `n`.
fn subtract(value: &mut [u32], n: &[u32], limb_bits: u32) {
    let mut borrow = 0;
    for (limb, n) in value.iter_mut().zip(n) {
        let difference = limb.wrapping_sub(*n).wrapping_sub(borrow);
        *limb = difference & ((1 << limb_bits) - 1);
        borrow = difference >> 31;
    }
}

#[cfg(test)]
mod tests;
