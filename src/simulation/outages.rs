//! Outages that gateways tell each other of: a server that fails all, and a gateway that alone
//! doesn't reach it.

use super::answers::answering;
use super::net::{Net, Way};
use super::schedule::Rng;
use super::seeds;
use crate::shared::twin::{self, Twin};
use crate::time::Time;
use crate::token_endpoint::admission::{Outcome, Permit};
use crate::world::START;

const STEP_MS: u64 = 10;
const CALL_MS: u64 = 40;
const WAY: Way = Way { ms: 20, lost: 50, unanswered: 50, doubled: 100 };
const GATEWAYS: usize = 3;
/// The gateway whose own way to the server breaks.
const CUT_OFF: usize = 0;

/// What one gateway's clients were told in a second.
#[derive(Clone, Copy, Default)]
struct Second {
    calls: u32,
    refused: u32,
}

/// Each gateway has a request in 40 ms, of clients that nobody has seen. The server fails in the
/// seconds of `down_s`; after `cut_off_s` one gateway doesn't reach it any more.
fn play(
    seed: u64,
    broken: Option<Twin>,
    (down_s, cut_off_s): (std::ops::Range<u64>, u64),
) -> Vec<[Second; GATEWAYS]> {
    twin::with(broken, || {
        let mut rng = Rng::new(seed);
        let gateways = (0..GATEWAYS).map(|n| answering(1 + n as u8)).collect();
        let mut net = Net::new(gateways, WAY, &mut rng);
        let mut under_way: Vec<(usize, u64, Option<Permit>, Time)> = Vec::new();
        let mut seen = vec![[Second::default(); GATEWAYS]; 20];
        for step in 0..20_000 / STEP_MS {
            let (now, ms) = (START.plus_ms(step * STEP_MS), step * STEP_MS);
            let second = ms / 1_000;
            for n in 0..2 * GATEWAYS {
                if (ms + 30 * n as u64) % 100 < STEP_MS {
                    net.tick(n / 2, n % 2, now);
                }
            }
            net.deliver(now);
            let (come, rest) = under_way.into_iter().partition(|(.., ends_at)| *ends_at <= now);
            under_way = rest;
            let come: Vec<(usize, u64, Option<Permit>, Time)> = come;
            for (gateway, client, permit, _) in come {
                let fails = down_s.contains(&second) || (gateway == CUT_OFF && second >= cut_off_s);
                let outcome = if fails { Outcome::Overloaded } else { Outcome::Answered };
                net.gateways[gateway].with(client as usize % 2, now, |facts| {
                    let endpoint = &facts.runtime.config.token_endpoints[0];
                    facts.call_ended(endpoint, &facts.stranger(client), permit, outcome.into());
                });
                net.tell(gateway, client as usize % 2, now);
            }
            for (gateway, told) in seen[second as usize].iter_mut().enumerate() {
                if net.rng.below(4) > 0 {
                    continue;
                }
                let client = step * GATEWAYS as u64 + gateway as u64;
                let permit = net.gateways[gateway].with(client as usize % 2, now, |facts| {
                    let endpoint = &facts.runtime.config.token_endpoints[0];
                    facts.admit_call(endpoint, &facts.stranger(client)).ok()
                });
                match permit {
                    Some(permit) => {
                        told.calls += 1;
                        under_way.push((gateway, client, permit, now.plus_ms(CALL_MS)));
                    }
                    None => told.refused += 1,
                }
            }
        }
        seen
    })
}

/// A gateway that is cut off fails all of its own clients; those of the others feel nothing of it
/// once its first word is over.
fn cut_off(seed: u64, broken: Option<Twin>) -> Result<(), String> {
    let seen = play(seed, broken, (0..0, 3));
    let others = || seen[8..].iter().flatten().enumerate().filter(|(n, _)| n % GATEWAYS != CUT_OFF);
    let refused: u32 = others().map(|(_, second)| second.refused).sum();
    let calls: u32 = others().map(|(_, second)| second.calls).sum();
    if refused == 0 && calls > 300 {
        return Ok(());
    }
    Err(format!("SEED={seed}: {refused} refused, {calls} calls"))
}

#[test]
fn a_gateway_that_is_cut_off_silences_no_other() {
    seeds(3).for_each(|seed| cut_off(seed, None).unwrap());
    let caught = (0..10).any(|seed| cut_off(seed, Some(Twin::OutageBelieved)).is_err());
    assert!(caught, "an outage believed against answers");
}

/// A server that fails for five seconds, and then answers: all have few calls in the outage, and
/// all serve all again some seconds after it.
#[test]
fn a_server_that_comes_back_is_served_by_all_again() {
    for seed in seeds(3) {
        let seen = play(seed, None, (3..8, 1_000));
        for second in &seen[4..8] {
            let calls: u32 = second.iter().map(|one| one.calls).sum();
            assert!(calls <= 30, "SEED={seed}: {calls} calls in a second of the outage");
        }
        for second in &seen[14..] {
            let refused: u32 = second.iter().map(|one| one.refused).sum();
            assert_eq!(refused, 0, "SEED={seed}: after it");
        }
    }
}
