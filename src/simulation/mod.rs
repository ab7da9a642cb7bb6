//! The simulation: workers on a fake host, switched inside every host call.
//!
//! A schedule follows from a seed, or is one of all there are. What fails names its seed; `make sim
//! SEED=n` plays it again, and `make sim ROUNDS=m` goes on for longer than `cargo test` does. Each
//! invariant is also run against a twin of the code without one of its protections
//! (`shared::twin`), and must catch it.

pub(crate) mod crc32;
pub(crate) mod gateways;
pub(crate) mod host;
pub(crate) mod lines;
pub(crate) mod net;
pub(crate) mod redis;
pub(crate) mod schedule;

mod admissions;
mod answers;
mod documents;
mod exclusive;
mod exhaustive;
mod facts;
mod forged;
mod limits;
mod many;
mod many_gateways;
mod outages;
mod status_lists;
mod tables;
mod tiers;

use crate::shared::twin::Twin;
use host::Dialect;

/// The seeds of this run: one if `SEED` is set, else as many as `ROUNDS` says, else `quick`.
fn seeds(quick: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match (number("SEED"), number("ROUNDS")) {
        (Some(seed), rounds) => seed..seed + rounds.unwrap_or(1),
        (None, Some(rounds)) => 0..rounds,
        (None, None) => 0..quick,
    }
}

/// Runs `round` on every seed in every dialect; it returns what is wrong.
fn holds(quick: u64, round: impl Fn(u64, Dialect) -> Result<(), String>) {
    for seed in seeds(quick) {
        for dialect in Dialect::ALL {
            if let Err(wrong) = round(seed, dialect) {
                panic!("SEED={seed} on {dialect:?}: {wrong}");
            }
        }
    }
}

/// Sees to it that the twin fails: some seed up to `most` finds something wrong with it.
fn is_caught(
    twin: Twin,
    most: u64,
    round: impl Fn(u64, Dialect, Option<Twin>) -> Result<(), String>,
) {
    for dialect in Dialect::ALL {
        let caught = (0..most).find(|seed| round(*seed, dialect, Some(twin)).is_err());
        assert!(caught.is_some(), "{twin:?} lives through {most} seeds on {dialect:?}");
    }
}
