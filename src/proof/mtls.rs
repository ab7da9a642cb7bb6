//! The certificate that a client has shown (RFC 8705, section 3): what the host says of its own
//! connection, or a balancer in front of it in a header.
//!
//! The client may have a hand in such a header: in what its certificate says, and in what it has
//! sent itself where the balancer appends. So one is read that can be read in one way alone.

use crate::digest::sha256;
use crate::signature::certificate_in_pem;

/// Envoy's header, and the one whose value isn't a certificate alone.
const XFCC: &str = "x-forwarded-client-cert";

/// What one issuer asks of certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mtls {
    /// Whether tokens that are bound to no certificate are refused too.
    pub required: bool,
    /// The header in which a balancer vouches for the certificate; its name in small letters.
    /// Without it the host's own connection counts.
    pub header: Option<String>,
}

/// SHA-256 in hexadecimal digits, as a host writes it.
pub fn of_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = hex_pair(*pair)?;
    }
    Some(bytes)
}

/// The SHA-256 of the certificate that a header of this name vouches for.
pub fn of_header(name: &str, value: &[u8]) -> Option<[u8; 32]> {
    match name.eq_ignore_ascii_case(XFCC) {
        true => of_elements(value),
        false => of_pem(value),
    }
}

/// The certificate of a PEM block, as it is or percent-encoded.
fn of_pem(value: &[u8]) -> Option<[u8; 32]> {
    let text = String::from_utf8(percent_decoded(value)?).ok()?;
    certificate_in_pem(&text).map(|der| sha256(&der))
}

/// The certificate of the last element, which the nearest hop has added.
///
/// Envoy writes the alternative names of a certificate (`URI`, `DNS`) as they are, and one may hold
/// a comma: then what follows looks like an element of its own. So no element before the last may
/// have names; and in the last one each of `Hash` and `Cert` stands once and both mean the same.
fn of_elements(value: &[u8]) -> Option<[u8; 32]> {
    let mut rest = value;
    let mut element = Element::default();
    loop {
        let pair;
        (pair, rest) = next_pair(rest)?;
        element.take(&pair)?;
        match rest.split_first() {
            None => return element.certificate(),
            Some((b';', after)) => rest = after,
            Some((b',', after)) if !element.has_names => {
                (rest, element) = (after, Element::default());
            }
            Some(_) => return None,
        }
    }
}

/// A key and its value without quotes.
type Pair<'a> = (&'a [u8], Vec<u8>);

#[derive(Default)]
struct Element {
    hash: Option<[u8; 32]>,
    cert: Option<[u8; 32]>,
    has_names: bool,
}

impl Element {
    /// Nothing if it has said so before, or says nothing.
    fn take(&mut self, (key, value): &Pair<'_>) -> Option<()> {
        let is = |name: &[u8]| key.eq_ignore_ascii_case(name);
        let (place, found) = match () {
            () if is(b"hash") => (&mut self.hash, of_hex(value)?),
            () if is(b"cert") => (&mut self.cert, of_pem(value)?),
            () => {
                self.has_names |= is(b"uri") || is(b"dns");
                return Some(());
            }
        };
        place.replace(found).is_none().then_some(())
    }

    fn certificate(&self) -> Option<[u8; 32]> {
        match (self.hash, self.cert) {
            (Some(hash), Some(cert)) if hash != cert => None,
            (hash, cert) => hash.or(cert),
        }
    }
}

/// A pair and what follows. Quotes stand around a whole value or nowhere.
fn next_pair(text: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let equals = text.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (text.get(..equals)?.trim_ascii(), text.get(equals + 1..)?);
    if key.is_empty() || !key.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let Some((b'"', quoted)) = value.split_first() else {
        let end = value.iter().position(|byte| matches!(byte, b';' | b',' | b'"'));
        let (value, rest) = value.split_at(end.unwrap_or(value.len()));
        return Some(((key, value.trim_ascii().to_vec()), rest));
    };
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' => return Some(((key, plain), bytes.as_slice().trim_ascii_start())),
            b'\\' => plain.push(*bytes.next()?),
            byte => plain.push(*byte),
        }
    }
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_pair([*bytes.next()?, *bytes.next()?])?,
            byte => *byte,
        });
    }
    Some(decoded)
}

fn hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests;
