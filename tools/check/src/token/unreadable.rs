//! Why a text isn't read as a token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herdgate::testing::jwt::{self, Rounding};
use herdgate::testing::signature::Algorithm;
use serde_json::{Map, Value};

/// The first thing that is wrong with it.
pub(super) fn why(token: &str) -> Option<String> {
    if token.is_empty() {
        return Some("there is none".to_owned());
    }
    if token.len() > jwt::TOKEN_BYTES_MAX {
        return Some(format!("it has more than {} bytes", jwt::TOKEN_BYTES_MAX));
    }
    let segments: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = match *segments.as_slice() {
        [header, payload, signature] => (header, payload, signature),
        [_, _, _, _, _] => {
            let why = "it has five segments, but not the form of an encrypted token (RFC 7516)";
            return Some(why.to_owned());
        }
        _ => {
            return Some(format!(
                "it is no JWT (one has three segments, this one {}). An opaque token needs an issuer whose tokens are opaque",
                segments.len()
            ));
        }
    };
    let header = match segment("header", header) {
        Ok(members) => members,
        Err(why) => return Some(why),
    };
    of_header(&header).or_else(|| match segment("payload", payload) {
        Ok(claims) => of_claims(&claims).or_else(|| base64url("signature", signature).err()),
        Err(why) => Some(why),
    })
}

fn base64url(name: &str, segment: &str) -> Result<Vec<u8>, String> {
    if segment.is_empty() {
        return Err(format!("its {name} is empty"));
    }
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| {
        let hint = match segment {
            padded if padded.ends_with('=') => " (it has = padding)",
            other if other.contains(['+', '/']) => " (it is plain base64, with + and /)",
            other if other.contains(char::is_whitespace) => " (there is white space in it)",
            _ => "",
        };
        format!("its {name} isn't base64url{hint}")
    })
}

fn segment(name: &str, segment: &str) -> Result<Map<String, Value>, String> {
    let bytes = base64url(name, segment)?;
    jwt::json::object(&bytes).map_err(|_| match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_)) => {
            format!(
                "its {name} names a member twice, or is nested more deeply than {}",
                jwt::json::DEPTH_MAX
            )
        }
        Ok(other) => format!("its {name}: expected a JSON object, got {}", kind(&other)),
        Err(_) => format!("its {name} isn't JSON"),
    })
}

fn of_header(header: &Map<String, Value>) -> Option<String> {
    for name in ["crit", "b64", "zip"] {
        if header.contains_key(name) {
            return Some(format!("its header has {name}, which asks for what isn't supported"));
        }
    }
    match header.get("alg") {
        None => return Some("its header: expected alg, got none".to_owned()),
        Some(Value::String(name)) if name.eq_ignore_ascii_case("none") => {
            return Some("its alg is none: an unsigned token is never accepted".to_owned());
        }
        Some(Value::String(name)) if Algorithm::parse(name).is_none() => {
            return Some("its alg is one that this version doesn't verify".to_owned());
        }
        Some(Value::String(_)) => {}
        Some(other) => return Some(format!("alg: expected a string, got {}", kind(other))),
    }
    ["kid", "typ"].into_iter().find_map(|name| of_type(name, header, "a string", Value::is_string))
}

/// Only the types of claims: whether they are accepted is another question.
fn of_claims(claims: &Map<String, Value>) -> Option<String> {
    for name in ["iss", "sub", "jti", "client_id", "azp"] {
        if let Some(why) = of_type(name, claims, "a string", Value::is_string) {
            return Some(why);
        }
    }
    let is_list_of_texts =
        |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if let Some(why) = of_type("aud", claims, "a string or a list of strings", |value| {
        value.is_string() || is_list_of_texts(value)
    }) {
        return Some(why);
    }
    for name in ["exp", "nbf", "iat"] {
        if let Some(why) = of_type(name, claims, "a number", Value::is_number) {
            return Some(why);
        }
        if claims.get(name).is_some_and(|date| jwt::date_s(date, Rounding::Down).is_err()) {
            let why = "expected seconds since 1970, got a number that is negative or after the year 9999 (milliseconds?)";
            return Some(format!("{name}: {why}"));
        }
    }
    None
}

fn of_type(
    name: &str,
    members: &Map<String, Value>,
    expected: &str,
    fits: impl Fn(&Value) -> bool,
) -> Option<String> {
    let value = members.get(name).filter(|value| !fits(value))?;
    Some(format!("{name}: expected {expected}, got {}", kind(value)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
