//! How many gateways there are, as far as one worker has heard: for a gauge, and for nothing else.

use super::wire::GATEWAYS_MAX;
use crate::time::Time;

/// Milliseconds between two calls in which a worker says that its gateway is there.
const EVERY_MS: u64 = 5_000;
/// For how long what an answer said holds, in milliseconds. Redis forgets a gateway after ten
/// seconds; one call in a row may fail.
const SILENT_MS: u64 = 12_000;

/// What this worker has said and heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Present {
    said_at: Option<Time>,
    /// When the last call was made that was answered.
    heard_at: Time,
    gateways: u32,
}

impl Present {
    /// Whether it is to be said now. It counts as said then.
    pub fn take(&mut self, now: Time) -> bool {
        // A clock that was set back doesn't end it.
        let is_due = self.said_at.is_none_or(|at| now < at || now.ms_since(at) >= EVERY_MS);
        if is_due {
            self.said_at = Some(now);
        }
        is_due
    }

    /// A call that was made at `asked_at` was answered: there are so many.
    pub fn came(&mut self, gateways: u32, asked_at: Time) {
        (self.gateways, self.heard_at) = (gateways.min(GATEWAYS_MAX as u32), asked_at);
    }

    /// How many there are; 0 if Redis hasn't said it lately.
    pub fn count(&self, now: Time) -> u64 {
        if self.heard_at.is_recent(now, SILENT_MS) { u64::from(self.gateways) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_s(1_800_000_000);

    #[test]
    fn it_is_said_every_five_seconds_and_holds_for_twelve() {
        let mut present = Present::default();
        assert!(present.take(NOW) && !present.take(NOW.plus_ms(4_999)));
        assert_eq!(present.count(NOW), 0, "no answer yet");
        present.came(3, NOW);
        assert_eq!((present.count(NOW), present.count(NOW.plus_ms(12_000))), (3, 3));
        assert_eq!(present.count(NOW.plus_ms(12_001)), 0);
        assert!(present.take(NOW.plus_ms(5_000)) && present.take(NOW), "a clock that was set back");
        // An answer from a time to come, before the clock was set back, says nothing.
        present.came(3, NOW.plus_s(3_600));
        assert_eq!(present.count(NOW), 0);
        present.came(u32::MAX, NOW);
        assert_eq!(present.count(NOW), GATEWAYS_MAX);
    }
}
