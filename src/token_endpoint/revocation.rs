//! What a revocation call (RFC 7009) names, read so that nothing is missed that another reader
//! could find in it.
//!
//! To read too much is safe here: whoever can write a token into a body has it, and may as well
//! take it back. To read too little is not: the server understands the call, answers 200, and the
//! token is admitted on. So each token that the body or the query could mean is one, in each way of
//! decoding it.

pub use crate::revocation::names::token_handle;

/// Tokens of one call that are looked at. A call has one (RFC 7009, section 2.1), and few of them
/// can be read in more than one way.
pub const TOKENS_MAX: usize = 8;

/// What a call names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Every token, access or refresh, that it could mean: at most [`TOKENS_MAX`].
    pub tokens: Vec<Vec<u8>>,
    /// Whether there are more.
    pub has_more: bool,
}

impl Named {
    /// Whether the call was understood: it names something, and nothing was left out.
    pub fn is_clear(&self) -> bool {
        !self.tokens.is_empty() && !self.has_more
    }

    fn add(&mut self, token: &[u8]) {
        let token = token.trim_ascii();
        for token in [token, unquoted(token)] {
            if token.is_empty() || self.tokens.iter().any(|known| known == token) {
                continue;
            }
            match self.tokens.len() < TOKENS_MAX {
                true => self.tokens.push(token.to_vec()),
                false => self.has_more = true,
            }
        }
    }

    /// A value of a form: decoded as a form is, with the plus sign for itself, and as it stands.
    fn add_value(&mut self, value: &[u8]) {
        let spaced: Vec<u8> =
            value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        for decoded in [&percent_decoded(&spaced), &percent_decoded(value), value] {
            self.add(decoded);
            if std::str::from_utf8(decoded).is_err() {
                // ISO 8859-1, whose characters are the first 256 of Unicode.
                self.add(
                    decoded.iter().map(|byte| char::from(*byte)).collect::<String>().as_bytes(),
                );
            }
        }
    }

    /// Name-value pairs between these bytes.
    fn add_pairs(&mut self, text: &[u8], is_between: impl Fn(&u8) -> bool) {
        for piece in text.split(is_between) {
            let Some(at) = piece.iter().position(|byte| *byte == b'=') else { continue };
            let (name, rest) = piece.split_at_checked(at).unwrap_or_default();
            if is_token(&percent_decoded(unquoted(name.trim_ascii()))) {
                self.add_value(rest.strip_prefix(b"=").unwrap_or_default().trim_ascii());
            }
        }
    }

    /// Members of JSON at any depth, whatever stands around them.
    fn add_members(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
            rest = rest.get(at..).unwrap_or_default();
            let Some((name, after)) = string(rest) else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            rest = after;
            let Some(value) =
                after.trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start)
            else {
                continue;
            };
            if let Some((value, after)) = string(value) {
                // A value may be taken for a name by mistake, but never the other way round.
                rest = after;
                if is_token(name.as_bytes()) {
                    self.add(value.as_bytes());
                }
            }
        }
    }

    /// A part of `multipart/form-data` (RFC 7578, section 4.2).
    fn add_parts(&mut self, text: &[u8]) {
        for mark in [&b"name=\"token\""[..], b"name=token"] {
            let mut rest = text;
            for _ in 0..=TOKENS_MAX {
                let Some(after) = after(rest, mark) else { break };
                rest = after;
                let part = [&b"\r\n\r\n"[..], b"\n\n"]
                    .iter()
                    .find_map(|gap| self::after(after, gap))
                    .unwrap_or_default();
                let end =
                    part.windows(3).position(|window| window == b"\n--").unwrap_or(part.len());
                self.add(part.get(..end).unwrap_or_default());
            }
        }
    }
}

/// What a call with this query and this body names.
pub fn named(query: &[u8], body: &[u8]) -> Named {
    let mut named = Named::default();
    // ASCII in UTF-16 or UTF-32 is ASCII between zeros, behind a mark.
    let narrow: Vec<u8> =
        body.iter().copied().filter(|byte| !matches!(byte, 0 | 0xfe | 0xff)).collect();
    let narrow = Some(narrow.as_slice()).filter(|narrow| narrow.len() < body.len());
    for text in [Some(body), narrow, Some(query)].into_iter().flatten() {
        named.add_pairs(text, |byte| matches!(byte, b'&' | b'\r' | b'\n'));
        // Older readers take `;` for `&`.
        named.add_pairs(text, |byte| matches!(byte, b'&' | b';' | b'\r' | b'\n'));
        named.add_members(text);
        named.add_parts(text);
    }
    named
}

fn is_token(name: &[u8]) -> bool {
    name.trim_ascii().eq_ignore_ascii_case(b"token")
}

fn unquoted(text: &[u8]) -> &[u8] {
    let inner = |quote: &[u8]| text.strip_prefix(quote)?.strip_suffix(quote);
    inner(b"\"").or_else(|| inner(b"'")).unwrap_or(text)
}

/// The text behind the first `mark`.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    text.get(at.saturating_add(mark.len())..)
}

/// The JSON string at the beginning of `text`, and what is behind it.
fn string(text: &[u8]) -> Option<(String, &[u8])> {
    let mut strings = serde_json::Deserializer::from_slice(text).into_iter::<String>();
    let value = strings.next()?.ok()?;
    Some((value, text.get(strings.byte_offset()..)?))
}

/// Escapes decoded, and what isn't one left as it stands.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| {
        char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => decoded.push(*byte),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(body: &[u8]) -> Vec<String> {
        named(b"", body)
            .tokens
            .into_iter()
            .map(|token| String::from_utf8_lossy(&token).into_owned())
            .collect()
    }

    /// The example of RFC 7009, section 2.1.
    #[test]
    fn rfc_7009() {
        let body = b"token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token";
        assert_eq!(tokens(body), ["45ghiukldjahdnhzdauz"]);
        assert!(
            tokens(b"token=45%67hiukldjahdnhzdauz").contains(&"45ghiukldjahdnhzdauz".to_owned())
        );
    }

    #[test]
    fn whatever_another_reader_could_find_is_found() {
        let utf_16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(b"token=TOK".iter().flat_map(|byte| [*byte, 0]))
            .collect();
        for body in [
            &b"token=TOK&"[..],
            b"&&token=TOK",
            b"token=TOK&token_type_hint",
            b"token=TOK\r\n",
            b"\n token = TOK ",
            b"token_type_hint=access_token;token=TOK",
            b"a=b=c&token=TOK",
            b"%74oken=TOK&x=%zz",
            b"Token=TOK",
            b"token=\"TOK\"",
            b"token='TOK'",
            b"x=\xff&token=TOK",
            b"token=TOK&x=1\0",
            b"{\"token\":\"TOK\"}",
            b" { \"a\" : [\"\\\"\", {\"token\" : \"TOK\"}] ",
            b"{\"\\u0074oken\":\"\\u0054OK\"}",
            b"[\"token\", {\"token\":\"TOK\"}]",
            b"{\"x\":\"\xff\",\"token\":\"TOK\"}",
            b"--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nTOK\r\n--b--\r\n",
            b"--b\nContent-Disposition: form-data; name=token\n\nTOK\n--b--\n",
            &utf_16,
        ] {
            assert!(
                tokens(body).contains(&"TOK".to_owned()),
                "{:?}: {:?}",
                body.escape_ascii().to_string(),
                tokens(body)
            );
            assert!(named(b"", body).is_clear());
        }
        assert_eq!(named(b"token=TOK", b"").tokens, [b"TOK"]);
    }

    #[test]
    fn each_way_to_decode_a_value_is_a_token() {
        assert_eq!(tokens(b"token=a+b/c=="), ["a b/c==", "a+b/c=="]);
        assert_eq!(tokens(b"token=a%2Bb"), ["a+b", "a%2Bb"]);
        assert_eq!(tokens(b"token=a;b&token=c"), ["a;b", "c", "a"]);
        assert!(named(b"", b"token=\xe9").tokens.contains(&"\u{e9}".as_bytes().to_vec()));
        assert_eq!(named(b"", b"token=%E9").tokens, [&b"\xe9"[..], "\u{e9}".as_bytes(), b"%E9"]);
    }

    #[test]
    fn what_names_nothing_or_too_much_is_not_clear() {
        for body in [
            &b""[..],
            b"token=",
            b"token",
            b"x=1",
            b"token_type_hint=TOK",
            b"{\"token\":1}",
            b"{\"x\":\"token\"}",
            b"\x1f\x8b\x08",
        ] {
            assert!(!named(b"", body).is_clear(), "{:?}", body.escape_ascii().to_string());
            assert!(named(b"", body).tokens.is_empty());
        }
        let many =
            |count: usize| (0..count).map(|n| format!("token=t{n}")).collect::<Vec<_>>().join("&");
        assert!(named(b"", many(TOKENS_MAX).as_bytes()).is_clear());
        let more = named(b"", many(TOKENS_MAX + 1).as_bytes());
        assert!(!more.is_clear() && more.tokens.len() == TOKENS_MAX);
    }

    proptest! {
        #[test]
        fn a_form_that_is_written_well_is_read_as_it_was_meant(token in "[ -~]{1,40}", before in "[a-z]{0,4}") {
            let mut body = format!("x={before}&token=");
            for byte in token.bytes() {
                body.push_str(&format!("%{byte:02X}"));
            }
            let wanted = token.as_bytes().trim_ascii().to_vec();
            prop_assert!(wanted.is_empty() || named(b"", body.as_bytes()).tokens.contains(&wanted));
        }

        #[test]
        fn no_bytes_panic(query: Vec<u8>, body: Vec<u8>, text in "[token=&;\"{}:%0-9\r\n-]{0,60}") {
            prop_assert!(named(&query, &body).tokens.len() <= TOKENS_MAX);
            prop_assert!(named(text.as_bytes(), text.as_bytes()).tokens.len() <= TOKENS_MAX);
        }
    }
}
