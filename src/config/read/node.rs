//! Fields by name, with their defaults.

use super::{claim_path, push_name};
use crate::callout::Secret;
use crate::config::json::Json;
use crate::config::shape::{Field, Kind, Need, Shape};

/// An object of the document whose form was checked: fields by name, with their defaults.
/// What was reported as invalid reads as absent.
#[derive(Clone)]
pub(in crate::config) struct Node<'a> {
    json: &'a Json,
    shape: &'static Shape,
    /// Where it stands.
    pub path: String,
}

static EMPTY: Json = Json::Object(Vec::new());

impl<'a> Node<'a> {
    /// The whole document.
    pub fn root(json: &'a Json, shape: &'static Shape) -> Self {
        Node { json, shape, path: String::new() }
    }

    /// The path of one of its fields.
    pub fn at(&self, name: &str) -> String {
        let mut path = self.path.clone();
        push_name(&mut path, name);
        path
    }

    /// The digest of this object as the document has it.
    pub fn digest(&self, domain: &str) -> [u8; 32] {
        self.json.digest(domain)
    }

    /// The digest of this object without these fields.
    pub fn digest_without(&self, domain: &str, names: &[&str]) -> [u8; 32] {
        debug_assert!(
            names.iter().all(|name| self.shape.field(name).is_some()),
            "{names:?} are not all described"
        );
        self.json.digest_without(domain, names)
    }

    fn find(&self, name: &str) -> Option<&'a Json> {
        debug_assert!(self.shape.field(name).is_some(), "{name} is not described");
        #[cfg(test)]
        crate::config::tests::note_read(self.shape, name);
        let Json::Object(members) = self.json else { return None };
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.shape.field(name)
    }

    /// The fields that the document has, valid or not.
    pub fn given(&self) -> Vec<&'static str> {
        let Json::Object(members) = self.json else { return Vec::new() };
        members.iter().filter_map(|(name, _)| Some(self.field(name)?.name)).collect()
    }

    /// Whether the document has this field, valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The valid value of a field.
    pub fn get(&self, name: &str) -> Option<&'a Json> {
        self.find(name).filter(|json| !matches!(json, Json::Invalid))
    }

    /// A number, or its default.
    pub fn whole(&self, name: &str) -> u64 {
        self.whole_given(name).unwrap_or_else(|| match self.field(name).map(|field| &field.need) {
            Some(Need::Whole(default)) => *default,
            _ => 0,
        })
    }

    /// A number that the document has.
    pub fn whole_given(&self, name: &str) -> Option<u64> {
        self.get(name)?.whole()
    }

    /// A number as a size, or its default.
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.whole(name)).unwrap_or(usize::MAX)
    }

    /// A number of 32 bits, or its default.
    pub fn whole_32(&self, name: &str) -> u32 {
        u32::try_from(self.whole(name)).unwrap_or(u32::MAX)
    }

    /// A fraction, or its default.
    pub fn fraction(&self, name: &str) -> f64 {
        let given = self.get(name).and_then(Json::float);
        given.unwrap_or_else(|| match self.field(name).map(|field| &field.need) {
            Some(Need::Fraction(default)) => *default,
            _ => 0.0,
        })
    }

    /// Yes or no, or its default.
    pub fn flag(&self, name: &str) -> bool {
        match (self.get(name), self.field(name).map(|field| &field.need)) {
            (Some(Json::Bool(given)), _) => *given,
            (_, Some(Need::Bool(default))) => *default,
            _ => false,
        }
    }

    /// A text, or its default.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        match (self.get(name), self.field(name).map(|field| &field.need)) {
            (Some(Json::Text(text)), _) => Some(text),
            (None, Some(Need::Text(default))) => Some(default),
            _ => None,
        }
    }

    /// A text of its own, or its default.
    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// The valid texts of a list with their places, or its default.
    pub fn texts(&self, name: &str) -> Vec<(String, &'a str)> {
        if let (None, Some(Need::Texts(default))) =
            (self.find(name), self.field(name).map(|field| &field.need))
        {
            return default.iter().map(|text| (self.at(name), *text)).collect();
        }
        self.items(name)
            .into_iter()
            .filter_map(|(path, json)| match json {
                Json::Text(text) => Some((path, text.as_str())),
                _ => None,
            })
            .collect()
    }

    /// The valid texts of a list, or its default.
    pub fn owned_texts(&self, name: &str) -> Vec<String> {
        self.texts(name).into_iter().map(|(_, text)| text.to_owned()).collect()
    }

    /// A secret.
    pub fn secret(&self, name: &str) -> Option<&'a Secret> {
        match self.get(name) {
            Some(Json::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// A claim path.
    pub fn claim_path(&self, name: &str) -> Option<crate::jwt::ClaimPath> {
        self.get(name).and_then(claim_path)
    }

    /// The valid claim paths of a list with their places.
    pub fn claim_paths(&self, name: &str) -> Vec<(String, crate::jwt::ClaimPath)> {
        let items = self.items(name).into_iter();
        items.filter_map(|(path, json)| Some((path, claim_path(json)?))).collect()
    }

    /// The items of a list with their places.
    pub fn items(&self, name: &str) -> Vec<(String, &'a Json)> {
        let Some(Json::List(items)) = self.get(name) else { return Vec::new() };
        let path = self.at(name);
        let items = items.iter().enumerate();
        items.map(|(index, json)| (format!("{path}[{index}]"), json)).collect()
    }

    /// The members of a map with their places.
    pub fn members(&self, name: &str) -> Vec<(String, &'a str, &'a Json)> {
        let Some(Json::Object(members)) = self.get(name) else { return Vec::new() };
        let base = self.at(name);
        let members = members.iter().map(|(name, json)| {
            let mut path = base.clone();
            push_name(&mut path, name);
            (path, name.as_str(), json)
        });
        members.filter(|(_, _, json)| !matches!(json, Json::Invalid)).collect()
    }

    /// An object.
    pub fn object(&self, name: &str) -> Option<Node<'a>> {
        let shape = shape_of(&self.field(name)?.kind)?;
        let json = self.get(name).filter(|json| matches!(json, Json::Object(_)))?;
        Some(Node { json, shape, path: self.at(name) })
    }

    /// An object, or one of defaults alone.
    pub fn object_or_default(&self, name: &str) -> Node<'a> {
        self.object(name).unwrap_or_else(|| {
            let shape =
                self.field(name).and_then(|field| shape_of(&field.kind)).unwrap_or(self.shape);
            Node { json: &EMPTY, shape, path: self.at(name) }
        })
    }

    /// The valid objects of a list.
    pub fn objects(&self, name: &str) -> Vec<Node<'a>> {
        let Some(shape) = self.field(name).and_then(|field| shape_of(&field.kind)) else {
            return Vec::new();
        };
        self.items(name)
            .into_iter()
            .filter(|(_, json)| matches!(json, Json::Object(_)))
            .map(|(path, json)| Node { json, shape, path })
            .collect()
    }
}

/// The shape of the objects in a field.
fn shape_of(kind: &Kind) -> Option<&'static Shape> {
    match kind {
        Kind::Object(shape) => Some(shape),
        Kind::List(of, _, _) => shape_of(of),
        Kind::Either(one, other) => shape_of(one).or_else(|| shape_of(other)),
        Kind::Bool
        | Kind::Whole(..)
        | Kind::Fraction(..)
        | Kind::Text(_)
        | Kind::OneOf(_)
        | Kind::Url
        | Kind::Secret
        | Kind::PrivateKey
        | Kind::Pem
        | Kind::Jwk
        | Kind::Opaque
        | Kind::ClaimPath
        | Kind::Scalar
        | Kind::Map(..)
        | Kind::Later => None,
    }
}
