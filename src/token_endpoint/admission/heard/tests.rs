use proptest::prelude::*;

use super::super::{Decision, Ended, Outcome, Party, Permit};
use super::*;

const T0: Time = Time::from_s(1_700_000_000);
const LIMITS: Limits = Limits { calls_max: 50, lease_ms: 10_000 };

/// The nth client, at an address of its own.
fn party(n: u32) -> Party {
    Party { client: n + 1, address: n + 1_000 }
}

fn admit(state: &mut Admission, n: u32, now: Time) -> Option<Permit> {
    let (next, decision) = state.admit(now, &LIMITS, party(n));
    *state = next;
    match decision {
        Decision::Admit(permit) => Some(permit),
        Decision::Refuse { .. } => None,
    }
}

fn end(
    state: &mut Admission,
    permit: Permit,
    ended: impl Into<Ended>,
    now: Time,
) -> Option<Outage> {
    let (next, outage) = state.ended(permit, ended, now, &LIMITS);
    *state = Admission::decode(&next.encode());
    outage
}

fn hear(state: &mut Admission, outage: &Outage, now: Time) -> bool {
    let heard = state.hear(outage, now, &LIMITS);
    if let Some(next) = heard {
        *state = Admission::decode(&next.encode());
    }
    heard.is_some()
}

/// A gateway at which the server has failed five clients in the second before `now`, and the pause
/// that it tells.
fn outage(asked_ms: Option<u64>, now: Time) -> (Admission, Outage) {
    let mut state = Admission::default();
    let failed = Ended { outcome: Outcome::Overloaded, asked_ms };
    let mut told = None;
    for n in 0..5 {
        assert_eq!(told, None, "after {n} failures");
        let at = Time::from_ms(now.ms() - 800 + 200 * u64::from(n));
        let permit = admit(&mut state, n, at).unwrap();
        told = end(&mut state, permit, failed, at);
    }
    (state, told.unwrap())
}

#[test]
fn what_one_gateway_has_found_another_holds_off_for() {
    let (mut first, told) = outage(None, T0);
    assert_eq!(told, Outage { since: Time::from_ms(T0.ms() - 800), told_at: T0, pause_ms: 100 });
    let (mut other, now) = (Admission::default(), T0.plus_ms(50));
    assert!(hear(&mut other, &told, now));
    assert!(admit(&mut other, 7, T0.plus_ms(99)).is_none());
    // The same end, then one call at a time, at both.
    for state in [&mut first, &mut other] {
        let permit = admit(state, 7, T0.plus_ms(100)).unwrap();
        assert!(admit(state, 8, T0.plus_ms(100)).is_none());
        assert_eq!(end(state, permit, Outcome::Answered, T0.plus_ms(110)), None);
        assert!(admit(state, 8, T0.plus_ms(110)).is_some());
        assert!(admit(state, 9, T0.plus_ms(110)).is_some());
        assert!(admit(state, 10, T0.plus_ms(110)).is_none());
    }
    // What failed before says nothing against what was answered since.
    assert!(!hear(&mut other, &told, T0.plus_ms(120)));
}

#[test]
fn each_pause_is_told_with_what_the_server_asked_two_for() {
    let (mut state, told) = outage(Some(30_000), T0);
    assert_eq!(told.pause_ms, 100, "one alone was told so in the outage");
    let mut other = Admission::default();
    assert!(hear(&mut other, &told, T0));
    let now = T0.plus_ms(100);
    let permit = admit(&mut state, 7, now).unwrap();
    let failed = Ended { outcome: Outcome::Overloaded, asked_ms: Some(20_000) };
    let told = end(&mut state, permit, failed, now).unwrap();
    assert_eq!(told, Outage { since: T0, told_at: now, pause_ms: 20_000 });
    // Whoever has heard of the outage, and whoever hasn't.
    for mut other in [other, Admission::default()] {
        assert!(hear(&mut other, &told, now));
        assert!(!hear(&mut other, &told, now.plus_ms(100)), "once more");
        assert!(admit(&mut other, 8, now.plus_ms(19_999)).is_none());
        assert!(admit(&mut other, 8, now.plus_ms(20_000)).is_some());
    }
}

#[test]
fn an_outage_of_one_address_is_not_told() {
    let mut state = Admission::default();
    for n in 0..10 {
        let Some(permit) = admit_at(&mut state, n, 7) else { break };
        assert_eq!(end(&mut state, permit, Outcome::Overloaded, T0), None);
    }
    assert!(state.is_ramping());
}

fn admit_at(state: &mut Admission, client: u32, address: u32) -> Option<Permit> {
    let party = Party { client: client + 1, address };
    let (next, decision) = state.admit(T0, &LIMITS, party);
    *state = next;
    if let Decision::Admit(permit) = decision { Some(permit) } else { None }
}

#[test]
fn a_gateway_that_is_answered_believes_its_own_eyes() {
    let mut state = Admission::default();
    let permit = admit(&mut state, 1, T0).unwrap();
    end(&mut state, permit, Outcome::Answered, T0);
    let (_, told) = outage(Some(60_000), T0.plus_ms(500));
    assert!(!hear(&mut state, &told, T0.plus_ms(550)), "they failed from 300 ms before it on");
    let (_, told) = outage(None, T0.plus_ms(900));
    assert!(hear(&mut state, &told, T0.plus_ms(950)), "answered before all of them");
}

#[test]
fn no_word_is_believed_late_or_early_or_for_long() {
    let told = |told_at: Time, pause_ms| Outage { since: T0, told_at, pause_ms };
    let hears = |outage: Outage, now: Time| hear(&mut Admission::default(), &outage, now);
    assert!(hears(told(T0, 100), T0.plus_ms(1_999)));
    assert!(!hears(told(T0, 100), T0.plus_ms(2_000)), "old");
    assert!(hears(told(T0, 30_000), T0.plus_ms(29_999)));
    assert!(!hears(told(T0, 30_000), T0.plus_ms(30_000)), "its pause is over");
    assert!(!hears(told(T0, u64::MAX), T0.plus_ms(60_000)), "no pause is longer");
    assert!(!hears(told(T0.plus_ms(1_001), 100), T0), "ahead");
    // A clock that is a little ahead lengthens no pause.
    let mut state = Admission::default();
    assert!(hear(&mut state, &told(T0.plus_ms(900), 100), T0));
    assert!(admit(&mut state, 1, T0.plus_ms(100)).is_some());
    // An old one after its time: one call at a time, at once.
    let mut state = Admission::default();
    assert!(hear(&mut state, &told(T0, 100), T0.plus_ms(500)));
    assert!(admit(&mut state, 1, T0.plus_ms(500)).is_some());
    assert!(admit(&mut state, 2, T0.plus_ms(500)).is_none());
}

#[test]
fn where_nothing_comes_of_it_the_outage_ends_by_itself() {
    let (_, told) = outage(None, T0);
    let mut state = Admission::default();
    assert!(hear(&mut state, &told, T0));
    assert!(admit(&mut state, 1, T0.plus_ms(60_000)).is_some());
    assert!(admit(&mut state, 2, T0.plus_ms(60_000)).is_none());
    let later = T0.plus_ms(60_200);
    let admitted = (0..60).filter(|n| admit(&mut state, 100 + n, later).is_some()).count();
    assert!(admitted > 40, "{admitted}");
}

/// A gateway whose own way to the server is broken tells of it without end.
#[test]
fn who_tells_without_end_keeps_nobody_from_finding_out() {
    let mut state = Admission::default();
    let (mut heard, mut refused) = (0, 0);
    for ms in (0..600_000).step_by(100) {
        let now = T0.plus_ms(ms);
        let since = Time::from_ms(now.ms() - 1_000);
        let told = Outage { since, told_at: now, pause_ms: 1_000 };
        heard += u32::from(hear(&mut state, &told, now));
        // One request each ten seconds.
        if ms % 10_000 == 5_000 {
            match admit(&mut state, ms as u32, now) {
                Some(permit) => assert_eq!(end(&mut state, permit, Outcome::Answered, now), None),
                None => refused += 1,
            }
        }
    }
    assert!(heard > 10, "{heard}");
    assert_eq!(refused, 0);
}

proptest! {
    /// Whatever is heard, and however often: no pause is longer than 60 seconds, and after it a
    /// call is admitted.
    #[test]
    fn nothing_that_is_heard_silences_an_endpoint(
        told in prop::collection::vec((0u64..120_000, 0u64..400_000, 0u64..200_000), 1..40),
    ) {
        let mut state = Admission::default();
        let (mut now, mut first) = (T0, None);
        for (later_ms, pause_ms, since_ms) in told {
            now = now.plus_ms(later_ms / 20);
            if first.is_some_and(|first: Time| now.ms_since(first) >= ASKED_MS_MAX) {
                break;
            }
            let told_at = Time::from_ms(now.ms() - later_ms % 3_000);
            let since = Time::from_ms(now.ms() - since_ms);
            if hear(&mut state, &Outage { since, told_at, pause_ms }, now) {
                first = Some(first.unwrap_or(now));
            }
        }
        let after = first.unwrap_or(now).plus_ms(ASKED_MS_MAX).max(now);
        prop_assert!(admit(&mut state, 1, after).is_some());
    }
}
