//! Points of a curve `y^2 = x^3 - 3x + b` of prime order.
//!
//! Formulas from the Explicit-Formulas Database (hyperelliptic.org/EFD/g1p/auto-shortw-jacobian-3.html
//! and auto-shortw-jacobian.html), arranged so that weights stay within the bounds of
//! [`super::field`]; each line says the weights that it multiplies. All coordinates are tight.

use super::field::Field;
use super::words;

/// A point other than infinity as `(x, y)`.
#[derive(Clone, Copy)]
pub struct Affine<F> {
    pub x: F,
    pub y: F,
}

impl<F: Field> Affine<F> {
    pub fn negated(&self) -> Affine<F> {
        Affine { x: self.x, y: self.y.negated() }
    }
}

/// A point as `(X / Z^2, Y / Z^3)`; infinity has a Z of 0.
#[derive(Clone, Copy)]
pub struct Point<F> {
    pub x: F,
    pub y: F,
    pub z: F,
}

impl<F: Field> From<Affine<F>> for Point<F> {
    fn from(point: Affine<F>) -> Point<F> {
        Point { x: point.x, y: point.y, z: F::from_words(&words::ONE) }
    }
}

impl<F: Field> Point<F> {
    pub const INFINITY: Point<F> = Point { x: F::ZERO, y: F::ZERO, z: F::ZERO };

    pub fn is_infinity(&self) -> bool {
        self.z.is_zero()
    }

    pub fn negated(&self) -> Point<F> {
        Point { y: self.y.negated(), ..*self }
    }

    /// `2 * self`, of any point ("dbl-2001-b"): no point of a group of odd order has a Y of 0.
    pub fn doubled(&self) -> Point<F> {
        let delta = self.z.square();
        let gamma = self.y.square();
        // 1 * 4: tight, and so the factors 4 and 8 of the formula are 1 and 2.
        let beta_4 = self.x.multiply(&gamma.times(4));
        // 2 * 2, and three times that.
        let alpha = self.x.minus(&delta).multiply(&self.x.plus(&delta)).times(3);
        // 3 * 3
        let x = alpha.square_minus(&beta_4.times(2));
        // 2 * 2
        let z = self.y.plus(&self.z).square_minus(&gamma.plus(&delta));
        // 3 * 2 + 2 * 4
        let y = alpha.multiply_minus(&beta_4.minus(&x), &gamma.times(2), &gamma.times(4));
        Point { x, y, z }
    }

    /// `self + other` ("madd-2004-hmv") if neither is infinity, the same point as the other, or its
    /// negative. Else the sum has a Z of 0, which a later doubling or addition can't change: who asks
    /// at the end knows whether one of them went wrong.
    pub fn plus_another(&self, other: &Affine<F>) -> Point<F> {
        let zz = self.z.square();
        let u = other.x.multiply(&zz);
        let s = other.y.multiply(&self.z.multiply(&zz));
        self.sum(&u.minus(&self.x), &s.minus(&self.y))
    }

    /// `self + other`, whatever they are ("add-1998-cmo-2").
    pub fn plus(&self, other: &Point<F>) -> Point<F> {
        if self.is_infinity() {
            return *other;
        }
        if other.is_infinity() {
            return *self;
        }
        let (zz, other_zz) = (self.z.square(), other.z.square());
        // Both over the same denominator.
        let same = Point {
            x: self.x.multiply(&other_zz),
            y: self.y.multiply(&other.z.multiply(&other_zz)),
            z: self.z.multiply(&other.z),
        };
        let h = other.x.multiply(&zz).minus(&same.x);
        let r = other.y.multiply(&self.z.multiply(&zz)).minus(&same.y);
        match (h.is_zero(), r.is_zero()) {
            (true, true) => self.doubled(),
            (true, false) => Point::INFINITY,
            (false, _) => same.sum(&h, &r),
        }
    }

    /// The sum with a point over the same denominator whose x and y are greater by `h` and `r`, both
    /// of weight 2 and other than 0; its Z is multiplied by `h`.
    #[inline(always)]
    fn sum(&self, h: &F, r: &F) -> Point<F> {
        // 2 * 2, 2 * 1, 1 * 1
        let hh = h.square();
        let hhh = h.multiply(&hh);
        let v = self.x.multiply(&hh);
        // 2 * 2
        let x = r.square_minus(&hhh.plus(&v.times(2)));
        // 2 * 2 + 1 * 1
        let y = r.multiply_minus(&v.minus(&x), &self.y, &hhh);
        // 1 * 2
        let z = self.z.multiply(h);
        Point { x, y, z }
    }
}

/// The same points without denominators, for one inversion in all ("Montgomery's trick"). Nothing if
/// one of them is infinity.
pub fn to_affine<F: Field>(points: &[Point<F>], prime: &words::Words) -> Option<Vec<Affine<F>>> {
    let mut product = F::from_words(&words::ONE);
    let mut before = Vec::with_capacity(points.len());
    for point in points {
        before.push(product);
        product = product.multiply(&point.z);
    }
    if product.is_zero() {
        return None;
    }
    // Fermat: a^(p - 2) is 1/a.
    let mut inverse = product.power(&words::minus(prime, &words::plus(&words::ONE, &words::ONE)));
    let mut affine: Vec<Affine<F>> = points
        .iter()
        .zip(&before)
        .rev()
        .map(|(point, before)| {
            let z = inverse.multiply(before);
            inverse = inverse.multiply(&point.z);
            let zz = z.square();
            Affine { x: point.x.multiply(&zz), y: point.y.multiply(&z.multiply(&zz)) }
        })
        .collect();
    affine.reverse();
    Some(affine)
}
