//! The host functions of Proxy-Wasm 0.2.1 as ngx_wasm_module has them, and WASI as far as it has
//! that.

mod body;
mod calls;
mod maps;
mod properties;
mod shared;
mod wasi;

use crate::vm::{Cx, Fault, Step};
use std::fmt;
use wasmi::errors::HostError;
use wasmi::{Caller, Engine, Error, FuncType, Linker, Val, ValType};

/// Status codes of the ABI.
pub(crate) mod status {
    pub const OK: u32 = 0;
    pub const NOT_FOUND: u32 = 1;
    pub const BAD_ARGUMENT: u32 = 2;
    pub const EMPTY: u32 = 7;
    pub const CAS_MISMATCH: u32 = 8;
    pub const INTERNAL_FAILURE: u32 = 10;
}

/// A host call that doesn't return.
#[derive(Debug)]
struct Stop {
    dies: bool,
    message: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl HostError for Stop {}

/// The host traps the instance.
fn trap(message: impl Into<String>) -> Error {
    Error::host(Stop { dies: false, message: message.into() })
}

/// The real worker would crash here.
fn death(message: impl Into<String>) -> Error {
    Error::host(Stop { dies: true, message: message.into() })
}

/// What an interpreter error means for the worker.
pub fn fault(error: &Error) -> Fault {
    match error.downcast_ref::<Stop>() {
        Some(stop) if stop.dies => Fault::Death(stop.message.clone()),
        Some(stop) => Fault::Trap(stop.message.clone()),
        None => Fault::Trap(error.to_string()),
    }
}

/// One host call: the instance and its arguments.
struct Hostcall<'a, 'b> {
    caller: &'a mut Caller<'b, Cx>,
    args: &'a [Val],
}

type Body = fn(&mut Hostcall<'_, '_>) -> Result<u32, Error>;

impl Hostcall<'_, '_> {
    fn cx(&mut self) -> &mut Cx {
        self.caller.data_mut()
    }

    fn arg(&self, at: usize) -> u32 {
        match self.args.get(at) {
            Some(Val::I32(value)) => *value as u32,
            _ => 0,
        }
    }

    fn arg_i64(&self, at: usize) -> i64 {
        match self.args.get(at) {
            Some(Val::I64(value)) => *value,
            _ => 0,
        }
    }

    /// The bytes that arguments `at` (address) and `at + 1` (length) name.
    fn bytes(&mut self, at: usize) -> Result<Vec<u8>, Error> {
        let (address, length) = (self.arg(at) as usize, self.arg(at + 1) as usize);
        self.read(address, length)
    }

    fn text(&mut self, at: usize) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes(at)?).into_owned())
    }

    fn read(&mut self, address: usize, length: usize) -> Result<Vec<u8>, Error> {
        let memory = self.cx().memory.ok_or_else(|| trap("no memory exported"))?;
        let data = memory.data(&*self.caller);
        let found = address.checked_add(length).and_then(|end| data.get(address..end));
        found.map(<[u8]>::to_vec).ok_or_else(|| trap("out of bounds memory access"))
    }

    fn write(&mut self, address: usize, bytes: &[u8]) -> Result<(), Error> {
        let memory = self.cx().memory.ok_or_else(|| trap("no memory exported"))?;
        let data = memory.data_mut(&mut *self.caller);
        let place = address.checked_add(bytes.len()).and_then(|end| data.get_mut(address..end));
        place.ok_or_else(|| trap("out of bounds memory access"))?.copy_from_slice(bytes);
        Ok(())
    }

    fn write_u32(&mut self, at: usize, value: u32) -> Result<(), Error> {
        let address = self.arg(at) as usize;
        self.write(address, &value.to_le_bytes())
    }

    /// Hands bytes to the instance in memory that it allocates; arguments `at` and `at + 1` say
    /// where address and length go.
    fn give(&mut self, at: usize, bytes: &[u8]) -> Result<u32, Error> {
        let alloc = self.cx().alloc.ok_or_else(|| trap("no allocator exported"))?;
        let mut result = [Val::I32(0)];
        alloc.call(&mut *self.caller, &[Val::I32(bytes.len() as i32)], &mut result)?;
        let Val::I32(address) = result[0] else {
            return Err(trap("the allocator returned no address"));
        };
        if address == 0 {
            return Ok(status::INTERNAL_FAILURE);
        }
        self.write(address as usize, bytes)?;
        self.write_u32(at, address as u32)?;
        self.write_u32(at + 1, bytes.len() as u32)?;
        Ok(status::OK)
    }
}

/// Every import that the host offers.
pub fn linker(engine: &Engine) -> Result<Linker<Cx>, Error> {
    let mut linker = Linker::new(engine);
    for (name, params, body) in FUNCTIONS {
        add(&mut linker, "env", name, params, *body)?;
    }
    for (name, params, body) in wasi::FUNCTIONS {
        add(&mut linker, "wasi_snapshot_preview1", name, params, *body)?;
    }
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", |_: i32| -> Result<(), Error> {
        Err(trap("proc_exit"))
    })?;
    Ok(linker)
}

/// `params` has a letter for each parameter: `i` is i32, `l` is i64.
fn add(
    linker: &mut Linker<Cx>,
    module: &str,
    name: &'static str,
    params: &str,
    body: Body,
) -> Result<(), Error> {
    let params: Vec<ValType> =
        params.chars().map(|kind| if kind == 'l' { ValType::I64 } else { ValType::I32 }).collect();
    let kind = FuncType::new(params, [ValType::I32]);
    linker.func_new(module, name, kind, move |mut caller, args, results| {
        let cx = caller.data_mut();
        cx.host.trace(cx.worker, name);
        let done = body(&mut Hostcall { caller: &mut caller, args })?;
        results[0] = Val::I32(done as i32);
        Ok(())
    })?;
    Ok(())
}

/// Only the functions that exist in the host, with the host's idea of their parameters: an import
/// that differs (`proxy_get_log_level` of the 0.2.1 SDKs) fails at instantiation.
const FUNCTIONS: &[(&str, &str, Body)] = &[
    ("proxy_log", "iii", log),
    ("proxy_get_log_level", "ii", missing),
    ("proxy_get_current_time_nanoseconds", "i", time),
    ("proxy_set_effective_context", "i", set_effective_context),
    ("proxy_set_tick_period_milliseconds", "i", set_tick_period),
    ("proxy_done", "", missing),
    ("proxy_get_buffer_bytes", "iiiii", body::get),
    ("proxy_set_buffer_bytes", "iiiii", body::set),
    ("proxy_get_header_map_pairs", "iii", maps::get_all),
    ("proxy_get_header_map_value", "iiiii", maps::get),
    ("proxy_set_header_map_pairs", "iii", maps::set_all),
    ("proxy_add_header_map_value", "iiiii", maps::add),
    ("proxy_replace_header_map_value", "iiiii", maps::replace),
    ("proxy_remove_header_map_value", "iii", maps::remove),
    ("proxy_get_property", "iiii", properties::get),
    ("proxy_set_property", "iiii", properties::set),
    ("proxy_continue_stream", "i", calls::continue_stream),
    ("proxy_close_stream", "i", missing),
    ("proxy_send_local_response", "iiiiiiii", calls::send_local_response),
    ("proxy_http_call", "iiiiiiiiii", calls::http_call),
    ("proxy_grpc_call", "iiiiiiiiiiii", missing),
    ("proxy_grpc_stream", "iiiiiiiii", missing),
    ("proxy_grpc_send", "iiii", missing),
    ("proxy_grpc_cancel", "i", missing),
    ("proxy_grpc_close", "i", missing),
    ("proxy_get_status", "iii", missing),
    ("proxy_get_shared_data", "iiiii", shared::get),
    ("proxy_set_shared_data", "iiiii", shared::set),
    ("proxy_register_shared_queue", "iii", shared::register_queue),
    ("proxy_resolve_shared_queue", "iiiii", missing),
    ("proxy_enqueue_shared_queue", "iii", shared::enqueue),
    ("proxy_dequeue_shared_queue", "iii", shared::dequeue),
    ("proxy_define_metric", "iiii", shared::define_metric),
    ("proxy_get_metric", "ii", shared::get_metric),
    ("proxy_record_metric", "il", shared::record_metric),
    ("proxy_increment_metric", "il", shared::increment_metric),
    ("proxy_call_foreign_function", "iiiiii", foreign),
];

fn missing(_: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    Err(trap("host function not yet implemented"))
}

/// The real host knows `resolve_lua` alone, which nothing here uses.
fn foreign(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let name = call.text(0)?;
    Err(trap(format!("unknown foreign function {name:?}")))
}

fn log(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let level = call.arg(0);
    let message = call.text(1)?;
    if level > 5 {
        return Ok(status::BAD_ARGUMENT);
    }
    let cx = call.cx();
    cx.host.log(cx.worker, level, &message);
    Ok(status::OK)
}

/// nginx keeps time in milliseconds.
fn time(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let now = call.cx().host.now_ms() * 1_000_000;
    let address = call.arg(0) as usize;
    call.write(address, &now.to_le_bytes())?;
    Ok(status::OK)
}

fn set_effective_context(_: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    Ok(status::OK)
}

fn set_tick_period(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let period = call.arg(0);
    let cx = call.cx();
    if !cx.root {
        return Err(trap("can only set tick_period in root context"));
    }
    let id = cx.filter.id;
    if period > 0 && cx.ticking.contains(&id) {
        return Err(trap("tick_period already set"));
    }
    if period > 0 {
        cx.ticking.insert(id);
    } else {
        cx.ticking.remove(&id);
    }
    cx.ticks.push((id, period));
    Ok(status::OK)
}

/// Whether the active step is one of `steps`.
fn within(cx: &Cx, steps: &[Step]) -> bool {
    steps.contains(&cx.step)
}
