//! The filter itself, where the host's shared memory lies to it: another key's record comes back
//! for a slot, or half of one. No table takes such a record for its own.

use crate::support::{Api, options};
use kong_host::http::{self, Request};
use kong_host::{Host, Options, herdgate_wasm};

/// Tokens of device-1 and device-2 by turns, good until 2100, signed with the secrets below.
const TOKENS: &str = include_str!("tokens.txt");

struct Rig {
    host: Host,
    api: Api,
}

fn rig() -> Rig {
    let api = Api::plain();
    let credential = |n: u32| {
        let secret = format!("the-secret-of-device-{n}-is-32-bytes-long");
        serde_json::json!({ "key": format!("device-{n}"), "secret": secret, "consumer": format!("consumer-{n}") })
    };
    let config = serde_json::json!({
        "issuers": [{ "name": "devices", "issuer": "*", "algorithms": ["HS256"], "credentials": { "inline": [credential(1), credential(2)] } }],
        "rules": [{ "match": { "path_prefix": "/" }, "issuers": ["devices"], "limits": ["per-issuer"] }],
        // A limit that can't be kept would deny everything, and hide what other tables do.
        "rate_limits": [{ "name": "per-issuer", "key": ["issuer"], "limit": 1000, "per_s": 3600, "failure_mode": "allow" }],
        "shared": { "secret": "a-shared-secret-of-32-bytes-or-more" },
    });
    let document = serde_json::json!({
        "services": [{
            "name": "api", "url": format!("http://{}", api.address),
            "routes": [{ "name": "all", "paths": ["/"], "strip_path": false }],
            "filter_chains": [{ "filters": [{ "name": "herdgate", "config": config }] }],
        }],
    });
    let modules = vec![("herdgate".into(), herdgate_wasm())];
    let host =
        Host::start(Options { modules, workers: 2, ..options() }, &document.to_string()).unwrap();
    Rig { host, api }
}

impl Rig {
    fn send(&self, worker: usize, token: &str) -> u16 {
        let bearer = Request::new("GET", "/x").header("authorization", format!("Bearer {token}"));
        self.host.request(worker, bearer).status()
    }

    /// A good token is admitted under its own identity, or not at all where a table that must be
    /// sure (limits, revocations) finds nothing of its own; a forged one never. Tells how many good
    /// ones passed.
    fn judges_rightly(&self, number: usize) -> usize {
        let token = TOKENS.lines().nth(number).unwrap();
        let forged = forged(token);
        let mut passed = 0;
        for worker in [0, 1] {
            match self.send(worker, token) {
                200 => {
                    let consumer = format!("consumer-{}", number % 2 + 1);
                    assert_eq!(
                        http::get(&self.api.last().headers, "x-consumer-username"),
                        Some(consumer.as_bytes())
                    );
                    passed += 1;
                }
                status => assert!(
                    [429, 503].contains(&status),
                    "token {number} on worker {worker}: {status}"
                ),
            }
            let hits = self.api.hits();
            assert!(
                [401, 503].contains(&self.send(worker, &forged)),
                "forged token {number} on worker {worker}"
            );
            assert_eq!(self.api.hits(), hits);
        }
        // Refused for its signature, not for its form.
        let metrics = self.host.metrics();
        assert!(
            metrics.iter().any(|(name, _, count)| name.ends_with("bad_signature") && *count > 0),
            "{metrics:?}"
        );
        assert!(
            !metrics.iter().any(|(name, _, count)| name.ends_with("malformed") && *count > 0),
            "{metrics:?}"
        );
        passed
    }
}

/// The same token with another signature: a well-formed one, since a character in the middle of
/// base64url is whole.
fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (before, after) = signature.split_at(signature.len() / 2);
    let other = if after.starts_with('A') { "B" } else { "A" };
    format!("{signed}.{before}{other}{}", &after[1..])
}

#[test]
fn another_keys_record_is_refused_by_every_table() {
    let rig = rig();
    for number in 0..8 {
        assert_eq!(rig.judges_rightly(number), 2);
    }
    let keys: Vec<Vec<u8>> = rig.host.store().keys();
    let slots: Vec<Vec<u8>> = keys.into_iter().filter(|key| key.starts_with(b"hg")).collect();
    let letters: std::collections::BTreeSet<u8> = slots.iter().map(|slot| slot[2]).collect();
    assert!(letters.len() >= 3, "the tables that this configuration uses: {letters:?}");
    // Each slot that holds a record is in turn what every other name finds.
    for (number, victim) in slots.iter().enumerate().take(24) {
        let victim = victim.clone();
        rig.host.store().redirect(move |key| {
            (key.starts_with(b"hg") && key != victim && key[2] != b'k').then(|| victim.clone())
        });
        rig.judges_rightly(number % 24);
        rig.host.store().sound();
    }
    assert_eq!(
        (0..24).map(|number| rig.judges_rightly(number)).sum::<usize>(),
        48,
        "once the memory is sound again"
    );
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn half_a_record_is_refused_by_every_table() {
    let rig = rig();
    for number in 0..8 {
        assert_eq!(rig.judges_rightly(number), 2);
    }
    rig.host.store().spoil(|key, value| {
        if key.starts_with(b"hg") && key[2] != b'k' {
            let half = value.len() / 2;
            value[half..].iter_mut().for_each(|byte| *byte ^= 0x55);
        }
    });
    for number in 8..24 {
        rig.judges_rightly(number);
    }
    assert_eq!(rig.host.deaths(), 0);
}
