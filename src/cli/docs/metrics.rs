//! The reference page of the metrics.

use std::fmt::Write;

use crate::observe::metrics::{Family, GROUPS, Group};

const HEAD: &str = "\
# Metrics

Generated from the code by `wiregate docs`.

The [admin listener](configuration.md#the-admin-listener) and, for other machines, the [metrics
listener](configuration.md#the-metrics-listener) tell them under `/metrics`, in the text format of
Prometheus. Alerts on them are in [`conf/alerts.yaml`](../conf/alerts.yaml), with a [page on what to do](alerts.md)
about each; a dashboard for Grafana is in [`conf/dashboard.json`](../conf/dashboard.json).

- Labels have values of known number only: names out of the configuration, well-known methods, status codes, and
  words of a fixed set. Nothing that a client sends is one, so that no client can make series.
- A reload takes away the series of what the configuration does not have any more. Those of what stays go on.
- Counters begin at 0 with the process; after an [upgrade](operating.md#upgrades) the new process begins anew.
- A series of a route, filter or upstream is there from its first use on. What has never happened is not there;
  in expressions, `or vector(0)` stands for it.
- Histograms have the buckets 5, 10, 25, 50, 75, 100, 250, 500 and 750 ms, 1, 2.5, 5, 7.5 and 10 s.
- Workers count apart, and are added up for whoever asks: what each request costs is some additions.
";

/// The page.
pub(super) fn page() -> String {
    let mut page = String::from(HEAD);
    for Group { title, families } in &GROUPS {
        let _ = write!(
            page,
            "\n## {}\n\n| metric | type | labels | tells |\n|---|---|---|---|\n",
            title.trim()
        );
        families.iter().for_each(|family| row(&mut page, family));
    }
    page
}

fn row(page: &mut String, family: &Family) {
    let Family {
        name,
        kind,
        labels,
        help,
    } = family;
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    let (labels, help) = (labels.join(", "), help.trim());
    let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
}
