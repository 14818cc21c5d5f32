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

    /// One that was not tried yet; `None` when all were.
    pub fn pick(&self, ask: &Ask<'_>) -> Option<&Arc<Endpoint>> {
        let all = &*self.candidates;
        let open = |position: usize| {
            let endpoint = &all[position].endpoint;
            !(ask.tried.iter()).any(|other| other.address == endpoint.address)
        };
        let first = ask.tried.is_empty();
        let position = match &self.way {
            Way::RoundRobin(way) if first => way.next(),
            Way::RoundRobin(way) => way.next_of(open),
            Way::Random(way) if first => way.sample(),
            Way::Random(way) => way.sample_of(open),
            Way::LeastRequests(way) if first => way.pick(all),
            Way::LeastRequests(way) => way.pick_of(all, open),
            Way::PeakEwma(way) if first => way.pick(all, ask.now),
            Way::PeakEwma(way) => way.pick_of(all, ask.now, open),
            Way::Hash(way) => {
                let key = ask.wish.key.unwrap_or_else(|| fastrand::u64(..));
                way.pick(all, key, open)
            }
        };
        position.map(|position| &all[position].endpoint)
    }
}
