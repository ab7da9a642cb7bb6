//! Shared data, queues and metrics.

use super::{Hostcall, death, status, trap};
use crate::metrics::Kind;
use crate::store::{Expect, Refused};
use wasmi::Error;

pub fn get(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let key = call.bytes(0)?;
    let found = call.cx().host.store().get(&key);
    match found {
        Ok(Some((value, cas))) => {
            call.write_u32(4, cas)?;
            call.give(2, &value)
        }
        Ok(None) => Ok(status::NOT_FOUND),
        Err(refused) => refuse(refused),
    }
}

pub fn set(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let key = call.bytes(0)?;
    // A null pointer asks to delete; an empty value at any address is a value.
    let value = if call.arg(2) == 0 { None } else { Some(call.bytes(2)?) };
    let expect = match call.arg(4) {
        0 => Expect::Absent,
        cas => Expect::Version(cas),
    };
    let done = call.cx().host.store().set(&key, value.as_deref(), expect);
    match done {
        Ok(()) => Ok(status::OK),
        Err(refused) => refuse(refused),
    }
}

fn refuse(refused: Refused) -> Result<u32, Error> {
    match refused {
        Refused::CasMismatch => Ok(status::CAS_MISMATCH),
        Refused::Trap(message) => Err(trap(message)),
        Refused::Death(message) => Err(death(message)),
    }
}

pub fn register_queue(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let name = call.text(0)?;
    let at = call.cx().host.options.queues.iter().position(|known| *known == name);
    let at = at.ok_or_else(|| trap("could not find queue"))?;
    call.write_u32(2, at as u32)?;
    Ok(status::OK)
}

pub fn enqueue(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let at = call.arg(0) as usize;
    let bytes = call.bytes(1)?;
    let mut queues = call.cx().host.queues();
    queues.get_mut(at).ok_or_else(|| trap("could not find queue"))?.push_back(bytes);
    Ok(status::OK)
}

pub fn dequeue(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let at = call.arg(0) as usize;
    let found = call
        .cx()
        .host
        .queues()
        .get_mut(at)
        .ok_or_else(|| trap("could not find queue"))?
        .pop_front();
    match found {
        Some(bytes) => call.give(1, &bytes),
        None => Ok(status::EMPTY),
    }
}

pub fn define_metric(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let kind = match call.arg(0) {
        0 => Some(Kind::Counter),
        1 => Some(Kind::Gauge),
        2 => Some(Kind::Histogram),
        _ => None,
    };
    let name = call.text(1)?;
    let filter = call.cx().filter.name.clone();
    let id = call.cx().host.metrics().define(&filter, &name, kind).map_err(trap)?;
    call.write_u32(3, id)?;
    Ok(status::OK)
}

pub fn get_metric(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let id = call.arg(0);
    let value = call.cx().host.metrics().get(id).map_err(trap)?;
    let address = call.arg(1) as usize;
    call.write(address, &value.to_le_bytes())?;
    Ok(status::OK)
}

pub fn record_metric(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (id, value) = (call.arg(0), call.arg_i64(1));
    call.cx().host.metrics().record(id, value).map_err(trap)?;
    Ok(status::OK)
}

pub fn increment_metric(call: &mut Hostcall<'_, '_>) -> Result<u32, Error> {
    let (id, by) = (call.arg(0), call.arg_i64(1));
    call.cx().host.metrics().increment(id, by).map_err(trap)?;
    Ok(status::OK)
}
