//! How much memory a configuration takes on both hosts, and which numbers a gateway's traffic asks
//! for. The sizes are those of the filter's own tables.

use herdgate::config::Config;
use herdgate::testing::facts::sizes::{TableSize, table_sizes};
use serde_json::{Value, json};

/// What Kong's host keeps beside a value, its 6-byte name among it (kong/kong.env).
const KONG_BESIDE: u64 = 96 + 6;
/// Up to here Kong's host rounds up to a power of two, beyond it to pages.
const KONG_SLAB_MAX: u64 = 2_048;
const KONG_SLAB_MIN: u64 = 8;
const KONG_PAGE: u64 = 4_096;
/// What Envoy keeps beside a value: measured, about 170 bytes an entry. A slot of eight counters
/// is then the 72 bytes a counter that docs/configuration.md names.
const ENVOY_BESIDE: u64 = 168;
/// A zone is chosen in such steps, and a tenth larger than its tables: its allocator has pages of
/// its own.
const ZONE_STEP: u64 = 8 * MIB;
const MIB: u64 = 1_048_576;

/// What a gateway has to remember at once.
#[derive(Default)]
pub struct Traffic {
    /// Different tokens in use.
    pub tokens: u64,
    /// Different keys that limits count, all limits together.
    pub counters: u64,
    /// Clients whose token answers are kept.
    pub clients: u64,
    /// Requests with a DPoP proof, or tokens that count once, in a second.
    pub once_per_s: u64,
    /// Seconds for which each of these is remembered.
    pub once_kept_s: u64,
}

/// Bytes that one slot takes of Kong's zone.
fn in_kong(value_bytes: u64) -> u64 {
    let all = value_bytes.saturating_add(KONG_BESIDE);
    match all {
        0..=KONG_SLAB_MAX => all.next_power_of_two().max(KONG_SLAB_MIN),
        _ => all.div_ceil(KONG_PAGE).saturating_mul(KONG_PAGE),
    }
}

/// Bytes that one slot takes of Envoy's memory.
fn in_envoy(value_bytes: u64) -> u64 {
    value_bytes.saturating_add(ENVOY_BESIDE)
}

/// All tables of a configuration with their sizes, and their sums.
pub fn sizes(config: &Config) -> Value {
    let tables = table_sizes(config);
    let sum = |bytes: fn(u64) -> u64| -> u64 {
        tables.iter().map(|table| table.slots.saturating_mul(bytes(table.value_bytes))).sum()
    };
    let (kong, envoy) = (sum(in_kong), sum(in_envoy));
    json!({
        "tables": tables.iter().map(table).collect::<Vec<_>>(),
        "kong_bytes": kong,
        "kong_zone_mib": zone_mib(kong),
        "envoy_bytes": envoy,
        "worker_tokens": config.memory.tokens_max,
        "worker_bytes": config.memory.bytes_max,
    })
}

fn table(size: &TableSize) -> Value {
    json!({
        "holds": size.holds,
        "field": size.field,
        "entries": size.entries,
        "slots": size.slots,
        "value_bytes": size.value_bytes,
        "kong_bytes": size.slots.saturating_mul(in_kong(size.value_bytes)),
        "envoy_bytes": size.slots.saturating_mul(in_envoy(size.value_bytes)),
    })
}

fn zone_mib(bytes: u64) -> u64 {
    let with_room = bytes.saturating_add(bytes / 10);
    with_room.div_ceil(ZONE_STEP).saturating_mul(ZONE_STEP) / MIB
}

/// Numbers for the configuration, each with its reason, within what its fields admit.
pub fn advice(traffic: &Traffic) -> Value {
    let power = |wanted: u64, least: u64, most: u64| {
        wanted.clamp(least, most).next_power_of_two().min(most)
    };
    let once = traffic.once_per_s.saturating_mul(traffic.once_kept_s);
    let mut out = vec![
        json!({
            "field": "shared.tokens_max",
            "value": power(traffic.tokens.saturating_mul(2), 16, 830_584),
            "because": "a token has two places, and of two that want one the nearer its end gives way: at half full that is rare",
        }),
        json!({
            "field": "memory.tokens_max",
            "value": traffic.tokens.clamp(1, 1_000_000),
            "because": "each worker meets each token sooner or later",
        }),
        json!({
            "field": "shared.counters_max",
            "value": power(traffic.counters.saturating_mul(4), 16, 6_644_672),
            "because": "eight counters share a slot, and at a quarter full one key in 3,000 finds no room there and is counted with others",
        }),
        json!({
            "field": "shared.answers_max",
            "value": power(traffic.clients.saturating_mul(2), 16, 830_584),
            "because": "a token answer of up to 1.8 KiB has one slot, with room for JWK Sets",
        }),
    ];
    if once > 0 {
        out.push(json!({
            "field": "replay.ids_max",
            "value": power(once.saturating_mul(4), 16, 830_584),
            "because": "four times what is remembered at once: at a quarter full one id in 3,000 finds no room and is refused",
        }));
    }
    Value::Array(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use herdgate::config::HostKind;

    fn config(text: &str) -> Config {
        Config::load(text.as_bytes(), &|_| None, HostKind::Unknown).unwrap()
    }

    fn mib(config: &Config) -> Vec<(String, u64)> {
        let sizes = sizes(config);
        let tables = sizes["tables"].as_array().unwrap();
        let row = |table: &Value| {
            (
                table["holds"].as_str().unwrap().to_owned(),
                table["kong_bytes"].as_u64().unwrap() / MIB,
            )
        };
        tables.iter().map(row).collect()
    }

    #[test]
    fn the_default_tables_are_as_large_as_kong_env_says() {
        let config = config(r#"{ "issuers": [], "rules": [] }"#);
        let said = mib(&config);
        let of = |name: &str| said.iter().find(|(holds, _)| holds.contains(name)).unwrap().1;
        // The lines of kong/kong.env.
        assert_eq!(of("verified tokens"), 16);
        assert_eq!(of("counters"), 16);
        assert_eq!(of("sketch"), 2);
        assert_eq!(of("token answers"), 8);
        assert_eq!(of("leases"), 1);
        assert_eq!(of("states"), 2);
        assert_eq!(of("lookups"), 4);
        assert_eq!(of("aren't"), 2);
        assert_eq!(of("clients"), 1);
        assert_eq!(sizes(&config)["kong_zone_mib"], 64);
    }

    #[test]
    fn a_counter_takes_what_the_documents_say() {
        let config = config(r#"{ "shared": { "counters_max": 80000 } }"#);
        let sizes = sizes(&config);
        let tables = sizes["tables"].as_array().unwrap();
        let row = tables.iter().find(|table| table["holds"] == "counters of limits").unwrap();
        let entries = row["entries"].as_u64().unwrap();
        assert_eq!(row["kong_bytes"].as_u64().unwrap() / entries, 64);
        assert_eq!(row["envoy_bytes"].as_u64().unwrap() / entries, 72);
    }

    #[test]
    fn advice_is_what_its_fields_admit() {
        for traffic in [
            Traffic::default(),
            Traffic { tokens: 1, counters: 1, clients: 1, once_per_s: 1, once_kept_s: 1 },
            Traffic {
                tokens: u64::MAX,
                counters: u64::MAX,
                clients: u64::MAX,
                once_per_s: u64::MAX,
                once_kept_s: 2,
            },
        ] {
            let mut document = json!({});
            for one in advice(&traffic).as_array().unwrap() {
                let (part, name) = one["field"].as_str().unwrap().split_once('.').unwrap();
                document[part][name] = one["value"].clone();
            }
            document.as_object_mut().unwrap().remove("replay");
            config(&document.to_string());
        }
    }
}
