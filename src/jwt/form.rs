//! The kinds of token, told apart by form alone. Nothing is tried: a token is of one kind, and what
//! one kind's reader refuses no other is asked about.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::json;

/// What a token is, going by its form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A JWS (RFC 7515), or what is meant as one: nobody but [`super::parse`] reads it.
    Jws,
    /// A JWE (RFC 7516): five segments, `alg` and `enc`.
    Jwe,
    /// Anything else: its issuer alone knows what it means.
    Opaque,
}

/// The form of a token.
///
/// A JWS has three segments of base64url, the first of which is a JSON object with `alg`. What is
/// written like one but badly (padding, another alphabet, a segment too many, a header that repeats
/// a member) is a bad JWT and not opaque: an endpoint that reads it more kindly than this filter
/// would open what was refused here.
pub fn form(token: &[u8]) -> Form {
    let mut segments = token.split(|byte| *byte == b'.');
    let first = segments.clone().find(|segment| !segment.is_empty()).unwrap_or_default();
    match header(first) {
        Header::None => Form::Opaque,
        Header::Bad => Form::Jws,
        Header::Read(members) => {
            let is_canonical = |segment: &[u8]| URL_SAFE_NO_PAD.decode(segment).is_ok();
            let is_jwe = segments.clone().count() == 5
                && members.contains_key("enc")
                && segments.all(is_canonical);
            if is_jwe { Form::Jwe } else { Form::Jws }
        }
    }
}

/// What the first segment of a token is.
enum Header {
    /// No header of a JWT.
    None,
    /// The header of one, read strictly; it has `alg`.
    Read(Map<String, Value>),
    /// Meant as one.
    Bad,
}

/// Base64 as kindly as any reader has it: padding or none, bits left over.
const KIND: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

fn header(segment: &[u8]) -> Header {
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(segment)
        && let Ok(members) = json::object(&bytes)
    {
        return if members.contains_key("alg") { Header::Read(members) } else { Header::None };
    }
    let plain: Vec<u8> = segment
        .iter()
        .filter(|byte| **byte != b'=')
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    // A last character that stands for no byte is left out, as kind readers do.
    let whole = plain.len() - usize::from(plain.len() % 4 == 1);
    let decoded =
        GeneralPurpose::new(&STANDARD, KIND).decode(plain.get(..whole).unwrap_or_default());
    let Ok(bytes) = decoded else { return Header::None };
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
    // By chance one random token in a hundred million has this, and is refused.
    let is_meant = text.first() == Some(&b'{') && text.windows(3).any(|three| three == b"alg");
    if is_meant { Header::Bad } else { Header::None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt;
    use base64::engine::general_purpose::URL_SAFE;
    use proptest::prelude::*;

    fn segment(text: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn the_kinds_of_the_rfcs() {
        let (jws, jwe) =
            (segment(r#"{"alg":"RS256"}"#), segment(r#"{"alg":"dir","enc":"A128GCM"}"#));
        assert_eq!(form(format!("{jws}.e30.AAAA").as_bytes()), Form::Jws);
        assert_eq!(form(format!("{jwe}..AAAA.AAAA.AAAA").as_bytes()), Form::Jwe);
        // Without `enc`, or with a segment that is none, it is a bad JWT.
        assert_eq!(form(format!("{jws}..AAAA.AAAA.AAAA").as_bytes()), Form::Jws);
        assert_eq!(form(format!("{jwe}..AAAA.AAAA.AA=").as_bytes()), Form::Jws);
        assert_eq!(form(format!("{jwe}.AAAA.AAAA").as_bytes()), Form::Jws);
        for opaque in [
            "2YotnFZFEjr1zCsicMWpAA",
            "mF_9.B5f-4.1JqM",
            "v4.public.eyJhbGciOiJSUzI1NiJ9",
            "at_abc.def",
            "a.b.c",
            "..",
            ".",
            "",
            "====",
        ] {
            assert_eq!(form(opaque.as_bytes()), Form::Opaque, "{opaque}");
        }
        // A JSON object without `alg` is no header (RFC 7515, section 4.1.1).
        assert_eq!(
            form(format!("{}.e30.AAAA", segment(r#"{"kid":"k"}"#)).as_bytes()),
            Form::Opaque
        );
        assert_eq!(form(segment(r#"{"iv":"x","value":"y","mac":"z"}"#).as_bytes()), Form::Opaque);
    }

    #[test]
    fn a_jwt_that_is_badly_written_is_a_bad_jwt() {
        let text = r#"{"alg":"RS256","kid":"??>>"}"#;
        let good = segment(text);
        let headers = [
            URL_SAFE.encode(format!("{text} ")),
            base64::engine::general_purpose::STANDARD.encode(text),
            segment(r#"{"alg":"none","alg":"RS256"}"#),
            segment(r#"{"alg":"none","\u0061lg":"RS256"}"#),
            segment(r#"{alg:RS256}"#),
            segment(format!("\u{feff}{text}")),
            segment(format!("{text}x")),
            segment(r#"{"alg":null}"#),
            format!("{good}A"),
            format!("{good}="),
        ];
        for header in headers {
            for token in [format!("{header}.e30.AAAA"), format!("{header}.e30"), header.clone()] {
                assert_eq!(form(token.as_bytes()), Form::Jws, "{token}");
                assert!(jwt::parse(token.as_bytes()).is_err(), "{token}");
            }
        }
        for token in [
            format!(".{good}.e30.AAAA"),
            format!("..{good}.e30.AAAA"),
            format!("{good}.e30"),
            format!("{good}.e30.AAAA.AAAA"),
            format!("{good}.e30.AAAA."),
            format!("{good}.e30.AA=="),
            good.clone(),
        ] {
            assert_eq!(form(token.as_bytes()), Form::Jws, "{token}");
            assert!(jwt::parse(token.as_bytes()).is_err(), "{token}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_as_a_jws_is_of_that_form(header in "\\{\"alg\":\"(HS|RS)256\"(,\"kid\":\"[a-z]{0,9}\")?\\}", payload in "[a-z]{0,20}", tail in "[A-Za-z0-9_.=-]{0,20}") {
            let token = format!("{}.{}.AAAA{tail}", segment(header), segment(format!("{{\"sub\":\"{payload}\"}}")));
            prop_assert_eq!(form(token.as_bytes()), Form::Jws);
        }

        #[test]
        fn random_tokens_are_opaque(token in "[A-Za-z0-9_-]{8,80}") {
            prop_assert_eq!(form(token.as_bytes()), Form::Opaque);
            prop_assert!(jwt::parse(token.as_bytes()).is_err());
        }
    }
}
