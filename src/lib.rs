//! Herdgate: one Proxy-Wasm filter that keeps OAuth2 and JWT traffic calm under load.
//!
//! # The map
//!
//! The rooms in the order of a request's walk, from the top to the floor. Each imports from those
//! below it alone, which `tests/layout` holds. Everything but the shell is plain Rust that builds
//! and is tested on any target.
//!
//! | room | what it is for |
//! |---|---|
//! | `shell` | the host's callbacks become inputs, effects become host calls; built for wasm alone |
//! | [`exchange`] | follows one request and its answer, without I/O |
//! | [`decide`] | the verdict, or the one fact that is missing |
//! | [`charging`] | what a request is charged to |
//! | [`gateways`] | what gateways tell each other, in the background |
//! | [`facts`] | what must be known: from memory, from shared memory, or fetched |
//! | [`metrics`] | one name for each event |
//! | [`config`] | a document becomes checked types, once, at load |
//! | [`token_endpoint`] | token calls (RFC 6749): what may be shared, and for how long |
//! | [`revocation`] | what revoked tokens are called, feeds, the table of them |
//! | [`rate_limit`] | rates and quotas over one cell |
//! | [`shared`] | tables in the host's shared memory |
//! | [`retry_after`] | how long a server asks to be left alone |
//! | [`request`] | a client's request: headers, path, the one token in it, what is forwarded |
//! | [`proof`] | what a token is bound to, and whether its caller has proven it |
//! | [`jwe`] | encrypted tokens: opened with keys of ours |
//! | [`jwt`] | strict reading, checks of claims, issuers |
//! | [`signature`] | keys and what they verify |
//! | [`redis`] | commands for Redis, as Webdis takes them |
//! | [`callout`] | calls of the filter's own: where they go and how they are made |
//! | [`reply`] | every refusal: reason, status, challenge and body |
//! | [`digest`], [`time`], [`sort`] | keyed digests; time as an argument; sorting in few bytes |
//!
//! Public is [`config`], which reads a document, and [`testing`]. The others are seen with
//! `cargo doc --document-private-items`.
#![cfg_attr(not(all(target_os = "wasi", feature = "shell")), forbid(unsafe_code))]
// The shell alone uses much of it.
#![cfg_attr(not(all(target_os = "wasi", feature = "shell")), allow(dead_code))]
#![allow(rustdoc::private_intra_doc_links)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

#[cfg(all(target_os = "wasi", feature = "shell"))]
mod shell;

mod exchange;

mod decide;

mod charging;

mod gateways;

mod facts;

mod metrics;

pub mod config;

mod token_endpoint;

mod revocation;

mod rate_limit;

mod shared;

mod retry_after;

mod request;

mod proof;

mod jwe;

mod jwt;

mod signature;

mod redis;

mod callout;

mod reply;

mod digest;

mod time;

mod sort;

pub mod testing;

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod world;
