//! Names of what a request asks for, shows and claims: keyed digests.

use super::{AuthMethod, Class, TokenRequest, form, single};
use crate::digest::{Digest, HostKey};

/// The domain of answers' keys.
const ANSWER: &str = "token answer v2";

impl TokenRequest {
    /// The key of the answer, of refusals too, over everything that shapes it: the secret goes in
    /// like any other field, so that a right and a wrong one take the same path. Nothing for a
    /// request that passes through.
    ///
    /// `endpoint` is [`TokenEndpoint::digest`]: a configuration that differs elsewhere forgets
    /// nothing. `host` is the authority as the request has it (its case may reach the answer's
    /// `iss`), with the scheme before it where the host tells it; `path` is the client's.
    pub fn cache_key(
        &self,
        key: &HostKey,
        endpoint: &[u8; 32],
        host: &[u8],
        path: &[u8],
    ) -> Option<Digest> {
        let domain = match self.class {
            Class::Reusable => ANSWER,
            Class::CoalesceRefresh => "token refresh v2",
            Class::PassThrough(_) => return None,
        };
        Some(self.key_in(domain, key, endpoint, host, path))
    }

    /// The key of the answer that a call which asks for a fresh one replaces (RFC 9111, section
    /// 5.2.1.4): that of the same call without such a wish. Nothing for any other call.
    pub fn replaced_key(
        &self,
        key: &HostKey,
        endpoint: &[u8; 32],
        host: &[u8],
        path: &[u8],
    ) -> Option<Digest> {
        self.asks_for_fresh.then(|| self.key_in(ANSWER, key, endpoint, host, path))
    }

    /// The name of the secret that the client shows, at this endpoint; nothing where that can't be
    /// read for certain.
    pub fn credential(&self, key: &HostKey, host: &[u8], path: &[u8]) -> Option<Digest> {
        let client_id = self.client_id()?;
        // One secret has one name, wherever it stands.
        let secret = match self.auth_method {
            AuthMethod::Basic => {
                let at = self.basic_pair.iter().position(|byte| *byte == b':')?;
                let raw = self.basic_pair.get(at..)?.strip_prefix(b":")?;
                form::decode(raw).map_or_else(|| raw.to_vec(), String::into_bytes)
            }
            AuthMethod::Post => single(&self.parameters, "client_secret")?.as_bytes().to_vec(),
            AuthMethod::None => return None,
        };
        Some(key.digest("token credential v1", &[host, path, client_id.as_bytes(), &secret]))
    }

    fn key_in(
        &self,
        domain: &str,
        key: &HostKey,
        endpoint: &[u8; 32],
        host: &[u8],
        path: &[u8],
    ) -> Digest {
        let method: &[u8] = match self.auth_method {
            AuthMethod::Basic => b"basic",
            AuthMethod::Post => b"post",
            AuthMethod::None => b"none",
        };
        let parameters_count = (self.parameters.len() as u64).to_le_bytes();
        let mut fields: Vec<&[u8]> = vec![
            endpoint,
            host,
            path,
            method,
            self.written.name(),
            &self.basic_pair,
            &parameters_count,
        ];
        for (name, value) in &self.parameters {
            fields.extend([name.as_bytes(), value.as_bytes()]);
        }
        for (name, value) in &self.shaping {
            fields.extend([name.as_slice(), value.as_slice()]);
        }
        key.digest(domain, &fields)
    }

    /// The client as this request claims to be it, with its secret and at its address: another
    /// secret, or another address, is another client.
    pub fn client_name(&self, key: &HostKey, endpoint: &Digest, address: &[u8]) -> Digest {
        let secret = single(&self.parameters, "client_secret").unwrap_or_default();
        let id = self.client_id().unwrap_or_default();
        key.digest(
            "token client v1",
            &[&endpoint.0, address, id.as_bytes(), &self.basic_pair, secret.as_bytes()],
        )
    }

    /// Whose draw of the jitter an answer to this request gets: the client's own where a client
    /// asks for itself, so that all its answers agree; otherwise the request's, since one client
    /// then speaks for many users who must not all end together.
    pub fn jitter_subject(&self, key: &HostKey, body: &[u8]) -> Digest {
        match (self.client_id(), self.grant_type()) {
            (Some(client_id), Some("client_credentials")) => {
                key.digest("jitter client v1", &[client_id.as_bytes()])
            }
            (client_id, _) => key.digest(
                "jitter request v1",
                &[client_id.unwrap_or_default().as_bytes(), &self.basic_pair, body],
            ),
        }
    }
}
