//! Which route a request takes, and the three readings of its path that Kong has at once.

use crate::config::{Gateway, Route, Service};
use crate::http::{self, Request};

/// What was found for a request.
#[derive(Clone, Debug)]
pub struct Match {
    /// The route that matched best.
    pub route: Route,
    /// Its service.
    pub service: Service,
    /// Path and query that the API is asked for.
    pub upstream_target: String,
    /// Path and query as nginx has them after Kong's router: decoded, and stripped if the route
    /// says so.
    pub path: String,
}

/// The best route: most specific host first, then the longest path; none is Kong's 404.
pub fn find(gateway: &Gateway, request: &Request) -> Option<Match> {
    let (raw, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (request.target.as_str(), String::new()),
    };
    let path = kong_path(raw);
    let host = http::get(&request.headers, "host")
        .map(|host| String::from_utf8_lossy(host).to_lowercase());
    let host = host
        .as_deref()
        .map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name))
        .unwrap_or("");
    let mut best: Option<(bool, usize, &Route)> = None;
    for route in &gateway.routes {
        let methods = route.methods.is_empty() || route.methods.contains(&request.method);
        let hosts = route.hosts.is_empty() || route.hosts.iter().any(|known| known == host);
        let prefix = match route.paths.is_empty() {
            true => Some(0),
            false => route
                .paths
                .iter()
                .filter(|known| path.starts_with(known.as_str()))
                .map(String::len)
                .max(),
        };
        if let (true, true, Some(prefix)) = (methods, hosts, prefix) {
            let better = best.is_none_or(|(by_host, length, _)| {
                (by_host, length) < (!route.hosts.is_empty(), prefix)
            });
            if better {
                best = Some((!route.hosts.is_empty(), prefix, route));
            }
        }
    }
    let (_, prefix, route) = best?;
    let service = gateway.service(&route.service)?.clone();
    let cut = if route.strip_path { prefix } else { 0 };
    let join = |base: &str, rest: &str| match (base.ends_with('/'), rest.strip_prefix('/')) {
        (true, Some(rest)) => format!("{base}{rest}"),
        (false, None) if !rest.is_empty() || base.is_empty() => format!("{base}/{rest}"),
        _ => format!("{base}{rest}"),
    };
    let upstream_target = format!("{}{query}", join(&service.path, path.get(cut..).unwrap_or("")));
    let decoded = nginx_path(raw)?;
    let shown = match (route.strip_path, decoded.get(prefix..)) {
        (true, Some(rest)) => join("", rest),
        _ => decoded,
    };
    Some(Match { route: route.clone(), service, upstream_target, path: format!("{shown}{query}") })
}

/// As Kong's router reads it: unreserved characters decoded, dot segments and doubled slashes gone.
pub fn kong_path(raw: &str) -> String {
    let decoded = decode(raw, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    });
    let mut segments: Vec<&str> = Vec::new();
    let text = String::from_utf8_lossy(&decoded).into_owned();
    for segment in text.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let slash = if !segments.is_empty()
        && (text.ends_with('/') || text.ends_with("/.") || text.ends_with("/.."))
    {
        "/"
    } else {
        ""
    };
    format!("/{}{slash}", segments.join("/"))
}

/// As nginx reads it: everything decoded, dot segments gone, doubled slashes kept (Kong turns
/// `merge_slashes` off). None is nginx's 400: above the root, or a NUL.
pub fn nginx_path(raw: &str) -> Option<String> {
    let decoded = decode(raw, |_| true);
    if decoded.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(&decoded).into_owned();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            _ => segments.push(segment),
        }
    }
    Some(format!("/{}", segments.join("/")))
}

fn decode(raw: &str, which: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = raw.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|byte| which(*byte));
        rest = match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                &tail[2..]
            }
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_readings_of_one_path() {
        assert_eq!(kong_path("/a/%2e%2e/b%2Fc//d/"), "/b%2Fc/d/");
        assert_eq!(nginx_path("/a/%2e%2e/b%2Fc//d/"), Some("/b/c//d/".into()));
        assert_eq!(nginx_path("/../x"), None);
        assert_eq!(nginx_path("/a%00"), None);
    }
}
