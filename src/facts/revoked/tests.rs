//! Two workers of one host, a feed, and revocation calls.

use std::rc::Rc;

use proptest::prelude::*;

use crate::config::{Config, HostKind};
use crate::facts::call::CallAnswer;
use crate::facts::feeds::Known;
use crate::facts::{Fact, Stop, Turn, Verified};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::revocation::list::List;
use crate::simulation::host::{Dialect, Memory};
use crate::time::Time;
use crate::world::{SECRET, START, World, hmac};

impl World {
    fn verified(&self, worker: usize, now: Time, token: &str) -> Rc<Verified> {
        self.with(worker, now, |facts| facts.verify(token.as_bytes(), None)).unwrap()
    }

    /// What a request with the token meets after its other checks.
    fn meets(&self, worker: usize, now: Time, token: &str) -> Result<(), Stop> {
        let verified =
            match self.with(worker, now, |facts| facts.verified_before(token.as_bytes()))? {
                Some(verified) => verified,
                None => self.with(worker, now, |facts| facts.verify(token.as_bytes(), None))?,
            };
        self.with(worker, now, |facts| facts.not_revoked(&verified, token.as_bytes()))
    }

    /// One tick of a worker, in which the endpoint answers so.
    fn tick_feed(
        &self,
        worker: usize,
        now: Time,
        answer: impl Fn(Option<&str>) -> (u16, Vec<(&'static str, String)>, String),
    ) -> usize {
        self.with(worker, now, |facts| {
            let due: Vec<Fact> =
                facts.due().into_iter().filter(|fact| facts.join(fact) == Turn::Lead).collect();
            for fact in &due {
                let call = fact.call(&facts.runtime.config).unwrap();
                let asked = call
                    .headers
                    .iter()
                    .find(|(name, _)| name == "if-none-match")
                    .map(|(_, value)| value.as_str());
                let (status, headers, body) = answer(asked);
                let headers = HeaderBlock::from_pairs(
                    headers.iter().map(|(name, value)| (*name, value.as_bytes())),
                );
                facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() });
            }
            due.len()
        })
    }
}

fn document(feed: &str, endpoint: &str) -> String {
    format!(
        r#"{{"issuers": [{{"name": "own", "issuer": "https://own.example", "algorithms": ["HS256"], "keys": [{{"secret": "{SECRET}"}}], "leeway_s": 0}}],
            "shared": {{"secret": "shared-secret-of-thirty-two-bytes-or-more"}}{feed}{endpoint}}}"#
    )
}

fn feed(more: &str) -> String {
    document(
        &format!(
            r#", "revocation": {{"feeds": [{{"uri": "https://idp.example/revoked.json", "cluster": "idp", "every_s": 10{more}}}]}}"#
        ),
        "",
    )
}

fn endpoint() -> String {
    document("", r#", "token_endpoints": [{"path": "/token", "revocation_path": "/revoke"}]"#)
}

fn token(claims: &str) -> String {
    hmac(SECRET, &serde_json::from_str(claims).unwrap())
}

fn with_jti(jti: &str) -> String {
    token(&format!(r#"{{"iss":"https://own.example","jti":"{jti}","exp":{}}}"#, START.s() + 3_600))
}

fn list(sequence: u64, jtis: &[&str]) -> String {
    let entries: Vec<_> = jtis
        .iter()
        .map(|jti| serde_json::json!({"iss": "https://own.example", "jti": jti}))
        .collect();
    serde_json::json!({"sequence": sequence, "revoked": entries}).to_string()
}

type Answer = (u16, Vec<(&'static str, String)>, String);

fn serves(body: String) -> impl Fn(Option<&str>) -> Answer {
    move |_| (200, vec![], body.clone())
}

fn is_revoked(result: &Result<(), Stop>) -> bool {
    matches!(result, Err(Stop::Refuse(refusal)) if refusal.reason == Reason::Revoked)
}

/// Both dialects, the same document in both workers.
fn worlds(document: &str) -> impl Iterator<Item = World> {
    Dialect::ALL.into_iter().map(move |dialect| World::on(dialect, &[document, document]))
}

#[test]
fn a_feed_read_by_one_worker_refuses_on_all() {
    for world in worlds(&feed("")) {
        let (bad, good) = (with_jti("a"), with_jti("b"));
        assert_eq!(world.tick_feed(0, START, serves(list(1, &[]))), 1);
        for worker in [0, 1] {
            assert_eq!(world.meets(worker, START, &bad), Ok(()));
        }
        // Not due on any worker before its time, and then on one.
        assert_eq!(world.tick_feed(1, START.plus_s(9), serves(list(2, &["a"]))), 0);
        assert_eq!(world.tick_feed(1, START.plus_s(10), serves(list(2, &["a"]))), 1);
        assert_eq!(world.tick_feed(0, START.plus_s(10), serves(list(2, &["a"]))), 0);
        for worker in [0, 1] {
            assert!(is_revoked(&world.meets(worker, START.plus_s(10), &bad)), "worker {worker}");
            assert!(is_revoked(&world.meets(worker, START.plus_s(10), &bad)), "and again");
            assert_eq!(world.meets(worker, START.plus_s(10), &good), Ok(()));
        }
        // A publisher that takes it back is believed.
        assert_eq!(world.tick_feed(0, START.plus_s(20), serves(list(3, &[]))), 1);
        assert_eq!(world.meets(1, START.plus_s(20), &bad), Ok(()));
        assert_eq!(world.count(Metric::RevocationFeedRead), 3);
    }
}

#[test]
fn a_feed_that_fails_or_lies_changes_nothing() {
    for world in worlds(&feed("")) {
        let (bad, good) = (with_jti("a"), with_jti("b"));
        world.tick_feed(0, START, serves(list(5, &["a"])));
        let answers: Vec<Answer> = vec![
            (0, vec![], String::new()),
            (500, vec![], list(9, &[])),
            (404, vec![], list(9, &[])),
            (200, vec![], String::new()),
            (200, vec![], "{\"sequence\": 6".into()),
            (200, vec![], "<!doctype html>".into()),
            // Older than what is known.
            (200, vec![], list(4, &["b"])),
            (206, vec![], list(9, &[])),
        ];
        let mut now = START;
        for (n, answer) in answers.iter().enumerate() {
            now = now.plus_s(60);
            assert_eq!(world.tick_feed(n % 2, now, |_| answer.clone()), 1);
            for worker in [0, 1] {
                assert!(is_revoked(&world.meets(worker, now, &bad)), "{answer:?}");
                assert_eq!(world.meets(worker, now, &good), Ok(()), "{answer:?}");
            }
        }
        assert_eq!(world.count(Metric::RevocationFeedFailed), answers.len() as u32);
    }
}

#[test]
fn an_unchanged_feed_costs_no_second_look_at_any_token() {
    for world in worlds(&feed("")) {
        let good = with_jti("b");
        let tagged = |asked: Option<&str>| match asked {
            Some("\"v1\"") => (304, vec![], String::new()),
            _ => (200, vec![("etag", "\"v1\"".to_owned())], list(1, &["a"])),
        };
        world.tick_feed(0, START, tagged);
        world.meets(0, START, &good).unwrap();
        let calls = |now| {
            let before = world.shared.calls();
            world.meets(0, now, &good).unwrap();
            world.shared.calls() - before
        };
        assert_eq!(calls(START), 1, "a hit is one host call");
        assert_eq!(
            world.tick_feed(0, START.plus_s(10), |asked| if asked.is_some() {
                tagged(asked)
            } else {
                panic!("no tag")
            }),
            1
        );
        assert_eq!(calls(START.plus_s(10)), 1);
        // Without a tag, the same document again.
        assert_eq!(world.tick_feed(0, START.plus_s(20), |_| tagged(None)), 1);
        assert_eq!(calls(START.plus_s(20)), 1);
        assert_eq!(world.count(Metric::RevocationFeedRead), 3);
    }
}

#[test]
fn not_modified_is_believed_only_of_what_is_known() {
    let world = World::on(Dialect::Kong, &[&feed(""), &feed("")]);
    world.tick_feed(0, START, |asked| {
        assert_eq!(asked, None);
        (304, vec![], String::new())
    });
    assert_eq!(world.count(Metric::RevocationFeedFailed), 1);
    // The host loses everything: the tag isn't sent, so that the list comes back.
    world.tick_feed(0, START.plus_s(60), |_| {
        (200, vec![("etag", "\"v1\"".to_owned())], list(1, &["a"]))
    });
    world.shared.memory.borrow_mut().wipe();
    assert!(
        is_revoked(&world.meets(0, START.plus_s(60), &with_jti("a"))),
        "held in the worker's own memory"
    );
    world.tick_feed(0, START.plus_s(61), |asked| {
        assert_eq!(asked, None);
        (200, vec![("etag", "\"v1\"".to_owned())], list(1, &["a"]))
    });
    assert!(is_revoked(&world.meets(1, START.plus_s(61), &with_jti("a"))));
}

#[test]
fn a_feed_that_was_never_read_is_waited_for_and_then_its_failure_mode_decides() {
    let good = with_jti("b");
    let fails = |_: Option<&str>| (0, vec![], String::new());
    for world in worlds(&feed("")) {
        assert_eq!(world.meets(0, START, &good), Err(Stop::from(Fact::Feed(0, None))));
        world.tick_feed(0, START, fails);
        assert_eq!(world.meets(0, START, &good), Ok(()));
        assert_eq!(
            world.meets(1, START.plus_s(100), &good),
            Ok(()),
            "no request waits a second time"
        );
    }
    for world in worlds(&feed(r#", "failure_mode": "deny""#)) {
        assert_eq!(world.meets(0, START, &good), Err(Stop::from(Fact::Feed(0, None))));
        world.tick_feed(0, START, fails);
        for worker in [0, 1] {
            let Err(Stop::Refuse(refusal)) = world.meets(worker, START, &good) else {
                panic!("admitted")
            };
            assert_eq!(refusal.reason, Reason::RevocationUnavailable);
            assert!(refusal.retry_after_s.is_some());
        }
        assert_eq!(world.meets(0, START.plus_s(100), &good), Err(Stop::from(Fact::Feed(0, None))));
        world.tick_feed(0, START.plus_s(100), serves(list(1, &[])));
        assert_eq!(world.meets(1, START.plus_s(100), &good), Ok(()));
    }
}

#[test]
fn a_call_revokes_on_all_workers_at_once_and_until_the_end() {
    for world in worlds(&endpoint()) {
        let (bad, good) = (with_jti("a"), with_jti("b"));
        for worker in [0, 1] {
            assert_eq!(world.meets(worker, START, &bad), Ok(()));
            assert_eq!(world.meets(worker, START, &good), Ok(()));
        }
        assert!(world.with(0, START, |facts| facts.revoke_token(bad.as_bytes())));
        // The same token in other words, which the issuer signed too.
        let again = token(&format!(
            r#"{{"jti":"a","iss":"https://own.example","exp":{},"more":1}}"#,
            START.s() + 3_600
        ));
        for worker in [1, 0] {
            for now in [START, START.plus_s(3_599)] {
                assert!(is_revoked(&world.meets(worker, now, &bad)));
                assert!(is_revoked(&world.meets(worker, now, &again)));
                assert_eq!(world.meets(worker, now, &good), Ok(()));
            }
            assert!(
                matches!(world.meets(worker, START.plus_s(3_600), &bad), Err(Stop::Refuse(refusal)) if refusal.reason == Reason::Expired)
            );
        }
        assert_eq!(world.count(Metric::RevocationSeen), 1);
    }
}

#[test]
fn a_token_without_an_id_is_revoked_by_what_it_says() {
    for world in worlds(&endpoint()) {
        let bare = |n: u32| {
            token(&format!(
                r#"{{"iss":"https://own.example","n":{n},"exp":{}}}"#,
                START.s() + 3_600
            ))
        };
        world.verified(1, START, &bare(1));
        assert!(world.with(0, START, |facts| facts.revoke_token(bare(1).as_bytes())));
        assert!(is_revoked(&world.meets(1, START, &bare(1))));
        assert_eq!(world.meets(1, START, &bare(2)), Ok(()));
    }
}

#[test]
fn a_forged_token_revokes_no_one_elses() {
    for world in worlds(&endpoint()) {
        let good = with_jti("a");
        let forged = crate::world::forged(&good);
        assert!(world.with(0, START, |facts| facts.revoke_token(forged.as_bytes())));
        assert_eq!(world.meets(0, START, &good), Ok(()));
        assert_eq!(world.meets(1, START, &good), Ok(()));
    }
}

#[test]
fn a_configuration_that_cannot_verify_a_token_revokes_it_by_its_bytes() {
    for dialect in Dialect::ALL {
        // A chain of token endpoints alone, and one of an API that hears of revocations only from
        // shared memory.
        let elsewhere = endpoint().replace("https://own.example", "https://other.example");
        let world = World::on(dialect, &[&elsewhere, &document("", "")]);
        let (bad, good) = (with_jti("a"), with_jti("b"));
        assert_eq!(world.meets(1, START, &bad), Ok(()));
        assert_eq!(world.meets(1, START, &good), Ok(()));
        assert!(world.with(0, START, |facts| facts.revoke_token(bad.as_bytes())));
        assert!(world.with(0, START, |facts| facts.revoke_token(b"an-opaque-token")));
        let later = START.plus_ms(100);
        assert!(is_revoked(&world.meets(1, later, &bad)));
        assert_eq!(world.meets(1, later, &good), Ok(()));
    }
}

#[test]
fn where_nothing_is_configured_a_hit_asks_shared_memory_ten_times_a_second_at_most() {
    let world = World::on(Dialect::Envoy, &[&document("", ""), &endpoint()]);
    let good = with_jti("b");
    world.meets(0, START, &good).unwrap();
    let before = world.shared.calls();
    for ms in 0..1_000 {
        world.meets(0, START.plus_ms(ms), &good).unwrap();
    }
    assert!(world.shared.calls() - before <= 10);
}

#[test]
fn without_room_the_caller_hears_it_and_nobody_trusts_what_was_looked_up() {
    let world = World::on(Dialect::Kong, &[&endpoint(), &endpoint()]);
    let bad = with_jti("a");
    assert_eq!(world.meets(0, START, &bad), Ok(()));
    let full = Memory::new(Dialect::Kong).zone(0, false);
    *world.shared.memory.borrow_mut() = full;
    assert!(!world.with(0, START, |facts| facts.revoke_token(bad.as_bytes())));
    assert!(world.count(Metric::SharedFull) > 0);
    // The number can't be kept: each request looks for itself.
    let before = world.shared.calls();
    world.meets(0, START, &bad).unwrap();
    world.meets(0, START, &bad).unwrap();
    assert_eq!(world.shared.calls() - before, 6);
}

/// A worker that read the feed before another stores what it read after it.
#[test]
fn a_list_that_is_older_than_the_one_held_is_not_taken_over() {
    for world in worlds(&feed("")) {
        let (bad, good) = (with_jti("a"), with_jti("b"));
        world.tick_feed(0, START, serves(list(1, &[])));
        world.tick_feed(1, START.plus_s(10), serves(list(7, &["a"])));
        let now = START.plus_s(11);
        assert!(is_revoked(&world.meets(1, now, &bad)));
        world.with(0, now, |facts| {
            let older =
                List::parse(&facts.runtime.names_key, list(6, &["b"]).as_bytes(), None, now)
                    .unwrap();
            let digest = facts.digest(&Fact::Feed(0, None));
            facts.store_feed(0, &digest, Known::List(older)).unwrap();
        });
        for worker in [1, 0, 1, 0] {
            assert!(is_revoked(&world.meets(worker, now, &bad)), "worker {worker}");
            assert_eq!(world.meets(worker, now, &good), Ok(()), "worker {worker}");
        }
        // A newer one is.
        assert_eq!(world.tick_feed(0, now.plus_s(20), serves(list(8, &[]))), 1);
        for worker in [1, 0] {
            assert_eq!(world.meets(worker, now.plus_s(20), &bad), Ok(()));
        }
    }
}

#[test]
fn an_entry_of_an_issuer_whose_tokens_outlive_their_exp_is_not_dropped_at_it() {
    let lives_on = feed("")
        .replace(r#""leeway_s": 0"#, r#""leeway_s": 0, "exp": "ignored", "lifetime_s_max": 86400"#);
    if Config::load(lives_on.as_bytes(), &|_| None, HostKind::Envoy).is_err() {
        // Until that policy has a name of its own.
        return outlives_its_exp(&lives_on.replace("ignored", "optional"));
    }
    outlives_its_exp(&lives_on);
}

fn outlives_its_exp(document: &str) {
    for world in worlds(document) {
        let bad = token(&format!(
            r#"{{"iss":"https://own.example","jti":"a","iat":{},"exp":{}}}"#,
            START.s(),
            START.s() + 60
        ));
        let entry =
            serde_json::json!({"iss": "https://own.example", "jti": "a", "exp": START.s() + 60});
        let body = serde_json::json!({"sequence": 1, "revoked": [entry]}).to_string();
        let now = START.plus_s(3_600);
        world.tick_feed(0, now, serves(body));
        for worker in [0, 1] {
            assert!(is_revoked(&world.meets(worker, now, &bad)));
        }
    }
}

/// What is counted from first sight begins anew when that was forgotten; what was revoked stays
/// revoked.
#[test]
fn a_token_that_ends_by_first_sight_is_remembered_for_longer_than_that() {
    let by_sight = endpoint()
        .replace(r#""leeway_s": 0"#, r#""leeway_s": 0, "exp": "optional", "lifetime_s_max": 60"#);
    for world in worlds(&by_sight) {
        let bad = token(r#"{"iss":"https://own.example","jti":"a"}"#);
        assert_eq!(world.meets(0, START, &bad), Ok(()));
        assert!(world.with(0, START, |facts| facts.revoke_token(bad.as_bytes())));
        // A year later nobody knows any more when it was first seen.
        let later = START.plus_s(365 * 86_400);
        let found = world.meets(1, later, &bad);
        assert!(is_revoked(&found), "{found:?}");
    }
}

/// A JWT that no configuration of this host can verify needs no room, however many there are.
#[test]
fn a_token_that_nobody_here_verifies_takes_no_room() {
    let elsewhere = endpoint().replace("https://own.example", "https://other.example");
    let world = World::on(Dialect::Envoy, &[&elsewhere, &endpoint()]);
    let bad = |n: u32| with_jti(&n.to_string());
    world.workers[0].verifies_elsewhere.set(false);
    for n in 0..2_000 {
        assert!(world.with(0, START, |facts| facts.revoke_token(bad(n).as_bytes())), "{n}");
    }
    // But for as long as an answer with it may be under way.
    assert_eq!(world.meets(1, START.plus_s(600), &bad(1_999)), Ok(()));
    world.workers[0].verifies_elsewhere.set(true);
    assert!(world.with(0, START, |facts| facts.revoke_token(bad(3_000).as_bytes())));
    assert!(is_revoked(&world.meets(1, START.plus_s(600), &bad(3_000))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of feeds, calls and checks on two workers: what was revoked is refused
    /// from then on everywhere, and nothing else ever is.
    #[test]
    fn revoked_is_what_was_revoked(steps in proptest::collection::vec((0u8..4, 0usize..2, 0usize..6), 1..60), kong in any::<bool>()) {
        let text = document(
            r#", "revocation": {"feeds": [{"uri": "https://idp.example/revoked.json", "cluster": "idp", "every_s": 1}]}"#,
            r#", "token_endpoints": [{"path": "/token", "revocation_path": "/revoke"}]"#,
        );
        let world = World::on(if kong { Dialect::Kong } else { Dialect::Envoy }, &[&text, &text]);
        let names = ["a", "b", "c", "d", "e", "f"];
        let (mut listed, mut called) = (vec![], vec![]);
        let (mut now, mut sequence) = (START, 1);
        world.tick_feed(0, now, serves(list(0, &[])));
        for (step, worker, which) in steps {
            now = now.plus_ms(700);
            match step {
                0 => {
                    if listed.contains(&names[which]) { listed.retain(|jti| *jti != names[which]) } else { listed.push(names[which]) }
                    sequence += 1;
                    now = now.plus_s(1);
                    prop_assert_eq!(world.tick_feed(worker, now, serves(list(sequence, &listed))), 1);
                }
                1 => {
                    let done = world.with(worker, now, |facts| facts.revoke_token(with_jti(names[which]).as_bytes()));
                    prop_assert!(done);
                    called.push(names[which]);
                }
                _ => {
                    let revoked = listed.contains(&names[which]) || called.contains(&names[which]);
                    let found = world.meets(worker, now, &with_jti(names[which]));
                    prop_assert_eq!(is_revoked(&found), revoked);
                    prop_assert_eq!(found.is_ok(), !revoked);
                }
            }
        }
    }
}
