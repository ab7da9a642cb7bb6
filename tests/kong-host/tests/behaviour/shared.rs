//! Metrics, queues, ticks, time, randomness, and functions that the host doesn't have.

use crate::support::{Api, Rig, document, options, until};
use kong_host::{Host, Options};

#[test]
fn counters_increment_and_read() {
    let rig = Rig::new(
        "configure: define counter hits\nreq_headers: increment hits 2\nreq_headers: metric hits",
    );
    rig.get("/");
    rig.get("/");
    rig.logged("metric hits=Ok(4)");
    assert_eq!(rig.host.metric("pw_fixture_hits"), Some(4));
}

#[test]
fn gauges_record_and_read() {
    let rig = Rig::new(
        "configure: define gauge level\nreq_headers: record level 7\nreq_headers: metric level",
    );
    assert_eq!(rig.get("/").status(), 200);
    rig.logged("metric level=Ok(7)");
}

#[test]
fn histograms_record_only() {
    let rig = Rig::new("configure: define histogram times\nreq_headers: record times 7");
    assert_eq!(rig.get("/").status(), 200);
    assert_eq!(rig.host.metric("pw_fixture_times"), Some(7));
}

#[test]
fn any_other_use_of_a_metric_traps() {
    for (kind, verb) in [
        ("counter", "record m 1"),
        ("gauge", "increment m 1"),
        ("histogram", "increment m 1"),
        ("histogram", "metric m"),
        ("counter", "increment unknown 1"),
    ] {
        let rig = Rig::new(&format!("configure: define {kind} m\nreq_headers: {verb}"));
        assert_eq!(rig.get("/").status(), 500, "{kind} {verb}");
        assert_eq!(rig.api.hits(), 0);
    }
}

#[test]
fn metrics_are_one_for_all_workers_and_names_one_for_all_definitions() {
    let api = Api::plain();
    let program = "configure: define counter hits\nreq_headers: increment hits 1";
    let host = Host::start(Options { workers: 3, ..options() }, &document(&api, program)).unwrap();
    for _ in 0..6 {
        host.send(kong_host::http::Request::new("GET", "/"));
    }
    assert_eq!(host.metric("pw_fixture_hits"), Some(6));
    assert_eq!(host.metrics().len(), 1);
}

#[test]
fn a_metrics_name_that_is_too_long_traps() {
    let name = "n".repeat(300);
    let rig = Rig::new(&format!("req_headers: define counter {name}"));
    assert_eq!(rig.get("/").status(), 500);
}

#[test]
fn enqueueing_works_and_on_queue_ready_never_comes() {
    let rig = Rig::with(
        "configure: register q\nreq_headers: enqueue q m\nreq_headers /take: dequeue q",
        Options { queues: vec!["q".into()], ..options() },
    );
    assert_eq!(rig.get("/").status(), 200);
    rig.host.tick(0);
    assert_eq!((rig.host.queued("q"), rig.count("queue_ready")), (1, 0));
    rig.get("/take");
    rig.logged("dequeue m");
}

#[test]
fn an_unknown_queue_and_resolving_one_trap() {
    for verb in ["register q", "resolve q"] {
        let rig = Rig::new(&format!("req_headers: {verb}"));
        assert_eq!(rig.get("/").status(), 500, "{verb}");
    }
}

#[test]
fn foreign_functions_trap() {
    for name in ["verify_signature", "anything"] {
        let rig = Rig::new(&format!("req_headers: foreign {name}"));
        assert_eq!(rig.get("/").status(), 500);
        rig.logged("unknown foreign function");
    }
}

#[test]
fn set_effective_context_does_nothing() {
    let rig = Rig::new("configure: tick 10\ntick: effective 65537\nreq_headers: effective 1");
    assert_eq!(rig.get("/").status(), 200);
    rig.host.tick(0);
    assert_eq!((rig.count("effective Ok(())"), rig.host.deaths()), (2, 0));
}

#[test]
fn a_tick_is_set_once() {
    let rig = Rig::new("configure: tick 10\ntick: tick 20");
    rig.host.tick(0);
    rig.logged("tick_period already set");
    let rig = Rig::new("req_headers: tick 10");
    assert_eq!(rig.get("/").status(), 500);
    rig.logged("can only set tick_period in root context");
}

#[test]
fn ticks_come_by_themselves() {
    let rig = Rig::with("configure: tick 1\ntick: static", Options { ticks: true, ..options() });
    until("ten ticks", || rig.count("static=") >= 10);
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn a_roots_call_comes_back_to_the_root() {
    let rig = Rig::new(
        "configure: tick 10\ntick: dispatch IDP /x\nroot_call: cbody\nroot_call: cget :status",
    );
    rig.host.tick(0);
    until("the answer", || rig.count("cget :status=200") == 1);
    rig.logged("cbody=hello /x");
}

#[test]
fn the_clock_counts_milliseconds_and_tests_can_move_it() {
    let rig = Rig::new("req_headers: time");
    rig.get("/");
    rig.host.move_clock(-3_600_000);
    rig.get("/");
    let times: Vec<u64> = rig
        .host
        .log()
        .iter()
        .filter_map(|line| line.message.strip_prefix("time=")?.parse().ok())
        .collect();
    assert!(times.iter().all(|time| time % 1_000_000 == 0));
    assert!(times[0] - times[1] > 3_590_000_000_000);
}

#[test]
fn every_worker_draws_the_same_numbers() {
    let module = br#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $random (i32.const 0) (i32.const 2)))
            (i32.store8 (i32.const 0) (i32.or (i32.const 64) (i32.and (i32.const 31) (i32.load8_u (i32.const 0)))))
            (i32.store8 (i32.const 1) (i32.or (i32.const 64) (i32.and (i32.const 31) (i32.load8_u (i32.const 1)))))
            (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2)))
            (i32.const 1)))"#;
    let api = Api::plain();
    let host = Host::start_with(
        Options { workers: 2, ..options() },
        &document(&api, ""),
        &[("fixture", module)],
    )
    .unwrap();
    let drawn: Vec<String> = host.log().into_iter().map(|line| line.message).collect();
    assert_eq!(drawn.len(), 2);
    assert_eq!(drawn[0], drawn[1], "random() is seeded alike: not for keys");
}

#[test]
fn the_environment_is_the_workers() {
    let env = vec![("HERDGATE_SECRET".to_string(), "s".to_string())];
    let rig = Rig::with(
        "configure: env HERDGATE_SECRET\nconfigure: env HOME",
        Options { env, ..options() },
    );
    rig.logged("env HERDGATE_SECRET=Some(\"s\")");
    rig.logged("env HOME=None");
}

#[test]
fn importing_proxy_get_log_level_fails_at_start() {
    let module = br#"(module
        (import "env" "proxy_get_log_level" (func (param i32) (result i32)))
        (memory (export "memory") 1))"#;
    let api = Api::plain();
    let started = Host::start_with(options(), &document(&api, ""), &[("fixture", module)]);
    assert!(started.err().unwrap().contains("proxy_get_log_level"));
}

#[test]
fn functions_of_the_abi_that_the_host_lacks_trap() {
    let module = br#"(module
        (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $close (i32.const 2))))"#;
    let api = Api::plain();
    let host = Host::start_with(options(), &document(&api, ""), &[("fixture", module)]).unwrap();
    assert_eq!(host.request(0, kong_host::http::Request::new("GET", "/")).status(), 500);
    assert!(host.logged("not yet implemented"));
}

#[test]
fn host_calls_can_be_traced() {
    let rig = Rig::new("req_headers: get x\nreq_headers: kv_get k");
    rig.get("/");
    let calls = rig.host.traced(|host| {
        host.request(0, kong_host::http::Request::new("GET", "/"));
    });
    let names: Vec<&str> =
        calls.into_iter().map(|(_, name)| name).filter(|name| *name != "proxy_log").collect();
    assert_eq!(
        names,
        ["proxy_get_property", "proxy_get_header_map_value", "proxy_get_shared_data"]
    );
}
