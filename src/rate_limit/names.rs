//! The names of counters that a token decides alone: made once, and kept beside the token.

use std::cell::RefCell;

use crate::digest::Digest;

/// How many limits' names a token keeps. Those of further limits are made on each request.
const NAMES_MAX: usize = 4;

/// The counters of one token in this worker, by the index of their limit.
#[derive(Default)]
pub struct CounterNames(RefCell<Vec<(usize, Digest)>>);

impl CounterNames {
    /// Bytes that they take at most beside themselves, in a configuration with so many limits.
    pub const fn bytes(limits: usize) -> usize {
        at_most(limits) * std::mem::size_of::<(usize, Digest)>()
    }

    /// The name of the counter that the limit at `index`, one of `limits`, keeps for this token.
    /// `make` always makes the same.
    pub fn of(&self, index: usize, limits: usize, make: impl FnOnce() -> Digest) -> Digest {
        let mut names = self.0.borrow_mut();
        if let Some((_, name)) = names.iter().find(|(known, _)| *known == index) {
            return *name;
        }
        let name = make();
        if names.is_empty() {
            names.reserve_exact(at_most(limits));
        }
        if names.len() < at_most(limits) {
            names.push((index, name));
        }
        name
    }
}

const fn at_most(limits: usize) -> usize {
    if limits < NAMES_MAX { limits } else { NAMES_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_own_made_once_within_the_bound() {
        let names = CounterNames::default();
        let made = RefCell::new(Vec::new());
        let name = |index: usize| {
            names.of(index, 6, || {
                made.borrow_mut().push(index);
                Digest([index as u8; 32])
            })
        };
        for _ in 0..2 {
            for index in 0..6 {
                assert_eq!(name(index), Digest([index as u8; 32]));
            }
        }
        assert_eq!(made.take(), [0, 1, 2, 3, 4, 5, 4, 5]);
        let held = names.0.borrow().capacity() * std::mem::size_of::<(usize, Digest)>();
        assert_eq!(held, CounterNames::bytes(6));
    }
}
