//! The configuration: a document becomes checked types, once, at load.
//!
//! `fields` describes the document in tables: the loader reads by them and the JSON Schemas are
//! made from them, so neither can drift. `read` checks the form of everything by these tables and
//! resolves secrets; `check*` check what it means and build `Config`, which is what the rest of the
//! filter reads: parsed, bounded, with no way to be wrong. Mistakes are gathered, not thrown: a
//! document's author sees all of them at once, and never a secret.

mod bearer_only;
mod check;
mod check_call;
mod check_claims;
mod check_demands;
mod check_encryption;
mod check_feeds;
mod check_forward;
mod check_issuers;
mod check_keys;
mod check_limits;
mod check_opaque;
mod check_places;
mod check_proofs;
mod check_resource;
mod check_rules;
mod check_stateless;
mod check_status;
mod check_tiers;
mod check_tokens;
mod check_variants;
mod error;
mod fields;
mod host;
mod json;
mod protobuf;
mod read;
pub mod shape;
mod syntax;
#[cfg(test)]
mod tests;
mod types;

pub use error::{ConfigError, ConfigErrors};
pub use fields::DOCUMENT;
pub use host::HostKind;
pub use types::*;
