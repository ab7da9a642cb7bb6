//! How fresh a client wants its answer: `Cache-Control` and `Pragma` of a token call (RFC 9111,
//! sections 5.2.1, 5.4).

use super::media;
use super::request::Why;

/// What a client asks of a kept answer. The default takes any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Demand {
    /// Its age in seconds at most, from `max-age`; never 0.
    max_age_s: Option<u64>,
    /// Seconds for which its token must be good at least, from `min-fresh`.
    min_fresh_s: u64,
}

impl Demand {
    /// Whether an answer of this age, good for so many seconds more, will do.
    pub fn is_met(&self, age_s: u64, good_for_s: u64) -> bool {
        self.max_age_s.is_none_or(|max| age_s <= max) && good_for_s >= self.min_fresh_s
    }

    /// Takes a line of `Cache-Control` in. What isn't understood is read as the wish for a fresh
    /// answer, since it costs one call and nobody gets less than was asked for (section 4.2.1 has
    /// it so).
    ///
    /// # Errors
    /// Why no kept answer will do.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<(), Why> {
        // A quoted string may hold commas; a comma in one of these belongs to no directive that
        // matters here.
        let text = std::str::from_utf8(line).map_err(|_| Why::Bypass)?;
        let mut refused = None;
        for directive in text.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => {
                    (name.trim_matches(SPACE), Some(argument.trim_matches(SPACE)))
                }
                None => (directive.trim_matches(SPACE), None),
            };
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("no-store") {
                return Err(Why::NoStore);
            } else if is("no-cache") {
                refused = Some(Why::Bypass);
            } else if is("max-age") {
                match argument.and_then(seconds) {
                    // Several: the strictest.
                    Some(age_s @ 1..) => {
                        self.max_age_s =
                            Some(self.max_age_s.map_or(age_s, |known| known.min(age_s)))
                    }
                    Some(0) | None => refused = Some(Why::Bypass),
                }
            } else if is("min-fresh") {
                match argument.and_then(seconds) {
                    Some(fresh_s) => self.min_fresh_s = self.min_fresh_s.max(fresh_s),
                    None => refused = Some(Why::Bypass),
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

/// Whether a line of `Pragma` asks for a fresh answer.
pub(super) fn is_no_cache(pragma: &[u8]) -> bool {
    !media::all_elements(pragma, |directive| {
        let name = directive.split('=').next().unwrap_or_default().trim_matches(SPACE);
        !name.eq_ignore_ascii_case("no-cache")
    })
}

const SPACE: [char; 2] = [' ', '\t'];

/// `delta-seconds` (section 1.2.2), as a token or quoted (section 5.2). One that is too large for
/// any number counts as the largest.
fn seconds(argument: &str) -> Option<u64> {
    let digits =
        argument.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(argument);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(lines: &[&str]) -> Result<Demand, Why> {
        let mut demand = Demand::default();
        lines.iter().try_for_each(|line| demand.read(line.as_bytes())).map(|()| demand)
    }

    #[test]
    fn every_spelling_of_fresh() {
        for line in [
            "no-cache",
            "No-Cache",
            "max-age=0",
            "MAX-AGE=0",
            "max-age=00",
            "max-age=\"0\"",
            "max-age = 0",
            " max-age=0\t",
            "max-age=5, no-cache",
            "no-cache=\"x\"",
            "private,max-age=0",
            "max-age",
            "max-age=",
            "max-age=\"\"",
            "max-age=-1",
            "max-age=+1",
            "max-age=1.5",
            "max-age=1 2",
            "max-age=x",
            "max-age=5, max-age=0",
            "min-fresh",
            "min-fresh=x",
        ] {
            assert_eq!(demand(&[line]), Err(Why::Bypass), "{line}");
        }
        assert_eq!(Demand::default().read(b"max-age=\xff"), Err(Why::Bypass));
        assert_eq!(demand(&["max-age=5", "no-cache"]), Err(Why::Bypass));
        for line in
            ["no-store", "NO-STORE", "no-cache, no-store", "max-age=5,no-store", "no-store=x"]
        {
            assert_eq!(demand(&[line]), Err(Why::NoStore), "{line}");
        }
    }

    #[test]
    fn ages_and_what_must_be_left() {
        for line in [
            "",
            ",",
            "no-transform",
            "only-if-cached",
            "max-stale",
            "max-stale=0",
            "x-no-cache",
            "nocache",
            "max-age-x=0",
            "s-maxage=0",
        ] {
            assert_eq!(demand(&[line]), Ok(Demand::default()), "{line}");
        }
        let one = demand(&["max-age=10"]).unwrap();
        assert!(one.is_met(10, 1) && !one.is_met(11, 1));
        assert_eq!(demand(&["max-age=\"010\""]), Ok(one));
        assert_eq!(demand(&["max-age=10, max-age=20"]), Ok(one), "the strictest");
        assert_eq!(demand(&["max-age=20", "Max-Age=10"]), Ok(one), "of several lines too");
        let left = demand(&["min-fresh=60, min-fresh=30"]).unwrap();
        assert!(left.is_met(1_000, 60) && !left.is_met(0, 59));
        let endless =
            demand(&["max-age=99999999999999999999999, min-fresh=99999999999999999999999"])
                .unwrap();
        assert!(endless.is_met(u64::MAX, u64::MAX) && !endless.is_met(0, u64::MAX - 1));
    }

    #[test]
    fn pragma() {
        for line in ["no-cache", "NO-CACHE", "x, no-cache", "no-cache=1"] {
            assert!(is_no_cache(line.as_bytes()), "{line}");
        }
        assert!(is_no_cache(b"\xff"));
        assert!(!is_no_cache(b"") && !is_no_cache(b"cache, no-cached"));
    }
}
