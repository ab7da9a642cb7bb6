//! Workers of one host over one memory, keys that sign, and a server that answers: what tests of
//! facts, verdicts and exchanges share.

mod bring;
mod shared;
mod tokens;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::exchange::{Abilities, Effect, Exchange, Finish, Input};
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts, Host, Runtime};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::signature::NoHost;
use crate::simulation::host::Dialect;
use crate::time::Time;

pub(crate) use bring::{is_missing, refused};
pub(crate) use shared::Shared;
pub(crate) use tokens::{Key, forged, hmac, hmac_with, jwks, served, twin, with_claims};

pub(crate) const START: Time = Time::from_s(1_800_000_000);
pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const SECRET: &str = "a secret of thirty-two bytes or more";
pub(crate) const ENVOY: Abilities = Abilities { removes_headers: true, waits: true };
pub(crate) const KONG: Abilities = Abilities { removes_headers: false, waits: true };

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Admitted,
    Refused(Reason),
    /// It waits for what another one fetches.
    Waits,
}

/// One host and its workers.
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) workers: Vec<Runtime>,
    /// What servers answer, by the kind of the fact: status and body. Anything else is 500.
    pub(crate) serves: RefCell<BTreeMap<&'static str, (u16, String)>>,
    /// What was asked for, in order.
    asked: RefCell<Vec<&'static str>>,
}

impl World {
    /// One worker for each of these documents.
    pub(crate) fn on<D: ToString>(dialect: Dialect, documents: &[D]) -> World {
        World::of_workers(dialect, documents.iter().map(|document| runtime(document)).collect())
    }

    /// The same on a host like Envoy.
    pub(crate) fn of<D: ToString>(documents: &[D]) -> World {
        World::on(Dialect::Envoy, documents)
    }

    /// Two workers under one document.
    pub(crate) fn new(document: &impl ToString) -> World {
        World::of(&[document.to_string(), document.to_string()])
    }

    /// The same in both dialects.
    pub(crate) fn both(document: &impl ToString) -> impl Iterator<Item = World> {
        let document = document.to_string();
        Dialect::ALL.into_iter().map(move |dialect| World::on(dialect, &[&document, &document]))
    }

    /// One worker under a configuration that was loaded already.
    pub(crate) fn with_config(config: Config) -> World {
        let key = HostKey::new(&[7; 32], b"test");
        World::of_workers(Dialect::Envoy, vec![Runtime::new(Rc::new(config), key)])
    }

    /// These workers.
    pub(crate) fn of_workers(dialect: Dialect, workers: Vec<Runtime>) -> World {
        World {
            shared: Shared::new(dialect),
            workers,
            serves: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// One worker more, which knows nothing.
    pub(crate) fn add_worker(&mut self, document: &impl ToString) {
        self.workers.push(runtime(document));
    }

    /// Does something with what a worker knows at a moment.
    pub(crate) fn with<T>(
        &self,
        worker: usize,
        now: Time,
        work: impl FnOnce(&Facts<'_>) -> T,
    ) -> T {
        let host = Host { store: &self.shared, verify: &NoHost, meter: &self.shared };
        work(&Facts { runtime: &self.workers[worker], host: &host, now })
    }

    /// From now on a server answers so.
    pub(crate) fn serve(&self, kind: &'static str, status: u16, body: impl ToString) {
        self.serves.borrow_mut().insert(kind, (status, body.to_string()));
    }

    /// How often such a fact was asked for.
    pub(crate) fn asked(&self, kind: &str) -> u32 {
        self.asked.borrow().iter().filter(|asked| **asked == kind).count() as u32
    }

    /// What was asked for, in order.
    pub(crate) fn all_asked(&self) -> Vec<&'static str> {
        self.asked.borrow().clone()
    }

    /// How often an event was counted.
    pub(crate) fn count(&self, metric: Metric) -> u32 {
        let counted = self.shared.counted.borrow();
        counted.iter().filter(|counted| **counted == metric).count() as u32
    }

    /// All events, in order.
    pub(crate) fn counted(&self) -> Vec<Metric> {
        self.shared.counted.borrow().clone()
    }

    /// A request up to its verdict; facts that it misses are fetched at once.
    pub(crate) fn send(&self, worker: usize, now: Time, headers: HeaderBlock) -> Effect {
        let mut exchange = Exchange::new(headers, None, ENVOY);
        let mut effect =
            self.with(worker, now, |facts| exchange.step(Input::Begin, facts, &self.shared));
        for _ in 0..8 {
            let Effect::Fetch(fact, _) = &effect else { break };
            let (status, body) = self.answer(fact);
            let answer =
                CallAnswer { status, headers: &HeaderBlock::default(), body: body.as_bytes() };
            effect = self.with(worker, now, |facts| {
                exchange.step(Input::Fetched(answer), facts, &self.shared)
            });
        }
        effect
    }

    /// What becomes of a GET with this token.
    pub(crate) fn ask(&self, worker: usize, now: Time, token: &str) -> Outcome {
        self.ask_at(worker, now, "/orders", token)
    }

    pub(crate) fn ask_at(&self, worker: usize, now: Time, path: &str, token: &str) -> Outcome {
        let bearer = format!("Bearer {token}");
        let before = self.shared.counted.borrow().len();
        match self.send(worker, now, request("GET", path, &[("authorization", &bearer)])) {
            Effect::Finish(Finish::Admit(_)) => Outcome::Admitted,
            Effect::Finish(Finish::Answer(_)) => {
                let counted = self.shared.counted.borrow();
                let reason = counted[before..].iter().find_map(|metric| match metric {
                    Metric::Rejected(reason) => Some(*reason),
                    _ => None,
                });
                Outcome::Refused(reason.expect("a refusal is counted"))
            }
            Effect::SleepUntil(..) => Outcome::Waits,
            Effect::Fetch(..) | Effect::ReadBody(_) => panic!("not decided"),
        }
    }

    /// The host's memory is empty again.
    pub(crate) fn lose_memory(&self) {
        self.shared.memory.borrow_mut().wipe();
    }

    /// One tick of a worker: what is due is fetched.
    pub(crate) fn tick(&self, worker: usize, now: Time) {
        self.with(worker, now, |facts| {
            for fact in facts.due() {
                if facts.join(&fact) == crate::facts::Turn::Lead {
                    let (status, body) = self.answer(&fact);
                    facts.learn(
                        &fact,
                        &CallAnswer {
                            status,
                            headers: &HeaderBlock::default(),
                            body: body.as_bytes(),
                        },
                    );
                }
            }
        });
    }

    /// What a server says to this question, which is noted.
    pub(crate) fn answer(&self, fact: &Fact) -> (u16, String) {
        self.asked.borrow_mut().push(fact.kind());
        self.serves.borrow().get(fact.kind()).cloned().unwrap_or((500, String::new()))
    }
}

/// A worker that knows nothing yet.
pub(crate) fn runtime(document: &impl ToString) -> Runtime {
    runtime_under(document, HostKey::new(&[7; 32], b"test"))
}

/// The same under another key of the host.
pub(crate) fn runtime_under(document: &impl ToString, key: HostKey) -> Runtime {
    let config = Config::load(document.to_string().as_bytes(), &|_| None, HostKind::Envoy)
        .unwrap_or_else(|errors| panic!("{errors}"));
    Runtime::new(Rc::new(config), key)
}

/// A document with these members beside what all need.
pub(crate) fn document(issuer: Value, more: Value) -> Value {
    let mut document = json!({ "issuers": [issuer], "shared": { "secret": "a shared secret of 32 bytes or more" } });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

/// The same as text, with these members of the issuer; `more` begins with a comma.
pub(crate) fn written(issuer: &str, more: &str) -> String {
    format!(
        r#"{{"issuers": [{{"name": "idp", "issuer": "{ISSUER}", "algorithms": ["ES256"], "leeway_s": 0, {issuer}}}],
            "shared": {{"secret": "shared-secret-of-thirty-two-bytes-or-more"}}{more}}}"#
    )
}

/// An issuer whose keys are fetched.
pub(crate) fn fetched() -> Value {
    json!({ "name": "idp", "issuer": ISSUER, "jwks_uri": "https://idp.example/jwks", "cluster": "idp", "algorithms": ["ES256"],
        "audiences": ["a"], "leeway_s": 0, "forward": { "claims": { "sub": "x-user" } } })
}

/// An issuer with a secret.
pub(crate) fn with_secret() -> Value {
    json!({ "name": "idp", "issuer": ISSUER, "algorithms": ["HS256"], "keys": [{ "secret": SECRET }], "leeway_s": 0,
        "forward": { "claims": { "sub": "x-user" }, "token": false } })
}

/// A request with these headers beside what all have.
pub(crate) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> HeaderBlock {
    let line = [(":method", method), (":path", path), (":authority", "api.example")];
    HeaderBlock::from_pairs(line.iter().chain(more).map(|(name, value)| (*name, value.as_bytes())))
}

/// Good claims for the ten minutes after `START`, with one more member.
pub(crate) fn claims(jti: &str) -> Value {
    json!({ "iss": ISSUER, "aud": "a", "sub": "alice", "jti": jti, "iat": START.s(), "exp": START.s() + 600 })
}
