//! Multiples of one point, precomputed: a comb with signed teeth (Lim and Lee, "More flexible
//! exponentiation with precomputation", 1994; signs after Hamburg, "Fast and compact elliptic-curve
//! cryptography", 2012).
//!
//! A multiple `k` is written in digits of 1 and -1, one for each bit of the order
//! ([`Order::signs`](super::order::Order::signs)). With `d` bits between two of the eight teeth, `k *
//! P` is the sum over `c` in `0..d` of `2^c` times `(the sum over the teeth j of digit[j * d + c] *
//! 2^(j * d)) * P`, and what stands in brackets is one of 128 points or their negatives. The upper
//! half of all `c` has a block of its own, in which everything is multiplied by `2^(d / 2)`; so two
//! points are added after each of `d / 2` doublings: 15 doublings and 32 additions on P-256, 23 and
//! 48 on P-384, and several tables share the doublings.
//!
//! No entry is infinity, and no addition that makes an entry meets equal points or a point and its
//! negative: all are multiples of P by different numbers other than 0, within half of its order.
#![allow(
    clippy::indexing_slicing,
    reason = "a number of seven bits in blocks of 128: no index can be too large"
)]

use super::field::Field;
use super::order::Order;
use super::point::{Affine, Point, to_affine};
use super::words::{self, Words};

const TEETH: usize = 8;
const BLOCKS: usize = 2;
/// Points of a block: the signs of all teeth but the highest.
const ENTRIES: usize = 1 << (TEETH - 1);

/// The table of one point.
pub struct Table<F> {
    entries: Vec<Affine<F>>,
    /// `d`.
    between_teeth: usize,
}

impl<F: Field> Table<F> {
    /// Bytes of a table: 18 KiB on P-256, 28 KiB on P-384.
    pub const BYTES: usize = BLOCKS * ENTRIES * size_of::<Affine<F>>();

    /// The table of a point of that order; takes as long as five to eight verifications.
    pub fn new(point: Affine<F>, order: &Order, prime: &Words) -> Option<Table<F>> {
        let between_teeth = 32 * order.len / TEETH;
        // 2^(i * d / 2) * P: the teeth of both blocks by turns, and each doubled.
        let mut powers = Vec::with_capacity(2 * TEETH * BLOCKS);
        let mut power = Point::from(point);
        for _ in 0..TEETH * BLOCKS {
            powers.push(power);
            powers.push(power.doubled());
            (0..between_teeth / BLOCKS).for_each(|_| power = power.doubled());
        }
        let powers = to_affine(&powers, prime)?;
        let mut entries = Vec::with_capacity(BLOCKS * ENTRIES);
        for block in 0..BLOCKS {
            let tooth = |tooth: usize| powers[2 * (BLOCKS * tooth + block)];
            let twice = |tooth: usize| powers[2 * (BLOCKS * tooth + block) + 1];
            let mut of_block = [Point::INFINITY; ENTRIES];
            // A bit of the place is the sign of a tooth. First all are added, then one at a time is
            // taken away twice.
            of_block[ENTRIES - 1] = (1..TEETH)
                .fold(Point::from(tooth(0)), |sum, number| sum.plus_another(&tooth(number)));
            for place in (0..ENTRIES - 1).rev() {
                let lacking = (!place).trailing_zeros() as usize;
                of_block[place] =
                    of_block[place | 1 << lacking].plus_another(&twice(lacking).negated());
            }
            entries.extend(of_block);
        }
        Some(Table { entries: to_affine(&entries, prime)?, between_teeth })
    }

    /// The point of a column of a multiple's signs.
    #[inline(always)]
    fn entry(&self, signs: &Words, block: usize, column: usize) -> Affine<F> {
        let column = block * self.between_teeth / BLOCKS + column;
        let place = (0..TEETH).fold(0, |place, tooth| {
            place | usize::from(words::bit(signs, tooth * self.between_teeth + column)) << tooth
        });
        match place >= ENTRIES {
            true => self.entries[block * ENTRIES + place % ENTRIES],
            false => self.entries[block * ENTRIES + (!place) % ENTRIES].negated(),
        }
    }
}

/// The sum of multiples, one of each table's point, with `add` for additions. Each table with the
/// signs of its multiple ([`Order::signs`]).
#[inline(always)]
pub fn sum<F: Field>(
    multiples: &[(&Table<F>, Words)],
    add: impl Fn(&Point<F>, &Affine<F>) -> Point<F>,
) -> Point<F> {
    let columns = multiples.first().map_or(0, |(table, _)| table.between_teeth / BLOCKS);
    let mut sum: Option<Point<F>> = None;
    for column in (0..columns).rev() {
        sum = sum.map(|sum| sum.doubled());
        for (table, signs) in multiples {
            for block in 0..BLOCKS {
                let entry = table.entry(signs, block, column);
                sum = Some(sum.map_or_else(|| entry.into(), |sum| add(&sum, &entry)));
            }
        }
    }
    sum.unwrap_or(Point::INFINITY)
}
