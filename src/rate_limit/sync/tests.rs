//! Three gateways of two workers each, and a Redis that does what the script does: in any schedule
//! of requests, calls, delays and losses, what passes stays within the bound.

use proptest::prelude::*;

use super::ledger::{self, Ledger, Owed, Sent};
use super::wire::Name;
use crate::digest::Digest;
use crate::rate_limit::policy::{Decision, Gcra, RAISE_NS_MIN};
use crate::shared::cells::Cell;
use crate::time::{NS_PER_MS, NS_PER_S, Time};

const GATEWAYS: usize = 3;
const WORKERS: usize = 2;
const STEP_MS: u64 = 5;
const TIMEOUT_MS: u64 = 2_000;
const COUNTER: Digest = Digest([1; 32]);
const START: Time = Time::from_s(1_800_000_000);

/// What is wrong with a twin that must be caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flaw {
    None,
    /// Each gateway admits the whole burst.
    WholeBurst,
    /// What Redis says isn't taken in.
    Deaf,
    /// What a failed call told is forgotten.
    Forgetful,
    /// Redis forgets a level as soon as it is 0, though others' charges still come late.
    ShortMemory,
}

#[derive(Clone, Debug)]
struct Schedule {
    limit: u64,
    burst: u64,
    every_ms: u64,
    delay_ms_max: u64,
    /// Of a hundred calls, and of a hundred answers.
    lost: u64,
    /// How many requests come to each gateway in one step at most; 0: none at all.
    crowd: [u64; GATEWAYS],
    seed: u64,
}

/// A call under way.
struct Flight {
    worker: usize,
    batch: Vec<Sent>,
    asked_at: Time,
    arrives: Time,
    returns: Time,
    level_ns: Option<u64>,
    call_lost: bool,
    answer_lost: bool,
}

struct Model {
    schedule: Schedule,
    flaw: Flaw,
    whole: Gcra,
    ledgers: Vec<Ledger>,
    /// When each worker last heard an answer to what it told.
    heard_at: Vec<Time>,
    cells: [Option<Cell>; GATEWAYS],
    tat: Option<(u64, u64)>,
    flights: Vec<Flight>,
    random: u64,
}

impl Model {
    fn new(schedule: Schedule, flaw: Flaw) -> Self {
        let mut ledgers: Vec<Ledger> =
            (0..GATEWAYS * WORKERS).map(|_| Ledger::new(schedule.every_ms)).collect();
        ledgers.iter_mut().for_each(|ledger| ledger.came(GATEWAYS as u32));
        Model {
            flaw,
            whole: Gcra::new(schedule.limit, 1, schedule.burst).unwrap(),
            ledgers,
            heard_at: vec![START; GATEWAYS * WORKERS],
            cells: [None; GATEWAYS],
            tat: None,
            flights: Vec::new(),
            random: schedule.seed | 1,
            schedule,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }

    fn gcra(&self) -> Gcra {
        let gateways = if self.flaw == Flaw::WholeBurst { 1 } else { GATEWAYS as u32 };
        let overshoot_ns = (2 * self.schedule.every_ms + TIMEOUT_MS) * NS_PER_MS * GATEWAYS as u64;
        self.whole.shared(gateways, overshoot_ns)
    }

    /// One request at a gateway's worker.
    fn ask(&mut self, gateway: usize, now: Time) -> bool {
        let Decision::Allowed { cell, .. } = self.gcra().decide(self.cells[gateway], now) else {
            return false;
        };
        self.cells[gateway] = Some(cell);
        let worker = gateway * WORKERS + self.below(WORKERS as u64) as usize;
        let charge = Owed {
            limit: 0,
            name: Name([0; 18]),
            previous: None,
            much: self.whole.emission_ns(),
            since: now,
            window_end: None,
        };
        assert!(self.ledgers[worker].note(COUNTER, charge));
        true
    }

    fn tick(&mut self, worker: usize, now: Time) {
        let Some(batches) = self.ledgers[worker].take(now) else { return };
        let late_ns = ledger::late_ns(self.schedule.every_ms);
        for batch in batches {
            let send = |(counter, mut owed): (Digest, Owed)| {
                if now.ns() - owed.since.ns() > late_ns {
                    let ahead_ns = self.cells[worker / WORKERS]
                        .map_or(0, |cell| cell.until.ns().saturating_sub(now.ns()));
                    ledger::cut(&mut owed, ahead_ns, late_ns, now);
                }
                Sent { counter, owed, ahead_ns_max: self.gcra().plausible_ns() }
            };
            let batch: Vec<Sent> = batch.into_iter().map(send).collect();
            let arrives = now.plus_ms(self.below(self.schedule.delay_ms_max / 2 + 1));
            let returns = arrives.plus_ms(self.below(self.schedule.delay_ms_max / 2 + 1));
            let (call_lost, answer_lost) =
                (self.below(100) < self.schedule.lost, self.below(100) < self.schedule.lost);
            self.flights.push(Flight {
                worker,
                batch,
                asked_at: now,
                arrives,
                returns,
                level_ns: None,
                call_lost,
                answer_lost,
            });
        }
    }

    /// What the script does with a rate, in whole microseconds.
    fn charge_redis(&mut self, batch: &[Sent], asked_at: Time, now: Time) -> u64 {
        let now_us = now.ns() / 1_000;
        let late_us = self.schedule.every_ms * 2_000;
        let mut level_us = 0;
        for sent in batch {
            let kept =
                self.tat.filter(|(_, until_us)| now_us < *until_us).map_or(0, |(tat, _)| tat);
            let age_us = ((asked_at.ns() - sent.owed.since.ns()) / 1_000).min(late_us);
            let tat = kept.max(now_us - age_us) + sent.owed.much.div_ceil(1_000);
            let tat = tat.min(now_us + sent.ahead_ns_max / 1_000);
            level_us = tat.saturating_sub(now_us);
            let kept_us = if self.flaw == Flaw::ShortMemory {
                level_us
            } else {
                level_us + late_us + 1_000_000
            };
            self.tat = Some((tat, now_us + kept_us));
        }
        level_us * 1_000
    }

    fn deliver(&mut self, now: Time) {
        for index in 0..self.flights.len() {
            let flight = &self.flights[index];
            if flight.level_ns.is_none() && flight.arrives <= now && !flight.call_lost {
                let (batch, asked_at) = (flight.batch.clone(), flight.asked_at);
                let level_ns = self.charge_redis(&batch, asked_at, now);
                self.flights[index].level_ns = Some(level_ns);
            }
        }
        let (back, under_way) = std::mem::take(&mut self.flights)
            .into_iter()
            .partition(|flight: &Flight| flight.returns <= now);
        self.flights = under_way;
        for flight in back {
            let ledger = &mut self.ledgers[flight.worker];
            match flight.level_ns.filter(|_| !flight.answer_lost) {
                None if self.flaw == Flaw::Forgetful => ledger.came(GATEWAYS as u32),
                None => assert!(ledger.failed(&flight.batch, now)),
                Some(level_ns) => {
                    ledger.came(GATEWAYS as u32);
                    self.heard_at[flight.worker] = now;
                    let tat =
                        Time::from_ns(flight.asked_at.ns() + level_ns + ledger.owes(&COUNTER));
                    let cell = self.cells[flight.worker / WORKERS];
                    if !flight.batch.is_empty()
                        && self.flaw != Flaw::Deaf
                        && let Some(raised) = self.gcra().raise(cell, tat, now)
                    {
                        assert!(cell.is_none_or(|cell| raised.until > cell.until));
                        self.cells[flight.worker / WORKERS] = Some(raised);
                    }
                }
            }
        }
    }

    /// Plays `seconds`, and says what passed beyond the bound.
    fn play(mut self, seconds: u64) -> Result<u64, String> {
        let (mut admitted, mut lag_ms) = (0, 0);
        let emission_ns = u128::from(self.whole.emission_ns());
        for step in 0..seconds * 1_000 / STEP_MS {
            let now = START.plus_ms(step * STEP_MS);
            for gateway in 0..GATEWAYS {
                let most = self.schedule.crowd[gateway];
                // Now a crowd, now nobody.
                let busy = !(step / 200 + self.schedule.seed % 3 + gateway as u64)
                    .is_multiple_of(3)
                    || self.schedule.seed.is_multiple_of(2);
                for _ in 0..self.below(most + 1) * u64::from(busy) {
                    admitted += u64::from(self.ask(gateway, now));
                }
            }
            for worker in 0..GATEWAYS * WORKERS {
                // Ticks are some steps apart, each worker's at its own time.
                if (step + worker as u64 * 3).is_multiple_of(self.schedule.every_ms / 2 / STEP_MS) {
                    self.tick(worker, now);
                }
            }
            self.deliver(now);
            for worker in 0..GATEWAYS * WORKERS {
                lag_ms = lag_ms.max(now.ms_since(self.heard_at[worker]).min(now.ms_since(START)));
                if self.ledgers[worker].owes(&COUNTER) == 0
                    && !self.flights.iter().any(|flight| flight.worker == worker)
                {
                    // It has nothing to tell, so it is late with nothing.
                    self.heard_at[worker] = now;
                }
            }
            // Two workers, each as late as that, and the least that is taken in.
            let lag_ns = u128::from(2 * lag_ms * NS_PER_MS + RAISE_NS_MIN);
            let passed_ns = u128::from(now.ns() - START.ns());
            let most = u128::from(self.schedule.burst.max(GATEWAYS as u64))
                + (passed_ns + GATEWAYS as u128 * lag_ns) / emission_ns;
            if u128::from(admitted) > most {
                return Err(format!(
                    "{admitted} admitted after {} ms, at most {most}; lag {lag_ms} ms",
                    now.ms_since(START)
                ));
            }
        }
        if self.schedule.lost == 0 {
            let most_ms = self.schedule.every_ms / 2 + self.schedule.delay_ms_max + 2 * STEP_MS;
            assert!(lag_ms <= most_ms, "{lag_ms} ms late, at most {most_ms}");
        }
        Ok(admitted)
    }
}

fn schedules(lost: u64) -> impl Strategy<Value = Schedule> {
    (1u64..400, 1u64..400, 2u64..40, 0u64..40, prop::array::uniform3(0u64..12), any::<u64>())
        .prop_map(move |(limit, burst, every, delay_ms_max, crowd, seed)| Schedule {
            limit,
            burst,
            every_ms: every * 20 + 40,
            delay_ms_max,
            lost,
            crowd,
            seed,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn all_gateways_together_stay_within_the_bound(schedule in schedules(0)) {
        prop_assert!(Model::new(schedule, Flaw::None).play(8).map_err(TestCaseError::fail)? < u64::MAX);
    }

    #[test]
    fn calls_and_answers_that_are_lost_only_make_them_late(schedule in schedules(30)) {
        prop_assert!(Model::new(schedule, Flaw::None).play(8).map_err(TestCaseError::fail)? < u64::MAX);
    }
}

fn saturated(lost: u64) -> Schedule {
    Schedule {
        limit: 100,
        burst: 100,
        every_ms: 200,
        delay_ms_max: 10,
        lost,
        crowd: [3; GATEWAYS],
        seed: 2,
    }
}

#[test]
fn a_crowd_at_all_of_them_gets_nearly_all_that_there_is() {
    let admitted = Model::new(saturated(0), Flaw::None).play(10).unwrap();
    assert!((1_000..=1_180).contains(&admitted), "{admitted} of 1100");
}

#[test]
fn a_crowd_at_one_alone_gets_the_whole_rate() {
    let admitted =
        Model::new(Schedule { crowd: [3, 0, 0], ..saturated(0) }, Flaw::None).play(10).unwrap();
    assert!((1_020..=1_050).contains(&admitted), "{admitted} of 1000, and a third of the burst");
}

#[test]
fn twins_are_caught() {
    for (flaw, lost) in [(Flaw::WholeBurst, 0), (Flaw::Deaf, 0), (Flaw::Forgetful, 60)] {
        let caught = (0..20).any(|seed| {
            Model::new(Schedule { seed: seed * 2, ..saturated(lost) }, flaw).play(10).is_err()
        });
        assert!(caught, "{flaw:?}");
        assert!(Model::new(saturated(lost), Flaw::None).play(10).is_ok());
    }
    // Many workers that each bring a little, late.
    let slow =
        Schedule { limit: 10, burst: 1, every_ms: 1_000, crowd: [1; GATEWAYS], ..saturated(0) };
    assert!((0..20).any(|seed| {
        Model::new(Schedule { seed: seed * 2, ..slow.clone() }, Flaw::ShortMemory).play(60).is_err()
    }));
    assert!((0..20).all(|seed| {
        Model::new(Schedule { seed: seed * 2, ..slow.clone() }, Flaw::None).play(60).is_ok()
    }));
}

#[test]
fn an_outage_leaves_nobody_locked_out_for_longer_than_the_burst_and_the_sane_bound() {
    let mut model = Model::new(Schedule { lost: 100, ..saturated(0) }, Flaw::None);
    let mut now = START;
    for step in 0..4_000 {
        now = START.plus_ms(step * STEP_MS);
        (0..GATEWAYS).for_each(|gateway| {
            model.ask(gateway, now);
        });
        (0..GATEWAYS * WORKERS).for_each(|worker| model.tick(worker, now));
        model.deliver(now);
    }
    model.schedule.lost = 0;
    for step in 0..400 {
        let now = now.plus_ms(step * STEP_MS);
        (0..GATEWAYS * WORKERS).for_each(|worker| model.tick(worker, now));
        model.deliver(now);
    }
    let now = now.plus_ms(2_000);
    // Twenty seconds of three times the rate have been admitted. What is remembered of it is less
    // than what lies ahead at one moment, each worker's for itself.
    let ahead_ns = model
        .cells
        .iter()
        .flatten()
        .map(|cell| cell.until.ns().saturating_sub(now.ns()))
        .max()
        .unwrap();
    assert!(ahead_ns < 6 * NS_PER_S, "{ahead_ns}");
}
