//! Sealed records: values in shared memory that name their own key.
//!
//! Layout, little endian: checksum 8, format 1, table 1, payload length 2, expiry 8, digest 32,
//! payload, zeros up to the table's record size. The checksum is keyed and covers everything from
//! the format to the end of the payload. All records of a table have one size, because growing a
//! value in a full zone kills a Kong worker.

use super::slot::TableId;
use super::twin::{Twin, broken};
use crate::digest::{Digest, HostKey};
use crate::time::Time;

/// Bytes of a record that aren't payload.
pub const OVERHEAD: usize = 52;
/// The largest record: with Kong's 96 bytes and a name of 6 it fills one slab of 2048.
pub const RECORD_BYTES_MAX: usize = 2048 - 96 - 6;

const FORMAT: u8 = 1;
const CHECKSUM: usize = 8;

/// What all records of one table have in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    table: TableId,
    payload_max: u16,
}

/// A record that was opened: all of it is as it was sealed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The digest of its key.
    pub digest: Digest,
    /// From when on it is absent.
    pub expires: Time,
    /// What was sealed.
    pub payload: &'a [u8],
}

impl Shape {
    /// The shape of records of `table` with at most `payload_max` bytes; more than fits into
    /// [`RECORD_BYTES_MAX`] is cut down to that.
    pub const fn new(table: TableId, payload_max: usize) -> Self {
        let fits = RECORD_BYTES_MAX - OVERHEAD;
        Shape {
            table,
            payload_max: if payload_max < fits { payload_max as u16 } else { fits as u16 },
        }
    }

    /// The table.
    pub const fn table(&self) -> TableId {
        self.table
    }

    /// Bytes of payload at most.
    pub const fn payload_max(&self) -> usize {
        self.payload_max as usize
    }

    /// Bytes of every record.
    pub const fn record_bytes(&self) -> usize {
        OVERHEAD + self.payload_max as usize
    }

    /// A record, or nothing if the payload is longer than the table's records take.
    pub fn seal(
        &self,
        host: &HostKey,
        digest: &Digest,
        expires: Time,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let length = u16::try_from(payload.len()).ok().filter(|n| *n <= self.payload_max)?;
        let mut bytes = Vec::with_capacity(self.record_bytes());
        bytes.extend_from_slice(&[0; CHECKSUM]);
        bytes.push(FORMAT);
        bytes.push(self.table.letter());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&expires.ns().to_le_bytes());
        bytes.extend_from_slice(&digest.0);
        bytes.extend_from_slice(payload);
        stamp(host, &mut bytes);
        bytes.resize(self.record_bytes(), 0);
        Some(bytes)
    }

    /// A record that belongs to no key and has ended: what is left where one was removed.
    pub fn blank(&self, host: &HostKey) -> Vec<u8> {
        self.seal(host, &Digest([0; 32]), Time::default(), &[]).unwrap_or_default()
    }

    /// Whatever whole record of this table `bytes` hold, ended or not.
    pub fn open_any<'a>(&self, host: &HostKey, bytes: &'a [u8]) -> Option<Opened<'a>> {
        if bytes.len() != self.record_bytes() {
            return None;
        }
        let (checksum, body) = bytes.split_first_chunk::<CHECKSUM>()?;
        let (&[format, table], rest) = body.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let payload = rest.get(..length)?;
        let sealed = body.get(..OVERHEAD - CHECKSUM + length)?;
        let whole = format == FORMAT
            && table == self.table.letter()
            && is_checksum(host, sealed, *checksum);
        whole.then(|| Opened {
            digest: Digest(*digest),
            expires: Time::from_ns(u64::from_le_bytes(*expires)),
            payload,
        })
    }

    /// The record of this key, if that is what `bytes` hold, and it hasn't ended.
    pub fn open<'a>(
        &self,
        host: &HostKey,
        bytes: &'a [u8],
        digest: &Digest,
        now: Time,
    ) -> Option<Opened<'a>> {
        // The digest first: a record of another key is the common case of a miss.
        if bytes.get(OVERHEAD - 32..OVERHEAD)? != digest.0 && !broken(Twin::AnyKey) {
            return None;
        }
        self.open_any(host, bytes).filter(|record| record.expires > now)
    }
}

impl std::fmt::Debug for Opened<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// Writes the checksum of everything after it into the first bytes.
pub(super) fn stamp(host: &HostKey, bytes: &mut [u8]) {
    if let Some((checksum, body)) = bytes.split_first_chunk_mut::<CHECKSUM>() {
        *checksum = host.short(body).to_le_bytes();
    }
}

/// Whether the first bytes are the checksum of everything after them.
pub(super) fn is_stamped(host: &HostKey, bytes: &[u8]) -> bool {
    bytes
        .split_first_chunk::<CHECKSUM>()
        .is_some_and(|(checksum, body)| is_checksum(host, body, *checksum))
}

/// Whether this is a checksum that was written under the key, or under the one before it: what lies
/// there from before must not count as no record, or whoever writes next would take its place.
fn is_checksum(host: &HostKey, bytes: &[u8], checksum: [u8; CHECKSUM]) -> bool {
    let checksum = u64::from_le_bytes(checksum);
    host.short(bytes) == checksum || host.previous().is_some_and(|key| key.short(bytes) == checksum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHAPE: Shape = Shape::new(TableId::Tokens, 100);

    fn host() -> HostKey {
        HostKey::new(&[3; 32], b"secret")
    }

    fn digest(n: u8) -> Digest {
        host().digest("test", &[&[n]])
    }

    #[test]
    fn a_record_is_of_one_table_one_key_one_host_and_one_time() {
        let bytes = SHAPE.seal(&host(), &digest(1), Time::from_s(10), b"payload").unwrap();
        assert_eq!(bytes.len(), SHAPE.record_bytes());
        let open = |shape: &Shape, host: &HostKey, d: &Digest, now| {
            shape.open(host, &bytes, d, now).map(|r| r.payload.to_vec())
        };
        assert_eq!(open(&SHAPE, &host(), &digest(1), Time::from_s(9)).unwrap(), b"payload");
        assert_eq!(open(&SHAPE, &host(), &digest(1), Time::from_s(10)), None);
        assert_eq!(open(&SHAPE, &host(), &digest(2), Time::from_s(9)), None);
        assert_eq!(
            open(&SHAPE, &HostKey::new(&[3; 32], b"other"), &digest(1), Time::from_s(9)),
            None
        );
        assert_eq!(
            open(&Shape::new(TableId::Facts, 100), &host(), &digest(1), Time::from_s(9)),
            None
        );
        assert_eq!(
            open(&Shape::new(TableId::Tokens, 101), &host(), &digest(1), Time::from_s(9)),
            None
        );
    }

    #[test]
    fn a_payload_that_does_not_fit_is_refused() {
        assert!(SHAPE.seal(&host(), &digest(1), Time::from_s(1), &[0; 101]).is_none());
        assert!(SHAPE.seal(&host(), &digest(1), Time::from_s(1), &[0; 100]).is_some());
        assert_eq!(Shape::new(TableId::Documents, 1 << 20).record_bytes(), RECORD_BYTES_MAX);
    }

    #[test]
    fn a_blank_belongs_to_nobody() {
        let bytes = SHAPE.blank(&host());
        assert_eq!(bytes.len(), SHAPE.record_bytes());
        assert!(SHAPE.open(&host(), &bytes, &Digest([0; 32]), Time::default()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_open_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(SHAPE.open_any(&host(), &bytes).is_none());
            prop_assert!(SHAPE.open(&host(), &bytes, &digest(1), Time::default()).is_none());
        }

        #[test]
        fn a_changed_byte_closes_it(payload in proptest::collection::vec(any::<u8>(), 0..=100), at in 0usize..152, xor in 1u8..) {
            let mut bytes = SHAPE.seal(&host(), &digest(1), Time::from_s(10), &payload).unwrap();
            bytes[at] ^= xor;
            let opened = SHAPE.open(&host(), &bytes, &digest(1), Time::from_s(1));
            // What follows the payload is padding, and of no one's concern.
            prop_assert_eq!(opened.is_some(), at >= OVERHEAD + payload.len());
        }

        #[test]
        fn a_torn_record_is_absent(cut in 0usize..152) {
            let old = SHAPE.seal(&host(), &digest(1), Time::from_s(10), &[1; 100]).unwrap();
            let new = SHAPE.seal(&host(), &digest(1), Time::from_s(11), &[2; 100]).unwrap();
            prop_assert!(SHAPE.open(&host(), &old[..cut], &digest(1), Time::default()).is_none());
            let torn: Vec<u8> = new[..cut].iter().chain(&old[cut..]).copied().collect();
            prop_assert!(torn == old || SHAPE.open(&host(), &torn, &digest(1), Time::default()).is_none());
        }
    }
}
