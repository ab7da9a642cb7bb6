//! What a configuration is about, in words.

use herdgate::config::{Config, Mode, Scope, UnknownIssuer};
use herdgate::testing::jwt::introspection::{OpaqueTokens, Response};
use herdgate::testing::jwt::issuer::{Encrypted, Issuer, IssuerMatch};
use herdgate::testing::proof::dpop::Dpop;
use herdgate::testing::proof::mtls::Mtls;
use herdgate::testing::reply::FailureMode;
use herdgate::testing::revocation::feed::{Feed, Kind};
use herdgate::testing::revocation::status::StatusLists;
use herdgate::testing::signature::source::{JwksAt, KeySource};

use super::or_none;

/// What the configuration is about, in a few lines.
pub fn summary(config: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for (position, issuer) in config.issuers.iter().enumerate() {
        let covers = match &issuer.matcher {
            IssuerMatch::Exact(iss) => format!("iss {iss:?}"),
            IssuerMatch::Template(template) => format!(
                "every iss that fits its template (captures: {})",
                template.captures().join(", ")
            ),
            IssuerMatch::Any => "every iss that no other issuer covers".to_owned(),
        };
        let keys = match &issuer.keys {
            KeySource::Inline(keys) => format!("{} in the document", keys.len()),
            KeySource::Jwks { at: JwksAt::Uri(uri), .. } => {
                format!("the JWK Set at {}", uri.authority)
            }
            KeySource::Jwks { at: JwksAt::Discovery(uri), .. } => {
                format!("the JWK Set that the metadata at {} names", uri.authority)
            }
            KeySource::Credentials(credentials) => {
                let lookup =
                    if credentials.lookup.is_some() { " and looked up one by one" } else { "" };
                format!("{} credentials in the document{lookup}", credentials.inline.len())
            }
        };
        if let Some(opaque) = &issuer.opaque {
            lines.push(opaque_issuer(issuer, opaque));
            continue;
        }
        lines.push(format!(
            "Issuer {}: {covers}; {}; keys: {keys}.",
            issuer.name, issuer.algorithms
        ));
        lines.extend(encrypted_tokens(issuer));
        lines.extend(config.dpop_of(position).map(dpop));
        lines.extend(config.mtls_of(position).map(mtls));
        lines.extend(config.status_lists_of(position).map(status_lists));
        if config.replay.issuers.contains(&position) {
            lines.push(match config.replay.scope {
                Scope::Gateway => "  Each of its tokens is admitted once in each gateway; one that was made before the gateway's memory began is refused.".to_owned(),
                Scope::Gateways => "  Each of its tokens is admitted once at all gateways together; one that was made before Redis's memory began is refused.".to_owned(),
            });
        }
    }
    for endpoint in &config.token_endpoints {
        lines.push(format!(
            "Token endpoint {}: answers to {} are reused.",
            endpoint.path,
            or_none(&endpoint.grant_types)
        ));
    }
    for resource in &config.resources {
        lines.push(format!("What clients are told of a resource is at {}.", resource.metadata.url));
    }
    let unknown = match &config.on_unknown_issuer {
        UnknownIssuer::Refuse => "refused".to_owned(),
        UnknownIssuer::Pass { then: Some(then) } => {
            format!("passed on; the filter {then:?} checks them next")
        }
        UnknownIssuer::Pass { then: None } => {
            "passed on, if a Kong plugin has authenticated the request".to_owned()
        }
    };
    lines.push(format!("Tokens of other issuers are {unknown}."));
    lines.extend(config.revocation_feeds.iter().filter_map(|feed| signed_feed(config, feed)));
    if config.replay.scope == Scope::Gateways
        && config.has_once()
        && let Some(gateways) = &config.gateways
    {
        let place = &gateways.at.uri.authority;
        lines.push(format!(
            "Requests with what counts once wait for {place}, 50 ms at most, then 503."
        ));
    }
    if let Some(gateways) = config.gateways.as_ref().filter(|gateways| gateways.revocations) {
        let (place, every_ms) = (&gateways.at.uri.authority, gateways.at.every_ms);
        let until = match gateways.failure_mode {
            FailureMode::Allow => "until it has first read them, tokens pass all the same",
            FailureMode::Deny => {
                "until it has first read them, requests with a token wait, then 503"
            }
        };
        lines.push(format!(
            "Revoked tokens are told to all gateways at {place}, and heard of within {every_ms} ms; {until}."
        ));
        if gateways.answers {
            lines.push(format!(
                "Answers of token endpoints are shared with all gateways at {place}, sealed; a call that finds none asks there for 50 ms at most."
            ));
        }
    }
    if config.mode == Mode::Shadow {
        lines
            .push("mode is shadow: everything is decided, counted and logged, and nothing in any request or answer is changed.".to_owned());
    }
    lines
}

/// What encryption means for an issuer's tokens.
fn encrypted_tokens(issuer: &Issuer) -> Option<String> {
    let name = &issuer.name;
    Some(match issuer.encrypted {
        Encrypted::Refuse => return None,
        Encrypted::Allow => {
            format!("  Tokens of {name} may be encrypted; they are signed all the same.")
        }
        Encrypted::Require => {
            format!("  Tokens of {name} have to be encrypted, and signed inside.")
        }
        Encrypted::Authenticates => format!(
            "  A token that a secret shared with {name} opens is believed without a signature: whoever has that secret, this gateway included, can write tokens of {name}."
        ),
    })
}

/// An issuer whose tokens are opaque.
fn opaque_issuer(issuer: &Issuer, opaque: &OpaqueTokens) -> String {
    let endpoint = &opaque.introspection;
    let prefix = match opaque.prefix.as_str() {
        "" => "every opaque token".to_owned(),
        prefix => format!("opaque tokens that begin with {prefix:?}"),
    };
    let signed = match endpoint.response {
        Response::Json => "",
        Response::Jwt => " and has to sign what it says (RFC 9701)",
    };
    format!(
        "Issuer {}: {prefix}; {} is asked what they mean{signed}, and an answer is kept for {} s at most.",
        issuer.name, endpoint.uri.authority, endpoint.ttl_s_max
    )
}

/// What an issuer asks of proofs.
fn dpop(dpop: &Dpop) -> String {
    let unbound = if dpop.required { "refused" } else { "admitted as bearer tokens" };
    let nonce = if dpop.nonce { " and a nonce of the gateway" } else { "" };
    format!(
        "  Tokens that are bound to a key need a DPoP proof ({}) of the last {} s{nonce}, each for one request; unbound ones are {unbound}.",
        dpop.names.replace(' ', ", "),
        dpop.leeway_s
    )
}

/// What an issuer asks of clients' certificates.
fn mtls(mtls: &Mtls) -> String {
    let seen = match &mtls.header {
        Some(header) => format!(
            "that the header {header} names: whoever can set it can use any stolen token, so your balancer has to put its own in the place of the client's"
        ),
        None => "of the client's own connection to this gateway".to_owned(),
    };
    let unbound = if mtls.required { "refused" } else { "admitted" };
    format!(
        "  Tokens that are bound to a certificate need the one {seen}; ones that are bound to none are {unbound}."
    )
}

/// Where an issuer's tokens have their status.
fn status_lists(lists: &StatusLists) -> String {
    let without = match lists.failure_mode {
        FailureMode::Deny => "is 503",
        FailureMode::Allow => "passes, whether it was taken back or not",
    };
    format!(
        "  A token with a status is looked up in its list below {}, which is believed for {} s at most; one whose list can't be had {without}.",
        lists.uri_prefix, lists.ttl_s_max
    )
}

/// A feed whose signer counts.
fn signed_feed(config: &Config, feed: &Feed) -> Option<String> {
    let signer = feed.kind.signer()?;
    let issuer = config.issuers.get(signer.issuer)?;
    let (name, from, every_s) = (&issuer.name, &feed.uri.authority, feed.every_s);
    Some(match &feed.kind {
        Kind::List => return None,
        Kind::Signed(_) => format!(
            "A list of revoked tokens that {name} has signed is read at {from} every {every_s} s."
        ),
        Kind::Stream { .. } => format!(
            "Security events of {name} are polled at {from} every {every_s} s. They are kept in the gateway's memory alone: once that is new (first start, restart), tokens of {name} are refused that were issued before it, or don't say when."
        ),
    })
}
