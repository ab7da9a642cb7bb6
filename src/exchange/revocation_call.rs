//! One call to a revocation path (RFC 7009): read, held until what verifies its tokens is known,
//! and believed when the authorization server agrees.

use crate::config::Mode;
use crate::exchange::Started;
use crate::exchange::{Abilities, Effect};
use crate::facts::{Facts, Revocation, Turn};
use crate::metrics::Metric;
use crate::rate_limit::Address;
use crate::reply::{self, Answer, Place, Reason, Refusal, Why};
use crate::request::Request;
use crate::time::Time;
use crate::token_endpoint::revocation::{Named, named};

/// A call to a revocation path, from its body on.
pub struct RevocationCall {
    tokens: Vec<Target>,
    /// Whether the body was understood.
    is_clear: bool,
    /// Whose share of the room its tokens take, where anyone could have made them up.
    source: u64,
}

/// One token that it may mean.
struct Target {
    token: Vec<u8>,
    /// What revoking it takes, once that is known.
    revocation: Option<Revocation>,
}

impl RevocationCall {
    /// Reads a call whose body has come.
    pub fn begin(request: &Request<'_>, body: &[u8], facts: &Facts<'_>) -> RevocationCall {
        let query = request.target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
        let named: Named = named(query, body);
        let is_clear = named.is_clear();
        let tokens =
            named.tokens.into_iter().map(|token| Target { token, revocation: None }).collect();
        RevocationCall { tokens, is_clear, source: source(request, facts) }
    }

    /// What is to be fetched or waited for before it goes to the server; nothing once all is known
    /// that can be known in time.
    pub fn prepare(
        &mut self,
        request: &Request<'_>,
        deadline: &mut Option<Time>,
        abilities: Abilities,
        facts: &Facts<'_>,
    ) -> Option<Effect> {
        if facts.runtime.config.mode == Mode::Shadow {
            return None;
        }
        for Target { token, revocation } in
            self.tokens.iter_mut().filter(|target| target.revocation.is_none())
        {
            let missing = match facts.revocation_of(token) {
                Ok(known) => {
                    *revocation = Some(known);
                    continue;
                }
                Err(missing) => missing,
            };
            let until = *deadline.get_or_insert_with(|| {
                facts.host.meter.count(Metric::Waited);
                facts.now.plus_ms(facts.wait_ms_max(&missing))
            });
            if facts.now >= until {
                facts.host.meter.count(Metric::WaitTimedOut);
                return None;
            }
            let address =
                || request.surroundings.address().and_then(|address| Address::parse(&address));
            match facts.join_for(&missing, address) {
                Turn::Follow if abilities.waits => {
                    let name = missing.digest(&facts.runtime.host_key, &facts.runtime.config);
                    return Some(Effect::SleepUntil(until, name, missing.queue()));
                }
                // Who can't wait fetches for itself, if it may.
                Turn::Follow if facts.ask_beside(&missing, address).is_ok() => {
                    return Some(Effect::Fetch(missing, until));
                }
                // Its source is to have a pause: the token is remembered by its bytes.
                Turn::Follow | Turn::Later(_) => {}
                // Between the look and the lease another may have brought it.
                Turn::Lead => match facts.revocation_of(token) {
                    Ok(known) => {
                        facts.give_way(&missing);
                        *revocation = Some(known);
                    }
                    Err(missing) => return Some(Effect::Fetch(missing, until)),
                },
            }
        }
        None
    }

    /// The head of the server's answer has come.
    ///
    /// RFC 7009, section 2.2: 200 says that the token is good no more, and so does any other status
    /// that says yes. A client that hears of trouble instead tries again (section 2.2.1).
    pub fn started(&self, status: u16, facts: &Facts<'_>) -> Started {
        if !(200..300).contains(&status) {
            return Started::Pass;
        }
        // All are revoked, whatever became of the first.
        let kept = self
            .tokens
            .iter()
            .map(|target| self.revoke(target, facts))
            .fold(true, |all, one| all & one);
        let trouble = match (self.is_clear, kept) {
            (true, true) => return Started::Pass,
            (false, _) => Metric::RevocationUnread,
            (true, false) => Metric::RevocationNotKept,
        };
        facts.host.meter.count(trouble);
        match facts.runtime.config.mode {
            Mode::Enforce => Started::Kept(not_revoked(facts)),
            Mode::Shadow => {
                facts.host.meter.count(Metric::Shadowed(Reason::RevocationUnavailable));
                Started::Pass
            }
        }
    }

    fn revoke(&self, target: &Target, facts: &Facts<'_>) -> bool {
        match &target.revocation {
            Some(revocation) => facts.revoke(revocation, self.source),
            // What came too late for the call may be there by now.
            None => {
                let known = facts
                    .revocation_of(&target.token)
                    .unwrap_or_else(|_| facts.revocation_as_known(&target.token));
                facts.revoke(&known, self.source)
            }
        }
    }
}

/// The client's address, as limits see it.
fn source(request: &Request<'_>, facts: &Facts<'_>) -> u64 {
    let address = request.surroundings.address().and_then(|text| Address::parse(&text));
    match address {
        Some(Address::V4(bytes)) => facts.runtime.host_key.short(&bytes),
        Some(Address::V6(bytes)) => facts.runtime.host_key.short(&bytes),
        None => 0,
    }
}

/// The answer to a revocation call that the server took, but that wasn't understood here, or that
/// not every worker may have heard of.
fn not_revoked(facts: &Facts<'_>) -> Answer {
    let config = &facts.runtime.config;
    let mut refusal = Refusal::from(Reason::RevocationUnavailable);
    refusal.retry_after_s = Some(facts.retry_after_s(facts.now.plus_s(1)));
    facts.host.meter.count(Metric::Rejected(refusal.reason));
    let place = Place { token_endpoint: true, grpc: false };
    let mut answer = reply::answer(&refusal, config.errors, &config.realm, place);
    answer.why = Some(Box::new(Why::refused(refusal.reason)));
    answer
}

#[cfg(test)]
mod tests;
