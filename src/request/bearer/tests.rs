use proptest::prelude::*;

use super::*;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn run(
    headers: Headers,
    target: &str,
    sources: &[BearerSource],
) -> Result<Option<(String, usize)>, Reason> {
    let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let found = find(pairs, target.as_bytes(), sources)?;
    Ok(found
        .map(|found| (String::from_utf8(found.bytes.into_owned()).expect("ASCII"), found.source)))
}

fn authorization_alone(value: &str) -> Result<Option<(String, usize)>, Reason> {
    run(&[("authorization", value)], "/", &[BearerSource::Authorization])
}

fn token(text: &str, source: usize) -> Result<Option<(String, usize)>, Reason> {
    Ok(Some((text.to_owned(), source)))
}

const SCHEME: [BearerSource; 1] = [BearerSource::Authorization];

#[test]
fn one_bearer_token_in_any_case_of_its_scheme() {
    for value in [
        "Bearer a.b-c_d~e+f/0==",
        "bearer a.b-c_d~e+f/0==",
        "BEARER   a.b-c_d~e+f/0==",
        " \tbEaReR a.b-c_d~e+f/0== \t",
    ] {
        assert_eq!(authorization_alone(value), token("a.b-c_d~e+f/0==", 0), "{value:?}");
    }
    assert_eq!(
        run(&[("Host", "x"), ("AUTHORIZATION", "Bearer t"), ("x", "y")], "/", &SCHEME),
        token("t", 0)
    );
}

#[test]
fn a_dpop_token_has_a_source_of_its_own() {
    let both = [BearerSource::Authorization, BearerSource::Dpop];
    let one = |value: &'static str| run(&[("authorization", value)], "/", &both);
    for value in ["DPoP t", "dpop t", "DPOP   t", " DPoP t "] {
        assert_eq!(one(value), token("t", 1), "{value:?}");
    }
    for value in ["Bearer t", "bearer t", "BEARER  t"] {
        assert_eq!(one(value), token("t", 0), "{value:?}");
    }
    for value in ["", "Basic eA==", "DPoPx t", "XDPoP t", "DPoP-Token x", "Basic xdpop t"] {
        assert_eq!(one(value), Ok(None), "{value:?}");
    }
    for (value, reason) in [
        ("DPoP", Reason::MalformedRequest),
        ("DPoP\tt", Reason::MalformedRequest),
        ("DPoP t t", Reason::MalformedRequest),
        ("Bearer t DPoP t", Reason::MalformedRequest),
        ("DPoP t, Bearer t", Reason::TwoTokens),
        ("DPoP,Bearer t", Reason::TwoTokens),
        ("Basic eA==, DPoP t", Reason::TwoTokens),
        ("bearer t, DPoP t", Reason::TwoTokens),
    ] {
        assert_eq!(one(value), Err(reason), "{value:?}");
    }
    let two = [("authorization", "DPoP t"), ("authorization", "DPoP t")];
    assert_eq!(run(&two, "/", &both), Err(Reason::TwoTokens));
    let elsewhere = [BearerSource::Cookie("at".to_owned()), BearerSource::Dpop];
    let two = [("authorization", "DPoP t"), ("cookie", "at=t")];
    assert_eq!(run(&two, "/", &elsewhere), Err(Reason::TwoTokens));
}

#[test]
fn another_scheme_is_no_token() {
    for value in [
        "",
        " ",
        "\t",
        "Basic dXNlcjpwYXNz",
        "Basic",
        "Bearerx y",
        "BearerToken",
        "Bearer-Token x",
        "XBearer t",
        "DPoP abc",
        "Negotiate YII=",
        "Digest username=\"a\", realm=\"forbearer\", nonce=\"n\"",
        "Basic xbearer y",
    ] {
        assert_eq!(authorization_alone(value), Ok(None), "{value:?}");
    }
    assert_eq!(
        run(
            &[
                ("proxy-authorization", "Bearer t"),
                ("x-authorization", "Bearer t"),
                ("authorizatio", "Bearer t")
            ],
            "/",
            &SCHEME
        ),
        Ok(None)
    );
    assert_eq!(run(&[], "/?access_token=t", &SCHEME), Ok(None));
}

#[test]
fn a_bearer_that_cannot_be_read_is_refused() {
    for value in [
        "Bearer",
        "Bearer ",
        "bearer\t",
        "Bearer\tt",
        "Bearer=t",
        "Bearer:t",
        "Bearer \tt",
        "Bearer t u",
        "Bearer Bearer t",
        "Bearer t\tu",
        "Bearer =",
        "Bearer ==",
        "Bearer t=u",
        "Bearer \"t\"",
        "Bearer t;",
        "Bearer t%41",
        "Bearer <t>",
        "Bearer t\u{7f}",
        "Bearer t\0",
        "Bearer \u{e9}",
        "Bearer t\r\nx: y",
        "Bearer\u{a0}t",
        "\u{feff}Bearer t",
        "\0Bearer t",
        "\"Bearer t",
        "(Bearer t",
        "=",
        "Basic \u{e9}",
        "Basic a\0b",
        "Basic a\nb",
    ] {
        assert_eq!(authorization_alone(value), Err(Reason::MalformedRequest), "{value:?}");
    }
}

#[test]
fn two_tokens_are_refused_however_they_come() {
    for value in [
        "Bearer a, Bearer b",
        "Bearer a,Bearer a",
        "Bearer a,b",
        "Bearer a,",
        "Bearer ,a",
        "Bearer,a",
        "Basic x, Bearer t",
        "Basic x,bearer\tt",
        "Basic Bearer t",
        "Digest a=\"b\", Bearer t",
        "Basic x;BEARER t",
    ] {
        assert_eq!(authorization_alone(value), Err(Reason::TwoTokens), "{value:?}");
    }
    for (first, second) in [
        ("Bearer a", "Bearer b"),
        ("Bearer a", "Bearer a"),
        ("Bearer a", "Basic x"),
        ("Basic x", "Bearer a"),
        ("Bearer a", ""),
        ("", "Bearer a"),
        ("Basic x", "Basic x"),
    ] {
        let headers = [("authorization", first), ("Authorization", second)];
        assert_eq!(run(&headers, "/", &SCHEME), Err(Reason::TwoTokens), "{first:?} {second:?}");
    }
    let sources = [
        BearerSource::Authorization,
        BearerSource::Header("x-token".into()),
        BearerSource::Cookie("at".into()),
        BearerSource::Query("jwt".into()),
    ];
    let all: [(Headers, &str); 4] = [
        (&[("authorization", "Bearer a")], "/"),
        (&[("x-token", "a")], "/"),
        (&[("cookie", "at=a")], "/"),
        (&[], "/?jwt=a"),
    ];
    for (one, (headers, target)) in all.iter().enumerate() {
        assert_eq!(run(headers, target, &sources), token("a", one));
        for (other, (more, query)) in all.iter().enumerate().filter(|(other, _)| *other != one) {
            let target = if *target == "/" { query } else { target };
            assert_eq!(
                run(&[*headers, *more].concat(), target, &sources),
                Err(Reason::TwoTokens),
                "{one} {other}"
            );
        }
    }
}

#[test]
fn a_header_of_its_own() {
    let sources = [BearerSource::Header("x-token".to_owned())];
    assert_eq!(run(&[("X-Token", " t ")], "/", &sources), token("t", 0));
    assert_eq!(run(&[("x-token", "")], "/", &sources), Ok(None));
    assert_eq!(run(&[("authorization", "Bearer t")], "/", &sources), Ok(None));
    assert_eq!(run(&[("x-token", "Bearer t")], "/", &sources), Err(Reason::MalformedRequest));
    assert_eq!(run(&[("x-token", "a,b")], "/", &sources), Err(Reason::TwoTokens));
    for second in ["t", "u", ""] {
        assert_eq!(
            run(&[("x-token", "t"), ("X-TOKEN", second)], "/", &sources),
            Err(Reason::TwoTokens)
        );
    }
    // Another spelling is one header to some readers, and none that the filter could remove.
    for spelling in ["x_token", "X_Token", "x.token", "x~token"] {
        assert_eq!(
            run(&[(spelling, "t")], "/", &sources),
            Err(Reason::MalformedRequest),
            "{spelling}"
        );
        assert_eq!(
            run(&[("x-token", "t"), (spelling, "u")], "/", &sources),
            Err(Reason::MalformedRequest),
            "{spelling}"
        );
    }
    assert_eq!(
        run(&[("xtoken", "t"), ("x--token", "t"), ("x-tokens", "t")], "/", &sources),
        Ok(None)
    );
}

#[test]
fn cookies_are_read_exactly() {
    let sources = [BearerSource::Cookie("at".to_owned())];
    for cookie in [
        "at=t",
        "a=b; at=t",
        "at=t; a=b",
        "a=b;at=t;c",
        " at = t ;",
        "AT=x; at=t; xat=y; atx=z; =at",
    ] {
        assert_eq!(run(&[("Cookie", cookie)], "/", &sources), token("t", 0), "{cookie}");
    }
    for cookie in ["", "at", "at=", "AT=t", "xat=t", "a=at=t", "a=\"at\"", "%61t=t"] {
        assert_eq!(run(&[("cookie", cookie)], "/", &sources), Ok(None), "{cookie}");
    }
    for cookie in ["at=t; at=t", "at=t; at=u", "at=; at=t", "at=t;at=", "at=t,u"] {
        assert_eq!(run(&[("cookie", cookie)], "/", &sources), Err(Reason::TwoTokens), "{cookie}");
    }
    for cookie in ["at=\"t\"", "at=t u", "at=t%2e", "at=a=b", "at=t\u{e9}"] {
        assert_eq!(
            run(&[("cookie", cookie)], "/", &sources),
            Err(Reason::MalformedRequest),
            "{cookie}"
        );
    }
    // HTTP/2 clients send one field a cookie.
    assert_eq!(run(&[("cookie", "a=b"), ("cookie", "at=t")], "/", &sources), token("t", 0));
    assert_eq!(
        run(&[("cookie", "at=t"), ("cookie", "at=t")], "/", &sources),
        Err(Reason::TwoTokens)
    );
}

#[test]
fn query_parameters_are_decoded_once() {
    let sources = [BearerSource::Query("jwt".to_owned())];
    for target in [
        "/?jwt=a.b",
        "/p?x=1&jwt=a.b",
        "/?jwt=a.b&x",
        "/?jwt=a%2Eb",
        "/?jwt=%61%2eb",
        "/?%6Awt=a.b",
        "/?j%77%74=a.b",
        "http://h/?jwt=a.b",
        "/?x=1;jwt=a.b",
    ] {
        assert_eq!(run(&[], target, &sources), token("a.b", 0), "{target}");
    }
    assert_eq!(run(&[], "/?jwt=a%2B%2f%3D", &sources), token("a+/=", 0));
    for target in [
        "/",
        "/?",
        "/?jwt",
        "/?jwt=",
        "/?JWT=a",
        "/jwt=a",
        "/?x=jwt=a",
        "/?jwt%=a",
        "/?jwt+=a",
        "/?jwt%00=a",
        "/?%256awt=a",
        "/?xjwt=a&jwtx=b",
    ] {
        assert_eq!(run(&[], target, &sources), Ok(None), "{target}");
    }
    for target in [
        "/?jwt=a&jwt=a",
        "/?jwt=a&%6awt=b",
        "/?jwt=a;jwt=b",
        "/?jwt=&jwt=a",
        "/?jwt&jwt=a",
        "/?jwt=a#&jwt=b",
        "/?jwt=a,b",
        "/?jwt=a%2Cb",
    ] {
        assert_eq!(run(&[], target, &sources), Err(Reason::TwoTokens), "{target}");
    }
    for target in [
        "/?jwt=a+b",
        "/?jwt=a%",
        "/?jwt=a%2",
        "/?jwt=a%zz",
        "/?jwt=a%+1",
        "/?jwt=%252e",
        "/?jwt=a%00",
        "/?jwt=a%20b",
        "/?jwt=a?b",
        "/?jwt=a%0d%0a",
        "/?jwt==a",
    ] {
        assert_eq!(run(&[], target, &sources), Err(Reason::MalformedRequest), "{target}");
    }
}

#[test]
fn the_size_is_bounded_exactly() {
    let fits = "t".repeat(TOKEN_BYTES_MAX);
    let over = "t".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(authorization_alone(&format!("Bearer {fits}")), token(&fits, 0));
    assert_eq!(authorization_alone(&format!("Bearer {over}")), Err(Reason::Malformed));
    let sources = [BearerSource::Query("jwt".to_owned())];
    assert_eq!(
        run(&[], &format!("/?jwt={}", "%74".repeat(TOKEN_BYTES_MAX)), &sources),
        token(&fits, 0)
    );
    assert_eq!(
        run(&[], &format!("/?jwt={}", "%74".repeat(TOKEN_BYTES_MAX + 1)), &sources),
        Err(Reason::Malformed)
    );
}

#[test]
fn nothing_is_copied_but_decoded_parameters() {
    let header = "Bearer abc".to_owned();
    let found =
        find([(&b"authorization"[..], header.as_bytes())], b"/?jwt=%61", &SCHEME).unwrap().unwrap();
    assert!(matches!(found.bytes, Cow::Borrowed(_)));
    let sources = [BearerSource::Query("jwt".to_owned())];
    assert!(matches!(find([], b"/?jwt=abc", &sources).unwrap().unwrap().bytes, Cow::Borrowed(_)));
    assert_eq!(format!("{found:?}"), "Found(..)");
}

#[test]
fn a_candidate_is_the_token_before_its_grammar() {
    let located =
        locate(Field::One(b"Bearer a b"), std::iter::empty(), b"/", &SCHEME).unwrap().unwrap();
    assert_eq!((located.bytes(), located.source()), (&b"a b"[..], 0));
    assert_eq!(located.well_formed().err(), Some(Reason::MalformedRequest));
}

#[test]
fn a_token_is_taken_out_and_nothing_else() {
    for (cookie, rest) in [
        ("at=t", ""),
        ("a=b; at=t", "a=b"),
        ("at=t;a=b;c=\"d e\"", "a=b; c=\"d e\""),
        ("a=b", "a=b"),
        ("AT=t; at", "AT=t; at"),
        (";; at=t ;", ""),
    ] {
        assert_eq!(without_cookie(cookie.as_bytes(), "at"), rest.as_bytes(), "{cookie}");
    }
    for (target, rest) in [
        ("/p", "/p"),
        ("/p?", "/p?"),
        ("/p?jwt=t", "/p"),
        ("/p?jwt", "/p"),
        ("/p?a=1&jwt=t&b=%2F", "/p?a=1&b=%2F"),
        ("/p?jwt=t&a=1&b", "/p?a=1&b"),
        ("/p?a=1;jwt=t&b=2", "/p?a=1&b=2"),
        ("/p?a=1&&b", "/p?a=1&&b"),
        ("/p?%6awt=t&a", "/p?a"),
        ("/p?a&jwt=t", "/p?a"),
        ("/p?a?jwt=t", "/p?a?jwt=t"),
    ] {
        let rest_of = String::from_utf8(without_query(target.as_bytes(), "jwt")).unwrap();
        assert_eq!(rest_of, rest, "{target}");
    }
}

/// RFC 6750 once more, over text and by cutting.
fn plain_reading(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let candidate = rest.trim_start_matches(' ');
    let body = candidate.trim_end_matches('=');
    let good =
        !body.is_empty() && body.chars().all(|c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
    (scheme.eq_ignore_ascii_case("bearer") && good).then_some(candidate)
}

fn any_source() -> impl Strategy<Value = BearerSource> {
    prop_oneof![
        Just(BearerSource::Authorization),
        Just(BearerSource::Header("x-token".to_owned())),
        Just(BearerSource::Cookie("at".to_owned())),
        Just(BearerSource::Query("jwt".to_owned())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_token_is_found_exactly_where_the_grammar_has_one(value in "([Bb]earer|BEARER|Basic)[ =,\t]{0,3}[a-c0./+=,~ -]{0,6}") {
        let value = value.trim_matches([' ', '\t']);
        let found = authorization_alone(value);
        prop_assert_eq!(found.clone().ok().flatten().map(|(text, _)| text), plain_reading(value).map(str::to_owned));
        if found == Ok(None) {
            prop_assert!(value.get(..6).is_none_or(|scheme| !scheme.eq_ignore_ascii_case("bearer")) || value.as_bytes().get(6).is_some_and(|b| is_tchar(*b)));
        }
    }

    #[test]
    fn any_second_occurrence_is_refused(first in "[a-z]{1,4}", second in "[a-z]{0,4}", swap: bool) {
        let sources = [BearerSource::Authorization, BearerSource::Cookie("at".into()), BearerSource::Query("jwt".into())];
        let (first, second) = if swap { (second, first) } else { (first, second) };
        prop_assert_eq!(run(&[("cookie", &format!("at={first}; at={second}"))], "/", &sources), Err(Reason::TwoTokens));
        prop_assert_eq!(run(&[], &format!("/?jwt={first}&a=b&jwt={second}"), &sources), Err(Reason::TwoTokens));
        let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
        let repeated = run(&[("authorization", &first), ("authorization", &second)], "/", &sources);
        prop_assert!(repeated.is_err());
    }

    #[test]
    fn no_bytes_panic_and_what_is_found_is_clean(
        headers in prop::collection::vec((prop::sample::select(&["authorization", "x-token", "x_token", "cookie", "other"][..]), prop_oneof![
            prop::collection::vec(any::<u8>(), 0..24),
            "(Bearer|bearer|Basic)?[ ,]{0,2}[a-z.=,;\" ]{0,10}(at=[a-z;]{0,5})?".prop_map(String::into_bytes),
        ]), 0..4),
        target in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "/[?]((jwt|%6awt|x)(=[a-z%0-9+]{0,6})?[&;#]){0,4}".prop_map(String::into_bytes)],
        sources in prop::collection::vec(any_source(), 0..20),
    ) {
        let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        if let Ok(Some(found)) = find(pairs, &target, &sources) {
            prop_assert!(found.source < sources.len());
            prop_assert!(found.bytes.iter().all(|b| b.is_ascii_graphic() && !b",;\"\\%#?&".contains(b)));
        }
        for (_, value) in &headers {
            let cleaned = without_cookie(value, "at");
            prop_assert!(cookies(&cleaned).all(|pair| cookie_value(pair, b"at").is_none()));
        }
        let cleaned = without_query(&target, "jwt");
        prop_assert_eq!(find([], &cleaned, &[BearerSource::Query("jwt".into())]), Ok(None));
        prop_assert_eq!(without_query(&cleaned, "jwt"), cleaned);
    }
}

#[test]
fn a_prefix_stands_before_the_token() {
    let sources =
        [BearerSource::Prefixed { header: "x-auth".to_owned(), prefix: "Bearer ".to_owned() }];
    let of = |value: &str| run(&[("X-Auth", value)], "/", &sources);
    for value in ["Bearer t.u", "bearer  t.u", " BEARER t.u "] {
        assert_eq!(of(value), token("t.u", 0), "{value:?}");
    }
    for value in ["t.u", "Bearer", "Bearer ", "Basic t.u", "Bearert.u", "Bearer a b"] {
        assert_eq!(of(value), Err(Reason::MalformedRequest), "{value:?}");
    }
    assert_eq!(of("Bearer t, Bearer u"), Err(Reason::TwoTokens));
    assert_eq!(of(""), Ok(None));
    assert_eq!(
        run(&[("x-auth", "Bearer t"), ("x-auth", "")], "/", &sources),
        Err(Reason::TwoTokens)
    );
    assert_eq!(run(&[("x_auth", "Bearer t")], "/", &sources), Err(Reason::MalformedRequest));
}

#[test]
fn a_jwt_with_padding_is_a_bad_jwt() {
    for value in ["a=.b==.c", "a=.b.c==", "a.b=.c", "=a.b.c"] {
        assert_eq!(authorization_alone(&format!("Bearer {value}")), Err(Reason::Malformed));
    }
    for value in ["a=b", "=", "===", "a=.b c", "a=.\u{e9}.c"] {
        assert_eq!(
            authorization_alone(&format!("Bearer {value}")),
            Err(Reason::MalformedRequest),
            "{value}"
        );
    }
}
