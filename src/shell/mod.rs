//! The shell: the host's callbacks become inputs, effects become host calls. Built for wasm alone.

mod abi;
mod admitted;
mod chain;
mod dialect;
mod http;
mod meter;
mod poll;
mod root;
mod verify;
mod waiters;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|context_id| -> Box<dyn RootContext> { Box::new(root::Root::new(context_id)) });
}}

// Kong's host calls on_done and on_log after each request without a look whether a module has them, and a
// worker dies where it hasn't. They have nothing to do here, and the SDK's would look for whose they are
// first, so scripts/build exports these two under their names.

/// Stands in for `proxy_on_done`: yes, the context may go.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn herdgate_on_done(_: u32) -> u32 {
    1
}

/// Stands in for `proxy_on_log`.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn herdgate_on_log(_: u32) {}
