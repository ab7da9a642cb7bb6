//! Security Event Tokens (RFC 8417) as their transmitter hands them over (RFC 8936), and which
//! tokens they take back.
//!
//! Events of CAEP and RISC that end sessions or accounts are floors: what was issued up to the
//! event is refused. Whom they are about is read from `sub_id` (RFC 9493, with the complex and
//! `jwt_id` subjects of the Shared Signals Framework), from the `subject` of older drafts, else from
//! the set's own `sub` and `sid`. Other events are nobody's business here.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::feed::FeedError;
use super::floors::{Name, of_no_session, of_session, of_subject, short};
use super::list::BYTES_MAX;
use super::names::of_id;
use crate::digest::HostKey;
use crate::jwt::{Claims, Rounding, date_s};
use crate::time::Time;

/// Sets that are asked for at once, and read of an answer: to verify one takes up to a millisecond.
pub const SETS_MAX: usize = 32;
/// Bytes of a set's id at most: it is sent back.
const ID_BYTES_MAX: usize = 256;
/// Identifiers that are read of one subject.
const ALIASES_MAX: usize = 16;

/// Events after which what was issued before is refused.
const ENDING: &[&str] = &[
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    "https://schemas.openid.net/secevent/caep/event-type/credential-change",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
    "https://schemas.openid.net/secevent/risc/event-type/sessions-revoked",
];

/// An answer of the transmitter's.
pub struct Poll<'a> {
    /// The sets by their ids: the first [`SETS_MAX`].
    pub sets: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Why a set isn't one that could be acted on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetError {
    /// Not a JWT, or without what every set has.
    NotASet,
    /// Not of the type `secevent+jwt`.
    WrongType,
    /// It was issued by another.
    WrongIssuer,
    /// It is for another.
    WrongAudience,
    /// No key that it could be signed with is the issuer's.
    UnknownKey,
    /// Its signature is wrong.
    BadSignature,
    /// Its `exp` has passed.
    Expired,
    /// It ends a session or an account, and no token can be known by how it says whose.
    UnknownSubject,
}

impl SetError {
    /// The code of RFC 8935, section 2.4.
    fn code(self) -> &'static str {
        match self {
            SetError::NotASet
            | SetError::WrongType
            | SetError::Expired
            | SetError::UnknownSubject => "invalid_request",
            SetError::WrongIssuer => "invalid_issuer",
            SetError::WrongAudience => "invalid_audience",
            SetError::UnknownKey => "invalid_key",
            SetError::BadSignature => "authentication_failed",
        }
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SetError::NotASet => "not a Security Event Token",
            SetError::WrongType => "its typ is not secevent+jwt",
            SetError::WrongIssuer => "its iss is not the stream's issuer",
            SetError::WrongAudience => "its aud is not the stream's audience",
            SetError::UnknownKey => "no key of the issuer is the one that it names",
            SetError::BadSignature => "no key of the issuer verifies its signature",
            SetError::Expired => "its exp has passed",
            SetError::UnknownSubject => {
                "its subject is none of iss_sub of this issuer, opaque, jwt_id, and a complex one \
                 with such a user or session"
            }
        })
    }
}

impl<'a> Poll<'a> {
    /// Reads an answer (RFC 8936, section 2.3).
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(body: &'a [u8]) -> Result<Poll<'a>, FeedError> {
        #[derive(Deserialize)]
        struct Answer<'a> {
            #[serde(borrow)]
            sets: Sets<'a>,
            #[serde(default, rename = "moreAvailable")]
            has_more: bool,
        }
        if body.len() > BYTES_MAX {
            return Err(FeedError::TooLong);
        }
        let Answer { sets: Sets(sets, all_read), has_more } =
            serde_json::from_slice(body).map_err(|_| FeedError::NotAPoll)?;
        Ok(Poll { sets, has_more: has_more || !all_read })
    }
}

/// The first sets, and whether these are all.
struct Sets<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>, bool);

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Sets<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Sets<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of sets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Sets<'de>, A::Error> {
                let mut sets = Vec::new();
                while let Some(Text(id)) = members.next_key()? {
                    if sets.len() == SETS_MAX {
                        members.next_value::<IgnoredAny>()?;
                        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(Sets(sets, false));
                    }
                    let Text(set) = members.next_value()?;
                    sets.push((id, set));
                }
                Ok(Sets(sets, true))
            }
        }
        reader.deserialize_map(Reader)
    }
}

/// What is asked of the transmitter (RFC 8936, section 2.2), with what has become of sets that it
/// sent before.
pub fn request<'a>(
    kept: impl Iterator<Item = &'a str>,
    refused: impl Iterator<Item = (&'a str, SetError)>,
) -> String {
    let kept: Vec<&str> = kept.filter(|id| id.len() <= ID_BYTES_MAX).collect();
    let mut errors = Map::new();
    for (id, why) in refused.filter(|(id, _)| id.len() <= ID_BYTES_MAX) {
        let error = json!({ "err": why.code(), "description": why.to_string() });
        errors.insert(id.to_owned(), error);
    }
    let mut body = json!({ "maxEvents": SETS_MAX, "returnImmediately": true });
    if let Some(members) = body.as_object_mut() {
        if !kept.is_empty() {
            members.insert("ack".to_owned(), Value::from(kept));
        }
        if !errors.is_empty() {
            members.insert("setErrs".to_owned(), Value::from(errors));
        }
    }
    body.to_string()
}

/// Whether a set with this `typ` and these claims is one of the stream's (RFC 8417, section 2.2),
/// whoever signed it.
///
/// # Errors
/// Why it isn't.
pub fn is_of_stream(
    typ: Option<&str>,
    claims: &Claims,
    iss: &str,
    audience: Option<&str>,
    now: Time,
    leeway_s: u64,
) -> Result<(), SetError> {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    if typ.strip_prefix("application/").unwrap_or(&typ) != "secevent+jwt" {
        return Err(SetError::WrongType);
    }
    let has_events = claims.raw.get("events").and_then(Value::as_object);
    if has_events.is_none_or(Map::is_empty) || claims.jti.is_none() || claims.iat.is_none() {
        return Err(SetError::NotASet);
    }
    if claims.iss.as_deref() != Some(iss) {
        return Err(SetError::WrongIssuer);
    }
    if audience.is_some_and(|audience| claims.aud.iter().all(|other| other != audience)) {
        return Err(SetError::WrongAudience);
    }
    if claims.exp.is_some_and(|exp| now.s() >= exp.saturating_add(leeway_s)) {
        return Err(SetError::Expired);
    }
    Ok(())
}

/// The floors that a set of `iss` sets. No event is later than now, whatever it says; and what was
/// issued in its own second may be from before it.
///
/// # Errors
/// [`SetError::UnknownSubject`].
pub fn floors(
    key: &HostKey,
    claims: &Claims,
    iss: &str,
    now: Time,
) -> Result<Vec<(Name, u64)>, SetError> {
    let mut floors = Vec::new();
    let events = claims.raw.get("events").and_then(Value::as_object);
    let ending = events.into_iter().flatten().filter(|(name, _)| ENDING.contains(&name.as_str()));
    for (_, event) in ending {
        let whose = whose(claims, event, iss);
        if whose.is_empty() {
            return Err(SetError::UnknownSubject);
        }
        let happened = event.get("event_timestamp").or_else(|| claims.raw.get("toe"));
        let happened_s = match happened {
            Some(date) => date_s(date, Rounding::Up).unwrap_or(now.s()),
            None => claims.iat.unwrap_or(now.s()),
        };
        let after_s = happened_s.min(now.s()).saturating_add(1);
        floors.extend(whose.iter().map(|whose| match whose {
            Whose::Subject(sub) => (of_subject(key, iss, sub), after_s),
            Whose::Session(sid) => (of_session(key, iss, sid), after_s),
            Whose::NoSession(sub) => (of_no_session(key, iss, sub), after_s),
            // A token is refused for its id, whenever it was issued: this says how long that is
            // remembered before others.
            Whose::Token(jti) => (short(&of_id(key, iss, jti)), now.s().saturating_add(1)),
        }));
    }
    Ok(floors)
}

/// Whose tokens an event is about.
#[derive(PartialEq, Debug)]
enum Whose<'a> {
    Subject(&'a str),
    Session(&'a str),
    /// The tokens of a subject that don't say of which session they are.
    NoSession(&'a str),
    Token(&'a str),
}

fn whose<'a>(claims: &'a Claims, event: &'a Value, iss: &str) -> Vec<Whose<'a>> {
    match claims.raw.get("sub_id").or_else(|| event.get("subject")) {
        Some(Value::Object(subject)) => of_subject_id(subject, iss),
        Some(_) => Vec::new(),
        None => {
            let sid = claims.raw.get("sid").and_then(Value::as_str);
            of_session_and_user(sid, claims.sub.as_deref())
        }
    }
}

fn of_subject_id<'a>(subject: &'a Map<String, Value>, iss: &str) -> Vec<Whose<'a>> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    // Older drafts say `subject_type`, with other spellings.
    let format = text("format").or(text("subject_type")).map(|name| name.replace('-', "_"));
    let member = |name: &str| subject.get(name).and_then(Value::as_object);
    match format.as_deref() {
        Some("iss_sub" | "opaque") => id(subject, iss).map(Whose::Subject).into_iter().collect(),
        Some("jwt_id") if text("iss") == Some(iss) => {
            text("jti").map(Whose::Token).into_iter().collect()
        }
        Some("aliases") => {
            let all = subject.get("identifiers").and_then(Value::as_array).into_iter().flatten();
            let all = all.take(ALIASES_MAX).filter_map(Value::as_object);
            all.filter_map(|one| id(one, iss)).map(Whose::Subject).collect()
        }
        None | Some("complex") => of_session_and_user(
            member("session").and_then(|session| id(session, iss)),
            member("user").and_then(|user| id(user, iss)),
        ),
        Some(_) => Vec::new(),
    }
}

/// A session of a user: its own tokens, and those of which nobody can say whether they are.
fn of_session_and_user<'a>(sid: Option<&'a str>, sub: Option<&'a str>) -> Vec<Whose<'a>> {
    match (sid, sub) {
        (Some(sid), Some(sub)) => vec![Whose::Session(sid), Whose::NoSession(sub)],
        (Some(sid), None) => vec![Whose::Session(sid)],
        (None, Some(sub)) => vec![Whose::Subject(sub)],
        (None, None) => Vec::new(),
    }
}

/// What a simple subject is called by the issuer.
fn id<'a>(subject: &'a Map<String, Value>, iss: &str) -> Option<&'a str> {
    let text = |name: &str| subject.get(name).and_then(Value::as_str);
    let format = text("format").or(text("subject_type")).map(|name| name.replace('-', "_"));
    match format.as_deref() {
        Some("iss_sub") if text("iss") == Some(iss) => text("sub"),
        Some("opaque") => text("id"),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests;
