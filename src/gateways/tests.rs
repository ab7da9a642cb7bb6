//! Gateways, each with memory and random bytes of its own, and what they tell.

use crate::charging::{self, Payer};
use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::gateways;
use crate::gateways::{Push, tick_ms};
use crate::metrics::{Gauge, Metric};
use crate::reply::Reason;
use crate::request::{Field, HeaderBlock, Request};
use crate::simulation::host::Dialect;
use crate::time::Time;
use crate::world::{START, World, runtime_under};

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";
const RATE: usize = 0;
const QUOTA: usize = 1;
const SHADOW: usize = 2;
const OWN: usize = 3;

/// One gateway: a host of its own with one worker.
struct Gateway(World);

fn document(secret: &str) -> String {
    let sync = r#""sync": { "uri": "https://webdis.example/", "cluster": "webdis", "headers": { "authorization": "Basic eDp5" } }"#;
    let rate = r#""key": ["header:x-who", "address"], "limit": 10, "per_s": 3600, "burst": 8"#;
    format!(
        r#"{{ "rate_limits": [
            {{ "name": "the-rate", {rate}, {sync} }},
            {{ "name": "the-quota", "key": ["header:x-who"], "quota": 5, "window": "day", {sync} }},
            {{ "name": "the-shadow", {rate}, "shadow": true, {sync} }},
            {{ "name": "its-own", {rate} }} ],
          "shared": {{ "secret": "{secret}" }} }}"#
    )
}

impl Gateway {
    fn new(random: u8, secret: &str) -> Gateway {
        let key = HostKey::new(&[random; 32], secret.as_bytes());
        let worker = runtime_under(&document(secret), key);
        Gateway(World::of_workers(Dialect::Envoy, vec![worker]))
    }

    fn with<T>(&self, now: Time, work: impl FnOnce(&Facts<'_>) -> T) -> T {
        self.0.with(0, now, work)
    }

    /// Whether one more request of this client passes.
    fn ask(&self, now: Time, limit: usize, who: &str) -> bool {
        let headers = HeaderBlock::from_pairs([
            (":method", b"GET".as_slice()),
            (":path", b"/"),
            ("x-who", who.as_bytes()),
        ]);
        let request = Request {
            method: b"GET",
            target: b"/",
            host: b"api",
            headers: &headers,
            authorization: Field::None,
            has_reserved: false,
            surroundings: &self.0.shared,
        };
        let payer =
            Payer { request: &request, verified: None, claimed_client: None, captures: &[] };
        match self.with(now, |facts| charging::charge(facts, &[limit], &payer)) {
            Ok(_) => true,
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::Limited);
                false
            }
        }
    }

    fn due(&self, now: Time) -> Vec<(Push, Call)> {
        self.with(now, gateways::pushes_due)
    }

    fn learn(&self, now: Time, push: &Push, status: u16, body: &str) {
        let headers = HeaderBlock::default();
        self.with(now, |facts| {
            gateways::learn_push(
                facts,
                push,
                &CallAnswer { status, headers: &headers, body: body.as_bytes() },
            )
        });
    }

    fn count(&self, metric: Metric) -> u32 {
        self.0.count(metric)
    }
}

/// The segments of the one call that is due.
fn told(gateway: &Gateway, now: Time) -> (Push, Vec<String>) {
    let mut due = gateway.due(now);
    assert_eq!(due.len(), 1);
    let (push, call) = due.remove(0);
    let body = String::from_utf8(call.body).unwrap();
    (push, body.split('/').map(str::to_owned).collect())
}

#[test]
fn gateways_with_one_secret_find_each_other_and_others_do_not() {
    let gateways = [
        Gateway::new(1, SECRET),
        Gateway::new(2, SECRET),
        Gateway::new(1, &format!("another-{SECRET}")),
    ];
    let [a, b, c] = gateways.map(|gateway| {
        assert!(gateway.ask(START, RATE, "somebody"));
        told(&gateway, START.plus_ms(100)).1
    });
    // EVAL, script, how many keys, the set of gateways, the counter, this gateway, ...
    assert_eq!(a[2], "2");
    assert_eq!((&a[3], &a[4]), (&b[3], &b[4]));
    assert_ne!(a[5], b[5]);
    assert!(a[3] != c[3] && a[4] != c[4]);
    assert_eq!(a[6..], ["400000", "1", "360000000", "100000", &a[10]]);
}

#[test]
fn a_call_tells_all_that_was_charged_and_nothing_of_who() {
    let gateway = Gateway::new(1, SECRET);
    for who in ["somebody", "somebody", "nobody"] {
        assert!(gateway.ask(START, RATE, who) && gateway.ask(START, OWN, who));
    }
    assert!(gateway.ask(START, QUOTA, "somebody"));
    let (_, call) = gateway.due(START.plus_ms(100)).remove(0);
    let header = |name: &str| {
        call.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (header(":method"), header(":path"), header("authorization")),
        (Some("POST"), Some("/"), Some("Basic eDp5"))
    );
    assert_eq!(header("content-length"), Some(call.body.len().to_string().as_str()));
    assert_eq!((call.cluster.as_deref(), call.retries), (Some("webdis"), 0));
    let body = String::from_utf8(call.body).unwrap();
    for word in ["somebody", "nobody", "192.0.2.77", "rate", "quota", "x-who", SECRET] {
        assert!(!body.contains(word), "{word}");
    }
    // Three counters: a limit without sync tells nothing.
    assert_eq!(body.split('/').nth(2), Some("4"));
}

#[test]
fn what_all_have_charged_holds_here() {
    let gateway = Gateway::new(1, SECRET);
    assert!(gateway.ask(START, RATE, "somebody"));
    let (push, _) = told(&gateway, START.plus_ms(100));
    assert!(gateway.ask(START.plus_ms(110), RATE, "somebody"));
    // Two gateways: four of eight at one instant are for this one; the others have had one.
    gateway.learn(START.plus_ms(120), &push, 200, r#"{"EVAL":[2,720000000]}"#);
    let more = (0..9).filter(|_| gateway.ask(START.plus_ms(130), RATE, "somebody")).count();
    assert_eq!(more, 1, "one told, one not told, one of another gateway");
    // Limits that are its own, and other counters, have the share of nobody.
    assert_eq!((0..9).filter(|_| gateway.ask(START, OWN, "somebody")).count(), 8);
    assert_eq!((0..9).filter(|_| gateway.ask(START.plus_ms(130), RATE, "else")).count(), 4);
    assert_eq!(gateway.count(Metric::SyncDone), 1);
    let levels = gateway.with(START.plus_ms(130), |facts| facts.levels());
    assert!(levels.contains(&(Gauge::Gateways, 2)), "{levels:?}");
}

#[test]
fn a_quota_counts_what_others_counted() {
    let gateway = Gateway::new(1, SECRET);
    assert!(gateway.ask(START, QUOTA, "somebody"));
    let (push, segments) = told(&gateway, START.plus_ms(100));
    assert!(segments[4].ends_with(&format!(":{}", START.s() + 57_600)), "the end of the day");
    assert_eq!(segments[8..], ["1", "q", "61199"]);
    gateway.learn(START.plus_ms(120), &push, 200, r#"{"EVAL":[3,4]}"#);
    assert_eq!((0..9).filter(|_| gateway.ask(START.plus_ms(130), QUOTA, "somebody")).count(), 1);
    // The answer to a window that is over is for nobody.
    let tomorrow = START.plus_s(86_400);
    gateway.learn(tomorrow, &push, 200, r#"{"EVAL":[3,5]}"#);
    assert_eq!((0..9).filter(|_| gateway.ask(tomorrow, QUOTA, "somebody")).count(), 5);
}

#[test]
fn a_limit_in_shadow_meets_too() {
    let gateway = Gateway::new(1, SECRET);
    assert!((0..20).all(|_| gateway.ask(START, SHADOW, "somebody")));
    let (_, segments) = told(&gateway, START.plus_ms(100));
    // What went over it isn't charged.
    assert_eq!(segments[8], (8u64 * 360_000_000).to_string());
}

#[test]
fn what_could_not_be_told_is_told_with_the_next_call() {
    let gateway = Gateway::new(1, SECRET);
    let answers = [
        (503, ""),
        (0, ""),
        (200, r#"{"EVAL":[false,"ERR no"]}"#),
        (200, r#"{"EVAL":[1]}"#),
        (403, r#"{"EVAL":[2,1]}"#),
    ];
    let mut now = START;
    for (n, (status, body)) in answers.into_iter().enumerate() {
        assert!(gateway.ask(now, RATE, "somebody"));
        now = now.plus_ms(1_000);
        let (push, segments) = told(&gateway, now);
        // All of it, but for what has drained since.
        let (much, whole) = (segments[8].parse::<u64>().unwrap(), (n as u64 + 1) * 360_000_000);
        assert!((whole - 5_000_000..=whole).contains(&much), "{much}");
        gateway.learn(now, &push, status, body);
        assert_eq!(gateway.count(Metric::SyncFailed), n as u32 + 1);
        assert!(gateway.due(now.plus_ms(50)).is_empty(), "at once");
    }
    // Nothing that time has made good: two hours later there is nothing left of five charges.
    let later = now.plus_s(7_200);
    let (_, segments) = told(&gateway, later);
    assert_eq!((segments[8].as_str(), segments[9].as_str()), ("400000", "400000"));
}

#[test]
fn a_call_that_never_comes_back_is_given_up() {
    let gateway = Gateway::new(1, SECRET);
    let (push, _) = told(&gateway, START);
    assert!(
        !push.is_given_up(START.plus_ms(10_999)) && !push.is_given_up(Time::from_s(START.s() - 1))
    );
    assert!(
        push.is_given_up(START.plus_ms(11_000))
            && push.is_given_up(Time::from_s(START.s() - 3_600))
    );
}

#[test]
fn more_counters_than_a_round_takes_are_counted_as_behind() {
    let gateway = Gateway::new(1, SECRET);
    assert!((0..1_100).all(|n| gateway.ask(START, RATE, &n.to_string())));
    let due = gateway.due(START.plus_ms(100));
    assert_eq!((due.len(), gateway.count(Metric::SyncBehind)), (4, 1));
    let zeros = format!(r#"{{"EVAL":[1{}]}}"#, ",0".repeat(256));
    due.iter().for_each(|(push, _)| gateway.learn(START.plus_ms(110), push, 200, &zeros));
    let (_, segments) = told(&gateway, START.plus_ms(200));
    assert_eq!((segments[2].as_str(), gateway.count(Metric::SyncBehind)), ("77", 1));
}

#[test]
fn ticks_are_as_often_as_the_hastiest_limit_asks() {
    let config = |document: &str| {
        Config::load(document.as_bytes(), &|_| None, HostKind::Envoy)
            .unwrap_or_else(|errors| panic!("{errors}"))
    };
    assert_eq!(tick_ms(&config(&document(SECRET))), Some(100));
    assert_eq!(
        tick_ms(&config(&document(SECRET).replace("\"sync\": {", "\"sync\": { \"every_ms\": 50,"))),
        Some(25)
    );
    assert_eq!(
        tick_ms(&config(r#"{ "shared": { "secret": "a-secret-of-thirty-two-bytes" } }"#)),
        None
    );
}
