//! What happened between two looks at the metrics.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Look;
use super::exposition::{Exposition, Series};

/// What happened between two looks, and what there was at the second one.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) version: String,
    pub(super) generation: u64,
    pub(super) interval_seconds: f64,
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) in_flight: u64,
    pub(super) connections: u64,
    pub(super) memory_bytes: u64,
    pub(super) log_lines_dropped_per_second: f64,
    pub(super) routes: Vec<Route>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) filters: Vec<Filter>,
}

/// What a route did. An error is a status from 500 on, or none at all.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    pub(super) route: String,
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) p50_seconds: Option<Time>,
    pub(super) p99_seconds: Option<Time>,
    pub(super) in_flight: u64,
}

/// What an upstream did; times are from the beginning of an attempt to the head of its response.
#[derive(Debug, Serialize)]
pub(super) struct Upstream {
    pub(super) upstream: String,
    pub(super) endpoints: u64,
    /// How many of them get requests.
    pub(super) available: u64,
    /// How many of them a health check has looked at.
    pub(super) checked: u64,
    pub(super) attempts_per_second: f64,
    pub(super) errors_per_second: f64,
    pub(super) retries_per_second: f64,
    pub(super) p50_seconds: Option<Time>,
    pub(super) p99_seconds: Option<Time>,
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    pub(super) circuit_open: bool,
}

/// How an endpoint is, and what failed there.
#[derive(Debug, Serialize)]
pub(super) struct Endpoint {
    pub(super) upstream: String,
    pub(super) endpoint: String,
    /// Whether it gets requests.
    pub(super) available: bool,
    /// Whether a health check has looked at it.
    pub(super) checked: bool,
    pub(super) errors_per_second: f64,
    /// Since the gateway began, or since it knows the endpoint.
    pub(super) errors: u64,
    pub(super) in_flight: u64,
}

/// What a filter did.
#[derive(Debug, Serialize)]
pub(super) struct Filter {
    pub(super) route: String,
    pub(super) filter: String,
    pub(super) runs_per_second: f64,
    pub(super) refusals_per_second: f64,
    pub(super) answers_per_second: f64,
    /// Time in its hooks, waiting included: in the interval where there were many runs, and otherwise
    /// since the gateway began, because only some of the runs are measured.
    pub(super) seconds_per_run: Option<f64>,
}

/// A quantile, as well as the buckets tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time {
    pub(super) seconds: f64,
    /// It is longer than that: beyond the last bucket.
    pub(super) more: bool,
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds)
    }
}

/// With fewer runs, the few that were measured tell little of an interval.
const MANY: f64 = 1000.0;

impl Figures {
    pub(super) fn between(before: &Look, now: &Look) -> Self {
        let span = Span {
            before: &before.metrics,
            now: &now.metrics,
            seconds: (now.at - before.at).as_secs_f64().max(0.001),
        };
        let routes = span.routes();
        let total = |part: fn(&Route) -> f64| routes.iter().map(part).sum();
        let build = span.now.series("wiregate_build_info").first();
        Self {
            version: build.map_or("", |build| build.label("version")).to_owned(),
            generation: whole(span.now.sum("wiregate_config_generation")),
            interval_seconds: span.seconds,
            requests_per_second: total(|route| route.requests_per_second),
            errors_per_second: total(|route| route.errors_per_second),
            in_flight: routes.iter().map(|route| route.in_flight).sum(),
            connections: whole(span.now.sum("wiregate_connections")),
            memory_bytes: whole(span.now.sum("process_resident_memory_bytes")),
            log_lines_dropped_per_second: span
                .rates("wiregate_access_log_dropped_total", |_| Some(()))
                .values()
                .sum(),
            upstreams: span.upstreams(),
            endpoints: span.endpoints(),
            filters: span.filters(),
            routes,
        }
    }
}

/// Two looks, and the time between them.
struct Span<'a> {
    before: &'a Exposition,
    now: &'a Exposition,
    seconds: f64,
}

impl<'a> Span<'a> {
    fn routes(&self) -> Vec<Route> {
        let name = |series: &'a Series| Some(series.label("route"));
        let requests = self.rates("wiregate_requests_total", name);
        let errors = self.rates("wiregate_requests_total", |it| {
            name(it).filter(|_| failed(it))
        });
        let in_flight = self.levels("wiregate_requests_in_flight", name);
        let mut times = self.times("wiregate_request_duration_seconds_bucket", name);
        let each = requests.iter().map(|(route, rate)| {
            let times = times.remove(route).unwrap_or_default();
            Route {
                route: (*route).to_owned(),
                requests_per_second: *rate,
                errors_per_second: of(&errors, route),
                p50_seconds: quantile(&times, 0.5),
                p99_seconds: quantile(&times, 0.99),
                in_flight: whole(of(&in_flight, route)),
            }
        });
        each.collect()
    }

    fn upstreams(&self) -> Vec<Upstream> {
        let name = |series: &'a Series| Some(series.label("upstream"));
        let attempts = self.rates("wiregate_upstream_requests_total", name);
        let errors = self.rates("wiregate_upstream_requests_total", |it| {
            name(it).filter(|_| failed(it))
        });
        let retries = self.rates("wiregate_upstream_retries_total", |it| {
            name(it).filter(|_| it.label("outcome") == "made")
        });
        let mut times = self.times("wiregate_upstream_duration_seconds_bucket", name);
        let available = self.levels("wiregate_endpoint_healthy", name);
        let checked = self.levels("wiregate_endpoint_checked", name);
        let in_flight = self.levels("wiregate_upstream_requests_in_flight", name);
        let waiting = self.levels("wiregate_upstream_requests_waiting", name);
        let circuit = self.levels("wiregate_upstream_circuit_open", name);
        let mut endpoints: BTreeMap<&str, u64> = attempts.keys().map(|name| (*name, 0)).collect();
        for series in self.now.series("wiregate_upstream_endpoints") {
            endpoints.entry(series.label("upstream")).or_default(); // it may have none
        }
        for series in self.now.series("wiregate_endpoint_healthy") {
            *endpoints.entry(series.label("upstream")).or_default() += 1;
        }
        let each = endpoints.into_iter().map(|(upstream, endpoints)| {
            let times = times.remove(upstream).unwrap_or_default();
            Upstream {
                upstream: upstream.to_owned(),
                endpoints,
                available: whole(of(&available, &upstream)),
                checked: whole(of(&checked, &upstream)),
                attempts_per_second: of(&attempts, &upstream),
                errors_per_second: of(&errors, &upstream),
                retries_per_second: of(&retries, &upstream),
                p50_seconds: quantile(&times, 0.5),
                p99_seconds: quantile(&times, 0.99),
                in_flight: whole(of(&in_flight, &upstream)),
                waiting: whole(of(&waiting, &upstream)),
                circuit_open: of(&circuit, &upstream) > 0.0,
            }
        });
        each.collect()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let name = |series: &'a Series| Some((series.label("upstream"), series.label("endpoint")));
        let available = self.levels("wiregate_endpoint_healthy", name);
        let checked = self.levels("wiregate_endpoint_checked", name);
        let rates = self.rates("wiregate_endpoint_errors_total", name);
        let errors = self.levels("wiregate_endpoint_errors_total", name);
        let in_flight = self.levels("wiregate_endpoint_requests_in_flight", name);
        let each = available.iter().map(|(key, available)| Endpoint {
            upstream: key.0.to_owned(),
            endpoint: key.1.to_owned(),
            available: *available > 0.0,
            checked: of(&checked, key) > 0.0,
            errors_per_second: of(&rates, key),
            errors: whole(of(&errors, key)),
            in_flight: whole(of(&in_flight, key)),
        });
        each.collect()
    }

    fn filters(&self) -> Vec<Filter> {
        let name = |series: &'a Series| Some((series.label("route"), series.label("filter")));
        let runs = self.rates("wiregate_filter_runs_total", name);
        let refusals = self.rates("wiregate_filter_refusals_total", name);
        let answers = self.rates("wiregate_filter_answers_total", name);
        let seconds = self.rates("wiregate_filter_seconds_total", name);
        let all_runs = self.levels("wiregate_filter_runs_total", name);
        let all_seconds = self.levels("wiregate_filter_seconds_total", name);
        let each = runs.iter().map(|(key, rate)| {
            let (time, runs) = match rate * self.seconds >= MANY {
                true => (of(&seconds, key), *rate),
                false => (of(&all_seconds, key), of(&all_runs, key)),
            };
            Filter {
                route: key.0.to_owned(),
                filter: key.1.to_owned(),
                runs_per_second: *rate,
                refusals_per_second: of(&refusals, key),
                answers_per_second: of(&answers, key),
                // Nothing but zero: none was measured yet.
                seconds_per_run: (time > 0.0 && runs > 0.0).then(|| time / runs),
            }
        });
        each.collect()
    }

    /// By how much counters have grown in a second, those with the same key together. A counter that is
    /// smaller than before is another process's, and has begun at zero.
    fn rates<K: Ord>(&self, name: &str, key: impl Fn(&'a Series) -> Option<K>) -> BTreeMap<K, f64> {
        let before = sums(self.before.series(name), &key);
        let mut now = sums(self.now.series(name), &key);
        for (key, value) in &mut now {
            *value = grown(before.get(key).copied(), *value) / self.seconds;
        }
        now
    }

    fn levels<K: Ord>(
        &self,
        name: &str,
        key: impl Fn(&'a Series) -> Option<K>,
    ) -> BTreeMap<K, f64> {
        sums(self.now.series(name), &key)
    }

    /// By how much the buckets of histograms have grown, each by its bound.
    fn times<K: Ord>(
        &self,
        name: &str,
        key: impl Fn(&'a Series) -> Option<K>,
    ) -> BTreeMap<K, Vec<(f64, f64)>> {
        let bounded = |series: &'a Series| {
            let bound: f64 = series.label("le").parse().ok()?;
            // Bounds are not negative, and their bits have the same order.
            Some((key(series)?, bound.to_bits()))
        };
        let mut each: BTreeMap<K, Vec<(f64, f64)>> = BTreeMap::new();
        for ((key, bound), rate) in self.rates(name, bounded) {
            let bucket = (f64::from_bits(bound), rate);
            each.entry(key).or_default().push(bucket);
        }
        each
    }
}

fn sums<'a, K: Ord>(
    series: &'a [Series],
    key: impl Fn(&'a Series) -> Option<K>,
) -> BTreeMap<K, f64> {
    let mut sums = BTreeMap::new();
    for series in series {
        if let Some(key) = key(series) {
            *sums.entry(key).or_default() += series.value;
        }
    }
    sums
}

fn grown(before: Option<f64>, now: f64) -> f64 {
    match before {
        Some(before) if before <= now => now - before,
        _ => now,
    }
}

fn of<K: Ord>(values: &BTreeMap<K, f64>, key: &K) -> f64 {
    values.get(key).copied().unwrap_or(0.0)
}

fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// Whether a request or an attempt has failed: with a status from 500 on, or without one.
fn failed(series: &Series) -> bool {
    let code = series.label("code");
    code == "0" || code.starts_with('5')
}

/// The quantile of a histogram whose buckets, each with all below its bound, have grown so much; as
/// Prometheus has it, values within a bucket are taken for evenly spread.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<Time> {
    let (_, total) = buckets.last()?;
    if *total <= 0.0 {
        return None;
    }
    let wanted = total * share;
    let (mut below, mut bound_below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            if bound.is_infinite() {
                break;
            }
            let within = (wanted - below) / (count - below).max(f64::MIN_POSITIVE);
            let seconds = bound_below + (bound - bound_below) * within;
            return Some(Time {
                seconds,
                more: false,
            });
        }
        (below, bound_below) = (*count, *bound);
    }
    Some(Time {
        seconds: bound_below,
        more: true,
    })
}

#[cfg(test)]
mod tests;
