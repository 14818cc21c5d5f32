//! Which of many entries can have a request in common.
//!
//! Ten thousand routes on one path are told apart by a header, by the client's network, by the
//! start of a regular expression. Those that ask for different texts there share nothing, and need
//! not be compared: each entry is filed under the starts of what it asks for, and may only have to
//! do with those whose start is a start of its own, or begins with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use ipnet::IpNet;

use super::matching::{Field, Match};
use super::path::PathPattern;

/// A part of a request by which entries may be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part<'a> {
    Field(Field<'a>),
    Client,
    Path,
}

/// What a value begins with. A whole text ends with [`END`].
type Start = Vec<u8>;

/// It is in no text: texts are UTF-8.
const END: u8 = 0xff;

/// An entry's path and match.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub path: &'a PathPattern,
    pub matching: &'a Match,
}

impl<'a> Asked<'a> {
    fn parts(self) -> impl Iterator<Item = Part<'a>> {
        let fields = self.matching.fields().map(|(field, _)| Part::Field(field));
        fields.chain([Part::Client, Part::Path])
    }

    /// What one part must begin with: one of these. `None` for anything, or nothing at all.
    fn starts(self, part: Part<'_>) -> Option<Vec<Start>> {
        match part {
            Part::Field(field) => {
                let condition = self.matching.field(field)?;
                if let Some(texts) = condition.texts() {
                    let whole = |text: &str| [text.as_bytes(), &[END]].concat();
                    return Some(texts.iter().map(|text| whole(text)).collect());
                }
                one(condition.start())
            }
            Part::Client => {
                let nets = self.matching.client.as_ref()?;
                Some(nets.iter().map(|net| bits(net.get())).collect())
            }
            Part::Path => match self.path {
                PathPattern::Regex(regex) => one(regex.start()),
                _ => None,
            },
        }
    }
}

fn one(start: &str) -> Option<Vec<Start>> {
    (!start.is_empty()).then(|| vec![start.into()])
}

/// The bits that all addresses of a network begin with, each as a byte, behind their family.
fn bits(net: IpNet) -> Start {
    let (family, all) = match net {
        IpNet::V4(net) => (b'4', u128::from(u32::from(net.network())) << 96),
        IpNet::V6(net) => (b'6', net.network().into()),
    };
    let bit = |at: u8| if all << at >> 127 == 1 { b'1' } else { b'0' };
    let bits = (0..net.prefix_len()).map(bit);
    [family].into_iter().chain(bits).collect()
}

/// Entries by the starts that they ask for in the part in which most of them differ.
pub(super) struct Rivals<'a> {
    part: Option<Part<'a>>,
    by_start: BTreeMap<Start, Vec<usize>>,
    lengths: BTreeSet<usize>,
    /// Those that ask for no start.
    without: Vec<usize>,
    all: Vec<usize>,
}

impl<'a> Rivals<'a> {
    /// For entries of this kind. It has none yet.
    pub(super) fn of(entries: impl Iterator<Item = Asked<'a>>) -> Self {
        let mut starts: HashMap<Part<'a>, HashSet<Start>> = HashMap::new();
        for asked in entries {
            for part in asked.parts() {
                if let Some(found) = asked.starts(part) {
                    starts.entry(part).or_default().extend(found);
                }
            }
        }
        let most = starts.into_iter().max_by_key(|(_, starts)| starts.len());
        Self {
            part: most.map(|(part, _)| part),
            ..Self::plain()
        }
    }

    /// All of them are rivals.
    pub(super) fn plain() -> Self {
        Self {
            part: None,
            by_start: BTreeMap::new(),
            lengths: BTreeSet::new(),
            without: Vec::new(),
            all: Vec::new(),
        }
    }

    /// One more entry.
    pub(super) fn push(&mut self, asked: Asked<'_>, at: usize) {
        self.all.push(at);
        let Some(starts) = self.starts(asked) else {
            return self.without.push(at);
        };
        for start in starts {
            self.lengths.insert(start.len());
            self.by_start.entry(start).or_default().push(at);
        }
    }

    /// Those that may match a request that this one matches too, in order.
    pub(super) fn beside(&self, asked: Asked<'_>) -> Cow<'_, [usize]> {
        let Some(starts) = self.starts(asked) else {
            return Cow::Borrowed(&self.all);
        };
        let mut found = self.without.clone();
        for start in &starts {
            found.extend(self.shorter(start));
            let longer = (Bound::Excluded(start.as_slice()), Bound::Unbounded);
            let longer = self.by_start.range::<[u8], _>(longer);
            let longer = longer.take_while(|(longer, _)| longer.starts_with(start));
            found.extend(longer.flat_map(|(_, entries)| entries));
        }
        in_order(found).into()
    }

    /// Those that may match every request that this one matches, in order.
    pub(super) fn above(&self, asked: Asked<'_>) -> Vec<usize> {
        let mut found = self.without.clone();
        // What takes all of it takes what has the first of its starts.
        let starts = self.starts(asked).unwrap_or_default();
        if let Some(start) = starts.first() {
            found.extend(self.shorter(start));
        }
        in_order(found)
    }

    /// Those that ask for what this begins with, or for just this.
    fn shorter(&self, start: &[u8]) -> impl Iterator<Item = usize> {
        let lengths = self.lengths.range(..=start.len());
        let found = lengths.filter_map(|length| self.by_start.get(&start[..*length]));
        found.flatten().copied()
    }

    fn starts(&self, asked: Asked<'_>) -> Option<Vec<Start>> {
        asked.starts(self.part?)
    }
}

fn in_order(mut entries: Vec<usize>) -> Vec<usize> {
    entries.sort_unstable();
    entries.dedup();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(json: impl Fn(u32) -> String, count: u32) -> Vec<Match> {
        let read = |at| serde_json::from_str(&json(at)).unwrap();
        (0..count).map(read).collect()
    }

    /// How many pairs are compared where each entry is looked at with those before it.
    fn compared(matches: &[Match]) -> usize {
        let asked = |matching| Asked {
            path: &PathPattern::Any,
            matching,
        };
        let mut rivals = Rivals::of(matches.iter().map(asked));
        let mut compared = 0;
        for (at, matching) in matches.iter().enumerate() {
            compared += rivals.beside(asked(matching)).len();
            rivals.push(asked(matching), at);
        }
        compared
    }

    #[test]
    fn what_shares_nothing_is_not_compared() {
        let header = |at| format!(r#"{{"headers": {{"a": {{"prefix": "tenant-{at}-"}}}}}}"#);
        assert_eq!(compared(&matches(header, 2_000)), 0);
        let regex = |at| format!(r#"{{"query": {{"a": {{"regex": "t{at}-[0-9]+"}}}}}}"#);
        assert_eq!(compared(&matches(regex, 200)), 0);
        let net = |at: u32| format!(r#"{{"client": "10.{}.{}.0/24"}}"#, at / 250, at % 250);
        assert_eq!(compared(&matches(net, 2_000)), 0);
        let six =
            |at: u32| format!(r#"{{"client": ["2001:db8:{at:x}::/48", "fd00:{at:x}::/32"]}}"#);
        assert_eq!(compared(&matches(six, 2_000)), 0);
        // The part that is the same for all does not count.
        let both = |at| format!(r#"{{"headers": {{"e": "prod"}}, "cookies": {{"k": "v{at}"}}}}"#);
        assert_eq!(compared(&matches(both, 2_000)), 0);
    }

    #[test]
    fn what_is_nested_is_compared() {
        let nets = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.0/24",
            "11.0.0.0/8",
            "::/0",
        ];
        let nets = matches(|at| format!(r#"{{"client": "{}"}}"#, nets[at as usize]), 5);
        assert_eq!(compared(&nets), 3);
        let texts = [
            r#""ab""#,
            r#"{"prefix": "a"}"#,
            r#"{"prefix": "abc"}"#,
            r#""abcd""#,
        ];
        let texts = matches(
            |at| format!(r#"{{"query": {{"k": {}}}}}"#, texts[at as usize]),
            4,
        );
        assert_eq!(compared(&texts), 4);
    }
}
