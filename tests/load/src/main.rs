//! `herdgate-load`: sends many HTTP/1.1 requests over keep-alive connections and prints what came
//! back as one JSON line.
//!
//! Without `--rate` every connection sends its next request as soon as the last one is answered
//! (closed loop). With `--rate` or `--pace` each request is due at its time, and its latency counts
//! from when it was due, so that a slow server cannot hide its queue. How late the generator itself
//! was is counted apart (`late_us`), as are requests that found no connection free (`queued`).
mod connection;
mod herd;
mod options;
mod pace;
mod report;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use connection::Connection;
use options::Options;
use report::Report;

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("herdgate-load: {message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let requests = options.request_bytes();
    let report = match options.herd {
        Some(spread) => herd::run(&options, &requests, spread),
        None => run(&options, &requests),
    };
    println!("{}", report.into_json());
    ExitCode::SUCCESS
}

/// Sends everything that `options` asks for, `requests` in turn; returns what all connections saw
/// together.
fn run(options: &Options, requests: &[Vec<u8>]) -> Report {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Report::new(options.slot));
    let barrier = Barrier::new(options.connections);
    let started = Mutex::new(None);

    std::thread::scope(|scope| {
        for number in 0..options.connections {
            let (next, total, barrier, started) = (&next, &total, &barrier, &started);
            let spawned =
                std::thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, move || {
                    let mut connection = Connection::new(options, number, false);
                    let mut seen = Report::new(options.slot);
                    if let Err(kind) = connection.connect() {
                        seen.connect_error(kind);
                    }
                    // All connections are open before the first request leaves.
                    barrier.wait();
                    let start = *started.lock().unwrap().get_or_insert_with(Instant::now);
                    send(options, requests, next, start, &mut connection, &mut seen);
                    total.lock().unwrap().merge(seen);
                });
            spawned.expect("a thread for each connection");
        }
    });

    let mut report = total.into_inner().unwrap();
    report.elapsed = started.into_inner().unwrap().map_or(Duration::ZERO, |start| start.elapsed());
    report
}

/// One connection's share: takes the next number until there is none left, or the time is up.
fn send(
    options: &Options,
    requests: &[Vec<u8>],
    next: &AtomicU64,
    start: Instant,
    connection: &mut Connection,
    seen: &mut Report,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= options.requests
            || options.duration.is_some_and(|limit| start.elapsed() >= limit)
        {
            return;
        }
        let due = match &options.pace {
            Some(pace) => {
                let Some(due) = pace.due(number) else { return };
                wait_for(due, start, seen);
                due
            }
            None => start.elapsed(),
        };
        let request = &requests[number as usize % requests.len()];
        match connection.exchange(request, options.is_head) {
            Ok(answer) => seen.answer(due, start.elapsed(), &answer),
            Err(kind) => seen.error(due, kind),
        }
    }
}

/// Sleeps until `due`; what is late then is the generator's own doing.
fn wait_for(due: Duration, start: Instant, seen: &mut Report) {
    match due.checked_sub(start.elapsed()) {
        Some(early) => {
            std::thread::sleep(early);
            seen.late(start.elapsed().saturating_sub(due));
        }
        None => seen.queued(),
    }
}
