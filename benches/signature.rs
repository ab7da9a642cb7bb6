//! What a verification costs, beside jwt-simple's. Prints one line per algorithm: microseconds, the
//! median of rounds.
//!
//! `cargo bench --bench signature` measures the machine; with `--target wasm32-wasip1
//! --no-default-features` the same program is one that runs in any WASI host. Words after it choose
//! algorithms: `-- ES512 ML-DSA` leaves out those whose names have neither.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herdgate::testing::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};
use jwt_simple::prelude::*;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 15;
/// Uses of a new key that are looked at.
const FIRST: usize = 6;

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
        key.verify(algorithm, black_box(signed.as_bytes()), black_box(&signature), &NoHost)
            .unwrap();
    })
}

/// What each of a key's first verifications takes: the fourth of one on P-256 or P-384 makes its table.
fn first_uses(algorithm: Algorithm, jwk: &str, token: &str) {
    let (signed, signature) = token.rsplit_once('.').expect("three segments");
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut rounds: Vec<[f64; FIRST]> = (0..ROUNDS)
        .map(|_| {
            let key = VerifyKey::from_jwk(jwk, all()).unwrap();
            [0.0; FIRST].map(|_| {
                let start = Instant::now();
                key.verify(algorithm, signed.as_bytes(), &signature, &NoHost).unwrap();
                start.elapsed().as_secs_f64() * 1e6
            })
        })
        .collect();
    let median = |number: usize| {
        rounds.sort_by(|one, other| {
            one.get(number).unwrap_or(&0.0).total_cmp(other.get(number).unwrap_or(&0.0))
        });
        rounds.get(ROUNDS / 2).and_then(|round| round.get(number)).copied().unwrap_or_default()
    };
    let uses: Vec<String> = (0..FIRST).map(median).map(|us| format!("{us:.0}")).collect();
    println!("{:<22} {:>9} us", format!("{algorithm} first uses"), uses.join(", "));
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
    row(
        &format!("RSA {bits} load"),
        microseconds(20, || drop(VerifyKey::from_pem(&pem, all()))),
        None,
    );
    let oracle =
        microseconds(10, || drop(public.verify_token::<NoCustomClaims>(&token, None).unwrap()));
    row(&format!("RS256 {bits}"), ours(&key, Algorithm::RS256, &token, 200), Some(oracle));
    let pair = PS256KeyPair::from_pem(&pair.to_pem().unwrap()).unwrap();
    let token = pair.sign(claims()).unwrap();
    row(&format!("PS256 {bits}"), ours(&key, Algorithm::PS256, &token, 200), None);
}

/// Whether the command line asks for an algorithm.
fn is_wanted(algorithm: Algorithm) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| algorithm.name().contains(&word))
}

fn main() {
    for (algorithm, measure) in ROWS.into_iter().filter(|(algorithm, _)| is_wanted(*algorithm)) {
        measure(algorithm);
    }
}

/// What measures each; one row stands for its siblings.
const ROWS: [(Algorithm, fn(Algorithm)); 10] = [
    (Algorithm::RS256, |_| [2048, 3072, 4096].into_iter().for_each(rsa)),
    (Algorithm::ES256, |algorithm| {
        let pair = ES256KeyPair::generate();
        let (key, token) = (pair.public_key(), pair.sign(claims()).unwrap());
        let oracle =
            microseconds(50, || drop(key.verify_token::<NoCustomClaims>(&token, None).unwrap()));
        public_key(algorithm, &key.to_jwk(), &token, 50, Some(oracle));
    }),
    (Algorithm::ES384, |algorithm| {
        let pair = ES384KeyPair::generate();
        let (key, token) = (pair.public_key(), pair.sign(claims()).unwrap());
        let oracle =
            microseconds(20, || drop(key.verify_token::<NoCustomClaims>(&token, None).unwrap()));
        public_key(algorithm, &key.to_jwk(), &token, 20, Some(oracle));
    }),
    // jwt-simple has no ES512: RFC 7515, appendix A.4.
    (Algorithm::ES512, |algorithm| public_key(algorithm, ES512_KEY, ES512_TOKEN, 10, None)),
    (Algorithm::ES256K, |algorithm| {
        let pair = ES256kKeyPair::generate();
        let (key, token) = (pair.public_key(), pair.sign(claims()).unwrap());
        let oracle =
            microseconds(50, || drop(key.verify_token::<NoCustomClaims>(&token, None).unwrap()));
        public_key(algorithm, &key.to_jwk(), &token, 50, Some(oracle));
    }),
    (Algorithm::EdDSA, |algorithm| {
        let pair = Ed25519KeyPair::generate();
        let (key, token) = (pair.public_key(), pair.sign(claims()).unwrap());
        let oracle =
            microseconds(100, || drop(key.verify_token::<NoCustomClaims>(&token, None).unwrap()));
        public_key(algorithm, &key.to_jwk(), &token, 100, Some(oracle));
    }),
    // ML-DSA is jwt-simple's own arithmetic: there is nothing to compare.
    (Algorithm::MlDsa44, |algorithm| {
        let pair = MLDSA44KeyPair::generate();
        public_key(algorithm, &pair.public_key().to_jwk(), &pair.sign(claims()).unwrap(), 20, None);
    }),
    (Algorithm::MlDsa65, |algorithm| {
        let pair = MLDSA65KeyPair::generate();
        public_key(algorithm, &pair.public_key().to_jwk(), &pair.sign(claims()).unwrap(), 20, None);
    }),
    (Algorithm::MlDsa87, |algorithm| {
        let pair = MLDSA87KeyPair::generate();
        public_key(algorithm, &pair.public_key().to_jwk(), &pair.sign(claims()).unwrap(), 20, None);
    }),
    (Algorithm::HS256, |algorithm| {
        let secret = [7; 32];
        let pair = HS256Key::from_bytes(&secret);
        let key =
            VerifyKey::from_secret(&secret, AlgorithmSet::from_slice(&[algorithm]), false).unwrap();
        let token = pair.authenticate(claims()).unwrap();
        let oracle =
            microseconds(1000, || drop(pair.verify_token::<NoCustomClaims>(&token, None).unwrap()));
        row("HS256", ours(&key, algorithm, &token, 1000), Some(oracle));
    }),
];

fn public_key(algorithm: Algorithm, jwk: &str, token: &str, repeats: usize, oracle: Option<f64>) {
    let key = VerifyKey::from_jwk(jwk, all()).unwrap();
    row(
        &format!("{algorithm} load"),
        microseconds(20, || drop(VerifyKey::from_jwk(jwk, all()))),
        None,
    );
    row(algorithm.name(), ours(&key, algorithm, token, repeats), oracle);
    if matches!(algorithm, Algorithm::ES256 | Algorithm::ES384) {
        first_uses(algorithm, jwk, token);
    }
}

const ES512_KEY: &str = r#"{"kty":"EC","crv":"P-521",
    "x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
const ES512_TOKEN: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
