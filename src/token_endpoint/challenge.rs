//! The challenge of a remembered 401 (RFC 9110, sections 11.6.1 and 15.5.2): the server's own,
//! where it is clear.

/// The longest that is remembered.
pub(super) const CHALLENGE_BYTES_MAX: usize = 512;

/// The challenges in an answer's `WWW-Authenticate`, as one line. Nothing if there are none, they
/// aren't written by the grammar, or they belong to one exchange (credentials of one step, as
/// `Negotiate` has them): whoever answers then makes a challenge of its own.
pub fn kept<'a>(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Option<Vec<u8>> {
    let of_name =
        headers.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"www-authenticate"));
    let lines: Vec<&[u8]> = of_name.map(|(_, value)| value).collect();
    // Several lines are one list (RFC 9110, section 5.3).
    let joined = lines.join(&b", "[..]);
    (joined.len() <= CHALLENGE_BYTES_MAX && is_challenges(&joined)).then_some(joined)
}

/// Whether a text is a list of challenges whose parameters all have names. No byte of it could end
/// a header's line.
pub(super) fn is_challenges(text: &[u8]) -> bool {
    let is_plain = text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    let Some(text) = std::str::from_utf8(text).ok().filter(|_| is_plain) else { return false };
    let mut has_scheme = false;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return has_scheme;
        }
        let Some((after, is_scheme)) = element(rest) else { return false };
        has_scheme |= is_scheme;
        if !has_scheme {
            return false;
        }
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return false;
        }
    }
}

/// Reads a scheme, a scheme with its first parameter, or a further parameter. Gives what follows,
/// and whether a scheme was there.
fn element(text: &str) -> Option<(&str, bool)> {
    let after = token(text)?;
    if let Some(after) = parameter(text) {
        return Some((after, false));
    }
    match after.strip_prefix(' ') {
        Some(spaced)
            if !spaced.trim_start().is_empty() && !spaced.trim_start().starts_with(',') =>
        {
            parameter(spaced.trim_start_matches(' ')).map(|after| (after, true))
        }
        _ => Some((after, true)),
    }
}

/// Takes `name = value` off.
fn parameter(text: &str) -> Option<&str> {
    let space = [' ', '\t'];
    let value = token(text)?.trim_start_matches(space).strip_prefix('=')?.trim_start_matches(space);
    match value.strip_prefix('"') {
        None => token(value),
        Some(mut inner) => loop {
            let at = inner.find(['"', '\\'])?;
            let (_, found) = inner.split_at_checked(at)?;
            match found.strip_prefix('"') {
                Some(after) => return Some(after),
                None => inner = found.get(2..)?,
            }
        },
    }
}

/// Takes a token off (RFC 9110, section 5.6.2).
fn token(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~".contains(c))
        .unwrap_or(text.len());
    text.get(end..).filter(|_| end > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(value: &str) -> Option<String> {
        kept([(&b"WWW-Authenticate"[..], value.as_bytes())])
            .map(|kept| String::from_utf8(kept).unwrap())
    }

    /// The example of RFC 9110, section 11.6.1, among them.
    #[test]
    fn clear_challenges_are_kept() {
        for value in [
            "Basic realm=\"idp\"",
            "Basic",
            "basic realm=idp",
            "Basic realm=\"simple\", Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\"",
            "Bearer error=\"invalid_client\" , error_description=\"a, b = c\"",
            "Basic realm = \"x\",",
        ] {
            assert_eq!(one(value).as_deref(), Some(value), "{value}");
        }
        let two = kept([
            (&b"www-authenticate"[..], &b"Basic realm=\"a\""[..]),
            (b"x", b"y"),
            (b"www-authenticate", b"Bearer"),
        ]);
        assert_eq!(two.as_deref(), Some(&b"Basic realm=\"a\", Bearer"[..]));
    }

    #[test]
    fn others_are_not() {
        assert_eq!(kept([(&b"x"[..], &b"Basic"[..])]), None);
        for value in [
            "",
            ",",
            "realm=\"a\"",
            "Negotiate abc==",
            "Basic realm=\"a",
            "Basic realm=",
            "Basic realm=\"a\" b=\"c\"",
            "Basic realm=\"a\"\r\nx: y",
            "Basic realm=\"a\\",
            "Basic realm=\"\u{e9}\"",
            "Basic realm=\"a\0\"",
            "Ba(sic",
        ] {
            assert_eq!(one(value), None, "{value}");
        }
        assert_eq!(one(&format!("Basic realm=\"{}\"", "a".repeat(CHALLENGE_BYTES_MAX))), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_kept_ends_a_line(value in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(kept) = kept([(&b"www-authenticate"[..], value.as_slice())]) {
                prop_assert!(kept.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
            }
        }

        #[test]
        fn nearly_right_ones_do_not_panic(pieces in prop::collection::vec("(Basic|realm|=|\"|\\\\|,| |a)", 0..14)) {
            let text = pieces.concat();
            let _ = is_challenges(text.as_bytes());
        }
    }
}
