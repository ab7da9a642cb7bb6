//! What an operator is told of the servers that the filter calls: one line when the state of one
//! changes, with address and cause, and one when it answers again.
//!
//! Each worker says what it finds itself. That another one has heard of the same trouble doesn't
//! keep it silent; that nobody has trouble any more, it knows from shared memory.

use std::collections::HashMap;

use crate::callout::Uri;
use crate::digest::Digest;
use crate::signature::source::{JwksAt, KeySource};
use crate::time::Time;
use crate::token_endpoint::admission::Outcome;

use super::call::CallAnswer;
use super::told::Secret;
use super::{Endpoint, Fact, Facts, Queue, cause};

/// A server as the configuration names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Server {
    Metadata(usize),
    Keys(usize),
    Lookup(usize),
    Consumer(usize),
    Introspection(Endpoint),
    Feed(usize),
    Gateways(Secret),
    StatusLists(usize),
    Once,
    Elsewhere,
    TokenEndpoint(usize),
    Body(usize),
}

impl Server {
    fn of(fact: &Fact) -> Server {
        match fact {
            Fact::Metadata(issuer) => Server::Metadata(*issuer),
            Fact::Keys(issuer, _) => Server::Keys(*issuer),
            Fact::Credential(issuer, _) => Server::Lookup(*issuer),
            Fact::Consumer(issuer, _) => Server::Consumer(*issuer),
            Fact::Introspection(endpoint, _) => Server::Introspection(*endpoint),
            Fact::Feed(index, _) => Server::Feed(*index),
            Fact::Told(reading) => Server::Gateways(reading.secret),
            Fact::StatusList(issuer, _) => Server::StatusLists(*issuer),
            Fact::Once(_) => Server::Once,
            Fact::Elsewhere(_) => Server::Elsewhere,
        }
    }
}

/// What this worker has said of each server. There are as many as the configuration has.
#[derive(Default)]
pub(super) struct Troubles(HashMap<Server, Said>);

/// What it has said of one.
struct Said {
    /// The trouble, while there is one.
    cause: Option<String>,
    /// What is odd about its answer though it was taken.
    oddities: Vec<String>,
    /// Lines that may be written still, and when the last one was added to them.
    lines: u32,
    refilled_at: Time,
}

impl Said {
    fn nothing(now: Time) -> Said {
        Said { cause: None, oddities: Vec::new(), lines: LINES_MAX, refilled_at: now }
    }

    /// Takes one line of those that may be written.
    fn take_line(&mut self, now: Time) -> bool {
        let rests = now.ms_since(self.refilled_at) / LINE_MS;
        if rests > 0 || self.refilled_at.is_ahead_of(now) {
            let rests = u32::try_from(rests).unwrap_or(u32::MAX);
            self.lines = self.lines.saturating_add(rests).min(LINES_MAX);
            self.refilled_at = now;
        }
        let may = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        may
    }
}

/// Lines about one server at once, and milliseconds until there may be one more: of what strangers
/// can name, one token may bring trouble and the next one none.
const LINES_MAX: u32 = 10;
const LINE_MS: u64 = 10_000;

impl Facts<'_> {
    /// Notes what a call for `fact` has brought; to be called before its state changes.
    pub(super) fn note_trouble(
        &self,
        fact: &Fact,
        digest: &Digest,
        learnt: bool,
        answer: &CallAnswer<'_>,
    ) {
        let place = || self.place(fact);
        let trouble = (!learnt).then(|| cause::of_failure(self, fact, answer));
        // What a stranger has named has a state of its own, which says nothing of the server's.
        let before = match fact.queue() {
            Queue::Keys => Some(self.shared().read_state(digest).failures > 0),
            Queue::Asked | Queue::Token => None,
        };
        let oddities = if learnt { cause::oddities(self, fact, answer) } else { Vec::new() };
        self.say_change(Server::of(fact), place, trouble, before, oddities);
    }

    /// Notes that another gateway has an outage of a token endpoint.
    pub(super) fn note_outage_heard(&self, index: usize) {
        self.say_token_server(index, Some("another gateway has no answer from it".to_owned()));
    }

    /// Notes how a call of a client's to a token endpoint went.
    pub fn note_token_server(&self, index: usize, status: u16, outcome: Outcome) {
        let trouble = match outcome {
            Outcome::Answered => None,
            Outcome::Overloaded | Outcome::Error => Some(match status {
                0 => "no answer".to_owned(),
                200..=299 => "the answer broke off".to_owned(),
                status => format!("status {status}"),
            }),
            Outcome::Throttled | Outcome::Unknown => return,
        };
        self.say_token_server(index, trouble);
    }

    fn say_token_server(&self, index: usize, trouble: Option<String>) {
        let endpoint = self.runtime.config.token_endpoints.get(index);
        let place = || format!("token endpoint {}", endpoint.map_or("", |one| one.path.as_str()));
        self.say_change(Server::TokenEndpoint(index), place, trouble, None, Vec::new());
    }

    /// Notes whether the body of a call to a token endpoint came. Where none ever does, it is the
    /// gateway that doesn't hand it over.
    pub fn note_body(&self, index: usize, has_come: bool) {
        let is_known = self.runtime.worker.borrow().troubles.0.contains_key(&Server::Body(index));
        if has_come && !is_known {
            return;
        }
        let trouble = (!has_come).then(|| {
            "none came in time. If none ever does, the filter lacks \
             allow_on_headers_stop_iteration: true (Envoy)"
                .to_owned()
        });
        let endpoint = self.runtime.config.token_endpoints.get(index);
        let place =
            || format!("bodies of calls to {}", endpoint.map_or("", |one| one.path.as_str()));
        self.say_change(Server::Body(index), place, trouble, None, Vec::new());
    }

    /// `before`: whether any worker had this trouble before, where that is known.
    fn say_change(
        &self,
        server: Server,
        place: impl Fn() -> String,
        trouble: Option<String>,
        before: Option<bool>,
        oddities: Vec<String>,
    ) {
        let mut worker = self.runtime.worker.borrow_mut();
        let said = worker.troubles.0.entry(server).or_insert_with(|| Said::nothing(self.now));
        let had_trouble = before.unwrap_or(said.cause.is_some());
        let is_news = match &trouble {
            Some(cause) => !had_trouble || said.cause.as_ref() != Some(cause),
            None => had_trouble,
        };
        let is_odd = trouble.is_none() && oddities != said.oddities;
        if !is_news && !is_odd {
            return;
        }
        if !said.take_line(self.now) {
            return;
        }
        if is_news {
            match &trouble {
                Some(cause) => log::warn!("{}: {cause}", place()),
                None if matches!(server, Server::Body(_)) => {
                    log::warn!("{}: they come again", place());
                }
                None => log::warn!("{} answers again", place()),
            }
            said.cause = trouble;
        }
        if is_odd {
            let news = oddities.iter().filter(|oddity| !said.oddities.contains(oddity));
            news.for_each(|oddity| log::warn!("{}: {oddity}", place()));
            said.oddities = oddities;
        }
    }

    /// What is called for a fact, and where.
    fn place(&self, fact: &Fact) -> String {
        let config = &self.runtime.config;
        let issuer = |index: usize| config.issuers.get(index);
        let name = |index: usize| issuer(index).map_or("", |issuer| issuer.name.as_str());
        let keys = |index: usize| issuer(index).map(|issuer| &issuer.keys);
        match fact {
            Fact::Metadata(index) => {
                let at = match keys(*index) {
                    Some(KeySource::Jwks { at: JwksAt::Discovery(uri), .. }) => Some(uri),
                    _ => None,
                };
                format!("issuer {}: metadata at {}", name(*index), shown(at))
            }
            Fact::Keys(index, found) => {
                let at = match keys(*index) {
                    Some(KeySource::Jwks { at: JwksAt::Uri(uri), .. }) => Some(uri),
                    _ => found.as_ref(),
                };
                format!("issuer {}: JWK Set at {}", name(*index), shown(at))
            }
            Fact::Credential(index, _) | Fact::Consumer(index, _) => {
                let lookup = match keys(*index) {
                    Some(KeySource::Credentials(credentials)) => credentials.lookup.as_ref(),
                    _ => None,
                };
                let is_consumer = matches!(fact, Fact::Consumer(..));
                let at = lookup.and_then(|lookup| match is_consumer {
                    true => lookup.consumer_uri.as_ref(),
                    false => Some(&lookup.uri),
                });
                format!("issuer {}: lookup at {}", name(*index), shown(at))
            }
            Fact::Elsewhere(_) => {
                let at = config.gateways.as_ref().map(|gateways| &gateways.at.uri);
                format!("answers of gateways at {}", shown(at))
            }
            Fact::Told(reading) => {
                let at = config.gateways.as_ref().map(|gateways| &gateways.at.uri);
                match reading.secret {
                    Secret::Current => format!("gateways at {}", shown(at)),
                    Secret::Previous => format!("gateways at {}, previous secret", shown(at)),
                }
            }
            Fact::Introspection(endpoint, _) => {
                let at = endpoint.of(config).map(|introspection| &introspection.uri);
                match endpoint {
                    Endpoint::Document => format!("introspection at {}", shown(at)),
                    Endpoint::Of(index) => {
                        format!("issuer {}: introspection at {}", name(*index), shown(at))
                    }
                }
            }
            Fact::Feed(index, _) => {
                let at = config.revocation_feeds.get(*index).map(|feed| &feed.uri);
                format!("revocation feed at {}", shown(at))
            }
            Fact::Once(_) => {
                let at = config.gateways.as_ref().map(|gateways| &gateways.at.uri);
                format!("ids of gateways at {}", shown(at))
            }
            // The list's own URL is what a token says.
            Fact::StatusList(index, _) => {
                let lists = config.status_lists_of(*index);
                let prefix = lists.map_or("an unknown place", |lists| lists.uri_prefix.as_str());
                format!("issuer {}: status list below {prefix}", name(*index))
            }
        }
    }
}

/// A URL without its query, in which there may be a secret.
fn shown(uri: Option<&Uri>) -> String {
    let Some(uri) = uri else { return "an unknown place".to_owned() };
    let path = uri.path.split('?').next().unwrap_or_default();
    let scheme = if uri.https { "https" } else { "http" };
    format!("{scheme}://{}{path}", uri.authority)
}

#[cfg(test)]
mod tests;
