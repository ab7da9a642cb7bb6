//! One DPoP proof (RFC 9449, section 4): a pure check against the request, the token and the time.
//!
//! The cheap checks stand first, and the key is held against the token's thumbprint before any
//! arithmetic: who hasn't the key can't make the gateway verify signatures with keys of his own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::htu::{self, Origin};
use super::nonce;
use super::thumbprint::ProofKey;
use crate::digest::{HostKey, sha256};
use crate::jwt::{self, Rounding, TOKEN_BYTES_MAX};
use crate::signature::{Algorithm, AlgorithmSet, HostVerify};
use crate::time::Time;

/// Bytes of a proof at most: that of an ML-DSA-87 key has 12 KiB.
pub const PROOF_BYTES_MAX: usize = TOKEN_BYTES_MAX;
/// Bytes of a `jti` at most.
pub const JTI_BYTES_MAX: usize = 256;

/// What one issuer asks of proofs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dpop {
    /// Whether tokens that are bound to nothing are refused too.
    pub required: bool,
    /// With what a proof may be signed; public keys' algorithms alone.
    pub algorithms: AlgorithmSet,
    /// Their names as configured, separated by spaces.
    pub names: String,
    /// Seconds by which a proof's `iat` may differ from now, to both sides.
    pub leeway_s: u64,
    /// Whether a proof has to hold a nonce of this gateway.
    pub nonce: bool,
    /// Where clients reach the API.
    pub origins: Vec<Origin>,
}

/// What a proof must be for.
pub struct Asked<'a> {
    /// The request's method.
    pub method: &'a [u8],
    /// Its path as the client sent it, without query.
    pub path: &'a [u8],
    /// The access token, which `ath` names.
    pub token: &'a [u8],
    /// The thumbprint that the token is bound to.
    pub jkt: &'a [u8; 32],
    /// What nonces are made with.
    pub nonces: &'a HostKey,
    /// The moment.
    pub now: Time,
}

/// A good proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Its id, which counts once.
    pub jti: String,
    /// When it says that it was made, in seconds.
    pub iat: u64,
    /// When the nonce in it was made, if there is one of ours.
    pub nonce: Option<Time>,
}

/// Why a proof isn't one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It can't be read, or isn't for this request, this token and this time.
    Proof,
    /// It is another key's than the one that the token is bound to.
    Key,
    /// It has no nonce of ours, or too old a one.
    Nonce,
}

/// Checks a proof.
///
/// # Errors
/// What is wrong with it.
pub fn check(
    proof: &[u8],
    dpop: &Dpop,
    asked: &Asked<'_>,
    host: &dyn HostVerify,
) -> Result<Proof, Fault> {
    let read = Read::parse(proof).ok_or(Fault::Proof)?;
    if read.algorithm.is_hmac() || !dpop.algorithms.contains(read.algorithm) {
        return Err(Fault::Proof);
    }
    if read.key.thumbprint() != *asked.jkt {
        return Err(Fault::Key);
    }
    let told = read.is_for(dpop, asked).ok_or(Fault::Proof)?;
    let nonce = read.text("nonce").and_then(|text| nonce::read(asked.nonces, text, asked.now));
    if dpop.nonce && nonce.is_none() {
        return Err(Fault::Nonce);
    }
    let key = read.key.verify_key(read.algorithm).ok_or(Fault::Proof)?;
    key.verify(read.algorithm, read.signed, &read.signature, host).map_err(|_| Fault::Proof)?;
    Ok(Proof { nonce, ..told })
}

/// A proof, read and not believed.
struct Read<'a> {
    algorithm: Algorithm,
    key: ProofKey,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Read<'a> {
    /// Three segments of canonical base64url; `typ`, `alg` and `jwk` in the first (RFC 9449,
    /// section 4.2).
    fn parse(proof: &'a [u8]) -> Option<Read<'a>> {
        if proof.len() > PROOF_BYTES_MAX {
            return None;
        }
        let dot = proof.iter().rposition(|byte| *byte == b'.')?;
        let (signed, signature) = proof.split_at_checked(dot)?;
        let mut segments = signed.split(|byte| *byte == b'.');
        let (header, payload) = (segments.next()?, segments.next()?);
        if segments.next().is_some() {
            return None;
        }
        let header = object(header)?;
        // RFC 7515, section 4.1.11; RFC 7797: nothing here understands an extension.
        if ["crit", "b64", "zip"].iter().any(|name| header.contains_key(*name)) {
            return None;
        }
        if header.get("typ")?.as_str()? != "dpop+jwt" {
            return None;
        }
        Some(Read {
            algorithm: Algorithm::parse(header.get("alg")?.as_str()?)?,
            key: ProofKey::read(header.get("jwk")?.as_object()?)?,
            claims: object(payload)?,
            signed,
            signature: decode(signature.get(1..)?)?,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    /// Whether it is for this request, this token and this time (RFC 9449, section 4.3).
    fn is_for(&self, dpop: &Dpop, asked: &Asked<'_>) -> Option<Proof> {
        let jti = self.text("jti").filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()))?;
        let is_method = self.text("htm")?.as_bytes() == asked.method;
        let is_uri = htu::is_for(self.text("htu")?, &dpop.origins, asked.path);
        let is_token = self.text("ath")? == URL_SAFE_NO_PAD.encode(sha256(asked.token));
        let iat = jwt::date_s(self.claims.get("iat")?, Rounding::Down).ok()?;
        let now_s = asked.now.s();
        let is_now = iat <= now_s.saturating_add(dpop.leeway_s)
            && now_s <= iat.saturating_add(dpop.leeway_s);
        (is_method && is_uri && is_token && is_now && self.is_in_its_time(now_s)).then(|| Proof {
            jti: jti.to_owned(),
            iat,
            nonce: None,
        })
    }

    /// RFC 7519, sections 4.1.4 and 4.1.5, for a client that sets an end or a beginning itself.
    fn is_in_its_time(&self, now_s: u64) -> bool {
        let date = |name: &str, rounding| match self.claims.get(name) {
            None => Some(None),
            Some(value) => jwt::date_s(value, rounding).ok().map(Some),
        };
        let (Some(exp), Some(nbf)) = (date("exp", Rounding::Down), date("nbf", Rounding::Up))
        else {
            return false;
        };
        exp.is_none_or(|exp| now_s < exp) && nbf.is_none_or(|nbf| nbf <= now_s)
    }
}

fn object(segment: &[u8]) -> Option<Map<String, Value>> {
    jwt::json::object(&decode(segment)?).ok()
}

fn decode(segment: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests;
