//! What one, three, ten, thirty and a hundred gateways cost their Redis, and how soon all of them
//! know of a revocation: the table in docs/gateways.md. `make sim` prints it.

use super::gateways::{REVOKED, gateway, revoke, token};
use super::net::{Net, Way};
use super::schedule::Rng;
use crate::time::Time;
use crate::world::START;

const EVERY_MS: u64 = 200;
const STEP_MS: u64 = 5;
/// A way of up to 5 ms, there and back each: gateways and Redis in one place.
const WAY: Way = Way { ms: 5, lost: 0, unanswered: 0, doubled: 0 };
const WARM_MS: u64 = 1_000;
const IDLE_MS: u64 = 5_000;
/// Between two revocations: longer than one is under way.
const BETWEEN_MS: u64 = 500;

/// What was seen with so many gateways.
struct Row {
    gateways: usize,
    /// Of one gateway, a second, while nothing happens.
    calls: f64,
    commands: f64,
    bytes: f64,
    /// Bytes of bodies for one revocation beside those.
    bytes_of_one: f64,
    /// Milliseconds until the last gateway knows.
    spread: Vec<u64>,
}

impl Row {
    fn percentile(&self, percent: usize) -> u64 {
        self.spread[(self.spread.len() - 1) * percent / 100]
    }
}

fn seen(count: usize, revocations: u64) -> Row {
    let mut rng = Rng::new(count as u64);
    let phases: Vec<u64> = (0..2 * count).map(|_| rng.below(EVERY_MS / 2)).collect();
    let gateways = (0..count).map(|n| gateway(1 + n as u8)).collect();
    let mut net = Net::new(gateways, WAY, &mut rng);
    let step = |net: &mut Net<'_>, now: Time| {
        let ms = now.ms_since(START);
        for (n, phase) in phases.iter().enumerate() {
            if (ms + phase) % (EVERY_MS / 2) < STEP_MS {
                net.tick(n / 2, n % 2, now);
            }
        }
        net.deliver(now);
    };
    let run = |net: &mut Net<'_>, from_ms: u64, to_ms: u64| {
        (from_ms..to_ms).step_by(STEP_MS as usize).for_each(|ms| step(net, START.plus_ms(ms)));
    };
    run(&mut net, 0, WARM_MS);
    let before = (net.spent, net.redis.commands);
    run(&mut net, WARM_MS, WARM_MS + IDLE_MS);
    let each =
        |after: u64, before: u64| (after - before) as f64 * 1_000.0 / IDLE_MS as f64 / count as f64;
    let (spent, commands) = (net.spent, net.redis.commands);
    let (calls, bytes) = (each(spent.calls, before.0.calls), each(spent.bytes, before.0.bytes));
    let commands = each(commands, before.1);
    let mut spread = Vec::new();
    let begun_ms = WARM_MS + IDLE_MS;
    for n in 0..revocations {
        let teller = (net.rng.below(count as u64) as usize, net.rng.below(2) as usize);
        let after_ms = begun_ms + n * BETWEEN_MS;
        let revoked_ms = after_ms + net.rng.below(100) / STEP_MS * STEP_MS;
        let mut unaware: Vec<usize> = (0..count).collect();
        for ms in (after_ms..after_ms + BETWEEN_MS).step_by(STEP_MS as usize) {
            let now = START.plus_ms(ms);
            if ms == revoked_ms {
                revoke(&net.gateways[teller.0], teller.1, now, &token(n as usize));
                net.tell(teller.0, teller.1, now);
            }
            step(&mut net, now);
            if ms < revoked_ms || unaware.is_empty() {
                continue;
            }
            let (gateways, token) = (&net.gateways, token(n as usize));
            unaware.retain(|which| gateways[*which].ask(0, now, &token) != REVOKED);
            if unaware.is_empty() {
                spread.push(ms - revoked_ms);
            }
        }
        assert!(unaware.is_empty(), "{n} of {count}: {unaware:?}");
    }
    spread.sort_unstable();
    let seconds = (revocations * BETWEEN_MS) as f64 / 1_000.0;
    let usual = bytes * count as f64 * seconds;
    let bytes_of_one = ((net.spent.bytes - spent.bytes) as f64 - usual) / revocations as f64;
    Row { gateways: count, calls, commands, bytes, bytes_of_one, spread }
}

#[test]
fn what_many_gateways_cost_and_how_soon_all_know() {
    // Without optimisation a hundred take a minute: where a longer run is asked for, or it is short.
    let is_long =
        !cfg!(debug_assertions) || std::env::var_os("ROUNDS").is_some_and(|n| !n.is_empty());
    let (counts, revocations): (&[usize], u64) =
        if is_long { (&[1, 3, 10, 30, 100], 50) } else { (&[1, 3, 10], 6) };
    println!("| gateways | calls | commands | bytes | of one revocation | p50 | p99 | most |");
    println!("|---|---|---|---|---|---|---|---|");
    for count in counts {
        let row = seen(*count, revocations);
        let all = row.gateways as f64;
        println!(
            "| {} | {:.0} | {:.0} | {:.1} kB | {:.1} kB | {} ms | {} ms | {} ms |",
            row.gateways,
            row.calls * all,
            row.commands * all,
            row.bytes * all / 1_000.0,
            row.bytes_of_one / 1_000.0,
            row.percentile(50),
            row.percentile(99),
            row.percentile(100),
        );
        // Two readings in every_ms by one worker of each, and none of them writes.
        assert!((9.0..=11.0).contains(&row.calls), "{}", row.calls);
        assert!((6.5..=7.5).contains(&(row.commands / row.calls)), "{}", row.commands);
        assert!(row.percentile(100) <= EVERY_MS + 4 * WAY.ms + STEP_MS, "{:?}", row.spread);
    }
}
