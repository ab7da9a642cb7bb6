use proptest::prelude::*;

use super::super::fixtures::{bytes, endpoint};
use super::*;

const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");
const BEARER: &str =
    r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"Bearer","expires_in":3600}"#;

fn judge(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    analyse(status, bytes(headers), body.as_bytes(), true, &endpoint())
}

fn not_stored(status: u16, headers: &[(&str, &str)], body: &str) -> Option<NotStored> {
    match judge(status, headers, body) {
        Answer::NotStored(why) => Some(why),
        Answer::Storable(_) | Answer::Negative => None,
    }
}

fn jwt(header: &str, payload: &str) -> String {
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

fn with_token(token: &str) -> String {
    BEARER.replace("2YotnFZFEjr1zCsicMWpAA", token)
}

/// The answers of RFC 6749, sections 4.4.3 and 5.1, with the headers that it demands.
#[test]
fn rfc_6749_success() {
    let headers = [JSON, ("Cache-Control", "no-store"), ("Pragma", "no-cache")];
    let body = "{\n\"access_token\":\"2YotnFZFEjr1zCsicMWpAA\",\n\"token_type\":\"example\",\n\"expires_in\":3600,\n\"example_parameter\":\"example_value\"\n}";
    assert_eq!(not_stored(200, &headers, body), Some(NotStored::NotBearer));
    let Answer::Storable(kept) = judge(200, &headers, &body.replace("\"example\"", "\"bearer\""))
    else {
        panic!()
    };
    assert_eq!(
        (kept.expires_in_s, kept.jwt_exp_s, kept.access_token.as_str()),
        (3600, None, "2YotnFZFEjr1zCsicMWpAA")
    );
    let refresh = body.replace("\"example_parameter\"", "\"refresh_token\"");
    assert_eq!(
        not_stored(200, &headers, &refresh.replace("\"example\"", "\"bearer\"")),
        Some(NotStored::Personal)
    );
}

#[test]
fn only_clean_tokens_are_stored() {
    assert_eq!(not_stored(200, &[JSON], BEARER), None);
    assert_eq!(not_stored(200, &[JSON], &format!(" {BEARER}\r\n")), None);
    use NotStored::*;
    for (from, to, why) in [
        ("3600", "0", Lifetime),
        ("3600", "-1", Lifetime),
        ("3600", "0.9", Lifetime),
        ("3600", "\"0\"", Lifetime),
        ("3600", "\"\"", Lifetime),
        ("3600", "\"1 hour\"", Lifetime),
        ("3600", "\"-1\"", Lifetime),
        ("3600", "[3600]", Lifetime),
        ("3600", "0x10", Json),
        ("3600", "03600", Json),
        ("3600", "null", Lifetime),
        ("3600", "315360001", Lifetime),
        ("3600", "99999999999999999999999", Lifetime),
        (",\"expires_in\":3600", "", Lifetime),
        ("Bearer", "DPoP", NotBearer),
        ("Bearer", "bearer ", NotBearer),
        ("\"Bearer\"", "null", NotBearer),
        ("2YotnFZFEjr1zCsicMWpAA", "", NotBearer),
        ("\"2YotnFZFEjr1zCsicMWpAA\"", "7", NotBearer),
        ("access_token", "accesstoken", NotBearer),
        ("}", ",\"refresh_token\":\"r\"}", Personal),
        ("}", ",\"id_token\":\"i\"}", Personal),
        ("}", ",\"error\":\"x\"}", Error),
        ("}", ",\"error\":\"\"}", Error),
        ("}", ",\"refresh_token\":\"\"}", Personal),
        ("}", ",\"expires_in\":3600}", Json),
        ("}", ",\"\\u0065xpires_in\":3600}", Json),
        ("}", "}x", Json),
        ("}", "}{}", Json),
        ("}", "", Json),
        ("{", "[{", Json),
        ("{", "<html>{", Json),
    ] {
        assert_eq!(
            not_stored(200, &[JSON], &BEARER.replace(from, to)),
            Some(why),
            "{from} -> {to}"
        );
    }
    assert_eq!(not_stored(200, &[JSON], ""), Some(Json));
    assert_eq!(not_stored(200, &[JSON], &BEARER.replace("3600", "315360000")), None);
    assert_eq!(not_stored(200, &[JSON], &BEARER.replace("Bearer", "bEARER")), None);
    assert_eq!(
        not_stored(
            200,
            &[JSON],
            &BEARER.replace('}', ",\"scope\":\"a\",\"x\":{\"refresh_token\":1}}")
        ),
        None
    );
    assert_eq!(not_stored(200, &[JSON], &with_token(&"x".repeat(20_000))), Some(TooLarge));
    for status in [100, 201, 204, 301, 403, 404, 429, 500, 502, 503, 504, 599] {
        assert_eq!(not_stored(status, &[JSON], BEARER), Some(Status), "{status}");
    }
    let cut = analyse(200, bytes(&[JSON]), BEARER.as_bytes(), false, &endpoint());
    assert!(matches!(cut, Answer::NotStored(Incomplete)));
}

#[test]
fn headers_of_the_answer() {
    for (name, value, why) in [
        ("content-encoding", "gzip", Some(NotStored::Header)),
        ("content-encoding", "identity", None),
        ("set-cookie", "fpc=abc; path=/; secure", None),
        ("vary", "Authorization, Accept", None),
        ("vary", "x-tenant", None),
        ("vary", "user-agent", Some(NotStored::Header)),
        ("vary", "x-own-trace", Some(NotStored::Header)),
        ("cache-control", "no-transform", Some(NotStored::Header)),
        ("signature", "sig1=:AA==:", Some(NotStored::Header)),
        ("content-digest", "sha-256=:AA==:", None),
        ("vary", "Accept-Encoding", None),
        ("vary", "Origin, accept-encoding", None),
        ("vary", "*", Some(NotStored::Header)),
        ("Vary", "accept-encoding, x-forwarded-for", Some(NotStored::Header)),
        ("dpop-nonce", "n", Some(NotStored::Header)),
        ("content-range", "bytes 0-1/2", Some(NotStored::Header)),
        ("retry-after", "1", Some(NotStored::Header)),
        ("content-type", "application/json", Some(NotStored::ContentType)),
        ("cache-control", "no-store", None),
        ("date", "x", None),
    ] {
        assert_eq!(not_stored(200, &[JSON, (name, value)], BEARER), why, "{name}: {value}");
    }
    assert_eq!(not_stored(200, &[], BEARER), Some(NotStored::ContentType));
    assert_eq!(
        not_stored(200, &[("content-type", "text/html")], BEARER),
        Some(NotStored::ContentType)
    );
}

#[test]
fn answers_with_cookies_are_kept_unless_told_otherwise() {
    let strict = TokenEndpoint { keep_with_cookies: false, ..endpoint() };
    for name in ["set-cookie", "Set-Cookie2"] {
        assert_eq!(not_stored(200, &[JSON, (name, "a=b")], BEARER), None);
        let judged = analyse(200, bytes(&[JSON, (name, "a=b")]), BEARER.as_bytes(), true, &strict);
        assert!(matches!(judged, Answer::NotStored(NotStored::Header)));
    }
}

/// Numbers in the types that servers write them in, and members that are there in name alone.
#[test]
fn lifetimes_in_any_type_and_members_that_are_null() {
    for (from, to, expires_in_s) in [
        ("3600", "\"3600\"", 3600),
        ("3600", "3600.0", 3600),
        ("3600", "\"3600.0\"", 3600),
        ("3600", "3599.9", 3599),
        ("3600", "3.6e3", 3600),
        ("}", ",\"refresh_token\":null}", 3600),
        ("}", ",\"id_token\": null ,\"scope\":null}", 3600),
        ("}", ",\"error\":null,\"error_description\":null}", 3600),
    ] {
        let body = BEARER.replace(from, to);
        let Answer::Storable(kept) = judge(200, &[JSON], &body) else { panic!("{body}") };
        assert_eq!(kept.expires_in_s, expires_in_s, "{body}");
    }
    let refusal = r#"{"error":"invalid_client","access_token":null}"#;
    assert!(matches!(judge(401, &[JSON], refusal), Answer::Negative));
}

/// Where the server doesn't say how long, the token may, or the configuration.
#[test]
fn lifetimes_that_the_server_does_not_say() {
    let ours = TokenEndpoint { default_lifetime_s: Some(300), ..endpoint() };
    let jwt = with_token(&jwt("{}", r#"{"exp":1700000000}"#));
    let read = |body: &str, endpoint: &TokenEndpoint| match analyse(
        200,
        bytes(&[JSON]),
        body.as_bytes(),
        true,
        endpoint,
    ) {
        Answer::Storable(kept) => Ok((kept.expires_in_s, kept.jwt_exp_s)),
        Answer::NotStored(why) => Err(why),
        Answer::Negative => panic!(),
    };
    for (from, to) in [(",\"expires_in\":3600", ""), ("3600", "null")] {
        assert_eq!(read(&BEARER.replace(from, to), &endpoint()), Err(NotStored::Lifetime));
        assert_eq!(read(&BEARER.replace(from, to), &ours), Ok((300, None)));
        for endpoint in [&ours, &endpoint()] {
            assert_eq!(
                read(&jwt.replace(from, to), endpoint),
                Ok((EXPIRES_IN_S_MAX, Some(1_700_000_000)))
            );
        }
    }
    // What is said and can't be read is no silence.
    assert_eq!(read(&BEARER.replace("3600", "\"soon\""), &ours), Err(NotStored::Lifetime));
    assert_eq!(read(&BEARER.replace("3600", "0"), &ours), Err(NotStored::Lifetime));
}

#[test]
fn a_jwt_bounds_its_own_life() {
    let exp =
        |payload: &str| match judge(200, &[JSON], &with_token(&jwt(r#"{"alg":"RS256"}"#, payload)))
        {
            Answer::Storable(kept) => Ok(kept.jwt_exp_s),
            Answer::NotStored(why) => Err(why),
            Answer::Negative => panic!(),
        };
    assert_eq!(exp(r#"{"exp":1700000000}"#), Ok(Some(1_700_000_000)));
    assert_eq!(exp(r#"{"exp":1700000000.9}"#), Ok(Some(1_700_000_000)));
    assert_eq!(exp(r#"{"exp":1.7e9}"#), Ok(Some(1_700_000_000)));
    assert_eq!(exp(r#"{"sub":"x"}"#), Ok(None));
    for odd in [
        r#"{"exp":"1700000000"}"#,
        r#"{"exp":null}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":1e300}"#,
        r#"{"exp":1795790000000}"#,
        r#"{"exp":1,"exp":2}"#,
        "[]",
        "x",
        r#"{"cnf":{}}"#,
    ] {
        assert_eq!(exp(odd), Err(NotStored::Jwt), "{odd}");
    }
    for opaque in ["a.b.c", "a.b", "..", "x", "e30", &jwt("[]", "x"), "e30.e30.e30.e30.e30"] {
        assert_eq!(Jwt::read(opaque), Ok(Jwt::default()), "{opaque}");
    }
}

/// The example of RFC 6749, section 5.2, and what may be remembered of it.
#[test]
fn refusals() {
    let refusal =
        |status, error: &str| judge(status, &[JSON], &format!("{{\n\"error\":\"{error}\"\n}}"));
    for lasting in [
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ] {
        assert!(matches!(refusal(400, lasting), Answer::Negative), "{lasting}");
        assert!(matches!(refusal(401, lasting), Answer::Negative), "{lasting}");
        assert!(matches!(refusal(403, lasting), Answer::NotStored(NotStored::Status)), "{lasting}");
        assert!(matches!(refusal(503, lasting), Answer::NotStored(NotStored::Status)), "{lasting}");
    }
    for passing in [
        "invalid_grant",
        "slow_down",
        "authorization_pending",
        "use_dpop_nonce",
        "server_error",
        "temporarily_unavailable",
        "",
        "x",
    ] {
        assert!(matches!(refusal(400, passing), Answer::NotStored(NotStored::Error)), "{passing}");
    }
    assert_eq!(not_stored(401, &[JSON], "{}"), Some(NotStored::Error));
    assert_eq!(
        not_stored(401, &[("content-type", "text/html")], "<html>"),
        Some(NotStored::ContentType)
    );
    assert_eq!(
        not_stored(400, &[JSON, ("retry-after", "1")], r#"{"error":"invalid_scope"}"#),
        Some(NotStored::Header)
    );
    let never = TokenEndpoint { negative_ttl_s: 0, ..endpoint() };
    let body = br#"{"error":"invalid_client"}"#;
    assert!(matches!(
        analyse(401, bytes(&[JSON]), body, true, &never),
        Answer::NotStored(NotStored::Error)
    ));
    assert!(refusal(401, "invalid_client").purges(401));
    assert!(refusal(400, "invalid_client").purges(400));
    assert!(judge(401, &[], "<html>").purges(401));
    assert!(!judge(500, &[], "").purges(500));
    assert!(!judge(200, &[JSON], BEARER).purges(200));
}

#[test]
fn debug_tells_nothing() {
    assert!(!format!("{:?}", judge(200, &[JSON], BEARER)).contains("2Yotn"));
}

proptest! {
    #[test]
    fn no_bytes_panic(
        status in any::<u16>(),
        value in prop::collection::vec(any::<u8>(), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for name in ["content-type", "vary", "content-encoding"] {
            let _ = analyse(status, [(name.as_bytes(), value.as_slice())], &body, true, &endpoint());
        }
        let _ = analyse(200, bytes(&[JSON]), &body, true, &endpoint());
    }

    #[test]
    fn cut_or_broken_answers_are_never_stored(at in 0usize..BEARER.len(), byte in any::<u8>()) {
        prop_assert!(not_stored(200, &[JSON], &BEARER[..at]).is_some());
        let mut broken = BEARER.as_bytes().to_vec();
        broken[at] = byte;
        if let Answer::Storable(kept) = analyse(200, bytes(&[JSON]), &broken, true, &endpoint()) {
            prop_assert!(kept.expires_in_s > 0 && !kept.access_token.is_empty());
        }
    }
}
