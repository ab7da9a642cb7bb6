//! ECDSA verification on P-256 and P-384 (FIPS 186-5, section 6.4.2), for WebAssembly above all,
//! where the general crates take four to ten times as long.
//!
//! Everything here is public: keys, signatures and messages are known to whoever sends them, and no
//! private key ever comes here. So nothing runs in constant time, and nothing of it may be used to
//! sign.
//!
//! From the floor: [`words`] and [`field`] have the numbers, with the bounds that keep them from
//! overflowing; [`order`] and [`inverse`] what ECDSA computes modulo the group's order; [`point`] the
//! formulas; [`table`] multiples of a point that is used often, [`window`] of one that isn't. `u1 * G +
//! u2 * Q` comes from two tables that share their doublings, and its additions don't look for the
//! cases that their formula doesn't know (infinity, equal points, a point and its negative): these
//! leave a Z of 0, and then the sum is computed again by additions that do look. The result's x is
//! compared with r by a multiplication, not a division: one inversion in all, modulo the order.
//!
//! The generator's table is made when a worker first verifies a signature, a key's when it has
//! verified a few: proofs bring keys that are used once. Tables of keys are dropped with their keys,
//! and take at most [`TABLE_BYTES_MAX`] in a worker.

mod field;
mod inverse;
mod order;
mod p256;
mod p384;
mod point;
mod table;
mod window;
mod words;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use field::Field;
use order::Order;
pub use p256::P256;
pub use p384::P384;
use point::{Affine, Point};
use table::Table;
use words::Words;

/// Bytes that the tables of all keys in a worker may take: of 56 keys on P-256, or 36 on P-384.
/// Further keys verify without one, in three to four times the time.
pub const TABLE_BYTES_MAX: usize = 1 << 20;
/// Verifications of a key without a table, before it gets one: what making it costs is what these
/// have cost more.
const USES_WITHOUT_TABLE: usize = 3;

/// Bytes that tables of keys take.
static TABLE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A curve `y^2 = x^3 - 3x + b`.
pub trait Curve: 'static {
    /// Its coordinates.
    type Field: Field;
    /// Bytes of a coordinate, and of each half of a signature.
    const BYTES: usize;
    /// The prime of its coordinates: 3 modulo 4.
    const PRIME: Words;
    /// The order of its group; below the prime, of as many bits.
    const ORDER: Order;
    /// `b`.
    const B: Words;
    /// The generator.
    const G: [Words; 2];

    /// Where the table of the generator is kept.
    fn of_generator() -> &'static OnceLock<Table<Self::Field>>;
}

/// A public key: a point on the curve, other than infinity.
pub struct Key<C: Curve> {
    point: Affine<C::Field>,
    /// Verifications so far, up to what is counted.
    uses: AtomicUsize,
    table: OnceLock<KeyTable<C>>,
}

/// A table that gives its room back.
struct KeyTable<C: Curve>(Table<C::Field>);

impl<C: Curve> Drop for KeyTable<C> {
    fn drop(&mut self) {
        TABLE_BYTES.fetch_sub(Table::<C::Field>::BYTES, Ordering::Relaxed);
    }
}

impl<C: Curve> Key<C> {
    /// From the encoding of SEC 1, section 2.3.4, uncompressed or compressed. Nothing if it isn't a
    /// point of the curve: the group has no other points, so every one of them is a key.
    pub fn from_sec1(encoded: &[u8]) -> Option<Key<C>> {
        let (tag, coordinates) = encoded.split_first()?;
        let (x, y) = match tag {
            4 if coordinates.len() == 2 * C::BYTES => {
                let (x, y) = coordinates.split_at_checked(C::BYTES)?;
                (coordinate::<C>(x)?, coordinate::<C>(y)?)
            }
            2 | 3 if coordinates.len() == C::BYTES => {
                let x = coordinate::<C>(coordinates)?;
                // a^((p + 1) / 4) is a root of a, if a has one.
                let square = right_side::<C>(&x);
                let root = square.power(&words::shifted_right(&C::PRIME, 2)).multiply(&square);
                let is_odd = words::bit(&root.to_words(), 0);
                (x, if is_odd == (*tag == 3) { root } else { root.negated() })
            }
            _ => return None,
        };
        let is_on_curve = y.square().minus(&right_side::<C>(&x)).is_zero();
        is_on_curve.then(|| Key {
            point: Affine { x, y },
            uses: AtomicUsize::new(0),
            table: OnceLock::new(),
        })
    }

    /// The uncompressed encoding of SEC 1, section 2.3.3.
    pub fn to_sec1(&self) -> Vec<u8> {
        let mut encoded = vec![0; 1 + 2 * C::BYTES];
        if let Some((tag, coordinates)) = encoded.split_first_mut() {
            *tag = 4;
            let (x, y) = coordinates.split_at_mut(C::BYTES);
            words::to_bytes(&self.point.x.to_words(), x);
            words::to_bytes(&self.point.y.to_words(), y);
        }
        encoded
    }

    /// Whether `signature`, r and s one after the other, is this key's over a message of that digest.
    /// The digest has as many bits as the order, so that none is cut off.
    pub fn verifies(&self, digest: &[u8], signature: &[u8]) -> bool {
        self.is_good(digest, signature, self.table()).unwrap_or(false)
    }

    /// Whether it has its table. This counts as a use, whoever then verifies.
    pub fn has_table(&self) -> bool {
        self.table().is_some()
    }

    /// Whether it has been used often enough for a table, and there was no room for one.
    pub fn is_crowded_out(&self) -> bool {
        self.uses.load(Ordering::Relaxed) > USES_WITHOUT_TABLE && self.table.get().is_none()
    }

    fn is_good(
        &self,
        digest: &[u8],
        signature: &[u8],
        table: Option<&Table<C::Field>>,
    ) -> Option<bool> {
        let [r, s] = scalars::<C>(signature)?;
        let digest = words::from_bytes(digest).filter(|_| digest.len() == C::BYTES)?;
        let [u1, u2] = C::ORDER.quotients(&digest, &r, &s)?;
        let generator = generator::<C>()?;
        let signs = C::ORDER.signs(&u1);
        let sum = table
            .map(|table| {
                let multiples = [(generator, signs), (table, C::ORDER.signs(&u2))];
                table::sum(&multiples, Point::plus_another)
            })
            .filter(|sum| !sum.is_infinity())
            .unwrap_or_else(|| {
                table::sum(&[(generator, signs)], |sum, entry| sum.plus(&(*entry).into()))
                    .plus(&window::multiple(&self.point, &u2))
            });
        if sum.is_infinity() {
            return Some(false);
        }
        // x is X / Z^2, and r is x modulo n: x is r, or r + n where that is below the prime.
        let zz = sum.z.square();
        let is_x =
            |number: &Words| C::Field::from_words(number).multiply(&zz).minus(&sum.x).is_zero();
        let is_short = words::is_below(&r, &words::minus(&C::PRIME, &C::ORDER.n));
        Some(is_x(&r) || is_short && is_x(&words::plus(&r, &C::ORDER.n)))
    }

    /// The key's table, made if it is time and there is room.
    fn table(&self) -> Option<&Table<C::Field>> {
        if let Some(table) = self.table.get() {
            return Some(&table.0);
        }
        if self.uses.fetch_add(1, Ordering::Relaxed) < USES_WITHOUT_TABLE {
            return None;
        }
        let bytes = Table::<C::Field>::BYTES;
        if TABLE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes > TABLE_BYTES_MAX {
            TABLE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
            return None;
        }
        // Where another thread was faster, this one's gives its room back.
        match Table::new(self.point, &C::ORDER, &C::PRIME) {
            Some(table) => Some(&self.table.get_or_init(|| KeyTable(table)).0),
            None => {
                TABLE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
                None
            }
        }
    }
}

/// `r` and `s` of a signature, each from 1 to `n - 1` and of the full length (RFC 7518, section 3.4).
pub fn scalars<C: Curve>(signature: &[u8]) -> Option<[Words; 2]> {
    let (r, s) = signature.split_at_checked(C::BYTES)?;
    Some([C::ORDER.scalar(r)?, C::ORDER.scalar(s)?])
}

/// A coordinate: below the prime.
fn coordinate<C: Curve>(big_endian: &[u8]) -> Option<C::Field> {
    let number = words::from_bytes(big_endian)?;
    words::is_below(&number, &C::PRIME).then(|| C::Field::from_words(&number))
}

/// `x^3 - 3x + b`.
fn right_side<C: Curve>(x: &C::Field) -> C::Field {
    let b = C::Field::from_words(&C::B);
    // (x^2 - 3) * x + b as one product, -(3 - x^2) * x - (-1) * b: weights 4 * 1 + 1 * 1.
    let one = C::Field::from_words(&words::ONE);
    x.square().minus(&one.times(3)).multiply_minus(x, &one.negated(), &b)
}

fn generator<C: Curve>() -> Option<&'static Table<C::Field>> {
    let kept = C::of_generator();
    if kept.get().is_none() {
        let [x, y] = C::G.map(|coordinate| C::Field::from_words(&coordinate));
        let table = Table::new(Affine { x, y }, &C::ORDER, &C::PRIME)?;
        return Some(kept.get_or_init(|| table));
    }
    kept.get()
}

#[cfg(test)]
mod tests;
