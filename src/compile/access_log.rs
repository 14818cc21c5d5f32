//! The access log out of its configuration.

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use sha2::{Digest as _, Sha256};
use wiregate_sdk::expression::Said;
use wiregate_sdk::types::{Period, Size};
use wiregate_sdk::value::{At, Node, Place, Problem, ShortOrFull, Value};
use wiregate_sdk::{Condition, Expression};

use super::files::beside;
use crate::config::model;
use crate::config::model::{AccessLogOptions, AccessLogPlace, LineFormat};
use crate::observe::access_log::{
    Choice, Column, Fact, Format, Mask, Output, Plan, Receiver, Redaction, Rotation, Sample,
    Source, is_always_masked, plain,
};

const MOST_FIELDS: usize = 64;
/// The longest name of a field of one's own, and of a tag (RFC 5424, 6), in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_TAG: usize = 48;
const SMALLEST: Size = Size::mib(1);
const SOONEST: Period = Period::seconds(60);
const KEEP: std::ops::RangeInclusive<u32> = 1..=1000;
/// The fields of the Combined Log Format beside the facts, in their order.
const COMBINED: [&str; 2] = ["referer", "user-agent"];

/// What the log is to be, where there is one.
pub(super) fn build(
    config: Option<&model::AccessLog>,
    source: &Value,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Plan>> {
    let default = AccessLogOptions::default();
    let options = match config {
        Some(ShortOrFull::Short(AccessLogPlace::Off)) => return None,
        None | Some(ShortOrFull::Short(AccessLogPlace::Stdout)) => &default,
        Some(ShortOrFull::Full(options)) => options,
    };
    let mut reader = Reader { problems };
    let output = reader.output(options);
    let redaction = reader.redaction(&options.redact);
    let (columns, expressions) = reader.columns(options, &redaction);
    let choice = Choice {
        when: options.when.clone(),
        sample: options.sample.as_ref().map(sample),
    };
    let asks_response = expressions.iter().any(Expression::asks_response)
        || choice.when.as_ref().is_some_and(Condition::asks_response);
    Some(Arc::new(Plan {
        output,
        format: match options.format {
            LineFormat::Json => Format::Json,
            LineFormat::Text => Format::Text,
            LineFormat::Combined => Format::Combined,
        },
        columns,
        expressions,
        redaction,
        choice,
        asks_response,
        made_of: source.get("access_log").map_or([0; 32], digest),
    }))
}

/// One number for all that is written there, with what references hold.
fn digest(value: &Value) -> [u8; 32] {
    let mut digest = Sha256::new();
    add(&mut digest, value);
    digest.finalize().into()
}

fn add(digest: &mut Sha256, value: &Value) {
    let mut sized = |kind: u8, length: usize| {
        digest.update([kind]);
        digest.update((length as u64).to_be_bytes());
    };
    match &value.node {
        Node::Null => sized(0, 0),
        Node::Scalar(scalar) => {
            sized(1 + u8::from(scalar.quoted), scalar.text.len());
            digest.update(&scalar.text);
        }
        Node::List(items) => {
            sized(3, items.len());
            items.iter().for_each(|item| add(digest, item));
        }
        Node::Map(entries) => {
            sized(4, entries.len());
            for (key, value) in entries {
                digest.update((key.name.len() as u64).to_be_bytes());
                digest.update(&key.name);
                add(digest, value);
            }
        }
    }
}

fn sample(config: &ShortOrFull<wiregate_sdk::types::Percent, model::Sample>) -> Sample {
    let config = match config {
        ShortOrFull::Short(share) => model::Sample::of(*share),
        ShortOrFull::Full(sample) => sample.clone(),
    };
    Sample {
        share: config.share,
        statuses: config.statuses,
        slow: Some(config.slower_than.get()),
    }
}

struct Reader<'a> {
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn say(&mut self, place: &Place, message: impl Into<String>) -> &mut Problem {
        self.problems.push(Problem::new(place.clone(), message));
        self.problems.last_mut().expect("just added")
    }

    fn output(&mut self, options: &AccessLogOptions) -> Output {
        let rotation = options.rotate.as_ref().map(|rotate| self.rotation(rotate));
        if let (None, Some(rotate)) = (&options.file, &options.rotate) {
            self.say(&rotate.place, "there is no `file` to rotate");
        }
        match (&options.file, &options.syslog) {
            (Some(file), Some(syslog)) => {
                let problem = self.say(
                    &syslog.place,
                    "expected one of `file` and `syslog`, found both",
                );
                problem
                    .related
                    .push((file.place.clone(), "the file".into()));
                Output::Stdout
            }
            (Some(file), None) => {
                if file.is_empty() {
                    self.say(&file.place, "expected the path of a file, found ``");
                }
                Output::File(beside(file), rotation)
            }
            (None, Some(syslog)) => Output::Syslog(self.receiver(syslog)),
            (None, None) => Output::Stdout,
        }
    }

    fn rotation(&mut self, rotate: &At<model::Rotate>) -> Rotation {
        let model::Rotate { size, every, keep } = &rotate.value;
        if size.is_none() && every.is_none() {
            self.say(&rotate.place, "expected `size`, `every`, or both");
        }
        if let Some(size) = size.as_ref().filter(|size| size.value < SMALLEST) {
            let message = format!("expected at least `{SMALLEST}`, found `{}`", size.value);
            self.say(&size.place, message);
        }
        if let Some(every) = every.as_ref().filter(|every| every.value < SOONEST) {
            let message = format!("expected at least `{SOONEST}`, found `{}`", every.value);
            self.say(&every.place, message);
        }
        if !KEEP.contains(&keep.value) {
            let (least, most) = (KEEP.start(), KEEP.end());
            let message = format!("expected {least} to {most} files, found {}", keep.value);
            self.say(&keep.place, message);
        }
        Rotation {
            size: size.as_ref().map(|size| size.len() as u64),
            every: every.as_ref().map(|every| every.get()),
            keep: keep.value as usize,
        }
    }

    fn receiver(
        &mut self,
        syslog: &ShortOrFull<crate::observe::access_log::Address, model::Syslog>,
    ) -> Receiver {
        let syslog = match syslog {
            ShortOrFull::Short(to) => model::Syslog::at(to.clone()),
            ShortOrFull::Full(syslog) => syslog.clone(),
        };
        let tag = &syslog.tag;
        if !is_name(tag, LONGEST_TAG) {
            let message = format!(
                "expected 1 to {LONGEST_TAG} letters, digits, `-`, `_` and `.`, found `{}`",
                tag.value
            );
            self.say(&tag.place, message);
        }
        Receiver {
            address: syslog.to,
            header: syslog.header,
            facility: syslog.facility,
            severity: syslog.severity,
            tag: syslog.tag.value,
        }
    }

    fn redaction(&mut self, config: &model::Redact) -> Redaction {
        let shown_fields = self.fields_named(&config.show.fields);
        for (name, at) in shown_fields.iter().zip(&config.show.fields) {
            if is_always_masked(name) {
                self.say(&at.place, format!("`{name}` is never shown"));
            }
        }
        let plain_of = |names: &[At<String>]| names.iter().map(|name| plain(name)).collect();
        for name in config.query.iter().chain(&config.show.query) {
            if plain(name).is_empty() {
                let message = format!("expected the name of a parameter, found `{}`", name.value);
                self.say(&name.place, message);
            }
        }
        let cookies = config.show.cookies.iter();
        Redaction {
            fields: self.fields_named(&config.fields),
            query: plain_of(&config.query),
            shown_fields,
            shown_query: plain_of(&config.show.query),
            shown_cookies: cookies.map(|name| name.value.clone()).collect(),
        }
    }

    fn fields_named(&mut self, names: &[At<String>]) -> Vec<HeaderName> {
        let mut read = Vec::with_capacity(names.len());
        for name in names {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => read.push(name),
                Err(_) => {
                    let found = &name.value;
                    let message = format!("expected the name of a header field, found `{found}`");
                    self.say(&name.place, message);
                }
            }
        }
        read
    }

    fn columns(
        &mut self,
        options: &AccessLogOptions,
        redaction: &Redaction,
    ) -> (Vec<Column>, Vec<Expression>) {
        if options.format == LineFormat::Combined {
            if let Some(fields) = &options.fields {
                let message = "the format `combined` has its own fields";
                self.say(&fields.place, message).help =
                    Some("take `format: text` or `json`".into());
            }
            return combined(redaction);
        }
        let Some(fields) = &options.fields else {
            return (Fact::ALL.map(Column::fact).into(), Vec::new());
        };
        if fields.is_empty() || fields.len() > MOST_FIELDS {
            let found = fields.len();
            let message = format!("expected 1 to {MOST_FIELDS} fields, found {found}");
            self.say(&fields.place, message);
        }
        let mut chosen = Chosen {
            redaction,
            columns: Vec::new(),
            expressions: Vec::new(),
            names: HashMap::new(),
        };
        self.choose(fields, &mut chosen);
        (chosen.columns, chosen.expressions)
    }

    fn choose(&mut self, fields: &[At<model::Field>], chosen: &mut Chosen<'_>) {
        for field in fields {
            match &field.value {
                ShortOrFull::Short(fact) => {
                    chosen.add(self, &field.place, fact.word(), Source::Fact(*fact));
                }
                ShortOrFull::Full(own) if own.len() != 1 => {
                    let message = format!(
                        "expected one name with its expression, such as `agent: \
                         request.headers[\"user-agent\"]`, found {}",
                        own.len()
                    );
                    self.say(&field.place, message);
                }
                ShortOrFull::Full(own) => {
                    for (name, expression) in own {
                        chosen.add_own(self, &field.place, name, expression);
                    }
                }
            }
        }
    }
}

/// The fields that were chosen so far.
struct Chosen<'a> {
    redaction: &'a Redaction,
    columns: Vec<Column>,
    expressions: Vec<Expression>,
    names: HashMap<String, Place>,
}

impl Chosen<'_> {
    fn add(&mut self, reader: &mut Reader<'_>, place: &Place, name: &str, source: Source) {
        if let Some(first) = self.names.insert(name.to_owned(), place.clone()) {
            let problem = reader.say(place, format!("the field `{name}` is there twice"));
            problem.related.push((first, "the first one".into()));
            return;
        }
        self.columns.push(Column {
            name: name.to_owned(),
            source,
        });
    }

    fn add_own(
        &mut self,
        reader: &mut Reader<'_>,
        place: &Place,
        name: &str,
        expression: &At<Expression>,
    ) {
        if !is_name(name, LONGEST_NAME) {
            let message = format!(
                "expected a name of 1 to {LONGEST_NAME} letters, digits, `-`, `_` and `.`, found `{name}`"
            );
            reader.say(place, message);
        }
        if let Err(why) = expression.check_text() {
            reader.say(&expression.place, why);
        }
        match mask(expression, self.redaction) {
            Ok(mask) => {
                let source = Source::Expression(self.expressions.len(), mask);
                self.expressions.push(expression.value.clone());
                self.add(reader, place, name, source);
            }
            Err(what) => {
                let message = format!(
                    "{what} may hold a secret, and cannot be masked in what an expression makes of it"
                );
                let help = "log it by itself, or take it out of the expression";
                reader.say(&expression.place, message).help = Some(help.into());
            }
        }
    }
}

/// How the value of an expression is masked.
///
/// # Errors
/// What it is made from that cannot be masked in it.
fn mask(expression: &Expression, redaction: &Redaction) -> Result<Option<Mask>, String> {
    for said in expression.said() {
        let Some(mask) = redaction.mask(said) else {
            continue;
        };
        if expression.is_fact() {
            return Ok(Some(mask));
        }
        return Err(match said {
            Said::Field(name) => format!("the field `{name}`"),
            Said::Cookie(name) => format!("the cookie `{name}`"),
            Said::Query(name) => format!("the parameter `{name}`"),
            Said::Target => "the target".to_owned(),
        });
    }
    Ok(None)
}

fn combined(redaction: &Redaction) -> (Vec<Column>, Vec<Expression>) {
    let each = COMBINED.iter().enumerate().map(|(position, name)| {
        let expression = Expression::parse(&format!("request.headers[\"{name}\"]"));
        let expression = expression.expect("a field with a valid name");
        let mask = mask(&expression, redaction).unwrap_or(Some(Mask::Whole));
        let column = Column {
            name: (*name).to_owned(),
            source: Source::Expression(position, mask),
        };
        (column, expression)
    });
    each.unzip()
}

fn is_name(text: &str, longest: usize) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= longest && text.bytes().all(part)
}

#[cfg(test)]
mod tests;
