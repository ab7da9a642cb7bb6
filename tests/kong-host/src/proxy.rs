//! Kong asks the API, or answers itself.

use crate::host::Shared;
use crate::http::{self, Headers, Response};
use crate::vm::Traffic;
use std::io::{BufReader, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Headers of one connection, which don't go on (RFC 9110, section 7.6.1).
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An answer in the shape of Kong's own.
pub fn kong_error(status: u16, message: &str) -> Response {
    let body = serde_json::json!({ "message": message, "request_id": "0" }).to_string();
    let mut response = Response::new(status, body);
    response.headers.push(("Content-Type".into(), b"application/json; charset=utf-8".to_vec()));
    response
}

/// Kong's answer when nginx gives up on a request.
pub fn unexpected() -> Response {
    kong_error(500, "An unexpected error occurred")
}

/// Sends the request to its service. A scheme that nginx doesn't know is Kong's own 500, and the
/// API sees nothing.
pub fn ask(host: &Shared, traffic: &Traffic) -> Response {
    let Some(found) = &traffic.matched else { return unexpected() };
    let scheme = traffic.vars.get("upstream_scheme").map(Vec::as_slice).unwrap_or_default();
    match scheme {
        b"http" => {}
        b"https" => return kong_error(502, "this host has no TLS"),
        _ => return unexpected(),
    }
    let service = &found.service;
    let address = (service.host.as_str(), service.port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    let timeout = Duration::from_millis(host.options.upstream_timeout_ms);
    let stream = address.and_then(|address| TcpStream::connect_timeout(&address, timeout).ok());
    let Some(mut stream) = stream else {
        return kong_error(502, "An invalid response was received from the upstream server");
    };
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(timeout));
    let target = traffic
        .vars
        .get("upstream_uri")
        .map(|uri| String::from_utf8_lossy(uri).into_owned())
        .unwrap_or_default();
    let headers = forwarded(traffic);
    let bytes = http::request_bytes(&traffic.method, &target, &headers, traffic.body.as_deref());
    host.upstream_requests.fetch_add(1, Ordering::Relaxed);
    let sent = stream.write_all(&bytes).map_err(http::Broken::from);
    let answered =
        sent.and_then(|()| http::read_response(&mut BufReader::new(stream), &traffic.method));
    match answered {
        Ok(mut response) => {
            HOP.iter().for_each(|name| http::remove(&mut response.headers, name));
            response
        }
        Err(http::Broken::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
            kong_error(504, "The upstream server is timing out")
        }
        Err(_) => kong_error(502, "An invalid response was received from the upstream server"),
    }
}

fn forwarded(traffic: &Traffic) -> Headers {
    let mut headers: Headers = traffic.headers.clone();
    HOP.iter().for_each(|name| http::remove(&mut headers, name));
    http::remove(&mut headers, "expect");
    http::remove(&mut headers, "content-length");
    let client_host = http::get(&traffic.headers, "host").map(<[u8]>::to_vec).unwrap_or_default();
    if let Some(found) = &traffic.matched
        && !found.route.preserve_host
    {
        http::set(&mut headers, "Host", format!("{}:{}", found.service.host, found.service.port));
    }
    let chain = match http::get(&headers, "x-forwarded-for") {
        Some(before) => [before, b", ", traffic.address.as_bytes()].concat(),
        None => traffic.address.clone().into_bytes(),
    };
    http::set(&mut headers, "X-Forwarded-For", chain);
    http::set(&mut headers, "X-Forwarded-Proto", "http");
    http::set(&mut headers, "X-Forwarded-Host", client_host);
    http::set(&mut headers, "X-Forwarded-Path", traffic.target.clone());
    http::set(&mut headers, "X-Real-IP", traffic.address.clone());
    http::set(&mut headers, "Connection", "close");
    if let Some(body) = &traffic.body {
        http::set(&mut headers, "Content-Length", body.len().to_string());
    }
    headers
}
