//! P-256 (secp256r1; SEC 2, section 2.4.2, and NIST SP 800-186, section 3.2.1.3).

use std::sync::OnceLock;

use super::Curve;
use super::field::{Element, Prime};
use super::order::Order;
use super::table::Table;
use super::words::Words;

/// The curve.
pub struct P256;

/// `p = 2^256 - 2^224 + 2^192 + 2^96 - 1` in nine limbs of 29 bits.
impl Prime<9> for P256 {
    const LIMB_BITS: u32 = 29;
    const TOP_BITS: u32 = 256 - 8 * 29;
    const TERMS: [(usize, u32, i64); 3] =
        [(7, 224 - 7 * 29, -1), (6, 192 - 6 * 29, 1), (3, 96 - 3 * 29, 1)];
    const P: Words = [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0, 0, 0, 1, 0xffff_ffff, 0, 0, 0, 0];
    const R_SQUARED: Words = [
        0x0000_0c00,
        0,
        0xffff_fc00,
        0xffff_efff,
        0xffff_fbff,
        0xffff_ffff,
        0xffff_f7ff,
        0x0000_13ff,
        0,
        0,
        0,
        0,
    ];
}

impl Curve for P256 {
    type Field = Element<P256, 9>;
    const BYTES: usize = 32;
    const PRIME: Words = <P256 as Prime<9>>::P;
    const ORDER: Order = Order {
        len: 8,
        n: [
            0xfc63_2551,
            0xf3b9_cac2,
            0xa717_9e84,
            0xbce6_faad,
            0xffff_ffff,
            0xffff_ffff,
            0,
            0xffff_ffff,
            0,
            0,
            0,
            0,
        ],
        n_inverse: 0xee00_bc4f,
        r_squared: [
            0xbe79_eea2,
            0x8324_4c95,
            0x49bd_6fa6,
            0x4699_799c,
            0x2b6b_ec59,
            0x2845_b239,
            0xf3d9_5620,
            0x66e1_2d94,
            0,
            0,
            0,
            0,
        ],
    };
    const B: Words = [
        0x27d2_604b,
        0x3bce_3c3e,
        0xcc53_b0f6,
        0x651d_06b0,
        0x7698_86bc,
        0xb3eb_bd55,
        0xaa3a_93e7,
        0x5ac6_35d8,
        0,
        0,
        0,
        0,
    ];
    const G: [Words; 2] = [
        [
            0xd898_c296,
            0xf4a1_3945,
            0x2deb_33a0,
            0x7703_7d81,
            0x63a4_40f2,
            0xf8bc_e6e5,
            0xe12c_4247,
            0x6b17_d1f2,
            0,
            0,
            0,
            0,
        ],
        [
            0x37bf_51f5,
            0xcbb6_4068,
            0x6b31_5ece,
            0x2bce_3357,
            0x7c0f_9e16,
            0x8ee7_eb4a,
            0xfe1a_7f9b,
            0x4fe3_42e2,
            0,
            0,
            0,
            0,
        ],
    ];

    fn of_generator() -> &'static OnceLock<Table<Self::Field>> {
        static TABLE: OnceLock<Table<Element<P256, 9>>> = OnceLock::new();
        &TABLE
    }
}
