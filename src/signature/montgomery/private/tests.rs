use rsa::BigUint;
use rsa::rand_core::RngCore as _;
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};

use super::*;
use crate::signature::repeatable::Repeatable;

/// Keys of sizes at which limbs are cut in other ways; they are weak, and protect nothing.
fn keys() -> Vec<rsa::RsaPrivateKey> {
    [256, 258, 512, 520, 1024]
        .map(|bits| rsa::RsaPrivateKey::new(&mut Repeatable(bits as u64), bits).unwrap())
        .into()
}

fn of(key: &rsa::RsaPrivateKey) -> PrivateExponent {
    let public = 65_537;
    PrivateExponent::new(&key.n().to_bytes_be(), public, &key.d().to_bytes_be()).unwrap()
}

/// A number in full length.
fn in_full(number: &BigUint, bytes: usize) -> Vec<u8> {
    padded(&number.to_bytes_be(), bytes).unwrap()
}

#[test]
fn powers_are_those_of_the_oracle() {
    for key in keys() {
        let (mine, n, mut numbers) = (of(&key), key.n(), Repeatable(3));
        let bytes = mine.modulus.bytes();
        let one = BigUint::from(1_u8);
        let mut bases =
            vec![BigUint::default(), one.clone(), n - &one, n >> 1, BigUint::from(2_u8)];
        for _ in 0..20 {
            let mut base = vec![0; bytes];
            numbers.fill_bytes(&mut base);
            bases.push(BigUint::from_bytes_be(&base) % n);
        }
        for base in bases {
            let expected = in_full(&base.modpow(key.d(), n), bytes);
            // Blinded otherwise each time.
            for _ in 0..3 {
                assert_eq!(mine.power(&in_full(&base, bytes)), Some(expected.clone()), "{base}");
            }
        }
        for base in [n.clone(), n + &one] {
            assert_eq!(mine.power(&in_full(&base, bytes)), None);
        }
        assert_eq!(mine.power(&vec![0; bytes - 1]), None);
        assert_eq!(mine.power(&vec![0; bytes + 1]), None);
    }
}

#[test]
fn no_two_bases_are_blinded_alike() {
    let key = of(&keys()[2]);
    let base = vec![1; key.modulus.bytes()];
    let mut seen = Vec::new();
    for _ in 0..50 {
        let before = key.blinding.borrow().before.clone();
        assert!(!seen.contains(&before));
        seen.push(before);
        key.power(&base).unwrap();
    }
}

#[test]
fn numbers_of_two_keys_are_none() {
    let [one, other] = [&keys()[1], &keys()[2]];
    let (n, d) = (one.n().to_bytes_be(), one.d().to_bytes_be());
    assert!(PrivateExponent::new(&n, 65_537, &d).is_some());
    assert!(PrivateExponent::new(&n, 3, &d).is_none());
    assert!(PrivateExponent::new(&n, 65_537, &other.d().to_bytes_be()).is_none());
    assert!(PrivateExponent::new(&n, 65_537, &(one.d() + 2_u8).to_bytes_be()).is_none());
    assert!(PrivateExponent::new(&n, 65_537, &[]).is_none());
    assert!(PrivateExponent::new(&other.n().to_bytes_be(), 65_537, &d).is_none());
}

#[test]
fn an_inverse_s_power() {
    let inverse = |public, exponent: &[u8]| {
        inverting(public, exponent).map(|bytes| BigUint::from_bytes_be(&bytes))
    };
    assert_eq!(inverse(3, &[7]), Some(BigUint::from(19_u8)));
    assert_eq!(inverse(1, &[1, 0]), Some(BigUint::from(254_u8)));
    assert_eq!(inverse(3, &[0]), None);
    let (public, exponent) = ((1_u64 << 40) - 1, vec![0xff; 512]);
    let expected = BigUint::from_bytes_be(&exponent) * public - 2_u8;
    assert_eq!(inverse(public, &exponent), Some(expected));
}

#[test]
fn a_signature_that_a_fault_has_changed_stays_here() {
    let key = &keys()[2];
    let encoded = vec![1; 64];
    let good = of(key).signature(&encoded).unwrap();
    assert_eq!(good, of(key).power(&encoded).unwrap());
    for bit in [0, 1, 30, 255, 511] {
        let mut faulty = of(key);
        faulty.exponent[bit / 8] ^= 0x80 >> (bit % 8);
        assert_ne!(faulty.power(&encoded).unwrap(), good, "{bit}");
        assert_eq!(faulty.signature(&encoded), None, "{bit}");
    }
    for limb in [0, 7] {
        let faulty = of(key);
        faulty.blinding.borrow_mut().after[limb] ^= 1;
        assert_eq!(faulty.signature(&encoded), None, "{limb}");
        let faulty = of(key);
        faulty.blinding.borrow_mut().before[limb] ^= 1;
        assert_eq!(faulty.signature(&encoded), None, "{limb}");
    }
    assert_eq!(of(key).signature(&encoded[1..]), None);
}

/// What a key of 2048 bits is refused for, and that zeros in front count for nothing.
#[test]
fn the_numbers_of_a_key_have_bounds() {
    let key = rsa::RsaPrivateKey::new(&mut Repeatable(9), 2048).unwrap();
    let (n, d) = (key.n().to_bytes_be(), key.d().to_bytes_be());
    let e = [1, 0, 1];
    let wrong = |n: &[u8], e: &[u8], d: &[u8]| PrivateExponent::of_key(n, e, d).err();
    let padded = |number: &[u8]| [&[0, 0], number].concat();
    assert_eq!(wrong(&n, &e, &d), None);
    assert_eq!(wrong(&padded(&n), &padded(&e), &padded(&d)), None);
    let size = Some("its modulus hasn't 2048 to 4096 bits");
    for n in [&n[1..], &[0x7f; 256], &[1; 513], &[]] {
        assert_eq!(wrong(n, &e, &d), size);
    }
    let exponent = Some("its \"e\" is even, below 3, or above 40 bits");
    for e in [&[][..], &[1], &[2], &[1, 0, 0], &[1, 0, 0, 0, 0, 1]] {
        assert_eq!(wrong(&n, e, &d), exponent, "{e:?}");
    }
    let one_key = Some("\"n\", \"e\" and \"d\" aren't one key");
    let mut even = n.clone();
    *even.last_mut().unwrap() ^= 1;
    let longer = [d.as_slice(), &[1, 1]].concat();
    for (n, e, d) in
        [(&even, &e[..], d.as_slice()), (&n, &[3], &d), (&n, &e, &[]), (&n, &e, &longer)]
    {
        assert_eq!(wrong(n, e, d), one_key);
    }
}
