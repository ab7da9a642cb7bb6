//! A stored answer: how long it may be served again, and with which `expires_in`.

use crate::digest::{Digest, HostKey};
use crate::time::{AHEAD_MS_MAX, Time};
use crate::token_endpoint::{Reuse, TokenEndpoint};

use super::answer::{EXPIRES_IN_S_MAX, NotStored, Storable};
use super::challenge::{self, CHALLENGE_BYTES_MAX};
use super::freshness::Demand;
use super::jitter::{self, Draw};
use super::members::Object;
use super::revocation;

/// The least and the most of the reuse period, in percent, that is left when it is renewed ahead.
const AHEAD_PERCENT: (u64, u64) = (10, 20);
const MS_PER_S: u64 = 1_000;
const PPM: u64 = 1_000_000;

/// The life of a token answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// When the call that brought it began; all spans count from here, so that the time that the
    /// answer was on its way is never added to the token's life.
    pub asked_at: Time,
    /// `expires_in` as the server said.
    pub expires_in_s: u64,
    /// `exp` of a JWT, in seconds since the epoch.
    pub jwt_exp_s: Option<u64>,
    /// What shortens it.
    pub draw: Draw,
}

/// What a stored answer is good for at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serve {
    /// Serve it with this `expires_in`.
    Hit {
        /// At least 1.
        expires_in_s: u64,
    },
    /// Serve it, but the first caller that gets the lease renews it.
    RefreshAhead {
        /// At least 1.
        expires_in_s: u64,
    },
    /// Serve the refusal as it is.
    Refusal,
    /// Its time is over; it must not be served.
    Stale,
}

impl Life {
    /// What it is good for at `now`.
    pub fn serve(&self, now: Time, endpoint: &TokenEndpoint) -> Serve {
        // A clock that went back must not make a life longer.
        if self.asked_at.ms_since(now) > AHEAD_MS_MAX {
            return Serve::Stale;
        }
        let age_ms = now.ms_since(self.asked_at);
        let reuse_ms = self.reuse_ms(&endpoint.reuse, endpoint.jitter);
        let expires_in_s = self.remaining_s(now, endpoint.jitter);
        if age_ms >= reuse_ms || expires_in_s == 0 {
            return Serve::Stale;
        }
        let (least, most) = AHEAD_PERCENT;
        let percent = least + self.draw.other(most - least + 1);
        if endpoint.refresh_ahead && age_ms >= reuse_ms - reuse_ms / 100 * percent {
            Serve::RefreshAhead { expires_in_s }
        } else {
            Serve::Hit { expires_in_s }
        }
    }

    /// When it must no longer be served: for the expiry of the record that holds it.
    pub fn ends_at(&self, endpoint: &TokenEndpoint) -> Time {
        self.asked_at.plus_ms(self.reuse_ms(&endpoint.reuse, endpoint.jitter))
    }

    /// Milliseconds for which it is reused: a share of the shortened lifetime, the shortened
    /// lifetime but for `min_remaining_s`, or `max_s` shortened too, whichever is least.
    fn reuse_ms(&self, reuse: &Reuse, jitter: f64) -> u64 {
        let advertised_ms = self
            .draw
            .shorten_ms(self.lifetime_ms(), jitter)
            .min(self.advertised_s(jitter).saturating_mul(MS_PER_S));
        part(advertised_ms, reuse.fraction)
            .min(advertised_ms.saturating_sub(reuse.min_remaining_s.saturating_mul(MS_PER_S)))
            .min(self.draw.shorten_ms(reuse.max_s.saturating_mul(MS_PER_S), jitter))
    }

    /// What the server granted, or less where a JWT ends before that.
    fn lifetime_ms(&self) -> u64 {
        let to_exp_ms =
            self.jwt_exp_s.map_or(u64::MAX, |exp_s| Time::from_s(exp_s).ms_since(self.asked_at));
        self.expires_in_s.saturating_mul(MS_PER_S).min(to_exp_ms)
    }

    /// What of it clients are told.
    fn advertised_s(&self, jitter: f64) -> u64 {
        self.draw.advertised_s(self.lifetime_ms() / MS_PER_S, jitter)
    }

    /// Whole seconds that remain of the advertised lifetime, never past a JWT's own end.
    fn remaining_s(&self, now: Time, jitter: f64) -> u64 {
        // From the later of the two moments: a clock a little behind must not add to it.
        let from = now.max(self.asked_at);
        let ends_at = self.asked_at.plus_s(self.advertised_s(jitter));
        let exp = self.jwt_exp_s.map_or(ends_at, Time::from_s);
        ends_at.min(exp).ms_since(from) / MS_PER_S
    }
}

/// A share of a span; nothing for what isn't a share.
fn part(span_ms: u64, fraction: f64) -> u64 {
    let ppm =
        if fraction.is_nan() { 0 } else { (fraction.clamp(0.0, 1.0) * PPM as f64).round() as u64 };
    (u128::from(span_ms) * u128::from(ppm) / u128::from(PPM)) as u64
}

/// A stored answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Vec<u8>,
    /// Its body as the server sent it.
    pub body: Vec<u8>,
    /// Its challenge: that of a refusal, from [`super::challenge::kept`].
    pub challenge: Option<Vec<u8>>,
    /// What it is.
    pub kind: Kind,
}

/// What a stored answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A token.
    Token {
        /// How long it lives.
        life: Life,
        /// The name of its access token, see [`revocation::token_handle`].
        handle: Digest,
    },
    /// A refusal of the server.
    Refusal {
        /// When it was asked for.
        asked_at: Time,
    },
}

/// What is kept of a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused<'a> {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: &'a [u8],
    /// The server's challenge, if it has a clear one.
    pub challenge: Option<Vec<u8>>,
    /// Its body.
    pub body: &'a [u8],
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("status", &self.status)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The first byte of an encoded answer.
const VERSION: u8 = 2;
const CONTENT_TYPE_BYTES_MAX: usize = 255;
const NO_EXP: u64 = u64::MAX;

/// An answer with a token, as it came.
pub struct Granted<'a> {
    /// Its content type.
    pub content_type: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
    /// When it was asked for.
    pub asked_at: Time,
    /// What shortens it.
    pub draw: Draw,
}

fn short(content_type: &[u8]) -> Result<Vec<u8>, NotStored> {
    let fits = content_type.len() <= CONTENT_TYPE_BYTES_MAX;
    if fits { Ok(content_type.to_vec()) } else { Err(NotStored::ContentType) }
}

impl Stored {
    /// Keeps an answer with a token.
    ///
    /// # Errors
    /// Its lifetime is too short to be served again, or its content type too long.
    pub fn token(
        key: &HostKey,
        storable: &Storable,
        granted: &Granted<'_>,
        endpoint: &TokenEndpoint,
    ) -> Result<Stored, NotStored> {
        let &Granted { content_type, body, asked_at, draw } = granted;
        let life = Life {
            asked_at,
            expires_in_s: storable.expires_in_s,
            jwt_exp_s: storable.jwt_exp_s.filter(|exp_s| *exp_s != NO_EXP),
            draw,
        };
        if life.ends_at(endpoint) <= asked_at {
            return Err(NotStored::Lifetime);
        }
        let handle = revocation::token_handle(key, storable.access_token.as_bytes());
        Ok(Stored {
            status: 200,
            content_type: short(content_type)?,
            body: body.to_vec(),
            challenge: None,
            kind: Kind::Token { life, handle },
        })
    }

    /// Keeps a refusal.
    ///
    /// # Errors
    /// Its content type is too long.
    pub fn refusal(refused: Refused<'_>, asked_at: Time) -> Result<Stored, NotStored> {
        Ok(Stored {
            status: refused.status,
            content_type: short(refused.content_type)?,
            body: refused.body.to_vec(),
            challenge: refused.challenge.filter(|challenge| challenge.len() <= CHALLENGE_BYTES_MAX),
            kind: Kind::Refusal { asked_at },
        })
    }

    /// What it is good for at `now`.
    pub fn serve(&self, now: Time, endpoint: &TokenEndpoint) -> Serve {
        match self.kind {
            Kind::Token { life, .. } => life.serve(now, endpoint),
            Kind::Refusal { asked_at } => {
                let ahead = asked_at.ms_since(now) > AHEAD_MS_MAX;
                let over =
                    now.ms_since(asked_at) >= endpoint.negative_ttl_s.saturating_mul(MS_PER_S);
                if ahead || over { Serve::Stale } else { Serve::Refusal }
            }
        }
    }

    /// Whether it is as fresh as a client asks that came at `came_at`. One that was asked for after
    /// that is as fresh as the server's own.
    pub fn meets(
        &self,
        demand: &Demand,
        came_at: Time,
        now: Time,
        endpoint: &TokenEndpoint,
    ) -> bool {
        let asked_at = match self.kind {
            Kind::Token { life, .. } => life.asked_at,
            Kind::Refusal { asked_at } => asked_at,
        };
        let good_for_s = match self.serve(now, endpoint) {
            Serve::Hit { expires_in_s } | Serve::RefreshAhead { expires_in_s } => expires_in_s,
            Serve::Refusal => self.ends_at(endpoint).ms_since(now) / MS_PER_S,
            Serve::Stale => return false,
        };
        asked_at >= came_at || demand.is_met(now.ms_since(asked_at).div_ceil(MS_PER_S), good_for_s)
    }

    /// When it must no longer be served.
    pub fn ends_at(&self, endpoint: &TokenEndpoint) -> Time {
        match self.kind {
            Kind::Token { life, .. } => life.ends_at(endpoint),
            Kind::Refusal { asked_at } => asked_at.plus_s(endpoint.negative_ttl_s),
        }
    }

    /// The access token in a token answer.
    pub fn access_token(&self) -> Option<String> {
        Object::read(&self.body)?.string("access_token").ok()?
    }

    /// The body to send at `now` with this `expires_in` (from [`Serve`]). Nothing if it can't have
    /// it, which what [`super::answer::analyse`] admitted always can.
    pub fn body_with(&self, expires_in_s: u64, now: Time) -> Option<Vec<u8>> {
        let Kind::Token { life, .. } = self.kind else { return None };
        let age_s = now.ms_since(life.asked_at).div_ceil(MS_PER_S);
        jitter::aged(&self.body, expires_in_s, age_s, now)
    }

    /// As bytes for shared memory. Key, expiry and checksum belong to the record around it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(80 + self.content_type.len() + self.body.len());
        bytes.push(VERSION);
        bytes.extend(self.status.to_le_bytes());
        match self.kind {
            Kind::Token { life, handle } => {
                bytes.push(1);
                for number in [
                    life.asked_at.ns(),
                    life.expires_in_s,
                    life.jwt_exp_s.unwrap_or(NO_EXP),
                    life.draw.bits(),
                ] {
                    bytes.extend(number.to_le_bytes());
                }
                bytes.extend(handle.0);
            }
            Kind::Refusal { asked_at } => {
                bytes.push(2);
                bytes.extend(asked_at.ns().to_le_bytes());
                // None has no bytes: the grammar has no empty challenge.
                let challenge = self.challenge.as_deref().unwrap_or_default();
                bytes.extend((challenge.len().min(CHALLENGE_BYTES_MAX) as u16).to_le_bytes());
                bytes.extend(challenge.iter().take(CHALLENGE_BYTES_MAX));
            }
        }
        bytes.push(self.content_type.len().min(CONTENT_TYPE_BYTES_MAX) as u8);
        bytes.extend(self.content_type.iter().take(CONTENT_TYPE_BYTES_MAX));
        bytes.extend((self.body.len() as u32).to_le_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// From bytes of [`Stored::encode`]; nothing for any others, trailing ones included.
    pub fn decode(bytes: &[u8]) -> Option<Stored> {
        let mut rest = bytes;
        let [VERSION] = take(&mut rest)? else { return None };
        let status = u16::from_le_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let mut challenge = None;
        let kind = match (kind, status) {
            (1, 200) => {
                let life = Life {
                    asked_at: Time::from_ns(take_u64(&mut rest)?),
                    expires_in_s: take_u64(&mut rest)?,
                    jwt_exp_s: Some(take_u64(&mut rest)?).filter(|exp_s| *exp_s != NO_EXP),
                    draw: Draw::from_bits(take_u64(&mut rest)?),
                };
                if !(1..=EXPIRES_IN_S_MAX).contains(&life.expires_in_s) {
                    return None;
                }
                Kind::Token { life, handle: Digest(take(&mut rest)?) }
            }
            (2, 400 | 401) => {
                let asked_at = Time::from_ns(take_u64(&mut rest)?);
                let len = u16::from_le_bytes(take(&mut rest)?);
                if usize::from(len) > CHALLENGE_BYTES_MAX {
                    return None;
                }
                let (text, after) = rest.split_at_checked(usize::from(len))?;
                rest = after;
                if len > 0 {
                    // It goes into a header as it is.
                    challenge = Some(text.to_vec()).filter(|text| challenge::is_challenges(text));
                    challenge.as_ref()?;
                }
                Kind::Refusal { asked_at }
            }
            _ => return None,
        };
        let [content_type_len] = take(&mut rest)?;
        let (content_type, after) = rest.split_at_checked(usize::from(content_type_len))?;
        rest = after;
        let body_len = u32::from_le_bytes(take(&mut rest)?);
        (usize::try_from(body_len).ok()? == rest.len()).then(|| Stored {
            status,
            content_type: content_type.to_vec(),
            body: rest.to_vec(),
            challenge,
            kind,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*chunk)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
