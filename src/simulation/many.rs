//! More keys than anyone can keep: memory stays as it is, and limits in use stay exact.

use super::host::Dialect;
use super::limits::limit;
use super::schedule::{Rng, World};
use crate::digest::Digest;
use crate::rate_limit::Amount;
use crate::rate_limit::{Claim, Counters};
use crate::time::Time;

/// `KEYS` devices, each seen once, a thousand of them a second, and 20 that are in use throughout.
#[test]
fn millions_of_devices_leave_memory_flat_and_limits_exact() {
    let keys = std::env::var("KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000u64);
    let one = limit(Amount::Rate { limit: 60, per_s: 60, burst: 60 });
    for dialect in Dialect::ALL {
        let world = World::new(dialect, 1, 1, None);
        let counters = Counters::new(16_384);
        let mut rng = Rng::new(5);
        let start = Time::from_s(1_800_000_000);
        let mut in_use = Vec::new();
        let mut peak = (0, 0);
        let (passed, sketched) = world.alone(|worker| {
            for _ in 0..20 {
                in_use.push(random_digest(&mut rng));
            }
            let (mut passed, mut sketched) = (0u64, 0u64);
            for n in 0..keys {
                let mut at = worker.begin();
                at.now = start.plus_ms(n);
                let outcome = crate::rate_limit::charge(
                    &counters,
                    &at,
                    &[Claim::alone(&one, random_digest(&mut rng))],
                );
                sketched += u64::from(outcome.limits.iter().any(|status| status.sketch));
                // Two requests a second each: twice what the limit gives.
                if n % 500 == 0 {
                    for digest in &in_use {
                        let outcome = crate::rate_limit::charge(
                            &counters,
                            &at,
                            &[Claim::alone(&one, *digest)],
                        );
                        passed += u64::from(outcome.verdict == crate::rate_limit::Verdict::Allowed);
                    }
                }
            }
            (passed, sketched)
        });
        peak = world.memory(|memory| memory.size()).max(peak);
        let slots = u64::from(counters.cells().slots() + counters.sketch().slots());
        assert!(peak.0 as u64 <= slots, "{peak:?} in {slots} slots");
        // Each of the 20: the burst, and one a second; or all that it asked for, if that is less.
        let asked = keys.div_ceil(500);
        let each = (0..asked).fold((0u64, 0u64), |(passed, tat), n| {
            let now = n * 500;
            let after = tat.max(now) + 1000;
            if after - now <= 60_000 { (passed + 1, after) } else { (passed, tat) }
        });
        assert_eq!(passed, 20 * each.0);
        println!(
            "{dialect:?}: {keys} keys, {} entries, {} bytes, {sketched} in the sketch, {passed} passed of those in use",
            peak.0, peak.1
        );
    }
}

fn random_digest(rng: &mut Rng) -> Digest {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| {
        chunk.iter_mut().zip(rng.next().to_le_bytes()).for_each(|(to, from)| *to = from)
    });
    Digest(bytes)
}
