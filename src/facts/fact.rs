//! The facts that a verdict may lack, each one call away: how each is called for, taken in,
//! counted, and refused when it can't be had. A new one is a variant here, and a file beside this.

use std::rc::Rc;

use crate::callout::{Callout, Uri};
use crate::config::Config;
use crate::digest::{Digest, HostKey};
use crate::jwt::introspection::Introspection;
use crate::metrics::Metric;
use crate::reply::Reason;
use crate::revocation::feed::{Feed, Kind};
use crate::signature::source::{JwksAt, KeySource};
use crate::time::Time;

use super::asked::Source;
use super::call::{Call, CallAnswer, percent_encode};
use super::elsewhere::Asking;
use super::told::Reading;
use super::{Claim, Facts, Queue, Runtime, feeds, question};

/// Which introspection endpoint is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Endpoint {
    /// The document's, beside what verified.
    Document,
    /// That of the issuer at this index, whose tokens are opaque.
    Of(usize),
}

impl Endpoint {
    /// The endpoint, if the configuration has it.
    pub fn of(self, config: &Config) -> Option<&Introspection> {
        match self {
            Endpoint::Document => config.introspection.as_ref(),
            Endpoint::Of(index) => Some(&config.issuers.get(index)?.opaque.as_ref()?.introspection),
        }
    }
}

/// One missing fact.
#[derive(Clone, PartialEq, Eq)]
pub enum Fact {
    /// Where an issuer's JWK Set is, from its metadata document.
    Metadata(usize),
    /// An issuer's JWK Set. The second field is where it is, if discovery told it.
    Keys(usize, Option<Uri>),
    /// The credential under a key id at an issuer's server.
    Credential(usize, String),
    /// The consumer of that credential.
    Consumer(usize, String),
    /// What an introspection endpoint says of a token.
    Introspection(Endpoint, Vec<u8>),
    /// What a revocation feed tells. The second field is what the call says of what is known: of a
    /// list its entity tag, to a stream's server all of the body.
    Feed(usize, Option<String>),
    /// What other gateways have told of revocations.
    Told(Box<Reading>),
    /// An issuer's status list at this URL.
    StatusList(usize, String),
    /// Whether what counts once at all gateways is used for the first time.
    Once(Rc<Claim>),
    /// What other gateways have of a token call, or the lease on it.
    Elsewhere(Box<Asking>),
}

impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Fact {
    /// Takes in what a fetch brought that was asked for at `asked_at`; tells whether it brought the
    /// fact.
    pub(super) fn take_in(
        &self,
        facts: &Facts<'_>,
        asked_at: Time,
        answer: &CallAnswer<'_>,
    ) -> bool {
        match self {
            Fact::Metadata(issuer) => facts.learn_metadata(*issuer, answer),
            Fact::Keys(issuer, _) => facts.learn_keys(*issuer, asked_at, answer),
            Fact::Credential(issuer, id) => facts.learn_credential(*issuer, id, answer),
            Fact::Consumer(issuer, id) => facts.learn_consumer(*issuer, id, answer),
            Fact::Introspection(Endpoint::Document, token) => {
                facts.learn_introspection(token, answer)
            }
            Fact::Introspection(Endpoint::Of(issuer), token) => {
                facts.learn_opaque(*issuer, token, answer)
            }
            Fact::Feed(index, about) => {
                facts.learn_feed(*index, about.as_deref(), asked_at, answer)
            }
            Fact::Told(reading) => facts.learn_told(reading, asked_at, answer),
            Fact::StatusList(issuer, uri) => {
                facts.learn_status_list(*issuer, uri, asked_at, answer)
            }
            Fact::Once(claim) => facts.learn_claim(claim, answer),
            Fact::Elsewhere(asking) => facts.learn_elsewhere(asking, answer),
        }
    }

    /// What is counted when a fetch has brought it, and when it hasn't.
    pub(super) fn counted(&self) -> (Metric, Metric) {
        match self {
            Fact::Metadata(_) | Fact::Keys(..) => (Metric::JwksFetched, Metric::JwksFetchFailed),
            Fact::Credential(..) | Fact::Consumer(..) => {
                (Metric::LookupFetched, Metric::LookupFailed)
            }
            Fact::Introspection(..) => (Metric::IntrospectionFetched, Metric::IntrospectionFailed),
            Fact::Feed(..) => (Metric::RevocationFeedRead, Metric::RevocationFeedFailed),
            Fact::Told(_) => (Metric::GatewaysRead, Metric::GatewaysFailed),
            Fact::StatusList(..) => (Metric::StatusListFetched, Metric::StatusListFailed),
            Fact::Once(_) => (Metric::ReplayAsked, Metric::ReplayAskFailed),
            Fact::Elsewhere(_) => (Metric::AnswersAsked, Metric::AnswersFailed),
        }
    }

    /// Why a request is refused for whom it can't be had.
    pub fn refused_as(&self) -> Reason {
        match self {
            Fact::Introspection(..) => Reason::IntrospectionUnavailable,
            Fact::Feed(..) | Fact::Told(_) => Reason::RevocationUnavailable,
            Fact::StatusList(..) => Reason::StatusUnavailable,
            Fact::Once(_) => Reason::ReplayUnavailable,
            Fact::Elsewhere(_) => Reason::TokenServerUnavailable,
            Fact::Metadata(_) | Fact::Keys(..) | Fact::Credential(..) | Fact::Consumer(..) => {
                Reason::KeysUnavailable
            }
        }
    }

    /// Among whom it is waited for.
    pub fn queue(&self) -> Queue {
        match self {
            Fact::Metadata(_) | Fact::Keys(..) | Fact::Feed(..) | Fact::Told(_) => Queue::Keys,
            Fact::Credential(..)
            | Fact::Consumer(..)
            | Fact::Introspection(..)
            | Fact::StatusList(..)
            | Fact::Once(_) => Queue::Asked,
            Fact::Elsewhere(_) => Queue::Token,
        }
    }

    /// Where it is asked for, if strangers can name it: then questions have a pace.
    pub(super) fn source(&self, runtime: &Runtime) -> Option<Source> {
        let (config, key) = (&runtime.config, &runtime.host_key);
        match self {
            Fact::Introspection(endpoint, _) => {
                let introspection = endpoint.of(config)?;
                let uri = introspection.uri.to_string();
                let name = match endpoint {
                    Endpoint::Document => key.digest("source", &[b"introspection", uri.as_bytes()]),
                    Endpoint::Of(index) => {
                        let issuer = config.issuers.get(*index)?.name.as_bytes();
                        key.digest("source", &[b"opaque tokens", issuer, uri.as_bytes()])
                    }
                };
                Some(Source {
                    name,
                    calls_per_s_max: introspection.calls_per_s_max,
                    capped: Metric::IntrospectionCapped,
                    paused: Metric::IntrospectionPaused,
                })
            }
            Fact::Credential(index, _) | Fact::Consumer(index, _) => {
                let issuer = config.issuers.get(*index)?;
                let KeySource::Credentials(credentials) = &issuer.keys else { return None };
                let lookup = credentials.lookup.as_ref()?;
                let (name, uri) = (issuer.name.as_bytes(), lookup.uri.to_string());
                Some(Source {
                    name: key.digest("source", &[b"lookup", name, uri.as_bytes()]),
                    calls_per_s_max: lookup.calls_per_s_max,
                    capped: Metric::LookupCapped,
                    paused: Metric::LookupPaused,
                })
            }
            // Named by good tokens alone, and by those there may be many.
            Fact::StatusList(index, _) => {
                let lists = config.status_lists_of(*index)?;
                let issuer = config.issuers.get(*index)?.name.as_bytes();
                Some(Source {
                    name: key.digest("source", &[b"status lists", issuer]),
                    calls_per_s_max: lists.calls_per_s_max,
                    capped: Metric::StatusListCapped,
                    paused: Metric::StatusListPaused,
                })
            }
            Fact::Metadata(_)
            | Fact::Keys(..)
            | Fact::Feed(..)
            | Fact::Told(_)
            | Fact::Once(_)
            | Fact::Elsewhere(_) => None,
        }
    }

    /// A word for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Fact::Metadata(_) => "metadata",
            Fact::Keys(..) => "keys",
            Fact::Credential(..) => "credential",
            Fact::Consumer(..) => "consumer",
            Fact::Introspection(..) => "introspection",
            Fact::Feed(..) => "feed",
            Fact::Told(_) => "gateways",
            Fact::StatusList(..) => "status list",
            Fact::Once(_) => "ids of gateways",
            Fact::Elsewhere(_) => "answers of gateways",
        }
    }

    /// What the fact is known as in this worker and in shared memory. The entry that asks for it is
    /// part of it: what was learnt under one configuration isn't true under another, but one that
    /// differs elsewhere forgets nothing.
    pub fn digest(&self, key: &HostKey, config: &Config) -> Digest {
        let issuer = |index: usize| {
            config.issuers.get(index).map(|issuer| issuer.digest).unwrap_or_default()
        };
        match self {
            Fact::Metadata(index) => key.digest("metadata", &[&issuer(*index)]),
            Fact::Keys(index, _) => key.digest("keys", &[&issuer(*index)]),
            Fact::Credential(index, id) => {
                key.digest("credential", &[&issuer(*index), id.as_bytes()])
            }
            Fact::Consumer(index, id) => key.digest("consumer", &[&issuer(*index), id.as_bytes()]),
            Fact::Introspection(Endpoint::Document, token) => {
                let endpoint = Endpoint::Document.of(config).map(|of| of.digest);
                key.digest("introspection", &[&endpoint.unwrap_or_default(), token])
            }
            Fact::Introspection(Endpoint::Of(index), token) => {
                key.digest("opaque token", &[&issuer(*index), token])
            }
            Fact::Feed(index, _) => config
                .revocation_feeds
                .get(*index)
                .map_or(Digest([0; 32]), |feed| feed_digest(key, feed)),
            Fact::Told(reading) => reading.digest(key, config),
            Fact::Elsewhere(asking) => asking.name(key),
            Fact::StatusList(index, uri) => {
                key.digest("status list", &[&issuer(*index), uri.as_bytes()])
            }
            Fact::Once(claim) => claim.digest(),
        }
    }

    /// All that those wait for whom it serves.
    pub fn names(&self, key: &HostKey, config: &Config) -> Vec<Digest> {
        match self {
            Fact::Elsewhere(asking) => asking.names(key),
            Fact::Metadata(_)
            | Fact::Keys(..)
            | Fact::Credential(..)
            | Fact::Consumer(..)
            | Fact::Introspection(..)
            | Fact::Feed(..)
            | Fact::Told(_)
            | Fact::StatusList(..)
            | Fact::Once(_) => vec![self.digest(key, config)],
        }
    }

    /// Takes along what `other` asks; false if one call can't bring both.
    pub fn take_along(&mut self, other: &Fact) -> bool {
        let (Fact::Elsewhere(asking), Fact::Elsewhere(other)) = (self, other) else {
            return false;
        };
        asking.take_along(other)
    }

    /// How it is called for; nothing if the configuration has no such source.
    pub fn callout<'a>(&self, config: &'a Config) -> Option<&'a Callout> {
        match self {
            Fact::Metadata(index) | Fact::Keys(index, _) => {
                match &config.issuers.get(*index)?.keys {
                    KeySource::Jwks { call, .. } => Some(call),
                    KeySource::Inline(_) | KeySource::Credentials(_) => None,
                }
            }
            Fact::Credential(index, _) | Fact::Consumer(index, _) => {
                match &config.issuers.get(*index)?.keys {
                    KeySource::Credentials(credentials) => Some(&credentials.lookup.as_ref()?.call),
                    KeySource::Inline(_) | KeySource::Jwks { .. } => None,
                }
            }
            Fact::Introspection(endpoint, _) => Some(&endpoint.of(config)?.call),
            Fact::Feed(index, _) => Some(&config.revocation_feeds.get(*index)?.call),
            Fact::Told(_) | Fact::Once(_) | Fact::Elsewhere(_) => {
                Some(&config.gateways.as_ref()?.at.call)
            }
            Fact::StatusList(index, _) => Some(&config.status_lists_of(*index)?.call),
        }
    }

    /// The call that brings it, but for what is made anew for each call
    /// ([`Facts::call`](super::Facts::call)); nothing if the configuration has no such source.
    pub fn call(&self, config: &Config) -> Option<Call> {
        match self {
            Fact::Metadata(index) => match &config.issuers.get(*index)?.keys {
                KeySource::Jwks { at: JwksAt::Discovery(uri), call, .. } => {
                    Some(Call::get(uri, call))
                }
                KeySource::Jwks { at: JwksAt::Uri(_), .. }
                | KeySource::Inline(_)
                | KeySource::Credentials(_) => None,
            },
            Fact::Keys(index, found) => match (&config.issuers.get(*index)?.keys, found) {
                (KeySource::Jwks { call, set_cluster, .. }, Some(uri)) => {
                    let mut call = Call::get(uri, call);
                    if set_cluster.is_some() {
                        call.cluster.clone_from(set_cluster);
                    }
                    Some(call)
                }
                (KeySource::Jwks { at: JwksAt::Uri(uri), call, .. }, None) => {
                    Some(Call::get(uri, call))
                }
                (KeySource::Jwks { at: JwksAt::Discovery(_), .. }, None)
                | (KeySource::Inline(_) | KeySource::Credentials(_), _) => None,
            },
            Fact::Credential(index, id) => {
                let KeySource::Credentials(credentials) = &config.issuers.get(*index)?.keys else {
                    return None;
                };
                let lookup = credentials.lookup.as_ref()?;
                Some(Call::get(&with_key(&lookup.uri, id), &lookup.call))
            }
            Fact::Consumer(index, id) => {
                let KeySource::Credentials(credentials) = &config.issuers.get(*index)?.keys else {
                    return None;
                };
                let lookup = credentials.lookup.as_ref()?;
                Some(Call::get(&with_key(lookup.consumer_uri.as_ref()?, id), &lookup.call))
            }
            Fact::Introspection(endpoint, token) => {
                Some(question::call(endpoint.of(config)?, token))
            }
            Fact::Feed(index, about) => {
                Some(feeds::call(config.revocation_feeds.get(*index)?, about.as_deref()))
            }
            Fact::Told(reading) => reading.call(config),
            Fact::Elsewhere(asking) => asking.call(config),
            Fact::StatusList(index, uri) => {
                let lists = config.status_lists_of(*index)?;
                Some(Call::get_as(&Uri::parse(uri)?, &lists.call, "application/statuslist+jwt"))
            }
            Fact::Once(claim) => claim.call(config),
        }
    }
}

/// `{key}` in the path, percent-encoded. It is non-empty and at most 256 bytes: `keys` sees to
/// that, since an empty one would ask Kong's Admin API for the whole list.
fn with_key(uri: &Uri, id: &str) -> Uri {
    Uri { path: uri.path.replace("{key}", &percent_encode(id.as_bytes())), ..uri.clone() }
}

/// A feed is known by what is asked and how, not by the whole document: a new configuration must
/// not forget what was revoked. What is believed without a signature is another feed than what has
/// one.
fn feed_digest(key: &HostKey, feed: &Feed) -> Digest {
    let uri = feed.uri.to_string();
    let cluster = feed.call.cluster.as_deref().unwrap_or_default();
    let mut fields = vec![uri.as_bytes(), cluster.as_bytes()];
    for (name, value) in &feed.call.headers {
        fields.extend([name.as_bytes(), value.expose()]);
    }
    match &feed.kind {
        Kind::List => {}
        Kind::Signed(signer) => fields.extend([&b"signed"[..], signer.iss.as_bytes()]),
        Kind::Stream { signer, audience } => {
            let audience = audience.as_deref().unwrap_or_default();
            fields.extend([&b"stream"[..], signer.iss.as_bytes(), audience.as_bytes()]);
        }
    }
    let domain = match feed.kind {
        Kind::List => "feed v2",
        Kind::Signed(_) | Kind::Stream { .. } => "signed feed",
    };
    key.digest(domain, &fields)
}
