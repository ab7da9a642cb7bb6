//! A test bed: one host whose workers each have a configuration, and tokens of keys that anyone
//! could have made up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, HostKind};
use crate::digest::HostKey;
use crate::metrics::{Meter, Metric};
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::shared::{Expect, Refused, Slot, Store, Version};
use crate::signature::NoHost;
use crate::simulation::host::{Dialect, Memory};
use crate::simulation::schedule::Rng;
use crate::time::Time;

use super::call::CallAnswer;
use super::{Fact, Facts, Host, Runtime, Stop, Turn, Verified};

/// When tests begin.
pub const START: Time = Time::from_s(1_800_000_000);
/// The issuer of [`Key::token`].
pub const ISS: &str = "https://idp.example";

/// A host.
pub struct Bed {
    memory: RefCell<Memory>,
    rng: RefCell<Rng>,
    counts: RefCell<BTreeMap<Metric, u32>>,
    workers: Vec<Runtime>,
}

impl Store for Bed {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        self.memory.borrow_mut().get(slot, &mut self.rng.borrow_mut())
    }
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        self.memory.borrow_mut().set(slot, value, expect, &mut self.rng.borrow_mut())
    }
    fn random(&self) -> u64 {
        self.rng.borrow_mut().next()
    }
}

impl Meter for Bed {
    fn count(&self, metric: Metric) {
        *self.counts.borrow_mut().entry(metric).or_default() += 1;
    }
}

impl Bed {
    /// A host with a worker for each of these documents.
    pub fn new(documents: &[String]) -> Bed {
        let mut bed = Bed {
            memory: RefCell::new(Memory::new(Dialect::Envoy)),
            rng: RefCell::new(Rng::new(1)),
            counts: RefCell::default(),
            workers: Vec::new(),
        };
        documents.iter().for_each(|document| bed.add_worker(document));
        bed
    }

    /// One worker more, which knows nothing.
    pub fn add_worker(&mut self, document: &str) {
        let config = Config::load(document.as_bytes(), &|_| None, HostKind::Envoy)
            .unwrap_or_else(|errors| panic!("{errors}"));
        self.workers.push(Runtime::new(Rc::new(config), HostKey::new(&[7; 32], b"test")));
    }

    /// How many there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Two workers with one document that has this issuer, and `more` beside it.
    pub fn with_issuer(issuer: &str, more: &str) -> Bed {
        let document = document(issuer, more);
        Bed::new(&[document.clone(), document])
    }

    pub fn with<T>(&self, worker: usize, now: Time, work: impl FnOnce(&Facts<'_>) -> T) -> T {
        let host = Host { store: self, verify: &NoHost, meter: self };
        work(&Facts { runtime: &self.workers[worker], host: &host, now })
    }

    /// What a request with the token meets.
    pub fn check(&self, worker: usize, now: Time, token: &str) -> Result<Rc<Verified>, Stop> {
        self.with(worker, now, |facts| match facts.verified_before(token.as_bytes())? {
            Some(verified) => Ok(verified),
            None => facts.verify(token.as_bytes()),
        })
    }

    /// The same, with each fact that is missing brought by `serve` as often as it is asked for.
    /// Gives the facts too.
    pub fn fetch(
        &self,
        worker: usize,
        now: Time,
        token: &str,
        serve: impl Fn(&str) -> (u16, String),
    ) -> (Result<(), Reason>, Vec<String>) {
        let mut asked = Vec::new();
        loop {
            match self.check(worker, now, token) {
                Ok(_) => return (Ok(()), asked),
                Err(Stop::Refuse(refusal)) => return (Err(refusal.reason), asked),
                Err(Stop::Missing(fact)) => {
                    assert!(asked.len() < 8, "asked for {asked:?}");
                    asked.push(self.bring(worker, now, &fact, &serve));
                }
            }
        }
    }

    /// Leads a fetch; gives the path that it asked for.
    pub fn bring(
        &self,
        worker: usize,
        now: Time,
        fact: &Fact,
        serve: impl Fn(&str) -> (u16, String),
    ) -> String {
        self.with(worker, now, |facts| {
            assert_eq!(facts.join(fact), Turn::Lead, "{fact:?}");
            let call = fact.call(&facts.runtime.config).unwrap();
            let path = call
                .headers
                .iter()
                .find(|(name, _)| name == ":path")
                .map(|(_, path)| path.clone())
                .unwrap();
            let (status, body) = serve(&path);
            facts.learn(
                fact,
                &CallAnswer { status, headers: &HeaderBlock::default(), body: body.as_bytes() },
            );
            path
        })
    }

    /// One tick of a worker; gives the paths that it asked for.
    pub fn tick(
        &self,
        worker: usize,
        now: Time,
        serve: impl Fn(&str) -> (u16, String),
    ) -> Vec<String> {
        let due = self.with(worker, now, |facts| facts.due());
        due.iter().map(|fact| self.bring(worker, now, fact, &serve)).collect()
    }

    pub fn count(&self, metric: Metric) -> u32 {
        self.counts.borrow().get(&metric).copied().unwrap_or_default()
    }
}

/// A document with this issuer; `more` begins with a comma.
pub fn document(issuer: &str, more: &str) -> String {
    format!(
        r#"{{"issuers": [{{"name": "idp", "issuer": "{ISS}", "algorithms": ["ES256"], "leeway_s": 0, {issuer}}}],
            "shared": {{"secret": "shared-secret-of-thirty-two-bytes-or-more"}}{more}}}"#
    )
}

/// Why a request was refused.
pub fn refused<T>(result: Result<T, Stop>) -> Option<Reason> {
    match result {
        Err(Stop::Refuse(refusal)) => Some(refusal.reason),
        _ => None,
    }
}

/// Whether a fact is missing.
pub fn is_missing<T>(result: Result<T, Stop>) -> bool {
    matches!(result, Err(Stop::Missing(_)))
}

/// A key of P-256.
pub struct Key(SigningKey);

impl Key {
    /// The key of this number.
    pub fn new(number: u16) -> Key {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        Key(SigningKey::from_slice(&bytes).unwrap())
    }

    /// Its public half, with a `kid` if that isn't empty.
    pub fn jwk(&self, kid: &str) -> String {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        let kid = if kid.is_empty() { String::new() } else { format!(r#","kid":"{kid}""#) };
        format!(
            r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"{kid}}}"#,
            URL_SAFE_NO_PAD.encode(x),
            URL_SAFE_NO_PAD.encode(y)
        )
    }

    /// A token of [`ISS`] with these claims, after which nothing but `}` follows.
    pub fn token(&self, kid: &str, claims: &str) -> String {
        let kid = if kid.is_empty() { String::new() } else { format!(r#","kid":"{kid}""#) };
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256"{kid}}}"#));
        let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{ISS}"{claims}}}"#));
        let signed = format!("{header}.{payload}");
        let signature: Signature = self.0.sign_prehash(&Sha256::digest(&signed)).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// A token that ends an hour from [`START`].
    pub fn fresh(&self, kid: &str, id: u32) -> String {
        self.token(
            kid,
            &format!(r#","jti":"{id}","iat":{},"exp":{}"#, START.s() - 7_200, START.s() + 3_600),
        )
    }
}

/// The same token with the other spelling of its signature: n - s in place of s.
pub fn twin(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = Signature::from_scalars(r, -s).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other.to_bytes()))
}

/// The same token with a signature that nobody made.
pub fn forged(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[40] ^= 1;
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A JWK Set.
pub fn jwks(keys: &[String]) -> (u16, String) {
    (200, format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}
