//! AES Key Wrap (RFC 3394), the unwrapping alone.

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use subtle::ConstantTimeEq as _;

use super::key::ContentKey;

/// RFC 3394, section 2.2.3.1.
const INTEGRITY: [u8; 8] = [0xa6; 8];

/// Unwraps a key under one of 16 or 32 bytes. What was wrapped wrongly comes out as bytes all the
/// same, marked as not good; nothing comes of a length that a wrapped key can't have.
pub(super) fn unwrap(wrapping: &[u8], wrapped: &[u8]) -> Option<ContentKey> {
    match wrapping.len() {
        16 => unwrap_with(&Aes128::new_from_slice(wrapping).ok()?, wrapped),
        32 => unwrap_with(&Aes256::new_from_slice(wrapping).ok()?, wrapped),
        _ => None,
    }
}

/// RFC 3394, section 2.2.2, in the form that indexes.
fn unwrap_with(
    cipher: &impl BlockCipherDecrypt<BlockSize = aes::cipher::consts::U16>,
    wrapped: &[u8],
) -> Option<ContentKey> {
    let (first, registers) = wrapped.split_first_chunk::<8>()?;
    let mut integrity = *first;
    let (registers, []) = registers.as_chunks::<8>() else { return None };
    let mut registers = registers.to_vec();
    if registers.len() < 2 {
        return None;
    }
    let count = registers.len() as u64;
    for step in (0..6).rev() {
        for (index, register) in registers.iter_mut().enumerate().rev() {
            let turn = count * step + index as u64 + 1;
            let turned = (u64::from_be_bytes(integrity) ^ turn).to_be_bytes();
            let mut block = Block::default();
            let (high, low) = block.split_at_mut(8);
            high.copy_from_slice(&turned);
            low.copy_from_slice(register);
            cipher.decrypt_block(&mut block);
            let (high, low) = block.split_at(8);
            integrity.copy_from_slice(high);
            register.copy_from_slice(low);
        }
    }
    let is_good = bool::from(integrity.ct_eq(&INTEGRITY));
    Some(ContentKey { bytes: registers.concat(), is_good })
}
