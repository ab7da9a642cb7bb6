//! Gateways, one Redis, and the calls between them, which take their time, are lost and doubled.

use super::redis::Redis;
use super::schedule::Rng;
use crate::facts::call::{Call, CallAnswer};
use crate::facts::{Fact, Turn};
use crate::gateways::{self, Push};
use crate::request::HeaderBlock;
use crate::time::Time;
use crate::world::World;

/// What the way between gateways and Redis is like.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// Milliseconds that it takes each way, at most.
    pub(crate) ms: u64,
    /// Of a thousand calls: that never come there, whose answers never come back, that come twice.
    pub(crate) lost: u64,
    pub(crate) unanswered: u64,
    pub(crate) doubled: u64,
}

/// What a call is for.
pub(crate) enum Asked {
    Told(Push),
    Read(Fact),
}

/// A call on its way.
struct OnItsWay {
    gateway: usize,
    worker: usize,
    /// Until its gateway has heard what came of it.
    asked: Option<Asked>,
    /// Until it has come to Redis.
    call: Option<Call>,
    arrives_at: Time,
    ends_at: Time,
    is_answered: bool,
    answer: String,
}

/// What the calls were and brought.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    pub(crate) calls: u64,
    /// Bytes of bodies, there and back.
    pub(crate) bytes: u64,
}

pub(crate) struct Net<'a> {
    pub(crate) gateways: Vec<World>,
    pub(crate) redis: Redis,
    pub(crate) rng: &'a mut Rng,
    pub(crate) way: Way,
    pub(crate) spent: Spent,
    /// Gateways that are no more: of them nothing goes out, and nothing is heard.
    pub(crate) dead: Vec<usize>,
    calls: Vec<OnItsWay>,
}

impl<'a> Net<'a> {
    pub(crate) fn new(gateways: Vec<World>, way: Way, rng: &'a mut Rng) -> Net<'a> {
        let (redis, spent, dead, calls) =
            (Redis::default(), Spent::default(), Vec::new(), Vec::new());
        Net { gateways, redis, rng, way, spent, dead, calls }
    }

    pub(crate) fn send(
        &mut self,
        (gateway, worker): (usize, usize),
        now: Time,
        asked: Asked,
        call: Call,
    ) {
        self.spent.calls += 1;
        self.spent.bytes += call.body.len() as u64;
        let Way { ms, lost, unanswered, doubled } = self.way;
        let gives_up_at = now.plus_ms(call.timeout_ms);
        let arrives_at = now.plus_ms(self.rng.below(ms));
        let answered_at = arrives_at.plus_ms(self.rng.below(ms));
        let is_lost = self.rng.per_mille(lost);
        let is_answered = !is_lost && !self.rng.per_mille(unanswered) && answered_at <= gives_up_at;
        let ends_at = if is_answered { answered_at } else { gives_up_at };
        let twice = (self.rng.per_mille(doubled)).then(|| call.clone());
        let one = |asked, call, arrives_at| OnItsWay {
            gateway,
            worker,
            asked,
            call,
            arrives_at,
            ends_at,
            is_answered,
            answer: String::new(),
        };
        self.calls.push(one(Some(asked), Some(call).filter(|_| !is_lost), arrives_at));
        if twice.is_some() {
            let later = arrives_at.plus_ms(self.rng.below(5 * ms));
            self.calls.push(one(None, twice, later));
        }
    }

    /// What a worker has to tell, at once.
    pub(crate) fn tell(&mut self, gateway: usize, worker: usize, now: Time) {
        if self.dead.contains(&gateway) {
            return;
        }
        let due = self.gateways[gateway].with(worker, now, gateways::pushes_due);
        for (push, call) in due {
            self.send((gateway, worker), now, Asked::Told(push), call);
        }
    }

    /// A worker's tick.
    pub(crate) fn tick(&mut self, gateway: usize, worker: usize, now: Time) {
        if self.dead.contains(&gateway) {
            return;
        }
        self.tell(gateway, worker, now);
        let due = self.gateways[gateway].with(worker, now, |facts| {
            let mut due = facts.readings_due();
            due.retain(|fact| facts.join(fact) == Turn::Lead);
            due.into_iter()
                .map(|fact| (fact.call(&facts.runtime.config).unwrap(), fact))
                .collect::<Vec<_>>()
        });
        for (call, fact) in due {
            self.send((gateway, worker), now, Asked::Read(fact), call);
        }
    }

    /// Calls that have come to Redis, and answers that have come back.
    pub(crate) fn deliver(&mut self, now: Time) {
        self.calls.sort_by_key(|call| call.arrives_at);
        for one in self.calls.iter_mut().filter(|one| one.arrives_at <= now) {
            if let Some(call) = one.call.take() {
                one.answer = self.redis.call(&call, now);
            }
        }
        let headers = HeaderBlock::default();
        for one in self.calls.iter_mut().filter(|one| one.ends_at <= now) {
            let Some(asked) = one.asked.take() else { continue };
            if self.dead.contains(&one.gateway) {
                continue;
            }
            let (status, body) =
                if one.is_answered { (200, one.answer.as_str()) } else { (504, "") };
            self.spent.bytes += body.len() as u64;
            let answer = CallAnswer { status, headers: &headers, body: body.as_bytes() };
            self.gateways[one.gateway].with(one.worker, now, |facts| match &asked {
                Asked::Told(push) => gateways::learn_push(facts, push, &answer),
                Asked::Read(fact) => {
                    facts.learn(fact, &answer);
                }
            });
        }
        self.calls.retain(|one| one.asked.is_some() || one.call.is_some());
    }
}
