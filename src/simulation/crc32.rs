//! CRC-32 (ISO-HDLC), which is all that Kong's host knows of a key.

/// The table for one byte.
pub(crate) fn table() -> [u32; 256] {
    std::array::from_fn(|n| {
        (0..8).fold(n as u32, |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

/// The CRC-32 of `bytes`.
pub(crate) fn of(table: &[u32; 256], bytes: &[u8]) -> u32 {
    !extend(table, !0, bytes)
}

/// The register after `bytes`.
pub(crate) fn extend(table: &[u32; 256], mut register: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        register = register >> 8 ^ table[(register as u8 ^ byte) as usize];
    }
    register
}

#[test]
fn it_is_the_crc_32_of_zip_and_nginx() {
    assert_eq!(of(&table(), b"123456789"), 0xcbf4_3926);
    assert_eq!(of(&table(), b"plumless"), of(&table(), b"buckeroo"));
}
