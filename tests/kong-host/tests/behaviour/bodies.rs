//! Request and response bodies.

use crate::support::{Api, Rig, options};
use kong_host::http::{Request, Response, get};
use kong_host::{Options, Outcome};

fn sized(length: bool) -> Api {
    Api::start(move |request| {
        let size = request.target.trim_start_matches('/').parse().unwrap_or(0);
        let mut response = Response::new(200, vec![b'x'; size]);
        if !length {
            response.headers.clear();
        }
        response
    })
}

#[test]
fn a_request_body_comes_once_whole_and_with_the_end() {
    let rig = Rig::new("req_headers: body\nreq_body: eos\nreq_body: body");
    let body = vec![b'b'; 5000];
    assert_eq!(rig.host.request(0, Request::new("POST", "/").body(body.clone())).status(), 200);
    rig.logged("body=None");
    rig.logged("req_body size=5000 end=true");
    rig.logged("body=<5000 bytes>");
    assert_eq!((rig.count("req_body"), rig.api.last().body), (1, Some(body)));
}

#[test]
fn a_request_without_a_body_has_no_body_callback() {
    let rig = Rig::new("req_body: eos");
    rig.get("/");
    assert_eq!(rig.count("req_body"), 0);
}

#[test]
fn a_body_over_the_buffer_reads_as_none_and_still_reaches_the_api() {
    let rig = Rig::new("req_body: eos\nreq_body: body");
    rig.host.request(0, Request::new("POST", "/").body(vec![b'b'; 8192]));
    rig.logged("body=<8192 bytes>");
    rig.host.request(0, Request::new("POST", "/").body(vec![b'b'; 8193]));
    rig.logged("req_body size=8193 end=true");
    rig.logged("body=None");
    assert_eq!(rig.api.last().body.unwrap().len(), 8193);
    let rig = Rig::with("req_body: body", Options { body_buffer: 100, ..options() });
    rig.host.request(0, Request::new("POST", "/").body(vec![b'b'; 101]));
    rig.logged("body=None");
}

#[test]
fn end_of_stream_is_always_false_in_header_callbacks() {
    let rig = Rig::new("req_headers: eos\nresp_headers: eos");
    rig.get("/");
    rig.logged("req_headers size=1 end=false");
    assert_eq!(rig.count("end=true"), 0);
    assert_eq!(rig.count("resp_headers size="), 1);
}

#[test]
fn a_pause_in_the_response_body_delivers_it_again_whole() {
    for length in [true, false] {
        let rig = Rig::over(
            sized(length),
            "resp_body: eos\nresp_body@1: pause\nresp_body@2: setrbody changed",
            options(),
        );
        let response = rig.get("/10000").response();
        rig.logged("resp_body size=4096 end=false");
        rig.logged("resp_body size=10000 end=true");
        assert_eq!(response.text(), "changed");
    }
}

#[test]
fn a_short_response_paused_at_its_end_comes_again_at_once() {
    let rig = Rig::over(sized(true), "resp_body: eos\nresp_body@1: pause", options());
    assert_eq!(rig.get("/100").response().body.len(), 100);
    assert_eq!(rig.count("resp_body size=100 end=true"), 2);
}

#[test]
fn over_the_response_buffers_the_end_never_comes() {
    let rig = Rig::over(sized(true), "resp_body: eos\nresp_body@1: pause", options());
    assert_eq!(rig.get("/16384").response().body.len(), 16384);
    rig.logged("resp_body size=16384 end=true");
    let rig = Rig::over(sized(true), "resp_body: eos\nresp_body: pause", options());
    assert_eq!(rig.get("/20481").response().body.len(), 20481, "it passes unchanged");
    rig.logged("resp_body size=20480 end=false");
    assert_eq!(rig.count("end=true"), 0);
}

#[test]
fn without_a_pause_the_end_may_never_come() {
    let rig = Rig::over(sized(true), "resp_body: eos", options());
    assert_eq!(rig.get("/10000").response().body.len(), 10000);
    assert_eq!((rig.count("resp_body"), rig.count("end=true")), (3, 0), "with a content-length");
    rig.get("/100");
    rig.logged("resp_body size=100 end=true");
    let rig = Rig::over(sized(false), "resp_body: eos", options());
    assert_eq!(rig.get("/10000").response().body.len(), 10000);
    rig.logged("resp_body size=0 end=true");
}

#[test]
fn response_headers_can_be_set_in_their_callback_only() {
    let rig = Rig::new("resp_headers: rset x-new 1\nresp_headers: rdel content-length");
    let response = rig.get("/").response();
    assert_eq!(
        (response.header("x-new").as_deref(), response.header("content-length")),
        (Some("1"), None)
    );
    let rig = Rig::new("resp_body: rset x-new 1");
    assert!(matches!(rig.get("/"), Outcome::Cut));
    rig.logged("can only set response headers");
}

#[test]
fn a_reply_in_response_headers_keeps_the_old_content_length() {
    let rig = Rig::new("resp_headers: reply 403 replaced\nresp_headers: pause");
    let response = rig.get("/").response();
    assert_eq!((response.status, response.text().as_str()), (403, "replaced\n"));
    assert_eq!(
        response.header("content-length").as_deref(),
        Some("7"),
        "of the API's body: the framing breaks"
    );
    let rig = Rig::new(
        "resp_headers: rdel content-length\nresp_headers: reply 403 replaced\nresp_headers: pause",
    );
    let response = rig.get("/").response();
    assert_eq!((response.text().as_str(), response.header("content-length")), ("replaced\n", None));
}

#[test]
fn a_reply_after_the_body_has_begun_traps() {
    let rig = Rig::new("resp_body: reply 403");
    assert!(matches!(rig.get("/"), Outcome::Cut));
    rig.logged("response already sent");
}

#[test]
fn own_replies_pass_the_response_callbacks_and_end_in_a_newline() {
    let rig = Rig::new(
        "req_headers: reply 401 no\nresp_headers: rget :status\nresp_headers: rget x-filter\nresp_body: eos\nlog: rget :status",
    );
    let response = rig.get("/").response();
    assert_eq!((response.status, response.text().as_str()), (401, "no\n"));
    assert_eq!(get(&response.headers, "content-length"), Some(b"3".as_slice()));
    assert_eq!(rig.count("rget :status=401"), 2, "in the headers callback and in on_log");
    rig.logged("rget x-filter=yes");
    rig.logged("resp_body size=3 end=true");
    assert_eq!(rig.api.hits(), 0);
}

#[test]
fn a_head_request_has_no_body_callback() {
    let rig = Rig::new("resp_headers: eos\nresp_body: eos");
    assert_eq!(rig.host.request(0, Request::new("HEAD", "/")).status(), 200);
    assert_eq!((rig.count("resp_headers"), rig.count("resp_body")), (1, 0));
}
