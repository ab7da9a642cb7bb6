//! The state as bytes for shared memory.

use super::{Admission, Evidence, SLICES, Shares};

/// Bytes of an encoded state.
pub const STATE_BYTES: usize = FIXED_BYTES + Evidence::BYTES + 2 * Shares::BYTES;

pub(super) const VERSION: u8 = 3;
const FIXED_BYTES: usize = 96;

impl Admission {
    /// As bytes for shared memory. Key, expiry and checksum belong to the record around it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        let [a, b, c, d] = self.under_way.map(u64::from);
        let fields: [(u64, usize); 23] = [
            (u64::from(VERSION), 1),
            (a, 2),
            (b, 2),
            (c, 2),
            (d, 2),
            (self.slice, 6),
            (u64::from(self.pauses), 1),
            (u64::from(self.ramp), 2),
            (u64::from(self.ramp_before), 2),
            (self.ramp_since_ms, 6),
            (u64::from(self.reach), 4),
            (self.paused_until_ms, 6),
            (u64::from(self.paused_ms), 4),
            (u64::from(self.last_failed), 4),
            (u64::from(self.asked_ms), 4),
            (self.line_end_us, 8),
            (u64::from(self.answers), 4),
            (u64::from(self.rate), 4),
            (self.rate_since_ms, 8),
            (u64::from(self.address), 4),
            (self.several_at_ms, 8),
            (self.answered_at_ms, 6),
            (self.heard_at_ms, 6),
        ];
        for (number, len) in fields {
            bytes.extend(number.to_le_bytes().into_iter().take(len));
        }
        self.evidence.encode(&mut bytes);
        self.clients.encode(&mut bytes);
        self.addresses.encode(&mut bytes);
        bytes
    }

    /// From bytes of [`Admission::encode`]. Any others give the state of a server in health: the
    /// cap still holds for what begins from now on.
    pub fn decode(bytes: &[u8]) -> Admission {
        Self::read(bytes).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Admission> {
        if bytes.len() != STATE_BYTES {
            return None;
        }
        let (mut fixed, rest) = bytes.split_at_checked(FIXED_BYTES)?;
        let (evidence, rest) = rest.split_at_checked(Evidence::BYTES)?;
        let (clients, addresses) = rest.split_at_checked(Shares::BYTES)?;
        let mut next = |len: usize| -> Option<u64> {
            let (field, after) = fixed.split_at_checked(len)?;
            fixed = after;
            Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        if next(1)? != u64::from(VERSION) {
            return None;
        }
        let mut under_way = [0u16; SLICES];
        for count in &mut under_way {
            *count = next(2)? as u16;
        }
        Some(Admission {
            under_way,
            slice: next(6)?,
            pauses: next(1)? as u8,
            ramp: next(2)? as u16,
            ramp_before: next(2)? as u16,
            ramp_since_ms: next(6)?,
            reach: next(4)? as u32,
            paused_until_ms: next(6)?,
            paused_ms: next(4)? as u32,
            last_failed: next(4)? as u32,
            asked_ms: next(4)? as u32,
            line_end_us: next(8)?,
            answers: next(4)? as u32,
            rate: next(4)? as u32,
            rate_since_ms: next(8)?,
            address: next(4)? as u32,
            several_at_ms: next(8)?,
            answered_at_ms: next(6)?,
            heard_at_ms: next(6)?,
            evidence: Evidence::decode(evidence),
            clients: Shares::decode(clients),
            addresses: Shares::decode(addresses),
        })
    }
}
