//! One record of a segment: a head, whose checksum covers all of it, and the body behind it.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `WGR2` |
//! | 1, 1, 1, 1 | the kind, flags, how much it was asked for, nothing |
//! | 4, 4, 4 | the lengths of the rest of the head, of the text, and of the URL in it |
//! | 4 | how many tags there are |
//! | 8 | the length of the body |
//! | 16 | the variant |
//! | 8 | the checksum of all that, of where the record stands, and of the rest of the head |
//!
//! The rest of the head is the text (a key, or what a purge names), the hashes of the tags, the checksums of the
//! body's blocks or where the body is, and what the rules know of the response.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::super::Entry;
use super::super::body::PIECE;
use super::super::purge::{Mode, What};
use super::segment::{Segment, Spot};
use crate::cache::Variant;

const MAGIC: [u8; 4] = *b"WGR2";
/// The part of a head that every record has.
const FIXED: usize = 56;
/// A head that claims to be longer is none.
const LONGEST: usize = 4 * 1024 * 1024;
/// As much is read at first: most heads are shorter.
const GLANCE: usize = 4096;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// An entry, with its body.
    Entry = 1,
    /// Another head for a body that was written before.
    Head = 2,
    /// A purge of what was written before.
    Purge = 3,
    /// Whatever was written before under this key and variant does not count any more.
    Void = 4,
}

/// The head of a record.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Record {
    pub(in super::super) kind: Kind,
    /// For an entry: a soft purge has hit it. For a purge: it is one.
    pub(in super::super) soft: bool,
    /// For a purge: what the text is.
    pub(in super::super) aim: u8,
    /// For an entry that goes over to another process: how much it was asked for. On disk it is 0.
    pub(in super::super) heat: u8,
    pub(in super::super) text: Box<[u8]>,
    pub(in super::super) url: usize,
    pub(in super::super) variant: Variant,
    pub(in super::super) tags: Box<[u64]>,
    /// The checksums of the body's blocks.
    pub(in super::super) sums: Box<[u64]>,
    /// Where the body is, for a head.
    pub(in super::super) body: Option<Spot>,
    pub(in super::super) length: u64,
    pub(in super::super) meta: Vec<u8>,
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record, whose head takes this many bytes.
    Record(Record, usize),
    /// Nothing: the segment ends here.
    Nothing,
    /// A record that was not written to its end, and so the last one.
    Torn,
    /// Something else: whatever comes behind it cannot be known.
    Damaged,
}

/// How long a head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Head {
    /// So many bytes.
    Is(usize),
    /// There is too little of it to tell.
    Unknown,
    /// It is none.
    None,
}

impl Record {
    pub(in super::super) fn bare(kind: Kind) -> Self {
        Self {
            kind,
            soft: false,
            aim: 0,
            heat: 0,
            text: Box::default(),
            url: 0,
            variant: Variant::default(),
            tags: Box::default(),
            sums: Box::default(),
            body: None,
            length: 0,
            meta: Vec::new(),
        }
    }

    /// The record of an entry, but for the checksums of its body.
    pub(in super::super) fn of(
        entry: &Entry,
        soft: bool,
        variant: Variant,
        tags: Box<[u64]>,
    ) -> Self {
        let (text, url) = entry.name().parts();
        let mut record = Self {
            soft,
            text: text.into(),
            url,
            variant,
            tags,
            length: entry.length().unwrap_or(0),
            ..Self::bare(Kind::Entry)
        };
        entry.meta().encode(&mut record.meta);
        record
    }

    pub(in super::super) fn purge(what: &What, mode: Mode) -> Self {
        let (aim, text) = match what {
            What::Url(url) => (1, url.as_str()),
            What::Prefix(prefix) => (2, prefix.as_str()),
            What::Tag(tag) => (3, tag.as_str()),
            What::All => (4, ""),
        };
        Self {
            aim,
            soft: mode == Mode::Soft,
            text: text.as_bytes().into(),
            ..Self::bare(Kind::Purge)
        }
    }

    /// What a purge is of.
    pub(in super::super) fn what(&self) -> Option<(What, Mode)> {
        let text = String::from_utf8(self.text.to_vec()).ok()?;
        let what = match self.aim {
            1 => What::Url(text),
            2 => What::Prefix(text),
            3 => What::Tag(text),
            4 => What::All,
            _ => return None,
        };
        Some((what, if self.soft { Mode::Soft } else { Mode::Hard }))
    }

    pub(in super::super) fn void(hash: u128, variant: Variant) -> Self {
        Self {
            text: hash.to_le_bytes().into(),
            variant,
            ..Self::bare(Kind::Void)
        }
    }

    /// The hash of the key that a void is about.
    pub(in super::super) fn voided(&self) -> Option<u128> {
        Some(u128::from_le_bytes((*self.text).try_into().ok()?))
    }

    /// The head's bytes, for this place.
    pub(in super::super) fn encode(&self, segment: u32, offset: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED + self.text.len() + self.meta.len() + 64);
        bytes.extend_from_slice(&MAGIC);
        let flags = u8::from(self.soft) | self.aim << 1;
        bytes.extend_from_slice(&[self.kind as u8, flags, self.heat, 0]);
        let rest = self.text.len() + (self.tags.len() + self.sums.len()) * 8 + self.meta.len();
        let rest = rest + self.body.map_or(0, |_| Spot::BYTES);
        for length in [rest, self.text.len(), self.url, self.tags.len()] {
            let length = u32::try_from(length).expect("a head is smaller than that");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.variant);
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&self.text);
        for number in self.tags.iter().chain(&self.sums) {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(body) = self.body {
            bytes.extend_from_slice(&body.encode());
        }
        bytes.extend_from_slice(&self.meta);
        let sum = sum_of(&bytes, segment, offset);
        bytes[FIXED - 8..FIXED].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The length of the head that these bytes begin, at most as much as is allowed.
    pub(in super::super) fn head_of(bytes: &[u8]) -> Head {
        if !bytes.starts_with(&MAGIC[..MAGIC.len().min(bytes.len())]) {
            return Head::None;
        }
        if bytes.len() < FIXED {
            return Head::Unknown;
        }
        match u32_at(bytes, 8) as usize {
            rest if rest > LONGEST => Head::None,
            rest => Head::Is(FIXED + rest),
        }
    }

    /// Reads what stands at a place of a segment. The body is not read.
    pub(super) fn read(segment: &Segment, offset: u32) -> std::io::Result<Found> {
        let there = segment.length().saturating_sub(u64::from(offset));
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let mut bytes = vec![0; GLANCE.min(there)];
        segment.read(&mut bytes, offset.into())?;
        if bytes.is_empty() {
            return Ok(Found::Nothing);
        }
        let head = match Self::head_of(&bytes) {
            Head::Is(length) if length <= there => length,
            Head::Is(_) | Head::Unknown => return Ok(Found::Torn),
            Head::None => return Ok(Found::Damaged),
        };
        if head > bytes.len() {
            bytes.resize(head, 0);
            segment.read(&mut bytes, offset.into())?;
        }
        bytes.truncate(head);
        Ok(match Self::decode(&mut bytes, segment.id(), offset) {
            None => Found::Damaged,
            Some(record) if record.after_head() > (there - head) as u64 => Found::Torn,
            Some(record) => Found::Record(record, head),
        })
    }

    /// The bytes of its body that stand behind its head.
    pub(in super::super) fn after_head(&self) -> u64 {
        match self.kind {
            Kind::Entry => self.length,
            _ => 0,
        }
    }

    /// What a head at this place says; its checksum is cleared. `None` where that is not right.
    pub(in super::super) fn decode(bytes: &mut [u8], segment: u32, offset: u32) -> Option<Self> {
        let told = u64_at(bytes, FIXED - 8);
        bytes[FIXED - 8..FIXED].fill(0);
        match told == sum_of(bytes, segment, offset) {
            true => Self::decode_checked(bytes),
            false => None,
        }
    }

    fn decode_checked(bytes: &[u8]) -> Option<Self> {
        let kind = match bytes[4] {
            1 => Kind::Entry,
            2 => Kind::Head,
            3 => Kind::Purge,
            4 => Kind::Void,
            _ => return None,
        };
        let flags = bytes[5];
        let [text, url, tags] = [12, 16, 20].map(|at| u32_at(bytes, at) as usize);
        let length = u64_at(bytes, 24);
        let variant = bytes[32..48].try_into().expect("sixteen bytes");
        let blocks = match kind {
            Kind::Entry => usize::try_from(length.div_ceil(PIECE as u64)).ok()?,
            _ => 0,
        };
        let (text, rest) = bytes[FIXED..].split_at_checked(text)?;
        let (tags, rest) = rest.split_at_checked(tags.checked_mul(8)?)?;
        let (sums, rest) = rest.split_at_checked(blocks.checked_mul(8)?)?;
        let spot = if kind == Kind::Head { Spot::BYTES } else { 0 };
        let (body, meta) = rest.split_at_checked(spot)?;
        Some(Self {
            kind,
            soft: flags & 1 == 1,
            aim: flags >> 1,
            heat: bytes[6],
            text: text.into(),
            url,
            variant,
            tags: numbers(tags),
            sums: numbers(sums),
            body: (kind == Kind::Head).then(|| Spot::decode(body)),
            length,
            meta: meta.to_vec(),
        })
    }
}

fn numbers(bytes: &[u8]) -> Box<[u64]> {
    bytes
        .chunks_exact(8)
        .map(|eight| u64_at(eight, 0))
        .collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The checksum of a head whose own is still zero. A head at another place has another one.
fn sum_of(head: &[u8], segment: u32, offset: u32) -> u64 {
    let mut sum = Xxh3::with_seed(seed(segment, offset));
    sum.update(head);
    sum.digest()
}

/// The checksums of the blocks of a body.
pub(in super::super) fn sums_of<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Box<[u64]> {
    let pieces = pieces.enumerate();
    let sums = pieces.map(|(number, piece)| sum_of_block(piece, number));
    sums.collect()
}

/// The checksum of a block of a body.
pub(in super::super) fn sum_of_block(block: &[u8], number: usize) -> u64 {
    xxh3_64_with_seed(block, number as u64)
}

fn seed(segment: u32, offset: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(offset)
}
