//! The content's decryption: authenticated, and nothing comes out before that is known.

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce, Tag};
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::{Encryption, Segments};

/// The plaintext; nothing if the tag isn't that of key, header, vector and ciphertext. The lengths
/// of vector and tag were checked.
pub(super) fn open(encryption: Encryption, key: &[u8], of: &Segments<'_>) -> Option<Vec<u8>> {
    if key.len() != encryption.key_bytes() {
        return None;
    }
    match encryption {
        Encryption::A128Gcm => gcm(&Aes128Gcm::new_from_slice(key).ok()?, of),
        Encryption::A256Gcm => gcm(&Aes256Gcm::new_from_slice(key).ok()?, of),
        Encryption::A128CbcHs256 => {
            let (mac_key, cipher_key) = key.split_at_checked(16)?;
            let mac = Hmac::<Sha256>::new_from_slice(mac_key).ok()?;
            cbc(mac, &Aes128::new_from_slice(cipher_key).ok()?, of)
        }
        Encryption::A256CbcHs512 => {
            let (mac_key, cipher_key) = key.split_at_checked(32)?;
            let mac = Hmac::<Sha512>::new_from_slice(mac_key).ok()?;
            cbc(mac, &Aes256::new_from_slice(cipher_key).ok()?, of)
        }
    }
}

/// RFC 7518, section 5.3.
fn gcm<C>(cipher: &C, of: &Segments<'_>) -> Option<Vec<u8>>
where
    C: AeadInOut<NonceSize = aes::cipher::consts::U12, TagSize = aes::cipher::consts::U16>,
{
    let nonce = Nonce::try_from(of.iv.as_slice()).ok()?;
    let tag = Tag::try_from(of.tag.as_slice()).ok()?;
    let mut text = of.ciphertext.clone();
    cipher.decrypt_inout_detached(&nonce, of.protected, text.as_mut_slice().into(), &tag).ok()?;
    Some(text)
}

/// RFC 7518, section 5.2.2.2. The tag is the first half of the MAC, and is compared before a block
/// is decrypted: so that no one learns of the padding what the tag doesn't vouch for.
fn cbc<M: Mac>(
    mac: M,
    cipher: &impl BlockCipherDecrypt<BlockSize = aes::cipher::consts::U16>,
    of: &Segments<'_>,
) -> Option<Vec<u8>> {
    let header_bits = (of.protected.len() as u64).checked_mul(8)?;
    let mac = mac
        .chain_update(of.protected)
        .chain_update(&of.iv)
        .chain_update(&of.ciphertext)
        .chain_update(header_bits.to_be_bytes())
        .finalize()
        .into_bytes();
    let expected = mac.get(..mac.len() / 2)?;
    if !bool::from(expected.ct_eq(&of.tag)) {
        return None;
    }
    let (blocks, []) = of.ciphertext.as_chunks::<16>() else { return None };
    let mut before: [u8; 16] = of.iv.as_slice().try_into().ok()?;
    let mut text = Vec::with_capacity(of.ciphertext.len());
    for sealed in blocks {
        let mut block = Block::from(*sealed);
        cipher.decrypt_block(&mut block);
        text.extend(block.iter().zip(before).map(|(byte, other)| byte ^ other));
        before = *sealed;
    }
    unpadded(text)
}

/// RFC 5652, section 6.3: each of the last n bytes is n.
fn unpadded(mut text: Vec<u8>) -> Option<Vec<u8>> {
    let padding = usize::from(*text.last()?);
    let from = text.len().checked_sub(padding)?;
    let is_padding = |tail: &[u8]| tail.iter().all(|byte| usize::from(*byte) == padding);
    if !(1..=16).contains(&padding) || !text.get(from..).is_some_and(is_padding) {
        return None;
    }
    text.truncate(from);
    Some(text)
}
