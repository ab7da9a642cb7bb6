//! HTTP/1.1 messages over a blocking stream: enough of it for a gateway, an API and a callout.

use std::io::{self, BufRead, BufReader, Read, Write};

/// Longest head of a message, bytes.
const HEAD_MAX: usize = 32 * 1024;
/// Longest body that a test may send, bytes.
const BODY_MAX: usize = 64 << 20;

/// Names keep the case that they arrived in; values are bytes.
pub type Headers = Vec<(String, Vec<u8>)>;

/// The first value under a name, in any case.
pub fn get<'a>(headers: &'a Headers, name: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// Every value under a name, in any case.
pub fn get_all<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_slice())
}

/// Replaces the first value under a name, or adds one.
pub fn set(headers: &mut Headers, name: &str, value: impl Into<Vec<u8>>) {
    match headers.iter_mut().find(|(found, _)| found.eq_ignore_ascii_case(name)) {
        Some((_, old)) => *old = value.into(),
        None => headers.push((name.into(), value.into())),
    }
}

/// Removes every value under a name.
pub fn remove(headers: &mut Headers, name: &str) {
    headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
}

/// A request as it came from a client.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// As sent.
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    /// As sent, in order.
    pub headers: Headers,
    /// None if the message has no body.
    pub body: Option<Vec<u8>>,
    /// Client's address, without port.
    pub address: String,
}

impl Request {
    /// A request from 127.0.0.1 with a `host` header.
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.into(),
            target: target.into(),
            headers: vec![("host".into(), b"api.test".to_vec())],
            body: None,
            address: "127.0.0.1".into(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with a body and its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        set(&mut self.headers, "content-length", body.len().to_string());
        self.body = Some(body);
        self
    }

    /// The same from another client.
    #[must_use]
    pub fn from(mut self, address: &str) -> Request {
        self.address = address.into();
        self
    }
}

/// A response as it goes to a client.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// 100 to 999.
    pub status: u16,
    /// In order.
    pub headers: Headers,
    /// Whole.
    pub body: Vec<u8>,
}

impl Response {
    /// A response with a body and its length.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        let body = body.into();
        let headers = vec![("Content-Length".into(), body.len().to_string().into_bytes())];
        Response { status, headers, body }
    }

    /// The first value under a name, lossily as text.
    pub fn header(&self, name: &str) -> Option<String> {
        get(&self.headers, name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The body, lossily as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why a message could not be read.
#[derive(Debug)]
pub enum Broken {
    /// The peer has gone before the first byte.
    Closed,
    /// The stream failed.
    Io(io::Error),
    /// Not HTTP, or HTTP that nginx answers with 400.
    Malformed(&'static str),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::Io(error)
    }
}

struct Head {
    first: String,
    headers: Headers,
}

fn read_head(stream: &mut impl BufRead) -> Result<Head, Broken> {
    let mut lines = Vec::new();
    let mut size = 0;
    loop {
        let mut line = Vec::new();
        let read = stream.take((HEAD_MAX - size) as u64).read_until(b'\n', &mut line)?;
        size += read;
        match (read, lines.is_empty()) {
            (0, true) if size == 0 => return Err(Broken::Closed),
            (0, _) => return Err(Broken::Malformed("head too long or cut")),
            _ => {}
        }
        let text = line.strip_suffix(b"\n").ok_or(Broken::Malformed("line too long or cut"))?;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            if lines.is_empty() {
                continue;
            }
            break;
        }
        lines.push(text.to_vec());
    }
    let mut lines = lines.into_iter();
    let first = String::from_utf8_lossy(&lines.next().unwrap_or_default()).into_owned();
    let mut headers = Headers::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        // nginx leaves out a line whose name has other characters (ignore_invalid_headers).
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.iter().all(good) {
            continue;
        }
        if value.contains(&0) {
            return Err(Broken::Malformed("NUL in a header"));
        }
        headers.push((String::from_utf8_lossy(name).into_owned(), value.trim_ascii().to_vec()));
    }
    Ok(Head { first, headers })
}

fn length(headers: &Headers) -> Result<Option<usize>, Broken> {
    let mut lengths = get_all(headers, "content-length");
    let Some(first) = lengths.next() else { return Ok(None) };
    if lengths.next().is_some() {
        return Err(Broken::Malformed("two content-lengths"));
    }
    let text = std::str::from_utf8(first)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length =
        text.and_then(|text| text.parse().ok()).ok_or(Broken::Malformed("content-length"))?;
    if length > BODY_MAX { Err(Broken::Malformed("body too long")) } else { Ok(Some(length)) }
}

fn chunked(headers: &Headers) -> bool {
    get(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
}

fn read_chunks(stream: &mut impl BufRead) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.take(1024).read_line(&mut line)?;
        let size = line.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Broken::Malformed("chunk size"))?;
        if body.len() + size > BODY_MAX {
            return Err(Broken::Malformed("body too long"));
        }
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        let mut end = String::new();
        stream.take(1024).read_line(&mut end)?;
        if size == 0 {
            while !end.trim().is_empty() {
                end.clear();
                stream.take(1024).read_line(&mut end)?;
            }
            return Ok(body);
        }
    }
}

/// Reads a request, or says why nginx would answer 400.
///
/// # Errors
/// See [`Broken`].
pub fn read_request<S: Read + Write>(stream: &mut BufReader<S>) -> Result<Request, Broken> {
    let head = read_head(stream)?;
    let mut words = head.first.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Broken::Malformed("request line"));
    };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(Broken::Malformed("request line"));
    }
    let hosts = get_all(&head.headers, "host").count();
    if hosts > 1 || (hosts == 0 && version == "HTTP/1.1") {
        return Err(Broken::Malformed("host"));
    }
    let length = length(&head.headers)?;
    if get(&head.headers, "transfer-encoding").is_some()
        && (length.is_some() || !chunked(&head.headers))
    {
        return Err(Broken::Malformed("transfer-encoding"));
    }
    let reads = length.is_some_and(|length| length > 0) || chunked(&head.headers);
    if reads
        && get(&head.headers, "expect")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = if chunked(&head.headers) {
        Some(read_chunks(stream)?)
    } else if let Some(length) = length.filter(|length| *length > 0) {
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Some(body)
    } else {
        None
    };
    let (method, target) = (method.into(), target.into());
    Ok(Request { method, target, headers: head.headers, body, address: String::new() })
}

/// Reads the response to a request of `method`.
///
/// # Errors
/// See [`Broken`]. A body that is cut short is an error.
pub fn read_response(stream: &mut impl BufRead, method: &str) -> Result<Response, Broken> {
    loop {
        let head = read_head(stream)?;
        let status = head.first.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        let status = status
            .filter(|_| head.first.starts_with("HTTP/1."))
            .ok_or(Broken::Malformed("status line"))?;
        if (100..200).contains(&status) {
            continue;
        }
        let body = if method == "HEAD" || status == 204 || status == 304 {
            Vec::new()
        } else if chunked(&head.headers) {
            read_chunks(stream)?
        } else if let Some(length) = length(&head.headers)? {
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            body
        } else {
            let mut body = Vec::new();
            stream.take(BODY_MAX as u64).read_to_end(&mut body)?;
            body
        };
        return Ok(Response { status, headers: head.headers, body });
    }
}

/// The bytes of a request; `Content-Length` is set from the body if it has one.
pub fn request_bytes(
    method: &str,
    target: &str,
    headers: &Headers,
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    write_headers(&mut out, headers);
    out.extend_from_slice(body.unwrap_or(&[]));
    out
}

/// The bytes of a response as its headers frame it.
pub fn response_bytes(response: &Response, head_only: bool) -> Vec<u8> {
    let mut out =
        format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status)).into_bytes();
    let mut headers = response.headers.clone();
    let bodiless = head_only || response.status == 204 || response.status == 304;
    let chunks = !bodiless && get(&headers, "content-length").is_none();
    if chunks {
        set(&mut headers, "Transfer-Encoding", "chunked");
    }
    write_headers(&mut out, &headers);
    if chunks {
        if !response.body.is_empty() {
            out.extend_from_slice(format!("{:x}\r\n", response.body.len()).as_bytes());
            out.extend_from_slice(&response.body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    } else if !bodiless {
        out.extend_from_slice(&response.body);
    }
    out
}

fn write_headers(out: &mut Vec<u8>, headers: &Headers) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
