//! Which keys are tried for a token that doesn't say which one signed it, and how many.
//!
//! All that fit are tried, so that no good token is refused. What that costs is bounded, since
//! anyone can send a token that no key verifies: [`TRIES_FREE`] a token are free, those that
//! verified lately first; the others together take at most a fifth of a worker's time for each
//! issuer. Beyond, a token isn't called bad but told to come back.

use crate::metrics::Metric;
use crate::reply::Reason;
use crate::signature::{Algorithm, VerifyKey};
use crate::time::Time;

use super::{Facts, Stop};

/// Keys that are tried for one token whatever was tried before, and keys whose success is
/// remembered.
const TRIES_FREE: usize = 8;
/// For each nanosecond that further tries take, so many must pass.
const SHARE: u64 = 5;
/// How far ahead of that pace they may be, in milliseconds: a set of a hundred keys costs less than
/// this.
const AHEAD_MS: u64 = 2_000;
/// How far ahead one token can bring them, in milliseconds; what lies further ahead is of before
/// the clock went back.
const PLAUSIBLE_MS: u64 = 60_000;

/// What a worker knows of the keys of one issuer.
#[derive(Default)]
pub struct Tries {
    /// Fingerprints of keys that verified lately, the newest first.
    lately: Vec<[u8; 32]>,
    /// When the pace allows for all tries until now.
    paid_at: Time,
}

impl Facts<'_> {
    /// Sorts keys so that those which verified lately come first.
    pub(super) fn likeliest_first(&self, issuer: usize, keys: &mut [&VerifyKey]) {
        let worker = self.runtime.worker.borrow();
        let Some(tries) = worker.tries.get(issuer).filter(|_| keys.len() > 1) else { return };
        to_front(keys, &tries.lately);
    }

    /// Notes that a key verified a token.
    pub(super) fn has_verified(&self, issuer: usize, key: &VerifyKey) {
        let mut worker = self.runtime.worker.borrow_mut();
        let Some(tries) = worker.tries.get_mut(issuer) else { return };
        tries.lately.retain(|known| known != key.fingerprint());
        tries.lately.insert(0, *key.fingerprint());
        tries.lately.truncate(TRIES_FREE);
    }

    /// Whether one more key may be tried for a token for which so many were, and if so charges it.
    ///
    /// # Errors `KeysUnavailable` for a moment. A token for which tries beyond the free ones have
    /// begun is tried to the end.
    pub(super) fn may_try(
        &self,
        issuer: usize,
        tried: usize,
        algorithm: Algorithm,
        key: &VerifyKey,
    ) -> Result<(), Stop> {
        if tried < TRIES_FREE {
            return Ok(());
        }
        let mut worker = self.runtime.worker.borrow_mut();
        let Some(tries) = worker.tries.get_mut(issuer) else { return Ok(()) };
        let is_plausible = tries.paid_at <= self.now.plus_ms(PLAUSIBLE_MS);
        let paid_at = if is_plausible { tries.paid_at.max(self.now) } else { self.now };
        if tried == TRIES_FREE && paid_at > self.now.plus_ms(AHEAD_MS) {
            drop(worker);
            self.host.meter.count(Metric::JwksNotAllTried);
            return Err(self.unavailable(Reason::KeysUnavailable, self.now.plus_ms(AHEAD_MS)));
        }
        tries.paid_at = Time::from_ns(
            paid_at.ns().saturating_add(key.cost_ns(algorithm).saturating_mul(SHARE)),
        );
        Ok(())
    }
}

/// Moves keys with these fingerprints to the front, in this order; the others keep theirs.
fn to_front(keys: &mut [&VerifyKey], first: &[[u8; 32]]) {
    let mut placed = 0;
    for fingerprint in first {
        let rest = keys.get_mut(placed..).unwrap_or_default();
        let at = rest.iter().position(|key| key.fingerprint() == fingerprint);
        if let Some(passed) = at.and_then(|at| rest.get_mut(..=at)) {
            passed.rotate_right(1);
            placed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{Algorithm, AlgorithmSet};

    #[test]
    fn those_that_verified_lately_come_first() {
        let algorithms = AlgorithmSet::from_slice(&[Algorithm::HS256]);
        let key = |n| VerifyKey::from_secret(&[n; 32], algorithms, false).unwrap();
        let keys: Vec<VerifyKey> = (0..6).map(key).collect();
        let place = |key: &&VerifyKey| {
            keys.iter().position(|other| other.fingerprint() == key.fingerprint()).unwrap()
        };
        let after = |first: &[usize]| -> Vec<usize> {
            let mut sorted: Vec<&VerifyKey> = keys.iter().collect();
            // What is known of no key here is passed over.
            let of = |at: &usize| keys.get(*at).map_or([9; 32], |key| *key.fingerprint());
            to_front(&mut sorted, &first.iter().map(of).collect::<Vec<_>>());
            sorted.iter().map(place).collect()
        };
        assert_eq!(after(&[]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(after(&[4]), [4, 0, 1, 2, 3, 5]);
        assert_eq!(after(&[1, 99, 5, 0]), [1, 5, 0, 2, 3, 4]);
        assert_eq!(after(&[5, 4, 3, 2, 1, 0]), [5, 4, 3, 2, 1, 0]);
    }
}
