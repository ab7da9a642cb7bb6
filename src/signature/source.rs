//! Where an issuer's keys come from.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::VerifyKey;
use crate::callout::{Callout, Uri};

/// Where an issuer's keys come from.
pub enum KeySource {
    /// From the document.
    Inline(Arc<Vec<VerifyKey>>),
    /// From a JWK Set.
    Jwks {
        /// The JWK Set's address, or none until discovery has told it.
        at: JwksAt,
        /// How it is fetched.
        call: Callout,
        /// Envoy's cluster for the set, where metadata names another host than its own.
        set_cluster: Option<String>,
        /// How it is kept.
        cache: JwksCache,
    },
    /// One key per credential.
    Credentials(Credentials),
}

/// How the address of a JWK Set is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JwksAt {
    /// It is in the document.
    Uri(Uri),
    /// It is in a metadata document (OpenID Connect Discovery, RFC 8414) whose `issuer` must equal
    /// the configured one.
    Discovery(Uri),
}

/// How a JWK Set is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JwksCache {
    /// Seconds for which a set is fresh when the answer doesn't say.
    pub ttl_s: u64,
    /// The most that Cache-Control may ask for.
    pub ttl_s_max: u64,
    /// Seconds for which an old set serves while the endpoint fails.
    pub stale_s_max: u64,
    /// Seconds between refetches that an unknown `kid` may cause.
    pub refetch_s: u64,
    /// The most keys.
    pub keys_max: usize,
    /// The most bytes.
    pub bytes_max: usize,
}

/// Keys of single credentials.
pub struct Credentials {
    /// From the document, by key id.
    pub inline: Vec<Credential>,
    /// From a server.
    pub lookup: Option<Lookup>,
    /// Whether short HMAC secrets are admitted.
    pub allow_weak_secret: bool,
    /// How a credential's secret is written.
    pub encoding: SecretEncoding,
}

/// How an HMAC secret is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecretEncoding {
    /// Its bytes are the text's.
    Utf8,
    /// Base64 of either alphabet, with or without padding (RFC 4648, sections 4 and 5).
    Base64,
}

impl SecretEncoding {
    /// The secret's bytes; nothing if it isn't written so.
    pub fn decode(self, written: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            SecretEncoding::Utf8 => Some(Cow::Borrowed(written)),
            SecretEncoding::Base64 => {
                let end = written.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
                let to_url = |byte: &u8| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                };
                let text: Vec<u8> = written.get(..end)?.iter().map(to_url).collect();
                URL_SAFE_NO_PAD.decode(text).ok().map(Cow::Owned)
            }
        }
    }
}

/// One credential of the document.
pub struct Credential {
    /// Its id: the token's `iss` (or `kid`), as in Kong's jwt plugin.
    pub key: String,
    /// What verifies it.
    pub verify: Arc<VerifyKey>,
    /// The consumer that it belongs to.
    pub consumer: Option<String>,
}

/// Credentials at a server in the shape of Kong's Admin API.
pub struct Lookup {
    /// The address with `{key}` in its path.
    pub uri: Uri,
    /// The consumer's address with `{key}` in its path.
    pub consumer_uri: Option<Uri>,
    /// How it is called.
    pub call: Callout,
    /// Seconds for which a credential is kept.
    pub ttl_s: u64,
    /// Seconds for which its absence is kept.
    pub negative_ttl_s: u64,
    /// New ids asked for a second at most.
    pub calls_per_s_max: u64,
}

#[cfg(test)]
mod tests {
    use super::SecretEncoding::{Base64, Utf8};

    #[test]
    fn secrets_are_written_in_either_alphabet() {
        for written in ["-_-_", "+/+/", "-/+_"] {
            assert_eq!(Base64.decode(written.as_bytes()).unwrap().as_ref(), b"\xfb\xff\xbf");
        }
        for written in ["YWI", "YWI="] {
            assert_eq!(Base64.decode(written.as_bytes()).unwrap().as_ref(), b"ab");
        }
        assert_eq!(Utf8.decode(b"YWI=").unwrap().as_ref(), b"YWI=");
        for bad in ["a b", "Y", "YW=I", "YWJ"] {
            assert!(Base64.decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
