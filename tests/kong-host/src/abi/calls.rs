//! Replies, resuming, callouts.

use super::{Hostcall, death, maps, status, trap, within};
use crate::callout::{Call, Target};
use crate::http::{self, Headers, Response};
use crate::vm::Step;
use std::sync::atomic::Ordering;
use wasmi::Error;

pub fn continue_stream(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let kind = call.arg(0);
    if kind > 1 {
        return Ok(status::INTERNAL_FAILURE);
    }
    if call.cx().traffic.is_none() {
        return Err(death("resumed a request from a root context"));
    }
    Ok(status::OK)
}

pub fn send_local_response(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let code = call.arg(0);
    let mut body = call.bytes(3)?;
    let Some(pairs) = maps::unmarshal(&call.bytes(5)?) else { return Ok(status::INTERNAL_FAILURE) };
    let cx = call.cx();
    let Some(traffic) = cx.traffic.as_deref_mut() else {
        return Err(death("answered a request from a root context"));
    };
    if !body.is_empty() {
        body.push(b'\n');
    }
    if traffic.in_response && !traffic.in_response_body {
        // Status and body change; headers are ignored, and content-length stays what it was.
        traffic.status = code as u16;
        traffic.piece = body;
        traffic.replaced = true;
        return Ok(status::OK);
    }
    if traffic.in_response {
        return Err(trap("response already sent"));
    }
    if traffic.local.is_some() {
        return Err(trap("local response already stashed"));
    }
    if !(100..1000).contains(&code) {
        return Ok(status::BAD_ARGUMENT);
    }
    let mut headers = Headers::new();
    for (name, value) in pairs {
        http::set(&mut headers, &name, maps::escape(&value));
    }
    if !body.is_empty() && http::get(&headers, "content-type").is_none() {
        headers.push(("Content-Type".into(), b"text/plain".to_vec()));
    }
    http::set(&mut headers, "Content-Length", body.len().to_string());
    traffic.local = Some(Response { status: code as u16, headers, body });
    traffic.pending.clear();
    cx.calls.clear();
    Ok(status::OK)
}

pub fn http_call(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    if !within(call.cx(), &[Step::RequestHeaders, Step::RequestBody, Step::Tick, Step::Callout]) {
        return Err(trap(
            "can only send HTTP dispatch during \"on_request_headers\", \"on_request_body\", \"on_tick\", \
             \"on_dispatch_response\", \"on_foreign_function\"",
        ));
    }
    let target = call.text(0)?;
    let pairs =
        maps::unmarshal(&call.bytes(2)?).ok_or_else(|| trap("dispatch failed: bad headers"))?;
    let body = call.bytes(4)?;
    let timeout_ms = call.arg(8);
    let special = |name: &str| {
        let found = pairs.iter().find(|(found, _)| found == name);
        found
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .filter(|value| !value.is_empty())
    };
    let method = special(":method").ok_or_else(|| trap("dispatch failed: no :method"))?;
    let path = special(":path").ok_or_else(|| trap("dispatch failed: no :path"))?;
    let target =
        Target::parse(&target).map_err(|error| trap(format!("dispatch failed: {error}")))?;
    let tls = special(":scheme").as_deref() == Some("https");
    let authority = special(":authority").unwrap_or_else(|| target.authority());
    let mut headers: Headers = vec![
        ("Host".into(), authority.into_bytes()),
        ("Connection".into(), b"close".to_vec()),
        ("Content-Length".into(), body.len().to_string().into_bytes()),
    ];
    for (name, value) in pairs {
        let ours = ["host", "connection", "content-length"]
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours));
        if !name.starts_with(':') && !ours {
            headers.push((name, maps::escape(&value)));
        }
    }
    let cx = call.cx();
    let id = cx.next_call.fetch_add(1, Ordering::Relaxed);
    let mut reuses_buffer = false;
    if let Some(traffic) = cx.traffic.as_deref_mut() {
        traffic.pending.push(id);
        reuses_buffer = traffic.has_buffer;
    }
    cx.calls.push(Call { id, target, tls, method, path, headers, body, timeout_ms, reuses_buffer });
    call.write_u32(9, id)?;
    Ok(status::OK)
}
