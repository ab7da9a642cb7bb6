//! Against big integers: every operation at limbs' bounds, and on chosen and random numbers.

use super::*;
use crate::signature::curve::{P256, P384};
use proptest::prelude::*;
use rsa::BigUint;

fn big(number: &Words) -> BigUint {
    BigUint::from_slice(number)
}

fn words_of(number: &BigUint) -> Words {
    let mut bytes = number.to_bytes_be();
    if bytes.len() > 48 {
        bytes.drain(..bytes.len() - 48);
    }
    words::from_bytes(&bytes).unwrap()
}

/// The number that limbs stand for, modulo the prime, still times R.
fn value<P: Prime<N>, const N: usize>(element: &Element<P, N>) -> BigUint {
    let p = big(&P::P);
    element.limbs.iter().rev().fold(BigUint::from(0u8), |sum, limb| {
        let sum = sum << P::LIMB_BITS as usize;
        match u32::try_from(*limb) {
            Ok(limb) => (sum + limb) % &p,
            Err(_) => (sum + &p - BigUint::from(limb.unsigned_abs()) % &p) % &p,
        }
    })
}

/// What every result must be: within the bounds that the next operation relies on.
fn assert_tight<P: Prime<N>, const N: usize>(element: &Element<P, N>) {
    let bound = (1i64 << (P::LIMB_BITS - 1)) + (1 << (P::LIMB_BITS - 5));
    for limb in &element.limbs[..N - 1] {
        assert!(i64::from(*limb).abs() <= bound, "{limb}");
    }
    assert!(i64::from(element.limbs[N - 1]).abs() <= (1 << (P::TOP_BITS - 1)) + 1);
}

/// Each operation on numbers of those weights against the oracle. In a debug build a column that
/// doesn't fit panics.
fn operations<P: Prime<N>, const N: usize>(numbers: &[Element<P, N>]) {
    let p = big(&P::P);
    let r = BigUint::from(1u8) << (P::LIMB_BITS as usize * N);
    let over_r = |number: BigUint| number * r.modpow(&(&p - BigUint::from(2u8)), &p) % &p;
    let is = |got: Element<P, N>, expected: BigUint| {
        assert_tight(&got);
        assert_eq!(value(&got), expected % &p);
    };
    for (place, a) in numbers.iter().enumerate() {
        for b in numbers {
            let (va, vb) = (value(a), value(b));
            is(a.multiply(b), over_r(&va * &vb));
            is(a.times(7).multiply(&b.times(2)), over_r(&va * &vb * 14u8));
            is(a.times(-7).multiply(&b.times(2)), over_r((&p - &va) * &vb * 14u8));
            is(a.times(3).multiply(&b.times(4)), over_r(&va * &vb * 12u8));
            is(a.times(3).square(), over_r(&va * &va * 9u8));
            is(a.times(3).square_minus(&b.times(7)), over_r(&va * &va * 9u8) + (&p - &vb) * 7u8);
            is(a.times(3).square_minus(&b.times(-7)), over_r(&va * &va * 9u8) + &vb * 7u8);
            let c = &numbers[(place + 1) % numbers.len()];
            let vc = value(c);
            is(
                a.times(3).multiply_minus(&b.times(2), &c.times(2), &c.times(4)),
                over_r(&va * &vb * 6u8 + (&p - &vc) * &vc * 8u8),
            );
            is(
                a.times(-3).multiply_minus(&b.times(2), &c.times(2), &c.times(4)),
                over_r((&p - &va) * &vb * 6u8 + (&p - &vc) * &vc * 8u8),
            );
            assert_eq!(a.minus(b).is_zero(), va == vb);
            assert_eq!(a.times(3).minus(&b.times(3)).is_zero(), va == vb);
        }
        assert!(a.minus(a).is_zero() && a.times(7).minus(&a.times(7)).is_zero());
        assert_eq!(big(&a.to_words()), over_r(value(a)));
        assert_eq!(value(&Element::<P, N>::from_words(&a.to_words())), value(a));
        assert_eq!(big(&a.times(-7).to_words()), over_r((&p - value(a)) * 7u8));
    }
}

/// Limbs at their bounds in all signs, powers of two, and what stands around 0 and the prime.
fn extremes<P: Prime<N>, const N: usize>() -> Vec<Element<P, N>> {
    let bound = (1 << (P::LIMB_BITS - 1)) + (1 << (P::LIMB_BITS - 5));
    let top = 1 << (P::TOP_BITS - 1);
    let limbs = |of: &dyn Fn(usize) -> i32| {
        Element::<P, N>::new(std::array::from_fn(|limb| {
            of(limb) * if limb == N - 1 { top } else { bound }
        }))
    };
    let mut numbers = vec![
        limbs(&|_| 1),
        limbs(&|_| -1),
        limbs(&|limb| if limb % 2 == 0 { 1 } else { -1 }),
        limbs(&|limb| if limb == 0 { 1 } else { 0 }),
        limbs(&|limb| if limb == N - 2 { -1 } else { 0 }),
        limbs(&|limb| if limb == N - 1 { 1 } else { 0 }),
        Element::ZERO,
    ];
    let p = big(&P::P);
    for off in 0..3u8 {
        numbers.push(Element::from_words(&words_of(&BigUint::from(off))));
        numbers.push(Element::from_words(&words_of(&(&p - 1u8 - BigUint::from(off)))));
    }
    numbers.push(Element::from_words(&words_of(&(&p >> 1))));
    numbers
}

#[test]
fn limbs_at_their_bounds() {
    operations(&extremes::<P256, 9>());
    operations(&extremes::<P384, 14>());
}

#[test]
fn the_prime_itself_is_zero() {
    // In limbs that aren't from 0 on: of weight 2.
    let prime = Element::<P256, 9>::new(Element::<P256, 9>::unsigned_limbs(&P256::P));
    assert!(prime.is_zero() && prime.negated().is_zero() && prime.times(3).is_zero());
    assert_eq!(prime.to_words(), [0; 12]);
    let prime = Element::<P384, 14>::new(Element::<P384, 14>::unsigned_limbs(&P384::P));
    assert!(prime.is_zero() && prime.negated().is_zero() && prime.times(3).is_zero());
    assert_eq!(prime.to_words(), [0; 12]);
}

fn tight<P: Prime<N>, const N: usize>(limbs: &[i32]) -> Element<P, N> {
    let bound = (1 << (P::LIMB_BITS - 1)) + (1 << (P::LIMB_BITS - 5));
    let top = 1 << (P::TOP_BITS - 1);
    Element::new(std::array::from_fn(|limb| limbs[limb] % if limb == N - 1 { top } else { bound }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn operations_are_the_oracles(limbs in proptest::collection::vec(any::<i32>(), 42)) {
        operations::<P256, 9>(&[tight(&limbs), tight(&limbs[14..]), tight(&limbs[28..])]);
        operations::<P384, 14>(&[tight(&limbs), tight(&limbs[14..]), tight(&limbs[28..])]);
    }

    #[test]
    fn inverses_are_inverses(limbs in proptest::collection::vec(any::<u32>(), 12)) {
        for order in [
            <P256 as crate::signature::curve::Curve>::ORDER,
            <P384 as crate::signature::curve::Curve>::ORDER,
        ] {
            let n = big(&order.n);
            let a = words_of(&(BigUint::from_slice(&limbs) % &n));
            let b = words_of(&(&n >> 3));
            if words::is_zero(&a) { continue }
            let [inverse, quotient] = order.quotients(&words::ONE, &b, &a).unwrap();
            prop_assert_eq!(big(&inverse) * big(&a) % &n, BigUint::from(1u8));
            prop_assert_eq!(big(&quotient) * big(&a) % &n, big(&b));
        }
    }
}
