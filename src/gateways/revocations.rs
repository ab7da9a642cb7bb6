//! Tokens that calls revoked here are told to other gateways, at once, and what notes there are.

use super::{Push, What};
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::metrics::Metric;
use crate::revocation::told::{self, Batch, Cursor, Read};

/// The call that is due.
pub(super) fn due(facts: &Facts<'_>) -> Option<(Push, Call)> {
    let gateways = facts.runtime.config.gateways.as_ref().filter(|of| of.revocations)?;
    facts.tell_again();
    let (batch, by_text) = {
        let outbox = &mut facts.runtime.worker.borrow_mut().outbox;
        (outbox.take(facts.now)?, outbox.known.by_text())
    };
    let key = &facts.runtime.sync_key;
    let body = told::body(key, by_text, facts.fresh_era(), Read::default(), &batch);
    Some(Push::made(&gateways.at, What::Revocations(batch, by_text), body, facts.now))
}

/// Takes in what came of it.
pub(super) fn learn(facts: &Facts<'_>, told: &Batch, by_text: bool, answer: &CallAnswer<'_>) {
    let Some(gateways) = &facts.runtime.config.gateways else { return };
    let key = &facts.runtime.sync_key;
    let (said, heard) = told::parse(key, answer.status, answer.body, Cursor::default(), 0);
    let meter = facts.host.meter;
    {
        let outbox = &mut facts.runtime.worker.borrow_mut().outbox;
        outbox.known.learn(by_text, &said, answer.status);
        if said == crate::redis::Said::TextNeeded && !by_text {
            return outbox.again(told);
        }
        let pause_ms = gateways.at.every_ms / 2;
        outbox.came(told, heard.is_some(), facts.now, pause_ms);
    }
    match heard {
        Some(heard) => {
            meter.count(Metric::GatewaysTold);
            facts.note_told(heard.newest);
            (0..heard.refused)
                .take(told.entries.len())
                .for_each(|_| meter.count(Metric::GatewaysBehind));
        }
        None => meter.count(Metric::GatewaysTellFailed),
    }
}

#[cfg(test)]
mod tests;
