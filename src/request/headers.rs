//! A request as the host hands it over: all headers in one block, read in place.

/// All headers of a message in the host's own form: a count, the lengths, then names and values
/// each with a zero byte behind it. One host call brings it, and nothing is copied out of it.
#[derive(Clone, Default)]
pub struct HeaderBlock {
    bytes: Vec<u8>,
}

impl HeaderBlock {
    /// Takes the host's bytes as they are; whatever can't be read in them isn't there.
    pub fn from_host(bytes: Vec<u8>) -> Self {
        HeaderBlock { bytes }
    }

    /// The host's bytes again.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Builds a block from pairs, for tests and for hosts that have only pairs.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let size: usize = pairs.iter().map(|(name, value)| 10 + name.len() + value.len()).sum();
        let mut bytes = Vec::with_capacity(4 + size);
        bytes.extend((pairs.len() as u32).to_le_bytes());
        for (name, value) in &pairs {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in &pairs {
            bytes.extend(name.as_bytes());
            bytes.push(0);
            bytes.extend(*value);
            bytes.push(0);
        }
        HeaderBlock { bytes }
    }

    /// The block in the host's form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many pairs the host says there are.
    pub fn count(&self) -> usize {
        le_u32(self.bytes.split_at_checked(4).unwrap_or_default().0)
    }

    /// Names and values in the order of the message.
    pub fn iter(&self) -> Headers<'_> {
        let (count, rest) = self.bytes.split_at_checked(4).unwrap_or_default();
        let count = le_u32(count);
        let (lengths, data) = rest.split_at_checked(count.saturating_mul(8)).unwrap_or_default();
        Headers { lengths, data }
    }

    /// What every request is asked for, in one walk.
    #[inline(always)]
    pub fn outline(&self, is_reserved: impl Fn(&[u8]) -> bool) -> Outline<'_> {
        let mut outline = Outline {
            method: b"",
            path: b"",
            host: b"",
            authorization: Field::None,
            has_reserved: false,
        };
        for (name, value) in self.iter() {
            match name {
                b":method" => outline.method = value,
                b":path" => outline.path = value,
                b":authority" => outline.host = value,
                // Kong's `:authority` is nginx's own name for the server.
                _ if is_word(name, b"host") => outline.host = value,
                _ if is_word(name, b"authorization") => {
                    outline.authorization = outline.authorization.and(value)
                }
                _ => {}
            }
            outline.has_reserved |= is_reserved(name);
        }
        outline
    }

    /// The first value under `name`, which is lower case as the hosts give it.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for HeaderBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeaderBlock(..)")
    }
}

/// Walks over a block.
#[derive(Clone)]
pub struct Headers<'a> {
    lengths: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (name_length, rest) = self.lengths.split_at_checked(4)?;
        let (value_length, rest) = rest.split_at_checked(4)?;
        self.lengths = rest;
        let (name, data) = self.data.split_at_checked(le_u32(name_length))?;
        let (value, data) = data.get(1..)?.split_at_checked(le_u32(value_length))?;
        self.data = data.get(1..).unwrap_or_default();
        Some((name, value))
    }
}

/// Whether a name is `lower`, which is four and more small letters, in any case of them. A word at
/// a time: on the hot path the short code counts.
#[inline(always)]
pub fn is_word<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    const { assert!(N >= 4) };
    // The bit that tells small letters from large ones; no other byte becomes a small letter by it.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let same_4 = |a: Option<&[u8; 4]>, b: Option<&[u8; 4]>| match (a, b) {
        (Some(a), Some(b)) => u32::from_le_bytes(*a) | SMALL as u32 == u32::from_le_bytes(*b),
        _ => false,
    };
    let same_8 = |a: Option<&[u8; 8]>, b: Option<&[u8; 8]>| match (a, b) {
        (Some(a), Some(b)) => u64::from_le_bytes(*a) | SMALL == u64::from_le_bytes(*b),
        _ => false,
    };
    name.len() == N
        && match N {
            4..8 => {
                same_4(name.first_chunk(), lower.first_chunk())
                    && same_4(name.last_chunk(), lower.last_chunk())
            }
            8..=16 => {
                same_8(name.first_chunk(), lower.first_chunk())
                    && same_8(name.last_chunk(), lower.last_chunk())
            }
            _ => name.eq_ignore_ascii_case(lower),
        }
}

fn le_u32(bytes: &[u8]) -> usize {
    bytes.try_into().map(u32::from_le_bytes).unwrap_or(0) as usize
}

/// What every request is asked for.
pub struct Outline<'a> {
    /// The method.
    pub method: &'a [u8],
    /// `:path`.
    pub path: &'a [u8],
    /// The host that the client asked for.
    pub host: &'a [u8],
    /// Its Authorization fields.
    pub authorization: Field<'a>,
    /// Whether a header's name is one that only the filter may set.
    pub has_reserved: bool,
}

/// A field that may come once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<'a> {
    /// It didn't come.
    #[default]
    None,
    /// Its value.
    One(&'a [u8]),
    /// It came more than once.
    Several,
}

impl<'a> Field<'a> {
    /// The field with one more value.
    #[inline(always)]
    pub fn and(self, value: &'a [u8]) -> Self {
        match self {
            Field::None => Field::One(value),
            Field::One(_) | Field::Several => Field::Several,
        }
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Field<'a> {
    /// The field of these headers, which all have its name.
    #[inline(always)]
    fn from_iter<T: IntoIterator<Item = (&'a [u8], &'a [u8])>>(headers: T) -> Self {
        headers.into_iter().fold(Field::None, |field, (_, value)| field.and(value))
    }
}

/// What the host knows of a request beside its headers. Each answer costs a host call, so it is
/// asked only where the configuration needs it.
pub trait Surroundings {
    /// The client's address as the host writes it, with or without a port.
    fn address(&self) -> Option<String>;
    /// The host's name of the route.
    fn route(&self) -> Option<String>;
    /// Whether the client showed a certificate on its connection (RFC 8705).
    fn client_certificate(&self) -> bool;
    /// The SHA-256 of that certificate; nothing if there is none, or the host doesn't say.
    fn certificate_digest(&self) -> Option<[u8; 32]>;
}

/// One request, seen whole.
pub struct Request<'a> {
    /// Its headers.
    pub headers: &'a HeaderBlock,
    /// Its method.
    pub method: &'a [u8],
    /// Path and query as the client sent them.
    pub target: &'a [u8],
    /// The host that the client asked for.
    pub host: &'a [u8],
    /// Its Authorization fields.
    pub authorization: Field<'a>,
    /// Whether a header's name is one that only the filter may set.
    pub has_reserved: bool,
    /// What the host knows beside.
    pub surroundings: &'a dyn Surroundings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_come_back_in_order() {
        let block =
            HeaderBlock::from_pairs([(":method", &b"GET"[..]), ("a", b""), ("b", b"1\x002")]);
        let pairs: Vec<_> = block.iter().collect();
        assert_eq!(pairs, [(&b":method"[..], &b"GET"[..]), (b"a", b""), (b"b", b"1\x002")]);
        assert_eq!(block.get("b"), Some(&b"1\x002"[..]));
        assert_eq!(block.get("c"), None);
        assert_eq!((block.count(), HeaderBlock::default().count()), (3, 0));
    }

    #[test]
    fn an_outline_is_what_a_look_for_each_finds() {
        let block = HeaderBlock::from_pairs([
            (":authority", &b"first"[..]),
            (":method", b"GET"),
            ("x-user", b"root"),
            (":path", b"/orders"),
            ("Host", b"second"),
            ("Authorization", b"Bearer t"),
        ]);
        let outline = block.outline(|name| name == b"x-user");
        assert_eq!(
            (outline.method, outline.path, outline.host),
            (&b"GET"[..], &b"/orders"[..], &b"second"[..])
        );
        assert!(outline.authorization == Field::One(b"Bearer t") && outline.has_reserved);
        // Whatever else a name is, it may be reserved too.
        assert!(
            block.outline(|name| name == b"Host").has_reserved
                && block.outline(|name| name == b":path").has_reserved
        );
        let twice = HeaderBlock::from_pairs([
            ("authorization", &b"Bearer t"[..]),
            ("a", b""),
            ("AUTHORIZATION", b"Bearer t"),
        ]);
        let outline = twice.outline(|_| false);
        assert!(outline.authorization == Field::Several && !outline.has_reserved);
        assert!(HeaderBlock::default().outline(|_| true).authorization == Field::None);
    }

    #[test]
    fn a_word_is_itself_in_any_case() {
        assert!(
            is_word(b"authorization", b"authorization")
                && is_word(b"AuthoriZation", b"authorization")
        );
        assert!(
            is_word(b"host", b"host")
                && is_word(b"HOST", b"host")
                && is_word(b"oPTIONS", b"options")
        );
        assert!(!is_word(b"hos", b"host") && !is_word(b"hosts", b"host") && !is_word(b"", b"host"));
    }

    proptest! {
        #[test]
        fn a_word_is_no_other(position in 0usize..13, byte in any::<u8>()) {
            let mut name = *b"authorization";
            name[position] = byte;
            prop_assert_eq!(is_word(&name, b"authorization"), name.eq_ignore_ascii_case(b"authorization"));
            prop_assert_eq!(is_word(&name[..7], b"authori"), name[..7].eq_ignore_ascii_case(b"authori"));
            prop_assert_eq!(is_word(&name[..4], b"auth"), name[..4].eq_ignore_ascii_case(b"auth"));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let block = HeaderBlock::from_host(bytes);
            prop_assert!(block.iter().count() <= 200);
        }
    }
}
