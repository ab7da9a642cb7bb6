//! Who has this gateway's lease on a call asks other gateways before the server.

use super::{TokenCall, paused};
use crate::digest::{Digest, HostKey};
use crate::exchange::{Abilities, Effect};
use crate::facts::elsewhere::{ASK_MS_MAX, LEASE_MS_MIN, Seat, Word};
use crate::facts::tokens::Known;
use crate::facts::{Facts, Queue};
use crate::metrics::Metric;
use crate::request::Request;
use crate::shared::Owner;
use crate::time::{Span, Time};
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::elsewhere::Names;
use crate::token_endpoint::freshness::Demand;
use crate::token_endpoint::request::{Class, TokenRequest};

/// Between two questions while another gateway calls the server, in milliseconds; more where many
/// wait.
const POLL_MS: u64 = 20;

/// Who asks: it has this gateway's lease.
struct Asker {
    owner: Owner,
    since: Time,
    /// Its place among those of this worker that do.
    seat: Seat,
    /// When another gateway was last seen to call the server.
    held_at: Option<Time>,
}

/// A call that asks other gateways, or waits for one of them.
pub(super) struct Waiting {
    asker: Asker,
    /// When it asked last.
    asked_at: Time,
    /// When it asks again, while another gateway calls.
    again_at: Option<Time>,
}

impl Asker {
    /// Whether another gateway has the call still, as far as was heard.
    fn is_held(&self, now: Time) -> bool {
        self.held_at
            .is_some_and(|at| (Span { from: at, until: at.plus_ms(LEASE_MS_MIN) }).holds(now))
    }

    /// When it asks again: at a moment that those of its worker have in common, so that one call
    /// carries what they ask. A worker asks five hundred times a second at most.
    fn again_at(&self, now: Time) -> Time {
        let pause_ms = POLL_MS.max(self.seat.all().saturating_mul(2));
        Time::from_ms(now.plus_ms(pause_ms).ms() / POLL_MS * POLL_MS)
    }
}

/// What a call is known as to other gateways, under each secret: one that may be shared, or one
/// that takes the place of such a one.
pub(super) fn names(
    read: &TokenRequest,
    endpoint: &TokenEndpoint,
    (host, path): (&[u8], &[u8]),
    facts: &Facts<'_>,
) -> Vec<Names> {
    under_each_secret(facts, |key| {
        let call = match read.class() {
            Class::Reusable => read.cache_key(key, &endpoint.digest, host, path),
            Class::CoalesceRefresh | Class::PassThrough(_) => {
                read.replaced_key(key, &endpoint.digest, host, path)
            }
        };
        Some(Names { call: call?, credential: read.credential(key, host, path) })
    })
}

/// What they know the secret of a call as, where they know nothing of the call itself.
pub(super) fn credentials(
    read: &TokenRequest,
    (host, path): (&[u8], &[u8]),
    facts: &Facts<'_>,
) -> Vec<Digest> {
    under_each_secret(facts, |key| read.credential(key, host, path))
}

fn under_each_secret<T>(facts: &Facts<'_>, name: impl Fn(&HostKey) -> Option<T>) -> Vec<T> {
    if !facts.shares_answers() {
        return Vec::new();
    }
    let key = &facts.runtime.sync_key;
    [Some(key), key.previous()].into_iter().flatten().filter_map(name).collect()
}

impl TokenCall {
    /// Asks other gateways, having the lease; goes to the server where there is nobody to ask.
    pub(super) fn ask_others(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        key: &Digest,
        owner: Owner,
        facts: &Facts<'_>,
    ) -> Effect {
        // What others have is no fresher than what the client wants.
        if self.request.demand() != Demand::default() {
            return self.go_alone(request, endpoint, owner, facts);
        }
        let seat = facts.seat_elsewhere(key, owner);
        let asker = Asker { owner, since: facts.now, seat, held_at: None };
        self.ask(request, endpoint, key, asker, facts)
    }

    /// Goes on once something was heard, or it is time.
    pub(super) fn go_on_waiting(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        key: &Digest,
        abilities: Abilities,
        facts: &Facts<'_>,
    ) -> Option<Effect> {
        let Waiting { mut asker, asked_at, again_at } = self.waiting.take()?;
        let (owner, now) = (asker.owner, facts.now);
        if let Some(again_at) = again_at {
            let until = asker.since.plus_ms(endpoint.wait_ms_max);
            if !(Span { from: asker.since, until }).holds(now) {
                facts.host.meter.count(Metric::AnswersWaitedOut);
                return Some(self.go_alone(request, endpoint, owner, facts));
            }
            if (Span { from: asked_at, until: again_at }).holds(now) {
                return Some(
                    self.sleep(Waiting { asker, asked_at, again_at: Some(again_at) }, again_at),
                );
            }
            return Some(self.ask(request, endpoint, key, asker, facts));
        }
        let word = match asker.seat.word() {
            Some(word) => word,
            // Its host has no place for it to wait.
            None if !abilities.waits => Word::Unheard,
            None => {
                let until = asked_at.plus_ms(2 * ASK_MS_MAX);
                if (Span { from: asked_at, until }).holds(now) {
                    return Some(self.sleep(Waiting { asker, asked_at, again_at }, until));
                }
                facts.host.meter.count(Metric::AnswersFailed);
                Word::Unheard
            }
        };
        match word {
            Word::Again => Some(self.ask(request, endpoint, key, asker, facts)),
            Word::Held if abilities.waits => {
                if asker.held_at.is_none() {
                    facts.host.meter.count(Metric::AnswersWaited);
                }
                asker.held_at = Some(now);
                self.has_waited = true;
                Some(self.ask_later(asker, facts))
            }
            // One answer that is late doesn't end the wait for a gateway that calls.
            Word::Unheard if asker.is_held(now) => Some(self.ask_later(asker, facts)),
            Word::Lead => {
                facts.host.meter.count(Metric::AnswersLed);
                Some(self.go_alone(request, endpoint, owner, facts))
            }
            Word::Held | Word::Unheard | Word::Forged => {
                Some(self.go_alone(request, endpoint, owner, facts))
            }
            Word::Taken => match self.known(key, endpoint, facts) {
                Known::Answer(stored, _) => {
                    facts.host.meter.count(Metric::AnswersTaken);
                    facts.end_call(key, owner);
                    self.has_waited = true;
                    Some(self.serve(&stored, endpoint, facts))
                }
                Known::Failed(pause) => {
                    facts.host.meter.count(Metric::AnswersTaken);
                    facts.end_call(key, owner);
                    Some(Effect::Finish(paused(request, pause, facts)))
                }
                Known::Unshared | Known::Nothing => {
                    Some(self.go_alone(request, endpoint, owner, facts))
                }
            },
        }
    }

    fn ask_later(&mut self, asker: Asker, facts: &Facts<'_>) -> Effect {
        let again_at = asker.again_at(facts.now);
        self.sleep(Waiting { asker, asked_at: facts.now, again_at: Some(again_at) }, again_at)
    }

    fn sleep(&mut self, waiting: Waiting, until: Time) -> Effect {
        let name = waiting.asker.seat.name();
        self.waiting = Some(waiting);
        Effect::SleepUntil(until, name, Queue::Token)
    }

    fn ask(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        key: &Digest,
        asker: Asker,
        facts: &Facts<'_>,
    ) -> Effect {
        let credential = self.credential.as_ref();
        match facts.asking(self.endpoint, key, credential, &self.names, asker.owner) {
            Some(question) => {
                self.waiting = Some(Waiting { asker, asked_at: facts.now, again_at: None });
                Effect::Fetch(question, facts.now.plus_ms(ASK_MS_MAX))
            }
            None if asker.is_held(facts.now) => self.ask_later(asker, facts),
            None => self.go_alone(request, endpoint, asker.owner, facts),
        }
    }

    fn go_alone(
        &mut self,
        request: &Request<'_>,
        endpoint: &TokenEndpoint,
        owner: Owner,
        facts: &Facts<'_>,
    ) -> Effect {
        facts.host.meter.count(Metric::TokenMiss);
        self.forward(request, endpoint, Some(owner), facts)
    }

    /// It ends while it asks, or waits for another gateway. Gives the name that others wait for.
    pub(super) fn give_back(&mut self, facts: &Facts<'_>) -> Option<Digest> {
        let (waiting, key) = (self.waiting.take()?, self.key?);
        facts.end_call(&key, waiting.asker.owner);
        self.tell_ended(Some(waiting.asker.owner), false, facts);
        Some(key)
    }

    /// Tells other gateways that a call has ended and leaves no answer.
    pub(super) fn tell_ended(&self, owner: Option<Owner>, is_purged: bool, facts: &Facts<'_>) {
        let Some((names, previous)) = self.names.split_first() else { return };
        facts.tell_ended(names, owner, is_purged);
        // Under the secret before another gateway may have left something.
        previous.iter().filter(|_| is_purged).for_each(|names| facts.tell_ended(names, None, true));
    }
}
