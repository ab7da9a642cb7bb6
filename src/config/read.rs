//! Reads a document by its description: first the form of everything, then fields by name.

use super::error::{Report, nearest, shown, shown_text};
use super::json::Json;
use super::shape::{Field, Kind, Need, Shape};
use super::{HostKind, syntax};
use crate::callout::Secret;

/// Bytes of a secret at most.
const SECRET_BYTES_MAX: usize = 65_536;

/// What the first pass needs and gathers.
pub(super) struct Form<'a> {
    /// Mistakes so far.
    pub report: Report,
    /// Values of environment variables.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Which host will run the filter.
    pub host: HostKind,
    /// Where secrets stand in the document itself.
    pub written_secrets: Vec<String>,
}

impl Form<'_> {
    /// Checks the form of `json` against `kind`. Secrets are resolved in place; what is wrong is
    /// reported and becomes `Json::Invalid`.
    pub fn check(&mut self, json: &mut Json, kind: &Kind, path: &mut String) {
        let fits = match kind {
            Kind::Either(one, other) => {
                let kind =
                    if has_type_of(json, one) || !has_type_of(json, other) { one } else { other };
                if has_type_of(json, kind) {
                    return self.check(json, kind, path);
                }
                false
            }
            Kind::Object(shape) => match json {
                Json::Object(members) => {
                    self.check_object(members, shape, path);
                    return;
                }
                _ => false,
            },
            Kind::Map(names, of, max) => match json {
                Json::Object(members) if members.len() <= *max => {
                    self.check_repeated(members, path, true);
                    for (name, value) in members {
                        let length = push_name(path, name);
                        if name.is_empty() || name.len() > names.max || !(names.fits)(name) {
                            self.report.error(
                                path,
                                format_args!("its name to be {}", names.expected),
                                format_args!("another one{}", two_readings(name)),
                            );
                            *value = Json::Invalid;
                        } else {
                            self.check(value, of, path);
                        }
                        path.truncate(length);
                    }
                    return;
                }
                _ => false,
            },
            Kind::List(of, min, max) => {
                // Lua has one empty table, so Kong writes an empty list as {}.
                if self.host.needs().has_one_empty_table
                    && matches!(json, Json::Object(members) if members.is_empty())
                {
                    *json = Json::List(Vec::new());
                }
                match json {
                    Json::List(items) if (*min..=*max).contains(&items.len()) => {
                        for (index, item) in items.iter_mut().enumerate() {
                            let length = path.len();
                            path.push_str(&format!("[{index}]"));
                            self.check(item, of, path);
                            path.truncate(length);
                        }
                        return;
                    }
                    Json::List(items) => {
                        let got = format!("{} of them", items.len());
                        self.report.error(path, kind.expected(), got);
                        *json = Json::Invalid;
                        return;
                    }
                    _ => false,
                }
            }
            Kind::Secret | Kind::Pem => return self.check_secret(json, kind, path),
            Kind::Opaque if matches!(json, Json::Object(_)) => {
                if json.repeats_a_member() {
                    self.report.error(path, "an object without repeated members", "a repeated one");
                    *json = Json::Invalid;
                }
                return;
            }
            Kind::Later => {
                self.report.error(path, "no such field", "one (not supported by this version)");
                *json = Json::Invalid;
                return;
            }
            scalar => scalar_fits(json, scalar),
        };
        if !fits {
            let got = if kind.holds_secrets() { json.kind().to_owned() } else { shown(json) };
            let hint = hint(json, kind);
            self.report.error(path, kind.expected(), format_args!("{got}{hint}"));
            *json = Json::Invalid;
        }
    }

    fn check_object(&mut self, members: &mut [(String, Json)], shape: &Shape, path: &mut String) {
        self.check_repeated(members, path, false);
        for (name, value) in members.iter_mut() {
            let length = push_name(path, name);
            match shape.field(name) {
                Some(field) => self.check(value, &field.kind, path),
                None => {
                    let hint = match nearest(name, shape.fields().map(|field| field.name)) {
                        Some(near) => format!("did you mean {near:?}?"),
                        None => {
                            let names: Vec<&str> = shape
                                .fields()
                                .filter(|field| !matches!(field.kind, Kind::Later))
                                .map(|field| field.name)
                                .collect();
                            format!("known are {}", names.join(", "))
                        }
                    };
                    self.report.error(
                        path,
                        "a known field",
                        format_args!("{} ({hint})", shown_text(name)),
                    );
                    *value = Json::Invalid;
                }
            }
            path.truncate(length);
        }
        for field in shape.fields().filter(|field| matches!(field.need, Need::Required)) {
            if !members.iter().any(|(name, _)| name == field.name) {
                let length = push_name(path, field.name);
                self.report.error(path, field.kind.expected(), "nothing");
                path.truncate(length);
            }
        }
    }

    fn check_repeated(&mut self, members: &mut [(String, Json)], path: &mut String, map: bool) {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut repeated: Vec<String> = names
            .windows(2)
            .filter(|pair| pair.first() == pair.last())
            .filter_map(|pair| pair.first().map(|name| (*name).to_owned()))
            .collect();
        repeated.dedup();
        let what = if map { "one member of this name" } else { "one field of this name" };
        for name in repeated {
            let length = push_name(path, &name);
            self.report.error(path, what, "several");
            path.truncate(length);
        }
    }

    fn check_secret(&mut self, json: &mut Json, kind: &Kind, path: &str) {
        let form = kind.expected();
        let (text, expected, got) = match &*json {
            Json::Text(text) => {
                if matches!(kind, Kind::Secret) {
                    self.written_secrets.push(path.to_owned());
                }
                (Some(text.clone()), form.as_str(), String::new())
            }
            Json::Object(members) => match members.as_slice() {
                [(name, Json::Text(variable))] if name == "env" => {
                    if syntax::is_env_name(variable) {
                        let text = (self.env)(variable);
                        let hint = self.host.needs().environment_hint;
                        let got = format!("no value of {variable}{hint}");
                        (text, "an environment variable that is set", got)
                    } else {
                        (
                            None,
                            "the name of an environment variable after \"env\"",
                            "something else".to_owned(),
                        )
                    }
                }
                _ => (None, form.as_str(), "another object".to_owned()),
            },
            other => (None, form.as_str(), other.kind().to_owned()),
        };
        *json = match text {
            None => {
                self.report.error(path, expected, got);
                Json::Invalid
            }
            Some(text) if text.is_empty() => {
                self.report.error(path, form, "an empty one");
                Json::Invalid
            }
            Some(text) if text.len() > SECRET_BYTES_MAX => {
                self.report.error(
                    path,
                    format_args!("at most {SECRET_BYTES_MAX} bytes"),
                    text.len(),
                );
                Json::Invalid
            }
            Some(text) => Json::Secret(Secret::new(text.into_bytes())),
        };
    }
}

fn scalar_fits(json: &Json, kind: &Kind) -> bool {
    match (kind, json) {
        (Kind::Bool, Json::Bool(_)) => true,
        (Kind::Scalar, Json::Bool(_) | Json::Number(_)) => true,
        (Kind::Scalar, Json::Text(text)) => text.len() <= 1024,
        (Kind::Whole(min, max), number) => {
            number.whole().is_some_and(|number| (*min..=*max).contains(&number))
        }
        (Kind::Fraction(min, max), number) => {
            number.float().is_some_and(|number| (*min..=*max).contains(&number))
        }
        (Kind::Text(syntax), Json::Text(text)) => {
            !text.is_empty() && text.len() <= syntax.max && (syntax.fits)(text)
        }
        (Kind::OneOf(names), Json::Text(text)) => names.contains(&text.as_str()),
        (Kind::Url, Json::Text(text)) => (1..=2048).contains(&text.len()),
        (Kind::ClaimPath, json) => claim_path(json).is_some(),
        _ => false,
    }
}

fn claim_path(json: &Json) -> Option<crate::jwt::ClaimPath> {
    match json {
        Json::Text(text) => syntax::claim_path(text),
        Json::List(items) => {
            let names: Option<Vec<String>> = items
                .iter()
                .map(|item| match item {
                    Json::Text(text) if !text.is_empty() && text.len() <= 256 => Some(text.clone()),
                    _ => None,
                })
                .collect();
            names.filter(|names| (1..=8).contains(&names.len())).map(crate::jwt::ClaimPath)
        }
        _ => None,
    }
}

/// Whether the JSON type is right, whatever the value.
fn has_type_of(json: &Json, kind: &Kind) -> bool {
    match kind {
        Kind::Bool => matches!(json, Json::Bool(_)),
        Kind::Whole(..) | Kind::Fraction(..) => matches!(json, Json::Number(_)),
        Kind::Text(_) | Kind::OneOf(_) | Kind::Url => matches!(json, Json::Text(_)),
        Kind::Object(_) | Kind::Map(..) | Kind::Opaque => matches!(json, Json::Object(_)),
        Kind::List(..) => matches!(json, Json::List(_)),
        Kind::Secret
        | Kind::Pem
        | Kind::ClaimPath
        | Kind::Scalar
        | Kind::Either(..)
        | Kind::Later => true,
    }
}

/// Names of algorithms (IANA's registry for JOSE) that verify no token here.
const OTHER_ALGORITHMS: &[&str] = &[
    "Ed448",
    "ESB256",
    "ESB320",
    "ESB384",
    "ESB512",
    "RS1",
    "HS1",
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "A128KW",
    "A192KW",
    "A256KW",
    "A128GCM",
    "A192GCM",
    "A256GCM",
    "ECDH-ES",
    "dir",
];

fn hint(json: &Json, kind: &Kind) -> String {
    let Json::Text(text) = json else { return String::new() };
    match kind {
        Kind::OneOf(names) if text.eq_ignore_ascii_case("none") => match names {
            names if names.contains(&"public") => {
                " (did you mean \"public\"? It reads no token)".to_owned()
            }
            names if names.contains(&"RS256") => {
                " (an unsigned token is never accepted)".to_owned()
            }
            _ => String::new(),
        },
        // A name that there is means itself, and isn't another one misspelt.
        Kind::OneOf(names)
            if names.contains(&"RS256") && OTHER_ALGORITHMS.contains(&text.as_str()) =>
        {
            " (no signature algorithm of this version)".to_owned()
        }
        Kind::OneOf(names) => nearest(text, names.iter().copied())
            .map(|near| format!(" (did you mean {near:?}?)"))
            .unwrap_or_default(),
        Kind::Whole(..) | Kind::Fraction(..) if text.parse::<f64>().is_ok() => {
            " (write it without quotes)".to_owned()
        }
        Kind::Bool if text == "true" || text == "false" => " (write it without quotes)".to_owned(),
        Kind::List(..) => " (write it in [ ])".to_owned(),
        Kind::ClaimPath => two_readings(text).to_owned(),
        Kind::Text(_) => text.strip_prefix("claim:").map_or("", two_readings).to_owned(),
        _ => String::new(),
    }
}

/// What to do about a claim that could be read in two ways.
fn two_readings(claim: &str) -> &'static str {
    if !syntax::has_two_readings(claim) {
        return "";
    }
    " (one name, or a path of several? write its names as a list, as in [\"https://x.example/a.b\"])"
}

/// Appends a member's name to a path and returns the length before it.
fn push_name(path: &mut String, name: &str) -> usize {
    let length = path.len();
    let plain = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'));
    if plain {
        if length > 0 {
            path.push('.');
        }
        path.push_str(name);
    } else {
        path.push_str(&format!("[{}]", shown_text(name)));
    }
    length
}

/// An object of the document whose form was checked: fields by name, with their defaults.
/// What was reported as invalid reads as absent.
#[derive(Clone)]
pub(super) struct Node<'a> {
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
        super::tests::note_read(self.shape, name);
        let Json::Object(members) = self.json else { return None };
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.shape.field(name)
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
        | Kind::Pem
        | Kind::Opaque
        | Kind::ClaimPath
        | Kind::Scalar
        | Kind::Map(..)
        | Kind::Later => None,
    }
}
