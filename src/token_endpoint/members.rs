//! The members of a JSON object, where they stand, and none of them twice.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::sort;

/// The members of the object that `text` is, to its last byte, in their order. Nothing for other
/// JSON, for trailing bytes, or when a name comes twice.
pub(super) struct Object<'a> {
    text: &'a [u8],
    members: Vec<(String, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads it; time and memory grow with the bytes alone, depth costs no stack.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let members = serde_json::from_slice::<Members>(text).ok()?.0;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        sort::ascending(&mut names);
        if names.iter().zip(names.iter().skip(1)).any(|(one, next)| one == next) {
            return None;
        }
        Some(Object { text, members })
    }

    /// The JSON text of a member.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// The JSON text of a member that isn't `null`: servers write so what isn't there.
    pub fn present(&self, name: &str) -> Option<&'a str> {
        self.get(name).filter(|value| *value != "null")
    }

    /// A member that is a string; `Err` if it is something else.
    pub fn string(&self, name: &str) -> Result<Option<String>, NotOfThisType> {
        self.get(name)
            .map(|value| serde_json::from_str(value).map_err(|_| NotOfThisType))
            .transpose()
    }

    /// The text with other values for these members; every other byte stays.
    pub fn with(&self, values: &[(&str, String)]) -> Option<Vec<u8>> {
        let mut places = Vec::with_capacity(values.len());
        for (name, value) in values {
            let old = self.get(name)?;
            // serde_json hands out slices of its input, so the distance between the two is the
            // offset.
            let start = (old.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
            places.push((start, old.len(), value));
        }
        sort::ascending(&mut places);
        let mut body = Vec::with_capacity(self.text.len());
        let mut done = 0usize;
        for (start, len, value) in places {
            body.extend_from_slice(self.text.get(done..start)?);
            body.extend_from_slice(value.as_bytes());
            done = start.checked_add(len)?;
        }
        body.extend_from_slice(self.text.get(done..)?);
        Some(body)
    }

    /// The text with one more member before all others; nothing where there are none.
    pub fn with_first(&self, name: &str, value: &str) -> Option<Vec<u8>> {
        let open =
            self.text.iter().position(|byte| *byte == b'{').filter(|_| !self.members.is_empty())?;
        let (before, rest) = self.text.split_at_checked(open.checked_add(1)?)?;
        Some([before, format!("\"{name}\":{value},").as_bytes(), rest].concat())
    }
}

/// A member has another type than it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotOfThisType;

struct Members<'a>(Vec<(String, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(M::Error::custom("too many members"));
                    }
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

const MEMBERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_in_place() {
        let text = br#" { "a" : {"n":1, "a":2}, "s":"\"n\":7", "n" : 12 , "e":[]} "#;
        let object = Object::read(text).unwrap();
        assert_eq!(object.get("n"), Some("12"));
        assert_eq!(object.string("s"), Ok(Some("\"n\":7".into())));
        assert_eq!(object.string("n"), Err(NotOfThisType));
        assert_eq!(object.string("none"), Ok(None));
        assert_eq!(
            object.with(&[("n", "9".into())]).unwrap(),
            br#" { "a" : {"n":1, "a":2}, "s":"\"n\":7", "n" : 9 , "e":[]} "#
        );
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        assert!(Object::read(br#"{"a":1,"\u0061":2}"#).is_none());
        assert_eq!(Object::read(br#"{"\u0061":1}"#).unwrap().get("a"), Some("1"));
    }

    #[test]
    fn not_an_object() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            "{}x",
            "{}{}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "\u{feff}{}",
            "{\"a\":1}\0",
            "{a:1}",
            "{\"a\":nan}",
        ] {
            assert!(Object::read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Object::read(b"{\"a\":\"\xff\"}").is_none());
        let many: Vec<String> = (0..=MEMBERS_MAX).map(|n| format!("\"m{n}\":1")).collect();
        assert!(Object::read(format!("{{{}}}", many.join(",")).as_bytes()).is_none());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
        let _ = Object::read(deep.as_bytes());
    }
}
