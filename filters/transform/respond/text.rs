//! Bodies: text with values in it, each escaped as the body's form demands.

use wiregate_sdk::template::Piece as Written;
use wiregate_sdk::value::{Node, Value, decode};
use wiregate_sdk::{Bytes, Expression, Facts, Invalid, Template};

/// What a body is, as far as values in it must be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transform) enum Form {
    /// Nothing has a meaning of its own.
    Plain,
    /// HTML, or some XML.
    Markup,
    /// JSON, in which values stand within quotes.
    Json,
}

impl Form {
    /// The form of a media type, without its parameters.
    pub(in crate::transform) fn of(essence: &str) -> Self {
        match essence {
            "text/html" | "text/xml" | "application/xml" => Self::Markup,
            "application/json" => Self::Json,
            _ if essence.ends_with("+xml") => Self::Markup,
            _ if essence.ends_with("+json") => Self::Json,
            _ => Self::Plain,
        }
    }

    fn push(self, out: &mut String, value: &str) {
        match self {
            Self::Plain => out.push_str(value),
            Self::Json => {
                let quoted = quoted(value);
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Self::Markup => {
                for c in value.chars() {
                    match c {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        '"' => out.push_str("&quot;"),
                        '\'' => out.push_str("&#39;"),
                        c => out.push(c),
                    }
                }
            }
        }
    }
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A compiled body.
#[derive(Debug)]
pub(in crate::transform) struct Text {
    form: Form,
    pieces: Vec<Piece>,
}

/// What a template is asked at load.
pub(in crate::transform) type Check = fn(&Template) -> Result<(), String>;

#[derive(Debug)]
enum Piece {
    Text(String),
    Value(Expression),
}

impl Text {
    /// A body of this form that is written as a template.
    pub(in crate::transform) fn template(template: &Template, form: Form) -> Self {
        let mut text = Self::new(form);
        for piece in template.pieces() {
            match piece {
                Written::Text(fixed) => text.fixed(fixed),
                Written::Expression(value) => text.pieces.push(Piece::Value(value.clone())),
            }
        }
        text
    }

    /// A body that is written as a value, whose texts are templates.
    ///
    /// # Errors
    /// What is wrong with those.
    pub(in crate::transform) fn json(value: &Value) -> Result<Self, Invalid> {
        let mut text = Self::value(value, "json", Template::check_early)?;
        text.fixed("\n");
        Ok(text)
    }

    /// A JSON value, whose texts are templates that stand this check, at this place in the options.
    ///
    /// # Errors
    /// What is wrong with those.
    pub(in crate::transform) fn value(
        value: &Value,
        place: &str,
        check: Check,
    ) -> Result<Self, Invalid> {
        let mut text = Self::new(Form::Json);
        let mut invalid = Invalid::default();
        text.json_value(value, place, check, &mut invalid);
        invalid.into_result()?;
        Ok(text)
    }

    fn new(form: Form) -> Self {
        Self {
            form,
            pieces: Vec::new(),
        }
    }

    /// The body, where it is the same for all exchanges.
    pub(in crate::transform) fn constant(&self) -> Option<Bytes> {
        match &*self.pieces {
            [] => Some(Bytes::new()),
            [Piece::Text(text)] => Some(text.clone().into()),
            _ => None,
        }
    }

    /// The text, where it is the same for all exchanges.
    pub(in crate::transform) fn fixed_text(&self) -> Option<String> {
        match &*self.pieces {
            [Piece::Text(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// The body for this exchange.
    ///
    /// # Errors
    /// Why an expression has no value.
    pub(in crate::transform) fn render(&self, facts: &Facts<'_>) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(value) => self.form.push(&mut out, &value.text(facts)?),
            }
        }
        Ok(out)
    }

    /// Adds fixed text, as it is.
    fn fixed(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    fn json_value(&mut self, value: &Value, path: &str, check: Check, invalid: &mut Invalid) {
        match &value.node {
            Node::Null => self.fixed("null"),
            Node::Scalar(_) => {
                if let Err(problem) = self.json_scalar(value, check) {
                    invalid.and(Invalid::at(path, problem));
                }
            }
            Node::List(items) => {
                self.fixed("[");
                for (position, item) in items.iter().enumerate() {
                    self.fixed(if position == 0 { "" } else { "," });
                    self.json_value(item, &format!("{path}[{position}]"), check, invalid);
                }
                self.fixed("]");
            }
            Node::Map(entries) => {
                self.fixed("{");
                for (position, (key, item)) in entries.iter().enumerate() {
                    self.fixed(if position == 0 { "" } else { "," });
                    self.fixed(&quoted(&key.name));
                    self.fixed(":");
                    self.json_value(item, &format!("{path}.{}", key.name), check, invalid);
                }
                self.fixed("}");
            }
        }
    }

    /// What is neither a number nor a boolean by the rules of YAML is a template.
    fn json_scalar(&mut self, value: &Value, check: Check) -> Result<(), String> {
        match decode::<serde_json::Value>(value) {
            Ok(serde_json::Value::Null) => {
                return Err(
                    "expected a number that JSON can write, found one that is not finite".into(),
                );
            }
            Ok(plain) if !plain.is_string() => {
                self.fixed(&plain.to_string());
                return Ok(());
            }
            _ => {}
        }
        let template = decode::<Template>(value).map_err(|problems| {
            let messages = problems.into_iter().map(|problem| problem.message);
            messages.collect::<Vec<_>>().join("; ")
        })?;
        check(&template)?;
        self.fixed("\"");
        for piece in template.pieces() {
            match piece {
                Written::Text(fixed) => {
                    let quoted = quoted(fixed);
                    self.fixed(&quoted[1..quoted.len() - 1]);
                }
                Written::Expression(value) => self.pieces.push(Piece::Value(value.clone())),
            }
        }
        self.fixed("\"");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(form: Form, value: &str) -> String {
        let mut out = String::new();
        form.push(&mut out, value);
        out
    }

    #[test]
    fn knows_the_form_of_a_media_type() {
        for (essence, form) in [
            ("text/html", Form::Markup),
            ("application/xhtml+xml", Form::Markup),
            ("image/svg+xml", Form::Markup),
            ("application/json", Form::Json),
            ("application/problem+json", Form::Json),
            ("text/plain", Form::Plain),
            ("text/csv", Form::Plain),
        ] {
            assert_eq!(Form::of(essence), form, "{essence}");
        }
    }

    proptest! {
        #[test]
        fn a_value_stays_one_text_in_json(value in ".*|[\"\\\\\u{0}-\u{1f}]*") {
            let text = format!("\"{}\"", escaped(Form::Json, &value));
            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
        }

        #[test]
        fn a_value_makes_no_markup(value in ".*|[<>&\"']*") {
            let text = escaped(Form::Markup, &value);
            prop_assert!(!text.contains(['<', '>', '"', '\'']));
        }
    }
}
