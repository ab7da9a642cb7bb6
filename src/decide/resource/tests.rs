//! What clients learn of a resource, and where they are told of it.

use serde_json::{Value, json};

use crate::exchange::{Effect, Finish};
use crate::metrics::Metric;
use crate::reply::Answer;
use crate::world::*;

const AT: &str = "/.well-known/oauth-protected-resource";

/// The answer to a request, if it is answered here.
fn ask(
    world: &World,
    method: &str,
    host: &str,
    path: &str,
    more: &[(&str, &str)],
) -> Option<Answer> {
    let line = [(":method", method), (":path", path), (":authority", host)];
    let pairs = line.iter().chain(more).map(|(name, value)| (*name, value.as_bytes()));
    match world.send(0, START, crate::request::HeaderBlock::from_pairs(pairs)) {
        Effect::Finish(Finish::Answer(answer)) => Some(answer),
        Effect::Finish(Finish::Admit(_)) => None,
        _ => panic!("not decided"),
    }
}

fn header<'a>(answer: &'a Answer, wanted: &str) -> &'a str {
    let found = answer.headers.iter().find(|(name, _)| name == wanted);
    found.map_or("", |(_, value)| value.as_str())
}

/// The example of RFC 9728, section 3.2.
fn example() -> Value {
    json!({
        "resource": "https://resource.example.com",
        "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
        "bearer_methods_supported": ["header", "body"],
        "scopes_supported": ["profile", "email", "phone"],
        "resource_documentation": "https://resource.example.com/resource_documentation.html"
    })
}

fn resource(url: &str) -> Value {
    json!({ "resource": url, "authorization_servers": ["https://as.example"] })
}

#[test]
fn anyone_is_told_and_every_challenge_says_where() {
    let world = World::new(&document(with_secret(), json!({ "resource": example() })));
    for method in ["GET", "HEAD"] {
        let answer = ask(&world, method, "resource.example.com", AT, &[]).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(header(&answer, "content-type"), "application/json");
        assert_eq!(header(&answer, "access-control-allow-origin"), "*");
        assert_eq!(header(&answer, "cache-control"), "public, max-age=300");
        assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), example());
    }
    assert_eq!(world.count(Metric::ResourceDescribed), 2);
    assert_eq!(world.count(Metric::Anonymous), 0);
    // Under another name too, and with a query or a bad token.
    for host in ["RESOURCE.example.com:443", "10.0.0.1:8080", ""] {
        let bad = [("authorization", "Bearer bad")];
        let answer = ask(&world, "GET", host, &format!("{AT}?a=b"), &bad).unwrap();
        assert_eq!(answer.status, 200, "{host}");
    }
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let answer = ask(&world, "OPTIONS", "resource.example.com", AT, &preflight).unwrap();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    // Others go by the rules, here: any good token.
    for (method, path) in [
        ("POST", AT),
        ("OPTIONS", AT),
        ("GET", "/.well-known/oauth-protected-resource/"),
        ("GET", "/.well-known/oauth-protected-resource/x"),
        ("GET", "/.well-known/OAuth-protected-resource"),
        ("GET", "/orders"),
    ] {
        let answer = ask(&world, method, "resource.example.com", path, &[]).unwrap();
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(
            header(&answer, "www-authenticate"),
            format!("Bearer realm=\"api\", resource_metadata=\"https://resource.example.com{AT}\""),
        );
        assert_eq!(header(&answer, "access-control-expose-headers"), "WWW-Authenticate");
    }
    // Nobody knows what this path is, and the resource is the whole host.
    let answer = ask(&world, "GET", "resource.example.com", "/a//b", &[]).unwrap();
    assert!(header(&answer, "www-authenticate").contains("resource_metadata="));
}

#[test]
fn a_rule_has_a_resource_of_its_own() {
    let rules = json!([
        { "match": { "path_prefix": "/mcp" }, "scopes_all": ["a"], "resource": resource("https://api.example/mcp") },
        { "match": { "path_prefix": "/b", "hosts": ["b.internal"] }, "resource": resource("https://b.example:8443/") },
        { "match": { "path_prefix": "/c" }, "resource": resource("https://api.example/") },
        { "match": { "path_prefix": "/d" }, "shadow": true, "resource": resource("https://d.example/d") },
        { "match": { "path_prefix": "/" } },
    ]);
    let world = World::new(&document(
        with_secret(),
        json!({ "resource": resource("https://api.example/orders"), "rules": rules }),
    ));
    let url = |host: &str, path: &str| {
        let answer = ask(&world, "GET", host, path, &[])?;
        let challenge = header(&answer, "www-authenticate");
        Some(challenge.split_once("resource_metadata=")?.1.trim_matches('"').to_owned())
    };
    let there = |host: &str, path: &str| {
        let answer = ask(&world, "GET", host, path, &[])?;
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(body.get("resource")?.as_str()?.to_owned())
    };
    for (host, path, at) in [
        (
            "api.example",
            "/mcp",
            Some("https://api.example/.well-known/oauth-protected-resource/mcp"),
        ),
        (
            "api.example",
            "/mcp/x",
            Some("https://api.example/.well-known/oauth-protected-resource/mcp"),
        ),
        ("b.internal", "/b", Some("https://b.example:8443/.well-known/oauth-protected-resource")),
        ("api.example", "/c", Some("https://api.example/.well-known/oauth-protected-resource")),
        // The document's, as far as its path goes.
        (
            "api.example",
            "/orders/1",
            Some("https://api.example/.well-known/oauth-protected-resource/orders"),
        ),
        ("api.example", "/ordersX", None),
        ("api.example", "/b", None),
    ] {
        assert_eq!(url(host, path).as_deref(), at, "{host}{path}");
    }
    for (host, path, which) in [
        ("api.example", "/mcp", Some("https://api.example/mcp")),
        ("10.0.0.1", "/mcp", Some("https://api.example/mcp")),
        ("api.example", "/orders", Some("https://api.example/orders")),
        // Two have this path, so the host says which.
        ("api.example", "", Some("https://api.example/")),
        ("b.example", "", Some("https://b.example:8443/")),
        ("b.internal:80", "", Some("https://b.example:8443/")),
        ("c.example", "", None),
        // In shadow nothing is answered but what others ask for.
        ("d.example", "/d", None),
    ] {
        assert_eq!(there(host, &format!("{AT}{path}")).as_deref(), which, "{host}{path}");
    }
}

#[test]
fn what_is_for_certain_hosts_is_told_nobody_else() {
    let rules = json!([
        { "match": { "hosts": ["a.internal"] }, "resource": resource("https://a.example") },
        { "match": {}, "access": "public" },
    ]);
    let world = World::new(&document(with_secret(), json!({ "rules": rules })));
    for (host, is_told) in [("a.internal", true), ("a.example", true), ("other.example", false)] {
        assert_eq!(ask(&world, "GET", host, AT, &[]).is_some(), is_told, "{host}");
    }
}

#[test]
fn in_shadow_mode_nothing_is_answered() {
    let world =
        World::new(&document(with_secret(), json!({ "mode": "shadow", "resource": example() })));
    for path in [AT, "/orders"] {
        assert!(ask(&world, "GET", "resource.example.com", path, &[]).is_none());
    }
    assert_eq!(world.count(Metric::ResourceDescribed), 0);
}
