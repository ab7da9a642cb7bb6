//! The filter itself, run on one request: its exchange over a host that is made up. Memory is empty
//! and fresh, time stands still, and what other servers would answer is given. So the verdict, the
//! answers and the counters are those of the filter, and not a second opinion.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use herdgate::config::Config;
use herdgate::testing::digest::HostKey;
use herdgate::testing::exchange::{Abilities, Effect, Exchange, Finish, Input};
use herdgate::testing::facts::call::CallAnswer;
use herdgate::testing::facts::{Facts, Host, Runtime};
use herdgate::testing::metrics::{Meter, Metric};
use herdgate::testing::request::{HeaderBlock, Surroundings};
use herdgate::testing::shared::{Expect, Refused, Slot, Store, Version};
use herdgate::testing::signature::NoHost;
use herdgate::testing::time::Time;

/// A header's name and value.
pub type Header = (String, String);

/// What another server answers to a call of the filter's.
pub struct Served {
    /// The status.
    pub status: u16,
    /// Headers, of which `cache-control` matters.
    pub headers: Vec<Header>,
    /// The body.
    pub body: String,
}

/// A client's request, as a host hands it over.
pub struct Sent {
    /// Pseudo headers first.
    pub headers: Vec<Header>,
    /// The body, which token endpoints read.
    pub body: String,
    /// The client's address.
    pub address: Option<String>,
    /// The host's name of the route.
    pub route: Option<String>,
}

/// What the world around the filter is.
pub struct World<'a> {
    /// What is served, by address.
    pub documents: &'a BTreeMap<String, Served>,
    /// The clock.
    pub now: Time,
    /// Whether the host can remove headers, as Envoy can, or only blank them, as Kong does.
    pub removes_headers: bool,
}

/// A call of the filter's own.
pub struct Fetched {
    /// What it brings: `keys`, `metadata`, ...
    pub kind: &'static str,
    /// The method.
    pub method: String,
    /// The address.
    pub url: String,
    /// The status that came; nothing where it isn't given what is there.
    pub status: Option<u16>,
}

/// How it ended.
pub enum End {
    /// The request goes on.
    Goes {
        /// Names of headers that go.
        removed: Vec<String>,
        /// Headers that are set, in place of any of that name.
        set: Vec<Header>,
        /// Headers that the API's answer gets.
        response: Vec<Header>,
    },
    /// The client is answered here.
    Answered {
        /// The status.
        status: u16,
        /// The headers.
        headers: Vec<Header>,
        /// The body.
        body: String,
    },
}

/// All that came of one request.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What logs are told: `verdict`, `reason`, `rule`, `issuer`.
    pub why: BTreeMap<&'static str, String>,
    /// Calls in their order.
    pub fetched: Vec<Fetched>,
    /// Names of what was counted, in their order.
    pub counted: Vec<String>,
}

/// One worker with empty memory.
pub struct Worker<'a> {
    runtime: Runtime,
    host: Memory,
    world: &'a World<'a>,
    limits: Vec<String>,
}

/// A request takes few steps; more would be a fault of ours, and must end.
const STEPS_MAX: usize = 32;

impl<'a> Worker<'a> {
    /// A worker under this configuration.
    pub fn new(mut config: Config, world: &'a World<'a>) -> Worker<'a> {
        // So that the exchange says of an admitted request, too, which rule and issuer it was.
        config.log.all = true;
        let limits = config.rate_limits.iter().map(|limit| limit.name.clone()).collect();
        // A fixed key: nothing here outlives the question.
        let key = HostKey::new(&[7; 32], b"playground");
        // Its memory is as old as any token, so none is too old to count once.
        let runtime = Runtime::new(Rc::new(config), key).begun(Some(Time::from_s(0)));
        Worker { runtime, host: Memory::default(), world, limits }
    }

    /// What becomes of a request.
    pub fn run(&self, sent: &Sent) -> Outcome {
        let block = HeaderBlock::from_pairs(
            sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
        );
        let abilities = Abilities { removes_headers: self.world.removes_headers, waits: true };
        let mut exchange = Exchange::new(block, None, abilities);
        let mut fetched = Vec::new();
        let mut now = self.world.now;
        let mut effect = self.step(&mut exchange, Input::Begin, now, sent);
        for _ in 0..STEPS_MAX {
            effect = match effect {
                Effect::Finish(finish) => return self.outcome(finish, fetched),
                Effect::ReadBody(most) => {
                    let body = Some(sent.body.as_bytes()).filter(|body| body.len() <= most);
                    self.step(&mut exchange, Input::Body(body), now, sent)
                }
                // Nobody else is there who could bring it.
                Effect::SleepUntil(until, ..) => {
                    now = until;
                    self.step(&mut exchange, Input::Woken, now, sent)
                }
                Effect::Fetch(fact, _) => {
                    let call = fact.call(&self.runtime.config);
                    let part = |name: &str| {
                        let headers = call.iter().flat_map(|call| &call.headers);
                        let mut found = headers.filter(|(known, _)| known == name);
                        found.next().map(|(_, value)| value.clone()).unwrap_or_default()
                    };
                    let url =
                        format!("{}://{}{}", part(":scheme"), part(":authority"), part(":path"));
                    let served = self.world.documents.get(&url);
                    fetched.push(Fetched {
                        kind: fact.kind(),
                        method: part(":method"),
                        url,
                        status: served.map(|served| served.status),
                    });
                    self.bring(&mut exchange, served, now, sent)
                }
            };
        }
        let finish = self.with_facts(now, |facts| exchange.give_up(facts, &About(sent)));
        self.outcome(finish, fetched)
    }

    fn bring(
        &self,
        exchange: &mut Exchange,
        served: Option<&Served>,
        now: Time,
        sent: &Sent,
    ) -> Effect {
        let none = HeaderBlock::default();
        let Some(served) = served else {
            let answer = CallAnswer::failed_since("not given here", &none);
            return self.step(exchange, Input::Fetched(answer), now, sent);
        };
        let pairs = served.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = HeaderBlock::from_pairs(pairs);
        let answer =
            CallAnswer { status: served.status, headers: &headers, body: served.body.as_bytes() };
        self.step(exchange, Input::Fetched(answer), now, sent)
    }

    fn step(&self, exchange: &mut Exchange, input: Input<'_>, now: Time, sent: &Sent) -> Effect {
        self.with_facts(now, |facts| exchange.step(input, facts, &About(sent)))
    }

    fn with_facts<R>(&self, now: Time, work: impl FnOnce(&Facts<'_>) -> R) -> R {
        let host = Host { store: &self.host, verify: &NoHost, meter: &self.host };
        work(&Facts { runtime: &self.runtime, host: &host, now })
    }

    fn outcome(&self, finish: Finish, fetched: Vec<Fetched>) -> Outcome {
        let limits: Vec<&str> = self.limits.iter().map(String::as_str).collect();
        let counted = self.host.counted.take();
        let counted = counted.iter().map(|metric| metric.name(&limits).into_owned()).collect();
        let (end, why) = match finish {
            Finish::Admit(changes) => {
                let edits = changes.edits();
                let set = changes.headers();
                let end = End::Goes {
                    removed: edits.remove.clone(),
                    set: set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                    response: edits.response.clone(),
                };
                (end, edits.why.clone())
            }
            Finish::Answer(answer) => {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                let end = End::Answered { status: answer.status, headers: answer.headers, body };
                (end, answer.why)
            }
        };
        let why = why.iter().flat_map(|why| why.parts());
        let why = why.map(|(name, value)| (name, value.to_owned())).collect();
        Outcome { end, why, fetched, counted }
    }
}

/// What an API gets of a request that goes on: a header that is removed goes, or is blanked.
pub fn as_forwarded(
    sent: &[Header],
    removed: &[String],
    set: &[Header],
    removes_headers: bool,
) -> Vec<Header> {
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let mut out: Vec<Header> = Vec::new();
    for (name, value) in sent {
        if set.iter().any(|(other, _)| is(name, other)) {
            continue;
        }
        match removed.iter().any(|other| is(name, other)) {
            true if removes_headers => {}
            true => out.push((name.clone(), String::new())),
            false => out.push((name.clone(), value.clone())),
        }
    }
    out.extend(set.iter().cloned());
    out
}

/// Shared memory and counters of a host that forgets all at the end.
#[derive(Default)]
struct Memory {
    shared: RefCell<HashMap<Slot, (Vec<u8>, Version)>>,
    counted: RefCell<Vec<Metric>>,
    drawn: Cell<u64>,
}

impl Store for Memory {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        self.shared.borrow().get(&slot).cloned()
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        let mut shared = self.shared.borrow_mut();
        let version = shared.get(&slot).map(|(_, version)| *version);
        match (expect, version) {
            (Expect::Absent, None) => shared.insert(slot, (value.to_vec(), 1)),
            (Expect::Version(expected), Some(version)) if expected == version => {
                shared.insert(slot, (value.to_vec(), version.wrapping_add(1)))
            }
            (Expect::Absent, Some(_)) | (Expect::Version(_), _) => return Err(Refused::Lost),
        };
        Ok(())
    }

    /// The same draws each time, so that an answer can be compared with the last one.
    fn random(&self) -> u64 {
        let next = self.drawn.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.drawn.set(next);
        next
    }
}

impl Meter for Memory {
    fn count(&self, metric: Metric) {
        self.counted.borrow_mut().push(metric);
    }
}

/// What the host knows of a request.
struct About<'a>(&'a Sent);

impl Surroundings for About<'_> {
    fn address(&self) -> Option<String> {
        self.0.address.clone()
    }

    fn route(&self) -> Option<String> {
        self.0.route.clone()
    }

    fn client_certificate(&self) -> bool {
        false
    }

    fn certificate_digest(&self) -> Option<[u8; 32]> {
        None
    }
}
