//! Streams: what Security Event Tokens have said, in bounded room.
//!
//! A set that was acknowledged isn't sent again, so what it said must not be lost. A stream keeps a
//! floor for each subject, session and token, and one for all tokens of its issuer, which stands in
//! for those that it doesn't have: it begins at the moment when the stream was first asked under
//! this memory, since what was acknowledged before is known to nobody; and where there is no more
//! room it rises over the oldest floors, which then go. So whatever is forgotten, tokens that were
//! issued before it are refused.
//!
//! Two streams that workers hold of one server join to one that has all of both, in any order.

use super::LEEWAY_S_MAX;
use super::floors::{FLOOR_BYTES, Floors, Name, Told, short};
use crate::digest::Digest;
use crate::sort;
use crate::time::Time;

/// Floors at most: what a document in shared memory holds.
pub const FLOORS_MAX: usize = 20_000;
/// Floors that go at once where there is no more room, so that not each new one costs a sort.
const FORGOTTEN: usize = FLOORS_MAX / 8;

/// What a stream has said.
#[derive(Clone, PartialEq, Eq)]
pub struct Stream {
    /// The issuer whose tokens it is about.
    issuer: Name,
    /// Tokens that were issued before this second are refused.
    since_s: u64,
    /// Whether its server has ever answered.
    pub was_read: bool,
    /// What was said since, by subject, session and token; none is from before `since_s`.
    floors: Floors,
}

impl Stream {
    /// A stream of which nothing is known before `now`.
    pub fn begin(issuer: Name, now: Time) -> Stream {
        Stream { issuer, since_s: now.s(), was_read: false, floors: Floors::default() }
    }

    /// Whether it refuses a token. `id` is the token's own name, if it has one: whoever names a
    /// token by its id doesn't ask when it was issued.
    pub fn refuses(&self, told: &Told, id: Option<&Digest>) -> bool {
        (told.issuer == Some(self.issuer) && told.is_before(self.since_s))
            || self.floors.cover(told)
            || id.is_some_and(|id| self.floors.get(&short(id)).is_some())
    }

    /// The same with more floors.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = (Name, u64)>) -> Stream {
        let since_s = self.since_s;
        let floors = self.floors.with(more.into_iter().filter(|(_, before_s)| *before_s > since_s));
        Stream { floors, ..self.clone() }
    }

    /// All that two workers know of one stream.
    #[must_use]
    pub fn joined(&self, other: &Stream) -> Stream {
        let mut all = self.with(other.floors.iter());
        all.was_read |= other.was_read;
        all.forget_before(other.since_s);
        all
    }

    /// Forgets what holds for no token that is good still, where tokens last so long at most; and
    /// where there are too many floors the oldest. Tells whether those were too many.
    pub fn tidy(&mut self, now: Time, lifetime_s_max: Option<u64>) -> bool {
        let lasts_s = lifetime_s_max.map(|lifetime_s| lifetime_s.saturating_add(LEEWAY_S_MAX));
        if let Some(oldest_s) = lasts_s.and_then(|lasts_s| now.s().checked_sub(lasts_s))
            && self.floors.iter().any(|(_, before_s)| before_s <= oldest_s)
        {
            self.forget_before(oldest_s);
        }
        if self.floors.len() <= FLOORS_MAX {
            return false;
        }
        let mut moments: Vec<u64> = self.floors.iter().map(|(_, before_s)| before_s).collect();
        let last = (moments.len() - FLOORS_MAX).saturating_add(FORGOTTEN);
        sort::ascending(&mut moments);
        // As many as a moment has at once go with it.
        self.forget_before(moments.get(last).or(moments.last()).copied().unwrap_or_default());
        true
    }

    /// How many floors it has.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.floors.len()
    }

    /// Raises the floor of all tokens over those of a moment and before.
    fn forget_before(&mut self, since_s: u64) {
        if since_s > self.since_s {
            self.since_s = since_s;
            let left = self.floors.iter().filter(|(_, before_s)| *before_s > since_s).collect();
            self.floors = Floors::new(left);
        }
    }

    /// The form in shared memory: issuer 16, since 8, whether it was read 1, floors.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25 + self.floors.len() * FLOOR_BYTES);
        bytes.extend(self.issuer);
        bytes.extend(self.since_s.to_le_bytes());
        bytes.push(u8::from(self.was_read));
        self.floors.write(&mut bytes);
        bytes
    }

    /// Reads the form in shared memory.
    pub fn from_bytes(bytes: &[u8]) -> Option<Stream> {
        let (issuer, rest) = bytes.split_first_chunk::<16>()?;
        let (since, rest) = rest.split_first_chunk::<8>()?;
        let (was_read, rest) = rest.split_first()?;
        let since_s = u64::from_le_bytes(*since);
        let floors = Floors::read(rest)?;
        let was_read = *was_read == 1;
        let is_tidy = floors.iter().all(|(_, before_s)| before_s > since_s);
        is_tidy.then_some(Stream { issuer: *issuer, since_s, was_read, floors })
    }
}

#[cfg(test)]
mod tests;
