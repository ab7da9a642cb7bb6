//! Mistakes of a document, each with its place, what was expected and what was found; never with a
//! secret.

use std::fmt;

use super::json::Json;

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Where, as in `issuers[1].jwks_uri`.
    pub path: String,
    /// What was expected and found.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// All mistakes of a document; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The mistakes: first those of form in the order of the document, then those of meaning.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    /// One mistake a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What was noticed so far.
#[derive(Default)]
pub(super) struct Report {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Report {
    /// A mistake: `path: expected X, got Y`. A hint goes into `got`, in parentheses.
    pub fn error(&mut self, path: &str, expected: impl fmt::Display, got: impl fmt::Display) {
        self.say(path, format!("expected {expected}, got {got}"));
    }

    /// A mistake in other words.
    pub fn say(&mut self, path: &str, message: String) {
        self.errors.push(ConfigError { path: path.to_owned(), message });
    }

    /// Set-up that works but deserves a second look.
    pub fn warn(&mut self, path: &str, message: impl fmt::Display) {
        self.warnings.push(format!("{path}: {message}"));
    }

    /// The warnings, or all mistakes if there is one.
    pub fn into_result(self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.is_empty() { Ok(self.warnings) } else { Err(ConfigErrors(self.errors)) }
    }

    /// Whether a mistake was reported.
    pub fn failed(&self) -> bool {
        !self.errors.is_empty()
    }
}

/// Characters of a value that a message shows at most.
const SHOWN_MAX: usize = 64;

/// A value for a message: scalars as JSON, cut and escaped; of lists and objects the kind alone.
pub(super) fn shown(json: &Json) -> String {
    match json {
        Json::Bool(bool) => bool.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Text(text) => shown_text(text),
        other => other.kind().to_owned(),
    }
}

/// A text for a message: quoted, escaped, cut; what may be confidential in it left out.
pub(super) fn shown_text(text: &str) -> String {
    if text.contains("-----BEGIN") {
        return "PEM".to_owned();
    }
    if text.starts_with("eyJ") {
        return "a token".to_owned();
    }
    let mut out = String::from("\"");
    let text = without_confidential_parts(text);
    for (count, character) in text.chars().enumerate() {
        if count >= SHOWN_MAX {
            out.push('…');
            break;
        }
        match character {
            '\'' => out.push('\''),
            other => out.extend(other.escape_debug()),
        }
    }
    out.push('"');
    out
}

/// A URL without user, password, query and fragment; other text as it is.
fn without_confidential_parts(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let query = rest.find(['?', '#']);
    match (rest.rsplit_once('@'), query) {
        // Which part is the password can't be told: it may itself hold `/`, `?` and `@`.
        (Some(_), Some(_)) => format!("{scheme}://…"),
        (Some((_, host)), None) => format!("{scheme}://…@{host}"),
        (None, Some(end)) => format!("{scheme}://{}…", rest.get(..=end).unwrap_or("")),
        (None, None) => text.to_owned(),
    }
}

/// How names of fields end that have a unit.
const UNITS: &[&str] = &["_s", "_ms", "_max", "_s_max", "_ms_max", "_s_min", "_bytes_max"];

/// The name among `known` that was probably meant.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.collect();
    // A unit or a `max` that was left out: `ttl` for `ttl_s`.
    let is_it = |candidate: &&&str| {
        let rest = candidate.strip_prefix(name).filter(|_| !name.is_empty());
        rest.is_some_and(|rest| UNITS.contains(&rest))
    };
    if let Some(candidate) = known.iter().find(is_it) {
        return Some(candidate);
    }
    let name: Vec<char> = name.chars().take(SHOWN_MAX).flat_map(char::to_lowercase).collect();
    known
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, remove, replace or swap with their neighbour.
fn distance(name: &[char], candidate: &str) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=name.len()).collect();
    let mut previous_character = None;
    for (row, character) in candidate.chars().flat_map(char::to_lowercase).enumerate() {
        let mut current = vec![row + 1];
        let mut left_character = None;
        for (column, other) in name.iter().enumerate() {
            let at =
                |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(*other != character);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = left_character == Some(character) && previous_character == Some(*other);
            if swapped && column > 0 {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
            left_character = Some(*other);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_character = Some(character);
    }
    last.last().copied().unwrap_or(usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_text_is_short_and_harmless() {
        assert_eq!(shown_text("a\r\nb\"c'\u{202e}"), r#""a\r\nb\"c'\u{202e}""#);
        assert_eq!(shown_text(&"x".repeat(65)), format!("\"{}…\"", "x".repeat(64)));
        assert_eq!(shown_text("http://idp.example"), "\"http://idp.example\"");
        assert_eq!(shown_text("https://h/x?key=s#f"), "\"https://h/x?…\"");
        assert_eq!(shown_text("https://u:p/q@h/x"), "\"https://…@h/x\"");
        assert_eq!(shown_text("https://u:p?q@h/x"), "\"https://…\"");
        assert_eq!(shown_text("-----BEGIN PRIVATE KEY-----x"), "PEM");
        assert_eq!(shown_text("eyJhbGciOi.x.y"), "a token");
    }

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["issuers", "issuer", "jwks_uri", "jwks", "rules"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("issuer_s"), Some("issuers"));
        assert_eq!(near("jwk_uri"), Some("jwks_uri"));
        assert_eq!(near("jwsk"), Some("jwks"));
        assert_eq!(near("JWKS_URI"), Some("jwks_uri"));
        let near_of = |name, known: &[&'static str]| nearest(name, known.iter().copied());
        assert_eq!(near_of("ttl", &["uri", "ttl_s", "negative_ttl_s"]), Some("ttl_s"));
        assert_eq!(near_of("wait", &["wait_ms_max"]), Some("wait_ms_max"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(""), None);
    }
}
