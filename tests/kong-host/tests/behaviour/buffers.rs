//! The buffers that the host keeps of a request's callouts for its next one.

use crate::support::Rig;
use kong_host::Outcome;

/// A request that makes these calls one after the other, each `PATH [TIMEOUT BODY]` at the second
/// server; then it is answered with 418.
fn after(calls: &[&str]) -> (Rig, Outcome) {
    let mut program = String::from("req_headers: pause\n");
    for (at, call) in calls.iter().enumerate() {
        let phase = if at == 0 { "req_headers".into() } else { format!("call@{at}") };
        let target = if call.starts_with('/') { "IDP " } else { "" };
        program += &format!("{phase}: dispatch {target}{call}\n");
    }
    program += &format!("call@{}: reply 418 done", calls.len());
    let rig = Rig::new(&program);
    let outcome = rig.get("/x");
    (rig, outcome)
}

#[test]
fn an_answer_after_one_without_a_body_is_copied_past_the_end_of_its_buffer() {
    for left in ["/empty", "/hello 1000 a=b", "/slow 50"] {
        let (rig, outcome) = after(&[left, "/hello"]);
        assert!(matches!(outcome, Outcome::Reset), "{left}: {outcome:?}");
        assert_eq!((rig.host.deaths(), rig.api.hits()), (1, 0), "{left}");
    }
}

#[test]
fn one_without_a_body_or_of_a_byte_is_not() {
    let (rig, outcome) = after(&["/empty", "/empty", "/byte"]);
    assert_eq!((outcome.status(), rig.host.deaths()), (418, 0));
}

#[test]
fn a_byte_takes_the_buffer_away() {
    for left in ["/empty", "/hello 1000 a=b", "/empty 1000 a=b", "/slow 50"] {
        let (rig, outcome) = after(&[left, "/byte", "/hello"]);
        assert_eq!((outcome.status(), rig.host.deaths()), (418, 0), "{left}");
    }
}

#[test]
fn a_call_that_was_not_sent_leaves_none() {
    let (rig, outcome) = after(&["DEAD /hello", "/hello"]);
    assert_eq!((outcome.status(), rig.host.deaths()), (418, 0));
}

#[test]
fn a_reply_after_a_call_with_a_body_and_none_in_its_answer_is_lost() {
    let (rig, outcome) = after(&["/empty 1000 a=b"]);
    assert!(matches!(outcome, Outcome::Reset), "{outcome:?}");
    assert_eq!((rig.host.deaths(), rig.api.hits()), (0, 0));
    let (_, outcome) = after(&["/empty 1000 a=b", "/byte"]);
    assert_eq!(outcome.status(), 418);
}
