//! P-384 (secp384r1; SEC 2, section 2.5.1, and NIST SP 800-186, section 3.2.1.4).

use std::sync::OnceLock;

use super::Curve;
use super::field::{Element, Prime};
use super::order::Order;
use super::table::Table;
use super::words::Words;

/// The curve.
pub struct P384;

/// `p = 2^384 - 2^128 - 2^96 + 2^32 - 1` in fourteen limbs of 28 bits.
impl Prime<14> for P384 {
    const LIMB_BITS: u32 = 28;
    const TOP_BITS: u32 = 384 - 13 * 28;
    const TERMS: [(usize, u32, i64); 3] =
        [(4, 128 - 4 * 28, -1), (3, 96 - 3 * 28, -1), (1, 32 - 28, 1)];
    const P: Words = [
        0xffff_ffff,
        0,
        0,
        0xffff_ffff,
        0xffff_fffe,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
        0xffff_ffff,
    ];
    const R_SQUARED: Words = [
        0x0001_0000,
        0xfffe_0000,
        0x0000_ffff,
        0x0002_0000,
        0,
        0xfffe_0000,
        0x0000_ffff,
        0x0002_0000,
        0x0001_0000,
        0,
        0,
        0,
    ];
}

impl Curve for P384 {
    type Field = Element<P384, 14>;
    const BYTES: usize = 48;
    const PRIME: Words = <P384 as Prime<14>>::P;
    const ORDER: Order = Order {
        len: 12,
        n: [
            0xccc5_2973,
            0xecec_196a,
            0x48b0_a77a,
            0x581a_0db2,
            0xf437_2ddf,
            0xc763_4d81,
            0xffff_ffff,
            0xffff_ffff,
            0xffff_ffff,
            0xffff_ffff,
            0xffff_ffff,
            0xffff_ffff,
        ],
        n_inverse: 0xe88f_dc45,
        r_squared: [
            0x19b4_09a9,
            0x2d31_9b24,
            0xdf1a_a419,
            0xff3d_81e5,
            0xfcb8_2947,
            0xbc3e_483a,
            0x4aab_1cc5,
            0xd40d_4917,
            0x2826_6895,
            0x3fb0_5b7a,
            0x2b39_bf21,
            0x0c84_ee01,
        ],
    };
    const B: Words = [
        0xd3ec_2aef,
        0x2a85_c8ed,
        0x8a2e_d19d,
        0xc656_398d,
        0x5013_875a,
        0x0314_088f,
        0xfe81_4112,
        0x181d_9c6e,
        0xe3f8_2d19,
        0x988e_056b,
        0xe23e_e7e4,
        0xb331_2fa7,
    ];
    const G: [Words; 2] = [
        [
            0x7276_0ab7,
            0x3a54_5e38,
            0xbf55_296c,
            0x5502_f25d,
            0x8254_2a38,
            0x59f7_41e0,
            0x8ba7_9b98,
            0x6e1d_3b62,
            0xf320_ad74,
            0x8eb1_c71e,
            0xbe8b_0537,
            0xaa87_ca22,
        ],
        [
            0x90ea_0e5f,
            0x7a43_1d7c,
            0x1d7e_819d,
            0x0a60_b1ce,
            0xb5f0_b8c0,
            0xe9da_3113,
            0x289a_147c,
            0xf8f4_1dbd,
            0x9292_dc29,
            0x5d9e_98bf,
            0x9626_2c6f,
            0x3617_de4a,
        ],
    ];

    fn of_generator() -> &'static OnceLock<Table<Self::Field>> {
        static TABLE: OnceLock<Table<Element<P384, 14>>> = OnceLock::new();
        &TABLE
    }
}
