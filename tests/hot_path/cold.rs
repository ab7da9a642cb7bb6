//! What a request costs whose token no worker knows, and one that is refused.
//!
//! Beside these calls the shell makes two, as for a known token; and for a refusal one for each thing
//! that access logs are told, and the answer.

use super::cost;
use super::fixture::{Calls, GOOD, Worker, plain, public, request, signed, token};
use herdgate::testing::exchange::{Effect, Finish};
use herdgate::testing::metrics::Metric;
use herdgate::testing::reply::Reason;

const FORGED: u8 = GOOD + 1;

/// A worker whose host has a signature function, and which has looked for revocations a moment ago.
fn by_host(algorithm: &str) -> Worker {
    let worker = Worker::new(&public(algorithm));
    worker.host.verifies.set(true);
    worker.run(request(&signed(algorithm, GOOD, |claims| claims["sub"] = "another".into())));
    worker
}

fn is_admitted(effect: &Effect) -> bool {
    matches!(effect, Effect::Finish(Finish::Admit(_)))
}

fn is_refused(effect: &Effect) -> bool {
    matches!(effect, Effect::Finish(Finish::Answer(answer)) if answer.status == 401)
}

/// What is verified so fast leaves nothing in shared memory, and where nothing was ever revoked one
/// look says so.
#[test]
fn a_new_token_of_rsa_costs_its_verification_by_the_host() {
    let worker = by_host("RS256");
    let (effect, calls, counted, allocations) = cost(&worker, &signed("RS256", GOOD, |_| {}));
    assert!(is_admitted(&effect));
    assert_eq!(calls, Calls { shared_get: 1, verify: 1, count: 3, ..Calls::default() });
    assert_eq!(counted, [Metric::Verified, Metric::VerifiedByHost, Metric::Accepted]);
    assert!(allocations <= ACCEPT_ALLOCATIONS, "{allocations} allocations");
}

/// The same of ECDSA; by the filter's own arithmetic it leaves a record for other workers.
#[test]
fn a_new_token_of_ecdsa_costs_its_verification() {
    let worker = by_host("ES256");
    let (effect, calls, counted, allocations) = cost(&worker, &signed("ES256", GOOD, |_| {}));
    assert!(is_admitted(&effect));
    assert_eq!(calls, Calls { shared_get: 1, verify: 1, count: 3, ..Calls::default() });
    assert_eq!(counted, [Metric::Verified, Metric::VerifiedByHost, Metric::Accepted]);
    assert!(allocations <= ACCEPT_ALLOCATIONS, "{allocations} allocations");
}

#[test]
fn a_new_token_of_hmac_asks_the_host_nothing() {
    let worker = Worker::new(&plain());
    worker.run(request(&token("another")));
    let (effect, calls, counted, _) = cost(&worker, &token("user-1"));
    assert!(is_admitted(&effect));
    assert_eq!(calls, Calls { shared_get: 1, count: 2, ..Calls::default() });
    assert_eq!(counted, [Metric::Verified, Metric::Accepted]);
}

/// The first look is for the number that tells of revocations, and each one for whether it is there.
#[test]
fn the_first_new_token_looks_for_revocations() {
    let worker = Worker::new(&public("RS256"));
    worker.host.verifies.set(true);
    let (_, calls, ..) = cost(&worker, &signed("RS256", GOOD, |_| {}));
    assert_eq!(calls, Calls { shared_get: 2, verify: 1, count: 3, ..Calls::default() });
}

#[test]
fn a_forged_token_costs_its_verification_and_a_count() {
    for algorithm in ["RS256", "ES256"] {
        let worker = by_host(algorithm);
        let (effect, calls, counted, allocations) =
            cost(&worker, &signed(algorithm, FORGED, |_| {}));
        assert!(is_refused(&effect), "{algorithm}");
        assert_eq!(calls, Calls { verify: 1, count: 1, ..Calls::default() });
        assert_eq!(counted, [Metric::Rejected(Reason::BadSignature)]);
        assert!(allocations <= REFUSAL_ALLOCATIONS, "{algorithm}: {allocations} allocations");
    }
    let worker = Worker::new(&public("EdDSA"));
    let (effect, calls, ..) = cost(&worker, &signed("EdDSA", FORGED, |_| {}));
    assert!(is_refused(&effect));
    assert_eq!(calls, Calls { shared_get: 2, count: 1, ..Calls::default() });
}

/// Whatever a token is refused for before its signature asks nothing of the host.
#[test]
fn what_needs_no_signature_costs_a_count() {
    for (reason, token) in [
        (Reason::Expired, signed("ES256", GOOD, |claims| claims["exp"] = 1_600_000_000.into())),
        (Reason::WrongAudience, signed("ES256", GOOD, |claims| claims["aud"] = "b".into())),
        (Reason::UnknownIssuer, signed("ES256", GOOD, |claims| claims["iss"] = "x".into())),
        (Reason::Algorithm, signed("RS256", GOOD, |_| {})),
        (Reason::Malformed, signed("ES256", GOOD, |claims| claims["exp"] = "x".into())),
        (Reason::Malformed, "eyJhbGciOiJFUzI1NiJ9.e30".to_owned()),
    ] {
        let worker = by_host("ES256");
        let (effect, calls, counted, allocations) = cost(&worker, &token);
        assert!(is_refused(&effect), "{reason:?}");
        assert_eq!(calls, Calls { count: 1, ..Calls::default() }, "{reason:?}");
        assert_eq!(counted, [Metric::Rejected(reason)]);
        assert!(allocations <= REFUSAL_ALLOCATIONS, "{reason:?}: {allocations} allocations");
    }
}

/// The claims and their texts, what the host's function is asked, what is kept of the token.
const ACCEPT_ALLOCATIONS: u64 = 60;
/// The claims and their texts, the answer, what logs are told.
const REFUSAL_ALLOCATIONS: u64 = 60;
