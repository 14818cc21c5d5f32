//! Kinds of bodies.

use wiregate_sdk::HeaderValue;

/// What kind of body a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Html,
    Xml,
    Text,
}

impl Form {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Xml => "xml",
            Self::Text => "text",
        }
    }

    /// The media type where none is written.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
            Self::Xml => "application/xml",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

/// A text with U+FFFD for each character that no XML document may have (XML 1.0, 2.2), escaped or
/// not; `None` where it has none of them.
pub(super) fn mended_for_xml(text: &str) -> Option<String> {
    let is_wrong = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    text.contains(is_wrong)
        .then(|| text.replace(is_wrong, "\u{fffd}"))
}
