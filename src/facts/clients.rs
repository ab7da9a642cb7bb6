//! What a token endpoint's server has said to one client: for that client to heed, and for no
//! other.
//!
//! A client that was told to wait (429, or 503 with `Retry-After`) makes no call before that time,
//! whatever its parameters are; one whose calls fail again and again waits longer each time. Who
//! the client is nobody has checked yet, so its secret and its address are part of its name:
//! whoever knows a client's id can't have it made to wait.

use crate::digest::Digest;
use crate::rate_limit::Address;
use crate::reply::Reason;
use crate::request::Request;
use crate::shared::table::word;
use crate::time::{Span, Time};
use crate::token_endpoint::TokenEndpoint;
use crate::token_endpoint::admission::{Ended, Outcome, Party};
use crate::token_endpoint::request::TokenRequest;

use super::Facts;
use super::flight::{RETRY_MS, RETRY_MS_MAX};

/// Who calls a token endpoint.
#[derive(Clone, Copy)]
pub struct Client {
    name: Digest,
    /// The same for the endpoint's own state.
    pub party: Party,
}

/// A pause that one client has to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause {
    /// Its end.
    pub until: Time,
    /// Whether the server asked for it by 429.
    pub throttled: bool,
}

impl Pause {
    /// What the client is told.
    pub fn reason(&self) -> Reason {
        if self.throttled { Reason::Throttled } else { Reason::TokenServerUnavailable }
    }
}

/// How one client fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    /// Failures in a row, weighed; answers with 429 among them.
    points: u8,
    throttled: bool,
    /// When the last of them came, and for how long no call is made from then on.
    noted_at: Time,
    pause_ms: u32,
}

/// Points from which on failures lead to a pause: five calls that failed, twenty errors.
const PAUSE_POINTS: u8 = 20;
/// What an answer with 429 weighs.
const THROTTLED_POINTS: u8 = 4;
/// How long failures count after the pause that they led to, in milliseconds.
const COUNTS_MS: u64 = 60_000;

impl Standing {
    pub(super) const BYTES: usize = 14;

    pub(super) fn to_bytes(self) -> [u8; Standing::BYTES] {
        let mut bytes = [0; Standing::BYTES];
        let fields = [self.points, u8::from(self.throttled)].into_iter();
        let fields =
            fields.chain(self.noted_at.ns().to_le_bytes()).chain(self.pause_ms.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Standing> {
        let (&[points, throttled], rest) = bytes.split_first_chunk::<2>()?;
        let (noted_at, pause_ms) = rest.split_first_chunk::<8>()?;
        let pause_ms = u32::from_le_bytes(pause_ms.try_into().ok()?);
        Some(Standing {
            points,
            throttled: throttled != 0,
            noted_at: Time::from_ns(u64::from_le_bytes(*noted_at)),
            pause_ms,
        })
    }

    fn ends_at(&self) -> Time {
        self.noted_at.plus_ms(u64::from(self.pause_ms))
    }

    /// The pause at `now`; none of a time that the clock has gone back behind.
    fn pause(&self, now: Time) -> Option<Pause> {
        let holds = Span { from: self.noted_at, until: self.ends_at() }.holds(now);
        holds.then(|| Pause { until: self.ends_at(), throttled: self.throttled })
    }

    /// How it fares once another of its calls has ended; nothing if that changes nothing.
    fn after(&self, ended: Ended, now: Time) -> Option<Standing> {
        let is_throttled = ended.outcome == Outcome::Throttled;
        let points = if is_throttled { THROTTLED_POINTS } else { ended.outcome.points() };
        if ended.outcome == Outcome::Answered {
            // One that began before the pause says nothing against it.
            let changes = self.points > 0 && self.pause(now).is_none();
            return changes.then(Standing::default);
        }
        if points == 0 {
            return None;
        }
        let before = if self.noted_at.is_ahead_of(now) { 0 } else { self.points };
        let points = before.saturating_add(points);
        let asked_ms = ended.asked_ms.unwrap_or(0);
        // 429 is for this client even if it happens once; a failure may be anyone's.
        let weighs_from = if is_throttled { THROTTLED_POINTS } else { PAUSE_POINTS };
        let own_ms = points.checked_sub(weighs_from).map_or(0, |over| {
            let doublings = u32::from(over / THROTTLED_POINTS).min(5);
            (RETRY_MS << doublings).min(RETRY_MS_MAX)
        });
        let pause_ms = u32::try_from(asked_ms.max(own_ms)).unwrap_or(u32::MAX);
        let next = Standing { points, throttled: is_throttled, noted_at: now, pause_ms };
        // A longer pause isn't cut short by a call that began before it.
        let is_shorter = self.pause(now).is_some_and(|pause| pause.until > next.ends_at());
        Some(if is_shorter { Standing { points, ..*self } } else { next })
    }
}

impl Facts<'_> {
    /// Whose call to an endpoint a request is.
    pub fn token_client(
        &self,
        endpoint: &TokenEndpoint,
        request: &Request<'_>,
        read: &TokenRequest,
    ) -> Client {
        let key = &self.runtime.host_key;
        let address = request.surroundings.address().and_then(|address| Address::parse(&address));
        let octets: &[u8] = match &address {
            Some(Address::V4(octets)) => octets,
            Some(Address::V6(octets)) => octets,
            None => &[],
        };
        let name = read.client_name(key, &self.endpoint_name(endpoint), octets);
        Client { name, party: Party::new(word(&name, 0), key.short(octets)) }
    }

    /// The pause that this client has to make, if it has to make one.
    pub fn client_pause(&self, client: &Client) -> Option<Pause> {
        self.shared().read_standing(&client.name).pause(self.now)
    }

    /// A call of this client has ended. Of two at once one may be lost: then one more call is made.
    pub(super) fn note_client(&self, client: &Client, ended: Ended) {
        if ended.outcome == Outcome::Unknown {
            return;
        }
        let before = self.shared().read_standing(&client.name);
        if let Some(next) = before.after(ended, self.now) {
            self.shared().write_standing(
                &client.name,
                next,
                next.ends_at().max(self.now).plus_ms(COUNTS_MS),
            );
        }
    }
}

#[cfg(test)]
impl Facts<'_> {
    /// A client that nobody has seen.
    pub(crate) fn stranger(&self, n: u64) -> Client {
        let name = self.runtime.host_key.digest("stranger", &[&n.to_le_bytes()]);
        Client { name, party: Party::new(word(&name, 0), word(&name, 1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_s(1_800_000_000);

    fn after(standing: Standing, outcome: Outcome, asked_ms: Option<u64>, now: Time) -> Standing {
        let next = standing.after(Ended { outcome, asked_ms }, now).unwrap_or(standing);
        assert_eq!(Standing::from_bytes(&next.to_bytes()), Some(next));
        next
    }

    fn pause_ms(standing: Standing, now: Time) -> u64 {
        standing.pause(now).map_or(0, |pause| pause.until.ms_since(now))
    }

    #[test]
    fn what_it_is_asked_for_it_waits_for() {
        let told = after(Standing::default(), Outcome::Throttled, Some(30_000), NOW);
        assert_eq!(
            told.pause(NOW.plus_s(29)),
            Some(Pause { until: NOW.plus_s(30), throttled: true })
        );
        assert_eq!(told.pause(NOW.plus_s(30)), None);
        let told = after(Standing::default(), Outcome::Overloaded, Some(5_000), NOW);
        assert_eq!(told.pause(NOW), Some(Pause { until: NOW.plus_s(5), throttled: false }));
    }

    #[test]
    fn without_a_word_it_waits_longer_each_time() {
        let (mut standing, mut pauses, mut now) = (Standing::default(), Vec::new(), NOW);
        for _ in 0..8 {
            standing = after(standing, Outcome::Throttled, None, now);
            pauses.push(pause_ms(standing, now));
            now = now.plus_ms(pause_ms(standing, now));
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        let (mut standing, mut pauses) = (Standing::default(), Vec::new());
        for _ in 0..7 {
            standing = after(standing, Outcome::Overloaded, None, now);
            pauses.push(pause_ms(standing, now));
            now = now.plus_ms(pause_ms(standing, now));
        }
        assert_eq!(pauses, [0, 0, 0, 0, 1_000, 2_000, 4_000]);
        standing = after(standing, Outcome::Answered, None, now);
        assert_eq!(standing, Standing::default());
    }

    #[test]
    fn what_began_before_a_pause_does_not_end_it() {
        let told = after(Standing::default(), Outcome::Throttled, Some(30_000), NOW);
        for outcome in [
            Outcome::Answered,
            Outcome::Overloaded,
            Outcome::Throttled,
            Outcome::Error,
            Outcome::Unknown,
        ] {
            assert_eq!(
                pause_ms(after(told, outcome, None, NOW.plus_ms(5)), NOW.plus_ms(5)),
                29_995,
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_pause_is_no_longer_than_itself_whichever_way_the_clock_goes() {
        let told = after(Standing::default(), Outcome::Throttled, Some(30_000), NOW);
        let back = Time::from_s(NOW.s() - 3_600);
        assert_eq!(told.pause(back), None);
        assert_eq!(told.pause(NOW.plus_s(3_600)), None);
        assert_eq!(
            pause_ms(after(told, Outcome::Throttled, None, back), back),
            1_000,
            "it begins anew"
        );
        // Another worker's clock may be a little ahead.
        assert!(told.pause(Time::from_ms(NOW.ms() - 500)).is_some());
    }
}
