//! Limits: what a request is charged to, and whether it passes.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod charge;
pub mod counters;
mod key;
mod limit;
mod names;
mod policy;
pub mod sketch;
pub mod sync;
mod tier;

pub use charge::{Claim, Status, Verdict, What, charge, over, remaining};
pub use counters::{Charge, Counters};
pub use key::{Address, KeyPartValue};
pub use limit::{Amount, Charging, KeyPart, RateLimit, Sync, Window};
pub use names::CounterNames;
pub use policy::{Known, Policy, Told};
pub use tier::Tier;
