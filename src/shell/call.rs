//! Calls that the host makes for the filter.

use crate::facts::call::Call;
use crate::request::HeaderBlock;

use super::abi;
use super::entry::note_callout;
use super::hosts::Dialect;

/// Makes a call whose answer is for `context`.
pub fn dispatch(call: &Call, dialect: Dialect, context: u32) -> Option<u32> {
    let upstream = (dialect.caps().upstream)(call)?;
    let token = abi::http_call(upstream, &call.headers, &call.body, call.timeout_ms)?;
    note_callout(token, context);
    Some(token)
}

/// The status of an answer; 0 if none came.
pub fn status(headers: &HeaderBlock) -> u16 {
    let digits = headers.get(":status").unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
