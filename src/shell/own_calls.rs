//! The calls that an exchange makes itself, where the root can resume nobody.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::types::Action;

use crate::exchange::{Effect, Exchange, Input};
use crate::facts::call::CallAnswer;
use crate::metrics::Took;
use crate::request::HeaderBlock;
use crate::time::Time;

use super::abi::{self, Map};
use super::call::{body_of, dispatch, status};
use super::hosts::{Ended, Meeting, Residue};
use super::http::Http;
use super::wait::poll::{self, Seat};

/// The call that an exchange waits for.
#[derive(Default)]
pub enum UnderWay {
    /// None of its own.
    #[default]
    Nothing,
    /// One that brings a fact.
    Fetch {
        /// Whether it has a body.
        has_body: bool,
        /// When it was made.
        since: Time,
    },
    /// A wait, and the exchange's place among those that wait.
    Wait(Seat),
    /// A wait that clears away what earlier calls have left, and what is to be done after it.
    Clearing(Effect),
}

impl UnderWay {
    fn ended(&self, status: u16, size: usize) -> Ended {
        let had_body = matches!(self, UnderWay::Fetch { has_body: true, .. });
        let was_wait = matches!(self, UnderWay::Wait(_) | UnderWay::Clearing(_));
        Ended { had_body, was_wait, status, size }
    }
}

impl Http {
    /// A call of this exchange's own has been answered. After this the request goes on by itself,
    /// unless it is answered here or makes another call.
    pub fn on_http_call_response(&mut self, headers: usize, body_size: usize) {
        let Some(paused) = &mut self.paused else { return };
        let (exchange, call) = (paused.exchange.clone(), std::mem::take(&mut paused.call));
        let answer_headers =
            if headers > 0 { abi::headers(Map::CalloutResponse) } else { HeaderBlock::default() };
        let status = status(&answer_headers);
        self.note_residue(self.residue().after(&call.ended(status, body_size)));
        let answer = || {
            let body = body_of(headers, body_size);
            (answer_headers, body)
        };
        self.go_on_after(exchange, call, status, answer);
        self.note_residue(self.residue().later());
    }

    fn go_on_after(
        &mut self,
        exchange: Rc<RefCell<Exchange>>,
        call: UnderWay,
        status: u16,
        answer: impl FnOnce() -> (HeaderBlock, Vec<u8>),
    ) {
        let effect = match call {
            UnderWay::Clearing(effect) => {
                self.carry_out_cleared(exchange, effect);
                return;
            }
            // The seat is free again after the look, and before the next wait.
            UnderWay::Wait(_seat) if (200..300).contains(&status) => {
                self.step(&exchange, Input::Woken)
            }
            // Whoever looked again at once would do so without end.
            UnderWay::Wait(_seat) => self.not_called(&exchange, true),
            UnderWay::Nothing | UnderWay::Fetch { .. } => {
                if let UnderWay::Fetch { since, .. } = call {
                    self.chain.took(Took::Call, since);
                }
                let (headers, body) = answer();
                let answer = CallAnswer { status, headers: &headers, body: &body };
                self.step(&exchange, Input::Fetched(answer))
            }
        };
        self.carry_out(exchange, effect);
    }

    /// Waits a moment, so that what earlier calls have left is gone before `effect`.
    #[inline(never)]
    pub(super) fn clear_away(&mut self, exchange: Rc<RefCell<Exchange>>, effect: Effect) -> Action {
        self.pause(&exchange);
        let call = self.chain.waiting_call(poll::CLEARING_MS);
        let call = call.filter(|_| Residue::is_cleared_by_waits());
        if call.is_none_or(|call| dispatch(&call, self.chain.dialect, self.id).is_err()) {
            return self.carry_out_cleared(exchange, effect);
        }
        self.set_under_way(UnderWay::Clearing(effect));
        Action::Pause
    }

    /// Carries out what has waited for that. A fetch that is still spoilt isn't made.
    fn carry_out_cleared(&mut self, exchange: Rc<RefCell<Exchange>>, effect: Effect) -> Action {
        match effect {
            Effect::Finish(finish) => self.finish(Some(&exchange), finish),
            Effect::Fetch(..) if self.residue().spoils(&effect) => self.give_up(&exchange),
            Effect::Fetch(..) | Effect::SleepUntil(..) | Effect::ReadBody(_) => {
                self.carry_out(exchange, effect)
            }
        }
    }

    /// Whether what earlier calls have left has to go before `effect`.
    pub(super) fn is_spoilt(&self, effect: &Effect) -> bool {
        self.chain.dialect.caps().reuses_buffers && self.residue().spoils(effect)
    }

    fn residue(&self) -> Residue {
        self.arrival.meeting.as_ref().map_or(self.residue, Meeting::residue)
    }

    fn note_residue(&mut self, residue: Residue) {
        match &self.arrival.meeting {
            Some(meeting) => meeting.note_residue(residue),
            None => self.residue = residue,
        }
    }
}
