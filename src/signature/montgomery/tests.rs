use super::*;
use proptest::prelude::*;
use rsa::BigUint;

fn padded(number: &BigUint, bytes: usize) -> Vec<u8> {
    let digits = number.to_bytes_be();
    [vec![0; bytes - digits.len()], digits].concat()
}

/// Our power against the oracle's, for a modulus made odd and of exactly `bits` bits.
fn agrees(modulus: &[u8], base: &[u8], bits: usize, exponent: u64) {
    let one = BigUint::from(1u8);
    let n = ((BigUint::from_bytes_be(modulus) % (&one << (bits - 1))) | one.clone())
        | (one.clone() << (bits - 1));
    let base = BigUint::from_bytes_be(base) % &n;
    let ours = Modulus::new(&n.to_bytes_be()).unwrap();
    assert_eq!((ours.bits(), ours.bytes()), (bits, bits.div_ceil(8)));
    let expected = base.modpow(&BigUint::from(exponent), &n);
    let got = ours.power(&padded(&base, bits.div_ceil(8)), exponent).unwrap();
    assert_eq!(got, padded(&expected, bits.div_ceil(8)), "bits {bits} exponent {exponent}");
}

/// The same with the extreme digits: moduli near a power of two and bases next to 0 and n.
fn extremes(bits: usize, exponent: u64) {
    let one = BigUint::from(1u8);
    let power = &one << (bits - 1);
    let all_ones = (&one << bits) - &one;
    for n in [&power + &one, all_ones, &power + BigUint::from(0x0fff_ffffu32)] {
        let ours = Modulus::new(&n.to_bytes_be()).unwrap();
        for base in [BigUint::from(0u8), one.clone(), &n - &one, &n - &BigUint::from(2u8), &n >> 1]
        {
            let expected = base.modpow(&BigUint::from(exponent), &n);
            let got = ours.power(&padded(&base, bits.div_ceil(8)), exponent).unwrap();
            assert_eq!(got, padded(&expected, bits.div_ceil(8)), "bits {bits} exponent {exponent}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn powers_are_the_oracles(
        modulus in proptest::collection::vec(any::<u8>(), 1024),
        base in proptest::collection::vec(any::<u8>(), 1024),
        bits in prop_oneof![2048usize..=2110, 2048usize..=4096, 65usize..=8192],
        exponent in prop_oneof![Just(65537u64), Just(3), Just(17), Just(5), (0u64..1 << 32).prop_map(|e| e | 1)],
    ) {
        agrees(&modulus, &base, bits, exponent);
    }
}

#[test]
fn every_size_around_the_limb_borders() {
    let bytes: Vec<u8> =
        (0..1024u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    for bits in (2048..2048 + 113).chain(3552..3600).chain([3072, 4096, 4095, 4097, 8191, 8192]) {
        agrees(&bytes, &reversed, bits, 65537);
    }
}

#[test]
fn extreme_digits() {
    for bits in [
        65, 128, 2048, 2049, 2100, 2126, 2127, 3072, 3554, 3580, 3581, 3582, 3583, 3584, 3585,
        4096, 8192,
    ] {
        extremes(bits, 65537);
        extremes(bits, 3);
        extremes(bits, (1 << 33) - 1);
    }
}

#[test]
fn refuses_what_it_cannot_compute() {
    assert!(Modulus::new(&[]).is_none());
    assert!(Modulus::new(&[0; 256]).is_none());
    assert!(Modulus::new(&[[0].as_slice(), &[0xff; 256]].concat()).is_none(), "leading zero");
    assert!(Modulus::new(&[[0xff; 255].as_slice(), &[0xfe]].concat()).is_none(), "even");
    assert!(Modulus::new(&[0xff; 1024]).is_some());
    assert!(Modulus::new(&[0xff; 1025]).is_none(), "too long");
    assert!(Modulus::new(&[0xff; 8]).is_none(), "too short");

    let modulus = Modulus::new(&[0xff; 256]).unwrap();
    let n_minus_one = [[0xff; 255].as_slice(), &[0xfe]].concat();
    assert!(modulus.power(&n_minus_one, 65537).is_some());
    assert!(modulus.power(&[0xff; 256], 65537).is_none(), "n itself");
    assert!(modulus.power(&[0; 255], 65537).is_none(), "short");
    assert!(modulus.power(&[0; 257], 65537).is_none(), "long");
    assert!(modulus.power(&n_minus_one, 65536).is_none(), "even exponent");
    assert_eq!(modulus.power(&n_minus_one, 1).unwrap(), n_minus_one);
}

#[test]
fn refuses_bits_above_the_modulus() {
    // Four limbs of 27 bits aren't whole bytes: sizes at their end, and a sample of all others.
    let ends = (3_780usize..=8_192).step_by(108).flat_map(|end| [end - 3, end - 2]);
    for bits in ends.chain((65..=8192).step_by(127)) {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] = 0xff >> (8 * n.len() - bits);
        let modulus = Modulus::new(&n).unwrap();
        let mut one = vec![0; n.len()];
        *one.last_mut().unwrap() = 1;
        assert_eq!(modulus.power(&one, 3).as_deref(), Some(one.as_slice()), "{bits}");
        for bit in bits..8 * n.len() {
            let mut above = one.clone();
            above[n.len() - 1 - bit / 8] |= 1 << (bit % 8);
            assert!(modulus.power(&above, 3).is_none(), "bit {bit} of {bits}");
        }
    }
}

#[test]
fn the_largest_column_stays_within_64_bits() {
    for (bits, limbs) in [(28u32, 128u128), (27, 304)] {
        let digit = (1u128 << bits) - 1;
        let columns = 2 * limbs * digit * digit;
        let carry = u128::from(u64::MAX >> bits);
        assert!(columns + carry <= u128::from(u64::MAX), "{bits}");
    }
    assert_eq!(limbs_for(3582, 28), 128);
    assert_eq!(limbs_for(8192, 27), 304);
}
