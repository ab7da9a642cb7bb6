//! What a run saw.
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::connection::{Answer, ErrorKind};

/// Counts of statuses and errors, and the latency of each answer.
#[derive(Default)]
pub struct Report {
    pub elapsed: Duration,
    errors: BTreeMap<ErrorKind, u64>,
    connect_errors: u64,
    bytes_out: u64,
    bytes_in: u64,
    /// How late requests left for which a connection was free: the generator's own fault.
    late_us: Vec<u32>,
    /// Requests that found every connection busy.
    queued: u64,
    /// The length of a slot of time; none: the whole run is one.
    slot: Option<Duration>,
    /// By the slot in which a request was due.
    slots: Vec<Slot>,
    /// Clients of a herd that have had a token, and when the last of them got its first.
    served: Option<(u64, Duration)>,
}

#[derive(Default)]
struct Slot {
    statuses: BTreeMap<u16, u64>,
    errors: u64,
    latencies_us: Vec<u32>,
}

impl Report {
    pub fn new(slot: Option<Duration>) -> Self {
        Report { slot, ..Report::default() }
    }

    /// An answer that came at `now` to a request that was due at `due`.
    pub fn answer(&mut self, due: Duration, now: Duration, answer: &Answer) {
        self.bytes_out += answer.bytes_out;
        self.bytes_in += answer.bytes_in;
        let slot = self.slot_of(due);
        *slot.statuses.entry(answer.status).or_default() += 1;
        slot.latencies_us.push(micros(now.saturating_sub(due)));
    }

    pub fn error(&mut self, due: Duration, kind: ErrorKind) {
        *self.errors.entry(kind).or_default() += 1;
        self.slot_of(due).errors += 1;
    }

    /// A connection could not be opened before the run; its requests are still tried.
    pub fn connect_error(&mut self, _kind: ErrorKind) {
        self.connect_errors += 1;
    }

    /// A request that a free connection sent so much later than it was due.
    pub fn late(&mut self, by: Duration) {
        self.late_us.push(micros(by));
    }

    /// A request that was due before a connection was free for it.
    pub fn queued(&mut self) {
        self.queued += 1;
    }

    pub fn served(&mut self, count: u64, last: Duration) {
        self.served = Some((count, last));
    }

    fn slot_of(&mut self, due: Duration) -> &mut Slot {
        let index =
            self.slot.map_or(0, |slot| (due.as_micros() / slot.as_micros().max(1)) as usize);
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    pub fn merge(&mut self, other: Report) {
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.connect_errors += other.connect_errors;
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
        self.late_us.extend(other.late_us);
        self.queued += other.queued;
        if self.slots.len() < other.slots.len() {
            self.slots.resize_with(other.slots.len(), Slot::default);
        }
        for (mine, slot) in self.slots.iter_mut().zip(other.slots) {
            mine.merge(slot);
        }
    }

    /// One line of JSON; latencies in microseconds.
    pub fn into_json(mut self) -> String {
        let mut all = Slot::default();
        let mut slots = Vec::new();
        for mut slot in std::mem::take(&mut self.slots) {
            if self.slot.is_some() {
                slots.push(slot.json());
            }
            all.merge(slot);
        }
        self.late_us.sort_unstable();
        let answers = all.latencies_us.len();
        let seconds = self.elapsed.as_secs_f64();
        let mut out = String::new();
        let _ = write!(
            out,
            "{{\"requests\":{},\"answers\":{answers},\"connect_errors\":{},\"seconds\":{seconds:.3},\"rps\":{:.1},\
             \"bytes_out\":{},\"bytes_in\":{},\"queued\":{},\"late_us\":{},\"error_kinds\":{{{}}},",
            answers as u64 + all.errors,
            self.connect_errors,
            answers as f64 / seconds.max(1e-9),
            self.bytes_out,
            self.bytes_in,
            self.queued,
            quantiles(&self.late_us),
            join(self.errors.iter()),
        );
        if let Some((count, last)) = self.served {
            let _ = write!(out, "\"served\":{count},\"last_served_s\":{:.3},", last.as_secs_f64());
        }
        if self.slot.is_some() {
            let _ = write!(out, "\"slots\":[{}],", slots.join(","));
        }
        // The whole run's own members stand beside the others.
        out.push_str(all.json().split_at(1).1);
        out
    }
}

impl Slot {
    fn merge(&mut self, other: Slot) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.errors += other.errors;
        self.latencies_us.extend(other.latencies_us);
    }

    fn json(&mut self) -> String {
        self.latencies_us.sort_unstable();
        format!(
            "{{\"errors\":{},\"statuses\":{{{}}},\"latency_us\":{}}}",
            self.errors,
            join(self.statuses.iter()),
            quantiles(&self.latencies_us)
        )
    }
}

fn quantiles(sorted: &[u32]) -> String {
    let mean = sorted.iter().map(|&us| f64::from(us)).sum::<f64>() / (sorted.len().max(1) as f64);
    format!(
        "{{\"mean\":{mean:.0},\"p50\":{},\"p90\":{},\"p99\":{},\"max\":{}}}",
        quantile(sorted, 0.50),
        quantile(sorted, 0.90),
        quantile(sorted, 0.99),
        sorted.last().copied().unwrap_or(0),
    )
}

/// The smallest latency that at least `share` of the answers do not exceed.
fn quantile(sorted: &[u32], share: f64) -> u32 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn join<K: std::fmt::Display>(
    entries: impl Iterator<Item = (K, impl std::fmt::Display)>,
) -> String {
    entries.map(|(key, count)| format!("\"{key}\":{count}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::connection::Answer;
    use std::time::Duration;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    fn with_status(status: u16) -> Answer {
        Answer { status, bytes_out: 10, bytes_in: 20, ..Answer::default() }
    }

    #[test]
    fn quantiles_and_counts() {
        let mut report = Report::default();
        for latency in 1..=100 {
            report.answer(
                us(50),
                us(50 + latency),
                &with_status(if latency == 100 { 401 } else { 200 }),
            );
        }
        report.error(us(50), "timeout");
        report.late(us(7));
        report.elapsed = Duration::from_secs(2);
        let json = report.into_json();
        assert!(json.contains(r#""statuses":{"200":99,"401":1}"#), "{json}");
        assert!(json.contains(r#""errors":1,"#), "{json}");
        assert!(json.contains(r#""error_kinds":{"timeout":1}"#), "{json}");
        assert!(
            json.contains(r#""latency_us":{"mean":50,"p50":50,"p90":90,"p99":99,"max":100}"#),
            "{json}"
        );
        assert!(json.contains(r#""late_us":{"mean":7,"p50":7"#), "{json}");
        assert!(json.contains(r#""bytes_out":1000,"bytes_in":2000,"queued":0"#), "{json}");
        assert!(json.contains(r#""rps":50.0"#), "{json}");
        assert!(json.ends_with("\"max\":100}}"), "{json}");
    }

    #[test]
    fn answers_belong_to_the_slot_in_which_they_were_due() {
        let mut report = Report::new(Some(Duration::from_secs(1)));
        report.answer(us(999_999), us(5_000_000), &with_status(200));
        let mut other = Report::new(Some(Duration::from_secs(1)));
        other.answer(us(1_000_000), us(1_000_003), &with_status(503));
        report.merge(other);
        let json = report.into_json();
        let slots = r#""slots":[{"errors":0,"statuses":{"200":1},"latency_us":{"mean":4000001,"#;
        assert!(json.contains(slots), "{json}");
        assert!(
            json.contains(r#"{"errors":0,"statuses":{"503":1},"latency_us":{"mean":3,"#),
            "{json}"
        );
    }
}
