//! Herdgate: one Proxy-Wasm filter that keeps OAuth2 and JWT traffic calm under load.
//!
//! Everything but the shell is plain Rust that builds and is tested on any target. The modules in
//! the order of a request's walk, from the top to the floor; each imports from those below it
//! alone: [`exchange`] follows one request, [`decide`] weighs it by the [`facts`] that are known
//! under a [`config`]uration; below them are the fields' own rooms.
#![cfg_attr(not(target_os = "wasi"), forbid(unsafe_code))]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

#[cfg(target_os = "wasi")]
mod shell;

pub mod exchange;

pub mod decide;

pub mod charging;

pub mod gateways;

pub mod facts;

pub mod config;

pub mod token_endpoint;

pub mod revocation;

pub mod rate_limit;

pub mod shared;

pub mod metrics;

pub mod retry_after;

pub mod request;

pub mod proof;

pub mod jwt;

pub mod signature;

pub mod callout;

pub mod reply;

pub mod digest;

pub mod time;

#[cfg(test)]
mod simulation;
