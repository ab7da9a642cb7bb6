//! Headers of requests, responses and callouts' answers.

use super::{Hostcall, death, status, trap, within};
use crate::http::{self, Headers};
use crate::vm::{Cx, Step, Traffic};
use wasmi::Error;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
const CALL: u32 = 6;

/// Pairs that the host hands out at most, `:name` entries included; the rest is dropped silently.
const PAIRS_MAX: usize = 100;

fn traffic(cx: &mut Cx) -> Result<&mut Traffic, Error> {
    cx.traffic.as_deref_mut().ok_or_else(|| death("headers of a request outside of any request"))
}

/// The `:name` entries of a map; None if the map has no such entry.
fn special(cx: &mut Cx, kind: u32, name: &str) -> Result<Option<Vec<u8>>, Error> {
    Ok(match (kind, name) {
        (REQUEST, ":path") => Some(traffic(cx)?.path.clone().into_bytes()),
        (REQUEST, ":method") => Some(traffic(cx)?.method.clone().into_bytes()),
        (REQUEST, ":scheme") => Some(b"http".to_vec()),
        // Not what the client asked for: nginx's own name.
        (REQUEST, ":authority") => Some(b"kong:8000".to_vec()),
        (RESPONSE, ":status") => Some(traffic(cx)?.status)
            .filter(|status| *status > 0)
            .map(|status| status.to_string().into_bytes()),
        (CALL, ":status") => cx
            .answer
            .as_ref()
            .and_then(|answer| answer.status)
            .map(|status| status.to_string().into_bytes()),
        (CALL, ":dispatch_status") => {
            cx.answer.as_ref().map(|answer| answer.dispatch_status.as_bytes().to_vec())
        }
        _ => None,
    })
}

fn specials(kind: u32) -> &'static [&'static str] {
    match kind {
        REQUEST => &[":path", ":method", ":scheme", ":authority"],
        RESPONSE => &[":status"],
        CALL => &[":status", ":dispatch_status"],
        _ => &[],
    }
}

/// The map itself; None if the active callback has none.
fn map(cx: &mut Cx, kind: u32) -> Result<Option<&mut Headers>, Error> {
    Ok(match kind {
        REQUEST => Some(&mut traffic(cx)?.headers),
        RESPONSE => Some(&mut traffic(cx)?.response_headers),
        CALL => cx.answer.as_mut().map(|answer| &mut answer.headers),
        _ => None,
    })
}

pub fn get(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let kind = call.arg(0);
    let name = call.text(1)?;
    let cx = call.cx();
    let found = match special(cx, kind, &name)? {
        Some(value) => Some(value),
        None => map(cx, kind)?.and_then(|headers| http::get(headers, &name).map(<[u8]>::to_vec)),
    };
    match found {
        Some(value) => call.give(3, &value),
        None => Ok(status::NOT_FOUND),
    }
}

pub fn get_all(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let kind = call.arg(0);
    let cx = call.cx();
    let mut pairs = Headers::new();
    for name in specials(kind) {
        if let Some(value) = special(cx, kind, name)? {
            pairs.push(((*name).into(), value));
        }
    }
    let Some(headers) = map(cx, kind)? else { return Ok(status::BAD_ARGUMENT) };
    pairs.extend(headers.iter().cloned());
    pairs.truncate(PAIRS_MAX);
    let bytes = marshal(&pairs);
    call.give(1, &bytes)
}

/// Whether the step may still change the map; the statuses and traps of the real host.
fn may_set(cx: &mut Cx, kind: u32) -> Result<bool, Error> {
    let early = [Step::RequestHeaders, Step::RequestBody];
    let sent = |cx: &Cx| cx.traffic.as_ref().is_none_or(|traffic| traffic.in_response);
    match kind {
        REQUEST if within(cx, &early) || (within(cx, &[Step::Callout]) && !sent(cx)) => Ok(true),
        REQUEST => Err(trap("can only set request headers before response is produced")),
        RESPONSE if within(cx, &early) || within(cx, &[Step::ResponseHeaders]) => Ok(true),
        RESPONSE if within(cx, &[Step::Callout]) && !sent(cx) => Ok(true),
        RESPONSE => Err(trap("can only set response headers before \"on_response_body\"")),
        _ => Ok(false),
    }
}

/// Pseudo headers that can be set. `:path` changes what filters read, not where Kong proxies to.
fn set_special(traffic: &mut Traffic, kind: u32, name: &str, value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value).into_owned();
    match (kind, name) {
        (REQUEST, ":path") => traffic.path = text,
        (REQUEST, ":method") => traffic.method = text,
        (REQUEST, ":scheme" | ":authority") => {}
        (RESPONSE, ":status") => {
            if let Some(status) = text.parse().ok().filter(|status| (100..600).contains(status)) {
                traffic.status = status;
            }
        }
        _ => return false,
    }
    true
}

enum Change {
    Set,
    Add,
    Remove,
}

fn change(call: &mut Hostcall<'_, '_>, how: Change) -> Result<u32, Error> {
    let kind = call.arg(0);
    let name = call.text(1)?;
    let value = if matches!(how, Change::Remove) { Vec::new() } else { call.bytes(3)? };
    let cx = call.cx();
    if !may_set(cx, kind)? {
        return Ok(status::BAD_ARGUMENT);
    }
    let traffic = traffic(cx)?;
    if set_special(traffic, kind, &name, &value) {
        return Ok(status::OK);
    }
    let (name, value) = (escape_name(&name), escape(&value));
    let request = kind == REQUEST;
    let headers = if request { &mut traffic.headers } else { &mut traffic.response_headers };
    match how {
        Change::Add => headers.push((name, value)),
        Change::Set => http::set(headers, &name, value),
        // Returns Ok, and the API still gets the header.
        Change::Remove if request => {}
        Change::Remove => http::remove(headers, &name),
    }
    Ok(status::OK)
}

pub fn replace(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    change(call, Change::Set)
}

pub fn add(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    change(call, Change::Add)
}

pub fn remove(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    change(call, Change::Remove)
}

pub fn set_all(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let kind = call.arg(0);
    let bytes = call.bytes(1)?;
    let Some(pairs) = unmarshal(&bytes) else { return Ok(status::INTERNAL_FAILURE) };
    let cx = call.cx();
    if !may_set(cx, kind)? {
        return Ok(status::BAD_ARGUMENT);
    }
    let traffic = traffic(cx)?;
    if kind == RESPONSE {
        traffic.response_headers.clear();
    }
    for (name, value) in pairs {
        if !set_special(traffic, kind, &name, &value) {
            let headers =
                if kind == REQUEST { &mut traffic.headers } else { &mut traffic.response_headers };
            http::set(headers, &escape_name(&name), escape(&value));
        }
    }
    Ok(status::OK)
}

/// Control bytes but the tab become `%XX`, as the real host writes values that filters set.
pub fn escape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for byte in value {
        if (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fn escape_name(name: &str) -> String {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    name.bytes()
        .map(|byte| if token(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Count, lengths, then names and values with a NUL after each.
pub fn marshal(pairs: &Headers) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

pub fn unmarshal(bytes: &[u8]) -> Option<Headers> {
    if bytes.is_empty() {
        return Some(Headers::new());
    }
    let word = |at: usize| {
        let word = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Headers::new();
    for pair in 0..count {
        let (name, value) = (word(4 + pair * 8)?, word(8 + pair * 8)?);
        let name = bytes.get(at..at.checked_add(name)?)?;
        at += name.len() + 1;
        let value = bytes.get(at..at.checked_add(value)?)?;
        at += value.len() + 1;
        pairs.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    Some(pairs)
}
