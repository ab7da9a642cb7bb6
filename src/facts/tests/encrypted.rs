//! Encrypted tokens: who opens them, what is inside, and what is kept of them.

use serde_json::{Value, json};

use crate::config::{Config, HostKind};
use crate::exchange::{Effect, Finish};
use crate::jwe::tests::{private_jwk, sealed, secret_jwk};
use crate::metrics::{Metric, NotDecrypted};
use crate::reply::Reason;
use crate::world::*;

mod anyone;

const DENIED: Outcome = Outcome::Refused(Reason::Decryption);

fn issuer(encrypted: &str) -> Value {
    let mut issuer = fetched();
    issuer["encrypted"] = json!(encrypted);
    issuer
}

fn decryption_key(jwk: Value, issuers: &[&str], alg: &str, enc: &str) -> Value {
    json!({ "jwk": jwk, "issuers": issuers, "algorithms": [alg], "encryptions": [enc] })
}

/// One issuer, to whose key on P-256 anyone can encrypt.
fn agreed(encrypted: &str) -> Value {
    let key = decryption_key(private_jwk("P-256", "enc"), &["idp"], "ECDH-ES+A256KW", "A256GCM");
    document(issuer(encrypted), json!({ "decryption": { "keys": [key] } }))
}

/// One issuer with a shared secret.
fn shared(encrypted: &str) -> Value {
    let key = decryption_key(secret_jwk(32, 5, "enc"), &["idp"], "dir", "A256GCM");
    document(issuer(encrypted), json!({ "decryption": { "keys": [key] } }))
}

fn wrapped(token: impl AsRef<[u8]>) -> String {
    let more = json!({ "kid": "enc", "cty": "JWT" });
    sealed("ECDH-ES+A256KW", "A256GCM", &private_jwk("P-256", "enc"), more, token.as_ref())
}

fn direct(more: Value, plaintext: impl AsRef<[u8]>) -> String {
    sealed("dir", "A256GCM", &secret_jwk(32, 5, "enc"), more, plaintext.as_ref())
}

fn world(document: &Value) -> (World, Key) {
    let (world, key) = (World::new(document), Key::new(1));
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    (world, key)
}

fn load(document: &Value) -> Result<Config, String> {
    Config::load(document.to_string().as_bytes(), &|_| None, HostKind::Envoy)
        .map_err(|errors| errors.to_string())
}

#[test]
fn a_signed_token_inside_is_read_as_any_other() {
    let (world, key) = world(&agreed("allow"));
    let token = wrapped(key.token("k", &claims("1")));
    for worker in [0, 1, 0, 1] {
        let bearer = format!("Bearer {token}");
        let effect = world.send(worker, START, request("GET", "/o", &[("authorization", &bearer)]));
        let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("worker {worker}") };
        assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "alice")]);
    }
    let counted = [Metric::Verified, Metric::L2Hit, Metric::L1Hit].map(|one| world.count(one));
    assert_eq!(counted, [1, 1, 2], "the second worker opens it, and spares the signature");
    // The first is opened anew after each fact that it waits for; no hit opens anything.
    let before = world.count(Metric::Decrypted);
    for worker in [0, 1] {
        assert_eq!(world.ask(worker, START, &token), Outcome::Admitted);
    }
    assert_eq!((before, world.count(Metric::Decrypted)), (4, 4));
    let outcome = world.ask(0, START.plus_s(600), &token);
    assert_eq!(outcome, Outcome::Refused(Reason::Expired));
    assert_eq!(world.ask(0, START, &key.token("k", &claims("2"))), Outcome::Admitted, "plain too");
    // What servers say of what is inside (RFC 9068's type too), or nothing; another word is none.
    for (cty, outcome) in [
        (json!({}), Outcome::Admitted),
        (json!({ "cty": "jwt" }), Outcome::Admitted),
        (json!({ "cty": "at+jwt" }), Outcome::Admitted),
        (json!({ "cty": "application/at+JWT" }), Outcome::Admitted),
        (json!({ "cty": "" }), DENIED),
        (json!({ "cty": "text/plain" }), DENIED),
        (json!({ "cty": "example;part=\"jwt\"" }), DENIED),
    ] {
        let inside = key.token("k", &claims("3"));
        let jwk = private_jwk("P-256", "enc");
        let token = sealed("ECDH-ES+A256KW", "A256GCM", &jwk, cty.clone(), inside.as_bytes());
        assert_eq!(world.ask(0, START, &token), outcome, "{cty}");
    }
}

#[test]
fn what_anyone_can_encrypt_is_never_a_yes_by_itself() {
    for policy in ["allow", "require"] {
        let (world, key) = world(&agreed(policy));
        let (good, other) = (key.token("k", &claims("1")), Key::new(2));
        assert_eq!(world.ask(0, START, &wrapped(&good)), Outcome::Admitted);
        for (inside, outcome) in [
            (claims("1").to_string(), DENIED),
            (format!(" {}", claims("1")), DENIED),
            (other.token("k", &claims("1")), Outcome::Refused(Reason::BadSignature)),
            (forged(&good), Outcome::Refused(Reason::BadSignature)),
            (wrapped(&good), DENIED),
            (wrapped(wrapped(&good)), DENIED),
            ("eyJhbGciOiJub25lIn0.e30.".to_owned(), Outcome::Refused(Reason::Algorithm)),
            (String::new(), DENIED),
            ("opaque".to_owned(), DENIED),
            (format!("{good}."), DENIED),
        ] {
            for worker in [0, 1] {
                assert_eq!(world.ask(worker, START, &wrapped(&inside)), outcome, "{inside}");
            }
        }
    }
    // And a configuration in which it would be one isn't taken.
    let error = load(&agreed("authenticates")).err().unwrap();
    assert!(
        error.contains("decryption.keys[0].algorithms: expected dir, A128KW or A256KW"),
        "{error}"
    );
}

#[test]
fn the_issuer_says_whether_its_tokens_are_encrypted() {
    for (policy, plain, encrypted) in [
        ("refuse", Outcome::Admitted, DENIED),
        ("allow", Outcome::Admitted, Outcome::Admitted),
        ("require", DENIED, Outcome::Admitted),
    ] {
        let (world, key) = world(&agreed(policy));
        for (worker, jti) in [(0, "1"), (1, "1"), (0, "1"), (1, "2")] {
            let token = key.token("k", &claims(jti));
            assert_eq!(world.ask(worker, START, &token), plain, "{policy}");
            assert_eq!(world.ask(worker, START, &wrapped(&token)), encrypted, "{policy}");
        }
    }
    // Without a word of encryption nothing is opened, and nobody is asked about it.
    let (world, key) = world(&document(fetched(), json!({})));
    assert_eq!(world.ask(0, START, &wrapped(key.token("k", &claims("1")))), DENIED);
    assert_eq!(world.count(Metric::NotDecrypted(NotDecrypted::NoKey)), 1);
}

#[test]
fn a_key_opens_tokens_of_its_own_issuers_alone() {
    let mut other = issuer("allow");
    (other["name"], other["issuer"]) = (json!("other"), json!("https://other.example"));
    let keys = json!([
        decryption_key(private_jwk("P-256", "enc"), &["idp"], "ECDH-ES+A256KW", "A256GCM"),
        decryption_key(private_jwk("P-384", "other"), &["other"], "ECDH-ES+A256KW", "A256GCM"),
    ]);
    let mut document = document(issuer("allow"), json!({ "decryption": { "keys": keys } }));
    document["issuers"].as_array_mut().unwrap().push(other);
    let (world, key) = world(&document);
    let good = key.token("k", &claims("1"));
    let under = |crv: &str, kid: &str, jwk_kid: &str| {
        let more = json!({ "kid": kid });
        sealed("ECDH-ES+A256KW", "A256GCM", &private_jwk(crv, jwk_kid), more, good.as_bytes())
    };
    assert_eq!(world.ask(0, START, &under("P-256", "enc", "enc")), Outcome::Admitted);
    // Stolen, and encrypted anew for the other's key; under the name of the other's key.
    for token in [under("P-384", "other", "other"), under("P-256", "other", "enc")] {
        for worker in [0, 1] {
            assert_eq!(world.ask(worker, START, &token), DENIED);
        }
    }
    assert_eq!(world.count(Metric::NotDecrypted(NotDecrypted::Issuer)), 2);
    // An issuer that nobody knows is no other filter's affair.
    let mut unknown = claims("1");
    unknown["iss"] = json!("https://unknown.example");
    assert_eq!(world.ask(0, START, &wrapped(key.token("k", &unknown))), DENIED);
}

#[test]
fn a_shared_secret_vouches_where_its_issuer_says_so() {
    let (world, key) = world(&shared("authenticates"));
    let bare = |more: Value| direct(more, claims("1").to_string());
    for worker in [0, 1, 0, 1] {
        assert_eq!(world.ask(worker, START, &bare(json!({}))), Outcome::Admitted);
    }
    assert_eq!((world.asked("keys"), world.count(Metric::L1Hit)), (0, 2), "no key is needed");
    let later = world.ask(0, START.plus_s(600), &bare(json!({})));
    assert_eq!(later, Outcome::Refused(Reason::Expired));
    let signed = direct(json!({ "cty": "JWT" }), key.token("k", &claims("2")));
    assert_eq!(world.ask(0, START, &signed), Outcome::Admitted, "a signature does no harm");
    let outcome = |claim: &str, value: Value| {
        let mut other = claims("1");
        other[claim] = value;
        world.ask(0, START, &direct(json!({}), other.to_string()))
    };
    assert_eq!(outcome("aud", json!("b")), Outcome::Refused(Reason::WrongAudience));
    assert_eq!(outcome("iss", json!("https://other.example")), DENIED);
    assert_eq!(outcome("cnf", json!({ "jkt": "x" })), Outcome::Refused(Reason::Bound));
    assert_eq!(outcome("events", json!({ "https://e": {} })), Outcome::Refused(Reason::WrongType));
    assert_eq!(
        world.ask(0, START, &bare(json!({ "typ": "logout+jwt" }))),
        Outcome::Refused(Reason::WrongType)
    );
    // Said to be a token, or something else; and claims that are none.
    for token in [
        bare(json!({ "cty": "JWT" })),
        bare(json!({ "cty": "text" })),
        direct(json!({}), r#"{"iss":"https://idp.example","iss":"https://idp.example"}"#),
        direct(json!({}), "[]"),
        direct(json!({ "iss": "https://other.example" }), claims("1").to_string()),
    ] {
        assert_eq!(world.ask(0, START, &token), DENIED, "{token}");
    }
    assert_eq!(world.ask(0, START, &bare(json!({ "iss": ISSUER, "aud": "a" }))), Outcome::Admitted);
    for policy in ["allow", "require", "refuse"] {
        let (world, _) = self::world(&shared(policy));
        assert_eq!(world.ask(0, START, &bare(json!({}))), DENIED, "{policy}");
    }
}

#[test]
fn where_a_secret_alone_vouches_nothing_else_is_needed() {
    let mut document = shared("authenticates");
    let of = document["issuers"][0].as_object_mut().unwrap();
    for name in ["jwks_uri", "cluster", "algorithms"] {
        of.remove(name);
    }
    let (world, key) = world(&document);
    let token = direct(json!({}), claims("1").to_string());
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    let plain = key.token("k", &claims("1"));
    assert_eq!(world.ask(0, START, &plain), Outcome::Refused(Reason::Algorithm));
}

#[test]
fn one_token_takes_one_place_however_often_it_is_wrapped() {
    let mut document = agreed("allow");
    document["memory"] = json!({ "tokens_max": 8 });
    let (world, key) = world(&document);
    let good: Vec<String> = (0..4).map(|n| key.fresh("k", n)).collect();
    let mut document_aud = document.clone();
    document_aud["issuers"][0].as_object_mut().unwrap().remove("audiences");
    let world = {
        drop(world);
        self::world(&document_aud).0
    };
    for token in &good {
        assert_eq!(world.ask(0, START, token), Outcome::Admitted);
    }
    let mine = key.fresh("k", 99);
    for n in 0..40 {
        let more = json!({ "kid": "enc", "apu": n.to_string().repeat(4) });
        let jwk = private_jwk("P-256", "enc");
        let mut more = more;
        more.as_object_mut().unwrap().remove("apu");
        more["n"] = json!(n);
        let token = sealed("ECDH-ES+A256KW", "A256GCM", &jwk, more, mine.as_bytes());
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    }
    let before = world.count(Metric::L1Hit);
    for token in &good {
        assert_eq!(world.ask(0, START, token), Outcome::Admitted);
    }
    assert_eq!(world.count(Metric::L1Hit) - before, 4, "nobody was pushed out");
    assert_eq!(world.count(Metric::Verified), 5, "nor were there new places in shared memory");
}

#[test]
fn a_revoked_token_is_revoked_however_it_is_wrapped() {
    for kid in ["k", "gone"] {
        // The second one's keys aren't known: it is revoked by its bytes.
        let (world, key) = world(&agreed("allow"));
        let plain = key.token(kid, &claims("1"));
        let again = {
            let more = json!({ "kid": "enc", "n": 1 });
            let jwk = private_jwk("P-256", "enc");
            sealed("ECDH-ES+A256KW", "A256GCM", &jwk, more, plain.as_bytes())
        };
        let revoked = wrapped(&plain);
        world.with(0, START, |facts| assert!(facts.revoke_token(revoked.as_bytes())));
        world.serve("keys", 200, jwks(&[key.jwk(kid)]));
        for worker in [0, 1] {
            for token in [&revoked, &again, &plain] {
                let outcome = world.ask(worker, START, token);
                assert_eq!(outcome, Outcome::Refused(Reason::Revoked), "{kid}");
            }
        }
    }
    let (world, _) = world(&shared("authenticates"));
    let (token, other) = (
        direct(json!({}), claims("1").to_string()),
        direct(json!({ "n": 1 }), claims("1").to_string()),
    );
    assert_eq!(world.ask(0, START, &other), Outcome::Admitted);
    world.with(0, START, |facts| assert!(facts.revoke_token(token.as_bytes())));
    for worker in [0, 1] {
        for token in [&token, &other] {
            assert_eq!(world.ask(worker, START, token), Outcome::Refused(Reason::Revoked));
        }
    }
}

#[test]
fn with_the_key_go_the_tokens_that_it_opened() {
    let (mut world, key) = world(&agreed("allow"));
    let token = wrapped(key.token("k", &claims("1")));
    assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    let mut rotated = agreed("allow");
    rotated["decryption"]["keys"][0]["jwk"] = private_jwk("P-384", "enc");
    world.add_worker(&rotated);
    // Another key of the same name, though shared memory knows the token inside.
    assert_eq!(world.ask(2, START, &token), DENIED);
    let both = decryption_key(private_jwk("P-256", "enc"), &["idp"], "ECDH-ES+A256KW", "A256GCM");
    rotated["decryption"]["keys"].as_array_mut().unwrap().push(both);
    world.add_worker(&rotated);
    assert_eq!(world.ask(3, START, &token), Outcome::Admitted);
}

#[test]
fn what_counts_once_counts_by_what_is_inside() {
    let mut document = agreed("allow");
    document["replay"] = json!({ "issuers": ["idp"] });
    let world = World::of_workers(
        crate::simulation::host::Dialect::Envoy,
        (0..2).map(|_| runtime(&document).begun(Some(START))).collect(),
    );
    let key = Key::new(1);
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    let plain = key.token("k", &claims("1"));
    assert_eq!(world.ask(0, START, &wrapped(&plain)), Outcome::Admitted);
    for token in [wrapped(&plain), plain] {
        assert_eq!(world.ask(1, START, &token), Outcome::Refused(Reason::Replayed));
    }
}

#[test]
fn what_contradicts_itself_is_not_loaded() {
    let secret = secret_jwk(32, 5, "enc");
    let mut two = document(issuer("authenticates"), json!({}));
    let mut other = issuer("allow");
    (other["name"], other["issuer"]) = (json!("other"), json!("https://other.example"));
    two["issuers"].as_array_mut().unwrap().push(other);
    let with = |document: &Value, keys: Value| {
        let mut document = document.clone();
        document["decryption"] = json!({ "keys": keys });
        document
    };
    let key = |issuers: &[&str]| decryption_key(secret.clone(), issuers, "dir", "A256GCM");
    let mut opaque = shared("allow");
    opaque["issuers"][0] = json!({ "name": "idp", "issuer": ISSUER, "tokens": "opaque", "encrypted": "allow",
        "introspection": { "uri": "https://idp.example/i", "cluster": "c" } });
    let mut no_algorithms = shared("allow");
    no_algorithms["decryption"]["keys"][0].as_object_mut().unwrap().remove("algorithms");
    let mut rsa = agreed("allow");
    let of_rsa = decryption_key(private_jwk("RSA", "enc"), &["idp"], "RSA-OAEP-256", "A256GCM");
    rsa["decryption"]["keys"][0] = of_rsa;
    let mut rsa_by_jwk = rsa.clone();
    rsa_by_jwk["decryption"]["keys"][0]["jwk"]["alg"] = json!("RSA-OAEP-256");
    rsa_by_jwk["decryption"]["keys"][0].as_object_mut().unwrap().remove("algorithms");
    let mut public = agreed("allow");
    public["decryption"]["keys"][0]["jwk"].as_object_mut().unwrap().remove("d");
    let mut repeated = agreed("allow").to_string();
    repeated = repeated.replace(r#""crv":"P-256""#, r#""crv":"P-256","crv":"P-256""#);
    for (document, says) in [
        (
            document(issuer("allow"), json!({})).to_string(),
            "issuers[0].encrypted: expected a key in decryption.keys that names the issuer idp, got none",
        ),
        (
            with(&two, json!([key(&["idp", "other"])])).to_string(),
            "decryption.keys[0].issuers: expected a secret that is this issuer's alone",
        ),
        (
            with(&two, json!([key(&["idp"]), key(&["other"])])).to_string(),
            "decryption.keys[1].jwk: expected a secret that is this issuer's alone",
        ),
        (
            with(&shared("allow"), json!([key(&["idq"])])).to_string(),
            "decryption.keys[0].issuers[0]: expected the name of an issuer",
        ),
        (
            opaque.to_string(),
            "issuers[0].encrypted: expected no such field beside tokens: \"opaque\"",
        ),
        (opaque.to_string(), "whose tokens are opaque"),
        (
            no_algorithms.to_string(),
            "decryption.keys[0].algorithms: expected a list of 1 to 7, got nothing",
        ),
        (rsa.to_string(), "set allow_rsa_oaep to true"),
        (rsa_by_jwk.to_string(), "set allow_rsa_oaep to true"),
        (public.to_string(), "decryption.keys[0].jwk: expected a private key, got a public one"),
        (repeated, "decryption.keys[0].jwk: expected a JWK"),
        (shared("maybe").to_string(), "issuers[0].encrypted: expected one of"),
    ] {
        let errors = Config::load(document.as_bytes(), &|_| None, HostKind::Envoy).err();
        let errors = errors.unwrap_or_else(|| panic!("loads: {says}")).to_string();
        assert!(errors.contains(says), "{errors}\n{says}");
        for part in ["r_kHyZ", "BQUF"] {
            assert!(!errors.contains(part), "{errors}");
        }
    }
    // The key as text, and from the environment.
    let mut text = shared("allow");
    text["decryption"]["keys"][0]["jwk"] = json!(secret.to_string());
    assert!(load(&text).is_ok());
    text["decryption"]["keys"][0]["jwk"] = json!({ "env": "JWK" });
    let env = |name: &str| (name == "JWK").then(|| secret.to_string());
    let config = Config::load(text.to_string().as_bytes(), &env, HostKind::Envoy).ok().unwrap();
    assert!(
        config.warnings.iter().all(|warning| !warning.contains("written in the document")
            || !warning.contains("decryption")),
        "{:?}",
        config.warnings
    );
    let refused = load(&shared("refuse")).ok().unwrap();
    assert!(refused.warnings.iter().any(|one| one.contains("takes no encrypted tokens")));
}
