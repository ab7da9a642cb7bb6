//! The API's answer to a request that went on: its callbacks, for an exchange that has to do with
//! it.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::Action;

use crate::exchange::Exchange;
use crate::exchange::{Passed, ServerAnswer, Started};
use crate::metrics::Took;
use crate::reply::Answer;
use crate::request::HeaderBlock;
use crate::time::Time;
use crate::token_endpoint::integrity::DIGESTS;

use super::abi::{self, Buffer, Map};
use super::call::status;
use super::chain::Watched;
use super::hosts::Dialect;
use super::http::Http;
use super::why;

/// An answer on its way back.
pub struct Watching {
    pub exchange: Rc<RefCell<Exchange>>,
    status: u16,
    headers: HeaderBlock,
    /// How much of its body the host holds.
    size: usize,
    /// When its request went on.
    since: Time,
}

impl Watching {
    /// One of which nothing has come, to a request that went on at `since`.
    pub fn new(exchange: Rc<RefCell<Exchange>>, since: Time) -> Self {
        Watching { exchange, status: 0, headers: HeaderBlock::default(), size: 0, since }
    }
}

impl Http {
    /// The headers of the API's answer have come.
    pub fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        for (name, value) in std::mem::take(&mut self.response) {
            abi::replace_header(Map::Response, &name, &value);
        }
        let (exchange, since) = match &self.watching {
            Some(watching) => (watching.exchange.clone(), watching.since),
            // An exchange that waited was let go by the root.
            None => match self.chain.take_watched(self.id) {
                Some(Watched { exchange, response, since }) => {
                    for (name, value) in response {
                        abi::replace_header(Map::Response, &name, &value);
                    }
                    (exchange, since)
                }
                None => return Action::Continue,
            },
        };
        let headers = abi::headers(Map::Response);
        let status = status(&headers);
        let started = self
            .chain
            .with_facts(|facts| exchange.borrow_mut().answer_started(status, &headers, facts));
        if started.as_ref().is_some_and(|started| !matches!(started, Started::Pass)) {
            self.chain.took(Took::TokenCall, since);
        }
        self.chain.tell_soon();
        match started {
            None | Some(Started::Pass) => {
                self.watching = None;
                return Action::Continue;
            }
            Some(Started::Kept(answer)) => {
                self.watching = None;
                self.call_followers(&exchange);
                return answer_instead(&answer, &headers, self.chain.dialect);
            }
            Some(Started::Watch { may_change_length }) => {
                if may_change_length && !self.chain.dialect.caps().holds_headers {
                    abi::remove_header(Map::Response, "content-length");
                    // Nor may the head promise the bytes of a body that may be replaced.
                    for name in DIGESTS {
                        abi::remove_header(Map::Response, name);
                    }
                }
            }
        }
        self.watching = Some(Watching { exchange, status, headers, size: 0, since });
        if end_of_stream {
            return self.answer_has_come(&[], true);
        }
        if self.chain.dialect.caps().holds_headers { Action::Pause } else { Action::Continue }
    }

    /// A part of its body has come; `size` is what there is of it.
    pub fn on_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(watching) = &mut self.watching else { return Action::Continue };
        watching.size = size;
        let complete = end_of_stream || self.chain.dialect.is_whole(&watching.headers, size);
        if size > ANSWER_BYTES_MAX {
            // Too large to be a token answer, so it is judged as one that says nothing, and goes on
            // as it comes.
            return self.answer_has_come(&[], true);
        }
        if !complete {
            return Action::Pause;
        }
        self.answer_has_ended(size)
    }

    /// Its trailers have come.
    pub fn on_response_trailers(&mut self) -> Action {
        match &self.watching {
            Some(Watching { size, .. }) => self.answer_has_ended(*size),
            None => Action::Continue,
        }
    }

    /// The answer's body has ended, by its own end or by trailers after it.
    fn answer_has_ended(&mut self, size: usize) -> Action {
        let body = if size == 0 {
            Vec::new()
        } else {
            abi::buffer(Buffer::Response, size).unwrap_or_default()
        };
        let all = body.len() == size;
        self.answer_has_come(&body, all)
    }

    fn answer_has_come(&mut self, body: &[u8], complete: bool) -> Action {
        let Some(watching) = self.watching.take() else { return Action::Continue };
        let answer =
            ServerAnswer { status: watching.status, headers: &watching.headers, body, complete };
        let passed =
            self.chain.with_facts(|facts| watching.exchange.borrow_mut().answered(&answer, facts));
        self.call_followers(&watching.exchange);
        self.chain.tell_soon();
        match passed {
            Some(Passed::Body(rewritten)) => {
                abi::set_buffer(Buffer::Response, body.len(), &rewritten);
            }
            Some(Passed::Kept(kept)) if self.chain.dialect.caps().holds_headers => {
                return answer_instead(&kept, &watching.headers, self.chain.dialect);
            }
            Some(Passed::Kept(kept)) => {
                // The head has gone already, without a length: it is one of JSON.
                abi::set_buffer(Buffer::Response, body.len(), &kept.body);
            }
            Some(Passed::Unchanged) | None => {}
        }
        Action::Continue
    }

    /// Lets those look who waited for this exchange's call.
    fn call_followers(&self, exchange: &Rc<RefCell<Exchange>>) {
        if let Some(name) = exchange.borrow().name() {
            self.chain.call_waiters(&name);
        }
    }
}

/// Answers the client in place of the server, none of whose answer has gone on yet: it has these
/// headers.
fn answer_instead(answer: &Answer, instead_of: &HeaderBlock, dialect: Dialect) -> Action {
    if !dialect.caps().holds_headers {
        let may_have_body = instead_of.get("content-length") != Some(b"0");
        // There a reply takes over status and body alone, and headers can be changed in this
        // callback.
        for (name, value) in answer.headers.iter().filter(|_| answer.status >= 400 || may_have_body)
        {
            abi::replace_header(Map::Response, name, value);
        }
        // A reply in place of an answer without a body never comes. So that one goes on: as what
        // ours is, where a status says enough, else as it is.
        if answer.status >= 400 && !has_length(instead_of) {
            abi::replace_header(Map::Response, ":status", &answer.status.to_string());
            return Action::Continue;
        }
        if !may_have_body {
            return Action::Continue;
        }
    }
    // Kong would keep it beside our own.
    abi::remove_header(Map::Response, "content-length");
    why::respond(answer, dialect);
    Action::Pause
}

/// Whether an answer says that it has a body.
fn has_length(headers: &HeaderBlock) -> bool {
    headers.get("content-length").is_some_and(|length| length != b"0")
}

/// No token answer is longer; it is what both hosts buffer without more.
const ANSWER_BYTES_MAX: usize = 65_536;
