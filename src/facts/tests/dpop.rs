//! A token that is bound to a key, with proofs of that key and without: what a thief can try.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use crate::digest::sha256;
use crate::exchange::{Effect, Finish};
use crate::metrics::Metric;
use crate::proof::ProofKey;
use crate::reply::{Answer, Reason};
use crate::time::Time;
use crate::world::*;

/// A client with a key of its own.
pub(super) struct Client(SigningKey);

impl Client {
    pub(super) fn new(number: u8) -> Client {
        Client(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "x": text(point.x().unwrap()), "y": text(point.y().unwrap()) })
    }

    pub(super) fn jkt(&self) -> String {
        URL_SAFE_NO_PAD
            .encode(ProofKey::read(self.jwk().as_object().unwrap()).unwrap().thumbprint())
    }

    /// A token that is bound to its key.
    pub(super) fn token(&self) -> String {
        let mut claims = claims("token");
        claims["cnf"] = json!({ "jkt": self.jkt() });
        hmac(SECRET, &claims)
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", segment(header), segment(claims));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// A proof for GET /orders, with these members beside or in place of the usual ones.
    pub(super) fn proof(&self, token: &str, jti: &str, more: Value) -> String {
        let mut claims = json!({ "jti": jti, "htm": "GET", "htu": "https://api.example/orders",
            "iat": START.s(), "ath": URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())) });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.sign(&json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() }), &claims)
    }
}

pub(super) fn with_dpop(more: Value) -> Value {
    let mut issuer = with_secret();
    issuer["dpop"] = json!({ "origins": ["https://api.example"], "algorithms": ["ES256"] });
    issuer["dpop"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document(issuer, json!({}))
}

/// What becomes of a request with these headers: nothing if it is admitted.
pub(super) fn send(
    world: &World,
    worker: usize,
    now: Time,
    line: (&str, &str),
    headers: &[(&str, &str)],
) -> Result<Vec<(String, String)>, (Reason, Answer)> {
    let before = world.counted().len();
    match world.send(worker, now, request(line.0, line.1, headers)) {
        Effect::Finish(Finish::Admit(changes)) => Ok(changes.edits().response.clone()),
        Effect::Finish(Finish::Answer(answer)) => {
            let rejected =
                world.counted().into_iter().skip(before).find_map(|metric| match metric {
                    Metric::Rejected(reason) => Some(reason),
                    _ => None,
                });
            Err((rejected.expect("a refusal is counted"), answer))
        }
        _ => panic!("not decided"),
    }
}

fn get(world: &World, headers: &[(&str, &str)]) -> Result<(), Reason> {
    send(world, 0, START, ("GET", "/orders"), headers).map(drop).map_err(|(reason, _)| reason)
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_proof_admits_once_per_jti_on_all_workers() {
    let world = World::new(&with_dpop(json!({})));
    let client = Client::new(1);
    let token = client.token();
    let bound = format!("DPoP {token}");
    for (worker, jti) in [(0, "1"), (1, "2"), (0, "3")] {
        let proof = client.proof(&token, jti, json!({}));
        let headers = [("authorization", bound.as_str()), ("dpop", proof.as_str())];
        assert!(send(&world, worker, START, ("GET", "/orders"), &headers).is_ok());
        for again in [0, 1] {
            let (reason, answer) =
                send(&world, again, START, ("GET", "/orders"), &headers).unwrap_err();
            assert_eq!((reason, answer.status), (Reason::Replayed, 401));
            assert!(
                header(&answer, "www-authenticate")
                    .unwrap()
                    .starts_with("DPoP algs=\"ES256\", error=\"invalid_dpop_proof\"")
            );
        }
    }
    // In any case of the scheme's letters; the header's name too.
    let proof = client.proof(&token, "4", json!({}));
    let any_case = format!("dpop {token}");
    assert_eq!(get(&world, &[("authorization", &any_case), ("DPoP", &proof)]), Ok(()));
}

/// Each way in which a stolen token could be used without its key.
#[test]
fn a_stolen_token_is_good_for_nothing() {
    let world = World::new(&with_dpop(json!({})));
    let (client, thief) = (Client::new(1), Client::new(2));
    let (token, other) = (client.token(), thief.token());
    let unbound = hmac(SECRET, &claims("unbound"));
    let (dpop, bearer) = (format!("DPoP {token}"), format!("Bearer {token}"));
    let with = |more: Value| client.proof(&token, "x", more);
    let now = START.s();
    let good = with(json!({}));
    type Try = (&'static str, Vec<(&'static str, String)>, Reason);
    let tries: Vec<Try> = vec![
        ("as a bearer token", vec![("authorization", bearer.clone())], Reason::Bound),
        (
            "as a bearer token beside a proof",
            vec![("authorization", bearer.clone()), ("dpop", good.clone())],
            Reason::Bound,
        ),
        ("without a proof", vec![("authorization", dpop.clone())], Reason::Proof),
        (
            "with an empty proof",
            vec![("authorization", dpop.clone()), ("dpop", String::new())],
            Reason::Proof,
        ),
        (
            "with the thief's key",
            vec![("authorization", dpop.clone()), ("dpop", thief.proof(&token, "x", json!({})))],
            Reason::Bound,
        ),
        (
            "with the client's key over the thief's signature",
            vec![
                ("authorization", dpop.clone()),
                ("dpop", {
                    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": client.jwk() });
                    thief.sign(&header, &json!({ "jti": "x", "htm": "GET", "htu": "https://api.example/orders", "iat": now, "ath": URL_SAFE_NO_PAD.encode(sha256(token.as_bytes())) }))
                }),
            ],
            Reason::Proof,
        ),
        (
            "with a proof of long ago",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "iat": now - 61 })))],
            Reason::Proof,
        ),
        (
            "with one of a later day",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "iat": now + 61 })))],
            Reason::Proof,
        ),
        (
            "with one for another method",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "htm": "POST" })))],
            Reason::Proof,
        ),
        (
            "with one for another path",
            vec![
                ("authorization", dpop.clone()),
                ("dpop", with(json!({ "htu": "https://api.example/" }))),
            ],
            Reason::Proof,
        ),
        (
            "with one for another origin and its Host",
            vec![
                ("authorization", dpop.clone()),
                ("host", "evil.example".to_owned()),
                ("dpop", with(json!({ "htu": "https://evil.example/orders" }))),
            ],
            Reason::Proof,
        ),
        (
            "with one for another scheme",
            vec![
                ("authorization", dpop.clone()),
                ("dpop", with(json!({ "htu": "http://api.example/orders" }))),
            ],
            Reason::Proof,
        ),
        (
            "with one for another token",
            vec![("authorization", dpop.clone()), ("dpop", client.proof(&unbound, "x", json!({})))],
            Reason::Proof,
        ),
        (
            "with one without ath, as for the token endpoint",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "ath": null })))],
            Reason::Proof,
        ),
        (
            "with one without jti",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "jti": null })))],
            Reason::Proof,
        ),
        (
            "with one without iat",
            vec![("authorization", dpop.clone()), ("dpop", with(json!({ "iat": null })))],
            Reason::Proof,
        ),
        (
            "with two proofs",
            vec![("authorization", dpop.clone()), ("dpop", good.clone()), ("dpop", good.clone())],
            Reason::Proof,
        ),
        (
            "with two proofs, joined",
            vec![("authorization", dpop.clone()), ("dpop", format!("{good}, {good}"))],
            Reason::Proof,
        ),
        (
            "with an unsigned proof",
            vec![
                ("authorization", dpop.clone()),
                ("dpop", {
                    let (signed, _) = good.rsplit_once('.').unwrap();
                    format!("{signed}.")
                }),
            ],
            Reason::Proof,
        ),
        (
            "with the token as its own proof",
            vec![("authorization", dpop.clone()), ("dpop", token.clone())],
            Reason::Proof,
        ),
        (
            "as two credentials",
            vec![
                ("authorization", dpop.clone()),
                ("authorization", bearer.clone()),
                ("dpop", good.clone()),
            ],
            Reason::TwoTokens,
        ),
        (
            "as two credentials in one field",
            vec![("authorization", format!("{dpop}, Bearer {token}")), ("dpop", good.clone())],
            Reason::TwoTokens,
        ),
        (
            "as two credentials in one field, turned",
            vec![("authorization", format!("Basic eA==, {dpop}")), ("dpop", good.clone())],
            Reason::TwoTokens,
        ),
        (
            "an unbound one as DPoP",
            vec![
                ("authorization", format!("DPoP {unbound}")),
                ("dpop", client.proof(&unbound, "x", json!({}))),
            ],
            Reason::Bound,
        ),
        (
            "the thief's own token with the client's proof",
            vec![("authorization", format!("DPoP {other}")), ("dpop", good.clone())],
            Reason::Bound,
        ),
    ];
    for (what, headers, expected) in &tries {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(get(&world, &headers), Err(*expected), "{what}");
    }
    // Nothing of that was remembered: the client's own proof is good, on another request it isn't.
    for line in [("POST", "/orders"), ("GET", "/orders/1"), ("GET", "/Orders"), ("HEAD", "/orders")]
    {
        let refused = send(&world, 0, START, line, &[("authorization", &dpop), ("dpop", &good)]);
        assert_eq!(refused.unwrap_err().0, Reason::Proof, "{line:?}");
    }
    let with_query = send(
        &world,
        0,
        START,
        ("GET", "/orders?a=b"),
        &[("authorization", &dpop), ("dpop", &good)],
    );
    assert!(with_query.is_ok(), "a query is no part of htu");
    // And an unbound token is good as a bearer token still.
    assert_eq!(get(&world, &[("authorization", &format!("Bearer {unbound}"))]), Ok(()));
}

#[test]
fn a_scheme_and_its_challenge() {
    let world = World::new(&with_dpop(json!({ "algorithms": ["ES256", "Ed25519"] })));
    let client = Client::new(1);
    let token = client.token();
    let challenge = |headers: &[(&str, &str)]| {
        let (reason, answer) = send(&world, 0, START, ("GET", "/orders"), headers).unwrap_err();
        (
            reason,
            header(&answer, "www-authenticate").unwrap_or_default().to_owned(),
            String::from_utf8(answer.body).unwrap(),
        )
    };
    let (reason, both, _) = challenge(&[]);
    assert_eq!(reason, Reason::NoToken);
    assert_eq!(both, r#"Bearer realm="api", DPoP algs="ES256 Ed25519""#);
    let (_, said, body) = challenge(&[("authorization", &format!("DPoP {token}")), ("dpop", "x")]);
    assert!(said.starts_with(
        r#"DPoP algs="ES256 Ed25519", error="invalid_dpop_proof", error_description=""#
    ));
    assert!(body.contains(r#""error":"invalid_dpop_proof""#), "{body}");
    let (_, said, _) = challenge(&[("authorization", &format!("Bearer {token}"))]);
    assert!(said.starts_with(r#"DPoP algs="ES256 Ed25519", error="invalid_token""#), "{said}");
    let (_, said, _) = challenge(&[("authorization", &format!("DPoP {}", forged(&token)))]);
    assert!(said.starts_with(r#"DPoP algs="ES256 Ed25519", error="invalid_token""#), "{said}");
    let (_, said, _) = challenge(&[("authorization", "Bearer x")]);
    assert!(said.starts_with("Bearer realm="), "{said}");

    // A rule that admits none of its issuers doesn't offer the scheme.
    let mut config = with_dpop(json!({}));
    let mut other = with_secret();
    (other["name"], other["issuer"]) = (json!("other"), json!("https://other.example"));
    config["issuers"].as_array_mut().unwrap().push(other);
    config["rules"] = json!([{ "match": { "path": "/orders" }, "issuers": ["other"] }]);
    let elsewhere = World::new(&config);
    let refused = |headers: &[(&str, &str)]| {
        let (_, answer) = send(&elsewhere, 0, START, ("GET", "/orders"), headers).unwrap_err();
        header(&answer, "www-authenticate").unwrap().to_owned()
    };
    assert_eq!(refused(&[]), r#"Bearer realm="api""#);
    let bad = refused(&[("authorization", &format!("DPoP {token}")), ("dpop", "x")]);
    assert!(bad.starts_with(r#"DPoP algs="ES256", error="invalid_dpop_proof""#), "{bad}");

    let required = World::new(&with_dpop(json!({ "required": true })));
    let (_, answer) = send(&required, 0, START, ("GET", "/orders"), &[]).unwrap_err();
    assert_eq!(header(&answer, "www-authenticate"), Some(r#"DPoP algs="ES256""#));
    let unbound = format!("Bearer {}", hmac(SECRET, &claims("u")));
    for _ in 0..2 {
        assert_eq!(get(&required, &[("authorization", &unbound)]), Err(Reason::Bound));
    }
    // Where no issuer takes proofs the scheme is none of ours, as before.
    let plain = World::new(&document(with_secret(), json!({})));
    assert_eq!(get(&plain, &[("authorization", &format!("DPoP {token}"))]), Err(Reason::NoToken));
    assert_eq!(get(&plain, &[("authorization", &format!("Bearer {token}"))]), Err(Reason::Bound));
}

#[test]
fn nonces_come_with_refusals_and_with_good_answers_when_they_are_new() {
    let world = World::new(&with_dpop(json!({ "nonce": true })));
    let client = Client::new(1);
    let token = client.token();
    let bound = format!("DPoP {token}");
    let try_with = |worker: usize, now: Time, jti: &str, nonce: Option<&str>| {
        let more = json!({ "iat": now.s(), "nonce": nonce });
        let proof = client.proof(&token, jti, more);
        send(
            &world,
            worker,
            now,
            ("GET", "/orders"),
            &[("authorization", &bound), ("dpop", &proof)],
        )
    };
    let (reason, answer) = try_with(0, START, "1", None).unwrap_err();
    assert_eq!((reason, answer.status), (Reason::Nonce, 401));
    assert!(header(&answer, "www-authenticate").unwrap().contains(r#"error="use_dpop_nonce""#));
    assert_eq!(
        header(&answer, "access-control-expose-headers"),
        Some("DPoP-Nonce, WWW-Authenticate")
    );
    let nonce = header(&answer, "dpop-nonce").unwrap().to_owned();
    // Good on every worker, and nothing new is given.
    assert_eq!(try_with(1, START.plus_s(1), "2", Some(&nonce)), Ok(vec![]));
    assert_eq!(try_with(1, START.plus_s(1), "2", Some(&nonce)).unwrap_err().0, Reason::Replayed);
    // In the next window it is good still, and the answer has the next one.
    let answer = try_with(0, START.plus_s(61), "3", Some(&nonce)).unwrap();
    let [(name, newer)] = answer.as_slice() else { panic!("{answer:?}") };
    assert_eq!(name, "dpop-nonce");
    assert_ne!(*newer, nonce);
    assert_eq!(try_with(0, START.plus_s(61), "4", Some(newer)), Ok(vec![]));
    assert_eq!(try_with(0, START.plus_s(130), "5", Some(&nonce)).unwrap_err().0, Reason::Nonce);
    assert_eq!(try_with(0, START.plus_s(61), "6", Some("made-up")).unwrap_err().0, Reason::Nonce);
}

/// The order of RFC 9449, section 4.3, matters for what is spent: a refused request spends nothing.
#[test]
fn what_another_check_refuses_spends_no_proof() {
    let mut config = with_dpop(json!({}));
    config["rules"] = json!([
        { "match": { "path": "/orders" }, "issuers": ["idp"], "limits": ["one"] },
    ]);
    config["rate_limits"] =
        json!([{ "name": "one", "key": ["subject"], "limit": 1, "per_s": 10, "burst": 1 }]);
    let world = World::new(&config);
    let client = Client::new(1);
    let token = client.token();
    let bound = format!("DPoP {token}");
    let proofs: Vec<String> =
        ["1", "2"].iter().map(|jti| client.proof(&token, jti, json!({}))).collect();
    let at = |s, proof: &String| {
        let headers = [("authorization", bound.as_str()), ("dpop", proof.as_str())];
        send(&world, 0, START.plus_s(s), ("GET", "/orders"), &headers).map_err(|(reason, _)| reason)
    };
    assert!(at(0, &proofs[0]).is_ok());
    assert_eq!(at(0, &proofs[1]).unwrap_err(), Reason::Limited);
    assert!(at(11, &proofs[1]).is_ok(), "it wasn't spent by the refusal");
}
