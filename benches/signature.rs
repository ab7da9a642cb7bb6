//! What a verification costs, beside jwt-simple's. Prints one line per algorithm: microseconds, the median of rounds.
//!
//! `cargo bench --bench signature` measures the machine; the same program built for wasm32-wasip1 runs in any WASI host.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herdgate::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};
use jwt_simple::prelude::*;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 15;

/// Median over rounds of the mean of `repeats` calls, in microseconds.
fn microseconds(repeats: usize, mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..repeats).for_each(|_| call());
            start.elapsed().as_secs_f64() * 1e6 / repeats as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn row(name: &str, ours: f64, oracle: Option<f64>) {
    match oracle {
        Some(oracle) => println!("{name:<22} {ours:>9.1} us   jwt-simple {oracle:>9.1} us"),
        None => println!("{name:<22} {ours:>9.1} us"),
    }
}

fn ours(key: &VerifyKey, algorithm: Algorithm, token: &str, repeats: usize) -> f64 {
    let (signed, signature) = token.rsplit_once('.').expect("three segments");
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    microseconds(repeats, || {
        key.verify(algorithm, black_box(signed.as_bytes()), black_box(&signature), &NoHost).unwrap();
    })
}

fn claims() -> JWTClaims<NoCustomClaims> {
    Claims::create(Duration::from_hours(1)).with_subject("a".repeat(400))
}

fn all() -> AlgorithmSet {
    AlgorithmSet::from_slice(&Algorithm::ALL)
}

fn rsa(bits: usize) {
    let pair = RS256KeyPair::generate(bits).unwrap();
    let public = pair.public_key();
    let pem = public.to_pem().unwrap();
    let key = VerifyKey::from_pem(&pem, all()).unwrap();
    let token = pair.sign(claims()).unwrap();
    row(&format!("RSA {bits} load"), microseconds(20, || drop(VerifyKey::from_pem(&pem, all()))), None);
    let oracle = microseconds(10, || drop(public.verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row(&format!("RS256 {bits}"), ours(&key, Algorithm::RS256, &token, 200), Some(oracle));
    let pair = PS256KeyPair::from_pem(&pair.to_pem().unwrap()).unwrap();
    let token = pair.sign(claims()).unwrap();
    row(&format!("PS256 {bits}"), ours(&key, Algorithm::PS256, &token, 200), None);
}

fn main() {
    rsa(2048);
    rsa(3072);
    rsa(4096);

    let pair = ES256KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    let token = pair.sign(claims()).unwrap();
    let oracle = microseconds(50, || drop(pair.public_key().verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row("ES256", ours(&key, Algorithm::ES256, &token, 50), Some(oracle));

    let pair = ES384KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem().unwrap(), all()).unwrap();
    let token = pair.sign(claims()).unwrap();
    let oracle = microseconds(20, || drop(pair.public_key().verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row("ES384", ours(&key, Algorithm::ES384, &token, 20), Some(oracle));

    let pair = Ed25519KeyPair::generate();
    let key = VerifyKey::from_pem(&pair.public_key().to_pem(), all()).unwrap();
    let token = pair.sign(claims()).unwrap();
    let oracle = microseconds(100, || drop(pair.public_key().verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row("EdDSA", ours(&key, Algorithm::EdDSA, &token, 100), Some(oracle));

    let secret = [7; 32];
    let pair = HS256Key::from_bytes(&secret);
    let key = VerifyKey::from_secret(&secret, AlgorithmSet::from_slice(&[Algorithm::HS256]), false).unwrap();
    let token = pair.authenticate(claims()).unwrap();
    let oracle = microseconds(1000, || drop(pair.verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row("HS256", ours(&key, Algorithm::HS256, &token, 1000), Some(oracle));
}
