//! A million clients whose tokens end together, through the filter's own code under a virtual
//! clock.
//!
//! Each client asks for a token when the one that it has ends. The gateway reads the request, looks
//! at what it has stored, judges and shortens the answer; the authorization server is a counter.
//!
//! `HERD_CLIENTS=1000000 cargo test --release --test token_herd -- --nocapture` prints the tables.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use herdgate::testing::digest::{Digest, HostKey};
use herdgate::testing::time::Time;
use herdgate::testing::token_endpoint::admission::{
    Admission, Decision, Limits, Outcome, Party, Permit,
};
use herdgate::testing::token_endpoint::answer::{self, Answer};
use herdgate::testing::token_endpoint::jitter::{self, Draw, Fit, Shortened};
use herdgate::testing::token_endpoint::request::{self, Head};
use herdgate::testing::token_endpoint::reuse::{Granted, Kind, Life, Serve, Stored};
use herdgate::testing::token_endpoint::{Reuse, TokenEndpoint};

const T0: Time = Time::from_s(1_700_000_000);
const LIFETIME_S: u64 = 3600;
/// All log in within this time.
const LOGIN_S: u64 = 10;
const ANSWER: &[u8] =
    br#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600}"#;
const JSON: [(&[u8], &[u8]); 1] = [(b"content-type", b"application/json")];

fn clients() -> u64 {
    std::env::var("HERD_CLIENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// Expiries that are looked at; fewer in a test run.
fn periods() -> usize {
    if clients() < 100_000 { 3 } else { 6 }
}

fn endpoint(jitter: f64) -> TokenEndpoint {
    TokenEndpoint {
        digest: [0; 32],
        path: "/oauth2/token".into(),
        path_template: None,
        host: None,
        grant_types: vec!["client_credentials".into()],
        reuse: Reuse { fraction: 0.5, min_remaining_s: 30, max_s: 3300 },
        jitter,
        jitter_grants: None,
        negative_ttl_s: 5,
        wait_ms_max: 5000,
        lease_ms: 10_000,
        upstream_calls_max: 50,
        waiters_max: 5000,
        body_bytes_max: 8192,
        answer_bytes_max: 16_384,
        revocation_path: None,
        revocation_template: None,
        except_clients: vec![],
        keep_with_cookies: true,
        ignore_headers: vec![],
        default_lifetime_s: None,
        refresh_ahead: true,
        coalesce_refresh: false,
        limits: vec![],
    }
}

/// What the gateway knows of one client: the key and the subject that its request came to, and the
/// life of the stored answer.
struct Client {
    cache_key: Digest,
    subject: Digest,
    life: Option<Life>,
}

impl Client {
    fn new(key: &HostKey, endpoint: &TokenEndpoint, n: u64) -> Client {
        let body = format!(
            "grant_type=client_credentials&client_id=client-{n}&client_secret=secret-{n}&scope=b+a"
        );
        let head = Head { method: b"POST", has_query: false, client_certificate: false };
        let headers: [(&[u8], &[u8]); 1] =
            [(b"content-type", b"application/x-www-form-urlencoded")];
        let request = request::parse(head, headers, body.as_bytes(), endpoint);
        Client {
            cache_key: request.cache_key(key, &[0; 32], b"idp.example", b"/oauth2/token").unwrap(),
            subject: request.jitter_subject(key, body.as_bytes()),
            life: None,
        }
    }

    /// A token call: the lifetime that the client is told, and whether the server was called.
    fn call(
        &mut self,
        key: &HostKey,
        endpoint: &TokenEndpoint,
        first: Life,
        now: Time,
    ) -> (u64, bool) {
        match self.life.map_or(Serve::Stale, |life| life.serve(now, endpoint)) {
            Serve::Hit { expires_in_s } => return (expires_in_s, false),
            // The client that renews ahead is told what its own call brings.
            Serve::RefreshAhead { .. } | Serve::Stale => {}
            Serve::Refusal => panic!(),
        }
        let draw = Draw::of(key, &self.subject, now);
        self.life = Some(Life { asked_at: now, draw, ..first });
        match jitter::shorten(ANSWER, draw, endpoint.jitter, now, Fit::Shorter) {
            Shortened::Rewritten { expires_in_s, .. } => (expires_in_s, true),
            Shortened::Same => (LIFETIME_S, true),
            Shortened::Odd => panic!(),
        }
    }
}

/// The life of the server's answer, which is the same for all but for its moment and draw.
fn judged(key: &HostKey, endpoint: &TokenEndpoint) -> Life {
    let Answer::Storable(storable) = answer::analyse(200, JSON, ANSWER, true, endpoint) else {
        panic!()
    };
    let granted = Granted { content_type: JSON[0].1, body: ANSWER, asked_at: T0, draw: Draw::NONE };
    let stored = Stored::token(key, &storable, &granted, endpoint).unwrap();
    let Kind::Token { life, .. } = stored.kind else { panic!() };
    life
}

/// Peak over mean of the server's calls per second, in each period.
fn expiries(jitter: f64) -> Vec<f64> {
    let (key, endpoint) = (HostKey::new(&[3; 32], b""), endpoint(jitter));
    let first = judged(&key, &endpoint);
    let mut per_second = vec![0u32; LIFETIME_S as usize * (periods() + 1) + LOGIN_S as usize];
    for n in 0..clients() {
        let mut client = Client::new(&key, &endpoint, n);
        let mut now = T0.plus_ms(client.cache_key.0[0] as u64 * LOGIN_S * 1000 / 256);
        while let Some(count) = per_second.get_mut((now.s() - T0.s()) as usize) {
            let (expires_in_s, called) = client.call(&key, &endpoint, first, now);
            *count += u32::from(called);
            now = now.plus_s(expires_in_s);
        }
    }
    // The first period is the login itself, which nobody can spread.
    let mean = clients() as f64 / LIFETIME_S as f64;
    per_second[(LIFETIME_S * 8 / 10) as usize..]
        .chunks(LIFETIME_S as usize)
        .take(periods())
        .map(|seconds| f64::from(*seconds.iter().max().unwrap()) / mean)
        .collect()
}

#[test]
fn clients_that_started_together_do_not_end_together() {
    let (without, with) = (expiries(0.0), expiries(0.1));
    println!("\n{} clients log in within {LOGIN_S} s; tokens live {LIFETIME_S} s", clients());
    println!("peak over mean of calls per second at the authorization server");
    println!("{:>8} {:>14} {:>12}", "expiry", "without jitter", "jitter 0.1");
    for (n, (a, b)) in without.iter().zip(&with).enumerate() {
        println!("{:>8} {a:>14.1} {b:>12.1}", n + 1);
    }
    // Without, a tenth of the clients end in each of ten seconds for ever: 360 times the mean.
    assert!(without.iter().all(|ratio| *ratio > 300.0), "{without:?}");
    // With, the first expiry is spread over a tenth of the lifetime, and each one further.
    assert!(with[0] < 16.0 && with.iter().skip(3).all(|ratio| *ratio < 12.0), "{with:?}");
}

enum Event {
    /// The call whose permit has this place in the list ends.
    Done(usize),
    /// This client asks.
    Asks(u64),
}

/// What happens after an outage of a day.
struct Recovery {
    under_way_max: usize,
    first_second: usize,
    calls_per_s_max: u32,
    refused: u64,
    served_within_s: u64,
}

/// What the server needs for one call.
const ANSWER_MS: u64 = 50;

/// Everyone asks in the first second after it.
fn recovery() -> Recovery {
    let endpoint = endpoint(0.1);
    let limits = Limits::of(&endpoint);
    let key = HostKey::new(&[3; 32], b"");
    let mut admission = outage(&key, &limits);
    // By the millisecond in which they happen.
    let mut events: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for client in 0..clients() {
        events.entry(T0.ms() + client % 1000).or_default().push(Event::Asks(client));
    }
    let mut permits: Vec<Option<Permit>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let (mut under_way, mut served) = (0usize, 0u64);
    let mut per_second: Vec<u32> = Vec::new();
    let mut seen = Recovery {
        under_way_max: 0,
        first_second: 0,
        calls_per_s_max: 0,
        refused: 0,
        served_within_s: 0,
    };
    while let Some((ms, at_once)) = events.pop_first() {
        let now = Time::from_ms(ms);
        for event in at_once {
            match event {
                Event::Asks(client) => {
                    let (next, decision) = admission.admit(now, &limits, party(&key, client));
                    admission = next;
                    match decision {
                        Decision::Admit(permit) => {
                            under_way += 1;
                            let second = ((ms - T0.ms()) / 1000) as usize;
                            per_second.resize(per_second.len().max(second + 1), 0);
                            per_second[second] += 1;
                            if second == 0 {
                                seen.first_second += 1;
                            }
                            seen.under_way_max = seen.under_way_max.max(under_way);
                            let place = free.pop().unwrap_or_else(|| {
                                permits.push(None);
                                permits.len() - 1
                            });
                            permits[place] = Some(permit);
                            events.entry(ms + ANSWER_MS).or_default().push(Event::Done(place));
                        }
                        Decision::Refuse { retry_after_s, .. } => {
                            seen.refused += 1;
                            events
                                .entry(ms + retry_after_s * 1000)
                                .or_default()
                                .push(Event::Asks(client));
                        }
                    }
                }
                Event::Done(place) => {
                    under_way -= 1;
                    served += 1;
                    let permit = permits[place].take().unwrap();
                    free.push(place);
                    admission = admission.done(permit, Outcome::Answered, now, &limits);
                    seen.served_within_s = (ms - T0.ms()) / 1000;
                }
            }
        }
    }
    assert_eq!(served, clients());
    seen.calls_per_s_max = per_second.iter().copied().max().unwrap();
    seen
}

/// A client at an address of its own.
fn party(key: &HostKey, client: u64) -> Party {
    let hash = key.short(&client.to_le_bytes());
    Party::new(hash, hash >> 32)
}

/// The state after the last failed call of the outage.
fn outage(key: &HostKey, limits: &Limits) -> Admission {
    let mut admission = Admission::default();
    for n in 0..10 {
        let now = Time::from_ms(T0.ms() - 20_000 + n * 2_000);
        let (next, Decision::Admit(permit)) = admission.admit(now, limits, party(key, n)) else {
            panic!()
        };
        admission = next.done(permit, Outcome::Overloaded, now, limits);
    }
    assert!(admission.is_ramping());
    admission
}

#[test]
fn a_server_that_comes_back_is_led_back() {
    let seen = recovery();
    let ideal_s = clients() * ANSWER_MS / 50 / 1000;
    println!(
        "\n{} clients come within the first second after an outage; 50 calls at once, each {ANSWER_MS} ms",
        clients()
    );
    println!("{:<46} {:>12} {:>12}", "", "without", "admission");
    println!("{:<46} {:>12} {:>12}", "calls in the first second", clients(), seen.first_second);
    println!("{:<46} {:>12} {:>12}", "calls in the worst second", clients(), seen.calls_per_s_max);
    println!(
        "{:<46} {:>12} {:>12}",
        "calls under way at most",
        clients() * ANSWER_MS / 1000,
        seen.under_way_max
    );
    println!(
        "{:<46} {:>12} {:>12}",
        "answers 503 with Retry-After, per client",
        "-",
        format!("{:.1}", seen.refused as f64 / clients() as f64)
    );
    println!(
        "{:<46} {:>12} {:>12}",
        format!("seconds until all are served (at best {ideal_s})"),
        "-",
        seen.served_within_s
    );
    assert!(seen.under_way_max <= 50);
    assert!(seen.first_second <= 60, "{}", seen.first_second);
    assert!(seen.served_within_s <= ideal_s * 3 / 2 + 70, "{}", seen.served_within_s);
}
