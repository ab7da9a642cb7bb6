//! Lists: documents of revoked tokens, in the sense of certificate revocation lists.
//!
//! `{"sequence": 17, "revoked": [{"iss": "https://idp.example", "jti": "a1b2", "exp":
//! 1790000000}, {"iss": "https://idp.example", "sub": "alice", "before": 1789990000}]}`
//!
//! A document is taken as a whole or not at all: one entry that isn't understood may be the one
//! that matters, and a document that is refused is counted. Members beyond these are ignored.

use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

use super::LEEWAY_S_MAX;
use super::feed::FeedError;
use super::floors::{FLOOR_BYTES, Floors, Name, Told, of_session, of_subject, short};
use super::names::of_id;
use crate::digest::{Digest, HostKey};
use crate::jwt::{Rounding, date_s};
use crate::sort;
use crate::time::Time;

/// Bytes of a feed's document at most.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes that entries of tokens that haven't ended take at most: 32,000 by `jti`. So much holds a
/// document in shared memory.
pub const ENTRIES_BYTES_MAX: usize = 32_000 * size_of::<Name>();
/// Bytes of an entity tag that is kept (RFC 9110, section 8.8.3).
pub const ETAG_BYTES_MAX: usize = 256;

/// What a feed lists.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct List {
    /// The document's number, which never goes down.
    pub sequence: u64,
    /// The document's entity tag.
    pub etag: Option<String>,
    /// The second at which it has to be another one, if it is signed and says so.
    pub ends_s: Option<u64>,
    /// Tokens by their ids, sorted.
    names: Vec<Name>,
    /// Tokens by subject and session.
    floors: Floors,
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("List")
            .field("sequence", &self.sequence)
            .field("entries", &self.len())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    sequence: u64,
    #[serde(borrow)]
    revoked: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow, default)]
    jti: Option<Cow<'a, str>>,
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    sid: Value,
    #[serde(default)]
    before: Value,
    #[serde(default)]
    exp: Value,
}

/// What an entry is about.
enum About {
    Token(Name),
    Floor(Name, u64),
}

impl Entry<'_> {
    /// Whether the last token that it means has ended by more than any leeway. One whose `exp`
    /// isn't a date stays listed: the entry says which tokens it means all the same.
    fn has_ended(&self, now: Time) -> bool {
        date_s(&self.exp, Rounding::Up)
            .is_ok_and(|exp_s| exp_s.saturating_add(LEEWAY_S_MAX) <= now.s())
    }

    /// What it is about; nothing if that isn't one thing. An id is a token's own name, so what
    /// stands beside it tells no more.
    fn about(&self, key: &HostKey) -> Option<About> {
        if let Some(jti) = &self.jti {
            return Some(About::Token(short(&of_id(key, &self.iss, jti))));
        }
        let name = match (&self.sub, &self.sid) {
            (Value::String(sub), Value::Null) => of_subject(key, &self.iss, sub),
            (Value::Null, Value::String(sid)) => of_session(key, &self.iss, sid),
            _ => return None,
        };
        Some(About::Floor(name, date_s(&self.before, Rounding::Up).ok()?))
    }
}

impl List {
    /// Reads a feed's document. Entries whose `exp` has passed by more than any leeway are left
    /// out.
    ///
    /// # Errors
    /// Why it isn't one.
    pub fn parse(
        key: &HostKey,
        body: &[u8],
        etag: Option<&[u8]>,
        now: Time,
    ) -> Result<List, FeedError> {
        if body.len() > BYTES_MAX {
            return Err(FeedError::TooLong);
        }
        let document: Document<'_> =
            serde_json::from_slice(body).map_err(|_| FeedError::NotAFeed)?;
        let (mut names, mut floors) = (Vec::new(), Vec::new());
        for entry in &document.revoked {
            let about = entry.about(key).ok_or(FeedError::NotAFeed)?;
            if entry.has_ended(now) {
                continue;
            }
            match about {
                About::Token(name) => names.push(name),
                About::Floor(name, before_s) => floors.push((name, before_s)),
            }
            if names.len() * size_of::<Name>() + floors.len() * FLOOR_BYTES > ENTRIES_BYTES_MAX {
                return Err(FeedError::TooManyEntries);
            }
        }
        sort::ascending(&mut names);
        names.dedup();
        Ok(List {
            sequence: document.sequence,
            etag: etag.and_then(tag),
            ends_s: None,
            names,
            floors: Floors::new(floors),
        })
    }

    /// Whether the feed lists the token of this name, as [`of_id`] gives it.
    pub fn has(&self, name: &Digest) -> bool {
        self.names.binary_search(&short(name)).is_ok()
    }

    /// Whether a token lies under one of its floors.
    pub fn covers(&self, told: &Told) -> bool {
        self.floors.cover(told)
    }

    /// Whether it has floors at all.
    pub fn has_floors(&self) -> bool {
        !self.floors.is_empty()
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.names.len() + self.floors.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.floors.is_empty()
    }

    /// The form in shared memory: sequence 8, end 8, number of names 4, length of the tag 2, tag,
    /// names, floors.
    pub fn to_bytes(&self) -> Vec<u8> {
        let etag = self.etag.as_deref().unwrap_or_default().as_bytes();
        let entries = self.names.len() * size_of::<Name>() + self.floors.len() * FLOOR_BYTES;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + etag.len() + entries);
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.ends_s.unwrap_or(NO_END).to_le_bytes());
        bytes.extend((self.names.len() as u32).to_le_bytes());
        bytes.extend((etag.len() as u16).to_le_bytes());
        bytes.extend(etag);
        bytes.extend(self.names.as_flattened());
        self.floors.write(&mut bytes);
        bytes
    }

    /// Reads the form in shared memory.
    pub fn from_bytes(bytes: &[u8]) -> Option<List> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (ends, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (etag, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let names_bytes = (u32::from_le_bytes(*count) as usize).checked_mul(size_of::<Name>())?;
        let (names, floors) = rest.split_at_checked(names_bytes)?;
        let (names, _) = names.as_chunks::<16>();
        let etag = std::str::from_utf8(etag).ok()?;
        names.is_sorted_by(|a, b| a < b).then_some(List {
            sequence: u64::from_le_bytes(*sequence),
            etag: (!etag.is_empty()).then(|| etag.to_owned()),
            ends_s: Some(u64::from_le_bytes(*ends)).filter(|ends_s| *ends_s != NO_END),
            names: names.to_vec(),
            floors: Floors::read(floors)?,
        })
    }
}

/// Bytes before the tag.
const HEAD_BYTES: usize = 22;
/// The end of a list that has none.
const NO_END: u64 = u64::MAX;

/// An entity tag that can be sent back as it is: visible ASCII of a bounded length.
fn tag(value: &[u8]) -> Option<String> {
    let fits = (1..=ETAG_BYTES_MAX).contains(&value.len())
        && value.iter().all(|byte| (0x21..=0x7e).contains(byte));
    if fits { String::from_utf8(value.to_vec()).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENTRIES_MAX: usize = 32_000;
    const NOW: Time = Time::from_s(1_000_000);

    fn key() -> HostKey {
        HostKey::new(&[5; 32], b"")
    }

    fn parse(text: &str) -> Result<List, FeedError> {
        List::parse(&key(), text.as_bytes(), None, NOW)
    }

    #[test]
    fn the_documented_example() {
        let list = parse(r#"{"sequence": 17, "revoked": [{"iss": "https://idp.example", "jti": "a1b2", "exp": 1790000000}]}"#).unwrap();
        assert_eq!((list.sequence, list.len()), (17, 1));
        assert!(list.has(&of_id(&key(), "https://idp.example", "a1b2")));
        assert!(!list.has(&of_id(&key(), "https://idp.example", "a1b3")));
        assert!(!list.has(&of_id(&key(), "https://other.example", "a1b2")));
    }

    fn told(claims: &str) -> Told {
        let claims = crate::jwt::json::object(claims.as_bytes()).unwrap();
        Told::of(&key(), &crate::jwt::Claims::from_map(claims).unwrap())
    }

    #[test]
    fn entries_by_subject_and_session() {
        let list = parse(
            r#"{"sequence":1,"revoked":[{"iss":"i","sub":"alice","before":1000.5},
                {"iss":"i","sid":"s1","before":2000},{"iss":"i","sub":"alice","before":900},
                {"iss":"i","jti":"j","sub":7,"before":"x"}]}"#,
        )
        .unwrap();
        assert_eq!(list.len(), 3);
        assert!(list.has_floors() && list.has(&of_id(&key(), "i", "j")));
        assert!(list.covers(&told(r#"{"iss":"i","sub":"alice","iat":1000}"#)), "rounded up");
        assert!(!list.covers(&told(r#"{"iss":"i","sub":"alice","iat":1001}"#)));
        assert!(list.covers(&told(r#"{"iss":"i","sub":"bob","sid":"s1"}"#)));
        assert_eq!(List::from_bytes(&list.to_bytes()), Some(list));
        for entry in [
            r#"{"iss":"i","sub":"a"}"#,
            r#"{"iss":"i","sub":"a","before":null}"#,
            r#"{"iss":"i","sub":"a","before":"1000"}"#,
            r#"{"iss":"i","sub":"a","before":-1}"#,
            r#"{"iss":"i","sub":1,"before":1000}"#,
            r#"{"iss":"i","sub":"a","sid":"s","before":1000}"#,
            r#"{"iss":"i","before":1000}"#,
            r#"{"sub":"a","before":1000}"#,
            r#"{"iss":"i","sub":"a","before":1,"before":1000}"#,
            r#"{"iss":"i","sub":"a","exp":1}"#,
        ] {
            let text = format!(r#"{{"sequence":1,"revoked":[{entry}]}}"#);
            assert_eq!(parse(&text), Err(FeedError::NotAFeed), "{entry}");
        }
        let ended = parse(r#"{"sequence":1,"revoked":[{"iss":"i","sub":"a","before":5,"exp":6}]}"#);
        assert!(ended.unwrap().is_empty());
    }

    #[test]
    fn what_has_ended_is_left_out_once_no_leeway_admits_it() {
        let entry = |exp: u64| {
            parse(&format!(r#"{{"sequence":1,"revoked":[{{"iss":"i","jti":"j","exp":{exp}}}]}}"#))
                .unwrap()
                .len()
        };
        assert_eq!(entry(NOW.s() - LEEWAY_S_MAX), 0);
        assert_eq!(entry(NOW.s() - LEEWAY_S_MAX + 1), 1);
        assert_eq!(entry(u64::MAX), 1);
        let entry = |exp: &str| {
            parse(&format!(r#"{{"sequence":1,"revoked":[{{"iss":"i","jti":"j","exp":{exp}}}]}}"#))
                .unwrap()
                .len()
        };
        assert_eq!(
            (entry("999700.0"), entry("9.997e5"), entry("999700.25")),
            (0, 0, 1),
            "to the later side"
        );
        for no_date in ["\"999\"", "null", "-1", "1e300", "[1]", "{}", "true"] {
            assert_eq!(entry(no_date), 1, "{no_date}: it is listed, whenever it ends");
        }
        assert_eq!(
            parse(r#"{"sequence":1,"revoked":[{"iss":"i","jti":"j"}]}"#).unwrap().len(),
            1,
            "no end, no drop"
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"sequence":1}"#,
            r#"{"revoked":[]}"#,
            r#"{"sequence":-1,"revoked":[]}"#,
            r#"{"sequence":"1","revoked":[]}"#,
            r#"{"sequence":1.5,"revoked":[]}"#,
            r#"{"sequence":1,"revoked":{}}"#,
            r#"{"sequence":1,"sequence":2,"revoked":[]}"#,
            r#"{"sequence":1,"revoked":[{"iss":"i"}]}"#,
            r#"{"sequence":1,"revoked":[{"jti":"j"}]}"#,
            r#"{"sequence":1,"revoked":[{"iss":"i","jti":1}]}"#,
            r#"{"sequence":1,"revoked":[{"iss":"i","jti":"j","exp":1,"exp":2}]}"#,
            r#"{"sequence":1,"revoked":[{"iss":"i","jti":"j"},{"iss":"i","sub":"alice"}]}"#,
            r#"{"sequence":1,"revoked":[]} x"#,
            "<!doctype html>",
        ] {
            assert_eq!(parse(text), Err(FeedError::NotAFeed), "{text}");
        }
        assert_eq!(parse(r#"{"sequence":1,"revoked":[],"issued":"now"}"#).unwrap().len(), 0);
    }

    #[test]
    fn bounds() {
        let entries = |n: usize, exp: u64| {
            let entries: Vec<_> =
                (0..n).map(|n| format!(r#"{{"iss":"i","jti":"{n}","exp":{exp}}}"#)).collect();
            format!(r#"{{"sequence":1,"revoked":[{}]}}"#, entries.join(","))
        };
        let list = parse(&entries(ENTRIES_MAX, 2_000_000)).unwrap();
        assert_eq!(list.len(), ENTRIES_MAX);
        assert!(
            list.to_bytes().len() + ETAG_BYTES_MAX <= crate::shared::document::DOCUMENT_BYTES_MAX
        );
        assert_eq!(parse(&entries(ENTRIES_MAX + 1, 2_000_000)), Err(FeedError::TooManyEntries));
        assert_eq!(parse(&entries(ENTRIES_MAX + 1, 1)).unwrap().len(), 0, "ended ones don't count");
        let long = format!(r#"{{"sequence":1,"revoked":[],"x":"{}"}}"#, "x".repeat(BYTES_MAX));
        assert_eq!(parse(&long), Err(FeedError::TooLong));
    }

    #[test]
    fn only_a_tag_that_can_be_sent_back_is_kept() {
        let etag = |tag: &[u8]| {
            List::parse(&key(), br#"{"sequence":1,"revoked":[]}"#, Some(tag), NOW).unwrap().etag
        };
        assert_eq!(etag(br#"W/"abc""#).as_deref(), Some(r#"W/"abc""#));
        for bad in [&b""[..], b"a b", b"a\r\nx: y", &[0xe9], &[b'x'; ETAG_BYTES_MAX + 1]] {
            assert_eq!(etag(bad), None);
        }
    }

    #[test]
    fn debug_output_holds_no_entry() {
        assert_eq!(
            format!("{:?}", parse(r#"{"sequence":3,"revoked":[{"iss":"i","jti":"j"}]}"#).unwrap()),
            "List { sequence: 3, entries: 1, .. }"
        );
    }

    proptest! {
        #[test]
        fn lists_exactly_what_was_revoked(ids in proptest::collection::vec(("[a-c]{0,2}", "[a-c]{0,2}"), 0..40), iss in "[a-c]{0,2}", jti in "[a-c]{0,2}") {
            let entries: Vec<_> = ids.iter().map(|(iss, jti)| serde_json::json!({"iss": iss, "jti": jti})).collect();
            let list = parse(&serde_json::json!({"sequence": 1, "revoked": entries}).to_string()).unwrap();
            prop_assert_eq!(list.has(&of_id(&key(), &iss, &jti)), ids.contains(&(iss, jti)));
            prop_assert_eq!(List::from_bytes(&list.to_bytes()), Some(list));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = List::parse(&key(), &bytes, Some(&bytes), NOW);
            if let Some(list) = List::from_bytes(&bytes) {
                prop_assert_eq!(list.to_bytes(), bytes);
            }
        }
    }
}
