//! What a client is told of a protected resource: who gives tokens for it, and how they are carried
//! (RFC 9728).

use super::Answer;

/// Seconds for which a client may go by what it was told.
const MAX_AGE_S: u64 = 300;

/// The metadata of a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Where clients find it (RFC 9728, section 3.1); free of `"` and `\`.
    pub url: String,
    /// The JSON object (section 3.2).
    pub body: String,
}

/// How it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// With GET or HEAD.
    Itself,
    /// With the preflight of the Fetch standard that announces GET or HEAD.
    Preflight,
}

impl Metadata {
    /// The answer to anyone, scripts from elsewhere among them: it holds nothing but what the
    /// configuration publishes.
    pub fn answer(&self, asked: Asked) -> Answer {
        let is_preflight = asked == Asked::Preflight;
        let mut headers = vec![
            ("cache-control".to_owned(), format!("public, max-age={MAX_AGE_S}")),
            ("access-control-allow-origin".to_owned(), "*".to_owned()),
        ];
        headers.extend(match is_preflight {
            true => vec![
                ("access-control-allow-methods".to_owned(), "GET, HEAD".to_owned()),
                ("access-control-allow-headers".to_owned(), "*".to_owned()),
            ],
            false => vec![("content-type".to_owned(), "application/json".to_owned())],
        });
        Answer {
            status: if is_preflight { 204 } else { 200 },
            headers,
            body: if is_preflight { Vec::new() } else { self.body.clone().into_bytes() },
            details: "resource_metadata",
            why: None,
        }
    }
}
