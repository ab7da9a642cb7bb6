//! Documents: values larger than a record. JWK Sets, token answers.
//!
//! A document is a head, found as any record of a [`Table`] is, and chunks, which lie in whatever
//! slots of the same table were free; the head says where. A body that fits into the head needs no
//! chunks and is read in one host call. Chunks are written first and the head last, and the name of
//! each chunk holds the version that the head names, so a reader gets the body of one version whole
//! or nothing.

use super::record::{OVERHEAD, RECORD_BYTES_MAX};
use super::slot::TableId;
use super::table::{Found, Table, word};
use super::twin::{Twin, broken};
use super::{Moment, Refused, Slot, Unavailable};
use crate::digest::{Digest, HostKey};
use crate::time::Time;

/// Bytes of a document at most.
pub const DOCUMENT_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a document in a settled table at most: its head has room for so many places.
pub const SETTLED_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a part of a document that is read by parts.
pub const PART_BYTES: usize = CHUNK_BYTES;
/// Bytes that come with the head.
pub const META_BYTES: usize = 56;
/// Bytes of a body that fits into the head.
pub const INLINE_BYTES_MAX: usize = CHUNK_BYTES - HEAD_BYTES;

const CHUNK_BYTES: usize = RECORD_BYTES_MAX - OVERHEAD;
/// Version 8, length of the body 4, checksum of the body 8, meta, the moment of writing 8.
const HEAD_BYTES: usize = 28 + META_BYTES;
/// Bytes of a chunk's place in the head.
const PLACE_BYTES: usize = 3;
/// Slots that are looked at for one chunk before something gives way.
const PROBES: usize = 16;
/// How often a reader starts again because the document changed under it.
const READS: usize = 3;

/// A table of documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Documents {
    table: Table,
    bytes_max: usize,
    /// Whether the chunks of a document stay where they are, turn about in one of two places.
    settled: bool,
}

/// What can be known of a document in one host call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Differs from one written document to the next.
    pub version: u64,
    /// From when on it is absent.
    pub expires: Time,
    /// Bytes of the body.
    pub length: u32,
    /// The writer's own.
    pub meta: [u8; META_BYTES],
    /// When it was written.
    pub written: Time,
}

/// A whole document.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

/// A document whose parts can be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its head.
    pub head: Head,
    /// The whole body, where it lies in the head.
    inline: Option<Vec<u8>>,
    /// Where its chunks are.
    places: Vec<u32>,
}

impl Documents {
    /// A table of `slots` records of 2 KiB for heads and chunks together.
    pub const fn new(slots: u32) -> Self {
        Documents::in_table(TableId::Documents, slots)
    }

    /// Another such table, whose documents have room of their own.
    pub const fn in_table(table: TableId, slots: u32) -> Self {
        let table = Table::new(table, slots, CHUNK_BYTES);
        Documents { table, bytes_max: DOCUMENT_BYTES_MAX, settled: false }
    }

    /// A table of documents that are read by parts and written anew again and again, each of at most
    /// [`SETTLED_BYTES_MAX`] bytes. The chunks of one version lie where those of the last but one
    /// lay: a host that never deletes keeps two versions of what is in use, and not in time every
    /// slot of the table.
    pub const fn settled(table: TableId, slots: u32) -> Self {
        let table = Table::new(table, slots, CHUNK_BYTES);
        Documents { table, bytes_max: SETTLED_BYTES_MAX, settled: true }
    }

    /// The table under it.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// The head alone, to see whether a document is there and which. One host call, or two.
    pub fn head(&self, at: &Moment<'_>, digest: &Digest) -> Option<Head> {
        let found = self.table.get(at, digest)?;
        Parsed::of(&found).map(|parsed| parsed.head)
    }

    /// The document: all of one version, or nothing.
    pub fn read(&self, at: &Moment<'_>, digest: &Digest) -> Option<Document> {
        let mut seen = None;
        for _ in 0..READS {
            let found = self.table.get(at, digest)?;
            let parsed = Parsed::of(&found)?;
            if let Some(body) = self.body(at, digest, &parsed) {
                return Some(Document { head: parsed.head, body });
            }
            // Chunks missing under a head that is still there won't come back.
            if seen.replace(parsed.head.version) == Some(parsed.head.version) {
                return None;
            }
        }
        None
    }

    /// What is needed to read a document by parts.
    pub fn open(&self, at: &Moment<'_>, digest: &Digest) -> Option<Opened> {
        let found = self.table.get(at, digest)?;
        let parsed = Parsed::of(&found)?;
        let length = parsed.head.length as usize;
        let inline = match length <= INLINE_BYTES_MAX {
            true => Some(parsed.rest.get(..length)?.to_vec()),
            false => None,
        };
        Some(Opened { head: parsed.head, inline, places: parsed.places().collect() })
    }

    /// The part of this number of an opened document: of its version, or nothing. One host call.
    pub fn part(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        opened: &Opened,
        n: usize,
    ) -> Option<Vec<u8>> {
        if let Some(inline) = &opened.inline {
            return (n == 0).then(|| inline.clone());
        }
        let name = chunk_name(at.host, digest, opened.head.version, n);
        let found = self.table.get_at(at, *opened.places.get(n)?, &name)?;
        Some(found.payload().to_vec())
    }

    /// Writes a document in place of what this key had, and frees the chunks of that. Returns the
    /// new version.
    ///
    /// # Errors The old document stays, if there was one and its chunks weren't needed: `TooLong`
    /// over [`DOCUMENT_BYTES_MAX`] or what the table holds, `Full` if there is no room, `Exhausted`
    /// after too many lost races.
    pub fn write(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        meta: &[u8; META_BYTES],
        body: &[u8],
        expires: Time,
    ) -> Result<u64, Unavailable> {
        let slots = body.len().div_ceil(CHUNK_BYTES) + 2;
        if body.len() > self.bytes_max || slots > self.table.slots() as usize {
            return Err(Unavailable::TooLong);
        }
        let version = word(
            &at.host.digest(
                "document version",
                &[&digest.0, &at.store.random().to_le_bytes(), &at.now.ns().to_le_bytes(), body],
            ),
            0,
        );
        let before = self.table.get(at, digest);
        let version = match (self.settled, before.as_ref().and_then(Parsed::of)) {
            (true, Some(old)) => version & !1 | (!old.head.version & 1),
            (true, None) | (false, _) => version,
        };
        let mut head = Vec::with_capacity(CHUNK_BYTES);
        head.extend_from_slice(&version.to_le_bytes());
        head.extend_from_slice(&(body.len() as u32).to_le_bytes());
        head.extend_from_slice(&at.host.short(body).to_le_bytes());
        head.extend_from_slice(meta);
        head.extend_from_slice(&at.now.ns().to_le_bytes());
        if body.len() <= INLINE_BYTES_MAX {
            head.extend_from_slice(body);
            self.table.put(at, digest, &head, expires)?;
        } else {
            let places = self.write_chunks(at, digest, version, body, expires)?;
            for place in &places {
                head.extend(place.to_le_bytes().iter().take(PLACE_BYTES));
            }
            if let Err(refused) = self.table.put(at, digest, &head, expires) {
                self.free(at, digest, version, places.iter().copied());
                return Err(refused);
            }
        }
        if let Some(old) =
            before.as_ref().and_then(Parsed::of).filter(|old| old.head.version != version)
        {
            self.free(at, digest, old.head.version, old.places());
        }
        Ok(version)
    }

    /// Removes a document; true if there was one. From then on no reader that starts finds it.
    ///
    /// # Errors
    /// As [`Table::remove`].
    pub fn remove(&self, at: &Moment<'_>, digest: &Digest) -> Result<bool, Unavailable> {
        let before = self.table.get(at, digest);
        let removed = self.table.remove(at, digest)?;
        if let Some(old) = before.as_ref().and_then(Parsed::of) {
            self.free(at, digest, old.head.version, old.places());
        }
        Ok(removed)
    }

    fn body(&self, at: &Moment<'_>, digest: &Digest, parsed: &Parsed<'_>) -> Option<Vec<u8>> {
        let length = parsed.head.length as usize;
        if length <= INLINE_BYTES_MAX {
            return parsed
                .rest
                .get(..length)
                .filter(|body| at.host.short(body) == parsed.checksum)
                .map(<[u8]>::to_vec);
        }
        if length > self.bytes_max || parsed.places().count() != length.div_ceil(CHUNK_BYTES) {
            return None;
        }
        let mut body = Vec::with_capacity(length);
        for (n, place) in parsed.places().enumerate() {
            let name = chunk_name(at.host, digest, parsed.head.version, n);
            body.extend_from_slice(self.table.get_at(at, place, &name)?.payload());
        }
        let whole = body.len() == length
            && (at.host.short(&body) == parsed.checksum || broken(Twin::ChunksWithoutVersion));
        whole.then_some(body)
    }

    /// Writes the chunks of a body into slots that are free, or whose records are nearest their
    /// end, and returns their places.
    fn write_chunks(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        version: u64,
        body: &[u8],
        expires: Time,
    ) -> Result<Vec<u32>, Unavailable> {
        let (first, second) = self.table.choices(digest);
        // The head's own places stay free for it.
        let mut taken = vec![first, second];
        let mut places = Vec::with_capacity(body.len().div_ceil(CHUNK_BYTES));
        let state = match self.settled {
            true => word(digest, 2) ^ (version & 1),
            false => at.store.random(),
        };
        let mut walk = Walk { state, slots: self.table.slots() };
        for (n, chunk) in body.chunks(CHUNK_BYTES).enumerate() {
            let name = chunk_name(at.host, digest, version, n);
            let record = self
                .table
                .shape()
                .seal(at.host, &name, expires, chunk)
                .ok_or(Unavailable::TooLong)?;
            match self.place(at, &record, &mut walk, &taken) {
                Ok(place) => {
                    taken.push(place);
                    places.push(place);
                }
                Err(refused) => {
                    self.free(at, digest, version, places.into_iter());
                    return Err(refused);
                }
            }
        }
        Ok(places)
    }

    fn place(
        &self,
        at: &Moment<'_>,
        record: &[u8],
        walk: &mut Walk,
        taken: &[u32],
    ) -> Result<u32, Unavailable> {
        let mut full = false;
        for _ in 0..super::CAS_TRIES {
            let mut best = None;
            for index in walk.by_ref().take(PROBES).filter(|index| !taken.contains(index)) {
                let Some((until, expect)) = self.table.end_of(at, index) else { continue };
                // A slot that isn't there can't be created when the host is full.
                if full && expect == super::Expect::Absent {
                    continue;
                }
                if best.is_none_or(|(least, _, _)| until < least) {
                    best = Some((until, index, expect));
                }
                if until == Time::default() {
                    break;
                }
            }
            let Some((_, index, expect)) = best else {
                return Err(Unavailable::Full);
            };
            match at.store.set(Slot::new(self.table.shape().table(), index), record, expect) {
                Ok(()) => return Ok(index),
                Err(Refused::Lost) => {}
                Err(Refused::Full) => full = true,
            }
        }
        Err(if full { Unavailable::Full } else { Unavailable::Exhausted })
    }

    /// Frees chunks that still are of this version. What fails stays until it ends.
    fn free(
        &self,
        at: &Moment<'_>,
        digest: &Digest,
        version: u64,
        places: impl Iterator<Item = u32>,
    ) {
        for (n, place) in places.enumerate() {
            let _ = self.table.blank_if_mine(at, place, &chunk_name(at.host, digest, version, n));
        }
    }
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("version", &self.version)
            .field("expires", &self.expires)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("head", &self.head).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("head", &self.head).finish_non_exhaustive()
    }
}

/// A head's payload.
struct Parsed<'a> {
    head: Head,
    checksum: u64,
    /// The body, or the places of the chunks.
    rest: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn of(found: &'a Found) -> Option<Self> {
        let (version, rest) = found.payload().split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<8>()?;
        let (meta, rest) = rest.split_first_chunk::<META_BYTES>()?;
        let (written, rest) = rest.split_first_chunk::<8>()?;
        let head = Head {
            version: u64::from_le_bytes(*version),
            expires: found.expires(),
            length: u32::from_le_bytes(*length),
            meta: *meta,
            written: Time::from_ns(u64::from_le_bytes(*written)),
        };
        Some(Parsed { head, checksum: u64::from_le_bytes(*checksum), rest })
    }

    /// Where the chunks are; none for a body in the head.
    fn places(&self) -> impl Iterator<Item = u32> + 'a {
        let chunked = self.head.length as usize > INLINE_BYTES_MAX;
        let places = if chunked { self.rest } else { &[] };
        places
            .chunks_exact(PLACE_BYTES)
            .map(|bytes| bytes.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
    }
}

fn chunk_name(host: &HostKey, digest: &Digest, version: u64, n: usize) -> Digest {
    let version = if broken(Twin::ChunksWithoutVersion) { 0 } else { version };
    host.digest("document chunk", &[&digest.0, &version.to_le_bytes(), &(n as u64).to_le_bytes()])
}

/// An endless walk over the slots of a table, started at random.
struct Walk {
    state: u64,
    slots: u32,
}

impl Iterator for Walk {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        // SplitMix64: any spread will do, slots are no secret.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(((z ^ z >> 31) % u64::from(self.slots)) as u32)
    }
}
