//! A test host that runs a Proxy-Wasm filter as Kong Gateway 3.9 (ngx_wasm_module) does.
//!
//! It is test equipment. Where the real host would crash, a [`Host`] records a death of the worker;
//! where the real host lets a request through, so does this one. README.md lists what it imitates,
//! each line with its test.
//!
//! Rooms, from the top: `server` (listeners) over `host` (workers, configuration pushes) over
//! `exchange` (one request's walk) over `worker` (one process: instances, timers, death) over `vm`
//! and `abi` (one instance and what it may call) over `store`, `slab`, `metrics` (the shared
//! memory).

mod abi;
mod callout;
mod config;
mod exchange;
mod host;
pub mod http;
mod metrics;
mod options;
mod plugins;
mod proxy;
mod response;
mod router;
mod server;
mod slab;
mod store;
mod vm;
mod wait;
mod worker;

pub use config::{Chain, ChainEntry, Gateway, Plugin, Route, Service};
pub use exchange::Outcome;
pub use host::{Host, LogLine};
pub use metrics::Kind as MetricKind;
pub use options::{Eviction, Options, Zone, herdgate_wasm};
pub use router::{kong_path, nginx_path};
pub use server::{serve, serve_admin};
pub use store::{Expect, Refused, Store};
pub use wait::serve_waits;
