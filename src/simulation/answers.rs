//! Token calls over gateways that share answers: nobody gets another's, or one after its end or
//! its withdrawal; while Redis works one call is made for all; and nobody is refused for what Redis
//! does, or for a gateway that dies.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::gateways::{SECRET_OF_ALL, config, gateway_under, meet, revoke, tick};
use super::net::{Asked, Net, Way};
use super::redis::Redis;
use super::schedule::Rng;
use super::seeds;
use crate::exchange::{Effect, Exchange, Finish, Input, ServerAnswer};
use crate::facts::call::{Call, CallAnswer};
use crate::request::HeaderBlock;
use crate::shared::twin::{self, Twin};
use crate::time::Time;
use crate::world::*;

/// Milliseconds between two looks at everything.
const STEP_MS: u64 = 10;
const EVERY_MS: u64 = 200;
const WAIT_MS_MAX: u64 = 8_000;
/// For how long a gateway that dies keeps others from the server.
const LEASE_MS: u64 = WAIT_MS_MAX / 2;
/// After this time without trouble all know what was revoked before it: the longest pause, and as
/// many ticks as it takes to tell all again to a Redis that has lost it.
const HEALED_MS: u64 = 5_000;
const WELL: Way = Way { ms: 15, lost: 0, unanswered: 0, doubled: 200 };
const STORM: Way = Way { ms: 40, lost: 150, unanswered: 100, doubled: 150 };

/// Seconds that the server's tokens live, and for which they are handed out again: of every other
/// client shorter ones.
fn life_s(client: usize) -> (u64, u64) {
    if client.is_multiple_of(2) { (34, 4) } else { (60, 30) }
}

/// A gateway that shares answers.
pub(super) fn answering(random: u8) -> World {
    let mut document = config(json!({ "secret": SECRET_OF_ALL }));
    document["gateways"]["answers"] = true.into();
    document["token_endpoints"][0]["wait_ms_max"] = WAIT_MS_MAX.into();
    document["token_endpoints"][0]["refresh_ahead"] = false.into();
    gateway_under(random, &document)
}

/// A call of a client's, up to its body.
fn call_of(client: usize) -> Exchange {
    let basic = format!("Basic {}", STANDARD.encode(format!("client{client}:secret{client}")));
    let form =
        [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
    Exchange::new(request("POST", "/token", &form), None, ENVOY)
}

const BODY: &[u8] = b"grant_type=client_credentials";
const JSON: [(&str, &[u8]); 1] = [("content-type", b"application/json")];

/// What the server answers.
fn granted(token: &str, life_s: u64) -> String {
    json!({ "access_token": token, "token_type": "Bearer", "expires_in": life_s }).to_string()
}

/// One call that has come to a gateway.
struct Going {
    at: (usize, usize),
    client: usize,
    exchange: Exchange,
    since: Time,
    /// When the server answers, where it is asked.
    answered_at: Option<Time>,
}

struct Play<'a> {
    net: Net<'a>,
    going: Vec<Going>,
    /// How long each call took that was answered, in milliseconds.
    served: Vec<u64>,
    /// By token: whose, and when.
    issued: BTreeMap<String, (usize, Time)>,
    /// By token: where and when.
    revoked: BTreeMap<String, (usize, Time)>,
    /// Calls that the server has had, by client.
    calls: BTreeMap<usize, u32>,
    /// How long it takes at most.
    server_ms: u64,
    /// Since when nothing has been amiss, if that is so.
    well_since: Option<Time>,
    wrong: Option<String>,
}

impl<'a> Play<'a> {
    /// So many gateways, which have heard each other.
    fn new(count: usize, rng: &'a mut Rng) -> Play<'a> {
        let gateways = (0..count).map(|n| answering(1 + n as u8)).collect();
        let net = Net::new(gateways, WELL, rng);
        let (going, served, wrong) = (Vec::new(), Vec::new(), None);
        let (issued, revoked, calls) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let well_since = Some(START);
        let mut play =
            Play { net, going, served, issued, revoked, calls, server_ms: 600, well_since, wrong };
        (0..100).for_each(|step| play.step(START.plus_ms(STEP_MS * step)));
        play
    }

    fn begin(&mut self, at: (usize, usize), client: usize, now: Time) {
        if self.net.dead.contains(&at.0) {
            return;
        }
        let mut one =
            Going { at, client, exchange: call_of(client), since: now, answered_at: None };
        let world = &self.net.gateways[at.0];
        let effect = world.with(at.1, now, |facts| {
            one.exchange.step(Input::Begin, facts, &world.shared);
            one.exchange.step(Input::Body(Some(BODY)), facts, &world.shared)
        });
        self.go_on(one, effect, now);
    }

    /// Does what a call asks for.
    fn go_on(&mut self, mut one: Going, effect: Effect, now: Time) {
        let (gateway, worker) = one.at;
        match effect {
            Effect::Fetch(fact, _) => {
                let config = &self.net.gateways[gateway].workers[worker].config;
                let call = fact.call(config).unwrap();
                self.net.send(one.at, now, Asked::Read(fact), call);
                self.going.push(one);
            }
            Effect::SleepUntil(..) => self.going.push(one),
            Effect::Finish(Finish::Admit(_)) => {
                *self.calls.entry(one.client).or_default() += 1;
                let takes_ms = self.server_ms / 2 + self.net.rng.below(self.server_ms / 2);
                one.answered_at = Some(now.plus_ms(takes_ms));
                self.going.push(one);
            }
            Effect::Finish(Finish::Answer(answer)) => {
                self.see(&one, answer.status, &answer.body, now);
                self.close(one, now);
            }
            Effect::ReadBody(_) => panic!("a body twice"),
        }
    }

    fn close(&mut self, mut one: Going, now: Time) {
        let (gateway, worker) = one.at;
        self.net.gateways[gateway].with(worker, now, |facts| one.exchange.close(facts));
        self.net.tell(gateway, worker, now);
    }

    /// The server's answer has come.
    fn answer(&mut self, mut one: Going, now: Time) {
        let (gateway, worker) = one.at;
        let token = format!("token-{}-of-{}", self.issued.len(), one.client);
        self.issued.insert(token.clone(), (one.client, now));
        let body = granted(&token, life_s(one.client).0);
        let headers = HeaderBlock::from_pairs(JSON);
        self.net.gateways[gateway].with(worker, now, |facts| {
            one.exchange.answer_started(200, &headers, facts);
            let body = body.as_bytes();
            let answer = ServerAnswer { status: 200, headers: &headers, body, complete: true };
            one.exchange.answered(&answer, facts);
        });
        self.see(&one, 200, body.as_bytes(), now);
        self.close(one, now);
    }

    /// Looks at what a client is answered.
    fn see(&mut self, one: &Going, status: u16, body: &[u8], now: Time) {
        let (client, gateway) = (one.client, one.at.0);
        let wrong = self.wrong_with(one, status, body, now);
        if let Some(wrong) = wrong {
            let at = now.ms_since(START);
            self.wrong.get_or_insert(format!("client {client} at {gateway}, {at} ms: {wrong}"));
        }
        self.served.push(now.ms_since(one.since));
    }

    fn wrong_with(&self, one: &Going, status: u16, body: &[u8], now: Time) -> Option<String> {
        if status != 200 {
            return Some(format!("status {status} after {} ms", now.ms_since(one.since)));
        }
        let body: Value = serde_json::from_slice(body).unwrap();
        let token = body["access_token"].as_str().unwrap();
        let (whose, issued_at) = self.issued[token];
        if whose != one.client {
            return Some(format!("{token} is of {whose}"));
        }
        let (life, reuse) = life_s(whose);
        let told_ms = body["expires_in"].as_u64().unwrap() * 1_000;
        if now > issued_at.plus_s(reuse) || now.plus_ms(told_ms) > issued_at.plus_s(life) {
            return Some(format!("{token} {} ms after its time", now.ms_since(issued_at)));
        }
        let &(at, since) = self.revoked.get(token)?;
        let is_known = now >= since
            && (at == one.at.0
                || self.well_since.is_some_and(|well| now > well.max(since).plus_ms(HEALED_MS)));
        is_known.then(|| format!("{token} {} ms after it was revoked", now.ms_since(since)))
    }

    /// A token that is out is revoked somewhere.
    fn revoke(&mut self, at: (usize, usize), now: Time) {
        if self.issued.is_empty() || self.net.dead.contains(&at.0) {
            return;
        }
        let n = self.net.rng.below(self.issued.len() as u64) as usize;
        let token = self.issued.keys().nth(n).unwrap().clone();
        revoke(&self.net.gateways[at.0], at.1, now, &token);
        self.revoked.entry(token).or_insert((at.0, now));
        self.net.tell(at.0, at.1, now);
    }

    fn step(&mut self, now: Time) {
        let ms = now.ms_since(START);
        for n in 0..2 * self.net.gateways.len() {
            // Not all at the same moment.
            if (ms + 30 * n as u64) % (EVERY_MS / 2) < STEP_MS {
                self.net.tick(n / 2, n % 2, now);
            }
        }
        self.net.deliver(now);
        for mut one in std::mem::take(&mut self.going) {
            let (gateway, worker) = one.at;
            if self.net.dead.contains(&gateway) {
                continue;
            }
            match one.answered_at {
                Some(at) if at <= now => self.answer(one, now),
                Some(_) => self.going.push(one),
                None => {
                    let world = &self.net.gateways[gateway];
                    let effect = world.with(worker, now, |facts| {
                        one.exchange.step(Input::Woken, facts, &world.shared)
                    });
                    self.go_on(one, effect, now);
                }
            }
        }
    }

    fn anywhere(&mut self) -> (usize, usize) {
        let count = self.net.gateways.len() as u64;
        (self.net.rng.below(count) as usize, self.net.rng.below(2) as usize)
    }

    fn end(&self) -> Result<(), String> {
        self.wrong.clone().map_or(Ok(()), Err)
    }
}

/// Calls of a few clients at random, at gateways of which one dies, and a Redis that is emptied,
/// goes back, and gives what is somebody else's or cut; then all is well for a while.
fn storm(seed: u64, broken: Option<Twin>) -> Result<(), String> {
    twin::with(broken, || {
        let mut rng = Rng::new(seed);
        let mut play = Play::new(3 + seed as usize % 2, &mut rng);
        let mut before = Redis::default();
        for step in 100..2_200u64 {
            let now = START.plus_ms(STEP_MS * step);
            let is_storm = step < 1_200;
            play.net.way = if is_storm { STORM } else { WELL };
            play.well_since = (!is_storm).then_some(START.plus_ms(STEP_MS * 1_200));
            if is_storm {
                match play.net.rng.below(300) {
                    0 => play.net.redis = Redis::default(),
                    1 => before = play.net.redis.clone(),
                    2 => play.net.redis = before.clone(),
                    3..=12 => mix_up(&mut play.net.redis, play.net.rng),
                    _ => {}
                }
            }
            if step == 700 {
                let (dies, _) = play.anywhere();
                play.net.dead.push(dies);
                // What it alone knew, nobody knows.
                play.revoked.retain(|_, (at, _)| *at != dies);
            }
            if play.net.rng.below(4) == 0 {
                let (at, client) = (play.anywhere(), play.net.rng.below(6) as usize);
                play.begin(at, client, now);
            }
            if play.net.rng.below(60) == 0 {
                let at = play.anywhere();
                play.revoke(at, now);
            }
            play.step(now);
        }
        play.end().map_err(|wrong| format!("SEED={seed}: {wrong}"))
    })
}

/// What lies there for one call lies there for another too, or is cut.
fn mix_up(redis: &mut Redis, rng: &mut Rng) {
    let Some(answers) = redis.answers.values_mut().next() else { return };
    let all: Vec<String> = answers.kept.values().map(|kept| kept.sealed.clone()).collect();
    for kept in answers.kept.values_mut() {
        let other = &all[rng.below(all.len() as u64) as usize];
        match rng.below(8) {
            0..=2 => kept.sealed.clone_from(other),
            3 => kept.sealed.truncate(rng.below(kept.sealed.len() as u64) as usize),
            _ => {}
        }
    }
}

#[test]
fn whatever_redis_does_each_gets_its_own_and_nobody_is_refused() {
    for seed in seeds(4) {
        storm(seed, None).unwrap();
    }
    let caught = (0..20).find_map(|seed| storm(seed, Some(Twin::SealedForAny)).err());
    assert!(caught.is_some_and(|wrong| wrong.contains(" is of ")), "an answer sealed for another");
}

/// A herd of a few clients over all gateways.
fn herd(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let count = 2 + seed as usize % 3;
    let mut play = Play::new(count, &mut rng);
    for step in 100..400 {
        let now = START.plus_ms(STEP_MS * step);
        if step < 130 {
            for client in 0..5 {
                let at = play.anywhere();
                play.begin(at, client, now);
            }
        }
        play.step(now);
    }
    play.end().map_err(|wrong| format!("SEED={seed}: {wrong}"))?;
    match (play.served.len(), play.calls.values().all(|calls| *calls == 1)) {
        (150, true) => Ok(()),
        (served, _) => Err(format!("SEED={seed}: {served} served, calls {:?}", play.calls)),
    }
}

#[test]
fn while_redis_works_there_is_one_call_for_all() {
    seeds(10).for_each(|seed| herd(seed).unwrap());
}

/// A gateway dies while it calls for all. Gives how long the others took.
fn dies(seed: u64, broken: Option<Twin>) -> Result<(), String> {
    twin::with(broken, || {
        let mut rng = Rng::new(seed);
        let mut play = Play::new(3, &mut rng);
        play.server_ms = 300;
        let begun = START.plus_ms(STEP_MS * 100);
        play.begin((0, 0), 1, begun);
        for step in 100..1_200 {
            let now = START.plus_ms(STEP_MS * step);
            if step == 105 {
                // It has asked, and has the lease; now it calls, or is about to.
                play.net.dead.push(0);
            }
            if step == 110 {
                [(1, 0), (1, 1), (2, 0), (2, 1)].into_iter().for_each(|at| play.begin(at, 1, now));
            }
            play.step(now);
        }
        play.end()?;
        let most = play.served.iter().max();
        let calls = play.calls.values().sum::<u32>();
        match (play.served.len(), most) {
            (4, Some(most)) if *most <= LEASE_MS + 1_000 && calls <= 2 => Ok(()),
            (served, _) => {
                Err(format!("SEED={seed}: {served} of 4 served, in {most:?} ms by {calls} calls"))
            }
        }
    })
}

#[test]
fn a_gateway_that_dies_keeps_the_others_for_no_longer_than_its_lease() {
    seeds(10).for_each(|seed| dies(seed, None).unwrap());
    let caught = (0..10).all(|seed| dies(seed, Some(Twin::LeaseOfTheDead)).is_err());
    assert!(caught, "a lease kept by a dead gateway");
}

/// What a client is answered whose gateway asks others first; the server's own has this serial.
fn token_of(world: &World, redis: &RefCell<Redis>, now: Time, serial: u32) -> String {
    let mut exchange = call_of(1);
    let body = world.with(0, now, |facts| {
        exchange.step(Input::Begin, facts, &world.shared);
        let mut effect = exchange.step(Input::Body(Some(BODY)), facts, &world.shared);
        let none = HeaderBlock::default();
        while let Effect::Fetch(fact, _) = &effect {
            let call = fact.call(&facts.runtime.config).unwrap();
            let said = redis.borrow_mut().call(&call, now);
            let answer = CallAnswer { status: 200, headers: &none, body: said.as_bytes() };
            effect = exchange.step(Input::Fetched(answer), facts, &world.shared);
        }
        let body = match effect {
            Effect::Finish(Finish::Answer(answer)) => answer.body,
            Effect::Finish(Finish::Admit(_)) => {
                let token = format!("token {serial}");
                let body = granted(&token, 60);
                let headers = HeaderBlock::from_pairs(JSON);
                exchange.answer_started(200, &headers, facts);
                let (bytes, complete) = (body.as_bytes(), true);
                let answer = ServerAnswer { status: 200, headers: &headers, body: bytes, complete };
                exchange.answered(&answer, facts);
                body.into_bytes()
            }
            Effect::Fetch(..) | Effect::SleepUntil(..) | Effect::ReadBody(_) => panic!("it waits"),
        };
        exchange.close(facts);
        body
    });
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

/// One gateway has an answer, and another revokes its token. Its word of that has reached the
/// revocations in Redis, and not yet the answer that lies there; and a third one reads nothing.
/// Gives what the third one's client gets.
fn unheard(broken: Option<Twin>) -> String {
    twin::with(broken, || {
        let redis = RefCell::new(Redis::default());
        let gateways = [1, 2, 3].map(answering);
        meet(&gateways.each_ref(), &redis, START);
        let [first, second, third] = &gateways;
        assert_eq!(token_of(first, &redis, START.plus_ms(300), 1), "token 1");
        tick(first, 0, START.plus_ms(300), |call| {
            Some((200, redis.borrow_mut().call(call, START)))
        });
        let now = START.plus_s(1);
        assert_eq!(token_of(second, &redis, now, 2), "token 1", "there it is");
        let other = answering(4);
        meet(&[&other], &redis, now);
        revoke(&other, 0, now, "token 1");
        let told_alone = |call: &Call| {
            let is_told = String::from_utf8_lossy(&call.body).contains(":state");
            is_told.then(|| (200, redis.borrow_mut().call(call, now)))
        };
        tick(&other, 0, now, told_alone);
        token_of(third, &redis, START.plus_s(6), 3)
    })
}

#[test]
fn who_has_not_heard_of_revocations_lately_asks_nobody() {
    assert_eq!(unheard(None), "token 3");
    assert_eq!(unheard(Some(Twin::UnheardAsks)), "token 1");
}
