//! A multiple of a point that has no table: signed windows of five bits ("wNAF"; Hankerson, Menezes,
//! Vanstone, "Guide to Elliptic Curve Cryptography", algorithm 3.36), with additions that mind every
//! case.
#![allow(
    clippy::indexing_slicing,
    reason = "odd digits of five bits into eight odd multiples: no index can be too large"
)]

use super::field::Field;
use super::point::{Affine, Point};
use super::words::{self, BITS, Words};

const WIDTH: usize = 5;
/// Odd multiples from 1 to 15.
const MULTIPLES: usize = 1 << (WIDTH - 2);

/// `k * point`.
pub fn multiple<F: Field>(point: &Affine<F>, k: &Words) -> Point<F> {
    let point = Point::from(*point);
    let twice = point.doubled();
    let mut odd = [point; MULTIPLES];
    for place in 1..MULTIPLES {
        odd[place] = odd[place - 1].plus(&twice);
    }
    let mut product = Point::INFINITY;
    for digit in digits(k).into_iter().rev().skip_while(|digit| *digit == 0) {
        product = product.doubled();
        let multiple = odd[usize::from(digit.unsigned_abs() / 2)];
        if digit > 0 {
            product = product.plus(&multiple);
        } else if digit < 0 {
            product = product.plus(&multiple.negated());
        }
    }
    product
}

/// The number in digits that are 0 or odd, from -15 to 15, the lowest first.
fn digits(k: &Words) -> [i8; BITS + 1] {
    let mut digits = [0; BITS + 1];
    let mut bit = 0;
    let mut carry = 0;
    while bit <= BITS {
        let here = usize::from(words::bit(k, bit));
        if here == carry {
            bit += 1;
            continue;
        }
        let window = (words::bits_from(k, bit) as usize & ((1 << WIDTH) - 1)) + carry;
        carry = window >> (WIDTH - 1);
        digits[bit] = (window as i8) - ((carry << WIDTH) as i8);
        bit += WIDTH;
    }
    digits
}
