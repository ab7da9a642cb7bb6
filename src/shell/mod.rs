//! The shell: the host's callbacks become inputs, effects become host calls. Built for wasm alone.

mod abi;
mod admitted;
mod chain;
mod dialect;
mod entry;
mod http;
mod latch;
mod meter;
mod poll;
mod response;
mod root;
mod verify;
mod waiters;

// The SDK's start; what the host calls after it is in `entry`.
proxy_wasm::main! {{}}
