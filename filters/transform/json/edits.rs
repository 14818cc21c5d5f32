//! Changes by path.

use std::borrow::Cow;

use wiregate_sdk::types::{OneOrMany, Pairs};
use wiregate_sdk::value::Raw;
use wiregate_sdk::{Facts, Invalid};

use super::document::Node;
use super::path::{Name, Path, Step};
use crate::transform::respond::text::Text;
use crate::transform::sides;

/// Changes by path, in the order in which they are made.
#[derive(Debug, Default)]
pub(super) struct Edits {
    remove: Vec<Path>,
    rename: Vec<(Path, Name)>,
    moved: Vec<(Path, Path)>,
    set: Vec<(Path, Value)>,
}

#[derive(Debug)]
enum Value {
    Constant(String),
    Rendered(Text),
}

/// Why no other document is made.
#[derive(Debug)]
pub(super) enum Unmade {
    /// What the document has in the place of what a change needs.
    Misfit(String),
    /// It would be larger than a body may be.
    TooLarge,
}

/// The values of one exchange, in the order of what is set.
pub(super) type Values<'a> = Vec<Cow<'a, str>>;

impl Edits {
    /// Compiles what was written below `at`.
    ///
    /// # Errors
    /// Every problem with it.
    pub(super) fn new(
        at: &str,
        remove: Option<OneOrMany<Path>>,
        rename: Pairs<Path, String>,
        moved: Pairs<Path, Path>,
        set: Pairs<Path, Raw>,
    ) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        for (path, _) in rename.iter().filter(|(path, _)| !path.ends_with_member()) {
            let message = format!("expected the path of a member, found `{path}`");
            invalid.and(Invalid::at(format!("{at}.rename.{path}"), message));
        }
        for (from, to) in moved.iter() {
            let place = format!("{at}.move.{from}");
            if from.is_several() || to.is_several() {
                let message = "expected one place to move from and to, found `[*]`";
                invalid.and(Invalid::at(place, message));
            } else if from.overlaps(to) {
                let message = format!("expected another place than `{from}`, found `{to}`");
                invalid.and(Invalid::at(place, message));
            }
        }
        let (mut values, check) = (Vec::new(), sides::check_template(at));
        for (path, Raw(value)) in set {
            match Text::value(&value, &format!("{at}.set.{path}"), check) {
                Ok(text) => values.push((path, Value::new(text))),
                Err(problem) => invalid.and(problem),
            }
        }
        invalid.into_result()?;
        Ok(Self {
            remove: remove.map(OneOrMany::into_vec).unwrap_or_default(),
            rename: (rename.into_iter())
                .map(|(path, name)| (path, name.as_str().into()))
                .collect(),
            moved: moved.into_iter().collect(),
            set: values,
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.moved.is_empty()
            && self.set.is_empty()
    }

    /// The values to set in this exchange.
    ///
    /// # Errors
    /// Why an expression has no value.
    pub(super) fn values(&self, facts: &Facts<'_>) -> Result<Values<'static>, String> {
        let rendered = self.set.iter().filter_map(|(_, value)| match value {
            Value::Constant(_) => None,
            Value::Rendered(text) => Some(text.render(facts).map(Cow::Owned)),
        });
        rendered.collect()
    }

    /// How many bytes, about, each value of a document may get by what is done in many places.
    pub(super) fn growth(&self, values: &Values<'_>) -> usize {
        let mut rendered = values.iter();
        let set = self.set.iter().map(|(path, value)| {
            let value = value.text(&mut rendered);
            (path, path.len() + value.len())
        });
        let renamed = self
            .rename
            .iter()
            .map(|(path, name)| (path, name.quoted().len()));
        let several = set.chain(renamed).filter(|(path, _)| path.is_several());
        several.map(|(_, length)| length).sum()
    }

    /// Makes the changes in a document. `None` where there is nothing to change. What would be
    /// larger than `limit` is not begun.
    ///
    /// # Errors
    /// Why no other document is made.
    pub(super) fn apply<'a>(
        &'a self,
        mut document: Node<'a>,
        values: &'a Values<'_>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Unmade> {
        let mut changed = !self.set.is_empty();
        for path in &self.remove {
            document.reach(&path.steps, &mut |holder, step| {
                changed |= holder.take(step).is_some() || *step == Step::Each;
            });
        }
        for (path, name) in &self.rename {
            document.reach(&path.steps, &mut |holder, step| {
                if let Step::Member(from) = step {
                    changed |= holder.rename(from, name);
                }
            });
        }
        for (from, to) in &self.moved {
            let mut taken = None;
            document.reach(&from.steps, &mut |holder, step| {
                taken = holder.take(step).or(taken.take())
            });
            if let Some(value) = taken {
                changed = true;
                document.put(&to.steps, value).map_err(|_| misfit(to))?;
            }
        }
        let mut rendered = values.iter();
        for (path, value) in &self.set {
            let value = value.text(&mut rendered);
            document.set(&path.steps, value).map_err(|_| misfit(path))?;
        }
        if !changed {
            return Ok(None);
        }
        let length = document.length();
        if length > limit {
            return Err(Unmade::TooLarge);
        }
        let mut out = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        document.write(&mut out);
        Ok(Some(out))
    }
}

impl Value {
    fn new(text: Text) -> Self {
        match text.fixed_text() {
            Some(constant) => Self::Constant(constant),
            None => Self::Rendered(text),
        }
    }

    /// Itself, or the next of those that were rendered.
    fn text<'a>(&'a self, rendered: &mut std::slice::Iter<'a, Cow<'_, str>>) -> &'a str {
        match self {
            Self::Constant(text) => text,
            Self::Rendered(_) => rendered.next().expect("a value for each that is rendered"),
        }
    }
}

fn misfit(path: &Path) -> Unmade {
    Unmade::Misfit(format!(
        "expected objects and arrays on the way to `{path}`, found something else"
    ))
}
