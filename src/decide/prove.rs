//! The terms of a token's use beyond its own: that its caller proves the key that it is bound to,
//! and that it counts once.

use crate::config::Rule;
use crate::facts::{Facts, Once, Stop, Verified};
use crate::proof::Proven;
use crate::proof::dpop::{self, Asked, Dpop, Fault};
use crate::proof::mtls::{self, Mtls};
use crate::reply::{DpopChallenge, Reason, Refusal};
use crate::request::bearer::{self, BearerSource};
use crate::request::{Field, Request, is_word};

/// Whether the terms of a good token are met; gives what counts once.
///
/// A token that is bound to a key is good with a proof of that key alone, and one that isn't has
/// nothing to prove: each under the other's scheme is refused (RFC 9449, sections 7.1 and 7.2).
///
/// # Errors
/// Why they aren't.
#[inline(never)]
pub(super) fn terms(
    request: &Request<'_>,
    facts: &Facts<'_>,
    verified: &Verified,
) -> Result<Option<Box<Once>>, Stop> {
    let config = &facts.runtime.config;
    let candidate = bearer::locate(
        request.authorization,
        request.headers.iter(),
        request.target,
        &config.bearer_sources,
    )?
    .ok_or(Reason::NoToken)?;
    let by_proof = config.bearer_sources.get(candidate.source()) == Some(&BearerSource::Dpop);
    let dpop = config.dpop_of(verified.issuer);
    let (mut once, mut proven) = (Once::default(), Proven::default());
    match (by_proof, &verified.binding, dpop) {
        (true, Some(binding), Some(dpop)) => {
            let jkt = binding.jkt.ok_or(Reason::Bound)?;
            let proof = checked(request, facts, dpop, candidate.bytes(), &jkt)?;
            once.proof = Some(facts.single_proof(&proof, &jkt, dpop));
            proven.jkt = Some(jkt);
        }
        (true, ..) | (false, None, Some(Dpop { required: true, .. })) => {
            return Err(Reason::Bound.into());
        }
        (false, ..) => {}
    }
    if let Some(mtls) = config.mtls_of(verified.issuer) {
        let is_bound = verified.binding.as_ref().is_some_and(|binding| binding.x5t.is_some());
        if mtls.required && !is_bound {
            return Err(Reason::Bound.into());
        }
        if is_bound {
            proven.x5t = shown(request, mtls);
        }
    }
    if verified.binding.as_ref().is_some_and(|binding| !binding.is_met_by(&proven)) {
        return Err(Reason::Bound.into());
    }
    if config.replay.issuers.contains(&verified.issuer) {
        once.token = Some(facts.single_token(verified)?);
    }
    Ok((once.proof.is_some() || once.token.is_some()).then(|| Box::new(once)))
}

/// The certificate that the client has shown (RFC 8705, section 3). Where a balancer's word counts,
/// the connection to it has the balancer's certificate, if any.
fn shown(request: &Request<'_>, mtls: &Mtls) -> Option<[u8; 32]> {
    let Some(name) = &mtls.header else { return request.surroundings.certificate_digest() };
    let headers =
        request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    match headers.collect() {
        Field::One(value) => mtls::of_header(name, value),
        Field::None | Field::Several => None,
    }
}

fn checked(
    request: &Request<'_>,
    facts: &Facts<'_>,
    dpop: &Dpop,
    token: &[u8],
    jkt: &[u8; 32],
) -> Result<dpop::Proof, Reason> {
    let headers = request.headers.iter().filter(|(name, _)| is_word(name, b"dpop"));
    // RFC 9449, section 4.3: not more than one.
    let Field::One(proof) = headers.collect() else {
        return Err(Reason::Proof);
    };
    let asked = Asked {
        method: request.method,
        path: raw_path(request.target),
        token,
        jkt,
        nonces: facts.nonce_key(),
        now: facts.now,
    };
    dpop::check(proof, dpop, &asked, facts.host.verify).map_err(|fault| match fault {
        Fault::Proof => Reason::Proof,
        Fault::Key => Reason::Bound,
        Fault::Nonce => Reason::Nonce,
    })
}

/// The path of a target as the client sent it. Of the absolute form (RFC 9112, section 3.2.2) the
/// authority is passed over: it is as good as the Host field, which proves nothing.
fn raw_path(target: &[u8]) -> &[u8] {
    let target = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    if target.first() == Some(&b'/') {
        return target;
    }
    let authority = target.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
    let rest = target.get(authority..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == b'/') {
        Some(slash) => rest.get(slash..).unwrap_or_default(),
        None => b"/",
    }
}

/// A refusal with what it says of the DPoP scheme: where a token came under it, or was bound and
/// came under another; and where none came and it would do.
#[cold]
pub fn challenged(
    mut refusal: Box<Refusal>,
    request: &Request<'_>,
    facts: &Facts<'_>,
    rule: Option<&Rule>,
) -> Box<Refusal> {
    let config = &facts.runtime.config;
    let is_lacking = refusal.reason == Reason::NoToken;
    let takes = |index: usize| config.dpop_of(index);
    let of_rule = rule.and_then(|rule| rule.requires.issuers.as_deref());
    // The token may be one of an issuer that the rule doesn't admit.
    let of_rule =
        of_rule.filter(|issuers| is_lacking || issuers.iter().any(|index| takes(*index).is_some()));
    let is_admitted = |index: &usize| of_rule.is_none_or(|issuers| issuers.contains(index));
    let admitted = || (0..config.issuers.len()).filter(is_admitted);
    let by_proof = matches!(request.authorization, Field::One(value)
        if value.trim_ascii_start().get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"dpop")));
    if !is_lacking && !by_proof && refusal.reason != Reason::Bound {
        return refusal;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in admitted().filter_map(takes).flat_map(|dpop| dpop.names.split(' ')) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return refusal;
    }
    let takes_bearer = |index| takes(index).is_none_or(|dpop| !dpop.required);
    refusal.dpop = Some(Box::new(DpopChallenge {
        algorithms: names.join(" "),
        bearer: is_lacking && admitted().any(takes_bearer),
        is_of_proof: false,
        nonce: (refusal.reason == Reason::Nonce).then(|| facts.next_nonce()).flatten(),
    }));
    refusal
}
