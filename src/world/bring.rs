//! Tokens without a request: what the facts say of them, and what is fetched for that.

use std::rc::Rc;

use super::World;
use crate::facts::call::CallAnswer;
use crate::facts::{Fact, Stop, Turn, Verified};
use crate::reply::Reason;
use crate::request::HeaderBlock;
use crate::time::Time;

impl World {
    /// What a request with the token meets.
    pub(crate) fn check(
        &self,
        worker: usize,
        now: Time,
        token: &str,
    ) -> Result<Rc<Verified>, Stop> {
        self.with(worker, now, |facts| match facts.verified_before(token.as_bytes())? {
            Some(verified) => Ok(verified),
            None => facts.verify(token.as_bytes(), None),
        })
    }

    /// The same, with each fact that is missing brought by `serve` as often as it is asked for.
    /// Gives the paths that were asked for too.
    pub(crate) fn fetch(
        &self,
        worker: usize,
        now: Time,
        token: &str,
        serve: impl Fn(&str) -> (u16, String),
    ) -> (Result<(), Reason>, Vec<String>) {
        let mut asked = Vec::new();
        loop {
            match self.check(worker, now, token) {
                Ok(_) => return (Ok(()), asked),
                Err(Stop::Refuse(refusal)) => return (Err(refusal.reason), asked),
                Err(Stop::Missing(fact)) => {
                    assert!(asked.len() < 8, "asked for {asked:?}");
                    asked.push(self.bring(worker, now, &fact, &serve));
                }
            }
        }
    }

    /// Leads a fetch; gives the path that it asked for.
    pub(crate) fn bring(
        &self,
        worker: usize,
        now: Time,
        fact: &Fact,
        serve: impl Fn(&str) -> (u16, String),
    ) -> String {
        self.with(worker, now, |facts| {
            assert_eq!(facts.join(fact), Turn::Lead, "{fact:?}");
            let call = fact.call(&facts.runtime.config).unwrap();
            let path = call.headers.iter().find(|(name, _)| name == ":path").unwrap().1.clone();
            let (status, body) = serve(&path);
            let headers = HeaderBlock::default();
            facts.learn(fact, &CallAnswer { status, headers: &headers, body: body.as_bytes() });
            path
        })
    }

    /// One tick of a worker, in which servers answer so; gives the paths that it asked for.
    pub(crate) fn tick_with(
        &self,
        worker: usize,
        now: Time,
        serve: impl Fn(&str) -> (u16, String),
    ) -> Vec<String> {
        let due = self.with(worker, now, |facts| facts.due());
        due.iter().map(|fact| self.bring(worker, now, fact, &serve)).collect()
    }
}

/// Why a request was refused.
pub(crate) fn refused<T>(result: Result<T, Stop>) -> Option<Reason> {
    match result {
        Err(Stop::Refuse(refusal)) => Some(refusal.reason),
        _ => None,
    }
}

/// Whether a fact is missing.
pub(crate) fn is_missing<T>(result: Result<T, Stop>) -> bool {
    matches!(result, Err(Stop::Missing(_)))
}
