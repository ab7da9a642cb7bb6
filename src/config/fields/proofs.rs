//! Fields of what a request proves beside its token, and of what counts once.

use super::{NAME, PUBLIC_KEY_ALGORITHMS, SLOTS_MAX, URL};
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{Bool, List, OneOf, Text, Whole};
use Need::{Optional, Required};

pub(super) static DPOP: Shape = Shape {
    own: &[
        field(
            "required",
            Bool,
            Need::Bool(false),
            "Whether tokens that are bound to nothing are refused too.",
        ),
        field(
            "algorithms",
            List(&PROOF_ALGORITHM, 1, 15),
            Need::Texts(&["ES256", "Ed25519", "EdDSA"]),
            "With what a proof may be signed.",
        ),
        field(
            "leeway_s",
            Whole(1, 300),
            Need::Whole(60),
            "Seconds by which a proof's `iat` may differ from the gateway's clock.",
        ),
        field(
            "nonce",
            Bool,
            Need::Bool(false),
            "Whether a proof has to hold a nonce of this gateway (`DPoP-Nonce`).",
        ),
        field(
            "origins",
            List(&URL, 1, 64),
            Required,
            "Scheme, host and port under which clients reach the API, as in `https://api.example`: what a proof's `htu` begins with.",
        ),
        field("allow_http", Bool, Need::Bool(false), "Whether an origin without TLS is accepted."),
    ],
    shared: &[],
};

static PROOF_ALGORITHM: Kind = OneOf(PUBLIC_KEY_ALGORITHMS);

pub(super) static MTLS: Shape = Shape {
    own: &[
        field(
            "required",
            Bool,
            Need::Bool(false),
            "Whether tokens that are bound to no certificate are refused too.",
        ),
        field(
            "header",
            Text(&syntax::HEADER),
            Optional,
            "The header in which a balancer vouches for the certificate: Envoy's `x-forwarded-client-cert`, or one with a PEM block. Without it the host's own connection counts (Envoy alone).",
        ),
    ],
    shared: &[],
};

pub(super) static REPLAY: Shape = Shape {
    own: &[
        field(
            "issuers",
            List(&NAME, 1, 256),
            Optional,
            "Issuers each of whose tokens is admitted once, by its `jti`.",
        ),
        field(
            "ids_max",
            Whole(16, 8 * SLOTS_MAX),
            Need::Whole(65_536),
            "Ids of tokens and DPoP proofs that are remembered at once; eight share a slot.",
        ),
        field(
            "scope",
            OneOf(&["gateway", "gateways"]),
            Need::Text("gateway"),
            "Where an id counts once: in this gateway, or at all `gateways`: each request with one then waits for Redis.",
        ),
    ],
    shared: &[],
};
