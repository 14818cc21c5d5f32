//! How metrics are declared: name, labels and meaning in one place, from which their registration,
//! their help and their page in the documentation come.

use prometheus::core::{Collector, MetricVec};
use prometheus::{
    Counter, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, proto,
};

use super::names::{Names, prune};
use super::shards::{self, Builder, Cells};

/// A metric as it is declared.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

impl Family {
    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help.trim_start())
    }
}

/// A group of metrics that are declared together.
pub struct Group {
    /// What it is about.
    pub title: &'static str,
    /// Its metrics.
    pub families: &'static [Family],
}

/// A kind of metric.
pub(super) trait Declared: Sized {
    const KIND: &'static str;
    /// Makes it, and has it shown.
    fn declare(registry: &Registry, family: &Family) -> Self;
    /// Takes away the series of what the configuration does not have any more.
    fn prune(&self, _: &Names) {}
}

impl Declared for IntCounter {
    const KIND: &'static str = "counter";

    fn declare(registry: &Registry, family: &Family) -> Self {
        register(registry, Self::with_opts(family.opts()))
    }
}

impl Declared for Counter {
    const KIND: &'static str = "counter";

    fn declare(registry: &Registry, family: &Family) -> Self {
        register(registry, Self::with_opts(family.opts()))
    }
}

impl Declared for IntGauge {
    const KIND: &'static str = "gauge";

    fn declare(registry: &Registry, family: &Family) -> Self {
        register(registry, Self::with_opts(family.opts()))
    }
}

impl Declared for IntCounterVec {
    const KIND: &'static str = "counter";

    fn declare(registry: &Registry, family: &Family) -> Self {
        register(registry, Self::new(family.opts(), family.labels))
    }

    fn prune(&self, names: &Names) {
        prune(self, names);
    }
}

impl Declared for IntGaugeVec {
    const KIND: &'static str = "gauge";

    fn declare(registry: &Registry, family: &Family) -> Self {
        register(registry, Self::new(family.opts(), family.labels))
    }

    fn prune(&self, names: &Names) {
        prune(self, names);
    }
}

impl<T: Cells + 'static> Declared for shards::Family<T> {
    const KIND: &'static str = match T::TYPE {
        proto::MetricType::COUNTER => "counter",
        proto::MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    };

    fn declare(registry: &Registry, family: &Family) -> Self {
        let labels = family.labels.iter().map(|label| (*label).to_owned());
        let opts = family.opts().variable_labels(labels.collect());
        let builder = Builder::new(shards::lines());
        register(registry, MetricVec::create(T::TYPE, builder, opts))
    }

    fn prune(&self, names: &Names) {
        prune(self, names);
    }
}

fn register<T: Clone + Collector + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> T {
    let metric = metric.expect("the names and labels are valid");
    registry
        .register(Box::new(metric.clone()))
        .expect("each name is registered once");
    metric
}

/// Declares a group of metrics: a struct with a field for each. What is said about a field is its
/// help.
macro_rules! families {
    (
        #[doc = $title:literal]
        $visible:vis struct $group:ident {$(
            $(#[doc = $help:literal])+
            $field:ident: $kind:ty = $name:literal [$($label:ident),*];
        )+}
    ) => {
        #[doc = $title]
        $visible struct $group {$(
            $(#[doc = $help])+
            pub(super) $field: $kind,
        )+}

        impl $group {
            pub(super) const GROUP: crate::observe::metrics::family::Group =
                crate::observe::metrics::family::Group {
                    title: $title,
                    families: &[$(crate::observe::metrics::family::Family {
                        name: $name,
                        kind: <$kind as crate::observe::metrics::family::Declared>::KIND,
                        labels: &[$(stringify!($label)),*],
                        help: concat!($($help),+),
                    }),+],
                };

            pub(super) fn new(registry: &prometheus::Registry) -> Self {
                use crate::observe::metrics::family::Declared;
                let mut families = Self::GROUP.families.iter();
                let mut next = || families.next().expect("one for each field");
                Self {$($field: <$kind>::declare(registry, next()),)+}
            }

            pub(super) fn prune(&self, names: &crate::observe::metrics::Names) {
                use crate::observe::metrics::family::Declared;
                $(self.$field.prune(names);)+
            }
        }
    };
}
pub(super) use families;
