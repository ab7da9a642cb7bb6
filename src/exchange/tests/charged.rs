//! Which counters the requests of a remembered token are charged to.

use super::*;

/// Two requests a day, for each user of each place that the path or the issuer's name says.
fn limited(key: Value) -> World {
    let mut document = document(
        false,
        json!({
            "rate_limits": [
                { "name": "by-place", "key": key, "quota": 2, "window": "day" },
                { "name": "by-user", "key": ["subject"], "quota": 6, "window": "day" }
            ],
            "rules": [
                { "match": { "path": "/plain" }, "limits": ["by-user", "by-place"] },
                { "match": { "path_template": "/places/{place}" }, "limits": ["by-place", "by-user"] }
            ]
        }),
    );
    let issuer = document["issuers"][0].as_object_mut().unwrap();
    issuer.insert("issuer".into(), json!("https://{place}.example"));
    World::new(&document)
}

fn token_of(place: &str, user: &str) -> String {
    let claims = json!({ "iss": format!("https://{place}.example"), "aud": "a", "sub": user, "exp": NOW.s() + 600 });
    signed("HS256", &claims)
}

fn passes(world: &World, token: &str, path: &str) -> bool {
    let headers = world::request("GET", path, &[("authorization", &format!("Bearer {token}"))]);
    let mut exchange = Exchange::new(headers, None, ENVOY);
    match world.with(0, NOW, |facts| exchange.step(Input::Begin, facts, &world.shared)) {
        Effect::Finish(Finish::Admit(_)) => true,
        Effect::Finish(Finish::Answer(answer)) => {
            assert_eq!(answer.status, 429);
            false
        }
        _ => panic!("not decided"),
    }
}

/// The same whether the name of its counter was made by this request or by one before.
#[test]
fn each_token_and_each_limit_has_its_own() {
    let world = limited(json!(["issuer", "subject"]));
    let [alice, bob] = ["alice", "bob"].map(|user| token_of("here", user));
    let elsewhere = token_of("there", "alice");
    for token in [&alice, &bob, &elsewhere] {
        let passed = (0..3).filter(|_| passes(&world, token, "/plain")).count();
        assert_eq!(passed, 2);
    }
    assert!(passes(&world, &token_of("elsewhere", "alice"), "/plain"), "five of six by now");
    assert!(passes(&world, &token_of("yonder", "alice"), "/plain"), "six");
    assert!(!passes(&world, &token_of("far", "alice"), "/plain"), "one user, however many issuers");
}

/// What the path says goes before what the issuer's name says, in each request anew.
#[test]
fn a_capture_of_the_path_is_not_the_token_s() {
    let world = limited(json!(["capture:place"]));
    let token = token_of("here", "alice");
    assert!(passes(&world, &token, "/plain"));
    for place in ["one", "two"] {
        let path = format!("/places/{place}");
        assert!(passes(&world, &token, &path));
        assert!(passes(&world, &token, &path));
        assert!(!passes(&world, &token, &path), "{place} has had its two");
    }
    let other = token_of("here", "bob");
    assert!(passes(&world, &other, "/places/here"), "the second of here");
    assert!(!passes(&world, &other, "/plain"), "which is one place, by path or by issuer");
    assert!(!passes(&world, &other, "/places/here"));
}
