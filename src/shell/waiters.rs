//! Exchanges that wait on a host that can wake them from the root (Envoy).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::digest::Digest;
use crate::exchange::Exchange;
use crate::time::Time;

/// One exchange that waits for a fact.
pub struct Waiter {
    /// It.
    pub exchange: Rc<RefCell<Exchange>>,
    /// What it waits for.
    pub name: Digest,
    /// When it looks again in any case.
    pub deadline: Time,
    /// Whether it is to look at the next occasion.
    pub called: bool,
}

/// All that wait in this worker under one configuration, by context id.
#[derive(Default)]
pub struct Waiters {
    by_context: BTreeMap<u32, Waiter>,
}

/// Waking more than about 300 streams from one callback overflows Envoy's stack.
pub const WAKE_MAX: usize = 64;

impl Waiters {
    /// Adds one, in place of what waited under this id.
    pub fn add(&mut self, context: u32, waiter: Waiter) {
        self.by_context.insert(context, waiter);
    }

    /// Forgets one that has gone.
    pub fn remove(&mut self, context: u32) {
        self.by_context.remove(&context);
    }

    /// Whether this one waits.
    pub fn contains(&self, context: u32) -> bool {
        self.by_context.contains_key(&context)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_context.len()
    }

    /// The names waited for, each once.
    pub fn names(&self) -> Vec<Digest> {
        let mut names: Vec<Digest> = self.by_context.values().map(|waiter| waiter.name).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Calls all that wait for `name`.
    pub fn call(&mut self, name: &Digest) {
        for waiter in self.by_context.values_mut().filter(|waiter| waiter.name == *name) {
            waiter.called = true;
        }
    }

    /// Calls the first that waits for `name`: it takes over if nobody fetches.
    pub fn call_one(&mut self, name: &Digest) {
        if let Some(waiter) = self.by_context.values_mut().find(|waiter| waiter.name == *name) {
            waiter.called = true;
        }
    }

    /// Takes out at most `WAKE_MAX` that were called or whose time has come; tells whether more remain.
    pub fn take_called(&mut self, now: Time) -> (Vec<(u32, Waiter)>, bool) {
        let due = |waiter: &Waiter| waiter.called || now >= waiter.deadline;
        let ids: Vec<u32> = self.by_context.iter().filter(|(_, waiter)| due(waiter)).map(|(id, _)| *id).take(WAKE_MAX + 1).collect();
        let more = ids.len() > WAKE_MAX;
        let taken = ids.into_iter().take(WAKE_MAX).filter_map(|id| Some((id, self.by_context.remove(&id)?))).collect();
        (taken, more)
    }
}
