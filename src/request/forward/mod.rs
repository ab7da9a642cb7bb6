//! What a verified token tells the API: a claim as a header value, and which header names are ours.
//!
//! A value is text of %x20-7E without a space at either end. It can be undone: percent-decode once.
//! So that no two claims of one type give one value, `%` itself is encoded (else a subject called
//! `a%C3%A9` would be the subject `aé`), and so is a space at an end, which would not survive.

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::request::bearer::same_header;

/// A claim takes more bytes than it may. That isn't the token's fault: the header is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// A claim as a header value of at most `bytes_max` bytes, or none if it is nothing that is
/// forwarded: `null`, an object, an empty string or array, an array with anything but strings,
/// numbers and booleans.
///
/// Elements of an array are joined with `,`. If that could be read in another way, because an
/// element has a comma or is empty or the first begins with `[`, the value is the array as JSON.
///
/// # Errors
/// [`TooLong`].
pub fn value(claim: &Value, bytes_max: usize) -> Result<Option<String>, TooLong> {
    let mut encoded = Encoded { text: String::new(), bytes_max };
    match claim {
        Value::Null | Value::Object(_) => return Ok(None),
        Value::String(text) => encoded.push(text)?,
        Value::Number(number) => encoded.push(&number.to_string())?,
        Value::Bool(value) => encoded.push(if *value { "true" } else { "false" })?,
        Value::Array(elements)
            if elements.iter().any(|element| {
                matches!(element, Value::Null | Value::Object(_) | Value::Array(_))
            }) =>
        {
            return Ok(None);
        }
        Value::Array(elements) if is_ambiguous(elements) => encoded.push(&claim.to_string())?,
        Value::Array(elements) => {
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    encoded.push_raw(b',')?;
                }
                match element {
                    Value::String(text) => encoded.push(text)?,
                    other => encoded.push(&other.to_string())?,
                }
            }
        }
    }
    Ok((!encoded.text.is_empty()).then_some(encoded.text))
}

fn is_ambiguous(elements: &[Value]) -> bool {
    let strings = || elements.iter().filter_map(Value::as_str);
    strings().any(|text| text.is_empty() || text.contains(','))
        || elements.first().and_then(Value::as_str).is_some_and(|first| first.starts_with('['))
}

struct Encoded {
    text: String,
    bytes_max: usize,
}

impl Encoded {
    fn push(&mut self, text: &str) -> Result<(), TooLong> {
        let last = text.len().saturating_sub(1);
        for (position, byte) in text.bytes().enumerate() {
            match byte {
                b' ' if position == 0 || position == last => self.push_encoded(byte)?,
                b'%' => self.push_encoded(byte)?,
                b' '..=b'~' => self.push_raw(byte)?,
                _ => self.push_encoded(byte)?,
            }
        }
        Ok(())
    }

    fn push_encoded(&mut self, byte: u8) -> Result<(), TooLong> {
        self.push_raw(b'%')?;
        for digit in [byte >> 4, byte & 15] {
            self.push_raw(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 })?;
        }
        Ok(())
    }

    /// The only way in; the bytes are ASCII.
    fn push_raw(&mut self, byte: u8) -> Result<(), TooLong> {
        if self.text.len() >= self.bytes_max {
            return Err(TooLong);
        }
        self.text.push(char::from(byte));
        Ok(())
    }
}

/// Whether it is one of the headers that each of Kong's authentication plugins sets or clears.
/// Groups are not among them: without the acl plugin nobody would have looked at those.
pub fn is_set_by_plugins(name: &[u8]) -> bool {
    const SET: [&[u8]; 5] = [
        b"x-consumer-id",
        b"x-consumer-custom-id",
        b"x-consumer-username",
        b"x-credential-identifier",
        b"x-anonymous-consumer",
    ];
    SET.iter().any(|set| name.eq_ignore_ascii_case(set))
}

/// Whether a request header's name is one that only the filter may set: Kong's identity headers
/// and those `configured` (claim headers, `payload_header`). Any case, and any spelling that a
/// reader with CGI's habits takes for the same name: `x_user`, `X-User` and `x.user` are `x-user`.
#[inline(always)]
pub fn is_reserved<N: AsRef<[u8]>>(name: &[u8], configured: &[N]) -> bool {
    // Most headers of most requests are dismissed by their first bytes.
    let may_be_of_consumer = matches!(name, [b'x' | b'X', _, b'a' | b'A' | b'c' | b'C', ..]);
    (may_be_of_consumer && is_of_consumer(name))
        || configured
            .iter()
            .any(|ours| ours.as_ref().len() == name.len() && same_header(name, ours.as_ref()))
}

#[inline(never)]
fn is_of_consumer(name: &[u8]) -> bool {
    const CONSUMER: &[u8] = b"x-consumer-";
    name.get(..CONSUMER.len()).is_some_and(|start| same_header(start, CONSUMER))
        || same_header(name, b"x-credential-identifier")
        || same_header(name, b"x-anonymous-consumer")
}
