//! A configuration that Envoy hands over as a `google.protobuf.Struct`, in its binary form.
//!
//! Fields: Struct { map<string, Value> fields = 1 }; Value { null = 1, number = 2, string = 3,
//! bool = 4, struct = 5, list = 6 }; ListValue { repeated Value values = 1 }.

use serde_json::{Map, Number, Value};

/// Structs in structs; a configuration has less than ten.
const DEPTH_MAX: usize = 32;

/// The document as JSON, or nothing if the bytes aren't a Struct.
pub fn to_json(bytes: &[u8]) -> Option<Vec<u8>> {
    serde_json::to_vec(&Value::Object(read_struct(bytes, 0)?)).ok()
}

fn read_struct(bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut members = Map::new();
    for field in fields(bytes) {
        let (1, Wire::Bytes(entry)) = field? else { return None };
        let (mut key, mut value) = (String::new(), Value::Null);
        for field in fields(entry) {
            match field? {
                (1, Wire::Bytes(name)) => key = String::from_utf8(name.to_vec()).ok()?,
                (2, Wire::Bytes(bytes)) => value = read_value(bytes, depth)?,
                _ => return None,
            }
        }
        members.insert(key, value);
    }
    Some(members)
}

fn read_value(bytes: &[u8], depth: usize) -> Option<Value> {
    let mut value = Value::Null;
    for field in fields(bytes) {
        value = match field? {
            (1, Wire::Varint(_)) => Value::Null,
            (2, Wire::Fixed64(bits)) => number(f64::from_bits(bits))?,
            (3, Wire::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
            (4, Wire::Varint(bit)) => Value::Bool(bit != 0),
            (5, Wire::Bytes(bytes)) => Value::Object(read_struct(bytes, depth.saturating_add(1))?),
            (6, Wire::Bytes(bytes)) => Value::Array(read_list(bytes, depth.saturating_add(1))?),
            _ => return None,
        };
    }
    Some(value)
}

fn read_list(bytes: &[u8], depth: usize) -> Option<Vec<Value>> {
    if depth > DEPTH_MAX {
        return None;
    }
    fields(bytes)
        .map(
            |field| {
                if let (1, Wire::Bytes(bytes)) = field? { read_value(bytes, depth) } else { None }
            },
        )
        .collect()
}

/// A Struct knows doubles alone; whole ones are whole in JSON too.
fn number(double: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match double.fract() == 0.0 && double.abs() <= EXACT {
        true => Some(Value::Number(Number::from(double as i64))),
        false => Number::from_f64(double).map(Value::Number),
    }
}

enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message; one that can't be read ends them with `None`.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u64, Wire<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => {
            let (fixed, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            Wire::Fixed64(u64::from_le_bytes(*fixed))
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            let (value, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            Wire::Bytes(value)
        }
        _ => return None,
    };
    Some((tag >> 3, wire))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `{"a": 5.0, "b": [true, "x", null], "c": {"d": 0.5}}` as protoc writes it.
    const EXAMPLE: &[u8] = b"\n\x0e\n\x01a\x12\t\x11\x00\x00\x00\x00\x00\x00\x14@\
        \n\x14\n\x01b\x12\x0f2\r\n\x02 \x01\n\x03\x1a\x01x\n\x02\x08\x00\
        \n\x17\n\x01c\x12\x12*\x10\n\x0e\n\x01d\x12\t\x11\x00\x00\x00\x00\x00\x00\xe0?";

    #[test]
    fn a_struct_becomes_json() {
        let json = to_json(EXAMPLE).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"a":5,"b":[true,"x",null],"c":{"d":0.5}}"#
        );
    }

    #[test]
    fn anything_cut_is_nothing() {
        assert_eq!(to_json(EXAMPLE.get(..EXAMPLE.len() - 1).unwrap()), None);
        assert_eq!(to_json(b"{}"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = to_json(&bytes);
        }
    }
}
