//! Concurrent identical refresh_token calls: one goes to the server, the others get its answer. In
//! this worker's memory alone, and for those alone who waited: an answer with a refresh token is
//! never stored (RFC 6749, section 6; RFC 9700, section 4.14.2 on rotation).

use crate::digest::Digest;
use crate::reply::Answer;
use crate::time::Time;

use super::Facts;
use super::flight::is_before;

/// A refresh call of this worker.
pub enum Refresh {
    /// It is under way since this moment, and counts as lost after a lease.
    UnderWay(Time),
    /// It was answered, for those who waited until this moment.
    Answered(Answer, Time),
}

/// How long those who waited may fetch their answer, in milliseconds: they are called at once.
const ANSWERED_MS: u64 = 2_000;
/// Calls under way and answers kept at most; beyond, calls simply aren't coalesced.
const REFRESHES_MAX: usize = 1_000;

/// What a refresh call does.
pub enum RefreshTurn {
    /// It goes to the server; whether others may wait for it.
    Lead(bool),
    /// It waits for the one under way.
    Follow,
    /// It gets the answer of the one that it waited for.
    Take(Answer),
}

impl Facts<'_> {
    /// What the call under `key` does, which has waited or has just come.
    pub fn join_refresh(&self, key: &Digest, has_waited: bool, lease_ms: u64) -> RefreshTurn {
        let mut worker = self.runtime.worker.borrow_mut();
        match worker.refreshes.get(key) {
            Some(Refresh::UnderWay(since)) if self.is_under_way(*since, lease_ms) => return RefreshTurn::Follow,
            Some(Refresh::Answered(answer, until)) if has_waited && self.now < *until => return RefreshTurn::Take(answer.clone()),
            _ => {}
        }
        if worker.refreshes.len() >= REFRESHES_MAX {
            worker.refreshes.retain(|_, refresh| match refresh {
                Refresh::UnderWay(since) => self.is_under_way(*since, lease_ms),
                Refresh::Answered(_, until) => self.now < *until,
            });
        }
        let has_room = worker.refreshes.len() < REFRESHES_MAX;
        if has_room {
            worker.refreshes.insert(*key, Refresh::UnderWay(self.now));
        }
        RefreshTurn::Lead(has_room)
    }

    /// Whether a call that began then may be under way still, also if the clock has gone back since.
    fn is_under_way(&self, since: Time, lease_ms: u64) -> bool {
        is_before(since, self.now) && self.now < since.plus_ms(lease_ms)
    }

    /// The call under `key` has ended; those who waited get the answer, or one of them leads if there is none.
    pub fn refresh_ended(&self, key: &Digest, answer: Option<Answer>) {
        let mut worker = self.runtime.worker.borrow_mut();
        // What holds a refresh token is kept for no longer than it is of use.
        let now = self.now;
        worker.refreshes.retain(|_, refresh| !matches!(refresh, Refresh::Answered(_, until) if *until <= now));
        match answer {
            Some(answer) => drop(worker.refreshes.insert(*key, Refresh::Answered(answer, self.now.plus_ms(ANSWERED_MS)))),
            None => drop(worker.refreshes.remove(key)),
        }
    }
}
