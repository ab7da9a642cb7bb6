//! What a configuration does with an encrypted token. The keys are the document's, so what is said
//! here is said to whoever has them; clients hear of one reason.

use herdgate::config::Config;
use herdgate::testing::jwe::{Fault, Opened, open};
use herdgate::testing::jwt::Claims;
use herdgate::testing::jwt::issuer::Encrypted;
use herdgate::testing::jwt::json;
use herdgate::testing::reply::Reason;

use super::{Asked, Judged, Said, judge_claims, judge_plain, refused};

/// Judges an encrypted token.
pub(super) fn judge(asked: Asked<'_>, token: &str) -> Judged {
    let keys = &asked.config.decryption.keys;
    let say =
        |lines: Vec<String>, why: &str| refused(lines, vec![(Reason::Decryption, why.to_owned())]);
    let mut lines = vec!["The token is encrypted (JWE).".to_owned()];
    if keys.is_empty() {
        return say(lines, "the document has no decryption keys");
    }
    let opened = match open(token.as_bytes(), keys) {
        Ok(opened) => opened,
        Err(Fault::Form) => {
            let why = "its header asks for what isn't supported (another alg or enc, zip, crit, p2c), or a segment hasn't the length that it must have";
            return say(lines, why);
        }
        Err(Fault::NoKey) => {
            return say(lines, "no decryption key has its kid, alg and enc");
        }
        Err(Fault::NotOpened) => return say(lines, "the decryption keys that fit don't open it"),
    };
    lines.push(format!("decryption.keys[{}] opens it.", opened.key));
    let Ok(text) = std::str::from_utf8(&opened.plaintext) else {
        return say(lines, "what is inside is no token");
    };
    if !(opened.is_shared && opened.is_nested.is_none() && text.trim_start().starts_with('{')) {
        let is_signed = text.split('.').count() == 3 && opened.is_nested != Some(false);
        return match is_signed {
            true => judge_plain(asked, text, Some(&opened), lines),
            false => say(lines, "what is inside is no signed token"),
        };
    }
    let claims = json::object(&opened.plaintext).ok().map(Claims::from_map);
    match claims {
        Some(Ok(claims)) => {
            let (typ, seal) = (opened.typ.as_deref(), Some(&opened));
            judge_claims(asked, Said { claims: &claims, typ, jwt: None, seal }, lines)
        }
        _ => say(lines, "what is inside is neither a signed token nor claims"),
    }
}

/// Why the issuer doesn't take a token that came so, if it doesn't.
pub(super) fn refusal(
    config: &Config,
    position: usize,
    seal: Option<&Opened>,
    is_signed: bool,
) -> Option<String> {
    let issuer = config.issuers.get(position)?;
    let name = &issuer.name;
    let Some(seal) = seal else {
        return (issuer.encrypted == Encrypted::Require)
            .then(|| format!("it isn't encrypted, and tokens of {name} have to be"));
    };
    let names = config.decryption.issuers.get(seal.key)?;
    if !names.contains(&position) {
        return Some(format!("the key that opened it doesn't name the issuer {name}"));
    }
    match issuer.encrypted {
        Encrypted::Refuse => Some(format!("{name} takes no encrypted tokens")),
        Encrypted::Allow | Encrypted::Require if !is_signed => Some(format!(
            "nothing is signed inside, and {name} doesn't say that its secret vouches (encrypted: authenticates)"
        )),
        Encrypted::Authenticates | Encrypted::Allow | Encrypted::Require => None,
    }
}
