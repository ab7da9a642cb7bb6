//! Shared data.

use crate::support::{Api, Rig, document, options};
use kong_host::{Eviction, Expect, Host, Options, Refused, Store, Zone};

fn store(bytes: usize, eviction: Eviction) -> Store {
    Store::new(&[Zone::default_zone(bytes, eviction)])
}

/// Fills a zone until it refuses or evicts; says how many records it holds.
fn fill(store: &mut Store, prefix: &str, value: usize) -> usize {
    for at in 0..100_000 {
        let before = store.len();
        let done =
            store.set(format!("{prefix}{at:06}").as_bytes(), Some(&vec![1; value]), Expect::Absent);
        if done.is_err() || store.len() <= before {
            return store.len();
        }
    }
    panic!("never full");
}

#[test]
fn cas_zero_means_absent_and_another_means_that_version() {
    let mut store = store(1 << 20, Eviction::None);
    assert_eq!(
        store.set(b"k", Some(b"v"), Expect::Version(7)),
        Err(Refused::CasMismatch),
        "a version of a missing key"
    );
    assert_eq!(store.set(b"k", Some(b"v"), Expect::Absent), Ok(()));
    assert_eq!(store.set(b"k", Some(b"w"), Expect::Absent), Err(Refused::CasMismatch));
    assert_eq!(store.get(b"k"), Ok(Some((b"v".to_vec(), 1))));
    assert_eq!(store.set(b"k", Some(b"w"), Expect::Version(1)), Ok(()));
    assert_eq!(store.get(b"k"), Ok(Some((b"w".to_vec(), 2))));
}

#[test]
fn deleting_takes_the_current_cas_and_a_new_key_restarts_at_1() {
    let mut store = store(1 << 20, Eviction::None);
    assert_eq!(
        store.set(b"k", None, Expect::Absent),
        Err(Refused::CasMismatch),
        "nothing to delete"
    );
    store.set(b"k", Some(b"v"), Expect::Absent).unwrap();
    store.set(b"k", Some(b"w"), Expect::Version(1)).unwrap();
    assert_eq!(store.set(b"k", None, Expect::Version(1)), Err(Refused::CasMismatch));
    assert_eq!(store.set(b"k", None, Expect::Version(2)), Ok(()));
    assert_eq!(store.get(b"k"), Ok(None));
    store.set(b"k", Some(b"x"), Expect::Absent).unwrap();
    assert_eq!(store.get(b"k"), Ok(Some((b"x".to_vec(), 1))), "ABA");
}

#[test]
fn the_filter_meets_the_same_rules() {
    let rig = Rig::new(
        "req_headers: kv_set k v\nreq_headers: kv_set k w\nreq_headers: kv_set k w 0\nreq_headers: kv_set k w 1\n\
         req_headers: kv_get k\nreq_headers: kv_set none w 4\nreq_headers: kv_del k\nreq_headers: kv_del k 2\nreq_headers: kv_get k",
    );
    assert_eq!(rig.get("/").status(), 200);
    let log: Vec<String> = rig
        .host
        .log()
        .into_iter()
        .map(|line| line.message)
        .filter(|line| line.starts_with("kv_"))
        .collect();
    let mismatch = "kv_set Err(CasMismatch)";
    let expected = [
        "kv_set Ok(())",
        mismatch,
        mismatch,
        "kv_set Ok(())",
        "kv_get k=w cas=Some(2)",
        mismatch,
        "kv_del Err(CasMismatch)",
        "kv_del Ok(())",
        "kv_get k=None cas=None",
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_key_is_its_crc_32() {
    let mut store = store(1 << 20, Eviction::None);
    store.set(b"plumless", Some(b"first"), Expect::Absent).unwrap();
    assert_eq!(store.get(b"buckeroo"), Ok(Some((b"first".to_vec(), 1))));
    assert_eq!(store.set(b"buckeroo", Some(b"second"), Expect::Absent), Err(Refused::CasMismatch));
}

#[test]
fn told_to_it_returns_another_keys_record() {
    let rig = Rig::new("req_headers: kv_set mine v\nreq_headers: kv_get mine");
    rig.host.store().set(b"theirs", Some(b"foreign"), Expect::Absent).unwrap();
    rig.host.store().redirect(|key| (key == b"mine").then(|| b"theirs".to_vec()));
    assert_eq!(rig.get("/").status(), 200);
    rig.logged("kv_set Err(CasMismatch)");
    rig.logged("kv_get mine=foreign");
    rig.host.store().sound();
    assert_eq!(rig.host.store().get(b"mine"), Ok(None));
}

#[test]
fn told_to_it_tears_reads_and_drops_records() {
    let rig = Rig::new("req_headers: kv_get k");
    rig.host.store().put(b"k", b"old and new").unwrap();
    rig.host.store().spoil(|_, value| value.truncate(3));
    rig.get("/");
    rig.logged("kv_get k=old cas=Some(1)");
    rig.host.store().sound();
    assert!(rig.host.store().forget(b"k") && !rig.host.store().forget(b"k"));
    rig.get("/");
    rig.logged("kv_get k=None");
}

#[test]
fn records_take_96_bytes_key_and_value_rounded_up() {
    let records = |value: usize| {
        let mut store = store(128 << 10, Eviction::None);
        fill(&mut store, "key", value)
    };
    let (exact, over) = (records(128 - 96 - 9), records(128 - 96 - 8));
    assert_eq!(exact, 2 * over, "one byte more takes twice the room");
    assert_eq!(records(2048 - 96 - 9), 2 * records(2048 - 96 - 8));
    assert_eq!(records(4096 - 96 - 9), records(2049 - 96 - 9), "beyond 2048 whole pages");
    assert_eq!(records(8192 - 96 - 9), records(4096 - 96 - 9) / 2);
}

#[test]
fn slru_takes_its_own_size_first_then_larger_then_smaller() {
    let mut slru = store(40 << 10, Eviction::Slru);
    slru.set(b"large", Some(&[1; 1500]), Expect::Absent).unwrap();
    slru.set(b"small", Some(&[1; 10]), Expect::Absent).unwrap();
    fill(&mut slru, "m", 300);
    assert!(slru.get(b"large").unwrap().is_some() && slru.get(b"small").unwrap().is_some());
    assert!(slru.get(b"m000000").unwrap().is_none(), "the oldest of the same size");
    fill(&mut slru, "l", 1500);
    assert!(slru.get(b"large").unwrap().is_none());
}

#[test]
fn lru_takes_the_least_recently_used_of_any_size() {
    let mut lru = store(40 << 10, Eviction::Lru);
    lru.set(b"old", Some(&[1; 300]), Expect::Absent).unwrap();
    lru.set(b"read", Some(&[1; 300]), Expect::Absent).unwrap();
    fill(&mut lru, "m", 300);
    assert!(lru.get(b"old").unwrap().is_none());
    let mut again = store(40 << 10, Eviction::Lru);
    again.set(b"read", Some(&[1; 300]), Expect::Absent).unwrap();
    for at in 0..500 {
        again.set(format!("{at:06}").as_bytes(), Some(&[1; 300]), Expect::Absent).unwrap();
        assert!(again.get(b"read").unwrap().is_some(), "used all the time");
    }
}

#[test]
fn a_full_zone_without_eviction_traps() {
    let zones = vec![Zone::default_zone(64 << 10, Eviction::None)];
    let rig = Rig::with(
        "req_headers: kv_fill k 2000\nreq_headers: log went on",
        Options { zones, ..options() },
    );
    fill(&mut rig.host.store(), "x", 1500);
    assert_eq!(rig.get("/").status(), 500);
    rig.logged("no room");
    assert_eq!((rig.count("went on"), rig.api.hits(), rig.host.deaths()), (0, 0, 0));
}

#[test]
fn a_value_larger_than_the_zone_traps() {
    for eviction in [Eviction::Slru, Eviction::Lru, Eviction::None] {
        let zones = vec![Zone::default_zone(64 << 10, eviction)];
        let rig = Rig::with("req_headers: kv_fill k 100000", Options { zones, ..options() });
        assert_eq!(rig.get("/").status(), 500);
        assert_eq!((rig.api.hits(), rig.host.deaths()), (0, 0));
    }
}

#[test]
fn without_a_zone_get_and_set_trap() {
    for program in ["req_headers: kv_get k", "req_headers: kv_set k v"] {
        let rig = Rig::with(program, Options { zones: Vec::new(), ..options() });
        assert_eq!(rig.get("/").status(), 500);
        rig.logged("no zone");
    }
}

#[test]
fn a_key_names_its_zone_before_a_slash() {
    let zones = vec![Zone { name: "small".into(), bytes: 64 << 10, eviction: Eviction::None }];
    let mut store = Store::new(&zones);
    assert_eq!(store.set(b"small/k", Some(b"v"), Expect::Absent), Ok(()));
    assert!(matches!(store.get(b"k"), Err(Refused::Trap(_))), "there is no zone *");
}

#[test]
fn a_value_that_grows_in_a_full_zone_kills_the_worker() {
    for eviction in [Eviction::Slru, Eviction::Lru, Eviction::None] {
        let zones = vec![Zone::default_zone(64 << 10, eviction)];
        let rig = Rig::with("req_headers: kv_fill k 3000 1", Options { zones, ..options() });
        rig.host.store().set(b"k", Some(b"v"), Expect::Absent).unwrap();
        fill(&mut rig.host.store(), "x", 1500);
        if rig.host.store().get(b"k").unwrap().is_none() {
            rig.host.store().set(b"k", Some(b"v"), Expect::Absent).unwrap();
        }
        assert!(matches!(rig.get("/"), kong_host::Outcome::Reset), "{eviction:?}");
        assert_eq!((rig.host.deaths(), rig.api.hits()), (1, 0), "{eviction:?}");
    }
}

#[test]
fn a_value_that_keeps_or_loses_length_is_safe_in_a_full_zone() {
    let mut store = store(64 << 10, Eviction::None);
    store.set(b"k", Some(b"0123456789"), Expect::Absent).unwrap();
    fill(&mut store, "x", 1500);
    assert_eq!(store.set(b"k", Some(b"9876543210"), Expect::Version(1)), Ok(()));
    assert_eq!(store.set(b"k", Some(b"short"), Expect::Version(2)), Ok(()));
    assert_eq!(store.get(b"k"), Ok(Some((b"short".to_vec(), 3))));
}

#[test]
fn zones_are_shared_by_workers_outlive_a_push_and_end_with_hup() {
    let api = Api::plain();
    let program = "req_headers /set: kv_set k v\nreq_headers: kv_get k";
    let host = Host::start(Options { workers: 2, ..options() }, &document(&api, program)).unwrap();
    let get = |worker, path: &str| {
        host.request(worker, kong_host::http::Request::new("GET", path)).status()
    };
    assert_eq!((get(0, "/set"), get(1, "/")), (200, 200));
    let found = |count| {
        host.log().iter().filter(|line| line.message == "kv_get k=v cas=Some(1)").count() == count
    };
    assert!(found(2));
    host.push(&document(&api, program)).unwrap();
    get(1, "/");
    assert!(found(3));
    host.reload();
    get(1, "/");
    assert!(host.logged("kv_get k=None"));
    assert_eq!(host.deaths(), 0);
}
