//! Whole signatures against the rsa crate, and encoded messages that no honest signer makes.

use super::*;
use crate::signature::montgomery::private::PrivateExponent;
use crate::signature::repeatable::Repeatable;
use crate::signature::{AlgorithmSet, NoHost, VerifyKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::rand_core::RngCore as _;
use rsa::traits::{PrivateKeyParts, PublicKeyParts, SignatureScheme};
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};

struct Pair {
    private: RsaPrivateKey,
    key: VerifyKey,
}

impl Pair {
    fn new(bits: usize, exponent: u64) -> Pair {
        let mut numbers = Repeatable(bits as u64);
        let private =
            RsaPrivateKey::new_with_exp(&mut numbers, bits, &BigUint::from(exponent)).unwrap();
        let encode = |number: &BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        let jwk = format!(
            r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
            encode(private.n()),
            encode(private.e())
        );
        let key = VerifyKey::from_jwk(&jwk, AlgorithmSet::asymmetric()).unwrap();
        Pair { private, key }
    }

    fn len(&self) -> usize {
        self.private.size()
    }

    /// The signature whose encoded message this is.
    fn forge(&self, encoded: &[u8]) -> Vec<u8> {
        let power = BigUint::from_bytes_be(encoded)
            .modpow(self.private.d(), self.private.n())
            .to_bytes_be();
        [vec![0; self.len() - power.len()], power].concat()
    }

    fn accepts(&self, algorithm: Algorithm, signature: &[u8]) -> bool {
        self.key.verify(algorithm, MESSAGE, signature, &NoHost).is_ok()
    }
}

/// A modulus of exactly this size as the product of many small primes: signing with it takes no
/// search for large ones.
fn of_many_primes(bits: usize, exponent: u64, numbers: &mut Repeatable) -> (BigUint, BigUint) {
    loop {
        let (mut modulus, mut order) = (BigUint::from(1u8), BigUint::from(1u8));
        while modulus.bits() + 32 <= bits {
            let (n, phi) = small_prime(31, exponent, numbers);
            (modulus, order) = (modulus * n, order * phi);
        }
        while modulus.bits() < bits {
            let left = (bits - modulus.bits() + 1).clamp(20, 40);
            let (n, phi) = small_prime(left, exponent, numbers);
            (modulus, order) = (modulus * n, order * phi);
        }
        if modulus.bits() == bits {
            // The exponent is prime: some multiple of the order leaves one less than a multiple of
            // it.
            let rest = number(&(&order % exponent).to_bytes_be()).unwrap();
            let times =
                (1..exponent).find(|times| (1 + times * rest).is_multiple_of(exponent)).unwrap();
            return (modulus, (order * times + 1u32) / exponent);
        }
    }
}

/// A prime of this many bits and the number below it, whose product with others the exponent must
/// not divide.
fn small_prime(bits: usize, exponent: u64, numbers: &mut Repeatable) -> (u64, u64) {
    loop {
        let n = (numbers.next_u64() >> (64 - bits)) | 1 << (bits - 1) | 1;
        if !(n - 1).is_multiple_of(exponent) && is_prime(n) {
            return (n, n - 1);
        }
    }
}

/// Miller and Rabin's test with the bases that settle it for all numbers of 64 bits.
fn is_prime(n: u64) -> bool {
    let multiply = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let (twos, odd) = ((n - 1).trailing_zeros(), (n - 1) >> (n - 1).trailing_zeros());
    [2u64, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37].iter().all(|base| {
        let mut power = (0..64).rev().fold(1, |power, bit| {
            let squared = multiply(power, power);
            if odd >> bit & 1 == 1 { multiply(squared, *base) } else { squared }
        });
        power == 1
            || (0..twos).any(|_| {
                let is_minus_one = power == n - 1;
                power = multiply(power, power);
                is_minus_one
            })
    })
}

/// RFC 8017, section 5.2.2, step 1: a signature is a number below the modulus, and no bit of it
/// goes unread.
fn each_signature_has_one_spelling(bits: usize) {
    let exponent = 65537;
    let mut numbers = Repeatable(bits as u64);
    let (modulus, private) = of_many_primes(bits, exponent, &mut numbers);
    let encode = |number: &BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let jwk = format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, encode(&modulus));
    let ours = VerifyKey::from_jwk(&jwk, AlgorithmSet::asymmetric()).unwrap();
    let oracle =
        RsaPublicKey::new_with_max_size(modulus.clone(), BigUint::from(exponent), 8192).unwrap();
    let len = bits.div_ceil(8);
    let digest = digest(Hash::Sha256, MESSAGE);
    let signature = BigUint::from_bytes_be(&pkcs1_encoding(Hash::Sha256, &digest, len))
        .modpow(&private, &modulus);
    let one = BigUint::from(1u8);
    // All sums with a power of two that fit into the bytes: bits above the modulus, and those above
    // its limbs.
    let shifted = (bits - 1..8 * len).map(|bit| &signature + (&one << bit));
    let multiples = (1u32..=255)
        .map(|times| &signature + &modulus * times)
        .take_while(|sum| sum.bits() <= 8 * len);
    for number in std::iter::once(signature.clone())
        .chain(shifted)
        .chain(multiples)
        .filter(|number| number.bits() <= 8 * len)
    {
        let digits = number.to_bytes_be();
        let spelling = [vec![0; len - digits.len()], digits].concat();
        let good = ours.verify(Algorithm::RS256, MESSAGE, &spelling, &NoHost).is_ok();
        assert_eq!(good, number == signature, "{bits} bits, {} more", &number - &signature);
        assert_eq!(
            good,
            oracle.verify(Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &digest, &spelling).is_ok(),
            "{bits} bits"
        );
    }
}

#[test]
fn a_signature_is_below_its_modulus_whatever_the_size() {
    // Those whose limbs end inside the first byte, and a sample of all others.
    for bits in [2049, 3777, 3778, 3993, 4209, 6369, 8097, 8192]
        .into_iter()
        .chain((2048..4400).step_by(211))
    {
        each_signature_has_one_spelling(bits);
    }
}

#[test]
fn our_own_signatures_are_those_of_the_oracle() {
    let mut numbers = Repeatable(8);
    for (bits, exponent) in [(2048, 65537), (2049, 65537), (2055, 17), (2056, 3), (2071, 65537)] {
        let (modulus, private) = of_many_primes(bits, exponent, &mut numbers);
        let (n, d) = (modulus.to_bytes_be(), private.to_bytes_be());
        let key = PrivateExponent::of_key(&n, &exponent.to_be_bytes(), &d).unwrap();
        for message in [MESSAGE, b"", &[0xff; 300]] {
            let digest = digest(Hash::Sha256, message);
            let encoded = pkcs1_encoding(Hash::Sha256, &digest, key.bytes());
            let power = BigUint::from_bytes_be(&encoded).modpow(&private, &modulus).to_bytes_be();
            let expected = [vec![0; n.len() - power.len()], power].concat();
            assert_eq!(key.signature(&encoded), Some(expected), "{bits} bits");
        }
    }
}

const MESSAGE: &[u8] = b"header.payload";
const SIZES: [(usize, u64); 5] =
    [(2048, 65537), (2049, 65537), (2056, 3), (2071, 17), (3072, 65537)];

#[test]
fn signatures_of_the_oracle_are_good_at_every_size() {
    let mut numbers = Repeatable(7);
    for (bits, exponent) in SIZES {
        let pair = Pair::new(bits, exponent);
        assert_eq!(pair.private.n().bits(), bits);
        let digests = [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(|hash| digest(hash, MESSAGE));
        let [d256, d384, d512] = &digests;
        let mut sign = |scheme: Pkcs1v15Sign, pss: Pss, digest: &[u8]| {
            (
                pair.private.sign(scheme, digest).unwrap(),
                pss.sign(Some(&mut numbers), &pair.private, digest).unwrap(),
            )
        };
        use rsa::sha2::{Sha256, Sha384, Sha512};
        for (pkcs1, pss, (one, other)) in [
            (
                Algorithm::RS256,
                Algorithm::PS256,
                sign(Pkcs1v15Sign::new::<Sha256>(), Pss::new_with_salt::<Sha256>(32), d256),
            ),
            (
                Algorithm::RS384,
                Algorithm::PS384,
                sign(Pkcs1v15Sign::new::<Sha384>(), Pss::new_with_salt::<Sha384>(48), d384),
            ),
            (
                Algorithm::RS512,
                Algorithm::PS512,
                sign(Pkcs1v15Sign::new::<Sha512>(), Pss::new_with_salt::<Sha512>(64), d512),
            ),
        ] {
            assert!(pair.accepts(pkcs1, &one), "{pkcs1} {bits}");
            assert!(pair.accepts(pss, &other), "{pss} {bits}");
            assert!(!pair.accepts(pss, &one) && !pair.accepts(pkcs1, &other));
            for signature in [&one, &other] {
                // The number s + n has the same power, and s with a zero in front is the same
                // number.
                let above = (BigUint::from_bytes_be(signature) + pair.private.n()).to_bytes_be();
                for algorithm in [pkcs1, pss] {
                    assert!(!pair.accepts(algorithm, &above));
                    assert!(!pair.accepts(algorithm, &[&[0], signature.as_slice()].concat()));
                }
            }
        }
        for salt in [0, 20, 31, 33, 64] {
            let signature = Pss::new_with_salt::<Sha256>(salt)
                .sign(Some(&mut numbers), &pair.private, d256)
                .unwrap();
            assert!(!pair.accepts(Algorithm::PS256, &signature), "a salt of {salt} bytes");
        }
    }
}

#[test]
fn a_signature_that_starts_with_zero_keeps_its_zero() {
    let pair = Pair::new(2048, 65537);
    let (message, signature) = (0u32..)
        .map(|number| number.to_be_bytes())
        .map(|message| {
            let digest = digest(Hash::Sha256, &message);
            (message, pair.private.sign(Pkcs1v15Sign::new::<rsa::sha2::Sha256>(), &digest).unwrap())
        })
        .find(|(_, signature)| signature[0] == 0)
        .unwrap();
    assert!(pair.key.verify(Algorithm::RS256, &message, &signature, &NoHost).is_ok());
    assert!(pair.key.verify(Algorithm::RS256, &message, &signature[1..], &NoHost).is_err());
}

#[test]
fn pkcs1_encodings_that_differ_from_the_one_are_refused() {
    let pair = Pair::new(2056, 3);
    let len = pair.len();
    let digest = digest(Hash::Sha256, MESSAGE);
    let good = pkcs1_encoding(Hash::Sha256, &digest, len);
    assert_eq!(good.len(), len);
    assert!(pair.accepts(Algorithm::RS256, &pair.forge(&good)));

    let info = &good[len - 51..];
    assert_eq!(info[0], 0x30);
    let padded = |padding: usize, middle: &[u8], rest: &[u8]| {
        let mut encoded = [b"\x00\x01", vec![0xff; padding].as_slice(), middle, rest].concat();
        encoded.resize(len, 0x5a);
        encoded
    };
    let without_null = [b"\x30\x2f\x30\x0b".as_slice(), &info[4..15], &info[17..]].concat();
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("garbage after the hash", padded(8, b"\x00", info)),
        ("garbage after the hash, padding almost whole", padded(len - 3 - 51 - 1, b"\x00", info)),
        ("no parameters", padded(len - 3 - without_null.len(), b"\x00", &without_null)),
        ("no DigestInfo", padded(len - 3 - 32, b"\x00", &digest)),
        ("block type 2", [b"\x00\x02", &good[2..]].concat()),
        ("block type 0", [b"\x00\x00", &good[2..]].concat()),
        ("no separator", [&good[..len - 52], b"\xff", info].concat()),
        ("another byte in the padding", [&good[..40], b"\xfe", &good[41..]].concat()),
        ("another hash's name", pkcs1_encoding(Hash::Sha384, &digest, len)),
        ("all zero", vec![0; len]),
    ];
    for (what, encoded) in bad {
        assert_eq!(encoded.len(), len, "{what}");
        assert!(!pair.accepts(Algorithm::RS256, &pair.forge(&encoded)), "{what}");
    }
}

#[test]
fn pss_encodings_that_differ_from_the_one_are_refused() {
    for (bits, exponent) in [(2048, 65537), (2049, 65537), (2056, 3)] {
        let pair = Pair::new(bits, exponent);
        let encoded_len = (bits - 1).div_ceil(8);
        let salt = [0x11; 32];
        let expected = digest_of(Hash::Sha256, &[&[0; 8], &digest(Hash::Sha256, MESSAGE), &salt]);
        let encode = |block: &[u8], trailer: u8| {
            let mask = mgf1(Hash::Sha256, &expected, block.len());
            let mut masked: Vec<u8> = block.iter().zip(mask).map(|(a, b)| a ^ b).collect();
            masked[0] &= 0xff >> (8 * encoded_len - (bits - 1));
            let encoded = [masked.as_slice(), &expected, &[trailer]].concat();
            [vec![0; pair.len() - encoded.len()], encoded].concat()
        };
        let block = |one_at: usize, one: u8, stray: Option<usize>| {
            let mut block = vec![0; encoded_len - 33];
            block[one_at] = one;
            if let Some(stray) = stray {
                block[stray] = 1;
            }
            let at = block.len() - 32;
            block[at..].copy_from_slice(&salt);
            block
        };
        let one_at = encoded_len - 33 - 33;
        let accepts = |encoded: &[u8]| pair.accepts(Algorithm::PS256, &pair.forge(encoded));
        let good = encode(&block(one_at, 1, None), 0xbc);
        assert!(accepts(&good), "{bits}");
        assert!(!accepts(&encode(&block(one_at, 1, None), 0xbd)), "trailer {bits}");
        assert!(!accepts(&encode(&block(one_at, 1, None), 0xcc)), "trailer {bits}");
        assert!(!accepts(&encode(&block(one_at, 3, None), 0xbc)), "no 01 {bits}");
        assert!(!accepts(&encode(&block(one_at, 0, None), 0xbc)), "no 01 {bits}");
        assert!(!accepts(&encode(&block(one_at, 1, Some(one_at - 1)), 0xbc)), "not zero {bits}");
        assert!(!accepts(&encode(&block(one_at, 1, Some(1)), 0xbc)), "not zero {bits}");
        // Above the encoded message's bits: unused bits of its first byte, or the whole byte before
        // it.
        let mut high = good.clone();
        match bits % 8 {
            1 => high[0] |= 1,
            _ => high[0] |= 0x80 >> (7 - (bits - 1) % 8),
        }
        if BigUint::from_bytes_be(&high) < *pair.private.n() {
            assert!(!accepts(&high), "bits above {bits}");
        }
    }
}

#[test]
fn sizes_and_exponents_are_bounded() {
    let modulus = |bits: usize| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] = 0xff >> (8 * modulus.len() - bits);
        modulus
    };
    let why = |modulus: &[u8], exponent: &[u8]| RsaKey::new(modulus, exponent).err();
    let f4: &[u8] = &[1, 0, 1];
    assert_eq!(why(&modulus(2047), f4), Some(KeyError::RsaTooSmall { bits: 2047 }));
    assert_eq!(
        why(&[vec![0; 200], modulus(1024)].concat(), f4),
        Some(KeyError::RsaTooSmall { bits: 1024 })
    );
    assert_eq!(why(&[], f4), Some(KeyError::RsaTooSmall { bits: 0 }));
    assert_eq!(why(&modulus(2048), f4), None);
    assert_eq!(why(&modulus(8192), f4), None);
    assert_eq!(why(&modulus(8193), f4), Some(KeyError::RsaTooLarge { bits: 8193 }));
    assert_eq!(why(&modulus(1 << 20), f4), Some(KeyError::RsaTooLarge { bits: 1 << 20 }));
    let even = [&modulus(2048)[..255], &[0xfe]].concat();
    assert_eq!(why(&even, f4), Some(KeyError::RsaModulusEven));
    let n = modulus(2048);
    for exponent in
        [&[3u8][..], &[0, 0, 3], &[0, 0, 0, 0, 0, 0, 0, 0, 3], &[1, 0xff, 0xff, 0xff, 0xff]]
    {
        assert_eq!(why(&n, exponent), None, "{exponent:?}");
    }
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1], &[1; 9], &[0xff; 256]]
    {
        assert_eq!(why(&n, exponent), Some(KeyError::RsaExponent), "{exponent:?}");
    }
}
