//! What a request's calls leave at the host, and what must not come after it.
//!
//! The host keeps the buffers of a request's finished calls for its next one, and then gives one of
//! them to two users at once: the socket reads the answer into it, and the reader notes in it where
//! the answer's body lies. A body that comes in chunks or in several pieces is then copied past the
//! end of its own buffer, into whatever lies behind: the worker dies at once, later, or goes on with
//! its memory spoilt. The reader keeps the buffer in which it notes a body. So a call that has no
//! body, and whose answer has one, leaves nothing; after any other the next one may bring a byte at
//! most. All filters of a request share what is left.

use std::cell::Cell;

use crate::exchange::{Effect, Finish};
use crate::shell::abi::{self, Map};

/// What the calls of a request have left.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Residue {
    /// Nothing.
    #[default]
    Nothing,
    /// Nothing yet, and a buffer when this callback ends.
    Soon,
    /// A buffer.
    Buffer,
    /// A buffer that the host is about to empty when this callback ends. The client's answer would
    /// be written into it and be empty, and its connection closed.
    Reply,
}

/// A call that has ended.
pub struct Ended {
    /// Whether it had a body.
    pub had_body: bool,
    /// Whether it was made only to wait.
    pub was_wait: bool,
    /// The answer's status; 0 if it failed.
    pub status: u16,
    /// Bytes of the answer's body.
    pub size: usize,
}

impl Residue {
    /// What is left after one more call.
    pub fn after(self, call: &Ended) -> Residue {
        if call.was_wait && (200..300).contains(&call.status) {
            note_wait_server(call.size > 0);
        }
        match (call.had_body, call.size) {
            (true, 0) => Residue::Reply,
            (true, _) => Residue::Soon,
            (false, 0) if call.was_wait && call.status == 0 && was_not_sent() => self,
            (false, 0) => Residue::Buffer,
            (false, _) => Residue::Nothing,
        }
    }

    /// What is left once the callback has ended.
    pub fn later(self) -> Residue {
        match self {
            Residue::Nothing => Residue::Nothing,
            Residue::Soon | Residue::Buffer | Residue::Reply => Residue::Buffer,
        }
    }

    /// Whether what comes next has to wait until this is cleared away.
    pub fn spoils(self, effect: &Effect) -> bool {
        match effect {
            Effect::Fetch(..) => matches!(self, Residue::Buffer | Residue::Reply),
            Effect::Finish(Finish::Answer(_)) => self == Residue::Reply,
            Effect::SleepUntil(..) | Effect::ReadBody(_) | Effect::Finish(Finish::Admit(_)) => {
                false
            }
        }
    }

    /// Whether a wait clears it away, as far as is known.
    pub fn is_cleared_by_waits() -> bool {
        !EMPTY_WAITS.get()
    }
}

/// Whether nobody took the connection, of a call that failed. One that was reset later says the
/// same; a wait server does that to nobody.
fn was_not_sent() -> bool {
    abi::header(Map::CalloutResponse, ":dispatch_status")
        .is_some_and(|why| why == b"broken connection")
}

/// Notes whether a wait was answered with a body.
fn note_wait_server(has_body: bool) {
    if !EMPTY_WAITS.replace(!has_body) && !has_body {
        log::warn!(
            "kong.wait_uri answers without a body, so a request that has waited can fetch nothing, \
             and gets 503: see kong/herdgate-wait.conf"
        );
    }
}

thread_local! {
    /// Whether the last wait in this worker was answered without a body.
    static EMPTY_WAITS: Cell<bool> = const { Cell::new(false) };
}
