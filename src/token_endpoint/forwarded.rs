//! `Forwarded` (RFC 7239) by its parts: `for` and `by` are addresses, as `X-Forwarded-For` has
//! them; `host` and `proto` may shape an answer (its `iss`), and so may what isn't known.

/// What of these lines may shape an answer; nothing if they tell of addresses alone. Lines that
/// aren't written by the grammar shape it as they stand.
pub(super) fn shaping(lines: &[&[u8]]) -> Option<Vec<u8>> {
    // Several lines are one list (RFC 9110, section 5.3).
    let joined = lines.join(&b", "[..]);
    let Some(elements) = parts(&joined) else { return Some(joined) };
    // Readers take the first element or the last, so that one without such parts keeps its place.
    elements.iter().any(|element| !element.is_empty()).then(|| elements.join(",").into_bytes())
}

/// The parts of each element that may shape an answer. Nothing for what another reader could read
/// differently.
fn parts(text: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')))?;
    if text.contains('\\') {
        return None;
    }
    let mut elements = Vec::new();
    for element in split(text, ',')? {
        let mut kept = Vec::new();
        for pair in split(element, ';')? {
            let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let is_value = inner.is_some_and(|inner| !inner.contains('"')) || is_token(value);
            if !is_token(name) || !is_value {
                return None;
            }
            if !["for", "by"].iter().any(|address| name.eq_ignore_ascii_case(address)) {
                kept.push(format!("{}={value}", name.to_ascii_lowercase()));
            }
        }
        elements.push(kept.join(";"));
    }
    Some(elements)
}

/// Splits outside quotes; nothing if a quote isn't closed.
fn split(text: &str, at: char) -> Option<Vec<&str>> {
    let mut quoted = false;
    let pieces = text
        .split(|c| {
            quoted ^= c == '"';
            c == at && !quoted
        })
        .collect();
    (!quoted).then_some(pieces)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str) -> Option<String> {
        shaping(&[line.as_bytes()]).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// The examples of RFC 7239, section 4.
    #[test]
    fn addresses_shape_nothing() {
        for line in [
            "for=\"_gazonk\"",
            "For=\"[2001:db8:cafe::17]:4711\"",
            "for=192.0.2.43, for=198.51.100.17",
            "for=192.0.2.60;by=203.0.113.43",
        ] {
            assert_eq!(one(line), None, "{line}");
        }
        assert_eq!(one("for=192.0.2.60;proto=http;by=203.0.113.43"), Some("proto=http".into()));
        assert_eq!(one("for=a;Host=x, for=b"), Some("host=x,".into()));
        assert_eq!(one("for=b, for=a;host=x"), Some(",host=x".into()));
        assert_eq!(one("for=a;host=\"x,y;z\";secret=1"), Some("host=\"x,y;z\";secret=1".into()));
        assert_eq!(shaping(&[b"for=a", b"host=x"]), Some(b",host=x".to_vec()));
    }

    #[test]
    fn what_is_not_clear_shapes_as_it_stands() {
        for line in [
            "",
            "for",
            "for=a;;by=b",
            "for = a",
            "for=\"a",
            "for=\"a\\\"\"",
            "for=a b",
            "=a",
            "for=",
            "host=é",
            "for=a,",
            "for=\"a\"b",
        ] {
            assert_eq!(one(line).as_deref(), Some(line), "{line}");
        }
    }

    proptest! {
        /// Two lines are taken for one another only where all that isn't an address is the same, in
        /// the same place.
        #[test]
        fn only_addresses_are_passed_over(
            one in prop::collection::vec(("(for|by|host|proto)", "[a-c]"), 1..4),
            other in prop::collection::vec(("(for|by|host|proto)", "[a-c]"), 1..4),
        ) {
            let written = |list: &[(String, String)]| list.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ");
            let meant = |list: &[(String, String)]| -> Vec<Option<(String, String)>> {
                list.iter().map(|pair| (!["for", "by"].contains(&pair.0.as_str())).then(|| pair.clone())).collect()
            };
            let clean = |meant: Vec<Option<(String, String)>>| if meant.iter().all(Option::is_none) { Vec::new() } else { meant };
            let same = shaping(&[written(&one).as_bytes()]) == shaping(&[written(&other).as_bytes()]);
            prop_assert_eq!(same, clean(meant(&one)) == clean(meant(&other)));
        }

        #[test]
        fn no_bytes_panic(line in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = shaping(&[&line]);
        }
    }
}
