//! Fields of a protected resource's metadata (RFC 9728, section 2).

use super::{SCOPE, URL};
use crate::config::shape::{Kind, Need, Shape, field};
use crate::config::syntax;

use Kind::{Bool, List, OneOf, Text, Url};
use Need::{Optional, Required};

pub(super) static RESOURCE: Shape = Shape {
    own: &[
        field(
            "resource",
            Url,
            Required,
            "Its identifier: the https URL under which clients reach it, without query and fragment.",
        ),
        field(
            "authorization_servers",
            List(&URL, 1, 16),
            Required,
            "Identifiers of the authorization servers that give tokens for it.",
        ),
        field(
            "scopes_supported",
            List(&SCOPE, 1, 256),
            Optional,
            "Scopes that clients may ask for.",
        ),
        field(
            "bearer_methods_supported",
            List(&METHOD_SUPPORTED, 1, 3),
            Optional,
            "How clients may send a token (RFC 6750, section 2).",
        ),
        field("resource_name", Text(&syntax::TEXT), Optional, "Its name, for people."),
        field("resource_documentation", Url, Optional, "The address of a page for developers."),
        field(
            "allow_http",
            Bool,
            Need::Bool(false),
            "Whether URLs without TLS are accepted, for tests on one machine.",
        ),
    ],
    shared: &[],
};

static METHOD_SUPPORTED: Kind = OneOf(&["header", "body", "query"]);
