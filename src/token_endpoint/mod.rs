//! RFC 6749 at the token endpoint: may this answer be reused, under which key, for how long, and
//! how many calls may the authorization server take.
//!
//! Nothing here waits, calls or reads a clock. A token POST goes through these in order:
//!
//! 1. [`request::parse`] reads it and says whether an answer may be shared for it. What could be
//!    read in two ways may not.
//! 2. [`request::TokenRequest::cache_key`] names the answer by everything that shapes it.
//! 3. [`reuse::Stored::serve`] says whether a stored answer still stands, and with which
//!    `expires_in`; [`freshness::Demand`] whether it is as fresh as this client asks.
//! 4. [`admission::Admission`] says whether the authorization server can take one more call.
//! 5. [`answer::analyse`] says whether what came back may be kept, and [`jitter::shorten`] rewrites
//!    its lifetime so that clients which started together don't end together.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod admission;
pub mod answer;
pub mod challenge;
mod client_auth;
pub(crate) mod connection;
pub mod elsewhere;
mod endpoint;
mod evidence;
mod form;
mod forwarded;
pub mod freshness;
mod headers;
pub mod integrity;
pub mod jitter;
mod json_body;
mod media;
mod members;
pub mod outages;
pub mod request;
pub mod reuse;
pub mod revocation;

pub use endpoint::{Reuse, TokenEndpoint};
mod share;
mod spans;
mod vary;

#[cfg(test)]
mod fixtures;
