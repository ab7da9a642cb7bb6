//! nginx's slab allocator, as far as it decides what fits into a zone.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Above this a piece takes whole pages.
pub const CHUNK_MAX: usize = PAGE / 2;
/// Bytes of bookkeeping that each page costs the zone.
const PAGE_RECORD: usize = 24;

#[derive(Clone)]
enum Page {
    Free,
    Chunks { size: usize, used: Vec<bool> },
    Run { pages: usize },
    InRun,
}

/// Where a piece lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    page: usize,
    chunk: usize,
}

/// The pages of one zone.
pub struct Slab {
    pages: Vec<Page>,
    free: BTreeSet<usize>,
    /// Pages of chunks that have room, by the chunks' size.
    roomy: BTreeMap<usize, BTreeSet<usize>>,
}

/// What a piece of `size` bytes takes: a power of two from 8 to 2048, else whole pages.
pub fn rounded(size: usize) -> usize {
    if size > CHUNK_MAX { size.div_ceil(PAGE) * PAGE } else { size.next_power_of_two().max(8) }
}

impl Slab {
    /// A zone of `bytes`, less what the allocator keeps for itself.
    pub fn new(bytes: usize) -> Slab {
        let pages = bytes.saturating_sub(PAGE) / (PAGE + PAGE_RECORD);
        Slab { pages: vec![Page::Free; pages], free: (0..pages).collect(), roomy: BTreeMap::new() }
    }

    /// Room for `size` bytes, or None.
    pub fn alloc(&mut self, size: usize) -> Option<Place> {
        let size = rounded(size);
        if size > CHUNK_MAX {
            return self.alloc_pages(size / PAGE).map(|page| Place { page, chunk: 0 });
        }
        let roomy = self.roomy.get(&size).and_then(|pages| pages.first().copied());
        let page = match roomy {
            Some(page) => page,
            None => {
                let page = self.alloc_pages(1)?;
                self.pages[page] = Page::Chunks { size, used: vec![false; PAGE / size] };
                self.roomy.entry(size).or_default().insert(page);
                page
            }
        };
        let Page::Chunks { used, .. } = &mut self.pages[page] else {
            unreachable!("a roomy page has chunks")
        };
        let chunk = used.iter().position(|used| !used).expect("a roomy page has room");
        used[chunk] = true;
        if !used.contains(&false) {
            self.roomy.entry(size).or_default().remove(&page);
        }
        Some(Place { page, chunk })
    }

    fn alloc_pages(&mut self, count: usize) -> Option<usize> {
        let (mut first, mut run, mut last) = (0, 0, None);
        for page in &self.free {
            if last.is_some_and(|last: usize| last + 1 == *page) {
                run += 1;
            } else {
                (first, run) = (*page, 1);
            }
            last = Some(*page);
            if run == count {
                break;
            }
        }
        if run < count {
            return None;
        }
        for page in first..first + count {
            self.free.remove(&page);
            self.pages[page] = Page::InRun;
        }
        self.pages[first] = Page::Run { pages: count };
        Some(first)
    }

    /// Gives a place back.
    pub fn free(&mut self, place: Place) {
        match &mut self.pages[place.page] {
            Page::Chunks { size, used } => {
                used[place.chunk] = false;
                let roomy = self.roomy.entry(*size).or_default();
                if used.contains(&true) {
                    roomy.insert(place.page);
                } else {
                    roomy.remove(&place.page);
                    self.pages[place.page] = Page::Free;
                    self.free.insert(place.page);
                }
            }
            Page::Run { pages } => {
                let pages = *pages;
                for page in place.page..place.page + pages {
                    self.pages[page] = Page::Free;
                    self.free.insert(page);
                }
            }
            Page::Free | Page::InRun => unreachable!("a place is given back once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_round_up_to_powers_of_two_and_then_to_pages() {
        assert_eq!(rounded(97), 128);
        assert_eq!(rounded(128), 128);
        assert_eq!(rounded(129), 256);
        assert_eq!(rounded(2048), 2048);
        assert_eq!(rounded(2049), 4096);
        assert_eq!(rounded(4097), 8192);
    }

    #[test]
    fn a_page_holds_chunks_of_one_size_and_comes_back_when_all_are_free() {
        let mut slab = Slab::new(PAGE + 2 * (PAGE + PAGE_RECORD));
        let small: Vec<Place> = (0..32).map(|_| slab.alloc(128).unwrap()).collect();
        assert!(slab.alloc(2000).is_some(), "the second page");
        assert!(slab.alloc(2000).is_some(), "its second half");
        assert!(slab.alloc(128).is_none());
        small.into_iter().for_each(|place| slab.free(place));
        assert!(slab.alloc(3000).is_some());
    }

    #[test]
    fn large_pieces_need_pages_in_a_row() {
        let mut slab = Slab::new(PAGE + 3 * (PAGE + PAGE_RECORD));
        let places: Vec<Place> = (0..3).map(|_| slab.alloc(PAGE).unwrap()).collect();
        slab.free(places[0]);
        slab.free(places[2]);
        assert!(slab.alloc(2 * PAGE).is_none(), "two free pages, but not in a row");
        slab.free(places[1]);
        assert!(slab.alloc(3 * PAGE).is_some());
    }
}
