//! Issuer templates, and the choice of the configured issuer that answers for a token.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;

use crate::jwt::ClaimPath;
use crate::jwt::check::names_one;
use crate::jwt::introspection::OpaqueTokens;
use crate::reply::Reason;
use crate::signature::AlgorithmSet;
use crate::signature::source::KeySource;

/// What an issuer's tokens are like, and what is asked of them.
pub struct Issuer {
    /// The name that rules use.
    pub name: String,
    /// SHA-256 of this issuer's entry: part of each verified token's key.
    pub digest: [u8; 32],
    /// Which `iss` it covers.
    pub matcher: IssuerMatch,
    /// How its tokens are known where they are opaque; none: they are JWTs.
    pub opaque: Option<OpaqueTokens>,
    /// Whether its tokens may be, or have to be, encrypted.
    pub encrypted: Encrypted,
    /// Where its keys come from.
    pub keys: KeySource,
    /// What its keys may verify.
    pub algorithms: AlgorithmSet,
    /// One of these must be in `aud`; empty: `aud` isn't checked.
    pub audiences: Vec<String>,
    /// Seconds by which clocks may differ.
    pub leeway_s: u64,
    /// The longest lifetime of a token, `exp - iat`.
    pub lifetime_s_max: Option<u64>,
    /// Whether `exp` must be there.
    pub exp: ExpPolicy,
    /// From when `lifetime_s_max` counts.
    pub lifetime_from: LifetimeFrom,
    /// The `typ` that the header must carry (RFC 9068: `at+jwt`); compared without `application/`,
    /// in any case.
    pub typ: Option<String>,
    /// Claims that must be there.
    pub claims_required: Vec<ClaimPath>,
    /// The claim that holds the scopes; none: `scope`, else `scp`.
    pub scope_claim: Option<ClaimPath>,
    /// Seconds since the epoch from which this issuer is refused: 00:00 UTC of the day after
    /// `sunset`.
    pub sunset_s: Option<u64>,
    /// Whether a token's `cnf` isn't looked at, so that whoever has the token may use it.
    pub ignores_cnf: bool,
    /// What goes to the API.
    pub forward: Forward,
    /// The consumer of every token of this issuer, as Kong would name it.
    pub consumer: Option<String>,
    /// The claim that names a token's consumer.
    pub consumer_claim: Option<ClaimPath>,
    /// The claim that names a token's credential; none: `iss`, else the header's `kid`.
    pub credential_claim: Option<ClaimPath>,
}

/// Which `iss` an issuer covers. Tried in the order exact, template, `Any`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum IssuerMatch {
    /// Exactly this string.
    Exact(String),
    /// `mobilev2-{device_id}-{timestamp}`.
    Template(Template),
    /// `*`.
    Any,
}

impl IssuerMatch {
    /// Whether a fetched key that is `issuer`'s, by the word of its JWK, may verify tokens of this
    /// one. Entra ID has one set for all tenants: keys of `https://.../{tenantid}/v2.0` sign for
    /// each of them, a key of one tenant for that one alone. Elsewhere a key of another server's
    /// name is taken as the set's, whose address was configured: Entra ID's v1.0 tokens have an
    /// `iss` on another host.
    pub fn admits_key_of(&self, issuer: &str) -> bool {
        let is_of_many = Template::is_template(issuer);
        is_of_many
            || match self {
                IssuerMatch::Exact(own) => own == issuer || host_of(own) != host_of(issuer),
                IssuerMatch::Template(_) | IssuerMatch::Any => false,
            }
    }
}

/// The part of a URL up to its path.
fn host_of(issuer: &str) -> &str {
    let path = issuer.match_indices('/').nth(2);
    path.and_then(|(at, _)| issuer.get(..at)).unwrap_or(issuer)
}

/// Whether `exp` must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpPolicy {
    /// A token without it is refused.
    Required,
    /// It may be absent. `lifetime_s_max` counts from `iat`, or from first sight; an `exp` that is
    /// there holds too.
    Optional,
    /// As `Optional`, and an `exp` that is there isn't looked at.
    Ignored,
}

/// From when on `exp` may lie ahead by `lifetime_s_max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LifetimeFrom {
    /// From `iat`, or from first sight: how long a token lives in all.
    Iat,
    /// From now: how long it lives yet, as Kong and Envoy count.
    Now,
}

/// What encryption (RFC 7516) means for an issuer's tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encrypted {
    /// They are never encrypted.
    Refuse,
    /// They may be, with a signature inside.
    Allow,
    /// They are, with a signature inside.
    Require,
    /// They may be, and what a secret shared with the issuer opens needs no signature inside.
    Authenticates,
}

/// What goes to the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Claims and the headers (lower case) that they become.
    pub claims: Vec<(ClaimPath, String)>,
    /// Whether the token stays in the request.
    pub token: bool,
    /// A header for the payload segment.
    pub payload_header: Option<String>,
    /// The most bytes of one forwarded claim after encoding.
    pub claim_bytes_max: usize,
}

/// The most bytes of a template.
pub const TEMPLATE_BYTES_MAX: usize = 512;
/// The most captures of a template.
pub const CAPTURES_MAX: usize = 8;

/// `mobilev2-{device_id}-{timestamp}`, parsed.
///
/// The first literal selects: an `iss` that doesn't begin with it is not covered. Of the literals
/// between captures, each stands at its first place, but the last one at its last place: so the
/// last capture never holds that literal, and the one before may (`mobilev2-a-b-17` is device
/// `a-b`, timestamp `17`). A literal at the end must be there. No capture is empty. Nothing is
/// tried twice: an `iss` matches in one way or not at all, in time linear in its length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    /// One more than captures: before the first (never empty), between, after the last (may be
    /// empty).
    literals: Vec<String>,
    captures: Vec<String>,
}

impl Template {
    /// Whether a configured `issuer` is meant as a template.
    pub fn is_template(text: &str) -> bool {
        text.contains(['{', '}'])
    }

    /// Reads a template.
    ///
    /// # Errors
    /// What was expected, and where it was not found, as one sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Template, String> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("expected at most {TEMPLATE_BYTES_MAX} bytes, got {}", text.len()));
        }
        let mut literals = Vec::new();
        let mut captures: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) =
                tail.split_once('}').ok_or("expected a closing \"}\" after each \"{\"")?;
            if literal.is_empty() {
                return Err(match captures.last() {
                    None => "expected some text before the first capture: it selects the issuer"
                        .to_owned(),
                    Some(before) => format!(
                        "expected some text between the captures \"{before}\" and \"{name}\""
                    ),
                });
            }
            if literal.contains('}') {
                return Err("expected an opening \"{\" before each \"}\"".to_owned());
            }
            if !is_name(name) {
                return Err("expected a capture's name of 1 to 64 letters, digits or \"_\" between \"{\" and \"}\"".to_owned());
            }
            if captures.iter().any(|before| before == name) {
                return Err(format!("expected each capture once, got \"{name}\" twice"));
            }
            literals.push(literal.to_owned());
            captures.push(name.to_owned());
            rest = tail;
        }
        if rest.contains('}') {
            return Err("expected an opening \"{\" before each \"}\"".to_owned());
        }
        if captures.is_empty() || captures.len() > CAPTURES_MAX {
            return Err(format!("expected 1 to {CAPTURES_MAX} captures, got {}", captures.len()));
        }
        literals.push(rest.to_owned());
        Ok(Template { literals, captures })
    }

    /// The names of the captures, in order.
    pub fn captures(&self) -> &[String] {
        &self.captures
    }

    /// What the captures hold if `iss` is covered. Compares bytes: case matters.
    pub fn matches<'a>(&'a self, iss: &'a str) -> Option<Captures<'a>> {
        let (selector, literals) = self.literals.split_first()?;
        let (end, separators) = literals.split_last()?;
        let mut rest = iss.strip_prefix(selector.as_str())?.strip_suffix(end.as_str())?;
        let mut captures = Captures { names: &self.captures, values: [""; CAPTURES_MAX] };
        let mut places = captures.values.iter_mut();
        let mut take = |value: &'a str| {
            *places.next()? = value;
            (!value.is_empty()).then_some(())
        };
        if let Some((last, earlier)) = separators.split_last() {
            for separator in earlier {
                let (value, tail) = rest.split_once(separator.as_str())?;
                take(value)?;
                rest = tail;
            }
            let (value, tail) = rest.rsplit_once(last.as_str())?;
            take(value)?;
            rest = tail;
        }
        take(rest)?;
        Some(captures)
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a template's captures hold. No `Debug`: they are claim values.
#[derive(Clone, Copy)]
pub struct Captures<'a> {
    names: &'a [String],
    values: [&'a str; CAPTURES_MAX],
}

impl<'a> Captures<'a> {
    /// The value of a capture; never empty.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.names.iter().map(String::as_str).zip(self.values.iter().copied())
    }
}

/// Finds the issuer of a token; built once for a configuration.
#[derive(Clone, Debug, Default)]
pub struct Index {
    // A tree needs no randomness of the host, which a hash map would draw at start.
    exact: BTreeMap<String, Vec<usize>>,
    templates: Vec<(Template, Vec<usize>)>,
    any: Vec<usize>,
    any_credentials: Vec<usize>,
}

impl Index {
    /// Indexes `issuers`; positions in this slice are what the index answers.
    pub fn new(issuers: &[Issuer]) -> Index {
        let mut index = Index::default();
        // An opaque token doesn't say who issued it, so it isn't found by that.
        let of_jwts = issuers.iter().enumerate().filter(|(_, issuer)| issuer.opaque.is_none());
        for (position, issuer) in of_jwts {
            match &issuer.matcher {
                IssuerMatch::Exact(iss) => {
                    index.exact.entry(iss.clone()).or_default().push(position)
                }
                IssuerMatch::Template(template) => {
                    match index.templates.iter_mut().find(|(known, _)| known == template) {
                        Some((_, positions)) => positions.push(position),
                        None => index.templates.push((template.clone(), vec![position])),
                    }
                }
                IssuerMatch::Any => {
                    index.any.push(position);
                    if matches!(issuer.keys, KeySource::Credentials(_)) {
                        index.any_credentials.push(position);
                    }
                }
            }
        }
        index
    }

    /// All issuers that cover `iss` at the first of these that covers it: the exact ones, the
    /// first template in the document's order that matches, `*`. There is no second choice: what
    /// fails later under these candidates has failed.
    ///
    /// A token without `iss` is covered by a `*` of single credentials alone, which may go by
    /// `kid`.
    pub fn candidates(&self, iss: Option<&str>) -> &[usize] {
        let Some(iss) = iss else { return &self.any_credentials };
        if let Some(positions) = self.exact.get(iss) {
            return positions;
        }
        match self.templates.iter().find(|(template, _)| template.matches(iss).is_some()) {
            Some((_, positions)) => positions,
            None => &self.any,
        }
    }

    /// The one issuer that answers for a token with this `iss` and `aud`. Where several cover the
    /// `iss`, it is the first of them that has an audience in `aud`. The choice depends on the
    /// token alone, never on the rule, so that a cached token keeps its issuer on every path.
    ///
    /// # Errors
    /// [`Reason::UnknownIssuer`] if none covers it; [`Reason::WrongAudience`] if several do and
    /// `aud` names none of theirs. The audience of a single candidate is checked later, with the
    /// other claims.
    pub fn choose(
        &self,
        issuers: &[Issuer],
        iss: Option<&str>,
        aud: &[String],
    ) -> Result<usize, Reason> {
        match self.candidates(iss) {
            [] => Err(Reason::UnknownIssuer),
            [one] => Ok(*one),
            several => several
                .iter()
                .copied()
                .find(|position| {
                    issuers.get(*position).is_some_and(|issuer| names_one(aud, &issuer.audiences))
                })
                .ok_or(Reason::WrongAudience),
        }
    }
}
