use proptest::prelude::*;

use super::*;
use crate::digest::HostKey;
use crate::rate_limit::{Amount, Window};
use crate::simulation::host::Dialect;
use crate::simulation::schedule::World;

fn limit(amount: Amount) -> RateLimit {
    RateLimit {
        name: "tested".into(),
        key: Vec::new(),
        amount,
        tiers: Vec::new(),
        failure_mode: FailureMode::Deny,
        shadow: false,
        headers: true,
        charge: crate::rate_limit::Charging::Accepted,
        sync: None,
    }
}

fn per_hour(limit: u64) -> Amount {
    Amount::Rate { limit, per_s: 3600, burst: limit }
}

fn key(host: &HostKey, n: u64) -> Digest {
    host.digest("tested counter", &[&n.to_le_bytes()])
}

/// What each limit says to `count` requests in one moment, all of which are under all limits.
fn ask(limits: &[RateLimit], count: usize) -> Vec<Outcome> {
    let world = World::new(Dialect::Envoy, 1, 1, None);
    let counters = Counters::new(64);
    let claims: Vec<Claim<'_>> = limits
        .iter()
        .enumerate()
        .map(|(n, limit)| Claim::alone(limit, key(&world.key, n as u64)))
        .collect();
    world.alone(|worker| {
        let at = worker.begin();
        let outcomes = (0..count).map(|_| charge(&counters, &at, &claims)).collect();
        worker.done();
        outcomes
    })
}

/// A limit to which a request isn't charged says when it is as unused without it.
#[test]
fn an_uncharged_limit_tells_its_own_reset() {
    let outcomes = ask(&[limit(per_hour(5)), limit(per_hour(1))], 2);
    let [first, second] = outcomes.as_slice() else { panic!() };
    assert_eq!((first.limits[0].remaining, first.limits[0].reset_s), (4, 720));
    assert_eq!(second.verdict, Verdict::Refused { limit: 1, retry_after_s: 3600 });
    assert_eq!(
        (second.limits[0].what, second.limits[0].remaining, second.limits[0].reset_s),
        (What::NotCharged, 4, 720)
    );
}

/// A calendar window ends when it ends, whoever is charged.
#[test]
fn an_uncharged_quota_ends_with_its_window() {
    let quota = Amount::Quota { quota: 5, window: Window::Day };
    let outcomes = ask(&[limit(quota), limit(per_hour(1))], 2);
    assert_eq!(outcomes[0].limits[0].reset_s, outcomes[1].limits[0].reset_s);
}

proptest! {
    /// What a refused request says of the other limits is what the last passed one said: time
    /// stands still.
    #[test]
    fn a_refused_request_changes_nothing_that_is_said(wide in 2u64..50, narrow in 1u64..10, asked in 1usize..4) {
        prop_assume!(narrow < wide);
        let outcomes = ask(&[limit(per_hour(wide)), limit(per_hour(narrow))], narrow as usize + asked);
        let (passed, refused) = outcomes.split_at(narrow as usize);
        let told = passed.last().unwrap().limits[0];
        for outcome in refused {
            prop_assert_eq!((outcome.limits[0].remaining, outcome.limits[0].reset_s), (told.remaining, told.reset_s));
        }
    }
}
