//! The syntax of names, URLs, paths, dates and claim paths.

use super::shape::Syntax;
use crate::callout::{is_host, uri};
use crate::jwt::ClaimPath;

/// Any text.
pub static TEXT: Syntax =
    Syntax { expected: "a text of 1 to 1024 bytes", max: 1024, fits: no_controls };
/// What opaque tokens begin with: characters of tokens (RFC 6750, section 2.1).
pub static TOKEN_PREFIX: Syntax = Syntax {
    expected: "1 to 64 letters, digits, -, ., _, ~, + and /",
    max: 64,
    fits: is_token_text,
};
/// A name of the document's own: a part of metric names.
pub static NAME: Syntax =
    Syntax { expected: "a name of letters, digits, _ and - (at most 64)", max: 64, fits: is_name };
/// A realm; it stands in a quoted string of a header.
pub static REALM: Syntax = Syntax {
    expected: "printable ASCII without \" and \\ (at most 128)",
    max: 128,
    fits: is_quotable,
};
/// A header's name (RFC 9110, section 5.1); any case.
pub static HEADER: Syntax =
    Syntax { expected: "a header's name (RFC 9110, section 5.1)", max: 128, fits: is_token };
/// What stands before a token in a header.
pub static PREFIX: Syntax = Syntax {
    expected: "printable ASCII without a space in front (at most 64)",
    max: 64,
    fits: |text| text.bytes().all(|b| (b' '..=b'~').contains(&b)) && !text.starts_with(' '),
};
/// A cookie's name.
pub static COOKIE: Syntax = Syntax { expected: "a cookie's name", max: 128, fits: is_token };
/// A query parameter's name, as it stands in the URL.
pub static QUERY: Syntax = Syntax {
    expected: "a query parameter's name of letters, digits, -, ., _ and ~",
    max: 128,
    fits: is_unreserved,
};
/// A method (RFC 9110, section 9.1): case matters, and all that are in use are upper case.
pub static METHOD: Syntax = Syntax {
    expected: "a method in upper case",
    max: 32,
    fits: |text| is_token(text) && !text.bytes().any(|b| b.is_ascii_lowercase()),
};
/// A host without port.
pub static HOST: Syntax =
    Syntax { expected: "a host without scheme, port and wildcard", max: 255, fits: is_host };
/// A path as clients send it.
pub static PATH: Syntax =
    Syntax { expected: "a path that begins with /", max: 2048, fits: |text| text.starts_with('/') };
/// A scope (RFC 6749, section 3.3).
pub static SCOPE: Syntax = Syntax {
    expected: "one scope: printable ASCII without space, \" and \\",
    max: 256,
    fits: is_scope,
};
/// An authentication context class: `acr_values` separates them by spaces (RFC 9470, section 3).
pub static ACR: Syntax = Syntax {
    expected: "one acr value: printable ASCII without space, \" and \\",
    max: 256,
    fits: is_scope,
};
/// A date.
pub static DATE: Syntax = Syntax {
    expected: "a date as in \"2027-06-30\"",
    max: 10,
    fits: |text| day_number(text).is_some(),
};
/// A claim path as the name of a member.
pub static CLAIM: Syntax = Syntax {
    expected: "a claim: a dotted path, a URL, or its names as a JSON list",
    max: 1024,
    fits: |text| claim_path(text).is_some(),
};
/// A part of a limit's key.
pub static KEY_PART: Syntax = Syntax {
    expected: "\"issuer\", \"subject\", \"client_id\", \"consumer\", \"address\", \"route\", \"header:NAME\", \"claim:PATH\" or \"capture:NAME\"",
    max: 1024,
    fits: |text| super::check_limits::key_part(text).is_some(),
};
/// Where Kong's followers wait.
pub static WAIT_URI: Syntax = Syntax {
    expected: "\"unix:\" and an absolute path of at most 107 bytes, or an http URL without a path",
    max: 512,
    fits: is_wait_uri,
};
/// What a socket's path holds (`sun_path`); a call to a longer one traps on Kong.
const SOCKET_PATH_BYTES_MAX: usize = 107;

fn is_token_text(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    })
}

fn no_controls(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_quotable(text: &str) -> bool {
    text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\')
}

fn is_scope(text: &str) -> bool {
    is_quotable(text) && !text.contains(' ')
}

fn is_unreserved(text: &str) -> bool {
    text.bytes().all(unreserved)
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_wait_uri(text: &str) -> bool {
    match text.strip_prefix("unix:") {
        Some(path) => {
            path.starts_with('/')
                && path.len() <= SOCKET_PATH_BYTES_MAX
                && path.bytes().all(|b| b.is_ascii_graphic())
        }
        None => uri(text).is_ok_and(|uri| !uri.https && uri.path == "/"),
    }
}

/// Whether a value may stand in a header: no control bytes, no space around it (RFC 9110, section
/// 5.5).
pub fn is_header_value(bytes: &[u8]) -> bool {
    let inside = bytes.iter().all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7f);
    let edge = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    inside && !edge(bytes.first()) && !edge(bytes.last())
}

/// A claim path: dotted, a URL as one name, or a JSON list where names hold dots.
pub fn claim_path(text: &str) -> Option<ClaimPath> {
    let names: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text).ok()?
    } else if has_two_readings(text) {
        return None;
    } else if text.contains("://") {
        vec![text.to_owned()]
    } else {
        text.split('.').map(str::to_owned).collect()
    };
    let fits = (1..=8).contains(&names.len())
        && names.iter().all(|name| !name.is_empty() && name.len() <= 256);
    fits.then_some(ClaimPath(names))
}

/// Whether it could be one name, or a path of several, and nobody can tell which is meant: a URL
/// with a dot after its host (`https://x.example/claims.role`, where Hasura's name has an object
/// behind it), a URL after a dot, a URN with a dot.
pub fn has_two_readings(text: &str) -> bool {
    if text.starts_with('[') || !text.contains('.') {
        return false;
    }
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let path = rest.split_once('/').map_or("", |(_, path)| path);
            scheme.contains('.') || path.contains('.')
        }
        None => text.starts_with("urn:"),
    }
}

/// Days since 1970-01-01 of a date `YYYY-MM-DD` from 1970 to 9999.
pub fn day_number(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    if text.len() != 10 || text.get(4..5) != Some("-") || text.get(7..8) != Some("-") {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || day == 0 || day > *lengths.get(before)? {
        return None;
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    Some(years + lengths.iter().take(before).sum::<u64>() + day - 1)
}

/// Whether an environment variable may have this name.
pub fn is_env_name(name: &str) -> bool {
    crate::jwt::issuer::is_name(name) && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        let split = |text| uri(text).map(|u| (u.https, u.authority, u.host, u.port, u.path));
        let parts = |https, a: &str, h: &str, port, p: &str| {
            Ok((https, a.to_owned(), h.to_owned(), port, p.to_owned()))
        };
        assert_eq!(split("https://a.b/c?d"), parts(true, "a.b", "a.b", 443, "/c?d"));
        assert_eq!(split("http://a:8001"), parts(false, "a:8001", "a", 8001, "/"));
        assert_eq!(split("https://[::1]/x"), parts(true, "[::1]", "::1", 443, "/x"));
        assert_eq!(split("https://[::1]:9/x"), parts(true, "[::1]:9", "::1", 9, "/x"));
        assert_eq!(split("https://a?x"), parts(true, "a", "a", 443, "/?x"));
        for bad in [
            "",
            "a",
            "HTTPS://a",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a b/",
            "https://a/\r\n",
            "https://u:p@a/",
            "https://a:0/",
            "https://a:65536/",
            "https://a:+1/",
            "https://a:/",
            "https://a/#f",
            "https://[::1/",
            "https://é/",
            "https://[g]/",
            "https://a\\b/",
        ] {
            assert!(uri(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn followers_wait_at_a_socket_or_an_address() {
        let path = |bytes: usize| format!("unix:/{}", "a".repeat(bytes - 1));
        for good in [
            path(107).as_str(),
            "unix:/run/wait.sock",
            "http://127.0.0.1:9000",
            "http://[::1]:9000/",
        ] {
            assert!(is_wait_uri(good), "{good}");
        }
        for bad in [
            path(108).as_str(),
            "unix:",
            "unix:wait.sock",
            "unix:/a b",
            "https://a",
            "http://a/b",
            "127.0.0.1:9000",
        ] {
            assert!(!is_wait_uri(bad), "{bad}");
        }
        assert_eq!(uri("http://127.0.0.1:9000").unwrap().target(), "127.0.0.1:9000");
        assert_eq!(uri("http://[::1]").unwrap().target(), "[::1]:80");
    }

    #[test]
    fn days_are_counted() {
        assert_eq!(day_number("1970-01-01"), Some(0));
        assert_eq!(day_number("2000-02-29"), Some(11_016));
        assert_eq!(day_number("2027-06-30"), Some(20_999));
        for bad in [
            "2027-02-29",
            "2100-02-29",
            "2027-00-01",
            "2027-13-01",
            "2027-6-30",
            "1969-12-31",
            "2027-06-31",
            "2027/06/30",
            "+027-06-30",
            "2027-06-3é",
            "2027-06-300",
            "é27-06-30x",
        ] {
            assert_eq!(day_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn claim_paths_are_dotted_or_lists() {
        let path =
            |names: &[&str]| Some(ClaimPath(names.iter().map(|n| (*n).to_owned()).collect()));
        assert_eq!(claim_path("realm.roles"), path(&["realm", "roles"]));
        assert_eq!(claim_path(r#"["a.b","c"]"#), path(&["a.b", "c"]));
        for one in ["https://x/uid", "https://shop.example/roles", "https://a.example", "urn:a:b"] {
            assert_eq!(claim_path(one), path(&[one]), "{one}");
        }
        assert_eq!(claim_path(r#"["https://x.io/a.b","c"]"#), path(&["https://x.io/a.b", "c"]));
        for bad in ["", ".", "a.", "[]", "[1]", "[\"\"]", "[\"a\"", "a.b.c.d.e.f.g.h.i"] {
            assert_eq!(claim_path(bad), None, "{bad}");
        }
        for bad in ["https://x.io/a.b", "https://x/a.", "a.https://x/b", "urn:x.io:b"] {
            assert!(has_two_readings(bad) && claim_path(bad).is_none(), "{bad}");
        }
    }
}
