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

    #[inline(never)]
    fn define(&self, metric: Metric) -> Counter {
        let limits = self.limits.borrow();
        let names: Vec<&str> = limits.iter().map(String::as_str).collect();
        abi::define_counter(&metric.name(&names)).map_or(Counter::Refused, Counter::Id)
    }

    fn count_on(&self, hot: &Cell<Counter>, metric: Metric) {
        if let Counter::New = hot.get() {
            hot.set(self.define(metric));
        }
        increment(hot.get());
    }

    #[inline(never)]
    fn count_rare(&self, metric: Metric) {
        let counter = *self.ids.borrow_mut().entry(metric).or_insert_with(|| self.define(metric));
        increment(counter);
    }
}

fn increment(counter: Counter) {
    if let Counter::Id(id) = counter {
        abi::increment(id, 1);
    }
}

impl Meter for HostMeter {
    fn count(&self, metric: Metric) {
        if matches!(metric, Metric::L1Hit) {
            self.count_on(&self.l1_hit, metric);
        } else if matches!(metric, Metric::Accepted) {
            self.count_on(&self.accepted, metric);
        } else {
            self.count_rare(metric);
        }
    }
}
