//! Lists that are signed: what is believed, and what isn't.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::facts::{Fact, Turn};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::world::*;

use super::*;

fn document(more: Value) -> Value {
    let mut feed = json!({ "kind": "signed", "issuer": "idp", "cluster": "idp", "every_s": 10,
        "uri": "https://idp.example/revoked.jwt" });
    feed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "issuers": [
            { "name": "idp", "issuer": ISSUER, "algorithms": ["HS256"], "keys": [{ "secret": SECRET }] },
            { "name": "other", "issuer": "https://other.example", "algorithms": ["HS256"],
              "keys": [{ "secret": "another secret of thirty-two bytes" }] },
        ],
        "revocation": { "feeds": [feed] },
        "shared": { "secret": "shared-secret-of-thirty-two-bytes-or-more" },
    })
}

fn token(sub: &str) -> String {
    let iat = START.s() - 60;
    hmac(SECRET, &json!({ "iss": ISSUER, "sub": sub, "iat": iat, "exp": START.s() + 86_400 }))
}

fn list(sequence: u64, sub: &str) -> Value {
    json!({ "sequence": sequence, "revoked": [{ "iss": ISSUER, "sub": sub, "before": START.s() }] })
}

fn header() -> Value {
    json!({ "alg": "HS256", "typ": "revocation-list+jwt" })
}

/// One tick, in which each feed that is due is answered so.
fn tick(world: &World, worker: usize, now: Time, status: u16, body: &str) -> usize {
    world.with(worker, now, |facts| {
        let due: Vec<Fact> =
            facts.due().into_iter().filter(|fact| facts.join(fact) == Turn::Lead).collect();
        for fact in &due {
            let headers = HeaderBlock::default();
            facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() });
        }
        due.len()
    })
}

fn why(world: &World, worker: usize) -> Option<FeedError> {
    world.with(worker, START, |facts| facts.feed_refused(0))
}

#[test]
fn a_list_that_the_issuer_signed_is_believed() {
    for world in World::both(&document(json!({}))) {
        let types = [
            json!({ "alg": "HS256", "typ": "revocation-list+jwt" }),
            json!({ "alg": "HS256", "typ": "application/Revocation-List+JWT" }),
            json!({ "alg": "HS256", "typ": "JWT" }),
            json!({ "alg": "HS256" }),
        ];
        for (n, header) in types.iter().enumerate() {
            let now = START.plus_s(10 * n as u64);
            let mut body = list(n as u64, &format!("user-{n}"));
            body["iss"] = json!(ISSUER);
            body["exp"] = json!(now.s() + 60);
            assert_eq!(tick(&world, n % 2, now, 200, &hmac_with(header, SECRET, &body)), 1);
            assert_eq!(why(&world, n % 2), None);
            for worker in [0, 1] {
                let revoked = world.ask(worker, now, &token(&format!("user-{n}")));
                assert_eq!(revoked, Outcome::Refused(Reason::Revoked));
                assert_eq!(world.ask(worker, now, &token("another")), Outcome::Admitted);
            }
        }
        assert_eq!(world.count(Metric::RevocationFeedRead), 4);
    }
}

#[test]
fn what_the_issuer_did_not_sign_or_not_now_changes_nothing() {
    let with = |member: &str, value: Value| {
        let mut body = list(9, "other");
        body[member] = value;
        hmac_with(&header(), SECRET, &body)
    };
    let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", segment(&json!({ "alg": "none" })), segment(&list(9, "x")));
    let good = hmac_with(&header(), SECRET, &list(9, "other"));
    let typed =
        |typ: &str| hmac_with(&json!({ "alg": "HS256", "typ": typ }), SECRET, &list(9, "x"));
    let answers = [
        (list(9, "other").to_string(), FeedError::NotSigned),
        (unsigned, FeedError::NotSigned),
        (format!("{good}."), FeedError::NotSigned),
        (String::new(), FeedError::NotSigned),
        (hmac_with(&json!({ "alg": "HS512" }), SECRET, &list(9, "x")), FeedError::NotSigned),
        (
            hmac_with(&header(), "another secret of thirty-two bytes", &list(9, "x")),
            FeedError::BadSignature,
        ),
        (forged(&good), FeedError::BadSignature),
        (typed("at+jwt"), FeedError::WrongType),
        (typed("secevent+jwt"), FeedError::WrongType),
        (with("iss", json!("https://other.example")), FeedError::WrongIssuer),
        (with("exp", json!(START.s())), FeedError::Expired),
        (with("exp", json!("tomorrow")), FeedError::NotAFeed),
        (with("revoked", json!([{ "iss": ISSUER, "sub": "x" }])), FeedError::NotAFeed),
        (hmac_with(&header(), SECRET, &list(4, "other")), FeedError::Older),
        (token("other"), FeedError::NotAFeed),
    ];
    for world in World::both(&document(json!({}))) {
        tick(&world, 0, START, 200, &hmac_with(&header(), SECRET, &list(5, "alice")));
        let mut now = START;
        for (n, (body, expected)) in answers.iter().enumerate() {
            now = now.plus_s(60);
            assert_eq!(tick(&world, n % 2, now, 200, body), 1);
            assert_eq!(why(&world, n % 2).as_ref(), Some(expected), "{body}");
            for worker in [0, 1] {
                let alice = world.ask(worker, now, &token("alice"));
                assert_eq!(alice, Outcome::Refused(Reason::Revoked), "{expected:?}");
                assert_eq!(world.ask(worker, now, &token("other")), Outcome::Admitted);
            }
        }
        assert_eq!(world.count(Metric::RevocationFeedFailed), answers.len() as u32);
    }
}

#[test]
fn not_modified_is_no_answer_once_the_list_has_ended() {
    let world = World::new(&document(json!({})));
    let mut body = list(1, "alice");
    body["exp"] = json!(START.s() + 60);
    let signed = hmac_with(&header(), SECRET, &body);
    world.with(0, START, |facts| {
        let due = facts.due();
        assert_eq!(facts.join(&due[0]), Turn::Lead);
        let headers = HeaderBlock::from_pairs([("etag", &b"\"1\""[..])]);
        let body = signed.as_bytes();
        facts.learn(&due[0], &CallAnswer { status: 200, headers: &headers, body });
    });
    let tag = |now: Time| world.with(0, now, |facts| facts.due().into_iter().next());
    assert_eq!(tag(START.plus_s(20)), Some(Fact::Feed(0, Some("\"1\"".to_owned()))));
    assert_eq!(tick(&world, 0, START.plus_s(20), 304, ""), 1);
    // 30 seconds of leeway.
    assert_eq!(tag(START.plus_s(95)), Some(Fact::Feed(0, None)));
    assert_eq!(tick(&world, 0, START.plus_s(95), 304, ""), 1);
    assert_eq!(why(&world, 0), Some(FeedError::Expired));
    assert_eq!(
        world.ask(0, START.plus_s(95), &token("alice")),
        Outcome::Refused(Reason::Revoked),
        "what is known holds on"
    );
}

/// The same address served lists without a signature before.
#[test]
fn what_was_believed_unsigned_is_not_believed_where_a_signature_is_asked_for() {
    let unsigned = document(json!({ "kind": "list" }));
    let mut unsigned = unsigned;
    unsigned["revocation"]["feeds"][0].as_object_mut().unwrap().remove("issuer");
    let signed = document(json!({}));
    let world = World::of(&[unsigned, signed]);
    tick(&world, 0, START, 200, &list(9, "alice").to_string());
    assert_eq!(world.ask(0, START, &token("alice")), Outcome::Refused(Reason::Revoked));
    tick(&world, 1, START, 200, &hmac_with(&header(), SECRET, &list(1, "bob")));
    assert_eq!(why(&world, 1), None);
    assert_eq!(world.ask(1, START, &token("alice")), Outcome::Admitted);
    assert_eq!(world.ask(1, START, &token("bob")), Outcome::Refused(Reason::Revoked));
}

#[test]
fn a_signed_list_is_no_token() {
    let world = World::new(&document(json!({})));
    let mut body = list(1, "alice");
    body["iss"] = json!(ISSUER);
    body["exp"] = json!(START.s() + 60);
    for typ in ["revocation-list+jwt", "JWT"] {
        let signed = hmac_with(&json!({ "alg": "HS256", "typ": typ }), SECRET, &body);
        tick(&world, 0, START, 200, &signed);
        assert_eq!(world.ask(0, START, &signed), Outcome::Refused(Reason::WrongType), "{typ}");
    }
}
