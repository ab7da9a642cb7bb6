//! Which counter a request is charged to: the one that its own values name, whatever came before.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::request::Field;
use crate::world::{self, SECRET, START, World, document, hmac, with_secret};

/// Limits by each part of a key and by several: more than a token keeps names of.
const KEYS: [&[&str]; 12] = [
    &["issuer"],
    &["subject"],
    &["client_id"],
    &["consumer"],
    &["claim:plan"],
    &["capture:place"],
    &["address"],
    &["header:x-key"],
    &["route"],
    &["issuer", "subject", "capture:place"],
    &["client_id", "claim:plan"],
    &["subject", "header:x-key"],
];

fn limited() -> World {
    let limits: Vec<_> = KEYS
        .iter()
        .enumerate()
        .map(
            |(n, key)| json!({ "name": format!("limit-{n}"), "key": key, "limit": 9, "per_s": 60 }),
        )
        .collect();
    let mut issuer = with_secret();
    issuer["issuer"] = json!("https://{place}.example");
    issuer["consumer_claim"] = json!("plan");
    World::new(&document(issuer, json!({ "rate_limits": limits })))
}

/// One of four tokens: of two places, with a plan and a client or without.
fn token(n: usize) -> String {
    let place = if n.is_multiple_of(2) { "here" } else { "there" };
    let mut claims = world::claims("1");
    claims["iss"] = json!(format!("https://{place}.example"));
    if n < 2 {
        (claims["plan"], claims["client_id"]) = (json!("gold"), json!("app"));
    }
    hmac(SECRET, &claims)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_name_that_was_kept_is_the_one_that_would_be_made(
        requests in proptest::collection::vec(
            (0usize..4, 0usize..3, any::<bool>(), 0usize..3, Just((0..KEYS.len()).collect::<Vec<_>>()).prop_shuffle()),
            1..30,
        ),
    ) {
        let world = limited();
        for (n, place, claims_client, value, limits) in requests {
            // What the issuer's name says too, and what it never says.
            let captures: Vec<(String, String)> =
                ["here", "elsewhere"].get(place).map(|place| ("place".into(), (*place).into())).into_iter().collect();
            *world.shared.address.borrow_mut() = format!("192.0.2.{value}");
            let headers = world::request("GET", "/", &[("x-key", ["a", "b", ""][value])]);
            let request = Request {
                method: b"GET",
                target: b"/",
                host: b"api.example",
                headers: &headers,
                authorization: Field::None,
                has_reserved: false,
                surroundings: &world.shared,
            };
            let token = token(n);
            world.with(0, START, |facts| {
                let verified = match facts.verified_before(token.as_bytes()).unwrap() {
                    Some(verified) => verified,
                    None => facts.verify(token.as_bytes(), None).unwrap(),
                };
                let payer = Payer {
                    request: &request,
                    verified: Some(&verified),
                    claimed_client: claims_client.then_some("another"),
                    captures: &captures,
                };
                let claims = claims_of(facts, &limits, &payer);
                assert_eq!(claims.len(), KEYS.len());
                for (index, claim) in limits.iter().zip(claims) {
                    let made = counter_of(facts, &facts.runtime.host_key, claim.limit, &payer);
                    assert_eq!(claim.digest, made, "{:?}", KEYS[*index]);
                    assert_eq!(claim.limit.name, format!("limit-{index}"));
                }
            });
        }
    }
}
