//! The way back: response callbacks, with the real host's rules about buffering and the end of a
//! stream.

use crate::exchange::{Outcome, Walk};
use crate::http::{self, Response};
use crate::vm::Step;
use crate::worker::Halt;

const PAUSE: u32 = 1;

/// What the body filter remembers between two pieces.
#[derive(Default)]
struct Stream {
    /// Of the response as it came, whatever a filter does to the header.
    length: Option<usize>,
    /// The filter that the next piece begins with.
    at: usize,
    buffering: bool,
    /// Buffering has been asked for once; a second Pause counts as Continue.
    buffered: bool,
    kept: Vec<u8>,
    end: bool,
    out: Vec<u8>,
}

impl Walk<'_> {
    /// Takes a response of the API, of Kong or of a filter through the response callbacks.
    pub fn deliver(&mut self, response: Response) -> Result<Outcome, Halt> {
        let traffic = self.traffic();
        traffic.in_response = true;
        traffic.status = response.status;
        traffic.response_headers.extend(response.headers);
        let length = http::get(&traffic.response_headers, "content-length")
            .and_then(|value| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        let count = traffic.response_headers.len() as u32;
        for at in 0..self.contexts.len() {
            self.call(at, Step::ResponseHeaders, "proxy_on_response_headers", &[count, 0], None)?;
        }
        let head_only = self.traffic().method == "HEAD" || matches!(response.status, 204 | 304);
        let mut body = response.body;
        if self.traffic().replaced {
            body = std::mem::take(&mut self.traffic().piece);
        }
        let mut stream = Stream { length, ..Stream::default() };
        if !head_only {
            self.traffic().in_response_body = true;
            let pieces: Vec<Vec<u8>> =
                body.chunks(self.host.options.response_piece).map(<[u8]>::to_vec).collect();
            let pieces = pieces.into_iter().map(|piece| (piece, false)).chain([(Vec::new(), true)]);
            for (piece, last) in pieces {
                match self.piece(&mut stream, piece, last) {
                    Ok(()) => {}
                    Err(Halt::Error) => {
                        self.finish();
                        return Ok(Outcome::Cut);
                    }
                    Err(halt) => return Err(halt),
                }
            }
        }
        self.finish();
        let traffic = self.traffic();
        let (status, headers) = (traffic.status, std::mem::take(&mut traffic.response_headers));
        Ok(Outcome::Answer(Response { status, headers, body: stream.out }))
    }

    fn piece(&mut self, stream: &mut Stream, piece: Vec<u8>, last: bool) -> Result<(), Halt> {
        stream.end |= last;
        if stream.buffering { self.keep(stream, piece) } else { self.offer(stream, piece) }
    }

    /// Adds to the buffers; when the end has come or they are full, offers all that was kept.
    fn keep(&mut self, stream: &mut Stream, piece: Vec<u8>) -> Result<(), Halt> {
        let room = self.host.options.response_buffers * self.host.options.response_buffer;
        stream.kept.extend(piece);
        if stream.end || stream.kept.len() > room {
            stream.buffering = false;
            stream.buffered = true;
            let kept = std::mem::take(&mut stream.kept);
            return self.offer(stream, kept);
        }
        Ok(())
    }

    /// With a content-length the end is a piece as long as that; without one it is the last piece.
    fn offer(&mut self, stream: &mut Stream, piece: Vec<u8>) -> Result<(), Halt> {
        self.traffic().piece = piece;
        while stream.at < self.contexts.len() {
            let size = self.traffic().piece.len();
            if let Some(length) = stream.length.filter(|length| *length > 0) {
                stream.end = size == length;
            }
            let mut action = 0;
            if size > 0 || stream.end {
                let params = [size as u32, u32::from(stream.end)];
                action = self.call(
                    stream.at,
                    Step::ResponseBody,
                    "proxy_on_response_body",
                    &params,
                    None,
                )?;
            }
            if action == PAUSE && !stream.buffered {
                stream.buffering = true;
                let piece = std::mem::take(&mut self.traffic().piece);
                return self.keep(stream, piece);
            }
            stream.at += 1;
        }
        stream.at = 0;
        let piece = std::mem::take(&mut self.traffic().piece);
        stream.out.extend(piece);
        Ok(())
    }
}
