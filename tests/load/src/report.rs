//! What a run saw.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::connection::ErrorKind;

/// Counts of statuses and errors, and the latency of each answer.
#[derive(Default)]
pub struct Report {
    pub elapsed: Duration,
    statuses: BTreeMap<u16, u64>,
    errors: BTreeMap<ErrorKind, u64>,
    connect_errors: u64,
    latencies_us: Vec<u32>,
}

impl Report {
    pub fn answer(&mut self, status: u16, latency: Duration) {
        *self.statuses.entry(status).or_default() += 1;
        self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn error(&mut self, kind: ErrorKind) {
        *self.errors.entry(kind).or_default() += 1;
    }

    /// A connection could not be opened before the run; its requests are still tried.
    pub fn connect_error(&mut self, _kind: ErrorKind) {
        self.connect_errors += 1;
    }

    pub fn merge(&mut self, other: Report) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.connect_errors += other.connect_errors;
        self.latencies_us.extend(other.latencies_us);
    }

    /// One line of JSON; latencies in microseconds.
    pub fn into_json(mut self) -> String {
        self.latencies_us.sort_unstable();
        let answers: u64 = self.statuses.values().sum();
        let errors: u64 = self.errors.values().sum();
        let seconds = self.elapsed.as_secs_f64();
        let mean = self.latencies_us.iter().map(|&us| f64::from(us)).sum::<f64>()
            / (answers.max(1) as f64);
        let mut out = String::new();
        let _ = write!(
            out,
            "{{\"requests\":{},\"answers\":{answers},\"errors\":{errors},\"connect_errors\":{},\"seconds\":{seconds:.3},\"rps\":{:.1},",
            answers + errors,
            self.connect_errors,
            answers as f64 / seconds.max(1e-9),
        );
        let _ = write!(out, "\"statuses\":{{{}}},", join(self.statuses.iter()));
        let _ = write!(out, "\"error_kinds\":{{{}}},", join(self.errors.iter()));
        let _ = write!(
            out,
            "\"latency_us\":{{\"mean\":{mean:.0},\"p50\":{},\"p90\":{},\"p99\":{},\"max\":{}}}}}",
            self.quantile(0.50),
            self.quantile(0.90),
            self.quantile(0.99),
            self.latencies_us.last().copied().unwrap_or(0),
        );
        out
    }

    /// The smallest latency that at least `share` of the answers do not exceed.
    fn quantile(&self, share: f64) -> u32 {
        let rank = (share * self.latencies_us.len() as f64).ceil() as usize;
        self.latencies_us.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

fn join<K: std::fmt::Display>(
    entries: impl Iterator<Item = (K, impl std::fmt::Display)>,
) -> String {
    entries.map(|(key, count)| format!("\"{key}\":{count}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::Report;
    use std::time::Duration;

    #[test]
    fn quantiles_and_counts() {
        let mut report = Report::default();
        for us in 1..=100 {
            report.answer(if us == 100 { 401 } else { 200 }, Duration::from_micros(us));
        }
        report.error("timeout");
        report.elapsed = Duration::from_secs(2);
        let json = report.into_json();
        assert!(json.contains(r#""statuses":{"200":99,"401":1}"#), "{json}");
        assert!(json.contains(r#""error_kinds":{"timeout":1}"#), "{json}");
        assert!(json.contains(r#""p50":50,"p90":90,"p99":99,"max":100"#), "{json}");
        assert!(json.contains(r#""rps":50.0"#), "{json}");
    }
}
