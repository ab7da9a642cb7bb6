//! Fields of rules: which requests they cover, and what they ask of them.

use super::*;

// What a rule and each of its alternatives may ask.
const AUDIENCES: Field =
    field("audiences", List(&TEXT, 1, 64), Optional, "One of these must be in `aud`.");
const SCOPES_ALL: Field =
    field("scopes_all", List(&SCOPE, 1, 64), Optional, "Scopes that the token must all have.");
const SCOPES_ANY: Field =
    field("scopes_any", List(&SCOPE, 1, 64), Optional, "Scopes of which the token must have one.");
const CLAIMS: Field = field(
    "claims",
    Map(&syntax::CLAIM, &SCALARS, 64),
    Optional,
    "Claims and the values of which they must have one.",
);

pub(super) static RULE: Shape = Shape {
    own: &[
        field("match", Object(&MATCH), Required, "Which requests it covers; `{}`: all."),
        field(
            "name",
            Text(&syntax::NAME),
            Optional,
            "What logs call it. Default: its place, from 0.",
        ),
        field(
            "access",
            OneOf(&["required", "optional", "permissive", "public"]),
            Need::Text("required"),
            "Whether a token is needed. `optional`: none passes as anonymous, a bad one is refused; `permissive`: a bad one is taken out and its request passes as anonymous; `public`: tokens aren't read.",
        ),
        field("issuers", List(&NAME, 1, 256), Optional, "Issuers that it admits. Default: all."),
        AUDIENCES,
        SCOPES_ALL,
        SCOPES_ANY,
        CLAIMS,
        field(
            "any",
            List(&Object(&ALTERNATIVE), 1, 16),
            Optional,
            "Alternatives: beside all else one of these must hold.",
        ),
        field(
            "acr_values",
            List(&ACR, 1, 16),
            Optional,
            "How the user must have logged in: the token's `acr` must be one of these (RFC 9470).",
        ),
        field(
            "max_age_s",
            Whole(1, YEAR_S),
            Optional,
            "Seconds since the user last logged in, the token's `auth_time`, at most (RFC 9470).",
        ),
        field(
            "resource",
            Object(&RESOURCE),
            Optional,
            "What clients are told of the resource of these requests (RFC 9728).",
        ),
        field(
            "introspect",
            Bool,
            Need::Bool(false),
            "Whether the introspection endpoint is asked too.",
        ),
        field("limits", List(&NAME, 1, 16), Optional, "Limits that hold."),
        field(
            "shadow",
            Bool,
            Need::Bool(false),
            "Whether its refusals are only counted and its requests go on as they came.",
        ),
        field(
            "route_stable",
            Bool,
            Need::Bool(false),
            "The promise that headers set here don't change the route.",
        ),
    ],
    shared: &[],
};

pub(super) static ALTERNATIVE: Shape =
    Shape { own: &[AUDIENCES, SCOPES_ALL, SCOPES_ANY, CLAIMS], shared: &[] };

pub(super) static MATCH: Shape = Shape {
    own: &[
        field("path", Text(&syntax::PATH), Optional, "Exactly this path."),
        field("path_prefix", Text(&syntax::PATH), Optional, "This path and those below it."),
        field(
            "path_template",
            Text(&syntax::PATH),
            Optional,
            "Segment by segment; `{name}` takes one.",
        ),
        field("methods", List(&METHOD, 1, 32), Optional, "One of these methods."),
        field("hosts", List(&HOST, 1, 256), Optional, "One of these hosts, without port."),
        field("route", Text(&syntax::TEXT), Optional, "The gateway's name of the route."),
        field(
            "ignore_case",
            Bool,
            Need::Bool(false),
            "Whether letters of the path count in any case, for an API that takes them so.",
        ),
        field(
            "route_stable",
            Bool,
            Need::Bool(false),
            "The promise that headers set here don't change the route.",
        ),
    ],
    shared: &[],
};
