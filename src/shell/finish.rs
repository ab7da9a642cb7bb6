//! How a decided exchange ends at the host: the request goes on, changed, or the client is answered.

use proxy_wasm::types::Action;

use crate::exchange::changes::Changes;
use crate::exchange::{self, Finish, RETRY_AFTER_S};
use crate::metrics::Metric;
use crate::reply::{Reason, Refusal, Why};
use crate::request::HeaderBlock;

use super::abi::{self, Map};
use super::chain::Chain;
use super::hosts::Dialect;
use super::store::random;
use super::why;

/// Carries out how an exchange was decided.
pub fn carry_out_finish(finish: &Finish, dialect: Dialect) -> Action {
    match finish {
        Finish::Admit(changes) => {
            apply(changes, dialect);
            changes.edits().why.iter().for_each(|why| why::tell(why, dialect));
            Action::Continue
        }
        Finish::Answer(answer) => {
            why::respond(answer, dialect);
            Action::Pause
        }
    }
}

/// Changes the request that goes on.
#[inline(always)]
pub fn apply(changes: &Changes, dialect: Dialect) {
    if changes.has_edits() || changes.headers().next().is_some() {
        apply_each(changes, dialect);
    }
}

#[inline(never)]
fn apply_each(changes: &Changes, dialect: Dialect) {
    for name in &changes.edits().remove {
        // A header that is set below is replaced there.
        if changes.headers().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
            continue;
        }
        match dialect.caps().removes_headers {
            true => drop(abi::remove_header(Map::Request, name)),
            false => drop(abi::replace_header(Map::Request, name, "")),
        }
    }
    for (name, value) in changes.headers() {
        match name {
            ":path" => (dialect.caps().set_target)(value),
            _ => drop(abi::replace_header(Map::Request, name, value)),
        }
    }
}

/// What is done with a request that the shell itself refuses.
pub fn refuse(chain: &Chain, headers: &HeaderBlock, reason: Reason) -> Finish {
    if chain.is_in_shadow() {
        chain.count(Metric::Shadowed(reason));
        return Finish::Admit(Changes::default());
    }
    let mut refusal = Refusal::from(reason);
    if reason.status() == 503 {
        refusal.retry_after_s = Some(RETRY_AFTER_S + random() % RETRY_AFTER_S);
    }
    let (style, realm) = chain.style();
    let mut answer = exchange::finish::answer(headers, &refusal, style, realm);
    answer.why = Some(Box::new(Why::refused(reason)));
    Finish::Answer(answer)
}
