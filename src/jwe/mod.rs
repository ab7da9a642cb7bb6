//! Encrypted tokens: the compact serialization of RFC 7516, opened with keys of ours.
//!
//! [`open`] says what a token holds and which key it was encrypted for, nothing of whether it is
//! true: with a public key anyone can encrypt. It knows neither issuers nor claims, and there is
//! one outcome for whatever went wrong with a key or a tag: which of these it was would help
//! whoever tries out ciphertexts (RFC 7516, section 11.5). Nothing in a token's own header is ever
//! a key or the address of one.

mod agreement;
mod algorithm;
mod content;
mod header;
mod key;
mod rsa_oaep;
mod wrap;

#[cfg(test)]
mod made;
#[cfg(test)]
pub(crate) mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use algorithm::{Encryption, KeyAlgorithm};
pub use header::Replicated;
pub use key::Key;

use header::Header;

/// The most bytes of a header. One that holds no certificates has a few hundred.
pub const HEADER_BYTES_MAX: usize = 4_096;

/// Why a token isn't opened, for whoever runs the gateway. Clients hear of no difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The header can't be read, asks for an extension or an algorithm that isn't there, or the
    /// other segments haven't the form that it says.
    Form,
    /// No key of ours is meant: another `kid`, or other algorithms than a key is for.
    NoKey,
    /// The keys that fit don't open it.
    NotOpened,
}

/// What a token holds.
pub struct Opened {
    /// What was encrypted.
    pub plaintext: Vec<u8>,
    /// The position of the key that opened it.
    pub key: usize,
    /// Whether that key is a secret which the sender has too. Otherwise the sender is anyone.
    pub is_shared: bool,
    /// `typ` as written.
    pub typ: Option<String>,
    /// Whether the header says that a token is inside (`cty`); nothing if it says nothing.
    pub is_nested: Option<bool>,
    /// Claims that the header repeats.
    pub replicated: Replicated,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// The segments of a token (RFC 7516, section 7.1).
struct Segments<'a> {
    /// Header as it stands there: it is authenticated with the content.
    protected: &'a [u8],
    encrypted_key: Vec<u8>,
    iv: Vec<u8>,
    ciphertext: Vec<u8>,
    tag: Vec<u8>,
}

/// Opens a token with one of `keys`. The caller bounds the number of bytes.
///
/// # Errors
/// Why it isn't opened.
pub fn open(token: &[u8], keys: &[Key]) -> Result<Opened, Fault> {
    let (segments, header) = read(token).ok_or(Fault::Form)?;
    let (algorithm, encryption) = (header.algorithm, header.encryption);
    if segments.iv.len() != encryption.iv_bytes() || segments.tag.len() != encryption.tag_bytes() {
        return Err(Fault::Form);
    }
    let fits = |key: &&(usize, &Key)| key.1.is_for(algorithm, encryption);
    let all: Vec<(usize, &Key)> = keys.iter().enumerate().collect();
    let fitting: Vec<_> = all.iter().filter(fits).collect();
    let named: Vec<_> = match &header.kid {
        Some(kid) => fitting.iter().filter(|key| key.1.kid() == Some(kid)).collect(),
        None => fitting.iter().collect(),
    };
    // As with keys that verify: one that the token names goes before those without a name.
    let meant = match named.is_empty() {
        true => fitting.iter().filter(|key| key.1.kid().is_none()).collect(),
        false => named,
    };
    if meant.is_empty() {
        return Err(Fault::NoKey);
    }
    let opens = |(position, key): &(usize, &Key)| {
        let content_key = key.content_key(&header, &segments.encrypted_key)?;
        let plaintext = content::open(encryption, &content_key.bytes, &segments)?;
        // Asked last: a key that wasn't wrapped rightly costs what a wrong tag costs.
        content_key.is_good.then_some((*position, plaintext))
    };
    let opened = meant.into_iter().take(algorithm.tries_max()).find_map(|key| opens(key));
    let (key, plaintext) = opened.ok_or(Fault::NotOpened)?;
    Ok(Opened {
        plaintext,
        key,
        is_shared: algorithm.is_shared(),
        typ: header.typ,
        is_nested: header.is_nested,
        replicated: header.replicated,
    })
}

/// The five segments, each in its one spelling, and the header.
fn read(token: &[u8]) -> Option<(Segments<'_>, Header)> {
    let mut parts = token.split(|byte| *byte == b'.');
    let protected = parts.next()?;
    let mut decoded = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
    let segments = Segments {
        protected,
        encrypted_key: decoded()?,
        iv: decoded()?,
        ciphertext: decoded()?,
        tag: decoded()?,
    };
    if parts.next().is_some() || protected.len() > HEADER_BYTES_MAX / 3 * 4 {
        return None;
    }
    Some((segments, Header::parse(&URL_SAFE_NO_PAD.decode(protected).ok()?)?))
}
