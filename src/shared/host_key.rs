//! The host's random bytes: 32 of them, stored once, read by every worker.
//!
//! With `shared.secret` they make the [`HostKey`]. All configurations of one host must name the
//! same secret, or each the other's as the one before it: to a worker that knows neither every record in
//! shared memory is no record.

use super::slot::TableId;
use super::{CAS_TRIES, Expect, Refused, Slot, Store, Unavailable};
use crate::digest::{HostKey, sha256};

const SLOT: Slot = Slot::new(TableId::HostKey, 0);
const MARK: &[u8; 8] = b"herdgat1";
const RECORD_BYTES: usize = 8 + 32 + 8;

/// The host's random bytes as stored in shared memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HostRandom([u8; 32]);

impl HostRandom {
    /// Reads the bytes, or stores some if there are none: those that this worker read before
    /// (`known`), so that a host that lost them gets the same again, else `fresh`, 32 new random
    /// bytes. To be called at start and on ticks: when it returns other bytes than before, others
    /// were faster, and theirs are in force.
    ///
    /// # Errors `Full` if the host has no room, `Foreign` if the slot holds what isn't ours,
    /// `Exhausted` if it loses what was stored: workers then have nothing in common, and shared
    /// memory is of no use.
    pub fn agree(
        store: &dyn Store,
        known: Option<HostRandom>,
        fresh: [u8; 32],
    ) -> Result<HostRandom, Unavailable> {
        let mine = known.unwrap_or(HostRandom(fresh));
        let record = mine.seal();
        for _ in 0..CAS_TRIES {
            // Read after a write too: in force is what is there, not what was written.
            let expect = match store.get(SLOT) {
                None => Expect::Absent,
                Some((bytes, version)) => match HostRandom::open(&bytes) {
                    Some(found) => return Ok(found),
                    None if bytes.len() < RECORD_BYTES && !bytes.is_empty() => {
                        return Err(Unavailable::Foreign);
                    }
                    None => Expect::Version(version),
                },
            };
            if let Err(Refused::Full) = store.set(SLOT, &record, expect) {
                return Err(Unavailable::Full);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// The host-wide key under these bytes and `shared.secret`, and the one of the secret before.
    pub fn key(&self, secret: &[u8], previous: Option<&[u8]>) -> HostKey {
        let before = previous.map(|secret| HostKey::new(&self.0, secret));
        HostKey::new(&self.0, secret).after(before)
    }

    fn seal(&self) -> Vec<u8> {
        [MARK.as_slice(), &self.0, &self.checksum()].concat()
    }

    fn open(bytes: &[u8]) -> Option<HostRandom> {
        let random =
            bytes.strip_prefix(MARK)?.first_chunk::<32>().map(|random| HostRandom(*random))?;
        (bytes == random.seal()).then_some(random)
    }

    /// Against accidents alone; there is no key yet that it could be keyed with.
    fn checksum(&self) -> [u8; 8] {
        let hash = sha256(&[MARK.as_slice(), &self.0].concat());
        hash.first_chunk().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for HostRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostRandom(..)")
    }
}
