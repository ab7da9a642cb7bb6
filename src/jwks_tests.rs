use super::*;
use crate::signature::{Algorithm, KeyError};
use proptest::prelude::*;

const P256: &str = r#"{"kty":"EC","crv":"P-256","kid":"p","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"e","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn all() -> AlgorithmSet {
    AlgorithmSet::from_slice(&Algorithm::ALL)
}

fn read(document: &str) -> Result<(Vec<String>, usize), JwkSetError> {
    parse(document.as_bytes(), all(), 10, 4096)
        .map(|set| (set.keys.iter().map(|key| key.kid().unwrap_or("-").to_owned()).collect(), set.skipped))
}

#[test]
fn good_keys_are_kept_in_order_and_the_rest_is_counted() {
    let private = ED.replace("\"kty\"", "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\",\"kty\"");
    let document = format!(
        r#" {{"x":{{"keys":[]}}, "keys":[{P256},{{"kty":"quantum"}},{ED},{},{},{},{private},7,null,[]]}} "#,
        ED.replace("\"kty\"", "\"use\":\"enc\",\"kty\""),
        ED.replace("\"kty\"", "\"alg\":\"ES256\",\"kty\""),
        r#"{"kty":"oct","k":"c2hvcnQ"}"#,
    );
    assert_eq!(read(&document), Ok((vec!["p".to_owned(), "e".to_owned()], 8)));
    let ed_alone = AlgorithmSet::from_slice(&[Algorithm::EdDSA]);
    let set = parse(document.as_bytes(), ed_alone, 10, 4096).unwrap();
    assert_eq!((set.keys.len(), set.skipped), (1, 9));
    assert_eq!(set.keys[0].algorithms(), ed_alone);
    assert_eq!(read(r#"{"keys":[]}"#), Ok((vec![], 0)));
    assert_eq!(read(r#"{"keys":[{}]}"#), Ok((vec![], 1)));
}

#[test]
fn what_is_no_set_is_refused() {
    for document in ["", "x", "{", r#"{"keys":[}"#, r#"{"keys":[]}{"#, "{\"keys\":[]}\u{0}", "<html>"] {
        assert_eq!(read(document), Err(JwkSetError::NotJson), "{document}");
    }
    assert_eq!(parse(b"{\"keys\":[\"\xff\"]}", all(), 1, 100).unwrap_err(), JwkSetError::NotJson);
    for document in ["[]", "7", "null", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"[[]]"#, r#"{"KEYS":[]}"#] {
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
            prop_assert!(set.keys.len() + set.skipped <= 2);
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
