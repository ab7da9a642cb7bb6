//! Metrics as ngx_wasm_module keeps them: shared by all workers, found by name, strict about kinds.

use std::collections::BTreeMap;

/// Longest name, the prefix `pw:FILTER:` included, bytes.
const NAME_MAX: usize = 256;

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Can be incremented and read.
    Counter,
    /// Can be recorded and read.
    Gauge,
    /// Can only be recorded.
    Histogram,
}

#[derive(Clone, Debug)]
struct Metric {
    name: String,
    kind: Kind,
    value: i64,
    count: u64,
}

/// All metrics of the host.
#[derive(Default)]
pub struct Metrics {
    by_name: BTreeMap<String, u32>,
    metrics: Vec<Metric>,
}

impl Metrics {
    /// The metric's id; the same one for the same filter and name.
    ///
    /// # Errors
    /// A reason for a trap.
    pub fn define(&mut self, filter: &str, name: &str, kind: Option<Kind>) -> Result<u32, String> {
        let kind = kind.ok_or_else(|| format!("could not define metric {name:?}: unknown kind"))?;
        if 4 + filter.len() + name.len() > NAME_MAX {
            return Err(format!("could not define metric: {name:?} is too long"));
        }
        let full = format!("pw_{filter}_{name}");
        if let Some(id) = self.by_name.get(&full) {
            return Ok(*id);
        }
        let id = self.metrics.len() as u32;
        self.metrics.push(Metric { name: full.clone(), kind, value: 0, count: 0 });
        self.by_name.insert(full, id);
        Ok(id)
    }

    fn find(&mut self, id: u32) -> Result<&mut Metric, String> {
        self.metrics.get_mut(id as usize).ok_or_else(|| format!("metric {id} not found"))
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// A reason for a trap: any other kind.
    pub fn increment(&mut self, id: u32, by: i64) -> Result<(), String> {
        let metric = self.find(id)?;
        if metric.kind != Kind::Counter {
            return Err(format!("metric {id} is not a counter"));
        }
        metric.value += by;
        Ok(())
    }

    /// Sets a gauge, or adds a value to a histogram.
    ///
    /// # Errors
    /// A reason for a trap: a counter.
    pub fn record(&mut self, id: u32, value: i64) -> Result<(), String> {
        let metric = self.find(id)?;
        match metric.kind {
            Kind::Counter => return Err(format!("metric {id} is a counter")),
            Kind::Gauge => metric.value = value,
            Kind::Histogram => metric.value += value,
        }
        metric.count += 1;
        Ok(())
    }

    /// Reads a counter or gauge.
    ///
    /// # Errors
    /// A reason for a trap: a histogram.
    pub fn get(&mut self, id: u32) -> Result<i64, String> {
        let metric = self.find(id)?;
        if metric.kind == Kind::Histogram {
            return Err(format!("metric {id} is a histogram"));
        }
        Ok(metric.value)
    }

    /// Every metric with its value; a histogram with the sum of what it recorded.
    pub fn all(&self) -> Vec<(String, Kind, i64)> {
        self.metrics.iter().map(|metric| (metric.name.clone(), metric.kind, metric.value)).collect()
    }
}
