//! The buffers that the host keeps of a request's callouts for its next one.

use crate::support::{Api, Rig, options};
use kong_host::http::Request;
use kong_host::{Host, Outcome};

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
    for left in ["/empty", "/empty 1000 a=b", "/slow 50"] {
        let (rig, outcome) = after(&[left, "/hello"]);
        assert!(matches!(outcome, Outcome::Reset), "{left}: {outcome:?}");
        assert_eq!((rig.host.deaths(), rig.api.hits()), (1, 0), "{left}");
    }
}

#[test]
fn after_a_call_with_a_body_it_is_so_once_its_callback_has_ended() {
    let (rig, outcome) = after(&["/hello 1000 a=b", "/hello 1000 a=b", "/hello"]);
    assert_eq!((outcome.status(), rig.host.deaths()), (418, 0));

    let api = Api::plain();
    let call = |more: &str| {
        format!("req_headers: dispatch {} /hello{more}\nreq_headers: pause", api.address)
    };
    let chain = |first: String| {
        serde_json::json!({ "filters": [
            { "name": "fixture", "config": first },
            { "name": "fixture", "config": call("") },
        ] })
    };
    for (first, deaths) in [(call(""), 0), (call(" 1000 a=b"), 1)] {
        let document = serde_json::json!({ "services": [{
            "name": "api", "url": format!("http://{}", api.address),
            "routes": [{ "name": "a", "paths": ["/"] }], "filter_chains": [chain(first)],
        }] });
        let host = Host::start(options(), &document.to_string()).unwrap();
        host.request(0, Request::new("GET", "/x"));
        assert_eq!(host.deaths(), deaths);
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
