//! How the client says who it is (RFC 6749, section 2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::form;
use super::members::Object;

/// Credentials of an `Authorization: Basic` header.
pub(super) struct Basic {
    /// The identifier as most servers read it: decoded as a form value, else as it came.
    pub client_id: String,
    /// Whether a secret came along.
    pub has_secret: bool,
    /// Identifier, colon and secret as they came. Servers differ on whether they are form-encoded
    /// (RFC 6749 says so, many clients don't), so two spellings are never taken for one another.
    pub pair: Vec<u8>,
}

/// Reads the header's value; nothing for another scheme or for what isn't clearly a pair.
pub(super) fn basic(value: &[u8]) -> Option<Basic> {
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let encoded = rest.strip_prefix(b" ")?;
    let pair = STANDARD.decode(encoded).ok()?;
    let text = std::str::from_utf8(&pair).ok()?;
    if text.chars().any(char::is_control) {
        return None;
    }
    let (client_id, secret) = text.split_once(':')?;
    let client_id = form::decode(client_id.as_bytes()).unwrap_or_else(|| client_id.to_owned());
    let has_secret = !secret.is_empty();
    (!client_id.is_empty()).then_some(Basic { client_id, has_secret, pair })
}

/// `client_assertion_type` of a JWT (RFC 7523, section 2.2).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client that an assertion names as its issuer and its subject (RFC 7521, section 4.2; RFC
/// 7523, section 3). Its signature isn't looked at: it claims no more than a `client_id` does.
pub(super) fn asserted(assertion: &str) -> Option<String> {
    let mut segments = assertion.split('.');
    let (Some(_), Some(payload), Some(_), None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims = Object::read(&payload)?;
    let claim = |name: &str| claims.string(name).ok().flatten();
    let subject = claim("sub").filter(|subject| !subject.is_empty())?;
    (claim("iss")? == subject).then_some(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_names_its_client() {
        let written = |payload: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        assert_eq!(asserted(&written(r#"{"iss":"c","sub":"c","aud":"x"}"#)).as_deref(), Some("c"));
        for payload in [
            r#"{"iss":"c","sub":"d"}"#,
            r#"{"iss":"c"}"#,
            r#"{"sub":"c"}"#,
            r#"{"iss":"","sub":""}"#,
            r#"{"iss":1,"sub":1}"#,
            r#"{"iss":null,"sub":null}"#,
            r#"{"iss":"c","sub":"c","sub":"c"}"#,
            "[]",
            "",
        ] {
            assert_eq!(asserted(&written(payload)), None, "{payload}");
        }
        for text in
            ["", "a.b", "e30.e30.e30.e30", "e30.!.e30", "e30.eyJpc3MiOiJjIiwic3ViIjoiYyJ9==.e30"]
        {
            assert_eq!(asserted(text), None, "{text}");
        }
    }

    /// The example of RFC 6749, section 2.3.1.
    #[test]
    fn rfc_6749() {
        let read = basic(b"Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3").unwrap();
        assert_eq!(read.client_id, "s6BhdRkqt3");
        assert!(read.has_secret);
        assert_eq!(read.pair, b"s6BhdRkqt3:7Fjfp0ZBr1KtDRbnfVdmIw");
    }

    #[test]
    fn identifiers_are_form_decoded() {
        let header = |pair: &[u8]| format!("basic {}", STANDARD.encode(pair));
        assert_eq!(basic(header(b"a%62:x").as_bytes()).unwrap().client_id, "ab");
        assert_eq!(basic(header(b"100%:x").as_bytes()).unwrap().client_id, "100%");
        assert!(!basic(header(b"a:").as_bytes()).unwrap().has_secret);
    }

    #[test]
    fn what_is_not_a_pair() {
        for header in [
            "",
            "Basic",
            "Basic ",
            "Basic  YTpi",
            "Basic YTpi=",
            "Basic YTo",
            "Basic YQ==",
            "Basic OmI=",
            "Bearer YTpi",
            "Basic YTpi,YTpi",
            "Basic YQA6Yg==",
            "Basic /zpi",
        ] {
            assert!(basic(header.as_bytes()).is_none(), "{header}");
        }
        assert!(basic(b"Basic YTpi").is_some());
    }
}
