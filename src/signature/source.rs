//! Where an issuer's keys come from.

use std::sync::Arc;

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
