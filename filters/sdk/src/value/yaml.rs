//! YAML 1.2 text into values, under a budget.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag};

use super::budget::{Budget, MAX_DEPTH, Size};
use super::map::{Name, merge, name, unique};
use super::resolve::is_null;
use super::{Key, Node, Place, Problem, Scalar, Value, syntax};

/// How many problems one file reports at most.
const MAX_PROBLEMS: usize = 100;

/// Reads YAML 1.2: one document of maps, lists and scalars. Anchors, aliases and merge keys
/// (`<<`) work, within [`MAX_BYTES`](super::MAX_BYTES), [`MAX_NODES`](super::MAX_NODES) and
/// [`MAX_DEPTH`]. An empty text is
/// [`Node::Null`].
///
/// # Errors
/// Every problem of the text itself; the first one only where the syntax is broken.
pub fn read(file: &Arc<str>, text: &str) -> Result<Value, Vec<Problem>> {
    let mut reader = Reader::new(file, text);
    if let Err(problem) = reader.run() {
        reader.problems.push(problem);
    }
    if reader.problems.is_empty() {
        Ok(reader.root.take().unwrap_or_else(|| reader.nothing()))
    } else {
        reader.problems.truncate(MAX_PROBLEMS);
        Err(reader.problems)
    }
}

struct Reader<'t> {
    file: &'t Arc<str>,
    text: &'t str,
    open: Vec<Collection>,
    /// Up to where the parser has told what is there.
    told: usize,
    anchors: HashMap<usize, (Value, Size)>,
    budget: Budget,
    root: Option<Value>,
    documents: usize,
    problems: Vec<Problem>,
}

/// A list or a map whose end has not been read yet.
struct Collection {
    place: Place,
    anchor: usize,
    flow: bool,
    /// Where its bracket stands, as an offset in the text; a pair in a list (`[a: b]`) has none.
    bracket: Option<usize>,
    items: Items,
}

enum Items {
    List(Vec<Value>),
    Map {
        entries: Vec<(Key, Value)>,
        merged: Vec<Value>,
        key: Option<Name>,
    },
}

impl<'t> Reader<'t> {
    fn new(file: &'t Arc<str>, text: &'t str) -> Self {
        Self {
            file,
            text,
            open: Vec::new(),
            told: 0,
            anchors: HashMap::new(),
            budget: Budget::default(),
            root: None,
            documents: 0,
            problems: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Problem> {
        syntax::check_characters(self.file, self.text)?;
        for next in Parser::new_from_str(self.text) {
            let (event, span) = next.map_err(|error| self.broken(&error))?;
            self.told = span.end.byte_offset().unwrap_or(self.told).max(self.told);
            self.event(event, span)?;
            if self.problems.len() >= MAX_PROBLEMS {
                break;
            }
        }
        Ok(())
    }

    /// A syntax error; inside of brackets it may be these that are wrong.
    fn broken(&self, error: &ScanError) -> Problem {
        let brackets = self.open.iter().filter_map(|open| open.bracket).collect();
        let at = syntax::offset(self.text, error);
        // The parser has read on beyond what it has told of.
        let open = syntax::innermost(self.text, brackets, self.told, at);
        syntax::problem(self.file, self.text, error, open)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.count(span, text.len())?;
                let value = self.scalar(&text, style, tag.as_deref(), span);
                self.finish(value, anchor, span)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span);
                self.begin(span, anchor, style, Items::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span);
                let items = Items::Map {
                    entries: Vec::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.begin(span, anchor, style, items)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        let message = "expected one document, found a second";
        Err(Problem::new(self.place(span), message)
            .help("split it into files and name them under `include`"))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Value {
        let mut quoted = style != ScalarStyle::Plain;
        let mut null = !quoted && is_null(text);
        match tag.map(|tag| (tag, tag.core_suffix())) {
            None => {}
            Some((_, Some("str"))) => (quoted, null) = (true, false),
            Some((_, Some("int" | "float" | "bool"))) => quoted = false,
            Some((_, Some("null"))) => null = true,
            Some((tag, _)) => self.bad_tag(tag, span),
        }
        let node = if null {
            Node::Null
        } else {
            Node::Scalar(Scalar {
                text: text.to_owned(),
                written: None,
                resolved: Vec::new(),
                quoted,
            })
        };
        Value {
            place: self.place(span),
            node,
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, core: &str, span: Span) {
        if let Some(tag) = tag
            && !tag.is_yaml_core_schema_tag(core)
        {
            self.bad_tag(tag, span);
        }
    }

    fn bad_tag(&mut self, tag: &Tag, span: Span) {
        let place = self.place(span.tag_span().unwrap_or(span));
        let message = format!("the tag `{}` is not possible here", tag.original());
        self.problems.push(Problem::new(place, message));
    }

    fn begin(
        &mut self,
        span: Span,
        anchor: usize,
        style: StructureStyle,
        items: Items,
    ) -> Result<(), Problem> {
        self.count(span, 0)?;
        let place = self.place(span);
        if self.open.len() >= MAX_DEPTH {
            return Err(syntax::too_deep(place));
        }
        let flow = style == StructureStyle::Flow;
        let begin = span.start.byte_offset().filter(|_| flow);
        let bracket = |at: &usize| matches!(self.text.as_bytes().get(*at), Some(b'[' | b'{'));
        self.open.push(Collection {
            place,
            anchor,
            flow,
            bracket: begin.filter(bracket),
            items,
        });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Problem> {
        let collection = self.open.pop().expect("an end follows its beginning");
        let mut place = collection.place;
        let node = match collection.items {
            Items::List(items) => Node::List(items),
            Items::Map {
                entries, merged, ..
            } => {
                if let Some((key, _)) = entries.first()
                    && !collection.flow
                    && key.place.line == place.line
                {
                    place = key.place.clone();
                }
                Node::Map(unique(entries, merged, &mut self.problems))
            }
        };
        if collection.flow && line(span.end) == place.line {
            place.width = (column(span.end).saturating_sub(place.column)).max(1);
        }
        self.finish(Value { place, node }, collection.anchor, span)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Problem> {
        let place = self.place(span);
        // The parser knows every anchor; what is missing here is still being read.
        let Some((value, size)) = self.anchors.get(&anchor) else {
            let name = span.slice(self.text).unwrap_or("*");
            return Err(Problem::new(
                place,
                format!("`{name}` stands inside of what it refers to"),
            ));
        };
        let (value, size) = (value.clone(), *size);
        self.charge(size, span)?;
        if self.open.len() + size.depth > MAX_DEPTH {
            return Err(syntax::too_deep(place));
        }
        self.add(value, place)
    }

    /// Takes a complete value, and keeps a copy where aliases may ask for it.
    fn finish(&mut self, value: Value, anchor: usize, span: Span) -> Result<(), Problem> {
        if anchor != 0 {
            let size = Size::of(&value);
            self.charge(size, span)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let place = value.place.clone();
        self.add(value, place)
    }

    /// Puts a value where it belongs: `place` is where it stands, which for an alias is not where
    /// it was written.
    fn add(&mut self, value: Value, place: Place) -> Result<(), Problem> {
        let Some(collection) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        let Items::Map {
            entries,
            merged,
            key,
        } = &mut collection.items
        else {
            if let Items::List(items) = &mut collection.items {
                items.push(value);
            }
            return Ok(());
        };
        match key.take() {
            None => match name(value, place) {
                Ok(name) => *key = Some(name),
                Err(problem) => {
                    *key = Some(Name::Bad);
                    self.problems.push(problem);
                }
            },
            Some(Name::Key(name)) => {
                let mut value = value;
                if value.node == Node::Null && value.place == place {
                    value.place = name.place.clone();
                }
                entries.push((name, value));
            }
            Some(Name::Merge(at)) => match merge(value, at) {
                Ok(values) => merged.extend(values),
                Err(problem) => self.problems.push(problem),
            },
            Some(Name::Bad) => {}
        }
        Ok(())
    }

    fn count(&mut self, span: Span, bytes: usize) -> Result<(), Problem> {
        self.charge(Size::single(bytes), span)
    }

    fn charge(&mut self, size: Size, span: Span) -> Result<(), Problem> {
        self.budget.charge(size).map_err(|message| {
            Problem::new(self.place(span), message)
                .help("each alias (`*name`) counts as all that it stands for")
        })
    }

    fn place(&self, span: Span) -> Place {
        let first = span
            .slice(self.text)
            .and_then(|text| text.lines().next())
            .map_or(0, |text| text.trim_end().chars().count());
        Place {
            file: self.file.clone(),
            line: line(span.start),
            column: column(span.start),
            width: clamp(first).max(1),
        }
    }

    fn nothing(&self) -> Value {
        Value {
            place: Place {
                file: self.file.clone(),
                line: 1,
                column: 1,
                width: 1,
            },
            node: Node::Null,
        }
    }
}

fn line(marker: Marker) -> u32 {
    clamp(marker.line())
}

fn column(marker: Marker) -> u32 {
    clamp(marker.col() + 1)
}

fn clamp(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
