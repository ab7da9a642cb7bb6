//! Counters: a cell for each key that is in use, the sketch for those that find none.
//!
//! A key is counted in its cell if it has one. A key without one gets one while the slot has an
//! idle cell; while it has none, the key is counted in the sketch. Two steps keep a key from having
//! less on it than it was charged when it moves from the sketch to a cell:
//!
//! - Whoever charges the sketch writes the key's own slot afterwards (its *spill*: until when keys
//!   of this slot may have something in the sketch), and passes only if the key still has no cell
//!   there.
//! - Whoever gives a key a cell while the spill lasts reads the sketch after the slot, and starts
//!   the cell with what the sketch has.
//!
//! The write of the first makes the second's compare-and-set fail, unless the second read the slot
//! after it; and then it reads the sketch after the charge. So no charge is on neither side.
//!
//! A cell takes 64 bytes of Kong's zone and 72 of Envoy's memory, the sketch an eighth of all
//! cells.

use super::key::limit_digest;
use super::policy::{Decision, Known, Policy};
use super::sketch::{self, Place, ROWS, Sketch};
use crate::digest::Digest;
use crate::rate_limit::RateLimit;
use crate::shared::cells::{Bucket, CLOCK_SLACK_NS, Cell};
use crate::shared::twin::{Twin, broken};
use crate::shared::{CAS_TRIES, Cells, Moment, TableId, Unavailable};

/// The counters of all limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    cells: Cells,
    sketch: Sketch,
}

/// One limit and the counter that a request is charged to.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The limit that is charged.
    pub limit: &'a RateLimit,
    /// The arithmetic of the limit, with its numbers for this request.
    pub policy: Policy,
    /// Which counter; see [`super::counter_digest`].
    pub digest: Digest,
}

/// What came of charging one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charged {
    /// The request is counted.
    Allowed {
        /// How to take it back.
        receipt: Receipt,
        /// How many more would pass.
        remaining: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
    },
    /// It isn't.
    Refused {
        /// Until it would be, in nanoseconds.
        retry_after_ns: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
    },
}

/// Where a request was charged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// In the key's cell, which became this.
    Cell(Cell),
    /// In the sketch, whose cells became these.
    Sketch([Cell; ROWS]),
}

/// What a first look said, without a charge.
pub struct Look {
    bucket: Bucket,
    /// What the key's cell says; nothing if the key is to be counted in the sketch or has something
    /// there.
    pub decision: Option<Decision>,
}

impl Counters {
    /// Room for `counters_max` counters in use, rounded up to whole slots, and the sketch beside.
    pub const fn new(counters_max: u32) -> Self {
        let cells = Cells::new(TableId::Counters, counters_max);
        let per_row = cells.slots() / (8 * ROWS as u32);
        Counters { cells, sketch: Sketch::new(if per_row < 8 { 8 } else { per_row }) }
    }

    /// The counters' table.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The sketch's.
    pub const fn sketch(&self) -> &Cells {
        self.sketch.cells()
    }

    /// Reads without charging. One host call.
    ///
    /// # Errors
    /// As [`Cells::read`].
    pub fn look(&self, at: &Moment<'_>, charge: &Charge<'_>) -> Result<Look, Unavailable> {
        let mut bucket = self.cells.read(at, self.cells.index(&charge.digest))?;
        let found = bucket.find(&charge.digest);
        let decision = match found {
            None if !bucket.has_room(at.now) || spill_lasts(&bucket, at) => None,
            cell => Some(charge.policy.decide(cell, at.now)),
        };
        if let (Some(_), Some(Decision::Refused { rewritten: Some(cell), .. })) = (found, decision)
            && bucket.put(&charge.digest, cell, at.now)
        {
            self.cells.write(at, &mut bucket)?;
        }
        Ok(Look { bucket, decision })
    }

    /// Checks and charges in one compare-and-set. Two host calls without a race, one if `look` was
    /// made before or the request is refused.
    ///
    /// # Errors
    /// `Exhausted` after eight lost races, `Full` if the host has no room: the request is not
    /// counted, or too much.
    pub fn charge(
        &self,
        at: &Moment<'_>,
        charge: &Charge<'_>,
        look: Option<Look>,
    ) -> Result<Charged, Unavailable> {
        let index = self.cells.index(&charge.digest);
        let mut look = look.map(|look| look.bucket);
        for _ in 0..CAS_TRIES {
            let mut bucket = match look.take() {
                Some(bucket) => bucket,
                None => self.cells.read(at, index)?,
            };
            let found = bucket.find(&charge.digest);
            let before = match found {
                Some(cell) => Some(cell),
                None if !bucket.has_room(at.now) && !broken(Twin::BusyGivesWay) => {
                    match self.charge_sketch(at, charge, bucket)? {
                        Some(charged) => return Ok(charged),
                        // The key has got a cell in the meantime.
                        None => continue,
                    }
                }
                None if spill_lasts(&bucket, at) && !broken(Twin::SketchForgotten) => {
                    self.sketch.estimate(at, &self.place(at, charge), charge.policy)?
                }
                None => None,
            };
            let (cell, result) = match charge.policy.decide(before, at.now) {
                Decision::Allowed { cell, remaining, reset_ns } => {
                    (cell, Charged::Allowed { receipt: Receipt::Cell(cell), remaining, reset_ns })
                }
                Decision::Refused { retry_after_ns, reset_ns, rewritten } => {
                    let result = Charged::Refused { retry_after_ns, reset_ns };
                    match rewritten {
                        // What the sketch has stays there.
                        Some(cell) if found.is_some() => (cell, result),
                        _ => return Ok(result),
                    }
                }
            };
            if !bucket.put(&charge.digest, cell, at.now) {
                return Err(Unavailable::Full);
            }
            let stands = |found: Cell| found.until >= cell.until;
            if self.cells.write(at, &mut bucket)?
                && self.cells.stands_after_creation(at, &bucket, &charge.digest, stands)?
            {
                return Ok(result);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Takes a charge back, as far as that can be done without taking from others.
    pub fn refund(&self, at: &Moment<'_>, charge: &Charge<'_>, receipt: Receipt) {
        let wrote = match receipt {
            Receipt::Cell(wrote) => wrote,
            Receipt::Sketch(wrote) => {
                return self.sketch.refund(at, &self.place(at, charge), charge.policy, wrote);
            }
        };
        for _ in 0..CAS_TRIES {
            let Ok(mut bucket) = self.cells.read(at, self.cells.index(&charge.digest)) else {
                return;
            };
            let Some(back) = bucket
                .find(&charge.digest)
                .and_then(|cell| charge.policy.refund(cell, wrote, at.now))
            else {
                return;
            };
            if !bucket.put(&charge.digest, back, at.now)
                || self.cells.write(at, &mut bucket) != Ok(false)
            {
                return;
            }
        }
    }

    /// Takes in what all gateways have charged, and tells whether that changed the key's cell. A
    /// key that is counted in the sketch stays as it is: its cells there are others' too. One host
    /// call, two if there is something to write.
    ///
    /// # Errors
    /// `Exhausted` after eight lost races, `Full` if the host has no room.
    pub fn raise(
        &self,
        at: &Moment<'_>,
        charge: &Charge<'_>,
        known: Known,
    ) -> Result<bool, Unavailable> {
        for _ in 0..CAS_TRIES {
            let mut bucket = self.cells.read(at, self.cells.index(&charge.digest))?;
            let before = match bucket.find(&charge.digest) {
                Some(cell) => Some(cell),
                None if !bucket.has_room(at.now) => return Ok(false),
                None if spill_lasts(&bucket, at) => {
                    self.sketch.estimate(at, &self.place(at, charge), charge.policy)?
                }
                None => None,
            };
            let Some(cell) = charge.policy.raise(before, known, at.now) else { return Ok(false) };
            if !bucket.put(&charge.digest, cell, at.now) {
                return Ok(false);
            }
            let stands = |found: Cell| found.until >= cell.until;
            if self.cells.write(at, &mut bucket)?
                && self.cells.stands_after_creation(at, &bucket, &charge.digest, stands)?
            {
                return Ok(true);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Takes in what is counted under `previous`, the counter's name under the secret before. One
    /// host call, and those of [`Counters::raise`] if there is something.
    ///
    /// # Errors
    /// As [`Counters::raise`].
    pub fn carry_over(
        &self,
        at: &Moment<'_>,
        charge: &Charge<'_>,
        previous: Digest,
    ) -> Result<(), Unavailable> {
        let before = Charge { digest: previous, ..*charge };
        let bucket = self.cells.read(at, self.cells.index(&previous))?;
        let cell = match (bucket.find(&previous), at.host.previous()) {
            (None, Some(key)) if spill_lasts(&bucket, at) => {
                let place = Place { digest: previous, limit: limit_digest(key, charge.limit) };
                self.sketch.estimate(at, &place, before.policy)?
            }
            (cell, _) => cell,
        };
        if let Some(known) = cell.map(|cell| charge.policy.known(cell)) {
            self.raise(at, charge, known)?;
        }
        Ok(())
    }

    /// Charges the sketch for a key whose slot, as in `bucket`, has no cell for it. Nothing if the
    /// key has got a cell since.
    fn charge_sketch(
        &self,
        at: &Moment<'_>,
        charge: &Charge<'_>,
        mut bucket: Bucket,
    ) -> Result<Option<Charged>, Unavailable> {
        let place = self.place(at, charge);
        let (wrote, remaining, reset_ns) = match self.sketch.charge(at, &place, charge.policy)? {
            sketch::Charged::Allowed { wrote, remaining, reset_ns } => (wrote, remaining, reset_ns),
            sketch::Charged::Refused { retry_after_ns, reset_ns } => {
                return Ok(Some(Charged::Refused { retry_after_ns, reset_ns }));
            }
        };
        let passed = Charged::Allowed { receipt: Receipt::Sketch(wrote), remaining, reset_ns };
        if broken(Twin::SketchUntouched) {
            return Ok(Some(passed));
        }
        for _ in 0..CAS_TRIES {
            wrote.iter().for_each(|cell| bucket.extend_spill(cell.until));
            match self.cells.write(at, &mut bucket) {
                Ok(true) => return Ok(Some(passed)),
                Ok(false) => {}
                Err(why) => return self.give_up(at, charge, wrote, why),
            }
            bucket = match self.cells.read(at, bucket.index()) {
                Ok(bucket) => bucket,
                Err(why) => return self.give_up(at, charge, wrote, why),
            };
            if bucket.find(&charge.digest).is_some() {
                self.sketch.refund(at, &place, charge.policy, wrote);
                return Ok(None);
            }
        }
        self.give_up(at, charge, wrote, Unavailable::Exhausted)
    }

    fn give_up(
        &self,
        at: &Moment<'_>,
        charge: &Charge<'_>,
        wrote: [Cell; ROWS],
        why: Unavailable,
    ) -> Result<Option<Charged>, Unavailable> {
        self.sketch.refund(at, &self.place(at, charge), charge.policy, wrote);
        Err(why)
    }

    fn place(&self, at: &Moment<'_>, charge: &Charge<'_>) -> Place {
        Place { digest: charge.digest, limit: limit_digest(at.host, charge.limit) }
    }
}

/// Whether keys of a slot may have something in the sketch.
fn spill_lasts(bucket: &Bucket, at: &Moment<'_>) -> bool {
    bucket.spill().ns().saturating_add(CLOCK_SLACK_NS) > at.now.ns()
        && bucket.spill() != Default::default()
}
