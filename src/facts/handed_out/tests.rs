//! Answers are kept and revoked at once, on workers that switch inside every host call.

use std::rc::Rc;

use serde_json::json;

use crate::config::{Config, HostKind};
use crate::digest::{Digest, HostKey};
use crate::facts::{Facts, Host, Runtime};
use crate::metrics::NoMeter;
use crate::shared::Moment;
use crate::shared::twin::Twin;
use crate::signature::NoHost;
use crate::simulation::host::Dialect;
use crate::simulation::schedule::{Worker, World};
use crate::token_endpoint::elsewhere::Tell;
use crate::token_endpoint::jitter::Draw;
use crate::token_endpoint::reuse::{Kind, Life, Stored};
use crate::world::START;

const TOKEN: &[u8] = b"opaque-token";

fn runtime() -> Runtime {
    let document = r#"{"token_endpoints": [{"path": "/token", "revocation_path": "/revoke", "jitter": 0}],
        "shared": {"secret": "shared-secret-of-thirty-two-bytes-or-more"}}"#;
    let config = Config::load(document.as_bytes(), &|_| None, HostKind::Envoy)
        .unwrap_or_else(|errors| panic!("{errors}"));
    Runtime::new(Rc::new(config), HostKey::new(&[9; 32], b"simulation"))
}

fn with<T>(runtime: &Runtime, at: &Moment<'_>, work: impl FnOnce(&Facts<'_>) -> T) -> T {
    let host = Host { store: at.store, verify: &NoHost, meter: &NoMeter };
    work(&Facts { runtime, host: &host, now: at.now })
}

fn key(n: u8) -> Digest {
    Digest([n; 32])
}

fn keep(runtime: &Runtime, at: &Moment<'_>, n: u8) {
    with(runtime, at, |facts| keep_here(facts, n));
}

fn keep_here(facts: &Facts<'_>, n: u8) {
    let handle = super::token_handle(&facts.runtime.names_key, TOKEN);
    let life = Life { asked_at: facts.now, expires_in_s: 3_600, jwt_exp_s: None, draw: Draw::NONE };
    let body =
        br#"{"access_token":"opaque-token","token_type":"Bearer","expires_in":3600}"#.to_vec();
    let stored = Stored {
        status: 200,
        content_type: b"application/json".to_vec(),
        body,
        challenge: None,
        kind: Kind::Token { life, handle },
    };
    let endpoint = &facts.runtime.config.token_endpoints[0];
    facts.keep_answer(&key(n), Some(&key(9)), &stored, endpoint);
}

fn is_served(runtime: &Runtime, at: &Moment<'_>, n: u8) -> bool {
    let endpoint = &runtime.config.token_endpoints[0];
    matches!(
        with(runtime, at, |facts| facts.token_answer(&key(n), Some(&key(9)), endpoint)),
        crate::facts::tokens::Known::Answer(..)
    )
}

type Work = Box<dyn FnOnce(&Worker<'_>) + Send>;

/// Answers with one token come to two workers while a third revokes it and a fourth serves.
fn round(seed: u64, dialect: Dialect, twin: Option<Twin>) -> Result<(), String> {
    let world = World::new(dialect, seed, 4, twin);
    let kept = |n: u8| {
        move |worker: &Worker<'_>| {
            let runtime = runtime();
            keep(&runtime, &worker.begin(), n);
            worker.done();
        }
    };
    let revokes = |worker: &Worker<'_>| {
        let runtime = runtime();
        assert!(with(&runtime, &worker.begin(), |facts| facts.revoke_token(TOKEN)));
        // From here on no worker hands it out that looks now; the last word is below.
        worker.done();
    };
    let serves = |worker: &Worker<'_>| {
        let runtime = runtime();
        for n in [1, 2, 1, 2] {
            is_served(&runtime, &worker.begin(), n);
            worker.done();
        }
    };
    let works: Vec<Work> =
        vec![Box::new(kept(1)), Box::new(kept(2)), Box::new(revokes), Box::new(serves)];
    world.run(works);
    let left = world.alone(|worker| {
        let (runtime, at) = (runtime(), worker.begin());
        [1, 2].iter().any(|n| is_served(&runtime, &at, *n))
    });
    if left { Err("a revoked token is handed out".to_owned()) } else { Ok(()) }
}

#[test]
fn no_order_of_keeping_and_revoking_hands_out_a_revoked_token() {
    for seed in 0..150 {
        for dialect in Dialect::ALL {
            if let Err(wrong) = round(seed, dialect, None) {
                panic!("SEED={seed} on {dialect:?}: {wrong}");
            }
        }
    }
}

#[test]
fn who_keeps_an_answer_without_a_look_or_revokes_in_the_other_order_is_caught() {
    for twin in [Twin::KeptUnasked, Twin::WithdrawnFirst] {
        for dialect in Dialect::ALL {
            let caught = (0..2_000).find(|seed| round(*seed, dialect, Some(twin)).is_err());
            assert!(caught.is_some(), "{twin:?} on {dialect:?}");
        }
    }
}

/// A worker that has seen an answer in force notices that its token is revoked on another, though
/// its records gave way to others before.
#[test]
fn what_gave_way_is_not_handed_out() {
    for dialect in Dialect::ALL {
        let world = World::new(dialect, 1, 1, None);
        let served = world.alone(|worker| {
            let (one, other) = (runtime(), runtime());
            let at = worker.begin();
            keep(&one, &at, 1);
            let before = [is_served(&one, &at, 1), is_served(&other, &at, 1)];
            let handle = super::token_handle(&one.names_key, TOKEN);
            with(&one, &at, |facts| facts.shared().remove_token(&facts.token_record(&handle)));
            assert!(with(&one, &at, |facts| facts.revoke_token(TOKEN)));
            (before, [is_served(&one, &at, 1), is_served(&other, &at, 1)])
        });
        assert_eq!(served, ([true, true], [false, false]));
    }
}

/// While `shared.secret` is replaced a gateway may have left it under the other name.
#[test]
fn a_token_that_is_found_inactive_is_withdrawn_under_both_names() {
    let document = json!({
        "token_endpoints": [{ "path": "/token", "jitter": 0 }],
        "gateways": { "uri": "https://webdis.example/", "cluster": "webdis", "answers": true },
        "shared": {
            "secret": "the secret that is in use from today on",
            "secret_previous": "the secret that was in use until today"
        }
    });
    let world = crate::world::World::of(&[document]);
    world.with(0, START, |facts| {
        keep_here(facts, 1);
        facts.withdraw_inactive(TOKEN);
    });
    let Runtime { names_key, worker, .. } = &world.workers[0];
    let names = [names_key, names_key.previous().unwrap()];
    let withdrawn = names.map(|key| Tell::WithdrawToken(super::token_handle(key, TOKEN)));
    assert_eq!(worker.borrow_mut().elsewhere.outbox.take(START).unwrap(), withdrawn);
}
