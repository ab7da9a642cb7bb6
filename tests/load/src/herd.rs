//! Clients that fetch a token and come again when it ends: each is told a lifetime by the answer,
//! and calls when that is over; a client that is refused comes again after `Retry-After`, or after
//! a second where there is none.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::connection::{Answer, Connection};
use crate::options::Options;
use crate::report::Report;

/// What a client without a `Retry-After` waits.
const RETRY: Duration = Duration::from_secs(1);

/// A client's next call, counted from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    due: Duration,
    client: usize,
}

/// A call that was made, and whether the client has its token.
struct Made {
    next: Call,
    served: bool,
}

/// One request for each client, the first ones spread evenly over `spread`, until `duration`.
pub fn run(options: &Options, requests: &[Vec<u8>], spread: Duration) -> Report {
    let duration = options.duration.unwrap_or(Duration::MAX);
    let (jobs, to_do) = channel::<Call>();
    let (done, made) = channel::<Made>();
    let to_do = Mutex::new(to_do);
    let total = Mutex::new(Report::new(options.slot));
    let barrier = Barrier::new(options.connections + 1);
    let mut start = Instant::now();
    let mut served = Served::of(requests.len());
    let started = Mutex::new(start);
    std::thread::scope(|scope| {
        for number in 0..options.connections {
            let done = done.clone();
            let (to_do, total, barrier, started) = (&to_do, &total, &barrier, &started);
            let spawned =
                std::thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, move || {
                    let mut connection = Connection::new(options, number, true);
                    let mut seen = Report::new(options.slot);
                    if let Err(kind) = connection.connect() {
                        seen.connect_error(kind);
                    }
                    barrier.wait();
                    barrier.wait();
                    let start = *started.lock().unwrap();
                    work(requests, to_do, &done, start, &mut connection, &mut seen);
                    total.lock().unwrap().merge(seen);
                });
            spawned.expect("a thread for each connection");
        }
        drop(done);
        // All connections are open before the first request leaves.
        barrier.wait();
        start = Instant::now();
        *started.lock().unwrap() = start;
        barrier.wait();
        let first = (0..requests.len()).map(|client| Call {
            due: spread.mul_f64(client as f64 / requests.len() as f64),
            client,
        });
        dispatch(first.collect(), &jobs, &made, start, duration, &mut served);
        drop(jobs);
    });
    let mut report = total.into_inner().unwrap();
    report.elapsed = start.elapsed();
    report.served(served.count, served.last);
    report
}

/// Which clients have had a token, and when the last one of them got its first.
struct Served {
    by_client: Vec<bool>,
    count: u64,
    last: Duration,
}

impl Served {
    fn of(clients: usize) -> Self {
        Served { by_client: vec![false; clients], count: 0, last: Duration::ZERO }
    }

    fn note(&mut self, client: usize, at: Duration) {
        if !std::mem::replace(&mut self.by_client[client], true) {
            self.count += 1;
            self.last = at;
        }
    }
}

/// Hands out each call when it is due, until the time is over.
fn dispatch(
    first: Vec<Call>,
    jobs: &Sender<Call>,
    made: &Receiver<Made>,
    start: Instant,
    duration: Duration,
    served: &mut Served,
) {
    let mut waiting: BinaryHeap<Reverse<Call>> = first.into_iter().map(Reverse).collect();
    loop {
        let now = start.elapsed();
        if now >= duration {
            return;
        }
        while waiting.peek().is_some_and(|Reverse(call)| call.due <= now) {
            if let Some(Reverse(call)) = waiting.pop()
                && jobs.send(call).is_err()
            {
                return;
            }
        }
        let next = waiting.peek().map_or(duration, |Reverse(call)| call.due.min(duration));
        match made.recv_timeout(next.saturating_sub(start.elapsed())) {
            Ok(Made { next, served: got }) => {
                if got {
                    served.note(next.client, start.elapsed());
                }
                waiting.push(Reverse(next));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn work(
    requests: &[Vec<u8>],
    to_do: &Mutex<Receiver<Call>>,
    done: &Sender<Made>,
    start: Instant,
    connection: &mut Connection,
    seen: &mut Report,
) {
    loop {
        let Ok(call) = to_do.lock().unwrap().recv() else { return };
        let result = connection.exchange(&requests[call.client], false);
        let now = start.elapsed();
        let after = match &result {
            Ok(answer) => {
                seen.answer(call.due, now, answer);
                comes_again(answer)
            }
            Err(kind) => {
                seen.error(call.due, kind);
                RETRY
            }
        };
        let served = result.is_ok_and(|answer| answer.status == 200);
        let next = Call { due: now + after, client: call.client };
        if done.send(Made { next, served }).is_err() {
            return;
        }
    }
}

/// When a client with this answer calls again.
fn comes_again(answer: &Answer) -> Duration {
    match (answer.status, expires_in(&answer.body), answer.retry_after_s) {
        (200, Some(seconds), _) => Duration::from_secs(seconds),
        (_, _, Some(seconds)) => Duration::from_secs(seconds),
        _ => RETRY,
    }
}

/// The number after `"expires_in":`.
fn expires_in(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"expires_in\"")?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{comes_again, expires_in};
    use crate::connection::Answer;
    use std::time::Duration;

    fn answer(status: u16, body: &str, retry_after_s: Option<u64>) -> Answer {
        Answer { status, body: body.into(), retry_after_s, ..Answer::default() }
    }

    #[test]
    fn clients_come_again_when_they_were_told_to() {
        let token = r#"{"access_token":"a","expires_in" : 54  ,"x":1}"#;
        assert_eq!(comes_again(&answer(200, token, None)), Duration::from_secs(54));
        assert_eq!(comes_again(&answer(503, "", Some(7))), Duration::from_secs(7));
        assert_eq!(comes_again(&answer(503, "", None)), Duration::from_secs(1));
        assert_eq!(comes_again(&answer(200, "{}", None)), Duration::from_secs(1));
        assert_eq!(expires_in(b"{\"expires_in\":\"x\"}"), None);
    }
}
