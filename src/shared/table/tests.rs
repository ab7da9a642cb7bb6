//! What is found, and put where nothing was found. The rest is in `crate::simulation`.

use std::cell::{Cell, RefCell};

use super::*;
use crate::simulation::host::{Dialect, Memory};
use crate::simulation::schedule::Rng;

/// A host that counts what it is asked.
struct Host {
    memory: RefCell<Memory>,
    rng: RefCell<Rng>,
    asked: Cell<[u32; 2]>,
}

impl crate::shared::Store for Host {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        let [reads, writes] = self.asked.get();
        self.asked.set([reads + 1, writes]);
        self.memory.borrow_mut().get(slot, &mut self.rng.borrow_mut())
    }
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        let [reads, writes] = self.asked.get();
        self.asked.set([reads, writes + 1]);
        self.memory.borrow_mut().set(slot, value, expect, &mut self.rng.borrow_mut())
    }
    fn random(&self) -> u64 {
        self.rng.borrow_mut().next()
    }
}

fn on_both(slots: u32, work: impl Fn(&Table, &Moment<'_>, &Host)) {
    for dialect in Dialect::ALL {
        let (memory, rng) = (RefCell::new(Memory::new(dialect)), RefCell::new(Rng::new(1)));
        let store = Host { memory, rng, asked: Cell::default() };
        let host = HostKey::new(&[3; 32], b"secret");
        let at = Moment { store: &store, host: &host, now: Time::from_s(100) };
        work(&Table::new(TableId::Tokens, slots, 8), &at, &store);
    }
}

fn key(at: &Moment<'_>, n: u8) -> Digest {
    at.host.digest("test", &[&[n]])
}

const END: Time = Time::from_s(200);

#[test]
fn what_was_not_found_is_put_with_one_write() {
    on_both(64, |table, at, store| {
        // Also over one that has ended, and over one of another key.
        for n in 0..200 {
            let name = key(at, n);
            let Err(places) = table.find(at, &name) else { panic!("nobody has put {n}") };
            store.asked.take();
            table.put_new(at, &name, &[n], END, places).unwrap();
            assert_eq!(store.asked.take(), [0, 1], "{n}");
            let found = table.find(at, &name).ok().expect("it was put");
            assert_eq!((found.payload(), found.expires()), (&[n][..], END));
            assert_eq!(table.get(at, &name), Some(found));
        }
        let later = Moment { now: END, ..*at };
        assert!((0..200).all(|n| table.find(&later, &key(at, n)).is_err()), "all have ended");
    });
}

#[test]
fn what_another_worker_wrote_meanwhile_is_seen() {
    on_both(1, |table, at, _| {
        let Err(places) = table.find(at, &key(at, 1)) else { panic!("nobody has") };
        table.put(at, &key(at, 2), &[2], END).unwrap();
        table.put_new(at, &key(at, 1), &[1], END, places).unwrap();
        assert!(table.find(at, &key(at, 1)).is_ok());
        assert!(table.get(at, &key(at, 2)).is_none(), "there is one slot");
    });
}

#[test]
fn what_is_foreign_is_left_alone() {
    on_both(1, |table, at, store| {
        let slot = Slot::new(TableId::Tokens, 0);
        crate::shared::Store::set(store, slot, b"short", Expect::Absent).unwrap();
        let Err(places) = table.find(at, &key(at, 1)) else { panic!("nobody has") };
        assert_eq!(table.put_new(at, &key(at, 1), &[1], END, places), Err(Unavailable::Full));
        assert_eq!(crate::shared::Store::get(store, slot).unwrap().0, b"short");
    });
}
