//! Under which names a token is revoked.

use crate::digest::{Digest, HostKey};
use crate::jwt::Claims;

use super::spelling::canonical;

/// The names of one verified token. It is revoked when either is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Names {
    /// What it says: (`iss`, `jti`), else header and payload. Whoever verified the token knows that
    /// its issuer said so; an unverified token must not revoke by this name, or a forged one would
    /// revoke another's.
    pub said: Digest,
    /// Its very bytes, in their [`canonical`] spelling. Nobody who doesn't have the token can name
    /// it so.
    pub bytes: Digest,
    /// The bytes of what it was encrypted in, if it was; `bytes` are then those inside.
    pub sealed: Option<Digest>,
    /// Whether `said` is an id, under which a feed can list it.
    pub has_id: bool,
}

impl Names {
    /// The names of a token whose claims were read from `token`; of it `signed` is signed.
    pub fn of(key: &HostKey, claims: &Claims, signed: &[u8], token: &[u8]) -> Names {
        let id = claims.iss.as_deref().zip(claims.jti.as_deref());
        let said = match id {
            Some((iss, jti)) => of_id(key, iss, jti),
            None => key.digest("revoked token", &[signed]),
        };
        Names { said, bytes: token_handle(key, token), sealed: None, has_id: id.is_some() }
    }

    /// The same of a token that came in another one, which is called so.
    #[must_use]
    pub fn sealed_in(self, handle: Digest) -> Names {
        Names { sealed: Some(handle), ..self }
    }

    /// The names of an opaque token of `iss`, which has told this id of it, if it has told one.
    pub fn of_opaque(key: &HostKey, iss: &str, jti: Option<&str>, token: &[u8]) -> Names {
        let said = match jti {
            Some(jti) => of_id(key, iss, jti),
            None => key.digest("revoked opaque token", &[iss.as_bytes(), token]),
        };
        Names { said, bytes: token_handle(key, token), sealed: None, has_id: jti.is_some() }
    }
}

/// The name of one access token, whatever it is: an answer that carries it has this in
/// [`Stored`](crate::token_endpoint::reuse::Stored), and a revocation call leaves it in shared
/// memory.
pub fn token_handle(key: &HostKey, token: &[u8]) -> Digest {
    key.digest("token handle v1", &[&canonical(token)])
}

/// The name of the token that `iss` calls `jti`.
pub fn of_id(key: &HostKey, iss: &str, jti: &str) -> Digest {
    key.digest("revoked id", &[iss.as_bytes(), jti.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt;
    use base64::Engine as _;

    fn token(payload: &str, signature: &str) -> String {
        let segment = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", segment(r#"{"alg":"ES256"}"#), segment(payload), segment(signature))
    }

    fn names(token: &str) -> Names {
        let jwt = jwt::parse(token.as_bytes()).unwrap();
        Names::of(&HostKey::new(&[3; 32], b""), &jwt.claims, jwt.signed, token.as_bytes())
    }

    #[test]
    fn other_spellings_of_a_token_have_its_name() {
        let one = names(&token(r#"{"iss":"i","jti":"j","n":1}"#, "r,s"));
        let other = names(&token(r#"{"jti":"j","iss":"i"}"#, "r,-s"));
        assert_eq!(one.said, other.said);
        assert_ne!(one.bytes, other.bytes);
        assert!(one.has_id);
        assert_eq!(one.said, of_id(&HostKey::new(&[3; 32], b""), "i", "j"));
    }

    #[test]
    fn a_token_without_an_id_is_named_by_what_is_signed() {
        for payload in [r#"{"iss":"i"}"#, r#"{"jti":"j"}"#, "{}"] {
            let (one, other) = (names(&token(payload, "r,s")), names(&token(payload, "r,-s")));
            assert_eq!(one.said, other.said);
            assert!(!one.has_id);
        }
        assert_ne!(
            names(&token(r#"{"jti":"j"}"#, "s")).said,
            names(&token(r#"{"jti":"k"}"#, "s")).said
        );
    }

    #[test]
    fn ids_do_not_run_together() {
        let key = HostKey::new(&[3; 32], b"");
        assert_ne!(of_id(&key, "ab", "c"), of_id(&key, "a", "bc"));
    }
}
