//! Calls that the host makes for the filter.

use crate::facts::Fact;
use crate::facts::call::Call;
use crate::request::HeaderBlock;
use crate::time::Time;

use super::abi::{self, Buffer, Map};
use super::entry::note_callout;
use super::hosts::Dialect;

/// A fact that the root is to fetch.
pub struct Ordered {
    /// What to fetch.
    pub fact: Fact,
    /// How often a failed call is tried again.
    pub retries: u32,
    /// When its call was made; before that, when it was ordered.
    pub since: Time,
}

/// One call for as many orders as it can carry.
pub fn together(orders: Vec<Ordered>) -> Vec<Ordered> {
    let mut calls: Vec<Ordered> = Vec::new();
    for ordered in orders {
        if !calls.iter_mut().any(|call| call.fact.take_along(&ordered.fact)) {
            calls.push(ordered);
        }
    }
    calls
}

/// Makes a call whose answer is for `context`.
///
/// # Errors
/// Why the host makes none, for the operator.
pub fn dispatch(call: &Call, dialect: Dialect, context: u32) -> Result<u32, String> {
    let upstream = (dialect.caps().upstream)(call).unwrap_or_default();
    let token = abi::http_call(upstream, &call.headers, &call.body, call.timeout_ms)
        .map_err(|status| (dialect.caps().why_no_call)(status, upstream))?;
    note_callout(token, context);
    Ok(token)
}

/// Headers and body of a call's answer.
pub fn answer_of(headers: usize, body_size: usize) -> (HeaderBlock, Vec<u8>) {
    let block =
        if headers > 0 { abi::headers(Map::CalloutResponse) } else { HeaderBlock::default() };
    (block, body_of(headers, body_size))
}

/// The body of a call's answer; where none came, the host's words why.
pub fn body_of(headers: usize, body_size: usize) -> Vec<u8> {
    let bytes = match headers {
        0 => abi::header(Map::CalloutResponse, ":dispatch_status"),
        _ => abi::buffer(Buffer::CalloutResponse, body_size),
    };
    bytes.unwrap_or_default()
}

/// The status of an answer; 0 if none came.
pub fn status(headers: &HeaderBlock) -> u16 {
    let digits = headers.get(":status").unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
