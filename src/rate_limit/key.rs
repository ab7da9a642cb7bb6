//! What a limit counts apart: the digest that names one counter.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::digest::{Digest, HostKey};
use crate::rate_limit::{Amount, KeyPart, RateLimit};

/// The value of one part of a limit's key in one request. An absent value is a value of its own,
/// never equal to a present one, the empty one included.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyPartValue<'a> {
    /// The request has no such thing.
    Absent,
    /// Bytes as verified.
    Bytes(&'a [u8]),
    /// The client's address.
    Address(Address),
}

/// A client's address as limits see it: IPv4 whole, IPv6 by /64, IPv4 mapped into IPv6 as IPv4
/// (RFC 4291, section 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// The first 64 bits of IPv6.
    V6([u8; 8]),
}

impl Address {
    /// Reads an address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
    /// `[2001:db8::1]:80`, with or without a zone. Nothing for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let ip = match text.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => match text.parse::<SocketAddr>() {
                Ok(socket) => socket.ip(),
                Err(_) => IpAddr::V6(bare_v6(text)?),
            },
        };
        Some(Address::from(ip))
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Address::V4(v4.octets()),
            IpAddr::V6(v6) => Address::V6(v6.octets().first_chunk().copied().unwrap_or_default()),
        }
    }
}

/// `[2001:db8::1]` and addresses with a zone by name, `fe80::1%eth0`, which `std` doesn't read.
fn bare_v6(text: &str) -> Option<Ipv6Addr> {
    let inner = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, port) = rest.rsplit_once(']')?;
            let port_is_one =
                port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
            (port.is_empty() || port_is_one).then_some(inner)?
        }
        None => text,
    };
    inner.split_once('%').map_or(inner, |(address, _)| address).parse().ok()
}

/// The digest of the counter that `limit` keeps for these values, one for each part of its key in
/// order; a part without a value counts as absent. Name and numbers of the limit go into it: a
/// limit with other numbers counts anew.
pub fn counter_digest(host: &HostKey, limit: &RateLimit, parts: &[KeyPartValue<'_>]) -> Digest {
    let mut values = Vec::with_capacity(128);
    let absent = std::iter::repeat(&KeyPartValue::Absent);
    for (part, value) in limit.key.iter().zip(parts.iter().chain(absent)) {
        name_part(&mut values, part);
        match value {
            KeyPartValue::Absent => values.push(0),
            KeyPartValue::Bytes(bytes) => tagged(&mut values, 1, bytes),
            KeyPartValue::Address(Address::V4(octets)) => tagged(&mut values, 4, octets),
            KeyPartValue::Address(Address::V6(octets)) => tagged(&mut values, 6, octets),
        }
    }
    host.digest("counter", &[limit.name.as_bytes(), &numbers(limit.amount), &values])
}

/// The digest of the limit alone, under which all its counters share the sketch.
pub(super) fn limit_digest(host: &HostKey, limit: &RateLimit) -> Digest {
    host.digest("limit", &[limit.name.as_bytes(), &numbers(limit.amount)])
}

fn numbers(amount: Amount) -> [u8; 25] {
    let (kind, numbers) = amount.name();
    let mut bytes = [kind; 25];
    bytes
        .iter_mut()
        .skip(1)
        .zip(numbers.into_iter().flat_map(u64::to_le_bytes))
        .for_each(|(to, from)| *to = from);
    bytes
}

fn name_part(values: &mut Vec<u8>, part: &KeyPart) {
    match part {
        KeyPart::Issuer => values.push(10),
        KeyPart::Subject => values.push(11),
        KeyPart::ClientId => values.push(12),
        KeyPart::Consumer => values.push(13),
        KeyPart::Address => values.push(14),
        KeyPart::Route => values.push(15),
        KeyPart::Header(name) => tagged(values, 16, name.as_bytes()),
        KeyPart::Capture(name) => tagged(values, 17, name.as_bytes()),
        KeyPart::Claim(path) => {
            tagged(values, 18, &(path.0.len() as u64).to_le_bytes());
            path.0.iter().for_each(|segment| tagged(values, 19, segment.as_bytes()));
        }
    }
}

fn tagged(values: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    values.push(tag);
    values.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    values.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::Charging;
    use crate::rate_limit::Window;
    use crate::reply::FailureMode;
    use proptest::prelude::*;

    fn limit(name: &str, key: Vec<KeyPart>, limit: u64) -> RateLimit {
        let amount = Amount::Rate { limit, per_s: 1, burst: limit };
        RateLimit {
            name: name.into(),
            key,
            amount,
            tiers: Vec::new(),
            failure_mode: FailureMode::Deny,
            shadow: false,
            headers: false,
            charge: Charging::Accepted,
            sync: None,
        }
    }

    #[test]
    fn one_client_has_one_address() {
        let v4 = Address::parse("192.0.2.1").unwrap();
        for same in [
            "192.0.2.1:80",
            "::ffff:192.0.2.1",
            "[::ffff:192.0.2.1]:443",
            "::ffff:c000:201",
            "0:0:0:0:0:FFFF:192.0.2.1",
        ] {
            assert!(Address::parse(same) == Some(v4), "{same}");
        }
        let v6 = Address::parse("2001:db8:1:2::1").unwrap();
        for same in [
            "2001:DB8:1:2:ffff:ffff:ffff:ffff",
            "[2001:db8:1:2::9]:80",
            "[2001:db8:1:2::9]",
            "2001:db8:1:2::1%eth0",
            "[2001:db8:1:2::1%eth0]:80",
        ] {
            assert!(Address::parse(same) == Some(v6), "{same}");
        }
        assert!(Address::parse("2001:db8:1:3::1") != Some(v6));
        for none in [
            "",
            "unix:/tmp/x",
            "@",
            "192.0.2",
            "192.0.2.1:99999",
            "[::1",
            "[::1]x",
            "::1]:80",
            "192.0.2.01",
            "%",
            "[%]",
        ] {
            assert!(Address::parse(none).is_none(), "{none}");
        }
    }

    #[test]
    fn absent_is_a_value_of_its_own() {
        let host = HostKey::new(&[1; 32], b"");
        let by_two = limit("a", vec![KeyPart::ClientId, KeyPart::Issuer], 5);
        let of = |parts: &[KeyPartValue<'_>]| counter_digest(&host, &by_two, parts);
        use KeyPartValue::{Absent, Bytes};
        let all = [
            of(&[Absent, Absent]),
            of(&[Bytes(b""), Absent]),
            of(&[Absent, Bytes(b"")]),
            of(&[Bytes(b"\0"), Absent]),
            of(&[Bytes(b"a"), Bytes(b"b")]),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all.iter().skip(n + 1).all(|other| one != other));
        }
        assert_eq!(of(&[]), of(&[Absent, Absent]));
    }

    #[test]
    fn name_and_numbers_are_part_of_it() {
        let host = HostKey::new(&[1; 32], b"");
        let of = |l: &RateLimit| counter_digest(&host, l, &[KeyPartValue::Bytes(b"x")]);
        let base = limit("a", vec![KeyPart::Issuer], 5);
        assert_ne!(of(&base), of(&limit("b", vec![KeyPart::Issuer], 5)));
        assert_ne!(of(&base), of(&limit("a", vec![KeyPart::Issuer], 6)));
        assert_ne!(of(&base), of(&limit("a", vec![KeyPart::Subject], 5)));
        let quota =
            RateLimit { amount: Amount::Quota { quota: 5, window: Window::Day }, ..base.clone() };
        let monthly =
            RateLimit { amount: Amount::Quota { quota: 5, window: Window::Month }, ..base.clone() };
        assert_ne!(of(&quota), of(&monthly));
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_not(text in "\\PC{0,60}") {
            let _ = Address::parse(&text);
        }

        #[test]
        fn values_do_not_run_together(a in proptest::collection::vec(any::<u8>(), 0..6), b in proptest::collection::vec(any::<u8>(), 0..6), cut in 0usize..12) {
            let host = HostKey::new(&[1; 32], b"");
            let by_two = limit("a", vec![KeyPart::Issuer, KeyPart::Subject], 5);
            let joined: Vec<u8> = a.iter().chain(&b).copied().collect();
            let cut = cut.min(joined.len());
            let one = counter_digest(&host, &by_two, &[KeyPartValue::Bytes(&a), KeyPartValue::Bytes(&b)]);
            let other = counter_digest(&host, &by_two, &[KeyPartValue::Bytes(&joined[..cut]), KeyPartValue::Bytes(&joined[cut..])]);
            prop_assert_eq!(one == other, cut == a.len());
        }
    }
}
