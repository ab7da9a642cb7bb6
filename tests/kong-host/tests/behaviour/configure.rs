//! Start, refused configurations, pushes, instances and root contexts.

use crate::support::{Api, Rig, document, options, until};
use kong_host::http::Request;
use kong_host::{Host, Options};

#[test]
fn a_refused_configuration_leaves_the_route_unprotected_at_start() {
    let rig = Rig::new("configure: fail\nreq_headers: reply 401 no");
    assert_eq!(rig.get("/secret").status(), 200);
    assert!(rig.api.saw("/secret"), "fail-open, as the real host");
    rig.logged("unprotected");
}

#[test]
fn a_trap_at_the_start_leaves_the_route_unprotected() {
    let rig = Rig::with(
        "configure: kv_get k\nreq_headers: reply 401 no",
        Options { zones: Vec::new(), ..options() },
    );
    assert_eq!(rig.get("/secret").status(), 200);
    assert!(rig.api.saw("/secret"), "fail-open, as the real host");
    rig.logged("no zone");
}

#[test]
fn the_bolt_holds_where_a_configuration_was_refused() {
    let rig = Rig::with(
        "configure: fail\nreq_headers: reply 401 no",
        Options { bolt: Some("scheme".into()), ..options() },
    );
    assert_eq!(rig.get("/secret").status(), 500);
    assert_eq!(rig.api.hits(), 0);
}

#[test]
fn a_refused_push_keeps_the_old_chain() {
    let rig = Rig::new("req_headers: reply 401 old");
    let refused = rig.host.push(&document(&rig.api, "configure: fail\nreq_headers: reply 401 new"));
    assert!(refused.unwrap_err().contains("keeping the old chains"));
    assert_eq!(rig.get("/").response().text(), "old\n");
    assert_eq!(rig.api.hits(), 0);
}

#[test]
fn a_push_takes_effect_with_a_new_instance() {
    let rig = Rig::new("req_headers: static\nreq_headers: reply 401 old");
    rig.get("/");
    rig.host.push(&document(&rig.api, "req_headers: static\nreq_headers: reply 401 new")).unwrap();
    assert_eq!(rig.get("/").response().text(), "new\n");
    assert_eq!(rig.count("static=1"), 2);
    assert_eq!(rig.count("vm_start"), 2);
}

#[test]
fn old_root_contexts_go_on_ticking_after_a_push() {
    let rig =
        Rig::new("configure: tick 10\nconfigure: log old root\ntick: log old tick\ntick: static");
    rig.host.tick(0);
    rig.host.push(&document(&rig.api, "configure: tick 10\ntick: log new tick")).unwrap();
    rig.host.tick(0);
    assert_eq!((rig.count("old tick"), rig.count("new tick")), (2, 1));
    assert_eq!(
        (rig.count("old root"), rig.count("static=1")),
        (2, 2),
        "in an instance of its own: the old one is gone"
    );
    rig.host.tick(0);
    assert!(rig.count("old tick") >= 4, "configured anew, it ticks twice as often");
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn a_push_during_a_paused_request_lets_it_end_under_the_old_chain() {
    let rig = Rig::new(
        "req_headers /wait: dispatch IDP /slow\nreq_headers /wait: pause\ncall: reply 200 waited",
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.get("/wait"));
        until("paused", || rig.host.paused() == 1);
        rig.host.push(&document(&rig.api, "req_headers: reply 401 new")).unwrap();
        assert_eq!(rig.get("/wait").status(), 401);
        assert_eq!(waiting.join().unwrap().response().text(), "waited\n");
    });
    assert_eq!(rig.host.deaths(), 0);
}

#[test]
fn one_instance_per_worker_is_shared_by_all_routes_with_a_root_context_each() {
    let api = Api::plain();
    let chain = |program: &str| serde_json::json!([{ "filters": [{ "name": "fixture", "config": program }] }]);
    let document = serde_json::json!({
        "services": [{ "name": "api", "url": format!("http://{}", api.address), "routes": [
            { "name": "a", "paths": ["/a"], "filter_chains": chain("configure: log root a\nreq_headers: static") },
            { "name": "b", "paths": ["/b"], "filter_chains": chain("configure: log root b\nreq_headers: static") },
        ]}],
    });
    let host = Host::start(Options { workers: 2, ..options() }, &document.to_string()).unwrap();
    let get = |worker, path: &str| host.request(worker, Request::new("GET", path)).status();
    assert_eq!((get(0, "/a"), get(0, "/b"), get(1, "/a")), (200, 200, 200));
    let statics: Vec<String> = host
        .log()
        .into_iter()
        .map(|line| line.message)
        .filter(|line| line.starts_with("static"))
        .collect();
    assert_eq!(statics, ["static=1", "static=2", "static=1"], "one memory per worker");
    let roots = host.log().iter().filter(|line| line.message.starts_with("root ")).count();
    assert_eq!(roots, 4, "one root context per chain entry and worker");
}

#[test]
fn a_filter_on_service_and_route_runs_twice_and_shares_the_request() {
    let api = Api::plain();
    let filters = |program: &str| serde_json::json!([{ "filters": [{ "name": "fixture", "config": program }] }]);
    let document = serde_json::json!({
        "services": [{
            "name": "api", "url": format!("http://{}", api.address),
            "filter_chains": filters("req_headers: log service\nreq_headers: setprop kong.ctx.shared.mark here"),
            "routes": [{ "name": "a", "paths": ["/"], "filter_chains": filters("req_headers: log route\nreq_headers: prop kong.ctx.shared.mark") }],
        }],
    });
    let host = Host::start(options(), &document.to_string()).unwrap();
    host.request(0, Request::new("GET", "/"));
    let log: Vec<String> = host
        .log()
        .into_iter()
        .map(|line| line.message)
        .filter(|line| line == "service" || line == "route")
        .collect();
    assert_eq!(log, ["service", "route"]);
    assert!(host.logged("prop kong.ctx.shared.mark=here"));
}

#[test]
fn a_paused_filter_is_followed_by_the_next_one() {
    let api = Api::plain();
    let document = serde_json::json!({
        "services": [{ "name": "api", "url": format!("http://{}", api.address), "routes": [{ "name": "a", "paths": ["/"] }],
            "filter_chains": [{ "filters": [
                { "name": "fixture", "config": format!("req_headers: dispatch {} /\nreq_headers: pause\ncall: log first", api.address) },
                { "name": "fixture", "config": "req_headers: log second" },
            ] }] }],
    });
    let host = Host::start(options(), &document.to_string()).unwrap();
    assert_eq!(host.request(0, Request::new("GET", "/x")).status(), 200);
    let log: Vec<String> = host
        .log()
        .into_iter()
        .map(|line| line.message)
        .filter(|line| line == "first" || line == "second")
        .collect();
    assert_eq!(log, ["first", "second"]);
}

#[test]
fn a_configuration_is_an_object_or_a_string() {
    let api = Api::plain();
    let yaml = format!(
        "_format_version: '3.0'\nservices:\n- name: api\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n  filter_chains:\n  \
         - filters:\n    - name: fixture\n      config: |\n        req_headers: reply 401 yaml\n",
        api.address
    );
    let host = Host::start(options(), &yaml).unwrap();
    assert_eq!(host.request(0, Request::new("GET", "/")).response().text(), "yaml\n");
    let document = serde_json::json!({
        "services": [{ "name": "api", "url": format!("http://{}", api.address) }],
        "filter_chains": [{ "service": "api", "filters": [{ "name": "fixture", "config": { "b": 1, "a": [true] } }] }],
    });
    let gateway = kong_host::Gateway::parse(&document.to_string()).unwrap();
    assert_eq!(gateway.chains[0].entries[0].config, r#"{"b":1,"a":[true]}"#);
}

#[test]
fn a_document_with_mistakes_does_not_start() {
    for (wrong, message) in [
        (r#"{"services":[{"name":"a","url":"nowhere"}]}"#, "url"),
        (r#"{"routes":[{"name":"r","service":"none"}]}"#, "no service"),
        (
            r#"{"services":[{"name":"a"}],"filter_chains":[{"filters":[]}]}"#,
            "expected a service or a route",
        ),
        (
            r#"{"services":[{"name":"a"}],"filter_chains":[{"service":"a","filters":[{"name":"unknown"}]}]}"#,
            "no filter named",
        ),
    ] {
        let error = Host::start(options(), wrong).err().unwrap_or_else(|| panic!("{wrong} starts"));
        assert!(error.contains(message), "{error}");
    }
}
