//! Deliberate breakage for the simulation: each invariant has a twin of the code that must fail it.
//!
//! Outside tests [`broken`] is a constant `false`, and nothing of this is left in the filter.

/// A protection that the simulation can take away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Twin {
    /// Two records of one key stay in both of its slots.
    DuplicatesStay,
    /// A document's chunks are found by its name alone, without its version.
    ChunksWithoutVersion,
    /// A lease is taken without looking who has it.
    LeaseUnasked,
    /// A key that moves into a counter cell leaves its charges in the sketch behind.
    SketchForgotten,
    /// Charging the sketch doesn't touch the key's own slot.
    SketchUntouched,
    /// The sketch admits by the state before all rows are charged.
    SketchEarly,
    /// A charge is given back although its counter was idle in between.
    RefundBlindly,
    /// What other gateways charged replaces what was charged here.
    RaiseLowers,
    /// A key has a counter for each tier of its limit.
    CounterPerTier,
    /// A tier takes what another one charged for a clock that went back.
    TiersApart,
    /// Busy counters give way.
    BusyGivesWay,
    /// Who has ids in a slot already isn't asked for.
    OwnersUnasked,
    /// A memory that was lost begins when its worker did.
    BeginsTooEarly,
    /// A status list is taken without a look whose it is.
    ListUnnamed,
    /// A record's digest isn't compared.
    AnyKey,
    /// A host that doesn't compare versions.
    BlindWrites,
    /// An answer is kept without a look whether its token was revoked meanwhile.
    KeptUnasked,
    /// An answer is withdrawn before its token's name is remembered.
    WithdrawnFirst,
    /// A slot that can't be read is overwritten without a second look.
    OneLook,
    /// A client's share of the calls under way isn't asked for.
    SharesUnasked,
    /// Each failure counts as another client's.
    OneClientsOutage,
    /// Who gets the lead doesn't look whether another has brought what it wants.
    NoSecondLook,
    /// A failed fetch keeps nobody from the next one.
    NoPause,
    /// The number that tells of revocations changes before the names are there.
    NumberBeforeNames,
    /// The names are looked up before the number is read under which they are known.
    NamesBeforeNumber,
    /// Who tells other gateways something takes all that they told before it for read.
    ToldIsRead,
    /// A first answer counts as the first reading, whether or not there is more to read.
    FirstIsAll,
    /// What gateways seal for each other doesn't say for which call, and until when.
    SealedForAny,
    /// A gateway that dies while it calls keeps the call for itself.
    LeaseOfTheDead,
    /// Others are asked for answers although their revocations weren't read lately.
    UnheardAsks,
    /// An outage that others tell of is believed against answers of the server's own.
    OutageBelieved,
}

#[cfg(not(test))]
pub(crate) const fn broken(_: Twin) -> bool {
    false
}

#[cfg(test)]
pub(crate) use for_tests::{broken, with};

#[cfg(test)]
mod for_tests {
    use super::Twin;
    use std::cell::Cell;

    thread_local!(static BROKEN: Cell<Option<Twin>> = const { Cell::new(None) });

    /// Whether this thread runs the twin without that protection.
    pub(crate) fn broken(twin: Twin) -> bool {
        BROKEN.get() == Some(twin)
    }

    /// Runs `work` without that protection.
    pub(crate) fn with<R>(twin: Option<Twin>, work: impl FnOnce() -> R) -> R {
        let before = BROKEN.replace(twin);
        let result = work();
        BROKEN.set(before);
        result
    }
}
