mod pairs;

use proptest::prelude::*;

use super::super::fixtures::{FORM, POST, bytes, endpoint, key, post};
use super::*;
use crate::digest::Digest;

const CC: &str = "grant_type=client_credentials&client_id=c&client_secret=s";
/// `c:s`
const BASIC: (&str, &str) = ("Authorization", "Basic Yzpz");

fn class_of(headers: &[(&str, &str)], body: &str) -> Class {
    post(headers, body).class()
}

fn key_of(request: &TokenRequest) -> Option<Digest> {
    request.cache_key(&key(), &[1; 32], b"idp.example", b"/oauth2/token")
}

/// The request of RFC 6749, section 4.4.2.
#[test]
fn rfc_6749_client_credentials() {
    let basic = ("Authorization", "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
    let request = post(&[basic], "grant_type=client_credentials");
    assert_eq!(request.class(), Class::Reusable);
    assert_eq!(request.client_id(), Some("s6BhdRkqt3"));
    assert_eq!(request.grant_type(), Some("client_credentials"));
    assert_eq!(request.auth_method(), AuthMethod::Basic);
}

/// The requests of RFC 6749, sections 4.1.3, 4.3.2, 6 and 2.3.1.
#[test]
fn rfc_6749_other_grants() {
    let basic = ("Authorization", "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
    let code = "grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient%2Eexample%2Ecom%2Fcb";
    assert_eq!(class_of(&[basic], code), Class::PassThrough(Why::Grant));
    let password = "grant_type=password&username=johndoe&password=A3ddj3w";
    assert_eq!(class_of(&[basic], password), Class::PassThrough(Why::Grant));
    let refresh = "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw";
    let request = post(&[], refresh);
    assert_eq!(request.class(), Class::CoalesceRefresh);
    assert_eq!(
        (request.client_id(), request.auth_method()),
        (Some("s6BhdRkqt3"), AuthMethod::Post)
    );
    let alone = TokenEndpoint { coalesce_refresh: false, ..endpoint() };
    let request = request::parse(POST, bytes(&[FORM]), refresh.as_bytes(), &alone);
    assert_eq!(request.class(), Class::PassThrough(Why::Grant));
    assert_eq!(key_of(&request), None);
}

use super::super::request;

#[test]
fn one_request_has_one_reading() {
    let pass = Class::PassThrough;
    for (headers, body, class) in [
        (vec![], CC.to_owned(), Class::Reusable),
        (vec![BASIC], "grant_type=client_credentials".into(), Class::Reusable),
        (vec![BASIC], "grant_type=client_credentials&client_id=c".into(), Class::Reusable),
        (
            vec![BASIC],
            "grant_type=client_credentials&client_id=d".into(),
            pass(Why::TwoCredentials),
        ),
        (vec![BASIC], CC.into(), pass(Why::TwoCredentials)),
        (
            vec![BASIC],
            "grant_type=client_credentials&client_secret=".into(),
            pass(Why::TwoCredentials),
        ),
        (vec![BASIC, BASIC], "grant_type=client_credentials".into(), pass(Why::Authorization)),
        (vec![("authorization", "Bearer x")], CC.into(), pass(Why::Authorization)),
        (vec![("authorization", "")], CC.into(), pass(Why::Authorization)),
        (
            vec![("authorization", "Basic Yzo=")],
            "grant_type=client_credentials".into(),
            pass(Why::NoSecret),
        ),
        // A secret that ends in a colon is a secret.
        (
            vec![("authorization", "Basic YzpzOg==")],
            "grant_type=client_credentials".into(),
            Class::Reusable,
        ),
        (vec![], format!("{CC}&scope=a&scope=a"), pass(Why::Duplicate)),
        (vec![], format!("{CC}&sc%6fpe=a&scope=a"), pass(Why::Duplicate)),
        (vec![], format!("{CC}&scope=a&scope="), pass(Why::Duplicate)),
        (vec![], format!("{CC}&resource=a&resource=b"), pass(Why::Duplicate)),
        (vec![], format!("{CC}&grant_type=client_credentials"), pass(Why::Duplicate)),
        (vec![], format!("{CC}&"), pass(Why::Form)),
        (vec![], format!("{CC}&a=%ff"), pass(Why::Form)),
        (vec![], "grant_type=client_credentials&client_id=c".into(), pass(Why::NoSecret)),
        (
            vec![],
            "grant_type=client_credentials&client_id=c&client_secret=".into(),
            pass(Why::NoSecret),
        ),
        (vec![], "grant_type=client_credentials".into(), pass(Why::NoSecret)),
        (
            vec![],
            "grant_type=Client_Credentials&client_id=c&client_secret=s".into(),
            pass(Why::Grant),
        ),
        (vec![], "client_id=c&client_secret=s".into(), pass(Why::Grant)),
        (vec![], String::new(), pass(Why::Grant)),
        (vec![], CC.replace("=c&", "=fresh&"), pass(Why::ExceptedClient)),
        (
            vec![("authorization", "Basic ZnJlc2g6cw==")],
            "grant_type=client_credentials".into(),
            pass(Why::ExceptedClient),
        ),
        (vec![], "a=1&".repeat(64) + "b=1", pass(Why::TooManyParameters)),
        (vec![], format!("{CC}&x={}", "x".repeat(9000)), pass(Why::TooLarge)),
    ] {
        assert_eq!(class_of(&headers, &body), class, "{headers:?} {body:.80}");
    }
    for name in SINGLE_USE {
        assert_eq!(class_of(&[], &format!("{CC}&{name}=x")), pass(Why::Assertion), "{name}");
        let refresh = format!("grant_type=refresh_token&refresh_token=r&client_id=c&{name}=x");
        assert_ne!(class_of(&[], &refresh), Class::CoalesceRefresh, "{name}");
    }
}

#[test]
fn headers_that_forbid_sharing() {
    for (name, value, why) in [
        ("content-encoding", "gzip", Why::ContentEncoding),
        ("Content-Type", "application/x-www-form-urlencoded", Why::ContentType),
        ("cache-control", "no-cache", Why::Bypass),
        ("Cache-Control", "foo, No-Store", Why::NoStore),
        ("Cache-Control", "max-age=\"00\"", Why::Bypass),
        ("cache-control", "max-age=0", Why::Bypass),
        ("pragma", "no-cache", Why::Bypass),
        ("DPoP", "eyJ", Why::Proof),
        ("signature-input", "sig1=()", Why::Proof),
        ("idempotency-key", "1", Why::Proof),
        ("X-Forwarded-Client-Cert", "By=a", Why::Certificate),
        ("ssl-client-cert", "x", Why::Certificate),
        ("SSL_CLIENT_VERIFY", "SUCCESS", Why::Certificate),
        ("x-ssl-client-verify", "SUCCESS", Why::Certificate),
        ("Client-Cert", "x", Why::Certificate),
        ("client-cert-chain", "x", Why::Certificate),
        ("X-ARR-ClientCert", "x", Why::Certificate),
        ("x-amzn-mtls-clientcert", "x", Why::Certificate),
        ("accept", "text/html", Why::Accept),
        ("accept", "application/json;q=0, */*", Why::Accept),
        ("origin", "https://app.example", Why::Origin),
        ("range", "bytes=0-1", Why::Conditional),
        ("expect", "100-continue", Why::Conditional),
        ("upgrade", "h2c", Why::Conditional),
        ("if-none-match", "x", Why::Conditional),
    ] {
        assert_eq!(class_of(&[(name, value)], CC), Class::PassThrough(why), "{name}: {value}");
    }
    for (name, value) in [
        ("accept", "application/json"),
        ("cache-control", "max-stale"),
        ("x-tenant", "a"),
        ("cookie", "a=b"),
        ("user-agent", "x"),
    ] {
        assert_eq!(class_of(&[(name, value)], CC), Class::Reusable, "{name}: {value}");
    }
}

#[test]
fn other_request_lines_and_types() {
    let parse = |head: Head<'_>, content_type: &str| {
        request::parse(head, bytes(&[("Content-Type", content_type)]), CC.as_bytes(), &endpoint())
            .class()
    };
    let form = FORM.1;
    assert_eq!(parse(POST, form), Class::Reusable);
    assert_eq!(parse(POST, "Application/X-WWW-Form-Urlencoded; charset=UTF-8"), Class::Reusable);
    assert_eq!(parse(Head { method: b"PUT", ..POST }, form), Class::PassThrough(Why::Method));
    assert_eq!(parse(Head { has_query: true, ..POST }, form), Class::PassThrough(Why::Query));
    assert_eq!(
        parse(Head { client_certificate: true, ..POST }, form),
        Class::PassThrough(Why::Certificate)
    );
    for other in [
        "",
        "text/json",
        "multipart/form-data",
        "application/x-www-form-urlencoded; charset=utf-16",
    ] {
        assert_eq!(parse(POST, other), Class::PassThrough(Why::ContentType), "{other}");
    }
    let none = request::parse(POST, [], CC.as_bytes(), &endpoint());
    assert_eq!(none.class(), Class::PassThrough(Why::ContentType));
}

#[test]
fn the_client_is_named_only_when_it_is_certain() {
    for (headers, body, client) in [
        (vec![], CC, Some("c")),
        (vec![], "client_id=%63&x=1", Some("c")),
        (vec![BASIC], "x=1", Some("c")),
        (vec![BASIC], "a=%ff", Some("c")),
        (vec![BASIC], "client_id=c", Some("c")),
        (vec![BASIC], "client_id=d", None),
        (vec![BASIC], "client_id=d&client_id=d", None),
        (vec![BASIC, BASIC], "client_id=c", None),
        (vec![("authorization", "Bearer x")], "client_id=c", None),
        (vec![], "client_id=c&client_id=c", None),
        (vec![], "client_id=", None),
        (vec![], "client_id=c&x", None),
        (vec![], "client_id=c&scope=a&scope=b", Some("c")),
    ] {
        assert_eq!(post(&headers, body).client_id(), client, "{headers:?} {body}");
    }
    assert_eq!(post(&[], "grant_type=a&grant_type=a").grant_type(), None);
}

/// A form in another charset is read if it is ASCII, and has answers of its own.
#[test]
fn forms_in_other_charsets() {
    let parse = |charset: &str, body: &str| {
        let content_type = format!("application/x-www-form-urlencoded; charset={charset}");
        request::parse(
            POST,
            bytes(&[("content-type", &content_type)]),
            body.as_bytes(),
            &endpoint(),
        )
    };
    let latin = parse("ISO-8859-1", CC);
    assert_eq!(latin.class(), Class::Reusable);
    assert_eq!(key_of(&latin), key_of(&parse("iso-8859-1", CC)));
    for other in ["utf-8", "iso-8859-15", "us-ascii"] {
        assert_ne!(key_of(&latin), key_of(&parse(other, CC)), "{other}");
    }
    for (charset, body) in [
        ("iso-8859-1", "&x=%c3%a9"),
        ("iso-8859-1", "&%c3%a9=x"),
        ("utf-16", ""),
        ("utf-7", ""),
        ("", ""),
    ] {
        let read = parse(charset, &format!("{CC}{body}"));
        assert_eq!(
            (read.class(), read.client_id()),
            (Class::PassThrough(Why::ContentType), None),
            "{charset} {body}"
        );
    }
    assert_eq!(parse("utf-8", &format!("{CC}&x=%c3%a9")).class(), Class::Reusable);
}

/// Auth0 documents its token requests as JSON.
#[test]
fn json_is_read_as_the_form_would_be() {
    let parse = |headers: &[(&str, &str)], body: &str| {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        request::parse(POST, bytes(&all), body.as_bytes(), &endpoint())
    };
    let body = r#"{"client_id":"c","client_secret":"s","audience":"https://api","grant_type":"client_credentials"}"#;
    let read = parse(&[], body);
    assert_eq!(
        (read.class(), read.client_id(), read.auth_method()),
        (Class::Reusable, Some("c"), AuthMethod::Post)
    );
    let other_order = r#"{"grant_type":"client_credentials","audience":"https:\/\/api","client_secret":"\u0073","client_id":"c"}"#;
    assert_eq!(key_of(&read), key_of(&parse(&[], other_order)));
    // The server may answer a form in another way.
    let form = post(&[], &format!("{CC}&audience=https%3a%2f%2fapi"));
    assert_eq!(form.class(), Class::Reusable);
    assert_ne!(key_of(&read), key_of(&form));
    let scopes = |scope: &str| {
        parse(
            &[],
            &body.replace("https://api", "x").replace("audience", "scope").replace("\"x\"", scope),
        )
    };
    assert_eq!(key_of(&scopes("\"a b\"")), key_of(&scopes("\"b a\"")));
    let basic = parse(&[BASIC], r#"{"grant_type":"client_credentials"}"#);
    assert_eq!((basic.class(), basic.auth_method()), (Class::Reusable, AuthMethod::Basic));
    for (body, why) in [
        (r#"{"grant_type":"client_credentials","client_id":"c","client_secret":null}"#, Why::Form),
        (r#"{"grant_type":"client_credentials","client_id":"c","client_secret":1}"#, Why::Form),
        (
            r#"{"grant_type":"client_credentials","client_id":"c","client_secret":"s","scope":["a"]}"#,
            Why::Form,
        ),
        (
            r#"{"grant_type":"client_credentials","client_id":"c","client_id":"d","client_secret":"s"}"#,
            Why::Form,
        ),
        (
            r#"{"grant_type":"client_credentials","client_id":"c","Client_Id":"d","client_secret":"s"}"#,
            Why::Form,
        ),
        (
            r#"{"grant_type":"authorization_code","client_id":"c","client_secret":"s","code":"x"}"#,
            Why::Grant,
        ),
        (
            r#"{"grant_type":"client_credentials","client_id":"c","client_secret":"s","nonce":"x"}"#,
            Why::Assertion,
        ),
        (r#"{"grant_type":"client_credentials","client_id":"c"}"#, Why::NoSecret),
        (CC, Why::Form),
    ] {
        assert_eq!(parse(&[], body).class(), Class::PassThrough(why), "{body}");
    }
    assert_eq!(class_of(&[], body), Class::PassThrough(Why::Form));
}

/// RFC 7521, section 4.2: `client_id` is optional beside an assertion, and the same client where it
/// is there.
#[test]
fn an_assertion_names_the_client() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let form = |sub: &str, more: &str| {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"iss\":\"{sub}\",\"sub\":\"{sub}\"}}"));
        let of_type = client_auth::JWT_BEARER.replace(':', "%3A");
        format!(
            "grant_type=client_credentials&client_assertion_type={of_type}&client_assertion=e30.{claims}.c2ln{more}"
        )
    };
    for (headers, body, client) in [
        (vec![], form("c", ""), Some("c")),
        (vec![], form("c", "&client_id=c"), Some("c")),
        (vec![], form("c", "&client_id=d"), None),
        (vec![], form("c", "&client_id="), None),
        (vec![], form("c", "&client_id=c&client_id=c"), None),
        (vec![BASIC], form("c", ""), Some("c")),
        (vec![BASIC], form("d", ""), None),
        (vec![("authorization", "Bearer x")], form("c", ""), None),
        (vec![], form("c", "&client_assertion=e30.e30.e30"), None),
        (vec![], form("c", "").replace("jwt-bearer", "saml2-bearer"), None),
        (vec![], form("c", "&client_id=d").replace("jwt-bearer", "saml2-bearer"), Some("d")),
    ] {
        let read = post(&headers, &body);
        assert_eq!(read.client_id(), client, "{headers:?} {body}");
        assert!(matches!(read.class(), Class::PassThrough(_)), "{body}");
    }
}

#[test]
fn keys_are_equal_for_equal_meanings() {
    let same = |a: &TokenRequest, b: &TokenRequest| key_of(a).is_some() && key_of(a) == key_of(b);
    let base = post(&[], &format!("{CC}&scope=ab+c"));
    for body in [
        format!("{CC}&scope=c%20a%62"),
        format!("{CC}&scope=c+ab+c"),
        format!("scope=ab+c&{CC}"),
        "client_secret=%73&client_id=c&scope=ab+c&grant%5Ftype=client_credentials".into(),
    ] {
        assert!(same(&base, &post(&[], &body)), "{body}");
    }
    for headers in [
        ("User-Agent", "x"),
        ("x-request-id", "1"),
        ("Traceparent", "00"),
        ("x-forwarded-for", "192.0.2.1"),
        ("accept", "*/*"),
        ("accept", "application/json"),
        ("accept", "application/JSON;q=0.9, application/*, */*;q=0.1"),
        ("accept-encoding", "gzip"),
        (":path", "/"),
        ("cf-ray", "230b030023ae2822-SJC"),
        ("x-azure-ref", "1"),
        ("X-Amz-Cf-Id", "1"),
        ("X-dynaTrace", "FW4"),
        ("singularityheader", "1"),
        ("x-instana-t", "1"),
        ("x-newrelic-transaction", "1"),
        ("x-arr-log-id", "1"),
        ("x-appgw-trace-id", "1"),
        ("x-vcap-request-id", "1"),
        ("x-client-last-telemetry", "4|0|||"),
        ("x-client-current-telemetry", "4|0|"),
        ("Forwarded", "for=192.0.2.1;by=203.0.113.43"),
        ("X-Own-Trace", "1"),
    ] {
        assert!(same(&base, &post(&[headers], &format!("{CC}&scope=ab+c"))), "{headers:?}");
    }
    // Not a set by the grammar, so nobody knows what the server makes of it.
    for scope in ["ab++c", "+ab+c", "ab+c+", "ab%5C+c", "ab+%22c"] {
        assert!(!same(&base, &post(&[], &format!("{CC}&scope={scope}"))), "{scope}");
    }
    for header in [
        ("x-tenant", "a"),
        ("accept-language", "de"),
        ("accept-charset", "utf-16"),
        ("accept", "application/json;version=2"),
        ("accept", "application/jwt, application/json;q=0.1"),
        ("accept", "text/plain, */*"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "host=evil"),
        ("forwarded", "for=192.0.2.1;proto=https"),
        ("forwarded", "for="),
        ("cf-ipcountry", "DE"),
        ("x-forwarded-proto", "https"),
        ("x-anchormailbox", "a"),
        ("cookie", "a"),
        ("x-http-method-override", "GET"),
    ] {
        assert!(!same(&base, &post(&[header], &format!("{CC}&scope=ab+c"))), "{header:?}");
    }
    let tenant = |list: &[(&str, &str)]| post(list, CC);
    assert!(same(&tenant(&[("x-a", "1"), ("x-b", "2")]), &tenant(&[("X-B", "2"), ("X-A", "1")])));
    assert!(!same(&tenant(&[("x-a", "1"), ("x-b", "2")]), &tenant(&[("x-a", "2"), ("x-b", "1")])));
    assert!(!same(&tenant(&[("x-a", "1")]), &tenant(&[("x-b", "1")])));
    assert!(!same(&tenant(&[("x-a", "1"), ("x-a", "2")]), &tenant(&[("x-a", "2"), ("x-a", "1")])));
}

/// Servers differ on whether a Basic pair is form-encoded, so its spellings are apart; where they
/// are one to the server, that costs one more call.
#[test]
fn basic_pairs_are_compared_as_they_came() {
    let plain = post(&[("authorization", "Basic YTphYg==")], "grant_type=client_credentials"); // a:ab
    let encoded = post(&[("authorization", "Basic YTphJTYy")], "grant_type=client_credentials"); // a:a%62
    assert_eq!((plain.class(), encoded.class()), (Class::Reusable, Class::Reusable));
    assert_ne!(key_of(&plain), key_of(&encoded));
}

#[test]
fn a_refresh_and_an_answer_never_meet() {
    let mut request = post(&[], CC);
    let one = key_of(&request);
    request.class = Class::CoalesceRefresh;
    assert_ne!(one, key_of(&request));
}

#[test]
fn draws_belong_to_clients_or_to_requests() {
    let key = key();
    let subject = |body: &str| post(&[], body).jitter_subject(&key, body.as_bytes());
    assert_eq!(subject(CC), subject(&format!("{CC}&scope=a")));
    assert_ne!(subject(CC), subject(&CC.replace("=c&", "=d&")));
    let code =
        |code: &str| subject(&format!("grant_type=authorization_code&client_id=c&code={code}"));
    assert_eq!(code("1"), code("1"));
    assert_ne!(code("1"), code("2"));
}

#[test]
fn debug_tells_nothing() {
    let shown =
        format!("{:?}", post(&[BASIC], "grant_type=client_credentials&client_id=c&x=topsecret"));
    assert!(!shown.contains("topsecret") && !shown.contains("c:s"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_panic(
        method in prop::collection::vec(any::<u8>(), 0..6),
        headers in prop::collection::vec((prop::sample::select(vec![
            "authorization", "content-type", "accept", "cache-control", "cookie", "x-a", ""]),
            prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        body in prop::collection::vec(any::<u8>(), 0..300),
        head in (any::<bool>(), any::<bool>()),
    ) {
        let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())).collect();
        let head = Head { method: &method, has_query: head.0, client_certificate: head.1 };
        let request = request::parse(head, headers, &body, &endpoint());
        let _ = key_of(&request);
        let _ = request.jitter_subject(&key(), &body);
    }

    #[test]
    fn nearly_right_bytes_do_not_panic(
        pieces in prop::collection::vec("(grant_type|client_id|client_secret|scope|%6|=|&|%|\\+|client_credentials|é|\u{0})", 0..20),
        authorization in "(Basic|basic|Bearer|)( |)[A-Za-z0-9+/=]{0,12}",
    ) {
        let body: String = pieces.concat();
        let request = post(&[("authorization", &authorization)], &body);
        prop_assert_eq!(key_of(&request).is_some(), !matches!(request.class(), Class::PassThrough(_)));
    }
}
