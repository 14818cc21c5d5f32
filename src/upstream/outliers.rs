//! Which endpoints stand out by their answers, and how many of them may be out at a time.

use std::time::Duration;

use super::state::Window;
use crate::config::model::upstream::Outliers;
use crate::config::model::upstream::balance::{ErrorRate, Slow};

/// Why an endpoint is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    ConsecutiveErrors,
    ErrorRate,
    Slow,
}

impl Reason {
    /// The word in logs and metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ConsecutiveErrors => "consecutive_errors",
            Self::ErrorRate => "error_rate",
            Self::Slow => "slow",
        }
    }
}

/// Who stood out in an interval, by position.
pub(super) fn stand_out(config: &Outliers, windows: &[Window]) -> Vec<Option<Reason>> {
    let typical = config.slow.as_ref().and_then(|slow| median(slow, windows));
    (windows.iter())
        .map(|window| {
            let failing = (config.error_rate.as_ref()).is_some_and(|rate| fails(rate, window));
            let slow = (config.slow.as_ref().zip(typical))
                .is_some_and(|(slow, typical)| is_slow(slow, typical, window));
            match (failing, slow) {
                (true, _) => Some(Reason::ErrorRate),
                (false, true) => Some(Reason::Slow),
                (false, false) => None,
            }
        })
        .collect()
}

fn fails(rate: &ErrorRate, window: &Window) -> bool {
    let share = f64::from(window.errors) / f64::from(window.answers.max(1));
    window.answers >= rate.min_requests.get() && share > rate.above.fraction()
}

fn is_slow(slow: &Slow, typical: Duration, window: &Window) -> bool {
    mean(slow, window).is_some_and(|mean| mean > typical.saturating_mul(slow.times.get()))
}

/// The middle of the endpoints' mean times; of two in the middle the lower one, so that one of two
/// endpoints can stand out. `None` where fewer than two have answered enough.
fn median(slow: &Slow, windows: &[Window]) -> Option<Duration> {
    let mut means: Vec<Duration> = windows.iter().filter_map(|w| mean(slow, w)).collect();
    means.sort_unstable();
    (means.len() > 1).then(|| means[(means.len() - 1) / 2])
}

fn mean(slow: &Slow, window: &Window) -> Option<Duration> {
    (window.answers >= slow.min_requests.get()).then(|| window.waited / window.answers)
}

/// How many of so many endpoints may be out.
pub(super) fn most_out(config: &Outliers, count: usize) -> usize {
    let share = config.at_most.of(u64::try_from(count).unwrap_or(u64::MAX));
    usize::try_from(share).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use wiregate_sdk::value::{decode, read};

    use super::*;

    fn config(text: &str) -> Outliers {
        decode(&read(&"test.yaml".into(), text).unwrap()).unwrap()
    }

    fn window(answers: u32, errors: u32, mean_ms: u64) -> Window {
        let waited = Duration::from_millis(mean_ms) * answers;
        Window {
            answers,
            errors,
            waited,
        }
    }

    #[test]
    fn too_many_errors_stand_out_where_there_are_enough_answers() {
        let config = config("error_rate: { above: 50%, min_requests: 10 }");
        let windows = [
            window(10, 6, 1),
            window(10, 5, 1),
            window(9, 9, 1),
            window(0, 0, 0),
        ];
        let found = stand_out(&config, &windows);
        assert_eq!(found, [Some(Reason::ErrorRate), None, None, None]);
    }

    #[test]
    fn slow_ones_stand_out_against_the_others() {
        let config = config("slow: { times: 3, min_requests: 10 }");
        let found = |means: &[u64]| -> Vec<bool> {
            let windows: Vec<_> = means.iter().map(|&mean| window(10, 0, mean)).collect();
            let found = stand_out(&config, &windows);
            found
                .iter()
                .map(|reason| *reason == Some(Reason::Slow))
                .collect()
        };
        assert_eq!(found(&[10, 12, 40]), [false, false, true]);
        assert_eq!(found(&[10, 31]), [false, true]);
        assert_eq!(found(&[10, 30, 31]), [false, false, false]);
        assert_eq!(found(&[500]), [false]);
        let few = [window(10, 0, 10), window(9, 0, 900), window(10, 0, 10)];
        assert_eq!(stand_out(&config, &few), [None, None, None]);
    }

    #[test]
    fn one_may_always_be_out() {
        let config = config("{ consecutive_errors: 5, at_most: 30% }");
        let most: Vec<_> = [1, 3, 4, 10].map(|count| most_out(&config, count)).into();
        assert_eq!(most, [1, 1, 1, 3]);
    }
}
