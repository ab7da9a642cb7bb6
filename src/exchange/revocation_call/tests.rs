//! Revocation calls and what the token endpoint hands out after them, on two workers of one host.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::exchange::{Exchange, Finish, Input, ServerAnswer};
use crate::facts::Fact;
use crate::facts::call::CallAnswer;
use crate::request::HeaderBlock;
use crate::simulation::host::{Dialect, Memory};
use crate::world::{self, ENVOY, START, World, hmac, jwks, twin};

const OWN: &str = "https://own.example";

/// One worker for each document, after its host's first tick: from then on there is a number that
/// tells of changes.
fn two_workers(dialect: Dialect, documents: [&Value; 2]) -> World {
    let world = World::on(dialect, &documents);
    world.with(0, START, |facts| facts.due());
    world
}

impl World {
    /// Runs an exchange to its verdict; what it asks for comes at once.
    fn run(&self, worker: usize, now: Time, exchange: &mut Exchange, body: &[u8]) -> Finish {
        let mut effect =
            self.with(worker, now, |facts| exchange.step(Input::Begin, facts, &self.shared));
        for _ in 0..10 {
            effect = match effect {
                Effect::Finish(finish) => return finish,
                Effect::ReadBody(_) => self.with(worker, now, |facts| {
                    exchange.step(Input::Body(Some(body)), facts, &self.shared)
                }),
                Effect::Fetch(fact, _) => {
                    let (status, body) = self.answer(&fact);
                    let headers = HeaderBlock::default();
                    let answer = CallAnswer { status, headers: &headers, body: body.as_bytes() };
                    self.with(worker, now, |facts| {
                        exchange.step(Input::Fetched(answer), facts, &self.shared)
                    })
                }
                Effect::SleepUntil(until, ..) => self
                    .with(worker, until, |facts| exchange.step(Input::Woken, facts, &self.shared)),
            };
        }
        panic!("no verdict");
    }

    fn exchange(
        &self,
        path: &str,
        method: &str,
        authorization: &str,
        more: &[(&str, &str)],
    ) -> Exchange {
        let fixed = [
            (":method", method),
            (":path", path),
            (":authority", "api.example"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", authorization),
        ];
        let headers = HeaderBlock::from_pairs(
            fixed.iter().chain(more).map(|(name, value)| (*name, value.as_bytes())),
        );
        Exchange::new(headers, None, ENVOY)
    }

    /// The status that a revocation call gets whose server says yes.
    fn revoke(&self, worker: usize, now: Time, body: &str) -> u16 {
        self.revoke_as(worker, now, body, 200)
    }

    /// The same where the server says this.
    fn revoke_as(&self, worker: usize, now: Time, body: &str, said: u16) -> u16 {
        let mut exchange = self.exchange("/revoke", "POST", "Basic Yzpz", &[]);
        match self.run(worker, now, &mut exchange, body.as_bytes()) {
            Finish::Answer(answer) => answer.status,
            Finish::Admit(changes) => {
                assert!(changes.edits().watch);
                match self.with(worker, now, |facts| {
                    exchange.answer_started(said, &HeaderBlock::default(), facts)
                }) {
                    Started::Kept(answer) => answer.status,
                    _ => said,
                }
            }
        }
    }

    fn bearer(&self, worker: usize, now: Time, token: &str) -> u16 {
        let mut exchange = self.exchange("/orders", "GET", &format!("Bearer {token}"), &[]);
        match self.run(worker, now, &mut exchange, b"") {
            Finish::Answer(answer) => answer.status,
            Finish::Admit(_) => 200,
        }
    }

    /// What a token call gets whose server would grant `fresh`, or refuse the client.
    fn granted(
        &self,
        worker: usize,
        now: Time,
        secret: &str,
        scope: &str,
        more: &[(&str, &str)],
        fresh: Option<&str>,
    ) -> Result<String, u16> {
        let mut exchange = self.exchange(
            "/token",
            "POST",
            &format!("Basic {}", STANDARD.encode(format!("client:{secret}"))),
            more,
        );
        let body = format!("grant_type=client_credentials&scope={scope}");
        let token = |body: &[u8]| {
            serde_json::from_slice::<Value>(body).unwrap()["access_token"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        match self.run(worker, now, &mut exchange, body.as_bytes()) {
            Finish::Answer(answer) if answer.status == 200 => Ok(token(&answer.body)),
            Finish::Answer(answer) => Err(answer.status),
            Finish::Admit(_) => {
                let (status, text) = match fresh {
                    Some(token) => (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }).to_string()),
                    None => (401, r#"{"error":"invalid_client"}"#.to_owned()),
                };
                let headers = HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]);
                let answer = ServerAnswer {
                    status,
                    headers: &headers,
                    body: text.as_bytes(),
                    complete: true,
                };
                self.with(worker, now, |facts| {
                    exchange.answer_started(status, &headers, facts);
                    exchange.answered(&answer, facts);
                });
                if status == 200 { Ok(token(text.as_bytes())) } else { Err(status) }
            }
        }
    }

    /// What is handed out on both workers, where the server would grant `fresh`.
    fn handed_out(&self, now: Time, fresh: &str) -> [String; 2] {
        [1, 0].map(|worker| self.granted(worker, now, "secret", "a", &[], Some(fresh)).unwrap())
    }
}

fn document(more: Value) -> Value {
    let mut document = json!({
        "issuers": [{ "name": "own", "issuer": OWN, "algorithms": ["ES256"], "audiences": ["a"], "leeway_s": 0,
            "jwks_uri": "https://idp.example/jwks", "cluster": "idp" }],
        "token_endpoints": [{ "path": "/token", "revocation_path": "/revoke", "jitter": 0 }],
        "shared": { "secret": "shared-secret-of-thirty-two-bytes-or-more" },
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

/// In both dialects, the same document in both workers.
fn worlds(document: &Value) -> impl Iterator<Item = World> {
    Dialect::ALL.into_iter().map(move |dialect| two_workers(dialect, [document, document]))
}

fn segment(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key with its name.
struct Key(world::Key, &'static str);

impl Key {
    fn new(number: u16, kid: &'static str) -> Key {
        Key(world::Key::new(number), kid)
    }

    fn set(&self) -> String {
        jwks(&[self.0.jwk(self.1)]).to_string()
    }

    fn token(&self, claims: &Value) -> String {
        self.0.token(self.1, claims)
    }
}

fn own(jti: &str, days: u64) -> Value {
    json!({ "iss": OWN, "aud": "a", "jti": jti, "exp": START.s() + days * 86_400 })
}

#[test]
fn a_token_is_revoked_by_what_it_says_though_its_key_was_not_in_memory() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        let (token, again) =
            (key.token(&own("a", 30)), key.token(&json!({ "iss": OWN, "aud": "a", "jti": "a", "exp": START.s() + 30 * 86_400, "n": 1 })));
        assert_eq!(world.revoke(0, START, &format!("token={token}")), 200);
        assert_eq!(world.all_asked(), ["keys"], "once, before the call");
        for now in [START, START.plus_s(25 * 3_600), START.plus_s(30 * 86_400 - 1)] {
            for spelling in [&token, &twin(&token), &again] {
                for worker in [1, 0] {
                    assert_eq!(world.bearer(worker, now, spelling), 401);
                }
            }
        }
        assert_eq!(world.bearer(0, START, &key.token(&own("b", 30))), 200);
        assert_eq!(world.count(Metric::RevocationNotKept), 0);
    }
}

/// It isn't admitted now for a reason that may pass, or that is this rule's alone.
#[test]
fn a_token_that_is_not_admitted_now_is_revoked_all_the_same() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        let mut early = own("early", 1);
        early["nbf"] = json!(START.s() + 600);
        let mut elsewhere = own("elsewhere", 1);
        elsewhere["aud"] = json!("b");
        for claims in [&early, &elsewhere] {
            assert_eq!(world.revoke(0, START, &format!("token={}", key.token(claims))), 200);
        }
        elsewhere["aud"] = json!("a");
        for (claims, s) in [(&early, 600), (&elsewhere, 0)] {
            let token = key.token(claims);
            assert_eq!(world.bearer(1, START.plus_s(s), &token), 401);
            assert_eq!(world.bearer(1, START.plus_s(s), &twin(&token)), 401);
        }
    }
}

#[test]
fn a_looked_up_credential_is_fetched_first() {
    let legacy = json!({ "issuers": [{ "name": "legacy", "issuer": "*", "algorithms": ["HS256"], "leeway_s": 0,
        "credentials": { "lookup": { "uri": "https://admin.example/jwts/{key}", "cluster": "admin" } } }] });
    let secret = "a-secret-of-thirty-two-bytes-or-more";
    for world in worlds(&document(legacy)) {
        world.serve(
            "credential",
            200,
            json!({ "key": "device", "secret": secret, "algorithm": "HS256" }),
        );
        let token = |n: u32| {
            let exp = START.s() + 30 * 86_400;
            hmac(secret, &json!({ "iss": "device", "jti": "j", "exp": exp, "n": n }))
        };
        assert_eq!(world.revoke(0, START, &format!("token={}", token(1))), 200);
        for now in [START, START.plus_s(25 * 3_600)] {
            assert_eq!(
                (world.bearer(1, now, &token(1)), world.bearer(1, now, &token(2))),
                (401, 401)
            );
        }
    }
}

#[test]
fn what_can_not_be_verified_in_time_is_remembered_in_each_spelling_until_its_end() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 500, "");
        let token = key.token(&own("a", 30));
        assert_eq!(world.revoke(0, START, &format!("token={token}")), 200);
        world.serve("keys", 200, key.set());
        for now in [START.plus_s(60), START.plus_s(25 * 3_600), START.plus_s(30 * 86_400 - 1)] {
            assert_eq!(
                (world.bearer(1, now, &token), world.bearer(1, now, &twin(&token))),
                (401, 401)
            );
        }
        assert_eq!(
            world.bearer(1, START.plus_s(60), &key.token(&own("a", 30))),
            401,
            "signed the same way"
        );
        assert_eq!(world.bearer(1, START.plus_s(60), &key.token(&own("b", 30))), 200);
    }
}

#[test]
fn a_forged_token_revokes_no_one_elses() {
    let (key, stranger) = (Key::new(5, "k"), Key::new(6, "k"));
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        let good = key.token(&own("a", 1));
        assert_eq!(world.revoke(0, START, &format!("token={}", stranger.token(&own("a", 1)))), 200);
        assert_eq!((world.bearer(0, START, &good), world.bearer(1, START, &good)), (200, 200));
    }
}

#[test]
fn what_is_not_understood_is_not_answered_as_done() {
    for world in worlds(&document(json!({}))) {
        for body in ["", "x=1", "token=", "\u{1f}"] {
            assert_eq!(world.revoke(0, START, body), 503, "{body:?}");
        }
        assert_eq!(world.count(Metric::RevocationUnread), 4);
        let many: Vec<_> = (0..20).map(|n| format!("token=t{n}")).collect();
        assert_eq!(world.revoke(0, START, &many.join("&")), 503);
        assert_eq!(world.revoke(0, START, "token=t&"), 200);
        assert_eq!(world.count(Metric::RevocationNotKept), 0);
    }
}

#[test]
fn no_other_method_goes_to_a_revocation_path() {
    let open =
        document(json!({ "rules": [{ "match": { "path_prefix": "/" }, "access": "public" }] }));
    let world = two_workers(Dialect::Envoy, [&open, &open]);
    for (method, status) in
        [("GET", 403), ("PUT", 403), ("DELETE", 403), ("OPTIONS", 200), ("HEAD", 200)]
    {
        let found = |path: &str| match world.run(
            0,
            START,
            &mut world.exchange(path, method, "Basic Yzpz", &[]),
            b"",
        ) {
            Finish::Answer(answer) => answer.status,
            Finish::Admit(_) => 200,
        };
        assert_eq!((found("/revoke?token=t"), found("/revoke2")), (status, 200), "{method}");
    }
}

#[test]
fn whatever_says_yes_revokes_and_nothing_else() {
    let key = Key::new(5, "k");
    for world in worlds(&document(json!({}))) {
        world.serve("keys", 200, key.set());
        for (said, is_revoked) in
            [(200, true), (201, true), (204, true), (302, false), (400, false), (503, false)]
        {
            let token = key.token(&own(&said.to_string(), 1));
            assert_eq!(world.revoke_as(0, START, &format!("token={token}"), said), said);
            assert_eq!(world.bearer(1, START, &token) == 401, is_revoked, "{said}");
        }
    }
}

#[test]
fn what_can_not_be_remembered_is_not_answered_as_done() {
    let world = two_workers(Dialect::Kong, [&document(json!({})), &document(json!({}))]);
    *world.shared.memory.borrow_mut() = Memory::new(Dialect::Kong).zone(0, false);
    assert_eq!(world.revoke(0, START, "token=t"), 503);
    assert_eq!(world.count(Metric::RevocationNotKept), 1);
}

#[test]
fn shadow_mode_revokes_and_changes_no_answer() {
    let key = Key::new(5, "k");
    let shadow = document(json!({ "mode": "shadow" }));
    for dialect in Dialect::ALL {
        let world = two_workers(dialect, [&shadow, &document(json!({}))]);
        world.serve("keys", 200, key.set());
        assert_eq!(world.revoke(0, START, "x=1"), 200);
        assert_eq!(world.count(Metric::Shadowed(Reason::RevocationUnavailable)), 1);
        let token = key.token(&own("a", 1));
        assert_eq!(world.bearer(1, START, &token), 200);
        assert_eq!(world.revoke(0, START, &format!("token={token}")), 200);
        assert_eq!(world.bearer(1, START, &token), 401);
    }
}

#[test]
fn no_flood_of_made_up_tokens_makes_a_real_revocation_fail_or_pushes_one_out() {
    let key = Key::new(5, "k");
    for dialect in Dialect::ALL {
        let world = two_workers(dialect, [&document(json!({})), &document(json!({}))]);
        world.serve("keys", 200, key.set());
        let opaque = |n: u32| format!("opaque-{n}");
        let jwt = |n: u32| key.token(&own(&format!("real-{n}"), 1));
        let scope = |n: u32| format!("s{n}");
        let first = |n: u32| if n.is_multiple_of(2) { opaque(n) } else { jwt(n) };
        for n in 0..20 {
            assert_eq!(
                world.granted(0, START, "secret", &scope(n), &[], Some(&first(n))),
                Ok(first(n))
            );
            if n < 10 {
                assert_eq!(world.revoke(0, START, &format!("token={}", first(n))), 200);
            }
        }
        let forged = format!(
            "{}.{}",
            segment(br#"{"alg":"ES256","kid":"none"}"#),
            segment(own("x", 9_000).to_string().as_bytes())
        );
        // Enough to fill each slot's share, and as many as were seen to do harm on one of the
        // hosts.
        for n in 0..if dialect == Dialect::Kong { 10_000 } else { 1_000u32 } {
            let made_up = match n % 2 {
                0 => format!("made-up-{n}"),
                _ => format!("{forged}.{}", segment(&[&n.to_le_bytes()[..], &[1; 60]].concat())),
            };
            let status = world.revoke((n % 2) as usize, START, &format!("token={made_up}"));
            assert!(status == 200 || n % 2 == 1, "opaque ones take no room");
        }
        // Neither those from before nor those from after are lost, whoever asks; and a stranger's
        // share isn't the next one's.
        for n in 10..20 {
            assert_eq!(world.revoke(1, START, &format!("token={}", first(n))), 200);
        }
        for n in 0..20 {
            assert_eq!(
                world.granted(1, START, "secret", &scope(n), &[], Some("fresh")),
                Ok("fresh".to_owned())
            );
            if n % 2 == 1 {
                assert_eq!(world.bearer(0, START, &first(n)), 401);
            }
        }
        *world.shared.address.borrow_mut() = "198.51.100.7:4711".to_owned();
        let elsewhere = Key::new(9, "unknown");
        for n in 0..20 {
            assert_eq!(
                world.revoke(
                    0,
                    START,
                    &format!("token={}", elsewhere.token(&own(&format!("e{n}"), 1)))
                ),
                200
            );
        }
        assert_eq!(world.bearer(0, START, &key.token(&own("good", 1))), 200);
    }
}

mod handed_out;
