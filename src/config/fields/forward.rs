//! Fields of what goes to the API.

use super::HEADER;
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{Bool, ClaimPath, Either, List, Map, Object, Text, Whole};
use Need::{Optional, Required};

pub(super) static FORWARD: Shape = Shape {
    own: &[
        field(
            "claims",
            Either(&CLAIMS_TO_HEADERS, &CLAIM_LIST),
            Optional,
            "Claims and the headers that they become.",
        ),
        field("token", Bool, Need::Bool(true), "Whether the token stays in the request."),
        field(
            "payload_header",
            Text(&syntax::HEADER),
            Optional,
            "A header for the payload segment of the token.",
        ),
        field(
            "claim_bytes_max",
            Whole(1, 16_384),
            Need::Whole(8192),
            "Bytes of one forwarded claim at most; a longer one is left out and counted.",
        ),
    ],
    shared: &[],
};

static CLAIMS_TO_HEADERS: Kind = Map(&syntax::CLAIM, &HEADER, 64);
static CLAIM_LIST: Kind = List(&Object(&CLAIM_TO_HEADER), 1, 64);

static CLAIM_TO_HEADER: Shape = Shape {
    own: &[
        field("claim", ClaimPath, Required, "The claim."),
        field("header", Text(&syntax::HEADER), Required, "The header that it becomes."),
    ],
    shared: &[],
};
