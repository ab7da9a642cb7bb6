//! Lines about servers: each change of a state once, with address and cause.

use super::super::call::CallAnswer;
use super::*;
use crate::request::HeaderBlock;
use crate::simulation::lines::said;
use crate::world::*;

const KEYS: Fact = Fact::Keys(0, None);

fn bed(source: &str, more: &str) -> World {
    World::new(&written(&format!(r#""cluster":"idp",{source}"#), more))
}

fn keys() -> World {
    bed(r#""jwks_uri":"https://idp.example/jwks?key=canary""#, "")
}

type Headers = &'static [(&'static str, &'static str)];

/// What one worker says of an answer.
fn says(
    bed: &World,
    worker: usize,
    now: Time,
    fact: &Fact,
    (status, headers, body): (u16, Headers, &str),
) -> Vec<String> {
    let headers =
        HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    said(|| {
        bed.with(worker, now, |facts| {
            facts.join(fact);
            facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() });
        });
    })
}

fn jwks(keys: &str) -> String {
    format!(r#"{{"keys":[{keys}]}}"#)
}

const GOOD: &str = r#"{"kty":"EC","crv":"P-256","kid":"good","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

#[test]
fn every_cause_has_its_words() {
    let html = (200, &[("content-type", "text/html; charset=utf-8")][..], "<html>");
    let redirect = &[("location", "https://user:pw@login.example/x?code=canary#f")][..];
    let odd = (301, &[("location", "/in?to=a@b")][..], "");
    let broken = jwks(r#"{"kty":"RSA","kid":"a","n":"*","e":"AQAB"},{"kty":"x"}"#);
    for (answer, words) in [
        ((500, &[][..], "canary"), "status 500"),
        (
            (301, redirect, ""),
            "status 301, to https://…@login.example/x?…: redirects aren't followed",
        ),
        (odd, "status 301, to /in?…: redirects aren't followed"),
        (html, "content-type text/html, and no JSON in it"),
        ((200, &[][..], "x"), "no JSON, and no content-type"),
        ((200, &[][..], ""), "an empty body, expected JSON"),
        (
            (200, &[][..], "{\"error\":\"canary\"}"),
            "expected a JWK Set, a JSON object with an array \"keys\", or one from kid to certificate",
        ),
        ((200, &[][..], "{\"keys\":[]}"), "a set without keys"),
        ((0, &[][..], ""), "no answer"),
        ((0, &[][..], "Envoy has no cluster \"x\""), "no answer: Envoy has no cluster \"x\""),
        ((503, &[][..], "no healthy upstream"), "no answer: no healthy host in the cluster"),
        ((504, &[][..], "upstream request timeout"), "no answer in time (timeout)"),
        (
            (
                503,
                &[][..],
                "upstream connect error or disconnect/reset before headers. reset reason: x\r\ny",
            ),
            "no answer: reset reason: x\\r\\ny",
        ),
    ] {
        let said = says(&keys(), 0, START, &KEYS, answer);
        assert_eq!(said, [format!("issuer idp: JWK Set at https://idp.example/jwks: {words}")]);
    }
    let said = says(&keys(), 0, START, &KEYS, (200, &[], &broken));
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("issuer idp: JWK Set at https://idp.example/jwks: 2 keys left out: \"a\": n is not base64url; one without kid: "), "{said:?}");
    assert!(said[0].ends_with("; no other is there"), "{said:?}");
}

#[test]
fn a_change_is_said_once_and_so_is_its_end() {
    let (bed, good) = (keys(), jwks(GOOD));
    let at = |s: u64| START.plus_s(s);
    let fails = (500, &[][..], "");
    assert!(says(&bed, 0, at(0), &KEYS, (200, &[], &good)).is_empty(), "nothing is wrong");
    assert_eq!(says(&bed, 0, at(10), &KEYS, fails).len(), 1);
    assert!(says(&bed, 0, at(20), &KEYS, fails).is_empty(), "the same once more");
    let said = says(&bed, 0, at(30), &KEYS, (404, &[], ""));
    assert_eq!(said, ["issuer idp: JWK Set at https://idp.example/jwks: status 404"]);
    // The other worker finds it itself, and is the one that sees the end.
    assert_eq!(says(&bed, 1, at(40), &KEYS, (404, &[], "")).len(), 1);
    let said = says(&bed, 1, at(50), &KEYS, (200, &[], &good));
    assert_eq!(said, ["issuer idp: JWK Set at https://idp.example/jwks answers again"]);
    assert!(says(&bed, 0, at(60), &KEYS, (200, &[], &good)).is_empty(), "it was said");
    // A new outage is one, though this worker never saw the end of the last.
    assert_eq!(says(&bed, 0, at(70), &KEYS, (404, &[], "")).len(), 1);
}

#[test]
fn keys_left_out_are_said_when_they_change() {
    let bed = keys();
    let with =
        |kid: &str| jwks(&format!(r#"{GOOD},{{"kty":"RSA","kid":"{kid}","n":"*","e":"AQAB"}}"#));
    let said = says(&bed, 0, START, &KEYS, (200, &[], &with("a")));
    assert_eq!(
        said,
        [
            "issuer idp: JWK Set at https://idp.example/jwks: 1 key left out: \"a\": n is not base64url"
        ]
    );
    assert!(says(&bed, 0, START.plus_s(10), &KEYS, (200, &[], &with("a"))).is_empty());
    assert_eq!(says(&bed, 0, START.plus_s(20), &KEYS, (200, &[], &with("b"))).len(), 1);
    let many: Vec<String> =
        (0..40).map(|n| format!(r#"{{"kty":"{n}","kid":"{}"}}"#, "\\n".repeat(2_000))).collect();
    let said = says(&bed, 0, START.plus_s(30), &KEYS, (200, &[], &jwks(&many.join(","))));
    assert!(said[0].len() < 4_000 && !said[0].contains('\n'), "{}", said[0].len());
}

#[test]
fn a_clock_that_stands_elsewhere_is_said() {
    let date = |at: &'static str| -> Headers { Box::leak(Box::new([("date", at)])) };
    // START is Fri, 15 Jan 2027 08:00:00 GMT.
    for (at, words) in [
        ("Fri, 15 Jan 2027 09:00:01 GMT", Some("60 minutes ahead of")),
        ("Fri, 15 Jan 2027 07:00:00 GMT", Some("60 minutes behind")),
        ("Fri, 15 Jan 2027 08:01:29 GMT", None),
        ("soon", None),
    ] {
        let said = says(&keys(), 0, START, &KEYS, (200, date(at), &jwks(GOOD)));
        let expected = words.map(|words| format!("issuer idp: JWK Set at https://idp.example/jwks: the server's clock is {words} the gateway's"));
        assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{at}");
    }
    let cached = [("date", "Fri, 15 Jan 2027 07:00:00 GMT"), ("age", "3600")];
    let said = says(&keys(), 0, START, &KEYS, (200, Box::leak(Box::new(cached)), &jwks(GOOD)));
    assert!(said.is_empty(), "an answer from a cache: {said:?}");
}

#[test]
fn metadata_says_which_issuer_it_is_of() {
    let bed = || bed(r#""discovery":true"#, "");
    let fact = Fact::Metadata(0);
    let place = "issuer idp: metadata at https://idp.example/.well-known/openid-configuration: ";
    for (body, words) in [
        (
            r#"{"issuer":"https://idp.example/","jwks_uri":"https://x/"}"#,
            "its \"issuer\" is \"https://idp.example/\", expected \"https://idp.example\"",
        ),
        (r#"{"issuer":"https://idp.example"}"#, "it has no \"jwks_uri\""),
        (
            r#"{"issuer":"https://idp.example","jwks_uri":"http://idp.example/jwks"}"#,
            "its \"jwks_uri\" isn't an https URL",
        ),
        (r#"{"jwks_uri":"https://x/"}"#, "it has no \"issuer\""),
        ("[]", "expected a JSON object"),
    ] {
        assert_eq!(says(&bed(), 0, START, &fact, (200, &[], body)), [format!("{place}{words}")]);
    }
}

#[test]
fn feeds_say_what_is_wrong() {
    let more = r#","revocation":{"feeds":[{"uri":"https://idp.example/f?k=canary","cluster":"idp","every_s":1}]}"#;
    let bed = bed(r#""jwks_uri":"https://idp.example/jwks""#, more);
    let fact = Fact::Feed(0, None);
    let said = says(&bed, 0, START, &fact, (200, &[], "{}"));
    assert_eq!(
        said,
        [
            "revocation feed at https://idp.example/f: expected a feed with \"sequence\" and \"revoked\", got something else"
        ]
    );
    let good = |n: u32| format!("{{\"sequence\":{n},\"revoked\":[]}}");
    let said = says(&bed, 0, START.plus_s(9), &fact, (200, &[], &good(5)));
    assert_eq!(said, ["revocation feed at https://idp.example/f answers again"]);
    let said = says(&bed, 0, START.plus_s(20), &fact, (200, &[], &good(4)));
    assert!(said[0].contains("\"sequence\" is lower"), "{said:?}");
}

/// What strangers can name may fail and work by turns, as fast as they like.
#[test]
fn lines_about_one_server_have_a_bound() {
    let source = r#""credentials":{"lookup":{"uri":"https://idp.example/{key}","cluster":"idp"}}"#;
    // No cluster of its own: the lookup has one.
    let bed = World::new(&written(source, ""));
    let mut lines = 0;
    for n in 0..1_000u64 {
        let fact = Fact::Credential(0, format!("id-{n}"));
        let answer = if n % 2 == 0 { (500, &[][..], "") } else { (404, &[][..], "") };
        let said = says(&bed, 0, START.plus_ms(n * 20), &fact, answer);
        assert!(
            said.iter()
                .all(|line| line.starts_with("issuer idp: lookup at https://idp.example/{key}")
                    && !line.contains("id-")),
            "{said:?}"
        );
        lines += said.len();
    }
    assert!((2..=12).contains(&lines), "{lines} lines in 20 s");
}
