//! Reads a Herdgate configuration without a host: all mistakes, all warnings, and in words what it
//! does with a request. Behind the playground it also runs the filter itself on one request, over a
//! host that is made up. Makes the JSON Schemas, too, from the tables by which the loader reads.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod envoy;
pub mod explain;
pub mod find;
pub mod guard;
pub mod kubernetes;
pub mod play;
pub mod report;
pub mod run;
pub mod schema;
pub mod sizing;
pub mod stand_in;
pub mod steps;
pub mod token;
