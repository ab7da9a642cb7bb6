//! What a worker tells other gateways, and hears of them.

use crate::facts::Turn;
use crate::facts::call::{Call, CallAnswer};
use crate::gateways::{self, Push};
use crate::request::HeaderBlock;
use crate::time::Time;

use super::Chain;

impl Chain {
    /// Milliseconds between the ticks that limits of several gateways need.
    pub fn sync_tick_ms(&self) -> Option<u32> {
        gateways::tick_ms(self.config.as_ref()?).and_then(|ms| u32::try_from(ms).ok())
    }

    /// Tells other gateways what was charged here, where that is due. `dispatch` makes a call.
    pub fn push_charges(&self, now: Time, dispatch: impl Fn(&Call) -> Option<u32>) {
        let given_up: Vec<u32> = self
            .pushes
            .borrow()
            .iter()
            .filter(|(_, push)| push.is_given_up(now))
            .map(|(token, _)| *token)
            .collect();
        for push in given_up.into_iter().filter_map(|token| self.take_push(token)) {
            self.learn_push(&push, &CallAnswer::failed(&HeaderBlock::default()));
        }
        let due = self.with_facts(|facts| {
            let mut due = gateways::pushes_due(facts);
            due.extend(gateways::presence_due(facts));
            due
        });
        for (push, call) in due.unwrap_or_default() {
            match dispatch(&self.as_it_arrives(call)) {
                Some(token) => {
                    self.pushes.borrow_mut().insert(token, push);
                }
                None => self.learn_push(&push, &CallAnswer::failed(&HeaderBlock::default())),
            }
        }
    }

    /// Makes the calls that read what other gateways tell, where they are due.
    pub fn order_readings(&self) {
        let due = self.with_facts(|facts| {
            let due = facts.readings_due().into_iter();
            due.filter(|fact| facts.join(fact) == Turn::Lead).collect::<Vec<_>>()
        });
        for fact in due.unwrap_or_default() {
            self.order(fact);
        }
    }

    /// Has the root called where others are to be told something at once.
    pub fn tell_soon(&self) {
        if self.with_facts(|facts| facts.has_news_to_tell()) == Some(true) {
            self.call_root();
        }
    }

    /// What a call told other gateways, if that is what it was for.
    pub fn take_push(&self, token: u32) -> Option<Push> {
        self.pushes.borrow_mut().remove(&token)
    }

    /// Takes in what came of telling them.
    pub fn learn_push(&self, push: &Push, answer: &CallAnswer<'_>) {
        self.with_facts(|facts| gateways::learn_push(facts, push, answer));
    }
}
