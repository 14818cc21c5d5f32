//! Text with `${…}` in it.

mod read;
mod scan;

use std::borrow::Cow;
use std::fmt;

use http::HeaderValue;

use crate::types::found;
use crate::{Expression, Facts};
pub(crate) use scan::closing_brace;

/// Text with expressions in it, compiled at load: `hello ${request.query.name}`.
///
/// Between `${` and its `}` stands an [`Expression`]; braces and quotes in it nest. `$$` is a
/// literal `$`, and so `$${` a literal `${`; a single `$` before anything else stands for itself.
///
/// `Debug` shows none of the text: it may have come from a secret.
///
/// ```
/// use wiregate_sdk::Template;
///
/// assert!(Template::parse("hello ${request.query.name}").is_ok());
/// assert_eq!(Template::parse("$${x} for 5$").unwrap().constant(), Some("${x} for 5$"));
/// assert_eq!(
///     Template::parse("hello ${request.query.name").unwrap_err(),
///     "expected `}` after `${`, found `request.query.name`",
/// );
/// ```
#[derive(Clone)]
pub struct Template(Text);

#[derive(Clone)]
enum Text {
    /// With the field value that it makes, where it can be one.
    Constant(Box<str>, Option<HeaderValue>),
    Parts(Box<[Part]>),
}

#[derive(Clone)]
enum Part {
    Text(Box<str>),
    Expression(Expression),
}

/// A piece of a template, for those who write each value as its place demands: escaped, encoded.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Fixed text, escapes undone.
    Text(&'a str),
    /// What is between `${` and `}`.
    Expression(&'a Expression),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence: a `${` without its `}`, or an expression that does
    /// not compile or has no text.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            rest = if let Some(opened) = after.strip_prefix('{') {
                let end = closing_brace(opened)
                    .ok_or_else(|| format!("expected `}}` after `${{`, found {}", found(opened)))?;
                let expression = compile(opened[..end].trim())?;
                match expression.constant() {
                    Some(constant) => text.push_str(constant),
                    None => {
                        parts.extend(literal(&mut text));
                        parts.push(Part::Expression(expression));
                    }
                }
                &opened[end + 1..]
            } else {
                text.push('$');
                after.strip_prefix('$').unwrap_or(after)
            };
        }
        text.push_str(rest);
        if parts.is_empty() {
            let header = field_value(Cow::Borrowed(&text));
            return Ok(Self(Text::Constant(text.into(), header)));
        }
        parts.extend(literal(&mut text));
        Ok(Self(Text::Parts(parts.into())))
    }

    /// The text, where no expression is in it.
    pub fn constant(&self) -> Option<&str> {
        match &self.0 {
            Text::Constant(text, _) => Some(text),
            Text::Parts(_) => None,
        }
    }

    /// The pieces in their order; none where the text is empty.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let (text, parts) = match &self.0 {
            Text::Constant(text, _) => (Some(&**text).filter(|text| !text.is_empty()), &[][..]),
            Text::Parts(parts) => (None, &**parts),
        };
        let parts = parts.iter().map(|part| match part {
            Part::Text(text) => Piece::Text(text),
            Part::Expression(expression) => Piece::Expression(expression),
        });
        text.map(Piece::Text).into_iter().chain(parts)
    }

    /// The text for this exchange. Nothing is copied where the template is a constant, or a
    /// single expression whose value stands in the request.
    ///
    /// # Errors
    /// Why an expression has no value.
    pub fn render<'a>(&'a self, facts: &Facts<'a>) -> Result<Cow<'a, str>, String> {
        let parts = match &self.0 {
            Text::Constant(text, _) => return Ok(Cow::Borrowed(text)),
            Text::Parts(parts) => parts,
        };
        if let [Part::Expression(expression)] = &**parts {
            return expression.text(facts);
        }
        let mut rendered = String::new();
        for part in parts {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Expression(expression) => rendered.push_str(&expression.text(facts)?),
            }
        }
        Ok(rendered.into())
    }

    /// The text for this exchange as the value of a header field, without blanks around it
    /// (RFC 9110, 5.5).
    ///
    /// `None` where an expression has no value, and where the text holds a control character
    /// other than the tab. Such a text is refused as a whole, not mended: what a client smuggled
    /// a line feed into is not worth keeping. The caller leaves the field as if it had not been
    /// configured, and counts.
    pub fn render_header(&self, facts: &Facts<'_>) -> Option<HeaderValue> {
        match &self.0 {
            Text::Constant(_, value) => value.clone(),
            Text::Parts(_) => field_value(self.render(facts).ok()?),
        }
    }

    /// The value of a header field that the text makes, where no expression is in it.
    pub fn constant_header(&self) -> Option<&HeaderValue> {
        match &self.0 {
            Text::Constant(_, value) => value.as_ref(),
            Text::Parts(_) => None,
        }
    }

    /// Whether it can be made before there is a response.
    ///
    /// # Errors
    /// An expression in it goes by the response, which would always be nothing there.
    pub fn check_early(&self) -> Result<(), String> {
        let mut pieces = self.pieces();
        pieces.try_for_each(|piece| match piece {
            Piece::Text(_) => Ok(()),
            Piece::Expression(expression) => expression.check_early(),
        })
    }

    /// Whether the fixed part of the text can stand in a header field.
    ///
    /// # Errors
    /// That it cannot.
    pub fn check_header(&self) -> Result<(), String> {
        let fits = match &self.0 {
            Text::Constant(_, value) => value.is_some(),
            Text::Parts(parts) => parts.iter().all(|part| match part {
                Part::Text(text) => HeaderValue::from_bytes(text.as_bytes()).is_ok(),
                Part::Expression(_) => true,
            }),
        };
        if fits {
            Ok(())
        } else {
            Err("expected the value of a header field, found a control character in it".into())
        }
    }
}

fn compile(source: &str) -> Result<Expression, String> {
    let expression = Expression::parse(source).and_then(|expression| {
        expression.check_text()?;
        Ok(expression)
    });
    expression.map_err(|error| format!("in {}: {error}", found(&format!("${{{source}}}"))))
}

/// The text read so far, as a part of its own.
fn literal(text: &mut String) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Text(std::mem::take(text).into()))
}

fn field_value(text: Cow<'_, str>) -> Option<HeaderValue> {
    let trimmed = text.trim_matches([' ', '\t']);
    if trimmed.len() == text.len() {
        return match text {
            Cow::Borrowed(text) => HeaderValue::from_bytes(text.as_bytes()).ok(),
            Cow::Owned(text) => HeaderValue::try_from(text).ok(),
        };
    }
    HeaderValue::from_bytes(trimmed.as_bytes()).ok()
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Template")
    }
}

#[cfg(test)]
mod tests;
