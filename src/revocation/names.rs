//! Under which names a token is revoked.

use crate::callout::Secret;
use crate::digest::{Digest, HostKey, sha256};
use crate::jwt::Claims;

use super::spelling::canonical;

/// The names of one verified token. It is revoked when one of them is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    /// What it says: (`iss`, `jti`), else header and payload. Whoever verified the token knows that
    /// its issuer said so; an unverified token must not revoke by this name, or a forged one would
    /// revoke another's.
    pub said: Digest,
    /// Its very bytes, in their [`canonical`] spelling. Nobody who doesn't have the token can name
    /// it so.
    pub bytes: Digest,
    /// The bytes of what it was encrypted in, if it was, under each key; `bytes` are then those
    /// inside.
    pub sealed: Vec<Digest>,
    /// Whether `said` is an id, under which a feed can list it.
    pub has_id: bool,
    /// `said` and `bytes` under the key before this one: what was revoked then stays so.
    pub previous: Option<Box<[Digest; 2]>>,
}

impl Names {
    /// The names of a token whose claims were read from `token`; of it `signed` is signed.
    pub fn of(key: &HostKey, claims: &Claims, signed: &[u8], token: &[u8]) -> Names {
        let id = claims.iss.as_deref().zip(claims.jti.as_deref());
        let said = |key: &HostKey| match id {
            Some((iss, jti)) => of_id(key, iss, jti),
            None => key.digest("revoked token", &[signed]),
        };
        Names::under(key, said, token, id.is_some())
    }

    /// The same of a token that came in another one.
    #[must_use]
    pub fn sealed_in(self, key: &HostKey, sent: &[u8]) -> Names {
        let keys = [Some(key), key.previous()].into_iter().flatten();
        Names { sealed: keys.map(|key| token_handle(key, sent)).collect(), ..self }
    }

    /// The names of an opaque token of `iss`, which has told this id of it, if it has told one.
    pub fn of_opaque(key: &HostKey, iss: &str, jti: Option<&str>, token: &[u8]) -> Names {
        let said = |key: &HostKey| match jti {
            Some(jti) => of_id(key, iss, jti),
            None => key.digest("revoked opaque token", &[iss.as_bytes(), token]),
        };
        Names::under(key, said, token, jti.is_some())
    }

    fn under(
        key: &HostKey,
        said: impl Fn(&HostKey) -> Digest,
        token: &[u8],
        has_id: bool,
    ) -> Names {
        let names = |key: &HostKey| [said(key), token_handle(key, token)];
        let [said, bytes] = names(key);
        let previous = key.previous().map(|key| Box::new(names(key)));
        Names { said, bytes, sealed: Vec::new(), has_id, previous }
    }

    /// What a feed may list it as.
    pub fn ids(&self) -> impl Iterator<Item = &Digest> {
        let previous = self.previous.iter().flat_map(|names| names.iter().take(1));
        [&self.said].into_iter().chain(previous).filter(|_| self.has_id)
    }

    /// All that it may be revoked as.
    pub fn all(&self) -> impl Iterator<Item = &Digest> {
        let previous = self.previous.iter().flat_map(|names| names.iter());
        [&self.said, &self.bytes].into_iter().chain(&self.sealed).chain(previous)
    }
}

/// The key of names, where gateways share a secret: all of them call a revoked token the same. `None`
/// without one; then the host's own key takes its place.
pub fn key(secret: &Secret, previous: Option<&Secret>) -> Option<HostKey> {
    let key = |secret: &Secret| {
        HostKey::new(&sha256(b"herdgate names of revoked tokens v1"), secret.expose())
    };
    (!secret.expose().is_empty()).then(|| key(secret).after(previous.map(key)))
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
