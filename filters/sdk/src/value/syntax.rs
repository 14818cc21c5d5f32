//! What is wrong with a text that is no YAML, in words.

use std::sync::Arc;

use granit_parser::{ErrorKind, ScanError};

use super::budget::{MAX_BYTES, MAX_DEPTH};
use super::{Place, Problem};

const NOT_CLOSED: &str = "not closed yet";
const TABS: &str = "expected spaces, found a tab in the indentation";

/// Refuses what no configuration is: too much of it, or binary data.
pub(super) fn check_characters(file: &Arc<str>, text: &str) -> Result<(), Problem> {
    if text.len() > MAX_BYTES {
        let message = format!("expected at most 10 MiB, found {} bytes", text.len());
        return Err(Problem::new(place(file, text, 0, 1), message));
    }
    let Some(at) =
        text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}'))
    else {
        return Ok(());
    };
    let found = text[at..].chars().next().map_or(0, u32::from);
    let message = format!("expected text, found the control character U+{found:04X}");
    Err(Problem::new(place(file, text, at, 1), message))
}

pub(super) fn too_deep(place: Place) -> Problem {
    let message = format!("expected values at most {MAX_DEPTH} levels deep, found more");
    Problem::new(place, message)
}

/// Where an error of the parser is.
pub(super) fn offset(text: &str, error: &ScanError) -> usize {
    let at = error.marker().byte_offset();
    at.filter(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len())
}

/// The problem behind an error of the parser. `open` is where the innermost bracket stands that is
/// not closed in front of it.
pub(super) fn problem(
    file: &Arc<str>,
    text: &str,
    error: &ScanError,
    open: Option<usize>,
) -> Problem {
    let at = offset(text, error);
    if let Some(tab) = tab_in_indentation(text, at) {
        return Problem::new(place(file, text, tab, 1), TABS)
            .help("YAML is indented with spaces only");
    }
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(place(file, text, at, 1));
    }
    let open = open.filter(|open| *open < at);
    if let Some(open) = open.filter(|open| is_about_brackets(error.kind(), text, *open, at)) {
        return unclosed(file, text, open, at);
    }
    let (message, help) = words(error.kind());
    let problem = Problem::new(place(file, text, at, width(text, at)), message);
    let problem = match open {
        Some(open) => problem.related(place(file, text, open, 1), NOT_CLOSED),
        None => problem,
    };
    match help {
        Some(help) => problem.help(help),
        None => problem,
    }
}

/// Whether an error only says that something stands where a bracket could be closed.
fn is_about_brackets(kind: &ErrorKind, text: &str, open: usize, at: usize) -> bool {
    use ErrorKind as E;
    let later = text[open..at].contains('\n');
    match kind {
        E::ExpectedFlowMappingSeparator | E::ExpectedFlowSequenceSeparator => true,
        // Outside of brackets these would be good.
        E::BlockSequenceEntryNotAllowed
        | E::BlockEntryInFlowCollection
        | E::MappingValueNotAllowed
        | E::InvalidColonPlacement
        | E::MappingKeyNotAllowed => later,
        _ => false,
    }
}

/// The problem with something that stands in brackets, and cannot.
fn unclosed(file: &Arc<str>, text: &str, open: usize, at: usize) -> Problem {
    let end = if text[open..].starts_with('[') {
        ']'
    } else {
        '}'
    };
    let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    // A line that begins with a comma in front of it is wrong in itself.
    let goes_on = text[open + 1..begin.max(open + 1)].trim_end();
    let later = begin > open && !goes_on.is_empty() && !goes_on.ends_with(',');
    let unquoted = text[..at].ends_with('$');
    let later = later && !unquoted;
    // A colon is found behind its key, where nobody looks for the beginning of what is wrong.
    let at = if later {
        begin + text[begin..].len() - text[begin..].trim_start_matches(' ').len()
    } else {
        at
    };
    let message = format!("expected `,` or `{end}`");
    let problem = Problem::new(place(file, text, at, width(text, at)), message)
        .related(place(file, text, open, 1), NOT_CLOSED);
    let line = text[at..].lines().next().unwrap_or_default();
    if later {
        let bracket = &text[open..=open];
        problem.help(format!(
            "close the `{bracket}` that is not closed yet, or put a comma in front of this"
        ))
    } else if unquoted {
        problem.help("`${…}` inside of `{ }` or `[ ]` needs quotes")
    } else if line.contains(": ") {
        problem.help("put a comma in front of the next key, or quote a value that has `: ` in it")
    } else {
        problem
    }
}

/// How wide the word is that stands there.
fn width(text: &str, at: usize) -> usize {
    let word = text[at..].split_whitespace().next();
    word.filter(|word| text[at..].starts_with(word))
        .map_or(1, |word| word.chars().count())
}

/// Where the innermost bracket stands that is open at `end`, where those at `open` were at `from`.
/// Between the two there is nothing but brackets, single values and comments.
pub(super) fn innermost(
    text: &str,
    mut open: Vec<usize>,
    from: usize,
    end: usize,
) -> Option<usize> {
    let mut quote = None;
    let (mut before, mut comment, mut escaped) = (' ', false, false);
    for (at, c) in text.get(from..end)?.char_indices() {
        match (quote, c) {
            _ if comment => comment = c != '\n',
            (Some('"'), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '#') if before.is_whitespace() => comment = true,
            // In the middle of a word it is a letter.
            (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(c),
            (None, '[' | '{') => open.push(from + at),
            (None, ']' | '}') => drop(open.pop()),
            (None, _) => {}
        }
        before = c;
    }
    open.pop()
}

/// Where a tab stands in the indentation of the line of an error, or of a line beside it.
fn tab_in_indentation(text: &str, at: usize) -> Option<usize> {
    let tab = |begin: usize| {
        let line = text[begin..].lines().next()?;
        let indentation = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        if indentation.len() == line.len() {
            return None;
        }
        indentation.find('\t').map(|tab| begin + tab)
    };
    let begin = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let here = begin(at);
    tab(here)
        .or_else(|| tab(begin(here.checked_sub(1)?)))
        .or_else(|| tab(at + text[at..].find('\n')? + 1))
}

fn place(file: &Arc<str>, text: &str, at: usize, width: usize) -> Place {
    let clamp = |number| u32::try_from(number).unwrap_or(u32::MAX);
    // An error at the end of the text is shown behind its last character.
    let at = at.min(text.trim_end_matches(['\n', '\r']).len());
    let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        file: file.clone(),
        line: clamp(text[..at].matches('\n').count() + 1),
        column: clamp(text[begin..at].chars().count() + 1),
        width: clamp(width).max(1),
    }
}

/// What an error means to someone who writes a configuration, and what helps.
fn words(kind: &ErrorKind) -> (String, Option<&'static str>) {
    use ErrorKind as E;
    let indent = Some("check the indentation: what belongs together begins in one column");
    let (message, help) = match kind {
        E::MismatchedFlowCollectionEnd { open, close } => {
            return (format!("`{open}` is closed by `{close}`"), None);
        }
        E::UnclosedFlowCollection { open } => return (format!("`{open}` is never closed"), None),
        E::UnexpectedCharacter { character } => {
            let help = "a value that begins with such a character needs quotes";
            return (
                format!("unexpected `{}`", character.escape_default()),
                Some(help),
            );
        }
        E::UnexpectedEofFlowSequence => ("the text ends inside of a list: `]` is missing", None),
        E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            ("the text ends inside of a map: `}` is missing", None)
        }
        E::UnclosedQuotedScalar => ("a quote is never closed", None),
        E::InvalidQuotedScalarIndent => (
            "a quote is open, and the next line is not indented",
            Some("close the quote"),
        ),
        E::UnknownAnchor => (
            "this alias refers to no anchor before it",
            Some("a value that begins with `*` needs quotes"),
        ),
        E::MissingAnchorOrAliasName => (
            "expected a name behind `*` or `&`",
            Some("a value that begins with `*` or `&` needs quotes"),
        ),
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => ("expected spaces, found a tab", None),
        E::ExpectedFlowMappingSeparator => ("expected `,` or `}`", None),
        E::ExpectedFlowSequenceSeparator => ("expected `,` or `]`", None),
        E::ExpectedBlockMappingKey => ("expected a key", indent),
        E::ExpectedBlockSequenceEntry => ("expected `-` or the end of the list", indent),
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            ("a list item cannot begin here", indent)
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::MappingKeyNotAllowed => (
            "a second key cannot begin here",
            Some("check the indentation, or quote a value that has `: ` in it"),
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => ("expected `:` behind a key", indent),
        E::InvalidIndentation | E::InvalidFlowScalarIndent | E::InvalidBlockScalarIndent => {
            ("unexpected indentation", indent)
        }
        E::CommentInterceptedScalar | E::CommentNotSeparated => (
            "a comment cannot stand here",
            Some("put a space before `#`"),
        ),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("unexpected text behind a quoted value", None)
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => (
            "unknown escape in a double-quoted value",
            Some("in single quotes a backslash stands for itself"),
        ),
        E::DocumentIndicatorInQuotedScalar => ("a document begins inside of a quoted value", None),
        E::MisplacedFlowCollectionEnd => ("nothing is open here that could be closed", None),
        E::ZeroBlockScalarIndent | E::InvalidBlockScalarHeader => {
            ("unexpected text behind `|` or `>`", None)
        }
        E::InvalidBlockEntryWhitespace | E::PlainScalarStartsWithDashFlowIndicator => {
            ("expected a space behind `-`", None)
        }
        E::InvalidMappingValueWhitespace
        | E::FlowMappingValueAdjacentCollection
        | E::ExpectedWhitespace => ("expected a space", None),
        E::BomInsideDocument => ("a byte order mark stands in the middle of the text", None),
        E::UnexpectedEof | E::UnexpectedEofBlockMapping | E::UnexpectedEofBlockSequence => {
            ("the text ends too early", None)
        }
        E::InvalidDocumentEnd | E::ExpectedDocumentStart => {
            ("unexpected text behind the end of the document", indent)
        }
        E::ExpectedNodeContent => ("expected a value", None),
        E::UnsupportedYamlMajorVersion => ("expected YAML 1.2", None),
        E::UndeclaredTagHandle
        | E::ExpectedTagBang
        | E::InvalidGlobalTagCharacter
        | E::InvalidTagTerminator
        | E::MissingTagUri
        | E::UnclosedVerbatimTag
        | E::InvalidTagEscape
        | E::InvalidTagUtf8LeadingByte
        | E::InvalidTagUtf8TrailingByte
        | E::InvalidTagUtf8 => (
            "a tag is not possible here",
            Some("a value that begins with `!` needs quotes"),
        ),
        E::MissingDocumentEndBeforeDirective
        | E::DuplicateVersionDirective
        | E::DuplicateTagDirective
        | E::ExpectedTagDirectiveBang
        | E::InvalidDirectiveTerminator
        | E::MissingYamlVersionSeparator
        | E::MissingDirectiveName
        | E::InvalidDirectiveName
        | E::DirectiveByteLimitExceeded { .. }
        | E::TooManyReservedDirectiveParams { .. }
        | E::YamlVersionTooLong
        | E::MissingYamlVersion
        | E::InvalidTagDirectiveTerminator => (
            "a directive (`%`) is not possible here",
            Some("a value that begins with `%` needs quotes"),
        ),
        _ => ("this is no YAML", None),
    };
    (message.to_owned(), help)
}
