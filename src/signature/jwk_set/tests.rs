use super::*;
use crate::signature::test_keys::*;
use crate::signature::{Algorithm, KeyError};
use proptest::prelude::*;

const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"p","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ED: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn all() -> AlgorithmSet {
    AlgorithmSet::from_slice(&Algorithm::ALL)
}

fn read(document: &str) -> Result<(Vec<String>, usize), JwkSetError> {
    parse(document.as_bytes(), all(), 10, 4096).map(|set| {
        (
            set.keys.iter().map(|key| key.kid().unwrap_or("-").to_owned()).collect(),
            set.left_out.len(),
        )
    })
}

#[test]
fn good_keys_are_kept_in_order_and_the_rest_is_counted() {
    let private =
        ED.replace("\"kty\"", "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"kty\"");
    let document = format!(
        r#" {{"x":{{"keys":[]}}, "keys":[{P256},{{"kty":"quantum"}},{ED},{},{},{},{private},7,null,[]]}} "#,
        ED.replace("\"kty\"", "\"use\":\"enc\",\"kty\""),
        ED.replace("\"kty\"", "\"alg\":\"ES256\",\"kty\""),
        r#"{"kty":"oct","k":"c2hvcnQ"}"#,
    );
    assert_eq!(read(&document), Ok((vec!["p".to_owned(), "e".to_owned()], 8)));
    let ed_alone = AlgorithmSet::from_slice(&[Algorithm::EdDSA]);
    let set = parse(document.as_bytes(), ed_alone, 10, 4096).unwrap();
    assert_eq!((set.keys.len(), set.left_out.len()), (1, 9));
    assert_eq!(set.keys[0].algorithms(), ed_alone);
    assert_eq!(read(r#"{"keys":[]}"#), Ok((vec![], 0)));
    assert_eq!(read(r#"{"keys":[{}]}"#), Ok((vec![], 1)));
}

#[test]
fn what_is_no_set_is_refused() {
    for document in
        ["", "x", "{", r#"{"keys":[}"#, r#"{"keys":[]}{"#, "{\"keys\":[]}\u{0}", "<html>"]
    {
        assert_eq!(read(document), Err(JwkSetError::NotJson), "{document}");
    }
    assert_eq!(parse(b"{\"keys\":[\"\xff\"]}", all(), 1, 100).unwrap_err(), JwkSetError::NotJson);
    for document in
        ["[]", "7", "null", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"[[]]"#, r#"{"KEYS":[]}"#]
    {
        assert_eq!(read(document), Err(JwkSetError::NotASet), "{document}");
    }
    for document in [
        r#"{"keys":[],"keys":[]}"#.to_owned(),
        r#"{"keys":[],"\u006beys":[]}"#.to_owned(),
        format!(r#"{{"keys":[{}]}}"#, P256.replace("\"kid\"", "\"kid\":\"a\",\"kid\"")),
        r#"{"keys":[{"kty":"x","other":{"deep":[{"a":1,"a":2}]}}]}"#.to_owned(),
        r#"{"a":1,"keys":[],"a":1}"#.to_owned(),
    ] {
        assert_eq!(read(&document), Err(JwkSetError::DuplicateMember), "{document}");
    }
    let deep = format!(r#"{{"keys":[{}{}]}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(read(&deep), Err(JwkSetError::NotJson));
}

#[test]
fn what_is_left_out_is_named_with_its_reason() {
    let document = format!(
        r#"{{"keys":[{},{P256},{{"kid":"b","kty":"RSA","n":"*"}},{{"kid":7}},[]]}}"#,
        P256.replace("\"kty\"", "\"use\":\"enc\",\"kty\"")
    );
    let set = parse(document.as_bytes(), all(), 10, 4096).unwrap();
    let named: Vec<(Option<&str>, String)> =
        set.left_out.iter().map(|left| (left.kid.as_deref(), left.why.to_string())).collect();
    assert_eq!(named[0], (Some("p"), "\"use\" of the JWK is not \"sig\"".to_owned()));
    assert_eq!(named[1], (Some("b"), "expected base64url in \"n\"".to_owned()));
    assert_eq!((named[2].0, named[3].0, named.len()), (None, None, 4));
    let document =
        certificates(&[("a", RSA_CERTIFICATE), ("b", "-----BEGIN PGP-----"), ("c", "x")]);
    let set = parse(document.as_bytes(), all(), 10, 8192).unwrap();
    let named: Vec<Option<&str>> = set.left_out.iter().map(|left| left.kid.as_deref()).collect();
    assert_eq!((set.keys.len(), named), (1, vec![Some("b"), Some("c")]));
}

fn certificates(entries: &[(&str, &str)]) -> String {
    let members: serde_json::Map<String, serde_json::Value> = entries
        .iter()
        .map(|(kid, pem)| ((*kid).to_owned(), serde_json::Value::from(*pem)))
        .collect();
    serde_json::Value::Object(members).to_string()
}

/// What Firebase serves for its session cookies and Google for its older clients.
#[test]
fn certificates_by_kid_are_a_set() {
    let document =
        certificates(&[("one", RSA_CERTIFICATE), ("two", P256_CERTIFICATE), ("", P384_SPKI)]);
    let set = parse(document.as_bytes(), all(), 10, 8192).unwrap();
    let mut kids: Vec<Option<&str>> = set.keys.iter().map(VerifyKey::kid).collect();
    kids.sort_unstable();
    assert_eq!((kids, set.left_out.len()), (vec![None, Some("one"), Some("two")], 0));
    let by_kid = |kid| set.keys.iter().find(|key| key.kid() == kid).unwrap().fingerprint();
    assert_eq!(by_kid(Some("one")), VerifyKey::from_jwk(RSA_JWK, all()).unwrap().fingerprint());
    assert_eq!(by_kid(Some("two")), VerifyKey::from_jwk(P256_JWK, all()).unwrap().fingerprint());

    // What can't be used is left out and counted, and a private key is none that can.
    let private = RSA_SPKI.replace("PUBLIC", "PRIVATE");
    let document =
        certificates(&[("a", RSA_CERTIFICATE), ("b", &private), ("c", RSA_1024), ("d", "not one")]);
    assert_eq!(read_long(&document), Ok((vec!["a".to_owned()], 3)));
    let rs256 = AlgorithmSet::from_slice(&[Algorithm::RS256]);
    let document = certificates(&[("a", RSA_CERTIFICATE), ("b", P256_CERTIFICATE)]);
    let set = parse(document.as_bytes(), rs256, 10, 8192).unwrap();
    assert_eq!((set.keys.len(), set.left_out.len(), set.keys[0].algorithms()), (1, 1, rs256));
    let mixed =
        document.replacen('{', r#"{"x":null,"y":7,"z":["-----BEGIN CERTIFICATE-----"],"#, 1);
    assert_eq!(read_long(&mixed).map(|(kids, left)| (kids.len(), left)), Ok((2, 3)));

    // An object without a certificate in it is an answer of another kind; one with an array of keys
    // is a JWK Set.
    for document in [
        r#"{"error":"server_error"}"#,
        r#"{"a":"MIIB"}"#,
        r#"{"a":["-----BEGIN CERTIFICATE-----"]}"#,
    ] {
        assert_eq!(read(document), Err(JwkSetError::NotASet), "{document}");
    }
    let both = document.replacen('{', r#"{"keys":[],"#, 1);
    assert_eq!(read_long(&both), Ok((vec![], 0)));
    let named_keys = certificates(&[("keys", RSA_CERTIFICATE)]);
    assert_eq!(read_long(&named_keys), Err(JwkSetError::NotASet));

    let entries: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> =
        entries.iter().map(|kid| (kid.as_str(), P256_CERTIFICATE)).collect();
    assert_eq!(read_long(&certificates(&many[..10])).map(|(kids, _)| kids.len()), Ok(10));
    assert_eq!(read_long(&certificates(&many)), Err(JwkSetError::TooManyKeys { keys_max: 10 }));
    let twice = document.replacen('{', r#"{"a":"x","#, 1);
    assert_eq!(read_long(&twice), Err(JwkSetError::DuplicateMember));
}

fn read_long(document: &str) -> Result<(Vec<String>, usize), JwkSetError> {
    parse(document.as_bytes(), all(), 10, 16_384).map(|set| {
        (
            set.keys.iter().map(|key| key.kid().unwrap_or("-").to_owned()).collect(),
            set.left_out.len(),
        )
    })
}

#[test]
fn limits_hold() {
    let many = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec!["{}"; count].join(","));
    assert_eq!(read(&many(10)), Ok((vec![], 10)));
    assert_eq!(read(&many(11)), Err(JwkSetError::TooManyKeys { keys_max: 10 }));
    let document = format!("{}{}", many(1), " ".repeat(4096 - many(1).len()));
    assert_eq!(read(&document), Ok((vec![], 1)));
    let document = format!("{document} ");
    assert_eq!(read(&document), Err(JwkSetError::TooLong { bytes: 4097, bytes_max: 4096 }));
    assert_eq!(parse(P256.as_bytes(), all(), 1, 10).unwrap_err().to_string(), {
        let bytes = P256.len();
        format!("expected a JWK Set of at most 10 bytes, got {bytes}")
    });
}

proptest! {
    #[test]
    fn no_bytes_panic(document in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&document, all(), 10, 4096);
        let text = String::from_utf8_lossy(&document);
        let _ = VerifyKey::from_pem(&text, all());
        let _ = VerifyKey::from_jwk(&text, all());
    }

    #[test]
    fn no_damage_to_a_set_panics_or_adds_a_key(at in 0usize..400, with in any::<u8>(), cut in any::<bool>()) {
        let mut document = format!(r#"{{"keys":[{P256},{ED}]}}"#).into_bytes();
        let at = at % document.len();
        if cut { document.truncate(at) } else { document[at] = with }
        if let Ok(set) = parse(&document, all(), 10, 4096) {
            prop_assert!(set.keys.len() + set.left_out.len() <= 2);
        }
    }

    #[test]
    fn no_members_panic(
        kty in prop_oneof![Just("RSA"), Just("EC"), Just("OKP"), Just("oct")],
        crv in prop_oneof![Just("P-256"), Just("P-384"), Just("Ed25519")],
        n in "[A-Za-z0-9_-]{0,600}", e in "[A-Za-z0-9_-]{0,8}",
        x in "[A-Za-z0-9_-]{43}", y in "[A-Za-z0-9_-]{43}",
    ) {
        let jwk = format!(r#"{{"kty":"{kty}","crv":"{crv}","n":"{n}","e":"{e}","x":"{x}","y":"{y}"}}"#);
        if let Err(KeyError::NotJwk(why)) = VerifyKey::from_jwk(&jwk, all()) {
            prop_assert!(false, "{}", why);
        }
    }
}

#[test]
fn keys_of_another_issuer_are_left_out() {
    let of = |kid: &str, issuer: &str| {
        ED.replace("\"kid\":\"e\"", &format!("\"kid\":\"{kid}\",\"issuer\":{issuer}"))
    };
    let document = format!(
        r#"{{"keys":[{ED},{},{},{},{}]}}"#,
        of("ours", "\"https://a/1\""),
        of("theirs", "\"https://a/2\""),
        of("null", "null"),
        of("odd", "[\"https://a/2\"]"),
    );
    let set = parse(document.as_bytes(), all(), 10, 4096).unwrap();
    let set = set.admitted(|issuer| issuer == "https://a/1");
    let kids: Vec<_> = set.keys.iter().filter_map(VerifyKey::kid).collect();
    assert_eq!(kids, ["e", "ours", "null", "odd"]);
    let [LeftOut { kid, why }] = set.left_out.as_slice() else { panic!("one is left out") };
    assert_eq!((kid.as_deref(), why), (Some("theirs"), &KeyError::OfAnotherIssuer));
}
