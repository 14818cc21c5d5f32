//! What becomes of a request, for people.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use wiregate_sdk::Mode;

use super::answer::{Answer, Endpoint, Refusal, Taken, Upstream};
use crate::config::report::clean;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const HEAD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The answer as text for a terminal.
pub(super) fn text(answer: &Answer, colour: bool) -> String {
    let mut page = Page {
        out: String::new(),
        colour,
    };
    page.request(answer);
    if let Some(refusal) = &answer.refusal {
        page.refusal(refusal);
    }
    if let Some(route) = &answer.route {
        page.route(route);
        page.filters(route);
        page.upstream(route);
    }
    page.near_misses(answer);
    page.out
}

struct Page {
    out: String,
    colour: bool,
}

/// A cell of a table, and how it looks.
type Cell = (Style, String);

impl Page {
    fn request(&mut self, answer: &Answer) {
        let request = &answer.request;
        let host = match request.host.as_str() {
            "" => "no host",
            host => host,
        };
        let (method, target, client) = (&request.method, &request.target, &request.client);
        let line = format!("{method} {target} for {host} from {client}");
        self.line(&[(HEAD, line)]);
        let written = target.split('?').next().unwrap_or_default();
        if let Some(path) = request.path.as_deref().filter(|path| *path != written) {
            self.line(&[(Style::new(), format!("its path is taken as {path}"))]);
        }
        self.out.push('\n');
    }

    fn refusal(&mut self, refusal: &Refusal) {
        let Refusal {
            status,
            reason,
            detail,
        } = refusal;
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let detail = detail.as_deref().unwrap_or("the gateway answers itself");
        let answer = format!("answered with {status}{reason}");
        self.line(&[(BAD, answer), (Style::new(), detail.to_owned())]);
    }

    fn route(&mut self, route: &Taken) {
        let name = format!("taken by route {}", route.name);
        self.line(&[(GOOD, name), (DIM, route.place.clone())]);
        let mut rows = vec![
            ["host".to_owned(), route.host.clone()],
            ["path".to_owned(), route.path.clone()],
        ];
        for (name, value) in &route.params {
            let value = value.as_str().unwrap_or_default();
            rows.push([format!("{{{name}}}"), value.to_owned()]);
        }
        if let Some(method) = &route.preflight {
            rows.push(["preflight".to_owned(), format!("asks for {method}")]);
        }
        let rows = rows.into_iter();
        self.table(rows.map(|row| row.map(|cell| (Style::new(), cell)).into()));
    }

    fn filters(&mut self, route: &Taken) {
        if route.filters.is_empty() {
            return self.title("no filters");
        }
        self.title("filters, in the order in which they see the request");
        let rows = route.filters.iter().enumerate().map(|(position, filter)| {
            // A name of one's own, or a count, says more with the word beside it.
            let word = if filter.label == filter.filter {
                String::new()
            } else {
                format!("({})", filter.filter)
            };
            let mode = match filter.mode {
                Mode::Enforce => String::new(),
                Mode::Observe => "only observed".to_owned(),
            };
            vec![
                (DIM, (position + 1).to_string()),
                (HEAD, filter.label.clone()),
                (Style::new(), word),
                (Style::new(), mode),
                (DIM, filter.place.clone()),
            ]
        });
        self.table(rows);
    }

    fn upstream(&mut self, route: &Taken) {
        if let Some(filter) = route.filters.iter().find(|filter| filter.answers) {
            return self.title(&format!("no upstream: {} answers", filter.label));
        }
        for upstream in route.upstream.iter().chain(&route.split) {
            self.endpoints(upstream);
        }
    }

    fn endpoints(&mut self, upstream: &Upstream) {
        self.title(&format!("upstream {}", upstream.name));
        let rows = upstream.endpoints.iter().map(|endpoint| {
            let Endpoint { address, weight } = endpoint;
            let weight = match weight {
                1 => String::new(),
                weight => format!("weight {weight}"),
            };
            vec![(Style::new(), address.clone()), (DIM, weight)]
        });
        self.table(rows);
    }

    fn near_misses(&mut self, answer: &Answer) {
        if answer.near_misses.is_empty() {
            return;
        }
        self.title("routes that come close");
        let rows = answer.near_misses.iter().map(|miss| {
            vec![
                (HEAD, miss.name.clone()),
                (Style::new(), miss.reason.clone()),
                (DIM, miss.place.clone()),
            ]
        });
        self.table(rows);
        if answer.omitted > 0 {
            let more = format!("  and {} more", answer.omitted);
            self.line(&[(DIM, more)]);
        }
    }

    fn title(&mut self, text: &str) {
        self.out.push('\n');
        self.line(&[(HEAD, text.to_owned())]);
    }

    fn line(&mut self, cells: &[Cell]) {
        let cells: Vec<_> = (cells.iter())
            .map(|(style, text)| self.paint(*style, &clean(text)))
            .collect();
        let _ = writeln!(self.out, "{}", cells.join("  "));
    }

    /// Rows of as many cells each, below each other.
    fn table(&mut self, rows: impl Iterator<Item = Vec<Cell>>) {
        let rows: Vec<Vec<Cell>> = rows
            .map(|row| row.into_iter().map(|(s, text)| (s, clean(&text))).collect())
            .collect();
        let columns = rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| rows.iter().map(|row| row[column].1.chars().count()).max())
            .map(Option::unwrap_or_default)
            .collect();
        for row in &rows {
            let mut gap = 2;
            for ((style, text), width) in row.iter().zip(&widths) {
                if !text.is_empty() {
                    let _ = write!(self.out, "{:gap$}{}", "", self.paint(*style, text));
                    gap = 0;
                }
                gap += width - text.chars().count() * usize::from(!text.is_empty());
                gap += if *width > 0 { 2 } else { 0 };
            }
            self.out.push('\n');
        }
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour && !style.is_plain() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_nothing_trails() {
        let plain = |text: &str| (Style::new(), text.to_owned());
        let mut page = Page {
            out: String::new(),
            colour: false,
        };
        let rows = [
            vec![plain("a"), plain(""), plain("z")],
            vec![plain("bbb"), plain("(y)"), plain("z")],
            vec![plain("c\u{1b}"), plain("(y)"), plain("")],
        ];
        page.table(rows.into_iter());
        let lines: Vec<_> = page.out.lines().collect();
        assert_eq!(
            lines,
            ["  a             z", "  bbb      (y)  z", "  c\\u{1b}  (y)"]
        );
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        for (colour, text) in [(true, "\u{1b}[1mx\u{1b}[0m\n"), (false, "x\n")] {
            let out = String::new();
            let mut page = Page { out, colour };
            page.line(&[(HEAD, "x".to_owned())]);
            assert_eq!(page.out, text);
        }
    }
}
