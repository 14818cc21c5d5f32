//! A choice at random, by weight, in constant time: the alias method of Walker and Vose.

/// What a position keeps of its share, against the whole of a `u32`; the rest is another's.
struct Slot {
    keeps: u32,
    other: u16,
}

/// Positions with weights.
pub(super) struct Weighted {
    count: usize,
    weights: Box<[u32]>,
    /// Empty where all weights are the same.
    slots: Box<[Slot]>,
}

impl Weighted {
    /// Positions from 0, with these weights.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Box<[u32]> = weights.collect();
        let even = weights.windows(2).all(|two| two[0] == two[1]);
        Self {
            count: weights.len(),
            slots: if even {
                Box::default()
            } else {
                slots(&weights)
            },
            weights,
        }
    }

    /// The weight of a position.
    pub(super) fn weight(&self, position: usize) -> u32 {
        self.weights[position]
    }

    /// The mean weight.
    pub(super) fn mean(&self) -> f32 {
        let total: f32 = self.weights.iter().map(|&weight| weight as f32).sum();
        total / self.count.max(1) as f32
    }

    /// One of them; `None` where there are none.
    pub(super) fn sample(&self) -> Option<usize> {
        if self.count < 2 {
            return (self.count == 1).then_some(0);
        }
        let position = fastrand::usize(..self.count);
        match self.slots.get(position) {
            Some(slot) if fastrand::u32(..) > slot.keeps => Some(usize::from(slot.other)),
            _ => Some(position),
        }
    }

    /// Two of them that are not the same; `None` where there are fewer.
    pub(super) fn two(&self) -> Option<(usize, usize)> {
        let (first, second) = (self.sample()?, self.sample()?);
        if first != second {
            return Some((first, second));
        }
        let step = (self.count > 1).then(|| fastrand::usize(1..self.count))?;
        Some((first, (first + step) % self.count))
    }

    /// One of those that are `open`.
    pub(super) fn sample_of(&self, open: impl Fn(usize) -> bool) -> Option<usize> {
        let those = || (0..self.count).filter(|&position| open(position));
        let total: u64 = those()
            .map(|position| u64::from(self.weights[position]))
            .sum();
        let mut left = (total > 0).then(|| fastrand::u64(..total))?;
        those().find(|&position| {
            let weight = u64::from(self.weights[position]);
            let here = left < weight;
            left = left.saturating_sub(weight);
            here
        })
    }
}

/// Fills what the light ones leave of their slots with what the heavy ones have too much.
fn slots(weights: &[u32]) -> Box<[Slot]> {
    let count = weights.len() as u64;
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut shares: Vec<u64> = weights.iter().map(|&w| u64::from(w) * count).collect();
    let mut slots: Vec<Slot> = (0..=u16::MAX)
        .zip(weights)
        .map(|(position, _)| Slot {
            keeps: u32::MAX,
            other: position,
        })
        .collect();
    let (mut light, mut heavy): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|&position| shares[position] < total);
    while let (Some(&from), Some(to)) = (heavy.last(), light.pop()) {
        let keeps = u128::from(shares[to]) * u128::from(u32::MAX) / u128::from(total);
        slots[to] = Slot {
            keeps: u32::try_from(keeps).expect("a share of a u32"),
            other: u16::try_from(from).expect("there are as many slots as u16 has values, at most"),
        };
        shares[from] -= total - shares[to];
        if shares[from] < total {
            heavy.pop();
            light.push(from);
        }
    }
    slots.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32], sample: impl Fn(&Weighted) -> usize) -> Vec<f64> {
        fastrand::seed(7);
        let weighted = Weighted::new(weights.iter().copied());
        let mut counts = vec![0.0; weights.len()];
        for _ in 0..100_000 {
            counts[sample(&weighted)] += 1e-5;
        }
        counts
    }

    #[test]
    fn shares_follow_the_weights() {
        for weights in [&[1, 1, 1][..], &[5, 1, 1, 3], &[100, 1], &[7]] {
            let total: u32 = weights.iter().sum();
            let all = shares(weights, |weighted| weighted.sample().unwrap());
            let open = shares(weights, |weighted| weighted.sample_of(|_| true).unwrap());
            for (position, &weight) in weights.iter().enumerate() {
                let share = f64::from(weight) / f64::from(total);
                assert!((all[position] - share).abs() < 0.01, "{weights:?}: {all:?}");
                assert!(
                    (open[position] - share).abs() < 0.01,
                    "{weights:?}: {open:?}"
                );
            }
        }
    }

    #[test]
    fn leaves_out_what_is_not_open() {
        let shares = shares(&[5, 3, 1], |weighted| {
            weighted.sample_of(|p| p != 0).unwrap()
        });
        assert!(
            shares[0] == 0.0 && (shares[1] - 0.75).abs() < 0.01,
            "{shares:?}"
        );
        assert_eq!(Weighted::new([1, 2].into_iter()).sample_of(|_| false), None);
    }

    #[test]
    fn two_are_never_the_same() {
        fastrand::seed(7);
        let weighted = Weighted::new([90, 1].into_iter());
        for _ in 0..1000 {
            let (a, b) = weighted.two().unwrap();
            assert_ne!(a, b);
        }
        assert_eq!(Weighted::new([1].into_iter()).two(), None);
        assert_eq!(Weighted::new([].into_iter()).sample(), None);
    }
}
