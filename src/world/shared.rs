//! The host of a world: memory as one of the hosts has it, and what was asked of it.

use std::cell::{Cell, RefCell};

use crate::metrics::{Meter, Metric};
use crate::request::Surroundings;
use crate::shared::{Expect, Refused, Slot, Store, TableId, Version};
use crate::simulation::host::{Dialect, Memory};
use crate::simulation::schedule::Rng;

/// What the host lends, and what was asked of it.
pub(crate) struct Shared {
    pub(crate) memory: RefCell<Memory>,
    rng: RefCell<Rng>,
    pub(super) counted: RefCell<Vec<Metric>>,
    /// Reads and writes: the table, and of writes how long the record was.
    pub(crate) trace: RefCell<Vec<String>>,
    /// Whether writes are refused: a zone without room.
    pub(crate) is_full: Cell<bool>,
    /// The table whose writes alone are refused.
    pub(crate) is_full_for: Cell<Option<TableId>>,
    /// Whether documents look as if none were there, until the next lease is asked for.
    pub(crate) is_stale: Cell<bool>,
    /// The client's address.
    pub(crate) address: RefCell<String>,
    /// The SHA-256 of its certificate, if it has shown one.
    pub(crate) certificate: Cell<Option<[u8; 32]>>,
    /// How often that was asked for.
    pub(crate) certificate_asked: Cell<u32>,
}

impl Shared {
    pub(super) fn new(dialect: Dialect) -> Shared {
        Shared {
            memory: RefCell::new(Memory::new(dialect)),
            rng: RefCell::new(Rng::new(1)),
            counted: RefCell::default(),
            trace: RefCell::default(),
            is_full: Cell::default(),
            is_full_for: Cell::default(),
            is_stale: Cell::default(),
            address: RefCell::new("192.0.2.1".to_owned()),
            certificate: Cell::default(),
            certificate_asked: Cell::default(),
        }
    }

    /// Other random numbers than those of another host.
    pub(crate) fn reseed(&self, seed: u64) {
        *self.rng.borrow_mut() = Rng::new(seed);
    }

    /// How many host calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.trace.borrow().len()
    }
}

impl Store for Shared {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        let table = char::from(slot.0[2]);
        self.trace.borrow_mut().push(format!("get {table}"));
        self.is_stale.set(self.is_stale.get() && table != 'l');
        let found = self.memory.borrow_mut().get(slot, &mut self.rng.borrow_mut());
        found.filter(|_| table != 'd' || !self.is_stale.get())
    }
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        self.trace.borrow_mut().push(format!("set {} {}", char::from(slot.0[2]), value.len()));
        if self.is_full.get() || self.is_full_for.get().is_some_and(|table| slot.is_of(table)) {
            return Err(Refused::Full);
        }
        self.memory.borrow_mut().set(slot, value, expect, &mut self.rng.borrow_mut())
    }
    fn random(&self) -> u64 {
        self.rng.borrow_mut().next()
    }
    fn never_forgets(&self) -> bool {
        self.memory.borrow().never_forgets()
    }
}

impl Meter for Shared {
    fn count(&self, metric: Metric) {
        self.counted.borrow_mut().push(metric);
    }
}

impl Surroundings for Shared {
    fn address(&self) -> Option<String> {
        Some(self.address.borrow().clone())
    }
    fn route(&self) -> Option<String> {
        None
    }
    fn client_certificate(&self) -> bool {
        self.certificate.get().is_some()
    }
    fn certificate_digest(&self) -> Option<[u8; 32]> {
        self.certificate_asked.set(self.certificate_asked.get() + 1);
        self.certificate.get()
    }
}
