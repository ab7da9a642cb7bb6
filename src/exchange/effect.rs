//! What an exchange is told, and what it asks of its host: all that crosses between them.

use super::changes::Changes;
use crate::digest::Digest;
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Queue};
use crate::reply::Answer;
use crate::request::HeaderBlock;
use crate::time::Time;

/// What happens to an exchange.
pub enum Input<'a> {
    /// Its request has come.
    Begin,
    /// Its body has come, whole; nothing if it is over the limit or can't be had.
    Body(Option<&'a [u8]>),
    /// The fetch that it asked for has brought this.
    Fetched(CallAnswer<'a>),
    /// It has slept, or someone has called.
    Woken,
}

/// What an exchange asks of its host.
pub enum Effect {
    /// Fetch a fact, and bring the answer or wake it when it is known, at this moment at the
    /// latest.
    Fetch(Fact, Time),
    /// Wake it when what has this name may be there, at this moment at the latest.
    SleepUntil(Time, Digest, Queue),
    /// Bring the request's body, of at most so many bytes.
    ReadBody(usize),
    /// It is decided.
    Finish(Finish),
}

/// How an exchange is decided.
pub enum Finish {
    /// The request goes on with these changes.
    Admit(Changes),
    /// The client is answered here.
    Answer(Answer),
}

impl Finish {
    /// The same with these changes too, if the request goes on.
    pub(super) fn beside(self, changes: Changes) -> Finish {
        match self {
            Finish::Admit(usual) => Finish::Admit(changes.beside(usual)),
            refused @ Finish::Answer(_) => refused,
        }
    }
}

/// What one host can do to a request, as far as the verdict depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// Whether a header can be removed; where it can't, it is blanked, and a second one is refused.
    pub removes_headers: bool,
    /// Whether an exchange can wait for what another one fetches.
    pub waits: bool,
}

/// What is done with the server's answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// It goes on as it is.
    Unchanged,
    /// This body, of the same length, goes on in place of its own.
    Body(Vec<u8>),
    /// A kept answer goes on in its place.
    Kept(Answer),
}

/// What is done when the head of the server's answer has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Started {
    /// Its body is waited for.
    Watch {
        /// Whether the body may be replaced by one of another length.
        may_change_length: bool,
    },
    /// A kept answer goes on in its place.
    Kept(Answer),
    /// It is none of ours.
    Pass,
}

/// The server's answer.
pub struct ServerAnswer<'a> {
    /// The server's status.
    pub status: u16,
    /// The server's headers.
    pub headers: &'a HeaderBlock,
    /// What of the body came.
    pub body: &'a [u8],
    /// Whether all of it came, by the host's rule.
    pub complete: bool,
}
