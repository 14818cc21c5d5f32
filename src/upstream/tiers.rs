//! The tiers of an upstream: groups of endpoints by priority and nearness, and how much of the
//! requests each of them takes.
//!
//! One rule holds for both. Endpoints of a lower `priority` come before those of a higher one, and
//! within a priority those of the gateway's own zone before the others. A tier takes 1.4 times as
//! much as the share of its weight that is healthy, up to all; the next one takes what is left.
//! So a tier takes everything while five sevenths of it are healthy, and hands over little by
//! little below that, rather than drown the last endpoint. Where all tiers together could not take
//! everything, each takes its part.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::balance::{Candidate, Picker};
use super::{Ask, Endpoint};
use crate::config::model::upstream::Balance;

/// What a tier takes, against its healthy share.
const STRETCH: f64 = 1.4;
const WHOLE: u32 = 1 << 20;

/// The tiers that have an endpoint to offer, in their order.
pub struct Tiers(Box<[Tier]>);

struct Tier {
    /// The share of the requests that it takes together with those before it, out of [`WHOLE`].
    up_to: u32,
    picker: Picker,
}

impl Tiers {
    /// The tiers of those endpoints that are `available`. The third part is an endpoint's present
    /// share of its weight, in percent. Round robin begins at this turn.
    pub fn new<'a>(
        balance: &Balance,
        turn: usize,
        endpoints: impl Iterator<Item = (&'a Arc<Endpoint>, bool, u32)>,
    ) -> Self {
        let mut groups: BTreeMap<(u8, bool), Group> = BTreeMap::new();
        for (endpoint, available, percent) in endpoints {
            let site = &endpoint.site;
            let group = groups.entry((site.priority, !site.near)).or_default();
            group.weight += endpoint.weight;
            if available {
                group.healthy += endpoint.weight;
                group.candidates.push(Candidate {
                    endpoint: endpoint.clone(),
                    weight: endpoint.weight * percent,
                });
            }
        }
        let healthy: Vec<f64> = groups.values().map(Group::health).collect();
        let tiers = (groups.into_values().zip(loads(&healthy)))
            .filter(|(group, _)| !group.candidates.is_empty())
            .map(|(group, up_to)| Tier {
                up_to: (up_to * f64::from(WHOLE)).round() as u32,
                picker: Picker::new(balance, group.candidates, turn),
            });
        Self(tiers.collect())
    }

    /// Whether no endpoint is available.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One with room that was not tried, of the tier that takes this request, or else of the first
    /// one that has any. One that was tried, where there is no other.
    pub fn pick(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let home = self.home(ask)?;
        let any = |ask: &Ask<'_>| {
            home.pick(ask)
                .or_else(|| self.0.iter().find_map(|tier| tier.picker.pick(ask)))
        };
        let last = || match ask.tried {
            [] => None,
            _ => any(&Ask {
                tried: &[],
                spares: false,
                ..*ask
            }),
        };
        let unspared = || {
            any(&Ask {
                spares: false,
                ..*ask
            })
        };
        any(ask).or_else(unspared).or_else(last)
    }

    /// The tier that takes a request: by its key where it has one, so that a key stays.
    fn home(&self, ask: &Ask<'_>) -> Option<&Picker> {
        let first = self.0.first()?;
        if first.up_to >= WHOLE {
            return Some(&first.picker);
        }
        let point = match ask.wish.key {
            // Other bits than those that matter most for the choice within a tier.
            Some(key) => (key.rotate_left(20) % u64::from(WHOLE)) as u32,
            None => fastrand::u32(..WHOLE),
        };
        let tier = self.0.iter().find(|tier| point < tier.up_to);
        Some(&tier.unwrap_or(first).picker)
    }
}

#[derive(Default)]
struct Group {
    weight: u32,
    healthy: u32,
    candidates: Vec<Candidate>,
}

impl Group {
    fn health(&self) -> f64 {
        f64::from(self.healthy) / f64::from(self.weight.max(1))
    }
}

/// What tiers of these healthy shares take, each together with those before it; 1 at the end.
fn loads(healthy: &[f64]) -> Vec<f64> {
    let can_take = |health: &f64| (health * STRETCH).min(1.0);
    let all: f64 = healthy.iter().map(can_take).sum::<f64>().min(1.0);
    let mut so_far = 0.0;
    healthy
        .iter()
        .map(|health| {
            so_far = (so_far + can_take(health)).min(1.0);
            if all > 0.0 { so_far / all } else { 0.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_hands_over_little_by_little() {
        let rounded = |healthy: &[f64]| -> Vec<u32> {
            let loads = loads(healthy);
            loads
                .iter()
                .map(|load| (load * 100.0).round() as u32)
                .collect()
        };
        assert_eq!(rounded(&[1.0, 1.0]), [100, 100]);
        assert_eq!(rounded(&[0.75, 1.0]), [100, 100]);
        assert_eq!(rounded(&[0.5, 1.0]), [70, 100]);
        assert_eq!(rounded(&[0.0, 1.0]), [0, 100]);
        assert_eq!(rounded(&[0.5, 0.2, 1.0]), [70, 98, 100]);
        // Not enough for all of it: each takes its part.
        assert_eq!(rounded(&[0.25, 0.25]), [50, 100]);
        assert_eq!(rounded(&[0.5]), [100]);
        assert_eq!(rounded(&[0.0, 0.0]), [0, 0]);
    }
}
