//! How many attempts are under way at a time, and the line of those that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::{Ask, Chosen, Endpoint, Upstream};
use crate::config::model::upstream as model;

/// Two workers that reach for the last place of an endpoint at once may both miss it. The first of
/// the line looks again after this, though nobody has told it to.
const GLANCE: Duration = Duration::from_millis(20);
/// How often a place is reached for that another worker takes at that moment.
const REACHES: usize = 4;

/// Why there is no place for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// No endpoint is healthy.
    Unhealthy,
    /// As many attempts are under way as may be, and as many requests wait as may, or this one
    /// has waited long enough.
    Full,
}

/// The bounds of an upstream.
pub struct Queue {
    most: u32,
    per_endpoint: u32,
    waiting: u32,
    wait: Duration,
    line: Arc<Line>,
}

/// The attempts under way and those that wait, by all workers; it outlives a reload.
#[derive(Debug)]
pub struct Line {
    in_flight: AtomicU32,
    waiting: AtomicU32,
    /// Whoever holds this is the first of the line, and the only one to be woken.
    first: Semaphore,
    freed: Notify,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            first: Semaphore::new(1),
            freed: Notify::new(),
        }
    }
}

/// An endpoint that was chosen for an attempt, and the attempt's place among those under way.
pub struct Place {
    /// There until dropped.
    chosen: Option<Chosen>,
    line: Option<Arc<Line>>,
}

impl Place {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.chosen
            .as_ref()
            .expect("there until dropped")
            .endpoint()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.chosen.take()); // the endpoint has room before somebody is told
        if let Some(line) = &self.line {
            line.in_flight.fetch_sub(1, Ordering::AcqRel);
            line.freed.notify_one();
        }
    }
}

/// One more that waits, until dropped.
struct Waiting<'a>(&'a Line);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Queue {
    /// As the configuration says, with those that are under way.
    pub fn new(config: &model::InFlight, line: Arc<Line>) -> Self {
        Self {
            most: config.most.map_or(u32::MAX, Into::into),
            per_endpoint: config.per_endpoint.map_or(u32::MAX, Into::into),
            waiting: config.queue,
            wait: config.wait.get(),
            line,
        }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> u32 {
        self.line.waiting.load(Ordering::Relaxed)
    }

    fn join(&self) -> Result<Waiting<'_>, NoPlace> {
        let joined =
            self.line
                .waiting
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |waiting| {
                    (waiting < self.waiting).then_some(waiting + 1)
                });
        match joined {
            Ok(_) => Ok(Waiting(&self.line)),
            Err(_) => Err(NoPlace::Full),
        }
    }

    /// A place at once.
    fn take(&self, upstream: &Upstream, ask: &Ask<'_>) -> Result<Place, NoPlace> {
        let line = &self.line;
        line.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |in_flight| {
                (in_flight < self.most).then_some(in_flight + 1)
            })
            .map_err(|_| NoPlace::Full)?;
        // From here on, dropping it gives the place back.
        let mut place = Place {
            chosen: None,
            line: Some(line.clone()),
        };
        let ask = Ask {
            room: self.per_endpoint,
            ..*ask
        };
        for _ in 0..REACHES {
            let chosen = match upstream.choose(&ask) {
                Ok(chosen) => chosen,
                Err(NoPlace::Unhealthy) => return Err(NoPlace::Unhealthy),
                Err(NoPlace::Full) => break,
            };
            // The attempt itself is counted already.
            if chosen.endpoint().in_flight() <= self.per_endpoint {
                place.chosen = Some(chosen);
                return Ok(place);
            }
        }
        // Only the one at the head of the line would take this for a place that has become free.
        place.line = None;
        line.in_flight.fetch_sub(1, Ordering::AcqRel);
        Err(NoPlace::Full)
    }

    /// A place in its turn.
    async fn wait(&self, upstream: &Upstream, ask: &Ask<'_>) -> Result<Place, NoPlace> {
        let _waiting = self.join()?;
        let turn = async {
            let first = self.line.first.acquire().await;
            let _first = first.map_err(|_| NoPlace::Full)?;
            loop {
                let freed = self.line.freed.notified();
                match self.take(upstream, ask) {
                    Err(NoPlace::Full) => drop(tokio::time::timeout(GLANCE, freed).await),
                    settled => return settled,
                }
            }
        };
        let turn = tokio::time::timeout(self.wait, turn).await;
        turn.unwrap_or(Err(NoPlace::Full))
    }
}

impl Upstream {
    /// A place for an attempt, if there is one at once.
    ///
    /// # Errors
    /// Why there is none.
    pub fn place(&self, ask: &Ask<'_>) -> Result<Place, NoPlace> {
        match &self.queue {
            None => {
                let chosen = Some(self.choose(ask)?);
                Ok(Place { chosen, line: None })
            }
            // Whoever comes goes to the end of the line.
            Some(queue) if queue.waiting() > 0 => Err(NoPlace::Full),
            Some(queue) => queue.take(self, ask),
        }
    }

    /// A place for an attempt in its turn, within the time that it may wait.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn place_in_turn(&self, ask: &Ask<'_>) -> Result<Place, NoPlace> {
        match &self.queue {
            None => self.place(ask),
            Some(queue) => {
                self.metrics.waiting(1);
                let _told = Told(self);
                queue.wait(self, ask).await
            }
        }
    }
}

/// Tells the metrics that one waits no more.
struct Told<'a>(&'a Upstream);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.metrics.waiting(-1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::upstream::Wish;
    use crate::upstream::testing::upstream;

    #[test]
    fn many_full_endpoints_are_seen_to_be_full_at_a_glance() {
        for balance in ["least_requests", "round_robin", "random", "peak_ewma"] {
            let options = format!("balance: {balance}\nin_flight: {{ per_endpoint: 1 }}");
            let upstream = upstream(&options, 500);
            let (wish, now) = (Wish::default(), Instant::now());
            let ask = Ask::new(&[], &wish, now);
            let mut places: Vec<Place> = (0..500).map(|_| upstream.place(&ask).unwrap()).collect();
            let endpoints = upstream.members().endpoints.clone();
            assert!(endpoints.iter().all(|endpoint| endpoint.in_flight() == 1));
            let start = Instant::now();
            for _ in 0..20 {
                assert_eq!(upstream.place(&ask).err(), Some(NoPlace::Full));
            }
            // A list of those that are full made it more than ten seconds.
            assert!(start.elapsed() < Duration::from_secs(2), "{balance}");

            let freed = places.swap_remove(123).endpoint().label.clone();
            let place = upstream.place(&ask).unwrap();
            assert_eq!(place.endpoint().label, freed, "{balance}");
        }
    }

    #[test]
    fn one_that_was_tried_is_taken_again_where_the_others_are_full() {
        let upstream = upstream("in_flight: { per_endpoint: 1 }", 2);
        let (wish, now) = (Wish::default(), Instant::now());
        let first = upstream.place(&Ask::new(&[], &wish, now)).unwrap();
        let tried = [first.endpoint().clone()];
        let second = upstream.place(&Ask::new(&tried, &wish, now)).unwrap();
        assert_ne!(second.endpoint().label, tried[0].label);
        drop(first);
        let again = upstream.place(&Ask::new(&tried, &wish, now)).unwrap();
        assert_eq!(again.endpoint().label, tried[0].label);
        assert!(upstream.place(&Ask::new(&tried, &wish, now)).is_err());
    }
}
