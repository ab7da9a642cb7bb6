//! Tokens that are bound to a key: without its proof they are good nowhere, however they are known.

use serde_json::{Value, json};

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::world::*;

const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn bound(cnf: Value) -> String {
    let mut claims = claims("1");
    claims["cnf"] = cnf;
    hmac(SECRET, &claims)
}

fn issuer(cnf: &str) -> Value {
    let mut issuer = with_secret();
    issuer["cnf"] = json!(cnf);
    issuer
}

#[test]
fn a_bound_token_is_refused_the_first_time_and_on_every_hit() {
    for cnf in [json!({ "jkt": JKT }), json!({ "x5t#S256": JKT }), json!({}), json!([]), json!("x")]
    {
        let world = World::new(&document(with_secret(), json!({})));
        let token = bound(cnf.clone());
        for worker in [0, 0, 1, 1] {
            let outcome = world.ask(worker, START, &token);
            assert_eq!(outcome, Outcome::Refused(Reason::Bound), "{cnf} on worker {worker}");
        }
        // Each worker has verified the signature once (of an HMAC nothing is shared), and met the
        // token again.
        let counts = [Metric::Verified, Metric::L2Hit, Metric::L1Hit];
        assert_eq!(counts.map(|metric| world.count(metric)), [2, 0, 2], "{cnf}");
    }
}

#[test]
fn null_is_no_binding() {
    let world = World::new(&document(with_secret(), json!({})));
    assert_eq!(world.ask(0, START, &bound(Value::Null)), Outcome::Admitted);
}

#[test]
fn who_says_so_admits_a_bound_token_and_nobody_else_does() {
    let ignores = document(issuer("ignore"), json!({}));
    let checks = document(issuer("check"), json!({}));
    let world = World::of(&[&ignores, &checks]);
    let token = bound(json!({ "jkt": JKT }));
    for _ in 0..2 {
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
        assert_eq!(world.ask(1, START, &token), Outcome::Refused(Reason::Bound));
    }
}

#[test]
fn a_bound_token_is_refused_before_anyone_is_asked_about_it() {
    let world = World::new(&asking(issuer("check")));
    assert_eq!(world.ask(0, START, &bound(json!({ "jkt": JKT }))), Outcome::Refused(Reason::Bound));
    assert_eq!(world.asked("introspection"), 0);
}

/// RFC 8705, section 3.2, and RFC 9449, section 6.2: the endpoint says what a token is bound to.
#[test]
fn what_introspection_says_it_is_bound_to_holds_on_every_hit() {
    let token = hmac(SECRET, &claims("1"));
    for cnf in [json!({ "jkt": JKT }), json!({ "x5t#S256": JKT }), json!({ "other": 1 }), json!(7)]
    {
        let world = World::new(&asking(issuer("check")));
        world.serve("introspection", 200, json!({ "active": true, "cnf": cnf }));
        for worker in [0, 0, 1, 1] {
            let outcome = world.ask(worker, START, &token);
            assert_eq!(outcome, Outcome::Refused(Reason::Bound), "{cnf} on worker {worker}");
        }
        assert_eq!(world.asked("introspection"), 1);
        let world = World::new(&asking(issuer("ignore")));
        world.serve("introspection", 200, json!({ "active": true, "cnf": cnf }));
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted, "{cnf}");
    }
    let world = World::new(&asking(issuer("check")));
    world.serve("introspection", 200, json!({ "active": true, "cnf": null }));
    assert_eq!([0, 1].map(|worker| world.ask(worker, START, &token)), [Outcome::Admitted; 2]);
}

fn asking(issuer: Value) -> Value {
    let introspection = json!({ "uri": "https://idp.example/introspect", "cluster": "idp" });
    let rules = json!([{ "match": { "path_prefix": "/orders" }, "introspect": true }]);
    document(issuer, json!({ "introspection": introspection, "rules": rules }))
}
