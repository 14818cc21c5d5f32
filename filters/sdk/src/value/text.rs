//! The pieces of a text that may hold references, expressions and escapes.

use std::borrow::Cow;

use super::Scalar;
use crate::template::closing_brace;

/// One piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text that stands for itself.
    Literal(&'t str),
    /// `$$` in front of a `{` (or of more of these pairs), which stands for `$`.
    Escape,
    /// `${scheme:name}`.
    Reference {
        /// All of it.
        whole: &'t str,
        /// The word before the colon.
        scheme: &'t str,
        /// What is behind the colon.
        name: &'t str,
    },
    /// `${expression}`, for templates.
    Expression(&'t str),
    /// `${` that nothing closes, up to the end of the text.
    Unclosed(&'t str),
}

/// Takes a text apart. A `${` that begins with a lower-case word and a colon is a reference,
/// whatever the word; any other is an expression. A `$` without a `{` behind it stands for
/// itself.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, length) = next(rest)?;
        rest = &rest[length..];
        Some(piece)
    })
}

fn next(text: &str) -> Option<(Piece<'_>, usize)> {
    if text.is_empty() {
        return None;
    }
    let begin = dollars_before_brace(text);
    if begin > 0 {
        return Some((Piece::Literal(&text[..begin]), begin));
    }
    if text.starts_with("$$") {
        return Some((Piece::Escape, 2));
    }
    if let Some((scheme, behind)) = scheme(&text[2..]) {
        let Some(end) = behind.find('}') else {
            return Some((Piece::Unclosed(text), text.len()));
        };
        let length = 2 + scheme.len() + 1 + end + 1;
        let piece = Piece::Reference {
            whole: &text[..length],
            scheme,
            name: &behind[..end],
        };
        return Some((piece, length));
    }
    match closing_brace(&text[2..]) {
        Some(at) => {
            let length = 2 + at + 1;
            Some((Piece::Expression(&text[..length]), length))
        }
        None => Some((Piece::Unclosed(text), text.len())),
    }
}

/// Where the next run of `$` begins that a `{` follows; the end where there is none.
fn dollars_before_brace(text: &str) -> usize {
    text.find("${")
        .map_or(text.len(), |at| text[..at].trim_end_matches('$').len())
}

/// The word in front of a colon, and what is behind the colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (word, behind) = text.split_once(':')?;
    let good = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    good.then_some((word, behind))
}

/// Why a text cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoText<'t> {
    /// It has an expression in it, and this is no template.
    Expression(&'t str),
    /// It has a reference in it that nobody resolved.
    Unresolved(&'t str),
    /// It has a `${` in it that nothing closes.
    Unclosed,
}

impl Scalar {
    /// The text as it was written, references unresolved.
    pub fn source(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// The text for a target that is no template: references resolved, escapes undone.
    pub(super) fn plain(&self) -> Result<Cow<'_, str>, NoText<'_>> {
        let source = self.source();
        if !source.contains("${") {
            return Ok(Cow::Borrowed(source));
        }
        let mut resolved = self.resolved.iter();
        let mut text = String::new();
        for piece in pieces(source) {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Escape => text.push('$'),
                Piece::Reference { whole, .. } => {
                    text.push_str(resolved.next().ok_or(NoText::Unresolved(whole))?);
                }
                Piece::Expression(expression) => return Err(NoText::Expression(expression)),
                Piece::Unclosed(_) => return Err(NoText::Unclosed),
            }
        }
        Ok(Cow::Owned(text))
    }

    /// The text for a template: every `$` in what a reference resolved to is doubled, so that
    /// it stands for itself; the rest is as it was written.
    pub(super) fn template(&self) -> Cow<'_, str> {
        let Some(written) = &self.written else {
            return Cow::Borrowed(&self.text);
        };
        let mut resolved = self.resolved.iter();
        let mut text = String::new();
        for piece in pieces(written) {
            match piece {
                Piece::Literal(part) | Piece::Expression(part) | Piece::Unclosed(part) => {
                    text.push_str(part);
                }
                Piece::Escape => text.push_str("$$"),
                Piece::Reference { whole, .. } => match resolved.next() {
                    Some(value) => text.push_str(&value.replace('$', "$$")),
                    None => text.push_str(whole),
                },
            }
        }
        Cow::Owned(text)
    }

    /// Whether it is one reference and nothing else, and so takes the type of its value even in
    /// quotes (which YAML demands inside of `{ }`).
    pub(super) fn is_reference(&self) -> bool {
        let mut pieces = pieces(self.source());
        matches!(pieces.next(), Some(Piece::Reference { .. })) && pieces.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(written: &str, resolved: &[&str]) -> Scalar {
        Scalar {
            text: String::new(),
            written: Some(written.into()),
            resolved: resolved.iter().map(ToString::to_string).collect(),
            quoted: false,
        }
    }

    #[test]
    fn tells_references_from_expressions() {
        let text = r#"a${env:A}b${client.address}$${x}${has(a) ? {"}": 1} : 2}$5"#;
        let found: Vec<_> = pieces(text).collect();
        let reference = Piece::Reference {
            whole: "${env:A}",
            scheme: "env",
            name: "A",
        };
        assert_eq!(
            found,
            [
                Piece::Literal("a"),
                reference,
                Piece::Literal("b"),
                Piece::Expression("${client.address}"),
                Piece::Escape,
                Piece::Literal("{x}"),
                Piece::Expression(r#"${has(a) ? {"}": 1} : 2}"#),
                Piece::Literal("$5"),
            ]
        );
    }

    #[test]
    fn an_expression_ends_where_it_does_in_a_template() {
        for expression in [r#"${r"\"}"#, r#"${'''a'}''' + 'b'}"#, "${a // {\n}"] {
            let text = format!("{expression}${{env:A}}");
            let found: Vec<_> = pieces(&text).collect();
            assert_eq!(found[0], Piece::Expression(expression));
            assert!(matches!(found[1], Piece::Reference { .. }), "{found:?}");
        }
    }

    #[test]
    fn dollars_before_a_brace_pair_up_from_the_left() {
        let text = |written| scalar(written, &["v"]).plain().ok().map(Cow::into_owned);
        assert_eq!(text("$${a}").unwrap(), "${a}");
        assert_eq!(text("$$${env:A}").unwrap(), "$v");
        assert_eq!(text("$$$${a}").unwrap(), "$${a}");
        assert_eq!(text("$$ ${env:A}$$").unwrap(), "$$ v$$");
    }

    #[test]
    fn an_unclosed_brace_is_told() {
        assert_eq!(pieces("${env:A").next(), Some(Piece::Unclosed("${env:A")));
        assert_eq!(pieces("${a{}").next(), Some(Piece::Unclosed("${a{}")));
        assert_eq!(scalar("a ${b", &[]).plain(), Err(NoText::Unclosed));
    }

    #[test]
    fn resolved_text_is_never_taken_apart_again() {
        let scalar = scalar("Bearer ${env:T} $${y}", &["a${x}$1"]);
        assert_eq!(scalar.plain().unwrap(), "Bearer a${x}$1 ${y}");
        assert_eq!(scalar.template(), "Bearer a$${x}$$1 $${y}");
    }

    #[test]
    fn only_templates_take_expressions() {
        let scalar = scalar("${env:A}/${client.address}", &["x"]);
        assert_eq!(scalar.plain(), Err(NoText::Expression("${client.address}")));
        assert_eq!(scalar.template(), "x/${client.address}");
    }
}
