//! What a token's claims must fulfil, as pure functions: they run on a fresh token and again on
//! each hit of a cached one.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::Claims;
use super::demands::{self, Demands};
use crate::jwt::ClaimPath;
use crate::jwt::issuer::{ExpPolicy, Issuer, LifetimeFrom};
use crate::jwt::step_up::StepUp;
use crate::reply::Reason;
use crate::time::Time;

/// Everything that an issuer demands of a token: [`sunset`], [`typ`], [`times`], [`audience`] and
/// [`claims_required`], in this order.
///
/// # Errors
/// Those of the checks.
pub fn issuer(
    issuer: &Issuer,
    typ_header: Option<&str>,
    claims: &Claims,
    now: Time,
    first_seen: Time,
) -> Result<(), Reason> {
    sunset(issuer, now)?;
    typ(issuer, typ_header, claims)?;
    times(claims, issuer, now, first_seen)?;
    audience(issuer, claims)?;
    claims_required(issuer, claims)
}

/// The seconds of a token's time, for whoever asks more than once: [`sunset`] and [`times`] say yes
/// in these and in no others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    from_s: u64,
    until_s: u64,
}

impl Window {
    /// The window of a token.
    pub fn of(claims: &Claims, issuer: &Issuer, first_seen: Time) -> Window {
        let begin_s = claims.nbf.max(claims.iat).unwrap_or(0).saturating_sub(issuer.leeway_s);
        let end_s =
            end_s(claims, issuer, first_seen).unwrap_or(0).min(issuer.sunset_s.unwrap_or(u64::MAX));
        // A token with too much of its life left may be used later.
        let begin_s = begin_s.max(live_from_s(claims, issuer).unwrap_or(0));
        match lifetime(claims, issuer, first_seen) {
            Ok(()) => Window { from_s: begin_s, until_s: end_s },
            Err(_) => Window { from_s: u64::MAX, until_s: 0 },
        }
    }

    /// The window of an opaque token, of which something was said at `asked_at` that holds until
    /// `until`: [`sunset`] and [`answered_times`] say yes in it.
    pub fn of_answer(claims: &Claims, issuer: &Issuer, asked_at: Time, until: Time) -> Window {
        let begin_s = claims.nbf.max(claims.iat).unwrap_or(0).saturating_sub(issuer.leeway_s);
        let end_s = until.s().min(claims.exp.unwrap_or(u64::MAX));
        Window {
            from_s: begin_s.max(asked_at.s()),
            until_s: end_s.min(issuer.sunset_s.unwrap_or(u64::MAX)),
        }
    }

    /// The part of it from a moment on.
    pub fn not_before(self, begin: Time) -> Window {
        Window { from_s: self.from_s.max(begin.s()), ..self }
    }

    /// Whether `now` is in it.
    #[inline(always)]
    pub fn holds(&self, now: Time) -> bool {
        let now_s = now.s();
        self.from_s <= now_s && now_s < self.until_s
    }
}

/// Whether the token is in its time. `first_seen` is when this host first met it; it counts only
/// for tokens without `iat`.
///
/// A token ends at `exp + leeway_s`: that second itself is refused ("on or after", RFC 7519,
/// section 4.1.4). It begins at `nbf - leeway_s`: that second itself is admitted.
///
/// # Errors
/// [`Reason::Expired`] after the end, or without an `exp` where it is required;
/// [`Reason::NotYetValid`] if `nbf` or `iat` lies ahead by more than the leeway;
/// [`Reason::LifetimeTooLong`] if `exp` grants more than `lifetime_s_max`.
pub fn times(claims: &Claims, issuer: &Issuer, now: Time, first_seen: Time) -> Result<(), Reason> {
    // Claims are whole seconds, so comparing whole seconds says the same as comparing nanoseconds.
    if now.s() >= end_s(claims, issuer, first_seen).ok_or(Reason::Expired)? {
        return Err(Reason::Expired);
    }
    begun(claims, issuer, now)?;
    if live_from_s(claims, issuer).is_some_and(|from_s| now.s() < from_s) {
        return Err(Reason::LifetimeTooLong);
    }
    lifetime(claims, issuer, first_seen)
}

fn begun(claims: &Claims, issuer: &Issuer, now: Time) -> Result<(), Reason> {
    let latest_begin = now.s().saturating_add(issuer.leeway_s);
    let lies_ahead = |begin: Option<u64>| begin.is_some_and(|begin| begin > latest_begin);
    if lies_ahead(claims.nbf) || lies_ahead(claims.iat) { Err(Reason::NotYetValid) } else { Ok(()) }
}

/// Whether an opaque token is in its time, going by what its issuer said of it. Its end is the
/// issuer's own and no clock's but this one counts it, so there is no leeway: the issuer would say
/// "inactive" too.
///
/// # Errors
/// [`Reason::Expired`] from the second of `exp` on; [`Reason::NotYetValid`] if `nbf` or `iat` lies
/// ahead by more than the leeway.
pub fn answered_times(claims: &Claims, issuer: &Issuer, now: Time) -> Result<(), Reason> {
    if claims.exp.is_some_and(|exp| now.s() >= exp) {
        return Err(Reason::Expired);
    }
    begun(claims, issuer, now)
}

/// The second from which on no more than `lifetime_s_max` is left until `exp`, where that is what
/// counts. Two clocks are compared, so the leeway counts too.
fn live_from_s(claims: &Claims, issuer: &Issuer) -> Option<u64> {
    if issuer.lifetime_from != LifetimeFrom::Now {
        return None;
    }
    let most_s = issuer.lifetime_s_max?.saturating_add(issuer.leeway_s);
    Some(claims.exp?.saturating_sub(most_s))
}

/// Whether `exp` grants no more than `lifetime_s_max`, whatever time it is.
fn lifetime(claims: &Claims, issuer: &Issuer, first_seen: Time) -> Result<(), Reason> {
    if issuer.exp != ExpPolicy::Required || issuer.lifetime_from == LifetimeFrom::Now {
        return Ok(());
    }
    let (Some(exp), Some(lifetime_s_max)) = (claims.exp, issuer.lifetime_s_max) else {
        return Ok(());
    };
    let exp_max = match claims.iat {
        Some(iat) => iat.saturating_add(lifetime_s_max),
        // Two clocks are compared here, so the leeway counts.
        None => first_seen.s().saturating_add(lifetime_s_max).saturating_add(issuer.leeway_s),
    };
    if exp > exp_max { Err(Reason::LifetimeTooLong) } else { Ok(()) }
}

/// The second since the epoch from which the token is expired, or none if it never was in time: no
/// `exp` where it is required, or nothing that bounds it. Where `exp` isn't required the issuer's
/// tokens live for `lifetime_s_max` from `iat`, or from first sight, at most.
pub fn end_s(claims: &Claims, issuer: &Issuer, first_seen: Time) -> Option<u64> {
    let told_s = claims.exp.map(|exp| exp.saturating_add(issuer.leeway_s));
    match issuer.exp {
        ExpPolicy::Required => told_s,
        ExpPolicy::Optional => {
            Some(bound_s(claims, issuer, first_seen)?.min(told_s.unwrap_or(u64::MAX)))
        }
        ExpPolicy::Ignored => bound_s(claims, issuer, first_seen),
    }
}

fn bound_s(claims: &Claims, issuer: &Issuer, first_seen: Time) -> Option<u64> {
    let lifetime_s_max = issuer.lifetime_s_max?;
    Some(match claims.iat {
        Some(iat) => iat.saturating_add(lifetime_s_max).saturating_add(issuer.leeway_s),
        None => first_seen.s().saturating_add(lifetime_s_max),
    })
}

/// Whether the issuer is still in use.
///
/// # Errors
/// [`Reason::Sunset`] from 00:00 UTC of the day after.
pub fn sunset(issuer: &Issuer, now: Time) -> Result<(), Reason> {
    if issuer.sunset_s.is_some_and(|sunset_s| now.s() >= sunset_s) {
        Err(Reason::Sunset)
    } else {
        Ok(())
    }
}

/// Whether `typ` is what the issuer's tokens carry. Media types compare in any case, and
/// `application/` may be left out (RFC 7515, section 4.1.9). Where nothing is configured, what is
/// known to be no access token is refused (RFC 8725, section 3.11). So is a security event under a
/// `typ` that says nothing: many issuers sign logout tokens as `JWT`, with the keys of their access
/// tokens.
///
/// # Errors
/// [`Reason::WrongType`] if another one is there, or none where one is expected.
pub fn typ(issuer: &Issuer, typ_header: Option<&str>, claims: &Claims) -> Result<(), Reason> {
    let found = typ_header.map(subtype);
    let expected = issuer.typ.as_deref().map(subtype);
    let fits = match (expected, found) {
        (Some(expected), Some(found)) => found.eq_ignore_ascii_case(expected),
        (Some(_), None) => false,
        (None, Some(found)) => {
            !NO_ACCESS_TOKENS.iter().any(|other| found.eq_ignore_ascii_case(other))
        }
        (None, None) => true,
    };
    let says_nothing = expected.is_none_or(|expected| expected.eq_ignore_ascii_case("jwt"));
    if fits && !(says_nothing && (is_security_event(claims) || is_revocation_list(claims))) {
        Ok(())
    } else {
        Err(Reason::WrongType)
    }
}

/// Types whose specifications say that they are something else than an access token.
const NO_ACCESS_TOKENS: &[&str] = &[
    // Lists of revoked tokens, as docs/revocation.md has them.
    "revocation-list+jwt",
    // RFC 9449, 8417, OpenID Connect Back-Channel Logout, RFC 9701, 9101.
    "dpop+jwt",
    "secevent+jwt",
    "logout+jwt",
    "token-introspection+jwt",
    "oauth-authz-req+jwt",
    // Token Status List; the update of RFC 7523; attestation-based client authentication; identity
    // chaining.
    "statuslist+jwt",
    "client-authentication+jwt",
    "oauth-client-attestation+jwt",
    "oauth-client-attestation-pop+jwt",
    "authorization-grant+jwt",
    "oauth-id-jag+jwt",
    // SD-JWT, its credentials and those of the W3C; OpenID for Verifiable Credential Issuance.
    "sd-jwt",
    "kb+jwt",
    "vc+sd-jwt",
    "dc+sd-jwt",
    "vp+sd-jwt",
    "vc+jwt",
    "vp+jwt",
    "vc-ld+jwt",
    "vp-ld+jwt",
    "openid4vci-proof+jwt",
    "key-attestation+jwt",
    // OpenID Federation.
    "entity-statement+jwt",
    "trust-mark+jwt",
    "trust-mark-delegation+jwt",
    "resolve-response+jwt",
    "jwk-set+jwt",
    "explicit-registration-response+jwt",
    // WIMSE; RFC 8225.
    "wit+jwt",
    "wpt+jwt",
    "passport",
];

/// RFC 8417, section 2.2: `events` is an object whose members are URIs.
fn is_security_event(claims: &Claims) -> bool {
    let events = claims.raw.get("events").and_then(Value::as_object);
    events.is_some_and(|events| events.keys().any(|name| name.contains(':')))
}

/// A list of revoked tokens that is signed (docs/revocation.md).
fn is_revocation_list(claims: &Claims) -> bool {
    claims.raw.get("revoked").is_some_and(Value::is_array)
        && claims.raw.get("sequence").is_some_and(Value::is_number)
}

/// Whether two media types are one, as [`typ`] compares them.
pub fn is_media_type(found: &str, expected: &str) -> bool {
    subtype(found).eq_ignore_ascii_case(subtype(expected))
}

/// A media type without `application/`, which may be left out (RFC 7515, section 4.1.9).
pub fn subtype(media_type: &str) -> &str {
    const APPLICATION: &str = "application/";
    match media_type.split_at_checked(APPLICATION.len()) {
        // "application/a/b" keeps its prefix: without it, it would be another type, `a/b`.
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(APPLICATION) && !rest.contains('/') => {
            rest
        }
        _ => media_type,
    }
}

/// Whether one of the issuer's audiences is in `aud` (RFC 7519, section 4.1.3).
///
/// # Errors
/// [`Reason::WrongAudience`] if none is; an issuer without audiences doesn't ask.
pub fn audience(issuer: &Issuer, claims: &Claims) -> Result<(), Reason> {
    if issuer.audiences.is_empty() || names_one(&claims.aud, &issuer.audiences) {
        Ok(())
    } else {
        Err(Reason::WrongAudience)
    }
}

/// Whether one of `ours` is in `aud`.
pub fn names_one(aud: &[String], ours: &[String]) -> bool {
    aud.iter().any(|audience| ours.contains(audience))
}

/// Whether the issuer's required claims are there; `null` is not there.
///
/// # Errors
/// [`Reason::ClaimMissing`].
pub fn claims_required(issuer: &Issuer, claims: &Claims) -> Result<(), Reason> {
    let there = |path: &ClaimPath| claims.get(path).is_some_and(|value| !value.is_null());
    if issuer.claims_required.iter().all(there) { Ok(()) } else { Err(Reason::ClaimMissing) }
}

/// The scopes of a token: the issuer's `scope_claim`, else `scope`, else `scp`. A string is a list
/// separated by spaces (RFC 6749, section 3.3); an element of an array is one scope and isn't
/// split. Anything else holds no scope.
pub fn scopes<'a>(
    claims: &'a Claims,
    scope_claim: Option<&ClaimPath>,
) -> impl Iterator<Item = &'a str> + Clone {
    let value = match scope_claim {
        Some(path) => claims.get(path),
        None => claims.raw.get("scope").or_else(|| claims.raw.get("scp")),
    };
    let (text, list) = match value {
        Some(Value::String(text)) => (text.as_str(), &[][..]),
        Some(Value::Array(list)) => ("", list.as_slice()),
        _ => ("", &[][..]),
    };
    text.split(' ').chain(list.iter().filter_map(Value::as_str)).filter(|scope| !scope.is_empty())
}

/// What a rule asks of a token.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Requirements {
    /// Indices of the issuers that it admits; none: all.
    pub issuers: Option<Vec<usize>>,
    /// What must hold.
    pub own: Demands,
    /// Of these one must hold, unless there are none.
    pub any: Vec<Demands>,
    /// What is asked of the login behind it. It hangs on the time, so [`rule_allows`] says nothing
    /// of it.
    pub step_up: Option<Box<StepUp>>,
}

impl Requirements {
    /// Whether nothing is asked beyond a good token.
    pub fn is_empty(&self) -> bool {
        let Requirements { issuers, own, any, step_up } = self;
        issuers.is_none() && own.is_empty() && any.is_empty() && step_up.is_none()
    }

    /// The scopes with which a token that lacks some would do, separated by spaces: the rule's own,
    /// and those of the first alternative that fails for want of scopes.
    #[cold]
    pub fn scopes_wanted(&self, scope_claim: Option<&ClaimPath>, claims: &Claims) -> String {
        let mut wanted: Vec<&str> = self.own.scopes().iter().map(String::as_str).collect();
        if demands::one_met(&self.any, scope_claim, claims).is_err() {
            let lacks = |one: &&Demands| one.met_by(scope_claim, claims) == Err(Reason::Scope);
            for scope in self.any.iter().find(lacks).map_or(&[][..], Demands::scopes) {
                if !wanted.contains(&scope.as_str()) {
                    wanted.push(scope);
                }
            }
        }
        wanted.join(" ")
    }
}

/// Whether what a rule asks is met by a verified token of the issuer at `issuer_index`, whose
/// `scope_claim` is given.
///
/// # Errors
/// [`Reason::IssuerNotAllowed`], then those of [`Demands::met_by`], then those of
/// [`demands::one_met`].
pub fn rule_allows(
    asked: &Requirements,
    issuer_index: usize,
    scope_claim: Option<&ClaimPath>,
    claims: &Claims,
) -> Result<(), Reason> {
    if asked.issuers.as_ref().is_some_and(|admitted| !admitted.contains(&issuer_index)) {
        return Err(Reason::IssuerNotAllowed);
    }
    asked.own.met_by(scope_claim, claims)?;
    if asked.any.is_empty() { Ok(()) } else { demands::one_met(&asked.any, scope_claim, claims) }
}
