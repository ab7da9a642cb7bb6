//! What one worker has charged and not told yet, and when it tells.

use std::collections::HashMap;

use super::wire::{BATCH_MAX, GATEWAYS_MAX, Name};
use crate::digest::Digest;
use crate::sort;
use crate::time::{NS_PER_MS, Time};

/// Counters with something to tell at most, in each worker and for each Redis.
pub const COUNTERS_MAX: usize = 8_192;
/// Calls of one round at most.
pub const CALLS_MAX: usize = 4;
/// Milliseconds after which a gateway with nothing to tell lets the others know that it is there.
const HEARTBEAT_MS: u64 = 1_000;
/// The longest pause after failed calls, in milliseconds.
const PAUSE_MS_MAX: u64 = 1_000;
/// For how long what an answer said of the gateways holds, in milliseconds: as long as Redis takes
/// one to be there that says nothing.
const SILENT_MS: u64 = 10_000;

/// What is to be told of one counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owed {
    /// The index of its limit.
    pub limit: usize,
    /// Its name in Redis.
    pub name: Name,
    /// The same under the secret before.
    pub previous: Option<Name>,
    /// Nanoseconds of a rate, requests of a quota.
    pub much: u64,
    /// When the first of it was charged.
    pub since: Time,
    /// Of a quota: the first moment after its window.
    pub window_end: Option<Time>,
}

/// What is told of one counter in a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The counter here.
    pub counter: Digest,
    /// What is told.
    pub owed: Owed,
    /// Nanoseconds by which the arrival time can honestly lie ahead.
    pub ahead_ns_max: u64,
}

/// One worker's account with one Redis. Bounded by [`COUNTERS_MAX`].
#[derive(Debug)]
pub struct Ledger {
    every_ms: u64,
    owed: HashMap<Digest, Owed>,
    gateways: u32,
    /// When the last call was made that was answered.
    heard_at: Time,
    /// When something was last told, and when the last call was made, with or without anything to
    /// tell.
    told_at: Time,
    called_at: Time,
    /// Calls under way.
    calls: usize,
    failures: u32,
    retry_at: Time,
}

impl Ledger {
    /// An account that is told twice in `every_ms`.
    pub fn new(every_ms: u64) -> Self {
        Ledger {
            every_ms,
            owed: HashMap::new(),
            gateways: 1,
            heard_at: Time::default(),
            told_at: Time::default(),
            called_at: Time::default(),
            calls: 0,
            failures: 0,
            retry_at: Time::default(),
        }
    }

    /// How many gateways there were at the last answer; before the first, this one.
    pub fn gateways(&self) -> u32 {
        self.gateways
    }

    /// The same for whoever asks how things stand: 0 if no answer came for ten seconds.
    pub fn heard_of(&self, now: Time) -> u64 {
        if self.heard_at.is_recent(now, SILENT_MS) { u64::from(self.gateways) } else { 0 }
    }

    /// Whether something is to be told of a counter already.
    pub fn knows(&self, counter: &Digest) -> bool {
        self.owed.contains_key(counter)
    }

    /// Notes a charge; of one more counter if there is none yet. False if there is no room for
    /// that: the charge is not told then.
    pub fn note(&mut self, counter: Digest, charge: Owed) -> bool {
        let Owed { much, window_end, .. } = charge;
        if let Some(owed) = self.owed.get_mut(&counter) {
            if owed.window_end != window_end {
                // Nobody asks any more for what was counted in a window that is over.
                (owed.much, owed.window_end) = (0, window_end);
            }
            owed.much = owed.much.saturating_add(much);
            return true;
        }
        if self.owed.len() >= COUNTERS_MAX {
            return false;
        }
        self.owed.insert(counter, charge);
        true
    }

    /// What is charged to a counter and not told yet: nanoseconds or requests.
    pub fn owes(&self, counter: &Digest) -> u64 {
        self.owed.get(counter).map_or(0, |owed| owed.much)
    }

    /// The batches to tell now, of which the first may be empty: then it only says that this
    /// gateway is there. Nothing while it isn't time, or while calls are under way. For each batch
    /// [`Ledger::came`] or [`Ledger::failed`] is to be called.
    pub fn take(&mut self, now: Time) -> Option<Vec<Vec<(Digest, Owed)>>> {
        if self.calls > 0 {
            return None;
        }
        // A tick that comes a little early isn't left out: the next would be one period late.
        let has_passed =
            |period_ms: u64, at: Time| now < at || now.ms_since(at) >= period_ms - period_ms / 4;
        if now < self.retry_at && now >= self.called_at {
            return None;
        }
        if self.owed.is_empty() || !has_passed(self.every_ms / 2, self.told_at) {
            return has_passed(HEARTBEAT_MS, self.called_at)
                .then(|| self.call(vec![Vec::new()], now));
        }
        let mut counters: Vec<(Digest, Owed)> = if self.owed.len() <= BATCH_MAX * CALLS_MAX {
            self.owed.drain().collect()
        } else {
            let mut by_age: Vec<(Time, Digest)> =
                self.owed.iter().map(|(counter, owed)| (owed.since, *counter)).collect();
            sort::ascending(&mut by_age);
            by_age.truncate(BATCH_MAX * CALLS_MAX);
            by_age.iter().filter_map(|(_, counter)| self.owed.remove_entry(counter)).collect()
        };
        counters.retain(|(_, owed)| owed.window_end.is_none_or(|end| end > now));
        let mut batches: Vec<Vec<_>> = counters.chunks(BATCH_MAX).map(<[_]>::to_vec).collect();
        if batches.is_empty() {
            batches.push(Vec::new());
        }
        self.told_at = now;
        Some(self.call(batches, now))
    }

    fn call<T>(&mut self, batches: Vec<T>, now: Time) -> Vec<T> {
        self.called_at = now;
        self.calls = batches.len();
        batches
    }

    /// Whether a round has left something behind.
    pub fn is_behind(&self) -> bool {
        self.calls == CALLS_MAX && !self.owed.is_empty()
    }

    /// A call was answered.
    pub fn came(&mut self, gateways: u32) {
        self.calls = self.calls.saturating_sub(1);
        self.gateways = gateways.clamp(1, GATEWAYS_MAX as u32);
        self.heard_at = self.called_at;
        (self.failures, self.retry_at) = (0, Time::default());
    }

    /// A call wasn't answered as it should be: what it told goes with the next. If it arrived all
    /// the same, that counts twice: too much, never too little. False if there was no room for all
    /// of it.
    pub fn failed(&mut self, batch: &[Sent], now: Time) -> bool {
        self.calls = self.calls.saturating_sub(1);
        self.failures = self.failures.saturating_add(1);
        let pause_ms = (self.every_ms / 2) << self.failures.min(8);
        self.retry_at = now.plus_ms(pause_ms.min(PAUSE_MS_MAX));
        let mut kept = true;
        for Sent { counter, owed: told, .. } in batch {
            let has_room = self.owed.len() < COUNTERS_MAX;
            match self.owed.get_mut(counter) {
                Some(owed) if owed.window_end == told.window_end => {
                    owed.much = owed.much.saturating_add(told.much);
                    owed.since = owed.since.min(told.since);
                }
                Some(_) => {}
                None if has_room => {
                    self.owed.insert(*counter, *told);
                }
                None => kept = false,
            }
        }
        kept
    }
}

/// Cuts what is to be told to what can still count: of a rate no more than lies ahead here
/// (`ahead_ns`), and what has drained since the first of it was charged, `late_ns` at most. Binds
/// only after an outage, so that nothing is told then that time has made good long ago.
pub fn cut(owed: &mut Owed, ahead_ns: u64, late_ns: u64, now: Time) {
    let age_ns = now.ns().saturating_sub(owed.since.ns()).min(late_ns);
    owed.since = Time::from_ns(now.ns().saturating_sub(age_ns));
    owed.much = owed.much.min(ahead_ns.saturating_add(age_ns));
}

/// For how long charges may be told late, in nanoseconds: older ones count as of this age.
pub const fn late_ns(every_ms: u64) -> u64 {
    every_ms.saturating_mul(2 * NS_PER_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_s(1_800_000_000);

    fn digest(n: u64) -> Digest {
        Digest(std::array::from_fn(|index| n.to_le_bytes()[index % 8]))
    }

    fn note(ledger: &mut Ledger, n: u64, much: u64, end: Option<Time>, now: Time) -> bool {
        ledger.note(
            digest(n),
            Owed {
                limit: 0,
                name: Name([0; 18]),
                previous: None,
                much,
                since: now,
                window_end: end,
            },
        )
    }

    fn sent(batch: &[(Digest, Owed)]) -> Vec<Sent> {
        batch
            .iter()
            .map(|(counter, owed)| Sent { counter: *counter, owed: *owed, ahead_ns_max: 0 })
            .collect()
    }

    #[test]
    fn what_is_charged_is_told_once() {
        let mut ledger = Ledger::new(200);
        assert!(
            note(&mut ledger, 1, 5, None, NOW) && note(&mut ledger, 1, 6, None, NOW.plus_ms(50))
        );
        let batches = ledger.take(NOW.plus_ms(100)).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0][0].1.much, batches[0][0].1.since), (11, NOW));
        assert_eq!(ledger.owes(&digest(1)), 0);
        // One round at a time.
        note(&mut ledger, 1, 7, None, NOW.plus_ms(150));
        assert_eq!(ledger.take(NOW.plus_ms(300)), None);
        assert_eq!(ledger.heard_of(NOW.plus_ms(100)), 0, "no answer yet");
        ledger.came(3);
        assert_eq!((ledger.gateways(), ledger.heard_of(NOW.plus_ms(10_100))), (3, 3));
        assert_eq!(ledger.heard_of(NOW.plus_ms(10_101)), 0);
        assert_eq!(ledger.take(NOW.plus_ms(150)), None, "too early");
        assert_eq!(ledger.take(NOW.plus_ms(190)).unwrap()[0][0].1.much, 7);
        note(&mut ledger, 1, 7, None, NOW.plus_ms(200));
        assert_eq!(ledger.take(NOW.plus_ms(10_000)), None);
    }

    #[test]
    fn what_a_failed_call_told_goes_with_the_next() {
        let mut ledger = Ledger::new(200);
        note(&mut ledger, 1, 5, None, NOW);
        note(&mut ledger, 2, 1, Some(NOW.plus_s(1)), NOW);
        let batch = sent(&ledger.take(NOW.plus_ms(100)).unwrap()[0]);
        note(&mut ledger, 1, 2, None, NOW.plus_ms(110));
        ledger.failed(&batch, NOW.plus_ms(120));
        assert_eq!(ledger.owes(&digest(1)), 7);
        assert_eq!(ledger.take(NOW.plus_ms(250)), None, "the first pause");
        let again = ledger.take(NOW.plus_ms(320)).unwrap();
        assert!(again[0].iter().all(|(_, owed)| owed.since == NOW));
        // However often it fails, it is tried every second.
        let mut now = NOW.plus_ms(320);
        for _ in 0..40 {
            ledger.failed(&sent(&again[0]), now);
            now = now.plus_ms(1_000);
            let batch = ledger.take(now).unwrap();
            assert_eq!(
                batch[0].iter().filter(|(_, owed)| owed.window_end.is_some()).count(),
                usize::from(now < NOW.plus_s(1)),
                "a window that is over"
            );
        }
        ledger.came(1);
        note(&mut ledger, 1, 2, None, now);
        assert!(ledger.take(now.plus_ms(100)).is_some(), "no pause once it is back");
    }

    #[test]
    fn a_gateway_without_charges_says_that_it_is_there() {
        let mut ledger = Ledger::new(5_000);
        assert_eq!(ledger.take(NOW), Some(vec![vec![]]));
        ledger.came(2);
        assert_eq!(ledger.take(NOW.plus_ms(700)), None);
        assert_eq!(ledger.take(NOW.plus_ms(1_000)), Some(vec![vec![]]));
        ledger.came(2);
        // It does so too while it isn't time to tell what it has charged.
        note(&mut ledger, 1, 5, None, NOW.plus_ms(1_100));
        assert!(!ledger.take(NOW.plus_ms(2_000)).unwrap()[0].is_empty());
        ledger.came(2);
        note(&mut ledger, 1, 5, None, NOW.plus_ms(2_100));
        assert_eq!(ledger.take(NOW.plus_ms(3_000)), Some(vec![vec![]]));
        ledger.came(2);
        assert_eq!(ledger.take(NOW.plus_ms(4_000)).unwrap()[0].len(), 1);
        ledger.came(2);
        // The clock went back.
        assert_eq!(ledger.take(Time::from_s(1)), Some(vec![vec![]]));
    }

    #[test]
    fn the_oldest_come_first_and_all_of_it_is_bounded() {
        let mut ledger = Ledger::new(100);
        let all = COUNTERS_MAX as u64;
        assert!((0..all).all(|n| note(&mut ledger, n, 1, None, NOW.plus_ms(all - n))));
        assert!(!note(&mut ledger, all, 1, None, NOW) && note(&mut ledger, 0, 1, None, NOW));
        let now = NOW.plus_ms(all);
        let batches = ledger.take(now).unwrap();
        assert!(ledger.is_behind());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH_MAX; CALLS_MAX]);
        let oldest = batches.iter().flatten().map(|(_, owed)| owed.since).max().unwrap();
        assert_eq!(oldest, NOW.plus_ms((BATCH_MAX * CALLS_MAX) as u64));
        // Three are answered, one isn't.
        (0..3).for_each(|_| ledger.came(1));
        assert_eq!(ledger.take(now.plus_ms(100)), None);
        ledger.failed(&sent(&batches[3]), now);
        assert!(ledger.take(now.plus_ms(100)).is_some());
    }

    #[test]
    fn nothing_old_is_told_after_an_outage() {
        let mut owed = Owed {
            limit: 0,
            name: Name([0; 18]),
            previous: None,
            much: 900,
            since: Time::from_ns(NOW.ns() - 50),
            window_end: None,
        };
        cut(&mut owed, 300, 100, NOW);
        assert_eq!((owed.much, owed.since), (350, Time::from_ns(NOW.ns() - 50)));
        (owed.much, owed.since) = (900, Time::from_ns(NOW.ns() - 5_000));
        cut(&mut owed, 300, 100, NOW);
        assert_eq!((owed.much, owed.since), (400, Time::from_ns(NOW.ns() - 100)));
    }
}
