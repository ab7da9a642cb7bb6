//! One test for each behaviour of Kong's that this host imitates; README.md lists them.

mod bodies;
mod buffers;
mod callouts;
mod configure;
mod filter;
mod gateway;
mod headers;
mod kong;
mod shared;
mod store;
mod support;
mod traps;
