//! What counts once at several gateways (`replay.scope: gateways`): Redis knows what was used at any
//! of them. A request is remembered in its own gateway first, which costs no call where the same
//! comes again; then one call asks whether it is the first of all.
//!
//! Redis's memory has a beginning too, and what was made before it is refused: it begins anew where
//! Redis was emptied, has lost a key, or is another process than it was. So a restart from a file of
//! some minutes ago, or a replica that lagged behind, admits nothing twice.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::Value;

use crate::config::Scope;
use crate::digest::{Digest, HostKey};
use crate::metrics::Metric;
use crate::redis::{self, Said, Script};
use crate::shared::Epoch;
use crate::time::{NS_PER_S, Time};

use super::super::Facts;
use super::super::call::{Call, CallAnswer};
use super::{Named, Once, Spent};

/// The longest that a request waits for Redis, in milliseconds.
pub const WAIT_MS_MAX: u64 = 50;
/// Failures in a row from which on Redis is left alone for a while.
const FAILURES_MIN: u64 = 3;
/// Ids that Redis holds at most, in terms of what one gateway holds.
const ROOM_FACTOR: u64 = 16;
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 1_024;

/// One question: whether what a request has is used for the first time at any gateway.
pub struct Claim {
    /// What its answer is waited for under: nobody else asks this.
    name: Digest,
    body: Vec<u8>,
    by_text: bool,
    /// Whether the first of its ids is a proof's.
    has_proof: bool,
    outcome: Cell<Option<Outcome>>,
}

impl PartialEq for Claim {
    fn eq(&self, other: &Claim) -> bool {
        self.name == other.name
    }
}

impl Eq for Claim {}

/// What became of a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is the first.
    First,
    /// Why it isn't.
    Spent(Spent),
    /// It is to be asked once more, with the script's text.
    Again,
}

impl Claim {
    /// What has become of it; nothing before its answer came.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get()
    }

    /// The call that asks.
    pub(in crate::facts) fn call(&self, config: &crate::config::Config) -> Option<Call> {
        let at = &config.gateways.as_ref()?.at;
        let mut call = Call::post_command(&at.uri, &at.call, self.body.clone());
        call.timeout_ms = call.timeout_ms.min(WAIT_MS_MAX);
        Some(call)
    }

    const fn is_proof(&self, which: usize) -> bool {
        self.has_proof && which == 0
    }

    /// What its answer is waited for under.
    pub(in crate::facts) fn digest(&self) -> Digest {
        self.name
    }
}

/// Each id: its member, the same under the secret before, its end in seconds, and the earliest
/// moment at which it can have been seen, in microseconds. The first is the proof; one that isn't
/// the first ends it, so that a proof that was seen spends no token.
///
/// A member begins with four characters that say whose it is. An owner gets room while it has less
/// than there is left, as in a gateway's own memory.
///
/// With a secret before or after this one its set is looked through too, and what was made before
/// either began is refused. Where it was met once and is gone, it begins anew.
///
/// An id is dropped once its end is a minute ago by the clocks of both, Redis and the caller.
const SCRIPT: Script = Script {
    text: "\
local time = redis.call('TIME')
local now = math.min(tonumber(ARGV[1]), tonumber(time[1]))
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local function born(state, set, begin)
  local was = redis.call('HMGET', state, 'born', 'run', 'count')
  local count = redis.call('ZCARD', set)
  if was[1] and was[2] == run and count == tonumber(was[3]) then return tonumber(was[1]) end
  if not was[1] and count == 0 and not begin then return 0 end
  if count == 0 then redis.call('DEL', state) end
  redis.call('HSET', state, 'born', ARGV[2], 'run', run, 'count', count)
  return tonumber(ARGV[2])
end
local since = born(KEYS[1], KEYS[2], true)
if #KEYS == 4 then
  local met = redis.call('HGET', KEYS[1], 'met')
  local other = born(KEYS[3], KEYS[4], met)
  if other > 0 and not met then redis.call('HSET', KEYS[1], 'met', 1) end
  since = math.max(since, other)
end
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 60, 'LIMIT', 0, 100)
for i = 1, #ended do
  redis.call('ZREM', KEYS[2], ended[i])
  local owner = string.sub(ended[i], 1, 4)
  if redis.call('HINCRBY', KEYS[1], owner, -1) < 1 then redis.call('HDEL', KEYS[1], owner) end
end
local verdict, which = 'first', 0
for i = 4, #ARGV, 4 do
  local owner = string.sub(ARGV[i], 1, 4)
  if redis.call('ZSCORE', KEYS[2], ARGV[i])
    or #KEYS == 4 and redis.call('ZSCORE', KEYS[4], ARGV[i + 1]) then
    verdict = 'seen'
  elseif tonumber(ARGV[i + 3]) < since then
    verdict = 'old'
  elseif tonumber(redis.call('HGET', KEYS[1], owner) or 0)
    >= tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[2]) then
    verdict = 'full'
  else
    redis.call('ZADD', KEYS[2], ARGV[i + 2], ARGV[i])
    redis.call('HINCRBY', KEYS[1], owner, 1)
  end
  if verdict ~= 'first' then
    which = (i - 4) / 4
    break
  end
end
redis.call('HSET', KEYS[1], 'count', redis.call('ZCARD', KEYS[2]))
for i = 1, 2 do redis.call('EXPIRE', KEYS[i], 34560000) end
return { verdict, tostring(which), string.format('%.0f', since) }",
    sha1: "8bbf4ea9450bc12a60cdc62005493dd61b629fa7",
};

/// What the script says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Heard {
    verdict: Verdict,
    /// Which of the ids it is about.
    which: usize,
    /// Since when Redis remembers.
    since: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    First,
    Seen,
    Old,
    Full,
}

impl Facts<'_> {
    /// Whether what counts once counts at all gateways together.
    #[inline(always)]
    pub fn counts_once_for_all(&self) -> bool {
        self.runtime.config.replay.scope == Scope::Gateways
    }

    /// The key of ids: the same at all gateways where they count there together.
    pub(super) fn ids_key(&self) -> &HostKey {
        match self.runtime.config.replay.scope {
            Scope::Gateway => &self.runtime.host_key,
            Scope::Gateways => &self.runtime.sync_key,
        }
    }

    /// Remembers here what counts once, and gives the question for all other gateways.
    ///
    /// # Errors
    /// Why it is no first use already here, or that nobody can be asked.
    pub fn claim(&self, once: &Once) -> Result<Rc<Claim>, Spent> {
        // Before anything is spent: what is refused for this may come again.
        if self.is_left_alone() {
            return Err(Spent::Unknown);
        }
        if let Some(proof) = &once.proof {
            self.remember_once(proof, Spent::Proof)?;
        }
        if let Some(token) = &once.token {
            self.remember_once(token, Spent::Token)?;
        }
        Ok(self.question(once, self.runtime.worker.borrow().claims.by_text()))
    }

    /// The same question once more, with the script's text.
    pub fn claim_again(&self, once: &Once) -> Rc<Claim> {
        self.question(once, true)
    }

    fn question(&self, once: &Once, by_text: bool) -> Rc<Claim> {
        let random = || self.host.store.random().to_le_bytes();
        let fields = [&self.now.ns().to_le_bytes()[..], &random(), &random()];
        let room = u64::from(self.runtime.config.replay.ids_max).saturating_mul(ROOM_FACTOR);
        let head = [self.now.s().to_string(), micros(self.now).to_string(), room.to_string()];
        let ids = [&once.proof, &once.token].into_iter().flatten().flat_map(|single| {
            [
                member(&single.named),
                single.previous.as_ref().map(member).unwrap_or_default(),
                single.until.ns().div_ceil(NS_PER_S).to_string(),
                micros(single.since).to_string(),
            ]
        });
        let key = self.ids_key();
        let mut keys = keys_of(key).to_vec();
        keys.extend(key.previous().into_iter().flat_map(keys_of));
        Rc::new(Claim {
            name: self.runtime.host_key.digest("question", &fields),
            body: redis::call(&SCRIPT, by_text, &keys, head.into_iter().chain(ids)),
            by_text,
            has_proof: once.proof.is_some(),
            outcome: Cell::default(),
        })
    }

    /// Takes in what Redis says.
    pub(in crate::facts) fn learn_claim(&self, claim: &Claim, answer: &CallAnswer<'_>) -> bool {
        let said = redis::read(answer.status, answer.body, ANSWER_BYTES_MAX);
        self.runtime.worker.borrow_mut().claims.learn(claim.by_text, &said, answer.status);
        let heard = match said {
            Said::TextNeeded if !claim.by_text => {
                claim.outcome.set(Some(Outcome::Again));
                return true;
            }
            Said::Values(values) => heard(&values),
            Said::TextNeeded | Said::Nothing => None,
        };
        let Some(heard) = heard else {
            claim.outcome.set(Some(Outcome::Spent(Spent::Unknown)));
            return false;
        };
        self.note_since(heard.since);
        claim.outcome.set(Some(match heard.verdict {
            Verdict::First => Outcome::First,
            Verdict::Full => {
                self.host.meter.count(Metric::ReplayFull);
                Outcome::Spent(Spent::Unknown)
            }
            Verdict::Seen if claim.is_proof(heard.which) => Outcome::Spent(Spent::Proof),
            Verdict::Old if claim.is_proof(heard.which) => Outcome::Spent(Spent::Nonce),
            Verdict::Seen | Verdict::Old => Outcome::Spent(Spent::Token),
        }));
        true
    }

    /// Whether Redis has failed lately, and more than once in a row.
    fn is_left_alone(&self) -> bool {
        let Some(digest) = self.meeting_digest() else { return true };
        let state = self.shared().read_state(&digest);
        state.failures >= FAILURES_MIN && self.now < state.retry_at
    }

    /// What the place where gateways meet is known as: how it fares is no matter of one question.
    pub(in crate::facts) fn meeting_digest(&self) -> Option<Digest> {
        let at = &self.runtime.config.gateways.as_ref()?.at;
        let uri = at.uri.to_string();
        let cluster = at.call.cluster.as_deref().unwrap_or_default();
        let fields = [uri.as_bytes(), cluster.as_bytes()];
        Some(self.runtime.host_key.digest("ids of gateways", &fields))
    }

    /// Since when Redis remembers, as far as this gateway has heard; nonces are no older.
    pub(super) fn known_since(&self) -> Option<Time> {
        let epoch = Epoch::GATEWAY_IDS;
        let found = epoch.read_named(&self.moment(), &epoch.name(&self.runtime.host_key));
        found.map(Time::from_ns).filter(|since| !since.is_ahead_of(self.now))
    }

    fn note_since(&self, since: Time) {
        let known = self.known_since();
        if known == Some(since) {
            return;
        }
        if known.is_some() {
            self.host.meter.count(Metric::ReplayLost);
        }
        if Epoch::GATEWAY_IDS.stand_at(&self.moment(), since.ns()).is_err() {
            self.host.meter.count(Metric::SharedFull);
        }
    }
}

fn micros(at: Time) -> u64 {
    at.ns() / 1_000
}

fn member(named: &Named) -> String {
    format!("{:04x}{}", named.owner.number(), redis::short(&named.name))
}

/// The names of what is kept in Redis under a key.
fn keys_of(key: &HostKey) -> [String; 2] {
    let name = redis::short(&key.digest("ids of gateways", &[]));
    ["state", "ids"].map(|part| format!("{}{name}:{part}", redis::PREFIX))
}

fn heard(values: &[Value]) -> Option<Heard> {
    let [verdict, which, since] = values else { return None };
    let number = |value: &Value| value.as_str()?.parse::<u64>().ok();
    Some(Heard {
        verdict: match verdict.as_str()? {
            "first" => Verdict::First,
            "seen" => Verdict::Seen,
            "old" => Verdict::Old,
            "full" => Verdict::Full,
            _ => return None,
        },
        which: usize::try_from(number(which)?).ok()?,
        // Rounded up: a nonce of that moment is no older.
        since: Time::from_ns(number(since)?.checked_add(1)?.checked_mul(1_000)?),
    })
}

#[cfg(test)]
mod tests;
