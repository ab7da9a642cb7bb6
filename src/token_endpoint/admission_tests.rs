use proptest::prelude::*;

use super::*;

const T0: Time = Time::from_s(1_700_000_000);
const LIMITS: Limits = Limits { calls_max: 50, lease_ms: 10_000 };

/// Admits if it can.
fn admit(state: &mut Admission, now: Time) -> Result<Permit, u64> {
    let (next, decision) = state.admit(now, &LIMITS, 7);
    *state = Admission::decode(&next.encode());
    match decision {
        Decision::Admit(permit) => Ok(permit),
        Decision::Refuse { retry_after_s } => Err(retry_after_s),
    }
}

fn done(state: &mut Admission, permit: Permit, outcome: Outcome, now: Time) {
    *state = Admission::decode(&state.done(permit, outcome, now, &LIMITS).encode());
}

/// A state in which the server has just failed five times.
fn outage(now: Time) -> Admission {
    let mut state = Admission::default();
    for _ in 0..5 {
        let permit = admit(&mut state, now).unwrap();
        done(&mut state, permit, Outcome::Overloaded, now);
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
    assert_eq!((state.pauses, state.points), (0, 0), "the next outage begins anew");
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
    assert!(peaks.windows(2).all(|pair| pair[1] <= pair[0] * 2 + 1 && pair[1] >= pair[0]), "{peaks:?}");
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
        (Some(429), Outcome::Overloaded),
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
        assert!(admit(&mut state, now.plus_ms(PAUSE_MS_MAX)).is_ok() || state.under_way(now, &LIMITS) == 1);
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
        let (next, Decision::Refuse { retry_after_s }) = state.admit(T0, &LIMITS, mix(client)) else { panic!() };
        state = next;
        seen[retry_after_s as usize] += 1;
    }
    assert_eq!(seen[0], 0);
    assert!(seen[1..37].iter().all(|count| (50..=150).contains(count)), "{seen:?}");
    // Then it is full, and all moments are alike.
    let mut seen = [0u32; 61];
    for client in 0..60_000u64 {
        let (next, Decision::Refuse { retry_after_s }) = state.admit(T0, &LIMITS, mix(client)) else { panic!() };
        state = next;
        seen[retry_after_s as usize] += 1;
    }
    assert!(seen[1..=60].iter().all(|count| (800..1300).contains(count)), "{seen:?}");
}

#[test]
fn other_bytes_are_a_server_in_health() {
    let state = outage(T0);
    assert_eq!(Admission::decode(&state.encode()), state);
    for bytes in [&[][..], &[1; 55], &[1; 57], &[0; 56], &[2; 56]] {
        assert_eq!(Admission::decode(bytes), Admission::default());
    }
}

proptest! {
    /// Whatever happens, calls that live within the lease never exceed the cap.
    #[test]
    fn the_cap_holds(steps in prop::collection::vec((0u8..10, 0u64..500, any::<usize>()), 0..400)) {
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
                let outcome = [Outcome::Answered, Outcome::Overloaded, Outcome::Error, Outcome::Unknown][usize::from(what) - 6];
                done(&mut state, permit, outcome, now);
            }
            prop_assert!(under_way.len() <= 50);
            prop_assert!(state.under_way(now, &LIMITS) as usize >= under_way.len());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 56), now in any::<u64>(), client in any::<u64>(), lease_ms in 1u64.., calls_max in 1u16..) {
        let mut bytes = bytes;
        bytes[0] = VERSION;
        let limits = Limits { calls_max, lease_ms };
        let state = Admission::decode(&bytes);
        let now = Time::from_ns(now);
        let (next, decision) = state.admit(now, &limits, client);
        if let Decision::Admit(permit) = decision {
            for outcome in [Outcome::Answered, Outcome::Overloaded, Outcome::Error, Outcome::Unknown] {
                let _ = next.done(permit, outcome, now, &limits).encode();
            }
        }
        let _ = state.done(Permit { slice: now.ms() }, Outcome::Overloaded, now, &limits).encode();
    }
}
