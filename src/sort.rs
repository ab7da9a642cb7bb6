//! Sorting in few bytes: the standard library's takes ten thousand of the module for every type that
//! is sorted, and for every map that is collected.
//!
//! Runs of one, two, four and more are merged, which takes `n log n` comparisons at most, whoever
//! has chosen the order, and keeps what is equal in its order. Maps are filled with `extend`, which
//! sorts nothing.

/// Sorts from the least to the greatest.
pub fn ascending<T: Ord + Copy>(items: &mut [T]) {
    by(items, |one, other| one < other);
}

/// Sorts so that none is less than the one before it.
pub fn by<T: Copy>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    if items.len() < 2 {
        return;
    }
    let (mut from, mut to) = (items.to_vec(), items.to_vec());
    let mut run = 1;
    while run < items.len() {
        for (pair, merged) in from.chunks(2 * run).zip(to.chunks_mut(2 * run)) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            for place in merged {
                let side = match (left, right) {
                    ([], _) => &mut right,
                    ([one, ..], [other, ..]) if is_less(other, one) => &mut right,
                    _ => &mut left,
                };
                if let [first, rest @ ..] = *side {
                    (*place, *side) = (*first, rest);
                }
            }
        }
        std::mem::swap(&mut from, &mut to);
        run *= 2;
    }
    items.copy_from_slice(&from);
}

/// The same for what can't be copied.
pub fn owned_by<T: Default>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    let mut order: Vec<usize> = (0..items.len()).collect();
    by(&mut order, |one, other| match (items.get(*one), items.get(*other)) {
        (Some(one), Some(other)) => is_less(one, other),
        _ => false,
    });
    let taken = order.iter().filter_map(|at| items.get_mut(*at).map(std::mem::take));
    let sorted: Vec<T> = taken.collect();
    items.iter_mut().zip(sorted).for_each(|(place, item)| *place = item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    proptest! {
        #[test]
        fn the_order_is_the_standard_library_s(items in prop::collection::vec((0u8..20, any::<u16>()), 0..200)) {
            let mut mine = items.clone();
            ascending(&mut mine);
            let mut expected = items.clone();
            expected.sort();
            prop_assert_eq!(&mine, &expected);
            // What is equal stays in its order.
            let (mut mine, mut owned, mut expected) = (items.clone(), items.clone(), items);
            by(&mut mine, |one, other| one.0 < other.0);
            owned_by(&mut owned, |one, other| one.0 < other.0);
            expected.sort_by_key(|item| item.0);
            prop_assert_eq!(&mine, &expected);
            prop_assert_eq!(&owned, &expected);
        }
    }

    #[test]
    fn no_order_takes_more_comparisons() {
        let len: u32 = 4096;
        let orders: [Box<dyn Fn(u32) -> u32>; 5] = [
            Box::new(|at| at),
            Box::new(|at| u32::MAX - at),
            Box::new(|_| 7),
            Box::new(|at| at.reverse_bits()),
            Box::new(move |at| at.min(len - at)),
        ];
        for order in orders {
            let mut items: Vec<u32> = (0..len).map(order).collect();
            let compared = Cell::new(0);
            by(&mut items, |one, other| {
                compared.set(compared.get() + 1);
                one < other
            });
            assert!(items.is_sorted());
            assert!(compared.get() <= 4096 * 12, "{}", compared.get());
        }
    }
}
