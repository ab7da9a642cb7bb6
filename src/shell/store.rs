//! The host's shared memory, and its random numbers.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use crate::shared::{CAS_TRIES, Expect, Refused, Slot, Store, TableId, Version};

use super::abi::{self, SharedSet};
use super::hosts::Dialect;

/// Where workers get their numbers, on a host whose random numbers may be alike.
const NUMBERS: Slot = Slot::new(TableId::HostKey, 1);

/// The shared memory of this host.
pub struct HostStore {
    dialect: Dialect,
    /// What no other worker has: its number and when it got that.
    number: OnceCell<(u64, u64)>,
    draws: Cell<u64>,
    /// The worker's own, where the host has none.
    own: OwnMemory,
}

/// Slots that a worker has for itself at most: its key, and what its log is paced by.
const OWN_SLOTS_MAX: usize = 16;

/// What stands in for shared memory in a worker that shares none: little, since all that is asked
/// for often is kept elsewhere in the worker.
#[derive(Default)]
struct OwnMemory(RefCell<BTreeMap<[u8; 6], Held>>);

/// A value and its version.
type Held = (Vec<u8>, Version);

impl OwnMemory {
    fn get(&self, slot: Slot) -> Option<Held> {
        self.0.borrow().get(&slot.0).cloned()
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        let is_kept = [TableId::HostKey, TableId::Counters].iter().any(|table| slot.is_of(*table));
        let mut slots = self.0.borrow_mut();
        let present = slots.get(&slot.0).map(|(_, version)| *version);
        match (expect, present) {
            (Expect::Absent, None) if is_kept && slots.len() < OWN_SLOTS_MAX => {}
            (Expect::Absent, None) => return Err(Refused::Full),
            (Expect::Version(expected), Some(version)) if expected == version => {}
            (Expect::Absent | Expect::Version(_), _) => return Err(Refused::Lost),
        }
        let version = present.unwrap_or_default().wrapping_add(1).max(1);
        slots.insert(slot.0, (value.to_vec(), version));
        Ok(())
    }
}

impl HostStore {
    /// The memory of this host.
    pub fn new(dialect: Dialect) -> Self {
        HostStore {
            dialect,
            number: OnceCell::new(),
            draws: Cell::default(),
            own: OwnMemory::default(),
        }
    }

    /// The next number; 0 if the memory doesn't give one.
    fn draw_number(&self) -> u64 {
        for _ in 0..CAS_TRIES {
            let (last, expect) = match self.get(NUMBERS) {
                None => (0, Expect::Absent),
                Some((bytes, version)) => match bytes.as_slice().try_into().map(u64::from_le_bytes)
                {
                    Ok(last) => (last, Expect::Version(version)),
                    Err(_) => return 0,
                },
            };
            let next = last.wrapping_add(1);
            if self.set(NUMBERS, &next.to_le_bytes(), expect).is_ok() {
                return next;
            }
        }
        0
    }
}

impl Store for HostStore {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        if !self.dialect.caps().keeps_state {
            return self.own.get(slot);
        }
        abi::shared_get(&slot.0)
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        if !self.dialect.caps().keeps_state {
            return self.own.set(slot, value, expect);
        }
        let version = match expect {
            Expect::Absent => self.dialect.caps().absent,
            // No host gives out 0, and on one of them to send it would overwrite.
            Expect::Version(0) => return Err(Refused::Lost),
            Expect::Version(version) => version,
        };
        match abi::shared_set(&slot.0, value, version) {
            SharedSet::Written => Ok(()),
            SharedSet::Mismatch => Err(Refused::Lost),
            SharedSet::Refused => Err(Refused::Full),
        }
    }

    fn never_forgets(&self) -> bool {
        self.dialect.caps().never_forgets
    }

    fn random(&self) -> u64 {
        if self.dialect.caps().has_randomness {
            return random();
        }
        // Two owners of one name would both hold one lease. So what no other worker has goes into
        // each number.
        let number = self.number.get_or_init(|| (self.draw_number(), abi::now().ns()));
        let draw = self.draws.get().wrapping_add(1);
        self.draws.set(draw);
        let mut hasher = DefaultHasher::new();
        (number, draw, random()).hash(&mut hasher);
        hasher.finish()
    }
}

/// 64 bits from the host's source of randomness, by way of the standard library's hash keys.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
