//! Media types, as far as a token endpoint needs them (RFC 9110, sections 8.3 and 12.5.1).

/// Whether a `Content-Type` is `wanted` with no parameter but `charset=utf-8`.
pub(super) fn is(content_type: &[u8], wanted: &str) -> bool {
    split(content_type).is_some_and(|(media_type, charset)| {
        media_type.eq_ignore_ascii_case(wanted) && charset.is_none_or(is_utf8)
    })
}

/// A type and its charset; nothing if it has another parameter.
fn split(content_type: &[u8]) -> Option<(&str, Option<&str>)> {
    let mut pieces = std::str::from_utf8(content_type)
        .ok()?
        .split(';')
        .map(|piece| piece.trim_matches([' ', '\t']));
    let media_type = pieces.next()?;
    let Some(parameter) = pieces.next() else { return Some((media_type, None)) };
    let (name, value) = parameter.split_once('=')?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (name.eq_ignore_ascii_case("charset") && pieces.next().is_none())
        .then_some((media_type, Some(value)))
}

fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8")
}

/// How a token request is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Written {
    /// `application/x-www-form-urlencoded` in UTF-8 (RFC 6749, appendix B).
    #[default]
    Form,
    /// The same in this charset, whose first 128 characters are those of ASCII.
    FormIn(String),
    /// `application/json`.
    Json,
}

impl Written {
    /// From a `Content-Type`.
    pub fn of(content_type: &[u8]) -> Option<Written> {
        let (media_type, charset) = split(content_type)?;
        let charset = charset.filter(|name| !is_utf8(name)).map(str::to_ascii_lowercase);
        if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            match charset {
                None => Some(Written::Form),
                Some(name) => extends_ascii(&name).then_some(Written::FormIn(name)),
            }
        } else {
            (media_type.eq_ignore_ascii_case("application/json") && charset.is_none())
                .then_some(Written::Json)
        }
    }

    /// Its part of an answer's key.
    pub fn name(&self) -> &[u8] {
        match self {
            Written::Form => b"form",
            Written::FormIn(charset) => charset.as_bytes(),
            Written::Json => b"json",
        }
    }
}

/// Whether ASCII in this charset is ASCII. Not so in UTF-16, UTF-7, EBCDIC and those that shift by
/// escapes.
fn extends_ascii(charset: &str) -> bool {
    const NAMES: &[&str] = &[
        "us-ascii", "ascii", "latin1", "koi8-r", "koi8-u", "gbk", "gb2312", "gb18030", "big5",
        "euc-jp", "euc-kr", "utf8",
    ];
    NAMES.contains(&charset)
        || ["iso-8859-", "iso_8859-", "iso8859-", "windows-125", "cp125"].iter().any(|family| {
            charset.strip_prefix(family).is_some_and(|number| {
                (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
            })
        })
}

/// Whether a request with these `Accept` lines takes JSON: the most specific range that covers
/// `application/json` has a weight over 0. No line takes everything.
pub(super) fn accepts_json<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_none() {
        return true;
    }
    let mut best = (0, false);
    for line in lines {
        // A quoted string may hold commas; what needs a full parser isn't understood here.
        let Some(text) = std::str::from_utf8(line).ok().filter(|text| !text.contains('"')) else {
            return false;
        };
        for range in text.split(',') {
            let mut pieces = range.split(';').map(|piece| piece.trim_matches([' ', '\t']));
            let media_range = pieces.next().unwrap_or_default();
            let depth = match media_range {
                "*/*" => 1,
                _ if media_range.eq_ignore_ascii_case("application/*") => 2,
                _ if media_range.eq_ignore_ascii_case("application/json") => 3,
                _ => continue,
            };
            let refused = pieces.any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, weight)| {
                    name.eq_ignore_ascii_case("q")
                        && weight.bytes().all(|b| matches!(b, b'0' | b'.'))
                })
            });
            if depth > best.0 {
                best = (depth, !refused);
            } else if depth == best.0 {
                best.1 |= !refused;
            }
        }
    }
    best.1
}

/// Whether an `Accept` line asks for nothing but JSON or anything: no other type beside it and no
/// parameter but a weight, by which a server might choose what the answer looks like.
pub(super) fn asks_for_plain_json(line: &[u8]) -> bool {
    all_elements(line, |range| {
        let mut pieces = range.split(';').map(|piece| piece.trim_matches([' ', '\t']));
        let media_range = pieces.next().unwrap_or_default();
        ["*/*", "application/*", "application/json"]
            .iter()
            .any(|one| media_range.eq_ignore_ascii_case(one))
            && pieces.all(|parameter| {
                parameter.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case("q"))
            })
    })
}

/// Whether a list header (`Cache-Control`, `Vary`) has only elements that `allowed` admits.
pub(super) fn all_elements(line: &[u8], allowed: impl Fn(&str) -> bool) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| {
        text.split(',').map(|e| e.trim_matches([' ', '\t'])).all(|e| e.is_empty() || allowed(e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for yes in [
            "application/json",
            "Application/JSON",
            "application/json;charset=UTF-8",
            "application/json ; charset=\"utf-8\"",
        ] {
            assert!(is(yes.as_bytes(), "application/json"), "{yes}");
        }
        for no in [
            "",
            "text/json",
            "application/jsonp",
            "application/json;charset=latin1",
            "application/json;v=1",
            "application/json;charset=utf-8;a=b",
            "application/json;",
            "application/json, text/html",
        ] {
            assert!(!is(no.as_bytes(), "application/json"), "{no}");
        }
    }

    #[test]
    fn requests_are_written_in_three_ways() {
        let form =
            |rest: &str| Written::of(format!("application/x-www-form-urlencoded{rest}").as_bytes());
        assert_eq!(form(""), Some(Written::Form));
        assert_eq!(form("; charset=UTF-8"), Some(Written::Form));
        for name in ["ISO-8859-1", "iso-8859-15", "us-ascii", "Windows-1252", "\"latin1\""] {
            assert_eq!(
                form(&format!(";charset={name}")),
                Some(Written::FormIn(name.trim_matches('"').to_ascii_lowercase())),
                "{name}"
            );
        }
        for name in [
            "utf-16",
            "utf-7",
            "ibm037",
            "iso-2022-jp",
            "iso-8859-",
            "iso-8859-1x",
            "",
            "form",
            "json",
            "hz-gb-2312",
        ] {
            assert_eq!(form(&format!(";charset={name}")), None, "{name}");
        }
        assert_eq!(form("; boundary=x"), None);
        assert_eq!(Written::of(b"application/json; charset=utf-8"), Some(Written::Json));
        assert_eq!(Written::of(b"application/json; charset=iso-8859-1"), None);
        assert_eq!(Written::of(b"text/plain"), None);
    }

    #[test]
    fn accept() {
        let one = |line: &'static str| accepts_json([line.as_bytes()]);
        assert!(accepts_json([]));
        for yes in [
            "*/*",
            "application/json",
            "text/html, application/json;q=0.1",
            "application/*",
            "application/JSON;charset=utf-8",
            "text/html;q=0, */*;q=0.5",
            "application/json;q=1.0",
        ] {
            assert!(one(yes), "{yes}");
        }
        for no in [
            "",
            "text/html",
            "application/jwt",
            "application/json;q=0, */*",
            "application/json;Q=0.000",
            "*/*;q=0",
            "application/*;q=0, */*",
            "a/b;c=\",\", application/json",
        ] {
            assert!(!one(no), "{no}");
        }
        assert!(accepts_json([&b"text/html"[..], b"*/*"]));
    }
}
