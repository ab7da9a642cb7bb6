//! One keep-alive HTTP/1.1 connection over a blocking socket.
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::options::Options;

/// Why there was no answer, in few words: the key under which errors are counted.
pub type ErrorKind = &'static str;

/// Bodies are kept up to this size.
const KEPT: usize = 64 * 1024;

/// What came back.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Of `Retry-After` in seconds.
    pub retry_after_s: Option<u64>,
    /// Empty unless bodies are kept.
    pub body: Vec<u8>,
    pub bytes_out: u64,
    pub bytes_in: u64,
}

pub struct Connection {
    address: String,
    timeout: Duration,
    keeps_bodies: bool,
    stream: Option<BufReader<TcpStream>>,
}

struct Head {
    status: u16,
    body: Body,
    keep_alive: bool,
    retry_after_s: Option<u64>,
    bytes: u64,
}

enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Connection {
    /// The connection of this number, to the address whose turn it is.
    pub fn new(options: &Options, number: usize, keeps_bodies: bool) -> Self {
        Self {
            address: options.addresses[number % options.addresses.len()].clone(),
            timeout: options.timeout,
            keeps_bodies,
            stream: None,
        }
    }

    /// Connects unless there is a connection already.
    pub fn connect(&mut self) -> Result<(), ErrorKind> {
        if self.stream.is_some() {
            return Ok(());
        }
        let stream = TcpStream::connect(&self.address).map_err(|_| "connect")?;
        stream.set_nodelay(true).map_err(|_| "connect")?;
        stream.set_read_timeout(Some(self.timeout)).map_err(|_| "connect")?;
        stream.set_write_timeout(Some(self.timeout)).map_err(|_| "connect")?;
        self.stream = Some(BufReader::with_capacity(8 * 1024, stream));
        Ok(())
    }

    /// Sends one request and reads its answer to the end; a reused connection
    /// that the server had closed meanwhile is replaced once.
    pub fn exchange(&mut self, request: &[u8], is_head: bool) -> Result<Answer, ErrorKind> {
        let reused = self.stream.is_some();
        match self.attempt(request, is_head) {
            Err("closed before the answer") if reused => self.attempt(request, is_head),
            result => result,
        }
    }

    fn attempt(&mut self, request: &[u8], is_head: bool) -> Result<Answer, ErrorKind> {
        self.connect()?;
        // The stream is put back only after a whole answer: after any error the next attempt
        // connects anew.
        let mut stream = self.stream.take().ok_or("connect")?;
        stream
            .get_mut()
            .write_all(request)
            .map_err(|error| kind_of(&error, "closed before the answer"))?;
        let mut head = read_head(&mut stream)?;
        while head.status == 100 {
            head = read_head(&mut stream)?;
        }
        let mut body = Kept { bytes: Vec::new(), seen: 0, room: 0 };
        if self.keeps_bodies {
            body.room = KEPT;
        }
        if !is_head && head.status != 204 && head.status != 304 {
            read_body(&mut stream, &head.body, &mut body)?;
        }
        if head.keep_alive && !matches!(head.body, Body::UntilClose) {
            self.stream = Some(stream);
        }
        Ok(Answer {
            status: head.status,
            retry_after_s: head.retry_after_s,
            bytes_out: request.len() as u64,
            bytes_in: head.bytes + body.seen,
            body: body.bytes,
        })
    }
}

/// Where a body goes: counted, and its beginning kept.
struct Kept {
    bytes: Vec<u8>,
    seen: u64,
    room: usize,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seen += bytes.len() as u64;
        let room = self.room.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_head(stream: &mut impl BufRead) -> Result<Head, ErrorKind> {
    let mut line = String::new();
    read_line(stream, &mut line, "closed before the answer")?;
    let status =
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or("bad status line")?;
    let mut head = Head {
        status,
        body: Body::UntilClose,
        keep_alive: line.starts_with("HTTP/1.1"),
        retry_after_s: None,
        bytes: line.len() as u64,
    };
    loop {
        line.clear();
        read_line(stream, &mut line, "closed in the head")?;
        head.bytes += line.len() as u64;
        let header = line.trim_end();
        if header.is_empty() {
            return Ok(head);
        }
        let (name, value) = header.split_once(':').ok_or("bad header")?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = Body::Length(value.parse().map_err(|_| "bad content-length")?);
        } else if name.eq_ignore_ascii_case("transfer-encoding")
            && value.eq_ignore_ascii_case("chunked")
        {
            head.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after_s = value.parse().ok();
        }
    }
}

fn read_body(stream: &mut impl BufRead, body: &Body, kept: &mut Kept) -> Result<(), ErrorKind> {
    match *body {
        Body::Length(length) => copy(stream, length, kept),
        Body::UntilClose => {
            io::copy(stream, kept).map(drop).map_err(|error| kind_of(&error, "closed in the body"))
        }
        Body::Chunked => {
            let mut line = String::new();
            loop {
                line.clear();
                read_line(stream, &mut line, "closed in the body")?;
                let digits = line.split(';').next().unwrap_or("").trim();
                let length = u64::from_str_radix(digits, 16).map_err(|_| "bad chunk")?;
                copy(stream, length, kept)?;
                // Each chunk ends in a line break; after the last one comes the empty trailer
                // section.
                copy(stream, 2, &mut io::sink())?;
                if length == 0 {
                    return Ok(());
                }
            }
        }
    }
}

fn copy(stream: &mut impl BufRead, length: u64, to: &mut impl Write) -> Result<(), ErrorKind> {
    let copied = io::copy(&mut stream.take(length), to)
        .map_err(|error| kind_of(&error, "closed in the body"))?;
    if copied == length { Ok(()) } else { Err("closed in the body") }
}

fn read_line(
    stream: &mut impl BufRead,
    line: &mut String,
    closed: ErrorKind,
) -> Result<(), ErrorKind> {
    match stream.read_line(line) {
        Ok(0) => Err(closed),
        Ok(_) => Ok(()),
        Err(error) => Err(kind_of(&error, closed)),
    }
}

fn kind_of(error: &io::Error, closed: ErrorKind) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timeout",
        io::ErrorKind::InvalidData => "not text",
        _ => closed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Connection};
    use crate::options::Options;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that gives each connection the answers in `script`, then closes it.
    fn server(script: Vec<Vec<&'static str>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for answers in script {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in answers {
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        address
    }

    fn connection(address: &str, keeps_bodies: bool) -> Connection {
        let url = format!("http://{address}/");
        let arguments = ["--url", url.as_str(), "--requests", "1", "--timeout", "5"];
        let options = Options::from_args(arguments.map(String::from).into_iter()).unwrap();
        Connection::new(&options, 0, keeps_bodies)
    }

    fn whole(connection: &mut Connection) -> Result<Answer, &'static str> {
        connection.exchange(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", false)
    }

    fn exchange(connection: &mut Connection) -> Result<u16, &'static str> {
        whole(connection).map(|answer| answer.status)
    }

    #[test]
    fn keeps_what_a_herd_needs_and_counts_bytes() {
        let text = "HTTP/1.1 503 No\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nbusy";
        let chunks =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let address = server(vec![vec![text, chunks], vec![text]]);
        let mut first = connection(&address, true);
        let expected = Answer {
            status: 503,
            retry_after_s: Some(3),
            body: b"busy".into(),
            bytes_out: 27,
            bytes_in: text.len() as u64,
        };
        assert_eq!(whole(&mut first), Ok(expected));
        assert_eq!(whole(&mut first).unwrap().body, b"abcde");
        drop(first);
        assert_eq!(whole(&mut connection(&address, false)).unwrap().body, b"");
    }

    #[test]
    fn reads_lengths_chunks_and_reconnects() {
        let address = server(vec![
            vec![
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
                "HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n",
                "HTTP/1.1 204 Nothing\r\n\r\n",
            ],
            vec!["HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"],
            vec!["HTTP/1.0 200 OK\r\n\r\nuntil the end"],
            vec!["HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort"],
        ]);
        let mut connection = connection(&address, false);
        assert_eq!(exchange(&mut connection), Ok(200));
        assert_eq!(exchange(&mut connection), Ok(401));
        assert_eq!(exchange(&mut connection), Ok(204));
        assert_eq!(exchange(&mut connection), Ok(503));
        assert_eq!(exchange(&mut connection), Ok(200));
        assert_eq!(exchange(&mut connection), Err("closed in the body"));
    }
}
