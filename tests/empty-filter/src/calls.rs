//! The host calls that Herdgate makes for a hot bearer request (all headers, the time, two
//! counters), and nothing else: what no filter that makes them can cost less than. With a
//! configuration that says anything, those of a limit too: one slot of counters read and written
//! back, and a counter. scripts/build exports these in the place of the SDK's.
use std::cell::Cell;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        data: *const u8,
        size: usize,
        version: u32,
    ) -> u32;
}

const REQUEST_HEADERS: u32 = 0;
const COUNTER: u32 = 0;
const CONTINUE: u32 = 0;
const YES: u32 = 1;
/// As large as the block that Herdgate has headers written into.
const BLOCK_BYTES: usize = 16_384;
/// As long as Herdgate's slots of counters, under a key as long as theirs.
const SLOT: [u8; 408] = [7; 408];
const SLOT_NAME: &str = "slot 1";
/// `{}` says nothing.
const NOTHING_SAID: usize = 2;

thread_local! {
    /// Where the host writes the headers of each request.
    static BLOCK: Cell<*mut u8> = const { Cell::new(std::ptr::null_mut()) };
    static COUNTERS: Cell<[u32; 2]> = const { Cell::new([0; 2]) };
    /// The counter of a limit, where there is one.
    static LIMITED: Cell<Option<u32>> = const { Cell::new(None) };
}

fn counter(name: &str) -> u32 {
    let mut id = 0;
    // SAFETY: the name outlives the call; the host writes through the pointer for its time.
    unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &mut id) };
    id
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_configure(_: u32, size: usize) -> u32 {
    BLOCK.set(std::mem::ManuallyDrop::new(Vec::with_capacity(BLOCK_BYTES)).as_mut_ptr());
    COUNTERS.set([counter("calls.accepted"), counter("calls.l1_hit")]);
    if size > NOTHING_SAID {
        LIMITED.set(Some(counter("calls.limited")));
        let (name, slot) = (SLOT_NAME.as_ptr(), SLOT.as_ptr());
        // SAFETY: both outlive the call, which only reads them.
        unsafe { proxy_set_shared_data(name, SLOT_NAME.len(), slot, SLOT.len(), 0) };
    }
    YES
}

/// Headers that don't fit get no memory: such requests aren't measured.
#[unsafe(no_mangle)]
extern "C" fn calls_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= BLOCK_BYTES { BLOCK.get() } else { std::ptr::null_mut() }
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_request_headers(_: u32, _: usize, _: u32) -> u32 {
    let (mut data, mut size, mut time) = (std::ptr::null_mut(), 0, 0);
    let [accepted, hit] = COUNTERS.get();
    // SAFETY: the host writes through the pointers for the time of the calls.
    unsafe {
        proxy_get_header_map_pairs(REQUEST_HEADERS, &mut data, &mut size);
        proxy_get_current_time_nanoseconds(&mut time);
        proxy_increment_metric(hit, 1);
        proxy_increment_metric(accepted, 1);
    }
    if let Some(limited) = LIMITED.get() {
        charge(limited);
    }
    CONTINUE
}

fn charge(limited: u32) {
    let (mut data, mut size, mut version) = (std::ptr::null_mut(), 0, 0);
    let (name, name_size) = (SLOT_NAME.as_ptr(), SLOT_NAME.len());
    // SAFETY: the host writes through the pointers for the time of the calls, and reads the slot
    // where it has just written it.
    unsafe {
        proxy_get_shared_data(name, name_size, &mut data, &mut size, &mut version);
        proxy_set_shared_data(name, name_size, data, size, version);
        proxy_increment_metric(limited, 1);
    }
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_context_create(_: u32, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn calls_on_vm_start(_: u32, _: usize) -> u32 {
    YES
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_tick(_: u32) {}

#[unsafe(no_mangle)]
extern "C" fn calls_on_queue_ready(_: u32, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn calls_on_http_call_response(_: u32, _: u32, _: usize, _: usize, _: usize) {}

#[unsafe(no_mangle)]
extern "C" fn calls_on_request_body(_: u32, _: usize, _: u32) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_request_trailers(_: u32, _: usize) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_response_headers(_: u32, _: usize, _: u32) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_response_body(_: u32, _: usize, _: u32) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_response_trailers(_: u32, _: usize) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_done(_: u32) -> u32 {
    YES
}

#[unsafe(no_mangle)]
extern "C" fn calls_on_log(_: u32) {}

#[unsafe(no_mangle)]
extern "C" fn calls_on_delete(_: u32) {}
