//! The body of a request: held back where the exchange has to read it, and trailers, which end it
//! too.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::Action;

use crate::exchange::{Exchange, Input};
use crate::shell::abi::{self, Buffer};
use crate::shell::hosts::latch;

use super::Http;

/// A body on its way here.
pub(super) struct Reading {
    pub exchange: Rc<RefCell<Exchange>>,
    pub bytes_max: usize,
    /// How much of it the host holds.
    pub size: usize,
}

impl Http {
    /// Has the host bring the body: Envoy holds the headers meanwhile, Kong brings it before
    /// anything goes on.
    pub(super) fn read_body(
        &mut self,
        exchange: Rc<RefCell<Exchange>>,
        bytes_max: usize,
    ) -> Action {
        self.pause(&exchange);
        if self.chain.dialect.caps().wakes_others {
            self.chain.bodies().wait(self.id, &exchange, abi::now());
        }
        self.reading = Some(Reading { exchange, bytes_max, size: 0 });
        if self.chain.dialect.caps().holds_headers { Action::Pause } else { Action::Continue }
    }

    pub(super) fn body_has_come(&mut self, body: Option<&[u8]>) -> Action {
        let Some(Reading { exchange, .. }) = self.reading.take() else { return Action::Continue };
        self.chain.bodies().forget(self.id);
        let effect = self.step(&exchange, Input::Body(body));
        self.carry_out(exchange, effect)
    }

    /// The body has ended, by its own end or by trailers after it.
    fn body_has_ended(&mut self, size: usize) -> Action {
        let body = if size == 0 {
            Some(Vec::new())
        } else {
            abi::buffer(Buffer::Request, size).filter(|body| body.len() == size)
        };
        self.body_has_come(body.as_deref())
    }

    /// A part of the request's body has come; `size` is what there is of it.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.reading.is_some() && end_of_stream && self.is_anothers() {
            self.reading = None;
            return Action::Continue;
        }
        let Some(reading) = &mut self.reading else { return self.hold() };
        reading.size = size;
        match (size > reading.bytes_max, end_of_stream) {
            (true, _) => self.body_has_come(None),
            (false, true) => self.body_has_ended(size),
            (false, false) => Action::Pause,
        }
    }

    /// Whether an instance before this one has answered the call or taken it on, so that this one
    /// has no part in it (Kong).
    fn is_anothers(&mut self) -> bool {
        if !self.chain.dialect.caps().lets_requests_go {
            return false;
        }
        if latch::is_answered() {
            return true;
        }
        let is_taken = self.arrival.meeting.as_mut().is_some_and(|meeting| !meeting.take_call());
        if is_taken {
            self.paused = None;
            if self.arrival.scheme.is_some() {
                latch::let_go();
            }
        }
        is_taken
    }

    /// The request's trailers have come.
    pub fn on_request_trailers(&mut self) -> Action {
        // They end a request whose headers and body never said that they do (HTTP/2): to let them
        // go on is to let all of it go on.
        match &self.reading {
            Some(Reading { size, .. }) => self.body_has_ended(*size),
            None => self.hold(),
        }
    }
}
