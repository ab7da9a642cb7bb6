//! How much room the tables in shared memory take once all their slots are there: for whoever sizes
//! a gateway, not for requests.

use crate::config::Config;
use crate::rate_limit::Counters;
use crate::shared::cells::{CELLS_PER_SLOT, SLOT_BYTES};
use crate::shared::once::Ids;
use crate::shared::{Cells, Table, TableId};

use super::shelf::Tables;

/// One table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableSize {
    /// What it holds, in a few words.
    pub holds: &'static str,
    /// The field of the configuration that sizes it; nothing where its size is fixed.
    pub field: Option<&'static str>,
    /// How many entries it can have.
    pub entries: u64,
    /// Slots, each a value of its own in the host's memory.
    pub slots: u64,
    /// Bytes of a slot's value.
    pub value_bytes: u64,
}

/// All tables that a configuration may fill.
pub fn table_sizes(config: &Config) -> Vec<TableSize> {
    // Each table is named, so that a new one isn't forgotten here.
    let Tables {
        tokens,
        states,
        documents,
        lookups,
        opaque,
        absent,
        leases,
        revoked,
        admissions,
        clients,
        gateways,
        lists,
        list_places,
    } = Tables::new(config);
    let counters = Counters::new(config.shared.counters_max);
    let ids = Ids::new(TableId::Replay, config.replay.ids_max);
    let mut sizes = vec![
        of_table("verified tokens", Some("shared.tokens_max"), &tokens),
        of_cells("counters of limits", Some("shared.counters_max"), counters.cells()),
        of_cells("the sketch behind them", Some("shared.counters_max"), counters.sketch()),
        of_table("token answers and JWK Sets", Some("shared.answers_max"), documents.table()),
        of_cells("leases of calls under way", None, leases.cells()),
        of_table("states of servers", None, &states),
        of_table("what lookups and introspection said", None, lookups.table()),
        of_table("ids and tokens that there aren't", None, &absent),
        of_table("clients of token endpoints that wait", None, &clients),
        of_cells("revoked names", None, revoked.cells()),
    ];
    if config.has_once() {
        sizes.push(of_cells("ids that count once", Some("replay.ids_max"), ids.cells()));
    }
    if config.issuers.iter().any(|issuer| issuer.opaque.is_some()) {
        sizes.push(of_table("opaque tokens", None, opaque.table()));
    }
    if config.gateways.is_some() {
        sizes.push(TableSize {
            holds: "what was read of other gateways",
            field: None,
            entries: 1,
            slots: 1,
            value_bytes: gateways.record_bytes() as u64,
        });
    }
    let with_lists = config.status_lists.iter().flatten().count() as u64;
    if with_lists > 0 {
        // If as many lists are in use as may be, each as long as it may be, in two versions.
        sizes.push(of_table("status lists", Some("issuers[].status_list"), lists.table()));
        sizes.push(TableSize {
            holds: "which status lists are in use",
            field: None,
            entries: with_lists,
            slots: with_lists,
            value_bytes: list_places.record_bytes() as u64,
        });
    }
    let endpoints = config.token_endpoints.len() as u64;
    if endpoints > 0 {
        sizes.push(TableSize {
            holds: "how token endpoints fare",
            field: None,
            entries: endpoints,
            slots: endpoints,
            value_bytes: admissions.record_bytes() as u64,
        });
    }
    sizes
}

fn of_table(holds: &'static str, field: Option<&'static str>, table: &Table) -> TableSize {
    let slots = u64::from(table.slots());
    let value_bytes = table.shape().record_bytes() as u64;
    TableSize { holds, field, entries: slots, slots, value_bytes }
}

fn of_cells(holds: &'static str, field: Option<&'static str>, cells: &Cells) -> TableSize {
    let slots = u64::from(cells.slots());
    let entries = slots.saturating_mul(u64::from(CELLS_PER_SLOT));
    TableSize { holds, field, entries, slots, value_bytes: SLOT_BYTES as u64 }
}
