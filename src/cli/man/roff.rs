//! Markdown, as far as this program's pages use it, as a manual page (man(7)).

use std::fmt::Write;

/// Headings, paragraphs, lists, tables and code. Of links the text is kept.
pub(super) fn roff(markdown: &str) -> String {
    let mut page = String::new();
    let mut lines = markdown.lines().peekable();
    let mut before = Before::Heading;
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            let _ = writeln!(page, ".SH \"{}\"", plain(&heading.to_uppercase()));
            before = Before::Heading;
        } else if line.starts_with("```") {
            let code = lines.by_ref().take_while(|line| !line.starts_with("```"));
            begin(&mut page, before);
            literal(&mut page, code);
            before = Before::Block;
        } else if line.starts_with('|') {
            let mut rows = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(cells(row));
            }
            table(&mut page, &rows);
            before = Before::Block;
        } else if let Some(item) = line.strip_prefix("- ") {
            page.push_str(".IP \\(bu 2\n");
            said(&mut page, item);
            before = Before::Line;
        } else if !line.trim().is_empty() {
            if before != Before::Line {
                begin(&mut page, before);
            }
            said(&mut page, line.trim_start());
            before = Before::Line;
        } else if before == Before::Line {
            before = Before::Block;
        }
    }
    page
}

/// What a line comes after.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Heading,
    /// A paragraph, a list, a table or code that is complete.
    Block,
    /// A line that this one goes on with.
    Line,
}

/// A new paragraph; below a heading there is one.
fn begin(page: &mut String, before: Before) {
    if before != Before::Heading {
        page.push_str(".PP\n");
    }
}

/// Text without any marks.
pub(super) fn plain(text: &str) -> String {
    let mut escaped = String::new();
    text.chars()
        .for_each(|letter| escape(&mut escaped, letter, true));
    escaped.replace('"', "\\(dq")
}

fn literal<'a>(page: &mut String, code: impl Iterator<Item = &'a str>) {
    page.push_str(".RS 4\n.nf\n");
    for line in code {
        let mut escaped = String::new();
        line.chars()
            .for_each(|letter| escape(&mut escaped, letter, true));
        at_start(page, &escaped);
    }
    page.push_str(".fi\n.RE\n");
}

/// A table as a list: the first cell of a row is what the others are about.
fn table(page: &mut String, rows: &[Vec<String>]) {
    let [head, _, rows @ ..] = rows else {
        return;
    };
    for row in rows {
        let Some((tag, rest)) = row.split_first() else {
            continue;
        };
        let mut tag = inline(tag);
        let meaning = match rest {
            // What options take, and their defaults.
            [takes, default, meaning] => {
                let _ = write!(tag, "  {}", inline(takes));
                match (&**default, &*head[2]) {
                    ("", _) => {}
                    // That of an object is told where its options are.
                    (value, _) if value.starts_with("`{") => {}
                    ("required", _) => tag.push_str(", required"),
                    (value, head) => {
                        let _ = write!(tag, ", {} {}", plain(head), inline(value));
                    }
                }
                meaning.clone()
            }
            [meaning, example] if !example.is_empty() => {
                format!("{meaning}<br>{}: {example}", head[2])
            }
            [meaning, ..] => meaning.clone(),
            [] => String::new(),
        };
        page.push_str(".TP\n");
        at_start(page, &tag);
        for (number, part) in meaning.split("<br>").enumerate() {
            if number > 0 {
                page.push_str(".IP\n");
            }
            said(page, part);
        }
    }
}

fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row);
    let row = row.replace("\\|", "\0");
    let cells = row.split('|').map(|cell| cell.trim().replace('\0', "|"));
    cells.collect()
}

fn said(page: &mut String, text: &str) {
    at_start(page, &inline(text));
}

/// A line, which does not begin as a request to the formatter.
fn at_start(page: &mut String, line: &str) {
    if line.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(line);
    page.push('\n');
}

/// Code and what is to stand out in bold.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let (mut rest, mut code, mut strong) = (text, false, false);
    while let Some(letter) = rest.chars().next() {
        if letter == '`' {
            code = !code;
            out.push_str(if code { "\\fB" } else { "\\fR" });
        } else if !code && rest.starts_with("**") {
            strong = !strong;
            out.push_str(if strong { "\\fB" } else { "\\fR" });
            rest = &rest[1..];
        } else if let Some((words, behind)) = (!code).then(|| link(rest)).flatten() {
            out.push_str(&inline(words));
            rest = behind;
            continue;
        } else {
            escape(&mut out, letter, code || strong);
        }
        rest = &rest[letter.len_utf8()..];
    }
    out
}

/// The words of a link that a text begins with, and what is behind it.
fn link(text: &str) -> Option<(&str, &str)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (_, behind) = rest.split_once(')')?;
    (!words.contains(['[', ']'])).then_some((words, behind))
}

/// A letter that means itself; in what is typed, `-` is not a hyphen.
fn escape(out: &mut String, letter: char, typed: bool) {
    match letter {
        '\\' => out.push_str("\\e"),
        '\'' => out.push_str("\\(aq"),
        '`' => out.push_str("\\(ga"),
        '^' => out.push_str("\\(ha"),
        '~' => out.push_str("\\(ti"),
        '-' if typed => out.push_str("\\-"),
        other => out.push(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_means_itself() {
        let page =
            roff("Say `a-b` at **once**, as [words](#anchor) of C:\\d 'x'.\n.so\n- one\n  more\n");
        let expected = "Say \\fBa\\-b\\fR at \\fBonce\\fR, as words of C:\\ed \\(aqx\\(aq.\n\
                        \\&.so\n.IP \\(bu 2\none\nmore\n";
        assert_eq!(page, expected);
        assert_eq!(
            roff("`[a](b)` and a[0] (c)"),
            "\\fB[a](b)\\fR and a[0] (c)\n"
        );
    }

    #[test]
    fn tables_are_lists() {
        let head = "| option | takes | default | meaning |\n|---|---|---|---|\n";
        let row = "| `by` | [text](#values) | `\"x\"` | What<br>a \\| b. |\n| `at` | text | required | Where. |\n";
        let expected = ".TP\n\\fBby\\fR  text, default \\fB\"x\"\\fR\nWhat\n.IP\na | b.\n\
                        .TP\n\\fBat\\fR  text, required\nWhere.\n";
        assert_eq!(roff(&format!("{head}{row}")), expected);
        let values = "| value | is | for example |\n|---|---|---|\n| rate | How often. | `1/s` |\n";
        let expected = ".TP\nrate\nHow often.\n.IP\nfor example: \\fB1/s\\fR\n";
        assert_eq!(roff(values), expected);
    }

    #[test]
    fn code_is_kept_as_it_is() {
        let page = roff("## A title\n\n```yaml\n- a: \"b\"\n\n.c: 1\n```\n\nEnd\n");
        let expected =
            ".SH \"A TITLE\"\n.RS 4\n.nf\n\\- a: \"b\"\n\n\\&.c: 1\n.fi\n.RE\n.PP\nEnd\n";
        assert_eq!(page, expected);
    }
}
