//! The header of an encrypted token, read strictly (RFC 7516, section 4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Encryption, KeyAlgorithm};
use crate::jwt::check::subtype;
use crate::jwt::{KID_BYTES_MAX, json};

/// Extensions, which aren't understood: `crit` (RFC 7516, section 4.1.13) and `b64`; `zip`, which
/// would turn few bytes into many (section 4.1.3); and the parameters of a password that is
/// stretched as often as the sender likes (RFC 7518, section 4.8.1).
const REFUSED: &[&str] = &["crit", "b64", "zip", "p2c", "p2s"];

/// What a header says, as far as it is read.
pub(super) struct Header {
    pub algorithm: KeyAlgorithm,
    pub encryption: Encryption,
    /// `kid`; an empty one names no key.
    pub kid: Option<String>,
    /// `typ` as written.
    pub typ: Option<String>,
    /// Whether `cty` says that a token is inside; nothing if there is none.
    pub is_nested: Option<bool>,
    /// The sender's public key of this one agreement.
    pub epk: Option<Map<String, Value>>,
    /// `apu` and `apv`, which go into the agreed key.
    pub parties: [Vec<u8>; 2],
    pub replicated: Replicated,
}

/// Claims that stand in the header too, so that they can be read without the key (RFC 7519, section
/// 5.3).
#[derive(Clone, PartialEq, Default)]
pub struct Replicated(Vec<(&'static str, Value)>);

impl Replicated {
    /// Whether the token itself says the same.
    pub fn agree_with(&self, claims: &Map<String, Value>) -> bool {
        self.0.iter().all(|(name, value)| claims.get(*name) == Some(value))
    }
}

impl Header {
    /// Reads a header; nothing if it isn't one that can be followed.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let mut members = json::object(bytes).ok()?;
        if REFUSED.iter().any(|name| members.contains_key(*name)) {
            return None;
        }
        let algorithm = KeyAlgorithm::parse(members.get("alg")?.as_str()?)?;
        let encryption = Encryption::parse(members.get("enc")?.as_str()?)?;
        let kid = text(&members, "kid")?.filter(|kid| !kid.is_empty());
        if kid.is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
            return None;
        }
        let party = |name: &str| match text(&members, name)? {
            Some(value) => URL_SAFE_NO_PAD.decode(value).ok(),
            None => Some(Vec::new()),
        };
        let parties = [party("apu")?, party("apv")?];
        let is_nested = text(&members, "cty")?.map(is_token);
        let (kid, typ) = (kid.map(str::to_owned), text(&members, "typ")?.map(str::to_owned));
        let replicated = ["iss", "sub", "aud"]
            .into_iter()
            .filter_map(|name| Some((name, members.get(name)?.clone())))
            .collect();
        let epk = match members.remove("epk") {
            None => None,
            Some(Value::Object(epk)) => Some(epk),
            Some(_) => return None,
        };
        let replicated = Replicated(replicated);
        Some(Header { algorithm, encryption, kid, typ, is_nested, epk, parties, replicated })
    }
}

/// Whether content of this type is a token: "JWT" (RFC 7519, section 5.2), or a kind of it as
/// servers name it too, "at+jwt" (RFC 9068) above all.
fn is_token(cty: &str) -> bool {
    let cty = subtype(cty).to_ascii_lowercase();
    cty == "jwt" || cty.ends_with("+jwt")
}

/// A text member, or its absence; nothing if it is something else.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<Option<&'a str>> {
    match members.get(name) {
        None => Some(None),
        Some(value) => value.as_str().map(Some),
    }
}
