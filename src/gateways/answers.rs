//! What this gateway has of token calls is told to others, at once.

use super::{Push, What};
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::metrics::Metric;
use crate::token_endpoint::elsewhere::{self, Tell};

/// The call that is due.
pub(super) fn due(facts: &Facts<'_>) -> Option<(Push, Call)> {
    let gateways = facts.runtime.config.gateways.as_ref().filter(|of| of.answers)?;
    let (tells, by_text) = {
        let outbox = &mut facts.runtime.worker.borrow_mut().elsewhere.outbox;
        (outbox.take(facts.now)?, outbox.known.by_text())
    };
    let body = elsewhere::tell(&facts.runtime.sync_key, by_text, facts.now, &tells);
    let call = Call::post_command(&gateways.at.uri, &gateways.at.call, body);
    let timeout_ms = gateways.at.call.timeout_ms;
    Some((Push { what: What::Answers(tells, by_text), asked_at: facts.now, timeout_ms }, call))
}

/// Takes in what came of it.
pub(super) fn learn(facts: &Facts<'_>, told: &[Tell], by_text: bool, answer: &CallAnswer<'_>) {
    let Some(gateways) = &facts.runtime.config.gateways else { return };
    let meter = facts.host.meter;
    let outbox = &mut facts.runtime.worker.borrow_mut().elsewhere.outbox;
    let full = elsewhere::told(&mut outbox.known, by_text, answer.status, answer.body);
    let pause_ms = gateways.at.every_ms / 2;
    if !outbox.came(told.to_vec(), full.is_some(), facts.now, pause_ms) {
        meter.count(Metric::AnswersBehind);
    }
    match full {
        Some(full) => {
            meter.count(Metric::AnswersTold);
            (0..full).take(told.len()).for_each(|_| meter.count(Metric::AnswersBehind));
        }
        None => meter.count(Metric::AnswersTellFailed),
    }
}
