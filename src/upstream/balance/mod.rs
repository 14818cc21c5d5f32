//! Which of the endpoints that may get a request gets it.

mod hash;
mod least_requests;
mod peak_ewma;
mod round_robin;
#[cfg(test)]
mod testing;
mod weighted;

use std::sync::Arc;

use super::{Ask, Endpoint};
use crate::config::model::upstream::Balance;
use hash::Rendezvous;
pub(super) use hash::hash_of;
use least_requests::LeastRequests;
use peak_ewma::PeakEwma;
use round_robin::RoundRobin;
use weighted::Weighted;

/// An endpoint that may get requests.
pub struct Candidate {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share at present, against the others'; never 0.
    pub weight: u32,
}

/// Endpoints that may get requests, and the way to choose among them. Whatever can be worked out
/// beforehand was: a request only reads, and adds to counters.
pub struct Picker {
    candidates: Box<[Candidate]>,
    way: Way,
}

enum Way {
    RoundRobin(RoundRobin),
    LeastRequests(LeastRequests),
    PeakEwma(PeakEwma),
    Random(Weighted),
    Hash(Rendezvous),
}

impl Picker {
    /// A choice among these. Round robin begins at this turn.
    pub fn new(balance: &Balance, candidates: Vec<Candidate>, turn: usize) -> Self {
        let weights = || candidates.iter().map(|candidate| candidate.weight);
        let way = match balance {
            Balance::RoundRobin => Way::RoundRobin(RoundRobin::new(weights(), turn)),
            Balance::LeastRequests => Way::LeastRequests(LeastRequests::new(weights())),
            Balance::PeakEwma => Way::PeakEwma(PeakEwma::new(weights())),
            Balance::Random => Way::Random(Weighted::new(weights())),
            Balance::Hash(hash) => Way::Hash(Rendezvous::new(
                &candidates,
                hash.bounded_load.map(|bound| bound.factor()),
            )),
        };
        Self {
            candidates: candidates.into(),
            way,
        }
    }

    /// One that has room and was not tried yet; `None` when there is none.
    pub fn pick(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let all = &*self.candidates;
        let open = |position: usize| ask.allows(&all[position].endpoint);
        // Nearly always the first one that comes to hand will do, and all need not be looked at.
        let first = ask.tried.is_empty().then(|| self.first(ask)).flatten();
        let position = first.filter(|&position| ask.fits(&all[position].endpoint));
        let position = position.or_else(|| match &self.way {
            Way::RoundRobin(way) if ask.further => way.again_of(open),
            Way::RoundRobin(way) => way.next_of(open),
            Way::Random(way) => way.sample_of(open),
            Way::LeastRequests(way) => way.pick_of(all, open),
            Way::PeakEwma(way) => way.pick_of(all, ask.now, open),
            Way::Hash(way) => {
                let key = ask.wish.key.unwrap_or_else(|| fastrand::u64(..));
                way.pick(all, key, open)
            }
        });
        position.map(|position| &all[position].endpoint)
    }

    /// One of all, whether it has room or not, where that is found without a look at each.
    fn first(&self, ask: &Ask<'_>) -> Option<usize> {
        match &self.way {
            Way::RoundRobin(way) if !ask.further => way.next(),
            Way::Random(way) => way.sample(),
            Way::LeastRequests(way) => way.pick(&self.candidates),
            Way::PeakEwma(way) => way.pick(&self.candidates, ask.now),
            Way::RoundRobin(_) | Way::Hash(_) => None,
        }
    }
}
