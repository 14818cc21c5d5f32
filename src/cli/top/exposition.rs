//! Metrics in the text format of Prometheus, read.

use std::collections::HashMap;

/// All series of one exposition, by the names of their metrics.
#[derive(Debug, Default)]
pub(super) struct Exposition(HashMap<String, Vec<Series>>);

/// One series with its value.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl Exposition {
    /// Reads what it can: a line that is none of a series is left out.
    pub(super) fn read(text: &str) -> Self {
        let mut all: HashMap<String, Vec<Series>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, series)) = read(line) {
                all.entry(name).or_default().push(series);
            }
        }
        Self(all)
    }

    /// The series of a metric.
    pub(super) fn series(&self, name: &str) -> &[Series] {
        self.0.get(name).map_or(&[], |series| series)
    }

    /// The sum of all series of a metric.
    pub(super) fn sum(&self, name: &str) -> f64 {
        self.series(name).iter().map(|series| series.value).sum()
    }
}

impl Series {
    /// The value of a label, empty where there is none.
    pub(super) fn label(&self, name: &str) -> &str {
        let mut labels = self.labels.iter();
        let found = labels.find(|(label, _)| label == name);
        found.map_or("", |(_, value)| value)
    }
}

fn read(line: &str) -> Option<(String, Series)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name.to_owned(), Series { labels, value }))
}

/// The text up to the closing quote, and what comes after that.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_names_labels_and_values() {
        let text = "# HELP a_total Things.\na_total{x=\"1\",y=\"q\\\"\\\\\\n,}\"} 3\na_total{x=\"2\"} 4.5 1700000000\n\
                    b 1e3\nb_bucket{le=\"+Inf\"} 2\nnonsense\nc{x=\"1} 2\nd x\n";
        let read = Exposition::read(text);
        let a = read.series("a_total");
        assert_eq!((a[0].label("x"), a[0].label("y")), ("1", "q\"\\\n,}"));
        assert_eq!((a[0].value, a[1].value, a[1].label("y")), (3.0, 4.5, ""));
        assert_eq!(read.sum("a_total"), 7.5);
        assert_eq!(read.sum("b"), 1000.0);
        assert_eq!(read.series("b_bucket")[0].label("le"), "+Inf");
        for none in ["nonsense", "c", "d", "other"] {
            assert!(read.series(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn reads_what_the_gateway_writes() {
        let text = crate::observe::metrics::Metrics::new().render();
        let read = Exposition::read(std::str::from_utf8(&text).unwrap());
        let version = read.series("wiregate_build_info")[0].label("version");
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z{}=\",\\\\n0-9 é]*|.*") {
            Exposition::read(&text);
        }
    }
}
