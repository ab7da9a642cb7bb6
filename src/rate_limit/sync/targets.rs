//! Where limits meet those of other gateways.

use crate::rate_limit::{RateLimit, Sync};

/// Where the limits of a configuration meet those of other gateways: each Redis and rhythm once.
pub struct Targets {
    /// Each once.
    pub all: Vec<Sync>,
    /// Of each limit, which it is.
    of_limits: Vec<Option<usize>>,
}

impl Targets {
    /// The targets of these limits.
    pub fn new(limits: &[RateLimit]) -> Self {
        let mut all: Vec<Sync> = Vec::new();
        let mut target = |sync: &Sync| {
            all.iter().position(|known| known == sync).unwrap_or_else(|| {
                all.push(sync.clone());
                all.len() - 1
            })
        };
        let of_limits = limits.iter().map(|limit| limit.sync.as_ref().map(&mut target)).collect();
        Targets { all, of_limits }
    }

    /// Where a limit meets its like; nothing if it doesn't.
    pub fn of(&self, limit: usize) -> Option<usize> {
        self.of_limits.get(limit).copied().flatten()
    }
}
