//! Problems, as people and programs read them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::json as object;
use wiregate_sdk::value::{Place, Problem};

use super::{Sources, shape};

/// How much of a source line is shown, in characters.
const SHOWN: usize = 120;
/// How much of it in front of the column.
const BEFORE: usize = 50;
/// How many of the other places of a problem are shown; the rest is counted.
const ALSO: usize = 3;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const FRAME: Style = AnsiColor::Blue.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// The problems as text for a terminal: sorted by place, each once, with the source lines that
/// they are about, and a count at the end. Shows nothing but the text of the files, without the
/// secrets that were found in it and what looks like a hash, and the messages, in which control
/// characters are escaped.
pub fn text(problems: &[Problem], sources: &Sources, colour: bool) -> String {
    let problems = sorted(problems);
    let secrets = problems.iter().filter(|problem| problem.secret);
    let page = Page {
        sources,
        secrets: secrets.map(|problem| &problem.place).collect(),
        colour,
    };
    let mut out = String::new();
    for problem in &problems {
        page.problem(&mut out, problem);
        out.push('\n');
    }
    let files: BTreeSet<_> = problems.iter().map(|problem| &problem.place.file).collect();
    let count = |number: usize, word: &str| {
        let end = if number == 1 { "" } else { "s" };
        format!("{number} {word}{end}")
    };
    let (problems, files) = (count(problems.len(), "problem"), count(files.len(), "file"));
    out + &format!("{problems} in {files}\n")
}

/// The problems for programs: a list of objects with `file`, `line`, `column`, `width`,
/// `message`, `help` and `related`. `line` is 0 where a problem is about a file as a whole.
pub fn json(problems: &[Problem]) -> serde_json::Value {
    let place = |place: &Place, message: &str| {
        object!({
            "file": &*place.file,
            "line": place.line,
            "column": place.column,
            "width": place.width,
            "message": shape::masked(message.into()),
        })
    };
    let problem = |problem: &&Problem| {
        let mut shown = place(&problem.place, &problem.message);
        let related = problem.related.iter().map(|(at, why)| place(at, why));
        shown["help"] = object!(problem.help);
        shown["related"] = related.collect();
        shown
    };
    sorted(problems).iter().map(problem).collect()
}

fn sorted(problems: &[Problem]) -> Vec<&Problem> {
    let mut problems: Vec<_> = problems.iter().collect();
    problems.sort_by(|a, b| (&a.place, &a.message).cmp(&(&b.place, &b.message)));
    problems.dedup();
    problems
}

/// What is wrong, without what looks like a hash: a key that nothing knows may be the rest of one.
pub(crate) fn message(problem: &Problem) -> String {
    clean(&shape::masked(problem.message.as_str().into()))
}

struct Page<'a> {
    sources: &'a Sources,
    /// The places of secrets that are written out.
    secrets: Vec<&'a Place>,
    colour: bool,
}

impl Page<'_> {
    fn problem(&self, out: &mut String, problem: &Problem) {
        let error = self.paint(ERROR, "error");
        let _ = writeln!(out, "{error}: {}", message(problem));
        let repeated = problem.repeated().count();
        let shown = problem.related.len() - repeated.saturating_sub(ALSO);
        // Those where the same is wrong are the last ones.
        let others = &problem.related[..shown];
        let places = others.iter().map(|(place, _)| place);
        let lines = places.chain([&problem.place]).map(|place| place.line);
        let gutter = lines.max().unwrap_or(0).to_string().len();
        self.place(out, gutter, "-->", &problem.place, '^', "");
        for (place, why) in others {
            self.place(out, gutter, ":::", place, '-', why);
        }
        if let Some(more @ 1..) = repeated.checked_sub(ALSO) {
            let (sign, end) = (self.paint(FRAME, "="), if more == 1 { "" } else { "s" });
            let _ = writeln!(out, "{:gutter$} {sign} and at {more} more place{end}", "");
        }
        if let Some(help) = &problem.help {
            let (sign, word) = (self.paint(FRAME, "="), self.paint(HELP, "help"));
            let _ = writeln!(out, "{:gutter$} {sign} {word}: {}", "", clean(help));
        }
    }

    /// A place with its line, underlined, and a word on it.
    fn place(
        &self,
        out: &mut String,
        gutter: usize,
        arrow: &str,
        place: &Place,
        mark: char,
        why: &str,
    ) {
        let (arrow, bar) = (self.paint(FRAME, arrow), self.paint(FRAME, "|"));
        let (file, why) = (clean(&place.file), clean(why));
        let line = place.line.checked_sub(1).and_then(|line| {
            let text = self.sources.texts.get(&place.file)?;
            text.lines().nth(line as usize)
        });
        let _ = write!(out, "{:gutter$}{arrow} {file}", "");
        if place.line > 0 {
            let _ = write!(out, ":{}:{}", place.line, place.column);
        }
        let Some(line) = line else {
            let _ = writeln!(out, "{}{why}", if why.is_empty() { "" } else { " " });
            return;
        };
        let excerpt = Excerpt::new(&self.masked(line, place), place);
        let marks = mark.to_string().repeat(excerpt.width);
        let style = if mark == '^' { ERROR } else { FRAME };
        let marks = self.paint(style, format!("{marks} {why}").trim_end());
        let number = self.paint(FRAME, &format!("{:>gutter$}", place.line));
        let (text, before) = (&excerpt.text, excerpt.before);
        let _ = writeln!(out);
        let _ = writeln!(out, "{:gutter$} {bar}", "");
        let _ = writeln!(out, "{number} {bar} {text}");
        let _ = writeln!(out, "{:gutter$} {bar} {:before$}{marks}", "", "");
    }

    /// The line of a place, with stars where secrets stand in it, and what looks like a hash.
    fn masked<'l>(&self, line: &'l str, place: &Place) -> Cow<'l, str> {
        let on_line = |secret: &&&Place| (&secret.file, secret.line) == (&place.file, place.line);
        let secrets: Vec<_> = self.secrets.iter().filter(on_line).copied().collect();
        shape::masked(masked(line, &secrets))
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// A line with stars at these places of it.
pub(super) fn masked<'l>(line: &'l str, places: &[&Place]) -> Cow<'l, str> {
    if places.is_empty() {
        return Cow::Borrowed(line);
    }
    let masks = |at: u32| {
        let mut ranges = places
            .iter()
            .map(|s| s.column..s.column.saturating_add(s.width));
        ranges.any(|range| range.contains(&at))
    };
    let columns = line.chars().zip(1..);
    columns
        .map(|(c, at)| if masks(at) && c != '\n' { '*' } else { c })
        .collect()
}

/// The part of a source line around a place.
struct Excerpt {
    text: String,
    /// How many characters are in front of the place.
    before: usize,
    /// How many to underline.
    width: usize,
}

impl Excerpt {
    fn new(line: &str, place: &Place) -> Self {
        let length = line.chars().count();
        let column = (place.column.saturating_sub(1) as usize).min(length);
        let begin = if length <= SHOWN {
            0
        } else {
            column.saturating_sub(BEFORE).min(length - SHOWN)
        };
        let mut text = String::new();
        if begin > 0 {
            text.push('…');
        }
        text.extend(line.chars().skip(begin).take(SHOWN).map(visible));
        if begin + SHOWN < length {
            text.push('…');
        }
        let end = length.min(begin + SHOWN);
        Self {
            text: text.trim_end().to_owned(),
            before: column - begin + usize::from(begin > 0),
            width: (place.width as usize)
                .min(end.saturating_sub(column))
                .max(1),
        }
    }
}

/// A character of a source line, one column wide and harmless to a terminal.
fn visible(c: char) -> char {
    match c {
        '\t' => '→',
        _ if hidden(c) => '\u{FFFD}',
        _ => c,
    }
}

/// Whether a terminal would act on it, or turn the text around.
pub(crate) fn hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// A text with what a terminal would act on escaped.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
