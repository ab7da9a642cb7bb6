//! The spans and moments in a token answer that say how long its token lives, read and written in
//! their own types.
//!
//! Servers write `expires_in` as a number, as a number with a fraction, or as a string; beside it
//! some say the same again (`ext_expires_in` and `expires_on` of Entra ID, `refresh_in` for clients
//! that renew early). A kept answer has aged and a shortened one promises less, so none of them may
//! say more than what is left.

use crate::time::Time;

use super::jitter::Fit;
use super::members::Object;

/// What else counts from the moment of the answer and belongs to the access token.
const BESIDE: &[&str] = &["ext_expires_in", "refresh_in"];
/// What counts from that moment too, but for other tokens: it ages, and a first answer keeps it.
const OF_OTHERS: &[&str] = &[
    "refresh_expires_in",
    "refresh_token_expires_in",
    "x_refresh_token_expires_in",
    "id_token_expires_in",
];
/// The end as a moment, in seconds since the epoch.
const ENDS: &[&str] = &["expires_on", "expires_at"];
/// The least that is taken for such a moment: in 2001. What is below is a span under that name.
const EPOCH_S_MIN: u64 = 1_000_000_000;
/// The largest number that is one of seconds, as for the dates of tokens: the year 9999.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A number of seconds, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// Whole seconds, rounded down.
    pub seconds: u64,
    is_text: bool,
    has_point: bool,
}

impl Span {
    /// Reads the JSON text of a member: a number that isn't negative, or a string that holds one
    /// and nothing else.
    pub fn read(text: &str) -> Option<Span> {
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let written = quoted.unwrap_or(text);
        // `serde_json` passes white space over, which a string of another reader's may not have
        // around its number.
        if !written
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
        {
            return None;
        }
        let number: serde_json::Number = serde_json::from_str(written).ok()?;
        let seconds = match (number.as_u64(), number.as_f64()) {
            (Some(seconds), _) if seconds <= SECONDS_MAX => seconds,
            // The range is far below 2^53, so the cast loses nothing; NaN is in no range.
            (None, Some(seconds)) if (0.0..=SECONDS_MAX as f64).contains(&seconds) => {
                seconds.floor() as u64
            }
            _ => return None,
        };
        Some(Span { seconds, is_text: quoted.is_some(), has_point: written.contains('.') })
    }

    /// Another number in the same type.
    fn write(self, seconds: u64) -> String {
        let point = if self.has_point { ".0" } else { "" };
        let quote = if self.is_text { "\"" } else { "" };
        format!("{quote}{seconds}{point}{quote}")
    }
}

/// What is left of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// The new `expires_in`.
    pub expires_in_s: u64,
    /// Seconds since the answer was asked for, rounded up; nothing while it is on its way to the
    /// client that asked.
    pub age_s: Option<u64>,
    /// The moment at which all this is said.
    pub now: Time,
}

impl Left {
    /// What becomes of a span.
    fn of_span(&self, seconds: u64) -> u64 {
        // 0 stands for "none".
        if seconds == 0 {
            0
        } else {
            seconds.saturating_sub(self.age_s.unwrap_or(0)).min(self.expires_in_s).max(1)
        }
    }

    /// What becomes of a moment.
    fn of_end(&self, seconds: u64) -> u64 {
        if seconds < EPOCH_S_MIN {
            seconds
        } else {
            seconds.min(self.now.s().saturating_add(self.expires_in_s))
        }
    }
}

/// The body with what is left; every other byte as it was. A kept answer without `expires_in` gets
/// one, since whoever asks again knows the server's default, but not the age. Nothing if something
/// doesn't fit, or would say more.
pub(super) fn rewritten(object: &Object<'_>, left: &Left, fit: Fit) -> Option<Vec<u8>> {
    let mut changed: Vec<(&str, String)> = Vec::new();
    let mut replace = |name: &'static str, became: &dyn Fn(u64) -> u64| -> Option<()> {
        let Some(text) = object.present(name) else { return Some(()) };
        let Some(span) = Span::read(text) else { return Some(()) };
        let seconds = became(span.seconds);
        if seconds > span.seconds {
            return None;
        }
        if seconds == span.seconds {
            return Some(());
        }
        let mut written = span.write(seconds);
        if fit == Fit::SameLength {
            if written.len() > text.len() {
                return None;
            }
            written = format!("{written:<width$}", width = text.len());
        }
        changed.push((name, written));
        Some(())
    };
    replace("expires_in", &|_| left.expires_in_s)?;
    for name in BESIDE {
        replace(name, &|seconds| left.of_span(seconds))?;
    }
    for name in ENDS {
        replace(name, &|seconds| left.of_end(seconds))?;
    }
    for name in OF_OTHERS.iter().filter(|_| left.age_s.is_some()) {
        replace(name, &|seconds| left.of_span(seconds))?;
    }
    let names_lifetime = object.present("expires_in").is_some();
    if !names_lifetime && object.get("expires_in").is_some() {
        changed.push(("expires_in", left.expires_in_s.to_string()));
    }
    let body = object.with(&changed)?;
    if object.get("expires_in").is_none() {
        Object::read(&body)?.with_first("expires_in", &left.expires_in_s.to_string())
    } else {
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_s(1_700_000_100);

    fn kept(body: &str, expires_in_s: u64, age_s: u64) -> Option<String> {
        let left = Left { expires_in_s, age_s: Some(age_s), now: NOW };
        rewritten(&Object::read(body.as_bytes()).unwrap(), &left, Fit::Shorter)
            .map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn seconds_in_any_type() {
        for (text, seconds, other) in [
            ("3600", 3600, "7"),
            ("\"3600\"", 3600, "\"7\""),
            ("3600.0", 3600, "7.0"),
            ("3599.9", 3599, "7.0"),
            ("\"3600.0\"", 3600, "\"7.0\""),
            ("3.6e3", 3600, "7.0"),
            ("36E+2", 3600, "7"),
            ("0", 0, "7"),
            ("-0", 0, "7"),
            ("253402300799", SECONDS_MAX, "7"),
        ] {
            let span = Span::read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((span.seconds, span.write(7).as_str()), (seconds, other), "{text}");
        }
        for text in [
            "-1",
            "-0.5",
            "\"\"",
            "\" 3600\"",
            "\"3600 \"",
            "\"+3600\"",
            "\"0x10\"",
            "\"036\"",
            "\"3600s\"",
            "\"\\u0033\"",
            "null",
            "true",
            "[3600]",
            "{}",
            "1e300",
            "253402300800",
            "18446744073709551616",
            "\"NaN\"",
            "\"1\"2\"",
            "\"",
        ] {
            assert_eq!(Span::read(text), None, "{text}");
        }
    }

    /// Entra ID's answers, of the second and of the first version.
    #[test]
    fn none_says_more_than_what_is_left() {
        assert_eq!(
            kept(
                r#"{"access_token":"t","expires_in":60,"ext_expires_in":60,"refresh_in":30}"#,
                56,
                3
            )
            .as_deref(),
            Some(r#"{"access_token":"t","expires_in":56,"ext_expires_in":56,"refresh_in":27}"#)
        );
        assert_eq!(
            kept(r#"{"expires_in":"3599","ext_expires_in":"3599","expires_on":"1700003599","not_before":"1699999700"}"#, 3400, 100)
                .as_deref(),
            Some(r#"{"expires_in":"3400","ext_expires_in":"3400","expires_on":"1700003500","not_before":"1699999700"}"#)
        );
        // Keycloak: no refresh token, and a date that isn't about this token.
        assert_eq!(
            kept(
                r#"{"expires_in":300,"refresh_expires_in":0,"not-before-policy":1700000000}"#,
                200,
                100
            )
            .as_deref(),
            Some(r#"{"expires_in":200,"refresh_expires_in":0,"not-before-policy":1700000000}"#)
        );
        assert_eq!(
            kept(r#"{"expires_in":60,"refresh_in":2}"#, 30, 30).as_deref(),
            Some(r#"{"expires_in":30,"refresh_in":1}"#)
        );
        assert_eq!(
            kept(r#"{"expires_in":60,"expires_at":60}"#, 30, 30).as_deref(),
            Some(r#"{"expires_in":30,"expires_at":60}"#)
        );
        assert_eq!(
            kept(r#"{"expires_in":60,"ext_expires_in":"soon"}"#, 30, 30).as_deref(),
            Some(r#"{"expires_in":30,"ext_expires_in":"soon"}"#)
        );
        assert_eq!(kept(r#"{"expires_in":60}"#, 61, 0), None);
    }

    /// A first answer to another grant: the session's own span stays.
    #[test]
    fn the_spans_of_other_tokens_stay_in_a_first_answer() {
        let body = r#"{"expires_in":300,"refresh_expires_in":1800,"refresh_token_expires_in":"86400","ext_expires_in":300}"#;
        let left = Left { expires_in_s: 270, age_s: None, now: NOW };
        let said =
            rewritten(&Object::read(body.as_bytes()).unwrap(), &left, Fit::SameLength).unwrap();
        let wanted = r#"{"expires_in":270,"refresh_expires_in":1800,"refresh_token_expires_in":"86400","ext_expires_in":270}"#;
        assert_eq!(String::from_utf8(said).unwrap(), wanted);
    }

    #[test]
    fn a_kept_answer_without_a_lifetime_gets_one() {
        assert_eq!(
            kept(r#" {"access_token":"t"}"#, 56, 3).as_deref(),
            Some(r#" {"expires_in":56,"access_token":"t"}"#)
        );
        assert_eq!(
            kept(r#"{"a":1,"expires_in": null }"#, 56, 3).as_deref(),
            Some(r#"{"a":1,"expires_in": 56 }"#)
        );
        assert_eq!(
            kept(r#"{"expires_on":1700009999}"#, 56, 3).as_deref(),
            Some(r#"{"expires_in":56,"expires_on":1700000156}"#)
        );
    }

    proptest! {
        #[test]
        fn nothing_grows(
            names in prop::sample::subsequence(vec!["expires_in", "ext_expires_in", "refresh_in", "refresh_expires_in"], 1..=4),
            numbers in prop::collection::vec(1u64..100_000, 4),
            form in 0usize..4,
            age_s in 0u64..1000,
            left_s in 1u64..100_000,
        ) {
            let write = |n: u64| [n.to_string(), format!("\"{n}\""), format!("{n}.0"), format!("\"{n}.0\"")][form].clone();
            let members: Vec<String> = names.iter().zip(&numbers).map(|(name, n)| format!("\"{name}\":{}", write(*n))).collect();
            let body = format!("{{{}}}", members.join(","));
            let Some(said) = kept(&body, left_s, age_s) else {
                prop_assert!(names[0] == "expires_in" && numbers[0] < left_s);
                return Ok(());
            };
            let said = Object::read(said.as_bytes()).map(|object| names.iter().map(|name| object.get(name).unwrap().to_owned()).collect::<Vec<_>>()).unwrap();
            for (text, before) in said.iter().zip(&numbers) {
                let span = Span::read(text).unwrap();
                prop_assert!(span.seconds <= *before && span.seconds <= left_s.max(1) && span.seconds >= 1);
                prop_assert_eq!(span.write(span.seconds), text.as_str());
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = Span::read(&text);
        }
    }
}
