//! What gateways tell each other of revocations, through Redis.
//!
//! An entry is the name of a revoked token and its end, with a MAC under a key that only the
//! gateways have: whatever else lies there is no entry. In Redis entries have an order, which a
//! reader goes along with a cursor, and an end, at which they are gone. An *era* is a random text
//! that whoever finds none makes: where it has changed, Redis has lost what it held, and so have
//! cursors their meaning.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use subtle::ConstantTimeEq as _;

use super::table::NOBODY;
use crate::digest::{Digest, HostKey};
use crate::redis::{self, Said, Script};
use crate::time::{NS_PER_S, Time};

/// What is known of a revoked name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Its issuer said so, or it was handed out.
    Verified,
    /// Anyone could have made it up; whose share of the room it takes.
    MadeUp(u64),
}

/// One revoked name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The name, which all gateways make alike.
    pub name: Digest,
    /// Until when it counts, in whole seconds.
    pub until_s: u64,
    /// What is known of it.
    pub standing: Standing,
}

/// Entries in one call, and in one answer, at most.
pub const BATCH_MAX: usize = 256;
pub const READ_MAX: usize = 1_000;
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 262_144;
/// Entries in Redis at most; names that anyone could have made up only up to a quarter of them.
const ENTRIES_MAX: u64 = 65_536;
const MADE_UP_MAX: u64 = ENTRIES_MAX / 4;
/// Notes in Redis, and in a worker, at most.
const NOTES_MAX: usize = 64;

const MAC_BYTES: usize = 16;
const ENTRY_BYTES: usize = 49;

impl Entry {
    /// An entry that ends no earlier than `until`.
    pub fn new(name: Digest, until: Time, standing: Standing) -> Entry {
        Entry { name, until_s: until.ns().div_ceil(NS_PER_S), standing }
    }

    /// Until when it counts.
    pub fn until(&self) -> Time {
        Time::from_s(self.until_s)
    }

    fn bytes(&self) -> [u8; ENTRY_BYTES] {
        let (kind, source) = match self.standing {
            Standing::Verified => (0, 0),
            Standing::MadeUp(source) => (1, source),
        };
        let mut bytes = [kind; ENTRY_BYTES];
        let rest = self.until_s.to_le_bytes().into_iter().chain(source.to_le_bytes());
        let rest = rest.chain(self.name.0);
        bytes.iter_mut().skip(1).zip(rest).for_each(|(to, from)| *to = from);
        bytes
    }

    fn seal(&self, key: &HostKey) -> String {
        let bytes = self.bytes();
        URL_SAFE_NO_PAD.encode([&bytes[..], &mac(key, &bytes)].concat())
    }

    /// The entry that a text is, if the MAC is right.
    fn open(key: &HostKey, text: &str) -> Option<Entry> {
        let bytes: [u8; ENTRY_BYTES + MAC_BYTES] =
            URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (said, sealed) = bytes.split_first_chunk::<ENTRY_BYTES>()?;
        if !bool::from(mac(key, said).ct_eq(sealed)) {
            return None;
        }
        let (kind, rest) = said.split_first()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let (source, name) = rest.split_first_chunk::<8>()?;
        let standing = match kind {
            0 => Standing::Verified,
            1 => Standing::MadeUp(u64::from_le_bytes(*source)),
            _ => return None,
        };
        let name = Digest(name.try_into().ok()?);
        Some(Entry { name, until_s: u64::from_le_bytes(*until), standing })
    }
}

fn mac(key: &HostKey, bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mac = key.digest("told revocation v1", &[bytes]);
    mac.0.first_chunk().copied().unwrap_or_default()
}

/// An era; all zeros before the first was heard of.
pub type Era = [u8; 16];

/// Up to where a gateway has read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// The era that the number is of.
    pub era: Era,
    /// The number of the last entry that was read.
    pub last: u64,
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The era in force, and the number of the newest entry.
    pub newest: Cursor,
    /// How many of the entries that were told found no room.
    pub refused: u64,
    /// Up to where the answer goes.
    pub read_to: u64,
    /// Entries after the cursor, in order.
    pub entries: Vec<Entry>,
    /// How many were none.
    pub forged: usize,
    /// The texts of all notes. Nobody has looked yet who wrote them.
    pub notes: Vec<String>,
}

impl Heard {
    /// Whether there is nothing after what it tells.
    pub const fn is_all(&self) -> bool {
        self.read_to == self.newest.last
    }
}

/// Redis adds what is told, drops what has ended, and returns what comes after the cursor. First
/// the era; it is a new one too where one of the keys was lost, or a part of one (eviction), and
/// where the caller knows of an entry that never was: Redis has come back with what it held earlier.
/// So that it can tell, an entry's number is the time in microseconds, which doesn't come back.
///
/// An entry that is there already is told again at no cost. Ends are the gateways' time, and stay a
/// minute longer. Beside the entries lie notes, each under a name, the last one of which stays, for
/// two minutes. Who reads and finds nothing changed writes nothing, but for the keys' time to live,
/// each quarter of it.
const SCRIPT: Script = Script {
    text: include_str!("told/script.lua"),
    sha1: "478c9e7ae3e9439c45d1cf7235e1f5a00905f3d9",
};

/// The names of what is kept in Redis.
pub fn keys(key: &HostKey) -> [String; 4] {
    ["state", "ends", "order", "notes"].map(|part| {
        let name = redis::short(&key.digest("told revocations", &[]));
        format!("{}{name}:{part}", redis::PREFIX)
    })
}

/// What a call reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Read {
    /// What comes after this.
    pub cursor: Cursor,
    /// The newest number of the era that the caller knows of.
    pub known: u64,
    /// So many entries at most; without any no notes either.
    pub max: usize,
}

/// The body of a call that tells a batch and reads. `fresh` becomes the era where there is none.
pub fn body(key: &HostKey, by_text: bool, fresh: Era, read: Read, batch: &Batch) -> Vec<u8> {
    let head = [
        hexadecimal(&fresh),
        hexadecimal(&read.cursor.era),
        read.cursor.last.to_string(),
        read.max.to_string(),
        read.known.to_string(),
        batch.notes.len().to_string(),
    ];
    let notes = batch.notes.iter().flat_map(|note| [note.name.clone(), note.text.clone()]);
    let told = batch.entries.iter().flat_map(|entry| {
        let room = match entry.standing {
            Standing::Verified => ENTRIES_MAX,
            Standing::MadeUp(_) => MADE_UP_MAX,
        };
        [entry.seal(key), entry.until_s.to_string(), room.to_string()]
    });
    redis::call(&SCRIPT, by_text, &keys(key), head.into_iter().chain(notes).chain(told))
}

/// Reads the answer; `cursor` and `read_max` are those of the call.
pub fn parse(
    key: &HostKey,
    status: u16,
    answer: &[u8],
    cursor: Cursor,
    read_max: usize,
) -> (Said, Option<Heard>) {
    let said = redis::read(status, answer, ANSWER_BYTES_MAX);
    let heard = match &said {
        Said::Values(values) => heard(key, values, cursor, read_max),
        Said::TextNeeded | Said::Nothing => None,
    };
    (said, heard)
}

fn heard(key: &HostKey, values: &[Value], cursor: Cursor, read_max: usize) -> Option<Heard> {
    let (head, rest) = values.split_first_chunk::<4>()?;
    let [era, last, refused, notes] = head;
    let newest = Cursor { era: era_of(era.as_str()?)?, last: number(last)? };
    let from = if newest.era == cursor.era { cursor.last.min(newest.last) } else { 0 };
    // Webdis knows no list in a list.
    let count = usize::try_from(number(notes)?).ok().filter(|count| *count <= NOTES_MAX)?;
    let (notes, rest) = rest.split_at_checked(count)?;
    let notes: Option<Vec<String>> =
        notes.iter().map(|note| note.as_str().map(str::to_owned)).collect();
    let (entries, notes, refused) = (Vec::new(), notes?, number(refused)?);
    let mut heard = Heard { newest, refused, read_to: from, entries, forged: 0, notes };
    if rest.len() > 2 * read_max {
        return None;
    }
    let (pairs, []) = rest.as_chunks::<2>() else { return None };
    for [text, at] in pairs {
        match Entry::open(key, text.as_str()?) {
            Some(entry) => heard.entries.push(entry),
            None => heard.forged += 1,
        }
        let at = number(at)?;
        // In order, or it isn't what the script returns.
        if at <= heard.read_to || at > newest.last {
            return None;
        }
        heard.read_to = at;
    }
    if pairs.len() < read_max {
        heard.read_to = newest.last;
    }
    Some(heard)
}

fn number(value: &Value) -> Option<u64> {
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok())
}

fn hexadecimal(era: &Era) -> String {
    era.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn era_of(text: &str) -> Option<Era> {
    let mut era = Era::default();
    if text.len() != 2 * era.len() {
        return None;
    }
    for (at, byte) in era.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(era).filter(|era| *era != Era::default())
}

/// A text under a name, of which the last one counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// The name.
    pub name: String,
    /// The text.
    pub text: String,
}

/// What one call tells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Revoked names.
    pub entries: Vec<Entry>,
    /// And what else gateways are to know for a while.
    pub notes: Vec<Note>,
}

/// What a worker has still to tell, and what came of telling it.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: Vec<Entry>,
    notes: Vec<Note>,
    is_under_way: bool,
    pause: redis::Pause,
    /// How the script is called.
    pub known: redis::Known,
    /// Where the table of revoked names is to be told again from on: Redis has lost what it held.
    pub again_from: Option<u32>,
}

/// Entries that wait in one worker at most, and such that anyone could have made up.
const WAITING_MAX: usize = 8_192;
const WAITING_MADE_UP_MAX: usize = WAITING_MAX / 4;

impl Outbox {
    /// Notes one more; false if there is no room.
    pub fn note(&mut self, entry: Entry) -> bool {
        let most = match entry.standing {
            Standing::Verified => WAITING_MAX,
            Standing::MadeUp(_) => WAITING_MADE_UP_MAX,
        };
        let has_room = self.entries.len() < most;
        if has_room {
            self.entries.push(entry);
        }
        has_room
    }

    /// Has a note told in place of the one before it; false if there is no room.
    pub fn leave(&mut self, note: Note) -> bool {
        self.notes.retain(|before| before.name != note.name);
        let has_room = self.notes.len() < NOTES_MAX;
        if has_room {
            self.notes.push(note);
        }
        has_room
    }

    /// How many more entries it takes.
    pub fn room(&self) -> usize {
        WAITING_MADE_UP_MAX.saturating_sub(self.entries.len())
    }

    /// Whether there is something to tell.
    pub fn has_news(&self, now: Time) -> bool {
        let is_empty = self.entries.is_empty() && self.notes.is_empty();
        !is_empty && !self.is_under_way && !self.pause.lasts(now)
    }

    /// What is to be told now. [`Outbox::came`] is to be called for it.
    pub fn take(&mut self, now: Time) -> Option<Batch> {
        self.entries.retain(|entry| entry.until() > now);
        if !self.has_news(now) {
            return None;
        }
        self.is_under_way = true;
        let entries = self.entries.drain(..self.entries.len().min(BATCH_MAX)).collect();
        Some(Batch { entries, notes: std::mem::take(&mut self.notes) })
    }

    /// What was told goes again at once: Redis has begun anew, and asks for the script's text.
    pub fn again(&mut self, told: &Batch) {
        self.is_under_way = false;
        self.pause.end();
        self.put_back(told);
        let newer = std::mem::replace(&mut self.notes, told.notes.clone());
        newer.into_iter().for_each(|note| {
            self.leave(note);
        });
    }

    /// What was told is known, or wasn't taken: entries go with the next call. Notes don't, since
    /// they would be old.
    pub fn came(&mut self, told: &Batch, was_taken: bool, now: Time, pause_ms: u64) {
        self.is_under_way = false;
        if was_taken {
            return self.pause.end();
        }
        self.pause.fail(now, pause_ms);
        self.put_back(told);
    }

    fn put_back(&mut self, told: &Batch) {
        self.entries.splice(..0, told.entries.iter().copied());
        self.entries.truncate(WAITING_MAX);
    }
}

/// The standing of a name by the word of its cell.
pub fn standing_of(word: u64) -> Standing {
    if word == super::table::VERIFIED { Standing::Verified } else { Standing::MadeUp(word) }
}

/// Whether a name only keeps answers that are under way from being kept.
pub fn is_of_nobody(standing: Standing) -> bool {
    standing == Standing::MadeUp(NOBODY)
}

#[cfg(test)]
pub(crate) mod tests;
