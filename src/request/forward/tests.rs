use proptest::prelude::*;
use serde_json::json;

use super::*;

fn text(claim: Value) -> Option<String> {
    value(&claim, 1024).expect("short enough")
}

#[test]
fn simple_claims_are_their_text() {
    for (claim, expected) in [
        (json!("alice"), "alice"),
        (json!("a b"), "a b"),
        (json!("a,b"), "a,b"),
        (json!("\"quoted\" ~!"), "\"quoted\" ~!"),
        (json!(7), "7"),
        (json!(-7), "-7"),
        (json!(1.5), "1.5"),
        (json!(18446744073709551615u64), "18446744073709551615"),
        (json!(true), "true"),
        (json!(false), "false"),
        (json!(["a"]), "a"),
        (json!(["a", "b c", 1, true, -1.5]), "a,b c,1,true,-1.5"),
    ] {
        assert_eq!(text(claim), Some(expected.to_owned()));
    }
}

#[test]
fn bytes_that_a_header_may_not_hold_are_encoded() {
    for (claim, expected) in [
        (json!("Zoë"), "Zo%C3%AB"),
        (json!("a\r\nx-admin: 1\0"), "a%0D%0Ax-admin: 1%00"),
        (json!("\t\u{7f}\u{80}"), "%09%7F%C2%80"),
        (json!("100%"), "100%25"),
        (json!("Zo%C3%AB"), "Zo%25C3%25AB"),
        (json!(" a "), "%20a%20"),
        (json!("  "), "%20%20"),
        (json!("   "), "%20 %20"),
        (json!(" "), "%20"),
        (json!([" a", "b "]), "%20a,b%20"),
        (json!(["a\n", "é"]), "a%0A,%C3%A9"),
        (json!(["a,\u{7f}é\n"]), "[\"a,%7F%C3%A9\\n\"]"),
    ] {
        assert_eq!(text(claim), Some(expected.to_owned()));
    }
}

#[test]
fn arrays_that_could_be_read_in_two_ways_are_json() {
    for (claim, expected) in [
        (json!(["a,b"]), r#"["a,b"]"#),
        (json!(["a", "b,c", 1, true]), r#"["a","b,c",1,true]"#),
        (json!([""]), r#"[""]"#),
        (json!(["a", ""]), r#"["a",""]"#),
        (json!(["[\"admin\"]"]), r#"["[\"admin\"]"]"#),
        (json!(["[", "]"]), r#"["[","]"]"#),
        (json!([",", "100%"]), r#"[",","100%25"]"#),
    ] {
        assert_eq!(text(claim), Some(expected.to_owned()));
    }
}

#[test]
fn other_claims_are_not_forwarded() {
    for claim in [
        json!(null),
        json!({}),
        json!({"a": "b"}),
        json!([]),
        json!([null]),
        json!(["a", null]),
        json!([["a"]]),
        json!(["a", {}]),
        json!(""),
    ] {
        assert_eq!(text(claim.clone()), None, "{claim}");
        assert_eq!(value(&claim, 0), Ok(None), "{claim}");
    }
}

#[test]
fn the_size_after_encoding_is_bounded_exactly() {
    assert_eq!(value(&json!("abcd"), 4), Ok(Some("abcd".to_owned())));
    assert_eq!(value(&json!("abcde"), 4), Err(TooLong));
    assert_eq!(value(&json!("é"), 6), Ok(Some("%C3%A9".to_owned())));
    assert_eq!(value(&json!("é"), 5), Err(TooLong));
    assert_eq!(value(&json!(["ab", "c"]), 4), Ok(Some("ab,c".to_owned())));
    assert_eq!(value(&json!(["ab", "c"]), 3), Err(TooLong));
    assert_eq!(value(&json!(["ab", "c"]), 2), Err(TooLong));
    assert_eq!(value(&json!(["a,b"]), 7), Ok(Some("[\"a,b\"]".to_owned())));
    assert_eq!(value(&json!(["a,b"]), 6), Err(TooLong));
    assert_eq!(value(&json!(1000), 3), Err(TooLong));
    assert_eq!(value(&json!("a"), 0), Err(TooLong));
}

#[test]
fn our_headers_are_reserved_in_every_spelling() {
    let ours = ["x-user", "x-roles"];
    for name in [
        "x-user",
        "X-User",
        "X-USER",
        "x_user",
        "X_User",
        "x.user",
        "x-roles",
        "x-consumer-id",
        "X-Consumer-Username",
        "x_consumer_custom_id",
        "X_CONSUMER-groups",
        "x-consumer-",
        "x-consumer-anything",
        "x-credential-identifier",
        "X_Credential_Identifier",
        "x-credential_identifier",
        "x-anonymous-consumer",
        "X-ANONYMOUS_CONSUMER",
    ] {
        assert!(is_reserved(name.as_bytes(), &ours), "{name}");
    }
    for name in [
        "",
        "x",
        "xuser",
        "x-users",
        "x--user",
        "x-use",
        "user",
        "x-consumer",
        "xconsumer-id",
        "x-credential-identifiers",
        "x-anonymous",
        "authorization",
        "x-user ",
    ] {
        assert!(!is_reserved(name.as_bytes(), &ours), "{name}");
    }
    assert!(!is_reserved(b"x-user", &[] as &[&str]));
    assert!(is_reserved(b"X_payload", &["x-payload".to_owned()]));
}

/// The undoing that the module promises.
fn undo(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = if *first == b'%' {
            crate::request::path::hex_pair(tail).expect("an encoding")
        } else {
            (*first, tail)
        };
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => ".{0,8}".prop_map(Value::String),
        3 => "[ a%,\\[\\]\"\r\n\0é]{0,4}".prop_map(Value::String),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(|n| if n.is_finite() { json!(n) } else { json!(0) }),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_clean_and_bounded(claim in prop_oneof![scalar(), prop::collection::vec(scalar(), 0..5).prop_map(Value::from)], bytes_max in 0usize..40) {
        if let Ok(Some(text)) = value(&claim, bytes_max) {
            prop_assert!(!text.is_empty() && text.len() <= bytes_max);
            prop_assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            prop_assert!(!text.starts_with(' ') && !text.ends_with(' '));
        }
    }

    #[test]
    fn a_string_can_be_had_back(text in ".{1,20}") {
        let forwarded = value(&json!(text), 1 << 16).unwrap().unwrap();
        prop_assert_eq!(undo(&forwarded), text.as_bytes());
    }

    #[test]
    fn an_array_of_strings_can_be_had_back(list in prop::collection::vec("[ a%,\\[\\]\"\r\n\0é]{0,4}", 1..5)) {
        let forwarded = value(&json!(list), 1 << 16).unwrap().unwrap();
        let read: Vec<String> = if forwarded.starts_with('[') {
            serde_json::from_slice(&undo(&forwarded)).expect("JSON")
        } else {
            forwarded.split(',').map(|element| String::from_utf8(undo(element.trim_matches(' '))).expect("UTF-8")).collect()
        };
        prop_assert_eq!(read, list);
    }

    #[test]
    fn every_spelling_is_reserved(name in "[a-z]{1,6}(-[a-z]{1,4}){0,3}", styles in prop::collection::vec(0u8..4, 30)) {
        let spelled: Vec<u8> = name.bytes().zip(&styles).map(|(byte, style)| match (byte, style) {
            (b'-', 0) => b'_',
            (b'-', 1) => b'.',
            (byte, 2) => byte.to_ascii_uppercase(),
            (byte, _) => byte,
        }).collect();
        prop_assert!(is_reserved(&spelled, &[name]));
    }

    #[test]
    fn no_name_panics(name in prop::collection::vec(any::<u8>(), 0..40), ours in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..10), 0..3)) {
        let _ = is_reserved(&name, &ours);
    }
}
