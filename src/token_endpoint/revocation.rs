//! What a revocation call (RFC 7009) names, and the names under which stored answers are withdrawn.

pub use crate::revocation::names::token_handle;

use super::{form, media};

/// The token that a revocation call names, access or refresh; nothing if that can't be read for certain.
pub fn token(content_type: Option<&[u8]>, body: &[u8]) -> Option<String> {
    if !content_type.is_some_and(|value| media::is(value, "application/x-www-form-urlencoded")) {
        return None;
    }
    let parameters = form::parse(body).ok()?;
    let mut tokens = parameters.into_iter().filter(|(name, _)| name == "token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => Some(token),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded");

    /// The example of RFC 7009, section 2.1.
    #[test]
    fn rfc_7009() {
        let body = b"token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token";
        assert_eq!(token(FORM, body).as_deref(), Some("45ghiukldjahdnhzdauz"));
        assert_eq!(token(FORM, b"token=45%67hiukldjahdnhzdauz"), token(FORM, body));
        for unknown in [&b""[..], b"token=", b"token=a&token=a", b"token=a&b", b"x=1"] {
            assert_eq!(token(FORM, unknown), None);
        }
        assert_eq!(token(None, body), None);
        assert_eq!(token(Some(b"application/json"), body), None);
    }
}
