//! Workers, one of which runs at a time; who goes on is decided at every host call.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::host::{Dialect, Faults, Memory};
use crate::digest::HostKey;
use crate::shared::twin::{self, Twin};
use crate::shared::{Expect, Moment, Refused, Slot, Store, Version};
use crate::time::{NS_PER_MS, Time};

/// Random numbers that follow from a seed (SplitMix64).
#[derive(Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5151)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(crate) fn per_mille(&mut self, n: u64) -> bool {
        n > 0 && self.below(1000) < n
    }
}

/// Who goes on.
pub(crate) enum Chooser {
    /// Anyone, but now and then one is left out for a while: races need one to be late.
    Random { late: usize, steps: u64 },
    /// As told, then the first; and a note of what could have been chosen.
    Script { told: Vec<usize>, taken: Vec<(usize, usize)> },
}

/// One world: a host, a clock, workers.
pub(crate) struct World {
    pub(crate) key: HostKey,
    twin: Option<Twin>,
    inner: Mutex<Inner>,
    wake: Vec<Condvar>,
}

struct Inner {
    memory: Memory,
    rng: Rng,
    chooser: Chooser,
    turn: usize,
    alive: Vec<bool>,
    /// When each worker read the clock for what it is doing.
    began: Vec<Option<Time>>,
    now: Time,
    /// The most by which the clock goes on at a host call.
    drift_ms: u64,
}

/// A moment may be this old when its worker acts on it: less than the code's slack.
const STALE_MS: u64 = 900;
const NOBODY: usize = usize::MAX;

struct Crash;

/// One worker's view.
pub(crate) struct Worker<'a> {
    world: &'a World,
    id: usize,
}

impl World {
    pub(crate) fn new(dialect: Dialect, seed: u64, workers: usize, twin: Option<Twin>) -> Self {
        let mut memory = Memory::new(dialect);
        memory.blind = twin == Some(Twin::BlindWrites);
        let inner = Inner {
            memory,
            rng: Rng::new(seed),
            chooser: Chooser::Random { late: NOBODY, steps: 0 },
            turn: NOBODY,
            alive: vec![true; workers],
            began: vec![None; workers],
            now: Time::from_s(1_800_000_000),
            drift_ms: 0,
        };
        let wake = (0..workers).map(|_| Condvar::new()).collect();
        World { key: HostKey::new(&[9; 32], b"simulation"), twin, inner: Mutex::new(inner), wake }
    }

    pub(crate) fn script(self, told: Vec<usize>) -> Self {
        self.lock().chooser = Chooser::Script { told, taken: Vec::new() };
        self
    }

    pub(crate) fn faults(self, faults: Faults) -> Self {
        self.lock().memory.faults = faults;
        self
    }

    pub(crate) fn drift_ms(self, ms: u64) -> Self {
        self.lock().drift_ms = ms;
        self
    }

    pub(crate) fn with_memory(self, change: impl FnOnce(Memory) -> Memory) -> Self {
        {
            let mut inner = self.lock();
            let dialect = Memory::new(Dialect::Envoy);
            let memory = std::mem::replace(&mut inner.memory, dialect);
            inner.memory = change(memory);
        }
        self
    }

    pub(crate) fn memory<R>(&self, look: impl FnOnce(&mut Memory) -> R) -> R {
        look(&mut self.lock().memory)
    }

    /// What the schedule chose, of how many.
    pub(crate) fn taken(&self) -> Vec<(usize, usize)> {
        match &self.lock().chooser {
            Chooser::Script { taken, .. } => taken.clone(),
            Chooser::Random { .. } => Vec::new(),
        }
    }

    /// Runs a worker for each piece of work, to the end of all.
    pub(crate) fn run<'s, W: FnOnce(&Worker<'_>) + Send + 's>(&'s self, works: Vec<W>) {
        {
            let mut inner = self.lock();
            inner.alive = vec![true; works.len()];
            inner.began = vec![None; works.len()];
            inner.turn = inner.choose();
        }
        std::thread::scope(|scope| {
            for (id, work) in works.into_iter().enumerate() {
                scope.spawn(move || {
                    drop(self.wait_for_turn(self.lock(), id));
                    let worker = Worker { world: self, id };
                    let ended =
                        catch_unwind(AssertUnwindSafe(|| twin::with(self.twin, || work(&worker))));
                    self.end(id);
                    if let Err(why) = ended
                        && !why.is::<Crash>()
                    {
                        resume_unwind(why);
                    }
                });
            }
        });
    }

    /// One worker alone, when the others are done: no faults, no switches.
    pub(crate) fn alone<R: Send>(&self, work: impl FnOnce(&Worker<'_>) -> R + Send) -> R {
        self.lock().memory.faults = Faults::default();
        let result = Mutex::new(None);
        self.run(vec![|worker: &Worker<'_>| {
            *result.lock().unwrap() = Some(work(worker));
        }]);
        result.into_inner().unwrap().unwrap()
    }

    fn end(&self, id: usize) {
        let mut inner = self.lock();
        inner.alive[id] = false;
        inner.began[id] = None;
        inner.turn = inner.choose();
        if inner.turn != NOBODY {
            self.wake[inner.turn].notify_one();
        }
    }

    /// The point at which another may go on.
    fn switch(&self, id: usize) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let drift_ms = inner.drift_ms;
        if drift_ms > 0 {
            let step = inner.rng.below(drift_ms + 1);
            inner.go_on(step);
        }
        let crash = inner.memory.faults.crash;
        if inner.rng.per_mille(crash) {
            drop(inner);
            resume_unwind(Box::new(Crash));
        }
        inner.turn = inner.choose();
        if inner.turn != id {
            self.wake[inner.turn].notify_one();
            inner = self.wait_for_turn(inner, id);
        }
        inner
    }

    fn wait_for_turn<'g>(
        &self,
        mut inner: MutexGuard<'g, Inner>,
        id: usize,
    ) -> MutexGuard<'g, Inner> {
        while inner.turn != id {
            inner = self.wake[id].wait(inner).unwrap();
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Inner {
    fn choose(&mut self) -> usize {
        let alive: Vec<usize> = (0..self.alive.len()).filter(|id| self.alive[*id]).collect();
        if alive.is_empty() {
            return NOBODY;
        }
        let at = match &mut self.chooser {
            Chooser::Random { late, steps } => {
                *steps = steps.saturating_sub(1);
                if *steps == 0 {
                    *late = if self.rng.below(2) == 0 {
                        NOBODY
                    } else {
                        self.rng.below(self.alive.len() as u64) as usize
                    };
                    *steps = 1 + self.rng.below(50);
                }
                let others = alive.iter().filter(|id| *id != late).count();
                match self.rng.below(others as u64) as usize {
                    _ if others == 0 => 0,
                    n => alive
                        .iter()
                        .position(|id| alive.iter().filter(|o| *o != late).nth(n) == Some(id))
                        .unwrap_or(0),
                }
            }
            Chooser::Script { told, taken } => {
                let at = told.get(taken.len()).copied().unwrap_or(0);
                taken.push((at, alive.len()));
                at
            }
        };
        alive[at]
    }

    /// Puts the clock on, but no further than that the moment of anyone at work gets stale.
    fn go_on(&mut self, ms: u64) {
        let bound = self
            .began
            .iter()
            .flatten()
            .min()
            .map_or(Time::from_ns(u64::MAX), |began| began.plus_ms(STALE_MS));
        self.now = self.now.plus_ms(ms).min(bound).max(self.now);
    }
}

impl Worker<'_> {
    /// Begins something: the moment for it.
    pub(crate) fn begin(&self) -> Moment<'_> {
        let mut inner = self.world.lock();
        let now = inner.now;
        inner.began[self.id] = Some(now);
        Moment { store: self, host: &self.world.key, now }
    }

    /// Ends it.
    pub(crate) fn done(&self) {
        self.world.lock().began[self.id] = None;
    }

    /// The time that the host would tell.
    pub(crate) fn now(&self) -> Time {
        self.world.lock().now
    }

    /// Lets up to so many milliseconds pass, and others work.
    pub(crate) fn sleep(&self, ms: u64) {
        let mut inner = self.world.switch(self.id);
        inner.go_on(ms);
    }

    pub(crate) fn below(&self, n: u64) -> u64 {
        self.world.lock().rng.below(n)
    }

    /// As a worker's host call without an effect: others may go on.
    pub(crate) fn pause(&self) {
        drop(self.world.switch(self.id));
    }
}

impl Store for Worker<'_> {
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)> {
        let mut inner = self.world.switch(self.id);
        let Inner { memory, rng, .. } = &mut *inner;
        memory.get(slot, rng)
    }

    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused> {
        let mut inner = self.world.switch(self.id);
        let Inner { memory, rng, .. } = &mut *inner;
        memory.set(slot, value, expect, rng)
    }

    fn random(&self) -> u64 {
        self.world.lock().rng.next()
    }

    fn never_forgets(&self) -> bool {
        self.world.lock().memory.never_forgets()
    }
}

/// `ms` milliseconds in nanoseconds.
pub(crate) const fn ms(ms: u64) -> u64 {
    ms * NS_PER_MS
}
