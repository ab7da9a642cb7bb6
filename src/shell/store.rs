//! The host's shared memory, and its random numbers.

use std::cell::{Cell, OnceCell};
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
}

impl HostStore {
    /// The memory of this host.
    pub fn new(dialect: Dialect) -> Self {
        HostStore { dialect, number: OnceCell::new(), draws: Cell::default() }
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
        abi::shared_get(&slot.0)
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
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
