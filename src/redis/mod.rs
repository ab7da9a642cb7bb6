//! Commands for Redis as Webdis takes them, and what it answers: `COMMAND/argument/argument` as the
//! body of a POST, each segment percent-encoded, answered by `{"COMMAND": ...}`.
//!
//! It knows nothing of what is told there, and makes no call.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::digest::Digest;
use crate::time::Time;

/// What all keys begin with. The part in braces puts them into one slot of a Redis Cluster, whatever
/// the secret is: a script names several, and of two secrets while one takes the other's place.
pub const PREFIX: &str = "herdgate:{gateways}:";

/// What stands for a digest in a name there: its first 144 bits.
pub fn short(digest: &Digest) -> String {
    URL_SAFE_NO_PAD.encode(digest.0.first_chunk::<18>().unwrap_or(&[0; 18]))
}

/// A script, and the SHA-1 by which Redis knows it once it has run.
pub struct Script {
    /// Its text.
    pub text: &'static str,
    /// The SHA-1 of that, in hexadecimal.
    pub sha1: &'static str,
}

/// What came of a call of a script.
#[derive(Clone, PartialEq, Debug)]
pub enum Said {
    /// The values that it returned.
    Values(Vec<Value>),
    /// Redis doesn't know the script by its SHA-1, or Webdis doesn't take it so.
    TextNeeded,
    /// Anything else.
    Nothing,
}

/// How a script is called: by its text at first, which makes Redis know it, then by its SHA-1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    is_loaded: bool,
    needs_text: bool,
}

impl Known {
    /// Whether the next call is to carry the text.
    pub const fn by_text(&self) -> bool {
        self.needs_text || !self.is_loaded
    }

    /// Takes in what came of a call that was made `by_text`.
    pub fn learn(&mut self, by_text: bool, said: &Said, status: u16) {
        match said {
            Said::Values(_) => self.is_loaded = true,
            Said::TextNeeded => {
                self.is_loaded = false;
                // Webdis's list of commands doesn't have it, and never will.
                self.needs_text |= status == 403;
            }
            Said::Nothing => self.is_loaded &= !by_text,
        }
    }
}

/// The call of a script, by its text or its SHA-1.
pub fn call(
    script: &Script,
    by_text: bool,
    keys: &[String],
    arguments: impl IntoIterator<Item = String>,
) -> Vec<u8> {
    let mut body = String::with_capacity(512);
    match by_text {
        true => {
            body.push_str("EVAL/");
            encode(&mut body, script.text);
        }
        false => {
            body.push_str("EVALSHA/");
            body.push_str(script.sha1);
        }
    }
    body.push('/');
    body.push_str(&keys.len().to_string());
    for segment in keys.iter().cloned().chain(arguments) {
        body.push('/');
        encode(&mut body, &segment);
    }
    body.into_bytes()
}

/// Reads what came of it.
pub fn read(status: u16, answer: &[u8], bytes_max: usize) -> Said {
    if status == 403 {
        return Said::TextNeeded;
    }
    if status != 200 || answer.len() > bytes_max {
        return Said::Nothing;
    }
    let Ok(Value::Object(members)) = serde_json::from_slice(answer) else { return Said::Nothing };
    let mut members = members.into_iter();
    let (Some((name, Value::Array(values))), None) = (members.next(), members.next()) else {
        return Said::Nothing;
    };
    if name != "EVAL" && name != "EVALSHA" {
        return Said::Nothing;
    }
    match values.as_slice() {
        [Value::Bool(_), Value::String(why)] if why.starts_with("NOSCRIPT") => Said::TextNeeded,
        // A mistake of the script: `[false, "ERR ..."]`.
        [Value::Bool(_), ..] => Said::Nothing,
        _ => Said::Values(values),
    }
}

/// Percent-encodes a segment, as little of it as may be: to a call of more than 4,096 bytes that
/// closes its connection, as one host's calls do, Webdis gives no answer. `.` too: it takes what
/// follows the last one for a format.
pub fn encode(body: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => body.push(char::from(byte)),
            b' ' | b'\n' | b'\'' | b'(' | b')' | b',' | b'=' | b'[' | b']' | b'{' | b'}' | b':'
            | b'<' | b'>' | b'~' | b'*' | b';' | b'#' => body.push(char::from(byte)),
            _ => body.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// When calls are tried again after failures: at first after `pause_ms`, and each second at last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pause {
    failures: u32,
    from: Time,
    until: Time,
}

impl Pause {
    /// A call has failed.
    pub fn fail(&mut self, now: Time, pause_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        let doubled_ms = pause_ms << self.failures.min(8);
        (self.from, self.until) = (now, now.plus_ms(doubled_ms.min(PAUSE_MS_MAX.max(pause_ms))));
    }

    /// One has not.
    pub fn end(&mut self) {
        *self = Pause::default();
    }

    /// Whether it lasts.
    pub fn lasts(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

/// The longest pause after failed calls, in milliseconds.
pub const PAUSE_MS_MAX: u64 = 1_000;

#[cfg(test)]
mod tests;
