//! The shell: the host's callbacks become inputs, effects become host calls. Built for wasm alone.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod abi;
mod around;
mod bodies;
mod call;
mod chain;
mod entry;
mod finish;
mod hosts;
mod http;
mod log;
mod meter;
mod own_calls;
mod response;
mod root;
mod store;
mod wait;
mod why;

// The SDK's start; what the host calls after it is in `entry`.
proxy_wasm::main! {{}}
