//! Tokens that were taken back before their end: by a call seen on its way (RFC 7009), or by a
//! feed. And those whose issuer publishes their status in a list ([`status`]).
//!
//! One token has several spellings (an ECDSA signature has two, for one), so a token is revoked by
//! what it says: by (`iss`, `jti`), and one without `jti` by its header and payload. What can't be
//! verified here is revoked by its very bytes ([`names::Names`]), in the one spelling that anyone
//! can write it in ([`spelling`]).
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod feed;
pub mod floors;
pub mod list;
pub mod names;
pub mod set;
pub mod spelling;
pub mod status;
pub mod stream;
pub mod table;
pub mod told;

pub use names::Names;
pub use table::Revoked;

/// Seconds for which a revocation is kept beyond the token's `exp`: the most that any issuer's
/// `leeway_s` may be, since other configurations on this host admit the same token for longer.
pub const LEEWAY_S_MAX: u64 = 300;
