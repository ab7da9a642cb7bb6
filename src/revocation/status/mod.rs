//! Token Status Lists (draft-ietf-oauth-status-list): where a token says that its status is, and
//! what a list says.
//!
//! A token names a list by its URL and a place in it; the list is a JWT of the same issuer, which
//! holds a few bits for each place. Here nothing is fetched and nothing kept: [`reference`] reads a
//! token's claim, [`list`] an answer of the list's server.

pub mod list;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::callout::{Callout, Uri};
use crate::reply::FailureMode;
use crate::request::path::{PathPolicy, Target};

pub use list::ListError;

/// Where an issuer's status lists are, and how they are kept.
pub struct StatusLists {
    /// What the URL of each list begins with; ends in `/`.
    pub uri_prefix: String,
    /// How they are called for.
    pub call: Callout,
    /// Seconds for which a list is believed at most.
    pub ttl_s_max: u64,
    /// Lists in use at once.
    pub lists_max: usize,
    /// Bytes of a list at most, inflated.
    pub bytes_max: usize,
    /// Lists called for a second at most.
    pub calls_per_s_max: u64,
    /// What happens to a token whose list can't be had.
    pub failure_mode: FailureMode,
}

/// Where a token's status is.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    /// The place in the list.
    pub index: u64,
    /// The list's URL.
    pub uri: String,
}

impl std::fmt::Debug for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reference(..)")
    }
}

/// A token has a status that can't be looked up here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAReference;

/// The claim in which a token says where its status is (section 6.1).
pub const CLAIM: &str = "status";
/// Bytes of a list's URL at most.
const URI_BYTES_MAX: usize = 1_024;

/// Where the status of a token with these claims is; nothing if it has none.
///
/// # Errors
/// [`NotAReference`] for a `status` that isn't an object with a `status_list`, of a whole number and
/// a URL below the issuer's prefix. So also for one that names another mechanism alone: nobody here
/// could say what it means.
pub fn reference(
    claims: &Map<String, Value>,
    lists: &StatusLists,
) -> Result<Option<Reference>, NotAReference> {
    let Some(status) = claims.get(CLAIM) else { return Ok(None) };
    let list = status.get("status_list").and_then(Value::as_object).ok_or(NotAReference)?;
    let index = list.get("idx").and_then(Value::as_u64).ok_or(NotAReference)?;
    let uri = list.get("uri").and_then(Value::as_str).ok_or(NotAReference)?;
    match lists.admits(uri) {
        true => Ok(Some(Reference { index, uri: uri.to_owned() })),
        false => Err(NotAReference),
    }
}

impl StatusLists {
    /// Whether a URL is one of a list: below the prefix whichever way it is read, and with no query,
    /// of which there would be any number for one list.
    fn admits(&self, uri: &str) -> bool {
        uri.len() <= URI_BYTES_MAX
            && uri.len() > self.uri_prefix.len()
            && uri.starts_with(&self.uri_prefix)
            && Uri::parse(uri).is_some_and(|uri| is_unambiguous(&uri.path))
    }

    /// Bytes of an answer at most: base64url twice around what deflate at its worst makes longer,
    /// and a signature and claims beside it.
    pub fn answer_bytes_max(&self) -> usize {
        self.bytes_max.saturating_mul(2).saturating_add(65_536)
    }
}

/// Whether a path has one reading, and no query.
pub fn is_unambiguous(path: &str) -> bool {
    Target::parse(path.as_bytes(), PathPolicy::Strict).is_ok_and(|target| target.query.is_none())
}
