use proptest::prelude::*;
use serde_json::{Map, json};

use super::claims::DATE_S_MAX;
use super::*;

const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), encode("sig"))
}

fn refusal(token: impl AsRef<[u8]>) -> Option<Reason> {
    parse(token.as_ref()).err()
}

#[test]
fn examples_of_rfc_7515_and_7519() {
    // RFC 7515, appendix A.1, which is RFC 7519, section 3.1; A.2; A.3.
    let a1 = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let a2 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{JOE}.{}{}{}",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjb",
        "KBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES",
        "c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    let a3 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{JOE}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    for (text, algorithm, typ, signature_bytes) in [
        (&a1, Algorithm::HS256, Some("JWT"), 32),
        (&a2, Algorithm::RS256, None, 256),
        (&a3, Algorithm::ES256, None, 64),
    ] {
        let jwt = parse(text.as_bytes()).unwrap();
        assert_eq!((jwt.algorithm, jwt.typ.as_deref(), jwt.kid.as_deref()), (algorithm, typ, None));
        assert_eq!(jwt.signature.len(), signature_bytes);
        assert_eq!(jwt.signed, &text.as_bytes()[..text.rfind('.').unwrap()]);
        assert_eq!(jwt.payload_segment, JOE.as_bytes());
        assert_eq!((jwt.claims.iss.as_deref(), jwt.claims.exp), (Some("joe"), Some(1_300_819_380)));
        assert_eq!(jwt.claims.raw.get("http://example.com/is_root"), Some(&Value::Bool(true)));
    }
    // A.5 (RFC 7519, section 6.1) is unsecured, appendix E is critical, A.6's JSON serialization is
    // no token here.
    assert_eq!(refusal(format!("eyJhbGciOiJub25lIn0.{JOE}.")), Some(Reason::Algorithm));
    let e = "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.";
    assert_eq!(refusal(e), Some(Reason::Critical));
    assert_eq!(
        refusal(format!("{{\"payload\":\"{JOE}\",\"signatures\":[]}}")),
        Some(Reason::Malformed)
    );
    // RFC 7797, section 4.2, with the payload detached and unencoded.
    let b64 = "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY";
    assert_eq!(refusal(b64), Some(Reason::Critical));
}

#[test]
fn framing_is_exact() {
    let good = token(r#"{"alg":"RS256"}"#, "{}");
    assert_eq!(refusal(&good), None);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!() };
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{header}.{payload}.{signature}."),
        format!(".{header}.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}\0"),
        format!("{good}="),
        format!("{good}=="),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{}", "c2ln".replace('n', "+")),
        format!("{header}.{payload}.{}", "c2ln".replace('n', "/")),
        format!("{header}.{payload}.%63"),
        format!("{header}.{payload}.c"),
        format!("{header}\n.{payload}.{signature}"),
        format!("{header}.{payload}\u{ff0e}{signature}"),
    ] {
        assert_eq!(refusal(&bad), Some(Reason::Malformed), "{bad:?}");
    }
    // "QQ" is one byte; "QR" is the same byte with stray bits.
    assert_eq!(refusal(format!("{header}.{payload}.QQ")), None);
    assert_eq!(refusal(format!("{header}.{payload}.QR")), Some(Reason::Malformed));
    assert_eq!(refusal(format!("{header}.{payload}.QUE")), None);
    assert_eq!(refusal(format!("{header}.{payload}.QUF")), Some(Reason::Malformed));
}

#[test]
fn the_header_says_what_it_may() {
    let with = |header: &str| refusal(token(header, "{}"));
    assert_eq!(
        with(
            r#"{"alg":"RS256","kid":"k","typ":"at+jwt","cty":"x","jwk":{"kty":"oct"},"jku":"https://evil","x5u":1,"x5c":[]}"#
        ),
        None
    );
    for critical in [
        r#""crit":[]"#,
        r#""crit":["exp"]"#,
        r#""crit":null"#,
        r#""b64":true"#,
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""\u0063rit":[]"#,
    ] {
        assert_eq!(
            with(&format!(r#"{{"alg":"RS256",{critical}}}"#)),
            Some(Reason::Critical),
            "{critical}"
        );
    }
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "rs256",
        "RS256 ",
        " RS256",
        "RS256\\u0000",
        "ES521",
        "RSA-OAEP",
        "dir",
        "HS1",
        "RS1",
    ] {
        assert_eq!(with(&format!(r#"{{"alg":"{alg}"}}"#)), Some(Reason::Algorithm), "{alg:?}");
    }
    for header in [
        "{}",
        r#"{"alg":null}"#,
        r#"{"alg":["RS256"]}"#,
        r#"{"alg":256}"#,
        r#"{"Alg":"RS256"}"#,
        r#"{"alg":"RS256","kid":1}"#,
        r#"{"alg":"RS256","kid":null}"#,
        r#"{"alg":"RS256","kid":["k"]}"#,
        r#"{"alg":"RS256","typ":{}}"#,
        r#"{"alg":"RS256","alg":"RS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"RS256"}"#,
        r#"{"alg":"RS256","jwk":{"a":1,"a":2}}"#,
        r#"["RS256"]"#,
        r#"{"alg":"RS256"}x"#,
        "\u{feff}{\"alg\":\"RS256\"}",
    ] {
        assert_eq!(with(header), Some(Reason::Malformed), "{header}");
    }
    let kid = |bytes: usize| with(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(bytes)));
    assert_eq!((kid(KID_BYTES_MAX), kid(KID_BYTES_MAX + 1)), (None, Some(Reason::Malformed)));
    // An empty one names no key; Envoy takes it so too.
    assert_eq!(parse(token(r#"{"alg":"RS256","kid":""}"#, "{}").as_bytes()).unwrap().kid, None);
    // So does `null` where there is nothing to say of the type.
    assert_eq!(parse(token(r#"{"alg":"RS256","typ":null}"#, "{}").as_bytes()).unwrap().typ, None);
    // Bytes count, not characters.
    assert_eq!(
        with(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "é".repeat(257))),
        Some(Reason::Malformed)
    );
    let evil = token("{\"alg\":\"RS256\",\"kid\":\"../../dev/null\\u0000' OR 1=1\"}", "{}");
    assert_eq!(parse(evil.as_bytes()).unwrap().kid.as_deref(), Some("../../dev/null\0' OR 1=1"));
}

#[test]
fn sizes_are_bounded_exactly() {
    // A header is bounded by the token alone.
    let with_header = |bytes: usize| {
        token(&format!(r#"{{"alg":"RS256","x5c":["{}"]}}"#, "x".repeat(bytes)), "{}")
    };
    let longest =
        (12_000..12_288).rev().find(|bytes| with_header(*bytes).len() <= TOKEN_BYTES_MAX).unwrap();
    assert_eq!(refusal(with_header(longest)), None);
    for extra in 1..5 {
        assert_eq!(refusal(with_header(longest + extra)), Some(Reason::Malformed), "{extra}");
    }
    // The longest signature that there is leaves room for 10,000 bytes of header and claims.
    let signature = encode([7; 4627]);
    let claims = "x".repeat(7_000);
    let post_quantum = format!(
        "{}.{}.{signature}",
        encode(r#"{"alg":"ML-DSA-87"}"#),
        encode(format!(r#"{{"x":"{claims}"}}"#))
    );
    assert_eq!(parse(post_quantum.as_bytes()).map(|jwt| jwt.signature.len()), Ok(4627));

    let start = token(r#"{"alg":"RS256"}"#, "{}");
    let long = |bytes: usize| format!("{start}{}", "A".repeat(bytes - start.len()));
    let fits =
        (TOKEN_BYTES_MAX - 4..=TOKEN_BYTES_MAX).rev().find(|bytes| refusal(long(*bytes)).is_none());
    assert!(fits.is_some());
    for bytes in TOKEN_BYTES_MAX + 1..TOKEN_BYTES_MAX + 5 {
        assert_eq!(refusal(long(bytes)), Some(Reason::Malformed));
    }
}

#[test]
fn the_payload_is_strict() {
    let with = |payload: &str| refusal(token(r#"{"alg":"RS256"}"#, payload));
    for payload in [
        "",
        "1",
        "[]",
        "\"{}\"",
        "null",
        "{}{}",
        r#"{"iss":"a","iss":"a"}"#,
        r#"{"iss":"a","is\u0073":"b"}"#,
        r#"{"x":[{"y":1,"y":1}]}"#,
        r#"{"iss":1}"#,
        r#"{"exp":"1"}"#,
        r#"{"exp":1e400}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":253402300800}"#,
        r#"{"aud":[1]}"#,
        "\u{feff}{}",
    ] {
        assert_eq!(with(payload), Some(Reason::Malformed), "{payload}");
    }
    assert_eq!(with(" {\"exp\" : 1.5e9}\r\n"), None);
    let not_utf8 = format!(
        "{}.{}.{}",
        encode(r#"{"alg":"RS256"}"#),
        encode(b"{\"sub\":\"\xff\"}"),
        encode("s")
    );
    assert_eq!(refusal(not_utf8), Some(Reason::Malformed));
}

#[test]
fn debug_output_holds_nothing_of_the_token() {
    let text = token(r#"{"alg":"RS256","kid":"kkk"}"#, r#"{"sub":"alice"}"#);
    assert_eq!(format!("{:?}", parse(text.as_bytes()).unwrap()), "Jwt(..)");
}

/// JSON as it stands, repetitions included: what a second reader is built from.
#[derive(Debug)]
enum Node {
    Leaf,
    List(Vec<Node>),
    Members(Vec<(String, Node)>),
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Any;
        macro_rules! leaf {
            ($($name:ident: $of:ty),*) => { $(fn $name<E>(self, _: $of) -> Result<Node, E> { Ok(Node::Leaf) })* };
        }
        impl<'de> serde::de::Visitor<'de> for Any {
            type Value = Node;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            leaf!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(node) = seq.next_element()? {
                    list.push(node);
                }
                Ok(Node::List(list))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Members(members))
            }
        }
        reader.deserialize_any(Any)
    }
}

impl Node {
    fn depth(&self) -> usize {
        match self {
            Node::Leaf => 0,
            Node::List(list) => 1 + list.iter().map(Node::depth).max().unwrap_or(0),
            Node::Members(members) => {
                1 + members.iter().map(|(_, node)| node.depth()).max().unwrap_or(0)
            }
        }
    }

    fn repeats(&self) -> bool {
        match self {
            Node::Leaf => false,
            Node::List(list) => list.iter().any(Node::repeats),
            Node::Members(members) => {
                let mut names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
                names.sort();
                names.windows(2).any(|pair| pair[0] == pair[1])
                    || members.iter().any(|(_, node)| node.repeats())
            }
        }
    }
}

/// What the module promises, said a second time with serde_json and base64 alone.
fn reference(token: &str) -> Option<Map<String, Value>> {
    let object = |segment: &str| -> Option<(Map<String, Value>, usize)> {
        let bytes = URL_SAFE_NO_PAD.decode(segment).ok()?;
        let node: Node = serde_json::from_slice(&bytes).ok()?;
        let members = serde_json::from_slice(&bytes).ok()?;
        (!node.repeats() && node.depth() <= 16).then_some((members, bytes.len()))
    };
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else { return None };
    let (header, header_bytes) = object(header)?;
    let (payload, _) = object(payload)?;
    let text =
        |members: &Map<String, Value>, name: &str| members.get(name).is_none_or(Value::is_string);
    let text_or_null = |members: &Map<String, Value>, name: &str| {
        text(members, name) || members.get(name) == Some(&Value::Null)
    };
    let date = |name: &str| {
        payload
            .get(name)
            .is_none_or(|v| v.as_f64().is_some_and(|s| (0.0..=253_402_300_799.0).contains(&s)))
    };
    let aud = payload.get("aud").is_none_or(|v| {
        v.is_string() || v.as_array().is_some_and(|list| list.iter().all(Value::is_string))
    });
    let good = token.len() <= 16 * 1024
        && header_bytes <= 4096
        && !signature.is_empty()
        && URL_SAFE_NO_PAD.decode(signature).is_ok()
        && ["crit", "b64", "zip"].iter().all(|name| !header.contains_key(*name))
        && header
            .get("alg")
            .and_then(Value::as_str)
            .is_some_and(|alg| Algorithm::parse(alg).is_some())
        && header.get("kid").is_none_or(|kid| kid.as_str().is_some_and(|kid| kid.len() <= 512))
        && text_or_null(&header, "typ")
        && text_or_null(&payload, "azp")
        && ["iss", "sub", "jti", "client_id"].iter().all(|name| text(&payload, name))
        && ["exp", "nbf", "iat"].iter().all(|name| date(name))
        && aud;
    good.then_some(payload)
}

/// JSON text with few names, so that they repeat, in several spellings.
fn json_text(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["1", "0", "-1", "1.5", "1e10", "1e400", "253402300799", "253402300800", "true", "null", "\"\"", "\"a\"", "\"\\u0061\"", "\"RS256\"", "\"none\""]).prop_map(str::to_owned),
        1 => "\"[a-z\u{e9}]{0,8}\"".prop_map(|text| text),
    ];
    let value = leaf.prop_recursive(5, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|list| format!("[{}]", list.join(","))),
            members(inner, names),
        ]
    });
    members(value, names)
}

fn members(
    value: impl Strategy<Value = String>,
    names: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let name = (prop::sample::select(names), 0u8..6).prop_map(|(name, style)| match style {
        0 => name.chars().map(|c| format!("\\u{:04x}", c as u32)).collect(),
        _ => name.to_owned(),
    });
    prop::collection::vec((name, value), 0..5).prop_map(|members| {
        let members: Vec<String> =
            members.into_iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect();
        format!("{{{}}}", members.join(", "))
    })
}

const CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "azp",
    "x",
    "y",
    "z",
    "scope",
    "a.b",
    "roles",
    "n",
];
const HEADER: &[&str] = &["kid", "typ", "cty", "jku", "x5u", "crit", "w"];

fn agree(token: &str) -> Result<(), TestCaseError> {
    let expected = reference(token);
    let found = parse(token.as_bytes());
    prop_assert_eq!(found.as_ref().ok().map(|jwt| &jwt.claims.raw), expected.as_ref(), "{}", token);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn accepts_exactly_what_the_reference_accepts(payload in json_text(CLAIMS), extra in json_text(HEADER), plain: bool) {
        let header = if plain { r#"{"alg":"RS256"}"#.to_owned() } else { extra.replacen('{', r#"{"alg":"ES256","#, 1).replacen(",}", "}", 1) };
        agree(&token(&header, &payload))?;
    }

    #[test]
    fn one_changed_byte_is_read_alike_or_refused(at in 0usize..80, byte in prop::sample::select(&b"ABab09-_.=+/ \n"[..]), insert: bool) {
        let mut bytes = token(r#"{"alg":"RS256","kid":"k"}"#, r#"{"iss":"i","exp":10}"#).into_bytes();
        let at = at % bytes.len();
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        agree(std::str::from_utf8(&bytes).unwrap())?;
    }

    #[test]
    fn what_is_accepted_has_one_spelling(tail in "[A-Za-z0-9_-]{1,6}") {
        let text = format!("{}.{}.{tail}", encode(r#"{"alg":"RS256"}"#), encode("{}"));
        if let Ok(jwt) = parse(text.as_bytes()) {
            prop_assert_eq!(encode(&jwt.signature), tail);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), header in prop::collection::vec(any::<u8>(), 0..60), payload in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse(&bytes);
        let _ = json::object(&bytes);
        let _ = parse(format!("{}.{}.{}", encode(&header), encode(&payload), encode(&bytes)).as_bytes());
        let _ = parse(format!("{}.{}.{}", encode(r#"{"alg":"RS256"}"#), encode(&payload), encode(&bytes)).as_bytes());
    }

    #[test]
    fn ordinary_tokens_are_accepted(sub in ".{0,30}", exp in 0u64..=DATE_S_MAX, aud in prop::collection::vec(".{0,10}", 0..4), extra in any::<f32>()) {
        let payload = json!({"iss": "i", "sub": sub, "exp": exp, "aud": aud, "extra": {"list": [extra, null, {"deep": true}]}});
        let text = token(&json!({"alg": "ES256", "kid": sub, "typ": "JWT"}).to_string(), &payload.to_string());
        let jwt = parse(text.as_bytes()).expect("an ordinary token");
        prop_assert_eq!(jwt.claims.exp, Some(exp));
        prop_assert_eq!(&jwt.claims.aud, &aud);
        prop_assert_eq!(jwt.kid.as_deref(), Some(sub.as_str()).filter(|kid| !kid.is_empty()));
        prop_assert_eq!(jwt.claims.sub, Some(sub));
    }
}

proptest! {
    #[test]
    fn the_last_dot_is_found_wherever_it_is(bytes in proptest::collection::vec(prop_oneof![Just(b'.'), Just(0x2f), Just(0x2d), Just(0), Just(0xae), any::<u8>()], 0..40)) {
        prop_assert_eq!(last_dot(&bytes), bytes.iter().rposition(|byte| *byte == b'.'));
        let none: Vec<u8> = bytes.iter().map(|byte| if *byte == b'.' { b'/' } else { *byte }).collect();
        prop_assert_eq!(last_dot(&none), None);
    }
}
