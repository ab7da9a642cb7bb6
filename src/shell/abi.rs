//! The host's functions that a client's bytes can steer, called without the SDK's panics: an
//! unexpected status is an absence here, never a trap.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::cell::Cell;

use crate::request::HeaderBlock;
use crate::time::Time;

mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_replace_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            cas: u32,
        ) -> u32;
        pub fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub fn proxy_http_call(
            upstream: *const u8,
            upstream_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_ms: u32,
            token: *mut u32,
        ) -> u32;
        pub fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_buffer_bytes(
            buffer: u32,
            start: usize,
            size: usize,
            data: *const u8,
            data_size: usize,
        ) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            arguments: *const u8,
            arguments_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_define_metric(
            kind: u32,
            name: *const u8,
            name_size: usize,
            id: *mut u32,
        ) -> u32;
        pub fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
        pub fn proxy_continue_stream(stream: u32) -> u32;
        pub fn proxy_set_effective_context(context: u32) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    }
}

const OK: u32 = 0;

/// A header map of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Map {
    /// The client's request.
    Request = 0,
    /// The API's answer.
    Response = 2,
    /// The answer to a callout.
    CalloutResponse = 6,
}

/// A buffer of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Buffer {
    /// The client's body.
    Request = 0,
    /// The API's body.
    Response = 1,
    /// A callout's body.
    CalloutResponse = 4,
    /// The filter's configuration.
    PluginConfiguration = 7,
}

/// Levels of the host's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// What an operator may want to know.
    Info = 2,
    /// Worth a look.
    Warn = 3,
    /// Something doesn't work.
    Error = 4,
}

/// Gives the host memory to write into; the filter's own in place of the SDK's, see `entry`.
#[unsafe(no_mangle)]
extern "C" fn herdgate_on_memory_allocate(size: usize) -> *mut u8 {
    match OFFERED.take() {
        Some(block) if size <= BLOCK_BYTES => block,
        _ => allocate(size),
    }
}

/// A block that [`take`] takes over.
#[inline(never)]
fn allocate(size: usize) -> *mut u8 {
    let mut block = std::mem::ManuallyDrop::new(Vec::with_capacity(size));
    block.as_mut_ptr()
}

/// Takes what the host wrote into memory that it asked us for.
fn take(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host wrote `size` bytes into a block that it got from `allocate`, which is a
    // Vec's with that capacity, and hands it over.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

fn fetch(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    let status = call(&mut data, &mut size);
    take(status, data, size)
}

/// All headers of a map in one call.
pub fn headers(map: Map) -> HeaderBlock {
    HeaderBlock::from_host(
        // SAFETY: the host writes through the two pointers for the time of the call.
        fetch(|data, size| unsafe { raw::proxy_get_header_map_pairs(map as u32, data, size) })
            .unwrap_or_default(),
    )
}

/// A request's headers that fit into this are written into one block again and again.
const BLOCK_BYTES: usize = 16_384;

thread_local! {
    /// The block, while nobody has it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where the host is to write next.
    static OFFERED: Cell<Option<*mut u8>> = const { Cell::new(None) };
}

/// All headers of the request in one call, in a block that is larger than they are: who is done
/// with them gives it back, and who keeps them copies them.
#[inline(always)]
pub fn request_headers() -> HeaderBlock {
    let mut block = SPARE.take();
    if block.capacity() < BLOCK_BYTES {
        block = new_block();
    }
    OFFERED.set(Some(block.as_mut_ptr()));
    let (mut data, mut size) = (std::ptr::null_mut(), 0usize);
    // SAFETY: the host writes through the two pointers for the time of the call.
    let status =
        unsafe { raw::proxy_get_header_map_pairs(Map::Request as u32, &mut data, &mut size) };
    OFFERED.set(None);
    if status == OK && data == block.as_mut_ptr() && size <= BLOCK_BYTES {
        // SAFETY: the host wrote `size` bytes into the block, which has room for them.
        unsafe { block.set_len(size) };
        return HeaderBlock::from_host(block);
    }
    headers_elsewhere(block, status, data, size)
}

/// Headers that the host wrote elsewhere, or none.
#[inline(never)]
fn headers_elsewhere(block: Vec<u8>, status: u32, data: *mut u8, size: usize) -> HeaderBlock {
    let is_ours = data.cast_const() == block.as_ptr();
    give_back(HeaderBlock::from_host(block));
    HeaderBlock::from_host(if is_ours {
        Vec::new()
    } else {
        take(status, data, size).unwrap_or_default()
    })
}

#[cold]
fn new_block() -> Vec<u8> {
    Vec::with_capacity(BLOCK_BYTES)
}

/// Lets the next request's headers be written where these are.
#[inline(always)]
pub fn give_back(headers: HeaderBlock) {
    let mut block = headers.into_bytes();
    if block.capacity() >= BLOCK_BYTES {
        block.clear();
        SPARE.set(block);
    }
}

/// One header; the hosts differ in what they do with several of one name.
pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    // SAFETY: as above; the name outlives the call.
    fetch(|data, size| unsafe {
        raw::proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, size)
    })
}

/// Sets a header, in place of any of that name. The value holds no control bytes: the callers'
/// duty, since Envoy doesn't check.
pub fn replace_header(map: Map, name: &str, value: &str) -> bool {
    // SAFETY: both slices outlive the call.
    unsafe {
        raw::proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        ) == OK
    }
}

/// Removes a header. On Kong it answers yes and does nothing for requests.
pub fn remove_header(map: Map, name: &str) -> bool {
    // SAFETY: the slice outlives the call.
    unsafe { raw::proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) == OK }
}

/// A property by its path, or nothing.
pub fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    // SAFETY: the slice outlives the call.
    fetch(|data, size| unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Sets a property; tells whether the host took it.
pub fn set_property(path: &[&str], value: &[u8]) -> bool {
    let path = match path {
        [one] => Cow::Borrowed(*one),
        several => Cow::Owned(several.join("\0")),
    };
    // SAFETY: both slices outlive the call.
    unsafe { raw::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) == OK }
}

/// The host's clock. A host without one stands at 0, where every token is too young to be valid.
pub fn now() -> Time {
    let mut ns = 0u64;
    // SAFETY: the host writes through the pointer for the time of the call.
    let status = unsafe { raw::proxy_get_current_time_nanoseconds(&mut ns) };
    Time::from_ns(if status == OK { ns } else { 0 })
}

/// A shared value and its version.
pub fn shared_get(key: &[u8]) -> Option<(Vec<u8>, u32)> {
    let mut cas = 0u32;
    // SAFETY: as above.
    let value = fetch(|data, size| unsafe {
        raw::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    })?;
    Some((value, cas))
}

/// What became of a shared write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedSet {
    /// Written.
    Written,
    /// The version was another.
    Mismatch,
    /// The host refused for another reason.
    Refused,
}

/// Writes a shared value under the host's own meaning of `cas`; see `dialect`.
pub fn shared_set(key: &[u8], value: &[u8], cas: u32) -> SharedSet {
    const CAS_MISMATCH: u32 = 8;
    // SAFETY: both slices outlive the call.
    match unsafe {
        raw::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    } {
        OK => SharedSet::Written,
        CAS_MISMATCH => SharedSet::Mismatch,
        _ => SharedSet::Refused,
    }
}

/// Answers the client; `details` is what Envoy's access log calls that. Headers hold no control
/// bytes, and details none but letters, digits and `_`: the callers' duty.
pub fn respond(status: u16, headers: &[(String, String)], body: &[u8], details: &str) -> bool {
    let block = pairs(headers);
    let headers = block.as_bytes();
    // SAFETY: all slices outlive the call.
    unsafe {
        raw::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        ) == OK
    }
}

/// The host's status where it knows no such upstream.
pub const BAD_ARGUMENT: u32 = 2;

/// Makes an HTTP call; gives the token that its answer will come with, else the host's status.
pub fn http_call(
    upstream: &str,
    headers: &[(String, String)],
    body: &[u8],
    timeout_ms: u64,
) -> Result<u32, u32> {
    let headers = pairs(headers);
    let trailers = pairs(&[]);
    let body_start = if body.is_empty() { std::ptr::null() } else { body.as_ptr() };
    let timeout_ms = u32::try_from(timeout_ms).unwrap_or(u32::MAX);
    let mut token = 0u32;
    let status = {
        let (headers, trailers) = (headers.as_bytes(), trailers.as_bytes());
        // SAFETY: all slices outlive the call; the host writes through the pointer for its time.
        unsafe {
            raw::proxy_http_call(
                upstream.as_ptr(),
                upstream.len(),
                headers.as_ptr(),
                headers.len(),
                body_start,
                body.len(),
                trailers.as_ptr(),
                trailers.len(),
                timeout_ms,
                &mut token,
            )
        }
    };
    if status == OK { Ok(token) } else { Err(status) }
}

fn pairs(headers: &[(String, String)]) -> HeaderBlock {
    HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// At most `max` bytes of a buffer, from its start.
pub fn buffer(buffer: Buffer, max: usize) -> Option<Vec<u8>> {
    // SAFETY: the host writes through the two pointers for the time of the call.
    fetch(|data, size| unsafe { raw::proxy_get_buffer_bytes(buffer as u32, 0, max, data, size) })
}

/// Puts `bytes` in place of the first `size` bytes of a buffer.
pub fn set_buffer(buffer: Buffer, size: usize, bytes: &[u8]) -> bool {
    // SAFETY: the slice outlives the call.
    unsafe {
        raw::proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) == OK
    }
}

/// Calls a function that only this host has.
pub fn foreign(name: &str, arguments: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: both slices outlive the call.
    fetch(|data, size| unsafe {
        raw::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

/// The kinds of metrics, as the host numbers them.
#[derive(Clone, Copy)]
pub enum MetricKind {
    /// What only grows.
    Counter = 0,
    /// What stands at some value.
    Gauge = 1,
    /// How often which value came.
    Histogram = 2,
}

/// Defines a metric.
pub fn define_metric(kind: MetricKind, name: &str) -> Option<u32> {
    let mut id = 0u32;
    // SAFETY: the name outlives the call; the host writes through the pointer for its time.
    let status =
        unsafe { raw::proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    (status == OK).then_some(id)
}

/// Counts on.
pub fn increment(id: u32, offset: i64) {
    // SAFETY: no pointers.
    unsafe { raw::proxy_increment_metric(id, offset) };
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record(id: u32, value: u64) {
    // SAFETY: no pointers.
    unsafe { raw::proxy_record_metric(id, value) };
}

/// Writes a line to the host's log.
pub fn log(level: Level, message: &str) {
    // SAFETY: the slice outlives the call.
    unsafe { raw::proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Lets the paused request of the effective context go on.
pub fn continue_request() -> bool {
    // SAFETY: no pointers.
    unsafe { raw::proxy_continue_stream(0) == OK }
}

/// Makes `context` the one that host calls act on. A no-op on Kong.
pub fn set_effective_context(context: u32) -> bool {
    // SAFETY: no pointers.
    unsafe { raw::proxy_set_effective_context(context) == OK }
}

/// Sets the time between ticks in milliseconds.
pub fn set_tick_period(ms: u32) {
    // SAFETY: no pointers.
    unsafe { raw::proxy_set_tick_period_milliseconds(ms) };
}
