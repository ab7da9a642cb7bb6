//! Fields of the memory that the filter uses, and of what only Kong has.

use super::SLOTS_MAX;
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{Bool, Secret, Text, Whole};
use Need::Optional;

pub(super) static SHARED: Shape = Shape {
    own: &[
        field(
            "secret",
            Secret,
            Optional,
            "Part of the key under which everything in shared memory is named; at least 16 bytes. Required on Kong, and for `sync`.",
        ),
        field(
            "secret_previous",
            Secret,
            Optional,
            "The secret that `secret` takes the place of, or that will take its place: what protects is read under both, and nothing is written with it.",
        ),
        field(
            "tokens_max",
            Whole(16, SLOTS_MAX),
            Need::Whole(65_536),
            "Slots for verified tokens.",
        ),
        field(
            "counters_max",
            Whole(16, 8 * SLOTS_MAX),
            Need::Whole(262_144),
            "Counters in use at once; eight share a slot.",
        ),
        field(
            "answers_max",
            Whole(16, SLOTS_MAX),
            Need::Whole(4096),
            "Slots for token answers and documents.",
        ),
    ],
    shared: &[],
};

pub(super) static MEMORY: Shape = Shape {
    own: &[
        field(
            "tokens_max",
            Whole(1, 1_000_000),
            Need::Whole(16_384),
            "Verified tokens in each worker.",
        ),
        field(
            "bytes_max",
            Whole(65_536, 1_073_741_824),
            Need::Whole(33_554_432),
            "Bytes of them in each worker.",
        ),
    ],
    shared: &[],
};

pub(super) static KONG: Shape = Shape {
    own: &[
        field(
            "wait_uri",
            Text(&syntax::WAIT_URI),
            Optional,
            "Where followers wait: the server block that kong/ ships.",
        ),
        field(
            "auth_plugin",
            Bool,
            Need::Bool(false),
            "The promise that a Kong plugin has authenticated every request.",
        ),
    ],
    shared: &[],
};
