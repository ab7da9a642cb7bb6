//! WASI preview 1, as far as a filter's start-up and standard library ask for it.

use super::{Body, Hostcall};
use wasmi::Error;

const BAD_FD: u32 = 8;
const NOT_SUPPORTED: u32 = 58;

pub const FUNCTIONS: &[(&str, &str, Body)] = &[
    ("args_get", "ii", ok),
    ("args_sizes_get", "ii", args_sizes),
    ("clock_time_get", "ili", clock),
    ("environ_get", "ii", environ),
    ("environ_sizes_get", "ii", environ_sizes),
    ("fd_close", "i", bad_fd),
    ("fd_fdstat_get", "ii", bad_fd),
    ("fd_prestat_get", "ii", bad_fd),
    ("fd_prestat_dir_name", "iii", bad_fd),
    ("fd_read", "iiii", bad_fd),
    ("fd_seek", "ilii", bad_fd),
    ("fd_write", "iiii", write),
    ("path_open", "iiiiillii", not_supported),
    ("poll_oneoff", "iiii", not_supported),
    ("random_get", "ii", random),
    ("sched_yield", "", ok),
];

fn ok(_: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    Ok(0)
}

fn bad_fd(_: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    Ok(BAD_FD)
}

fn not_supported(_: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    Ok(NOT_SUPPORTED)
}

fn args_sizes(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    call.write_u32(0, 0)?;
    call.write_u32(1, 0)?;
    Ok(0)
}

fn clock(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let now = call.cx().host.now_ms() * 1_000_000;
    let address = call.arg(2) as usize;
    call.write(address, &now.to_le_bytes())?;
    Ok(0)
}

/// `random()`: a generator whose next value can be foretold; a filter must not make keys from it.
fn random(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (address, length) = (call.arg(0) as usize, call.arg(1) as usize);
    let cx = call.cx();
    let bytes: Vec<u8> = (0..length).map(|_| cx.host.random(cx.worker)).collect();
    call.write(address, &bytes)?;
    Ok(0)
}

fn variables(call: &mut Hostcall<'_, '_>) -> Vec<Vec<u8>> {
    let env = &call.cx().host.options.env;
    env.iter().map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
}

fn environ_sizes(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let variables = variables(call);
    call.write_u32(0, variables.len() as u32)?;
    call.write_u32(1, variables.iter().map(Vec::len).sum::<usize>() as u32)?;
    Ok(0)
}

fn environ(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (mut list, mut place) = (call.arg(0) as usize, call.arg(1) as usize);
    for variable in variables(call) {
        call.write(list, &(place as u32).to_le_bytes())?;
        call.write(place, &variable)?;
        list += 4;
        place += variable.len();
    }
    Ok(0)
}

/// Standard output and error go to the log.
fn write(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (fd, list, count) = (call.arg(0), call.arg(1) as usize, call.arg(2) as usize);
    if fd != 1 && fd != 2 {
        return Ok(BAD_FD);
    }
    let mut text = Vec::new();
    for entry in 0..count {
        let pair = call.read(list + entry * 8, 8)?;
        let word = |at: usize| {
            u32::from_le_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]) as usize
        };
        text.extend(call.read(word(0), word(4))?);
    }
    call.write_u32(3, text.len() as u32)?;
    let message = String::from_utf8_lossy(&text).trim_end().to_string();
    let cx = call.cx();
    cx.host.log(cx.worker, if fd == 1 { 2 } else { 4 }, &message);
    Ok(0)
}
