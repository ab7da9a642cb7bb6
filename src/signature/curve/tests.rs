//! Against `p256` and `p384`: verdicts on signatures that they made and on chosen numbers.

use super::point::to_affine;
mod vectors;

use super::*;
use ::p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use proptest::prelude::*;

/// A curve beside the crate that is asked about it.
trait Oracle: Curve {
    /// The key of a private number, uncompressed; nothing if it is out of range.
    fn public(private: &[u8]) -> Option<Vec<u8>>;
    /// A key in either encoding, if the oracle takes it, uncompressed.
    fn read(encoded: &[u8]) -> Option<Vec<u8>>;
    fn sign(private: &[u8], digest: &[u8]) -> Vec<u8>;
    fn verifies(key: &[u8], digest: &[u8], signature: &[u8]) -> bool;
}

macro_rules! oracle {
    ($curve:ident, $oracle:ident) => {
        impl Oracle for $curve {
            fn public(private: &[u8]) -> Option<Vec<u8>> {
                let key = ::$oracle::ecdsa::SigningKey::from_slice(private).ok()?;
                Some(key.verifying_key().to_sec1_point(false).as_bytes().to_vec())
            }
            fn read(encoded: &[u8]) -> Option<Vec<u8>> {
                let key = ::$oracle::ecdsa::VerifyingKey::from_sec1_bytes(encoded).ok()?;
                Some(key.to_sec1_point(false).as_bytes().to_vec())
            }
            fn sign(private: &[u8], digest: &[u8]) -> Vec<u8> {
                let key = ::$oracle::ecdsa::SigningKey::from_slice(private).unwrap();
                let signature: ::$oracle::ecdsa::Signature = key.sign_prehash(digest).unwrap();
                signature.to_bytes().to_vec()
            }
            fn verifies(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
                let key = ::$oracle::ecdsa::VerifyingKey::from_sec1_bytes(key).unwrap();
                ::$oracle::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify_prehash(digest, &signature).is_ok())
            }
        }
    };
}
oracle!(P256, p256);
oracle!(P384, p384);

fn bytes<C: Curve>(number: &Words) -> Vec<u8> {
    let mut bytes = vec![0; C::BYTES];
    words::to_bytes(number, &mut bytes);
    bytes
}

/// Our two ways, with a table and without, have the oracle's verdict.
fn agrees<C: Oracle>(public: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let key = Key::<C>::from_sec1(public).unwrap();
    let table = Table::new(key.point, &C::ORDER, &C::PRIME).unwrap();
    agrees_with(&key, &table, public, digest, signature)
}

fn agrees_with<C: Oracle>(
    key: &Key<C>,
    table: &Table<C::Field>,
    public: &[u8],
    digest: &[u8],
    signature: &[u8],
) -> bool {
    let expected = C::verifies(public, digest, signature);
    for table in [None, Some(table)] {
        let ours = key.is_good(digest, signature, table).unwrap_or(false);
        assert_eq!(ours, expected, "{public:x?} {digest:x?} {signature:x?}");
    }
    expected
}

/// Numbers at which something changes: around 0, the order, the prime, and limbs' borders.
fn chosen<C: Curve>() -> Vec<Vec<u8>> {
    let small = |number: u32| {
        let mut words = [0; words::LEN];
        words[0] = number;
        words
    };
    let mut numbers: Vec<Words> = Vec::new();
    for base in [small(0), C::ORDER.n, C::PRIME, words::minus(&C::PRIME, &C::ORDER.n), C::G[0]] {
        for off in 0..3 {
            numbers.push(words::plus(&base, &small(off)));
            if words::is_below(&small(off), &base) {
                numbers.push(words::minus(&base, &small(off)));
            }
        }
        numbers.push(words::shifted_right(&base, 1));
    }
    for bit in (0..8 * C::BYTES).step_by(7) {
        let mut power = [0; words::LEN];
        power[bit / 32] = 1 << (bit % 32);
        numbers.push(power);
        numbers.push(words::minus(&power, &words::ONE));
    }
    let mut ones = [0; words::LEN];
    ones[..C::BYTES / 4].fill(u32::MAX);
    numbers.push(ones);
    numbers.iter().map(bytes::<C>).collect()
}

/// How many times as much as a run of all tests can wait for; `make curves` asks for more.
fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Each key of a small or extreme private number, with signatures made of chosen numbers: few are
/// good, all meet the oracle's verdict.
fn chosen_numbers<C: Oracle>(step: usize) {
    let numbers = chosen::<C>();
    let mut goods = 0;
    let mut turn = 0;
    for private in &numbers {
        let Some(public) = C::public(private) else { continue };
        let key = Key::<C>::from_sec1(&public).unwrap();
        let table = Table::new(key.point, &C::ORDER, &C::PRIME).unwrap();
        for digest in &numbers {
            turn += 1;
            if turn % step != 0 {
                continue;
            }
            let signature = C::sign(private, digest);
            goods += usize::from(agrees_with(&key, &table, &public, digest, &signature));
            let [r, s] = scalars::<C>(&signature).unwrap();
            // The other s is as good: JOSE doesn't ask for the lower one.
            let other = [bytes::<C>(&r), bytes::<C>(&words::minus(&C::ORDER.n, &s))].concat();
            goods += usize::from(agrees_with(&key, &table, &public, digest, &other));
            for other in numbers.iter().skip(turn % 5).step_by(5) {
                let made = [other.as_slice(), &bytes::<C>(&s)].concat();
                agrees_with(&key, &table, &public, digest, &made);
                let made = [&bytes::<C>(&r), other.as_slice()].concat();
                agrees_with(&key, &table, &public, digest, &made);
            }
        }
    }
    assert!(goods > 1, "{goods}");
}

#[test]
fn chosen_numbers_on_p256() {
    chosen_numbers::<P256>(1_999 / rounds().min(1_999));
}

#[test]
fn chosen_numbers_on_p384() {
    chosen_numbers::<P384>(5_003 / rounds().min(5_003));
}

/// Signatures from any numbers: with `R = a * G + b * Q`, `r = x(R)`, `s = r / b`, `e = a * s` is
/// good, so a and b choose what the sums meet.
fn constructed<C: Oracle>(private: u32) {
    let small = |number: u32| {
        let mut words = [0; words::LEN];
        words[0] = number;
        words
    };
    let order = &C::ORDER;
    let public = C::public(&bytes::<C>(&small(private))).unwrap();
    let key = Key::<C>::from_sec1(&public).unwrap();
    let table = Table::new(key.point, order, &C::PRIME).unwrap();
    let generator = generator::<C>().unwrap();
    let around_order = (0..2).map(|off| words::minus(&order.n, &small(off + 1)));
    let multiples: Vec<Words> = (0..4).map(small).chain(around_order).collect();
    let (mut goods, mut infinities) = (0, 0);
    for a in &multiples {
        for b in multiples.iter().filter(|b| !words::is_zero(b)) {
            let sum =
                table::sum(&[(generator, order.signs(a))], |sum, entry| sum.plus(&(*entry).into()))
                    .plus(&window::multiple(&key.point, b));
            if sum.is_infinity() {
                // No signature can name such a point; any r is refused, whatever a and b.
                infinities += 1;
                let r = small(7);
                let [s, _] = order.quotients(&r, &r, b).unwrap();
                let e = product(order, a, &s);
                let signature = [bytes::<C>(&r), bytes::<C>(&s)].concat();
                assert!(!agrees_with(&key, &table, &public, &bytes::<C>(&e), &signature));
                continue;
            }
            let x = to_affine(&[sum], &C::PRIME).unwrap()[0].x.to_words();
            let r = if words::is_below(&x, &order.n) { x } else { words::minus(&x, &order.n) };
            let [s, _] = order.quotients(&r, &r, b).unwrap();
            let e = product(order, a, &s);
            let signature = [bytes::<C>(&r), bytes::<C>(&s)].concat();
            assert!(agrees_with(&key, &table, &public, &bytes::<C>(&e), &signature), "{a:?} {b:?}");
            goods += 1;
        }
    }
    assert!(goods > 20 && (private > 5 || infinities > 0), "{goods} {infinities}");
}

/// `a * b mod n`, by an inverse.
fn product(order: &Order, a: &Words, b: &Words) -> Words {
    let [inverse, _] = order.quotients(&words::ONE, &words::ONE, b).unwrap();
    order.quotients(a, a, &inverse).unwrap()[0]
}

#[test]
fn sums_that_meet_equal_and_opposite_points_and_infinity() {
    for private in [1, 2, 1_000_003] {
        constructed::<P256>(private);
    }
    constructed::<P384>(1);
}

fn encodings<C: Oracle>() {
    let numbers = chosen::<C>();
    let good = C::public(&bytes::<C>(&words::ONE)).unwrap();
    let mut compared = 0;
    let mut same = |encoded: &[u8]| {
        let ours = Key::<C>::from_sec1(encoded).map(|key| key.to_sec1());
        let oracles = C::read(encoded);
        assert_eq!(ours, oracles, "{encoded:x?}");
        compared += usize::from(ours.is_some());
    };
    for x in &numbers {
        // The oracles take a compact form too (5), which RFC 5480 doesn't know.
        assert!(Key::<C>::from_sec1(&[&[5], x.as_slice()].concat()).is_none());
        for tag in [0, 1, 2, 3, 4, 6, 7] {
            same(&[&[tag], x.as_slice()].concat());
        }
        same(&[&[4], x.as_slice(), &good[1 + C::BYTES..]].concat());
        same(&[&good[..=C::BYTES], x.as_slice()].concat());
    }
    for private in numbers.iter().filter_map(|number| C::public(number)) {
        same(&private);
        for tag in [2, 3, 4] {
            same(&[&[tag], &private[1..=C::BYTES]].concat());
        }
        let mut off = private.clone();
        *off.last_mut().unwrap() ^= 1;
        same(&off);
        same(&private[..private.len() - 1]);
        same(&[private.as_slice(), &[0]].concat());
    }
    for short in [&[][..], &[0], &[4], &[2]] {
        same(short);
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn keys_are_read_as_the_oracles_read_them() {
    encodings::<P256>();
    encodings::<P384>();
}

/// The one x on each curve between the order and the prime that is easy to find: r is x - n.
fn x_above_the_order<C: Oracle>() {
    let mut x = C::ORDER.n;
    let mut found = 0;
    for _ in 0..40 {
        x = words::plus(&x, &words::ONE);
        let encoded = [&[2], bytes::<C>(&x).as_slice()].concat();
        let Some(key) = Key::<C>::from_sec1(&encoded) else { continue };
        found += 1;
        // R = Q, so u1 = 0 and u2 = 1: e = 0 and s = r.
        let r = bytes::<C>(&words::minus(&x, &C::ORDER.n));
        let digest = vec![0; C::BYTES];
        assert!(agrees::<C>(&key.to_sec1(), &digest, &[r.as_slice(), &r].concat()));
        // The same point's x isn't r.
        let one_off = bytes::<C>(&words::minus(&x, &words::minus(&C::ORDER.n, &words::ONE)));
        assert!(!agrees::<C>(&key.to_sec1(), &digest, &[one_off.as_slice(), &one_off].concat()));
    }
    assert!(found > 5, "{found}");
}

#[test]
fn an_x_above_the_order_counts_modulo_the_order() {
    x_above_the_order::<P256>();
    x_above_the_order::<P384>();
}

/// A signature of the oracle's, left alone or changed in a bit, and one of any bytes.
fn random<C: Oracle>(private: &[u8], digest: &[u8], flip: usize, noise: &[u8]) {
    let (private, digest) = (&private[..C::BYTES], &digest[..C::BYTES]);
    let Some(public) = C::public(private) else { return };
    let key = Key::<C>::from_sec1(&public).unwrap();
    let table = Table::new(key.point, &C::ORDER, &C::PRIME).unwrap();
    let mut signature = C::sign(private, digest);
    assert!(agrees_with(&key, &table, &public, digest, &signature));
    let bit = flip % (8 * signature.len());
    signature[bit / 8] ^= 1 << (bit % 8);
    agrees_with(&key, &table, &public, digest, &signature);
    agrees_with(&key, &table, &public, digest, &noise[..2 * C::BYTES]);
}

#[test]
fn verdicts_are_the_oracles() {
    // A test runner of its own, so that rounds can be many: a million of each by `make curves`.
    let cases = u32::try_from(16 * rounds()).unwrap_or(u32::MAX);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(cases));
    let bytes = |len| proptest::collection::vec(any::<u8>(), len);
    let all = (bytes(48), bytes(48), any::<usize>(), bytes(96));
    let outcome = runner.run(&all, |(private, digest, flip, noise)| {
        random::<P256>(&private, &digest, flip, &noise);
        random::<P384>(&private, &digest, flip, &noise);
        Ok(())
    });
    outcome.unwrap();
}

/// Keys get their tables after a few verifications, while there is room, and give it back.
#[test]
fn tables_of_keys_have_a_bound() {
    // Tests that run beside this one make tables too, of few keys.
    let make = || {
        let public = P384::public(&[7; 48]).unwrap();
        let key = Key::<P384>::from_sec1(&public).unwrap();
        let digest = [3; 48];
        let signature = P384::sign(&[7; 48], &digest);
        for _ in 0..=USES_WITHOUT_TABLE {
            assert!(!key.is_crowded_out() && key.table.get().is_none());
            assert!(key.verifies(&digest, &signature));
        }
        (key, digest, signature)
    };
    let full = TABLE_BYTES_MAX;
    TABLE_BYTES.fetch_add(full, Ordering::Relaxed);
    let (key, digest, signature) = make();
    assert!(key.is_crowded_out() && key.table.get().is_none());
    assert!(key.verifies(&digest, &signature) && !key.verifies(&[4; 48], &signature));
    TABLE_BYTES.fetch_sub(full, Ordering::Relaxed);
    assert!(key.verifies(&digest, &signature) && !key.verifies(&[4; 48], &signature));
    assert!(!key.is_crowded_out() && key.table.get().is_some());
    let taken = TABLE_BYTES.load(Ordering::Relaxed);
    assert!((Table::<<P384 as Curve>::Field>::BYTES..=TABLE_BYTES_MAX).contains(&taken));
}
