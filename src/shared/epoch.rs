//! Epochs: a number in shared memory that grows when something changed that workers keep copies of.

use super::record::Shape;
use super::slot::TableId;
use super::{CAS_TRIES, Expect, Moment, Refused, Slot, Unavailable};
use crate::digest::{Digest, HostKey};
use crate::time::Time;

const SHAPE: Shape = Shape::new(TableId::Epochs, 8);

/// One such number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epoch {
    index: u32,
}

impl Epoch {
    /// Grows with each revocation.
    pub const REVOCATION: Epoch = Epoch { index: 0 };
    /// Since when ids that count once are remembered.
    pub const IDS: Epoch = Epoch { index: 2 };
    /// Since when all gateways together remember them, as far as this one has heard.
    pub const GATEWAY_IDS: Epoch = Epoch { index: 3 };

    /// What it stands at; nothing before the first bump, and after the host has lost it. Compare
    /// with what was read before: any difference, to or from nothing as well, is a change. One host
    /// call.
    #[cfg(test)]
    pub fn read(&self, at: &Moment<'_>) -> Option<u64> {
        self.read_for_write(at, &self.name(at.host)).0
    }

    /// Whether its slot has never held anything.
    pub fn was_never_written(&self, at: &Moment<'_>) -> bool {
        at.store.get(self.slot()).is_none()
    }

    /// The same for one who reads often and keeps its [`Epoch::name`].
    pub fn read_named(&self, at: &Moment<'_>, name: &Digest) -> Option<u64> {
        self.read_for_write(at, name).0
    }

    /// What its record says that it is.
    pub fn name(&self, host: &HostKey) -> Digest {
        host.digest("epoch", &[&self.index.to_le_bytes()])
    }

    /// Makes it another number than it ever was; returns that. Counted up from the moment of the
    /// first bump, so that a lost number doesn't come back.
    ///
    /// # Errors
    /// `Full` if the host has no room, `Exhausted` if it refuses for no visible reason: workers may
    /// then go on with their copies.
    pub fn bump(&self, at: &Moment<'_>) -> Result<u64, Unavailable> {
        let digest = self.name(at.host);
        let (before, mut expect) = self.read_for_write(at, &digest);
        for _ in 0..CAS_TRIES {
            let next = before.map_or(0, |n| n.saturating_add(1)).max(at.now.ns());
            let record = SHAPE
                .seal(at.host, &digest, Time::from_ns(u64::MAX), &next.to_le_bytes())
                .ok_or(Unavailable::TooLong)?;
            match at.store.set(self.slot(), &record, expect) {
                Ok(()) => return Ok(next),
                Err(Refused::Full) => return Err(Unavailable::Full),
                Err(Refused::Lost) => {
                    let (found, version) = self.read_for_write(at, &digest);
                    match found {
                        // Another bumped it after this call began, which serves this call as well.
                        Some(found) if before.is_none_or(|before| found > before) => {
                            return Ok(found);
                        }
                        _ => expect = version,
                    }
                }
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// The moment that it stands at. Where there is none it is `first` from now on, and `at.now` if
    /// what is there lies ahead: the clock has gone back since. Two host calls, one where it is kept.
    ///
    /// # Errors
    /// `Full` if the host has no room, `Exhausted` if it refuses for no visible reason.
    pub fn read_or_begin(&self, at: &Moment<'_>, first: Time) -> Result<Time, Unavailable> {
        let digest = self.name(at.host);
        let mut looked = None;
        for _ in 0..CAS_TRIES {
            let (found, expect) = self.read_for_write(at, &digest);
            let found = found.map(Time::from_ns);
            let begin = match found {
                Some(found) if !found.is_ahead_of(at.now) => return Ok(found),
                Some(_) => at.now,
                None => first,
            };
            // A torn read must not be the end of what is there: a second look has to find the same.
            if looked != Some((found, expect)) {
                looked = Some((found, expect));
                continue;
            }
            let record = SHAPE
                .seal(at.host, &digest, Time::from_ns(u64::MAX), &begin.ns().to_le_bytes())
                .ok_or(Unavailable::TooLong)?;
            // In force is what is there then, not what was written.
            if at.store.set(self.slot(), &record, expect) == Err(Refused::Full) {
                return Err(Unavailable::Full);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Has it stand at this number, unless another worker changes it at this moment.
    ///
    /// # Errors
    /// `Full` if the host has no room.
    pub fn stand_at(&self, at: &Moment<'_>, number: u64) -> Result<(), Unavailable> {
        let digest = self.name(at.host);
        let (_, expect) = self.read_for_write(at, &digest);
        let record = SHAPE
            .seal(at.host, &digest, Time::from_ns(u64::MAX), &number.to_le_bytes())
            .ok_or(Unavailable::TooLong)?;
        match at.store.set(self.slot(), &record, expect) {
            Ok(()) | Err(Refused::Lost) => Ok(()),
            Err(Refused::Full) => Err(Unavailable::Full),
        }
    }

    fn read_for_write(&self, at: &Moment<'_>, name: &Digest) -> (Option<u64>, Expect) {
        let Some((bytes, version)) = at.store.get(self.slot()) else {
            return (None, Expect::Absent);
        };
        if bytes.len() < SHAPE.record_bytes() && !bytes.is_empty() {
            // Foreign: growing it could kill a Kong worker. A creation that is refused does no
            // harm.
            return (None, Expect::Absent);
        }
        let record = SHAPE.open_any(at.host, &bytes).filter(|record| {
            record.digest == *name || at.host.gives(&record.digest, |key| self.name(key))
        });
        let number =
            record.and_then(|record| record.payload.try_into().ok()).map(u64::from_le_bytes);
        (number, Expect::Version(version))
    }

    const fn slot(&self) -> Slot {
        Slot::new(TableId::Epochs, self.index)
    }
}
