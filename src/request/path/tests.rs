use proptest::prelude::*;

use super::*;
use PathPolicy::{Lenient, Strict};

fn strict(raw: &str) -> Result<String, Reason> {
    let target = Target::parse(raw.as_bytes(), Strict)?;
    // A path is bytes, and need not be UTF-8 once it is decoded.
    Ok(String::from_utf8_lossy(&target.path).into_owned())
}

fn lenient(raw: &str) -> Result<String, Reason> {
    let target = Target::parse(raw.as_bytes(), Lenient)?;
    // A path is bytes, and need not be UTF-8 once it is decoded.
    Ok(String::from_utf8_lossy(&target.path).into_owned())
}

fn covers(rule: &PathMatch, raw: &str) -> bool {
    let target = Target::parse(raw.as_bytes(), Strict).expect(raw);
    path_matches(rule, &target.path).is_some()
}

#[test]
fn a_plain_path_is_itself_and_not_copied() {
    for raw in
        ["/", "/orders", "/orders/", "/a/b.c/...d/..e/f..", "/~a/!$&'()*+,:@=", "/a{b}|^`\"<>"]
    {
        let target = Target::parse(raw.as_bytes(), Strict).unwrap();
        assert!(matches!(target.path, Cow::Borrowed(path) if path == raw.as_bytes()), "{raw}");
        assert_eq!((target.query, target.authority), (None, None));
    }
    let target = Target::parse(b"/a?b=/../%2e%zz;\\//?c", Strict).unwrap();
    assert_eq!((&*target.path, target.query), (&b"/a"[..], Some(&b"b=/../%2e%zz;\\//?c"[..])));
    assert_eq!(Target::parse(b"/a?", Strict).unwrap().query, Some(&b""[..]));
}

#[test]
fn all_spellings_of_a_path_are_one() {
    for (raw, path) in [
        ("/%6frders", "/orders"),
        ("/%6Frders", "/orders"),
        ("/%7Ea%2Db%5Fc", "/~a-b_c"),
        ("/%40me", "/@me"),
        ("/a%2Cb%3Bc%3Dd", "/a,b;c=d"),
        ("/caf%c3%a9", "/café"),
        ("/caf%C3%A9", "/café"),
        ("/a%20b", "/a b"),
        ("/a+b", "/a+b"),
        ("/c%23", "/c#"),
        ("/%61%62/%63", "/ab/c"),
    ] {
        assert_eq!(strict(raw).as_deref(), Ok(path), "{raw}");
    }
}

#[test]
fn what_others_could_read_as_another_path_is_refused() {
    for raw in [
        // Segments.
        "//",
        "//a",
        "/a//b",
        "/a//",
        "/.",
        "/./a",
        "/a/.",
        "/a/./b",
        "/..",
        "/../a",
        "/a/..",
        "/a/../b",
        "/a/..//b",
        // Encoded structure.
        "/%2e",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/a%2e",
        "/a.b%2Ec",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a%25b",
        "/a%252fb",
        "/a%3fb",
        "/a%3Fb",
        "/a%00",
        "/a%0a",
        "/a%0D",
        "/%1f",
        "/%7f",
        // Other separators and their kind.
        "/a\\b",
        "/..\\a",
        "/\\",
        "/a;b",
        "/a;",
        "/;",
        "/open/..;/admin",
        "/a;jsessionid=1/b",
        "/a#",
        "/a#b",
        "/#/../b",
        "/a?b#c",
        // Encodings that are none.
        "/%",
        "/a%",
        "/a%2",
        "/a%g0",
        "/a%0g",
        "/%%41",
        "/%+1",
        "/%-1",
        "/% 1",
        "/%u0041",
        // Bytes.
        "/a b",
        "/a\tb",
        "/a\0",
        "/\u{7f}",
        "/é",
        "/a\r\nb",
        "/a?b c",
        "/a?\0",
        "/a?\u{7f}",
        // No path.
        "",
        "a",
        "orders",
        "?",
        "?a",
        "#",
        "**",
        "*?",
        "*/",
        "idp.example:443",
        " /a",
        // No absolute form.
        "http:",
        "http:/a",
        "http://",
        "http:///a",
        "http://?a",
        "ftp://h/a",
        "https//h/a",
        "http://a@h/b",
        "http://h\\@x/b",
        "http://h%2fa/b",
        "http://h#/a",
        "http:// h/a",
        "http://h//a",
        "http://h/../a",
        "http://h/a%2fb",
        "http://é/a",
    ] {
        assert_eq!(strict(raw), Err(Reason::BadPath), "{raw:?}");
    }
}

#[test]
fn the_absolute_form_names_its_authority() {
    for (raw, path, query, authority) in [
        ("http://h/a?b", "/a", Some("b"), "h"),
        ("HTTPS://Host:8443/%61", "/a", None, "Host:8443"),
        ("http://h", "/", None, "h"),
        ("http://h?q=//", "/", Some("q=//"), "h"),
        ("http://[::1]:80/", "/", None, "[::1]:80"),
    ] {
        let target = Target::parse(raw.as_bytes(), Strict).unwrap();
        assert_eq!(
            (&*target.path, target.query, target.authority),
            (path.as_bytes(), query.map(str::as_bytes), Some(authority.as_bytes())),
            "{raw}"
        );
    }
    assert_eq!(strict("*").as_deref(), Ok("*"));
}

#[test]
fn lenient_takes_paths_as_they_are() {
    for (raw, path) in [
        ("/a//b/../c/.", "/a//b/../c/."),
        ("/a;b\\c", "/a;b\\c"),
        ("/é", "/é"),
        ("/%6f%2fa%5C%25%3f%00%0a", "/o%2Fa%5C%25%3F%00%0A"),
        ("/%3b%23", "/%3B%23"),
        ("/%2e%2E/a", "/../a"),
        ("/%zz%4", "/%zz%4"),
        ("/%2541", "/%2541"),
        ("/%%341", "/%41"),
    ] {
        assert_eq!(lenient(raw).as_deref(), Ok(path), "{raw}");
    }
    for raw in ["", "a", "/a b", "/a\0", "/a#b", "/a\nb", "/\u{7f}", "http://a@h/"] {
        assert_eq!(lenient(raw), Err(Reason::BadPath), "{raw:?}");
    }
}

#[test]
fn an_exact_path_is_exact() {
    let orders = exact("/orders", Strict).unwrap();
    assert!(
        covers(&orders, "/orders")
            && covers(&orders, "/%6frders")
            && covers(&orders, "/orders?a=b")
            && covers(&orders, "http://h/orders")
    );
    for raw in ["/", "/orders/", "/orders/1", "/orders2", "/Orders", "/ORDERS", "/order", "*"] {
        assert!(!covers(&orders, raw), "{raw}");
    }
    assert!(covers(&exact("/caf\u{e9}", Strict).unwrap(), "/caf%c3%a9"));
    assert!(covers(&exact("/caf%C3%A9", Strict).unwrap(), "/caf%c3%a9"));
    assert!(covers(&exact("/users/@me", Strict).unwrap(), "/users/%40me"));
    assert!(
        covers(&exact("/orders/", Strict).unwrap(), "/orders/")
            && !covers(&exact("/orders/", Strict).unwrap(), "/orders")
    );
}

#[test]
fn a_prefix_ends_with_a_segment() {
    for text in ["/orders", "/orders/"] {
        let orders = prefix(text, Strict).unwrap();
        for raw in ["/orders", "/orders/", "/orders/1", "/orders/1/2/", "/%6frders/1"] {
            assert!(covers(&orders, raw), "{text} {raw}");
        }
        for raw in [
            "/",
            "/orders2",
            "/orders-old/1",
            "/orders.json",
            "/Orders/1",
            "/a/orders",
            "/order",
            "*",
        ] {
            assert!(!covers(&orders, raw), "{text} {raw}");
        }
    }
    let all = prefix("/", Strict).unwrap();
    assert!(covers(&all, "/") && covers(&all, "/a") && covers(&all, "/a/b/") && !covers(&all, "*"));
}

#[test]
fn a_capture_is_one_segment() {
    let orders = template("/v1/{id}/items/{item}", Strict).unwrap();
    let target = Target::parse(b"/v1/a%40b/items/7", Strict).unwrap();
    let captures = path_matches(&orders, &target.path).unwrap();
    assert_eq!(
        (captures.get("id"), captures.get("item"), captures.get("v1"), captures.get("")),
        (Some(&b"a@b"[..]), Some(&b"7"[..]), None, None)
    );
    for raw in [
        "/v1/a/items/7/",
        "/v1/a/items/",
        "/v1/a/items",
        "/v1/a/b/items/7",
        "/v1/a/Items/7",
        "/v2/a/items/7",
        "/",
        "*",
        "/v1",
    ] {
        assert!(!covers(&orders, raw), "{raw}");
    }
    let one = template("/v1/{id}", Strict).unwrap();
    assert!(
        covers(&one, "/v1/a")
            && !covers(&one, "/v1/")
            && !covers(&one, "/v1/a/")
            && !covers(&one, "/v1/a/b")
    );
    assert!(
        covers(&template("/{a}/", Strict).unwrap(), "/x/")
            && !covers(&template("/{a}/", Strict).unwrap(), "/x")
    );
}

#[test]
fn rules_that_no_request_meets_are_refused() {
    for text in [
        "",
        "orders",
        "/a//b",
        "/a/../b",
        "/a?b",
        "/a#b",
        "/a;b",
        "/a b",
        "/a\\b",
        "/%2f",
        "/%",
        "/%ff",
        "*",
        "http://h/a",
    ] {
        assert!(exact(text, Strict).is_err(), "{text}");
        assert!(prefix(text, Strict).is_err(), "{text}");
    }
    for text in
        ["/a", "/{a}/{a}", "/x{a}", "/{a}x", "/{a", "/a}", "/{}", "/{a-b}", "/{a}{b}", "{a}"]
    {
        assert!(template(text, Strict).is_err(), "{text}");
    }
    assert!(exact("/a;b//c", Lenient).is_ok());
}

fn rule() -> RuleMatch {
    RuleMatch {
        path: Some(prefix("/orders", Strict).unwrap()),
        methods: vec!["GET".into(), "PUT".into()],
        hosts: vec!["api.example".into()],
        route: Some("r1".into()),
        ignore_case: false,
    }
}

#[test]
fn everything_that_a_rule_names_must_hold() {
    let good = Request {
        method: b"GET",
        host: b"API.example.:8443",
        route: Some(b"r1"),
        path: b"/orders/1",
    };
    let holds = |request: &Request| matches(&rule(), request).is_some();
    assert!(holds(&good));
    assert!(holds(&Request { method: b"put", ..good }));
    for bad in [
        Request { method: b"POST", ..good },
        Request { method: b"", ..good },
        Request { method: b"GETX", ..good },
        Request { host: b"", ..good },
        Request { host: b"example", ..good },
        Request { host: b"xapi.example", ..good },
        Request { host: b"api.example.evil", ..good },
        Request { host: b"api.example@evil", ..good },
        Request { route: None, ..good },
        Request { route: Some(b"r10"), ..good },
        Request { route: Some(b"R1"), ..good },
        Request { path: b"/orders1", ..good },
    ] {
        assert!(!holds(&bad));
    }
    assert!(
        matches(
            &RuleMatch::default(),
            &Request { method: b"X", host: b"", route: None, path: b"*" }
        )
        .is_some()
    );
}

#[test]
fn a_host_is_a_name() {
    for (authority, name) in [
        ("h", "h"),
        ("h:80", "h"),
        ("h.", "h"),
        ("h.:80", "h"),
        ("h:", "h"),
        ("h:x:1", "h"),
        ("u@h:80", "h"),
        ("u:p@h", "h"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("[::1", "[::1"),
        ("", ""),
        (":80", ""),
        (".", ""),
        ("h..", "h."),
    ] {
        assert_eq!(host_name(authority.as_bytes()), name.as_bytes(), "{authority}");
    }
}

/// Any spelling of a byte that the policy lets through.
fn spell(byte: u8, style: u8) -> String {
    match style {
        0 if byte != b'/' && byte != b'.' => format!("%{byte:02x}"),
        1 if byte != b'/' && byte != b'.' => format!("%{byte:02X}"),
        _ => char::from(byte).to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn spellings_of_one_path_are_one_path(path in "(/[a-z0-9@:,!~_-]{1,5}){1,4}/?", styles in prop::collection::vec(0u8..6, 32)) {
        let raw: String = path.bytes().zip(styles.iter().cycle()).map(|(byte, style)| spell(byte, *style)).collect();
        prop_assert_eq!(strict(&raw), Ok(path.clone()));
        let rule = exact(&path, Strict).expect("a path");
        prop_assert!(covers(&rule, &raw));
    }

    #[test]
    fn a_strict_path_has_no_second_reading(raw in "(/|//|\\.|%2e|%2F|%5c|a|%61|;|%3b|%25|%|\\\\|\\?|#|é|:){0,10}") {
        let raw = format!("/{raw}");
        if let Ok(path) = strict(&raw) {
            let sent = raw.split('?').next().expect("a path");
            // Decoding once more changes nothing, and every segment is one in the raw path too.
            prop_assert!(!path.contains(['%', '\\', '?', '\0']));
            prop_assert_eq!(path.split('/').count(), sent.split('/').count());
            let segments: Vec<&str> = path.split('/').skip(1).collect();
            prop_assert!(segments.iter().all(|segment| !matches!(*segment, "." | "..")));
            prop_assert!(segments.iter().rev().skip(1).all(|segment| !segment.is_empty()));
            prop_assert!(!sent.contains(';'));
        }
    }

    #[test]
    fn a_plain_path_is_read_as_any_other(raw in "/?[ab/_-]{0,6}[ab/._%?-]{0,2}") {
        for policy in [Strict, Lenient] {
            prop_assert_eq!(Target::parse(raw.as_bytes(), policy), Target::parse_any(raw.as_bytes(), policy));
        }
        if is_plain(raw.as_bytes()) {
            prop_assert_eq!(strict(&raw), Ok(raw));
        }
    }

    #[test]
    fn a_prefix_covers_by_segments(prefix_text in "(/[ab]{1,2}){1,2}/?", path in "(/[ab]{1,2}){1,3}/?") {
        let wanted: Vec<&str> = prefix_text.trim_end_matches('/').split('/').collect();
        let found: Vec<&str> = path.split('/').collect();
        prop_assert_eq!(covers(&prefix(&prefix_text, Strict).expect("a prefix"), &path), found.starts_with(&wanted));
    }

    #[test]
    fn no_bytes_panic(raw in prop::collection::vec(any::<u8>(), 0..60), absolute in "(http|HTTPS)://[a-z@:\\[\\]%]{0,5}[/?#%a.;]{0,6}", text in "/[a{}/%.é]{0,12}") {
        for policy in [Strict, Lenient] {
            for bytes in [&raw, absolute.as_bytes(), &[b"/", &raw[..]].concat(), text.as_bytes()] {
                if let Ok(target) = Target::parse(bytes, policy) {
                    let request = Request { method: &raw, host: &raw, route: Some(&raw), path: &target.path };
                    let _ = matches(&rule(), &request);
                    let _ = template("/a/{b}", Strict).map(|rule| path_matches(&rule, &target.path).map(|captures| captures.get("b").map(<[u8]>::to_vec)));
                }
            }
            for compile in [exact, prefix, template] {
                let _ = compile(&text, policy);
                let _ = compile(&String::from_utf8_lossy(&raw), policy);
            }
        }
        let _ = host_name(&raw);
    }
}
