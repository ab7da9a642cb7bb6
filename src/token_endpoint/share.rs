//! Who has how many calls under way: a sketch that may say too much and never too little, in
//! bounded room whoever comes.

/// Cells in a row: with two rows one of 4,096 others is taken for a client that has many calls
/// under way.
const CELLS: usize = 64;
const ROWS: usize = 2;
const COUNTERS: usize = ROWS * CELLS;
/// Bits of a hash that choose a cell.
const CELL_BITS: u32 = CELLS.trailing_zeros();

/// Counts by a hash of who is counted, in two generations: what began in the one before last is
/// forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shares {
    young: [u16; COUNTERS],
    old: [u16; COUNTERS],
}

impl Default for Shares {
    fn default() -> Self {
        Shares { young: [0; COUNTERS], old: [0; COUNTERS] }
    }
}

impl Shares {
    /// Bytes of the encoded form.
    pub(super) const BYTES: usize = 2 * 2 * COUNTERS;

    /// How many calls of this one are under way, or more.
    pub(super) fn count(&self, who: u32) -> u32 {
        let at = |place: usize| {
            let of = |cells: &[u16; COUNTERS]| cells.get(place).copied().map_or(0, u32::from);
            of(&self.young).saturating_add(of(&self.old))
        };
        places(who).map(at).into_iter().min().unwrap_or(0)
    }

    /// Counts one more call of this one.
    pub(super) fn add(&mut self, who: u32) {
        for place in places(who) {
            if let Some(count) = self.young.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// One less, which began so many generations ago.
    pub(super) fn take_back(&mut self, who: u32, generations: u64) {
        let cells = match generations {
            0 => &mut self.young,
            1 => &mut self.old,
            _ => return,
        };
        for place in places(who) {
            if let Some(count) = cells.get_mut(place) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// So many generations have passed.
    pub(super) fn age(&mut self, generations: u64) {
        match generations {
            0 => {}
            1 => (self.old, self.young) = (self.young, [0; COUNTERS]),
            _ => *self = Shares::default(),
        }
    }

    /// The form in shared memory.
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        self.young.iter().chain(&self.old).for_each(|count| to.extend(count.to_le_bytes()));
    }

    /// From bytes of [`Shares::encode`], as many as [`Shares::BYTES`].
    pub(super) fn decode(bytes: &[u8]) -> Shares {
        let mut shares = Shares::default();
        let counts = bytes.as_chunks::<2>().0.iter().map(|count| u16::from_le_bytes(*count));
        shares
            .young
            .iter_mut()
            .chain(&mut shares.old)
            .zip(counts)
            .for_each(|(to, count)| *to = count);
        shares
    }
}

/// One cell in each row.
fn places(who: u32) -> [usize; ROWS] {
    let cell = |row: u32| (who >> (row * CELL_BITS)) as usize % CELLS;
    [cell(0), CELLS + cell(1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is under way is never counted too low, whatever comes, goes and ages.
        #[test]
        fn never_too_little(steps in prop::collection::vec((0u8..8, any::<u32>(), any::<usize>()), 0..300)) {
            let mut shares = Shares::default();
            let mut under_way: Vec<(u32, u64)> = Vec::new();
            let mut generation = 0;
            for (what, who, pick) in steps {
                match what {
                    0..=4 => {
                        shares.add(who % 64);
                        under_way.push((who % 64, generation));
                    }
                    5 | 6 if !under_way.is_empty() => {
                        let (who, began) = under_way.swap_remove(pick % under_way.len());
                        shares.take_back(who, generation - began);
                    }
                    7 if pick % 4 == 0 => {
                        generation += 1;
                        shares.age(1);
                        under_way.retain(|(_, began)| generation - began < 2);
                    }
                    _ => {}
                }
                for who in 0..64 {
                    let truth = under_way.iter().filter(|(one, _)| *one == who).count();
                    prop_assert!(shares.count(who) as usize >= truth);
                }
                let mut bytes = Vec::new();
                shares.encode(&mut bytes);
                prop_assert_eq!(bytes.len(), Shares::BYTES);
                prop_assert_eq!(Shares::decode(&bytes), shares);
            }
        }
    }
}
