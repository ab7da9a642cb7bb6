//! Buffers: configuration, bodies, answers of callouts.

use super::{Hostcall, status, trap, within};
use crate::vm::Step;
use wasmi::Error;

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const CALL_BODY: u32 = 4;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;

pub fn get(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (kind, start, size) = (call.arg(0), call.arg(1) as usize, call.arg(2) as usize);
    let buffer_max = call.cx().host.options.body_buffer;
    let cx = call.cx();
    let found = match kind {
        PLUGIN_CONFIGURATION => Some(cx.filter.config.clone().into_bytes()),
        VM_CONFIGURATION => Some(Vec::new()),
        REQUEST_BODY => {
            if !within(cx, &[Step::RequestHeaders, Step::RequestBody, Step::Log]) {
                return Err(trap(
                    "can only get request body during \"on_request_body\", \"on_log\"",
                ));
            }
            // A body over the buffer lies in a file, which the host doesn't read.
            let traffic = cx.traffic.as_ref().filter(|traffic| traffic.body_read);
            traffic.and_then(|traffic| traffic.body.clone()).filter(|body| body.len() <= buffer_max)
        }
        RESPONSE_BODY => {
            if !within(cx, &[Step::ResponseBody]) {
                return Err(trap("can only get response body during \"on_response_body\""));
            }
            cx.traffic.as_ref().map(|traffic| traffic.piece.clone())
        }
        CALL_BODY => {
            if !within(cx, &[Step::Callout, Step::Log]) {
                return Err(trap(
                    "can only get dispatch response body during \"on_http_dispatch_response\"",
                ));
            }
            let Some(answer) = &cx.answer else { return Ok(status::BAD_ARGUMENT) };
            Some(answer.body.clone()).filter(|body| !body.is_empty())
        }
        _ => return Ok(status::BAD_ARGUMENT),
    };
    let Some(found) = found else { return Ok(status::NOT_FOUND) };
    let end = start.saturating_add(size).min(found.len());
    let piece = found.get(start..end).unwrap_or(&[]);
    if piece.is_empty() {
        return Ok(status::OK);
    }
    call.give(3, piece)
}

pub fn set(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (kind, start, size) = (call.arg(0), call.arg(1) as usize, call.arg(2) as usize);
    let bytes = call.bytes(3)?;
    let cx = call.cx();
    let place = match kind {
        REQUEST_BODY => {
            if !within(cx, &[Step::RequestHeaders, Step::RequestBody]) {
                return Err(trap("can only set request body during \"on_request_body\""));
            }
            cx.traffic.as_mut().map(|traffic| traffic.body.get_or_insert_default())
        }
        RESPONSE_BODY => {
            if !within(cx, &[Step::ResponseBody]) {
                return Err(trap("can only set response body during \"on_response_body\""));
            }
            cx.traffic.as_mut().map(|traffic| &mut traffic.piece)
        }
        _ => return Ok(status::BAD_ARGUMENT),
    };
    let Some(place) = place else { return Ok(status::BAD_ARGUMENT) };
    // Start and size 0 put the bytes in front; else they replace that range.
    let start = start.min(place.len());
    let end = start.saturating_add(size).min(place.len());
    place.splice(start..end, bytes);
    Ok(status::OK)
}
