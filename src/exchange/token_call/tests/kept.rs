//! What of an answer is kept and told to others.

use super::*;

/// Whoever asks again gets the server's own challenge, or one that RFC 9110 asks for.
#[test]
fn a_remembered_401_has_a_challenge() {
    for (sent, told_again) in [
        (Some("Basic realm=\"idp\""), "Basic realm=\"idp\""),
        (None, "Basic realm=\"api\""),
        (Some("Basic realm=\"a\"\r\nset-cookie: a=b"), "Basic realm=\"api\""),
    ] {
        let world = two_workers(Dialect::Envoy, "");
        let (mut exchange, effect) = world.plain(0, START);
        assert!(is_led(&effect));
        let mut headers = vec![("content-type", &b"application/json"[..])];
        headers.extend(sent.map(|value| ("www-authenticate", value.as_bytes())));
        let headers = HeaderBlock::from_pairs(headers);
        let refused = ServerAnswer {
            status: 401,
            headers: &headers,
            body: br#"{"error":"invalid_client"}"#,
            complete: true,
        };
        assert_eq!(
            world.with(0, START, |facts| exchange.answered(&refused, facts)),
            Passed::Unchanged
        );
        let kept = answer(world.plain(1, START).1);
        let challenges: Vec<&str> = kept
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!((kept.status, challenges.as_slice()), (401, &[told_again][..]));
    }
}

/// What a header promises of the bytes of an answer holds: it goes on as it came, and its draw is
/// for the kept one.
#[test]
fn a_sealed_answer_goes_on_as_it_came() {
    for (name, value, is_kept) in [
        ("content-digest", "sha-256=:AA==:", true),
        ("cache-control", "no-store, no-transform", false),
        ("signature", "sig1=:AA==:", false),
        ("x-other", "1", true),
    ] {
        let mut unchanged = 0;
        for number in 0..20 {
            let world = two_workers(Dialect::Envoy, r#", "jitter": 0.5"#);
            let body = format!("{BODY}&n={number}");
            let (mut exchange, effect) =
                world.call(0, START.plus_ms(number), "secret", ENVOY, &[], &body);
            assert!(is_led(&effect));
            let headers = HeaderBlock::from_pairs([
                ("content-type", &b"application/json"[..]),
                (name, value.as_bytes()),
            ]);
            let good = ServerAnswer {
                status: 200,
                headers: &headers,
                body: GOOD.as_bytes(),
                complete: true,
            };
            let passed =
                world.with(0, START.plus_ms(number), |facts| exchange.answered(&good, facts));
            unchanged += u32::from(passed == Passed::Unchanged);
            let (_, again) = world.call(1, START.plus_ms(number), "secret", ENVOY, &[], &body);
            assert_eq!(!is_led(&again), is_kept, "{name}");
        }
        assert_eq!(unchanged == 20, name != "x-other", "{name}");
    }
}

/// What a server sets for one client isn't told to another.
#[test]
fn a_kept_answer_has_no_header_of_the_server_but_its_type() {
    let world = two_workers(Dialect::Envoy, "");
    let (mut exchange, _) = world.plain(0, START);
    let headers = HeaderBlock::from_pairs([
        ("content-type", &b"application/json"[..]),
        ("set-cookie", b"a=b"),
        ("x-any", b"1"),
    ]);
    let good =
        ServerAnswer { status: 200, headers: &headers, body: GOOD.as_bytes(), complete: true };
    assert_eq!(world.with(0, START, |facts| exchange.answered(&good, facts)), Passed::Unchanged);
    let kept = answer(world.plain(1, START).1);
    let names: Vec<&str> = kept.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content-type", "cache-control", "pragma", "herdgate-cache"]);
}
