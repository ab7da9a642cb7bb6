//! Floors: what was issued before a moment is refused, for a subject or a session.
//!
//! A floor says nothing of what is issued later, so a user who logs in again has a good token. One
//! token has a name for each floor that it may lie under ([`Told`]); a token that doesn't say when
//! it was issued lies under all of them.

use crate::digest::{Digest, HostKey};
use crate::jwt::Claims;
use crate::sort;

/// Half a digest: 128 bits under the host's key, which nobody can aim at.
pub type Name = [u8; 16];

/// Bytes of a floor in shared memory.
pub const FLOOR_BYTES: usize = size_of::<Name>() + size_of::<u64>();

/// Moments in whole seconds, by what they hold for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Floors {
    /// Sorted; each name once.
    entries: Vec<(Name, u64)>,
}

/// What a token says that floors are about.
pub struct Told {
    /// Its issuer.
    pub issuer: Option<Name>,
    /// Its subject, session, or its subject where it names no session.
    of_whom: [Option<Name>; 2],
    /// When it was issued.
    iat: Option<u64>,
}

impl Told {
    /// What these claims say.
    pub fn of(key: &HostKey, claims: &Claims) -> Told {
        let Some(iss) = claims.iss.as_deref() else {
            return Told { issuer: None, of_whom: [None, None], iat: claims.iat };
        };
        let sid = claims.raw.get("sid").and_then(serde_json::Value::as_str);
        let sub = claims.sub.as_deref();
        let session = match (sid, sub) {
            (Some(sid), _) => Some(of_session(key, iss, sid)),
            (None, Some(sub)) => Some(of_no_session(key, iss, sub)),
            (None, None) => None,
        };
        Told {
            issuer: Some(of_issuer(key, iss)),
            of_whom: [sub.map(|sub| of_subject(key, iss, sub)), session],
            iat: claims.iat,
        }
    }

    /// Whether it was issued before that second, as far as anyone knows.
    pub fn is_before(&self, second: u64) -> bool {
        self.iat.is_none_or(|iat| iat < second)
    }
}

impl Floors {
    /// These; of one name the latest moment counts.
    pub fn new(mut entries: Vec<(Name, u64)>) -> Floors {
        sort::by(&mut entries, |(a, a_s), (b, b_s)| (a, b_s) < (b, a_s));
        entries.dedup_by_key(|(name, _)| *name);
        Floors { entries }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The moment that holds for this name.
    pub fn get(&self, name: &Name) -> Option<u64> {
        let at = self.entries.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        self.entries.get(at).map(|(_, before_s)| *before_s)
    }

    /// Whether a token lies under one.
    pub fn cover(&self, told: &Told) -> bool {
        let under = |name: &Name| self.get(name).is_some_and(|before_s| told.is_before(before_s));
        told.of_whom.iter().flatten().any(under)
    }

    /// All of both.
    pub fn with(&self, others: impl IntoIterator<Item = (Name, u64)>) -> Floors {
        Floors::new(self.iter().chain(others).collect())
    }

    /// Each name with its moment.
    pub fn iter(&self) -> impl Iterator<Item = (Name, u64)> + '_ {
        self.entries.iter().copied()
    }

    /// Appends the form in shared memory.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        for (name, before_s) in &self.entries {
            bytes.extend(name);
            bytes.extend(before_s.to_le_bytes());
        }
    }

    /// Reads the form in shared memory; nothing if it is none.
    pub fn read(bytes: &[u8]) -> Option<Floors> {
        let (chunks, left) = bytes.as_chunks::<FLOOR_BYTES>();
        let one = |chunk: &[u8; FLOOR_BYTES]| {
            let (name, before_s) = chunk.split_first_chunk::<16>()?;
            Some((*name, u64::from_le_bytes(before_s.try_into().ok()?)))
        };
        let entries = chunks.iter().map(one).collect::<Option<Vec<_>>>()?;
        let is_sorted = entries.is_sorted_by(|(a, _), (b, _)| a < b);
        (left.is_empty() && is_sorted).then_some(Floors { entries })
    }
}

/// The first half of a digest.
pub fn short(digest: &Digest) -> Name {
    let mut name = [0; 16];
    name.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
    name
}

/// The name of all tokens of `iss`.
pub fn of_issuer(key: &HostKey, iss: &str) -> Name {
    short(&key.digest("revoked issuer", &[iss.as_bytes()]))
}

/// The name of all tokens of `iss` for `sub`.
pub fn of_subject(key: &HostKey, iss: &str, sub: &str) -> Name {
    short(&key.digest("revoked subject", &[iss.as_bytes(), sub.as_bytes()]))
}

/// The name of all tokens of `iss` for the session `sid`.
pub fn of_session(key: &HostKey, iss: &str, sid: &str) -> Name {
    short(&key.digest("revoked session", &[iss.as_bytes(), sid.as_bytes()]))
}

/// The name of all tokens of `iss` for `sub` that say nothing of their session.
pub fn of_no_session(key: &HostKey, iss: &str, sub: &str) -> Name {
    short(&key.digest("revoked subject without session", &[iss.as_bytes(), sub.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::json;
    use proptest::prelude::*;

    fn key() -> HostKey {
        HostKey::new(&[5; 32], b"")
    }

    fn told(claims: &str) -> Told {
        Told::of(&key(), &Claims::from_map(json::object(claims.as_bytes()).unwrap()).unwrap())
    }

    #[test]
    fn what_was_issued_before_is_covered_and_nothing_else() {
        let floors = Floors::new(vec![
            (of_subject(&key(), "i", "alice"), 100),
            (of_session(&key(), "i", "s1"), 200),
            (of_no_session(&key(), "i", "bob"), 300),
        ]);
        for (claims, covered) in [
            (r#"{"iss":"i","sub":"alice","iat":99}"#, true),
            (r#"{"iss":"i","sub":"alice","iat":99.9}"#, true),
            (r#"{"iss":"i","sub":"alice","iat":100}"#, false),
            (r#"{"iss":"i","sub":"alice"}"#, true),
            (r#"{"iss":"i","sub":"Alice","iat":1}"#, false),
            (r#"{"iss":"j","sub":"alice","iat":1}"#, false),
            (r#"{"sub":"alice","iat":1}"#, false),
            (r#"{"iss":"i","sub":"s1","iat":1}"#, false),
            (r#"{"iss":"i","sub":"x","sid":"s1","iat":199}"#, true),
            (r#"{"iss":"i","sid":"s1","iat":199}"#, true),
            (r#"{"iss":"i","sid":"s1","iat":200}"#, false),
            (r#"{"iss":"i","sub":"alice","sid":"s2","iat":99}"#, true),
            // Which of bob's sessions a token is of, it has to say.
            (r#"{"iss":"i","sub":"bob","iat":299}"#, true),
            (r#"{"iss":"i","sub":"bob","sid":"s2","iat":299}"#, false),
            (r#"{"iss":"i","sub":"bob","sid":7,"iat":299}"#, true),
        ] {
            assert_eq!(floors.cover(&told(claims)), covered, "{claims}");
        }
    }

    proptest! {
        #[test]
        fn the_latest_of_each_name_counts(one in proptest::collection::vec((0u8..9, 0u64..9), 0..20), other in proptest::collection::vec((0u8..9, 0u64..9), 0..20)) {
            let named = |list: &[(u8, u64)]| list.iter().map(|(n, s)| ([*n; 16], *s)).collect::<Vec<_>>();
            let both = Floors::new(named(&one)).with(named(&other));
            for n in 0..9 {
                let latest = one.iter().chain(&other).filter(|(m, _)| *m == n).map(|(_, s)| *s).max();
                prop_assert_eq!(both.get(&[n; 16]), latest);
            }
            let mut bytes = Vec::new();
            both.write(&mut bytes);
            prop_assert_eq!(bytes.len(), both.len() * FLOOR_BYTES);
            prop_assert!(Floors::read(&bytes) == Some(both));
        }
    }
}
