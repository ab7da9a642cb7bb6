//! Shared memory as the host gives it: slots with a version, and no unconditional write. On it, two
//! kinds of tables: [`table`] for what may be forgotten, [`cells`] for what must not.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod cells;
pub mod document;
pub mod epoch;
pub mod host_key;
pub mod lease;
pub mod once;
pub mod record;
pub mod register;
pub mod slot;
pub mod table;
pub(crate) mod twin;

pub use cells::Cells;
pub use document::{Documents, Head, Opened};
pub use epoch::Epoch;
pub use lease::{Acquired, Leases, Owner};
pub use register::Registers;
pub use slot::TableId;
pub use table::{Places, Table};

use crate::digest::HostKey;
use crate::time::Time;

/// How often a lost compare-and-set is tried.
pub const CAS_TRIES: usize = 8;

/// The version of a slot as the host counts it; good for one compare-and-set.
pub type Version = u32;

/// What a write expects to find. There is no third way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// The slot has never been written (or was freed by the host).
    Absent,
    /// The slot has this version still.
    Version(Version),
}

/// Why a write did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Someone else wrote first.
    Lost,
    /// The host has no room, or no such memory.
    Full,
}

/// Why shared memory can't do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// Every try lost its race.
    Exhausted,
    /// The host has no room, or nothing there gives way.
    Full,
    /// The payload is longer than the table takes.
    TooLong,
    /// The slot holds what isn't ours and can't be overwritten safely.
    Foreign,
}

/// The name of a slot: one fixed prefix and four 7-bit characters, the table in the first, so that
/// no two names have an equal CRC-32 (Kong's host knows a key by that alone).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(pub [u8; 6]);

/// The host's shared memory. The shell implements it over shared data; the simulation, in both
/// dialects, over a map that switches workers inside every call.
pub trait Store {
    /// The value and version of a slot, or nothing.
    fn get(&self, slot: Slot) -> Option<(Vec<u8>, Version)>;
    /// Writes if the slot is as expected.
    fn set(&self, slot: Slot, value: &[u8], expect: Expect) -> Result<(), Refused>;
    /// Random 64 bits for owner ids; need not be cryptographic.
    fn random(&self) -> u64;
    /// Whether what was written stays written, so that a slot without a value never had one.
    fn never_forgets(&self) -> bool {
        false
    }
}

/// Shared memory at one moment: what every access needs.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The host's memory.
    pub store: &'a dyn Store,
    /// What records are sealed with.
    pub host: &'a HostKey,
    /// The time.
    pub now: Time,
}
