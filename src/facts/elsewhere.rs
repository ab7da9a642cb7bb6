//! What other gateways have of a token call ([`crate::token_endpoint::elsewhere`]): asked for by who
//! has the lease of this gateway, before the server is. Whatever Redis says, or doesn't: the call
//! goes on, and an answer from there is looked at as one from the server is.

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
    Left, Names, Outbox, Purpose, Reply, Sealed, Tell, ask, open, reply, seal,
};
use crate::token_endpoint::reuse::{Kind, Stored};

/// The longest that Redis's answer is waited for, in milliseconds.
pub const ASK_MS_MAX: u64 = 50;
/// The shortest lease among gateways, in milliseconds.
const LEASE_MS_MIN: u64 = 1_000;
/// The pause after a question without an answer in milliseconds; it doubles.
const PAUSE_MS: u64 = 50;
/// Replies that this worker keeps for those who asked.
const REPLIES_MAX: usize = 1_024;

/// A question to Redis for one token call.
#[derive(Clone, PartialEq, Eq)]
pub struct Asking {
    endpoint: usize,
    key: Digest,
    credential: Option<Digest>,
    names: Vec<Names>,
    owner: u64,
    by_text: bool,
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
    /// Nothing is known: it goes on alone.
    Alone,
}

/// What this worker knows of other gateways' token calls.
#[derive(Default)]
pub struct Elsewhere {
    known: Known,
    pause: Pause,
    words: HashMap<Digest, Word>,
    /// Each call that waits for another gateway holds one of these.
    seats: Rc<()>,
    /// What they are to be told.
    pub outbox: Outbox,
}

impl Asking {
    /// What it is waited for as.
    pub(super) fn digest(&self, key: &HostKey) -> Digest {
        key.digest("asked elsewhere", &[&self.key.0, &self.owner.to_le_bytes()])
    }

    /// The call that asks.
    pub(super) fn call(&self, config: &Config) -> Option<Call> {
        let at = &config.gateways.as_ref()?.at;
        let shared = &config.shared;
        let key = crate::rate_limit::sync::key(&shared.secret, shared.secret_previous.as_ref());
        let lease_ms = lease_ms(config.token_endpoints.get(self.endpoint)?);
        let body = ask(&key, self.by_text, self.owner, lease_ms, &self.names);
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
        if worker.elsewhere.pause.lasts(self.now) {
            return None;
        }
        Some(Fact::Elsewhere(Box::new(Asking {
            endpoint,
            key: *key,
            credential: credential.copied(),
            names: names.to_vec(),
            owner: owner.number(),
            by_text: worker.elsewhere.known.by_text(),
        })))
    }

    /// A place among the calls of this worker that wait for another gateway.
    pub fn seat_elsewhere(&self) -> Rc<()> {
        self.runtime.worker.borrow().elsewhere.seats.clone()
    }

    /// How many they are.
    pub fn seated_elsewhere(&self) -> u64 {
        Rc::strong_count(&self.runtime.worker.borrow().elsewhere.seats) as u64
    }

    /// What came of a question, once.
    pub fn word_of(&self, asked: &Fact) -> Option<Word> {
        let digest = self.digest(asked);
        self.runtime.worker.borrow_mut().elsewhere.words.remove(&digest)
    }

    /// Takes in what came of a question. False if it was no answer.
    pub(super) fn learn_elsewhere(&self, asking: &Asking, answer: &CallAnswer<'_>) -> bool {
        let said = {
            let elsewhere = &mut self.runtime.worker.borrow_mut().elsewhere;
            let said = reply(&mut elsewhere.known, asking.by_text, answer.status, answer.body);
            match said {
                Reply::Nothing => elsewhere.pause.fail(self.now, PAUSE_MS),
                Reply::TextNeeded if asking.by_text => elsewhere.pause.fail(self.now, PAUSE_MS),
                Reply::TextNeeded | Reply::Sealed(..) | Reply::Lead | Reply::Held => {
                    elsewhere.pause.end();
                }
            }
            said
        };
        let is_answer = said != Reply::Nothing && (said != Reply::TextNeeded || !asking.by_text);
        let word = match said {
            Reply::Lead => Word::Lead,
            Reply::Held => Word::Held,
            Reply::TextNeeded if !asking.by_text => Word::Again,
            Reply::TextNeeded | Reply::Nothing => Word::Alone,
            Reply::Sealed(number, text) => match self.take_sealed(asking, number, &text) {
                true => Word::Taken,
                false => {
                    self.host.meter.count(Metric::AnswersForged);
                    Word::Alone
                }
            },
        };
        let digest = asking.digest(&self.runtime.host_key);
        let words = &mut self.runtime.worker.borrow_mut().elsewhere.words;
        if words.len() >= REPLIES_MAX {
            // Their clients have left.
            words.clear();
        }
        words.insert(digest, word);
        is_answer
    }

    fn take_sealed(&self, asking: &Asking, number: usize, text: &str) -> bool {
        let sync_key = &self.runtime.sync_key;
        let key = if number == 0 { Some(sync_key) } else { sync_key.previous() };
        let endpoint = self.runtime.config.token_endpoints.get(asking.endpoint);
        let (Some(key), Some(names), Some(endpoint)) = (key, asking.names.get(number), endpoint)
        else {
            return false;
        };
        let purpose = Purpose { call: &names.call, endpoint: &endpoint.digest };
        open(key, &purpose, self.now, text).is_some_and(|plain| {
            self.keep_anothers(&asking.key, asking.credential.as_ref(), endpoint, &plain)
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
