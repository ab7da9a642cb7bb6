//! Fields of status lists.

use super::{CALL, DAY_S};
use crate::config::shape::{Kind, Need, Shape, field};

use Kind::{OneOf, Url, Whole};
use Need::Required;

pub(super) static STATUS_LIST: Shape = Shape {
    own: &[
        field(
            "uri_prefix",
            Url,
            Required,
            "What the URL of each list begins with; ends in `/`. A token that names another is refused.",
        ),
        field(
            "ttl_s_max",
            Whole(1, DAY_S),
            Need::Whole(300),
            "Seconds for which a list is believed at most; a status that changed holds within them.",
        ),
        field("lists_max", Whole(1, 100), Need::Whole(64), "Lists in use at once."),
        field(
            "bytes_max",
            Whole(64, 1_048_576),
            Need::Whole(1_048_576),
            "Bytes of a list at most once it is inflated: eight statuses of one bit each.",
        ),
        field(
            "calls_per_s_max",
            Whole(1, 1_000),
            Need::Whole(20),
            "Lists called for a second at most; beyond them `failure_mode` decides.",
        ),
        field(
            "failure_mode",
            OneOf(&["deny", "allow"]),
            Need::Text("deny"),
            "What happens to a token whose list can't be had and isn't kept: 503, or it passes and is counted.",
        ),
    ],
    shared: CALL,
};
