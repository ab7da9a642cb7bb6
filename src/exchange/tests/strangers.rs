//! What those without a good token can cause, and what others feel of it.

use super::*;
use crate::config::{Config, HostKind};
use crate::facts::call::CallAnswer;

/// A client's address.
struct At(&'static str);

impl Surroundings for At {
    fn address(&self) -> Option<String> {
        Some(self.0.to_owned())
    }
    fn route(&self) -> Option<String> {
        None
    }
    fn client_certificate(&self) -> bool {
        false
    }
    fn certificate_digest(&self) -> Option<[u8; 32]> {
        None
    }
}

const HERE: At = At("192.0.2.1");
const THERE: At = At("198.51.100.1:4711");

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn begin(world: &World, worker: usize, now: Time, token: &str, at: &At) -> Effect {
    let value = bearer(token);
    let pairs: Vec<(&str, &str)> =
        if token.is_empty() { vec![] } else { vec![("authorization", value.as_str())] };
    let mut exchange = Exchange::new(request(&pairs), None, ENVOY);
    world.with(worker, now, |facts| exchange.step(Input::Begin, facts, at))
}

fn status(effect: &Effect) -> u16 {
    match effect {
        Effect::Finish(Finish::Answer(answer)) => answer.status,
        Effect::Finish(Finish::Admit(_)) => 200,
        _ => 0,
    }
}

fn retry_after_s(effect: &Effect) -> u64 {
    let Effect::Finish(Finish::Answer(answer)) = effect else { return 0 };
    answer
        .headers
        .iter()
        .find(|(name, _)| name == "retry-after")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

fn answered(
    world: &World,
    worker: usize,
    now: Time,
    fact: &Fact,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) {
    let headers =
        HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    world.with(worker, now, |facts| {
        facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() })
    });
}

fn introspecting() -> Value {
    let mut document = document(false, json!({ "rules": [{ "match": {}, "introspect": true }] }));
    let endpoint = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway", "client_secret": "s" });
    document.as_object_mut().unwrap().insert("introspection".into(), endpoint);
    document
}

fn of_subject(n: u64) -> String {
    signed(
        "HS256",
        &json!({ "iss": "https://idp.example", "sub": format!("user-{n}"), "exp": NOW.s() + 600 }),
    )
}

/// The introspection endpoint throttles: that is said to the gateway, not to one token.
#[test]
fn what_introspection_asks_for_holds_for_all_tokens() {
    let world = World::new(&introspecting());
    let mut calls = 0;
    for n in 0..800u64 {
        let (worker, now) = (n as usize % 2, NOW.plus_ms(n * 5));
        match begin(&world, worker, now, &of_subject(n % 20), &HERE) {
            Effect::Fetch(fact, _) => {
                calls += 1;
                answered(&world, worker, now, &fact, 429, &[("retry-after", "30")], "");
            }
            refused => assert_eq!(
                (status(&refused), (26..=38).contains(&retry_after_s(&refused))),
                (503, true),
                "{n}"
            ),
        }
    }
    assert!(calls <= 3, "{calls} calls in four seconds");
    assert!(world.count(Metric::IntrospectionPaused) > 0);
    // Then it is asked again, and an hour back on the clock it isn't waited for.
    assert!(matches!(begin(&world, 0, NOW.plus_s(40), &of_subject(99), &HERE), Effect::Fetch(..)));
    let back = Time::from_s(NOW.s() - 3_600);
    begin(&world, 0, back, &of_subject(99), &HERE);
    assert!(matches!(begin(&world, 0, back.plus_s(5), &of_subject(99), &HERE), Effect::Fetch(..)));
    // One token's failure is that token's.
    let world = World::new(&introspecting());
    let Effect::Fetch(fact, _) = begin(&world, 0, NOW, &of_subject(1), &HERE) else { panic!() };
    answered(&world, 0, NOW, &fact, 500, &[], "");
    assert_eq!(status(&begin(&world, 0, NOW, &of_subject(1), &HERE)), 503);
    assert!(matches!(begin(&world, 0, NOW, &of_subject(2), &HERE), Effect::Fetch(..)));
}

fn looking_up(more: Value) -> Value {
    let mut document = json!({
        "issuers": [{ "name": "legacy", "issuer": "*", "algorithms": ["HS256"],
            "credentials": { "lookup": { "uri": "http://127.0.0.1:8001/jwts/{key}", "allow_http": true, "cluster": "admin", "calls_per_s_max": 100 } } }],
        "shared": { "secret": "a shared secret of 32 bytes or more", "answers_max": 256 },
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

fn made_up(n: u64) -> String {
    signed("HS256", &json!({ "iss": format!("nobody-{n}"), "exp": NOW.s() + 600 }))
}

/// A thousand made-up ids a second: the server is asked at its pace, and an address that has asked
/// for nothing yet still has room.
#[test]
fn made_up_ids_are_looked_up_at_a_bounded_pace() {
    let world = World::new(&looking_up(json!({})));
    let mut looked_up = Vec::new();
    for n in 0..5_000u64 {
        let (worker, now) = (n as usize % 2, NOW.plus_ms(n));
        match begin(&world, worker, now, &made_up(n), &HERE) {
            Effect::Fetch(fact, _) => {
                looked_up.push(now);
                answered(&world, worker, now, &fact, 404, &[], "");
            }
            refused => {
                assert_eq!(status(&refused), 503);
                assert!((1..=3).contains(&retry_after_s(&refused)));
            }
        }
    }
    assert!((500..=800).contains(&looked_up.len()), "{} in five seconds", looked_up.len());
    assert_eq!(world.count(Metric::LookupCapped), 5_000 - looked_up.len() as u32);
    let now = NOW.plus_ms(5_000);
    let others = (0..40)
        .filter(|n| {
            matches!(begin(&world, 0, now, &made_up(10_000 + n), &THERE), Effect::Fetch(..))
        })
        .count();
    assert_eq!(others, 40, "another address");
}

const FORM: &str = "grant_type=client_credentials";

/// A token call of client `n`; with an answer of the server if it gets there.
fn token_call(world: &World, worker: usize, now: Time, n: u64) -> bool {
    let id = format!("client-{n}");
    let body = format!("{FORM}&client_id={id}&client_secret=secret");
    let headers = [
        (":method", "POST"),
        (":path", "/token"),
        (":authority", "idp.example"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let headers =
        HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    let mut exchange = Exchange::new(headers, None, ENVOY);
    world.with(worker, now, |facts| {
        assert!(matches!(exchange.step(Input::Begin, facts, &HERE), Effect::ReadBody(_)));
        let effect = exchange.step(Input::Body(Some(body.as_bytes())), facts, &HERE);
        if matches!(effect, Effect::Finish(Finish::Answer(_))) {
            assert_eq!(status(&effect), 200);
            return true;
        }
        let json = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
        let answer =
            format!(r#"{{"access_token":"{id}","token_type":"Bearer","expires_in":3600}}"#);
        exchange.answered(
            &ServerAnswer { status: 200, headers: &json, body: answer.as_bytes(), complete: true },
            facts,
        );
        false
    })
}

/// How many of sixty clients are served from the cache a minute after `made_up_ids` came.
fn kept_beside(made_up_ids: u64) -> usize {
    let world = World::new(&looking_up(json!({ "token_endpoints": [{ "path": "/token" }] })));
    (0..60).for_each(|n| assert!(!token_call(&world, 0, NOW, n)));
    // Half of them there isn't, half is another's: Kong answers by its own ids too.
    for n in 0..made_up_ids {
        let now = NOW.plus_ms(n * 20);
        if let Effect::Fetch(fact, _) = begin(&world, 0, now, &made_up(n), &HERE) {
            let (code, body) = [
                (404, String::new()),
                (200, format!(r#"{{"key":"other","secret":"{}"}}"#, "x".repeat(600))),
            ][n as usize % 2]
                .clone();
            answered(&world, 0, now, &fact, code, &[], &body);
        }
    }
    (0..60).filter(|n| token_call(&world, 0, NOW.plus_s(60), *n)).count()
}

#[test]
fn made_up_ids_push_out_nothing_that_was_earned() {
    let alone = kept_beside(0);
    assert!(alone >= 55, "{alone}");
    assert_eq!(kept_beside(3_000), alone);
}

#[test]
fn what_is_not_there_is_remembered_for_all_workers() {
    let world = World::new(&looking_up(json!({})));
    let Effect::Fetch(fact, _) = begin(&world, 0, NOW, &made_up(1), &HERE) else { panic!() };
    answered(&world, 0, NOW, &fact, 404, &[], "");
    for worker in 0..2 {
        assert_eq!(status(&begin(&world, worker, NOW.plus_s(4), &made_up(1), &HERE)), 401);
    }
    assert!(matches!(begin(&world, 1, NOW.plus_s(6), &made_up(1), &HERE), Effect::Fetch(..)));
}

/// Whatever the clock does, a failure is waited for no longer than it was to be.
#[test]
fn a_failed_fetch_is_not_waited_for_for_an_hour() {
    let world = World::new(&document(true, json!({})));
    let Effect::Fetch(fact, _) = begin(&world, 0, NOW, &token("RS256"), &HERE) else { panic!() };
    answered(&world, 0, NOW, &fact, 503, &[("retry-after", "20")], "");
    let told = begin(&world, 0, NOW.plus_s(1), &token("RS256"), &HERE);
    assert_eq!(
        (status(&told), (19..=25).contains(&retry_after_s(&told))),
        (503, true),
        "what the server asked for"
    );
    let back = Time::from_s(NOW.s() - 300);
    assert!(matches!(begin(&world, 0, back, &token("RS256"), &HERE), Effect::Fetch(..)));
}

fn limited(charge: &str, key: Value, fetched: bool) -> Value {
    document(
        fetched,
        json!({
            "rules": [{ "match": { "path_prefix": "/public" }, "access": "public" }, { "match": {}, "limits": ["flood"] }],
            "rate_limits": [{ "name": "flood", "key": key, "limit": 1, "per_s": 60, "burst": 5, "charge": charge }],
        }),
    )
}

fn forged() -> String {
    world::forged(&token("HS256"))
}

#[test]
fn a_limit_of_all_slows_refused_requests() {
    for bad in [String::new(), forged(), "no.jwt.".to_owned()] {
        let world = World::new(&limited("all", json!(["address"]), false));
        let statuses: Vec<u16> =
            (0..8).map(|_| status(&begin(&world, 0, NOW, &bad, &HERE))).collect();
        let first = statuses[0];
        assert!([400, 401].contains(&first));
        assert_eq!(statuses, [first, first, first, first, first, 429, 429, 429], "{bad}");
        assert_eq!(
            status(&begin(&world, 0, NOW, &token("HS256"), &HERE)),
            429,
            "a good one of the same address too"
        );
        assert_eq!(
            status(&begin(&world, 0, NOW, &token("HS256"), &THERE)),
            200,
            "and none of another"
        );
        assert_eq!(status(&begin(&world, 0, NOW.plus_s(61), &bad, &HERE)), first, "it comes back");
    }
    let world = World::new(&limited("accepted", json!(["address"]), false));
    assert!((0..20).all(|_| status(&begin(&world, 0, NOW, &forged(), &HERE)) == 401));
}

#[test]
fn over_such_a_limit_nothing_is_verified_or_fetched() {
    let world = World::new(&limited("all", json!(["address"]), true));
    for _ in 0..5 {
        assert_eq!(status(&begin(&world, 0, NOW, "", &HERE)), 401);
    }
    assert_eq!(status(&begin(&world, 0, NOW, &token("RS256"), &HERE)), 429);
    assert!(matches!(begin(&world, 0, NOW, &token("RS256"), &THERE), Effect::Fetch(..)));
}

#[test]
fn an_accepted_request_is_charged_once_and_costs_no_more_for_it() {
    let calls = |charge: &str| {
        let world = World::new(&limited(charge, json!(["address"]), false));
        let statuses: Vec<u16> =
            (0..7).map(|_| status(&begin(&world, 0, NOW, &token("HS256"), &HERE))).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
        let before = world.shared.calls();
        assert_eq!(status(&begin(&world, 0, NOW.plus_s(61), &token("HS256"), &HERE)), 200);
        let calls = world.shared.calls();
        calls - before
    };
    assert_eq!(calls("all"), calls("accepted"));
}

#[test]
fn what_is_not_known_of_a_refused_request_is_no_key_for_it() {
    for (key, fits) in [
        (json!(["address"]), true),
        (json!(["address", "route", "header:x-tenant"]), true),
        (json!(["issuer", "address"]), false),
        (json!(["client_id"]), false),
        (json!(["capture:id"]), false),
    ] {
        let document = limited("all", key, false).to_string();
        let loaded = Config::load(document.as_bytes(), &|_| None, HostKind::Envoy);
        assert_eq!(loaded.is_ok(), fits, "{document}");
        if let Err(errors) = loaded {
            assert!(
                errors.to_string().contains("rate_limits[0].charge: expected \"accepted\""),
                "{errors}"
            );
        }
    }
}

fn opaque() -> Value {
    json!({
        "issuers": [{ "name": "opaque", "issuer": "https://idp.example", "tokens": "opaque", "audiences": ["a"],
            "introspection": { "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway",
                "client_secret": "s", "ttl_s_max": 2, "negative_ttl_s": 5, "calls_per_s_max": 20 } }],
        "shared": { "secret": "a shared secret of 32 bytes or more" },
    })
}

/// A request with an opaque token; its issuer calls it active if it begins with `good`. Gives the
/// status and whether the endpoint was asked.
fn opaque_request(world: &World, worker: usize, now: Time, token: &str, at: &At) -> (u16, bool) {
    let value = bearer(token);
    let mut exchange = Exchange::new(request(&[("authorization", &value)]), None, ENVOY);
    let effect = world.with(worker, now, |facts| exchange.step(Input::Begin, facts, at));
    let Effect::Fetch(..) = effect else { return (status(&effect), false) };
    let body = match token.starts_with("good") {
        true => r#"{"active":true,"aud":"a","sub":"alice"}"#,
        false => r#"{"active":false}"#,
    };
    let headers = HeaderBlock::default();
    let answer = CallAnswer { status: 200, headers: &headers, body: body.as_bytes() };
    let effect = world.with(worker, now, |facts| exchange.step(Input::Fetched(answer), facts, at));
    (status(&effect), true)
}

/// Good tokens are asked about again every two seconds, in the middle of a flood from their own
/// address and from many others.
#[test]
fn made_up_tokens_take_neither_the_turns_nor_the_room_of_good_ones() {
    const OTHERS: [At; 4] =
        [At("203.0.113.1"), At("203.0.113.2"), At("203.0.113.3"), At("203.0.113.4")];
    let world = World::new(&opaque());
    let good: Vec<String> = (0..5).map(|n| format!("good-token-of-a-client-{n}")).collect();
    for token in &good {
        assert_eq!(opaque_request(&world, 0, NOW, token, &HERE), (200, true));
    }
    let (mut calls, mut renewals) = (0, 0);
    let mut made_up = [0; 3];
    for ms in 0..10_000u64 {
        let (now, worker) = (NOW.plus_ms(ms), ms as usize % 2);
        let from = if ms % 2 == 0 { &HERE } else { &OTHERS[ms as usize / 2 % 4] };
        let (status, asked) =
            opaque_request(&world, worker, now, &format!("made-up-token-number-{ms}"), from);
        calls += u32::from(asked);
        made_up[usize::from(status == 401) + 2 * usize::from(status == 503)] += 1;
        if ms % 50 == 0 {
            let token = &good[ms as usize / 50 % good.len()];
            let (status, asked) = opaque_request(&world, worker, now, token, &HERE);
            assert_eq!(status, 200, "after {ms} ms");
            calls += u32::from(asked);
            renewals += u32::from(asked);
        }
    }
    assert!((15..=25).contains(&renewals), "{renewals} renewals");
    // What comes in two seconds at one instant, and then the pace.
    assert!(calls <= 20 * 10 + 40, "{calls} calls");
    assert!(made_up[0] == 0 && made_up[1] > 50 && made_up[2] > 9_000, "{made_up:?}");
    assert!(world.count(Metric::IntrospectionCapped) > 9_000);
}

/// Whoever asks about many made-up tokens leaves the good one where it was.
#[test]
fn made_up_tokens_push_out_no_good_one() {
    let mut document = opaque();
    document["issuers"][0]["introspection"]["calls_per_s_max"] = json!(100_000);
    document["issuers"][0]["introspection"]["ttl_s_max"] = json!(3_600);
    let world = World::new(&document);
    assert_eq!(opaque_request(&world, 0, NOW, "good-token-of-a-client", &HERE), (200, true));
    for n in 0..40_000 {
        let token = format!("made-up-token-number-{n}");
        assert_eq!(opaque_request(&world, 0, NOW, &token, &HERE), (401, true), "{n}");
    }
    assert_eq!(opaque_request(&world, 0, NOW, "good-token-of-a-client", &HERE), (200, false));
    // Not only in this worker.
    assert_eq!(opaque_request(&world, 1, NOW, "good-token-of-a-client", &HERE), (200, false));
}
