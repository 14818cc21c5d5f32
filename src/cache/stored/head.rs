//! The head of a stored response, in as little memory as can be.
//!
//! A `HeaderMap` has a table and links beside its fields, is made by hashing each name, and is taken apart again when the entry goes. What is
//! stored is never looked up by many names: it is one text, the lines of an HTTP/1.1 head, which leaves as it is where nothing has to be
//! changed. Where something has, the response gets a map of its own.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;
use smallvec::SmallVec;

use super::super::store::{allocated, will_write};
use super::names;

/// A head is made in memory that is larger than it by no more than this part of it: blocks come in steps like that.
const WASTE: usize = 8;

/// What stands between a name and its value, and behind that.
const COLON: &[u8] = b": ";
const END: &[u8] = b"\r\n";

/// Status and fields of a stored response, those of one name in their order. Reason phrase and spelling of names are not
/// kept.
#[derive(Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// A [mark](Mark) for each field, the lines of all fields, and what has been [put behind](Head::put_behind) that.
    text: Vec<u8>,
    /// How many fields there are.
    fields: u32,
    /// Where the lines end that [are sent](Head::wire), behind which there are those of `content-length`.
    wire: u32,
    /// Where its own text ends.
    end: u32,
    /// Whether it has a field that is [replaced](names::is_replaced) when it is sent.
    replaced: bool,
}

/// A field as its line has it.
#[derive(Clone, Copy)]
pub(super) struct Line<'h> {
    mark: Mark,
    /// As it is spelt on a connection.
    name: &'h [u8],
    pub(super) value: &'h [u8],
}

/// What is to be known of a line without reading it.
#[derive(Clone, Copy)]
struct Mark {
    /// The number of the name, if it is known.
    known: Option<u8>,
    sensitive: bool,
    /// The lengths of name and value.
    name: u16,
    value: u32,
}

/// The fields of a head that is about to be made.
#[derive(Default)]
pub struct Draft<'h> {
    /// The lines that are sent.
    sent: SmallVec<[Line<'h>; 16]>,
    /// Those of `content-length`.
    lengths: SmallVec<[Line<'h>; 1]>,
    /// How long all of them are.
    length: usize,
    replaced: bool,
}

impl<'h> Draft<'h> {
    /// Adds a field.
    #[inline]
    pub fn add(&mut self, name: &'h HeaderName, value: &'h HeaderValue) {
        let line = Line::of(name, value);
        self.length += line.mark.length();
        self.replaced |= names::is_replaced(name, line.mark.known);
        match names::is_length(line.mark.known) {
            true => self.lengths.push(line),
            false => self.sent.push(line),
        }
    }

    fn fields(&self) -> usize {
        self.sent.len() + self.lengths.len()
    }

    /// How many bytes a head of these fields takes.
    pub fn bytes(&self) -> usize {
        self.fields() * Mark::BYTES + self.length
    }

    /// A head of these fields, which holds on to no buffer that they were read from, with room for so many bytes to be
    /// [put behind it](Head::put_behind). It is made in the `spare` memory, where that is about as large as it has to be.
    pub fn head(&self, status: StatusCode, room: usize, spare: Vec<u8>) -> Head {
        let (fields, bytes) = (self.fields(), self.bytes() + room);
        let mut text = spare;
        text.clear();
        if !(bytes..=bytes + bytes / WASTE).contains(&text.capacity()) {
            text = Vec::with_capacity(bytes);
        }
        will_write(&text.spare_capacity_mut()[..bytes]);
        for lines in [&self.sent[..], &self.lengths] {
            for line in lines {
                text.extend_from_slice(&line.mark.bytes());
            }
        }
        self.sent.iter().for_each(|line| line.write(&mut text));
        let wire = place(text.len());
        self.lengths.iter().for_each(|line| line.write(&mut text));
        let (fields, end) = (place(fields), place(text.len()));
        Head {
            status,
            text,
            fields,
            wire,
            end,
            replaced: self.replaced,
        }
    }
}

impl Head {
    /// A head of these fields, which holds on to no buffer that they were read from.
    pub fn new(status: StatusCode, fields: &[(&HeaderName, &HeaderValue)]) -> Self {
        let mut draft = Draft::default();
        for (name, value) in fields {
            draft.add(name, value);
        }
        draft.head(status, 0, Vec::new())
    }

    /// Puts something behind its text, in the place of what has been there: whoever keeps both has one allocation
    /// for them.
    pub fn put_behind<const N: usize>(&mut self, texts: [&[u8]; N]) {
        self.text.truncate(self.end as usize);
        self.text
            .reserve_exact(texts.iter().map(|text| text.len()).sum());
        for text in texts {
            self.text.extend_from_slice(text);
        }
    }

    /// What was put behind its text.
    pub fn behind(&self) -> &[u8] {
        &self.text[self.end as usize..]
    }

    /// All fields but `content-length`, as they are sent on an HTTP/1.1 connection: each a line with its end.
    pub fn wire(&self) -> &[u8] {
        &self.text[self.start()..self.wire as usize]
    }

    /// Adds the same to a text, but for fields that are replaced when it is sent, and those of another name.
    pub fn put_without(&self, other: Option<&HeaderName>, text: &mut Vec<u8>) {
        if !self.replaced && other.is_none_or(|name| self.find(name).is_none()) {
            return text.extend_from_slice(self.wire()); // as nearly always
        }
        let others = names::REPLACED.iter().chain(other);
        let is_other = |line: &Line<'_>| others.clone().any(|name| line.is(name));
        let lines = self.iter().filter(|line| !line.is(&header::CONTENT_LENGTH));
        for line in lines.filter(|line| !is_other(line)) {
            line.write(text);
        }
    }

    /// The memory that its text is in.
    pub fn into_spare(self) -> Vec<u8> {
        self.text
    }

    /// All that it holds, with what is behind it.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the lines begin.
    fn start(&self) -> usize {
        self.fields as usize * Mark::BYTES
    }

    fn lines(&self) -> &[u8] {
        &self.text[self.start()..self.end as usize]
    }

    fn marks(&self) -> impl ExactSizeIterator<Item = Mark> {
        let marks = self.text[..self.start()].chunks_exact(Mark::BYTES);
        marks.map(Mark::read)
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        let mut rest = self.lines();
        self.marks().map(move |mark| {
            let (line, others) = rest.split_at(mark.length());
            rest = others;
            let (name, value) = (&line[..mark.name.into()], &line[mark.value_in_line()]);
            Line { mark, name, value }
        })
    }

    /// The first value under a name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        let (mark, line) = self.find(name)?;
        Some(&line[mark.value_in_line()])
    }

    /// The first line of a name, and what there is behind it.
    fn find(&self, name: &HeaderName) -> Option<(Mark, &[u8])> {
        let (known, own) = (names::number(name), name.as_str().as_bytes());
        let mut rest = self.lines();
        for mark in self.marks() {
            if mark.known == known && (known.is_some() || rest[..mark.name.into()] == *own) {
                return Some((mark, rest));
            }
            rest = &rest[mark.length()..];
        }
        None
    }

    /// As the head of a response, with room for so many fields more.
    pub fn parts(&self, room: usize) -> Parts {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = self.status;
        // There may be as many as a map can have.
        let map = HeaderMap::try_with_capacity(self.fields as usize + room);
        parts.headers = map.unwrap_or_default();
        // A copy that the values share: those of a response change no count that other workers change.
        let lines = Bytes::copy_from_slice(self.lines());
        let mut at = 0;
        for line in self.iter() {
            let place = line.mark.value_in_line();
            let value = lines.slice(at + place.start..at + place.end);
            let value = HeaderValue::from_maybe_shared(value);
            let mut value = value.expect("it was a field's value before");
            value.set_sensitive(line.mark.sensitive);
            parts.headers.append(line.to_name(), value);
            at += line.mark.length();
        }
        parts
    }

    /// The same, as Pingora has it.
    pub fn response(&self) -> ResponseHeader {
        self.parts(0).into()
    }

    /// The memory that it takes beside its own size, with what is behind its text.
    pub(super) fn allocated(&self) -> usize {
        allocated(self.text.capacity())
    }
}

impl<'h> Line<'h> {
    #[inline]
    fn of(name: &'h HeaderName, value: &'h HeaderValue) -> Self {
        let known = names::number(name);
        let spelt = known.map_or(name.as_str(), |known| names::spelt(known));
        Self {
            mark: Mark {
                known,
                sensitive: value.is_sensitive(),
                name: u16::try_from(spelt.len()).expect("no name is longer"),
                value: place(value.len()),
            },
            name: spelt.as_bytes(),
            value: value.as_bytes(),
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.name);
        text.extend_from_slice(COLON);
        text.extend_from_slice(self.value);
        text.extend_from_slice(END);
    }

    fn to_name(self) -> HeaderName {
        match self.mark.known {
            Some(number) => names::name(number).clone(),
            None => HeaderName::from_bytes(self.name).expect("it was a field's name before"),
        }
    }

    fn is(&self, name: &HeaderName) -> bool {
        self.name() == name.as_str().as_bytes()
    }

    /// The name, in lower case.
    pub(super) fn name(&self) -> &[u8] {
        let known = self.mark.known.map(names::name);
        known.map_or(self.name, |known| known.as_str().as_bytes())
    }
}

impl Mark {
    const BYTES: usize = 8;

    /// How long the line is.
    fn length(self) -> usize {
        self.value_in_line().end + END.len()
    }

    fn value_in_line(self) -> std::ops::Range<usize> {
        let start = usize::from(self.name) + COLON.len();
        start..start + self.value as usize
    }

    fn bytes(self) -> [u8; Self::BYTES] {
        let known = self.known.map_or(0, |known| known + 1);
        let [name, more_name] = self.name.to_le_bytes();
        let [a, b, c, d] = self.value.to_le_bytes();
        [known, self.sensitive.into(), name, more_name, a, b, c, d]
    }

    fn read(bytes: &[u8]) -> Self {
        let mut all = [0; Self::BYTES];
        all.copy_from_slice(bytes);
        let [known, sensitive, name, more_name, value @ ..] = all;
        Self {
            known: known.checked_sub(1),
            sensitive: sensitive != 0,
            name: u16::from_le_bytes([name, more_name]),
            value: u32::from_le_bytes(value),
        }
    }
}

fn place(length: usize) -> u32 {
    u32::try_from(length).expect("a head is smaller than that")
}

/// Two are the same that are sent as the same.
impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        let own = |head: &Self| (head.status, head.fields, head.wire, head.end);
        let end = self.end as usize;
        own(self) == own(other) && self.text[..end] == other.text[..end]
    }
}

impl Eq for Head {}

/// Without its fields, some of which nobody is to see.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut head = f.debug_struct("Head");
        head.field("status", &self.status).finish_non_exhaustive()
    }
}

impl From<&ResponseHeader> for Head {
    fn from(head: &ResponseHeader) -> Self {
        let fields: Vec<_> = head.headers.iter().collect();
        Self::new(head.status, &fields)
    }
}

#[cfg(test)]
mod tests;
