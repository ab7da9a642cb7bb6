//! Herdgate: one Proxy-Wasm filter that keeps OAuth2 and JWT traffic calm under load.
//!
//! Everything but the shell is plain Rust that builds and is tested on any target.
#![cfg_attr(not(target_os = "wasi"), forbid(unsafe_code))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod callout;
pub mod config;
pub mod decide;
pub mod digest;
pub mod exchange;
pub mod facts;
pub mod jwt;
pub mod metrics;
pub mod rate_limit;
pub mod reply;
pub mod request;
pub mod retry_after;
pub mod revocation;
pub mod shared;
pub mod signature;
#[cfg(test)]
mod simulation;
pub mod time;
pub mod token_endpoint;

#[cfg(target_os = "wasi")]
mod shell;
