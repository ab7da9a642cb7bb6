//! The document as it was written: members in their order, repeated ones included, so that every
//! mistake can be reported at its place.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use sha2::{Digest as _, Sha256};

use crate::callout::Secret;
use crate::sort;

/// One JSON value. It has no `Debug`: it may hold secrets.
#[derive(Clone)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object, repeated members included.
    Object(Vec<(String, Json)>),
    /// A resolved secret; stands where the document had a string or `{ "env": NAME }`.
    Secret(Secret),
    /// A value that was reported and is not to be read.
    Invalid,
}

impl Json {
    /// Reads a document. The error says what is wrong and where, without a byte of the document.
    pub fn parse(document: &[u8]) -> Result<Json, String> {
        serde_json::from_slice(document).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => "text that ends too early".to_owned(),
            _ => format!("a syntax error at line {}, column {}", error.line(), error.column()),
        })
    }

    /// What kind of value it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
            Json::Secret(_) => "a secret",
            Json::Invalid => "something else",
        }
    }

    /// The whole number that it is. `3.0` and `3e0` count: hosts that keep numbers as doubles
    /// (a protobuf Struct, Lua) write them so.
    pub fn whole(&self) -> Option<u64> {
        let Json::Number(number) = self else { return None };
        number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            let exact = (0.0..=9_007_199_254_740_992.0).contains(&float) && float.fract() == 0.0;
            exact.then_some(float as u64)
        })
    }

    /// The finite number that it is.
    pub fn float(&self) -> Option<f64> {
        let Json::Number(number) = self else { return None };
        number.as_f64().filter(|float| float.is_finite())
    }

    /// As the value that other JSON readers take; of repeated members the last.
    pub fn to_value(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Json::Bool(bool) => Value::Bool(*bool),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => Value::String(text.clone()),
            Json::List(items) => Value::Array(items.iter().map(Json::to_value).collect()),
            Json::Object(members) => {
                let mut object = serde_json::Map::new();
                object.extend(members.iter().map(|(name, value)| (name.clone(), value.to_value())));
                Value::Object(object)
            }
            Json::Null | Json::Secret(_) | Json::Invalid => Value::Null,
        }
    }

    /// Whether an object anywhere inside names a member twice.
    pub fn repeats_a_member(&self) -> bool {
        match self {
            Json::List(items) => items.iter().any(Json::repeats_a_member),
            Json::Object(members) => {
                let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
                sort::ascending(&mut names);
                names.windows(2).any(|pair| pair.first() == pair.last())
                    || members.iter().any(|(_, value)| value.repeats_a_member())
            }
            _ => false,
        }
    }

    /// SHA-256 over a canonical form: members sorted, strings prefixed with their length, numbers
    /// by value. Two spellings of one document have one digest; secrets count by what they resolve
    /// to.
    pub fn digest(&self, domain: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        field(&mut hash, b'd', domain.as_bytes());
        self.hash_into(&mut hash);
        hash.finalize().into()
    }

    /// The same of an object without these members.
    pub fn digest_without(&self, domain: &str, names: &[&str]) -> [u8; 32] {
        let Json::Object(members) = self else { return self.digest(domain) };
        let kept = members.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned();
        Json::Object(kept.collect()).digest(domain)
    }

    fn hash_into(&self, hash: &mut Sha256) {
        match self {
            Json::Null | Json::Invalid => hash.update(b"n"),
            Json::Bool(bool) => hash.update(if *bool { b"t" } else { b"f" }),
            Json::Number(number) => match self.whole() {
                Some(whole) => {
                    hash.update(b"u");
                    hash.update(whole.to_le_bytes());
                }
                None => field(hash, b'f', number.to_string().as_bytes()),
            },
            Json::Text(text) => field(hash, b's', text.as_bytes()),
            Json::Secret(secret) => field(hash, b'k', secret.expose()),
            Json::List(items) => {
                hash.update(b"l");
                hash.update((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| item.hash_into(hash));
            }
            Json::Object(members) => {
                let mut sorted: Vec<&(String, Json)> = members.iter().collect();
                sort::by(&mut sorted, |one, other| one.0 < other.0);
                hash.update(b"o");
                hash.update((sorted.len() as u64).to_le_bytes());
                for (name, value) in sorted {
                    field(hash, b's', name.as_bytes());
                    value.hash_into(hash);
                }
            }
        }
    }
}

fn field(hash: &mut Sha256, tag: u8, bytes: &[u8]) {
    hash.update([tag]);
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E: de::Error>(self, bool: bool) -> Result<Json, E> {
        Ok(Json::Bool(bool))
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.into()))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Json, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }
    fn visit_string<E: de::Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> [u8; 32] {
        Json::parse(text.as_bytes()).ok().unwrap().digest("t")
    }

    #[test]
    fn one_document_in_two_spellings_has_one_digest() {
        assert_eq!(digest(r#"{"a":1,"b":[2.0]}"#), digest(r#"{ "b": [2], "a": 1e0 }"#));
        assert_ne!(digest(r#"{"a":1}"#), digest(r#"{"a":2}"#));
        assert_ne!(digest(r#"{"a":"1"}"#), digest(r#"{"a":1}"#));
        assert_ne!(digest(r#"[["a"],"b"]"#), digest(r#"[["a","b"]]"#));
        assert_ne!(digest(r#"{"a":0.1}"#), digest(r#"{"a":0.2}"#));
    }

    #[test]
    fn repeated_members_are_seen_at_any_depth() {
        let json = |text: &str| Json::parse(text.as_bytes()).ok().unwrap();
        assert!(json(r#"[{"a":{"b":1,"c":2,"b":3}}]"#).repeats_a_member());
        assert!(!json(r#"[{"a":1},{"a":1}]"#).repeats_a_member());
    }

    #[test]
    fn syntax_errors_hold_nothing_of_the_document() {
        let error = Json::parse(br#"{"secret": "canary" "x"}"#).err().unwrap();
        assert_eq!(error, "a syntax error at line 1, column 21");
        assert!(Json::parse(b"{").is_err());
        assert!(Json::parse(b"{} {}").is_err());
        assert!(Json::parse(&b"[".repeat(100_000)).is_err());
    }
}
