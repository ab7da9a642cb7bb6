//! What a request costs whose token this worker has seen before: host calls and allocations,
//! pinned.
//!
//! Beside these calls the shell makes two: one for all headers, one for the time; and one for each
//! header that changes.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod cold;
mod fixture;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use fixture::{
    Calls, NOW, OPAQUE, Worker, beside_bound, encrypted, opaque, plain, request, ruled,
    ruled_and_limited, ruled_and_limited_together, ruled_and_revoked, ruled_and_told, sealed,
    token,
};
use herdgate::testing::exchange::{Effect, Finish};
use herdgate::testing::metrics::Metric;
use herdgate::testing::reply::Reason;
use serde_json::json;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES_HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does the work; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        BYTES_HELD.with(|bytes| bytes.set(bytes.get().wrapping_add(layout.size())));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES_HELD.with(|bytes| bytes.set(bytes.get().wrapping_sub(layout.size())));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs a request whose token was seen before; returns what it cost.
fn hot(worker: &Worker) -> (Effect, Calls, Vec<Metric>, u64) {
    hot_with(worker, &token("user-1"))
}

fn hot_with(worker: &Worker, token: &str) -> (Effect, Calls, Vec<Metric>, u64) {
    assert!(matches!(worker.run(request(token)), Effect::Finish(Finish::Admit(_))));
    cost(worker, token)
}

/// What one request with this token costs.
fn cost(worker: &Worker, token: &str) -> (Effect, Calls, Vec<Metric>, u64) {
    worker.host.take();
    worker.host.make_room();
    let headers = request(token);
    let before = ALLOCATIONS.get();
    let effect = worker.run(headers);
    let allocations = ALLOCATIONS.get() - before;
    let (calls, counted) = worker.host.take();
    (effect, calls, counted, allocations)
}

#[test]
fn a_hit_counts_twice_and_asks_nothing() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&plain()));
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("not admitted") };
    assert_eq!(changes.headers().count() + changes.edits().remove.len(), 0);
    assert_eq!(calls, Calls { count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 0, "beyond the block of headers, which the host fills");
}

/// Who uses neither proofs nor what counts once pays nothing for others who do.
#[test]
fn a_hit_beside_bound_tokens_costs_the_same() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&beside_bound()));
    assert!(matches!(effect, Effect::Finish(Finish::Admit(_))));
    assert_eq!(calls, Calls { count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 0);
}

#[test]
fn rules_and_a_forwarded_claim_cost_one_header() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&ruled()));
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("not admitted") };
    assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "user-1")]);
    assert_eq!(changes.edits().remove.len(), 0);
    assert_eq!(calls, Calls { count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 0);
}

/// The same as of a JWT under the same rules.
#[test]
fn an_opaque_token_costs_what_a_jwt_does() {
    let (effect, calls, counted, allocations) = hot_with(&Worker::new(&opaque()), OPAQUE);
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("not admitted") };
    assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "user-1")]);
    assert_eq!(calls, Calls { count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 0);
}

/// Nothing is opened: a worker knows an encrypted token by its outer bytes.
#[test]
fn an_encrypted_token_costs_what_a_jwt_does() {
    let token = sealed(&token("user-1"));
    let (effect, calls, counted, allocations) = hot_with(&Worker::new(&encrypted()), &token);
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("not admitted") };
    assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "user-1")]);
    assert_eq!(calls, Calls { count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 0);
}

#[test]
fn revocation_costs_one_look_into_shared_memory() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&ruled_and_revoked()));
    let Effect::Finish(Finish::Admit(changes)) = effect else { panic!("not admitted") };
    assert_eq!(changes.headers().collect::<Vec<_>>(), [("x-user", "user-1")]);
    assert_eq!(calls, Calls { shared_get: 1, count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
    assert_eq!(allocations, 1, "the value that the host gives");
}

/// It is the same look, whoever has told of them.
#[test]
fn revocations_of_several_gateways_cost_no_host_call_more() {
    for shares_answers in [false, true] {
        let worker = Worker::new(&ruled_and_told(shares_answers));
        worker.tick();
        let (effect, calls, counted, allocations) = hot(&worker);
        assert!(matches!(effect, Effect::Finish(Finish::Admit(_))));
        assert_eq!(calls, Calls { shared_get: 1, count: 2, ..Calls::default() });
        assert_eq!(counted, [Metric::L1Hit, Metric::Accepted]);
        assert_eq!(allocations, 1, "the value that the host gives");
    }
}

#[test]
fn a_limit_costs_a_read_and_a_write() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&ruled_and_limited()));
    assert!(matches!(effect, Effect::Finish(Finish::Admit(_))));
    assert_eq!(calls, Calls { shared_get: 1, shared_set: 1, count: 3, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::LimitAllowed(0), Metric::Accepted]);
    assert_eq!(allocations, LIMIT_ALLOCATIONS);
}

/// Telling other gateways is for the ticks: a request only notes its charge, in memory that is
/// there.
#[test]
fn a_limit_of_several_gateways_costs_no_host_call_more() {
    let (effect, calls, counted, allocations) = hot(&Worker::new(&ruled_and_limited_together()));
    assert!(matches!(effect, Effect::Finish(Finish::Admit(_))));
    assert_eq!(calls, Calls { shared_get: 1, shared_set: 1, count: 3, ..Calls::default() });
    assert_eq!(counted, [Metric::L1Hit, Metric::LimitAllowed(0), Metric::Accepted]);
    assert_eq!(allocations, LIMIT_ALLOCATIONS);
}

/// The value that the host gives and its copy to be written, and two lists of one limit.
const LIMIT_ALLOCATIONS: u64 = 4;

/// The yardstick is no other than the filter that refuses: a hit makes its checks again.
#[test]
fn a_hit_is_checked_again() {
    let worker = Worker::new(&plain());
    let token = token("user-1");
    assert!(matches!(worker.run(request(&token)), Effect::Finish(Finish::Admit(_))));
    worker.host.take();
    worker.host.make_room();
    assert!(
        matches!(worker.run_at(NOW.plus_s(3600 + 30), request(&token)), Effect::Finish(Finish::Answer(answer)) if answer.status == 401)
    );
    assert_eq!(worker.host.take().1, [Metric::Rejected(Reason::Expired)]);
}

/// `memory.bytes_max` is a bound, and not one that keeps out what would have fitted.
#[test]
fn remembered_tokens_take_what_they_are_charged() {
    const BYTES_MAX: usize = 2 * 1024 * 1024;
    for mut config in [plain(), ruled()] {
        config["memory"] = json!({ "tokens_max": 100_000, "bytes_max": BYTES_MAX });
        config["shared"]["tokens_max"] = json!(16);
        let worker = Worker::new(&config);
        let before = BYTES_HELD.get();
        for n in 0..2_000 {
            worker.run(request(&token(&format!("user-{n}"))));
        }
        let held = BYTES_HELD.get() - before;
        assert!((BYTES_MAX / 3 * 2..BYTES_MAX / 4 * 5).contains(&held), "{held} bytes held");
    }
}
