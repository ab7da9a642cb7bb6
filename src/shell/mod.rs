//! The shell: the host's callbacks become inputs, effects become host calls. Built for wasm alone.

mod abi;
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
