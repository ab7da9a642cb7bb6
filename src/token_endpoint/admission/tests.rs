use proptest::prelude::*;

use super::outage::PAUSE_MS_MAX;
use super::record::VERSION;
use super::*;

const T0: Time = Time::from_s(1_700_000_000);
const LIMITS: Limits = Limits { calls_max: 50, lease_ms: 10_000 };

thread_local!(static NEXT: std::cell::Cell<u32> = const { std::cell::Cell::new(1) });

/// A client that nobody has seen, at an address of its own.
fn stranger() -> Party {
    let n = NEXT.replace(NEXT.get() + 1);
    Party::new(mix(u64::from(n)), mix(u64::from(n) << 32))
}

/// One of a few clients behind one address.
fn neighbour(n: u64) -> Party {
    Party::new(mix(n), 7)
}

fn admit_of(state: &mut Admission, party: Party, now: Time) -> Result<Permit, u64> {
    let (next, decision) = state.admit(now, &LIMITS, party);
    *state = next;
    match decision {
        Decision::Admit(permit) => Ok(permit),
        Decision::Refuse { retry_after_s, .. } => Err(retry_after_s),
    }
}

/// Admits a client that has no other call, if it can.
fn admit(state: &mut Admission, now: Time) -> Result<Permit, u64> {
    admit_of(state, stranger(), now)
}

fn done(state: &mut Admission, permit: Permit, ended: impl Into<Ended>, now: Time) {
    *state = Admission::decode(&state.done(permit, ended, now, &LIMITS).encode());
}

/// One call from its beginning to its end; whether it was admitted.
fn call_of(state: &mut Admission, party: Party, ended: impl Into<Ended>, now: Time) -> bool {
    let admitted = admit_of(state, party, now);
    admitted.is_ok_and(|permit| {
        done(state, permit, ended, now);
        true
    })
}

/// A state in which the server has just failed five clients.
fn outage(now: Time) -> Admission {
    let mut state = Admission::default();
    for _ in 0..5 {
        assert!(call_of(&mut state, stranger(), Outcome::Overloaded, now));
    }
    assert!(state.is_ramping());
    state
}

#[test]
fn never_more_than_the_cap() {
    let mut state = Admission::default();
    let permits: Vec<Permit> = (0..50).map(|_| admit(&mut state, T0).unwrap()).collect();
    assert!(admit(&mut state, T0).is_err());
    assert_eq!(state.under_way(T0, &LIMITS), 50);
    done(&mut state, permits[0], Outcome::Answered, T0.plus_ms(20));
    assert!(admit(&mut state, T0.plus_ms(20)).is_ok());
    assert!(admit(&mut state, T0.plus_ms(20)).is_err());
}

#[test]
fn a_call_that_never_reports_gives_its_place_back() {
    let mut state = Admission::default();
    let lost: Vec<Permit> = (0..50).map(|_| admit(&mut state, T0).unwrap()).collect();
    assert!(admit(&mut state, T0.plus_ms(9_999)).is_err(), "not before the lease");
    let later = T0.plus_ms(10_000 * 4 / 3 + 1);
    assert_eq!(state.under_way(later, &LIMITS), 0);
    let permit = admit(&mut state, later).unwrap();
    // One that reports after all takes no one else's place.
    done(&mut state, lost[0], Outcome::Answered, later);
    assert_eq!(state.under_way(later, &LIMITS), 1);
    done(&mut state, permit, Outcome::Unknown, later);
    assert_eq!(state.under_way(later, &LIMITS), 0);
}

#[test]
fn an_outage_lets_one_call_through_at_a_time() {
    let mut state = outage(T0);
    assert!(admit(&mut state, T0).is_err());
    let now = T0.plus_ms(100);
    let probe = admit(&mut state, now).unwrap();
    assert!(admit(&mut state, now).is_err());
    done(&mut state, probe, Outcome::Overloaded, now);
    // The pauses grow, to a second at most, so that recovery is seen at once.
    assert!(admit(&mut state, now.plus_ms(199)).is_err());
    let mut now = now.plus_ms(200);
    for _ in 0..10 {
        let probe = admit(&mut state, now).unwrap();
        done(&mut state, probe, Outcome::Overloaded, now);
        now = now.plus_ms(1_000);
    }
    let probe = admit(&mut state, now).unwrap();
    done(&mut state, probe, Outcome::Answered, now);
    assert_eq!(
        (state.pauses, state.evidence),
        (0, Evidence::default()),
        "the next outage begins anew"
    );
    assert!(admit(&mut state, now).is_ok());
    assert!(admit(&mut state, now).is_ok());
    assert!(admit(&mut state, now).is_err());
}

/// A server that answers in 10 ms: each second at most twice as many as in the one before.
#[test]
fn the_ramp_doubles_each_second() {
    let mut state = outage(T0);
    let mut peaks = vec![0usize; 8];
    let mut now = T0.plus_ms(100);
    let start = now;
    while now.ms_since(start) < 8_000 {
        let mut permits = Vec::new();
        while let Ok(permit) = admit(&mut state, now) {
            permits.push(permit);
        }
        let second = (now.ms_since(start) / 1_000) as usize;
        peaks[second] = peaks[second].max(permits.len());
        now = now.plus_ms(10);
        permits.into_iter().for_each(|permit| done(&mut state, permit, Outcome::Answered, now));
    }
    assert!(
        peaks.windows(2).all(|pair| pair[1] <= pair[0] * 2 + 1 && pair[1] >= pair[0]),
        "{peaks:?}"
    );
    assert!(peaks[0] <= 4 && peaks[7] == 50, "{peaks:?}");
    assert!(!state.is_ramping());
}

#[test]
fn a_failure_halves_the_ramp() {
    let mut state = Admission { ramp: 20, ramp_before: 20, ..outage(T0) };
    let now = T0.plus_ms(5_000);
    let permit = admit(&mut state, now).unwrap();
    done(&mut state, permit, Outcome::Overloaded, now);
    let admitted = (0..60).filter(|_| admit(&mut state, now).is_ok()).count();
    assert_eq!(admitted, 10);
}

/// A client that finds a request which the server answers with 500 must not close the endpoint.
#[test]
fn errors_weigh_little() {
    let mut state = Admission::default();
    let fail = |state: &mut Admission, outcome| {
        let permit = admit(state, T0).unwrap();
        done(state, permit, outcome, T0);
    };
    for _ in 0..19 {
        fail(&mut state, Outcome::Error);
    }
    assert!(!state.is_ramping());
    fail(&mut state, Outcome::Answered);
    for _ in 0..19 {
        fail(&mut state, Outcome::Error);
    }
    assert!(!state.is_ramping());
    fail(&mut state, Outcome::Error);
    assert!(state.is_ramping());
    // During the ramp they neither slow it nor pause it.
    let now = T0.plus_ms(100);
    for _ in 0..50 {
        let permit = admit(&mut state, now).unwrap();
        done(&mut state, permit, Outcome::Error, now);
    }
}

#[test]
fn outcomes() {
    for (status, outcome) in [
        (None, Outcome::Overloaded),
        (Some(200), Outcome::Answered),
        (Some(401), Outcome::Answered),
        (Some(429), Outcome::Throttled),
        (Some(500), Outcome::Error),
        (Some(502), Outcome::Overloaded),
        (Some(503), Outcome::Overloaded),
        (Some(504), Outcome::Overloaded),
        (Some(599), Outcome::Error),
    ] {
        assert_eq!(Outcome::of(status), outcome, "{status:?}");
    }
}

#[test]
fn clocks_that_jump_lock_nobody_out() {
    let hour_ms = 3_600_000;
    for now in [Time::from_ms(T0.ms() - hour_ms), T0.plus_ms(24 * hour_ms), Time::from_ms(0)] {
        let mut state = outage(T0);
        for _ in 0..10_000 {
            let _ = admit(&mut state, T0);
        }
        assert!(admit(&mut state, now).is_err() || now > T0, "still an outage");
        assert!(
            admit(&mut state, now.plus_ms(PAUSE_MS_MAX)).is_ok()
                || state.under_way(now, &LIMITS) == 1
        );
        let mut full = Admission::default();
        while admit(&mut full, T0).is_ok() {}
        assert!(admit(&mut full, now).is_ok());
        while admit(&mut full, now).is_ok() {}
        let wait_s = admit(&mut full, now).unwrap_err();
        assert!(wait_s <= RETRY_AFTER_S_MAX);
    }
}

/// 5,000 clients at a server of 100 answers a second: their return is spread over about 50 seconds.
#[test]
fn the_line_moves_at_the_pace_of_the_server() {
    let mut state = Admission { rate: 100, rate_since_ms: T0.ms(), ..Admission::default() };
    while admit(&mut state, T0).is_ok() {}
    let mut seen = [0u32; 61];
    for client in 0..5_000u64 {
        let (next, Decision::Refuse { retry_after_s, .. }) =
            state.admit(T0, &LIMITS, Party::new(mix(client), mix(client) >> 32))
        else {
            panic!()
        };
        state = next;
        seen[retry_after_s as usize] += 1;
    }
    assert_eq!(seen[0], 0);
    assert!(seen[1..37].iter().all(|count| (50..=150).contains(count)), "{seen:?}");
    // Then it is full, and all moments are alike.
    let mut seen = [0u32; 61];
    for client in 0..60_000u64 {
        let (next, Decision::Refuse { retry_after_s, .. }) =
            state.admit(T0, &LIMITS, Party::new(mix(client), mix(client) >> 32))
        else {
            panic!()
        };
        state = next;
        seen[retry_after_s as usize] += 1;
    }
    assert!(seen[1..=60].iter().all(|count| (800..1300).contains(count)), "{seen:?}");
}

#[test]
fn other_bytes_are_a_server_in_health() {
    let state = outage(T0);
    assert_eq!(Admission::decode(&state.encode()), state);
    for bytes in [
        &[][..],
        &[2; STATE_BYTES - 1],
        &[2; STATE_BYTES + 1],
        &[0; STATE_BYTES],
        &[1; STATE_BYTES],
    ] {
        assert_eq!(Admission::decode(bytes), Admission::default());
    }
}

/// What w01 tells: whatever one client earns, the others are served.
#[test]
fn one_clients_failures_are_its_own() {
    for outcome in [Outcome::Throttled, Outcome::Overloaded, Outcome::Error] {
        let mut state = Admission::default();
        for n in 0..1_000 {
            let now = T0.plus_ms(n * 10);
            assert!(
                call_of(&mut state, neighbour(1), Ended { outcome, asked_ms: Some(30_000) }, now),
                "{outcome:?}"
            );
            assert!(
                n % 7 > 0 || call_of(&mut state, neighbour(2), Outcome::Answered, now),
                "{outcome:?}"
            );
        }
        assert!(!state.is_ramping(), "{outcome:?}");
    }
    // Two of them, of whom nobody else hears either.
    let mut state = Admission::default();
    assert!((0..1_000).all(|n| call_of(&mut state, neighbour(n % 2), Outcome::Overloaded, T0)));
    // 429 to any number of clients is 429 to each of them.
    let mut state = Admission::default();
    assert!((0..1_000).all(|n| call_of(&mut state, neighbour(n), Outcome::Throttled, T0)));
}

/// Client ids are made up easily, addresses aren't.
#[test]
fn made_up_clients_of_one_address_close_the_endpoint_for_that_address_alone() {
    let mut state = Admission::default();
    let refused =
        (0..100).filter(|n| !call_of(&mut state, neighbour(*n), Outcome::Overloaded, T0)).count();
    assert_eq!(refused, 95);
    assert!((0..100).all(|_| call_of(&mut state, stranger(), Outcome::Answered, T0)));
    // Once others fail too it is an outage for all.
    for _ in 0..5 {
        assert!(call_of(&mut state, stranger(), Outcome::Overloaded, T0));
    }
    assert!(!call_of(&mut state, stranger(), Outcome::Answered, T0));
    // One that is an address's own is forgotten with time.
    let mut state = Admission::default();
    (0..5).for_each(|n| assert!(call_of(&mut state, neighbour(n), Outcome::Overloaded, T0)));
    let (mut later, mut taken) = (state.at(T0.plus_s(61), &LIMITS), 0);
    while call_of(&mut later, neighbour(taken), Outcome::Unknown, T0.plus_s(61)) && taken < 10 {
        taken += 1;
    }
    assert_eq!(taken, 10);
}

#[test]
fn hanging_calls_of_one_client_leave_the_others_room() {
    let mut state = Admission::default();
    let hog: Vec<_> = (0..60).map(|_| admit_of(&mut state, neighbour(1), T0)).collect();
    assert_eq!(hog.iter().filter(|permit| permit.is_ok()).count(), 25);
    // It is told at once, and its refusals make nobody's wait longer.
    assert!(hog.iter().filter_map(|permit| permit.err()).all(|wait_s| (1..=3).contains(&wait_s)));
    assert_eq!(state.line_end_us, 0);
    // The others call and are answered, one after the other, for as long as its calls hang.
    for n in 0..188 {
        let now = T0.plus_ms(n * 50);
        assert!(call_of(&mut state, neighbour(2 + n % 19), Outcome::Answered, now), "{n}");
        assert!(admit_of(&mut state, neighbour(1), now).is_err());
    }
    // Two that hang theirs leave a third.
    let mut state = Admission::default();
    for n in 0..120 {
        let _ = admit_of(&mut state, neighbour(n % 2), T0);
    }
    assert_eq!(state.under_way(T0, &LIMITS), 34);
}

#[test]
fn one_address_leaves_others_room_where_there_are_several() {
    let mut state = Admission::default();
    assert_eq!(
        (0..100).filter(|n| admit_of(&mut state, neighbour(*n), T0).is_ok()).count(),
        50,
        "it is the only one"
    );
    assert!(admit(&mut state, T0).is_err());
    let mut state = Admission::default();
    assert!(call_of(&mut state, stranger(), Outcome::Answered, T0));
    assert_eq!((0..100).filter(|n| admit_of(&mut state, neighbour(*n), T0).is_ok()).count(), 38);
    assert!((0..12).all(|_| admit(&mut state, T0).is_ok()));
}

/// The noisy one asks twenty times a second and is always failed, one other asks once a second.
#[test]
fn one_client_does_not_win_all_tries_after_an_outage() {
    let mut state = outage(T0);
    let (mut asked, mut served) = (0, 0);
    for n in 1..200 {
        let now = T0.plus_ms(n * 50);
        call_of(&mut state, neighbour(1), Outcome::Overloaded, now);
        if n % 20 == 0 {
            asked += 1;
            served +=
                u32::from(call_of(&mut state, neighbour(2), Outcome::Answered, now.plus_ms(1)));
        }
    }
    assert!(served >= asked - 2, "{served} of {asked}");
}

/// `Retry-After` of one client's 503 is not the others', that of two is.
#[test]
fn a_pause_that_two_clients_are_asked_for_is_everyones() {
    let asked = Ended { outcome: Outcome::Overloaded, asked_ms: Some(20_000) };
    let mut state = outage(T0);
    let now = T0.plus_ms(2_000);
    assert!(call_of(&mut state, neighbour(1), asked, now));
    assert!(call_of(&mut state, neighbour(2), asked, now.plus_ms(1_500)), "one alone said so");
    let now = now.plus_ms(1_500);
    assert!(!call_of(&mut state, neighbour(3), asked, now.plus_ms(19_999)));
    // Whichever way the clock goes, for no longer than that.
    let back = Time::from_ms(T0.ms() - 3_600_000);
    assert!(!call_of(&mut state, neighbour(3), Outcome::Answered, back));
    assert!(call_of(
        &mut state.at(back, &LIMITS),
        neighbour(3),
        Outcome::Answered,
        back.plus_ms(20_000)
    ));
    assert!(call_of(&mut state, neighbour(3), Outcome::Answered, now.plus_ms(20_000)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, calls that live within the lease never exceed the cap.
    #[test]
    fn the_cap_holds(steps in prop::collection::vec((0u8..11, 0u64..500, any::<usize>()), 0..400)) {
        let mut state = Admission::default();
        let mut now = T0;
        let mut under_way: Vec<(Permit, Time)> = Vec::new();
        for (what, ms, pick) in steps {
            now = now.plus_ms(ms);
            // Calls over their lease have been ended by the gateway.
            under_way.retain(|(_, since)| now.ms_since(*since) < LIMITS.lease_ms);
            if what < 6 || under_way.is_empty() {
                for _ in 0..pick % 30 {
                    if let Ok(permit) = admit(&mut state, now) {
                        under_way.push((permit, now));
                    }
                }
            } else {
                let (permit, _) = under_way.swap_remove(pick % under_way.len());
                let outcomes = [Outcome::Answered, Outcome::Overloaded, Outcome::Error, Outcome::Unknown, Outcome::Throttled];
                let outcome = outcomes[usize::from(what) - 6];
                done(&mut state, permit, outcome, now);
            }
            prop_assert!(under_way.len() <= 50);
            prop_assert!(state.under_way(now, &LIMITS) as usize >= under_way.len());
        }
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop::collection::vec(any::<u8>(), STATE_BYTES),
        now in any::<u64>(),
        (client, address) in any::<(u64, u64)>(),
        (lease_ms, calls_max, asked_ms) in (1u64.., 1u16.., any::<Option<u64>>()),
    ) {
        let mut bytes = bytes;
        bytes[0] = VERSION;
        let limits = Limits { calls_max, lease_ms };
        let state = Admission::decode(&bytes);
        let now = Time::from_ns(now);
        let party = Party::new(client, address);
        let (next, decision) = state.admit(now, &limits, party);
        if let Decision::Admit(permit) = decision {
            for outcome in [Outcome::Answered, Outcome::Throttled, Outcome::Overloaded, Outcome::Error, Outcome::Unknown] {
                let _ = next.done(permit, Ended { outcome, asked_ms }, now, &limits).encode();
            }
        }
        let _ = state.done(Permit { slice: now.ms(), party }, Outcome::Overloaded, now, &limits).encode();
    }
}
