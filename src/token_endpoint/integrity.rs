//! Answers that nobody on their way may change: `no-transform` (RFC 9111, section 5.2.2.6), and
//! what their headers prove of their bytes.

use super::media;

/// What proves the bytes of a body: Digest Fields (RFC 9530) and their forerunners.
pub const DIGESTS: &[&str] = &["content-digest", "repr-digest", "digest", "content-md5"];

/// Whether the body must reach this client as it came.
pub fn is_sealed<'a>(headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> bool {
    headers.into_iter().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        DIGESTS.iter().any(|one| one.as_bytes() == name) || forbids_keeping(&name, value)
    })
}

/// Whether a header, its name in lower case, says that nothing may be served but the very answer: a
/// kept one has another `expires_in`, and fewer headers than a signature (RFC 9421) covers. (A
/// digest goes away with its body.)
pub(super) fn forbids_keeping(name: &[u8], value: &[u8]) -> bool {
    match name {
        b"cache-control" => {
            !media::all_elements(value, |directive| !directive.eq_ignore_ascii_case("no-transform"))
        }
        b"signature" | b"signature-input" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::bytes;
    use super::*;

    #[test]
    fn sealed_answers() {
        for (name, value) in [
            ("Cache-Control", "no-store, No-Transform"),
            ("content-digest", "sha-256=:AA==:"),
            ("Repr-Digest", "sha-256=:AA==:"),
            ("digest", "SHA-256=AA=="),
            ("content-md5", "AA=="),
            ("Signature", "sig1=:AA==:"),
            ("signature-input", "sig1=()"),
        ] {
            assert!(
                is_sealed(bytes(&[("content-type", "application/json"), (name, value)])),
                "{name}"
            );
        }
        assert!(!is_sealed(bytes(&[
            ("cache-control", "no-store"),
            ("want-content-digest", "sha-256=1"),
            ("etag", "\"a\"")
        ])));
    }
}
