//! Counters, gauges and histograms in which each worker counts for itself.
//!
//! What every request touches would otherwise be memory that all processors pull back and forth. A
//! count is an addition to a cache line of the worker's own; whoever asks adds the lines up.

use std::cell::Cell;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::Opts;
use prometheus::core::{Metric, MetricVec, MetricVecBuilder};
use prometheus::proto;

/// More workers than this share lines again, so that a series takes 512 bytes at most, and one of a
/// histogram 1 KiB.
const MOST: usize = 8;
/// The upper bounds of the buckets of all histograms, in microseconds.
const BOUNDS: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(0) };
}

/// From now on this thread counts as the worker of that number.
pub fn count_as(worker: usize) {
    MINE.set(worker);
}

/// How many lines a series has on this machine: a power of two.
pub(super) fn lines() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors.next_power_of_two().min(MOST)
}

#[derive(Default)]
#[repr(align(64))]
struct Line<T>(T);

/// A value for each worker.
struct Shards<T>(Box<[Line<T>]>);

impl<T: Default> Shards<T> {
    fn new(lines: usize) -> Self {
        Self((0..lines).map(|_| Line::default()).collect())
    }

    fn mine(&self) -> &T {
        &self.0[MINE.get() & (self.0.len() - 1)].0
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|line| &line.0)
    }
}

/// What is behind a series.
pub(super) trait Cells: Default + Send + Sync {
    const TYPE: proto::MetricType;
    /// The sum of what all workers have counted.
    fn show<'a>(all: impl Iterator<Item = &'a Self>, metric: &mut proto::Metric)
    where
        Self: 'a;
}

/// One series.
pub struct Series<T>(Arc<Inner<T>>);

struct Inner<T> {
    labels: Vec<proto::LabelPair>,
    shards: Shards<T>,
}

/// A whole number that only grows.
pub type Count = Series<Counted>;
/// A time that only grows; in seconds where it is shown.
pub type Spent = Series<Time>;
/// A number that goes up and down.
pub type Level = Series<Risen>;
/// How many things took how long.
pub type Times = Series<Histogram>;

/// A whole number.
#[derive(Default)]
pub struct Counted(AtomicU64);
/// Nanoseconds.
#[derive(Default)]
pub struct Time(AtomicU64);
/// By how much a worker has raised a level.
#[derive(Default)]
pub struct Risen(AtomicI64);
/// How many were in each bucket, the last one without a bound, and nanoseconds in all.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Count {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        let mine = &self.0.shards.mine().0;
        mine.fetch_add(more, Ordering::Relaxed);
    }
}

impl Spent {
    /// So much more time, counted so many times.
    pub fn add(&self, time: Duration, times: u32) {
        let mine = &self.0.shards.mine().0;
        mine.fetch_add(nanos(time).wrapping_mul(times.into()), Ordering::Relaxed);
    }
}

impl Level {
    /// So many more; fewer where it is negative. What one worker has raised another may lower.
    pub fn add(&self, more: i64) {
        let mine = &self.0.shards.mine().0;
        mine.fetch_add(more, Ordering::Relaxed);
    }
}

impl Times {
    /// One thing has taken this long.
    pub fn observe(&self, time: Duration) {
        let mine = self.0.shards.mine();
        // A bound belongs to its bucket: what is a little more does not.
        let nanos = nanos(time);
        let micros = nanos.div_ceil(1_000);
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound);
        mine.buckets[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        mine.sum.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Cells for Counted {
    const TYPE: proto::MetricType = proto::MetricType::COUNTER;

    fn show<'a>(all: impl Iterator<Item = &'a Self>, metric: &mut proto::Metric) {
        let sum: u64 = all.map(|cell| cell.0.load(Ordering::Relaxed)).sum();
        metric.set_counter(counter(sum as f64));
    }
}

impl Cells for Time {
    const TYPE: proto::MetricType = proto::MetricType::COUNTER;

    fn show<'a>(all: impl Iterator<Item = &'a Self>, metric: &mut proto::Metric) {
        let sum: u64 = all.map(|cell| cell.0.load(Ordering::Relaxed)).sum();
        metric.set_counter(counter(seconds(sum)));
    }
}

impl Cells for Risen {
    const TYPE: proto::MetricType = proto::MetricType::GAUGE;

    fn show<'a>(all: impl Iterator<Item = &'a Self>, metric: &mut proto::Metric) {
        let sum: i64 = all.map(|cell| cell.0.load(Ordering::Relaxed)).sum();
        let mut gauge = proto::Gauge::default();
        gauge.set_value(sum as f64);
        metric.set_gauge(gauge);
    }
}

impl Cells for Histogram {
    const TYPE: proto::MetricType = proto::MetricType::HISTOGRAM;

    fn show<'a>(all: impl Iterator<Item = &'a Self>, metric: &mut proto::Metric) {
        let (mut counts, mut sum) = ([0; BOUNDS.len() + 1], 0);
        for cells in all {
            for (count, bucket) in counts.iter_mut().zip(&cells.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
            sum += cells.sum.load(Ordering::Relaxed);
        }
        let mut so_far = 0;
        let buckets = BOUNDS.iter().zip(&counts).map(|(bound, count)| {
            so_far += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1e6);
            bucket.set_cumulative_count(so_far);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(seconds(sum));
        metric.set_histogram(histogram);
    }
}

fn counter(value: f64) -> proto::Counter {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    counter
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl<T> Clone for Series<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Cells> Series<T> {
    /// One that nobody sees.
    pub(super) fn hidden() -> Self {
        Self::with(Vec::new(), 1)
    }

    fn with(labels: Vec<proto::LabelPair>, lines: usize) -> Self {
        let shards = Shards::new(lines);
        Self(Arc::new(Inner { labels, shards }))
    }
}

impl<T: Cells> Metric for Series<T> {
    fn metric(&self) -> proto::Metric {
        let mut metric = proto::Metric::from_label(self.0.labels.clone());
        T::show(self.0.shards.all(), &mut metric);
        metric
    }
}

/// All series of one name.
pub(super) type Family<T> = MetricVec<Builder<T>>;

/// Makes series.
pub(super) struct Builder<T> {
    lines: usize,
    makes: PhantomData<fn() -> T>,
}

impl<T> Builder<T> {
    pub(super) fn new(lines: usize) -> Self {
        let makes = PhantomData;
        Self { lines, makes }
    }
}

impl<T> Clone for Builder<T> {
    fn clone(&self) -> Self {
        Self::new(self.lines)
    }
}

impl<T: Cells> MetricVecBuilder for Builder<T> {
    type M = Series<T>;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> prometheus::Result<Series<T>> {
        let names = opts.variable_labels.iter();
        let pairs = names.zip(values).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.as_ref().to_owned());
            pair
        });
        let mut labels: Vec<_> = pairs.collect();
        labels.sort_by(|one, other| one.name().cmp(other.name()));
        Ok(Series::with(labels, self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_eight_threads(run: impl Fn() + Sync) {
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let run = &run;
                scope.spawn(move || {
                    count_as(worker);
                    (0..1000).for_each(|_| run());
                });
            }
        });
    }

    #[test]
    fn what_all_workers_count_is_added_up() {
        for lines in [1, 4] {
            let count = Count::with(Vec::new(), lines);
            let (level, spent) = (Level::with(Vec::new(), lines), Spent::hidden());
            on_eight_threads(|| {
                count.add(3);
                level.add(2);
                level.add(-1);
                spent.add(Duration::from_millis(1), 8);
            });
            assert_eq!(count.metric().get_counter().get_value(), 24_000.0);
            assert_eq!(level.metric().get_gauge().get_value(), 8000.0);
            assert_eq!(spent.metric().get_counter().get_value(), 64.0);
        }
    }

    #[test]
    fn a_level_may_fall_elsewhere_than_it_rose() {
        let level = Level::with(Vec::new(), 2);
        level.add(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                count_as(1);
                level.add(-1);
            });
        });
        assert_eq!(level.metric().get_gauge().get_value(), 0.0);
    }

    #[test]
    fn a_time_is_in_the_bucket_whose_bound_it_does_not_pass() {
        let times = Times::with(Vec::new(), 2);
        for micros in [0, 5_000, 10_000_000] {
            times.observe(Duration::from_micros(micros));
        }
        times.observe(Duration::from_nanos(5_000_001));
        times.observe(Duration::from_secs(60));
        let metric = times.metric();
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        let counts: Vec<_> = buckets
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
            .collect();
        assert_eq!(counts[0], (0.005, 2));
        assert_eq!(counts[1], (0.01, 3));
        assert_eq!(counts[13], (10.0, 4));
        assert_eq!(histogram.get_sample_count(), 5);
        assert!((histogram.get_sample_sum() - 70.010_000_001).abs() < 1e-9);
    }

    #[test]
    fn two_workers_never_write_to_one_line() {
        let shards = Shards::<Counted>::new(4);
        let places: Vec<_> = shards
            .all()
            .map(|cell| std::ptr::from_ref(cell).addr())
            .collect();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 64));
        assert!(lines().is_power_of_two() && lines() <= MOST);
    }
}
