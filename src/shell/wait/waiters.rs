//! Exchanges that wait on a host that can wake them from the root (Envoy).
//!
//! Each waits under a name. What this worker brings itself calls all who wait for it. What another
//! worker brings can't: those names are looked at in turn, a bounded number on each tick, and one
//! that nobody leads any more wakes the first who waits for it. So waiting costs nothing by itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::rc::Rc;

use crate::digest::Digest;
use crate::exchange::Exchange;
use crate::facts::Queue;
use crate::sort;
use crate::time::Time;

/// One exchange that waits for a fact.
pub struct Waiter {
    /// The exchange that is woken.
    pub exchange: Rc<RefCell<Exchange>>,
    /// What it waits for.
    pub name: Digest,
    /// When it began to wait, for this or for what came before.
    pub since: Time,
    /// When it looks again in any case.
    pub deadline: Time,
    /// Among whom it waits.
    pub queue: Queue,
    /// Whether this worker brings what it waits for.
    pub is_led_here: bool,
}

/// All that wait in this worker under one configuration, by context id.
#[derive(Default)]
pub struct Waiters {
    by_context: BTreeMap<u32, Waiter>,
    by_name: BTreeMap<Digest, BTreeSet<u32>>,
    /// Names of what other workers bring, and the one that was looked at last.
    led_elsewhere: BTreeSet<Digest>,
    looked_at: Option<Digest>,
    called: BTreeSet<u32>,
    deadlines: BTreeSet<(Time, u32)>,
    /// How many wait in each of `Queue::ALL`.
    lengths: [usize; Queue::ALL.len()],
}

/// Waking more than about 300 streams from one callback overflows Envoy's stack.
pub const WAKE_MAX: usize = 64;

impl Waiters {
    /// Adds one, in place of what waited under this id.
    pub fn add(&mut self, context: u32, waiter: Waiter) {
        self.remove(context);
        self.by_name.entry(waiter.name).or_default().insert(context);
        self.deadlines.insert((waiter.deadline, context));
        self.change_length(waiter.queue, |length| length.saturating_add(1));
        match waiter.is_led_here {
            true => self.led_elsewhere.remove(&waiter.name),
            false => self.led_elsewhere.insert(waiter.name),
        };
        self.by_context.insert(context, waiter);
    }

    /// Forgets one that has gone; gives it.
    pub fn remove(&mut self, context: u32) -> Option<Waiter> {
        let waiter = self.by_context.remove(&context)?;
        self.called.remove(&context);
        self.deadlines.remove(&(waiter.deadline, context));
        self.change_length(waiter.queue, |length| length.saturating_sub(1));
        if let Some(others) = self.by_name.get_mut(&waiter.name) {
            others.remove(&context);
            if others.is_empty() {
                self.by_name.remove(&waiter.name);
                self.led_elsewhere.remove(&waiter.name);
            }
        }
        Some(waiter)
    }

    /// Whether this one waits.
    pub fn contains(&self, context: u32) -> bool {
        self.by_context.contains_key(&context)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_context.len()
    }

    /// How many wait in this queue.
    pub fn len_of(&self, queue: Queue) -> usize {
        self.lengths.get(queue.place()).copied().unwrap_or_default()
    }

    fn change_length(&mut self, queue: Queue, change: impl FnOnce(usize) -> usize) {
        if let Some(length) = self.lengths.get_mut(queue.place()) {
            *length = change(*length);
        }
    }

    /// When the first of them looks again in any case.
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Whether some wait for what another worker brings.
    pub fn look_elsewhere(&self) -> bool {
        !self.led_elsewhere.is_empty()
    }

    /// At most `max` names of what other workers bring: each in its turn.
    pub fn next_elsewhere(&mut self, max: usize) -> Vec<Digest> {
        let names = &self.led_elsewhere;
        let after = self.looked_at.map_or(Unbounded, Excluded);
        let next = names
            .range((after, Unbounded))
            .chain(names.iter())
            .take(max.min(names.len()))
            .copied()
            .collect::<Vec<_>>();
        self.looked_at = next.last().copied();
        next
    }

    /// Calls all that wait for `name`.
    pub fn call(&mut self, name: &Digest) {
        self.called.extend(self.by_name.get(name).into_iter().flatten());
    }

    /// Calls the first that waits for `name`: it takes over if nobody fetches.
    pub fn call_one(&mut self, name: &Digest) {
        self.called.extend(self.by_name.get(name).and_then(BTreeSet::first));
    }

    /// Takes out at most `WAKE_MAX` that were called or whose time has come; tells whether more
    /// remain.
    pub fn take_called(&mut self, now: Time) -> (Vec<(u32, Waiter)>, bool) {
        let due =
            self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| *id);
        let mut ids: Vec<u32> =
            self.called.iter().copied().chain(due).take(2 * WAKE_MAX + 2).collect();
        sort::ascending(&mut ids);
        ids.dedup();
        let more = ids.len() > WAKE_MAX;
        let taken =
            ids.into_iter().take(WAKE_MAX).filter_map(|id| Some((id, self.remove(id)?))).collect();
        (taken, more)
    }
}
