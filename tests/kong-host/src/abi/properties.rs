//! Properties: nginx variables, Kong's own, and those of the specification that the host maps.

use super::{Hostcall, death, status};
use crate::http;
use crate::vm::{Cx, Traffic};
use wasmi::Error;

fn path(call: &mut Hostcall<'_, '_>) -> Result<String, Error> {
    Ok(call.text(0)?.replace('\0', "."))
}

/// The host goes to Lua for these. After a callout that may be on a sleeping timer's coroutine,
/// which then belongs to this request, and fires when the request is gone: the worker dies, now and
/// then and later.
fn asks_lua(call: &mut Hostcall<'_, '_>, path: &str) -> Result<(), Error> {
    let called_back = call.cx().traffic.as_deref().is_some_and(|traffic| traffic.called_back);
    match called_back && path.starts_with("kong.") {
        true => Err(death(format!("{path} after a callout"))),
        false => Ok(()),
    }
}

pub fn get(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let path = path(call)?;
    asks_lua(call, &path)?;
    match find(call.cx(), &path) {
        Some(value) => call.give(2, &value),
        None => Ok(status::NOT_FOUND),
    }
}

pub fn set(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let path = path(call)?;
    asks_lua(call, &path)?;
    let value = if call.arg(2) == 0 { None } else { Some(call.bytes(2)?) };
    let Some(traffic) = call.cx().traffic.as_deref_mut() else { return Ok(status::NOT_FOUND) };
    if let Some(name) = path.strip_prefix("kong.ctx.shared.") {
        match value {
            Some(value) => traffic.shared.insert(name.into(), value),
            None => traffic.shared.remove(name),
        };
        return Ok(status::OK);
    }
    // Only variables that Kong's nginx declares can be set.
    match path.strip_prefix("ngx.").and_then(|name| traffic.vars.get_mut(name)) {
        Some(var) => {
            *var = value.unwrap_or_default();
            Ok(status::OK)
        }
        None => Ok(status::NOT_FOUND),
    }
}

fn find(cx: &mut Cx, path: &str) -> Option<Vec<u8>> {
    match path {
        "plugin_name" => return Some(cx.filter.name.clone().into_bytes()),
        "plugin_root_id" => return Some(cx.filter.id.to_string().into_bytes()),
        "kong.version" | "kong.node.version" => return Some(b"3.9.3".to_vec()),
        _ => {}
    }
    let traffic = cx.traffic.as_deref()?;
    let header = |name: &str| http::get(&traffic.headers, name).map(<[u8]>::to_vec);
    if let Some(name) = path.strip_prefix("request.headers.") {
        return header(name);
    }
    if let Some(name) = path.strip_prefix("response.headers.") {
        return http::get(&traffic.response_headers, name).map(<[u8]>::to_vec);
    }
    if let Some(name) = path.strip_prefix("kong.ctx.shared.") {
        return traffic.shared.get(name).cloned();
    }
    let (uri, query) = split(&traffic.path);
    let text = match path {
        "source.address" | "ngx.remote_addr" => traffic.address.clone(),
        "source.port" | "ngx.remote_port" => "40000".into(),
        "destination.address" => "127.0.0.1".into(),
        "destination.port" => "8000".into(),
        // Raw: neither decoded nor stripped.
        "request.path" | "ngx.request_uri" => traffic.target.clone(),
        "request.url_path" | "ngx.uri" => uri.into(),
        "request.query" | "ngx.args" => query.into(),
        "request.method" | "ngx.request_method" => traffic.method.clone(),
        "request.scheme" | "ngx.scheme" => "http".into(),
        "request.protocol" | "ngx.server_protocol" => "HTTP/1.1".into(),
        // The machine's name, whatever the client asked for.
        "request.host" | "ngx.hostname" => "kong".into(),
        "request.referer" => return header("referer"),
        "request.useragent" => return header("user-agent"),
        "request.id" => return header("x-request-id"),
        "response.code" | "ngx.status" => {
            Some(traffic.status).filter(|status| *status > 0).map(|status| status.to_string())?
        }
        "kong.route_name" => traffic.matched.as_ref()?.route.name.clone(),
        "kong.route_id" => id(traffic, true)?,
        "kong.service_name" => traffic.matched.as_ref()?.service.name.clone(),
        "kong.service_id" => id(traffic, false)?,
        other => {
            return other.strip_prefix("ngx.").and_then(|name| traffic.vars.get(name).cloned());
        }
    };
    Some(text.into_bytes())
}

fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// An id that has the shape of Kong's and is the same for the same name.
fn id(traffic: &Traffic, route: bool) -> Option<String> {
    let matched = traffic.matched.as_ref()?;
    let name = if route {
        format!("route:{}", matched.route.name)
    } else {
        format!("service:{}", matched.service.name)
    };
    let hash = crc32fast::hash(name.as_bytes());
    Some(format!("{hash:08x}-0000-4000-8000-{hash:012x}"))
}
