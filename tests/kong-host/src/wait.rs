//! The server block behind `kong.wait_uri`, on a unix socket: `GET /MS` (or `GET /?ms=MS`) is
//! answered with a byte after that many milliseconds, at most a second.

use crate::http::{self, Request, Response};
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

const WAIT_MS_MAX: u64 = 1000;

/// Listens on the socket until the process ends; an old file in its place is removed.
///
/// # Errors
/// If the socket can't be bound.
pub fn serve_waits(path: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                let response = match http::read_request(&mut stream) {
                    Ok(request) => wait(&request),
                    Err(_) => return,
                };
                let _ = stream.get_mut().write_all(&http::response_bytes(&response, false));
            });
        }
    });
    Ok(())
}

fn wait(request: &Request) -> Response {
    let target = request.target.trim_start_matches('/');
    let digits = target.strip_prefix("?ms=").unwrap_or(target);
    match digits.parse::<u64>() {
        Ok(ms) => {
            std::thread::sleep(Duration::from_millis(ms.min(WAIT_MS_MAX)));
            let mut response = Response::new(200, ".");
            response.headers.push(("Connection".into(), b"close".to_vec()));
            response
        }
        Err(_) => Response::new(404, "expected GET /MS\n"),
    }
}
