//! Which clients the server fails, and whether that makes an outage.
//!
//! One client's failures say nothing of the others: its requests may be what the server can't take.
//! So what one client adds is capped, and an outage takes several. A client id is a claim that
//! anyone can vary, so failures seen from one address make an outage for that address alone.

use super::admission::Party;

/// Clients whose failures are remembered at a time.
const FAILING_MAX: usize = 8;
/// Points that make an outage: five failures of `Outcome::Overloaded`, twenty of `Outcome::Error`.
const OUTAGE_POINTS: u32 = 20;
/// What one client, or one address among several, adds at most: three are needed.
const EACH_POINTS_MAX: u32 = 8;
/// For how long failures count after the first of them, in milliseconds.
const COUNTS_MS: u64 = 60_000;

/// For whom there is an outage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// For nobody: too few have failed.
    Nobody,
    /// For those of this address.
    Address(u32),
    /// For every client of the endpoint.
    All,
}

/// Failures since the last answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Evidence {
    failing: [Failing; FAILING_MAX],
    since_ms: u64,
}

/// Failures of one client; none without points.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Failing {
    client: u32,
    address: u32,
    points: u8,
}

impl Evidence {
    /// Bytes of the encoded form.
    pub(super) const BYTES: usize = FAILING_MAX * 9 + 8;

    /// One more failure, and for whom that makes an outage.
    pub(super) fn add(&mut self, party: &Party, points: u8, now_ms: u64) -> Reach {
        let is_empty = self.failing.iter().all(|one| one.points == 0);
        if is_empty || now_ms < self.since_ms || now_ms - self.since_ms > COUNTS_MS {
            *self = Evidence { since_ms: now_ms, ..Evidence::default() };
        }
        self.note(party, points);
        self.reach(party.address)
    }

    /// When the first of those failures came; 0 without any.
    pub(super) const fn since_ms(&self) -> u64 {
        self.since_ms
    }

    fn note(&mut self, party: &Party, points: u8) {
        let each_max = EACH_POINTS_MAX as u8;
        let is_own = |one: &&mut Failing| {
            one.points > 0 && (one.client, one.address) == (party.client, party.address)
        };
        if let Some(own) = self.failing.iter_mut().find(is_own) {
            own.points = own.points.saturating_add(points).min(each_max.max(own.points));
            return;
        }
        let full = self.failing.iter().all(|one| one.points > 0);
        // It is none of those that are remembered, so it may add to one of them.
        if full
            && let Some(neighbour) =
                self.failing.iter_mut().find(|one| one.address == party.address)
        {
            neighbour.points = neighbour.points.saturating_add(points).min(OUTAGE_POINTS as u8);
            return;
        }
        let Some(least) = self.failing.iter_mut().min_by_key(|one| one.points) else { return };
        match full {
            true => {
                least.points = least.points.saturating_add(points).min(each_max.max(least.points))
            }
            false => {
                *least = Failing {
                    client: party.client,
                    address: party.address,
                    points: points.min(each_max),
                }
            }
        }
    }

    fn reach(&self, newest: u32) -> Reach {
        let of = |address: u32| -> u32 {
            let own = self.failing.iter().filter(|one| one.points > 0 && one.address == address);
            own.map(|one| u32::from(one.points)).sum()
        };
        let is_first = |at: usize, one: &Failing| {
            !self
                .failing
                .iter()
                .take(at)
                .any(|other| other.points > 0 && other.address == one.address)
        };
        let each: Vec<u32> = (self.failing.iter().enumerate())
            .filter(|(at, one)| one.points > 0 && is_first(*at, one))
            .map(|(_, one)| of(one.address))
            .collect();
        let together: u32 = each.iter().map(|points| (*points).min(EACH_POINTS_MAX)).sum();
        let whole = each.iter().filter(|points| **points >= OUTAGE_POINTS).count();
        if together >= OUTAGE_POINTS || whole > 1 {
            Reach::All
        } else if of(newest) >= OUTAGE_POINTS {
            Reach::Address(newest)
        } else {
            Reach::Nobody
        }
    }

    /// The form in shared memory.
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        for one in &self.failing {
            to.extend(one.client.to_le_bytes());
            to.extend(one.address.to_le_bytes());
            to.push(one.points);
        }
        to.extend(self.since_ms.to_le_bytes());
    }

    /// From bytes of [`Evidence::encode`], as many as [`Evidence::BYTES`].
    pub(super) fn decode(bytes: &[u8]) -> Evidence {
        let mut evidence = Evidence::default();
        let (failing, since_ms) = bytes.split_at_checked(FAILING_MAX * 9).unwrap_or_default();
        for (to, from) in evidence.failing.iter_mut().zip(failing.as_chunks::<9>().0) {
            let [a, b, c, d, e, f, g, h, points] = *from;
            *to = Failing {
                client: u32::from_le_bytes([a, b, c, d]),
                address: u32::from_le_bytes([e, f, g, h]),
                points,
            };
        }
        evidence.since_ms =
            since_ms.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        evidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(client: u32, address: u32) -> Party {
        Party { client, address }
    }

    fn reach(failures: &[(u32, u32, u8)]) -> Reach {
        let mut evidence = Evidence::default();
        let mut last = Reach::Nobody;
        for (client, address, points) in failures {
            last = evidence.add(&party(*client, *address), *points, 1_000);
            let mut bytes = Vec::new();
            evidence.encode(&mut bytes);
            assert_eq!(bytes.len(), Evidence::BYTES);
            assert_eq!(Evidence::decode(&bytes), evidence);
        }
        last
    }

    #[test]
    fn one_or_two_clients_make_no_outage() {
        assert_eq!(reach(&[(1, 1, 4); 1_000]), Reach::Nobody);
        let two: Vec<_> = (0..1_000).map(|n| (n % 2, n % 2, 4)).collect();
        assert_eq!(reach(&two), Reach::Nobody);
    }

    #[test]
    fn several_clients_of_one_address_make_one_for_it_alone() {
        let ids: Vec<_> = (0..5).map(|n| (n, 7, 4)).collect();
        assert_eq!(reach(&ids[..4]), Reach::Nobody);
        assert_eq!(reach(&ids), Reach::Address(7));
        // However many ids one address makes up, and whoever else failed once.
        let many: Vec<_> =
            (0..1_000).map(|n| (n, 7, 4)).chain([(1, 8, 4), (5_000, 7, 4)]).collect();
        assert_eq!(reach(&many), Reach::Address(7));
        // Another address whose clients all fail too.
        let both: Vec<_> = (0..10).map(|n| (n, n % 2, 4)).collect();
        assert_eq!(reach(&both), Reach::All);
    }

    #[test]
    fn several_addresses_make_one_for_all() {
        let each: Vec<_> = (0..5).map(|n| (n, n, 4)).collect();
        assert_eq!(reach(&each[..4]), Reach::Nobody);
        assert_eq!(reach(&each), Reach::All);
        // Small failures add up too, of more clients than are remembered.
        let small: Vec<_> = (0..20).map(|n| (n, 7, 1)).collect();
        assert_eq!(reach(&small), Reach::Address(7));
        let small: Vec<_> = (0..20).map(|n| (n, n, 1)).collect();
        assert_eq!(reach(&small), Reach::All);
    }

    #[test]
    fn old_failures_and_those_of_a_clock_ahead_count_no_more() {
        for later in [0, 70_000, 3_600_000] {
            let mut evidence = Evidence::default();
            (0..4).for_each(|n| assert_eq!(evidence.add(&party(n, n), 4, 8_000), Reach::Nobody));
            assert_eq!(evidence.add(&party(9, 9), 4, later), Reach::Nobody);
        }
    }
}
