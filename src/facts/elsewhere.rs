//! What other gateways have of a token call ([`crate::token_endpoint::elsewhere`]): asked for by who
//! has the lease of this gateway, before the server is. Whatever Redis says, or doesn't: the call
//! goes on, and an answer from there is looked at as one from the server is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::call::{Call, CallAnswer};
use super::handed_out::IN_FLIGHT_MS;
use super::tokens::answer_bytes;
use super::{Fact, Facts};
use crate::config::{Config, Mode};
use crate::digest::{Digest, HostKey};
use crate::metrics::Metric;
use crate::redis::{Known, Pause};
use crate::shared::Owner;
use crate::shared::twin::{Twin, broken};
use crate::time::Time;
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::admission::Ended;
use crate::token_endpoint::elsewhere::{
    self, Heard, Left, Names, Outbox, Purpose, Reply, Sealed, Tell, ask, heard, open, seal,
};
use crate::token_endpoint::reuse::{Kind, Stored};

/// The longest that Redis's answer is waited for, in milliseconds.
pub const ASK_MS_MAX: u64 = 50;
/// The shortest lease among gateways, in milliseconds.
pub const LEASE_MS_MIN: u64 = 1_000;
/// Calls without an answer, one after the other, before Redis is left alone: one that is late says
/// little, and who doesn't ask calls the server.
const FAILURES_MAX: u32 = 3;
/// The pause after them in milliseconds; it doubles.
const PAUSE_MS: u64 = 50;
/// Questions that one call carries.
const TOGETHER_MAX: usize = 64;

/// Questions to Redis for token calls: one, or as many as were asked at the same time.
#[derive(Clone, PartialEq, Eq)]
pub struct Asking {
    questions: Vec<Question>,
    by_text: bool,
}

/// A question for one token call.
#[derive(Clone, PartialEq, Eq)]
struct Question {
    endpoint: usize,
    key: Digest,
    credential: Option<Digest>,
    names: Vec<Names>,
    owner: u64,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// It lies here now as if this gateway had asked the server.
    Taken,
    /// This gateway calls the server for all.
    Lead,
    /// Another gateway calls it.
    Held,
    /// It is to be asked again, at once.
    Again,
    /// Redis said nothing of use.
    Unheard,
    /// What lies there is no answer to it.
    Forged,
}

/// What this worker knows of other gateways' token calls.
#[derive(Default)]
pub struct Elsewhere {
    known: Known,
    failures: u32,
    pause: Pause,
    seats: Rc<RefCell<Words>>,
    /// What they are to be told.
    pub outbox: Outbox,
}

impl Elsewhere {
    fn fail(&mut self, now: Time) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.pause.fail(now, PAUSE_MS);
        }
    }
}

/// Calls of this worker that ask other gateways or wait for one, and what came of their questions.
type Words = HashMap<Digest, Option<Word>>;

/// A call's place among them; free again when it is dropped.
pub struct Seat {
    name: Digest,
    seats: Rc<RefCell<Words>>,
}

impl Seat {
    /// What it is woken for.
    pub fn name(&self) -> Digest {
        self.name
    }

    /// What came of its question, once.
    pub fn word(&self) -> Option<Word> {
        self.seats.borrow_mut().get_mut(&self.name)?.take()
    }

    /// How many they are.
    pub fn all(&self) -> u64 {
        self.seats.borrow().len() as u64
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.borrow_mut().remove(&self.name);
    }
}

/// What a call that asks is known as in its worker.
fn name(host_key: &HostKey, call: &Digest, owner: u64) -> Digest {
    host_key.digest("asked elsewhere", &[&call.0, &owner.to_le_bytes()])
}

impl Question {
    fn name(&self, host_key: &HostKey) -> Digest {
        name(host_key, &self.key, self.owner)
    }
}

impl Asking {
    /// What those who wait for it wait for.
    pub(super) fn names(&self, key: &HostKey) -> Vec<Digest> {
        self.questions.iter().map(|question| question.name(key)).collect()
    }

    /// The first of them.
    pub(super) fn name(&self, key: &HostKey) -> Digest {
        self.questions.first().map_or(Digest([0; 32]), |question| question.name(key))
    }

    /// Takes another's questions along; false if one call can't carry both.
    pub(super) fn take_along(&mut self, other: &Asking) -> bool {
        let count = self.questions.len().saturating_add(other.questions.len());
        let fits = self.by_text == other.by_text && count <= TOGETHER_MAX;
        if fits {
            self.questions.extend_from_slice(&other.questions);
        }
        fits
    }

    /// The call that asks.
    pub(super) fn call(&self, config: &Config) -> Option<Call> {
        let at = &config.gateways.as_ref()?.at;
        let key = config.shared.sync_key();
        let questions = self.questions.iter().map(|question| {
            let endpoint = config.token_endpoints.get(question.endpoint);
            let lease_ms = endpoint.map_or(LEASE_MS_MIN, lease_ms);
            elsewhere::Question { owner: question.owner, lease_ms, names: &question.names }
        });
        let body = ask(&key, self.by_text, questions);
        let mut call = Call::post_command(&at.uri, &at.call, body);
        call.timeout_ms = call.timeout_ms.min(ASK_MS_MAX);
        Some(call)
    }
}

/// A gateway that dies with it keeps others from the server for half of their wait, so that nobody
/// is refused for it.
fn lease_ms(endpoint: &TokenEndpoint) -> u64 {
    if broken(Twin::LeaseOfTheDead) {
        return u64::from(u32::MAX);
    }
    endpoint.lease_ms.min((endpoint.wait_ms_max / 2).max(LEASE_MS_MIN))
}

impl Facts<'_> {
    /// Whether answers of token endpoints are shared with other gateways.
    pub fn shares_answers(&self) -> bool {
        let config = &self.runtime.config;
        config.mode == Mode::Enforce && config.gateways.as_ref().is_some_and(|of| of.answers)
    }

    /// A question for a call, unless there is no sense in one: Redis didn't answer a moment ago, or
    /// it isn't known which tokens others have revoked lately.
    pub fn asking(
        &self,
        endpoint: usize,
        key: &Digest,
        credential: Option<&Digest>,
        names: &[Names],
        owner: Owner,
    ) -> Option<Fact> {
        if !self.shares_answers() || names.is_empty() || !self.has_heard_lately() {
            return None;
        }
        let worker = self.runtime.worker.borrow();
        let elsewhere = &worker.elsewhere;
        if elsewhere.pause.lasts(self.now) {
            return None;
        }
        let question = Question {
            endpoint,
            key: *key,
            credential: credential.copied(),
            names: names.to_vec(),
            owner: owner.number(),
        };
        let asking = Asking { questions: vec![question], by_text: elsewhere.known.by_text() };
        Some(Fact::Elsewhere(Box::new(asking)))
    }

    /// A place among the calls of this worker that ask, for the call whose lease this is.
    pub fn seat_elsewhere(&self, key: &Digest, owner: Owner) -> Seat {
        let name = name(&self.runtime.host_key, key, owner.number());
        let seats = self.runtime.worker.borrow().elsewhere.seats.clone();
        seats.borrow_mut().insert(name, None);
        Seat { name, seats }
    }

    /// Whether a call of this worker that asks other gateways waits under this name.
    pub(super) fn is_seated_elsewhere(&self, name: &Digest) -> bool {
        self.runtime.worker.borrow().elsewhere.seats.borrow().contains_key(name)
    }

    /// Takes in what came of questions. False if it was no answer.
    pub(super) fn learn_elsewhere(&self, asking: &Asking, answer: &CallAnswer<'_>) -> bool {
        let (said, seats) = {
            let elsewhere = &mut self.runtime.worker.borrow_mut().elsewhere;
            let (status, count) = (answer.status, asking.questions.len());
            let said = heard(&mut elsewhere.known, asking.by_text, status, answer.body, count);
            match said {
                Heard::Nothing => elsewhere.fail(self.now),
                Heard::TextNeeded if asking.by_text => elsewhere.fail(self.now),
                Heard::TextNeeded | Heard::Replies(_) => {
                    elsewhere.failures = 0;
                    elsewhere.pause.end();
                }
            }
            (said, elsewhere.seats.clone())
        };
        let (is_answer, word, replies) = match said {
            Heard::Replies(replies) => (true, Word::Unheard, replies),
            Heard::TextNeeded if !asking.by_text => (true, Word::Again, Vec::new()),
            Heard::TextNeeded | Heard::Nothing => (false, Word::Unheard, Vec::new()),
        };
        let mut replies = replies.into_iter();
        for question in &asking.questions {
            let word = match replies.next() {
                Some(Reply::Lead) => Word::Lead,
                Some(Reply::Held) => Word::Held,
                Some(Reply::Sealed(number, text)) => {
                    match self.take_sealed(question, number, &text) {
                        true => Word::Taken,
                        false => {
                            self.host.meter.count(Metric::AnswersForged);
                            Word::Forged
                        }
                    }
                }
                None => word,
            };
            // Its client may have left.
            if let Some(place) = seats.borrow_mut().get_mut(&question.name(&self.runtime.host_key))
            {
                *place = Some(word);
            }
        }
        is_answer
    }

    fn take_sealed(&self, question: &Question, number: usize, text: &str) -> bool {
        let sync_key = &self.runtime.sync_key;
        let key = if number == 0 { Some(sync_key) } else { sync_key.previous() };
        let endpoint = self.runtime.config.token_endpoints.get(question.endpoint);
        let (Some(key), Some(names), Some(endpoint)) = (key, question.names.get(number), endpoint)
        else {
            return false;
        };
        let purpose = Purpose { call: &names.call, endpoint: &endpoint.digest };
        open(key, &purpose, self.now, text).is_some_and(|plain| {
            self.keep_anothers(&question.key, question.credential.as_ref(), endpoint, &plain)
        })
    }

    /// Tells other gateways of an answer, and that the call has ended.
    pub fn tell_answer(
        &self,
        names: &Names,
        owner: Owner,
        stored: &Stored,
        endpoint: &TokenEndpoint,
    ) {
        let (asked_at, token) = match stored.kind {
            Kind::Token { life, handle } => (life.asked_at, Some(handle)),
            Kind::Refusal { asked_at } => (asked_at, None),
        };
        let end = stored.ends_at(endpoint).min(asked_at.plus_ms(IN_FLIGHT_MS));
        let what = What { bytes: answer_bytes(stored), asked_at, end, token };
        self.tell_sealed(names, owner, endpoint, what);
    }

    /// Tells them of a failure, and for how long nobody is to call for it.
    pub fn tell_failure(
        &self,
        names: &Names,
        owner: Owner,
        ended: Ended,
        endpoint: &TokenEndpoint,
    ) {
        let (bytes, end) = self.failure_bytes(ended);
        let what = What { bytes, asked_at: self.now, end, token: None };
        self.tell_sealed(names, owner, endpoint, what);
    }

    fn tell_sealed(&self, names: &Names, owner: Owner, endpoint: &TokenEndpoint, what: What) {
        let purpose = Purpose { call: &names.call, endpoint: &endpoint.digest };
        let random = [self.host.store.random(), self.host.store.random()];
        let text = seal(&self.runtime.sync_key, &purpose, random, what.end, &what.bytes);
        let left = match text {
            Some(text) => Left::Sealed(Box::new(Sealed {
                text,
                asked_at: what.asked_at,
                end: what.end,
                token: what.token,
                credential: names.credential.filter(|_| what.token.is_some()),
            })),
            None => Left::AsItWas,
        };
        self.tell_elsewhere(Tell::Ended(names.call, owner.number(), left));
    }

    /// Tells them that a call has ended and leaves nothing, or that what lies there is gone.
    pub fn tell_ended(&self, names: &Names, owner: Option<Owner>, is_purged: bool) {
        let left = if is_purged { Left::Nothing } else { Left::AsItWas };
        let owner = owner.map_or(0, Owner::number);
        self.tell_elsewhere(Tell::Ended(names.call, owner, left));
    }

    /// Has something told to other gateways.
    pub fn tell_elsewhere(&self, tell: Tell) {
        if self.shares_answers() && !self.runtime.worker.borrow_mut().elsewhere.outbox.note(tell) {
            self.host.meter.count(Metric::AnswersBehind);
        }
    }

    /// Whether other gateways are to be told of something now.
    pub fn has_news_to_tell(&self) -> bool {
        let elsewhere = self.runtime.worker.borrow().elsewhere.outbox.has_news(self.now);
        elsewhere || self.has_revocations_to_tell()
    }
}

/// What is to be sealed.
struct What {
    bytes: Vec<u8>,
    asked_at: Time,
    end: Time,
    token: Option<Digest>,
}
