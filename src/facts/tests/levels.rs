//! What gauges say of tables and of key sets.

use serde_json::json;

use crate::metrics::Gauge;
use crate::shared::TableId;
use crate::time::Time;
use crate::world::*;

fn told(world: &World, worker: usize, now: Time) -> Vec<(Gauge, u64)> {
    world.with(worker, now, |facts| facts.levels())
}

fn value(told: &[(Gauge, u64)], gauge: Gauge) -> Option<u64> {
    told.iter().find(|(told, _)| *told == gauge).map(|(_, value)| *value)
}

#[test]
fn a_table_fills_and_empties() {
    let (mut document, key) = (document(fetched(), json!({})), Key::new(1));
    document["shared"]["tokens_max"] = json!(256);
    let world = World::new(&document);
    world.serve("keys", 200, jwks(&[key.jwk("k")]));
    let filled = Gauge::Filled(TableId::Tokens);
    let first = told(&world, 0, START);
    assert_eq!((value(&first, filled), value(&first, Gauge::Gateways)), (Some(0), None));
    for n in 0..200 {
        let token = key.token("k", &claims(&n.to_string()));
        assert_eq!(world.ask(0, START, &token), Outcome::Admitted);
    }
    let mut last = 0;
    for look in 1..20 {
        let told = told(&world, 0, START.plus_s(5 * look));
        last = value(&told, filled).unwrap();
    }
    assert!(
        (40..=75).contains(&last),
        "{last} percent of 256 slots hold 200 tokens in two choices"
    );
    let told = told(&world, 1, START.plus_s(3_600));
    assert_eq!(value(&told, filled), Some(0), "all have ended");
}

#[test]
fn nothing_is_looked_at_before_it_is_due() {
    let world = World::new(&document(fetched(), json!({})));
    assert!(!told(&world, 0, START).is_empty());
    let before = world.shared.calls();
    assert!(told(&world, 0, START.plus_s(4)).is_empty());
    assert_eq!(world.shared.calls(), before);
    assert!(!told(&world, 0, START.plus_s(5)).is_empty());
    assert!(!told(&world, 0, START).is_empty(), "a clock that was set back");
}
