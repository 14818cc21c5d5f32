//! A strict reader of the Prometheus text format (version 0.0.4).

use std::collections::{HashMap, HashSet};

/// What `/metrics` says, once every line of it was found right.
pub struct Exposition {
    /// By name and sorted labels.
    samples: HashMap<(String, Vec<(String, String)>), f64>,
}

impl Exposition {
    /// Reads a whole exposition. Panics at the first line that is not right.
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'));
        let mut samples = HashMap::new();
        let (mut kinds, mut helped) = (HashMap::new(), HashSet::new());
        let mut family = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(!help.is_empty() && helped.insert(name), "{line}");
                family = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name, family, "HELP comes first: {line}");
                assert!(kinds.insert(name, kind).is_none(), "{line}");
            } else {
                let (name, labels, value) = sample(line);
                let kind = *kinds.get(family).expect(line);
                belongs(name, family, kind, &labels, line);
                assert!(kind == "gauge" || value >= 0.0, "{line}");
                let series = (name.to_owned(), labels);
                assert!(
                    samples.insert(series, value).is_none(),
                    "{line} is there twice"
                );
            }
        }
        let this = Self { samples };
        this.check_histograms(&kinds);
        this
    }

    /// The value of a series, written as `name{label=value,label=value}` in any order.
    pub fn value(&self, series: &str) -> Option<f64> {
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
        let labels = labels.split_terminator(',').map(|label| {
            let (name, value) = label.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let mut labels: Vec<_> = labels.collect();
        labels.sort();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// All values of a label.
    pub fn labels<'e>(&'e self, name: &str) -> impl Iterator<Item = &'e str> {
        let labels = self.samples.keys().flat_map(|(_, labels)| labels);
        let of_name = labels.filter(move |(label, _)| label == name);
        of_name
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Buckets only grow, and the last of them is the count.
    fn check_histograms(&self, kinds: &HashMap<&str, &str>) {
        for ((name, labels), count) in &self.samples {
            let Some(family) = name.strip_suffix("_count") else {
                continue;
            };
            if kinds.get(family) != Some(&"histogram") {
                continue;
            }
            let bucket = format!("{family}_bucket");
            let mut buckets: Vec<(f64, f64)> = Vec::new();
            for ((name, with_bound), value) in &self.samples {
                let rest = || with_bound.iter().filter(|(label, _)| label != "le");
                if *name == bucket && rest().eq(labels) {
                    let (_, bound) = with_bound.iter().find(|(label, _)| label == "le").unwrap();
                    buckets.push((bound.replace("+Inf", "inf").parse().unwrap(), *value));
                }
            }
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(
                buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                "{family}"
            );
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{family}");
            let sum = (format!("{family}_sum"), labels.clone());
            assert!(self.samples.contains_key(&sum), "{family}");
        }
    }
}

/// One sample: `name{label="value",…} 1.5`.
fn sample(line: &str) -> (&str, Vec<(String, String)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let value = value.parse().expect(line);
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let word = |text: &str, more: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
        assert!(!text.is_empty() && text.chars().all(good), "{line}");
        assert!(!text.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    };
    word(name, ":");
    let mut labels = Vec::new();
    let mut rest = rest.strip_suffix('}').expect(line);
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").expect(line);
        word(label, "");
        let end = value.find('"').expect(line);
        assert!(
            !value[..end].contains('\\'),
            "no name here needs an escape: {line}"
        );
        labels.push((label.to_owned(), value[..end].to_owned()));
        rest = &value[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels.sort();
    (name, labels, value)
}

/// Each sample stands under the family that it belongs to.
fn belongs(name: &str, family: &str, kind: &str, labels: &[(String, String)], line: &str) {
    let bound = labels.iter().any(|(label, _)| label == "le");
    let rest = name.strip_prefix(family).expect(line);
    match kind {
        "histogram" => {
            assert!(["_bucket", "_sum", "_count"].contains(&rest), "{line}");
            assert_eq!(rest == "_bucket", bound, "{line}");
        }
        _ => assert!(rest.is_empty() && !bound, "{line}"),
    }
}
