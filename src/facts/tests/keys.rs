//! When keys are fetched, from where, and what an answer may say.

use serde_json::{Value, json};

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::world::*;

#[test]
fn tokens_of_unknown_keys_cause_one_fetch_an_interval_on_all_workers_together() {
    let (world, key, stranger) =
        (World::new(&document(fetched(), json!({}))), Key::new(1), Key::new(2));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    assert_eq!(world.ask(0, START, &key.token("k", &claims("1"))), Outcome::Admitted);
    assert_eq!(world.asked("keys"), 1);
    // Made-up names, two a second for a minute, by turns.
    for half in 0..120u64 {
        let token = stranger.token(&format!("k{half}"), &claims("2"));
        let outcome = world.ask((half % 2) as usize, START.plus_ms(1_000 + half * 500), &token);
        assert_eq!(outcome, Outcome::Refused(Reason::UnknownKey), "{half}");
    }
    let asked = world.asked("keys") - 1;
    assert!((2..=3).contains(&asked), "{asked} fetches in a minute, refetch_s is 30");
    assert_eq!(world.count(Metric::JwksUnknownKid), asked);
    // A key that is really new is found after the interval, on both.
    world.serve("keys", 200, jwks(&[key.jwk("k"), stranger.jwk("new")]));
    let later = START.plus_s(100);
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, later, &stranger.token("new", &claims("3"))),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
    assert_eq!(world.asked("keys"), asked + 2);
}

fn discovery() -> Value {
    let mut issuer = fetched();
    issuer.as_object_mut().unwrap().remove("jwks_uri");
    issuer["discovery"] = json!(true);
    issuer
}

#[test]
fn metadata_is_believed_of_its_own_issuer_alone_and_leads_to_https_alone() {
    let key = Key::new(1);
    let token = key.token("k", &claims("1"));
    for (issuer, uri, outcome) in [
        (ISSUER, "https://keys.example/jwks", Outcome::Admitted),
        (
            "https://idp.example/",
            "https://keys.example/jwks",
            Outcome::Refused(Reason::KeysUnavailable),
        ),
        (
            "https://evil.example",
            "https://keys.example/jwks",
            Outcome::Refused(Reason::KeysUnavailable),
        ),
        (ISSUER, "http://keys.example/jwks", Outcome::Refused(Reason::KeysUnavailable)),
        (ISSUER, "/jwks", Outcome::Refused(Reason::KeysUnavailable)),
    ] {
        let world = World::new(&document(discovery(), json!({})));
        world.serve("metadata", 200, json!({ "issuer": issuer, "jwks_uri": uri }));
        world.serve("keys", 200, jwks(&[key.jwk("k")]));
        for worker in [0, 1] {
            assert_eq!(
                world.ask(worker, START, &token),
                outcome,
                "{issuer} {uri} on worker {worker}"
            );
        }
        assert_eq!(
            (world.asked("metadata"), world.asked("keys")),
            (1, u32::from(outcome == Outcome::Admitted)),
            "{issuer} {uri}"
        );
    }
}

#[test]
fn an_answer_that_is_no_set_leaves_the_old_one_in_force() {
    let (world, key) = (World::new(&document(fetched(), json!({}))), Key::new(1));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    assert_eq!(world.ask(0, START, &key.token("k", &claims("1"))), Outcome::Admitted);
    let at = |s: u64, n: u64| {
        key.token(
            "k",
            &json!({ "iss": ISSUER, "aud": "a", "jti": n.to_string(), "exp": START.s() + s + 60 }),
        )
    };
    for (n, (status, body)) in [
        (500, "{}"),
        (200, "no JSON"),
        (200, "[]"),
        (200, r#"{"keys":{}}"#),
        (404, r#"{"keys":[]}"#),
    ]
    .into_iter()
    .enumerate()
    {
        world.serve("keys", status, body);
        let now_s = 700 + n as u64 * 100;
        for worker in [0, 1] {
            world.tick(worker, START.plus_s(now_s));
            let token = at(now_s, n as u64 * 2 + worker as u64);
            assert_eq!(
                world.ask(worker, START.plus_s(now_s), &token),
                Outcome::Admitted,
                "{status} {body} on worker {worker}"
            );
        }
    }
    assert_eq!(world.count(Metric::JwksFetched), 1);
}

#[test]
fn while_their_server_fails_nobody_asks_it_before_its_time_and_no_token_is_called_bad() {
    let (world, key) = (World::new(&document(fetched(), json!({}))), Key::new(1));
    let token = key.token("k", &claims("1"));
    world.serve("keys", 503, "");
    for tenth in 0..100u64 {
        let outcome = world.ask((tenth % 2) as usize, START.plus_ms(tenth * 100), &token);
        assert_eq!(outcome, Outcome::Refused(Reason::KeysUnavailable), "{tenth}");
    }
    // Pauses of about 1, 2, 4 and 8 s.
    assert!((3..=6).contains(&world.asked("keys")), "{}", world.asked("keys"));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(60), &token), Outcome::Admitted);
    }
}

#[test]
fn one_issuers_keys_are_no_others() {
    let mut other = fetched();
    (other["name"], other["issuer"], other["jwks_uri"]) =
        (json!("other"), json!("https://other.example"), json!("https://other.example/jwks"));
    let mut document = document(fetched(), json!({}));
    document["issuers"].as_array_mut().unwrap().push(other);
    let (world, key, stranger) = (World::new(&document), Key::new(1), Key::new(2));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    assert_eq!(world.ask(0, START, &key.token("k", &claims("1"))), Outcome::Admitted);
    // The other issuer's server has another key of that name.
    world.serve("keys", 200, jwks(&[stranger.jwk("k")]));
    let mut of_other = claims("1");
    of_other["iss"] = json!("https://other.example");
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START, &key.token("k", &of_other)),
            Outcome::Refused(Reason::BadSignature),
            "worker {worker}"
        );
        assert_eq!(
            world.ask(worker, START, &stranger.token("k", &of_other)),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
    // From here on nobody brings the first issuer another set.
    world.serve("keys", 503, "");
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START, &stranger.token("k", &claims("1"))),
            Outcome::Refused(Reason::BadSignature),
            "worker {worker}"
        );
    }
}

#[test]
fn a_set_on_another_host_has_a_cluster_of_its_own() {
    use crate::config::{Config, HostKind};
    use crate::facts::Fact;
    let uri = || crate::callout::Uri::parse("https://keys.example/jwks");
    for (jwks, cluster) in [(json!({}), "idp"), (json!({ "cluster": "keys" }), "keys")] {
        let mut issuer = discovery();
        issuer["jwks"] = jwks;
        let text = document(issuer, json!({})).to_string();
        let config = Config::load(text.as_bytes(), &|_| None, HostKind::Envoy).unwrap();
        let call = |fact: Fact| fact.call(&config).unwrap().cluster.unwrap();
        assert_eq!(call(Fact::Metadata(0)), "idp");
        assert_eq!(call(Fact::Keys(0, uri())), cluster);
    }
}
