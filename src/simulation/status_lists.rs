//! Status lists: no list stands for another, and no page for one of another version.

use std::sync::Mutex;

use serde_json::json;

use super::facts::Gateway;
use super::host::{Dialect, Faults};
use super::schedule::{Worker, World};
use super::{holds, is_caught};
use crate::exchange::{Effect, Exchange, Finish, Input};
use crate::facts::Fact;
use crate::facts::call::CallAnswer;
use crate::request::HeaderBlock;
use crate::shared::document::{META_BYTES, PART_BYTES};
use crate::shared::twin::Twin;
use crate::shared::{Documents, TableId};
use crate::world::{ENVOY, SECRET, claims, document, hmac, hmac_with, request, with_secret};

/// A list of one bit each whose sixth place is taken or not.
fn list(uri: &str, is_taken: bool, iat: u64) -> String {
    // Zlib streams of a byte: 0x20, and 0.
    let lst = if is_taken { "eNpTAAAAIQAh" } else { "eNpjAAAAAQAB" };
    let claims = json!({ "sub": uri, "iat": iat, "status_list": { "bits": 1, "lst": lst } });
    hmac_with(&json!({ "alg": "HS256", "typ": "statuslist+jwt" }), SECRET, &claims)
}

/// Workers ask with a token that the first list has taken back and with one that the second has
/// not. Whoever serves the lists confuses them at times.
fn never_confused(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let mut issuer = with_secret();
    issuer["status_list"] =
        json!({ "uri_prefix": "https://idp.example/status/", "cluster": "idp", "ttl_s_max": 60 });
    let document = document(issuer, json!({}));
    let uri = |n: u64| format!("https://idp.example/status/{n}");
    let token = |n: u64| {
        let mut claims = claims(&n.to_string());
        claims["status"] = json!({ "status_list": { "idx": 5, "uri": uri(n) } });
        format!("Bearer {}", hmac(SECRET, &claims))
    };
    let bearers = [token(0), token(1)];
    let world = World::new(dialect, seed, 3, twin).drift_ms(3);
    let wrong: Mutex<Option<String>> = Mutex::default();
    let (document, bearers, wrong_ref) = (&document, &bearers, &wrong);
    let work = |worker: &Worker<'_>| {
        let gateway = Gateway::new(worker, document);
        for _ in 0..4 {
            let n = worker.below(2);
            let headers = [("authorization", bearers[n as usize].as_str())];
            let mut exchange = Exchange::new(request("GET", "/orders", &headers), None, ENVOY);
            let mut effect = gateway.step(&mut exchange, Input::Begin);
            loop {
                effect = match effect {
                    Effect::Finish(Finish::Admit(_)) if n == 0 => {
                        *wrong_ref.lock().unwrap() = Some("a token that was taken back".into());
                        return;
                    }
                    Effect::Finish(Finish::Answer(answer)) if n == 1 && answer.status == 401 => {
                        *wrong_ref.lock().unwrap() = Some("a token of another list".into());
                        return;
                    }
                    Effect::Finish(_) | Effect::ReadBody(_) => break,
                    Effect::SleepUntil(..) => {
                        worker.sleep(20);
                        gateway.step(&mut exchange, Input::Woken)
                    }
                    Effect::Fetch(fact, _) => {
                        let Fact::StatusList(_, asked) = &fact else { return };
                        worker.sleep(worker.below(30));
                        let which = (asked == &uri(1)) != (worker.below(2) == 0);
                        let of = u64::from(which);
                        let body = list(&uri(of), of == 0, worker.begin().now.s());
                        worker.done();
                        let headers = HeaderBlock::default();
                        let answer =
                            CallAnswer { status: 200, headers: &headers, body: body.as_bytes() };
                        gateway.step(&mut exchange, Input::Fetched(answer))
                    }
                };
            }
        }
    };
    world.run(vec![work, work, work]);
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
fn no_list_stands_for_another() {
    holds(60, |seed, dialect| never_confused(seed, dialect, None));
    is_caught(Twin::ListUnnamed, 100, never_confused);
}

/// A writer replaces a list of four pages again and again; readers open it and read its pages one by
/// one, whatever happens in between.
fn never_mixed(
    seed: u64,
    dialect: Dialect,
    faults: Faults,
    twin: Option<Twin>,
) -> Result<(), String> {
    let lists = Documents::settled(TableId::StatusLists, 24);
    let world = World::new(dialect, seed, 3, twin).faults(faults).drift_ms(5);
    let name = world.key.digest("status list", &[]);
    let wrong: Mutex<Option<String>> = Mutex::default();
    let wrong_ref = &wrong;
    let work = |writes: bool| {
        move |worker: &Worker<'_>| {
            for _ in 0..8 {
                let at = worker.begin();
                if writes {
                    let version = worker.below(256) as u8;
                    let body = vec![version; 3 * PART_BYTES + 100];
                    let meta = [version; META_BYTES];
                    let _ = lists.write(&at, &name, &meta, &body, at.now.plus_s(60));
                } else if let Some(opened) = lists.open(&at, &name) {
                    let version = opened.head.meta[0];
                    for n in [3, 0, 2, 1] {
                        let page = lists.part(&at, &name, &opened, n);
                        if page.is_some_and(|page| page.iter().any(|byte| *byte != version)) {
                            *wrong_ref.lock().unwrap() = Some("a page of another version".into());
                        }
                    }
                }
                worker.done();
            }
        }
    };
    world.run(vec![work(true), work(false), work(false)]);
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
fn no_page_is_one_of_another_version() {
    holds(60, |seed, dialect| never_mixed(seed, dialect, Faults::default(), None));
    let faults = Faults { torn: 40, other_key: 40, evicted: 20, crash: 3, full: 50 };
    holds(60, |seed, dialect| never_mixed(seed, dialect, faults, None));
    is_caught(Twin::ChunksWithoutVersion, 200, |seed, dialect, twin| {
        never_mixed(seed, dialect, Faults::default(), twin)
    });
}

#[test]
fn versions_of_a_list_take_turns_in_their_slots() {
    let lists = Documents::settled(TableId::StatusLists, 4_096);
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let name = world.key.digest("status list", &[]);
    world.alone(|worker| {
        let at = worker.begin();
        for version in 0..50u8 {
            let body = vec![version; 125_000];
            lists.write(&at, &name, &[version; META_BYTES], &body, at.now.plus_s(60)).unwrap();
            let opened = lists.open(&at, &name).unwrap();
            for n in 0..66 {
                let page = lists.part(&at, &name, &opened, n).unwrap();
                assert!(page.iter().all(|byte| *byte == version), "{version}, {n}");
            }
            assert_eq!(lists.part(&at, &name, &opened, 66), None);
        }
    });
    // Head and two versions, a few slots more where two of them met.
    let slots = world.memory(|memory| memory.values().count());
    assert!((133..150).contains(&slots), "{slots} slots");
}
