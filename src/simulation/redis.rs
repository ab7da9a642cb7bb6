//! A Redis that does what the scripts do, as long as nobody makes it lie, lose, double, delay or
//! forget: revocations and notes by `revocation/told/script.lua`, token answers by
//! `token_endpoint/elsewhere/ask.lua` and `tell.lua`. It counts the commands that they make.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::facts::call::Call;
use crate::revocation::told::tests::{hexadecimal_of, sha1};
use crate::time::Time;

/// All that it holds.
#[derive(Clone, Default)]
pub(crate) struct Redis {
    /// Revocations and notes, by the name of their state.
    pub(crate) told: BTreeMap<String, Told>,
    /// Token answers, by what their names begin with.
    pub(crate) answers: BTreeMap<String, Answers>,
    /// Scripts that it knows.
    scripts: BTreeSet<String>,
    /// Commands that were made, inside of scripts too.
    pub(crate) commands: u64,
}

/// Era, last number, entries by number.
#[derive(Clone, Default)]
pub(crate) struct Told {
    era: String,
    pub(crate) last: u64,
    gone: u64,
    /// Number, end, text.
    pub(crate) entries: Vec<(u64, u64, String)>,
    /// Texts by name.
    pub(crate) notes: BTreeMap<String, String>,
}

/// Answers, records of tokens and secrets in force, leases; each with its end in milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) kept: BTreeMap<String, Kept>,
    tokens: BTreeMap<String, u64>,
    /// Since when.
    secrets: BTreeMap<String, (u64, u64)>,
    /// Whose.
    pub(crate) leases: BTreeMap<String, (String, u64)>,
}

#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) sealed: String,
    asked_ms: u64,
    token: String,
    end_ms: u64,
}

impl Redis {
    /// What it says to a call.
    pub(crate) fn call(&mut self, call: &Call, now: Time) -> String {
        let body = String::from_utf8(call.body.clone()).unwrap();
        let segments: Vec<String> = body.split('/').map(decoded).collect();
        self.commands += 1;
        let how = segments[0].as_str();
        match how {
            "EVAL" => {
                self.scripts.insert(hexadecimal_of(&sha1(segments[1].as_bytes())));
            }
            "EVALSHA" if self.scripts.contains(&segments[1]) => {}
            "EVALSHA" => {
                return json!({ how: [false, "NOSCRIPT No matching script."] }).to_string();
            }
            other => panic!("{other}"),
        }
        let (keys, arguments) = segments[3..].split_at(segments[2].parse().unwrap());
        let values = match (keys[0].ends_with(':'), arguments[0].parse::<u64>()) {
            (false, _) => self.tell_and_read(&keys[0], arguments, now),
            (true, Ok(_)) => self.ask(keys, arguments, now.ms()),
            (true, Err(_)) => self.tell(keys, arguments, now.ms()),
        };
        json!({ how: values }).to_string()
    }

    fn tell_and_read(&mut self, name: &str, arguments: &[String], now: Time) -> Vec<Value> {
        let told = self.told.entry(name.to_owned()).or_default();
        // TIME, HMGET, two ZCARD, ZRANGEBYSCORE for what has ended.
        let mut commands = 5;
        let mut changes = told.era.is_empty();
        if changes {
            *told = Told { era: arguments[0].clone(), ..Told::default() };
        }
        let known: u64 = arguments[4].parse().unwrap();
        if arguments[1] == told.era && known > told.gone && known != told.last {
            commands += 1;
            if !told.entries.iter().any(|(number, ..)| *number == known) {
                (told.era, changes) = (arguments[0].clone(), true);
            }
        }
        let is_over = |end: &u64| *end + 60 <= now.s();
        for (number, ..) in told.entries.iter().filter(|(_, end, _)| is_over(end)) {
            (told.gone, changes) = (told.gone.max(*number), true);
        }
        told.entries.retain(|(_, end, _)| !is_over(end));
        let (notes, entries) = arguments[6..].split_at(2 * arguments[5].parse::<usize>().unwrap());
        for note in notes.as_chunks().0 {
            let [name, text]: &[String; 2] = note;
            told.notes.insert(name.clone(), text.clone());
            commands += 3;
        }
        for entry in entries.chunks(3) {
            commands += 1;
            if !told.entries.iter().any(|(_, _, text)| *text == entry[0]) {
                told.last = (told.last + 1).max(now.ns() / 1_000);
                told.entries.push((told.last, entry[1].parse().unwrap(), entry[0].clone()));
                (commands, changes) = (commands + 3, true);
            }
        }
        // ZCARD, HSET, three EXPIRE, HGET.
        commands += if changes { 6 } else { 0 };
        let most: usize = arguments[3].parse().unwrap();
        let notes: Vec<&String> = told.notes.values().filter(|_| most > 0).collect();
        let mut out =
            vec![told.era.clone().into(), told.last.into(), "0".into(), notes.len().into()];
        out.extend(notes.iter().map(|note| Value::from(note.as_str())));
        let from = if arguments[1] == told.era { arguments[2].parse().unwrap() } else { 0 };
        commands += u64::from(most > 0) + u64::from(most > 0 && from != told.last);
        for (number, _, text) in told.entries.iter().filter(|(n, ..)| *n > from).take(most) {
            out.extend([text.clone().into(), number.to_string().into()]);
        }
        self.commands += commands;
        out
    }

    /// What a gateway reads that has read nothing.
    pub(crate) fn all(&self) -> String {
        let told = self.told.values().next().unwrap();
        let mut out: Vec<Value> =
            vec![told.era.clone().into(), told.last.into(), "0".into(), "0".into()];
        for (number, _, text) in &told.entries {
            out.extend([text.clone().into(), number.to_string().into()]);
        }
        json!({ "EVAL": out }).to_string()
    }

    fn ask(&mut self, keys: &[String], arguments: &[String], now_ms: u64) -> Vec<Value> {
        let questions = arguments.chunks(2 + 2 * keys.len());
        questions.map(|question| self.ask_one(keys, question, now_ms).into()).collect()
    }

    fn ask_one(&mut self, keys: &[String], question: &[String], now_ms: u64) -> String {
        let [owner, lease_ms, names @ ..] = question else { panic!("{question:?}") };
        let named = || keys.iter().zip(names.as_chunks::<2>().0);
        for (number, (prefix, [name, secret])) in named().enumerate() {
            let answers = self.answers.entry(prefix.clone()).or_default();
            answers.forget(now_ms);
            self.commands += 1;
            let Some(kept) = answers.kept.get(name) else { continue };
            self.commands += 2;
            let since_ms = match secret.as_str() {
                "" => Some(0),
                secret => answers.secrets.get(secret).map(|(since_ms, _)| *since_ms),
            };
            let is_there = kept.token.is_empty() || answers.tokens.contains_key(&kept.token);
            let is_since =
                kept.token.is_empty() || since_ms.is_some_and(|since| since <= kept.asked_ms);
            if is_there && is_since {
                return format!("{number}{}", kept.sealed);
            }
            answers.kept.remove(name);
        }
        for (prefix, [name, _]) in named() {
            self.commands += 1;
            let lease = self.answers[prefix].leases.get(name);
            if lease.is_some_and(|(whose, _)| whose != owner) {
                return "h".to_owned();
            }
        }
        self.commands += 1;
        let lease = (owner.clone(), now_ms + lease_ms.parse::<u64>().unwrap());
        let answers = self.answers.get_mut(&keys[0]).unwrap();
        answers.leases.insert(names[0].clone(), lease);
        "l".to_owned()
    }

    fn tell(&mut self, keys: &[String], arguments: &[String], now_ms: u64) -> Vec<Value> {
        self.commands += 3;
        for one in arguments.as_chunks::<9>().0 {
            self.commands += 2;
            for (number, prefix) in keys.iter().enumerate() {
                let answers = self.answers.entry(prefix.clone()).or_default();
                answers.forget(now_ms);
                // Under the secret before things are removed alone.
                if number == 0 || matches!(one[0].as_str(), "token" | "secret" | "purge") {
                    answers.take_in(one, now_ms);
                }
            }
        }
        vec!["0".into()]
    }
}

impl Answers {
    /// What has ended is gone.
    fn forget(&mut self, now_ms: u64) {
        self.kept.retain(|_, kept| kept.end_ms > now_ms);
        self.tokens.retain(|_, end_ms| *end_ms > now_ms);
        self.secrets.retain(|_, (_, end_ms)| *end_ms > now_ms);
        self.leases.retain(|_, (_, end_ms)| *end_ms > now_ms);
    }

    fn take_in(&mut self, one: &[String; 9], now_ms: u64) {
        let [what, name, owner, ms, asked, sealed, token, secret, _] = one;
        match what.as_str() {
            "token" => {
                self.tokens.remove(name);
            }
            "secret" => {
                self.secrets.remove(name);
            }
            "purge" => {
                self.kept.remove(name);
            }
            "end" => {}
            "keep" if ms != "0" => {
                let (end_ms, asked_ms) =
                    (now_ms + ms.parse::<u64>().unwrap(), asked.parse().unwrap());
                let before = self.kept.get(name);
                let is_newer = before.is_none_or(|kept| kept.asked_ms <= asked_ms);
                let has_token = before.is_some_and(|kept| !kept.token.is_empty());
                if is_newer && !(has_token && token.is_empty()) {
                    let (sealed, token) = (sealed.clone(), token.clone());
                    if !token.is_empty() {
                        let end = self.tokens.entry(token.clone()).or_default();
                        *end = end_ms.max(*end);
                        if !secret.is_empty() {
                            let since = self.secrets.entry(secret.clone()).or_insert((asked_ms, 0));
                            since.1 = end_ms.max(since.1);
                        }
                    }
                    self.kept.insert(name.clone(), Kept { sealed, asked_ms, token, end_ms });
                }
            }
            "keep" => {}
            other => panic!("{other}"),
        }
        if self.leases.get(name).is_some_and(|(whose, _)| whose == owner) {
            self.leases.remove(name);
        }
    }
}

fn decoded(segment: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(out).unwrap()
}
