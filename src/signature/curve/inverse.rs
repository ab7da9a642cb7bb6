//! Inverses modulo an odd number, by the division steps of Bernstein and Yang ("Fast constant-time
//! gcd computation and modular inversion", 2019), in variable time: of a signature's `s`, which
//! everyone may know.
//!
//! From `f = n` and `g = a` on, a step halves `g`, if need be after `f` was added to it or took its
//! place; 30 such steps depend on the lowest 30 bits alone and are one matrix of small numbers,
//! applied to all of `f` and `g` at once, and modulo `n` to `d` and `e`, of which `d * a = f` and `e *
//! a = g` hold throughout. When `g` is 0, `f` is 1 or -1, so `d` is the inverse or its negative.
//!
//! Numbers are limbs of 30 bits, all from 0 to `2^30 - 1` but the top one, which has the sign. An
//! entry of the matrix and its neighbour are within `2^30` of zero together, so a sum of two products
//! with limbs is within `2^60`, and the multiple of `n` that is added below `2^60` too.
#![allow(
    clippy::indexing_slicing,
    reason = "arrays of fixed length, and lengths that are constants of a curve: no index comes from a \
              message"
)]

use super::words::{self, Words};

/// Bits of a limb, and steps of a batch.
const LIMB_BITS: u32 = 30;
const MASK: i64 = (1 << LIMB_BITS) - 1;
/// Limbs of a number between `-2n` and `2n` for an `n` of 384 bits.
const LEN: usize = 13;
/// Batches that end for every number of 384 bits: (49 * 384 + 57) / 17 steps are enough (theorem 11.2
/// of the paper).
const BATCHES_MAX: usize = 38;

type Limbs = [i32; LEN];

/// What a batch of steps does: `2^30 * f' = u * f + v * g` and `2^30 * g' = q * f + r * g`.
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// `1/a` modulo `n`, an odd number of that many bits, for an `a` below it; `n_inverse` is `-1/n`
/// modulo `2^32`. Nothing if there is none.
pub fn inverse(a: &Words, n: &Words, n_inverse: u32, bits: usize) -> Option<Words> {
    let len = (bits + 2).div_ceil(LIMB_BITS as usize).min(LEN);
    let n = limbs(n);
    let (mut f, mut g, mut d, mut e) = (n, limbs(a), [0; LEN], [0; LEN]);
    e[0] = 1;
    let mut eta = -1;
    for _ in 0..BATCHES_MAX {
        let matrix = batch(&mut eta, f[0] as u32, g[0] as u32);
        apply_modulo(&matrix, &mut d, &mut e, &n, n_inverse, len);
        apply(&matrix, &mut f, &mut g, len);
        if g.iter().all(|limb| *limb == 0) {
            let is_negative = f[len - 1] < 0;
            let sign = if is_negative { -1 } else { 1 };
            return is_unit(&f, len).then(|| reduced(&d, sign, &n, len));
        }
    }
    None
}

/// Thirty division steps. `eta` is the paper's `-delta`: below zero, `f` and `g` change places.
fn batch(eta: &mut i32, mut f: u32, mut g: u32) -> Matrix {
    let (mut u, mut v, mut q, mut r) = (1u32, 0u32, 0u32, 1u32);
    let mut left = LIMB_BITS;
    loop {
        let zeros = (g | u32::MAX << left).trailing_zeros();
        g >>= zeros;
        u = u.wrapping_shl(zeros);
        v = v.wrapping_shl(zeros);
        *eta -= zeros as i32;
        left -= zeros;
        if left == 0 {
            break;
        }
        if *eta < 0 {
            *eta = -*eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // As many bits of g as no change of places comes before can go at once, up to six: f * (2 -
        // f * f) is the inverse of an odd f modulo 64.
        let bits = left.min(*eta as u32 + 1).min(6);
        let multiple =
            f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & ((1 << bits) - 1);
        g = g.wrapping_add(f.wrapping_mul(multiple));
        q = q.wrapping_add(u.wrapping_mul(multiple));
        r = r.wrapping_add(v.wrapping_mul(multiple));
    }
    let entry = |number: u32| i64::from(number as i32);
    Matrix { u: entry(u), v: entry(v), q: entry(q), r: entry(r) }
}

/// `f` and `g` after a batch; both sums end in 30 zero bits.
fn apply(matrix: &Matrix, f: &mut Limbs, g: &mut Limbs, len: usize) {
    let (mut sum_f, mut sum_g) = (0, 0);
    for place in 0..len {
        let (limb_f, limb_g) = (i64::from(f[place]), i64::from(g[place]));
        sum_f += matrix.u * limb_f + matrix.v * limb_g;
        sum_g += matrix.q * limb_f + matrix.r * limb_g;
        if place > 0 {
            f[place - 1] = (sum_f & MASK) as i32;
            g[place - 1] = (sum_g & MASK) as i32;
        }
        sum_f >>= LIMB_BITS;
        sum_g >>= LIMB_BITS;
    }
    f[len - 1] = sum_f as i32;
    g[len - 1] = sum_g as i32;
}

/// `d` and `e` after a batch, modulo `n`. Both are above `-2n` and below `n`, before and after: `n` is
/// added to those below zero, and then a multiple of it from 0 to `2^30 - 1` taken away that makes the
/// sum end in 30 zero bits.
fn apply_modulo(
    matrix: &Matrix,
    d: &mut Limbs,
    e: &mut Limbs,
    n: &Limbs,
    n_inverse: u32,
    len: usize,
) {
    let sign = |number: &Limbs| i64::from(number[len - 1] >> 31);
    let (sign_d, sign_e) = (sign(d), sign(e));
    let multiple = |by_d: i64, by_e: i64| {
        let added = (by_d & sign_d) + (by_e & sign_e);
        let low = by_d * i64::from(d[0]) + by_e * i64::from(e[0]) + added * i64::from(n[0]);
        // low + m * n = 0 modulo 2^30 has the solution -low/n; from -(2^30 - 1) to 0.
        let taken = (low as u32).wrapping_mul(n_inverse).wrapping_neg() & MASK as u32;
        added - i64::from(taken)
    };
    let (multiple_d, multiple_e) = (multiple(matrix.u, matrix.v), multiple(matrix.q, matrix.r));
    let (mut sum_d, mut sum_e) = (0, 0);
    for place in 0..len {
        let (limb_d, limb_e, limb_n) =
            (i64::from(d[place]), i64::from(e[place]), i64::from(n[place]));
        sum_d += matrix.u * limb_d + matrix.v * limb_e + multiple_d * limb_n;
        sum_e += matrix.q * limb_d + matrix.r * limb_e + multiple_e * limb_n;
        if place > 0 {
            d[place - 1] = (sum_d & MASK) as i32;
            e[place - 1] = (sum_e & MASK) as i32;
        }
        sum_d >>= LIMB_BITS;
        sum_e >>= LIMB_BITS;
    }
    d[len - 1] = sum_d as i32;
    e[len - 1] = sum_e as i32;
}

/// Whether it is 1 or -1.
fn is_unit(f: &Limbs, len: usize) -> bool {
    let mut one = [0; LEN];
    one[0] = 1;
    *f == one || carried(f, -1, &[0; LEN], 0, len) == one
}

/// `sign * d` from 0 to `n - 1`, of a `d` above `-2n` and below `n`.
fn reduced(d: &Limbs, sign: i64, n: &Limbs, len: usize) -> Words {
    let is_negative = |number: &Limbs| number[len - 1] < 0;
    let within_n = carried(d, 1, n, i64::from(is_negative(d)), len);
    let signed = carried(&within_n, sign, n, 0, len);
    let reduced = carried(&signed, 1, n, i64::from(is_negative(&signed)), len);
    words::from_limbs(&reduced, LIMB_BITS)
}

/// `factor * a + multiple * n` with its carries taken.
fn carried(a: &Limbs, factor: i64, n: &Limbs, multiple: i64, len: usize) -> Limbs {
    let (mut sum, mut out) = (0, [0; LEN]);
    for place in 0..len {
        sum += factor * i64::from(a[place]) + multiple * i64::from(n[place]);
        out[place] = if place == len - 1 { sum as i32 } else { (sum & MASK) as i32 };
        sum >>= LIMB_BITS;
    }
    out
}

fn limbs(number: &Words) -> Limbs {
    std::array::from_fn(|limb| {
        (words::bits_from(number, limb * LIMB_BITS as usize) & MASK as u64) as i32
    })
}
