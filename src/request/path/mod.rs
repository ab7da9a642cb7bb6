//! The client's path, and whether a rule covers it.
//!
//! A rule is worth what the API behind it reads in the same path. So a path that another reader
//! could take for another one is refused ([`PathPolicy::Strict`]), and what is left is decoded
//! once, so that all spellings of one path are one path here: `/%6frders` is `/orders`, `/%40me`
//! is `/@me`, `/caf%c3%a9` is `/caf%C3%A9`. The request itself isn't changed.
//!
//! Refused are: what doesn't begin with `/`; bytes outside %x21-7E; `#` and `\`; a `%` without two
//! digits; an encoded `/`, `\`, `.`, `%` or `?`, or an encoded control character (a line feed at
//! the end of `/admin%0a` satisfies many a regular expression's `$`); a dot segment; an empty
//! segment other than the last; and `;`, which starts path parameters to servlet containers and
//! their kind (`/admin;x` and `/open/..;/admin` are both `/admin` to them) and is an ordinary
//! character to others. An encoded `;` is data to all of them, and passes.
//!
//! A slash at the end is common, and most APIs keep `/orders` and `/orders/` apart; here too they
//! differ: an exact `/orders` doesn't cover `/orders/`, the prefix `/orders` covers both.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod any_case;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::reply::Reason;

/// What happens to ambiguous paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathPolicy {
    /// They are 400.
    Strict,
    /// They are matched as they are.
    Lenient,
}

/// Which requests a rule covers. Everything given must hold.
#[derive(Default)]
pub struct RuleMatch {
    /// How the path must match; nothing: any does.
    pub path: Option<PathMatch>,
    /// Methods in upper case; empty: all.
    pub methods: Vec<String>,
    /// Hosts in lower case without port; empty: all.
    pub hosts: Vec<String>,
    /// The host's name of the route.
    pub route: Option<String>,
    /// Whether letters of the path count in any case.
    pub ignore_case: bool,
}

/// How a path matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathMatch {
    /// The whole path, exactly.
    Exact(String),
    /// By whole segments.
    Prefix(String),
    /// Segment by segment; a capture takes one segment.
    Template(Vec<Segment>),
}

/// A segment of a path template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// A segment of exactly these characters.
    Literal(String),
    /// Any one segment, under this name.
    Capture(String),
}

/// A request target, taken apart (RFC 9112, section 3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// The path, decoded; `*` if the whole server is meant. Borrowed if there was nothing to
    /// decode.
    pub path: Cow<'a, [u8]>,
    /// What follows the first `?`, as sent.
    pub query: Option<&'a [u8]>,
    /// The authority of the absolute form, which goes before the Host field (RFC 9112, section
    /// 3.2.2).
    pub authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Takes a target apart: path and query, an absolute URL, or `*`.
    ///
    /// [`PathPolicy::Lenient`] admits what the module's text lists, but for paths that don't begin
    /// with `/`, control characters, spaces and `#`; then encodings that would change the path's
    /// structure stay encoded, with their digits in upper case.
    ///
    /// # Errors
    /// [`Reason::BadPath`].
    #[inline(always)]
    pub fn parse(raw: &'a [u8], policy: PathPolicy) -> Result<Target<'a>, Reason> {
        if is_plain(raw) {
            Ok(Target { path: Cow::Borrowed(raw), query: None, authority: None })
        } else {
            Target::parse_any(raw, policy)
        }
    }

    #[inline(never)]
    fn parse_any(raw: &'a [u8], policy: PathPolicy) -> Result<Target<'a>, Reason> {
        if raw == b"*" {
            return Ok(Target { path: Cow::Borrowed(raw), query: None, authority: None });
        }
        let (authority, rest) = match raw.first() {
            Some(b'/') => (None, raw),
            _ => split_authority(raw)?,
        };
        let (path, query) = match rest.iter().position(|byte| *byte == b'?') {
            None => (rest, None),
            Some(mark) => (
                rest.get(..mark).unwrap_or_default(),
                Some(rest.get(mark.saturating_add(1)..).unwrap_or_default()),
            ),
        };
        if query
            .is_some_and(|query| query.iter().any(|byte| matches!(byte, 0..=b' ' | b'#' | 0x7f)))
        {
            return Err(Reason::BadPath);
        }
        let path: &[u8] = if path.is_empty() && authority.is_some() { b"/" } else { path };
        Ok(Target { path: canonical(path, policy)?, query, authority })
    }
}

/// Whether a target is a path that any policy takes as it is: nothing but letters, digits, `-` and
/// `_` between single slashes. Most are, and cost one look at each byte.
#[inline(always)]
fn is_plain(raw: &[u8]) -> bool {
    let mut before = b'-';
    raw.first() == Some(&b'/')
        && raw.iter().all(|byte| {
            let fits = byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_')
                || (*byte == b'/' && before != b'/');
            before = *byte;
            fits
        })
}

/// What a rule looks at in a request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Host or authority as sent.
    pub host: &'a [u8],
    /// The host's name of the route, where it has one.
    pub route: Option<&'a [u8]>,
    /// [`Target::path`].
    pub path: &'a [u8],
}

/// Whether a rule covers a request: everything that it names must hold. Methods compare in any
/// case, since some servers read `delete` as `DELETE`.
pub fn matches<'a>(rule: &'a RuleMatch, request: &Request<'a>) -> Option<Captures<'a>> {
    let captures = match &rule.path {
        None => Captures { template: &[], path: request.path },
        Some(path) if rule.ignore_case => any_case::matches(path, request.path)?,
        Some(path) => path_matches(path, request.path)?,
    };
    let method = rule.methods.is_empty()
        || rule.methods.iter().any(|method| request.method.eq_ignore_ascii_case(method.as_bytes()));
    let host = rule.hosts.is_empty() || {
        let host = host_name(request.host);
        rule.hosts.iter().any(|known| host.eq_ignore_ascii_case(known.as_bytes()))
    };
    let route = rule.route.as_ref().is_none_or(|route| request.route == Some(route.as_bytes()));
    (method && host && route).then_some(captures)
}

/// Whether a path is covered, and what its captures hold.
pub fn path_matches<'a>(rule: &'a PathMatch, path: &'a [u8]) -> Option<Captures<'a>> {
    match rule {
        PathMatch::Exact(exact) => {
            (path == exact.as_bytes()).then_some(Captures { template: &[], path })
        }
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let rest = path.strip_prefix(prefix.as_bytes())?;
            // `*` is under no prefix, not even `/`.
            let whole =
                matches!(rest.first(), Some(b'/')) || (rest.is_empty() && !prefix.is_empty());
            whole.then_some(Captures { template: &[], path })
        }
        PathMatch::Template(template) => {
            let mut segments = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
            for expected in template {
                let segment = segments.next()?;
                let fits = match expected {
                    Segment::Literal(literal) => segment == literal.as_bytes(),
                    Segment::Capture(_) => !segment.is_empty(),
                };
                if !fits {
                    return None;
                }
            }
            segments.next().is_none().then_some(Captures { template, path })
        }
    }
}

/// What the captures of a path template hold.
#[derive(Clone, Copy)]
pub struct Captures<'a> {
    template: &'a [Segment],
    path: &'a [u8],
}

impl<'a> Captures<'a> {
    /// The decoded segment under this name; never empty.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let segments = self.path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
        let mut pairs = self.template.iter().zip(segments);
        pairs
            .find(|(expected, _)| matches!(expected, Segment::Capture(known) if known == name))
            .map(|(_, segment)| segment)
    }
}

/// A host without user, port and the dot at its end; an IPv6 address keeps its brackets. The
/// caller compares in any case.
pub fn host_name(authority: &[u8]) -> &[u8] {
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let end = match host.first() {
        Some(b'[') => {
            host.iter().position(|byte| *byte == b']').map(|bracket| bracket.saturating_add(1))
        }
        _ => host.iter().position(|byte| *byte == b':'),
    };
    let host = end.and_then(|end| host.get(..end)).unwrap_or(host);
    host.strip_suffix(b".").unwrap_or(host)
}

/// A rule's `path`, in the form that requests are compared with.
///
/// # Errors
/// What was expected, as a sentence.
pub fn exact(text: &str, policy: PathPolicy) -> Result<PathMatch, String> {
    rule_path(text, policy).map(PathMatch::Exact)
}

/// A rule's `path_prefix`; a slash at its end doesn't matter.
///
/// # Errors
/// What was expected, as a sentence.
pub fn prefix(text: &str, policy: PathPolicy) -> Result<PathMatch, String> {
    rule_path(text, policy).map(PathMatch::Prefix)
}

/// A rule's `path_template`: a segment `{name}` stands for any one segment.
///
/// # Errors
/// What was expected, as a sentence.
pub fn template(text: &str, policy: PathPolicy) -> Result<PathMatch, String> {
    let path = rule_path(text, policy)?;
    let mut segments = Vec::new();
    for segment in path.split('/').skip(1) {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        segments.push(match inner {
            Some(name) if crate::jwt::issuer::is_name(name) => {
                let known =
                    |before: &Segment| matches!(before, Segment::Capture(known) if known == name);
                if segments.iter().any(known) {
                    return Err(format!("expected each capture once, got \"{name}\" twice"));
                }
                Segment::Capture(name.to_owned())
            }
            None if !segment.contains(['{', '}']) => Segment::Literal(segment.to_owned()),
            _ => return Err(
                "expected \"{name}\" to be a whole segment, the name of letters, digits or \"_\""
                    .to_owned(),
            ),
        });
    }
    if !segments.iter().any(|segment| matches!(segment, Segment::Capture(_))) {
        return Err("expected at least one capture such as \"{id}\"; without one it is a \"path\""
            .to_owned());
    }
    Ok(PathMatch::Template(segments))
}

fn rule_path(text: &str, policy: PathPolicy) -> Result<String, String> {
    const EXPECTED: &str = "expected a path that a request can have: \"/\" first, no empty or dot segment, no query, no \"\\\", \";\" or \"#\"";
    if text.contains('?') {
        return Err(EXPECTED.to_owned());
    }
    // People write `/café`; requests carry `/caf%C3%A9`. Both are the same bytes decoded.
    let encoded = text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii() {
            encoded.push(char::from(byte))
        } else {
            encoded.push_str(&format!("%{byte:02X}"))
        }
        encoded
    });
    let decoded = canonical(encoded.as_bytes(), policy).map_err(|_| EXPECTED.to_owned())?;
    String::from_utf8(decoded.into_owned()).map_err(|_| "expected encodings of UTF-8".to_owned())
}

/// The one form of a path.
fn canonical(path: &[u8], policy: PathPolicy) -> Result<Cow<'_, [u8]>, Reason> {
    let strict = policy == PathPolicy::Strict;
    if path.first() != Some(&b'/') {
        return Err(Reason::BadPath);
    }
    let mut encoded = false;
    let mut before = 0;
    for byte in path {
        match byte {
            b'%' => encoded = true,
            0..=b' ' | b'#' | 0x7f => return Err(Reason::BadPath),
            b'\\' | b';' | 0x80.. if strict => return Err(Reason::BadPath),
            b'/' if strict && before == b'/' => return Err(Reason::BadPath),
            _ => {}
        }
        before = *byte;
    }
    // A dot is never the result of decoding here, so segments may be looked at before it.
    if strict && path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b"..")) {
        return Err(Reason::BadPath);
    }
    if encoded { decode(path, strict).map(Cow::Owned) } else { Ok(Cow::Borrowed(path)) }
}

fn decode(path: &[u8], strict: bool) -> Result<Vec<u8>, Reason> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let pair = hex_pair(tail);
        if let Some((_, after)) = pair {
            rest = after;
        }
        match pair.map(|(byte, _)| byte) {
            None | Some(0..=0x1f | 0x7f | b'/' | b'\\' | b'.' | b'%' | b'?') if strict => {
                return Err(Reason::BadPath);
            }
            None => decoded.push(b'%'),
            Some(byte @ (0..=0x1f | 0x7f | b'/' | b'\\' | b'%' | b'?' | b'#' | b';'))
                if !strict =>
            {
                decoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            Some(byte) => decoded.push(byte),
        }
    }
    Ok(decoded)
}

/// The byte that two hexadecimal digits at the beginning name, and what follows them.
pub(crate) fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (pair, rest) = bytes.split_at_checked(2)?;
    let mut value = 0u32;
    for digit in pair {
        value = value * 16 + char::from(*digit).to_digit(16)?;
    }
    Some((u8::try_from(value).ok()?, rest))
}

/// Takes the authority of the absolute form off (RFC 9112, section 3.2.2). A user in it has been
/// the disguise of another host too often (RFC 9110, section 4.2.4).
fn split_authority(raw: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Reason> {
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        raw.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let rest = raw.get(scheme.ok_or(Reason::BadPath)?.len()..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(Reason::BadPath)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]!$&'()*+,;=".contains(byte);
    if authority.is_empty() || !authority.iter().all(plain) {
        return Err(Reason::BadPath);
    }
    Ok((Some(authority), rest))
}
