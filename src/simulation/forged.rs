//! A million made-up tokens, opaque ones and forged JWTs: they take no room from what good clients
//! have, and leave room for new ones. Fewer in a debug build; `make sim` makes them all.

use serde_json::json;

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::world::*;

const MADE_UP: u64 = if cfg!(debug_assertions) { 20_000 } else { 1_000_000 };
/// Good clients, each with a token of either kind.
const GOOD: u64 = 50;
/// Requests in one second of the flood.
const PER_S: u64 = 40_000;

#[test]
fn a_million_made_up_tokens_take_no_room_from_good_ones() {
    let endpoint = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "gateway",
        "client_secret": "secret-of-the-gateway", "ttl_s_max": 3600, "negative_ttl_s": 300, "calls_per_s_max": 100_000 });
    let mut document = document(
        json!({ "name": "opaque", "issuer": ISSUER, "tokens": "opaque", "audiences": ["a"], "introspection": endpoint }),
        json!({}),
    );
    let key = Key::new(1);
    let idp = json!({ "name": "idp", "issuer": "https://jwt.example", "algorithms": ["ES256"],
        "keys": [{ "jwk": key.jwk("k") }] });
    document["issuers"].as_array_mut().unwrap().push(idp);
    let world = World::new(&document);
    let end_s = START.s() + 3_600;
    let active = json!({ "active": true, "sub": "alice", "aud": "a", "exp": end_s });
    let opaque = |n: u64| format!("good-{n}-2YotnFZFEjr1zCsicMWpAA");
    let claims = |n: u64| {
        json!({ "iss": "https://jwt.example", "sub": "bob", "jti": n.to_string(),
            "iat": START.s(), "exp": end_s })
    };
    let jwt = |n: u64| key.token("k", &claims(n));
    // Nobody's, and refused before any arithmetic: r and s are zero.
    let template = jwt(0);
    let made_up = |n: u64| {
        let other = with_claims(&template, &claims(n));
        format!("{}.{}", other.rsplit_once('.').unwrap().0, "A".repeat(86))
    };
    // Each token is met by one of the workers: what the other has of it lies in shared memory.
    world.serve("introspection", 200, &active);
    for n in 0..GOOD {
        for token in [opaque(n), jwt(n)] {
            assert_eq!(world.ask(n as usize % 2, START, &token), Outcome::Admitted);
        }
    }
    assert_eq!(
        (u64::from(world.asked("introspection")), u64::from(world.count(Metric::Verified))),
        (GOOD, GOOD)
    );

    world.serve("introspection", 200, json!({ "active": false }));
    let mut rng = crate::simulation::schedule::Rng::new(7);
    for n in 0..MADE_UP {
        let (worker, now) = (n as usize % 2, START.plus_ms(n * 1_000 / PER_S));
        let random = rng.next();
        let (token, reason) = match n % 2 {
            0 => (format!("{random:016x}{n:016x}"), Reason::Inactive),
            _ => (made_up(GOOD + n), Reason::BadSignature),
        };
        let outcome = world.ask(worker, now, &token);
        let capped = Outcome::Refused(Reason::IntrospectionUnavailable);
        assert!([Outcome::Refused(reason), capped].contains(&outcome), "{n}: {outcome:?}");
        world.shared.trace.borrow_mut().clear();
    }
    let asked = world.asked("introspection");
    assert!(u64::from(asked) > MADE_UP / 4, "they were asked about: {asked}");

    // The endpoint would know of none of them now, and the key would verify none anew.
    let now = START.plus_ms(MADE_UP * 1_000 / PER_S);
    let verified = world.count(Metric::Verified);
    for n in 0..GOOD {
        for worker in [0, 1] {
            for token in [opaque(n), jwt(n)] {
                assert_eq!(world.ask(worker, now, &token), Outcome::Admitted, "{n} on {worker}");
            }
        }
    }
    assert_eq!(world.asked("introspection"), asked, "no good token was asked about again");
    assert_eq!(world.count(Metric::Verified), verified, "nor verified again");
    // And a new client has room as ever: the other worker finds what one has learnt.
    world.serve("introspection", 200, &active);
    for n in GOOD..2 * GOOD {
        for worker in [0, 1] {
            for token in [opaque(n), jwt(n)] {
                assert_eq!(world.ask(worker, now, &token), Outcome::Admitted, "{n} on {worker}");
            }
        }
    }
    assert_eq!(u64::from(world.asked("introspection") - asked), GOOD);
    assert_eq!(u64::from(world.count(Metric::Verified) - verified), GOOD);
    assert_eq!(world.count(Metric::SharedFull), 0);
}
