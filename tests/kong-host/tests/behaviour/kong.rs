//! Kong around the filter: properties, the upstream's scheme, consumers, Lua that runs first.

use crate::support::{Api, Rig, options};
use kong_host::http::{Request, get};
use kong_host::{Host, Options};

#[test]
fn an_unknown_upstream_scheme_is_kongs_own_500_and_the_api_sees_nothing() {
    let rig = Rig::new(
        "req_headers: prop ngx.upstream_scheme\nreq_headers: setprop ngx.upstream_scheme herdgate",
    );
    let response = rig.get("/").response();
    assert_eq!(response.status, 500);
    assert!(response.text().contains("An unexpected error occurred"));
    rig.logged("prop ngx.upstream_scheme=http");
    assert_eq!((rig.api.hits(), rig.host.upstream_requests()), (0, 0));
}

#[test]
fn putting_the_scheme_back_lets_the_request_go() {
    let rig = Rig::new(
        "req_headers: setprop ngx.upstream_scheme herdgate\nreq_headers: dispatch IDP /\nreq_headers: pause\n\
         call: setprop ngx.upstream_scheme http",
    );
    assert_eq!((rig.get("/").status(), rig.api.hits()), (200, 1));
}

#[test]
fn an_early_resume_with_the_latch_set_is_500() {
    let rig = Rig::new(
        "req_headers: setprop ngx.upstream_scheme herdgate\nreq_headers: dispatch IDP /\nreq_headers: pause",
    );
    assert_eq!((rig.get("/").status(), rig.api.hits(), rig.host.deaths()), (500, 0, 0));
}

#[test]
fn the_clients_address_has_no_port() {
    let rig = Rig::new("req_headers: prop source.address");
    rig.host.request(0, Request::new("GET", "/").from("203.0.113.9"));
    rig.logged("prop source.address=203.0.113.9");
}

#[test]
fn route_and_service_are_known_by_name_and_id() {
    let rig = Rig::new(
        "req_headers: prop kong.route_name\nreq_headers: prop kong.service_name\nreq_headers: prop kong.route_id\n\
         req_headers: prop kong.service_id\nreq_headers: prop xds.route_name",
    );
    rig.get("/");
    rig.logged("prop kong.route_name=all");
    rig.logged("prop kong.service_name=api");
    rig.logged("prop xds.route_name=None");
    assert_eq!(rig.count("-0000-4000-8000-"), 2);
}

#[test]
fn ctx_shared_lives_as_long_as_the_request() {
    let rig = Rig::new(
        "req_headers: prop kong.ctx.shared.a\nreq_headers: setprop kong.ctx.shared.a 1\nlog: prop kong.ctx.shared.a",
    );
    rig.get("/");
    rig.get("/");
    assert_eq!(
        (rig.count("prop kong.ctx.shared.a=None"), rig.count("prop kong.ctx.shared.a=1")),
        (2, 2)
    );
}

#[test]
fn each_request_has_an_id_of_its_own() {
    let rig = Rig::new("req_headers: prop ngx.kong_request_id\nlog: prop ngx.kong_request_id");
    rig.get("/");
    rig.get("/");
    let said: Vec<String> = rig
        .host
        .log()
        .into_iter()
        .filter(|line| line.message.contains("kong_request_id="))
        .map(|line| line.message)
        .collect();
    assert_eq!(said.len(), 4);
    assert!(said[0] == said[1] && said[2] == said[3] && said[1] != said[2], "{said:?}");
}

#[test]
fn what_lua_is_asked_for_after_a_callout_kills_the_worker() {
    for touch in ["prop kong.route_name", "prop kong.ctx.shared.a", "setprop kong.ctx.shared.a 1"] {
        let rig = Rig::new(&format!(
            "req_headers: {touch}\nreq_headers: dispatch IDP /\nreq_headers: pause\ncall: prop ngx.upstream_scheme\ncall /late: {touch}"
        ));
        rig.get("/");
        assert_eq!(rig.host.deaths(), 0, "before, and nginx's own variables after");
        rig.get("/late");
        assert_eq!(rig.host.deaths(), 1, "{touch}");
    }
}

fn with_plugin(program: &str, plugin: serde_json::Value, options: Options) -> (Host, Api) {
    let api = Api::plain();
    let document = serde_json::json!({
        "services": [{
            "name": "api", "url": format!("http://{}", api.address),
            "routes": [{ "name": "all", "paths": ["/"], "plugins": [plugin] }],
            "filter_chains": [{ "filters": [{ "name": "fixture", "config": program }] }],
        }],
        "consumers": [{ "username": "alice", "keyauth_credentials": [{ "key": "k1" }] }],
    });
    (Host::start(options, &document.to_string()).unwrap(), api)
}

fn buffering() -> serde_json::Value {
    serde_json::json!({ "name": "pre-function", "config": { "access": ["kong.service.request.enable_buffering()"] } })
}

#[test]
fn a_buffering_plugin_asks_the_api_before_any_filter_runs() {
    let (host, api) = with_plugin("req_headers: reply 401 no", buffering(), options());
    assert_eq!(host.request(0, Request::new("GET", "/secret")).status(), 200);
    assert!(api.saw("/secret"), "fail-open, as the real host");
    assert!(!host.logged("reply"));
    let ai = serde_json::json!({ "name": "ai-proxy" });
    let (host, api) = with_plugin("req_headers: reply 401 no", ai, options());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (200, 1));
}

#[test]
fn a_post_function_refuses_buffered_requests() {
    let refusing = Options { refuse_buffered: true, ..options() };
    let (host, api) = with_plugin("req_headers: reply 401 no", buffering(), refusing.clone());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (503, 0));
    let plain = serde_json::json!({ "name": "pre-function", "config": {} });
    let (host, _) = with_plugin("req_headers: reply 401 no", plain, refusing);
    assert_eq!(host.request(0, Request::new("GET", "/")).status(), 401, "others reach the filter");
}

#[test]
fn a_plugin_of_a_narrower_scope_replaces_the_one_of_its_name() {
    let api = Api::plain();
    let guard = serde_json::json!({ "name": "post-function", "config": { "access": ["if ngx.ctx.buffered_proxying then return end"] } });
    let own = serde_json::json!({ "name": "post-function", "config": { "access": ["kong.ctx.shared.own = true"] } });
    let document = |of_the_service: &[serde_json::Value]| {
        let plugins = [&[buffering()], of_the_service].concat();
        serde_json::json!({
            "services": [{ "name": "api", "url": format!("http://{}", api.address), "plugins": plugins,
                "routes": [{ "name": "a", "paths": ["/"] }] }],
            "plugins": [guard.clone()],
        })
    };
    let guarded = Host::start(options(), &document(&[]).to_string()).unwrap();
    assert_eq!((guarded.request(0, Request::new("GET", "/")).status(), api.hits()), (503, 0));
    let replaced = Host::start(options(), &document(&[own]).to_string()).unwrap();
    assert_eq!((replaced.request(0, Request::new("GET", "/")).status(), api.hits()), (200, 1));
}

#[test]
fn the_post_functions_are_recognised_in_the_document() {
    let lua = serde_json::json!({ "name": "post-function", "config": { "access": [
        "if ngx.ctx.buffered_proxying then return kong.response.exit(503) end",
        "kong.service.request.enable_buffering()",
    ] } });
    let (host, api) = with_plugin("", lua, options());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (503, 0));
    let bolt = serde_json::json!({ "name": "post-function", "config": { "access": [
        "kong.ctx.shared.herdgate_scheme = ngx.var.upstream_scheme ngx.var.upstream_scheme = 'herdgate'",
    ] } });
    let program = "req_headers: prop kong.ctx.shared.herdgate_scheme\nreq_headers: prop ngx.upstream_scheme\n\
                   req_headers /open: setprop ngx.upstream_scheme http";
    let (host, api) = with_plugin(program, bolt, options());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (500, 0));
    assert!(
        host.logged("prop kong.ctx.shared.herdgate_scheme=http")
            && host.logged("prop ngx.upstream_scheme=herdgate")
    );
    assert_eq!((host.request(0, Request::new("GET", "/open")).status(), api.hits()), (200, 1));
}

#[test]
fn the_bolt_holds_without_a_chain_with_wasm_off_and_for_buffered_requests() {
    let bolted = Options { bolt: Some("scheme".into()), ..options() };
    let (host, api) = with_plugin("req_headers: reply 401", buffering(), bolted.clone());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (500, 0));
    let rig = Rig::with(
        "req_headers: setprop ngx.upstream_scheme http",
        Options { wasm: false, ..bolted.clone() },
    );
    assert_eq!((rig.get("/").status(), rig.api.hits()), (500, 0));
    let api = Api::plain();
    let bare = serde_json::json!({ "services": [{ "name": "api", "url": format!("http://{}", api.address),
        "routes": [{ "name": "all", "paths": ["/"] }] }] });
    let host = Host::start(bolted, &bare.to_string()).unwrap();
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (500, 0));
}

#[test]
fn wasm_off_or_no_chain_means_no_filter() {
    let rig = Rig::with("req_headers: reply 401", Options { wasm: false, ..options() });
    assert_eq!((rig.get("/").status(), rig.api.hits()), (200, 1), "fail-open, as the real host");
}

#[test]
fn key_auth_names_the_consumer_before_the_filter_runs() {
    let plugin = serde_json::json!({ "name": "key-auth", "config": { "anonymous": "nobody" } });
    let program = "req_headers: get x-consumer-username\nreq_headers: get x-credential-identifier\nreq_headers: get x-anonymous-consumer";
    let (host, api) = with_plugin(program, plugin, options());
    host.request(
        0,
        Request::new("GET", "/").header("apikey", "k1").header("x-anonymous-consumer", "true"),
    );
    assert!(
        host.logged("get x-consumer-username=alice")
            && host.logged("get x-credential-identifier=k1")
    );
    assert!(host.logged("get x-anonymous-consumer=None"));
    host.request(0, Request::new("GET", "/"));
    assert!(host.logged("get x-anonymous-consumer=true"));
    assert_eq!(get(&api.last().headers, "x-consumer-username"), Some(b"nobody".as_slice()));
    let strict = serde_json::json!({ "name": "key-auth" });
    let (host, api) = with_plugin("req_headers: log ran", strict, options());
    assert_eq!((host.request(0, Request::new("GET", "/")).status(), api.hits()), (401, 0));
    assert!(!host.logged("ran"));
}

#[test]
fn without_a_plugin_the_clients_consumer_headers_reach_the_filter() {
    let rig = Rig::new("req_headers: get x-consumer-username");
    rig.host.request(0, Request::new("GET", "/").header("x-consumer-username", "mallory"));
    rig.logged("get x-consumer-username=mallory");
}
