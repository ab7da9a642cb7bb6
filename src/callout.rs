//! Calls of the filter's own to other servers: where they go and how they are made.

use std::net::Ipv6Addr;

/// An absolute URL, split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    /// Whether the scheme is https.
    pub https: bool,
    /// Host and port as written, for `:authority`.
    pub authority: String,
    /// Host without brackets.
    pub host: String,
    /// Port, the scheme's own if none is written.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

impl Uri {
    /// Takes a URL apart; none if it isn't an absolute http or https one without credentials.
    pub fn parse(text: &str) -> Option<Uri> {
        uri(text).ok()
    }

    /// Host and port, as Kong's host is told whom to call. It traps on anything else.
    pub fn target(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.https { "https" } else { "http" }, self.authority, self.path)
    }
}

/// How a call to another server is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callout {
    /// Envoy's cluster; required there.
    pub cluster: Option<String>,
    /// Milliseconds after which a call has failed.
    pub timeout_ms: u64,
    /// How often a failed call is tried again.
    pub retries: u32,
    /// Further headers, names in lower case.
    pub headers: Vec<(String, Secret)>,
}

/// Bytes that never appear in any output.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }
    /// The bytes, for the one place that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

pub(crate) fn is_host(text: &str) -> bool {
    let plain = |text: &str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    plain(text) && !text.starts_with('.') || bracketed(text).is_some()
}

/// The address within `[...]`.
pub(crate) fn bracketed(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(|_| inner)
}

/// An absolute http or https URL, split; or why it isn't one.
pub(crate) fn uri(text: &str) -> Result<Uri, &'static str> {
    let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("it begins with neither https:// nor http://"),
    };
    if !rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`|".contains(&b)) {
        return Err("it holds a character that has to be percent-encoded");
    }
    if rest.contains('#') {
        return Err("it has a fragment");
    }
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(path_at).ok_or("it has no host")?;
    if authority.contains('@') {
        return Err("it has a user or a password: put credentials into headers");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port = match port {
        None => {
            if https {
                443
            } else {
                80
            }
        }
        Some(digits) => digits
            .parse::<u16>()
            .ok()
            .filter(|port| *port > 0 && digits.bytes().all(|b| b.is_ascii_digit()))
            .ok_or("its port is not a number from 1 to 65535")?,
    };
    if host.is_empty() || !is_host(host) {
        return Err("its host is not a name or an address");
    }
    Ok(Uri {
        https,
        authority: authority.to_owned(),
        host: bracketed(host).unwrap_or(host).to_owned(),
        port,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
    })
}
