//! Numbers modulo the prime of a curve, as the point formulas take them.
//!
//! **Representation.** A number `v` is held as `v * R mod p` with `R = 2^(B * N)` (Montgomery), in `N`
//! signed limbs of `B` bits: nine of 29 for P-256, fourteen of 28 for P-384. A product of two limbs
//! fits an `i64`, and so does a column of such products: no carry is taken while it is summed, and
//! 32-bit machines, WebAssembly among them, multiply `i32` into `i64` in one instruction.
//!
//! **Bounds.** What a multiplication returns is *tight*: each limb is within `t = 2^(B-1) + 2^(B-5)`
//! of zero, the top limb far below, and `|v| < 0.51 * 2^bits` (bits of the prime). Sums and
//! differences are taken limb by limb without a carry; a sum of `k` tight numbers is of *weight* `k`:
//! its limbs are within `k * t`. Weights are at most 7, so that limbs fit an `i32` (7 * 1.0625 *
//! 2^28 < 2^31). A multiplication of weights `a` and `b` needs `a * b <= 14`, one with a second
//! product `c * d` taken from it `a * b + c * d <= 14`; then a column fits:
//! - P-256: at most eight of a column's nine products have no top limb in them, which is below
//!   2^24: 8 * 14 * (1.0625 * 2^28)^2 < 126.5 * 2^56, the two others < 14 * 2^54, what the reduction
//!   adds < 2^54, a carry < 2^35, together below 128 * 2^56 = 2^63.
//! - P-384: 14 * 14 * (1.0625 * 2^27)^2 < 222 * 2^54 < 2^62.
//!
//! **Reduction.** Both primes are `-1` modulo `2^B`, so the digit of Montgomery's quotient is the
//! column's own low limb, and `q * (p + 1)` is a handful of shifts ([`Prime::TERMS`], from FIPS
//! 186-5's generalised Mersenne primes): a reduction has no multiplication. It returns `(a * b + q *
//! p) / R` with `0 <= q < R`, which lies above `-|a * b| / R` and below `p + |a * b| / R`. With
//! weights as above `|a * b| / R` is below `14 * 0.27 * p / 2^5 < p / 8` on P-256 (`R > 2^5 * p`),
//! and less on P-384. What [`Field::square_minus`] takes away is below `8 * 0.51 * p`. So the value
//! is within `6 * p` of zero before the fold, which takes the nearest multiple of `2^bits` out of the
//! top limb as that multiple of `p`: the multiple is at most 6, and its shifts add less than
//! `2^(B-5)` to a limb.
//!
//! Nothing here is secret, so nothing needs to run in constant time, though this file does.
#![allow(
    clippy::indexing_slicing,
    reason = "arrays of fixed length under constants and loops over that length: no index comes from \
              a message"
)]

use std::marker::PhantomData;

use super::words::{self, Words};

/// What the point formulas need of numbers modulo a prime. Weights are those of the module's head.
pub trait Field: Copy + Send + Sync + 'static {
    const ZERO: Self;

    /// A number below the prime.
    fn from_words(number: &Words) -> Self;
    /// The number below the prime; of any weight.
    fn to_words(&self) -> Words;
    /// Whether it is 0 modulo the prime; of any weight.
    fn is_zero(&self) -> bool;

    /// The weights add up.
    fn plus(&self, other: &Self) -> Self;
    /// The weights add up.
    fn minus(&self, other: &Self) -> Self;
    /// Of the same weight.
    fn negated(&self) -> Self;
    /// The weight is multiplied.
    fn times(&self, small: i32) -> Self;

    /// `self * other`, tight.
    fn multiply(&self, other: &Self) -> Self;
    /// `self * self`, tight.
    fn square(&self) -> Self;
    /// `self * other - c * d`, tight.
    fn multiply_minus(&self, other: &Self, c: &Self, d: &Self) -> Self;
    /// `self * self - subtrahend`, tight; a subtrahend of weight 7 at most.
    fn square_minus(&self, subtrahend: &Self) -> Self;

    /// `self^exponent` for a tight number; only what is done once per key takes its time.
    fn power(&self, exponent: &Words) -> Self {
        let one = Self::from_words(&words::ONE);
        let bits = (0..words::BITS).rev().skip_while(|bit| !words::bit(exponent, *bit));
        bits.fold(one, |power, bit| {
            let power = power.square();
            if words::bit(exponent, bit) { power.multiply(self) } else { power }
        })
    }
}

/// A prime with what its reduction needs: `p + 1` is `2^(B * (N - 1) + TOP_BITS)` and [`Self::TERMS`].
pub trait Prime<const N: usize>: Send + Sync + 'static {
    /// `B`.
    const LIMB_BITS: u32;
    /// Bits of the prime in its top limb.
    const TOP_BITS: u32;
    /// The rest of `p + 1`: a limb, a bit in it, and the sign of that power of two.
    const TERMS: [(usize, u32, i64); 3];
    /// The prime.
    const P: Words;
    /// `R^2` modulo the prime.
    const R_SQUARED: Words;
}

/// A number modulo `P`.
pub struct Element<P, const N: usize> {
    limbs: [i32; N],
    prime: PhantomData<fn() -> P>,
}

impl<P, const N: usize> Clone for Element<P, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, const N: usize> Copy for Element<P, N> {}

/// Writes a block once for each column. Its number is a constant, so that what it does there is known
/// to the compiler: a loop of this size isn't unrolled by itself.
macro_rules! for_each_column {
    ($column:ident, $block:block) => {
        for_each_column!($column, $block, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26);
    };
    ($column:ident, $block:block, $($number:literal)*) => {
        $({ const $column: usize = $number; $block })*
    };
}

impl<P: Prime<N>, const N: usize> Element<P, N> {
    const MASK: i64 = (1 << P::LIMB_BITS) - 1;

    pub const fn new(limbs: [i32; N]) -> Self {
        Element { limbs, prime: PhantomData }
    }

    /// The limbs of a number, not below zero: of weight 2.
    fn unsigned_limbs(number: &Words) -> [i32; N] {
        std::array::from_fn(|limb| {
            (words::bits_from(number, limb * P::LIMB_BITS as usize) & Self::MASK as u64) as i32
        })
    }

    /// Montgomery's reduction of columns `0..2N - 1`, less `subtracted`, with the carries taken and
    /// the top folded. Tight.
    #[allow(
        clippy::absurd_extreme_comparisons,
        reason = "the block stands there once for each column, the first one too"
    )]
    #[inline(always)]
    fn reduce(column: impl Fn(usize) -> i64, subtracted: impl Fn(usize) -> i64) -> Self {
        let mut quotient = [0i64; N];
        let mut limbs = [0i32; N];
        let mut sum = 0i64;
        for_each_column!(COLUMN, {
            if COLUMN < 2 * N - 1 {
                sum += column(COLUMN);
                for (limb, shift, sign) in P::TERMS {
                    if limb <= COLUMN && COLUMN - limb < N {
                        sum += sign * (quotient[COLUMN - limb] << shift);
                    }
                }
                if COLUMN >= N - 1 {
                    sum += quotient[COLUMN - (N - 1)] << P::TOP_BITS;
                }
                if COLUMN < N {
                    // `q * p` is `q * (p + 1) - q`, and taking q away is what the shift does.
                    quotient[COLUMN] = sum & Self::MASK;
                    sum >>= P::LIMB_BITS;
                } else {
                    sum -= subtracted(COLUMN - N);
                    let carry = (sum + (1 << (P::LIMB_BITS - 1))) >> P::LIMB_BITS;
                    limbs[COLUMN - N] = (sum - (carry << P::LIMB_BITS)) as i32;
                    sum = carry;
                }
            }
        });
        Self::folded(limbs, sum - subtracted(N - 1))
    }

    /// The limbs below `top`, and the top limb without its multiples of `2^bits`.
    #[inline(always)]
    fn folded(mut limbs: [i32; N], top: i64) -> Self {
        let multiple = (top + (1 << (P::TOP_BITS - 1))) >> P::TOP_BITS;
        limbs[N - 1] = (top - (multiple << P::TOP_BITS)) as i32;
        for (limb, shift, sign) in P::TERMS {
            limbs[limb] -= (sign * (multiple << shift)) as i32;
        }
        limbs[0] += multiple as i32;
        Element::new(limbs)
    }

    /// The same number with all limbs but the top one in `low..low + 2^B`.
    fn carried(&self, low: i64) -> ([i32; N], i64) {
        let mut limbs = self.limbs;
        let mut carry = 0i64;
        for limb in &mut limbs[..N - 1] {
            let sum = i64::from(*limb) + carry;
            carry = (sum - low) >> P::LIMB_BITS;
            *limb = (sum - (carry << P::LIMB_BITS)) as i32;
        }
        let top = i64::from(limbs[N - 1]) + carry;
        (limbs, top)
    }

    /// The same number modulo the prime, tight.
    fn tightened(&self) -> Self {
        let (limbs, top) = self.carried(-(1 << (P::LIMB_BITS - 1)));
        Self::folded(limbs, top)
    }

    /// One column of `a * b`.
    #[inline(always)]
    fn products(a: &[i32; N], b: &[i32; N], column: usize) -> i64 {
        let mut sum = 0;
        for limb in column.saturating_sub(N - 1)..=column.min(N - 1) {
            sum += i64::from(a[limb]) * i64::from(b[column - limb]);
        }
        sum
    }

    /// One column of `a * a`: each product of two different limbs is taken once.
    #[inline(always)]
    fn squares(a: &[i32; N], column: usize) -> i64 {
        let mut sum = 0;
        for limb in column.saturating_sub(N - 1)..column.div_ceil(2) {
            sum += i64::from(a[limb]) * i64::from(a[column - limb]);
        }
        let middle = i64::from(a[column / 2]);
        2 * sum + if column.is_multiple_of(2) { middle * middle } else { 0 }
    }
}

impl<P: Prime<N>, const N: usize> Field for Element<P, N> {
    const ZERO: Self = Element::new([0; N]);

    fn from_words(number: &Words) -> Self {
        let number = Self::new(Self::unsigned_limbs(number));
        number.multiply(&Element::new(Self::unsigned_limbs(&P::R_SQUARED)))
    }

    fn to_words(&self) -> Words {
        let mut one = Self::ZERO;
        one.limbs[0] = 1;
        // Tight, so within the prime of zero: one prime more at most.
        let (mut limbs, mut top) = self.tightened().multiply(&one).carried(0);
        if top < 0 {
            limbs[N - 1] = top as i32;
            let prime = Element::new(Self::unsigned_limbs(&P::P));
            (limbs, top) = Self::new(limbs).plus(&prime).carried(0);
        }
        limbs[N - 1] = top as i32;
        words::from_limbs(&limbs, P::LIMB_BITS)
    }

    fn is_zero(&self) -> bool {
        // Tight, a multiple of the prime is 0 itself; and that has one form with limbs that are
        // within half of 2^B.
        let (limbs, top) = self.tightened().carried(-(1 << (P::LIMB_BITS - 1)));
        top == 0 && limbs[..N - 1].iter().all(|limb| *limb == 0)
    }

    #[inline(always)]
    fn plus(&self, other: &Self) -> Self {
        Element::new(std::array::from_fn(|limb| self.limbs[limb] + other.limbs[limb]))
    }

    #[inline(always)]
    fn minus(&self, other: &Self) -> Self {
        Element::new(std::array::from_fn(|limb| self.limbs[limb] - other.limbs[limb]))
    }

    #[inline(always)]
    fn negated(&self) -> Self {
        Element::new(std::array::from_fn(|limb| -self.limbs[limb]))
    }

    #[inline(always)]
    fn times(&self, small: i32) -> Self {
        Element::new(std::array::from_fn(|limb| small * self.limbs[limb]))
    }

    #[inline(never)]
    fn multiply(&self, other: &Self) -> Self {
        Self::reduce(|column| Self::products(&self.limbs, &other.limbs, column), |_| 0)
    }

    #[inline(never)]
    fn square(&self) -> Self {
        Self::reduce(|column| Self::squares(&self.limbs, column), |_| 0)
    }

    #[inline(never)]
    fn multiply_minus(&self, other: &Self, c: &Self, d: &Self) -> Self {
        Self::reduce(
            |column| {
                Self::products(&self.limbs, &other.limbs, column)
                    - Self::products(&c.limbs, &d.limbs, column)
            },
            |_| 0,
        )
    }

    #[inline(never)]
    fn square_minus(&self, subtrahend: &Self) -> Self {
        Self::reduce(
            |column| Self::squares(&self.limbs, column),
            |limb| i64::from(subtrahend.limbs[limb]),
        )
    }
}

#[cfg(test)]
mod tests;
