//! Every reason for which a request is refused: its metric name, its status and its texts.

/// Why a request is not admitted. Each has one counter, and one text that holds nothing of the
/// token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No credentials in the request.
    NoToken,
    /// More than one token, or one in two places (RFC 6750, section 2).
    TwoTokens,
    /// The Authorization header or another source can't be read.
    MalformedRequest,
    /// The path has a dot segment, an empty segment or an encoded separator.
    BadPath,
    /// A header that the filter sets came more than once and can't be removed on this host.
    DuplicateHeader,
    /// More header fields than this host hands over, so what is in them isn't known.
    TooManyHeaders,
    /// Not three canonical base64url segments of strict JSON.
    Malformed,
    /// `alg` is none, unknown, or not allowed for this issuer or key.
    Algorithm,
    /// `crit`, `b64` or `zip` in the header (RFC 7515, section 4.1.11; RFC 7797).
    Critical,
    /// `typ` is not what the issuer's tokens carry.
    WrongType,
    /// No configured issuer has this `iss`.
    UnknownIssuer,
    /// No key of the issuer fits, or the credential is unknown.
    UnknownKey,
    /// The signature doesn't verify.
    BadSignature,
    /// `exp` has passed, or is missing where it is required.
    Expired,
    /// `nbf` or `iat` lies ahead.
    NotYetValid,
    /// The lifetime is longer than `lifetime_s_max`.
    LifetimeTooLong,
    /// `aud` names none of ours.
    WrongAudience,
    /// A claim that the issuer's tokens must have is missing.
    ClaimMissing,
    /// It can't be decrypted, or isn't encrypted as its issuer's tokens have to be (RFC 7516).
    Decryption,
    /// The issuer's sunset has passed.
    Sunset,
    /// Revoked by a call seen here, a feed or a list.
    Revoked,
    /// Its status list says that the token isn't valid, or its `status` can't be looked up.
    Status,
    /// Introspection says that the token is not active (RFC 7662, section 2.2).
    Inactive,
    /// The token is bound to a key that the request doesn't prove to hold (RFC 7800).
    Bound,
    /// The DPoP proof is missing, can't be read, or isn't for this request (RFC 9449).
    Proof,
    /// The DPoP proof holds no nonce of this gateway, or an old one (RFC 9449, section 9).
    Nonce,
    /// The token or the proof counts once and was seen before, or may have been.
    Replayed,
    /// The rule does not admit this issuer.
    IssuerNotAllowed,
    /// A claim has none of the values that the rule asks for.
    Claim,
    /// Scopes are missing (RFC 6750, section 3.1).
    Scope,
    /// The login behind the token is too weak, or too long ago (RFC 9470).
    Authentication,
    /// No rule matches.
    NoRule,
    /// Over a limit.
    Limited,
    /// The issuer's keys can't be had at the moment.
    KeysUnavailable,
    /// The introspection endpoint can't be had at the moment.
    IntrospectionUnavailable,
    /// A revocation feed that must be known was never read.
    RevocationUnavailable,
    /// The token's status list can't be had at the moment.
    StatusUnavailable,
    /// What counts once can't be remembered at the moment.
    ReplayUnavailable,
    /// The token endpoint can't be had at the moment, or too many calls are under way.
    TokenServerUnavailable,
    /// The server asked this client to wait.
    Throttled,
    /// The body is over its limit.
    BodyTooLarge,
    /// The body of a call to a token endpoint didn't come in time.
    BodyTimeout,
    /// The filter's own configuration was refused, so nothing is admitted.
    Misconfigured,
    /// The gateway's clock was never set, so nobody knows which tokens have ended.
    ClockUnset,
}

impl Reason {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        self.parts().0
    }

    /// The fixed `error_description`: printable ASCII without `"` and `\` (RFC 6750, section 3).
    pub const fn description(self) -> &'static str {
        self.parts().3
    }

    /// The status of the answer.
    pub const fn status(self) -> u16 {
        self.parts().1
    }

    /// The RFC 6749 / 6750 error code, where one applies.
    pub const fn code(self) -> Option<&'static str> {
        match self.parts().2.is_empty() {
            true => None,
            false => Some(self.parts().2),
        }
    }

    /// Metric name, status, error code, description: one row a reason.
    const fn parts(self) -> (&'static str, u16, &'static str, &'static str) {
        const TOKEN: &str = "invalid_token";
        const REQUEST: &str = "invalid_request";
        // RFC 6750, section 3.1: a good token that isn't enough for this request.
        const SCOPE: &str = "insufficient_scope";
        const LATER: &str = "temporarily_unavailable";
        match self {
            // RFC 6750, section 3.1: no error code when the request lacks any authentication.
            Reason::NoToken => ("no_token", 401, "", "An access token is required"),
            Reason::TwoTokens => {
                ("two_tokens", 400, REQUEST, "The request has more than one access token")
            }
            Reason::MalformedRequest => {
                ("malformed_request", 400, REQUEST, "The credentials are malformed")
            }
            Reason::BadPath => ("bad_path", 400, REQUEST, "The path is ambiguous"),
            Reason::DuplicateHeader => {
                ("duplicate_header", 400, REQUEST, "A reserved header appears more than once")
            }
            // RFC 6585, section 5.
            Reason::TooManyHeaders => ("too_many_headers", 431, REQUEST, "Too many header fields"),
            Reason::Malformed => ("malformed", 401, TOKEN, "The access token is malformed"),
            Reason::Algorithm => {
                ("algorithm", 401, TOKEN, "The signature algorithm is not accepted")
            }
            Reason::Critical => {
                ("critical", 401, TOKEN, "The token's header uses an unsupported extension")
            }
            Reason::WrongType => ("wrong_type", 401, TOKEN, "The access token has the wrong type"),
            Reason::UnknownIssuer => ("unknown_issuer", 401, TOKEN, "The issuer is unknown"),
            Reason::UnknownKey => ("unknown_key", 401, TOKEN, "The signing key is unknown"),
            Reason::BadSignature => ("bad_signature", 401, TOKEN, "The signature doesn't verify"),
            Reason::Expired => ("expired", 401, TOKEN, "The access token expired"),
            Reason::NotYetValid => {
                ("not_yet_valid", 401, TOKEN, "The access token is not yet valid")
            }
            Reason::LifetimeTooLong => {
                ("lifetime_too_long", 401, TOKEN, "The access token's lifetime is too long")
            }
            Reason::WrongAudience => {
                ("wrong_audience", 401, TOKEN, "The access token is for another audience")
            }
            Reason::ClaimMissing => ("claim_missing", 401, TOKEN, "A required claim is missing"),
            Reason::Decryption => {
                ("decryption", 401, TOKEN, "The access token's encryption is not accepted")
            }
            Reason::Sunset => ("sunset", 401, TOKEN, "The issuer is no longer accepted"),
            Reason::Revoked => ("revoked", 401, TOKEN, "The access token was revoked"),
            Reason::Status => ("status", 401, TOKEN, "The status of the access token is not valid"),
            Reason::Inactive => ("inactive", 401, TOKEN, "The access token is not active"),
            Reason::Bound => {
                ("bound", 401, TOKEN, "The access token is bound to a key that was not proven")
            }
            // RFC 9449, sections 7.1 and 9.
            Reason::Proof => (
                "proof",
                401,
                "invalid_dpop_proof",
                "The DPoP proof is missing or not one for this request",
            ),
            Reason::Nonce => {
                ("nonce", 401, "use_dpop_nonce", "The DPoP proof has to hold the nonce given here")
            }
            Reason::Replayed => {
                ("replayed", 401, TOKEN, "The access token or its proof may have been used before")
            }
            Reason::IssuerNotAllowed => {
                ("issuer_not_allowed", 403, SCOPE, "The issuer is not accepted here")
            }
            Reason::Claim => ("claim", 403, SCOPE, "A claim does not have a required value"),
            Reason::Scope => ("scope", 403, SCOPE, "The access token lacks a required scope"),
            // RFC 9470, section 3.
            Reason::Authentication => (
                "authentication",
                401,
                "insufficient_user_authentication",
                "A stronger or more recent authentication is required",
            ),
            Reason::NoRule => ("no_rule", 403, "", "No access rule matches"),
            Reason::Limited => ("limited", 429, LATER, "Too many requests"),
            Reason::KeysUnavailable => {
                ("keys_unavailable", 503, LATER, "The signing keys are temporarily unavailable")
            }
            Reason::IntrospectionUnavailable => (
                "introspection_unavailable",
                503,
                LATER,
                "Introspection is temporarily unavailable",
            ),
            Reason::ReplayUnavailable => {
                ("replay_unavailable", 503, LATER, "Replay protection is temporarily unavailable")
            }
            Reason::RevocationUnavailable => {
                ("revocation_unavailable", 503, LATER, "Revocation is temporarily unavailable")
            }
            Reason::StatusUnavailable => {
                ("status_unavailable", 503, LATER, "Status lists are temporarily unavailable")
            }
            Reason::TokenServerUnavailable => (
                "token_server_unavailable",
                503,
                LATER,
                "The authorization server is temporarily unavailable",
            ),
            Reason::Throttled => {
                ("throttled", 429, LATER, "The authorization server has asked this client to wait")
            }
            Reason::BodyTooLarge => {
                ("body_too_large", 413, REQUEST, "The request body is too large")
            }
            // RFC 9110, section 15.5.9.
            Reason::BodyTimeout => {
                ("body_timeout", 408, REQUEST, "The request body did not come in time")
            }
            Reason::Misconfigured => ("misconfigured", 503, LATER, "The gateway is not configured"),
            Reason::ClockUnset => ("clock_unset", 503, LATER, "The gateway's clock is not set"),
        }
    }

    /// The member and the message of the body that Kong's jwt, acl and rate-limiting plugins send, so
    /// that clients that read them go on.
    pub(super) const fn kong(self) -> (&'static str, &'static str) {
        let message = match self {
            Reason::NoToken => "Unauthorized",
            Reason::TwoTokens => "Multiple tokens provided",
            Reason::MalformedRequest => "Unrecognizable token",
            Reason::Malformed | Reason::Critical => "Bad token; invalid JSON",
            Reason::Algorithm => "Invalid algorithm",
            Reason::UnknownIssuer | Reason::UnknownKey => "No credentials found for given 'iss'",
            Reason::BadSignature => "Invalid signature",
            Reason::Expired => return ("exp", "token expired"),
            Reason::NotYetValid => return ("nbf", "token not valid yet"),
            Reason::LifetimeTooLong => return ("exp", "exceeds maximum allowed expiration"),
            Reason::NoRule | Reason::Scope | Reason::Claim | Reason::IssuerNotAllowed => {
                "You cannot consume this service"
            }
            Reason::Limited => "API rate limit exceeded",
            // The plugins know no such case.
            Reason::BadPath
            | Reason::DuplicateHeader
            | Reason::TooManyHeaders
            | Reason::WrongType
            | Reason::WrongAudience
            | Reason::ClaimMissing
            | Reason::Decryption
            | Reason::Sunset
            | Reason::Revoked
            | Reason::Status
            | Reason::StatusUnavailable
            | Reason::Bound
            | Reason::Proof
            | Reason::Nonce
            | Reason::Replayed
            | Reason::ReplayUnavailable
            | Reason::Inactive
            | Reason::Authentication
            | Reason::KeysUnavailable
            | Reason::IntrospectionUnavailable
            | Reason::RevocationUnavailable
            | Reason::TokenServerUnavailable
            | Reason::Throttled
            | Reason::BodyTooLarge
            | Reason::BodyTimeout
            | Reason::Misconfigured
            | Reason::ClockUnset => self.description(),
        };
        ("message", message)
    }

    /// Every reason, for tables and tests.
    pub const ALL: [Reason; 44] = [
        Reason::NoToken,
        Reason::TwoTokens,
        Reason::MalformedRequest,
        Reason::BadPath,
        Reason::DuplicateHeader,
        Reason::TooManyHeaders,
        Reason::Malformed,
        Reason::Algorithm,
        Reason::Critical,
        Reason::WrongType,
        Reason::UnknownIssuer,
        Reason::UnknownKey,
        Reason::BadSignature,
        Reason::Expired,
        Reason::NotYetValid,
        Reason::LifetimeTooLong,
        Reason::WrongAudience,
        Reason::ClaimMissing,
        Reason::Decryption,
        Reason::Sunset,
        Reason::Revoked,
        Reason::Status,
        Reason::Inactive,
        Reason::Bound,
        Reason::Proof,
        Reason::Nonce,
        Reason::Replayed,
        Reason::IssuerNotAllowed,
        Reason::Claim,
        Reason::Scope,
        Reason::Authentication,
        Reason::NoRule,
        Reason::Limited,
        Reason::KeysUnavailable,
        Reason::IntrospectionUnavailable,
        Reason::RevocationUnavailable,
        Reason::StatusUnavailable,
        Reason::ReplayUnavailable,
        Reason::TokenServerUnavailable,
        Reason::Throttled,
        Reason::BodyTooLarge,
        Reason::BodyTimeout,
        Reason::Misconfigured,
        Reason::ClockUnset,
    ];
}
