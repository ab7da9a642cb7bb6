//! Limits, checked.

use crate::callout::{Callout, Uri};
use crate::jwt::ClaimPath;
use crate::reply::FailureMode;

/// A limit: what is counted, how much of it passes, and what happens beyond.
#[derive(Clone, PartialEq, Debug)]
pub struct RateLimit {
    /// The name that rules use and metrics carry.
    pub name: String,
    /// What is counted apart.
    pub key: Vec<KeyPart>,
    /// How much it admits.
    pub amount: Amount,
    /// Other numbers for some tokens; the first that holds counts.
    pub tiers: Vec<super::Tier>,
    /// What happens when the count can't be kept.
    pub failure_mode: FailureMode,
    /// Whether refusals are only counted; no answer tells of it then.
    pub shadow: bool,
    /// Whether allowed answers carry RateLimit headers too.
    pub headers: bool,
    /// Which requests are charged.
    pub charge: Charging,
    /// Where it meets the same limit of other gateways.
    pub sync: Option<Sync>,
}

/// Which requests a limit is charged for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charging {
    /// Those that go on.
    Accepted,
    /// Those that are refused too.
    All,
}

/// Where limits of several gateways meet: a Redis behind Webdis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sync {
    /// Webdis's address.
    pub uri: Uri,
    /// How it is called.
    pub call: Callout,
    /// Milliseconds by which the gateways' counts may differ.
    pub every_ms: u64,
}

/// How much a limit admits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// `limit` per `per_s` seconds, `burst` at one instant after idle.
    Rate {
        /// How many requests pass in `per_s` seconds.
        limit: u64,
        /// The seconds that `limit` is for.
        per_s: u64,
        /// Requests at one instant.
        burst: u64,
    },
    /// `quota` per calendar window, in UTC.
    Quota {
        /// How many requests pass in a window.
        quota: u64,
        /// When the count begins anew.
        window: Window,
    },
}

/// A calendar window in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// From minute 0.
    Hour,
    /// From 00:00.
    Day,
    /// From the first day.
    Month,
}

/// A part of a limit's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPart {
    /// The full `iss` of the verified token.
    Issuer,
    /// Its `sub`.
    Subject,
    /// Its `client_id` (or `azp`); at a token endpoint the one claimed.
    ClientId,
    /// The consumer that the token stands for.
    Consumer,
    /// The client's address; IPv6 by /64.
    Address,
    /// A request header; lower case.
    Header(String),
    /// A claim of the verified token.
    Claim(ClaimPath),
    /// A capture of the issuer template or of the path template.
    Capture(String),
    /// The host's name of the route.
    Route,
}
