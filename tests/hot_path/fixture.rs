//! A worker with one issuer, and requests with its tokens, over a host that counts what it is
//! asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herdgate::config::{Config, HostKind};
use herdgate::testing::digest::HostKey;
use herdgate::testing::exchange::{Abilities, Effect, Exchange, Input};
use herdgate::testing::facts::call::CallAnswer;
use herdgate::testing::facts::{Facts, Host, Runtime};
use herdgate::testing::metrics::{Meter, Metric};
use herdgate::testing::request::{HeaderBlock, Surroundings};
use herdgate::testing::shared::{Expect, Refused, Slot, Store, Version};
use herdgate::testing::signature::{Algorithm, HostVerify};
use herdgate::testing::time::Time;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the hot path, 32 bytes and more";
pub const NOW: Time = Time::from_s(1_800_000_000);

/// A revocation feed in which none of these tokens is revoked, though other subjects are.
const FEED: &[u8] = br#"{"sequence":1,"revoked":[{"iss":"https://idp.example","sub":"another","before":1900000000}]}"#;
/// What other gateways have told: nothing.
const TOLD: &[u8] = br#"{"EVAL":["01010101010101010101010101010101","0","0","0"]}"#;

/// Calls that a host has been asked for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Calls {
    pub shared_get: u32,
    pub shared_set: u32,
    pub count: u32,
    pub property: u32,
    pub verify: u32,
}

/// A host that remembers shared data and counts calls.
#[derive(Default)]
pub struct CountingHost {
    calls: Cell<Calls>,
    shared: RefCell<HashMap<Slot, (Vec<u8>, Version)>>,
    counted: RefCell<Vec<Metric>>,
    /// Whether it has a signature function.
    pub verifies: Cell<bool>,
}

/// What a signature begins with that the host's function calls good.
pub const GOOD: u8 = 0x41;

impl HostVerify for CountingHost {
    fn takes(&self, _: Algorithm) -> bool {
        self.verifies.get()
    }

    fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], signature: &[u8]) -> Option<bool> {
        if !self.verifies.get() {
            return None;
        }
        self.note(|calls| calls.verify += 1);
        // Of ECDSA it is DER: a sequence, and the first number in it.
        Some(signature.first() == Some(&GOOD) || signature.get(4) == Some(&GOOD))
    }
}

impl CountingHost {
    fn note(&self, change: impl FnOnce(&mut Calls)) {
        let mut calls = self.calls.get();
        change(&mut calls);
        self.calls.set(calls);
    }

    /// Calls since the last time, and what was counted.
    pub fn take(&self) -> (Calls, Vec<Metric>) {
        (self.calls.take(), self.counted.take())
    }

    /// So that a list that grows isn't taken for an allocation of the filter's.
    pub fn make_room(&self) {
        self.counted.borrow_mut().reserve(64);
    }
}

impl Store for CountingHost {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        self.note(|calls| calls.shared_get += 1);
        self.shared.borrow().get(&slot).cloned()
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        self.note(|calls| calls.shared_set += 1);
        let mut shared = self.shared.borrow_mut();
        let version = shared.get(&slot).map(|(_, version)| *version);
        match (expect, version) {
            (Expect::Absent, None) => shared.insert(slot, (value.to_vec(), 1)),
            (Expect::Version(expected), Some(version)) if expected == version => {
                shared.insert(slot, (value.to_vec(), version + 1))
            }
            _ => return Err(Refused::Lost),
        };
        Ok(())
    }

    fn random(&self) -> u64 {
        4
    }

    fn never_forgets(&self) -> bool {
        true
    }
}

impl Meter for CountingHost {
    fn count(&self, metric: Metric) {
        self.note(|calls| calls.count += 1);
        let mut counted = self.counted.borrow_mut();
        if counted.len() < counted.capacity() {
            counted.push(metric);
        }
    }
}

impl Surroundings for CountingHost {
    fn address(&self) -> Option<String> {
        self.note(|calls| calls.property += 1);
        Some("192.0.2.1:50000".to_owned())
    }

    fn client_certificate(&self) -> bool {
        self.note(|calls| calls.property += 1);
        false
    }

    fn certificate_digest(&self) -> Option<[u8; 32]> {
        self.note(|calls| calls.property += 1);
        None
    }

    fn route(&self) -> Option<String> {
        self.note(|calls| calls.property += 1);
        None
    }
}

/// One worker under one configuration.
pub struct Worker {
    pub host: CountingHost,
    runtime: Runtime,
}

impl Worker {
    pub fn new(config: &Value) -> Worker {
        let config = match Config::load(config.to_string().as_bytes(), &|_| None, HostKind::Envoy) {
            Ok(config) => config,
            Err(errors) => panic!("{errors}"),
        };
        Worker {
            host: CountingHost::default(),
            runtime: Runtime::new(Rc::new(config), HostKey::new(&[7; 32], b"shared secret")),
        }
    }

    /// The first tick, which looks for what is due.
    pub fn tick(&self) {
        let host = Host { store: &self.host, verify: &self.host, meter: &self.host };
        let _ = Facts { runtime: &self.runtime, host: &host, now: NOW }.due();
    }

    /// What becomes of one request, from its headers on, as the shell runs it.
    pub fn run(&self, headers: HeaderBlock) -> Effect {
        self.run_at(NOW, headers)
    }

    pub fn run_at(&self, now: Time, headers: HeaderBlock) -> Effect {
        let host = Host { store: &self.host, verify: &self.host, meter: &self.host };
        let facts = Facts { runtime: &self.runtime, host: &host, now };
        let abilities = Abilities { removes_headers: true, waits: true };
        let mut exchange = Exchange::new(headers, None, abilities);
        match exchange.step(Input::Begin, &facts, &self.host) {
            // All that these configurations ever fetch.
            Effect::Fetch(fact, _) => {
                let body = match fact.kind() {
                    "feed" => FEED.to_vec(),
                    "gateways" => TOLD.to_vec(),
                    _ => said(),
                };
                let answer =
                    CallAnswer { status: 200, headers: &HeaderBlock::default(), body: &body };
                exchange.step(Input::Fetched(answer), &facts, &self.host)
            }
            decided => decided,
        }
    }
}

fn issuer(more: Value) -> Value {
    let mut issuer = json!({
        "name": "idp", "issuer": "https://idp.example", "algorithms": ["HS256"], "audiences": ["orders-api"],
        "keys": [{ "secret": SECRET }],
    });
    if let (Some(issuer), Value::Object(more)) = (issuer.as_object_mut(), more) {
        issuer.extend(more);
    }
    issuer
}

/// One issuer, nothing else.
pub fn plain() -> Value {
    json!({ "issuers": [issuer(json!({}))], "shared": { "secret": "a shared secret of 32 bytes or more" } })
}

/// The same where tokens may be bound, and those of another issuer count once.
pub fn beside_bound() -> Value {
    let mut config = plain();
    config["issuers"][0]["dpop"] = json!({ "origins": ["https://api.example"], "nonce": true });
    config["issuers"][0]["mtls"] = json!({});
    config["issuers"].as_array_mut().unwrap().push(json!({
        "name": "once", "issuer": "once", "algorithms": ["HS256"], "keys": [{ "secret": SECRET }],
    }));
    config["replay"] = json!({ "issuers": ["once"] });
    config
}

/// Rules and a forwarded claim.
pub fn ruled() -> Value {
    json!({
        "issuers": [issuer(json!({ "forward": { "claims": { "sub": "x-user" } } }))],
        "rules": [
            { "match": { "path_prefix": "/health" }, "access": "public" },
            { "match": { "path": "/v1/device/register", "methods": ["POST"] }, "issuers": ["idp"] },
            { "match": { "path_prefix": "/v1" }, "issuers": ["idp"] },
            { "match": { "path_prefix": "/orders" }, "issuers": ["idp"], "scopes_all": ["orders:read"] },
        ],
        "shared": { "secret": "a shared secret of 32 bytes or more" },
    })
}

/// Rules, and gateways that tell each other of revocations.
pub fn ruled_and_told(shares_answers: bool) -> Value {
    let mut config = ruled();
    config["gateways"] = json!({ "uri": "https://webdis.example/", "cluster": "webdis",
        "failure_mode": "deny", "answers": shares_answers });
    config
}

/// Rules, a forwarded claim and a revocation feed.
pub fn ruled_and_revoked() -> Value {
    let mut config = ruled();
    config["revocation"] =
        json!({ "feeds": [{ "uri": "https://idp.example/revoked.json", "cluster": "idp" }] });
    config
}

/// Rules, a forwarded claim and a limit that this gateway counts for itself.
pub fn ruled_and_limited() -> Value {
    let mut config = ruled();
    config["rate_limits"] =
        json!([{ "name": "per-user", "key": ["issuer", "subject"], "limit": 1000, "per_s": 1 }]);
    config["rules"][3]["limits"] = json!(["per-user"]);
    config
}

/// The same limit where it meets those of other gateways.
pub fn ruled_and_limited_together() -> Value {
    let mut config = ruled_and_limited();
    config["rate_limits"][0]["sync"] =
        json!({ "uri": "https://webdis.example/", "cluster": "webdis" });
    config
}

/// Rules, a forwarded claim, and an issuer whose tokens are opaque in place of the other.
pub fn opaque() -> Value {
    let mut config = ruled();
    let endpoint = json!({ "uri": "https://idp.example/introspect", "cluster": "idp", "client_id": "g", "client_secret": "s" });
    config["issuers"] = json!([{
        "name": "idp", "issuer": "https://idp.example", "tokens": "opaque", "audiences": ["orders-api"],
        "introspection": endpoint, "forward": { "claims": { "sub": "x-user" } },
    }]);
    config
}

/// An opaque token.
pub const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA-tGzv3JOkF0XG5Qx2TlKWIA";

/// What its issuer says of it.
fn said() -> Vec<u8> {
    json!({ "active": true, "aud": "orders-api", "sub": "user-1", "scope": "orders:read orders:write",
        "exp": NOW.s() + 3600, "jti": "f3b0c1e2" })
    .to_string()
    .into_bytes()
}

/// Rules, a forwarded claim, and an issuer whose tokens come encrypted.
pub fn encrypted() -> Value {
    let mut config = ruled();
    config["issuers"][0]["encrypted"] = json!("allow");
    config["decryption"] = json!({ "keys": [{
        "jwk": { "kty": "oct", "kid": "1", "k": URL_SAFE_NO_PAD.encode([5; 32]) },
        "issuers": ["idp"], "algorithms": ["dir"], "encryptions": ["A256GCM"],
    }] });
    config
}

/// A token, encrypted under that key (RFC 7516).
pub fn sealed(token: &str) -> String {
    let header = json!({ "alg": "dir", "enc": "A256GCM", "kid": "1", "cty": "JWT" });
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let (cipher, mut text) = (Aes256Gcm::new(&[5; 32].into()), token.as_bytes().to_vec());
    let tag =
        cipher.encrypt_inout_detached(&[7; 12].into(), header.as_bytes(), (&mut text[..]).into());
    let (text, tag) = (URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(tag.unwrap()));
    format!("{header}..{}.{text}.{tag}", URL_SAFE_NO_PAD.encode([7; 12]))
}

fn claims(subject: &str) -> Value {
    json!({
        "iss": "https://idp.example", "aud": "orders-api", "sub": subject, "scope": "orders:read orders:write",
        "iat": NOW.s() - 60, "exp": NOW.s() + 3600, "jti": "f3b0c1e2", "pad": "p".repeat(300),
    })
}

fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// One issuer whose tokens are signed so, by a key of RFC 7515 or 7517.
pub fn public(algorithm: &str) -> Value {
    let jwk = match algorithm {
        "RS256" => json!({ "kty": "RSA", "e": "AQAB", "n": RSA_N }),
        "ES256" => {
            json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" })
        }
        // RFC 8037, appendix A.2.
        _ => {
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
        }
    };
    let mut config = plain();
    config["issuers"][0]["algorithms"] = json!([algorithm]);
    config["issuers"][0]["keys"] = json!([{ "jwk": jwk }]);
    config
}

/// A token under such a key whose signature begins with `first`: nobody's, whatever a host says.
pub fn signed(algorithm: &str, first: u8, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims("user-1");
    change(&mut claims);
    let mut signature = vec![1; if algorithm == "RS256" { 256 } else { 64 }];
    signature[0] = first;
    let header = json!({ "alg": algorithm, "typ": "at+jwt" });
    format!("{}.{}.{}", segment(&header), segment(&claims), URL_SAFE_NO_PAD.encode(signature))
}

/// RFC 7515, appendix A.2.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

/// A token of about the size of an RS256 one.
pub fn token(subject: &str) -> String {
    let claims = claims(subject);
    let signed =
        format!("{}.{}", segment(&json!({ "alg": "HS256", "typ": "at+jwt" })), segment(&claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// A request as Envoy hands it over.
pub fn request(token: &str) -> HeaderBlock {
    let authorization = format!("Bearer {token}");
    let headers: [(&str, &str); 12] = [
        (":authority", "api.example"),
        (":path", "/orders/1"),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "a client of the hot path/1.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("authorization", &authorization),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "2b8f1d6e-9c04-4f27-8f6a-0f3f6a7f1c11"),
        ("x-envoy-expected-rq-timeout-ms", "15000"),
    ];
    HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}
