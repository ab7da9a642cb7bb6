//! What a configuration does with a client's token, reason by reason. It asks the filter's own
//! rooms, by the clock. No claim is shown, and no part of the token.

mod encrypted;
mod unreadable;

use herdgate::config::{Access, Config, Rule, UnknownIssuer};
use herdgate::testing::jwe::Opened;
use herdgate::testing::jwt::check::{self, Requirements};
use herdgate::testing::jwt::demands::Demands;
use herdgate::testing::jwt::issuer::{ExpPolicy, Index, Issuer};
use herdgate::testing::jwt::{self, Jwt};
use herdgate::testing::proof::{Binding, Proven};
use herdgate::testing::reply::Reason;
use herdgate::testing::revocation::status::{CLAIM, reference};
use herdgate::testing::signature::source::KeySource;
use herdgate::testing::signature::{Algorithm, NoHost};
use herdgate::testing::time::Time;
use serde_json::Value;

/// What is said of a token, and whether it would be accepted as far as can be seen here.
pub struct Judged {
    /// In words, reason by reason.
    pub lines: Vec<String>,
    /// Each reason to refuse it, with its words.
    pub reasons: Vec<(Reason, String)>,
    /// Whether nothing in it is refused.
    pub is_good: bool,
}

/// Judges a token at `now`, under the rule that covers the request in question, if there is one.
pub fn judge(config: &Config, rule: Option<(usize, &Rule)>, token: &str, now: Time) -> Judged {
    let token = token.trim();
    let token =
        ["Bearer ", "DPoP "].iter().find_map(|scheme| token.strip_prefix(scheme)).unwrap_or(token);
    if jwt::form(token.as_bytes()) == jwt::Form::Opaque
        && let Some(judged) = opaque(config, token)
    {
        return judged;
    }
    let asked = Asked { config, rule, now };
    if jwt::form(token.as_bytes()) == jwt::Form::Jwe {
        return encrypted::judge(asked, token);
    }
    judge_plain(asked, token, None, Vec::new())
}

/// The configuration, the rule that covers the request in question, and the time.
#[derive(Clone, Copy)]
struct Asked<'a> {
    config: &'a Config,
    rule: Option<(usize, &'a Rule)>,
    now: Time,
}

/// What a token says, and how that came.
#[derive(Clone, Copy)]
struct Said<'a> {
    claims: &'a jwt::Claims,
    typ: Option<&'a str>,
    /// The signature over it, if there is one.
    jwt: Option<&'a Jwt<'a>>,
    /// In what it was encrypted, if it was.
    seal: Option<&'a Opened>,
}

/// Judges a token that isn't encrypted, or what was in one that `seal` opened.
fn judge_plain(
    asked: Asked<'_>,
    token: &str,
    seal: Option<&Opened>,
    mut lines: Vec<String>,
) -> Judged {
    let jwt = match jwt::parse(token.as_bytes()) {
        Ok(jwt) => jwt,
        Err(reason) => {
            let why = unreadable::why(token).unwrap_or_else(|| reason.description().to_owned());
            return refused(lines, vec![(reason, why)]);
        }
    };
    let kid = if jwt.kid.is_some() { "has a kid" } else { "names no kid" };
    let what = if seal.is_some() { "What is inside" } else { "The token" };
    lines.push(format!("{what} is a JWT by {}, and {kid}.", jwt.algorithm));
    let said = Said { claims: &jwt.claims, typ: jwt.typ.as_deref(), jwt: Some(&jwt), seal };
    judge_claims(asked, said, lines)
}

/// Judges what a token says.
fn judge_claims(asked: Asked<'_>, said: Said<'_>, mut lines: Vec<String>) -> Judged {
    let (Asked { config, rule, now }, Said { claims, typ, jwt, seal }) = (asked, said);
    let index = Index::new(&config.issuers);
    let position = match index.choose(&config.issuers, claims.iss.as_deref(), &claims.aud) {
        Ok(position) => position,
        Err(reason) => {
            let passes = matches!(config.on_unknown_issuer, UnknownIssuer::Pass { .. })
                && reason == Reason::UnknownIssuer
                && seal.is_none();
            if passes {
                lines.push("No issuer covers its iss: it is passed on.".to_owned());
                return good(lines);
            }
            let why = match (reason, &claims.iss) {
                (Reason::UnknownIssuer, None) => "it has no iss",
                (Reason::UnknownIssuer, Some(_)) => "no issuer of the document covers its iss",
                _ => "several issuers cover its iss, and its aud names an audience of none",
            };
            return refused(lines, vec![(reason, why.to_owned())]);
        }
    };
    let Some(issuer) = config.issuers.get(position) else { return refused(lines, Vec::new()) };
    lines.push(format!("Its iss belongs to the issuer {}.", issuer.name));
    let mut reasons = of_issuer(issuer, claims, typ, now);
    if let Some(jwt) = jwt.filter(|jwt| !issuer.algorithms.contains(jwt.algorithm)) {
        let why = format!("{} is not among {}", jwt.algorithm, issuer.algorithms);
        reasons.insert(0, (Reason::Algorithm, why));
    }
    let of_encryption = encrypted::refusal(config, position, seal, jwt.is_some());
    reasons.extend(of_encryption.map(|why| (Reason::Decryption, why)));
    terms(config, (position, issuer), claims, &mut lines, &mut reasons);
    match jwt {
        Some(jwt) => signature(issuer, jwt, &mut lines, &mut reasons),
        None => lines.push(
            "Nothing is signed inside: it is believed because only the issuer and this gateway have the secret that opened it (encrypted: authenticates)."
                .to_owned(),
        ),
    }
    if let Some((index, rule)) = rule {
        match rule.access {
            Access::Public => lines.push("The rule is public: the token isn't read.".to_owned()),
            _ => {
                of_rule(config, (index, rule), position, issuer, claims, &mut reasons);
                let step_up = rule.requires.step_up.as_ref();
                let met = step_up.map(|one| one.met_by(claims, now, issuer.leeway_s));
                if let Some(Err(reason)) = met {
                    let why = "the rule wants a login that its acr and auth_time don't tell of";
                    reasons.push((reason, why.to_owned()));
                }
            }
        }
    }
    if reasons.is_empty() {
        lines.push("Accepted, as far as can be seen here.".to_owned());
        if rule.is_some_and(|(_, rule)| rule.introspect) {
            lines.push("The introspection endpoint has a say too.".to_owned());
        }
        return good(lines);
    }
    refused(lines, reasons)
}

fn good(lines: Vec<String>) -> Judged {
    Judged { lines, reasons: Vec::new(), is_good: true }
}

fn refused(mut lines: Vec<String>, reasons: Vec<(Reason, String)>) -> Judged {
    lines.push("Refused.".to_owned());
    lines.extend(reasons.iter().map(|(reason, why)| format!("{}: {why}.", answer(*reason))));
    Judged { lines, reasons, is_good: false }
}

/// What its use is bound to beyond its own: a proof of its key, and that it counts once.
fn terms(
    config: &Config,
    (position, issuer): (usize, &Issuer),
    claims: &jwt::Claims,
    lines: &mut Vec<String>,
    reasons: &mut Vec<(Reason, String)>,
) {
    let (dpop, mtls) = (config.dpop_of(position), config.mtls_of(position));
    let binding = Binding::of(&claims.raw).filter(|_| !issuer.ignores_cnf);
    let can_prove = |binding: &Binding| {
        let all = binding.when_met();
        let jkt = all.jkt.filter(|_| dpop.is_some());
        binding.is_met_by(&Proven { jkt, x5t: all.x5t.filter(|_| mtls.is_some()) })
    };
    let mut refused = |why: &str| reasons.push((Reason::Bound, why.to_owned()));
    match &binding {
        Some(binding) if !can_prove(binding) => {
            refused("it is bound to a key (cnf), which the request would have to prove");
        }
        None if dpop.is_some_and(|dpop| dpop.required) => {
            refused("it is bound to no key, and tokens of its issuer have to be");
        }
        _ if mtls.is_some_and(|mtls| mtls.required)
            && binding.is_none_or(|binding| binding.x5t.is_none()) =>
        {
            refused("it is bound to no certificate, and tokens of its issuer have to be");
        }
        Some(binding) => {
            let key = "It is bound to a key: its request needs a DPoP proof, and the scheme DPoP.";
            let certificate = match mtls.and_then(|mtls| mtls.header.as_ref()) {
                Some(header) => format!(
                    "It is bound to a certificate: the header {header} of its request has to name it."
                ),
                None => "It is bound to a certificate: the client has to show it.".to_owned(),
            };
            lines.extend(binding.jkt.map(|_| key.to_owned()));
            lines.extend(binding.x5t.map(|_| certificate));
        }
        None => {}
    }
    let status = claims.raw.get(CLAIM);
    match config.status_lists_of(position).map(|lists| reference(&claims.raw, lists)) {
        Some(Ok(Some(at))) => {
            lines.push(format!("Place {} of the list at {} says its status.", at.index, at.uri));
        }
        Some(Err(_)) => {
            let why = "its status can't be looked up: it names no place of a list below uri_prefix";
            reasons.push((Reason::Status, why.to_owned()));
        }
        None if status.is_some() => lines
            .push("It has a status, and nobody looks: its issuer has no status_list.".to_owned()),
        Some(Ok(None)) | None => {}
    }
    let is_named = claims.jti.as_deref().is_some_and(|jti| !jti.is_empty());
    if config.replay.issuers.contains(&position) && !is_named {
        let why = "it has no jti, and tokens of its issuer count once";
        reasons.push((Reason::ClaimMissing, why.to_owned()));
    }
}

/// What can be said of an opaque token without asking anyone; nothing where no issuer has some.
fn opaque(config: &Config, token: &str) -> Option<Judged> {
    let prefixes: Vec<(&str, &str)> = config
        .issuers
        .iter()
        .filter_map(|issuer| Some((issuer.name.as_str(), issuer.opaque.as_ref()?.prefix.as_str())))
        .collect();
    if prefixes.is_empty() || token.is_empty() {
        return None;
    }
    let names: Vec<&str> = prefixes
        .iter()
        .filter(|(_, prefix)| token.starts_with(prefix))
        .map(|(name, _)| *name)
        .collect();
    if names.is_empty() {
        let why = "it is opaque, and no issuer's opaque tokens begin as it does";
        return Some(refused(Vec::new(), vec![(Reason::Malformed, why.to_owned())]));
    }
    let names = names.join(" or ");
    let line = format!("The token is opaque: the endpoint of {names} says what it means.");
    Some(good(vec![line]))
}

/// `401 invalid_token (expired)`.
fn answer(reason: Reason) -> String {
    let code = reason.code().map(|code| format!(" {code}")).unwrap_or_default();
    format!("{}{code} ({})", reason.status(), reason.name())
}

fn of_issuer(
    issuer: &Issuer,
    claims: &jwt::Claims,
    typ: Option<&str>,
    now: Time,
) -> Vec<(Reason, String)> {
    let mut out = Vec::new();
    if let Err(reason) = check::sunset(issuer, now) {
        out.push((reason, "the issuer's sunset has passed".to_owned()));
    }
    if let Err(reason) = check::typ(issuer, typ, claims) {
        let why = "its typ (or its events) says that it is something else than an access token of this issuer";
        out.push((reason, why.to_owned()));
    }
    if let Err(reason) = check::times(claims, issuer, now, now) {
        out.push((reason, time(issuer, claims, reason, now)));
    }
    if let Err(reason) = check::audience(issuer, claims) {
        let why = format!("its aud names none of {}", issuer.audiences.join(", "));
        out.push((reason, why));
    }
    if let Err(reason) = check::claims_required(issuer, claims) {
        let missing = issuer
            .claims_required
            .iter()
            .filter(|path| claims.get(path).is_none_or(Value::is_null))
            .map(|path| path.0.join("."))
            .collect::<Vec<_>>();
        out.push((reason, format!("it has no claim {}", missing.join(", "))));
    }
    out
}

/// What is wrong with its times, by how much.
fn time(issuer: &Issuer, claims: &jwt::Claims, reason: Reason, now: Time) -> String {
    let apart = |from: u64, to: u64| span(to.saturating_sub(from));
    match reason {
        Reason::Expired if issuer.exp == ExpPolicy::Required && claims.exp.is_none() => {
            "it has no exp".to_owned()
        }
        Reason::Expired => match check::end_s(claims, issuer, now) {
            Some(end) => format!(
                "it ended {} ago by this machine's clock (leeway_s {} counted)",
                apart(end, now.s()),
                issuer.leeway_s
            ),
            None => "nothing bounds its lifetime".to_owned(),
        },
        Reason::NotYetValid => {
            let begin = claims.nbf.max(claims.iat).unwrap_or(0);
            let name = if claims.nbf >= claims.iat { "nbf" } else { "iat" };
            format!(
                "its {name} lies {} ahead of this machine's clock (leeway_s is {})",
                apart(now.s(), begin),
                issuer.leeway_s
            )
        }
        _ => format!(
            "it lives longer than lifetime_s_max, {}",
            issuer.lifetime_s_max.map_or_else(String::new, span)
        ),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn signature(
    issuer: &Issuer,
    jwt: &Jwt<'_>,
    lines: &mut Vec<String>,
    reasons: &mut Vec<(Reason, String)>,
) {
    let KeySource::Inline(keys) = &issuer.keys else {
        lines.push(
            "Its signature is not checked here: the keys are elsewhere, or one for each credential."
                .to_owned(),
        );
        return;
    };
    let fits =
        |algorithm: Algorithm| keys.iter().filter(move |key| key.algorithms().contains(algorithm));
    let verifies = fits(jwt.algorithm)
        .any(|key| key.verify(jwt.algorithm, jwt.signed, &jwt.signature, &NoHost).is_ok());
    match (verifies, fits(jwt.algorithm).count()) {
        (true, _) => {
            lines.push("Its signature verifies with a key of the document.".to_owned());
        }
        (false, 0) if issuer.algorithms.contains(jwt.algorithm) => {
            let why = format!("the document has no key for {}", jwt.algorithm);
            reasons.push((Reason::UnknownKey, why));
        }
        (false, 0) => {}
        (false, _) => {
            let why = "no key of the document verifies its signature";
            reasons.push((Reason::BadSignature, why.to_owned()));
        }
    }
}

fn of_rule(
    config: &Config,
    (index, rule): (usize, &Rule),
    position: usize,
    issuer: &Issuer,
    claims: &jwt::Claims,
    reasons: &mut Vec<(Reason, String)>,
) {
    let scope_claim = issuer.scope_claim.as_ref();
    let name = rule.name.clone().unwrap_or_else(|| format!("rules[{index}]"));
    let asked = &rule.requires;
    let admits = asked.issuers.as_ref().is_none_or(|indices| indices.contains(&position));
    if !admits {
        let indices = asked.issuers.iter().flatten();
        let names: Vec<&str> = indices
            .filter_map(|index| config.issuers.get(*index))
            .map(|issuer| issuer.name.as_str())
            .collect();
        let why = format!("{name} admits the issuers {} alone", names.join(", "));
        reasons.push((Reason::IssuerNotAllowed, why));
    }
    let lacks = |demands: &Demands| demands.met_by(scope_claim, claims).err();
    for (demands, why) in each_alone(&asked.own, claims) {
        reasons.extend(lacks(&demands).map(|reason| (reason, format!("{name} wants {why}"))));
    }
    if !asked.any.is_empty() && asked.any.iter().all(|one| lacks(one).is_some()) {
        let reason = check::rule_allows(
            &Requirements { any: asked.any.clone(), ..Requirements::default() },
            position,
            scope_claim,
            claims,
        );
        let wanted: Vec<String> = asked
            .any
            .iter()
            .map(|one| {
                let parts = each_alone(one, claims).into_iter();
                let parts = parts.filter(|(demands, _)| lacks(demands).is_some());
                parts.map(|(_, why)| why).collect::<Vec<_>>().join(" and ")
            })
            .collect();
        let why = format!("{name} wants {}", wanted.join(", or "));
        reasons.extend(reason.err().map(|reason| (reason, why)));
    }
}

/// Each demand by itself, with words for it.
fn each_alone(demands: &Demands, claims: &jwt::Claims) -> Vec<(Demands, String)> {
    let none = Demands::default;
    let mut out = Vec::new();
    if !demands.audiences.is_empty() {
        let why = format!("one of {} in aud", demands.audiences.join(", "));
        out.push((Demands { audiences: demands.audiences.clone(), ..none() }, why));
    }
    for (path, values) in &demands.claims {
        let wanted = values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
        let there = if claims.get(path).is_some() { "has another one" } else { "has none" };
        let why = format!("the claim {} to be {wanted} (the token {there})", path.0.join("."));
        out.push((Demands { claims: vec![(path.clone(), values.clone())], ..none() }, why));
    }
    for scope in &demands.scopes_all {
        let why = format!("the scope {scope}");
        out.push((Demands { scopes_all: vec![scope.clone()], ..none() }, why));
    }
    if !demands.scopes_any.is_empty() {
        let why = format!("one of the scopes {}", demands.scopes_any.join(", "));
        out.push((Demands { scopes_any: demands.scopes_any.clone(), ..none() }, why));
    }
    out
}
