//! What logs are told of one request: which verdict, and why.

use super::Reason;

/// How a request was judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// With a good token.
    Accepted,
    /// Admitted without a token that was believed.
    Anonymous,
    /// Refused.
    Refused,
    /// It would have been refused, but for a shadow.
    Shadowed,
}

impl Judged {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Judged::Accepted => "accepted",
            Judged::Anonymous => "anonymous",
            Judged::Refused => "refused",
            Judged::Shadowed => "shadowed",
        }
    }
}

/// What is said of a request. No text in it is a client's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// How it was judged.
    pub judged: Judged,
    /// The reason's name, where there is one.
    pub reason: Option<&'static str>,
    /// The name of the issuer that answers for its token.
    pub issuer: Option<String>,
    /// The rule that covers it: its name, else its place.
    pub rule: Option<String>,
    /// A keyed hash of issuer and subject, as the token claims them.
    pub subject: Option<String>,
}

impl Why {
    /// A refusal of which nothing else is known.
    pub fn refused(reason: Reason) -> Why {
        Why {
            judged: Judged::Refused,
            reason: Some(reason.name()),
            issuer: None,
            rule: None,
            subject: None,
        }
    }

    /// Each part that there is: its name and value.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = [
            ("verdict", Some(self.judged.name())),
            ("reason", self.reason),
            ("rule", self.rule.as_deref()),
            ("issuer", self.issuer.as_deref()),
            ("subject", self.subject.as_deref()),
        ];
        parts.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}
