//! A document that is opened where it is changed: all else leaves byte for byte as it came.

use super::path::{Name, Step};
use super::scan::{check_members, end_of_value, skip_blanks};

/// So many members an object has, as a rule.
const FEW_MEMBERS: usize = 8;
/// An object of more members is opened where one of them is changed.
const MOST_MEMBERS: usize = 64;

/// A value of a document.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// As it came, or as it was made before: JSON.
    Raw(&'a [u8]),
    Object(Vec<Member<'a>>),
    Array(Vec<Node<'a>>),
}

/// A member of an object; the name as JSON, quotes included.
#[derive(Debug)]
pub(super) struct Member<'a> {
    name: &'a [u8],
    value: Node<'a>,
}

/// A document does not have the form that a change needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit;

impl<'a> Node<'a> {
    /// The document that these bytes are. An object of few members is open.
    ///
    /// # Errors
    /// Why they are not JSON.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, String> {
        let (mut members, mut count) = (Vec::new(), 0_usize);
        check_members(text, |member| {
            count += 1;
            if count == 1 {
                members.reserve_exact(FEW_MEMBERS);
            }
            if count <= MOST_MEMBERS {
                members.push(Member {
                    name: member.name(),
                    value: Self::Raw(member.value()),
                });
            }
        })?;
        Ok(match count {
            1..=MOST_MEMBERS => Self::Object(members),
            _ => Self::Raw(text.trim_ascii()),
        })
    }

    /// Sets what stands where these steps lead. Objects that are missing on the way are made; so is
    /// an element behind the last one.
    pub(super) fn set(&mut self, steps: &'a [Step], value: &'a str) -> Result<(), Misfit> {
        let Some((step, rest)) = steps.split_first() else {
            *self = Node::Raw(value.as_bytes());
            return Ok(());
        };
        match step {
            Step::Member(name) => {
                if self.is_null() {
                    *self = Node::Object(Vec::new());
                }
                let members = self.object().ok_or(Misfit)?;
                only(members, name);
                let position = members.iter().position(|member| member.is(name));
                let position = position.unwrap_or_else(|| {
                    members.push(Member::new(name));
                    members.len() - 1
                });
                members[position].value.set(rest, value)
            }
            Step::Element(index) => {
                let items = self.array().ok_or(Misfit)?;
                if *index == items.len() {
                    items.push(Node::Raw(b"null"));
                }
                items.get_mut(*index).ok_or(Misfit)?.set(rest, value)
            }
            Step::Each if self.is_null() => Ok(()),
            Step::Each => {
                for child in self.children().ok_or(Misfit)? {
                    child.set(rest, value)?;
                }
                Ok(())
            }
        }
    }

    /// Calls with what holds the last of these steps, wherever the others lead; what is not there
    /// is passed over.
    pub(super) fn reach(&mut self, steps: &[Step], act: &mut impl FnMut(&mut Self, &Step)) {
        let Some((step, rest)) = steps.split_first() else {
            return;
        };
        if rest.is_empty() {
            return act(self, step);
        }
        match step {
            Step::Member(name) => {
                let members = self.object().into_iter().flatten();
                for member in members.filter(|member| member.is(name)) {
                    member.value.reach(rest, act);
                }
            }
            Step::Element(index) => {
                if let Some(child) = self.array().and_then(|items| items.get_mut(*index)) {
                    child.reach(rest, act);
                }
            }
            Step::Each => {
                for child in self.children().into_iter().flatten() {
                    child.reach(rest, act);
                }
            }
        }
    }

    /// Takes out what this step leads to: the last value where there are several of one name, all
    /// of which go. Nothing where there is none.
    pub(super) fn take(&mut self, step: &Step) -> Option<Node<'a>> {
        match step {
            Step::Member(name) => {
                let members = self.object()?;
                only(members, name);
                let position = members.iter().position(|member| member.is(name))?;
                Some(members.remove(position).value)
            }
            Step::Element(index) => {
                let items = self.array()?;
                (*index < items.len()).then(|| items.remove(*index))
            }
            Step::Each => {
                match self.open() {
                    Node::Object(members) => members.clear(),
                    Node::Array(items) => items.clear(),
                    _ => return None,
                }
                None
            }
        }
    }

    /// Gives a member another name; it stays where it is, and takes the place of one that has that
    /// name. Whether there is such a member.
    pub(super) fn rename(&mut self, from: &Name, to: &'a Name) -> bool {
        let Some(members) = self.object() else {
            return false;
        };
        if !members.iter().any(|member| member.is(from)) {
            return false;
        }
        only(members, from);
        members.retain(|member| from == to || !member.is(to));
        for member in members.iter_mut().filter(|member| member.is(from)) {
            member.name = to.quoted();
        }
        true
    }

    /// Puts a value where these steps lead, as [`Node::set`] does.
    pub(super) fn put(&mut self, steps: &'a [Step], value: Node<'a>) -> Result<(), Misfit> {
        self.set(steps, "null")?;
        let mut value = Some(value);
        self.reach(steps, &mut |holder, step| {
            let place = match step {
                Step::Member(name) => (holder.object().into_iter().flatten())
                    .find(|member| member.is(name))
                    .map(|member| &mut member.value),
                Step::Element(index) => holder.array().and_then(|items| items.get_mut(*index)),
                Step::Each => None,
            };
            if let (Some(place), Some(value)) = (place, value.take()) {
                *place = value;
            }
        });
        Ok(())
    }

    /// How many bytes it has where it is written.
    pub(super) fn length(&self) -> u64 {
        let (count, parts): (usize, u64) = match self {
            Self::Raw(text) => return text.len() as u64,
            Self::Object(members) => {
                let parts = members.iter();
                let parts = parts.map(|it| it.name.len() as u64 + 1 + it.value.length());
                (members.len(), parts.sum())
            }
            Self::Array(items) => (items.len(), items.iter().map(Self::length).sum()),
        };
        // The brackets, and a comma between two parts.
        2 + parts + (count as u64).saturating_sub(1)
    }

    /// Writes the document.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Raw(text) => out.extend_from_slice(text),
            Self::Object(members) => {
                out.push(b'{');
                for (position, member) in members.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(member.name);
                    out.push(b':');
                    member.value.write(out);
                }
                out.push(b'}');
            }
            Self::Array(items) => {
                out.push(b'[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Raw(b"null"))
    }

    /// Itself, opened where it is an object or an array.
    fn open(&mut self) -> &mut Self {
        if let Self::Raw(text) = *self {
            match text.first() {
                Some(b'{') => *self = Self::Object(members(text)),
                Some(b'[') => *self = Self::Array(items(text)),
                _ => {}
            }
        }
        self
    }

    fn object(&mut self) -> Option<&mut Vec<Member<'a>>> {
        match self.open() {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    fn array(&mut self) -> Option<&mut Vec<Node<'a>>> {
        match self.open() {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    fn children(&mut self) -> Option<Vec<&mut Node<'a>>> {
        match self.open() {
            Self::Object(members) => Some(members.iter_mut().map(|m| &mut m.value).collect()),
            Self::Array(items) => Some(items.iter_mut().collect()),
            _ => None,
        }
    }
}

impl<'a> Member<'a> {
    fn new(name: &'a Name) -> Self {
        Self {
            name: name.quoted(),
            value: Node::Raw(b"null"),
        }
    }

    /// Whether this is its name, however that is written.
    fn is(&self, name: &Name) -> bool {
        self.name == name.quoted() || self.name.contains(&b'\\') && name.is_meant_by(self.name)
    }
}

/// Leaves the last member of this name only: the one that most readers take.
fn only(members: &mut Vec<Member<'_>>, name: &Name) {
    let mut left = members.iter().filter(|member| member.is(name)).count();
    if left > 1 {
        members.retain(|member| {
            let is_one = member.is(name);
            left -= usize::from(is_one);
            !is_one || left == 0
        });
    }
}

fn members(text: &[u8]) -> Vec<Member<'_>> {
    let mut members = Vec::new();
    let mut at = skip_blanks(text, 1);
    while text[at] != b'}' {
        let end = end_of_value(text, at);
        let name = &text[at..end];
        at = skip_blanks(text, skip_blanks(text, end) + 1);
        let end = end_of_value(text, at);
        let value = Node::Raw(&text[at..end]);
        members.push(Member { name, value });
        at = behind_comma(text, end);
    }
    members
}

fn items(text: &[u8]) -> Vec<Node<'_>> {
    let mut items = Vec::new();
    let mut at = skip_blanks(text, 1);
    while text[at] != b']' {
        let end = end_of_value(text, at);
        items.push(Node::Raw(&text[at..end]));
        at = behind_comma(text, end);
    }
    items
}

/// Where the next item stands, or the closing bracket.
fn behind_comma(text: &[u8], from: usize) -> usize {
    let at = skip_blanks(text, from);
    if text[at] == b',' {
        return skip_blanks(text, at + 1);
    }
    at
}
