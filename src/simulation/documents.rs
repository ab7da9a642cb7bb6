//! Documents are read whole or not at all.

use std::sync::Mutex;

use super::host::{Dialect, Faults};
use super::schedule::{Rng, Worker, World};
use super::{holds, is_caught};
use crate::shared::document::{DOCUMENT_BYTES_MAX, INLINE_BYTES_MAX, META_BYTES};
use crate::shared::twin::Twin;
use crate::shared::{Documents, Unavailable};
use crate::time::Time;

/// A body whose every byte follows from `seed`, which is in the meta.
fn body(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(length).collect()
}

fn meta(seed: u64, key: u64) -> [u8; META_BYTES] {
    let mut meta = [0; META_BYTES];
    meta.iter_mut()
        .zip(seed.to_le_bytes().into_iter().chain(key.to_le_bytes()))
        .for_each(|(to, from)| *to = from);
    meta
}

/// Writers and readers of two documents in a table that is too small for all versions.
fn never_mixed(
    seed: u64,
    dialect: Dialect,
    faults: Faults,
    twin: Option<Twin>,
) -> Result<(), String> {
    let documents = Documents::new(8 + (seed % 7) as u32);
    let keys = 1 + seed % 2;
    let world = World::new(dialect, seed, 4, twin).faults(faults).drift_ms(5);
    let names = [world.key.digest("document", &[b"0"]), world.key.digest("document", &[b"1"])];
    let wrong: Mutex<Option<String>> = Mutex::default();
    let reads = Mutex::new(0);
    let (wrong_ref, reads_ref) = (&wrong, &reads);
    let work = |writes: bool| {
        move |worker: &Worker<'_>| {
            for _ in 0..if writes { 8 } else { 4 } {
                let n = worker.below(keys);
                let at = worker.begin();
                if writes {
                    let seed = worker.below(u64::MAX);
                    // One length for the chunks' places to be alike; at times a short one.
                    let length = if worker.below(4) == 0 { 100 } else { 5000 };
                    let _ = documents.write(
                        &at,
                        &names[n as usize],
                        &meta(seed, n),
                        &body(seed, length),
                        at.now.plus_s(60),
                    );
                } else if let Some(document) = documents.read(&at, &names[n as usize]) {
                    let seed = u64::from_le_bytes(*document.head.meta.first_chunk().unwrap());
                    *reads_ref.lock().unwrap() += 1;
                    if document.body != body(seed, document.body.len())
                        || document.head.meta != meta(seed, n)
                    {
                        *wrong_ref.lock().unwrap() = Some("a mixed document".into());
                    }
                }
                worker.done();
            }
        }
    };
    world.run(vec![work(true), work(false), work(true), work(false)]);
    wrong.into_inner().unwrap().map_or(Ok(()), Err)
}

#[test]
fn no_document_is_read_mixed() {
    holds(60, |seed, dialect| never_mixed(seed, dialect, Faults::default(), None));
    let faults = Faults { torn: 40, other_key: 40, evicted: 20, crash: 3, full: 50 };
    holds(60, |seed, dialect| never_mixed(seed, dialect, faults, None));
    is_caught(Twin::ChunksWithoutVersion, 200, |seed, dialect, twin| {
        never_mixed(seed, dialect, Faults::default(), twin)
    });
}

#[test]
fn what_was_written_is_read() {
    let documents = Documents::new(400);
    for dialect in Dialect::ALL {
        let world = World::new(dialect, 1, 1, None);
        let name = world.key.digest("document", &[]);
        world.alone(|worker| {
            let at = worker.begin();
            for length in [0, 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 5000, 262_144, 100] {
                let before = documents.head(&at, &name);
                let version = documents
                    .write(&at, &name, &meta(7, 0), &body(7, length), at.now.plus_s(60))
                    .unwrap();
                let document = documents.read(&at, &name).unwrap();
                assert_eq!(document.body, body(7, length));
                assert_eq!(
                    (document.head.version, document.head.length as usize),
                    (version, length)
                );
                assert_eq!(documents.head(&at, &name), Some(document.head));
                assert!(before.is_none_or(|head| head.version != version));
            }
            assert_eq!(
                documents.write(
                    &at,
                    &name,
                    &meta(7, 0),
                    &vec![0; DOCUMENT_BYTES_MAX + 1],
                    at.now.plus_s(60)
                ),
                Err(Unavailable::TooLong)
            );
            let small = Documents::new(4);
            assert_eq!(
                small.write(&at, &name, &meta(7, 0), &[0; 6000], at.now.plus_s(60)),
                Err(Unavailable::TooLong)
            );
            assert_eq!(documents.remove(&at, &name), Ok(true));
            assert_eq!(documents.read(&at, &name), None);
            assert_eq!(documents.remove(&at, &name), Ok(false));
        });
    }
}

#[test]
fn chunks_of_what_was_replaced_are_free_again() {
    let documents = Documents::new(40);
    let world = World::new(Dialect::Kong, 1, 1, None);
    let name = world.key.digest("document", &[]);
    world.alone(|worker| {
        let at = worker.begin();
        for seed in 0..100 {
            documents
                .write(&at, &name, &meta(seed, 0), &body(seed, 25_000), at.now.plus_s(60))
                .unwrap();
            assert_eq!(documents.read(&at, &name).unwrap().body, body(seed, 25_000));
        }
    });
    let live = world.memory(|memory| {
        let shape = documents.table().shape();
        memory
            .values()
            .filter(|value| {
                shape
                    .open_any(&world.key, value)
                    .is_some_and(|record| record.expires > Time::default())
            })
            .count()
    });
    assert_eq!(live, 1 + 25_000usize.div_ceil(shape_bytes(&documents)));
}

fn shape_bytes(documents: &Documents) -> usize {
    documents.table().shape().payload_max()
}

#[test]
fn a_small_document_is_read_in_one_host_call() {
    let documents = Documents::new(1000);
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let name = world.key.digest("document", &[]);
    world.alone(|worker| {
        let at = worker.begin();
        documents.write(&at, &name, &meta(1, 0), &body(1, 1000), at.now.plus_s(60)).unwrap();
    });
    let before = world.memory(|memory| memory.calls);
    world.alone(|worker| assert!(documents.read(&worker.begin(), &name).is_some()));
    assert_eq!(world.memory(|memory| memory.calls) - before, 1);
}
