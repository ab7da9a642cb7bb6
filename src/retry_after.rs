//! `Retry-After` (RFC 9110, section 10.2.3): how long a server asks to be left alone.

use crate::request::HeaderBlock;
use crate::time::Time;

/// Milliseconds that are believed at most.
pub const ASKED_MS_MAX: u64 = 300_000;

const DAY_S: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Milliseconds that the answer with these headers asks for; nothing if it doesn't say so readably.
pub fn asked_ms(headers: &HeaderBlock, now: Time) -> Option<u64> {
    let text = std::str::from_utf8(headers.get("retry-after")?).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit ask for as long as can be asked for.
        let seconds = text.parse::<u64>().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1_000).min(ASKED_MS_MAX));
    }
    let until_s = http_date(text)?;
    // By the server's own clock, where it tells: ours may be another.
    let date =
        headers.get("date").and_then(|date| http_date(std::str::from_utf8(date).ok()?.trim()));
    let from_s = date.unwrap_or(now.s());
    Some(until_s.saturating_sub(from_s).saturating_mul(1_000).min(ASKED_MS_MAX))
}

/// Seconds since the epoch, of any of the three forms of RFC 9110, section 5.6.7:
/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
pub fn http_date(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split([' ', ',', '-']).filter(|part| !part.is_empty()).collect();
    let (day, month, year, clock) = match *parts.as_slice() {
        [_, day, month, year, clock, "GMT"] => (day, month, year, clock),
        [_, month, day, clock, year] => (day, month, year, clock),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let number = |text: &str, max: u64| text.parse::<u64>().ok().filter(|number| *number <= max);
    let year = match number(year, 9_999)? {
        // Two digits: the century that it is most likely of.
        short @ 0..=69 if year.len() == 2 => 2_000 + short,
        short @ 70..=99 if year.len() == 2 => 1_900 + short,
        long => long,
    };
    let mut clock = clock.split(':');
    let (hours, minutes, seconds) =
        (number(clock.next()?, 23)?, number(clock.next()?, 59)?, number(clock.next()?, 60)?);
    let day = number(day, 31).filter(|day| *day > 0)?;
    if clock.next().is_some() || year < 1_970 {
        return None;
    }
    Some(days(year, month, day) * DAY_S + hours * 3_600 + minutes * 60 + seconds)
}

/// Days from the epoch to a day of the Gregorian calendar.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March, so that the day that comes and goes is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    before.saturating_sub(719_469)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_s(784_111_777);

    fn asked(value: &str, date: Option<&str>) -> Option<u64> {
        let pairs = [("retry-after", Some(value)), ("date", date)];
        let headers = HeaderBlock::from_pairs(
            pairs.into_iter().filter_map(|(name, value)| Some((name, value?.as_bytes()))),
        );
        asked_ms(&headers, NOW)
    }

    #[test]
    fn seconds_and_dates() {
        assert_eq!(asked("30", None), Some(30_000));
        assert_eq!(asked(" 0 ", None), Some(0));
        assert_eq!(asked("86400", None), Some(ASKED_MS_MAX));
        assert_eq!(asked("99999999999999999999999", None), Some(ASKED_MS_MAX));
        for date in [
            "Sun, 06 Nov 1994 08:50:07 GMT",
            "Sunday, 06-Nov-94 08:50:07 GMT",
            "Sun Nov  6 08:50:07 1994",
        ] {
            assert_eq!(asked(date, None), Some(30_000), "{date}");
            assert_eq!(asked(date, Some("Sun, 06 Nov 1994 08:50:00 GMT")), Some(7_000), "{date}");
        }
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT", None), Some(0), "now");
        assert_eq!(asked("Sat, 05 Nov 1994 08:49:37 GMT", None), Some(0), "before");
        assert_eq!(asked("Fri, 31 Dec 2100 23:59:59 GMT", None), Some(ASKED_MS_MAX));
        for none in [
            "",
            "soon",
            "-1",
            "1.5",
            "30 s",
            "Sun, 06 Nov 1994",
            "Sun, 06 Nov 1994 25:00:00 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(asked(none, None), None, "{none}");
        }
        assert_eq!(asked_ms(&HeaderBlock::default(), NOW), None);
    }

    #[test]
    fn days_of_the_calendar() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2027, 6, 30), 20_999),
        ] {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}", seconds in any::<u64>()) {
            let _ = http_date(&text);
            prop_assert!(asked(&seconds.to_string(), None).is_some_and(|ms| ms <= ASKED_MS_MAX));
        }
    }
}
