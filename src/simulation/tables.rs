//! Tables: only what was put under a key comes back for it, and from one place.

use std::sync::Mutex;

use super::host::{Dialect, Faults};
use super::schedule::{Worker, World};
use super::{holds, is_caught};
use crate::digest::Digest;
use crate::shared::once::Ids;
use crate::shared::twin::Twin;
use crate::shared::{Table, TableId, Unavailable};

const TABLE: Table = Table::new(TableId::Tokens, 7, 64);

/// Many keys in few slots on a host that lies.
fn own_records(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let faults = Faults { torn: 50, other_key: 100, evicted: 20, crash: 2, full: 50 };
    // Room for five of the seven records; a zone that evicts, or one that doesn't.
    let world = World::new(dialect, seed, 3, twin).faults(faults).drift_ms(20);
    let world = if dialect == Dialect::Kong {
        world.with_memory(|memory| memory.zone(5 * 256, seed.is_multiple_of(2)))
    } else {
        world
    };
    let keys: Vec<Digest> = (0..12u8).map(|n| world.key.digest("key", &[&[n]])).collect();
    let wrong: Mutex<Option<String>> = Mutex::default();
    let (keys, wrong_ref) = (&keys, &wrong);
    world.run(
        (0..3)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..12 {
                        let n = worker.below(12) as usize;
                        let at = worker.begin();
                        match worker.below(5) {
                            0 | 1 => drop(TABLE.put(
                                &at,
                                &keys[n],
                                &[n as u8; 20],
                                at.now.plus_ms(1 + worker.below(300)),
                            )),
                            2 => drop(TABLE.remove(&at, &keys[n])),
                            _ => {
                                if let Some(found) = TABLE.get(&at, &keys[n])
                                    && (found.payload() != [n as u8; 20]
                                        || found.expires() <= at.now)
                                {
                                    *wrong_ref.lock().unwrap() =
                                        Some(format!("key {n} got {:?}", found.payload()));
                                }
                            }
                        }
                        worker.done();
                    }
                }
            })
            .collect(),
    );
    if let Some(killed) = world.memory(|memory| memory.killed.take()) {
        return Err(killed);
    }
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
fn a_record_of_another_key_is_never_returned() {
    holds(100, |seed, dialect| own_records(seed, dialect, None));
    is_caught(Twin::AnyKey, 30, own_records);
}

/// Workers put one key while others' records come and go in its two choices.
fn one_place(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let table = Table::new(TableId::Tokens, 3, 16);
    let world = World::new(dialect, seed, 4, twin).drift_ms(30);
    let keys: Vec<Digest> = (0..4u8).map(|n| world.key.digest("key", &[&[n]])).collect();
    let keys = &keys;
    world.run(
        (0..4)
            .map(|_| {
                move |worker: &Worker<'_>| {
                    for _ in 0..4 {
                        let at = worker.begin();
                        let n = worker.below(4) as usize;
                        let _ = table.put(
                            &at,
                            &keys[n],
                            b"payload",
                            at.now.plus_ms(1 + worker.below(100)),
                        );
                        worker.done();
                    }
                }
            })
            .collect(),
    );
    for key in keys {
        let places = world.memory(|memory| {
            memory
                .values()
                .filter(|value| {
                    table
                        .shape()
                        .open_any(&world.key, value)
                        .is_some_and(|record| record.digest == *key)
                })
                .count()
        });
        if places > 1 {
            return Err(format!("a key in {places} places"));
        }
    }
    Ok(())
}

#[test]
fn a_key_has_one_place() {
    holds(200, |seed, dialect| one_place(seed, dialect, None));
    is_caught(Twin::DuplicatesStay, 400, one_place);
}

#[test]
fn the_entry_nearer_its_end_gives_way() {
    let table = Table::new(TableId::Tokens, 2, 16);
    let world = World::new(Dialect::Envoy, 1, 1, None);
    world.alone(|worker| {
        let mut at = worker.begin();
        let key = |n: u8| at.host.digest("key", &[&[n]]);
        let keys = [key(0), key(1), key(2), key(3)];
        let now = at.now;
        table.put(&at, &keys[0], b"0", now.plus_s(20)).unwrap();
        table.put(&at, &keys[1], b"1", now.plus_s(10)).unwrap();
        table.put(&at, &keys[2], b"2", now.plus_s(30)).unwrap();
        assert!(table.get(&at, &keys[1]).is_none());
        assert_eq!(table.get(&at, &keys[0]).unwrap().payload(), b"0");
        assert_eq!(table.get(&at, &keys[2]).unwrap().payload(), b"2");
        table.put(&at, &keys[0], b"again", now.plus_s(40)).unwrap();
        assert_eq!(table.get(&at, &keys[0]).unwrap().payload(), b"again");
        assert!(table.get(&at, &keys[2]).is_some());
        at.now = now.plus_s(31);
        table.put(&at, &keys[3], b"3", now.plus_s(32)).unwrap();
        assert_eq!(table.get(&at, &keys[0]).unwrap().payload(), b"again");
        assert_eq!(table.remove(&at, &keys[0]), Ok(true));
        assert_eq!(table.remove(&at, &keys[0]), Ok(false));
        assert!(table.get(&at, &keys[0]).is_none());
        assert_eq!(table.put(&at, &keys[0], &[0; 17], now.plus_s(40)), Err(Unavailable::TooLong));
    });
}

#[test]
fn a_hit_in_the_first_choice_costs_one_host_call() {
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let key = world.key.digest("key", &[]);
    world.alone(|worker| {
        let at = worker.begin();
        TABLE.put(&at, &key, b"x", at.now.plus_s(9)).unwrap();
    });
    let before = world.memory(|memory| memory.calls);
    world.alone(|worker| assert!(TABLE.get(&worker.begin(), &key).is_some()));
    assert_eq!(world.memory(|memory| memory.calls) - before, 1);
}

#[test]
fn what_is_not_ours_is_not_grown() {
    // Another filter's short value where a slot of ours is, in a zone without room.
    let world =
        World::new(Dialect::Kong, 1, 1, None).with_memory(|memory| memory.zone(2 * 128, false));
    let key = world.key.digest("key", &[]);
    for index in 0..2 {
        for id in [TableId::Tokens, TableId::Replay] {
            let name = crate::shared::Slot::new(id, index).0;
            let _ = world.memory(|memory| memory.set_shared_data(&name, b"short", 0));
        }
    }
    world.alone(|worker| {
        let at = worker.begin();
        assert_eq!(
            Table::new(TableId::Tokens, 2, 300).put(&at, &key, b"x", at.now.plus_s(9)),
            Err(Unavailable::Full)
        );
        let _ = Ids::new(TableId::Replay, 16).insert(
            &at,
            crate::shared::once::Owner::of(0),
            &key,
            at.now.plus_s(9),
        );
    });
    assert_eq!(world.memory(|memory| memory.killed.take()), None);
}
