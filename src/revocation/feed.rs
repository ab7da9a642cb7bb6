//! Feeds: servers that are asked again and again what was revoked.

use std::fmt;

use crate::callout::{Callout, Uri};
use crate::reply::FailureMode;

use super::list::{BYTES_MAX, ENTRIES_BYTES_MAX};

/// A revocation feed.
pub struct Feed {
    /// Its address.
    pub uri: Uri,
    /// How it is called.
    pub call: Callout,
    /// Seconds between polls.
    pub every_s: u64,
    /// What happens to tokens while the feed was never read.
    pub failure_mode: FailureMode,
    /// What it serves.
    pub kind: Kind,
}

/// What a feed serves.
pub enum Kind {
    /// A document that lists what is revoked.
    List,
    /// The same document as a JWS.
    Signed(Signer),
    /// Security Event Tokens, to be taken one after the other (RFC 8936).
    Stream {
        /// Whose keys sign them.
        signer: Signer,
        /// Whom they are for; nothing: that isn't looked at.
        audience: Option<String>,
    },
}

/// Whose keys sign what a feed serves.
#[derive(Clone, PartialEq, Eq)]
pub struct Signer {
    /// The issuer's place in the document.
    pub issuer: usize,
    /// Its `iss`.
    pub iss: String,
}

impl Kind {
    /// Whose keys sign it, where it is signed.
    pub fn signer(&self) -> Option<&Signer> {
        match self {
            Kind::List => None,
            Kind::Signed(signer) | Kind::Stream { signer, .. } => Some(signer),
        }
    }
}

/// The type of a signed list (RFC 7515, section 4.1.9): `application/revocation-list+jwt`.
pub const LIST_TYPE: &str = "revocation-list+jwt";

/// Why an answer isn't a feed's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FeedError {
    /// Longer than [`BYTES_MAX`].
    TooLong,
    /// Not a list.
    NotAFeed,
    /// More entries of tokens that haven't ended than [`ENTRIES_BYTES_MAX`] has room for.
    TooManyEntries,
    /// Its number is lower than that of the list that is known.
    Older,
    /// Not a JWS in its compact serialization with an algorithm of the issuer's.
    NotSigned,
    /// A JWS of another type.
    WrongType,
    /// No key of the issuer's verifies it.
    BadSignature,
    /// Its keys can't be had now.
    NoKeys,
    /// Its `iss` isn't the issuer's.
    WrongIssuer,
    /// Its `exp` has passed.
    Expired,
    /// Not an answer of RFC 8936, section 2.3.
    NotAPoll,
    /// Shared memory has no room for what it says.
    NoRoom,
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FeedError::TooLong => {
                return write!(f, "expected a feed of at most {BYTES_MAX} bytes, got more");
            }
            FeedError::NotAFeed => {
                "expected a feed with \"sequence\" and \"revoked\", got something else"
            }
            FeedError::TooManyEntries => {
                return write!(
                    f,
                    "expected at most {ENTRIES_BYTES_MAX} bytes of entries that have not ended \
                     (16 for a jti, 24 for a sub or sid), got more"
                );
            }
            FeedError::Older => "its \"sequence\" is lower than before",
            FeedError::NotSigned => {
                "expected a JWS in its compact serialization, signed with one of the issuer's \
                 algorithms, got something else"
            }
            FeedError::WrongType => {
                return write!(f, "expected the type {LIST_TYPE:?}, got another one");
            }
            FeedError::BadSignature => "none of the issuer's keys verifies its signature",
            FeedError::NoKeys => "the issuer's keys can't be had",
            FeedError::WrongIssuer => "its \"iss\" isn't the issuer's",
            FeedError::Expired => "its \"exp\" has passed",
            FeedError::NotAPoll => {
                "expected a JSON object with \"sets\" (RFC 8936), got something else"
            }
            FeedError::NoRoom => "there is no room for it in shared memory",
        })
    }
}

impl std::error::Error for FeedError {}
