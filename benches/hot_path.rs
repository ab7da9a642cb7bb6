//! What the filter's own code takes of a request whose token it has seen before, and of one with a
//! new or a refused token, without a host: signatures are verified by a function that does nothing.
//!
//! `cargo bench --bench hot_path`; `HOT_PATH_STEPS=n` runs each case n times and prints nothing,
//! for counting instructions under a tool that does that; `HOT_PATH_CASE=text` runs the cases whose
//! names end so.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, dead_code)]

#[path = "../tests/hot_path/fixture.rs"]
mod fixture;

use std::hint::black_box;
use std::time::Instant;

use fixture::{
    GOOD, Worker, plain, public, request, ruled, ruled_and_limited, ruled_and_revoked, signed,
    token,
};
use herdgate::testing::request::HeaderBlock;
use serde_json::json;

const ROUNDS: usize = 31;
const REPEATS: usize = 20_000;

/// The least of rounds, in nanoseconds a call: what else the machine does can only add.
fn nanoseconds(mut call: impl FnMut(usize)) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..REPEATS).for_each(&mut call);
        start.elapsed().as_secs_f64() * 1e9 / REPEATS as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn row(name: &str, worker: &Worker, requests: &[HeaderBlock]) {
    if std::env::var("HOT_PATH_CASE").is_ok_and(|end| !name.ends_with(&end)) {
        return;
    }
    let run = |n: usize| {
        black_box(worker.run(requests[n % requests.len()].clone()));
    };
    (0..requests.len()).for_each(run);
    match std::env::var("HOT_PATH_STEPS").ok().and_then(|text| text.parse().ok()) {
        Some(steps) => (0..steps).for_each(run),
        None => println!("{name:<32} {:>7.0} ns", nanoseconds(run)),
    }
}

fn main() {
    let one = [request(&token("user-1"))];
    let many: Vec<_> = (0..10_000).map(|n| request(&token(&format!("user-{n}")))).collect();
    if std::env::var("HOT_PATH_STEPS").is_err() {
        println!(
            "{:<32} {:>7.0} ns",
            "copying the headers alone",
            nanoseconds(|_| drop(black_box(one[0].clone())))
        );
    }
    row("one token", &Worker::new(&plain()), &one);
    row("one token, rules, claim", &Worker::new(&ruled()), &one);
    row("one token, rules, claim, feed", &Worker::new(&ruled_and_revoked()), &one);
    row("one token, rules, claim, limit", &Worker::new(&ruled_and_limited()), &one);
    row("10,000 tokens", &Worker::new(&plain()), &many);
    for (name, algorithm, first, audience) in [
        ("new token, RS256", "RS256", GOOD, "orders-api"),
        ("new token, ES256", "ES256", GOOD, "orders-api"),
        ("forged, RS256", "RS256", GOOD + 1, "orders-api"),
        ("forged, ES256", "ES256", GOOD + 1, "orders-api"),
        ("wrong audience", "RS256", GOOD, "another"),
    ] {
        row(name, &forgetful(algorithm), &different(algorithm, first, audience));
    }
}

/// A worker that remembers one token, and shares sixteen.
fn forgetful(algorithm: &str) -> Worker {
    let mut config = public(algorithm);
    config["memory"] = json!({ "tokens_max": 1 });
    config["shared"]["tokens_max"] = json!(16);
    let worker = Worker::new(&config);
    worker.host.verifies.set(true);
    worker
}

fn different(algorithm: &str, first: u8, audience: &str) -> Vec<HeaderBlock> {
    let token = |n: usize| {
        signed(algorithm, first, |claims| {
            claims["sub"] = json!(format!("user-{n}"));
            claims["aud"] = json!(audience);
        })
    };
    (0..1_000).map(|n| request(&token(n))).collect()
}
