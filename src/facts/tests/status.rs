//! Status lists: what a list says counts on each worker, for hot tokens too, and a list that can't
//! be had or that lies opens nothing.

use serde_json::{Value, json};

use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Turn};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::revocation::status::ListError;
use crate::time::Time;
use crate::world::*;

const KIND: &str = "status list";
const URI: &str = "https://idp.example/status/1";

fn issuer(more: Value) -> Value {
    let mut lists = json!({ "uri_prefix": "https://idp.example/status/", "cluster": "idp", "ttl_s_max": 60, "bytes_max": 8192 });
    lists.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut issuer = with_secret();
    issuer["status_list"] = lists;
    issuer
}

fn world(more: Value) -> World {
    World::new(&document(issuer(more), json!({})))
}

fn token(jti: &str, index: u64, uri: &str) -> String {
    with_status(jti, json!({ "status_list": { "idx": index, "uri": uri } }))
}

fn with_status(jti: &str, status: Value) -> String {
    let mut claims = claims(jti);
    claims["status"] = status;
    claims["exp"] = json!(START.s() + 100_000);
    hmac(SECRET, &claims)
}

/// A list of 4 bits each in which these places aren't valid, with these claims beside the usual
/// ones; `null` takes one out.
fn list_at(now: Time, uri: &str, taken: &[usize], more: Value) -> String {
    let mut bytes = vec![0; 5_000];
    for place in taken {
        bytes[place / 2] |= 2 << (place % 2 * 4);
    }
    signed(now, uri, &bytes, more, SECRET, "statuslist+jwt")
}

fn signed(now: Time, uri: &str, bytes: &[u8], more: Value, secret: &str, typ: &str) -> String {
    use base64::Engine as _;
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(bytes, 6);
    let lst = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(zlib);
    let mut claims =
        json!({ "sub": uri, "iat": now.s(), "status_list": { "bits": 4, "lst": lst } });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    hmac_with(&json!({ "alg": "HS256", "typ": typ }), secret, &claims)
}

fn serve(world: &World, now: Time, taken: &[usize]) {
    world.serve(KIND, 200, list_at(now, URI, taken, json!({})));
}

#[test]
fn a_list_is_fetched_once_and_its_places_are_told_apart() {
    let world = world(json!({}));
    serve(&world, START, &[7, 9_998]);
    for worker in [0, 1, 0, 1] {
        for (index, outcome) in [
            (6, Outcome::Admitted),
            (7, Outcome::Refused(Reason::Status)),
            (8, Outcome::Admitted),
            (9_998, Outcome::Refused(Reason::Status)),
            (9_999, Outcome::Admitted),
            // Beyond the end.
            (10_000, Outcome::Refused(Reason::Status)),
            (u64::MAX, Outcome::Refused(Reason::Status)),
        ] {
            let token = token(&index.to_string(), index, URI);
            assert_eq!(world.ask(worker, START, &token), outcome, "{index} on {worker}");
        }
    }
    assert_eq!(world.asked(KIND), 1);
    assert_eq!(world.count(Metric::StatusListFetched), 1);
}

#[test]
fn a_flipped_status_counts_on_both_workers_within_the_time() {
    for refresh in [false, true] {
        let world = world(json!({}));
        let token = token("1", 7, URI);
        serve(&world, START, &[]);
        for worker in [0, 1, 0, 1] {
            assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
        }
        serve(&world, START.plus_s(1), &[7]);
        let until_s = if refresh { 40 } else { 59 };
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START.plus_s(until_s), &token), Outcome::Admitted);
        }
        if refresh {
            // One worker fetches ahead of the end, the other one takes that over.
            world.tick(0, START.plus_s(52));
            world.tick(1, START.plus_s(52));
        }
        let after_s = if refresh { 52 } else { 60 };
        for worker in [0, 1, 0, 1] {
            let outcome = world.ask(worker, START.plus_s(after_s), &token);
            assert_eq!(outcome, Outcome::Refused(Reason::Status), "worker {worker}, {refresh}");
        }
        assert_eq!(world.asked(KIND), 2);
        // And back.
        let later = START.plus_s(after_s + 60);
        serve(&world, later, &[]);
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, later, &token), Outcome::Admitted);
        }
    }
}

#[test]
fn a_hot_token_costs_no_host_call_for_its_status() {
    let world = world(json!({}));
    serve(&world, START, &[]);
    let (with, without) = (token("1", 7, URI), hmac(SECRET, &claims("2")));
    for hot in [&with, &without] {
        assert_eq!(world.ask(0, START, hot), Outcome::Admitted);
        assert_eq!(world.ask(0, START, hot), Outcome::Admitted);
    }
    let calls = |token: &str| {
        let before = world.shared.memory.borrow().calls;
        assert_eq!(world.ask(0, START, token), Outcome::Admitted);
        world.shared.memory.borrow().calls - before
    };
    assert_eq!(calls(&with), calls(&without));
    // Another place of a page that is there: none either.
    let other = token("3", 9, URI);
    let first = calls(&other);
    let plain = hmac(SECRET, &claims("4"));
    assert_eq!(first, calls(&plain));
}

#[test]
fn its_own_times_bound_a_list() {
    for (more, end_s) in [
        (json!({}), 60),
        (json!({ "ttl": 20 }), 20),
        (json!({ "ttl": 1_000 }), 60),
        (json!({ "exp": START.s() + 30 }), 30),
        (json!({ "exp": START.s() + 30, "ttl": 10 }), 10),
    ] {
        let world = world(json!({}));
        world.serve(KIND, 200, list_at(START, URI, &[], more.clone()));
        let token = token("1", 7, URI);
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START.plus_s(0), &token), Outcome::Admitted, "{more}");
        }
        world.serve(KIND, 500, "");
        for worker in [0, 1] {
            let at = |ms| world.ask(worker, START.plus_ms(ms), &token);
            assert_eq!(at(end_s * 1_000 - 1), Outcome::Admitted, "{more} on {worker}");
            let after = at(end_s * 1_000);
            assert_eq!(after, Outcome::Refused(Reason::StatusUnavailable), "{more} on {worker}");
        }
    }
}

#[test]
fn lists_that_lie_are_unavailable_and_none_serves() {
    let good = list_at(START, URI, &[], json!({}));
    let zeros = vec![0; 100];
    let (header, rest) = good.split_once('.').unwrap();
    let lies = [
        list_at(START, URI, &[], json!({ "sub": "https://idp.example/status/2" })),
        list_at(START, URI, &[], json!({ "sub": null })),
        list_at(START, URI, &[], json!({ "iss": "https://other.example" })),
        list_at(START, URI, &[], json!({ "exp": START.s() })),
        list_at(START, URI, &[], json!({ "iat": START.s() + 1 })),
        list_at(START, URI, &[], json!({ "ttl": 0 })),
        list_at(START, URI, &[], json!({ "status_list": { "bits": 3, "lst": "eNrbuRgAAhcBXQ" } })),
        list_at(START, URI, &[], json!({ "status_list": { "bits": 1, "lst": "AAAA" } })),
        signed(
            START,
            URI,
            &zeros,
            json!({}),
            "another secret of thirty-two bytes",
            "statuslist+jwt",
        ),
        signed(START, URI, &zeros, json!({}), SECRET, "at+jwt"),
        signed(START, URI, &zeros, json!({}), SECRET, "JWT"),
        // Too long by one byte, and by many.
        signed(START, URI, &vec![0; 8_193], json!({}), SECRET, "statuslist+jwt"),
        signed(START, URI, &vec![0; 10 << 20], json!({}), SECRET, "statuslist+jwt"),
        forged(&good),
        format!(
            "eyJhbGciOiJub25lIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.{}.",
            rest.split_once('.').unwrap().0
        ),
        format!("{header}.{}.", rest.split_once('.').unwrap().0),
        "<html><body>200</body></html>".to_owned(),
        String::new(),
    ];
    for lie in &lies {
        let world = world(json!({}));
        world.serve(KIND, 200, lie);
        let token = token("1", 7, URI);
        for worker in [0, 1] {
            let outcome = world.ask(worker, START, &token);
            assert_eq!(outcome, Outcome::Refused(Reason::StatusUnavailable), "{lie:.200}");
        }
        assert_eq!(world.count(Metric::StatusListFailed), 1, "{lie:.200}");
        // A token without a status is none of the list's business.
        assert_eq!(world.ask(0, START, &hmac(SECRET, &claims("2"))), Outcome::Admitted);
        world.serve(KIND, 200, &good);
        assert_eq!(world.ask(0, START.plus_s(5), &token), Outcome::Admitted, "{lie:.200}");
    }
    assert_eq!(lies.len(), 18);
}

/// Told before its signature is looked at: a key may serve more algorithms than its issuer uses.
#[test]
fn a_list_is_signed_with_an_algorithm_of_its_issuer() {
    let world = world(json!({}));
    let good = list_at(START, URI, &[], json!({}));
    let payload = crate::jwt::parse(good.as_bytes()).unwrap().claims.raw;
    let header = json!({ "alg": "HS512", "typ": "statuslist+jwt" });
    let other = hmac_with(&header, SECRET, &Value::Object(payload));
    world.with(0, START, |facts| {
        let lists = facts.runtime.config.status_lists_of(0).unwrap();
        let read = |text: &str| facts.read_list(0, URI, lists, text.as_bytes());
        assert!(read(&good).is_ok());
        assert_eq!(read(&other), Err(ListError::Algorithm));
    });
}

/// So a token in a kept answer is judged, without a call.
#[test]
fn what_a_known_list_takes_back_is_known_without_a_call() {
    let world = world(json!({}));
    serve(&world, START, &[7]);
    assert_eq!(world.ask(0, START, &token("1", 8, URI)), Outcome::Admitted);
    let says = |token: String| {
        let claims = crate::jwt::parse(token.as_bytes()).unwrap().claims;
        world.with(1, START, |facts| facts.is_taken_back(0, &claims))
    };
    assert_eq!(says(token("1", 8, URI)), (false, true));
    assert_eq!(says(token("1", 7, URI)), (true, true));
    assert_eq!(says(token("1", 9_999, URI)), (false, true));
    assert_eq!(says(token("1", 10_000, URI)), (true, true), "beyond the end");
    assert_eq!(says(token("1", u64::MAX, URI)), (true, true));
    assert_eq!(says(token("1", 8, "https://other.example/status/1")), (true, true));
    assert_eq!(says(token("1", 7, "https://idp.example/status/2")), (false, true), "not known");
    assert_eq!(says(hmac(SECRET, &claims("1"))), (false, false));
    assert_eq!(world.asked(KIND), 1);
}

#[test]
fn a_bomb_is_counted() {
    let world = world(json!({}));
    world.serve(
        KIND,
        200,
        signed(START, URI, &vec![0; 64 << 20], json!({}), SECRET, "statuslist+jwt"),
    );
    let outcome = world.ask(0, START, &token("1", 7, URI));
    assert_eq!(outcome, Outcome::Refused(Reason::StatusUnavailable));
    assert_eq!(world.count(Metric::StatusListTooLong), 1);
}

#[test]
fn an_older_list_is_no_news() {
    let world = world(json!({}));
    let token = token("1", 7, URI);
    serve(&world, START.plus_s(10), &[7]);
    let refused = Outcome::Refused(Reason::Status);
    assert_eq!(world.ask(0, START.plus_s(10), &token), refused);
    // Whoever keeps the list of yesterday gets nothing with it.
    serve(&world, START, &[]);
    world.tick(0, START.plus_s(65));
    assert_eq!(world.ask(0, START.plus_s(65), &token), refused);
    let outcome = world.ask(0, START.plus_s(100), &token);
    assert_eq!(outcome, Outcome::Refused(Reason::StatusUnavailable));
    serve(&world, START.plus_s(10), &[7]);
    assert_eq!(world.ask(0, START.plus_s(200), &token), refused);
}

#[test]
fn who_may_do_without_passes_and_is_counted() {
    let world = world(json!({ "failure_mode": "allow" }));
    let token = token("1", 7, URI);
    for worker in [0, 1, 0] {
        assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
    }
    assert_eq!(world.asked(KIND), 1);
    assert_eq!(world.count(Metric::StatusListAllowed), 3);
    // What is known counts all the same.
    serve(&world, START.plus_s(5), &[7]);
    let refused = Outcome::Refused(Reason::Status);
    assert_eq!(world.ask(0, START.plus_s(5), &token), refused);
    world.serve(KIND, 500, "");
    assert_eq!(world.ask(1, START.plus_s(64), &token), refused);
    // What isn't a list's place is refused in any case.
    let bad =
        with_status("9", json!({ "status_list": { "idx": 1, "uri": "https://evil.example/1" } }));
    assert_eq!(world.ask(0, START, &bad), refused);
}

#[test]
fn a_stranger_causes_no_fetch() {
    let world = world(json!({}));
    serve(&world, START, &[]);
    let good = token("1", 7, URI);
    for bad in
        [forged(&good), hmac("another secret of thirty-two bytes", &claims("1")), twin_of(&good)]
    {
        assert_ne!(world.ask(0, START, &bad), Outcome::Admitted);
    }
    for status in [json!(null), json!({}), json!({ "status_list": { "idx": -1, "uri": URI } })] {
        let outcome = world.ask(0, START, &with_status("2", status));
        assert_eq!(outcome, Outcome::Refused(Reason::Status));
    }
    assert_eq!(world.asked(KIND), 0);
}

/// The same token with another list in it.
fn twin_of(token: &str) -> String {
    let mut claims = claims("1");
    claims["status"] = json!({ "status_list": { "idx": 0, "uri": URI } });
    with_claims(token, &claims)
}

#[test]
fn lists_in_use_and_calls_for_them_are_bounded() {
    let world = world(json!({ "lists_max": 3, "calls_per_s_max": 1000 }));
    let uri = |n: u64| format!("https://idp.example/status/{n}");
    for n in 0..10 {
        world.serve(KIND, 200, list_at(START, &uri(n), &[], json!({})));
        let expected = match n < 3 {
            true => Outcome::Admitted,
            false => Outcome::Refused(Reason::StatusUnavailable),
        };
        assert_eq!(world.ask(0, START, &token(&n.to_string(), 1, &uri(n))), expected, "{n}");
    }
    assert_eq!((world.asked(KIND), world.count(Metric::StatusListFull)), (3, 7));
    // The places are free again when their lists have ended.
    let later = START.plus_s(70);
    world.serve(KIND, 200, list_at(later, &uri(9), &[], json!({})));
    assert_eq!(world.ask(0, later, &token("9", 1, &uri(9))), Outcome::Admitted);

    let paced = self::world(json!({ "lists_max": 100, "calls_per_s_max": 4 }));
    for n in 0..100 {
        paced.serve(KIND, 200, list_at(START, &uri(n), &[], json!({})));
        paced.ask(0, START, &token(&n.to_string(), 1, &uri(n)));
    }
    assert!(paced.asked(KIND) <= 8, "{}", paced.asked(KIND));
    assert!(paced.count(Metric::StatusListCapped) >= 90);
}

#[test]
fn nobody_fetches_a_list_that_nobody_asks_for() {
    let world = world(json!({}));
    serve(&world, START, &[]);
    assert_eq!(world.ask(0, START, &token("1", 7, URI)), Outcome::Admitted);
    for second in 1..400 {
        for worker in [0, 1] {
            world.tick(worker, START.plus_s(second));
        }
    }
    assert_eq!(world.asked(KIND), 2, "the first one, and one ahead of its end");
}

#[test]
fn without_lists_a_status_is_counted_and_passes() {
    let world = World::new(&document(with_secret(), json!({})));
    let token = token("1", 7, URI);
    for _ in 0..3 {
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    }
    assert_eq!(world.count(Metric::StatusListUnchecked), 1);
    assert_eq!(world.asked(KIND), 0);
}

#[test]
fn a_list_is_no_access_token() {
    let world = world(json!({}));
    let list =
        list_at(START, URI, &[], json!({ "iss": ISSUER, "exp": START.s() + 60, "aud": "a" }));
    assert_eq!(world.ask(0, START, &list), Outcome::Refused(Reason::WrongType));
}

#[test]
fn a_refresh_that_fails_leaves_what_is_known_until_its_end() {
    let world = world(json!({}));
    serve(&world, START, &[]);
    let token = token("1", 7, URI);
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    world.serve(KIND, 500, "");
    for second in 50..60 {
        world.tick(0, START.plus_s(second));
        assert_eq!(world.ask(0, START.plus_s(second), &token), Outcome::Admitted);
    }
    assert!((1..5).contains(&world.count(Metric::StatusListFailed)));
    serve(&world, START.plus_s(61), &[7]);
    assert_eq!(world.ask(0, START.plus_s(90), &token), Outcome::Refused(Reason::Status));
}

#[test]
fn who_waits_finds_what_another_brought() {
    let world = world(json!({}));
    let fact = world.with(0, START, |facts| {
        let verified = facts.verify(token("1", 7, URI).as_bytes(), None).unwrap();
        match facts.status_is_valid(&verified) {
            Err(crate::facts::Stop::Missing(fact)) => *fact,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(fact, Fact::StatusList(0, URI.to_owned()));
    assert_eq!(world.with(0, START, |facts| facts.join(&fact)), Turn::Lead);
    assert_eq!(world.with(1, START, |facts| facts.join(&fact)), Turn::Follow);
    assert_eq!(world.ask(1, START, &token("2", 8, URI)), Outcome::Waits);
    let body = list_at(START, URI, &[8], json!({}));
    let headers = HeaderBlock::default();
    let answer = CallAnswer { status: 200, headers: &headers, body: body.as_bytes() };
    world.with(0, START, |facts| facts.learn(&fact, &answer));
    assert_eq!(world.ask(1, START, &token("2", 8, URI)), Outcome::Refused(Reason::Status));
}

#[test]
fn a_clock_that_goes_back_believes_no_list_of_the_future() {
    let world = world(json!({}));
    let ahead = START.plus_s(1_000);
    world.serve(KIND, 200, list_at(ahead, URI, &[], json!({})));
    let token = token("1", 7, URI);
    assert_eq!(world.ask(0, ahead, &token), Outcome::Admitted);
    serve(&world, START, &[7]);
    for worker in [0, 1] {
        // The pace of calls finds back to the clock in its own time; nothing opens before.
        let unavailable = Outcome::Refused(Reason::StatusUnavailable);
        if worker == 0 {
            assert_eq!(world.ask(0, START, &token), unavailable);
        }
        let outcome = world.ask(worker, START.plus_s(3), &token);
        assert_eq!(outcome, Outcome::Refused(Reason::Status), "worker {worker}");
    }
}
