//! How much is written to the gateway's log, and under which key names of clients stand in it.

use crate::config::Config;
use crate::digest::{HostKey, sha256};
use crate::jwt::Claims;
use crate::metrics::Metric;
use crate::rate_limit::{self, Claim, Verdict};
use crate::reply::Claimed;

use super::asked::pace;
use super::{Facts, Stop};

/// What names subjects in logs: the same in all gateways that share a secret, and after a restart.
pub(super) fn key(config: &Config) -> Option<HostKey> {
    let secret = config.shared.secret.expose();
    let is_given = !secret.is_empty();
    is_given.then(|| HostKey::new(&sha256(b"herdgate subjects in logs v1"), secret))
}

impl Facts<'_> {
    /// The key of subjects in logs; the host's own where no secret is configured.
    pub fn subject_key(&self) -> &HostKey {
        self.runtime.subject_key.as_ref().unwrap_or(&self.runtime.host_key)
    }

    /// Whose a token of these claims is, as they say.
    #[inline(never)]
    pub fn claimed(&self, claims: &Claims) -> Claimed {
        let (issuers, index) = (&self.runtime.config.issuers, &self.runtime.compiled.issuer_index);
        match index.choose(issuers, claims.iss.as_deref(), &claims.aud) {
            Ok(issuer) => Claimed { issuer: Some(issuer), subject: self.subject(claims) },
            Err(_) => Claimed::default(),
        }
    }

    /// 64 bits under a key that nobody outside has, so that a subject can be followed through logs
    /// and not be found out from them.
    pub fn subject(&self, claims: &Claims) -> Option<String> {
        let (iss, sub) = (claims.iss.as_deref(), claims.sub.as_deref());
        iss.or(sub)?;
        let fields = [iss.unwrap_or_default(), sub.unwrap_or_default()];
        let digest = self.subject_key().digest("subject", &fields.map(str::as_bytes));
        let digits = digest.0.iter().take(8).flat_map(|byte| [byte >> 4, byte & 15]);
        Some(digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect())
    }

    /// A refusal of a token of these claims says whose it was.
    #[cold]
    pub(super) fn of_claimed(&self, mut stop: Stop, claims: &Claims) -> Stop {
        if let Stop::Refuse(refusal) = &mut stop {
            refusal.claimed = Some(Box::new(self.claimed(claims)));
        }
        stop
    }

    /// Whether a line about a refusal may be written now; then how many were left out before it.
    /// All workers together write at most so many: whoever is refused a thousand times a second
    /// doesn't fill the disk.
    pub fn may_log_refusal(&self) -> Option<u64> {
        let per_s = self.runtime.config.log.refusals_per_s?;
        let limit = pace(per_s, per_s);
        let claim = Claim::alone(&limit, self.runtime.host_key.digest("log", &[b"refusals"]));
        let counters = &self.runtime.compiled.counters;
        let verdict = rate_limit::charge(counters, &self.shared().moment(), &[claim]).verdict;
        let left_out = &self.runtime.lines_left_out;
        match verdict {
            Verdict::Allowed => Some(left_out.take()),
            Verdict::Refused { .. } => {
                left_out.set(left_out.get().saturating_add(1));
                self.host.meter.count(Metric::LogLeftOut);
                None
            }
        }
    }
}
