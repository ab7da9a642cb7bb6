//! Encrypted tokens: opened here, then read as any other.
//!
//! The worker's memory knows them by their outer bytes, so that a hit costs no decryption. What
//! shared memory says of them it says of what is inside: whoever has one good token and a public
//! key can wrap it anew for ever, and one token takes one place, here and there.

use std::borrow::Cow;
use std::rc::Rc;

use crate::jwe::{self, Fault, Opened};
use crate::jwt::issuer::Encrypted;
use crate::jwt::{self, Claims, Form, Jwt, check, json};
use crate::metrics::{Metric, NotDecrypted};
use crate::reply::Reason;
use crate::revocation::Names;

use super::vouched::{By, Consumer, Vouched};
use super::{Facts, Stop, Verified};

/// A JWT as it is to be read: as it was sent, or what was encrypted.
pub(super) struct Unsealed<'t> {
    bytes: Cow<'t, [u8]>,
    /// How it was encrypted, if it was.
    pub seal: Option<Opened>,
}

/// What stands in a token.
pub(super) enum Content<'a> {
    /// Claims with a signature.
    Signed(Jwt<'a>),
    /// Claims alone, for which nothing speaks but the key that opened them.
    Bare(Claims),
}

impl Unsealed<'_> {
    /// What was encrypted, if something was.
    pub fn inside(&self) -> Option<&[u8]> {
        self.seal.as_ref().map(|_| &*self.bytes)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Those of [`jwt::parse`]; `Malformed` too where claims stand alone and nobody vouches for
    /// them, and where another encrypted token is inside.
    pub fn content(&self) -> Result<Content<'_>, Reason> {
        let is_object = self.bytes.trim_ascii_start().first() == Some(&b'{');
        match &self.seal {
            Some(seal) if seal.is_shared && is_object && seal.is_nested.is_none() => {
                let members = json::object(&self.bytes).map_err(|_| Reason::Malformed)?;
                Claims::from_map(members).map(Content::Bare)
            }
            Some(seal) if seal.is_nested == Some(false) => Err(Reason::Malformed),
            Some(_) | None => jwt::parse(&self.bytes).map(Content::Signed),
        }
    }
}

impl Content<'_> {
    pub fn claims(&self) -> &Claims {
        match self {
            Content::Signed(jwt) => &jwt.claims,
            Content::Bare(claims) => claims,
        }
    }
}

impl Facts<'_> {
    /// Whether a token is encrypted, going by its form.
    pub(super) fn is_encrypted(&self, token: &[u8]) -> bool {
        token.iter().filter(|byte| **byte == b'.').count() == 4 && jwt::form(token) == Form::Jwe
    }

    /// A token without its encryption, if it has one.
    ///
    /// # Errors
    /// [`Reason::Decryption`] for whatever went wrong: it is the metric that tells.
    pub(super) fn unsealed<'t>(&self, token: &'t [u8]) -> Result<Unsealed<'t>, Reason> {
        if !self.is_encrypted(token) {
            return Ok(Unsealed { bytes: Cow::Borrowed(token), seal: None });
        }
        match jwe::open(token, &self.runtime.config.decryption.keys) {
            Ok(mut opened) => {
                self.host.meter.count(Metric::Decrypted);
                let bytes = Cow::Owned(std::mem::take(&mut opened.plaintext));
                Ok(Unsealed { bytes, seal: Some(opened) })
            }
            Err(fault) => Err(self.not_decrypted(match fault {
                Fault::Form => NotDecrypted::Form,
                Fault::NoKey => NotDecrypted::NoKey,
                Fault::NotOpened => NotDecrypted::NotOpened,
            })),
        }
    }

    fn not_decrypted(&self, why: NotDecrypted) -> Reason {
        self.host.meter.count(Metric::NotDecrypted(why));
        Reason::Decryption
    }

    /// Verifies an encrypted token.
    ///
    /// # Errors
    /// Why it isn't good, or a fact that is missing.
    #[inline(never)]
    pub(super) fn verify_encrypted(&self, token: &[u8]) -> Result<Rc<Verified>, Stop> {
        let unsealed = self.unsealed(token)?;
        let Some(seal) = &unsealed.seal else { return Err(Reason::Decryption.into()) };
        let content = unsealed.content().map_err(|reason| {
            let is_none = reason == Reason::Malformed;
            if is_none { self.not_decrypted(NotDecrypted::Content) } else { reason }
        })?;
        if !seal.replicated.agree_with(&content.claims().raw) {
            return Err(self.not_decrypted(NotDecrypted::Content).into());
        }
        let index = self.issuer_of(content.claims(), Some(seal))?;
        match content {
            Content::Signed(jwt) => self.verify_signed(token, index, jwt, true),
            Content::Bare(claims) => self.believe(token, &unsealed.bytes, index, claims, seal),
        }
    }

    /// The issuer that answers for a token, if it takes tokens that were encrypted so, or not at
    /// all. A key opens tokens of those issuers alone that it names: what one party may read says
    /// nothing of another.
    ///
    /// # Errors
    /// Those of the choice; [`Reason::Decryption`] of the rest.
    pub(super) fn issuer_of(
        &self,
        claims: &Claims,
        seal: Option<&Opened>,
    ) -> Result<usize, Reason> {
        let config = &self.runtime.config;
        let index = &self.runtime.compiled.issuer_index;
        let chosen = index.choose(&config.issuers, claims.iss.as_deref(), &claims.aud);
        let Some(seal) = seal else {
            let chosen = chosen?;
            let policy = config.issuers.get(chosen).map(|issuer| issuer.encrypted);
            return match policy {
                Some(Encrypted::Require) => Err(self.not_decrypted(NotDecrypted::Plain)),
                _ => Ok(chosen),
            };
        };
        let chosen = match chosen {
            // No key names an issuer that nobody knows, and no other filter could open it.
            Err(Reason::UnknownIssuer) => return Err(self.not_decrypted(NotDecrypted::Issuer)),
            other => other?,
        };
        let is_named =
            config.decryption.issuers.get(seal.key).is_some_and(|names| names.contains(&chosen));
        match config.issuers.get(chosen).filter(|_| is_named).map(|issuer| issuer.encrypted) {
            Some(Encrypted::Allow | Encrypted::Require | Encrypted::Authenticates) => Ok(chosen),
            Some(Encrypted::Refuse) | None => Err(self.not_decrypted(NotDecrypted::Issuer)),
        }
    }

    /// Takes claims without a signature for true, where their issuer and this gateway alone have
    /// the key under which they came (`encrypted: authenticates`).
    fn believe(
        &self,
        token: &[u8],
        plaintext: &[u8],
        index: usize,
        claims: Claims,
        seal: &Opened,
    ) -> Result<Rc<Verified>, Stop> {
        let issuer = self.issuer(index)?;
        if issuer.encrypted != Encrypted::Authenticates || !seal.is_shared {
            return Err(self.not_decrypted(NotDecrypted::Content).into());
        }
        self.clock_is_set()?;
        let sight = self.first_sight(&claims, plaintext);
        check::issuer(issuer, seal.typ.as_deref(), &claims, self.now, sight.at)?;
        self.remember_sight(&sight, &claims, issuer);
        let segment = match issuer.forward.payload_header {
            Some(_) => encoded(plaintext).into_bytes(),
            None => Vec::new(),
        };
        let window = check::Window::of(&claims, issuer, sight.at);
        let names =
            self.names_of(&claims, plaintext, plaintext).sealed_in(&self.runtime.names_key, token);
        let vouched = Vouched {
            consumer: Consumer::of(issuer, &claims),
            claims,
            credential: None,
            payload_segment: &segment,
            window,
            by: By::Secret,
            first_seen: sight.at,
            fingerprint: [0; 32],
            generation: self.vouching_generation(index, issuer),
            names: Some(names),
        };
        self.take_in(token, (index, issuer), vouched)
    }

    /// The names of a token of these claims, of which `signed` is signed.
    pub(super) fn names_of(&self, claims: &Claims, signed: &[u8], token: &[u8]) -> Names {
        Names::of(&self.runtime.names_key, claims, signed, token)
    }

    /// Forgets another wrapping of the token that is kept now.
    pub(super) fn forget_other_wrapping(&self, token: &[u8], verified: &Verified) {
        let Some(names) = verified.names.get().filter(|names| !names.sealed.is_empty()) else {
            return;
        };
        let inner = &names.bytes.0;
        let hash = self.runtime.host_key.short(inner);
        let mut worker = self.runtime.worker.borrow_mut();
        let other = worker.wrappings.get(hash, inner).map(std::mem::take);
        if let Some(other) = other.filter(|other| **other != *token) {
            let tail = self.short_hash(&other);
            worker.verified.remove(tail, &other);
        }
        worker.wrappings.put(hash, inner, token.into(), token.len());
    }
}

fn encoded(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
