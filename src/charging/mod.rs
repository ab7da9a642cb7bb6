//! Limits of a request: keys from what is verified, one charge for all of them or for none.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

use crate::config::Config;
use crate::digest::{Digest, HostKey};
use crate::facts::{Facts, Verified};
use crate::gateways;
use crate::jwt::issuer::IssuerMatch;
use crate::metrics::Metric;
use crate::rate_limit::{self, Address, Claim, KeyPartValue, Status, What};
use crate::rate_limit::{KeyPart, RateLimit, Told};
use crate::reply::ErrorStyle;
use crate::reply::{Reason, Refusal};
use crate::request::Request;
use crate::shared::Unavailable;

/// Who is charged: everything that a limit's key may name.
pub struct Payer<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// Its verified token.
    pub verified: Option<&'a Verified>,
    /// The client id that a token request claims; it isn't authenticated yet.
    pub claimed_client: Option<&'a str>,
    /// What the rule's path template captured.
    pub captures: &'a [(String, String)],
}

/// What an answer says of limits.
pub type LimitHeaders = Vec<(String, String)>;

/// Charges a request to the limits at these indices; gives the headers for its answer, where
/// limits ask for them.
///
/// # Errors The refusal of the limit that is exceeded, or whose count can't be kept and whose
/// `failure_mode` is `deny`.
#[inline(always)]
pub fn charge(
    facts: &Facts<'_>,
    limits: &[usize],
    payer: &Payer<'_>,
) -> Result<Option<LimitHeaders>, Box<Refusal>> {
    if limits.is_empty() { Ok(None) } else { charge_each(facts, limits, payer) }
}

#[inline(never)]
fn charge_each(
    facts: &Facts<'_>,
    limits: &[usize],
    payer: &Payer<'_>,
) -> Result<Option<LimitHeaders>, Box<Refusal>> {
    let config = &facts.runtime.config;
    let claims = claims_of(facts, limits, payer);
    carry_over(facts, limits, &claims, payer);
    let outcome = rate_limit::charge(&facts.runtime.compiled.counters, &facts.moment(), &claims);
    for ((index, _), status) in named(config, limits).zip(&outcome.limits) {
        count_limit(facts, index, status);
    }
    let headers = |only_asked: bool| {
        let told = claims.iter().zip(&outcome.limits);
        // A limit in shadow is heard of in no answer.
        limit_headers(
            told.filter(|(Claim { limit, .. }, _)| !limit.shadow && (!only_asked || limit.headers)),
            config.errors,
        )
    };
    match outcome.verdict {
        rate_limit::Verdict::Allowed => {
            for (((index, limit), claim), status) in
                named(config, limits).zip(&claims).zip(&outcome.limits)
            {
                if limit.sync.is_some() && status.what == What::Charged {
                    gateways::note_charge(facts, index, claim, |key| {
                        counter_of(facts, key, limit, payer)
                    });
                }
            }
            Ok(Some(headers(true)).filter(|headers| !headers.is_empty()))
        }
        rate_limit::Verdict::Refused { retry_after_s, .. } => {
            let mut refusal = Refusal::from(Reason::Limited);
            refusal.retry_after_s = Some(retry_after_s);
            refusal.limit_headers = headers(false);
            Err(Box::new(refusal))
        }
    }
}

/// While a secret is being replaced: what was charged under the other one counts too.
fn carry_over(facts: &Facts<'_>, limits: &[usize], claims: &[Claim<'_>], payer: &Payer<'_>) {
    let Some(key) = facts.runtime.host_key.previous() else { return };
    for ((_, limit), claim) in named(&facts.runtime.config, limits).zip(claims) {
        let previous = counter_of(facts, key, limit, payer);
        let Some(charge) = claim.charge() else { continue };
        let counters = &facts.runtime.compiled.counters;
        // What can't be taken in now is with the next request.
        if let Err(Unavailable::Exhausted) = counters.carry_over(&facts.moment(), &charge, previous)
        {
            facts.host.meter.count(Metric::CasExhausted);
        }
    }
}

/// Whether a request may go on as far as these limits say now. It isn't charged.
///
/// # Errors
/// The refusal of a limit that is exceeded.
#[inline(never)]
pub fn within(facts: &Facts<'_>, limits: &[usize], payer: &Payer<'_>) -> Result<(), Box<Refusal>> {
    let config = &facts.runtime.config;
    let claims = claims_of(facts, limits, payer);
    carry_over(facts, limits, &claims, payer);
    let Some((verdict, statuses)) =
        rate_limit::over(&facts.runtime.compiled.counters, &facts.moment(), &claims)
    else {
        return Ok(());
    };
    for ((index, _), status) in named(config, limits).zip(&statuses) {
        count_limit(facts, index, status);
    }
    let mut refusal = Refusal::from(Reason::Limited);
    if let rate_limit::Verdict::Refused { retry_after_s, .. } = verdict {
        refusal.retry_after_s = Some(retry_after_s);
    }
    refusal.limit_headers = limit_headers(claims.iter().zip(&statuses), config.errors);
    Err(Box::new(refusal))
}

fn count_limit(facts: &Facts<'_>, index: usize, status: &Status) {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let meter = facts.host.meter;
    match status.what {
        What::Charged => meter.count(Metric::LimitAllowed(index)),
        What::Over => meter.count(Metric::LimitDenied(index)),
        What::NotCharged => {}
        What::Uncounted(Unavailable::Exhausted) => {
            meter.count(Metric::CasExhausted);
            meter.count(Metric::LimitFailed(index));
        }
        What::Uncounted(_) | What::OutOfBounds => meter.count(Metric::LimitFailed(index)),
    }
    if status.sketch {
        meter.count(Metric::LimitSketch(index));
    }
}

/// The limits at these indices.
fn named<'a>(
    config: &'a Config,
    limits: &'a [usize],
) -> impl Iterator<Item = (usize, &'a RateLimit)> {
    limits.iter().filter_map(|index| Some((*index, config.rate_limits.get(*index)?)))
}

/// What a request is charged to each of these limits, in their order.
fn claims_of<'a>(facts: &'a Facts<'_>, limits: &'a [usize], payer: &Payer<'_>) -> Vec<Claim<'a>> {
    let claim = |(index, limit): (usize, &'a RateLimit)| {
        let config = &facts.runtime.config;
        let make = || counter_of(facts, &facts.runtime.host_key, limit, payer);
        let digest = match payer.verified {
            Some(verified) if is_by_token_alone(limit, payer) => {
                verified.counters.of(index, config.rate_limits.len(), make)
            }
            _ => make(),
        };
        let claims = payer.verified.map(|verified| &verified.claims);
        limit.claim(claims, digest, gateways::sharing(facts, index))
    };
    let mut claims = Vec::with_capacity(limits.len());
    claims.extend(named(&facts.runtime.config, limits).map(claim));
    claims
}

/// Whether the same token is charged to the same counter by each of its requests.
fn is_by_token_alone(limit: &RateLimit, payer: &Payer<'_>) -> bool {
    limit.key.iter().all(|part| match part {
        KeyPart::Issuer | KeyPart::Subject | KeyPart::Consumer | KeyPart::Claim(_) => true,
        KeyPart::ClientId => payer.claimed_client.is_none(),
        KeyPart::Capture(name) => payer.captures.iter().all(|(known, _)| known != name),
        KeyPart::Address | KeyPart::Header(_) | KeyPart::Route => false,
    })
}

/// The name of the counter that a request is charged to, under a key: the host's, or that of all
/// gateways.
fn counter_of(facts: &Facts<'_>, key: &HostKey, limit: &RateLimit, payer: &Payer<'_>) -> Digest {
    let owned: Vec<Part> = limit.key.iter().map(|part| part_of(facts, part, payer)).collect();
    let values: Vec<KeyPartValue<'_>> = owned
        .iter()
        .map(|part| match part {
            Part::Absent => KeyPartValue::Absent,
            Part::Bytes(bytes) => KeyPartValue::Bytes(bytes),
            Part::Address(address) => KeyPartValue::Address(*address),
        })
        .collect();
    limit.counter(payer.verified.map(|verified| &verified.claims), key, &values)
}

fn part_of(facts: &Facts<'_>, part: &KeyPart, payer: &Payer<'_>) -> Part {
    let claims = payer.verified.map(|verified| &verified.claims);
    let text = |text: Option<&str>| {
        text.map_or(Part::Absent, |text| Part::Bytes(text.as_bytes().to_vec()))
    };
    match part {
        KeyPart::Issuer => text(claims.and_then(|claims| claims.iss.as_deref())),
        KeyPart::Subject => text(claims.and_then(|claims| claims.sub.as_deref())),
        KeyPart::ClientId => {
            text(payer.claimed_client.or(claims.and_then(|claims| claims.client_id.as_deref())))
        }
        KeyPart::Consumer => text(payer.verified.and_then(|verified| {
            let consumer = &verified.consumer;
            consumer
                .id
                .as_deref()
                .or(consumer.username.as_deref())
                .or(consumer.custom_id.as_deref())
        })),
        KeyPart::Address => {
            let address = payer.request.surroundings.address();
            address.and_then(|address| Address::parse(&address)).map_or(Part::Absent, Part::Address)
        }
        KeyPart::Header(name) => {
            let of_name = payer
                .request
                .headers
                .iter()
                .filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
            let values: Vec<&[u8]> = of_name.map(|(_, value)| value).collect();
            if values.is_empty() { Part::Absent } else { Part::Bytes(values.join(&0)) }
        }
        KeyPart::Claim(path) => match claims.and_then(|claims| claims.get(path)) {
            None | Some(serde_json::Value::Null) => Part::Absent,
            Some(serde_json::Value::String(value)) => Part::Bytes(value.as_bytes().to_vec()),
            // The quotes of JSON keep a number apart from a string of its digits.
            Some(other) => Part::Bytes(format!("\u{0}{other}").into_bytes()),
        },
        KeyPart::Capture(name) => match payer.captures.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Part::Bytes(value.as_bytes().to_vec()),
            None => text(
                payer
                    .verified
                    .and_then(|verified| issuer_capture(facts, verified, name))
                    .as_deref(),
            ),
        },
        KeyPart::Route => text(payer.request.surroundings.route().as_deref()),
    }
}

fn issuer_capture(facts: &Facts<'_>, verified: &Verified, name: &str) -> Option<String> {
    let IssuerMatch::Template(template) = &facts.issuer(verified.issuer).ok()?.matcher else {
        return None;
    };
    template.matches(verified.claims.iss.as_deref()?)?.get(name).map(str::to_owned)
}

enum Part {
    Absent,
    Bytes(Vec<u8>),
    Address(Address),
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10); Kong's own beside
/// them where clients know those.
fn limit_headers<'a>(
    limits: impl Iterator<Item = (&'a Claim<'a>, &'a Status)>,
    style: ErrorStyle,
) -> Vec<(String, String)> {
    let (mut standing, mut policies, mut by_period) = (Vec::new(), Vec::new(), Vec::new());
    for (Claim { limit, amount, .. }, status) in limits {
        let Told { quota, window_s, period } = amount.told();
        standing.push(format!("\"{}\";r={};t={}", limit.name, status.remaining, status.reset_s));
        policies.push(match window_s {
            Some(window_s) => format!("\"{}\";q={quota};w={window_s}", limit.name),
            None => format!("\"{}\";q={quota}", limit.name),
        });
        if let Some(period) = period.filter(|_| style == ErrorStyle::Kong) {
            by_period.push((format!("x-ratelimit-limit-{period}"), quota.to_string()));
            by_period
                .push((format!("x-ratelimit-remaining-{period}"), status.remaining.to_string()));
        }
    }
    if standing.is_empty() {
        return Vec::new();
    }
    let mut headers = vec![
        ("ratelimit".to_owned(), standing.join(", ")),
        ("ratelimit-policy".to_owned(), policies.join(", ")),
    ];
    headers.extend(by_period);
    headers
}

#[cfg(test)]
mod tests;
