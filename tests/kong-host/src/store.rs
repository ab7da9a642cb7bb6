//! The shared key-value store (`nginx_wasm_shm_kv`): keys known by their CRC-32, a slab of fixed
//! size, compare-and-set as Kong means it.

use crate::options::{Eviction, Zone};
use crate::slab::{CHUNK_MAX, Place, Slab, rounded};
use std::collections::{BTreeMap, HashMap};

/// Bytes that a record costs beside its key and value.
const RECORD: usize = 96;

/// What a writer expects, as the ABI's `cas` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// `cas` 0 (also "none" in the SDK): the key must not exist.
    Absent,
    /// The key must exist in this version.
    Version(u32),
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The version isn't the expected one.
    CasMismatch,
    /// The host traps.
    Trap(&'static str),
    /// The worker dies of a segmentation fault.
    Death(&'static str),
}

struct Record {
    key: Vec<u8>,
    value: Vec<u8>,
    cas: u32,
    place: Place,
    class: usize,
    stamp: u64,
}

struct ZoneState {
    name: Vec<u8>,
    eviction: Eviction,
    slab: Slab,
    records: HashMap<u32, Record>,
    /// For each size class, records by when they were last used. One class only with `lru`.
    used: BTreeMap<usize, BTreeMap<u64, u32>>,
    clock: u64,
}

type Redirect = Box<dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync>;
type Spoil = Box<dyn Fn(&[u8], &mut Vec<u8>) + Send + Sync>;

/// All zones, shared by all workers.
pub struct Store {
    zones: Vec<ZoneState>,
    redirect: Option<Redirect>,
    spoil: Option<Spoil>,
}

impl Store {
    /// Empty zones.
    pub fn new(zones: &[Zone]) -> Store {
        let zones = zones.iter().map(ZoneState::new).collect();
        Store { zones, redirect: None, spoil: None }
    }

    /// From now on reads and writes of a key go to the record of the key that `redirect` names:
    /// what two keys of one CRC-32 do to each other, without the search for them.
    pub fn redirect(
        &mut self,
        redirect: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) {
        self.redirect = Some(Box::new(redirect));
    }

    /// From now on `spoil` may change what a read returns: the real host copies a value after it
    /// has given up the lock, so that a reader can get half of one value and half of the next.
    pub fn spoil(&mut self, spoil: impl Fn(&[u8], &mut Vec<u8>) + Send + Sync + 'static) {
        self.spoil = Some(Box::new(spoil));
    }

    /// Ends redirection and spoiling.
    pub fn sound(&mut self) {
        (self.redirect, self.spoil) = (None, None);
    }

    /// Writes whatever is there: a test's hand, not the host's.
    ///
    /// # Errors
    /// If the zone has no room.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refused> {
        self.forget(key);
        self.set(key, Some(value), Expect::Absent)
    }

    /// Drops a record as eviction would; says whether there was one.
    pub fn forget(&mut self, key: &[u8]) -> bool {
        let id = self.id(key);
        self.zone(key).is_some_and(|zone| zone.remove(id))
    }

    /// The value and its version.
    ///
    /// # Errors
    /// Without a zone for the key the host traps.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Refused> {
        let id = self.id(key);
        let zone = self.zone(key).ok_or(Refused::Trap("no zone for the key"))?;
        zone.touch(id);
        let mut found = zone.records.get(&id).map(|record| (record.value.clone(), record.cas));
        if let (Some((value, _)), Some(spoil)) = (&mut found, &self.spoil) {
            spoil(key, value);
        }
        Ok(found)
    }

    /// Writes a value, or deletes it when `value` is None.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>, expect: Expect) -> Result<(), Refused> {
        let id = self.id(key);
        let zone = self.zone(key).ok_or(Refused::Trap("no zone for the key"))?;
        let found = zone.records.get(&id).map(|record| record.cas);
        let expected = match expect {
            Expect::Absent => 0,
            Expect::Version(cas) => cas,
        };
        if found.unwrap_or(0) != expected {
            return Err(Refused::CasMismatch);
        }
        match (value, found) {
            (None, None) => Err(Refused::CasMismatch),
            (None, Some(_)) => {
                zone.remove(id);
                Ok(())
            }
            (Some(value), None) => zone.insert(id, key, value, 1),
            (Some(value), Some(cas)) => zone.replace(id, key, value, cas.wrapping_add(1)),
        }
    }

    /// Every key of every zone, as it was first written.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.zones
            .iter()
            .flat_map(|zone| zone.records.values().map(|record| record.key.clone()))
            .collect()
    }

    /// Records in all zones.
    pub fn len(&self) -> usize {
        self.zones.iter().map(|zone| zone.records.len()).sum()
    }

    /// No records at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wipes every zone, as HUP does.
    pub fn clear(&mut self) {
        for zone in &mut self.zones {
            let ids: Vec<u32> = zone.records.keys().copied().collect();
            for id in ids {
                zone.remove(id);
            }
        }
    }

    fn id(&self, key: &[u8]) -> u32 {
        match self.redirect.as_ref().and_then(|redirect| redirect(key)) {
            Some(other) => crc32fast::hash(&other),
            None => crc32fast::hash(key),
        }
    }

    /// The zone that the key names before its first `/`, else `*`.
    fn zone(&mut self, key: &[u8]) -> Option<&mut ZoneState> {
        let named = key.iter().position(|byte| *byte == b'/').map(|at| &key[..at]);
        let at = self
            .zones
            .iter()
            .position(|zone| named == Some(zone.name.as_slice()))
            .or_else(|| self.zones.iter().position(|zone| zone.name == b"*"))?;
        self.zones.get_mut(at)
    }
}

impl ZoneState {
    fn new(zone: &Zone) -> ZoneState {
        ZoneState {
            name: zone.name.as_bytes().to_vec(),
            eviction: zone.eviction,
            slab: Slab::new(zone.bytes),
            records: HashMap::new(),
            used: BTreeMap::new(),
            clock: 0,
        }
    }

    fn class(&self, size: usize) -> usize {
        match self.eviction {
            Eviction::Slru if size > CHUNK_MAX => usize::MAX,
            Eviction::Slru => rounded(size),
            Eviction::Lru | Eviction::None => 0,
        }
    }

    fn touch(&mut self, id: u32) {
        self.clock += 1;
        let stamp = self.clock;
        if let Some(record) = self.records.get_mut(&id) {
            let queue = self.used.entry(record.class).or_default();
            queue.remove(&record.stamp);
            queue.insert(stamp, id);
            record.stamp = stamp;
        }
    }

    fn remove(&mut self, id: u32) -> bool {
        let Some(record) = self.records.remove(&id) else { return false };
        self.slab.free(record.place);
        self.used.entry(record.class).or_default().remove(&record.stamp);
        true
    }

    fn insert(&mut self, id: u32, key: &[u8], value: &[u8], cas: u32) -> Result<(), Refused> {
        let size = RECORD + key.len() + value.len();
        let class = self.class(size);
        let place = loop {
            match self.slab.alloc(size) {
                Some(place) => break place,
                None if self.evict(class) => {}
                None => return Err(Refused::Trap("the zone has no room for the record")),
            }
        };
        self.records.insert(
            id,
            Record { key: key.into(), value: value.into(), cas, place, class, stamp: 0 },
        );
        self.touch(id);
        Ok(())
    }

    /// A value that grows gets a new place while the old one still lies in the eviction queue: when
    /// that one is what gives way, the host goes on with freed memory.
    fn replace(&mut self, id: u32, key: &[u8], value: &[u8], cas: u32) -> Result<(), Refused> {
        let grows = self.records.get(&id).is_some_and(|record| value.len() > record.value.len());
        if grows {
            let size = RECORD + key.len() + value.len();
            let Some(place) = self.slab.alloc(size) else {
                return Err(Refused::Death("a value grew in a full zone"));
            };
            self.remove(id);
            let class = self.class(size);
            self.records.insert(
                id,
                Record { key: key.into(), value: value.into(), cas, place, class, stamp: 0 },
            );
        } else if let Some(record) = self.records.get_mut(&id) {
            record.value = value.to_vec();
            record.cas = cas;
        }
        self.touch(id);
        Ok(())
    }

    fn evict(&mut self, class: usize) -> bool {
        if self.eviction == Eviction::None {
            return false;
        }
        let oldest = |queue: &BTreeMap<u64, u32>| queue.values().next().copied();
        let larger = self.used.range(class..).find_map(|(_, queue)| oldest(queue));
        let id =
            larger.or_else(|| self.used.range(..class).rev().find_map(|(_, queue)| oldest(queue)));
        id.is_some_and(|id| self.remove(id))
    }
}
