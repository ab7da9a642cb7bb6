//! Credentials out of a request (RFC 6750, section 2): exactly one over all sources, or none.
//!
//! Whatever another reader of the same request could take for a second token is refused, since
//! the API behind the gateway may be that reader: a repeated header, a comma list, another
//! spelling of a header's or parameter's name, a `Bearer` inside another scheme's credentials.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod grammar;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::jwt::TOKEN_BYTES_MAX;
use crate::reply::Reason;
use crate::request::{Field, is_word};

use grammar::{is_b64token, is_tchar};

/// One place where a bearer token may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BearerSource {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    Authorization,
    /// `Authorization: DPoP` (RFC 9449, section 7.1).
    Dpop,
    /// A header whose whole value is the token; lower case.
    Header(String),
    /// A header in which something stands before the token.
    Prefixed {
        /// Its name in lower case.
        header: String,
        /// What stands before the token, in any case.
        prefix: String,
    },
    /// A cookie.
    Cookie(String),
    /// A query parameter (RFC 6750, section 2.3).
    Query(String),
}

impl BearerSource {
    /// The header of a source that is one of its own.
    pub fn header(&self) -> Option<&str> {
        match self {
            BearerSource::Header(header) | BearerSource::Prefixed { header, .. } => Some(header),
            BearerSource::Authorization
            | BearerSource::Dpop
            | BearerSource::Cookie(_)
            | BearerSource::Query(_) => None,
        }
    }
}

/// The most sources that are looked at; the configuration admits no more.
pub const SOURCES_MAX: usize = 16;

/// A token of a request, well-formed (RFC 6750, `b64token`) and of at most 16 KiB.
#[derive(Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The bytes; borrowed but for a query parameter with percent-encodings.
    pub bytes: Cow<'a, [u8]>,
    /// The position of its source in the configured list, for those who remove it.
    pub source: usize,
}

/// What stands where a token should, not yet looked at. Its bytes are good for one thing: to be
/// compared with a token that has been well-formed before.
#[derive(Clone, PartialEq, Eq)]
pub struct Candidate<'a> {
    bytes: Cow<'a, [u8]>,
    source: usize,
}

impl std::fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Found(..)")
    }
}

impl std::fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Candidate(..)")
    }
}

impl<'a> Candidate<'a> {
    /// The bytes, for a look into the cache of verified tokens.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The position of its source in the configured list.
    pub fn source(&self) -> usize {
        self.source
    }

    /// Holds the bytes against the grammar.
    ///
    /// # Errors
    /// [`Reason::Malformed`] over 16 KiB and for padding in the midst, [`Reason::TwoTokens`] for a
    /// comma list, [`Reason::MalformedRequest`] for any other byte that `b64token` doesn't have.
    pub fn well_formed(self) -> Result<Found<'a>, Reason> {
        self.is_well_formed()?;
        Ok(Found { bytes: self.bytes, source: self.source })
    }

    /// The same of one that stays where it is.
    ///
    /// # Errors
    /// As [`Candidate::well_formed`].
    pub fn is_well_formed(&self) -> Result<(), Reason> {
        if self.bytes.len() > TOKEN_BYTES_MAX {
            return Err(Reason::Malformed);
        }
        if is_b64token(&self.bytes) {
            return Ok(());
        }
        // Segments with padding of their own are no b64token. Whoever wrote that has written a JWT
        // badly, not the request.
        let unpadded: Vec<u8> = self.bytes.iter().copied().filter(|byte| *byte != b'=').collect();
        Err(match self.bytes.contains(&b',') {
            true => Reason::TwoTokens,
            false if unpadded.contains(&b'.') && is_b64token(&unpadded) => Reason::Malformed,
            false => Reason::MalformedRequest,
        })
    }
}

/// Finds the one token of a request, or none.
///
/// `headers` are the request's raw pairs; `target` is the path with its query as the client sent
/// it. Where a host gives one value for a repeated header, joined with `,`, the result is the same.
///
/// # Errors
/// [`Reason::TwoTokens`] for two, equal ones too, and for any repeated header or parameter that
/// may hold one; [`Reason::MalformedRequest`] if a source can't be read; [`Reason::Malformed`]
/// if the token is over 16 KiB.
pub fn find<'a>(
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    target: &'a [u8],
    sources: &[BearerSource],
) -> Result<Option<Found<'a>>, Reason> {
    let headers: Vec<_> = headers.into_iter().collect();
    locate(authorizations(headers.iter().copied()), headers.iter().copied(), target, sources)?
        .map(Candidate::well_formed)
        .transpose()
}

/// The Authorization fields among these headers.
pub fn authorizations<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Field<'a> {
    headers.filter(|(name, _)| is_word(name, b"authorization")).collect()
}

/// As [`find`], with the Authorization fields found already; but leaves the grammar for later, so
/// that a request whose token is in the cache needn't pay for a second look at each of its bytes.
///
/// # Errors
/// As [`find`], but for what [`Candidate::well_formed`] finds.
#[inline(always)]
pub fn locate<'a>(
    authorization: Field<'a>,
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    target: &'a [u8],
    sources: &[BearerSource],
) -> Result<Option<Candidate<'a>>, Reason> {
    let mut search = Search::default();
    for (position, source) in sources.iter().take(SOURCES_MAX).enumerate() {
        match source {
            BearerSource::Authorization => search.authorization(position, authorization)?,
            BearerSource::Dpop => search.dpop(position, authorization)?,
            BearerSource::Header(_)
            | BearerSource::Prefixed { .. }
            | BearerSource::Cookie(_)
            | BearerSource::Query(_) => {
                search.elsewhere(position, source, headers.clone(), target)?
            }
        }
    }
    Ok(search.candidate)
}

#[derive(Default)]
struct Search<'a> {
    /// A bit for each source that has been met, whether it held a token or nothing.
    met: u32,
    candidate: Option<Candidate<'a>>,
}

impl<'a> Search<'a> {
    #[inline(always)]
    fn authorization(&mut self, position: usize, field: Field<'a>) -> Result<(), Reason> {
        match field {
            Field::None => Ok(()),
            Field::One(value) => self.keep(position, authorization(value)?.map(Cow::Borrowed)),
            // A field that may come once (RFC 9110, section 11.6.2): a second one is refused
            // whatever its scheme, since nobody knows which of them the API reads.
            Field::Several => Err(Reason::TwoTokens),
        }
    }

    #[inline(always)]
    fn dpop(&mut self, position: usize, field: Field<'a>) -> Result<(), Reason> {
        match field {
            Field::None => Ok(()),
            // As nearly all have it who use no proofs. A token that holds another scheme's word is
            // none: the grammar has no spaces.
            Field::One(value) if value.starts_with(b"Bearer ") => Ok(()),
            Field::One(value) => self.keep(position, of_scheme(value, b"dpop")?.map(Cow::Borrowed)),
            Field::Several => Err(Reason::TwoTokens),
        }
    }

    #[inline(never)]
    fn elsewhere(
        &mut self,
        position: usize,
        source: &BearerSource,
        headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        target: &'a [u8],
    ) -> Result<(), Reason> {
        if let BearerSource::Query(parameter) = source {
            return self.query(position, parameter.as_bytes(), target);
        }
        for (name, value) in headers {
            self.header(position, source, name, value)?;
        }
        Ok(())
    }

    fn header(
        &mut self,
        position: usize,
        source: &BearerSource,
        name: &[u8],
        value: &'a [u8],
    ) -> Result<(), Reason> {
        match source {
            BearerSource::Header(wanted) | BearerSource::Prefixed { header: wanted, .. }
                if same_header(name, wanted.as_bytes()) =>
            {
                if !name.eq_ignore_ascii_case(wanted.as_bytes()) {
                    // `x_token` for `x-token`: the two are one to CGI and its heirs.
                    return Err(Reason::MalformedRequest);
                }
                self.meet(position)?;
                let value = match source {
                    BearerSource::Prefixed { prefix, .. } => after(prefix, trim(value))?,
                    BearerSource::Authorization
                    | BearerSource::Dpop
                    | BearerSource::Header(_)
                    | BearerSource::Cookie(_)
                    | BearerSource::Query(_) => non_empty(trim(value)),
                };
                self.keep(position, value.map(Cow::Borrowed))
            }
            BearerSource::Cookie(wanted) if name.eq_ignore_ascii_case(b"cookie") => {
                // Several Cookie fields are one in HTTP/2 (RFC 9113, section 8.2.3).
                for value in cookies(value).filter_map(|pair| cookie_value(pair, wanted.as_bytes()))
                {
                    self.meet(position)?;
                    self.keep(position, non_empty(value).map(Cow::Borrowed))?;
                }
                Ok(())
            }
            BearerSource::Authorization
            | BearerSource::Dpop
            | BearerSource::Header(_)
            | BearerSource::Prefixed { .. }
            | BearerSource::Cookie(_)
            | BearerSource::Query(_) => Ok(()),
        }
    }

    fn query(&mut self, position: usize, wanted: &[u8], target: &'a [u8]) -> Result<(), Reason> {
        let Some((_, query)) = split_query(target) else { return Ok(()) };
        for parameter in query.split(|byte| is_separator(*byte)) {
            let Some(value) = parameter_value(parameter, wanted) else { continue };
            self.meet(position)?;
            let value = non_empty(value).map(decoded).transpose()?;
            self.keep(position, value)?;
        }
        Ok(())
    }

    fn meet(&mut self, position: usize) -> Result<(), Reason> {
        let bit = u32::try_from(position)
            .ok()
            .and_then(|shift| 1u32.checked_shl(shift))
            .unwrap_or(u32::MAX);
        if self.met & bit != 0 {
            return Err(Reason::TwoTokens);
        }
        self.met |= bit;
        Ok(())
    }

    #[inline(always)]
    fn keep(&mut self, source: usize, bytes: Option<Cow<'a, [u8]>>) -> Result<(), Reason> {
        let Some(bytes) = bytes else { return Ok(()) };
        if self.candidate.is_some() {
            return Err(Reason::TwoTokens);
        }
        self.candidate = Some(Candidate { bytes, source });
        Ok(())
    }
}

/// Whether a source is a scheme of `Authorization` and that field is absent, or holds something that
/// is certainly no token of that scheme.
pub fn is_elsewhere(source: &BearerSource, field: Field<'_>) -> bool {
    let wanted: &[u8] = match source {
        BearerSource::Authorization => b"bearer",
        BearerSource::Dpop => b"dpop",
        BearerSource::Header(_)
        | BearerSource::Prefixed { .. }
        | BearerSource::Cookie(_)
        | BearerSource::Query(_) => return false,
    };
    match field {
        Field::None => true,
        Field::One(value) => of_scheme(value, wanted) == Ok(None),
        Field::Several => false,
    }
}

/// The token of an `Authorization` field: `Bearer`, in any case, one or more spaces, token
/// (RFC 6750, section 2.1; RFC 9110, section 11.4). Another scheme is no token, an empty field
/// neither: on Kong that is what a removed one looks like.
#[inline(always)]
fn authorization(value: &[u8]) -> Result<Option<&[u8]>, Reason> {
    match value.split_first_chunk() {
        // As nearly all write it.
        Some((b"Bearer ", token @ ([b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~']))) => {
            Ok(Some(token))
        }
        _ => any_authorization(value),
    }
}

#[inline(never)]
fn any_authorization(value: &[u8]) -> Result<Option<&[u8]>, Reason> {
    of_scheme(value, b"bearer")
}

/// The token of an `Authorization` field of this scheme, which is in small letters.
#[inline(never)]
fn of_scheme<'a>(value: &'a [u8], wanted: &[u8]) -> Result<Option<&'a [u8]>, Reason> {
    let value = trim(value);
    match value.split_at_checked(wanted.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(wanted) => {
            match rest.split_first() {
                Some((b' ', _)) => {
                    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                    // The value was trimmed, so something follows the spaces.
                    Ok(rest.get(spaces..))
                }
                Some((b',', _)) => Err(Reason::TwoTokens),
                Some((byte, _)) if is_tchar(*byte) => other_scheme(value, wanted),
                _ => Err(Reason::MalformedRequest),
            }
        }
        _ => other_scheme(value, wanted),
    }
}

fn other_scheme<'a>(value: &'a [u8], wanted: &[u8]) -> Result<Option<&'a [u8]>, Reason> {
    let Some(first) = value.first() else { return Ok(None) };
    if !is_tchar(*first) || !value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(Reason::MalformedRequest);
    }
    // `Basic eA==, Bearer t`: nothing to us, a token to a more obliging reader.
    let mut before = b'-';
    for window in value.windows(wanted.len().saturating_add(1)) {
        if !is_tchar(before)
            && matches!(window.split_last(), Some((b' ' | b'\t', word)) if word.eq_ignore_ascii_case(wanted))
        {
            return Err(Reason::TwoTokens);
        }
        before = window.first().copied().unwrap_or(before);
    }
    Ok(None)
}

/// What follows the prefix, which is written in any case as a scheme is. A value without it may be a
/// token to another reader, so it isn't "no token"; an empty one is, as on Kong a removed header is.
fn after<'a>(prefix: &str, value: &'a [u8]) -> Result<Option<&'a [u8]>, Reason> {
    if value.is_empty() {
        return Ok(None);
    }
    match value.split_at_checked(prefix.len()) {
        Some((start, token)) if start.eq_ignore_ascii_case(prefix.as_bytes()) => {
            non_empty(trim(token)).map(Some).ok_or(Reason::MalformedRequest)
        }
        _ => Err(Reason::MalformedRequest),
    }
}

/// Whether two header names are one to a reader that maps `-` and whatever is neither letter nor
/// digit to `_` (CGI, RFC 3875, section 4.1.18, and what came after it).
pub(crate) fn same_header(name: &[u8], other: &[u8]) -> bool {
    let fold =
        |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == other.len() && name.iter().map(fold).eq(other.iter().map(fold))
}

/// The pairs of a Cookie field (RFC 6265, section 4.2).
fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b';').map(trim)
}

/// The value if the pair's name is exactly `wanted`. Quotes stay, and then break the grammar:
/// whether they belong to the value is not agreed upon.
fn cookie_value<'a>(pair: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = pair.split_at_checked(equals)?;
    (trim(name) == wanted).then(|| trim(value.get(1..).unwrap_or_default()))
}

/// A Cookie field's value without the cookies called `name`; empty if nothing is left.
pub fn without_cookie(value: &[u8], name: &str) -> Vec<u8> {
    let kept = cookies(value)
        .filter(|pair| !pair.is_empty() && cookie_value(pair, name.as_bytes()).is_none());
    kept.collect::<Vec<_>>().join(&b"; "[..])
}

/// A request target without the query parameters called `name`, in any encoding of that name.
pub fn without_query(target: &[u8], name: &str) -> Vec<u8> {
    let Some((path, query)) = split_query(target) else { return target.to_vec() };
    let mut kept = path.to_vec();
    let mut separator = b'?';
    let (mut first, mut removed) = (true, false);
    for piece in query.split_inclusive(|byte| is_separator(*byte)) {
        let (parameter, next) = match piece.split_last() {
            Some((last, parameter)) if is_separator(*last) => (parameter, *last),
            _ => (piece, b'&'),
        };
        if parameter_value(parameter, name.as_bytes()).is_none() {
            kept.push(if first { b'?' } else { separator });
            kept.extend_from_slice(parameter);
            first = false;
        } else {
            removed = true;
        }
        separator = next;
    }
    if removed { kept } else { target.to_vec() }
}

fn split_query(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = target.iter().position(|byte| *byte == b'?')?;
    let (path, query) = target.split_at_checked(mark)?;
    Some((path, query.get(1..).unwrap_or_default()))
}

/// `;` separates too, to some readers; `#` should not be here, and hides nothing.
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'#')
}

/// The raw value if the parameter's decoded name is `wanted`; empty without a `=`.
fn parameter_value<'a>(parameter: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let equals = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
    let (name, value) = parameter.split_at_checked(equals)?;
    same_name(name, wanted).then(|| value.get(1..).unwrap_or_default())
}

/// Compares while decoding, so that nothing is allocated for names that differ.
fn same_name(name: &[u8], wanted: &[u8]) -> bool {
    let mut rest = name;
    let mut wanted = wanted.iter();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = match first {
            b'%' => crate::request::path::hex_pair(tail).unwrap_or((b'%', tail)),
            b'+' => (b' ', tail),
            byte => (*byte, tail),
        };
        if wanted.next() != Some(&byte) {
            return false;
        }
        rest = tail;
    }
    wanted.next().is_none()
}

/// A parameter's value, decoded where there is something to decode. `+` stays out of it: it is a
/// space in a form, and no token has one.
fn decoded(value: &[u8]) -> Result<Cow<'_, [u8]>, Reason> {
    if value.contains(&b'+') {
        return Err(Reason::MalformedRequest);
    }
    if !value.contains(&b'%') {
        return Ok(Cow::Borrowed(value));
    }
    if value.len() > TOKEN_BYTES_MAX.saturating_mul(3) {
        return Err(Reason::Malformed);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = if *first == b'%' {
            crate::request::path::hex_pair(tail).ok_or(Reason::MalformedRequest)?
        } else {
            (*first, tail)
        };
        bytes.push(byte);
        rest = tail;
    }
    Ok(Cow::Owned(bytes))
}

/// White space around a field value is not part of it (RFC 9110, section 5.5).
fn trim(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', tail)) = value.split_first() {
        value = tail;
    }
    while let Some((b' ' | b'\t', head)) = value.split_last() {
        value = head;
    }
    value
}

fn non_empty(value: &[u8]) -> Option<&[u8]> {
    (!value.is_empty()).then_some(value)
}
