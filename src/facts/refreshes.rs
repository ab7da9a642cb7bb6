//! Concurrent identical refresh_token calls: one goes to the server, the others get its answer. In
//! this worker's memory alone, and for those alone who waited: an answer with a refresh token is
//! never stored (RFC 6749, section 6; RFC 9700, section 4.14.2 on rotation).

use crate::digest::Digest;
use crate::reply::Answer;
use crate::time::Span;

use super::Facts;

/// A refresh call of this worker.
pub enum Refresh {
    /// It is under way, and counts as lost after this.
    UnderWay(Span),
    /// It was answered, for those who waited and come in this time.
    Answered(Answer, Span),
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
            Some(Refresh::UnderWay(span)) if span.holds(self.now) => return RefreshTurn::Follow,
            Some(Refresh::Answered(answer, span)) if has_waited && span.holds(self.now) => {
                return RefreshTurn::Take(answer.clone());
            }
            _ => {}
        }
        if worker.refreshes.len() >= REFRESHES_MAX {
            let now = self.now;
            worker.refreshes.retain(|_, refresh| match refresh {
                Refresh::UnderWay(span) | Refresh::Answered(_, span) => span.holds(now),
            });
        }
        let has_room = worker.refreshes.len() < REFRESHES_MAX;
        if has_room {
            worker.refreshes.insert(
                *key,
                Refresh::UnderWay(Span { from: self.now, until: self.now.plus_ms(lease_ms) }),
            );
        }
        RefreshTurn::Lead(has_room)
    }

    /// The call under `key` has ended; those who waited get the answer, or one of them leads if
    /// there is none.
    pub fn refresh_ended(&self, key: &Digest, answer: Option<Answer>) {
        let mut worker = self.runtime.worker.borrow_mut();
        // What holds a refresh token is kept for no longer than it is of use.
        let now = self.now;
        worker.refreshes.retain(
            |_, refresh| !matches!(refresh, Refresh::Answered(_, span) if !span.holds(now)),
        );
        match answer {
            Some(answer) => {
                let span = Span { from: self.now, until: self.now.plus_ms(ANSWERED_MS) };
                drop(worker.refreshes.insert(*key, Refresh::Answered(answer, span)));
            }
            None => drop(worker.refreshes.remove(key)),
        }
    }
}
