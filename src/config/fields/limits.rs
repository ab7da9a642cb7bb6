//! Fields of limits, of their plans, and of what several gateways share.

use super::*;

pub(super) static RATE_LIMIT: Shape = Shape {
    own: &[
        field("name", Text(&syntax::NAME), Required, "The name that rules use and metrics carry."),
        field("key", List(&KEY_PART, 1, 8), Required, "What is counted apart."),
        field("limit", Whole(1, 1_000_000_000), Optional, "Requests per `per_s`."),
        field("per_s", Whole(1, YEAR_S), Optional, "Seconds."),
        field(
            "burst",
            Whole(1, 1_000_000_000),
            Optional,
            "Requests at one instant after idle. Default: `limit`.",
        ),
        field("quota", Whole(1, 1_000_000_000_000), Optional, "Requests per `window`."),
        field("window", OneOf(&["hour", "day", "month"]), Optional, "A calendar window in UTC."),
        field(
            "tiers",
            List(&Object(&TIER), 1, 16),
            Optional,
            "Other numbers for some verified tokens, over the same counter; the first that holds counts.",
        ),
        field(
            "failure_mode",
            OneOf(&["deny", "allow"]),
            Need::Text("deny"),
            "What happens when the count can't be kept.",
        ),
        field(
            "shadow",
            Bool,
            Need::Bool(false),
            "Whether its refusals are only counted; no answer tells of it.",
        ),
        field(
            "headers",
            Bool,
            Need::Bool(false),
            "Whether allowed answers carry RateLimit headers too.",
        ),
        field(
            "charge",
            OneOf(&["accepted", "all"]),
            Need::Text("accepted"),
            "Whether refused requests are charged too; a key of `address`, `route` and `header:NAME` alone.",
        ),
        field(
            "sync",
            Either(&TRUE, &MEETING),
            Optional,
            "Where it meets the same limit of other gateways; `true`: in the Redis of `gateways`. Default: each gateway counts for itself.",
        ),
    ],
    shared: &[],
};

pub(super) static TIER: Shape = Shape {
    own: &[
        field("when", Object(&WHEN), Required, "What the verified token must have."),
        field("limit", Whole(1, 1_000_000_000), Optional, "Requests per `per_s`."),
        field("per_s", Whole(1, YEAR_S), Optional, "Seconds."),
        field(
            "burst",
            Whole(1, 1_000_000_000),
            Optional,
            "Requests at one instant after idle. Default: `limit`.",
        ),
        field(
            "quota",
            Whole(1, 1_000_000_000_000),
            Optional,
            "Requests per `window`, which is that of the limit.",
        ),
    ],
    shared: &[],
};

pub(super) static WHEN: Shape = Shape {
    own: &[field(
        "claims",
        Map(&syntax::CLAIM, &SCALARS, 64),
        Required,
        "Claims and the values of which they must have one.",
    )],
    shared: &[],
};

const WEBDIS: Field =
    field("uri", Url, Required, "The address of Webdis, which speaks HTTP for Redis.");

pub(super) static SYNC: Shape = Shape {
    own: &[
        WEBDIS,
        field(
            "every_ms",
            Whole(50, 60_000),
            Need::Whole(200),
            "Milliseconds by which the gateways' counts may differ.",
        ),
    ],
    shared: CALL,
};

static MEETING: Kind = Object(&SYNC);

pub(super) static GATEWAYS: Shape = Shape {
    own: &[
        WEBDIS,
        field(
            "every_ms",
            Whole(50, 60_000),
            Need::Whole(200),
            "Milliseconds within which a gateway hears what others have told.",
        ),
        field(
            "revocations",
            Bool,
            Need::Bool(true),
            "Whether tokens that calls revoke at one gateway are refused at all.",
        ),
        field(
            "answers",
            Bool,
            Need::Bool(false),
            "Whether they share answers of token endpoints, so that one of them asks for all; needs `revocations`.",
        ),
        field(
            "failure_mode",
            OneOf(&["allow", "deny"]),
            Need::Text("allow"),
            "What happens to tokens until this gateway has first read which are revoked.",
        ),
    ],
    shared: CALL,
};
