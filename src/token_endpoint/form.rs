//! `application/x-www-form-urlencoded`, read so that no other reader could read it differently.

/// The most parameters of one request.
pub(super) const PARAMETERS_MAX: usize = 64;

/// Why a form isn't read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FormError {
    /// A piece without `=`, a bad escape, a byte that has no place in a form, or text that isn't
    /// UTF-8.
    Unreadable,
    /// More than [`PARAMETERS_MAX`].
    TooMany,
}

/// The decoded parameters in their order.
pub(super) fn parse(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let mut parameters = Vec::new();
    if body.is_empty() {
        return Ok(parameters);
    }
    for piece in body.split(|byte| *byte == b'&') {
        if parameters.len() == PARAMETERS_MAX {
            return Err(FormError::TooMany);
        }
        // Readers differ on a piece without `=` (skipped, or a name without a value) and on an
        // empty one.
        let at = piece.iter().position(|byte| *byte == b'=').ok_or(FormError::Unreadable)?;
        let (name, rest) = piece.split_at_checked(at).ok_or(FormError::Unreadable)?;
        let value = rest.strip_prefix(b"=").ok_or(FormError::Unreadable)?;
        let name = decode(name).filter(|name| !name.is_empty()).ok_or(FormError::Unreadable)?;
        let value = decode(value).ok_or(FormError::Unreadable)?;
        parameters.push((name, value));
    }
    Ok(parameters)
}

/// One name or value (also RFC 6749, appendix B). Nothing on a bad escape, on a raw byte that a
/// form can't hold, on a control character, or on text that isn't UTF-8.
pub(super) fn decode(raw: &[u8]) -> Option<String> {
    let mut bytes = raw.iter().copied();
    let mut decoded = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            // Older readers take `;` for `&`, and a second `=` is cut off by some.
            b';' | b'=' => return None,
            0x21..=0x7e => byte,
            _ => return None,
        };
        // A NUL ends a string for some readers; a line break ends a line for others.
        if byte < 0x20 || byte == 0x7f {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn escapes_are_decoded() {
        let read = parse(b"grant_type=client_credentials&scope=a%62+c%20d&e=").unwrap();
        assert_eq!(
            read,
            [pair("grant_type", "client_credentials"), pair("scope", "ab c d"), pair("e", "")]
        );
        assert_eq!(parse(b"%c3%a9=%C3%A9"), Ok(vec![pair("é", "é")]));
        assert_eq!(parse(b""), Ok(vec![]));
    }

    /// The example of RFC 6749, appendix B.
    #[test]
    fn appendix_b() {
        assert_eq!(decode(b"+%25%26%2B%C2%A3%E2%82%AC").as_deref(), Some(" %&+£€"));
    }

    #[test]
    fn what_others_read_differently_is_not_read() {
        for body in [
            &b"a"[..],
            b"a=1&",
            b"&a=1",
            b"a=1&&b=2",
            b"=1",
            b"a=%",
            b"a=%4",
            b"a=%zz",
            b"a=%u0041",
            b"a=1;b=2",
            b"a=b=c",
            b"a=1\r\n",
            b"a=b c",
            b"a=%00",
            b"a%0a=1",
            b"a=%7f",
            b"a=\xc3\xa9",
            b"a=%ff",
            b"a=%ed%a0%80",
        ] {
            assert_eq!(
                parse(body),
                Err(FormError::Unreadable),
                "{:?}",
                body.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn parameters_are_bounded() {
        let body =
            |count: usize| (0..count).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(parse(body(PARAMETERS_MAX).as_bytes()).unwrap().len(), PARAMETERS_MAX);
        assert_eq!(parse(body(PARAMETERS_MAX + 1).as_bytes()), Err(FormError::TooMany));
    }
}
