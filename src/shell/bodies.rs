//! Exchanges that wait for their request's body (Envoy), and until when.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::exchange::Exchange;
use crate::time::Time;

/// How long a body may take, in milliseconds: more than a client needs for a form of a few KiB, and
/// less than a gateway waits for a request (`request_timeout` in envoy/envoy.yaml, 60 s).
const BODY_MS_MAX: u64 = 10_000;
/// Exchanges that one tick ends at most.
const ENDS_MAX: usize = 64;

/// Each by its context.
#[derive(Default)]
pub struct Bodies(RefCell<BTreeMap<u32, Waiting>>);

struct Waiting {
    exchange: Rc<RefCell<Exchange>>,
    since: Time,
}

impl Bodies {
    /// The context's body is awaited.
    pub fn wait(&self, context: u32, exchange: &Rc<RefCell<Exchange>>, now: Time) {
        self.0.borrow_mut().insert(context, Waiting { exchange: exchange.clone(), since: now });
    }

    /// It has come, or its exchange is over.
    pub fn forget(&self, context: u32) {
        let mut waiting = self.0.borrow_mut();
        if !waiting.is_empty() {
            waiting.remove(&context);
        }
    }

    /// Those that have waited too long, a bounded number.
    pub fn take_late(&self, now: Time) -> Vec<(u32, Rc<RefCell<Exchange>>)> {
        let mut waiting = self.0.borrow_mut();
        let is_late =
            |one: &Waiting| now.ms_since(one.since) >= BODY_MS_MAX || one.since.is_ahead_of(now);
        let late: Vec<u32> = waiting
            .iter()
            .filter(|(_, one)| is_late(one))
            .map(|(context, _)| *context)
            .take(ENDS_MAX)
            .collect();
        late.into_iter()
            .filter_map(|context| Some((context, waiting.remove(&context)?.exchange)))
            .collect()
    }
}
