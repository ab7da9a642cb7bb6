//! A worker's own memory: bounded in entries and bytes, found by a short keyed hash and then by the
//! full bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// A bounded map from byte strings to values. When it is full, the entry that was not used for the
/// longest time gives way (second chance: exact enough, and a hit costs no bookkeeping but a flag).
pub struct BoundedMap<V> {
    entries: HashMap<u64, Entry<V>, BuildHasherDefault<AlreadyHashed>>,
    order: VecDeque<u64>,
    entries_max: usize,
    bytes_max: usize,
    bytes: usize,
}

struct Entry<V> {
    key: Box<[u8]>,
    value: V,
    cost: usize,
    used: bool,
}

impl<V> BoundedMap<V> {
    /// An empty map for at most `entries_max` entries and `bytes_max` bytes of keys and values.
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        BoundedMap {
            entries: HashMap::default(),
            order: VecDeque::new(),
            entries_max,
            bytes_max,
            bytes: 0,
        }
    }

    /// The value under `key`, whose short hash is `hash`.
    #[inline(always)]
    pub fn get(&mut self, hash: u64, key: &[u8]) -> Option<&mut V> {
        let entry = self.entries.get_mut(&hash)?;
        if !same_bytes(&entry.key, key) {
            return None;
        }
        entry.used = true;
        Some(&mut entry.value)
    }

    /// Keeps `value`, which takes about `value_bytes` bytes beside its key. An entry that is over
    /// the map's own bound is not kept.
    pub fn put(&mut self, hash: u64, key: &[u8], value: V, value_bytes: usize) {
        let cost = key.len().saturating_add(value_bytes).saturating_add(ENTRY_BYTES);
        if cost > self.bytes_max || self.entries_max == 0 {
            return;
        }
        let entry = Entry { key: key.into(), value, cost, used: false };
        match self.entries.insert(hash, entry) {
            Some(replaced) => self.bytes = self.bytes.saturating_sub(replaced.cost),
            None => self.order.push_back(hash),
        }
        self.bytes = self.bytes.saturating_add(cost);
        while self.entries.len() > self.entries_max || self.bytes > self.bytes_max {
            if !self.drop_one() {
                break;
            }
        }
    }

    /// Forgets the entry under `key`.
    pub fn remove(&mut self, hash: u64, key: &[u8]) {
        if self.entries.get(&hash).is_some_and(|entry| same_bytes(&entry.key, key))
            && let Some(entry) = self.entries.remove(&hash)
        {
            self.bytes = self.bytes.saturating_sub(entry.cost);
            // Its place in `order` is skipped when its turn comes; `order` is cut back here so that
            // removals alone can't make it grow.
            if self.order.len() > self.entries.len().saturating_mul(2).saturating_add(16) {
                self.order.retain(|hash| self.entries.contains_key(hash));
            }
        }
    }

    /// The value under `key` if it is good still; one that isn't is forgotten.
    pub fn get_if(
        &mut self,
        hash: u64,
        key: &[u8],
        is_good: impl Fn(&V) -> bool,
    ) -> Option<&mut V> {
        if self.get(hash, key).is_some_and(|value| !is_good(value)) {
            self.remove(hash, key);
        }
        self.get(hash, key)
    }

    /// The number of entries.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn drop_one(&mut self) -> bool {
        let mut tries = self.order.len().saturating_mul(2);
        while let Some(hash) = self.order.pop_front() {
            tries = tries.saturating_sub(1);
            let Some(entry) = self.entries.get_mut(&hash) else { continue };
            if entry.used && tries > 0 {
                entry.used = false;
                self.order.push_back(hash);
                continue;
            }
            self.bytes = self.bytes.saturating_sub(entry.cost);
            self.entries.remove(&hash);
            return true;
        }
        false
    }
}

/// About what an entry takes beside its key and value.
const ENTRY_BYTES: usize = 96;

/// Compares in steps of eight bytes, the last step over bytes seen before: in WebAssembly five
/// times faster than `==` on slices. For what is no secret to the caller, or was found by a keyed
/// hash of itself.
#[inline(always)]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (Some(a_last), Some(b_last)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) else {
        return a == b;
    };
    let differing = |x: &[u8; 8], y: &[u8; 8]| u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
    let mut differs = differing(a_last, b_last);
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        differs |= differing(x, y);
    }
    differs == 0
}

/// The keys are keyed hashes already.
#[derive(Default)]
pub struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_full_key_decides() {
        let mut map = BoundedMap::new(4, 10_000);
        map.put(1, b"one", 1, 0);
        assert_eq!(map.get(1, b"one"), Some(&mut 1));
        assert_eq!(map.get(1, b"two"), None, "same short hash, another key");
        map.put(1, b"two", 2, 0);
        assert_eq!(map.get(1, b"one"), None);
    }

    #[test]
    fn what_is_used_stays() {
        let mut map = BoundedMap::new(3, 10_000);
        for n in 0..3u64 {
            map.put(n, &[n as u8], n, 0);
        }
        assert!(map.get(0, &[0]).is_some());
        map.put(3, &[3], 3, 0);
        assert!(map.get(0, &[0]).is_some(), "used, so another gave way");
        assert!(map.get(1, &[1]).is_none());
    }

    #[test]
    fn too_large_is_not_kept() {
        let mut map = BoundedMap::new(3, 500);
        map.put(1, b"k", (), 10_000);
        assert!(map.is_empty());
    }

    proptest! {
        #[test]
        fn bounds_hold(steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0usize..600), 0..400)) {
            let mut map = BoundedMap::new(8, 2_000);
            for (put, n, size) in steps {
                let key = n.to_le_bytes();
                if put { map.put(n, &key, n, size) } else { map.remove(n, &key) }
                prop_assert!(map.len() <= 8);
                prop_assert!(map.bytes <= 2_000);
                prop_assert!(map.order.len() <= 64);
                if let Some(value) = map.get(n, &key) { prop_assert_eq!(*value, n) }
            }
        }

        #[test]
        fn same_bytes_is_equality(a in proptest::collection::vec(0u8..2, 0..20), b in proptest::collection::vec(0u8..2, 0..20)) {
            prop_assert_eq!(same_bytes(&a, &b), a == b);
            prop_assert!(same_bytes(&a, &a.clone()));
        }
    }
}
