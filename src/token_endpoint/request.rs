//! A token request (RFC 6749, sections 4 to 6): what it asks for, and whether its answer may be
//! shared.

mod names;

use crate::sort;
use crate::token_endpoint::TokenEndpoint;

use super::client_auth::{self, Basic};
use super::form::{self, FormError};
use super::freshness::Demand;
use super::headers::{self, Survey};
use super::json_body;
use super::media::Written;

/// The request line and the connection, as far as they matter here.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Whether the path has a `?`, even with nothing after it.
    pub has_query: bool,
    /// Whether the client showed a certificate on this connection (RFC 8705).
    pub client_certificate: bool,
}

/// Whether an answer to this request may be shared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// It may be stored and served again.
    Reusable,
    /// Identical calls that are under way at once may be one call; nothing is stored.
    CoalesceRefresh,
    /// It goes upstream and nothing is shared.
    PassThrough(Why),
}

/// Why an answer isn't shared. Each has one metric name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Why {
    /// Not a POST.
    Method,
    /// Parameters in the path, which RFC 6749, section 3.2, doesn't know.
    Query,
    /// Neither a form nor JSON, a charset that isn't read, or two types.
    ContentType,
    /// The body is encoded once more.
    ContentEncoding,
    /// The body is over the endpoint's limit.
    TooLarge,
    /// The body could be read in two ways, or in none.
    Form,
    /// More parameters than are looked at.
    TooManyParameters,
    /// A parameter came twice (RFC 6749, section 3.2, forbids it; RFC 8707 allows it for
    /// `resource`).
    Duplicate,
    /// Another scheme than Basic, two such headers, or no clear pair.
    Authorization,
    /// Basic and a secret in the body, or two client identifiers.
    TwoCredentials,
    /// No secret: a public client, or one known by its connection.
    NoSecret,
    /// An assertion or another value that is good once.
    Assertion,
    /// Another grant than those whose answers are reused.
    Grant,
    /// A client whose answers are never reused.
    ExceptedClient,
    /// The client asks for a fresh answer.
    Bypass,
    /// The client asks that nothing of it be kept.
    NoStore,
    /// A proof or a key that covers this request alone.
    Proof,
    /// A client certificate.
    Certificate,
    /// The client doesn't take JSON.
    Accept,
    /// A cross-origin request of a browser.
    Origin,
    /// Range, Expect, Upgrade or a precondition.
    Conditional,
}

impl Why {
    /// The last part of the metric's name.
    pub fn name(self) -> &'static str {
        match self {
            Why::Method => "method",
            Why::Query => "query",
            Why::ContentType => "content_type",
            Why::ContentEncoding => "content_encoding",
            Why::TooLarge => "too_large",
            Why::Form => "form",
            Why::TooManyParameters => "too_many_parameters",
            Why::Duplicate => "duplicate",
            Why::Authorization => "authorization",
            Why::TwoCredentials => "two_credentials",
            Why::NoSecret => "no_secret",
            Why::Assertion => "assertion",
            Why::Grant => "grant",
            Why::ExceptedClient => "excepted_client",
            Why::Bypass => "bypass",
            Why::NoStore => "no_store",
            Why::Proof => "proof",
            Why::Certificate => "certificate",
            Why::Accept => "accept",
            Why::Origin => "origin",
            Why::Conditional => "conditional",
        }
    }
}

/// How the client authenticates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthMethod {
    /// `Authorization: Basic`.
    Basic,
    /// `client_secret` in the body.
    Post,
    /// No secret that is seen here.
    None,
}

/// A token request, read.
pub struct TokenRequest {
    class: Class,
    auth_method: AuthMethod,
    /// Whether it would be reusable, did it not ask for an answer that isn't kept and may be.
    asks_for_fresh: bool,
    written: Written,
    client_id: Option<String>,
    grant_type: Option<String>,
    /// Identifier, colon and secret of the Basic header as they came.
    basic_pair: Vec<u8>,
    /// Decoded, sorted by name; the scope in its canonical form.
    parameters: Vec<(String, String)>,
    /// Headers that may shape the answer, sorted by name.
    shaping: Vec<(Vec<u8>, Vec<u8>)>,
    /// How fresh a kept answer must be.
    demand: Demand,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequest")
            .field("class", &self.class)
            .field("auth_method", &self.auth_method)
            .finish_non_exhaustive()
    }
}

/// Values that are good once, or that stand for someone whose standing may change meanwhile: an
/// answer to one of these says nothing about the next request that carries it.
const SINGLE_USE: &[&str] = &[
    "code",
    "code_verifier",
    "refresh_token",
    "device_code",
    "auth_req_id",
    "ticket",
    "claim_token",
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "subject_token",
    "actor_token",
    "request",
    "request_uri",
    "nonce",
    "otp",
    "dpop_jkt",
    "req_cnf",
    "authorization_details",
];

const REFRESH_TOKEN: &str = "refresh_token";

/// Reads a token request. `headers` may have any order and case; pseudo-headers are passed over.
pub fn parse<'a>(
    head: Head<'_>,
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    body: &[u8],
    endpoint: &TokenEndpoint,
) -> TokenRequest {
    let survey = headers::survey(headers, endpoint);
    let basic = match survey.authorization {
        Some(value) if !survey.authorization_twice => client_auth::basic(value),
        _ => None,
    };
    let (written, parameters, form_error) = match read_parameters(&survey, body, endpoint) {
        Ok((written, parameters)) => (written, parameters, None),
        Err(why) => (Written::default(), Vec::new(), Some(why)),
    };
    let mut request = TokenRequest {
        class: Class::PassThrough(Why::Form),
        auth_method: AuthMethod::None,
        asks_for_fresh: false,
        written,
        client_id: None,
        grant_type: single(&parameters, "grant_type").map(str::to_owned),
        basic_pair: Vec::new(),
        parameters,
        shaping: Vec::new(),
        demand: survey.demand,
    };
    request.client_id = request.claimed_client(basic.as_ref(), survey.authorization.is_some());
    let refused = survey_head(head)
        .or(form_error)
        .or_else(|| request.ambiguous(&survey, basic.as_ref()))
        .or(survey.forbids);
    if let Some(basic) = basic {
        if basic.has_secret {
            request.auth_method = AuthMethod::Basic;
        }
        request.basic_pair = basic.pair;
    } else if single(&request.parameters, "client_secret").is_some_and(|secret| !secret.is_empty())
    {
        request.auth_method = AuthMethod::Post;
    }
    request.class = match refused {
        Some(why) => Class::PassThrough(why),
        None => request.classify(endpoint),
    };
    request.asks_for_fresh =
        refused == Some(Why::Bypass) && request.classify(endpoint) == Class::Reusable;
    request.shaping = survey.shaping;
    request
}

fn survey_head(head: Head<'_>) -> Option<Why> {
    if head.method != b"POST" {
        Some(Why::Method)
    } else if head.has_query {
        Some(Why::Query)
    } else if head.client_certificate {
        Some(Why::Certificate)
    } else {
        None
    }
}

/// A parameter's name and value.
type Parameter = (String, String);

fn read_parameters(
    survey: &Survey<'_>,
    body: &[u8],
    endpoint: &TokenEndpoint,
) -> Result<(Written, Vec<Parameter>), Why> {
    if body.len() > endpoint.body_bytes_max {
        return Err(Why::TooLarge);
    }
    let written = survey.content_type.and_then(Written::of).ok_or(Why::ContentType)?;
    let parameters =
        if written == Written::Json { json_body::parse(body) } else { form::parse(body) };
    let mut parameters = parameters.map_err(|error| match error {
        FormError::Unreadable => Why::Form,
        FormError::TooMany => Why::TooManyParameters,
    })?;
    // What isn't ASCII means something else there than in UTF-8.
    if matches!(written, Written::FormIn(_))
        && !parameters.iter().all(|(name, value)| name.is_ascii() && value.is_ascii())
    {
        return Err(Why::ContentType);
    }
    for (name, value) in &mut parameters {
        if name == "scope" {
            canonical_scope(value);
        }
    }
    sort::owned_by(&mut parameters, |one, other| one < other);
    Ok((written, parameters))
}

/// A scope is a set (RFC 6749, section 3.3). What isn't written as the grammar has it stays as it
/// is, since servers differ on it; it can't be mistaken for a set.
fn canonical_scope(scope: &mut String) {
    let mut names: Vec<&str> = scope.split(' ').collect();
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if names.iter().all(is_name) {
        sort::ascending(&mut names);
        names.dedup();
        *scope = names.join(" ");
    }
}

/// The value of a parameter that came once.
fn single<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = parameters.iter().filter(|(other, _)| other == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

impl TokenRequest {
    /// Whether an answer may be shared.
    pub fn class(&self) -> Class {
        self.class
    }

    /// How the client authenticates, as far as it is seen here.
    pub fn auth_method(&self) -> AuthMethod {
        self.auth_method
    }

    /// The client that the request claims to be; nothing where that can't be read for certain. It
    /// is not authenticated: good for limits beside the address, for nothing else.
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The grant type; nothing where it can't be read for certain.
    pub fn grant_type(&self) -> Option<&str> {
        self.grant_type.as_deref()
    }

    /// How fresh the client wants its answer. No part of the key: it says which kept answer will
    /// do.
    pub fn demand(&self) -> Demand {
        self.demand
    }

    /// The client that its parts name, if they all name the same. An assertion that can't be read
    /// names nobody.
    fn claimed_client(&self, basic: Option<&Basic>, has_authorization: bool) -> Option<String> {
        let named = self.named_client(basic, has_authorization);
        let of_jwt =
            single(&self.parameters, "client_assertion_type") == Some(client_auth::JWT_BEARER);
        let assertion = single(&self.parameters, "client_assertion").filter(|_| of_jwt);
        let Some(asserted) = assertion.and_then(client_auth::asserted) else { return named };
        let alone =
            !has_authorization && !self.parameters.iter().any(|(name, _)| name == "client_id");
        if alone { Some(asserted) } else { named.filter(|id| *id == asserted) }
    }

    fn named_client(&self, basic: Option<&Basic>, has_authorization: bool) -> Option<String> {
        let in_body = single(&self.parameters, "client_id");
        let named_in_body = self.parameters.iter().any(|(name, _)| name == "client_id");
        match (basic, in_body) {
            (Some(basic), Some(id)) => (basic.client_id == id).then(|| id.to_owned()),
            (Some(basic), None) => (!named_in_body).then(|| basic.client_id.clone()),
            // An Authorization that can't be read may name someone else.
            (None, Some(id)) => (!has_authorization && !id.is_empty()).then(|| id.to_owned()),
            (None, None) => None,
        }
    }

    fn ambiguous(&self, survey: &Survey<'_>, basic: Option<&Basic>) -> Option<Why> {
        let mut pairs = self.parameters.iter().zip(self.parameters.iter().skip(1));
        let has = |name: &str| self.parameters.iter().any(|(other, _)| other == name);
        if survey.authorization.is_some() && basic.is_none() {
            Some(Why::Authorization)
        } else if pairs.any(|(one, next)| one.0 == next.0) {
            Some(Why::Duplicate)
        } else if basic.is_some()
            && (has("client_secret") || (has("client_id") && self.client_id.is_none()))
        {
            Some(Why::TwoCredentials)
        } else {
            None
        }
    }

    /// What remains once the request is known to have one reading.
    fn classify(&self, endpoint: &TokenEndpoint) -> Class {
        let has = |name: &str| self.parameters.iter().any(|(other, _)| other == name);
        let (Some(grant_type), Some(client_id)) = (self.grant_type(), self.client_id()) else {
            return Class::PassThrough(if self.grant_type.is_none() {
                Why::Grant
            } else {
                Why::NoSecret
            });
        };
        if endpoint.except_clients.iter().any(|one| one == client_id) {
            return Class::PassThrough(Why::ExceptedClient);
        }
        if grant_type == REFRESH_TOKEN {
            let only_refresh = SINGLE_USE.iter().all(|name| *name == REFRESH_TOKEN || !has(name));
            return if endpoint.coalesce_refresh && only_refresh && has(REFRESH_TOKEN) {
                Class::CoalesceRefresh
            } else {
                Class::PassThrough(Why::Grant)
            };
        }
        if !endpoint.grant_types.iter().any(|one| one == grant_type) {
            return Class::PassThrough(Why::Grant);
        }
        if SINGLE_USE.iter().any(|name| has(name)) {
            return Class::PassThrough(Why::Assertion);
        }
        match self.auth_method {
            AuthMethod::None => Class::PassThrough(Why::NoSecret),
            AuthMethod::Basic | AuthMethod::Post => Class::Reusable,
        }
    }
}

#[cfg(test)]
mod tests;
