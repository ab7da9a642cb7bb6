//! When each request is due.
use std::time::Duration;

/// Rates that follow one another, each for its time; the last one goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    rate: f64,
    seconds: f64,
}

impl Pace {
    /// One rate for ever.
    pub fn constant(rate: f64) -> Self {
        Pace { stretches: vec![Stretch { rate, seconds: f64::INFINITY }] }
    }

    /// `100:5,0:2,300:1`: 100 requests a second for five seconds, none for two, 300 for one, and
    /// then no more.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut stretches = Vec::new();
        for part in text.split(',') {
            let (rate, seconds) =
                part.split_once(':').ok_or_else(|| format!("{part} is not RATE:SECONDS"))?;
            let positive = |text: &str| {
                text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
            };
            match (positive(rate), positive(seconds)) {
                (Some(rate), Some(seconds)) => stretches.push(Stretch { rate, seconds }),
                _ => return Err(format!("{part} is not RATE:SECONDS")),
            }
        }
        Ok(Pace { stretches })
    }

    /// Whether there is a last request.
    pub fn ends(&self) -> bool {
        self.stretches.iter().all(|stretch| stretch.seconds.is_finite())
    }

    /// When request `number` is due, counted from the start; none after the last one.
    pub fn due(&self, number: u64) -> Option<Duration> {
        let (mut begins, mut before) = (0.0, 0.0);
        for stretch in &self.stretches {
            // Requests of this stretch are due at its beginning and then evenly.
            let within = number as f64 - before;
            let count = (stretch.rate * stretch.seconds).round();
            if within < count {
                return Some(Duration::from_secs_f64(begins + within / stretch.rate));
            }
            begins += stretch.seconds;
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    fn ms(pace: &Pace, number: u64) -> Option<u128> {
        pace.due(number).map(|due| due.as_millis())
    }

    #[test]
    fn a_constant_rate_has_no_end() {
        let pace = Pace::constant(200.0);
        assert_eq!(ms(&pace, 0), Some(0));
        assert_eq!(ms(&pace, 1), Some(5));
        assert_eq!(pace.due(2_000_000), Some(Duration::from_secs(10_000)));
    }

    #[test]
    fn stretches_follow_one_another() {
        let pace = Pace::parse("10:1,0:2,100:0.5").unwrap();
        assert_eq!(ms(&pace, 9), Some(900));
        assert_eq!(ms(&pace, 10), Some(3000));
        assert_eq!(ms(&pace, 11), Some(3010));
        assert_eq!(ms(&pace, 59), Some(3490));
        assert_eq!(ms(&pace, 60), None);
    }

    #[test]
    fn what_is_no_pace_is_refused() {
        for text in ["", "10", "10:x", "-1:5", "inf:1", "10:1,"] {
            assert!(Pace::parse(text).is_err(), "{text}");
        }
    }
}
