//! Real HTTP/1.1 on loopback: the gateway itself, and a little of Kong's Admin API.

use crate::exchange::Outcome;
use crate::host::Host;
use crate::http::{self, Broken, Request, Response};
use crate::proxy;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Serves a listener until the process ends; each connection belongs to one worker, in turn.
pub fn serve(host: Arc<Host>, listener: TcpListener) {
    std::thread::spawn(move || {
        for (worker, stream) in listener.incoming().flatten().enumerate() {
            let host = host.clone();
            std::thread::spawn(move || converse(stream, |request| host.request(worker, request)));
        }
    });
}

/// Serves the Admin API's `POST /config` (a push), `POST /clock` (milliseconds by which it moves),
/// `GET /metrics`, and `GET /host`: deaths, requests sent upstream, log lines.
pub fn serve_admin(host: Arc<Host>, listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let host = host.clone();
            std::thread::spawn(move || {
                converse(stream, |request| Outcome::Answer(administer(&host, &request)))
            });
        }
    });
}

fn administer(host: &Host, request: &Request) -> Response {
    match (request.method.as_str(), request.target.as_str()) {
        ("POST", "/config") => match host.push(&document(request)) {
            Ok(()) => Response::new(201, "{}"),
            Err(message) => proxy::kong_error(400, &message),
        },
        ("POST", "/clock") => match document(request).trim().parse() {
            Ok(by_ms) => {
                host.move_clock(by_ms);
                Response::new(200, "{}")
            }
            Err(_) => proxy::kong_error(400, "expected milliseconds"),
        },
        ("GET", "/metrics") => {
            let lines = host
                .metrics()
                .into_iter()
                .map(|(name, _, value)| format!("{} {value}\n", name.replace('.', "_")));
            Response::new(200, lines.collect::<String>())
        }
        ("GET", "/host") => {
            let log: Vec<String> = host.log().into_iter().map(|line| line.message).collect();
            let report = serde_json::json!({
                "deaths": host.deaths(), "upstream_requests": host.upstream_requests(),
                "paused": host.paused(), "callouts": host.callouts(), "log": log,
                "access": host.access(),
            });
            Response::new(200, report.to_string())
        }
        _ => proxy::kong_error(404, "Not found"),
    }
}

/// The document itself (JSON or YAML), or as Kong takes it too: JSON with the text under `config`.
fn document(request: &Request) -> String {
    let body = request.body.clone().unwrap_or_default();
    let wrapped = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let inner = wrapped.and_then(|value| value.get("config")?.as_str().map(String::from));
    inner.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned())
}

/// Requests and responses on one connection, until either side closes it.
fn converse(stream: TcpStream, answer: impl Fn(Request) -> Outcome) {
    let address = stream.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = match http::read_request(&mut stream) {
            Ok(request) => request,
            Err(Broken::Malformed(_)) => {
                let refusal = proxy::kong_error(400, "Bad request");
                let _ = stream.get_mut().write_all(&http::response_bytes(&refusal, false));
                return;
            }
            Err(_) => return,
        };
        request.address = address.clone();
        let head_only = request.method == "HEAD";
        let close = http::get(&request.headers, "connection")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        match answer(request) {
            Outcome::Answer(mut response) => {
                let whole = framed(&response, head_only);
                http::set(
                    &mut response.headers,
                    "Connection",
                    if close || !whole { "close" } else { "keep-alive" },
                );
                if stream.get_mut().write_all(&http::response_bytes(&response, head_only)).is_err()
                    || close
                    || !whole
                {
                    return;
                }
            }
            Outcome::Cut => {
                let _ =
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut");
                return;
            }
            Outcome::Reset | Outcome::Stuck => return,
        }
    }
}

/// A filter that changes a body and leaves content-length breaks the connection's framing.
fn framed(response: &Response, head_only: bool) -> bool {
    let length = http::get(&response.headers, "content-length")
        .map(|value| String::from_utf8_lossy(value).into_owned());
    head_only || length.is_none_or(|length| length == response.body.len().to_string())
}
