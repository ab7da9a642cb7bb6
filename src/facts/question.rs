//! How an introspection endpoint is asked: who the filter says it is, and which form of answer it
//! takes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::jwt::introspection::{ClientAuth, Introspection, IntrospectionKind, Response, signed};
use crate::jwt::issuer::IssuerMatch;
use crate::signature::{Assertion, SigningKey};

use super::call::{Call, percent_encode};
use super::{Endpoint, Fact, Facts};

impl Facts<'_> {
    /// The call that brings a fact, ready for the host; nothing if the configuration has no such
    /// source. It is for one use: who the filter is may be said in a way that counts once.
    pub fn call(&self, fact: &Fact) -> Option<Call> {
        let mut call = fact.call(&self.runtime.config)?;
        if let Fact::Introspection(endpoint @ Endpoint::Of(index), _) = fact
            && let Some(introspection) = endpoint.of(&self.runtime.config)
            && let Some(key) = &introspection.client_key
        {
            let assertion = self.client_assertion(*index, introspection, key)?;
            call.append_to_form(&format!(
                "&client_assertion_type={ASSERTION_TYPE}&client_assertion={assertion}"
            ));
        }
        Some(call)
    }

    /// What says who the filter is (RFC 7523, section 3): signed now, for a minute, for this issuer
    /// and under an id that nobody can guess.
    fn client_assertion(
        &self,
        index: usize,
        introspection: &Introspection,
        key: &SigningKey,
    ) -> Option<String> {
        let IssuerMatch::Exact(iss) = &self.runtime.config.issuers.get(index)?.matcher else {
            return None;
        };
        let random = || self.host.store.random().to_le_bytes();
        let fields = [&self.now.ns().to_le_bytes()[..], &random(), &random()];
        let id = self.runtime.host_key.digest("client assertion", &fields);
        key.sign(&Assertion {
            client_id: introspection.client_id.as_deref()?,
            // The issuer, and not the address that is asked: an assertion for one server is then good
            // at no other, whoever may have written the address (RFC 7523, section 3, point 3).
            audience: iss,
            id: &URL_SAFE_NO_PAD.encode(id.0.first_chunk::<16>()?),
            now_s: self.now.s(),
            until_s: self.now.plus_s(ASSERTION_S).s(),
        })
    }
}

/// RFC 7523, section 2.2, as it stands in a form.
const ASSERTION_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
/// Seconds for which an assertion is good.
const ASSERTION_S: u64 = 60;

/// A question about a token, but for a client assertion.
pub(super) fn call(introspection: &Introspection, token: &[u8]) -> Call {
    let Introspection { uri, call, client_auth, client_id, client_secret, .. } = introspection;
    let secret = || client_secret.as_ref().map(|secret| secret.expose()).unwrap_or_default();
    let mut headers = Vec::new();
    let says = |name: &str| call.headers.iter().any(|(configured, _)| configured == name);
    if introspection.response == Response::Jwt && !says("accept") {
        headers.push(("accept".to_owned(), signed::MEDIA_TYPE.to_owned()));
    }
    if let (Some(id), ClientAuth::Basic) = (client_id, client_auth) {
        // RFC 6749, section 2.3.1: both are form-encoded before they are joined.
        let pair = format!("{}:{}", percent_encode(id.as_bytes()), percent_encode(secret()));
        let encoded = STANDARD.encode(pair);
        headers.push(("authorization".to_owned(), format!("Basic {encoded}")));
    }
    match introspection.kind {
        IntrospectionKind::Oauth => {
            let mut body = format!("token={}&token_type_hint=access_token", percent_encode(token));
            match (client_id, client_auth) {
                (Some(id), ClientAuth::Post) => body.push_str(&format!(
                    "&client_id={}&client_secret={}",
                    percent_encode(id.as_bytes()),
                    percent_encode(secret())
                )),
                // RFC 8705, section 2; of RFC 7523 servers need it to find the key.
                (Some(id), ClientAuth::Mtls | ClientAuth::PrivateKeyJwt) => {
                    body.push_str(&format!("&client_id={}", percent_encode(id.as_bytes())));
                }
                (Some(_), ClientAuth::Basic) | (None, _) => {}
            }
            Call::post_form(uri, call, headers, body.into_bytes())
        }
        IntrospectionKind::Status => {
            let mut call = Call::get(uri, call);
            call.headers.push((
                "authorization".to_owned(),
                format!("Bearer {}", String::from_utf8_lossy(token)),
            ));
            call
        }
    }
}
