//! Fields of what verifies tokens: keys in the document, key sets, credentials.

use super::{CALL, DAY_S, PEM};
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{ClaimPath, List, Map, Object, OneOf, Opaque, Pem, Secret, Text, Url, Whole};
use Need::{Optional, Required};

pub(super) static KEY: Shape = Shape {
    own: &[
        field("pem", Pem, Optional, "A public key or certificate as PEM."),
        field("jwk", Opaque, Optional, "A JWK (RFC 7517)."),
        field("jwks", Opaque, Optional, "A JWK Set (RFC 7517, section 5)."),
        field(
            "x509",
            Map(&syntax::TEXT, &PEM, 100),
            Optional,
            "Certificates as PEM by `kid`, as Google and Firebase publish them.",
        ),
        field("secret", Secret, Optional, "An HMAC secret."),
    ],
    shared: &[],
};

pub(super) static JWKS: Shape = Shape {
    own: &[
        field(
            "cluster",
            Text(&syntax::TEXT),
            Optional,
            "With `discovery`: Envoy's cluster for the set, where metadata names another host than its own. Default: the issuer's `cluster`.",
        ),
        field(
            "ttl_s",
            Whole(1, 7 * DAY_S),
            Need::Whole(600),
            "Seconds for which a set is fresh; a removed key stops within them.",
        ),
        field(
            "ttl_s_max",
            Whole(1, 7 * DAY_S),
            Need::Whole(DAY_S),
            "The most seconds that Cache-Control may ask for.",
        ),
        field(
            "stale_s_max",
            Whole(0, 30 * DAY_S),
            Need::Whole(DAY_S),
            "Seconds for which an old set serves while the endpoint fails.",
        ),
        field(
            "refetch_s",
            Whole(1, 3600),
            Need::Whole(30),
            "Seconds between the fetches that unknown key ids may cause.",
        ),
        field("keys_max", Whole(1, 1000), Need::Whole(100), "Keys in a set at most."),
        field("bytes_max", Whole(256, 1_048_576), Need::Whole(262_144), "Bytes of a set at most."),
    ],
    shared: &[],
};

pub(super) static CREDENTIALS: Shape = Shape {
    own: &[
        field(
            "claim",
            ClaimPath,
            Optional,
            "The claim that names a token's credential; `kid` is the header's where no claim has that name. Default: `iss`, else the header's `kid`.",
        ),
        field(
            "secret_encoding",
            OneOf(&["utf8", "base64"]),
            Need::Text("utf8"),
            "How the secrets of credentials are written; `base64` is read in either alphabet.",
        ),
        field(
            "inline",
            List(&Object(&CREDENTIAL), 1, 65_536),
            Optional,
            "Credentials in the document.",
        ),
        field(
            "lookup",
            Object(&LOOKUP),
            Optional,
            "Credentials at a server, in the shape of Kong's Admin API.",
        ),
    ],
    shared: &[],
};

static CREDENTIAL: Shape = Shape {
    own: &[
        field("key", Text(&syntax::TEXT), Required, "Its id: the token's `iss`."),
        field("secret", Secret, Optional, "Its HMAC secret."),
        field("pem", Pem, Optional, "Its public key as PEM."),
        field("consumer", Text(&syntax::TEXT), Optional, "The consumer that it belongs to."),
    ],
    shared: &[],
};

static LOOKUP: Shape = Shape {
    own: &[
        field("uri", Url, Required, "The credential's address, with `{key}` in its path."),
        field("consumer_uri", Url, Optional, "Its consumer's address, with `{key}` in its path."),
        field(
            "ttl_s",
            Whole(1, DAY_S),
            Need::Whole(600),
            "Seconds for which a credential is kept.",
        ),
        field(
            "negative_ttl_s",
            Whole(0, 3600),
            Need::Whole(5),
            "Seconds for which its absence is kept.",
        ),
        field(
            "calls_per_s_max",
            Whole(1, 100_000),
            Need::Whole(400),
            "New ids asked for a second at most; beyond them 503.",
        ),
    ],
    shared: CALL,
};
