//! The host as a gateway: the binary, its listeners, HTTP over real sockets.

use crate::support::{Api, document, fixture};
use kong_host::http::{self, Response};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

struct Served {
    child: Child,
    gateway: String,
    admin: String,
    files: Vec<PathBuf>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

fn serve(name: &str, document: &str) -> Served {
    let stem = std::env::temp_dir().join(format!("kong-host-{name}-{}", std::process::id()));
    let (config, socket) = (stem.with_extension("json"), stem.with_extension("sock"));
    std::fs::write(&config, document).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kong-host"))
        .args([
            "serve",
            "--workers",
            "2",
            "--zone",
            "*=1m,none",
            "--admin",
            "127.0.0.1:0",
            "--wasm",
        ])
        .arg(fixture())
        .arg("--config")
        .arg(&config)
        .arg("--wait-socket")
        .arg(&socket)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address =
        |what: &str| lines.next().unwrap().unwrap().strip_prefix(what).unwrap().trim().to_string();
    let (gateway, admin) = (address("listening"), address("admin"));
    Served { child, gateway, admin, files: vec![config, socket] }
}

fn ask(address: &str, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let method = request.split(' ').next().unwrap();
    http::read_response(&mut BufReader::new(stream), method).unwrap()
}

fn get(address: &str, path: &str) -> Response {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
}

#[test]
fn the_binary_serves_pushes_and_reports() {
    let api = Api::plain();
    let served = serve("serve", &document(&api, "req_headers /no: reply 401 no"));
    assert_eq!(get(&served.gateway, "/yes").text(), "hello /yes");
    assert_eq!(get(&served.gateway, "/no").status, 401);
    let push = |body: String| {
        let head = format!(
            "POST /config HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        ask(&served.admin, &(head + &body)).status
    };
    assert_eq!(push(document(&api, "req_headers: reply 403 pushed")), 201);
    for _ in 0..2 {
        assert_eq!(get(&served.gateway, "/yes").status, 403);
    }
    assert_eq!(push(document(&api, "configure: fail")), 400);
    assert_eq!(get(&served.gateway, "/yes").status, 403, "the old chains stay");
    let wrapped = serde_json::json!({ "config": document(&api, "req_headers: reply 410 wrapped") });
    assert_eq!(push(wrapped.to_string()), 201);
    assert_eq!(get(&served.gateway, "/yes").status, 410);
    let report: serde_json::Value =
        serde_json::from_slice(&get(&served.admin, "/host").body).unwrap();
    assert_eq!(
        (report["deaths"].as_u64(), report["upstream_requests"].as_u64()),
        (Some(0), Some(1))
    );
}

#[test]
fn a_connection_is_kept_and_chunked_bodies_are_read() {
    let api = Api::plain();
    let served = serve("keep", &document(&api, "req_body: reply 200 read"));
    let mut stream = TcpStream::connect(&served.gateway).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").unwrap();
    let mut stream = BufReader::new(stream);
    assert_eq!(http::read_response(&mut stream, "POST").unwrap().text(), "read\n");
    stream.get_mut().write_all(b"GET /two HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(http::read_response(&mut stream, "GET").unwrap().text(), "hello /two");
}

#[test]
fn what_nginx_refuses_is_400() {
    let api = Api::plain();
    let served = serve("refuse", &document(&api, ""));
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /../x HTTP/1.1\r\nhost: a\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        assert_eq!(ask(&served.gateway, request).status, 400, "{request:?}");
    }
    assert_eq!(api.hits(), 0);
}

#[test]
fn a_dead_workers_connection_is_closed_without_an_answer() {
    let api = Api::plain();
    let served = serve(
        "dead",
        &document(
            &api,
            "req_headers: dispatch 127.0.0.1:1 /\nreq_headers: pause\ncall: kv_fill k 10\ncall: trap",
        ),
    );
    let mut stream = TcpStream::connect(&served.gateway).unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let report: serde_json::Value =
        serde_json::from_slice(&get(&served.admin, "/host").body).unwrap();
    assert_eq!(report["deaths"].as_u64(), Some(1));
}

#[test]
fn a_path_without_a_route_is_404() {
    let api = Api::plain();
    let document = serde_json::json!({ "services": [{ "name": "api", "url": format!("http://{}", api.address),
        "routes": [{ "name": "v1", "paths": ["/v1"], "methods": ["GET"], "hosts": ["a"] }] }] });
    let served = serve("route", &document.to_string());
    assert_eq!(get(&served.gateway, "/v1/x").status, 200);
    assert_eq!(get(&served.gateway, "/v2").status, 404);
    assert_eq!(
        ask(&served.gateway, "GET /v1 HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n").status,
        404
    );
    assert_eq!(
        ask(&served.gateway, "DELETE /v1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").status,
        404
    );
}
