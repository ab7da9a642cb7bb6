//! Verdicts that hang on more than a token: rules, what another plugin has said, limits.

use serde_json::{Value, json};

use crate::exchange::{Effect, Finish};
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::world::*;

/// The status that a request meets; 200 if it goes on.
fn status(world: &World, worker: usize, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    match world.send(worker, START, request(method, path, headers)) {
        Effect::Finish(Finish::Admit(_)) => 200,
        Effect::Finish(Finish::Answer(answer)) => answer.status,
        _ => panic!("not decided"),
    }
}

#[test]
fn a_token_of_another_issuer_passes_where_a_plugin_vouches_and_no_rule_asks() {
    let asks = [
        json!({ "issuers": ["idp"] }),
        json!({ "audiences": ["a"] }),
        json!({ "scopes_all": ["s"] }),
        json!({ "scopes_any": ["s"] }),
        json!({ "claims": { "acr": ["gold"] } }),
        json!({ "acr_values": ["gold"] }),
        json!({ "max_age_s": 60 }),
    ];
    let mut rules = vec![json!({ "match": { "path_prefix": "/orders" } })];
    for (number, mut rule) in asks.into_iter().enumerate() {
        rule["match"] = json!({ "path_prefix": format!("/asks-{number}") });
        rules.push(rule);
    }
    let more = json!({ "on_unknown_issuer": "pass", "then": "another-filter", "kong": { "auth_plugin": true }, "rules": rules });
    let mut without_then = more.clone();
    without_then.as_object_mut().unwrap().remove("then");
    let mut other = claims("1");
    other["iss"] = json!("https://other.example");
    let bearer = format!("Bearer {}", hmac("a secret that is not known here ...", &other));
    let token = [("authorization", bearer.as_str())];
    let world = World::new(&document(with_secret(), more));
    assert_eq!(status(&world, 0, "GET", "/orders", &token), 200);
    assert_eq!(world.count(Metric::PassedOn), 1);
    for number in 0..7 {
        assert_eq!(status(&world, 0, "GET", &format!("/asks-{number}"), &token), 401, "{number}");
    }
    assert_eq!(
        status(&world, 0, "GET", "/orders", &[]),
        401,
        "without a token nobody else is asked"
    );
    assert_eq!(
        status(
            &world,
            0,
            "GET",
            "/orders",
            &[("authorization", &format!("Bearer {}", forged(&hmac(SECRET, &claims("1")))))]
        ),
        401
    );

    let config = crate::config::Config::load(
        document(with_secret(), without_then).to_string().as_bytes(),
        &|_| None,
        crate::config::HostKind::Kong,
    );
    let world = World::with_config(config.unwrap_or_else(|errors| panic!("{errors}")));
    let vouched = ("x-credential-identifier", "key-of-alice");
    for (more, expected) in [
        (vec![], 401),
        (vec![vouched], 200),
        (vec![("x-credential-identifier", "")], 401),
        (vec![vouched, ("x-anonymous-consumer", "true")], 401),
        (vec![vouched, ("x-anonymous-consumer", "")], 200),
    ] {
        assert_eq!(
            status(&world, 0, "GET", "/orders", &[&token[..], &more].concat()),
            expected,
            "{more:?}"
        );
    }
}

fn limited(more: Value) -> World {
    let mut limit = json!({ "name": "three", "key": ["subject"], "limit": 3, "per_s": 3600 });
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let rules = json!([{ "match": { "path_prefix": "/orders" }, "limits": ["three"] }]);
    World::new(&document(with_secret(), json!({ "rate_limits": [limit], "rules": rules })))
}

#[test]
fn over_a_limit_is_over_it_on_both_workers_and_refused_tokens_are_charged_to_none() {
    let world = limited(json!({}));
    let (token, mut other) = (hmac(SECRET, &claims("1")), claims("2"));
    other["sub"] = json!("bob");
    for worker in [0, 1, 0, 1] {
        assert_eq!(
            world.ask(worker, START, &forged(&token)),
            Outcome::Refused(Reason::BadSignature)
        );
    }
    let outcomes: Vec<_> =
        [0, 1, 0, 1, 0].into_iter().map(|worker| world.ask(worker, START, &token)).collect();
    let over = Outcome::Refused(Reason::Limited);
    assert_eq!(outcomes, [Outcome::Admitted, Outcome::Admitted, Outcome::Admitted, over, over]);
    assert_eq!(world.ask(0, START, &hmac(SECRET, &other)), Outcome::Admitted, "of another subject");
    assert_eq!((world.count(Metric::Accepted), world.count(Metric::LimitDenied(0))), (4, 2));
}

#[test]
fn a_count_that_cant_be_kept_refuses_unless_it_says_otherwise() {
    for (mode, outcome) in
        [("deny", Outcome::Refused(Reason::Limited)), ("allow", Outcome::Admitted)]
    {
        let world = limited(json!({ "failure_mode": mode }));
        world.shared.is_full.set(true);
        assert_eq!(world.ask(0, START, &hmac(SECRET, &claims("1"))), outcome, "{mode}");
    }
}

#[test]
fn optional_refuses_a_bad_token_and_public_reads_none() {
    let rules = json!([
        { "match": { "path_prefix": "/optional" }, "access": "optional" },
        { "match": { "path_prefix": "/public" }, "access": "public" },
        { "match": { "path_prefix": "/post", "methods": ["POST"] } },
    ]);
    let world = World::new(&document(with_secret(), json!({ "rules": rules })));
    let token = hmac(SECRET, &claims("1"));
    let (good, bad) = (format!("Bearer {token}"), format!("Bearer {}", forged(&token)));
    let announced = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    for (method, path, headers, expected) in [
        ("GET", "/optional", vec![], 200),
        ("GET", "/optional", vec![("authorization", good.as_str())], 200),
        ("GET", "/optional", vec![("authorization", bad.as_str())], 401),
        ("GET", "/public", vec![("authorization", bad.as_str())], 200),
        ("POST", "/post", vec![], 401),
        ("OPTIONS", "/post", announced.to_vec(), 200),
        ("OPTIONS", "/post", announced[..1].to_vec(), 403),
        ("GET", "/post", announced.to_vec(), 403),
        ("GET", "/post", vec![("authorization", good.as_str())], 403),
    ] {
        for worker in [0, 1] {
            assert_eq!(
                status(&world, worker, method, path, &headers),
                expected,
                "{method} {path} {headers:?}"
            );
        }
    }
}

/// The time goes on while a token is remembered, so each hit asks how old its login is.
#[test]
fn a_login_grows_old_while_its_token_is_remembered() {
    let rules = json!([
        { "match": { "path_prefix": "/pay" }, "scopes_all": ["pay"], "acr_values": ["myACR", "urn:mfa"], "max_age_s": 60 },
        { "match": { "path_prefix": "/" } },
    ]);
    let mut issuer = with_secret();
    issuer["leeway_s"] = json!(5);
    let world = World::new(&document(issuer, json!({ "rules": rules })));
    let bearer = |more: Value| {
        let mut claims = claims("1");
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("Bearer {}", hmac(SECRET, &claims))
    };
    let challenge = |now, token: &str, path| {
        let sent = world.send(0, now, request("GET", path, &[("authorization", token)]));
        match sent {
            Effect::Finish(Finish::Answer(answer)) => {
                let told = answer.headers.into_iter().find(|(name, _)| name == "www-authenticate");
                Some((answer.status, told.map(|(_, value)| value).unwrap_or_default()))
            }
            _ => None,
        }
    };
    let good = bearer(json!({ "scope": "pay", "acr": "urn:mfa", "auth_time": START.s() }));
    for later_s in [0, 64, 65] {
        assert_eq!(challenge(START.plus_s(later_s), &good, "/pay"), None, "{later_s}");
    }
    let login = "error=\"insufficient_user_authentication\", error_description=\"A stronger or more recent authentication is required\"";
    let what = "acr_values=\"myACR urn:mfa\", max_age=\"60\"";
    let refused = Some((401, format!("Bearer realm=\"api\", {login}, {what}")));
    assert_eq!(challenge(START.plus_s(66), &good, "/pay"), refused);
    assert_eq!(challenge(START.plus_s(66), &good, "/other"), None);
    assert_eq!(challenge(START, &good, "/pay"), None, "it isn't the token that is bad");
    assert_eq!(world.count(Metric::Verified), 1);
    for (number, bad) in [
        json!({ "auth_time": START.s() }),
        json!({ "acr": "urn:mfa" }),
        json!({ "acr": "other", "auth_time": START.s() }),
        json!({ "acr": "urn:mfa", "auth_time": START.s() + 6 }),
        json!({ "acr": "urn:mfa", "auth_time": START.s().to_string() }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut with_scope = bad.clone();
        with_scope["scope"] = json!("pay");
        assert_eq!(challenge(START, &bearer(with_scope), "/pay"), refused, "{number}");
        // RFC 9470, section 3: what else is missing is said with it.
        let both = Some((401, format!("Bearer realm=\"api\", {login}, scope=\"pay\", {what}")));
        assert_eq!(challenge(START, &bearer(bad), "/pay"), both, "{number}");
    }
    let (status, told) =
        challenge(START, &bearer(json!({ "acr": "myACR", "auth_time": START.s() })), "/pay")
            .unwrap();
    assert_eq!((status, told.contains("insufficient_scope")), (403, true));
}
