//! The algorithms of encrypted tokens (RFC 7518, sections 4 and 5), by their names.

/// How the key of the content is known: `alg`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAlgorithm {
    /// The shared secret is the key (section 4.5).
    Dir,
    /// Wrapped by AES under a shared secret of 128 bits (section 4.4).
    A128Kw,
    /// The same with 256 bits.
    A256Kw,
    /// Agreed on (section 4.6).
    EcdhEs,
    /// Wrapped under 128 bits that are agreed on.
    EcdhEsA128Kw,
    /// The same with 256 bits.
    EcdhEsA256Kw,
    /// Encrypted to an RSA key (section 4.3).
    RsaOaep256,
}

impl KeyAlgorithm {
    /// All of them.
    pub const ALL: [KeyAlgorithm; 7] = [
        KeyAlgorithm::Dir,
        KeyAlgorithm::A128Kw,
        KeyAlgorithm::A256Kw,
        KeyAlgorithm::EcdhEs,
        KeyAlgorithm::EcdhEsA128Kw,
        KeyAlgorithm::EcdhEsA256Kw,
        KeyAlgorithm::RsaOaep256,
    ];

    /// The algorithm of this name.
    pub fn parse(name: &str) -> Option<KeyAlgorithm> {
        KeyAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            KeyAlgorithm::Dir => "dir",
            KeyAlgorithm::A128Kw => "A128KW",
            KeyAlgorithm::A256Kw => "A256KW",
            KeyAlgorithm::EcdhEs => "ECDH-ES",
            KeyAlgorithm::EcdhEsA128Kw => "ECDH-ES+A128KW",
            KeyAlgorithm::EcdhEsA256Kw => "ECDH-ES+A256KW",
            KeyAlgorithm::RsaOaep256 => "RSA-OAEP-256",
        }
    }

    /// Whether it works under a secret that sender and recipient share: who else could have
    /// encrypted so?
    pub const fn is_shared(self) -> bool {
        match self {
            KeyAlgorithm::Dir | KeyAlgorithm::A128Kw | KeyAlgorithm::A256Kw => true,
            KeyAlgorithm::EcdhEs
            | KeyAlgorithm::EcdhEsA128Kw
            | KeyAlgorithm::EcdhEsA256Kw
            | KeyAlgorithm::RsaOaep256 => false,
        }
    }

    /// The most keys that are tried for one token: those of the `kid` that it names, or those that
    /// fit where it names none. A power under an RSA key costs ten times what agreement does.
    pub const fn tries_max(self) -> usize {
        match self {
            KeyAlgorithm::RsaOaep256 => 2,
            KeyAlgorithm::Dir
            | KeyAlgorithm::A128Kw
            | KeyAlgorithm::A256Kw
            | KeyAlgorithm::EcdhEs
            | KeyAlgorithm::EcdhEsA128Kw
            | KeyAlgorithm::EcdhEsA256Kw => 8,
        }
    }

    /// Bytes of the key that wraps the content's, where AES does.
    pub const fn wrapping_bytes(self) -> Option<usize> {
        match self {
            KeyAlgorithm::A128Kw | KeyAlgorithm::EcdhEsA128Kw => Some(16),
            KeyAlgorithm::A256Kw | KeyAlgorithm::EcdhEsA256Kw => Some(32),
            KeyAlgorithm::Dir | KeyAlgorithm::EcdhEs | KeyAlgorithm::RsaOaep256 => None,
        }
    }
}

/// How the content is encrypted: `enc`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// AES in Galois/Counter Mode (section 5.3).
    A128Gcm,
    /// The same with 256 bits.
    A256Gcm,
    /// AES in CBC mode with HMAC-SHA-256 (section 5.2).
    A128CbcHs256,
    /// The same with AES-256 and HMAC-SHA-512.
    A256CbcHs512,
}

impl Encryption {
    /// All of them.
    pub const ALL: [Encryption; 4] = [
        Encryption::A128Gcm,
        Encryption::A256Gcm,
        Encryption::A128CbcHs256,
        Encryption::A256CbcHs512,
    ];

    /// The encryption of this name.
    pub fn parse(name: &str) -> Option<Encryption> {
        Encryption::ALL.into_iter().find(|encryption| encryption.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Encryption::A128Gcm => "A128GCM",
            Encryption::A256Gcm => "A256GCM",
            Encryption::A128CbcHs256 => "A128CBC-HS256",
            Encryption::A256CbcHs512 => "A256CBC-HS512",
        }
    }

    /// Bytes of its key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Encryption::A128Gcm => 16,
            Encryption::A256Gcm | Encryption::A128CbcHs256 => 32,
            Encryption::A256CbcHs512 => 64,
        }
    }

    /// Bytes of its initialization vector.
    pub const fn iv_bytes(self) -> usize {
        match self {
            Encryption::A128Gcm | Encryption::A256Gcm => 12,
            Encryption::A128CbcHs256 | Encryption::A256CbcHs512 => 16,
        }
    }

    /// Bytes of its tag; a shorter one is none.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Encryption::A128Gcm | Encryption::A256Gcm | Encryption::A128CbcHs256 => 16,
            Encryption::A256CbcHs512 => 32,
        }
    }
}
