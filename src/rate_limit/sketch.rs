//! The sketch: where keys are counted that found no counter cell.
//!
//! Two rows of slots; a key has one slot in each, and shares its cell there with all keys of the
//! same limit that meet it. A row counts every charge of a key, and those of others too: so it may
//! count too much, and the row with less on it is nearer the truth. A request passes if either row
//! lets it.
//!
//! All rows are charged before any of them is asked. Of the requests of one key that pass, the one
//! charged last in all rows sees all the others in each; so no more pass than the limit admits,
//! whatever the schedule. (To ask first and charge then would let two pass, each on the row that
//! the other had not charged yet.)

use super::policy::{Decision, Policy};
use crate::digest::Digest;
use crate::shared::cells::{Bucket, Cell};
use crate::shared::twin::{Twin, broken};
use crate::shared::{CAS_TRIES, Cells, Moment, TableId, Unavailable};

/// How many cells a key has; the smallest of them is its count.
pub const ROWS: usize = 2;

/// The rows as one table, the first half of its slots the first row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sketch {
    cells: Cells,
    slots_per_row: u32,
}

/// Which cells are meant: a key's slots, and in them the cell of its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The digest of the counter's key: which slots.
    pub digest: Digest,
    /// The digest of the limit: which cell in them.
    pub limit: Digest,
}

/// What came of charging the rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charged {
    /// The request passes; what the rows became, to take it back.
    Allowed {
        /// The cells as written.
        wrote: [Cell; ROWS],
        /// How many more would pass.
        remaining: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
    },
    /// It doesn't, and isn't counted.
    Refused {
        /// Until it would, in nanoseconds.
        retry_after_ns: u64,
        /// Until the limit is as unused, in nanoseconds.
        reset_ns: u64,
    },
}

impl Sketch {
    /// A sketch of so many slots in each row.
    pub const fn new(slots_per_row: u32) -> Self {
        let slots_per_row = if slots_per_row == 0 { 1 } else { slots_per_row };
        let cells = Cells::new(
            TableId::Sketch,
            slots_per_row.saturating_mul(crate::shared::cells::CELLS_PER_SLOT * ROWS as u32),
        );
        Sketch { slots_per_row: cells.slots() / ROWS as u32, cells }
    }

    /// The table under it.
    pub const fn cells(&self) -> &Cells {
        &self.cells
    }

    /// What has been charged at most for a key: its cell in the row with less on it.
    ///
    /// # Errors
    /// As [`Cells::read`].
    pub fn estimate(
        &self,
        at: &Moment<'_>,
        place: &Place,
        policy: Policy,
    ) -> Result<Option<Cell>, Unavailable> {
        let [a, b] = self.read(at, place)?.map(|bucket| bucket.find(&place.limit));
        Ok(if policy.load(b, at.now) < policy.load(a, at.now) { b } else { a })
    }

    /// Charges all rows, and says whether the request passes. A refused one is taken back.
    ///
    /// # Errors `Full` if a slot has cells of too many limits or the host has no room, `Exhausted`
    /// after eight lost races. The request isn't counted then, or counted too much.
    pub fn charge(
        &self,
        at: &Moment<'_>,
        place: &Place,
        policy: Policy,
    ) -> Result<Charged, Unavailable> {
        let rows = self.read(at, place)?;
        let found = rows.each_ref().map(|bucket| policy.decide(bucket.find(&place.limit), at.now));
        let early = best(found);
        if let Charged::Refused { .. } = early {
            // Not charged, so that a flood of refused requests doesn't charge the keys that share.
            self.rewrite(at, place, rows, found);
            return Ok(early);
        }
        let [first_row, second_row] = rows;
        let first = self.add(at, place, policy, first_row)?;
        let second = match self.add(at, place, policy, second_row) {
            Ok(cell) => cell,
            Err(why) => {
                self.refund_row(at, place, policy, 0, first);
                return Err(why);
            }
        };
        let wrote = [first, second];
        // The second row as written is a look at it after all rows were charged; the first needs
        // one.
        let mut after = [self.read_row(at, place, 0)?.find(&place.limit), Some(second)];
        if broken(Twin::SketchEarly) {
            after = [Some(first), Some(second)];
        }
        let passed = match early {
            Charged::Allowed { remaining, reset_ns, .. }
                if after.into_iter().flatten().any(|cell| policy.within(cell, at.now)) =>
            {
                Charged::Allowed { wrote, remaining, reset_ns }
            }
            Charged::Allowed { .. } | Charged::Refused { .. } => {
                self.refund(at, place, policy, wrote);
                // Others are being charged at this moment; when they are done, this may pass.
                Charged::Refused { retry_after_ns: 1, reset_ns: 1 }
            }
        };
        Ok(passed)
    }

    /// Takes a charge back, as far as that can be done without taking from others.
    pub fn refund(&self, at: &Moment<'_>, place: &Place, policy: Policy, wrote: [Cell; ROWS]) {
        for (row, wrote) in wrote.into_iter().enumerate() {
            self.refund_row(at, place, policy, row, wrote);
        }
    }

    fn refund_row(&self, at: &Moment<'_>, place: &Place, policy: Policy, row: usize, wrote: Cell) {
        for _ in 0..CAS_TRIES {
            let Ok(mut bucket) = self.read_row(at, place, row) else { return };
            let Some(back) =
                bucket.find(&place.limit).and_then(|cell| policy.refund(cell, wrote, at.now))
            else {
                return;
            };
            if !bucket.put(&place.limit, back, at.now)
                || self.cells.write(at, &mut bucket) != Ok(false)
            {
                return;
            }
        }
    }

    fn add(
        &self,
        at: &Moment<'_>,
        place: &Place,
        policy: Policy,
        first_look: Bucket,
    ) -> Result<Cell, Unavailable> {
        let index = first_look.index();
        let mut look = Some(first_look);
        for _ in 0..CAS_TRIES {
            let mut bucket = match look.take() {
                Some(bucket) => bucket,
                None => self.cells.read(at, index)?,
            };
            let cell = policy.add(bucket.find(&place.limit), at.now);
            if !bucket.put(&place.limit, cell, at.now) {
                return Err(Unavailable::Full);
            }
            if self.cells.write(at, &mut bucket)?
                && self.cells.stands_after_creation(at, &bucket, &place.limit, |found| {
                    found.until >= cell.until
                })?
            {
                return Ok(cell);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Once, for a clock that went back; a lost race leaves that to the next.
    fn rewrite(
        &self,
        at: &Moment<'_>,
        place: &Place,
        rows: [Bucket; ROWS],
        found: [Decision; ROWS],
    ) {
        for (mut bucket, decision) in rows.into_iter().zip(found) {
            if let Decision::Refused { rewritten: Some(cell), .. } = decision
                && bucket.put(&place.limit, cell, at.now)
            {
                let _ = self.cells.write(at, &mut bucket);
            }
        }
    }

    fn read(&self, at: &Moment<'_>, place: &Place) -> Result<[Bucket; ROWS], Unavailable> {
        Ok([self.read_row(at, place, 0)?, self.read_row(at, place, 1)?])
    }

    fn read_row(&self, at: &Moment<'_>, place: &Place, row: usize) -> Result<Bucket, Unavailable> {
        // Not the first word of the digest: keys that meet in the counters' table are to part here.
        let spread =
            crate::shared::table::word(&place.digest, 2 + row) % u64::from(self.slots_per_row);
        self.cells.read(at, spread as u32 + row as u32 * self.slots_per_row)
    }
}

/// The row that lets more pass.
fn best(rows: [Decision; ROWS]) -> Charged {
    let none = [Cell { until: Default::default(), word: 0 }; ROWS];
    rows.into_iter()
        .map(|row| match row {
            Decision::Allowed { remaining, reset_ns, .. } => {
                Charged::Allowed { wrote: none, remaining, reset_ns }
            }
            Decision::Refused { retry_after_ns, reset_ns, .. } => {
                Charged::Refused { retry_after_ns, reset_ns }
            }
        })
        .min_by_key(|row| match row {
            Charged::Allowed { remaining, .. } => (0, u64::MAX - remaining),
            Charged::Refused { retry_after_ns, .. } => (1, *retry_after_ns),
        })
        .unwrap_or(Charged::Refused { retry_after_ns: 1, reset_ns: 1 })
}
