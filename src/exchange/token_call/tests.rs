//! Token calls of two workers, from their first header to the server's answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::exchange::{Exchange, Input, Passed, ServerAnswer, Started};
use crate::request::HeaderBlock;
use crate::simulation::host::Dialect;
use crate::token_endpoint::admission::Outcome;
use crate::token_endpoint::answer::NotStored;
use crate::token_endpoint::request::Why;
use crate::world::{ENVOY, KONG, START, World};

const BODY: &str = "grant_type=client_credentials&scope=a";
const GOOD: &str = r#"{"access_token":"first","token_type":"Bearer","expires_in":3600}"#;

/// Two workers with one token endpoint.
fn two_workers(dialect: Dialect, endpoint: &str) -> World {
    let jitter = if endpoint.contains("jitter") { "" } else { r#", "jitter": 0"# };
    let document = document(&format!("{jitter}{endpoint}"), "");
    World::on(dialect, &[&document, &document])
}

fn document(endpoint: &str, more: &str) -> String {
    format!(
        r#"{{"token_endpoints": [{{"path": "/token", "revocation_path": "/revoke"{endpoint}}}],
            "debug_headers": true, "shared": {{"secret": "shared-secret-of-thirty-two-bytes-or-more"}}{more}}}"#
    )
}

impl World {
    /// A token call up to its first effect after its body has come.
    fn call(
        &self,
        worker: usize,
        now: Time,
        secret: &str,
        abilities: Abilities,
        more: &[(&str, &str)],
        body: &str,
    ) -> (Exchange, Effect) {
        let basic = format!("Basic {}", STANDARD.encode(format!("client:{secret}")));
        let fixed = [
            (":method", "POST"),
            (":path", "/token"),
            (":authority", "idp.example"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", basic.as_str()),
        ];
        let headers = HeaderBlock::from_pairs(
            fixed.iter().chain(more).map(|(name, value)| (*name, value.as_bytes())),
        );
        let mut exchange = Exchange::new(headers, None, abilities);
        let effect = self.with(worker, now, |facts| {
            assert!(matches!(
                exchange.step(Input::Begin, facts, &self.shared),
                Effect::ReadBody(_)
            ));
            exchange.step(Input::Body(Some(body.as_bytes())), facts, &self.shared)
        });
        (exchange, effect)
    }

    fn plain(&self, worker: usize, now: Time) -> (Exchange, Effect) {
        self.call(worker, now, "secret", ENVOY, &[], BODY)
    }

    fn woken(&self, worker: usize, now: Time, exchange: &mut Exchange) -> Effect {
        self.with(worker, now, |facts| exchange.step(Input::Woken, facts, &self.shared))
    }

    /// The server answers with JSON.
    fn answered(
        &self,
        worker: usize,
        now: Time,
        exchange: &mut Exchange,
        status: u16,
        body: &str,
    ) -> Passed {
        self.answered_with(worker, now, exchange, status, &[], body)
    }

    fn answered_with(
        &self,
        worker: usize,
        now: Time,
        exchange: &mut Exchange,
        status: u16,
        more: &[(&str, &str)],
        body: &str,
    ) -> Passed {
        let json = ("content-type", "application/json");
        let headers = HeaderBlock::from_pairs(
            std::iter::once(&json).chain(more).map(|(name, value)| (*name, value.as_bytes())),
        );
        let answer =
            ServerAnswer { status, headers: &headers, body: body.as_bytes(), complete: true };
        self.with(worker, now, |facts| match exchange.answer_started(status, &headers, facts) {
            Started::Kept(kept) => Passed::Kept(kept),
            _ => exchange.answered(&answer, facts),
        })
    }

    fn under_way(&self, now: Time) -> usize {
        // As many more as the cap lets through.
        let endpoint = &self.workers[0].config.token_endpoints[0];
        let free = self.with(0, now, |facts| {
            let stranger = |n: u64| facts.stranger(n);
            let permits: Vec<_> = (0..100)
                .map_while(|n| Some((stranger(n), facts.admit_call(endpoint, &stranger(n)).ok()?)))
                .collect();
            permits.iter().for_each(|(client, permit)| {
                facts.call_ended(endpoint, client, *permit, Outcome::Unknown.into())
            });
            permits.len()
        });
        endpoint.upstream_calls_max as usize - free
    }
}

fn is_led(effect: &Effect) -> bool {
    matches!(effect, Effect::Finish(Finish::Admit(changes)) if changes.edits().watch)
}

fn answer(effect: Effect) -> Answer {
    match effect {
        Effect::Finish(Finish::Answer(answer)) => answer,
        _ => panic!("no answer"),
    }
}

fn source(answer: &Answer) -> Option<&str> {
    answer
        .headers
        .iter()
        .find(|(name, _)| name == "herdgate-cache")
        .map(|(_, value)| value.as_str())
}

/// Why a call isn't shared, or its answer isn't kept, can be told from the counters.
#[test]
fn what_is_not_shared_is_counted_by_its_reason() {
    let world = two_workers(Dialect::Envoy, "");
    let count = |metric: Metric| world.count(metric);
    let other = "grant_type=password&username=u&password=p";
    world.call(0, START, "secret", ENVOY, &[], other);
    world.call(0, START, "secret", ENVOY, &[("cache-control", "no-cache")], BODY);
    assert_eq!(count(Metric::TokenBypass), 2);
    assert_eq!(count(Metric::TokenBypassFor(Why::Grant)), 1);
    assert_eq!(count(Metric::TokenBypassFor(Why::Bypass)), 1);
    let name = Metric::TokenBypassFor(Why::Grant).name(&[]);
    assert_eq!(name, "herdgate.token.bypass.grant");

    let personal = GOOD.replacen('{', r#"{"refresh_token":"r","#, 1);
    for (n, body) in [personal.as_str(), "{}"].into_iter().enumerate() {
        let now = START.plus_s(60 * (n as u64 + 1));
        let (mut exchange, effect) = world.plain(0, now);
        assert!(is_led(&effect));
        world.answered(0, now, &mut exchange, 200, body);
    }
    assert_eq!(count(Metric::TokenNotStored), 2);
    assert_eq!(count(Metric::TokenNotStoredFor(NotStored::Personal)), 1);
    assert_eq!(count(Metric::TokenNotStoredFor(NotStored::NotBearer)), 1);
    let name = Metric::TokenNotStoredFor(NotStored::Personal).name(&[]);
    assert_eq!(name, "herdgate.token.not_stored.personal");
}

/// Where a header can't be removed, a request with a reserved one twice is refused: by then it must
/// not have taken a place or a lease, since nobody would give them back.
#[test]
fn a_request_that_is_refused_for_its_headers_takes_no_place() {
    let world = two_workers(Dialect::Kong, r#", "upstream_calls_max": 3"#);
    let twice = [("x-consumer-id", "1"), ("x-consumer-id", "2")];
    for _ in 0..5 {
        let (mut exchange, effect) = world.call(0, START, "secret", KONG, &twice, BODY);
        assert_eq!(answer(effect).status, 400);
        assert_eq!(world.with(0, START, |facts| exchange.close(facts)), None);
    }
    assert_eq!(world.under_way(START), 0);
    assert!(is_led(&world.plain(1, START).1), "the lease is free");
    assert_eq!(world.count(Metric::TokenUpstream), 1);
}

/// What the host sees of a wrong secret says nothing of how near it is to the right one.
#[test]
fn wrong_secrets_make_the_same_host_calls_however_much_of_them_is_right() {
    for dialect in Dialect::ALL {
        let world = two_workers(dialect, "");
        let (mut exchange, effect) = world.plain(0, START);
        assert!(is_led(&effect));
        world.answered(0, START, &mut exchange, 200, GOOD);
        let trace = |secret: &str| {
            world.shared.trace.borrow_mut().clear();
            let (mut exchange, effect) = world.call(1, START, secret, ENVOY, &[], BODY);
            assert!(is_led(&effect), "{secret}");
            world.answered(1, START, &mut exchange, 401, r#"{"error":"invalid_client"}"#);
            let (_, effect) = world.call(0, START, secret, ENVOY, &[], BODY);
            assert_eq!(answer(effect).status, 401);
            world.shared.trace.take()
        };
        let first = trace("xxxxxx");
        assert!(first.len() > 5, "{first:?}");
        for near in
            ["s", "se", "secre", "secrex", "secret ", "secretx", "Secret", "ecrets", "terces"]
        {
            assert_eq!(trace(near), first, "{near}");
        }
    }
}

/// A leader fails between a follower's look and its lease: the follower doesn't call at once too.
#[test]
fn who_gets_the_lease_of_a_failed_call_sees_the_failure() {
    let world = two_workers(Dialect::Envoy, "");
    let (mut leader, effect) = world.plain(0, START);
    assert!(is_led(&effect));
    let (mut follower, effect) = world.plain(1, START);
    assert!(matches!(effect, Effect::SleepUntil(..)));
    world.answered(0, START, &mut leader, 503, "{}");
    // The follower's first look is of before the failure.
    world.shared.is_stale.set(true);
    assert_eq!(answer(world.woken(1, START, &mut follower)).status, 503);
    assert_eq!(world.count(Metric::TokenUpstream), 1);
}

/// A call that outlived its lease fails after another has brought an answer: that one stays.
#[test]
fn a_late_failure_takes_nothing_from_those_who_have_an_answer() {
    for broken_off in [false, true] {
        let world = two_workers(Dialect::Envoy, "");
        let (mut late, effect) = world.plain(0, START);
        assert!(is_led(&effect));
        let now = START.plus_ms(10_001);
        let (mut next, effect) = world.plain(1, now);
        assert!(is_led(&effect));
        world.answered(1, now, &mut next, 200, GOOD);
        if broken_off {
            let json = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
            world.with(0, now, |facts| {
                late.answer_started(200, &json, facts);
                late.close(facts);
            });
        } else {
            world.answered(0, now, &mut late, 504, "{}");
        }
        assert_eq!(answer(world.plain(0, now).1).status, 200);
    }
}

/// A token that was revoked while its renewal was under way isn't served once more when that fails.
#[test]
fn a_failed_renewal_serves_no_token_that_was_revoked_meanwhile() {
    let world = two_workers(Dialect::Envoy, r#", "refresh_ahead": true"#);
    let (mut exchange, _) = world.plain(0, START);
    world.answered(0, START, &mut exchange, 200, GOOD);
    let late = START.plus_s(1795);
    for revoked in [false, true] {
        let now = late.plus_s(u64::from(revoked) * 2);
        let (mut renewal, effect) = world.plain(1, now);
        assert!(is_led(&effect));
        if revoked {
            assert!(world.with(0, now, |facts| facts.revoke_token(b"first")));
        }
        let passed = world.answered(1, now, &mut renewal, 503, "{}");
        assert_eq!(matches!(passed, Passed::Kept(_)), !revoked);
    }
}

const REFRESH: &str = "grant_type=refresh_token&refresh_token=r";

#[test]
fn a_shared_refresh_says_so_and_an_answer_that_was_not_read_is_not_shared() {
    let world = two_workers(Dialect::Envoy, r#", "coalesce_refresh": true"#);
    let refresh = |world: &World| world.call(0, START, "secret", ENVOY, &[], REFRESH);
    let (mut leader, effect) = refresh(&world);
    assert!(is_led(&effect));
    let (mut follower, effect) = refresh(&world);
    assert!(matches!(effect, Effect::SleepUntil(..)));
    // The shell's word for an answer that is too large to be looked at.
    world.answered(0, START, &mut leader, 200, "");
    let effect = world.woken(0, START, &mut follower);
    assert!(is_led(&effect), "it asks for itself");
    let (mut second, effect) = refresh(&world);
    assert!(matches!(effect, Effect::SleepUntil(..)));
    world.answered(0, START, &mut follower, 200, GOOD);
    let shared = answer(world.woken(0, START, &mut second));
    assert_eq!((shared.status, source(&shared)), (200, Some("shared")));
}

#[test]
fn an_answer_to_a_refresh_that_is_one_clients_own_is_shared_with_none() {
    let without_cookies = r#", "coalesce_refresh": true, "keep_with_cookies": false"#;
    for (own, settings) in [
        (("set-cookie", "a=b"), without_cookies),
        (("content-encoding", "gzip"), r#", "coalesce_refresh": true"#),
    ] {
        let world = two_workers(Dialect::Envoy, settings);
        let refresh = |world: &World| world.call(0, START, "secret", ENVOY, &[], REFRESH);
        let ((mut leader, _), (mut follower, _)) = (refresh(&world), refresh(&world));
        let pairs = [("content-type", "application/json"), own]
            .map(|(name, value)| (name, value.as_bytes()));
        let answer = ServerAnswer {
            status: 200,
            headers: &HeaderBlock::from_pairs(pairs),
            body: GOOD.as_bytes(),
            complete: true,
        };
        world.with(0, START, |facts| leader.answered(&answer, facts));
        assert!(is_led(&world.woken(0, START, &mut follower)), "{own:?}");
    }
}

#[test]
fn the_answer_of_a_refresh_is_not_kept_for_longer_than_those_who_waited_need() {
    let world = two_workers(Dialect::Envoy, r#", "coalesce_refresh": true"#);
    for n in 0..10u64 {
        let now = START.plus_s(3 * n);
        let (mut leader, effect) =
            world.call(0, now, "secret", ENVOY, &[], &format!("{REFRESH}{n}"));
        assert!(is_led(&effect));
        world.answered(0, now, &mut leader, 200, GOOD);
    }
    assert_eq!(world.workers[0].worker.borrow().refreshes.len(), 1);
}

/// What is remembered for a second is not remembered for an hour when the clock goes back.
#[test]
fn a_clock_that_goes_back_keeps_no_failure() {
    for (status, body) in [(503, "{}"), (200, "no token")] {
        let world = two_workers(Dialect::Envoy, "");
        let (mut first, effect) = world.plain(0, START);
        assert!(is_led(&effect));
        world.answered(0, START, &mut first, status, body);
        let back = Time::from_s(START.s() - 3_600);
        let (mut next, effect) = world.plain(1, back.plus_s(5));
        assert!(is_led(&effect));
        world.answered(1, back.plus_s(5), &mut next, 200, GOOD);
        assert_eq!(answer(world.plain(0, back.plus_s(6)).1).status, 200);
    }
}

#[test]
fn a_refresh_that_is_lost_is_not_waited_for_for_an_hour() {
    let world = two_workers(Dialect::Envoy, r#", "coalesce_refresh": true"#);
    let back = Time::from_s(START.s() - 3_600);
    for (now, leads) in
        [(START, true), (START.plus_s(9), false), (START.plus_s(11), true), (back, true)]
    {
        let (_, effect) = world.call(0, now, "secret", ENVOY, &[], REFRESH);
        assert_eq!(is_led(&effect), leads, "{}", now.s());
    }
}

mod elsewhere;
mod kept;
mod load;
mod time;
