//! What is counted. One name per event; the shell turns names into the host's metrics.

mod not_decrypted;

pub use not_decrypted::NotDecrypted;

use std::borrow::Cow;

use crate::reply::Reason;
use crate::shared::TableId;
use crate::token_endpoint::answer::NotStored;
use crate::token_endpoint::request::Why;

/// One event. Counters all, so that no host's metric kinds differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Metric {
    /// A token was accepted.
    Accepted,
    /// A request without a token was admitted (`access: optional`, `public`, preflight).
    Anonymous,
    /// A request was refused.
    Rejected(Reason),
    /// A request would have been refused in shadow mode.
    Shadowed(Reason),
    /// A request went on as anonymous without its bad token (`access: permissive`).
    Permitted(Reason),
    /// A token of an unknown issuer was passed on (`on_unknown_issuer: pass`).
    PassedOn,
    /// A client was told the metadata of a resource (RFC 9728).
    ResourceDescribed,
    /// The verified token was in the worker's memory.
    L1Hit,
    /// Some worker had verified the signature before; asked where arithmetic takes longer than that.
    L2Hit,
    /// The signature was verified now.
    Verified,
    /// The signature was verified by the host's own function.
    VerifiedByHost,
    /// A signature on P-256 or P-384 was verified without a table of its key, which takes longer: the tables of other
    /// keys take all their room.
    VerifiedWithoutTable,
    /// An encrypted token was opened.
    Decrypted,
    /// A token was refused for its encryption, by the REASON that docs/encrypted-tokens.md lists.
    NotDecrypted(NotDecrypted),
    /// A token verified by a credential of an issuer that has a sunset.
    Legacy,
    /// A token verified with an HMAC secret shorter than its hash.
    WeakSecret,
    /// A verified token's header was left out: its claim takes more than `claim_bytes_max`.
    ClaimTooLong,
    /// A JWK Set or metadata document was fetched.
    JwksFetched,
    /// Fetching one failed.
    JwksFetchFailed,
    /// A key of a fetched set was left out: of another kind, use or algorithm, malformed, weak,
    /// private, or another issuer's.
    JwksKeysSkipped,
    /// An old set was served while its endpoint fails.
    JwksStale,
    /// A refetch was caused by a token that no key verified: an unknown `kid`, or a key that may
    /// have changed.
    JwksUnknownKid,
    /// A token that named no key was told to come back before all keys were tried.
    JwksNotAllTried,
    /// A credential was fetched.
    LookupFetched,
    /// Fetching one failed.
    LookupFailed,
    /// No new credential was asked for: more were than `calls_per_s_max`.
    LookupCapped,
    /// No new credential was asked for since the server wants to be left alone.
    LookupPaused,
    /// Introspection was asked.
    IntrospectionFetched,
    /// Asking failed.
    IntrospectionFailed,
    /// Introspection wasn't asked: it was more than `calls_per_s_max`.
    IntrospectionCapped,
    /// Introspection wasn't asked since the server wants to be left alone.
    IntrospectionPaused,
    /// Introspection was answered from memory.
    IntrospectionHit,
    /// An old answer served, since the endpoint fails.
    IntrospectionStale,
    /// A request waited for a fact.
    Waited,
    /// A request waited too long.
    WaitTimedOut,
    /// Too many requests wait already.
    WaitersFull,
    /// A token call was answered from the cache.
    TokenHit,
    /// A token call found nothing in the cache.
    TokenMiss,
    /// A token call was answered with another call's answer.
    TokenShared,
    /// A token call may not be cached.
    TokenBypass,
    /// The same, by the REASON that docs/token-endpoints.md lists.
    TokenBypassFor(Why),
    /// A token call was answered with a remembered refusal.
    TokenNegative,
    /// A token call went to the server.
    TokenUpstream,
    /// A kept token answer was not handed out any more: its token would be refused here, or its
    /// client's secret was.
    TokenWithdrawn,
    /// A token answer was not stored.
    TokenNotStored,
    /// The same, by the REASON that docs/token-endpoints.md lists.
    TokenNotStoredFor(NotStored),
    /// A token answer couldn't be rewritten.
    TokenNotRewritten,
    /// A token call was refused since too many are under way.
    TokenCapped,
    /// A token call was refused since its client, or its address, has too many under way already.
    TokenOverShare,
    /// A token call was refused since the server asked its client to wait, or fails it again and
    /// again.
    TokenPaused,
    /// A token or a client's tokens were revoked by a call seen here.
    RevocationSeen,
    /// A revocation call that the server took couldn't be read here: its client heard 503.
    RevocationUnread,
    /// A revocation that the server took couldn't be remembered: its client heard 503.
    RevocationNotKept,
    /// A feed was read.
    RevocationFeedRead,
    /// Reading a feed failed.
    RevocationFeedFailed,
    /// A security event was taken in: tokens of its subject that were issued before are refused.
    SetKept,
    /// A security event that takes no token back was acknowledged.
    SetIgnored,
    /// A security event came again that was taken in before.
    SetRepeated,
    /// A security event couldn't be acted on, and its server was told why.
    SetRefused,
    /// A stream has more security events than are taken at once: the rest waits for the next poll.
    SetsWaiting,
    /// A stream has named more subjects than there is room for: all tokens of its issuer that were
    /// issued before the oldest of them are refused.
    FloorRaised,
    /// What other gateways have told of revocations was read.
    GatewaysRead,
    /// Reading it failed.
    GatewaysFailed,
    /// A revoked token was heard of from another gateway.
    GatewaysHeard,
    /// Revocations were told to other gateways.
    GatewaysTold,
    /// Telling them failed; it is tried again.
    GatewaysTellFailed,
    /// A revocation, or an outage, isn't told: too many wait to be, or Redis has no room for it.
    GatewaysBehind,
    /// Something in Redis that no gateway of this secret has written was passed over.
    GatewaysForged,
    /// Redis doesn't hold what it held: all that is in force is told again.
    GatewaysLost,
    /// A token was looked up before it was known which ones others have revoked.
    GatewaysUnheard,
    /// Other gateways are told that the server of a token endpoint is left alone for a while.
    OutageTold,
    /// Another gateway's word that it is began a pause here.
    OutageHeard,
    /// An answer to a token call that another gateway has fetched was taken.
    AnswersTaken,
    /// No gateway had one: this one calls the server for all.
    AnswersLed,
    /// Another gateway calls the server: a call waited for it.
    AnswersWaited,
    /// One waited in vain: its gateway calls the server itself.
    AnswersWaitedOut,
    /// Redis said what other gateways have of token calls.
    AnswersAsked,
    /// Redis said nothing of use in time: this gateway goes on alone.
    AnswersFailed,
    /// What lay there was not sealed for this call by a gateway of this secret, or had ended.
    AnswersForged,
    /// Answers, failures and ends of calls were told.
    AnswersTold,
    /// Telling them failed; it is tried again.
    AnswersTellFailed,
    /// Something isn't told: too much waits to be, or Redis has no room for it.
    AnswersBehind,
    /// A status list was fetched.
    StatusListFetched,
    /// Fetching one failed, or it wasn't one.
    StatusListFailed,
    /// No list was asked for: more were than `calls_per_s_max`.
    StatusListCapped,
    /// No list was asked for since the server wants to be left alone.
    StatusListPaused,
    /// A list found no room: more are in use than `lists_max`, or shared memory is full.
    StatusListFull,
    /// A list inflates to more than `bytes_max`.
    StatusListTooLong,
    /// A token passed whose list can't be had (`failure_mode: allow`).
    StatusListAllowed,
    /// A token with a status verified whose issuer has no `status_list`: nobody looks.
    StatusListUnchecked,
    /// What counts once found no room: a request was refused.
    ReplayFull,
    /// Redis said whether something counts for the first time at all gateways.
    ReplayAsked,
    /// It didn't, and a request was refused.
    ReplayAskFailed,
    /// It has lost what counted once at any gateway.
    ReplayLost,
    /// A limit admitted a request.
    LimitAllowed(u16),
    /// A limit refused a request.
    LimitDenied(u16),
    /// A limit's counter table was full, so a shared cell counted.
    LimitSketch(u16),
    /// A limit's count couldn't be kept, so its `failure_mode` decided.
    LimitFailed(u16),
    /// A call told Redis what was charged here, and heard what all gateways have charged.
    SyncDone,
    /// Such a call failed; what it should have told goes with the next one.
    SyncFailed,
    /// Charges had to wait for a later call, or weren't told since too many waited.
    SyncBehind,
    /// An update of shared memory lost every race.
    CasExhausted,
    /// Shared memory refused a write for want of room.
    SharedFull,
    /// The signature function of the host failed its known vectors and isn't used.
    HostVerifyRefused,
    /// A line about a refusal was left out of the log: more were than `log.per_s`.
    LogLeftOut,
}

/// What docs/answers-and-metrics.md says to alert on, but for limits, and what examples/monitoring
/// draws: it is there, as zero, before it first counts, so that the first time is seen as growth.
pub const ALERTED: &[Metric] = &[
    Metric::Accepted,
    Metric::Anonymous,
    Metric::L1Hit,
    Metric::L2Hit,
    Metric::Verified,
    Metric::TokenHit,
    Metric::TokenShared,
    Metric::TokenUpstream,
    Metric::IntrospectionFailed,
    Metric::LookupFailed,
    Metric::Rejected(Reason::KeysUnavailable),
    Metric::Rejected(Reason::IntrospectionUnavailable),
    Metric::Rejected(Reason::TokenServerUnavailable),
    Metric::Rejected(Reason::RevocationUnavailable),
    Metric::Rejected(Reason::StatusUnavailable),
    Metric::Rejected(Reason::ReplayUnavailable),
    Metric::Rejected(Reason::ClockUnset),
    Metric::Rejected(Reason::BadSignature),
    Metric::Rejected(Reason::UnknownKey),
    Metric::Rejected(Reason::Proof),
    Metric::Rejected(Reason::Replayed),
    Metric::JwksFetchFailed,
    Metric::JwksKeysSkipped,
    Metric::JwksNotAllTried,
    Metric::LookupCapped,
    Metric::LookupPaused,
    Metric::IntrospectionCapped,
    Metric::IntrospectionPaused,
    Metric::TokenCapped,
    Metric::TokenOverShare,
    Metric::TokenPaused,
    Metric::RevocationFeedFailed,
    Metric::RevocationUnread,
    Metric::RevocationNotKept,
    Metric::SyncFailed,
    Metric::SyncBehind,
    Metric::ReplayFull,
    Metric::ReplayAskFailed,
    Metric::ReplayLost,
    Metric::SharedFull,
    Metric::CasExhausted,
    Metric::WaitTimedOut,
    Metric::WaitersFull,
    Metric::HostVerifyRefused,
];

impl Metric {
    /// The metric's full name. `limits` are the names of the limits in configuration order.
    pub fn name(self, limits: &[&str]) -> Cow<'static, str> {
        let of_limit = |index: u16, event: &str| {
            Cow::Owned(format!(
                "herdgate.limit.{}.{event}",
                limits.get(usize::from(index)).copied().unwrap_or("unknown")
            ))
        };
        Cow::Borrowed(match self {
            Metric::Accepted => "herdgate.bearer.accepted",
            Metric::Anonymous => "herdgate.bearer.anonymous",
            Metric::Rejected(reason) => {
                return Cow::Owned(format!("herdgate.bearer.rejected.{}", reason.name()));
            }
            Metric::Shadowed(reason) => {
                return Cow::Owned(format!("herdgate.bearer.shadowed.{}", reason.name()));
            }
            Metric::Permitted(reason) => {
                return Cow::Owned(format!("herdgate.bearer.permitted.{}", reason.name()));
            }
            Metric::PassedOn => "herdgate.bearer.passed_on",
            Metric::ResourceDescribed => "herdgate.resource.described",
            Metric::L1Hit => "herdgate.bearer.l1_hit",
            Metric::L2Hit => "herdgate.bearer.l2_hit",
            Metric::Verified => "herdgate.bearer.verified",
            Metric::VerifiedByHost => "herdgate.bearer.verified_by_host",
            Metric::VerifiedWithoutTable => "herdgate.bearer.verified_without_table",
            Metric::Decrypted => "herdgate.bearer.decrypted",
            Metric::NotDecrypted(why) => {
                return Cow::Owned(format!("herdgate.bearer.not_decrypted.{}", why.name()));
            }
            Metric::Legacy => "herdgate.bearer.legacy",
            Metric::WeakSecret => "herdgate.bearer.weak_secret",
            Metric::ClaimTooLong => "herdgate.forward.claim_too_long",
            Metric::JwksFetched => "herdgate.jwks.fetched",
            Metric::JwksFetchFailed => "herdgate.jwks.fetch_failed",
            Metric::JwksKeysSkipped => "herdgate.jwks.keys_skipped",
            Metric::JwksStale => "herdgate.jwks.stale",
            Metric::JwksUnknownKid => "herdgate.jwks.unknown_kid",
            Metric::JwksNotAllTried => "herdgate.jwks.not_all_tried",
            Metric::LookupFetched => "herdgate.lookup.fetched",
            Metric::LookupFailed => "herdgate.lookup.fetch_failed",
            Metric::LookupCapped => "herdgate.lookup.capped",
            Metric::LookupPaused => "herdgate.lookup.paused",
            Metric::IntrospectionFetched => "herdgate.introspection.fetched",
            Metric::IntrospectionFailed => "herdgate.introspection.fetch_failed",
            Metric::IntrospectionCapped => "herdgate.introspection.capped",
            Metric::IntrospectionPaused => "herdgate.introspection.paused",
            Metric::IntrospectionHit => "herdgate.introspection.hit",
            Metric::IntrospectionStale => "herdgate.introspection.stale",
            Metric::Waited => "herdgate.wait.started",
            Metric::WaitTimedOut => "herdgate.wait.timed_out",
            Metric::WaitersFull => "herdgate.wait.full",
            Metric::TokenHit => "herdgate.token.hit",
            Metric::TokenMiss => "herdgate.token.miss",
            Metric::TokenShared => "herdgate.token.shared",
            Metric::TokenBypass => "herdgate.token.bypass",
            Metric::TokenBypassFor(why) => {
                return Cow::Owned(format!("herdgate.token.bypass.{}", why.name()));
            }
            Metric::TokenNegative => "herdgate.token.negative",
            Metric::TokenUpstream => "herdgate.token.upstream",
            Metric::TokenWithdrawn => "herdgate.token.withdrawn",
            Metric::TokenNotStored => "herdgate.token.not_stored",
            Metric::TokenNotStoredFor(why) => {
                return Cow::Owned(format!("herdgate.token.not_stored.{}", why.name()));
            }
            Metric::TokenNotRewritten => "herdgate.token.not_rewritten",
            Metric::TokenCapped => "herdgate.token.capped",
            Metric::TokenOverShare => "herdgate.token.over_share",
            Metric::TokenPaused => "herdgate.token.paused",
            Metric::RevocationSeen => "herdgate.revocation.seen",
            Metric::RevocationUnread => "herdgate.revocation.unread",
            Metric::RevocationNotKept => "herdgate.revocation.not_kept",
            Metric::RevocationFeedRead => "herdgate.revocation.feed_read",
            Metric::RevocationFeedFailed => "herdgate.revocation.feed_failed",
            Metric::SetKept => "herdgate.revocation.set_kept",
            Metric::SetIgnored => "herdgate.revocation.set_ignored",
            Metric::SetRepeated => "herdgate.revocation.set_repeated",
            Metric::SetRefused => "herdgate.revocation.set_refused",
            Metric::SetsWaiting => "herdgate.revocation.sets_waiting",
            Metric::FloorRaised => "herdgate.revocation.floor_raised",
            Metric::GatewaysRead => "herdgate.gateways.read",
            Metric::GatewaysFailed => "herdgate.gateways.read_failed",
            Metric::GatewaysHeard => "herdgate.gateways.heard",
            Metric::GatewaysTold => "herdgate.gateways.told",
            Metric::GatewaysTellFailed => "herdgate.gateways.tell_failed",
            Metric::GatewaysBehind => "herdgate.gateways.behind",
            Metric::GatewaysForged => "herdgate.gateways.forged",
            Metric::GatewaysLost => "herdgate.gateways.lost",
            Metric::GatewaysUnheard => "herdgate.gateways.unheard",
            Metric::OutageTold => "herdgate.gateways.outage_told",
            Metric::OutageHeard => "herdgate.gateways.outage_heard",
            Metric::AnswersTaken => "herdgate.answers.taken",
            Metric::AnswersLed => "herdgate.answers.led",
            Metric::AnswersWaited => "herdgate.answers.waited",
            Metric::AnswersWaitedOut => "herdgate.answers.waited_out",
            Metric::AnswersAsked => "herdgate.answers.asked",
            Metric::AnswersFailed => "herdgate.answers.failed",
            Metric::AnswersForged => "herdgate.answers.forged",
            Metric::AnswersTold => "herdgate.answers.told",
            Metric::AnswersTellFailed => "herdgate.answers.tell_failed",
            Metric::AnswersBehind => "herdgate.answers.behind",
            Metric::StatusListFetched => "herdgate.status_list.fetched",
            Metric::StatusListFailed => "herdgate.status_list.fetch_failed",
            Metric::StatusListCapped => "herdgate.status_list.capped",
            Metric::StatusListPaused => "herdgate.status_list.paused",
            Metric::StatusListFull => "herdgate.status_list.full",
            Metric::StatusListTooLong => "herdgate.status_list.too_long",
            Metric::StatusListAllowed => "herdgate.status_list.allowed",
            Metric::StatusListUnchecked => "herdgate.status_list.unchecked",
            Metric::ReplayFull => "herdgate.replay.full",
            Metric::ReplayAsked => "herdgate.replay.asked",
            Metric::ReplayAskFailed => "herdgate.replay.ask_failed",
            Metric::ReplayLost => "herdgate.replay.lost",
            Metric::LimitAllowed(index) => return of_limit(index, "allowed"),
            Metric::LimitDenied(index) => return of_limit(index, "denied"),
            Metric::LimitSketch(index) => return of_limit(index, "sketch"),
            Metric::LimitFailed(index) => return of_limit(index, "failed"),
            Metric::SyncDone => "herdgate.sync.done",
            Metric::SyncFailed => "herdgate.sync.failed",
            Metric::SyncBehind => "herdgate.sync.behind",
            Metric::CasExhausted => "herdgate.shared.cas_exhausted",
            Metric::SharedFull => "herdgate.shared.full",
            Metric::HostVerifyRefused => "herdgate.verify.host_refused",
            Metric::LogLeftOut => "herdgate.log.left_out",
        })
    }
}

/// What is told as it stands now.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Gauge {
    /// Seconds since the JWK Set of the issuer at this place was fetched.
    JwksAge(u16),
    /// Percent of a table in shared memory that is taken, as a sample of its slots says: TABLE is
    /// `tokens`, `answers`, `lookups`, `opaque`, `revoked`, `counters` or `replay`.
    Filled(TableId),
    /// Requests that wait for a fact. Envoy alone.
    Waiting,
    /// Calls of the filter's own under way. Envoy alone.
    Calling,
    /// Gateways of this secret that were heard of through Redis in the last ten seconds, this one
    /// among them; 0 while Redis says nothing. There only where gateways meet.
    Gateways,
}

impl Gauge {
    /// Its full name. `issuers` are the names of the issuers in configuration order.
    pub fn name(self, issuers: &[&str]) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Gauge::JwksAge(index) => {
                let issuer = issuers.get(usize::from(index)).copied().unwrap_or("unknown");
                return Cow::Owned(format!("herdgate.issuer.{issuer}.jwks_age_s"));
            }
            Gauge::Filled(table) => {
                return Cow::Owned(format!("herdgate.table.{}.filled_percent", table.name()));
            }
            Gauge::Waiting => "herdgate.wait.now",
            Gauge::Calling => "herdgate.call.now",
            Gauge::Gateways => "herdgate.gateways.now",
        })
    }
}

/// What takes time, in milliseconds: histograms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Took {
    /// A call of the filter's own, from when it was made until its answer came or it failed.
    Call,
    /// A request's wait for facts that were missing, its own calls for them included.
    Wait,
    /// A token or revocation call, from when it went on to the server until its answer began.
    TokenCall,
}

impl Took {
    /// Its full name.
    pub const fn name(self) -> &'static str {
        match self {
            Took::Call => "herdgate.call.took_ms",
            Took::Wait => "herdgate.wait.took_ms",
            Took::TokenCall => "herdgate.token.took_ms",
        }
    }
}

/// Where events are counted.
pub trait Meter {
    /// Counts one event.
    fn count(&self, metric: Metric);
}

/// Counts nothing.
#[cfg(test)]
pub struct NoMeter;

#[cfg(test)]
impl Meter for NoMeter {
    fn count(&self, _: Metric) {}
}
