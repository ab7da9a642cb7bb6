//! Which gateways are there: each worker says of its own that it is, and hears how many are. A gauge
//! tells it, and nothing depends on it. They are a set of their own: the set in which limits meet has
//! those alone that share limits.

use super::{Push, What};
use crate::digest::HostKey;
use crate::facts::Facts;
use crate::facts::call::{Call, CallAnswer};
use crate::rate_limit::sync::wire;
use crate::time::Time;

/// The call that is due.
pub(super) fn due(facts: &Facts<'_>) -> Option<(Push, Call)> {
    let at = &facts.runtime.config.gateways.as_ref()?.at;
    if !facts.runtime.worker.borrow_mut().present.take(facts.now) {
        return None;
    }
    let there = |key: &HostKey| wire::Name::new(key.digest("gateways that are there", &[]));
    let caller = wire::Caller {
        gateways: there(&facts.runtime.sync_key),
        previous: facts.runtime.sync_key.previous().map(there),
        gateway: wire::Name::new(facts.runtime.host_key.digest("gateway", &[])),
        late_ns: 0,
    };
    let body = wire::body(&caller, &[], facts.now);
    Some(Push::made(at, What::Presence, body, facts.now))
}

/// Takes in what came of it. A failure needs no count of its own: revocations that can't be read
/// have one.
pub(super) fn learn(facts: &Facts<'_>, asked_at: Time, answer: &CallAnswer<'_>) {
    let heard = (answer.status == 200).then(|| wire::parse(answer.body, &[])).flatten();
    if let Some(heard) = heard {
        facts.runtime.worker.borrow_mut().present.came(heard.gateways, asked_at);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gateways::{learn_push, presence_due};
    use crate::metrics::Gauge;
    use crate::request::HeaderBlock;
    use crate::simulation::host::Dialect;
    use crate::world::*;

    fn gateway(random: u8, secret: &str) -> World {
        let document = json!({
            "gateways": { "uri": "https://webdis.example/", "cluster": "webdis" },
            "shared": { "secret": secret }
        });
        let key = HostKey::new(&[random; 32], secret.as_bytes());
        World::of_workers(Dialect::Envoy, vec![runtime_under(&document, key)])
    }

    fn said(world: &World, now: Time) -> (Push, Vec<String>) {
        let (push, call) = world.with(0, now, presence_due).unwrap();
        let body = String::from_utf8(call.body).unwrap();
        (push, body.split('/').map(str::to_owned).collect())
    }

    fn hear(world: &World, now: Time, push: &Push, status: u16, body: &str) -> Option<u64> {
        let answer = CallAnswer { status, headers: &HeaderBlock::default(), body: body.as_bytes() };
        world.with(0, now, |facts| learn_push(facts, push, &answer));
        let told = world.with(0, now, |facts| facts.levels());
        told.into_iter().find(|(gauge, _)| *gauge == Gauge::Gateways).map(|(_, count)| count)
    }

    const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

    #[test]
    fn gateways_of_one_secret_are_in_one_set_and_nothing_else_is_told() {
        let worlds = [gateway(1, SECRET), gateway(2, SECRET), gateway(1, &SECRET.repeat(2))];
        let [a, b, stranger] = worlds.map(|world| said(&world, START).1);
        // EVAL, script, one key, the set, this gateway, ...
        assert_eq!((a[0].as_str(), a[2].as_str(), a.len()), ("EVAL", "1", 7));
        assert_eq!((&a[3], &a[5..]), (&b[3], &b[5..]));
        assert!(a[4] != b[4] && a[3] != stranger[3] && a[4] != stranger[4]);
    }

    #[test]
    fn a_gauge_says_how_many_there_are_as_long_as_redis_does() {
        let world = gateway(1, SECRET);
        let (push, _) = said(&world, START);
        assert!(world.with(0, START, presence_due).is_none(), "once in five seconds");
        assert_eq!(hear(&world, START, &push, 200, r#"{"EVAL":[3]}"#), Some(3));
        for (n, (status, body)) in
            [(503, ""), (200, "{}"), (200, r#"{"EVAL":[0]}"#), (200, r#"{"EVAL":[5,1]}"#)]
                .into_iter()
                .enumerate()
        {
            let now = START.plus_s(5 * (n as u64 + 1));
            let (push, _) = said(&world, now);
            let count = if n < 2 { 3 } else { 0 };
            assert_eq!(hear(&world, now, &push, status, body), Some(count), "{status} {body}");
        }
    }
}
