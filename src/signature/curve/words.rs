//! Numbers of up to 384 bits as 32-bit words, the lowest first: the form between bytes, limbs and
//! scalars.
#![allow(
    clippy::indexing_slicing,
    reason = "arrays of fixed length under constants and loops over that length: no index comes from \
              a message"
)]

/// Words of the longest number.
pub const LEN: usize = 12;
/// Bits of the longest number.
pub const BITS: usize = 32 * LEN;

/// A number.
pub type Words = [u32; LEN];

/// 1.
pub const ONE: Words = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The number of up to 48 big-endian bytes; nothing if there are more.
pub fn from_bytes(big_endian: &[u8]) -> Option<Words> {
    let mut words = [0; LEN];
    if big_endian.len() > 4 * LEN {
        return None;
    }
    for (place, byte) in big_endian.iter().rev().enumerate() {
        words[place / 4] |= u32::from(*byte) << (8 * (place % 4));
    }
    Some(words)
}

/// The lowest bytes of the number, big-endian.
pub fn to_bytes(words: &Words, bytes: &mut [u8]) {
    for (place, byte) in bytes.iter_mut().rev().enumerate() {
        *byte = words.get(place / 4).map_or(0, |word| (word >> (8 * (place % 4))) as u8);
    }
}

/// The number with these limbs, none below zero or above its bits.
pub fn from_limbs(limbs: &[i32], limb_bits: u32) -> Words {
    let mut words = [0; LEN];
    let (mut pending, mut pending_bits, mut place) = (0u64, 0, 0);
    for limb in limbs {
        pending |= (*limb as u64) << pending_bits;
        pending_bits += limb_bits;
        if pending_bits >= 32 && place < LEN {
            words[place] = pending as u32;
            place += 1;
            pending >>= 32;
            pending_bits -= 32;
        }
    }
    if place < LEN {
        words[place] = pending as u32;
    }
    words
}

/// 32 bits of the number from this one on.
pub fn bits_from(words: &Words, bit: usize) -> u64 {
    let word = |place: usize| words.get(place).map_or(0, |word| u64::from(*word));
    ((word(bit / 32 + 1) << 32 | word(bit / 32)) >> (bit % 32)) & 0xffff_ffff
}

/// One bit of the number.
#[inline(always)]
pub fn bit(words: &Words, bit: usize) -> bool {
    words.get(bit / 32).is_some_and(|word| word >> (bit % 32) & 1 == 1)
}

/// Whether the number is 0.
pub fn is_zero(words: &Words) -> bool {
    words.iter().all(|word| *word == 0)
}

/// Whether `a` is below `b`.
pub fn is_below(a: &Words, b: &Words) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// `a + b` without what is above all words.
pub fn plus(a: &Words, b: &Words) -> Words {
    let mut carry = 0u64;
    std::array::from_fn(|place| {
        let sum = u64::from(a[place]) + u64::from(b[place]) + carry;
        carry = sum >> 32;
        sum as u32
    })
}

/// `a - b` for a `b` that isn't above `a`.
pub fn minus(a: &Words, b: &Words) -> Words {
    let mut borrow = 0i64;
    std::array::from_fn(|place| {
        let difference = i64::from(a[place]) - i64::from(b[place]) + borrow;
        borrow = difference >> 32;
        difference as u32
    })
}

/// The number without its lowest bits, up to 31 of them.
pub fn shifted_right(words: &Words, bits: usize) -> Words {
    std::array::from_fn(|place| bits_from(words, 32 * place + bits) as u32)
}
