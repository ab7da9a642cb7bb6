//! Of which bytes credentials are made.

/// RFC 6750, section 2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
pub(super) fn is_b64token(bytes: &[u8]) -> bool {
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = bytes.get(..bytes.len() - padding).unwrap_or_default();
    // Without a branch for each byte: which of its ranges one is in nobody can guess ahead.
    !body.is_empty() && body.iter().fold(true, |all, byte| all & is_of_b64token(*byte))
}

fn is_of_b64token(byte: u8) -> bool {
    B64TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// For each byte, whether it may stand in the body of a `b64token`. The compiler fills it, where an
/// index out of range is an error.
#[allow(clippy::indexing_slicing)]
static B64TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

/// RFC 9110, section 5.6.2.
pub(super) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
