//! Callouts, and what happens to the request that waits for them.

use crate::support::{Api, Rig, options, until};
use kong_host::http::{Request, get};
use kong_host::{Host, Outcome, serve_waits};
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn a_request_resumes_by_itself_after_the_callback() {
    let rig = Rig::new("req_headers: dispatch IDP /hello\nreq_headers: pause\ncall: cbody");
    assert_eq!(rig.get("/x").status(), 200);
    rig.logged("cbody=hello /hello");
    assert_eq!((rig.idp.hits(), rig.api.hits(), rig.host.deaths()), (1, 1, 0), "nobody resumed it");
}

#[test]
fn a_reply_in_the_callback_ends_the_request() {
    let rig = Rig::new("req_headers: dispatch IDP /hello\nreq_headers: pause\ncall: reply 401 no");
    assert_eq!(rig.get("/x").status(), 401);
    assert_eq!(rig.api.hits(), 0);
}

#[test]
fn a_further_call_in_the_callback_goes_on_waiting() {
    let rig = Rig::new(
        "req_headers: dispatch IDP /1\nreq_headers: pause\ncall@1: dispatch IDP /2\ncall@2: dispatch IDP /3\ncall@3: reply 200 done",
    );
    assert_eq!(rig.get("/x").response().text(), "done\n");
    assert_eq!((rig.idp.hits(), rig.api.hits()), (3, 0));
    assert_eq!(rig.host.callouts().len(), 3);
    assert_eq!(rig.host.calls_made(0), 3);
}

#[test]
fn several_calls_at_once_all_come_back_before_it_resumes() {
    let rig = Rig::new(
        "req_headers: dispatch IDP /slow\nreq_headers: dispatch IDP /fast\nreq_headers: pause\ncall: cbody",
    );
    assert_eq!(rig.get("/x").status(), 200);
    assert_eq!(
        (rig.count("cbody=hello /slow"), rig.count("cbody=hello /fast"), rig.api.hits()),
        (1, 1, 1)
    );
}

#[test]
fn a_pause_with_nothing_on_its_way_never_ends() {
    let rig = Rig::new("req_headers: pause");
    assert!(matches!(rig.get("/x"), Outcome::Stuck));
    assert_eq!(rig.api.hits(), 0);
}

#[test]
fn dispatch_and_continue_lets_the_request_go_and_kills_the_worker() {
    let rig = Rig::new("req_headers: dispatch IDP /hello");
    rig.get("/x");
    assert_eq!((rig.api.hits(), rig.host.deaths()), (1, 1));
}

#[test]
fn targets_are_host_and_port_v6_or_unix() {
    let socket = std::env::temp_dir().join(format!("kong-host-{}.sock", std::process::id()));
    serve_waits(&socket).unwrap();
    let rig = Rig::new(&format!(
        "req_headers: dispatch unix:{} /5\nreq_headers: pause\ncall: cget :status",
        socket.display()
    ));
    assert_eq!(rig.get("/x").status(), 200);
    rig.logged("cget :status=200");
    std::fs::remove_file(&socket).unwrap();

    if let Ok(listener) = TcpListener::bind("[::1]:0") {
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let rig = Rig::new(&format!(
            "req_headers: dispatch [::1]:{port} /\nreq_headers: pause\ncall: cget :dispatch_status"
        ));
        assert_eq!(rig.get("/x").status(), 200);
        rig.logged("cget :dispatch_status=broken connection");
    }
}

#[test]
fn a_bad_target_traps() {
    for target in ["idp", "127.0.0.1", "http://127.0.0.1:80", "unix:nowhere", "127.0.0.1:0"] {
        let rig = Rig::new(&format!("req_headers: dispatch {target} /\nreq_headers: pause"));
        assert_eq!(rig.get("/x").status(), 500, "{target}");
        assert_eq!((rig.api.hits(), rig.host.deaths()), (0, 0));
    }
}

#[test]
fn a_failed_call_has_no_headers_and_a_dispatch_status() {
    let rig = Rig::new(
        "req_headers: dispatch DEAD /\nreq_headers: pause\ncall: cget :status\ncall: cget :dispatch_status\ncall: cbody\ncall: reply 503",
    );
    assert_eq!(rig.get("/x").status(), 503);
    rig.logged("call headers=0 size=0");
    rig.logged("cget :status=None");
    rig.logged("cget :dispatch_status=broken connection");
    rig.logged("cbody=None");
}

#[test]
fn a_call_times_out() {
    let rig = Rig::new(
        "req_headers: dispatch IDP /slow 50\nreq_headers: pause\ncall: cget :dispatch_status\ncall: reply 503",
    );
    let start = Instant::now();
    assert_eq!(rig.get("/x").status(), 503);
    assert!(start.elapsed() < Duration::from_millis(250));
    rig.logged("cget :dispatch_status=timeout");
}

#[test]
fn calls_are_allowed_from_headers_body_tick_and_callback() {
    let rig = Rig::new(
        "configure: tick 10\ntick: dispatch IDP /tick\nroot_call@1: dispatch IDP /root\n\
         req_headers: dispatch IDP /headers\nreq_headers: pause\nreq_body: dispatch IDP /body\nreq_body: pause",
    );
    assert_eq!(rig.host.request(0, Request::new("POST", "/x").body("b")).status(), 200);
    rig.host.tick(0);
    until("the root's second call", || rig.idp.saw("/root"));
    assert!(rig.idp.saw("/headers") && rig.idp.saw("/body") && rig.idp.saw("/tick"));
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn calls_from_elsewhere_trap() {
    for phase in ["resp_headers", "log", "configure", "resp_body"] {
        let rig = Rig::new(&format!("{phase}: dispatch IDP /x"));
        let outcome = rig.get("/x");
        rig.logged("can only send HTTP dispatch");
        assert_eq!(rig.idp.hits(), 0);
        match phase {
            "resp_headers" => assert_eq!(outcome.status(), 500),
            "resp_body" => assert!(matches!(outcome, Outcome::Cut)),
            _ => {}
        }
    }
}

#[test]
fn a_call_closes_its_connection_and_names_its_authority() {
    let rig = Rig::new("req_headers: dispatch IDP /hello\nreq_headers: pause");
    rig.get("/x");
    let seen = rig.idp.last();
    assert_eq!(get(&seen.headers, "host"), Some(b"callout.test".as_slice()));
    assert_eq!(get(&seen.headers, "connection"), Some(b"close".as_slice()));
    assert_eq!(get(&seen.headers, "content-length"), Some(b"0".as_slice()));
}

#[test]
fn neighbours_proceed_while_a_request_is_paused() {
    let rig = Rig::new("req_headers /wait: dispatch IDP /slow\nreq_headers /wait: pause");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.get("/wait"));
        until("paused", || rig.host.paused() == 1);
        assert_eq!(rig.get("/x").status(), 200);
        assert_eq!(rig.host.paused(), 1, "the neighbour was quicker");
        assert_eq!(waiting.join().unwrap().status(), 200);
    });
}

#[test]
fn chained_waits_on_the_wait_socket() {
    let socket = std::env::temp_dir().join(format!("kong-host-chain-{}.sock", std::process::id()));
    serve_waits(&socket).unwrap();
    let unix = format!("unix:{}", socket.display());
    let rig = Rig::with(
        &format!(
            "req_headers: dispatch {unix} /20\nreq_headers: pause\ncall@1: dispatch {unix} /?ms=20\ncall@2: dispatch {unix} /20\n\
             call@3: reply 200 done"
        ),
        options(),
    );
    let start = Instant::now();
    assert_eq!(rig.get("/x").response().text(), "done\n");
    assert!(start.elapsed() >= Duration::from_millis(60));
    std::fs::remove_file(&socket).unwrap();
}

#[test]
fn a_chunked_answer_of_a_call_is_whole() {
    let chunked = Api::start(|_| kong_host::http::Response {
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; 5000],
    });
    let rig = Rig::new(&format!("req_headers: dispatch {} /\nreq_headers: pause", chunked.address));
    assert_eq!(rig.get("/x").status(), 200);
    rig.logged("size=5000");
}

/// A chain of two on one service: the first one answers after a callout, which takes 300 ms; the
/// second one does `then`.
fn answered_after_a_callout(api: &Api, then: &str) -> Host {
    let first = format!(
        "req_headers: dispatch {} /slow\nreq_headers: pause\ncall: reply 401 first",
        api.address
    );
    let filters = serde_json::json!([{ "filters": [{ "name": "fixture", "config": first }, { "name": "fixture", "config": then }] }]);
    let document = serde_json::json!({
        "services": [{ "name": "api", "url": format!("http://{}", api.address), "routes": [{ "name": "a", "paths": ["/"] }],
            "filter_chains": filters }],
    });
    Host::start(options(), &document.to_string()).unwrap()
}

#[test]
fn after_an_answer_the_next_filter_is_still_called() {
    let api = Api::plain();
    let host = answered_after_a_callout(&api, "req_headers: log second");
    let answer = host.request(0, Request::new("GET", "/x")).response();
    assert_eq!((answer.status, answer.body.as_slice()), (401, b"first\n".as_slice()));
    assert!(host.logged("second"));
    assert_eq!((host.upstream_requests(), host.deaths()), (0, 0));
}

#[test]
fn a_second_answer_traps_and_kills_the_worker_beside_paused_neighbours() {
    let api = Api::plain();
    let host = answered_after_a_callout(&api, "req_headers: reply 403 second");
    assert_eq!(host.request(0, Request::new("GET", "/x")).status(), 401);
    assert!(host.logged("local response already stashed"));
    assert_eq!(host.deaths(), 0);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| host.request(0, Request::new("GET", "/x")).status()))
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(statuses.contains(&401) && statuses.contains(&0), "{statuses:?}");
    assert_eq!(host.upstream_requests(), 0);
    assert!(host.deaths() >= 1);
}
