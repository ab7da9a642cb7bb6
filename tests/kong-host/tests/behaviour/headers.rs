//! Request headers: what can't be removed, what is encoded, and the readings of a path.

use crate::support::{Api, Rig, options};
use kong_host::Host;
use kong_host::http::{Request, get, get_all};

#[test]
fn removing_a_request_header_says_ok_and_does_nothing() {
    let rig = Rig::new("req_headers: del x-user");
    rig.host.request(0, Request::new("GET", "/").header("x-user", "mallory"));
    rig.logged("del x-user Ok(())");
    assert_eq!(get(&rig.api.last().headers, "x-user"), Some(b"mallory".as_slice()));
}

#[test]
fn setting_nothing_blanks_it() {
    let rig = Rig::new("req_headers: set x-user\nreq_headers: get x-user");
    rig.host.request(0, Request::new("GET", "/").header("X-User", "mallory"));
    rig.logged("get x-user=");
    assert_eq!(get(&rig.api.last().headers, "x-user"), Some(b"".as_slice()));
}

#[test]
fn a_second_copy_of_a_duplicated_header_stays() {
    let rig = Rig::new("req_headers: set x-user alice");
    rig.host
        .request(0, Request::new("GET", "/").header("x-user", "mallory").header("x-user", "eve"));
    let seen = rig.api.last();
    let values: Vec<&[u8]> = get_all(&seen.headers, "x-user").collect();
    assert_eq!(values, [b"alice".as_slice(), b"eve"]);
}

#[test]
fn adding_makes_a_copy() {
    let rig = Rig::new("req_headers: add x-user alice");
    rig.host.request(0, Request::new("GET", "/").header("x-user", "mallory"));
    assert_eq!(get_all(&rig.api.last().headers, "x-user").count(), 2);
}

#[test]
fn values_that_the_filter_sets_are_percent_encoded() {
    let rig = Rig::new("req_headers: set x-user a%0D%0Ax-admin: 1%00%7F\tb");
    rig.get("/");
    let seen = rig.api.last();
    assert_eq!(get(&seen.headers, "x-user"), Some(b"a%0D%0Ax-admin: 1%00%7F b".as_slice()));
    assert_eq!(get(&seen.headers, "x-admin"), None);
}

#[test]
fn request_headers_can_be_set_in_a_callouts_callback_and_not_after() {
    let rig = Rig::new("req_headers: dispatch IDP /\nreq_headers: pause\ncall: set x-user alice");
    rig.get("/");
    assert_eq!(get(&rig.api.last().headers, "x-user"), Some(b"alice".as_slice()));
    let rig = Rig::new("resp_headers: set x-user alice");
    assert_eq!(rig.get("/").status(), 500);
    rig.logged("can only set request headers before response is produced");
}

#[test]
fn path_is_decoded_and_stripped_while_request_path_is_raw() {
    let api = Api::plain();
    let program = "req_headers: get :path\nreq_headers: prop request.path\nreq_headers: prop request.url_path";
    let document = serde_json::json!({
        "services": [{ "name": "api", "url": format!("http://{}/base", api.address) }],
        "routes": [{ "name": "v1", "service": "api", "paths": ["/v1"] }],
        "filter_chains": [{ "route": { "name": "v1" }, "filters": [{ "name": "fixture", "config": program }] }],
    });
    let host = Host::start(options(), &document.to_string()).unwrap();
    host.request(0, Request::new("GET", "/v1/a%2Fb%20c?q=%41"));
    assert!(host.logged("get :path=/a/b c?q=%41"));
    assert!(host.logged("prop request.path=/v1/a%2Fb%20c?q=%41"));
    assert_eq!(api.last().target, "/base/a%2Fb%20c?q=%41");
}

#[test]
fn authority_is_nginxs_name_and_not_the_clients() {
    let rig = Rig::new(
        "req_headers: get :authority\nreq_headers: get host\nreq_headers: prop request.host",
    );
    rig.get("/");
    rig.logged("get :authority=kong:8000");
    rig.logged("get host=api.test");
    rig.logged("prop request.host=kong");
}

#[test]
fn a_changed_method_still_arrives() {
    let rig = Rig::new("req_headers: set :method PURGE");
    rig.get("/");
    assert_eq!(rig.api.last().method, "PURGE");
}

#[test]
fn all_headers_hold_the_pseudo_headers_too() {
    let rig = Rig::new("req_headers: all\nresp_headers: rall");
    rig.get("/");
    rig.logged("all :path,:method,:scheme,:authority,host");
    rig.logged("rall :status,Content-Length");
}

#[test]
fn a_reply_keeps_one_header_of_a_name_and_encodes_its_value() {
    let rig = Rig::new("req_headers: reply 401 no");
    let response = rig.get("/").response();
    assert_eq!(get_all(&response.headers, "x-filter").count(), 1);
    assert_eq!(response.header("content-type").as_deref(), Some("text/plain"));
}
