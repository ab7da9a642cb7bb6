//! Introspection (RFC 7662): where a token is asked about, and what an answer says of it.

pub mod signed;

use serde_json::{Map, Value};

use super::{Claims, json};
use crate::callout::{Callout, Secret, Uri};
use crate::reply::Reason;
use crate::signature::SigningKey;

/// An endpoint that is asked about tokens.
pub struct Introspection {
    /// SHA-256 of what of this entry shapes an answer: part of each kept answer's key.
    pub digest: [u8; 32],
    /// The endpoint.
    pub uri: Uri,
    /// How it is called.
    pub call: Callout,
    /// How it answers.
    pub kind: IntrospectionKind,
    /// In which form it answers.
    pub response: Response,
    /// How the filter says there who it is.
    pub client_auth: ClientAuth,
    /// Our own client id there.
    pub client_id: Option<String>,
    /// Our own secret there.
    pub client_secret: Option<Secret>,
    /// Our own key there.
    pub client_key: Option<SigningKey>,
    /// Seconds for which "active" is kept at most.
    pub ttl_s_max: u64,
    /// Seconds for which "inactive" is kept.
    pub negative_ttl_s: u64,
    /// Seconds for which "active" is believed beyond that while the endpoint fails.
    pub stale_s_max: u64,
    /// New tokens asked about a second at most.
    pub calls_per_s_max: u64,
}

/// How an introspection endpoint answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IntrospectionKind {
    /// RFC 7662.
    Oauth,
    /// GET: 200 valid, 403 revoked.
    Status,
}

/// The form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Response {
    /// A JSON object, vouched for by the connection that it came on.
    Json,
    /// A JWT that the issuer has signed (RFC 9701).
    Jwt,
}

/// How the filter authenticates at an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    /// Id and secret in `Authorization: Basic` (RFC 6749, section 2.3.1).
    Basic,
    /// Both in the body (the same section).
    Post,
    /// The id in the body, and the certificate of the connection (RFC 8705, section 2).
    Mtls,
    /// A JWT that the filter signs (RFC 7523, section 2.2).
    PrivateKeyJwt,
}

/// How the opaque tokens of an issuer are known.
pub struct OpaqueTokens {
    /// What each of them begins with; may be empty.
    pub prefix: String,
    /// Who knows what they mean.
    pub introspection: Introspection,
}

/// What an answer says.
#[derive(PartialEq)]
pub enum Told {
    /// The token is active, and this is said of it.
    Active(Map<String, Value>),
    /// It isn't. The endpoint should say no more (RFC 7662, section 2.2), and no more is read.
    Inactive,
}

/// An answer of more bytes isn't one.
pub const ANSWER_BYTES_MAX: usize = 65_536;

/// Reads an answer; nothing if it is none, which is the endpoint's failure and not the token's.
pub fn read(kind: IntrospectionKind, status: u16, body: &[u8]) -> Option<Told> {
    match (kind, status) {
        (IntrospectionKind::Status, 200) => Some(Told::Active(Map::new())),
        (IntrospectionKind::Status, 401 | 403 | 404) => Some(Told::Inactive),
        (IntrospectionKind::Oauth, 200) if body.len() <= ANSWER_BYTES_MAX => {
            told(json::object(body).ok()?)
        }
        _ => None,
    }
}

/// What the members of an answer say; nothing if they are none's.
fn told(members: Map<String, Value>) -> Option<Told> {
    // RFC 7662, section 2.2: `active` is required, and a boolean.
    match members.get("active")?.as_bool()? {
        true => Some(Told::Active(members)),
        false => Some(Told::Inactive),
    }
}

/// The claims of an opaque token of the issuer `iss`: the members of its answer, of the types that a
/// JWT's claims have. An `iss` must be that issuer's; it is added where the answer says none.
/// Nothing if the answer can't be of such a token.
pub fn claims(mut members: Map<String, Value>, iss: &str) -> Option<Claims> {
    members.entry("iss").or_insert_with(|| Value::from(iss));
    Claims::from_map(members).ok().filter(|claims| claims.iss.as_deref() == Some(iss))
}

/// Whether the answer is about an access token. Endpoints say of refresh and id tokens too that they
/// are active; some say in a member of their own what it is.
///
/// # Errors
/// [`Reason::WrongType`].
pub fn is_access_token(members: &Map<String, Value>) -> Result<(), Reason> {
    let says = |name: &str, others: &[&str]| {
        let value = members.get(name).and_then(Value::as_str).unwrap_or_default();
        others.iter().any(|other| value.eq_ignore_ascii_case(other))
    };
    let is_other = says("token_use", &["refresh_token", "refresh", "id_token", "id"])
        || says("token_type", &["refresh_token", "id_token"])
        || says("typ", &["refresh", "offline", "id", "logout"]);
    if is_other { Err(Reason::WrongType) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oauth(body: &str) -> Option<Told> {
        read(IntrospectionKind::Oauth, 200, body.as_bytes())
    }

    fn of(body: &str) -> Option<Claims> {
        match oauth(body) {
            Some(Told::Active(members)) => claims(members, "https://idp.example"),
            _ => None,
        }
    }

    /// The example of RFC 7662, section 2.2.
    #[test]
    fn the_example_of_the_rfc() {
        const EXAMPLE: &str = r#"{"active": true, "client_id": "l238j323ds-23ij4",
            "username": "jdoe", "scope": "read write dolphin", "sub": "Z5O3upPC88QrAjx00dis",
            "aud": "https://protected.example.net/resource", "iss": "https://server.example.com/",
            "exp": 1419356238, "iat": 1419350238, "extension_field": "twenty-seven"}"#;
        let Some(Told::Active(members)) = oauth(EXAMPLE) else { panic!() };
        assert!(claims(members.clone(), "https://server.example.com").is_none());
        let claims = claims(members, "https://server.example.com/").unwrap();
        assert_eq!(claims.sub.as_deref(), Some("Z5O3upPC88QrAjx00dis"));
        assert_eq!(claims.client_id.as_deref(), Some("l238j323ds-23ij4"));
        assert_eq!(claims.aud, ["https://protected.example.net/resource"]);
        assert_eq!((claims.exp, claims.iat), (Some(1_419_356_238), Some(1_419_350_238)));
    }

    #[test]
    fn only_true_is_active() {
        assert!(matches!(oauth(r#"{"active":true}"#), Some(Told::Active(_))));
        assert!(matches!(oauth(r#"{"active":false,"exp":"x"}"#), Some(Told::Inactive)));
        for body in [
            "",
            "{}",
            "[]",
            "null",
            "true",
            "<html>",
            r#"{"active":"true"}"#,
            r#"{"active":1}"#,
            r#"{"active":null}"#,
            r#"{"active":[true]}"#,
            r#"{"Active":true}"#,
            r#"{"active":true,"active":true}"#,
            r#"{"active":false,"active":true}"#,
            r#"{"active":true}x"#,
        ] {
            assert!(oauth(body).is_none(), "{body}");
        }
        for status in [0, 201, 204, 302, 400, 401, 403, 404, 500, 503] {
            assert!(read(IntrospectionKind::Oauth, status, br#"{"active":true}"#).is_none());
        }
    }

    #[test]
    fn claims_have_the_types_of_a_jwts() {
        assert_eq!(of(r#"{"active":true}"#).unwrap().iss.as_deref(), Some("https://idp.example"));
        for member in [
            r#""iss":null"#,
            r#""iss":"https://idp.example/""#,
            r#""iss":["https://idp.example"]"#,
            r#""exp":"1795790000""#,
            r#""exp":null"#,
            r#""exp":-1"#,
            r#""exp":1795790000000"#,
            r#""nbf":"now""#,
            r#""iat":true"#,
            r#""sub":1"#,
            r#""sub":null"#,
            r#""aud":1"#,
            r#""client_id":{}"#,
            r#""jti":7"#,
        ] {
            assert!(of(&format!("{{\"active\":true,{member}}}")).is_none(), "{member}");
        }
        assert_eq!(of(r#"{"active":true,"exp":1795790000.9}"#).unwrap().exp, Some(1_795_790_000));
    }

    #[test]
    fn what_is_known_to_be_another_token_is_no_access_token() {
        let is_one = |body: &str| is_access_token(json::object(body.as_bytes()).as_ref().unwrap());
        for good in [
            "{}",
            r#"{"token_type":"Bearer"}"#,
            r#"{"token_use":"access_token"}"#,
            r#"{"typ":"Bearer"}"#,
        ] {
            assert_eq!(is_one(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"token_use":"refresh_token"}"#,
            r#"{"typ":"Refresh"}"#,
            r#"{"token_type":"refresh_token"}"#,
            r#"{"token_use":"id"}"#,
        ] {
            assert_eq!(is_one(bad), Err(Reason::WrongType), "{bad}");
        }
    }
}
