//! Credentials that are looked up: whose they are, and what becomes of their tokens when they
//! change.

use serde_json::{Value, json};

use crate::exchange::{Effect, Finish};
use crate::reply::Reason;
use crate::world::*;

const OTHER: &str = "another secret of thirty-two bytes";

fn lookup(more: Value) -> Value {
    let mut lookup = json!({ "uri": "https://admin.example/jwts/{key}", "cluster": "admin", "ttl_s": 60, "negative_ttl_s": 5 });
    lookup.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let issuer = json!({ "name": "legacy", "issuer": "*", "algorithms": ["HS256"], "credentials": { "lookup": lookup } });
    document(issuer, json!({}))
}

fn credential(key: &str, secret: &str) -> Value {
    json!({ "key": key, "secret": secret, "algorithm": "HS256" })
}

fn token(id: &str, secret: &str) -> String {
    hmac(secret, &json!({ "iss": id, "sub": "alice", "exp": START.s() + 3_600 }))
}

#[test]
fn an_answer_to_another_question_is_no_credential() {
    for answered in [
        credential("device-2", SECRET),
        credential("DEVICE-1", SECRET),
        credential("", SECRET),
        json!({ "secret": SECRET }),
        json!({ "data": [credential("device-1", SECRET)] }),
    ] {
        let world = World::new(&lookup(json!({})));
        world.serve("credential", 200, &answered);
        for worker in [0, 1] {
            assert_eq!(
                world.ask(worker, START, &token("device-1", SECRET)),
                Outcome::Refused(Reason::UnknownKey),
                "{answered}, worker {worker}"
            );
        }
        assert_eq!(world.asked("credential"), 1, "{answered}");
    }
}

#[test]
fn a_credential_that_changed_takes_its_tokens_along() {
    let world = World::new(&lookup(json!({})));
    world.serve("credential", 200, credential("device-1", SECRET));
    let (old, new) = (token("device-1", SECRET), token("device-1", OTHER));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &old), Outcome::Admitted);
        assert_eq!(world.ask(worker, START, &new), Outcome::Refused(Reason::BadSignature));
    }
    assert_eq!(world.asked("credential"), 1);
    world.serve("credential", 200, credential("device-1", OTHER));
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START.plus_s(59), &old), Outcome::Admitted, "worker {worker}");
    }
    for worker in [1, 0] {
        assert_eq!(
            world.ask(worker, START.plus_s(61), &old),
            Outcome::Refused(Reason::BadSignature),
            "worker {worker}"
        );
        assert_eq!(world.ask(worker, START.plus_s(61), &new), Outcome::Admitted, "worker {worker}");
    }
}

#[test]
fn a_credential_that_is_gone_takes_its_tokens_along_and_one_that_came_is_found() {
    let world = World::new(&lookup(json!({})));
    world.serve("credential", 200, credential("device-1", SECRET));
    let token = token("device-1", SECRET);
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
    }
    world.serve("credential", 404, "{}");
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START.plus_s(61), &token),
            Outcome::Refused(Reason::UnknownKey),
            "worker {worker}"
        );
    }
    assert_eq!(world.asked("credential"), 2);
    world.serve("credential", 200, credential("device-1", SECRET));
    for worker in [0, 1] {
        assert_eq!(
            world.ask(worker, START.plus_s(67), &token),
            Outcome::Admitted,
            "worker {worker}"
        );
    }
}

#[test]
fn no_id_has_the_credential_of_another() {
    let world = World::new(&lookup(json!({})));
    world.serve("credential", 200, credential("device-1", SECRET));
    assert_eq!(world.ask(0, START, &token("device-1", SECRET)), Outcome::Admitted);
    world.serve("credential", 200, credential("device-2", OTHER));
    for worker in [1, 0] {
        assert_eq!(
            world.ask(worker, START, &token("device-2", SECRET)),
            Outcome::Refused(Reason::BadSignature),
            "worker {worker}"
        );
        assert_eq!(
            world.ask(worker, START, &token("device-2", OTHER)),
            Outcome::Admitted,
            "worker {worker}"
        );
        assert_eq!(
            world.ask(worker, START, &token("device-1", OTHER)),
            Outcome::Refused(Reason::BadSignature),
            "worker {worker}"
        );
    }
}

#[test]
fn a_token_tells_the_consumer_whom_its_credential_belongs_to_now() {
    let world =
        World::new(&lookup(json!({ "consumer_uri": "https://admin.example/jwts/{key}/consumer" })));
    world.serve("credential", 200, credential("device-1", SECRET));
    world.serve("consumer", 200, json!({ "id": "1", "username": "first" }));
    let bearer = format!("Bearer {}", token("device-1", SECRET));
    let username = |worker: usize, after_s: u64| match world.send(
        worker,
        START.plus_s(after_s),
        request("GET", "/", &[("authorization", &bearer)]),
    ) {
        Effect::Finish(Finish::Admit(changes)) => changes
            .headers()
            .find(|(name, _)| *name == "x-consumer-username")
            .map(|(_, value)| value.to_owned()),
        _ => panic!("not admitted"),
    };
    for worker in [0, 1] {
        assert_eq!(username(worker, 0).as_deref(), Some("first"));
    }
    world.serve("consumer", 200, json!({ "id": "2", "username": "second" }));
    for worker in [1, 0] {
        assert_eq!(username(worker, 61).as_deref(), Some("second"), "worker {worker}");
    }
}
