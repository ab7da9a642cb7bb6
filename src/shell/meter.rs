//! Events become the host's metrics; each is defined when it first happens.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use crate::metrics::{ALERTED, Gauge, Meter, Metric, Took};

use super::abi::{self, MetricKind};
use super::hosts::Dialect;

/// Metrics of one configuration.
#[derive(Default)]
pub struct HostMeter {
    /// Whether the host has none at all, and may not be asked.
    is_missing: bool,
    /// What every request with a known token counts, found without a search.
    l1_hit: Cell<Counter>,
    accepted: Cell<Counter>,
    /// And what every one with a new token counts.
    verified: Cell<Counter>,
    verified_by_host: Cell<Counter>,
    /// And what every one counts that a limit, by its index, lets pass.
    allowed: Vec<Cell<Counter>>,
    ids: RefCell<HashMap<Metric, Counter>>,
    gauges: RefCell<HashMap<Gauge, Told>>,
    histograms: RefCell<HashMap<Took, Counter>>,
    limits: Vec<String>,
    issuers: Vec<String>,
}

/// A gauge, and what this worker has added to it.
#[derive(Clone, Copy)]
struct Told {
    gauge: Counter,
    share: i64,
}

/// A metric of the host.
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
    /// Of a configuration with these limits and issuers, in its order.
    pub fn new(limits: Vec<String>, issuers: Vec<String>) -> Self {
        let allowed = limits.iter().map(|_| Cell::default()).collect();
        HostMeter { allowed, limits, issuers, ..HostMeter::default() }
    }

    /// The same on this host.
    #[must_use]
    pub fn on(self, dialect: Dialect) -> Self {
        HostMeter { is_missing: !dialect.caps().keeps_state, ..self }
    }

    /// Defines what is alerted on.
    pub fn define_alerted(&self) {
        let of_limits = (0u16..).zip(&self.limits).flat_map(|(index, _)| {
            [Metric::LimitDenied(index), Metric::LimitFailed(index), Metric::LimitSketch(index)]
        });
        for metric in ALERTED.iter().copied().chain(of_limits) {
            self.ids.borrow_mut().entry(metric).or_insert_with(|| self.define(metric));
        }
    }

    /// Sets a gauge of which each worker knows the value.
    pub fn tell(&self, gauge: Gauge, value: u64) {
        if let Counter::Id(id) = self.gauge(gauge).gauge {
            abi::record(id, value);
        }
    }

    /// Sets this worker's share of a gauge, where the host adds up.
    pub fn tell_share(&self, gauge: Gauge, value: usize) {
        let told = self.gauge(gauge);
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let more = value.saturating_sub(told.share);
        if let Counter::Id(id) = told.gauge
            && more != 0
        {
            abi::increment(id, more);
            self.gauges.borrow_mut().insert(gauge, Told { share: value, ..told });
        }
    }

    /// Tells how long something took, in milliseconds.
    pub fn took(&self, what: Took, ms: u64) {
        let defined = || self.define_as(MetricKind::Histogram, what.name());
        let histogram = *self.histograms.borrow_mut().entry(what).or_insert_with(defined);
        if let Counter::Id(id) = histogram {
            abi::record(id, ms);
        }
    }

    fn gauge(&self, gauge: Gauge) -> Told {
        let name = || gauge.name(&as_strs(&self.issuers));
        let defined = || Told { gauge: self.define_as(MetricKind::Gauge, &name()), share: 0 };
        *self.gauges.borrow_mut().entry(gauge).or_insert_with(defined)
    }

    #[inline(never)]
    fn define(&self, metric: Metric) -> Counter {
        self.define_as(MetricKind::Counter, &metric.name(&as_strs(&self.limits)))
    }

    fn define_as(&self, kind: MetricKind, name: &str) -> Counter {
        if self.is_missing {
            return Counter::Refused;
        }
        abi::define_metric(kind, name).map_or(Counter::Refused, Counter::Id)
    }

    fn count_on(&self, hot: &Cell<Counter>, metric: Metric) {
        if let Counter::New = hot.get() {
            hot.set(self.define(metric));
        }
        increment(hot.get());
    }

    #[inline(never)]
    fn count_rare(&self, metric: Metric) {
        if matches!(metric, Metric::Verified) {
            return self.count_on(&self.verified, metric);
        }
        if matches!(metric, Metric::VerifiedByHost) {
            return self.count_on(&self.verified_by_host, metric);
        }
        if let Metric::LimitAllowed(index) = metric
            && let Some(allowed) = self.allowed.get(usize::from(index))
        {
            return self.count_on(allowed, metric);
        }
        let counter = *self.ids.borrow_mut().entry(metric).or_insert_with(|| self.define(metric));
        increment(counter);
    }
}

fn as_strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
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
