//! A status list as its server answers with it: a JWT (sections 4 and 5.1 of the draft).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::jwt::{self, Claims, Jwt, check, json};
use crate::shared::twin::{Twin, broken};

/// The statuses of many tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct List {
    /// Bits of a status: 1, 2, 4 or 8.
    pub bits: u8,
    /// The statuses, the first in the lowest bits of the first byte.
    pub bytes: Vec<u8>,
    /// When it was signed, in seconds.
    pub issued_s: u64,
    /// The second from which on it isn't good any more, if it says so.
    pub end_s: Option<u64>,
    /// Seconds for which it may be kept, if it says so.
    pub ttl_s: Option<u64>,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("List(..)")
    }
}

/// Why an answer isn't the list that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListError {
    /// It isn't a JWT.
    NotAJwt,
    /// Its `typ` is another one.
    Type,
    /// It is signed with an algorithm that the issuer doesn't use.
    Algorithm,
    /// None of the issuer's keys verifies it.
    Signature,
    /// The issuer's keys aren't known at the moment.
    NoKeys,
    /// Its `sub` isn't the URL that was asked for.
    Subject,
    /// Its `iss` is another issuer.
    Issuer,
    /// It has ended.
    Expired,
    /// It was signed later than now, isn't good yet, or doesn't say when it was signed.
    Issued,
    /// It was signed before the one that is known.
    Older,
    /// Its `ttl` isn't a positive number.
    Ttl,
    /// It has no `status_list` with 1, 2, 4 or 8 `bits` and `lst`.
    Shape,
    /// Its `lst` isn't base64url of a zlib stream.
    Encoding,
    /// It has more bytes than are admitted, as it came or once it is inflated.
    TooLong,
    /// There is no room for it.
    NoRoom,
}

impl std::fmt::Display for ListError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ListError::NotAJwt => "no JWT",
            ListError::Type => "its typ isn't \"statuslist+jwt\"",
            ListError::Algorithm => "it is signed with none of the issuer's algorithms",
            ListError::Signature => "no key of the issuer verifies it",
            ListError::NoKeys => "the issuer's keys aren't known at the moment",
            ListError::Subject => "its \"sub\" isn't the URL that was asked for",
            ListError::Issuer => "its \"iss\" is another issuer",
            ListError::Expired => "it has ended (\"exp\")",
            ListError::Issued => "its \"iat\" or \"nbf\" lies ahead, or it has no \"iat\"",
            ListError::Older => "it was signed before the one that is known (\"iat\")",
            ListError::Ttl => "its \"ttl\" isn't a positive number",
            ListError::Shape => {
                "it has no \"status_list\" with \"bits\" of 1, 2, 4 or 8 and \"lst\""
            }
            ListError::Encoding => "its \"lst\" isn't base64url of a zlib stream",
            ListError::TooLong => "it is longer than bytes_max admits",
            ListError::NoRoom => "there is no room for it in shared memory",
        })
    }
}

/// The `typ` of a list.
const TYPE: &str = "statuslist+jwt";

/// Reads an answer as a JWT of that type, which nobody has verified yet.
///
/// # Errors
/// [`ListError::TooLong`], [`ListError::NotAJwt`], [`ListError::Type`].
pub fn read(body: &[u8], bytes_max: usize) -> Result<Jwt<'_>, ListError> {
    // Files on a disk like to end in a line break.
    let body = body.trim_ascii();
    if body.len() > bytes_max {
        return Err(ListError::TooLong);
    }
    let (jwt, payload) = jwt::parse_document(body, bytes_max).map_err(|_| ListError::NotAJwt)?;
    if !jwt.typ.as_deref().is_some_and(|typ| check::is_media_type(typ, TYPE)) {
        return Err(ListError::Type);
    }
    let members = json::object(&payload).map_err(|_| ListError::NotAJwt)?;
    let claims = Claims::from_map(members).map_err(|_| ListError::NotAJwt)?;
    Ok(Jwt { claims, ..jwt })
}

/// What a list is held against.
pub struct Expected<'a> {
    /// The URL under which it was asked for.
    pub uri: &'a str,
    /// Bytes at most, inflated.
    pub bytes_max: usize,
    /// Now, in seconds.
    pub now_s: u64,
    /// Seconds by which the server's clock may be ahead.
    pub leeway_s: u64,
}

impl List {
    /// The list that verified claims hold. It is inflated last, and no further than it may be: time
    /// and memory follow from the answer's bytes and from `bytes_max`, whatever it holds.
    ///
    /// # Errors
    /// Why it isn't taken.
    pub fn of(claims: &Claims, expected: &Expected<'_>) -> Result<List, ListError> {
        // Section 8.3: else one list of the issuer could stand for another.
        if claims.sub.as_deref() != Some(expected.uri) && !broken(Twin::ListUnnamed) {
            return Err(ListError::Subject);
        }
        let latest_s = expected.now_s.saturating_add(expected.leeway_s);
        let issued_s = claims.iat.filter(|iat| *iat <= latest_s).ok_or(ListError::Issued)?;
        if claims.nbf.is_some_and(|nbf| nbf > latest_s) {
            return Err(ListError::Issued);
        }
        if claims.exp.is_some_and(|exp| exp <= expected.now_s) {
            return Err(ListError::Expired);
        }
        let ttl_s = claims.raw.get("ttl").map(whole_seconds).transpose()?;
        let list = claims.raw.get("status_list").and_then(Value::as_object);
        let bits = list.and_then(|list| list.get("bits")?.as_u64());
        let lst = list.and_then(|list| list.get("lst")?.as_str());
        let (Some(bits @ (1 | 2 | 4 | 8)), Some(lst)) = (bits, lst) else {
            return Err(ListError::Shape);
        };
        let zlib = URL_SAFE_NO_PAD.decode(lst).map_err(|_| ListError::Encoding)?;
        let bytes = inflated(&zlib, expected.bytes_max)?;
        Ok(List { bits: bits as u8, bytes, issued_s, end_s: claims.exp, ttl_s })
    }
}

/// Section 5.1: a positive number. One below a second would be asked for without end.
fn whole_seconds(ttl: &Value) -> Result<u64, ListError> {
    let seconds = ttl.as_u64().or_else(|| ttl.as_f64().map(|seconds| seconds as u64));
    seconds.filter(|seconds| *seconds > 0).ok_or(ListError::Ttl)
}

/// What a zlib stream holds, of at most `bytes_max` bytes (RFC 1950).
///
/// # Errors
/// [`ListError::TooLong`], [`ListError::Encoding`].
pub fn inflated(zlib: &[u8], bytes_max: usize) -> Result<Vec<u8>, ListError> {
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
    decompress_to_vec_zlib_with_limit(zlib, bytes_max).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => ListError::TooLong,
        TINFLStatus::FailedCannotMakeProgress
        | TINFLStatus::BadParam
        | TINFLStatus::Adler32Mismatch
        | TINFLStatus::Failed
        | TINFLStatus::Done
        | TINFLStatus::NeedsMoreInput => ListError::Encoding,
    })
}

/// The byte of a list in which a status is, and how far up in it; nothing if there is no such
/// number.
pub fn place(index: u64, bits: u8) -> Option<(usize, u32)> {
    let bit = index.checked_mul(u64::from(bits))?;
    Some((usize::try_from(bit / 8).ok()?, (bit % 8) as u32))
}

/// The status in a byte.
pub fn status(byte: u8, shift: u32, bits: u8) -> u8 {
    let mask = u8::MAX >> (8_u32.saturating_sub(u32::from(bits)));
    byte.checked_shr(shift).unwrap_or_default() & mask
}

/// The status of a token that is good (section 7.1). Every other one refuses it.
pub const VALID: u8 = 0;
