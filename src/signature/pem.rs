//! The one PEM block of a text (RFC 7468). Line lengths and white space are free, since
//! configurations fold and indent.

use super::der;
use super::error::KeyError;
use super::key::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The public key in a PEM text.
pub(super) fn public_key(text: &str) -> Result<PublicKey, KeyError> {
    let (label, der) = only_block(text)?;
    match label {
        "PUBLIC KEY" => der::from_spki(&der),
        "RSA PUBLIC KEY" => der::from_pkcs1(&der),
        "CERTIFICATE" | "X509 CERTIFICATE" => der::from_certificate(&der),
        label if label.ends_with("PRIVATE KEY") => Err(KeyError::PrivateKey),
        label => Err(KeyError::PemLabel(label.chars().take(40).collect())),
    }
}

/// The DER of the one certificate in a PEM text.
pub fn certificate(text: &str) -> Option<Vec<u8>> {
    only_block(text).ok().filter(|(label, _)| *label == "CERTIFICATE").map(|(_, der)| der)
}

/// Label and content of the one PEM block of a text, of a private key too.
pub(super) fn private_block(text: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let (label, rest) = begin(text)?;
    content(label, rest)
}

/// Whether a text holds a PEM block, whatever is in it.
pub(super) fn looks_like_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|window| window == b"-----BEGIN ")
}

/// Label and content of the one block, which holds nothing private; text before and after it is
/// allowed.
fn only_block(text: &str) -> Result<(&str, Vec<u8>), KeyError> {
    let (label, rest) = begin(text)?;
    match label.ends_with("PRIVATE KEY") {
        true => Err(KeyError::PrivateKey),
        false => content(label, rest),
    }
}

/// The first block's label, and what follows.
fn begin(text: &str) -> Result<(&str, &str), KeyError> {
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyError::NotPem("got no BEGIN line"))?;
    rest.split_once("-----").ok_or(KeyError::NotPem("the BEGIN line has no end"))
}

/// The content of the block with this label, which must be the last one.
fn content<'a>(label: &'a str, rest: &str) -> Result<(&'a str, Vec<u8>), KeyError> {
    let (content, rest) =
        rest.split_once("-----END ").ok_or(KeyError::NotPem("got no END line"))?;
    let (end, rest) =
        rest.split_once("-----").ok_or(KeyError::NotPem("the END line has no end"))?;
    if label != end {
        return Err(KeyError::NotPem("BEGIN and END name different things"));
    }
    if rest.contains("-----BEGIN ") {
        return Err(KeyError::NotPem("got more than one block"));
    }
    let digits: Vec<u8> = content.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = STANDARD
        .decode(digits)
        .map_err(|_| KeyError::NotPem("the text between the lines isn't base64"))?;
    Ok((label, der))
}
