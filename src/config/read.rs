//! Reads a document by its description: first the form of everything, here, then fields by name
//! ([`node`]).

mod node;

pub(super) use node::Node;

use super::error::{Report, nearest, shown, shown_text};
use super::json::Json;
use super::shape::{Kind, Need, Shape};
use super::{HostKind, syntax};
use crate::callout::Secret;
use crate::sort;

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
            Kind::Secret | Kind::Pem | Kind::Jwk => return self.check_secret(json, kind, path),
            Kind::PrivateKey => return self.check_private_key(json, path),
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
        sort::ascending(&mut names);
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

    /// Whatever way it is written in, it is a secret text from here on.
    fn check_private_key(&mut self, json: &mut Json, path: &mut String) {
        if let Json::Object(members) = json {
            if let [(name, inner)] = members.as_mut_slice()
                && (name == "jwk" || name == "pem")
            {
                let mut inner = std::mem::replace(inner, Json::Null);
                let length = push_name(path, name);
                self.check_private_key(&mut inner, path);
                path.truncate(length);
                *json = inner;
                return;
            }
            if members.iter().any(|(name, _)| name == "kty") && !json.repeats_a_member() {
                *json = Json::Text(json.to_value().to_string());
            }
        }
        self.check_secret(json, &Kind::Secret, path);
    }

    fn check_secret(&mut self, json: &mut Json, kind: &Kind, path: &str) {
        let form = kind.expected();
        let (text, expected, got) = match &*json {
            Json::Text(text) => {
                if matches!(kind, Kind::Secret | Kind::Jwk) {
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
                // A JWK as it is; a reader of its text sees a repeated member no more.
                _ if matches!(kind, Kind::Jwk) && !json.repeats_a_member() => {
                    self.written_secrets.push(path.to_owned());
                    (Some(json.to_value().to_string()), form.as_str(), String::new())
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
        | Kind::PrivateKey
        | Kind::Pem
        | Kind::Jwk
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
