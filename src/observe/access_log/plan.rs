//! What a log is to be: of which requests it has a line, what is in it, and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use wiregate_sdk::types::Percent;
use wiregate_sdk::{Condition, Expression, Facts};

use super::entry::cut;
use super::redact::{Mask, Redaction};
use super::rotate::Rotation;
use super::syslog::Receiver;
use super::{Entry, Fact};
use crate::config::model::upstream::health::Statuses;

/// What one value that has a name of its own may take, in bytes; what is longer is cut.
pub const VALUE: usize = 1 << 10;
/// What all values of one line that have names of their own may take, in bytes.
const VALUES: usize = 4 << 10;

/// What a log is to be, compiled once.
#[derive(Debug)]
pub struct Plan {
    /// Where the lines go.
    pub output: Output,
    /// What a line looks like.
    pub format: Format,
    /// What is in it, in order.
    pub columns: Vec<Column>,
    /// What columns with names of their own are made from.
    pub expressions: Vec<Expression>,
    /// What is masked.
    pub redaction: Redaction,
    /// Which requests have lines.
    pub choice: Choice,
    /// Whether columns or the choice ask about fields of the response, which are kept for them then.
    pub asks_response: bool,
    /// A digest of the options it is made of, with what references in them hold: where they are alike, so are
    /// the logs.
    pub made_of: [u8; 32],
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// The end of this file, which is made (mode 0640) if it is not there.
    File(PathBuf, Option<Rotation>),
    /// A syslog receiver.
    Syslog(Receiver),
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An object of JSON.
    #[default]
    Json,
    /// `name=value`, separated by spaces.
    Text,
    /// The Combined Log Format, whose two fields are the columns.
    Combined,
}

/// One part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub source: Source,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A fact.
    Fact(Fact),
    /// The value of the expression at this position, masked.
    Expression(usize, Option<Mask>),
}

/// Which requests have lines.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Those for which this holds.
    pub when: Option<Condition>,
    /// And of these, a share.
    pub sample: Option<Sample>,
}

/// A share of the requests, and those that are in any case.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The share.
    pub share: Percent,
    /// Requests that are answered with one of these statuses have a line in any case.
    pub statuses: Statuses,
    /// And those that took as long as this.
    pub slow: Option<Duration>,
}

/// How a request has ended, as far as it matters for having a line.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The status that the client got.
    pub status: Option<StatusCode>,
    /// Whether something went wrong.
    pub failed: bool,
    /// How long it took.
    pub duration: Duration,
}

impl Plan {
    /// A log with all facts of all requests.
    pub fn plain(output: Output) -> Self {
        let columns = Fact::ALL.map(Column::fact);
        Self {
            output,
            format: Format::Json,
            columns: columns.into(),
            expressions: Vec::new(),
            redaction: Redaction::default(),
            choice: Choice::default(),
            asks_response: false,
            made_of: [0; 32],
        }
    }

    /// Whether it takes no look at a request or a response to say which has a line, and what is in that.
    pub fn asks_nothing(&self) -> bool {
        self.expressions.is_empty() && self.choice.when.is_none() && !self.asks_response
    }

    /// Whether a request has a line. Where nothing is known of its head there is nothing that `when`
    /// could ask about, and it has one; and so where the condition has no value.
    pub fn takes(&self, ended: Ended, facts: Option<&Facts<'_>>) -> bool {
        let Choice { when, sample } = &self.choice;
        sample.as_ref().is_none_or(|sample| sample.takes(ended))
            && (when.as_ref().zip(facts)).is_none_or(|(when, facts)| when.test(facts) != Ok(false))
    }

    /// The values of the columns that have names of their own.
    pub fn extra(&self, facts: Option<&Facts<'_>>) -> Vec<Box<str>> {
        let Some(facts) = facts.filter(|_| !self.expressions.is_empty()) else {
            return Vec::new();
        };
        let mut left = VALUES;
        let each = self.expressions.iter().map(|expression| {
            let text = expression.text(facts).unwrap_or_default();
            let text = cut(&text, VALUE.min(left));
            left -= text.len();
            text.into()
        });
        each.collect()
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.output == other.output && self.made_of == other.made_of
    }
}

impl Column {
    /// A fact under its name.
    pub fn fact(fact: Fact) -> Self {
        Self {
            name: fact.word().to_owned(),
            source: Source::Fact(fact),
        }
    }
}

impl Sample {
    fn takes(&self, ended: Ended) -> bool {
        self.is_due(ended) || self.draws(fastrand::u32(..1_000_000))
    }

    /// Whether chance, out of a million, is for the request.
    fn draws(&self, chance: u32) -> bool {
        chance < self.share.millionths()
    }

    /// Whether the request has a line whatever chance says: it was answered with one of the statuses,
    /// or not to its end, or slowly.
    fn is_due(&self, ended: Ended) -> bool {
        let broken = |status: StatusCode| ended.failed && status.as_u16() < 400;
        let status =
            (ended.status).is_none_or(|status| self.statuses.contain(status) || broken(status));
        status || self.slow.is_some_and(|slow| ended.duration >= slow)
    }
}

impl Entry {
    /// A value that has a name of its own; none where it is not there.
    pub(super) fn extra(&self, position: usize) -> Option<&str> {
        let value = self.extra.get(position)?;
        (!value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16, failed: bool, millis: u64) -> Ended {
        Ended {
            status: StatusCode::from_u16(status).ok(),
            failed,
            duration: Duration::from_millis(millis),
        }
    }

    #[test]
    fn failures_and_slow_requests_are_never_left_to_chance() {
        let sample = Sample {
            share: "0%".parse().unwrap(),
            statuses: Statuses::range(500, 599),
            slow: Some(Duration::from_secs(1)),
        };
        for (ended, due) in [
            (ended(200, false, 999), false),
            (ended(200, false, 1000), true),
            (ended(503, true, 0), true),
            (ended(500, false, 0), true),
            // A refusal is no failure, however many there are of them.
            (ended(429, true, 0), false),
            (ended(404, true, 0), false),
            // The client left without an answer, or the answer broke off.
            (ended(0, true, 0), true),
            (ended(200, true, 0), true),
        ] {
            assert_eq!(sample.takes(ended), due, "{ended:?}");
        }
    }

    #[test]
    fn chance_takes_the_share_and_no_more() {
        for (share, taken) in [
            ("0%", 0),
            ("0.0001%", 1),
            ("10%", 100_000),
            ("100%", 1_000_000),
        ] {
            let sample = Sample {
                share: share.parse().unwrap(),
                statuses: Statuses::range(500, 599),
                slow: None,
            };
            let count = (0..1_000_000)
                .filter(|chance| sample.draws(*chance))
                .count();
            assert_eq!(count, taken, "{share}");
        }
    }
}
