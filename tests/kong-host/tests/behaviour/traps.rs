//! What a trap opens, what it kills, and what the latch on the upstream's scheme keeps shut.

use crate::support::{Rig, fixture, options, until};
use kong_host::http::Request;
use kong_host::{Options, Outcome};

const LATCH: &str = "req_headers: setprop ngx.upstream_scheme herdgate\n";

/// A waiting neighbour, then a request that traps; what became of both.
fn with_a_neighbour(program: &str, trapping: Request) -> (Rig, Outcome, Outcome) {
    let rig = Rig::new(program);
    let (waiting, trapped) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.get("/wait"));
        until("paused", || rig.host.paused() == 1);
        let trapped = rig.host.request(0, trapping);
        (waiting.join().unwrap(), trapped)
    });
    (rig, waiting, trapped)
}

const WAIT: &str =
    "req_headers /wait: dispatch IDP /slow\nreq_headers /wait: pause\ncall /wait: reply 401\n";

#[test]
fn a_trap_alone_is_500_and_a_new_instance_without_statics() {
    let rig = Rig::new("req_headers: static\nreq_headers /trap: trap");
    rig.get("/");
    rig.get("/");
    rig.logged("static=2");
    assert_eq!(rig.get("/trap").status(), 500);
    assert_eq!(rig.api.hits(), 2, "the API has not seen it");
    assert_eq!(rig.get("/").status(), 200);
    assert_eq!(rig.count("static=1"), 2, "statics began anew");
    assert_eq!(
        (rig.host.deaths(), rig.count("vm_start")),
        (0, 1),
        "on_vm_start is not called again"
    );
}

#[test]
fn a_trap_in_the_body_callback_alone_is_500() {
    let rig = Rig::new("req_body: trap");
    assert_eq!(rig.host.request(0, Request::new("POST", "/").body("x")).status(), 500);
    assert_eq!((rig.api.hits(), rig.host.deaths()), (0, 0));
}

#[test]
fn a_trap_in_a_callouts_callback_sends_the_request_upstream_and_kills_the_worker() {
    let rig = Rig::new("req_headers: dispatch IDP /hello\nreq_headers: pause\ncall: trap");
    rig.get("/secret");
    assert!(rig.api.saw("/secret"), "fail-open, as the real host");
    assert_eq!(rig.host.deaths(), 1);
}

#[test]
fn the_latch_turns_that_into_500_and_the_api_sees_nothing() {
    let rig = Rig::new(&format!(
        "{LATCH}req_headers: dispatch IDP /hello\nreq_headers: pause\ncall: trap"
    ));
    assert_eq!(rig.get("/secret").status(), 500);
    assert_eq!((rig.api.hits(), rig.host.upstream_requests(), rig.host.deaths()), (0, 0, 1));
}

#[test]
fn a_trap_beside_a_paused_neighbour_sends_both_upstream_and_kills_the_worker() {
    let (rig, _, _) =
        with_a_neighbour(&format!("{WAIT}req_headers /trap: trap"), Request::new("GET", "/trap"));
    assert!(rig.api.saw("/wait") && rig.api.saw("/trap"), "fail-open, as the real host");
    assert_eq!(rig.host.deaths(), 1);
}

#[test]
fn the_latch_holds_for_the_neighbour_and_for_the_one_that_trapped() {
    let program = format!("{LATCH}{WAIT}req_headers /trap: trap");
    let (rig, waiting, trapped) = with_a_neighbour(&program, Request::new("GET", "/trap"));
    assert_eq!((waiting.status(), trapped.status()), (500, 500));
    assert_eq!((rig.api.hits(), rig.host.deaths()), (0, 1));
}

#[test]
fn the_latch_holds_in_the_body_phase() {
    let program = format!("{LATCH}{WAIT}req_body: trap");
    let (rig, waiting, trapped) = with_a_neighbour(&program, Request::new("POST", "/x").body("b"));
    assert_eq!((waiting.status(), trapped.status()), (500, 500));
    assert_eq!((rig.api.hits(), rig.host.deaths()), (0, 1));
}

#[test]
fn only_one_neighbour_goes_upstream_and_the_others_lose_their_connection() {
    let rig = Rig::new(&format!("{WAIT}req_headers /trap: trap"));
    let outcomes = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| rig.get("/wait"))).collect();
        until("paused", || rig.host.paused() == 3);
        rig.get("/trap");
        waiting.into_iter().map(|waiting| waiting.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Reset)).count(), 2);
    assert_eq!((rig.api.hits(), rig.host.deaths()), (2, 1));
}

#[test]
fn a_trap_in_a_tick_beside_a_paused_request_sends_it_upstream() {
    let rig = Rig::new(&format!("configure: tick 10\n{WAIT}tick: trap"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.get("/wait"));
        until("paused", || rig.host.paused() == 1);
        rig.host.tick(0);
        waiting.join().unwrap();
    });
    assert!(rig.api.saw("/wait"));
    assert_eq!(rig.host.deaths(), 1);
}

#[test]
fn a_trap_in_a_tick_alone_costs_the_instance_only() {
    let rig = Rig::new("configure: tick 10\ntick: static\ntick: trap");
    rig.host.tick(0);
    rig.host.tick(0);
    assert!(rig.count("static=1") >= 2);
    assert_eq!((rig.host.deaths(), rig.get("/").status()), (0, 200));
}

#[test]
fn a_dead_workers_requests_are_reset_and_the_next_process_serves() {
    let rig = Rig::new(WAIT);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.get("/wait"));
        until("paused", || rig.host.paused() == 1);
        rig.host.kill(0);
        assert!(matches!(waiting.join().unwrap(), Outcome::Reset));
    });
    assert_eq!((rig.get("/x").status(), rig.host.deaths(), rig.count("vm_start")), (200, 1, 2));
}

#[test]
fn resuming_or_answering_from_a_tick_kills_the_worker() {
    for verb in ["resume", "reply 401"] {
        let rig = Rig::new(&format!("configure: tick 10\ntick: {verb}"));
        rig.host.tick(0);
        assert_eq!(rig.host.deaths(), 1, "{verb}");
    }
}

#[test]
fn a_trap_in_response_headers_is_500() {
    let rig = Rig::new("resp_headers: trap");
    assert_eq!(rig.get("/").status(), 500);
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn a_trap_in_a_response_body_cuts_the_response() {
    let rig = Rig::new("resp_body: trap");
    assert!(matches!(rig.get("/"), Outcome::Cut));
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn a_module_without_on_done_or_on_log_kills_the_worker_after_each_request() {
    for name in ["proxy_on_done", "proxy_on_log"] {
        let mut module = std::fs::read(fixture()).unwrap();
        let at = module
            .windows(name.len())
            .position(|bytes| bytes == name.as_bytes())
            .expect("the fixture exports it");
        module[at] = b'x';
        let path =
            std::env::temp_dir().join(format!("kong-host-{}-{name}.wasm", std::process::id()));
        std::fs::write(&path, module).unwrap();
        let rig = Rig::with(
            "req_headers /no: reply 401 no",
            Options { modules: vec![("fixture".into(), path.clone())], ..options() },
        );
        std::fs::remove_file(path).unwrap();
        assert_eq!((rig.get("/yes").status(), rig.host.deaths()), (200, 1));
        assert_eq!((rig.get("/no").status(), rig.host.deaths()), (401, 2));
    }
}
