//! What a bound token needs beside itself: proof that its caller holds the key that it names
//! (RFC 7800).
//!
//! This room says what a token is bound to and whether a request has proven it. It asks for no
//! fact, keeps nothing, and knows nothing of rules: whoever admits a token asks it on every
//! request, on a hit as well as the first time.

mod binding;
pub mod dpop;
mod htu;
pub mod mtls;
pub mod nonce;
mod thumbprint;

pub use binding::{Binding, Proven};
pub use htu::Origin;
pub use thumbprint::ProofKey;
