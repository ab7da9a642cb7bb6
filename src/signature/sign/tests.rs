use super::*;
use crate::jwt;
use crate::signature::{Algorithm, AlgorithmSet, NoHost, VerifyKey};

const ASSERTION: Assertion<'_> = Assertion {
    client_id: "gateway",
    audience: "https://idp.example",
    id: "one",
    now_s: 1_800_000_000,
    until_s: 1_800_000_060,
};

fn verifies(key: &SigningKey, public_pem: &str, algorithm: Algorithm) {
    let token = key.sign(&ASSERTION).unwrap();
    let jwt = jwt::parse(token.as_bytes()).unwrap();
    assert_eq!((key.algorithm(), jwt.algorithm), (algorithm.name(), algorithm));
    let public = VerifyKey::from_pem(public_pem, AlgorithmSet::from_slice(&[algorithm])).unwrap();
    assert_eq!(public.verify(algorithm, jwt.signed, &jwt.signature, &NoHost), Ok(()));
    assert_eq!(jwt.claims.jti.as_deref(), Some("one"));
}

#[test]
fn each_kind_of_key_signs_what_verifies_here() {
    let es = ES256KeyPair::generate();
    let rs = RS256KeyPair::generate(2048).unwrap();
    let ed = Ed25519KeyPair::generate();
    let (es_public, rs_public) =
        (es.public_key().to_pem().unwrap(), rs.public_key().to_pem().unwrap());
    let ed_public = ed.public_key().to_pem();
    for (pem, jwk, public, algorithm) in [
        (es.to_pem().unwrap(), es.to_jwk(), es_public, Algorithm::ES256),
        (rs.to_pem().unwrap(), rs.to_jwk(), rs_public, Algorithm::RS256),
        (ed.to_pem(), ed.to_jwk(), ed_public, Algorithm::EdDSA),
    ] {
        for text in [&pem, &jwk, &format!("\n {jwk} \n"), &format!("\n{pem}\n")] {
            verifies(&SigningKey::parse(text).unwrap(), &public, algorithm);
        }
        // A public key signs nothing, nor does what is cut.
        assert!(SigningKey::parse(&public).is_err());
        assert!(SigningKey::parse(&pem[..pem.len() / 2]).is_err());
        assert!(SigningKey::parse(&jwk[..jwk.len() / 2]).is_err());
    }
    for text in ["", "{}", "secret", r#"{"kty":"oct","k":"c2VjcmV0"}"#, r#"{"kty":"EC"}"#] {
        assert!(SigningKey::parse(text).is_err(), "{text}");
    }
}

#[test]
fn it_shows_nothing_of_the_key() {
    let key = SigningKey::parse(&ES256KeyPair::generate().to_pem().unwrap()).unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
}
