//! What this gateway has of token calls is told to others, at once.

use super::{Push, What};
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::metrics::Metric;
use crate::token_endpoint::elsewhere::{self, Tell, Told};

/// The call that is due.
pub(super) fn due(facts: &Facts<'_>) -> Option<(Push, Call)> {
    let gateways = facts.runtime.config.gateways.as_ref().filter(|of| of.answers)?;
    let (tells, by_text) = {
        let outbox = &mut facts.runtime.worker.borrow_mut().elsewhere.outbox;
        (outbox.take(facts.now)?, outbox.known.by_text())
    };
    let body = elsewhere::tell(&facts.runtime.sync_key, by_text, facts.now, &tells);
    Some(Push::made(&gateways.at, What::Answers(tells, by_text), body, facts.now))
}

/// Takes in what came of it.
pub(super) fn learn(facts: &Facts<'_>, told: &[Tell], by_text: bool, answer: &CallAnswer<'_>) {
    let Some(gateways) = &facts.runtime.config.gateways else { return };
    let meter = facts.host.meter;
    let outbox = &mut facts.runtime.worker.borrow_mut().elsewhere.outbox;
    let has_room = match elsewhere::told(&mut outbox.known, by_text, answer.status, answer.body) {
        Told::Taken(full) => {
            meter.count(Metric::AnswersTold);
            (0..full).take(told.len()).for_each(|_| meter.count(Metric::AnswersBehind));
            outbox.came(Vec::new(), true, facts.now, 0)
        }
        Told::TextNeeded if !by_text => outbox.again(told.to_vec()),
        Told::TextNeeded | Told::Nothing => {
            meter.count(Metric::AnswersTellFailed);
            outbox.came(told.to_vec(), false, facts.now, gateways.at.every_ms / 2)
        }
    };
    if !has_room {
        meter.count(Metric::AnswersBehind);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::digest::Digest;
    use crate::gateways::{learn_push, pushes_due};
    use crate::request::HeaderBlock;
    use crate::world::*;

    /// It has begun anew, and knows no script: what is withdrawn isn't put off for that.
    #[test]
    fn what_is_told_to_a_redis_without_the_script_goes_again_at_once() {
        let world = World::of(&[json!({
            "token_endpoints": [{ "path": "/token" }],
            "gateways": { "uri": "https://webdis.example/", "cluster": "webdis", "answers": true },
            "shared": { "secret": SECRET }
        })]);
        let tell = || {
            let one = Tell::WithdrawSecret(Digest([1; 32]));
            world.with(0, START, |facts| facts.tell_elsewhere(one));
        };
        let told = |said: &str| {
            let due = world.with(0, START, pushes_due);
            let [(push, call)] = &due[..] else { panic!("{} calls", due.len()) };
            let headers = HeaderBlock::default();
            let answer = CallAnswer { status: 200, headers: &headers, body: said.as_bytes() };
            world.with(0, START, |facts| learn_push(facts, push, &answer));
            call.body.split(|byte| *byte == b'/').next().unwrap().to_vec()
        };
        tell();
        assert_eq!(told(r#"{"EVAL":["0"]}"#), b"EVAL");
        tell();
        let no_script = r#"{"EVALSHA":[false,"NOSCRIPT No matching script."]}"#;
        assert_eq!(told(no_script), b"EVALSHA");
        assert_eq!(told(r#"{"EVAL":["0"]}"#), b"EVAL");
        assert_eq!(world.count(Metric::AnswersTold), 2);
        assert_eq!(world.count(Metric::AnswersTellFailed), 0);
    }
}
