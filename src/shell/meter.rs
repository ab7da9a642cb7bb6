//! Events become the host's counters; each is defined when it first happens.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::metrics::{Meter, Metric};

use super::abi;

/// Counters of one configuration.
#[derive(Default)]
pub struct HostMeter {
    /// What every request with a known token counts, found without a search.
    l1_hit: Cell<Counter>,
    accepted: Cell<Counter>,
    ids: RefCell<HashMap<Metric, Counter>>,
    limits: RefCell<Vec<String>>,
}

/// A counter of the host.
#[derive(Clone, Copy, Default)]
enum Counter {
    /// Not defined yet.
    #[default]
    New,
    /// The host would have none of it.
    Refused,
    /// Its id.
    Id(u32),
}

impl HostMeter {
    /// Names the limits, in the order of the configuration.
    pub fn name_limits(&self, names: Vec<String>) {
        *self.limits.borrow_mut() = names;
    }

    fn define(&self, metric: Metric) -> Counter {
        let limits = self.limits.borrow();
        let names: Vec<&str> = limits.iter().map(String::as_str).collect();
        abi::define_counter(&metric.name(&names)).map_or(Counter::Refused, Counter::Id)
    }

    fn counter(&self, metric: Metric) -> Counter {
        let hot = match metric {
            Metric::L1Hit => &self.l1_hit,
            Metric::Accepted => &self.accepted,
            _ => return *self.ids.borrow_mut().entry(metric).or_insert_with(|| self.define(metric)),
        };
        if let Counter::New = hot.get() {
            hot.set(self.define(metric));
        }
        hot.get()
    }
}

impl Meter for HostMeter {
    fn count(&self, metric: Metric) {
        if let Counter::Id(id) = self.counter(metric) {
            abi::increment(id, 1);
        }
    }
}
