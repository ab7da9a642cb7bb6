//! Who has this gateway's lease on a call asks other gateways before the server.

use std::rc::Rc;

use super::{TokenCall, paused};
use crate::digest::{Digest, HostKey};
use crate::exchange::{Abilities, Effect};
use crate::facts::Fact;
use crate::facts::Facts;
use crate::facts::Queue;
use crate::facts::elsewhere::{ASK_MS_MAX, Word};
use crate::facts::tokens::Known;
use crate::metrics::Metric;
use crate::request::Request;
use crate::shared::Owner;
use crate::time::{Span, Time};
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::elsewhere::Names;
use crate::token_endpoint::freshness::Demand;
use crate::token_endpoint::request::TokenRequest;

/// Between two questions while another gateway calls the server, in milliseconds; more where many
/// wait.
const POLL_MS: u64 = 30;

/// Who asks: it has this gateway's lease.
struct Asker {
    owner: Owner,
    since: Time,
    /// Its place among those of this worker that wait for another gateway.
    seat: Option<Rc<()>>,
}

/// A call that asks other gateways, or waits for one of them.
pub(super) struct Waiting {
    asker: Asker,
    /// The question that is under way, or was answered last.
    asked: Fact,
    asked_at: Time,
    /// When it is asked again, while another gateway calls.
    again_at: Option<Time>,
}

/// What a call is known as to other gateways, under each secret.
pub(super) fn names(
    read: &TokenRequest,
    endpoint: &TokenEndpoint,
    (host, path): (&[u8], &[u8]),
    facts: &Facts<'_>,
) -> Vec<Names> {
    if !facts.shares_answers() {
        return Vec::new();
    }
    let under = |key: &HostKey| {
        let call = read.cache_key(key, &endpoint.digest, host, path)?;
        Some(Names { call, credential: read.credential(key, host, path) })
    };
    let key = &facts.runtime.sync_key;
    [Some(key), key.previous()].into_iter().flatten().filter_map(under).collect()
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
        self.ask(request, endpoint, key, Asker { owner, since: facts.now, seat: None }, facts)
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
        let mut waiting = self.waiting.take()?;
        let (owner, now) = (waiting.asker.owner, facts.now);
        if let Some(again_at) = waiting.again_at {
            let may_ask = !(Span { from: waiting.asked_at, until: again_at }).holds(now);
            let until = waiting.asker.since.plus_ms(endpoint.wait_ms_max);
            if !(Span { from: waiting.asker.since, until }).holds(now) {
                facts.host.meter.count(Metric::AnswersWaitedOut);
                return Some(self.go_alone(request, endpoint, owner, facts));
            }
            if !may_ask {
                return Some(self.sleep(waiting, again_at, facts));
            }
            return Some(self.ask(request, endpoint, key, waiting.asker, facts));
        }
        let word = facts.word_of(&waiting.asked);
        match word {
            None => {
                let until = waiting.asked_at.plus_ms(2 * ASK_MS_MAX);
                if (Span { from: waiting.asked_at, until }).holds(now) {
                    return Some(self.sleep(waiting, until, facts));
                }
                facts.host.meter.count(Metric::AnswersFailed);
                Some(self.go_alone(request, endpoint, owner, facts))
            }
            Some(Word::Again) => Some(self.ask(request, endpoint, key, waiting.asker, facts)),
            Some(Word::Held) if abilities.waits => {
                if waiting.asker.seat.is_none() {
                    facts.host.meter.count(Metric::AnswersWaited);
                    waiting.asker.seat = Some(facts.seat_elsewhere());
                }
                self.has_waited = true;
                // So many questions a second from one worker at most, however many calls wait.
                let many = facts.seated_elsewhere();
                let again_at = now.plus_ms(POLL_MS.max(many.saturating_mul(2)));
                waiting.again_at = Some(again_at);
                Some(self.sleep(waiting, again_at, facts))
            }
            Some(Word::Lead) => {
                facts.host.meter.count(Metric::AnswersLed);
                Some(self.go_alone(request, endpoint, owner, facts))
            }
            Some(Word::Held | Word::Alone) => Some(self.go_alone(request, endpoint, owner, facts)),
            Some(Word::Taken) => match self.known(key, endpoint, facts) {
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

    fn sleep(&mut self, waiting: Waiting, until: Time, facts: &Facts<'_>) -> Effect {
        let name = waiting.asked.digest(&facts.runtime.host_key, &facts.runtime.config);
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
        let Some(asked) = facts.asking(self.endpoint, key, credential, &self.names, asker.owner)
        else {
            return self.go_alone(request, endpoint, asker.owner, facts);
        };
        let effect = Effect::Fetch(asked.clone(), facts.now.plus_ms(ASK_MS_MAX));
        self.waiting = Some(Waiting { asker, asked, asked_at: facts.now, again_at: None });
        effect
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
        if let Some(names) = self.names.first() {
            facts.tell_ended(names, owner, is_purged);
        }
    }
}
