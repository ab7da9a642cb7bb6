//! One-sided jitter: clients that started together must not end together.
//!
//! A gateway can't make a token live longer, so a lifetime only ever shrinks, by a share from 0 to
//! the endpoint's `jitter`. The draw is a keyed hash of client and period: equal in all workers,
//! unknown to clients, and different for two clients in the same millisecond.

use crate::digest::{Digest, HostKey};
use crate::time::Time;
use crate::token_endpoint::TokenEndpoint;

use super::answer::{self, Jwt};
use super::members::Object;
use super::spans::{self, Left};

/// The largest share; more would more than double the calls that reach the server.
const SHARE_MAX: f64 = 0.5;
const PPM: u64 = 1_000_000;

/// A uniform draw from all 64-bit numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draw(u64);

impl Draw {
    /// Shortens nothing: for grants and endpoints without jitter.
    pub const NONE: Draw = Draw(0);

    /// The draw of a subject ([`TokenRequest::jitter_subject`](super::request::TokenRequest)) in
    /// the period that begins at `period` (the moment the answer was asked for), in steps of 1 ms.
    pub fn of(key: &HostKey, subject: &Digest, period: Time) -> Draw {
        let mut bytes = [0u8; 48];
        let fields = b"jitter\0\0".iter().chain(&subject.0);
        bytes
            .iter_mut()
            .zip(fields.copied().chain(period.ms().to_le_bytes()))
            .for_each(|(to, from)| *to = from);
        Draw(key.short(&bytes))
    }

    /// From a stored number.
    pub(super) const fn from_bits(bits: u64) -> Draw {
        Draw(bits)
    }

    /// As a number to store.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// The advertised lifetime: uniform over the whole seconds from `lifetime_s * (1 - jitter)`,
    /// rounded up, to `lifetime_s`, both ends included; at least 1.
    pub fn advertised_s(self, lifetime_s: u64, jitter: f64) -> u64 {
        let cut_max = u128::from(lifetime_s) * u128::from(share_ppm(jitter)) / u128::from(PPM);
        let cut = (u128::from(self.0) * (cut_max + 1)) >> 64;
        // `cut` is at most half of a u64.
        lifetime_s.saturating_sub(cut as u64).max(1)
    }

    /// A span in milliseconds, shortened by the same share in finer steps.
    pub fn shorten_ms(self, span_ms: u64, jitter: f64) -> u64 {
        let cut_max = u128::from(span_ms) * u128::from(share_ppm(jitter)) / u128::from(PPM);
        let cut = (u128::from(self.0) * (cut_max + 1)) >> 64;
        span_ms.saturating_sub(cut as u64)
    }

    /// A number from 0 to `below - 1` that says nothing about the share.
    pub(super) fn other(self, below: u64) -> u64 {
        let low = u128::from(self.0 & 0xffff_ffff);
        ((low * u128::from(below)) >> 32) as u64
    }
}

/// Millionths; no jitter for what isn't a share.
fn share_ppm(jitter: f64) -> u64 {
    if jitter.is_nan() { 0 } else { (jitter.clamp(0.0, SHARE_MAX) * PPM as f64).round() as u64 }
}

/// Whether 200 answers to this grant are shortened. A grant that couldn't be read counts as one of
/// all.
pub fn applies(endpoint: &TokenEndpoint, grant_type: Option<&str>) -> bool {
    share_ppm(endpoint.jitter) > 0
        && match (&endpoint.jitter_grants, grant_type) {
            (None, _) => true,
            (Some(grants), Some(grant_type)) => grants.iter().any(|one| one == grant_type),
            (Some(_), None) => false,
        }
}

/// What a rewritten body may look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// A smaller number, in as many bytes as it takes.
    Shorter,
    /// As long as it was: spaces after the number make up for lost digits.
    SameLength,
}

/// A token answer on its way to the client that asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shortened {
    /// Send this body; only the bytes of the top level's `expires_in` differ.
    Rewritten {
        /// The new body.
        body: Vec<u8>,
        /// Its `expires_in`.
        expires_in_s: u64,
    },
    /// Send it as it came; the draw left the number as it is.
    Same,
    /// Send it as it came and count it: no lifetime that could be shortened safely.
    Odd,
}

/// Shortens the lifetime of a complete 200 answer in `application/json` without an encoding, of any
/// grant, also one that may not be stored. `now` bounds it by the `exp` of a JWT.
pub fn shorten(body: &[u8], draw: Draw, jitter: f64, now: Time, fit: Fit) -> Shortened {
    let Some(object) = Object::read(body) else { return Shortened::Odd };
    let Some(lifetime_s) = object.present("expires_in").and_then(answer::lifetime_s) else {
        return Shortened::Odd;
    };
    if object.present("error").is_some() {
        return Shortened::Odd;
    }
    let access_token = object.string("access_token").ok().flatten().unwrap_or_default();
    let until_exp_s = match Jwt::read(&access_token).map(|jwt| jwt.exp_s) {
        Ok(Some(exp_s)) => Time::from_s(exp_s).ms_since(now) / 1000,
        Ok(None) | Err(answer::NotClear) => u64::MAX,
    };
    let expires_in_s =
        if until_exp_s == 0 { 0 } else { draw.advertised_s(lifetime_s.min(until_exp_s), jitter) };
    if expires_in_s == lifetime_s {
        return Shortened::Same;
    }
    // A token that is over already by our clock isn't ours to mend.
    let left = Left { expires_in_s, age_s: None, now };
    let rewritten = (expires_in_s > 0).then(|| spans::rewritten(&object, &left, fit)).flatten();
    rewritten.map_or(Shortened::Odd, |body| Shortened::Rewritten { body, expires_in_s })
}

/// A kept body, asked for `age_s` ago, with this `expires_in` and what else has aged; every other
/// byte as it was. Nothing when it isn't one strict JSON object, or its `expires_in` isn't one or
/// is less.
pub fn aged(body: &[u8], expires_in_s: u64, age_s: u64, now: Time) -> Option<Vec<u8>> {
    let object = Object::read(body)?;
    if let Some(text) = object.present("expires_in") {
        answer::lifetime_s(text)?;
    }
    spans::rewritten(&object, &Left { expires_in_s, age_s: Some(age_s), now }, Fit::Shorter)
}

#[cfg(test)]
mod tests;
