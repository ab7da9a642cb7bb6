//! Names of slots: a fixed prefix, the table's letter, three characters.
//!
//! CRC-32 is one-to-one over four neighbouring bytes in strings of one length, so no two of these
//! names are one key to a host that keeps only the CRC-32 of a key. A new record format takes a new
//! prefix: what lies in a slot is then either of this format or foreign.

use super::Slot;

/// Slots that a table can have at most: 94 characters in three places.
pub const SLOTS_MAX: u32 = RADIX * RADIX * RADIX;

const PREFIX: [u8; 2] = *b"hg";
const FIRST: u8 = 0x21;
const RADIX: u32 = 94;

/// Every table in shared memory, by its letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum TableId {
    /// The host's random bytes.
    HostKey = b'k',
    /// Numbers that only grow.
    Epochs = b'e',
    /// Verified tokens.
    Tokens = b't',
    /// What introspection and credential lookups said.
    Facts = b'f',
    /// Documents in chunks: JWK Sets, token answers.
    Documents = b'd',
    /// Who brings a fact or makes a call that others wait for.
    Leases = b'l',
    /// Counters of limits.
    Counters = b'c',
    /// Counters of limits beyond that table.
    Sketch = b's',
    /// Ids seen once.
    Replay = b'r',
    /// Revoked ids.
    Revoked = b'v',
    /// How token endpoints fare.
    Admissions = b'a',
    /// How clients of token endpoints fare.
    Clients = b'p',
    /// What lookups said of credentials.
    Lookups = b'q',
    /// What introspection said of opaque tokens.
    Opaque = b'o',
    /// What isn't there, or isn't active, as a lookup or introspection said.
    Absent = b'n',
    /// Up to where this gateway has heard what others tell.
    Gateways = b'g',
    /// Token Status Lists, in pages.
    StatusLists = b'y',
    /// Which status lists of an issuer are in use.
    StatusPlaces = b'i',
}

impl TableId {
    /// All of them.
    pub const ALL: [TableId; 18] = [
        TableId::HostKey,
        TableId::Epochs,
        TableId::Tokens,
        TableId::Facts,
        TableId::Documents,
        TableId::Leases,
        TableId::Counters,
        TableId::Sketch,
        TableId::Replay,
        TableId::Revoked,
        TableId::Admissions,
        TableId::Clients,
        TableId::Lookups,
        TableId::Opaque,
        TableId::Absent,
        TableId::Gateways,
        TableId::StatusLists,
        TableId::StatusPlaces,
    ];

    /// What metrics call it.
    pub const fn name(self) -> &'static str {
        match self {
            TableId::HostKey => "host_key",
            TableId::Epochs => "epochs",
            TableId::Tokens => "tokens",
            TableId::Facts => "states",
            TableId::Documents => "answers",
            TableId::Leases => "leases",
            TableId::Counters => "counters",
            TableId::Sketch => "sketch",
            TableId::Replay => "replay",
            TableId::Revoked => "revoked",
            TableId::Admissions => "admissions",
            TableId::Clients => "clients",
            TableId::Lookups => "lookups",
            TableId::Opaque => "opaque",
            TableId::Absent => "absent",
            TableId::Gateways => "gateways",
            TableId::StatusLists => "status_lists",
            TableId::StatusPlaces => "status_places",
        }
    }

    /// The letter in its slots' names.
    pub const fn letter(self) -> u8 {
        self as u8
    }
}

impl Slot {
    /// Whether it is one of this table's.
    pub fn is_of(self, table: TableId) -> bool {
        self.0.get(PREFIX.len()) == Some(&table.letter())
    }

    /// The name of slot `index` of a table. Indices from [`SLOTS_MAX`] on start again at 0.
    pub const fn new(table: TableId, index: u32) -> Slot {
        let [p, q] = PREFIX;
        Slot([
            p,
            q,
            table.letter(),
            character(index / RADIX / RADIX),
            character(index / RADIX),
            character(index),
        ])
    }
}

const fn character(n: u32) -> u8 {
    FIRST + (n % RADIX) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_pointer_width = "64")]
    use crate::simulation::crc32;

    /// A bit for each of 2^32 CRCs: more than 32 bits of addresses have room for.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn no_two_slots_of_any_tables_have_an_equal_crc_32() {
        let table = crc32::table();
        let mut seen = vec![0u64; (1 << 32) / 64];
        let mut names = 0u64;
        for id in TableId::ALL {
            for index in (0..SLOTS_MAX).step_by(RADIX as usize) {
                // All that differ in the last character, in one go.
                let name = Slot::new(id, index).0;
                let before = crc32::extend(&table, !0, &name[..5]);
                for last in FIRST..FIRST + RADIX as u8 {
                    let crc = !crc32::extend(&table, before, &[last]);
                    let (word, bit) = (crc as usize / 64, crc % 64);
                    assert!(seen[word] >> bit & 1 == 0, "of {id:?}, at {index}");
                    seen[word] |= 1 << bit;
                    names += 1;
                }
                assert_eq!(
                    Slot::new(id, index + RADIX - 1).0,
                    [name[0], name[1], name[2], name[3], name[4], FIRST + RADIX as u8 - 1]
                );
            }
        }
        assert_eq!(names, 18 * 830_584);
    }

    #[test]
    fn names_are_printable() {
        for index in [0, 93, 94, SLOTS_MAX - 1, SLOTS_MAX, u32::MAX] {
            assert!(Slot::new(TableId::Tokens, index).0.iter().all(|c| (0x21..=0x7e).contains(c)));
        }
        assert_eq!(Slot::new(TableId::Tokens, SLOTS_MAX), Slot::new(TableId::Tokens, 0));
    }

    #[test]
    fn letters_differ() {
        let letters: std::collections::BTreeSet<u8> =
            TableId::ALL.iter().map(|t| t.letter()).collect();
        assert_eq!(letters.len(), TableId::ALL.len());
    }
}
