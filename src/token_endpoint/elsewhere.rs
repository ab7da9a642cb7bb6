//! What gateways leave for each other of token calls, in Redis: answers and failures, sealed; who
//! calls the server; which tokens and secrets are in force.
//!
//! What lies there is sealed under a key that only the gateways have, and names what it is for: the
//! request, the endpoint's entry, its end. So bytes that were moved, cut or kept are none. An answer
//! is given only while the records of its token and of its client's secret are there: to withdraw is
//! to remove, which needs no room, and a record that Redis has dropped costs a call, no more.

use std::collections::VecDeque;

use aes_gcm_siv::aead::AeadInOut;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::digest::{Digest, HostKey};
use crate::redis::{self, Known, Pause, Said, Script};
use crate::shared::twin::{Twin, broken};
use crate::time::Time;

/// What a token call is known as under one secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// The request: all that shapes its answer.
    pub call: Digest,
    /// The client's secret, where it shows one.
    pub credential: Option<Digest>,
}

/// Bytes of what is sealed at most.
pub const BYTES_MAX: usize = 32_768;
/// Bytes of an answer of Redis at most: the script gives 256 KiB of what is sealed in one.
const ANSWER_BYTES_MAX: usize = (1 << 18) + 4_096;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// What something sealed is for.
pub struct Purpose<'a> {
    /// The request's name.
    pub call: &'a Digest,
    /// The digest of the endpoint's entry.
    pub endpoint: &'a [u8; 32],
}

impl Purpose<'_> {
    /// All of one length, so that no two run together.
    fn bytes(&self, end_ms: u64) -> Vec<u8> {
        if broken(Twin::SealedForAny) {
            return vec![VERSION];
        }
        let end = end_ms.to_le_bytes();
        [&[VERSION][..], &self.call.0, self.endpoint, &end].concat()
    }
}

fn cipher(key: &HostKey) -> Option<Aes256GcmSiv> {
    Aes256GcmSiv::new_from_slice(&key.digest("token answers sealed v1", &[]).0).ok()
}

/// Seals what may be taken until `end`; nothing if it is too long.
pub fn seal(
    key: &HostKey,
    purpose: &Purpose<'_>,
    random: [u64; 2],
    end: Time,
    plain: &[u8],
) -> Option<String> {
    if plain.len() > BYTES_MAX {
        return None;
    }
    let random = random.map(u64::to_le_bytes);
    let nonce: [u8; NONCE_BYTES] = random.as_flattened().first_chunk().copied()?;
    let mut text = plain.to_vec();
    let tag = cipher(key)?
        .encrypt_inout_detached(
            &Nonce::from(nonce),
            &purpose.bytes(end.ms()),
            text.as_mut_slice().into(),
        )
        .ok()?;
    let end = end.ms().to_le_bytes();
    Some(URL_SAFE_NO_PAD.encode([&[VERSION][..], &end, &nonce, tag.as_slice(), &text].concat()))
}

/// What was sealed for this purpose, and hasn't ended.
pub fn open(key: &HostKey, purpose: &Purpose<'_>, now: Time, text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let ([VERSION], rest) = bytes.split_first_chunk::<1>()? else { return None };
    let (end, rest) = rest.split_first_chunk::<8>()?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
    let (tag, sealed) = rest.split_first_chunk::<16>()?;
    let end_ms = u64::from_le_bytes(*end);
    if now >= Time::from_ms(end_ms) {
        return None;
    }
    let mut text = sealed.to_vec();
    cipher(key)?
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            &purpose.bytes(end_ms),
            text.as_mut_slice().into(),
            &(*tag).into(),
        )
        .ok()?;
    Some(text)
}

/// What all names in Redis begin with.
fn prefix(key: &HostKey) -> String {
    format!("{}{}:", redis::PREFIX, redis::short(&key.digest("token answers", &[])))
}

/// The same under each secret, that in force first.
fn prefixes(key: &HostKey) -> Vec<String> {
    [Some(key), key.previous()].into_iter().flatten().map(prefix).collect()
}

fn text(name: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(name.0)
}

/// For each call the answer that is in force, under the first name that has one; else the lease on
/// the call, if nobody has it. What is longer than an answer can be is none.
const ASK: Script = Script {
    text: include_str!("elsewhere/ask.lua"),
    sha1: "cbe095408fef6208a271556f2a6683bc20555bb4",
};

/// Answers and failures are left, or removed, and leases given back. What has no room isn't kept,
/// and counted.
const TELL: Script = Script {
    text: include_str!("elsewhere/tell.lua"),
    sha1: "37d1d9cf921a09f6c8fbcd15a6406f50300cf285",
};

/// What is asked of one call: its answer, or the lease on it.
pub struct Question<'a> {
    /// Who asks.
    pub owner: u64,
    /// For how long it has the lease, if it gets it.
    pub lease_ms: u64,
    /// The call's names under each secret, that in force first.
    pub names: &'a [Names],
}

/// The body of a call that asks all this.
pub fn ask<'a>(
    key: &HostKey,
    by_text: bool,
    questions: impl Iterator<Item = Question<'a>>,
) -> Vec<u8> {
    let keys = prefixes(key);
    let mut arguments = Vec::new();
    for Question { owner, lease_ms, names } in questions {
        arguments.extend([owner.to_string(), lease_ms.to_string()]);
        let texts =
            |one: &Names| [text(&one.call), one.credential.as_ref().map_or_else(String::new, text)];
        arguments.extend(names.iter().take(keys.len()).flat_map(texts));
    }
    redis::call(&ASK, by_text, &keys, arguments)
}

/// What Redis says of one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// This lies there under the name with this number.
    Sealed(usize, String),
    /// Nothing, and the lease is ours.
    Lead,
    /// Nothing, and another gateway calls the server.
    Held,
}

/// What Redis says to questions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// To each of them, in their order.
    Replies(Vec<Reply>),
    /// It wants the script's text first.
    TextNeeded,
    /// Anything else.
    Nothing,
}

/// Reads the answer to so many questions.
pub fn heard(known: &mut Known, by_text: bool, status: u16, answer: &[u8], asked: usize) -> Heard {
    let said = redis::read(status, answer, ANSWER_BYTES_MAX);
    known.learn(by_text, &said, status);
    let values = match said {
        Said::Values(values) => values,
        Said::TextNeeded => return Heard::TextNeeded,
        Said::Nothing => return Heard::Nothing,
    };
    let replies: Option<Vec<Reply>> = values.iter().map(reply).collect();
    replies.filter(|replies| replies.len() == asked).map_or(Heard::Nothing, Heard::Replies)
}

fn reply(value: &Value) -> Option<Reply> {
    let said = value.as_str()?;
    let (first, rest) = said.split_at_checked(1)?;
    match (first, rest) {
        ("l", "") => Some(Reply::Lead),
        ("h", "") => Some(Reply::Held),
        ("0", sealed) => Some(Reply::Sealed(0, sealed.to_owned())),
        ("1", sealed) => Some(Reply::Sealed(1, sealed.to_owned())),
        _ => None,
    }
}

/// Something to tell other gateways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tell {
    /// A call has ended, with what is to lie there.
    Ended(Digest, u64, Left),
    /// No answer with the token of this name is in force any more.
    WithdrawToken(Digest),
    /// None that was given for the secret of this name.
    WithdrawSecret(Digest),
}

/// What is to lie there after a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Left {
    /// What was there.
    AsItWas,
    /// Nothing.
    Nothing,
    /// This.
    Sealed(Box<Sealed>),
}

/// Something sealed, and how long it stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// The bytes, as text.
    pub text: String,
    /// When it was asked for.
    pub asked_at: Time,
    /// Its end.
    pub end: Time,
    /// The name of its token.
    pub token: Option<Digest>,
    /// The name of the secret that it was given for.
    pub credential: Option<Digest>,
}

/// Answers in Redis at most; those without a token, which anybody can cause, up to a quarter.
const ANSWERS_MAX: u32 = 65_536;
const OTHERS_MAX: u32 = ANSWERS_MAX / 4;

impl Tell {
    /// The nine arguments that the script takes.
    fn arguments(&self, now: Time) -> [String; 9] {
        let plain = |what: &str, name: &Digest, owner: u64| {
            let empty = String::new;
            let owner = if owner == 0 { empty() } else { owner.to_string() };
            let rest = [empty(), empty(), empty(), empty(), empty(), empty()];
            let [a, b, c, d, e, f] = rest;
            [what.to_owned(), text(name), owner, a, b, c, d, e, f]
        };
        match self {
            Tell::WithdrawToken(name) => plain("token", name, 0),
            Tell::WithdrawSecret(name) => plain("secret", name, 0),
            Tell::Ended(name, owner, Left::AsItWas) => plain("end", name, *owner),
            Tell::Ended(name, owner, Left::Nothing) => plain("purge", name, *owner),
            Tell::Ended(name, owner, Left::Sealed(sealed)) => {
                let room = if sealed.token.is_some() { ANSWERS_MAX } else { OTHERS_MAX };
                [
                    "keep".to_owned(),
                    text(name),
                    owner.to_string(),
                    sealed.end.ms_since(now).to_string(),
                    sealed.asked_at.ms().to_string(),
                    sealed.text.clone(),
                    sealed.token.as_ref().map(text).unwrap_or_default(),
                    sealed.credential.as_ref().map(text).unwrap_or_default(),
                    room.to_string(),
                ]
            }
        }
    }

    /// Whether it takes something out of force. What isn't told of these leaves an answer that is
    /// not to be given; what isn't told of the others costs a call.
    const fn withdraws(&self) -> bool {
        match self {
            Tell::WithdrawToken(_) | Tell::WithdrawSecret(_) | Tell::Ended(_, _, Left::Nothing) => {
                true
            }
            Tell::Ended(_, _, Left::AsItWas | Left::Sealed(_)) => false,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Tell::Ended(_, _, Left::Sealed(sealed)) => 512 + sealed.text.len(),
            Tell::Ended(..) | Tell::WithdrawToken(_) | Tell::WithdrawSecret(_) => 128,
        }
    }
}

/// The body of a call that tells all this.
pub fn tell(key: &HostKey, by_text: bool, now: Time, tells: &[Tell]) -> Vec<u8> {
    let arguments = tells.iter().flat_map(|one| one.arguments(now));
    redis::call(&TELL, by_text, &prefixes(key), arguments)
}

/// What came of telling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// It is known now, but for so many that found no room.
    Taken(u32),
    /// Redis wants the script's text first.
    TextNeeded,
    /// Anything else.
    Nothing,
}

/// Reads what came of telling.
pub fn told(known: &mut Known, by_text: bool, status: u16, answer: &[u8]) -> Told {
    let said = redis::read(status, answer, ANSWER_BYTES_MAX);
    known.learn(by_text, &said, status);
    match said {
        Said::Values(values) => {
            let full = values.first().and_then(|full| full.as_str()?.parse().ok());
            full.map_or(Told::Nothing, Told::Taken)
        }
        Said::TextNeeded => Told::TextNeeded,
        Said::Nothing => Told::Nothing,
    }
}

/// What a worker has still to tell, and what came of telling it.
#[derive(Debug, Default)]
pub struct Outbox {
    tells: VecDeque<Tell>,
    bytes: usize,
    is_under_way: bool,
    pause: Pause,
    /// How the script is called.
    pub known: Known,
}

/// What waits in one worker at most, how much of it isn't a withdrawal, and what one call carries.
const WAITING_MAX: usize = 1_024;
const WAITING_OTHERS_MAX: usize = WAITING_MAX / 4 * 3;
const WAITING_BYTES_MAX: usize = 1 << 20;
const BATCH_MAX: usize = 64;
/// Less than the 80 KiB that Webdis takes in a path, where a host sends commands so.
const BATCH_BYTES_MAX: usize = 1 << 16;

impl Outbox {
    /// Notes one more; false if there is no room.
    pub fn note(&mut self, one: Tell) -> bool {
        let bytes = self.bytes.saturating_add(one.bytes());
        let has_room = match one.withdraws() {
            true => self.tells.len() < WAITING_MAX,
            false => self.tells.len() < WAITING_OTHERS_MAX && bytes <= WAITING_BYTES_MAX,
        };
        if has_room {
            self.bytes = bytes;
            self.tells.push_back(one);
        }
        has_room
    }

    /// Whether there is something to tell.
    pub fn has_news(&self, now: Time) -> bool {
        !self.tells.is_empty() && !self.is_under_way && !self.pause.lasts(now)
    }

    /// What is to be told now. [`Outbox::came`] is to be called for it.
    pub fn take(&mut self, now: Time) -> Option<Vec<Tell>> {
        if !self.has_news(now) {
            return None;
        }
        self.is_under_way = true;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < BATCH_MAX {
            let fits = |one: &Tell| bytes == 0 || bytes + one.bytes() <= BATCH_BYTES_MAX;
            let Some(one) = self.tells.pop_front_if(|one| fits(one)) else { break };
            bytes += one.bytes();
            taken.push(one);
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(taken)
    }

    /// What was told goes again at once: Redis has begun anew, and asks for the script's text. False
    /// if not all of it can wait.
    pub fn again(&mut self, told: Vec<Tell>) -> bool {
        self.is_under_way = false;
        self.pause.end();
        self.put_back(told)
    }

    /// What was told is known, or wasn't taken and goes with the next call. False if not all of it
    /// can wait.
    pub fn came(&mut self, told: Vec<Tell>, was_taken: bool, now: Time, pause_ms: u64) -> bool {
        self.is_under_way = false;
        if was_taken {
            self.pause.end();
            return true;
        }
        self.pause.fail(now, pause_ms);
        self.put_back(told)
    }

    fn put_back(&mut self, told: Vec<Tell>) -> bool {
        let mut has_room = true;
        for one in told.into_iter().rev() {
            has_room &= self.tells.len() < WAITING_MAX;
            if self.tells.len() < WAITING_MAX {
                self.bytes = self.bytes.saturating_add(one.bytes());
                self.tells.push_front(one);
            }
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
