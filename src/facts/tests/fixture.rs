//! Workers of one host over one memory, keys that sign, and a server that answers: what tests of
//! facts, verdicts and exchanges share.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::exchange::{Abilities, Effect, Exchange, Finish, Input};
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Facts, Host, Runtime};
use crate::metrics::{Meter, Metric};
use crate::reply::Reason;
use crate::request::{HeaderBlock, Surroundings};
use crate::shared::{Expect, Refused, Slot, Store, Version};
use crate::signature::NoHost;
use crate::simulation::host::{Dialect, Memory};
use crate::simulation::schedule::Rng;
use crate::time::Time;

pub(crate) const START: Time = Time::from_s(1_800_000_000);
pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const SECRET: &str = "a secret of thirty-two bytes or more";
pub(crate) const ENVOY: Abilities = Abilities { removes_headers: true, waits: true };
pub(crate) const KONG: Abilities = Abilities { removes_headers: false, waits: true };

/// What the host lends: memory, and where events are counted.
pub(crate) struct Shared {
    memory: RefCell<Memory>,
    rng: RefCell<Rng>,
    counted: RefCell<Vec<Metric>>,
    /// Whether writes are refused: a zone without room.
    pub(crate) is_full: Cell<bool>,
}

impl Store for Shared {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        self.memory.borrow_mut().get(slot, &mut self.rng.borrow_mut())
    }
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        if self.is_full.get() {
            return Err(Refused::Full);
        }
        self.memory.borrow_mut().set(slot, value, expect, &mut self.rng.borrow_mut())
    }
    fn random(&self) -> u64 {
        self.rng.borrow_mut().next()
    }
}

impl Meter for Shared {
    fn count(&self, metric: Metric) {
        self.counted.borrow_mut().push(metric);
    }
}

impl Surroundings for Shared {
    fn address(&self) -> Option<String> {
        Some("192.0.2.1".to_owned())
    }
    fn route(&self) -> Option<String> {
        None
    }
    fn client_certificate(&self) -> bool {
        false
    }
}

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
    workers: Vec<Runtime>,
    /// What servers answer, by the kind of the fact: status and body. Anything else is 500.
    pub(crate) serves: RefCell<BTreeMap<&'static str, (u16, String)>>,
    /// How often each was asked.
    asked: RefCell<BTreeMap<&'static str, u32>>,
}

impl World {
    /// One worker for each configuration.
    pub(crate) fn of(documents: &[&Value]) -> World {
        World::of_workers(
            documents
                .iter()
                .map(|document| runtime(document, HostKey::new(&[7; 32], b"test")))
                .collect(),
        )
    }

    /// One worker under a configuration that was loaded already.
    pub(crate) fn with_config(config: Config) -> World {
        World::of_workers(vec![Runtime::new(Rc::new(config), HostKey::new(&[7; 32], b"test"))])
    }

    fn of_workers(workers: Vec<Runtime>) -> World {
        let shared = Shared {
            memory: RefCell::new(Memory::new(Dialect::Envoy)),
            rng: RefCell::new(Rng::new(1)),
            counted: RefCell::default(),
            is_full: Cell::default(),
        };
        World { shared, workers, serves: RefCell::default(), asked: RefCell::default() }
    }

    /// Two workers under one configuration.
    pub(crate) fn new(document: &Value) -> World {
        World::of(&[document, document])
    }

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
        self.asked.borrow().get(kind).copied().unwrap_or_default()
    }

    /// How often an event was counted.
    pub(crate) fn count(&self, metric: Metric) -> usize {
        self.shared.counted.borrow().iter().filter(|counted| **counted == metric).count()
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

    fn answer(&self, fact: &Fact) -> (u16, String) {
        *self.asked.borrow_mut().entry(fact.kind()).or_default() += 1;
        self.serves.borrow().get(fact.kind()).cloned().unwrap_or((500, String::new()))
    }
}

pub(crate) fn runtime(document: &Value, key: HostKey) -> Runtime {
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

/// A key on P-256.
pub(crate) struct EcKey(SigningKey);

impl EcKey {
    pub(crate) fn new(number: u8) -> EcKey {
        EcKey(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = (segment(point.x().unwrap()), segment(point.y().unwrap()));
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y })
    }

    pub(crate) fn token(&self, kid: &str, claims: &Value) -> String {
        let signed = signed(&json!({ "alg": "ES256", "kid": kid }), claims);
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", segment(signature.to_bytes()))
    }
}

/// A JWK Set.
pub(crate) fn jwks(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// A token under a secret.
pub(crate) fn hmac(secret: &str, claims: &Value) -> String {
    let signed = signed(&json!({ "alg": "HS256" }), claims);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", segment(mac.finalize().into_bytes()))
}

/// The same token with one bit of its signature changed, still canonical.
pub(crate) fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    format!("{signed}.{}", segment(&bytes))
}

/// Other claims under the signature of `token`.
pub(crate) fn with_claims(token: &str, claims: &Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], segment(claims.to_string().as_bytes()), parts[2])
}

fn signed(header: &Value, claims: &Value) -> String {
    format!("{}.{}", segment(header.to_string().as_bytes()), segment(claims.to_string().as_bytes()))
}

fn segment(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
