//! Proofs, good ones and each way in which one is bad.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;

use super::*;
use crate::signature::NoHost;

/// RFC 9449, section 7.1: the token, its proof, and the thumbprint of section 6.1.
const RFC_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const RFC_PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const RFC_JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const RFC_IAT: u64 = 1_562_262_618;

const NOW: Time = Time::from_s(1_800_000_000);
const TOKEN: &str = "a.token.x";

fn nonces() -> HostKey {
    HostKey::new(&[5; 32], b"nonces")
}

fn jkt(text: &str) -> [u8; 32] {
    URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
}

fn settings(origins: &[&str]) -> Dpop {
    Dpop {
        required: false,
        algorithms: AlgorithmSet::from_slice(&[Algorithm::ES256, Algorithm::EdDSA]),
        names: "ES256 EdDSA".to_owned(),
        leeway_s: 60,
        nonce: false,
        origins: origins.iter().map(|text| Origin::parse(text).unwrap()).collect(),
    }
}

/// A client with a key.
struct Client(SigningKey);

impl Client {
    fn new(number: u8) -> Client {
        Client(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "x": text(point.x().unwrap()), "y": text(point.y().unwrap()) })
    }

    fn jkt(&self) -> [u8; 32] {
        ProofKey::read(self.jwk().as_object().unwrap()).unwrap().thumbprint()
    }

    fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() })
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", segment(header), segment(claims));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn check(&self, dpop: &Dpop, proof: &str) -> Result<Proof, Fault> {
        let jkt = self.jkt();
        let asked = Asked {
            method: b"GET",
            path: b"/orders",
            token: TOKEN.as_bytes(),
            jkt: &jkt,
            nonces: &nonces(),
            now: NOW,
        };
        check(proof.as_bytes(), dpop, &asked, &NoHost)
    }
}

fn claims() -> Value {
    json!({ "jti": "1", "htm": "GET", "htu": "https://api.example/orders", "iat": NOW.s(),
        "ath": URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes())) })
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

fn without(mut value: Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name);
    value
}

#[test]
fn the_example_of_the_rfc() {
    let dpop = settings(&["https://resource.example.org"]);
    let at = |s: u64, method: &'static str, path: &'static str, token: &'static str| {
        let asked = Asked {
            method: method.as_bytes(),
            path: path.as_bytes(),
            token: token.as_bytes(),
            jkt: &jkt(RFC_JKT),
            nonces: &nonces(),
            now: Time::from_s(s),
        };
        check(RFC_PROOF.as_bytes(), &dpop, &asked, &NoHost)
    };
    let proof = Proof { jti: "e1j3V_bKic8-LAEB".to_owned(), iat: RFC_IAT, nonce: None };
    let path = "/protectedresource";
    assert_eq!(at(RFC_IAT, "GET", path, RFC_TOKEN), Ok(proof.clone()));
    assert_eq!(at(RFC_IAT + 60, "GET", path, RFC_TOKEN), Ok(proof.clone()));
    assert_eq!(at(RFC_IAT - 60, "GET", path, RFC_TOKEN), Ok(proof));
    assert_eq!(at(RFC_IAT + 61, "GET", path, RFC_TOKEN), Err(Fault::Proof));
    assert_eq!(at(RFC_IAT - 61, "GET", path, RFC_TOKEN), Err(Fault::Proof));
    assert_eq!(at(RFC_IAT, "POST", path, RFC_TOKEN), Err(Fault::Proof));
    assert_eq!(at(RFC_IAT, "get", path, RFC_TOKEN), Err(Fault::Proof));
    assert_eq!(at(RFC_IAT, "GET", "/other", RFC_TOKEN), Err(Fault::Proof));
    assert_eq!(at(RFC_IAT, "GET", path, TOKEN), Err(Fault::Proof));
}

#[test]
fn a_good_proof_is_good() {
    let (client, dpop) = (Client::new(1), settings(&["https://api.example"]));
    let good = client.sign(&client.header(), &claims());
    assert_eq!(
        client.check(&dpop, &good),
        Ok(Proof { jti: "1".to_owned(), iat: NOW.s(), nonce: None })
    );
    // What else is there says nothing.
    let more = with(client.header(), "kid", json!("k"));
    let proof = client.sign(&more, &with(claims(), "x", json!([1])));
    assert!(client.check(&dpop, &proof).is_ok());
    let proof = client.sign(&client.header(), &with(claims(), "iat", json!(NOW.s() as f64 + 0.5)));
    assert!(client.check(&dpop, &proof).is_ok());
    let proof = client.sign(&client.header(), &with(claims(), "exp", json!(NOW.s() + 1)));
    assert!(client.check(&dpop, &proof).is_ok());
}

#[test]
fn what_is_no_proof_of_this_request_is_refused() {
    let (client, dpop) = (Client::new(1), settings(&["https://api.example"]));
    let (header, now) = (client.header(), NOW.s());
    for claims in [
        without(claims(), "jti"),
        with(claims(), "jti", json!("")),
        with(claims(), "jti", json!("j".repeat(257))),
        with(claims(), "jti", json!(1)),
        without(claims(), "htm"),
        with(claims(), "htm", json!("POST")),
        with(claims(), "htm", json!("get")),
        without(claims(), "htu"),
        with(claims(), "htu", json!("https://api.example/orders/1")),
        with(claims(), "htu", json!("https://evil.example/orders")),
        with(claims(), "htu", json!(["https://api.example/orders"])),
        without(claims(), "iat"),
        with(claims(), "iat", json!(now - 61)),
        with(claims(), "iat", json!(now + 61)),
        with(claims(), "iat", json!(now.to_string())),
        with(claims(), "iat", json!(-1)),
        with(claims(), "exp", json!(now)),
        with(claims(), "exp", json!("never")),
        with(claims(), "nbf", json!(now + 1)),
        without(claims(), "ath"),
        with(claims(), "ath", json!(URL_SAFE_NO_PAD.encode(sha256(b"another.token.x")))),
        with(
            claims(),
            "ath",
            json!(format!("{}=", URL_SAFE_NO_PAD.encode(sha256(TOKEN.as_bytes())))),
        ),
        with(claims(), "ath", json!(TOKEN)),
    ] {
        let proof = client.sign(&header, &claims);
        assert_eq!(client.check(&dpop, &proof), Err(Fault::Proof), "{claims}");
    }
    for header in [
        without(header.clone(), "typ"),
        with(header.clone(), "typ", json!("JWT")),
        with(header.clone(), "typ", json!("at+jwt")),
        without(header.clone(), "alg"),
        with(header.clone(), "alg", json!("none")),
        with(header.clone(), "alg", json!("HS256")),
        // Known, and not among the issuer's.
        with(header.clone(), "alg", json!("ES384")),
        with(header.clone(), "alg", json!("RS256")),
        with(header.clone(), "alg", json!("EdDSA")),
        without(header.clone(), "jwk"),
        with(header.clone(), "jwk", json!(client.jwk().to_string())),
        with(header.clone(), "jwk", with(client.jwk(), "d", json!("AQ"))),
        with(header.clone(), "crit", json!(["exp"])),
        with(header.clone(), "b64", json!(false)),
        with(header.clone(), "zip", json!("DEF")),
    ] {
        let proof = client.sign(&header, &claims());
        assert_eq!(client.check(&dpop, &proof), Err(Fault::Proof), "{header}");
    }
}

#[test]
fn a_signature_is_of_the_tokens_key_alone() {
    let (client, thief) = (Client::new(1), Client::new(2));
    let dpop = settings(&["https://api.example"]);
    // The thief's own key, and the client's key over the thief's signature.
    let own = thief.sign(&thief.header(), &claims());
    assert_eq!(client.check(&dpop, &own), Err(Fault::Key));
    let forged = thief.sign(&client.header(), &claims());
    assert_eq!(client.check(&dpop, &forged), Err(Fault::Proof));
    // A good proof with other claims under its signature, and one bit of it changed.
    let good = client.sign(&client.header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let later = URL_SAFE_NO_PAD.encode(with(claims(), "jti", json!("2")).to_string());
    assert_eq!(
        client.check(&dpop, &format!("{}.{later}.{}", parts[0], parts[2])),
        Err(Fault::Proof)
    );
    let mut bytes = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    bytes[7] ^= 1;
    let flipped = URL_SAFE_NO_PAD.encode(bytes);
    assert_eq!(
        client.check(&dpop, &format!("{}.{}.{flipped}", parts[0], parts[1])),
        Err(Fault::Proof)
    );
    for broken in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{good}."),
        format!("{good}.x"),
        format!("{good}="),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{},{good}", good),
        format!(" {good}"),
        "x".repeat(PROOF_BYTES_MAX + 1),
        format!("{}.{}", parts[0], parts[1]),
    ] {
        assert_eq!(client.check(&dpop, &broken), Err(Fault::Proof), "{broken:.60}");
    }
}

#[test]
fn a_nonce_is_ours_and_young() {
    let client = Client::new(1);
    let dpop = Dpop { nonce: true, ..settings(&["https://api.example"]) };
    let proof = |nonce: Value| client.sign(&client.header(), &with(claims(), "nonce", nonce));
    let made = NOW;
    let fresh = nonce::issue(&nonces(), NOW, Time::default());
    let good = Ok(Proof { jti: "1".to_owned(), iat: NOW.s(), nonce: Some(made) });
    assert_eq!(client.check(&dpop, &proof(json!(fresh))), good);
    let old = nonce::issue(&nonces(), Time::from_s(NOW.s() - 200), Time::default());
    let other = nonce::issue(&HostKey::new(&[5; 32], b"others"), NOW, Time::default());
    for nonce in [json!(old), json!(other), json!(""), json!("x"), json!(7), json!(null)] {
        assert_eq!(client.check(&dpop, &proof(nonce.clone())), Err(Fault::Nonce), "{nonce}");
    }
    let none = client.sign(&client.header(), &claims());
    assert_eq!(client.check(&dpop, &none), Err(Fault::Nonce));
    // Where none is asked for, one that isn't ours is no matter: another server's, say.
    let lax = settings(&["https://api.example"]);
    assert!(client.check(&lax, &proof(json!(other))).is_ok_and(|proof| proof.nonce.is_none()));
    assert_eq!(client.check(&lax, &proof(json!(fresh))), good);
}

/// Every kind of key that may be configured signs a proof that passes; the other kinds' settings
/// refuse it.
#[test]
fn an_ed25519_key_proves_too() {
    use ed25519_dalek::Signer as _;
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()) });
    let jkt = ProofKey::read(jwk.as_object().unwrap()).unwrap().thumbprint();
    let asked = Asked {
        method: b"GET",
        path: b"/orders",
        token: TOKEN.as_bytes(),
        jkt: &jkt,
        nonces: &nonces(),
        now: NOW,
    };
    for name in ["EdDSA", "Ed25519"] {
        let segment = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "typ": "dpop+jwt", "alg": name, "jwk": jwk });
        let signed = format!("{}.{}", segment(&header), segment(&claims()));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).to_bytes());
        let proof = format!("{signed}.{signature}");
        let dpop = settings(&["https://api.example"]);
        assert!(check(proof.as_bytes(), &dpop, &asked, &NoHost).is_ok());
        let es256 = Dpop { algorithms: AlgorithmSet::from_slice(&[Algorithm::ES256]), ..dpop };
        assert_eq!(check(proof.as_bytes(), &es256, &asked, &NoHost), Err(Fault::Proof));
    }
}
