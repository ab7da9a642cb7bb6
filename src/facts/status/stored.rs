//! What is stored of status lists for all workers: the table of their pages, what the head of a
//! list says, and which lists of an issuer are in use.

use crate::config::Config;
use crate::shared::document::{META_BYTES, PART_BYTES};
use crate::shared::{Documents, Registers, TableId};
use crate::time::Time;

use super::LISTS_MAX;

/// Issuers whose lists in use are counted apart.
const PLACES_MAX: u32 = 512;
/// Slots of that table at least.
const SLOTS_MIN: u32 = 64;
/// Bytes of a list in its issuer's record.
const PLACE_BYTES: usize = 16;

/// The table of lists: twice as many slots as all lists can have pages, so that a page finds a free
/// one and none gives way.
pub(in crate::facts) fn table(config: &Config) -> Documents {
    let slots = config.status_lists.iter().flatten().map(|lists| {
        let pages = lists.bytes_max.div_ceil(PART_BYTES).saturating_add(1);
        pages.saturating_mul(lists.lists_max).saturating_mul(2)
    });
    let slots = u32::try_from(slots.sum::<usize>()).unwrap_or(u32::MAX);
    Documents::settled(TableId::StatusLists, slots.max(SLOTS_MIN))
}

/// Which lists are in use, by issuer. Two issuers in one slot would only forget each other's.
pub(in crate::facts) fn places() -> Registers {
    Registers::new(TableId::StatusPlaces, PLACES_MAX, LISTS_MAX as usize * PLACE_BYTES)
}

/// What a list's head says beside what every document's does.
pub(super) struct Meta {
    pub asked_at: Time,
    pub fresh_until: Time,
    pub issued_s: u64,
    pub bits: u8,
}

impl Meta {
    pub fn to_bytes(&self) -> [u8; META_BYTES] {
        let mut bytes = [0; META_BYTES];
        let fields =
            [self.asked_at.ns(), self.fresh_until.ns(), self.issued_s, u64::from(self.bits)];
        for (chunk, field) in bytes.chunks_mut(8).zip(fields) {
            chunk.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Meta> {
        let mut fields = bytes.chunks(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes));
        let mut next = || fields.next()?.ok();
        Some(Meta {
            asked_at: Time::from_ns(next()?),
            fresh_until: Time::from_ns(next()?),
            issued_s: next()?,
            bits: u8::try_from(next()?).ok().filter(|bits| matches!(bits, 1 | 2 | 4 | 8))?,
        })
    }
}

/// Which lists of an issuer are in use, and until when.
#[derive(Default)]
pub(super) struct Places(Vec<(u64, Time)>);

impl Places {
    pub fn from_bytes(bytes: &[u8]) -> Places {
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let one = |bytes: &[u8]| {
            let (name, until) = bytes.split_at_checked(8)?;
            Some((word(name), Time::from_ns(word(until))))
        };
        Places(bytes.chunks_exact(PLACE_BYTES).filter_map(one).collect())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let one = |(name, until): &(u64, Time)| {
            let mut bytes = name.to_le_bytes().to_vec();
            bytes.extend(until.ns().to_le_bytes());
            bytes
        };
        self.0.iter().flat_map(one).collect()
    }

    /// Takes a place until `end`; or tells when one is free. What ends after `end` was written
    /// before the clock went back.
    pub fn take(&mut self, name: u64, now: Time, end: Time, most: usize) -> Result<(), Time> {
        self.0.retain(|(other, until)| *other != name && *until > now && *until <= end);
        match self.0.iter().map(|(_, until)| *until).min() {
            Some(first) if self.0.len() >= most => Err(first),
            _ => {
                self.0.push((name, end));
                Ok(())
            }
        }
    }
}
