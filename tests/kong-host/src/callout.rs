//! HTTP callouts of filters: a new connection each, in clear text.

use crate::http::{self, Headers};
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Whom a callout asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Name or address, and port.
    Tcp { host: String, port: u16 },
    /// A socket in the file system.
    Unix(String),
}

impl Target {
    /// Reads `host:port`, `[v6]:port` or `unix:path`.
    pub fn parse(text: &str) -> Result<Target, String> {
        let wrong = || format!("bad host {text:?}");
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Target::Unix(path.into()))
            } else {
                Err(wrong())
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let bare = match host.strip_prefix('[') {
            Some(inner) => {
                inner.strip_suffix(']').filter(|inner| inner.contains(':')).ok_or_else(wrong)?
            }
            None => Some(host).filter(|host| !host.contains([':', '/', ' '])).ok_or_else(wrong)?,
        };
        if bare.is_empty() { Err(wrong()) } else { Ok(Target::Tcp { host: bare.into(), port }) }
    }

    /// The `Host` of a callout that names no `:authority`.
    pub fn authority(&self) -> String {
        match self {
            Target::Tcp { host, .. } => host.clone(),
            Target::Unix(_) => "localhost".into(),
        }
    }
}

/// One callout, ready to go.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: u32,
    pub target: Target,
    pub tls: bool,
    pub method: String,
    pub path: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// For connecting, sending and each read, ms.
    pub timeout_ms: u32,
    /// Its request's earlier calls have left a buffer, in which the host reads the answer too.
    pub reuses_buffer: bool,
}

impl Call {
    /// What becomes of the host's buffers with this answer.
    fn buffers(&self, sent: bool, answer: Option<&http::Response>) -> Buffers {
        let size = answer.map_or(0, |answer| answer.body.len());
        let chunked =
            answer.is_some_and(|answer| http::get(&answer.headers, "content-length").is_none());
        match (sent, self.body.is_empty()) {
            // It may come in pieces, unless it is one byte.
            _ if self.reuses_buffer && size > usize::from(!chunked) => Buffers::Overrun,
            (false, _) => Buffers::AsBefore,
            (true, true) if size > 0 => Buffers::Nothing,
            (true, true) => Buffers::Left,
            (true, false) if size == 0 => Buffers::LeftAndEmptied,
            (true, false) => Buffers::LeftLater,
        }
    }
}

/// The buffers that the host keeps of a request's calls, once one is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// The call took the one that an earlier call had left, or there was none.
    Nothing,
    /// It was never sent.
    AsBefore,
    /// The next call reads into one that is in use.
    Left,
    /// The same, but not yet for a call in this callback.
    LeftLater,
    /// A buffer is left at once, and a reply in this callback is written into it, and lost.
    LeftAndEmptied,
    /// The answer was copied past the end of one.
    Overrun,
}

/// What came of it. Without an answer there is no status, no header and no body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub id: u32,
    pub status: Option<u16>,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// `:dispatch_status`
    pub dispatch_status: &'static str,
    pub buffers: Buffers,
}

/// Makes the call.
pub fn perform(call: &Call) -> Answer {
    let failed_after = |sent, dispatch_status| Answer {
        id: call.id,
        status: None,
        headers: Headers::new(),
        body: Vec::new(),
        dispatch_status,
        buffers: call.buffers(sent, None),
    };
    let failed = |dispatch_status| failed_after(false, dispatch_status);
    if call.tls {
        // No TLS here; a test that needs an https endpoint needs the real host.
        return failed("tls handshake failure");
    }
    let bytes = http::request_bytes(&call.method, &call.path, &call.headers, Some(&call.body));
    let timeout = Duration::from_millis(u64::from(call.timeout_ms.max(1)));
    let done = match &call.target {
        Target::Unix(path) => UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok(talk(stream, &bytes, &call.method))
        }),
        Target::Tcp { host, port } => {
            let Ok(mut addresses) = (host.as_str(), *port).to_socket_addrs() else {
                return failed("resolver failure");
            };
            let Some(address) = addresses.next() else { return failed("resolver failure") };
            TcpStream::connect_timeout(&address, timeout).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Ok(talk(stream, &bytes, &call.method))
            })
        }
    };
    match done {
        Ok(Ok(response)) => Answer {
            buffers: call.buffers(true, Some(&response)),
            id: call.id,
            status: Some(response.status),
            headers: response.headers,
            body: response.body,
            dispatch_status: "ok",
        },
        Ok(Err(http::Broken::Malformed(_))) => failed_after(true, "reader failure"),
        Ok(Err(http::Broken::Io(error))) if timed_out(&error) => failed_after(true, "timeout"),
        Ok(Err(http::Broken::Closed)) => failed_after(true, "ok"),
        Ok(Err(http::Broken::Io(_))) => failed_after(true, "broken connection"),
        Err(error) if timed_out(&error) => failed("timeout"),
        Err(_) => failed("broken connection"),
    }
}

fn talk(
    mut stream: impl Read + Write,
    bytes: &[u8],
    method: &str,
) -> Result<http::Response, http::Broken> {
    stream.write_all(bytes)?;
    http::read_response(&mut BufReader::new(stream), method)
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let tcp = |host: &str, port| Ok(Target::Tcp { host: host.into(), port });
        assert_eq!(Target::parse("idp.example:443"), tcp("idp.example", 443));
        assert_eq!(Target::parse("[::1]:80"), tcp("::1", 80));
        assert_eq!(Target::parse("unix:/run/wait.sock"), Ok(Target::Unix("/run/wait.sock".into())));
        for bad in [
            "",
            "idp",
            "idp.example",
            ":80",
            "::1:80",
            "[x]:80",
            "a:0",
            "a:99999",
            "http://a:80",
            "unix:",
            "unix:x",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
