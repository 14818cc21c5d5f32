//! Figures as tables of text.

use std::fmt::Write;

use super::figures::{Endpoint, Figures, Time};
use crate::config::report::hidden;

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Requests,
    Errors,
    Time,
    Name,
}

impl Sort {
    /// The one after this.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Requests => Self::Errors,
            Self::Errors => Self::Time,
            Self::Time => Self::Name,
            Self::Name => Self::Requests,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::Time => "time",
            Self::Name => "name",
        }
    }
}

/// All tables, with what is said above them.
#[derive(Debug)]
pub(super) struct Page {
    /// One line on the gateway.
    pub(super) head: String,
    tables: Vec<Table>,
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line {
    /// The names of columns.
    Names(String),
    /// A row.
    Row(String),
    /// A row that tells of errors.
    Bad(String),
}

#[derive(Debug)]
struct Table {
    /// The names of columns; the first few are of texts, the others of numbers.
    names: Vec<&'static str>,
    texts: usize,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    bad: bool,
    /// What it is sorted by: requests, errors, time.
    weight: [f64; 3],
}

/// The least that the name of a row has, in columns of the terminal.
const NARROWEST: usize = 8;

impl Page {
    pub(super) fn of(figures: &Figures, sort: Sort) -> Self {
        let mut tables = vec![
            routes(figures),
            upstreams(figures),
            endpoints(figures),
            filters(figures),
        ];
        tables.retain(|table| !table.rows.is_empty());
        tables.iter_mut().for_each(|table| table.sort(sort));
        let mut head = format!(
            "wiregate {}  configuration {}  {} req/s  {} err/s  {} in flight  {} connections  {}",
            clean(&figures.version),
            figures.generation,
            rate(figures.requests_per_second),
            rate(figures.errors_per_second),
            figures.in_flight,
            figures.connections,
            memory(figures.memory_bytes),
        );
        if figures.log_lines_dropped_per_second > 0.0 {
            let lost = rate(figures.log_lines_dropped_per_second);
            write!(head, "  {lost} log lines/s dropped").expect("memory takes every byte");
        }
        Self { head, tables }
    }

    /// The tables for a terminal of this width.
    pub(super) fn lines(&self, width: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        for table in &self.tables {
            if !lines.is_empty() {
                lines.push(Line::Row(String::new()));
            }
            table.write(width, &mut lines);
        }
        lines
    }

    /// All of it, for a pipe.
    pub(super) fn text(&self, width: usize, colour: bool) -> String {
        let mut text = format!("{}\n\n", self.head);
        for line in self.lines(width) {
            text.push_str(line.shown(colour).trim_end());
            text.push('\n');
        }
        text
    }
}

impl Line {
    /// The line, with colours where they are wanted.
    pub(super) fn shown(&self, colour: bool) -> String {
        match self {
            Self::Names(text) if colour => format!("\x1b[1m{text}\x1b[0m"),
            Self::Bad(text) if colour => format!("\x1b[31m{text}\x1b[0m"),
            Self::Names(text) | Self::Row(text) | Self::Bad(text) => text.clone(),
        }
    }
}

fn routes(figures: &Figures) -> Table {
    let rows = figures.routes.iter().map(|route| Row {
        cells: vec![
            clean(&route.route),
            rate(route.requests_per_second),
            rate(route.errors_per_second),
            time(route.p50_seconds),
            time(route.p99_seconds),
            route.in_flight.to_string(),
        ],
        bad: route.errors_per_second > 0.0,
        weight: [
            route.requests_per_second,
            route.errors_per_second,
            seconds(route.p99_seconds),
        ],
    });
    Table {
        names: vec!["ROUTE", "REQ/S", "ERR/S", "P50", "P99", "IN FLIGHT"],
        texts: 1,
        rows: rows.collect(),
    }
}

fn upstreams(figures: &Figures) -> Table {
    let rows = figures.upstreams.iter().map(|upstream| {
        let circuit = if upstream.circuit_open { "open" } else { "-" };
        let (available, all) = (upstream.available, upstream.endpoints);
        let health = match upstream.checked {
            0 => "unchecked".to_owned(),
            checked if checked >= all => "healthy".to_owned(),
            checked => format!("available, {checked} checked"),
        };
        Row {
            cells: vec![
                clean(&upstream.upstream),
                format!("{available}/{all} {health}"),
                rate(upstream.attempts_per_second),
                rate(upstream.errors_per_second),
                rate(upstream.retries_per_second),
                time(upstream.p50_seconds),
                time(upstream.p99_seconds),
                upstream.in_flight.to_string(),
                upstream.waiting.to_string(),
                circuit.to_owned(),
            ],
            bad: upstream.errors_per_second > 0.0 || upstream.circuit_open || available < all,
            weight: [
                upstream.attempts_per_second,
                upstream.errors_per_second,
                seconds(upstream.p99_seconds),
            ],
        }
    });
    Table {
        names: vec![
            "UPSTREAM",
            "ENDPOINTS",
            "TRIES/S",
            "ERR/S",
            "RETRY/S",
            "P50",
            "P99",
            "IN FLIGHT",
            "WAITING",
            "CIRCUIT",
        ],
        texts: 1,
        rows: rows.collect(),
    }
}

fn endpoints(figures: &Figures) -> Table {
    let rows = figures.endpoints.iter().map(|endpoint| Row {
        cells: vec![
            clean(&endpoint.upstream),
            clean(&endpoint.endpoint),
            state(endpoint).to_owned(),
            rate(endpoint.errors_per_second),
            endpoint.errors.to_string(),
            endpoint.in_flight.to_string(),
        ],
        bad: endpoint.errors_per_second > 0.0 || !endpoint.available,
        weight: [
            endpoint.in_flight as f64,
            endpoint.errors_per_second,
            // How long it takes is not told of one alone.
            -1.0,
        ],
    });
    Table {
        names: vec![
            "UPSTREAM",
            "ENDPOINT",
            "STATE",
            "ERR/S",
            "ERRORS",
            "IN FLIGHT",
        ],
        texts: 2,
        rows: rows.collect(),
    }
}

fn state(endpoint: &Endpoint) -> &'static str {
    match (endpoint.available, endpoint.checked) {
        (true, true) => "healthy",
        (true, false) => "unchecked",
        (false, _) => "out",
    }
}

fn filters(figures: &Figures) -> Table {
    let rows = figures.filters.iter().map(|filter| Row {
        cells: vec![
            clean(&filter.route),
            clean(&filter.filter),
            rate(filter.runs_per_second),
            rate(filter.refusals_per_second),
            rate(filter.answers_per_second),
            filter.seconds_per_run.map_or_else(|| "-".into(), duration),
        ],
        bad: false,
        weight: [
            filter.runs_per_second,
            filter.refusals_per_second,
            filter.seconds_per_run.unwrap_or(-1.0),
        ],
    });
    Table {
        names: vec![
            "ROUTE",
            "FILTER",
            "RUNS/S",
            "REFUSED/S",
            "ANSWERED/S",
            "TIME/RUN",
        ],
        texts: 2,
        rows: rows.collect(),
    }
}

impl Table {
    /// The largest first; those that are alike by their names.
    fn sort(&mut self, sort: Sort) {
        let weight = match sort {
            Sort::Requests => Some(0),
            Sort::Errors => Some(1),
            Sort::Time => Some(2),
            Sort::Name => None,
        };
        self.rows.sort_by(|a, b| {
            let names = || a.cells.cmp(&b.cells);
            match weight {
                Some(at) => b.weight[at].total_cmp(&a.weight[at]).then_with(names),
                None => names(),
            }
        });
    }

    fn write(&self, width: usize, lines: &mut Vec<Line>) {
        let widths = self.widths(width);
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (at, cell) in cells.enumerate() {
                let (gap, width) = (if at == 0 { "" } else { "  " }, widths[at]);
                let cell = cut(cell, width);
                let written = match at < self.texts {
                    true => write!(line, "{gap}{cell:<width$}"),
                    false => write!(line, "{gap}{cell:>width$}"),
                };
                written.expect("memory takes every byte");
            }
            line
        };
        lines.push(Line::Names(line(&mut self.names.iter().copied())));
        for row in &self.rows {
            let text = line(&mut row.cells.iter().map(String::as_str));
            lines.push(if row.bad {
                Line::Bad(text)
            } else {
                Line::Row(text)
            });
        }
    }

    /// The width of each column. Where there is too little for all, names get less.
    fn widths(&self, width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.len()).collect();
        for row in &self.rows {
            for (at, cell) in row.cells.iter().enumerate() {
                widths[at] = widths[at].max(cell.chars().count());
            }
        }
        let whole = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
        let mut over = whole.saturating_sub(width);
        while over > 0 {
            let texts = widths[..self.texts].iter_mut();
            let widest = texts.max().filter(|widest| **widest > NARROWEST);
            let Some(widest) = widest else {
                break; // the terminal cuts the rest
            };
            *widest -= 1;
            over -= 1;
        }
        widths
    }
}

/// A name without what moves a terminal.
fn clean(name: &str) -> String {
    let shown = |c: char| if hidden(c) { '\u{fffd}' } else { c };
    name.chars().map(shown).collect()
}

/// The start of a text, with a sign that there was more.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".into(),
        rate if rate < 10.0 => format!("{rate:.1}"),
        rate if rate < 100_000.0 => format!("{rate:.0}"),
        rate if rate < 1e7 => format!("{:.0}k", rate / 1e3),
        rate => format!("{:.0}M", rate / 1e6),
    }
}

fn time(time: Option<Time>) -> String {
    match time {
        None => "-".into(),
        Some(time) if time.more => format!(">{}", duration(time.seconds)),
        Some(time) => duration(time.seconds),
    }
}

fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
        seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
        seconds => (seconds, "s"),
    };
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$}{unit}")
}

/// For sorting; nothing is less than any time.
fn seconds(time: Option<Time>) -> f64 {
    time.map_or(-1.0, |time| time.seconds)
}

fn memory(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests;
