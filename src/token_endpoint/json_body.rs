//! A token request as one JSON object (Auth0 documents it, Okta's and others' servers take it),
//! read as the form would be: strings alone, each name once.
//!
//! RFC 6749 knows the form alone, so how a server reads JSON isn't written anywhere. What two
//! readers could read differently isn't read: a name twice, also within its escapes, or in another
//! case (some readers don't mind the case of names, and then take the last); `null`, numbers and
//! lists.

use serde_json::Value;

use super::form::{FormError, PARAMETERS_MAX};
use crate::jwt::json;

/// The parameters.
pub(super) fn parse(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let members = json::object(body).map_err(|_| FormError::Unreadable)?;
    if members.len() > PARAMETERS_MAX {
        return Err(FormError::TooMany);
    }
    let mut parameters = Vec::with_capacity(members.len());
    for (name, value) in members {
        let Value::String(value) = value else { return Err(FormError::Unreadable) };
        if !is_name(&name) || value.chars().any(char::is_control) {
            return Err(FormError::Unreadable);
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

/// Whether no reader could take it for another name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_are_parameters() {
        let read = parse(br#" {"client_id":"c","grant_type":"client_credentials","audience":"https:\/\/api\u002fx \u00e9"} "#).unwrap();
        let pairs: Vec<(&str, &str)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for pair in [
            ("client_id", "c"),
            ("grant_type", "client_credentials"),
            ("audience", "https://api/x é"),
        ] {
            assert!(pairs.contains(&pair), "{pair:?}");
        }
        assert_eq!(parse(b"{}"), Ok(vec![]));
    }

    #[test]
    fn what_others_read_differently_is_not_read() {
        for body in [
            "",
            "null",
            "[]",
            "\"a\"",
            "{\"a\":1}",
            "{\"a\":null}",
            "{\"a\":true}",
            "{\"a\":[\"b\"]}",
            "{\"a\":{}}",
            "{\"a\":\"1\",\"a\":\"1\"}",
            "{\"a\":\"1\",\"\\u0061\":\"2\"}",
            "{\"a\":\"1\",\"A\":\"2\"}",
            "{\"A\":\"1\"}",
            "{\"\\u017fcope\":\"1\"}",
            "{\"\":\"1\"}",
            "{\"a b\":\"1\"}",
            "{\"a\":\"\\u0000\"}",
            "{\"a\":\"\\n\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"1\"}x",
            "{\"a\":\"1\",}",
            "{a:\"1\"}",
            "\u{feff}{}",
            "/**/{}",
        ] {
            assert_eq!(parse(body.as_bytes()), Err(FormError::Unreadable), "{body}");
        }
        let many: Vec<String> = (0..=PARAMETERS_MAX).map(|n| format!("\"p{n}\":\"\"")).collect();
        assert_eq!(parse(format!("{{{}}}", many.join(",")).as_bytes()), Err(FormError::TooMany));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&body);
        }
    }
}
