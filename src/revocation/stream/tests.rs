//! Whatever a stream forgets, tokens of that time are refused.

use super::*;
use crate::digest::HostKey;
use crate::jwt::{Claims, json};
use crate::revocation::floors::{of_issuer, of_subject};
use crate::revocation::names::of_id;
use crate::shared::document::DOCUMENT_BYTES_MAX;
use proptest::prelude::*;

const NOW: Time = Time::from_s(1_000_000);

fn key() -> HostKey {
    HostKey::new(&[5; 32], b"")
}

fn of(sub: u64, iat: u64) -> Told {
    let claims = format!(r#"{{"iss":"i","sub":"{sub}","iat":{iat}}}"#);
    Told::of(&key(), &Claims::from_map(json::object(claims.as_bytes()).unwrap()).unwrap())
}

fn floor(sub: u64, before_s: u64) -> (Name, u64) {
    (of_subject(&key(), "i", &sub.to_string()), before_s)
}

fn begin() -> Stream {
    Stream::begin(of_issuer(&key(), "i"), NOW)
}

#[test]
fn what_was_issued_before_the_stream_was_known_is_refused() {
    let stream = begin();
    assert!(stream.refuses(&of(1, NOW.s() - 1), None));
    assert!(!stream.refuses(&of(1, NOW.s()), None));
    let told = |claims: &str| {
        Told::of(&key(), &Claims::from_map(json::object(claims.as_bytes()).unwrap()).unwrap())
    };
    assert!(stream.refuses(&told(r#"{"iss":"i","sub":"1"}"#), None), "nobody knows when");
    assert!(!stream.refuses(&told(r#"{"iss":"other","sub":"1","iat":5}"#), None));
    assert!(!stream.refuses(&told(r#"{"sub":"1"}"#), None));
}

#[test]
fn a_token_that_is_named_is_refused_whenever_it_was_issued() {
    let id = of_id(&key(), "i", "j");
    let stream = begin().with([(short(&id), NOW.s() + 1)]);
    assert!(stream.refuses(&of(1, NOW.s() + 50), Some(&id)));
    assert!(!stream.refuses(&of(1, NOW.s() + 50), Some(&of_id(&key(), "i", "k"))));
}

#[test]
fn floors_without_end_take_the_room_of_twenty_thousand() {
    let mut stream = begin();
    let mut raised = 0;
    for n in 0..100u64 {
        let more = (0..1_000).map(|m| floor(n * 1_000 + m, NOW.s() + n));
        stream = stream.with(more);
        raised += u32::from(stream.tidy(NOW.plus_s(n), None));
        assert!(stream.len() <= FLOORS_MAX && stream.to_bytes().len() <= DOCUMENT_BYTES_MAX);
    }
    assert!(raised > 10, "{raised}");
    // None of all these is forgotten.
    for sub in (1_000..100_000).step_by(97) {
        assert!(stream.refuses(&of(sub, NOW.s() + sub / 1_000 - 1), None), "{sub}");
    }
    assert!(!stream.refuses(&of(100_000, NOW.s() + 100), None));
}

#[test]
fn floors_of_tokens_that_have_ended_go() {
    let mut stream = begin().with((1..=100).map(|n| floor(n, NOW.s() + n)));
    let now = NOW.plus_s(3_600 + LEEWAY_S_MAX + 50);
    assert!(!stream.tidy(now, Some(3_600)));
    assert_eq!(stream.len(), 50);
    assert!(stream.refuses(&of(1, NOW.s()), None) && !stream.refuses(&of(1, NOW.s() + 50), None));
    let before = stream.clone();
    assert!(!stream.tidy(now, None));
    assert!(stream == before, "where nothing ends them they stay");
}

proptest! {
    /// In whatever order workers tell each other, what one was told is refused, and nothing that
    /// was issued after all of it.
    #[test]
    fn streams_join_to_all_of_both(one in proptest::collection::vec((0u64..6, 0u64..90), 0..30), other in proptest::collection::vec((0u64..6, 0u64..90), 0..30), later in 0u64..60) {
        let told = |list: &[(u64, u64)]| list.iter().map(|(sub, s)| floor(*sub, NOW.s() + s)).collect::<Vec<_>>();
        let mut a = begin().with(told(&one));
        a.was_read = true;
        let mut b = Stream::begin(of_issuer(&key(), "i"), NOW.plus_s(later)).with(told(&other));
        b.tidy(NOW.plus_s(100 + LEEWAY_S_MAX), Some(60));
        let joined = a.joined(&b);
        prop_assert!(joined == b.joined(&a) && joined == joined.joined(&a) && joined == joined.joined(&b));
        for (sub, s) in one.iter().chain(&other) {
            prop_assert!(*s == 0 || joined.refuses(&of(*sub, NOW.s() + s - 1), None));
        }
        for sub in 0..6 {
            prop_assert!(!joined.refuses(&of(sub, NOW.s() + 90), None));
        }
        prop_assert!(Stream::from_bytes(&joined.to_bytes()) == Some(joined));
    }
}
