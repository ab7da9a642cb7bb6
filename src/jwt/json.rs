//! Strict JSON: one reading for every reader.
//!
//! RFC 8259 leaves open what a repeated member means, and readers differ; a token that two of them
//! read differently is an attack. So a repeated member at any level is refused, compared after
//! unescaping (`"iss"` and `"\u0069ss"` are one name), and so is whatever goes deeper than
//! [`DEPTH_MAX`]. serde_json itself refuses what is not UTF-8, lone surrogates, a byte order mark,
//! bytes after the end, and numbers that no `f64` holds.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most levels of objects and arrays; the outermost one counts.
pub const DEPTH_MAX: u32 = 16;

/// These bytes are not strict JSON, or not an object. It says nothing of what they hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotStrict;

/// Reads one JSON object that fills `bytes` but for white space around it.
///
/// # Errors
/// [`NotStrict`] for anything else. The caller bounds the number of bytes.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, NotStrict> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotStrict)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Level(0).deserialize(&mut reader).map_err(|_| NotStrict)?;
    reader.end().map_err(|_| NotStrict)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(NotStrict),
    }
}

/// How many levels enclose the value that is read next.
#[derive(Clone, Copy)]
struct Level(u32);

impl Level {
    fn inner<E: Error>(self) -> Result<Level, E> {
        if self.0 >= DEPTH_MAX {
            return Err(E::custom("too deep"));
        }
        Ok(Level(self.0 + 1))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("strict JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(inner)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("repeated member"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        // One object around arrays.
        format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
    }

    #[test]
    fn plain_objects_are_read_as_serde_json_reads_them() {
        for text in [
            "{}",
            " { } \r\n\t",
            r#"{"a":1,"b":-1,"c":1.5,"d":"x\u00e9\ud83d\ude00","e":[true,false,null,{}],"f":{"a":1}}"#,
            r#"{"a":18446744073709551615,"b":-9223372036854775808,"c":18446744073709551616,"d":-0,"e":1e308}"#,
        ] {
            let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(object(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn repeated_members_are_refused_at_every_level_and_after_unescaping() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":null}"#,
            r#"{"iss":"x","\u0069ss":"x"}"#,
            r#"{"/":"x","\/":"x"}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[[{"b":1,"\u0062":2}]]}"#,
            r#"{"":1,"":2}"#,
            r#"{"é":1,"\u00e9":2}"#,
            r#"{"😀":1,"\ud83d\ude00":2}"#,
        ] {
            assert_eq!(object(text.as_bytes()), Err(NotStrict), "{text}");
        }
        // Names that only look alike, or are the same in another object, are no repetition.
        for text in
            [r#"{"a":1,"A":2,"a ":3,"a\u0000":4}"#, r#"{"a":{"a":1},"b":{"a":[{"a":1},{"a":1}]}}"#]
        {
            assert!(object(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_exactly() {
        assert!(object(nested(DEPTH_MAX as usize).as_bytes()).is_ok());
        assert_eq!(object(nested(DEPTH_MAX as usize + 1).as_bytes()), Err(NotStrict));
        assert_eq!(object(nested(100_000).as_bytes()), Err(NotStrict));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(17), "}".repeat(17));
        assert_eq!(object(objects.as_bytes()), Err(NotStrict));
    }

    #[test]
    fn what_is_not_an_object_or_not_json_is_refused() {
        for bytes in [
            &b""[..],
            b" ",
            b"null",
            b"1",
            b"\"a\"",
            b"[]",
            b"[{}]",
            b"{",
            b"}",
            b"{}x",
            b"{}{}",
            b"{},",
            b"{}\0",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\xc0\xaf\"}",
            b"{\"\xed\xa0\x80\":1}",
            b"{'a':1}",
            b"{a:1}",
            b"{\"a\":1,}",
            b"{,\"a\":1}",
            b"{\"a\" 1}",
            b"{\"a\":}",
            b"{\"a\":01}",
            b"{\"a\":+1}",
            b"{\"a\":.5}",
            b"{\"a\":1.}",
            b"{\"a\":0x10}",
            b"{\"a\":NaN}",
            b"{\"a\":Infinity}",
            b"{\"a\":-Infinity}",
            b"{\"a\":1e400}",
            b"{\"a\":-1e400}",
            b"{\"a\":\"\n\"}",
            b"{\"a\":\"\\x41\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\\udc00\"}",
            b"{\"a\":\"\\ud800\\u0041\"}",
            b"{\"a\":tru}",
            b"{\"a\":True}",
            b"// c\n{}",
            b"{/**/}",
            b"\x0b{}",
            b"\xc2\xa0{}",
        ] {
            assert_eq!(object(bytes), Err(NotStrict), "{}", bytes.escape_ascii());
        }
    }
}
