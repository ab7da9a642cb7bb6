//! A fake host in two dialects, as Envoy's and Kong's shared data behave.

use std::collections::BTreeMap;

use super::crc32;
use super::schedule::Rng;
use crate::shared::{Expect, Refused, Slot};

/// Which host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// Never deletes, one version counter for all keys.
    Envoy,
    /// Knows keys by their CRC-32, counts versions per key from 1.
    Kong,
}

/// What goes wrong, in 1 of 1,000 host calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Faults {
    /// A read gives a part of the value, or a mix with an older one.
    pub torn: u64,
    /// A read gives another key's value.
    pub other_key: u64,
    /// Some key is evicted (Kong).
    pub evicted: u64,
    /// The worker dies in the call.
    pub crash: u64,
    /// The host finds no room (Kong).
    pub full: u64,
}

/// The memory, without any schedule.
pub(crate) struct Memory {
    dialect: Dialect,
    crc: [u32; 256],
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Envoy's.
    next_version: u32,
    zone_bytes: usize,
    evicts: bool,
    used_bytes: usize,
    uses: u64,
    /// What would have killed a real host.
    pub(crate) killed: Option<String>,
    /// Whether versions aren't compared: the twin.
    pub(crate) blind: bool,
    pub(crate) faults: Faults,
    pub(crate) calls: u64,
}

struct Entry {
    value: Vec<u8>,
    before: Vec<u8>,
    version: u32,
    used: u64,
    /// Whether a read of this version was torn: the next ones aren't.
    torn: bool,
}

/// Envoy's cas for "create": no version until 2^32 writes.
const CREATE: u32 = u32::MAX;

impl Dialect {
    pub(crate) const ALL: [Dialect; 2] = [Dialect::Envoy, Dialect::Kong];
}

impl Memory {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Memory {
            dialect,
            crc: crc32::table(),
            entries: BTreeMap::new(),
            next_version: 1,
            zone_bytes: usize::MAX,
            evicts: false,
            used_bytes: 0,
            uses: 0,
            killed: None,
            blind: false,
            faults: Faults::default(),
            calls: 0,
        }
    }

    /// Kong's zone with so many bytes, `eviction=lru` or `none`.
    pub(crate) fn zone(mut self, bytes: usize, evicts: bool) -> Self {
        (self.zone_bytes, self.evicts) = (bytes, evicts);
        self
    }

    /// How many entries there are, and their bytes as the host counts them.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.used_bytes)
    }

    /// The next version of Envoy's counter.
    pub(crate) fn set_next_version(&mut self, version: u32) {
        self.next_version = version;
    }

    /// All values as they are, without a host call.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.values().map(|entry| entry.value.as_slice())
    }

    /// Whether nothing is ever evicted or deleted.
    pub(crate) fn never_forgets(&self) -> bool {
        self.dialect == Dialect::Envoy
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self) {
        self.entries.clear();
        self.used_bytes = 0;
    }

    /// As the shell reads.
    pub(crate) fn get(&mut self, slot: Slot, rng: &mut Rng) -> Option<(Vec<u8>, u32)> {
        self.calls += 1;
        self.maybe_evict(rng);
        if rng.per_mille(self.faults.other_key) {
            let at = rng.below(self.entries.len().max(1) as u64) as usize;
            return self.entries.values().nth(at).map(|entry| (entry.value.clone(), entry.version));
        }
        let torn = rng.per_mille(self.faults.torn);
        self.uses += 1;
        let (key, uses) = (self.key(&slot.0), self.uses);
        let entry = self.entries.get_mut(&key)?;
        entry.used = uses;
        let torn = torn && !entry.torn;
        entry.torn |= torn;
        let mut value = entry.value.clone();
        if torn && !value.is_empty() {
            // From 4: an old value whole, under a new version, is a host that can't be built on.
            let cut = (4 + rng.below(value.len() as u64) as usize).min(value.len());
            value.truncate(cut);
            if rng.per_mille(700) {
                value.extend(entry.before.iter().skip(cut));
                value.resize(entry.value.len(), 0);
            }
        }
        Some((value, entry.version))
    }

    /// As the shell writes: `Expect` in the host's own terms.
    pub(crate) fn set(
        &mut self,
        slot: Slot,
        value: &[u8],
        expect: Expect,
        rng: &mut Rng,
    ) -> Result<(), Refused> {
        self.calls += 1;
        self.maybe_evict(rng);
        if self.dialect == Dialect::Kong
            && rng.per_mille(self.faults.full)
            && expect == Expect::Absent
        {
            return Err(Refused::Full);
        }
        let cas = match (expect, self.dialect) {
            (Expect::Version(version), _) => version,
            (Expect::Absent, Dialect::Envoy) => CREATE,
            (Expect::Absent, Dialect::Kong) => 0,
        };
        self.set_shared_data(&slot.0, value, cas)
    }

    /// The host function.
    pub(crate) fn set_shared_data(
        &mut self,
        name: &[u8],
        value: &[u8],
        cas: u32,
    ) -> Result<(), Refused> {
        self.uses += 1;
        let key = self.key(name);
        let found = self.entries.get(&key).map(|entry| (entry.version, entry.value.len()));
        let version = match (self.dialect, found) {
            (Dialect::Envoy, Some((version, _))) if cas != 0 && cas != version && !self.blind => {
                return Err(Refused::Lost);
            }
            (Dialect::Envoy, _) => {
                let version = self.next_version;
                // 0 is no version.
                self.next_version = self.next_version.checked_add(1).unwrap_or(1);
                version
            }
            (Dialect::Kong, Some((version, _))) if cas != version && !self.blind => {
                return Err(Refused::Lost);
            }
            (Dialect::Kong, None) if cas != 0 && !self.blind => return Err(Refused::Lost),
            (Dialect::Kong, found) => found.map_or(1, |(version, _)| version.wrapping_add(1)),
        };
        let (old_room, room) =
            (found.map_or(0, |(_, length)| self.room(name, length)), self.room(name, value.len()));
        while self.used_bytes - old_room + room > self.zone_bytes {
            let oldest = self
                .entries
                .iter()
                .filter(|(other, _)| **other != key)
                .min_by_key(|(_, entry)| entry.used)
                .map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) if self.evicts => self.evict(&oldest),
                _ if found.is_some() => {
                    self.killed =
                        Some(format!("a value grew in a full zone: {old_room} to {room}"));
                    return Err(Refused::Full);
                }
                _ => return Err(Refused::Full),
            }
        }
        self.used_bytes = self.used_bytes - old_room + room;
        let before = self.entries.remove(&key).map(|entry| entry.value).unwrap_or_default();
        self.entries.insert(
            key,
            Entry { value: value.to_vec(), before, version, used: self.uses, torn: false },
        );
        Ok(())
    }

    fn key(&self, name: &[u8]) -> Vec<u8> {
        match self.dialect {
            Dialect::Envoy => name.to_vec(),
            Dialect::Kong => crc32::of(&self.crc, name).to_le_bytes().to_vec(),
        }
    }

    fn room(&self, name: &[u8], length: usize) -> usize {
        match self.dialect {
            Dialect::Envoy => 170 + length,
            Dialect::Kong => match 96 + name.len() + length {
                slab @ ..=2048 => slab.next_power_of_two(),
                pages => pages.next_multiple_of(4096),
            },
        }
    }

    fn evict(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.used_bytes -= self.room(&[0; 6], entry.value.len());
        }
    }

    fn maybe_evict(&mut self, rng: &mut Rng) {
        if self.dialect == Dialect::Kong
            && rng.per_mille(self.faults.evicted)
            && !self.entries.is_empty()
        {
            let at = rng.below(self.entries.len() as u64) as usize;
            if let Some(key) = self.entries.keys().nth(at).cloned() {
                self.evict(&key);
            }
        }
    }
}

#[test]
fn envoy_creates_with_any_version_and_never_with_a_taken_one() {
    let (mut memory, mut rng) = (Memory::new(Dialect::Envoy), Rng::new(1));
    let slot = Slot(*b"hgx!!!");
    assert_eq!(memory.set(slot, b"a", Expect::Version(7), &mut rng), Ok(()));
    assert_eq!(memory.set(slot, b"b", Expect::Absent, &mut rng), Err(Refused::Lost));
    assert_eq!(memory.get(slot, &mut rng), Some((b"a".to_vec(), 1)));
    assert_eq!(memory.set(slot, b"c", Expect::Version(1), &mut rng), Ok(()));
    assert_eq!(memory.set(slot, b"d", Expect::Version(1), &mut rng), Err(Refused::Lost));
}

#[test]
fn kong_counts_versions_from_one_and_knows_crc_32_alone() {
    let (mut memory, mut rng) = (Memory::new(Dialect::Kong).zone(2 * 128, true), Rng::new(1));
    let slots = [Slot(*b"hgx!!!"), Slot(*b"hgx!!#"), Slot(*b"hgx!!$")];
    assert_eq!(memory.set(slots[0], b"a", Expect::Version(7), &mut rng), Err(Refused::Lost));
    assert_eq!(memory.set(slots[0], b"a", Expect::Absent, &mut rng), Ok(()));
    assert_eq!(memory.set(slots[0], b"b", Expect::Absent, &mut rng), Err(Refused::Lost));
    assert_eq!(memory.set(slots[0], b"b", Expect::Version(1), &mut rng), Ok(()));
    assert_eq!(memory.get(slots[0], &mut rng), Some((b"b".to_vec(), 2)));
    assert_eq!(memory.set(slots[1], b"c", Expect::Absent, &mut rng), Ok(()));
    // The zone is full: the one used longest ago goes, and starts again at version 1.
    assert_eq!(memory.set(slots[2], b"d", Expect::Absent, &mut rng), Ok(()));
    assert_eq!(memory.get(slots[0], &mut rng), None);
    assert_eq!(memory.set(slots[0], b"e", Expect::Absent, &mut rng), Ok(()));
    assert_eq!(memory.get(slots[0], &mut rng), Some((b"e".to_vec(), 1)));
    assert_eq!(memory.set_shared_data(b"plumless", b"x", 0), Ok(()));
    assert_eq!(memory.set_shared_data(b"buckeroo", b"y", 0), Err(Refused::Lost));
}

#[test]
fn a_full_zone_refuses_what_is_new_and_dies_of_what_grows() {
    let (mut memory, mut rng) = (Memory::new(Dialect::Kong).zone(128, false), Rng::new(1));
    assert_eq!(memory.set(Slot(*b"hgx!!!"), b"a", Expect::Absent, &mut rng), Ok(()));
    assert_eq!(memory.set(Slot(*b"hgx!!#"), b"a", Expect::Absent, &mut rng), Err(Refused::Full));
    assert!(memory.killed.is_none());
    let _ = memory.set(Slot(*b"hgx!!!"), &[0; 100], Expect::Version(1), &mut rng);
    assert!(memory.killed.is_some());
}
