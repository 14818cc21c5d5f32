//! The same endpoint for the same key: weighted rendezvous hashing, with bounded loads.
//!
//! Each endpoint has a score for each key, and the highest one wins. Where an endpoint leaves, only
//! its own keys move, and they spread over all others by weight; a ring or a table of Maglev moves
//! more, or shares less evenly, and has to be built anew for each change of a weight. What it
//! costs is a look at each endpoint: `benches/balance.rs` tells how much.

use super::Candidate;

/// One seed for each endpoint, made from its address alone: all gateways agree on where a key is.
pub(super) struct Rendezvous {
    seeds: Box<[u64]>,
    /// Whether all weights are the same: comparing hashes is enough then.
    even: bool,
    bound: Option<Bound>,
}

/// The most that an endpoint may have in flight, against its fair share.
struct Bound {
    factor: f64,
    total_weight: f64,
}

impl Rendezvous {
    pub(super) fn new(all: &[Candidate], bound: Option<f64>) -> Self {
        Self {
            seeds: (all.iter())
                .map(|candidate| hash_of(candidate.endpoint.label.as_bytes()))
                .collect(),
            even: all.windows(2).all(|two| two[0].weight == two[1].weight),
            bound: bound.map(|factor| Bound {
                factor,
                total_weight: all.iter().map(|c| f64::from(c.weight)).sum(),
            }),
        }
    }

    /// The endpoint of a key: the first one in the key's own order that is `open` and has room, or
    /// that is open, where none has room.
    pub(super) fn pick(
        &self,
        all: &[Candidate],
        key: u64,
        open: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let Some(bound) = &self.bound else {
            return self.best(all, key, open);
        };
        let in_flight = |candidate: &Candidate| f64::from(candidate.endpoint.in_flight());
        let total: f64 = all.iter().map(in_flight).sum::<f64>() + 1.0;
        let has_room = |candidate: &Candidate| {
            let share = f64::from(candidate.weight) / bound.total_weight;
            in_flight(candidate) + 1.0 <= (bound.factor * total * share).ceil()
        };
        self.best(all, key, |position| {
            open(position) && has_room(&all[position])
        })
        .or_else(|| self.best(all, key, open))
    }

    fn best(&self, all: &[Candidate], key: u64, open: impl Fn(usize) -> bool) -> Option<usize> {
        let those = (0..self.seeds.len()).filter(|&position| open(position));
        let hash = |position: usize| mix(key ^ self.seeds[position]);
        if self.even {
            return those.max_by_key(|&position| hash(position));
        }
        let score = |position: usize| {
            // Never 0 and never 1.
            let uniform = ((hash(position) >> 12) as f64 + 0.5) / (1u64 << 52) as f64;
            f64::from(all[position].weight) / -uniform.ln()
        };
        those
            .map(|position| (position, score(position)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(position, _)| position)
    }
}

/// A hash that is the same on every gateway of every version: FNV-1a, mixed. It guards nothing.
pub(in crate::upstream) fn hash_of(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    mix(fnv)
}

/// The last step of `MurmurHash3`: each bit of the input changes half of those of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{candidates, keep_in_flight};
    use super::*;

    const KEYS: u64 = 20_000;

    fn owners(all: &[Candidate]) -> Vec<String> {
        let way = Rendezvous::new(all, None);
        (0..KEYS)
            .map(|key| {
                way.pick(all, hash_of(&key.to_ne_bytes()), |_| true)
                    .unwrap()
            })
            .map(|position| all[position].endpoint.label.to_string())
            .collect()
    }

    fn shares(all: &[Candidate]) -> Vec<f64> {
        let owners = owners(all);
        let share = |label: &str| owners.iter().filter(|owner| *owner == label).count() as f64;
        all.iter()
            .map(|c| share(&c.endpoint.label) / KEYS as f64)
            .collect()
    }

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash_of(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash_of(b"10.0.0.1:8080"), 0xe8c7_2115_6ed5_2b14);
    }

    #[test]
    fn texts_are_spread_evenly() {
        let low = (0..10_000)
            .filter(|n| hash_of(format!("user-{n}").as_bytes()) < u64::MAX / 10)
            .count();
        assert!((900..1100).contains(&low), "{low}");
    }

    #[test]
    fn keys_are_shared_by_weight() {
        for weights in [&[1, 1, 1, 1][..], &[5, 3, 1, 1]] {
            let total: u32 = weights.iter().sum();
            let shares = shares(&candidates(weights));
            for (share, &weight) in shares.iter().zip(weights) {
                let expected = f64::from(weight) / f64::from(total);
                assert!((share - expected).abs() < 0.015, "{weights:?}: {shares:?}");
            }
        }
    }

    #[test]
    fn where_one_leaves_only_its_own_keys_move() {
        for weights in [&[1, 1, 1, 1, 1][..], &[5, 3, 1, 1, 2]] {
            let mut all = candidates(weights);
            let before = owners(&all);
            let gone = all.remove(1).endpoint.label.to_string();
            let after = owners(&all);
            let mut to = std::collections::HashSet::new();
            for (before, after) in before.iter().zip(&after) {
                if *before == gone {
                    to.insert(after.clone());
                } else {
                    assert_eq!(before, after);
                }
            }
            assert_eq!(
                to.len(),
                4,
                "the keys of the one that left spread over all others"
            );
        }
    }

    #[test]
    fn a_heavier_one_only_takes_keys() {
        let (before, after) = (candidates(&[1, 1, 1]), candidates(&[2, 1, 1]));
        let grown = before[0].endpoint.label.to_string();
        for (before, after) in owners(&before).iter().zip(owners(&after)) {
            assert!(*before == after || after == grown);
        }
    }

    #[test]
    fn no_load_goes_beyond_its_bound() {
        let all = candidates(&[1, 1, 1, 1]);
        let way = Rendezvous::new(&all, Some(1.25));
        let key = hash_of(b"hot");
        let home = way.pick(&all, key, |_| true).unwrap();
        for _ in 0..100 {
            let position = way.pick(&all, key, |_| true).unwrap();
            keep_in_flight(&all[position].endpoint, 1);
        }
        let loads: Vec<_> = all.iter().map(|c| c.endpoint.in_flight()).collect();
        assert!(loads.iter().all(|&load| load <= 32), "{loads:?}");
        assert_eq!(loads[home], *loads.iter().max().unwrap());
        assert_eq!(way.pick(&all, key, |_| false), None);
    }

    #[test]
    fn without_a_bound_a_hot_key_stays() {
        let all = candidates(&[1, 1, 1]);
        let way = Rendezvous::new(&all, None);
        let home = way.pick(&all, 5, |_| true).unwrap();
        keep_in_flight(&all[home].endpoint, 1000);
        assert_eq!(way.pick(&all, 5, |_| true), Some(home));
        let next = way.pick(&all, 5, |position| position != home).unwrap();
        assert_ne!(next, home);
    }
}
