//! The read-through: leaders and followers of facts and of token calls, and the number that tells
//! of revocations, with workers that switch inside every host call.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::host::{Dialect, Faults};
use super::schedule::{Worker, World};
use super::{holds, is_caught};
use crate::digest::HostKey;
use crate::exchange::ServerAnswer;
use crate::exchange::{Effect, Exchange, Finish, Input};
use crate::facts::call::CallAnswer;
use crate::facts::{Facts, Host, Runtime};
use crate::metrics::{Meter, Metric};
use crate::request::{HeaderBlock, Surroundings};
use crate::shared::twin::Twin;
use crate::signature::NoHost;
use crate::world::{ENVOY, SECRET, claims, document, hmac, request, runtime_under, with_secret};

struct Nobody;

impl Meter for Nobody {
    fn count(&self, _: Metric) {}
}

impl Surroundings for Nobody {
    fn address(&self) -> Option<String> {
        None
    }
    fn route(&self) -> Option<String> {
        None
    }
    fn client_certificate(&self) -> bool {
        false
    }
    fn certificate_digest(&self) -> Option<[u8; 32]> {
        None
    }
}

/// One worker of the gateway in a worker of the simulation.
pub(super) struct Gateway<'a> {
    worker: &'a Worker<'a>,
    runtime: Runtime,
}

impl<'a> Gateway<'a> {
    pub(super) fn new(worker: &'a Worker<'a>, document: &Value) -> Gateway<'a> {
        Gateway { worker, runtime: runtime_under(document, HostKey::new(&[9; 32], b"simulation")) }
    }

    fn with<T>(&self, work: impl FnOnce(&Facts<'_>) -> T) -> T {
        let now = self.worker.begin().now;
        let host = Host { store: self.worker, verify: &NoHost, meter: &Nobody };
        let result = work(&Facts { runtime: &self.runtime, host: &host, now });
        self.worker.done();
        result
    }

    pub(super) fn step(&self, exchange: &mut Exchange, input: Input<'_>) -> Effect {
        self.with(|facts| exchange.step(input, facts, &Nobody))
    }
}

/// What goes on outside: calls made, calls under way, and what is wrong.
#[derive(Default)]
struct Outside {
    calls: u32,
    open: u32,
    wrong: Option<String>,
}

impl Outside {
    fn begin(outside: &Mutex<Outside>) -> u32 {
        let mut outside = outside.lock().unwrap();
        (outside.calls, outside.open) = (outside.calls + 1, outside.open + 1);
        if outside.open > 1 {
            outside.wrong = Some("two calls at one time".into());
        }
        outside.calls
    }

    fn end(outside: &Mutex<Outside>) {
        outside.lock().unwrap().open -= 1;
    }

    fn blame(outside: &Mutex<Outside>, wrong: String) {
        outside.lock().unwrap().wrong.get_or_insert(wrong);
    }
}

/// Workers ask what an endpoint says of one token; it answers, or fails. One call serves all.
fn one_fetch(seed: u64, dialect: Dialect, is_up: bool, twin: Option<Twin>) -> Result<(), String> {
    let introspection = json!({ "uri": "https://idp.example/introspect", "cluster": "idp" });
    let rules = json!([{ "match": { "path_prefix": "/orders" }, "introspect": true }]);
    let document =
        document(with_secret(), json!({ "introspection": introspection, "rules": rules }));
    let bearer = format!("Bearer {}", hmac(SECRET, &claims("1")));
    let world = World::new(dialect, seed, 3, twin).drift_ms(3);
    let outside = Mutex::<Outside>::default();
    let (document, bearer, outside_ref) = (&document, &bearer, &outside);
    let work = |worker: &Worker<'_>| {
        let gateway = Gateway::new(worker, document);
        let mut exchange =
            Exchange::new(request("GET", "/orders", &[("authorization", bearer)]), None, ENVOY);
        let mut effect = gateway.step(&mut exchange, Input::Begin);
        loop {
            effect = match effect {
                Effect::Finish(Finish::Admit(_)) if is_up => return,
                Effect::Finish(Finish::Answer(answer)) if !is_up && answer.status == 503 => return,
                Effect::Finish(_) | Effect::ReadBody(_) => {
                    return Outside::blame(outside_ref, "a wrong verdict".into());
                }
                Effect::SleepUntil(..) => {
                    worker.sleep(20);
                    gateway.step(&mut exchange, Input::Woken)
                }
                Effect::Fetch(..) => {
                    Outside::begin(outside_ref);
                    worker.sleep(30);
                    Outside::end(outside_ref);
                    let (status, headers) = (if is_up { 200 } else { 500 }, HeaderBlock::default());
                    gateway.step(
                        &mut exchange,
                        Input::Fetched(CallAnswer {
                            status,
                            headers: &headers,
                            body: br#"{"active":true}"#,
                        }),
                    )
                }
            };
        }
    };
    world.run(vec![work, work, work]);
    let Outside { calls, wrong, .. } = outside.into_inner().unwrap();
    match (wrong, calls) {
        (Some(wrong), _) => Err(wrong),
        (None, 1) => Ok(()),
        (None, calls) => Err(format!("{calls} calls")),
    }
}

#[test]
fn one_worker_fetches_a_fact_and_all_have_it() {
    holds(40, |seed, dialect| one_fetch(seed, dialect, true, None));
    is_caught(Twin::LeaseUnasked, 60, |seed, dialect, twin| one_fetch(seed, dialect, true, twin));
    is_caught(Twin::NoSecondLook, 300, |seed, dialect, twin| one_fetch(seed, dialect, true, twin));
}

#[test]
fn one_worker_meets_a_failure_and_all_know_of_it() {
    holds(40, |seed, dialect| one_fetch(seed, dialect, false, None));
    is_caught(Twin::NoPause, 60, |seed, dialect, twin| one_fetch(seed, dialect, false, twin));
    is_caught(Twin::NoSecondLook, 300, |seed, dialect, twin| one_fetch(seed, dialect, false, twin));
}

/// Workers make one token call; the server is asked once, and all have its answer.
fn one_call(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let document =
        document(with_secret(), json!({ "token_endpoints": [{ "path": "/token", "jitter": 0 }] }));
    let world = World::new(dialect, seed, 3, twin).drift_ms(3);
    let outside = Mutex::<Outside>::default();
    let (document, outside_ref) = (&document, &outside);
    let work = |worker: &Worker<'_>| {
        let gateway = Gateway::new(worker, document);
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", "Basic YTpi"),
        ];
        let mut exchange = Exchange::new(request("POST", "/token", &form), None, ENVOY);
        gateway.step(&mut exchange, Input::Begin);
        let mut effect =
            gateway.step(&mut exchange, Input::Body(Some(b"grant_type=client_credentials")));
        while let Effect::SleepUntil(..) = effect {
            worker.sleep(20);
            effect = gateway.step(&mut exchange, Input::Woken);
        }
        match effect {
            Effect::Finish(Finish::Admit(_)) => {
                let call = Outside::begin(outside_ref);
                worker.sleep(30);
                Outside::end(outside_ref);
                let headers = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
                let body = format!(
                    r#"{{"access_token":"of call {call}","token_type":"Bearer","expires_in":3600}}"#
                );
                gateway.with(|facts| exchange.answer_started(200, &headers, facts));
                let answer = ServerAnswer {
                    status: 200,
                    headers: &headers,
                    body: body.as_bytes(),
                    complete: true,
                };
                gateway.with(|facts| exchange.answered(&answer, facts));
            }
            Effect::Finish(Finish::Answer(answer)) => {
                if answer.status != 200
                    || !String::from_utf8_lossy(&answer.body).contains("of call 1\"")
                {
                    Outside::blame(outside_ref, format!("a follower got {}", answer.status));
                }
            }
            _ => Outside::blame(outside_ref, "no verdict".into()),
        }
    };
    world.run(vec![work, work, work]);
    let Outside { calls, wrong, .. } = outside.into_inner().unwrap();
    match (wrong, calls) {
        (Some(wrong), _) => Err(wrong),
        (None, 1) => Ok(()),
        (None, calls) => Err(format!("{calls} calls")),
    }
}

#[test]
fn one_worker_calls_the_token_server_and_all_have_its_answer() {
    holds(40, |seed, dialect| one_call(seed, dialect, None));
    is_caught(Twin::LeaseUnasked, 60, one_call);
    is_caught(Twin::NoSecondLook, 300, one_call);
}

/// One worker revokes a token that others see all the time: once it has said so, nobody accepts it
/// any more.
fn revoked_for_all(
    seed: u64,
    dialect: Dialect,
    faults: Faults,
    twin: Option<Twin>,
) -> Result<(), String> {
    let endpoints = json!([{ "path": "/token", "revocation_path": "/revoke" }]);
    let document = document(with_secret(), json!({ "token_endpoints": endpoints }));
    let token = hmac(SECRET, &claims("1"));
    let bearer = format!("Bearer {token}");
    let world = World::new(dialect, seed, 3, twin).faults(faults).drift_ms(3);
    let (revoked, wrong) = (Mutex::new(false), Mutex::<Option<String>>::default());
    let (document, token, bearer, revoked_ref, wrong_ref) =
        (&document, &token, &bearer, &revoked, &wrong);
    let is_admitted = |gateway: &Gateway<'_>| {
        let mut exchange =
            Exchange::new(request("GET", "/orders", &[("authorization", bearer)]), None, ENVOY);
        matches!(gateway.step(&mut exchange, Input::Begin), Effect::Finish(Finish::Admit(_)))
    };
    let work = |revokes: bool| {
        move |worker: &Worker<'_>| {
            let gateway = Gateway::new(worker, document);
            if revokes {
                (0..worker.below(6)).for_each(|_| worker.pause());
                let is_kept = gateway.with(|facts| facts.revoke_token(token.as_bytes()));
                *revoked_ref.lock().unwrap() |= is_kept;
                return;
            }
            for _ in 0..6 {
                let before = *revoked_ref.lock().unwrap();
                if is_admitted(&gateway) && before {
                    *wrong_ref.lock().unwrap() = Some("accepted after it was revoked".into());
                }
            }
            // And once more when all is done.
            while !*revoked_ref.lock().unwrap() && faults == Faults::default() {
                worker.pause();
            }
            if *revoked_ref.lock().unwrap() && is_admitted(&gateway) {
                *wrong_ref.lock().unwrap() = Some("accepted in the end".into());
            }
        }
    };
    world.run(vec![work(false), work(true), work(false)]);
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
fn once_a_revocation_is_answered_no_worker_accepts_the_token() {
    holds(60, |seed, dialect| revoked_for_all(seed, dialect, Faults::default(), None));
    let faults = Faults { torn: 30, crash: 10, ..Faults::default() };
    holds(60, |seed, dialect| revoked_for_all(seed, dialect, faults, None));
    is_caught(Twin::NumberBeforeNames, 200, |seed, dialect, twin| {
        revoked_for_all(seed, dialect, Faults::default(), twin)
    });
    is_caught(Twin::NamesBeforeNumber, 400, |seed, dialect, twin| {
        revoked_for_all(seed, dialect, Faults::default(), twin)
    });
}
