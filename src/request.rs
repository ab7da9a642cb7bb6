//! A request as the host hands it over: all headers in one block, read in place.

/// All headers of a message in the host's own form: a count, the lengths, then names and values each
/// with a zero byte behind it. One host call brings it, and nothing is copied out of it.
#[derive(Clone, Default)]
pub struct HeaderBlock {
    bytes: Vec<u8>,
}

impl HeaderBlock {
    /// Takes the host's bytes as they are; whatever can't be read in them isn't there.
    pub fn from_host(bytes: Vec<u8>) -> Self {
        HeaderBlock { bytes }
    }

    /// Builds a block from pairs, for tests and for hosts that have only pairs.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
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

fn le_u32(bytes: &[u8]) -> usize {
    bytes.try_into().map(u32::from_le_bytes).unwrap_or(0) as usize
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
    /// What the host knows beside.
    pub surroundings: &'a dyn Surroundings,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_come_back_in_order() {
        let block = HeaderBlock::from_pairs([(":method", &b"GET"[..]), ("a", b""), ("b", b"1\x002")]);
        let pairs: Vec<_> = block.iter().collect();
        assert_eq!(pairs, [(&b":method"[..], &b"GET"[..]), (b"a", b""), (b"b", b"1\x002")]);
        assert_eq!(block.get("b"), Some(&b"1\x002"[..]));
        assert_eq!(block.get("c"), None);
        assert_eq!((block.count(), HeaderBlock::default().count()), (3, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let block = HeaderBlock::from_host(bytes);
            prop_assert!(block.iter().count() <= 200);
        }
    }
}
