//! How full the tables in shared memory are, how old what was fetched is, and how many gateways were
//! heard of: for gauges.

use crate::metrics::Gauge;
use crate::shared::cells::CELLS_PER_SLOT;
use crate::shared::{Cells, Moment, Table, TableId};
use crate::signature::source::KeySource;
use crate::time::Time;

use super::Facts;

/// Between looks at the tables, in milliseconds.
const LOOK_MS: u64 = 5_000;
/// Slots of a table that one look reads: seven tables take less than a millisecond.
const SLOTS_A_LOOK: u32 = 64;
/// What weight a look has beside those before it: about the last four count.
const WEIGHT: u64 = 4;
/// A share is kept in millionths, so that small ones don't round to nothing.
const WHOLE: u64 = 1_000_000;

/// How full tables looked so far.
#[derive(Default)]
pub struct Levels {
    looked_at: Option<Time>,
    /// For each table that is looked at, the share of it that is taken, in millionths.
    taken: Vec<(TableId, u64)>,
}

/// A table in one of its two kinds.
enum Kind<'a> {
    Records(&'a Table, TableId),
    Cells(&'a Cells, TableId),
}

impl Facts<'_> {
    /// What gauges are to say now; nothing while that isn't due. Reads some hundred slots.
    pub fn levels(&self) -> Vec<(Gauge, u64)> {
        let looked_at = self.runtime.worker.borrow().levels.looked_at;
        // A clock that was set back doesn't end the looks.
        let is_due = looked_at.is_none_or(|at| self.now < at || self.now.ms_since(at) >= LOOK_MS);
        if !is_due {
            return Vec::new();
        }
        self.runtime.worker.borrow_mut().levels.looked_at = Some(self.now);
        let mut out = self.ages();
        out.extend(self.gateways_heard_of().map(|count| (Gauge::Gateways, count)));
        for table in self.sized() {
            let (id, seen) = self.look_at(&table);
            let percent = self.smooth(id, seen).div_ceil(WHOLE / 100);
            out.push((Gauge::Filled(id), percent));
        }
        out
    }

    /// How many gateways there are, this one among them, as Redis has said lately; 0 while it says
    /// nothing. Nothing where this one meets no other.
    fn gateways_heard_of(&self) -> Option<u64> {
        let worker = self.runtime.worker.borrow();
        let told = self.runtime.config.gateways.as_ref().map(|_| worker.present.count(self.now));
        let by_limits = worker.ledgers.iter().map(|ledger| ledger.heard_of(self.now)).max();
        told.max(by_limits)
    }

    /// The ages of the JWK Sets that this worker holds.
    fn ages(&self) -> Vec<(Gauge, u64)> {
        let issuers = self.runtime.config.issuers.iter().zip(0u16..);
        let age = |index: u16| {
            let set = self.kept_keys(usize::from(index))?;
            Some((Gauge::JwksAge(index), self.now.ms_since(set.fetched_at) / 1_000))
        };
        issuers
            .filter(|(issuer, _)| matches!(issuer.keys, KeySource::Jwks { .. }))
            .filter_map(|(_, index)| age(index))
            .collect()
    }

    fn sized(&self) -> Vec<Kind<'_>> {
        let compiled = &self.runtime.compiled;
        let tables = &compiled.tables;
        let mut out = vec![
            Kind::Records(&tables.tokens, TableId::Tokens),
            Kind::Records(tables.documents.table(), TableId::Documents),
            Kind::Records(tables.lookups.table(), TableId::Lookups),
            Kind::Records(tables.opaque.table(), TableId::Opaque),
            Kind::Cells(tables.revoked.cells(), TableId::Revoked),
            Kind::Cells(compiled.counters.cells(), TableId::Counters),
        ];
        if self.runtime.config.has_once() {
            out.push(Kind::Cells(compiled.ids.cells(), TableId::Replay));
        }
        out
    }

    /// The share of a table that is taken, in millionths, as some of its slots say. Keys are
    /// spread evenly over slots, so neighbours are as good as any.
    fn look_at(&self, table: &Kind<'_>) -> (TableId, u64) {
        let at = self.shared().moment();
        let slots = match table {
            Kind::Records(table, _) => table.slots(),
            Kind::Cells(cells, _) => cells.slots(),
        };
        let first = self.host.store.random() % u64::from(slots.max(1));
        let looks = SLOTS_A_LOOK.min(slots);
        let places = (0..looks).map(|n| ((first + u64::from(n)) % u64::from(slots)) as u32);
        let (id, taken, room) = match table {
            Kind::Records(table, id) => {
                let taken = places.filter(|place| table.is_filled(&at, *place)).count();
                (*id, taken, u64::from(looks))
            }
            Kind::Cells(cells, id) => {
                let taken = places.map(|place| busy(cells, &at, place)).sum::<usize>();
                (*id, taken, u64::from(looks) * u64::from(CELLS_PER_SLOT))
            }
        };
        (id, taken as u64 * WHOLE / room.max(1))
    }

    /// What a look has seen, beside what those before it saw.
    fn smooth(&self, id: TableId, seen: u64) -> u64 {
        let taken = &mut self.runtime.worker.borrow_mut().levels.taken;
        if let Some((_, before)) = taken.iter_mut().find(|(table, _)| *table == id) {
            *before = (*before * (WEIGHT - 1) + seen) / WEIGHT;
            return *before;
        }
        taken.push((id, seen));
        seen
    }
}

/// Cells of a slot that are taken; none where it can't be read.
fn busy(cells: &Cells, at: &Moment<'_>, place: u32) -> usize {
    cells.read(at, place).map_or(0, |bucket| bucket.busy(at.now, |_| true))
}
