//! An entry as a line.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, SystemTime};

use super::plan::{Column, Format, Plan, Source, VALUE};
use super::redact::Mask;
use super::{Entry, Fact, IN_MEMORY, Target, escape, time};

/// What all texts of one line may take, in bytes, names aside.
const TEXTS: usize = 12 << 10;
/// No line is longer, in bytes: the texts, and the names, numbers and marks around them.
#[cfg(test)]
pub(super) const LONGEST: usize = 20 << 10;

/// What a column has to show.
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Milliseconds(Duration),
    Moment(SystemTime),
    Pairs(&'a [(Box<str>, &'static str)]),
}

/// Writes the line of an entry, without what ends it.
pub(super) fn line(plan: &Plan, entry: &Entry, line: &mut Vec<u8>) {
    let mut writing = Writing {
        plan,
        entry,
        line,
        left: TEXTS,
    };
    match plan.format {
        Format::Json => writing.json(),
        Format::Text => writing.text(),
        Format::Combined => writing.combined(),
    }
}

struct Writing<'a> {
    plan: &'a Plan,
    entry: &'a Entry,
    line: &'a mut Vec<u8>,
    /// What texts may still take.
    left: usize,
}

impl<'a> Writing<'a> {
    fn json(&mut self) {
        self.line.push(b'{');
        let mut comma = "";
        for column in &self.plan.columns {
            let Some(value) = self.value(column) else {
                continue;
            };
            // Names need no escape.
            write!(self.line, "{comma}\"{}\":", column.name).expect(IN_MEMORY);
            comma = ",";
            match value {
                Value::Pairs(pairs) => self.object(pairs),
                Value::Moment(moment) => {
                    self.line.push(b'"');
                    time::rfc3339(self.line, moment);
                    self.line.push(b'"');
                }
                value => self.scalar(value, escape::json),
            }
        }
        self.line.push(b'}');
    }

    fn object(&mut self, pairs: &[(Box<str>, &'static str)]) {
        self.line.push(b'{');
        for (position, (name, word)) in pairs.iter().enumerate() {
            if position > 0 {
                self.line.push(b',');
            }
            self.put(name, escape::json);
            self.line.push(b':');
            self.put(word, escape::json);
        }
        self.line.push(b'}');
    }

    fn text(&mut self) {
        let mut space = "";
        for column in &self.plan.columns {
            let Some(value) = self.value(column) else {
                continue;
            };
            write!(self.line, "{space}{}=", column.name).expect(IN_MEMORY);
            space = " ";
            match value {
                Value::Pairs(pairs) => {
                    let pairs = pairs.iter().map(|(name, word)| format!("{name}:{word}"));
                    let pairs: Vec<_> = pairs.collect();
                    self.put(&pairs.join(","), escape::word);
                }
                Value::Moment(moment) => time::rfc3339(self.line, moment),
                value => self.scalar(value, escape::word),
            }
        }
    }

    /// `client - identity [time] "request line" status bytes "referer" "user agent"`.
    fn combined(&mut self) {
        let entry = self.entry;
        write!(self.line, "{} - ", entry.client).expect(IN_MEMORY);
        match entry.identity.as_deref() {
            Some(name) if !name.is_empty() => self.put(name, escape::hex_word),
            _ => self.line.push(b'-'),
        }
        self.line.extend(b" [");
        time::common(self.line, entry.time);
        self.line.extend(b"] \"");
        self.put(entry.method.as_str(), escape::hex);
        self.line.push(b' ');
        let target = self.plan.redaction.url(entry.target.text());
        self.put(&target, escape::hex_word);
        write!(self.line, " {}\" ", entry.protocol).expect(IN_MEMORY);
        match entry.status {
            Some(status) => write!(self.line, "{status}").expect(IN_MEMORY),
            None => self.line.push(b'-'),
        }
        write!(self.line, " {}", entry.bytes_out).expect(IN_MEMORY);
        for column in &self.plan.columns {
            self.line.extend(b" \"");
            match self.value(column) {
                Some(Value::Text(text)) => self.put(&text, escape::hex),
                _ => self.line.push(b'-'),
            }
            self.line.push(b'"');
        }
    }

    fn scalar(&mut self, value: Value<'_>, text: impl Fn(&mut Vec<u8>, &str, usize)) {
        match value {
            Value::Text(value) => self.put(&value, text),
            Value::Number(number) => write!(self.line, "{number}").expect(IN_MEMORY),
            Value::Milliseconds(duration) => time::milliseconds(self.line, duration),
            Value::Moment(_) | Value::Pairs(_) => {} // written by whoever knows the format
        }
    }

    /// Writes a text, or as much of it as there is room for.
    fn put(&mut self, text: &str, write: impl Fn(&mut Vec<u8>, &str, usize)) {
        let (before, most) = (self.line.len(), Target::LIMIT.min(self.left));
        write(self.line, text, most);
        self.left = self.left.saturating_sub(self.line.len() - before);
    }

    fn value(&self, column: &Column) -> Option<Value<'a>> {
        match column.source {
            Source::Fact(fact) => self.fact(fact),
            Source::Expression(position, mask) => {
                let text = self.entry.extra(position)?;
                Some(Value::Text(self.masked(mask, text)))
            }
        }
    }

    fn masked(&self, mask: Option<Mask>, text: &'a str) -> Cow<'a, str> {
        match mask {
            Some(mask) => self.plan.redaction.masked(mask, text),
            None => text.into(),
        }
    }

    fn fact(&self, fact: Fact) -> Option<Value<'a>> {
        let entry = self.entry;
        let text = |text: &'a str| Some(Value::Text(super::entry::cut(text, VALUE).into()));
        let pairs = |pairs: &'a [_]| (!pairs.is_empty()).then_some(Value::Pairs(pairs));
        match fact {
            Fact::Time => Some(Value::Moment(entry.time)),
            Fact::RequestId => text(&entry.request_id),
            Fact::TraceId => Some(Value::Text(entry.trace_id?.to_string().into())),
            Fact::SpanId => Some(Value::Text(entry.span_id?.to_string().into())),
            Fact::Client => Some(Value::Text(entry.client.to_string().into())),
            Fact::Method => text(entry.method.as_str()),
            Fact::Target => Some(Value::Text(self.plan.redaction.url(entry.target.text()))),
            Fact::Host => text(entry.host.as_deref()?),
            Fact::Protocol => text(entry.protocol),
            Fact::Route => text(entry.route.as_deref()?),
            Fact::Upstream => text(entry.upstream.as_deref()?),
            Fact::Endpoint => text(entry.endpoint.as_deref()?),
            Fact::Status => Some(Value::Number(entry.status?.into())),
            Fact::BytesIn => Some(Value::Number(entry.bytes_in)),
            Fact::BytesOut => Some(Value::Number(entry.bytes_out)),
            Fact::DurationMs => Some(Value::Milliseconds(entry.duration)),
            Fact::Cache => text(entry.cache?),
            Fact::UpstreamMs => Some(Value::Milliseconds(entry.upstream_time?)),
            Fact::Attempts => Some(Value::Number(entry.attempts.into())),
            Fact::Identity => text(entry.identity.as_deref()?),
            Fact::Consumer => text(entry.consumer.as_deref()?),
            Fact::RefusedBy => text(entry.refused_by.as_deref()?),
            Fact::Observed => pairs(&entry.observed),
            Fact::Degraded => pairs(&entry.degraded),
            Fact::Error => text(entry.error?),
            Fact::Detail => text(entry.detail.as_deref()?),
        }
    }
}

#[cfg(test)]
mod tests;
