//! Fields of what opens encrypted tokens.

use super::NAME;
use crate::config::shape::{Kind, Need, Shape, field};

use Kind::{Bool, Jwk, List, Object, OneOf};
use Need::{Optional, Required};

/// What an issuer may say of encryption.
pub(super) const POLICIES: &[&str] = &["refuse", "allow", "require", "authenticates"];

pub(super) static DECRYPTION: Shape = Shape {
    own: &[field(
        "keys",
        List(&Object(&DECRYPTION_KEY), 1, 64),
        Required,
        "The keys; a token names one by its `kid`.",
    )],
    shared: &[],
};

static DECRYPTION_KEY: Shape = Shape {
    own: &[
        field(
            "jwk",
            Jwk,
            Required,
            "A private or secret JWK (RFC 7517): `kty` `EC` (P-256, P-384, P-521), `OKP` (X25519), `RSA` (2048 to 4096 bits) or `oct`; an object or its text, best from the environment.",
        ),
        field(
            "issuers",
            List(&NAME, 1, 256),
            Required,
            "Whose tokens it opens: the `iss` inside must be that of one of these.",
        ),
        field(
            "algorithms",
            List(&KEY_ALGORITHM, 1, 7),
            Optional,
            "How the content's key may be known (`alg`). Default: the JWK's own `alg`.",
        ),
        field(
            "encryptions",
            List(&ENCRYPTION, 1, 4),
            Optional,
            "How the content may be encrypted (`enc`). Default: each of these that fits the key.",
        ),
        field(
            "allow_rsa_oaep",
            Bool,
            Need::Bool(false),
            "Whether `RSA-OAEP-256` is accepted: each unknown token that anyone sends then costs 6 ms of CPU and more.",
        ),
    ],
    shared: &[],
};

static KEY_ALGORITHM: Kind = OneOf(&[
    "dir",
    "A128KW",
    "A256KW",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A256KW",
    "RSA-OAEP-256",
]);

static ENCRYPTION: Kind = OneOf(&["A128GCM", "A256GCM", "A128CBC-HS256", "A256CBC-HS512"]);
