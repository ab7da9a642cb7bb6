//! Facts as two workers of one host know them: what one has learnt opens nothing on the other that
//! it should not. A request goes through its whole verdict here, so the tests hold of `decide` too.

mod assertion;
mod bound;
mod clock;
mod dpop;
mod encrypted;
mod introspection;
mod keys;
mod levels;
mod lookups;
mod mtls;
mod opaque;
mod replay;
mod replay_gateways;
mod revocation;
mod rotation;
mod sight;
mod signed;
mod status;
mod verified;
